"""Values that callers give: what they are, and what an error says of them, however their methods behave."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

from hubwire.clock import SystemClock
from hubwire.errors import ConfigurationError
from hubwire.ports import Clock

from .._methods import has_methods

__all__ = ("clock_of", "is_a", "shown")

T = TypeVar("T")

_CHARS_MAX = 60


def is_a(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeGuard[T]:
    """Tell whether a value is of a class; its ``__class__`` may be a property that raises."""
    try:
        return isinstance(value, kind)
    except Exception:  # noqa: BLE001 - then it is refused
        return False


def shown(value: object) -> str:
    """Return what a value is, for an error, without a call of its own methods."""
    if type(value) is str:
        return repr(value[:_CHARS_MAX])
    if value is None or type(value) in (bool, float) or (type(value) is int and value.bit_length() <= 64):
        return repr(value)
    name: str = type.__dict__["__name__"].__get__(type(value))
    return f"an object of class {name[:_CHARS_MAX]}"


def clock_of(call: str, given: Clock | None) -> Clock:
    """Return the clock that is given, or else the system's. Raises :class:`~hubwire.errors.ConfigurationError`."""
    if given is None:
        return SystemClock()
    if not has_methods(given, "now_ns", "monotonic"):
        raise ConfigurationError(f"{call}: clock is a hubwire.ports.Clock, not {shown(given)}")
    return given
