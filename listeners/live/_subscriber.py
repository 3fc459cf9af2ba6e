"""Subscribers: each reads the events of a hub from its own place."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hubwire import Event, EventStream, Matcher
from hubwire.errors import HistoryGone

from ._cursors import Place, other_history
from ._feed import BATCH_BYTES_MAX, Feed
from ._items import Missed, TailItem

__all__ = ("Subscriber", "TailBatches")


class Subscriber:
    """``async for item in subscriber``, or, much cheaper, ``async for batch in subscriber.batches()``.

    The iteration ends when the hub or the tail is closed; it raises the failure of the hub, or of reading the journal.
    One task at a time reads; cancelled while it waits, it has missed no event and can read on.

    A place that is no longer in memory is looked up with the first read, which raises
    :class:`~hubwire.errors.InvalidCursor` if it is one in another history than the hub has: it was restored from an
    older copy.
    """

    def __init__(self, feed: Feed, place: Place, matcher: Matcher, *, lossy: bool) -> None:
        self._feed = feed
        self._matcher = matcher
        self._lossy = lossy
        self._read_to = place
        """The place after all events read."""
        self._shown: TailItem | Missed | None = None
        """The last item handed out one by one."""
        self._rest: deque[TailItem | Missed] = deque()
        self._is_ended = False
        self._taken: Sequence[Event] = ()
        """Events after the place that are made ready in a thread: cancelled meanwhile, a task has not read them."""
        # It begins with the event before the place, which proves that the place is one in this history.
        self._unproved: Place | None = place if place.event_id else None
        self._stream = self._open(place.seq - 1 if place.event_id else place.seq)
        if place.event_id and (event := self._stream.peek()) is not None:
            self._check(place, event)

    @property
    def cursor(self) -> str:
        """The place after all items handed out so far, and all events that did not match: subscribe there to go on."""
        return self._feed.cursor(self._shown.place if self._rest and self._shown else self._read_to)

    @property
    def lag(self) -> int:
        """How many committed events it has not read."""
        stream = self._stream
        return max(0, stream.position + stream.behind - self._read_to.seq - 1) + len(self._rest)

    def batches(self) -> TailBatches:
        """Iterate over batches, which costs a fraction of iterating over items: tuples of 1 to 256 items.

        A batch holds either events or one :class:`Missed`. Where events are large it has fewer, so that it has about a
        quarter of a megabyte at most.
        """
        return TailBatches(self)

    def end(self) -> None:
        """End the iteration: a task that waits gets no more items. :attr:`cursor` is where to go on."""
        self._is_ended = True
        self._stream.end()

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> TailItem | Missed:
        if not self._rest:
            self._rest.extend(await self.take())
            if not self._rest:
                raise StopAsyncIteration
        self._shown = item = self._rest.popleft()
        return item

    async def take(self) -> tuple[TailItem | Missed, ...]:
        """Return the next batch as soon as there is one; an empty one when the hub or the tail is closed."""
        return await self._take(waits=True)

    async def take_there(self) -> tuple[TailItem | Missed, ...]:
        """Return the next batch of what has committed already; an empty one if none of it is for this subscriber."""
        return await self._take(waits=False)

    async def _take(self, *, waits: bool) -> tuple[TailItem | Missed, ...]:
        if self._rest:
            rest = tuple(self._rest)
            self._rest.clear()
            return rest
        while not self._is_ended:
            if not self._taken:
                # With the whole ring still to read, it would read on and on and never let another task run; and of
                # many that come back at once, each would read a batch in the same turn.
                if self._stream.behind:
                    await self._feed.wait_for_place()
                elif not waits:
                    return ()
                try:
                    events = await self._stream.take(bytes_max=BATCH_BYTES_MAX)
                except HistoryGone as gone:
                    if (missed := self._skip_to(gone.first_seq)) is None:
                        continue
                    return (missed,)
                if not events:
                    return ()
                if not (events := self._proved(events)):
                    continue
                self._taken = events
            start, events = self._read_to.seq + 1, self._taken
            if self._feed.has_to_prepare(start, events, self._matcher):
                await self._feed.prepare(events, self._matcher)
                if self._is_ended:
                    break
            self._taken = ()
            self._read_to = Place(events[-1].seq, events[-1].id)
            if batch := self._feed.batch(start, events, self._matcher):
                return batch
        return ()

    # -- its place --

    def _proved(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events without the one that was read to prove the place."""
        if self._unproved is None:
            return events
        self._check(self._unproved, events[0])
        self._unproved = None
        return events[1:]

    def _check(self, place: Place, event: Event) -> None:
        if (event.seq, event.id) != (place.seq, place.event_id):
            raise other_history(place, self._feed.hub.id, f"has {event.id} there")

    def _skip_to(self, first_seq: int) -> Missed | None:
        """Go on at the oldest event held; return what is missed, None if that is only what proves the place."""
        start, self._unproved = self._read_to.seq + 1, None
        self._stream = self._open(first_seq - 1)
        if first_seq <= start:
            return None
        self._read_to = Place(first_seq - 1)
        return self._feed.missed(start, first_seq - 1)

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
