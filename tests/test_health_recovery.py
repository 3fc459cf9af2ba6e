"""Health says what the start found of the journal and did about it, though it is no problem."""

from __future__ import annotations

from hubwire import GenericEvent, Hub
from hubwire.stores import MemoryStore
from support import GatedStore, files_of


async def test_a_torn_tail_is_said() -> None:
    store = GatedStore()
    async with Hub(store) as hub:
        await hub.emit(GenericEvent(kind="work.done"))
        left = store.crashed()
    (segment,) = [path for path in await files_of(left, "/journal") if path.endswith(".jsonl")]
    await left.append(segment, b'{"torn')
    async with Hub(left) as again:
        health = again.health()
        assert health.healthy
        assert any("the start had to set 6 bytes" in note and segment in note for note in health.notes)
    async with Hub(left) as third:
        assert third.health().notes == ()


async def test_without_a_journal_there_is_none() -> None:
    async with Hub() as hub:
        assert hub.health().notes == ()
    async with Hub(MemoryStore()) as hub:
        assert hub.health().notes == ()
