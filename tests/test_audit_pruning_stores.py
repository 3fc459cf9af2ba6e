"""Pruning on files, on objects, on a full disk, beside another writer, and in a process that is really killed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import anyio
import pytest
from obstore.store import MemoryStore as MemoryService

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub
from hubwire.errors import Fenced, StoreError, StoreFull
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, Retention, examine, verify
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.object import ObjectStore
from hubwire.testing import ManualClock
from support import files_of, until_idle
from support.pruning import DAY, blobs, days_of, firsts

LIMITS = Retention(segments_max=3)


def store_named(name: str, folder: Path) -> KnowledgeStore:
    if name == "files":
        return FileStore(folder)
    return ObjectStore(MemoryService()) if name == "objects" else MemoryStore()


@pytest.mark.parametrize("name", ["memory", "files", "objects"])
async def test_every_store_is_pruned(name: str, tmp_path: Path) -> None:
    store, clock = store_named(name, tmp_path), ManualClock()
    audit = await days_of(store, clock, 7, long_each=True)
    await audit.prune(retention=LIMITS)
    await audit.aclose()
    assert len(await firsts(store)) == 3
    assert await blobs(store) == 3
    found = await verify(store)
    assert (found.integrity.outcome, found.completeness.outcome) == (Outcome.HOLDS, Outcome.HOLDS)
    again = await days_of(store, clock, 3)
    await again.prune(retention=LIMITS)
    await again.aclose()
    assert (await verify(store)).holds
    await store.aclose()


async def test_a_writer_that_was_replaced_removes_nothing() -> None:
    """On a store without holds: its record cannot be appended, and that comes first."""
    store, clock = ObjectStore(MemoryService()), ManualClock()
    older = await days_of(store, clock, 6)
    newer = AuditLog(store, clock=clock)
    await newer.append({"from": "the newer one"})
    segments = await firsts(store)
    with pytest.raises(Fenced):
        await older.prune(retention=LIMITS)
    assert await firsts(store) == segments
    await newer.append({"from": "the newer one"})
    await newer.aclose()
    assert (await verify(store)).holds


class Failing(MemoryStore):
    """A store that fails once at the change of one path."""

    def __init__(self) -> None:
        super().__init__()
        self.path = ""
        self.error: StoreError = StoreError("")

    def _fail_at(self, path: str) -> None:
        if self.path and path.startswith(self.path):
            self.path = ""
            raise self.error

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._fail_at(path)
        await super().write(path, content, if_absent=if_absent, expect=expect)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        self._fail_at(path)
        return await super().append(path, content, expect=expect)

    async def delete(self, path: str) -> None:
        self._fail_at(path)
        await super().delete(path)


@pytest.mark.parametrize("path", ["/audit/pruned", "/audit/kept", "/audit/log", "/audit/blob"])
async def test_a_full_disk_ends_one_pruning_and_not_the_log(path: str) -> None:
    """The log goes on, and the next pruning finishes."""
    store, clock = Failing(), ManualClock()
    audit = await days_of(store, clock, 7, long_each=True)
    store.path, store.error = path, StoreFull("there is no room", path=path)
    with pytest.raises(StoreFull):
        await audit.prune(retention=LIMITS)
    assert store.path == ""
    await audit.append({"after": "it"})
    assert (await verify(store)).holds
    await audit.prune(retention=LIMITS)
    await audit.aclose()
    assert (len(await firsts(store)), await blobs(store)) == (3, 3)
    assert (await verify(store)).holds


async def test_a_failure_of_its_own_pruning_is_counted() -> None:
    """The appends go on, and the next rotation tries again."""
    store, clock = Failing(), ManualClock()
    audit = await days_of(store, clock, 5, retention=LIMITS)
    await until_idle()
    store.path, store.error = "/audit/pruned", StoreFull("there is no room", path="/audit/pruned")
    for day in range(3):
        clock.advance(DAY)
        await audit.append({"day": day})
        await until_idle()
    await audit.aclose()
    assert audit.prune_errors == 1
    assert len(await firsts(store)) == 3
    assert (await verify(store)).holds


async def test_a_pruned_audit_log_takes_no_event_from_a_durable_listener() -> None:
    """It is behind, and reads what it lacks from the journal."""

    class Late(BaseHubListener):
        def __init__(self) -> None:
            self.seen: list[int] = []
            self.gate = anyio.Event()

        async def on_event(self, event: Event) -> None:
            await self.gate.wait()
            self.seen.append(event.seq)

    store, clock, late = MemoryStore(), ManualClock(), Late()
    audit = AuditLog(store, rotation=1, clock=clock, retention=Retention(segments_max=2))
    async with Hub(store, clock=clock, listeners=[audit]) as hub:
        attachment = hub.attach(late, name="late", duty=Duty.DURABLE, since="start")
        events = [await hub.emit(GenericEvent(kind="a.b")) for _ in range(50)]
        assert len(await firsts(store)) < 8
        late.gate.set()
        await until_idle()
        assert attachment.failure is None
        assert late.seen[-1] >= events[-1].seq
        assert late.seen == list(range(late.seen[0], late.seen[-1] + 1))


PROGRAM = """
import asyncio, sys
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention
from hubwire.stores import FileStore

async def main():
    store = FileStore(sys.argv[1])
    log = AuditLog(store, rotation=3000, retention=Retention(segments_max=3))
    last = max((record.get("n", 0) for record in await log.read_all()), default=0)
    for n in range(last + 1, 10**9):
        record = {"n": n} if n % 9 else {"n": n, "at": "2026-01-01", "filling": "x" * 70_000}
        await log.append(record)
        print(n, flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_processes_killed_while_they_prune_leave_a_log_that_verifies(tmp_path: Path) -> None:
    """Nothing that was acknowledged, and has to be kept, is lost; the next process goes on."""
    chance, acknowledged = random.Random(3), 0
    for _ in range(12):
        process = await anyio.open_process([sys.executable, "-P", "-c", PROGRAM, str(tmp_path)], stderr=None)
        assert process.stdout is not None
        wanted = chance.randrange(20, 200)
        said = b""
        while said.count(b"\n") < wanted:
            said += await process.stdout.receive()
        process.kill()
        await process.aclose()
        acknowledged = int(said.split()[-2]) if not said.endswith(b"\n") else int(said.split()[-1])
        store = FileStore(tmp_path)
        found = await examine(store)
        assert found.holds, found
        numbers = [record["n"] for record in await AuditLog(store).read_all()]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[-1] >= acknowledged
        assert len(await firsts(store)) <= 6
        await store.aclose()
    audit = AuditLog(FileStore(tmp_path), retention=Retention(segments_max=2))
    await audit.prune()
    await audit.aclose()
    store = FileStore(tmp_path)
    left = sum("filling" in record for record in await audit.read_all())
    assert left <= await blobs(store) <= left + 12
    assert (await verify(store)).pruned is not None
    await store.aclose()


@pytest.mark.slow
async def test_a_hundred_thousand_records_leave_what_is_kept() -> None:
    """In the store, and in memory: a pruning holds nothing of what is gone."""
    store = MemoryStore()
    audit = AuditLog(store, rotation=200_000, retention=Retention(bytes_max=1_000_000))
    for batch in range(100):
        await audit.append_many([{"n": batch * 1000 + number} for number in range(1000)])
        await until_idle()
    await audit.aclose()
    assert audit.prune_errors == 0
    assert sum(map(len, (await files_of(store)).values())) < 1_500_000
    assert (await verify(store)).records > 100_000
