"""The machine of approvals, by random sequences of steps."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import attrs
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from hubwire._state.risks import ApprovalStage, ChallengeKind, FailMode, Mode, RiskLevel, adjusted, level_of
from hubwire.approvals import DEFAULT_CHALLENGES
from hubwire.events import (
    ApprovalApproved,
    ApprovalDenied,
    ApprovalEscalated,
    ApprovalExpired,
    AuditLogged,
    Event,
)
from support.state_work import Bench

VERDICTS: dict[type[Event], str] = {
    ApprovalApproved: "approved",
    ApprovalDenied: "denied",
    ApprovalEscalated: "escalated",
    ApprovalExpired: "expired",
}


@attrs.define
class Case:
    agent: str
    mode: Mode
    fail_mode: FailMode
    until_ns: int
    stage: ApprovalStage = ApprovalStage.REQUESTED
    quorum: int = 0
    asked: tuple[str, ...] = ()
    passed: int = 0
    failed: int = 0
    answered: set[str] = attrs.Factory(set)
    verdict: str = ""


class ApprovalSteps(RuleBasedStateMachine):
    """Steps in any order, right and wrong ones; the model counts answers, and knows one verdict for each."""

    approvals = Bundle("approvals")

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.numbers = count()
        self.cases: dict[str, Case] = {}
        self.present = {"a", "b", "c"}

    def judged(self, approval_id: str, events: list[Event], word: str, *, final: bool = False) -> None:
        """See that the last event is this verdict, as the mode has it."""
        case, verdict = self.cases[approval_id], events[-1]
        acts = "approved" if case.mode is not Mode.ENFORCE and not final else word
        assert VERDICTS[type(verdict)] == acts
        if isinstance(verdict, ApprovalApproved) and case.mode is Mode.SHADOW:
            assert verdict.enforce_verdict == word
        case.verdict = acts

    def failed(self, case: Case, denial: str) -> str:
        return {FailMode.DENY: denial, FailMode.ALLOW: "approved", FailMode.ESCALATE: "escalated"}[case.fail_mode]

    @rule(
        target=approvals,
        agent=st.sampled_from(["a", "b", "stranger"]),
        action=st.sampled_from(["deploy", "", "\ud800"]),
        mode=st.sampled_from(Mode),
        fail_mode=st.sampled_from(FailMode),
        timeout=st.sampled_from([10, 100, 0, float("inf")]),
    )
    def request(self, agent: str, action: str, mode: Mode, fail_mode: FailMode, timeout: float) -> Any:
        approval_id = f"approval {next(self.numbers)}"

        def decide() -> list[Event]:
            return self.bench.state.approvals.request(
                agent,
                action,
                {"x": 1},
                approval_id=approval_id,
                mode=mode,
                fail_mode=fail_mode,
                timeout_seconds=timeout,
            )

        if agent not in self.present or action != "deploy" or timeout not in (10, 100):
            self.bench.refused(decide)
            return multiple()
        self.bench.do(decide())
        self.cases[approval_id] = Case(agent, mode, fail_mode, self.bench.now_ns + int(timeout) * 1_000_000_000)
        return approval_id

    @rule(
        approval_id=approvals,
        score=st.sampled_from([0.0, 0.29, 0.5, 0.7, 0.85, 1, -0.1, 1.1, float("nan"), "high"]),
        trust=st.sampled_from([0.0, 0.3, 0.9, 2]),
        named=st.sampled_from([(), ("x", "y", "z")]),
        quorum=st.sampled_from([1, 2]),
    )
    def assess(self, approval_id: str, score: Any, trust: Any, named: tuple[str, ...], quorum: int) -> None:
        case = self.cases[approval_id]

        def decide() -> list[Event]:
            return self.bench.state.approvals.assess(
                approval_id,
                risk_score=score,
                trust=trust,
                challenges=DEFAULT_CHALLENGES,
                approvers=named,
                quorum=quorum,
            )

        in_order = score in (0.0, 0.29, 0.5, 0.7, 0.85, 1) and trust in (0.0, 0.3, 0.9)
        if case.verdict or case.stage is not ApprovalStage.REQUESTED or not in_order:
            self.bench.refused(decide)
            return
        events = self.bench.do(decide())
        level = level_of(adjusted(score, trust))
        if case.mode is Mode.AUDIT_ONLY or level is RiskLevel.LOW:
            self.judged(approval_id, events, "approved")
            return
        case.stage, case.asked = ApprovalStage.CHALLENGED, named
        case.quorum = max(2, quorum) if DEFAULT_CHALLENGES[level] is ChallengeKind.MULTI_PARTY else quorum

    @rule(
        approval_id=approvals,
        approver=st.sampled_from(["x", "y", "z", "somebody", "a", "name of a", "name of b", " "]),
        passes=st.booleans(),
    )
    def answer(self, approval_id: str, approver: str, passes: bool) -> None:
        case = self.cases[approval_id]

        def decide() -> list[Event]:
            return self.bench.state.approvals.answer(approval_id, approver, is_passed=passes, reason="because")

        allowed = (
            not case.verdict
            and case.stage is ApprovalStage.CHALLENGED
            and approver.strip()
            and (not case.asked or approver in case.asked)
            and approver not in (case.agent, f"name of {case.agent}")
            and approver not in case.answered
        )
        if not allowed:
            self.bench.refused(decide)
            return
        events = self.bench.do(decide())
        case.answered.add(approver)
        case.passed += passes
        case.failed += not passes
        spare = len(case.asked) - case.quorum if case.asked else 0
        if case.passed == case.quorum:
            self.judged(approval_id, events, "approved")
        elif case.failed > spare:
            self.judged(approval_id, events, "denied")
        else:
            assert len(events) == 1

    @rule(approval_id=approvals)
    def fail(self, approval_id: str) -> None:
        case = self.cases[approval_id]

        def decide() -> list[Event]:
            return self.bench.state.approvals.fail(approval_id, "a scorer failed")

        if case.verdict:
            self.bench.refused(decide)
        else:
            self.judged(approval_id, self.bench.do(decide()), self.failed(case, "denied"))

    @rule(approval_id=approvals)
    def withdraw(self, approval_id: str) -> None:

        def decide() -> list[Event]:
            return self.bench.state.approvals.withdraw(approval_id)

        if self.cases[approval_id].verdict:
            self.bench.refused(decide)
        else:
            self.judged(approval_id, self.bench.do(decide()), "expired", final=True)

    @rule(seconds=st.sampled_from([1, 10, 100]))
    def wait(self, seconds: int) -> None:
        self.bench.now_ns += seconds * 1_000_000_000
        late = {each for each, case in self.cases.items() if not case.verdict and case.until_ns <= self.bench.now_ns}
        told = self.bench.settle_what_is_due()
        assert {getattr(each, "approval_id", "") for each in told} == late
        for event in told:
            approval_id = getattr(event, "approval_id", "")
            self.judged(approval_id, [event], self.failed(self.cases[approval_id], "expired"))

    @rule()
    def unregister(self) -> None:
        if "b" in self.present:
            self.present.remove("b")
            self.bench.do(self.bench.state.agents.unregister("b"))
            gone = {each for each, case in self.cases.items() if case.agent == "b" and not case.verdict}
            approvals = self.bench.state.approvals
            for approval_id in gone:
                self.bench.refused(partial(approvals.answer, approval_id, "x", is_passed=True, reason=""))
            told = self.bench.settle_what_is_due()
            assert {getattr(each, "approval_id", "") for each in told} == gone
            for event in told:
                self.judged(getattr(event, "approval_id", ""), [event], "expired", final=True)

    @rule()
    def restart(self) -> None:
        told = self.bench.do(self.bench.state.approvals.repair())
        waiting = {each for each, case in self.cases.items() if not case.verdict and not case.quorum}
        assert {getattr(each, "approval_id", "") for each in told} == waiting
        for event in told:
            approval_id = getattr(event, "approval_id", "")
            self.judged(approval_id, [event], self.failed(self.cases[approval_id], "denied"))

    @rule()
    def tell_of_a_verdict(self) -> None:
        verdict = self.bench.state.approvals.unlogged()
        if verdict is not None:
            (event,) = self.bench.do(self.bench.state.approvals.log(verdict.approval_id))
            assert isinstance(event, AuditLogged)
            assert event.verdict == self.cases[event.approval_id].verdict
            assert self.bench.events[event.verdict_seq].id == event.verdict_id
            self.bench.refused(lambda: self.bench.state.approvals.log(event.approval_id))

    @invariant()
    def what_waits_is_what_the_model_says(self) -> None:
        found = {
            each.approval_id: (each.stage, len(each.passed), len(each.failed)) for each in self.bench.state.approvals
        }
        waiting = {each: case for each, case in self.cases.items() if not case.verdict}
        assert found == {each: (case.stage, case.passed, case.failed) for each, case in waiting.items()}

    @invariant()
    def each_has_one_verdict_at_most(self) -> None:
        told = [getattr(each, "approval_id", "") for each in self.bench.events if type(each) in VERDICTS]
        assert sorted(told) == sorted(each for each, case in self.cases.items() if case.verdict)

    def teardown(self) -> None:
        self.bench.check()


TestApprovalSteps = ApprovalSteps.TestCase


TestApprovalSteps.settings = settings(max_examples=150, stateful_step_count=30)
