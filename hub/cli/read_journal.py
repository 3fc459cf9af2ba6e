"""A journal that is read beside a hub that may be at work on it."""

from __future__ import annotations

import attrs

from .._journal.store_journal import StoreJournal
from ..log import Inspection, LogReader, inspect
from ..ports import KnowledgeStore

__all__ = ("ReadJournal",)


class ReadJournal(StoreJournal):
    """A journal that is only read: it is not opened, not held, and takes no events."""

    epoch: int
    hub_id: str | None
    first_seq: int

    def __init__(self, store: KnowledgeStore, path: str, found: Inspection) -> None:
        super().__init__(store, path=path)
        self._found = found

    @property
    def next_seq(self) -> int:
        return 0 if self._found.tail.seq is None else self._found.tail.seq + 1

    @property
    def size_bytes(self) -> int:
        return self._found.size_bytes

    async def open(self) -> None:
        self.epoch, self.hub_id = self._found.tail.records, self._found.tail.hub
        reader = LogReader(self.store, self.path)
        await reader.seek_index(0)
        self.first_seq = await self._find_first_seq(reader)

    async def look_again(self) -> None:
        """See how far it goes now: what was read since then, beside it, may be of events that came later."""
        found = await inspect(self.store, self.path, is_chained=False)
        if not found.damage and found.tail.seq is not None and found.tail.seq >= self.next_seq:
            self._found = attrs.evolve(self._found, tail=found.tail)
