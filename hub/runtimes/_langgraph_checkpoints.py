"""What checkpointers of LangGraph save, told to recorders.

No callback says it, so the two methods with which a checkpointer saves are replaced, in this one object, by those that
call them and then tell recorders. They are back when the last of these is closed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import ConfigurationError
from ._capture import captured

__all__ = ("Tell", "telling_of")

Tell = Callable[[str | None, Mapping[str, Any]], None]
"""Takes the thread, and what was saved of it."""

_MARK: Final = "_hubwire_checkpoints"
_METHODS: Final = ("put", "aput")

_lock = threading.RLock()


class _Saved:
    """Who is told what one checkpointer saves."""

    def __init__(self) -> None:
        self.tells: dict[object, Tell] = {}
        self.own: dict[str, tuple[Any, Any]] = {}
        """Of each method that was replaced: what it is now, and what the object itself had before, or None."""
        self._newest: tuple[Any, ...] | None = None

    def tell(self, config: Any, checkpoint: Any, metadata: Any) -> None:
        try:
            place = config["configurable"]
            thread, namespace = place.get("thread_id"), place.get("checkpoint_ns") or None
            what = (thread, namespace, checkpoint["id"])
            if what == self._newest:
                return  # aput() of some is put()
            self._newest = what
            said = {"checkpoint_id": checkpoint["id"], "namespace": namespace}
            said |= {name: metadata.get(name) for name in ("source", "step")}
            for tell in list(self.tells.values()):
                tell(None if thread is None else str(thread), said)
        except Exception:  # noqa: BLE001 - it is saved, whatever is wrong with what it is
            return


def telling_of(checkpointer: Any, key: object, tell: Tell) -> Callable[[], None] | None:
    """Let ``tell`` be called with what a checkpointer saves; return what ends that, or None if it is called already."""
    try:
        own = vars(checkpointer)
        methods = {name: getattr(checkpointer, name) for name in _METHODS}
    except Exception as error:
        raise _refusal(checkpointer) from error
    if not all(map(callable, methods.values())) or isinstance(checkpointer, type):
        raise _refusal(checkpointer)
    with _lock:
        saved = own.get(_MARK)
        if saved is None:
            saved = _install(checkpointer, methods)
        if key in saved.tells:
            return None
        saved.tells[key] = tell
    return functools.partial(_end, checkpointer, key)


def _refusal(checkpointer: Any) -> ConfigurationError:
    return ConfigurationError(
        f"record_checkpoints(): {captured(checkpointer, 100)!r} is no checkpointer; give what compile(checkpointer=...)"
        " takes"
    )


def _install(checkpointer: Any, methods: Mapping[str, Callable[..., Any]]) -> _Saved:
    saved, put, aput = _Saved(), methods["put"], methods["aput"]

    @functools.wraps(put)
    def told_put(config: Any, checkpoint: Any, metadata: Any, *rest: Any, **more: Any) -> Any:
        result = put(config, checkpoint, metadata, *rest, **more)
        saved.tell(config, checkpoint, metadata)
        return result

    @functools.wraps(aput)
    async def told_aput(config: Any, checkpoint: Any, metadata: Any, *rest: Any, **more: Any) -> Any:
        result = await aput(config, checkpoint, metadata, *rest, **more)
        saved.tell(config, checkpoint, metadata)
        return result

    own = vars(checkpointer)
    saved.own = {"put": (told_put, own.get("put")), "aput": (told_aput, own.get("aput"))}
    own.update({"put": told_put, "aput": told_aput, _MARK: saved})
    return saved


def _end(checkpointer: Any, key: object) -> None:
    with _lock:
        own = vars(checkpointer)
        saved = own.get(_MARK)
        if saved is None:
            return
        saved.tells.pop(key, None)
        if not saved.tells:
            del own[_MARK]
            for name, (told, before) in saved.own.items():
                if own.get(name) is told:  # else other code has wrapped it since
                    del own[name]
                    if before is not None:
                        own[name] = before
