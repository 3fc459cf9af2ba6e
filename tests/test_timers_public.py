"""Timers of programs: when they fire, what a restart finds, and what cancels them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from hubwire import Hub
from hubwire._state import State
from hubwire._state.timers import PAYLOAD_BYTES_MAX, TIMERS_MAX
from hubwire.errors import CommandRejected, NotFound
from hubwire.events import TimerFired, TimerSet
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import GatedStore, advance, restored, until_idle
from support.odd import Stranger

HOSTILE: list[Any] = [b"x", "\ud800", ["a"], Stranger(), float("nan"), -1, True]


@pytest.fixture
async def hub(clock: ManualClock, recorder: Recorder) -> AsyncIterator[Hub]:
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        yield hub


def fired(recorder: Recorder) -> list[tuple[str, int, int]]:
    found: list[Any] = [event for event in recorder.events if event.kind == "timer.fired"]
    return [(event.name, event.number, event.missed) for event in found]


def cancelled(recorder: Recorder) -> list[str]:
    found: list[Any] = [event for event in recorder.events if event.kind == "timer.cancelled"]
    return [event.reason for event in found]


# --- firing -----------------------------------------------------------------------------------------------------------


async def test_a_timer_fires_once(hub: Hub, recorder: Recorder, clock: ManualClock) -> None:
    timer = await hub.timers.after(10, "lunch", {"text": ["eat"]})
    await advance(clock, 9.9)
    assert (timer.is_waiting, fired(recorder)) == (True, [])
    assert timer.entry.due_at == hub.timers.list()[0].due_at == "2026-01-01T00:00:10.000000Z"
    await advance(clock, 0.2)
    await hub.flush()
    assert fired(recorder) == [("lunch", 1, 0)]
    event: Any = recorder.events[-1]
    assert (event.timer_id, event.payload, event.due_at) == (
        timer.id,
        {"text": ("eat",)},
        "2026-01-01T00:00:10.000000Z",
    )
    await advance(clock, 100)
    assert (timer.is_waiting, hub.timers.list(), len(fired(recorder))) == (False, (), 1)
    with pytest.raises(NotFound, match="has fired for the last time"):
        await timer.cancel()


async def test_a_timer_fires_again_and_again(hub: Hub, recorder: Recorder, clock: ManualClock) -> None:
    """It keeps to its times, however late the firing before was."""
    await hub.timers.every(10, "report", times_max=3)
    await advance(clock, 13)
    await advance(clock, 8)
    assert hub.timers.list()[0].due_at == "2026-01-01T00:00:30.000000Z"
    await advance(clock, 100)
    await hub.flush()
    assert fired(recorder) == [("report", 1, 0), ("report", 2, 0), ("report", 3, 0)]
    assert hub.timers.list() == ()


async def test_a_leap_of_the_clock_is_one_firing(hub: Hub, recorder: Recorder, clock: ManualClock) -> None:
    await hub.timers.every(1, "tick")
    await advance(clock, 1_000_000.5)
    await hub.flush()
    assert fired(recorder) == [("tick", 1_000_000, 999_999)]
    assert hub.timers.list()[0].due_at == "2026-01-12T13:46:41.000000Z"


async def test_timers_of_one_moment_all_fire(hub: Hub, recorder: Recorder, clock: ManualClock) -> None:
    for number in range(300):
        await hub.timers.after(5, str(number))
    await advance(clock, 5)
    await hub.flush()
    assert [name for name, _, _ in fired(recorder)] == [str(number) for number in range(300)]


# --- ends -------------------------------------------------------------------------------------------------------------


async def test_a_timer_is_cancelled(hub: Hub, recorder: Recorder, clock: ManualClock) -> None:
    timer = await hub.timers.every(5, "x")
    await hub.timers.get(timer.id).cancel("enough")
    await advance(clock, 50)
    await hub.flush()
    assert (fired(recorder), cancelled(recorder), timer.is_waiting) == ([], ["enough"], False)
    for late in (lambda: timer.entry, lambda: hub.timers.get(timer.id)):
        with pytest.raises(NotFound):
            late()


async def test_a_timer_ends_with_what_it_belongs_to(hub: Hub, recorder: Recorder, clock: ManualClock) -> None:
    a, b = await hub.agents.register("a"), await hub.agents.register("b")
    channel = await hub.channels.open([a, b])
    task = await hub.tasks.start(a, "t")
    await hub.timers.after(5, "of the agent", agent=b)
    await hub.timers.after(5, "of the channel", channel=channel)
    await hub.timers.after(5, "of the task", agent=a, task=task)
    await hub.timers.after(5, "of none")
    await task.complete()
    await channel.close()
    await b.unregister()
    await until_idle()
    await hub.flush()
    assert sorted(cancelled(recorder)) == ["its agent left the hub", "its channel has ended", "its task has ended"]
    await advance(clock, 5)
    await hub.flush()
    assert fired(recorder) == [("of none", 1, 0)]


async def test_a_timer_of_what_is_not_there_is_refused(hub: Hub) -> None:
    calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: hub.timers.after(5, agent="x"),
        lambda: hub.timers.after(5, channel="x"),
        lambda: hub.timers.every(5, task="x"),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call()
    assert hub.timers.list() == ()


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_closed", [True, False])
async def test_timers_outlive_a_restart(clock: ManualClock, recorder: Recorder, *, is_closed: bool) -> None:
    """What was due meanwhile fires at the start, once."""
    store = GatedStore()
    async with Hub(store, clock=clock) as hub:
        await hub.timers.after(10, "once", {"n": 1})
        await hub.timers.every(4, "often")
        left: MemoryStore = store if is_closed else store.crashed()
    clock.advance(21)
    async with Hub(left, clock=clock, listeners=[recorder]) as again:
        await until_idle()
        await again.flush()
        assert sorted(fired(recorder)) == [("often", 5, 4), ("once", 1, 0)]
        assert [each.name for each in again.timers.list()] == ["often"]
        before = await history(again)
    async with Hub(left, clock=clock) as third:
        assert (await history(third))[: len(before)] == before
        assert [(each.name, each.fired) for each in third.timers.list()] == [("often", 5)]


def test_a_snapshot_has_all_timers() -> None:
    state = State()
    about: dict[str, Any] = {"hub": "h", "id": "i", "at": "2026-01-01T00:00:00.000000Z"}
    for number in range(10):
        set_ = TimerSet(**about, seq=number, timer_id=str(number), after_seconds=5.0, every_seconds=5.0)
        state.apply(set_)
    state.apply(TimerFired(**about, seq=10, timer_id="3", number=2, due_at="x", missed=1))
    other = restored(state, State())
    assert tuple(other.timers) == tuple(state.timers)
    assert other.timers.next_due_ns() == state.timers.next_due_ns()
    assert [each.due_at for each in other.timers if each.fired] == ["2026-01-01T00:00:15.000000Z"]


# --- arguments and bounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
async def test_wrong_arguments_change_nothing(hub: Hub, value: Any) -> None:
    before = await history(hub)
    calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: hub.timers.after(value),
        lambda: hub.timers.every(value),
        lambda: hub.timers.after(1, value),
        lambda: hub.timers.every(1, times_max=value),
        lambda: hub.timers.after(1, agent=value),
        lambda: hub.timers.after(1, channel=value),
        lambda: hub.timers.after(1, task=value),
    ]
    for call in calls:
        with pytest.raises(CommandRejected):
            await call()
    for quick in (hub.timers.get, hub.timers.list):
        with pytest.raises(CommandRejected):
            quick(value)
    assert await history(hub) == before


async def test_a_timer_is_no_busy_loop(hub: Hub) -> None:
    with pytest.raises(CommandRejected, match=r"a number of seconds from 0\.1 on, not 0\.01"):
        await hub.timers.every(0.01)


async def test_payloads_are_bounded(hub: Hub) -> None:
    await hub.timers.after(5, payload="x" * (PAYLOAD_BYTES_MAX - 2))
    with pytest.raises(CommandRejected, match="store it elsewhere"):
        await hub.timers.after(5, payload="x" * PAYLOAD_BYTES_MAX)


@pytest.mark.parametrize("payload", [Stranger(), {"$x": {1, 2}}, float("nan"), "\ud800", b"x"], ids=repr)
async def test_any_payload_is_replayed(clock: ManualClock, payload: Any) -> None:
    store = MemoryStore()
    async with Hub(store, clock=clock) as hub:
        await hub.timers.after(5, payload=payload)
        await advance(clock, 5)
        before = await history(hub)
    async with Hub(store, clock=clock) as again:
        assert (await history(again))[: len(before)] == before


def test_the_number_of_timers_is_bounded() -> None:
    state = State()
    about: dict[str, Any] = {"hub": "h", "id": "i", "at": "2026-01-01T00:00:00.000000Z"}
    for number in range(TIMERS_MAX):
        state.apply(TimerSet(**about, seq=number, timer_id=str(number), after_seconds=5.0))
    none: dict[str, Any] = dict.fromkeys(("every_seconds", "times_max", "agent_id", "channel_id", "task_id"))
    with pytest.raises(CommandRejected, match="10000 timers wait"):
        state.timers.set(5.0, timer_id="x", name="", payload=None, **none)


async def test_the_real_clock_fires() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        await hub.timers.after(0.01, "soon")
        await recorder.wait_for("timer.fired")
