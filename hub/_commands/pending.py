"""Pending approvals, as those see them who have to decide."""

from __future__ import annotations

from .._state.agents import Agents
from .._state.risks import ApprovalStage, ChallengeKind
from .._state.verdicts import ApprovalEntry
from ..approvals import PendingApproval, RiskStep
from ..clock import timestamp
from ..provenance import provenance_of

__all__ = ("pending_of", "said_in")


def pending_of(entry: ApprovalEntry, agents: Agents) -> PendingApproval:
    """Return all that is known of a question."""
    is_challenged = entry.stage is ApprovalStage.CHALLENGED
    answers_from = timestamp(entry.challenged_ns + round(entry.review_seconds_min * 1e9)) if is_challenged else None
    return PendingApproval(
        approval_id=entry.approval_id,
        agent_id=entry.agent_id,
        agent_name=agents.get(entry.agent_id).name if entry.agent_id in agents else "",
        action=entry.action,
        arguments=entry.arguments,
        is_shown=entry.is_kept,
        arguments_at=entry.arguments_at,
        arguments_seq=entry.arguments_seq,
        arguments_bytes=entry.arguments_bytes,
        digest=entry.digest,
        stage=entry.stage,
        risk_steps=_steps_of(entry),
        risk_score=entry.risk_score,
        risk_level=entry.risk_level,
        trust=entry.trust,
        challenge=ChallengeKind(entry.challenge) if entry.challenge else None,
        quorum=entry.quorum,
        approvers=entry.approvers,
        passed=entry.passed,
        failed=entry.failed,
        broken=entry.broken,
        mode=entry.mode,
        fail_mode=entry.fail_mode,
        domain=entry.domain,
        hints=entry.hints,
        provenance=said_in(entry),
        channel_id=entry.channel_id,
        task_id=entry.task_id,
        turn_id=entry.turn_id,
        session_id=entry.session_id,
        envelope_id=entry.envelope_id,
        idempotency_key=entry.key,
        requested_at=entry.requested_at,
        deadline=timestamp(entry.deadline_ns),
        answers_from=answers_from,
        reminders=entry.reminders,
    )


def said_in(entry: ApprovalEntry) -> tuple[str, ...]:
    """Return where the arguments come from, as the agent has said."""
    return () if entry.provenance is None else provenance_of({"metadata": {"provenance": entry.provenance}})


def _steps_of(entry: ApprovalEntry) -> tuple[RiskStep, ...]:
    if entry.risk_scored is None:
        return ()
    steps = [RiskStep(each["scorer"], each["score"], each["reason"]) for each in entry.risk_steps]
    steps.append(RiskStep(entry.scorer, entry.risk_scored, entry.risk_reason))
    if entry.trust is not None and entry.risk_score is not None:
        steps.append(RiskStep(f"trust {entry.trust:.2g}", entry.risk_score, entry.trust_reason))
    return tuple(steps)
