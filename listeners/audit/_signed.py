"""What checkpoints say of a log that is examined: by the tree over its records, and by the keys that signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hubwire.errors import CheckpointInvalid, HashesMissing
from hubwire.log import Record
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, KeyChain, Note, Tree, TreeHashes, VerifierKey, leaf_hash, successor_of

from ._earlier import goes_on_from
from ._signing import archived_path, archived_sizes, newest_path
from ._state import VerifierState
from ._timestamped import TimestampChecks
from ._verdicts import Outcome, Verdict
from ._witnessed import NO_WITNESSES, REWRITTEN, TrustedWitnesses, WitnessChecks

__all__ = ("SignedChecks", "Trust")

_FAULTS_MAX = 20
_KEY_ROTATED = "log.key_rotated"
_FORKED = "log.forked"


class Trust:
    """The keys that are trusted: the one that the reader has, and those to which it was handed over in the log."""

    def __init__(self, vkey: VerifierKey | None) -> None:
        self._chain = None if vkey is None else KeyChain(vkey)
        self._before: tuple[VerifierKey, ...] = ()

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """All of them, the newest last: that one counts from here on."""
        return self._before if self._chain is None else (*self._before, *(key for _, key in self._chain.epochs))

    def go_on(self, keys: Sequence[VerifierKey]) -> None:
        """Go on from what was known of a log before."""
        self._chain, self._before = KeyChain(keys[-1]), tuple(keys[:-1])

    def signer_of(self, note: Note, checkpoint: Checkpoint) -> VerifierKey | None:
        """Return the key that has signed a checkpoint, and counts for it; None if none has.

        They are met in the order of their sizes: what one of them hands over to counts from there on. Raises
        :class:`~hubwire.errors.CheckpointInvalid` if a key has handed over twice.
        """
        return None if self._chain is None else self._chain.follow(note, checkpoint)


def _signers_of(note: Note | None) -> str:
    """Return who signs by a note, as it says: witnesses, whose names are not that of the log, have only seen it."""
    if note is None:
        return ""
    origin = note.text.partition("\n")[0]
    return ", ".join([f"{each.name}+{each.key_id.hex()}" for each in note.signatures if each.name == origin][:3])


class SignedChecks:
    """Grows the tree over the records that are read, and compares it with each checkpoint on the way."""

    def __init__(
        self,
        store: KnowledgeStore,
        path: str,
        vkey: VerifierKey | None,
        expected: Note | None,
        witnesses: TrustedWitnesses = NO_WITNESSES,
        timestamp_roots: tuple[Any, ...] = (),
    ) -> None:
        self.faults: list[str] = []
        """Of integrity."""
        self.checked: int = 0
        """How many checkpoints were compared with the records."""
        self.signed_size: int | None = None
        """How many records the newest checkpoint is over that a trusted key has signed."""
        self.newest_size: int | None = None
        """How many records the newest checkpoint of the log speaks of."""
        self.meets_expected: bool | None = None
        """Whether the log has the root of the checkpoint that is expected; None before it has as many records."""
        self.uncompared: str | None = None
        """Why the checkpoint that is expected could not be compared; None if it was, or could still be."""
        self.met: dict[int, bytes] = {}
        """The root of the records by their number, where there is a checkpoint."""
        self.newest_claimed: int = 0
        """How many records the newest of all checkpoints there are is over."""
        self.rolled_back: str | None = None
        """What says that the newest checkpoint is an older one, which was put back."""
        self.expected: Checkpoint | None = None if expected is None else Checkpoint.parse(expected.text)
        self.trust = Trust(vkey)
        self.withheld: dict[int, bytes] = {}
        """The leaf hashes of records that are withheld from a copy, by their indexes."""
        self.timestamps = TimestampChecks(store, timestamp_roots)
        self.witnesses = WitnessChecks(witnesses, None if vkey is None else vkey.name)
        self.vkey = vkey
        self._store = store
        self._path = path
        self._tree: Tree | None = None
        self._due: list[int] = []
        """The sizes of checkpoints that are still to be met, in ascending order."""
        self._newest: Note | None = None
        self._signer: VerifierKey | None = None
        self._unsigned: list[str] = []
        """Checkpoints that the records agree with, and no trusted key has signed."""
        self._of_other_names: list[tuple[int, str]] = []
        """Those of another name than that of the key, by their sizes."""
        self._kept = 0
        """So many records are known from an earlier examination."""
        self._forked_at: int | None = None
        """The record with which the log was forked to the name of the key."""

    @property
    def tree(self) -> Tree | None:
        """The tree over what was read; None if the log is not signed."""
        return self._tree

    async def is_signed(self) -> bool:
        """Return whether there is a checkpoint of the log, whatever it is worth."""
        return await self._store.exists(newest_path(self._path)) or bool(await archived_sizes(self._store, self._path))

    async def begin(self, first: int, state: VerifierState | None = None, *, known: int = 0) -> None:
        """Find the checkpoints, and the tree before record ``first``, with which the reading begins.

        ``state`` is what was known there when it was read before; ``known``: so many records were signed then.
        """
        if state is not None and self.vkey in state.keys:
            self.trust.go_on(state.keys)
            self.signed_size, self._signer = state.signed, state.keys[-1]
        self._kept = 0 if state is None else state.records
        sizes = await archived_sizes(self._store, self._path)
        names = await self._store.list(f"{self._path}/checkpoints")
        self.timestamps.there = sum(name.endswith(".tsr") for name in names)
        content = await self._store.read_bytes(newest_path(self._path))
        if content is not None:
            try:
                self._newest = Note.parse(content)
                newest = Checkpoint.parse(self._newest.text)
            except CheckpointInvalid as error:
                self.faults.append(f"{newest_path(self._path)} is damaged: {error}")
            else:
                self.newest_size = newest.size
                sizes.append(newest.size)
        self._look_at_newest(max(sizes, default=0), known if state is None else state.signed or 0)
        if self.expected is not None:
            sizes.append(self.expected.size)
        sizes += await self.witnesses.begin(self._store, self._path, first)
        self.faults += self.witnesses.faults
        if not sizes:
            return
        self._due = sorted({size for size in sizes if size >= first})
        if state is None:
            await self._follow(sorted({size for size in sizes if size < first}))
        before = None if state is None else state.tree
        self._tree = await self._tree_before(first) if before is None else before.copy()
        if self.expected is not None and self.expected.size < first and self._tree is not None:
            await self._meet_earlier(self.expected, self._tree)
        await self.add(())  # a checkpoint of just the records that are not read again

    def _look_at_newest(self, archived: int, known: int) -> None:
        """See that the newest checkpoint is not an older one, which was put back, or gone."""
        newest, there = self.newest_size or 0, max(archived, known)
        self.newest_claimed = max(newest, there)
        if newest >= there:
            return
        who = "one of its checkpoints" if archived == there else "what was known when it was verified last"
        self.rolled_back = (
            f"{newest_path(self._path)} speaks of {newest} records"
            if self.newest_size is not None
            else f"{newest_path(self._path)} is missing, or damaged"
        ) + f", and {who} of {there}: an older one was put back, or the newest removed; restore it from a copy"

    async def _meet_earlier(self, expected: Checkpoint, tree: Tree) -> None:
        """Compare the checkpoint that is expected with records that are not read."""
        goes_on = await goes_on_from(self._store, self._path, expected, tree)
        if goes_on is None:
            self.uncompared = (
                f"the checkpoint that is expected, of {expected.size} records, could not be compared: they were pruned,"
                f" and hashes of them are missing in {self._path}/tree"
            )
            return
        self.meets_expected = goes_on
        if not goes_on:
            self._differs_from_expected(expected.size)

    def _differs_from_expected(self, size: int) -> None:
        self.faults.append(
            f"the first {size} records of the log {self._path} are not those of the checkpoint that was kept:"
            " one of them was changed, or the log was written anew"
        )

    def stop(self) -> None:
        """Compare nothing more: records are missing, so that the tree is not that of the log any more."""
        self._tree, self._due = None, []

    async def _follow(self, sizes: Sequence[int]) -> None:
        """Look at checkpoints over records that were pruned: they may hand over. Their roots are not known any more."""
        for size in sizes:
            for note, place in await self._notes(size):
                try:
                    checkpoint = Checkpoint.parse(note.text)
                except CheckpointInvalid as error:
                    self.faults.append(f"{place} is damaged: {error}")
                    continue
                if checkpoint.size != size:
                    self.faults.append(f"{place} is over {checkpoint.size} records: it was changed, or moved there")
                elif self.vkey is not None:
                    self._check_signer(note, checkpoint, place, is_read=False)

    async def _tree_before(self, first: int) -> Tree | None:
        if not first:
            return Tree()
        try:
            return await TreeHashes(self._store, self._path).tree(first)
        except HashesMissing as error:
            self.faults.append(f"the tree of the records that were pruned is not there: {error}")
            return None

    async def add(self, records: Sequence[Record]) -> None:
        """Take the next records, all of which are as they were written."""
        tree = self._tree
        if tree is None:
            return
        at = 0
        while self._due and self._due[0] <= tree.size + len(records) - at:
            size = self._due.pop(0)
            here = at + size - tree.size
            tree.extend(self._leaves(records[at:here]))
            at = here
            await self._meet(size, tree.root())
        if at < len(records):
            tree.extend(self._leaves(records[at:]))

    def _leaves(self, records: Sequence[Record]) -> list[bytes]:
        if not self.withheld:
            return [leaf_hash(record.line) for record in records]
        withheld = [self.withheld.pop(record.index, b"") for record in records]
        return [leaf or leaf_hash(record.line) for leaf, record in zip(withheld, records, strict=True)]

    def announced(self, index: int, fields: Mapping[str, Any]) -> None:
        """Look at a record of the log's own: it may tell of another key, or of another name from there on."""
        if fields.get("kind") == _FORKED and self.vkey is not None and fields.get("new") == str(self.vkey):
            self._forked_at = index
        if fields.get("kind") == _KEY_ROTATED:
            try:
                VerifierKey.parse(fields.get("new"))  # what counts is the checkpoint that both keys have signed
            except CheckpointInvalid as error:
                self.faults.append(f"record {index} of the log {self._path} hands over to no key: {error}")

    async def _meet(self, size: int, root: bytes) -> None:
        """Compare the tree with the checkpoints over so many records."""
        self.met[size] = root
        if self.expected is not None and self.expected.size == size:
            self.meets_expected = self.expected.root == root
            if not self.meets_expected:
                self._differs_from_expected(size)
        for note, place in await self._notes(size):
            try:
                checkpoint = Checkpoint.parse(note.text)
            except CheckpointInvalid as error:
                self.faults.append(f"{place} is damaged: {error}")
                continue
            self.checked += 1
            if (checkpoint.size, checkpoint.root) != (size, root):
                self.faults.append(
                    f"the first {size} records of the log {self._path} are not those of its checkpoint {place}: one of"
                    " them was changed"
                )
            elif self.vkey is not None:
                self._check_signer(note, checkpoint, place)
                self.witnesses.met(note, checkpoint)
                if place.endswith(f"{size:020}"):
                    await self.timestamps.met(note, checkpoint, place)

    def _check_signer(self, note: Note, checkpoint: Checkpoint, place: str, *, is_read: bool = True) -> None:
        try:
            signer, successor = self.trust.signer_of(note, checkpoint), successor_of(checkpoint)
        except CheckpointInvalid as error:
            self.faults.append(f"{place}: {error}")
            return
        if signer is None:
            fault = f"{place} is not signed by {self.trust.keys[-1]}"
            if self.vkey is not None and checkpoint.origin != self.vkey.name:
                self._of_other_names.append((checkpoint.size, fault))
            else:
                self._unsigned.append(fault)
            return
        if signer == self.vkey == successor:
            self._unsigned = []  # they are of keys before the one that the reader has, which has signed them, too
        if is_read and (self.signed_size is None or checkpoint.size >= self.signed_size):
            self.signed_size, self._signer = checkpoint.size, signer

    async def _notes(self, size: int) -> list[tuple[Note, str]]:
        notes = []
        place = archived_path(self._path, size)
        if (content := await self._store.read_bytes(place)) is not None:
            try:
                notes.append((Note.parse(content), place))
            except CheckpointInvalid as error:
                self.faults.append(f"{place} is damaged: {error}")
        if self._newest is not None and size == self.newest_size:
            notes.append((self._newest, newest_path(self._path)))
        return [*notes, *self.witnesses.note_at(size, self._path)]

    # -- when the log was read --

    @property
    def kept_size(self) -> int:
        """How many records the checkpoint is over that was kept elsewhere, if the log agrees with it."""
        return self.expected.size if self.expected is not None and self.meets_expected else 0

    def _rewritten(self, records: int) -> tuple[str, ...]:
        """Return what is not known of who has the key: from where on he may have written the log anew."""
        known = max(self.kept_size, self._kept)
        if not known:
            return (f"{REWRITTEN} it anew: a checkpoint kept elsewhere, or a witness, shows it",)
        if known >= records:
            return ()
        return (f"{REWRITTEN} the records from {known:,} on anew: a newer checkpoint, or a witness, shows it",)

    def whole_verdict(self, records: int, *, is_damaged: bool, is_partial: bool) -> Verdict:
        """Return who has signed how much, who has witnessed it, and when it was stamped."""
        verdict = self.verdict(records, is_damaged=is_damaged)
        verdict = self.witnesses.added_to(
            verdict, records, self._path, is_damaged=is_damaged, kept=self.kept_size, known=self._kept
        )
        return self.timestamps.added_to(verdict, self._path, is_partial=is_damaged or is_partial)

    @property
    def expected_size(self) -> int | None:
        """How many records the checkpoint that is expected is over."""
        return None if self.expected is None else self.expected.size

    @property
    def claimed(self) -> int:
        """How many records some checkpoint speaks of that were not met."""
        return self._due[-1] if self._due else 0

    def verdict(self, records: int, *, is_damaged: bool) -> Verdict:
        """Return who has signed how much of a log of so many records; ``is_damaged``: it was not read to its end."""
        if self._newest is None and not self.checked:
            return Verdict(
                outcome=Outcome.UNKNOWN if self.vkey is None else Outcome.FAILS,
                reason="the log is not signed",
                faults=() if self.vkey is None else (f"the log {self._path} has no checkpoint, of {self.vkey} or any",),
                not_looked_at=("who wrote the log: what can write to the store can write all of it anew",),
            )
        if self.vkey is None:
            names = _signers_of(self._newest) or "?"
            return Verdict(
                outcome=Outcome.UNKNOWN,
                reason=f"the log says that it is signed by {names}",
                looked_at=(f"the root of {self.checked} checkpoints",) if self.checked else (),
                not_looked_at=("the signatures: give the verifier key of its owner, kept elsewhere (--vkey)",),
            )
        # What has another name is of this log where it says itself that it was forked behind that.
        others = [fault for size, fault in self._of_other_names if self._forked_at is None or size > self._forked_at]
        if unsigned := [*self._unsigned, *others]:
            return Verdict(
                outcome=Outcome.FAILS,
                reason="a checkpoint of the log is not signed by that key",
                faults=tuple(unsigned[:_FAULTS_MAX]),
            )
        if self.signed_size is None and is_damaged:
            return Verdict(
                outcome=Outcome.UNKNOWN,
                reason="the log was not read up to a checkpoint, because a record is damaged",
                not_looked_at=("who has signed the records",),
            )
        if self.signed_size is None or self._signer is None:
            return Verdict(
                outcome=Outcome.FAILS,
                reason="no checkpoint of the log is signed by that key",
                faults=(f"no checkpoint of the log {self._path} that it agrees with is signed by {self.vkey}",),
            )
        rest = records - self.signed_size
        handed = f", to which {self.vkey.id.hex()} handed over" if self._signer != self.vkey else ""
        return Verdict(
            outcome=Outcome.HOLDS,
            reason=f"the first {self.signed_size:,} of {records:,} records are signed by {self._signer.name}"
            f"+{self._signer.id.hex()}{handed}",
            looked_at=(f"root and signature of {self.checked} checkpoints",),
            not_looked_at=(
                *((f"the last {rest:,} records, which are not signed yet",) if rest else ()),
                *self._rewritten(records),
            ),
        )
