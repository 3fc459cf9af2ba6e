"""What opening a log does after a crash, and what damage it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs
import pytest

from hubwire import codec
from hubwire.errors import AppendConflict, Fenced, InvalidRecord, StoreError
from hubwire.log import Recovery, chain_value
from hubwire.log._marker import Marker
from hubwire.log._tail import Tail
from hubwire.ports import Hold
from hubwire.stores import MemoryStore
from support import files_of, store_of
from support.recovered import (
    OPENED,
    SEGMENT,
    Files,
    Unholdable,
    both,
    check_goes_on,
    event_body,
    log_on,
    records,
    refuses,
    seqs,
    written,
)

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
        def __init__(self) -> None:
            super().__init__()
            self.written: list[str] = []

        async def write(self, path: str, *arguments: Any, **settings: Any) -> None:
            self.written.append(path)
            await super().write(path, *arguments, **settings)

    store = Counting()
    for path, content in (await written([3], chained=True)).items():
        await store.append(path, content)
    log = log_on(store, chained=True)
    await log.open()
    assert store.written == []
    await log.repair()
    assert store.written == [SEGMENT, "/log/clean"]
    other: Any = Unholdable(store)
    await log_on(other, chained=True).repair()
    assert store.written[2:] == ["/log/clean"]


@both
async def test_a_torn_tail_is_set_aside_and_reported(chained: bool) -> None:
    """The tail may be torn at any byte."""
    files = await written([2, 1, 3], chained=chained)
    content = files[SEGMENT]
    lines = content.splitlines(keepends=True)
    start = sum(map(len, lines[:3]))
    for end in range(start, len(content) + 1):
        torn = content[:end]
        # A record that only lacks its line feed is whole.
        whole = sum(content[: end + 1].startswith(b"".join(lines[:number])) for number in range(1, len(lines) + 1))
        kept = b"".join(lines[:whole])
        store = await store_of({SEGMENT: torn} | OPENED)
        log = log_on(store, chained=chained)
        await log.open()
        assert (log.records, log.last_seq) == (whole, whole - 1)
        assert await files_of(store) == {SEGMENT: torn} | OPENED
        await log.repair()
        assert await store.read_bytes(SEGMENT) == kept
        if len(torn) <= len(kept):
            assert log.recovery is None
            assert set(await files_of(store)) == {SEGMENT, "/log/clean"}
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
    store = await store_of({SEGMENT: content[:torn_from]} | OPENED)
    log = log_on(store, chained=chained)
    await log.open()
    assert (log.records, log.last_seq, log.hub_id) == (0, None, None)
    await check_goes_on(store, log, chained=chained)


@both
@pytest.mark.parametrize("rubbish", [b"\0" * 600, b"{" + b"x" * 600 + b"\0" * 1200, b"\xff" * 30])
async def test_a_tear_at_the_end_is_set_aside(chained: bool, rubbish: bytes) -> None:
    """It comes after everything that a record vouches for, and looks as a crash leaves it."""
    content = (await written([2, 1], chained=chained))[SEGMENT]
    store = await store_of({SEGMENT: content + rubbish} | OPENED)
    log = log_on(store, chained=chained)
    await log.repair()
    assert log.records == 3
    assert log.recovery is not None
    assert await store.read_bytes(log.recovery.torn_path) == rubbish
    await check_goes_on(store, log, chained=chained)


@both
@pytest.mark.parametrize(
    "rubbish",
    [
        b"\n" * 5,
        b"\xff" * 30 + b"\n",
        b'{"a":1}\n',
        b"[" * 100_000 + b"\n",
        b'{"a":' * 5000 + b"1" + b"}" * 5000 + b',"d":0}\n',
        b'{"a":1,"d":0,"h":"AAAAAAAAAAAAAAAAAAAAAA"}{\n',
        b'{"seq":"\xff","d":0}\n',
        b'{"seq":1,"d":0}\0\n',
    ],
    ids=["feeds", "bits", "unsealed", "brackets", "depth", "after", "no text", "zero"],
)
async def test_rubbish_at_the_end_is_refused(chained: bool, rubbish: bytes) -> None:
    """No crash leaves lines that end, and are none."""
    content = (await written([2, 1], chained=chained))[SEGMENT]
    error = await refuses({SEGMENT: content + rubbish}, chained=chained)
    assert error is not None
    assert (error.path, error.byte_offset) == (SEGMENT, len(content))
    assert "A crash does not leave that" in str(error)


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
    await log.repair()
    assert log.recovery is not None
    assert log.recovery.torn_path == torn_path
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


# --- the clean marker -------------------------------------------------------------------------------------------------


async def closed(*, chained: bool = True, segment_bytes: int = 1 << 20) -> Files:
    store = await store_of(await written([1, 2, 1], chained=chained, segment_bytes=segment_bytes))
    log = log_on(store, chained=chained, segment_bytes=segment_bytes)
    await log.repair()
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
    assert "has lost some since. Nothing was changed; restore it from a copy" in str(error)


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
async def test_an_unreadable_marker_is_not_believed(marker: bytes) -> None:
    """The records prove where the log ends, if nothing is torn."""
    files = await closed()
    files["/log/clean"] = marker
    store = await store_of(files)
    log = log_on(store, chained=True)
    await log.open()
    assert (log.records, log.last_seq, log.hub_id) == (4, 3, "a hub")
    assert "/log/clean is damaged, and is not believed" in log.inspection.notes[0]
    await check_goes_on(store, log, chained=True)
    torn = {**files, SEGMENT: files[SEGMENT][:-9]}
    error = await refuses(torn, chained=True)
    assert error is not None
    assert error.path == "/log/clean"


def of_before_checksums(files: Files) -> Files:
    """Return the files of a log as versions without checksums left them."""
    old = {
        path: b"".join(line + b"\n" for line in re.sub(rb',"c":"[0-9a-f]{8}"', b"", content).split(b"\n")[:-1])
        for path, content in files.items()
    }
    if "/log/clean" in files:
        clean = json.loads(files["/log/clean"])
        names = ("first", "size", "records", "chain", "seq", "hub", "rotated")
        marker = {name: clean[name] for name in names}
        marker["size"] = len(old[f"/log/log/{marker['first']:020d}.jsonl"])
        old["/log/clean"] = json.dumps(marker, separators=(",", ":")).encode()
    if "/log/kept" in files:
        old["/log/kept"] = b"%d\n" % json.loads(files["/log/kept"])["first"]
    return old


async def test_an_old_marker_hides_no_torn_tail() -> None:
    files = await closed()
    more = (await written([1, 2, 1, 1], chained=True))[SEGMENT]
    for end in (len(files[SEGMENT]) + 1, len(more) - 2, len(more)):
        store = await store_of(of_before_checksums({**files, SEGMENT: more[:end]}) | {SEGMENT: more[:end]})
        old_marker = of_before_checksums(files)["/log/clean"]
        await store.write("/log/clean", old_marker)
        log = log_on(store, chained=True)
        await log.open()
        assert log.records == (5 if end == len(more) else 4)
        assert (log.recovery is None) == (end == len(more))
        await check_goes_on(store, log, chained=True)
        # A marker of today knows that the log was not opened in between.
        assert await refuses({**files, SEGMENT: more[:end]}, chained=True) is not None


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
        opened = Marker.of(Tail(first=int(paths[number - 1][-26:-6]), number=number - 1), is_closed=False)
        before = sum(len(files[path]) for path in paths[: number - 1])
        opened = attrs.evolve(opened, tail=attrs.evolve(opened.tail, records=opened.tail.first, before_bytes=before))
        store = await store_of({path: files[path] for path in paths[:number]} | {"/log/clean": opened.encode()})
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
            store = await store_of({path: files[path] for path in paths[:number]} | {paths[number]: left} | OPENED)
            log = log_on(store, chained=chained, segment_bytes=200)
            await log.open()
            known = await seqs(store)
            assert (log.records, log.last_seq, log.hub_id) == (first, known[-1], "a hub")
            assert (log.recovery is None) == (left == b"")
            assert log.size_bytes == sum(map(len, (await files_of(store)).values())) - len(left) - len(
                OPENED["/log/clean"]
            )
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
    files = await written([1] * 9, chained=chained, segment_bytes=200, has_marker=True)
    paths = sorted(files)
    assert len(paths) > 4

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
        assert after[: len(before)] == before
        if chained:
            following = after[len(before)]
            assert following.chain == chain_value(
                before[-1].chain or b"", codec.seal(following.body, following.durable)
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
        await (log := log_on(store, chained=True)).repair()
    await log.aclose()
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
