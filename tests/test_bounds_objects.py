"""Logs on objects: how many requests they cost, and what is left of their parts."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from obstore.store import MemoryStore as Service

from hubwire.errors import StoreUnavailable
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.log import Log, LogReader
from hubwire.ports import CompactableStore
from hubwire.stores import MemoryStore
from hubwire.stores.object import ObjectStore
from hubwire.testing import ManualClock
from support import store_at, until_idle


class Counting:
    """A service that counts the requests to it."""

    def __init__(self) -> None:
        self.inner = Service()
        self.requests = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in {"get_async", "put_async", "list", "list_with_delimiter_async", "delete_async"}:
            return method

        def counted(*args: Any, **options: Any) -> Any:
            self.requests += 1
            return method(*args, **options)

        return counted


def clock_at(day: int = 0) -> ManualClock:
    return ManualClock(start_ns=time.time_ns() + day * 86_400 * 10**9)


async def compacted(log: Log) -> None:
    """Wait until the log has compacted what is due."""
    if (task := log._segments.compactor._task) is not None:
        await asyncio.wait([task])


async def written(store: ObjectStore, segments: int, *, clock: ManualClock | None = None) -> None:
    """Write a log of so many segments, one record each, and close it."""
    log = Log(store, "/audit", clock=clock or clock_at(), chained=True, segment_bytes=1)
    for number in range(segments):
        await log.append([b'{"kind":"a.b","number":%d}' % number])
    await compacted(log)
    await log.aclose()


def parts_of(service: Any, folder: str = "audit/log/") -> list[str]:
    """Return the names of all parts of sealed segments."""
    names = sorted(meta["path"] for meta in service.list().collect())
    owners = sorted({name for name in names if name.startswith(folder) and "@" not in name})
    return [name for name in names if "@/" in name and name.partition("@/")[0] in owners[:-1]]


# --- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [ObjectStore(Service())])
def test_an_object_store_is_compactable(store: ObjectStore) -> None:
    assert isinstance(store, CompactableStore)
    assert not isinstance(MemoryStore(), CompactableStore)


async def test_merged_parts_are_deleted_after_a_restart() -> None:
    """They stay for their grace period, which no writer outlives here; the next one deletes them."""
    service = Service()
    await written(ObjectStore(service, clock=clock_at()), 12)
    merged = parts_of(service)
    assert len(merged) >= 11
    same_day = Log(ObjectStore(service, clock=clock_at()), "/audit", clock=clock_at(), chained=True)
    await same_day.open()
    await compacted(same_day)
    await same_day.aclose()
    assert set(merged) <= set(parts_of(service)), "readers may be at the parts still"
    store = ObjectStore(service, clock=clock_at(1))
    next_day = Log(store, "/audit", clock=clock_at(1), chained=True)
    await next_day.repair()
    await compacted(next_day)
    assert parts_of(service) == []
    reader, records = LogReader(store, "/audit"), 0
    while some := await reader.read():
        records += len(some)
    assert records == next_day.records
    assert next_day.compaction_failure is None
    await next_day.aclose()


async def test_what_a_crash_left_in_parts_is_merged() -> None:
    """Every sealed segment that is in parts, and not the newest one alone; the one that is written stays as it is."""
    service = Service()
    store = ObjectStore(service, clock=clock_at())
    log = Log(store, "/audit", clock=clock_at(), chained=True, segment_bytes=1)
    log._segments.compactor._store = MemoryStore()  # as if the writer died each time before it compacted
    for number in range(5):
        await log.append([b'{"kind":"a.b","number":%d}' % number])
    in_parts = await store.uncompacted("/audit/log")
    assert len(in_parts) >= 5
    again = Log(ObjectStore(service, clock=clock_at(1)), "/audit", clock=clock_at(1), chained=True)
    await again.repair()
    await compacted(again)
    sizes = {meta["path"]: meta["size"] for meta in service.list().collect()}
    assert all(sizes[f"audit/log/{name}"] for name in in_parts[:-1])
    assert sizes.get(f"audit/log/{in_parts[-1]}", 0) == 0
    await again.aclose()


async def test_other_files_are_left_alone() -> None:
    """What was set aside, and what strangers have put there, is not compacted."""
    service = Service()
    store = ObjectStore(service, clock=clock_at())
    await written(store, 3)
    for name in ("00000000000000000000.jsonl.torn-7", "notes.txt", "zzz.jsonl"):
        await store.append(f"/audit/log/{name}", b"x")
    await written(ObjectStore(service, clock=clock_at(1)), 1, clock=clock_at(1))
    left = {meta["path"] for meta in service.list().collect()}
    assert {f"audit/log/{name}@/{0:020d}" for name in ("notes.txt", "zzz.jsonl")} <= left


async def test_looking_for_parts_may_fail() -> None:
    """The log is open all the same, reports it, and compacts what it seals later."""

    class Failing(ObjectStore):
        async def uncompacted(self, path: str) -> list[str]:
            raise StoreUnavailable("away", path=path)

    log = Log(Failing(Service()), "/audit", clock=clock_at(), segment_bytes=1)
    await log.repair()
    await compacted(log)
    assert isinstance(log.compaction_failure, StoreUnavailable)
    for number in range(3):
        await log.append([b'{"kind":"a.b","number":%d}' % number])
    await compacted(log)
    assert log.compaction_failure is None
    await log.aclose()


async def test_files_in_parts_are_found_with_one_request() -> None:
    service = Counting()
    store = ObjectStore(service)  # type: ignore[arg-type]
    await store.write("/log/whole", b"x")
    for number in range(50):
        await store.append(f"/log/{number:03d}", b"x")
    await store.append("/log/below/deeper", b"x")
    service.requests = 0
    assert await store.uncompacted("/log") == [f"{number:03d}" for number in range(50)]
    assert service.requests == 1
    assert await store.uncompacted("/nowhere") == []


async def test_parts_are_found_on_a_server(s3_url: str) -> None:
    """Named as S3 names them, below a prefix; the files in between have parts of their own."""
    prefix = uuid.uuid4().hex
    store = store_at(s3_url, prefix)
    await store.append("/log/a", b"1")
    await store.append("/log/a", b"2")
    await store.write("/log/b", b"1")
    await store.append("/log/c", b"1")
    assert await store.uncompacted("/log") == ["a", "c"]
    assert not await store.compact("/log/a")
    assert await store.uncompacted("/log") == ["a", "c"], "merged, and left for the grace period"
    assert await store.uncompacted("/") == []
    await store.aclose()


# --- requests -------------------------------------------------------------------------------------------------------


async def requests_of(segments: int) -> tuple[int, int]:
    """Return how many requests it costs to open an audit log of so many segments that was closed, and to verify it."""
    service = Counting()
    await written(ObjectStore(service), segments)  # type: ignore[arg-type]
    store = ObjectStore(service)  # type: ignore[arg-type]
    service.requests = 0
    log = AuditLog(store)
    await log.__aenter__()
    opening, service.requests = service.requests, 0
    await verify(store)
    verifying = service.requests
    await until_idle()
    await log.aclose()
    return opening, verifying


async def test_opening_costs_the_same_for_any_length() -> None:
    (few, _), (many, _) = await requests_of(5), await requests_of(60)
    assert few == many <= 15


async def test_verifying_costs_few_requests_a_segment() -> None:
    (_, few), (_, many) = await requests_of(10), await requests_of(40)
    assert (many - few) / 30 <= 2.5


async def test_sealing_asks_about_one_older_segment() -> None:
    """Of those with parts left the oldest is asked about, however many there are; then all whose time has come."""

    class Waiting(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []
            self.is_over = False

        async def compact(self, path: str) -> bool:
            self.calls.append(path)
            return self.is_over

        async def uncompacted(self, path: str) -> list[str]:
            return []

    store = Waiting()
    log = Log(store, "/audit", clock=clock_at(), segment_bytes=1)
    for number in range(30):
        await log.append([b'{"kind":"a.b","number":%d}' % number])
        await compacted(log)
    assert len(store.calls) == 2 * 29 - 1
    store.is_over = True
    store.calls.clear()
    await log.append([b'{"kind":"a.b","number":30}'])
    await compacted(log)
    assert len(store.calls) == 1 + 29
    await log.aclose()
