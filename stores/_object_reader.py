"""Reading the files of an ObjectStore: an object and the parts after it, as one."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from hubwire.errors import StoreError
from hubwire.waking import start_later

from ._objects import Objects
from ._parts import End, HoleError, Layout, Part

__all__ = ("ObjectReader",)

T = TypeVar("T")

_HOLES_MAX = 3
_PARALLEL = 16


class ObjectReader:
    """Reads files; paths come normalised."""

    def __init__(self, objects: Objects, layout: Layout, place: str) -> None:
        self._objects = objects
        self._layout = layout
        self._place = place

    # -- content --

    async def read(self, path: str, start: int, end: int | None) -> bytes | None:
        return await self._retried(path, lambda: self._read(path, start, end))

    async def _read(self, path: str, start: int, end: int | None) -> bytes | None:
        found = await self._read_object(path, start, end)
        size, content = found or (0, b"")
        if end is not None and end <= size:
            return content
        parts, seen = await self._layout.parts_of_range(path, size, max(start, size), end)
        if found is None and not seen:
            return None
        return b"".join([content, *await self._read_parts(path, parts, max(start, size), end)])

    async def _read_object(self, path: str, start: int, end: int | None) -> tuple[int, bytes] | None:
        """Return the size of the object and its bytes in ``[start, end)``, both as of the same moment."""
        key = self._layout.key(path)
        if start == 0:
            # A service gives what there is up to the end. Only an empty object has to be asked for in another way.
            return await self._objects.get(key, path, 0, end)
        found = await self._objects.head(key, path)
        if found is None or start >= found.size:
            return None if found is None else (found.size, b"")
        got = await self._objects.get(key, path, start, found.size if end is None else min(end, found.size))
        if got is None or got[0] != found.size:
            raise HoleError(start)
        return got

    async def _read_parts(self, path: str, parts: Sequence[Part], start: int, end: int | None) -> list[bytes]:
        async def read(part: Part) -> bytes:
            first = max(start - part.offset, 0)
            last = part.size if end is None else min(end - part.offset, part.size)
            whole = first == 0 and last == part.size
            async with slots:
                got = await self._objects.get(
                    self._layout.part_key(path, part.offset), path, first, None if whole else last
                )
            if got is None or got[0] != part.size:
                raise HoleError(part.offset)
            return got[1]

        slots = asyncio.Semaphore(_PARALLEL)
        return await _all([read(part) for part in parts])

    # -- end --

    async def end(self, path: str, known: End | None = None) -> End:
        """Find the end; ``known``, an earlier end of the same file, saves listing the parts before it."""
        return await self._retried(path, lambda: self._layout.end(path, known))

    # -- directories --

    async def list(self, path: str) -> builtins.list[str]:
        objects, folders = await self._objects.children(self._layout.key(path), path)
        names = {_name(key) for key in objects}
        for folder in map(_name, folders):
            if not folder.endswith("@"):
                names.add(f"{folder}/")
            elif folder != "@":
                names.add(folder[:-1])
        return sorted(names)

    async def list_with_parts(self, path: str) -> builtins.list[str]:
        """Return the names of the files right below ``path`` that have parts, merged ones included."""
        _, folders = await self._objects.children(self._layout.key(path), path)
        return sorted(name[:-1] for name in map(_name, folders) if name.endswith("@") and name != "@")

    async def exists(self, path: str) -> bool:
        if path == "/":
            return bool(await self.list("/"))
        found, parts, below = await asyncio.gather(
            self._objects.head(self._layout.key(path), path),
            self._layout.page(path),
            self._objects.page(self._layout.key(path), path),
        )
        return found is not None or bool(parts[0]) or bool(below)

    # -- holes --

    async def _retried(self, path: str, read: Callable[[], Awaitable[T]]) -> T:
        """Read up to three times: a hole may be there only while another process replaces the file."""
        for _ in range(_HOLES_MAX - 1):
            try:
                return await read()
            except HoleError:
                continue
        try:
            return await read()
        except HoleError as error:
            raise self.damaged(path, error.byte_offset) from None

    def damaged(self, path: str, byte_offset: int) -> StoreError:
        return StoreError(
            f"{path!r} in {self._place} has a hole at byte {byte_offset}: a part is missing, or is left over from an"
            " earlier file; restore it from a copy, or delete it",
            path=path,
            byte_offset=byte_offset,
        )


def _name(key: str) -> str:
    return key.rstrip("/").rpartition("/")[2]


async def _all(calls: Sequence[Coroutine[Any, Any, T]]) -> builtins.list[T]:
    """Wait for all; the first that fails cancels the others."""
    tasks: builtins.list[asyncio.Task[T]] = [start_later(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
