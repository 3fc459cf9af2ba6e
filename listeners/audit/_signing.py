"""Signing: a log that has a signer writes down, again and again, a signed checkpoint of all that is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import anyio
import attrs

from hubwire.errors import (
    CheckpointInvalid,
    ConfigurationError,
    Fenced,
    LogRolledBack,
    SigningFailed,
    StoreError,
)
from hubwire.guests import GuestTask
from hubwire.log import Log
from hubwire.own_log import OwnLog
from hubwire.ports import Clock, KnowledgeStore, normalize_path
from hubwire.proof import (
    Checkpoint,
    Note,
    NoteSignature,
    Signer,
    SigningRequest,
    as_signer,
    handover_line,
    successor_of,
    with_cosignatures,
)

from ._arguments import store_for
from ._growing import GrowingTree
from ._guests import CALL_SECONDS_MAX, Worker
from ._one_by_one import OneByOne
from .stand_ins import refuse_copy

__all__ = (
    "Signing",
    "archived_path",
    "archived_sizes",
    "newest_checkpoint",
    "newest_path",
    "read_newest",
    "witnessed_path",
)

_log = OwnLog("audit")

_RETRY_SECONDS = 1.0
_ARCHIVED_EVERY_NS = 3_600_000_000_000


def newest_path(path: str) -> str:
    """Return where the newest checkpoint of a log is."""
    return f"{path}/checkpoint"


def archived_path(path: str, size: int) -> str:
    """Return where the checkpoint over so many records is kept."""
    return f"{path}/checkpoints/{size:020}"


async def archived_sizes(store: KnowledgeStore, path: str) -> list[int]:
    """Return how many records the checkpoints are over that were put aside, in ascending order."""
    names = await store.list(f"{path}/checkpoints")
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def witnessed_path(path: str) -> str:
    """Return where the newest checkpoint is that as many witnesses have seen as have to."""
    return f"{path}/witnessed"


async def read_newest(store: KnowledgeStore, path: str) -> tuple[Note, Checkpoint] | None:
    """Return the newest checkpoint of a log, of which no signature was checked; None if it was never signed.

    That is the greatest of those that were put aside, if an older one was put in the place of the newest, or it is
    gone. Raises :class:`~hubwire.errors.CheckpointInvalid` if the file is damaged.
    """
    newest = await _read_checkpoint(store, newest_path(path))
    last = max(await archived_sizes(store, path), default=0)
    if newest is None or newest[1].size < last:
        return await _read_checkpoint(store, archived_path(path, last)) or newest
    return newest


async def newest_checkpoint(store: KnowledgeStore, path: str = "/audit") -> Checkpoint | None:
    """Return what the newest checkpoint of a log says, of which no signature was checked; None if it was never signed.

    Raises :class:`~hubwire.errors.CheckpointInvalid` if its file is damaged.
    """
    newest = await read_newest(store_for(store), normalize_path(path))
    return None if newest is None else newest[1]


async def _read_checkpoint(store: KnowledgeStore, file: str) -> tuple[Note, Checkpoint] | None:
    content = await store.read_bytes(file)
    if content is None:
        return None
    try:
        note = Note.parse(content)
        return note, Checkpoint.parse(note.text)
    except CheckpointInvalid as error:
        raise CheckpointInvalid(
            f"{file} is damaged: {error}; restore it from a copy. If there is none: hubwire log fork"
        ) from error


class Teller(Protocol):
    """What is told of each checkpoint that is stored."""

    def signed(self, note: Note, checkpoint: Checkpoint, *, is_archived: bool) -> None:
        """Take it. It must not wait."""


@attrs.frozen
class _Archived:
    """The last checkpoint that was put aside."""

    size: int = -1
    segment: int = -1
    at_ns: int = 0


class Signing:
    """Writes the checkpoints of one log: when records came, after a time at most; at its closing; and when asked.

    Never over a record that is not stored, and never one that does not go on from the one before: the tree only grows,
    and is compared with the newest checkpoint when the log is opened.
    """

    def __init__(self, store: KnowledgeStore, log: Log, clock: Clock, signer: object, seconds: float) -> None:
        self.errors: int = 0
        """How many checkpoints have failed."""
        self.failure: Exception | None = None
        """Why the newest one was not signed and stored; None if it was."""
        self.signer: Signer = as_signer(signer)
        self.growing = GrowingTree(store, log.path)
        self.newest: Checkpoint | None = None
        """The newest checkpoint that is stored."""
        self._handover: Note | None = None
        """That checkpoint, if it hands over to the present key."""
        self._note: Note | None = None
        """The newest checkpoint as it is stored, with what witnesses have added to it."""
        self.on_signed: list[Teller] = []
        """What is told of each checkpoint that is stored."""
        self.refusal: str | None = None
        """Why nothing more is signed: witnesses know another history of the log."""
        self.handing_over = OneByOne()
        """Entered by who changes the key."""
        self._store = store
        self._log = log
        self._clock = clock
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._worker = Worker("hubwire audit signing")
        self._archived = _Archived()
        self._one_by_one = OneByOne()

    @property
    def path(self) -> str:
        """The path of the log."""
        return self._log.path

    @property
    def is_ready(self) -> bool:
        """Whether the tree is known, so that what is appended is added to it."""
        return self.growing.tree is not None

    def lines(self, first: int, content: bytes) -> None:
        """Take the lines of records that are durable now."""
        self.growing.lines(first, content)
        self._sign_later()

    def _sign_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() < loop.time() - 1:
            seconds = self._seconds if self.failure is None else max(self._seconds, _RETRY_SECONDS)
            self._timer = loop.call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._log.is_open and not self._worker.is_at_work:  # a log that was closed is not opened by its signer
            self._worker.start(self._sign_again)

    async def _sign_again(self) -> None:
        await self.sign_if_it_can()
        tree = self.growing.tree
        if self.failure is not None or (tree is not None and self.newest is not None and tree.size > self.newest.size):
            self._sign_later()

    async def sign_if_it_can(self) -> None:
        """Sign all that is stored now; what fails is counted and logged."""
        try:
            await self.sign()
        except Fenced as error:
            self.failure = error  # the log says so itself
        except Exception as error:  # noqa: BLE001 - it is counted and logged, and the log goes on
            self.errors += 1
            if repr(self.failure) != repr(error):
                _log.failure("a checkpoint of an audit log could not be signed", error, log=self._log.path)
            self.failure = error

    # -- before the first append --

    async def ready(self) -> None:
        """Find the tree of the log, if it is not known; open the log if need be.

        Raises :class:`~hubwire.errors.LogRolledBack`, and :class:`~hubwire.errors.ConfigurationError` if the newest
        checkpoint is of another key.
        """
        async with self._one_by_one:
            await self._ready()

    async def _ready(self) -> None:
        if self.is_ready:
            return
        await refuse_copy(self._store, self._log.path)
        was_open = self._log.is_open
        await self._log.open()
        try:
            found = await read_newest(self._store, self._log.path)
            self.newest = None if found is None else self._own(*found)
            self._note = None if found is None else found[0]
            self._handover = found[0] if found is not None and successor_of(found[1]) is not None else None
            await self.growing.find(self._log.records, self._log.segment_bytes, self.newest)
            if self._handover is not None and self.newest is not None:
                await self._keep_handover(self._handover, self.newest)
            if self._note is not None and self.newest is not None:
                self._tell(self._note, self.newest, is_archived=False)
        except BaseException:
            if not was_open:
                with anyio.CancelScope(shield=True):
                    await self._log.aclose()  # it was only read: nothing is changed, and another program may have it
            raise

    async def _keep_handover(self, note: Note, checkpoint: Checkpoint) -> None:
        """Put a hand-over aside, if a crash or an error came before that: the next checkpoint takes its place."""
        file = archived_path(self._log.path, checkpoint.size)
        if await self._store.read_bytes(file) != str(note).encode():
            await self._store.write(file, str(note))

    def _own(self, note: Note, checkpoint: Checkpoint) -> Checkpoint:
        vkey, path = self.signer.vkey, self._log.path
        if checkpoint.origin != vkey.name:
            raise ConfigurationError(
                f"the log {path} is signed as {checkpoint.origin!r:.120}, and this signer is of {vkey.name!r:.120};"
                " give it the key of that name"
            )
        if (successor := successor_of(checkpoint)) not in (None, vkey) and note.signed_by(successor):
            raise ConfigurationError(
                f"the log {path} was handed over to the key {successor}: give it that one; the signer that it was given"
                f" has {vkey}"
            )
        if not note.signed_by(vkey):
            raise ConfigurationError(
                f"the newest checkpoint of the log {path} is not signed by the key {vkey}: give it the key that has"
                " signed it; `hubwire keys rotate` hands over to a new one"
            )
        return checkpoint

    # -- a checkpoint --

    async def sign(self, *, is_archived: bool = False, successor: Signer | None = None) -> Note:
        """Sign all that is stored now, and store the checkpoint; return it.

        With a ``successor`` it hands over to that signer: both sign, and from then on it signs alone. Raises
        :class:`~hubwire.errors.SigningFailed`, and what the store raises.
        """
        async with self._one_by_one:
            await self._ready()
            self.check_not_refused()
            await self._log.check()
            growing, segment = self.growing, self._log.segment
            tree = growing.tree
            if tree is None:
                raise SigningFailed(f"the log {self._log.path} was given up while it was signed; sign it again")
            if self._handover is not None and self.newest is not None:
                # The next checkpoint takes its place: if it could not be put aside then, it is now, or there is none.
                await self._keep_handover(self._handover, self.newest)
            if successor is None and self._handover is not None and self._is_newest(tree.size):
                return self._handover  # it says more than another one of this size
            more = () if successor is None else (handover_line(successor.vkey),)
            checkpoint = Checkpoint(self.signer.vkey.name, tree.size, tree.root(), more)
            is_due = is_archived or self._is_archiving_due(checkpoint.size, segment)
            await growing.keep(is_due=is_due)
            request = SigningRequest(checkpoint, partial(self._prove, checkpoint.size))
            signers = (self.signer,) if successor is None else (self.signer, successor)
            note = Note(checkpoint.text, tuple([await self._signature(each, request) for each in signers]))
            if self._note is not None and self._note.text == note.text:
                note = note.with_signatures(self._note.signatures)  # what witnesses have added stays
            await self._store.write(newest_path(self._log.path), str(note))
            self.newest, self._note = checkpoint, note
            self.signer, self._handover = signers[-1], None if successor is None else note
            if is_due:
                await self._archive(note, checkpoint, segment)
            self.failure = None
            self._tell(note, checkpoint, is_archived=is_due)
            return note

    def check_not_refused(self) -> None:
        """Raise :class:`~hubwire.errors.LogRolledBack` if witnesses know another history of the log."""
        if self.refusal is not None:
            raise LogRolledBack(self.refusal, path=self._log.path)

    def _tell(self, note: Note, checkpoint: Checkpoint, *, is_archived: bool) -> None:
        for each in self.on_signed:
            each.signed(note, checkpoint, is_archived=is_archived)

    async def cosigned(self, note: Note, signatures: Sequence[NoteSignature], *, is_enough: bool) -> Note:
        """Add what witnesses have signed to a checkpoint, wherever it is stored; return it with all that it has.

        ``is_enough``: as many as have to have seen it.
        """
        async with self._one_by_one:
            await self._log.check()
            if not self._log.is_open:
                return with_cosignatures(note, signatures)  # it may be another's by now
            path, newest = self._log.path, self._note
            is_newest = newest is not None and newest.text == note.text
            files = [newest_path(path)] if is_newest else []
            file = archived_path(path, Checkpoint.parse(note.text).size)
            content = await self._store.read_bytes(file)
            there = None if content is None else Note.parse(content)
            if there is not None and there.text == note.text:
                note = there
                files.append(file)
            if is_newest and newest is not None:
                note = newest
            note = with_cosignatures(note, signatures)
            if is_enough:
                files.append(witnessed_path(path))
            for each in files:
                await self._store.write(each, str(note))
            if is_newest:
                self._note = note
            return note

    def _is_newest(self, size: int) -> bool:
        return self.newest is not None and self.newest.size == size

    async def try_out(self, signer: Signer) -> None:
        """See that a signer signs what is stored now; its signature is let go. Raises as :meth:`sign`."""
        async with self._one_by_one:
            await self._ready()
            tree = self.growing.tree
            assert tree is not None
            checkpoint = Checkpoint(signer.vkey.name, tree.size, tree.root())
            await self._signature(signer, SigningRequest(checkpoint, partial(self._prove, checkpoint.size)))

    async def prove(self, size: int, old: int) -> Sequence[bytes]:
        """Return the proof that the first ``size`` records go on from the first ``old`` ones."""
        async with self._one_by_one:
            return await self._prove(size, old)

    async def _prove(self, size: int, old: int) -> Sequence[bytes]:
        """Return the proof that the first ``size`` records go on from the first ``old`` ones."""
        if type(old) is not int or not 0 <= old <= size:
            raise SigningFailed(f"the log {self._log.path} has {size} records, and not the {old!r:.40} of its signer")
        await self.growing.keep(is_due=True)
        return await self.growing.hashes.consistency(old, size)

    async def _signature(self, signer: Signer, request: SigningRequest) -> NoteSignature:
        vkey, guest = signer.vkey, GuestTask("the signer of an audit log")
        try:
            signature = await guest.call(signer.sign, request, seconds=CALL_SECONDS_MAX)
        except Exception as error:
            raise SigningFailed(
                f"the signer of the log {self._log.path} failed: {type(error).__name__}: {error!s:.200}"
            ) from error
        finally:
            guest.end()
        if type(signature) is not NoteSignature or not vkey.holds(request.text, signature):
            raise SigningFailed(
                f"the signer of the log {self._log.path} returned what is no signature of its key {vkey} over the"
                " checkpoint; it was not stored"
            )
        return signature

    def _is_archiving_due(self, size: int, segment: int) -> bool:
        last = self._archived
        if size == last.size:
            return False
        return segment != last.segment or not 0 <= self._clock.now_ns() - last.at_ns < _ARCHIVED_EVERY_NS

    async def _archive(self, note: Note, checkpoint: Checkpoint, segment: int) -> None:
        await self._store.write(archived_path(self._log.path, checkpoint.size), str(note))
        self._archived = _Archived(checkpoint.size, segment, self._clock.now_ns())

    # -- the end --

    async def close(self, seconds: float) -> None:
        """Sign what came last, before the log is given up; in so many seconds at most."""
        tree = self.growing.tree
        is_last = tree is not None and self._log.is_open
        is_done = await self._worker.finish(seconds if is_last else 0)
        if self._timer is not None:  # also one that what was under way has left
            self._timer.cancel()
            self._timer = None
        if tree is not None and is_last and (not self._is_newest(tree.size) or tree.grown):
            if is_done:
                self._worker.start(self._sign_last)
                is_done = await self._worker.finish(seconds)
            if not is_done:
                self.errors += 1
                _log.problem("an audit log was closed before its last records were signed", log=self._log.path)
        self.growing.forget()

    async def _sign_last(self) -> None:
        try:
            await self.sign(is_archived=True)
        except (LogRolledBack, StoreError, SigningFailed, ConfigurationError) as error:
            self.errors += 1
            self.failure = error
            _log.failure("the last records of an audit log could not be signed", error, log=self._log.path)
