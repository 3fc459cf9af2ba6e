"""The pieces of a log, from its beginning or from its end: whole lines, a quarter of a megabyte at a time."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator
from zlib import crc32

import attrs

from .. import codec
from .._values import Value
from ..errors import HistoryGone, LogDamaged
from ..log import Place, list_segments, read_kept, segment_path
from ..ports import KnowledgeStore
from ._index import Block
from ._looked import Looked
from ._plans import Plan, Plans, Wanted

__all__ = ("PIECE_BYTES", "Piece", "Pieces")

PIECE_BYTES = 256 * 1024
"""So much is looked through in one turn of the loop: a millisecond or two."""

FAR_BYTES = 4 * PIECE_BYTES
"""So much is asked of a store at once that is far away. Of a disk, each megabyte would be copied three times."""

FAR_SECONDS = 0.005
"""A store is far away that takes so long for a piece: four times what a disk takes, a quarter of an object store."""

LINE_BYTES_MAX = 64 * 1024 * 1024


@attrs.frozen(eq=False, repr=False)
class Piece(Value):
    """Whole lines that follow each other, without the last line feed."""

    place: Place
    content: bytes
    records: int
    """How many lines it has. Counting takes as long as looking for a text, so it is done once."""

    @classmethod
    def of(cls, place: Place, content: bytes) -> Piece:
        return cls(place, content, content.count(b"\n") + 1)

    @property
    def end(self) -> Place:
        """The place behind it."""
        place = self.place
        return Place(place.segment, place.index + self.records, place.offset + len(self.content) + 1)


class Pieces:
    """The pieces of a log, read without a hold and beside a writer.

    A segment that is missing, or that does not end where the next begins, is :class:`~hubwire.errors.LogDamaged`.
    """

    def __init__(self, store: KnowledgeStore, path: str, looked: Looked, wanted: Wanted | None = None) -> None:
        """``wanted`` is what an index may rule out: pieces without it are passed over."""
        self._store = store
        self._path = path
        self._looked = looked
        self._wanted = Wanted() if wanted is None else wanted
        self._plans = Plans(store, path, looked)
        self._rest_bytes = 0
        """The bytes behind the last line feed of the last segment."""
        self._read_bytes = PIECE_BYTES
        """How much is asked of the store at once."""

    async def segments(self) -> list[int]:
        """Return the segments that belong to the log: a crash may have left some that were truncated."""
        kept = (await read_kept(self._store, self._path)).first
        while True:
            listed = [first for first in await list_segments(self._store, self._path) if first >= kept]
            if not kept or not listed or listed[0] == kept:
                break
            before, kept = kept, (await read_kept(self._store, self._path)).first
            if kept == before:  # it was not pruned between the two looks
                raise self._missing(kept)
        self._looked.first = kept
        return listed

    # -- from the beginning --

    async def forward(self, start: Place | None) -> AsyncIterator[Piece]:
        """Iterate from a place, by default from the beginning, to the present end."""
        place, known = start, await self.segments()
        if place is None:
            if not known:
                return
            place = Place(known[0], known[0])
        while True:
            later = [first for first in known if first > place.segment]
            plan = await self._plans.of([place.segment, *later], self._wanted, known[-1]) if known else None
            if plan is not None:
                async for piece in self._planned(place, plan, plan.blocks):
                    yield piece
                place = max(place, plan.end, key=_offset)
            if plan is None or not plan.is_whole:
                async for piece in self._segment(place, is_last=not later):
                    yield piece
                    place = piece.end
            if not later:
                while await self._has_grown(place):
                    async for piece in self._segment(place, is_last=True):
                        yield piece
                        place = piece.end
                known = await self.segments()
                later = [first for first in known if first > place.segment]
                if not later:
                    return
                # It may have got its last records between the read that found its end and the listing.
                async for piece in self._segment(place, is_last=False):
                    yield piece
                    place = piece.end
            if plan is None or not plan.is_whole or place.index != later[0]:  # such a plan has looked at the size
                await self._check_end(place, later[0])
            place = Place(later[0], later[0])

    async def of_segment(self, begin: Place) -> AsyncIterator[Piece]:
        """Iterate over the whole lines of a segment from a place on."""
        async for piece in self._segment(begin, is_last=False):
            yield piece

    async def _segment(self, place: Place, *, is_last: bool, end: int | None = None) -> AsyncIterator[Piece]:
        """Iterate over a segment from a place on, or to ``end``, an offset at which a line begins."""
        path = segment_path(self._path, place.segment)
        size = self._read_bytes
        while end is None or place.offset < end:
            stop = place.offset + size if end is None else min(place.offset + size, end)
            began = time.monotonic()
            chunk = await self._store.read_bytes(path, place.offset, stop)
            if time.monotonic() - began > FAR_SECONDS:
                self._read_bytes = FAR_BYTES
            if chunk is None:
                raise await self._gone(place)
            if chunk:
                self._looked.segments.add(place.segment)
            whole, feed, rest = chunk.rpartition(b"\n")
            is_end = len(chunk) < stop - place.offset
            if not feed and not is_end:
                size = self._longer(size, place)
                continue
            size = self._read_bytes
            if feed:
                for piece in _cut(place, whole):
                    self._looked.read_bytes += len(piece.content) + 1
                    yield piece
                    place = piece.end
                    await asyncio.sleep(0)
            if is_end:
                if rest and is_last:
                    for piece in self._rest(place, rest):
                        yield piece
                return

    def _rest(self, place: Place, rest: bytes) -> Iterator[Piece]:
        """Return the last line if only its line feed is missing, which its checksum tells."""
        if codec.has_checksum(rest):
            yield Piece.of(place, rest)
        else:
            self._rest_bytes = len(rest)
            self._looked.unread_bytes += len(rest)

    async def _has_grown(self, end: Place) -> bool:
        """Tell whether the last segment has got more since it was read."""
        size = await self._store.size(segment_path(self._path, end.segment))
        if size is None or size <= end.offset + self._rest_bytes:
            return False
        self._looked.unread_bytes -= self._rest_bytes
        self._rest_bytes = 0
        return True

    def _longer(self, size: int, place: Place) -> int:
        if size >= LINE_BYTES_MAX:
            path = segment_path(self._path, place.segment)
            raise LogDamaged(
                f"{path} has no line feed in {size} bytes after byte {place.offset}; it is not a log, or damaged:"
                " restore it from a copy",
                path=path,
                byte_offset=place.offset,
            )
        return 4 * size

    # -- from the end --

    async def backward(self, before: Place | None) -> AsyncIterator[Piece]:
        """Iterate from a place, by default from the present end, to the beginning: the newest piece first.

        What is pruned meanwhile is below the beginning then.
        """
        try:
            async for piece in self._backward(before):
                yield piece
        except HistoryGone:
            await self.segments()

    async def _backward(self, before: Place | None) -> AsyncIterator[Piece]:
        known = await self.segments()
        following: int | None = None
        for first in reversed(known):
            if before is not None and first > before.segment:
                continue
            end = before.offset if before is not None and first == before.segment else None
            # The last one is often all that is read of a log from its end: the others' plans are for when it is not.
            below = known[bisect_left(known, first) :: -1] if first != known[-1] else known[-1:]
            plan = await self._plans.of(below, self._wanted, known[-1])
            last = Place(first, first) if plan is None else plan.end
            if plan is None or (not plan.is_whole and (end is None or end > last.offset)):
                is_last = first == known[-1]
                places = [last, *[piece.end async for piece in self._segment(last, is_last=is_last, end=end)]]
                last = places[-1]
                for number in range(len(places) - 1, 0, -1):
                    async for piece in self._again(places[number - 1], places[number]):
                        yield piece
            if plan is not None:
                async for piece in self._planned(Place(first, first), plan, reversed(plan.blocks), end):
                    yield piece
            if following is not None and (plan is None or not plan.is_whole or last.index != following):
                await self._check_end(last, following)
            following = first

    # -- by an index --

    async def _planned(
        self, start: Place, plan: Plan, blocks: Iterable[Block], end: int | None = None
    ) -> AsyncIterator[Piece]:
        """Iterate over blocks of a segment, from a place on and up to the offset ``end``."""
        path = segment_path(self._path, start.segment)
        read = 0
        for block in blocks:
            begin, stop = max(block.offset, start.offset), block.end if end is None else min(block.end, end)
            if begin >= stop:
                continue
            content = await self._store.read_bytes(path, begin, stop - 1)
            if content is None:
                raise await self._gone(start)
            is_whole = (begin, stop) == (block.offset, block.end)
            if len(content) != stop - 1 - begin or (is_whole and crc32(content) != block.checksum):
                raise LogDamaged(
                    f"{path} was changed since its index was made: bytes {block.offset} to {block.end} are others now."
                    " hubwire verify says whether it is damaged; restore it from a copy, or delete its index",
                    path=path,
                    byte_offset=block.offset,
                )
            read += stop - begin
            self._looked.segments.add(start.segment)
            self._looked.read_bytes += stop - begin
            yield Piece.of(Place(start.segment, block.index if begin == block.offset else start.index, begin), content)
            await asyncio.sleep(0)
        passed = (plan.end.offset if end is None else min(end, plan.end.offset)) - start.offset - read
        self._looked.passed_segments += plan.is_whole and not read
        self._looked.passed_bytes += max(passed, 0)

    async def _again(self, place: Place, end: Place) -> AsyncIterator[Piece]:
        path = segment_path(self._path, place.segment)
        content = await self._store.read_bytes(path, place.offset, end.offset - 1)
        if content is None:
            raise await self._gone(place)
        yield Piece(place, content, end.index - place.index)
        await asyncio.sleep(0)

    # -- what is wrong --

    async def _check_end(self, end: Place, following: int) -> None:
        path = segment_path(self._path, end.segment)
        if end.index == following and end.offset == await self._store.size(path):
            return
        if end.segment < (await read_kept(self._store, self._path)).first:
            if end.index == following:
                return  # it was read to its end before it was pruned
            raise await self._gone(end)
        raise LogDamaged(
            f"{path} ends at byte {end.offset} with record {end.index - 1}, but the next segment begins with record"
            f" {following}; restore it from a copy",
            path=path,
            byte_offset=end.offset,
        )

    async def _gone(self, place: Place) -> HistoryGone | LogDamaged:
        kept = (await read_kept(self._store, self._path)).first
        if place.segment >= kept:
            return self._missing(place.segment)
        return HistoryGone(
            f"record {place.index} of the log {self._path} was pruned while it was read; the oldest kept is record"
            f" {kept}. Query again",
            first_seq=0,
        )

    def _missing(self, first: int) -> LogDamaged:
        path = segment_path(self._path, first)
        return LogDamaged(f"{path} is missing; restore it from a copy", path=path, byte_offset=0)


def _offset(place: Place) -> int:
    return place.offset


def _cut(place: Place, whole: bytes) -> Iterator[Piece]:
    """Cut whole lines into pieces, of which each may be longer by one line."""
    begin = 0
    while begin <= len(whole):
        end = whole.find(b"\n", begin + PIECE_BYTES)
        end = len(whole) if end < 0 else end
        piece = Piece.of(place, whole[begin:end])
        yield piece
        place, begin = piece.end, end + 1
