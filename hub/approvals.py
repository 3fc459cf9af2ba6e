"""What can be plugged into approvals: scorers of risk and trust, approvers, and the policy around them.

A plug-in's method may be ``async`` or not. If one raises or hangs, that alone never lets the agent act: the policy's
fail mode decides, and the verdict says so.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs

from ._state.moments import is_duration
from ._state.risks import TRUST_INITIAL, ChallengeKind, FailMode, Mode, RiskLevel
from .errors import ConfigurationError

__all__ = (
    "DEFAULT_CHALLENGES",
    "Answer",
    "Approval",
    "ApprovalPolicy",
    "Approver",
    "ChallengeKind",
    "FailMode",
    "FunctionApprover",
    "Mode",
    "NameScorer",
    "Question",
    "RecordTrust",
    "RiskLevel",
    "RiskScorer",
    "TrustScorer",
)


@attrs.frozen(kw_only=True, eq=False)
class Question:
    """What plug-ins are called with: may this agent do this? Fields that are not known yet are None."""

    approval_id: str
    agent_id: str
    agent_name: str
    action: str
    arguments: Any
    """Frozen, as the event has them."""
    channel_id: str | None = None
    task_id: str | None = None
    times_approved: int = 0
    """How often approvers have approved actions of this agent since it was registered."""
    times_denied: int = 0
    risk_score: float | None = None
    risk_level: RiskLevel | None = None
    challenge: ChallengeKind | None = None


@attrs.frozen
class Answer:
    """The answer of an approver."""

    is_passed: bool
    reason: str = ""


@attrs.frozen(kw_only=True)
class Approval:
    """A verdict that lets an agent act. It has committed: it is on disk where the hub has a journal."""

    approval_id: str
    action: str
    risk_score: float | None
    risk_level: str
    approvers: tuple[str, ...]
    mode: str
    enforce_verdict: str
    """What mode ENFORCE would have decided, if the mode is another one and approvers were called; else empty."""
    reason: str
    is_failure: bool
    """Whether the fail mode has decided."""


class RiskScorer(Protocol):
    """Scores how dangerous an action is."""

    def score(self, question: Question) -> float | Awaitable[float]:
        """Return the risk from 0 (none) to 1; see :class:`RiskLevel`."""


class TrustScorer(Protocol):
    """Scores how far an agent is trusted."""

    def trust(self, question: Question) -> float | Awaitable[float]:
        """Return the trust from 0 (none) to 1. 0.3 leaves the risk as it is, 1 lowers it by 0.21, 0 adds 0.09."""


class Approver(Protocol):
    """Approves or denies actions: a person behind a chat or a form, or a program."""

    @property
    def name(self) -> str:
        """Its name in verdicts: unique among the approvers of a policy."""

    def review(self, question: Question) -> Answer | bool | Awaitable[Answer | bool]:
        """Return whether the agent may act. It is cancelled when there is a verdict without its answer."""


_WORDS: Mapping[str, float] = {
    **dict.fromkeys(("count", "find", "get", "list", "read", "search", "show", "view"), 0.1),
    **dict.fromkeys(("add", "create", "edit", "insert", "set", "update", "write"), 0.4),
    **dict.fromkeys(("deploy", "execute", "merge", "post", "publish", "push", "run", "send"), 0.7),
    **dict.fromkeys(("charge", "delete", "destroy", "drop", "kill", "pay", "purge", "remove", "transfer", "wipe"), 0.9),
}


class NameScorer:
    """Scores an action by the most dangerous word in its name: ``read_file`` 0.1, ``deploy`` 0.7, ``dropTable`` 0.9.

    A name without a known word scores 0.5. ``words``, in lower case, are added to the known ones, or replace their
    scores.
    """

    def __init__(self, words: Mapping[str, float] | None = None) -> None:
        self._words = {**_WORDS, **(words or {})}

    def score(self, question: Question) -> float:
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", question.action)
        return max((self._words[word] for each in words if (word := each.lower()) in self._words), default=0.5)


class RecordTrust:
    """Scores trust by the decisions of approvers: 0.3 at first, at most 0.9; a denial weighs like three approvals."""

    def trust(self, question: Question) -> float:
        approved, denied = question.times_approved, 3 * question.times_denied
        prior = 10
        return min(0.9, (prior * TRUST_INITIAL + approved) / (prior + approved + denied))


class FunctionApprover:
    """An approver made of a function, async or not, that takes a :class:`Question` and returns a bool or an Answer."""

    def __init__(self, name: str, function: Callable[[Question], Answer | bool | Awaitable[Answer | bool]]) -> None:
        self._name = name
        self._function = function

    @property
    def name(self) -> str:
        return self._name

    def review(self, question: Question) -> Answer | bool | Awaitable[Answer | bool]:
        return self._function(question)


DEFAULT_CHALLENGES: Mapping[RiskLevel, ChallengeKind] = {
    RiskLevel.LOW: ChallengeKind.AUTO_APPROVE,
    RiskLevel.MEDIUM: ChallengeKind.CONFIRM,
    RiskLevel.HIGH: ChallengeKind.QUIZ,
    RiskLevel.CRITICAL: ChallengeKind.MULTI_PARTY,
}


def _tuple(approvers: Iterable[Approver]) -> tuple[Approver, ...]:
    return tuple(approvers)


@attrs.frozen(kw_only=True, eq=False)
class ApprovalPolicy:
    """How approvals are decided.

    All ``approvers`` are called at once, and ``quorum`` of them have to agree, with MULTI_PARTY at least two; as soon
    as that cannot happen any more, the action is denied. Without approvers the question waits for
    ``hub.approvals.answer()``, for example of a dashboard.

    Raises :class:`~hubwire.errors.ConfigurationError` for a policy that could never approve.
    """

    mode: Mode = Mode.ENFORCE
    fail_mode: FailMode = FailMode.DENY
    timeout_seconds: float = 600.0
    """By the hub's clock, from the request to the verdict."""
    quorum: int = 1
    scorer: RiskScorer = attrs.field(factory=NameScorer)
    trust: TrustScorer = attrs.field(factory=RecordTrust)
    approvers: tuple[Approver, ...] = attrs.field(default=(), converter=_tuple)
    challenges: Mapping[RiskLevel, ChallengeKind] = DEFAULT_CHALLENGES

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.mode, Mode) or not isinstance(self.fail_mode, FailMode):
            raise ConfigurationError(f"mode is a Mode and fail_mode a FailMode, not {self.mode!r}, {self.fail_mode!r}")
        if not is_duration(self.timeout_seconds):
            raise ConfigurationError(f"timeout_seconds is a positive number, not {self.timeout_seconds!r}")
        if isinstance(self.quorum, bool) or not isinstance(self.quorum, int) or self.quorum < 1:
            raise ConfigurationError(f"quorum is a number of at least 1, not {self.quorum!r}")
        if missing := [level.value for level in RiskLevel if level not in self.challenges]:
            raise ConfigurationError(
                f"challenges have no entry for risk {', '.join(missing)}; begin with DEFAULT_CHALLENGES"
            )
        if wrong := [each for each in self.challenges.values() if not isinstance(each, ChallengeKind)]:
            raise ConfigurationError(f"challenges map a RiskLevel to a ChallengeKind, not to {wrong[0]!r}")
        names = [approver.name for approver in self.approvers]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"each approver needs a different name, and these are {', '.join(names)}")
        needed = max(2, self.quorum) if ChallengeKind.MULTI_PARTY in self.challenges.values() else self.quorum
        if names and len(names) < needed:
            raise ConfigurationError(
                f"{needed} approvers have to agree, and there are {len(names)}; add some, lower the quorum, or map"
                " critical risk to another challenge than MULTI_PARTY"
            )
