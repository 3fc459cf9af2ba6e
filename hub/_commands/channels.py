"""``hub.channels``, and a channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Unpack

import attrs

from .._state import State
from .._state.channel_types import ChannelType
from .._state.channels import ChannelEntry, ChannelState
from .._state.endings import call_type
from .._state.evaluators import Evaluator, Expectation
from .._state.origin import Origin
from ..errors import CommandRejected, ConfigurationError, NotFound
from ..events import ChannelOpened, EnvelopePosted, Event
from .agents import Agent, id_of
from .core import Core, new_id
from .inboxes import Delivery
from .posting import Posting

__all__ = ("Channel", "ChannelCommands")

HOPS_MAX = 1000
"""How many envelopes may lead to one, each by answering the one before."""


class ChannelCommands:
    """``hub.channels``: opens the channels in which agents talk, and finds them."""

    def __init__(self, core: Core, state: State) -> None:
        self._core = core
        self._state = state
        self._channels = state.channels
        self._types = state.channel_types
        self._evaluators = state.evaluators

    def register_type(self, channel_type: ChannelType) -> None:
        """Add a type of channel of your own, for :meth:`open`; see :class:`hubwire.channel_types.ChannelType`.

        Channels go on with the version of their type that they were opened with: register that one, too. Raises
        :class:`~hubwire.errors.ConfigurationError` if the hub was started, or the type lacks a part.
        """
        if self._core.was_started:
            raise ConfigurationError(
                "the hub was started already: register channel types before, so that it recovers by them"
            )
        self._types.add(channel_type)

    def register_evaluator(self, evaluator: Evaluator) -> None:
        """Add an evaluator of expectations of your own; see :class:`hubwire.expectations.Evaluator`.

        Channels go on with the version of it that they were opened with: register that one, too. Raises
        :class:`~hubwire.errors.ConfigurationError` if the hub was started, or the evaluator lacks a part.
        """
        if self._core.was_started:
            raise ConfigurationError("the hub was started already: register evaluators before")
        self._evaluators.add(evaluator)

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

        ``type``: who may post what, and when the channel has done its work: ``conversation`` (each at any time),
        ``discussion``, ``consulting``, ``broadcast``, ``notification``, ``auction``, ``workflow``, or one of your own,
        in its newest ``version`` by default; ``knobs`` are its settings: see :mod:`hubwire.channel_types`. ``roles``
        map ids to roles. ``parent``: the channel that takes this one with it when it ends. ``ttl_seconds``: how long
        the channel lives at most. ``expectations``: what has to happen in time, and what follows if it does not: see
        :class:`hubwire.expectations.Expectation`, or the same as an object. ``labels`` are kept with it.

        With ``invite`` the others are invited, and the channel is open when ``required_acks`` of them, by default all,
        have accepted: ``await channel.ready()``. It is closed when so many cannot accept any more, or
        have not within ``invite_timeout_seconds``.

        Raises :class:`~hubwire.errors.CommandRejected` if an agent is named twice, none is named, or the type refuses,
        :class:`~hubwire.errors.NotFound` if an agent is not registered, and :class:`~hubwire.errors.AccessDenied` if
        the arbiter denies it.
        """
        channel_id = new_id()
        ids = [id_of(agent) for agent in participants]
        membership, quotas = self._state.membership, self._state.quotas
        allow = await self._core.authorizer.authorize("open", ids[0] if ids else None, ids[1:], channel_type=type)
        await self._core.execute(
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
        return Channel(self._core, self._state, channel_id)

    def get(self, channel_id: str) -> Channel:
        """Return the channel with this id. Raises :class:`~hubwire.errors.NotFound` if it has ended, or never was."""
        self._channels.get(channel_id)
        return Channel(self._core, self._state, channel_id)

    def list(self, *, agent: Agent | str | None = None) -> Sequence[Channel]:
        """Return the channels that have not ended, or those of them in which an agent takes part, or is invited to."""
        entries = self._channels if agent is None else self._channels.of(id_of(agent))
        return [Channel(self._core, self._state, entry.channel_id) for entry in entries]


@attrs.frozen(eq=False)
class Channel:
    """A channel, known by its ``id``. Its properties are what the hub knows of it now.

    When it has ended it is not open; its other properties, and all methods but :meth:`post`, raise
    :class:`~hubwire.errors.NotFound`. :meth:`post` raises it, too, after it has recorded the refusal.
    """

    _core: Core = attrs.field(repr=False)
    _state: State = attrs.field(repr=False)
    id: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Channel) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def is_open(self) -> bool:
        """Whether it takes envelopes now."""
        try:
            return self._entry.state is ChannelState.ACTIVE
        except CommandRejected:
            return False

    @property
    def participants(self) -> tuple[str, ...]:
        """The ids of the agents that take part."""
        return self._entry.participants

    @property
    def hidden(self) -> tuple[str, ...]:
        """The ids of the participants that post nothing and have no turn, until they are shown again."""
        return self._entry.hidden

    @property
    def topic(self) -> str:
        return self._entry.topic

    @property
    def labels(self) -> Mapping[str, str]:
        return self._entry.labels

    @property
    def roles(self) -> Mapping[str, str]:
        """The roles of the participants, by their ids."""
        return self._entry.roles

    @property
    def expected(self) -> tuple[str, ...] | None:
        """The ids of the participants that may post now, by the channel's type; None: all of them."""
        entry = self._entry
        types = self._state.channel_types
        channel_type = types.get(entry.type, entry.version)
        return call_type(channel_type, channel_type.expected, entry.manifest(), entry.channel_state)

    @property
    def _entry(self) -> ChannelEntry:
        return self._state.channels.get(self.id)

    async def ready(self) -> None:
        """Return when the channel is open: enough of the invited agents have accepted.

        Raises :class:`~hubwire.errors.NotFound` also if it ends before.
        """
        if self._entry.state is ChannelState.ACTIVE:
            await self._core.until_all_is_committed()
            return
        event = await self._core.next_transition_of(self.id)
        await self._core.until_committed(event.seq)
        if not isinstance(event, ChannelOpened):
            raise NotFound(f"channel {self.id} was never opened: {getattr(event, 'reason', '')}")

    async def accept(self, agent: Agent | str) -> None:
        """Let an agent that was invited take part.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not invited, or has answered already, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        membership, agent_id = self._state.membership, id_of(agent)
        await self._authorize("accept", agent_id, [self._entry.creator_id])
        await self._core.execute(lambda: membership.accept(self.id, agent_id))

    async def decline(self, agent: Agent | str, reason: str = "") -> None:
        """Let an agent that was invited take no part.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not invited, or has answered already, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        membership, agent_id = self._state.membership, id_of(agent)
        await self._authorize("decline", agent_id, [self._entry.creator_id], reason)
        await self._core.execute(lambda: membership.decline(self.id, agent_id, reason))

    async def join(self, agent: Agent | str, *, role: str = "participant") -> None:
        """Let an agent take part from now on.

        Raises :class:`~hubwire.errors.CommandRejected` if the channel is not open, or its type allows no others, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agent_id = id_of(agent)
        while True:
            present = self._entry.participants
            await self._authorize("join", agent_id, present)
            if await self._core.execute(partial(self._join, agent_id, role, present)):
                return

    def _join(self, agent_id: str, role: str, authorized: Sequence[str]) -> Sequence[Event]:
        """Decide on joining; on no events if the arbiter has not decided about all who take part by now."""
        membership, authorizer = self._state.membership, self._core.authorizer
        if authorizer.has_arbiter and not set(self._entry.participants) <= set(authorized):
            return ()
        return membership.join(self.id, agent_id, role)

    async def leave(self, agent: Agent | str, reason: str = "") -> None:
        """Let a participant take part no more; when the last has left, the channel is closed.

        Raises :class:`~hubwire.errors.CommandRejected` if it takes no part, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        membership, agent_id = self._state.membership, id_of(agent)
        await self._authorize("leave", agent_id, content=reason)
        await self._core.execute(lambda: membership.leave(self.id, agent_id, reason))

    async def hide(self, agent: Agent | str, reason: str = "") -> None:
        """Let the channel go on as if a participant took no part: it has no turn and posts nothing, and reads on.

        Raises :class:`~hubwire.errors.CommandRejected` if it takes no part, or is hidden already.
        """
        membership, agent_id = self._state.membership, id_of(agent)
        await self._core.execute(lambda: membership.hide(self.id, agent_id, reason))

    async def show(self, agent: Agent | str) -> None:
        """Let a participant that was hidden have turns and post again.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not hidden, or the channel's type refuses.
        """
        membership, agent_id = self._state.membership, id_of(agent)
        await self._core.execute(lambda: membership.show(self.id, agent_id))

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
        """Post an envelope to the inboxes of ``to``, by default of all participants but the sender.

        ``caused_by``: the envelope that this one answers; a chain of more than ``hops_max`` answers is refused, because
        agents that answer each other's answers never stop. ``priority``: ``urgent``, ``normal`` or ``background``.
        ``ttl_seconds``: after that it leaves the inboxes that have not acked it. ``idempotency_key``: as long as the
        channel lives, posting the same again with it posts no second envelope and returns the first event; give one if
        you may not learn the result and would post again.

        Where an inbox is full, its agent's rule says what happens; an envelope that would reach no inbox for that
        reason is refused with :class:`~hubwire.errors.InboxFull`.

        Agents that the arbiter keeps from it are left out, and reported by ``envelope.dispatch_failed``.

        Returns the committed event. A refusal is recorded as ``envelope.rejected``, then raised as
        :class:`~hubwire.errors.CommandRejected`, mostly as a :class:`~hubwire.errors.PostRejected` with its ``code``,
        or as :class:`~hubwire.errors.EventTooLarge`, then without the content.
        """
        cause = caused_by.event if isinstance(caused_by, Delivery) else caused_by
        posting = Posting(
            core=self._core,
            envelopes=self._state.envelopes,
            channel_id=self.id,
            sender_id=id_of(sender),
            content=content,
            audience=None if to is None else [id_of(agent) for agent in to],
            causation_id=None if cause is None else cause.id,
            hops=0 if cause is None else cause.hops + 1,
            priority=priority,
            ttl_seconds=ttl_seconds,
            idempotency_key=idempotency_key,
            hops_max=hops_max,
            origin=origin,
        )
        return await posting.run()

    async def close(self, reason: str = "", **origin: Unpack[Origin]) -> None:
        """Close the channel, and those below it: they take no envelopes any more. What is in inboxes stays there.

        If a thousand channels or more are below it, the first event is ``channel.closing``, and they are closed in
        several commands; when this returns, all are closed. Cancelled meanwhile, or after a crash, the hub goes on.

        Raises :class:`~hubwire.errors.NotFound` if it is closed already, and :class:`~hubwire.errors.AccessDenied` if
        the arbiter denies it.
        """
        channels, endings = self._state.channels, self._state.endings
        await self._authorize("close", None, self._entry.participants, reason)
        await self._core.execute(lambda: endings.close(self.id, reason, **origin))
        try:
            while self.id in channels:
                await self._core.execute(lambda: endings.close(self.id, reason))
        except NotFound:
            return  # the hub itself, which closes what is closing, was faster

    async def _authorize(
        self, name: str, agent_id: str | None, others: Iterable[str] = (), content: Any = None
    ) -> None:
        channel_type = self._entry.type
        await self._core.authorizer.authorize(
            name, agent_id, others, channel_id=self.id, channel_type=channel_type, content=content
        )
