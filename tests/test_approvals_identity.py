"""Who answers an approval: one voice for each, no agent for itself, none by a name where something vouches."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import ActingHub, Agent, BaseActor, Hub
from hubwire.approvals import ApprovalPolicy, ChallengeKind, Claim, FunctionApprover, Question, RiskLevel
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import AccessDenied, CommandRejected, ConfigurationError
from hubwire.events import ApprovalChallengeCompleted
from hubwire.testing import Recorder
from support import until

CONFIRM = dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM)


async def no_answer(_: Question) -> bool:
    raise TimeoutError("away")


async def test_an_agent_has_one_voice() -> None:
    """As itself, by its name and by its id: a quorum of two is of two agents."""
    async with Hub(approvals=ApprovalPolicy(quorum=2, challenges=CONFIRM)) as hub:
        coder, bob = await hub.agents.register("coder"), await hub.agents.register("bob")
        names: list[Any] = [bob, "bob", bob.id]
        own = hub.acting_as(bob).approvals
        for first, face in ((each, face) for each in names for face in (own, hub.approvals)):
            approval_id = await hub.approvals.request(coder, "deploy")
            await face.answer(approval_id, first, is_passed=True)
            for name in names:
                with pytest.raises(CommandRejected, match="has answered already"):
                    await own.answer(approval_id, name, is_passed=True)
                with pytest.raises(CommandRejected, match="has answered already"):
                    await hub.approvals.answer(approval_id, name, is_passed=True)
            await hub.approvals.withdraw(approval_id)


@pytest.mark.parametrize("unseen", ["\u115f", "\u1160", "\u17b4", "\u2800", "\u3164", "\uffa0", "\u034f", "\ufe0f"])
async def test_what_is_not_seen_makes_no_name(unseen: str) -> None:
    """Not of one's own, and none alone."""
    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        for name in (f"coder{unseen}", f"{unseen}coder"):
            with pytest.raises(CommandRejected, match="cannot approve its own action"):
                await hub.approvals.answer(approval_id, name, is_passed=True)
        with pytest.raises(CommandRejected, match="printable"):
            await hub.approvals.answer(approval_id, unseen, is_passed=True)
    with pytest.raises(ConfigurationError, match="text that can be seen"):
        ApprovalPolicy(approvers=[FunctionApprover(unseen, no_answer)])


async def test_approvers_differ_by_more_than_spelling() -> None:
    """Only one of them could answer, so that a quorum of both would never agree."""
    with pytest.raises(ConfigurationError, match="a different name"):
        ApprovalPolicy(quorum=2, approvers=[FunctionApprover(name, no_answer) for name in ("ann", "Ann")])


@pytest.mark.parametrize("depth", [1, 2])
async def test_no_agent_approves_by_one_that_it_made(depth: int) -> None:
    """The other way round is allowed: who registers an agent answers for it."""
    refused: list[str] = []

    class Friend(BaseActor):
        def __init__(self, level: int) -> None:
            self.name = f"friend-{level}"
            self.level = level

        async def on_start(self, hub: ActingHub, agent: Agent) -> None:
            if self.level < depth:
                await hub.spawn(Friend(self.level + 1))
                return
            with pytest.raises(CommandRejected, match="was registered by the agent that wants to act"):
                await hub.approvals.answer(approval_id, agent, is_passed=True)
            refused.append(agent.name)

    async with Hub(approvals=ApprovalPolicy(challenges=CONFIRM)) as hub:
        coder = await hub.agents.register("coder")
        face = hub.acting_as(coder)
        approval_id = await face.approvals.request(coder, "deploy")
        await face.spawn(Friend(1))
        await until(lambda: bool(refused))
        friend = hub.agents.named(refused[0])
        asked = await hub.approvals.request(friend, "deploy")
        await face.approvals.answer(asked, coder, is_passed=True)
        assert (await hub.approvals.wait(asked)).approvers == ("coder",)


async def test_an_agent_is_vouched_for_too() -> None:
    """One with the name of a person who approves is not that person."""
    claims: list[Claim] = []
    recorder = Recorder()

    def vouch(claim: Claim) -> str | None:
        claims.append(claim)
        return "the reviewer" if claim.approver_id == reviewer.id else None

    policy = ApprovalPolicy(
        challenges=CONFIRM,
        vouch=vouch,
        approvers=[FunctionApprover("ann", no_answer), FunctionApprover("r", no_answer)],
    )
    async with Hub(approvals=policy, listeners=[recorder]) as hub:
        coder, ann, reviewer = [await hub.agents.register(name) for name in ("coder", "ann", "r")]
        approval_id = await hub.approvals.request(coder, "deploy")
        for face, name in ((hub, ann), (hub.acting_as(ann), ann), (hub.acting_as(ann), "ann"), (hub, "ann")):
            with pytest.raises(AccessDenied, match="nothing vouches for 'ann'"):
                await face.approvals.answer(approval_id, name, is_passed=True)
        assert [each.approver_id for each in claims] == [ann.id, ann.id, ann.id, None]
        await hub.acting_as(reviewer).approvals.answer(approval_id, reviewer, is_passed=True)
        await hub.flush()
        (completed,) = recorder.of(ApprovalChallengeCompleted)
        assert (completed.approver, completed.identity) == ("r", "the reviewer")


async def test_the_arbiter_decides_about_a_verdict_taken_over() -> None:
    """It is an answer in the name of an approver, as one by answer()."""

    class NoAnswers:
        def authorize(self, command: Command) -> Allow | Deny:
            return Deny("no answers today") if command.name == "answer" else Allow()

    async with Hub(arbiter=NoAnswers()) as hub:
        coder = await hub.agents.register("coder")
        with pytest.raises(AccessDenied, match="no answers today"):
            await hub.approvals.record(coder, "deploy", approver="ann", is_passed=True)
        assert hub.approvals.pending() == ()


@pytest.mark.parametrize(("one", "other"), [("राम", "रमा"), ("रवि", "रवी"), ("กา", "กี"), ("Ann", "Anna"), ("か", "さ")])
async def test_names_that_differ_in_vowels_are_two(one: str, other: str) -> None:
    """In many scripts vowels are marks of letters."""
    async with Hub(approvals=ApprovalPolicy(quorum=2, challenges=CONFIRM)) as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        await hub.approvals.answer(approval_id, one, is_passed=True)
        await hub.approvals.answer(approval_id, other, is_passed=True)
        assert (await hub.approvals.wait(approval_id)).approvers == (one, other)


@pytest.mark.parametrize("mark", ["\u0301", "\u0e34", "\u093f", "\u0338", "\u20dd", "\u05b9", "\U000e0100"])
async def test_marks_on_plain_letters_make_no_name(mark: str) -> None:
    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        approval_id = await hub.approvals.request(coder, "deploy")
        for name in (f"coder{mark}", f"c{mark}oder", f"{mark}coder"):
            with pytest.raises(CommandRejected, match="cannot approve its own action"):
                await hub.approvals.answer(approval_id, name, is_passed=True)
