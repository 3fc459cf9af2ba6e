"""A kill at any point of a batch leaves all of it, or none: in a log, in an audit log, and in a hub."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import anyio
import attrs
import pytest

from hubwire import GenericEvent, Hub, StoreJournal, codec
from hubwire.errors import LogDamaged, NewerVersion
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome
from hubwire.log import LogReader, cut_log, find_cut, follow
from hubwire.log._marker import Marker
from hubwire.log._tail import Tail
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import history
from support import files_of, numbers, store_of, until, until_idle
from support.recovered import SEGMENT, Files, both, check_goes_on, log_on, records, refuses

SECTOR = 512


def body(number: int, size: int = 0) -> bytes:
    return codec.encode_fields({"hub": "a hub", "kind": "a.b", "seq": number, "text": "x" * size})


async def written(groups: Iterable[Iterable[tuple[int, ...]]], *, chained: bool, size: int = 0) -> Files:
    """Return the files of a log that was killed after these appends; each holds groups, of which longer are batches."""
    store = MemoryStore()
    log = log_on(store, chained=chained)
    for append in groups:
        bodies: list[bytes] = []
        last = -1
        for group in append:
            bodies += [log.batch_mark(len(group))] if len(group) > 1 else []
            bodies += [body(number, size) for number in group]
            last = group[-1]
        await log.append(bodies, seq=last, hub="a hub")
    return await files_of(store)


async def kept(files: Files, *, chained: bool) -> list[int]:
    """Open a log after a crash; return the numbers of its records, having seen that it goes on."""
    store = await store_of(files)
    log = log_on(store, chained=chained)
    await log.open()
    torn = log.recovery
    await log.repair()
    left = [fields["seq"] for each in await records(store) if "seq" in (fields := json.loads(each.line))]
    assert log.last_seq == (left[-1] if left else None)
    if torn is not None:  # no byte is lost
        content = files[SEGMENT]
        assert await store.read_bytes(torn.torn_path) == content[torn.byte_offset :]
        assert await store.read_bytes(SEGMENT) == content[: torn.byte_offset]
    await check_goes_on(store, log, chained=chained)
    return left


def whole_groups(numbers_left: list[int], groups: Iterable[Iterable[tuple[int, ...]]]) -> bool:
    """Tell whether these are all records of the first groups, and none of the others."""
    flat = [group for append in groups for group in append]
    ends = [sum(map(len, flat[:count])) for count in range(len(flat) + 1)]
    return numbers_left == list(range(len(numbers_left))) and len(numbers_left) in ends


Groups = list[list[tuple[int, ...]]]

GROUPS: Groups = [[(0,)], [(1, 2, 3)], [(4,), (5, 6), (7,), (8, 9, 10)], [(11, 12)]]
"""Four appends: the third is one as several callers share it."""


@pytest.mark.slow
@both
async def test_a_log_cut_at_any_byte_has_whole_batches(chained: bool) -> None:
    files = await written(GROUPS, chained=chained)
    content, seen = files[SEGMENT], set[int]()
    for end in range(len(content) + 1):
        left = await kept({**files, SEGMENT: content[:end]}, chained=chained)
        assert whole_groups(left, GROUPS), (end, left)
        seen.add(len(left))
    assert seen == {0, 1, 4, 5, 7, 8, 11, 13}


@both
@pytest.mark.parametrize("size", [0, 300])
async def test_sectors_that_a_crash_lost_take_a_whole_batch(chained: bool, size: int) -> None:
    """A loss of power leaves some sectors of an append, and zeros where the others should be."""
    groups: Groups = [[(0,)], [(1, 2, 3), (4, 5, 6, 7)]]
    files = await written(groups, chained=chained, size=size)
    content = files[SEGMENT]
    begin = content.index(b"\n") + 1
    for lost in range(-(-begin // SECTOR), len(content) // SECTOR + 1):
        start, end = lost * SECTOR, min((lost + 1) * SECTOR, len(content))
        torn = content[:start] + b"\0" * (end - start) + content[end:]
        left = await kept({**files, SEGMENT: torn}, chained=chained)
        assert whole_groups(left, groups), (lost, left)
        assert len(left) < 8


@both
async def test_a_batch_without_its_last_line_feed_is_whole(chained: bool) -> None:
    files = await written([[(0, 1, 2)]], chained=chained)
    assert await kept({**files, SEGMENT: files[SEGMENT][:-1]}, chained=chained) == [0, 1, 2]


@both
async def test_part_of_a_batch_without_its_last_line_feed_is_torn(chained: bool) -> None:
    files = await written([[(0,)], [(1, 2, 3)]], chained=chained)
    end = files[SEGMENT].rindex(b"\n", 0, -1)
    assert await kept({**files, SEGMENT: files[SEGMENT][:end]}, chained=chained) == [0]


@both
async def test_a_batch_that_was_vouched_for_is_damaged_and_not_torn(chained: bool) -> None:
    """What a marker, or a later record, says to be durable is not set aside, whatever is left of it."""
    files = await written([[(0, 1, 2)], [(3,)]], chained=chained)
    lines = files[SEGMENT].splitlines(keepends=True)
    changed = b"".join([*lines[:2], lines[2].replace(b"a.b", b"a.c"), *lines[3:]])
    assert await refuses({**files, SEGMENT: changed}, chained=chained) is not None

    store = await store_of(files)
    log = log_on(store, chained=chained)
    await log.append([b'{"n":1}'])
    await log.aclose()
    closed = await files_of(store)
    for count in range(1, 4):
        cut = b"".join(lines[:count])
        assert await refuses({**closed, SEGMENT: cut}, chained=chained) is not None


@both
async def test_what_an_older_version_wrote_behind_part_of_a_batch_stays(chained: bool) -> None:
    """It knows no batches: it keeps what is there of one, and goes on. Its ``d`` says so."""
    files = await written([[(0,)], [(1, 2, 3, 4)]], chained=chained)
    part = b"".join(files[SEGMENT].splitlines(keepends=True)[:3])
    tail = Tail(size=len(part), records=3)
    if chained:
        tail.chain = part[-25:-3]
    files = {
        **files,
        SEGMENT: part + tail.seal_chained([body(2)]).content if chained else part + tail.seal([body(2)]).content,
    }
    assert await kept(files, chained=chained) == [0, 1, 2]


@both
async def test_part_of_a_batch_that_an_operator_has_cut_stays(chained: bool) -> None:
    files = await written([[(0,)], [(1, 2, 3)]], chained=chained)
    store = await store_of(files)
    cut = await find_cut(store, "/log", seq=2)
    assert cut is not None

    async def set_aside(path: str, start: int) -> None:
        await store.write(f"/lost{path}", (await store.read_bytes(path) or b"")[start:])

    await cut_log(store, cut, set_aside)
    left = await files_of(store)
    assert await kept(left, chained=chained) == [0, 1]
    # Killed between the marker of its next start and its first append, it is as it was.
    size = len(left[SEGMENT])
    log = log_on(await store_of(left), chained=chained)
    await log.open()
    marker = Marker.of(log._segments.tail, is_closed=False).encode()
    assert log._segments.tail.size == size
    assert await kept({**left, "/log/clean": marker}, chained=chained) == [0, 1]


async def test_a_mark_of_an_odd_number_is_an_ordinary_record() -> None:
    for odd in (0, -1, 1.5, "3", None, True):
        store = MemoryStore()
        log = log_on(store, chained=False)
        mark = codec.encode_fields({"kind": "log.batch_begun", "records": odd})
        await log.append([mark, body(0)], seq=0, hub="a hub")
        again = log_on(await store_of(await files_of(store)), chained=False)
        await again.open()
        assert (again.records, again.recovery) == (2, None)


@both
async def test_a_flipped_bit_in_a_mark_is_damage(chained: bool) -> None:
    """A mark that says less, or nothing, would let a part of a batch pass for whole."""
    files = await written([[(0,)], [(1, 2, 3)], [(4,)]], chained=chained)
    content = files[SEGMENT]
    start = content.index(b"\n") + 1
    end = content.index(b"\n", start) + 1
    assert b"log.batch_begun" in content[start:end]
    for place in range(start, end):
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert await refuses({**files, SEGMENT: flipped}, chained=chained) is not None, place


@both
async def test_a_mark_of_a_newer_version_is_refused(chained: bool) -> None:
    store = MemoryStore()
    log = log_on(store, chained=chained)
    mark = codec.decode_fields(log.batch_mark(2)) | {"v": 99}
    await log.append([codec.encode_fields(mark), body(0), body(1)], seq=1, hub="a hub")
    files = await files_of(store)
    again = log_on(await store_of(files), chained=chained)
    with pytest.raises(NewerVersion, match="it has version 99"):
        await again.open()


# --- an audit log -----------------------------------------------------------------------------------------------------


class Torn(MemoryStore):
    """Takes note of what a kill leaves in the middle of an append that holds a batch."""

    def __init__(self, below: str) -> None:
        super().__init__()
        self.torn: list[tuple[Files, str, bytes]] = []
        self._below = below

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        assert isinstance(content, bytes)
        if path.startswith(self._below) and b"log.batch_begun" in content:
            self.torn.append((await files_of(self), path, content))
        return await super().append(path, content, expect=expect)

    async def moments(self, step: int) -> list[MemoryStore]:
        """Return what kills leave, at the ends of all lines, beside them, and at every so many bytes."""
        found = []
        for files, path, content in self.torn:
            ends = {end + by for end in range(len(content)) if content[end : end + 1] == b"\n" for by in (0, 1, 2)}
            for end in sorted(ends | set(range(0, len(content) + 1, step))):
                left = {**files, path: files.get(path, b"") + content[:end]}
                found.append(await store_of(left))
        return found


async def test_a_kill_leaves_all_records_of_a_call_or_none() -> None:
    store = Torn("/audit")
    log = AuditLog(store)
    await log.append({"n": 0})
    assert list(await log.append_many([{"n": number} for number in range(1, 6)])) == [3, 4, 5, 6, 7]
    assert await log.append({"n": 6}) == 8
    counts = set()
    for left in await store.moments(7):
        again = AuditLog(left)
        await again.append({"n": "after"})
        found = [each["n"] for each in await again.read_all()]
        assert found in ([0, "after"], [0, 1, 2, 3, 4, 5, "after"])
        counts.add(len(found))
        await again.aclose()
        assert (await again.verify()).integrity.outcome is Outcome.HOLDS
    assert counts == {2, 7}


# --- a hub ------------------------------------------------------------------------------------------------------------


def said(number: int) -> GenericEvent:
    return GenericEvent(kind="number.said", data={"n": number})


async def audited(store: KnowledgeStore) -> list[int]:
    return [each["data"]["n"] for each in await AuditLog(store).read_all() if each.get("kind") == "number.said"]


@attrs.frozen
class Way:
    """A way to emit a batch."""

    name: str
    emit: Any


async def by_emit_many(hub: Hub, events: list[GenericEvent]) -> None:
    await hub.emit_many(events)


async def by_batch(hub: Hub, events: list[GenericEvent]) -> None:
    async with hub.batch() as batch:
        for event in events:
            batch.emit(event)


@pytest.mark.parametrize("emit", [by_emit_many, by_batch])
async def test_a_kill_leaves_all_events_of_a_batch_or_none(emit: Any) -> None:
    """Also in the audit log, which is never ahead of the journal."""
    store = Torn("/journal")
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(said(0))
        await emit(hub, [said(number) for number in range(1, 5)])
        await hub.emit(said(5))
    counts = set()
    for left in await store.moments(29):
        async with Hub(left, listeners=[AuditLog(left)]) as hub:
            found = numbers(await history(hub))
            assert found in ([0], [0, 1, 2, 3, 4])
            counts.add(len(found))
            again = await hub.emit_many([said(6), said(7)])
            assert again[1].seq == again[0].seq + 1
        assert await audited(left) == [*found, 6, 7]
        assert (await AuditLog(left).verify()).integrity.outcome is Outcome.HOLDS
    assert counts == {1, 5}


async def test_small_segments_divide_no_batch() -> None:
    """A batch is one append, and an append is in one segment."""
    store = MemoryStore()
    async with Hub(journal=StoreJournal(store, segment_bytes=400)) as hub:
        for number in range(0, 60, 6):
            await hub.emit_many([said(each) for each in range(number, number + 6)])
    for content in (await files_of(store, "/journal/log")).values():
        lines = [json.loads(line) for line in content.splitlines()]
        marks = [place for place, each in enumerate(lines) if each["kind"] == "log.batch_begun"]
        assert all(each["seq"] for place in marks for each in lines[place + 1 : place + 7])
    async with Hub(journal=StoreJournal(store, segment_bytes=400)) as hub:
        assert numbers(await history(hub)) == list(range(60))


async def test_a_batch_in_a_journal_that_lost_acknowledged_bytes_is_damage() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit_many([said(number) for number in range(4)])
    files = await files_of(store)
    path = next(each for each in files if each.endswith(".jsonl"))
    lines = files[path].splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b"log.batch_begun" in line)
    cut = await store_of({**files, path: b"".join(lines[: place + 3])})
    with pytest.raises(LogDamaged):
        async with Hub(cut):
            raise AssertionError("a hub starts on a journal that was cut")


# --- a real kill ------------------------------------------------------------------------------------------------------

EVENTS = 40

PROGRAM = f"""
import asyncio, os, sys
from hubwire import GenericEvent, Hub, StoreJournal
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

async def main(root, life):
    store = FileStore(root)
    audit, own = AuditLog(store, rotation=60_000), AuditLog(FileStore(root), path="/own", rotation=60_000)

    async def produce(producer, way):
        for number in range(10**6):
            name = f"{{life}}/{{producer}}/{{number}}"
            await way([{{"batch": name, "text": "x" * 200}}] * {EVENTS})
            os.write(1, f"{{name}}\\n".encode())

    async with Hub(journal=StoreJournal(store, segment_bytes=60_000), listeners=[audit]) as hub:
        def emit(batch):
            return hub.emit_many([GenericEvent(kind="work.done", data=data) for data in batch])

        await asyncio.gather(*(produce(each, emit) for each in range(3)), produce("own", own.append_many))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def live_and_die(root: str, life: int, lines: int) -> list[str]:
    """Let a program emit batches, and kill it; return the names of those that were acknowledged to it."""
    arguments = [sys.executable, "-P", "-c", PROGRAM, root, str(life)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        acknowledged += child.stdout.readlines()
    return [line.strip() for line in acknowledged if line.endswith("\n")]


@pytest.mark.slow
def test_killed_programs_leave_whole_batches(tmp_path: Any) -> None:
    chance = random.Random(7)
    acknowledged: list[str] = []
    for life in range(8):
        acknowledged += live_and_die(str(tmp_path), life, chance.randint(1, 30))

    async def left() -> tuple[Counter[str], Counter[str], Counter[str]]:
        store = FileStore(str(tmp_path))
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            journaled = [each.data["batch"] for each in await history(hub) if isinstance(each, GenericEvent)]
        audit, own = AuditLog(store), AuditLog(store, path="/own")
        assert (await audit.verify()).integrity.outcome is Outcome.HOLDS
        audited = [each["data"]["batch"] for each in await audit.read_all() if each.get("kind") == "work.done"]
        await own.append({"batch": ""})
        return Counter(journaled), Counter(audited), Counter(each["batch"] for each in await own.read_all())

    journaled, audited, own = asyncio.run(left())
    del own[""]
    assert journaled == audited
    assert {*journaled.values(), *own.values()} == {EVENTS}
    assert set(acknowledged) <= journaled.keys() | own.keys()
    assert journaled
    assert own


# --- readers --------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("size", [0, 3000])
async def test_readers_see_whole_batches_of_a_log_that_was_killed(
    chained: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its next start, too: what was never acknowledged is shown by none; in chunks of any length."""
    if size:
        monkeypatch.setattr("hubwire.log._reading._CHUNK_BYTES", 4096)
    files = await written(GROUPS, chained=chained, size=size)
    content, seen = files[SEGMENT], set[int]()
    feeds = [at for at, byte in enumerate(content) if byte == 10]
    ends = range(len(content) + 1) if not size else [0, *(at + more for at in feeds for more in range(3))]
    for end in ends:
        store = await store_of({**files, SEGMENT: content[:end]})
        left = [json.loads(each.line).get("seq") for each in await records(store)]
        assert left.count(None) <= 4
        shown = [each for each in left if each is not None]
        assert whole_groups(shown, GROUPS), (end, shown)
        seen.add(len(shown))
        reader = LogReader(store, "/log")
        await reader.seek_end()
        assert reader.index == len(left)
    assert seen == {0, 1, 4, 5, 7, 8, 11, 13}


async def test_a_follower_gets_a_batch_when_all_of_it_is_there() -> None:
    files = await written(GROUPS[:2], chained=True)
    content = files[SEGMENT]
    cut = content.rindex(b"\n", 0, -1) + 1
    store = await store_of({**files, SEGMENT: content[:cut]})
    seen: list[Any] = []

    async def look() -> None:
        async for record in follow(store, "/log", start=0):
            seen.append(json.loads(record.line).get("seq"))  # noqa: PERF401 - it is looked at meanwhile

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await until(lambda: 0 in seen)
        await until_idle()
        assert 1 not in seen
        await store.append(SEGMENT, content[cut:])
        await until(lambda: 3 in seen)
        tasks.cancel_scope.cancel()
    assert [each for each in seen if each is not None] == [0, 1, 2, 3]
