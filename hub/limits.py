"""What a hub is bounded by."""

from __future__ import annotations

import operator
from typing import Any

import attrs

from .errors import ConfigurationError

__all__ = ("Limits",)

_JOURNAL_BYTES_MIN = 4096


@attrs.frozen(kw_only=True)
class Limits:
    """The bounds of a hub: ``Hub(store, limits=Limits(ring=16_384))``. Numbers count events if no unit is named.

    Raises :class:`~hubwire.errors.ConfigurationError` for a bound that cannot work.
    """

    ring: int = 4096
    """How many recent events are kept in memory, at least."""
    in_flight_max: int = 1024
    """Emitters wait while so many events are uncommitted."""
    listener_reserve: int = 256
    """How many more the listeners that the commit waits for may emit, because they cannot wait."""
    event_bytes_max: int = 8 * 1024 * 1024
    """The size of an event's JSON; larger ones are refused."""
    close_seconds_max: float = 10.0
    """How long each step of closing waits: for actors, for listeners, and for the last commit."""
    snapshot_bytes: int = 16 * 1024 * 1024
    """A snapshot of the state is written when so much has been journaled, and as much as the snapshot before took."""
    journal_bytes_max: int = 1024 * 1024 * 1024
    """The journal keeps no more, but for what is journaled while room is made: the DURABLE listener that is farthest
    behind is suspended, and misses what has to go."""
    arbiter_seconds_max: float = 5.0
    """How long the arbiter may take to answer; then the command is denied."""

    def __attrs_post_init__(self) -> None:
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            number = _whole(value)
            if number is None or number < smallest:
                raise ConfigurationError(f"{name} must be a whole number of at least {smallest}, not {value!r}")
            object.__setattr__(self, name, number)
        for name in ("close_seconds_max", "arbiter_seconds_max"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ConfigurationError(f"{name} must be a number of seconds, 0 or more, not {value!r}")


def _whole(value: Any) -> int | None:
    """Return the whole number that a value is, such as 1e9 or a number of numpy; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    try:
        return operator.index(value)
    except TypeError:
        return None


_SMALLEST = {
    "ring": 1,
    "in_flight_max": 1,
    "listener_reserve": 0,
    "event_bytes_max": 1,
    "snapshot_bytes": 1,
    "journal_bytes_max": _JOURNAL_BYTES_MIN,
}
