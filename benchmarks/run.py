"""Measures hubwire against the physical limit, side by side in one run: ``make bench``.

Machines are noisy, so each figure is the median of interleaved rounds, and what is to be read is the ratio.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table

from hubwire import Event, Hub, codec, event
from hubwire.events import canonical
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore, MemoryStore

ROUNDS = 5
RECORD = {"kind": "tool.called", "agent_id": "a" * 32, "channel_id": "c" * 32, "tool": "search", "text": "x" * 130}


@event("bench.ticked")
class Ticked(Event):
    number: int
    text: str = "x" * 40


class Count:
    """A listener that takes batches."""

    def __init__(self) -> None:
        self.events = 0

    async def on_events(self, events: Sequence[Event]) -> None:
        self.events += len(events)


def elapsed(work: Callable[[], Awaitable[object]]) -> float:
    async def timed() -> float:
        start = time.perf_counter()
        await work()
        return time.perf_counter() - start

    return asyncio.run(timed())


# --- appending ------------------------------------------------------------------------------------------------------


def raw_appends(root: Path, count: int, batch: int) -> float:
    """Write and fdatasync ready lines, ``batch`` at a time: the physical limit of a group commit."""
    line = codec.seal(codec.encode_fields(RECORD), 1_000_000, b"h" * 22) + b"\n"
    descriptor = os.open(root / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    start = time.perf_counter()
    for _ in range(count // batch):
        os.write(descriptor, line * batch)
        os.fdatasync(descriptor)
    seconds = time.perf_counter() - start
    os.close(descriptor)
    return seconds / count


def audit_appends(root: Path, count: int, producers: int) -> float:
    async def work() -> None:
        async with AuditLog(FileStore(root)) as audit:

            async def produce() -> None:
                for _ in range(count // producers):
                    await audit.append(RECORD)

            async with anyio.create_task_group() as tasks:
                for _ in range(producers):
                    tasks.start_soon(produce)

    return elapsed(work) / count


def whole_way(root: Path, count: int, producers: int) -> float:
    """Emit to a journal and an audit log, both synced."""

    async def work() -> None:
        store = FileStore(root)
        async with Hub(store, listeners=[AuditLog(store), Count()]) as hub:

            async def produce() -> None:
                for number in range(count // producers):
                    await hub.emit(Ticked(number=number, channel_id="c" * 32))

            async with anyio.create_task_group() as tasks:
                for _ in range(producers):
                    tasks.start_soon(produce)

    return elapsed(work) / count


# --- fanning out ----------------------------------------------------------------------------------------------------


def fan_out(listeners: int, count: int) -> float:
    """emit_nowait in bursts, until every listener has everything; no store."""
    seconds = 0.0

    async def work() -> None:
        nonlocal seconds
        counters = [Count() for _ in range(listeners)]
        async with Hub(listeners=counters) as hub:
            await hub.flush()
            ticked = Ticked(number=1)
            start = time.perf_counter()
            for _ in range(count // 500):
                for _ in range(500):
                    hub.emit_nowait(ticked)
                await hub.flush()
            seconds = time.perf_counter() - start
        assert all(counter.events >= count for counter in counters)

    asyncio.run(work())
    return seconds / count


def queues(listeners: int, count: int) -> float:
    """The same through an asyncio.Queue for each listener, without stamping or ordering anything."""

    async def work() -> None:
        channels: list[asyncio.Queue[object]] = [asyncio.Queue() for _ in range(listeners)]

        async def listen(channel: asyncio.Queue[object]) -> None:
            for _ in range(count):
                await channel.get()

        async with asyncio.TaskGroup() as tasks:
            for channel in channels:
                tasks.create_task(listen(channel))
            ticked = Ticked(number=1)
            for number in range(count):
                for channel in channels:
                    channel.put_nowait(ticked)
                if number % 500 == 0:
                    await asyncio.sleep(0)

    return elapsed(work) / count


def append_at(root: Path, records: int) -> float:
    """One append to a log that holds this many records already."""
    seconds = 0.0

    async def work() -> None:
        nonlocal seconds
        async with AuditLog(FileStore(root) if root.name != "memory" else MemoryStore()) as audit:
            for start in range(0, records, 1000):
                async with anyio.create_task_group() as tasks:
                    for _ in range(min(1000, records - start)):
                        tasks.start_soon(audit.append, RECORD)
            started = time.perf_counter()
            for _ in range(300):
                await audit.append(RECORD)
            seconds = time.perf_counter() - started

    asyncio.run(work())
    return seconds / 300


def import_time(module: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", f"import {module}"], check=True)
    return time.perf_counter() - start


# --- the table ------------------------------------------------------------------------------------------------------


def median_pair(ours: Callable[[Path], float], other: Callable[[Path], float]) -> tuple[float, float, float]:
    """Return the medians of both, and of the ratio other / ours, round by round."""
    pairs = []
    for _ in range(ROUNDS):
        roots = [Path(tempfile.mkdtemp(prefix="hubwire-bench-", dir=".")) for _ in range(2)]
        try:
            pairs.append((other(roots[0]), ours(roots[1])))
        finally:
            for root in roots:
                shutil.rmtree(root)
    return (
        statistics.median(mine for _, mine in pairs),
        statistics.median(theirs for theirs, _ in pairs),
        statistics.median(theirs / mine for theirs, mine in pairs),
    )


def main() -> None:
    assert canonical(RECORD) == RECORD
    rows: list[tuple[str, str, Callable[[Path], float], Callable[[Path], float]]] = [
        (
            "AuditLog.append, 1 producer, fsync",
            "raw write+fdatasync",
            lambda r: audit_appends(r, 1000, 1),
            lambda r: raw_appends(r, 1000, 1),
        ),
        (
            "AuditLog.append, 256 producers, fsync, chain",
            "raw group commit of ready lines",
            lambda r: audit_appends(r, 51200, 256),
            lambda r: raw_appends(r, 51200, 256),
        ),
        (
            "emit -> journal and AuditLog synced, 256 producers",
            "raw group commit of ready lines",
            lambda r: whole_way(r, 25600, 256),
            lambda r: raw_appends(r, 25600, 256),
        ),
        (
            "emit_nowait to 1 listener, no store",
            "asyncio.Queue",
            lambda _: fan_out(1, 50_000),
            lambda _: queues(1, 50_000),
        ),
        (
            "emit_nowait to 10 listeners, no store",
            "asyncio.Queue each",
            lambda _: fan_out(10, 50_000),
            lambda _: queues(10, 50_000),
        ),
        ("append at 100,000 records, file", "append at 0", lambda r: append_at(r, 100_000), lambda r: append_at(r, 0)),
        ("import hubwire", "import asyncio", lambda _: import_time("hubwire"), lambda _: import_time("asyncio")),
    ]
    table = Table("what", "µs", "against", "µs", "ratio (theirs / ours)")
    for what, against, ours, theirs in rows:
        mine, other, ratio = median_pair(ours, theirs)
        table.add_row(what, f"{mine * 1e6:,.2f}", against, f"{other * 1e6:,.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
