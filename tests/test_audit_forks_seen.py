"""A log that was restored from a copy, checkpoints and all: its witness knows more, and so do a fork and a verifier."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import anyio
import pytest

from hubwire.cli import main
from hubwire.errors import LogRolledBack, NotWitnessed
from hubwire.listeners.audit import AuditLog, Outcome, examine, fork
from hubwire.ports import KnowledgeStore
from hubwire.proof import KeySigner, StoreWitness, WitnessPolicy
from hubwire.stores import FileStore, MemoryStore
from support import files_of, until

pytest.importorskip("cryptography")

OLD, NEW, NEWER = (KeySigner.new(f"example.org/hub/audit{end}") for end in ("", "-2", "-3"))


def policy(witness: StoreWitness) -> WitnessPolicy:
    return WitnessPolicy([witness], interval_seconds=0.0, grace_seconds=0.0)


async def restored(store: KnowledgeStore) -> None:
    """Put a log on a store that was restored from an older copy, and has gone on: its witness has seen another."""
    first, witness = MemoryStore(), StoreWitness(MemoryStore(), name="the notary")
    audit = AuditLog(first, signer=OLD, witnesses=policy(witness))
    await audit.append_many([{"kind": "work.done", "number": number} for number in range(5)])
    await audit.witnessed()
    await audit.aclose()
    old = await files_of(first)
    audit = AuditLog(first, signer=OLD, witnesses=policy(witness))
    await audit.append_many([{"kind": "work.done", "number": number} for number in range(20)])
    await audit.witnessed()
    await audit.aclose()
    for path, content in old.items():
        await store.write(path, content)
    audit = AuditLog(store, signer=OLD, witnesses=policy(witness))
    await audit.append({"kind": "work.done", "number": 99})
    with pytest.raises((LogRolledBack, NotWitnessed)):
        await audit.witnessed(seconds=30)
    await until(lambda: audit.witness_errors > 0)
    await audit.aclose()


async def test_a_fork_knows_of_records_that_a_witness_has_seen() -> None:
    store = MemoryStore()
    await restored(store)
    would = await fork(store, signer=NEW, reason="restored", dry_run=True)
    made = await fork(store, signer=NEW, reason="restored")
    assert made.is_continuous
    assert made.seen is not None
    assert made.seen == would.seen
    assert made.seen.name == "the notary"
    assert made.seen.size >= 27
    found = await examine(store, vkey=NEW.vkey)
    assert found.completeness.outcome is Outcome.FAILS
    assert "the witness the notary has seen" in found.completeness.faults[0]
    assert (await fork(store, signer=NEW, reason="restored")).seen == made.seen
    audit = AuditLog(store, signer=NEW)
    await audit.append({"kind": "work.done"})
    since = await audit.checkpoint()
    await audit.aclose()
    found = await examine(store, vkey=NEW.vkey, expect_checkpoint=since)
    assert found.holds, found
    later = await fork(store, signer=NEWER, reason="the key was lost")
    assert later.seen is None
    assert later.is_continuous


def test_the_command_says_what_is_lost(tmp_path: Path) -> None:
    async def make() -> None:
        store = FileStore(tmp_path / "store")
        await restored(store)
        await store.aclose()

    anyio.run(make)
    NEW.to_file(tmp_path / "new.key")
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(["log", "fork", str(tmp_path / "store"), "--key", str(tmp_path / "new.key"), "--reason", "restored"])
    assert end.value.code == 0, err.getvalue()
    assert "all of them are there, but records that came after are lost: the witness the notary has seen" in (
        out.getvalue()
    )
