"""Where a board is in the history of a hub: what it has seen, and what it was not given."""

from __future__ import annotations

import attrs

from ._entries import GapEntry
from ._hub_views import GapView
from ._view import Rows

__all__ = ("Place", "PlaceKept")

_HUBS_MAX = 16
"""How many earlier hubs are remembered, whose events are known already."""


@attrs.define(eq=False)
class PlaceKept:
    """What a snapshot has of it."""

    hub: str
    seq: int
    first_seq: int
    earlier: dict[str, int]
    missing: int
    gaps: list[GapEntry]
    gaps_more: int


class Place:
    """The place behind the last event."""

    def __init__(self, gaps_max: int, *, may_skip: bool) -> None:
        self._gaps_max = gaps_max
        self._may_skip = may_skip
        self.hub: str = ""
        self.seq: int = -1
        self.first_seq: int = -1
        self.missing: int = 0
        self.gaps: list[GapEntry] = []
        self.gaps_more: int = 0
        self._earlier: dict[str, int] = {}

    def is_known(self, seq: object, hub: object, at: object) -> bool:
        """Tell whether an event was seen before, or has no place because no hub has stamped it."""
        if type(seq) is not int or seq < 0 or type(hub) is not str or not hub or type(at) is not str:
            return True
        return seq <= self.seq if hub == self.hub else hub in self._earlier

    def go(self, seq: int, hub: str, at: str) -> bool:
        """Go behind an event that is not known; return whether it is of another hub than the one before."""
        is_other = hub != self.hub and bool(self.hub)
        if is_other:
            self._earlier[self.hub] = self.seq
            if len(self._earlier) > _HUBS_MAX:
                del self._earlier[next(iter(self._earlier))]
            if seq <= self.seq:  # it does not number on, as a hub without a store does behind its audit log
                self.seq = -1
        self.hub = hub
        if self.first_seq < 0:
            self.first_seq = seq
        elif seq > self.seq + 1 and self.seq >= 0 and not self._may_skip:
            self.gap(self.seq + 1, seq - 1, "they were not given to the board", at)
        self.seq = seq
        return is_other

    def gap(self, first: int, last: int, reason: str, at: str) -> None:
        """Events are missing."""
        self.missing += last - first + 1
        self.gaps.append(GapEntry(first, last, reason, at))
        if len(self.gaps) > self._gaps_max:
            del self.gaps[0]
            self.gaps_more += 1

    def rows(self) -> Rows[GapView]:
        """Return what is missing, the newest last."""
        found = (
            GapView(first_seq=each.first_seq, last_seq=each.last_seq, reason=each.reason, at=each.at)
            for each in self.gaps
        )
        return Rows(tuple(found), self.gaps_more)

    def snapshot(self) -> PlaceKept:
        return PlaceKept(
            self.hub, self.seq, self.first_seq, dict(self._earlier), self.missing, list(self.gaps), self.gaps_more
        )

    def restore(self, kept: PlaceKept) -> None:
        self.hub, self.seq, self.first_seq, self._earlier = kept.hub, kept.seq, kept.first_seq, kept.earlier
        self.missing, self.gaps, self.gaps_more = kept.missing, kept.gaps, kept.gaps_more
