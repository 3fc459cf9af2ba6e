"""Reading old events again: an index of the journal, and one reading for all who are at a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given, settings, strategies as st

from hubwire import Duty, Event, GenericEvent, Hub, Limits
from hubwire._delivery import replays as replays_module
from hubwire._delivery.replays import BATCH_MAX, Replays
from hubwire._journal.store_journal import StoreJournal
from hubwire.clock import SystemClock
from hubwire.errors import HistoryGone, StoreError
from hubwire.events import evolve
from hubwire.listeners import LiveTail
from hubwire.log import Log, LogReader, Place, SeqIndex
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, Recorder
from support import numbers, said, until, until_idle

KB = 1024


class Counting(MemoryStore):
    """Counts what is read of the segments of a journal, and lists of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.reads = self.lists = 0

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        content = await super().read_bytes(path, start, end)
        if "/log/" in path:
            self.reads += 1
            self.bytes += len(content or b"")
        return content

    async def list(self, path: str = "/") -> Any:
        self.lists += 1
        return await super().list(path)

    def forget(self) -> None:
        self.bytes = self.reads = self.lists = 0


def spoken(seq: int, size: int = 0) -> Event:
    return evolve(
        GenericEvent(kind="number.said", data={"n": seq, "text": "x" * size}), seq=seq, id=str(seq), at="", hub="h"
    )


async def journal_of(store: MemoryStore, sizes: Sequence[int], *, segment_bytes: int = 1 << 20) -> StoreJournal:
    """Return a journal that was written in batches, closed, and opened again: it has noted nothing but its end."""
    journal = StoreJournal(store, segment_bytes=segment_bytes)
    await journal.open()
    for start in range(0, len(sizes), 10):
        await journal.append([spoken(start + n, size) for n, size in enumerate(sizes[start : start + 10])])
    await journal.aclose()
    journal = StoreJournal(store, segment_bytes=segment_bytes)
    await journal.open()
    return journal


async def replayed(journal: StoreJournal, after: int, count: int) -> list[int]:
    found: list[int] = []
    async for event in journal.replay(after):
        found.append(event.seq)
        if len(found) == count:
            break
    return found


# --- the index ------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    sizes=st.lists(st.sampled_from([0, 100, 2000, 40_000, 150_000]), min_size=1, max_size=120),
    segment_bytes=st.sampled_from([5_000, 200_000, 2_000_000]),
    places=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 10, 70_000])), max_size=8),
)
async def test_a_replay_begins_anywhere(sizes: list[int], segment_bytes: int, places: list[tuple[float, int]]) -> None:
    """In any order of places, while events are added: each replay gives exactly what is behind its place."""
    store = MemoryStore()
    journal = await journal_of(store, sizes, segment_bytes=segment_bytes)
    total = len(sizes)
    for part, added in places:
        after = int(part * total) - 1
        assert await replayed(journal, after, 3) == list(range(after + 1, min(after + 4, total)))
        if added:
            await journal.append([spoken(total, added)])
            total += 1
    assert await replayed(journal, -1, total) == list(range(total))
    await journal.aclose()


async def test_a_place_is_found_without_what_is_before() -> None:
    """The first search reads the way to the place, and later ones a small piece, wherever they begin."""
    store = Counting()
    journal = await journal_of(store, [1000] * 8000, segment_bytes=3_000_000)
    store.forget()
    assert await replayed(journal, 6000, 5) == list(range(6001, 6006))
    assert store.bytes < 5_000_000
    for after in (6000, 5900, 6100, 6200):
        store.forget()
        assert await replayed(journal, after, 5) == list(range(after + 1, after + 6))
        assert store.bytes < 400 * KB
    store.forget()
    for after in range(6000, 6400, 7):
        await replayed(journal, after, 1)
    assert store.lists == 0
    assert store.bytes < 60 * 200 * KB
    await journal.aclose()


async def test_the_writer_notes_where_it_is() -> None:
    """What was written since the start is found without any search, across segments."""
    store = Counting()
    journal = StoreJournal(store, segment_bytes=1_000_000)
    await journal.open()
    for seq in range(5000):
        await journal.append([spoken(seq, 1000)])
    assert len(journal._index) < 200
    for after in range(0, 5000, 501):
        store.forget()
        assert await replayed(journal, after, 2) == [after + 1, after + 2]
        assert (store.bytes <= 200 * KB, store.lists) == (True, 0)
    await journal.aclose()


async def test_a_search_is_made_once_for_all() -> None:
    store = Counting()
    journal = await journal_of(store, [1000] * 4000, segment_bytes=1 << 24)
    store.forget()
    found = await asyncio.gather(*[replayed(journal, 3000 + n % 20, 1) for n in range(100)])
    assert found == [[3001 + n % 20] for n in range(100)]
    assert store.bytes < 4_000_000 + 100 * 150 * KB
    assert store.lists == 1
    await journal.aclose()


async def test_truncated_places_are_forgotten() -> None:
    store = MemoryStore()
    journal = await journal_of(store, [1000] * 2000, segment_bytes=200_000)
    await replayed(journal, 10, 1)
    await journal.truncate_before(1500)
    assert all(place.segment >= journal._oldest for place in journal._index._places)
    with pytest.raises(HistoryGone):
        await replayed(journal, 10, 1)
    assert await replayed(journal, journal.first_seq - 1, 2) == [journal.first_seq, journal.first_seq + 1]
    await journal.aclose()


async def test_records_without_a_number_are_passed() -> None:
    """Records of the log's own stand between events, and a search must not stop at one."""
    store = MemoryStore()
    log = Log(store, "/log", clock=SystemClock())
    for seq in range(300):
        await log.append([b'{"kind":"log.noted","text":"%b"}' % (b"y" * 70_000)])
        await log.append([b'{"kind":"a.b","seq":%d,"text":"%b"}' % (seq, b"x" * 1000)], seq=seq, hub="h")
    await log.aclose()
    index = SeqIndex()
    for wanted in (250, 10, 299):
        reader = LogReader(store, "/log", index)
        await reader.seek_after_seq(wanted - 1)
        seen: list[int] = []
        while wanted not in seen:
            seen += [
                int(record.line.split(b'"seq":')[1].split(b",")[0])
                for record in await reader.read()
                if b'"seq"' in record.line
            ]
        assert seen[0] <= wanted
    assert len(index) > 20


@given(steps=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=60), wanted=st.integers(0, 500))
def test_an_index_never_leads_behind(steps: list[tuple[int, int]], wanted: int) -> None:
    """What it finds is a place at or before the event, and the last one noted is always found from there on."""
    index, noted = SeqIndex(), dict[int, Place]()
    for seq, _ in sorted(steps):
        place = Place(seq // 100 * 100, seq, seq % 100 * 20 * KB)
        index.note(seq, place)
        noted[seq] = place
    found = index.find(wanted)
    if found is not None:
        assert found in [place for seq, place in noted.items() if seq <= wanted]
    index.forget_before(200)
    assert all(place.segment >= 200 for place in index._places)


# --- one reading for all --------------------------------------------------------------------------------------------


class Replayed:
    """A journal whose replays are counted, can be held up, and can fail."""

    first_seq = 0

    def __init__(self, size: int = 0) -> None:
        self.gate = Gate(is_open=True)
        self.begun: list[int] = []
        self.read = 0
        self.error: Exception | None = None
        self._size = size

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        self.begun.append(after + 1)
        for seq in range(after + 1, 5000):
            await self.gate.pass_through()
            if self.error is not None:
                raise self.error
            self.read += 1
            yield spoken(seq, self._size) if not self._size else _heavy(seq, self._size)


def _heavy(seq: int, size: int) -> Event:
    event = spoken(seq, size)
    object.__setattr__(event, "_weight", size)
    return event


def reading(journal: Replayed) -> Replays:
    return Replays(journal)  # type: ignore[arg-type]


async def test_readers_at_a_place_share_a_reading() -> None:
    journal = Replayed()
    replays = reading(journal)
    found = await asyncio.gather(*[replays.read(1000 + n % 20, 5000, 1 << 20) for n in range(1000)])
    assert [events[0].seq for events in found] == [1000 + n % 20 for n in range(1000)]
    assert journal.begun == [768]
    assert journal.read == 256
    assert {events[-1].seq for events in found} == {1023}, "from here on all are together"
    assert (await replays.read(1024, 1030, 1 << 20))[-1].seq == 1029
    assert journal.begun == [768], "the replay goes on where it was"


async def test_a_cancelled_reader_leaves_its_place_to_the_next() -> None:
    journal = Replayed()
    replays = reading(journal)
    journal.gate.close()
    first, second, third = (asyncio.create_task(replays.read(n, 300, 1 << 20)) for n in (0, 1, 2))
    await until_idle()
    first.cancel()
    await until_idle()
    journal.gate.open()
    assert [(await task)[0].seq for task in (second, third)] == [1, 2]
    assert first.cancelled()
    assert journal.begun == [0, 0]


async def test_each_reader_gets_the_failure_of_its_own() -> None:
    """A reading that fails fails one reader; the next tries again, and goes on when the store is well."""
    journal = Replayed()
    replays = reading(journal)
    journal.error = StoreError("away")
    found = await asyncio.gather(*[replays.read(n, 300, 1 << 20) for n in range(3)], return_exceptions=True)
    assert [type(each) for each in found] == [StoreError] * 3
    journal.error = None
    assert (await replays.read(2, 300, 1 << 20))[0].seq == 2


async def test_large_events_are_read_in_small_runs() -> None:
    """What is kept is bounded, and a reader gets to its place though those before are too large to read along."""
    journal = Replayed(100 * KB)
    replays = reading(journal)
    seq = 200
    while seq < 300:
        events = await replays.read(seq, 5000, 300 * KB)
        assert [each.seq for each in events] == list(range(seq, seq + len(events)))
        assert 1 <= len(events) <= 3
        seq += len(events)
    assert replays._runs._bytes <= 8 << 20
    assert [each.seq for each in await replays.read(seq, 5000, 1)] == [seq]


async def test_many_places_leave_little_behind() -> None:
    journal = Replayed()
    replays = reading(journal)
    for seq in (*range(0, 5000, 512), *range(256, 5000, 512), *range(0, 5000, 512)):
        await replays.read(seq, 5000, 1 << 20)
        assert len(replays._open) <= 8
    assert len(replays._runs._runs) <= 32
    assert not replays._under_way


async def test_few_decode_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many readers come back to however many places, a turn of the loop reads few events."""
    journal, turn, in_turn = Replayed(), 0, dict[int, int]()
    monkeypatch.setattr(replays_module, "size_of", lambda _: in_turn.update({turn: in_turn.get(turn, 0) + 1}) or 0)

    async def count() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    counting = asyncio.create_task(count())
    replays = reading(journal)
    await asyncio.gather(*[replays.read(n * BATCH_MAX, 5000, 1 << 20) for n in range(19)])
    counting.cancel()
    assert sum(in_turn.values()) == 2 * 19 * BATCH_MAX, "once to stop in time, once for the run that is kept"
    assert max(in_turn.values()) <= 4 * (32 + BATCH_MAX)


# --- whole hubs -----------------------------------------------------------------------------------------------------


async def test_a_thousand_tails_resume_as_one() -> None:
    """After a restart, at places near each other: the journal is read once, and each gets what it has not had."""
    store, tail = Counting(), LiveTail()
    async with Hub(store, listeners=[tail]) as hub:
        for n in range(3000):
            await hub.emit(said(n))
        viewer = tail.subscribe(tail.cursor_after(2400), pattern="number.said")
        cursors: list[str] = []
        while len(cursors) < 500:
            cursors += [item.cursor for item in await viewer.take()]
    async with Hub(store, listeners=[tail]) as hub:
        await hub.flush()
        store.forget()
        subscribers = [tail.subscribe(cursors[n % 500], pattern="number.said") for n in range(1000)]
        batches = await asyncio.gather(*[each.take() for each in subscribers])
        assert all(batches)
        assert store.reads < 20
        assert store.bytes < 2000 * KB


async def test_durable_listeners_catch_up_beside_tails() -> None:
    store, tail = MemoryStore(), LiveTail()
    early, late = Recorder(), Recorder()
    async with Hub(store) as hub:
        await hub.attach(early, duty=Duty.DURABLE, pattern="number.said", name="early").ready()
        attachment = hub.attach(late, duty=Duty.DURABLE, pattern="number.said", name="late")
        await attachment.ready()
        await attachment.detach()
        for n in range(2000):
            await hub.emit(said(n))
        await hub.flush()
    async with Hub(store, listeners=[tail], limits=Limits(ring=10)) as hub:
        hub.attach(late, duty=Duty.DURABLE, pattern="number.said", name="late")
        subscribers = [tail.subscribe(tail.cursor_after(n), pattern="number.said") for n in range(0, 1000, 10)]
        async with anyio.create_task_group() as tasks:
            for each in subscribers:
                tasks.start_soon(each.take)
        await hub.flush()
        await until(lambda: len(late.events) == 2000)
    assert numbers(early.events) == numbers(late.events) == list(range(2000))
