"""Queries: which records are found, in which order, and where a cursor goes on."""

from __future__ import annotations

import asyncio
import inspect
import random
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given, settings, strategies as st

from hubwire import GenericEvent, Hub, codec, scope
from hubwire.errors import CallerError, ConfigurationError, HistoryGone, InvalidCursor, LogDamaged, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention
from hubwire.listeners.audit._queries import Queryable
from hubwire.log import Rotation, segment_path
from hubwire.query import Selection, count, index_log, instant_of, query
from hubwire.query._cursor import Cursor
from hubwire.query._index import Block, Bloom, encode_index, index_path, read_header
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.compressed import compressed
from hubwire.testing import ManualClock
from support.log import Spy
from support.odd import ODD
from support.queries import FILTERS, START_NS, VALUES, at, numbers, record, write_log

FIRST = segment_path("/audit", 0)


async def log_of(*records: dict[str, Any], **options: Any) -> MemoryStore:
    store = MemoryStore()
    await write_log(store, records, **options)
    return store


# --- what is selected -------------------------------------------------------------------------------------------------


async def test_a_query_finds_what_was_appended() -> None:
    """By each filter, and by all of them together."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        planner = await hub.agents.register("planner")
        coder = await hub.agents.register("coder")
        channel = await hub.channels.open([planner, coder], topic="the build")
        with scope(tenant="acme", session="s-1", correlation_id="c-1"):
            await hub.emit(GenericEvent(kind="order.placed", data={"order": 7, "to": {"city": "Köln"}}))
        await channel.post(coder, {"text": "done"})
    audit = AuditLog(store)

    async def kinds(**filters: Any) -> list[str]:
        return [found.fields["kind"] async for found in audit.query(**filters)]

    assert await kinds(agent="planner") == ["agent.registered", "channel.created"]
    assert await kinds(agent=planner.id[-8:]) == await kinds(agent="planner") == await kinds(agent=planner.id)
    assert await kinds(agent=["planner", coder.id], kind="agent.*") == ["agent.registered"] * 2
    assert "envelope.posted" in await kinds(channel="the build")
    assert await kinds(channel="the build") == await kinds(channel=channel.id)
    assert await kinds(topic="the build") == ["channel.created"]
    for filters in (
        {"kind": "order.*"},
        {"tenant": "acme"},
        {"session": "s-1"},
        {"correlation": "c-1", "tenant": ["other", "acme"]},
        {"where": {"data.order": "7"}},
        {"where": {"data.to.city": "Köln"}},
        {"text": "köln"},
    ):
        assert await kinds(**filters) == ["order.placed"], filters
    assert await kinds(kind="order.placed", agent="coder") == []
    assert await kinds(agent="nobody") == []


async def test_since_is_inclusive_and_until_exclusive() -> None:
    store = await log_of(*map(record, range(10)))
    assert await numbers(query(store, selection=Selection.of(since=at(3), until=at(6)))) == [3, 4, 5]


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-15T08:00:03.000000Z",
        "2027-01-15T08:00:03Z",
        "2027-01-15T08:00:03.000000000+00:00",
        "2027-01-15T09:00:03+01:00",
        "2027-01-15 08:00:03",
        "2027-01-15 08:00:03.000000Z",
        "2027-W02-5T08:00:03.000000Z",
        "20270115T080003Z",
        1_800_000_003,
        1_800_000_003.0,
    ],
)
async def test_times_of_records_are_compared_as_instants(text: Any) -> None:
    """Records of strangers have their time in other forms, some of which sort otherwise as text."""
    store = await log_of({"at": text, "n": 1})
    for since, until, expected in ((at(3), at(4), [1]), (at(2), at(3), []), (at(3.000001), at(9), [])):
        assert await numbers(query(store, selection=Selection.of(since=since, until=until))) == expected


async def test_times_before_1970_are_times() -> None:
    """And 1970 itself, which is 0: in a log with an index and in one without."""
    texts = ["1969-12-31T23:59:59.000000Z", "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:01.000000Z"]
    zero: list[dict[str, Any]] = [{"at": texts[1], "n": 1}] * 3
    three: list[dict[str, Any]] = [{"at": text, "n": n} for n, text in enumerate(texts)]
    for records in (zero, three):
        store = MemoryStore()
        # Without the records of the log itself, which are of today.
        lines = codec.seal_all([codec.encode_record(each) for each in records], 0, 0)
        await store.write(segment_path("/foreign", 0), b"".join(lines))
        found = Selection.of(until="1970-01-01T00:00:01Z")
        expected = [each["n"] for each in records if each["at"] < texts[2]]
        assert await numbers(query(store, "/foreign", found)) == expected
        assert await numbers(query(store, "/foreign", Selection.of(until="1960-01-01"))) == []
        block = [Block(0, 0, 9, 3, instant_of(records[0]["at"]), instant_of(records[-1]["at"]), 0)]
        await store.write(index_path("/foreign", 0), encode_index(0, 9, 0, block, Bloom(b""), []))
        header = await read_header(store, index_path("/foreign", 0), 0)
        assert (header.earliest, header.latest) == (block[0].earliest, block[0].latest)


@pytest.mark.parametrize(
    ("given", "zone"),
    [
        ("2027-01-15T08:00:03Z", None),
        ("2027-01-15 08:00:03", None),
        ("2027-01-15T09:00:03+01:00", None),
        ("2027-01-15 09:00:03 Europe/Berlin", None),
        ("2027-01-15 09:00:03", "Europe/Berlin"),
        ("2027-01-15t08:00:03z", "Asia/Tokyo"),
        (datetime(2027, 1, 15, 9, 0, 3, tzinfo=timezone(timedelta(hours=1))), "Asia/Tokyo"),
        ("-57s", None),
        ("-0m57s", None),
    ],
)
def test_a_moment_may_be_given_in_many_forms(given: Any, zone: str | None) -> None:
    clock = ManualClock(start_ns=START_NS + 60 * 10**9)
    assert Selection.of(since=given, zone=zone, clock=clock).since == START_NS // 1000 + 3_000_000


def test_days_begin_where_their_zone_says() -> None:
    """Also on the day on which the clocks change."""
    noon = datetime(2026, 10, 25, 12, tzinfo=UTC)
    clock = ManualClock(start_ns=int(noon.timestamp()) * 10**9)
    berlin = Selection.of(since="today", until="tomorrow", zone="Europe/Berlin", clock=clock)
    assert (berlin.since_at, berlin.until_at) == (
        datetime(2026, 10, 24, 22, tzinfo=UTC),
        datetime(2026, 10, 25, 23, tzinfo=UTC),
    )
    assert Selection.of(since="yesterday", clock=clock).since_at == datetime(2026, 10, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"agnet": "planner"}, "did you mean agent"),
        ({"risk_level": "high"}, "where="),
        ({"severity": "eror"}, "did you mean error"),
        ({"outcome": "sucess"}, "did you mean success"),
        ({"since": "yesterdy"}, "since is a time"),
        ({"since": "10m"}, "since is a time.*write -10m"),
        ({"since": "10 minutes ago"}, "since is a time"),
        ({"since": "2026-11-21T10:00 Sea/Atlantis"}, "zone is a time zone"),
        ({"since": datetime(2027, 1, 15)}, "a datetime with a zone"),  # noqa: DTZ001 - it has none
        ({"since": "now", "until": "-1m"}, "until is exclusive"),
        ({"since": "now", "until": "now"}, "until is exclusive"),
        ({"since": "today", "zone": "Mars/Base"}, "no such zone"),
        ({"agent": []}, "leave it out"),
        ({"agent": ""}, "not empty"),
        ({"agent": 5}, "agent is"),
        ({"text": "x" * 5000}, "at most 4096"),
        ({"where": {"": "x"}}, "not empty"),
        ({"where": "a=b"}, "where is a mapping"),
        ({"limit": -1}, "limit is"),
        ({"newest_first": 1}, "newest_first is"),
        ({"after": "q1-0-0"}, "not a cursor"),
    ],
)
def test_what_cannot_be_is_refused_with_advice(filters: dict[str, Any], said: str) -> None:
    with pytest.raises((ConfigurationError, InvalidCursor), match=said):
        AuditLog(MemoryStore()).query(**filters)


async def test_what_is_escaped_is_found() -> None:
    """Whichever way a writer escapes it, and in whatever case."""
    lines = [
        b'{"agent_id":"M\\u00fcller","n":1}',
        b'{ "n" : 2 , "agent_id" : "M\xc3\xbcller" }',
        b'{"note":"a \\"quoted\\" \\u0041gent-7","n":3}',
        b'{"note":"line\\nhello","n":4}',
    ]
    store = MemoryStore()
    await store.write(segment_path("/foreign", 0), b"\n".join(lines) + b"\n")
    for filters, expected in (
        ({"agent": "Müller"}, [1, 2]),
        ({"text": "MÜLLER"}, [1, 2]),
        ({"text": 'a "QUOTED" agent-7'}, [3]),
        ({"text": "AGENT-7"}, [3]),
        ({"text": "nhello"}, []),
        ({"text": "hello"}, [4]),
        ({"where": {"n": "2"}}, [2]),
    ):
        assert await numbers(query(store, "/foreign", Selection.of(**filters))) == expected, filters


async def test_text_is_not_looked_for_in_what_the_log_adds() -> None:
    store = await log_of(record(1))
    chain = codec.seal_of((await anext(query(store))).line)[1]
    assert chain is not None
    assert await numbers(query(store, selection=Selection.of(text=chain.decode()))) == []


# --- any log, any selection: as by a plain reading --------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    chosen=st.sets(st.sampled_from(sorted(FILTERS))),
    records_max=st.sampled_from([7, 30, 1000]),
    chained=st.booleans(),
    newest_first=st.booleans(),
    page=st.sampled_from([1, 3, 100]),
)
def test_pages_are_what_a_plain_reading_selects(
    chosen: set[str], records_max: int, chained: bool, newest_first: bool, page: int
) -> None:
    """Each record once, in order, whatever the pages, the segments and the direction."""
    order = list(range(80))
    random.Random(1).shuffle(order)  # times need not go up
    records = [record(number) for number in order]
    expected = [each["n"] for each in records if all(FILTERS[name](each) for name in chosen)]
    selection = Selection.of(**{name: VALUES[name] for name in chosen})  # type: ignore[arg-type]

    async def pages() -> list[int]:
        store = await log_of(*records, records_max=records_max, chained=chained)
        found: list[int] = []
        after = None
        while True:
            asked = query(store, selection=selection, after=after, limit=page, newest_first=newest_first)
            some = [each async for each in asked]
            found += [each.fields["n"] for each in some if "n" in each.fields]
            if not some:
                return found
            after = some[-1].cursor
            assert after == asked.cursor

    assert asyncio.run(pages()) == (expected[::-1] if newest_first else expected)


# --- cursors ----------------------------------------------------------------------------------------------------------


async def test_a_cursor_goes_on_in_both_directions() -> None:
    store = await log_of(*map(record, range(20)), records_max=6)
    tenth = (await anext(query(store, selection=Selection.of(where={"n": "10"})))).cursor
    assert await numbers(query(store, after=tenth)) == list(range(11, 20))
    assert await numbers(query(store, after=tenth, newest_first=True)) == list(range(9, -1, -1))
    assert tenth.isascii()
    assert all(letter.isalnum() or letter in "-_" for letter in tenth)


async def test_a_cursor_goes_on_with_what_came_since() -> None:
    store = MemoryStore()
    async with AuditLog(store) as audit:
        await audit.append({"n": 1})
        asked = audit.query()
        assert await numbers(asked) == [1]
        await audit.append({"n": 2})
        assert await numbers(audit.query(after=asked.cursor)) == [2]


@pytest.mark.parametrize("chained", [True, False])
async def test_a_cursor_of_another_history_is_refused(chained: bool) -> None:
    """A log that was restored from an older copy, or is another one, has other records at the same places."""
    one = await log_of(*map(record, range(5)), chained=chained)
    other = await log_of(*(record(number, n=99 - number) for number in range(5)), chained=chained)
    short = await log_of(record(0), chained=chained)
    cursor = [found.cursor async for found in query(one)][3]
    for store in (other, short, MemoryStore()):
        with pytest.raises(InvalidCursor, match="another history"):
            await numbers(query(store, after=cursor))


async def test_a_changed_cursor_is_refused() -> None:
    store = await log_of(*map(record, range(5)))
    _, segment, offset, index, mark = ([found.cursor async for found in query(store)][3]).split("-", 4)
    for changed in (
        f"q1-{segment}-{offset}-{int(index) + 1}-{mark}",
        f"q1-{segment}-{offset}-{index}-{mark[:-9]}",
        f"q1-{segment}-{int(offset) + 1}-{index}-{mark}",
        f"q1-{segment}-0-{index}-{mark}",
        f"q1-{segment}-999999-{index}-{mark}",
        f"q1-7-{offset}-{index}-{mark}",
        f"q2-{segment}-{offset}-{index}-{mark}",
        f"q1-{segment}-{offset}-{index}-",
        f"q1-{segment}-{offset}-{index}-{mark}\n",
        "",
        "x" * 100_000,
        None if False else 5,
    ):
        with pytest.raises(InvalidCursor):
            await numbers(query(store, after=changed))  # type: ignore[arg-type]


async def test_a_forged_index_is_no_damage_of_the_log() -> None:
    """Whoever makes a cursor with all that belongs to it is told that the cursor is wrong, and not the log."""
    store = await log_of(*map(record, range(20)), records_max=6)
    eighth = Cursor.parse([found.cursor async for found in query(store)][8])
    forged = str(Cursor(eighth.segment, eighth.offset, eighth.index + 1, eighth.print))
    with pytest.raises(InvalidCursor, match=f"says that it is after record {eighth.index + 1}, but record"):
        await numbers(query(store, after=forged))
    assert await numbers(query(store, after=forged, newest_first=True)) == list(range(6, -1, -1))


async def test_a_cursor_of_what_was_pruned_says_so() -> None:
    store = MemoryStore()
    async with AuditLog(store, rotation=Rotation(records_max=5)) as audit:
        for number in range(20):
            await audit.append({"n": number})
        first = (await anext(audit.query(limit=1))).cursor
        await audit.prune(retention=Retention(segments_max=2))
        with pytest.raises(HistoryGone, match="pruned"):
            await numbers(audit.query(after=first))
        left = await numbers(audit.query())
        assert 0 < len(left) < 20
        assert left == list(range(20))[-len(left) :]


# --- logs as they are found -------------------------------------------------------------------------------------------


async def test_a_log_that_is_written_can_be_queried() -> None:
    """Without a hold, and without what its writer has not finished."""
    store = MemoryStore()
    async with AuditLog(store, rotation=Rotation(records_max=4)) as audit:
        for number in range(10):
            await audit.append({"n": number})
        assert await numbers(audit.query()) == list(range(10))
        assert await numbers(audit.query(newest_first=True)) == list(range(10))[::-1]
    before = await store.list("/audit")
    assert await numbers(AuditLog(store).query()) == list(range(10))
    assert await store.list("/audit") == before


async def test_records_that_come_while_a_query_reads_are_found() -> None:
    """Also in segments that were not there when it began."""
    store = MemoryStore()
    async with AuditLog(store, rotation=Rotation(records_max=3)) as audit:
        await audit.append({"n": 0})
        found = []
        async for each in audit.query():
            if "n" in each.fields:
                found.append(each.fields["n"])
                if each.fields["n"] < 9:
                    await audit.append({"n": each.fields["n"] + 1})
        assert found == list(range(10))


@pytest.mark.parametrize("chained", [True, False])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_damage_is_an_error_that_names_the_byte(chained: bool, newest_first: bool) -> None:
    """Forwards, what is before it is found first."""
    store = await log_of(*map(record, range(10)), chained=chained)
    content = (await store.read_bytes(FIRST) or b"").split(b"\n")
    offset = sum(len(line) + 1 for line in content[:4])
    content[4] = content[4].replace(b'"n":', b'"n"!')
    await store.write(FIRST, b"\n".join(content))
    asked = query(store, newest_first=newest_first)
    found = []
    with pytest.raises(LogDamaged, match=f"byte {offset}, record 4") as raised:
        async for each in asked:
            found.append(each.index)  # noqa: PERF401 - it raises on the way
    assert (raised.value.path, raised.value.byte_offset) == (FIRST, offset)
    if not newest_first:
        assert found == [0, 1, 2, 3]


async def test_a_checksum_that_is_wrong_is_damage() -> None:
    store = await log_of(*map(record, range(10)), chained=False)
    content = await store.read_bytes(FIRST) or b""
    await store.write(FIRST, content.replace(b'"n":4', b'"n":7', 1))
    with pytest.raises(LogDamaged, match="record 4"):
        await numbers(query(store))


@pytest.mark.parametrize("torn", [b'{"agent_id":"ag', b"\0" * 600, b'{"a":1\n{"b'])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_what_a_crash_has_left_is_passed_over_and_told(torn: bytes, newest_first: bool) -> None:
    store = await log_of(*map(record, range(5)), close=False)
    await store.append(FIRST, torn)
    asked = query(store, newest_first=newest_first)
    found = await numbers(asked)
    assert sorted(found) == list(range(5))
    assert asked.looked.unread_bytes == len(torn)


async def test_a_missing_segment_is_damage() -> None:
    store = await log_of(*map(record, range(20)), records_max=6)
    second = sorted(await store.list("/audit/log"))[1]
    await store.delete(f"/audit/log/{second}")
    for newest_first in (True, False):
        with pytest.raises(LogDamaged, match="next segment begins"):
            await numbers(query(store, newest_first=newest_first))


async def test_an_empty_log_has_no_records() -> None:
    assert await numbers(query(MemoryStore())) == []
    assert await numbers(query(MemoryStore(), newest_first=True)) == []


async def test_records_without_a_time_are_counted() -> None:
    store = await log_of({"n": 1}, {"n": 2, "at": "soon"}, {"n": 3, "at": at(3)}, {"n": 4, "at": [1]})
    asked = query(store, selection=Selection.of(since=at(0)))
    assert await numbers(asked) == [3]
    assert asked.looked.undated == 3


async def test_a_long_line_is_one_record() -> None:
    """Longer than what is read at once."""
    store = await log_of(record(0), record(1, data="x" * 3_000_000), record(2))
    assert await numbers(query(store)) == [0, 1, 2]
    assert await numbers(query(store, newest_first=True)) == [2, 1, 0]
    assert await numbers(query(store, selection=Selection.of(agent="agent-1"))) == [1]


async def test_a_query_does_not_block_the_loop() -> None:
    """Between pieces other tasks run."""
    store = await log_of(*(record(number, data="x" * 300) for number in range(20_000)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.ensure_future(count())
    found = await numbers(query(store, selection=Selection.of(where={"n": "19999"})))
    counting.cancel()
    assert found == [19_999]
    assert turns > 20


async def test_a_query_that_is_left_early_needs_no_closing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await write_log(store, map(record, range(2000)))
    asked = query(store)
    assert (await anext(asked)).index == 0
    await asked.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(asked)
    async for found in query(store):
        if found.index == 3:
            break
    await store.aclose()


async def test_records_that_were_cut_are_counted() -> None:
    """What is only in the file beside the log is not looked at, and that is said."""
    store = MemoryStore()
    async with AuditLog(store) as audit:
        await audit.append({"kind": "a.b", "n": 1, "long": "needle " * 20_000})
        await audit.append({"kind": "a.b", "n": 2, "short": "needle"})
    asked = audit.query(text="needle")
    assert await numbers(asked) == [2]
    assert asked.looked.cut == 1
    asked = audit.query(kind="a.b")
    assert await numbers(asked) == [1, 2]
    assert asked.looked.cut == 0


# --- any store --------------------------------------------------------------------------------------------------------


def stores(root: Path) -> dict[str, Callable[[], Any]]:
    from obstore.store import MemoryStore as Bucket

    from hubwire.stores.object import ObjectStore

    bucket = Bucket()
    return {
        "file": lambda: FileStore(root),
        "compressed": lambda: compressed(FileStore(root)),
        "object": lambda: ObjectStore(bucket),
    }


@pytest.mark.parametrize("kind", ["file", "compressed", "object"])
async def test_each_store_can_be_queried(kind: str, tmp_path: Path) -> None:
    """With indexes and without, in both directions, from a cursor, and by a store that is opened anew."""
    opened = stores(tmp_path)[kind]
    store = opened()
    async with AuditLog(store, rotation=Rotation(records_max=20)) as audit:
        for begin in range(0, 100, 10):
            await audit.append_many([record(number) for number in range(begin, begin + 10)])
    if kind == "compressed":
        for name in await store.uncompacted("/audit/log"):
            if name != (await store.list("/audit/log"))[-1]:
                await store.compact(f"/audit/log/{name}")
        assert any(name.endswith(".zst") for name in await FileStore(tmp_path).list("/audit/log"))
    await store.aclose()
    for is_indexed in (False, True):
        audit = AuditLog(store := opened())
        if is_indexed:
            assert (await audit.index()).made > 0
        selection = Selection.of(agent="agent-3", since=at(20), until=at(90))
        expected = list(range(23, 90, 10))
        assert await numbers(audit.query(selection)) == expected
        assert await numbers(audit.query(selection, newest_first=True)) == expected[::-1]
        page = audit.query(selection, limit=3)
        assert await numbers(page) == expected[:3]
        assert await numbers(audit.query(selection, after=page.cursor)) == expected[3:]
        assert (await audit.count(selection)).total == len(expected)
        await store.aclose()


# --- large logs -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """Whatever is asked of a hundred thousand records."""
    store = FileStore(tmp_path)
    for number in range(10):
        records = (record(each, data="x" * 100) for each in range(number * 10_000, (number + 1) * 10_000))
        await write_log(store, records, records_max=8_000)
    await index_log(store)
    tracemalloc.start()
    try:
        for newest_first in (False, True):
            async for found in query(store, newest_first=newest_first):
                assert found.index >= 0
        counts = await count(store, by=["kind", "agent"], every="1h")
        assert counts.total > 100_000
        assert await numbers(query(store, selection=Selection.of(where={"n": "99999"}, since=at(90_000)))) == [99_999]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    await store.aclose()
    assert peak < 16 * 1024 * 1024


# --- hostile arguments ------------------------------------------------------------------------------------------------


ARGUMENTS = sorted(inspect.signature(Queryable.query).parameters.keys() - {"self", "unknown", "zone"})


def is_ours(error: CallerError) -> bool:
    """Tell whether an error is short enough to be read."""
    return len(str(error)) < 2_000


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_odd_arguments_are_refused_or_harmless(name: str) -> None:
    """Each argument, each odd value: an error of ours, or a query that can be run."""
    audit = AuditLog(await log_of(*map(record, range(3))))
    refused: list[CallerError] = []
    for make in ODD:
        try:
            await numbers(audit.query(**{name: make()}))
        except CallerError as error:
            refused.append(error)
    assert refused
    assert all(map(is_ours, refused))


@pytest.mark.parametrize("name", ["by", "every", "selection"])
async def test_odd_arguments_of_counts_are_refused_or_harmless(name: str) -> None:
    audit = AuditLog(await log_of(*map(record, range(3))))
    refused: list[CallerError] = []
    for make in ODD:
        try:
            await audit.count(**{name: make()})
        except CallerError as error:
            refused.append(error)
    assert refused
    assert all(map(is_ours, refused))


def test_odd_zones_are_refused() -> None:
    refused: list[CallerError] = []
    for make in ODD:
        try:
            Selection.of(since="today", zone=make())
        except CallerError as error:
            refused.append(error)
    assert len(refused) > len(ODD) // 2
    assert all(map(is_ours, refused))


class FailsAt(Spy):
    """A store of which one read fails."""

    left = 0

    def _note(self, method: str, path: str) -> None:
        self.left -= method == "read_bytes"
        if method == "read_bytes" and not self.left:
            raise StoreError("away", path=path)


async def test_a_store_that_fails_is_reported() -> None:
    """As the error that it raises, also where several indexes are asked for at once."""
    store = FailsAt(await log_of(*map(record, range(60)), records_max=10))
    await index_log(store)
    selection = Selection.of(agent="agent-3", since=at(10))
    store.left = 0
    assert await numbers(query(store, selection=selection)) == [13, 23, 33, 43, 53]
    reads = -store.left
    for failing in range(1, reads + 1):
        store.left = failing
        with pytest.raises(StoreError, match="away"):
            await numbers(query(store, selection=selection))


@pytest.mark.parametrize("field", sorted(each.name for each in attrs.fields(Selection)))
def test_a_selection_has_fields_of_its_types_alone(field: str) -> None:
    """Also one that is made without ``of``."""
    for make in ODD:
        odd = make()
        if odd is None:
            continue
        try:
            made = Selection(**{field: odd})
        except ConfigurationError:
            continue
        value = getattr(made, field)
        assert type(value) in (tuple, int, str) or (field == "shown" and callable(value))


async def test_a_query_beside_a_writer_that_rotates_and_prunes() -> None:
    """It finds a stretch without a gap, or says that its beginning is gone; and takes no moment for damage."""
    store = MemoryStore()
    chance = random.Random(5)
    written = 0
    async with AuditLog(store, rotation=Rotation(records_max=7), indexed=True) as audit:

        async def write() -> None:
            nonlocal written
            for _ in range(400):
                await audit.append({"n": written, "agent_id": f"agent-{written % 3}", "at": at(written)})
                written += 1
                if written % 40 == 0:
                    await audit.prune(retention=Retention(segments_max=3))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while written < 400:
                newest_first = chance.random() < 0.5
                filters: dict[str, Any] = {}
                if chance.random() < 0.5:
                    filters["since"] = at(max(0, written - chance.randrange(60)))
                try:
                    found = await numbers(audit.query(newest_first=newest_first, **filters))
                except HistoryGone:
                    continue
                ordered = found[::-1] if newest_first else found
                assert ordered == list(range(ordered[0], ordered[-1] + 1)) if ordered else True
                await asyncio.sleep(0)
    assert written == 400
