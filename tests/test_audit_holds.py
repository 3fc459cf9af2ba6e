"""Legal holds: as long as there is one, no record goes."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import GenericEvent, Hub, codec
from hubwire.cli import main
from hubwire.errors import HubError, InvalidRecord, NotFound
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Hold, Retention, examine, verify
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of, until
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


async def test_words_of_a_hold_are_redacted() -> None:
    """At rest too, in the log and beside it; a log without a redactor has them as they were said."""
    redactors: tuple[tuple[Any, bool], ...] = (("default", False), (None, True))
    for redactor, kept in redactors:
        store = MemoryStore()
        audit = AuditLog(store, redactor=redactor)
        await audit.append({"text": "x"})
        await audit.hold("as ann@example.org asked", by="bob@example.org")
        await audit.prune(retention=LIMITS, by="eve@example.org", reason="sent to dan@example.org")
        await audit.release("so said ann@example.org", by="bob@example.org")
        await audit.aclose()
        content = b"".join((await files_of(store)).values())
        for name in (b"ann@", b"bob@"):
            assert (name in content) is kept


# --- the command line -----------------------------------------------------------------------------------------------


def hubwire(*arguments: str | Path) -> tuple[int, str, str]:
    """Run the command within this process; return the exit code, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("path", ["/audit", "/audit/acme"])
def test_the_command_holds_and_releases(tmp_path: Path, path: str) -> None:
    """Of a tenant's log, too: it is any log below its path."""

    async def live() -> None:
        audit = AuditLog(FileStore(tmp_path), path=path, rotation=1)
        for number in range(5):
            await audit.append({"number": number})
        await audit.aclose()

    anyio.run(live)
    held = hubwire("hold", tmp_path, "--log", path, "--reason", "case 7", "--name", "seven", "--by", "counsel")
    assert held == (0, f"{path} is held by 'seven': no record of it is pruned until hubwire release\n", "")
    code, out, _ = hubwire("holds", tmp_path, "--log", path)
    assert code == 0
    assert re.fullmatch(r"the hold 'seven', set at \S+ by counsel: case 7\n", out)
    (found,) = json.loads(hubwire("holds", tmp_path, "--log", path, "--json")[1])
    assert (found["name"], found["reason"], found["by"]) == ("seven", "case 7", "counsel")
    code, out, err = hubwire("prune", tmp_path, "--log", path, "--segments", "2")
    assert (code, out) == (1, f"held: {found and out.removeprefix('held: ')}")
    assert "keeps more than was asked for" in err
    code, _, err = hubwire("release", tmp_path, "--log", path, "--reason", "over")
    assert code == 1
    assert "has no hold 'hold'; its holds: 'seven'" in err
    assert hubwire("release", tmp_path, "--log", path, "--reason", "over", "--name", "seven")[0] == 0
    assert hubwire("holds", tmp_path, "--log", path)[1] == f"{path} has no hold on it\n"
    assert hubwire("prune", tmp_path, "--log", path, "--segments", "2")[0] == 0
    assert hubwire("verify", tmp_path, "--log", path)[0] == 0


def test_the_command_releases_no_log_in_use(tmp_path: Path) -> None:
    async def live() -> None:
        async with Hub(FileStore(tmp_path), listeners=[AuditLog(FileStore(tmp_path))]):
            code, _, err = await anyio.to_thread.run_sync(partial(hubwire, "release", tmp_path, "--reason", "case 7"))
            assert code == 1
            assert "call it in that program, await audit.release('case 7')" in err
            assert (await anyio.to_thread.run_sync(partial(hubwire, "holds", tmp_path)))[0] == 0

    anyio.run(live)
    assert hubwire("hold", tmp_path, "--reason", "x", "--log", "/journal")[0] == 2
    assert hubwire("hold", tmp_path, "--reason", "x", "--log", "/nowhere")[0] == 1
    assert hubwire("hold", tmp_path)[0] == 2


async def test_a_pruning_that_fails_is_in_health() -> None:
    """Until one goes well: a log that only grows fills a disk."""
    store = MemoryStore()
    audit = AuditLog(store, rotation=1, retention=LIMITS)
    async with Hub(store, listeners=[audit]) as hub:
        assert hub.health().healthy
        await store.write("/audit/holds", b"no list")
        await hub.emit(GenericEvent(kind="note.taken"))
        await until(lambda: audit.prune_errors > 0)
        (problem,) = hub.health().problems
        assert problem.startswith("listener 'AuditLog' says: cannot prune the log /audit")
        await store.delete("/audit/holds")
        await hub.emit(GenericEvent(kind="note.taken"))
        await until(lambda: audit.problem is None)
        assert hub.health().healthy


@pytest.mark.parametrize("said", [5, "", ["x"], Stranger(), "\ud800", "x" * 5000], ids=range(6))
async def test_what_a_listener_says_of_itself_is_bounded(said: Any) -> None:
    """It is a stranger's: only a text counts, and no more of it than fits."""

    class Says:
        problem = said

        async def on_events(self, _: Any) -> None: ...

    class Raises(Says):
        @property
        def problem(self) -> str:
            raise SystemExit

    hub = Hub()
    hub.attach(Raises())
    hub.attach(Says())
    async with hub:
        problems = hub.health().problems
        assert len(problems) == (type(said) is str and said != "")
        assert all(len(each.encode()) < 2000 for each in problems)


# --- a repair that cuts what was said -------------------------------------------------------------------------------


async def pruned_at(path: Path) -> int:
    """Return which record of the log says that it was pruned."""
    found = [each.index async for each in AuditLog(FileStore(path)).read() if each.fields.get("kind") == "log.pruned"]
    return found[-1]


def test_a_repair_says_again_what_was_pruned(tmp_path: Path) -> None:
    """The record that named the beginning of the log was behind the damage, so verify would call the rest missing."""

    async def live() -> None:
        audit = AuditLog(FileStore(tmp_path), rotation=1)
        for number in range(8):
            await audit.append({"number": number})
        await audit.prune(retention=Retention(segments_max=4))
        await audit.append({"number": 8})
        await audit.aclose()

    anyio.run(live)
    at = anyio.run(pruned_at, tmp_path)
    cut = ("repair", tmp_path, "cut", "--log", "/audit", "--at", str(at), "--reason", "a test")
    assert "would say again in /audit that what is before its first record was pruned" in hubwire(*cut, "--dry-run")[1]
    code, _, err = hubwire(*cut)
    assert (code, err) == (0, "")
    code, out, _ = hubwire("verify", tmp_path)
    assert code == 0, out
    assert "by hubwire repair (the record that said so was cut off)" in out
    assert anyio.run(pruned_at, tmp_path) > at
    assert hubwire("prune", tmp_path, "--segments", "2")[0] == 0
    assert hubwire("verify", tmp_path)[0] == 0


def test_a_repair_of_other_records_says_nothing_again(tmp_path: Path) -> None:
    async def live() -> None:
        audit = AuditLog(FileStore(tmp_path), rotation=1)
        for number in range(8):
            await audit.append({"number": number})
        await audit.prune(retention=Retention(segments_max=4))
        await audit.append({"number": 8})
        await audit.append({"number": 9})
        await audit.aclose()

    anyio.run(live)
    at = anyio.run(pruned_at, tmp_path)
    code, out, _ = hubwire("repair", tmp_path, "cut", "--log", "/audit", "--at", str(at + 1), "--reason", "a test")
    assert (code, "say again" in out) == (0, False)
    assert anyio.run(pruned_at, tmp_path) == at
    assert hubwire("verify", tmp_path)[0] == 0
