"""The entries of approvals, and the verdicts in each mode."""

from __future__ import annotations

from typing import Any

import attrs

from ..events import ApprovalApproved, ApprovalDenied, ApprovalEscalated, ApprovalExpired, Event
from .risks import ApprovalStage, FailMode, Mode, RiskLevel

__all__ = ("VERDICTS", "AgentRecord", "ApprovalEntry", "Verdict", "about_of", "approved", "verdict", "word_of")

VERDICTS = (ApprovalApproved, ApprovalDenied, ApprovalEscalated, ApprovalExpired)


def word_of(event: Event) -> str:
    """Return a verdict in one word: the last one of its kind."""
    return event.kind.rpartition(".")[2]


@attrs.frozen(kw_only=True)
class ApprovalEntry:
    """What the hub knows of an approval without a verdict."""

    approval_id: str
    agent_id: str
    session_id: str | None
    turn_id: str | None
    channel_id: str | None
    task_id: str | None
    action: str
    mode: Mode
    fail_mode: FailMode
    requested_at: str
    deadline_ns: int
    stage: ApprovalStage = ApprovalStage.REQUESTED
    risk_score: float | None = None
    risk_level: RiskLevel | None = None
    challenge: str = ""
    quorum: int = 0
    approvers: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    is_left_behind: bool = False
    """Whether its agent has left the hub, and the verdict that it expired is still to come."""


@attrs.frozen
class AgentRecord:
    """How often approvers approved what an agent wanted to do, and how often they denied it."""

    agent_id: str
    approved: int = 0
    denied: int = 0


@attrs.frozen
class Verdict:
    """A verdict that has still to be reported by ``audit.logged``."""

    approval_id: str
    action: str
    word: str
    id: str
    seq: int
    agent_id: str | None


def about_of(entry: ApprovalEntry) -> dict[str, Any]:
    """Return the fields that every event of an approval has."""
    return {
        "approval_id": entry.approval_id,
        "action": entry.action,
        "agent_id": entry.agent_id,
        "session_id": entry.session_id,
        "turn_id": entry.turn_id,
        "channel_id": entry.channel_id,
        "task_id": entry.task_id,
    }


def _outcome(entry: ApprovalEntry) -> dict[str, Any]:
    level = "" if entry.risk_level is None else entry.risk_level.value
    return {**about_of(entry), "risk_score": entry.risk_score, "risk_level": level}


def approved(entry: ApprovalEntry, **more: Any) -> Event:
    """Return the verdict that lets the agent act."""
    return ApprovalApproved(**_outcome(entry), mode=entry.mode.value, outcome="success", **more)


def verdict(
    entry: ApprovalEntry,
    word: str,
    reason: str = "",
    *,
    approvers: tuple[str, ...] = (),
    is_failure: bool = False,
    is_final: bool = False,
) -> Event:
    """Return the verdict as the mode has it; ``is_final``: the same in all modes, because the action is given up."""
    if entry.mode is not Mode.ENFORCE and not is_final:
        return approved(entry, enforce_verdict=word, approvers=approvers, reason=reason, is_failure=is_failure)
    if word == "approved":
        return approved(entry, approvers=approvers, reason=reason, is_failure=is_failure)
    about = {**_outcome(entry), "reason": reason, "outcome": "denied"}
    if word == "denied":
        return ApprovalDenied(**about, approvers=approvers, is_failure=is_failure)
    return ApprovalEscalated(**about) if word == "escalated" else ApprovalExpired(**about)
