"""Logs as a crash leaves them, and what has to be true of a log that was recovered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubwire import codec
from hubwire.errors import LogDamaged
from hubwire.log import Log, LogReader, Record, chain_value
from hubwire.log._marker import Marker
from hubwire.log._tail import Tail
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of

SEGMENT = "/log/log/00000000000000000000.jsonl"
Files = dict[str, bytes]
OPENED = {"/log/clean": Marker.of(Tail(), is_closed=False).encode()}
"""The marker of a log that was opened, and then ran for a moment."""

both = pytest.mark.parametrize("chained", [False, True], ids=["plain", "chained"])


class Unholdable:
    """A memory store that cannot be held, as object stores cannot."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "hold":
            raise AttributeError(name)
        return getattr(self._inner, name)


def log_on(store: Any, *, chained: bool, **settings: Any) -> Log:
    return Log(store, "/log", clock=ManualClock(), chained=chained, **settings)


def event_body(seq: int) -> bytes:
    nested = {"b": {"a": 1, "d": 10**6}, "text": 'x",\u2028"d":99}'}
    return codec.encode_fields({"at": "now", "data": nested, "hub": "a hub", "kind": "a.b", "seq": seq})


async def written(
    batches: list[int], *, chained: bool, segment_bytes: int = 1 << 20, has_marker: bool = False
) -> Files:
    """Return what a log leaves behind that appended these batches of events and then crashed.

    Without its marker, unless ``has_marker``: what that adds has tests of its own.
    """
    store = MemoryStore()
    log = log_on(store, chained=chained, segment_bytes=segment_bytes)
    seq = 0
    for size in batches:
        bodies = [event_body(number) for number in range(seq, seq + size)]
        seq += size
        await log.append(bodies, seq=seq - 1, hub="a hub")
    return {path: content for path, content in (await files_of(store)).items() if has_marker or path != "/log/clean"}


async def records(store: Any, path: str = "/log") -> list[Record]:
    reader = LogReader(store, path)
    found: list[Record] = []
    while some := await reader.read():
        found += some
    return found


async def seqs(store: Any) -> list[int]:
    return [fields["seq"] for record in await records(store) if "seq" in (fields := json.loads(record.line))]


async def check_goes_on(store: Any, log: Log, *, chained: bool) -> None:
    """See that the recovered log can be appended to, and is whole from its beginning to its end."""
    before = log.records
    index = await log.append([b'{"n":1}'])
    found = await records(store)
    assert index == found[-1].index >= before
    assert found[-1].body == b'{"n":1}'
    previous = b""
    for record in found:
        if chained:
            assert record.chain == chain_value(previous, codec.seal(record.body, record.durable))
            previous = record.chain
        assert record.durable <= record.index
    await log.aclose()
    again = log_on(store, chained=chained)
    await again.open()
    assert again.recovery is None
    assert again.records == len(found)
    await again.aclose()


async def refuses(files: Files, *, chained: bool) -> LogDamaged | None:
    """Open a log; return the error if it is refused as damaged, having seen that nothing was changed."""
    store = await store_of(files)
    log = log_on(store, chained=chained)
    try:
        await log.open()
    except LogDamaged as error:
        assert await files_of(store) == files
        assert store._holds == {}
        assert not log.is_open
        return error
    return None
