"""Several actors on one inbox: who gets which envelope, and what becomes of it when a worker crashes or hangs."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import anyio
import pytest

from hubwire import Backoff, BaseActor, Escalate, Hub, InboxRule, Restart, RetryPolicy, Turn
from hubwire.errors import AskCycle, ConfigurationError
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle
from support.actors import channel_to


class Worker(BaseActor):
    """Waits for its gate at what has one, and says what else it was given to all workers' list."""

    heard: ClassVar[list[tuple[int, Any]]] = []
    gate: ClassVar[anyio.Event] = anyio.Event()

    async def on_envelope(self, turn: Turn, /) -> None:
        Worker.heard.append((id(self), turn.content))
        if turn.content == "crash":
            raise Escalate("too hard")
        if turn.content in ("wait", "hang") and turn.delivery.attempt == 1:
            await Worker.gate.wait()


@pytest.fixture(autouse=True)
def fresh() -> None:
    Worker.heard, Worker.gate = [], anyio.Event()


async def test_each_envelope_goes_to_one_worker() -> None:
    """Two are held at a time, none twice, and each worker is counted by itself."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle = await hub.spawn(Worker, name="coder", workers=2)
        channel, boss = await channel_to(hub, handle.agent)
        for content in ("wait", "wait", "third", "fourth"):
            await channel.post(boss, content)
        await until_idle()
        assert [content for _, content in Worker.heard] == ["wait", "wait"]
        assert len({worker for worker, _ in Worker.heard}) == 2
        Worker.gate.set()
        await until(lambda: handle.statistics().handled == 4)
        assert sorted(content for _, content in Worker.heard) == ["fourth", "third", "wait", "wait"]
        one, two = handle.workers()
        assert (one.worker, two.worker) == (1, 2)
        assert one.handled + two.handled == 4
        assert min(one.handled, two.handled) >= 1
        assert hub.statistics().actors == (one, two)
        assert (handle.statistics().starts, handle.statistics().worker) == (2, None)
        await hub.flush()
        assert [event.worker for event in recorder.of("actor.started")] == [1, 2]


@pytest.mark.slow
async def test_a_free_colleague_takes_over_before_the_restart() -> None:
    """No clock moves: what a crashed worker held beside is handled by the other one in the same instant."""
    begun, gates = list[tuple[int, Any]](), {"crash": anyio.Event(), "busy": anyio.Event()}

    class Two(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            begun.append((id(self), turn.content))
            if turn.content == "busy":
                await gates["busy"].wait()
            elif turn.content == "crash":
                await gates["crash"].wait()
                raise Escalate("too hard")
            elif [content for _, content in begun].count(turn.content) == 1:
                await anyio.sleep_forever()

    async with Hub(clock=ManualClock()) as hub:
        handle = await hub.spawn(Two, name="coder", workers=2, concurrency=2)
        channel, boss = await channel_to(hub, handle.agent)
        for content in ("crash", "held", "busy", "held 2"):
            await channel.post(boss, content)
        await until_idle()
        crashed = next(worker for worker, content in begun if content == "crash")
        mine = [content for worker, content in begun if worker == crashed]
        gates["busy"].set()
        await until_idle()
        gates["crash"].set()
        await until_idle()
        again = begun[4:]
        assert [content for _, content in again] == [content for content in mine if content.startswith("held")]
        assert all(worker != crashed for worker, _ in again)
        assert handle.is_running


async def test_a_hanging_workers_envelope_returns_after_its_time() -> None:
    """The turn is cancelled and has failed; the envelope goes to the next free worker as a second attempt."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        retry = RetryPolicy(backoff=Backoff(seconds=1))
        handle = await hub.spawn(Worker, name="coder", workers=2, visibility_seconds=30, retry=retry)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "hang")
        await until_idle()
        clock.advance(29.9)
        await until_idle()
        assert len(Worker.heard) == 1
        assert handle.statistics().failed == 0
        clock.advance(0.2)
        await until(lambda: handle.statistics().failed == 1)
        clock.advance(1)
        await until(lambda: handle.statistics().handled == 1)
        await hub.flush()
        (failed,) = recorder.of("turn.failed")
        assert failed.error_type == "TimeoutError"
        assert "visibility_seconds=30" in failed.error_message
        assert [event.attempt for event in recorder.of("envelope.nacked")] == [1]
        assert len(recorder.of("envelope.acked")) == 1
        assert handle.statistics().crashes == 0


@pytest.mark.slow
async def test_a_late_ack_of_a_hanging_turn_is_fenced() -> None:
    """A turn that swallows its cancellation is left behind; what it says afterwards changes nothing."""
    late, results = anyio.Event(), list[bool]()

    async def stubborn(turn: Turn) -> None:
        if turn.delivery.attempt == 1:
            while not late.is_set():
                try:
                    await late.wait()
                except asyncio.CancelledError:
                    pass
            results.append(await turn.delivery.ack())

    async with Hub() as hub:
        retry = RetryPolicy(backoff=Backoff(seconds=0.01))
        handle = await hub.spawn(stubborn, name="coder", workers=2, visibility_seconds=0.05, retry=retry)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "job")
        await until(lambda: handle.statistics().handled == 1)
        late.set()
        await until(lambda: bool(results))
        assert results == [False]
        assert handle.statistics().failed == 1


async def test_a_turn_that_ends_in_time_is_left_alone() -> None:
    async with Hub() as hub:
        handle = await hub.spawn(Worker, name="coder", workers=2, visibility_seconds=3600)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "quick")
        await until(lambda: handle.statistics().handled == 1)
        assert handle.statistics().failed == 0


async def test_a_stop_drains_all_workers() -> None:
    """What they hold has its grace together, what waits stays, and the agent may have actors again."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        handle = await hub.spawn(Worker, name="coder", workers=3)
        channel, boss = await channel_to(hub, handle.agent)
        for content in ("wait", "wait", "wait", "later"):
            await channel.post(boss, content)
        await until_idle()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: handle.stop(grace_seconds=10))
            await until_idle()
            Worker.gate.set()
        assert handle.statistics().handled == 3
        assert not handle.is_running
        assert await handle.wait() == "stopped"
        assert hub.statistics().actors == ()
        again = await hub.spawn(Worker, name="coder", workers=2)
        await until(lambda: again.statistics().handled == 1)
        assert Worker.heard[-1][1] == "later"


async def test_workers_are_one_to_their_agent() -> None:
    """A second spawn is refused and names the way; a handle stands for all; the last one that stops counts."""
    async with Hub(clock=ManualClock()) as hub:
        group = hub.supervise("coders")
        handle = await group.spawn(Worker, name="coder", workers=2, restart=Restart.TEMPORARY)
        with pytest.raises(Exception, match="workers=2"):
            await hub.spawn(Worker, name="coder")
        assert [each.name for each in group.members] == ["coder"]
        other = await hub.spawn(Worker, name="other")
        handle.link(other)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "crash")
        await until_idle()
        assert [worker.is_running for worker in handle.workers()].count(True) == 1
        assert handle.is_running
        assert other.is_running
        await channel.post(boss, "fine")
        await until(lambda: handle.statistics().handled == 1)
        await channel.post(boss, "crash")
        await until(lambda: not other.is_running)
        assert not handle.is_running
        assert not group.members


async def test_workers_that_cannot_start_leave_none() -> None:
    made = list[int]()

    class Third(BaseActor):
        async def on_start(self, hub: Any, agent: Any) -> None:
            made.append(1)
            if len(made) == 3:
                raise OSError("no room for a third")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        with pytest.raises(OSError, match="no room"):
            await hub.spawn(Third, name="coder", workers=4)
        assert len(made) == 3
        await hub.flush()
        assert len(recorder.of("actor.stopped")) == 3  # the fourth never was
        assert hub.statistics().actors == ()
        handle = await hub.spawn(Third, name="coder", workers=4)
        assert len(handle.workers()) == 4


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True, None, float("nan"), 10**9])
async def test_a_wrong_number_of_workers_is_refused(workers: Any) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="workers"):
            await hub.spawn(Worker, name="coder", workers=workers)
        assert hub.agents.find("coder") is None


@pytest.mark.parametrize("seconds", [0, -1, "2", float("nan"), [], b"1"])
async def test_a_wrong_visibility_time_is_refused(seconds: Any) -> None:
    """Given, or found on the actor."""

    class Odd(BaseActor):
        visibility_seconds = seconds

    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="visibility_seconds"):
            await hub.spawn(Worker, name="coder", visibility_seconds=seconds)
        with pytest.raises(ConfigurationError, match="visibility_seconds"):
            await hub.spawn(Odd, name="coder")
        assert hub.agents.find("coder") is None


async def test_one_object_cannot_be_two_workers() -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="pass its class"):
            await hub.spawn(Worker(), name="coder", workers=2)
        assert hub.agents.find("coder") is None


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_second_worker_answers_what_one_would_deadlock(workers: int) -> None:
    """Two agents ask each other at once: with one actor each that is refused, with a second worker there is time."""
    ready, outcomes = anyio.Event(), list[str]()

    async def mutual(turn: Turn) -> None:
        if turn.content == "question":
            await turn.reply("answer")
            return
        await ready.wait()
        try:
            outcomes.append((await turn.ask(turn.content, "question", timeout=60)).content)
        except AskCycle:
            outcomes.append("cycle")

    async with Hub(clock=ManualClock()) as hub:
        one = await hub.spawn(mutual, name="one", workers=workers)
        other = await hub.spawn(mutual, name="other")
        channel, boss = await channel_to(hub, one.agent, other.agent)
        await channel.post(boss, "other", to=[one.agent])
        await channel.post(boss, "one", to=[other.agent])
        await until_idle()
        ready.set()
        await until(lambda: len(outcomes) == 2)
        assert sorted(outcomes) == (["answer", "answer"] if workers == 2 else ["answer", "cycle"])


@pytest.mark.slow
async def test_workers_find_what_a_restart_left() -> None:
    """What they held when the hub ended is handled by the workers of the next one, each envelope once."""
    store = MemoryStore()
    async with Hub(store) as hub:
        agent = await hub.agents.register("coder", rule={"inbox": InboxRule(capacity=100)})
        channel, boss = await channel_to(hub, agent)
        await hub.spawn(Worker, name="coder", workers=2)
        for content in ("wait", "wait", "c", "d"):
            await channel.post(boss, content)
        await until_idle()
    Worker.heard.clear()
    async with Hub(store) as hub:
        Worker.gate.set()
        handle = await hub.spawn(Worker, name="coder", workers=2)
        await until(lambda: handle.statistics().handled == 4)
        assert sorted(content for _, content in Worker.heard) == ["c", "d", "wait", "wait"]
