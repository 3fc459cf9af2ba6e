"""A log: an append-only sequence of records over a :class:`~hubwire.ports.KnowledgeStore`.

Journal and AuditLog are both it.

Layout, below the log's path::

    log/00000000000000000000.jsonl    a segment, named by the index of its first record; only the last one grows
    log/<segment>.torn-<offset>       bytes of a record that was never acknowledged, set aside by recovery
    clean                             where the log ended when it was closed in good order
    .lock                             held by the writer, where the store can hold

A record is one line, as :mod:`hubwire.codec` seals it. ``d`` makes the difference between a torn tail and damage: bad
bytes after everything that any ``d`` vouches for were never acknowledged, and are set aside; bad bytes before are lost
records, and the log is refused. ``h``, in a chained log, is ``base64url(SHA-256(previous h || line without h)[:16])``,
the previous one of the first record being empty, and the chain goes on across segments.

Life of an append: the appender leaves its bodies and waits; a task that lives as long as anybody waits takes all of
them, seals them, and appends them to the store in one call (group commit: while one is on its way the next batch
grows). Opening and closing are waited for in the same queue, so that the order of the calls holds for them too. Two
writers are kept apart by holding where the store can, and by ``expect`` everywhere: a writer that finds the segment
longer than it left it is :class:`~hubwire.errors.Fenced`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio
import attrs
import msgspec

from . import codec
from .clock import timestamp
from .errors import AlreadyExists, AppendConflict, Fenced, InvalidRecord, LogDamaged, StoreError, StoreFull, repeat
from .ports import Clock, Hold, HoldableStore, KnowledgeStore

__all__ = ("Log", "LogReader", "Record", "Recovery", "chain_value", "follow", "log_exists")

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment is closed when it has reached this size; opening after a crash reads one segment."""

FOLLOW_SECONDS = 5.0
"""A follower that hears of no change looks for one after this time."""

_BATCH_BYTES = 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_LINE_BYTES_MAX = 64 * 1024 * 1024
_SEGMENT_NAME = re.compile(r"(\d{20})\.jsonl")


@attrs.frozen
class Record:
    """A record of a log: its number there, and its line without the line feed."""

    index: int
    line: bytes

    @property
    def body(self) -> bytes:
        """The record as it was appended, a JSON object."""
        return codec.unseal(self.line)[0]

    @property
    def durable(self) -> int:
        """``d``: how many records were known durable when this one was written."""
        return codec.unseal(self.line)[1]

    @property
    def chain(self) -> bytes | None:
        """``h``: the chain value; None in a log without a chain."""
        return codec.unseal(self.line)[2]


@attrs.frozen
class Recovery:
    """What opening a log set aside: bytes that were never acknowledged."""

    segment: str
    byte_offset: int
    torn_bytes: int
    torn_path: str


def chain_value(previous: bytes, line: bytes) -> bytes:
    """Return the ``h`` that follows ``previous`` for a line that is sealed without it."""
    return base64.urlsafe_b64encode(hashlib.sha256(previous + line).digest()[:16])[:22]


async def log_exists(store: KnowledgeStore, path: str) -> bool:
    """Tell whether there is a log at ``path``."""
    return bool(await _segments(store, path))


async def _segments(store: KnowledgeStore, path: str) -> list[int]:
    """Return the first indexes of the log's segments, ascending."""
    names = await store.list(f"{path}/log")
    return sorted(int(match[1]) for name in names if (match := _SEGMENT_NAME.fullmatch(name)))


def _segment_path(path: str, first_index: int) -> str:
    return f"{path}/log/{first_index:020d}.jsonl"


# --- reading --------------------------------------------------------------------------------------------------------


class LogReader:
    """A place in a log, moved forward by reading. It needs no hold and disturbs no writer; memory is constant.

    A reader sees whole lines only: what a writer has not finished is not there yet.
    """

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self._store = store
        self._path = path
        self._first: int | None = None
        self._offset = 0
        self.index: int = 0
        """The index of the next record to read."""

    async def seek_index(self, index: int) -> None:
        """Go to the record numbered ``index``, or to the oldest one kept if that is newer."""
        segments = await _segments(self._store, self._path)
        self._start_at(max((first for first in segments if first <= index), default=segments[0] if segments else 0))
        while self.index < index and (records := await self.read()):
            if records[-1].index >= index:
                self._put_back(records, index)

    async def seek_end(self) -> None:
        """Go to the present end: to the first record that is not there yet."""
        segments = await _segments(self._store, self._path)
        self._start_at(segments[-1] if segments else 0)
        while await self.read():
            pass

    async def seek_after_seq(self, seq: int) -> None:
        """Go to the segment that holds the first event after ``seq``; records before it may still come."""
        segments = await _segments(self._store, self._path)
        low, high = 0, max(len(segments) - 1, 0)
        while low < high:
            middle = (low + high + 1) // 2
            first_seq = await self._first_seq(segments[middle])
            if first_seq is not None and first_seq <= seq + 1:
                low = middle
            else:
                high = middle - 1
        self._start_at(segments[low] if segments else 0)

    async def read(self) -> list[Record]:
        """Return the next records, at least one and about a megabyte; an empty list at the present end."""
        if self._first is None:
            segments = await _segments(self._store, self._path)
            if not segments:
                return []
            self._start_at(segments[0])
        while not (records := await self._read_here()):
            later = [first for first in await _segments(self._store, self._path) if first > (self._first or 0)]
            # The segment may have got its last records between the read that found its end and the listing.
            if not later or (records := await self._read_here()):
                break
            await self._check_complete(later[0])
            self._start_at(later[0])
        return records

    async def read_sealed(self, first: int, next_first: int) -> AsyncIterator[Record]:
        """Iterate over one segment, which the one that begins at ``next_first`` follows.

        Raises :class:`~hubwire.errors.LogDamaged` at its end if a record is missing or is one too many.
        """
        self._start_at(first)
        while records := await self._read_here():
            for record in records:
                yield record
        await self._check_complete(next_first)

    async def _read_here(self) -> list[Record]:
        path = _segment_path(self._path, self._first or 0)
        pieces: list[bytes] = []
        end = self._offset
        while chunk := await self._store.read_bytes(path, end, end + _CHUNK_BYTES):
            end += len(chunk)
            whole, feed, _ = chunk.rpartition(b"\n")
            if feed:
                lines = b"".join([*pieces, whole]).split(b"\n")
                first = self.index
                self.index += len(lines)
                self._offset += sum(map(len, lines)) + len(lines)
                return [Record(first + number, line) for number, line in enumerate(lines)]
            pieces.append(chunk)
            if end - self._offset > _LINE_BYTES_MAX:
                raise LogDamaged(
                    f"{path} has no line feed in {end - self._offset} bytes; it is no log, or damaged: restore it from"
                    " a copy",
                    path=path,
                    byte_offset=self._offset,
                )
        return []

    async def _check_complete(self, next_first: int) -> None:
        path = _segment_path(self._path, self._first or 0)
        if next_first != self.index or self._offset != await self._store.size(path):
            raise LogDamaged(
                f"{path} ends at record {self.index}, but the next segment begins at {next_first}; restore it from a"
                " copy",
                path=path,
                byte_offset=self._offset,
            )

    def _start_at(self, first: int) -> None:
        self._first, self.index, self._offset = first, first, 0

    def _put_back(self, records: list[Record], index: int) -> None:
        self._offset -= sum(len(record.line) + 1 for record in records if record.index >= index)
        self.index = index

    async def _first_seq(self, first: int) -> int | None:
        reader = LogReader(self._store, self._path)
        reader._start_at(first)
        for record in await reader._read_here():
            try:
                seq = codec.decode_fields(record.line).get("seq")
            except InvalidRecord:
                # Whoever reads this record will be told; for finding a segment the next one does as well.
                continue
            if type(seq) is int:
                return seq
        return None


# --- writing --------------------------------------------------------------------------------------------------------


@attrs.define
class _Tail:
    """Where the log ends, as far as it is durable."""

    first: int
    size: int
    records: int
    chain: bytes | None = b""
    """``h`` of the last record; None where it is not known, because the segment that holds it is not there any more."""
    seq: int | None = None
    hub: str | None = None
    rotated: bool = False


class _CleanMarker(msgspec.Struct):
    """A tail, as ``clean`` keeps it."""

    first: int
    size: int
    records: int
    chain: str
    seq: int | None
    hub: str | None
    rotated: bool


@attrs.frozen(eq=False)
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
        self._clock = clock
        self._chained = chained
        self._announce_opening = announce_opening
        self._segment_bytes = segment_bytes
        self._on_appended = on_appended
        self._sealed_bytes = self._tail_bytes = 0
        self._tail: _Tail | None = None
        self._hold: Hold | None = None
        self._preamble: list[bytes] = []
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

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
    def _opened(self) -> _Tail:
        assert self._tail is not None, "the log is not open"
        return self._tail

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

    async def aclose(self) -> None:
        """Let the appends before it come to their end, leave a clean marker, and give the log up.

        Cancelling ends the wait, not the closing. The next call of another method opens the log again.
        """
        if self._tail is not None or self._worker is not None:
            await self._enqueue(None).future

    def _enqueue(self, bodies: Sequence[bytes] | None, seq: int | None = None, hub: str | None = None) -> _Waiting:
        waiting = _Waiting(asyncio.get_running_loop().create_future(), bodies, seq, hub)
        self._waiting.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"hubwire log {self.path}")
        return waiting

    async def _work(self) -> None:
        """Do what is waited for, in the order of the calls, for as long as anybody waits."""
        try:
            while self._waiting:
                if self._waiting[0].bodies is None:
                    await self._close(self._waiting.popleft())
                elif self._tail is not None or await self._open():
                    await self._write_batch(self._take_batch())
        except asyncio.CancelledError:
            # The loop is being torn down; an append may or may not have happened: nobody will know before recovery.
            self._fail(self._lost())
            raise
        finally:
            self._worker = None

    async def _open(self) -> bool:
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
            return False
        self._tail_bytes = self._tail.size
        self._preamble = [self._own_record("log.opened")] if self._announce_opening else []
        if self.recovery is not None:
            self._preamble.append(self._own_record("log.recovered", **attrs.asdict(self.recovery)))
        return True

    async def _close(self, closing: _Waiting) -> None:
        tail, self._tail = self._tail, None
        try:
            try:
                if tail is not None and self._failure is None:
                    await self._store.write(f"{self.path}/clean", msgspec.json.encode(_marker(tail)))
            finally:
                await self._release()
        except Exception as error:  # noqa: BLE001 - it is raised by who called aclose
            _fail_all([closing], error)
        else:
            if not closing.future.done():
                closing.future.set_result(0)

    async def _release(self) -> None:
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

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        tail = self._opened
        bodies = [body for waiting in batch for body in waiting.bodies or ()]
        try:
            if bodies:
                if tail.rotated or tail.size >= self._segment_bytes:
                    await self._rotate()
                await self._append_sealed([*self._preamble, *bodies])
                if self._on_appended is not None:
                    written = [*self._preamble, *bodies]
                    self._on_appended(tail.records - len(written), written)
                self._preamble = []
        except StoreFull as error:
            _fail_all(batch, error)
            return
        except asyncio.CancelledError:
            _fail_all(batch, self._lost())
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the waiting must learn of it
            failure = self._translate(error)
            _fail_all(batch, failure)
            self._fail(failure)
            return
        index = tail.records - len(bodies)
        for waiting in batch:
            if waiting.seq is not None:
                tail.seq, tail.hub = waiting.seq, waiting.hub
            if not waiting.future.done():
                waiting.future.set_result(index)
            index += len(waiting.bodies or ())

    async def _append_sealed(self, bodies: Sequence[bytes]) -> None:
        tail = self._opened
        durable, chain = tail.records, tail.chain or b""
        if self._chained:
            lines = []
            for body in bodies:
                chain = chain_value(chain, codec.seal(body, durable))
                lines.append(codec.seal(body, durable, chain))
            content = b"\n".join(lines) + b"\n"
        else:
            suffix = b',"d":%d}\n' % durable
            content = b"".join([body[:-1] + suffix for body in bodies])
        await self._store.append(_segment_path(self.path, tail.first), content, expect=tail.size)
        tail.size += len(content)
        self._tail_bytes = tail.size
        tail.records += len(bodies)
        tail.chain = chain

    async def _rotate(self) -> None:
        tail = self._opened
        if not tail.rotated:
            # It tells the last position too, so that opening need not look for one further back than in this segment.
            following = _segment_path(self.path, tail.records + 1)
            await self._append_sealed(
                [self._own_record("log.rotated", next_segment=following, last_seq=tail.seq, last_hub=tail.hub)]
            )
            tail.rotated = True
        await self._store.write(_segment_path(self.path, tail.records), b"", if_absent=True)
        self._sealed_bytes += tail.size
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

    # -- recovery --

    async def _recover(self) -> _Tail:
        self.recovery = None
        segments = await _segments(self._store, self.path)
        self._sealed_bytes = 0
        for first in segments[:-1]:
            self._sealed_bytes += await self._store.size(_segment_path(self.path, first)) or 0
        first = segments[-1] if segments else 0
        size = await self._store.size(_segment_path(self.path, first)) or 0
        tail = await self._read_clean_marker(first, size)
        return tail or await self._recover_segment(segments, size)

    async def _read_clean_marker(self, first: int, size: int) -> _Tail | None:
        content = await self._store.read_bytes(f"{self.path}/clean")
        if content is None:
            return None
        try:
            marker = msgspec.json.decode(content, type=_CleanMarker)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None  # it is there to save time, and what it would say is found by reading
        if (first, size) < (marker.first, marker.size):
            path = _segment_path(self.path, marker.first)
            raise LogDamaged(
                f"{path} had {marker.size} bytes when the log was closed, and has lost some since; restore it from a"
                " copy",
                path=path,
                byte_offset=size if first == marker.first else 0,
            )
        if (first, size) != (marker.first, marker.size):
            return None
        return _Tail(**{**msgspec.structs.asdict(marker), "chain": marker.chain.encode()})

    async def _recover_segment(self, segments: list[int], size: int) -> _Tail:
        """Check the last segment line by line, and cut what was torn off when the last writer died."""
        if not segments:
            return _Tail(first=0, size=0, records=0)
        first = segments[-1]
        path = _segment_path(self.path, first)
        tail = _Tail(first=first, size=0, records=first, chain=None if first else b"")
        if len(segments) > 1:
            await self._take_over(tail, segments[-2])
        content = await self._store.read_bytes(path) or b""
        for line in content.split(b"\n")[:-1]:
            if not self._check_line(tail, line):
                break
        if tail.size < len(content):
            await self._set_aside(path, content, tail)
        elif self._hold is not None and content:
            # After a failed fsync the page cache may show what the disk does not have, and a second fsync would not
            # tell. A new file is written through. (A log that cannot be held is on objects, which are there or not.)
            await self._store.write(path, content, expect=size)
        return tail

    async def _take_over(self, tail: _Tail, sealed_first: int) -> None:
        """Check the segment before the last one; take over its chain value and its position.

        Its own first record is taken on trust, unless it is the first of all: what it follows is not read.
        """
        sealed = _Tail(first=sealed_first, size=0, records=sealed_first, chain=None if sealed_first else b"")
        async for record in LogReader(self._store, self.path).read_sealed(sealed_first, tail.first):
            if not self._check_line(sealed, record.line):
                path = _segment_path(self.path, sealed_first)
                raise LogDamaged(
                    f"{path} is damaged at byte {sealed.size}, record {record.index}; restore it from a copy",
                    path=path,
                    byte_offset=sealed.size,
                )
        tail.chain, tail.seq, tail.hub = sealed.chain, sealed.seq, sealed.hub

    def _check_line(self, tail: _Tail, line: bytes) -> bool:
        """Move ``tail`` past a good line; tell whether it was one."""
        try:
            body, durable, chain = codec.unseal(line)
            fields = codec.decode_fields(line)
        except InvalidRecord:
            return False
        if durable > tail.records or (chain is None) == self._chained:
            return False
        if chain is not None:
            if tail.chain is not None and chain != chain_value(tail.chain, codec.seal(body, durable)):
                return False
            tail.chain = chain
        tail.size += len(line) + 1
        tail.records += 1
        tail.rotated = fields.get("kind") == "log.rotated"
        if type(fields.get("seq")) is int:
            tail.seq, tail.hub = fields["seq"], fields.get("hub")
        elif tail.rotated and tail.seq is None:
            tail.seq, tail.hub = fields.get("last_seq"), fields.get("last_hub")
        return True

    async def _set_aside(self, path: str, content: bytes, tail: _Tail) -> None:
        torn = content[tail.size :]
        *lines, rest = torn.split(b"\n")
        for line in (*lines, rest):
            try:
                durable = codec.unseal(line)[1]
                if line is rest:
                    # Without its end, a line may stop at any "d" that is in it. With its end it tells the truth there,
                    # whatever is before: the line feed between two records may be what is damaged.
                    codec.decode_fields(line)
            except InvalidRecord:
                continue
            if durable > tail.records:
                raise LogDamaged(
                    f"{path} is damaged at byte {tail.size}: record {tail.records} was durable, as later records tell."
                    " Nothing was changed; restore the segment from a copy",
                    path=path,
                    byte_offset=tail.size,
                )
        torn_path = f"{path}.torn-{tail.size}"
        await self._store.write(torn_path, torn)
        await self._store.write(path, content[: tail.size], expect=len(content))
        self.recovery = Recovery(segment=path, byte_offset=tail.size, torn_bytes=len(torn), torn_path=torn_path)


def _marker(tail: _Tail) -> dict[str, Any]:
    return {**attrs.asdict(tail), "chain": (tail.chain or b"").decode()}


def _fail_all(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(repeat(error))


# --- following ------------------------------------------------------------------------------------------------------


async def follow(store: KnowledgeStore, path: str, *, start: int | None = None) -> AsyncIterator[Record]:
    """Iterate over the records of a log from index ``start``, by default from its present end, as it grows.

    It never ends. A log that does not exist yet is waited for.
    """
    changed = asyncio.Event()

    async def wake(_: str) -> None:
        changed.set()

    subscription = await store.on_change(f"{path}/log", wake)
    try:
        reader = LogReader(store, path)
        if start is None:
            await reader.seek_end()
        else:
            await reader.seek_index(start)
        while True:
            changed.clear()
            while records := await reader.read():
                for record in records:
                    yield record
            # A subscription may come to its end, or miss something: look now and then all the same.
            with anyio.move_on_after(FOLLOW_SECONDS):
                await changed.wait()
    finally:
        await subscription.close()
