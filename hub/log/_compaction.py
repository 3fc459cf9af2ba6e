"""Compaction: sealed segments merged into one object each, on stores that keep appends apart. No call waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine

from ..ports import CompactableStore, KnowledgeStore
from ..waking import start_later

__all__ = ("Compactor",)


class Compactor:
    """Compacts sealed segments of a log, one after the other, in a task of its own.

    A store deletes what it has merged only after a while, at a later call. So a segment with parts left to delete is
    compacted again when another one was sealed and the time of the oldest has come, and when the log is opened again.
    """

    def __init__(self, store: KnowledgeStore) -> None:
        self.failure: Exception | None = None
        """What the newest attempt failed with; None if it went well. No record is lost by it, but reading is slower."""
        self._store = store
        self._due: deque[str] = deque()
        """The segments to compact."""
        self._left: deque[str] = deque()
        """Those that were compacted and have parts left to delete, the oldest first."""
        self._task: asyncio.Task[None] | None = None

    def look_below(self, folder: str, newest: str) -> None:
        """Compact what earlier writers have left in ``folder``, soon: they may have died, or closed the log, before.

        ``newest`` is the segment that is being written.
        """
        if isinstance(self._store, CompactableStore):
            self._start(self._compact_below(self._store, folder, newest), folder)

    def add(self, path: str) -> None:
        """Compact a segment that was sealed, soon."""
        if not isinstance(self._store, CompactableStore):
            return
        self._due.append(path)
        if self._task is None or self._task.done():
            self._start(self._compact(self._store), path)

    async def aclose(self) -> None:
        """Stop; a compaction under way is cancelled, which leaves the segment as readable as it was."""
        task, self._task = self._task, None
        # A task of an event loop that has ended never comes to its end.
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

    def _start(self, work: Coroutine[None, None, None], path: str) -> None:
        self._task = start_later(work, name=f"hubwire compaction of {path}")

    async def _compact_below(self, store: CompactableStore, folder: str, newest: str) -> None:
        try:
            names = await store.uncompacted(folder)
        except Exception as error:  # noqa: BLE001 - the log goes on, and reports it
            self.failure = error
            return
        found = [path for name in names if (path := f"{folder}/{name}") < newest and name.endswith(".jsonl")]
        self._due = deque([*found, *(path for path in self._due if path not in found)])
        await self._compact(store)

    async def _compact(self, store: CompactableStore) -> None:
        try:
            while self._left and await store.compact(self._left[0]):
                self._left.popleft()
            while self._due:
                if not await store.compact(self._due[0]):
                    self._left.append(self._due[0])
                self._due.popleft()
        except Exception as error:  # noqa: BLE001 - the log goes on, and reports it
            self.failure = error
        else:
            self.failure = None
