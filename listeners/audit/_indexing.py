"""Indexing: an audit log that is to be queried writes the index of each segment when that was sealed.

And that of the segment which grows, when it has grown by a few megabytes, and when the log is closed.
"""

from __future__ import annotations

from functools import partial

from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore

from ._guests import Worker

__all__ = ("Indexer",)

_log = OwnLog("audit")

_GROWTH_BYTES = 4 * 1024 * 1024
"""Reading so much takes a narrow query about ten milliseconds: as long as all else that it does."""

_GROWTH_PART = 8
"""Of a large segment, an eighth more: its index is written anew each time, and is a hundredth of what it covers."""

_SIZE_MIN = 256 * 1024
"""A smaller segment has no index, and a program may close many logs."""


class Indexer:
    """Writes the indexes that the log lacks, in a task of its own, when a segment was begun or has grown."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self.failure: Exception | None = None
        """Why the newest index was not written; None if it was. The next segment tries again."""
        self._store = store
        self._path = path
        self._segment: int | None = None
        self._size: int = 0
        self._due_bytes: int = 0
        """The size of the segment at which it is indexed next."""
        self._worker = Worker("hubwire audit indexing")

    def appended(self, segment: int, size: int) -> None:
        """Records were appended to this segment, which has this size now."""
        self._size = size
        if (segment != self._segment or size >= self._due_bytes) and not self._worker.is_at_work:
            self._segment = segment
            self._due_bytes = size + max(_GROWTH_BYTES, size // _GROWTH_PART)
            self._worker.start(self._index)

    async def _index(self, *, sealed: bool = True) -> None:
        from hubwire.query import index_log  # noqa: PLC0415 - few logs are indexed, and all would pay for it

        try:
            await index_log(self._store, self._path, check=False, sealed=sealed)
            self.failure = None
        except Exception as error:  # noqa: BLE001 - queries read the log without it, and the log goes on
            self.failure = error
            _log.failure("a segment of an audit log could not be indexed", error, log=self._path)

    async def close(self) -> None:
        """Stop; an index that is not written yet is written after the next start."""
        await self._worker.finish(0)

    async def finish(self, seconds: float) -> None:
        """Index what the closed log has got since it was indexed last, in so many seconds at most."""
        if self._segment is None or self._worker.is_at_work:
            return
        self._segment = None
        if self._size < _SIZE_MIN:
            return
        self._worker.start(partial(self._index, sealed=False))
        try:
            await self._worker.finish(seconds)
        except BaseException:  # it was cancelled: the task ends by itself
            self._worker.leave_behind()
            raise
