"""EventStream: committed events for trusted code in the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from .._commit.pipeline import Pipeline
from ..errors import repeat
from ..events import Event
from ..ports import Journal
from .cursor import Cursor
from .matcher import Matcher

__all__ = ("EventStream",)


class EventStream:
    """``async for event in hub.events()``, or :meth:`take` for batches. There is nothing to close."""

    def __init__(
        self, pipeline: Pipeline, journal: Journal | None, after: int | None, pattern: str | Iterable[str]
    ) -> None:
        ring = pipeline.ring
        self._lifecycle = pipeline.lifecycle
        self._committed = pipeline.ring.committed
        start = ring.applied.value if after is None else after + 1
        self._cursor = Cursor(ring, journal, ring.committed, Matcher(pattern), start)
        self._batch: deque[Event] = deque()

    @property
    def position(self) -> int:
        """The ``seq`` of the next event it looks at: those before it were returned, or do not match."""
        return self._batch[0].seq if self._batch else self._cursor.seq

    @property
    def behind(self) -> int:
        """How many committed events it has not looked at yet."""
        return max(0, self._cursor.limit - self.position)

    async def take(self) -> Sequence[Event]:
        """Return the next events as soon as there are any, at most 256; none when the hub is closed.

        Raises what iterating raises. Cancelled, it has taken nothing.
        """
        if self._batch:
            rest = tuple(self._batch)
            self._batch.clear()
            return rest
        while True:
            if self._cursor.behind > 0:
                if events := await self._cursor.take():
                    return events
            elif self._lifecycle.failure is not None:
                raise repeat(self._lifecycle.failure)
            elif self._cursor.ended:
                return ()
            else:
                await self._cursor.wait()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        if not self._batch:
            self._batch.extend(await self.take())
            if not self._batch:
                raise StopAsyncIteration
        return self._batch.popleft()
