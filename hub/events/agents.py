"""Agents: the participants of a hub, their capabilities and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event

__all__ = (
    "AgentObserved",
    "AgentRegistered",
    "AgentResumeSet",
    "AgentRuleSet",
    "AgentSkillSet",
    "AgentSwitched",
    "AgentUnregistered",
)


@event("agent.registered", command="hub.agents.register()")
class AgentRegistered(Event):
    """An agent joined the hub. ``agent_id`` is new; ``name`` is unique while it is registered.

    ``passport``, ``resume`` and ``rule`` hold the fields of :class:`hubwire.Passport`, :class:`hubwire.Resume` and of
    its rule; None where none was given. ``registered_by`` is the id of the agent that has registered it, if one has.
    ``of_tenant``: it is an agent of the event's ``tenant``, and its name is unique there: see
    :meth:`hubwire.Hub.for_tenant`.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    passport: Mapping[str, Any] | None = None
    resume: Mapping[str, Any] | None = None
    skill: str = ""
    rule: Mapping[str, Any] | None = None
    registered_by: str | None = None
    of_tenant: bool = False


@event("agent.unregistered", command="agent.unregister()")
class AgentUnregistered(Event):
    """An agent left the hub: its name is free, its inbox is deleted. It leaves each of its channels by an event."""

    name: str


@event("agent.resume_set", command="agent.set_resume()")
class AgentResumeSet(Event):
    """An agent replaced its resume. The observations of its work stay. ``version`` counts from 1."""

    resume: Mapping[str, Any]
    version: int


@event("agent.skill_set", command="agent.set_skill()")
class AgentSkillSet(Event):
    """An agent has a new description of its skill; with ``removed`` it has none any more, and ``skill`` is empty."""

    skill: str
    removed: bool = False


@event("agent.rule_set", command="agent.set_rule()")
class AgentRuleSet(Event):
    """An agent is under a new rule. ``version`` counts from 1."""

    rule: Mapping[str, Any]
    version: int


@event("agent.observed", command="agent.observe()")
class AgentObserved(Event):
    """A task of the agent that needed ``capability`` ended. Each task counts once.

    ``ended`` is ``completed``, ``failed``, ``expired`` or ``cancelled``. ``observation`` sums up the capability, this
    task included: how many tasks ended in which way, and the median of the newest latencies in milliseconds.
    """

    capability: str
    ended: str
    latency_ms: float | None = None
    observation: Mapping[str, Any]
    version: int


@event("agent.switched")
class AgentSwitched(Event):
    """One agent handed its work to another. The runtime that switches reports it; the fields are names, not ids."""

    from_agent: str
    to_agent: str
    reason: str = ""
