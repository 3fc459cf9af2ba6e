"""Reading a log: by index, by seq, and as it grows."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from hubwire.errors import LogDamaged
from hubwire.log import Log, LogReader, Record, follow
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import until_idle
from support.log import FIRST, MEBIBYTE, Spy, body, event_body, log_on, numbers, records


@pytest.fixture
async def segmented() -> Spy:
    """A log of 40 events in several segments, between which there are records without a seq."""
    store = Spy()
    log = log_on(store, segment_bytes=400)
    for number in range(40):
        await log.append([event_body(number), body(number)], seq=number, hub="a hub")
    assert len(await store.inner.list("/log/log")) > 5
    return store


async def test_a_reader_finds_every_index(segmented: Spy) -> None:
    everything = await records(segmented)
    for index in range(len(everything)):
        reader = LogReader(segmented, "/log")
        await reader.seek_index(index)
        assert reader.index == index
        first, *_ = await reader.read()
        assert first == everything[index]
        assert await records(segmented, index) == everything[index:]


async def test_seeking_beyond_the_end_waits_there(segmented: Spy) -> None:
    total = len(await records(segmented))
    for index in (total, total + 1, 10**9):
        reader = LogReader(segmented, "/log")
        await reader.seek_index(index)
        assert reader.index == total
        assert await reader.read() == []
    await (reader := LogReader(segmented, "/log")).seek_end()
    assert reader.index == total


async def test_a_reader_finds_every_seq_with_few_reads(segmented: Spy) -> None:
    for seq in range(-1, 42):
        segmented.calls.clear()
        reader = LogReader(segmented, "/log")
        await reader.seek_after_seq(seq)
        assert segmented.count("read_bytes") <= 5
        seqs: list[int] = []
        while some := await reader.read():
            seqs += [fields["seq"] for each in some if "seq" in (fields := json.loads(each.line))]
        assert [each for each in seqs if each > seq] == list(range(seq + 1, 40))
        assert seq > 38 or len([each for each in seqs if each <= seq]) < 8


async def test_a_reader_waits_for_a_log_to_exist() -> None:
    store = Spy()
    for seek in (lambda _: checkpoint(), lambda r: r.seek_index(0), lambda r: r.seek_after_seq(3), LogReader.seek_end):
        reader = LogReader(store, f"/log{len(store.calls)}")
        await seek(reader)
        assert await reader.read() == []
        log = Log(store, reader._path, clock=ManualClock())
        await log.append([body(0)])
        assert [record.body for record in await reader.read()] == [body(0)]


async def test_a_reader_follows_a_growing_log() -> None:
    """It goes on from segment to segment."""
    store = Spy()
    log = log_on(store, segment_bytes=300)
    reader = LogReader(store, "/log")
    found: list[Record] = []
    for number in range(50):
        await log.append([body(number)])
        while some := await reader.read():
            found += some
        assert json.loads(found[-1].line)["n"] == number
    assert found == await records(store)


async def test_a_reader_never_sees_a_partial_line() -> None:
    store = MemoryStore()
    await (log := log_on(store)).append([body(0), body(1)])
    content = await store.read_bytes(FIRST) or b""
    whole = content.index(b"\n") + 1
    for end in range(len(content) + 1):
        partial = MemoryStore()
        await partial.append(FIRST, content[:end])
        found = await records(partial)
        # A line feed need not have come yet: the checksum before it tells that the record is whole.
        assert len(found) == (end >= whole - 1) + (end >= len(content) - 1)
        reader = LogReader(partial, "/log")
        seen: list[Record] = []
        while some := await reader.read():
            seen += some
        await partial.append(FIRST, content[end:])
        assert [*seen, *await reader.read()] == await records(store)
    await log.aclose()


async def test_a_reader_skips_nothing_in_a_race() -> None:
    """The reader finds the end of a segment; before it lists the segments, the writer adds records and rotates."""

    class Racing(Spy):
        async def list(self, path: str = "/") -> builtins.list[str]:
            if racing:
                racing.clear()
                for number in range(1, 16):
                    await log.append([body(number)])
            return await super().list(path)

    racing: list[bool] = []
    store = Racing()
    log = log_on(store, segment_bytes=150)
    await log.append([body(0)])
    reader = LogReader(store, "/log")
    found = await reader.read()
    racing.append(True)
    while some := await reader.read():
        found += some
    assert found == await records(store)
    assert len(await store.inner.list("/log/log")) > 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-5] + b"\n",
        lambda content: content + content.splitlines(keepends=True)[0],
        lambda content: content.replace(b"\n", b" ", 1),
        lambda content: content.replace(b"x", b"\n", 1),
        lambda content: content[content.index(b"\n") + 1 :],
    ],
    ids=["no feed", "half", "empty", "cut", "longer", "joined", "split", "one less"],
)
async def test_an_incomplete_closed_segment_is_damage(damage: Callable[[bytes], bytes]) -> None:
    store = MemoryStore()
    log = log_on(store, segment_bytes=300)
    for number in range(40):
        await log.append([body(number, 20)])
    names = await store.list("/log/log")
    path = f"/log/log/{names[1]}"
    content = await store.read_bytes(path) or b""
    spoilt = damage(content)
    if spoilt.count(b"\n") == content.count(b"\n") and spoilt.endswith(b"\n"):
        # What is in a line is for who reads it to judge; the reader counts them.
        assert len(await records(store)) == log.records
        return
    await store.write(path, spoilt)
    with pytest.raises(LogDamaged, match=r"the next segment begins at|checksum") as caught:
        await records(store)
    assert caught.value.path == path
    assert caught.value.byte_offset is not None


async def test_a_missing_segment_is_damage() -> None:
    store = MemoryStore()
    log = log_on(store, segment_bytes=300)
    for number in range(40):
        await log.append([body(number, 20)])
    names = await store.list("/log/log")
    await store.delete(f"/log/log/{names[1]}")
    with pytest.raises(LogDamaged):
        await records(store)


async def test_reading_takes_a_mebibyte_at_a_time() -> None:
    """The length of the log and of its lines does not matter."""
    store = Spy()
    log = log_on(store)
    for number in range(12):
        await log.append([body(number, 400_000)])
    await log.append([body(12, 3 * MEBIBYTE)])
    await log.append([body(13)])
    store.read_sizes.clear()
    assert await numbers(store) == list(range(14))
    reader = LogReader(store, "/log")
    await reader.seek_after_seq(5)
    await reader.seek_end()
    assert max(store.read_sizes) <= MEBIBYTE
    # A long line is not read anew for each of its parts.
    assert sum(store.read_sizes) < 40 * MEBIBYTE


async def test_a_file_without_line_feeds_is_given_up() -> None:
    """It is not collected in memory."""

    class Endless(Spy):
        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            if path != FIRST:
                return None
            assert end is not None
            return b"x" * (end - start)

    store = Endless()
    await store.inner.append(FIRST, b"x")
    with pytest.raises(LogDamaged, match="has no line feed") as caught:
        await LogReader(store, "/log").read()
    assert caught.value.path == FIRST


async def test_following_waits_for_a_log() -> None:
    """When the log is there, following it never ends by itself."""
    store = MemoryStore()
    log = log_on(store, segment_bytes=300)
    seen: list[int] = []
    enough = anyio.Event()

    async def tail(start: int | None) -> None:
        stream = follow(store, "/log", start=start)
        async for record in stream:
            seen.append(record.index)
            if record.index >= 30:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        enough.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tail, None)
        await until_idle()
        for number in range(40):
            await log.append([body(number)])
        await enough.wait()
    assert seen == list(range(31))
    seen.clear()
    await tail(7)
    assert seen == list(range(7, 31))
