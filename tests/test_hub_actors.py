"""Actors: objects that handle the envelopes of agents, one life after another, and ask each other."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import Agent, BaseActor, Channel, Duty, Hub, InboxRule, Restart, Turn, scope
from hubwire.errors import (
    AskCycle,
    AskFailed,
    AskTimeout,
    CommandRejected,
    ConfigurationError,
    HubClosed,
    HubFailed,
    StoreError,
)
from hubwire.events import Event
from hubwire.listener import BaseHubListener
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import advance, contents, until, until_idle


class Collector(BaseActor):
    """Remembers what it was told; raises what it is given."""

    name = "worker"

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.calls: list[str] = []

    async def on_start(self, hub: Any, agent: Agent) -> None:
        self.calls.append("start")

    async def on_envelope(self, turn: Turn, /) -> None:
        self.heard.append(turn.content)
        if isinstance(turn.content, dict) and turn.content.get("crash"):
            raise ValueError("too hard")

    async def on_stop(self) -> None:
        self.calls.append("stop")


async def channel_to(hub: Hub, *others: Agent) -> tuple[Channel, Agent]:
    boss = hub.agents.find("boss") or await hub.agents.register("boss")
    return await hub.channels.open([boss, *others]), boss


async def test_an_actor_handles_its_envelopes_in_order() -> None:
    """Each is acked when its turn has ended."""
    recorder, worker = Recorder(), Collector()
    async with Hub(listeners=[recorder]) as hub:
        handle = await hub.spawn(worker, capabilities=["python"])
        assert handle.name == "worker"
        assert handle.is_running
        assert hub.agents.list(capability="python") == [handle.agent]
        channel, boss = await channel_to(hub, handle.agent)
        for number in range(3):
            await channel.post(boss, number)
        await until_idle()
        assert worker.heard == [0, 1, 2]
        assert hub.statistics().envelopes_pending == 0
        assert [each.handled for each in hub.statistics().actors] == [3]
        assert len(recorder.of("turn.started")) == len(recorder.of("turn.ended")) == 3
        ended = recorder.of("turn.ended")[0]
        posted = recorder.of("envelope.posted")[0]
        assert (ended.agent_id, ended.causation_id) == (handle.agent.id, posted.id)
        assert hub.turns.open() == ()
    assert worker.calls == ["start", "stop"]


async def test_a_function_or_a_class_may_act() -> None:
    heard = []

    async def listener(turn: Turn) -> None:
        heard.append(turn.content)

    made: list[Collector] = []

    def make() -> Collector:
        made.append(Collector())
        return made[-1]

    async with Hub() as hub:
        first = await hub.spawn(listener)
        second = await hub.spawn(make, name="second")
        assert (first.name, second.name) == ("listener", "second")
        channel, boss = await channel_to(hub, first.agent, second.agent)
        await channel.post(boss, "hello")
        await until_idle()
    assert heard == made[0].heard == ["hello"]


@pytest.mark.parametrize("candidate", [object(), 42, Hub, lambda: 42])
async def test_a_wrong_actor_is_refused(candidate: Any) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError):
            await hub.spawn(candidate, name="x")
        await until_idle()
        assert hub.statistics().actors == ()


async def test_an_agent_has_one_actor() -> None:
    """A second actor of the same agent is refused, and the first goes on."""
    worker = Collector()
    async with Hub() as hub:
        handle = await hub.spawn(worker)
        with pytest.raises(CommandRejected, match="has an actor already"):
            await hub.spawn(Collector())
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, 1)
        await until_idle()
        await handle.stop()
        assert await handle.wait() == "stopped"
        again = await hub.spawn(Collector())
        assert again.agent == handle.agent
    assert worker.heard == [1]
    with pytest.raises(HubClosed):
        await hub.spawn(Collector())


async def test_a_crash_redelivers_to_a_restarted_actor() -> None:
    """A crash is a failed turn; the restarted actor gets the envelope again."""

    class Hooked(BaseHubListener):
        def __init__(self) -> None:
            self.failures: list[Any] = []

        async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: Any) -> None:
            self.failures.append((channel_id, agent_id, envelope_id, exc.type, exc.message))

    clock, recorder, hooked, lives = ManualClock(), Recorder(), Hooked(), list[Collector]()

    class Unsteady(Collector):
        def __init__(self) -> None:
            super().__init__()
            lives.append(self)

        async def on_envelope(self, turn: Turn, /) -> None:
            self.heard.append((turn.content, turn.delivery.attempt))
            if turn.delivery.attempt == 1:
                raise ValueError("too hard")

    async with Hub(clock=clock, listeners=[recorder, hooked]) as hub:
        handle = await hub.spawn(Unsteady)
        channel, boss = await channel_to(hub, handle.agent)
        posted = await channel.post(boss, "job")
        await until_idle()
        assert not handle.is_running
        assert contents(hub, handle.agent) == ["job"]
        await advance(clock, 0.1)
        assert handle.is_running
        await advance(clock, 0.9)
        assert [life.heard for life in lives] == [[("job", 1)], [("job", 2)]]
        assert [life.calls for life in lives] == [["start", "stop"], ["start"]]
        assert contents(hub, handle.agent) == []
        await hub.flush()
        assert hooked.failures == [(channel.id, handle.agent.id, posted.envelope_id, "ValueError", "too hard")]
        crashed = recorder.of("actor.crashed")[0]
        assert (crashed.error_type, crashed.group) == ("ValueError", "worker")
        assert 0 <= crashed.backoff_seconds <= 0.1
        assert [event.starts for event in recorder.of("actor.started")] == [1, 2]
        assert handle.statistics().crashes == 1
        assert hub.health().healthy


async def test_a_crashed_actor_handles_nothing_more() -> None:
    """Envelopes that follow the crash stay for the next life."""
    worker = Collector()
    async with Hub() as hub:
        handle = await hub.spawn(worker, restart=Restart.TEMPORARY, retry_seconds=0)
        channel, boss = await channel_to(hub, handle.agent)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.post, boss, {"crash": True})
            tasks.start_soon(channel.post, boss, "next")
        await handle.wait()
        assert worker.heard == [{"crash": True}]
        assert contents(hub, handle.agent) == ["next", {"crash": True}]


async def test_a_poisonous_envelope_is_dead_lettered() -> None:
    """An envelope that crashes its actor each time is dead-lettered, and the next one is handled."""
    clock, recorder, worker = ManualClock(), Recorder(), Collector()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(worker, rule={"inbox": InboxRule(deliveries_max=5)})
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, {"crash": True})
        for _ in range(200):
            await advance(clock, 0.1)
        await channel.post(boss, "next")
        await until_idle()
        assert worker.heard == [{"crash": True}] * 5 + ["next"]
        assert [event.attempts for event in recorder.of("envelope.dead_lettered")] == [5]
        assert hub.health().healthy


@pytest.mark.parametrize(
    "raised", [asyncio.CancelledError(), SystemExit(3), BaseExceptionGroup("two", [SystemExit(1)]), GeneratorExit()]
)
@pytest.mark.parametrize("where", ["on_start", "on_envelope", "on_stop"])
async def test_actors_cannot_take_the_hub_down(raised: BaseException, where: str) -> None:
    """Not even a cancellation, an exit or a group of exits leaves its actor."""
    clock = ManualClock()
    worker: Any = Collector()

    async def fail(*_: Any) -> None:
        raise raised

    async with Hub(clock=clock) as hub:
        other = await hub.spawn(Collector(), name="other")
        setattr(worker, where, fail)
        if where == "on_start":
            with pytest.raises(RuntimeError):
                await hub.spawn(worker)
        else:
            handle = await hub.spawn(worker)
            channel, boss = await channel_to(hub, handle.agent)
            await channel.post(boss, "job")
            await until_idle()
            await handle.stop()
            assert handle.statistics().crashes == 1
        assert other.is_running
        assert hub.health().healthy


async def test_a_slow_actor_delays_only_itself() -> None:
    """It delays no other actor and no emitter."""
    release, heard = asyncio.Event(), []

    async def slow(turn: Turn) -> None:
        await release.wait()
        heard.append(turn.content)

    quick = Collector()
    async with Hub() as hub:
        a, b = await hub.spawn(slow), await hub.spawn(quick)
        channel, boss = await channel_to(hub, a.agent, b.agent)
        for number in range(100):
            await channel.post(boss, number)
        await until_idle()
        assert quick.heard == list(range(100))
        assert heard == []
        release.set()
        await until_idle()
        assert heard == list(range(100))


async def test_concurrency_bounds_the_turns_of_an_actor() -> None:
    release, at_work, most = asyncio.Event(), 0, 0

    async def work(turn: Turn) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await release.wait()
        at_work -= 1

    async with Hub() as hub:
        handle = await hub.spawn(work, concurrency=3)
        channel, boss = await channel_to(hub, handle.agent)
        for number in range(7):
            await channel.post(boss, number)
        await until_idle()
        assert at_work == 3
        assert len(hub.turns.open()) == 3
        release.set()
        await until_idle()
        assert (most, at_work) == (3, 0)
        assert contents(hub, handle.agent) == []
        with pytest.raises(ConfigurationError):
            await hub.spawn(work, name="none", concurrency=0)


async def test_an_actor_may_ack_or_nack_itself() -> None:
    """An actor that acks or nacks a delivery itself has decided: the hub adds nothing to it."""
    attempts = []

    async def picky(turn: Turn) -> None:
        attempts.append(turn.delivery.attempt)
        await (turn.delivery.nack("later") if turn.delivery.attempt == 1 else turn.delivery.ack())

    async with Hub() as hub:
        handle = await hub.spawn(picky)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "job")
        await until_idle()
        assert attempts == [1, 2]
        assert contents(hub, handle.agent) == []


async def test_a_turn_inherits_the_correlation_id() -> None:
    """What a turn emits has the correlation id of its envelope, not that of the code that spawned the actor."""
    recorder = Recorder()

    async def echo(turn: Turn) -> None:
        await turn.reply(turn.content, idempotency_key=turn.id)

    async with Hub(listeners=[recorder]) as hub:
        with scope(correlation_id="of the spawner"):
            handle = await hub.spawn(echo)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "without")
        inbox = boss.inbox()
        assert (await anext(inbox)).event.correlation_id is None
        with scope(correlation_id="c-1", tenant="acme"):
            await channel.post(boss, "job")
        answer = await anext(inbox)
        assert (answer.event.correlation_id, answer.event.tenant, answer.event.hops) == ("c-1", "acme", 1)
        await hub.flush()
        assert {event.correlation_id for event in recorder.events if event.kind.startswith("turn.")} == {None, "c-1"}


async def test_an_actor_ends_with_its_agent() -> None:
    """It also ends when its turn calls `stop`."""

    async def once(turn: Turn) -> None:
        turn.stop()

    async with Hub() as hub:
        gone, done = await hub.spawn(Collector()), await hub.spawn(once, restart=Restart.TRANSIENT)
        channel, boss = await channel_to(hub, done.agent)
        await channel.post(boss, 1)
        await channel.post(boss, 2)
        assert await done.wait() == "it came to its end"
        assert contents(hub, done.agent) == [2]
        await gone.agent.unregister()
        assert await gone.wait() == "its agent has left the hub"
        assert hub.statistics().actors == ()


async def test_stopping_cancels_turns_after_the_grace() -> None:
    """A turn that is cancelled leaves its envelope in the inbox."""
    clock, recorder, release = ManualClock(), Recorder(), asyncio.Event()

    async def slow(turn: Turn) -> None:
        await release.wait()

    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(slow)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, 1)
        await channel.post(boss, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(handle.stop, grace_seconds=10))
            await advance(clock, 9.9)
            assert handle.is_running
            await advance(clock, 0.2)
        assert not handle.is_running
        assert contents(hub, handle.agent) == [1, 2]
        await hub.flush()
        assert recorder.of("turn.abandoned")[0].reason == "the actor was stopped"
        release.set()
        await hub.spawn(slow)
        await until_idle()
        assert contents(hub, handle.agent) == []


# --- restarts of the hub ----------------------------------------------------------------------------------------------


async def test_inboxes_survive_the_close_of_a_hub(tmp_path: Path) -> None:
    """A close stops the actors in order; the next start goes on with their inboxes."""
    stopped: list[str] = []

    class Stuck(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            await anyio.sleep_forever()

        async def on_stop(self) -> None:
            await hub.agents.register(f"late {len(stopped)}")
            stopped.append(self.name)

    def stuck(name: str) -> Stuck:
        actor = Stuck()
        actor.name = name
        return actor

    async with Hub(FileStore(tmp_path), close_seconds_max=0.4) as hub:
        handles = [await hub.spawn(stuck(name)) for name in ("first", "second", "third")]
        channel, boss = await channel_to(hub, *(each.agent for each in handles))
        await channel.post(boss, "job")
        await until(lambda: len(hub.turns.open()) == 3)
    assert stopped == ["third", "second", "first"]

    worker, recorder = Collector(), Recorder()
    async with Hub(FileStore(tmp_path), listeners=[recorder]) as hub:
        assert hub.agents.find("late 2") is not None
        handle = await hub.spawn(worker, name="second", capabilities=["ignored"])
        assert handle.agent == handles[1].agent
        await until(lambda: not contents(hub, handle.agent))
        assert worker.heard == ["job"]
        assert contents(hub, handles[0].agent) == ["job"]


async def test_idle_actors_are_stopped_in_order() -> None:
    stopped: list[str] = []

    class Idle(BaseActor):
        async def on_stop(self) -> None:
            stopped.append(self.name)

    async with Hub() as hub:
        team = hub.supervise("team")
        for name in ("first", "second", "third"):
            actor = Idle()
            actor.name = name
            await team.spawn(actor)
    assert stopped == ["third", "second", "first"]


async def test_a_busy_actor_is_not_a_cycle() -> None:
    """A question to an actor that is busy with other work waits."""
    release, answers = asyncio.Event(), list[Any]()

    async def busy(turn: Turn) -> None:
        await release.wait()
        await turn.reply("at last")

    async def asker(turn: Turn) -> None:
        answers.append((await turn.ask(worker.agent, "question")).content)

    async with Hub(clock=ManualClock()) as hub:
        worker, curious = await hub.spawn(busy), await hub.spawn(asker)
        channel, boss = await channel_to(hub, worker.agent, curious.agent)
        await channel.post(boss, "first", to=[worker.agent])
        await until_idle()
        await channel.post(boss, "go", to=[curious.agent])
        await until_idle()
        release.set()
        await until_idle()
        assert answers == ["at last"]


async def test_closing_lets_a_turn_end(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(turn: Turn) -> None:
        await release.wait()
        await turn.reply("done")

    async with Hub(FileStore(tmp_path)) as hub:
        handle = await hub.spawn(slow)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "job")
        await until(lambda: len(hub.turns.open()) == 1)
        asyncio.get_running_loop().call_soon(release.set)
    async with Hub(FileStore(tmp_path)) as hub:
        assert contents(hub, handle.agent) == []
        assert contents(hub, boss) == ["done"]


async def test_a_hanging_on_stop_is_cancelled_at_the_deadline() -> None:
    class Hanging(BaseActor):
        async def on_stop(self) -> None:
            await anyio.sleep_forever()

    recorder = Recorder()
    async with Hub(close_seconds_max=0.1, listeners=[recorder]) as hub:
        await hub.spawn(Hanging())
        await hub.spawn(Hanging, name="another")
    assert "TimeoutError" in recorder.of("actor.stopped")[0].reason
    assert recorder.kinds[-1] == "hub.stopped"


async def test_an_actor_may_close_its_own_hub() -> None:
    """It does not wait for itself."""

    async def closer(turn: Turn) -> None:
        await hub.aclose()

    async with Hub() as hub:
        handle = await hub.spawn(closer)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "close")
        assert await handle.wait() == "stopped"


async def test_actors_end_with_a_failing_hub() -> None:
    class Full(MemoryStore):
        async def append(self, *args: Any, **kwargs: Any) -> int:
            if broken:
                raise StoreError("the disk is gone")
            return await super().append(*args, **kwargs)

    broken, worker = False, Collector()
    with pytest.raises(HubFailed):
        async with Hub(Full()) as hub:
            handle = await hub.spawn(worker)
            channel, boss = await channel_to(hub, handle.agent)
            broken = True
            with pytest.raises(HubFailed):
                await channel.post(boss, "job")
            assert await handle.wait() == "the hub has ended"
    assert worker.calls == ["start", "stop"]
    assert worker.heard == []


# --- asking -----------------------------------------------------------------------------------------------------------


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
        with pytest.raises(ConfigurationError):
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


# --- killed -----------------------------------------------------------------------------------------------------------

EXAMPLE = Path(__file__).parents[1] / "examples" / "10_team_of_actors.py"
DYING = """
import os, runpy, signal, sys
from hubwire.stores import FileStore
example, directory, moment, left = sys.argv[1:4] + [int(sys.argv[4])]
begin_append = FileStore.begin_append

def dying_append(self, path, content, *, done, **kwargs):
    global left
    left -= 1
    dies = left == 0
    if dies and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)

    def die_or(*outcome):
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        done(*outcome)

    begin_append(self, path, content, done=die_or, **kwargs)

FileStore.begin_append = dying_append
sys.argv = [example, directory]
runpy.run_path(example, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("appends", [10, 13, 17, 22])
async def test_a_killed_team_ends_with_the_same_result(tmp_path: Path, moment: str, appends: int) -> None:
    """However often it is killed, the team goes on and ends with the same result."""
    command = [sys.executable, "-P", "-c", DYING, str(EXAMPLE), str(tmp_path), moment, str(appends)]
    lives = 0
    printed = b""
    while not printed:
        lives += 1
        assert lives < 30, "it never comes to its end"
        done = await anyio.run_process(command, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        printed = done.stdout
    assert printed == b"shipped: 17\n"
    assert lives > 1
    # Whatever was interrupted, everything was said once, and the work was done in one piece.
    async with Hub(FileStore(tmp_path)) as hub:
        events: list[Any] = await history(hub)
    posted = [event.content for event in events if event.kind == "envelope.posted"]
    assert [set(content) for content in posted] == [{"order"}, {"parts"}, {"size", "handoff"}, {"shipped"}]
    assert [event.checkpoint for event in events if event.kind == "task.checkpointed"][-1] == (1, 5, 2, 4, 1, 4)
    assert len({event.agent_id for event in events if event.kind == "agent.registered"}) == 4
    assert [event for event in events if event.kind in ("turn.failed", "envelope.dead_lettered")] == []
