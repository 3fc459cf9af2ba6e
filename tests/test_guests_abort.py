"""A hub that its program gives up on purpose: that is no failure, and no error for who did it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hubwire import Hub, HubThread
from hubwire.errors import HubAborted, JournalFailed, StoreError
from hubwire.stores import MemoryStore
from support import said, until


async def test_leaving_an_aborted_hub_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged either; what waits, and who watches the hub, learn that it was meant."""
    with caplog.at_level(logging.INFO, "hubwire"):
        async with Hub(MemoryStore()) as hub:
            watching = asyncio.ensure_future(hub.finished())
            await hub.emit(said())
            await hub.abort()
            assert isinstance(await watching, HubAborted)
            with pytest.raises(HubAborted, match="aborted"):
                await hub.emit(said())
        await hub.aclose()
        await hub.abort()
    assert not caplog.records
    assert isinstance(await hub.finished(), HubAborted)
    assert hub.health().problems[0].startswith("the hub has failed: the hub was aborted")


async def test_the_error_of_the_body_is_unchanged() -> None:
    with pytest.raises(KeyError) as caught:
        async with Hub(MemoryStore()) as hub:
            await hub.abort()
            raise KeyError("the body's own")
    assert caught.value.__context__ is None


async def test_a_failure_before_the_abort_is_kept() -> None:
    """Aborting afterwards does not make it one that was meant."""

    class Broken(MemoryStore):
        is_broken = False

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if self.is_broken:
                raise StoreError("gone")
            return await super().append(path, content, expect=expect)

    store = Broken()
    hub = Hub(store)
    await hub.start()
    store.is_broken = True
    with pytest.raises(JournalFailed):
        await hub.emit(said())
    await hub.abort()
    assert isinstance(await hub.finished(), JournalFailed)
    with pytest.raises(JournalFailed):
        await hub.aclose()


async def test_two_that_abort_at_once_both_return() -> None:
    """And a close that begins meanwhile returns with them, when the journal is free."""
    store = MemoryStore()
    hub = Hub(store)
    await hub.start()
    await asyncio.gather(hub.abort(), hub.abort(), hub.aclose())
    async with Hub(store) as again:
        await until(lambda: again.health().healthy)


def test_a_hub_in_a_thread_is_aborted_without_an_error() -> None:
    thread = HubThread(Hub(MemoryStore()))
    with thread:
        thread.emit(said())
        thread.call(thread.hub.abort)
        with pytest.raises(HubAborted):
            thread.emit(said())


class Late(MemoryStore):
    """What it appends is stored a moment later, as on a disk."""

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        await asyncio.sleep(0.005)
        return await super().append(path, content, expect=expect)


async def test_what_an_aborted_hub_writes_fences_no_next_one() -> None:
    """An append was under way; the next hub begins when that has ended."""
    store = Late()
    for _ in range(3):
        hub = Hub(store)
        await hub.start()
        hub.emit_nowait(said())
        await asyncio.sleep(0.002)  # in which the append has begun
        await hub.abort()
    async with Hub(store) as hub:
        await hub.emit(said())
