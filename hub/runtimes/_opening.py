"""Opening recorders for adapters: one for each hub and runtime, however often it is asked for."""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final, TypeVar

from .. import Hub, HubThread
from .._foreign.frameworks import actor_advice, runtime_of
from .._foreign.guards import guarded_call
from ..errors import ConfigurationError
from ..events._shown import is_a, nearest, shown
from ._capture import captured
from ._settings import hub_of
from .recorder import Recorder

__all__ = ("check_agent", "check_can", "check_recorder", "has_method", "imported", "opened", "reopened")

R = TypeVar("R", bound=Recorder)

_open: weakref.WeakKeyDictionary[Hub, weakref.WeakValueDictionary[str, Recorder]] = weakref.WeakKeyDictionary()
"""Weak on both sides: a recorder holds its hub. The callbacks that a runtime was given hold the recorder."""
_settings: weakref.WeakKeyDictionary[Recorder, Mapping[str, Any]] = weakref.WeakKeyDictionary()
"""What each of them was opened with."""
_lock = threading.RLock()

_DEFAULTS: Final[Mapping[str, Any]] = Recorder.__init__.__kwdefaults__ or {}
"""The settings that callers may leave out: all but the source, which the adapter says."""

_MODULES: Final = {"a2a-sdk": "a2a", "agent-framework-core": "agent_framework"}
"""By source: the adapters that are not named as their source is."""


def opened(
    hub: Hub | HubThread,
    source: str,
    install: Callable[[R], Callable[[], object] | None],
    settings: Mapping[str, Any],
    *,
    kind: type[R] = Recorder,  # type: ignore[assignment]
    own: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> R:
    """Return the recorder of a runtime for a hub: the one that is open, or a new one.

    ``install`` gives a new one the runtime's callbacks, and returns what takes them away again. ``settings`` are those
    of :class:`Recorder` that the caller has given, ``own`` those that the adapter has beside them, ``defaults`` what
    the adapter has instead of a recorder's defaults; ``kind`` is a recorder, or a subclass of an adapter's own.

    Raises :class:`~hubwire.errors.ConfigurationError`, which names the adapter's ``record()``, for a setting that
    cannot work, and for one that the recorder which is open does not have.
    """
    call = _call(source)
    _check_names(call, source, settings)
    with _lock:
        with _naming(call):
            of_hub = _open.setdefault(hub_of(hub), weakref.WeakValueDictionary())
        there = of_hub.get(source)
        if isinstance(there, kind) and not there.is_closed:
            return reopened(there, source, settings, own)
        given = {**(defaults or {}), **settings}
        with _naming(call):
            recorder = kind(hub, source=source, **given)
        try:
            undo = install(recorder)
        except BaseException:
            recorder.close()
            raise
        if undo is not None:
            recorder.on_close(undo)
        of_hub[source] = recorder
        _settings[recorder] = {**_DEFAULTS, **given, **(own or {})}
        return recorder


def reopened(recorder: R, source: str, settings: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> R:
    """Return a recorder that is open, to a caller who asks for it again.

    Raises for a setting that it was not opened with: it would be ignored.
    """
    call = _call(source)
    _check_names(call, source, settings)
    said = {**settings, **{name: value for name, value in (own or {}).items() if not _is_nothing(value)}}
    there = _settings.get(recorder, {})
    for name, value in said.items():
        if name in there and not _is_same(there[name], value):
            raise ConfigurationError(
                f"{call}: this hub has an open recorder with {name}={shown(there[name])}, and is to be recorded with"
                f" {name}={shown(value)} now; close() that recorder before, or ask for it without {name}"
            )
    return recorder


def _call(source: str) -> str:
    """Return the public call that opens recorders of a source."""
    return f"hubwire.runtimes.{_MODULES.get(source, source.replace('-', '_'))}.record()"


@contextmanager
def _naming(call: str) -> Iterator[None]:
    """Let what is wrong with an argument name the call that it was given to."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{call}: {error}") from error.__cause__


def _check_names(call: str, source: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that there are not, and say which was meant."""
    unknown = next((name for name in settings if name not in _DEFAULTS), None)
    if unknown is None:
        return
    known = [*_own_names(source), *_DEFAULTS]
    meant = nearest(unknown, known)
    raise ConfigurationError(
        f"{call} has no setting {shown(unknown)}; it has {', '.join(known)}{'; ' if meant else ''}{meant}"
    )


def _own_names(source: str) -> list[str]:
    """Return the settings that an adapter has beside those of a recorder."""
    record = getattr(sys.modules.get(_call(source).removesuffix(".record()")), "record", None)
    if record is None:
        return []
    parameters = inspect.signature(record).parameters.values()
    return [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]


def _is_nothing(value: object) -> bool:
    """Tell whether an adapter's own setting is its default: then the caller may have said nothing."""
    return value is False or (type(value) is list and not value)


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    kinds = {type(one), type(other)}
    return ((len(kinds) == 1 and kinds <= {str, int, float, list}) or kinds == {int, float}) and bool(one == other)


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


def check_agent(call: str, value: object, wanted: str, *, has: Sequence[str] = (), kind: Any = None) -> None:
    """Raise unless a value is what an actor is made of: of a class, or an object that has all of these.

    What is of another framework, or is a class and no object of it, is refused whatever it has.
    """
    other = runtime_of(value)
    if is_a(value, type):
        advice = "it is a class: make an object of it, and give that"
    elif other is not None and f"from_{other}" != call:
        advice = actor_advice(value)
    elif kind is not None:
        if is_a(value, kind):
            return
        advice = ""
    else:
        lacking = [each for each in has if not _has(value, each)]
        if not lacking:
            return
        advice = "" if value is None else f"it has no {lacking[0]}"
        if _has(value, "compile") and other is not None:
            advice = "give what its compile() returns"
    raise ConfigurationError(f"{call}() needs {wanted}, not {shown(value)}{'; ' if advice else ''}{advice}")


def _has(value: object, name: str) -> bool:
    try:
        return guarded_call(getattr, value, name, None) is not None
    except Exception:  # noqa: BLE001 - a value of a program's own class may raise anything when it is looked at
        return False


def check_recorder(call: str, recorder: object, kind: type[Recorder] = Recorder) -> None:
    """Raise unless this is a recorder, of an adapter's own class if it has one."""
    if is_a(recorder, kind):
        return
    if is_a(recorder, Recorder):
        raise ConfigurationError(
            f"{call}(): this recorder is no {kind.__name__}; give what this runtime's record(hub) returns"
        )
    raise ConfigurationError(f"{call}(): {captured(recorder, 100)!r} is no recorder; give what record(hub) returns")
