"""What is at stake in an approval, and what an approval can be like. Values are the words that events use."""

from __future__ import annotations

import math
from enum import Enum

from ..errors import CommandRejected

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
"""How far an agent is trusted that nobody has approved or denied anything yet: it leaves a risk as it is."""

_TRUST_INFLUENCE = 0.3


class Mode(Enum):
    """What a verdict is worth. SHADOW asks and AUDIT_ONLY does not, but both approve; what they record tells so."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    AUDIT_ONLY = "audit_only"


class FailMode(Enum):
    """What becomes of an approval if a scorer or an approver fails, or the time is up."""

    DENY = "deny"
    ALLOW = "allow"
    ESCALATE = "escalate"


class RiskLevel(Enum):
    """How dangerous something is: from 0, from 0.3, from 0.6, and from 0.8 on."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ChallengeKind(Enum):
    """How approvers are asked. Only AUTO_APPROVE and MULTI_PARTY (two at least) mean something to the hub itself."""

    AUTO_APPROVE = "auto_approve"
    CONFIRM = "confirm"
    QUIZ = "quiz"
    TEACH_BACK = "teach_back"
    MULTI_PARTY = "multi_party"


class ApprovalStage(Enum):
    """How far an approval has come. One that has its verdict is forgotten, so it has no stage."""

    REQUESTED = "requested"
    SCORED = "scored"
    TRUSTED = "trusted"
    CHALLENGED = "challenged"


def level_of(score: float) -> RiskLevel:
    """Return what level of risk a score from 0 to 1 is."""
    if score < 0.3:
        return RiskLevel.LOW
    if score < 0.6:
        return RiskLevel.MEDIUM
    return RiskLevel.HIGH if score < 0.8 else RiskLevel.CRITICAL


def adjusted(risk_score: float, trust: float) -> float:
    """Return the risk that remains for who is trusted so far. What is critical stays critical, whoever does it."""
    adjusted = min(1.0, max(0.0, risk_score - _TRUST_INFLUENCE * (trust - TRUST_INITIAL)))
    critical = level_of(risk_score) is RiskLevel.CRITICAL
    return round(max(adjusted, 0.8) if critical else adjusted, 6)


def check_share(**shares: object) -> None:
    """Raise unless these are numbers from 0 to 1."""
    for name, value in shares.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not 0 <= value <= 1:  # type: ignore[arg-type,operator]
            raise CommandRejected(f"a {name} is a number from 0 to 1, not {value!r}")
