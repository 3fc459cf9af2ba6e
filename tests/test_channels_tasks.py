"""How a task ended, and with what, can be waited for and found later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire import Hub, Limits
from hubwire.errors import HubClosed, NotFound, TaskNotCompleted
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import advance, until_tidy


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["in memory", "on a store"])
async def test_the_result_of_a_task_is_waited_for(store: MemoryStore | None) -> None:
    """By any number, also when it has ended."""
    async with Hub(store) as hub:
        a = await hub.agents.register("a")
        task = await hub.tasks.start(a, "add")
        waiting = [asyncio.create_task(task.result()), asyncio.create_task(hub.tasks.outcome(task.id))]
        await asyncio.sleep(0)
        await task.complete({"sum": 3})
        result, outcome = await asyncio.gather(*waiting)
        assert result == {"sum": 3}
        assert (outcome.how, outcome.result, outcome.reason) == ("completed", {"sum": 3}, "")
        assert await task.result() == {"sum": 3}


@pytest.mark.parametrize("how", ["failed", "cancelled", "expired"])
async def test_a_task_without_a_result_says_why(how: str) -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        a = await hub.agents.register("a")
        task = await hub.tasks.start(a, "add", ttl_seconds=10)
        if how == "failed":
            await task.fail(ValueError("odd"))
        elif how == "cancelled":
            await task.cancel("no need")
        else:
            await advance(clock, 12)
        with pytest.raises(TaskNotCompleted, match=how) as caught:
            await task.result()
        reasons = {"failed": "odd", "cancelled": "no need", "expired": "its time was up"}
        assert (caught.value.how, caught.value.reason) == (how, reasons[how])
        assert (await task.ended()).error_type == ("ValueError" if how == "failed" else "")


async def test_results_outlive_the_journal_and_restarts() -> None:
    """What was truncated of the journal is in the archive."""
    store, limits = MemoryStore(), Limits(ring=64, snapshot_bytes=20_000, journal_bytes_max=200_000)
    async with Hub(store, limits=limits) as hub:
        a = await hub.agents.register("a")
        tasks = [await hub.tasks.start(a, f"{number}") for number in range(1000)]
        for number, task in enumerate(tasks):
            await task.complete({"number": number})
        assert (await until_tidy(hub)).first_seq > 500
    async with Hub(store, limits=limits) as hub:
        for number in (0, 500, 999):
            assert (await hub.tasks.outcome(tasks[number].id)).result == {"number": number}


@pytest.mark.parametrize("odd", [None, 7, "", "never was", b"x"], ids=repr)
async def test_an_unknown_task_has_no_outcome(odd: Any) -> None:
    async with Hub() as hub:
        with pytest.raises((NotFound, Exception), match="task"):
            await hub.tasks.outcome(odd)


async def test_who_waits_for_a_task_learns_that_the_hub_has_closed() -> None:
    async with Hub() as hub:
        task = await hub.tasks.start(await hub.agents.register("a"), "add")
        waiting = asyncio.create_task(task.result())
        await asyncio.sleep(0)
    with pytest.raises(HubClosed):
        await waiting
