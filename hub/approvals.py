"""What can be plugged into approvals: scorers of risk and trust, approvers, and the policy around them.

A plug-in's method may be ``async`` or not. One that is not may block: it has a thread of its own, with the context
copied, unless the plug-in says that it is quick: ``in_loop = True``. If one raises or hangs, that alone never lets
the agent act: the policy's fail mode decides, and the verdict says so.

Levels of risk, kinds of challenges, stages and modes are members of their enumerations in all that is here, given or
returned. Events have their values, which are text: ``RiskLevel("high")`` is the member.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs

from ._foreign.arguments import Call, has_method, is_a, shown
from ._foreign.guards import guarded_call
from ._state.answers import spelled
from ._state.risks import ApprovalStage, ChallengeKind, FailMode, Mode, RiskLevel
from ._values import Shown, Value
from .errors import ConfigurationError
from .risk import NameScorer, Question, RecordTrust, Risk, RiskScorer, RiskStep, TrustScorer

__all__ = (
    "DEFAULT_CHALLENGES",
    "Answer",
    "Approval",
    "ApprovalPolicy",
    "ApprovalStage",
    "Approver",
    "ChallengeKind",
    "Claim",
    "FailMode",
    "FunctionApprover",
    "Mode",
    "NameScorer",
    "PendingApproval",
    "Question",
    "RecordTrust",
    "Risk",
    "RiskLevel",
    "RiskScorer",
    "RiskStep",
    "TrustScorer",
)


_APPROVER = Call("FunctionApprover()", ConfigurationError)


@attrs.frozen(eq=False, repr=False)
class Answer(Value):
    """The answer of an approver."""

    is_passed: bool
    reason: str = ""
    arguments: Mapping[str, Any] | None = None
    """A yes to these arguments instead; None: to those that were requested."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Claim(Value):
    """What ``vouch`` of a policy is called with: a caller says to be this approver."""

    approver: str
    """The name as it was given."""
    proof: Any
    """What the caller of :meth:`answer` gave to prove it, such as a session or a token."""
    approval_id: str
    agent_id: str
    action: str
    approver_id: str | None = None
    """The id of the agent that answers, which needs no proof; None where a name is all that was given."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PendingApproval(Value):
    """An approval that waits for its verdict: all that one has to see who decides."""

    approval_id: str
    agent_id: str
    agent_name: str
    action: str
    """What the agent wants to do: the name of the tool."""
    arguments: Any
    """Frozen; None if they are not here: see ``is_shown``."""
    is_shown: bool
    """Whether ``arguments`` are here. Otherwise they are too large, and :meth:`arguments` of ``hub.approvals`` reads
    them from event ``arguments_seq``; or they are withheld, and ``arguments_at`` says where they are."""
    arguments_at: str
    arguments_seq: int
    """The ``seq`` of ``approval.requested``, in the journal and in the audit log."""
    arguments_bytes: int
    digest: str
    """The SHA-256 of the arguments' canonical JSON, in hex: what runs has this one, or it does not run."""
    stage: ApprovalStage
    risk_steps: tuple[RiskStep, ...]
    """Step by step: each scorer with its score and reason, then what trust made of it."""
    risk_score: float | None
    """What remains. None: it was not scored yet."""
    risk_level: RiskLevel | None
    trust: float | None
    challenge: ChallengeKind | None
    """None: there is none yet."""
    quorum: int
    """How many have to agree."""
    approvers: tuple[str, ...]
    """Those that may answer; empty: all but the agent itself."""
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    """Those that have said no."""
    broken: tuple[str, ...]
    """Those that raised, and have not answered."""
    mode: Mode
    fail_mode: FailMode
    domain: str
    hints: Any
    provenance: tuple[str, ...]
    """Where the arguments come from, as the agent has said: see :mod:`hubwire.provenance`."""
    channel_id: str | None
    task_id: str | None
    turn_id: str | None
    session_id: str | None
    envelope_id: str | None
    idempotency_key: str | None
    requested_at: str
    deadline: str
    """When the fail mode decides: ISO 8601 in UTC."""
    answers_from: str | None
    """Before that no answer counts, because it would be too quick; None: there is no challenge yet."""
    reminders: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Approval(Value):
    """A verdict that lets an agent act. It has committed: it is on disk where the hub has a journal."""

    approval_id: str
    action: str
    risk_score: float | None
    risk_level: RiskLevel | None
    """None, as ``risk_score``: no scorer was called, as where ``hub.approvals.record()`` took the verdict over."""
    approvers: tuple[str, ...]
    mode: Mode
    enforce_verdict: str
    """What mode ENFORCE would have decided, if the mode is another one and approvers were called; else empty."""
    reason: str
    is_failure: bool
    """Whether the fail mode has decided."""
    verdict: str = "approved"
    """``approved``, or ``modified``: then ``arguments`` are approved instead of those that were requested."""
    arguments: Any = None
    digest: str = ""
    """Of the arguments that are approved."""
    review_seconds: float | None = None
    """From the challenge to the answer that decided; None: no answer did."""
    was_used: bool = False
    """Whether another call has had this approval already: before a crash, an agent may have acted on it."""


class Approver(Protocol):
    """Approves or denies actions: a person behind a chat or a form, or a program."""

    @property
    def name(self) -> str:
        """Its name in verdicts: unique among the approvers of a policy."""

    def review(self, question: Question) -> Answer | bool | Awaitable[Answer | bool]:
        """Return whether the agent may act. It is cancelled when there is a verdict without its answer."""


class FunctionApprover:
    """An approver made of a function, async or not, that takes a :class:`Question` and returns a bool or an Answer."""

    def __init__(
        self,
        name: str,
        function: Callable[[Question], Answer | bool | Awaitable[Answer | bool]],
        *,
        in_loop: bool = False,
    ) -> None:
        """``in_loop``: a sync function has a thread of its own; one that is quick may run on the loop."""
        self._name = _APPROVER.text("name", name, is_empty_ok=False)
        if not callable(function):
            raise _APPROVER.refusal("function", function, "a function of a Question")
        self.in_loop: bool = _APPROVER.flag("in_loop", in_loop) or _is_async(function)
        self._function = function

    @property
    def name(self) -> str:
        return self._name

    def review(self, question: Question) -> Answer | bool | Awaitable[Answer | bool]:
        return self._function(question)


def _is_async(function: Any) -> bool:
    try:
        return guarded_call(inspect.iscoroutinefunction, function)
    except Exception as error:
        raise _APPROVER.refusal("function", function, "a function of a Question") from error


DEFAULT_CHALLENGES: Mapping[RiskLevel, ChallengeKind] = {
    RiskLevel.LOW: ChallengeKind.AUTO_APPROVE,
    RiskLevel.MEDIUM: ChallengeKind.CONFIRM,
    RiskLevel.HIGH: ChallengeKind.QUIZ,
    RiskLevel.CRITICAL: ChallengeKind.MULTI_PARTY,
}


_POLICY = Call("ApprovalPolicy()", ConfigurationError)
_APPROVERS_MAX = 1000


def _tuple(approvers: Iterable[Approver]) -> tuple[Approver, ...]:
    return _POLICY.items("approvers", approvers, of="approvers", most=_APPROVERS_MAX)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    listed = _POLICY.items("refer_to", names, of="names", most=_APPROVERS_MAX)
    return tuple(_POLICY.text("each of refer_to", each, is_empty_ok=False) for each in listed)


def _name_of(approver: Approver) -> str:
    if not has_method(approver, "review"):
        raise _POLICY.refusal(
            "each of approvers", approver, "an approver with name and review()", "see FunctionApprover"
        )
    try:
        name = _POLICY.text("the name of an approver", approver.name, is_empty_ok=False)
    except ConfigurationError:
        raise
    except Exception as error:
        raise _POLICY.refusal("each of approvers", approver, "an approver: see FunctionApprover") from error
    if not spelled(name):
        raise _POLICY.refusal("the name of an approver", name, "text that can be seen")
    return name


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ApprovalPolicy(Shown):
    """How approvals are decided.

    All ``approvers`` are called at once, and ``quorum`` of them have to agree, with MULTI_PARTY at least two; as soon
    as so many have said no that this cannot happen any more, the action is denied. An approver that raises has not
    answered; if those that are left are too few, ``fail_mode`` decides. Without approvers the question waits for
    ``hub.approvals.answer()``, for example of a dashboard. A policy with one approver asks that one about critical
    risk, too.

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
    review_seconds_min: float = 0.0
    """How long an approver has to have the question before an answer counts."""
    remind_seconds: float | None = None
    """After each of these times without a verdict, ``approval.reminded`` is committed: a notice."""
    refer_seconds: float | None = None
    """After this time without a verdict, ``approval.referred``, and ``refer_to`` may answer, too."""
    refer_to: tuple[str, ...] = attrs.field(default=(), converter=_names)
    vouch: Callable[[Claim], str | Awaitable[str | None] | None] | None = None
    """Says who an approver is that ``hub.approvals.answer()`` names: its identity, or None for an impostor. Without it,
    the name is what the caller says it is, and the event has no ``identity``. It is called for agents, too, because an
    agent may have the name of a person: ``approver_id`` of the claim says which one it is."""

    def __attrs_post_init__(self) -> None:
        _POLICY.member("mode", self.mode, Mode)
        _POLICY.member("fail_mode", self.fail_mode, FailMode)
        seconds = _POLICY.seconds("timeout_seconds", self.timeout_seconds)
        object.__setattr__(self, "timeout_seconds", seconds)
        object.__setattr__(self, "quorum", _POLICY.whole("quorum", self.quorum, least=1, most=_APPROVERS_MAX))
        for name, part, method in (("scorer", self.scorer, "score"), ("trust", self.trust, "trust")):
            if not has_method(part, method):
                raise _POLICY.refusal(name, part, f"an object with {method}()")
        challenges = _POLICY.mapping("challenges", self.challenges)
        if len(self.approvers) == 1 and self.challenges is DEFAULT_CHALLENGES:
            challenges[RiskLevel.CRITICAL] = ChallengeKind.CONFIRM
        object.__setattr__(self, "challenges", challenges)
        if missing := [level.value for level in RiskLevel if level not in challenges]:
            raise ConfigurationError(
                f"challenges have no entry for risk {', '.join(missing)}; begin with DEFAULT_CHALLENGES"
            )
        if wrong := [each for each in challenges.values() if not is_a(each, ChallengeKind)]:
            raise ConfigurationError(f"challenges map a RiskLevel to a ChallengeKind, not to {shown(wrong[0])}")
        names = [_name_of(approver) for approver in self.approvers]
        if len({spelled(name) for name in names}) < len(names):
            raise ConfigurationError(f"each approver needs a different name, and these are {', '.join(names)}")
        needed = max(2, self.quorum) if ChallengeKind.MULTI_PARTY in self.challenges.values() else self.quorum
        if names and len(names) < needed:
            raise ConfigurationError(
                f"{needed} approvers have to agree, and there are {len(names)}; add some, or lower the quorum, and map"
                " no risk to MULTI_PARTY, for which two are needed"
            )
        self._check_waiting()

    def _check_waiting(self) -> None:
        least = _POLICY.seconds("review_seconds_min", self.review_seconds_min, is_zero_ok=True)
        object.__setattr__(self, "review_seconds_min", least)
        for name in ("remind_seconds", "refer_seconds"):
            seconds = _POLICY.seconds(name, getattr(self, name), is_optional=True)
            if seconds is not None and seconds < 1:
                raise _POLICY.refusal(name, seconds, "at least a second, or None")
            object.__setattr__(self, name, seconds)
        if (self.refer_seconds is None) != (not self.refer_to):
            raise ConfigurationError("refer_seconds and refer_to belong together: after how long, and to whom")
        if self.vouch is not None and not callable(self.vouch):
            raise _POLICY.refusal("vouch", self.vouch, "a function of a Claim, or None")
