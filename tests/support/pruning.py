"""Audit logs to be pruned: of days, of long records, and of all states that a kill can leave of a store."""

from __future__ import annotations

from typing import Any

from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Rotation
from hubwire.log import list_segments
from hubwire.ports import KnowledgeStore
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock

from . import files_of

__all__ = ("DAILY", "DAY", "Killed", "blobs", "days_of", "firsts", "long")

DAY = 86_400
DAILY = Rotation(age_seconds_max=DAY)


class Killed(MemoryStore):
    """A store that remembers what it held after each change: what a kill there would have left."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, bytes]] | None = None
        """None as long as it does not remember."""

    async def _changed(self) -> None:
        if self.states is not None:
            self.states.append(await files_of(self))

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        await super().write(path, content, if_absent=if_absent, expect=expect)
        await self._changed()

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        size = await super().append(path, content, expect=expect)
        await self._changed()
        return size

    async def delete(self, path: str) -> None:
        await super().delete(path)
        await self._changed()


def long(text: str) -> dict[str, Any]:
    """A record that is too long for a line."""
    return {"text": text, "at": "2026-01-01", "filling": "x" * 70_000}


async def days_of(
    store: KnowledgeStore, clock: ManualClock, days: int, *, long_each: bool = False, **settings: Any
) -> AuditLog:
    """Write a log of so many days, with two records of each; return it, open."""
    audit = AuditLog(store, rotation=DAILY, clock=clock, **settings)
    for day in range(days):
        clock.advance(DAY if day else 0)
        await audit.append({"day": day, "part": 0})
        await audit.append(long(f"day {day}") if long_each else {"day": day, "part": 1})
    return audit


async def firsts(store: KnowledgeStore, path: str = "/audit") -> list[int]:
    """Return the segments."""
    return await list_segments(store, path)


async def blobs(store: KnowledgeStore) -> int:
    """Return how many files of long records there are."""
    return sum(path.startswith("/audit/blob/") for path in await files_of(store))
