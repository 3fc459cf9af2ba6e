"""Compaction: sealed segments merged into one object each, on stores that keep appends apart. No call waits for it."""

from __future__ import annotations

import asyncio
from collections import deque

from ..ports import CompactableStore, KnowledgeStore

__all__ = ("Compactor",)


class Compactor:
    """Compacts sealed segments of a log, one after the other, in a task of its own.

    A store deletes what it has merged only after a while, at a later call. So a segment with parts left to delete is
    compacted again whenever another one was sealed.
    """

    def __init__(self, store: KnowledgeStore) -> None:
        self.failure: Exception | None = None
        """What the newest attempt failed with; None if it went well. No record is lost by it, but reading is slower."""
        self._store = store
        self._paths: list[str] = []
        self._due: deque[str] = deque()
        self._task: asyncio.Task[None] | None = None

    def add(self, path: str) -> None:
        """Compact a segment that was sealed, soon."""
        if not isinstance(self._store, CompactableStore):
            return
        self._paths.append(path)
        if self._task is None or self._task.done():
            self._due = deque(self._paths)
            self._task = asyncio.create_task(self._compact(self._store), name=f"hubwire compaction of {path}")
        else:
            self._due.append(path)

    async def aclose(self) -> None:
        """Stop; a compaction under way is cancelled, which leaves the segment as readable as it was."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def _compact(self, store: CompactableStore) -> None:
        while self._due:
            path = self._due.popleft()
            try:
                is_done = await store.compact(path)
            except Exception as error:  # noqa: BLE001 - the log goes on, and reports it
                self.failure = error
                return
            if is_done:
                self._paths.remove(path)
        self.failure = None
