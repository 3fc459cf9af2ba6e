"""``hubwire repair`` killed between any two of its writes: the same call finishes it, and no byte is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire.cli import repair as command
from hubwire.cli.inspection import StoreReport, inspect_store
from hubwire.errors import StoreError
from hubwire.listeners import AuditLog
from hubwire.log import list_segments, segment_path
from hubwire.stores import MemoryStore
from support import files_of, store_of, until

Files = dict[str, bytes]
Change = Callable[[MemoryStore], Awaitable[None]]


class Killed(StoreError):
    """The process is gone: it changes the store no more."""


class MortalStore(MemoryStore):
    """A store whose program is killed before its change of this number; then it changes nothing any more."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self.left = changes
        self.is_mortal = False

    def _count(self) -> None:
        if self.is_mortal:
            self.left -= 1
            if self.left < 0:
                raise Killed("killed")

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._count()
        await super().write(path, content, if_absent=if_absent, expect=expect)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        self._count()
        return await super().append(path, content, expect=expect)

    async def delete(self, path: str) -> None:
        self._count()
        await super().delete(path)


class Mirror(BaseHubListener):
    async def on_events(self, events: Sequence[Event]) -> None:
        pass


def hub_on(store: MemoryStore) -> Hub:
    hub = Hub(
        journal=StoreJournal(store, segment_bytes=3000),
        listeners=[AuditLog(store, rotation=3000)],
        snapshot_bytes=3000,
    )
    hub.attach(Mirror(), name="mirror", duty=Duty.DURABLE, since="start")
    return hub


async def work(store: MemoryStore, events: int = 40) -> None:
    async with hub_on(store) as hub:
        for number in range(events):
            await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 100}))
        await hub.flush()
        if events > 1:
            await until(lambda: bool((journal := hub.statistics().journal) and journal.first_seq))


async def change(store: MemoryStore, path: str, content: bytes | None) -> None:
    await store.delete(path)
    if content is not None:
        await store.write(path, content)


async def flip(store: MemoryStore, path: str, at: int) -> None:
    content = bytearray(await store.read_bytes(path) or b"")
    content[at] ^= 1
    await store.write(path, bytes(content))


async def segment(store: MemoryStore, log: str, number: int) -> str:
    return segment_path(log, (await list_segments(store, log))[number])


async def a_bit_of_the_audit_log(store: MemoryStore) -> None:
    await flip(store, await segment(store, "/audit", -2), -80)


async def a_bit_at_the_beginning_of_a_segment(store: MemoryStore) -> None:
    await flip(store, await segment(store, "/audit", -2), 3)


async def a_segment_of_the_audit_log(store: MemoryStore) -> None:
    await store.delete(await segment(store, "/audit", -3))


async def the_end_of_a_segment(store: MemoryStore) -> None:
    """At the end of a line, so that it does not name the next segment any more."""
    path = await segment(store, "/audit", -2)
    lines = (await store.read_bytes(path) or b"").splitlines(keepends=True)
    await store.write(path, b"".join(lines[:-2]))


async def more_behind_a_segment(store: MemoryStore) -> None:
    """The last good record names the next segment, which is to go."""
    await store.append(await segment(store, "/audit", -2), b"\n")


async def the_last_events_of_the_journal(store: MemoryStore) -> None:
    """As much as the newest segment holds, and a part of the one before it."""
    *_, before, last = await list_segments(store, "/journal")
    await store.delete(segment_path("/journal", last))
    lines = (await store.read_bytes(segment_path("/journal", before)) or b"").splitlines(keepends=True)
    await store.write(segment_path("/journal", before), b"".join(lines[:-3]))
    await store.delete("/journal/clean")


async def where_the_journal_begins(store: MemoryStore) -> None:
    """And a part of what was truncated is there still."""
    first = (await list_segments(store, "/journal"))[0]
    line = (await store.read_bytes(segment_path("/journal", first)) or b"").partition(b"\n")[0]
    await store.write(segment_path("/journal", first - 5), line + b"\n")
    await flip(store, "/journal/kept", 12)


async def the_beginning_of_the_journal(store: MemoryStore) -> None:
    await flip(store, await segment(store, "/journal", 0), 300)


async def nothing(store: MemoryStore) -> None:
    pass


REASON = "a bad sector"
CASES: dict[str, tuple[Change, str, str | None, str | None]] = {
    "forget": (nothing, "forget", "mirror", None),
    "accept-loss": (the_last_events_of_the_journal, "accept-loss", None, None),
    "rebuild-marker": (where_the_journal_begins, "rebuild-marker", None, "/journal"),
    "cut": (a_bit_of_the_audit_log, "cut", None, "/audit"),
    "cut between segments": (a_bit_at_the_beginning_of_a_segment, "cut", None, "/audit"),
    "cut at a hole": (a_segment_of_the_audit_log, "cut", None, "/audit"),
    "cut at a short segment": (the_end_of_a_segment, "cut", None, "/audit"),
    "cut behind a segment": (more_behind_a_segment, "cut", None, "/audit"),
    "begin": (the_beginning_of_the_journal, "begin", None, "/journal"),
    "set-aside": (a_bit_of_the_audit_log, "set-aside", None, "/audit"),
}


async def look(store: MemoryStore) -> StoreReport:
    return await inspect_store(store, name="it")


@pytest.fixture
async def whole() -> Files:
    store = MemoryStore()
    await work(store)
    await work(store)
    return await files_of(store)


def missing(before: Files, after: Files) -> list[str]:
    """Return the files of which a line is in no file any more; a log writes its markers anew."""
    there = b"\n".join(after.values())
    return [
        path
        for path, content in before.items()
        if not path.endswith(("/clean", "/kept")) and not all(line in there for line in content.split(b"\n"))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
async def test_a_killed_repair_is_finished_by_the_next(
    whole: Files, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before each of its changes, it is called again, and a hub starts; the record of it is there once."""
    damage, action, listener, log = CASES[name]
    reason = None if action in ("forget", "rebuild-marker") else REASON

    async def run(store: MemoryStore) -> None:
        monkeypatch.setattr(command, "open_target", lambda target: store)
        await command.repair("it", action, listener, log=log, at=None, reason=reason, dry_run=False)

    damaged = await store_of(whole)
    await damage(damaged)
    before, changes, is_killed = await files_of(damaged), 0, True
    assert bool((await look(damaged)).problems) is (action != "forget")
    while is_killed:
        mortal = MortalStore(changes)
        for path, content in before.items():
            await mortal.write(path, content)
        mortal.is_mortal, is_killed = True, False
        try:
            await run(mortal)
        except Killed:
            is_killed = True
        left = await files_of(mortal)
        assert not missing(before, left), f"killed before change {changes}"
        again = await store_of(left)
        if is_killed and left != before:
            assert any(f"the repair {action}" in problem.text for problem in (await look(again)).problems)
        if is_killed:
            await run(again)
        after = await files_of(again)
        assert not missing(before, after), f"killed before change {changes}"
        problems = [problem for problem in (await look(again)).problems if problem.is_in_the_way]
        assert not problems, f"killed before change {changes}"
        for each in () if action == "forget" else (log or "/journal",):
            lines = b"".join(content for path, content in after.items() if path.startswith(f"{each}/log/"))
            assert lines.count(b'"log.repaired"') == 1, f"killed before change {changes}"
        await work(again, 1)
        assert not (await look(again)).problems, f"killed before change {changes}"
        changes += 1
    assert changes > 3
    capsys.readouterr()
