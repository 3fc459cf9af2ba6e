"""``hub.agents``, and an agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack, cast

import attrs

from .._foreign.arguments import Call, is_a, number_of
from .._foreign.guards import guarded_call
from .._state import State
from .._state.agents import ENDS, AgentEntry, Agents, AgentsOf
from .._state.origin import Origin
from .._state.profiles import Observation, Passport, Resume, checked_rule
from .._values import Shown
from ..events._shown import shown
from .core import Core, new_id
from .group import Group
from .inboxes import Inbox
from .origins import origin_of

__all__ = ("REGISTER", "Agent", "AgentCommands", "actor_of", "id_of", "ids_of", "items_of", "roles_of")

_AGENT = "an Agent, or the id or the name of one"
REGISTER = Call("hub.agents.register()")
_FIND = Call("hub.agents.find()")
_NAMED = Call("hub.agents.named()")
_GET = Call("hub.agents.get()")
_LIST = Call("hub.agents.list()")
_SET_RESUME = Call("agent.set_resume()")
_SET_SKILL = Call("agent.set_skill()")
_SET_RULE = Call("agent.set_rule()")
_OBSERVE = Call("agent.observe()")
_INBOX = Call("agent.inbox()")
_UNREGISTER = Call("agent.unregister()")
_CAPABILITIES_MAX = 10_000


class AgentCommands(Group):
    """``hub.agents``: registers agents, and finds them."""

    def __init__(self, core: Core, state: State) -> None:
        self._core = core
        self._state = state

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
        given = origin_of(REGISTER, origin, self.register)
        about = {"capabilities": capabilities, "passport": passport, "resume": resume, "skill": skill, "rule": rule}
        return await self._register(REGISTER, name, **about, origin=given)

    async def _register(
        self,
        call: Call,
        name: str,
        *,
        capabilities: Iterable[str] = (),
        passport: Passport | None = None,
        resume: Resume | None = None,
        skill: str = "",
        rule: Any = None,
        origin: Origin | None = None,
    ) -> Agent:
        """Register an agent in the name of a call, as its errors name it."""
        agent_id = new_id()
        self._core.acting.check_here()
        name = call.text("name", name, wanted="the agent's name, a text", is_empty_ok=False)
        capabilities = _capabilities(call, capabilities)
        skill = call.text("skill", skill)
        _check_profile(call, passport, resume)
        rule = None if rule is None else checked_rule(rule)
        core, claimed = self._core, resume or Resume()
        claimed = attrs.evolve(claimed, capabilities=(*capabilities, *claimed.capabilities))
        about = {"rule": rule, "resume": claimed, "skill": skill, "passport": passport}
        await core.authorizer.authorize("register", None, core.acting.others, agent_name=name, content=about)
        await core.execute(
            lambda: self._state.agents.register(
                name,
                capabilities,
                agent_id=agent_id,
                passport=passport,
                resume=resume,
                skill=skill,
                rule=rule,
                registered_by=core.acting.agent_id,
                tenant=core.acting.tenant,
                **(origin or {}),
            )
        )
        return Agent(self._core, self._state, agent_id, name)

    def find(self, name: str) -> Agent | None:
        """Return the agent that has this name now; None if there is none.

        Raises :class:`~hubwire.errors.CommandRejected` for the id of an agent: that is what :meth:`get` takes.
        """
        return self._find(_FIND, name)

    def named(self, name: str) -> Agent:
        """Return the agent that has this name now.

        Raises :class:`~hubwire.errors.NotFound` if there is none; the message says which name is nearest. Raises
        :class:`~hubwire.errors.CommandRejected` for the id of an agent.
        """
        if (agent := self._find(_NAMED, name)) is None:
            raise self._agents.no_such_name(str.__str__(name))
        return agent

    def _find(self, call: Call, name: str) -> Agent | None:
        name = call.text("name", name, wanted="the name of an agent")
        if (known := self._agents.known(name)) is not None:
            raise call.refusal(
                "name", name, f"a name, and {shown(known.name)} has this as its id", "use hub.agents.get()"
            )
        entry = self._agents.find(name)
        return None if entry is None else self._agent(entry)

    def get(self, agent_id: str) -> Agent:
        """Return the agent with this id. Raises :class:`~hubwire.errors.NotFound` if it is not registered."""
        return self._agent(self._agents.get(_GET.id("agent_id", agent_id, wanted="the id of an agent")))

    def list(self, *, capability: str | None = None) -> Sequence[Agent]:
        """Return all agents, or those that claim a capability or were observed to have it, oldest first."""
        capability = _LIST.text("capability", capability, is_optional=True)
        return [self._agent(entry) for entry in self._agents.all(capability)]

    @property
    def _agents(self) -> Agents | AgentsOf:
        return self._core.acting.agents

    def _agent(self, entry: AgentEntry) -> Agent:
        return Agent(self._core, self._state, entry.agent_id, entry.name)


@attrs.frozen(eq=False, repr=False)
class Agent(Shown):
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
    def state(self) -> Any:
        """What its actor keeps from one turn to the next, as JSON that is frozen; None if it keeps no state."""
        kept = self._state.actor_states.find(self._entry.agent_id)
        return None if kept is None else kept.value

    @property
    def node(self) -> str | None:
        """The node that has the seat of its actor; None if none has, as where all actors run beside the hub."""
        seat = self._state.seats.find(self._entry.agent_id)
        return None if seat is None else seat.node

    @property
    def invitations(self) -> Sequence[str]:
        """The ids of the channels to which it is invited and has not answered: see :meth:`Channel.accept`."""
        entries = self._state.channels.of(self.id)
        return [entry.channel_id for entry in entries if self.id in entry.invited]

    @property
    def _entry(self) -> AgentEntry:
        return self._state.agents.get(self.id)

    def inbox(self) -> Inbox:
        """Return a reader of the agent's inbox: first what is pending, then what arrives."""
        self._core.acting.check(self.id, _INBOX)
        return Inbox(self._core, self._state, self._entry.agent_id)

    async def set_resume(self, resume: Resume) -> None:
        """Replace what it claims it can do; what was observed stays.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agents = self._state.agents
        self._core.acting.check(self.id, _SET_RESUME)
        _SET_RESUME.instance("resume", resume, Resume, wanted="a hubwire.Resume", advice="write Resume(...)")
        await self._core.authorizer.authorize("set_resume", self.id, content=resume)
        await self._core.execute(lambda: agents.set_resume(self.id, resume))

    async def set_skill(self, skill: str | None) -> None:
        """Replace the description of what it does; None removes it.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agents = self._state.agents
        self._core.acting.check(self.id, _SET_SKILL)
        skill = _SET_SKILL.text("skill", skill, is_optional=True)
        await self._core.authorizer.authorize("set_skill", self.id, content=skill)
        await self._core.execute(lambda: agents.set_skill(self.id, skill))

    async def set_rule(self, rule: Any) -> None:
        """Put it under another rule, an object with fields or a mapping: see :meth:`AgentCommands.register`.

        An inbox that holds more than the new rule allows keeps what it has.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agents = self._state.agents
        self._core.acting.check(self.id, _SET_RULE)
        rule = checked_rule(rule)
        await self._core.authorizer.authorize("set_rule", self.id, content=rule)
        await self._core.execute(lambda: agents.set_rule(self.id, rule))

    async def observe(self, task_id: str, *, capability: str, ended: str, latency_ms: float | None = None) -> bool:
        """Count a task of the agent that needed a capability: it ended as completed, failed, expired or cancelled.

        Each task counts once, also across restarts; returns whether it counted now. The newest 10,000 tasks of an agent
        are remembered.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        agents = self._state.agents
        task_id = _OBSERVE.id("task_id", task_id, wanted="the id of a task")
        capability = _OBSERVE.text("capability", capability, is_empty_ok=False)
        ended = _OBSERVE.one_of("ended", ended, ENDS)
        latency_ms = _latency(latency_ms)
        facts = {"task_id": task_id, "capability": capability, "ended": ended, "latency_ms": latency_ms}
        core = self._core
        core.acting.check_here()
        await core.authorizer.authorize("observe", core.acting.agent_id, [self.id], facts=facts)
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
        self._core.acting.check_registered(self.id, _UNREGISTER)
        await self._core.authorizer.authorize("unregister", self.id)
        await self._core.execute(lambda: endings.unregister(self.id))


def id_of(core: Core, agent: Agent | str, call: Call, argument: str = "agent") -> str:
    """Return the id of an agent, given as itself, its id or its name; refuse all else in the name of this call."""
    if type(agent) is Agent:
        return agent.id if core.acting.tenancy is None else core.acting.id_of(agent.id)
    if issubclass(type(agent), Agent):  # of a hub that follows, or did: see hubwire._forwarding
        return core.acting.id_of(cast(Agent, agent).id)
    if not is_a(agent, str) and _has_agent(agent):
        raise call.refusal(argument, agent, _AGENT, "pass its .agent")
    return core.acting.id_of(call.id(argument, agent, wanted=_AGENT))


def _has_agent(value: Any) -> bool:
    """Tell whether this is the handle of an actor, or a turn: it knows the agent that is meant."""
    try:
        return type(guarded_call(getattr, value, "agent", None)) is Agent
    except Exception:  # noqa: BLE001 - the value is a stranger's: then there is no advice
        return False


def actor_of(core: Core, agent: Agent | str, call: Call, argument: str = "agent") -> str:
    """Return the id of the agent that is to act; refuse one as which the caller may not act."""
    agent_id = id_of(core, agent, call, argument)
    core.acting.check(agent_id, call, argument)
    return agent_id


def ids_of(core: Core, agents: Iterable[Agent | str], call: Call, argument: str) -> list[str]:
    """Return the ids of a list of agents."""
    return [id_of(core, each, call, f"each of {argument}") for each in items_of(agents, call, argument)]


def items_of(agents: Iterable[Agent | str], call: Call, argument: str) -> tuple[Any, ...]:
    """Return the items of a list of agents: they are not looked at yet."""
    if is_a(agents, Agent):
        raise call.refusal(argument, agents, "a list of agents", "put it into a list")
    return call.items(argument, agents, of="agents")


def roles_of(core: Core, roles: Mapping[Any, str] | None, call: Call, argument: str) -> dict[str, str] | None:
    """Return roles by the ids of agents."""
    if roles is None:
        return None
    given = call.mapping(argument, roles, wanted="a mapping from agents to roles")
    return {
        id_of(core, agent, call, f"each key of {argument}"): call.text(f"each value of {argument}", role)
        for agent, role in given.items()
    }


def _capabilities(call: Call, capabilities: Iterable[str]) -> tuple[str, ...]:
    given = call.items("capabilities", capabilities, of="names", most=_CAPABILITIES_MAX)
    return tuple(call.text("each of capabilities", each) for each in given)


def _check_profile(call: Call, passport: Passport | None, resume: Resume | None) -> None:
    if passport is not None:
        call.instance("passport", passport, Passport, advice="write Passport(...)")
    if resume is not None:
        call.instance("resume", resume, Resume, advice="write Resume(...)")


def _latency(latency_ms: float | None) -> float | None:
    if latency_ms is None:
        return None
    number = number_of(latency_ms)
    if number is None or number < 0:
        raise _OBSERVE.refusal("latency_ms", latency_ms, "a number of milliseconds, 0 or more, or None")
    return number
