"""Policies: what a rule outside the hub decided about something that an agent was about to do."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("PolicyDecided", "SandboxDecided")


@event("policy.decided")
class PolicyDecided(Event):
    """A policy let an agent use a tool, or not. ``action`` is ``allow`` or ``deny``; ``policy`` names who decided."""

    tool: str
    action: str
    policy: str = ""
    reason: str = ""


@event("sandbox.decided")
class SandboxDecided(Event):
    """It was decided where a tool runs: in which ``backend``, with what around it, and why."""

    tool: str
    backend: str = ""
    reason: str = ""
    surroundings: Any = None
