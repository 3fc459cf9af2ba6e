"""A journal object is of one hub at a time: a second hub is refused, and the first one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from hubwire import Hub, StoreJournal
from hubwire.errors import ConfigurationError
from hubwire.ports import Journal
from hubwire.stores import MemoryStore
from hubwire.testing import MemoryHistory, MemorySharedJournal

JOURNALS: list[Callable[[], Journal]] = [
    lambda: StoreJournal(MemoryStore()),
    lambda: MemorySharedJournal(MemoryHistory(MemoryStore())),
]


@pytest.mark.parametrize("make", JOURNALS, ids=["store", "shared"])
async def test_a_second_hub_with_the_same_journal_is_refused_and_the_first_goes_on(make: Callable[[], Journal]) -> None:
    journal = make()
    first, second = Hub(journal=journal), Hub(journal=journal)
    await first.start()
    await first.agents.register("planner")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="is used by another hub"):
            await second.start()
    await first.agents.register("writer")
    await first.aclose()
    async with second:
        assert [each.name for each in second.agents.list()] == ["planner", "writer"]


@pytest.mark.parametrize("make", JOURNALS, ids=["store", "shared"])
async def test_a_journal_is_free_when_its_hub_has_ended(make: Callable[[], Journal]) -> None:
    """Also one that was cancelled while it started, or was aborted, where that ends no journal."""
    journal = make()
    hub = Hub(journal=journal)
    await hub.start()
    await (hub.aclose() if isinstance(journal, StoreJournal) else hub.abort())
    for turns in range(4):
        starting = asyncio.ensure_future(Hub(journal=journal).start())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
    async with Hub(journal=journal) as again:
        await again.agents.register("planner")


def test_a_journal_is_free_when_the_loop_of_its_hub_was_closed() -> None:
    journal = MemorySharedJournal(MemoryHistory(MemoryStore()))
    loop = asyncio.new_event_loop()
    hub = Hub(journal=journal)
    loop.run_until_complete(hub.start())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    journal._is_open = False

    async def use() -> None:
        async with Hub(journal=journal):
            pass

    asyncio.run(use())
