"""The fork of a signed log: the operator's way on after a rollback, which no reader takes for the old log."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import anyio
import pytest

from hubwire import Hub
from hubwire.cli import main
from hubwire.errors import AlreadyRunning, CheckpointInvalid, ConfigurationError, HubError, LogDamaged, LogRolledBack
from hubwire.listeners.audit import (
    AuditLog,
    Outcome,
    Retention,
    Verification,
    VerifierState,
    examine,
    fork,
    prove,
    redacted_copy,
)
from hubwire.proof import Checkpoint, KeySigner, Note, NoteSignature, SigningRequest
from hubwire.stores import FileStore, MemoryStore
from support.killed import files_of, store_with

pytest.importorskip("cryptography")

FIRST = "/audit/log/00000000000000000000.jsonl"
CHECKPOINT = "/audit/checkpoint"


@pytest.fixture(scope="module")
def key() -> KeySigner:
    return KeySigner.new("example.org/hub/audit")


@pytest.fixture(scope="module")
def new() -> KeySigner:
    return KeySigner.new("example.org/hub/audit-2")


async def fill(store: MemoryStore | FileStore, numbers: Iterable[int], key: KeySigner) -> None:
    audit = AuditLog(store, signer=key)
    for number in numbers:
        await audit.append({"kind": "work.done", "number": number})
    await audit.aclose()


async def rolled_back(key: KeySigner) -> MemoryStore:
    """Return a log that was restored from an older copy; the checkpoints were not."""
    store = MemoryStore()
    await fill(store, range(10), key)
    old = await files_of(store)
    await fill(store, range(10, 20), key)
    for path in (FIRST, "/audit/clean"):
        await store.write(path, old[path])
    return store


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


async def test_a_fork_goes_on_and_says_so(key: KeySigner, new: KeySigner) -> None:
    store = await rolled_back(key)
    old = Checkpoint.parse(Note.parse(await store.read_bytes(CHECKPOINT)).text)
    with pytest.raises(LogRolledBack, match="hubwire log fork"):
        await AuditLog(store, signer=key).append({"kind": "work.done"})
    made = await fork(store, signer=new, reason="the disk was replaced", by="the operator on duty")
    assert (made.old, made.is_continuous, made.origin) == (old, False, new.vkey.name)
    assert made.note is not None
    assert made.note.signed_by(new.vkey)
    await fill(store, range(20, 30), new)
    found = await examine(store, vkey=new.vkey)
    assert failing(found) == ["completeness"]
    (fault,) = found.completeness.faults
    for each in ("forked from example.org/hub/audit", "the operator on duty", "the disk was replaced", "are lost"):
        assert each in fault
    assert any("the log was forked" in each for each in found.notes)
    assert found.signer.outcome is Outcome.HOLDS
    assert any("who had signed the records before" in each for each in found.signer.not_looked_at)
    record = (await anext(AuditLog(store).read(start=made.record))).fields
    assert record["kind"] == "log.forked"
    assert record["old"]["size"] == old.size
    assert Note.parse(record["note"]).signed_by(key.vkey)
    proof = await prove(store, made.record)
    assert proof.extra is not None
    proof.verify(proof.extra, new.vkey)


async def test_who_has_the_old_key_is_told_of_the_new_one(key: KeySigner, new: KeySigner) -> None:
    store = await rolled_back(key)
    await fork(store, signer=new, reason="the disk was replaced")
    found = await examine(store, vkey=key.vkey)
    assert failing(found) == ["completeness", "signer"]
    assert str(new.vkey) in found.signer.faults[0]
    thief = KeySigner.new("example.org/hub/audit-2")
    assert "signer" in failing(await examine(store, vkey=thief.vkey))


async def test_who_knows_of_a_fork_is_told_and_not_refused(key: KeySigner, new: KeySigner) -> None:
    """By a checkpoint over it; and its state remembers the fork, so that no later run forgets it."""
    store = await rolled_back(key)
    made = await fork(store, signer=new, reason="the disk was replaced")
    await fill(store, range(20, 30), new)
    found = await examine(store, vkey=new.vkey, expect_checkpoint=made.note)
    assert failing(found) == []
    assert any("the log was forked" in each for each in found.notes)
    assert any("if it went on elsewhere" in each for each in found.completeness.not_looked_at)
    assert found.state is not None
    await fill(store, range(30, 40), new)
    later = await examine(store, vkey=new.vkey, state=VerifierState.parse(found.state.to_text()))
    assert failing(later) == []
    assert any("the log was forked" in each for each in later.notes)
    assert later.state is not None
    assert later.state.forked == found.state.forked


async def test_who_knows_what_was_before_a_fork_does_not_know_of_it(key: KeySigner, new: KeySigner) -> None:
    store = MemoryStore()
    await fill(store, range(10), key)
    before = await store.read(CHECKPOINT)
    old = await files_of(store)
    await fill(store, range(10, 20), key)
    for path in (FIRST, "/audit/clean"):
        await store.write(path, old[path])
    await fork(store, signer=new, reason="the disk was replaced")
    assert failing(await examine(store, expect_checkpoint=before)) == ["completeness"]


async def test_a_lost_key_is_a_fork_without_loss(key: KeySigner, new: KeySigner) -> None:
    """All records of the old checkpoint are there, and its signature still counts for them."""
    store = MemoryStore()
    await fill(store, range(10), key)
    made = await fork(store, signer=new, reason="the key was lost")
    assert made.is_continuous
    await fill(store, range(10, 20), new)
    found = await examine(store, vkey=new.vkey)
    assert failing(found) == []
    assert any("the key was lost" in each for each in found.notes)
    assert failing(await examine(store, vkey=key.vkey)) == ["signer"]
    # What says so is believed only where the old checkpoint is there, and is that of these records.
    await store.delete(f"/audit/checkpoints/{made.old.size:020}")
    assert failing(await examine(store, vkey=new.vkey)) == ["completeness"]


async def test_a_checkpoint_that_was_not_put_aside_is_not_lost_by_a_fork(key: KeySigner, new: KeySigner) -> None:
    """Its process was killed within the hour."""
    store = MemoryStore()
    audit = AuditLog(store, signer=key, checkpoint_seconds=600.0)
    await audit.append({"kind": "work.done"})
    await audit.checkpoint()
    await audit.prove(await audit.append({"kind": "work.done"}))
    assert len(await store.list("/audit/checkpoints")) == 1
    killed = await store_with(await files_of(store))
    made = await fork(killed, signer=new, reason="the key was lost")
    assert (made.is_continuous, made.old.size) == (True, 3)
    assert failing(await examine(killed, vkey=new.vkey)) == []
    await audit.aclose()


async def test_a_fork_may_follow_a_fork(key: KeySigner, new: KeySigner) -> None:
    store, third = await rolled_back(key), KeySigner.new("example.org/hub/audit-3")
    await fork(store, signer=new, reason="the disk was replaced")
    await fill(store, range(20, 30), new)
    await fork(store, signer=third, reason="the key was lost")
    await fill(store, range(30, 40), third)
    found = await examine(store, vkey=third.vkey)
    assert sum("the log was forked" in each for each in found.notes) == 2
    assert failing(found) == ["completeness"]
    assert len(found.completeness.faults) == 1


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint\n", b"\xff" * 100], ids=range(3))
async def test_a_damaged_checkpoint_is_forked_from_what_was_put_aside(
    key: KeySigner, new: KeySigner, damage: bytes
) -> None:
    store = MemoryStore()
    await fill(store, range(10), key)
    await store.write(CHECKPOINT, damage)
    with pytest.raises(CheckpointInvalid, match="hubwire log fork"):
        await AuditLog(store, signer=key).append({"kind": "work.done"})
    await fork(store, signer=new, reason="a flipped bit")
    await fill(store, range(10, 20), new)
    found = await examine(store, vkey=new.vkey)
    assert failing(found) == []
    assert any("a flipped bit" in each for each in found.notes)
    kept = [path for path, content in (await files_of(store)).items() if "/forks/" in path and content == damage]
    assert kept == [f"/audit/forks/{new.vkey.id.hex()}/checkpoint"]


async def test_a_pruned_log_can_be_forked(key: KeySigner, new: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key, rotation=1000)
    for number in range(100):
        await audit.append({"kind": "work.done", "number": number})
    await audit.prune(retention=Retention(segments_max=2))
    await audit.aclose()
    await fork(store, signer=new, reason="the key was lost")
    await fill(store, range(10, 20), new)
    assert failing(await examine(store, vkey=new.vkey)) == []


# --- what is refused ------------------------------------------------------------------------------------------------


async def test_what_cannot_be_forked_is_left_as_it_is(key: KeySigner, new: KeySigner) -> None:
    same = KeySigner.new(key.vkey.name)
    store = await rolled_back(key)
    before = await files_of(store)
    with pytest.raises(ConfigurationError, match="two histories of one name"):
        await fork(store, signer=same, reason="because")
    with pytest.raises(ConfigurationError, match="signer"):
        await fork(store, signer="audit.key", reason="because")  # type: ignore[arg-type]
    for reason in ("", "x" * 2000, 7, "\ud800"):
        with pytest.raises(HubError, match="reason"):
            await fork(store, signer=new, reason=reason)  # type: ignore[arg-type]
    made = await fork(store, signer=new, reason="because", dry_run=True)
    assert made.note is None
    assert await files_of(store) == before
    with pytest.raises(ConfigurationError, match="there is no log"):
        await fork(MemoryStore(), signer=new, reason="because")
    unsigned = MemoryStore()
    audit = AuditLog(unsigned)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    with pytest.raises(ConfigurationError, match="no checkpoint"):
        await fork(unsigned, signer=new, reason="because")


async def test_a_name_that_was_given_up_does_not_sign_again(key: KeySigner, new: KeySigner) -> None:
    """It would stand for two histories: what it had signed before, and what it signs now."""
    store, third = await rolled_back(key), KeySigner.new("example.org/hub/audit-3")
    for signer in (new, third):
        await fork(store, signer=signer, reason="a disk was lost")
    before = await files_of(store)
    for signer in (key, new, KeySigner.new(key.vkey.name)):
        with pytest.raises(ConfigurationError, match="was given up"):
            await fork(store, signer=signer, reason="back to it")
    assert (await fork(store, signer=third, reason="again")).origin == third.vkey.name
    assert {path: content for path, content in (await files_of(store)).items() if "/log/" in path} == {
        path: content for path, content in before.items() if "/log/" in path
    }


async def test_a_redacted_copy_is_not_forked(key: KeySigner, new: KeySigner) -> None:
    store, copy = MemoryStore(), MemoryStore()
    await fill(store, range(5), key)
    await redacted_copy(store, copy)
    before = await files_of(copy)
    with pytest.raises(ConfigurationError, match="is a redacted copy"):
        await fork(copy, signer=new, reason="a disk was lost")
    assert await files_of(copy) == before


async def test_a_log_in_use_is_not_forked(key: KeySigner, new: KeySigner, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    audit = AuditLog(store, signer=key)
    await audit.append({"kind": "work.done"})
    await audit.checkpoint()
    other = FileStore(tmp_path)
    with pytest.raises(AlreadyRunning):
        await fork(other, signer=new, reason="because")
    await audit.aclose()
    await store.aclose()
    await other.aclose()


async def test_a_damaged_record_is_not_forked_over(key: KeySigner, new: KeySigner) -> None:
    store = MemoryStore()
    await fill(store, range(20), key)
    content = await store.read_bytes(FIRST) or b""
    await store.write(FIRST, content.replace(b'"number":5', b'"number":6'))
    before = await files_of(store)
    with pytest.raises(LogDamaged, match="at byte"):
        await fork(store, signer=new, reason="because")
    assert await files_of(store) == before


@pytest.mark.parametrize("is_loss", [True, False], ids=["loss", "lost key"])
async def test_a_fork_that_was_killed_anywhere_is_finished(key: KeySigner, new: KeySigner, is_loss: bool) -> None:
    """Up to its checkpoint the log is refused as before; it is never signed without the record."""
    if is_loss:
        begun = await files_of(await rolled_back(key))
    else:
        whole = MemoryStore()
        await fill(whole, range(10), key)
        begun = await files_of(whole)
    for at in range(100):
        store = await store_with(begun)
        store.writes_left = at
        try:
            await fork(store, signer=new, reason="the disk was replaced")
        except Exception:  # noqa: BLE001 - of whatever was under way
            is_done = False
        else:
            is_done = True
        again = await store_with(await files_of(store))
        found = await examine(again, vkey=new.vkey)
        if not is_done and found.signer.outcome is Outcome.HOLDS:
            assert any("the log was forked" in each for each in found.notes)
        if not is_done:
            made = await fork(again, signer=new, reason="the disk was replaced")
            assert made.is_continuous is not is_loss
        await fill(again, range(3), new)
        found = await examine(again, vkey=new.vkey)
        assert failing(found) == (["completeness"] if is_loss else [])
        lines = (await again.read_bytes(FIRST) or b"").count(b'"log.forked"')
        assert lines == 1
        if is_done:
            break
    assert 5 < at < 99


async def test_a_signer_that_fails_leaves_the_log_as_it_was(key: KeySigner, new: KeySigner) -> None:
    class Failing:
        vkey = new.vkey

        async def sign(self, request: SigningRequest) -> NoteSignature:
            raise OSError("the token is gone")

    store = await rolled_back(key)
    content = await store.read_bytes(FIRST)
    with pytest.raises(HubError, match="the token is gone"):
        await fork(store, signer=Failing(), reason="because")
    assert await store.read_bytes(FIRST) == content
    with pytest.raises(LogRolledBack):
        await AuditLog(store, signer=key).append({"kind": "work.done"})


async def test_a_hub_starts_on_a_forked_log(key: KeySigner, new: KeySigner) -> None:
    store, old = MemoryStore(), dict[str, bytes]()
    for number in range(2):
        async with Hub(store, listeners=[AuditLog(store, signer=key)]) as hub:
            await hub.agents.register(f"agent-{number}")
        if not number:
            old = await files_of(store)
    for path in (FIRST, "/audit/clean"):
        await store.write(path, old[path])
    with pytest.raises(HubError, match="hubwire log fork"):
        async with Hub(store, listeners=[AuditLog(store, signer=key)]):
            pass
    await fork(store, signer=new, reason="the disk was replaced")
    async with Hub(store, listeners=[AuditLog(store, signer=new)]) as hub:
        await hub.agents.register("agent-3")
    found = await examine(store, vkey=new.vkey)
    assert failing(found) == ["completeness"]
    assert len(found.completeness.faults) == 1


# --- the command -----------------------------------------------------------------------------------------------------


def hubwire(*arguments: str | Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue(), err.getvalue()


@pytest.mark.slow
def test_the_command_forks_a_log(tmp_path: Path, key: KeySigner, new: KeySigner) -> None:
    data, old_file, new_file = tmp_path / "data", tmp_path / "old.key", tmp_path / "new.key"
    key.to_file(old_file)
    new.to_file(new_file)

    async def make() -> None:
        store = FileStore(data)
        await fill(store, range(10), key)
        first, clean = await store.read_bytes(FIRST), await store.read_bytes("/audit/clean")
        await fill(store, range(10, 20), key)
        await store.write(FIRST, first or b"")
        await store.write("/audit/clean", clean or b"")
        await store.aclose()

    anyio.run(make)
    code, out, err = hubwire("log", "fork", data, "--reason", "it burnt", "--key", old_file)
    assert (code, out) == (2, "")
    assert "two histories of one name" in err
    code, out, _ = hubwire("log", "fork", data, "--reason", "it burnt", "--key", new_file, "--dry-run")
    assert code == 0
    assert "nothing was changed" in out
    code, out, err = hubwire("log", "fork", data, "--reason", "it burnt", "--key", new_file)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == str(new.vkey)
    code, out, err = hubwire("verify", data, "--vkey", str(new.vkey))
    assert code == 3
    assert "it burnt" in out
    assert hubwire("log", "fork", data, "--key", new_file)[0] == 2
    assert hubwire("log", "fork", tmp_path / "none", "--reason", "x", "--key", new_file)[0] == 1


async def test_the_first_checkpoint_of_a_fork_stays_where_it_has_the_place_of_one_that_is_given_up(
    key: KeySigner, new: KeySigner
) -> None:
    """Over as many records; and the timestamp of the other one is not taken for its own."""
    store = MemoryStore()
    await fill(store, range(10), key)
    old = await files_of(store)
    await fill(store, range(10, 13), key)
    given_up = f"/audit/checkpoints/{15:020}"
    before = await store.read_bytes(given_up)
    assert before is not None
    await store.write(f"{given_up}.tsr", b"the time of that")
    for path in (FIRST, "/audit/clean"):
        await store.write(path, old[path])
    await fill_plain(store)
    made = await fork(store, signer=new, reason="the disk was restored")
    assert Checkpoint.parse((made.note or Note("", ())).text).size == 15
    kept = f"/audit/forks/{new.vkey.id.hex()}/{15:020}"
    assert await store.read_bytes(kept) == before
    assert await store.read_bytes(f"{kept}.tsr") == b"the time of that"
    assert await store.read_bytes(given_up) == str(made.note).encode()
    assert not await store.exists(f"{given_up}.tsr")
    assert (await examine(store, vkey=new.vkey, expect_checkpoint=made.note)).holds


async def fill_plain(store: MemoryStore) -> None:
    """Append one record without a signer."""
    audit = AuditLog(store)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
