"""The marker beside a log: in a second event loop, for which the first one does nothing more, and at the closing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire.clock import SystemClock
from hubwire.log import Log, inspect
from hubwire.stores import MemoryStore
from hubwire.testing import Gate
from support import until, until_idle

RECORD = b'{"at":"2026-11-28T00:00:00Z","kind":"a.b"}'


def test_a_log_is_marked_in_a_second_loop() -> None:
    """The first loop ends while a marker is due."""
    store = MemoryStore()
    log = Log(store, "/log", clock=SystemClock())

    async def append() -> None:
        await log.append([RECORD])

    async def append_and_wait() -> None:
        changed = asyncio.Event()

        async def look(_: str) -> None:
            if b'"records":2' in (await store.read_bytes("/log/clean") or b""):
                changed.set()

        subscription = await store.on_change("/log/clean", look)
        await log.append([RECORD])
        await changed.wait()
        await subscription.close()

    asyncio.run(append())
    asyncio.run(asyncio.wait_for(append_and_wait(), 30))


class SlowMarker(MemoryStore):
    """Takes the file of the marker while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.begun = 0

    async def write(self, path: str, content: str | bytes, **settings: Any) -> None:
        if path == "/log/clean":
            self.begun += 1
            await self.gate.pass_through()
        await super().write(path, content, **settings)


async def test_a_marker_under_way_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing lets it come to its end, and then writes that the log was closed."""
    monkeypatch.setattr("hubwire.log._marking.IDLE_SECONDS", 0)
    store = SlowMarker()
    log = Log(store, "/log", clock=SystemClock())
    await log.append([RECORD])
    store.gate.close()
    begun = store.begun
    await log.append([RECORD])
    await until(lambda: store.begun > begun)
    closing = asyncio.create_task(log.aclose())
    await until_idle()
    assert store.begun == begun + 1
    store.gate.open()
    await closing
    assert (await inspect(store, "/log")).is_clean
