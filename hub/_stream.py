"""EventStream: committed events for trusted code in the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ._cursor import Cursor
from ._matcher import Matcher
from ._pipeline import Pipeline
from .errors import repeat
from .events import Event
from .ports import Journal

__all__ = ("EventStream",)


class EventStream:
    """``async for event in hub.events()``. There is nothing to close."""

    def __init__(
        self, pipeline: Pipeline, journal: Journal | None, after: int | None, pattern: str | Iterable[str]
    ) -> None:
        ring = pipeline.ring
        self._pipeline = pipeline
        self._matcher = Matcher(pattern)
        self._cursor = Cursor(ring, journal, ring.committed, ring.applied.value if after is None else after + 1)
        self._batch: deque[Event] = deque()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while not self._batch:
            if self._cursor.behind > 0:
                self._batch.extend(self._matcher.select(await self._cursor.take()))
            elif self._pipeline.failure is not None:
                raise repeat(self._pipeline.failure)
            elif self._pipeline.ring.committed.ended:
                raise StopAsyncIteration
            else:
                await self._cursor.wait()
        return self._batch.popleft()
