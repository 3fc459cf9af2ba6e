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


def test_a_memory_store_is_made_without_a_loop_and_says_that_nothing_lasts() -> None:
    store = MemoryStore()
    assert store.durability is Durability.NONE
    assert isinstance(store, HoldableStore)


async def test_a_hold_tells_this_process() -> None:
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


async def test_a_file_below_a_file_and_a_file_in_place_of_a_directory_are_refused_and_change_nothing() -> None:
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


async def test_what_was_read_does_not_change_with_the_file() -> None:
    store = MemoryStore()
    await store.append("/a", b"one")
    before = await store.read_bytes("/a")
    await store.append("/a", b"two")
    assert before == b"one"


async def test_closing_the_store_ends_its_subscriptions_and_keeps_its_contents() -> None:
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


async def test_changes_are_told_in_their_order() -> None:
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
