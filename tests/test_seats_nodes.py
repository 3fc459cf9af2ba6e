"""Nodes that say that they live, and what becomes of the seats of one that does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest

from hubwire import Hub, Turn
from hubwire._actors.nodes import Renewing
from hubwire.errors import CallerError, CommandRejected
from hubwire.events import EnvelopePosted, TurnStarted
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle
from support.nodes import LocalSigns, node_of, seats_of, watched
from support.odd import ODD


async def passes(clock: ManualClock, seconds: float) -> None:
    """Let time go by in small steps: who sleeps is not woken late."""
    while seconds > 0:
        clock.advance(1.25)
        seconds -= 1.25
        await until_idle()


def holder(hub: Hub, name: str = "worker") -> str | None:
    seat = hub._parts.state.seats.find(hub.agents.named(name).id)
    return None if seat is None else seat.node


async def test_a_node_that_is_heard_keeps_its_seats_and_one_that_is_not_loses_them() -> None:
    clock, signs = ManualClock(), LocalSigns()
    async with Hub(clock=clock) as hub, watched(hub, signs) as watch:
        agent, seats = await hub.agents.register("worker"), seats_of(hub)
        await seats.seat(agent.id, "one")
        await seats.seat(agent.id, "two")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Renewing("two", signs, clock).run)
            tasks.start_soon(Renewing("one", signs, clock).run)
            await until_idle()
            await passes(clock, 60)
            assert holder(hub) == "one"
            signs.silent.add("one")
            await passes(clock, 3.75)
            assert holder(hub) == "one"
            await passes(clock, 3.75)
            assert holder(hub) == "two"
            assert watch.silent_for("two") < 5
            signs.silent.add("two")
            await passes(clock, 20)
            assert holder(hub) is None
            assert watch._last == {}
            tasks.cancel_scope.cancel()


async def test_after_a_takeover_a_node_has_time_to_be_heard_and_its_turn_goes_on() -> None:
    clock, store = ManualClock(), MemoryStore()
    first = Hub(store, clock=clock)
    await first.start()
    agent, boss = await first.agents.register("worker"), await first.agents.register("boss")
    await seats_of(first).seat(agent.id, "one")
    await (await first.channels.open([boss, agent])).post(boss, "job")
    (posted,) = [each.envelope for each in first._parts.state.inboxes.pending(agent.id)]
    assert isinstance(posted, EnvelopePosted)
    first._parts.pipeline.put([TurnStarted(agent_id=agent.id, turn_id="t", envelope_id=posted.envelope_id)])
    await first.flush()
    await first.abort()
    recorder = Recorder()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        assert [each.id for each in hub._parts.state.turns] == ["t"]
        assert recorder.of("turn.abandoned") == []
        signs = LocalSigns()
        async with watched(hub, signs):
            await passes(clock, 4)
            assert holder(hub) == "one"
            await signs.renew("one")
            await until_idle()
            await passes(clock, 4)
            assert holder(hub) == "one"
            await passes(clock, 4)
            assert holder(hub) is None
        assert [event.turn_id for event in recorder.of("turn.abandoned")] == ["t"]
        assert [event.attempt for event in recorder.of("envelope.nacked")] == [1]


async def test_a_seat_that_a_crash_has_left_free_goes_to_the_next_in_line() -> None:
    store, clock = MemoryStore(), ManualClock()
    first = Hub(store, clock=clock)
    await first.start()
    agent, seats = await first.agents.register("worker"), seats_of(first)
    for node in ("one", "two"):
        await seats.seat(agent.id, node)
    unseated = first._parts.state.seats.unseat(agent.id, "moved", 0)
    assert [event.kind for event in unseated] == ["actor.unseated", "actor.seated"]
    first._parts.pipeline.put(unseated[:1])
    await first.flush()
    await first.abort()
    async with Hub(store, clock=clock) as hub, watched(hub, LocalSigns()):
        await until(lambda: holder(hub) == "two")


async def test_where_the_leader_hears_nothing_no_node_is_taken_for_dead() -> None:
    class Broken(LocalSigns):
        is_broken = True

        async def heard(self) -> AsyncIterator[str]:
            if self.is_broken:
                raise OSError("the transport is away")
            async for node in super().heard():
                yield node

    clock, signs = ManualClock(), Broken()
    async with Hub(clock=clock) as hub, watched(hub, signs):
        agent = await hub.agents.register("worker")
        await seats_of(hub).seat(agent.id, "one")
        await passes(clock, 60)
        assert holder(hub) == "one"
        signs.is_broken = False
        await passes(clock, 12)
        assert holder(hub) is None


async def test_a_leader_that_was_stopped_itself_gives_nodes_their_time_anew() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub, watched(hub, LocalSigns()):
        agent = await hub.agents.register("worker")
        await seats_of(hub).seat(agent.id, "one")
        await passes(clock, 2.5)
        clock.advance(3600)
        await until_idle()
        assert holder(hub) == "one"
        await passes(clock, 10)
        assert holder(hub) is None


async def test_signs_that_are_no_names_of_nodes_are_not_kept() -> None:
    class Odd(LocalSigns):
        async def heard(self) -> AsyncIterator[Any]:
            for each in ODD:
                yield each
            await anyio.sleep_forever()

    clock = ManualClock()
    async with Hub(clock=clock) as hub, watched(hub, Odd()) as watch:
        await until_idle()
        assert all(type(each) is str and 0 < len(each) <= 200 for each in watch._last)
        await passes(clock, 10)
        assert watch._last == {}


async def test_a_node_whose_sign_raises_hangs_or_swallows_cancellation_goes_on() -> None:
    class Odd(LocalSigns):
        calls = 0

        async def renew(self, node: str) -> None:
            self.calls += 1
            if self.calls == 1:
                raise SystemExit(3)
            if self.calls == 2:
                await anyio.sleep_forever()
            await super().renew(node)

    signs = Odd()
    async with Hub() as hub, watched(hub, signs, silent_seconds=0.2) as watch, anyio.create_task_group() as tasks:
        tasks.start_soon(Renewing("one", signs, hub._parts.clock, 0.2).run)
        await until(lambda: "one" in watch._last)
        tasks.cancel_scope.cancel()


async def test_by_the_real_clock_a_node_that_dies_at_work_loses_its_actors_to_another() -> None:
    done: list[str] = []

    def worker(node: str) -> Any:
        async def work(turn: Turn) -> None:
            if node == "one":
                await anyio.sleep_forever()
            done.append(turn.content)

        return work

    recorder, signs, count = Recorder(), LocalSigns(), 20
    async with Hub(MemoryStore(), listeners=[recorder]) as hub, watched(hub, signs, silent_seconds=0.3):
        boss = await hub.agents.register("boss")
        async with (
            node_of(hub, "one", signs, silent_seconds=0.3) as one,
            node_of(hub, "two", signs, silent_seconds=0.3) as two,
        ):
            for number in range(count):
                for node in (one, two):
                    await node.spawn(worker(node.name), name=f"w{number}")
            for number in range(count):
                agent = hub.agents.named(f"w{number}")
                await (await hub.channels.open([boss, agent])).post(boss, agent.name)
            await recorder.wait_for("turn.started", count=count)
            one.seating.is_deaf = True
            signs.silent.add("one")
            await until(lambda: len(done) == count)
            await hub.flush()
        assert sorted(done) == sorted(f"w{number}" for number in range(count))
        assert len(recorder.of("envelope.acked")) == count


async def test_odd_arguments_of_commands_on_seats_change_nothing() -> None:
    async with Hub(MemoryStore()) as hub:
        agent, seats = await hub.agents.register("worker"), seats_of(hub)
        await seats.seat(agent.id, "one")
        before = hub._parts.core.next_seq
        odds: tuple[Any, ...] = ODD
        for odd in odds:
            calls: list[Callable[[], Awaitable[object]]] = []
            calls += [partial(seats.seat, odd, "two"), partial(seats.leave, odd, "one", "x")]
            calls += [partial(seats.unseat, odd, "x"), partial(seats.leave_all, odd, "x")]
            if not isinstance(odd, str):
                calls += [partial(seats.seat, agent.id, odd), partial(seats.leave, agent.id, "one", odd)]
                calls += [partial(seats.unseat, agent.id, odd)]
            if type(odd) is not bool:
                calls += [partial(seats.seat, agent.id, "two", waits=odd)]
            for call in calls:
                with suppress(CallerError):
                    await call()
        assert hub._parts.core.next_seq == before
        with pytest.raises(CommandRejected, match=r"seats\.seat\(\): node is the name of a node, not 7"):
            await seats.seat(agent.id, 7)  # type: ignore[arg-type]
