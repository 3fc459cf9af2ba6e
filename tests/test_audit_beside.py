"""What lies beside an audit log vouches for no more than it knows: a marker, a journal, a store that cannot be held."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest

from hubwire import GenericEvent, Hub, StoreJournal, codec
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, examine
from hubwire.listeners.audit._beside import JournalBeside, _Event
from hubwire.listeners.audit._records import RecordHead
from hubwire.log import list_segments, segment_path
from hubwire.stores import MemoryStore
from support import said
from support.audit import Lines, alter, filled, work

SEGMENT = segment_path("/audit", 0)


async def cut(store: MemoryStore, path: str, lines: int) -> None:
    """Cut lines off the end of a file, at the end of a line."""
    content = (await store.read_bytes(path) or b"").splitlines(keepends=True)
    await store.write(path, b"".join(content[:-lines]))


async def test_a_journal_that_ends_before_vouches_for_nothing() -> None:
    """What came in the log after the last event of the journal may be cut off at any place."""
    store = await filled()
    await store.delete("/audit/clean")
    await store.delete("/journal/clean")
    await cut(store, segment_path("/journal", 0), 2)
    found = await examine(store)
    assert found.integrity.outcome is Outcome.HOLDS
    assert found.completeness.outcome is Outcome.UNKNOWN
    assert found.completeness.reason == "nothing says where the log should end"


async def test_a_marker_of_another_record_vouches_for_nothing() -> None:
    """It counts as many records as there are, and is one of the faults itself."""
    store = await filled()
    marker = await store.read_bytes("/audit/clean") or b""

    def change(lines: Lines) -> None:
        lines[0][2]["data"] = {"number": 77}

    await alter(store, change)
    await store.write("/audit/clean", marker)
    found = await examine(store, journal=None)
    assert found.integrity.outcome is Outcome.FAILS
    assert "the marker beside the log says" in found.integrity.faults[0]
    assert found.completeness.outcome is Outcome.UNKNOWN
    assert found.completeness.reason == "nothing says where the log should end"


async def test_a_log_closed_before_its_hub_lacks_nothing() -> None:
    """The audit log was detached, and the journal goes on: it is not closed, so that nothing is missing yet."""
    store = MemoryStore()
    async with Hub(store) as hub:
        attachment = hub.attach(AuditLog(store))
        await attachment.ready()
        await hub.emit(GenericEvent(kind="a.b"))
        await attachment.detach()
        for number in range(3):
            await hub.emit(said(number))
        found = await examine(store)
    assert found.completeness.outcome is Outcome.HOLDS
    assert any("a hub at work is about to write them" in note for note in found.notes)


async def test_only_the_first_faults_are_listed() -> None:
    """All are counted; a log that was replaced as a whole makes no list as long as it is."""
    store = await filled(40)

    def change(lines: Lines) -> None:
        for fields in lines[0]:
            if "seq" in fields:
                fields["id"] = "another"

    await alter(store, change)
    found = await examine(store)
    events = found.events
    assert events > 40
    assert found.integrity.reason == f"{events} faults"
    assert len(found.integrity.faults) == 20


async def test_the_first_event_of_a_log_is_compared() -> None:
    """Also where it is the last one in a segment of the journal."""
    store = MemoryStore()
    async with Hub(journal=StoreJournal(store, segment_bytes=1000)) as hub:
        for number in range(20):
            await hub.emit(said(number))
    segments = await list_segments(store, "/journal")
    content = await store.read_bytes(segment_path("/journal", segments[1])) or b""
    last = max(fields["seq"] for line in content.splitlines() if "seq" in (fields := codec.decode_fields(line)))
    hub = Hub(journal=StoreJournal(store, segment_bytes=1000))
    hub.attach(AuditLog(store), since=last)
    async with hub:
        pass
    found = await examine(store)
    assert found.first_seq == last
    assert f"the journal /journal: {found.events} events compared" in found.completeness.looked_at


async def test_a_pattern_of_earlier_is_not_forgotten() -> None:
    """The gaps that it left are still there when every event is promised."""
    store = MemoryStore()
    await work(store, pattern=["even.*", "hub.stopped"])
    await work(store)
    found = await examine(store)
    assert "gaps between events that a pattern selected" in " ".join(found.completeness.not_looked_at)


class Unheld:
    """A store that cannot be held, as one of objects cannot."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name in {"hold", "is_held"}:
            raise AttributeError(name)
        return getattr(self._store, name)


async def test_without_a_hold_no_log_is_sealed() -> None:
    """A writer that was taken over may have left its marker of a closed log beside what the next one writes."""
    memory = await filled()
    store: Any = Unheld(memory)
    marker = await memory.read_bytes("/audit/clean") or b""
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await memory.write("/audit/clean", marker)
        found = await examine(store, journal=None)
        held = await examine(memory, journal=None)
    assert found.integrity.outcome is Outcome.HOLDS
    assert held.integrity.outcome is Outcome.FAILS


async def test_a_journal_of_another_hub_is_not_compared() -> None:
    """Not even one event after the other, though the next one has the same number, id and kind."""
    beside = JournalBeside(MemoryStore(), "/journal")
    beside._hub = "this"
    beside._next.append(_Event(seq=5, id="5", kind="a.b", hub="another"))
    assert not beside.is_met_by(RecordHead(seq=5, id="5", kind="a.b", hub="this"))
    beside._next[0].hub = "this"
    assert beside.is_met_by(RecordHead(seq=5, id="5", kind="a.b", hub="this"))


async def test_a_long_log_is_verified_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub may be at work in the same loop: it has its turns after a few records."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        for _ in range(3):
            await hub.emit_many([GenericEvent(kind="note.made", data={"n": n}) for n in range(1000)])
    monkeypatch.setattr(import_module("hubwire.listeners.audit.verify"), "_SLICE_SECONDS", 0.0)
    turns = 0
    task = asyncio.create_task(examine(store))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert task.result().holds
    assert turns > 3000 / 20
    for share in (0, 1.5, True, "0.5", None):
        with pytest.raises(ConfigurationError, match="share"):
            await examine(store, share=share)  # type: ignore[arg-type]
    assert (await examine(store, share=0.5)).holds
