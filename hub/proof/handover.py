"""Hand-overs: a log goes on with a new key, and both keys have signed that.

The checkpoint of a hand-over has a line behind its root, ``successor``, with the new verifier key; the old key and the
new one sign it. A line of its own, and not only a record under the tree: a signer that signs whatever a program appends
would hand over to any key that the program writes into its log.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CheckpointInvalid
from .note import ED25519, Checkpoint, Note, VerifierKey

__all__ = ("KeyChain", "handover_line", "successor_of")

_MARK = "successor "


def handover_line(key: VerifierKey) -> str:
    """Return the line by which a checkpoint hands over to a key."""
    return f"{_MARK}{key}"


def successor_of(checkpoint: Checkpoint) -> VerifierKey | None:
    """Return the key to which a checkpoint hands over; None for one that does not. No signature is looked at.

    Raises :class:`~hubwire.errors.CheckpointInvalid` if it names a key that is none, or two.
    """
    named = [line[len(_MARK) :] for line in checkpoint.extensions if line.startswith(_MARK)]
    if not named:
        return None
    keys = [VerifierKey.parse(each) for each in named]
    if len(keys) > 1 or keys[0].name != checkpoint.origin or keys[0].kind != ED25519 or str(keys[0]) != named[0]:
        raise CheckpointInvalid(
            f"the checkpoint of {checkpoint.size} records hands over to {named[0]!r:.120}, which is no one key of the"
            f" log {checkpoint.origin!r:.120}"
        )
    return keys[0]


class KeyChain:
    """The keys of a log, from one that the reader has been given, over the hand-overs that the log shows. Pure.

    A key counts up to the checkpoint by which it hands over, and its successor from that one on: what a wiped key that
    was stolen before signs for more records than that is not believed. A hand-over counts if both keys have signed it.
    """

    def __init__(self, pinned: VerifierKey | str, notes: Iterable[Note] = ()) -> None:
        """``notes`` are checkpoints of the log, in any order: those that hand over are looked for among them.

        Raises :class:`~hubwire.errors.CheckpointInvalid` if a key has handed over twice, to different keys or at
        different sizes: it was in two hands.
        """
        key = pinned if type(pinned) is VerifierKey else VerifierKey.parse(pinned)
        self._epochs: list[tuple[int, VerifierKey]] = [(0, key)]
        handing = [found for note in notes if (found := _handing_over(note)) is not None]
        handing.sort(key=lambda each: each[0].size)
        for checkpoint, successor, note in handing:
            self._add(checkpoint, successor, note)

    def _add(self, checkpoint: Checkpoint, successor: VerifierKey, note: Note) -> None:
        begin, key = self._epochs[-1]
        if note.signed_by(successor) and successor != key:
            if note.signed_by(key) and checkpoint.size >= begin:
                self._epochs.append((checkpoint.size, successor))
                return
            before = self._epochs[-2][1] if len(self._epochs) > 1 else None
            if before is not None and note.signed_by(before):
                raise CheckpointInvalid(
                    f"the key {before} has handed over twice, to {key} at {begin} records, and to {successor} at"
                    f" {checkpoint.size}: it was in two hands. Ask the log's owner which key is the right one, and give"
                    " that one"
                )

    def follow(self, note: Note, checkpoint: Checkpoint) -> VerifierKey | None:
        """Return :meth:`signer_of`, and go on with the next key if this checkpoint hands over to one.

        For who meets the checkpoints of a log in the order of their sizes. Raises what the constructor raises.
        """
        if (found := _handing_over(note)) is not None:
            self._add(*found)
        return self.signer_of(note, checkpoint)

    @property
    def key(self) -> VerifierKey:
        """The newest key: the one to keep, and to be given next time."""
        return self._epochs[-1][1]

    @property
    def epochs(self) -> tuple[tuple[int, VerifierKey], ...]:
        """From how many records on a checkpoint has to be signed by which key; the first is the one that was given."""
        return tuple(self._epochs)

    def signer_of(self, note: Note, checkpoint: Checkpoint) -> VerifierKey | None:
        """Return the key that counts for a checkpoint and has signed it; None if there is none.

        At the very size of a hand-over both do.
        """
        for at in range(len(self._epochs) - 1, -1, -1):
            begin, key = self._epochs[at]
            end = self._epochs[at + 1][0] if at + 1 < len(self._epochs) else checkpoint.size
            if begin <= checkpoint.size <= end and checkpoint.origin == key.name and note.signed_by(key):
                return key
        return None


def _handing_over(note: Note) -> tuple[Checkpoint, VerifierKey, Note] | None:
    if f"\n{_MARK}" not in note.text:
        return None
    try:
        checkpoint = Checkpoint.parse(note.text)
        successor = successor_of(checkpoint)
    except CheckpointInvalid:  # it hands over to none, whoever has signed it
        return None
    return None if successor is None else (checkpoint, successor, note)
