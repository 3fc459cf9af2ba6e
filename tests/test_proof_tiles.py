"""A signed log as the files of C2SP: what is in them, what comes the next time, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, strategies as st

from hubwire.cli import main
from hubwire.errors import ConfigurationError, HashesMissing, InvalidRecord, LogDamaged, LogRolledBack
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, tiles
from hubwire.log import LogReader
from hubwire.proof import (
    ENTRY_BYTES_MAX,
    Checkpoint,
    KeySigner,
    Note,
    bundle,
    leaf_hash,
    tile_path,
    tile_widths,
    unbundled,
)
from hubwire.stores import FileStore, MemoryStore
from support.odd import Stranger

KEY = KeySigner.new("example.org/hub/audit")
SEGMENT = "/audit/log/00000000000000000000.jsonl"


async def grow(store: Any, records: int, **options: Any) -> None:
    """Append records, and sign them."""
    audit = AuditLog(store, signer=KEY, checkpoint_seconds=3600, **options)
    for at in range(0, records, 100):
        await audit.append_many([{"kind": "note.taken", "n": number} for number in range(at, min(at + 100, records))])
    await audit.checkpoint()
    await audit.aclose()


async def files(store: Any, **options: Any) -> dict[str, bytes]:
    return {name: content async for name, content in tiles(store, **options)}


def checkpoint_in(found: dict[str, bytes]) -> Checkpoint:
    return Checkpoint.parse(Note.parse(found["checkpoint"]).text)


async def lines_of(store: Any) -> list[bytes]:
    reader, lines = LogReader(store, "/audit"), []
    while records := await reader.read():
        lines += [each.line for each in records]
    return lines


def test_the_paths_of_tiles_are_those_of_the_specification() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    assert tile_path(None, 0) == "tile/entries/000"
    assert tile_path(63, 999, 1) == "tile/63/999.p/1"
    assert tile_path(None, 1000, 255) == "tile/entries/x001/000.p/255"
    assert list(tile_widths(70_000)) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert list(tile_widths(256)) == [(0, 1, 0), (1, 0, 1)]
    assert list(tile_widths(0)) == []


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_has_what_was_put_in(lines: list[bytes]) -> None:
    assert unbundled(bundle(lines)) == lines


def test_a_bundle_ends_where_a_record_does() -> None:
    whole = bundle([b"one", b"two"])
    for end in set(range(len(whole))) - {0, 5}:
        with pytest.raises(InvalidRecord):
            unbundled(whole[:end])
    assert unbundled(bundle([b"x" * ENTRY_BYTES_MAX])) == [b"x" * ENTRY_BYTES_MAX]
    with pytest.raises(InvalidRecord):
        bundle([b"x" * (ENTRY_BYTES_MAX + 1)])


async def test_the_longest_record_of_a_log_fits_into_a_bundle() -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=KEY, redactor=None)
    await audit.append({"kind": "note.taken", "text": "x" * 200_000})
    for length in range(65_400, 65_560, 10):
        await audit.append({"kind": "note.taken", "text": "x" * length})
    await audit.aclose()
    lines = await lines_of(store)
    assert max(map(len, lines)) > 65_000
    assert unbundled((await files(store))[tile_path(None, 0, len(lines))]) == lines


async def test_what_was_written_in_steps_is_what_is_written_at_once() -> None:
    store, there = MemoryStore(), dict[str, bytes]()
    since = None
    for records in (0, 3, 250, 10, 700, 0):
        await grow(store, records)
        found = await files(store, since=since)
        there |= found
        since = checkpoint_in(found)
    whole = await files(store)
    assert whole == await files(store, since=since, whole=True)
    assert {name: there[name] for name in whole} == whole
    assert since is not None
    lines = await lines_of(store)
    assert since.size == len(lines)
    for level, full, width in tile_widths(since.size):
        for index in range(full + bool(width)):
            part = lines[index * 256 : index * 256 + 256]
            name = tile_path(None, index, len(part))
            if level == 0:
                assert unbundled(whole[name]) == part
                assert whole[tile_path(0, index, len(part))] == b"".join(map(leaf_hash, part))


async def test_a_log_that_does_not_go_on_from_what_was_written_is_refused() -> None:
    store, other, old = MemoryStore(), MemoryStore(), MemoryStore()
    await grow(store, 300)
    await grow(other, 400)
    since = checkpoint_in(await files(store))
    with pytest.raises(LogRolledBack, match="has other records"):
        await files(other, since=since)
    with pytest.raises(LogRolledBack, match="has other records"):
        await files(other, since=since, whole=True)
    await grow(old, 20)
    with pytest.raises(LogRolledBack):
        await files(old, since=since)
    named = Checkpoint("example.org/other", since.size, since.root)
    with pytest.raises(LogRolledBack):
        await files(store, since=named)


async def test_a_checkpoint_comes_only_behind_what_it_speaks_of() -> None:
    """A record, or a hash, that was changed is seen before; hashes are made anew from the records."""
    store = MemoryStore()
    await grow(store, 600)
    since = checkpoint_in(await files(store))
    await grow(store, 600)
    content = await store.read_bytes("/audit/tree/0")
    assert content is not None
    await store.write("/audit/tree/0", content[:32] + bytes(32) + content[64:])
    await store.write("/audit/tree/1", bytes(len(await store.read_bytes("/audit/tree/1") or b"")))
    seen = []
    with pytest.raises((HashesMissing, LogRolledBack)):
        async for name, _ in tiles(store, since=since):
            seen.append(name)
    assert "checkpoint" not in seen
    assert checkpoint_in(await files(store, since=since, whole=True)).size > since.size
    segment = await store.read_bytes(SEGMENT)
    assert segment is not None
    await store.write(SEGMENT, segment.replace(b'"n":2,', b'"n":7,', 1))
    with pytest.raises(LogDamaged):
        await files(store)


async def test_tiles_of_pruned_records_are_there_and_their_bundles_are_not() -> None:
    store = MemoryStore()
    for _ in range(10):
        await grow(store, 100, rotation=8000)
    whole = await files(store)
    audit = AuditLog(store, signer=KEY, rotation=8000)
    report = await audit.prune(retention=Retention(segments_max=3))
    await audit.aclose()
    assert report.first > 512
    found = await files(store)
    assert {name for name in whole if name not in found} >= {tile_path(None, 0), tile_path(None, 1)}
    for index in range(2):
        assert found[tile_path(0, index)] == whole[tile_path(0, index)]
    assert await files(store, since=checkpoint_in(whole))
    await store.write("/audit/tree/0", b"")
    with pytest.raises(HashesMissing):
        await files(store)


async def test_tiles_refuses_what_cannot_be() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="is not signed"):
        await files(store)
    await grow(store, 1)
    odd: Any
    for odd in ("checkpoint", 7, Stranger()):
        with pytest.raises(ConfigurationError):
            await files(store, since=odd)
    for odd in (None, 1, Stranger()):
        with pytest.raises(ConfigurationError):
            await files(store, whole=odd)
    with pytest.raises(ConfigurationError):
        await files("data")


# --- the command ----------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["tiles", *map(str, words)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def grown(data: Path, records: int) -> None:
    async def work() -> None:
        store = FileStore(data)
        await grow(store, records)
        await store.aclose()

    anyio.run(work)


def written(place: Path) -> dict[str, bytes]:
    return {str(each.relative_to(place)): each.read_bytes() for each in place.rglob("*") if each.is_file()}


def derived(data: Path) -> dict[str, bytes]:
    async def work() -> dict[str, bytes]:
        store = FileStore(data)
        try:
            return await files(store)
        finally:
            await store.aclose()

    return anyio.run(work)


def test_the_command_keeps_a_directory_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, place = tmp_path / "data", tmp_path / "public" / "log"
    for records in (5, 300, 0, 600):
        grown(data, records)
        assert run(capsys, data, place)[0] == 0
        assert written(place).items() >= derived(data).items()
    assert not (place / "tile" / "0" / "000.p").exists(), "the full tile has all of it"
    for level in range(2):
        (data / "audit" / "tree" / str(level)).write_bytes(b"")
    grown(tmp_path / "other", 1000)
    before = written(place)
    assert run(capsys, tmp_path / "other", place)[0] == 1
    assert written(place)["checkpoint"] == before["checkpoint"]
    assert run(capsys, data, place)[0] == 0
    assert written(place).items() >= derived(data).items()


def test_the_command_writes_into_no_directory_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    grown(data, 5)
    (tmp_path / "file").write_text("mine")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "checkpoint").write_text("mine")
    before = written(data)
    for place in (data, tmp_path / "file", tmp_path, damaged, "/proc/none"):
        code, out, err = run(capsys, data, place)
        assert (code, out) == (1, ""), err
    assert written(data) == before
    assert run(capsys, tmp_path / "none", tmp_path / "new")[0] == 1
