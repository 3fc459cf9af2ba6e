from __future__ import annotations

import asyncio
import os

import pytest

from hubwire.errors import StoreError
from hubwire.ports import HoldableStore, KnowledgeStore
from hubwire.stores import Durability, MemoryStore
from hubwire.testing.stores import HoldableStoreContract, KnowledgeStoreContract


class TestMemoryStore(KnowledgeStoreContract, HoldableStoreContract):
    @pytest.fixture
    def store(self) -> KnowledgeStore:
        return MemoryStore()


def test_a_memory_store_needs_no_loop() -> None:
    """Its durability is NONE."""
    store = MemoryStore()
    assert store.durability is Durability.NONE
    assert isinstance(store, HoldableStore)


async def test_a_hold_names_this_process() -> None:
    store = MemoryStore()
    await store.hold("/a")
    with pytest.raises(StoreError, match=f"process {os.getpid()} "):
        await store.hold("/a")


async def test_two_memory_stores_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    await one.append("/a", "x")
    await one.hold("/a")
    await other.hold("/a")
    assert await other.list() == []


async def test_files_and_directories_do_not_mix() -> None:
    """A file below a file, or in place of a directory, is refused and changes nothing."""
    store = MemoryStore()
    await store.append("/a/b", "x")
    for path in ("/a", "/a/b/c", "/a/b/c/d"):
        with pytest.raises(StoreError):
            await store.append(path, "y")
        with pytest.raises(StoreError):
            await store.write(path, "y")
    assert await store.list("/") == ["a/"]
    assert await store.list("/a") == ["b"]
    assert await store.read("/a/b") == "x"


async def test_read_bytes_do_not_change_later() -> None:
    store = MemoryStore()
    await store.append("/a", b"one")
    before = await store.read_bytes("/a")
    await store.append("/a", b"two")
    assert before == b"one"


async def test_closing_ends_subscriptions_and_keeps_contents() -> None:
    store = MemoryStore()
    seen: list[str] = []

    async def callback(path: str) -> None:
        seen.append(path)

    await store.on_change("/", callback)
    await store.append("/a", "x")
    await store.aclose()
    told = list(seen)
    await store.append("/b", "x")
    await asyncio.sleep(0)
    assert seen == told
    assert await store.list() == ["a", "b"]


async def test_changes_are_reported_in_order() -> None:
    store = MemoryStore()
    seen: list[str] = []
    last = asyncio.Event()

    async def callback(path: str) -> None:
        seen.append(path)
        if path == "/d":
            last.set()

    subscription = await store.on_change("/", callback)
    for path in ("/c", "/a", "/b", "/d"):
        await store.append(path, "x")
    await last.wait()
    await subscription.close()
    assert seen == ["/c", "/a", "/b", "/d"]
