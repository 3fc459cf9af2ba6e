"""EventStream: committed events for trusted code in the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

from .._commit.pipeline import Pipeline
from .._reraise import repeat
from ..errors import HistoryGone
from ..events import Event
from ..position import Position
from .cursor import Cursor
from .matcher import ALL, Filters, matcher_of
from .replays import Replays

__all__ = ("EventStream",)


class EventStream:
    """``async for event in hub.events()``, or :meth:`take` for batches. It need not be closed."""

    def __init__(
        self,
        pipeline: Pipeline,
        replays: Replays | None,
        after: int | None,
        pattern: str | Iterable[str],
        position: Position | None = None,
        filters: Filters | None = None,
    ) -> None:
        """``position`` is that of ``after``: it is proved before the first event is returned."""
        ring = pipeline.ring
        self._ring, self._replays, self._unproved = ring, replays, position
        self._lifecycle = pipeline.lifecycle
        self._committed = pipeline.ring.committed
        start = ring.applied.value if after is None else after + 1
        matcher = ALL if pattern == "*" and filters is None else matcher_of(pattern, filters)
        self._cursor = Cursor(ring, replays, ring.committed, matcher, start, pipeline.possession)
        self._tenant = None if filters is None or not filters.is_all_there_is else filters.tenant
        self._only = None if self._tenant is None else matcher
        self._batch: deque[Event] = deque()
        self._is_ended = False

    @property
    def position(self) -> int:
        """The ``seq`` of the next event it looks at: those before it were returned, or do not match."""
        return self._batch[0].seq if self._batch else self._cursor.seq

    @property
    def behind(self) -> int:
        """How many committed events it has not looked at yet."""
        return max(0, self._cursor.limit - self.position)

    def peek(self) -> Event | None:
        """Return the next event it looks at, whether it matches or not, if it is in memory; it stays where it is.

        One that a tenant reads shows no event of others here.
        """
        event = self._batch[0] if self._batch else self._cursor.peek()
        return event if event is None or self._only is None or self._only.select((event,)) else None

    def end(self) -> None:
        """End the iteration: a task that waits for events gets none, and so do all later calls."""
        self._is_ended = True
        self._cursor.wake()

    async def take(self, *, bytes_max: int | None = None) -> Sequence[Event]:
        """Return the next events as soon as there are any, at most 256; none when the hub is closed.

        They are fewer where they are large, so that they have no more bytes than a batch of a listener, or than
        ``bytes_max``, but for a single event. Raises what iterating raises. Cancelled, it has taken no events.
        """
        if self._batch:
            rest = tuple(self._batch)
            self._batch.clear()
            return rest
        if self._unproved is not None:
            await self._prove(self._unproved)
        while not self._is_ended:
            if self._cursor.behind > 0:
                if events := await self._cursor.take(bytes_max=bytes_max):
                    return events
            elif self._lifecycle.failure is not None:
                raise repeat(self._lifecycle.failure)
            elif self._cursor.ended:
                return ()
            else:
                await self._cursor.wait()
        return ()

    async def _prove(self, position: Position) -> None:
        """Compare the event before the place with the hub's, if that is still held."""
        seq = position.seq
        events: Sequence[Event] = ()
        if seq >= self._ring.first:
            events = self._ring.slice(seq, seq + 1)
        elif self._replays is not None:
            with suppress(HistoryGone):
                events = await self._replays.read(seq, seq + 1, 1)
        if events and events[0].id != position.id:
            is_here = events[0].id if self._tenant is None else "another one"
            raise position.other_history(f"event {seq} is {is_here} here")
        if events and self._tenant is not None and events[0].tenant != self._tenant:
            raise position.other_history(f"event {seq} is another one here")
        self._unproved = None

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        if not self._batch:
            self._batch.extend(await self.take())
            if not self._batch:
                raise StopAsyncIteration
        return self._batch.popleft()
