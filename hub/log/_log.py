"""Log: a log open for writing, as its users see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from .._head import Head
from .._reraise import repeat
from ..errors import ConfigurationError
from ..forks import register_at_fork
from ..ports import Clock, KnowledgeStore
from ._inspection import Inspection, Recovery
from ._phase import Lifecycle, LogPhase
from ._queue import Append, Close, Command, Open, Repair
from ._rotation import SEGMENT_BYTES, Rotation
from ._segments import OnLines, Segments
from ._tail import Tail
from ._writing import OnAppended, Prepare, Writer, fenced

__all__ = ("Log",)

_CLOSING_SECONDS_MAX = 1.0
"""So long a cancelled opening waits until its log is closed again."""

_UNDER_WAY_SECONDS_MAX = 0.15
"""So long a log that is given up waits for what is being written."""


class Log:
    """A log open for writing. It is opened at first use; :meth:`aclose` is optional, and makes the next opening fast.

    Opening only reads the store: it finds the end of the log, and what a crash has left to be done. That is
    done before the first append, or by :meth:`repair`. So a program that has more than one log opens them all, compares
    them, and only then appends; if it refuses to start, it closes them, and all files are as they were.

    Use it in one event loop. After an error that leaves unknown what is on disk, every call raises that error.
    """

    def __init__(
        self,
        store: KnowledgeStore,
        path: str,
        *,
        clock: Clock,
        chained: bool = False,
        announce_opening: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        rotation: Rotation | None = None,
        on_appended: OnAppended | None = None,
        on_lines: OnLines | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        """``rotation`` says when segments are sealed; without it they are when they have ``segment_bytes``.

        ``on_appended`` is called with the index of the first record and the bodies of every batch that was appended.

        ``on_lines`` is called with the index and the lines of all records that have become durable, those of the log's
        own among them: each with its line feed, one after the other.

        The calls come in order, and before the calls of :meth:`append` return. If one raises, the log fails.

        ``prepare`` is called with the bodies of some calls of :meth:`append_one`, in order, and returns as many as they
        are to be stored. If it raises, these calls do, and the log goes on.
        """
        self.path = path
        self._life = Lifecycle()
        self._segments = Segments(
            store,
            path,
            clock=clock,
            chained=chained,
            announce_opening=announce_opening,
            rotation=Rotation(bytes_max=segment_bytes) if rotation is None else rotation,
            on_lines=on_lines,
        )
        self._writer = Writer(self._segments, self._life, on_appended, prepare)
        register_at_fork(self)

    @property
    def is_open(self) -> bool:
        """Whether the log is open, and has not failed."""
        return self._life.phase is LogPhase.OPEN

    # -- as of the last opening or append; before the first, as of an empty log --

    @property
    def _tail(self) -> Tail:
        return self._segments.tail

    @property
    def records(self) -> int:
        """How many records the log has ever had: the index of the next one."""
        return self._tail.records

    @property
    def head(self) -> Head:
        """How many records the log has, and the chain value of the last."""
        return Head(self._tail.records, (self._tail.chain or b"").decode())

    @property
    def size_bytes(self) -> int:
        """The size of all segments."""
        return self._segments.size_bytes

    @property
    def last_seq(self) -> int | None:
        """The ``seq`` of the last record that has one; None if none has."""
        return self._tail.seq

    @property
    def hub_id(self) -> str | None:
        """The ``hub`` of the last record that has one."""
        return self._tail.hub

    @property
    def segment(self) -> int:
        """The index of the first record of the segment that is being written."""
        return self._tail.first

    @property
    def segment_bytes(self) -> int:
        """The size of the segment that is being written."""
        return self._tail.size

    @property
    def inspection(self) -> Inspection:
        """What the last opening found, and what the repair does, or has done."""
        return self._segments.inspection

    @property
    def recovery(self) -> Recovery | None:
        """What the last opening found to be set aside; None if the log ended well."""
        return self._segments.inspection.torn

    @property
    def marking_failure(self) -> Exception | None:
        """Why the newest records could not be vouched for beside the log; None if they could. None is lost by it."""
        return self._segments.marking.failure

    @property
    def compaction_failure(self) -> Exception | None:
        """Why sealed segments could not be compacted; None if they could. It only makes reading slower."""
        return self._segments.compactor.failure

    # -- calls --

    async def open(self) -> None:
        """Take possession and find the end of the log, unless the log is open. The store is only read.

        Raises :class:`~hubwire.errors.AlreadyRunning`, before it reads, :class:`~hubwire.errors.LogDamaged`
        or :class:`~hubwire.errors.NewerVersion`.
        """
        self._life.check_not_failed()
        if self.is_open and not self._writer.has_close:
            return
        await self._carry_out(Open)

    async def repair(self) -> None:
        """Do now what opening found to be done, which the first append does otherwise; open the log if need be.

        From here on the log counts as used: closing it leaves a marker. Raises :class:`~hubwire.errors.StoreFull`: the
        same call may be made again; :class:`~hubwire.errors.Fenced`: another writer was there.
        """
        self._life.check_not_failed()
        await self._carry_out(Repair)

    async def _carry_out(self, command: type[Command]) -> None:
        loop = asyncio.get_running_loop()
        waiting = command(loop.create_future())
        self._writer.put(waiting)
        try:
            await waiting.future
        except asyncio.CancelledError:
            # The caller will not close what it does not know to be open. Other callers open it again. The lock file
            # of a refused start is gone when the caller goes on, unless the disk hangs.
            closing = Close(loop.create_future())
            self._writer.put(closing)
            with anyio.move_on_after(_CLOSING_SECONDS_MAX, shield=True):
                await asyncio.wait([closing.future])
            if not closing.future.cancel():
                closing.future.exception()
            raise

    async def append(
        self,
        bodies: Sequence[bytes],
        *,
        seq: int | None = None,
        hub: str | None = None,
        opening: Mapping[str, Any] | None = None,
    ) -> int:
        """Append records, JSON objects without a line feed; return the index of the first. All of them or none.

        They are durable when it returns. Order is that of the calls. ``seq`` and ``hub`` are those of the last body
        that has them. ``opening`` holds more fields for ``log.opened``: if that was written without, it is written
        again, before these records. Cancelling ends the wait, not the write. Raises
        :class:`~hubwire.errors.StoreFull`: none was written, the same call may be made again;
        :class:`~hubwire.errors.Fenced`: another writer took over.
        """
        if self._life.failure is not None:
            raise repeat(self._life.failure)
        command = Append(asyncio.get_running_loop().create_future(), bodies, seq, hub, opening)
        self._writer.put(command)
        return await command.future

    def append_one(self, body: bytes, loop: asyncio.AbstractEventLoop) -> asyncio.Future[int]:
        """Append a small record as :meth:`append` does; await what is returned for its index.

        It goes the shorter way: records of many calls at the same time are prepared and written in one go. ``loop`` is
        the running one.
        """
        if self._life.failure is not None:
            raise repeat(self._life.failure)
        return self._writer.put_together(body, loop)

    def batch_mark(self, records: int) -> bytes:
        """Return a record that makes the next ``records`` ones of the same :meth:`append` a batch.

        After a crash, all of a batch are there, or none. Put it before them in ``bodies``: it is a record of the
        log's own, ``log.batch_begun``, with an index, and without ``seq``. One append may have several batches, and
        records between them.
        """
        return self._segments.batch_mark(records)

    def own_record(self, kind: str, **fields: Any) -> bytes:
        """Return a record of the log's own for :meth:`append`, with ``at``, ``path`` and ``v``; without a ``seq``."""
        return self._segments.own_record(kind, **fields)

    async def check(self) -> None:
        """Raise :class:`~hubwire.errors.Fenced` if another writer took over. A log that is not open has no writer.

        It costs one request where the store cannot hold a path, and none where it can.
        """
        self._life.check_not_failed()
        while self.is_open:
            await self.append(())  # what is being written has come to its end
            records = self.records
            if not await self._segments.is_taken_over():
                return
            await self.append(())
            if self.records == records:
                raise fenced(self.path)

    async def truncate_before(self, index: int) -> None:
        """Delete the segments before the one that holds record ``index``; the last segment stays in any case.

        Appends go on meanwhile. A crash or a cancellation in the middle leaves the log whole from some segment on, and
        the next opening finishes it. Readers that stand there get :class:`~hubwire.errors.HistoryGone`.
        """
        await self._segments.truncate_before(index)

    async def aclose(self) -> None:
        """Let the appends before it come to their end, leave a clean marker, and give the log up.

        If the log was opened and neither repaired nor appended to, no marker is written: all is as it was found.
        Cancelling ends the wait, not the closing. The next append opens the log again. Has no effect in a forked
        child: the log is its parent's.
        """
        if self._life.is_held:
            closing = Close(asyncio.get_running_loop().create_future())
            self._writer.put(closing)
            await closing.future

    async def release(self) -> None:
        """Give the log up as it is: leave no marker, and hardly wait for what is under way, which may yet be stored.

        A disk that is well has the time that it needs: what is stored after the next writer has begun fences that one.
        """
        if self._life.is_held and self._life.phase is not LogPhase.OPENING:
            with anyio.move_on_after(_UNDER_WAY_SECONDS_MAX):
                await self._writer.until_idle()
        if self._life.is_held and self._life.phase is not LogPhase.OPENING:
            self._life.fail(ConfigurationError(f"the log {self.path} was given up; open another one"))
            self._life.release()
            await self._segments.release()

    def after_fork_in_child(self) -> None:
        """Give the log up in a forked process, if it is open: two would append behind the same end."""
        if self._life.is_held:
            self._life.fail(
                ConfigurationError(
                    f"the log {self.path} is open in the process that this one was forked from; let the child use a log"
                    " of its own"
                )
            )
            self._life.release()
            self._writer.abandon()
