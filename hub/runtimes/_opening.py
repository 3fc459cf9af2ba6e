"""Opening recorders for adapters: one for each hub and runtime, however often it is asked for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from .. import Hub, HubThread
from ..errors import ConfigurationError
from ..events._shown import is_a
from ._capture import captured
from ._settings import hub_of
from .recorder import Recorder

__all__ = ("check_can", "check_recorder", "has_method", "imported", "opened")

R = TypeVar("R", bound=Recorder)

_open: weakref.WeakKeyDictionary[Hub, weakref.WeakValueDictionary[str, Recorder]] = weakref.WeakKeyDictionary()
"""Weak on both sides: a recorder holds its hub. The callbacks that a runtime was given hold the recorder."""
_lock = threading.RLock()


def opened(
    hub: Hub | HubThread,
    source: str,
    install: Callable[[R], Callable[[], object] | None],
    *,
    kind: type[R] = Recorder,  # type: ignore[assignment]
    **settings: Any,
) -> R:
    """Return the recorder of a runtime for a hub: the one that is open, or a new one.

    ``install`` gives a new one the runtime's callbacks, and returns what takes them away again. ``settings`` are those
    of :class:`Recorder`, which raises what is wrong with them, and ``kind`` is it, or a subclass of an adapter's own.
    """
    with _lock:
        of_hub = _open.setdefault(hub_of(hub), weakref.WeakValueDictionary())
        there = of_hub.get(source)
        if isinstance(there, kind) and not there.is_closed:
            return there
        recorder = kind(hub, source=source, **settings)
        try:
            undo = install(recorder)
        except BaseException:
            recorder.close()
            raise
        if undo is not None:
            recorder.on_close(undo)
        of_hub[source] = recorder
        return recorder


def imported(module: str, extra: str) -> ModuleType:
    """Import a module of a runtime; say how to install it where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == module.partition(".")[0]:
            raise ConfigurationError(
                f"hubwire.runtimes.{extra} needs {module.partition('.')[0]}: pip install 'hubwire[{extra}]'"
            ) from error
        raise


def check_can(call: str, value: object, method: str, wanted: str) -> None:
    """Raise unless a value has a method: what the program hands over is known by what it can do."""
    if not has_method(value, method):
        raise ConfigurationError(f"{call}(): {captured(value, 100)!r} is no {wanted}; it has no {method}()")


def has_method(value: object, method: str) -> bool:
    """Tell whether a value has a method, whatever it does when it is looked at."""
    try:
        return callable(getattr(value, method, None))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a value of a program's own class may raise anything
        return False


def check_recorder(call: str, recorder: object) -> None:
    """Raise unless this is a recorder."""
    if not is_a(recorder, Recorder):
        raise ConfigurationError(f"{call}(): {captured(recorder, 100)!r} is no recorder; give what record(hub) returns")
