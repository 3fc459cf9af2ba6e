"""A witness: it cosigns what goes on from what it has cosigned before, and remembers that over crashes.

Its state is a directory with a file for each log: the newest checkpoint that it has cosigned, as the note itself, with
the cosignature; so that a state that another program has written is known. It is on the disk before the cosignature is
given away. A checkpoint by which a log has handed over to another key has a file of its own, and stays: it says which
key counts from there on. Source: https://c2sp.org/tlog-witness
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import attrs

from .._values import Value
from ..clock import SystemClock
from ..errors import CheckpointInvalid, ConfigurationError
from ..own_log import OwnLog
from ._base64 import exact_bytes
from ._log_keys import LogKeys
from .cosigning import WitnessKey, cosignatures
from .http_witness import SIZE_TYPE
from .note import ED25519, Checkpoint, Note, VerifierKey
from .tree import EMPTY_ROOT, HASH_BYTES, is_consistent

if TYPE_CHECKING:
    from ..ports import Clock
else:
    Clock = object

__all__ = ("SUBMISSION_BYTES_MAX", "Witness", "WitnessAnswer", "WitnessState")

_log = OwnLog("proof")

SUBMISSION_BYTES_MAX = 64 * 1024
_NOTE_BYTES_MAX = 64 * 1024
_HASHES_MAX = 63
_NO_KEY = "no key that this witness has of the log, and that counts for so many records, has signed the checkpoint\n"
_OLD = re.compile(r"old (0|[1-9]\d{0,18})", re.ASCII)
_LOGS_MAX = 100_000
_HANDOVER = ".handover"
_SIZE_DIGITS = 20


@attrs.frozen(eq=False, repr=False)
class WitnessAnswer(Value):
    """What a witness answers, as HTTP has it."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"


class WitnessState:
    """The directory with what a witness has cosigned, held by one process."""

    def __init__(self, path: str | os.PathLike[str], key: WitnessKey, *, begins: bool = False) -> None:
        """``begins``: the directory is made, for a witness that has cosigned nothing.

        Raises :class:`~hubwire.errors.ConfigurationError`.
        """
        self.path: Path = _directory(path)
        self._key = key
        if begins:
            try:
                self.path.mkdir(mode=0o700)
            except FileExistsError as error:
                raise ConfigurationError(
                    f"{self.path} is there already: the witness may have cosigned by it. Leave --begin out, begins=True"
                    " in a program"
                ) from error
            except OSError as error:
                raise ConfigurationError(f"cannot make the directory {self.path}: {error.strerror}") from error
            _sync(self.path.parent)
        self._lock = self._held()

    def _held(self) -> int:
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"there is no state {self.path}: what the witness has cosigned is not known, and it could be made to"
                " cosign another history. If it has cosigned nothing, begin by --begin, begins=True in a program; else"
                " restore the directory, or take a new key"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path / 'lock'}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigurationError(
                f"another witness has the state {self.path}: one is enough, and two cosign two histories"
            ) from error
        return lock

    def _file(self, origin: str) -> Path:
        return self.path / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"

    def read(self, origin: str) -> Note | None:
        """Return the newest checkpoint of a log that was cosigned; None if none was.

        Raises :class:`~hubwire.errors.ConfigurationError` if the file was damaged, or is not this witness's.
        """
        return self._read(self._file(origin), origin)

    def handovers(self, origin: str) -> list[Note]:
        """Return the checkpoints by which a log has handed over to other keys. Raises as :meth:`read`."""
        name = self._file(origin).stem
        files = sorted(self.path.glob(f"{name}.{'[0-9]' * _SIZE_DIGITS}{_HANDOVER}"))
        notes = [self._read(file, origin) for file in files]
        return [note for note in notes if note is not None]

    def _read(self, file: Path, origin: str) -> Note | None:
        try:
            with file.open("rb") as opened:
                content = opened.read(_NOTE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"cannot read the state {file}: {error.strerror}") from error
        try:
            note = Note.parse(content)
            found = Checkpoint.parse(note.text).origin
        except CheckpointInvalid as error:
            raise ConfigurationError(f"the state {file} is damaged ({error}); restore it from a copy") from error
        if found != origin or not cosignatures(note, [self._key.vkey]):
            raise ConfigurationError(f"the state {file} is not what {self._key.vkey} has cosigned of {origin!r:.120}")
        return note

    def write(self, origin: str, note: Note, *, handover_size: int | None = None) -> None:
        """Keep a checkpoint; it is on the disk when this returns. Raises ``OSError``.

        ``handover_size``: it is over so many records, hands over to another key, and stays.
        """
        file = self._file(origin)
        if handover_size is not None:
            self._write(file.with_suffix(f".{handover_size:0{_SIZE_DIGITS}}{_HANDOVER}"), note)
        self._write(file, note)

    def _write(self, file: Path, note: Note) -> None:
        part = file.with_suffix(".part")
        with suppress(FileNotFoundError):
            part.unlink()
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(str(note))
            opened.flush()
            os.fsync(descriptor)
        part.replace(file)
        _sync(self.path)

    def close(self) -> None:
        """Let another process take hold of the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _directory(path: object) -> Path:
    given = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if type(given) is not str or not given or "\0" in given:
        raise ConfigurationError(
            f"the state of a witness is a directory, not {path!r:.80}"
            if type(path) is str
            else "the state of a witness is a directory, named by text or a path"
        )
    return Path(given)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Witness:
    """Cosigns the checkpoints of those logs that it knows, as long as each goes on from the one before.

    :class:`~hubwire.proof.WitnessServer` answers by it over HTTP. One event loop; :meth:`aclose` lets the state go.
    """

    def __init__(
        self,
        key: WitnessKey,
        state: str | os.PathLike[str],
        logs: Iterable[VerifierKey | str] = (),
        *,
        begins: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """``state`` is a directory of its own, made with ``begins``, and ``logs`` the verifier keys of the logs.

        A log may have several. A checkpoint by which one of them hands over to another is followed, for good: that
        one counts from there on, and the one before it for no more records.

        Raises :class:`~hubwire.errors.ConfigurationError`: the state is not there, another witness has it, or it is
        damaged; :class:`~hubwire.errors.CheckpointInvalid` for what is no key of a log.
        """
        if type(key) is not WitnessKey:
            raise ConfigurationError(f"Witness(): key is a WitnessKey, not {type(key).__name__}")
        if type(begins) is not bool:
            raise ConfigurationError(f"Witness(): begins is True or False, not {type(begins).__name__}")
        if clock is not None and not callable(getattr(clock, "now_ns", None)):
            raise ConfigurationError(f"Witness(): clock is a Clock, not {type(clock).__name__}")
        self._keys = {origin: LogKeys(keys) for origin, keys in _keys_of(logs).items()}
        self._key = key
        self._clock: Clock = SystemClock() if clock is None else clock
        self._one_by_one = asyncio.Lock()
        self._state = WitnessState(state, key, begins=begins)
        self._newest: dict[str, Note] = {}
        try:
            for origin, keys in self._keys.items():
                if (note := self._state.read(origin)) is not None:
                    self._newest[origin] = note
                known = keys
                for handover in self._state.handovers(origin):
                    known = known.followed(handover)
                self._keys[origin] = known
        except BaseException:
            self._state.close()
            raise

    def __repr__(self) -> str:
        return f"Witness({str(self.vkey)!r}, {str(self._state.path)!r})"

    @property
    def vkey(self) -> VerifierKey:
        """The key by which others check its cosignatures."""
        return self._key.vkey

    @property
    def logs(self) -> dict[str, int]:
        """How many records it has cosigned of each log that it knows."""
        return {origin: self._size(origin) for origin in self._keys}

    def newest(self, origin: str) -> Note | None:
        """Return the newest checkpoint of a log that it has cosigned: who verifies compares the log with it."""
        return self._newest.get(origin)

    async def aclose(self) -> None:
        """Let another process have the state. It cosigns nothing from then on."""
        async with self._one_by_one:  # what is being kept is kept before
            self.close()

    def close(self) -> None:
        """As :meth:`aclose`, where it has not been asked yet."""
        self._keys = {}
        self._state.close()

    def _size(self, origin: str) -> int:
        note = self._newest.get(origin)
        return 0 if note is None else Checkpoint.parse(note.text).size

    async def add_checkpoint(self, body: bytes) -> WitnessAnswer:
        """Answer a request of ``add-checkpoint``, of which this is the body."""
        try:
            old, proof, note = _parsed(body)
            checkpoint = Checkpoint.parse(note.text)
        except CheckpointInvalid as error:
            return WitnessAnswer(400, f"{error}\n")
        keys = self._keys.get(checkpoint.origin)
        if keys is None:
            return WitnessAnswer(404, "this witness does not know a log of that name\n")
        if not (signed := keys.signatures(note, checkpoint)):
            return WitnessAnswer(403, _NO_KEY)
        if old > checkpoint.size:
            return WitnessAnswer(400, "the old size is above that of the checkpoint\n")
        async with self._one_by_one:
            # What is kept has to be what is remembered: a client that goes away must not leave it half done.
            answer: WitnessAnswer | None = None
            with anyio.CancelScope(shield=True):
                answer = await self._cosigned(old, proof, checkpoint, Note(note.text, signed))
            assert answer is not None
            return answer

    async def _cosigned(self, old: int, proof: Sequence[bytes], checkpoint: Checkpoint, note: Note) -> WitnessAnswer:
        origin, size = checkpoint.origin, self._size(checkpoint.origin)
        if (keys := self._keys.get(origin)) is None:
            return WitnessAnswer(503, "this witness has been stopped\n")
        if not keys.signatures(note, checkpoint):  # it has handed over meanwhile
            return WitnessAnswer(403, _NO_KEY)
        if old != size:
            return WitnessAnswer(409, f"{size}\n", SIZE_TYPE)
        before = self._newest.get(origin)
        root = EMPTY_ROOT if before is None else Checkpoint.parse(before.text).root
        if old == checkpoint.size and root != checkpoint.root:
            _log.problem("a log has two checkpoints of one size, and was not cosigned", log=origin, size=size)
            return WitnessAnswer(409, f"{size}\n", SIZE_TYPE)
        if not is_consistent(old, root, checkpoint.size, checkpoint.root, proof):
            _log.problem("a log does not go on from what was cosigned, by the proof that it gave", log=origin, size=old)
            return WitnessAnswer(422, "the proof does not show that the checkpoint goes on from the one before\n")
        cosignature = self._key.cosign(note.text, self._seconds(before))
        kept = Note(note.text, (*note.signatures, cosignature))
        successor = keys.successor(note, checkpoint)
        try:
            after = keys if successor is None else keys.followed(kept)
            handover_size = None if successor is None else checkpoint.size
            await anyio.to_thread.run_sync(partial(self._state.write, origin, kept, handover_size=handover_size))
        except CheckpointInvalid as error:
            return WitnessAnswer(403, f"{error}\n")
        except OSError as error:
            _log.failure("what a witness cosigns cannot be kept, and was not cosigned", error, log=origin)
            return WitnessAnswer(500, "what would be cosigned cannot be kept\n")
        self._newest[origin], self._keys[origin] = kept, after
        if successor is not None:
            _log.detail("a log has handed over to another key", log=origin, vkey=str(successor))
        return WitnessAnswer(200, str(cosignature))

    def _seconds(self, before: Note | None) -> int:
        """Return the time, which never goes back: a greater checkpoint was not seen earlier."""
        now = max(self._clock.now_ns() // 1_000_000_000, 0)
        return now if before is None else max(now, cosignatures(before, [self.vkey])[0].at_seconds)


def _keys_of(logs: object) -> dict[str, list[VerifierKey]]:
    if type(logs) not in (list, tuple, set, frozenset):
        raise ConfigurationError(f"Witness(): logs are a list of verifier keys, not {type(logs).__name__}")
    keys: dict[str, list[VerifierKey]] = {}
    given: tuple[object, ...] = tuple(logs)  # type: ignore[arg-type]
    if len(given) > _LOGS_MAX:
        raise ConfigurationError(f"Witness(): logs are {_LOGS_MAX:,} at most, not {len(given):,}")
    for each in given:
        key = each if type(each) is VerifierKey else VerifierKey.parse(each)
        if key.kind != ED25519:
            raise CheckpointInvalid(f"{key} is the key of a witness, not of a log: a witness is not witnessed")
        keys.setdefault(key.name, []).append(key)
    return keys


def _parsed(body: object) -> tuple[int, list[bytes], Note]:
    """Return the old size, the proof and the checkpoint of a request. Raises :class:`CheckpointInvalid`."""
    if type(body) is not bytes or len(body) > SUBMISSION_BYTES_MAX:
        raise CheckpointInvalid(f"a request has at most {SUBMISSION_BYTES_MAX:,} bytes")
    head, separator, rest = body.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointInvalid("a request begins with lines of ASCII") from error
    match = _OLD.fullmatch(first)
    if match is None or not separator or len(lines) > _HASHES_MAX:
        raise CheckpointInvalid(
            f"a request is a line 'old SIZE', at most {_HASHES_MAX} hashes, an empty line and a checkpoint"
        )
    try:
        proof = [exact_bytes(line) for line in lines]
    except ValueError as error:
        raise CheckpointInvalid("a hash of the proof is no base64") from error
    if any(len(each) != HASH_BYTES for each in proof):
        raise CheckpointInvalid("a hash of the proof has not 32 bytes")
    return int(match[1]), proof, Note.parse(rest)
