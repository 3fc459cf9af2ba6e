"""Challenges with content, and the terminal on which a person meets them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from hubwire import ApprovalPolicy, Hub
from hubwire.approvals import DEFAULT_CHALLENGES, ChallengeKind, Question, RiskLevel
from hubwire.challenges import Confirm, Person, Quiz, Reply, SeveralPeople, Sheet, TeachBack, TerminalRenderer, sheet_of
from hubwire.errors import ConfigurationError, NotApproved

QUESTION = Question(
    approval_id="", agent_id="", agent_name="coder", action="deploy", arguments={"to": "prod", "replicas": 3}
)


class Scripted:
    """A renderer that replies with what it was given."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.sheets: list[Sheet] = []

    def ask(self, sheet: Sheet) -> Reply:
        self.sheets.append(sheet)
        found: Reply = self.reply
        return found


YES = Reply(is_yes=True, replies=("prod", "3"))


async def verdict(reply: Any, kind: ChallengeKind = ChallengeKind.QUIZ, **more: Any) -> str:
    challenges = {**DEFAULT_CHALLENGES, RiskLevel.HIGH: kind}
    policy = ApprovalPolicy(approvers=[Person("ann", Scripted(reply)), Person("bob", Scripted(reply))], **more)
    policy = attrs.evolve(policy, challenges=challenges)
    async with Hub(approvals=policy) as hub:
        coder = await hub.agents.register("coder")
        try:
            return (await hub.approvals.gate(coder, "deploy", arguments={"replicas": 3, "to": "prod"})).verdict
        except NotApproved as error:
            return error.reason


async def test_a_quiz_has_to_be_passed() -> None:
    """Values are asked in the order of the arguments."""
    assert [each.text for each in Quiz().prompts(QUESTION)] == ["Type the value of to", "Type the value of replicas"]
    assert await verdict(Reply(is_yes=True, replies=("3", "prod"))) == "approved"
    assert "the quiz was not passed" in await verdict(Reply(is_yes=True, replies=("4", "prod")))
    assert "the quiz was not passed" in await verdict(Reply(is_yes=True))
    assert await verdict(Reply(is_yes=False, reason="not today")) == "not today"


async def test_a_confirmation_is_a_yes() -> None:
    assert await verdict(Reply(is_yes=True), ChallengeKind.CONFIRM) == "approved"


async def test_several_people_pass_one_each() -> None:
    """The hub counts them."""
    reply = Reply(is_yes=True, replies=("3", "prod"))
    assert await verdict(reply, ChallengeKind.MULTI_PARTY) == "approved"
    assert Quiz().prompts(QUESTION) == SeveralPeople().prompts(QUESTION)


def test_teaching_back_takes_words_of_ones_own() -> None:
    """As many different ones as needed, and the action's name."""
    teach = TeachBack(words_min=5)
    assert "4 different words" in teach.check(QUESTION, ["deploy the the site now"])
    assert "does not name" in teach.check(QUESTION, ["it puts the site on all machines"])
    assert teach.check(QUESTION, ["Deploy: the site goes to all machines"]) == ""
    assert TeachBack(check=lambda _, text: "prod" in text).check(QUESTION, ["into prod"]) == ""
    assert TeachBack(check=lambda _, text: "prod" in text).check(QUESTION, []) != ""


@pytest.mark.parametrize("reply", [None, 5, "yes", Reply(is_yes="yes", replies=("3", "prod"))])  # type: ignore[arg-type]
async def test_nonsense_of_a_renderer_is_no_yes(reply: Any) -> None:
    found = await verdict(reply)
    assert found != "approved"


def test_what_an_agent_wrote_stays_on_its_line() -> None:
    """Escape sequences and line breaks are written out."""
    evil = "\x1b[2J\nrisk  0.00 (low)\u202e"
    question = attrs.evolve(QUESTION, agent_name=evil, action=evil, arguments={evil: [evil, "x" * 5000]})
    sheet = sheet_of(question, Confirm())
    for text in (sheet.title, *(part for fact in sheet.facts for part in fact)):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 2100


async def test_a_person_answers_on_a_terminal() -> None:
    screen = io.StringIO()
    renderer = TerminalRenderer(io.StringIO("y\n3\nprod\n"), screen)
    async with Hub(approvals=ApprovalPolicy(approvers=[Person("ann", renderer)])) as hub:
        coder = await hub.agents.register("coder")
        approval = await hub.approvals.gate(coder, "deploy", arguments={"to": "prod", "replicas": 3})
        assert approval.approvers == ("ann",)
    assert "coder wants to do deploy" in screen.getvalue()
    assert "Type the value of replicas: " in screen.getvalue()


@pytest.mark.parametrize("typed", ["", "n\nno\n", "y\n3\n", "y\n3\nwrong\n"])
async def test_a_terminal_that_ends_is_no_yes(typed: str) -> None:
    renderer = TerminalRenderer(io.StringIO(typed), io.StringIO())
    async with Hub(approvals=ApprovalPolicy(approvers=[Person("ann", renderer)])) as hub:
        coder = await hub.agents.register("coder")
        with pytest.raises(NotApproved):
            await hub.approvals.gate(coder, "deploy", arguments={"to": "prod", "replicas": 3})


async def test_a_terminal_that_waits_holds_up_nothing() -> None:
    """The time of the approval ends, and so does the program."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin, os.fdopen(writer, "w"):
        policy = ApprovalPolicy(approvers=[Person("ann", TerminalRenderer(stdin, io.StringIO()))], timeout_seconds=0.05)
        async with Hub(approvals=policy) as hub:
            coder = await hub.agents.register("coder")
            with pytest.raises(NotApproved, match="its time was up"):
                await hub.approvals.gate(coder, "deploy")
            assert hub.health().problems == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Person("", Scripted(YES)),
        lambda: Person("ann", None),  # type: ignore[arg-type]
        lambda: Quiz(0),
        lambda: TeachBack(words_min=-1),
        lambda: TeachBack(check=5),  # type: ignore[arg-type]
    ],
    ids=[str(number) for number in range(5)],
)
def test_an_impossible_challenge_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()
