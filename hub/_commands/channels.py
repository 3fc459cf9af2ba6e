"""``hub.channels``, and a channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Unpack

import attrs

from .._state.channel_types import ChannelType
from .._state.channels import ChannelEntry, ChannelState
from .._state.endings import call_type
from .._state.evaluators import Evaluator, Expectation
from .._state.origin import Origin
from ..errors import CommandRejected, ConfigurationError, EventTooLarge, HubError, NotFound
from ..events import ChannelOpened, EnvelopePosted, EnvelopeRejected, Event
from .agents import Agent, id_of
from .authorizer import CLEAR
from .core import Core, new_id
from .inboxes import Delivery

__all__ = ("Channel", "ChannelCommands")

HOPS_MAX = 1000
"""How many envelopes may lead to one, each by answering the one before."""


class ChannelCommands:
    """``hub.channels``: where agents talk."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register_type(self, channel_type: ChannelType) -> None:
        """Add a type of channel of your own, for :meth:`open`; see :class:`hubwire.channel_types.ChannelType`.

        Channels go on with the version of their type that they were opened with: register that one, too. Raises
        :class:`~hubwire.errors.ConfigurationError` if the hub was started, or the type lacks something.
        """
        if self._core.pipeline.hub_id:
            raise ConfigurationError(
                "the hub was started already: register channel types before, so that it settles by them"
            )
        self._core.state.channel_types.add(channel_type)

    def register_evaluator(self, evaluator: Evaluator) -> None:
        """Add an evaluator of expectations of your own; see :class:`hubwire.expectations.Evaluator`.

        Channels go on with the version of it that they were opened with: register that one, too. Raises
        :class:`~hubwire.errors.ConfigurationError` if the hub was started, or the evaluator lacks something.
        """
        if self._core.pipeline.hub_id:
            raise ConfigurationError("the hub was started already: register evaluators before")
        self._core.state.evaluators.add(evaluator)

    async def open(
        self,
        participants: Sequence[Agent | str],
        *,
        topic: str = "",
        type: str = "conversation",  # noqa: A002 - that is what a channel has
        version: int | None = None,
        roles: Mapping[str, str] | None = None,
        knobs: Mapping[str, Any] | None = None,
        expectations: Iterable[Expectation | Mapping[str, Any]] = (),
        labels: Mapping[str, str] | None = None,
        parent: Channel | str | None = None,
        ttl_seconds: float | None = None,
        invite: bool = False,
        required_acks: int | None = None,
        invite_timeout_seconds: float = 30.0,
        **origin: Unpack[Origin],
    ) -> Channel:
        """Open a channel between registered agents, the first of which is its creator; return it.

        ``type``: who may post what, and when the channel has done its work: ``conversation`` (everybody at any time),
        ``discussion``, ``consulting``, ``broadcast``, ``notification``, ``auction``, ``workflow``, or one of your own,
        in its newest ``version`` by default; ``knobs`` are its settings: see :mod:`hubwire.channel_types`. ``roles``
        map ids to roles. ``parent``: the channel that takes this one with it when it ends. ``ttl_seconds``: how long
        the channel lives at most. ``expectations``: what has to happen in time, and what follows if it does not: see
        :class:`hubwire.expectations.Expectation`, or the same as an object. ``labels`` are kept with it.

        With ``invite`` the others are invited, and the channel is open when ``required_acks`` of them, by default all,
        have accepted: ``await channel.ready()``. It is closed when so many cannot accept any more, or
        have not within ``invite_timeout_seconds``.

        Raises :class:`~hubwire.errors.CommandRejected` if somebody is named twice, nobody is, or the type refuses,
        :class:`~hubwire.errors.NotFound` if somebody is not registered, and :class:`~hubwire.errors.AccessDenied` if
        the arbiter is against it.
        """
        channel_id = new_id()
        ids = [id_of(agent) for agent in participants]
        membership, quotas = self._core.state.membership, self._core.state.quotas
        allow = await self._core.authorizer.authorize("open", ids[0] if ids else None, ids[1:], channel_type=type)
        await self._core.pipeline.execute(
            lambda: quotas.checked(
                membership.open(
                    ids,
                    topic,
                    channel_id=channel_id,
                    type=type,
                    version=version,
                    roles=roles,
                    knobs=knobs,
                    expectations=expectations,
                    labels=labels,
                    parent_id=parent.id if isinstance(parent, Channel) else parent,
                    ttl_seconds=ttl_seconds,
                    invite=invite,
                    required_acks=required_acks,
                    invite_timeout_seconds=invite_timeout_seconds,
                    **origin,
                ),
                allow.channels_max,
            )
        )
        return Channel(self._core, channel_id)

    def get(self, channel_id: str) -> Channel:
        """Return the channel with this id. Raises :class:`~hubwire.errors.NotFound` if it has ended, or never was."""
        self._core.state.channels.get(channel_id)
        return Channel(self._core, channel_id)

    def list(self, *, agent: Agent | str | None = None) -> Sequence[Channel]:
        """Return the channels that have not ended, or those of them in which an agent takes part, or is invited to."""
        channels = self._core.state.channels
        entries = channels if agent is None else channels.of(id_of(agent))
        return [Channel(self._core, entry.channel_id) for entry in entries]


@attrs.frozen(eq=False)
class Channel:
    """A channel, known by its ``id``. What it tells of itself it tells as of now."""

    _core: Core = attrs.field(repr=False)
    id: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Channel) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def is_open(self) -> bool:
        """Whether something can be posted now."""
        try:
            return self._entry.state is ChannelState.ACTIVE
        except CommandRejected:
            return False

    @property
    def participants(self) -> tuple[str, ...]:
        """The ids of those who take part. Like all that follows, raises ``NotFound`` when the channel has ended."""
        return self._entry.participants

    @property
    def hidden(self) -> tuple[str, ...]:
        """The ids of the participants with whom the channel does not go on at the moment."""
        return self._entry.hidden

    @property
    def topic(self) -> str:
        return self._entry.topic

    @property
    def labels(self) -> Mapping[str, str]:
        return self._entry.labels

    @property
    def roles(self) -> Mapping[str, str]:
        """The roles of those who take part, by their ids."""
        return self._entry.roles

    @property
    def expected(self) -> tuple[str, ...] | None:
        """The ids of those who may post now, by the channel's type; None: everybody who takes part."""
        entry = self._entry
        channel_type = self._core.state.channel_types.get(entry.type, entry.version)
        return call_type(channel_type, channel_type.expected, entry.manifest(), entry.channel_state)

    @property
    def _entry(self) -> ChannelEntry:
        return self._core.state.channels.get(self.id)

    async def ready(self) -> None:
        """Return when the channel is open: enough of those who were invited have accepted.

        Raises :class:`~hubwire.errors.NotFound` if it ends before, or has ended.
        """
        if self._entry.state is ChannelState.ACTIVE:
            await self._core.until_all_is_committed()
            return
        event = await self._core.next_turn_of(self.id)
        await self._core.until_committed(event.seq)
        if not isinstance(event, ChannelOpened):
            raise NotFound(f"channel {self.id} was never opened: {getattr(event, 'reason', '')}")

    async def accept(self, agent: Agent | str) -> None:
        """Let an agent that was invited take part.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not invited, or has answered already. Like all that
        follow, raises :class:`~hubwire.errors.AccessDenied` if the arbiter is against it.
        """
        membership, agent_id = self._core.state.membership, id_of(agent)
        await self._authorize("accept", agent_id, [self._entry.creator_id])
        await self._core.pipeline.execute(lambda: membership.accept(self.id, agent_id))

    async def decline(self, agent: Agent | str, reason: str = "") -> None:
        """Let an agent that was invited take no part. Raises like :meth:`accept`."""
        membership, agent_id = self._core.state.membership, id_of(agent)
        await self._authorize("decline", agent_id, [self._entry.creator_id], reason)
        await self._core.pipeline.execute(lambda: membership.decline(self.id, agent_id, reason))

    async def join(self, agent: Agent | str, *, role: str = "participant") -> None:
        """Let an agent take part from now on.

        Raises :class:`~hubwire.errors.CommandRejected` if the channel is not open, or its type allows nobody else.
        """
        membership, agent_id = self._core.state.membership, id_of(agent)
        asked: tuple[str, ...] = ()

        def decide() -> Sequence[Event]:
            if self._core.authorizer.is_asked and not set(self._entry.participants) <= set(asked):
                raise _OthersHaveCome
            return membership.join(self.id, agent_id, role)

        async def ask() -> None:
            nonlocal asked
            asked = self._entry.participants
            await self._authorize("join", agent_id, asked)

        await ask()
        await self._execute(decide, ask)

    async def leave(self, agent: Agent | str, reason: str = "") -> None:
        """Let a participant take part no more; when the last has left, the channel is closed.

        Raises :class:`~hubwire.errors.CommandRejected` if it takes no part.
        """
        membership, agent_id = self._core.state.membership, id_of(agent)
        await self._authorize("leave", agent_id, content=reason)
        await self._core.pipeline.execute(lambda: membership.leave(self.id, agent_id, reason))

    async def hide(self, agent: Agent | str, reason: str = "") -> None:
        """Let the channel go on as if a participant took no part: it has no turn and posts nothing, and reads on.

        Raises :class:`~hubwire.errors.CommandRejected` if it takes no part, or is hidden already.
        """
        membership, agent_id = self._core.state.membership, id_of(agent)
        await self._core.pipeline.execute(lambda: membership.hide(self.id, agent_id, reason))

    async def show(self, agent: Agent | str) -> None:
        """Let a participant who was hidden have turns and post again.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not hidden, or the type is against it.
        """
        membership, agent_id = self._core.state.membership, id_of(agent)
        await self._core.pipeline.execute(lambda: membership.show(self.id, agent_id))

    async def post(
        self,
        sender: Agent | str,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = None,
        caused_by: Delivery | EnvelopePosted | None = None,
        priority: str = "normal",
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
        hops_max: int | None = HOPS_MAX,
        **origin: Unpack[Origin],
    ) -> EnvelopePosted:
        """Post an envelope to the inboxes of ``to``, by default of everybody in the channel but the sender.

        ``caused_by``: the envelope that this one answers; a chain of more than ``hops_max`` answers is refused, because
        agents that answer each other's answers never stop. ``priority``: ``urgent``, ``normal`` or ``background``.
        ``ttl_seconds``: after that it leaves the inboxes that have not acked it. ``idempotency_key``: as long as the
        channel lives, posting the same again with it posts nothing and returns the first event; give one if you may not
        learn the result and would post again.

        Where an inbox is full, its agent's rule says what happens; an envelope that would reach nobody for that reason
        is refused with :class:`~hubwire.errors.InboxFull`.

        Whom the arbiter keeps from it is left out, and told of by ``envelope.dispatch_failed``.

        Returns the committed event. A refusal is recorded as ``envelope.rejected``, then raised as
        :class:`~hubwire.errors.CommandRejected`, mostly as a :class:`~hubwire.errors.PostRejected` with its ``code``,
        or as :class:`~hubwire.errors.EventTooLarge`, then without the content.
        """
        authorizer, envelope_id, sender_id = self._core.authorizer, new_id(), id_of(sender)
        audience = None if to is None else [id_of(agent) for agent in to]
        cause = caused_by.event if isinstance(caused_by, Delivery) else caused_by
        hops = 0 if cause is None else cause.hops + 1
        envelopes = self._core.state.envelopes
        refusal: CommandRejected | None = None
        clearance = CLEAR

        def decide() -> Sequence[Event]:
            nonlocal refusal
            try:
                if first := envelopes.find(self.id, sender_id, content, audience, idempotency_key):
                    raise _PostedAlready(first)
                clearance.check()
                if audience is None and not clearance.covers(authorizer.participants(self.id)):
                    raise _OthersHaveCome
                return envelopes.post(
                    self.id,
                    sender_id,
                    content,
                    audience,
                    envelope_id=envelope_id,
                    priority=priority,
                    causation_id=None if cause is None else cause.id,
                    hops=hops,
                    hops_max=hops_max,
                    ttl_seconds=ttl_seconds,
                    idempotency_key=idempotency_key,
                    unreachable=clearance.unreachable,
                    **origin,
                )
            except CommandRejected as error:
                refusal = error
                return [_rejected(self.id, sender_id, content, audience, error, origin)]

        async def ask_about_the_others() -> None:
            nonlocal clearance
            clearance = await authorizer.reach(clearance, sender_id, self.id, audience, content)

        try:
            content = authorizer.settled(content)
            clearance = await authorizer.clear(sender_id, self.id, audience, content, hops)
            events = await self._execute(decide, ask_about_the_others)
        except _PostedAlready as repeated:
            await self._core.until_committed(repeated.first.seq)
            return repeated.first
        except EventTooLarge as error:
            rejected = _rejected(self.id, sender_id, None, audience, error, origin)
            await self._core.pipeline.execute(lambda: [rejected])
            raise
        if refusal is not None:
            raise refusal
        return next(event for event in events if isinstance(event, EnvelopePosted))

    async def close(self, reason: str = "", **origin: Unpack[Origin]) -> None:
        """Close the channel, and those below it: nothing can be posted any more. What is in inboxes stays there.

        If a thousand channels or more are below it, the first event is ``channel.closing``, and they are closed in
        several commands; when this returns, all are closed. Cancelled meanwhile, or after a crash, the hub goes on.

        Raises :class:`~hubwire.errors.NotFound` if it is closed already.
        """
        state = self._core.state
        await self._authorize("close", None, self._entry.participants, reason)
        await self._core.pipeline.execute(lambda: state.endings.close(self.id, reason, **origin))
        try:
            while self.id in state.channels:
                await self._core.pipeline.execute(lambda: state.endings.close(self.id, reason))
        except NotFound:
            return  # the hub itself, which closes what is closing, was faster

    async def _authorize(
        self, name: str, agent_id: str | None, others: Iterable[str] = (), content: Any = None
    ) -> None:
        channel_type = self._entry.type
        await self._core.authorizer.authorize(
            name, agent_id, others, channel_id=self.id, channel_type=channel_type, content=content
        )

    async def _execute(
        self, decide: Callable[[], Sequence[Event]], ask: Callable[[], Awaitable[None]]
    ) -> Sequence[Event]:
        """Carry a command out when the arbiter was asked about everybody who takes part at that moment."""
        while True:
            try:
                return await self._core.pipeline.execute(decide)
            except _OthersHaveCome:
                await ask()


class _OthersHaveCome(Exception):
    """A signal inside this module: the arbiter was not asked about all who take part by now."""


class _PostedAlready(Exception):
    """A signal inside this module: the post is a repetition."""

    def __init__(self, first: EnvelopePosted) -> None:
        super().__init__(first)
        self.first = first


def _code_of(error: HubError) -> str:
    if isinstance(error, EventTooLarge):
        return "too_large"
    return getattr(error, "code", "not_found" if isinstance(error, NotFound) else "")


def _rejected(
    channel_id: str, sender_id: str, content: Any, audience: list[str] | None, error: HubError, origin: Origin
) -> EnvelopeRejected:
    return EnvelopeRejected(
        channel_id=channel_id,
        agent_id=sender_id,
        reason=str(error),
        error=type(error).__name__,
        code=_code_of(error),
        content=content,
        audience=None if audience is None else tuple(audience),
        **origin,
    )
