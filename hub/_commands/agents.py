"""``hub.agents``, and an agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import attrs

from .._state.origin import Origin
from .._state.profiles import Observation, Passport, Resume
from ..events import Event
from .core import Core, new_id
from .inboxes import Inbox

__all__ = ("Agent", "AgentCommands", "id_of")


class AgentCommands:
    """``hub.agents``: who takes part."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def register(
        self,
        name: str,
        *,
        capabilities: Iterable[str] = (),
        passport: Passport | None = None,
        resume: Resume | None = None,
        skill: str = "",
        rule: Any = None,
        **origin: Unpack[Origin],
    ) -> Agent:
        """Register an agent under a name that nobody has now; return it.

        ``capabilities`` are what it claims, besides those of ``resume``. ``skill`` describes what it does, in prose.
        ``rule`` is an object with fields, or a mapping: the hub goes by its ``inbox``, an :class:`hubwire.InboxRule`.

        Raises :class:`~hubwire.errors.CommandRejected` if the name is taken, empty, or looks like an id, or something
        else cannot be what it should be, and :class:`~hubwire.errors.AccessDenied` if the arbiter is against it.
        """
        agent_id = new_id()
        state = self._core.state
        rule = self._core.authorizer.settled(rule)
        await self._core.authorizer.authorize("register", agent_name=name, content=rule)
        await self._core.pipeline.execute(
            lambda: state.agents.register(
                name,
                capabilities,
                agent_id=agent_id,
                passport=passport,
                resume=resume,
                skill=skill,
                rule=rule,
                **origin,
            )
        )
        return Agent(self._core, agent_id, name)

    def find(self, name: str) -> Agent | None:
        """Return the agent that has this name now; None if nobody has it."""
        entry = self._core.state.agents.find(name)
        return None if entry is None else Agent(self._core, entry.agent_id, entry.name)

    def get(self, agent_id: str) -> Agent:
        """Return the agent with this id. Raises :class:`~hubwire.errors.NotFound` if it is not registered."""
        entry = self._core.state.agents.get(agent_id)
        return Agent(self._core, entry.agent_id, entry.name)

    def list(self, *, capability: str | None = None) -> Sequence[Agent]:
        """Return all agents, or those that claim a capability or were observed to have it, oldest first."""
        return [Agent(self._core, entry.agent_id, entry.name) for entry in self._core.state.agents.all(capability)]


@attrs.frozen(eq=False)
class Agent:
    """An agent, known by its ``id``. What it tells of itself it tells as of now."""

    _core: Core = attrs.field(repr=False)
    id: str
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Agent) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def passport(self) -> Passport:
        """Who it is. Like all that follows, raises :class:`~hubwire.errors.NotFound` if it is not registered."""
        return self._core.state.agents.get(self.id).passport

    @property
    def resume(self) -> Resume:
        """What it claims it can do."""
        return self._core.state.agents.get(self.id).resume

    @property
    def observations(self) -> Mapping[str, Observation]:
        """What was observed of it, by capability."""
        return {each.capability: each for each in self._core.state.agents.get(self.id).observations}

    @property
    def skill(self) -> str:
        """What it does, in prose; empty if nobody said."""
        return self._core.state.agents.get(self.id).skill

    @property
    def rule(self) -> Mapping[str, Any] | None:
        """The fields of the rule that it is under; None if none was set."""
        return self._core.state.agents.get(self.id).rule

    @property
    def invitations(self) -> Sequence[str]:
        """The ids of the channels to which it is invited and has not answered: see :meth:`Channel.accept`."""
        return [entry.channel_id for entry in self._core.state.channels.of(self.id) if self.id in entry.invited]

    def inbox(self) -> Inbox:
        """Return a reader of the agent's inbox: first what is pending, then what arrives."""
        self._core.state.agents.get(self.id)
        return Inbox(self._core, self.id)

    async def set_resume(self, resume: Resume) -> None:
        """Replace what it claims it can do; what was observed stays.

        Like all that follow, raises :class:`~hubwire.errors.AccessDenied` if the arbiter is against it.
        """
        agents = self._core.state.agents
        await self._core.authorizer.authorize("set_resume", self.id, content=resume)
        await self._core.pipeline.execute(lambda: agents.set_resume(self.id, resume))

    async def set_skill(self, skill: str | None) -> None:
        """Replace the description of what it does; None removes it."""
        agents = self._core.state.agents
        await self._core.authorizer.authorize("set_skill", self.id, content=skill)
        await self._core.pipeline.execute(lambda: agents.set_skill(self.id, skill))

    async def set_rule(self, rule: Any) -> None:
        """Put it under another rule, an object with fields or a mapping: see :meth:`AgentCommands.register`.

        An inbox that holds more than it may from now on keeps what it has.
        """
        agents = self._core.state.agents
        rule = self._core.authorizer.settled(rule)
        await self._core.authorizer.authorize("set_rule", self.id, content=rule)
        await self._core.pipeline.execute(lambda: agents.set_rule(self.id, rule))

    async def observe(self, task_id: str, *, capability: str, ended: str, latency_ms: float | None = None) -> bool:
        """Count a task of the agent that needed a capability: it ended as completed, failed, expired or cancelled.

        Each task counts once, also across restarts; returns whether it counted now. The newest 10,000 tasks of an agent
        are remembered.
        """
        agents = self._core.state.agents

        def decide() -> Sequence[Event]:
            events = agents.observe(self.id, task_id=task_id, capability=capability, ended=ended, latency_ms=latency_ms)
            if not events:
                raise _CountedAlready
            return events

        try:
            await self._core.pipeline.execute(decide)
        except _CountedAlready:
            await self._core.until_all_is_committed()
            return False
        return True

    async def unregister(self) -> None:
        """Take the agent out: its name is free, what is pending in its inbox is gone, and it leaves its channels.

        It leaves each channel by an event of its own; if they are more than a thousand, the last of them after this has
        returned. Raises :class:`~hubwire.errors.NotFound` if it is not registered.
        """
        await self._core.authorizer.authorize("unregister", self.id)
        await self._core.pipeline.execute(lambda: self._core.state.endings.unregister(self.id))


class _CountedAlready(Exception):
    """A signal inside this module: there is nothing to do."""


def id_of(agent: Agent | str) -> str:
    """Return the id of an agent, given as itself or as its id."""
    return agent if isinstance(agent, str) else agent.id
