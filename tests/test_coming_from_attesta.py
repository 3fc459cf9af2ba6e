"""What users of Attesta know of a decision, and find here: its events, their order, and the record of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire import ApprovalPolicy, Event, Hub, scope
from hubwire.approvals import DEFAULT_CHALLENGES, ApprovalStage, ChallengeKind, FunctionApprover, Question, RiskLevel
from hubwire.errors import CommandRejected, ConfigurationError, NotApproved
from hubwire.listeners import AuditLog
from hubwire.log import list_segments, segment_path
from hubwire.query import Selection
from hubwire.risk import Environment, Fixed, Overrides
from hubwire.stores import MemoryStore
from hubwire.testing import history
from support import until, until_idle

DECISION = [
    "approval.requested",
    "approval.risk_scored",
    "approval.trust_computed",
    "approval.challenge_issued",
    "approval.challenge_completed",
    "approval.approved",
    "audit.logged",
    "approval.used",
]


def says(answer: bool) -> FunctionApprover:
    return FunctionApprover("ann", lambda _: answer, in_loop=True)


class FullTrust:
    in_loop = True

    def trust(self, question: Question) -> float:
        return 1.0


async def of_the_decision(hub: Hub) -> list[Any]:
    await until_idle()  # audit.logged comes by itself
    await hub.flush()
    return [each for each in await history(hub) if each.kind.startswith(("approval.", "audit."))]


async def test_the_events_of_a_decision_come_in_their_order() -> None:
    """A yes, a no, and what needs no question."""
    async with Hub(approvals=ApprovalPolicy(approvers=[says(True)])) as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.gate(coder, "deploy")
        events = await of_the_decision(hub)
        assert sorted(each.kind for each in events) == sorted(DECISION)
        # A verdict is logged once it has committed, which an agent that acts at once may overtake.
        assert [each.kind for each in events if each.kind != "audit.logged"] == [
            each for each in DECISION if each != "audit.logged"
        ]
        seq = {each.kind: each.seq for each in events}
        assert seq["approval.approved"] < seq["audit.logged"]

        await hub.approvals.gate(coder, "read_file")
        kinds = [each.kind for each in (await of_the_decision(hub))[len(events) :]]
        assert {"approval.risk_scored", "approval.approved", "audit.logged"} <= set(kinds)
        assert not [each for each in kinds if "challenge" in each]

        before = len(await of_the_decision(hub))
        with pytest.raises(NotApproved):
            await hub.approvals.gate(coder, "deploy", policy=ApprovalPolicy(approvers=[says(False)]))
        kinds = [each.kind for each in (await of_the_decision(hub))[before:]]
        assert kinds == [*DECISION[:5], "approval.denied", "audit.logged"]


async def test_each_event_of_a_decision_says_whose_it_is() -> None:
    async with Hub(approvals=ApprovalPolicy(approvers=[says(True)])) as hub:
        coder = await hub.agents.register("coder")
        with scope(session="s", tenant="acme", correlation_id="c"):
            approval = await hub.approvals.gate(coder, "deploy")
        events = await of_the_decision(hub)
    assert {each.kind for each in events} == set(DECISION)
    assert {each.agent_id for each in events} == {coder.id}
    assert {each.approval_id for each in events} == {approval.approval_id}
    assert {each.action for each in events} == {"deploy"}
    said = [each for each in events if each.kind != "audit.logged"]  # the hub's own: it names the event of the verdict
    assert {(each.session_id, each.tenant, each.correlation_id) for each in said} == {("s", "acme", "c")}
    (logged,) = [each for each in events if each not in said]
    assert logged.verdict_id in {each.id for each in said}
    assert len({each.id for each in events}) == len(events)


async def test_a_gated_tool_emits_all_events_of_a_decision() -> None:
    seen: list[str] = []
    ran: list[str] = []
    async with Hub(approvals=ApprovalPolicy(approvers=[says(True)])) as hub:
        coder = await hub.agents.register("coder")

        @hub.on("approval.*", "audit.*")
        async def note(event: Event) -> None:
            seen.append(event.kind)

        @hub.approvals.gated(coder)
        def deploy(what: str) -> str:
            ran.append(what)
            return f"{what} is on its way"

        assert await deploy("the site") == "the site is on its way"
        await until_idle()
        await hub.flush()
    assert sorted(seen) == sorted(DECISION)
    assert ran == ["the site"]


async def test_the_log_has_what_an_entry_of_a_decision_has() -> None:
    store = MemoryStore()
    policy = ApprovalPolicy(approvers=[says(True)], scorer=Fixed(0.7, "it is fixed"))
    async with Hub(store, listeners=[AuditLog(store)], approvals=policy) as hub:
        coder = await hub.agents.register("coder")
        with scope(session="s"):
            await hub.approvals.gate(coder, "deploy", arguments={"to": "staging"})
    records = {each["kind"]: each for each in await AuditLog(store).read_all()}
    requested, approved = records["approval.requested"], records["approval.approved"]
    assert (requested["action"], requested["arguments"], requested["mode"]) == ("deploy", {"to": "staging"}, "enforce")
    assert (approved["agent_id"], approved["session_id"]) == (coder.id, "s")
    assert (approved["risk_score"], approved["risk_level"], approved["approvers"]) == (0.7, "high", ["ann"])
    assert approved["review_seconds"] >= 0
    assert approved["digest"] == requested["digest"]
    completed = records["approval.challenge_completed"]
    assert (completed["challenge"], completed["approver"], completed["is_passed"]) == ("quiz", "ann", True)
    times = [records[kind]["at"] for kind in ("approval.requested", "approval.approved", "approval.used")]
    assert times == sorted(times)


async def test_a_password_among_the_arguments_is_not_in_the_log() -> None:
    """The approver sees what will be done, and the tool runs with it."""
    shown: list[Any] = []

    def review(question: Question) -> bool:
        shown.append(question.arguments["password"])
        return True

    store = MemoryStore()
    policy = ApprovalPolicy(approvers=[FunctionApprover("ann", review, in_loop=True)])
    async with Hub(store, listeners=[AuditLog(store)], approvals=policy) as hub:
        coder = await hub.agents.register("coder")

        @hub.approvals.gated(coder)
        def deploy(*, password: str) -> str:
            return password

        assert await deploy(password="hunter2") == "hunter2"
    assert shown == ["hunter2"]
    (segment,) = await list_segments(store, "/audit")
    written = await store.read_bytes(segment_path("/audit", segment))
    assert written is not None
    assert b"approval.used" in written
    assert b"hunter2" not in written


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (0.0, "low"),
        (0.29, "low"),
        (0.3, "medium"),
        (0.59, "medium"),
        (0.6, "high"),
        (0.79, "high"),
        (0.8, "critical"),
        (1.0, "critical"),
    ],
)
async def test_levels_and_challenges_are_the_same(score: float, level: str) -> None:
    assert {each.value: kind.value for each, kind in DEFAULT_CHALLENGES.items()} == {
        "low": "auto_approve",
        "medium": "confirm",
        "high": "quiz",
        "critical": "multi_party",
    }
    assert "teach_back" in {each.value for each in ChallengeKind}
    async with Hub(approvals=ApprovalPolicy(scorer=Fixed(score))) as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.request(coder, "deploy")
        for question in hub.approvals.pending():
            assert question.risk_level is RiskLevel(level)
            assert question.challenge is DEFAULT_CHALLENGES[RiskLevel(level)]
        assert len(hub.approvals.pending()) == (level != "low")


async def test_no_trust_makes_a_critical_risk_less() -> None:
    """Nor does a mild environment, where the override is outside."""
    override = Overrides(Fixed(0.1), {"drop_*": 1.0})
    outside = Overrides(Environment(Fixed(0.1), "development"), {"drop_*": 0.85})
    for scorer in (override, Environment(override, "production"), outside):
        policy = ApprovalPolicy(scorer=scorer, trust=FullTrust())
        async with Hub(approvals=policy) as hub:
            coder = await hub.agents.register("coder")
            await hub.approvals.request(coder, "drop_table")
            (question,) = hub.approvals.pending()
            assert question.trust == 1.0
            assert question.risk_level is RiskLevel.CRITICAL
            assert question.challenge is ChallengeKind.MULTI_PARTY
            assert question.quorum == 2


async def test_a_fast_answer_is_refused_and_not_slept_over() -> None:
    """The time of the review is that of the approver alone."""
    policy = ApprovalPolicy(review_seconds_min=3600.0)
    async with Hub(approvals=policy) as hub:
        coder = await hub.agents.register("coder")
        asked = await hub.approvals.request(coder, "deploy")
        with pytest.raises(CommandRejected):
            await hub.approvals.answer(asked, "ann", is_passed=True)
        assert [each.approval_id for each in hub.approvals.pending()] == [asked]


async def test_a_cancelled_decision_leaves_its_trace() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        coder = await hub.agents.register("coder")
        waiting = asyncio.create_task(hub.approvals.gate(coder, "deploy"))
        await until(lambda: [each.stage for each in hub.approvals.pending()] == [ApprovalStage.CHALLENGED])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    kinds = [each["kind"] for each in await AuditLog(store).read_all()]
    assert kinds.index("approval.challenge_issued") < kinds.index("approval.expired")


# --- the trail --------------------------------------------------------------------------------------------------------


async def test_entries_are_found_by_their_fields_and_dates() -> None:
    """A field that no entry has is an error, and not ignored; a date has a zone, or is one in UTC."""
    store = MemoryStore()
    policy = ApprovalPolicy(approvers=[says(True)])
    async with Hub(store, listeners=[AuditLog(store)], approvals=policy) as hub:
        coder = await hub.agents.register("coder")
        with scope(session="s-1"):
            await hub.approvals.gate(coder, "deploy")
        await hub.approvals.gate(coder, "delete_row")
    audit = AuditLog(store)

    async def actions(**filters: Any) -> list[str]:
        return [row.action async for row in audit.approvals(Selection.of(**filters))]

    assert await actions(where={"verdict": "approved"}, agent="coder") == ["deploy", "delete_row"]
    assert await actions(session="s-1") == ["deploy"]
    assert await actions(where={"action": "delete_row"}) == ["delete_row"]
    assert await actions(where={"risk_level": ["high", "critical"]}, since="-1h") == ["deploy", "delete_row"]
    assert await actions(until="-1h") == []
    with pytest.raises(ConfigurationError, match="did you mean risk_level"):
        await actions(where={"risk_levl": "high"})


async def test_approvals_that_came_too_fast_are_found() -> None:
    """By the risk and the speed that the reader names."""
    store = MemoryStore()
    policy = ApprovalPolicy(approvers=[says(True)])
    async with Hub(store, listeners=[AuditLog(store)], approvals=policy) as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.gate(coder, "deploy")
        await hub.approvals.gate(coder, "read_file")
    stamps = [row.action async for row in AuditLog(store).approvals() if row.is_rubber_stamp(5.0, "high")]
    assert stamps == ["deploy"]
