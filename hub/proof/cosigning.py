"""Cosignatures: a witness says that it has seen a log go on, up to which checkpoint, and when.

A cosignature is over the text of a checkpoint and the time at which it was made. A key of its own kind makes it, so
that it is never taken for the signature of a log. Source: https://c2sp.org/tlog-cosignature
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import attrs

from .._values import Value
from ..errors import CheckpointInvalid
from .note import COSIGNATURE, Note, NoteSignature, VerifierKey
from .signer import PrivateKey

__all__ = ("Cosignature", "WitnessKey", "as_witness_key", "cosignatures", "shown", "with_cosignatures")

_SECONDS_BYTES = 8
_SECONDS_MAX = (1 << 63) - 1


def shown(value: object) -> str:
    """Return a value of a caller's as an error can show it: its own text may raise."""
    is_plain = type(value) in (float, bool, str) or (type(value) is int and -_SECONDS_MAX <= value <= _SECONDS_MAX)
    return f"{value!r:.80}" if is_plain else type(value).__name__


class WitnessKey(PrivateKey):
    """The key of a witness. It signs checkpoints of others, with the time; a log is never signed with it.

    Raises :class:`~hubwire.errors.ConfigurationError` without the extra ``sign``.
    """

    _KIND: ClassVar[int] = COSIGNATURE

    def cosign(self, text: str, seconds: int) -> NoteSignature:
        """Return the cosignature over the text of a checkpoint, made at so many seconds after 1970."""
        if type(seconds) is not int or not 0 <= seconds <= _SECONDS_MAX:
            raise CheckpointInvalid(f"cosign(): seconds is a number of seconds since 1970, not {shown(seconds)}")
        made = self._private.sign(b"cosignature/v1\ntime %d\n" % seconds + text.encode())
        return NoteSignature(self.vkey.name, self.vkey.id, seconds.to_bytes(_SECONDS_BYTES, "big") + made)


def as_witness_key(vkey: object) -> VerifierKey:
    """Return the verifier key of a witness, which it is, or of which it is the text.

    Raises :class:`~hubwire.errors.CheckpointInvalid`.
    """
    key = vkey if type(vkey) is VerifierKey else VerifierKey.parse(vkey)
    if key.kind != COSIGNATURE:
        raise CheckpointInvalid(
            f"{key} is the verifier key of a log, not of a witness: that one is printed by `hubwire witness`, and by"
            " `hubwire keys show`"
        )
    return key


@attrs.frozen(eq=False, repr=False)
class Cosignature(Value):
    """A cosignature that holds."""

    key: VerifierKey
    """Whose it is."""
    at_seconds: int
    """When it was made, by the witness, in seconds since 1970."""
    line: NoteSignature = attrs.field(repr=False)
    """As it stands below the checkpoint."""


def cosignatures(note: Note, keys: Iterable[VerifierKey]) -> list[Cosignature]:
    """Return, for each of these witnesses, its newest cosignature of a checkpoint that holds; others are left out."""
    found = []
    text = note.text.encode()
    for key in keys:
        holding = [each for each in note.signatures if _seconds(each) <= _SECONDS_MAX and key.holds(text, each)]
        if holding:
            newest = max(holding, key=_seconds)
            found.append(Cosignature(key, _seconds(newest), newest))
    return found


def with_cosignatures(note: Note, more: Iterable[NoteSignature]) -> Note:
    """Return a note with cosignatures, each in the place of an older one of its key; what was before them stays."""
    added = list(more)
    keys = {(each.name, each.key_id) for each in added}
    return Note(note.text, (*(each for each in note.signatures if (each.name, each.key_id) not in keys), *added))


def _seconds(signature: NoteSignature) -> int:
    return int.from_bytes(signature.signature[:_SECONDS_BYTES], "big")
