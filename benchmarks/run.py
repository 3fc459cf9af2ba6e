"""Measures hubwire against the physical limit and against AG2, side by side in one run: ``make bench``.

Machines are noisy, so each figure is the median of interleaved rounds, and the ratio is the figure to read. For a
part of it: ``make bench ARGS="--quick --only tail --only verify"``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from asks import asks, dbos_steps, missing, tapio_asks
from bounds import resident, resuming
from hubs import emit_wait, emit_wait_of_many, emits, fan_out, live_tail, queues, whole_way
from logs import (
    appends_in_memory,
    appends_on_disk,
    audit_appends,
    audit_batches,
    filled,
    hashing,
    opening,
    raw_appends,
    signed_appends,
    verifying,
    verifying_signed,
)
from measure import Row, measure
from peers import ag2_appends_in_memory, ag2_fan_out, ag2_post_wait, ag2_whole_way
from queries import counting, finding, parsing, reading
from redacting import redacting
from rich.console import Console
from rich.table import Table
from webhooks import emit_wait_beside

SEGMENT_RECORDS = 40_000
"""A log of so many is one segment, nearly full."""


def import_time(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", statement], check=True)
    return time.perf_counter() - start


def appending() -> list[Row]:
    return [
        Row(
            "AuditLog.append, 1 producer, fsync",
            lambda root: audit_appends(root, 1000, 1),
            "raw write+fdatasync",
            lambda root: raw_appends(root, 1000, 1),
        ),
        Row(
            "AuditLog.append, 256 producers, fsync, chain, redaction",
            lambda root: audit_appends(root, 51_200, 256),
            "raw group commit of ready lines",
            lambda root: raw_appends(root, 51_200, 256),
        ),
        Row(
            "AuditLog.append, 256 producers, fsync, chain, redaction, tree, signature",
            lambda root: signed_appends(root, 51_200, 256),
            "raw group commit of ready lines",
            lambda root: raw_appends(root, 51_200, 256),
        ),
        Row(
            "AuditLog.append, 256 producers, fsync, chain, redaction",
            lambda root: audit_appends(root, 25_600, 256),
            "without redaction",
            lambda root: audit_appends(root, 25_600, 256, redacted=False),
        ),
        Row(
            "a record of AuditLog.append_many, 100 at once, fsync",
            lambda root: audit_batches(root, 20_000, 100),
            "AuditLog.append, 1 producer",
            lambda root: audit_appends(root, 1000, 1),
        ),
        Row(
            "a record of AuditLog.append_many, 100 at once, fsync",
            lambda root: audit_batches(root, 20_000, 100),
            "AuditLog.append, 256 producers",
            lambda root: audit_appends(root, 25_600, 256),
            "all of a batch are there after a crash, or none",
        ),
    ]


def committing() -> list[Row]:
    whole = "whole way: emit -> journal and AuditLog both synced, redaction, Metrics, LiveTail, 256 producers"
    return [
        Row(
            whole,
            lambda root: whole_way(root, 25_600, 256),
            "raw group commit of ready lines",
            lambda root: raw_appends(root, 25_600, 256),
        ),
        Row(
            whole,
            lambda root: whole_way(root, 25_600, 256),
            "AG2: post_envelope, audited, disk store, 256 producers",
            lambda root: ag2_whole_way(root, 5120, 256),
            "a journal line, an audit record, a count and a live subscriber on either side; AG2 never syncs",
        ),
        Row(
            whole,
            lambda root: whole_way(root, 25_600, 256),
            "without redaction",
            lambda root: whole_way(root, 25_600, 256, redacted=False),
            "the audit log and the tail share what is redacted",
        ),
        *emitting_many(),
        *waiting(50),
        *waiting(99),
    ]


def emitting_many() -> list[Row]:
    return [
        Row(
            "an event of emit_many, 100 at once, no store",
            lambda _: emits(None, 20_000, 1, 100),
            "emit",
            lambda _: emits(None, 20_000, 1),
        ),
        Row(
            "an event of emit_many, 100 at once, fsync",
            lambda root: emits(root, 20_000, 1, 100),
            "emit",
            lambda root: emits(root, 500, 1),
            "all of a batch are there after a crash, or none",
        ),
        Row(
            "an event of emit_many, 100 at once, fsync, 16 producers",
            lambda root: emits(root, 32_000, 16, 100),
            "emit, 256 producers",
            lambda root: emits(root, 25_600, 256),
            "both share the syncs of the journal",
        ),
    ]


def waiting(percent: int) -> list[Row]:
    what = f"emit beside a listener that takes 1 ms, p{percent}, no store"
    return [
        Row(
            what,
            lambda _: emit_wait(percent, beside_slow=True),
            "without that listener",
            lambda _: emit_wait(percent, beside_slow=False),
            "the slow one is BEST_EFFORT: it falls behind, and the events it misses are counted",
        ),
        Row(
            what,
            lambda _: emit_wait(percent, beside_slow=True),
            "AG2: post_envelope beside one, memory store",
            lambda _: ag2_post_wait(percent),
        ),
        Row(
            f"an emit every 2 ms beside a webhook, p{percent}, memory store",
            lambda _: emit_wait_beside(percent, "webhook"),
            "beside a DURABLE function that does nothing",
            lambda _: emit_wait_beside(percent, "function"),
            "the endpoint is a process of its own; each event is redacted, signed and delivered",
        ),
        Row(
            f"emit beside 30 functions, 5 of which fail, hang or block, p{percent}, memory store",
            lambda _: emit_wait_of_many(percent, sick=True),
            "the same 30 when all are well",
            lambda _: emit_wait_of_many(percent, sick=False),
            "16 producers as fast as they can; every failure is a dead letter",
        ),
    ]


def fanning_out() -> list[Row]:
    return [
        *fanning_out_to(1),
        *fanning_out_to(10),
        Row(
            "a delivery by LiveTail to 1,000 subscribers, no store",
            lambda _: live_tail(1000, 2000),
            "asyncio.Queue each",
            lambda _: queues(1000, 500) / 1000,
            "subscribers at the same place get the very same batch of at most 256",
        ),
    ]


def fanning_out_to(listeners: int) -> list[Row]:
    what = f"emit_nowait to {listeners} that take{'s' * (listeners == 1)} batches, no store"
    return [
        Row(
            what,
            lambda _: fan_out(listeners, 50_000),
            "asyncio.Queue each",
            lambda _: queues(listeners, 50_000),
            "the queues do not stamp or order",
        ),
        Row(
            what,
            lambda _: fan_out(listeners, 50_000),
            "AG2: fire_task_event",
            lambda _: ag2_fan_out(listeners, 50_000),
            "AG2 calls each hook in turn, in the emitter, without stamps and order",
        ),
    ]


def asking() -> list[Row]:
    rows = [
        Row(
            f"hub.ask in memory, {askers} at a time",
            lambda _, askers=askers: asks(askers, 2048),  # type: ignore[misc]
            "tapio-py: ask",
            lambda _, askers=askers: tapio_asks(askers, 4096),  # type: ignore[misc]
            "an answer of an actor is five events of ours; tapio-py records nothing",
            missing=missing("tapio", "tapio-py"),
        )
        for askers in (1, 64)
    ]
    durable = [
        Row(
            f"hub.ask on a FileStore with an AuditLog, {askers} at a time",
            lambda root, askers=askers: asks(askers, 32 * askers, root),  # type: ignore[misc]
            f"DBOS on SQLite: a step of a workflow, {askers} at a time",
            lambda root, askers=askers: dbos_steps(root, askers, 5 * max(askers, 8)),  # type: ignore[misc]
            "both durable; an ask waits for two commits, each of them a sync of the journal and one of the audit log",
            missing=missing("dbos", "dbos"),
        )
        for askers in (1, 64)
    ]
    return [*rows, *durable]


def long_logs(records: int) -> list[Row]:
    many, few = f"{records:,}", f"{SEGMENT_RECORDS:,}"
    return [
        Row(
            f"opening a log of {many} records after a clean close",
            lambda _: opening(records, after_crash=False),
            f"one of {few}, one segment",
            lambda _: opening(SEGMENT_RECORDS, after_crash=False),
        ),
        Row(
            f"opening a log of {many} records after a crash",
            lambda _: opening(records, after_crash=True),
            f"one of {few}, one segment",
            lambda _: opening(SEGMENT_RECORDS, after_crash=True),
            "bounded by the last segments, which are read, checked and written again",
        ),
        Row(
            f"append at {many} records, fsync",
            lambda _: appends_on_disk(filled(records)),
            "append at 0",
            appends_on_disk,
        ),
        Row(
            "append at 100,000 records, memory store",
            lambda _: appends_in_memory(100_000),
            "AG2: audit log, memory store",
            lambda _: ag2_appends_in_memory(100_000),
        ),
        Row(
            f"verify a record, of {many}",
            lambda _: verifying(records),
            "SHA-256 of the bytes",
            lambda _: hashing(records),
            rounds_max=3,
        ),
        Row(
            f"verify a record of a signed log, tree and signature, of {many}",
            lambda _: verifying_signed(records),
            "SHA-256 of the bytes",
            lambda _: hashing(records),
            rounds_max=3,
        ),
    ]


def querying(records: int) -> list[Row]:
    many = f"{records:,}"
    return [
        Row(
            f"query: a minute of one agent, of {many} records, with indexes",
            lambda _: finding(records),
            "reading all bytes",
            lambda _: reading(records),
            "benchmarks/queries.py does it in a process of its own, and shows the memory",
        ),
        Row(
            f"count by kind, a record of {many}",
            lambda _: counting(records),
            "json.loads of each line",
            lambda _: parsing(records),
            rounds_max=3,
        ),
    ]


def bounded() -> list[Row]:
    return [
        Row(
            "memory after 5,000 events of 60 kB, journal and audit log",
            lambda root: resident(root, 5000),
            "after 1,000",
            lambda root: resident(root, 1000),
            rounds_max=2,
            is_memory=True,
        ),
        Row(
            "the longest turn of the loop while 1,000 tails resume from the journal",
            lambda root: resuming(root, 1000),
            "while one does",
            lambda root: resuming(root, 1),
            rounds_max=3,
        ),
    ]


def importing() -> list[Row]:
    return [
        Row(
            "from hubwire import Hub",
            lambda _: import_time("from hubwire import Hub"),
            "import asyncio",
            lambda _: import_time("import asyncio"),
        ),
        Row(
            "from hubwire import Hub",
            lambda _: import_time("from hubwire import Hub"),
            "AG2: its hub",
            lambda _: import_time("from ag2.network import Hub"),
        ),
        Row(
            "import hubwire.log, to read a log",
            lambda _: import_time("import hubwire.log"),
            "import asyncio",
            lambda _: import_time("import asyncio"),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows with this text (again: or)")
    parser.add_argument("--quick", action="store_true", help="two rounds, and long logs of 100,000 records")
    parser.add_argument("--records", type=int, metavar="N", help="how many records long logs have (1,000,000)")
    arguments = parser.parse_args()
    records = arguments.records or (100_000 if arguments.quick else 1_000_000)
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    table = Table("what", "ours", "a second", "against", "theirs", "theirs / ours")
    for row in [
        *appending(),
        *committing(),
        *fanning_out(),
        *asking(),
        *long_logs(records),
        *querying(records),
        *bounded(),
        *redacting(),
        *importing(),
    ]:
        if arguments.only and not any(text in f"{row.what} {row.against}" for text in arguments.only):
            continue
        with console.status(row.what):
            figures = measure(row, 2 if arguments.quick else 5)
        shown = memory if row.is_memory else duration
        table.add_row(
            f"{row.what}\n  ({row.note})" if row.note else row.what,
            shown(figures.ours),
            "" if row.is_memory else f"{1 / figures.ours:,.0f}",
            row.missing or row.against,
            "" if row.missing else shown(figures.theirs),
            "" if row.missing else f"{figures.ratio:.2f}",
        )
    console.print(table)


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms" if seconds > 0.01 else f"{seconds * 1e6:,.2f} µs"


def memory(mebibytes: float) -> str:
    return f"{mebibytes:,.0f} MiB"


if __name__ == "__main__":
    main()
