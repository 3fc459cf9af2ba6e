"""Policies: decisions of rules about what an agent was about to do: the hub's arbiter, or rules outside the hub."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("CommandDenied", "PolicyDecided", "SandboxDecided")


@event("command.denied", command="the hub itself, when the arbiter denies a command")
class CommandDenied(Event):
    """The arbiter denied ``count`` equal commands of ``agent_id`` since the last such event; they had no effect.

    ``command_name`` is the ``name`` of a :class:`hubwire.arbiter.Command`; ``agent_name`` is the agent's name, for
    ``register`` the one that it was to get. ``reason`` is what the arbiter gave, or how it failed. What the command was
    about is not recorded. Equal denials within a second are one event; where many different ones come at a time, some
    are counted together, and ``command_name`` is empty. A denied post is ``envelope.rejected`` instead.
    """

    agent_name: str
    command_name: str
    reason: str
    count: int = 1


@event("policy.decided")
class PolicyDecided(Event):
    """A policy allowed or denied an agent a tool. ``action`` is ``allow`` or ``deny``; ``policy`` names the policy."""

    tool: str
    action: str
    policy: str = ""
    reason: str = ""


@event("sandbox.decided")
class SandboxDecided(Event):
    """It was decided where a tool runs: in which ``backend``, in which ``surroundings``, and why."""

    tool: str
    backend: str = ""
    reason: str = ""
    surroundings: Any = None
