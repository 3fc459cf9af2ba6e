"""Redacted copies that meet the other things done with a log: copied again, reported, tiled, pruned, held, forked."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from test_audit_witnessed_verify import LOG, VKEYS, judged, seen
from test_cli_read import hubwire
from test_cli_report_signed import parts_of, root_of
from test_erasable_copies import SIGNER, lines_of, signed_log

from hubwire import Hub
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import (
    Outcome,
    Retention,
    Rotation,
    examine,
    fork,
    prove,
    redacted_copy,
    signed_part,
    tiles,
)
from hubwire.log import segment_path
from hubwire.proof import Checkpoint, KeySigner, Note
from hubwire.stores import FileStore, MemoryStore
from support.erasable import bytes_of

pytest.importorskip("cryptography")


async def copy_of(store: MemoryStore, **choice: Any) -> MemoryStore:
    copy = MemoryStore()
    await redacted_copy(store, copy, **choice)
    return copy


@pytest.mark.parametrize("withheld", [(2,), (3,), ()])
async def test_a_copy_of_a_copy_proves_what_the_log_does(withheld: tuple[int, ...]) -> None:
    """Also what the first copy has withheld, and the second one withholds again."""
    store = await signed_log()
    first, second = await copy_of(store, opened=["note"], withheld=[2]), MemoryStore()
    done = await redacted_copy(first, second, opened=["note"], withheld=withheld)
    assert (done.withheld_records, done.gone) == (len({2, *withheld}), 0)
    found = await examine(second, vkey=SIGNER.vkey)
    assert (found.holds, found.signer.outcome) == (True, Outcome.HOLDS)
    assert found.withheld_records == done.withheld_records
    for index, line in enumerate(await lines_of(store)):
        (await prove(second, index)).verify(line, SIGNER.vkey)
        await second.delete("/audit/tree")  # the next ones are proved from the records


async def test_what_shows_records_of_a_copy_is_what_shows_them_of_the_log() -> None:
    store = await signed_log()
    of_log, of_copy = [await signed_part(each, [4, 5]) for each in (store, await copy_of(store, withheld=[2]))]
    assert of_log is not None
    assert of_copy is not None
    assert of_copy.hashes == of_log.hashes


async def test_a_copy_that_withholds_records_is_no_source_of_tiles_and_says_why() -> None:
    store = await signed_log()
    whole = [each async for each in tiles(store)]
    assert [each async for each in tiles(await copy_of(store))] == whole
    with pytest.raises(ConfigurationError, match="record 2 is withheld"):
        [each async for each in tiles(await copy_of(store, withheld=[2]))]


async def test_a_copy_has_what_witnesses_have_seen() -> None:
    """Where the newest checkpoint is not witnessed yet, and the one that is was not put aside."""
    store = await seen(20)
    await store.delete(f"/audit/checkpoints/{20:020}")
    for each in (store, await copy_of(store)):
        found = await judged(each, VKEYS[0])
        assert found.signer.outcome is Outcome.HOLDS, found.signer
        assert found.signer.reason.endswith("a witness has seen 20")


async def on_a_hub(log: AuditLog) -> None:
    async with Hub(listeners=[log]):
        pass


CHANGES: dict[str, Callable[[AuditLog], Awaitable[Any]]] = {
    "pruned": lambda log: log.prune(retention=Retention(segments_max=2)),
    "held": lambda log: log.hold("a case"),
    "held beside": lambda log: log.hold_beside("a case"),
    "released": lambda log: log.release("a case"),
    "said again": lambda log: log.say_pruned_again("a case", by="an operator"),
    "signed": lambda log: log.checkpoint(),
    "handed over": lambda log: log.rotate_key(KeySigner.new(SIGNER.vkey.name)),
    "erased in": lambda log: log.erase(records=1, by="dpo", basis="asked"),
    "attached": on_a_hub,
    "forked": lambda log: fork(log._store, signer=KeySigner.new("example.org/other"), reason="lost"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_no_call_changes_a_copy(change: str) -> None:
    copy = await copy_of(await signed_log(20, rotation=Rotation(bytes_max=600)))
    before = await bytes_of(copy)
    log = AuditLog(copy, signer=SIGNER)
    with pytest.raises(ConfigurationError, match="is a redacted copy"):
        await CHANGES[change](log)
    await log.aclose()
    assert await bytes_of(copy) == before


async def test_a_fork_gives_up_what_witnesses_have_seen_of_lost_records() -> None:
    """Else the fork, whole as it is, would be said to have lost its end for good."""
    store, new = await seen(30), KeySigner.new("example.org/hub/audit-2")
    segment = segment_path("/audit", 0)
    lines = (await store.read_bytes(segment) or b"").splitlines(keepends=True)
    await store.write(segment, b"".join(lines[:25]))
    await store.delete("/audit/clean")
    witnessed = await store.read_bytes("/audit/witnessed")
    made = await fork(store, signer=new, reason="the disk was restored")
    assert await store.read_bytes(f"/audit/forks/{new.vkey.id.hex()}/witnessed") == witnessed
    found = await examine(store, vkey=new.vkey, witnesses=VKEYS[:1], expect_checkpoint=made.note)
    assert found.completeness.outcome is Outcome.HOLDS, found.completeness
    assert found.integrity.outcome is Outcome.HOLDS, found.integrity


async def test_a_fork_that_lost_no_record_keeps_what_witnesses_have_seen() -> None:
    store, new = await seen(30), KeySigner.new("example.org/hub/audit-2")
    witnessed = await store.read_bytes("/audit/witnessed")
    await fork(store, signer=new, reason="the key is lost")
    assert await store.read_bytes("/audit/witnessed") == witnessed
    assert LOG.vkey.name.encode() in (witnessed or b"")
    assert (await examine(store, vkey=new.vkey)).holds


@pytest.mark.parametrize("selection", [(), ("--kind", "note.*")])
def test_a_report_of_a_copy_shows_that_its_records_are_in_the_log(tmp_path: Path, selection: tuple[str, ...]) -> None:
    """The page takes the hash of a record that is withheld, and not that of what stands in its place."""

    async def make() -> None:
        copy = FileStore(tmp_path / "copy")
        await redacted_copy(await signed_log(), copy, withheld=[2])
        await copy.aclose()

    anyio.run(make)
    run = hubwire("report", tmp_path / "copy", *selection, "--output", tmp_path / "report.html")
    assert (run.returncode, run.stderr) == (0, "")
    leaves, about = parts_of(tmp_path / "report.html")
    assert (2 in leaves) is not bool(selection)
    checkpoint = Checkpoint.parse(Note.parse(about["signed"]["checkpoint"]).text)
    assert root_of(leaves, checkpoint.size, base64.b64decode(about["signed"]["hashes"])) == checkpoint.root


def test_repair_cuts_no_copy(tmp_path: Path) -> None:
    async def make() -> None:
        copy = FileStore(tmp_path / "copy")
        await redacted_copy(await signed_log(), copy, withheld=[2])
        await copy.aclose()

    anyio.run(make)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    run = hubwire("repair", tmp_path / "copy", "cut", "--log", "/audit", "--at", "4", "--reason", "a try")
    assert run.returncode != 0
    assert "is a redacted copy" in run.stderr
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
