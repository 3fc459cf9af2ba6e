"""Actors: objects that handle the envelopes of agents, one life after another, and ask each other."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import Backoff, Escalate, Hub, InboxRule, Restart, RetryPolicy, Turn, scope
from hubwire.errors import (
    CommandRejected,
    ConfigurationError,
    HubClosed,
)
from hubwire.listener import BaseHubListener
from hubwire.testing import ManualClock, Recorder
from support import advance, contents, until_idle
from support.actors import Collector, channel_to


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
                raise Escalate("too hard")

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
        assert hooked.failures == [(channel.id, handle.agent.id, posted.envelope_id, "Escalate", "too hard")]
        crashed = recorder.of("actor.crashed")[0]
        assert (crashed.error_type, crashed.group) == ("Escalate", "worker")
        assert 0 <= crashed.backoff_seconds <= 0.1
        assert [event.starts for event in recorder.of("actor.started")] == [1, 2]
        assert handle.statistics().crashes == 1
        assert hub.health().healthy


async def test_a_crashed_actor_handles_nothing_more() -> None:
    """Envelopes that follow the crash stay for the next life."""
    worker = Collector()
    async with Hub() as hub:
        handle = await hub.spawn(worker, restart=Restart.TEMPORARY, retry=RetryPolicy(backoff=Backoff(0)))
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
            assert handle.statistics().crashes == (where == "on_stop")
            assert handle.statistics().failed == (where == "on_envelope")
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
