"""Clients of a dashboard take turns, and what they share is done once: who emits waits for one of them at most."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from hubwire import Hub
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard import Dashboard
from hubwire.listeners.dashboard._line import Line
from hubwire.listeners.dashboard._source import HubSource, _Subscribed
from hubwire.listeners.live import LiveTail
from hubwire.redaction import Redactor
from hubwire.stores import MemoryStore
from support import until
from support.dashboard import Frames, signed_in


def source_of(hub: Hub) -> HubSource:
    tail = LiveTail()
    hub.attach(tail)
    return HubSource(hub, tail, Redactor.shared())


def note(n: int) -> GenericEvent:
    return GenericEvent(kind="note.made", data={"n": n})


async def turns_until(tasks: list[asyncio.Task[bool]]) -> list[int]:
    """Return how many of the tasks have ended in each turn of the loop in which some have."""
    found, before = [], 0
    while before < len(tasks):
        await asyncio.sleep(0)
        now = sum(task.done() for task in tasks)
        if now > before:
            found.append(now - before)
            before = now
    return found


async def test_one_client_is_let_on_at_a_time() -> None:
    async with Hub(MemoryStore()) as hub:
        line = Line(source_of(hub))
        tasks = [asyncio.create_task(line.place().wait(0.0, None)) for _ in range(30)]
        assert await turns_until(tasks) == [1] * 30
        await line.close()


async def test_those_that_are_due_at_once_take_turns() -> None:
    async with Hub(MemoryStore()) as hub:
        line, due = Line(source_of(hub)), time.monotonic() + 0.05
        tasks = [asyncio.create_task(line.place().wait(due, None)) for _ in range(30)]
        assert await turns_until(tasks) == [1] * 30
        await line.close()


async def test_news_let_all_go_on_one_after_the_other() -> None:
    async with Hub(MemoryStore()) as hub:
        line = Line(source_of(hub))
        later = time.monotonic() + 3600
        tasks = [asyncio.create_task(line.place().wait(later, 0.0)) for _ in range(30)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        await hub.emit(note(1))
        assert await turns_until(tasks) == [1] * 30
        assert not any(task.result() for task in tasks)
        await line.close()


async def test_the_end_of_a_hub_is_told_to_all_that_wait() -> None:
    async def to_the_end() -> None:
        place = line.place()
        while not await place.wait(time.monotonic() + 3600, 0.0):
            pass

    async with Hub(MemoryStore()) as hub:
        line = Line(source_of(hub))
        tasks = [asyncio.create_task(to_the_end()) for _ in range(3)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    await line.close()


async def test_a_client_that_goes_waits_no_more() -> None:
    async with Hub(MemoryStore()) as hub:
        line = Line(source_of(hub))
        place = line.place()
        task = asyncio.create_task(place.wait(time.monotonic() + 3600, 0.0))
        await asyncio.sleep(0)
        place.end()
        assert await task is False
        assert await place.wait(time.monotonic() + 3600, None) is False
        await line.close()


async def test_a_busy_hub_wakes_boards_and_clients_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with each of its commits."""
    taken = 0
    take = _Subscribed.take

    async def counted(self: Any, **how: Any) -> Any:
        nonlocal taken
        found = await take(self, **how)
        taken += 1
        return found

    monkeypatch.setattr(_Subscribed, "take", counted)
    async with (
        Hub(MemoryStore()) as hub,
        signed_in(Dashboard(hub)) as client,
        Frames.of(client, "api/stream?boards=1") as frames,
    ):
        last = await hub.emit(note(0))
        await frames.rows(last.seq)
        taken = 0
        begun = time.monotonic()
        for n in range(300):
            last = await hub.emit(note(n))
        seconds = time.monotonic() - begun
        during = taken
        await frames.rows(last.seq)
    assert during <= 4 + 2 * seconds / 0.02


async def test_a_filtered_client_waits_for_what_it_takes() -> None:
    """Events of others neither end its stream nor wake it for ever."""
    async with (
        Hub(MemoryStore()) as hub,
        signed_in(Dashboard(hub)) as client,
        Frames.of(client, "api/stream?kind=other.*") as frames,
    ):
        for n in range(600):
            await hub.emit(note(n))
        wanted = await hub.emit(GenericEvent(kind="other.made"))
        assert [row["seq"] for row in await frames.rows(wanted.seq)] == [wanted.seq]


async def test_no_task_is_left_when_a_dashboard_is_closed() -> None:
    async with Hub(MemoryStore()) as hub:
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client, Frames.of(client) as frames:
            await frames.rows((await hub.emit(note(0))).seq)
        await until(lambda: not any("dashboard" in task.get_name() for task in asyncio.all_tasks()))
