"""Scorers of the risk of actions and of the trust in agents: those that there are, and what one's own are made of.

Scorers nest: ``Environment(Overrides(NameScorer(), {"drop_*": 1.0}), "production")``. Each says how it came to its
score, and approvers see that step by step.
"""

from __future__ import annotations

import fnmatch
import inspect
import math
import re
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol, Self

import attrs

from ._foreign.arguments import Call, has_method, number_of
from ._state.risks import TRUST_INITIAL, ChallengeKind, RiskLevel
from ._values import Shown, Value
from .errors import ConfigurationError

__all__ = (
    "Composite",
    "DecayingTrust",
    "Environment",
    "Fixed",
    "Hints",
    "Maximum",
    "NameScorer",
    "Overrides",
    "Question",
    "RecordTrust",
    "Risk",
    "RiskScorer",
    "RiskStep",
    "TrustScorer",
)

_SCORER = Call("NameScorer()", ConfigurationError)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Question(Shown):
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
    domain: str = ""
    """The field in which the agent has to be trusted; counts and weights below are of this one."""
    hints: Any = None
    """What the caller gave the scorer besides."""
    provenance: tuple[str, ...] = ()
    """Where the arguments come from, as the agent has said: see :mod:`hubwire.provenance`."""
    weight_approved: float = 0.0
    """As ``times_approved``, but what is long ago counts less: half after a week."""
    weight: float = 0.0
    """Likewise of all decisions."""
    days_since: float | None = None
    """Since approvers last decided about this agent; None: they never did."""
    incidents: int = 0


@attrs.frozen(eq=False, repr=False)
class RiskStep(Value):
    """One step on the way to a risk: what scored it, how high, and why."""

    scorer: str
    score: float
    reason: str = ""


class Risk(float):
    """A risk from 0 to 1, which is a number, with its reason. A scorer may return it instead of a plain number."""

    reason: str
    steps: tuple[RiskStep, ...]
    """How it came to that, in order: the scores of other scorers."""

    def __new__(cls, score: float, reason: str = "", steps: Iterable[RiskStep] = ()) -> Self:
        risk = super().__new__(cls, score)
        risk.reason = reason
        risk.steps = tuple(steps)
        return risk


class RiskScorer(Protocol):
    """Scores how dangerous an action is."""

    def score(self, question: Question) -> float | Awaitable[float]:
        """Return the risk from 0 (none) to 1, see :class:`RiskLevel`, or a :class:`Risk` that says why."""


class TrustScorer(Protocol):
    """Scores how far an agent is trusted."""

    def trust(self, question: Question) -> float | Awaitable[float]:
        """Return the trust from 0 (none) to 1. 0.3 leaves the risk as it is, 1 lowers it by 0.21, 0 adds 0.09."""


_WORDS: Mapping[str, float] = {
    **dict.fromkeys(("count", "find", "get", "list", "read", "search", "show", "view"), 0.1),
    **dict.fromkeys(("add", "create", "edit", "insert", "set", "update", "write"), 0.4),
    **dict.fromkeys(("deploy", "execute", "merge", "post", "publish", "push", "run", "send"), 0.7),
    **dict.fromkeys(("charge", "delete", "destroy", "drop", "kill", "pay", "purge", "remove", "transfer", "wipe"), 0.9),
    **dict.fromkeys(("erase", "exec", "format", "grant", "reset", "revoke", "rm", "shutdown", "sudo", "truncate"), 0.9),
}

_THINGS = frozenset(
    (
        *("a", "all", "by", "for", "from", "in", "of", "the", "to", "with"),
        *("channel", "channels", "doc", "docs", "document", "documents", "file", "files", "folder", "folders"),
        *("issue", "issues", "item", "items", "line", "lines", "log", "logs", "message", "messages", "page", "pages"),
        *("path", "paths", "record", "records", "result", "results", "row", "rows", "text", "ticket", "tickets"),
        *("date", "directory", "metrics", "name", "names", "status", "task", "tasks", "time", "version", "weather"),
    )
)
"""Words that say to what it is done: with them a name is as dangerous as without."""

_UNKNOWN = 0.5


class NameScorer:
    """Scores an action by the most dangerous word in its name: ``read_file`` 0.1, ``deploy`` 0.7, ``dropTable`` 0.9.

    A word that is not known scores 0.5, so that an unknown word beside a harmless one is not harmless. ``words``, in
    lower case, are added to the known ones, or replace their scores.
    """

    in_loop = True

    def __init__(self, words: Mapping[str, float] | None = None) -> None:
        given = {} if words is None else _SCORER.mapping("words", words)
        self._words: dict[str, float] = {**dict.fromkeys(_THINGS, 0.0), **_WORDS}
        for key, score in given.items():
            word, number = _SCORER.text("each key of words", key), number_of(score)
            if number is None or not 0 <= number <= 1:
                raise _SCORER.refusal("each value of words", score, "a number from 0 to 1")
            self._words[word] = number
        self._things = _THINGS - given.keys()

    def score(self, question: Question) -> Risk:
        words = [each.lower() for each in _words_of(question.action)]
        scores = {word: self._words.get(word, _UNKNOWN) for word in words if word not in self._things}
        if not scores:
            return Risk(_UNKNOWN, "no word of the name says what it does")
        worst = max(scores, key=lambda each: scores[each])
        known = "the most dangerous word" if worst in self._words else "a word that is not known"
        return Risk(scores[worst], f"{worst[:40]!r} is {known} of the name")


def _words_of(name: str) -> list[str]:
    """Return the words of a name in snake case, camel case or with blanks between, of any script."""
    apart = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.findall(r"[^\W\d_]+", apart)


class RecordTrust:
    """Scores trust by the decisions of approvers: 0.3 at first, at most 0.9; a denial weighs like three approvals."""

    in_loop = True

    def trust(self, question: Question) -> float:
        approved, denied = question.times_approved, 3 * question.times_denied
        prior = 10
        return min(0.9, (prior * TRUST_INITIAL + approved) / (prior + approved + denied))


class DecayingTrust:
    """Scores trust by decisions that fade, by how long ago the last one was, and by incidents.

    The share of approvals among the decisions of approvers, each of which weighs half as much after a week, counts for
    ``ceiling`` at most. It fades to the ``initial`` trust at ``decay_per_day``, and each incident multiplies it by
    ``incident_factor``. An agent about which no approver has decided yet has the ``initial`` trust.
    """

    in_loop = True

    def __init__(
        self,
        *,
        initial: float = TRUST_INITIAL,
        ceiling: float = 0.9,
        decay_per_day: float = 0.01,
        incident_factor: float = 0.5,
    ) -> None:
        call = Call("DecayingTrust()", ConfigurationError)
        self._initial = _share(call, "initial", initial)
        self._ceiling = _share(call, "ceiling", ceiling)
        self._decay = _share(call, "decay_per_day", decay_per_day)
        self._factor = _share(call, "incident_factor", incident_factor)

    def trust(self, question: Question) -> float:
        trust = self._initial
        if question.weight and question.days_since is not None:
            prior = 5.0
            share = (prior * self._initial + question.weight_approved) / (prior + question.weight)
            left = math.exp(-self._decay * question.days_since)
            trust = self._initial + (min(share, self._ceiling) - self._initial) * left
        return max(0.0, min(self._ceiling, trust) * self._factor**question.incidents)


class Fixed:
    """Scores every action alike."""

    in_loop = True

    def __init__(self, score: float, reason: str = "it is fixed") -> None:
        call = Call("Fixed()", ConfigurationError)
        self._risk = Risk(_share(call, "score", score), call.text("reason", reason))

    def score(self, question: Question) -> Risk:  # noqa: ARG002 - every question is alike
        return self._risk


class Maximum:
    """Scores an action by the highest of several scores."""

    def __init__(self, *scorers: RiskScorer) -> None:
        self._scorers = _scorers_of(Call("Maximum()", ConfigurationError), scorers)

    async def score(self, question: Question) -> Risk:
        steps = [step for scorer in self._scorers for step in await _steps_of(scorer, question)]
        own = [each for each in steps if each.is_last]
        worst = max(own, key=lambda each: each.step.score)
        return Risk(worst.step.score, f"the highest is that of {worst.step.scorer}", (each.step for each in steps))


class Composite:
    """Scores an action by the weighted mean of several scores: ``Composite((NameScorer(), 2), (Mine(), 1))``."""

    def __init__(self, *parts: tuple[RiskScorer, float]) -> None:
        call = Call("Composite()", ConfigurationError)
        pairs = [call.items("each part", part, of="a scorer and its weight", most=2) for part in parts]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ConfigurationError("Composite() takes pairs of a scorer and its weight; write (NameScorer(), 2.0)")
        self._scorers = _scorers_of(call, [pair[0] for pair in pairs])
        self._weights = [_positive(call, "each weight", pair[1]) for pair in pairs]

    async def score(self, question: Question) -> Risk:
        steps: list[RiskStep] = []
        total = 0.0
        for scorer, weight in zip(self._scorers, self._weights, strict=True):
            found = await _steps_of(scorer, question)
            steps += [each.step for each in found]
            total += weight * found[-1].step.score
        return Risk(total / sum(self._weights), "the weighted mean", steps)


class Overrides:
    """Scores actions whose name a glob matches as given, the first that does, and has the scorer score all others."""

    def __init__(self, scorer: RiskScorer, scores: Mapping[str, float]) -> None:
        call = Call("Overrides()", ConfigurationError)
        (self._scorer,) = _scorers_of(call, [scorer])
        given = call.mapping("scores", scores)
        self._scores = {
            call.text("each glob", glob, is_empty_ok=False): _share(call, "each score", score)
            for glob, score in given.items()
        }

    async def score(self, question: Question) -> Risk:
        for glob, score in self._scores.items():
            if fnmatch.fnmatchcase(question.action, glob):
                return Risk(score, f"{glob!r} is overridden")
        found = await _steps_of(self._scorer, question)
        return Risk(found[-1].step.score, "no override matches", (each.step for each in found))


class Hints:
    """Raises a score by hints of the caller: ``gate(..., hints={"irreversible": 0.9})``. A hint lowers none.

    ``known`` gives hints without a number, such as ``hints=["irreversible"]``, their scores; what it does not have
    scores 0.5.
    """

    def __init__(self, scorer: RiskScorer, known: Mapping[str, float] | None = None) -> None:
        call = Call("Hints()", ConfigurationError)
        (self._scorer,) = _scorers_of(call, [scorer])
        given = {} if known is None else call.mapping("known", known)
        self._known = {call.text("each hint", hint): _share(call, "each score", each) for hint, each in given.items()}

    async def score(self, question: Question) -> Risk:
        found = await _steps_of(self._scorer, question)
        score, reason = found[-1].step.score, "no hint is higher"
        for hint, given in _hints_of(question.hints):
            number = given if given is not None and 0 <= given <= 1 else self._known.get(hint, _UNKNOWN)
            if number > score:
                score, reason = number, f"hint {hint[:40]!r}"
        return Risk(score, reason, (each.step for each in found))


ENVIRONMENTS: Mapping[str, float] = {"production": 1.5, "staging": 1.2, "ci": 1.0, "development": 0.8}


class Environment:
    """Multiplies a score by what the environment is worth: production 1.5, staging 1.2, ci 1, development 0.8.

    An environment that is not known counts as production. The product is at most 1.
    """

    def __init__(self, scorer: RiskScorer, environment: str, multipliers: Mapping[str, float] = ENVIRONMENTS) -> None:
        call = Call("Environment()", ConfigurationError)
        (self._scorer,) = _scorers_of(call, [scorer])
        self._environment = call.text("environment", environment, is_empty_ok=False)
        given = call.mapping("multipliers", multipliers)
        known = {
            call.text("each environment", name): _positive(call, "each multiplier", each)
            for name, each in given.items()
        }
        unknown = max([*known.values(), 1.0])
        self._multiplier = known.get(self._environment, unknown)

    async def score(self, question: Question) -> Risk:
        found = await _steps_of(self._scorer, question)
        product = min(1.0, found[-1].step.score * self._multiplier)
        return Risk(product, f"times {self._multiplier:g} in {self._environment}", (each.step for each in found))


@attrs.frozen(eq=False, repr=False)
class _Found(Value):
    step: RiskStep
    is_last: bool
    """Whether it is the score of the scorer itself, and not a step on the way to it."""


async def _steps_of(scorer: RiskScorer, question: Question) -> list[_Found]:
    """Return how a scorer came to its score, which is the last step."""
    score = scorer.score(question)
    if inspect.isawaitable(score):
        score = await score
    number = number_of(score)
    name = type(scorer).__name__
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"{name} has to return a number from 0 to 1")
    if not isinstance(score, Risk):
        return [_Found(RiskStep(name, number), is_last=True)]
    before = [_Found(each, is_last=False) for each in score.steps]
    return [*before, _Found(RiskStep(name, number, score.reason), is_last=True)]


def _hints_of(hints: Any) -> Iterable[tuple[str, float | None]]:
    if isinstance(hints, Mapping):
        return [(str(hint), number_of(each)) for hint, each in hints.items() if each is not False]
    if isinstance(hints, tuple):
        return [(str(hint), None) for hint in hints]
    return [(hints, None)] if isinstance(hints, str) else []


def _scorers_of(call: Call, scorers: Iterable[Any]) -> tuple[RiskScorer, ...]:
    found = tuple(scorers)
    if not found:
        raise ConfigurationError(f"{call.name} takes scorers; write {call.name[:-1]}NameScorer())")
    for each in found:
        if not has_method(each, "score"):
            raise call.refusal("each scorer", each, "an object with score()")
    return found


def _share(call: Call, argument: str, value: object) -> float:
    number = number_of(value)
    if number is None or not 0 <= number <= 1:
        raise call.refusal(argument, value, "a number from 0 to 1")
    return number


def _positive(call: Call, argument: str, value: object) -> float:
    number = number_of(value)
    if number is None or not 0 < number <= 1000:
        raise call.refusal(argument, value, "a number above 0, of at most 1000")
    return number
