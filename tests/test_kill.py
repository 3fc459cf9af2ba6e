"""A hub that is killed at any moment keeps what it acknowledged."""

from __future__ import annotations

import runpy
import sys
from collections import defaultdict
from pathlib import Path

import anyio
import pytest

from hubwire import Duty, Hub, StoreJournal, codec
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.log import LogReader
from hubwire.stores import FileStore
from hubwire.testing import Recorder

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("kill_driver.py")
open_hub = runpy.run_path(str(DRIVER))["open_hub"]
SMALL_SEGMENTS = 20_000


async def event_bodies(store: FileStore, path: str) -> list[bytes]:
    bodies, reader = [], LogReader(store, path)
    while records := await reader.read():
        bodies += [record.body for record in records if "seq" in codec.decode_fields(record.body)]
    return bodies


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(10))
async def test_twenty_kills_lose_nothing_acknowledged(tmp_path: Path, seed: int) -> None:
    """Every event is there once, and in order."""
    done = await anyio.run_process([sys.executable, "-P", str(DRIVER), str(tmp_path), "20", str(seed)])
    acknowledged = done.stdout.decode().split()
    store = FileStore(tmp_path)
    journal = StoreJournal(store, segment_bytes=SMALL_SEGMENTS)
    async with Hub(journal=journal, listeners=[AuditLog(store, rotation=SMALL_SEGMENTS)]) as hub:
        assert hub.health().healthy

    journaled, audited = await event_bodies(store, "/journal"), await event_bodies(store, "/audit")
    fields = [codec.decode_fields(body) for body in audited]
    names = [event["data"]["name"] for event in fields if event["kind"] == "work.done"]
    assert acknowledged, "nobody was alive long enough"
    assert set(acknowledged) <= set(names)
    assert len(names) == len(set(names))
    assert [event["seq"] for event in fields] == list(range(len(fields)))
    assert journaled
    assert audited[-len(journaled) :] == journaled, "the journal holds the newest, and nothing else"
    assert (await verify(store)).events == len(fields)

    in_order = defaultdict(list)
    for name in names:
        life, producer, number = map(int, name.split("/"))
        in_order[life, producer].append(number)
    assert all(numbers == list(range(len(numbers))) for numbers in in_order.values())


@pytest.mark.timeout(300)
async def test_durable_survives_a_hundred_kills(tmp_path: Path) -> None:
    """A DURABLE listener sees every event at least once and in order."""
    await anyio.run_process([sys.executable, "-P", str(DRIVER), str(tmp_path), "100", "4711"])
    store = FileStore(tmp_path)
    last = Recorder()
    hub = open_hub(str(tmp_path))
    hub.attach(last, duty=Duty.DURABLE, name="Effects", pattern="work.done")
    async with hub:
        await hub.flush()
        assert hub.health().healthy
        journal = hub.statistics().journal
        assert journal is not None
        assert journal.first_seq > 0, "nothing was truncated"
        assert journal.snapshot_seq is not None

    audited = map(codec.decode_fields, await event_bodies(store, "/audit"))
    expected = [event["seq"] for event in audited if event["kind"] == "work.done"]
    lines = (await anyio.Path(tmp_path, "effects").read_text()).split()
    heard = defaultdict(list)
    for life, seq in zip(lines[::2], lines[1::2], strict=True):
        heard[int(life)].append(int(seq))
    heard[100] = [event.seq for event in last.events]
    assert list(dict.fromkeys(seq for life in heard.values() for seq in life)) == expected
    assert all(life == sorted(set(life)) for life in heard.values())
    assert sum(map(len, heard.values())) > len(expected), "nobody died at work"
    assert len(heard) > 50
