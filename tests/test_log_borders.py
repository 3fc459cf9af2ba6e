"""Logs at their borders: a truncation that fails half way, and what a writer that lost its log leaves."""

from __future__ import annotations

from binascii import crc32
from typing import Any

import pytest

from hubwire import codec
from hubwire.errors import InvalidRecord, StoreError
from hubwire.log import Log, LogReader, chain_value, inspect, segment_path
from hubwire.log._index import SPACING_BYTES, SeqIndex
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock


def body(seq: int) -> bytes:
    return codec.encode_fields({"at": "now", "hub": "a hub", "kind": "a.b", "seq": seq})


async def log_of(store: Any, records: int, **settings: Any) -> Log:
    """A log whose segments hold one record of each append, and log.rotated."""
    log = Log(store, "/log", clock=ManualClock(), segment_bytes=1, **settings)
    for seq in range(records):
        await log.append([body(seq)], seq=seq, hub="a hub")
    return log


async def segments(store: Any) -> list[int]:
    return [int(name[:20]) for name in await store.list("/log/log")]


class FailingDeletes(MemoryStore):
    """A store whose deletes fail from some number on, for as long as that is set."""

    deletes_left: int | None = None

    async def delete(self, path: str) -> None:
        if self.deletes_left is not None:
            self.deletes_left -= 1
            if self.deletes_left < 0:
                raise StoreError("the disk does not answer", path=path)
        await super().delete(path)


# --- truncation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deletes", [0, 1, 2])
async def test_a_truncation_that_failed_is_tried_again(deletes: int) -> None:
    """The log counts no segment twice, nor one that is gone already: it opens, and has its true size."""
    store = FailingDeletes()
    log = await log_of(store, 8)
    firsts = await segments(store)
    store.deletes_left = deletes
    with pytest.raises(StoreError):
        await log.truncate_before(firsts[4])
    store.deletes_left = None
    await log.truncate_before(firsts[6])
    assert await segments(store) == firsts[6:]
    assert log.size_bytes == sum([await store.size(f"/log/log/{first:020d}.jsonl") or 0 for first in firsts[6:]])
    await log.append([body(8)], seq=8, hub="a hub")
    await log.aclose()
    found = await inspect(store, "/log", is_thorough=True)
    assert found.damage == ()
    again = Log(store, "/log", clock=ManualClock())
    await again.append([body(9)], seq=9, hub="a hub")
    await again.aclose()


# --- what a writer leaves that lost its log ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("follows", "after", "is_fork"), [(1, b"", True), (1, b'{"at":"now","hub":"a h', False), (None, b"", False)]
)
async def test_a_fork_is_whole_records(follows: int | None, after: bytes, is_fork: bool) -> None:
    """They follow from an earlier record than the last. Where appends are whole, a piece behind them is damage."""
    store = MemoryStore()
    log = Log(store, "/log", clock=ManualClock(), chained=True)
    for seq in range(3):
        await log.append([body(seq)], seq=seq, hub="a hub")
    await log.aclose()
    path = segment_path("/log", 0)
    content = await store.read_bytes(path) or b""
    chain = b"of-no-record-in-there." if follows is None else codec.unseal(content.splitlines()[follows])[2] or b""
    forked = codec.seal(body(2), 2, chain_value(chain, codec.seal(body(2), 2)))
    await store.write(path, content + forked + b"\n" + after)
    await store.delete("/log/clean")
    found = await inspect(store, "/log", is_held=False)
    assert (found.torn is not None, bool(found.damage)) == (is_fork, not is_fork)


@pytest.mark.parametrize("content", [b"{}", b'{"v":"1"}', b'{"v":true}'])
def test_a_marker_without_a_version_is_none(content: bytes) -> None:
    """Though its checksum is right."""
    begin = content[:-1] + (b"," if len(content) > 2 else b"")
    with pytest.raises(InvalidRecord, match=r"no version|does not end"):
        codec.decode_marker(b'%b"c":"%08x"}\n' % (begin, crc32(content)))


async def test_a_search_passes_no_event() -> None:
    """With a new index, for each event: it goes to a place from which that one is still read."""
    store = MemoryStore()
    log = Log(store, "/log", clock=ManualClock())
    pad = {"pad": "x" * (SPACING_BYTES // 2)}
    for seq in range(12):
        record = codec.encode_fields({"at": "now", "data": pad, "hub": "a hub", "kind": "a.b", "seq": seq})
        await log.append([record], seq=seq, hub="a hub")
    await log.aclose()
    for seq in range(11):
        reader = LogReader(store, "/log", SeqIndex())
        await reader.seek_after_seq(seq)
        assert codec.decode_fields((await reader.read())[0].line)["seq"] <= seq + 1
