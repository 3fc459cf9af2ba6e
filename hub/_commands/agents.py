"""``hub.agents``, and an agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import attrs

from .._state import State
from .._state.agents import AgentEntry
from .._state.origin import Origin
from .._state.profiles import Observation, Passport, Resume
from .core import Core, new_id
from .inboxes import Inbox

__all__ = ("Agent", "AgentCommands", "id_of")


class AgentCommands:
    """``hub.agents``: registers agents, and finds them."""

    def __init__(self, core: Core, state: State) -> None:
        self._core = core
        self._state = state
        self._agents = state.agents

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
        """Register an agent under a name that no other registered agent has; return it.

        ``capabilities`` are what it claims, besides those of ``resume``. ``skill`` describes what it does, in prose.
        ``rule`` is an object with fields, or a mapping: the hub goes by its ``inbox``, an :class:`hubwire.InboxRule`.

        Raises :class:`~hubwire.errors.CommandRejected` if the name is taken, empty, or looks like an id, or another
        argument is not of its form, and :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agent_id = new_id()
        rule = self._core.authorizer.freeze(rule)
        await self._core.authorizer.authorize("register", agent_name=name, content=rule)
        await self._core.execute(
            lambda: self._agents.register(
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
        return Agent(self._core, self._state, agent_id, name)

    def find(self, name: str) -> Agent | None:
        """Return the agent that has this name now; None if there is none."""
        entry = self._agents.find(name)
        return None if entry is None else self._agent(entry)

    def get(self, agent_id: str) -> Agent:
        """Return the agent with this id. Raises :class:`~hubwire.errors.NotFound` if it is not registered."""
        return self._agent(self._agents.get(agent_id))

    def list(self, *, capability: str | None = None) -> Sequence[Agent]:
        """Return all agents, or those that claim a capability or were observed to have it, oldest first."""
        return [self._agent(entry) for entry in self._agents.all(capability)]

    def _agent(self, entry: AgentEntry) -> Agent:
        return Agent(self._core, self._state, entry.agent_id, entry.name)


@attrs.frozen(eq=False)
class Agent:
    """An agent, known by its ``id``. Its properties are what the hub knows of it now.

    When it is not registered any more it has no ``invitations``; its other properties, and its methods, raise
    :class:`~hubwire.errors.NotFound`.
    """

    _core: Core = attrs.field(repr=False)
    _state: State = attrs.field(repr=False)
    id: str
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Agent) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def passport(self) -> Passport:
        """What it says of its owner, provider, model, region, kind and cost."""
        return self._entry.passport

    @property
    def resume(self) -> Resume:
        """What it claims it can do."""
        return self._entry.resume

    @property
    def observations(self) -> Mapping[str, Observation]:
        """What was observed of it, by capability."""
        return {each.capability: each for each in self._entry.observations}

    @property
    def skill(self) -> str:
        """What it does, in prose; empty if it was not described."""
        return self._entry.skill

    @property
    def rule(self) -> Mapping[str, Any] | None:
        """The fields of the rule that it is under; None if none was set."""
        return self._entry.rule

    @property
    def invitations(self) -> Sequence[str]:
        """The ids of the channels to which it is invited and has not answered: see :meth:`Channel.accept`."""
        return [entry.channel_id for entry in self._state.channels.of(self.id) if self.id in entry.invited]

    @property
    def _entry(self) -> AgentEntry:
        return self._state.agents.get(self.id)

    def inbox(self) -> Inbox:
        """Return a reader of the agent's inbox: first what is pending, then what arrives."""
        state = self._state
        return Inbox(self._core, state.agents, state.inboxes, self._entry.agent_id)

    async def set_resume(self, resume: Resume) -> None:
        """Replace what it claims it can do; what was observed stays.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agents = self._state.agents
        await self._core.authorizer.authorize("set_resume", self.id, content=resume)
        await self._core.execute(lambda: agents.set_resume(self.id, resume))

    async def set_skill(self, skill: str | None) -> None:
        """Replace the description of what it does; None removes it.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agents = self._state.agents
        await self._core.authorizer.authorize("set_skill", self.id, content=skill)
        await self._core.execute(lambda: agents.set_skill(self.id, skill))

    async def set_rule(self, rule: Any) -> None:
        """Put it under another rule, an object with fields or a mapping: see :meth:`AgentCommands.register`.

        An inbox that holds more than the new rule allows keeps what it has.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agents = self._state.agents
        rule = self._core.authorizer.freeze(rule)
        await self._core.authorizer.authorize("set_rule", self.id, content=rule)
        await self._core.execute(lambda: agents.set_rule(self.id, rule))

    async def observe(self, task_id: str, *, capability: str, ended: str, latency_ms: float | None = None) -> bool:
        """Count a task of the agent that needed a capability: it ended as completed, failed, expired or cancelled.

        Each task counts once, also across restarts; returns whether it counted now. The newest 10,000 tasks of an agent
        are remembered.
        """
        agents = self._state.agents
        counted = await self._core.execute(
            lambda: agents.observe(self.id, task_id=task_id, capability=capability, ended=ended, latency_ms=latency_ms)
        )
        if not counted:
            await self._core.until_all_is_committed()
        return bool(counted)

    async def unregister(self) -> None:
        """Take the agent out: its name is free, what is pending in its inbox is gone, and it leaves its channels.

        It leaves each channel by an event of its own; if they are more than a thousand, the last of them after this has
        returned.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        endings = self._state.endings
        await self._core.authorizer.authorize("unregister", self.id)
        await self._core.execute(lambda: endings.unregister(self.id))


def id_of(agent: Agent | str) -> str:
    """Return the id of an agent, given as itself or as its id."""
    return agent if isinstance(agent, str) else agent.id
