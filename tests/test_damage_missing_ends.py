"""The end of a journal is missing, alone or with what else tells of it: refused and named, or said not to be known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire.cli.inspection import StoreReport, inspect_store
from hubwire.errors import HubError
from hubwire.listeners import AuditLog
from hubwire.log import list_segments, segment_path
from hubwire.stores import Durability, MemoryStore
from support import files_of, until

Files = dict[str, bytes]
MARKERS = ("as it was", "missing", "damaged", "older")


class SyncedStore(MemoryStore):
    """It loses nothing when the power is lost."""

    durability = Durability.FSYNC


async def store_of(content: Files) -> SyncedStore:
    store = SyncedStore()
    for path, each in content.items():
        await store.write(path, each)
    return store


class Mirror(BaseHubListener):
    async def on_events(self, events: Sequence[Event]) -> None:
        pass


def hub_on(store: MemoryStore, *, is_audited: bool, is_whole: bool = False) -> Hub:
    """A hub whose journal is truncated, or ``is_whole``."""
    hub = Hub(journal=StoreJournal(store, segment_bytes=3000), snapshot_bytes=10**8 if is_whole else 3000)
    if is_audited:
        hub.attach(AuditLog(store))
    hub.attach(Mirror(), name="mirror", duty=Duty.DURABLE, since="start")
    return hub


async def work(store: MemoryStore, *, is_audited: bool, is_whole: bool) -> None:
    async with hub_on(store, is_audited=is_audited, is_whole=is_whole) as hub:
        for number in range(60):
            await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 100}))
        await hub.flush()
        await until(lambda: is_whole or bool((journal := hub.statistics().journal) and journal.first_seq))


async def left_behind(*, is_audited: bool, is_whole: bool = False) -> tuple[Files, bytes]:
    """Return the files of a store, and the marker of its journal as it was a life before."""
    store = MemoryStore()
    await work(store, is_audited=is_audited, is_whole=is_whole)
    older = await store.read_bytes("/journal/clean") or b""
    await work(store, is_audited=is_audited, is_whole=is_whole)
    return await files_of(store), older


async def look(store: MemoryStore) -> StoreReport:
    return await inspect_store(store, name="it")


async def refusal(store: MemoryStore, *, is_audited: bool) -> HubError | None:
    try:
        async with hub_on(store, is_audited=is_audited):
            return None
    except HubError as error:
        return error


async def without(files: Files, older: bytes, *, marker: str, beside: bool, snapshots: bool) -> MemoryStore:
    """Return a store in which the marker is like this, and these folders are missing."""
    gone = [*["/journal/beside/"] * (not beside), *["/journal/snapshots/"] * (not snapshots)]
    left = {path: content for path, content in files.items() if not path.startswith(tuple(gone))} if gone else {**files}
    if marker == "missing":
        del left["/journal/clean"]
    elif marker == "damaged":
        left["/journal/clean"] = left["/journal/clean"].replace(b'"size":', b'"sizf":')
    elif marker == "older":
        left["/journal/clean"] = older
    return await store_of(left)


@pytest.mark.slow
@pytest.mark.parametrize("is_audited", [True, False], ids=["audited", "alone"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "truncated"])
async def test_a_missing_last_segment_is_never_silent(is_audited: bool, is_whole: bool) -> None:
    """Whatever else is missing or damaged: the segment before it names it, or the journal begins with it.

    If all is missing that tells of a journal, there is none.
    """
    files, older = await left_behind(is_audited=is_audited, is_whole=is_whole)
    for marker, beside, snapshots, count in product(MARKERS, (True, False), (True, False), (1, 2, 99)):
        store = await without(files, older, marker=marker, beside=beside, snapshots=snapshots)
        segments = await list_segments(store, "/journal")
        assert len(segments) > 2
        for first in segments[-count:]:
            await store.delete(segment_path("/journal", first))
        before = await files_of(store)
        if not before:
            continue
        what = f"{count} segments, marker {marker}, beside {beside}, snapshots {snapshots}"
        report = await look(store)
        is_named = any(problem.is_in_the_way and "/journal" in problem.text for problem in report.problems)
        assert is_named or any("there is no journal beside /audit" in note for note in report.notes), what
        assert await refusal(store, is_audited=is_audited) is not None, what
        assert await files_of(store) == before, what


@pytest.mark.parametrize("marker", MARKERS)
async def test_lost_records_are_not_known_without_any_witness(marker: str) -> None:
    """Records cut off at the end of a line leave no trace in what is left: doctor says that it does not know."""
    files, older = await left_behind(is_audited=False, is_whole=True)
    store = await without(files, older, marker=marker, beside=False, snapshots=True)
    path = segment_path("/journal", (await list_segments(store, "/journal"))[-1])
    lines = (await store.read_bytes(path) or b"").splitlines(keepends=True)
    await store.write(path, b"".join(lines[:-1]))
    report = await look(store)
    if marker == "as it was":
        assert path in report.problems[0].text
        assert await refusal(store, is_audited=False) is not None
    else:
        assert not report.problems
        assert any("were cut off" in note and "is not known" in note for note in report.notes)
        assert await refusal(store, is_audited=False) is None


@pytest.mark.slow
async def test_a_segment_that_was_not_begun_is_no_loss() -> None:
    """A crash between two segments: the marker speaks of the one before."""
    files, _ = await left_behind(is_audited=False)
    store = await store_of(files)
    async with hub_on(store, is_audited=False) as hub:
        before: list[int] = []
        marker = b""
        while len(before) < 2 or len(await list_segments(store, "/journal")) == len(before):
            before, marker = await list_segments(store, "/journal"), await store.read_bytes("/journal/clean") or b""
            await hub.emit(GenericEvent(kind="work.done", data={"pad": "x" * 300}))
    crashed = await store_of(await files_of(store))
    for first in (await list_segments(crashed, "/journal"))[len(before) :]:
        await crashed.delete(segment_path("/journal", first))
    await crashed.write("/journal/clean", marker)
    await crashed.delete("/journal/beside")
    assert not [problem for problem in (await look(crashed)).problems if problem.is_in_the_way]


@pytest.mark.slow
async def test_an_emptied_journal_is_not_well_beside_its_audit_log() -> None:
    """Not when its markers are as empty as it is: a hub is refused there, and no repair brings the events back."""
    files, _ = await left_behind(is_audited=True)
    store = await without(files, b"", marker="missing", beside=False, snapshots=False)
    for path in await files_of(store):
        if path.startswith("/journal/"):
            await store.delete(path)
    await store.write(segment_path("/journal", 0), b"")
    await store.write("/journal/beside/other", b"")
    report = await look(store)
    assert any(each.is_in_the_way and "no repair helps" in each.advice for each in report.problems), report
    assert await refusal(store, is_audited=True) is not None
