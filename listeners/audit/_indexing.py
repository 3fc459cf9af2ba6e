"""Indexing: an audit log that is to be queried writes the index of each segment when that was sealed."""

from __future__ import annotations

from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore

from ._guests import Worker

__all__ = ("Indexer",)

_log = OwnLog("audit")


class Indexer:
    """Writes the indexes that sealed segments lack, in a task of its own, when a segment was begun."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self.failure: Exception | None = None
        """Why the newest index was not written; None if it was. The next segment tries again."""
        self._store = store
        self._path = path
        self._segment: int | None = None
        self._worker = Worker("hubwire audit indexing")

    def appended(self, segment: int) -> None:
        """Records were appended to this segment."""
        if segment != self._segment and not self._worker.is_at_work:
            self._segment = segment
            self._worker.start(self._index)

    async def _index(self) -> None:
        from hubwire.query import index_log  # noqa: PLC0415 - few logs are indexed, and all would pay for it

        try:
            await index_log(self._store, self._path, check=False)
            self.failure = None
        except Exception as error:  # noqa: BLE001 - queries read the log without it, and the log goes on
            self.failure = error
            _log.failure("a segment of an audit log could not be indexed", error, log=self._path)

    async def close(self) -> None:
        """Stop; an index that is not written yet is written after the next start."""
        await self._worker.finish(0)
        self._segment = None
