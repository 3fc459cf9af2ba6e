"""Turns, tasks and approvals as state machines: any commands in any order, against what the documentation says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from hubwire import codec
from hubwire._journal.entries import decode_entry, encode_entry
from hubwire._state import State
from hubwire._state.risks import ApprovalStage, ChallengeKind, FailMode, Mode, RiskLevel, adjusted, level_of
from hubwire._state.turns import WatchLimits
from hubwire.approvals import DEFAULT_CHALLENGES
from hubwire.clock import timestamp
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected
from hubwire.events import (
    ApprovalApproved,
    ApprovalDenied,
    ApprovalEscalated,
    ApprovalExpired,
    AuditLogged,
    ChannelClosed,
    Event,
    ModelCalled,
    ModelCompleted,
    ModelFailed,
    TaskExpired,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnFailed,
    TurnStarted,
)
from hubwire.events._event import stamp

MACHINES = ("quotas", "turns", "tasks", "approvals")
DOMAINS = ("turn", "model", "tool", "task", "approval")
LIMITS = WatchLimits(turn_seconds_max=30, model_seconds_max=10, tool_seconds_max=20, open_max=5)
START_NS = 1_767_225_600_000_000_000


def known(state: State) -> dict[str, Any]:
    """Everything the machines remember, indexes too."""
    others = set(map(id, state.machines.values()))
    return {
        name: {key: value for key, value in vars(state.machines[name]).items() if id(value) not in others}
        for name in MACHINES
    }


def restored(state: State) -> State:
    """The state, kept as text and read back."""
    copy = State(LIMITS)
    for name, machine in state.machines.items():
        types = {entry_type.__name__: entry_type for entry_type in machine.entry_types}
        entries = [
            decode_entry(types[type(entry).__name__], msgspec.json.decode(msgspec.json.encode(encode_entry(entry))))
            for entry in machine.snapshot()
        ]
        copy.machines[name].restore(entries)
    return copy


class Bench:
    """A state, the history that led to it, and a clock."""

    def __init__(self) -> None:
        self.state = State(LIMITS)
        self.history: list[bytes] = []
        self.events: list[Event] = []
        self.now_ns = START_NS
        for agent_id in "abc":
            self.do(self.state.agents.register(f"name of {agent_id}", (), agent_id=agent_id))
        self.do(self.state.membership.open(["a", "b"], "", channel_id="ab"))

    def do(self, events: list[Event]) -> list[Event]:
        done = []
        for each in events:
            made = stamp(
                each,
                seq=len(self.history),
                id=f"id {len(self.history)}",
                at=timestamp(self.now_ns),
                hub="a hub",
                context=EMPTY,
                bytes_max=1 << 20,
            )
            self.history.append(codec.encode(made))
            self.state.apply(made)
            done.append(made)
        self.events += done
        return done

    def settle_what_is_due(self) -> list[Event]:
        """Do what the timers do, and see that it comes to an end."""
        done: list[Event] = []
        for _ in range(1000):
            events = self.state.due(self.now_ns, 2)
            if not events:
                due_ns = self.state.next_due_ns()
                assert due_ns is None or due_ns > self.now_ns, "something is due, and nothing is decided"
                return done
            ours = [each for each in self.do(events) if each.kind.partition(".")[0] in DOMAINS]
            assert len(ours) <= 2
            done += ours
        raise AssertionError("what is due never comes to an end")

    def refused(self, decide: Callable[[], object]) -> None:
        before, length = repr(known(self.state)), len(self.history)
        with pytest.raises(CommandRejected):
            decide()
        assert repr(known(self.state)) == before
        assert len(self.history) == length

    def check(self) -> None:
        """Replaying the journal gives the state, and so does a snapshot of it."""
        replayed = State(LIMITS)
        for body in self.history:
            replayed.apply(codec.decode(body))
        assert known(replayed) == known(self.state)
        assert known(restored(self.state)) == known(self.state)


# --- turns, model calls, tool calls -----------------------------------------------------------------------------------

agents = st.sampled_from(["a", "b", None])
ids = st.sampled_from(["1", "2"])
STARTS: dict[str, Callable[..., Event]] = {
    "turn": lambda key, **about: TurnStarted(turn_id=key, **about),
    "model": lambda key, **about: ModelCalled(model="m", call_id=key, **about),
    "tool": lambda key, **about: ToolCalled(tool="t", call_id=key, **about),
}
ENDS: dict[str, list[Callable[..., Event]]] = {
    "turn": [
        lambda key, **about: TurnEnded(turn_id=key, **about),
        lambda key, **about: TurnFailed(turn_id=key, **about),
    ],
    "model": [
        lambda key, **about: ModelCompleted(model="m", call_id=key, **about),
        lambda key, **about: ModelFailed(model="m", call_id=key, **about),
    ],
    "tool": [
        lambda key, **about: ToolCompleted(tool="t", call_id=key, **about),
        lambda key, **about: ToolFailed(tool="t", call_id=key, **about),
    ],
}
families = st.sampled_from(sorted(STARTS))
SECONDS = {"turn": 30, "model": 10, "tool": 20}


class TurnFacts(RuleBasedStateMachine):
    """Beginnings and ends in any order; the model is a list of what is open, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.open: list[tuple[str, str, str | None, int]] = []

    @rule(family=families, key=ids, agent_id=agents)
    def begin(self, family: str, key: str, agent_id: str | None) -> None:
        self.bench.do([STARTS[family](key, agent_id=agent_id)])
        self.open = [each for each in self.open if each[:3] != (family, key, agent_id)]
        self.open.append((family, key, agent_id, self.bench.now_ns))

    @rule(family=families, which=st.integers(0, 1), key=ids, agent_id=agents)
    def end(self, family: str, which: int, key: str, agent_id: str | None) -> None:
        self.bench.do([ENDS[family][which](key, agent_id=agent_id)])
        mine = [each for each in self.open if each[:2] == (family, key)]
        same = [each for each in mine if each[2] == agent_id]
        loose = [each for each in mine if agent_id is None or each[2] is None]
        for each in (same or loose)[:1]:
            self.open.remove(each)

    @rule(family=families, key=ids, where=st.sampled_from(["source_id", "occurred_at"]))
    def record_what_happened_elsewhere(self, family: str, key: str, where: str) -> None:
        self.bench.do([STARTS[family](key, **{where: "2026-01-01T00:00:00Z"})])

    @rule(call_id=st.sampled_from([None, "", 5, ("x",)]))
    def begin_what_no_end_could_name(self, call_id: Any) -> None:
        self.bench.do([ToolCalled(tool="t", call_id=call_id), ToolCompleted(tool="t", call_id=call_id)])

    @rule(seconds=st.sampled_from([1, 9, 10, 11, 25, 40]))
    def wait(self, seconds: int) -> None:
        self.bench.now_ns += seconds * 1_000_000_000
        told = self.bench.settle_what_is_due()
        late = {each for each in self.open if each[3] + SECONDS[each[0]] * 1_000_000_000 <= self.bench.now_ns}
        crowded = [each for each in self.open if each not in late][: max(0, len(self.open) - len(late) - 5)]
        gone = late | set(crowded)
        assert len(told) >= len(late)
        # Which are crowded out depends on which of the late ones went first; how many remain does not.
        self.open = [each for each in self.open if each not in gone]
        if len(self.open) > len(self.bench.state.turns):
            left = {(entry.family, entry.id, entry.agent_id) for entry in self.bench.state.turns}
            self.open = [each for each in self.open if each[:3] in left]

    @rule()
    def restart(self) -> None:
        told = self.bench.do(self.bench.state.turns.repair())
        assert len(told) == len(self.open)
        assert {getattr(each, "reason", "") for each in told} <= {"the hub was restarted"}
        self.open = []

    @invariant()
    def what_is_open_is_what_the_model_says(self) -> None:
        found = [(entry.family, entry.id, entry.agent_id) for entry in self.bench.state.turns]
        assert found == [each[:3] for each in self.open]

    def teardown(self) -> None:
        self.bench.check()


TestTurnFacts = TurnFacts.TestCase
TestTurnFacts.settings = settings(max_examples=100, stateful_step_count=30)


# --- tasks ------------------------------------------------------------------------------------------------------------

owners = st.sampled_from(["a", "b", "c", "stranger"])


@attrs.define
class Job:
    owner: str
    channel: str | None
    until_ns: int | None
    depth: int
    asked: set[str] = attrs.Factory(set)
    checkpoint: Any = None
    ended: str = ""


class TaskCommands(RuleBasedStateMachine):
    """Commands in any order, right and wrong ones; the model is a dictionary of jobs."""

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.numbers = count()
        self.jobs: dict[str, Job] = {}
        self.present = {"a", "b", "c"}
        self.channel_open = True

    @initialize(target=tasks)
    def first(self) -> str:
        self.jobs["first"] = Job("a", "ab", None, 0)
        self.bench.do(self.bench.state.tasks.start("a", "t", task_id="first", channel_id="ab"))
        return "first"

    def running(self, owner: str) -> int:
        return sum(job.owner == owner and not job.ended for job in self.jobs.values())

    @rule(
        target=tasks,
        owner=owners,
        channel=st.sampled_from([None, "ab"]),
        ttl=st.sampled_from([None, 5, 50, 0, -1, float("nan"), "long"]),
        parent=st.none() | tasks,
        tasks_max=st.sampled_from([None, 2]),
    )
    def start(self, owner: str, channel: str | None, ttl: Any, parent: str | None, tasks_max: int | None) -> Any:
        task_id = f"task {next(self.numbers)}"
        depth = 0 if parent is None else self.jobs[parent].depth + 1

        def decide() -> list[Event]:
            return self.bench.state.tasks.start(
                owner,
                "title",
                task_id=task_id,
                channel_id=channel,
                ttl_seconds=ttl,
                parent_id=parent,
                tasks_max=tasks_max,
                delegation_depth_max=2,
            )

        allowed = (
            owner in self.present
            and ttl in (None, 5, 50)
            and (channel is None or (self.channel_open and owner in "ab"))
            and (parent is None or not self.jobs[parent].ended)
            and depth <= 2
            and (tasks_max is None or self.running(owner) < tasks_max)
        )
        if not allowed:
            self.bench.refused(decide)
            return multiple()
        self.bench.do(decide())
        until = None if ttl is None else self.bench.now_ns + ttl * 1_000_000_000
        self.jobs[task_id] = Job(owner, channel, until, depth)
        return task_id

    @rule(task_id=tasks)
    def an_id_is_used_once(self, task_id: str) -> None:
        self.bench.refused(lambda: self.bench.state.tasks.start("a", "again", task_id=task_id))

    @rule(task_id=tasks, by=owners, how=st.sampled_from(["complete", "fail", "cancel"]))
    def end(self, task_id: str, by: str, how: str) -> None:
        tasks, job = self.bench.state.tasks, self.jobs[task_id]
        arguments: dict[str, tuple[str, ...]] = {"complete": ("ok",), "fail": ("E", "broken"), "cancel": ("enough",)}

        def decide() -> list[Event]:
            decided: list[Event] = getattr(tasks, how)(task_id, by, *arguments[how])
            return decided

        if job.ended or by != job.owner:
            self.bench.refused(decide)
        else:
            self.bench.do(decide())
            job.ended = how

    @rule(task_id=tasks, by=owners, value=st.sampled_from([1, "x", None]))
    def work(self, task_id: str, by: str, value: Any) -> None:
        tasks, job = self.bench.state.tasks, self.jobs[task_id]
        if job.ended or by != job.owner:
            self.bench.refused(lambda: tasks.checkpoint(task_id, by, value))
            self.bench.refused(lambda: tasks.progress(task_id, by, value))
            self.bench.refused(lambda: tasks.read_checkpoint(task_id, by))
        else:
            self.bench.do(tasks.checkpoint(task_id, by, value))
            self.bench.do(tasks.progress(task_id, by, value))
            assert tasks.read_checkpoint(task_id, by) == value

    @rule(task_id=tasks, by=owners)
    def ask(self, task_id: str, by: str) -> None:
        job = self.jobs[task_id]

        def decide() -> list[Event]:
            return self.bench.state.tasks.request_cancel(task_id, by, "please")

        allowed = (
            not job.ended
            and by in self.present
            and by != job.owner
            and by not in job.asked
            and (job.channel is None or by in "ab")
        )
        if not allowed:
            self.bench.refused(decide)
        else:
            self.bench.do(decide())
            job.asked.add(by)

    @rule(agent_id=st.sampled_from(["b", "c"]))
    def unregister(self, agent_id: str) -> None:
        if agent_id in self.present:
            self.present.remove(agent_id)
            self.bench.do(self.bench.state.agents.unregister(agent_id))
            self.expire(lambda job: job.owner == agent_id, "its owner left the hub")

    @rule()
    def close(self) -> None:
        if self.channel_open:
            self.channel_open = False
            self.bench.do([ChannelClosed(channel_id="ab")])
            self.expire(lambda job: job.channel == "ab", "its channel was closed")

    @rule(seconds=st.sampled_from([1, 4, 5, 60]))
    def wait(self, seconds: int) -> None:
        self.bench.now_ns += seconds * 1_000_000_000
        self.expire(lambda job: job.until_ns is not None and job.until_ns <= self.bench.now_ns, "its time was up")

    def expire(self, meets: Callable[[Job], bool], reason: str) -> None:
        """See that these end, each once, and that nothing can be done to them before the hub has said so."""
        ends = {task_id for task_id, job in self.jobs.items() if not job.ended and meets(job)}
        if reason != "its time was up":
            tasks = self.bench.state.tasks
            for task_id in ends:
                self.bench.refused(partial(tasks.complete, task_id, self.jobs[task_id].owner, 1))
        told = self.bench.settle_what_is_due()
        assert all(isinstance(each, TaskExpired) for each in told)
        assert sorted(each.task_id or "" for each in told) == sorted(ends)
        assert {each.reason for each in told if isinstance(each, TaskExpired)} <= {reason}
        for task_id in ends:
            self.jobs[task_id].ended = "expire"

    @invariant()
    def what_runs_is_what_the_model_says(self) -> None:
        found = {entry.task_id: (entry.owner_id, set(entry.cancel_requested_by)) for entry in self.bench.state.tasks}
        assert found == {task_id: (job.owner, job.asked) for task_id, job in self.jobs.items() if not job.ended}

    def teardown(self) -> None:
        self.bench.check()


TestTaskCommands = TaskCommands.TestCase
TestTaskCommands.settings = settings(max_examples=100, stateful_step_count=30)


# --- approvals --------------------------------------------------------------------------------------------------------

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


# --- what no sequence would find --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "trust", "left"),
    [(0.5, 0.3, 0.5), (0.5, 0.0, 0.59), (0.5, 1.0, 0.29), (1.0, 1.0, 0.8), (0.85, 1.0, 0.8), (0.0, 1.0, 0.0)],
)
def test_trust_moves_a_risk_and_what_is_critical_stays_critical(score: float, trust: float, left: float) -> None:
    assert adjusted(score, trust) == left
    if level_of(score) is RiskLevel.CRITICAL:
        assert level_of(left) is RiskLevel.CRITICAL


def test_ended_tasks_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire._state.tasks.ENDED_MAX", 3)
    bench = Bench()
    tasks = bench.state.tasks
    for number in range(5):
        bench.do(tasks.start("a", "t", task_id=str(number)))
        bench.do(tasks.complete(str(number), "a", None))
    assert sum(type(entry).__name__ == "EndedTask" for entry in tasks.snapshot()) == 3
    bench.refused(lambda: tasks.start("a", "t", task_id="4"))
    assert tasks.start("a", "t", task_id="0")


def test_what_is_left_behind_is_ended_a_batch_at_a_time_and_the_rest_is_not_looked_at() -> None:
    bench = Bench()
    state = bench.state
    for number in range(300):
        bench.do(state.tasks.start("a", "t", task_id=str(number), ttl_seconds=None))
        bench.do([ToolCalled(tool="t", call_id=str(number), agent_id="a")])
    bench.do(state.endings.unregister("a"))
    for machine, owned in ((state.tasks, state.tasks._tasks), (state.turns, state.turns._open)):
        owned._left_behind = looked_at = Counted(owned._left_behind)
        assert len(machine.due(0, 7)) == 7
        assert looked_at.count <= 8
    while due := state.due(0, 100):
        assert len(due) <= 100
        bench.do(due)
    assert (len(state.tasks), len(state.turns)) == (0, 0)


class Counted(dict[Any, None]):
    """Counts how many of its keys are looked at by iterating."""

    count = 0

    def __iter__(self) -> Any:
        for key in super().__iter__():
            self.count += 1
            yield key


def test_channels_are_counted_by_who_created_them() -> None:
    bench = Bench()
    quotas = bench.state.quotas
    bench.do(bench.state.membership.open(["a"], "", channel_id="second"))
    assert (quotas.channels("a"), quotas.channels("b")) == (2, 0)
    opening = bench.state.membership.open(["a"], "", channel_id="third")
    bench.refused(lambda: quotas.checked(opening, 2))
    assert quotas.checked(opening, 3) is opening
    assert quotas.checked(opening, None) is opening
    bench.do(bench.state.endings.close("ab", ""))
    assert quotas.channels("a") == 1
    bench.check()


def test_an_approver_counts_once_however_often_it_answers() -> None:
    bench = Bench()
    approvals = bench.state.approvals
    about: dict[str, Any] = {"mode": Mode.ENFORCE, "fail_mode": FailMode.DENY, "timeout_seconds": 10}
    bench.do(approvals.request("a", "drop", None, approval_id="1", **about))
    bench.do(approvals.assess("1", risk_score=0.9, trust=0.3, challenges=DEFAULT_CHALLENGES, approvers=(), quorum=1))
    bench.do(approvals.answer("1", "x", is_passed=True, reason=""))
    for passes in (True, False):
        bench.refused(partial(approvals.answer, "1", "x", is_passed=passes, reason=""))
    assert len(approvals) == 1
    bench.do(approvals.answer("1", "y", is_passed=True, reason=""))
    assert len(approvals) == 0


def test_an_end_that_names_no_agent_ends_the_oldest_alone() -> None:
    bench = Bench()
    bench.do([ToolCalled(tool="t", call_id="1", agent_id=agent_id) for agent_id in ("a", "b")])
    bench.do([ToolCompleted(tool="t", call_id="1")])
    assert [entry.agent_id for entry in bench.state.turns] == ["b"]
    bench.do([ToolCompleted(tool="t", call_id="1", agent_id="a")])
    assert [entry.agent_id for entry in bench.state.turns] == ["b"]
    bench.do([ToolCompleted(tool="t", call_id="1", agent_id="b")])
    assert len(bench.state.turns) == 0
