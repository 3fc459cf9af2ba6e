"""Erasing contents of a log, so that a kill between any two steps leaves a log that says the truth.

The steps, each on the store before the next one begins:

1. The file ``erasing`` says from which record on the log may name an erasure that is not done.
2. The record ``record.erased`` says in the log which contents of which records go, who says so, and on what basis.
3. The pages are written anew without them; each has a line in their place that says why.
4. The file ``erasing`` is deleted.

An erasure that ended before step 2 has not happened. Later ones are finished before the log is appended to again. The
file is only a hint where to look: what is erased is what the log says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from os import urandom
from typing import Any

import anyio
import attrs

from hubwire import codec
from hubwire.erasable import COMMITTED, Commitment, commitments_of, contents_in
from hubwire.errors import InvalidRecord, StoreFull
from hubwire.log import Log, LogReader, Record
from hubwire.ports import KnowledgeStore
from hubwire.waking import Slices

from ._beginning import read_marked
from ._contents import Contents
from ._fields import ERASED_KIND
from ._one_by_one import OneByOne
from ._pages import Pages
from .blobs import restore
from .stand_ins import refuse_copy

__all__ = ("Eraser", "Erasure", "Targets", "erasures_of", "records_in", "whole_fields")

_KIND = b'"kind":"record.erased"'
_VERSION = 1
_RANGES_MAX = 2000
"""In one record: a range has 44 bytes at most, and a line 65,535."""
_SLICE_SECONDS = 0.002


@attrs.frozen
class Erasure:
    """What a ``record.erased`` says: whose contents go, and why."""

    record: int
    at: str
    by: str
    basis: str
    groups: tuple[tuple[frozenset[str], tuple[tuple[int, int], ...]], ...]
    """Fields, and the ranges of records in which they are erased: first and last, both included."""

    @property
    def why(self) -> dict[str, Any]:
        """What is left in the place of a content."""
        return {"at": self.at, "basis": self.basis, "by": self.by, "record": self.record}

    def size_from(self, first: int) -> int:
        """Return how many contents of records from ``first`` on it names."""
        return sum(
            len(fields) * sum(max(last - max(begin, first) + 1, 0) for begin, last in ranges)
            for fields, ranges in self.groups
        )


def erasures_of(index: int, fields: Mapping[str, Any]) -> Erasure | None:
    """Return what a record says that is the log's own; None if it says it otherwise than a log does."""
    match fields:
        case {"at": str(at), "by": str(by), "basis": str(basis), "erased": list(groups)} if "seq" not in fields:
            found = tuple(each for each in map(_group, groups) if each is not None)
            return Erasure(index, at, by, basis, found) if len(found) == len(groups) else None
    return None


def _group(group: Any) -> tuple[frozenset[str], tuple[tuple[int, int], ...]] | None:
    match group:
        case {"fields": list(names), "records": list(ranges)} if all(type(name) is str for name in names):
            pairs = [(each[0], each[1]) for each in ranges if _is_range(each)]
            return (frozenset(names), tuple(pairs)) if len(pairs) == len(ranges) else None
    return None


def _is_range(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(type(each) is int and each >= 0 for each in value)


class Targets:
    """The contents that are to be erased: of which records, on which pages."""

    def __init__(self) -> None:
        self.found: list[tuple[int, Commitment]] = []

    def add(self, index: int, commitments: Iterable[Commitment], fields: frozenset[str] | None) -> None:
        """Take those contents of a record that are in these fields; None: all."""
        self.found += [(index, each) for each in commitments if fields is None or each.field in fields]

    async def leave_present(self, store: KnowledgeStore, path: str) -> None:
        """Leave out those that are not there: an erasure is no excuse for what is missing."""
        there = {page: await contents_in(store, path, page) for page in {each.page for _, each in self.found}}
        self.found = [(index, each) for index, each in self.found if each.digest in there[each.page]]

    @property
    def records(self) -> list[int]:
        """The records that have them, in order."""
        return sorted({index for index, _ in self.found})

    def groups(self) -> Iterator[dict[str, Any]]:
        """Return which fields of which records are erased, as records of the log say it, in pieces for one each."""
        names: dict[int, list[str]] = {}
        for index, commitment in self.found:
            names.setdefault(index, []).append(commitment.field)
        groups: dict[tuple[str, ...], list[int]] = {}
        for index in sorted(names):
            groups.setdefault(tuple(sorted(names[index])), []).append(index)
        for fields, indexes in groups.items():
            ranges = _ranges(indexes)
            for first in range(0, len(ranges), _RANGES_MAX):
                yield {"fields": list(fields), "records": ranges[first : first + _RANGES_MAX]}

    def pages(self, erasure: Erasure) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what is erased on which page, and why."""
        pages: dict[str, dict[str, dict[str, Any]]] = {}
        for _, commitment in self.found:
            pages.setdefault(commitment.page, {})[commitment.digest] = erasure.why
        return pages


def _ranges(indexes: Sequence[int]) -> list[list[int]]:
    ranges: list[list[int]] = []
    for index in indexes:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ranges


async def whole_fields(store: KnowledgeStore, path: str, body: bytes) -> dict[str, Any] | None:
    """Return the fields of a record that has commitments, whether it was cut or not; None if it has none."""
    if COMMITTED not in body:
        return None
    fields = codec.decode_fields(body)
    if "$c" not in fields:
        return None
    return fields if "cut" not in fields else codec.decode_fields(await restore(store, path, body))


class Eraser:
    """Erases contents of one log, and finishes what a crash has ended: one call at a time."""

    def __init__(self, store: KnowledgeStore, log: Log, contents: Contents | None) -> None:
        self.is_ready: bool = False
        """Whether what an earlier opening, or a call that failed, left undone is done."""
        self._is_swept = False
        """Whether what a crash has left on the pages is taken out; not while records are on their way."""
        self._store = store
        self._log = log
        self._path = log.path
        self._contents = contents
        self.pages: Pages = Pages(store, log.path, lambda: log.records) if contents is None else contents.pages
        self._calls = OneByOne()

    @property
    def _file(self) -> str:
        return f"{self._path}/erasing"

    async def ready(self) -> None:
        """Finish what a crash has ended, before the log is appended to; open the log if need be."""
        async with self._calls:
            if self.is_ready:
                return
            await refuse_copy(self._store, self._path)
            await self._log.open()
            if (since := await self._since()) is not None:
                await self.again(since)
                await self._store.delete(self._file)
            if self._contents is not None and not self._log.inspection.is_clean and not self._is_swept:
                await self._take_out_torn()
            self.is_ready = self._is_swept = True

    async def _since(self) -> int | None:
        """Return from which record on the log may name an erasure that is not done; None if it names none."""
        try:
            fields = await read_marked(self._store, self._file)
        except InvalidRecord:
            return 0
        if fields is None:
            return None
        since = fields.get("since")
        return since if type(since) is int else 0

    async def again(self, since: int = 0) -> int:
        """Do all that the log says was erased, from a record on; return how many contents were there still."""
        done = 0
        slices = Slices(_SLICE_SECONDS)
        reader = LogReader(self._store, self._path)
        await reader.seek_index(since)
        while records := await reader.read():
            for record in records:
                await slices.cut()
                if _KIND in record.line:
                    erasure = erasures_of(record.index, codec.decode_fields(record.body))
                    done += 0 if erasure is None else (await self._carry_out(erasure))[0]
        return done

    async def erase(self, targets: Targets, *, by: str, basis: str) -> tuple[int, int, int] | None:
        """Erase contents; return the index of the first record that says so, their number and their bytes.

        None if none of them is there. From the first step on it goes on when it is cancelled.
        """
        async with self._calls:
            await targets.leave_present(self._store, self._path)
            if not targets.found:
                return None
            done: list[tuple[int, int, int]] = []
            with anyio.CancelScope(shield=True):
                try:
                    done.append(await self._erase(targets, by, basis))
                except BaseException:
                    self.is_ready = False  # it is finished before what comes next
                    raise
            return done[0]

    async def _erase(self, targets: Targets, by: str, basis: str) -> tuple[int, int, int]:
        marker = codec.encode_marker({"since": self._log.records}, version=_VERSION)
        await self._store.write(self._file, marker)
        erasure, bodies = urandom(8).hex(), []
        for number, groups in enumerate(_together(targets.groups())):
            fields = {"by": by, "basis": basis, "erasure": erasure, "part": number, "erased": groups}
            bodies.append(self._log.own_record(ERASED_KIND, **fields))
        marks = [self._log.batch_mark(len(bodies))] if len(bodies) > 1 else []
        try:
            first = len(marks) + await self._log.append([*marks, *bodies])
        except StoreFull:
            await self._store.delete(self._file)
            raise
        contents = size = 0
        for number, body in enumerate(bodies, first):
            said = erasures_of(number, codec.decode_fields(body))
            assert said is not None
            done = await self._carry_out(said)
            contents, size = contents + done[0], size + done[1]
        await self._store.delete(self._file)
        return first, contents, size

    async def _carry_out(self, erasure: Erasure) -> tuple[int, int]:
        """Take out what a record says; return how many contents, and their bytes."""
        targets = Targets()
        for fields, ranges in erasure.groups:
            async for record in records_in(self._store, self._path, ranges, before=erasure.record):
                whole = await whole_fields(self._store, self._path, record.body)
                targets.add(record.index, commitments_of(whole or {}), fields)
        await targets.leave_present(self._store, self._path)
        size = 0
        for page, why in targets.pages(erasure).items():
            size += await self.pages.erase(page, why)
        return len(targets.found), size

    async def _take_out_torn(self) -> None:
        """Take out contents whose records a crash has prevented: they are on the two newest pages."""
        newest = (await self.pages.names())[-2:]
        if not newest:
            return
        named: dict[str, set[str]] = {page: set() for page in newest}
        reader = LogReader(self._store, self._path)
        await reader.seek_index(int(newest[0][:20]))
        while records := await reader.read():
            for record in records:
                whole = await whole_fields(self._store, self._path, record.body)
                for each in commitments_of(whole or {}):
                    if each.page in named:
                        named[each.page].add(each.digest)
        for page, digests in named.items():
            await self.pages.keep_only(page, digests)

    async def close(self) -> None:
        """Wait for what is under way, and take out what no record names."""
        async with self._calls:
            self.is_ready = self._is_swept = False
            if self._contents is not None:
                await self._contents.take_out()
                self._contents.pending.clear()


def _together(groups: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Return groups in lists of which each is short enough for a record."""
    batch: list[dict[str, Any]] = []
    room = _RANGES_MAX
    for group in groups:
        cost = len(group["records"]) + 32 * len(group["fields"])
        if batch and cost > room:
            yield batch
            batch, room = [], _RANGES_MAX
        batch.append(group)
        room -= cost
    if batch:
        yield batch


async def records_in(
    store: KnowledgeStore, path: str, ranges: Sequence[tuple[int, int]], *, before: int | None = None
) -> AsyncIterator[Record]:
    """Iterate over the records of these ranges that are there, and before an index."""
    slices, reader, number = Slices(_SLICE_SECONDS), LogReader(store, path), 0
    ordered = sorted(ranges)
    if not ordered:
        return
    await reader.seek_index(max(ordered[0][0], 0))
    while records := await reader.read():
        for record in records:
            await slices.cut()
            while number < len(ordered) and ordered[number][1] < record.index:
                number += 1
            if number == len(ordered) or (before is not None and record.index >= before):
                return
            if ordered[number][0] <= record.index:
                yield record
