"""What is in a spool, read by the standard library alone, and what a store has of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from hubwire import Event, Hub
from hubwire.listeners import AuditLog
from hubwire.spool import SpoolFeed
from hubwire.stores import FileStore
from hubwire.testing import Recorder

from .importing import records_of

__all__ = ("drained", "files_of", "lines_of", "seen_of", "taken_into", "values_of")


def files_of(spool: Path) -> list[Path]:
    return sorted(spool.glob("*.jsonl"))


def lines_of(spool: Path) -> list[dict[str, Any]]:
    """Return the lines, file by file; each has to be whole, and as it was written."""
    found = []
    for file in files_of(spool):
        content = file.read_bytes()
        assert not content or content.endswith(b"\n"), f"{file} is torn"
        for line in content.split(b"\n")[:-1]:
            assert line.endswith(b',"c":"%08x"}' % zlib.crc32(line[:-16])), line
            found.append(json.loads(line))
    return found


def values_of(spool: Path, key: str = "n") -> list[Any]:
    return [line["e"]["data"][key] for line in lines_of(spool)]


def drained(spool: Path, store: Path, *, hub: Mapping[str, Any] | None = None, **settings: Any) -> SpoolFeed:
    """Drain what is there into a store, by a hub that lives as long, with these settings."""
    feed = SpoolFeed(spool, follow=False, **settings)

    async def main() -> None:
        files = FileStore(store)
        async with Hub(files, listeners=[AuditLog(files)], **(hub or {})) as running:
            await feed.run(running)
        await files.aclose()

    anyio.run(main)
    return feed


def seen_of(spool: Path) -> tuple[SpoolFeed, list[Event]]:
    """Drain what is there into a hub in memory; return what its listeners saw."""
    feed = SpoolFeed(spool, follow=False)
    recorder = Recorder()

    async def main() -> None:
        async with Hub() as hub:
            hub.attach(recorder, mailbox=10_000)
            await feed.run(hub)
            await hub.flush()

    anyio.run(main)
    return feed, [event for event in recorder.events if event.metadata and "spool" in event.metadata]


def taken_into(store: Path, *kinds: str) -> Sequence[dict[str, Any]]:
    """Return what a store has of spools, in the order of its log; of these kinds alone, if there are any."""
    records = [record for record in records_of(store) if "spool" in (record.get("metadata") or {})]
    return [record for record in records if not kinds or record["kind"] in kinds]
