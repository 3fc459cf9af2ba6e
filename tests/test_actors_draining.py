"""Draining a group: what is in its inboxes is handled, within a time, and what is left is said."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from hubwire import (
    Agent,
    Backoff,
    BaseActor,
    Channel,
    Drained,
    Escalate,
    Group,
    Hub,
    Restart,
    RetryPolicy,
    Turn,
)
from hubwire.errors import AskFailed, CommandRejected, ConfigurationError, HubAborted
from hubwire.testing import Gate, ManualClock
from support import advance, until, until_idle
from support.actors import channel_to
from support.odd import Stranger


class Station(BaseActor):
    """Passes what it gets to the next station, through a gate."""

    retry = RetryPolicy(backoff=Backoff(seconds=1))

    def __init__(self, gate: Gate, *, to: str | None = None) -> None:
        self.gate = gate
        self.to = to
        self.heard: list[Any] = []

    async def on_envelope(self, turn: Turn, /) -> None:
        self.heard.append(turn.content)
        await self.gate.pass_through()
        if turn.content == "fail" and self.to and turn.delivery.attempt == 1:
            raise ValueError("once")
        if turn.content == "crash" and self.to and turn.delivery.attempt == 1:
            raise Escalate("once")
        if self.to is not None:
            await turn.post(turn.content, to=[self.to])


async def stations(hub: Hub, gate: Gate, **terms: Any) -> tuple[Any, list[Station], Channel, Agent]:
    """Spawn two stations in a group, the first of which passes on to the second; return them and a channel to all."""
    group = hub.supervise("line", backoff_seconds=0.1)
    made = [Station(gate, to="second"), Station(gate)]
    agents = [
        (await group.spawn(made[0], name="first", **terms)).agent,
        (await group.spawn(made[1], name="second")).agent,
    ]
    channel, boss = await channel_to(hub, *agents)
    return group, made, channel, boss


async def drain_begun(hub: Hub, group: Any, **terms: Any) -> asyncio.Task[Drained]:
    task: asyncio.Task[Drained] = asyncio.ensure_future(group.drain(**terms))
    await until_idle()
    await hub.flush()
    return task


async def test_a_drained_line_handles_what_is_in_it() -> None:
    """Also what one station passes to the next meanwhile; what comes from elsewhere waits for the next actor."""
    gate = Gate(is_open=False)
    async with Hub() as hub:
        group, (first, second), channel, boss = await stations(hub, gate)
        for number in range(3):
            await channel.post(boss, number, to=["first"])
        draining = await drain_begun(hub, group)
        await channel.post(boss, "new", to=["first"], priority="urgent")
        await channel.post(boss, "also new", to=["second"])
        gate.open()
        drained = await draining
        assert (first.heard, second.heard) == ([0, 1, 2], [0, 1, 2])
        assert (dict(drained.left), dict(drained.new), drained.is_complete) == ({}, {"first": 1, "second": 1}, True)
        assert group.is_stopped
        again = Station(gate)
        await hub.spawn(again, name="first")
        await until(lambda: again.heard == ["new"])


async def test_an_idle_group_is_drained_at_once() -> None:
    """No clock moves; also one whose inboxes were never used, one without actors, and one that has stopped."""
    async with Hub(clock=ManualClock()) as hub:
        group, _, _, _ = await stations(hub, Gate())
        for each in (group, group, hub.supervise("empty")):
            assert (await each.drain()).is_complete
        handle = await hub.spawn(Station(Gate()), name="alone")
        assert (await handle.drain()).is_complete
        assert await handle.wait() == "stopped"


async def test_draining_ends_with_its_time() -> None:
    """What is under way is cancelled then, comes again, and is counted as left."""
    clock, gate = ManualClock(), Gate(is_open=False)
    async with Hub(clock=clock) as hub:
        group, (first, _), channel, boss = await stations(hub, gate)
        for number in range(3):
            await channel.post(boss, number, to=["first"])
        draining = await drain_begun(hub, group, timeout=10)
        await advance(clock, 9)
        assert not draining.done()
        await advance(clock, 1)
        assert (await draining).left == {"first": 3}
        assert first.heard == [0]
        gate.open()
        again = Station(gate)
        await hub.spawn(again, name="first")
        await until(lambda: again.heard == [0, 1, 2])


@pytest.mark.parametrize("trouble", ["fail", "crash"])
async def test_what_fails_is_repeated_while_there_is_time(trouble: str) -> None:
    """A failed turn backs off and a crashed actor is started again, as at any time."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        group, (first, second), channel, boss = await stations(hub, Gate())
        await channel.post(boss, trouble, to=["first"])
        draining = await drain_begun(hub, group, timeout=30)
        for _ in range(20):
            if draining.done():
                break
            await advance(clock, 1)
        assert (await draining).is_complete
        assert (first.heard, second.heard) == ([trouble] * 2, [trouble])


async def test_what_is_delayed_for_longer_is_not_waited_for() -> None:
    """It is counted as left; what comes within the time is waited for."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        group, (first, _), channel, boss = await stations(hub, Gate())
        await channel.post(boss, "soon", to=["first"], deliver_after=5)
        await channel.post(boss, "in an hour", to=["first"], deliver_after=3600)
        draining = await drain_begun(hub, group, timeout=30)
        await advance(clock, 4)
        assert not draining.done()
        await advance(clock, 2)
        assert (await draining).left == {"first": 1}
        assert first.heard == ["soon"]


async def test_what_leaves_an_inbox_unhandled_ends_a_drain() -> None:
    """An envelope that expires is no more owed, though no actor has moved."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        group, _, channel, boss = await stations(hub, Gate())
        await channel.post(boss, "fleeting", to=["first"], deliver_after=20, ttl_seconds=10)
        draining = await drain_begun(hub, group, timeout=60)
        assert not draining.done()
        await advance(clock, 11)
        assert (await draining).is_complete


async def test_an_actor_that_stops_for_good_is_not_waited_for() -> None:
    """What it leaves is counted."""
    async with Hub(clock=ManualClock()) as hub:
        gate = Gate(is_open=False)
        group, _, channel, boss = await stations(hub, gate, restart=Restart.TEMPORARY)
        for content in ("crash", "more"):
            await channel.post(boss, content, to=["first"])
        draining = await drain_begun(hub, group)
        gate.open()
        assert (await draining).left == {"first": 2}


async def test_members_answer_each_other_while_drained() -> None:
    """A question of one to another is handled, from outside it fails at once when the group has stopped."""
    begun, gate = anyio.Event(), Gate(is_open=False)

    class Asker(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            begun.set()
            await gate.pass_through()
            answer = await turn.ask("knows", "what?")
            await turn.reply(answer.content)

    class Knows(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            await turn.reply("that")

    async with Hub() as hub:
        company = hub.supervise("company")
        group = company.supervise("team")
        boss = await hub.agents.register("boss")
        asker = (await group.spawn(Asker(), name="asker")).agent
        await company.spawn(Knows(), name="knows")
        asked = asyncio.ensure_future(hub.ask(boss, asker, "?"))
        await begun.wait()
        draining = await drain_begun(hub, company)
        late = asyncio.ensure_future(hub.ask(boss, "knows", "from outside"))
        await until_idle()
        gate.open()
        assert (await asked).content == "that"
        assert (await draining).is_complete
        with pytest.raises(AskFailed):
            await late


async def test_a_turn_that_has_acked_is_waited_for() -> None:
    """Its envelope has left the inbox, and it goes on."""
    gate, done = Gate(is_open=False), list[Any]()

    async def hasty(turn: Turn) -> None:
        await turn.delivery.ack()
        await gate.pass_through()
        done.append(turn.content)

    async with Hub() as hub:
        handle = await hub.spawn(hasty)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, 1)
        await until_idle()
        draining = asyncio.ensure_future(handle.drain())
        await until_idle()
        assert not draining.done()
        gate.open()
        assert (await draining).is_complete
        assert done == [1]


async def test_workers_are_drained_together() -> None:
    """All of them handle what is there."""
    gate = Gate(is_open=False)
    async with Hub() as hub:
        made: list[Station] = []

        def make() -> Station:
            made.append(Station(gate))
            return made[-1]

        handle = await hub.spawn(make, name="coder", workers=3)
        channel, boss = await channel_to(hub, handle.agent)
        for number in range(7):
            await channel.post(boss, number)
        draining = asyncio.ensure_future(handle.drain())
        await until_idle()
        gate.open()
        assert (await draining).is_complete
        assert sorted(number for each in made for number in each.heard) == list(range(7))


async def test_a_turn_does_not_wait_for_itself() -> None:
    """It is refused at once, and the group goes on."""
    refused: list[str] = []
    async with Hub() as hub:
        group = hub.supervise("team")

        async def eager(turn: Turn) -> None:
            with pytest.raises(CommandRejected) as error:
                await group.drain()
            refused.append(str(error.value))

        handle = await group.spawn(eager)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "go")
        await until(lambda: handle.statistics().handled == 1)
        assert "wait for itself" in refused[0]
        assert handle.is_running


@pytest.mark.parametrize("moment", ["on_start", "on_stop"])
@pytest.mark.parametrize("depth", [0, 1])
async def test_an_actor_does_not_drain_itself(moment: str, depth: int) -> None:
    """Where it starts or stops it is refused at once, in a group above, too; in a task of its own it may later."""
    refused: list[str] = []
    groups: list[Group] = []

    class Eager(BaseActor):
        async def on_start(self, hub: Any, agent: Agent, /) -> None:
            await self.drain("on_start")

        async def on_stop(self) -> None:
            await self.drain("on_stop")

        async def on_envelope(self, turn: Turn, /) -> None:
            """Do nothing."""

        async def drain(self, where: str) -> None:
            if where == moment:
                with pytest.raises(CommandRejected) as error:
                    await groups[0].drain()
                refused.append(str(error.value))

    async with Hub() as hub:
        groups.append(hub.supervise("team"))
        groups.append(groups[0].supervise("inner"))
        handle = await groups[depth].spawn(Eager())
        await handle.stop()
        assert f"in {moment}" in refused[0]
        assert len(refused) == 1
        assert await handle.wait() == "stopped"


async def test_a_task_of_an_actor_may_drain_it() -> None:
    """It is not waited for: the actor has started, and handles what is left."""
    drained: list[Drained] = []
    tasks: list[asyncio.Task[None]] = []

    class Watched(BaseActor):
        async def on_start(self, hub: Any, agent: Agent, /) -> None:
            tasks.append(asyncio.get_running_loop().create_task(self.watch()))

        async def watch(self) -> None:
            await gate.pass_through()
            drained.append(await group.drain())

        async def on_envelope(self, turn: Turn, /) -> None:
            """Do nothing."""

    gate = Gate(is_open=False)
    async with Hub() as hub:
        group = hub.supervise("team")
        handle = await group.spawn(Watched())
        gate.open()
        await tasks[0]
        assert (drained[0].is_complete, handle.is_running) == (True, False)


async def test_a_drain_goes_on_without_its_caller() -> None:
    """A cancelled caller has begun it all the same."""
    gate = Gate(is_open=False)
    async with Hub() as hub:
        group, (first, _), channel, boss = await stations(hub, gate)
        await channel.post(boss, 1, to=["first"])
        draining = await drain_begun(hub, group)
        draining.cancel()
        await until_idle()
        assert not group.is_stopped
        gate.open()
        await until(lambda: group.is_stopped)
        assert first.heard == [1]


@pytest.mark.parametrize("ending", ["aclose", "abort"])
async def test_the_end_of_the_hub_ends_a_drain(ending: str) -> None:
    """Within the time for closing, with what is left; an aborted hub says no more than that it is."""
    gate = Gate(is_open=False)
    hub = Hub(close_seconds_max=0.3)
    await hub.start()
    group, _, channel, boss = await stations(hub, gate)
    await channel.post(boss, 1, to=["first"])
    draining = await drain_begun(hub, group)
    await getattr(hub, ending)()
    if ending == "aclose":
        assert (await draining).left == {"first": 1}
    else:
        with pytest.raises(HubAborted):
            await draining


@pytest.mark.parametrize("odd", [-1, "10", None, True, float("nan"), Stranger()], ids=repr)
async def test_odd_times_are_refused(odd: Any) -> None:
    """Of a group and of an actor, and both go on."""
    async with Hub() as hub:
        group = hub.supervise("team")
        handle = await group.spawn(Station(Gate()))
        for drain in (group.drain, handle.drain):
            with pytest.raises(ConfigurationError, match="timeout"):
                await drain(timeout=odd)
        assert handle.is_running
        assert (await group.drain(timeout=0)).is_complete
