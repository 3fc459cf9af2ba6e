"""Timers: what of them an agent reaches, what is left of those that end, and how many fire in one command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hubwire import Hub
from hubwire._state.moments import deadline_ns
from hubwire.errors import AccessDenied, NotFound
from hubwire.events import AgentUnregistered, TimerFired
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance, until_idle


async def test_only_its_own_timers_are_an_agents() -> None:
    """It lists no others, and cancels none of which it holds the object."""
    async with Hub() as hub:
        boss, other = await hub.agents.register("boss"), await hub.agents.register("other")
        face = hub.acting_as(boss)
        own = await face.timers.after(60, "own")
        for timer in (await hub.timers.after(60, "its", agent=other), await hub.timers.after(60, "the program's")):
            foreign = type(timer)(face.agent._core, timer._timers, timer.id)
            with pytest.raises(AccessDenied):
                await foreign.cancel()
            assert timer.is_waiting
        assert [each.timer_id for each in face.timers.list()] == [own.id]
        assert len(hub.timers.list()) == 3


async def test_timers_left_behind_are_there_no_more() -> None:
    """Not even before the event that cancels each of them, of which a command holds a limited number."""
    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        timers = [await hub.timers.after(60, agent=boss) for _ in range(3)]
        seen: list[object] = []

        def look(_: object) -> None:
            seen.append((hub.timers.list(), [each.is_waiting for each in timers]))
            with pytest.raises(NotFound):
                hub.timers.get(timers[0].id)

        hub._parts.core.on_applied(AgentUnregistered, look)
        await boss.unregister()
        assert seen == [((), [False] * 3)]


async def test_many_timers_fire_in_several_commands() -> None:
    """A command that fired all would be as wide as they are many."""
    async with Hub() as hub:
        for _ in range(10):
            await hub.timers.after(1)
        assert len(hub._parts.state.timers.due(2**62, 3)) == 3


async def test_a_late_firing_names_its_own_time() -> None:
    """That of the last of those that it stands for, from which the next one is an interval away."""
    clock, store, recorder = ManualClock(), MemoryStore(), Recorder()
    async with Hub(store, clock=clock) as hub:
        timer = await hub.timers.every(10)
        first = timer.entry.due_ns
    clock.advance(35)
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        await until_idle()
        await hub.flush()
        (fired,) = recorder.of(TimerFired)
        assert (fired.number, fired.missed) == (3, 2)
        assert hub.timers.get(timer.id).entry.due_ns == first + 30 * 10**9
        await advance(clock, 10)
        await hub.flush()
        assert [(each.number, each.missed) for each in recorder.of(TimerFired)] == [(3, 2), (4, 0)]
        moments = [deadline_ns(each.due_at, 0) for each in recorder.of(TimerFired)]
        assert moments == [first + 20 * 10**9, first + 30 * 10**9]


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-21T09:30:00.000001Z",
        "2026-11-21T09:30:00.999999Z",
        "1969-12-31T23:59:59.250000Z",
        "2026-11-21T09:30:00Z",
        "2026-11-21T09:30:00.250Z",
        "2026-11-21T09:30:00.25+02:00",
        "2026-11-21T09:30:00.250000+00:00",
    ],
)
def test_a_deadline_counts_from_any_form_of_a_moment(at: str) -> None:
    since = datetime.fromisoformat(at) - datetime(1970, 1, 1, tzinfo=UTC)
    assert deadline_ns(at, 1.5) == since // timedelta(microseconds=1) * 1000 + 1_500_000_000
