"""Approvals: from the question whether an agent may act to the verdict. ``approval_id`` connects the events."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = (
    "ApprovalApproved",
    "ApprovalApproverFailed",
    "ApprovalChallengeCompleted",
    "ApprovalChallengeIssued",
    "ApprovalDenied",
    "ApprovalEscalated",
    "ApprovalExpired",
    "ApprovalIncidentRecorded",
    "ApprovalReferred",
    "ApprovalReminded",
    "ApprovalRequested",
    "ApprovalReturned",
    "ApprovalRiskScored",
    "ApprovalTrustComputed",
    "ApprovalTrustRestored",
    "ApprovalTrustRevoked",
    "ApprovalUsed",
    "ApprovalWithdrawn",
    "AuditLogged",
)

_GATE = "hub.approvals.gate()"
_VERDICT = "hub.approvals"


@event("approval.requested", command=_GATE)
class ApprovalRequested(Event):
    """``agent_id`` wants to do ``action``, and must not before the verdict.

    ``mode`` is ``enforce``, ``shadow`` or ``audit_only``; ``fail_mode`` is the outcome if the process fails: ``deny``,
    ``allow`` or ``escalate``. No verdict within ``timeout_seconds`` is such a failure. ``digest`` is the SHA-256 of the
    canonical JSON of the arguments, in hex; where ``arguments_at`` is not empty, they are not in the event, and it says
    where they are. The same ``idempotency_key`` of the same agent is the same question.
    """

    approval_id: str
    action: str
    arguments: Any = None
    mode: str = "enforce"
    fail_mode: str = "deny"
    timeout_seconds: float = 600.0
    digest: str = ""
    arguments_at: str = ""
    arguments_bytes: int = 0
    """The length of the canonical JSON."""
    domain: str = ""
    """The field in which the agent has to be trusted; empty: none in particular."""
    hints: Any = None
    """What the scorer was given besides."""
    envelope_id: str | None = None
    """The envelope of the turn in which it was requested."""
    idempotency_key: str | None = None


@event("approval.risk_scored", command=_GATE)
class ApprovalRiskScored(Event):
    """The scorer rated the action: ``risk_score`` from 0 to 1, and the ``risk_level`` that this is.

    ``steps`` are how it came to that, in order: ``scorer``, ``score`` and ``reason`` of each.
    """

    approval_id: str
    action: str
    risk_score: float
    risk_level: str
    scorer: str = ""
    reason: str = ""
    steps: Any = ()


@event("approval.trust_computed", command=_GATE)
class ApprovalTrustComputed(Event):
    """The trust in the agent, from 0 to 1, was computed, and with it the final ``risk_score`` and ``risk_level``."""

    approval_id: str
    action: str
    trust: float
    risk_score: float
    risk_level: str
    reason: str = ""


@event("approval.challenge_issued", command=_GATE)
class ApprovalChallengeIssued(Event):
    """Approvers may answer now; ``quorum`` of them have to agree. No ``approvers``: all but the agent itself may."""

    approval_id: str
    action: str
    challenge: str
    risk_level: str
    quorum: int
    approvers: tuple[str, ...] = ()
    review_seconds_min: float = 0.0
    """No answer counts earlier than that."""
    remind_seconds: float | None = None
    """After each of these times without a verdict, there is ``approval.reminded``."""
    refer_seconds: float | None = None
    """After this time without a verdict, ``refer_to`` may answer, too."""
    refer_to: tuple[str, ...] = ()
    is_vouched: bool = False
    """Whether its policy has a ``vouch`` for who answers."""


@event("approval.approver_failed", command=_GATE)
class ApprovalApproverFailed(Event):
    """An approver raised, or gave an answer that cannot be used. That is no answer: the others decide."""

    approval_id: str
    action: str
    approver: str
    reason: str = ""


@event("approval.reminded", command=_VERDICT)
class ApprovalReminded(Event):
    """There is no verdict yet: a notice to ``approvers``, those that have not answered. ``count`` is 1 at first."""

    approval_id: str
    action: str
    count: int
    approvers: tuple[str, ...] = ()


@event("approval.referred", command=_VERDICT)
class ApprovalReferred(Event):
    """There is no verdict yet: ``approvers`` may answer, too. It is a notice, and no verdict."""

    approval_id: str
    action: str
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
    identity: str = ""
    """Who that is, by what vouches for approvers; empty: none does, and the name is what the caller said."""
    arguments: Any = None
    is_modified: bool = False
    """Whether it is a yes to these ``arguments`` instead of those that were requested."""


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
    review_seconds: float | None = None
    """From the challenge to the answer that decided."""
    digest: str = ""
    """Of the arguments that are approved."""
    arguments: Any = None
    is_modified: bool = False
    """Whether these ``arguments`` are approved instead of those that were requested."""


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
    review_seconds: float | None = None


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


@event("approval.withdrawn", command="hub.approvals.withdraw()")
class ApprovalWithdrawn(Event):
    """The question is asked no more, and the agent must not act."""

    approval_id: str
    action: str
    risk_score: float | None = None
    risk_level: str = ""
    reason: str = ""


@event("approval.returned", command="hub.approvals.send_back()")
class ApprovalReturned(Event):
    """An approver sent the question back: the agent must not act so, and ``reason`` says what to change."""

    approval_id: str
    action: str
    risk_score: float | None = None
    risk_level: str = ""
    approvers: tuple[str, ...] = ()
    reason: str = ""


@event("approval.used", command="hub.approvals.use()")
class ApprovalUsed(Event):
    """The agent is about to act on its approval, which no other call can use any more."""

    approval_id: str
    action: str
    digest: str = ""


@event("approval.incident_recorded", command="hub.approvals.record_incident()")
class ApprovalIncidentRecorded(Event):
    """What an agent did went wrong: it is trusted less in ``domain``."""

    domain: str = ""
    reason: str = ""


@event("approval.trust_revoked", command="hub.approvals.revoke_trust()")
class ApprovalTrustRevoked(Event):
    """An agent is not trusted at all in ``domain`` until its trust is restored."""

    domain: str = ""
    reason: str = ""


@event("approval.trust_restored", command="hub.approvals.restore_trust()")
class ApprovalTrustRestored(Event):
    """An agent's trust in ``domain`` is computed again, from the start."""

    domain: str = ""
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
