"""The entries of approvals, and the verdicts in each mode."""

from __future__ import annotations

from typing import Any

import attrs

from .._values import Value
from ..events import (
    ApprovalApproved,
    ApprovalDenied,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalReturned,
    ApprovalWithdrawn,
    Event,
)
from .risks import ApprovalStage, FailMode, Mode, RiskLevel

__all__ = ("VERDICTS", "ApprovalEntry", "Verdict", "about_of", "approved", "place_of", "verdict", "word_of")

VERDICTS = (
    ApprovalApproved,
    ApprovalDenied,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalReturned,
    ApprovalWithdrawn,
)


def word_of(event: Event) -> str:
    """Return a verdict in one word: the last one of its kind, or ``modified``."""
    return "modified" if getattr(event, "is_modified", False) else event.kind.rpartition(".")[2]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ApprovalEntry(Value):
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
    arguments: Any = None
    arguments_bytes: int = 0
    arguments_seq: int = -1
    """The event that has them, if ``is_kept`` is false."""
    arguments_at: str = ""
    is_kept: bool = False
    """Whether the arguments are here."""
    digest: str = ""
    domain: str = ""
    hints: Any = None
    provenance: Any = None
    """Where the arguments come from, as the agent has said it in the metadata."""
    envelope_id: str | None = None
    key: str | None = None
    scorer: str = ""
    risk_scored: float | None = None
    """The risk before trust changed it."""
    risk_reason: str = ""
    risk_steps: Any = ()
    trust: float | None = None
    trust_reason: str = ""
    challenged_ns: int = 0
    review_seconds_min: float = 0.0
    broken: tuple[str, ...] = ()
    """The approvers that have failed, and given no answer since."""
    last_failure: str = ""
    identities: tuple[str, ...] = ()
    """Those of the approvers that have answered."""
    reason: str = ""
    """That of the last answer."""
    review_seconds: float | None = None
    """When the last answer came, after the challenge."""
    modified: Any = None
    is_modified: bool = False
    remind_seconds: float | None = None
    remind_ns: int | None = None
    reminders: int = 0
    refer_ns: int | None = None
    refer_to: tuple[str, ...] = ()
    is_vouched: bool = False
    """Whether no name alone is enough to answer."""
    tenant: str | None = None

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The approvers of which an answer may still come; empty if any person may answer."""
        return tuple(each for each in self.approvers if each not in (*self.passed, *self.failed, *self.broken))


@attrs.frozen(eq=False, repr=False)
class Verdict(Value):
    """A verdict that has still to be reported by ``audit.logged``."""

    approval_id: str
    action: str
    word: str
    id: str
    seq: int
    agent_id: str | None
    tenant: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    channel_id: str | None = None
    task_id: str | None = None


def place_of(thing: Any) -> dict[str, Any]:
    """Return where an approval belongs, as each event of it says, and what is kept of it."""
    return {name: getattr(thing, name) for name in ("tenant", "session_id", "turn_id", "channel_id", "task_id")}


def about_of(entry: ApprovalEntry) -> dict[str, Any]:
    """Return the fields that every event of an approval has."""
    return {
        "approval_id": entry.approval_id,
        "action": entry.action,
        "agent_id": entry.agent_id,
        **place_of(entry),
    }


def _outcome(entry: ApprovalEntry) -> dict[str, Any]:
    level = "" if entry.risk_level is None else entry.risk_level.value
    return {**about_of(entry), "risk_score": entry.risk_score, "risk_level": level}


def approved(entry: ApprovalEntry, **more: Any) -> Event:
    """Return the verdict that lets the agent act."""
    about = {**_outcome(entry), "digest": entry.digest, "review_seconds": entry.review_seconds}
    return ApprovalApproved(**{**about, "mode": entry.mode.value, "outcome": "success", **more})


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
        return ApprovalDenied(**about, approvers=approvers, is_failure=is_failure, review_seconds=entry.review_seconds)
    if word == "returned":
        return ApprovalReturned(**about, approvers=approvers)
    if word == "withdrawn":
        return ApprovalWithdrawn(**about)
    return ApprovalEscalated(**about) if word == "escalated" else ApprovalExpired(**about)
