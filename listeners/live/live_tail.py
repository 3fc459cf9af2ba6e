"""LiveTail: the listener at which outsiders subscribe to the events of a hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

import attrs

from hubwire import Agent, Channel, Event, Hub
from hubwire.errors import ConfigurationError, HubClosed, Overloaded
from hubwire.late_types import late_type

from ._cursors import Cursors, other_history
from ._feed import Counts, Feed
from ._redacting import RedactingFunction, redacting
from ._subscriber import Subscriber

if TYPE_CHECKING:
    from hubwire.redaction import Redactor
else:
    Redactor = late_type("hubwire.redaction", "Redactor")

__all__ = ("LiveTail", "LiveTailStatistics")

_SEQ_MAX = 2**53


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
    """How many events were handed out without their payload, because the redactor or one of its rules raised."""


class LiveTail:
    """Lets up to ``subscribers_max`` outsiders follow the committed events of the hub it is attached to.

    What is personal or secret is redacted before an outsider sees it, once for all subscribers while the event is
    recent, by the rules of the package: see :class:`~hubwire.redaction.Redactor`. ``redactor`` is another one, or None
    to show everything; or a function of an event, which returns the event (:func:`hubwire.events.evolve` makes an
    altered copy) or None to withhold it. If the function or a rule raises, the event goes out without its payload. It
    must not wait: it runs on the loop.

    ``secret``, 16 bytes or more, signs the cursors: no client can make one. Give each process that serves the hub the
    same one, and cursors are good in all of them and after a restart. Without one, a random secret is made for the
    process, and cursors end with it. A cursor names the hub and the event before it, so one from before a backup was
    restored is refused, and not continued with other events.

    The attachment's own ``pattern`` and duty do not limit subscribers, because they read the hub's events themselves
    (so its pattern is one that hardly ever matches); the redactor decides what outsiders may see. Attached to another
    hub, it goes on with that one; the iterations of the first hub's subscribers end when that hub is closed.

    :meth:`close` ends all subscribers, so that a server with viewers can stop.

    Raises :class:`~hubwire.errors.ConfigurationError` if ``subscribers_max`` is less than 1, the secret is short, or
    ``redactor`` is none and cannot be called.
    """

    pattern = "hub.started"

    def __init__(
        self,
        *,
        redactor: Redactor | RedactingFunction | Literal["default"] | None = "default",
        subscribers_max: int = 10_000,
        secret: str | bytes | None = None,
    ) -> None:
        if type(subscribers_max) is not int or subscribers_max < 1:
            raise ConfigurationError(f"subscribers_max={subscribers_max!r} must be a whole number of at least 1")
        self._cursors = Cursors(secret)
        self._is_closed = False
        self._redact = redacting(redactor)
        self._subscribers_max = subscribers_max
        self._feed: Feed | None = None
        # Weak: a subscriber whose connection broke is gone as soon as its last reference is; there is no unsubscribing.
        self._subscribers: WeakSet[Subscriber] = WeakSet()
        self._counts = Counts()

    def __repr__(self) -> str:
        return f"<LiveTail {'closed' if self._is_closed else 'open'}: {len(self._subscribers)} subscribers>"

    def bind(self, hub: Hub) -> None:
        """Serve the events of ``hub`` from now on, also if the tail was closed."""
        if not isinstance(hub, Hub):
            tenant = getattr(hub, "tenant", "...")
            raise ConfigurationError(
                "a tail is attached to the hub itself, and serves its subscribers one tenant each:"
                f" tail.subscribe(tenant={tenant!r})"
            )
        self._feed = Feed(hub, self._redact, self._cursors, self._counts)
        self._is_closed = False

    async def on_events(self, events: Sequence[Event]) -> None:
        """Ignore the events: subscribers read for themselves."""

    def subscribe(
        self,
        after: str | None = None,
        *,
        pattern: str | Iterable[str] = "*",
        tenant: str | None = None,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
        lossy: bool = False,
    ) -> Subscriber:
        """Return a subscriber to the events after the cursor ``after``: history, then live, no gap and no duplicate.

        By default from now on. ``pattern`` selects kinds, and ``tenant``, ``agent`` and ``channel`` those whose headers
        name these, as in :meth:`hubwire.Hub.attach`. A subscriber that falls behind reads from the journal; a ``lossy``
        one, and every subscriber of a hub without a journal, gets :class:`Missed` for events that are no longer in
        memory, also of others, and goes on after them. It need not be closed.

        Raises :class:`~hubwire.errors.InvalidCursor`; :class:`~hubwire.errors.Overloaded` if there are too many;
        :class:`~hubwire.errors.HubClosed` before the hub is started, or after :meth:`close`;
        :class:`~hubwire.errors.ConfigurationError` before the tail is attached, or for a pattern that can match no
        event, or for what is no tenant, agent or channel.
        """
        feed = self._bound()
        if self._is_closed:
            raise HubClosed("this LiveTail is closed, because its server stops; subscribe again when that is back")
        newest = feed.newest_seq  # raises if the hub cannot be read: not started, or in another thread
        given = {"tenant": tenant, "agent": agent, "channel": channel}
        matcher = feed.matcher(pattern, {name: value for name, value in given.items() if value is not None})
        hub_id = feed.hub.id
        place = feed.place(newest) if after is None else self._cursors.place(after, hub_id)
        if place.seq > newest:
            raise other_history(place, hub_id, f"ends at {newest}")
        if len(self._subscribers) >= self._subscribers_max:
            self._counts.refused += 1
            raise Overloaded(
                f"there are {self._subscribers_max} subscribers already; try again later, or make the LiveTail with a"
                " larger subscribers_max"
            )
        subscriber = Subscriber(feed, place, matcher, lossy=lossy)
        self._subscribers.add(subscriber)
        self._counts.subscribed += 1
        return subscriber

    def cursor_after(self, seq: int) -> str:
        """Return the cursor after event ``seq``; -1 gives the one before the first event of all.

        Where the event is not in memory, or not there yet, the cursor names its number alone.
        """
        if type(seq) is not int or not -1 <= seq <= _SEQ_MAX:
            shown = f"a number of {seq.bit_length()} bits" if type(seq) is int else repr(seq)[:80]
            raise ConfigurationError(f"{shown} is not the number of an event; give its seq, or -1 for the beginning")
        feed = self._bound()
        return feed.cursor(feed.place(seq))

    def close(self) -> None:
        """End all subscribers, and take no more of them: for a server that stops while viewers are connected.

        Their iterations end, also where a task waits in one; what they have not read they get later, with their
        cursors. It does not wait for what their tasks do then. The tail is open again when it is attached again.
        """
        self._is_closed = True
        if self._feed is not None:
            self._feed.end(list(self._subscribers))

    @property
    def withheld(self) -> int:
        """How many events were handed out without their payload, because the redactor or one of its rules raised."""
        return self._counts.redaction_failures

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
