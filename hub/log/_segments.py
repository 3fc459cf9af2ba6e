"""The segments of a log on its store, for their one writer: held, recovered, appended to, rotated, given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .. import codec
from ..clock import timestamp
from ..ports import Clock, EagerStore, Hold, HoldableStore, KnowledgeStore
from ._compaction import Compactor
from ._reading import segment_path
from ._recovery import Recoverer, Recovery
from ._rotation import Rotation
from ._tail import Sealed, Tail
from ._truncation import truncate

__all__ = ("Segments",)

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
    ) -> None:
        self.path = path
        self.tail: Tail = Tail()
        """As of the last opening or append."""
        self.recovery: Recovery | None = None
        """What the last opening set aside."""
        self.preamble: list[bytes] = []
        """The log's own records that the first batch after an opening begins with."""
        self.compactor: Compactor = Compactor(store)
        self._store = store
        self._appender = store if isinstance(store, EagerStore) else _TaskAppender(store, f"hubwire log {path}")
        self._clock = clock
        self._chained = chained
        self._announce_opening = announce_opening
        self._rotation = rotation
        self._newest = segment_path(path, 0)
        """The path of the segment that is being written."""
        self._sealed_bytes = 0
        self._hold: Hold | None = None

    @property
    def size_bytes(self) -> int:
        """The size of all segments, as of the last opening or append; 0 before the first."""
        return self._sealed_bytes + self.tail.size

    # -- opening and closing --

    async def open(self) -> None:
        """Take possession where the store can hold, and recover. If that fails, the log is not held."""
        if isinstance(self._store, HoldableStore):
            self._hold = await self._store.hold(f"{self.path}/.lock")
        try:
            await self._recover()
        except BaseException:
            await self._release()
            raise
        self.preamble = [self._own_record("log.opened")] if self._announce_opening else []
        if self.recovery is not None:
            self.preamble.append(self._own_record("log.recovered", **attrs.asdict(self.recovery)))

    async def close(self, *, mark_clean: bool) -> None:
        """Leave a clean marker if ``mark_clean``, and give the log up in any case."""
        try:
            if mark_clean:
                await self._store.write(f"{self.path}/clean", self.tail.to_marker())
        finally:
            await self._release()

    async def _recover(self) -> None:
        recoverer = Recoverer(self._store, self.path, chained=self._chained, held=self._hold is not None)
        self.tail = await recoverer.recover()
        self._newest = segment_path(self.path, self.tail.first)
        self.recovery, self._sealed_bytes = recoverer.recovery, recoverer.sealed_bytes
        if recoverer.newest_sealed is not None:
            # Its writer may have died before it was compacted.
            self.compactor.add(segment_path(self.path, recoverer.newest_sealed))

    async def _release(self) -> None:
        await self.compactor.aclose()
        if self._hold is not None:
            await self._hold.release()
            self._hold = None

    # -- appending --

    def seal(self, bodies: Sequence[bytes]) -> Sealed:
        """Return records ready to be appended."""
        return self.tail.seal_chained(bodies) if self._chained else self.tail.seal(bodies)

    def begin_append(self, sealed: Sealed, done: _Done) -> None:
        """Begin to append to the last segment; ``done`` is called with the result, or the error, in the running loop.

        The tail stays where it is. The caller moves it on.
        """
        self._appender.begin_append(self._newest, sealed.content, expect=self.tail.size, done=done)

    # -- segments --

    @property
    def is_full(self) -> bool:
        """Whether a new segment has to be begun before the next append."""
        return self.tail.rotated or self._rotation.is_due(self.tail)

    async def rotate(self) -> None:
        """Begin a new segment. After an error it may be called again, and goes on where it stopped."""
        tail = self.tail
        if not tail.rotated:
            # With the position in it, opening need not look for one further back than in this segment.
            following = segment_path(self.path, tail.records + 1)
            body = self._own_record("log.rotated", next_segment=following, last_seq=tail.seq, last_hub=tail.hub)
            sealed = self.seal([body])
            await self._store.append(self._newest, sealed.content, expect=tail.size)
            tail.advance(sealed)
            tail.rotated = True
        following = segment_path(self.path, tail.records)
        await self._store.write(following, b"", if_absent=True)
        self._sealed_bytes += tail.size
        self.compactor.add(self._newest)
        self._newest = following
        tail.rotate()

    async def truncate_before(self, index: int) -> None:
        """Delete the segments before the one that holds record ``index``."""
        assert index <= self.tail.first
        async for size in truncate(self._store, self.path, index):
            self._sealed_bytes -= size

    def _own_record(self, kind: str, **fields: Any) -> bytes:
        return codec.encode_fields({"at": timestamp(self._clock.now_ns()), "kind": kind, "path": self.path, **fields})


class _TaskAppender:
    """Begins an append, on a store that only has a coroutine for it, in a task."""

    def __init__(self, store: KnowledgeStore, task_name: str) -> None:
        self._store = store
        self._task_name = task_name
        self._task: asyncio.Task[None] | None = None
        """The loop itself keeps no task alive."""

    def begin_append(self, path: str, content: bytes, *, expect: int | None = None, done: _Done) -> None:
        self._task = asyncio.create_task(self._append(path, content, expect, done), name=self._task_name)

    async def _append(self, path: str, content: bytes, expect: int | None, done: _Done) -> None:
        try:
            done(await self._store.append(path, content, expect=expect), None)
        except BaseException as error:
            done(None, error)
            if not isinstance(error, Exception):
                raise
