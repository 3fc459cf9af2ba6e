"""Queries of a log of a million records: one minute of one agent, and counts by kind."""

from __future__ import annotations

import argparse
import atexit
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path

import anyio
from measure import elapsed

from hubwire import codec
from hubwire.clock import SystemClock, timestamp
from hubwire.log import Log
from hubwire.ports import KnowledgeStore
from hubwire.query import Selection, count, index_log, query
from hubwire.stores import FileStore

RECORDS = 1_000_000
START_NS = 1_800_000_000_000_000_000
STEP_NS = 100_000_000
"""Ten records a second: a million are a bit more than a day."""

AGENTS = 200
KINDS = ("tool.called", "tool.completed", "model.called", "model.completed", "envelope.posted", "envelope.acked")


def body(number: int) -> bytes:
    """Return a record of about 300 bytes, as a hub has them."""
    return codec.encode_fields(
        {
            "agent_id": f"{number % AGENTS:032x}",
            "at": timestamp(START_NS + number * STEP_NS),
            "channel_id": f"{number % 50:032x}",
            "hub": "a" * 32,
            "id": f"{number:032x}",
            "kind": KINDS[number % len(KINDS)],
            "seq": number,
            "text": "x" * 60,
        }
    )


async def fill(store: KnowledgeStore, records: int) -> None:
    """Write an audit log of so many records, and close it."""
    log = Log(store, "/audit", clock=SystemClock(), chained=True)
    for start in range(0, records, 2000):
        await log.append([body(number) for number in range(start, min(start + 2000, records))])
    await log.aclose()


def resident_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def minute(store: KnowledgeStore, records: int = RECORDS) -> str:
    """Find what one agent did in one minute in the middle."""
    begin = timestamp(START_NS + records // 2 * STEP_NS)
    end = timestamp(START_NS + records // 2 * STEP_NS + 60 * 10**9)
    found = query(store, selection=Selection.of(agent=f"{7:032x}", since=begin, until=end))
    return f"{len([each async for each in found])} records"


async def scan(store: KnowledgeStore) -> str:
    """Look through all records for one that is in none of them."""
    found = query(store, selection=Selection.of(where={"n": "1"}))
    return f"{len([each async for each in found])} records"


async def kinds(store: KnowledgeStore) -> str:
    """Count by kind."""
    return f"{len((await count(store)).rows)} kinds"


async def kinds_hourly(store: KnowledgeStore) -> str:
    """Count by kind and hour."""
    return f"{len((await count(store, every='1h')).rows)} groups"


async def index(store: KnowledgeStore) -> str:
    """Make the indexes of a log that has none."""
    await store.delete("/audit/index")
    return f"{(await index_log(store)).made} indexes"


@cache
def filled(records: int) -> Path:
    """Return a folder with such a log and its indexes, which all rows share; it is gone when the program ends."""
    root = Path(tempfile.mkdtemp(prefix="hubwire-bench-", dir="."))
    atexit.register(shutil.rmtree, root)

    async def make() -> None:
        await fill(FileStore(root), records)
        await index_log(FileStore(root))

    anyio.run(make)
    return root


def finding(records: int) -> float:
    """Find what one agent did in one minute in the middle, by a store that was never used."""
    root = filled(records)
    return elapsed(lambda: minute(FileStore(root), records))


def counting(records: int) -> float:
    """Count by kind; a record of it."""
    root = filled(records)
    return elapsed(lambda: kinds(FileStore(root))) / records


def reading(records: int) -> float:
    """Read all bytes of the log, a megabyte at a time."""
    start = time.perf_counter()
    for segment in sorted((filled(records) / "audit" / "log").iterdir()):
        with segment.open("rb") as file:
            while file.read(1024 * 1024):
                pass
    return time.perf_counter() - start


def parsing(records: int) -> float:
    """Count by kind with the json module; a record of it."""
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    for segment in sorted((filled(records) / "audit" / "log").iterdir()):
        with segment.open("rb") as file:
            for line in file:
                counts[json.loads(line)["kind"]] += 1
    return (time.perf_counter() - start) / records


WORK = {"index": index, "minute": minute, "kinds": kinds, "kinds an hour": kinds_hourly, "scan": scan}


async def measured(root: Path, what: str) -> None:
    """Do one of them, in a process that has done nothing before, and print what it took."""
    store = FileStore(root)
    before = resident_kib()
    start, at_work = time.perf_counter(), time.process_time()
    found = await WORK[what](store)
    seconds, worked = time.perf_counter() - start, time.process_time() - at_work
    more = (resident_kib() - before) / 1024
    print(
        f"{what:16} {seconds * 1000:9.1f} ms, {worked * 1000:9.1f} ms of work, {more:6.1f} MiB more; {found}",
        flush=True,
    )
    await store.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="where the log is, or is made; by default a temporary directory")
    parser.add_argument("--do", choices=sorted(WORK), help="only this, on a log that is there")
    parser.add_argument("--records", type=int, default=RECORDS)
    given = parser.parse_args()
    if given.do:
        anyio.run(measured, given.root, given.do)
        return
    with tempfile.TemporaryDirectory() as made:
        root = given.root or Path(made)
        if not (root / "audit").exists():
            anyio.run(fill, FileStore(root), given.records)
        for what in WORK:
            subprocess.run([sys.executable, __file__, "--root", str(root), "--do", what], check=True)


if __name__ == "__main__":
    main()
