"""Actors of one hub on several nodes: each runs where it is seated, and what another one does is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from hubwire import Duty, Escalate, Hub, Strategy, Turn
from hubwire._actors.rules import GroupRules
from hubwire._actors.seating import Seating
from hubwire.errors import CommandRejected, SeatLost, StoreUnavailable
from hubwire.events import ActorQueued, ActorSeated, ActorUnseated
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle
from support.nodes import LocalSigns, node_of, seats_of, watched


class Worker:
    """Says which node has handled what, and waits for leave where it is told to."""

    def __init__(self, node: str, done: list[tuple[str, Any]], held: set[str] | None = None) -> None:
        self.name = "worker"
        self._node = node
        self._done = done
        self._held = set() if held is None else held

    async def on_envelope(self, turn: Turn) -> None:
        while self._node in self._held:  # noqa: ASYNC110 - a test lets it go on
            await anyio.sleep(0.001)
        await turn.reply(f"{self._node}: {turn.content}")
        self._done.append((self._node, turn.content))


async def test_an_actor_runs_on_one_node_and_goes_on_at_the_next_when_that_ends() -> None:
    done: list[tuple[str, Any]] = []
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        boss = await hub.agents.register("boss")
        async with node_of(hub, "two") as two:
            async with node_of(hub, "one") as one:
                first = await one.spawn(Worker("one", done))
                second = await two.spawn(Worker("two", done))
                assert first.is_running
                assert not second.is_running
                assert first.agent.node == "one"
                channel = await hub.channels.open([boss, first.agent])
                await channel.post(boss, 1)
                await until(lambda: len(done) == 1)
            await until(lambda: second.is_running)
            await channel.post(boss, 2)
            await until(lambda: len(done) == 2)
    assert done == [("one", 1), ("two", 2)]
    told = [
        (event.kind, event.node)
        for event in recorder.events
        if isinstance(event, ActorSeated | ActorUnseated | ActorQueued)
    ]
    assert told[:4] == [
        ("actor.seated", "one"),
        ("actor.queued", "two"),
        ("actor.unseated", "one"),
        ("actor.seated", "two"),
    ]


async def test_a_node_that_was_cut_off_loses_its_seat_and_what_it_does_is_refused() -> None:
    done: list[tuple[str, Any]] = []
    held = {"one"}
    recorder, clock, signs = Recorder(), ManualClock(), LocalSigns()
    async with Hub(MemoryStore(), listeners=[recorder], clock=clock) as hub:
        boss = await hub.agents.register("boss")
        async with watched(hub, signs), node_of(hub, "one", signs) as one, node_of(hub, "two", signs) as two:
            first = await one.spawn(Worker("one", done, held))
            await two.spawn(Worker("two", done))
            channel = await hub.channels.open([boss, first.agent])
            await channel.post(boss, "job")
            await recorder.wait_for("turn.started")
            signs.silent.add("one")
            one.seating.is_deaf = True
            for _ in range(10):
                clock.advance(1.25)
                await until_idle()
            await until(lambda: ("two", "job") in done)
            held.clear()
            await until_idle()
            await until(lambda: not first.is_running)
        acked = recorder.of("envelope.acked")
        assert [event.agent_id for event in acked] == [first.agent.id]
        assert [event.content for event in recorder.of("envelope.posted")] == ["job", "two: job"]
        assert done[0] == ("two", "job")
        (nacked,) = recorder.of("envelope.nacked")
        assert nacked.attempt == 1
        assert "not heard for" in recorder.of("actor.unseated")[0].reason


async def test_the_work_of_an_earlier_seat_changes_nothing() -> None:
    """Whatever it is: ack, nack, reply, a post, a commit, a longer time, a question."""
    refused: list[str] = []
    stopped = anyio.Event()

    async def zombie(turn: Turn) -> None:
        with anyio.CancelScope(shield=True):
            await stopped.wait()
            turn.state = {"late": True}
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "ack": turn.delivery.ack,
                "nack": turn.delivery.nack,
                "reply": lambda: turn.delivery.reply("late"),
                "post": lambda: turn.post("late", at_once=True),
                "publish": lambda: turn.publish("late.news", 1, at_once=True),
                "commit": turn.commit,
                "extend": lambda: turn.extend(60),
            }
            for name, call in calls.items():
                with pytest.raises(SeatLost, match="has lost its seat 1, which is seat 2, of node 'two' now") as caught:
                    await call()
                assert (caught.value.agent_id, caught.value.seat) == (turn.agent.id, 1)
                refused.append(name)

    done: list[tuple[str, Any]] = []
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        boss = await hub.agents.register("boss")
        async with node_of(hub, "one") as one, node_of(hub, "two") as two:
            first = await one.spawn(zombie, name="worker")
            await two.spawn(Worker("two", done))
            channel = await hub.channels.open([boss, first.agent])
            await channel.post(boss, "job")
            await recorder.wait_for("turn.started")
            one.seating.is_deaf = True
            assert await seats_of(hub).unseat(first.agent.id, "the test says so")
            await until(lambda: done == [("two", "job")])
            await hub.flush()
            before = len(recorder.events)
            stopped.set()
            await until(lambda: not first.is_running)
            assert len(refused) == 7
            await hub.flush()
            assert len(recorder.events) == before
        assert first.agent.state is None
        assert len(recorder.of("envelope.acked")) == 1


async def test_an_actor_that_loses_its_seat_is_cancelled_and_sees_why() -> None:
    seen: list[str | None] = []

    async def patient(turn: Turn) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(turn.seat_lost)

    done: list[tuple[str, Any]] = []
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        boss = await hub.agents.register("boss")
        async with node_of(hub, "one") as one, node_of(hub, "two") as two:
            first = await one.spawn(patient, name="worker")
            second = await two.spawn(Worker("two", done))
            await (await hub.channels.open([boss, first.agent])).post(boss, "job")
            await recorder.wait_for("turn.started")
            await seats_of(hub).unseat(first.agent.id, "moved by hand")
            await until(lambda: done == [("two", "job")])
            assert seen == ["moved by hand"]
            assert recorder.of("envelope.nacked") == []
            assert [event.reason for event in recorder.of("turn.abandoned")] == ["its actor was taken from node 'one'"]
            seat = hub._parts.state.seats.find(first.agent.id)
            assert seat is not None
            assert seat.candidates == ("one",)
            await second.stop()
            await until(lambda: first.is_running)
            assert first.statistics().starts == 2
        assert hub._parts.state.seats.nodes() == ()


async def test_a_restart_of_an_actor_keeps_its_seat() -> None:
    recorder = Recorder()

    async def crashes(turn: Turn) -> None:
        raise Escalate("at " + str(turn.fence))

    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        boss = await hub.agents.register("boss")
        async with node_of(hub, "one") as one:
            actor = await one.spawn(crashes, name="worker")
            await (await hub.channels.open([boss, actor.agent])).post(boss, "job")
            await recorder.wait_for("actor.started", count=2)
            seat = hub._parts.state.seats.find(actor.agent.id)
            assert seat is not None
            assert (seat.number, seat.node) == (1, "one")
            epoch = hub._parts.journal.epoch  # type: ignore[union-attr]
            assert f"at {(epoch, 1)}" in recorder.of("actor.crashed")[0].error_message
    assert len(recorder.of("actor.seated")) == 1


async def test_an_actor_that_cannot_start_gives_its_seat_to_the_next() -> None:
    done: list[tuple[str, Any]] = []

    class Broken(Worker):
        async def on_start(self, hub: Any, agent: Any) -> None:
            raise ValueError("no model")

    async with Hub() as hub, node_of(hub, "one") as one, node_of(hub, "two") as two, node_of(hub, "three") as three:
        first = await one.spawn(Worker("one", done))
        broken = await two.spawn(Broken("two", done))
        third = await three.spawn(Worker("three", done))
        await first.stop()
        await until(lambda: third.is_running)
        assert await broken.wait() == "it crashed with ValueError: no model"
        with pytest.raises(ValueError, match="no model"):
            await two.spawn(Broken("two", done), name="other")
        await until(lambda: two.seating._places == {})
        await until(lambda: hub._parts.state.seats.of("two") == 0)


async def test_an_agent_that_leaves_takes_its_seat_with_it() -> None:
    done: list[tuple[str, Any]] = []
    async with Hub() as hub, node_of(hub, "one") as one, node_of(hub, "two") as two:
        first = await one.spawn(Worker("one", done))
        second = await two.spawn(Worker("two", done))
        await first.agent.unregister()
        await until(lambda: first.statistics().is_running is False)
        assert len(hub._parts.state.seats) == 0
        assert hub._parts.state.seats.nodes() == ()
        assert not second.is_running


async def test_actors_on_demand_are_made_on_one_node_and_on_another_when_that_is_gone() -> None:
    done: list[tuple[str, Any]] = []
    clock, signs = ManualClock(), LocalSigns()
    async with Hub(clock=clock) as hub, watched(hub, signs):
        boss = await hub.agents.register("boss")
        async with node_of(hub, "one", signs) as one, node_of(hub, "two", signs) as two:
            for node in (one, two):
                node.spawn_on_demand("w/*", lambda _, node=node: Worker(node.name, done), 600.0)
            agent = await hub.agents.register("w/1")
            channel = await hub.channels.open([boss, agent])
            await channel.post(boss, 1)
            await until(lambda: len(done) == 1)
            await until_idle()
            ((first, _),) = done
            assert len(hub._parts.state.seats.nodes()) == 1
            (gone, other) = (one, two) if first == "one" else (two, one)
            signs.silent.add(gone.name)
            gone.seating.is_deaf = True
            for _ in range(10):
                clock.advance(1.25)
                await until_idle()
            await channel.post(boss, 2)
            await until(lambda: (other.name, 2) in done)


async def test_without_other_nodes_there_is_no_seat_and_the_fence_is_that_of_the_journal() -> None:
    store = MemoryStore()
    seen: list[tuple[int, int]] = []
    recorder = Recorder()

    async def look(turn: Turn) -> None:
        seen.append(turn.fence)
        assert turn.seat_lost is None

    for _ in range(2):
        async with Hub(store, listeners=[recorder]) as hub:
            boss = hub.agents.find("boss") or await hub.agents.register("boss")
            actor = await hub.spawn(look)
            await (await hub.channels.open([boss, actor.agent])).post(boss, 1)
            await until(lambda: bool(seen))
            assert len(hub._parts.state.seats) == 0
            await hub.flush()
        assert seen.pop() == (hub.journal.epoch, 0)  # type: ignore[union-attr]
    assert not any("seated" in kind for kind in recorder.kinds)


async def test_a_hub_without_nodes_takes_seats_back_that_are_left_from_a_time_with_them() -> None:
    done: list[tuple[str, Any]] = []
    async with Hub() as hub:
        agent = await hub.agents.register("worker")
        seats = seats_of(hub)
        assert await seats.seat(agent.id, "gone") == 1
        assert await seats.seat(agent.id, "gone too") is None
        actor = await hub.spawn(Worker("here", done))
        assert not hub._parts.state.seats.is_taken(agent.id)
        await (await hub.channels.open([agent])).post(agent, 1, to=[agent])
        await until(lambda: done == [("here", 1)])
        assert actor.is_running


async def test_a_spawn_that_is_cancelled_leaves_no_seat() -> None:
    async with Hub() as hub, node_of(hub, "one") as one:

        class Slow(Worker):
            async def on_start(self, hub: Any, agent: Any) -> None:
                await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.spawn, Slow("one", []))
            await until_idle()
            assert hub._parts.state.seats.nodes() == ("one",)
            tasks.cancel_scope.cancel()
        await until(lambda: hub._parts.state.seats.nodes() == ())


async def test_a_spawn_that_is_refused_says_so() -> None:
    async with Hub() as hub, node_of(hub, "one") as one:
        await one.spawn(Worker("one", []))
        with pytest.raises(CommandRejected, match="has an actor already"):
            await one.spawn(Worker("one", []))


async def test_the_hub_that_leads_may_be_a_node_itself() -> None:
    done: list[tuple[str, Any]] = []
    hub = Hub(MemoryStore())
    hub._parts.actors.seat_by(Seating("lead", seats_of(hub), hub._parts.core, hub._parts.state))
    async with hub, node_of(hub, "two") as two:
        first = await hub.spawn(Worker("lead", done))
        second = await two.spawn(Worker("two", done))
        group = hub.supervise("team")
        other = await group.spawn(Worker("lead", done), name="other")
        assert [first.is_running, second.is_running, other.is_running] == [True, False, True]
        assert hub._parts.state.seats.of("lead") == 2
        await first.stop()
        await until(lambda: second.is_running)
        again = await hub.spawn(Worker("lead", done))
        assert not again.is_running
        await second.stop()
        await until(lambda: again.is_running)
        seat = hub._parts.state.seats.find(first.agent.id)
        assert seat is not None
        assert (seat.number, seat.node) == (3, "lead")


class Away:
    """A leader that cannot be asked for a time."""

    def __init__(self, hub: Hub) -> None:
        self.is_away = False
        self.calls = 0
        self._seats = seats_of(hub)

    def _ask(self) -> None:
        self.calls += 1
        if self.is_away:
            raise StoreUnavailable("the leader cannot be asked")

    async def seat(self, agent_id: str, node: str, *, waits: bool = True) -> int | None:
        self._ask()
        return await self._seats.seat(agent_id, node, waits=waits)

    async def leave(self, agent_id: str, node: str, reason: str) -> None:
        self._ask()
        await self._seats.leave(agent_id, node, reason)

    async def leave_all(self, node: str, reason: str) -> None:
        self._ask()
        await self._seats.leave_all(node, reason)


async def test_a_leader_that_cannot_be_asked_is_asked_again() -> None:
    done: list[tuple[str, Any]] = []
    clock, signs = ManualClock(), LocalSigns()
    async with Hub(clock=clock) as hub:
        port = Away(hub)
        async with node_of(hub, "one", signs, port=port) as one, node_of(hub, "two", signs) as two:
            first, second = await one.spawn(Worker("one", done)), await two.spawn(Worker("two", done))
            port.is_away = True
            await seats_of(hub).unseat(first.agent.id, "moved")
            await until(lambda: second.is_running)
            for _ in range(3):
                clock.advance(1.25)
                await until_idle()
            assert port.calls >= 4
            seat = hub._parts.state.seats.find(first.agent.id)
            assert seat is not None
            assert seat.candidates == ()
            port.is_away = False
            clock.advance(1.25)
            await until(lambda: hub._parts.state.seats.of("one") == 1)
            await second.stop()
            await until(lambda: first.is_running)
            # And what it gives up, it gives up in the end.
            port.is_away = True
            await first.stop()
            await until_idle()
            assert hub._parts.state.seats.of("one") == 1
            port.is_away = False
            clock.advance(1.25)
            await until(lambda: hub._parts.state.seats.of("one") == 0)
            # A seat that it has not given up yet is its own.
            kept = await one.spawn(Worker("one", done), name="kept")
            port.is_away = True
            await kept.stop()
            await until_idle()
            port.is_away = False
            kept = await one.spawn(Worker("one", done), name="kept")
            assert kept.is_running
            port.is_away = True
            with pytest.raises(StoreUnavailable):
                await one.spawn(Worker("one", done), name="other")
            assert one.actors._by_agent.keys() == {kept.agent.id}


async def test_a_node_whose_state_was_restored_goes_by_what_it_finds_there() -> None:
    """Events may be passed over then: it has lost a seat, has got one, or is in no line any more."""
    done: list[tuple[str, Any]] = []
    async with Hub() as hub, node_of(hub, "one") as one:
        seats, state = seats_of(hub), hub._parts.state.seats
        actors = [await one.spawn(Worker("one", done), name=f"w{number}") for number in range(3)]
        lost, got, out = (actor.agent.id for actor in actors)
        one.seating.is_deaf = one.seating.is_blind = True
        await seats.unseat(lost, "moved")
        await seats.seat(lost, "two")
        await seats.unseat(got, "moved")
        await seats.seat(got, "one")
        await seats.unseat(out, "moved")
        await seats.seat(lost, "elsewhere")
        await seats.seat((await hub.agents.register("none")).id, "one")
        one.seating.is_deaf = one.seating.is_blind = False
        one.seating.compare()
        await until(lambda: not actors[0].is_running)
        await until(lambda: state.held_by(got, "one") == 2 and actors[1].is_running)
        await until(lambda: state.held_by(out, "one") == 2 and actors[2].is_running)
        await until(lambda: state.find(lost).candidates == ("elsewhere", "one"))  # type: ignore[union-attr]
        assert actors[1].statistics().starts == 2
        assert state.of("one") == 3


async def test_a_group_that_starts_its_actors_again_leaves_one_whose_seat_is_lost() -> None:
    done: list[tuple[str, Any]] = []

    async def crashes(turn: Turn) -> None:
        raise Escalate("too hard")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub, node_of(hub, "one") as one, node_of(hub, "two") as two:
        boss = await hub.agents.register("boss")
        rules = GroupRules(strategy=Strategy.ONE_FOR_ALL, backoff_seconds=0.0)
        group = one.actors.supervise("team", rules)
        first, shaky = await group.spawn(Worker("one", done)), await group.spawn(crashes)
        second = await two.spawn(Worker("two", done))
        await seats_of(hub).unseat(first.agent.id, "moved")
        await until(lambda: second.is_running and not first.is_running)
        await (await hub.channels.open([boss, shaky.agent])).post(boss, "job")
        await until(lambda: shaky.statistics().starts == 2)
        await until_idle()
        assert first.statistics().starts == 1
        assert not first.is_running


async def test_an_actor_does_not_start_by_a_seat_that_a_crash_can_undo() -> None:
    leave = anyio.Event()

    class Slow:
        name, duty = "slow", Duty.REQUIRED

        async def on_events(self, events: Any) -> None:
            if any(event.kind == "actor.seated" and event.seat == 2 for event in events):
                await leave.wait()

    done: list[tuple[str, Any]] = []
    async with Hub(listeners=[Slow()]) as hub, node_of(hub, "one") as one, node_of(hub, "two") as two:
        first, second = await one.spawn(Worker("one", done)), await two.spawn(Worker("two", done))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seats_of(hub).unseat, first.agent.id, "moved")
            await until_idle()
            assert hub._parts.state.seats.held_by(first.agent.id, "two") == 2
            assert not second.is_running
            leave.set()
            await until(lambda: second.is_running)


async def test_an_envelope_from_before_the_seat_is_begun_on_the_disk_first() -> None:
    """It may have ended the node before: that the turn has begun is known, whatever it does to the process."""
    async with Hub(MemoryStore()) as hub, node_of(hub, "one") as one:
        committed: list[bool] = []

        async def look(turn: Turn) -> None:
            begun = next(each.seq for each in hub._parts.state.turns if each.id == turn.id)
            committed.append(hub._parts.core.committed.value > begun)

        agent, boss = await hub.agents.register("look"), await hub.agents.register("boss")
        channel = await hub.channels.open([boss, agent])
        await channel.post(boss, 1)
        await one.spawn(look)
        await until(lambda: committed == [True])


async def test_a_spawn_that_is_cancelled_while_it_asks_for_the_seat_gives_it_back() -> None:
    leave = anyio.Event()

    class Slow:
        name, duty = "slow", Duty.REQUIRED

        async def on_events(self, events: Any) -> None:
            if any(event.kind == "actor.seated" for event in events):
                await leave.wait()

    async with Hub(listeners=[Slow()]) as hub, node_of(hub, "one") as one:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.spawn, Worker("one", []))
            await until_idle()
            assert hub._parts.state.seats.nodes() == ("one",)
            tasks.cancel_scope.cancel()
        leave.set()
        await until(lambda: hub._parts.state.seats.nodes() == ())


async def test_a_group_that_is_stopped_while_its_actor_asks_for_the_seat_takes_it_no_more() -> None:
    leave = anyio.Event()

    class Slow:
        name, duty = "slow", Duty.REQUIRED

        async def on_events(self, events: Any) -> None:
            if any(event.kind == "actor.seated" for event in events):
                await leave.wait()

    async with Hub(listeners=[Slow()]) as hub, node_of(hub, "one") as one:
        group = one.actors.supervise("team", GroupRules())

        async def spawn() -> None:
            with pytest.raises(CommandRejected, match="group 'team' has stopped"):
                await group.spawn(Worker("one", []))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spawn)
            await until_idle()
            await group.stop()
            leave.set()
        await until(lambda: hub._parts.state.seats.nodes() == ())
        assert one.actors._by_agent == {}
