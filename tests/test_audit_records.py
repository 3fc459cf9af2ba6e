"""Records of one's own in an audit log: what is refused, what is kept, and long ones in files beside the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import pytest

from hubwire import Event, GenericEvent, Hub, event
from hubwire.errors import EventTooLarge, InvalidRecord, LogDamaged
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, examine, verify
from hubwire.log import segment_path
from hubwire.stores import FileStore, MemoryStore
from support.audit import Lines, alter, lines_of

SECRET = "the content of another file"


class Word(StrEnum):
    """Text by another name."""

    CUT = "cut"
    OPENED = "log.opened"


class Unreadable(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


@event("movie.edited")
class MovieEdited(Event):
    """A kind with a field that the log uses for itself."""

    cut: Mapping[str, Any]
    title: str = ""


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "log.opened"},
        {"kind": "log.rotated", "last_seq": 999, "last_hub": "evil"},
        {"kind": "log.exported", "by": "alice"},
        {"kind": Word.OPENED},
        {"kind": "a.b", "seq": 1},
        {"kind": "a.b", "d": 1},
        {"kind": "a.b", "h": "x"},
        {"kind": "a.b", "cut": {"blob": "/nowhere", "bytes": 1, "sha256": "0"}},
        {"kind": "a.b", Word.CUT: 1},
        [("kind", "a.b")],
        "a.b",
        None,
        5,
        Unreadable(),
    ],
    ids="{!r:.40}".format,
)
async def test_what_is_no_record_of_a_caller_is_refused(record: Any) -> None:
    """Nothing is written, and the log goes on."""
    store = MemoryStore()
    log = AuditLog(store)
    with pytest.raises(InvalidRecord, match=r"a record|the record"):
        await log.append(record)
    assert not await store.exists("/audit/log")
    await log.append({"kind": "a.b", "at": "now"})
    assert await log.read_all() == [{"kind": "a.b", "at": "now"}]


async def test_a_huge_record_is_refused() -> None:
    log = AuditLog(MemoryStore())
    with pytest.raises(EventTooLarge):
        await log.append({"kind": "a.b", "text": "x" * 10_000_000})
    assert await log.read_all() == []


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(10_000):
        value = {"in": value}
    return value


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["itself"] = value
    return value


HOSTILE = {
    "NaN": float("nan"),
    "a surrogate": "\ud800",
    "control characters": "\x00\u2028\r\n",
    "bytes": b"\xff",
    "a set": {1, 2},
    "depth": deep(),
    "a circle": circle(),
    "a huge number": 10**400,
    "a class": object,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_value_is_kept_as_what_it_can_be(value: Any) -> None:
    """The record is read back, and so is the one behind it, after a restart."""
    store = MemoryStore()
    log = AuditLog(store)
    await log.append({"kind": "a.b", "value": value, "more": {"\udcff": value}})
    await log.aclose()
    log = AuditLog(store)
    await log.append({"kind": "a.c"})
    assert [record["kind"] for record in await log.read_all()] == ["a.b", "a.c"]
    assert (await verify(store)).holds


@pytest.mark.parametrize("kind", [None, 5, ["log."], "logs.opened", "xlog.opened", ""])
async def test_other_kinds_are_the_callers(kind: Any) -> None:
    log = AuditLog(MemoryStore())
    await log.append({"kind": kind, "at": "now"})
    assert [record["kind"] for record in await log.read_all()] == [kind]


# --- long records ---------------------------------------------------------------------------------------------------


async def long_record(store: Any, path: str = "/audit") -> AuditLog:
    log = AuditLog(store, path=path)
    await log.append({"kind": "a.b", "at": "now", "text": "x" * 100_000})
    await log.aclose()
    return log


async def blob_in(store: MemoryStore, path: str = "/audit") -> str:
    (line,) = [fields for fields in (await lines_of(store, path))[0] if "cut" in fields]
    return str(line["cut"]["blob"])


async def test_a_log_can_be_moved(tmp_path: Any) -> None:
    """The directory is renamed; the names in it are relative."""
    store = FileStore(tmp_path)
    log = await long_record(store)
    await asyncio.to_thread((tmp_path / "audit").rename, tmp_path / "evidence")
    moved = AuditLog(store, path="/evidence")
    assert [len(record["text"]) for record in await moved.read_all()] == [100_000]
    found = await moved.verify()
    assert "1 file of long records" in found.integrity.looked_at
    assert await log.read_all() == []


def name_it(name: str) -> Any:
    def change(lines: Lines) -> None:
        (line,) = [fields for fields in lines[0] if "cut" in fields]
        line["cut"]["blob"] = name.format(line["cut"]["blob"])

    return change


@pytest.mark.parametrize("name", ["/audit/{}", "/old/place/{}"])
async def test_names_of_earlier_versions_are_understood(name: str) -> None:
    """They were paths in the store, of where the log was then."""
    store = MemoryStore()
    log = await long_record(store)
    await alter(store, name_it(name))
    assert [len(record["text"]) for record in await log.read_all()] == [100_000]
    assert (await verify(store)).holds


@pytest.mark.parametrize("name", ["/secret.json", "../secret.json", "secret.json", "../{}", "x/{}", "/", ""])
async def test_a_name_is_never_followed(name: str) -> None:
    """The record is given back as it stands in the log."""
    store = MemoryStore()
    log = await long_record(store)
    await store.write("/secret.json", json.dumps({"kind": SECRET}))
    await alter(store, name_it(name))
    (record,) = await log.read_all()
    assert record["kind"] == "a.b"
    assert "cut" in record


@pytest.mark.parametrize("spoil", ["digest", "length", "missing"])
async def test_a_file_is_checked_when_it_is_read(spoil: str) -> None:
    store = MemoryStore()
    log = await long_record(store)
    file = f"/audit/{await blob_in(store)}"
    content = await store.read_bytes(file) or b""
    if spoil == "digest":
        await store.write(file, content.replace(b"x", b"y"))
    elif spoil == "length":
        await alter(store, lambda lines: lines[0][-1]["cut"].update(bytes=5))
    else:
        await store.delete(file)
    with pytest.raises(LogDamaged, match=file):
        await log.read_all()
    found = await examine(store)
    assert found.integrity.outcome is Outcome.FAILS
    assert file in found.integrity.faults[0]


async def test_an_altered_file_is_written_again() -> None:
    """The same record comes once more: what is there under its name is not believed."""
    store = MemoryStore()
    await long_record(store)
    file = f"/audit/{await blob_in(store)}"
    content = await store.read_bytes(file) or b""
    await store.write(file, content.replace(b"x", b"y"))
    await long_record(store)
    assert await store.read_bytes(file) == content
    assert (await verify(store)).holds


async def test_files_that_no_record_names_are_noted() -> None:
    store = MemoryStore()
    await long_record(store)
    await store.write(f"/audit/blob/abc/{'abc' + '0' * 61}.json", "{}")
    await store.write("/audit/blob/abc/notes.txt", "")
    await store.write("/audit/blob/stray", "")
    assert (await verify(store)).notes[0].startswith("3 files of long records that no record names")


async def test_too_many_files_to_remember_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.audit._beside._DIGESTS_MAX", 0)
    store = MemoryStore()
    log = AuditLog(store)
    for text in "xyz":
        await log.append({"kind": "a.b", "text": text * 100_000})
    await log.aclose()
    assert "too many long records" in (await verify(store)).notes[0]


async def test_an_event_may_have_a_field_named_cut() -> None:
    """It is kept whole beside the log, so that the key in a line is the log's alone."""
    store = MemoryStore()
    forged = {"blob": f"blob/000/{'0' * 64}.json", "bytes": 1, "sha256": "0" * 64}
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(MovieEdited(cut=forged, title="Metropolis"))
        await hub.emit(GenericEvent(kind="a.b", data={"cut": forged}))
    assert (await verify(store)).completeness.outcome is Outcome.HOLDS
    records = await AuditLog(store).read_all()
    assert [record["cut"] for record in records if record["kind"] == "movie.edited"] == [forged]
    assert [record["data"] for record in records if record["kind"] == "a.b"] == [{"cut": forged}]


async def test_a_long_record_is_short_in_its_line() -> None:
    store = MemoryStore()
    log = AuditLog(store)
    await log.append({"kind": "a.b", "text": "x" * 65_400, "n": 1})
    await log.append({"kind": "a.b", "text": "x" * 65_500, "n": 2})
    content = await store.read_bytes(segment_path("/audit", 0)) or b""
    assert max(map(len, content.split(b"\n"))) <= 65_535
    assert [len(record["text"]) for record in await log.read_all()] == [65_400, 65_500]
