"""Archives: what is pruned is in another store before it goes, and both together are the whole log, with its proofs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from obstore.store import MemoryStore as MemoryService

from hubwire.errors import ConfigurationError, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, Retention, examine, verify
from hubwire.log import segment_path
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, KeySigner
from hubwire.query import query
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.archived import archived
from hubwire.stores.compressed import compressed
from hubwire.stores.object import ObjectStore
from hubwire.testing import ManualClock
from support import files_of, store_of, until
from support.odd import Stranger
from support.pruning import DAILY, DAY, Killed, days_of, firsts, long

FOUR = Retention(segments_max=4)


def store_named(name: str, folder: Path) -> KnowledgeStore:
    if name == "objects":
        return ObjectStore(MemoryService())
    return compressed(FileStore(folder)) if name == "compressed" else FileStore(folder)


@pytest.mark.parametrize("name", ["files", "objects", "compressed"])
async def test_log_and_archive_together_are_the_whole_log(name: str, tmp_path: Path) -> None:
    """Every record, every long one, and a proof of each, by the key."""
    store, archive, clock = store_named(name, tmp_path / "log"), store_named(name, tmp_path / "archive"), ManualClock()
    signer = KeySigner.new("example.org/log")
    audit = await days_of(store, clock, 9, long_each=True, archive=archive, signer=signer, retention=FOUR)
    whole = [{"day": day, "part": 0} if not part else long(f"day {day}") for day in range(9) for part in (0, 1)]
    await audit.prune()
    await audit.checkpoint()
    await audit.aclose()
    assert audit.prune_errors == 0
    assert len(await firsts(store)) == 4
    assert len(await firsts(archive)) > 4
    assert len(await audit.read_all()) < len(whole)
    joined = archived(store, archive)
    everything = AuditLog(joined)
    read = await everything.read_all()
    assert [{key: value for key, value in each.items() if key != "at" or "filling" in each} for each in read] == whole
    found = await examine(joined, vkey=signer.vkey)
    assert found.holds, found
    assert (found.first_record, found.signer.outcome) == (0, Outcome.HOLDS)
    assert found.completeness.outcome is Outcome.HOLDS
    assert not {"kept", "pruned"} & set(await joined.list("/audit"))  # it begins with record 0
    assert not any("were pruned" in each for each in found.integrity.not_looked_at)
    assert "copied to the archive" in found.notes[0]
    for index in (0, 5, found.records - 1):
        proof = await everything.prove(index)
        assert proof.extra is not None
        proof.verify(proof.extra, signer.vkey)
    assert [record.index async for record in query(joined)][:1] == [0]
    live = await examine(store, vkey=signer.vkey)
    assert live.holds
    assert f"archived to {archive!r:.200}" in str(live.pruned)
    await joined.aclose()


async def test_the_archive_alone_is_a_log() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    signer = KeySigner.new("example.org/log")
    audit = await days_of(store, clock, 5, archive=archive, signer=signer)
    await audit.checkpoint()
    for day in range(5, 9):
        clock.advance(DAY)
        await audit.append({"day": day, "part": 0})
    report = await audit.prune(retention=FOUR)
    assert report.is_archived
    assert not (await audit.prune(retention=FOUR)).is_archived  # nothing went
    await audit.aclose()
    found = await examine(archive, vkey=signer.vkey)
    assert found.holds
    assert (found.first_record, found.records, found.signer.outcome) == (0, report.first, Outcome.HOLDS)
    assert "which are not signed yet" in found.signer.not_looked_at[0]  # their checkpoint is over later ones, too
    assert found.completeness.outcome is Outcome.UNKNOWN


async def test_a_dry_run_archives_nothing() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, archive=archive)
    report = await audit.prune(retention=FOUR, dry_run=True)
    await audit.aclose()
    assert (report.segments, report.is_archived, await files_of(archive)) == (5, False, {})


async def test_an_archive_that_comes_later_begins_where_the_log_does() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 8)
    first = (await audit.prune(retention=Retention(segments_max=6))).first
    await audit.aclose()
    again = await days_of(store, clock, 3, archive=archive)
    await again.prune(retention=FOUR)
    await again.aclose()
    found = await examine(archived(store, archive))
    assert found.holds, found
    assert found.first_record == first
    assert found.pruned is not None
    assert found.pruned.archive is None
    assert {"kept", "pruned"} <= set(await archived(store, archive).list("/audit"))
    assert (await archive.read_bytes("/audit/pruned")) is not None


async def test_a_log_without_an_archive_is_as_it_is() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 8)
    await audit.prune(retention=FOUR)
    await audit.aclose()
    assert await examine(archived(store, MemoryStore())) == await examine(store)


# --- a kill, and what fails -----------------------------------------------------------------------------------------


async def test_a_kill_at_any_step_loses_no_record() -> None:
    """Of both stores, in the order of their changes: both together are whole, and the next pruning finishes."""
    clock, states = ManualClock(), []
    store, archive = Killed(), Killed()
    audit = await days_of(store, clock, 7, long_each=True, archive=archive)
    whole = await audit.read_all()
    head = audit.head

    async def changed() -> None:
        states.append((await files_of(store), await files_of(archive)))

    store._changed = archive._changed = changed  # type: ignore[method-assign]
    await audit.prune(retention=FOUR)
    taken, states = list(states), []
    await audit.aclose()
    assert len(taken) > 10
    for number, (files, aside) in enumerate(taken):
        killed, kept = await store_of(files), await store_of(aside)
        found = await examine(archived(killed, kept), expect_head=head)
        assert found.holds, (number, found)
        again = AuditLog(killed, rotation=DAILY, clock=clock, archive=kept)
        await again.append({"after": "the kill"})
        await again.prune(retention=FOUR)
        await again.aclose()
        joined = archived(killed, kept)
        assert (await AuditLog(joined).read_all())[:-1] == whole, number
        assert (await verify(joined, expect_head=head)).first_record == 0
        assert len(await firsts(killed)) == 4, number


class Failing(MemoryStore):
    """An archive that fails, or takes what it is given for something else."""

    def __init__(self, failure: BaseException | None, *, flips: bool = False) -> None:
        super().__init__()
        self.failure = failure
        self.flips = flips

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        if self.failure is not None:
            raise self.failure
        data = content.encode() if isinstance(content, str) else content
        await super().write(path, data[:-9] + b"altered!\n" if self.flips else data, if_absent=if_absent, expect=expect)


@pytest.mark.parametrize("flips", [False, True])
async def test_nothing_goes_that_the_archive_has_not(*, flips: bool) -> None:
    archive = Failing(None if flips else StoreError("the archive is full"), flips=flips)
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, archive=archive)
    before = await firsts(store)
    with pytest.raises(StoreError, match="read back from the archive" if flips else "full"):
        await audit.prune(retention=FOUR)
    assert await firsts(store) == before
    await audit.append({"the log": "goes on"})
    await audit.aclose()
    assert (await verify(store)).first_record == 0


async def test_a_log_that_prunes_itself_says_that_its_archive_fails() -> None:
    archive = Failing(StoreError("the archive is full"))
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, archive=archive, retention=FOUR)
    await until(lambda: bool(audit.prune_errors))
    assert "the archive is full" in (audit.problem or "")
    archive.failure = None
    clock.advance(DAY)
    await audit.append({"day": 10})
    await audit.append({"day": 10})
    await until(lambda: audit.problem is None)
    await audit.aclose()
    assert len(await AuditLog(archived(store, archive)).read_all()) == 20


class Hanging(MemoryStore):
    """An archive that never answers."""

    async def list(self, path: str = "/") -> list[str]:
        await anyio.sleep_forever()
        raise AssertionError


async def test_an_archive_that_hangs_does_not_hold_up_the_closing() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, archive=Hanging())
    failures: list[Exception] = []

    async def prune() -> None:
        try:
            await audit.prune(retention=FOUR)
        except StoreError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prune)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(10):
            await audit.aclose()
    assert "was closed while it was archived" in str(failures[0])
    assert (await verify(store)).first_record == 0


# --- the wrong archive ----------------------------------------------------------------------------------------------


async def test_the_archive_of_another_log_is_refused() -> None:
    clock = ManualClock()
    store, archive = MemoryStore(), MemoryStore()
    other = await days_of(MemoryStore(), clock, 9, archive=archive)
    await other.append({"other": "log"})
    await other.prune(retention=FOUR)
    await other.aclose()
    clock.advance(1)
    audit = await days_of(store, clock, 9, archive=archive)
    before = await files_of(archive)
    with pytest.raises(ConfigurationError, match="archive of another log"):
        await audit.prune(retention=FOUR)
    await audit.aclose()
    assert await files_of(archive) == before
    assert (await verify(store)).first_record == 0


async def test_records_that_lack_between_archive_and_log_are_no_archive() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6, archive=archive)
    await audit.prune(retention=FOUR)
    await audit.aclose()
    without = await days_of(store, clock, 3)
    await without.prune(retention=FOUR)
    await without.aclose()
    again = await days_of(store, clock, 3, archive=archive)
    with pytest.raises(ConfigurationError, match="records lack between them"):
        await again.prune(retention=FOUR)
    await again.aclose()


async def test_a_flipped_bit_in_the_archive_is_found() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, archive=archive)
    await audit.prune(retention=FOUR)
    await audit.aclose()
    file = segment_path("/audit", 0)
    content = bytearray(await archive.read_bytes(file) or b"")
    content[len(content) // 2] ^= 1
    await archive.write(file, bytes(content))
    found = await examine(archived(store, archive))
    assert found.integrity.outcome is Outcome.FAILS
    assert file in found.integrity.faults[0]


async def test_a_segment_missing_in_the_archive_is_found() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, archive=archive)
    await audit.prune(retention=FOUR)
    await audit.aclose()
    for first in (await firsts(archive))[:2]:
        await archive.delete(segment_path("/audit", first))
        assert not (await examine(archived(store, archive))).holds


async def test_an_archive_at_the_place_of_the_log_is_refused(tmp_path: Path) -> None:
    """It would be told that all is there, and then all would be removed."""
    clock = ManualClock()
    audit = await days_of(FileStore(tmp_path), clock, 9, archive=FileStore(tmp_path))
    with pytest.raises(ConfigurationError, match="the store of the log itself"):
        await audit.prune(retention=FOUR)
    await audit.aclose()
    assert (await verify(FileStore(tmp_path))).first_record == 0


@pytest.mark.parametrize("odd", [0, "./archive", b"", object(), Stranger(), MemoryStore, [], True], ids=range(8))
def test_what_is_no_archive_is_refused(odd: Any) -> None:
    with pytest.raises(ConfigurationError, match="archive is a store"):
        AuditLog(MemoryStore(), archive=odd)
    with pytest.raises(ConfigurationError, match="archive is a store"):
        archived(MemoryStore(), odd)
    with pytest.raises(ConfigurationError, match="store is a store"):
        archived(odd, MemoryStore())


def test_a_store_is_not_its_own_archive() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="the store of the log itself"):
        AuditLog(store, archive=store)
    with pytest.raises(ConfigurationError, match="same store"):
        archived(store, store)


async def test_a_store_beside_its_archive_is_only_read() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, archive=archive)
    await audit.prune(retention=FOUR)
    await audit.aclose()
    joined = archived(store, archive)
    before = await files_of(store), await files_of(archive)
    with pytest.raises(StoreError, match="only reads"):
        await AuditLog(joined).append({"no": "record"})
    for call in (joined.write("/a", b""), joined.append("/a", b""), joined.delete("/audit/kept")):
        with pytest.raises(StoreError, match="only reads"):
            await call
    assert (await files_of(store), await files_of(archive)) == before
    assert repr(joined) == f"archived({store!r}, {archive!r})"


async def test_erasable_contents_are_not_archived() -> None:
    """No erasure would reach them there. A log that prunes itself says so, and keeps its records."""
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, erasable=["part"], archive=archive, retention=FOUR)
    before = await firsts(store)
    with pytest.raises(ConfigurationError, match="Erase the contents of what is pruned before"):
        await audit.prune(retention=FOUR)
    await audit.erase(records=range(1, 6), by="dpo", basis="asked")  # of some of them: one is left
    with pytest.raises(ConfigurationError, match="content of 'part' is there"):
        await audit.prune(retention=FOUR)
    assert audit.prune_errors
    assert "part" in str(audit.problem)
    await audit.aclose()
    assert not {path for path in await files_of(archive) if "/log/" in path}
    assert set(before) <= set(await firsts(store))


async def test_records_whose_contents_were_all_erased_are_archived() -> None:
    """And the archive knows why they are gone, also of a page whose other records were archived before."""
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9, erasable=["part"], archive=archive)
    every = [record.index async for record in audit.read() if "part" in record.fields]
    await audit.erase(records=every[:8], by="dpo", basis="asked")
    await audit.prune(retention=Retention(segments_max=7))
    await audit.erase(records=every[8:12], by="dpo", basis="again")
    await audit.prune(retention=FOUR)
    await audit.aclose()
    in_archive = b"".join((await files_of(archive)).values())
    pages = [path for path in await files_of(archive) if "/erasable/" in path]
    assert pages
    assert b'"part":{"$c"' in in_archive
    joined = archived(store, archive)
    found = await examine(joined)
    assert found.holds, found
    assert found.contents is not None
    assert found.contents.missing == 0
    assert found.contents.erased == 12
    read = [record.fields["part"] async for record in AuditLog(joined).read() if "part" in record.fields]
    assert [each["$erased"]["basis"] for each in read[:12]] == ["asked"] * 8 + ["again"] * 4
    assert (await examine(store)).holds
    dead = await examine(archive)
    assert dead.integrity.outcome is not Outcome.UNKNOWN


async def test_a_kill_at_any_step_of_archiving_erased_contents_is_finished() -> None:
    store, archive, clock = Killed(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 7, erasable=["part"], archive=archive)
    every = [record.index async for record in audit.read() if "part" in record.fields]
    await audit.erase(records=every, by="dpo", basis="asked")
    store.states = []
    await audit.prune(retention=FOUR)
    states, store.states = store.states, None
    await audit.aclose()
    copies = await files_of(archive)
    for number, state in enumerate(states):
        killed, at = await store_of(state), await store_of(copies)
        again = AuditLog(killed, archive=at, clock=clock, rotation=DAILY, erasable=["part"])
        await again.prune(retention=FOUR)
        await again.aclose()
        found = await examine(archived(killed, at))
        assert found.holds, (number, found)
        assert found.contents is not None
        assert found.contents.erased == len(every), number


async def test_timestamps_are_archived_with_their_checkpoints() -> None:
    store, archive, clock = MemoryStore(), MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 5, archive=archive, signer=KeySigner.new("example.org/log"))
    size = Checkpoint.parse((await audit.checkpoint()).text).size
    stamp = f"/audit/checkpoints/{size:020}.tsr"
    await store.write(stamp, b"the time of that checkpoint")
    for day in range(5, 9):
        clock.advance(DAY)
        await audit.append({"day": day, "part": 0})
    assert (await audit.prune(retention=FOUR)).first >= size
    await audit.aclose()
    assert await archive.read_bytes(stamp) == b"the time of that checkpoint"
