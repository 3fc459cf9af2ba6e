"""An upkeep that has two reasons to truncate at once."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel

from hubwire import Hub, StoreJournal
from hubwire.errors import StoreFull
from hubwire.log import inspect
from hubwire.testing import Gate, ManualClock
from support import GatedStore, advance, said, until, until_idle


class Watched(StoreJournal):
    """Notes how many truncations are under way at most, and holds them."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.gate = Gate()
        self.under_way = self.most = 0

    async def truncate_before(self, seq: int) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.pass_through()
            await super().truncate_before(seq)
        finally:
            self.under_way -= 1


async def test_one_truncation_is_under_way_at_a_time() -> None:
    """A disk that fills up while another one is under way waits for that."""
    store, clock = GatedStore(), ManualClock()
    journal = Watched(store, segment_bytes=2000, clock=clock)
    async with Hub(journal=journal, snapshot_bytes=1000, clock=clock) as hub:
        await until_idle()
        journal.gate.close()
        for n in range(30):
            await hub.emit(said(n))
        await until(lambda: journal.under_way > 0)
        store.error = StoreFull("the disk is full", path="/journal")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.emit, said(30))
            await until(lambda: bool(hub.health().problems))
            await until_idle()
            store.error = None
            journal.gate.open()
            await advance(clock, 2)
    assert journal.most == 1
    assert not (await inspect(store, "/journal", is_thorough=True)).damage
