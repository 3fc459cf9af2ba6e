"""What becomes due: deadlines by the hub's clock, across restarts, and at a price that does not grow."""

from __future__ import annotations

from itertools import islice
from typing import Any

import anyio.lowlevel
import pytest

from hubwire import Duty, Hub
from hubwire._commit.timers import BATCH
from hubwire._state import _NEVER_EARLIER
from hubwire._state.moments import Deadlines, deadline_ns, is_duration
from hubwire.errors import HubFailed
from hubwire.events import Event
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance, until_idle


async def a_hub_with_a_channel(hub: Hub, **settings: Any) -> Any:
    planner = await hub.agents.register("planner")
    coder = await hub.agents.register("coder")
    return await hub.channels.open([planner, coder], **settings), planner, coder


async def test_a_channel_lives_as_long_as_its_ttl() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        channel, *_ = await a_hub_with_a_channel(hub, ttl_seconds=10)
        await until_idle()
        clock.advance(9.999)
        await until_idle()
        assert channel.is_open
        clock.advance(0.001)
        expired: Any = await recorder.wait_for("channel.expired")
        assert (expired.channel_id, expired.reason) == (channel.id, "its time was up")
        assert not channel.is_open
        assert hub.statistics().channels == 0


async def test_an_earlier_deadline_wakes_the_timer() -> None:
    """The hub sleeps until a later deadline, and an earlier one comes."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        late, planner, coder = await a_hub_with_a_channel(hub, ttl_seconds=50)
        await until_idle()
        early = await hub.channels.open([planner, coder], ttl_seconds=5)
        await until_idle()
        clock.advance(5)
        assert (await recorder.wait_for("channel.expired")).channel_id == early.id
        assert late.is_open


async def test_a_deadline_may_pass_between_hubs() -> None:
    """It is due at the next start."""
    clock, store = ManualClock(), MemoryStore()
    async with Hub(store, clock=clock) as hub:
        channel, planner, coder = await a_hub_with_a_channel(hub, ttl_seconds=10)
        await channel.post(planner, "hello", ttl_seconds=20)
    clock.advance(15)
    recorder = Recorder()
    async with Hub(store, listeners=[recorder], clock=clock) as hub:
        assert (await recorder.wait_for("channel.expired")).channel_id == channel.id
        assert hub.statistics().envelopes_pending == 1
        await until_idle()
        clock.advance(5)
        assert (await recorder.wait_for("envelope.expired")).agent_id == coder.id


async def test_an_ended_channel_is_not_due() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        channel, *_ = await a_hub_with_a_channel(hub, ttl_seconds=10)
        await channel.close()
        await until_idle()
        clock.advance(100)
        await until_idle()
        assert "channel.expired" not in recorder.kinds


async def test_a_clock_set_back_extends_no_deadline() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        await a_hub_with_a_channel(hub, ttl_seconds=30)
        await until_idle()
        clock.step(-3600)
        clock.advance(30)
        await recorder.wait_for("channel.expired")


async def test_a_clock_set_forward_is_noticed() -> None:
    """It is noticed within a minute."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        await a_hub_with_a_channel(hub, ttl_seconds=3600)
        await until_idle()
        clock.step(3600)
        clock.advance(60)
        await recorder.wait_for("channel.expired")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ten_thousand_channels_expire_in_batches() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock) as hub:
        hub.attach(recorder, duty=Duty.REQUIRED)
        planner = await hub.agents.register("planner")
        for _ in range(10_000):
            await hub.channels.open([planner], ttl_seconds=10)
        await until_idle()
        clock.advance(10)
        await recorder.wait_for("channel.expired", count=10_000)
        assert hub.statistics().channels == 0
        assert hub._parts.state.next_due_ns() is None
        assert recorder.batches[-1] <= BATCH


async def test_a_stopping_hub_leaves_due_work() -> None:
    """The next start does it."""
    clock, store = ManualClock(), MemoryStore()
    async with Hub(store, clock=clock) as hub:
        await a_hub_with_a_channel(hub, ttl_seconds=10)
        await until_idle()
        clock.advance(10)
    recorder = Recorder()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        await hub.flush()
        assert hub.statistics().channels == 0


async def test_a_failing_timer_stops_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later calls get the reason."""
    clock = ManualClock()
    with pytest.raises(HubFailed, match="an error of its own") as raised:
        async with Hub(clock=clock) as hub:
            agent = await hub.agents.register("a")
            await hub.channels.open([agent], ttl_seconds=5)
            monkeypatch.setattr(hub._parts.state, "due", lambda *_: 1 / 0)
            clock.advance(5)
            while hub.health().healthy:
                await anyio.lowlevel.checkpoint()
            await agent.set_skill("too late")
    causes = raised.value.__cause__
    assert isinstance(causes, ExceptionGroup)
    assert isinstance(causes.exceptions[0], ZeroDivisionError)


# --- the heap ---------------------------------------------------------------------------------------------------------


def test_dead_deadlines_are_cleared_away() -> None:
    alive: dict[int, None] = {-1: None}
    deadlines = Deadlines(alive)
    deadlines.add(0, -1)  # it is first for ever: those that die are in the middle of the heap
    for number in range(100_000):
        alive[number] = None
        deadlines.add(10**9 + number, number)
        if number >= 10:
            del alive[number - 10]
            deadlines.tidy()
        assert len(deadlines) <= 2 * len(alive) + 64
    assert sorted(deadlines.passed(2 * 10**9)) == sorted(alive)
    assert deadlines.next_ns == 0


class Counted(int):
    """A moment that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < other


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_deadline_costs_the_depth_of_its_heap(size: int) -> None:
    alive = dict.fromkeys(range(size + 1))
    deadlines = Deadlines(alive)
    for number in range(size):
        deadlines.add(Counted(number), number)
    Counted.compared = 0
    deadlines.add(Counted(-1), size)
    del alive[size]
    deadlines.tidy()
    assert Counted.compared <= 3 * size.bit_length()


def test_finding_passed_deadlines_skips_the_rest() -> None:
    alive = dict.fromkeys(range(100_000))
    deadlines = Deadlines(alive)
    for number in alive:
        deadlines.add(number, number)
    looked = 0

    class Looked(int):
        def __ge__(self, other: int) -> bool:
            nonlocal looked
            looked += 1
            return int(self) >= other

    assert sorted(deadlines.passed(Looked(9))) == list(range(10))
    assert looked <= 2 * 10 + 1


def test_passed_deadlines_come_in_batches() -> None:
    """The earliest first, and no batch looks at the dead of the last one."""
    looked = 0

    class Alive(dict[int, None]):
        def __contains__(self, each: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(each)

    size, batch = 20_000, 100
    alive = Alive(dict.fromkeys(range(size)))
    deadlines = Deadlines(alive)
    for number in alive:
        deadlines.add(number * 7919 % size, number)
    moments: list[int] = []
    while found := list(islice(deadlines.passed(size), batch)):
        moments += [number * 7919 % size for number in found]
        for number in found:
            del alive[number]
            deadlines.tidy()
    assert moments == list(range(size))
    assert looked <= 5 * size


def test_a_deadline_counts_from_an_events_time() -> None:
    assert deadline_ns("1970-01-01T00:00:01.000001Z", 0.5) == 1_500_001_000
    assert deadline_ns("1970-01-01T00:00:00.000000Z", 0) == 0


@pytest.mark.parametrize("seconds", [True, "1", None, 0, -1, float("nan"), float("inf"), 1e10])
def test_an_impossible_duration_is_not_one(seconds: object) -> None:
    assert not is_duration(seconds)
    assert is_duration(0.5)


async def test_what_ends_a_deadline_brings_none_forward() -> None:
    """The timers do not look at a machine again after these events: none may leave it due earlier than before."""
    clock, seen = ManualClock(), set[tuple[str, type[Event]]]()
    async with Hub(clock=clock) as hub:
        state, pipeline = hub._parts.state, hub._parts.pipeline
        holders: dict[str, Any] = {"channels": state.endings, "inboxes": state.inboxes, "turns": state.turns}
        apply = pipeline._apply

        def checked(event: Event) -> None:
            pairs = [(name, kind) for name, kind in _NEVER_EARLIER if kind is type(event)]
            before = {name: holders[name].next_due_ns() for name, _ in pairs}
            apply(event)
            for name, kind in pairs:
                seen.add((name, kind))
                earlier, now = before[name], holders[name].next_due_ns()
                assert now is None or (earlier is not None and now >= earlier)

        pipeline._apply = checked
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        talk = await hub.channels.open([a, b], ttl_seconds=90)
        discussed = await hub.channels.open([a, b], type="discussion", ttl_seconds=80)
        for number in range(3):
            await talk.post(a, number, ttl_seconds=60 - number)
            await discussed.post((a, b)[number % 2], number, ttl_seconds=70)
            async with hub.turns.turn(a) as one, hub.turns.turn(b) as two, one.model("m"), two.tool("t", {}):
                await advance(clock, 1)
        inbox = b.inbox()
        for _ in range(3):
            await (await anext(inbox)).ack()
    assert seen == _NEVER_EARLIER
