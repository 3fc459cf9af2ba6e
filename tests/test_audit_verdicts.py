"""verify: three verdicts on an audit log, each with what it does not speak of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubwire import Duty, GenericEvent, Hub
from hubwire.errors import ConfigurationError, LogDamaged
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Head, Outcome, Verification, examine, verify
from hubwire.log import segment_path
from hubwire.stores import MemoryStore
from support.audit import Lines, alter, filled, lines_of, rewrite, work

FIRST_SEGMENT = segment_path("/audit", 0)


async def integrity_fault(store: MemoryStore) -> str:
    found = await examine(store, journal=None)
    assert found.integrity.outcome is Outcome.FAILS
    with pytest.raises(LogDamaged) as damaged:
        await verify(store, journal=None)
    assert str(damaged.value) == found.integrity.faults[0]
    return found.integrity.faults[0]


async def completeness_fault(store: MemoryStore, **arguments: Any) -> str:
    found = await examine(store, **arguments)
    assert found.integrity.outcome is not Outcome.FAILS
    assert found.completeness.outcome is Outcome.FAILS
    assert not found.holds
    with pytest.raises(LogDamaged) as damaged:
        await verify(store, **arguments)
    assert str(damaged.value) == found.completeness.faults[0]
    return found.completeness.faults[0]


async def cut_off(store: MemoryStore, records: int) -> None:
    """Cut records off the end of the log, at the end of a line."""
    lines = (await store.read_bytes(FIRST_SEGMENT) or b"").splitlines(keepends=True)
    await store.write(FIRST_SEGMENT, b"".join(lines[:-records]))


# --- a log that holds -----------------------------------------------------------------------------------------------


async def test_a_closed_log_holds() -> None:
    """Its marker and the journal beside it say where it ends."""
    found = await verify(await filled())
    assert (found.records, found.events, found.first_seq, found.last_seq) == (9, 8, 0, 7)
    assert found.integrity.outcome is found.completeness.outcome is Outcome.HOLDS
    assert found.completeness.looked_at == (
        "the marker beside the log, at 9 records",
        "the journal /journal: 8 events compared",
    )
    assert found.notes == ()


async def test_no_log_is_signed_yet() -> None:
    """That is not known, and said; it is no failure."""
    found = await verify(await filled())
    assert (found.signer.outcome, found.signer.reason) == (Outcome.UNKNOWN, "the log is not signed")
    assert "who wrote the log" in found.signer.not_looked_at[0]


async def test_a_verdict_says_what_it_did_not_see() -> None:
    found = await examine(await filled(), journal=None)
    assert "a head kept elsewhere" in found.integrity.not_looked_at[0]
    assert "the journal of the hub: it was not to be read" in found.completeness.not_looked_at


async def test_without_a_witness_the_end_is_unknown() -> None:
    """Neither marker nor journal say that nothing was cut off."""
    store = await filled()
    await store.delete("/audit/clean")
    found = await verify(store, journal=None)
    assert found.completeness.outcome is Outcome.UNKNOWN
    assert "what came after the last record, if it was cut off" in found.completeness.not_looked_at


async def test_the_journal_alone_vouches_for_the_end() -> None:
    store = await filled()
    await store.delete("/audit/clean")
    found = await verify(store)
    assert found.completeness.reason == "it ends where it should, by the journal beside it"


async def test_a_log_holds_beside_a_hub_at_work() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        assert (await verify(store)).holds


async def test_a_log_of_several_segments_holds() -> None:
    store = await filled(40, rotation=1000)
    found = await verify(store)
    assert found.completeness.outcome is Outcome.HOLDS
    assert int(found.integrity.looked_at[1].split()[4]) > 3


async def test_hand_made_records_hold_after_a_restart() -> None:
    """A session without a hub between two with one changes no promise."""
    store = MemoryStore()
    await work(store)
    by_hand = AuditLog(store)
    await by_hand.append({"kind": "review.done"})
    await by_hand.aclose()
    await work(store)
    found = await by_hand.verify()
    assert found.completeness.outcome is Outcome.HOLDS
    assert not found.completeness.not_looked_at[1:]


# --- the end of the log ---------------------------------------------------------------------------------------------


async def test_an_absent_log_does_not_hold() -> None:
    fault = await completeness_fault(MemoryStore())
    assert fault == "there is no log at /audit; is it the path that the log has?"


async def test_a_log_that_went_away_does_not_hold() -> None:
    """Its marker is still there."""
    store = await filled()
    await store.delete("/audit/log")
    assert "and it had 9 records" in await completeness_fault(store)


async def test_the_marker_tells_that_the_end_is_gone() -> None:
    store = await filled()
    await cut_off(store, 3)
    fault = await completeness_fault(store, journal=None)
    assert fault.startswith("the log /audit had 9 records when its marker was written, and has 6: the end was cut off")


async def test_the_marker_is_compared_with_its_line() -> None:
    store = await filled()
    await alter(store, lambda lines: lines[0][3]["data"].update(number=9))
    clean = await (await filled()).read_bytes("/audit/clean")
    assert clean is not None
    await store.write("/audit/clean", clean)
    assert "but the marker beside the log says" in await integrity_fault(store)


async def test_an_older_marker_is_compared_too() -> None:
    """The log went on behind the line of which it speaks."""
    store = MemoryStore()
    log = AuditLog(store, rotation=1)
    for number in range(3):
        await log.append({"kind": "a.b", "number": number})
    assert (await examine(store)).completeness.outcome is Outcome.UNKNOWN
    clean = await store.read_bytes("/audit/clean") or b""
    await alter(store, lambda lines: lines[0][1].update(number=9))
    await store.write("/audit/clean", clean)
    assert "but the marker beside the log says" in await integrity_fault(store)


async def test_nothing_may_follow_where_a_log_was_closed() -> None:
    """Its writer would have opened it, and said so."""
    store = await filled()
    clean = await store.read_bytes("/audit/clean") or b""
    await store.append(FIRST_SEGMENT, b'{"half a rec')
    assert "closed with 9 records and not opened since, but more is there: a piece" in await integrity_fault(store)
    store = await filled()
    clean = await store.read_bytes("/audit/clean") or b""
    await work(store)
    await store.write("/audit/clean", clean)
    assert "but more is there: 9 records" in await integrity_fault(store)


async def test_a_marker_that_is_none_is_a_fault() -> None:
    store = await filled()
    await store.write("/audit/clean", b"\xff nonsense")
    assert "/audit/clean should say where the log ended" in await integrity_fault(store)


async def test_a_closed_journal_tells_what_is_missing() -> None:
    """Log and marker were cut together."""
    store = await filled()
    await alter(store, lambda lines: lines[0].__delitem__(slice(-2, None)))
    found = await examine(store)
    assert found.completeness.outcome is Outcome.UNKNOWN  # as after a crash: the next start would write them
    assert "the journal holds 2 events more, up to seq 7" in found.notes[0]
    opened = AuditLog(store)
    await opened.append({"kind": "x"})
    await opened.aclose()
    fault = await completeness_fault(store)
    assert "closed at seq 7, the log /audit at seq 5: 2 events that it was to hold are missing" in fault


async def crashed() -> MemoryStore:
    """Return a store with what a process has left that died in the middle of an append."""
    store = MemoryStore()
    log = AuditLog(store)
    await log.append({"kind": "a.b"})
    left = MemoryStore()
    for path in (FIRST_SEGMENT, "/audit/clean"):
        await left.write(path, await store.read_bytes(path) or b"")
    await left.append(FIRST_SEGMENT, b'{"half a rec')
    return left


async def test_a_torn_end_is_noted() -> None:
    found = await verify(await crashed())
    assert found.completeness.outcome is Outcome.UNKNOWN
    (note,) = found.notes
    assert note == "the log ends in 12 bytes of no whole record: an append under way, or one torn off by a crash"


async def test_torn_records_that_the_log_names_are_in_order() -> None:
    store = await crashed()
    log = AuditLog(store)
    await log.append({"kind": "a.b"})
    await log.aclose()
    assert any(".torn-" in name for name in await store.list("/audit/log"))
    assert (await verify(store)).notes == ()
    await store.write("/audit/log/00000000000000000000.jsonl.torn-7", b"x")
    await store.write("/audit/log/notes.txt", b"x")
    notes = (await verify(store)).notes
    assert "no log.recovered says so: 00000000000000000000.jsonl.torn-7" in notes[0]
    assert "no part of a log lie among its segments: notes.txt" in notes[1]


async def test_a_missing_beginning_is_a_fault() -> None:
    store = await filled(40, rotation=1000)
    first, second, *_ = await lines_of(store)
    await store.delete(segment_path("/audit", first))
    fault = await completeness_fault(store)
    assert fault.startswith(f"records 0 to {second - 1} of the log /audit are missing")
    found = await examine(store)
    assert f"the h of record {second}, the first: what it follows is not there" in found.integrity.not_looked_at


# --- what is expected -----------------------------------------------------------------------------------------------


async def test_an_expected_head_holds() -> None:
    """Also when the log went on since."""
    store = await filled()
    head = (await verify(store)).head
    assert Head.parse(str(head)) == head
    assert (await verify(store, expect_head=head)).integrity.not_looked_at == ()
    await work(store)
    found = await verify(store, expect_head=str(head))
    assert found.integrity.not_looked_at == ("whether the records from 9 on were written anew",)


async def test_a_log_written_anew_has_another_head() -> None:
    store = await filled()
    head = (await verify(store)).head
    await alter(store, lambda lines: lines[0][3]["data"].update(number=9))
    assert (await examine(store)).integrity.outcome is Outcome.HOLDS
    found = await examine(store, expect_head=head)
    assert found.integrity.outcome is Outcome.FAILS
    assert f"not {head.h} as expected" in found.integrity.faults[0]


async def test_fewer_records_than_expected_are_a_fault() -> None:
    store = await filled()
    head = (await verify(store)).head
    await alter(store, lambda lines: lines[0].__delitem__(slice(-2, None)))
    for arguments in ({"expect_head": head}, {"expect_records": 9}):
        fault = await completeness_fault(store, journal=None, **arguments)
        assert fault.startswith("the log /audit is expected to have 9 records, and has 7")


async def test_an_expected_number_vouches_for_the_end() -> None:
    store = await filled()
    await store.delete("/audit/clean")
    found = await verify(store, journal=None, expect_records=9)
    assert found.completeness.reason == "it ends where it should, by what you expect"
    assert (await verify(store, journal=None, expect_records=8)).completeness.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "arguments",
    [
        {"expect_head": "9"},
        {"expect_head": "9:short"},
        {"expect_head": "0:kbl9HV54y6NzWGl09cY1Uw"},
        {"expect_head": "9:"},
        {"expect_head": "٩:kbl9HV54y6NzWGl09cY1Uw"},
        {"expect_head": 9},
        {"expect_records": -1},
        {"expect_records": "9"},
        {"expect_records": True},
        {"expect_records": 9.0},
    ],
    ids=str,
)
async def test_what_cannot_be_expected_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        await verify(await filled(), **arguments)


@pytest.mark.parametrize("store", ["./data", None, 5, MemoryStore, b"x"])
async def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(ConfigurationError, match="an audit log is kept on a store"):
        await verify(store)


# --- each check of a record, against a forger who chains the log anew ------------------------------------------------


FORGERIES: dict[str, tuple[Callable[[Lines], object], str]] = {
    "d beyond its index": (lambda lines: lines[0][3].update(d=4), "record 3 of the log /audit has d 4"),
    "d that goes back": (lambda lines: lines[0][5].update(d=0), "record 5 of the log /audit has d 0, after a record"),
    "seq twice": (lambda lines: lines[0][4].update(seq=2), "record 4 of the log /audit has seq 2, after 2"),
    "seq that goes back": (lambda lines: lines[0][4].update(seq=0), "record 4 of the log /audit has seq 0, after 2"),
    "seq that is none": (lambda lines: lines[0][4].update(seq="3"), "has seq '3'"),
    "negative seq": (lambda lines: lines[0][1].update(seq=-1), "has seq -1"),
    "a boolean seq": (lambda lines: lines[0][1].update(seq=False), "has seq False"),
    "another hub": (lambda lines: lines[0][4].update(hub="0" * 32), "is of hub 0000"),
    "no hub": (lambda lines: lines[0][1].pop("hub"), "and hub None"),
    "a record behind log.rotated": (
        lambda lines: lines[0].insert(4, {"kind": "log.rotated", "d": 3, "next_segment": "x"}),
        "record 5 of the log /audit comes after a log.rotated",
    ),
}


@pytest.mark.parametrize(("change", "fault"), FORGERIES.values(), ids=FORGERIES)
async def test_a_chain_made_anew_hides_no_nonsense(change: Callable[[Lines], object], fault: str) -> None:
    store = await filled()
    await alter(store, change)
    assert fault in await integrity_fault(store)


async def test_a_chain_made_anew_passes_by_itself() -> None:
    """That is why the tests above show the other checks."""
    store = await filled()
    await alter(store, lambda lines: None)
    assert (await verify(store)).holds


async def test_a_journal_is_no_audit_log() -> None:
    store = await filled()
    with pytest.raises(LogDamaged, match="has no h; an audit log is chained"):
        await verify(store, "/journal", journal=None)


async def test_a_segment_has_to_be_announced() -> None:
    """The log.rotated at the end of the one before names it."""
    store = await filled(40, rotation=1000)
    lines = await lines_of(store)
    first, second, *_ = lines
    assert lines[first][-1]["next_segment"].endswith(f"{second:020d}.jsonl")

    def rename(lines: Lines) -> None:
        lines[first][-1]["next_segment"] = segment_path("/audit", second + 1)

    await alter(store, rename)
    assert "was not announced by a log.rotated" in await integrity_fault(store)


async def test_log_rotated_has_the_last_seq() -> None:
    store = await filled(40, rotation=1000)
    first = next(iter(await lines_of(store)))
    await alter(store, lambda lines: lines[first][-1].update(last_seq=77))
    assert "says that the last seq was 77" in await integrity_fault(store)


async def test_a_segment_in_the_middle_is_missed() -> None:
    store = await filled(40, rotation=1000)
    _, second, *_ = await lines_of(store)
    await store.delete(segment_path("/audit", second))
    assert f"ends at record {second}, but the next segment begins at" in await integrity_fault(store)


async def test_a_segment_under_another_name_is_found() -> None:
    store = await filled(40, rotation=1000)
    *_, last = await lines_of(store)
    content = await store.read_bytes(segment_path("/audit", last)) or b""
    await store.delete(segment_path("/audit", last))
    await store.write(segment_path("/audit", last + 1), content)
    await integrity_fault(store)


async def test_what_is_read_is_bounded_by_the_damage() -> None:
    """The report says from where on."""
    store = await filled()
    content = await store.read_bytes(FIRST_SEGMENT) or b""
    await store.write(FIRST_SEGMENT, content.replace(b'"number":2', b'"number":7'))
    found = await examine(store)
    assert "record 5 of the log /audit or one before it was changed" in found.integrity.faults[0]
    assert "the records from 5 on, after the damage" in found.integrity.not_looked_at
    assert (found.records, found.completeness.outcome) == (5, Outcome.UNKNOWN)


# --- against the journal --------------------------------------------------------------------------------------------


async def test_another_event_than_the_journals_is_found() -> None:
    store = await filled()
    await alter(store, lambda lines: lines[0][5].update(id="0" * 36))
    found = await examine(store)
    assert found.integrity.outcome is Outcome.FAILS
    assert found.integrity.faults[0].startswith("event 4 is 'even.seen' with id '000")


async def test_another_kind_than_the_journals_is_found() -> None:
    store = await filled()
    await alter(store, lambda lines: lines[0][5].update(kind="even.hidden"))
    assert "event 4 is 'even.hidden'" in (await examine(store)).integrity.faults[0]


async def test_the_journal_of_another_hub_is_not_believed() -> None:
    store, other = await filled(), await filled()
    for name in await other.list("/journal/log"):
        await store.write(f"/journal/log/{name}", await other.read_bytes(f"/journal/log/{name}") or b"")
    found = await examine(store)
    assert found.integrity.outcome is Outcome.HOLDS
    assert "the journal /journal: it is another hub's" in found.completeness.not_looked_at


async def test_a_damaged_journal_does_not_speak() -> None:
    store = await filled()
    name = "/journal/log/00000000000000000000.jsonl"
    content = await store.read_bytes(name) or b""
    await store.write(name, content[:200] + b"\xff" + content[201:])
    found = await examine(store)
    assert found.holds
    assert any("it cannot be read to its end" in each for each in found.completeness.not_looked_at)


async def test_a_log_without_a_journal_holds() -> None:
    store = MemoryStore()
    async with Hub(listeners=[AuditLog(store)]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
    found = await verify(store)
    assert found.completeness.outcome is Outcome.HOLDS
    assert "the journal /journal: there is none" in found.completeness.not_looked_at


async def test_a_report_is_one_value() -> None:
    """Its verdicts are by name, and equal to those of another reading."""
    store = await filled(duty=Duty.DURABLE)
    found: Verification = await verify(store)
    assert list(found.verdicts) == ["integrity", "completeness", "signer"]
    assert found == await examine(store)
    lines = await lines_of(store)
    await rewrite(store, lines)
    assert (await verify(store)).chain == found.chain == found.head.h
