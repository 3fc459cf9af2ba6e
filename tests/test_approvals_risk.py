"""Scorers of risk and trust: how they are put together, what they say, and what they refuse."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import pytest

from hubwire import ApprovalPolicy, Hub
from hubwire.approvals import FunctionApprover, Question, Risk, RiskLevel
from hubwire.errors import ConfigurationError, NotApproved
from hubwire.risk import (
    Composite,
    DecayingTrust,
    Environment,
    Fixed,
    Hints,
    Maximum,
    NameScorer,
    Overrides,
    RiskStep,
)

QUESTION = Question(approval_id="", agent_id="", agent_name="coder", action="read_file", arguments=None)


async def scored(scorer: Any, **changes: Any) -> Risk:
    score = scorer.score(attrs.evolve(QUESTION, **changes))
    found = await score if inspect.isawaitable(score) else score
    assert isinstance(found, Risk)
    return found


@pytest.mark.parametrize(
    "action",
    [
        *("get_root_shell", "read_then_exfiltrate", "list_and_rm_rf", "find_und_löschen", "show_and_wipeout"),
        *("readAndTruncate", "sudo_view", "查看并删除", "42", "_", "HTTPGetSecret"),
    ],
)
async def test_unknown_words_are_not_harmless(action: str) -> None:
    assert await scored(NameScorer(), action=action) >= 0.5


@pytest.mark.parametrize("action", ["read_file", "listFiles", "search.issues", "get the weather", "ReadLines2"])
async def test_known_harmless_names_stay_harmless(action: str) -> None:
    assert await scored(NameScorer(), action=action) == 0.1


async def test_scorers_nest_and_explain_themselves() -> None:
    """Each step is a score with its scorer and reason, the last one decides."""
    mean = Composite((Fixed(0.2, "calm"), 3), (Fixed(1.0, "alarm"), 1))
    risk = await scored(Environment(Maximum(NameScorer(), mean), "production"))
    assert risk == pytest.approx(0.6)
    assert [(each.scorer, round(each.score, 3)) for each in risk.steps] == [
        ("NameScorer", 0.1),
        ("Fixed", 0.2),
        ("Fixed", 1.0),
        ("Composite", 0.4),
        ("Maximum", 0.4),
    ]
    assert risk.reason == "times 1.5 in production"


async def test_environments_multiply_up_to_one() -> None:
    """One that is not known counts as the most dangerous one."""
    found = [await scored(Environment(Fixed(0.5), each)) for each in ("production", "ci", "development", "prod-eu")]
    assert found == pytest.approx([0.75, 0.5, 0.4, 0.75])
    assert await scored(Environment(Fixed(0.9), "production")) == pytest.approx(1)


async def test_overrides_go_before_scores() -> None:
    scorer = Overrides(NameScorer(), {"drop_*": 1.0, "read_secret*": 0.8})
    assert await scored(scorer, action="drop_table") == 1.0
    assert await scored(scorer, action="read_secrets") == 0.8
    assert await scored(scorer, action="read_file") == 0.1


@pytest.mark.parametrize(
    ("hints", "score"),
    [
        (None, 0.1),
        ({"irreversible": 0.9}, 0.9),
        ({"harmless": 0.0}, 0.1),
        (("irreversible",), 0.8),
        (("strange",), 0.5),
        ({"strange": float("nan")}, 0.5),
        ({"strange": 7}, 0.5),
        ({"irreversible": False}, 0.1),
        ("irreversible", 0.8),
    ],
)
async def test_a_hint_raises_a_risk_only(hints: Any, score: float) -> None:
    """What an agent says of itself makes nothing harmless."""
    assert await scored(Hints(NameScorer(), {"irreversible": 0.8}), hints=hints) == score


def test_trust_fades_and_falls() -> None:
    def trust(**changes: Any) -> float:
        return DecayingTrust().trust(attrs.evolve(QUESTION, **changes))

    good: dict[str, Any] = {"weight_approved": 50.0, "weight": 50.0}
    assert trust() == pytest.approx(0.3)
    assert 0.85 < trust(**good, days_since=0.0) <= 0.9
    assert trust(**good, days_since=0.0) > trust(**good, days_since=60.0) > trust(**good, days_since=3650.0)
    assert trust(**good, days_since=3650.0) == pytest.approx(0.3)
    assert trust(**good, days_since=0.0, incidents=2) == pytest.approx(trust(**good, days_since=0.0) / 4)
    assert trust(weight_approved=0.0, weight=20.0, days_since=0.0) < 0.1


async def test_incidents_and_domains_count_apart() -> None:
    """A policy with fading trust sees them; what another domain has does not count."""
    seen: list[tuple[int, int]] = []

    def look(question: Question) -> bool:
        seen.append((question.times_approved, question.incidents))
        return True

    policy = ApprovalPolicy(approvers=[FunctionApprover("ann", look)], trust=DecayingTrust())
    async with Hub(approvals=policy) as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.gate(coder, "deploy", domain="ops")
        await hub.approvals.record_incident(coder, domain="ops", reason="it was down for an hour")
        await hub.approvals.gate(coder, "deploy", domain="ops")
        await hub.approvals.gate(coder, "deploy", domain="billing")
    assert seen == [(0, 0), (1, 1), (0, 0)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(2),
        lambda: Fixed(float("nan")),
        lambda: Fixed("high"),  # type: ignore[arg-type]
        Maximum,
        lambda: Maximum(NameScorer),  # type: ignore[arg-type]
        lambda: Composite((NameScorer(), 0)),
        lambda: Composite(NameScorer()),  # type: ignore[arg-type]
        Composite,
        lambda: Overrides(NameScorer(), {"*": 2}),
        lambda: Environment(NameScorer(), ""),
        lambda: Environment(NameScorer(), "x", {"x": -1}),
        lambda: Hints(None),  # type: ignore[arg-type]
        lambda: DecayingTrust(ceiling=3),
    ],
    ids=[str(number) for number in range(13)],
)
def test_an_impossible_scorer_is_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


class Odd:
    """A scorer that gives a risk with nonsense in it."""

    def score(self, question: Question) -> Risk:
        assert question.action
        return Risk(0.1, "\ud800" * 5000, [RiskStep("\x00", float("nan"), 5), "no step"])  # type: ignore[arg-type,list-item]


class Broken:
    def score(self, question: Question) -> float:
        raise RuntimeError(question.action)


@pytest.mark.parametrize("wrap", [lambda each: each, Hints, lambda each: Maximum(each, Fixed(0.2))], ids="123")
async def test_nonsense_of_a_scorer_is_its_own(wrap: Any) -> None:
    """What it says is cut and made clean; what raises leaves the verdict to the fail mode."""
    async with Hub(approvals=ApprovalPolicy(scorer=wrap(Odd()))) as hub:
        coder = await hub.agents.register("coder")
        assert (await hub.approvals.gate(coder, "read_file")).risk_level is RiskLevel.LOW
    async with Hub(approvals=ApprovalPolicy(scorer=wrap(Broken()))) as hub:
        coder = await hub.agents.register("coder")
        with pytest.raises(NotApproved, match="the scorer failed"):
            await hub.approvals.gate(coder, "read_file")
