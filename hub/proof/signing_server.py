"""The process that has the key of a log: it signs what goes on from what it has signed, and nothing else.

Its state is the last checkpoint that it has signed, as the note itself: with the signature, a state that another
program has written is known. It is on the disk before the signature is given away.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskStatus

from ..errors import CheckpointInvalid, ConfigurationError, SigningFailed
from ..own_log import OwnLog
from ._base64 import exact_bytes
from .handover import successor_of
from .note import Checkpoint, Note, VerifierKey
from .signer import KeySigner
from .sockets import LINE_BYTES_MAX, Lines
from .tree import EMPTY_ROOT, HASH_BYTES, is_consistent

__all__ = ("SignedState", "SigningServer")

_log = OwnLog("proof")

_NOTE_BYTES_MAX = 65_536
_HASHES_MAX = 130
"""Of a proof that one tree goes on from another: two for each level, of which there are 63."""
_SECONDS_MAX = 10.0
"""So long a client may take for a line."""
_CLIENTS_MAX = 16


class _Ask(msgspec.Struct, forbid_unknown_fields=True):
    checkpoint: str


class _Proof(msgspec.Struct, forbid_unknown_fields=True):
    proof: list[str]


class SignedState:
    """The file with the last checkpoint that a key has signed, held by one process."""

    def __init__(self, path: str, key: KeySigner, *, begins: bool) -> None:
        """Take hold of the file, and read it; ``begins``: it is made, for a key that has signed nothing.

        Raises :class:`~hubwire.errors.ConfigurationError`.
        """
        self._path = Path(path)
        self._key = key
        try:
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"cannot write {path}.lock: {error.strerror}; name a file by --state") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigurationError(
                f"another process signs by the state {path}: one is enough, and two fork"
            ) from error
        try:
            self.note: Note = self._begun() if begins else self._read()
        except BaseException:
            self.close()
            raise

    @property
    def checkpoint(self) -> Checkpoint:
        """The last checkpoint."""
        return Checkpoint.parse(self.note.text)

    def _begun(self) -> Note:
        if self._path.exists():
            raise ConfigurationError(f"{self._path} is there already: the key has signed. Leave --begin out")
        text = Checkpoint(self._key.vkey.name, 0, EMPTY_ROOT).text
        note = Note(text, (self._key.signature(text.encode()),))
        self.write(note)
        return note

    def _read(self) -> Note:
        try:
            with self._path.open("rb") as opened:
                content = opened.read(_NOTE_BYTES_MAX)
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"there is no state {self._path}: what the key has signed is not known, and it could be made to sign"
                " another history. If it has never signed, begin by --begin; else restore the file, or rotate the key"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"cannot read the state {self._path}: {error.strerror}") from error
        try:
            note = Note.parse(content)
            origin = Checkpoint.parse(note.text).origin
        except CheckpointInvalid as error:
            raise ConfigurationError(f"the state {self._path} is damaged ({error}); restore it from a copy") from error
        if origin != self._key.vkey.name or not note.signed_by(self._key.vkey):
            raise ConfigurationError(
                f"the state {self._path} is of another key than {self._key.vkey}, or was written by another program"
            )
        return note

    def write(self, note: Note) -> None:
        """Keep a checkpoint; it is on the disk when this returns. Raises ``OSError``."""
        part = self._path.with_name(f"{self._path.name}.part")
        with suppress(FileNotFoundError):
            part.unlink()
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(str(note))
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.note = note

    def close(self) -> None:
        """Let another process take hold of the file."""
        os.close(self._lock)


class SigningServer:
    """Answers those who may connect to a Unix socket."""

    def __init__(self, key: KeySigner, state: SignedState, *, successor: VerifierKey | None = None) -> None:
        """``successor`` is the key to which it may hand over; without one it signs no hand-over to another key."""
        self._key = key
        self._state = state
        self._successor = successor
        self._one_by_one = anyio.Lock()
        self._clients: set[asyncio.Task[object]] = set()

    async def serve(
        self, path: str, *, group: int | None = None, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve at a new Unix socket, mode 0600, or 0660 for a ``group``, until it is cancelled.

        Raises :class:`~hubwire.errors.ConfigurationError` if it cannot.
        """
        bound = await anyio.to_thread.run_sync(_bound, path, group)
        try:
            async with await asyncio.start_unix_server(self._serve_client, sock=bound, limit=LINE_BYTES_MAX):
                task_status.started()
                try:
                    await anyio.sleep_forever()
                finally:
                    for each in self._clients:
                        each.cancel()
        finally:
            with anyio.CancelScope(shield=True), suppress(OSError):
                await anyio.to_thread.run_sync(os.unlink, path)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines, task = Lines(reader, writer), asyncio.current_task()
        assert task is not None
        try:
            if len(self._clients) < _CLIENTS_MAX:
                self._clients.add(task)
                await self._converse(lines)
        except TimeoutError:
            writer.transport.abort()  # also what it has not read
        except (OSError, asyncio.IncompleteReadError):
            return  # it has gone
        except Exception as error:  # noqa: BLE001 - no client ends the signer
            _log.failure("a request to sign a checkpoint has failed", error)
        finally:
            self._clients.discard(task)
            lines.close()

    async def _converse(self, lines: Lines) -> None:
        while True:
            try:
                async with asyncio.timeout(_SECONDS_MAX):
                    asked = msgspec.json.decode(await lines.receive(), type=_Ask)
                signature = await self._signature(asked.checkpoint, lines)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, asyncio.LimitOverrunError):
                await lines.send(error="this is no request to sign a checkpoint")
                return
            except (CheckpointInvalid, SigningFailed) as error:
                await lines.send(error=str(error))
            else:
                await lines.send(signature=signature)

    async def _signature(self, text: str, lines: Lines) -> str:
        checkpoint = self._checked(text)
        while True:
            before = self._state.checkpoint
            proof = await self._proof(before.size, lines) if checkpoint.size > before.size > 0 else []
            async with self._one_by_one:
                if self._state.checkpoint.size == before.size:
                    return await self._sign(checkpoint, proof)

    def _checked(self, text: str) -> Checkpoint:
        checkpoint = Checkpoint.parse(text)
        vkey = self._key.vkey
        if checkpoint.text != text or checkpoint.origin != vkey.name:
            raise SigningFailed(f"this key signs checkpoints of {vkey.name!r:.120}, and this is another text")
        successor = successor_of(checkpoint)
        if checkpoint.extensions and (len(checkpoint.extensions) > 1 or successor is None):
            raise SigningFailed("a checkpoint with more lines is signed for a hand-over alone")
        if successor not in (None, vkey, self._successor):
            raise SigningFailed(
                f"this key is not to hand over to {successor}: whoever runs it says so, by keys serve --successor"
            )
        return checkpoint

    async def _proof(self, size: int, lines: Lines) -> list[bytes]:
        await lines.send(prove=size)
        async with asyncio.timeout(_SECONDS_MAX):
            given = msgspec.json.decode(await lines.receive(), type=_Proof).proof
        try:
            proof = [exact_bytes(each) for each in given[: _HASHES_MAX + 1]]
        except ValueError:
            proof = [b""]
        if len(proof) > _HASHES_MAX or any(len(each) != HASH_BYTES for each in proof):
            raise SigningFailed("this is no proof: it has too many hashes, or one that is not of 32 bytes")
        return proof

    async def _sign(self, checkpoint: Checkpoint, proof: list[bytes]) -> str:
        last = self._state.checkpoint
        if successor_of(last) not in (None, self._key.vkey) and checkpoint != last:
            raise SigningFailed(f"this key has handed over to {successor_of(last)} at {last.size} records")
        if checkpoint.size < last.size:
            raise SigningFailed(
                f"the log has {checkpoint.size} records, and {last.size} were signed before: records are missing, it"
                " was restored from an older copy or changed"
            )
        if not is_consistent(last.size, last.root, checkpoint.size, checkpoint.root, proof):
            raise SigningFailed(
                f"the log does not go on from the {last.size} records that were signed before: they were changed, or"
                " this is another log of that name"
            )
        signature = self._key.signature(checkpoint.text.encode())
        if checkpoint != last:
            try:
                # A cancelled client leaves it half done otherwise; what is kept has to be what is written.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._state.write, Note(checkpoint.text, (signature,)))
            except OSError as error:
                raise SigningFailed(f"what was signed cannot be kept: {error.strerror}; nothing is signed") from error
        return str(signature).removesuffix("\n")


def _bound(path: str, group: int | None) -> socket.socket:
    """Return a socket that listens. It does so when its mode is right: nobody gets in before."""
    _check_free(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        Path(path).chmod(0o600)
        if group is not None:
            os.chown(path, -1, group)
            Path(path).chmod(0o660)
        bound.listen()
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"cannot listen at {path}: {error.strerror or error}") from error
    return bound


def _check_free(path: str) -> None:
    """See that no process listens at a path; take away what a killed one has left."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"cannot listen at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"{path} is there already and is no socket; name another one")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            with suppress(FileNotFoundError):
                Path(path).unlink()
            return
    raise ConfigurationError(f"another process listens at {path}; name another socket")
