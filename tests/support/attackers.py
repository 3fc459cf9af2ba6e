"""Attacks on a signed log, each done on its files as an attacker would, and what a verifier then says of it."""

from __future__ import annotations

import re
import shutil
from binascii import crc32
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from anyio import to_thread

from hubwire import codec
from hubwire.errors import LogDamaged
from hubwire.listeners.audit import AuditLog, Outcome, Retention, Verification, VerifierState, examine
from hubwire.log import chain_value
from hubwire.proof import Checkpoint, KeySigner, Note, Tree, VerifierKey, leaf_hash
from hubwire.stores import FileStore

NAME = "example.org/audit"
HALF = 20
COLUMNS = ("log alone", "key", "earlier checkpoint", "earlier state", "newest checkpoint, as a witness keeps it")

CAUGHT, SHOWN, NOTED, UNSEEN = "caught", "shown", "noted", "–"


@attrs.frozen
class Kept:
    """What a verifier has, none of it from the log that is attacked."""

    key: VerifierKey
    """The first key of the log: its owner gave it out."""
    earlier: Note
    """A checkpoint of the first half."""
    state: VerifierState
    """What was remembered of the first half."""
    newest: Note
    """The newest checkpoint, over all records."""


@attrs.define
class Scene:
    """A signed log, what its attacker has, and what its verifiers have."""

    root: Path
    backup: Path
    """A copy of the first half, as a backup is."""
    today: KeySigner
    """The key that signs now."""
    kept: Kept

    @property
    def log(self) -> Path:
        return self.root / "audit"

    # -- what an attacker does with files --

    def lines(self) -> list[bytes]:
        """Return all records."""
        return b"".join(file.read_bytes() for file in sorted((self.log / "log").glob("*.jsonl"))).splitlines()

    def write(self, lines: Sequence[bytes]) -> None:
        """Write these records as they stand, each segment up to its ``log.rotated``."""
        for file in (self.log / "log").iterdir():
            file.unlink()
        for first, last in segments_of(lines):
            file = self.log / "log" / f"{first:020}.jsonl"
            file.write_bytes(b"".join(line + b"\n" for line in lines[first:last]))

    def write_chained(self, bodies: Sequence[bytes]) -> None:
        """Write these records with a chain that holds, and a marker that says so; hashes go, they are made anew."""
        chain, lines = b"", []
        for index, body in enumerate(bodies):
            durable = min(codec.seal_of(body)[0], index)
            bare = codec.seal(codec.body_of(body), durable)
            chain = chain_value(chain, bare)
            lines.append(codec.seal(codec.body_of(body), durable, chain))
        self.write(lines)
        self.mark(lines)
        shutil.rmtree(self.log / "tree", ignore_errors=True)

    def mark(self, lines: Sequence[bytes]) -> None:
        """Write the marker of a closed log that has just these records."""
        marker = codec.decode_marker((self.log / "clean").read_bytes())
        version = marker.pop("v")
        segments = segments_of(lines)
        sizes = [sum(len(line) + 1 for line in lines[first:last]) for first, last in segments]
        marker |= {
            "records": len(lines),
            "chain": (codec.seal_of(lines[-1])[1] or b"").decode(),
            "first": segments[-1][0],
            "number": len(segments) - 1,
            "before_bytes": sum(sizes[:-1]),
            "size": sizes[-1],
            "line_bytes": len(lines[-1]),
            "line_crc": crc32(lines[-1]),
        }
        (self.log / "clean").write_bytes(codec.encode_marker(marker, version=version))

    def sign(self, signer: KeySigner) -> None:
        """Sign all records that are there, with this key; no other checkpoint stays."""
        tree = Tree()
        tree.extend([leaf_hash(line) for line in self.lines()])
        text = Checkpoint(NAME, tree.size, tree.root()).text
        note = Note(text, (signer.signature(text.encode()),))
        self.forget_checkpoints()
        self.keep_checkpoint(note)

    def forget_checkpoints(self) -> None:
        shutil.rmtree(self.log / "checkpoints", ignore_errors=True)
        (self.log / "checkpoint").unlink(missing_ok=True)

    def keep_checkpoint(self, note: Note) -> None:
        """Make this checkpoint the newest of the log."""
        (self.log / "checkpoints").mkdir(exist_ok=True)
        size = Checkpoint.parse(note.text).size
        for file in (self.log / "checkpoint", self.log / "checkpoints" / f"{size:020}"):
            file.write_text(str(note))

    def keep_checkpoints_until(self, size: int) -> None:
        """Keep the archived checkpoints up to one, which is the newest then."""
        kept = [file for file in sorted((self.log / "checkpoints").iterdir()) if int(file.name) <= size]
        for file in (self.log / "checkpoints").iterdir():
            if file not in kept:
                file.unlink()
        (self.log / "checkpoint").write_bytes(kept[-1].read_bytes())

    @property
    def half(self) -> int:
        """How many records the earlier checkpoint is over."""
        return Checkpoint.parse(self.kept.earlier.text).size

    def edited(self, number: int) -> list[bytes]:
        """Return the records, one of which says another sum than it did."""
        lines = self.lines()
        at = place_of(lines, number)
        lines[at] = re.sub(rb'"sum":\d+', b'"sum":9', lines[at])
        return lines


def segments_of(lines: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return the first record of each segment, and the one behind its last."""
    ends = [at + 1 for at, line in enumerate(lines) if b'"kind":"log.rotated"' in line]
    begins = [0, *ends]
    return [span for span in zip(begins, [*ends, len(lines)], strict=True) if span[0] < span[1]]


def place_of(lines: Sequence[bytes], number: int) -> int:
    """Return where the payment of this number stands."""
    return next(at for at, line in enumerate(lines) if f'"number":{number},'.encode() in line)


def payment(number: int) -> dict[str, Any]:
    return {"kind": "payment.made", "number": number, "sum": 100 + number}


async def signed_log(root: Path, *, is_rotated: bool = False) -> Scene:
    """Make a signed log in two halves, and keep what verifiers and attackers have of it."""
    first, store = KeySigner.new(NAME), FileStore(root / "live")
    today = KeySigner.new(NAME) if is_rotated else first
    audit = AuditLog(store, signer=first, checkpoint_seconds=3600, rotation=1500)
    for number in range(HALF):
        await audit.append(payment(number))
    earlier = await audit.checkpoint()
    state = (await examine(store, vkey=first.vkey)).state
    assert state is not None
    await audit.aclose()
    await to_thread.run_sync(shutil.copytree, root / "live", root / "backup")
    audit = AuditLog(store, signer=first, checkpoint_seconds=3600, rotation=1500)
    if is_rotated:
        await audit.rotate_key(today)
    for number in range(HALF, 2 * HALF):
        await audit.append(payment(number))
    await audit.aclose()
    await store.aclose()
    newest = Note.parse(await to_thread.run_sync((root / "live" / "audit" / "checkpoint").read_bytes))
    return Scene(root / "live", root / "backup", today, Kept(first.vkey, earlier, state, newest))


async def said(scene: Scene) -> tuple[str, ...]:
    """Return what each verifier says, by what it has: ``caught``, ``shown``, ``noted`` or ``–``."""
    store, kept = FileStore(scene.root), scene.kept
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"vkey": kept.key},
        {"vkey": kept.key, "expect_checkpoint": kept.earlier},
        {"vkey": kept.key, "state": kept.state},
        {"vkey": kept.key, "expect_checkpoint": kept.newest},
    )
    try:
        return tuple([outcome_of(await _examined(store, way)) for way in ways])
    finally:
        await store.aclose()


async def _examined(store: FileStore, way: dict[str, Any]) -> Verification | Exception:
    try:
        return await examine(store, **way)
    except LogDamaged as error:  # the log is shorter than the state that is remembered of it
        return error


def outcome_of(found: Verification | Exception) -> str:
    """Return one word for what was found."""
    if isinstance(found, Exception) or not found.holds:
        return CAUGHT
    if found.pruned is not None:
        return SHOWN
    return NOTED if any("not signed yet" in each for each in found.signer.not_looked_at) else UNSEEN


def failing(found: Verification) -> list[str]:
    return [name for name, verdict in found.verdicts.items() if verdict.outcome is Outcome.FAILS]


# --- the attacks -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Attack:
    """One attack: who does it, what is done, and how."""

    id: str
    who: str
    what: str
    do: Callable[[Scene], Any]
    is_rotated: bool = False


WRITER = "writer without the key"
HOLDER = "writer with today's key"
THIEF = "thief of a backup"
OPERATOR = "operator"


def _edit(scene: Scene) -> None:
    scene.write(scene.edited(5))


def _edit_chained(scene: Scene) -> None:
    scene.write_chained(scene.edited(5))


def _edit_unsigned(scene: Scene) -> None:
    scene.write_chained(scene.edited(5))
    scene.forget_checkpoints()


def _edit_by_own_key(scene: Scene) -> None:
    scene.write_chained(scene.edited(5))
    scene.sign(KeySigner.new(NAME))


def _delete(scene: Scene) -> None:
    lines = scene.lines()
    del lines[place_of(lines, 5)]
    scene.write_chained(lines)


def _reorder(scene: Scene) -> None:
    lines = scene.lines()
    one, other = place_of(lines, 5), place_of(lines, 6)
    lines[one], lines[other] = lines[other], lines[one]
    scene.write_chained(lines)


def _cut(scene: Scene) -> None:
    lines = scene.lines()[:-5]
    scene.write(lines)
    scene.mark(lines)


def _cut_and_replay(scene: Scene) -> None:
    lines = scene.lines()[: scene.half]
    scene.write(lines)
    scene.mark(lines)
    shutil.rmtree(scene.log / "tree")
    scene.keep_checkpoints_until(scene.half)


def _replay(scene: Scene) -> None:
    scene.keep_checkpoints_until(scene.half)


def _replay_and_edit(scene: Scene) -> None:
    scene.write_chained(scene.edited(HALF + 5))
    scene.keep_checkpoints_until(scene.half)


def _delete_all(scene: Scene) -> None:
    shutil.rmtree(scene.log)


def _restore(scene: Scene) -> None:
    shutil.rmtree(scene.root)
    shutil.copytree(scene.backup, scene.root)


def _rewrite(scene: Scene) -> None:
    scene.write_chained(scene.edited(5))
    scene.sign(scene.today)


def _rewrite_newer(scene: Scene) -> None:
    """Change what came after the earlier checkpoint, which stays, as do the key's hand-over and what is before it."""
    lines = scene.edited(HALF + 5)
    handed = [file for file in scene.log.glob("checkpoints/*") if b"\nsuccessor " in file.read_bytes()]
    stays = {file.name: file.read_bytes() for file in (scene.log / "checkpoints").iterdir()}
    scene.write_chained(lines)
    scene.sign(scene.today)
    last = max((int(file.name) for file in handed), default=scene.half)
    for name, content in stays.items():
        if int(name) <= last:
            (scene.log / "checkpoints" / name).write_bytes(content)


def _cut_and_sign(scene: Scene) -> None:
    lines = scene.lines()[:-5]
    scene.write(lines)
    scene.mark(lines)
    shutil.rmtree(scene.log / "tree")
    scene.sign(scene.today)


def _add(scene: Scene) -> None:
    lines = scene.lines()
    durable = codec.seal_of(lines[-1])[0]
    scene.write_chained([*lines, codec.seal(codec.encode_record(payment(999)), durable, b"x" * 22)])
    scene.sign(scene.today)


async def _prune(scene: Scene) -> None:
    store = FileStore(scene.root)
    audit = AuditLog(store, signer=scene.today, rotation=1500, retention=Retention(segments_max=3))
    pruning = await audit.prune(by="operator", reason="old")
    assert pruning.records
    await audit.aclose()
    await store.aclose()


async def _write_nothing(scene: Scene) -> None:
    """What happened and was not appended leaves no trace: the log goes on as if it had not been."""
    store = FileStore(scene.root)
    audit = AuditLog(store, signer=scene.today)
    await audit.append(payment(100))  # 101 was made, and is not recorded
    await audit.append(payment(102))
    await audit.aclose()
    await store.aclose()


ATTACKS = (
    Attack("edit", WRITER, "changes a record", _edit),
    Attack("edit-chained", WRITER, "changes a record, and makes chain and marker anew", _edit_chained),
    Attack("edit-unsigned", WRITER, "the same, and removes all checkpoints", _edit_unsigned),
    Attack("edit-own-key", WRITER, "the same, and signs with a key of its own, of the same name", _edit_by_own_key),
    Attack("delete", WRITER, "removes a record, and makes chain and marker anew", _delete),
    Attack("reorder", WRITER, "exchanges two records, and makes chain and marker anew", _reorder),
    Attack("cut", WRITER, "cuts off the last records, and makes the marker anew", _cut),
    Attack("cut-replay", WRITER, "cuts the log back to an older checkpoint, and puts that one back", _cut_and_replay),
    Attack("replay", WRITER, "puts an older checkpoint back, and changes no record", _replay),
    Attack("replay-edit", WRITER, "puts an older checkpoint back, and changes a record after it", _replay_and_edit),
    Attack("delete-all", WRITER, "removes all of the log", _delete_all),
    Attack("rewrite", HOLDER, "writes all anew, and signs it", _rewrite),
    Attack(
        "rewrite-rotated", HOLDER, "the same, where the key is newer than the record that is changed", _rewrite, True
    ),
    Attack(
        "rewrite-newer", HOLDER, "changes a record that is newer than the earlier checkpoint, and signs", _rewrite_newer
    ),
    Attack("rewrite-newer-rotated", HOLDER, "the same, after a rotation of the key", _rewrite_newer, True),
    Attack("cut-sign", HOLDER, "cuts off the last records, and signs the rest", _cut_and_sign),
    Attack("add", HOLDER, "adds a record of what never happened, and signs it", _add),
    Attack("restore", THIEF, "puts the backup in the place of the log: records and checkpoints", _restore),
    Attack("prune", OPERATOR, "prunes the oldest records by `hubwire prune`, which says so in the log", _prune),
    Attack("not-recorded", OPERATOR, "does not record what happened", _write_nothing),
)


async def measured(attack: Attack, root: Path) -> tuple[str, ...]:
    """Make a log, attack it, and return what each verifier says."""
    scene = await signed_log(root, is_rotated=attack.is_rotated)
    made = await to_thread.run_sync(attack.do, scene)
    if made is not None:
        await made
    return await said(scene)
