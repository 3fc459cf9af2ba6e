"""A legal hold that is set while another program has the log open: it counts at once, and the program takes it in."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from test_audit_holds import hubwire

from hubwire import GenericEvent, Hub
from hubwire.errors import ConfigurationError, InvalidRecord, LogDamaged
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, examine, verify
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of, until
from support.odd import Stranger
from support.pruning import DAILY, Killed, days_of, firsts

LIMITS = Retention(segments_max=2)


def beside(store: MemoryStore) -> AuditLog:
    """Another program's, which does not open the log."""
    return AuditLog(store, clock=ManualClock())


async def kinds(audit: AuditLog) -> list[str]:
    found = [record.fields.get("kind", "") async for record in audit.read()]
    return [kind for kind in found if kind in ("log.held", "log.released", "log.pruned")]


async def test_a_hold_beside_an_open_log_holds_at_once_and_is_taken_in() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6)
    assert await beside(store).hold_beside("case 7", name="seven", by="counsel") is None
    (hold,) = await audit.holds()
    assert (hold.name, hold.reason, hold.by) == ("seven", "case 7", "counsel")
    assert (await audit.prune(retention=LIMITS, dry_run=True)).held == (str(hold),)
    assert await kinds(audit) == []
    before = await firsts(store)
    assert (await audit.prune(retention=LIMITS)).held == (str(hold),)
    assert await firsts(store) == before
    assert await kinds(audit) == ["log.held"]
    assert await audit.holds() == (hold,)
    assert not [path for path in await files_of(store) if path.startswith("/audit/held/")]
    await audit.release("it is over", name="seven")
    assert (await audit.prune(retention=LIMITS)).segments == 4
    assert await kinds(audit) == ["log.held", "log.released", "log.pruned"]
    await audit.aclose()
    assert (await examine(store)).holds


async def test_a_log_with_a_retention_heeds_it_by_itself() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, rotation=DAILY, clock=clock, retention=LIMITS)
    await audit.append({"day": 0})
    await beside(store).hold_beside("case 7")
    for day in range(6):
        clock.advance(86_400)
        await audit.append({"day": day})
    await audit.prune()
    await audit.aclose()
    assert len(await firsts(store)) == 7
    assert await kinds(audit) == ["log.held"]
    assert any("is held by 'hold': case 7" in note for note in (await verify(store)).notes)


async def test_a_hold_beside_can_be_released_before_it_is_taken_in() -> None:
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 6)
    await beside(store).hold_beside("case 7")
    await audit.release("it was a mistake")
    assert await audit.holds() == ()
    assert await kinds(audit) == ["log.held", "log.released"]
    assert (await audit.prune(retention=LIMITS)).segments == 4
    await audit.aclose()


async def test_names_are_those_of_one_hold() -> None:
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 2)
    await audit.hold("case 1", name="in the log")
    await beside(store).hold_beside("case 2", name="beside")
    files = await files_of(store)
    for name in ("in the log", "beside"):
        with pytest.raises(InvalidRecord, match=f"has a hold '{name}' already"):
            await beside(store).hold_beside("case 3", name=name)
    assert await files_of(store) == files
    with pytest.raises(InvalidRecord, match="has a hold 'beside' already"):
        await audit.hold("case 4", name="beside")
    assert [hold.name for hold in await audit.holds()] == ["in the log", "beside"]
    await audit.aclose()


async def test_a_kill_while_a_hold_is_taken_in_leaves_it_held() -> None:
    store, clock = Killed(), ManualClock()
    audit = await days_of(store, clock, 6)
    await beside(store).hold_beside("case 7")
    store.states = []
    await audit.prune(retention=LIMITS)
    states = store.states
    assert len(states) == 3
    for state in states:
        killed = await store_of(state)
        again = AuditLog(killed, rotation=DAILY, clock=clock)
        assert [hold.name for hold in await again.holds()] == ["hold"]
        report = await again.prune(retention=LIMITS)
        assert (report.segments, len(report.held)) == (0, 1)
        await again.release("it is over")
        assert (await again.prune(retention=LIMITS)).segments > 0
        await again.aclose()
        assert (await verify(killed)).holds


class Meeting(MemoryStore):
    """A store on which another program sets a hold at a certain change."""

    def __init__(self) -> None:
        super().__init__()
        self.at: tuple[str, str] | None = None
        """Before or after which change."""
        self.first: Any = "not set"

    async def _meet(self, when: str, what: str) -> None:
        if self.at == (when, what):
            self.at = None
            self.first = await beside(self).hold_beside("case 7")

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        await self._meet("before", path)
        await super().write(path, content, if_absent=if_absent, expect=expect)
        await self._meet("after", path)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if b"log.pruned" in (content if isinstance(content, bytes) else content.encode()):
            await self._meet("before", "log.pruned")
        size = await super().append(path, content, expect=expect)
        if b"log.pruned" in (content if isinstance(content, bytes) else content.encode()):
            await self._meet("after", "log.pruned")
        return size

    async def delete(self, path: str) -> None:
        await self._meet("before", "deleting")
        await super().delete(path)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_hold_set_before_the_last_look_ends_a_pruning(when: str) -> None:
    """Nothing has gone, and the next one is held by it."""
    store, clock = Meeting(), ManualClock()
    audit = await days_of(store, clock, 6)
    before = await firsts(store)
    store.at = (when, "/audit/pruned")
    report = await audit.prune(retention=LIMITS)
    assert (report.segments, report.records, report.first) == (0, 0, 0)
    assert report.held[0].endswith(": case 7")
    assert await firsts(store) == before
    assert store.first in (None, before[-2])
    assert (await audit.prune(retention=LIMITS)).held == report.held
    assert await kinds(audit) == ["log.held"]
    await audit.release("it is over")
    assert (await audit.prune(retention=LIMITS)).segments > 0
    await audit.aclose()
    assert (await verify(store)).holds


@pytest.mark.parametrize("at", [("before", "log.pruned"), ("after", "log.pruned"), ("before", "deleting")])
async def test_a_hold_set_after_the_last_look_says_what_it_holds(at: tuple[str, str]) -> None:
    """What the pruning had begun to remove goes; no other record does, now or later."""
    store, clock = Meeting(), ManualClock()
    audit = await days_of(store, clock, 6)
    store.at = at
    report = await audit.prune(retention=LIMITS)
    assert report.segments == 4
    assert store.first == report.first
    for day in range(4):
        clock.advance(86_400)
        await audit.append({"day": day})
    assert (await audit.prune(retention=LIMITS)).held
    assert (await firsts(store))[0] == report.first
    await audit.aclose()
    assert (await examine(store)).holds


async def test_a_damaged_hold_beside_lets_no_record_go() -> None:
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 6)
    await beside(store).hold_beside("case 7")
    (path,) = [path for path in await files_of(store) if path.startswith("/audit/held/")]
    content = (await store.read_bytes(path)) or b""
    before = await firsts(store)
    for damaged in (b"", b"no hold", content.replace(b"case 7", b"case 8"), content[:-9]):
        await store.write(path, damaged)
        for call in (partial(audit.prune, retention=LIMITS), audit.holds, partial(audit.release, "x")):
            with pytest.raises(LogDamaged, match=rf"{path} says what holds the log, and is damaged"):
                await call()
    await store.write(path, content)
    await store.write("/audit/held/notes.txt", "not one of ours")
    assert [hold.reason for hold in await audit.holds()] == ["case 7"]
    assert await firsts(store) == before
    await audit.aclose()


@pytest.mark.parametrize("word", [5, None, "", Stranger(), "\ud800", b"x", "x" * 100_000], ids=range(7))
async def test_odd_words_are_refused_and_change_nothing(word: Any) -> None:
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 1)
    files = await files_of(store)
    for arguments in ({"reason": word}, {"reason": "x", "name": word}):
        with pytest.raises((ConfigurationError, InvalidRecord), match=r"hold_beside\(\): (reason|name)"):
            await beside(store).hold_beside(**arguments)
    assert await files_of(store) == files
    await audit.aclose()


async def test_many_names_and_odd_ones_are_holds() -> None:
    store = MemoryStore()
    names = ["../../x", "a/b", "@", ".", "ünï 🦔", "x" * 200, *map(str, range(100))]
    for name in names:
        await beside(store).hold_beside("as ann@example.org asked", name=name)
    audit = await days_of(store, ManualClock(), 3)
    assert sorted(hold.name for hold in await audit.holds()) == sorted(names)
    await audit.prune(retention=LIMITS)
    assert len(await kinds(audit)) == len(names)
    assert sorted(hold.name for hold in await audit.holds()) == sorted(names)
    await audit.aclose()
    assert b"ann@" not in b"".join((await files_of(store)).values())


def test_the_command_holds_a_log_beside_a_hub(tmp_path: Path) -> None:
    async def run(*arguments: str) -> tuple[int, str, str]:
        return await anyio.to_thread.run_sync(partial(hubwire, *arguments))

    async def live() -> None:
        audit = AuditLog(FileStore(tmp_path), rotation=1, retention=LIMITS)
        async with Hub(FileStore(tmp_path), listeners=[audit]) as hub:
            code, out, err = await run("hold", str(tmp_path), "--reason", "case 7", "--by", "counsel")
            assert (code, err) == (0, "")
            assert out == (
                "/audit is held by 'hold': no record of it is pruned until it is released\n"
                "a program has the log open: it writes log.held when it prunes next\n"
            )
            code, _, err = await run("hold", str(tmp_path), "--reason", "case 8")
            assert code == 1
            assert "has a hold 'hold' already; give this one another name" in err
            assert "by counsel: case 7" in (await run("holds", str(tmp_path)))[1]
            code, _, err = await run("release", str(tmp_path), "--reason", "over")
            assert code == 1
            assert "call it in that program, await audit.release('over')" in err
            for number in range(6):
                await hub.emit(GenericEvent(kind="note.taken", data={"number": number}))
            await audit.prune()
            await until(lambda: audit.problem is None)
            assert "log.held" in await kinds(audit)
            assert "log.pruned" not in await kinds(audit)

    anyio.run(live)
    assert hubwire("release", tmp_path, "--reason", "over")[0] == 0
    assert hubwire("prune", tmp_path, "--segments", "2")[0] == 0
    assert hubwire("verify", tmp_path)[0] == 0
