"""Signing while something else fails: kills between two writes, other writers, signers that hang, full disks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from hubwire.errors import ConfigurationError, Fenced, HubError, SigningFailed, StoreFull
from hubwire.listeners.audit import AuditLog, Outcome, Verification, examine
from hubwire.proof import (
    Checkpoint,
    KeySigner,
    Note,
    NoteSignature,
    SigningRequest,
    Tree,
    TreeHashes,
    WitnessKey,
    leaf_hash,
)
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import until
from support.killed import files_of, store_with

pytest.importorskip("cryptography")

FIRST = "/audit/log/00000000000000000000.jsonl"
NEWEST = "/audit/checkpoint"


@pytest.fixture(scope="module")
def key() -> KeySigner:
    return KeySigner.new("example.org/hub/audit")


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


async def tree_of(store: MemoryStore, size: int) -> Tree:
    tree = Tree()
    lines = (await store.read_bytes(FIRST) or b"").split(b"\n")[:-1]
    tree.extend([leaf_hash(line) for line in lines[:size]])
    return tree


def newest_of(files: dict[str, bytes]) -> Checkpoint:
    return Checkpoint.parse(Note.parse(files[NEWEST]).text)


async def test_a_kill_between_any_two_writes_leaves_no_other_history(key: KeySigner) -> None:
    """Every checkpoint that was ever stored is one of the log that the next process goes on with."""
    stored: list[Checkpoint] = []
    for at in range(200):
        store = await store_with({})
        store.writes_left = at
        audit = AuditLog(store, signer=key, checkpoint_seconds=600.0)
        try:
            for number in range(3):
                await audit.append({"kind": "work.done", "number": number})
                await audit.checkpoint()
            await audit.aclose()
        except Exception:  # noqa: BLE001, S110 - of whatever was under way
            pass
        is_done = not store.is_killed
        files = await files_of(store)
        stored = [newest_of(files)] if NEWEST in files else []
        again = await store_with(files)
        audit = AuditLog(again, signer=key, checkpoint_seconds=600.0)
        await audit.append({"kind": "work.done", "number": 99})
        await audit.aclose()
        for each in stored:
            assert (await tree_of(again, each.size)).root() == each.root
        found = await examine(again, vkey=key.vkey)
        assert failing(found) == []
        assert f"the first {found.records} of {found.records}" in found.signer.reason
        await audit.aclose()
        if is_done:
            break
    assert 8 < at < 199


class NoHold(MemoryStore):
    """A store that cannot be held, as one of objects: the newest writer wins."""

    hold: Any = None


async def test_a_writer_that_lost_its_log_signs_nothing_more(key: KeySigner) -> None:
    store = NoHold()
    older = AuditLog(store, signer=key, checkpoint_seconds=600.0)
    await older.append({"kind": "work.done", "number": 1})
    newer = AuditLog(store, signer=key, checkpoint_seconds=600.0)
    await newer.append({"kind": "work.done", "number": 2})
    note = str(await newer.checkpoint())
    with pytest.raises(Fenced):
        await older.checkpoint()
    assert await store.read(NEWEST) == note
    await newer.aclose()
    assert failing(await examine(store, vkey=key.vkey)) == []


async def test_what_a_witness_answers_too_late_is_not_written_into_the_log_of_another(key: KeySigner) -> None:
    """Its newest checkpoint, and what is witnessed, are those of the writer that has the log now."""
    store, witness = NoHold(), WitnessKey.new("witness.example.org")
    older = AuditLog(store, signer=key, checkpoint_seconds=600.0)
    await older.append({"kind": "work.done", "number": 1})
    note = await older.checkpoint()
    newer = AuditLog(store, signer=key, checkpoint_seconds=600.0)
    await newer.append({"kind": "work.done", "number": 2})
    await newer.checkpoint()
    before = await files_of(store)
    signing = older._signature.signing
    assert signing is not None
    with pytest.raises(Fenced):
        await signing.cosigned(note, [witness.cosign(note.text, 1_700_000_000)], is_enough=True)
    assert await files_of(store) == before
    await newer.aclose()


class Odd:
    """A signer that does what it is told."""

    def __init__(self, key: KeySigner) -> None:
        self.key = key
        self.vkey = key.vkey
        self.act: Any = None
        self.requests: list[SigningRequest] = []

    async def sign(self, request: SigningRequest) -> NoteSignature:
        self.requests.append(request)
        if self.act is not None:
            await self.act(request)
        return await self.key.sign(request)


async def test_a_signer_that_hangs_delays_no_append_and_no_closing(key: KeySigner) -> None:
    store, signer, began = MemoryStore(), Odd(key), asyncio.Event()

    async def hang(_: SigningRequest) -> None:
        began.set()
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                if is_over.is_set():
                    raise

    is_over = asyncio.Event()
    signer.act = hang
    audit = AuditLog(store, signer=signer, checkpoint_seconds=0.0, close_seconds_max=0.05)
    await audit.append({"kind": "work.done"})
    await began.wait()
    for number in range(20):
        await audit.append({"kind": "work.done", "number": number})
    with anyio.fail_after(10):
        await audit.aclose()
    assert audit.checkpoint_errors >= 1
    is_over.set()
    assert await store.read(NEWEST) is None
    fine = AuditLog(store, signer=key)
    await fine.append({"kind": "work.done"})
    await fine.aclose()
    assert failing(await examine(store, vkey=key.vkey)) == []


@pytest.mark.parametrize("old", [-1, 10_000, "1", None, 1.0, True], ids=range(6))
async def test_a_proof_that_cannot_be_asked_for_is_refused(key: KeySigner, old: Any) -> None:
    store, signer = MemoryStore(), Odd(key)

    async def ask(request: SigningRequest) -> None:
        await request.prove(old)

    audit = AuditLog(store, signer=signer, checkpoint_seconds=600.0)
    await audit.append({"kind": "work.done"})
    signer.act = ask
    with pytest.raises(SigningFailed, match="has 2 records"):
        await audit.checkpoint()
    signer.act = None
    await audit.checkpoint()
    await audit.aclose()


@pytest.mark.slow
async def test_what_cannot_be_signed_again_at_once_is_tried_again_by_itself(key: KeySigner) -> None:
    """After a second, and not in a busy loop."""
    store, signer = MemoryStore(), Odd(key)

    async def fail(_: SigningRequest) -> None:
        raise OSError("the token is gone")

    signer.act = fail
    audit = AuditLog(store, signer=signer, checkpoint_seconds=0.0)
    await audit.append({"kind": "work.done"})
    await until(lambda: audit.checkpoint_errors == 1)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(signer.requests) == 1
    signer.act = None
    with anyio.fail_after(20):
        while await store.read(NEWEST) is None:  # noqa: ASYNC110 - what makes it true sets no event
            await asyncio.sleep(0.01)
    assert audit.problem is None
    await audit.aclose()


@pytest.mark.parametrize("place", [2, 7, 10])
async def test_hashes_behind_the_checkpoint_are_not_believed(key: KeySigner, place: int) -> None:
    """A crash has left them there, and a bit of one was flipped: what would be signed is no hash of a record."""
    store, signer = MemoryStore(), Odd(key)

    async def fail(_: SigningRequest) -> None:
        raise OSError("the token is gone")

    audit = AuditLog(store, signer=signer, checkpoint_seconds=600.0)
    await audit.append({"kind": "work.done"})
    await audit.checkpoint()
    for number in range(9):
        await audit.append({"kind": "work.done", "number": number})
    signer.act = fail
    with pytest.raises(SigningFailed):
        await audit.checkpoint()
    content = bytearray(await store.read_bytes("/audit/tree/0") or b"")
    assert len(content) == 11 * 32
    content[place * 32] ^= 1
    await audit.aclose()
    await store.write("/audit/tree/0", bytes(content))
    fine = AuditLog(store, signer=key)
    await fine.append({"kind": "work.done"})
    await fine.aclose()
    assert failing(await examine(store, vkey=key.vkey)) == []


class Full(MemoryStore):
    """A store on which some files cannot be written."""

    refused: str = ""

    async def write(self, path: str, content: Any, **more: Any) -> None:
        if self.refused and self.refused in path:
            raise StoreFull("the disk is full", path=path)
        await super().write(path, content, **more)

    async def append(self, path: str, content: Any, **more: Any) -> Any:
        if self.refused and self.refused in path:
            raise StoreFull("the disk is full", path=path)
        return await super().append(path, content, **more)


@pytest.mark.parametrize("refused", ["/checkpoint", "/checkpoints/", "/tree/", "/tree/1"])
async def test_a_checkpoint_that_cannot_be_stored_is_made_later(key: KeySigner, refused: str) -> None:
    store = Full()
    audit = AuditLog(store, signer=key, checkpoint_seconds=600.0)
    await audit.append({"kind": "work.done"})
    first = newest_of({NEWEST: str(await audit.checkpoint()).encode()})
    await audit.append_many([{"kind": "work.done", "number": number} for number in range(300)])
    store.refused = refused
    with pytest.raises(HubError):
        await audit.checkpoint()
    store.refused = ""
    note = await audit.checkpoint()
    second = Checkpoint.parse(note.text)
    assert second.size > first.size
    assert await store.read(f"/audit/checkpoints/{second.size:020}") == str(note)
    assert await TreeHashes(store, "/audit").root(0, second.size) == second.root
    await audit.aclose()
    assert failing(await examine(store, vkey=key.vkey)) == []


async def test_a_log_is_put_aside_each_hour_and_with_each_segment(key: KeySigner) -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, signer=key, clock=clock, checkpoint_seconds=0.0, rotation=4000)

    async def append() -> None:
        size = await audit.append({"kind": "work.done"}) + 1
        while newest is None or newest_of(await files_of(store)).size < size:
            await asyncio.sleep(0)
            if NEWEST in await files_of(store):
                break
        while newest_of(await files_of(store)).size < size:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)

    newest = None
    await append()
    assert len(await store.list("/audit/checkpoints")) == 1
    await append()
    assert len(await store.list("/audit/checkpoints")) == 1
    clock.advance(3600)
    await append()
    assert len(await store.list("/audit/checkpoints")) == 2
    while len(await store.list("/audit/log")) == 1:
        await append()
    assert len(await store.list("/audit/checkpoints")) == 3
    await audit.aclose()


async def test_a_signed_log_that_was_only_looked_at_is_as_it_was(key: KeySigner, tmp_path: Path) -> None:
    """A refused opening gives the log up, and another program may have it."""
    store = FileStore(tmp_path)
    audit = AuditLog(store, signer=key)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    refused = AuditLog(store, signer=KeySigner.new("example.org/hub/audit"))
    with pytest.raises(ConfigurationError):
        await refused.append({"kind": "work.done"})
    other = FileStore(tmp_path)
    again = AuditLog(other, signer=key)
    await again.append({"kind": "work.done"})
    await again.aclose()
    await store.aclose()
    await other.aclose()


async def test_a_key_that_others_can_read_signs_nothing(key: KeySigner, tmp_path: Path) -> None:
    file = tmp_path / "audit.key"
    await to_thread.run_sync(key.to_file, file)
    for mode in (0o644, 0o640, 0o604, 0o620, 0o602, 0o666):
        await to_thread.run_sync(os.chmod, file, mode)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            await to_thread.run_sync(KeySigner.from_file, file)
    for mode in (0o600, 0o400):
        await to_thread.run_sync(os.chmod, file, mode)
        await to_thread.run_sync(KeySigner.from_file, file)
    for wrong in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigurationError):
            await to_thread.run_sync(KeySigner.from_file, wrong)
    await to_thread.run_sync(file.chmod, 0o600)
    content = await to_thread.run_sync(file.read_bytes)
    for place in range(0, len(content) - 1, 7):
        flipped = bytearray(content)
        flipped[place] ^= 1
        await to_thread.run_sync(file.write_bytes, bytes(flipped))
        with pytest.raises(HubError) as caught:
            await to_thread.run_sync(KeySigner.from_file, file)
        assert key.secret_text.split("+")[-1] not in str(caught.value), "an error never shows a key"
