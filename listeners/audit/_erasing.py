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
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set as AbstractSet
from contextlib import suppress
from functools import partial
from os import urandom
from typing import Any, NamedTuple

import anyio
import attrs

from hubwire import codec
from hubwire.erasable import COMMITTED, Commitment, commitments_of, is_page
from hubwire.errors import HubError, InvalidRecord, LogDamaged, StoreFull
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

__all__ = (
    "Done",
    "Eraser",
    "gone_in",
    "records_before",
    "records_in",
    "whole_fields",
)

_KIND = b'"kind":"record.erased"'
_VERSION = 1
_TOGETHER = 16
"""So many records that say what was erased are carried out in one reading of the log: they are in memory meanwhile."""
_PAGES_MAX = 8
"""So many pages wait to be written anew: records that follow each other are in the same one, or the next."""
_SLICE_SECONDS = 0.002


class Done(NamedTuple):
    """What an erasure has done."""

    record: int
    """The index of the first record that says so."""
    records: int
    contents: int
    size_bytes: int
    said_again: int
    """How many contents were gone already, and no record said so any more."""


async def whole_fields(store: KnowledgeStore, path: str, body: bytes) -> dict[str, Any] | None:
    """Return the fields of a record that has commitments, whether it was cut or not; None if it has none."""
    if COMMITTED not in body:
        return None
    fields = codec.decode_fields(body)
    if "$c" not in fields:
        return None
    return fields if "cut" not in fields else codec.decode_fields(await restore(store, path, body))


@attrs.frozen
class _Left:
    """What the file ``erasing`` says."""

    since: int
    """From which record on the log may name an erasure that is not done."""
    pages: tuple[str, ...]
    """On which pages contents may be that no record names."""


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
            left = await self._left()
            if left is not None:
                await self.again(left.since)
            if self._contents is not None and not self._is_swept:
                pages = {*await self._newest(), *(() if left is None else left.pages)}
                await self._take_out_unnamed(pages, end=self._log.records)  # behind that may be a torn line
            if left is not None:
                await self._store.delete(self._file)
            self.is_ready = self._is_swept = True

    async def _newest(self) -> list[str]:
        """Return the pages on which a crash may have left contents without their records.

        Behind a clean end, these are pages that were begun since, before a first record.
        """
        names = await self.pages.names()
        if self._log.inspection.is_clean:
            return [name for name in names if name >= f"{self._log.records:020d}"]
        return names[-2:]

    async def _left(self) -> _Left | None:
        """Return what the file says that is not done; None if it is not there."""
        try:
            fields = await read_marked(self._store, self._file)
        except InvalidRecord:
            return _Left(0, ())
        if fields is None:
            return None
        since, pages = fields.get("since"), fields.get("pages")
        names = [page for page in pages if type(page) is str and is_page(page)] if type(pages) is list else []
        return _Left(since if type(since) is int else 0, tuple(names))

    async def _leave(self, pages: AbstractSet[str] = frozenset()) -> None:
        """Write down what is about to be done, or has to be, beside what an erasure that has failed has left."""
        left = await self._left() or _Left(self._log.records, ())
        names = sorted({*pages, *left.pages})
        fields = {"since": min(left.since, self._log.records), **({"pages": names} if names else {})}
        await self._store.write(self._file, codec.encode_marker(fields, version=_VERSION))

    async def again(self, since: int = 0) -> int:
        """Do all that the log says was erased, from a record on; return how many contents were there still."""
        done, said = 0, list[Erasure]()
        async for erasure in _erasures_in(self._store, self._path, since, before=self._log.records):
            said.append(erasure)
            if len(said) == _TOGETHER:
                done += (await self._carry_out(said))[0]
                said.clear()
        return done + (await self._carry_out(said))[0]

    async def erase(self, choose: Callable[[Targets], Awaitable[None]], *, by: str, basis: str) -> Done | None:
        """Erase the contents that ``choose`` finds; say of those that were erased before that they were, if no record
        does any more.

        None if there are none of them. From the first step on it goes on when it is cancelled.
        """
        async with self._calls:
            present = Present(self._store, self._path, lambda: self._log.records)
            erasures_from = partial(_erasures_from, self._store, self._path, before=self._log.records)
            targets = Targets(present, erasures_from)
            await choose(targets)
            return await self._do(targets, by, basis)

    async def say_again(self, by: str, basis: str, *, since: int = -1) -> int:
        """Say of all contents that were erased that they were, if no record does any more; return how many these are.

        ``since``: only those of which their pages say that a record from this one on has erased them.
        """
        async with self._calls:
            gone = await gone_in(self._store, self._path, since=since, before=self._log.records)
            done = await self._do(gone, by, basis)
            return 0 if done is None else done.said_again

    async def _do(self, targets: Targets, by: str, basis: str) -> Done | None:
        if not targets.found.records and not targets.unsaid.records:
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
        await self._leave()
        again = {"again": [attrs.asdict(each) for each in targets.reasons]}
        parts: list[tuple[Any, dict[str, Any]]] = [(each, {}) for each in targets.found.groups()]
        parts += [(each, again) for each in targets.unsaid.groups()]
        erasure, bodies = urandom(8).hex(), []
        for number, (groups, rest) in enumerate(parts):
            fields = {"by": by, "basis": basis, "erasure": erasure, "part": number, "erased": groups, **rest}
            bodies.append(self._log.own_record(ERASED_KIND, **fields))
        marks = [self._log.batch_mark(len(bodies))] if len(bodies) > 1 else []
        try:
            first = len(marks) + await self._log.append([*marks, *bodies])
        except StoreFull:
            await self._store.delete(self._file)
            raise
        contents = size = 0
        for number in range(0, len(bodies), _TOGETHER):
            together = enumerate(bodies[number : number + _TOGETHER], first + number)
            said = [erasures_of(index, codec.decode_fields(body)) for index, body in together]
            done = await self._carry_out([each for each in said if each is not None])
            contents, size = contents + done[0], size + done[1]
        await self._store.delete(self._file)
        return Done(first, targets.found.records, contents, size, targets.unsaid.contents)

    async def _carry_out(self, said: Sequence[Erasure]) -> tuple[int, int]:
        """Take out what records say, in one reading of the log; return how many contents, and their bytes."""
        erasures, contents, size = Erasures(said), 0, 0
        due: OrderedDict[str, dict[str, Erasure]] = OrderedDict()
        async for record in records_in(self._store, self._path, erasures.ranges, before=erasures.newest):
            whole = await whole_fields(self._store, self._path, record.body)
            for each in commitments_of(whole or {}):
                if (erasure := erasures.of(record.index, each.field)) is not None:
                    due.setdefault(each.page, {})[each.digest] = erasure
            while len(due) > _PAGES_MAX:
                done = await self._take_out(*due.popitem(last=False))
                contents, size = contents + done[0], size + done[1]
        for page, by_digest in due.items():
            done = await self._take_out(page, by_digest)
            contents, size = contents + done[0], size + done[1]
        return contents, size

    async def _take_out(self, page: str, erasures: dict[str, Erasure]) -> tuple[int, int]:
        again = {digest for digest, erasure in erasures.items() if erasure.is_again}
        return await self.pages.erase(page, {digest: each.why for digest, each in erasures.items()}, anew=again)

    async def _take_out_unnamed(
        self, pages: AbstractSet[str], pending: AbstractSet[str] = frozenset(), *, end: int | None = None
    ) -> None:
        """Take contents out of pages whose records a crash, or an error, has prevented."""
        if not pages:
            return
        named: dict[str, set[str]] = {page: set() for page in pages}
        async for record in records_before(self._store, self._path, end, since=int(min(pages)[:20])):
            for each in commitments_of(await whole_fields(self._store, self._path, record.body) or {}):
                if each.page in named:
                    named[each.page].add(each.digest)
        for page, digests in named.items():
            await self.pages.keep_only(page, digests, pending)

    async def close(self) -> None:
        """Wait for what is under way, and take out what no record names; or leave that to the next opening."""
        async with self._calls:
            self.is_ready = self._is_swept = False
            if self._contents is None:
                return
            pages = {*self._contents.uncertain, *self.pages.abandoned}
            self._contents.uncertain = set()
            if not pages:
                return
            try:
                await self._contents.take_out()
                if self._log.is_open:
                    await self._log.append(())  # what is being written has come to its end
                await self._take_out_unnamed(pages, self._contents.pending)
            except HubError:
                self.pages.abandoned.clear()
                with suppress(HubError):
                    await self._leave(pages)


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


async def records_before(
    store: KnowledgeStore, path: str, end: int | None = None, *, since: int = 0
) -> AsyncIterator[Record]:
    """Iterate over the records from one on, and before ``end``: what is behind that may be damaged. None: all."""
    slices, reader = Slices(_SLICE_SECONDS), LogReader(store, path)
    await reader.seek_index(since)
    while end is None or reader.index < end:
        records = await reader.read()
        for record in records:
            await slices.cut()
            if end is None or record.index < end:
                yield record
        if not records:
            return


async def _erasures_in(
    store: KnowledgeStore, path: str, since: int = 0, *, before: int | None = None
) -> AsyncIterator[Erasure]:
    """Iterate over what the records from one on say was erased."""
    async for record in records_before(store, path, before, since=since):
        if _KIND in record.line and (said := erasures_of(record.index, codec.decode_fields(record.body))):
            yield said


async def _erasures_from(store: KnowledgeStore, path: str, since: int, *, before: int | None = None) -> Erasures:
    return Erasures([each async for each in _erasures_in(store, path, since, before=before)])


async def gone_in(store: KnowledgeStore, path: str, *, since: int = -1, before: int | None = None) -> Targets:
    """Return what has to be said again: the contents of records that are gone, as their pages say, and no record does.

    ``since``: only those of which their pages say that a record from this one on has erased them. ``before``: of all
    records, only those before this one count.
    """
    targets = Targets(Present(store, path), partial(_erasures_from, store, path, before=before), since=since)
    async for record in records_before(store, path, before):
        named: list[Commitment] = []
        with suppress(LogDamaged):  # the file of a long record is missing, which verify reports
            named = commitments_of(await whole_fields(store, path, record.body) or {})
        await targets.add_gone(record.index, named)
    return targets
