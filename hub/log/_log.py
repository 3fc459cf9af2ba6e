"""Log: a log open for writing, as its users see it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..errors import ConfigurationError, repeat
from ..forks import register_at_fork
from ..ports import Clock, KnowledgeStore
from ._phase import Lifecycle, LogPhase
from ._queue import Append, Close, Open
from ._recovery import Recovery
from ._rotation import SEGMENT_BYTES, Rotation
from ._segments import Segments
from ._tail import Tail
from ._writing import OnAppended, Writer

__all__ = ("Log",)


class Log:
    """A log open for writing. It is opened at first use; :meth:`aclose` is optional, and makes the next opening fast.

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
        on_appended: OnAppended | None = None,
    ) -> None:
        """``on_appended`` is called with the index of the first record and the bodies of every batch that was appended.

        The calls come in order, and before the calls of :meth:`append` return. If one raises, the log fails.
        """
        self.path = path
        self._life = Lifecycle()
        self._segments = Segments(
            store,
            path,
            clock=clock,
            chained=chained,
            announce_opening=announce_opening,
            rotation=Rotation(segment_bytes),
        )
        self._writer = Writer(self._segments, self._life, on_appended)
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
    def recovery(self) -> Recovery | None:
        """What the last opening set aside; None if the log ended well."""
        return self._segments.recovery

    @property
    def compaction_failure(self) -> Exception | None:
        """Why sealed segments could not be compacted; None if they could. It only makes reading slower."""
        return self._segments.compactor.failure

    # -- calls --

    async def open(self) -> None:
        """Take possession and recover, unless the log is open.

        Raises :class:`~hubwire.errors.AlreadyRunning`, before it reads or repairs, or
        :class:`~hubwire.errors.LogDamaged`.
        """
        self._life.check_not_failed()
        if self.is_open and not self._writer.has_close:
            return
        loop = asyncio.get_running_loop()
        opening = Open(loop.create_future())
        self._writer.put(opening)
        try:
            await opening.future
        except asyncio.CancelledError:
            # The caller will not close what it does not know to be open. Other callers open it again.
            closing = Close(loop.create_future())
            self._writer.put(closing)
            closing.future.cancel()
            raise

    async def append(self, bodies: Sequence[bytes], *, seq: int | None = None, hub: str | None = None) -> int:
        """Append records, JSON objects without a line feed; return the index of the first. All of them or none.

        They are durable when it returns. Order is that of the calls. ``seq`` and ``hub`` are those of the last body
        that has them. Cancelling ends the wait, not the write. Raises :class:`~hubwire.errors.StoreFull`: none was
        written, the same call may be made again; :class:`~hubwire.errors.Fenced`: another writer took over.
        """
        if self._life.failure is not None:
            raise repeat(self._life.failure)
        command = Append(asyncio.get_running_loop().create_future(), bodies, seq, hub)
        self._writer.put(command)
        return await command.future

    async def truncate_before(self, index: int) -> None:
        """Delete the segments before the one that holds record ``index``; the last segment stays in any case.

        Appends go on meanwhile. A crash or a cancellation in the middle leaves the log whole from some segment on, and
        the next opening finishes it. Readers that stand there get :class:`~hubwire.errors.HistoryGone`.
        """
        await self._segments.truncate_before(index)

    async def aclose(self) -> None:
        """Let the appends before it come to their end, leave a clean marker, and give the log up.

        Cancelling ends the wait, not the closing. The next append opens the log again. Has no effect in a forked
        child: the log is its parent's.
        """
        if self._life.is_held:
            closing = Close(asyncio.get_running_loop().create_future())
            self._writer.put(closing)
            await closing.future

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
