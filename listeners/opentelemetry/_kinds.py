"""Kinds: which events begin a span, which end it and how, and which are noted in it."""

from __future__ import annotations

from collections.abc import Mapping

from ._span import Status

__all__ = ("BEGINNINGS", "ENDINGS", "KINDS", "NOTED", "OF_ALL", "OPERATIONS", "TIES")

TIES = {
    "life": "agent_id",
    "turn": "turn_id",
    "model": "call_id",
    "tool": "call_id",
    "task": "task_id",
    "approval": "approval_id",
}
BEGINNINGS = {
    "actor.started": "life",
    "turn.started": "turn",
    "model.called": "model",
    "tool.called": "tool",
    "task.started": "task",
    "approval.requested": "approval",
}
ENDINGS: Mapping[str, tuple[str, Status]] = {
    "actor.crashed": ("life", "error"),
    "actor.stopped": ("life", "ok"),
    "turn.ended": ("turn", "ok"),
    "turn.failed": ("turn", "error"),
    "turn.abandoned": ("turn", "error"),
    "model.completed": ("model", "ok"),
    "model.failed": ("model", "error"),
    "model.abandoned": ("model", "error"),
    "tool.completed": ("tool", "ok"),
    "tool.failed": ("tool", "error"),
    "tool.abandoned": ("tool", "error"),
    "task.completed": ("task", "ok"),
    "task.failed": ("task", "error"),
    "task.expired": ("task", "error"),
    "task.cancelled": ("task", "unset"),
    "approval.approved": ("approval", "ok"),
    "approval.denied": ("approval", "unset"),
    "approval.returned": ("approval", "unset"),
    "approval.withdrawn": ("approval", "unset"),
    "approval.escalated": ("approval", "error"),
    "approval.expired": ("approval", "error"),
}
NOTED = {
    "approval.risk_scored": "approval",
    "approval.trust_computed": "approval",
    "approval.challenge_issued": "approval",
    "approval.challenge_completed": "approval",
    "approval.reminded": "approval",
    "approval.referred": "approval",
    "task.progressed": "task",
    "task.checkpointed": "task",
    "task.cancel_requested": "task",
    "turn.extended": "turn",
    "envelope.posted": "turn",
    "envelope.rejected": "turn",
    "envelope.dispatch_failed": "turn",
    "error.raised": "turn",
    "loop.warned": "turn",
    "loop.blocked": "turn",
    "policy.decided": "turn",
    "sandbox.decided": "turn",
}
_OTHERS = ("agent.registered", "agent.switched", "channel.created", "hub.stopped")

KINDS = frozenset({*BEGINNINGS, *ENDINGS, *NOTED, *_OTHERS})
"""The kinds of events that spans are made from."""

OF_ALL = frozenset({"task", "approval"})
"""What goes on when the hub stops, and is not tied to an agent and a turn."""

OPERATIONS = {"turn": "invoke_agent", "model": "chat", "tool": "execute_tool", "task": "invoke_workflow"}
