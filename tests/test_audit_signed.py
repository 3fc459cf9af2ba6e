"""An audit log that is signed: its checkpoints, what verifies by them, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from anyio import to_thread

from hubwire import Hub
from hubwire.errors import (
    CheckpointInvalid,
    ConfigurationError,
    InvalidRecord,
    LogDamaged,
    LogRolledBack,
)
from hubwire.listeners.audit import AuditLog, Outcome, Retention, Verification, VerifierState, examine, verify
from hubwire.listeners.audit._records import RecordHead
from hubwire.log import LogReader
from hubwire.log._lines import OWN_KINDS
from hubwire.proof import (
    Checkpoint,
    FunctionSigner,
    KeySigner,
    Note,
    NoteSignature,
    SigningRequest,
    Tree,
    TreeHashes,
    VerifierKey,
    is_consistent,
    is_included,
    leaf_hash,
)
from hubwire.stores import FileStore, MemoryStore

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"


@pytest.fixture(scope="module")
def key() -> KeySigner:
    return KeySigner.new(NAME)


async def fill(audit: AuditLog, count: int) -> None:
    await audit.append_many([{"kind": "work.done", "number": number} for number in range(count)])


async def leaves(store: FileStore | MemoryStore) -> list[bytes]:
    return [leaf_hash(record.line) async for record in lines(store)]


async def lines(store: FileStore | MemoryStore) -> AsyncIterator:  # type: ignore[type-arg]
    reader = LogReader(store, "/audit")
    while records := await reader.read():
        for record in records:
            yield record


def restore(old: Path, live: Path) -> None:
    shutil.rmtree(live / "log")
    shutil.copytree(old / "log", live / "log")
    shutil.copy(old / "clean", live / "clean")


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


async def test_a_checkpoint_is_signed_over_all_lines_and_stored(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 300)
    note = await audit.checkpoint()
    checkpoint = Checkpoint.parse(note.text)
    tree = Tree()
    tree.extend(await leaves(store))
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (NAME, tree.size, tree.root())
    assert note.signed_by(key.vkey)
    assert await store.read("/audit/checkpoint") == str(note)
    assert await store.read(f"/audit/checkpoints/{checkpoint.size:020}") == str(note)
    assert await TreeHashes(store, "/audit").root(0, checkpoint.size) == checkpoint.root
    await audit.aclose()


async def test_a_closed_log_is_signed_to_its_end_and_rotated_segments_are_in_the_tree(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key, rotation=2000)
    for number in range(100):
        await audit.append({"kind": "work.done", "number": number})
    await audit.aclose()
    found = await examine(store, vkey=key.vkey)
    assert found.signer.outcome is Outcome.HOLDS
    assert found.signer.reason.startswith(f"the first {found.records:,} of {found.records:,} records are signed")
    assert not failing(found)


async def test_a_hub_signs_and_goes_on_over_restarts(tmp_path: Path, key: KeySigner) -> None:
    notes: list[Note] = []
    for _ in range(3):
        store = FileStore(tmp_path)
        async with Hub(store, listeners=[AuditLog(store, signer=key)]) as hub:
            await hub.agents.register(f"agent-{len(notes)}")
        notes.append(Note.parse(await store.read("/audit/checkpoint")))
        await store.aclose()
    store = FileStore(tmp_path)
    heads = [Checkpoint.parse(note.text) for note in notes]
    hashes = TreeHashes(store, "/audit")
    for old, new in pairwise(heads):
        assert old.size < new.size
        proof = await hashes.consistency(old.size, new.size)
        assert is_consistent(old.size, old.root, new.size, new.root, proof)
    for note in notes:
        await verify(store, vkey=str(key.vkey), expect_checkpoint=note)


async def test_each_record_is_proved_by_a_few_hashes(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 600)
    head = Checkpoint.parse((await audit.checkpoint()).text)
    all_leaves, hashes = await leaves(store), TreeHashes(store, "/audit")
    for index in (0, 1, 255, 256, 257, 511, 512, head.size - 1):
        proof = await hashes.inclusion(index, head.size)
        assert len(proof) <= 10
        assert is_included(all_leaves[index], index, head.size, head.root, proof)
        assert not is_included(all_leaves[index - 1], index, head.size, head.root, proof)
    await audit.aclose()


@pytest.mark.parametrize("lost", ["all", "last"])
async def test_hashes_that_were_lost_are_made_anew(key: KeySigner, lost: str) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 700)
    await audit.aclose()
    for level in ("0", "1"):
        content = await store.read_bytes(f"/audit/tree/{level}") or b""
        await store.write(f"/audit/tree/{level}", b"" if lost == "all" else content[:-32])
    await audit.append({"kind": "work.done"})
    head = Checkpoint.parse((await audit.checkpoint()).text)
    assert await TreeHashes(store, "/audit").root(0, head.size) == head.root
    await audit.aclose()
    await verify(store, vkey=key.vkey)


async def test_a_damaged_hash_is_never_signed(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 100)
    await audit.aclose()
    content = bytearray(await store.read_bytes("/audit/tree/0") or b"")
    content[-1] ^= 1
    await store.write("/audit/tree/0", bytes(content))
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    await verify(store, vkey=key.vkey)


# --- what is refused ------------------------------------------------------------------------------------------------


async def test_a_log_restored_from_an_older_copy_is_refused(tmp_path: Path, key: KeySigner) -> None:
    store = FileStore(tmp_path / "live")
    audit = AuditLog(store, signer=key)
    await fill(audit, 10)
    await audit.aclose()
    await to_thread.run_sync(shutil.copytree, tmp_path / "live", tmp_path / "old")
    await fill(audit, 10)
    await audit.aclose()
    await to_thread.run_sync(restore, tmp_path / "old" / "audit", tmp_path / "live" / "audit")
    before = await to_thread.run_sync(contents, tmp_path / "live")
    with pytest.raises(LogRolledBack, match="speaks of"):
        await AuditLog(store, signer=key).append({"kind": "work.done"})
    assert await to_thread.run_sync(contents, tmp_path / "live") == before
    assert failing(await examine(store, vkey=key.vkey)) == ["completeness"]


async def test_records_written_anew_without_the_key_are_refused_and_found(key: KeySigner) -> None:
    store, forged = MemoryStore(), MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 10)
    await audit.aclose()
    false = AuditLog(forged)
    await false.append_many([{"kind": "work.done", "number": -number} for number in range(10)])
    await false.aclose()
    for path in ("/audit/log/00000000000000000000.jsonl", "/audit/clean"):
        await store.write(path, await forged.read_bytes(path) or b"")
    with pytest.raises(LogRolledBack, match="not what was signed"):
        await AuditLog(store, signer=key).append({"kind": "work.done"})
    assert failing(await examine(store, vkey=key.vkey)) == ["integrity", "signer"]


async def test_a_log_signed_by_another_key_is_refused(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 3)
    await audit.aclose()
    with pytest.raises(ConfigurationError, match="not signed by the key"):
        await AuditLog(store, signer=KeySigner.new(NAME)).append({"kind": "work.done"})
    with pytest.raises(ConfigurationError, match="is signed as"):
        await AuditLog(store, signer=KeySigner.new("example.org/another")).append({"kind": "work.done"})
    found = await examine(store, vkey=KeySigner.new(NAME).vkey)
    assert failing(found) == ["signer"]
    assert "is not signed by" in found.signer.faults[0]


async def test_without_a_key_the_tree_is_compared_and_the_signer_is_not_known(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 3)
    await audit.aclose()
    found = await examine(store)
    assert found.signer.outcome is Outcome.UNKNOWN
    assert str(key.vkey.id.hex()) in found.signer.reason
    with pytest.raises(LogDamaged, match="no checkpoint"):
        empty = MemoryStore()
        unsigned = AuditLog(empty)
        await unsigned.append({"kind": "work.done"})
        await unsigned.aclose()
        await verify(empty, vkey=key.vkey)


async def test_a_checkpoint_kept_elsewhere_finds_what_the_holder_of_the_key_has_written_anew(key: KeySigner) -> None:
    store, anew = MemoryStore(), MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 10)
    kept = await audit.checkpoint()
    await audit.aclose()
    other = AuditLog(anew, signer=key)
    await other.append_many([{"kind": "work.done", "number": -number} for number in range(20)])
    await other.aclose()
    assert not failing(await examine(anew, vkey=key.vkey))
    assert failing(await examine(anew, vkey=key.vkey, expect_checkpoint=kept)) == ["integrity"]
    cut = MemoryStore()
    short = AuditLog(cut, signer=key)
    await fill(short, 2)
    await short.aclose()
    assert failing(await examine(cut, vkey=key.vkey, expect_checkpoint=str(kept))) == ["completeness"]


# --- signers --------------------------------------------------------------------------------------------------------


class Broken:
    """A signer that does what it is told."""

    def __init__(self, key: KeySigner) -> None:
        self.key = key
        self.answer: object = None

    @property
    def vkey(self) -> VerifierKey:
        return self.key.vkey

    async def sign(self, request: SigningRequest) -> NoteSignature:
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is None:
            return await self.key.sign(request)
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    "answer",
    [OSError("the token is gone"), SystemExit(3), "a signature", NoteSignature(NAME, b"1234", bytes(64)), 7],
    ids=range(5),
)
async def test_a_signer_that_fails_stops_nothing_and_is_told(key: KeySigner, answer: object) -> None:
    store, signer = MemoryStore(), Broken(key)
    audit = AuditLog(store, signer=signer)
    async with Hub(store, listeners=[audit]) as hub:
        await hub.agents.register("planner")
        good = await audit.checkpoint()
        signer.answer = answer
        await hub.agents.register("coder")
        with pytest.raises(Exception, match="signer of the log /audit"):
            await audit.checkpoint()
        assert await store.read("/audit/checkpoint") == str(good)
        signer.answer = None
        await hub.agents.register("tester")
        await audit.checkpoint()
        assert hub.health().healthy
    await verify(store, vkey=key.vkey)


async def test_a_function_signs_as_a_key_does(key: KeySigner) -> None:
    async def sign(text: bytes) -> bytes:
        return key.signature(text).signature

    store = MemoryStore()
    audit = AuditLog(store, signer=FunctionSigner(str(key.vkey), sign))
    await fill(audit, 3)
    await audit.aclose()
    await verify(store, vkey=key.vkey)


@pytest.mark.parametrize("signer", ["audit.key", 7, KeySigner, object()], ids=range(4))
def test_what_is_no_signer_is_refused(signer: object) -> None:
    with pytest.raises(ConfigurationError, match="signer"):
        AuditLog(MemoryStore(), signer=signer)  # type: ignore[arg-type]


# --- pruning, state, gaps -------------------------------------------------------------------------------------------


async def test_a_pruned_log_verifies_and_goes_on(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key, rotation=1000)
    for number in range(200):
        await audit.append({"kind": "work.done", "number": number})
    await audit.prune(retention=Retention(segments_max=3))
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    found = await examine(store, vkey=key.vkey)
    assert found.first_record > 0
    assert not failing(found)
    assert found.signer.outcome is Outcome.HOLDS
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    assert not failing(await examine(store, vkey=key.vkey))


async def test_a_program_without_the_key_prunes_only_what_is_signed(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key, rotation=1000)
    for number in range(100):
        await audit.append({"kind": "work.done", "number": number})
    await audit.aclose()
    other = AuditLog(store, rotation=1000)
    for number in range(100):
        await other.append({"kind": "work.done", "number": number})
    with pytest.raises(ConfigurationError, match="is signed up to record"):
        await other.prune(retention=Retention(segments_max=2))
    await other.aclose()
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    await other.prune(retention=Retention(segments_max=4))
    await other.aclose()
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    assert not failing(await examine(store, vkey=key.vkey))


async def test_a_verifier_reads_only_what_came_since(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key, rotation=3000)
    await fill(audit, 100)
    await audit.aclose()
    first = await examine(store, vkey=key.vkey)
    assert first.state is not None
    state = VerifierState.parse(first.state.to_text())
    await fill(audit, 50)
    await audit.aclose()
    second = await examine(store, vkey=key.vkey, state=state)
    assert not failing(second)
    assert (second.records, second.head) == ((await examine(store)).records, audit.head)
    assert f"h, d, seq and hub of {second.records - first.records} records" in second.integrity.looked_at
    # What was read before is not looked at, and it says so.
    assert any("looked at before" in each for each in second.integrity.not_looked_at)


async def test_a_verifier_knows_who_signed_what_it_does_not_read_again(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 20)
    await audit.aclose()
    state = (await examine(store, vkey=key.vkey)).state
    unchanged = await examine(store, vkey=key.vkey, state=state)
    assert unchanged.signer.outcome is Outcome.HOLDS
    assert not failing(unchanged)
    unsigned = AuditLog(store)
    await unsigned.append({"kind": "work.done"})
    await unsigned.aclose()
    state = (await examine(store, vkey=key.vkey, state=unchanged.state)).state
    again = await examine(store, vkey=key.vkey, state=state)
    assert not failing(again)
    assert "records, which are not signed yet" in again.signer.not_looked_at[0]
    other = await examine(store, vkey=KeySigner.new(NAME).vkey, state=state)
    assert failing(other) == ["signer"]


async def test_a_verifier_notices_a_log_that_does_not_go_on_from_what_it_knew(key: KeySigner) -> None:
    store, other = MemoryStore(), MemoryStore()
    audit, anew = AuditLog(store, signer=key), AuditLog(other, signer=key)
    await fill(audit, 100)
    await fill(anew, 200)
    await audit.aclose()
    await anew.aclose()
    state = (await examine(store, vkey=key.vkey)).state
    assert "integrity" in failing(await examine(other, vkey=key.vkey, state=state))
    long_state = (await examine(other, vkey=key.vkey)).state
    assert failing(await examine(store, vkey=key.vkey, state=long_state))


@pytest.mark.parametrize(
    "change",
    [lambda t: t.replace('"events":0', '"events":1'), lambda _: "{}", lambda _: "", lambda t: t * 2],
    ids=range(4),
)
async def test_a_state_that_was_changed_is_refused(key: KeySigner, change: Callable[[str], str]) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 3)
    await audit.aclose()
    state = (await examine(store)).state
    assert state is not None
    with pytest.raises(InvalidRecord):
        VerifierState.parse(change(state.to_text()))


async def test_all_faults_are_named_on_request(key: KeySigner) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=key)
    await fill(audit, 30)
    await audit.aclose()
    path = "/audit/log/00000000000000000000.jsonl"
    content = await store.read_bytes(path) or b""
    for number in (5, 15, 25):
        content = content.replace(b'"number":%d}' % number, b'"number":%d}' % (number + 1))
        content = content.replace(b'"number":%d,' % number, b'"number":%d,' % (number + 1))
    await store.write(path, content)
    first = await examine(store)
    assert len(first.integrity.faults) == 1
    assert "at byte" in first.integrity.faults[0]
    every = await examine(store, all_faults=True)
    assert sum("h does not follow" in each for each in every.integrity.faults) >= 3
    assert any("not those of its checkpoint" in each for each in every.integrity.faults)


async def test_a_gap_in_time_is_told_when_it_is_asked_for() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    await audit.append({"kind": "work.done", "at": "2026-01-01T00:00:00Z"})
    await audit.append({"kind": "work.done", "at": "2026-01-01T00:00:30Z"})
    await audit.append({"kind": "work.done", "at": "2026-01-01T01:00:30Z"})
    await audit.aclose()
    assert not any("seconds" in each for each in (await examine(store)).completeness.faults)
    found = await examine(store, gap_seconds_max=60)
    assert any("3,600 seconds" in each for each in found.completeness.faults)


@pytest.mark.parametrize(
    "arguments",
    [
        {"vkey": "no key"},
        {"vkey": 7},
        {"vkey": "a+00000000+AAAA"},
        {"expect_checkpoint": "nothing"},
        {"expect_checkpoint": 7},
        {"gap_seconds_max": 0},
        {"gap_seconds_max": "1"},
        {"all_faults": 1},
        {"state": {}},
    ],
    ids=range(9),
)
async def test_arguments_that_cannot_be_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises((ConfigurationError, CheckpointInvalid)):
        await examine(MemoryStore(), **arguments)  # type: ignore[arg-type]


async def test_a_key_that_was_handed_over_counts_no_more(key: KeySigner) -> None:
    """Who has the first key finds the newest; a thief of the first one signs nothing that holds."""
    store, new = MemoryStore(), KeySigner.new(NAME)
    audit = AuditLog(store, signer=key)
    await fill(audit, 3)
    await audit.checkpoint()
    await fill(audit, 3)
    await audit.rotate_key(new)
    await fill(audit, 3)
    await audit.aclose()
    found = await examine(store, vkey=key.vkey)
    assert failing(found) == []
    assert f"to which {key.vkey.id.hex()} handed over" in found.signer.reason
    assert failing(await examine(store, vkey=new.vkey)) == [], "it has signed what the old key had, too"
    content = await store.read_bytes("/audit/checkpoint")
    text = Note.parse(content).text
    await store.write("/audit/checkpoint", str(Note(text, (key.signature(text.encode()),))))
    assert failing(await examine(store, vkey=key.vkey)) == ["signer"]


def test_verifying_looks_at_all_kinds_that_a_log_writes_by_itself() -> None:
    """It reads all fields of those alone: a kind that it does not take for one would not be looked at."""
    assert [kind for kind in OWN_KINDS if not RecordHead(kind=kind).may_be_own] == []
    assert RecordHead(kind=["log.opened"]).may_be_own
    assert not RecordHead(kind="payment.made").may_be_own


async def test_a_hand_over_among_pruned_records_leads_to_the_new_key(key: KeySigner) -> None:
    """A reader with the old key finds the new one by a checkpoint over records that are gone."""
    store, new = MemoryStore(), KeySigner.new(NAME)
    audit = AuditLog(store, signer=key, rotation=2000, checkpoint_seconds=3600)
    await fill(audit, 1)
    await audit.rotate_key(new)
    for _ in range(9):
        await fill(audit, 20)
    handed, *_ = await store.list("/audit/checkpoints")
    assert (await audit.prune(retention=Retention(segments_max=2))).first > int(handed)
    await audit.aclose()
    assert not failing(await examine(store, vkey=key.vkey))
    assert not failing(await examine(store, vkey=new.vkey))
    place = f"/audit/checkpoints/{handed}"
    note = await store.read(place)
    assert note is not None
    for damaged in ("", note[:40], note.replace("\n3\n", "\n4\n"), note[:-3] + "AA\n"):
        await store.write(place, damaged)
        assert failing(await examine(store, vkey=key.vkey))


async def test_a_changed_signature_of_the_first_checkpoint_shows(key: KeySigner) -> None:
    """Later ones that the same key has signed do not excuse it."""
    store = MemoryStore()
    audit = AuditLog(store, signer=key, checkpoint_seconds=3600, rotation=2000)
    for _ in range(3):
        await fill(audit, 20)
        await audit.checkpoint()
    await audit.aclose()
    first, second, *_ = await store.list("/audit/checkpoints")
    assert first < second
    note = await store.read(f"/audit/checkpoints/{first}")
    assert note is not None
    head, _, signed = note.rpartition(" ")
    await store.write(
        f"/audit/checkpoints/{first}", f"{head} {signed[:12]}{'A' if signed[12] != 'A' else 'B'}{signed[13:]}"
    )
    assert failing(await examine(store, vkey=key.vkey)) == ["signer"]


async def test_a_torn_line_behind_a_checkpoint_of_a_pruned_log_is_set_aside(key: KeySigner) -> None:
    """The hashes of what was pruned cannot be made anew: they are not to be doubted because of it."""
    store, left = MemoryStore(), MemoryStore()
    audit = AuditLog(store, signer=key, rotation=2000, checkpoint_seconds=3600)
    for _ in range(9):
        await fill(audit, 20)
    assert (await audit.prune(retention=Retention(segments_max=2))).first
    await audit.checkpoint()
    names = await store.list("/audit/log")
    for name in ("clean", "kept", "pruned", "checkpoint", "tree/0", *(f"log/{each}" for each in names)):
        await left.write(f"/audit/{name}", await store.read_bytes(f"/audit/{name}") or b"")
    await audit.aclose()
    await left.append(f"/audit/log/{names[-1]}", b'{"at":"2026-11-21T09:30:00.000001Z","kin' + bytes(300))
    again = AuditLog(left, signer=key, rotation=2000, checkpoint_seconds=3600)
    await fill(again, 1)
    await again.aclose()
    assert not failing(await examine(left, vkey=key.vkey))
