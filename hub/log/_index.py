"""An index of the events in a log: where they begin, about every 64 KiB. The readers of one process share it.

The writer notes where it has got to, and readers note what they pass. It is not kept on the store: after a restart it
is made again by the first reader that looks for an event, and only for where it looks.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right

import attrs

from .._values import Value

__all__ = ("SPACING_BYTES", "Place", "SeqIndex")

SPACING_BYTES = 64 * 1024
"""How far places are apart that are noted: so much is read to find an event between them."""

_CLOSE_BYTES = 4 * SPACING_BYTES
_CLOSE_EVENTS = 1024
_NOTES_MAX = 65_536


@attrs.frozen(eq=False, repr=False)
class Place(Value):
    """A place in a log: before a record that is there, or at the end."""

    segment: int
    """The index of the first record of the segment."""
    index: int
    """The index of the next record."""
    offset: int = 0
    """Where the line of the next record begins in the segment, in bytes."""
    has_checksums: bool = attrs.field(default=False, eq=False)
    """Whether a record before it in the segment is known to have a checksum: then the following ones have one too."""


class SeqIndex:
    """Places in one log: before each of them are all events below a ``seq``, and behind it those from there on."""

    def __init__(self) -> None:
        self.search: asyncio.Semaphore = asyncio.Semaphore(1)
        """Held by the reader that searches: the others find what it has noted."""
        self._seqs: list[int] = []
        self._places: list[Place] = []

    def __len__(self) -> int:
        return len(self._seqs)

    def note(self, seq: int, place: Place) -> None:
        """Note that the event ``seq`` is the first one at or behind a place."""
        at = bisect_left(self._seqs, seq)
        if at < len(self._seqs) and self._seqs[at] == seq:
            return
        if at and self._is_near(self._places[at - 1], place):
            return
        self._seqs.insert(at, seq)
        self._places.insert(at, place)
        if len(self._seqs) > _NOTES_MAX:
            del self._seqs[1::2], self._places[1::2]

    def find(self, seq: int) -> Place | None:
        """Return a place close before the event ``seq``; None if none is known that is close."""
        at = bisect_right(self._seqs, seq) - 1
        if at < 0:
            return None
        place = self._places[at]
        if at + 1 == len(self._seqs):
            return place  # the newest: the writer notes where it is
        following = self._places[at + 1]
        is_close = following.segment == place.segment and following.offset - place.offset <= _CLOSE_BYTES
        return place if is_close or self._seqs[at + 1] - self._seqs[at] <= _CLOSE_EVENTS else None

    def last_before(self, seq: int) -> Place | None:
        """Return the last place noted before the event ``seq``, however far before; None if there is none."""
        at = bisect_right(self._seqs, seq) - 1
        return self._places[at] if at >= 0 else None

    def forget_before(self, segment: int) -> None:
        """Forget the places in segments before this one."""
        number = bisect_left([place.segment for place in self._places], segment)
        del self._seqs[:number], self._places[:number]

    @staticmethod
    def _is_near(before: Place, place: Place) -> bool:
        """Return whether a place is too near behind another one to be worth a note."""
        return before.segment == place.segment and place.offset - before.offset < SPACING_BYTES // 2
