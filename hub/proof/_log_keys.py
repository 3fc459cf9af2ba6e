"""The keys by which a witness knows a log: those that it was given, and those to which they have handed over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import CheckpointInvalid
from .handover import KeyChain, successor_of
from .note import Checkpoint, Note, NoteSignature, VerifierKey

__all__ = ("LogKeys",)


class LogKeys:
    """Says who of a log has signed a checkpoint. Pure."""

    def __init__(self, given: Sequence[VerifierKey], handovers: Iterable[Note] = ()) -> None:
        """``handovers`` are the checkpoints that were cosigned, and by which a key has handed over.

        Raises :class:`~hubwire.errors.CheckpointInvalid` if one of them has handed over twice.
        """
        self._given = tuple(given)
        self._handovers = tuple(handovers)
        self._chains = [KeyChain(key, self._handovers) for key in self._given]

    def signatures(self, note: Note, checkpoint: Checkpoint) -> tuple[NoteSignature, ...]:
        """Return the signatures of a checkpoint that count; none if no key that counts for it has signed.

        Of one that hands over there are two: that of the next key, too.
        """
        text = note.text.encode()
        keys = {key for chain in self._chains if (key := chain.signer_of(note, checkpoint)) is not None}
        if not keys:
            return ()
        if (successor := self.successor(note, checkpoint)) is not None:
            keys.add(successor)
        return tuple(each for each in note.signatures if any(key.holds(text, each) for key in keys))

    def successor(self, note: Note, checkpoint: Checkpoint) -> VerifierKey | None:
        """Return the key to which a checkpoint hands over that has signed it, too; None if it does not."""
        try:
            successor = successor_of(checkpoint)
        except CheckpointInvalid:  # it hands over to none, whoever has signed it
            return None
        return successor if successor is not None and note.signed_by(successor) else None

    def followed(self, note: Note) -> LogKeys:
        """Return the keys after a checkpoint that hands over."""
        return LogKeys(self._given, (*self._handovers, note))
