"""Parts: how a file that can be appended to is kept in objects that cannot.

The file ``<path>`` is the object ``<path>``, if there is one, and the parts ``<path>@/<byte offset, 20 digits>`` that
begin where it ends, one after the other without a hole. Parts that begin before it ends are leftovers of a compaction:
it contains their bytes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

import attrs

from ._objects import PAGE, Found, Objects

__all__ = ("End", "HoleError", "Layout", "Part", "State")

_PART_KEY = re.compile(r"(.+)@/(\d{20})")
_WINDOW_BYTES = 64 * 1024

PROBES = "@/"
"""The prefix of the probe's objects; no file can have such a name."""


class HoleError(Exception):
    """The parts have a hole: a process is replacing or deleting the file just now, or it is damaged."""

    def __init__(self, byte_offset: int) -> None:
        super().__init__(byte_offset)
        self.byte_offset = byte_offset


@attrs.frozen
class Part:
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@attrs.frozen
class End:
    """Where a file ends. A store must have read or made this end itself before it creates a part there."""

    size: int
    exists: bool
    last: Part | None = None

    @property
    def actual(self) -> int | None:
        return self.size if self.exists else None

    def after(self, part: Part) -> End:
        return End(part.end, exists=True, last=part)


@attrs.frozen
class State:
    """The objects of a file that differ after a change: its object, or its last part with its key."""

    base: Found | None = None
    last: tuple[str, Found] | None = None


class Layout:
    """Finds the parts of files among the objects."""

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix

    def key(self, path: str) -> str:
        """Return the key of the object of a file, or the prefix of the keys below a directory."""
        return f"{self._prefix}{path}".strip("/")

    def folder(self, path: str) -> str:
        return f"{self.key(path)}@"

    def part_key(self, path: str, offset: int) -> str:
        return f"{self.folder(path)}/{offset:020d}"

    def probe_key(self, name: str) -> str:
        return f"{self._prefix}/{PROBES}{name}".strip("/")

    async def page(self, path: str, first: int = 0) -> tuple[list[Part], bool]:
        """Return the next parts from the byte ``first`` on, and whether there may be more."""
        after = self.part_key(path, first - 1) if first > 0 else None
        page = await self._objects.page(self.folder(path), path, after)
        return _parts(page), len(page) >= PAGE

    async def parts(self, path: str, first: int = 0) -> AsyncIterator[Part]:
        after = self.part_key(path, first - 1) if first > 0 else None
        async for each in self._objects.walk(self.folder(path), path, after):
            for part in _parts([each]):
                yield part

    async def part_keys(self, path: str) -> list[str]:
        return [key async for key, _ in self._objects.walk(self.folder(path), path)]

    # -- the end --

    async def end(self, path: str, known: End | None = None) -> End:
        """Find the end; ``known``, an earlier end of the same file, saves listing the parts before it."""
        found = await self._objects.head(self.key(path), path)
        base = 0 if found is None else found.size
        if known is not None and known.last is not None and known.last.offset >= base:
            page, more = await self.page(path, known.last.offset)
            if page[:1] == [known.last]:
                return End(0, exists=True).after(await self._last(path, page, more=more))
        page, more = await self.page(path, base)
        if not page:
            return End(base, exists=found is not None)
        _checked(page, base)
        return End(0, exists=True).after(await self._last(path, page, more=more))

    async def _last(self, path: str, page: list[Part], *, more: bool) -> Part:
        """Gallop, then halve: a listing has 1,000 parts a request, and a file may have millions."""
        low, high = page[-1], None
        page_bytes = step = low.end - page[0].offset
        while more and (high is None or low.end < high):
            # A later part, if there is one, begins between the end of `low` and `high`: from `high` on no part begins.
            if high is None:
                first = low.end + step
            else:
                first = low.end if high - low.end <= 2 * page_bytes else (low.end + high) // 2
            beyond, more_beyond = await self.page(path, first)
            if beyond:
                low, more, step = beyond[-1], more_beyond, step * 2
            else:
                high = first
        return low

    # -- a range --

    async def parts_of_range(self, path: str, base: int, start: int, end: int | None) -> tuple[list[Part], bool]:
        """Return the parts that hold the bytes ``[start, end)``, and whether any part was seen.

        The part that holds ``start`` begins before it, at an unknown offset; so it is looked for in a growing window.
        """
        window = _WINDOW_BYTES
        while True:
            first = max(base, start - window)
            parts = []
            async for part in self.parts(path, first):
                parts.append(part)
                if end is not None and part.end >= end:
                    break
            if first == base or (parts and parts[0].offset <= start):
                break
            window *= 16
        if parts:
            _checked(parts, base if first == base else parts[0].offset)
        return [part for part in parts if part.end > start and (end is None or part.offset < end)], bool(parts)

    # -- changes --

    async def survey(self, path: str, known: Mapping[str, State]) -> dict[str, State]:
        """Find the state of every file at or below ``path``; ``known``, the result before, saves listing all parts."""
        found: dict[str, State] = {}
        if path != "/":
            if base := await self._objects.head(self.key(path), path):
                found[path] = State(attrs.evolve(base, batch=None))
            await self._survey(self.folder(path), path, known, found)
        await self._survey(self.key(path), path, known, found)
        return found

    async def _survey(self, prefix: str, path: str, known: Mapping[str, State], found: dict[str, State]) -> None:
        after = None
        while page := await self._objects.page(prefix, path, after):
            for key, each in page:
                owner, offset = self._owner(key)
                if offset is not None:
                    found[owner] = attrs.evolve(found.get(owner, State()), last=(key, each))
                elif owner:
                    found[owner] = attrs.evolve(found.get(owner, State()), base=each)
            if len(page) < PAGE:
                break
            after = page[-1][0]
            owner, _ = self._owner(after)
            if (last := known.get(owner, State()).last) is not None and last[0] > after:
                # Parts do not change: those between were there before. If the last one is gone, that is a change.
                offset = self._owner(last[0])[1]
                after = max(after, self.part_key(owner, (offset or 1) - 1))

    def _owner(self, key: str) -> tuple[str, int | None]:
        """Return the path of the file to which an object belongs, ``""`` if to none of ours, and a part's offset."""
        relative = f"/{key}"[len(self._prefix) :]
        if relative.startswith(f"/{PROBES}"):
            return "", None
        match = _PART_KEY.fullmatch(relative)
        return (match[1], int(match[2])) if match else (relative, None)


def _checked(parts: list[Part], begin: int) -> None:
    for part in parts:
        if part.offset != begin:
            raise HoleError(begin)
        begin = part.end


def _parts(page: list[tuple[str, Found]]) -> list[Part]:
    return [Part(int(match[2]), found.size) for key, found in page if (match := _PART_KEY.fullmatch(key))]
