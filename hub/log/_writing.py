"""Writing a log: one writer, group commit, and the rotation of segments."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs

from .. import codec
from ..clock import timestamp
from ..errors import AlreadyExists, AppendConflict, ConfigurationError, Fenced, StoreError, StoreFull, repeat
from ..forks import register_at_fork
from ..ports import Clock, EagerStore, Hold, HoldableStore, KnowledgeStore
from ._compaction import Compactor
from ._reading import chain_value, segment_path
from ._recovery import Recoverer, Recovery, Tail, clean_marker
from ._truncation import truncate

__all__ = ("SEGMENT_BYTES", "Log")

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment is closed when it has reached this size; opening after a crash reads one segment."""

_BATCH_BYTES = 1024 * 1024


@attrs.define(eq=False, repr=False)
class _Waiting:
    """A call that waits for its turn: an append, an opening (without bodies), or a closing (whose bodies are None)."""

    future: asyncio.Future[int]
    bodies: Sequence[bytes] | None
    seq: int | None = None
    hub: str | None = None


class Log:
    """A log open for writing. Opening happens at first use; :meth:`aclose` is optional, it makes the next opening fast.

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
        on_appended: Callable[[int, Sequence[bytes]], None] | None = None,
    ) -> None:
        """``on_appended`` is called with the index of the first and the bodies of every batch that was appended, in
        order, before the appenders are woken.
        """
        self.path = path
        self.recovery: Recovery | None = None
        """What opening set aside; None if the log ended well."""
        self._store = store
        self._eager_store = store if isinstance(store, EagerStore) else None
        self._clock = clock
        self._chained = chained
        self._announce_opening = announce_opening
        self._segment_bytes = segment_bytes
        self._on_appended = on_appended
        self._sealed_bytes = self._tail_bytes = 0
        self._compactor = Compactor(store)
        self._tail: Tail | None = None
        self._hold: Hold | None = None
        self._preamble: list[bytes] = []
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        """What is under way: the loop itself keeps no task alive."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_busy = False
        self._is_shared = False
        """Whether several appenders shared the last batch."""
        self._failure: Exception | None = None
        register_at_fork(self)

    @property
    def is_open(self) -> bool:
        return self._tail is not None

    @property
    def records(self) -> int:
        """How many records the log has ever had: the index of the next one."""
        return self._opened.records

    @property
    def size_bytes(self) -> int:
        """The size of all segments, as of the last opening or append; 0 before the first."""
        return self._sealed_bytes + self._tail_bytes

    @property
    def last_seq(self) -> int | None:
        """The ``seq`` of the last record that has one; None if none has."""
        return self._opened.seq

    @property
    def hub_id(self) -> str | None:
        """The ``hub`` of the last record that has one."""
        return self._opened.hub

    @property
    def segment(self) -> int:
        """The index of the first record of the segment that is being written."""
        return self._opened.first

    @property
    def compaction_failure(self) -> Exception | None:
        """Why sealed segments could not be compacted; None if they could. It harms nothing, but reads slower."""
        return self._compactor.failure

    @property
    def _opened(self) -> Tail:
        assert self._tail is not None, "the log is not open"
        return self._tail

    @property
    def _segment(self) -> str:
        return segment_path(self.path, self._opened.first)

    async def open(self) -> None:
        """Take possession and recover. Does nothing if it is open.

        Raises :class:`~hubwire.errors.AlreadyRunning` before anything is read or repaired, or
        :class:`~hubwire.errors.LogDamaged`.
        """
        if self._failure is not None:
            raise repeat(self._failure)
        if self._tail is not None and all(waiting.bodies is not None for waiting in self._waiting):
            return
        waiting = self._enqueue(())
        try:
            await waiting.future
        except asyncio.CancelledError:
            # Nobody knows of it, so nobody would close it. Whoever else is using it opens it again.
            self._enqueue(None).future.cancel()
            raise

    async def append(self, bodies: Sequence[bytes], *, seq: int | None = None, hub: str | None = None) -> int:
        """Append records, JSON objects without a line feed; return the index of the first. All of them or none.

        They are durable when it returns. Order is that of the calls. ``seq`` and ``hub`` are those of the last body
        that has them. Cancelling ends the wait, not the write. Raises :class:`~hubwire.errors.StoreFull`: nothing was
        written, the same call may be made again; :class:`~hubwire.errors.Fenced`: another writer took over.
        """
        if self._failure is not None:
            raise repeat(self._failure)
        return await self._enqueue(bodies, seq, hub).future

    async def truncate_before(self, index: int) -> None:
        """Delete the segments before the one that holds record ``index``; the last segment stays in any case.

        Appends go on meanwhile. A crash or a cancellation in the middle leaves the log whole from some segment on, and
        the next opening finishes it. Readers that stand there get :class:`~hubwire.errors.HistoryGone`.
        """
        assert index <= self._opened.first
        async for size in truncate(self._store, self.path, index):
            self._sealed_bytes -= size

    async def aclose(self) -> None:
        """Let the appends before it come to their end, leave a clean marker, and give the log up.

        Cancelling ends the wait, not the closing. The next call of another method opens the log again. In a forked
        child it does nothing: the log is its parent's.
        """
        if self._tail is not None or self._is_busy:
            await self._enqueue(None).future

    def after_fork_in_child(self) -> None:
        """Give the log up in a forked process, if it is open: two would append behind the same end."""
        if self._tail is not None or self._is_busy:
            self._failure = ConfigurationError(
                f"the log {self.path} is open in the process that this one was forked from; let the child use a log of"
                " its own"
            )
            self._tail, self._is_busy = None, False
            self._waiting.clear()

    def _enqueue(self, bodies: Sequence[bytes] | None, seq: int | None = None, hub: str | None = None) -> _Waiting:
        loop = asyncio.get_running_loop()
        if self._is_busy and loop is not self._loop:
            # Whoever waited in it is gone, and what it had begun to write may or may not be there.
            self._is_busy = False
            self._fail(self._lost())
            if bodies is not None:
                raise self._lost()
        waiting = _Waiting(loop.create_future(), bodies, seq, hub)
        self._waiting.append(waiting)
        if not self._is_busy:
            self._is_busy = True
            self._loop = loop
            self._go_on_together()
        return waiting

    def _go_on_together(self) -> None:
        """Go on, but if appenders shared the last batch let them come again first: they would share the next one."""
        if self._is_shared:
            self._worker = asyncio.create_task(self._go_on_soon())
        else:
            self._go_on()

    async def _go_on_soon(self) -> None:
        self._go_on()

    def _go_on(self) -> None:
        """Do what is waited for next, in the order of the calls."""
        while self._waiting:
            tail, bodies = self._tail, self._waiting[0].bodies
            if tail is None or bodies is None or (bodies and (tail.rotated or tail.size >= self._segment_bytes)):
                self._worker = asyncio.create_task(self._prepare(), name=f"hubwire log {self.path}")
                return
            if not bodies:
                self._tell([self._waiting.popleft()], tail.records)
            elif self._write(self._take_batch()):
                return
        self._is_busy = False

    async def _prepare(self) -> None:
        """Do what is waited for and is no append: open, close, or go on to the next segment."""
        try:
            if self._waiting[0].bodies is None:
                await self._close(self._waiting.popleft())
            elif self._tail is None:
                await self._open()
            else:
                await self._rotate()
        except asyncio.CancelledError:
            # The loop is being torn down; an append may or may not have happened: nobody will know before recovery.
            self._fail(self._lost())
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the waiting must learn of it
            self._refuse(self._take_batch(), error)
        finally:
            self._go_on()

    async def _open(self) -> None:
        """Open the log; if that fails, tell everybody who waits for it."""
        try:
            if isinstance(self._store, HoldableStore):
                self._hold = await self._store.hold(f"{self.path}/.lock")
            try:
                self._tail = await self._recover()
            except BaseException:
                await self._release()
                raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the waiting must learn of it
            self._turn_away(self._translate(error))
            return
        self._tail_bytes = self._tail.size
        self._preamble = [self._own_record("log.opened")] if self._announce_opening else []
        if self.recovery is not None:
            self._preamble.append(self._own_record("log.recovered", **attrs.asdict(self.recovery)))

    async def _recover(self) -> Tail:
        recoverer = Recoverer(self._store, self.path, chained=self._chained, held=self._hold is not None)
        tail = await recoverer.recover()
        self.recovery, self._sealed_bytes = recoverer.recovery, recoverer.sealed_bytes
        if recoverer.newest_sealed is not None:
            # Who sealed it may have died before it was compacted.
            self._compactor.add(segment_path(self.path, recoverer.newest_sealed))
        return tail

    async def _close(self, closing: _Waiting) -> None:
        tail, self._tail = self._tail, None
        try:
            try:
                if tail is not None and self._failure is None:
                    await self._store.write(f"{self.path}/clean", clean_marker(tail))
            finally:
                await self._release()
        except asyncio.CancelledError:
            _fail_all([closing], self._lost())
            raise
        except Exception as error:  # noqa: BLE001 - it is raised by who called aclose
            _fail_all([closing], error)
        else:
            if not closing.future.done():
                closing.future.set_result(0)

    async def _release(self) -> None:
        await self._compactor.aclose()
        if self._hold is not None:
            await self._hold.release()
            self._hold = None

    # -- group commit --

    def _take_batch(self) -> list[_Waiting]:
        batch, size = [], 0
        while self._waiting and size < _BATCH_BYTES and (bodies := self._waiting[0].bodies) is not None:
            size += sum(map(len, bodies))
            batch.append(self._waiting.popleft())
        return batch

    def _write(self, batch: list[_Waiting]) -> bool:
        """Begin to write what a batch waits for; False if that was refused."""
        self._is_shared = len(batch) > 1
        bodies = [*self._preamble, *[body for waiting in batch for body in waiting.bodies or ()]]
        try:
            content, chain = self._seal(bodies)
            done = partial(self._written, batch, bodies, len(content), chain)
            if self._eager_store is not None:
                self._eager_store.begin_append(self._segment, content, expect=self._opened.size, done=done)
            else:
                self._worker = asyncio.create_task(self._append(content, done), name=f"hubwire log {self.path}")
        except Exception as error:  # noqa: BLE001 - whatever it was, the waiting must learn of it
            self._refuse(batch, error)
            return False
        return True

    async def _append(self, content: bytes, done: Callable[[int | None, BaseException | None], None]) -> None:
        try:
            done(await self._store.append(self._segment, content, expect=self._opened.size), None)
        except BaseException as error:
            done(None, error)
            if not isinstance(error, Exception):
                raise

    def _written(
        self,
        batch: list[_Waiting],
        bodies: list[bytes],
        size: int,
        chain: bytes,
        _: int | None,
        error: BaseException | None,
    ) -> None:
        """The batch is durable, or it failed: tell who waits for it, and go on."""
        first = self._opened.records
        if error is None:
            self._move_on(len(bodies), size, chain)
            try:
                if self._on_appended is not None:
                    self._on_appended(first, bodies)
            except Exception as raised:  # noqa: BLE001 - whatever it was, the waiting must learn of it
                error = raised
        if error is None:
            self._tell(batch, first + len(self._preamble))
            self._preamble = []
        else:
            # Cancelled, the loop is being torn down: nobody will know before recovery what was written.
            self._refuse(batch, error if isinstance(error, Exception) else self._lost())
        self._go_on_together()

    def _tell(self, batch: list[_Waiting], index: int) -> None:
        for waiting in batch:
            if waiting.seq is not None:
                self._opened.seq, self._opened.hub = waiting.seq, waiting.hub
            if not waiting.future.done():
                waiting.future.set_result(index)
            index += len(waiting.bodies or ())

    def _refuse(self, batch: list[_Waiting], error: Exception) -> None:
        """Tell a batch that it was not written; after anything but a full store, nothing will be."""
        failure = self._translate(error)
        _fail_all(batch, failure)
        if not isinstance(error, StoreFull):
            self._fail(failure)

    def _seal(self, bodies: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Return the lines of a batch, and the chain value of the last one."""
        tail = self._opened
        chain = tail.chain or b""
        if not self._chained:
            suffix = b',"d":%d}\n' % tail.records
            return b"".join([body[:-1] + suffix for body in bodies]), chain
        pieces: list[bytes] = []
        suffix = b',"d":%d' % tail.records
        for body in bodies:
            unchained = body[:-1] + suffix
            chain = chain_value(chain, unchained + b"}")
            pieces += (unchained, b',"h":"', chain, b'"}\n')
        return b"".join(pieces), chain

    def _move_on(self, records: int, size: int, chain: bytes) -> None:
        tail = self._opened
        tail.size += size
        self._tail_bytes = tail.size
        tail.records += records
        tail.chain = chain

    async def _rotate(self) -> None:
        tail = self._opened
        if not tail.rotated:
            # It tells the last position too, so that opening need not look for one further back than in this segment.
            following = segment_path(self.path, tail.records + 1)
            rotated = self._own_record("log.rotated", next_segment=following, last_seq=tail.seq, last_hub=tail.hub)
            content, chain = self._seal([rotated])
            await self._store.append(self._segment, content, expect=tail.size)
            self._move_on(1, len(content), chain)
            tail.rotated = True
        await self._store.write(segment_path(self.path, tail.records), b"", if_absent=True)
        self._sealed_bytes += tail.size
        self._compactor.add(segment_path(self.path, tail.first))
        tail.first, tail.size, tail.rotated = tail.records, 0, False
        self._tail_bytes = 0

    def _own_record(self, kind: str, **fields: Any) -> bytes:
        return codec.encode_fields({"at": timestamp(self._clock.now_ns()), "kind": kind, "path": self.path, **fields})

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, (AppendConflict, AlreadyExists)):
            fenced = Fenced(
                f"another writer has written to the log {self.path}; this one stops, so that the log has one history."
                " See that only one program writes it, then start again",
                path=self.path,
                byte_offset=error.byte_offset,
            )
            fenced.__cause__ = error
            return fenced
        return error

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._turn_away(failure)

    def _turn_away(self, error: Exception) -> None:
        """Tell everybody who waits, except those who wait for the log to be closed: that goes on."""
        closing = [waiting for waiting in self._waiting if waiting.bodies is None]
        _fail_all([waiting for waiting in self._waiting if waiting.bodies is not None], error)
        self._waiting = deque(closing)

    def _lost(self) -> StoreError:
        return StoreError(f"the loop ended while {self.path} was being written; open the log again", path=self.path)


def _fail_all(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(repeat(error))
