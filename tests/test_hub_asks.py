"""Questions that agents ask each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import Backoff, Duty, Hub, InboxRule, RetryPolicy, Turn
from hubwire.errors import (
    AskCycle,
    AskFailed,
    AskTimeout,
    CommandRejected,
    ConfigurationError,
    HubClosed,
)
from hubwire.events import Event
from hubwire.stores import FileStore
from hubwire.testing import ManualClock, Recorder
from support import advance, contents, until, until_idle
from support.actors import Collector, channel_to


def asking(name: str, calls: dict[str, Any]) -> Callable[[Turn], Awaitable[None]]:
    """An actor that, told to, asks another, and answers with what it got, or the error's class."""

    async def actor(turn: Turn) -> None:
        content = turn.content
        calls.setdefault(name, []).append(content)
        via = content["via"] if isinstance(content, dict) else []
        if not via:
            await turn.reply(name)
            return
        other = turn.hub.agents.find(via[0])
        assert other is not None
        try:
            answer = (await turn.ask(other, {"via": via[1:]}, timeout=10)).content
        except (AskCycle, AskFailed) as error:
            answer = type(error).__name__
        await turn.reply(f"{name}<{answer}")

    actor.__name__ = name
    return actor


async def test_an_answer_may_pass_several_actors() -> None:
    """Each asks the next; neither questions nor answers stay in an inbox, and the channels are closed."""
    calls: dict[str, Any] = {}
    async with Hub() as hub:
        a = await hub.spawn(asking("a", calls))
        for name in ("b", "c"):
            await hub.spawn(asking(name, calls))
        boss = await hub.agents.register("boss")
        answer = await hub.ask(boss, a.agent, {"via": ["b", "c"]})
        assert answer.content == "a<b<c"
        await until_idle()
        assert hub.statistics().envelopes_pending == 0
        assert hub.statistics().channels == 0
        assert hub.statistics().asks_pending == 0
        assert {name: len(heard) for name, heard in calls.items()} == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("via", [["a"], ["b", "a"], ["b", "c", "a"], ["b", "c", "b"]])
async def test_a_cycle_of_asks_is_refused_at_once(via: list[str], concurrency: int) -> None:
    calls: dict[str, Any] = {}
    async with Hub(clock=ManualClock()) as hub:
        a, *_ = [await hub.spawn(asking(name, calls), concurrency=concurrency) for name in "abc"]
        boss = await hub.agents.register("boss")
        answer = await hub.ask(boss, a.agent, {"via": via})
        assert answer.content.endswith("<AskCycle")
        assert answer.content.count("<") == len(via)
        await until_idle()
        assert hub.statistics().envelopes_pending == hub.statistics().channels == 0


async def test_crossing_asks_are_refused() -> None:
    """Two turns that wait for each other are a cycle, although neither caused the other."""
    both, outcomes = asyncio.Event(), dict[str, Any]()

    def crossing(name: str, other: str) -> Callable[[Turn], Awaitable[None]]:
        async def actor(turn: Turn) -> None:
            if turn.content == "question":
                await turn.reply("answer")
                return
            if len(hub.turns.open()) == 2:
                both.set()
            await both.wait()
            agent = hub.agents.find(other)
            assert agent is not None
            try:
                outcomes[name] = (await turn.ask(agent, "question")).content
            except AskCycle as error:
                outcomes[name] = error

        actor.__name__ = name
        return actor

    async with Hub(clock=ManualClock()) as hub:
        a, b = await hub.spawn(crossing("a", "b")), await hub.spawn(crossing("b", "a"))
        channel, boss = await channel_to(hub, a.agent, b.agent)
        await channel.post(boss, "go")
        await until_idle()
        refused = [name for name, outcome in outcomes.items() if isinstance(outcome, AskCycle)]
        assert len(refused) == 1
        assert [outcome for outcome in outcomes.values() if not isinstance(outcome, AskCycle)] == ["answer"]


async def test_crossing_asks_may_wait_for_free_actors() -> None:
    """While both actors may handle a further turn, crossing questions are answered."""
    both, outcomes = asyncio.Event(), list[Any]()

    def crossing(name: str, other: str) -> Callable[[Turn], Awaitable[None]]:
        async def actor(turn: Turn) -> None:
            if turn.content == "question":
                await turn.reply("answer")
                return
            if len(hub.turns.open()) == 2:
                both.set()
            await both.wait()
            agent = hub.agents.find(other)
            assert agent is not None
            outcomes.append((await turn.ask(agent, "question")).content)

        actor.__name__ = name
        return actor

    async with Hub() as hub:
        a, b = [await hub.spawn(crossing(*names), concurrency=2) for names in (("a", "b"), ("b", "a"))]
        channel, boss = await channel_to(hub, a.agent, b.agent)
        await channel.post(boss, "go")
        await until_idle()
        assert outcomes == ["answer", "answer"]


@pytest.mark.parametrize("linked", [True, False])
async def test_an_ask_times_out_by_the_clock(linked: bool) -> None:
    """The answering turn is cancelled if it is linked to the question, and goes on if not."""
    clock, recorder, release = ManualClock(), Recorder(), asyncio.Event()
    ended: list[str] = []

    async def slow(turn: Turn) -> None:
        try:
            await release.wait()
            await turn.reply("late")
            ended.append("replied")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(slow)
        boss = await hub.agents.register("boss")
        raised: list[Any] = []

        async def ask() -> None:
            with pytest.raises(AskTimeout, match="within 5 s") as caught:
                await hub.ask(boss, handle.agent, "job", timeout=5, linked=linked)
            raised.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await advance(clock, 4.9)
            assert not raised
            await advance(clock, 0.2)
        assert isinstance(raised[0], TimeoutError)
        release.set()
        await until_idle()
        assert ended == (["cancelled"] if linked else ["replied"])
        assert handle.is_running
        assert hub.statistics().envelopes_pending == 0
        assert hub.statistics().channels == 0
        await hub.flush()
        assert len(recorder.of("turn.abandoned")) == (1 if linked else 0)
        assert recorder.of("turn.failed") == []


async def test_a_timeout_says_that_the_turn_failed() -> None:
    """With what, and which event says so; the turn may be tried again later, so the question waited on."""
    clock, recorder = ManualClock(), Recorder()

    async def clerk(turn: Turn) -> None:
        raise ValueError("no such\n\x1bform " + "x" * 10_000)

    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(clerk, retry=RetryPolicy(backoff=Backoff(1000)))
        boss = await hub.agents.register("boss")

        async def ask() -> None:
            with pytest.raises(
                AskTimeout, match=r"^agent 'clerk' has not answered within 5 s; its turn failed"
            ) as caught:
                await hub.ask(boss, handle.agent, "job", timeout=5)
            (failed,) = recorder.of("turn.failed")
            said = str(caught.value)
            assert "failed with ValueError: no such  form xxx" in said
            assert said.endswith(f"(turn.failed, seq {failed.seq})")
            assert len(said) < 500
            assert said.isprintable()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await advance(clock, 5.1)


async def test_an_abandoned_question_is_not_handled() -> None:
    """A question whose asker is cancelled before its turn begins is dropped."""
    release, heard = asyncio.Event(), []

    async def busy(turn: Turn) -> None:
        heard.append(turn.content)
        await release.wait()

    async with Hub() as hub:
        handle = await hub.spawn(busy)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "first")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.ask, boss, handle.agent, "question")
            await until_idle()
            assert contents(hub, handle.agent) == ["first", "question"]
            tasks.cancel_scope.cancel()
        release.set()
        await until_idle()
        assert heard == ["first"]
        assert hub.statistics().envelopes_pending == 0


async def test_a_question_ends_with_its_hub(tmp_path: Path) -> None:
    """The next hub on the same store does not handle a question of a hub that was closed."""
    async with Hub(FileStore(tmp_path)) as hub:
        worker, boss = await hub.agents.register("worker"), await hub.agents.register("boss")
        channel = await hub.channels.open([boss, worker])
        asked = asyncio.create_task(hub.ask(boss, worker, "question", channel=channel))
        await channel.post(boss, "order", to=[worker])
        await until(lambda: len(contents(hub, worker)) == 2)
    with pytest.raises((HubClosed, AskFailed)):
        await asked
    actor = Collector()
    async with Hub(FileStore(tmp_path)) as hub:
        await hub.spawn(actor)
        await until(lambda: not contents(hub, worker))
    assert actor.heard == ["order"]


async def test_an_answer_may_be_posted_by_hand() -> None:
    """In a given channel, an envelope that answers the question is the answer, and leaves the inbox."""
    async with Hub() as hub:
        worker, asker = await hub.agents.register("worker"), await hub.spawn(Collector(), name="asker")
        other = await hub.agents.register("other")
        channel = await hub.channels.open([asker.agent, worker, other])
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await hub.ask(asker.agent, worker, "question", channel=channel))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            question = await anext(worker.inbox())
            await channel.post(worker, "by the way")
            await channel.post(worker, "between us", to=[other], caused_by=question)
            await channel.post(other, "nobody asked me", to=[asker.agent], caused_by=question)
            await channel.post(worker, "answer", to=[asker.agent], caused_by=question)
        assert answers[0].content == "answer"
        assert channel.is_open
        await until_idle()
        assert contents(hub, asker.agent) == []
        assert asker.statistics().handled == 2


async def test_an_ask_fails_when_no_answer_can_come() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        worker = await hub.agents.register("worker", rule={"inbox": InboxRule(deliveries_max=1)})
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, worker])
        handle = await hub.spawn(Collector(), name="worker")
        with pytest.raises(AskFailed, match="dead-lettered"):
            await hub.ask(boss, worker, {"crash": True})
        await handle.stop()

        async def fails(how: Callable[[], Awaitable[Any]]) -> None:
            async def ask() -> None:
                with pytest.raises(AskFailed):
                    await hub.ask(boss, worker, "question", channel=channel)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await until_idle()
                await how()

        await fails(channel.close)
        channel = await hub.channels.open([boss, worker])
        await fails(worker.unregister)
        with pytest.raises(CommandRejected):
            await hub.ask(boss, boss, "?", timeout=0)
        with pytest.raises(AskCycle):
            await hub.ask(boss, boss, "?")


async def test_a_required_listener_cannot_ask() -> None:
    """The commit would wait for the listener, and the listener for the commit."""
    errors: list[Any] = []
    async with Hub() as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")

        async def listener(event: Event) -> None:
            try:
                await hub.ask(boss, worker, "?")
            except ConfigurationError as error:
                errors.append(error)

        await hub.attach(listener, duty=Duty.REQUIRED, pattern="channel.opened").ready()
        await hub.channels.open([boss, worker])
        assert len(errors) == 1
