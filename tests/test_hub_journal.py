"""StoreJournal: the log that a hub recovers from."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from hubwire import GenericEvent
from hubwire._journal.store_journal import StoreJournal
from hubwire.context import EMPTY
from hubwire.errors import LogDamaged, StoreFull
from hubwire.events import Event
from hubwire.events._stamp import stamp
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import until_idle
from support.log import MEBIBYTE, Spy


def stamped(seq: int, size: int = 0) -> Event:
    made = GenericEvent(kind="a.b", data={"text": "x" * size})
    return stamp(made, seq=seq, id=f"id {seq}", at="now", hub="a hub", context=EMPTY, bytes_max=MEBIBYTE * 8)


async def replayed(journal: StoreJournal, after: int = -1) -> list[Event]:
    return [each async for each in journal.replay(after)]


@pytest.mark.parametrize("segment_bytes", [1, 250, 600, MEBIBYTE])
async def test_a_journal_replays_after_any_seq(segment_bytes: int) -> None:
    store = Spy()
    journal = StoreJournal(store, segment_bytes=segment_bytes, clock=ManualClock())
    await journal.open()
    assert (journal.first_seq, journal.next_seq, journal.hub_id) == (0, 0, None)
    assert await replayed(journal) == []
    events = [stamped(seq) for seq in range(30)]
    for start, end in ((0, 1), (1, 5), (5, 6), (6, 20), (20, 29), (29, 30)):
        await journal.append(events[start:end])
        assert journal.next_seq == end
        assert await replayed(journal) == events[:end]
    for after in range(-1, 32):
        assert await replayed(journal, after) == events[after + 1 :]
    await journal.aclose()
    again = StoreJournal(store, segment_bytes=segment_bytes, clock=ManualClock())
    await again.open()
    assert (again.next_seq, again.hub_id) == (30, "a hub")
    for after in (-1, 3, 28, 29):
        assert await replayed(again, after) == events[after + 1 :]
    await again.append([stamped(30)])
    assert (await replayed(again, 28))[-1].seq == 30


async def test_a_replay_ends_where_it_began() -> None:
    """It gives back what the journal held when the replay began."""
    store = Spy()
    journal = StoreJournal(store, segment_bytes=400, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(seq) for seq in range(5)])
    replay = journal.replay()
    seen = [(await anext(replay)).seq]
    await journal.append([stamped(5)])
    seen += [each.seq async for each in replay]
    assert seen == [0, 1, 2, 3, 4]


async def test_a_replay_leaves_out_unwritten_events() -> None:
    store = Spy()
    journal = StoreJournal(store, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(0)])
    store.close_gate()
    appending = asyncio.create_task(journal.append([stamped(1)]))
    await until_idle()
    assert [each.seq for each in await replayed(journal)] == [0]
    assert journal.next_seq == 1
    store.gate.set()
    await appending
    assert [each.seq for each in await replayed(journal)] == [0, 1]


async def test_a_full_journal_can_be_appended_again() -> None:
    store = Spy()
    journal = StoreJournal(store, clock=ManualClock())
    await journal.open()
    store.failures["append"] = [StoreFull("no space")]
    with pytest.raises(StoreFull):
        await journal.append([stamped(0), stamped(1)])
    assert journal.next_seq == 0
    await journal.append([stamped(0), stamped(1)])
    assert await replayed(journal) == [stamped(0), stamped(1)]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda lines: [lines[0], lines[2]], "holds event 2 where 1 should be"),
        (lambda lines: lines[:2], "ends before event 2, but had 3 events"),
        (lambda lines: [lines[0], b'{"x":1}', lines[2]], 'does not end in "d"'),
        (lambda lines: [lines[0], lines[1].replace(b'"seq":1', b'"seq":x'), lines[2]], "not JSON"),
        (lambda lines: [lines[0], lines[1].replace(b"a hub", b"\xff"), lines[2]], "not JSON"),
        (lambda lines: [lines[0], lines[1].replace(b'"seq":1', b'"sea":1'), lines[2]], 'no "seq"'),
        (
            lambda lines: [
                lines[0],
                b'{"at":"","hub":"","id":"","kind":"agent.registered","name":5,"seq":1,"d":0}',
                lines[2],
            ],
            "another shape than this version of hubwire knows",
        ),
    ],
    ids=["missing", "short", "no record", "no number", "no text", "no event", "another shape"],
)
async def test_damaged_journal_records_are_reported(
    spoil: Callable[[list[bytes]], list[bytes]], complaint: str
) -> None:
    store = MemoryStore()
    journal = StoreJournal(store, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(seq) for seq in range(3)])
    path = "/journal/log/00000000000000000000.jsonl"
    # Without checksums, as older versions wrote them: with them, the reader sees most of this before.
    content = re.sub(rb',"c":"[0-9a-f]{8}"', b"", await store.read_bytes(path) or b"")
    await store.write(path, b"".join(line + b"\n" for line in spoil(content.splitlines())))
    with pytest.raises(LogDamaged, match=complaint) as caught:
        await replayed(journal)
    assert "/journal" in str(caught.value)
    assert caught.value.path == "/journal"


async def test_a_replay_passes_over_own_records() -> None:
    """But not over events with similar names."""
    store = MemoryStore()
    journal = StoreJournal(store, segment_bytes=200, clock=ManualClock())
    await journal.open()
    made = GenericEvent(kind="log.kept", data={"kind": "log.rotated"})
    events = [stamp(made, seq=seq, id="i", at="now", hub="h", context=EMPTY, bytes_max=MEBIBYTE) for seq in range(10)]
    for each in events:
        await journal.append([each])
    assert len(await store.list("/journal/log")) > 2
    assert await replayed(journal) == events


async def test_a_clean_journal_opens_without_reading() -> None:
    store = Spy()
    journal = StoreJournal(store, segment_bytes=400, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(seq) for seq in range(10)])
    await journal.aclose()
    store.calls.clear()
    again = StoreJournal(store, segment_bytes=400, clock=ManualClock())
    await again.open()
    assert again.next_seq == 10
    assert store.count("read_bytes", "/journal/log/") == 1  # the last line
