"""Approvals: from the question whether an agent may act to the verdict. ``approval_id`` connects the events."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = (
    "ApprovalApproved",
    "ApprovalChallengeCompleted",
    "ApprovalChallengeIssued",
    "ApprovalDenied",
    "ApprovalEscalated",
    "ApprovalExpired",
    "ApprovalRequested",
    "ApprovalRiskScored",
    "ApprovalTrustComputed",
    "AuditLogged",
)

_GATE = "hub.approvals.gate()"
_VERDICT = "hub.approvals"


@event("approval.requested", command=_GATE)
class ApprovalRequested(Event):
    """``agent_id`` wants to do ``action``, and must not before the verdict.

    ``mode`` is ``enforce``, ``shadow`` or ``audit_only``; ``fail_mode`` is the outcome if the process fails: ``deny``,
    ``allow`` or ``escalate``. No verdict within ``timeout_seconds`` is such a failure.
    """

    approval_id: str
    action: str
    arguments: Any = None
    mode: str = "enforce"
    fail_mode: str = "deny"
    timeout_seconds: float = 600.0


@event("approval.risk_scored", command=_GATE)
class ApprovalRiskScored(Event):
    """The scorer rated the action: ``risk_score`` from 0 to 1, and the ``risk_level`` that this is."""

    approval_id: str
    action: str
    risk_score: float
    risk_level: str


@event("approval.trust_computed", command=_GATE)
class ApprovalTrustComputed(Event):
    """The trust in the agent, from 0 to 1, was computed, and with it the final ``risk_score`` and ``risk_level``."""

    approval_id: str
    action: str
    trust: float
    risk_score: float
    risk_level: str


@event("approval.challenge_issued", command=_GATE)
class ApprovalChallengeIssued(Event):
    """Approvers may answer now; ``quorum`` of them have to agree. No ``approvers``: all but the agent itself may."""

    approval_id: str
    action: str
    challenge: str
    risk_level: str
    quorum: int
    approvers: tuple[str, ...] = ()


@event("approval.challenge_completed", command="hub.approvals.answer()")
class ApprovalChallengeCompleted(Event):
    """One approver answered; ``is_passed`` is its answer."""

    approval_id: str
    action: str
    challenge: str
    approver: str
    is_passed: bool
    reason: str = ""


@event("approval.approved", command=_VERDICT)
class ApprovalApproved(Event):
    """The agent may act. ``approvers`` are those whose answers decided.

    ``enforce_verdict`` is the verdict that mode ``enforce`` would have given, where the mode is another one; empty if
    that is not known because no approver was called. ``reason`` says why the agent may act if no approver decided.
    """

    approval_id: str
    action: str
    risk_score: float | None = None
    risk_level: str = ""
    approvers: tuple[str, ...] = ()
    mode: str = "enforce"
    enforce_verdict: str = ""
    reason: str = ""
    is_failure: bool = False
    """Whether the fail mode decided, because no approver could."""


@event("approval.denied", command=_VERDICT)
class ApprovalDenied(Event):
    """The agent must not act: an approver denied it, or the process failed. ``approvers`` are those that denied it."""

    approval_id: str
    action: str
    risk_score: float | None = None
    risk_level: str = ""
    approvers: tuple[str, ...] = ()
    reason: str = ""
    is_failure: bool = False


@event("approval.escalated", command=_VERDICT)
class ApprovalEscalated(Event):
    """The agent must not act now: the process failed or took too long, and the decision has to be made elsewhere."""

    approval_id: str
    action: str
    risk_score: float | None = None
    risk_level: str = ""
    reason: str = ""


@event("approval.expired", command=_VERDICT)
class ApprovalExpired(Event):
    """The agent must not act: there was no verdict in time."""

    approval_id: str
    action: str
    risk_score: float | None = None
    risk_level: str = ""
    reason: str = ""


@event("audit.logged", command=_VERDICT)
class AuditLogged(Event):
    """A verdict is committed: it is in the journal, and in the log of every required listener."""

    approval_id: str
    action: str
    verdict: str
    verdict_id: str
    """The ``id`` of the verdict's event."""
    verdict_seq: int
