"""Approvals with policies of their own, after a restart: a policy is code, and does not outlive its process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire import Hub
from hubwire.approvals import (
    ApprovalPolicy,
    ApprovalStage,
    ChallengeKind,
    FailMode,
    FunctionApprover,
    Mode,
    Question,
    RiskLevel,
)
from hubwire.errors import AccessDenied, NotApproved
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import files_of, store_of, until

CONFIRM = dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM)


async def test_what_is_given_has_members_of_enumerations() -> None:
    """Before and after a restart; the events have their values. What was not found out yet is None."""
    store, recorder = MemoryStore(), Recorder()

    def review(question: Question) -> bool:
        (waiting,) = hub.approvals.pending()
        assert (waiting.challenge, waiting.risk_level) == (question.challenge, question.risk_level)
        return True

    approver = FunctionApprover("ann", review, in_loop=True)
    async with Hub(store, listeners=[recorder]) as hub:
        coder = await hub.agents.register("coder")
        taken_over = await hub.approvals.record(coder, "deploy", approver="ann", is_passed=True)
        approval = await hub.approvals.wait(taken_over)
        assert (approval.risk_level, approval.risk_score, approval.mode) == (None, None, Mode.ENFORCE)
        approval = await hub.approvals.gate(coder, "deploy", policy=ApprovalPolicy(approvers=[approver]))
        assert (approval.risk_level, approval.mode) == (RiskLevel.HIGH, Mode.ENFORCE)
        approved: Any = await recorder.wait_for("approval.approved", count=2)
        assert (approved.risk_level, approved.mode) == ("high", "enforce")
        await hub.approvals.request(coder, "deploy", idempotency_key="k")
    async with Hub(store) as hub:
        (waiting,) = hub.approvals.pending()
        assert (waiting.challenge, waiting.risk_level) == (ChallengeKind.QUIZ, RiskLevel.HIGH)
        again = await hub.approvals.wait(approval.approval_id)
        assert (again.risk_level, again.mode) == (RiskLevel.HIGH, Mode.ENFORCE)


async def away(_: Question) -> bool:
    await asyncio.Event().wait()
    return False


async def agrees(_: Question) -> bool:
    return True


async def test_a_joined_question_is_asked_again() -> None:
    """By the approvers of the call that joins it: those of the one before were in another process."""
    store = MemoryStore()
    async with Hub(store) as hub:
        coder = await hub.agents.register("coder")
        policy = ApprovalPolicy(challenges=CONFIRM, approvers=[FunctionApprover("ann", away)])
        asking = asyncio.create_task(hub.approvals.gate(coder, "deploy", idempotency_key="k", policy=policy))
        await until(lambda: [each.stage for each in hub.approvals.pending()] == [ApprovalStage.CHALLENGED])
        asking.cancel()
    async with Hub(store) as hub:
        policy = ApprovalPolicy(challenges=CONFIRM, approvers=[FunctionApprover("ann", agrees)])
        coder = hub.agents.named("coder")
        approval = await hub.approvals.gate(coder, "deploy", idempotency_key="k", policy=policy)
        assert (approval.verdict, approval.approvers) == ("approved", ("ann",))


async def test_what_vouches_outlives_a_restart() -> None:
    """A name alone is no answer then, until there is a policy again that vouches."""
    store = MemoryStore()
    vouching = ApprovalPolicy(challenges=CONFIRM, vouch=lambda claim: claim.proof)
    async with Hub(store) as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy", idempotency_key="k", policy=vouching)
    async with Hub(store) as hub:
        with pytest.raises(AccessDenied, match="a policy with vouch"):
            await hub.approvals.answer(approval_id, "ann", is_passed=True)
        again = await hub.approvals.request(hub.agents.named("coder"), "deploy", idempotency_key="k", policy=vouching)
        assert again == approval_id
        with pytest.raises(AccessDenied, match="nothing vouches"):
            await hub.approvals.answer(approval_id, "ann", is_passed=True)
    async with Hub(store, approvals=vouching) as hub:
        await hub.approvals.answer(approval_id, "ann", is_passed=True, proof="ann@example.org")
        assert (await hub.approvals.wait(approval_id)).verdict == "approved"


@pytest.mark.parametrize("is_passed", [True, False])
@pytest.mark.parametrize("kept", [1, 2, 3])
async def test_a_torn_record_is_taken_up(kept: int, *, is_passed: bool) -> None:
    """A crash left so many of the events of record(): called again with its key, it ends as it would have ended."""
    store = MemoryStore()
    async with Hub(store) as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.record(coder, "deploy", approver="ann", is_passed=is_passed, idempotency_key="k")
        files = await files_of(store)
    segment = next(path for path in files if path.startswith("/journal/log/"))
    lines = files[segment].splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if b'"kind":"approval.requested"' in line)
    store = await store_of({**files, segment: b"".join(lines[: end + kept])})
    async with Hub(store, approvals=ApprovalPolicy(fail_mode=FailMode.ALLOW)) as hub:
        coder = hub.agents.named("coder")
        approval_id = await hub.approvals.record(
            coder, "deploy", approver="ann", is_passed=is_passed, idempotency_key="k"
        )
        assert hub.approvals.pending() == ()
        if is_passed:
            assert (await hub.approvals.wait(approval_id)).approvers == ("ann",)
        else:
            with pytest.raises(NotApproved) as denied:
                await hub.approvals.wait(approval_id)
            assert denied.value.verdict == "denied"
