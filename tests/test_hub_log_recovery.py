"""What opening a log does after a crash, and what damage it refuses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from hubwire import codec
from hubwire.errors import AppendConflict, Fenced, InvalidRecord, LogDamaged, StoreError
from hubwire.log import Log, LogReader, Record, Recovery, chain_value
from hubwire.ports import Hold
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of

SEGMENT = "/log/log/00000000000000000000.jsonl"
Files = dict[str, bytes]

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


async def written(batches: list[int], *, chained: bool, segment_bytes: int = 1 << 20) -> Files:
    """Return what a log leaves behind that appended these batches of events and then crashed."""
    store = MemoryStore()
    log = log_on(store, chained=chained, segment_bytes=segment_bytes)
    seq = 0
    for size in batches:
        bodies = [event_body(number) for number in range(seq, seq + size)]
        seq += size
        await log.append(bodies, seq=seq - 1, hub="a hub")
    return await files_of(store)


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


# --- after a crash ----------------------------------------------------------------------------------------------------


@both
async def test_a_death_between_appends_loses_nothing(chained: bool) -> None:
    store = await store_of(files := await written([1, 3, 2], chained=chained))
    log = log_on(store, chained=chained)
    await log.open()
    assert (log.records, log.last_seq, log.hub_id, log.recovery) == (6, 5, "a hub", None)
    assert log.size_bytes == len(files[SEGMENT])
    assert {path: content for path, content in (await files_of(store)).items() if path in files} == files
    await check_goes_on(store, log, chained=chained)


async def test_an_unclean_segment_is_rewritten() -> None:
    """After a failed fsync the page cache shows what the disk does not have, and a second fsync is of no use."""

    class Counting(MemoryStore):
        written: tuple[str, ...] = ()

        async def write(self, path: str, *arguments: Any, **settings: Any) -> None:
            self.written += (path,)
            await super().write(path, *arguments, **settings)

    store = Counting()
    for path, content in (await written([3], chained=True)).items():
        await store.append(path, content)
    await log_on(store, chained=True).open()
    assert store.written == (SEGMENT,)
    other: Any = Unholdable(store)
    await log_on(other, chained=True).open()
    assert store.written == (SEGMENT,)


@both
async def test_a_torn_tail_is_set_aside_and_reported(chained: bool) -> None:
    """The tail may be torn at any byte."""
    files = await written([2, 1, 3], chained=chained)
    content = files[SEGMENT]
    lines = content.splitlines(keepends=True)
    start = sum(map(len, lines[:3]))
    for end in range(start, len(content) + 1):
        torn = content[:end]
        whole = torn.count(b"\n")
        kept = b"".join(lines[:whole])
        store = await store_of({SEGMENT: torn})
        log = log_on(store, chained=chained)
        await log.open()
        assert (log.records, log.last_seq) == (whole, whole - 1)
        assert await store.read_bytes(SEGMENT) == kept
        if torn == kept:
            assert log.recovery is None
            assert set(await files_of(store)) == {SEGMENT}
        else:
            path = f"{SEGMENT}.torn-{len(kept)}"
            assert log.recovery == Recovery(
                segment=SEGMENT, byte_offset=len(kept), torn_bytes=len(torn) - len(kept), torn_path=path
            )
            assert await store.read_bytes(path) == torn[len(kept) :]
            await log.append([event_body(whole)])
            told = json.loads((await records(store))[whole].line)
            assert told["kind"] == "log.recovered"
            assert (told["byte_offset"], told["torn_bytes"]) == (len(kept), len(torn) - len(kept))
            assert (told["segment"], told["torn_path"]) == (SEGMENT, path)
        await check_goes_on(store, log, chained=chained)


@both
@pytest.mark.parametrize("torn_from", [0, 1, 100])
async def test_a_torn_first_append_leaves_an_empty_log(chained: bool, torn_from: int) -> None:
    content = (await written([1], chained=chained))[SEGMENT]
    store = await store_of({SEGMENT: content[:torn_from]})
    log = log_on(store, chained=chained)
    await log.open()
    assert (log.records, log.last_seq, log.hub_id) == (0, None, None)
    await check_goes_on(store, log, chained=chained)


@both
@pytest.mark.parametrize(
    "rubbish",
    [
        b"\0" * 600,
        b"\n" * 5,
        b"\xff" * 30 + b"\n",
        b'{"a":1}\n',
        b"[" * 100_000 + b"\n",
        b'{"a":' * 5000 + b"1" + b"}" * 5000 + b',"d":0}\n',
        b'{"a":1,"d":0,"h":"AAAAAAAAAAAAAAAAAAAAAA"}{\n',
        b'{"seq":"\xff","d":0}\n',
        b'{"seq":1,"d":0}\0\n',
    ],
    ids=["zeros", "feeds", "bits", "unsealed", "brackets", "depth", "after", "no text", "zero"],
)
async def test_rubbish_at_the_end_is_set_aside(chained: bool, rubbish: bytes) -> None:
    """It comes after everything that a record vouches for."""
    content = (await written([2, 1], chained=chained))[SEGMENT]
    store = await store_of({SEGMENT: content + rubbish})
    log = log_on(store, chained=chained)
    await log.open()
    assert log.records == 3
    assert log.recovery is not None
    assert await store.read_bytes(log.recovery.torn_path) == rubbish
    await check_goes_on(store, log, chained=chained)


async def test_recovery_is_reported_once() -> None:
    content = (await written([2], chained=True))[SEGMENT]
    store = await store_of({SEGMENT: content[:-5]})
    log = log_on(store, chained=True)
    await log.append([b'{"n":1}'])
    assert log.recovery is not None
    await log.aclose()
    await log.append([b'{"n":2}'])
    assert log.recovery is None
    kinds = [json.loads(record.line).get("kind") for record in await records(store)]
    assert kinds == ["a.b", "log.recovered", None, None]


async def test_a_crash_during_recovery() -> None:
    """What was torn has been set aside, and the segment has not been cut yet."""
    content = (await written([2], chained=True))[SEGMENT]
    kept = content.index(b"\n") + 1
    torn_path = f"{SEGMENT}.torn-{kept}"
    store = await store_of({SEGMENT: content[:-5], torn_path: content[kept:-5]})
    log = log_on(store, chained=True)
    await log.open()
    assert log.recovery is not None
    assert await store.read_bytes(torn_path) == content[kept:-5]
    await check_goes_on(store, log, chained=True)


@both
@pytest.mark.parametrize(
    "record",
    [
        {"kind": 5},
        {"hub": 5, "kind": ["log.rotated"]},
        {"seq": "1"},
        {"seq": 1.5},
        {"seq": True},
        {"seq": None, "hub": {}},
        {"kind": "log.rotated"},
        {"last_seq": "x", "kind": "log.rotated"},
        {"d": 10**6},
    ],
    ids=str,
)
async def test_a_hand_made_record_is_not_torn(chained: bool, record: dict[str, Any]) -> None:
    """No content of a record makes recovery take it for a torn one."""
    store = MemoryStore()
    log = log_on(store, chained=chained)
    body = codec.encode_fields({"at": "now", "z": record} | {key: value for key, value in record.items() if key != "d"})
    await log.append([event_body(0)], seq=0, hub="a hub")
    await log.append([body])
    store = await store_of(await files_of(store))
    again = log_on(store, chained=chained)
    await again.open()
    assert (again.records, again.last_seq, again.hub_id, again.recovery) == (2, 0, "a hub", None)
    assert (await records(store))[1].body == body
    await check_goes_on(store, again, chained=chained)


# --- damage -----------------------------------------------------------------------------------------------------------


def vouched_for(content: bytes) -> int:
    """Return how many bytes of a segment hold records that a later one tells to be durable."""
    lines = content.splitlines(keepends=True)
    durable = max(codec.unseal(line.rstrip(b"\n"))[1] for line in lines)
    return sum(map(len, lines[:durable]))


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


async def test_a_flipped_byte_is_refused() -> None:
    """The refusal leaves the store as it was."""
    files = await written([1, 2, 1], chained=True)
    content = files[SEGMENT]
    for offset in range(vouched_for(content)):
        for bit in (1, 0x80) if offset % 5 else (1, 2, 4, 8, 16, 32, 64, 128):
            spoilt = bytearray(content)
            spoilt[offset] ^= bit
            error = await refuses({SEGMENT: bytes(spoilt)}, chained=True)
            assert error is not None, (offset, bit)
            assert error.path == SEGMENT
            assert error.byte_offset is not None
            assert error.byte_offset <= offset
            assert offset < error.byte_offset + max(map(len, content.splitlines())) + 1
            assert "restore" in str(error)


async def test_a_flipped_byte_without_a_chain() -> None:
    """It is refused, or no record is lost."""
    files = await written([1, 2, 1], chained=False)
    content = files[SEGMENT]
    for offset in range(vouched_for(content)):
        for bit in (1, 4, 0x80):
            spoilt = bytearray(content)
            spoilt[offset] ^= bit
            store = await store_of({SEGMENT: bytes(spoilt)})
            log = log_on(store, chained=False)
            try:
                await log.open()
            except LogDamaged:
                assert await files_of(store) == {SEGMENT: bytes(spoilt)}
            else:
                assert (log.records, log.recovery) == (4, None)
                for record in await records(store):
                    codec.decode_fields(record.body)


@both
@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [b"\0" * len(lines[0]), *lines[1:]],
        lambda lines: [lines[0][:-1], *lines[1:]],
        lambda lines: [lines[0], b"\n", *lines[1:]],
        lambda lines: [lines[0], lines[1][:20], *lines[3:]],
        lambda lines: lines[1:],
    ],
    ids=["missing", "one of a batch", "swapped", "twice", "zeros", "joined", "empty line", "hole", "first"],
)
async def test_damage_in_the_middle_is_refused(chained: bool, damage: Any) -> None:
    content = (await written([1, 3, 1, 2], chained=chained))[SEGMENT]
    spoilt = b"".join(damage(content.splitlines(keepends=True)))
    error = await refuses({SEGMENT: spoilt}, chained=chained)
    only_the_chain_could_tell = spoilt.splitlines()[0] == spoilt.splitlines()[1]
    assert (error is not None) == (chained or not only_the_chain_could_tell)


async def test_a_false_count_of_durable_records_is_damage() -> None:
    content = (await written([1, 1], chained=False))[SEGMENT]
    error = await refuses({SEGMENT: content.replace(b',"d":1}', b',"d":7}')}, chained=False)
    assert error is not None
    assert "was durable, as later records say" in str(error)


harm = st.tuples(
    st.sampled_from(["flip", "zero", "cut", "truncate", "double", "random"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 600),
    st.binary(max_size=50),
)


def do_harm(files: Files, kind: str, which: int, where: int, length: int, rubbish: bytes) -> None:
    """Spoil one file in one place."""
    path = sorted(files)[which % len(files)]
    content = bytearray(files[path] or b"\0")
    start = where % len(content)
    end = min(len(content), start + length)
    match kind:
        case "flip":
            content[start] ^= 1 << length % 8
        case "zero":
            content[start:end] = bytes(end - start)
        case "cut":
            del content[start:end]
        case "truncate":
            del content[start:]
        case "double":
            content[start:start] = content[start:end]
        case _:
            content[start:end] = rubbish
    files[path] = bytes(content)


@settings(max_examples=400)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=6),
    st.sampled_from([1 << 20, 700, 300]),
    st.lists(harm, min_size=1, max_size=3),
)
def test_no_record_is_lost_silently(
    batches: list[int], segment_bytes: int, harms: list[tuple[str, int, int, int, bytes]]
) -> None:
    """No damage loses a record that an intact one vouches for without an error."""

    async def run() -> None:
        files = await written(batches, chained=True, segment_bytes=segment_bytes)
        lines = [line for path in sorted(files) for line in files[path].splitlines(keepends=True)]
        for each in harms:
            do_harm(files, *each)
        intact = [line for line in lines if any(line in content for content in files.values())]
        durable = max((codec.unseal(line[:-1])[1] for line in intact), default=0)
        store = await store_of(files)
        log = log_on(store, chained=True, segment_bytes=segment_bytes)
        try:
            await log.open()
        except LogDamaged:
            assert await files_of(store) == files
            return
        assert log.records >= durable
        try:
            found = [record.line + b"\n" for record in await records(store)]
        except LogDamaged:
            # Opening reads the last two segments; who reads the others is told.
            assert len(files) > 2
            return
        last_two = int(sorted(files)[-2:][0].removesuffix(".jsonl")[-20:])
        known = last_two + (last_two > 0)  # what comes first in what is read follows something that is not
        assert found[known:] == lines[known : log.records]

    asyncio.run(run())


# --- the clean marker -------------------------------------------------------------------------------------------------


async def closed(*, chained: bool = True, segment_bytes: int = 1 << 20) -> Files:
    store = await store_of(await written([1, 2, 1], chained=chained, segment_bytes=segment_bytes))
    log = log_on(store, chained=chained, segment_bytes=segment_bytes)
    await log.open()
    await log.aclose()
    return await files_of(store)


@pytest.mark.parametrize("lost", [1, 100, 10**6])
async def test_a_shortened_log_is_refused(lost: int) -> None:
    """The log is shorter than it was when it was closed."""
    files = await closed()
    files[SEGMENT] = files[SEGMENT][: max(0, len(files[SEGMENT]) - lost)]
    error = await refuses(files, chained=True)
    assert error is not None
    assert error.path == SEGMENT
    assert error.byte_offset == len(files[SEGMENT])
    assert "has lost some since; restore it from a copy" in str(error)


@pytest.mark.parametrize("kept", [0, 1])
async def test_missing_last_segments_are_refused(kept: int) -> None:
    """The clean marker knows of them."""
    files = await closed(segment_bytes=100)
    paths = sorted(path for path in files if path.startswith("/log/log/"))
    assert len(paths) > 2
    for path in paths[kept:]:
        del files[path]
    error = await refuses(files, chained=True)
    assert error is not None
    assert error.path == paths[-1]


@pytest.mark.parametrize(
    "marker",
    [
        b"",
        b"\0\0\0",
        b"{}",
        b"[]",
        b"null",
        b'{"first":0}',
        b'{"first":"0","size":1,"records":1,"chain":"","seq":null,"hub":null,"rotated":false}',
        b"\xff",
        b"[" * 100_000,
    ],
    ids=["empty", "zeros", "object", "array", "null", "short", "types", "bits", "brackets"],
)
async def test_an_unreadable_marker_is_ignored(marker: bytes) -> None:
    files = await closed()
    files["/log/clean"] = marker
    store = await store_of(files)
    log = log_on(store, chained=True)
    await log.open()
    assert (log.records, log.last_seq, log.hub_id) == (4, 3, "a hub")
    await check_goes_on(store, log, chained=True)


async def test_an_old_marker_hides_no_torn_tail() -> None:
    files = await closed()
    more = (await written([1, 2, 1, 1], chained=True))[SEGMENT]
    for end in (len(files[SEGMENT]) + 1, len(more) - 1, len(more)):
        store = await store_of({**files, SEGMENT: more[:end]})
        log = log_on(store, chained=True)
        await log.open()
        assert log.records == (5 if end == len(more) else 4)
        assert (log.recovery is None) == (end == len(more))
        await check_goes_on(store, log, chained=True)


async def test_an_old_marker_hides_no_damage() -> None:
    files = await closed()
    more = bytearray((await written([1, 2, 1, 1], chained=True))[SEGMENT])
    more[10] ^= 1
    assert await refuses({**files, SEGMENT: bytes(more)}, chained=True) is not None


# --- several segments -------------------------------------------------------------------------------------------------


async def segmented(*, chained: bool) -> tuple[Files, list[str]]:
    files = await written([1] * 9, chained=chained, segment_bytes=200)
    paths = sorted(files)
    assert len(paths) > 3
    return files, paths


@both
async def test_a_crash_between_two_segments(chained: bool) -> None:
    """The crash comes after `log.rotated`, and before the next segment is made."""
    files, paths = await segmented(chained=chained)
    for number in range(1, len(paths)):
        store = await store_of({path: files[path] for path in paths[:number]})
        log = log_on(store, chained=chained, segment_bytes=200)
        await log.open()
        first = int(paths[number].removesuffix(".jsonl")[-20:])
        assert (log.records, log.recovery) == (first, None)
        assert await log.append([b'{"n":0}']) == first
        assert await store.read_bytes(paths[number]) is not None
        kinds = [json.loads(record.line).get("kind") for record in await records(store)]
        assert kinds.count("log.rotated") == number
        await check_goes_on(store, log, chained=chained)


@both
async def test_a_crash_after_making_a_segment(chained: bool) -> None:
    """The new segment takes chain and position over from the one before it."""
    files, paths = await segmented(chained=chained)
    for number in range(1, len(paths)):
        first = int(paths[number].removesuffix(".jsonl")[-20:])
        for left in (b"", files[paths[number]][:50]):
            store = await store_of({path: files[path] for path in paths[:number]} | {paths[number]: left})
            log = log_on(store, chained=chained, segment_bytes=200)
            await log.open()
            known = await seqs(store)
            assert (log.records, log.last_seq, log.hub_id) == (first, known[-1], "a hub")
            assert (log.recovery is None) == (left == b"")
            assert log.size_bytes == sum(map(len, (await files_of(store)).values())) - len(left)
            await check_goes_on(store, log, chained=chained)


@both
async def test_the_position_may_be_segments_back(chained: bool) -> None:
    store = MemoryStore()
    log = log_on(store, chained=chained, segment_bytes=200)
    await log.append([event_body(41)], seq=41, hub="a hub")
    for _ in range(80):
        await log.append([b'{"n":1}'])
    assert len(await store.list("/log/log")) > 5
    store = await store_of(await files_of(store))
    again = log_on(store, chained=chained, segment_bytes=200)
    await again.open()
    assert (again.last_seq, again.hub_id) == (41, "a hub")


@both
async def test_recovery_reads_two_segments_at_most(chained: bool) -> None:
    files, paths = await segmented(chained=chained)

    class Counting(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.read_paths: set[str] = set()

        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            self.read_paths.add(path)
            return await super().read_bytes(path, start, end)

    store = Counting()
    for path, content in files.items():
        await store.write(path, content)
    await log_on(store, chained=chained, segment_bytes=200).open()
    assert store.read_paths == {"/log/clean", "/log/kept", *paths[-2:]}


@both
async def test_damage_before_the_last_segment_is_refused(chained: bool) -> None:
    files, paths = await segmented(chained=chained)
    path = paths[-2]
    content = files[path]
    trusted = content.index(b"\n") if chained else len(content)
    for offset in range(0, len(content), 1 if chained else 7):
        for damaged in (content[:offset], content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]):
            error = await refuses({**files, path: damaged}, chained=chained)
            if error is None:
                # Text may have changed without anybody being able to tell: without a chain, or where its beginning is
                # not read. No record is lost.
                assert offset < trusted
                assert damaged.count(b"\n") == content.count(b"\n")
            else:
                assert error.path == path
    for spoilt in (content + content, b"", content + b"x"):
        assert await refuses({**files, path: spoilt}, chained=chained) is not None


@both
async def test_a_missing_segment_is_refused(chained: bool) -> None:
    files, paths = await segmented(chained=chained)
    del files[paths[-2]]
    assert await refuses(files, chained=chained) is not None


@both
async def test_a_log_of_its_last_segments_goes_on(chained: bool) -> None:
    """The ones before may have been removed by hand."""
    files, paths = await segmented(chained=chained)
    for kept in (1, 2):
        store = await store_of({path: files[path] for path in paths[-kept:]})
        log = log_on(store, chained=chained, segment_bytes=1 << 20)
        await log.open()
        assert (log.last_seq, log.recovery) == (8, None)
        first = int(paths[-kept].removesuffix(".jsonl")[-20:])
        before = await records(store)
        assert before[0].index == first
        assert await log.append([b'{"n":1}']) == log.records - 1
        after = await records(store)
        assert after[:-1] == before
        if chained:
            assert after[-1].chain == chain_value(
                before[-1].chain or b"", codec.seal(after[-1].body, after[-1].durable)
            )


@both
async def test_damage_in_the_only_segment_is_refused(chained: bool) -> None:
    files = await written([1] * 11, chained=chained, segment_bytes=900)
    path = max(files)
    lines = files[path].splitlines(keepends=True)
    assert len(lines) >= 3
    assert await refuses({path: b"".join([lines[0], *lines[2:]])}, chained=chained) is not None


# --- races ------------------------------------------------------------------------------------------------------------


async def test_a_log_that_changes_during_recovery_is_left_alone() -> None:
    content = (await written([2], chained=True))[SEGMENT]

    class Racing(MemoryStore):
        """Somebody else appends between the reading of the segment and the cutting of its tail."""

        async def write(self, path: str, *arguments: Any, **settings: Any) -> None:
            if path == SEGMENT and settings.get("expect") is not None:
                await super().append(SEGMENT, b"more")
            await super().write(path, *arguments, **settings)

    store = Racing()
    await store.append(SEGMENT, content[:-5])
    with pytest.raises(Fenced) as caught:
        await log_on(store, chained=True).open()
    assert isinstance(caught.value.__cause__, AppendConflict)
    assert await store.read_bytes(SEGMENT) == content[:-5] + b"more"
    assert store._holds == {}


async def test_a_failed_recovery_releases_the_log() -> None:
    class Failing(MemoryStore):
        async def list(self, path: str = "/") -> Any:
            raise StoreError("gone")

    store = Failing()
    log = log_on(store, chained=True)
    for _ in range(2):
        with pytest.raises(StoreError, match="gone"):
            await log.open()
        assert store._holds == {}
    hold: Hold = await store.hold("/log/.lock")
    await hold.release()


def test_the_bodies_of_these_tests_are_hostile() -> None:
    """A torn line may end as sealed lines do: the inner object has a ``d`` as its last key."""
    body = event_body(0)
    torn = body[: body.index(b"1000000}") + len(b"1000000}")]
    assert codec.unseal(torn)[1] == 10**6
    with pytest.raises(InvalidRecord):
        codec.decode_fields(torn)
