"""A store whose process is killed at a write: nothing is written after that."""

from __future__ import annotations

from typing import Any

from hubwire.stores import MemoryStore

__all__ = ("Killed", "KilledStore", "files_of", "store_with")

_NEVER = 1_000_000


class Killed(Exception):
    """The process is killed."""


class KilledStore(MemoryStore):
    """A store in memory, on which the write numbered ``at`` and all after it are never made."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int = _NEVER

    @property
    def is_killed(self) -> bool:
        return self.writes_left < 0

    def _count(self) -> None:
        self.writes_left -= 1
        if self.writes_left < 0:
            raise Killed

    async def write(self, path: str, content: Any, **more: Any) -> None:
        self._count()
        await super().write(path, content, **more)

    async def append(self, path: str, content: Any, **more: Any) -> Any:
        self._count()
        return await super().append(path, content, **more)

    async def delete(self, path: str) -> None:
        self._count()
        await super().delete(path)


async def files_of(store: MemoryStore, path: str = "") -> dict[str, bytes]:
    """Return all files of a store, without locks."""
    found: dict[str, bytes] = {}
    for name in await store.list(path or "/"):
        below = f"{path}/{name.rstrip('/')}"
        if name.endswith("/"):
            found |= await files_of(store, below)
        elif name != ".lock":
            found[below] = await store.read_bytes(below) or b""
    return found


async def store_with(files: dict[str, bytes]) -> KilledStore:
    """Return a store with these files, as another process finds them."""
    store = KilledStore()
    for path, content in files.items():
        await store.write(path, content)
    store.writes_left = _NEVER
    return store
