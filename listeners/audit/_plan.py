"""Which segments of a log a retention takes away: decided by reading, and by the store alone."""

from __future__ import annotations

import attrs

from hubwire.clock import timestamp
from hubwire.errors import InvalidRecord, LogDamaged
from hubwire.log import last_fields, list_segments, moment_of, read_kept, segment_path
from hubwire.ports import KnowledgeStore

from ._holds import Keeping
from .retention import Hold, Pruning, Retention

__all__ = ("Plan", "plan_for")

_DAY_NS = 86_400 * 10**9
_STAY = 2
"""So many segments always stay: the last may hold no event yet, and the one before says where the log stood."""


@attrs.frozen
class Plan:
    """What a pruning removes, and what it does not."""

    path: str
    begins: int
    """Where the log begins now."""
    first: int
    """Where it begins then."""
    segments: tuple[int, ...] = ()
    """Those that go."""
    size_bytes: int = 0
    reasons: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    def held_by(self, holds: tuple[Hold, ...]) -> Plan:
        """Return the plan that removes nothing, because of these holds."""
        held = tuple(map(str, holds))
        return attrs.evolve(self, first=self.begins, segments=(), size_bytes=0, reasons=(), held=held)

    def report(self, *, is_dry_run: bool) -> Pruning:
        """Return it as its caller sees it."""
        return Pruning(
            path=self.path,
            is_dry_run=is_dry_run,
            first=self.first,
            records=self.first - self.begins,
            segments=len(self.segments),
            size_bytes=self.size_bytes,
            reasons=self.reasons,
            held=self.held,
        )


async def plan_for(store: KnowledgeStore, path: str, retention: Retention, keeping: Keeping, now_ns: int) -> Plan:
    """Return what a retention removes from a log now. It only reads, and needs no hold.

    Raises :class:`~hubwire.errors.LogDamaged` for a segment that does not end as sealed ones do.
    """
    kept = (await read_kept(store, path)).first
    segments = [first for first in await list_segments(store, path) if first >= kept]
    planning = _Planning(store, path, retention, now_ns, len(segments))
    if retention.bytes_max is not None:
        planning.bytes_left = sum([await store.size(segment_path(path, first)) or 0 for first in segments])
    held: list[str] = []
    for first in segments[:-_STAY]:
        sealed_ns, size = await planning.look_at(first)
        if not (reasons := planning.reasons_for(sealed_ns)):
            break
        if keeping.holds:
            held = [f"{hold}" for hold in keeping.holds]
            break
        if (floor := planning.floor_for(first, sealed_ns, keeping)) is not None:
            held = [floor]
            break
        planning.take(first, size, reasons)
    begins = segments[0] if segments else 0
    return Plan(
        path,
        begins,
        segments[len(planning.gone)] if planning.gone else begins,
        tuple(planning.gone),
        planning.size_bytes,
        tuple(planning.reasons),
        tuple(held),
    )


class _Planning:
    def __init__(self, store: KnowledgeStore, path: str, retention: Retention, now_ns: int, segments: int) -> None:
        self.gone: list[int] = []
        self.size_bytes: int = 0
        self.reasons: dict[str, None] = {}
        self.bytes_left: int = 0
        self._store = store
        self._path = path
        self._retention = retention
        self._now_ns = now_ns
        self._segments_left = segments

    async def look_at(self, first: int) -> tuple[int | None, int]:
        """Return when a segment was sealed, and its bytes."""
        segment = segment_path(self._path, first)
        size = await self._store.size(segment) or 0
        try:
            fields = await last_fields(self._store, segment, size)
        except InvalidRecord as error:
            raise LogDamaged(
                f"{segment} does not end in a record ({error}); no record was pruned: see hubwire doctor",
                path=segment,
                byte_offset=size,
            ) from error
        return moment_of(fields.get("at")), size

    def reasons_for(self, sealed_ns: int | None) -> list[str]:
        """Return which limits the oldest segment is over."""
        limits, reasons = self._retention, []
        if limits.days is not None and sealed_ns is not None and self._now_ns - sealed_ns > limits.days * _DAY_NS:
            reasons.append(f"older than {_days(limits.days)}")
        if limits.bytes_max is not None and self.bytes_left > limits.bytes_max:
            reasons.append(f"the log has more than {limits.bytes_max:,} bytes")
        if limits.segments_max is not None and self._segments_left > limits.segments_max:
            reasons.append(f"the log has more than {limits.segments_max:,} segments")
        return reasons

    def floor_for(self, first: int, sealed_ns: int | None, keeping: Keeping) -> str | None:
        """Return why the floor keeps a segment; None if it does not."""
        days_min = max(self._retention.days_min, keeping.days_min)
        if not days_min or (sealed_ns is not None and self._now_ns - sealed_ns >= days_min * _DAY_NS):
            return None
        sealed = "at a time that is not known" if sealed_ns is None else f"at {timestamp(sealed_ns)}"
        return (
            f"records have to be kept for {_days(days_min)} (days_min): the segment that begins with record {first} was"
            f" sealed {sealed}"
        )

    def take(self, first: int, size: int, reasons: list[str]) -> None:
        """The segment goes."""
        self.gone.append(first)
        self.size_bytes += size
        self.bytes_left -= size
        self._segments_left -= 1
        self.reasons |= dict.fromkeys(reasons)


def _days(days: float) -> str:
    return f"{days:g} day{'' if days == 1 else 's'}"
