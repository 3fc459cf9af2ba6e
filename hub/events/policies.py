"""Policies: decisions of rules outside the hub about an action that an agent was about to take."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("PolicyDecided", "SandboxDecided")


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
