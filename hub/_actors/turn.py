"""A turn: an envelope in the hands of an actor, and what it may do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

import attrs

from .._commands.agents import Agent, ids_of
from .._commands.channel import Channel
from .._commands.core import Core
from .._commands.inboxes import Delivery
from .._commands.posting import POST
from .._commands.provenances import UNSAID
from .._commands.publishing import PUBLISH, publication_of
from .._commands.replying import audience_of_reply, post_because_of
from .._foreign.arguments import Call
from .._state import State
from .._values import Shown
from ..errors import CommandRejected
from ..events import EnvelopePosted, Event, TurnExtended
from ..events._shown import shown
from .effects import Effects, HeldPost
from .visibility import Visibility

__all__ = ("Turn",)

HubT_co = TypeVar("HubT_co", covariant=True)

_POST = attrs.evolve(POST, name="turn.post()")
_PUBLISH = attrs.evolve(PUBLISH, name="turn.publish()")
_REPLY = attrs.evolve(POST, name="turn.reply()")
_REMIND = attrs.evolve(POST, name="turn.remind()")
_ASK = Call("turn.ask()")
_EXTEND = Call("turn.extend()")


class _Asks(Protocol):
    """The asks of a hub, as a turn needs them."""

    async def ask(
        self,
        asker: Agent | str,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float,
        channel: Channel | None,
        is_linked: bool,
        call: Call,
        face: Core,
    ) -> EnvelopePosted:
        """See :meth:`hubwire.Hub.ask`; ``face`` is the hub as the asker has it."""


@attrs.define(eq=False, repr=False, kw_only=True, on_setattr=attrs.setters.frozen)
class Turn(Shown, Generic[HubT_co]):
    """An envelope in the hands of an actor, and what it may do about it.

    What it posts is held until the turn ends. Then its posts, :attr:`state` and the ack of the envelope are committed
    in one command: all of it happens, once, or none of it. A turn that raises, is cancelled or whose process is killed
    has made no post. If one of its posts is refused at the end, the turn has failed, as if it had raised that.

    What it emits inherits the envelope's correlation id, tenant and trace context. What it emits through :attr:`hub`
    has its ``turn_id``, the envelope's session, and the envelope as its cause, unless it says otherwise.
    """

    _asks: _Asks = attrs.field(repr=False, alias="asks")
    _stop: Callable[[], None] = attrs.field(repr=False, alias="stop")
    _effects: Effects = attrs.field(repr=False, alias="effects")
    _visibility: Visibility = attrs.field(repr=False, alias="visibility")
    _core: Core = attrs.field(repr=False, alias="core")
    _state: State = attrs.field(repr=False, alias="hub_state")
    id: str
    """The ``turn_id`` that ``turn.started``, ``.ended``, ``.failed`` and ``.abandoned`` carry."""
    hub: HubT_co = attrs.field(repr=False)
    """The hub that the actor was spawned on, as its agent has it: what is done through it, that agent does."""
    agent: Agent
    delivery: Delivery

    @property
    def channel(self) -> Channel:
        """Where the envelope was posted; it may have ended since. For what was published on a topic, and for a question
        that was asked in no channel, there is none, and what is read of this one raises
        :class:`~hubwire.errors.NotFound`.
        """
        return Channel(self._core, self._state, self.envelope.channel_id or "")

    @property
    def fence(self) -> tuple[int, int]:
        """Two numbers for what the turn does outside of the hub: no later turn of the agent has a smaller pair.

        A tool that remembers the largest pair that it was called with, for the agent, refuses a smaller one: it comes
        from a program that was taken for dead, and goes on. They are the epoch of the hub's journal and the number of
        the actor's seat, 0 where all actors run beside the hub; in memory, ``(0, 0)``.
        """
        return self._core.fence

    @property
    def seat_lost(self) -> str | None:
        """Why the actor does not run on this node any more, which is why the turn was cancelled; None while it does.

        What the turn still does through the hub raises :class:`~hubwire.errors.SeatLost`, and its envelope comes again
        where the actor is seated.
        """
        return self._core.seat_lost

    @property
    def envelope(self) -> EnvelopePosted:
        return self.delivery.event

    @property
    def content(self) -> Any:
        return self.envelope.content

    @property
    def state(self) -> Any:
        """What the actor keeps from one turn to the next, across restarts: change it, or assign another.

        It is JSON, None at first; or an object of the class that the actor names with ``state = MyState``, an attrs
        class with defaults. It is kept when the turn is committed, with the ack of its envelope, and has at most 64 KiB
        as JSON. From outside it is :attr:`hubwire.Agent.state`.

        If another turn of the agent has changed it meanwhile, this turn fails, and its envelope comes again.

        Raises :class:`~hubwire.errors.ConfigurationError` if what is kept does not fit the class.
        """
        return self._effects.kept.get()

    @state.setter
    def state(self, value: Any) -> None:
        self._effects.kept.set(value)

    @overload
    async def post(
        self,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = ...,
        priority: str = ...,
        idempotency_key: str | None = ...,
        at_once: Literal[False] = ...,
        provenance: Iterable[str] = ...,
    ) -> HeldPost: ...
    @overload
    async def post(
        self,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = ...,
        priority: str = ...,
        idempotency_key: str | None = ...,
        at_once: bool,
        provenance: Iterable[str] = ...,
    ) -> HeldPost | EnvelopePosted: ...
    async def post(
        self,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = None,
        priority: str = "normal",
        idempotency_key: str | None = None,
        at_once: bool = False,
        provenance: Iterable[str] = (),
    ) -> HeldPost | EnvelopePosted:
        """Post in the envelope's channel, because of the envelope, when the turn is committed: see :class:`Turn`.

        ``provenance``: where the content comes from, as :meth:`Channel.post` takes it; ``carried(turn.envelope)`` hands
        on what the envelope says. ``at_once``: post now, as :meth:`Channel.post` does, and return the committed event.
        A turn that is repeated does it again, unless it is given an ``idempotency_key``.

        Raises :class:`~hubwire.errors.CommandRejected` for an argument that is not of its form, when the turn holds 256
        posts, when it has ended, and for what is in no channel: what was published on a topic, and what was asked.
        """
        if self.envelope.channel_id is None:
            topic = self.envelope.topic
            how = "was asked directly" if topic is None else f"was published on topic {shown(topic)}"
            raise CommandRejected(
                f"envelope {self.envelope.envelope_id} {how}, and is in no channel to post in; answer its sender with"
                " turn.reply(), publish with turn.publish(), or open a channel with turn.hub.channels.open()"
            )
        audience = None if to is None else ids_of(self._core, to, _POST, "to")
        return await self._post(
            content,
            audience,
            priority=priority,
            idempotency_key=idempotency_key,
            at_once=at_once,
            provenance=provenance,
        )

    async def _post(
        self,
        content: Any,
        audience: list[str] | None,
        *,
        priority: str = "normal",
        idempotency_key: str | None,
        at_once: bool,
        deliver_after: float = 0.0,
        call: Call = _POST,
        provenance: Iterable[str] = (),
    ) -> HeldPost | EnvelopePosted:
        at_once = call.flag("at_once", at_once)
        posting = post_because_of(
            self._core,
            self._state,
            self.agent.id,
            self.envelope,
            content,
            audience=audience,
            priority=priority,
            idempotency_key=idempotency_key,
            deliver_after=deliver_after,
            call=call,
        )
        if provenance is not UNSAID:
            posting.take_provenance(call, provenance)
        return await self._effects.post(posting, at_once=at_once)

    @overload
    async def publish(
        self,
        topic: str,
        content: Any,
        *,
        priority: str = ...,
        idempotency_key: str | None = ...,
        at_once: Literal[False] = ...,
        provenance: Iterable[str] = ...,
    ) -> HeldPost: ...
    @overload
    async def publish(
        self,
        topic: str,
        content: Any,
        *,
        priority: str = ...,
        idempotency_key: str | None = ...,
        at_once: bool,
        provenance: Iterable[str] = ...,
    ) -> HeldPost | EnvelopePosted: ...
    async def publish(
        self,
        topic: str,
        content: Any,
        *,
        priority: str = "normal",
        idempotency_key: str | None = None,
        at_once: bool = False,
        provenance: Iterable[str] = (),
    ) -> HeldPost | EnvelopePosted:
        """Publish on a topic, because of the envelope, for all who have subscribed when the turn is committed.

        It is held, or with ``at_once`` published now, as :meth:`post` does it. The ``recipients`` of its event are
        those who got it: see :meth:`hubwire.TopicCommands.publish`.
        """
        publication = publication_of(
            self._core,
            self._state,
            topic,
            self.agent.id,
            content,
            cause=self.envelope,
            priority=priority,
            idempotency_key=idempotency_key,
            call=_PUBLISH,
        )
        if provenance is not UNSAID:
            publication.take_provenance(_PUBLISH, provenance)
        return await self._effects.post(publication, at_once=_PUBLISH.flag("at_once", at_once))

    @overload
    async def reply(
        self,
        content: Any,
        *,
        idempotency_key: str | None = ...,
        at_once: Literal[False] = ...,
        provenance: Iterable[str] = ...,
    ) -> HeldPost: ...
    @overload
    async def reply(
        self,
        content: Any,
        *,
        idempotency_key: str | None = ...,
        at_once: bool,
        provenance: Iterable[str] = ...,
    ) -> HeldPost | EnvelopePosted: ...
    async def reply(
        self,
        content: Any,
        *,
        idempotency_key: str | None = None,
        at_once: bool = False,
        provenance: Iterable[str] = (),
    ) -> HeldPost | EnvelopePosted:
        """Answer the envelope's sender: what its ask returns if the envelope is a question, else in its inbox.

        What was published on a topic is answered on that, to its sender alone, which need not have subscribed.

        It is held as :meth:`post` holds it: who asks gets it when the turn ends, or now, with ``at_once``. Raises
        :class:`~hubwire.errors.CommandRejected` for a notice, which the hub itself has posted.
        """
        audience = audience_of_reply(self.envelope)
        return await self._post(
            content, audience, idempotency_key=idempotency_key, at_once=at_once, call=_REPLY, provenance=provenance
        )

    async def remind(
        self,
        seconds: float,
        content: Any,
        *,
        idempotency_key: str | None = None,
        provenance: Iterable[str] = (),
    ) -> HeldPost:
        """Post to the agent itself, in the envelope's channel, what it is to be reminded of so many seconds later.

        The time begins when the turn is committed. The reminder is an envelope of its own inbox, and a turn when it
        comes: it outlives a restart, and is gone when the agent leaves. Raises what :meth:`post` raises.
        """
        held = await self._post(
            content,
            [self.agent.id],
            idempotency_key=idempotency_key,
            at_once=False,
            deliver_after=_REMIND.seconds("seconds", seconds, is_zero_ok=True),
            call=_REMIND,
            provenance=provenance,
        )
        assert isinstance(held, HeldPost)
        return held

    async def commit(self) -> None:
        """Commit in the middle of the turn what it holds so far, posts and state, in one command.

        The envelope is acked at the end of the turn all the same. If the turn does not get there, it is repeated from
        its beginning, and what was committed is not undone: keep in :attr:`state`, with the same commit, what the
        repeated turn is to leave out.

        Raises what one of the posts is refused with. Then none of it was committed, none is held any more, and the
        state is what was kept before.
        """
        await self._effects.commit()

    async def ask(
        self,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float = 60.0,
        channel: Channel | None = None,
        linked: bool = True,
        provenance: Iterable[str] = (),
    ) -> EnvelopePosted:
        """Ask another agent, and return its answer: see :meth:`hubwire.Hub.ask`.

        The question is posted at once. Where it needs what the turn holds, :meth:`commit` that before.
        """
        how: dict[str, Any] = {"timeout": timeout, "channel": channel, "is_linked": linked, "provenance": provenance}
        return await self._asks.ask(self.agent, answerer, content, **how, call=_ASK, face=self._core)

    async def extend(self, seconds: float) -> None:
        """Hold the envelope for so many seconds from now on, by the hub's clock, where ``visibility_seconds`` end it.

        It may be called again and again, as a sign of life, and never shortens the time that is left. What it changes
        is recorded by ``turn.extended``. Without ``visibility_seconds``, too, the hub does not take the turn for
        abandoned in that time, nor in the ``turn_seconds_max`` of its :class:`hubwire.WatchLimits` after it.

        Raises :class:`~hubwire.errors.CommandRejected` for what is no number of seconds, and when it comes too late:
        the time is over, the turn has ended, or its envelope has expired, was settled, or was given to another reader.
        """
        seconds = _EXTEND.seconds("seconds", seconds)

        def decide() -> Sequence[Event]:
            self._effects.check_current()
            self._visibility.check(self.id)
            if not self._visibility.extend(seconds):
                return ()
            envelope = self.envelope
            return [
                TurnExtended(
                    agent_id=self.agent.id,
                    channel_id=envelope.channel_id,
                    turn_id=self.id,
                    causation_id=envelope.id,
                    envelope_id=envelope.envelope_id,
                    seconds=seconds,
                )
            ]

        await self._core.execute(decide)

    def stop(self) -> None:
        """Stop the actor when the envelopes that it handles are done. A permanent one is started again."""
        self._stop()
