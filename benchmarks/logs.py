"""Logs: appending, opening, verifying."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from measure import elapsed

from hubwire import codec
from hubwire.clock import SystemClock
from hubwire.events import canonical
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.log import Log
from hubwire.ports import KnowledgeStore
from hubwire.proof import KeySigner, VerifierKey
from hubwire.stores import FileStore, MemoryStore

RECORD = {"kind": "tool.called", "agent_id": "a" * 32, "channel_id": "c" * 32, "tool": "search", "text": "x" * 130}
assert canonical(RECORD) == RECORD


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


KEY = "example.org/bench"


def audit_appends(
    root: Path, count: int, producers: int, *, redacted: bool = True, signer: KeySigner | None = None
) -> float:
    async def work() -> None:
        redactor: Any = "default" if redacted else None
        async with AuditLog(FileStore(root), redactor=redactor, signer=signer) as audit:

            async def produce() -> None:
                for _ in range(count // producers):
                    await audit.append(RECORD)

            async with anyio.create_task_group() as tasks:
                for _ in range(producers):
                    tasks.start_soon(produce)

    return elapsed(work) / count


def signed_appends(root: Path, count: int, producers: int) -> float:
    """The same for a signed log: its tree grows with the records, and a checkpoint is signed each second."""
    return audit_appends(root, count, producers, signer=KeySigner.new(KEY))


def audit_batches(root: Path, count: int, batch: int) -> float:
    """Append records as batches, one after the other."""

    async def work() -> None:
        async with AuditLog(FileStore(root)) as audit:
            for _ in range(count // batch):
                await audit.append_many([RECORD] * batch)

    return elapsed(work) / count


# --- a log that is there already ------------------------------------------------------------------------------------


async def fill(store: KnowledgeStore, records: int) -> None:
    """Write an audit log of this many records, and close it."""
    body = codec.encode_fields({**RECORD, "at": "2026-11-21T00:00:00.000000Z"})
    log = Log(store, "/audit", clock=SystemClock(), chained=True)
    for start in range(0, records, 2000):
        await log.append([body] * min(2000, records - start))
    await log.aclose()


@cache
def filled(records: int) -> Path:
    """Return a folder with such a log, which all rows share; it is gone when the program ends."""
    root = Path(tempfile.mkdtemp(prefix="hubwire-bench-", dir="."))
    atexit.register(shutil.rmtree, root)
    asyncio.run(fill(FileStore(root), records))
    return root


def opening(records: int, *, after_crash: bool) -> float:
    """Open a log: all of its pages are in the cache of the system."""
    root = filled(records)
    if after_crash:
        (root / "audit" / "clean").unlink(missing_ok=True)  # a log to which nothing was appended does not write it
    seconds = 0.0

    async def work() -> None:
        nonlocal seconds
        start = time.perf_counter()
        async with AuditLog(FileStore(root)):
            seconds = time.perf_counter() - start

    asyncio.run(work())
    return seconds


def verifying(records: int) -> float:
    return elapsed(lambda: verify(FileStore(filled(records)))) / records


@cache
def signed(records: int) -> tuple[Path, VerifierKey]:
    """Return a folder with such a log that is signed, and its key."""
    root, key = Path(tempfile.mkdtemp(prefix="hubwire-bench-", dir=".")), KeySigner.new(KEY)
    atexit.register(shutil.rmtree, root)
    asyncio.run(fill(FileStore(root), records))

    async def sign() -> None:
        async with AuditLog(FileStore(root), signer=key) as audit:
            await audit.append(RECORD)

    asyncio.run(sign())
    return root, key.vkey


def verifying_signed(records: int) -> float:
    root, vkey = signed(records)
    return elapsed(lambda: verify(FileStore(root), vkey=vkey)) / records


def hashing(records: int) -> float:
    """SHA-256 of the log's bytes, a megabyte at a time."""
    start = time.perf_counter()
    for segment in sorted((filled(records) / "audit" / "log").iterdir()):
        digest = hashlib.sha256()
        with segment.open("rb") as file:
            while chunk := file.read(1024 * 1024):
                digest.update(chunk)
    return (time.perf_counter() - start) / records


async def _appends(store: KnowledgeStore) -> float:
    async with AuditLog(store) as audit:
        await audit.append(RECORD)
        start = time.perf_counter()
        for _ in range(300):
            await audit.append(RECORD)
        return (time.perf_counter() - start) / 300


def appends_on_disk(root: Path) -> float:
    """One append after the other, to the log that is there."""
    return asyncio.run(_appends(FileStore(root)))


def appends_in_memory(records: int) -> float:
    async def work() -> float:
        store = MemoryStore()
        await fill(store, records)
        return await _appends(store)

    return asyncio.run(work())
