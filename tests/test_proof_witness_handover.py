"""A witness follows a log that hands over to another key: by what both keys have signed, for good, and never back."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync as in_thread
from test_proof_witness import LEAVES, LOG, NAME, WITNESS, body, proof, root, served, signed

from hubwire.errors import ConfigurationError
from hubwire.listeners.audit import AuditLog, Outcome, examine
from hubwire.proof import (
    Checkpoint,
    HttpWitness,
    KeySigner,
    Note,
    Witness,
    WitnessPolicy,
    cosignatures,
    handover_line,
)
from hubwire.stores import MemoryStore

pytest.importorskip("cryptography")

NEXT, LAST = KeySigner.new(NAME), KeySigner.new(NAME)


def handover(size: int, old: KeySigner, new: KeySigner, *, signers: tuple[KeySigner, ...] | None = None) -> Note:
    text = Checkpoint(NAME, size, root(LEAVES[:size]), (handover_line(new.vkey),)).text
    return Note(text, tuple(each.signature(text.encode()) for each in signers or (old, new)))


async def begun(tmp_path: Path, key: KeySigner = LOG, *, begins: bool = False) -> Witness:
    """Return a witness, made in a thread: its state is a directory."""
    return await in_thread(lambda: Witness(WITNESS, tmp_path / "state", [key.vkey], begins=begins))


async def statuses(witness: Witness, *asked: tuple[int, Note]) -> list[int]:
    found = []
    for old, note in asked:
        size = Checkpoint.parse(note.text).size
        answer = await witness.add_checkpoint(body(old, note, proof(old, size) if 0 < old < size else ()))
        found.append(answer.status)
    return found


async def test_a_witness_follows_a_hand_over_and_remembers_it(tmp_path: Path) -> None:
    witness = await begun(tmp_path, begins=True)
    assert await statuses(witness, (0, signed(3)), (3, signed(5, key=NEXT))) == [200, 403]
    assert await statuses(witness, (3, handover(6, LOG, NEXT)), (6, signed(8, key=NEXT))) == [200, 200]
    assert await statuses(witness, (8, signed(9)), (8, handover(9, NEXT, LAST))) == [403, 200]
    witness.close()
    again = await begun(tmp_path)
    assert again.logs == {NAME: 9}
    assert await statuses(again, (9, signed(10)), (9, signed(10, key=NEXT))) == [403, 403]
    assert await statuses(again, (9, signed(10, key=LAST))) == [200]
    again.close()
    given_anew = await begun(tmp_path, LAST)
    assert await statuses(given_anew, (10, signed(11, key=LAST))) == [200]
    given_anew.close()


async def test_only_what_both_keys_have_signed_hands_over(tmp_path: Path) -> None:
    """A thief of the old key can hand over to a key of his own; who has it not cannot, and no key hands over twice."""
    witness = await begun(tmp_path, begins=True)
    assert await statuses(witness, (0, signed(3))) == [200]
    half, other = handover(4, LOG, NEXT, signers=(LOG,)), handover(5, LOG, NEXT, signers=(NEXT,))
    assert await statuses(witness, (3, half), (4, other), (4, signed(5, key=NEXT))) == [200, 403, 403]
    assert not await in_thread(lambda: list((tmp_path / "state").glob("*.handover")))
    assert await statuses(witness, (4, handover(6, LOG, NEXT)), (6, handover(7, LOG, LAST))) == [200, 403]
    assert await statuses(witness, (6, signed(7, key=LAST)), (6, signed(7, key=NEXT))) == [403, 200]
    witness.close()


async def test_a_kill_before_the_checkpoint_was_kept_changes_nothing(tmp_path: Path) -> None:
    """The hand-over has a file of its own, which is written first."""
    witness = await begun(tmp_path, begins=True)
    assert await statuses(witness, (0, signed(3))) == [200]
    (file,) = await in_thread(lambda: list((tmp_path / "state").glob("*.checkpoint")))
    before = await in_thread(file.read_bytes)
    assert await statuses(witness, (3, handover(6, LOG, NEXT))) == [200]
    witness.close()
    await in_thread(lambda: file.write_bytes(before))
    again = await begun(tmp_path)
    assert again.logs == {NAME: 3}
    assert await statuses(again, (3, handover(6, LOG, NEXT)), (6, signed(7, key=NEXT))) == [200, 200]
    again.close()


def test_a_hand_over_that_was_changed_is_refused(tmp_path: Path) -> None:
    async def make() -> None:
        witness = await begun(tmp_path, begins=True)
        assert await statuses(witness, (0, handover(6, LOG, NEXT))) == [200]
        witness.close()

    anyio.run(make)
    (file,) = (tmp_path / "state").glob("*.handover")
    whole = file.read_bytes()
    for changed in (b"", whole[:-1], whole.replace(b"\n6\n", b"\n7\n"), b"\xff" + whole):
        file.write_bytes(changed)
        with pytest.raises(ConfigurationError, match="the state"):
            Witness(WITNESS, tmp_path / "state", [LOG.vkey])
    file.write_bytes(whole)
    Witness(WITNESS, tmp_path / "state", [LOG.vkey]).close()


async def test_a_log_tells_its_witness_of_a_hand_over_that_it_has_missed(tmp_path: Path) -> None:
    """The witness was away, and the program of the log was started anew."""
    store, old, new, last = MemoryStore(), LOG, NEXT, LAST
    async with served(tmp_path, logs=[old.vkey]) as server:
        policy = WitnessPolicy([HttpWitness(server.url, server.vkey)], interval_seconds=0.0)
        audit = AuditLog(store, signer=old, witnesses=policy)
        await audit.append({"kind": "work.done"})
        await audit.witnessed()
        await audit.aclose()
        away = AuditLog(store, signer=old)
        await away.rotate_key(new)
        await away.append({"kind": "work.done"})
        await away.rotate_key(last)
        await away.append({"kind": "work.done"})
        await away.aclose()
        back = AuditLog(store, signer=last, witnesses=policy)
        await back.append({"kind": "work.done"})
        note = await back.witnessed()
        await back.aclose()
        size = Checkpoint.parse(note.text).size
        assert cosignatures(note, [WITNESS.vkey])
        assert note.signed_by(last.vkey)
        assert server.witness.logs[NAME] >= size
    found = await examine(store, vkey=old.vkey, witnesses=[WITNESS.vkey])
    assert found.signer.outcome is Outcome.HOLDS


async def test_a_witness_without_a_key_of_the_log_is_named_as_before(tmp_path: Path) -> None:
    stranger = KeySigner.new(NAME)
    async with served(tmp_path, logs=[stranger.vkey]) as server:
        policy = WitnessPolicy([HttpWitness(server.url, server.vkey)], grace_seconds=0.0)
        store = MemoryStore()
        audit = AuditLog(store, signer=LOG, witnesses=policy)
        await audit.append({"kind": "work.done"})
        await audit.rotate_key(NEXT)
        await audit.aclose()
        assert audit.witness_errors
        assert server.witness.logs == {NAME: 0}
