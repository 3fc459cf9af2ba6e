"""Random damage to logs: each is refused, repaired from what proves it, or is a tear of what was never acknowledged."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from hubwire import codec
from hubwire.errors import HubError, InvalidRecord, LogDamaged, NewerVersion, StoreError, StoreFull
from hubwire.listeners.audit import verify
from hubwire.log import Log, LogReader, inspect
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of, until, until_idle

Files = dict[str, bytes]

HARMS = int(os.environ.get("HUBWIRE_DAMAGES", "150"))
"""How many damages of each log are tried; HUBWIRE_DAMAGES=3000 is the whole test."""


def body(seq: int) -> bytes:
    data = {"n": seq, "text": "x" * (seq * 37 % 400)}
    return codec.encode_fields({"at": "now", "data": data, "hub": "a hub", "kind": "a.b", "seq": seq})


@attrs.frozen
class Case:
    """A log as it was left, and what is known of it."""

    files: Files
    lines: list[bytes]
    first: int
    """The index of the first record kept."""
    acknowledged: int
    """Records below this index were acknowledged, and something beside them vouches for them."""
    is_chained: bool


async def left_behind(*, is_chained: bool, is_closed: bool) -> Case:
    """Return a log of several segments, truncated if it is a journal: closed, or killed over its last append."""
    store = MemoryStore()
    log = Log(store, "/log", clock=ManualClock(), chained=is_chained, announce_opening=is_chained, segment_bytes=2500)
    seq = 0
    for size in (1, 3, 2, 1, 5, 2, 1, 1, 4, 1, 2, 3, 1, 1, 2, 1, 3):
        await log.append([body(seq + number) for number in range(size)], seq=seq + size - 1, hub="a hub")
        seq += size
    if not is_chained:
        await log.truncate_before(20)
    acknowledged = log.records
    if is_closed:
        await log.aclose()
    else:
        # The marker that an idle log leaves, and an append that was not acknowledged.
        await log._segments.marking.write(is_closed=False)
        await log.append([body(seq), body(seq + 1), body(seq + 2)], seq=seq + 2, hub="a hub")
    records = []
    reader = LogReader(store, "/log")
    while some := await reader.read():
        records += some
    files = await files_of(store)
    assert len([path for path in files if path.endswith(".jsonl")]) > 2
    return Case(files, [record.line for record in records], records[0].index, acknowledged, is_chained)


def flip(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def zero(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    if rng.random() < 0.7:
        start -= start % 512
    end = min(len(content), start + rng.choice((1, 17, 512, 1024, 4096)))
    content[start:end] = bytes(end - start)


def cut_off(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def cut_at_a_line(content: bytearray, rng: random.Random) -> None:
    feeds = [at for at, byte in enumerate(content) if byte == 10]
    del content[rng.choice([-1, *feeds]) + 1 :]


def cut_out(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 2, 16, 100, 600))]


def move_lines(content: bytearray, rng: random.Random) -> None:
    """Double a line, drop it, or put it somewhere else."""
    lines = bytes(content).splitlines(keepends=True)
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines) + 1), line)
    content[:] = b"".join(lines)


def add(content: bytearray, rng: random.Random) -> None:
    content += rng.choice((b"\n", b"x", b"{}\n", bytes(content[-200:]), rng.randbytes(30), b"\0" * 512))


def turn_feeds(content: bytearray, _: random.Random) -> None:
    content[:] = bytes(content).replace(b"\n", b"\r\n")


CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(flip, flip, flip, zero, cut_off, cut_at_a_line, cut_out, move_lines, add, turn_feeds),
)


def harm(files: Files, rng: random.Random) -> tuple[Files, str]:
    """Return the files with one damage, and a word about it."""
    path = rng.choice(sorted(files))
    spoilt = dict(files)
    what = rng.random()
    if what < 0.06:
        del spoilt[path]
        return spoilt, f"{path} deleted"
    if what < 0.1:
        other = rng.choice(sorted(files))
        spoilt[path] = files[other]
        return spoilt, f"{path} is now {other}"
    change = rng.choice(CHANGES)
    content = bytearray(files[path])
    if content:
        change(content, rng)
    spoilt[path] = bytes(content)
    return spoilt, f"{path}: {change.__name__}"


async def judge(case: Case, spoilt: Files) -> str:
    """Open a damaged log and read all of it; return how it went. Fails if something was believed or lost in silence."""
    store = await store_of(spoilt)
    log = Log(store, "/log", clock=ManualClock(), chained=case.is_chained, segment_bytes=2500)
    found = await inspect(store, "/log", is_thorough=True, is_held=True)
    assert await files_of(store) == spoilt
    was_open, found_records, lines = False, 0, list[bytes]()
    try:
        await log.open()
        was_open = True
        found_records = log.records
        await log.repair()
        lines = await read_all(store, case)
    except InvalidRecord as error:
        refusal: Exception = error  # a journal says in which record
    except LogDamaged as error:
        refusal = error
        assert_says_what_to_do(error)
    else:
        refusal = HubError()
    finally:
        await log.aclose()
    if type(refusal) is not HubError:
        assert found.damage, f"the inspection does not name: {refusal}"
        if not was_open:
            assert await files_of(store) == spoilt
        return "refused"
    assert not found.damage, f"opened in spite of {found.damage}"
    assert lines == case.lines[: len(lines)], "a changed record was believed"
    assert found_records == case.first + len(lines)
    assert found_records >= case.acknowledged, "acknowledged records were lost in silence"
    if log.recovery is not None:
        return "torn"
    whole = {path: content for path, content in spoilt.items() if "/log/log/" in path} == {
        path: content for path, content in case.files.items() if "/log/log/" in path
    }
    assert not whole or found.notes or all(spoilt.get(path) == content for path, content in case.files.items()), (
        "unsaid"
    )
    return "repaired"


def assert_says_what_to_do(error: LogDamaged) -> None:
    assert error.path is not None
    assert error.path in str(error)
    assert "restore" in str(error)


async def read_all(store: MemoryStore, case: Case) -> list[bytes]:
    lines = []
    reader = LogReader(store, "/log")
    while records := await reader.read():
        lines += [record.line for record in records if record.body]
    if case.is_chained:
        await verify(store, "/log")
    return lines


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "killed"])
@pytest.mark.parametrize("is_chained", [True, False], ids=["audit", "journal"])
async def test_random_damage_is_seen(is_chained: bool, is_closed: bool) -> None:
    """Flipped bits, zeroed sectors, cuts, deletions, lines that are doubled or moved, in segments and markers."""
    case = await left_behind(is_chained=is_chained, is_closed=is_closed)
    how: dict[str, int] = {}
    for seed in range(HARMS):
        rng = random.Random(seed)
        spoilt, what = harm(case.files, rng)
        if spoilt == case.files:
            continue
        try:
            result = await judge(case, spoilt)
        except AssertionError as error:
            raise AssertionError(f"damage {seed}, {what}: {error}") from error
        how[result] = how.get(result, 0) + 1
    assert how["refused"] > HARMS / 2, how


def directory(root: Path) -> Files:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("is_chained", [True, False], ids=["audit", "journal"])
def test_a_refused_start_leaves_the_directory(is_chained: bool, tmp_path: Path) -> None:
    """Byte for byte, and with the lock file that a killed process has left."""
    case = asyncio.run(left_behind(is_chained=is_chained, is_closed=False))
    refused = 0

    async def start(root: Path) -> None:
        nonlocal refused
        store = FileStore(root)
        log = Log(store, "/log", clock=ManualClock(), chained=is_chained)
        try:
            await log.open()
        except LogDamaged:
            refused += 1
        # Nor has it changed where the log is in order, and a program refuses to start for a reason of its own.
        await log.aclose()
        await store.aclose()

    for seed in range(20):
        root = tmp_path / str(seed)
        spoilt, _ = harm(case.files, random.Random(seed))
        for path, content in {**spoilt, "/log/.lock.lock@": b'{"pid": 1}'}.items():
            file = root / path[1:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        before = directory(root)
        asyncio.run(start(root))
        assert directory(root) == before
    assert refused > 5


async def test_a_log_that_is_opened_and_closed_stays_as_it_was() -> None:
    """What a crash has left is repaired with the first append, or when it is asked for."""
    case = await left_behind(is_chained=True, is_closed=False)
    path = max(path for path in case.files if path.endswith(".jsonl"))
    store = await store_of(case.files | {path: case.files[path][:-9]})
    before = await files_of(store)
    log = Log(store, "/log", clock=ManualClock(), chained=True)
    await log.open()
    assert log.recovery is not None
    assert log.inspection.repairs == (
        f"set {log.recovery.torn_bytes} bytes of {path} aside as {log.recovery.torn_path}",
    )
    await log.aclose()
    assert await files_of(store) == before
    await log.repair()
    await log.repair()
    after = await files_of(store)
    assert after[log.recovery.torn_path] == before[path][-log.recovery.torn_bytes :]
    await log.aclose()
    assert (await inspect(store, "/log")).is_clean


# --- one thing at a time --------------------------------------------------------------------------------------------


async def refusal(files: Files, *, is_chained: bool, error: type[StoreError] = LogDamaged) -> StoreError:
    """Open a log that has to be refused; return the error, having seen that nothing has changed."""
    store = await store_of(files)
    with pytest.raises(error) as caught:
        await Log(store, "/log", clock=ManualClock(), chained=is_chained).open()
    assert await files_of(store) == files
    return caught.value


@pytest.mark.parametrize("file", ["clean", "kept"])
async def test_a_newer_version_is_refused(file: str) -> None:
    case = await left_behind(is_chained=False, is_closed=True)
    fields = codec.decode_marker(case.files[f"/log/{file}"])
    newer = codec.encode_marker({**fields, "more": 1}, version=fields["v"] + 1)
    error = await refusal(case.files | {f"/log/{file}": newer}, is_chained=False, error=NewerVersion)
    assert error.path == f"/log/{file}"
    assert "newer version of hubwire: it has version 3, and this one knows 2. Use a newer one" in str(error)


async def test_a_record_of_a_newer_version_is_refused() -> None:
    case = await left_behind(is_chained=False, is_closed=False)
    body = codec.encode_fields({"at": "now", "kind": "log.opened", "path": "/log", "v": 3})
    path = max(path for path in case.files if path.endswith(".jsonl"))
    index = case.first + len(case.lines)
    (line,) = codec.seal_all([body], index, index)
    error = await refusal(case.files | {path: case.files[path] + line}, is_chained=False, error=NewerVersion)
    assert f"record {index} of the log /log was written by a newer version of hubwire" in str(error)
    assert error.byte_offset == len(case.files[path])


@pytest.mark.parametrize("is_chained", [True, False], ids=["audit", "journal"])
async def test_every_missing_segment_is_seen(is_chained: bool) -> None:
    """Without reading the others, also after a clean close."""
    case = await left_behind(is_chained=is_chained, is_closed=True)
    paths = sorted(path for path in case.files if path.endswith(".jsonl"))
    for missing in paths:
        error = await refusal(
            {path: each for path, each in case.files.items() if path != missing}, is_chained=is_chained
        )
        assert missing in str(error)


async def test_lines_that_end_in_carriage_returns_are_explained() -> None:
    """As FTP in text mode leaves them."""
    case = await left_behind(is_chained=False, is_closed=False)
    path = max(path for path in case.files if path.endswith(".jsonl"))
    error = await refusal(case.files | {path: case.files[path].replace(b"\n", b"\r\n")}, is_chained=False)
    assert "copied as text" in str(error)


async def test_a_shorter_end_than_vouched_for_is_damage() -> None:
    """Records that were cut off at the end of a line, after a crash."""
    case = await left_behind(is_chained=False, is_closed=False)
    path = max(path for path in case.files if path.endswith(".jsonl"))
    lines = case.files[path].splitlines(keepends=True)
    error = await refusal(case.files | {path: b"".join(lines[:-4])}, is_chained=False)
    assert "has lost some since" in str(error)


@pytest.mark.parametrize("is_chained", [True, False], ids=["audit", "journal"])
async def test_a_missing_last_feed_is_put_back(is_chained: bool) -> None:
    """A checksum or chain value proves that the record is whole; a feed that became another byte is damage."""
    case = await left_behind(is_chained=is_chained, is_closed=False)
    path = max(path for path in case.files if path.endswith(".jsonl"))
    store = await store_of(case.files | {path: case.files[path][:-1]})
    log = Log(store, "/log", clock=ManualClock(), chained=is_chained)
    await log.open()
    assert log.records == case.first + len(case.lines)
    assert log.inspection.repairs == (f"end the last record of {path} with a line feed",)
    await log.repair()
    assert await store.read_bytes(path) == case.files[path]
    error = await refusal(case.files | {path: case.files[path][:-1] + b"\v"}, is_chained=is_chained)
    assert "the line feed behind it was changed" in str(error)


async def test_torn_bytes_are_never_overwritten() -> None:
    """A second tear at the same place gets a name of its own."""
    case = await left_behind(is_chained=True, is_closed=False)
    path = max(path for path in case.files if path.endswith(".jsonl"))
    store = await store_of(case.files | {path: case.files[path][:-9]})
    found = await inspect(store, "/log")
    assert found.torn is not None
    await store.write(found.torn.torn_path, b"of an earlier crash")
    again = await inspect(store, "/log")
    assert again.torn is not None
    assert again.torn.torn_path == f"{found.torn.torn_path}-2"
    await Log(store, "/log", clock=ManualClock(), chained=True).repair()
    assert await store.read_bytes(found.torn.torn_path) == b"of an earlier crash"


async def test_an_idle_log_is_vouched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after the last append its marker says how far it goes, and a busy one says so now and then."""
    monkeypatch.setattr("hubwire.log._marking.IDLE_SECONDS", 0)
    store = MemoryStore()
    log = Log(store, "/log", clock=ManualClock())
    for _ in range(3):
        await log.append([body(log.records)], seq=log.records, hub="a hub")
        await until_idle()
        marker = codec.decode_marker(await store.read_bytes("/log/clean") or b"")
        assert (marker["records"], marker["closed"]) == (log.records, False)
    await log.aclose()
    assert codec.decode_marker(await store.read_bytes("/log/clean") or b"")["closed"]


async def test_a_marker_that_cannot_be_written_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.log._marking.IDLE_SECONDS", 0)

    class Full(MemoryStore):
        is_full = False

        async def write(self, path: str, *arguments: Any, **settings: Any) -> None:
            if self.is_full:
                raise StoreFull("no space")
            await super().write(path, *arguments, **settings)

    store = Full()
    log = Log(store, "/log", clock=ManualClock())
    await log.append([body(0)], seq=0, hub="a hub")
    store.is_full = True
    await until_idle()
    assert isinstance(log.marking_failure, StoreFull)
    store.is_full = False
    await log.append([body(1)], seq=1, hub="a hub")
    await until_idle()
    assert log.marking_failure is None
    assert codec.decode_marker(await store.read_bytes("/log/clean") or b"")["records"] == 2
    await log.aclose()


async def test_a_full_store_lets_the_repair_be_tried_again() -> None:
    """In every step of it, and no byte is lost by the second attempt."""
    case = await left_behind(is_chained=True, is_closed=False)
    path = max(path for path in case.files if path.endswith(".jsonl"))

    class Full(MemoryStore):
        writes_left = 0

        async def write(self, path: str, *arguments: Any, **settings: Any) -> None:
            if self.writes_left == 0:
                self.writes_left = -1
                raise StoreFull("no space")
            self.writes_left -= 1
            await super().write(path, *arguments, **settings)

    for step in range(3):
        store = Full()
        for each, content in (case.files | {path: case.files[path][:-9]}).items():
            await store.append(each, content)
        store.writes_left = step
        log = Log(store, "/log", clock=ManualClock(), chained=True)
        with pytest.raises(StoreFull):
            await log.append([b'{"n":1}'])
        assert await log.append([b'{"n":1}']) == case.first + len(case.lines)  # after log.recovered
        assert log.recovery is not None
        torn = await store.read_bytes(log.recovery.torn_path)
        assert torn == case.files[path][log.recovery.byte_offset : -9]
        await verify(store, "/log")
        await log.aclose()


def last_segment(case: Case) -> str:
    return max(path for path in case.files if path.endswith(".jsonl"))


async def test_a_record_without_its_checksum_is_refused() -> None:
    """Once a record of a log has one, all later ones do."""
    case = await left_behind(is_chained=False, is_closed=False)
    path = last_segment(case)
    bare = case.files[path][: -len(',"c":"01234567"}\n')] + b"}\n"
    error = await refusal(case.files | {path: bare}, is_chained=False)
    assert 'it has no checksum "c", unlike records before it' in str(error)
    reader = LogReader(await store_of({path: bare}), "/log")
    with pytest.raises(LogDamaged, match="it has no checksum") as caught:
        while await reader.read():
            pass
    assert caught.value.byte_offset == bare.rindex(b"\n", 0, -1) + 1


async def test_more_durable_records_than_there_are_is_damage() -> None:
    """Even where the checksum is right."""
    case = await left_behind(is_chained=False, is_closed=False)
    path, index = last_segment(case), case.first + len(case.lines)
    (line,) = codec.seal_all([body(99)], index + 1, index)
    await refusal(case.files | {path: case.files[path] + line}, is_chained=False)


@pytest.mark.parametrize("begins", [True, False], ids=["begins at a line", "ends at a sector"])
async def test_zeros_that_are_no_sector_are_damage(begins: bool) -> None:
    case = await left_behind(is_chained=False, is_closed=False)
    path = last_segment(case)
    size = len(case.files[path])
    rest = b"\0" * 3 + b"x\n" if begins else b"x" * (-size % 512 - 3) + b"\0" * 3 + b"x\n"
    await refusal(case.files | {path: case.files[path] + rest}, is_chained=False)


async def test_zeros_behind_a_line_are_a_tear() -> None:
    """A disk may keep the size of an append that a loss of power took away, and some of its lines."""
    case = await left_behind(is_chained=False, is_closed=False)
    path = last_segment(case)
    store = await store_of(case.files | {path: case.files[path] + b"x\n\0\0\0"})
    log = Log(store, "/log", clock=ManualClock(), chained=False)
    await log.open()
    assert log.recovery is not None
    assert log.recovery.torn_bytes == 5
    assert log.records == case.first + len(case.lines)
    await log.aclose()


async def test_a_marker_of_another_log_is_refused() -> None:
    """It is whole, and speaks of another record."""
    case = await left_behind(is_chained=True, is_closed=False)
    fields = codec.decode_marker(case.files["/log/clean"])
    for change in ({"records": fields["records"] - 1}, {"chain": "A" * 22}, {"line_crc": 1}):
        marker = codec.encode_marker({**fields, **change}, version=fields["v"])
        error = await refusal(case.files | {"/log/clean": marker}, is_chained=True)
        assert "do not belong together" in str(error)


async def test_the_segment_named_by_a_truncation_must_be_there() -> None:
    """Also where the other marker is lost."""
    case = await left_behind(is_chained=False, is_closed=True)
    first = min(path for path in case.files if path.endswith(".jsonl"))
    files = {path: content for path, content in case.files.items() if path not in {first, "/log/clean"}}
    error = await refusal(files, is_chained=False)
    assert error.path == first


async def test_an_append_during_a_mark_is_marked_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.log._marking.IDLE_SECONDS", 0)
    store = GatedMarkers()
    log = Log(store, "/log", clock=ManualClock())
    await log.append([body(0)], seq=0, hub="a hub")
    store.gate.clear()
    await until(lambda: store.waiting)
    await log.append([body(1)], seq=1, hub="a hub")
    store.gate.set()
    await until(lambda: b'"records":2' in store.marker)
    await log.aclose()


class GatedMarkers(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = False
        self.marker = b""

    async def write(self, path: str, content: Any, **settings: Any) -> None:
        self.waiting = not self.gate.is_set()
        await self.gate.wait()
        await super().write(path, content, **settings)
        self.marker = content
