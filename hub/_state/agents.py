"""The registered agents: ``(absent) -- registered --> (present) -- unregistered --> (absent)``."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar, Unpack

import attrs

from .._values import Value
from ..errors import CommandRejected, NotFound
from ..events import (
    AgentObserved,
    AgentRegistered,
    AgentResumeSet,
    AgentRuleSet,
    AgentSkillSet,
    AgentUnregistered,
    Event,
    canonical,
)
from ..events._shown import listed, nearest_name, shown
from .origin import Origin
from .profiles import InboxRule, Observation, Passport, Resume, checked_rule, is_latency, read, write

__all__ = ("ENDS", "AgentEntry", "Agents", "AgentsOf", "is_id")

TASKS_MAX = 10_000
"""How many observed tasks of an agent are remembered, so that none of them counts twice."""

LEFT_MAX = 1000
"""Of how many agents that have left it is remembered whose they were: what follows comes soon after."""

_COMPARED_MAX = 1000
"""How many names are compared with one that there is not: comparing all of very many would hold up the loop."""

_ID = re.compile(r"[0-9a-f]{32}")
_NO_NAMES: Mapping[str, str] = {}

ENDS = ("completed", "failed", "expired", "cancelled")


@attrs.frozen(eq=False, repr=False)
class AgentEntry(Value):
    """What the hub knows of an agent."""

    agent_id: str
    name: str
    passport: Passport = attrs.field(factory=Passport)
    resume: Resume = attrs.field(factory=Resume)
    resume_version: int = 1
    skill: str = ""
    rule: Mapping[str, Any] | None = None
    rule_version: int = 1
    inbox_rule: InboxRule = attrs.field(factory=InboxRule)
    """The part of its rule that is about its inbox."""
    observations: tuple[Observation, ...] = ()
    registered_by: str | None = None
    """The id of the agent that has registered it; None for the program itself."""
    tenant: str | None = None
    """Whose agent it is, where several tenants share the hub; None for the hub's own."""

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that it claims."""
        return self.resume.capabilities

    def all_capabilities(self) -> Iterable[str]:
        """Return the capabilities that it claims, then others that were observed; each once."""
        return dict.fromkeys((*self.resume.capabilities, *(each.capability for each in self.observations)))


@attrs.frozen(eq=False, repr=False)
class ObservedTasks(Value):
    """The tasks that an agent's observations count, oldest first."""

    agent_id: str
    task_ids: tuple[str, ...]


@attrs.frozen(eq=False, repr=False)
class LeftAgent(Value):
    """Whose an agent was that has left: some events about it are still to come."""

    agent_id: str
    tenant: str


class Agents:
    """The registry of agents."""

    entry_types: ClassVar[tuple[type, ...]] = (AgentEntry, ObservedTasks, LeftAgent)

    def __init__(self) -> None:
        self._by_id: dict[str, AgentEntry] = {}
        self._id_by_name: dict[str, str] = {}
        """Of the agents that are no tenant's."""
        self._of_tenants: dict[str, dict[str, str]] = {}
        """By tenant, the ids of its agents by their names."""
        self._left: OrderedDict[str, str] = OrderedDict()
        """Of agents of tenants that have left, the newest, whose they were."""
        self.on_tenant: Callable[[], None] | None = None
        """Called when there is an agent of a tenant; more than once."""
        self._by_capability: dict[str, dict[str, None]] = {}
        self._tasks: dict[str, dict[str, None]] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            AgentRegistered: self._registered,
            AgentUnregistered: self._unregistered,
            AgentResumeSet: self._resume_set,
            AgentSkillSet: self._skill_set,
            AgentRuleSet: self._rule_set,
            AgentObserved: self._observed,
        }

    def snapshot(self) -> list[AgentEntry | ObservedTasks | LeftAgent]:
        tasks = [ObservedTasks(agent_id, tuple(task_ids)) for agent_id, task_ids in self._tasks.items()]
        left = [LeftAgent(agent_id, tenant) for agent_id, tenant in self._left.items()]
        return [*self._by_id.values(), *tasks, *left]

    def restore(self, entries: Sequence[AgentEntry | ObservedTasks | LeftAgent]) -> None:
        for entry in entries:
            if isinstance(entry, ObservedTasks):
                self._tasks[entry.agent_id] = dict.fromkeys(entry.task_ids)
            elif isinstance(entry, LeftAgent):
                self._remember(entry.agent_id, entry.tenant)
            else:
                self._by_id[entry.agent_id] = entry
                self._name(entry)
                self._index(entry)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._by_id

    def get(self, agent_id: str) -> AgentEntry:
        try:
            return self._by_id[agent_id]
        except (KeyError, TypeError):
            raise self.not_found(agent_id) from None

    def not_found(self, agent_id: object, tenant: str | None = None) -> NotFound:
        """Return the error for what is no id of an agent, as one who knows the agents of a tenant gets it."""
        named = self.find(agent_id, tenant) if type(agent_id) is str else None
        if named is None:
            return self.no_such_name(agent_id, tenant)
        return NotFound(
            f"no agent has the id {shown(agent_id)}; that is the name of the agent with the id {named.agent_id}: look"
            " it up with hub.agents.named()"
        )

    def no_such_name(self, name: object, tenant: str | None = None) -> NotFound:
        """Return the error for what is neither a name nor an id; it says which name is nearest."""
        names = self._names(tenant)
        few = tuple(islice(names, _COMPARED_MAX)) if type(name) is str and len(name) <= 100 else ()
        nearest = nearest_name(str(name), few) if few else None
        meant = "" if nearest is None else f"; did you mean {shown(nearest)}?"
        known = "" if meant or not few else f"; registered are {listed([shown(each) for each in few])}"
        return NotFound(f"no agent {shown(name)} is registered; register it, or look it up by name{meant or known}")

    def label(self, agent_id: str | None) -> str:
        """Return an agent as messages name it: by its name, or, when it is not registered any more, by its id."""
        entry = None if agent_id is None else self._by_id.get(agent_id)
        return f"agent {shown(agent_id if entry is None else entry.name)}"

    def listed(self, agent_ids: Iterable[str]) -> str:
        """Return agents as messages name them: a few of them, and how many there are."""
        return listed([each if (entry := self.known(each)) is None else shown(entry.name) for each in agent_ids])

    def named_in(self, text: str) -> str:
        """Return a text with the names of agents in the place of their ids."""

        def name(found: re.Match[str]) -> str:
            entry = self._by_id.get(found[0])
            return found[0] if entry is None else shown(entry.name)

        return _ID.sub(name, text)

    def known(self, agent_id: str) -> AgentEntry | None:
        """Return the agent with this id, if it is registered."""
        return self._by_id.get(agent_id)

    def is_made_by(self, agent_id: str, maker_id: str) -> bool:
        """Tell whether one agent has registered the other, itself or through agents that are registered."""
        entry = self.known(agent_id)
        while entry is not None and entry.registered_by is not None:
            if entry.registered_by == maker_id:
                return True
            entry = self.known(entry.registered_by)
        return False

    def find(self, name: str, tenant: str | None = None) -> AgentEntry | None:
        """Return the agent with this name, if there is one: of a tenant, or else of those that are no tenant's."""
        agent_id = self._names(tenant).get(name)
        return None if agent_id is None else self._by_id[agent_id]

    def tenant_of(self, agent_id: str | None) -> str | None:
        """Return whose agent this is, or was until it left not long ago; None if it is no tenant's."""
        if agent_id is None:
            return None
        entry = self._by_id.get(agent_id)
        return self._left.get(agent_id) if entry is None else entry.tenant

    @property
    def has_tenants(self) -> bool:
        """Whether there are agents of tenants."""
        return bool(self._of_tenants)

    def of(self, tenant: str) -> AgentsOf:
        """Return the agents of a tenant."""
        return AgentsOf(self, tenant)

    def count_of(self, tenant: str) -> int:
        """Return how many agents of a tenant are registered."""
        return len(self._names(tenant))

    def ids_of(self, tenant: str) -> Iterable[str]:
        """Return the ids of a tenant's agents, as they came."""
        return self._names(tenant).values()

    def _names(self, tenant: str | None) -> Mapping[str, str]:
        return self._id_by_name if tenant is None else self._of_tenants.get(tenant, _NO_NAMES)

    def all(self, capability: str | None = None) -> list[AgentEntry]:
        """Return all agents, or those that claim a capability or were observed to have it, in order of id.

        Ids sort by time of registration. Other agents are not looked at.
        """
        if capability is None:
            return list(self._by_id.values())
        return [self._by_id[agent_id] for agent_id in sorted(self._by_capability.get(capability, ()))]

    # -- commands --

    def register(
        self,
        name: str,
        capabilities: Iterable[str],
        *,
        agent_id: str,
        passport: Passport | None = None,
        resume: Resume | None = None,
        skill: str = "",
        rule: Any = None,
        registered_by: str | None = None,
        tenant: str | None = None,
        **origin: Unpack[Origin],
    ) -> list[Event]:
        """Register an agent, of a tenant or of none."""
        # Stamping replaces text that UTF-8 cannot hold: an agent with such a name would not be found by it.
        if not isinstance(name, str) or not name.strip() or canonical(name) != name:
            raise CommandRejected(f"an agent's name must be printable text, not {shown(name)}")
        if is_id(name) or name in self._by_id:
            raise CommandRejected(f"{shown(name)} looks like an agent's id, or is one; give the agent another name")
        if isinstance(capabilities, str) or not isinstance(capabilities, Iterable):
            raise CommandRejected(
                f"capabilities are a list of names, not {shown(capabilities)}; write [{shown(capabilities)}]"
            )
        capabilities = tuple(capabilities)
        if wrong := [each for each in capabilities if not isinstance(each, str) or canonical(each) != each]:
            raise CommandRejected(f"a capability must be text that can be written, not {shown(wrong[0])}")
        if (known := self._names(tenant).get(name)) is not None:
            raise CommandRejected(f"an agent named {shown(name)} is registered already, as {known}")
        _check_skill(skill)
        return [
            AgentRegistered(
                agent_id=agent_id,
                name=name,
                capabilities=capabilities,
                passport=None if passport is None else _written(Passport, passport),
                resume=None if resume is None else _written(Resume, resume),
                skill=skill,
                rule=None if rule is None else checked_rule(rule),
                registered_by=registered_by,
                tenant=tenant,
                of_tenant=tenant is not None,
                **origin,
            )
        ]

    def unregister(self, agent_id: str, **origin: Unpack[Origin]) -> list[Event]:
        """Return the first event of unregistering; :meth:`Endings.unregister` adds those of its channels."""
        return [AgentUnregistered(agent_id=agent_id, name=self.get(agent_id).name, **origin)]

    def set_resume(self, agent_id: str, resume: Resume) -> list[Event]:
        version = self.get(agent_id).resume_version + 1
        return [AgentResumeSet(agent_id=agent_id, resume=_written(Resume, resume), version=version)]

    def set_skill(self, agent_id: str, skill: str | None) -> list[Event]:
        self.get(agent_id)
        _check_skill(skill or "")
        return [AgentSkillSet(agent_id=agent_id, skill=skill or "", removed=skill is None)]

    def set_rule(self, agent_id: str, rule: Any) -> list[Event]:
        version = self.get(agent_id).rule_version + 1
        return [AgentRuleSet(agent_id=agent_id, rule=checked_rule(rule), version=version)]

    def observe(
        self, agent_id: str, *, task_id: str, capability: str, ended: str, latency_ms: float | None = None
    ) -> list[Event]:
        """Count a task that has ended; return no events if it was counted before."""
        entry = self.get(agent_id)
        if ended not in ENDS:
            raise CommandRejected(f"a task ends as one of {', '.join(ENDS)}, not as {shown(ended)}")
        for what in (capability, task_id):
            if not isinstance(what, str) or not what or canonical(what) != what:
                raise CommandRejected(
                    f"a capability and a task's id must be text that can be written, not {shown(what)}"
                )
        if latency_ms is not None and not is_latency(latency_ms):
            raise CommandRejected(f"a latency is a number of milliseconds, or None, not {shown(latency_ms)}")
        if task_id in self._tasks.get(agent_id, ()):
            return []
        known = _observation(entry, capability).with_task(ended, latency_ms)
        return [
            AgentObserved(
                agent_id=agent_id,
                task_id=task_id,
                capability=capability,
                ended=ended,
                latency_ms=latency_ms,
                observation=known.told(),
                version=entry.resume_version + 1,
            )
        ]

    @contextmanager
    def expecting(self, registrations: Sequence[AgentRegistered]) -> Iterator[None]:
        """Let agents be known, for decisions alone, that the same command registers before what is decided here.

        Those whose names were given meanwhile are left out.
        """
        expected = [
            each for each in registrations if self.find(each.name, each.tenant if each.of_tenant else None) is None
        ]
        for each in expected:
            self._registered(each)
        try:
            yield
        finally:
            for each in expected:
                self._unregistered(AgentUnregistered(agent_id=each.agent_id, name=each.name))

    # -- inside --

    def _registered(self, event: AgentRegistered) -> None:
        assert event.agent_id is not None
        resume = read(Resume, event.resume)
        claimed = tuple(dict.fromkeys((*event.capabilities, *resume.capabilities)))
        entry = AgentEntry(
            agent_id=event.agent_id,
            name=event.name,
            passport=read(Passport, event.passport),
            resume=attrs.evolve(resume, capabilities=claimed),
            skill=event.skill,
            rule=event.rule,
            inbox_rule=_inbox_rule(event.rule),
            registered_by=event.registered_by,
            tenant=event.tenant if event.of_tenant else None,
        )
        self._by_id[entry.agent_id] = entry
        self._name(entry)
        self._index(entry)

    def _name(self, entry: AgentEntry) -> None:
        if entry.tenant is None:
            self._id_by_name[entry.name] = entry.agent_id
            return
        self._of_tenants.setdefault(entry.tenant, {})[entry.name] = entry.agent_id

        self._has_come()

    def _remember(self, agent_id: str, tenant: str) -> None:
        self._left[agent_id] = tenant
        if len(self._left) > LEFT_MAX:
            self._left.popitem(last=False)
        self._has_come()

    def _has_come(self) -> None:
        if self.on_tenant is not None:
            self.on_tenant()

    def _unname(self, entry: AgentEntry) -> None:
        if entry.tenant is None:
            del self._id_by_name[entry.name]
            return
        names = self._of_tenants[entry.tenant]
        del names[entry.name]
        if not names:
            del self._of_tenants[entry.tenant]

    def _unregistered(self, event: AgentUnregistered) -> None:
        assert event.agent_id is not None
        entry = self._by_id.pop(event.agent_id)
        self._unname(entry)
        if entry.tenant is not None:
            self._remember(entry.agent_id, entry.tenant)
        self._tasks.pop(entry.agent_id, None)
        self._unindex(entry)

    def _change(self, event: Event, **changes: Any) -> AgentEntry:
        assert event.agent_id is not None
        entry = self._by_id[event.agent_id] = attrs.evolve(self._by_id[event.agent_id], **changes)
        return entry

    def _resume_set(self, event: AgentResumeSet) -> None:
        assert event.agent_id is not None
        self._unindex(self._by_id[event.agent_id])
        self._index(self._change(event, resume=read(Resume, event.resume), resume_version=event.version))

    def _skill_set(self, event: AgentSkillSet) -> None:
        self._change(event, skill=event.skill)

    def _rule_set(self, event: AgentRuleSet) -> None:
        self._change(event, rule=event.rule, rule_version=event.version, inbox_rule=_inbox_rule(event.rule))

    def _observed(self, event: AgentObserved) -> None:
        assert event.agent_id is not None
        assert event.task_id is not None
        entry = self._by_id[event.agent_id]
        known = _observation(entry, event.capability).with_task(event.ended, event.latency_ms)
        observations = {each.capability: each for each in entry.observations} | {event.capability: known}
        self._index(self._change(event, observations=tuple(observations.values()), resume_version=event.version))
        tasks = self._tasks.setdefault(event.agent_id, {})
        tasks[event.task_id] = None
        if len(tasks) > TASKS_MAX:
            del tasks[next(iter(tasks))]

    def _index(self, entry: AgentEntry) -> None:
        for capability in entry.all_capabilities():
            self._by_capability.setdefault(capability, {})[entry.agent_id] = None

    def _unindex(self, entry: AgentEntry) -> None:
        for capability in entry.all_capabilities():
            have = self._by_capability[capability]
            del have[entry.agent_id]
            if not have:
                del self._by_capability[capability]


class AgentsOf:
    """The agents of one tenant, as if there were no others."""

    def __init__(self, agents: Agents, tenant: str) -> None:
        self._agents = agents
        self._tenant = tenant

    def __contains__(self, agent_id: object) -> bool:
        return type(agent_id) is str and self.known(agent_id) is not None

    def get(self, agent_id: str) -> AgentEntry:
        """Return the agent with this id; refuse that of another tenant's as one that there is not."""
        if type(agent_id) is str and (entry := self.known(agent_id)) is not None:
            return entry
        raise self._agents.not_found(agent_id, self._tenant)

    def known(self, agent_id: str) -> AgentEntry | None:
        entry = self._agents.known(agent_id)
        return entry if entry is not None and entry.tenant == self._tenant else None

    def find(self, name: str) -> AgentEntry | None:
        return self._agents.find(name, self._tenant)

    def all(self, capability: str | None = None) -> list[AgentEntry]:
        if capability is None:
            return [self._agents.get(each) for each in self._agents.ids_of(self._tenant)]
        return [each for each in self._agents.all(capability) if each.tenant == self._tenant]

    def no_such_name(self, name: object) -> NotFound:
        return self._agents.no_such_name(name, self._tenant)

    def label(self, agent_id: str | None) -> str:
        """Return an agent as messages name it; of another tenant's, what was given."""
        return self._agents.label(agent_id) if agent_id in self else f"agent {shown(agent_id)}"


def is_id(text: str) -> bool:
    """Tell whether this is what the ids of agents look like; no name does."""
    return _ID.fullmatch(text) is not None


def _observation(entry: AgentEntry, capability: str) -> Observation:
    for each in entry.observations:
        if each.capability == capability:
            return each
    return Observation(capability=capability)


def _check_skill(skill: object) -> None:
    if not isinstance(skill, str) or canonical(skill) != skill:
        raise CommandRejected(f"a skill must be text that can be written, not {shown(skill)}")


def _written(kind: type[Passport | Resume], value: object) -> Mapping[str, Any]:
    """Return the fields of a value of this kind. Its class has checked them, so that applying cannot fail."""
    if not isinstance(value, kind):
        name = kind.__name__
        raise CommandRejected(f"a {name.lower()} is a hubwire.{name}, not {shown(value)}; write {name}(...)")
    return write(value)


def _inbox_rule(rule: Mapping[str, Any] | None) -> InboxRule:
    return read(InboxRule, rule.get("inbox") if rule else None)
