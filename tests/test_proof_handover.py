"""A log that goes on with a new key: both keys sign that, and a reader with the old one finds the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import GenericEvent, Hub
from hubwire.errors import CheckpointInvalid, ConfigurationError, HubError, InvalidRecord, SigningFailed, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome
from hubwire.ports import KnowledgeStore
from hubwire.proof import (
    Checkpoint,
    KeyChain,
    KeySigner,
    Note,
    NoteSignature,
    SigningRequest,
    VerifierKey,
    handover_line,
    successor_of,
)
from hubwire.stores import FileStore, MemoryStore
from support.odd import Stranger

NAME = "example.org/hub/audit"


def signed_log(store: KnowledgeStore, signer: Any) -> AuditLog:
    return AuditLog(store, signer=signer, checkpoint_seconds=3600)


async def notes_of(store: KnowledgeStore) -> list[Note]:
    """All checkpoints of the log: those put aside, and the newest."""
    names = [f"/audit/checkpoints/{name}" for name in await store.list("/audit/checkpoints")]
    return [Note.parse(await store.read_bytes(name)) for name in [*names, "/audit/checkpoint"]]


async def handed_over(store: KnowledgeStore, keys: list[KeySigner]) -> None:
    """Make a log that each of these keys has signed in turn."""
    audit = signed_log(store, keys[0])
    for key in keys:
        await audit.append({"kind": "note.taken"})
        await audit.checkpoint()
        if key is not keys[0]:
            await audit.rotate_key(key, by="an operator", reason="a year is over")
        await audit.append({"kind": "note.taken"})
        await audit.checkpoint()
    await audit.aclose()


async def test_a_reader_with_the_first_key_finds_the_newest() -> None:
    store, keys = MemoryStore(), [KeySigner.new(NAME) for _ in range(4)]
    await handed_over(store, keys)
    notes = await notes_of(store)
    chain = KeyChain(keys[0].vkey, reversed(notes))
    assert [key for _, key in chain.epochs] == [each.vkey for each in keys]
    assert chain.key == keys[-1].vkey
    for note in notes:
        assert chain.signer_of(note, Checkpoint.parse(note.text)) is not None
    met = KeyChain(keys[0].vkey)
    assert all(met.follow(note, Checkpoint.parse(note.text)) for note in notes)
    assert met.epochs == chain.epochs
    assert KeyChain(str(keys[-1].vkey), notes).epochs == ((0, keys[-1].vkey),)
    assert KeyChain(KeySigner.new(NAME).vkey, notes).signer_of(notes[-1], Checkpoint.parse(notes[-1].text)) is None


async def test_the_log_says_which_keys_it_had() -> None:
    store, keys = MemoryStore(), [KeySigner.new(NAME), KeySigner.new(NAME)]
    await handed_over(store, keys)
    records = [each.fields async for each in AuditLog(store).read() if each.fields["kind"] == "log.key_rotated"]
    assert [(each["old"], each["new"], each["by"], each["reason"]) for each in records] == [
        (str(keys[0].vkey), str(keys[1].vkey), "an operator", "a year is over")
    ]
    assert not any(each["kind"] == "log.key_rotated" for each in await AuditLog(store).read_all())
    assert (await AuditLog(store).verify()).integrity.outcome is Outcome.HOLDS


async def test_a_wiped_key_that_was_stolen_signs_nothing_that_counts() -> None:
    store, keys = MemoryStore(), [KeySigner.new(NAME), KeySigner.new(NAME)]
    await handed_over(store, keys)
    chain = KeyChain(keys[0].vkey, await notes_of(store))
    forged = Checkpoint(NAME, 1000, bytes(32))
    note = Note(forged.text, (keys[0].signature(forged.text.encode()),))
    assert chain.signer_of(note, forged) is None
    both = Note(forged.text, (*note.signatures, keys[1].signature(forged.text.encode())))
    assert chain.signer_of(both, forged) == keys[1].vkey
    other = KeySigner.new(NAME)
    again = Checkpoint(NAME, 1000, bytes(32), (handover_line(other.vkey),))
    twice = Note(again.text, tuple(each.signature(again.text.encode()) for each in (keys[0], other)))
    with pytest.raises(CheckpointInvalid, match="handed over twice"):
        KeyChain(keys[0].vkey, [*await notes_of(store), twice])
    with pytest.raises(CheckpointInvalid, match="handed over twice"):
        chain.follow(twice, again)


async def test_a_hand_over_that_one_key_has_signed_is_none() -> None:
    old, new = KeySigner.new(NAME), KeySigner.new(NAME)
    checkpoint = Checkpoint(NAME, 7, bytes(32), (handover_line(new.vkey),))
    for signers in ((), (old,), (new,)):
        note = Note(checkpoint.text, tuple(each.signature(checkpoint.text.encode()) for each in signers))
        assert KeyChain(old.vkey, [note]).key == old.vkey
    both = Note(checkpoint.text, tuple(each.signature(checkpoint.text.encode()) for each in (old, new)))
    assert KeyChain(old.vkey, [both, both]).key == new.vkey


def test_a_checkpoint_hands_over_to_one_key_of_its_log() -> None:
    new, stranger = KeySigner.new(NAME), KeySigner.new("example.org/other")
    assert successor_of(Checkpoint(NAME, 7, bytes(32))) is None
    assert successor_of(Checkpoint(NAME, 7, bytes(32), ("another line",))) is None
    assert successor_of(Checkpoint(NAME, 7, bytes(32), (handover_line(new.vkey),))) == new.vkey
    for lines in (
        (handover_line(new.vkey), handover_line(new.vkey)),
        (handover_line(stranger.vkey),),
        ("successor ",),
        ("successor \N{SNOWMAN}",),
        (handover_line(new.vkey) + " ",),
        (handover_line(VerifierKey(NAME, 4, new.vkey.public)),),
    ):
        with pytest.raises(CheckpointInvalid):
            successor_of(Checkpoint(NAME, 7, bytes(32), lines))


class Killed(Exception):
    pass


class Dying(MemoryStore):
    """A store whose program dies at the call with this number."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_left: int | None = None

    def _count(self) -> None:
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise Killed
            self.calls_left -= 1

    async def write(self, *args: Any, **options: Any) -> None:
        self._count()
        await super().write(*args, **options)

    async def append(self, *args: Any, **options: Any) -> int:
        self._count()
        return await super().append(*args, **options)


@pytest.mark.parametrize("calls", range(7))
async def test_a_kill_at_each_step_leaves_a_log_of_the_old_key_or_the_new_one(calls: int) -> None:
    """One of the two opens it, and an error that the other one gets says which; then the hand-over can be made."""
    store, old, new = Dying(), KeySigner.new(NAME), KeySigner.new(NAME)
    audit = signed_log(store, old)
    await audit.append({"kind": "note.taken"})
    await audit.checkpoint()
    store.calls_left = calls
    is_killed = False
    try:
        await audit.rotate_key(new)
    except (Killed, HubError):
        is_killed = True
    files = {name: content async for name, content in contents(store)}
    after = MemoryStore()
    for name, content in files.items():
        await after.write(name, content)
    opened, refused = [], []
    for signer in (old, new):
        log = signed_log(after, signer)
        try:
            await log.checkpoint()
        except ConfigurationError as error:
            refused.append(str(error))
        else:
            opened.append(signer)
        await log.aclose()
    assert len(opened) == 1
    assert all(str(opened[0].vkey) in text or "not signed by the key" in text for text in refused)
    if opened == [old]:
        assert is_killed
        log = signed_log(after, old)
        await log.rotate_key(new)
        await log.aclose()
    log = signed_log(after, new)
    await log.append({"kind": "note.taken"})
    await log.checkpoint()
    await log.aclose()
    assert KeyChain(old.vkey, await notes_of(after)).key == new.vkey


async def contents(store: KnowledgeStore, path: str = "/audit") -> Any:
    for name in await store.list(path):
        if name.endswith("/"):
            async for each in contents(store, f"{path}/{name[:-1]}"):
                yield each
        elif name != ".lock":
            yield f"{path}/{name}", await store.read_bytes(f"{path}/{name}")


async def test_a_checkpoint_of_the_same_size_does_not_take_the_place_of_a_hand_over() -> None:
    store, old, new = MemoryStore(), KeySigner.new(NAME), KeySigner.new(NAME)
    audit = signed_log(store, old)
    await audit.append({"kind": "note.taken"})
    note = await audit.rotate_key(new)
    assert await audit.checkpoint() == note
    await audit.aclose()
    again = signed_log(store, new)
    assert await again.checkpoint() == note
    await again.aclose()
    assert KeyChain(old.vkey, await notes_of(store)).key == new.vkey


class Sick(MemoryStore):
    """A store that puts no checkpoint aside as long as it is sick."""

    is_sick = False

    async def write(self, path: str, content: str | bytes, **terms: Any) -> None:
        if self.is_sick and "/checkpoints/" in path:
            raise StoreError(f"cannot write {path!r}: Input/output error", path=path)
        await super().write(path, content, **terms)


async def test_no_checkpoint_takes_the_place_of_a_hand_over_not_put_aside() -> None:
    """As long as that fails nothing is signed: the newest checkpoint would be the only word of the new key."""
    store, old, new = Sick(), KeySigner.new(NAME), KeySigner.new(NAME)
    audit = signed_log(store, old)
    await audit.append({"kind": "note.taken"})
    store.is_sick = True
    with pytest.raises(StoreError):
        await audit.rotate_key(new)
    await audit.append({"kind": "note.taken"})
    with pytest.raises(StoreError):
        await audit.checkpoint()
    assert KeyChain(old.vkey, await notes_of(store)).key == new.vkey
    store.is_sick = False
    await audit.checkpoint()
    await audit.aclose()
    assert KeyChain(old.vkey, await notes_of(store)).key == new.vkey


class Refusing:
    """A signer that says that it has a key, and does not sign."""

    def __init__(self, vkey: VerifierKey, answer: object) -> None:
        self.vkey = vkey
        self._answer = answer

    async def sign(self, request: SigningRequest) -> NoteSignature:
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer  # type: ignore[return-value]


@pytest.mark.parametrize("answer", [OSError("no token"), Killed(), None, 7, b"", Stranger()], ids=repr)
async def test_a_new_signer_that_does_not_sign_is_refused_before_the_log_says_anything(answer: object) -> None:
    store, old = MemoryStore(), KeySigner.new(NAME)
    audit = signed_log(store, old)
    await audit.append({"kind": "note.taken"})
    before = await audit.checkpoint()
    with pytest.raises(SigningFailed):
        await audit.rotate_key(Refusing(KeySigner.new(NAME).vkey, answer))
    assert audit.vkey == old.vkey
    assert await audit.checkpoint() == before
    await audit.aclose()


async def test_rotate_key_refuses_what_is_no_signer() -> None:
    store, old = MemoryStore(), KeySigner.new(NAME)
    audit = signed_log(store, old)
    await audit.append({"kind": "note.taken"})
    for odd in (None, 7, "audit.key", KeySigner, Stranger(), old, KeySigner.new("example.org/other")):
        with pytest.raises(ConfigurationError):
            await audit.rotate_key(odd)  # type: ignore[arg-type]
    for words in (7, "", "\ud800", "x" * 1001):
        with pytest.raises(InvalidRecord):
            await audit.rotate_key(KeySigner.new(NAME), by=words)  # type: ignore[arg-type]
        with pytest.raises(InvalidRecord):
            await audit.rotate_key(KeySigner.new(NAME), reason=words)  # type: ignore[arg-type]
    assert (await audit.verify()).records == 2
    await audit.aclose()
    unsigned = AuditLog(MemoryStore())
    with pytest.raises(ConfigurationError, match="no signer"):
        await unsigned.rotate_key(old)
    await unsigned.aclose()


async def test_a_key_changes_while_records_come(tmp_path: Path) -> None:
    """Two changes at once are one after the other; what is signed meanwhile is by the key of then."""
    store, keys = FileStore(tmp_path), [KeySigner.new(NAME) for _ in range(3)]
    audit = AuditLog(store, signer=keys[0], checkpoint_seconds=0.001, rotation=4000)

    async def append() -> None:
        for number in range(200):
            await audit.append({"kind": "note.taken", "n": number})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(append)
        tasks.start_soon(append)
        await audit.append({"kind": "note.taken"})
        tasks.start_soon(audit.rotate_key, keys[1])
        tasks.start_soon(audit.rotate_key, keys[2])
    await audit.aclose()
    assert audit.checkpoint_errors == 0
    chain = KeyChain(keys[0].vkey, await notes_of(store))
    assert [key for _, key in chain.epochs] == [each.vkey for each in keys]
    again = AuditLog(store, signer=keys[2])
    await again.append({"kind": "note.taken"})
    await again.aclose()
    with pytest.raises(ConfigurationError, match="not signed by the key"):
        await AuditLog(store, signer=keys[1]).checkpoint()
    await store.aclose()


async def test_a_caller_that_is_cancelled_leaves_a_log_of_one_key() -> None:
    """It was told nothing: the log has changed its key, or it has not, and goes on with the one that it has."""
    for turns in range(0, 40, 3):
        store, old, new = MemoryStore(), KeySigner.new(NAME), KeySigner.new(NAME)
        audit = signed_log(store, old)
        await audit.append({"kind": "note.taken"})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(audit.rotate_key, new)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await audit.append({"kind": "note.taken"})
        await audit.checkpoint()
        assert audit.vkey is not None
        assert KeyChain(old.vkey, await notes_of(store)).key == audit.vkey
        await audit.aclose()


async def test_a_log_changes_its_key_on_a_hub() -> None:
    store, old, new = MemoryStore(), KeySigner.new(NAME), KeySigner.new(NAME)
    audit = signed_log(store, old)
    async with Hub(store, listeners=[audit]) as hub:
        await hub.emit(GenericEvent(kind="user.login", data={"n": 1}))
        await audit.rotate_key(new, reason="password hunter2 of bob@example.org leaked")
        await hub.emit(GenericEvent(kind="user.login", data={"n": 2}))
        assert hub.health().healthy
    chain = KeyChain(old.vkey, await notes_of(store))
    assert chain.key == new.vkey
    (record,) = [each.fields async for each in AuditLog(store).read() if each.fields["kind"] == "log.key_rotated"]
    assert "bob@example.org" not in record["reason"]
    async with Hub(store, listeners=[signed_log(store, new)]) as hub:
        await hub.emit(GenericEvent(kind="user.login", data={"n": 3}))
    events = [each async for each in AuditLog(store).read() if "seq" in each.fields]
    assert [each.fields["seq"] for each in events] == list(range(len(events)))


async def test_a_closed_log_is_signed_to_its_end_and_is_not_opened_by_its_signer(tmp_path: Path) -> None:
    """Also where a checkpoint was being signed when it was closed."""
    store, key = FileStore(tmp_path), KeySigner.new(NAME)
    for number in range(30):
        audit = AuditLog(store, signer=key, checkpoint_seconds=0.0005)
        for _ in range(number % 5 + 1):
            await audit.append({"kind": "note.taken"})
        await audit.aclose()
        other = AuditLog(store, signer=key, checkpoint_seconds=3600)
        newest = Checkpoint.parse((await notes_of(store))[-1].text)
        await anyio.sleep(0.001)
        assert newest.size == (await other.verify()).records
        await other.append({"kind": "note.taken"})
        await other.aclose()
    await store.aclose()
