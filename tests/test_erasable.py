"""Erasable contents of an audit log: they are given back as long as they are there, and gone for good after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubwire import Hub, codec
from hubwire.erasable import Page, commit, commitments_of
from hubwire.errors import ConfigurationError, InvalidRecord, LogDamaged, StoreFull
from hubwire.events import GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, Retention, examine
from hubwire.log import LogReader
from hubwire.ports import KnowledgeStore
from hubwire.proof import KeySigner
from hubwire.stores import FileStore, MemoryStore
from support.erasable import SECRET, bytes_of, only_page, record


def stores(tmp_path: Path) -> list[KnowledgeStore]:
    return [MemoryStore(), FileStore(str(tmp_path / "store"))]


async def test_a_content_is_not_in_its_record(tmp_path: Path) -> None:
    """And whoever reads the log is given it all the same."""
    for store in stores(tmp_path):
        log = AuditLog(store, erasable=["content"])
        await log.append(record())
        (found,) = [each async for each in LogReaderLines(store) if b"note.taken" in each]
        assert SECRET.encode() not in found
        assert await log.read_all() == [record()]
        (read,) = [each.fields async for each in log.read(start=1)]
        assert {name: value for name, value in read.items() if name not in "dh"} == record()
        await log.aclose()


class LogReaderLines:
    """The lines of a log as they are stored."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._reader = LogReader(store, "/audit")

    async def __aiter__(self) -> Any:
        while records := await self._reader.read():
            for each in records:
                yield each.line


async def test_what_is_erased_is_in_no_file_of_the_store(tmp_path: Path) -> None:
    """The salt goes with it."""
    for store in stores(tmp_path):
        log = AuditLog(store, erasable=["content"])
        await log.append(record(salted="kept"))
        page = Page(await store.read_bytes(await only_page(store)) or b"")
        (salt,) = [content.partition(b" ")[0] for content in page.contents.values()]
        assert SECRET.encode() in await bytes_of(store)
        done = await log.erase(records=1, by="dpo", basis="art. 17")
        assert (done.records, done.contents, done.record) == (1, 1, 2)
        everything = await bytes_of(store)
        assert SECRET.encode() not in everything
        assert salt not in everything
        ((read,),) = [await log.read_all()]
        assert read["content"]["$erased"] == {
            "at": read["content"]["$erased"]["at"], "basis": "art. 17", "by": "dpo", "record": 2,
        }  # fmt: skip
        assert read["salted"] == "kept"
        await log.aclose()


async def test_other_contents_of_a_page_stay() -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    for number in range(10):
        await log.append(record(number))
    await log.erase(agent="agent-1", by="dpo", basis="asked")
    kept = [each["content"] == {"text": SECRET} for each in await log.read_all()]
    assert kept == [True, False] * 5
    found = (await examine(store)).contents
    assert found is not None
    assert (found.present, found.erased, found.missing, found.altered, found.erased_by) == (5, 5, 0, 0, (11,))
    await log.aclose()


async def test_tree_checkpoints_and_proofs_stay_as_they_are() -> None:
    """What was proved of a record before is proved of it after."""
    store, signer = MemoryStore(), KeySigner("example.org/log", bytes(32))
    log = AuditLog(store, signer=signer, erasable=["content"])
    await log.append(record())
    before = await log.prove(1)
    checkpoint = await log.checkpoint()
    await log.erase(records=[1], by="dpo", basis="asked")
    after = await log.prove(1)
    assert after.extra == before.extra
    assert before.extra is not None
    assert SECRET.encode() not in before.extra
    before.verify(before.extra, signer.vkey)
    after.verify(before.extra, signer.vkey)
    await log.aclose()
    found = await examine(store, vkey=signer.vkey, expect_checkpoint=str(checkpoint))
    assert found.holds
    assert found.signer.outcome is Outcome.HOLDS


async def test_the_log_says_who_has_erased_and_why_and_not_what() -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable={"note.*": ["content", "data.email"]})
    await log.append(record(data={"email": "unknown", "other": 1}))
    await log.append(record(kind="other.done"))
    await log.erase(records=[1, 2], fields=["content"], by="dpo", basis="asked")
    (said,) = [each.fields async for each in log.read() if each.fields["kind"] == "record.erased"]
    assert (said["by"], said["basis"]) == ("dpo", "asked")
    assert said["erased"] == [{"fields": ["content"], "records": [[1, 1]]}]
    assert SECRET not in json.dumps(said)
    first, second = await log.read_all()
    assert first["data"]["other"] == 1
    assert first["data"]["email"] == "[redacted:email]"
    assert second["content"] == {"text": SECRET}  # its kind is not one of those
    await log.aclose()


@pytest.mark.parametrize("harm", ["removed", "altered", "all removed", "says erased", "says withheld"])
async def test_what_is_missing_or_altered_is_told_from_what_was_erased(harm: str) -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    for number in range(4):
        await log.append(record(number, content=f"content {number}"))
    await log.erase(records=1, by="dpo", basis="asked")
    await log.aclose()
    assert (await examine(store)).holds
    file = await only_page(store)
    lines = (await store.read_bytes(file) or b"").split(b"\n")
    if harm == "removed":
        await store.write(file, b"\n".join(lines[1:]))
    elif harm == "altered":
        await store.write(file, b"\n".join([lines[0].replace(b"content 1", b"content 9"), *lines[1:]]))
    elif harm == "all removed":
        await store.delete(file)
    else:
        sign = b"-" if harm == "says erased" else b"~"
        why = codec.encode_fields({"by": "dpo", "basis": "asked", "record": 5, "at": "now"})
        await store.write(file, b"\n".join([b"%b %b %b" % (lines[0][:44], sign, why), *lines[1:]]))
    found = await examine(store)
    assert found.integrity.outcome is Outcome.FAILS
    assert found.contents is not None
    assert found.contents.erased == 1
    assert (found.contents.missing, found.contents.altered) == {
        "altered": (0, 1),
        "all removed": (3, 0),
    }.get(harm, (1, 0))
    assert "record 2" in found.integrity.faults[0]
    with pytest.raises(LogDamaged):
        found.check()


async def test_what_was_erased_and_comes_back_is_a_fault_and_goes_again() -> None:
    """As it does where a page is restored from a backup, and the log is not."""
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    await log.append(record())
    file = await only_page(store)
    backup = await store.read_bytes(file) or b""
    await log.erase(records=1, by="dpo", basis="asked")
    await store.write(file, backup)
    await store.delete(f"{file}.e")
    found = await examine(store)
    assert "are there" in found.integrity.faults[0]
    assert await log.erase_again() == 1
    assert SECRET.encode() not in await bytes_of(store)
    assert (await examine(store)).holds
    assert await log.erase_again() == 0
    await log.aclose()


async def test_a_caller_cannot_write_a_commitment_or_an_erasure_of_his_own() -> None:
    log = AuditLog(MemoryStore())
    for fields in ({"$c": 1}, {"kind": "record.erased"}):
        with pytest.raises(InvalidRecord):
            await log.append(fields)
        with pytest.raises(InvalidRecord):
            await log.append_many([fields, fields])
    forged = json.loads(commit(b"1")[0])
    await log.append({"content": forged, "at": "now"})
    assert await log.read_all() == [{"content": forged, "at": "now"}]
    found = await log.verify()
    assert found.holds
    assert found.contents is None
    await log.aclose()


async def test_events_of_a_hub_keep_their_contents_beside_the_log(tmp_path: Path) -> None:
    """Also an event that says of itself that it has commitments: it stays what it is."""
    store = FileStore(str(tmp_path / "store"))
    log = AuditLog(store, erasable={"note.taken": ["data.text"], "agent.registered": ["capabilities"]})
    forged = json.loads(commit(b"1")[0])
    async with Hub(listeners=[log]) as hub:
        await hub.agents.register("planner", capabilities=["python"])
        event = await hub.emit(GenericEvent(kind="note.taken", data={"text": SECRET, "n": 1, "$c": forged}))
        await log.erase(seq=event.seq, by="dpo", basis="asked")
        (found,) = [each async for each in log.query(kind="note.taken")]
        assert SECRET.encode() not in found.line
    assert SECRET.encode() not in await bytes_of(store)
    assert (await log.verify()).holds


@pytest.mark.parametrize(
    "wrong",
    ["content", b"content", [], [""], ["a..b"], ["seq"], ["agent_id"], ["hub.x"], ["$c"], [1], 5, {},
     {"x.y": "content"}, {"x.y": []}, {1: ["content"]}, ["x" * 300], object()],
    ids=range(17),
)  # fmt: skip
def test_what_is_no_policy_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        AuditLog(MemoryStore(), erasable=wrong)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"records": -1}, {"records": "1"}, {"records": []}, {"records": 1, "seq": 1}, {"records": 1, "agent": "a"},
     {"records": 1, "fields": 5}, {"records": 1, "fields": []}, {"records": True}, {"agent": 5}, {"seq": 2**70}],
    ids=range(11),
)  # fmt: skip
async def test_what_chooses_no_record_erases_none(wrong: dict[str, Any]) -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    await log.append(record())
    before = await bytes_of(store)
    with pytest.raises(ConfigurationError):
        await log.erase(**wrong, by="dpo", basis="asked")
    for words in ({"by": "", "basis": "x"}, {"by": "x", "basis": 5}, {"by": "x", "basis": "y" * 2000}):
        with pytest.raises(InvalidRecord):
            await log.erase(records=1, **words)
    assert await bytes_of(store) == before
    await log.aclose()


async def test_what_is_not_there_is_not_said_to_be_erased() -> None:
    """An erasure is no excuse for what is missing, and says nothing twice."""
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    await log.append(record())
    await log.append({"at": "now", "other": 1})
    assert (await log.erase(records=[2, 77], by="dpo", basis="asked")).record is None
    await store.delete(await only_page(store))
    assert (await log.erase(records=1, by="dpo", basis="asked")).record is None
    assert not [each async for each in log.read() if each.fields.get("kind") == "record.erased"]
    found = await examine(store)
    assert found.contents is not None
    assert found.contents.missing == 1
    await log.aclose()


async def test_a_log_that_is_held_is_not_erased_in() -> None:
    log = AuditLog(MemoryStore(), erasable=["content"])
    await log.append(record())
    await log.hold("a court asks for it")
    with pytest.raises(ConfigurationError, match="held"):
        await log.erase(records=1, by="dpo", basis="asked")
    await log.release("the court is done")
    assert (await log.erase(records=1, by="dpo", basis="asked")).contents == 1
    await log.aclose()


async def test_a_record_that_is_too_long_has_its_contents_erased_too() -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"], redactor=None)
    long = record(content=SECRET * 10_000, rest="short")
    longer = record(content=SECRET, rest="x" * 70_000)
    await log.append(long)
    await log.append_many([longer, long])
    assert await log.read_all() == [long, longer, long]
    await log.erase(agent="agent-0", by="dpo", basis="asked")
    assert SECRET.encode() not in await bytes_of(store)
    found = await examine(store)
    assert found.holds
    assert found.contents is not None
    assert found.contents.erased == 3
    await log.aclose()


def test_only_what_a_log_has_written_is_a_commitment() -> None:
    made, line = commit(b'"x"')
    one = json.loads(made)
    page = "0" * 20 + "-12345678"
    fields = {"content": one, "$c": {"fields": ["content"], "page": page}}
    (found,) = commitments_of(fields)
    assert Page(line).content(found) == b'"x"'
    for wrong in (
        {**fields, "$c": {"fields": ["content"], "page": "../../etc/passwd"}},
        {**fields, "$c": {"fields": ["content", "other"], "page": page}},
        {**fields, "$c": {"fields": ["content"], "page": page, "more": 1}},
        {**fields, "content": {**one, "more": 1}},
        {**fields, "content": {**one, "$c": "x"}},
        {**fields, "$c": ["content"]},
    ):
        assert commitments_of(wrong) == []


class FullStore(MemoryStore):
    """A store without room for the lines of the log, but for its pages."""

    is_full = False

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if self.is_full and "/log/" in path:
            raise StoreFull("no room", path=path)
        return await super().append(path, content, expect=expect)


async def test_a_content_whose_record_was_not_stored_is_taken_out() -> None:
    store = FullStore()
    log = AuditLog(store, erasable=["content"])
    await log.append(record(content="kept"))
    store.is_full = True
    with pytest.raises(StoreFull):
        await log.append(record())
    store.is_full = False
    assert SECRET.encode() in await bytes_of(store)
    await log.aclose()
    assert SECRET.encode() not in await bytes_of(store)
    assert await log.read_all() == [record(content="kept")]
    assert (await log.verify()).holds


async def test_contents_go_with_their_records_when_those_are_pruned() -> None:
    """And those of records that stay, stay."""
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"], rotation=2000)
    for number in range(40):
        await log.append(record(number, content=f"{SECRET} {number}."))
        if number == 20:
            await log.aclose()
    pruned = await log.prune(retention=Retention(segments_max=2))
    assert pruned.records
    kept = await log.read_all()
    assert 0 < len(kept) < 40
    everything = await bytes_of(store)
    for number in range(40):
        assert (f"{SECRET} {number}.".encode() in everything) is (number >= 40 - len(kept))
    await log.aclose()
    found = await examine(store)
    assert found.holds
    assert found.contents is not None
    assert found.contents.present == len(kept)
