"""Plans: which blocks of a segment have to be read for what is wanted, as its index says, if that can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import anyio
import attrs

from .._values import Value
from ..errors import InvalidRecord
from ..log import Place, segment_path
from ..ports import KnowledgeStore
from ._index import (
    KEYS,
    TAIL_BYTES,
    Block,
    Bloom,
    Header,
    NoIndex,
    Stretch,
    blocks_of,
    growing_path,
    index_path,
    names_of,
    read_header,
    read_section,
    stretches_of,
)
from ._looked import Looked

__all__ = ("Covered", "Named", "Plan", "Plans", "Wanted")

_AHEAD = 16
"""The indexes of so many segments are asked for side by side: a store may be far away."""


@attrs.frozen(eq=False, repr=False)
class Wanted(Value):
    """What an index may rule out."""

    since: int | None = None
    until: int | None = None
    keys: tuple[tuple[str, frozenset[str]], ...] = ()
    """Keys that must have one of a few texts."""

    @classmethod
    def of(cls, since: int | None, until: int | None, keys: Sequence[tuple[str, frozenset[str]]]) -> Wanted:
        """Return what is wanted, without the keys that no index knows."""
        return cls(since, until, tuple((key, texts) for key, texts in keys if key in KEYS))

    @property
    def is_everything(self) -> bool:
        return self.since is None and self.until is None and not self.keys

    def takes(self, earliest: int | None, latest: int | None) -> bool:
        """Tell whether a record of these times may be wanted; None is any time."""
        if earliest is None or latest is None:
            return True
        return (self.since is None or latest >= self.since) and (self.until is None or earliest < self.until)

    def is_in(self, bloom: Bloom) -> bool:
        """Tell whether a record that is wanted may be among those of a filter."""
        return all(any(bloom.may_hold(f"{key}\0{text}") for text in texts) for key, texts in self.keys)


@attrs.frozen(eq=False, repr=False)
class Plan(Value):
    """What is to be read of a segment."""

    end: Place
    """The end of what the index covers."""
    is_whole: bool
    """Whether that is all of the segment. If not, what is behind it is to be read."""
    blocks: tuple[Block, ...] = ()
    """Those that may hold what is wanted."""


@attrs.frozen(eq=False, repr=False)
class Named(Value):
    """What an index says about names."""

    end: Place
    is_whole: bool
    """As those of a :class:`Plan`."""
    names: tuple[tuple[str, str, str], ...]


@attrs.frozen(eq=False, repr=False)
class Covered(Value):
    """All that the index of a segment says that grows, to go on from there."""

    end: Place
    blocks: tuple[Block, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    names: tuple[tuple[str, str, str], ...] = ()


_UNFIT = (InvalidRecord, LookupError, TypeError, ValueError)


class Plans:
    """The plans for the segments of a log, those that have an index that fits."""

    def __init__(self, store: KnowledgeStore, path: str, looked: Looked) -> None:
        self._store = store
        self._path = path
        self._looked = looked
        self._listed: frozenset[str] | None = None
        self._plans: dict[int, Plan | None] = {}
        self._failures: list[Exception] = []

    async def of(self, segments: Sequence[int], wanted: Wanted, last: int) -> Plan | None:
        """Return the plan for the first of these segments, which are read in this order; None if it has none.

        ``last`` is the one that may grow.
        """
        if wanted.is_everything or await self._file(segments[0], last) is None:
            return None
        if segments[0] not in self._plans:
            self._plans.clear()
            async with anyio.create_task_group() as tasks:
                for first in segments[:_AHEAD]:
                    tasks.start_soon(self._make, first, wanted, last)
            if self._failures:
                raise self._failures[0]  # the group would wrap it
        return self._plans.pop(segments[0])

    async def has(self, first: int) -> bool:
        """Tell whether a sealed segment has an index of all of it; whether that fits is not known yet."""
        return index_path(self._path, first) in await self._files()

    async def fits(self, first: int) -> bool:
        """Tell whether a sealed segment has an index of all of it that fits."""
        return await self.has(first) and await self.named(first, None) is not None

    async def named(self, first: int, last: int | None) -> Named | None:
        """Return what a segment says about names; None if it has no index that fits."""
        if await self._file(first, last) is None:
            return None
        try:
            header, is_whole = await self._fitting(first, last)
            names = names_of(await read_section(self._store, header, "names"))
        except NoIndex:
            return None
        except _UNFIT as error:
            self._note(first, error)
            return None
        return Named(_end_of(header), is_whole, tuple(names))

    async def covered(self, first: int) -> Covered | None:
        """Return all that is known of a segment that grows; None if it has no index that fits."""
        if growing_path(self._path, first) not in await self._files():
            return None
        try:
            header, _ = await self._fitting(first, first)
            blocks, stretches, names = [
                await read_section(self._store, header, name) for name in ("blocks", "stretches", "names")
            ]
            return Covered(
                _end_of(header), tuple(blocks_of(blocks)), tuple(stretches_of(stretches)), tuple(names_of(names))
            )
        except _UNFIT:
            return None

    async def growing(self) -> frozenset[int]:
        """Return the segments that have an index of what they had when they grew."""
        names = [file.rpartition("/")[2] for file in await self._files()]
        return frozenset(int(name[:20]) for name in names if name.endswith(".growing"))

    async def _files(self) -> frozenset[str]:
        if self._listed is None:
            names = [name for name in await self._store.list(f"{self._path}/index") if name[:20].isdecimal()]
            known = [name for name in names if name[20:] in (".idx", ".growing")]
            self._listed = frozenset(f"{self._path}/index/{name}" for name in known)
        return self._listed

    async def _file(self, first: int, last: int | None) -> str | None:
        """Return where the index of a segment is: of all of it, unless it may grow. None if it has none."""
        files = await self._files()
        if first != last and index_path(self._path, first) in files:
            return index_path(self._path, first)
        growing = growing_path(self._path, first)
        return growing if growing in files else None

    async def _make(self, first: int, wanted: Wanted, last: int) -> None:
        self._plans[first] = None
        try:
            if await self._file(first, last) is not None:
                self._plans[first] = await self._planned(first, wanted, last)
        except NoIndex:
            return
        except _UNFIT as error:
            self._note(first, error)
        except Exception as error:  # noqa: BLE001 - it is raised where all are there
            self._failures.append(error)

    async def _planned(self, first: int, wanted: Wanted, last: int) -> Plan:
        header, is_whole = await self._fitting(first, last)
        nothing = Plan(_end_of(header), is_whole)
        if not wanted.takes(header.earliest, header.latest):
            return nothing
        if wanted.keys and is_whole and not wanted.is_in(Bloom(await read_section(self._store, header, "keys"))):
            return nothing
        blocks = blocks_of(await read_section(self._store, header, "blocks"))
        if wanted.keys and not is_whole:
            stretches = stretches_of(await read_section(self._store, header, "stretches"))
            blocks = _blocks_in(blocks, [(each.blocks, wanted.is_in(Bloom(each.bits))) for each in stretches])
        return attrs.evolve(nothing, blocks=tuple(each for each in blocks if wanted.takes(each.earliest, each.latest)))

    async def _fitting(self, first: int, last: int | None) -> tuple[Header, bool]:
        """Return the header of an index that fits its segment, as far as its size and its end show.

        Also whether it is one of all of the segment.
        """
        file = await self._file(first, last)
        is_whole = file == index_path(self._path, first)
        if file is None:
            raise NoIndex("there is none")
        header = await read_header(self._store, file, first)
        begin = max(header.size - TAIL_BYTES, 0)
        tail = await self._store.read_bytes(segment_path(self._path, first), begin, header.size + is_whole) or b""
        if not is_whole and len(tail) < header.size - begin:
            raise NoIndex("the segment is shorter than that of which it was made")
        if len(tail) != header.size - begin or crc32(tail) != header.tail:
            raise InvalidRecord("the segment is not the one of which it was made")
        return header, is_whole

    def _note(self, first: int, error: Exception) -> None:
        fault = f"the index of {segment_path(self._path, first)} is not used: {error}"
        if fault not in self._looked.faults:
            self._looked.faults.append(fault)


def _end_of(header: Header) -> Place:
    return Place(header.segment, header.segment + header.records, header.size)


def _blocks_in(blocks: list[Block], stretches: list[tuple[int, bool]]) -> list[Block]:
    """Return the blocks of the stretches that are wanted, each given with how many blocks it has."""
    wanted, begin = [], 0
    for count, is_wanted in stretches:
        if is_wanted:
            wanted += blocks[begin : begin + count]
        begin += count
    if begin != len(blocks):
        raise InvalidRecord("it has other blocks than its stretches")
    return wanted
