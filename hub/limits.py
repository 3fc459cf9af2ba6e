"""What a hub is bounded by."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ._values import Value
from .errors import ConfigurationError
from .events._shown import is_a, number_of, shown, whole_of

__all__ = ("Limits", "TenantLimits")

RING_BYTES_MAX = 32 * 1024 * 1024
BATCH_BYTES_MAX = 4 * 1024 * 1024

_JOURNAL_BYTES_MIN = 4096
_LARGEST = 2**53 - 1
"""The largest whole number that every JSON reader holds."""
_SECONDS_MAX = 1e9


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TenantLimits(Value):
    """The quotas of a tenant that shares a hub with others; None: no bound.

    ``Hub(limits=Limits(tenants=TenantLimits(events_per_minute=600)))`` is for each tenant; a mapping has those of
    some, by name, and of all others as ``"*"``. A tenant is what the header ``tenant`` of an event says: a scope is
    enough.

    A command beyond a quota raises :class:`~hubwire.errors.QuotaExceeded`, without effect; ``quota.breached`` has
    committed before, but for ``emit_nowait``, which does not wait. Of one tenant and quota it is reported once a
    second. What ends work, as an ack or a close, and what the hub does by itself counts and is not refused.

    The numbers per minute are those of the running process: they fill again all the time, by the hub's clock, and are
    whole after a restart. What is larger than one of them needs all of it.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no whole number from 1 on, or None.
    """

    events_per_minute: int | None = None
    bytes_per_minute: int | None = None
    """Bytes are those of events as JSON, their headers included."""
    agents_max: int | None = None
    """How many agents it may have registered, through ``hub.for_tenant()``."""
    channels_max: int | None = None
    """How many channels it may have that have not ended."""

    def __attrs_post_init__(self) -> None:
        for name in ("events_per_minute", "bytes_per_minute", "agents_max", "channels_max"):
            value = getattr(self, name)
            if value is None:
                continue
            number = _whole(value)
            if number is None or not 1 <= number <= _LARGEST:
                raise ConfigurationError(f"{name} must be a whole number of at least 1, or None, not {shown(value)}")
            object.__setattr__(self, name, number)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Limits(Value):
    """The bounds of a hub: ``Hub(store, limits=Limits(ring=65_536))``. Numbers count events if no unit is named.

    Beside the numbers of events there are budgets of bytes, and what is reached first counts. Bytes are those of the
    payload as JSON; an event of less than 1 KiB is bounded by its number alone. In memory an event takes twice as much
    and more, because its line is kept with it. A single event or command may be larger than a budget: then it is alone.

    Raises :class:`~hubwire.errors.ConfigurationError` for a bound that cannot work.
    """

    ring: int = 16_384
    """How many recent events are kept in memory: so many at least, if ``ring_bytes_max`` allows it."""
    ring_bytes_max: int = RING_BYTES_MAX
    """The bytes of these events, and of what emitters wait for a BLOCK listener to handle. Older ones are read in the
    journal."""
    in_flight_max: int = 1024
    """Emitters wait while so many events are uncommitted."""
    in_flight_bytes_max: int = 16 * 1024 * 1024
    """Emitters wait while the uncommitted events have so many bytes; listeners that cannot wait, twice as many."""
    batch_bytes_max: int = BATCH_BYTES_MAX
    """The bytes of a batch: of what a listener gets at once, and of what the journal appends at once."""
    thread_bytes_max: int = 16 * 1024 * 1024
    """The bytes of what ``emit_threadsafe`` was given and has not put yet."""
    listener_reserve: int = 256
    """How many more the listeners that the commit waits for may emit, because they cannot wait."""
    event_bytes_max: int = 8 * 1024 * 1024
    """The size of an event's JSON; larger ones are refused."""
    close_seconds_max: float = 10.0
    """How long closing takes at most: for actors, listeners, the last commit, and the journal."""
    snapshot_bytes: int = 16 * 1024 * 1024
    """A snapshot of the state is written when so much has been journaled, and as much as the snapshot before took."""
    journal_bytes_max: int = 1024 * 1024 * 1024
    """The journal keeps no more, but for what is journaled while room is made: the DURABLE listener that is farthest
    behind is suspended, and misses what has to go."""
    history_bytes_max: int = 256 * 1024 * 1024
    """So much of what was said in channels is kept when the journal is truncated, for their histories, the newest; 0:
    none. Without a store, a quarter of it is kept in memory."""
    arbiter_seconds_max: float = 5.0
    """How long the arbiter may take to answer; then the command is denied."""
    tenants: TenantLimits | Mapping[str, TenantLimits] | None = None
    """Quotas of tenants: for each the same, or by their names, ``"*"`` for all others."""

    def __attrs_post_init__(self) -> None:
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            number = _whole(value)
            if number is None or number < smallest:
                raise ConfigurationError(f"{name} must be a whole number of at least {smallest}, not {shown(value)}")
            if number > _LARGEST:
                raise ConfigurationError(f"{name} must be at most {_LARGEST}, not {shown(value)}")
            object.__setattr__(self, name, number)
        for name in ("close_seconds_max", "arbiter_seconds_max"):
            value = getattr(self, name)
            seconds = number_of(value)
            if seconds is None or not 0 <= seconds <= _SECONDS_MAX:
                raise ConfigurationError(
                    f"{name} must be a number of seconds, 0 or more and at most {_SECONDS_MAX:g}, not {shown(value)}"
                )
            object.__setattr__(self, name, seconds)
        object.__setattr__(self, "tenants", _quotas(self.tenants))


def _quotas(given: Any) -> TenantLimits | Mapping[str, TenantLimits] | None:
    if given is None or type(given) is TenantLimits:
        return given
    error = ConfigurationError(f"tenants must be TenantLimits, or a mapping from names to them, not {shown(given)}")
    if not is_a(given, Mapping):
        raise error
    try:
        quotas = dict(given)
    except Exception as failure:
        raise error from failure
    for name, limits in quotas.items():
        if type(name) is not str or type(limits) is not TenantLimits:
            raise ConfigurationError(f"tenants[{shown(name)}] must be TenantLimits by a name, not {shown(limits)}")
    return MappingProxyType(quotas)


def _whole(value: Any) -> int | None:
    """Return the whole number that a value is, such as 1e9 or a number of numpy; None if it is none."""
    if is_a(value, float):
        number = number_of(value)
        return int(number) if number is not None and number.is_integer() else None
    return whole_of(value)


_SMALLEST = {
    "ring": 1,
    "in_flight_max": 1,
    "listener_reserve": 0,
    "event_bytes_max": 1,
    "ring_bytes_max": 1,
    "in_flight_bytes_max": 1,
    "batch_bytes_max": 1,
    "thread_bytes_max": 1,
    "snapshot_bytes": 1,
    "journal_bytes_max": _JOURNAL_BYTES_MIN,
    "history_bytes_max": 0,
}
