"""The segments of a log on its store, for their one writer: held, inspected, repaired, written, rotated, given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from .. import codec
from ..clock import timestamp
from ..ports import Clock, EagerStore, Hold, HoldableStore, KnowledgeStore
from ..waking import start_later
from ._compaction import Compactor
from ._inspection import Inspection
from ._marking import Marking
from ._reading import segment_path
from ._recovery import inspect
from ._repair import repair
from ._rotation import Rotation, SegmentAge
from ._tail import VERSION, Sealed, Tail
from ._truncation import begin_at

__all__ = ("OnLines", "Segments")

OnLines = Callable[[int, bytes], None]
"""Called with the index of the first record, and the lines of records that are durable."""

_Done = Callable[["int | None", "BaseException | None"], None]


class Segments:
    """All segments of one log. Its methods are called one at a time, except that truncation may go on beside them."""

    def __init__(
        self,
        store: KnowledgeStore,
        path: str,
        *,
        clock: Clock,
        chained: bool,
        announce_opening: bool,
        rotation: Rotation,
        on_lines: OnLines | None = None,
    ) -> None:
        self.path = path
        self.tail: Tail = Tail()
        """As of the last opening or append."""
        self.inspection: Inspection = Inspection(path=path)
        """What the last opening found."""
        self.is_repaired: bool = False
        """Whether what the last opening found to be done is done, and the log may be appended to."""
        self.preamble: list[bytes] = []
        """The log's own records that the first batch after an opening begins with."""
        self.compactor: Compactor = Compactor(store)
        self._store = store
        self._appender = store if isinstance(store, EagerStore) else _TaskAppender(store, f"hubwire log {path}")
        self._clock = clock
        self._chained = chained
        self._announce_opening = announce_opening
        self._rotation = rotation
        self._on_lines = on_lines
        self._age = SegmentAge(clock)
        self.marking: Marking = Marking(store, path, self._tail_now)
        self._newest = segment_path(path, 0)
        """The path of the segment that is being written."""
        self._kept = self.inspection.kept
        self._hold: Hold | None = None

    def _tail_now(self) -> Tail:
        return self.tail

    @property
    def size_bytes(self) -> int:
        """The size of all segments, as of the last opening or append; 0 before the first."""
        return self.tail.before_bytes + self.tail.size - self._kept.before_bytes

    # -- opening and closing --

    async def open(self) -> None:
        """Take possession where the store can hold, and inspect. If that fails, the log is not held.

        The store is only read.
        """
        self.is_repaired = False
        if isinstance(self._store, HoldableStore):
            self._hold = await self._store.hold(f"{self.path}/.lock")
        try:
            await self._inspect()
        except BaseException:
            await self._release()
            raise
        self.preamble = [self.own_record("log.opened")] if self._announce_opening else []
        torn, notes = self.inspection.torn, self.inspection.notes
        if torn is not None:
            self.preamble.append(self.own_record("log.recovered", **attrs.asdict(torn)))
        if notes:
            self.preamble.append(self.own_record("log.recovered", notes=list(notes)))

    async def _inspect(self) -> None:
        self.inspection = found = await inspect(
            self._store, self.path, is_chained=self._chained, is_held=self._hold is not None
        )
        found.check()
        self.tail, self._kept = found.tail, found.kept
        self._newest = found.last_segment
        if self._rotation.age_seconds_max is not None:
            await self._age.find(self._store, [segment_path(self.path, first) for first in found.segments])

    async def repair(self) -> None:
        """Do what the opening found to be done, and mark the log as open. After an error it may be called again."""
        if self.is_repaired:
            return
        found = self.inspection
        await repair(self._store, attrs.evolve(found, kept=self._kept), is_held=self._hold is not None)
        self.is_repaired = True
        self.marking.open(is_held=self._hold is not None)
        self.compactor.look_below(f"{self.path}/log", self._newest)

    async def close(self, *, mark_clean: bool) -> None:
        """Leave a clean marker if ``mark_clean`` and the log was changed, and give the log up in any case."""
        try:
            await self.marking.close()
            if mark_clean and self.is_repaired:
                await self.marking.write(is_closed=True)
        finally:
            await self._release()

    async def release(self) -> None:
        """Give the log up at once, also while a compaction does not end."""
        hold, self._hold = self._hold, None
        if hold is not None:
            await hold.release()
        await self.compactor.aclose()

    async def _release(self) -> None:
        await self.compactor.aclose()
        if self._hold is not None:
            await self._hold.release(as_found=not self.is_repaired)
            self._hold = None

    async def is_taken_over(self) -> bool:
        """Return whether another writer has appended behind the tail, or has truncated all of it: never where held."""
        if self._hold is not None:
            return False
        size = self.tail.size
        behind = await self._store.read_bytes(self._newest, size, size + 1)
        return bool(behind) if behind is not None else size > 0

    # -- appending --

    def announce(self, fields: Mapping[str, Any]) -> None:
        """Let the next batch begin with a ``log.opened`` that says this, in place of one that still waits."""
        self.preamble = [self.own_record("log.opened", **fields), *self.preamble[1:]]

    def batch_mark(self, records: int) -> bytes:
        """Return the record before a batch of so many records."""
        return self.own_record("log.batch_begun", records=records)

    def seal(self, bodies: Sequence[bytes]) -> Sealed:
        """Return records ready to be appended."""
        return self.tail.seal_chained(bodies) if self._chained else self.tail.seal(bodies)

    def begin_append(self, sealed: Sealed, done: _Done) -> None:
        """Begin to append to the last segment; ``done`` is called with the result, or the error, in the running loop.

        The tail stays where it is. The caller moves it on.
        """
        self._appender.begin_append(self._newest, sealed.content, expect=self.tail.size, done=done)

    def advance(self, sealed: Sealed) -> None:
        """Move the tail behind records that are durable now."""
        first = self.tail.records
        self.tail.advance(sealed)
        if self._on_lines is not None:
            self._on_lines(first, sealed.content)

    # -- segments --

    @property
    def is_full(self) -> bool:
        """Whether a new segment has to be begun before the next append."""
        return self.tail.rotated or self._rotation.is_due(self.tail, self._age.seconds)

    async def rotate(self) -> None:
        """Begin a new segment. After an error it may be called again, and goes on where it stopped."""
        tail = self.tail
        if not tail.rotated:
            # With the position in it, opening need not look for one further back than in this segment.
            following = segment_path(self.path, tail.records + 1)
            body = self.own_record("log.rotated", next_segment=following, last_seq=tail.seq, last_hub=tail.hub)
            sealed = self.seal([body])
            await self._store.append(self._newest, sealed.content, expect=tail.size)
            self.advance(sealed)
            tail.rotated = True
        following = segment_path(self.path, tail.records)
        await self._store.write(following, b"", if_absent=True)
        self.compactor.add(self._newest)
        self._newest = following
        tail.rotate()
        self._age.begin()
        await self.marking.write(is_closed=False)

    async def truncate_before(self, index: int) -> None:
        """Delete the segments before the one that holds record ``index``."""
        assert index <= self.tail.first
        self._kept, gone = await begin_at(self._store, self.path, index, self._kept)
        for segment in gone:
            await self._store.delete(segment)

    def own_record(self, kind: str, **fields: Any) -> bytes:
        """Return a record of the log's own, with the time, the path and the version."""
        return codec.encode_fields(
            {"at": timestamp(self._clock.now_ns()), "kind": kind, "path": self.path, "v": VERSION, **fields}
        )


class _TaskAppender:
    """Begins an append, on a store that only has a coroutine for it, in a task."""

    def __init__(self, store: KnowledgeStore, task_name: str) -> None:
        self._store = store
        self._task_name = task_name
        self._task: asyncio.Task[None] | None = None
        """The loop itself keeps no task alive."""

    def begin_append(self, path: str, content: bytes, *, expect: int | None = None, done: _Done) -> None:
        self._task = start_later(self._append(path, content, expect, done), name=self._task_name)

    async def _append(self, path: str, content: bytes, expect: int | None, done: _Done) -> None:
        try:
            done(await self._store.append(path, content, expect=expect), None)
        except BaseException as error:
            done(None, error)
            if not isinstance(error, Exception):
                raise
