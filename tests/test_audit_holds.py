"""Legal holds: as long as there is one, no record goes."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import codec
from hubwire.errors import HubError, InvalidRecord, NotFound
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Hold, Retention, examine, verify
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of
from support.odd import Stranger
from support.pruning import DAILY, Killed, days_of, firsts

LIMITS = Retention(segments_max=2)


async def test_a_held_log_is_not_pruned() -> None:
    """It says by what it is held; released, it goes on."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6)
    await audit.hold("case 7", by="counsel")
    await audit.hold("an inquiry", name="second")
    before = await firsts(store)
    for dry_run in (True, False):
        report = await audit.prune(retention=LIMITS, dry_run=dry_run)
        assert (report.segments, report.records) == (0, 0)
        assert [text.partition(", set at ")[0] for text in report.held] == ["the hold 'hold'", "the hold 'second'"]
        assert report.held[0].endswith(" by counsel: case 7")
    assert await firsts(store) == before
    await audit.release("the case is closed")
    assert (await audit.prune(retention=LIMITS)).segments == 0
    assert await audit.holds() == (Hold(name="second", reason="an inquiry", by=None, at="2026-01-06T00:00:00.000000Z"),)
    await audit.release("the inquiry is over", name="second", by="counsel")
    assert (await audit.prune(retention=LIMITS)).segments == 4
    assert await audit.holds() == ()
    await audit.aclose()
    found = await verify(store)
    assert not any("is held" in note for note in found.notes)


async def test_a_hold_holds_over_restarts_and_for_other_programs() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6)
    await audit.hold("case 7")
    await audit.aclose()
    again = AuditLog(store, rotation=DAILY, clock=clock, retention=LIMITS)
    await again.append({"n": 0})
    assert "case 7" in (await again.prune()).held[0]
    await again.aclose()
    assert len(await firsts(store)) == 6
    assert any("is held by 'hold': case 7" in note for note in (await verify(store)).notes)


async def test_a_log_with_nothing_to_prune_is_not_said_to_be_held() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    await audit.hold("case 7")
    assert (await audit.prune(retention=LIMITS)).held == ()
    await audit.aclose()


@pytest.mark.parametrize("is_release", [False, True])
async def test_a_kill_while_holding_or_releasing_holds_too_long_at_most(*, is_release: bool) -> None:
    """A hold whose call has returned holds; one whose release has not may hold still, and can be released again."""
    store, clock = Killed(), ManualClock()
    audit = await days_of(store, clock, 6)
    if is_release:
        await audit.hold("case 7")
    store.states = []
    await (audit.release("it is over") if is_release else audit.hold("case 7"))
    states = store.states
    assert len(states) == 2
    for number, state in enumerate(states):
        killed = await store_of(state)
        again = AuditLog(killed, rotation=DAILY, clock=clock)
        held = (await again.prune(retention=LIMITS)).held
        assert bool(held) is (not is_release or number == 0)
        if held:
            await again.release("it is over")
        await again.prune(retention=LIMITS)
        await again.aclose()
        assert len(await firsts(killed)) == 2
        assert (await verify(killed)).holds


async def test_a_pruning_of_a_held_log_is_found() -> None:
    """By who reads the log: a program that took the file `holds` away has left the records."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 4)
    await audit.hold("case 7")
    await store.delete("/audit/holds")
    await audit.prune(retention=LIMITS)
    await audit.aclose()
    found = await examine(store)
    assert not found.holds
    assert "while the hold 'hold' was on it: case 7" in found.completeness.faults[0]


async def test_names_are_those_of_one_hold() -> None:
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 2)
    await audit.hold("case 7", name="seven")
    files = await files_of(store)
    with pytest.raises(InvalidRecord, match="has a hold 'seven' already"):
        await audit.hold("case 8", name="seven")
    with pytest.raises(NotFound, match=r"has no hold 'eight'; its holds: 'seven'"):
        await audit.release("it is over", name="eight")
    assert await files_of(store) == files
    await audit.aclose()


@pytest.mark.parametrize("call", ["hold", "release"])
@pytest.mark.parametrize("wrong", [None, 5, "", "x" * 1001, "\ud800", Stranger(), b"text"])
@pytest.mark.parametrize("argument", ["reason", "name", "by"])
async def test_no_other_words_are_taken(call: str, wrong: Any, argument: str) -> None:
    """A refused call changes nothing."""
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 2)
    await audit.hold("case 7")
    files = await files_of(store)
    if (argument, wrong) != ("by", None):
        with pytest.raises(HubError, match=rf"{call}\(\): {argument} is text"):
            await getattr(audit, call)(**{"reason": "it is over", argument: wrong})
        assert await files_of(store) == files
    await audit.aclose()


@pytest.mark.parametrize("words", ['"}\n{"kind":"log.released"', "\u2028\x85\x7f", "'; DROP TABLE", "x" * 1000])
async def test_hostile_words_are_words(words: str) -> None:
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 2)
    await audit.hold(words, name=words, by=words)
    await audit.aclose()
    assert [(hold.name, hold.reason, hold.by) for hold in await AuditLog(store).holds()] == [(words, words, words)]
    await audit.release(words, name=words, by=words)
    await audit.aclose()
    assert (await verify(store)).holds
    fields = [codec.decode_fields(codec.encode_fields(each.fields)) async for each in audit.read()]
    assert [each["hold"] for each in fields if each.get("kind") in ("log.held", "log.released")] == [words, words]
