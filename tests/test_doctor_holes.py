"""What is missing before the end: holes in an audit log, a journal whose beginning is damaged, what was truncated."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Sequence

import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, Limits, StoreJournal
from hubwire.cli import repair as command
from hubwire.cli.inspection import StoreReport, inspect_store
from hubwire.errors import HubError
from hubwire.listeners import AuditLog
from hubwire.log import list_segments, segment_path
from hubwire.stores import MemoryStore
from support import files_of, store_of

Files = dict[str, bytes]


class Mirror(BaseHubListener):
    async def on_events(self, events: Sequence[Event]) -> None:
        pass


def hub_on(store: MemoryStore, duty: Duty = Duty.REQUIRED) -> Hub:
    limits = Limits(snapshot_bytes=3000, history_bytes_max=0)
    hub = Hub(journal=StoreJournal(store, segment_bytes=3000), limits=limits)
    hub.attach(AuditLog(store, rotation=3000), duty=duty)
    hub.attach(Mirror(), name="mirror", duty=Duty.DURABLE, since="start")
    return hub


async def work(store: MemoryStore, duty: Duty = Duty.REQUIRED, events: int = 60) -> None:
    async with hub_on(store, duty) as hub:
        for number in range(events):
            await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 100}))
        await hub.flush()
        while events > 2 and not ((journal := hub.statistics().journal) and journal.first_seq > 20):
            # Truncation follows snapshots, and these follow events, at the pace of the machine.
            await hub.emit(GenericEvent(kind="work.done", data={"number": -1, "pad": "x" * 100}))
            await hub.flush()
            await asyncio.sleep(0.01)


async def refusal(store: MemoryStore, duty: Duty = Duty.REQUIRED) -> HubError | None:
    try:
        await work(store, duty, 1)
    except HubError as error:
        return error
    return None


async def look(store: MemoryStore) -> StoreReport:
    return await inspect_store(store, name="it")


async def flip(store: MemoryStore, path: str, at: int) -> None:
    content = bytearray(await store.read_bytes(path) or b"")
    content[at] ^= 1
    await store.write(path, bytes(content))


class Repair:
    """Carries out a command as doctor prints it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    async def __call__(self, store: MemoryStore, advice: str) -> None:
        match = re.search(r"hubwire repair it (.*) --dry-run", advice)
        assert match is not None, advice
        action, *options = shlex.split(match[1])
        given = dict(zip(options[::2], options[1::2], strict=True))
        self._monkeypatch.setattr(command, "open_target", lambda target: store)
        log, reason = given.get("--log"), given.get("--reason")
        await command.repair("it", action, None, log=log, at=None, reason=reason, dry_run=False)


@pytest.fixture
def repair(monkeypatch: pytest.MonkeyPatch) -> Repair:
    return Repair(monkeypatch)


async def behind(duty: Duty) -> MemoryStore:
    """Return a store whose audit log ends before the journal begins: it was brought back from an older copy."""
    store = MemoryStore()
    await work(store, duty, 2)
    older = {path: content for path, content in (await files_of(store)).items() if path.startswith("/audit/")}
    await work(store, duty)
    left = {path: content for path, content in (await files_of(store)).items() if not path.startswith("/audit/")}
    return await store_of(left | older)


# --- a hole between an audit log and the journal ----------------------------------------------------------------------


@pytest.mark.slow
async def test_a_hole_after_a_required_log_is_in_the_way(repair: Repair) -> None:
    """No hub starts, nothing is changed, and what doctor advises lets one start."""
    store = await behind(Duty.REQUIRED)
    before = await files_of(store)
    (problem,) = [problem for problem in (await look(store)).problems if problem.is_in_the_way]
    assert "those between are lost to the log" in problem.text
    assert "/audit" in problem.text
    assert await refusal(store) is not None
    assert await files_of(store) == before
    await repair(store, problem.advice)
    assert not [problem for problem in (await look(store)).problems if problem.is_in_the_way]
    # Before a hub starts: that truncates what it does not need any more.
    there = b"\n".join((await files_of(store)).values())
    assert all(line in there for path, each in before.items() if path.endswith(".jsonl") for line in each.split(b"\n"))
    assert await refusal(store) is None


@pytest.mark.slow
async def test_a_hole_after_a_durable_log_is_named() -> None:
    """A hub starts, and the listener waits for who lets it go on."""
    store = await behind(Duty.DURABLE)
    texts = [problem.text for problem in (await look(store)).problems if not problem.is_in_the_way]
    assert any("those between are lost to the log" in text for text in texts)
    assert not [problem for problem in (await look(store)).problems if problem.is_in_the_way]
    assert await refusal(store, Duty.DURABLE) is None


@pytest.mark.slow
async def test_what_a_best_effort_log_has_missed_is_no_hole() -> None:
    store = await behind(Duty.BEST_EFFORT)
    assert not (await look(store)).problems
    assert await refusal(store, Duty.BEST_EFFORT) is None


@pytest.mark.slow
async def test_a_log_that_the_journal_goes_on_from_has_no_hole() -> None:
    """The journal begins with the event after the last one of the log, or before."""
    store = MemoryStore()
    await work(store)
    assert not (await look(store)).problems


# --- a journal whose beginning is damaged -----------------------------------------------------------------------------


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    await work(store)
    await work(store)
    return store


@pytest.mark.slow
async def test_a_journal_begins_behind_its_damage(store: MemoryStore, repair: Repair) -> None:
    """The state comes from a snapshot, and what was before the damage is in /lost."""
    first, second, *_ = await list_segments(store, "/journal")
    await flip(store, segment_path("/journal", first), 200)
    damaged = await store.read_bytes(segment_path("/journal", first))
    (problem,) = (await look(store)).problems
    assert f"let the journal begin behind the damage, at event {second - 1}" in problem.advice or "at event" in (
        problem.advice
    )
    await repair(store, problem.advice)
    assert (await list_segments(store, "/journal"))[0] == second
    assert damaged in (await files_of(store)).values()
    assert await refusal(store) is None
    assert await refusal(store) is None
    assert not [problem for problem in (await look(store)).problems if problem.is_in_the_way]


@pytest.mark.slow
async def test_a_journal_without_a_snapshot_does_not_begin_later(store: MemoryStore) -> None:
    first = (await list_segments(store, "/journal"))[0]
    await flip(store, segment_path("/journal", first), 200)
    await store.delete("/journal/snapshots")
    (problem,) = (await look(store)).problems
    assert "no repair helps" in problem.advice


# --- what was truncated, and what a crash has left of it --------------------------------------------------------------


async def with_leftover(store: MemoryStore, leftover: bytes) -> tuple[int, str]:
    """Add what a crash left of a segment that was truncated; return where the journal begins, and the path."""
    first = (await list_segments(store, "/journal"))[0]
    path = segment_path("/journal", first - 5)
    await store.write(path, leftover)
    return first, path


@pytest.mark.slow
async def test_markers_are_rebuilt_from_where_kept_says(store: MemoryStore, repair: Repair) -> None:
    """What was truncated does not come back, only because another marker is damaged."""
    first, leftover = await with_leftover(store, b'{"half')
    await store.write("/journal/clean", b"{}")
    await repair(store, "hubwire repair it rebuild-marker --log /journal --dry-run")
    assert (await list_segments(store, "/journal"))[0] == first
    assert any(path.endswith(f"{leftover}.lost") for path in await files_of(store))
    assert not (await look(store)).problems
    assert await refusal(store) is None


@pytest.mark.slow
async def test_markers_are_rebuilt_from_segments_that_lead_to_the_end(store: MemoryStore, repair: Repair) -> None:
    """Where kept is damaged, what is left of a truncated segment is set aside: it names no next one."""
    first, leftover = await with_leftover(store, b'{"half')
    await flip(store, "/journal/kept", 12)
    (problem,) = [problem for problem in (await look(store)).problems if problem.is_in_the_way]
    await repair(store, problem.advice)
    assert (await list_segments(store, "/journal"))[0] == first
    assert any(path.endswith(f"{leftover}.lost") for path in await files_of(store))
    assert await refusal(store) is None


@pytest.mark.slow
async def test_a_whole_leftover_belongs_to_the_journal_again(repair: Repair) -> None:
    """Where kept is damaged, a segment that names the oldest one of the log is history like the others."""
    store = MemoryStore()
    await work(store)
    former = await files_of(store)
    whole: list[str] = []
    while not whole:  # truncation comes at the pace of the machine
        await work(store)
        first = (await list_segments(store, "/journal"))[0]
        whole = [path for path in former if path.startswith("/journal/log/") and int(path[-26:-6]) < first]
    for path in whole:
        await store.write(path, former[path])
    last = max(whole)
    if not former[last].splitlines()[-1].count(b'"log.rotated"'):
        await store.delete(last)
    await flip(store, "/journal/kept", 12)
    (problem,) = [problem for problem in (await look(store)).problems if problem.is_in_the_way]
    await repair(store, problem.advice)
    assert await refusal(store) is None
    assert not (await look(store)).problems
