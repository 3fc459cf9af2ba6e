"""Bounds: the memory that large events leave behind, and the loop while many tails come back."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from pathlib import Path

from hubwire import GenericEvent, Hub
from hubwire.listeners import AuditLog, LiveTail
from hubwire.stores import FileStore

EVENTS = 40_000


def resident(root: Path, count: int) -> float:
    """Return the MiB that a process has in memory after so many events of 60 kB, in a journal and an audit log."""
    command = [sys.executable, "-P", __file__, str(root), str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def _emit_large(root: Path, count: int) -> float:
    store = FileStore(root)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        for number in range(count):
            await hub.emit(GenericEvent(kind="bench.kept", data={"text": "x" * 60_000 + str(number)}))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])  # noqa: ASYNC240 - not on a disk
    return pages * 4096 / 2**20


def resuming(root: Path, tails: int, *, behind: int = 2000) -> float:
    """Return the longest turn of the loop, in seconds of its thread, while tails read what they have not had.

    Each is at another place, in a hub that was started again: what they read is in the journal.
    """

    async def work() -> float:
        store, tail = FileStore(root), LiveTail()
        cursors: list[str] = []
        async with Hub(store, listeners=[tail]) as hub:
            for _ in range(EVENTS // 1000):
                events = [GenericEvent(kind="bench.kept", data={"text": "x" * 200}) for _ in range(1000)]
                await asyncio.gather(*[hub.emit(event) for event in events])
            subscriber = tail.subscribe(tail.cursor_after(hub.statistics().committed - behind))
            while len(cursors) < behind - 10:
                cursors += [item.cursor for item in await subscriber.take()]
        async with Hub(FileStore(root), listeners=[tail]) as hub:
            await hub.flush()
            gc.collect()
            gc.freeze()  # what is there already is not of this measurement
            watching = asyncio.create_task(_longest_turn())
            readers = []
            for number in range(tails):
                readers.append(asyncio.create_task(_read_all(tail, cursors[number * 7919 % len(cursors)])))
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*readers)
            watching.cancel()
            return await watching

    return asyncio.run(work())


async def _read_all(tail: LiveTail, cursor: str) -> None:
    subscriber = tail.subscribe(cursor)
    while subscriber.lag:
        await subscriber.take()


async def _longest_turn() -> float:
    longest, last = 0.0, time.thread_time()
    try:
        while True:
            await asyncio.sleep(0)
            longest, last = max(longest, time.thread_time() - last), time.thread_time()
    except asyncio.CancelledError:
        return longest


if __name__ == "__main__":
    print(asyncio.run(_emit_large(Path(sys.argv[1]), int(sys.argv[2]))))
