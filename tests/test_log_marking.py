"""The marker beside a log, in a second event loop: what the first one was to do there, it never will."""

from __future__ import annotations

import asyncio

from hubwire.clock import SystemClock
from hubwire.log import Log
from hubwire.stores import MemoryStore

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
