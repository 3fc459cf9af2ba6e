"""Proofs that one record is in a signed log, as files that other tools check, too: C2SP's ``tlog-proof``.

Such a proof holds what is needed beside the record itself and the key of the log; the log, and whoever keeps it, are
not asked. Source: https://c2sp.org/tlog-proof
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Self

import attrs

from .._values import Value
from ..errors import CheckpointInvalid, ProofInvalid
from ._base64 import exact_bytes
from .note import Checkpoint, Note, VerifierKey
from .tree import HASH_BYTES, is_included, leaf_hash

__all__ = ("InclusionProof",)

_FIRST_LINE = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9]\d{0,18})", re.ASCII)
_HASHES_MAX = 63
_CHARACTERS_MAX = 262_144
"""A note has 65,536 at most, and so has a line of a log, which may be in the proof as base64."""


@attrs.frozen(eq=False, repr=False)
class InclusionProof(Value):
    """Shows that a record is in a signed log, at its place. ``str()`` gives the text of a ``.tlog-proof`` file."""

    index: int
    """The number of the record in the log, from 0."""
    hashes: tuple[bytes, ...] = attrs.field(repr=False)
    """The hashes beside its way up the tree, from the leaf upwards; 32 bytes each."""
    note: Note
    """The signed checkpoint of the tree."""
    extra: bytes | None = attrs.field(default=None, repr=False)
    """Bytes that the proof itself says nothing of. In those that hubwire makes it is the line of the record."""

    def __str__(self) -> str:
        extra = "" if self.extra is None else f"extra {b64encode(self.extra).decode()}\n"
        hashes = "".join(f"{b64encode(each).decode()}\n" for each in self.hashes)
        return f"{_FIRST_LINE}\n{extra}index {self.index}\n{hashes}\n{self.note}"

    @classmethod
    def parse(cls, content: object) -> Self:
        """Return the proof that text, or bytes, are; nothing of it is checked yet.

        Raises :class:`~hubwire.errors.ProofInvalid`.
        """
        if type(content) is bytes:
            try:
                content = content.decode()
            except UnicodeDecodeError as error:
                raise ProofInvalid(f"it is no proof: {content[:60]!r} is no UTF-8") from error
        if type(content) is not str or len(content) > _CHARACTERS_MAX:
            raise ProofInvalid(f"a proof is text of at most {_CHARACTERS_MAX:,} characters")
        head, separator, rest = content.partition("\n\n")
        first, *lines = head.split("\n")
        if first != _FIRST_LINE or not separator:
            raise ProofInvalid(f"{content!r:.80} is no proof: its first line is {_FIRST_LINE}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = _decoded(lines.pop(0)[6:], "its extra data")
        found = _INDEX.fullmatch(lines[0]) if lines else None
        if found is None:
            raise ProofInvalid("the proof has no line 'index' with the number of the record")
        hashes = tuple(_decoded(line, "a hash of it") for line in lines[1 : _HASHES_MAX + 2])
        if len(hashes) > _HASHES_MAX or any(len(each) != HASH_BYTES for each in hashes):
            raise ProofInvalid(f"the proof has a hash that is not of {HASH_BYTES} bytes, or more than {_HASHES_MAX}")
        try:
            note = Note.parse(rest)
        except CheckpointInvalid as error:
            raise ProofInvalid(f"the proof has no signed checkpoint: {error}") from error
        return cls(int(found[1]), hashes, note, extra)

    def verify(self, line: bytes, vkey: VerifierKey | str) -> Checkpoint:
        """Check that ``line`` is the record, and that this key has signed a tree which has it; return the checkpoint.

        ``line`` is the record as it stands in the log, to the byte, without its line feed. The key comes from who
        keeps the log, by another way than the proof. Raises :class:`~hubwire.errors.ProofInvalid` if it does not hold,
        and :class:`~hubwire.errors.CheckpointInvalid` if ``vkey`` is no key;
        :class:`~hubwire.errors.ConfigurationError` without the extra ``sign``.
        """
        key = vkey if type(vkey) is VerifierKey else VerifierKey.parse(vkey)
        if type(line) is not bytes:
            raise ProofInvalid(f"verify(): line is the bytes of a record, not {type(line).__name__}")
        try:
            checkpoint = Checkpoint.parse(self.note.text)
        except CheckpointInvalid as error:
            raise ProofInvalid(f"the proof has no checkpoint: {error}") from error
        if checkpoint.origin != key.name:
            raise ProofInvalid(f"the proof is of the log {checkpoint.origin!r:.120}, and the key of {key.name!r:.120}")
        if not self.note.signed_by(key):
            raise ProofInvalid(
                f"the checkpoint of the proof is not signed by the key {key}: it was changed, or is of another key of"
                " that log"
            )
        if not is_included(leaf_hash(line), self.index, checkpoint.size, checkpoint.root, self.hashes):
            raise ProofInvalid(
                f"the record is not number {self.index} of the {checkpoint.size} that were signed: the record or the"
                " proof was changed, to the byte"
            )
        return checkpoint


def _decoded(text: str, what: str) -> bytes:
    try:
        return exact_bytes(text)
    except ValueError as error:
        raise ProofInvalid(f"the proof is damaged: {what} is no base64: {text!r:.80}") from error
