"""LiveTail: many outsiders follow one hub, each at a place of its own, and go on there after a break.

A subscriber reads the hub's journal and ring itself, through :meth:`hubwire.Hub.events`: there is no queue that could
grow. What costs something is done once for all of them: an event is redacted and encoded once, and subscribers that
are at the same place with the same pattern get the very same batch.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import attrs
import structlog

from hubwire import Event, EventStream, GenericEvent, Hub, Matcher, UnknownEvent, codec
from hubwire.errors import ConfigurationError, HistoryGone, InvalidCursor, Overloaded
from hubwire.waking import Waker

__all__ = ("LiveTail", "LiveTailStatistics", "Missed", "Redactor", "Subscriber", "TailBatches", "TailItem")

Redactor = Callable[[Event], Event | None]
"""Returns the event as outsiders may see it, or None if they may not see it at all."""

ITEMS_HELD = 4096
"""How many events are held redacted and encoded, for subscribers that come to them a little later than others."""

BATCHES_HELD = 64
CURSOR_CHARS_MAX = 512

_log = structlog.get_logger("hubwire.live")


# --- what a subscriber gets -----------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class TailItem:
    """An event on its way out. All subscribers share it."""

    event: Event
    """The event, as the redactor left it."""
    seq: int
    hub: str

    @cached_property
    def cursor(self) -> str:
        """The place after this event: text for a URL or a header, to give to :meth:`LiveTail.subscribe`."""
        return _cursor(self.hub, self.seq)

    @property
    def line(self) -> bytes:
        """The event as one JSON object, without a line feed, encoded once."""
        return codec.encode(self.event)


@attrs.frozen(kw_only=True)
class Missed:
    """The events from ``first_seq`` to ``last_seq`` are not to be had any more; what follows goes on after them.

    They are counted whether the subscriber's pattern matches them or not.
    """

    first_seq: int
    last_seq: int
    cursor: str
    """The place after the gap."""


@attrs.frozen(kw_only=True)
class LiveTailStatistics:
    """How a tail does. Numbers count since it was made, unless they say otherwise."""

    subscribers: int
    """How many there are now."""
    subscribers_max: int
    subscribed: int
    refused: int
    """How many were one too many."""
    lag_max: int
    """How many committed events the slowest of them has not read, now."""
    sent: int
    """How many events were handed out, to all of them together."""
    missed: int
    """How many events were told as :class:`Missed`, to all of them together."""
    redaction_failures: int
    """How many events were handed out without their payload, because the redactor raised."""


# --- cursors --------------------------------------------------------------------------------------------------------


def _cursor(hub_id: str, seq: int) -> str:
    return base64.urlsafe_b64encode(f"{seq}@{hub_id}".encode()).rstrip(b"=").decode()


def _seq_of(cursor: str, hub_id: str) -> int:
    """Return the ``seq`` that a cursor stands after. It comes from outside, and may be anything."""
    malformed = f"{str(cursor)[:80]!r} is not a cursor of a live tail; hand one back as it was given, or give none"
    if not isinstance(cursor, str) or not cursor.isascii() or len(cursor) > CURSOR_CHARS_MAX:
        raise InvalidCursor(malformed)
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        number, _, owner = text.partition("@")
        seq = int(number)
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor(malformed) from error
    if seq < -1 or not owner or _cursor(owner, seq) != cursor:
        raise InvalidCursor(malformed)
    if owner != hub_id:
        raise InvalidCursor(
            f"the cursor belongs to hub {owner}, but this is hub {hub_id}, whose events have other numbers; subscribe"
            " without a cursor, and take what was shown so far for another hub's"
        )
    return seq


# --- the tail -------------------------------------------------------------------------------------------------------


class LiveTail:
    """Lets up to ``subscribers_max`` outsiders follow the committed events of the hub it is attached to.

    ``redactor`` is called with each event before anybody outside sees it, once for all subscribers while the event is
    recent. It returns the event (:func:`hubwire.events.evolve` makes an altered copy) or None to withhold it. If it
    raises, the event goes out without its payload. It must not wait: it runs on the loop.

    The attachment's own ``pattern`` and duty limit nothing here, because subscribers read the hub's events themselves
    (so its pattern is one that hardly ever matches); what outsiders may see is the redactor's to say. Attached to
    another hub, it goes on with that one; subscribers of the first are at their end when that is closed.

    Raises :class:`~hubwire.errors.ConfigurationError` if ``subscribers_max`` is less than 1.
    """

    pattern = "hub.started"

    def __init__(self, *, redactor: Redactor | None = None, subscribers_max: int = 10_000) -> None:
        if subscribers_max < 1:
            raise ConfigurationError(f"subscribers_max={subscribers_max} must be at least 1")
        self._redactor = redactor
        self._subscribers_max = subscribers_max
        self._feed: _Feed | None = None
        # Nobody has to say goodbye: a subscriber that nobody holds any more, its connection being broken, is gone.
        self._subscribers: WeakSet[Subscriber] = WeakSet()
        self._count = _Count()

    def bind(self, hub: Hub) -> None:
        """Serve the events of ``hub`` from now on."""
        self._feed = _Feed(hub, self._redactor, self._count)

    async def on_events(self, events: Sequence[Event]) -> None:
        """Do nothing: subscribers read for themselves."""

    def subscribe(
        self, after: str | None = None, *, pattern: str | Iterable[str] = "*", lossy: bool = False
    ) -> Subscriber:
        """Return a subscriber to what comes after the cursor ``after``: history, then live, no gap and no duplicate.

        By default from now on. ``pattern`` selects kinds, as in :meth:`hubwire.Hub.attach`. A subscriber that falls
        behind reads from the journal; a ``lossy`` one, and every one of a hub without a journal, gets :class:`Missed`
        for what is in memory no more, and goes on after it. There is nothing to close.

        Raises :class:`~hubwire.errors.InvalidCursor`; :class:`~hubwire.errors.Overloaded` if there are too many;
        :class:`~hubwire.errors.HubClosed` before the hub is started; :class:`~hubwire.errors.ConfigurationError` before
        the tail is attached, or for a pattern that can match nothing.
        """
        feed = self._bound()
        hub = feed.hub
        hub.events()  # raises what is to be raised
        matcher = feed.matcher(pattern)
        newest = hub.statistics().committed - 1
        seq = newest if after is None else _seq_of(after, hub.id)
        if seq > newest:
            raise InvalidCursor(
                f"the cursor stands after event {seq}, but hub {hub.id} ends at {newest}: it was restored from an older"
                " copy. Subscribe without a cursor, and take what was shown after that for lost"
            )
        if len(self._subscribers) >= self._subscribers_max:
            self._count.refused += 1
            raise Overloaded(
                f"{self._subscribers_max} subscribers are there already; come again later, or make the LiveTail with a"
                " larger subscribers_max"
            )
        subscriber = Subscriber(feed, seq, matcher, lossy=lossy)
        self._subscribers.add(subscriber)
        self._count.subscribed += 1
        return subscriber

    def cursor_after(self, seq: int) -> str:
        """Return the cursor that stands after event ``seq``; -1 gives that before the first event of all."""
        return _cursor(self._bound().hub.id, seq)

    def statistics(self) -> LiveTailStatistics:
        """Return how the tail does, now."""
        subscribers = list(self._subscribers)
        return LiveTailStatistics(
            subscribers=len(subscribers),
            subscribers_max=self._subscribers_max,
            lag_max=max((subscriber.lag for subscriber in subscribers), default=0),
            **attrs.asdict(self._count),
        )

    def _bound(self) -> _Feed:
        if self._feed is None:
            raise ConfigurationError("this LiveTail is not attached: Hub(listeners=[tail]), or hub.attach(tail)")
        return self._feed


class Subscriber:
    """``async for item in subscriber``, or, much cheaper, ``async for batch in subscriber.batches()``.

    It ends when the hub is closed, and raises what the hub failed with, or what the journal could not be read for. One
    task at a time reads; cancelled while it waits, it has missed nothing, and may be read on.
    """

    def __init__(self, feed: _Feed, seq: int, matcher: Matcher, *, lossy: bool) -> None:
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
        """The place after everything handed out so far, and after what did not match: subscribe there to go on."""
        return _cursor(self._feed.hub.id, self._seq if self._rest else self._stream.position - 1)

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
            # Who has the whole ring before him would read on and on without ever waiting.
            if self._has_read and self._stream.behind:
                await self._feed.turn()
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


# --- what is shared -------------------------------------------------------------------------------------------------


@attrs.define
class _Count:
    """What :class:`LiveTailStatistics` counts."""

    subscribed: int = 0
    refused: int = 0
    sent: int = 0
    missed: int = 0
    redaction_failures: int = 0


class _Feed:
    """What the subscribers of one hub share: the items, the batches, and the turns they take."""

    def __init__(self, hub: Hub, redactor: Redactor | None, count: _Count) -> None:
        self.hub = hub
        self._redactor = redactor
        self._count = count
        self._items: dict[int, TailItem | None] = {}
        self._batches: dict[tuple[int, int, tuple[str, ...]], tuple[TailItem, ...]] = {}
        self._matchers: WeakValueDictionary[tuple[str, ...], Matcher] = WeakValueDictionary()
        self._waker = Waker()

    def matcher(self, pattern: str | Iterable[str]) -> Matcher:
        """Return the matcher of a pattern: the same one for all who ask for the same."""
        fresh = Matcher(pattern)
        return self._matchers.setdefault(fresh.patterns, fresh)

    def batch(self, start: int, events: Sequence[Event], matcher: Matcher) -> tuple[TailItem, ...]:
        """Return the items of those events, from ``start`` on, that match: made for the first who asks."""
        key = (start, len(events), matcher.patterns)
        batch = self._batches.get(key)
        if batch is None:
            batch = tuple(item for event in matcher.select(events) if (item := self._item(event)) is not None)
            self._batches[key] = batch
            if len(self._batches) > BATCHES_HELD:
                del self._batches[next(iter(self._batches))]
        self._count.sent += len(batch)
        return batch

    def _item(self, event: Event) -> TailItem | None:
        seq = event.seq
        try:
            return self._items[seq]
        except KeyError:
            pass
        shown = event if self._redactor is None else self._redact(self._redactor, event)
        item = self._items[seq] = None if shown is None else TailItem(shown, seq, event.hub)
        if len(self._items) > ITEMS_HELD:
            del self._items[next(iter(self._items))]
        return item

    def _redact(self, redactor: Redactor, event: Event) -> Event | None:
        try:
            shown = redactor(event)
            if shown is None or shown is event:
                return shown
            if isinstance(shown, UnknownEvent):
                # It encodes as the bytes it was read from, which hold what was to be hidden.
                shown = _with_own_body(shown)
            codec.encode(shown)
            return shown
        except Exception as error:  # noqa: BLE001 - a redactor's trouble must not let out what it should have hidden
            self._count.redaction_failures += 1
            # Not the error's text, which may quote the payload.
            _log.error("redactor raised", kind=event.kind, seq=event.seq, error=type(error).__name__)
            return GenericEvent(
                kind=event.kind,
                seq=event.seq,
                id=event.id,
                at=event.at,
                hub=event.hub,
                data={"$redacted": type(error).__name__},
            )

    def missed(self, first_seq: int, last_seq: int) -> Missed:
        self._count.missed += last_seq - first_seq + 1
        return Missed(first_seq=first_seq, last_seq=last_seq, cursor=_cursor(self.hub.id, last_seq))

    async def turn(self) -> None:
        """Return when the subscribers that asked earlier have had their turn to read on."""
        await self._waker.next_turn()


def _with_own_body(event: UnknownEvent) -> UnknownEvent:
    kind: Any = Event
    header = {field.name: getattr(event, field.name) for field in attrs.fields(kind) if field.init}
    present = {name: value for name, value in header.items() if value is not None and (name, value) != ("depth", 0)}
    body = codec.encode_fields({**event.fields, **present, "kind": event.kind})
    return UnknownEvent(**header, kind=event.kind, fields=event.fields, body=body)
