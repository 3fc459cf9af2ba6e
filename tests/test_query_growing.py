"""The index of the segment that grows: less of it is read, the same is found, and what does not fit is left aside."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from hubwire.cli.copying import copy_live
from hubwire.errors import ConfigurationError, LogDamaged
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention
from hubwire.log import Log, Rotation, list_segments, segment_path
from hubwire.ports import KnowledgeStore
from hubwire.query import Selection, count, index_log, names_of, query
from hubwire.query._growing import GROWTH_BYTES_MIN, index_growing
from hubwire.query._index import growing_path
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of, until, until_idle
from support.log import Spy
from support.pruning import Killed
from support.queries import FILTERS, VALUES, at, numbers, record, write_log

GROWING = growing_path("/audit", 0)


async def grown(store: KnowledgeStore, path: str = "/audit") -> int:
    """Index what the last segment has, also if that is little: a stretch for every few records."""
    last = (await list_segments(store, path))[-1]
    return await index_growing(store, path, last, growth_bytes_min=1, stretch_bytes=1)


async def some(records: range, store: MemoryStore | None = None, **fields: Any) -> MemoryStore:
    """Write a log of one segment of these records, and index it."""
    store = MemoryStore() if store is None else store
    await write_log(store, [record(number, **fields) for number in records])
    await grown(store)
    return store


async def more(store: KnowledgeStore, records: range, **fields: Any) -> None:
    """Append these records."""
    await write_log(store, [record(number, **fields) for number in records])


async def plain(store: MemoryStore) -> MemoryStore:
    """Return a copy of a store without any index."""
    return await store_of({path: content for path, content in (await files_of(store)).items() if "/index/" not in path})


async def found_in(store: KnowledgeStore, selection: Selection, *, newest_first: bool, page: int) -> list[bytes]:
    """Return the lines that are found page by page."""
    lines: list[bytes] = []
    after = None
    while True:
        asked = query(store, "/audit", selection, after=after, limit=page, newest_first=newest_first)
        lines += (found := [each.line async for each in asked])
        assert asked.looked.faults == []
        if len(found) < page:
            return lines
        after = asked.cursor


# --- what it is for ---------------------------------------------------------------------------------------------------


async def test_only_the_tail_of_the_last_segment_is_read() -> None:
    store = await some(range(60), data="x" * 30_000)
    await more(store, range(60, 63))
    for newest_first in (False, True):
        asked = query(store, selection=Selection.of(since=at(62)), newest_first=newest_first)
        assert await numbers(asked) == [62]
        assert asked.looked.faults == []
        assert asked.looked.read_bytes < 10_000
        assert asked.looked.passed_bytes > 1_000_000
        asked = query(store, selection=Selection.of(since=at(20), until=at(21)), newest_first=newest_first)
        assert await numbers(asked) == [20]
        assert asked.looked.read_bytes < 700_000
        assert asked.looked.passed_segments == 0


async def test_a_stretch_without_an_agent_is_passed_over() -> None:
    """A filter each: what is in one of them is not looked for in all."""
    store = MemoryStore()
    for begin in range(0, 40, 10):
        rare = {"agent_id": "rare"} if begin == 20 else {}
        await more(store, range(begin, begin + 10), **rare, data="x" * 5000)
        await grown(store)
    asked = query(store, selection=Selection.of(agent="rare"))
    assert await numbers(asked) == list(range(20, 30))
    assert asked.looked.read_bytes < 70_000
    nowhere = query(store, selection=Selection.of(agent="of no record"))
    assert await numbers(nowhere) == []
    assert nowhere.looked.segments == set()


async def test_names_are_known_without_reading_the_segment() -> None:
    """Those of the index, and those that came later."""
    store = Spy(MemoryStore())
    named = [{"kind": "agent.registered", "agent_id": f"{n:032x}", "name": f"agent {n}", "at": at(n)} for n in range(3)]
    for each in named[:2]:
        await write_log(store, [each, *(record(number, data="x" * 20_000) for number in range(30))])
    await grown(store)
    await write_log(store, named[2:])
    store.read_sizes.clear()
    assert [name async for _, _, name in names_of(store, "/audit")] == ["agent 0", "agent 1", "agent 2"]
    assert sum(store.read_sizes) < 100_000


async def test_so_little_is_read_of_its_file_as_can_be() -> None:
    """One read of it, and one of the end of what it covers."""
    store = Spy(await some(range(60)))
    assert await numbers(query(store, selection=Selection.of(kind="model.called", since=at(2), until=at(3)))) == [2]
    assert store.count("read_bytes", GROWING) == 1
    store = Spy(MemoryStore())
    await more(store, range(60))
    assert await numbers(query(store, selection=Selection.of(since=at(2), until=at(3)))) == [2]
    assert store.count("read_bytes", "/index/") == 0


async def test_little_has_no_index() -> None:
    """It is read as quickly as one would be."""
    store = MemoryStore()
    await more(store, range(10))
    assert (await index_log(store)).growing_bytes == 0
    await more(store, range(10, 14), data="x" * 70_000)
    done = await index_log(store)
    assert done.growing_bytes == await store.size(segment_path("/audit", 0))
    assert (done.made, done.segments) == (0, 0)
    before = await files_of(store)
    await more(store, range(14, 16))
    assert (await index_log(store)).growing_bytes == done.growing_bytes
    assert (await files_of(store))[GROWING] == before[GROWING]


async def test_going_on_reads_what_is_new() -> None:
    """And finds what one does that was made at once."""
    store = Spy(MemoryStore())
    await more(store, range(100), data="x" * 20_000)
    await grown(store)
    await more(store, range(100, 110), data="x" * 20_000)
    store.read_sizes.clear()
    end = await grown(store)
    assert sum(store.read_sizes) < 400_000
    assert end > 2_000_000
    assert await numbers(query(store, selection=Selection.of(agent="agent-3"))) == list(range(3, 110, 10))


# --- the same is found ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_an_index_changes_no_result_while_the_log_lives(seed: int) -> None:
    """It grows, is rotated and pruned, is closed and opened, is indexed or only in part, in any order."""
    chance = random.Random(seed)
    store, number = MemoryStore(), 0
    rotation = Rotation(records_max=chance.choice([15, 40]))
    audit = AuditLog(store, rotation=rotation, redactor=None)
    for _ in range(40):
        step = chance.choice(["append", "append", "append", "grow", "grow", "index", "prune", "close"])
        if step == "append":
            size = chance.choice([1, 3, 12])
            wide = {"data": "x" * chance.choice([1, 400, 5000])}
            await audit.append_many([record(n + chance.randrange(5), **wide) for n in range(number, number + size)])
            number += size
        elif not number:
            continue
        elif step == "grow":
            await grown(store)
        elif step == "index":
            await index_log(store)
        elif step == "prune":
            await audit.prune(retention=Retention(segments_max=3))
        else:
            await audit.aclose()
        chosen = chance.sample(sorted(FILTERS), chance.choice([1, 2]))
        selection = Selection.of(**{name: VALUES[name] for name in chosen})  # type: ignore[arg-type]
        options: dict[str, Any] = {"newest_first": chance.random() < 0.5, "page": chance.choice([1, 4, 1000])}
        without = await plain(store)
        assert await found_in(store, selection, **options) == await found_in(without, selection, **options), step
        assert (await count(store, selection=selection)).rows == (await count(without, selection=selection)).rows
    await audit.aclose()
    assert (await audit.verify()).records
    left = {name[:20] for name in await store.list("/audit/log")}
    assert {name[:20] for name in await store.list("/audit/index")} <= left


async def test_what_comes_while_it_is_read_is_found() -> None:
    """The segment grows, and the next one begins, between two records of a query."""
    store = MemoryStore()
    clock = ManualClock()
    log = AuditLog(store, clock=clock, rotation=Rotation(records_max=30))
    await log.append_many([record(number) for number in range(20)])
    await grown(store)
    found = []
    async for each in log.query(agent="agent-3"):
        found.append(each.fields["n"])
        if len(found) < 4:
            await log.append_many([record(number + 20 * len(found)) for number in range(20)])
            await index_log(store)
    await log.aclose()
    assert found == list(range(3, 80, 10))


async def test_a_cursor_behind_what_is_covered_goes_on_there() -> None:
    store = await some(range(20))
    await more(store, range(20, 30))
    first = query(store, selection=Selection.of(since=at(25)), limit=1)
    assert await numbers(first) == [25]
    later = query(store, selection=Selection.of(since=at(3)), after=first.cursor)
    assert await numbers(later) == [26, 27, 28, 29]
    back = query(store, selection=Selection.of(since=at(3)), after=first.cursor, newest_first=True)
    assert await numbers(back) == list(range(24, 2, -1))
    assert later.looked.passed_bytes == 0


# --- what is not believed ---------------------------------------------------------------------------------------------


async def test_every_damage_of_it_is_noticed() -> None:
    """A flipped bit, a cut, another version, one of a sealed segment: the segment is read instead, and that is said."""
    store = await some(range(30))
    whole = (await files_of(store))[GROWING]
    await more(store, range(30, 40))
    selection = Selection.of(agent="agent-2", since=at(20), until=at(35))
    damages = [b"", whole[:-1], whole[:500], whole[:1030], whole.replace(b'"v":1', b'"v":2')]
    chance = random.Random(3)
    for _ in range(300):
        place = chance.randrange(len(whole))
        damages.append(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
    said = 0
    for damage in damages:
        await store.write(GROWING, damage)
        asked = query(store, selection=selection)
        assert await numbers(asked) == [22, 32]
        said += bool(asked.looked.faults)
        assert all("is not used" in fault for fault in asked.looked.faults)
    assert said > 100
    await grown(store)
    asked = query(store, selection=selection)
    assert (await numbers(asked), asked.looked.faults) == ([22, 32], [])


@pytest.mark.parametrize("kept", [0, 3, 17])
async def test_another_history_is_told(kept: int) -> None:
    """The segment was cut off and has grown again, longer than what the index covers, with the same sizes."""
    store, other = MemoryStore(), MemoryStore()
    await more(store, range(20))
    await grown(store)
    await more(other, range(20), agent_id="agent-x")
    await more(other, range(20, 40))
    segment = segment_path("/audit", 0)
    lines = (await files_of(other))[segment].splitlines(keepends=True)
    await other.write(GROWING, (await files_of(store))[GROWING])
    asked = query(other, selection=Selection.of(agent="agent-3"))
    assert await numbers(asked) == [23, 33]
    assert len(asked.looked.faults) == 1
    # Shorter than what it covers: an older copy, of which nothing is said.
    await other.write(segment, b"".join(lines[:kept]))
    asked = query(other, selection=Selection.of(agent="agent-x"))
    assert await numbers(asked) == await numbers(query(await plain(other), selection=Selection.of(agent="agent-x")))
    assert asked.looked.faults == []
    assert (await index_log(other)).growing_bytes == 0
    assert not await other.exists(GROWING)


async def test_a_torn_end_is_not_covered() -> None:
    """What a crash has left there is found to be none as ever, and the next life goes on behind what is whole."""
    store = await some(range(10))
    segment = segment_path("/audit", 0)
    await more(store, range(10, 20))
    for torn in (b'{"at":"20', b"\0" * 700, b"\0\0\n\0\0\n{}"):
        torn_store = await store_of(await files_of(store))
        await torn_store.append(segment, torn)
        await grown(torn_store)
        without = await plain(torn_store)
        asked, expected = (query(each, selection=Selection.of(since=at(8))) for each in (torn_store, without))
        assert await numbers(asked) == await numbers(expected) == list(range(8, 20))
        assert asked.looked.unread_bytes == expected.looked.unread_bytes > 0
        assert asked.looked.faults == []
        if b"\n" in torn:  # no crash leaves that, so that no log goes on behind it
            continue
        await torn_store.delete("/audit/clean")
        await more(torn_store, range(20, 25))
        asked = query(torn_store, selection=Selection.of(since=at(8)))
        assert (await numbers(asked), asked.looked.faults) == (list(range(8, 25)), [])


async def test_a_block_that_was_changed_is_damage() -> None:
    store = await some(range(60), data="x" * 300)
    segment = segment_path("/audit", 0)
    content = (await files_of(store))[segment]
    await store.write(segment, content.replace(b'"n":3,', b'"n":4,', 1))
    with pytest.raises(LogDamaged, match="was changed since its index was made"):
        await numbers(query(store, selection=Selection.of(agent="agent-3")))


async def test_one_of_all_is_not_asked_of_the_segment_that_grows() -> None:
    """It was sealed, and is the last one again, as those behind it were lost."""
    store = MemoryStore()
    await write_log(store, map(record, range(40)), records_max=20)
    await index_log(store)
    first, *later = await list_segments(store, "/audit")
    for each in later:
        await store.delete(segment_path("/audit", each))
    lines = (await files_of(store))[segment_path("/audit", first)].splitlines(keepends=True)
    await store.append(segment_path("/audit", first), next(line for line in lines if b'"n":3,' in line))
    asked = query(store, selection=Selection.of(since=at(3), until=at(4)))
    assert (await numbers(asked), asked.looked.faults) == ([3, 3], [])


async def test_a_journal_has_none() -> None:
    store = MemoryStore()
    await write_log(store, (record(n, data="x" * 50_000) for n in range(30)), path="/journal", chained=False)
    with pytest.raises(ConfigurationError, match="is a journal"):
        await index_log(store, "/journal")
    assert await store.list("/journal/index") == []


@pytest.mark.parametrize("argument", ["check", "sealed"])
async def test_a_choice_is_true_or_false(argument: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"index_log\(\): {argument} is True or False"):
        await index_log(MemoryStore(), **{argument: "no"})  # type: ignore[arg-type]


# --- its life ---------------------------------------------------------------------------------------------------------


async def test_the_index_of_all_takes_its_place() -> None:
    """When the segment is sealed; and pruning deletes both."""
    store = MemoryStore()
    audit = AuditLog(store, rotation=Rotation(records_max=20))
    await audit.append({"kind": "agent.registered", "agent_id": "a", "name": "a secret name"})
    await grown(store)
    assert b"a secret name" in (await files_of(store))[GROWING]
    for number in range(70):
        await audit.append({"n": number})
        await grown(store)
    assert sum(name.endswith(".growing") for name in await store.list("/audit/index")) == 4
    await index_log(store)
    segments = await store.list("/audit/log")
    growing = f"{segments[-1][:20]}.growing"
    assert await store.list("/audit/index") == [*(f"{name[:20]}.idx" for name in segments[:-1]), growing]
    await grown(store)
    await audit.prune(retention=Retention(segments_max=2))
    assert b"a secret name" not in b"".join((await files_of(store)).values())
    await audit.aclose()
    assert (await audit.verify()).records


async def test_a_sealed_segment_without_one_of_all_is_found_by_it() -> None:
    """As after a kill between the two."""
    store = MemoryStore()
    audit = AuditLog(store, rotation=Rotation(records_max=20), redactor=None)
    await audit.append_many([record(number, data="x" * 20_000) for number in range(18)])
    await grown(store)
    for number in range(18, 30):
        await audit.append(record(number))
    for newest_first in (False, True):
        asked = audit.query(since=at(17), until=at(25), newest_first=newest_first)
        assert sorted(await numbers(asked)) == list(range(17, 25))
        assert asked.looked.read_bytes < 200_000 < asked.looked.passed_bytes
    await audit.aclose()


async def test_a_kill_at_any_step_changes_no_result() -> None:
    """Of the store, while segments are indexed, sealed and pruned."""
    store = Killed()
    audit = AuditLog(store, rotation=Rotation(records_max=12), redactor=None)
    store.states = []
    for number in range(40):
        await audit.append(record(number))
        if number % 5 == 4:
            await grown(store)
        if number % 9 == 8:
            await index_log(store)
        if number == 35:
            await audit.prune(retention=Retention(segments_max=2))
    states, store.states = store.states, None
    await audit.aclose()
    assert len(states) > 60
    selection = Selection.of(agent=["agent-3", "agent-4"])
    for state in states:
        killed = await store_of(state)
        expected = await numbers(query(await plain(killed), selection=selection))
        asked = query(killed, selection=selection)
        assert (await numbers(asked), asked.looked.faults) == (expected, [])
        back = query(killed, selection=selection, newest_first=True)
        assert await numbers(back) == expected[::-1]
        again = AuditLog(killed, redactor=None)
        await again.append(record(43))
        await index_log(killed)
        assert await numbers(again.query(selection)) == [*expected, 43]
        await again.aclose()
        assert (await again.verify()).holds


async def test_older_versions_do_not_take_it_for_one_of_all() -> None:
    """They go by the whole end of a name, and delete what begins with a number that was pruned."""
    name = GROWING.rpartition("/")[2]
    assert name[20:] != ".idx"
    assert name[:20].isdecimal()


async def test_a_copy_of_a_busy_store_has_none_that_is_ahead() -> None:
    """It grows while it is copied, and its index is replaced: the copy has one of them, and no mixture."""
    written: set[bytes] = set()

    class Busy(Spy):
        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            content = await super().read_bytes(path, start, end)
            if path == GROWING:
                written.add((await files_of(self.inner))[GROWING])
                await more(self.inner, range(60, 70))
                await grown(self.inner)
            return content

    store = Busy(await some(range(60), data="x" * 20_000))
    copy = MemoryStore()
    await copy_live(store, copy)
    asked = query(copy, selection=Selection.of(since=at(58)))
    found = await numbers(asked)
    assert found[:2] == [58, 59]
    assert found == await numbers(query(await plain(copy), selection=Selection.of(since=at(58))))
    assert asked.looked.faults == []
    assert asked.looked.passed_bytes > 0
    assert (await files_of(copy))[GROWING] in written


# --- by the writer ----------------------------------------------------------------------------------------------------


async def test_an_indexed_log_indexes_each_four_megabytes(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    async with AuditLog(store, redactor=None, indexed=True) as audit:
        sizes = set()
        for number in range(0, 200, 5):
            await audit.append_many([record(each, data="x" * 50_000) for each in range(number, number + 5)])
            await until(lambda: not [task for task in asyncio.all_tasks() if "indexing" in task.get_name()])
            sizes.add((await audit.index()).growing_bytes if number == 100 else 0)
        assert await numbers(audit.query(agent="agent-3")) == list(range(3, 200, 10))
        asked = audit.query(since=at(150), until=at(151))
        assert await numbers(asked) == [150]
        assert asked.looked.read_bytes < 5_000_000
    asked = query(FileStore(tmp_path), selection=Selection.of(since=at(198)))
    assert await numbers(asked) == [198, 199]
    assert asked.looked.read_bytes < 700_000
    assert max(sizes) > GROWTH_BYTES_MIN
    await store.aclose()


async def test_a_closed_log_covers_all_that_it_has() -> None:
    """Also what was appended last; and little is not worth it."""
    store = MemoryStore()
    async with AuditLog(store, redactor=None, indexed=True) as audit:
        await audit.append({"n": 0})
    assert await store.list("/audit/index") == []
    async with AuditLog(store, redactor=None, indexed=True) as audit:
        await audit.append_many([record(number, data="x" * 30_000) for number in range(20)])
    asked = audit.query(since=at(3), until=at(4))
    assert await numbers(asked) == [3]
    assert asked.looked.read_bytes + asked.looked.passed_bytes == await store.size(segment_path("/audit", 0))
    assert asked.looked.passed_bytes > 300_000
    async with AuditLog(store, redactor=None, indexed=True):
        pass  # it was not appended to


async def test_a_store_that_hangs_delays_no_close() -> None:
    """For longer than what the log was given."""

    class Hanging(MemoryStore):
        async def list(self, path: str = "/") -> list[str]:
            if path.endswith("/index"):
                await asyncio.sleep(3600)
            return await super().list(path)

    store = Hanging()
    audit = AuditLog(store, redactor=None, indexed=True, close_seconds_max=0.05)
    await audit.append_many([record(number, data="x" * 30_000) for number in range(20)])
    await audit.aclose()
    await until_idle()
    assert [task for task in asyncio.all_tasks() if "indexing" in task.get_name()] == []
    assert (await audit.verify()).records


async def test_a_cancelled_close_leaves_the_log_whole() -> None:
    store = MemoryStore()
    for turns in range(12):
        audit = AuditLog(store, redactor=None, indexed=True)
        await audit.append_many([record(number, data="x" * 30_000) for number in range(10)])
        closing = asyncio.create_task(audit.aclose())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await until_idle()
        await audit.aclose()
    asked = query(store, selection=Selection.of(agent="agent-3"))
    assert (await numbers(asked), asked.looked.faults) == ([3] * 12, [])


async def test_what_is_covered_is_what_was_checked() -> None:
    """A line that is cut by a checksum of its tail is told: the last 4 KiB stand for all before them by the chain."""
    store = MemoryStore()
    log = Log(store, "/audit", clock=ManualClock(), chained=True)
    await log.append([b'{"at":"2027-01-15T08:00:00.000000Z","n":%d}' % number for number in range(300)])
    await log.aclose()
    end = await grown(store)
    segment = (await files_of(store))[segment_path("/audit", 0)]
    assert str(crc32(segment[end - 4096 : end])).encode() in (await files_of(store))[GROWING]
