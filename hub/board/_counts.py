"""How many events there were, by kind and over time, stacked by what they mean to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import attrs
import msgspec

from ._hub_views import Bucket, CountsView
from ._limits import BoardLimits
from ._reading import NAME_MAX, Misfit, time_of

__all__ = ("ATTENTION", "OTHER", "WIDTHS", "WRONG", "Counts", "CountsKept", "meaning_of")

OTHER: Final = 0
ATTENTION: Final = 1
WRONG: Final = 2

WIDTHS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600}
"""How many seconds one count is about."""

_MEANINGS: Mapping[str, int] = {
    **dict.fromkeys(
        (
            *("actor.crashed", "approval.approver_failed", "envelope.dead_lettered", "envelope.dispatch_failed"),
            *("envelope.dropped", "error.raised", "expectation.failed", "expectation.handler_failed"),
            *("expectation.violated", "group.crashed", "group.stopped", "hub.guest_failed", "listener.failed"),
            *("listener.suspended", "loop.blocked", "mailbox.overflowed", "model.failed", "task.failed"),
            *("task.mirror_failed", "tool.failed", "turn.failed"),
        ),
        WRONG,
    ),
    **dict.fromkeys(
        (
            *("approval.denied", "approval.escalated", "approval.expired", "channel.expired", "command.denied"),
            *("envelope.expired", "envelope.rejected", "hub.clock_stepped", "hub.entry_set_aside"),
            *("hub.event_questioned", "inbox.pressured", "loop.warned", "model.abandoned", "quota.breached"),
            *("replay.rejected", "task.expired", "tool.abandoned", "turn.abandoned"),
        ),
        ATTENTION,
    ),
}
_OF_HEADERS: Mapping[Any, int] = {"failure": WRONG, "error": WRONG, "denied": ATTENTION, "warning": ATTENTION}


def meaning_of(kind: str, severity: object, outcome: object) -> int:
    """Return whether an event is wrong, needs attention, or is one of all others."""
    meaning = _MEANINGS.get(kind, OTHER)
    if meaning != WRONG and (severity is not None or outcome is not None):
        for value in (severity, outcome):
            if isinstance(value, str):
                meaning = max(meaning, _OF_HEADERS.get(value, OTHER))
    return meaning


@attrs.define(eq=False)
class CountsKept:
    """What a snapshot has of them."""

    total: int
    meanings: Annotated[list[int], msgspec.Meta(min_length=3, max_length=3)]
    kinds: dict[str, int]
    kinds_more: int
    second: int
    rings: dict[str, list[Annotated[list[int], msgspec.Meta(min_length=4, max_length=4)]]]


class Counts:
    """Counts events, and keeps the time of the newest."""

    def __init__(self, limits: BoardLimits) -> None:
        self._most = {"second": limits.seconds, "minute": limits.minutes, "hour": limits.hours}
        self._kinds_max = limits.kinds
        self.total: int = 0
        self.meanings: list[int] = [0, 0, 0]
        self.kinds: dict[str, int] = {}
        self.kinds_more: int = 0
        """How many events were of kinds that are not counted one by one."""
        self.second: int = 0
        """When the newest event was, in whole seconds since 1970."""
        self.rings: dict[str, dict[int, list[int]]] = {width: {} for width in WIDTHS}
        """By width and number of the bucket, how many events of each meaning."""
        self._text = ""
        self._now: list[list[int]] = []

    def add(self, at: str, kind: str, meaning: int) -> None:
        """Count an event. Raises :class:`~hubwire.board._reading.Misfit` for what is no time."""
        if type(at) is not str or at[:19] != self._text:
            self._to(at)
        for bucket in self._now:
            bucket[meaning] += 1
        self.total += 1
        self.meanings[meaning] += 1
        kinds = self.kinds
        if kind in kinds:
            kinds[kind] += 1
        elif len(kinds) < self._kinds_max and len(kind) <= NAME_MAX:
            kinds[kind] = 1
        else:
            self.kinds_more += 1

    def _to(self, at: str) -> None:
        """Go on with the second of this time."""
        found = time_of(at)
        if found is None:
            raise Misfit
        self._text = at[:19]
        self.second = int(found)
        self._now = []
        for width, seconds in WIDTHS.items():
            ring = self.rings[width]
            self._now.append(ring.setdefault(self.second // seconds, [0, 0, 0]))
            if len(ring) > self._most[width]:
                del ring[next(iter(ring))]

    def ring(self, width: str, buckets: int, last: int) -> list[tuple[int, list[int]]]:
        """Return so many buckets up to the second ``last``: when each begins, and its counts."""
        seconds, ring = WIDTHS[width], self.rings[width]
        end = last // seconds
        return [(at * seconds, ring.get(at) or [0, 0, 0]) for at in range(end - buckets + 1, end + 1)]

    def view(self, per: str, buckets: int, last: int) -> CountsView:
        """Return the same to look at."""
        ring = self.ring(per, buckets, last)
        found = [
            Bucket(start=float(start), wrong=counts[WRONG], attention=counts[ATTENTION], other=counts[OTHER])
            for start, counts in ring
        ]
        return CountsView(per=per, width_seconds=WIDTHS[per], buckets=tuple(found))

    # -- snapshots --

    def snapshot(self) -> CountsKept:
        rings = {width: [[at, *counts] for at, counts in ring.items()] for width, ring in self.rings.items()}
        return CountsKept(self.total, list(self.meanings), dict(self.kinds), self.kinds_more, self.second, rings)

    def restore(self, kept: CountsKept) -> None:
        self.total, self.meanings, self.kinds = kept.total, kept.meanings, kept.kinds
        self.kinds_more, self.second = kept.kinds_more, kept.second
        self.rings = {width: {at: counts for at, *counts in kept.rings.get(width, ())} for width in WIDTHS}
