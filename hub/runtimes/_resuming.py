"""What is given to calls that ask the hub for what a run waits for, checked before any of it is used."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError
from ..events._shown import is_a
from ._capture import captured
from ._settings import flag
from .recorder import Recorder

__all__ = ("check_function", "check_has", "check_resuming")


def check_resuming(call: str, recorder: object, *, may_repeat: object, kind: type[Recorder] = Recorder) -> None:
    """Raise unless this is a recorder, of this kind, and that is a truth value."""
    if not is_a(recorder, kind):
        raise ConfigurationError(f"{call}(): {captured(recorder, 100)!r} is no recorder; give what record(hub) returns")
    flag(f"{call}(): may_repeat", may_repeat)


def check_has(call: str, value: object, wanted: str, *names: str) -> None:
    """Raise unless a value has these attributes: what a framework returns is known by what it has."""
    try:
        missing = [name for name in names if not hasattr(value, name)]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a value of a program's own class may raise anything when it is looked at
        missing = list(names)
    if missing:
        raise ConfigurationError(f"{call}(): {captured(value, 100)!r} is no {wanted}; it has no {missing[0]}")


def check_function(call: str, argument: str, value: Any) -> None:
    """Raise unless this is a function, or None."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{call}(): {argument} is a function, not {captured(value, 100)!r}")
