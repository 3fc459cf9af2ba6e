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

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from os import urandom
from typing import Any, NamedTuple

import anyio

from hubwire import codec
from hubwire.erasable import COMMITTED, commitments_of
from hubwire.errors import InvalidRecord, StoreFull
from hubwire.log import Log, LogReader, Record
from hubwire.ports import KnowledgeStore
from hubwire.waking import Slices

from ._beginning import read_marked
from ._contents import Contents
from ._erasures import Erasure, Erasures, erasures_of
from ._fields import ERASED_KIND
from ._one_by_one import OneByOne
from ._pages import Pages
from ._targets import Present, Targets
from .blobs import restore
from .stand_ins import refuse_copy

__all__ = ("Done", "Eraser", "records_in", "whole_fields")

_KIND = b'"kind":"record.erased"'
_VERSION = 1
_TOGETHER = 16
"""So many records that say what was erased are carried out in one reading of the log: they are in memory meanwhile."""
_PAGES_MAX = 8
"""So many pages wait to be written anew: records that follow each other are in the same one, or the next."""
_SLICE_SECONDS = 0.002


class Done(NamedTuple):
    """What came of an erasure."""

    record: int
    """The index of the first record that says so."""
    records: int
    contents: int
    size_bytes: int


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
        done, said = 0, list[Erasure]()
        slices = Slices(_SLICE_SECONDS)
        reader = LogReader(self._store, self._path)
        await reader.seek_index(since)
        while records := await reader.read():
            for record in records:
                await slices.cut()
                if _KIND in record.line:
                    erasure = erasures_of(record.index, codec.decode_fields(record.body))
                    said += [] if erasure is None else [erasure]
                if len(said) == _TOGETHER:
                    done += (await self._carry_out(said))[0]
                    said.clear()
        return done + (await self._carry_out(said))[0]

    async def erase(self, choose: Callable[[Targets], Awaitable[None]], *, by: str, basis: str) -> Done | None:
        """Erase the contents that ``choose`` finds; None if none of them is there.

        From the first step on it goes on when it is cancelled.
        """
        async with self._calls:
            targets = Targets(Present(self._store, self._path, lambda: self._log.records))
            await choose(targets)
            if not targets.records:
                return None
            done: list[Done] = []
            with anyio.CancelScope(shield=True):
                try:
                    done.append(await self._erase(targets, by, basis))
                except BaseException:
                    self.is_ready = False  # it is finished before what comes next
                    raise
            return done[0]

    async def _erase(self, targets: Targets, by: str, basis: str) -> Done:
        marker = codec.encode_marker({"since": self._log.records}, version=_VERSION)
        await self._store.write(self._file, marker)
        erasure, bodies = urandom(8).hex(), []
        for number, groups in enumerate(targets.groups()):
            fields = {"by": by, "basis": basis, "erasure": erasure, "part": number, "erased": groups}
            bodies.append(self._log.own_record(ERASED_KIND, **fields))
        marks = [self._log.batch_mark(len(bodies))] if len(bodies) > 1 else []
        try:
            first = len(marks) + await self._log.append([*marks, *bodies])
        except StoreFull:
            await self._store.delete(self._file)
            raise
        contents = size = 0
        for number in range(0, len(bodies), _TOGETHER):
            said = [
                erasures_of(first + each, codec.decode_fields(bodies[each]))
                for each in range(number, min(number + _TOGETHER, len(bodies)))
            ]
            done = await self._carry_out([each for each in said if each is not None])
            contents, size = contents + done[0], size + done[1]
        await self._store.delete(self._file)
        return Done(first, targets.records, contents, size)

    async def _carry_out(self, said: Sequence[Erasure]) -> tuple[int, int]:
        """Take out what records say, in one reading of the log; return how many contents, and their bytes."""
        erasures, contents, size = Erasures(said), 0, 0
        due: OrderedDict[str, dict[str, dict[str, Any]]] = OrderedDict()
        async for record in records_in(self._store, self._path, erasures.ranges, before=erasures.newest):
            whole = await whole_fields(self._store, self._path, record.body)
            for each in commitments_of(whole or {}):
                if (erasure := erasures.of(record.index, each.field)) is not None:
                    due.setdefault(each.page, {})[each.digest] = erasure.why
            while len(due) > _PAGES_MAX:
                done = await self.pages.erase(*due.popitem(last=False))
                contents, size = contents + done[0], size + done[1]
        for page, why in due.items():
            done = await self.pages.erase(page, why)
            contents, size = contents + done[0], size + done[1]
        return contents, size

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
