"""Signed notes and checkpoints, as C2SP has them: texts, keys and signatures that other tools read and write.

A note is a text, an empty line, and a line for each signature. A checkpoint is a note whose text names a log, how many
records it has, and the root of their tree. Sources: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint and
https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Self

import attrs

from .._values import Value
from ..errors import CheckpointInvalid, ConfigurationError
from ._base64 import exact_bytes
from .tree import HASH_BYTES

__all__ = ("Checkpoint", "Note", "NoteSignature", "VerifierKey", "ed25519")

_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_NUMBER = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_KEY_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_BYTES_MAX = 65_536
_SIGNATURES_MAX = 100

ED25519 = 0x01
"""The type of a key whose signatures are over the text of a note."""
COSIGNATURE = 0x04
"""The type of a key of a witness: its signatures are over a checkpoint and the time at which it was seen."""

_KEY_BYTES = {ED25519: 32, COSIGNATURE: 32}


def ed25519(call: str) -> Any:
    """Return the module that signs and checks. Raises :class:`~hubwire.errors.ConfigurationError` without it."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519 as module  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"{call}: signatures of Ed25519 need the package cryptography; install hubwire[sign]"
        ) from error
    return module


def check_name(name: object) -> str:
    """Return the name of a key or a log, which is one."""
    if type(name) is not str or not _NAME.fullmatch(name) or not name.isprintable():
        shown = f"{name!r:.80}" if type(name) is str else type(name).__name__
        raise CheckpointInvalid(
            f"the name of a log and its key is 1 to 255 characters without spaces and +, such as"
            f" 'example.org/hub/audit', not {shown}"
        )
    return name


def key_id(name: str, kind: int, key: bytes) -> bytes:
    """Return the four bytes by which signatures name a key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]


def _decoded(text: str, what: str) -> bytes:
    try:
        return exact_bytes(text)
    except ValueError as error:
        raise CheckpointInvalid(f"{what} is no base64: {text!r:.80}") from error


@attrs.frozen(eq=False, repr=False)
class NoteSignature(Value):
    """A signature of a note, of which it is not known yet whether it holds."""

    name: str
    """Whose it is said to be."""
    key_id: bytes
    """The four bytes that name the key."""
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {b64encode(self.key_id + self.signature).decode()}\n"


@attrs.frozen(eq=False, repr=False)
class VerifierKey(Value):
    """A public key, as text ``name+id+key``: who has it can check what its owner has signed, and sign nothing.

    Raises :class:`CheckpointInvalid` for what is no key. Source: https://c2sp.org/signed-note
    """

    name: str
    """The name of the log, or of the witness, that signs with it."""
    kind: int
    """The type of its signatures: 1 for a log, 4 for a witness."""
    public: bytes = attrs.field(repr=False)
    """The 32 bytes of the key of Ed25519."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the key of which ``text`` is the text."""
        if type(text) is not str:
            raise CheckpointInvalid(f"a verifier key is text, such as 'name+1234abcd+AQ…', not {type(text).__name__}")
        name, _, rest = text.strip().partition("+")
        number, _, encoded = rest.partition("+")
        if not _KEY_ID.fullmatch(number) or not encoded:
            raise CheckpointInvalid(
                f"{text!r:.80} is no verifier key; `hubwire keys show` prints the one of a key file"
            )
        key = _decoded(encoded, "a verifier key")
        if not key or len(key) - 1 != _KEY_BYTES.get(key[0], -1):
            raise CheckpointInvalid(f"{text!r:.80} is a verifier key of another kind than Ed25519")
        if key_id(check_name(name), key[0], key[1:]).hex() != number:
            raise CheckpointInvalid(f"{text!r:.80} is no verifier key: its id is not that of its name and its bytes")
        return cls(name, key[0], key[1:])

    @property
    def id(self) -> bytes:
        """The four bytes by which signatures name it."""
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    def holds(self, text: bytes, signature: NoteSignature) -> bool:
        """Return whether ``signature`` is one of this key, over ``text``: a whole note without its signatures.

        Raises :class:`~hubwire.errors.ConfigurationError` without the extra ``sign``.
        """
        if signature.name != self.name or signature.key_id != self.id:
            return False
        module = ed25519("a signature")
        made = signature.signature
        if self.kind == COSIGNATURE:
            made, text = made[8:], b"cosignature/v1\ntime %d\n" % int.from_bytes(made[:8], "big") + text
        if len(made) != 64:
            return False
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

        try:
            module.Ed25519PublicKey.from_public_bytes(self.public).verify(made, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@attrs.frozen(eq=False, repr=False)
class Note(Value):
    """A text and its signatures, of which nothing is believed yet. ``str()`` gives what is stored and sent."""

    text: str
    """What is signed: lines, each with its line feed."""
    signatures: tuple[NoteSignature, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, content: object) -> Self:
        """Return the note that text, or bytes, are. Raises :class:`CheckpointInvalid`."""
        if type(content) is bytes:
            try:
                content = content.decode()
            except UnicodeDecodeError as error:
                raise CheckpointInvalid(f"it is no signed note: {content[:60]!r} is no UTF-8") from error
        if type(content) is not str or len(content) > _BYTES_MAX:
            raise CheckpointInvalid(f"a signed note is text of at most {_BYTES_MAX:,} characters")
        text, separator, rest = content.rpartition("\n\n")
        if not separator or not rest.endswith("\n") or any(ord(each) < 0x20 and each != "\n" for each in content):
            raise CheckpointInvalid(
                f"{content!r:.80} is no signed note: that is text, an empty line, and lines of signatures"
            )
        lines = rest[:-1].split("\n")
        if len(lines) > _SIGNATURES_MAX:
            raise CheckpointInvalid(f"a signed note has at most {_SIGNATURES_MAX} signatures, not {len(lines):,}")
        return cls(text + "\n", tuple(map(_parsed_signature, lines)))

    def signed_by(self, key: VerifierKey) -> bool:
        """Return whether it has a signature of this key that holds."""
        return any(key.holds(self.text.encode(), each) for each in self.signatures)

    def with_signatures(self, more: Sequence[NoteSignature]) -> Note:
        """Return the note with more signatures behind those that it has."""
        return Note(self.text, (*self.signatures, *(each for each in more if each not in self.signatures)))


def _parsed_signature(line: str) -> NoteSignature:
    mark, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if mark != "—" or not encoded:
        raise CheckpointInvalid(f"{line!r:.80} is no line with a signature: that is '— name base64'")
    made = _decoded(encoded, "a signature")
    if len(made) < 5:
        raise CheckpointInvalid(f"{line!r:.80} has a signature that is too short")
    return NoteSignature(check_name(name), made[:4], made[4:])


@attrs.frozen(eq=False, repr=False)
class Checkpoint(Value):
    """What a log says of itself: its name, how many records it has, and the root of their tree."""

    origin: str
    """The name of the log, which its key has, too."""
    size: int
    """How many records it has."""
    root: bytes
    """The root of the tree of RFC 6962 over the lines of the records: 32 bytes."""
    extensions: tuple[str, ...] = ()
    """More lines. hubwire writes none, and believes none."""

    @property
    def text(self) -> str:
        """The text that is signed."""
        more = "".join(f"{line}\n" for line in self.extensions)
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n{more}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the checkpoint that the text of a note is. Raises :class:`CheckpointInvalid`."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise CheckpointInvalid(f"{text!r:.80} is no checkpoint: that is a name, a number and a root, a line each")
        origin, number, encoded, *extensions = lines
        root = _decoded(encoded, "the root of a checkpoint")
        if not _NUMBER.fullmatch(number) or len(root) != HASH_BYTES:
            raise CheckpointInvalid(f"{text!r:.80} is no checkpoint: it has no number of records, or no root")
        return cls(origin, int(number), root, tuple(extensions))
