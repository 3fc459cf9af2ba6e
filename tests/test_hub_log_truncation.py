"""Old segments: truncated when nobody needs them, compacted where the store keeps appends apart."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anyio
import pytest
from obstore.store import MemoryStore as MemoryService

from hubwire import GenericEvent, StoreJournal, codec
from hubwire.errors import HistoryGone, LogDamaged, StoreError
from hubwire.events import Event
from hubwire.events._stamp import EMPTY, stamp
from hubwire.log import Log, LogReader
from hubwire.stores import MemoryStore
from hubwire.stores.object import ObjectStore
from hubwire.testing import ManualClock
from support import until_idle


def body(seq: int) -> bytes:
    return codec.encode_fields({"at": "now", "hub": "a hub", "kind": "a.b", "seq": seq})


def stamped(seq: int) -> Event:
    event = GenericEvent(kind="number.said", data={"n": seq})
    return stamp(event, seq=seq, id=f"id-{seq}", at="now", hub="a hub", context=EMPTY, bytes_max=10**6)


async def log_of(store: Any, records: int, **settings: Any) -> Log:
    """A log whose segments hold one record of each append, and log.rotated."""
    log = Log(store, "/log", clock=ManualClock(), segment_bytes=1, **settings)
    for seq in range(records):
        await log.append([body(seq)], seq=seq, hub="a hub")
    return log


async def segments(store: Any) -> list[int]:
    return [int(name[:20]) for name in await store.list("/log/log")]


# --- truncation -----------------------------------------------------------------------------------------------------


async def test_whole_segments_are_truncated() -> None:
    """The size of the log goes down with them."""
    store = MemoryStore()
    log = await log_of(store, 5)
    firsts = await segments(store)
    size = log.size_bytes
    await log.truncate_before(firsts[3] + 1)
    assert await segments(store) == firsts[3:]
    assert log.size_bytes < size
    assert log.size_bytes == sum([await store.size(f"/log/log/{first:020d}.jsonl") or 0 for first in firsts[3:]])
    await log.append([body(5)], seq=5, hub="a hub")
    await log.aclose()
    again = Log(store, "/log", clock=ManualClock())
    await again.open()
    assert (again.last_seq, again.records) == (5, (await segments(store))[-1] + 1)
    await again.aclose()


async def test_the_last_segment_always_stays() -> None:
    store = MemoryStore()
    log = await log_of(store, 3)
    await log.truncate_before(log.segment)
    assert await segments(store) == [log.segment]


async def test_a_truncated_log_can_be_recovered() -> None:
    store = MemoryStore()
    log = await log_of(store, 5)
    await log.truncate_before(log.segment)
    await log.append([body(5)], seq=5, hub="a hub")
    again = Log(await copy_of(store), "/log", clock=ManualClock())
    await again.open()
    assert again.records == log.records
    assert again.last_seq == 5


async def copy_of(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    for first in await segments(store):
        path = f"/log/log/{first:020d}.jsonl"
        await copy.write(path, await store.read_bytes(path) or b"")
    if kept := await store.read_bytes("/log/kept"):
        await copy.write("/log/kept", kept)
    return copy


async def test_a_reader_goes_on_behind_what_it_has_read() -> None:
    """It is not told that records are gone if it has read all of them, and the next segment is there."""
    store = MemoryStore()
    log = Log(store, "/log", clock=ManualClock(), segment_bytes=200)
    await log.append([body(0)], seq=0, hub="a hub")
    reader = LogReader(store, "/log")
    seen = [record.index for record in await reader.read()]
    for seq in range(1, 4):
        await log.append([body(seq) for _ in range(3)], seq=seq, hub="a hub")
    seen += [record.index for record in await reader.read()]
    firsts = await segments(store)
    assert seen[-1] == firsts[1] - 1
    await log.truncate_before(firsts[1])
    while records := await reader.read():
        seen += [record.index for record in records]
    assert seen == list(range(log.records))


async def test_a_reader_learns_where_to_go_on() -> None:
    """If its place is truncated, it gets the first `seq` that is left."""
    store = MemoryStore()
    log = await log_of(store, 6)
    reader = LogReader(store, "/log")
    assert (await reader.read())[0].index == 0
    await log.truncate_before((await segments(store))[3])
    with pytest.raises(HistoryGone, match="pruned or truncated") as raised:
        while await reader.read():
            pass
    assert raised.value.first_seq == 3
    await reader.seek_after_seq(raised.value.first_seq - 1)
    assert await seqs(reader) == [3, 4, 5]


async def seqs(reader: LogReader) -> list[int]:
    found = []
    while records := await reader.read():
        fields = [codec.decode_fields(record.line) for record in records]
        found += [each["seq"] for each in fields if "seq" in each]
    return found


async def test_an_untruncated_missing_segment_is_damage() -> None:
    store = MemoryStore()
    await log_of(store, 6)
    reader = LogReader(store, "/log")
    await reader.read()
    await store.delete(f"/log/log/{(await segments(store))[1]:020d}.jsonl")
    with pytest.raises(LogDamaged):
        while await reader.read():
            pass


async def test_half_a_truncated_segment_is_not_damage() -> None:
    """A crash may leave it; the next opening deletes it."""
    store = MemoryStore()
    log = await log_of(store, 5)
    firsts = await segments(store)
    path = f"/log/log/{firsts[0]:020d}.jsonl"
    content = await store.read_bytes(path) or b""
    reader = LogReader(store, "/log")
    await reader.seek_index(0)
    await log.truncate_before(firsts[2])
    await store.write(path, content[: content.index(b"\n") + 1])
    with pytest.raises(HistoryGone):
        while await reader.read():
            pass
    assert (await LogReader(store, "/log").read())[0].index == firsts[2]
    await log.aclose()
    again = Log(store, "/log", clock=ManualClock(), segment_bytes=1)
    await again.open()
    assert (await segments(store))[0] == firsts[0]
    await again.repair()
    assert await segments(store) == firsts[2:]


async def test_a_damaged_truncation_marker_is_refused() -> None:
    store = MemoryStore()
    await (await log_of(store, 3)).aclose()
    await store.write("/log/kept", "everything")
    with pytest.raises(LogDamaged, match="should say with which segment the log begins, and is damaged") as raised:
        await Log(store, "/log", clock=ManualClock()).open()
    assert raised.value.path == "/log/kept"


# --- the journal ----------------------------------------------------------------------------------------------------


async def journal_of(store: Any, events: int) -> StoreJournal:
    journal = StoreJournal(store, segment_bytes=1, clock=ManualClock())
    await journal.open()
    for seq in range(events):
        await journal.append([stamped(seq)])
    return journal


async def test_a_truncated_journal_knows_its_first_event() -> None:
    """It knows it also after it is opened again."""
    store = MemoryStore()
    journal = await journal_of(store, 10)
    size = journal.size_bytes
    for seq in range(8):
        await journal.truncate_before(seq)
        assert journal.first_seq == seq
        assert [event.seq async for event in journal.replay(seq - 1)] == list(range(seq, 10))
    assert journal.size_bytes < size / 2
    await journal.truncate_before(100)
    assert journal.first_seq == 9, "at least one event stays"
    await journal.aclose()
    again = await journal_of(store, 0)
    assert (again.first_seq, again.next_seq, again.hub_id) == (9, 10, "a hub")
    await again.append([stamped(10)])
    assert [event.seq async for event in again.replay(8)] == [9, 10]


async def test_replaying_truncated_events_is_refused() -> None:
    """It is refused at the beginning of a replay and in the middle of it."""
    journal = await journal_of(MemoryStore(), 10)
    running = journal.replay()
    assert (await anext(running)).seq == 0
    await journal.truncate_before(7)
    with pytest.raises(HistoryGone) as raised:
        async for _ in running:
            pass
    assert raised.value.first_seq == 7
    with pytest.raises(HistoryGone, match="truncated before 7"):
        await anext(journal.replay(5))


async def test_nothing_to_truncate_reads_nothing() -> None:
    """The journal then leaves its store alone."""

    class Asked(MemoryStore):
        asked = 0

        async def list(self, path: str = "/") -> list[str]:
            self.asked += 1
            return await super().list(path)

    store = Asked()
    journal = StoreJournal(store, segment_bytes=2000, clock=ManualClock())
    await journal.open()
    for seq in range(5):
        await journal.append([stamped(seq)])
    store.asked = 0
    for _ in range(10):
        await journal.truncate_before(4)
    assert store.asked == 0
    for seq in range(5, 40):
        await journal.append([stamped(seq)])
    await journal.truncate_before(1)
    store.asked = 0
    for _ in range(10):
        await journal.truncate_before(2)
    assert store.asked == 0


async def test_a_cancelled_append_is_counted() -> None:
    """It is counted when it is written."""

    class Gated(MemoryStore):
        gate: asyncio.Event | None = None

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if self.gate is not None:
                await self.gate.wait()
            return await super().append(path, content, expect=expect)

    store = Gated()
    journal = await journal_of(store, 3)
    store.gate = asyncio.Event()
    waiting = asyncio.create_task(journal.append([stamped(3)]))
    await until_idle()
    waiting.cancel()
    await until_idle()
    assert waiting.cancelled()
    store.gate.set()
    await journal.append([stamped(4)])
    assert journal.next_seq == 5
    assert [event.seq async for event in journal.replay()] == [0, 1, 2, 3, 4]


async def test_cancelled_error_from_a_store_releases_all() -> None:
    class Cancelling(MemoryStore):
        cancels = ""

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            await until_idle()
            if self.cancels == "append":
                raise asyncio.CancelledError
            return await super().append(path, content, expect=expect)

        async def write(
            self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
        ) -> None:
            if self.cancels == "write":
                raise asyncio.CancelledError
            await super().write(path, content, if_absent=if_absent, expect=expect)

    for cancels in ("append", "write"):
        store = Cancelling()
        log = Log(store, "/log", clock=ManualClock())
        await log.append([body(0)])
        store.cancels = cancels
        calls = [asyncio.create_task(log.append([body(1)])), asyncio.create_task(log.aclose())]
        with anyio.fail_after(10):
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(result, StoreError) for result in results] == [cancels == "append", cancels == "write"]


async def test_checking_a_long_segment_lets_others_run() -> None:
    store = MemoryStore()
    log = Log(store, "/log", clock=ManualClock(), chained=True)
    await log.append([body(seq) for seq in range(5000)], seq=4999, hub="a hub")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    again = Log(await copy_of(store), "/log", clock=ManualClock(), chained=True)
    await again.open()
    counting.cancel()
    assert again.records == 5000
    assert turns > 5000 / 256


# --- compaction -----------------------------------------------------------------------------------------------------


class Compactable(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.compacted: list[str] = []
        self.done = True
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def compact(self, path: str) -> bool:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.compacted.append(path)
        return self.done

    async def uncompacted(self, path: str) -> list[str]:
        return [name for name in await self.list(path) if f"{path}/{name}" not in self.compacted]


async def test_a_sealed_segment_is_compacted() -> None:
    """Appends do not wait for it."""
    store = Compactable()
    store.gate.clear()
    log = await log_of(store, 3)
    assert store.compacted == []
    store.gate.set()
    await until_idle()
    assert store.compacted == [f"/log/log/{first:020d}.jsonl" for first in (await segments(store))[:-1]]
    await log.aclose()


async def test_compaction_is_continued_at_the_next_rotation() -> None:
    store = Compactable()
    store.done = False
    log = await log_of(store, 2)
    await until_idle()
    (first,) = store.compacted
    store.compacted.clear()
    store.done = True
    await log.append([body(2)])
    await until_idle()
    assert first in store.compacted
    store.compacted.clear()
    await log.append([body(3)])
    await until_idle()
    assert first not in store.compacted
    await log.aclose()


async def test_a_failed_compaction_is_repeated() -> None:
    """It is reported, and appends go on."""
    store = Compactable()
    store.error = StoreError("the bucket is gone", path="/log")
    log = await log_of(store, 2)
    await until_idle()
    assert log.compaction_failure is store.error
    assert await log.append([body(2)]) > 0
    store.error = None
    await log.append([body(3)])
    await until_idle()
    assert log.compaction_failure is None
    assert len(store.compacted) == 3
    await log.aclose()


async def test_closing_does_not_wait_for_compaction() -> None:
    store = Compactable()
    store.gate.clear()
    log = await log_of(store, 2)
    await until_idle()
    with anyio.fail_after(5):
        await log.aclose()
    assert store.compacted == []


async def test_the_next_start_compacts_what_is_left() -> None:
    store = Compactable()
    store.gate.clear()
    await log_of(store, 3)
    again = Log(await compactable_copy(store), "/log", clock=ManualClock())
    await again.repair()
    await until_idle()
    copy = again._segments._store
    assert isinstance(copy, Compactable)
    assert copy.compacted == [f"/log/log/{first:020d}.jsonl" for first in (await segments(store))[:-1]]
    await again.aclose()


async def compactable_copy(store: Compactable) -> Compactable:
    copy = Compactable()
    for first in await segments(store):
        path = f"/log/log/{first:020d}.jsonl"
        await copy.write(path, await store.read_bytes(path) or b"")
    return copy


async def test_compaction_makes_one_object() -> None:
    """Its parts are deleted after the grace period."""
    clock, service = ManualClock(start_ns=time.time_ns()), MemoryService()
    store = ObjectStore(service, clock=clock, grace_seconds=600)
    log = Log(store, "/log", clock=clock, segment_bytes=300)
    for seq in range(12):
        await log.append([body(seq)], seq=seq, hub="a hub")
        if (compacting := log._segments.compactor._task) is not None:
            await compacting
    sealed = f"log/log/{0:020d}.jsonl"
    names = [meta["path"] for meta in service.list().collect()]
    assert sealed in names
    assert any(name.startswith(f"{sealed}@/") for name in names), "readers may be at the parts still"
    clock.advance(10_000)  # the service stamps its objects by the real time, which went on meanwhile
    for seq in range(12, 24):
        await log.append([body(seq)], seq=seq, hub="a hub")
        if (compacting := log._segments.compactor._task) is not None:
            await compacting
    names = [meta["path"] for meta in service.list().collect()]
    assert not any(name.startswith(f"{sealed}@/") for name in names)
    reader = LogReader(store, "/log")
    assert await seqs(reader) == list(range(24))
    await log.aclose()
