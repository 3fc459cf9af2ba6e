"""Doctor names what is missing beside a journal, and what it says of it is what a start then does."""

from __future__ import annotations

import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, Limits, StoreJournal
from hubwire.cli.inspection import inspect_store
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of, until


class Mirror(BaseHubListener):
    def __init__(self) -> None:
        self.seen: list[int] = []

    async def on_event(self, event: Event) -> None:
        self.seen.append(event.seq)


def hub_on(
    store: MemoryStore, mirror: Mirror, *, snapshot_bytes: int = 1 << 20, clock: ManualClock | None = None
) -> Hub:
    limits = Limits(snapshot_bytes=snapshot_bytes, history_bytes_max=0)
    hub = Hub(journal=StoreJournal(store), limits=limits, clock=clock or ManualClock())
    hub.attach(mirror, name="mirror", duty=Duty.DURABLE, since="start", pattern="work.*")
    return hub


async def work(store: MemoryStore, mirror: Mirror, count: int = 30, *, snapshot_bytes: int = 1 << 20) -> None:
    async with hub_on(store, mirror, snapshot_bytes=snapshot_bytes) as hub:
        for number in range(count):
            await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 100}))
        await hub.flush()
        if snapshot_bytes < 10_000:
            await until(lambda: (journal := hub.statistics().journal) is not None and journal.snapshot_seq is not None)


async def without(store: MemoryStore, *parts: str) -> MemoryStore:
    """Return a copy of a store without the files whose paths contain one of these."""
    left = {path: each for path, each in (await files_of(store)).items() if not any(part in path for part in parts)}
    return await store_of(left)


async def notes_of(store: MemoryStore) -> tuple[str, ...]:
    report = await inspect_store(store, name="it")
    assert not [problem for problem in report.problems if problem.is_in_the_way]
    return report.notes


@pytest.mark.parametrize("snapshot_bytes", [1 << 20, 3000], ids=["no snapshot", "snapshots"])
async def test_a_missing_folder_beside_a_journal_is_named(snapshot_bytes: int) -> None:
    """With what it means for DURABLE listeners, and for the state."""
    store = MemoryStore()
    await work(store, Mirror(), snapshot_bytes=snapshot_bytes)
    assert await notes_of(store) == ()
    broken = await without(store, "/beside/")
    notes = await notes_of(broken)
    assert [note.split(" is missing", 1)[0] for note in notes] == [
        "/journal/beside/positions-…",
        *(["/journal/beside/snapshots-…"] if snapshot_bytes == 3000 else []),
    ]
    assert "each of them begin where its since=... says" in notes[0]
    assert "restore /journal/beside from the copy that the journal is of" in notes[0]
    mirror = Mirror()
    await work(broken, mirror, 1)
    assert len(mirror.seen) == 31  # it begins at its since="start" again, as the note says
    assert not [note for note in await notes_of(broken) if "/positions-" in note]


async def test_the_pointer_to_snapshots_alone_is_named() -> None:
    """Where the positions were kept before there was a snapshot, they do not name its pointer."""
    store = MemoryStore()
    await work(store, Mirror(), 3)
    before = {path: each for path, each in (await files_of(store)).items() if "/beside/positions" in path}
    await work(store, Mirror(), 30, snapshot_bytes=3000)
    files = {path: each for path, each in (await files_of(store)).items() if "/beside/" not in path}
    (note,) = await notes_of(await store_of(files | before))
    assert note.startswith("/journal/beside/snapshots-… is missing: which snapshots count")


async def test_a_killed_hub_lacks_what_it_had_kept() -> None:
    """Its marker does not say that it was closed, but its earlier life was."""
    store = MemoryStore()
    await work(store, Mirror(), 3)
    async with hub_on(store, Mirror()) as hub:
        await hub.emit(GenericEvent(kind="work.done"))
        killed = await without(store, "/beside/", "/.lock")
    (note,) = await notes_of(killed)
    assert note.startswith("/journal/beside/positions-… is missing")


async def test_a_hub_that_worked_for_a_while_has_kept_something() -> None:
    """Also one that was never closed."""
    store, clock = MemoryStore(), ManualClock()
    async with hub_on(store, Mirror(), clock=clock) as hub:
        for _ in range(2):
            await hub.emit(GenericEvent(kind="work.done"))
            clock.advance(61)
        killed = await without(store, "/beside/", "/.lock")
    assert len(await notes_of(killed)) == 1


async def test_a_hub_that_was_killed_at_once_lacks_nothing() -> None:
    """It had kept nothing yet."""
    store = MemoryStore()
    async with hub_on(store, Mirror()) as hub:
        await hub.emit(GenericEvent(kind="work.done"))
        killed = await without(store, "/beside/", "/.lock")
    assert await notes_of(killed) == ()


async def test_an_empty_store_lacks_nothing() -> None:
    assert await notes_of(MemoryStore()) == ()
