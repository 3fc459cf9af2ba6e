"""A signed log that cannot go on from its checkpoint goes on as another one: a fork, which the log itself tells of.

The steps, each on the store before the next one begins; after a crash the same call finishes what was begun:

1. The new signer signs what is there: one that does not is refused before the log says so.
2. What the new log cannot agree with, its newest checkpoint among them, is copied to ``forks/<id of the new key>/``.
3. The record ``log.forked`` cites the old checkpoint, and says why it was given up, by whom, and which key signs now.
4. A checkpoint over it takes the place of the old one. Up to here, the log is refused as before.
5. The others that do not agree are removed from among ``checkpoints/``.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import anyio
import attrs

from hubwire.clock import SystemClock
from hubwire.errors import CheckpointInvalid, ConfigurationError, HashesMissing, LogDamaged
from hubwire.log import Log, LogReader, list_segments, read_kept, segment_path
from hubwire.ports import KnowledgeStore, normalize_path
from hubwire.proof import Checkpoint, Note, Signer, Tree, TreeHashes, VerifierKey, as_signer, leaf_hash
from hubwire.text_store import TextStore

from . import _arguments
from ._forks import KIND, cited_in
from ._records import RecordChecks, at_byte, fields_of
from ._redaction import Redaction
from ._seen_elsewhere import UNWITNESSED, SeenElsewhere
from ._signing import Signing, archived_path, archived_sizes, newest_path, witnessed_path
from .stand_ins import refuse_copy

__all__ = ("Fork", "fork")

_NOTE_CHARS_MAX = 16_384


@attrs.frozen(kw_only=True)
class Fork:
    """What came of a fork."""

    path: str
    record: int
    """The index of ``log.forked``; of a dry run, that it would have at least."""
    origin: str
    """The name under which the log goes on."""
    old: Checkpoint
    """The newest checkpoint that there was."""
    is_continuous: bool
    """Whether the records of that checkpoint are all there: only its key is not used any more."""
    note: Note | None
    """The first checkpoint of the new name; None of a dry run."""
    seen: SeenElsewhere | None = None
    """A witness that has seen records of the old name which are not there, as a ``log.unwitnessed`` says: they are
    lost, also where the checkpoint ``old`` knows nothing of them, as after a restore from a copy."""


async def fork(
    store: KnowledgeStore | TextStore,
    path: str = "/audit",
    *,
    signer: Signer,
    reason: str,
    by: str | None = None,
    dry_run: bool = False,
) -> Fork:
    """Let a signed log go on under another name, with the records that are there; return what it says of the old one.

    For the operator of a log that is refused, by :class:`~hubwire.errors.LogRolledBack`, and whose newest records are
    lost; or whose key is. A name stands for one history, so ``signer`` is of another name than the old checkpoint.
    The record ``log.forked`` cites that checkpoint, with ``reason`` and ``by``, redacted as records are, and is under
    the first checkpoint of the new name. From then on an :class:`AuditLog` with this signer opens and appends, and
    whoever verifies it is told: it is never taken for the old log. What is given up stays in ``forks/`` beside it.

    No program may have the log open. ``dry_run`` changes nothing. Called again after a crash, it finishes.

    Raises :class:`~hubwire.errors.ConfigurationError` for a log that was never signed, or is a redacted copy, or a
    signer of a name that the log has or had;
    :class:`~hubwire.errors.LogDamaged` for a record that is damaged: ``hubwire repair`` cuts the log before it;
    :class:`~hubwire.errors.SigningFailed`, and what opening an audit log raises.
    """
    path = normalize_path(path)
    redaction = Redaction("default")
    by = redaction.words(_arguments.words("fork(): by", by, is_optional=True))
    reason = redaction.words(_arguments.words("fork(): reason", reason)) or ""
    is_dry_run = _arguments.flag("fork(): dry_run", dry_run)
    forking = _Forking(_arguments.store_for(store), path, as_signer(signer))
    return await forking.carry_out(by, reason, is_dry_run=is_dry_run)


class _Forking:
    def __init__(self, store: KnowledgeStore, path: str, signer: Signer) -> None:
        self._store = store
        self._path = path
        self._vkey: VerifierKey = signer.vkey
        self._hashes = TreeHashes(store, path)
        self._log = Log(store, path, clock=SystemClock(), chained=True, announce_opening=True)
        self._signing = Signing(store, self._log, SystemClock(), signer, 1.0)

    async def carry_out(self, by: str | None, reason: str, *, is_dry_run: bool) -> Fork:
        await refuse_copy(self._store, self._path)
        await self._log.open()
        try:
            notes = await self._notes()
            found = await _Records.read(self._store, self._path, {size for size, _, _ in notes.values()})
            done = found.forks.get(str(self._vkey))
            self._check_new(found)
            old, text = self._old(notes, done)
            is_continuous = found.roots.get(old.size) == old.root if done is None else bool(done[1].get("continuous"))
            seen = found.seen if done is None else SeenElsewhere.cited_in(done[1])
            if is_dry_run:
                return self._fork(self._log.records, old, None, seen, is_continuous=is_continuous)
            with anyio.CancelScope(shield=True):
                note, index = await self._go_on(notes, found, old, text, by=by, reason=reason)
            return self._fork(index, old, note, seen, is_continuous=is_continuous)
        finally:
            with anyio.CancelScope(shield=True):
                await self._log.aclose()

    def _check_new(self, found: _Records) -> None:
        """Refuse a name that an earlier fork has given up: the log has had another history under it."""
        name = self._vkey.name
        for index, fields in found.forks.values():
            if (cited := cited_in(fields)) is not None and cited.origin == name:
                raise ConfigurationError(
                    f"fork(): record {index} of the log {self._path} says that the name {name!r:.120} was given up, and"
                    " a name stands for one history. Make a key of a name that the log never had: hubwire keys new"
                    " NAME --out FILE"
                )

    def _fork(
        self, index: int, old: Checkpoint, note: Note | None, seen: SeenElsewhere | None, *, is_continuous: bool
    ) -> Fork:
        origin = self._vkey.name
        return Fork(
            path=self._path, record=index, origin=origin, old=old, is_continuous=is_continuous, note=note, seen=seen
        )

    async def _notes(self) -> dict[str, tuple[int, Checkpoint | None, bytes]]:
        """Return all checkpoints by their path: of how many records each is, what it says, and the file."""
        files = [archived_path(self._path, size) for size in await archived_sizes(self._store, self._path)]
        notes: dict[str, tuple[int, Checkpoint | None, bytes]] = {}
        for file in [*files, newest_path(self._path), witnessed_path(self._path)]:
            content = await self._store.read_bytes(file)
            if content is not None:
                try:
                    checkpoint = Checkpoint.parse(Note.parse(content).text)
                except CheckpointInvalid:  # it is given up, too
                    notes[file] = (-1, None, content)
                else:
                    notes[file] = (checkpoint.size, checkpoint, content)
        return notes

    def _old(
        self, notes: Mapping[str, tuple[int, Checkpoint | None, bytes]], done: tuple[int, dict[str, Any]] | None
    ) -> tuple[Checkpoint, bytes]:
        """Return the newest checkpoint of the old name, and its file; after a crash, the one that the record cites."""
        if done is not None and (cited := cited_in(done[1])) is not None:
            return cited, b""
        known = [(each, content) for _, each, content in notes.values() if each is not None]
        if not known:
            raise ConfigurationError(
                f"fork(): the log {self._path} has no checkpoint that can be read, so that it goes on as it is: give"
                " AuditLog(store, signer=...) the key"
            )
        old, content = max(known, key=lambda each: each[0].size)
        if old.origin == self._vkey.name:
            raise ConfigurationError(
                f"fork(): the log {self._path} is signed as {old.origin!r:.120}, and so would the fork be: two"
                f" histories of one name. Make a key of another one: hubwire keys new {old.origin:.120}-2 --out FILE"
            )
        return old, content

    async def _go_on(
        self,
        notes: Mapping[str, tuple[int, Checkpoint | None, bytes]],
        found: _Records,
        old: Checkpoint,
        content: bytes,
        *,
        by: str | None,
        reason: str,
    ) -> tuple[Note, int]:
        log, growing, vkey = self._log, self._signing.growing, self._vkey
        await self._hashes.cut(found.first)
        growing.begin_anew(found.tree, found.first)
        await self._signing.try_out(self._signing.signer)
        given_up = {
            file: each
            for file, (_, checkpoint, each) in notes.items()
            if checkpoint is None or (checkpoint.origin != vkey.name and self._is_given_up(file, checkpoint, found))
        }
        for file, each in given_up.items():
            kept = f"{self._path}/forks/{vkey.id.hex()}/{file.rpartition('/')[2]}"
            await self._store.write(kept, each)
            # Its timestamp is of no other checkpoint, and one over as many records may be there soon.
            if (stamp := await self._store.read_bytes(f"{file}.tsr")) is not None:
                await self._store.write(f"{kept}.tsr", stamp)
                await self._store.delete(f"{file}.tsr")
        done = found.forks.get(str(vkey))
        if done is None:
            is_continuous = found.roots.get(old.size) == old.root
            if is_continuous:
                await self._store.write(archived_path(self._path, old.size), content)
            body = log.own_record(
                KIND,
                old={"origin": old.origin, "size": old.size, "root": b64encode(old.root).decode()},
                note=content.decode(errors="replace")[:_NOTE_CHARS_MAX],
                records=log.records,
                continuous=is_continuous,
                **({} if found.seen is None else {"witnessed": found.seen.to_fields()}),
                new=str(vkey),
                by=by,
                reason=reason,
            )
            index = await log.append([body])
        else:
            index = done[0]
        found.tree.extend([leaf_hash(line) for line in await self._lines_from(found.tree.size)])
        note = await self._signing.sign(is_archived=True)
        for file, each in given_up.items():
            # The new checkpoint may be over as many records as one that is given up.
            if file != newest_path(self._path) and await self._store.read_bytes(file) == each:
                await self._store.delete(file)
        return note, index

    def _is_given_up(self, file: str, checkpoint: Checkpoint, found: _Records) -> bool:
        """Return whether a checkpoint cannot stay where it is: of those of pruned records nothing is known."""
        size = checkpoint.size
        return file == newest_path(self._path) or (size >= found.first and found.roots.get(size) != checkpoint.root)

    async def _lines_from(self, index: int) -> list[bytes]:
        """Return the lines that were appended now."""
        reader, lines = LogReader(self._store, self._path), []
        await reader.seek_index(index)
        while records := await reader.read():
            lines += [record.line for record in records]
        return lines


@attrs.define
class _Records:
    """What was read of the log before it is forked."""

    first: int
    tree: Tree
    roots: dict[int, bytes] = attrs.field(factory=dict)
    """The root of the first records, of as many as checkpoints are over."""
    forks: dict[str, tuple[int, dict[str, Any]]] = attrs.field(factory=dict)
    """The records ``log.forked``, by the key that they name."""
    seen: SeenElsewhere | None = None
    """What witnesses have said since the newest of them."""

    @classmethod
    async def read(cls, store: KnowledgeStore, path: str, sizes: set[int]) -> _Records:
        """Read all records. Raises :class:`~hubwire.errors.LogDamaged` at one that is not as it was written."""
        if not await list_segments(store, path):
            raise ConfigurationError(f"fork(): there is no log at {path}")
        first = (await read_kept(store, path)).first
        try:
            tree = await TreeHashes(store, path).tree(first)
        except HashesMissing as error:
            raise LogDamaged(
                f"the log {path} begins at record {first}, and the hashes of those before it are not beside it: it"
                f" cannot be forked; restore {path}/tree from a copy, or sign a new log at another path",
                path=path,
            ) from error
        found, checks, reader = cls(first, tree), RecordChecks(path, first), LogReader(store, path)
        due = sorted(size for size in sizes if size >= first)
        while records := await reader.read():
            checks.begin_segment(reader.segment)
            for number, record in enumerate(records):
                found._meet(due)
                try:
                    head = checks.add(record)
                except LogDamaged as error:
                    offset = reader.offset - sum(len(each.line) + 1 for each in records[number:])
                    raise at_byte(error, segment_path(path, reader.segment), offset) from error
                if head.kind == KIND and (new := (fields := fields_of(record)).get("new")) is not None:
                    found.forks[str(new)], found.seen = (record.index, fields), None
                elif head.kind == UNWITNESSED:
                    found.seen = SeenElsewhere.said_in(fields_of(record), record.index) or found.seen
                tree.extend([leaf_hash(record.line)])
            await anyio.lowlevel.checkpoint()
        found._meet(due)
        return found

    def _meet(self, due: list[int]) -> None:
        while due and due[0] <= self.tree.size:
            size = due.pop(0)
            if size == self.tree.size:
                self.roots[size] = self.tree.root()
