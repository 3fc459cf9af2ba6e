"""Positions that move while they are being kept."""

from __future__ import annotations

import anyio

from hubwire import StoreJournal
from hubwire._journal.positions import Positions
from hubwire.stores import MemoryStore
from hubwire.testing import Gate
from support import until_idle


class Gated(StoreJournal):
    """Keeps what it is given while its gate is open."""

    gate = Gate()

    async def keep(self, name: str, content: bytes | None) -> None:
        await self.gate.pass_through()
        await super().keep(name, content)


async def test_a_position_that_moves_meanwhile_is_kept_next() -> None:
    store = MemoryStore()
    journal = Gated(store)
    await journal.open()
    positions = Positions(journal)
    positions.move("name", 5)
    journal.gate.close()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(positions.save, "a hub")
        await until_idle()
        positions.move("name", 9)
        journal.gate.open()
    assert positions.kept["name"] == 5
    assert positions.have_moved
    await positions.save("a hub")
    assert (positions.kept["name"], positions.have_moved) == (9, False)
    await journal.aclose()
