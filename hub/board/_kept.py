"""Entries by their ids: those that go on and those that have ended, each in the bounds of the board."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ("Kept",)

E = TypeVar("E")


class Kept(Generic[E]):
    """Entries by id. Beyond a bound the oldest leave, and are counted."""

    __slots__ = ("_ended_max", "_going_max", "ended", "going", "not_shown")

    def __init__(self, going_max: int, ended_max: int) -> None:
        self._going_max = going_max
        self._ended_max = ended_max
        self.going: dict[str, E] = {}
        self.ended: dict[str, E] = {}
        """In the order in which they ended."""
        self.not_shown: int = 0
        """How many have left."""

    def __iter__(self) -> Iterator[E]:
        yield from self.going.values()
        yield from self.ended.values()

    def find(self, key: str) -> E | None:
        return self.going.get(key) or self.ended.get(key)

    def add(self, key: str, entry: E) -> E | None:
        """Add an entry that goes on; return the one that leaves for it, if one does."""
        self.ended.pop(key, None)
        self.going[key] = entry
        return self._oldest_of(self.going, self._going_max)

    def end(self, key: str, entry: E) -> E | None:
        """Put an entry among those that have ended; return the one that leaves for it, if one does."""
        self.going.pop(key, None)
        self.ended.pop(key, None)
        self.ended[key] = entry
        return self._oldest_of(self.ended, self._ended_max)

    def _oldest_of(self, entries: dict[str, E], most: int) -> E | None:
        if len(entries) <= most:
            return None
        self.not_shown += 1
        return entries.pop(next(iter(entries)))
