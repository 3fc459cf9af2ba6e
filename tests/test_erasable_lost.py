"""Erasable contents of a log of which the end was cut off: what it had said was erased, and what nothing names."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from hubwire.cli import repair as command
from hubwire.errors import ConfigurationError, InvalidRecord, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Verification, examine
from hubwire.listeners.audit._pages import PAGE_BYTES
from hubwire.log import cut_log, find_cut, list_segments, segment_path
from hubwire.ports import KnowledgeStore
from hubwire.proof import KeySigner
from hubwire.stores import MemoryStore
from support import files_of, store_of
from support.erasable import SECRET, bytes_of, only_page, record
from support.killed import Killed as KilledThere, KilledStore
from support.pruning import Killed

SIGNER = KeySigner("example.org/log", bytes(32))


async def erased_and_cut(store: KnowledgeStore, *, behind: int = 0) -> int:
    """Write six contents, erase three of them, append some more, and cut off the end from the erasure on."""
    log = AuditLog(store, erasable=["content"])
    for number in range(6):
        await log.append(record(number, content=f"{SECRET} {number}."))
    erased = await log.erase(agent="agent-1", by="dpo", basis="asked")
    for number in range(behind):
        await log.append(record(10 + number, content=f"{SECRET} {10 + number}."))
    await log.aclose()
    assert erased.record is not None
    cut = await find_cut(store, "/audit", record=erased.record)
    assert cut is not None
    await cut_log(store, cut, nowhere)
    return erased.record


async def nowhere(_path: str, _start: int) -> None:
    """What is cut off is lost."""


def counts(found: Verification) -> tuple[int, int, int]:
    """Return how many contents are there, erased, and missing."""
    assert found.contents is not None
    return found.contents.present, found.contents.erased, found.contents.missing


async def said_in(store: KnowledgeStore) -> list[dict[str, Any]]:
    records = [each.fields async for each in AuditLog(store).read()]
    return [fields for fields in records if fields.get("kind") == "record.erased"]


async def test_an_erasure_of_which_the_record_is_lost_is_said_again() -> None:
    store = MemoryStore()
    await erased_and_cut(store)
    found = await examine(store)
    assert counts(found) == (3, 0, 3)
    assert "hubwire erase --again --by ID --basis TEXT" in found.integrity.faults[0]
    log = AuditLog(store, erasable=["content"])
    erased = await log.erase(agent="agent-1", by="dpo-2", basis="its record was lost")
    assert (erased.contents, erased.records, erased.said_again) == (0, 0, 3)
    (said,) = await said_in(store)
    assert (said["by"], said["basis"], said["erased"]) == (
        "dpo-2",
        "its record was lost",
        [{"fields": ["content"], "records": [[2, 2], [4, 4], [6, 6]]}],
    )
    (before,) = said["again"]
    assert (before["by"], before["basis"]) == ("dpo", "asked")
    shown = [each["content"] for each in await log.read_all()]
    assert [each["$erased"]["record"] for each in shown if type(each) is dict] == [erased.record] * 3
    assert (await log.erase(agent="agent-1", by="dpo-2", basis="once more")).record is None
    await log.aclose()
    found = await examine(store)
    assert counts(found) == (3, 3, 0)
    assert found.holds
    assert not found.notes


async def test_all_of_them_are_said_again_by_who_says_so() -> None:
    """Not without a name: nothing vouches for what a page says."""
    store = MemoryStore()
    await erased_and_cut(store)
    log = AuditLog(store, erasable=["content"])
    assert await log.erase_again() == 0
    for wrong in ({"by": "a"}, {"basis": "b"}):
        with pytest.raises(ConfigurationError):
            await log.erase_again(**wrong)
    for hostile in ("", 5, "\ud800", "x" * 5000, b"x"):
        with pytest.raises(InvalidRecord):
            await log.erase_again(by=hostile, basis="b")  # type: ignore[arg-type]
    assert not await said_in(store)
    assert await log.erase_again(by="dpo", basis="its record was lost") == 3
    assert await log.erase_again(by="dpo", basis="its record was lost") == 0
    await log.aclose()
    assert counts(await examine(store)) == (3, 3, 0)
    assert len(await said_in(store)) == 1


async def test_what_is_missing_is_excused_by_no_erasure() -> None:
    """Only what a page says was erased is: not what is in no line of it."""
    store = MemoryStore()
    await erased_and_cut(store)
    page = await only_page(store)
    lines = (await store.read_bytes(page) or b"").split(b"\n")
    harmed = b"\n".join([line for line in lines if b" - " not in line])
    await store.write(page, harmed)
    log = AuditLog(store, erasable=["content"])
    assert (await log.erase(agent="agent-1", by="dpo", basis="asked")).record is None
    assert await log.erase_again(by="dpo", basis="asked") == 0
    await log.aclose()
    assert counts(await examine(store)) == (3, 0, 3)


@pytest.mark.parametrize("why", [b"{}", b"rubbish", b'{"by":5,"record":-3}', b'{"record":99999999999999999999}', b"[]"])
async def test_hostile_words_of_a_page_are_no_words_of_the_log(why: bytes) -> None:
    store = MemoryStore()
    await erased_and_cut(store)
    page = await only_page(store)
    lines = (await store.read_bytes(page) or b"").split(b"\n")
    await store.write(page, b"\n".join([line[:47] + why if b" - " in line else line for line in lines]))
    log = AuditLog(store, erasable=["content"])
    assert await log.erase_again(by="dpo", basis="asked") == 3
    await log.aclose()
    (said,) = await said_in(store)
    assert said["again"] == [{"at": "", "by": "", "basis": "", "record": -1}]
    assert (await examine(store)).holds


async def test_long_words_of_pages_fit_in_a_record() -> None:
    store = MemoryStore()
    await erased_and_cut(store)
    page = await only_page(store)
    lines = (await store.read_bytes(page) or b"").split(b"\n")
    why = [json.dumps({"by": f"{number}" + "\x01" * 9000, "basis": "ü" * 9000}).encode() for number in range(9)]
    made = [line[:47] + why.pop() if b" - " in line else line for line in lines]
    await store.write(page, b"\n".join(made))
    log = AuditLog(store, erasable=["content"])
    assert await log.erase_again(by="\x01" * 1000, basis="\x01" * 1000) == 3
    await log.aclose()
    assert (await examine(store)).holds


@pytest.mark.parametrize("is_signed", [False, True])
async def test_a_kill_while_it_is_said_again_is_finished_by_the_next_append(is_signed: bool) -> None:
    options: dict[str, Any] = {"signer": SIGNER} if is_signed else {}
    store = Killed()
    await erased_and_cut(store)
    log = AuditLog(store, erasable=["content"], **options)
    await log.append({"n": 0})
    store.states = []
    await log.erase(records=[1, 2, 4], by="dpo-2", basis="asked again")
    states, store.states = store.states, None
    await log.aclose()
    assert len(states) >= 5
    outcomes = set()
    for number, state in enumerate(states):
        killed = await store_of(state)
        again = AuditLog(killed, erasable=["content"], **options)
        await again.append({"n": 1})
        said = await said_in(killed)
        await again.aclose()
        found = await examine(killed, vkey=SIGNER.vkey if is_signed else None)
        assert counts(found) == ((2, 3, 1) if said else (3, 0, 3)), number
        assert (f"{SECRET} 0.".encode() in await bytes_of(killed)) is not bool(said)
        outcomes.add(bool(said))
        await again.erase_again(by="dpo-2", basis="asked again")
        await again.aclose()
        assert (await examine(killed)).holds
    assert outcomes == {False, True}


async def test_many_are_said_again_in_records_that_fit() -> None:
    """And soon enough: no page is read for each of them."""
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    for _ in range(8):
        await log.append_many([record(0, content="x") for _ in range(1000)])
    erased = await log.erase(records=range(1, 8000, 2), by="dpo", basis="asked")
    await log.aclose()
    assert erased.record is not None
    cut = await find_cut(store, "/audit", record=erased.record)
    assert cut is not None
    await cut_log(store, cut, nowhere)
    again = AuditLog(store)
    assert await again.erase_again(by="dpo", basis="asked") == erased.contents
    await again.aclose()
    found = await examine(store)
    assert found.holds
    assert counts(found) == (8000 - erased.contents, erased.contents, 0)


# --- errors ----------------------------------------------------------------------------------------------------------


class Failing(MemoryStore):
    """Says that it has failed, for some paths, when it has done what it was asked to do, or has not."""

    fails_for: tuple[str, ...] = ()
    does_it: bool = True

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if not self.does_it:
            self._fail(path)
        size = await super().append(path, content, expect=expect)
        self._fail(path)
        return size

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        if not self.does_it:
            self._fail(path)
        await super().write(path, content, if_absent=if_absent, expect=expect)
        self._fail(path)

    def _fail(self, path: str) -> None:
        if any(part in path for part in self.fails_for):
            raise StoreError(f"cannot write {path}", path=path)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("where", "does_it"), [("/erasable/", True), ("/log/", True), ("/log/", False)])
@pytest.mark.parametrize("at_close", [(), ("/erasable/",), ("/erasable/", "/erasing")])
async def test_a_content_that_an_error_left_behind_is_taken_out(
    where: str, at_close: tuple[str, ...], *, does_it: bool, is_first: bool
) -> None:
    """When the log is closed; or, if that fails, too, when it is opened again."""
    store = Failing()
    log = AuditLog(store, erasable=["content"])
    await log.append(record(content="kept") if is_first else {"n": 0})
    store.fails_for, store.does_it = (where,), does_it
    with pytest.raises(StoreError):
        await log.append(record(content=f"{SECRET}."))
    store.fails_for = at_close
    try:
        await log.aclose()
    except StoreError:
        assert at_close
    store.fails_for = ()
    again = AuditLog(store, erasable=["content"])
    await again.append({"n": 1})
    kept = [each.get("content") for each in await again.read_all()]
    assert ("kept" in kept) is is_first
    assert (f"{SECRET}.".encode() in await bytes_of(store)) is (f"{SECRET}." in kept)
    await again.aclose()
    found = await examine(store)
    assert found.holds
    assert not [note for note in found.notes if "no record names" in note]
    assert not await store.exists("/audit/erasing")


async def test_a_log_that_has_failed_leaves_no_content_of_who_tries_again() -> None:
    """Also on a page that is none of the newest any more."""
    store = Failing()
    log = AuditLog(store, erasable=["content"])
    await log.append({"n": 0})
    store.fails_for, store.does_it = ("/log/",), False
    with pytest.raises(StoreError):
        await log.append(record(content=f"{SECRET}."))
    store.fails_for = ()
    for _ in range(4):
        with pytest.raises(StoreError):
            await log.append(record(content="x" * PAGE_BYTES))
    assert len(await store.list("/audit/erasable")) > 3
    with suppress(StoreError):
        await log.aclose()
    again = AuditLog(store, erasable=["content"])
    await again.append({"n": 1})
    await again.aclose()
    assert not await store.list("/audit/erasable")


async def test_an_erasure_that_has_failed_is_finished_also_when_more_has_failed() -> None:
    store = Failing()
    log = AuditLog(store, erasable=["content"])
    for number in range(3):
        await log.append(record(number, content=f"{SECRET} {number}."))
    store.fails_for, store.does_it = ("/erasable/",), False
    with pytest.raises(StoreError):
        await log.append(record(content=f"{SECRET} 9."))
    for _ in range(2):
        with pytest.raises(StoreError):
            await log.erase(records=[1, 2], by="dpo", basis="asked")
    with suppress(StoreError):
        await log.aclose()
    store.fails_for = ()
    again = AuditLog(store, erasable=["content"])
    await again.append({"n": 1})
    await again.aclose()
    everything = await bytes_of(store)
    assert [f"{SECRET} {number}.".encode() in everything for number in (0, 1, 2, 9)] == [False, False, True, False]
    assert counts(await examine(store)) == (1, 2, 0)


# --- hubwire repair ---------------------------------------------------------------------------------------------------


async def damaged(behind: int = 3) -> tuple[MemoryStore, int]:
    """Return a store with a log in which the record of an erasure is damaged, and contents are behind it."""
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    for number in range(6):
        await log.append(record(number, content=f"{SECRET} {number}."))
    erased = await log.erase(agent="agent-1", by="dpo", basis="asked")
    for number in range(10, 10 + behind):
        await log.append(record(number, content=f"{SECRET} {number}."))
    await log.aclose()
    assert erased.record is not None
    path = segment_path("/audit", (await list_segments(store, "/audit"))[0])
    lines = (await store.read_bytes(path) or b"").split(b"\n")
    lines[erased.record] = lines[erased.record].replace(b"asked", b"Asked")
    await store.write(path, b"\n".join(lines))
    return store, erased.record


async def cut(store: MemoryStore, monkeypatch: pytest.MonkeyPatch, *, is_dry: bool = False) -> None:
    monkeypatch.setattr(command, "open_target", lambda _: store)
    await command.repair("it", "cut", None, log="/audit", at=None, reason="a bad sector", dry_run=is_dry)


async def test_contents_go_with_the_records_that_are_cut_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are with the other bytes in /lost; and what was erased is said again."""
    store, at = await damaged()
    before = await files_of(store)
    await cut(store, monkeypatch, is_dry=True)
    assert await files_of(store) == before
    said = capsys.readouterr().out
    assert f"would set 3 erasable contents of /audit aside that no record before {at} names\n" in said
    assert "would say again in /audit that 3 contents of earlier records were erased\n" in said
    await cut(store, monkeypatch)
    everything = await bytes_of(store, "/audit")
    aside = await bytes_of(store, "/lost")
    for number in range(10, 13):
        assert f"{SECRET} {number}.".encode() not in everything
        assert f"{SECRET} {number}.".encode() in aside
    for number in range(6):
        assert f"{SECRET} {number}.".encode() not in aside
    found = await examine(store)
    assert found.holds
    assert counts(found) == (3, 3, 0)
    assert not [note for note in found.notes if "no record names" in note]
    (said_again,) = await said_in(store)
    assert said_again["by"] == "hubwire repair"
    assert said_again["again"][0]["by"] == "dpo"


async def test_what_was_planted_before_is_not_said_again_by_a_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair says only what records that it cuts off have said."""
    store, at = await damaged(0)
    page = await only_page(store)
    lines = (await store.read_bytes(page) or b"").split(b"\n")
    planted = [line[:44] + b' - {"by":"me","record":1}' if f"{SECRET} 0".encode() in line else line for line in lines]
    await store.write(page, b"\n".join(planted))
    await cut(store, monkeypatch)
    found = await examine(store)
    assert counts(found) == (2, 3, 1)
    assert "record 1 " in found.integrity.faults[0]
    assert at > 1


async def test_a_repair_that_is_killed_leaves_no_content_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = await damaged()
    state = await files_of(whole)
    number, is_killed = 0, True
    while is_killed:
        store = KilledStore()
        for path, content in state.items():
            await store.write(path, content)
        store.writes_left, is_killed = number, False
        try:
            await cut(store, monkeypatch)
        except KilledThere:
            is_killed = True
        left = await store_of(await files_of(store))
        for each in (0, 2, 4, 10, 11, 12):
            assert f"{SECRET} {each}.".encode() in await bytes_of(left), number
        if is_killed:
            await cut(left, monkeypatch)
        everything, aside = await bytes_of(left, "/audit"), await bytes_of(left, "/lost")
        for each in range(10, 13):
            assert f"{SECRET} {each}.".encode() not in everything, number
            assert f"{SECRET} {each}.".encode() in aside, number
        assert counts(await examine(left)) == (3, 3, 0), number
        assert len(await said_in(left)) == 1, number
        number += 1
    assert number > 8


async def test_contents_of_a_page_stay_when_a_long_record_that_may_name_them_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    await log.append(record(0, content=f"{SECRET} 0.", rest="x" * 70_000))
    await log.append(record(1, content=f"{SECRET} 1."))
    await log.append(record(2, content=f"{SECRET} 2."))
    await log.aclose()
    (blob,) = await store.list("/audit/blob")
    await store.delete(f"/audit/blob/{blob}")
    path = segment_path("/audit", (await list_segments(store, "/audit"))[0])
    content = await store.read_bytes(path) or b""
    await store.write(path, content.replace(b'"agent-1"', b'"agent-9"'))
    await cut(store, monkeypatch)
    everything = await bytes_of(store, "/audit")
    assert all(f"{SECRET} {number}.".encode() in everything for number in range(3))
