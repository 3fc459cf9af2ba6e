"""Subscribers: each reads the events of a hub from its own place."""

from __future__ import annotations

from collections import deque

from hubwire import EventStream, Matcher
from hubwire.errors import HistoryGone

from ._feed import Feed
from ._items import Missed, TailItem, cursor_after

__all__ = ("Subscriber", "TailBatches")


class Subscriber:
    """``async for item in subscriber``, or, much cheaper, ``async for batch in subscriber.batches()``.

    The iteration ends when the hub is closed; it raises the failure of the hub, or of reading the journal. One task at
    a time reads; cancelled while it waits, it has missed no event and can read on.
    """

    def __init__(self, feed: Feed, seq: int, matcher: Matcher, *, lossy: bool) -> None:
        self._feed = feed
        self._matcher = matcher
        self._lossy = lossy
        self._stream = self._open(seq)
        self._rest: deque[TailItem | Missed] = deque()
        self._seq = seq
        """The last event handed out one by one."""
        self._has_read = False

    @property
    def cursor(self) -> str:
        """The place after all items handed out so far, and all events that did not match: subscribe there to go on."""
        return cursor_after(self._feed.hub.id, self._seq if self._rest else self._stream.position - 1)

    @property
    def lag(self) -> int:
        """How many committed events it has not read."""
        return self._stream.behind + len(self._rest)

    def batches(self) -> TailBatches:
        """Iterate over batches, which costs a fraction of iterating over items: tuples of 1 to 256 items.

        A batch holds either events or one :class:`Missed`.
        """
        return TailBatches(self)

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> TailItem | Missed:
        if not self._rest:
            self._rest.extend(await self.take())
            if not self._rest:
                raise StopAsyncIteration
        item = self._rest.popleft()
        self._seq = item.last_seq if isinstance(item, Missed) else item.seq
        return item

    async def take(self) -> tuple[TailItem | Missed, ...]:
        """Return the next batch as soon as there is one; an empty one when the hub is closed."""
        if self._rest:
            rest = tuple(self._rest)
            self._rest.clear()
            return rest
        while True:
            # With the whole ring still to read, it would read on and on and never let another task run.
            if self._has_read and self._stream.behind:
                await self._feed.wait_for_place()
            self._has_read = True
            start = self._stream.position
            try:
                events = await self._stream.take()
            except HistoryGone as gone:
                self._stream = self._open(gone.first_seq - 1)
                return (self._feed.missed(start, gone.first_seq - 1),)
            if not events:
                return ()
            if batch := self._feed.batch(start, events, self._matcher):
                return batch

    def _open(self, seq: int) -> EventStream:
        return self._feed.hub.events(after=seq, history=not self._lossy)


class TailBatches:
    """Iterates over a subscriber by batches."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def __aiter__(self) -> TailBatches:
        return self

    async def __anext__(self) -> tuple[TailItem | Missed, ...]:
        if batch := await self._subscriber.take():
            return batch
        raise StopAsyncIteration
