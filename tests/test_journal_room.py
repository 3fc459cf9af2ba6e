"""A hub on a disk that it has filled itself: what is not needed any more makes room."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, JournalStatistics, StoreJournal
from hubwire.errors import StoreFull
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import advance, until, until_tidy

SEGMENT_BYTES = 64 << 10


class Broken(BaseHubListener):
    """Fails for good, so that the journal is kept for it."""

    async def on_events(self, events: Sequence[Event]) -> None:
        raise RuntimeError("it never works")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(place)]
    mounted = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def hub_on(store: FileStore) -> Hub:
    hub = Hub(journal=StoreJournal(store, segment_bytes=SEGMENT_BYTES), snapshot_bytes=SEGMENT_BYTES)
    hub.attach(Broken(), name="broken", duty=Duty.DURABLE, since="start")
    return hub


def journal_of(hub: Hub) -> JournalStatistics:
    journal = hub.statistics().journal
    assert journal is not None
    return journal


async def emit(hub: Hub, size_bytes: int) -> None:
    """Emit events whose payloads are this many bytes together."""
    for number in range(size_bytes // 4000):
        await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 4000}))


async def test_a_listener_that_never_works_does_not_fill_the_disk(small: Path) -> None:
    """The journal takes half of the room at most; then the listener misses events, and health says which."""
    store = FileStore(small)
    async with hub_on(store) as hub:
        await emit(hub, 6 << 20)
        assert journal_of(hub).size_bytes < 2 << 20
        [problem] = [problem for problem in hub.health().problems if "broken" in problem]
        assert "missed" in problem or "suspended" in problem
        assert (await store.free_bytes()) > 256 << 10


@pytest.mark.slow
async def test_a_disk_that_others_fill_has_room_again_by_truncation(small: Path) -> None:
    """The journal alone would be in bounds, but its disk is full: what it keeps for the listener goes."""
    store = FileStore(small)
    async with hub_on(store) as hub:
        await emit(hub, 1 << 20)
        kept = journal_of(hub).size_bytes
        free = await store.free_bytes()
        await store.write("/others", b"x" * (free - (32 << 10)))
        await emit(hub, 1 << 20)
        assert journal_of(hub).size_bytes < kept
        assert not [problem for problem in hub.health().problems if "space" in problem]


@pytest.mark.slow
async def test_a_hub_starts_on_a_disk_that_is_full(small: Path) -> None:
    store = FileStore(small)
    async with hub_on(store) as hub:
        await emit(hub, 1 << 20)
    free = await store.free_bytes()
    await store.append("/others", b"x" * (free - 1))
    async with hub_on(store) as hub:
        await emit(hub, 1 << 20)


class NoRoomForSnapshots(FileStore):
    """A disk that has no room for snapshots while ``is_full``."""

    is_full = False

    async def write(self, path: str, content: str | bytes, **settings: Any) -> None:
        if self.is_full and "/snapshots/" in path:
            raise StoreFull("no room", path=path)
        await super().write(path, content, **settings)


@pytest.mark.slow
async def test_what_is_not_needed_goes_where_no_snapshot_fits(tmp_path: Path) -> None:
    store = NoRoomForSnapshots(tmp_path)
    hub = Hub(
        journal=StoreJournal(store, segment_bytes=SEGMENT_BYTES),
        snapshot_bytes=SEGMENT_BYTES,
        journal_bytes_max=1 << 20,
    )
    hub.attach(Broken(), name="broken", duty=Duty.DURABLE, since="start")
    async with hub:
        await emit(hub, 1 << 19)
        assert journal_of(hub).first_seq == 0
        store.is_full = True
        await emit(hub, 1 << 20)
        await until(lambda: journal_of(hub).first_seq > 0)
        assert "no room" in (journal_of(hub).last_error or "")
        store.is_full = False


class Crowded(MemoryStore):
    """Has no room for the journal while ``is_full``: until a segment of that is deleted."""

    is_full = False

    async def append(self, path: str, content: str | bytes, **settings: Any) -> int:
        if self.is_full and path.startswith("/journal/log/"):
            raise StoreFull("no room", path=path)
        return await super().append(path, content, **settings)

    async def delete(self, path: str) -> None:
        await super().delete(path)
        if path.startswith("/journal/log/"):
            self.is_full = False

    async def free_bytes(self) -> int:
        return 0 if self.is_full else 1 << 30

    async def keep_reserve(self) -> bool:
        return True


async def test_room_is_made_each_time_a_disk_is_full() -> None:
    """No position moves and no commit comes meanwhile, which would be other occasions for a truncation."""
    store, clock = Crowded(), ManualClock()
    journal = StoreJournal(store, clock=clock, segment_bytes=SEGMENT_BYTES)
    async with Hub(journal=journal, clock=clock, snapshot_bytes=SEGMENT_BYTES) as hub:
        for name in ("first", "second"):
            hub.attach(Broken(), name=name, duty=Duty.DURABLE)
            await emit(hub, 4 * SEGMENT_BYTES)
            await until_tidy(hub)
            assert name in dict(journal_of(hub).positions)
            upkeep = hub._parts.upkeep
            assert upkeep is not None
            await upkeep.snapshotter.take()  # a segment with what is newer than the last snapshot makes no room
            store.is_full = True
            emitting = asyncio.create_task(hub.emit(GenericEvent(kind="work.done")))
            # To make room takes time of threads, and the hub gives up after a minute of the clock: that goes slowly.
            while not emitting.done():
                await asyncio.sleep(0.01)
                await advance(clock, 0.05)
