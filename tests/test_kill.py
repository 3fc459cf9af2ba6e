"""A hub that is killed at any moment keeps what it acknowledged."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import anyio
import pytest

from hubwire import Hub, StoreJournal, codec
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.log import LogReader
from hubwire.stores import FileStore

DRIVER = Path(__file__).with_name("kill_driver.py")
SMALL_SEGMENTS = 20_000


async def event_bodies(store: FileStore, path: str) -> list[bytes]:
    bodies, reader = [], LogReader(store, path)
    while records := await reader.read():
        bodies += [record.body for record in records if "seq" in codec.decode_fields(record.body)]
    return bodies


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(10))
async def test_twenty_kills_lose_double_and_reorder_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    done = await anyio.run_process([sys.executable, "-P", str(DRIVER), str(tmp_path), "20", str(seed)])
    acknowledged = done.stdout.decode().split()
    store = FileStore(tmp_path)
    journal = StoreJournal(store, segment_bytes=SMALL_SEGMENTS)
    async with Hub(journal=journal, listeners=[AuditLog(store, rotation=SMALL_SEGMENTS)]) as hub:
        assert hub.health().healthy

    journaled = await event_bodies(store, "/journal")
    fields = [codec.decode_fields(body) for body in journaled]
    names = [event["data"]["name"] for event in fields if event["kind"] == "work.done"]
    assert acknowledged, "nobody was alive long enough"
    assert set(acknowledged) <= set(names)
    assert len(names) == len(set(names))
    assert [event["seq"] for event in fields] == list(range(len(fields)))
    assert journaled == await event_bodies(store, "/audit")
    assert (await verify(store)).events == len(fields)

    in_order = defaultdict(list)
    for name in names:
        life, producer, number = map(int, name.split("/"))
        in_order[life, producer].append(number)
    assert all(numbers == list(range(len(numbers))) for numbers in in_order.values())
