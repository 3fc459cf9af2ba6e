"""Changing the files of an ObjectStore: appending parts, replacing, deleting.

Life of an append: find the end, unless it is known; create the next part under the condition that it does not exist;
if another writer was faster, go on behind its part; remember the new end.
"""

from __future__ import annotations

import uuid

import attrs

from hubwire.errors import AlreadyExists, ConfigurationError, StoreUnavailable

from ._ends import Grace, KnownEnd, KnownEnds
from ._failures import conflict
from ._object_reader import ObjectReader
from ._objects import Found, Objects
from ._parts import End, Layout, Part

__all__ = ("ObjectWriter",)


class ObjectWriter:
    """Changes files. Paths come normalised, and calls that change one path do not overlap."""

    def __init__(
        self, objects: Objects, layout: Layout, reader: ObjectReader, grace: Grace, place: str, *, single_writer: bool
    ) -> None:
        self._objects = objects
        self._layout = layout
        self._reader = reader
        self._grace = grace
        self._place = place
        self._is_probed = single_writer
        self._ends = KnownEnds()

    # -- replacing --

    async def write(self, path: str, data: bytes, *, if_absent: bool, expect: int | None) -> None:
        before = self._grace.now()
        self._ends.take(path)
        end = await self._reader.end(path) if if_absent or expect is not None else None
        if if_absent and end is not None and end.exists:
            raise _exists(path)
        if end is not None and expect is not None and expect != end.size:
            raise conflict(path, expect, end.actual)
        if end is not None and not end.exists:
            await self._create_file(path, data, expect)
        else:
            parts = await self._layout.part_keys(path)
            await self._objects.delete(parts[::-1], path)
            await self._objects.put(self._layout.key(path), path, data)
        self._ends.keep(path, KnownEnd(End(len(data), exists=True), before))

    async def _create_file(self, path: str, data: bytes, expect: int | None) -> None:
        await self._probe_once()
        if await self._objects.create(self._layout.key(path), path, data, uuid.uuid4().hex) is not None:
            if expect is None:
                raise _exists(path)
            raise conflict(path, expect, (await self._reader.end(path)).actual)

    # -- appending --

    async def append(self, path: str, data: bytes, expect: int | None) -> int:
        known = self._ends.take(path)
        if known is None or self._grace.is_half_over(known.moment) or expect not in (None, known.end.size):
            known = await self._find_end(path, known)
        losses = 0
        while True:
            if expect not in (None, known.end.size):
                raise conflict(path, expect or 0, known.end.actual)
            offset = known.end.size
            taken = await self._add(path, known, data)
            if taken is None:
                return offset
            losses += 1
            if losses > 1 or expect is not None or not data:
                known = await self._find_end(path, known)
            else:
                # Usually another writer has added one part, and the next place is free.
                known = attrs.evolve(known, end=known.end.after(Part(offset, taken.size)))

    async def _find_end(self, path: str, known: KnownEnd | None) -> KnownEnd:
        before = self._grace.now()
        return KnownEnd(await self._reader.end(path, None if known is None else known.end), before)

    async def _add(self, path: str, known: KnownEnd, data: bytes) -> Found | None:
        """Create the next part at a known end and remember the end after it, or return what exists there already.

        Without data, create the file if it does not exist.
        """
        offset, key = known.end.size, self._layout.part_key(path, known.end.size)
        if not data:
            if known.end.exists:
                self._ends.keep(path, known)
                return None
            key = self._layout.key(path)
        await self._probe_once()
        before = self._grace.now()
        if taken := await self._objects.create(key, path, data, uuid.uuid4().hex):
            return taken
        if data and self._grace.is_half_over(known.moment):
            await self._check_not_compacted(path, offset)
        end = known.end.after(Part(offset, len(data))) if data else End(0, exists=True)
        self._ends.keep(path, KnownEnd(end, before))
        return None

    async def _check_not_compacted(self, path: str, offset: int) -> None:
        # The process stood still, or the answer took long: the part may be one that a compaction has deleted.
        found = await self._objects.head(self._layout.key(path), path)
        if found is not None and found.size > offset:
            raise StoreUnavailable(
                f"an append to {path!r} in {self._place} took more than half the grace period, and the file was"
                " compacted meanwhile; whether it happened is unknown: read the file again",
                path=path,
                byte_offset=offset,
            )

    async def _probe_once(self) -> None:
        """See that the service keeps the condition of a create: some services that speak S3 do not."""
        if self._is_probed:
            return
        key = self._layout.probe_key(uuid.uuid4().hex)
        await self._objects.create(key, "/", b"", "first")
        ignored = await self._objects.create(key, "/", b"", "second") is None
        await self._objects.delete([key], "/")
        if ignored:
            raise ConfigurationError(
                f"{self._place} ignores If-None-Match, so that two writers would silently overwrite each other's"
                " records. Use another service, or single_writer=True and never more than one process"
            )
        self._is_probed = True

    # -- deleting --

    async def delete(self, path: str) -> None:
        self._ends.forget(path)
        keys = [key async for key, _ in self._objects.walk(self._layout.key(path), path)]
        if path != "/":
            keys += [self._layout.key(path), *await self._layout.part_keys(path)]
        # Sorted, an object comes before its parts, and a part before the next.
        await self._objects.delete(sorted(keys, reverse=True), path)

    def forget_ends(self) -> None:
        self._ends.forget("/")


def _exists(path: str) -> AlreadyExists:
    return AlreadyExists(f"{path!r} exists already; nothing was written", path=path)
