"""What a program holds in its hands: agents, channels, inboxes, deliveries. Each is a name and a way to send commands.

``register``, ``open``, ``post`` and ``close`` also take ``source``, ``source_id`` and ``occurred_at``, for what comes
from elsewhere or happened before: they stand on every event of the command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Unpack
from weakref import WeakSet

import attrs
from uuid_utils import uuid7

from ._pipeline import Pipeline
from ._state import State
from ._state.channels import ChannelState
from ._state.origin import Origin
from .errors import CommandRejected, repeat
from .events import AgentUnregistered, EnvelopePosted, EnvelopeRejected, Event

__all__ = ("Agent", "AgentCommands", "Channel", "ChannelCommands", "Delivery", "Inbox")


def new_id() -> str:
    """Return a new id of an agent, a channel or an envelope: 32 hex digits that sort by time."""
    return uuid7().hex


def _id(agent: Agent | str) -> str:
    return agent if isinstance(agent, str) else agent.id


class Core:
    """What commands work on, and the inboxes that are being read."""

    def __init__(self, pipeline: Pipeline, state: State) -> None:
        self.pipeline = pipeline
        self.state = state
        self._readers: dict[str, WeakSet[Inbox]] = {}
        pipeline.watchers[EnvelopePosted] = self._posted
        pipeline.watchers[AgentUnregistered] = self._unregistered

    def read(self, inbox: Inbox) -> None:
        """From now on tell this inbox what is posted to its agent."""
        self._readers.setdefault(inbox.agent_id, WeakSet()).add(inbox)

    def end(self) -> None:
        """The hub is closed or has failed: nothing arrives any more."""
        for inboxes in self._readers.values():
            for inbox in inboxes:
                inbox.look()

    def _posted(self, event: EnvelopePosted) -> None:
        for agent_id in event.recipients:
            if inboxes := self._readers.get(agent_id):
                for inbox in inboxes:
                    inbox.arrive(event)
            elif inboxes is not None:
                del self._readers[agent_id]

    def _unregistered(self, event: AgentUnregistered) -> None:
        for inbox in self._readers.pop(event.agent_id or "", ()):
            inbox.look()


class AgentCommands:
    """``hub.agents``: who takes part."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def register(self, name: str, *, capabilities: Iterable[str] = (), **origin: Unpack[Origin]) -> Agent:
        """Register an agent under a name that nobody has now; return it.

        Raises :class:`~hubwire.errors.CommandRejected` if the name is taken or empty.
        """
        agent_id = new_id()
        state = self._core.state
        await self._core.pipeline.execute(
            lambda: state.agents.register(name, capabilities, agent_id=agent_id, **origin)
        )
        return Agent(self._core, agent_id, name)

    def find(self, name: str) -> Agent | None:
        """Return the agent that has this name now; None if nobody has it."""
        entry = self._core.state.agents.find(name)
        return None if entry is None else Agent(self._core, entry.agent_id, entry.name)


@attrs.frozen(eq=False)
class Agent:
    """An agent, known by its ``id``."""

    _core: Core = attrs.field(repr=False)
    id: str
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Agent) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def inbox(self) -> Inbox:
        """Return a reader of the agent's inbox: first what is pending, then what arrives."""
        self._core.state.agents.get(self.id)
        return Inbox(self._core, self.id)

    async def unregister(self) -> None:
        """Take the agent out: its name is free, and what is pending in its inbox is gone.

        Raises :class:`~hubwire.errors.NotFound` if it is not registered.
        """
        await self._core.pipeline.execute(lambda: self._core.state.agents.unregister(self.id))


class ChannelCommands:
    """``hub.channels``: where agents talk."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def open(self, participants: Sequence[Agent | str], *, topic: str = "", **origin: Unpack[Origin]) -> Channel:
        """Open a channel between registered agents, the first of which is its creator; return it.

        Raises :class:`~hubwire.errors.CommandRejected` if somebody is named twice, or nobody is, and
        :class:`~hubwire.errors.NotFound` if somebody is not registered.
        """
        channel_id = new_id()
        ids = [_id(agent) for agent in participants]
        state = self._core.state
        await self._core.pipeline.execute(lambda: state.channels.open(ids, topic, channel_id=channel_id, **origin))
        return Channel(self._core, channel_id)

    def get(self, channel_id: str) -> Channel:
        """Return the channel with this id. Raises :class:`~hubwire.errors.NotFound` if it is not open."""
        self._core.state.channels.get(channel_id)
        return Channel(self._core, channel_id)


@attrs.frozen(eq=False)
class Channel:
    """A channel, known by its ``id``."""

    _core: Core = attrs.field(repr=False)
    id: str

    @property
    def is_open(self) -> bool:
        """Whether something can be posted now."""
        try:
            return self._core.state.channels.get(self.id).state is ChannelState.ACTIVE
        except CommandRejected:
            return False

    async def post(
        self,
        sender: Agent | str,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = None,
        **origin: Unpack[Origin],
    ) -> EnvelopePosted:
        """Post an envelope to the inboxes of ``to``, by default of everybody in the channel but the sender.

        Returns the committed event. A refusal is recorded as ``envelope.rejected``, then raised as
        :class:`~hubwire.errors.CommandRejected`.
        """
        envelope_id = new_id()
        sender_id = _id(sender)
        audience = None if to is None else [_id(agent) for agent in to]
        channels = self._core.state.channels
        refusal: CommandRejected | None = None

        def decide() -> Sequence[Event]:
            nonlocal refusal
            try:
                return channels.post(self.id, sender_id, content, audience, envelope_id=envelope_id, **origin)
            except CommandRejected as error:
                refusal = error
                return [
                    EnvelopeRejected(
                        channel_id=self.id,
                        agent_id=sender_id,
                        reason=str(error),
                        error=type(error).__name__,
                        content=content,
                        audience=None if audience is None else tuple(audience),
                        **origin,
                    )
                ]

        events = await self._core.pipeline.execute(decide)
        if refusal is not None:
            raise refusal
        assert isinstance(events[0], EnvelopePosted)
        return events[0]

    async def close(self, reason: str = "", **origin: Unpack[Origin]) -> None:
        """Close the channel: nothing can be posted any more. What is in inboxes stays there.

        Raises :class:`~hubwire.errors.NotFound` if it is closed already.
        """
        await self._core.pipeline.execute(lambda: self._core.state.channels.close(self.id, reason, **origin))


@attrs.frozen(eq=False)
class Delivery:
    """An envelope, delivered to one agent."""

    _core: Core = attrs.field(repr=False)
    agent_id: str
    event: EnvelopePosted
    """The fact that it was posted; its ``content`` is what was said."""

    @property
    def content(self) -> Any:
        return self.event.content

    async def ack(self) -> None:
        """Be done with the envelope: it is not delivered to this agent again.

        Raises :class:`~hubwire.errors.NotFound` if it was acked already.
        """
        inboxes = self._core.state.inboxes
        await self._core.pipeline.execute(lambda: inboxes.ack(self.agent_id, self.event.envelope_id))


class Inbox:
    """``async for delivery in agent.inbox()``: at least once, in order of posting, only what is committed.

    It ends when the hub closes, and raises what the hub failed with. There is nothing to close: what was not acked is
    delivered again by the next one.
    """

    def __init__(self, core: Core, agent_id: str) -> None:
        self.agent_id = agent_id
        self._core = core
        self._queue = deque(core.state.inboxes.pending(agent_id))
        self._arrival: asyncio.Future[None] | None = None
        core.read(self)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Delivery:
        pipeline = self._core.pipeline
        while True:
            while self._queue:
                event = self._queue[0]
                committed = await pipeline.ring.committed.wait_beyond(event.seq)
                if not committed:
                    break
                self._queue.popleft()
                if self._core.state.inboxes.is_pending(self.agent_id, event.envelope_id):
                    return Delivery(self._core, self.agent_id, event)
            if pipeline.failure is not None:
                raise repeat(pipeline.failure)
            if pipeline.stopped or self.agent_id not in self._core.state.agents:
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival

    def arrive(self, event: EnvelopePosted) -> None:
        """An envelope was posted; it is delivered when it is committed."""
        self._queue.append(event)
        self.look()

    def look(self) -> None:
        """Look again: something arrived, or nothing will any more."""
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
