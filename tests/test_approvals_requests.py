"""Requests, answers and verdicts as calls of their own: what is seen, what is joined, and what a crash leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from functools import partial
from typing import Any

import anyio
import pytest

from hubwire import ApprovalPolicy, BaseActor, Hub, PendingApproval, Turn
from hubwire.approvals import Answer, Claim, FailMode, FunctionApprover, Question
from hubwire.errors import AccessDenied, CommandRejected, ConfigurationError, NotApproved, NotFound
from hubwire.events import (
    ApprovalApproverFailed,
    ApprovalChallengeCompleted,
    ApprovalReferred,
    ApprovalReminded,
    ApprovalRequested,
    ApprovalUsed,
    GenericEvent,
)
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import until, until_idle

LARGE = {"text": "x" * 20_000}


def raises(_: Any) -> Any:
    raise ConnectionError("chat is down")


async def pending_one(hub: Hub) -> PendingApproval:
    await until(lambda: any(each.challenge for each in hub.approvals.pending()))
    (found,) = hub.approvals.pending()
    return found


def _answer_always(answer: Any, _: object) -> Any:
    return answer


# --- what a person sees -----------------------------------------------------------------------------------------------


async def test_a_pending_approval_shows_all_there_is(clock: ManualClock) -> None:
    async with Hub(clock=clock, approvals=ApprovalPolicy(timeout_seconds=60)) as hub:
        coder = await hub.agents.register("coder")
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([coder, boss])
        task = await hub.tasks.start(coder, "ship it")
        approval_id = await hub.approvals.request(
            coder, "deploy", arguments={"to": "prod"}, channel=channel, task=task, domain="ops", hints={"x": 0.1}
        )
        (shown,) = hub.approvals.pending()
        assert (shown.approval_id, shown.agent_name, shown.action) == (approval_id, "coder", "deploy")
        assert (shown.arguments, shown.is_shown, len(shown.digest)) == ({"to": "prod"}, True, 64)
        assert (shown.channel_id, shown.task_id, shown.domain) == (channel.id, task.id, "ops")
        steps = [(each.scorer, each.score) for each in shown.risk_steps]
        assert steps == [("NameScorer", 0.7), ("trust 0.3", 0.7)]
        assert "deploy" in shown.risk_steps[0].reason
        assert (shown.risk_score, shown.trust, shown.quorum) == (0.7, 0.3, 1)
        assert shown.deadline > shown.requested_at


async def test_arguments_are_seen_after_truncation() -> None:
    """Large ones as their digest and where they are; withheld ones likewise."""
    store = MemoryStore()
    small: dict[str, Any] = {"snapshot_bytes": 1, "journal_bytes_max": 1 << 20}
    async with Hub(store, approvals=ApprovalPolicy(timeout_seconds=3600), **small) as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.request(coder, "transfer", arguments={"to": "mallory"})
        large = await hub.approvals.request(coder, "transfer", arguments=LARGE)
        await hub.approvals.request(coder, "transfer", arguments={"pin": "hush, hush"}, arguments_at="vault: transfers")
        assert (await hub.approvals.arguments(large)) == LARGE
        assert not [each for each in await history(hub) if "hush, hush" in repr(each)]
        first = hub.approvals.pending()
        for _ in range(1500):
            await hub.emit(GenericEvent(kind="x.y", data={"pad": "p" * 1000}))
    async with Hub(store, **small) as hub:
        assert hub.approvals.pending() == first
        seen, cut, withheld = hub.approvals.pending()
        assert seen.arguments == {"to": "mallory"}
        assert (cut.is_shown, cut.arguments, cut.arguments_bytes) == (False, None, 20_012)
        with pytest.raises(NotFound, match=f"event {cut.arguments_seq} of the audit log has them"):
            await hub.approvals.arguments(large)
        assert (withheld.is_shown, withheld.arguments_at) == (False, "vault: transfers")
        with pytest.raises(NotFound, match="look at vault"):
            await hub.approvals.arguments(withheld.approval_id)


# --- three calls ------------------------------------------------------------------------------------------------------


async def test_request_answer_and_wait_are_calls() -> None:
    """The verdict is remembered when no task waited for it, and is for one use."""
    store = MemoryStore()
    async with Hub(store) as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy", arguments={"to": "prod"}, idempotency_key="k")
        await hub.approvals.answer(approval_id, "ann", is_passed=True, reason="the tests are green")
    async with Hub(store) as hub:
        again = await hub.approvals.request(coder.id, "deploy", arguments={"to": "prod"}, idempotency_key="k")
        assert again == approval_id
        approval = await hub.approvals.wait(again)
        assert (approval.approvers, approval.was_used) == (("ann",), False)
        assert approval.reason == "the tests are green"
        await hub.approvals.use(approval)
        with pytest.raises(CommandRejected, match="was used already"):
            await hub.approvals.use(approval_id)
    async with Hub(store) as hub:
        assert (await hub.approvals.wait(approval_id)).was_used
        with pytest.raises(CommandRejected, match="was used already"):
            await hub.approvals.use(approval_id)
        with pytest.raises(NotFound):
            await hub.approvals.wait("another")


async def test_a_key_joins_the_same_question(clock: ManualClock) -> None:
    """Two gates wait for one answer; other arguments with the key are refused."""
    recorder = Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub, anyio.create_task_group() as tasks:
        coder = await hub.agents.register("coder")
        found: list[bool] = []

        async def gate() -> None:
            approval = await hub.approvals.gate(coder, "deploy", arguments=[1], idempotency_key="k")
            found.append(approval.was_used)

        tasks.start_soon(gate)
        tasks.start_soon(gate)
        shown = await pending_one(hub)
        with pytest.raises(CommandRejected, match="was used for 'deploy'"):
            await hub.approvals.request(coder, "deploy", arguments=[2], idempotency_key="k")
        await hub.approvals.answer(shown.approval_id, "ann", is_passed=True)
        await until(lambda: len(found) == 2)
        assert sorted(found) == [False, True]
        await hub.flush()
        assert len(recorder.of(ApprovalRequested)) == len(recorder.of(ApprovalUsed)) == 1


async def test_a_denial_with_a_key_is_final() -> None:
    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy", idempotency_key="k")
        await hub.approvals.answer(approval_id, "ann", is_passed=False, reason="no")
        for _ in range(2):
            with pytest.raises(NotApproved, match="denied: no"):
                await hub.approvals.gate(coder, "deploy", idempotency_key="k")
        with pytest.raises(CommandRejected, match="is denied: there is nothing to use"):
            await hub.approvals.use(approval_id)


async def test_a_question_is_withdrawn_or_sent_back() -> None:
    """What waits gets the reason."""
    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        first = await hub.approvals.request(coder, "deploy")
        await hub.approvals.send_back(first, "ann", "name the region")
        with pytest.raises(NotApproved, match="name the region") as returned:
            await hub.approvals.wait(first)
        second = await hub.approvals.request(coder, "deploy")
        await hub.approvals.withdraw(second, "too late")
        with pytest.raises(NotApproved, match="too late") as withdrawn:
            await hub.approvals.wait(second)
        assert (returned.value.verdict, withdrawn.value.verdict) == ("returned", "withdrawn")
        assert hub.approvals.pending() == ()


async def test_a_verdict_is_taken_over() -> None:
    """A framework's own dialog gave it; question and verdict are committed together."""
    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.record(coder, "deploy", arguments={"n": 1}, approver="ann", is_passed=True)
        assert (await hub.approvals.wait(approval_id)).approvers == ("ann",)
        with pytest.raises(CommandRejected, match="cannot approve its own"):
            await hub.approvals.record(coder, "deploy", approver="Coder", is_passed=True)
        denied = await hub.approvals.record(coder, "deploy", approver="ann", is_passed=False, reason="no")
        with pytest.raises(NotApproved, match="no"):
            await hub.approvals.wait(denied)


async def test_answers_come_from_other_threads() -> None:
    """A sync tool in a worker thread blocks until another thread has answered."""
    ran: list[str] = []
    async with Hub() as hub:
        coder = await hub.agents.register("coder")

        @hub.approvals.gated_blocking(coder)
        def deploy(to: str) -> None:
            ran.append(f"{to} in {threading.current_thread() is threading.main_thread()}")

        with pytest.raises(ConfigurationError, match="wait for itself"):
            deploy("prod")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asyncio.to_thread, deploy, "prod")
            shown = await pending_one(hub)

            def answer() -> None:
                hub.approvals.from_thread(hub.approvals.answer, shown.approval_id, "ann", is_passed=True).result()

            await asyncio.to_thread(answer)
    assert ran == ["prod in False"]


# --- crashes ----------------------------------------------------------------------------------------------------------


class Deployer(BaseActor):
    name = "deployer"

    def __init__(self, done: list[Any], *, dies: bool = False) -> None:
        self.done = done
        self.dies = dies

    async def on_envelope(self, turn: Turn) -> None:
        approval = await turn.hub.approvals.gate(turn.agent, "deploy", arguments={"to": turn.content})
        if self.dies:
            await anyio.sleep_forever()
        self.done.append((turn.content, approval.was_used))


@pytest.mark.slow
async def test_a_turn_after_a_crash_joins_its_question() -> None:
    """A person's yes to the question of the first life lets the second one act."""
    store, done = MemoryStore(), list[Any]()
    hub = Hub(store)
    await hub.start()
    actor = await hub.spawn(Deployer(done))
    boss = await hub.agents.register("boss")
    channel = await hub.channels.open([boss, actor.agent])
    await channel.post(boss, "prod")
    first = await pending_one(hub)
    crashed = await _copy(store)
    await hub.aclose()
    async with Hub(crashed) as hub:
        await hub.spawn(Deployer(done))
        shown = await pending_one(hub)
        assert (shown.approval_id, shown.arguments) == (first.approval_id, {"to": "prod"})
        await hub.approvals.answer(shown.approval_id, "ann", is_passed=True)
        await until(lambda: bool(done))
        assert (done, hub.approvals.pending()) == ([("prod", False)], ())


@pytest.mark.slow
async def test_a_turn_after_a_crash_gets_its_verdict() -> None:
    """The grant was used by a life that may have acted: the next one sees that."""
    store, done = MemoryStore(), list[Any]()
    hub = Hub(store)
    await hub.start()
    actor = await hub.spawn(Deployer(done, dies=True))
    boss = await hub.agents.register("boss")
    channel = await hub.channels.open([boss, actor.agent])
    await channel.post(boss, "prod")
    await hub.approvals.answer((await pending_one(hub)).approval_id, "ann", is_passed=True)
    await until_idle()
    crashed = await _copy(store)
    async with Hub(crashed) as after:
        await after.spawn(Deployer(done))
        await until(lambda: bool(done))
        assert (done, after.approvals.pending()) == ([("prod", True)], ())
    await hub.aclose()


async def test_an_answer_is_never_without_its_verdict() -> None:
    """A crash that tore the two apart leaves the denial, which no later yes can undo."""
    store = MemoryStore()
    hub = Hub(store)
    await hub.start()
    coder = await hub.agents.register("coder")
    approval_id = await hub.approvals.request(coder, "deploy")
    await hub.approvals.answer(approval_id, "alice", is_passed=False, reason="no!")
    torn = await _copy(store, after=b"approval.challenge_completed")
    await hub.aclose()
    async with Hub(torn) as after:
        assert after.approvals.pending() == ()
        with pytest.raises(NotApproved, match="denied: no!"):
            await after.approvals.wait(approval_id)
        with pytest.raises(NotFound):
            await after.approvals.answer(approval_id, "bob", is_passed=True)


async def _copy(store: MemoryStore, after: bytes = b"") -> MemoryStore:
    """Return what a crash now would leave, or one after the last record that has these bytes."""
    copy = MemoryStore()

    async def walk(folder: str) -> None:
        for name in await store.list(folder):
            path = f"{folder.rstrip('/')}/{name}"
            if name.endswith("/"):
                await walk(path)
                continue
            data = await store.read_bytes(path) or b""
            if after and after in data:
                data = data[: data.index(b"\n", data.rindex(after)) + 1]
            await copy.write(path, data)

    await walk("/")
    return copy


# --- who decides ------------------------------------------------------------------------------------------------------


async def test_one_approver_is_enough() -> None:
    """It is asked about critical risk, too."""
    async with Hub(approvals=ApprovalPolicy(approvers=[FunctionApprover("ann", lambda _: True)])) as hub:
        coder = await hub.agents.register("coder")
        assert (await hub.approvals.gate(coder, "delete_all")).approvers == ("ann",)


@pytest.mark.parametrize(
    ("answers", "verdict", "is_failure"),
    [
        ((raises, True, True), "approved", False),
        ((raises, False, False), "denied", False),
        ((raises, True, False), "failed", True),
        ((raises, raises, True), "failed", True),
        ((raises, raises, raises), "failed", True),
        ((True, False, True), "approved", False),
    ],
)
@pytest.mark.parametrize("fail_mode", [FailMode.DENY, FailMode.ALLOW])
async def test_a_failing_approver_is_no_answer(
    answers: tuple[Any, ...], verdict: str, *, is_failure: bool, fail_mode: FailMode
) -> None:
    """The fail mode speaks when the others cannot decide any more."""
    recorder = Recorder()
    approvers = [
        FunctionApprover(name, each if callable(each) else partial(_answer_always, each), in_loop=True)
        for name, each in zip("abc", answers, strict=True)
    ]
    policy = ApprovalPolicy(approvers=approvers, quorum=2, fail_mode=fail_mode)
    async with Hub(approvals=policy, listeners=[recorder]) as hub:
        coder = await hub.agents.register("coder")
        if verdict == "approved" or (verdict == "failed" and fail_mode is FailMode.ALLOW):
            assert (await hub.approvals.gate(coder, "delete_all")).is_failure == is_failure
        else:
            with pytest.raises(NotApproved) as denied:
                await hub.approvals.gate(coder, "delete_all")
            assert ("chat is down" in denied.value.reason) == is_failure
        await hub.flush()
        assert bool(recorder.of(ApprovalApproverFailed)) == (raises in answers)


@pytest.mark.parametrize("name", ["coder", "Coder", " coder", "ｃｏｄｅｒ", "c\u200boder"])
async def test_no_spelling_approves_its_own_request(name: str) -> None:
    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        with pytest.raises(CommandRejected, match="cannot approve its own action"):
            await hub.approvals.answer(approval_id, name, is_passed=True)
        with pytest.raises(CommandRejected, match="cannot approve its own action"):
            await hub.approvals.answer(approval_id, coder, is_passed=True)


async def test_one_person_counts_once() -> None:
    """However the name is spelt, a quorum is of different approvers."""
    async with Hub(approvals=ApprovalPolicy(quorum=2)) as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        await hub.approvals.answer(approval_id, "ann", is_passed=True)
        for name in ("ann", "Ann ", "ANN"):
            with pytest.raises(CommandRejected, match="has answered already"):
                await hub.approvals.answer(approval_id, name, is_passed=True)
        assert len(hub.approvals.pending()) == 1


async def test_a_turn_cannot_approve_its_own_agent() -> None:
    """Whatever name it uses."""
    refused: list[str] = []

    async def act(turn: Turn) -> None:
        approval_id = await turn.hub.approvals.request(turn.agent, "deploy")
        try:
            await turn.hub.approvals.answer(approval_id, "ann", is_passed=True)
        except CommandRejected as error:
            refused.append(str(error))

    async with Hub() as hub:
        actor = await hub.spawn(act, name="coder")
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, actor.agent])
        await channel.post(boss, "go")
        await until(lambda: bool(refused))
        assert "cannot approve its own action" in refused[0]


async def test_what_vouches_says_who_answers() -> None:
    """An impostor, and the agent under another name, are refused; the event has the identity."""
    people = {"s3cret": "ann@example.org", "own": "coder"}
    recorder = Recorder()

    async def vouch(claim: Claim) -> str | None:
        return people.get(claim.proof)

    async with Hub(approvals=ApprovalPolicy(vouch=vouch), listeners=[recorder]) as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        proofs: list[Any] = [None, "guess", "own", []]
        for proof in proofs:
            with pytest.raises(CommandRejected if proof == "own" else AccessDenied):
                await hub.approvals.answer(approval_id, "ann", is_passed=True, proof=proof)
        await hub.approvals.answer(approval_id, "ann", is_passed=True, proof="s3cret")
        await hub.flush()
        (completed,) = recorder.of(ApprovalChallengeCompleted)
        assert (completed.approver, completed.identity) == ("ann", "ann@example.org")


# --- arguments --------------------------------------------------------------------------------------------------------


class Order:
    amount = 1


@dataclasses.dataclass
class Pay:
    to: str
    _amount: int = 1


@dataclasses.dataclass
class Open:
    to: str


class Named(dict[str, Any]):
    """A mapping that can have attributes."""


def named() -> Named:
    mapping = Named(a=1)
    mapping.secret = 2  # type: ignore[attr-defined]
    return mapping


def cycle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize("value", [Order(), Pay("bob"), [{"a": Pay("bob")}], cycle(), iter([1]), named(), object])
async def test_arguments_that_hide_a_part_are_refused(value: Any) -> None:
    """Whether they are gated or requested; nothing is asked."""
    async with Hub() as hub:
        coder = await hub.agents.register("coder")

        @hub.approvals.gated(coder)
        def pay(what: Any) -> None:
            raise AssertionError

        with pytest.raises(CommandRejected, match="could not see all of"):
            await pay(value)
        with pytest.raises(CommandRejected, match="could not see all of"):
            await hub.approvals.request(coder, "pay", arguments=value)
        assert hub.approvals.pending() == ()


@pytest.mark.parametrize("value", [Open("bob"), {1: 2}, {3, 4}, b"bytes", 2**70, float("nan"), ("a", None), True])
async def test_arguments_that_show_all_are_taken(value: Any) -> None:
    """And the tool gets the object itself."""
    policy = ApprovalPolicy(approvers=[FunctionApprover("ann", lambda _: True)])
    async with Hub(approvals=policy) as hub:
        coder = await hub.agents.register("coder")

        @hub.approvals.gated(coder)
        def pay(what: Any) -> Any:
            return what

        assert (await pay(value)) is value


async def test_a_changed_kind_of_value_is_a_change() -> None:
    """1 and True are equal in Python, and not in JSON."""
    things: list[Any] = [1]

    def change(_: Question) -> bool:
        things[0] = True
        return True

    async with Hub(approvals=ApprovalPolicy(approvers=[FunctionApprover("ann", change)])) as hub:
        coder = await hub.agents.register("coder")

        @hub.approvals.gated(coder)
        def pay(what: Any) -> None:
            raise AssertionError

        with pytest.raises(NotApproved, match="were changed"):
            await pay(things)


async def test_a_verdict_may_modify_the_arguments() -> None:
    """The tool runs with what was approved, by a person or by a program."""

    def less(question: Question) -> Answer:
        return Answer(is_passed=True, reason="less", arguments={**question.arguments, "amount": 5})

    async with Hub() as hub:
        coder = await hub.agents.register("coder")

        @hub.approvals.gated(coder, policy=ApprovalPolicy(approvers=[FunctionApprover("ann", less)]))
        def pay(to: str, amount: int = 100) -> tuple[str, int]:
            return to, amount

        assert await pay("bob") == ("bob", 5)
        approval_id = await hub.approvals.request(coder, "send_mail", arguments={"to": "all"})
        await hub.approvals.answer(approval_id, "ann", is_passed=True, arguments={"to": "ops"}, reason="not all")
        approval = await hub.approvals.wait(approval_id)
        assert (approval.verdict, approval.arguments, approval.reason) == ("modified", {"to": "ops"}, "not all")
        several = await hub.approvals.request(coder, "delete_all", arguments={"n": 1})
        with pytest.raises(CommandRejected, match="approvers have to agree about the same arguments"):
            await hub.approvals.answer(several, "ann", is_passed=True, arguments={"n": 2})


async def test_a_modification_fits_the_tool() -> None:
    wrong = FunctionApprover("ann", lambda _: Answer(is_passed=True, arguments={"other": 1}))
    async with Hub(approvals=ApprovalPolicy(approvers=[wrong])) as hub:
        coder = await hub.agents.register("coder")

        @hub.approvals.gated(coder)
        def pay(to: str) -> None:
            raise AssertionError

        with pytest.raises(NotApproved, match="arguments that the tool does not have"):
            await pay("bob")


# --- time -------------------------------------------------------------------------------------------------------------


async def test_an_answer_can_come_too_soon(clock: ManualClock) -> None:
    """The verdict says how long the review took."""
    async with Hub(clock=clock, approvals=ApprovalPolicy(review_seconds_min=10)) as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        clock.advance(3)
        with pytest.raises(CommandRejected, match="counts 10 s after the challenge"):
            await hub.approvals.answer(approval_id, "ann", is_passed=True)
        clock.advance(9)
        await hub.approvals.answer(approval_id, "ann", is_passed=True)
        assert (await hub.approvals.wait(approval_id)).review_seconds == pytest.approx(12, abs=0.1)


async def test_a_wait_of_days_is_reminded_and_referred(clock: ManualClock) -> None:
    """These are notices, no verdicts; a restart between them makes no difference."""
    day = 86_400.0
    policy = ApprovalPolicy(
        timeout_seconds=10 * day,
        approvers=[FunctionApprover("ann", lambda _: anyio.sleep_forever())],  # type: ignore[arg-type,return-value]
        remind_seconds=day,
        refer_seconds=2.5 * day,
        refer_to=["boss"],
    )
    store, recorder = MemoryStore(), Recorder()
    async with Hub(store, clock=clock, approvals=policy, listeners=[recorder]) as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        with pytest.raises(CommandRejected, match="does not decide about this"):
            await hub.approvals.answer(approval_id, "boss", is_passed=True)
        clock.advance(day + 1)
        await recorder.wait_for("approval.reminded")
    recorder = Recorder()
    async with Hub(store, clock=clock, approvals=policy, listeners=[recorder]) as hub:
        clock.advance(2 * day)
        await recorder.wait_for("approval.referred")
        (reminded,) = recorder.of(ApprovalReminded)
        assert (reminded.count, reminded.approvers) == (2, ("ann",))
        assert [each.approvers for each in recorder.of(ApprovalReferred)] == [("boss",)]
        (shown,) = hub.approvals.pending()
        assert (shown.reminders, shown.approvers) == (2, ("ann", "boss"))
        await hub.approvals.answer(approval_id, "boss", is_passed=True)
        assert (await hub.approvals.wait(approval_id)).approvers == ("boss",)


# --- trust ------------------------------------------------------------------------------------------------------------


async def test_trust_is_revoked_and_restored_by_domain() -> None:
    async with Hub() as hub:
        coder = await hub.agents.register("coder")

        async def trust(domain: str) -> float | None:
            approval_id = await hub.approvals.request(coder, "deploy", domain=domain)
            (shown,) = hub.approvals.pending()
            await hub.approvals.withdraw(approval_id)
            return shown.trust

        await hub.approvals.revoke_trust(coder, domain="billing", reason="paid twice")
        assert (await trust("billing"), await trust("ops")) == (0.0, 0.3)
        await hub.approvals.restore_trust(coder, domain="billing")
        assert await trust("billing") == 0.3
