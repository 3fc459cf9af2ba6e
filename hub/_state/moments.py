"""Moments as numbers that can be compared (events write them as text), and a heap of deadlines."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar

__all__ = ("Deadlines", "deadline_ns", "is_duration", "text_of_ns")

SECONDS_MAX = 1e9
"""Thirty years: a longer time is a mistake, or means never, for which there is None."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

K = TypeVar("K", bound=Hashable)
"""What a deadline is for: an id, or a tuple of some."""


def deadline_ns(at: str, seconds: float) -> int:
    """Return the moment ``seconds`` after an event's ``at``, in nanoseconds since the epoch."""
    return _ns_of(at) + round(seconds * 1e9)


def _ns_of(at: str) -> int:
    """Return an event's ``at`` in nanoseconds since the epoch."""
    # Events of the hub have this form, and many are of one second.
    if len(at) == 27 and at[19] == "." and at[26] == "Z" and (micros := at[20:26]).isdecimal():
        return _ns_of_second(at[:19]) + int(micros) * 1000
    since = datetime.fromisoformat(at) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


@lru_cache(maxsize=4)
def _ns_of_second(second: str) -> int:
    return _ns_of(f"{second}Z")


def text_of_ns(moment_ns: int) -> str:
    """Return a moment as events write it: ISO 8601 in UTC with microseconds."""
    moment = _EPOCH + timedelta(microseconds=moment_ns // 1000)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def is_duration(seconds: object) -> bool:
    """Return whether this is a positive number of seconds, of at most thirty years."""
    if type(seconds) is not int and type(seconds) is not float:
        return False
    return 0 < seconds <= SECONDS_MAX


class Deadlines(Generic[K]):
    """A heap of deadlines; those of ids that are no longer ``alive`` do not count.

    Adding one and passing one cost O(log n). Those that no longer count are removed when they are as many as the
    others; until then they cost only memory. An id that dies and lives again would be due by its earlier deadline, too:
    use a new id each time.
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
        """Remove dead deadlines, after an id has died: those before the first live one, and all when they are most."""
        heap, alive = self._heap, self._alive
        while heap and heap[0][1] not in alive:
            heapq.heappop(heap)
        if heap and len(heap) > 2 * len(alive) + 64:
            self._heap = [each for each in heap if each[1] in alive]
            heapq.heapify(self._heap)

    def passed(self, now_ns: int) -> Iterator[K]:
        """Iterate over the ids whose deadline has passed, the earliest first; this looks at no others.

        The heap stays as it is. When the ids that a caller has taken are dead, their deadlines come first in it, where
        :meth:`tidy` removes them.
        """
        ahead = [(each, 0) for each in self._heap[:1]]
        while ahead and ahead[0][0][0] <= now_ns:
            (_, id), place = heapq.heappop(ahead)  # noqa: A001 - that is what it is
            if id in self._alive:
                yield id
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(self._heap):
                    heapq.heappush(ahead, (self._heap[child], child))
