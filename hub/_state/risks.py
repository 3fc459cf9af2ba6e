"""Risk and trust of an approval, and the settings of approvals. Values of enumerations are the words in events."""

from __future__ import annotations

from enum import Enum

from ..errors import CommandRejected
from ..events._shown import number_of, shown

__all__ = (
    "TRUST_INITIAL",
    "ApprovalStage",
    "ChallengeKind",
    "FailMode",
    "Mode",
    "RiskLevel",
    "adjusted",
    "check_share",
    "level_of",
)

TRUST_INITIAL = 0.3
"""The trust in an agent about which no approver has decided yet: it leaves a risk as it is."""

_TRUST_INFLUENCE = 0.3


class Mode(Enum):
    """What a verdict is worth.

    ENFORCE lets it decide. SHADOW and AUDIT_ONLY approve in any case, and the event says so: SHADOW calls approvers and
    records what ENFORCE would have decided, AUDIT_ONLY calls none.
    """

    ENFORCE = "enforce"
    SHADOW = "shadow"
    AUDIT_ONLY = "audit_only"


class FailMode(Enum):
    """How an approval is decided if a scorer or an approver fails, or the time is up."""

    DENY = "deny"
    ALLOW = "allow"
    ESCALATE = "escalate"


class RiskLevel(Enum):
    """How dangerous an action is: from a score of 0, of 0.3, of 0.6, and of 0.8 on."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ChallengeKind(Enum):
    """What approvers have to do. For the hub itself only AUTO_APPROVE and MULTI_PARTY (at least two) have a meaning."""

    AUTO_APPROVE = "auto_approve"
    CONFIRM = "confirm"
    QUIZ = "quiz"
    TEACH_BACK = "teach_back"
    MULTI_PARTY = "multi_party"


class ApprovalStage(Enum):
    """How far an approval has come. An approval with a verdict is forgotten, and has no stage."""

    REQUESTED = "requested"
    SCORED = "scored"
    TRUSTED = "trusted"
    CHALLENGED = "challenged"


def level_of(score: float) -> RiskLevel:
    """Return the level of a risk with a score from 0 to 1."""
    if score < 0.3:
        return RiskLevel.LOW
    if score < 0.6:
        return RiskLevel.MEDIUM
    return RiskLevel.HIGH if score < 0.8 else RiskLevel.CRITICAL


def adjusted(risk_score: float, trust: float) -> float:
    """Return the score of a risk after trust has changed it. A critical risk stays critical."""
    adjusted = min(1.0, max(0.0, risk_score - _TRUST_INFLUENCE * (trust - TRUST_INITIAL)))
    critical = level_of(risk_score) is RiskLevel.CRITICAL
    return round(max(adjusted, 0.8) if critical else adjusted, 6)


def check_share(**shares: object) -> None:
    """Raise unless these are numbers from 0 to 1."""
    for name, value in shares.items():
        number = number_of(value)
        if number is None or not 0 <= number <= 1:
            raise CommandRejected(f"{name} must be a number from 0 to 1, not {shown(value)}")
