"""The registered agents: ``(absent) -- registered --> (present) -- unregistered --> (absent)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import attrs

from ..errors import CommandRejected, ConfigurationError, NotFound
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
from .origin import Origin
from .profiles import InboxRule, Observation, Passport, Resume, is_latency, read, write

__all__ = ("AgentEntry", "Agents")

TASKS_MAX = 10_000
"""How many observed tasks of an agent are remembered, so that none of them counts twice."""

_ID = re.compile(r"[0-9a-f]{32}")
_ENDS = ("completed", "failed", "expired", "cancelled")


@attrs.frozen
class AgentEntry:
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

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that it claims."""
        return self.resume.capabilities

    def all_capabilities(self) -> Iterable[str]:
        """Return the capabilities that it claims, then others that were observed; each once."""
        return dict.fromkeys((*self.resume.capabilities, *(each.capability for each in self.observations)))


@attrs.frozen
class ObservedTasks:
    """The tasks that an agent's observations count, oldest first."""

    agent_id: str
    task_ids: tuple[str, ...]


class Agents:
    """The registry of agents."""

    entry_types: ClassVar[tuple[type, ...]] = (AgentEntry, ObservedTasks)

    def __init__(self) -> None:
        self._by_id: dict[str, AgentEntry] = {}
        self._id_by_name: dict[str, str] = {}
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

    def snapshot(self) -> list[AgentEntry | ObservedTasks]:
        tasks = [ObservedTasks(agent_id, tuple(task_ids)) for agent_id, task_ids in self._tasks.items()]
        return [*self._by_id.values(), *tasks]

    def restore(self, entries: Sequence[AgentEntry | ObservedTasks]) -> None:
        for entry in entries:
            if isinstance(entry, ObservedTasks):
                self._tasks[entry.agent_id] = dict.fromkeys(entry.task_ids)
            else:
                self._by_id[entry.agent_id] = entry
                self._id_by_name[entry.name] = entry.agent_id
                self._index(entry)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._by_id

    def get(self, agent_id: str) -> AgentEntry:
        try:
            return self._by_id[agent_id]
        except (KeyError, TypeError):
            raise NotFound(f"no agent {agent_id!r} is registered; register it, or look it up by name") from None

    def known(self, agent_id: str) -> AgentEntry | None:
        """Return the agent with this id, if it is registered."""
        return self._by_id.get(agent_id)

    def find(self, name: str) -> AgentEntry | None:
        """Return the agent with this name, if there is one."""
        agent_id = self._id_by_name.get(name)
        return None if agent_id is None else self._by_id[agent_id]

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
        **origin: Unpack[Origin],
    ) -> list[Event]:
        # Stamping replaces text that UTF-8 cannot hold: an agent with such a name would not be found by it.
        if not isinstance(name, str) or not name.strip() or canonical(name) != name:
            raise CommandRejected(f"an agent's name must be printable text, not {name!r}")
        if _ID.fullmatch(name) or name in self._by_id:
            raise CommandRejected(f"{name!r} looks like an agent's id, or is one; give the agent another name")
        if isinstance(capabilities, str) or not isinstance(capabilities, Iterable):
            raise CommandRejected(f"capabilities are a list of names, not {capabilities!r}; write [{capabilities!r}]")
        capabilities = tuple(capabilities)
        if wrong := [each for each in capabilities if not isinstance(each, str) or canonical(each) != each]:
            raise CommandRejected(f"a capability must be text that can be written, not {wrong[0]!r}")
        if name in self._id_by_name:
            raise CommandRejected(f"an agent named {name!r} is registered already, as {self._id_by_name[name]}")
        _check_skill(skill)
        return [
            AgentRegistered(
                agent_id=agent_id,
                name=name,
                capabilities=capabilities,
                passport=None if passport is None else _written(Passport, passport),
                resume=None if resume is None else _written(Resume, resume),
                skill=skill,
                rule=None if rule is None else _checked_rule(rule),
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
        return [AgentRuleSet(agent_id=agent_id, rule=_checked_rule(rule), version=version)]

    def observe(
        self, agent_id: str, *, task_id: str, capability: str, ended: str, latency_ms: float | None = None
    ) -> list[Event]:
        """Count a task that has ended; return no events if it was counted before."""
        entry = self.get(agent_id)
        if ended not in _ENDS:
            raise CommandRejected(f"a task ends as one of {', '.join(_ENDS)}, not as {ended!r}")
        for what in (capability, task_id):
            if not isinstance(what, str) or not what or canonical(what) != what:
                raise CommandRejected(f"a capability and a task's id must be text that can be written, not {what!r}")
        if latency_ms is not None and not is_latency(latency_ms):
            raise CommandRejected(f"a latency is a number of milliseconds, or None, not {latency_ms!r}")
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
        )
        self._by_id[entry.agent_id] = entry
        self._id_by_name[entry.name] = entry.agent_id
        self._index(entry)

    def _unregistered(self, event: AgentUnregistered) -> None:
        assert event.agent_id is not None
        entry = self._by_id.pop(event.agent_id)
        del self._id_by_name[entry.name]
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


def _observation(entry: AgentEntry, capability: str) -> Observation:
    for each in entry.observations:
        if each.capability == capability:
            return each
    return Observation(capability=capability)


def _check_skill(skill: object) -> None:
    if not isinstance(skill, str) or canonical(skill) != skill:
        raise CommandRejected(f"a skill must be text that can be written, not {skill!r}")


def _written(kind: type[Passport | Resume], value: object) -> Mapping[str, Any]:
    """Return the fields of a value of this kind. Its class has checked them, so that applying cannot fail."""
    if not isinstance(value, kind):
        name = kind.__name__
        raise CommandRejected(f"a {name.lower()} is a hubwire.{name}, not {value!r}; write {name}(...)")
    return write(value)


def _checked_rule(rule: Any) -> Mapping[str, Any]:
    """Return a rule's fields, with those about the inbox checked: the hub itself uses them, the arbiter the others."""
    fields = canonical(rule)
    if not isinstance(fields, Mapping):
        raise CommandRejected(f"a rule must be an object with fields, or a mapping, not {rule!r}")
    inbox = fields.get("inbox")
    if inbox is not None and not isinstance(inbox, Mapping):
        raise CommandRejected(f"the inbox of a rule must be an InboxRule, or a mapping with its fields, not {inbox!r}")
    known = {field.name for field in attrs.fields(InboxRule)}
    if unknown := sorted(set(inbox or ()) - known):
        raise CommandRejected(f"an InboxRule has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    try:
        read(InboxRule, inbox)
    except (ConfigurationError, ValueError) as error:
        raise CommandRejected(f"the inbox of the rule is not valid: {error}") from error
    return fields


def _inbox_rule(rule: Mapping[str, Any] | None) -> InboxRule:
    return read(InboxRule, rule.get("inbox") if rule else None)
