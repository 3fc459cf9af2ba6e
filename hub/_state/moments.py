"""Moments: what events write as text, as numbers that can be compared, and a heap of deadlines."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Hashable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar

__all__ = ("Deadlines", "deadline_ns", "is_duration")

SECONDS_MAX = 1e9
"""Thirty years: longer is a mistake, or a way to say never, for which there is None."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

K = TypeVar("K", bound=Hashable)
"""What a deadline is for: an id, or a tuple of some."""


def deadline_ns(at: str, seconds: float) -> int:
    """Return the moment ``seconds`` after an event's ``at``, in nanoseconds since the epoch."""
    return (datetime.fromisoformat(at) - _EPOCH) // _MICROSECOND * 1000 + round(seconds * 1e9)


def is_duration(seconds: object) -> bool:
    """Tell whether this is a number of seconds that something may last."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return False
    return math.isfinite(seconds) and 0 < seconds <= SECONDS_MAX


class Deadlines(Generic[K]):
    """A heap of deadlines; those of ids that are no longer ``alive`` do not count.

    Adding one and passing one cost O(log n). Those that no longer count cost nothing until they are as many as the
    others, and are cleared away then. An id that dies and lives again with an earlier deadline left behind would be
    due by that one: give it a new id each time.
    """

    def __init__(self, alive: Collection[K]) -> None:
        self._alive = alive
        self._heap: list[tuple[int, Any]] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deadlines) and self._counting() == other._counting()

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def _counting(self) -> list[tuple[int, Any]]:
        return sorted(each for each in self._heap if each[1] in self._alive)

    @property
    def next_ns(self) -> int | None:
        """The earliest deadline; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, moment_ns: int, id: K) -> None:  # noqa: A002 - that is what it is
        heapq.heappush(self._heap, (moment_ns, id))

    def tidy(self) -> None:
        """An id is no longer alive: let its deadline not be the next one, and the dead not be the most."""
        while self._heap and self._heap[0][1] not in self._alive:
            heapq.heappop(self._heap)
        if len(self._heap) > 2 * len(self._alive) + 64:
            self._heap = [each for each in self._heap if each[1] in self._alive]
            heapq.heapify(self._heap)

    def passed(self, now_ns: int) -> Iterator[K]:
        """Iterate over the ids whose deadline has passed, the earliest first; looks at no others.

        So who takes only some of them leaves the dead where :meth:`tidy` takes them away, and not in the way of others.
        """
        ahead = [(each, 0) for each in self._heap[:1]]
        while ahead and ahead[0][0][0] <= now_ns:
            (_, id), place = heapq.heappop(ahead)  # noqa: A001 - that is what it is
            if id in self._alive:
                yield id
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(self._heap):
                    heapq.heappush(ahead, (self._heap[child], child))
