"""A journal on a store that is followed by looking again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hubwire import Hub, StoreJournal
from hubwire.errors import ConfigurationError, LogDamaged, StoreUnavailable
from hubwire.ports import SharedJournal
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.followed import FollowedStoreJournal
from hubwire.testing import JournalContract, MakeJournal, MakeSharedJournal, SharedJournalContract
from hubwire.testing._journal_events import bodies, made
from hubwire.testing.shared_journals import following

SECONDS = 0.01


class TestFollowedOnFiles(SharedJournalContract):
    @pytest.fixture
    def journals(self, tmp_path: Path) -> MakeSharedJournal:
        return lambda: FollowedStoreJournal(FileStore(tmp_path), poll_seconds=SECONDS, segment_bytes=1000)


class TestFollowedOnObjects(SharedJournalContract):
    """A store that holds no lock: the newcomer wins."""

    @pytest.fixture
    def journals(self) -> MakeSharedJournal:
        obstore = pytest.importorskip("obstore.store")
        from hubwire.stores.object import ObjectStore

        bucket = obstore.MemoryStore()
        return lambda: FollowedStoreJournal(ObjectStore(bucket), poll_seconds=SECONDS, segment_bytes=1000)


class TestFollowedIsAJournal(JournalContract):
    @pytest.fixture
    def journals(self) -> MakeJournal:
        store = MemoryStore()
        return lambda: FollowedStoreJournal(store, poll_seconds=SECONDS, segment_bytes=1000)


# --- what is wrong with it --------------------------------------------------------------------------------------------


def journal_on(store: Any) -> FollowedStoreJournal:
    return FollowedStoreJournal(store, poll_seconds=SECONDS)


async def led(store: Any, events: int) -> FollowedStoreJournal:
    journal = journal_on(store)
    await journal.open()
    await journal.append(made(journal.next_seq, events))
    journal.committed(journal.next_seq)
    return journal


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "1", None, True, 10**9], ids=range(7))
def test_a_time_that_cannot_be_is_refused(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="poll_seconds"):
        FollowedStoreJournal(MemoryStore(), poll_seconds=seconds)


async def mark_of(store: MemoryStore) -> str:
    (name,) = [each for each in await store.list("/journal") if each.startswith("committed-")]
    return f"/journal/{name}"


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b"[" * 100_000, b"x", b"[2, 0, 9, 1] 00000000\n"], ids=range(5))
async def test_a_damaged_mark_shows_nothing_and_is_written_again(damage: bytes) -> None:
    store = MemoryStore()
    leader, other = await led(store, 3), journal_on(store)
    async with following(other) as follower:
        await follower.until(3)
        await leader.append(made(3, 3))
        await store.write(await mark_of(store), damage)
        assert len(await follower.until_quiet()) == 3
        leader.committed(6)
        assert bodies(await follower.until(6)) == bodies(made(0, 6))
    await leader.aclose()


async def test_each_flipped_bit_of_a_mark_is_noticed() -> None:
    store = MemoryStore()
    leader = await led(store, 3)
    await leader.aclose()
    path = await mark_of(store)
    content = await store.read_bytes(path) or b""
    for at in range(8 * (len(content) - 1)):
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << at % 8
        await store.write(path, bytes(flipped))
        other = journal_on(store)
        await other.prepare()
        assert other.next_seq in (0, 3)
        await other.aclose()


async def test_a_journal_of_a_store_journal_goes_on_as_one_that_is_followed() -> None:
    """And back: what it was written by does not matter."""
    store = MemoryStore()
    for life in range(4):
        journal = StoreJournal(store) if life % 2 == 0 else journal_on(store)
        await journal.open()
        await journal.append(made(journal.next_seq, 2))
        if isinstance(journal, FollowedStoreJournal):
            journal.committed(journal.next_seq)
        await journal.aclose()
    async with following(journal_on(store)) as follower:
        assert bodies(await follower.until(8)) == bodies(made(0, 8))
    assert [name for name in await store.list("/journal") if name.startswith("committed-")] == [
        (await mark_of(store)).rpartition("/")[2]
    ]


class Away(MemoryStore):
    """A store that can be out of reach."""

    is_away = False

    async def list(self, path: str = "/") -> list[str]:
        if self.is_away:
            raise StoreUnavailable("away")
        return await super().list(path)


async def test_a_store_that_is_out_of_reach_is_waited_for_but_at_first() -> None:
    store = Away()
    leader, other = await led(store, 3), journal_on(store)
    async with following(other) as follower:
        await follower.until(3)
        store.is_away = True
        with pytest.raises(StoreUnavailable):
            await anext(aiter(journal_on(store).follow()))
        waiting = asyncio.ensure_future(follower.until(5))
        await asyncio.sleep(5 * SECONDS)
        store.is_away = False
        await leader.append(made(3, 2))
        leader.committed(5)
        assert bodies(await waiting) == bodies(made(0, 5))
    await leader.aclose()


async def test_a_damaged_event_is_said_when_it_is_reached() -> None:
    store = MemoryStore()
    leader = await led(store, 3)
    await leader.append(made(3, 3))
    leader.committed(6)
    await leader.aclose()
    (name,) = await store.list("/journal/log")
    content = await store.read_bytes(f"/journal/log/{name}") or b""
    await store.write(f"/journal/log/{name}", content.replace(b'"n":4', b'"n":5'))
    with pytest.raises(LogDamaged):
        async with following(journal_on(store)) as follower:
            await follower.until(6)
    assert len(follower.seen) <= 4


async def test_a_hub_runs_on_it_and_is_one_writer_of_many(tmp_path: Path) -> None:
    journal = journal_on(FileStore(tmp_path))
    assert isinstance(journal, SharedJournal)
    async with Hub(journal=journal) as hub:
        await hub.agents.register("planner")
    async with Hub(journal=journal_on(FileStore(tmp_path))) as hub:
        assert [each.name for each in hub.agents.list()] == ["planner"]
