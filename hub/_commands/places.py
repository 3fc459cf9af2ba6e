"""``hub.inboxes``: inboxes as places that one can look into, and dead letters."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.agents import Agents, AgentsOf
from .._state.dead_letters import DeadLetter
from .._state.inboxes import Waiting
from .._state.moments import deadline_ns
from .._values import Value
from ..events import EnvelopePosted
from ..ports import Clock
from .agents import Agent, id_of
from .core import Core
from .group import Group

__all__ = ("InboxCommands", "InboxState", "WaitingEnvelope")

_GET = Call("hub.inboxes.get()")
_PEEK = Call("hub.inboxes.peek()")
_DEAD_LETTERS = Call("hub.inboxes.dead_letters()")
_REDELIVER = Call("hub.inboxes.redeliver()")
_DISCARD = Call("hub.inboxes.discard()")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class InboxState(Value):
    """What waits in the inbox of an agent at one moment."""

    agent_id: str
    agent_name: str
    depth: int
    """How many envelopes it has not acked, delayed ones included."""
    delayed: int
    """How many of them were nacked with a delay that is not over."""
    capacity: int
    posts_waiting: int
    """How many posts wait for room in it: see ``InboxOverflow.BLOCK``."""
    oldest: EnvelopePosted | None
    """The one that was posted first; None if the inbox is empty."""
    oldest_seconds: float
    """How long ago that was, by the hub's clock; 0 if the inbox is empty."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitingEnvelope(Value):
    """An envelope that its agent has not acked."""

    envelope: EnvelopePosted
    attempts: int
    """How often it was nacked."""
    age_seconds: float
    """How long ago it was posted, by the hub's clock."""
    delay_seconds: float
    """In how many seconds it comes again; 0 if it may be delivered."""


class InboxCommands(Group):
    """``hub.inboxes``: which envelopes wait for which agents, and which could not be handled.

    For the program itself and those who operate it: looking takes no envelope out of an inbox.
    """

    def __init__(self, core: Core, clock: Clock, state: State) -> None:
        self._core = core
        self._clock = clock
        self._inboxes = state.inboxes
        self._dead_letters = state.dead_letters

    def _through(self, core: Core) -> InboxCommands:
        """Return the same commands as a tenant has them, by its own ``core``."""
        face = copy.copy(self)
        face._core = core  # noqa: SLF001 - it is one of this class
        return face

    @property
    def _agents(self) -> Agents | AgentsOf:
        return self._core.acting.agents

    def list(self) -> Sequence[InboxState]:
        """Return the inboxes that are not empty, or for which posts wait, the fullest first."""
        found = dict.fromkeys((*self._inboxes.not_empty(), *self._core.room.waited_for()))
        states = [self._state_of(agent_id) for agent_id in found if agent_id in self._agents]
        return sorted(states, key=lambda state: -state.depth)

    def get(self, agent: Agent | str) -> InboxState:
        """Return what waits for an agent. Raises :class:`~hubwire.errors.NotFound` if it is not registered."""
        return self._state_of(id_of(self._core, agent, _GET))

    def peek(self, agent: Agent | str, *, limit: int = 100) -> Sequence[WaitingEnvelope]:
        """Return the next envelopes of an agent, at most ``limit``, in order of delivery, delayed ones included.

        Raises :class:`~hubwire.errors.NotFound` if the agent is not registered.
        """
        agent_id = self._agents.get(id_of(self._core, agent, _PEEK)).agent_id
        limit = _PEEK.whole("limit", limit, least=1)
        now_ns = self._clock.now_ns()
        return [_waiting(each, now_ns) for each in self._inboxes.pending(agent_id)[:limit]]

    def dead_letters(self, agent: Agent | str | None = None) -> Sequence[DeadLetter]:
        """Return the dead letters that are kept, of one agent or of all, oldest first.

        The newest thousand are kept, of 4 MiB together, also when the journal was truncated; the log has all.

        Raises :class:`~hubwire.errors.NotFound` for an agent that is not registered, and of which none are kept.
        """
        if agent is None:
            return [each for each in self._dead_letters if self._core.acting.sees(each.agent_id)]
        agent_id = id_of(self._core, agent, _DEAD_LETTERS)
        letters = [each for each in self._dead_letters if each.agent_id == agent_id]
        return letters or self._none_of(agent_id)

    def _none_of(self, agent_id: str) -> Sequence[DeadLetter]:
        """Return no dead letters, of an agent; a name that was misspelt has none either, and would look well."""
        self._agents.get(agent_id)
        return []

    async def redeliver(self, letter: DeadLetter, *, reason: str = "") -> None:
        """Put a dead letter into the inbox of its agent again, as if it had never been delivered.

        It comes after what waits with the same priority, and its time to live counts no more. ``reason`` is kept in
        ``envelope.redelivered``. On disk when it returns.

        Raises :class:`~hubwire.errors.NotFound` if it is not kept any more, or its agent is not registered, and
        :class:`~hubwire.errors.InboxFull`, and :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agent_id, envelope_id = self._identity(letter, _REDELIVER)
        reason = _REDELIVER.text("reason", reason)
        await self._authorize("redeliver", letter, reason)
        await self._core.execute(lambda: self._dead_letters.redeliver(agent_id, envelope_id, reason))

    async def discard(self, letter: DeadLetter, *, reason: str = "") -> None:
        """Give a dead letter up; ``reason`` is kept in ``envelope.discarded``. On disk when it returns.

        Raises :class:`~hubwire.errors.NotFound` if it is not kept any more, and :class:`~hubwire.errors.AccessDenied`
        if the arbiter denies it.
        """
        agent_id, envelope_id = self._identity(letter, _DISCARD)
        reason = _DISCARD.text("reason", reason)
        await self._authorize("discard", letter, reason)
        await self._core.execute(lambda: self._dead_letters.discard(agent_id, envelope_id, reason))

    async def _authorize(self, name: str, letter: DeadLetter, reason: str) -> None:
        envelope = letter.envelope
        await self._core.authorizer.authorize(
            name,
            None,
            [letter.agent_id],
            channel_id=envelope.channel_id,
            content=envelope.content,
            facts={
                "envelope_id": envelope.envelope_id,
                "sender_id": envelope.agent_id,
                "reason": reason,
                "attempts": letter.attempts,
            },
        )

    def _identity(self, letter: DeadLetter, call: Call) -> tuple[str, str]:
        letter = call.instance("letter", letter, DeadLetter, wanted="one of hub.inboxes.dead_letters()")
        if not self._core.acting.sees(letter.agent_id):
            self._agents.get(letter.agent_id)
        return letter.agent_id, letter.envelope_id

    def _state_of(self, agent_id: str) -> InboxState:
        agent = self._agents.get(agent_id)
        pending = self._inboxes.pending(agent_id)
        oldest = min((each.envelope for each in pending), key=lambda envelope: envelope.seq, default=None)
        return InboxState(
            agent_id=agent_id,
            agent_name=agent.name,
            depth=len(pending),
            delayed=sum(each.delayed_until_ns is not None for each in pending),
            capacity=agent.inbox_rule.capacity,
            posts_waiting=self._core.room.waiting_for(agent_id),
            oldest=oldest,
            oldest_seconds=0.0 if oldest is None else _age_seconds(oldest, self._clock.now_ns()),
        )


def _waiting(waiting: Waiting, now_ns: int) -> WaitingEnvelope:
    until_ns = now_ns if waiting.delayed_until_ns is None else waiting.delayed_until_ns
    return WaitingEnvelope(
        envelope=waiting.envelope,
        attempts=waiting.attempts,
        age_seconds=_age_seconds(waiting.envelope, now_ns),
        delay_seconds=max(0, until_ns - now_ns) / 1e9,
    )


def _age_seconds(envelope: EnvelopePosted, now_ns: int) -> float:
    return max(0, now_ns - deadline_ns(envelope.at, 0)) / 1e9
