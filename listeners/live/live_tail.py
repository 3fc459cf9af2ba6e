"""LiveTail: the listener at which outsiders subscribe to the events of a hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from weakref import WeakSet

import attrs

from hubwire import Event, Hub
from hubwire.errors import ConfigurationError, InvalidCursor, Overloaded

from ._feed import Counts, Feed, Redactor
from ._items import cursor_after, seq_of
from ._subscriber import Subscriber

__all__ = ("LiveTail", "LiveTailStatistics")


@attrs.frozen(kw_only=True)
class LiveTailStatistics:
    """The state of a tail. Numbers count since it was made, unless they say otherwise."""

    subscribers: int
    """How many there are now."""
    subscribers_max: int
    subscribed: int
    refused: int
    """How many were refused, because ``subscribers_max`` was reached."""
    lag_max: int
    """How many committed events the slowest subscriber has not read, now."""
    sent: int
    """How many events were handed out, to all subscribers together."""
    missed: int
    """How many events were reported as :class:`Missed`, to all subscribers together."""
    redaction_failures: int
    """How many events were handed out without their payload, because the redactor raised."""


class LiveTail:
    """Lets up to ``subscribers_max`` outsiders follow the committed events of the hub it is attached to.

    ``redactor`` is called with each event before an outsider sees it, once for all subscribers while the event is
    recent. It returns the event (:func:`hubwire.events.evolve` makes an altered copy) or None to withhold it. If it
    raises, the event goes out without its payload. It must not wait: it runs on the loop.

    The attachment's own ``pattern`` and duty do not limit subscribers, because they read the hub's events themselves
    (so its pattern is one that hardly ever matches); the redactor decides what outsiders may see. Attached to another
    hub, it goes on with that one; the iterations of the first hub's subscribers end when that hub is closed.

    Raises :class:`~hubwire.errors.ConfigurationError` if ``subscribers_max`` is less than 1.
    """

    pattern = "hub.started"

    def __init__(self, *, redactor: Redactor | None = None, subscribers_max: int = 10_000) -> None:
        if subscribers_max < 1:
            raise ConfigurationError(f"subscribers_max={subscribers_max} must be at least 1")
        self._redactor = redactor
        self._subscribers_max = subscribers_max
        self._feed: Feed | None = None
        # Weak: a subscriber whose connection broke is gone as soon as its last reference is; there is no unsubscribing.
        self._subscribers: WeakSet[Subscriber] = WeakSet()
        self._counts = Counts()

    def bind(self, hub: Hub) -> None:
        """Serve the events of ``hub`` from now on."""
        self._feed = Feed(hub, self._redactor, self._counts)

    async def on_events(self, events: Sequence[Event]) -> None:
        """Ignore the events: subscribers read for themselves."""

    def subscribe(
        self, after: str | None = None, *, pattern: str | Iterable[str] = "*", lossy: bool = False
    ) -> Subscriber:
        """Return a subscriber to the events after the cursor ``after``: history, then live, no gap and no duplicate.

        By default from now on. ``pattern`` selects kinds, as in :meth:`hubwire.Hub.attach`. A subscriber that falls
        behind reads from the journal; a ``lossy`` one, and every subscriber of a hub without a journal, gets
        :class:`Missed` for events that are no longer in memory, and goes on after them. It need not be closed.

        Raises :class:`~hubwire.errors.InvalidCursor`; :class:`~hubwire.errors.Overloaded` if there are too many;
        :class:`~hubwire.errors.HubClosed` before the hub is started; :class:`~hubwire.errors.ConfigurationError` before
        the tail is attached, or for a pattern that can match no event.
        """
        feed = self._bound()
        hub = feed.hub
        hub.events()  # raises if the hub cannot be read: not started, or in another thread
        matcher = feed.matcher(pattern)
        newest = hub.statistics().committed - 1
        seq = newest if after is None else seq_of(after, hub.id)
        if seq > newest:
            raise InvalidCursor(
                f"the cursor is after event {seq}, but hub {hub.id} ends at {newest}: it was restored from an older"
                " copy. Subscribe without a cursor, and treat later events shown so far as lost"
            )
        if len(self._subscribers) >= self._subscribers_max:
            self._counts.refused += 1
            raise Overloaded(
                f"there are {self._subscribers_max} subscribers already; try again later, or make the LiveTail with a"
                " larger subscribers_max"
            )
        subscriber = Subscriber(feed, seq, matcher, lossy=lossy)
        self._subscribers.add(subscriber)
        self._counts.subscribed += 1
        return subscriber

    def cursor_after(self, seq: int) -> str:
        """Return the cursor after event ``seq``; -1 gives the one before the first event of all."""
        return cursor_after(self._bound().hub.id, seq)

    def statistics(self) -> LiveTailStatistics:
        """Return the state of the tail, now."""
        subscribers = list(self._subscribers)
        return LiveTailStatistics(
            subscribers=len(subscribers),
            subscribers_max=self._subscribers_max,
            lag_max=max((subscriber.lag for subscriber in subscribers), default=0),
            **attrs.asdict(self._counts),
        )

    def _bound(self) -> Feed:
        if self._feed is None:
            raise ConfigurationError("this LiveTail is not attached: Hub(listeners=[tail]), or hub.attach(tail)")
        return self._feed
