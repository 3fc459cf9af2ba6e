"""Recent: a mapping that forgets what was put the longest ago."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ("Recent",)

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Remembers the newest ``count_max`` entries."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._entries: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return what was put under this key; None if there is nothing, or it was forgotten."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember this as the newest."""
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._count_max:
            del self._entries[next(iter(self._entries))]

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)
