"""Each command that takes contents of agents takes where they come from, the same way, and loses none of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hubwire import Hub
from hubwire.actors import Actor
from hubwire.approvals import ApprovalPolicy
from hubwire.arbiter import ALLOW, Command
from hubwire.challenges import Confirm, sheet_of
from hubwire.errors import AccessDenied, CommandRejected, HubError, PostRejected
from hubwire.outbound import PrivateUntrustedOutbound
from hubwire.provenance import provenance_of
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from support.odd import Hostile, Stranger


class Scoring:
    """Scores each question alike, and remembers it."""

    def __init__(self, risk: float) -> None:
        self.risk = risk
        self.asked: list[Any] = []

    def score(self, question: Any) -> float:
        self.asked.append(question)
        return self.risk


HIGH = ApprovalPolicy(scorer=Scoring(0.5))


class Answerer(Actor):
    """Answers that it was told so from the web, and reminds itself of it."""

    async def on_envelope(self, turn: Any) -> None:
        if turn.envelope.content == "ask on":
            await turn.ask("other", "a question", provenance=["agent"])
        if turn.envelope.content == "remind":
            await turn.remind(0, "of it", provenance=["memory"])
        await turn.reply("an answer", provenance=["web"])


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


async def test_a_question_and_its_answer_each_say_their_own(hub: Hub) -> None:
    """Directly and in a channel; through the hub, an agent's hub and a turn."""
    heard = Heard()
    hub.attach(heard)
    a = await hub.agents.register("a")
    echo = await hub.spawn(Answerer(), name="echo")
    await hub.spawn(Answerer(), name="other")
    channel = await hub.channels.open([a, echo.agent])
    own = hub.acting_as(a)
    answers = [
        await hub.ask(a, echo.agent, "1", provenance=["user"]),
        await hub.ask(a, echo.agent, "2", provenance=["tool", "user"], channel=channel),
        await own.ask(a, echo.agent, "3", provenance=("memory",)),
        await hub.ask(a, echo.agent, "ask on"),
    ]
    await hub.flush()
    assert [provenance_of(answer) for answer in answers] == [("web",)] * 4
    said = {event.content: provenance_of(event) for event in heard.of("envelope.posted")}
    assert said == {
        "1": ("user",),
        "2": ("user", "tool"),
        "3": ("memory",),
        "ask on": (),
        "a question": ("agent",),
        "an answer": ("web",),
    }


async def test_who_reads_an_inbox_says_it_with_the_reply_and_a_reminder_keeps_it(hub: Hub) -> None:
    heard = Heard()
    hub.attach(heard)
    a, b = await hub.agents.register("a"), await hub.agents.register("b")
    echo = await hub.spawn(Answerer(), name="echo")
    channel = await hub.channels.open([a, echo.agent])
    asked = asyncio.ensure_future(hub.ask(a, b, "?"))
    delivery = await anext(b.inbox())
    await delivery.reply("!", provenance=["tool"])
    assert provenance_of(await asked) == ("tool",)
    await channel.post(a, "remind")
    await heard.wait_for("turn.ended", count=2)
    (reminder,) = [event for event in heard.of("envelope.posted") if event.content == "of it"]
    assert provenance_of(reminder) == ("memory",)


async def test_who_approves_sees_where_the_arguments_come_from() -> None:
    """After a restart, too."""
    store, heard = MemoryStore(), Heard()
    async with Hub(store, approvals=HIGH, listeners=[heard]) as hub:
        a = await hub.agents.register("a")
        approval_id = await hub.approvals.request(a, "pay", arguments={"to": "x"}, provenance=["web", "user"])
        await hub.approvals.request(a, "rest", arguments={"to": "x"})
        waiting = asyncio.ensure_future(hub.approvals.gate(a, "pay again", provenance=["tool"]))
        await heard.wait_for("approval.requested", count=3)
        said = {each.action: each.provenance for each in hub.approvals.pending()}
        assert said == {"pay": ("user", "web"), "rest": (), "pay again": ("tool",)}
        waiting.cancel()
    async with Hub(store, approvals=HIGH) as hub:
        assert {each.action: each.provenance for each in hub.approvals.pending()}["pay"] == ("user", "web")
        recorded = Heard()
        hub.attach(recorded)
        await hub.approvals.record("a", "look", approver="ann", is_passed=True, provenance=["memory"])
        await hub.approvals.withdraw(approval_id)
        await hub.flush()
        assert [provenance_of(event) for event in recorded.of("approval.requested")] == [("memory",)]


async def test_a_scorer_is_told_and_a_sheet_shows_it() -> None:
    scoring = Scoring(0.0)
    asked = scoring.asked
    async with Hub(approvals=ApprovalPolicy(scorer=scoring)) as hub:
        a = await hub.agents.register("a")
        await hub.approvals.gate(a, "pay", arguments={"to": "x"}, provenance=["web", "tool"])
        await hub.approvals.gate(a, "pay", arguments={"to": "x"})
    assert [question.provenance for question in asked] == [("web", "tool"), ()]
    assert [("from" in dict(sheet_of(each, Confirm()).facts)) for each in asked] == [True, False]
    assert dict(sheet_of(asked[0], Confirm()).facts)["from"] == "web, tool"


async def test_tasks_say_it_of_title_progress_and_result(hub: Hub) -> None:
    heard = Heard()
    hub.attach(heard)
    a = await hub.agents.register("a")
    task = await hub.tasks.start(a, "t", provenance=["user"], source="feed")
    await task.progress("half", provenance=["tool"])
    await task.progress("more")
    await task.complete("all", provenance=["web"])
    observed = await hub.tasks.observe(a, "o", task_id="elsewhere", provenance=["agent"])
    await observed.complete()
    assert ((await task.ended()).provenance, (await observed.ended()).provenance) == (("web",), ())
    await hub.flush()
    assert [(event.kind, provenance_of(event)) for event in heard.events if event.task_id is not None] == [
        ("task.started", ("user",)),
        ("task.progressed", ("tool",)),
        ("task.progressed", ()),
        ("task.completed", ("web",)),
        ("task.started", ("agent",)),
        ("task.completed", ()),
    ]


async def test_recorded_turns_and_calls_say_it_of_beginning_and_end(hub: Hub) -> None:
    heard = Heard()
    hub.attach(heard)
    a = await hub.agents.register("a")
    async with hub.turns.turn(a, prompt="p", provenance=["user"]) as turn:
        async with turn.model("m", request="r", provenance=["memory"]) as call:
            call.done("x", input_tokens=1, provenance=["agent"])
        async with turn.tool("t", {"q": 1}, provenance=["agent"]) as tool:
            tool.done("x", provenance=["web"])
        turn.done("x", provenance=["web", "agent"])
    async with hub.turns.model("m", request="r", provenance=["tool"]) as call, hub.turns.tool("t"):
        call.done("x")
    await hub.flush()
    kinds = ("turn.", "model.", "tool.")
    assert [(event.kind, provenance_of(event)) for event in heard.events if event.kind.startswith(kinds)] == [
        ("turn.started", ("user",)),
        ("model.called", ("memory",)),
        ("model.completed", ("agent",)),
        ("tool.called", ("agent",)),
        ("tool.completed", ("web",)),
        ("turn.ended", ("web", "agent")),
        ("model.called", ("tool",)),
        ("tool.called", ()),
        ("tool.completed", ()),
        ("model.completed", ()),
    ]


async def test_the_arbiter_is_told() -> None:
    """And one that looks at it refuses: an ask, a request for approval, a reply to who asked."""
    told: dict[str, Any] = {}

    class Listening:
        def authorize(self, command: Command) -> Any:
            told[command.name] = command.facts.get("provenance")
            return ALLOW

    rule = PrivateUntrustedOutbound(
        private=["memory"], untrusted=["web"], outbound=["pay", "agent:*"], then=Listening()
    )
    async with Hub(arbiter=rule) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        await hub.tasks.start(a, "t", channel=channel, provenance=["memory"])
        approval_id = await hub.approvals.request(a, "look", channel=channel, provenance=["web"])
        for _ in range(2):
            with pytest.raises(AccessDenied, match=r"memory.*web"):
                await hub.approvals.gate(a, "pay", channel=channel)
        with pytest.raises(AccessDenied, match="strangers"):
            await hub.ask(a, b, "x", channel=channel, timeout=5)
    assert approval_id
    assert (told["start"], told["request"]) == (("memory",), ("web",))


async def test_what_is_redacted_keeps_it() -> None:
    """The mark of the rules stands beside it, and not in its place."""
    async with Hub(redactor="default") as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        posted = await channel.post(a, "mail ann@example.org", provenance=["web"])
        published = await hub.topics.publish("t.x", "mail ann@example.org", sender=a, provenance=["tool"])
        task = await hub.tasks.start(a, "t")
        await task.complete("mail ann@example.org", provenance=["memory"])
        assert (await task.ended()).provenance == ("memory",)
    assert "ann@example.org" not in str(posted.content)
    assert [provenance_of(event) for event in (posted, published)] == [("web",), ("tool",)]
    assert all("redacted" in (event.metadata or {}) for event in (posted, published))


async def test_a_word_that_is_none_is_refused_everywhere_and_changes_nothing(hub: Hub) -> None:
    heard = Heard()
    a, b = await hub.agents.register("a"), await hub.agents.register("b")
    task = await hub.tasks.start(a, "t")
    channel = await hub.channels.open([a, b])
    await channel.post(a, "x")
    delivery = await anext(b.inbox())
    await hub.flush()
    hub.attach(heard)
    odd: list[Any] = [
        "web",
        ["wbe"],
        [None],
        3,
        None,
        {"web": 1},
        ["web"] * 6,
        Stranger(),
        [Stranger()],
        Hostile(),
        [Hostile()],
    ]
    async with hub.turns.tool("t") as tool:
        for words in odd:
            for refused in (
                hub.ask(a, b, "x", provenance=words),
                hub.acting_as(a).ask(a, b, "x", provenance=words),
                hub.approvals.gate(a, "x", provenance=words),
                hub.approvals.request(a, "x", provenance=words),
                hub.approvals.record(a, "x", approver="ann", is_passed=True, provenance=words),
                hub.tasks.start(a, "x", provenance=words),
                hub.tasks.observe(a, "x", task_id="e", provenance=words),
                task.progress("x", provenance=words),
                task.complete("x", provenance=words),
            ):
                with pytest.raises(CommandRejected, match=r"\(\): (each of )?provenance is"):
                    await refused
            with pytest.raises(PostRejected, match="provenance"):
                await delivery.reply("x", provenance=words)
            for call in (
                lambda words=words: hub.turns.turn(a, provenance=words),
                lambda words=words: hub.turns.model("m", provenance=words),
                lambda words=words: hub.turns.tool("t", provenance=words),
                lambda words=words: tool.done(provenance=words),
            ):
                with pytest.raises(HubError, match="provenance is"):
                    call()
    await hub.flush()
    assert {event.kind for event in heard.events} == {"envelope.rejected", "tool.called", "tool.completed"}
    assert task.is_running
