"""Plans: which blocks of a segment have to be read for what is wanted, as its index says, if that can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import anyio
import attrs

from .._values import Value
from ..errors import InvalidRecord
from ..log import segment_path
from ..ports import KnowledgeStore
from ._index import KEYS, TAIL_BYTES, Block, Bloom, Header, blocks_of, names_of, read_header, read_section
from ._looked import Looked

__all__ = ("Plan", "Plans", "Wanted")

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

    size: int
    records: int
    blocks: tuple[Block, ...]
    """Those that may hold what is wanted."""


class Plans:
    """The plans for the segments of a log, those that have an index that fits."""

    def __init__(self, store: KnowledgeStore, path: str, looked: Looked) -> None:
        self._store = store
        self._path = path
        self._looked = looked
        self._there: frozenset[int] | None = None
        self._plans: dict[int, Plan | None] = {}
        self._failures: list[Exception] = []

    async def of(self, segments: Sequence[int], wanted: Wanted) -> Plan | None:
        """Return the plan for the first of these sealed segments, which are read in this order; None if it has none."""
        if wanted.is_everything or not await self.has(segments[0]):
            return None
        if segments[0] not in self._plans:
            self._plans.clear()
            async with anyio.create_task_group() as tasks:
                for first in segments[:_AHEAD]:
                    tasks.start_soon(self._make, first, wanted)
            if self._failures:
                raise self._failures[0]  # the group would wrap it
        return self._plans.pop(segments[0])

    async def has(self, first: int) -> bool:
        """Tell whether a segment has an index; whether that fits is not known yet."""
        if self._there is None:
            names = await self._store.list(f"{self._path}/index")
            self._there = frozenset(int(name[:20]) for name in names if name[20:] == ".idx" and name[:20].isdecimal())
        return first in self._there

    async def names(self, first: int) -> list[tuple[str, str, str]] | None:
        """Return what a segment says about names; None if it has no index that fits."""
        if not await self.has(first):
            return None
        try:
            header = await self._fitting(first)
            return names_of(await read_section(self._store, self._path, header, "names"))
        except (InvalidRecord, LookupError, TypeError, ValueError) as error:
            self._note(first, error)
            return None

    async def _make(self, first: int, wanted: Wanted) -> None:
        self._plans[first] = None
        if not await self.has(first):
            return
        try:
            self._plans[first] = await self._planned(first, wanted)
        except (InvalidRecord, LookupError, TypeError, ValueError) as error:
            self._note(first, error)
        except Exception as error:  # noqa: BLE001 - it is raised where all are there
            self._failures.append(error)

    async def _planned(self, first: int, wanted: Wanted) -> Plan:
        header = await self._fitting(first)
        nothing = Plan(header.size, header.records, ())
        if not wanted.takes(header.earliest, header.latest):
            return nothing
        if wanted.keys:
            bloom = Bloom(await read_section(self._store, self._path, header, "keys"))
            if not wanted.is_in(bloom):
                return nothing
        blocks = blocks_of(await read_section(self._store, self._path, header, "blocks"))
        return Plan(
            header.size, header.records, tuple(each for each in blocks if wanted.takes(each.earliest, each.latest))
        )

    async def _fitting(self, first: int) -> Header:
        """Return the header of an index that fits its segment, as far as its size and its end show."""
        header = await read_header(self._store, self._path, first)
        begin = max(header.size - TAIL_BYTES, 0)
        tail = await self._store.read_bytes(segment_path(self._path, first), begin, header.size + 1) or b""
        if len(tail) != header.size - begin or crc32(tail) != header.tail:
            raise InvalidRecord("the segment is not the one of which it was made")
        return header

    def _note(self, first: int, error: Exception) -> None:
        fault = f"the index of {segment_path(self._path, first)} is not used: {error}"
        if fault not in self._looked.faults:
            self._looked.faults.append(fault)
