"""Redacted copies of a log: what is withheld is not in them, their proofs hold, and they say what they lack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubwire import Hub
from hubwire.errors import AlreadyExists, ConfigurationError, InvalidRecord, LogDamaged
from hubwire.events import GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, Retention, Rotation, examine, prove, redacted_copy
from hubwire.log import LogReader
from hubwire.proof import KeySigner, leaf_hash
from hubwire.stores import MemoryStore
from support.erasable import SECRET, bytes_of, only_page, record

SIGNER = KeySigner("example.org/log", bytes(32))


async def signed_log(count: int = 6, **options: Any) -> MemoryStore:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content", "note"], signer=SIGNER, **options)
    for number in range(count):
        await log.append(record(number, content=f"{SECRET} {number}", note=f"note {number}", plain=f"plain {number}"))
    await log.aclose()
    return store


async def lines_of(store: MemoryStore) -> list[bytes]:
    reader, lines = LogReader(store, "/audit"), []
    while records := await reader.read():
        lines += [each.line for each in records]
    return lines


async def test_lines_are_the_same_and_contents_are_withheld() -> None:
    store, copy = await signed_log(), MemoryStore()
    done = await redacted_copy(store, copy, opened=["note"], by="press office")
    assert (done.opened, done.withheld, done.gone, done.withheld_records) == (6, 6, 0, 0)
    assert await lines_of(copy) == await lines_of(store)
    everything = await bytes_of(copy)
    assert SECRET.encode() not in everything
    assert b"note 3" in everything
    found = await examine(copy, vkey=SIGNER.vkey)
    assert found.holds
    assert found.is_copy
    assert found.signer.outcome is Outcome.HOLDS
    assert found.contents is not None
    assert (found.contents.present, found.contents.withheld) == (6, 6)
    assert any("copy" in note and "press office" in note for note in found.notes)
    (first,) = [each.fields async for each in AuditLog(copy).read(start=1) if each.index == 1]
    assert first["content"] == {"$withheld": {}}
    assert first["note"] == "note 0"


async def test_one_content_of_one_record_is_opened() -> None:
    store, copy = await signed_log(), MemoryStore()
    assert (await redacted_copy(store, copy, opened=["3:content"])).opened == 1
    everything = await bytes_of(copy)
    assert f"{SECRET} 2".encode() in everything
    assert f"{SECRET} 3".encode() not in everything
    assert (await examine(copy, vkey=SIGNER.vkey)).holds


async def test_a_copy_says_which_choices_no_record_has_met() -> None:
    """Who misspells a kind would hand out what was to be withheld."""
    store, copy = await signed_log(), MemoryStore()
    choice: dict[str, Any] = {
        "opened": ["3:content", "contents", "99:note"],
        "withheld": [2, 0, 99],
        "withheld_kinds": ["*", "tol.*"],
    }
    done = await redacted_copy(store, copy, **choice)
    assert done.withheld_records == 6
    assert done.unmet == ("3:content", "99:note", "contents", "0", "99", "tol.*")
    done = await redacted_copy(store, one := MemoryStore(), opened=["3:content", "note"], withheld=[2])
    assert done.unmet == ()
    assert "1 record withheld from this copy: what is known of it is its place" in " ".join(
        (await examine(one)).integrity.not_looked_at
    )


async def test_a_whole_record_is_withheld_and_its_place_is_proved() -> None:
    """By its leaf hash, under the checkpoint that the key of the log has signed."""
    store, copy = await signed_log(), MemoryStore()
    done = await redacted_copy(store, copy, withheld=[2], withheld_kinds=["nothing.*"])
    assert done.withheld_records == 1
    assert b"plain 1" not in await bytes_of(copy)
    found = await examine(copy, vkey=SIGNER.vkey)
    assert (found.holds, found.withheld_records) == (True, 1)
    assert found.signer.outcome is Outcome.HOLDS
    proof = await prove(copy, 2)
    assert proof.extra is None
    proof.verify((await lines_of(store))[2], SIGNER.vkey)
    (await prove(copy, 3)).verify((await lines_of(store))[3], SIGNER.vkey)


async def test_events_that_are_withheld_are_no_gap() -> None:
    store, copy = MemoryStore(), MemoryStore()
    async with Hub(listeners=[AuditLog(store, signer=SIGNER, rotation=Rotation(bytes_max=2000))]) as hub:
        for number in range(30):
            await hub.emit(GenericEvent(kind="note.taken" if number % 3 else "other.done", data={"n": number}))
    done = await redacted_copy(store, copy, withheld_kinds=["note.*"])
    assert done.withheld_records == 20
    assert len(await copy.list("/audit/log")) > 2
    found = await examine(copy, vkey=SIGNER.vkey)
    assert found.holds, [each.faults for each in found.verdicts.values()]
    assert found.completeness.outcome is not Outcome.FAILS
    assert found.withheld_records == 20


@pytest.mark.parametrize("harm", ["a record", "a leaf", "a chain value", "no mark", "a content", "cut off"])
async def test_a_copy_that_was_changed_is_seen(harm: str) -> None:
    store, copy = await signed_log(), MemoryStore()
    await redacted_copy(store, copy, opened=["note"], withheld=[2])
    segment = f"/audit/log/{0:020}.jsonl"
    content = await copy.read_bytes(segment) or b""
    lines = content.split(b"\n")
    page = await only_page(copy)
    if harm == "a record":
        await copy.write(segment, content.replace(b"plain 4", b"plain 9"))
    elif harm == "a leaf":
        lines[2] = lines[2].replace(b'"leaf":"', b'"leaf":"AAAA')[: len(lines[2]) + 4]
        other = lines[2].replace(b'"leaf":"AAAA' + lines[2].split(b'"leaf":"AAAA')[1][:4], b'"leaf":"AAAA')
        await copy.write(segment, b"\n".join([*lines[:2], other, *lines[3:]]))
    elif harm == "a chain value":
        await copy.write(segment, b"\n".join([*lines[:2], lines[2][:-10] + b"AAAAAAAA" + lines[2][-2:], *lines[3:]]))
    elif harm == "no mark":
        await copy.delete("/audit/copy")
    elif harm == "a content":
        await copy.write(page, (await copy.read_bytes(page) or b"").replace(b"note 4", b"note 9"))
    else:
        await copy.write(segment, b"\n".join([*lines[:4], b""]))
    assert not (await examine(copy, vkey=SIGNER.vkey)).holds


async def test_what_looks_like_a_stand_in_is_a_record_all_the_same() -> None:
    """A caller may append what he likes."""
    store, copy = MemoryStore(), MemoryStore()
    log = AuditLog(store, signer=SIGNER)
    await log.append({"$withheld": {"leaf": "A" * 43 + "=", "seq": 1}})
    await log.append({"n": 1})
    await log.aclose()
    await redacted_copy(store, copy)
    for each in (store, copy):
        found = await examine(each, vkey=SIGNER.vkey)
        assert (found.holds, found.withheld_records) == (True, 0)


async def test_nothing_is_appended_to_a_copy_or_erased_in_it() -> None:
    store, copy = await signed_log(), MemoryStore()
    await redacted_copy(store, copy)
    before = await bytes_of(copy)
    log = AuditLog(copy, erasable=["content"])
    with pytest.raises(ConfigurationError, match="redacted copy"):
        await log.append(record())
    with pytest.raises(ConfigurationError, match="redacted copy"):
        await log.erase(records=1, by="x", basis="y")
    await log.aclose()
    assert await bytes_of(copy) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda log: log.rotate_key(KeySigner.new("example.org/log")),
        lambda log: log.checkpoint(),
        lambda log: log.hold("a case", by="counsel"),
        lambda log: log.release("it is closed"),
        lambda log: log.prune(retention=Retention(segments_max=2)),
        lambda log: log.prune(retention=Retention(segments_max=2), dry_run=True),
        lambda log: log.append(record()),
    ],
    ids=["rotate_key", "checkpoint", "hold", "release", "prune", "prune dry", "append"],
)
async def test_no_record_of_the_logs_own_goes_into_a_copy(call: Callable[[AuditLog], Awaitable[object]]) -> None:
    """Else a rotation of its key would wipe the one that the log itself still needs."""
    store, copy = await signed_log(40, rotation=Rotation(records_max=10)), MemoryStore()
    await redacted_copy(store, copy, withheld=[3])
    before = await bytes_of(copy)
    log = AuditLog(copy, signer=SIGNER)
    with pytest.raises(ConfigurationError, match="redacted copy"):
        await call(log)
    await log.aclose()
    assert await bytes_of(copy) == before


async def test_what_was_erased_stays_erased_in_a_copy_and_missing_is_missing() -> None:
    store, copy, other = await signed_log(), MemoryStore(), MemoryStore()
    log = AuditLog(store, erasable=["content", "note"], signer=SIGNER)
    await log.erase(records=[1, 2], by="dpo", basis="asked")
    await log.aclose()
    done = await redacted_copy(store, copy, opened=["content", "note"])
    assert (done.opened, done.gone) == (8, 4)
    found = await examine(copy, vkey=SIGNER.vkey)
    assert found.contents is not None
    assert (found.holds, found.contents.erased, found.contents.withheld) == (True, 4, 0)
    await store.delete(await only_page(store))
    await redacted_copy(store, other)
    assert (await examine(other, vkey=SIGNER.vkey)).contents.missing == 8  # type: ignore[union-attr]


async def test_an_altered_content_is_not_handed_out() -> None:
    store = await signed_log()
    page = await only_page(store)
    await store.write(page, (await store.read_bytes(page) or b"").replace(b"note 3", b"note 9"))
    with pytest.raises(LogDamaged):
        await redacted_copy(store, MemoryStore(), opened=["note"])


async def test_a_pruned_log_is_copied_with_its_hashes() -> None:
    store, copy = await signed_log(40, rotation=2500), MemoryStore()
    log = AuditLog(store, signer=SIGNER, erasable=["content"])
    from hubwire.listeners.audit import Retention

    pruned = await log.prune(retention=Retention(segments_max=2))
    await log.aclose()
    assert pruned.records
    await redacted_copy(store, copy)
    found = await examine(copy, vkey=SIGNER.vkey)
    assert found.holds, [each.faults for each in found.verdicts.values()]
    assert found.first_record > 0


@pytest.mark.parametrize(
    "wrong",
    [{"opened": "content"}, {"opened": [1]}, {"opened": 5}, {"withheld": ["1"]}, {"withheld": 5}, {"withheld": [-1]},
     {"withheld_kinds": 5}, {"path": "/elsewhere"}],
    ids=range(8),
)  # fmt: skip
async def test_what_cannot_be_is_refused_and_writes_nothing(wrong: dict[str, Any]) -> None:
    store, copy = await signed_log(1), MemoryStore()
    with pytest.raises(ConfigurationError):
        await redacted_copy(store, copy, **wrong)
    with pytest.raises(InvalidRecord):
        await redacted_copy(store, copy, by="")
    assert await copy.list() == []
    await redacted_copy(store, copy)
    with pytest.raises(AlreadyExists):
        await redacted_copy(store, copy)


async def test_a_leaf_is_the_hash_of_the_line() -> None:
    store, copy = await signed_log(), MemoryStore()
    await redacted_copy(store, copy, withheld=[2])
    from hubwire.listeners.audit.stand_ins import stand_in_of

    stand_in = stand_in_of((await lines_of(copy))[2])
    assert stand_in is not None
    assert stand_in.leaf == leaf_hash((await lines_of(store))[2])
