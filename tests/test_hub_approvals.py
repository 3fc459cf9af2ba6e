"""Approvals on a hub: who is asked, what the verdict is, what happens when the machinery fails, and what stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Agent, Approval, ApprovalPolicy, Duty, Hub, RuleArbiter
from hubwire.approvals import (
    DEFAULT_CHALLENGES,
    Answer,
    Approver,
    ChallengeKind,
    FailMode,
    FunctionApprover,
    Mode,
    NameScorer,
    Question,
    RecordTrust,
    RiskLevel,
)
from hubwire.arbiter import Command, Deny
from hubwire.errors import (
    AccessDenied,
    CommandRejected,
    ConfigurationError,
    HubClosed,
    JournalFailed,
    NotApproved,
    NotFound,
)
from hubwire.events import (
    ApprovalApproved,
    ApprovalChallengeIssued,
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequested,
    AuditLogged,
    Event,
)
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder, history, peek
from support import until, until_idle


@pytest.fixture
async def hub(clock: ManualClock, recorder: Recorder) -> AsyncIterator[Hub]:
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        yield hub


@pytest.fixture
async def coder(hub: Hub) -> Agent:
    return await hub.agents.register("coder")


def says(name: str, answer: Any) -> FunctionApprover:
    return FunctionApprover(name, lambda _: answer)


async def hangs(_: Question) -> bool:
    await anyio.sleep_forever()
    return True


def raises(_: Any) -> Any:
    raise RuntimeError("broken")


async def words(hub: Hub, recorder: Recorder) -> list[str]:
    await until_idle()
    await hub.flush()
    return [
        event.kind.rpartition(".")[2]
        for event in recorder.events
        if event.kind.startswith(("approval.", "audit.")) and event.kind != "approval.used"
    ]


def policy(*approvers: Approver, **settings: Any) -> ApprovalPolicy:
    """A policy in which one approver is enough for everything."""
    challenges = {**DEFAULT_CHALLENGES, RiskLevel.CRITICAL: ChallengeKind.CONFIRM}
    return ApprovalPolicy(**{"approvers": approvers, "challenges": challenges, **settings})


# --- the way to a verdict ---------------------------------------------------------------------------------------------


async def test_low_risk_needs_no_challenge(hub: Hub, coder: Agent, recorder: Recorder) -> None:
    approval = await hub.approvals.gate(coder, "read_file", arguments={"path": "a.txt"})
    assert (approval.risk_level, approval.approvers, approval.is_failure) == (RiskLevel.LOW, (), False)
    assert await words(hub, recorder) == ["requested", "risk_scored", "trust_computed", "approved", "logged"]
    (requested,) = recorder.of(ApprovalRequested)
    assert requested.arguments == {"path": "a.txt"}


async def test_an_approver_gets_the_question(hub: Hub, coder: Agent, recorder: Recorder) -> None:
    """The approver sees agent, action and arguments, and its answer decides."""
    asked: list[Question] = []

    async def review(question: Question) -> Answer:
        asked.append(question)
        return Answer(question.arguments["to"] == "staging", "staging only")

    careful = policy(FunctionApprover("alice", review))
    approval = await hub.approvals.gate(coder, "deploy", arguments={"to": "staging"}, policy=careful)
    assert approval.approvers == ("alice",)
    with pytest.raises(NotApproved, match="'deploy' is denied: staging only") as caught:
        await hub.approvals.gate(coder, "deploy", arguments={"to": "production"}, policy=careful)
    assert (caught.value.verdict, caught.value.reason) == ("denied", "staging only")
    first, second = asked
    assert (first.agent_name, first.action, first.risk_score, first.risk_level) == (
        "coder",
        "deploy",
        0.7,
        RiskLevel.HIGH,
    )
    assert first.challenge is ChallengeKind.QUIZ
    assert (first.times_approved, second.times_approved) == (0, 1)
    steps = ["requested", "risk_scored", "trust_computed", "challenge_issued", "challenge_completed"]
    assert await words(hub, recorder) == [*steps, "approved", "logged", *steps, "denied", "logged"]


async def test_a_quorum_decides(hub: Hub, coder: Agent) -> None:
    """When enough approvers agree, the others are cancelled."""
    cancelled = []

    async def late(_: Question) -> bool:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)
        return True

    three = (says("alice", True), says("bob", True), FunctionApprover("carol", late))
    approval = await hub.approvals.gate(coder, "drop_table", policy=ApprovalPolicy(approvers=three))
    assert set(approval.approvers) == {"alice", "bob"}
    assert cancelled == [True]
    two_against = (says("alice", False), says("bob", Answer(False, "no")), FunctionApprover("carol", hangs))
    with pytest.raises(NotApproved, match="denied"):
        await hub.approvals.gate(coder, "drop_table", policy=ApprovalPolicy(approvers=two_against))


async def test_an_answer_comes_from_another_agent(hub: Hub, coder: Agent, recorder: Recorder) -> None:
    """Without approvers, any name but the agent's own may answer the challenge."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hub.approvals.gate, coder, "deploy")
        await until_idle()
        (entry,) = hub.approvals.pending()
        for oneself in (coder.id, "coder"):
            with pytest.raises(CommandRejected, match="cannot approve its own action"):
                await hub.approvals.answer(entry.approval_id, oneself, is_passed=True)
        await hub.approvals.answer(entry.approval_id, "alice", is_passed=True, reason="fine")
    assert hub.approvals.pending() == ()
    with pytest.raises(NotFound, match="has its verdict already: it is approved"):
        await hub.approvals.answer(entry.approval_id, "bob", is_passed=False)
    assert (await words(hub, recorder))[-2:] == ["approved", "logged"]


async def test_audit_logged_names_a_committed_verdict(coder: Agent, hub: Hub, recorder: Recorder) -> None:
    await hub.approvals.gate(coder, "read_file")
    await words(hub, recorder)
    (approved,), (logged,) = recorder.of(ApprovalApproved), recorder.of(AuditLogged)
    assert (logged.verdict, logged.verdict_id, logged.verdict_seq) == ("approved", approved.id, approved.seq)
    assert logged.seq > approved.seq


async def test_the_verdict_is_durable_before_the_action(clock: ManualClock) -> None:
    class Stuck(MemoryStore):
        gate: anyio.Event | None = None

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if self.gate is not None and b"approval.approved" in (content if isinstance(content, bytes) else b""):
                await self.gate.wait()
            return await super().append(path, content, expect=expect)

    store = Stuck()
    acted: list[Approval] = []
    async with Hub(store, clock=clock) as hub, anyio.create_task_group() as tasks:
        coder = await hub.agents.register("coder")
        store.gate = anyio.Event()

        async def act() -> None:
            acted.append(await hub.approvals.gate(coder, "read_file"))

        tasks.start_soon(act)
        await until_idle()
        assert hub.approvals.pending() == ()
        assert not acted
        (verdict,) = [entry for entry in peek(hub)["approvals"] if type(entry).__name__ == "Verdict"]
        assert verdict.seq == hub.statistics().applied - 1, "audit.logged came before the verdict had committed"
        store.gate.set()
        await until_idle()
        assert len(acted) == 1


async def test_trust_follows_the_verdicts(hub: Hub, coder: Agent) -> None:
    """Approvals raise the trust in an agent, and denials lower it."""
    friendly = policy(says("alice", True))
    scores = [(await hub.approvals.gate(coder, "deploy", policy=friendly)).risk_score or 0 for _ in range(3)]
    assert 0.7 == scores[0] > scores[1] > scores[2]
    with pytest.raises(NotApproved):
        await hub.approvals.gate(coder, "deploy", policy=policy(says("alice", False)))
    again = await hub.approvals.gate(coder, "deploy", policy=policy(says("alice", True)))
    assert (again.risk_score or 0) > scores[-1]


# --- modes ------------------------------------------------------------------------------------------------------------


async def test_shadow_mode_asks_and_approves(hub: Hub, coder: Agent) -> None:
    """It records what the verdict would have been."""
    shadow = policy(says("alice", False), mode=Mode.SHADOW)
    approval = await hub.approvals.gate(coder, "deploy", policy=shadow)
    assert (approval.mode, approval.enforce_verdict, approval.approvers) == (Mode.SHADOW, "denied", ("alice",))
    passing = await hub.approvals.gate(coder, "deploy", policy=policy(says("alice", True), mode=Mode.SHADOW))
    assert passing.enforce_verdict == "approved"


async def test_audit_only_mode_asks_no_approver(hub: Hub, coder: Agent, recorder: Recorder) -> None:
    recording = policy(FunctionApprover("alice", raises), mode=Mode.AUDIT_ONLY)
    approval = await hub.approvals.gate(coder, "deploy", policy=recording)
    assert (approval.mode, approval.enforce_verdict, approval.is_failure) == (Mode.AUDIT_ONLY, "", False)
    assert "challenge_issued" not in await words(hub, recorder)


async def test_shadow_mode_approves_failures(hub: Hub, coder: Agent) -> None:
    broken = policy(FunctionApprover("alice", raises), mode=Mode.SHADOW)
    approval = await hub.approvals.gate(coder, "deploy", policy=broken)
    assert (approval.enforce_verdict, approval.is_failure) == ("denied", True)


# --- what fails -------------------------------------------------------------------------------------------------------


class Broken:
    """A scorer of risk or trust that does what it is told to."""

    def __init__(self, answer: Callable[[Question], Any]) -> None:
        self.score = answer
        self.trust = answer


async def cancels_itself(_: Question) -> float:
    raise asyncio.CancelledError


def exits(_: Question) -> float:
    raise SystemExit(1)


FAILURES: list[tuple[dict[str, Any], str]] = [
    ({"scorer": Broken(raises)}, "the scorer failed: RuntimeError: broken"),
    ({"trust": Broken(raises)}, "the trust scorer failed: RuntimeError: broken"),
    ({"scorer": Broken(cancels_itself)}, "the scorer failed: RuntimeError: it raised CancelledError"),
    ({"scorer": Broken(exits)}, "the scorer failed: RuntimeError: it raised SystemExit"),
    ({"scorer": Broken(lambda _: 7)}, "risk_score must be a number from 0 to 1, not 7"),
    ({"scorer": Broken(lambda _: None)}, "risk_score must be a number from 0 to 1, not None"),
    ({"trust": Broken(lambda _: float("nan"))}, "trust must be a number from 0 to 1, not nan"),
    ({"approvers": (FunctionApprover("alice", raises),)}, "approver alice failed: RuntimeError: broken"),
    ({"approvers": (says("alice", "yes"),)}, "an answer must be True or False"),
    ({"approvers": (says("coder", True),)}, "cannot approve its own action"),
]


@pytest.mark.parametrize(("settings", "reason"), FAILURES, ids=[reason for _, reason in FAILURES])
async def test_failing_plugins_fall_to_the_fail_mode(
    hub: Hub, coder: Agent, recorder: Recorder, settings: dict[str, Any], reason: str
) -> None:
    """A scorer, trust or approver that raises or answers nonsense leaves the verdict to the fail mode."""
    for fail_mode, word in ((FailMode.DENY, "denied"), (FailMode.ESCALATE, "escalated")):
        with pytest.raises(NotApproved) as caught:
            await hub.approvals.gate(coder, "deploy", policy=policy(**settings, fail_mode=fail_mode))
        assert caught.value.verdict == word
        assert reason in caught.value.reason
    approval = await hub.approvals.gate(coder, "deploy", policy=policy(**settings, fail_mode=FailMode.ALLOW))
    assert approval.is_failure
    assert reason in approval.reason
    verdicts = [each for each in await words(hub, recorder) if each in ("approved", "denied", "escalated", "expired")]
    assert verdicts == ["denied", "escalated", "approved"]
    assert len(recorder.of(AuditLogged)) == 3


@pytest.mark.parametrize(
    "settings",
    [{"scorer": Broken(hangs)}, {"trust": Broken(hangs)}, {"approvers": (FunctionApprover("alice", hangs),)}, {}],
    ids=["scorer", "trust", "approver", "nobody answers"],
)
@pytest.mark.parametrize(
    ("fail_mode", "word"),
    [(FailMode.DENY, "expired"), (FailMode.ESCALATE, "escalated"), (FailMode.ALLOW, "approved")],
)
async def test_hanging_plugins_fall_to_the_fail_mode(
    hub: Hub, coder: Agent, clock: ManualClock, settings: dict[str, Any], fail_mode: FailMode, word: str
) -> None:
    """When the time is up, the fail mode decides."""
    verdicts: list[str] = []
    reasons: list[str] = []
    patience = policy(**settings, fail_mode=fail_mode, timeout_seconds=30)

    async def ask() -> None:
        try:
            approval = await hub.approvals.gate(coder, "deploy", policy=patience)
        except NotApproved as error:
            verdicts.append(error.verdict)
            reasons.append(error.reason)
        else:
            verdicts.append("approved" if approval.is_failure else "approved by somebody")
            reasons.append(approval.reason)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await until_idle()
        clock.advance(29.9)
        await until_idle()
        assert not verdicts
        clock.advance(0.2)
        await until_idle()
        assert verdicts == [word]
        assert reasons == ["its time was up"]


async def test_a_cancelled_gate_leaves_no_open_question(hub: Hub, coder: Agent, recorder: Recorder) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hub.approvals.gate, coder, "deploy")
        await until_idle()
        assert len(hub.approvals.pending()) == 1
        tasks.cancel_scope.cancel()
    assert hub.approvals.pending() == ()
    await words(hub, recorder)
    (expired,) = recorder.of(ApprovalExpired)
    assert expired.reason == "the caller gave up waiting"


async def test_an_agent_that_has_left_may_not_act(hub: Hub, coder: Agent) -> None:
    """Shadow mode and a fail mode that allows make no difference."""
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(NotApproved, match="its agent left the hub"):
                await hub.approvals.gate(coder, "deploy", policy=policy(fail_mode=FailMode.ALLOW, mode=Mode.SHADOW))

        tasks.start_soon(ask)
        await until_idle()
        await coder.unregister()


async def test_a_waiting_gate_learns_of_the_end(clock: ManualClock) -> None:
    """When the hub closes or fails, the gate raises."""
    hub = Hub(clock=clock)
    await hub.start()
    coder = await hub.agents.register("coder")
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(HubClosed):
                await hub.approvals.gate(coder, "deploy")

        tasks.start_soon(ask)
        await until_idle()
        await hub.aclose()

    class Failing(MemoryStore):
        broken = False

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if self.broken:
                raise OSError("the disk is gone")
            return await super().append(path, content, expect=expect)

    store = Failing()
    hub = Hub(store, clock=clock)
    await hub.start()
    coder = await hub.agents.register("coder")
    store.broken = True
    with pytest.raises(JournalFailed):
        await hub.approvals.gate(coder, "read_file")
    with pytest.raises(JournalFailed):
        await hub.aclose()


async def test_a_required_listener_cannot_wait_for_a_gate() -> None:
    """The commit would wait for the listener, and the gate for the commit."""
    caught: list[Exception] = []
    hub = Hub()

    async def on_events(events: list[Event]) -> None:
        for event in events:
            if event.kind == "agent.registered":
                try:
                    await hub.approvals.gate(event.agent_id or "", "read_file")
                except ConfigurationError as error:
                    caught.append(error)

    class Required:
        duty = Duty.REQUIRED

        async def on_events(self, events: list[Event]) -> None:
            await on_events(events)

    hub.attach(Required())
    async with hub:
        await hub.agents.register("coder")
    assert "use another task" in str(caught[0])


# --- asking at all ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["", " ", None, "\ud800"])
async def test_an_action_without_a_name_is_refused(hub: Hub, coder: Agent, recorder: Recorder, action: Any) -> None:
    with pytest.raises(CommandRejected, match="printable text"):
        await hub.approvals.gate(coder, action)
    assert await words(hub, recorder) == []
    assert hub.approvals.pending() == ()


async def test_gates_need_a_known_and_allowed_agent(recorder: Recorder) -> None:
    """An unknown agent, and one that the arbiter denies, cannot ask for approval."""

    class NoQuestions(RuleArbiter):
        def authorize(self, command: Command) -> Any:
            return Deny("no questions") if command.name == "request" else super().authorize(command)

    async with Hub(listeners=[recorder], arbiter=NoQuestions()) as hub:
        coder = await hub.agents.register("coder")
        with pytest.raises(AccessDenied, match="no questions"):
            await hub.approvals.gate(coder, "read_file")
        assert await words(hub, recorder) == []
    async with Hub() as hub:
        with pytest.raises(NotFound):
            await hub.approvals.gate("stranger", "read_file")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": 2, "approvers": (says("alice", True),)}, "2 approvers have to agree"),
        (
            {"approvers": (says("alice", True),), "challenges": dict(DEFAULT_CHALLENGES)},
            "map no risk to MULTI_PARTY",
        ),
        ({"approvers": (says("alice", True), says("alice", True))}, "a different name"),
        ({"challenges": {}}, "DEFAULT_CHALLENGES"),
        ({"challenges": {**DEFAULT_CHALLENGES, RiskLevel.LOW: "confirm"}}, "to a ChallengeKind, not to 'confirm'"),
        ({"mode": "enforce"}, "mode is a hubwire.Mode"),
        ({"fail_mode": "deny"}, "fail_mode is a hubwire.FailMode"),
        ({"quorum": True}, "quorum"),
    ],
)
def test_an_impossible_policy_is_refused(settings: dict[str, Any], message: str) -> None:
    """A policy that could never approve is refused when it is made."""
    with pytest.raises(ConfigurationError, match=message):
        ApprovalPolicy(**settings)


@pytest.mark.parametrize(
    ("action", "score"),
    [
        ("read_file", 0.1),
        ("readFile", 0.1),
        ("deploy", 0.7),
        ("files.delete_all", 0.9),
        ("listAndDROP", 0.9),
        ("ponder", 0.5),
    ],
)
def test_a_name_scores_by_its_worst_word(action: str, score: float) -> None:
    question = Question(approval_id="", agent_id="", agent_name="", action=action, arguments=None)
    assert NameScorer().score(question) == score
    assert NameScorer({"ponder": 0.2}).score(question) == (0.2 if action == "ponder" else score)


def test_trust_grows_slowly_and_falls_fast() -> None:
    """It stays below its ceiling."""

    def trust(approved: int, denied: int) -> float:
        about: dict[str, Any] = {"approval_id": "", "agent_id": "", "agent_name": "", "action": "x", "arguments": None}
        return RecordTrust().trust(Question(**about, times_approved=approved, times_denied=denied))

    assert trust(0, 0) == 0.3
    assert trust(0, 0) < trust(5, 0) < trust(1000, 0) == 0.9
    assert trust(5, 5) < trust(0, 0)


# --- tools ------------------------------------------------------------------------------------------------------------


async def test_what_was_approved_is_what_runs(hub: Hub, coder: Agent, recorder: Recorder) -> None:
    """A tool whose arguments were changed while they were decided about does not run."""
    ran: list[Any] = []

    def change(question: Question) -> bool:
        files.append("b")
        return True

    @hub.approvals.gated(coder, policy=policy(FunctionApprover("alice", change)))
    def deploy(files: list[str], *, region: str = "everywhere") -> None:
        ran.append((files, region))

    files = ["a"]
    with pytest.raises(
        NotApproved, match="the arguments of 'deploy' were changed between the request and the verdict"
    ) as caught:
        await deploy(files)
    assert (caught.value.verdict, caught.value.reason, ran) == ("approved", "other arguments", [])
    await deploy(["a", "b"])
    assert ran == [(["a", "b"], "everywhere")]
    await hub.flush()
    assert [each.arguments for each in recorder.of(ApprovalRequested)] == [
        {"files": ("a",), "region": "everywhere"},
        {"files": ("a", "b"), "region": "everywhere"},
    ]


async def test_a_gated_tool_runs_only_when_approved(hub: Hub, coder: Agent, recorder: Recorder) -> None:
    ran: list[str] = []

    @hub.approvals.gated(coder, policy=policy(FunctionApprover("alice", lambda question: question.arguments["n"] < 3)))
    async def deploy(what: str, n: int = 1) -> str:
        """Deploy it."""
        ran.append(what)
        return f"{what} x{n}"

    @hub.approvals.gated(coder, action="look up")
    def find(key: str) -> str:
        return key.upper()

    assert await deploy("site", n=2) == "site x2"
    assert deploy.__doc__ == "Deploy it."
    with pytest.raises(NotApproved):
        await deploy("site", n=3)
    assert ran == ["site"]
    with pytest.raises(
        TypeError, match=r"^deploy\(\): missing a required argument: 'what'; no approval was requested$"
    ):
        await deploy()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^look up\(\): got an unexpected keyword argument 'kye'"):
        await find("a", kye="a")  # type: ignore[call-arg]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(find, "a")
        await until_idle()
        (entry,) = hub.approvals.pending()
        assert entry.action == "look up"
        await hub.approvals.answer(entry.approval_id, "alice", is_passed=True)
    await hub.flush()
    assert [each.arguments for each in recorder.of(ApprovalRequested)] == [
        {"n": 2, "what": "site"},
        {"n": 3, "what": "site"},
        {"key": "a"},
    ]


# --- restarts ---------------------------------------------------------------------------------------------------------


async def test_a_challenge_survives_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    """Its deadline holds after the restart."""
    store, asked = FileStore(tmp_path), Recorder()
    hub = Hub(store, clock=clock, listeners=[asked])
    await hub.start()
    coder = await hub.agents.register("coder")
    async with anyio.create_task_group() as tasks:

        async def ask(action: str, settings: ApprovalPolicy) -> None:
            with pytest.raises(HubClosed):
                await hub.approvals.gate(coder, action, policy=settings)

        quick = policy(scorer=Broken(hangs), fail_mode=FailMode.ESCALATE, timeout_seconds=100)
        tasks.start_soon(ask, "deploy", ApprovalPolicy(timeout_seconds=100))
        await asked.wait_for("approval.challenge_issued")
        tasks.start_soon(ask, "publish", ApprovalPolicy(timeout_seconds=30))
        tasks.start_soon(ask, "merge", quick)
        await asked.wait_for("approval.challenge_issued", count=2)
        await until(lambda: len(hub.approvals.pending()) == 3)
        await hub.aclose()
    recorder = Recorder()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        assert [entry.action for entry in hub.approvals.pending()] == ["deploy", "publish"]
        deploy, publish = hub.approvals.pending()
        found: list[Approval] = []

        async def wait() -> None:
            found.append(await hub.approvals.wait(deploy.approval_id))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await until_idle()
            clock.advance(40)
            await until_idle()
            await hub.approvals.answer(deploy.approval_id, "alice", is_passed=True)
        assert found[0].approvers == ("alice",)
        with pytest.raises(NotApproved, match="its time was up"):
            await hub.approvals.wait(publish.approval_id)
        await until_idle()
        verdicts = [event.kind for event in await history(hub) if event.kind in KINDS]
        assert verdicts == ["approval.escalated", "approval.expired", "approval.approved"]


KINDS = {"approval.approved", "approval.denied", "approval.escalated", "approval.expired"}


async def test_a_verdict_is_logged_after_a_crash() -> None:
    """If a crash came between a verdict and its `audit.logged`, the next start makes up for it."""

    class Crashing(MemoryStore):
        """Dies with the first append after a verdict."""

        judged = False

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if self.judged:
                raise OSError("the machine is gone")
            self.judged = b"approval.denied" in (content if isinstance(content, bytes) else content.encode())
            return await super().append(path, content, expect=expect)

    store = Crashing()
    hub = Hub(store)
    await hub.start()
    coder = await hub.agents.register("coder")
    with pytest.raises(NotApproved):
        await hub.approvals.gate(coder, "deploy", policy=policy(says("alice", False)))
    with pytest.raises(JournalFailed):
        await hub.agents.register("other")
    with pytest.raises(JournalFailed):
        await hub.aclose()
    store.judged = False
    async with Hub(store) as hub:
        await until_idle()
        events = await history(hub)
        (denied,) = [event for event in events if isinstance(event, ApprovalDenied)]
        assert [event.verdict_id for event in events if isinstance(event, AuditLogged)] == [denied.id]
        assert not [event for event in events if isinstance(event, ApprovalChallengeIssued) and event.seq > denied.seq]
