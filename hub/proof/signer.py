"""Keys that sign checkpoints: the port Signer, and a key in a file.

A signer is asked with the checkpoint and with a way to have it proved that it goes on from an earlier one: who keeps
that one, outside the program that writes the log, can refuse to sign two histories.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import attrs

from .._values import Value
from ..errors import CheckpointInvalid, ConfigurationError
from ._base64 import exact_bytes
from .note import COSIGNATURE, ED25519, Checkpoint, NoteSignature, VerifierKey, check_name, ed25519, key_id

__all__ = ("FunctionSigner", "KeySigner", "PrivateKey", "Signer", "SigningRequest", "as_signer", "wipe_key")

_PREFIX = "PRIVATE+KEY"
_SECRET_BYTES = 32
_FILE_BYTES_MAX = 4096
_KEYS_OF = {ED25519: "log", COSIGNATURE: "witness"}


@attrs.frozen(eq=False, repr=False)
class SigningRequest(Value):
    """What a signer is asked to sign."""

    checkpoint: Checkpoint
    """The log says this of itself. All records that it speaks of are stored."""
    prove: Callable[[int], Awaitable[Sequence[bytes]]] = attrs.field(repr=False, eq=False)
    """``await prove(size)`` gives the hashes which show that the log goes on from its first ``size`` records."""

    @property
    def text(self) -> bytes:
        """The bytes over which the signature has to be."""
        return self.checkpoint.text.encode()


@runtime_checkable
class Signer(Protocol):
    """Signs the checkpoints of one log: a port. What it returns is checked before it is stored.

    ``sign`` is called by one task at a time, and has to answer within 30 seconds: a signer that raises, or is late, is
    asked again a second later, and the log is not healthy meanwhile; appends go on. It may be called again for a
    checkpoint that it has signed. A signer in another process, a token or a cloud service implements it as well.
    """

    @property
    def vkey(self) -> VerifierKey:
        """The public key of its signatures now. Its name is the name of the log."""
        ...

    async def sign(self, request: SigningRequest) -> NoteSignature:
        """Return the signature of the key ``vkey`` over ``request.text``."""
        ...


class PrivateKey:
    """A key of Ed25519 that is in this process: whoever can read its memory, or its file, can sign, too.

    Raises :class:`~hubwire.errors.ConfigurationError` without the extra ``sign``.
    """

    _KIND: ClassVar[int] = ED25519
    """The type of its signatures."""

    def __init__(self, name: str, secret: bytes) -> None:
        """``secret`` are the 32 bytes of a private key of Ed25519."""
        check_name(name)
        if type(secret) is not bytes or len(secret) != _SECRET_BYTES:
            raise CheckpointInvalid("the secret of a key of Ed25519 is 32 bytes")
        self._private: Any = ed25519(f"{type(self).__name__}()").Ed25519PrivateKey.from_private_bytes(secret)
        self._vkey = VerifierKey(name, self._KIND, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._vkey)!r})"

    @property
    def vkey(self) -> VerifierKey:
        """The public key."""
        return self._vkey

    @property
    def secret_text(self) -> str:
        """The text of the key file: who has it can sign as its owner."""
        secret = bytes([self._KIND]) + self._private.private_bytes_raw()
        return f"{_PREFIX}+{self._vkey.name}+{self._vkey.id.hex()}+{b64encode(secret).decode()}"

    @classmethod
    def new(cls, name: str) -> Self:
        """Make a new key, which is in no file yet. ``name`` is that of the log, or of the witness."""
        check_name(name)
        return cls(name, ed25519(f"{cls.__name__}.new()").Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key of which ``text`` is the secret text. Errors never show it."""
        if type(text) is not str or not text.startswith(f"{_PREFIX}+"):
            raise CheckpointInvalid(f"this is no private key: its text begins with {_PREFIX}+")
        name, _, rest = text.strip()[len(_PREFIX) + 1 :].partition("+")
        number, _, encoded = rest.partition("+")
        try:
            secret = exact_bytes(encoded)
        except ValueError:
            secret = b""
        if len(secret) == 1 + _SECRET_BYTES and secret[0] in _KEYS_OF and secret[0] != cls._KIND:
            raise CheckpointInvalid(
                f"the private key of {name!r:.80} is that of a {_KEYS_OF[secret[0]]}, not of a {_KEYS_OF[cls._KIND]}:"
                " each has a key of its own"
            )
        if len(secret) != 1 + _SECRET_BYTES or secret[0] != cls._KIND:
            raise CheckpointInvalid(f"the private key of {name!r:.80} is damaged, or of another kind than Ed25519")
        signer = cls(name, secret[1:])
        if key_id(name, cls._KIND, signer.vkey.public).hex() != number:
            raise CheckpointInvalid(f"the private key of {name!r:.80} is damaged: its id is not that of its bytes")
        return signer

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a key that ``hubwire keys new`` has made. The file has to be its owner's alone: mode 0600.

        Raises :class:`~hubwire.errors.ConfigurationError`: it is missing, or others may read it, or it is no key.
        """
        file = Path(path)
        try:
            with file.open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                    raise ConfigurationError(
                        f"the key {file} may be read or written by others than its owner, so that it is not known who"
                        f" signs; make a new one, or `chmod 600 {file}` if you are sure that no one has it"
                    )
                content = opened.read(_FILE_BYTES_MAX)
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the key {file}: {error.strerror}; `hubwire keys new` makes one"
            ) from error
        try:
            return cls.parse(content.decode("ascii", "replace"))
        except CheckpointInvalid as error:
            raise CheckpointInvalid(f"{file}: {error}") from None

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the key to a new file of mode 0600, synced. A file that is there is never replaced."""
        file = Path(path)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise ConfigurationError(
                f"{file} is there already; a key is never written over: name another file"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"cannot write the key {file}: {error.strerror}") from error
        with os.fdopen(descriptor, "w") as opened:
            opened.write(self.secret_text + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        _sync_directory(file)


class KeySigner(PrivateKey):
    """Signs with a key of Ed25519 that is in this process: whoever can read its memory, or its file, can sign, too.

    Raises :class:`~hubwire.errors.ConfigurationError` without the extra ``sign``.
    """

    async def sign(self, request: SigningRequest) -> NoteSignature:
        """Return the signature of a checkpoint."""
        return self.signature(request.text)

    def signature(self, text: bytes) -> NoteSignature:
        """Return the signature over the text of any note."""
        return NoteSignature(self._vkey.name, self._vkey.id, self._private.sign(text))


def wipe_key(path: str | os.PathLike[str]) -> None:
    """Write over the file of a key that is not used any more, sync it, and remove it.

    What the disk itself keeps of it, a flash drive for instance, or a backup, is out of reach: such a copy signs what
    nobody believes any more who was given the newer key. Raises :class:`~hubwire.errors.ConfigurationError` if it is
    no file of a key, or cannot be written; then it is as it was. A file of zeros is one that was being wiped.
    """
    file = Path(path)
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "r+b") as opened:
            mode = os.fstat(descriptor)
            content = opened.read(_FILE_BYTES_MAX) if stat.S_ISREG(mode.st_mode) else b""
            if not content.startswith(f"{_PREFIX}+".encode()) and (not content or any(content)):
                raise ConfigurationError(f"{file} is no key file, and was left as it is")
            opened.seek(0)
            opened.write(bytes(mode.st_size))
            opened.flush()
            os.fsync(descriptor)
        file.unlink()
        _sync_directory(file)
    except OSError as error:
        raise ConfigurationError(f"cannot wipe the key {file}: {error.strerror}; remove it by hand") from error


def _sync_directory(file: Path) -> None:
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FunctionSigner:
    """Signs by an async function of yours: a token, a cloud's key service, another machine.

    The function gets the bytes to be signed and returns the 64 bytes of the signature of Ed25519.
    """

    def __init__(self, vkey: VerifierKey | str, function: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._vkey = vkey if type(vkey) is VerifierKey else VerifierKey.parse(vkey)
        if not callable(function) or isinstance(function, type):
            raise ConfigurationError(f"FunctionSigner(): function is an async function, not {type(function).__name__}")
        self._function = function

    @property
    def vkey(self) -> VerifierKey:
        """The public key."""
        return self._vkey

    async def sign(self, request: SigningRequest) -> NoteSignature:
        """Return what the function has signed."""
        made = await self._function(request.text)
        if type(made) is not bytes:
            raise ConfigurationError(
                f"the function of a signer returns the bytes of a signature, not {type(made).__name__}"
            )
        return NoteSignature(self._vkey.name, self._vkey.id, made)


def as_signer(signer: object) -> Signer:
    """Return a signer, which is one. Raises :class:`~hubwire.errors.ConfigurationError`."""
    if isinstance(signer, type) or not callable(getattr(signer, "sign", None)):
        hint = "; read it by KeySigner.from_file()" if isinstance(signer, (str, os.PathLike)) else ""
        raise ConfigurationError(f"a signer has a vkey and an async method sign(), not {type(signer).__name__}{hint}")
    vkey = getattr(signer, "vkey", None)
    if type(vkey) is not VerifierKey or vkey.kind != ED25519:
        raise ConfigurationError(f"the vkey of a signer is a VerifierKey of Ed25519, not {type(vkey).__name__}")
    return signer  # type: ignore[return-value]
