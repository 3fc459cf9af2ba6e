"""What positions, marks, snapshots and the truncation believe, at the very border: one event more or less decides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from hubwire import GenericEvent, Hub, StoreJournal
from hubwire._journal.history import Mark, replay_checked
from hubwire._journal.positions import NAME, Handled, Positions
from hubwire._journal.snapshots import Snapshot, Snapshots
from hubwire._journal.truncation import Truncation
from hubwire._state import State
from hubwire.errors import JournalBehind
from hubwire.ports import Journal
from hubwire.stores import MemoryStore
from hubwire.testing import Gate


class Kept:
    """A journal of which only what is kept beside it counts here."""

    path, hub_id, epoch = "/journal", "h", 1

    def __init__(self, *, first_seq: int = 0, next_seq: int = 10) -> None:
        self.first_seq, self.next_seq, self.size_bytes = first_seq, next_seq, 0
        self.store = MemoryStore()
        self.gate = Gate()
        self.files: dict[str, bytes] = {}
        self.truncated: list[int] = []

    async def keep(self, name: str, content: bytes | None) -> None:
        await self.gate.pass_through()
        self.files[name] = content or b""

    async def truncate_before(self, seq: int) -> None:
        self.truncated.append(seq)

    @property
    def port(self) -> Journal:
        return cast(Journal, self)

    def content(self) -> Any:
        return msgspec.json.decode(self.files[NAME])


def content_of(positions: Mapping[str, int], end: Any = None, hub: str = "h") -> dict[str, bytes]:
    return {NAME: msgspec.json.encode({"version": 1, "hub": hub, "end": end, "positions": positions})}


# --- positions --------------------------------------------------------------------------------------------------------


async def test_a_forgotten_name_that_has_moved_stays_forgotten() -> None:
    """Its newest position was not on disk yet."""
    journal = Kept()
    positions = Positions(journal.port)
    positions.move("a", 3)
    await positions.save("h")
    positions.move("a", 5)
    await positions.forget("a", "h")
    assert not positions.have_moved
    await positions.save("h")
    assert journal.content()["positions"] == {}
    assert "a" not in positions.kept


async def test_a_position_that_moves_back_is_kept() -> None:
    """What was not on disk yet is replaced, also by what is."""
    journal = Kept()
    positions = Positions(journal.port)
    positions.move("a", 5)
    await positions.save("h")
    positions.move("a", 7)
    positions.move("a", 5)
    assert positions.get("a") == 5
    await positions.save("h")
    assert journal.content()["positions"] == {"a": 5}


async def test_an_end_that_moves_during_a_write_is_kept_next() -> None:
    journal = Kept()
    positions = Positions(journal.port)
    positions.end = Mark(3, "id3")
    journal.gate.close()
    saving = asyncio.ensure_future(positions.save("h"))
    await asyncio.sleep(0)
    positions.end = Mark(4, "id4")
    journal.gate.open()
    await saving
    assert journal.content()["end"] == [3, "id3"]
    await positions.save("h")
    assert journal.content()["end"] == [4, "id4"]


async def test_files_of_the_old_form_do_not_count_beside_the_new() -> None:
    """A crash has left them, and they are older: not even damage counts there. The next write deletes them."""
    journal = Kept()
    old = msgspec.json.encode({"name": "a", "hub": "h", "seq": 2})
    await journal.store.write("/journal/positions/a", old)
    await journal.store.write("/journal/positions/gone", b"damaged")
    positions = Positions(journal.port)
    await positions.load(content_of({"a": 8}))
    assert positions.kept == {"a": 8}
    await positions.save("h")
    assert await journal.store.list("/journal/positions") == []


async def test_a_journal_that_lost_its_newest_event_is_behind() -> None:
    """One event is enough, of whichever of the two that speak of it."""
    journal = Kept(next_seq=10)
    await Positions(journal.port).load(content_of({"a": 10}, [9, "id"]))
    with pytest.raises(JournalBehind, match="event 10 was committed when the hub kept its place last"):
        await Positions(journal.port).load(content_of({}, [10, "id"]))
    with pytest.raises(JournalBehind, match="listener 'a' has come to event 11"):
        await Positions(journal.port).load(content_of({"a": 11}))


async def test_a_mark_of_the_event_after_the_end_is_missed() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(GenericEvent(kind="work.done"))
    journal = StoreJournal(store)
    await journal.open()
    try:
        last = [event async for event in journal.replay(-1)][-1]
        assert [e.seq async for e in replay_checked(journal, last.seq, [Mark(last.seq, last.id)])] == [last.seq]
        with pytest.raises(JournalBehind, match=f"event {last.seq + 1} was committed when it was kept"):
            _ = [event async for event in replay_checked(journal, 0, [Mark(last.seq + 1, last.id)])]
    finally:
        await journal.aclose()


async def test_a_snapshot_one_event_beyond_the_end_is_refused() -> None:
    """One right behind the newest event is not."""
    journal = Kept(next_seq=10)
    await journal.store.write(f"/journal/snapshots/{10:020}-0", b"not whole")
    assert await Snapshots(journal.port, State().machines).load({}) is None
    await journal.store.write(f"/journal/snapshots/{11:020}-0", b"not whole")
    with pytest.raises(JournalBehind):
        await Snapshots(journal.port, State().machines).load({})


async def test_a_snapshot_of_another_hub_is_not_believed() -> None:
    """It is whole, and stands at the right event; without the pointer, only what it says itself tells."""
    journal = Kept()
    await Snapshots(journal.port, {}).save(Snapshot(seq=5, hub="other", at="now", entries={}))
    found = Snapshots(journal.port, {})
    assert await found.load({}) is None
    assert "it is one of hub other at event 5" in str(found.damaged)
    await Snapshots(journal.port, {}).save(Snapshot(seq=5, hub="h", at="now", entries={}))
    assert (await Snapshots(journal.port, {}).load({})) is not None


async def test_the_snapshots_of_a_successor_are_left_alone() -> None:
    """A hub that was replaced may still write, on a store that holds no lock."""
    journal = Kept()
    theirs, older = f"{7:020}-2", f"{3:020}-0"
    for name in (theirs, older):
        await journal.store.write(f"/journal/snapshots/{name}", b"whole")
    await Snapshots(journal.port, {}).save(Snapshot(seq=5, hub="h", at="now", entries={}))
    assert await journal.store.list("/journal/snapshots") == [f"{5:020}-1", theirs]


async def test_a_closed_hub_keeps_its_very_last_event() -> None:
    """A journal that is seen again without hub.stopped has lost its end."""
    store = MemoryStore()
    async with Hub(store) as hub:
        for _ in range(3):
            await hub.emit(GenericEvent(kind="work.done"))
    journal = StoreJournal(store)
    await journal.open()
    try:
        kept = msgspec.json.decode((await journal.kept())[NAME])
        assert kept["end"][0] == journal.next_seq - 1
    finally:
        await journal.aclose()


# --- truncation -------------------------------------------------------------------------------------------------------


def truncation_of(journal: Kept, positions: Positions, floor: int, bytes_max: int = 1000) -> Truncation:
    snapshots = cast(Snapshots, SimpleNamespace(floor=floor))
    return Truncation(journal.port, positions, snapshots, journal_bytes_max=bytes_max)


async def test_a_name_that_lost_its_claim_holds_no_journal() -> None:
    """It has missed events already, and would keep all later ones for ever."""
    journal = Kept(first_seq=10, next_seq=30)
    positions = Positions(journal.port)
    await positions.load(content_of({"lost": 9, "here": 12}))
    await truncation_of(journal, positions, 20).truncate(SimpleNamespace(attachments=()), "h")
    assert journal.truncated == [12]


def test_a_full_disk_makes_any_truncation_due() -> None:
    journal = Kept()
    truncation = truncation_of(journal, Positions(journal.port), 5)
    assert not truncation.is_due()
    truncation.make_room()
    assert truncation.is_due()


async def test_what_was_handled_counts_up_to_the_same_last_event() -> None:
    """A listener that holds less than it did has to see events again."""
    journal = Kept()
    positions = Positions(journal.port)
    await positions.keep_handled({"a": Handled(8, 5)}, "h")
    assert [positions.handled("a", last) for last in (None, 4, 5, 6)] == [0, 0, 8, 8]


async def test_what_was_handled_is_kept_while_it_counts() -> None:
    """That of a listener that is away, too, down to the event with which the journal begins."""
    journal = Kept(first_seq=5)
    positions = Positions(journal.port)
    await positions.keep_handled({"away": Handled(5, 1)}, "h")
    await positions.keep_handled({"here": Handled(8, 1)}, "h")
    assert [positions.handled(name, 1) for name in ("away", "here")] == [5, 8]
    journal.first_seq = 6
    await positions.keep_handled({"here": Handled(9, 1)}, "h")
    assert journal.content()["handled"] == {"here": [9, 1]}
