"""ObjectStore over a service in memory: what does not need a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from obstore.store import LocalStore, MemoryStore as MemoryService

from hubwire.errors import AppendConflict, ConfigurationError, StoreError
from hubwire.ports import KnowledgeStore
from hubwire.stores._locks import PathLocks
from hubwire.stores.object import ObjectStore
from hubwire.testing import ManualClock
from hubwire.testing.stores import KnowledgeStoreContract


class TestObjectStore(KnowledgeStoreContract):
    @pytest.fixture
    def store(self) -> KnowledgeStore:
        return ObjectStore(MemoryService(), poll_seconds=0.05)


class TestObjectStoreWithAPrefix(KnowledgeStoreContract):
    @pytest.fixture
    def store(self) -> KnowledgeStore:
        return ObjectStore(MemoryService(), "/some/folder/", poll_seconds=0.05)


@attrs.define
class CountingService:
    """Counts the requests to a service in memory."""

    inner: MemoryService = attrs.Factory(MemoryService)
    asked: list[str] = attrs.Factory(list)
    deleted: list[str] = attrs.Factory(list)

    async def delete_async(self, some: list[str]) -> None:
        self.deleted += some
        await self.inner.delete_async(some)

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self.inner, name)


def keys(service: MemoryService) -> list[str]:
    return sorted(meta["path"] for meta in service.list().collect())


# --- the layout -----------------------------------------------------------------------------------------------------


async def test_a_file_is_an_object_and_parts() -> None:
    """Parts are named by their byte offset."""
    service = MemoryService()
    store = ObjectStore(service, "top")
    await store.write("/a/b", "12345")
    await store.append("/a/b", "é")
    await store.append("/a/b", "x")
    await store.append("/c", "y")
    await store.append("/d", "")
    assert keys(service) == [
        "top/a/b",
        "top/a/b@/00000000000000000005",
        "top/a/b@/00000000000000000007",
        "top/c@/00000000000000000000",
        "top/d",
    ]


async def test_a_write_removes_all_parts() -> None:
    service = MemoryService()
    store = ObjectStore(service)
    for _ in range(5):
        await store.append("/a", "12345")
    await store.write("/a", "1")
    assert keys(service) == ["a"]
    assert await store.append("/a", "2") == 1
    assert await store.read("/a") == "12"


async def test_parts_are_deleted_newest_first() -> None:
    """The object itself goes last."""
    service = CountingService()
    store = ObjectStore(service)  # type: ignore[arg-type]
    for name in ("/d/a", "/d/b"):
        await store.write(name, "1")
        await store.append(name, "2")
        await store.append(name, "3")
    newest_first = [f"d/b@/{2:020}", f"d/b@/{1:020}"]
    service.deleted.clear()
    await store.write("/d/b", "4")
    assert service.deleted == newest_first
    await store.append("/d/b", "5")
    service.deleted.clear()
    await store.delete("/d")
    assert service.deleted == [newest_first[1], "d/b", f"d/a@/{2:020}", f"d/a@/{1:020}", "d/a", "d"]


async def test_an_empty_append_stores_nothing() -> None:
    service = MemoryService()
    store = ObjectStore(service)
    await store.append("/a", "x")
    before = keys(service)
    assert await store.append("/a", "") == 1
    assert keys(service) == before


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 999, 1000, 1001, 2500, 7777])
async def test_the_end_is_found_with_few_listings(parts: int) -> None:
    service = MemoryService()
    for n in range(parts):
        await service.put_async(f"a@/{n * 3:020}", b"abc")
    counting = CountingService(service)
    store = ObjectStore(counting)  # type: ignore[arg-type]
    assert await store.size("/a") == parts * 3
    assert counting.asked.count("list") <= 8
    counting.asked.clear()
    assert await store.append("/a", "x") == parts * 3
    assert await store.append("/a", "x") == parts * 3 + 1
    assert counting.asked.count("list") <= 8
    counting.asked.clear()
    assert await store.read_bytes("/a", parts * 3 - 1, parts * 3 + 2) == b"cxx"
    assert counting.asked.count("list") <= 8


async def test_another_writer_is_overtaken_without_a_listing() -> None:
    service = CountingService()
    one, other = (ObjectStore(service) for _ in range(2))  # type: ignore[arg-type]
    for n in range(5):
        assert await one.append("/a", "1") == 2 * n
        assert await other.append("/a", "2") == 2 * n + 1
    assert service.asked.count("list") == 2
    assert await one.read("/a") == "12" * 5


async def test_a_hole_is_reported() -> None:
    service = MemoryService()
    store = ObjectStore(service)
    for n in range(3):
        assert await store.append("/a", "12345") == 5 * n
    await service.delete_async(f"a@/{5:020}")
    for call in (store.read("/a"), store.read_bytes("/a", 12), store.compact("/a"), ObjectStore(service).size("/a")):
        with pytest.raises(StoreError, match="has a hole at byte 5"):
            await call
    await store.delete("/a")
    assert keys(service) == []


@pytest.mark.slow
async def test_a_subscription_lists_new_parts_only() -> None:
    service = CountingService()
    store = ObjectStore(service, poll_seconds=0.01)  # type: ignore[arg-type]
    for n in range(5000):
        await service.inner.put_async(f"log/a@/{n:020}", b"x")
    seen: list[str] = []
    told = asyncio.Event()

    async def callback(path: str) -> None:
        seen.append(path)
        told.set()

    subscription = await store.on_change("/log", callback)
    service.asked.clear()
    assert await store.append("/log/b", "x") == 0
    await told.wait()
    told.clear()
    assert await store.append("/log/a", "x") == 5000
    await told.wait()
    await subscription.close()
    assert seen == ["/log/b", "/log/a"]
    surveys = service.asked.count("get_async") - 3  # one for the probe, and one for the end of each file
    assert service.asked.count("list") <= 3 * surveys + 6


# --- compaction -----------------------------------------------------------------------------------------------------


async def test_merged_parts_stay_for_the_grace_period() -> None:
    """They are not read meanwhile."""
    clock = ManualClock(start_ns=time.time_ns())
    service = MemoryService()
    store = ObjectStore(service, grace_seconds=600, clock=clock)
    for n in range(3):
        await store.append("/a", str(n))
    await store.compact("/a")
    await store.append("/a", "3")
    await store.compact("/a")
    assert len(keys(service)) == 5
    assert await store.read("/a") == "0123"
    assert await store.list() == ["a"]
    clock.advance(601)
    await store.compact("/a")
    assert keys(service) == ["a"]
    assert await store.read("/a") == "0123"
    assert await store.append("/a", "4") == 4


async def test_compacting_nothing_changes_nothing() -> None:
    service = MemoryService()
    store = ObjectStore(service)
    await store.compact("/a")
    await store.write("/b", "x")
    await store.compact("/b")
    assert keys(service) == ["b"]


async def test_a_large_file_is_compacted_piecewise() -> None:
    store = ObjectStore(MemoryService())
    content = bytes(range(256)) * 12288  # 3 MiB
    for _ in range(4):
        await store.append("/a", content)
    await store.compact("/a")
    assert await store.read_bytes("/a") == content * 4


# --- order ----------------------------------------------------------------------------------------------------------


async def test_a_cancelled_waiter_keeps_the_order() -> None:
    locks = PathLocks()
    order: list[str] = []
    release = asyncio.Event()

    async def take(name: str, *, tree: bool = False) -> None:
        async with locks.locked("/a", tree=tree):
            order.append(f"{name} comes")
            if name == "first":
                await release.wait()
            order.append(f"{name} goes")

    tasks = [asyncio.ensure_future(take(name)) for name in ("first", "second", "third")]
    tasks.append(asyncio.ensure_future(take("tree", tree=True)))
    tasks.append(asyncio.ensure_future(take("last")))
    await anyio.wait_all_tasks_blocked()
    tasks[1].cancel()
    await asyncio.wait(tasks[1:2])
    await anyio.wait_all_tasks_blocked()
    release.set()
    await asyncio.wait(tasks)
    assert order == [f"{name} {does}" for name in ("first", "third", "tree", "last") for does in ("comes", "goes")]


async def test_a_deletion_is_ordered_among_appends() -> None:
    """It waits for the appends before it, and delays those after it."""
    store = ObjectStore(MemoryService())
    await asyncio.gather(
        store.append("/a/b", "one"),
        store.append("/a/c", "two"),
        store.delete("/a"),
        store.append("/a/b", "three"),
        store.append("/a/b", "four", expect=5),
    )
    assert await store.list("/a") == ["b"]
    assert await store.read("/a/b") == "threefour"


async def test_a_conflict_names_the_actual_size() -> None:
    service = MemoryService()
    one, other = ObjectStore(service), ObjectStore(service)
    await one.append("/a", "123")
    await other.append("/a", "45")
    with pytest.raises(AppendConflict) as caught:
        await one.append("/a", "x", expect=3)
    assert caught.value.actual == 5
    assert await one.append("/a", "67", expect=5) == 5


# --- settings -------------------------------------------------------------------------------------------------------


def test_a_long_prefix_is_refused() -> None:
    """It would not leave room for paths."""
    with pytest.raises(ConfigurationError, match="more than 100 bytes"):
        ObjectStore(MemoryService(), "x" * 101)


async def test_a_service_without_metadata_is_refused(tmp_path: Path) -> None:
    store = ObjectStore(LocalStore(tmp_path))
    with pytest.raises(StoreError, match="not yet implemented"):
        await store.append("/a", "x")
    assert await store.list() == []


def test_without_obstore_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["obstore"] = None
from hubwire.errors import ConfigurationError
from hubwire.stores import open_store
for url in ("s3://bucket", "gs://bucket", "az://container"):
    try:
        open_store(url)
    except ConfigurationError as error:
        print(error)
"""
    done = subprocess.run((sys.executable, "-P", "-c", program), capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'hubwire[s3]'") == 3
