"""The marker ``clean`` of a log, compared with the line it speaks of: one of another log or end is not believed."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hubwire import codec
from hubwire.log import Log, find_cut, inspect, segment_path
from hubwire.log._marker import Marker, read_marker
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock

PATH = segment_path("/log", 0)


def body(seq: int) -> bytes:
    return codec.encode_fields({"at": "now", "hub": "a hub", "kind": "a.b", "seq": seq})


async def closed_log() -> tuple[MemoryStore, Marker]:
    store = MemoryStore()
    log = Log(store, "/log", clock=ManualClock())
    for seq in range(4):
        await log.append([body(seq)], seq=seq, hub="a hub")
    await log.aclose()
    marker = await read_marker(store, "/log")
    assert marker is not None
    return store, marker


async def mark(store: MemoryStore, marker: Marker, **tail: Any) -> None:
    """Write a marker that is whole, and says something else of the end."""
    await store.write("/log/clean", attrs.evolve(marker, tail=attrs.evolve(marker.tail, **tail)).encode())


async def damage_of(store: MemoryStore) -> str:
    """Return what an opening says, which reads no more than the end of a log that was closed."""
    return " ".join(str(each) for each in (await inspect(store, "/log")).damage)


async def test_another_last_record_than_at_the_closing_is_damage() -> None:
    """It is as long, has a right checksum, and is the right number: only the marker knows the one it replaced."""
    store, marker = await closed_log()
    lines = (await store.read_bytes(PATH) or b"").splitlines(keepends=True)
    number, durable = marker.tail.records - 1, codec.seal_of(lines[-1][:-1])[0]
    assert codec.seal_all([body(3)], durable, number) == lines[-1:]
    forged = body(3).replace(b"now", b"NOW")
    await store.write(PATH, b"".join([*lines[:-1], *codec.seal_all([forged], durable, number)]))
    assert f"ends in another record than number {number}" in await damage_of(store)


@pytest.mark.parametrize("change", [{"records": 6}, {"seq": 4}, {"hub": "another"}])
async def test_a_marker_of_another_end_is_damage(change: dict[str, Any]) -> None:
    """It has the same last line, and says that this is another record."""
    store, marker = await closed_log()
    assert await damage_of(store) == ""
    await mark(store, marker, **change)
    assert "ends in another record than number" in await damage_of(store)


async def test_a_marker_of_a_longer_line_is_damage() -> None:
    """The checksum alone is no proof: the length of the line is compared, too."""
    store, marker = await closed_log()
    await mark(store, attrs.evolve(marker, is_closed=False, line_bytes=marker.line_bytes + 1))
    assert "/log/clean do not belong together" in await damage_of(store)


# --- where a log is cut by an operator's wish -------------------------------------------------------------------------


@pytest.mark.parametrize("event", range(4))
async def test_a_log_is_cut_before_what_was_named(event: int) -> None:
    """Before the record, or before the event: what was named goes, and nothing before it."""
    store, _ = await closed_log()
    by_seq = await find_cut(store, "/log", seq=event)
    assert by_seq is not None
    by_record = await find_cut(store, "/log", record=by_seq.record)
    assert by_record is not None
    content = await store.read_bytes(PATH) or b""
    for cut in (by_seq, by_record):
        assert content[cut.byte_offset :].startswith(body(event)[:-1])
        assert cut.last_seq == (event - 1 if event else None)
        assert cut.reason == ""
    assert await find_cut(store, "/log", seq=4) is None


@pytest.mark.parametrize("back", [1, 5, 50])
async def test_a_marker_of_an_end_inside_a_record_is_damage(back: int) -> None:
    """No batch has ended there: the marker, or the record, is not what was written."""
    store, marker = await closed_log()
    going_on = attrs.evolve(marker, is_closed=False)
    await mark(store, going_on)
    assert await damage_of(store) == ""
    await mark(store, going_on, size=marker.tail.size - back)
    assert f"has no record that ends at byte {marker.tail.size - back}" in await damage_of(store)
