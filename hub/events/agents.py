"""Agents: who takes part."""

from __future__ import annotations

from ._event import Event, event

__all__ = ("AgentRegistered", "AgentUnregistered")


@event("agent.registered", command="hub.agents.register()")
class AgentRegistered(Event):
    """An agent joined the hub. ``agent_id`` is new; ``name`` is unique while it is registered."""

    name: str
    capabilities: tuple[str, ...] = ()


@event("agent.unregistered", command="agent.unregister()")
class AgentUnregistered(Event):
    """An agent left the hub: its name is free, its inbox is gone."""

    name: str
