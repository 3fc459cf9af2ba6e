"""The weights of the events on the ring: how many bytes they hold, and where a stretch of so many bytes ends."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ("LIGHT", "Weights")

LIGHT = 1024
"""An event below this weight is not noted: the number of events bounds those."""


class Weights:
    """The weights of the heavy events in a range of ``seq`` that grows at its end and shrinks at its beginning."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        """The heavy events; empty as long as there are none, which is how one asks quickly."""
        self.total: int = 0
        """The weight of all heavy events that there ever were."""
        self._ends: list[int] = []
        """What ``total`` was when each of them had been added."""
        self._forgotten = 0
        """What ``total`` was before the first of them."""

    def add(self, seq: int, weight: int) -> None:
        """Note the next heavy event."""
        self.total += weight
        self.seqs.append(seq)
        self._ends.append(self.total)

    def held(self) -> int:
        """Return the weight of all events that are not forgotten."""
        return self.total - self._forgotten

    def between(self, start: int, end: int) -> int:
        """Return the weight of the events ``[start, end)``."""
        return self._before(end) - self._before(start)

    def end_within(self, start: int, end: int, bytes_max: int) -> int:
        """Return the end, at most ``end``, of the longest stretch from ``start`` on that weighs no more.

        The stretch has one event at least, of any weight.
        """
        seqs, first = self.seqs, bisect_left(self.seqs, start)
        heaviest = bisect_left(self._ends, self._before(start) + bytes_max + 1, first)
        if heaviest >= len(seqs) or seqs[heaviest] >= end:
            return end
        return max(seqs[heaviest], start + 1)

    def start_within(self, bytes_max: int) -> int:
        """Return the ``seq`` from which on the events weigh no more; 0 if all together do not."""
        last = bisect_left(self._ends, self.total - bytes_max)
        return self.seqs[last] + 1 if self.held() > bytes_max else 0

    def forget_before(self, seq: int) -> None:
        """Forget the events below ``seq``."""
        if self.seqs and self.seqs[0] < seq:
            number = bisect_left(self.seqs, seq)
            self._forgotten = self._ends[number - 1]
            del self.seqs[:number], self._ends[:number]

    def _before(self, seq: int) -> int:
        number = bisect_left(self.seqs, seq)
        return self._ends[number - 1] if number else self._forgotten
