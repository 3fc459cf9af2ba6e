"""Compaction: merging the parts of a file into its object."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ._ends import Grace
from ._object_reader import ObjectReader
from ._objects import Objects
from ._parts import Layout

__all__ = ("Compaction",)

_PIECE_BYTES = 8 * 1024 * 1024


class Compaction:
    """Merges parts, and deletes merged ones when their grace period is over. Paths come normalised."""

    def __init__(self, objects: Objects, layout: Layout, reader: ObjectReader, grace: Grace) -> None:
        self._objects = objects
        self._layout = layout
        self._reader = reader
        self._grace = grace

    async def compact(self, path: str) -> bool:
        found = await self._objects.head(self._layout.key(path), path)
        base = 0 if found is None else found.size
        parts = [part async for part in self._layout.parts(path)]
        merged = [part for part in parts if part.offset < base]
        is_old = found is not None and self._grace.is_over(found.last_modified)
        if is_old:
            keys = [self._layout.part_key(path, part.offset) for part in reversed(merged)]
            await self._objects.delete(keys, path)
        end = max([base, *(part.end for part in parts)])
        if end > base:
            await self._merge(path, end)
        return end == base and (is_old or not merged)

    async def _merge(self, path: str, end: int) -> None:
        key = self._layout.key(path)
        if end <= _PIECE_BYTES:
            await self._objects.put(key, path, b"".join([piece async for piece in self._pieces(path, end)]))
        else:
            await self._objects.put(key, path, lambda: self._pieces(path, end))

    async def _pieces(self, path: str, end: int) -> AsyncIterator[bytes]:
        for start in range(0, end, _PIECE_BYTES):
            piece = await self._reader.read(path, start, min(start + _PIECE_BYTES, end))
            if piece is None or len(piece) != min(_PIECE_BYTES, end - start):
                raise self._reader.damaged(path, start)
            yield piece
