"""Recovery: where a log ends, and what is left of the record, or the batch, that its last writer died over.

Two steps: :func:`inspect` reads, :func:`._repair.repair` changes. Between them a keeper of more than this log can
compare it with the rest, and a start that is refused has only read.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import attrs

from .. import codec
from ..errors import InvalidRecord, LogDamaged, NewerVersion
from ..ports import HoldableStore, KnowledgeStore
from ._inspection import Inspection, Recovery
from ._lines import LineCheck, durable_claimed, is_fork, is_tear
from ._marker import Kept, Marker, read_kept, read_marker
from ._reading import LogReader, list_segments, segment_path
from ._rotation import next_named
from ._tail import Tail

__all__ = ("inspect",)

_YIELD_EVERY = 256
"""Lines checked in one turn of the loop: a whole segment would block it for half a second."""


async def inspect(
    store: KnowledgeStore,
    path: str,
    *,
    is_chained: bool | None = None,
    is_held: bool | None = None,
    is_thorough: bool = False,
) -> Inspection:
    """Find out where a log ends and what is wrong with it. It only reads, and needs no permission.

    ``is_chained``: whether its lines end in a chain value; None: as the first one does. ``is_held``: whether two
    writers keep each other out; None: whether the store can do that. ``is_thorough``: whether every record of every
    segment is read; otherwise it is the end, and that no segment is missing: a change in an older record is found by
    who reads that.

    What no inspection can know: whether records behind the newest marker, which is a second old at most where the log
    is busy, were cut off at the end of a line; without a marker, whether any were. Snapshots, positions and other logs
    may tell. That a whole segment is missing is known even then: the one before it names it.
    """
    if is_held is None:
        is_held = isinstance(store, HoldableStore)
    inspector = _Inspector(store, path, is_chained=is_chained, is_held=is_held, is_thorough=is_thorough)
    try:
        await inspector.look()
    except (LogDamaged, NewerVersion) as error:
        inspector.found = attrs.evolve(inspector.found, damage=(error,))
    return inspector.found


class _Inspector:
    """Looks at one log, once."""

    def __init__(
        self, store: KnowledgeStore, path: str, *, is_chained: bool | None, is_held: bool, is_thorough: bool
    ) -> None:
        self.found: Inspection = Inspection(path=path)
        self._store = store
        self._path = path
        self._is_chained = is_chained
        self._is_held = is_held
        self._is_thorough = is_thorough

    def _note(self, note: str) -> None:
        self.found = attrs.evolve(self.found, notes=(*self.found.notes, note))

    def _damaged(self, path: str, what: str, byte_offset: int = 0) -> LogDamaged:
        return LogDamaged(
            f"{path} {what}. Nothing was changed; restore it from a copy", path=path, byte_offset=byte_offset
        )

    async def look(self) -> None:
        """Fill :attr:`found`. Raises :class:`~hubwire.errors.LogDamaged` or :class:`~hubwire.errors.NewerVersion`."""
        kept = await read_kept(self._store, self._path)
        marker = await self._read_marker()
        there = await list_segments(self._store, self._path)
        segments = [first for first in there if first >= kept.first]
        self.found = attrs.evolve(
            self.found,
            segments=tuple(segments),
            kept=kept,
            marker=marker,
            leftovers=tuple(segment_path(self._path, first) for first in there if first < kept.first),
        )
        self._check_beginning(segments, kept, marker)
        if segments:
            start = await self._number(segments, kept, marker)
            await self._find_end(segments, start, marker)
        elif self.found.notes:
            raise self._damaged(f"{self._path}/clean", "is damaged, and the segments of which it speaks are missing")

    async def _read_marker(self) -> Marker | None:
        try:
            marker = await read_marker(self._store, self._path)
        except InvalidRecord as error:
            self._note(
                f"{self._path}/clean is damaged, and is not believed: {error}. Whether records were cut off behind the"
                " end of the log is not known"
            )
            return None
        return marker

    # -- the segments: that none is missing --

    def _check_beginning(self, segments: list[int], kept: Kept, marker: Marker | None) -> None:
        if marker is not None and marker.tail.first >= kept.first and marker.tail.first not in segments:
            tail = marker.tail
            if segments or tail.size or tail.records:
                missing = segment_path(self._path, tail.first)
                raise self._damaged(missing, f"is missing: {self._path}/clean says that it had {tail.size} bytes")
        if kept.first and kept.first not in segments:
            missing = segment_path(self._path, kept.first)
            raise self._damaged(missing, f"is missing: {self._path}/kept says that the log begins with it")
        if segments and segments[0] != kept.first and marker is not None and not marker.is_old:
            missing = segment_path(self._path, kept.first)
            raise self._damaged(missing, f"is missing: the log was not truncated, but begins at record {segments[0]}")

    async def _number(self, segments: list[int], kept: Kept, marker: Marker | None) -> Tail:
        """See that no segment is missing between the first and the last; return where the last one begins.

        The marker knows how many there were up to the one it speaks of; those behind it are checked one by one.
        """
        known = marker if marker is not None and not marker.is_old and marker.tail.first in segments else None
        is_counted = known is not None and kept.number is not None
        start = segments.index(known.tail.first) if known is not None and is_counted else 0
        if known is not None and kept.number is not None:
            number, before_bytes = known.tail.number, known.tail.before_bytes
            if number - kept.number != start:
                await self._sum_sealed(segments[: start + 1])
                raise self._damaged(
                    f"{self._path}/log",
                    f"has {start + 1} segments up to record {known.tail.first}, and should have"
                    f" {number - kept.number + 1}: some are missing",
                )
        else:
            number = before_bytes = 0
            kept = Kept(segments[0], 0, 0)
            self.found = attrs.evolve(self.found, kept=kept, writes_kept=bool(segments[0]))
        before_bytes += await self._sum_sealed(segments[start:])
        return Tail(
            first=segments[-1],
            records=segments[-1],
            number=number + len(segments) - 1 - start,
            before_bytes=before_bytes,
            chain=None if segments[-1] else b"",
        )

    async def _sum_sealed(self, segments: list[int]) -> int:
        """See that each segment but the last one is followed by the next one; return the bytes of all but the last."""
        total = 0
        for first, following in pairwise(segments):
            path, next_path = segment_path(self._path, first), segment_path(self._path, following)
            size = await self._store.size(path) or 0
            try:
                said = await next_named(self._store, path, size)
            except InvalidRecord as error:
                raise self._damaged(
                    path, f"does not end in log.rotated, as sealed segments do ({error})", size
                ) from error
            if said != next_path:
                raise self._damaged(
                    path, f"names {said} as the next segment, which is missing: {next_path} follows", size
                )
            total += size
        return total

    # -- the end --

    async def _find_end(self, segments: list[int], start: Tail, marker: Marker | None) -> None:
        path = segment_path(self._path, start.first)
        size = await self._store.size(path) or 0
        self.found = attrs.evolve(self.found, found_bytes=size)
        here = marker if marker is not None and marker.tail.first == start.first else None
        if here is not None:
            self._compare_size(path, size, here)
            if await self._is_as_closed(path, size, here, start) and not self._is_thorough:
                return
        content = await self._store.read_bytes(path) or b""
        check = LineCheck(start, is_chained=self._is_chained)
        if len(segments) > 1:
            check = await self._take_over(segments, start)
        await self._scan(path, content, check, here)

    def _compare_size(self, path: str, size: int, marker: Marker) -> None:
        """Compare the last segment with the marker that speaks of it."""
        expected = marker.tail.size
        if size < expected:
            state = "when the log was closed" if marker.is_closed or marker.is_old else "that were durable"
            raise self._damaged(path, f"had {expected} bytes {state}, and has {size}: it has lost some since", size)
        if marker.is_closed and size > expected and self._is_held:
            raise self._damaged(
                path,
                f"had {expected} bytes when the log was closed, and has {size}: the log was not opened in between, so"
                " that something else has written them",
                expected,
            )

    async def _is_as_closed(self, path: str, size: int, marker: Marker, start: Tail) -> bool:
        """Compare the last line with the marker of a log that was closed; return whether the log ends there."""
        tail = marker.tail
        if not marker.is_closed or size != tail.size or not size:
            return False
        offset = size - marker.line_bytes
        line = await self._store.read_bytes(path, max(0, offset), size) or b""
        if not marker.matches(line) or not _is_last_of(line, tail):
            raise self._damaged(
                path, f"ends in another record than number {tail.records - 1}, with which the log was closed", offset
            )
        # What came before is counted from where the log begins now: the marker may be of before that was written anew.
        tail = attrs.evolve(tail, last_line=line, number=start.number, before_bytes=start.before_bytes)
        self.found = attrs.evolve(self.found, tail=tail, is_clean=True)
        return True

    async def _take_over(self, segments: list[int], start: Tail) -> LineCheck:
        """Check the segment before the last one, or all of them; take over chain value and position.

        The chain value of the first record read is taken on trust, unless it is the first of all.
        """
        first_read = 0 if self._is_thorough else -2
        before = Tail(first=segments[first_read], records=segments[first_read])
        before.chain = None if before.first else b""
        check = LineCheck(before, is_chained=self._is_chained)
        for first, following in pairwise(segments[first_read:]):
            before.size = 0
            path = segment_path(self._path, first)
            async for record in LogReader(self._store, self._path).read_sealed(first, following):
                if record.index % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
                try:
                    check.add(record.line, is_checked=True)
                except InvalidRecord as error:
                    raise self._damaged(
                        path, f"is damaged at byte {before.size}, record {record.index}: {error}", before.size
                    ) from error
        start.chain, start.seq, start.hub = before.chain, before.seq, before.hub
        check.tail = start
        return check

    async def _scan(self, path: str, content: bytes, check: LineCheck, marker: Marker | None) -> None:
        """Check the last segment line by line, and judge what is behind the last good one."""
        tail = check.tail
        refusal: InvalidRecord | None = None
        vouched = marker.tail.size if marker is not None else 0
        for number, line in enumerate(content.split(b"\n")[:-1]):
            try:
                check.add(line)
            except InvalidRecord as error:
                refusal = error
                break
            if marker is not None and tail.size == vouched:
                self._compare(path, tail, marker)
            elif tail.size > vouched > tail.size - len(line) - 1:
                raise self._damaged(
                    path, f"has no record that ends at byte {vouched}, as {self._path}/clean says", vouched
                )
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        self.found = attrs.evolve(self.found, tail=tail)
        if self.found.marker is None and not self.found.notes and check.has_version:
            self._note(
                f"{self._path}/clean is missing; the end of the log was found by reading. Whether records were cut off"
                " behind it is not known"
            )
        is_whole = tail.size == len(content) or self._completes(content, check)
        # Part of a batch is a tear, too. Without a marker it is kept: an operator may have cut the log there.
        begun = check.begun if marker is not None else None
        if begun is not None and begun.size < vouched:
            begun = None
        if not is_whole or begun is not None:
            await self._judge_rest(path, content, vouched, refusal, begun)
        if marker is None and check.has_version:
            self._judge_marker(path)

    def _judge_marker(self, path: str) -> None:
        """Judge that the marker speaks of no record of the last segment, as it does since before the first of them.

        A loss of power may take the newest marker away on a store that does not sync, and a writer that was replaced
        may bring an older one back on a store without holds.
        """
        marker, tail = self.found.marker, self.found.tail
        file, following = f"{self._path}/clean", segment_path(self._path, tail.records)
        is_certain = self._is_held and getattr(self._store, "durability", "fsync") == "fsync"
        if tail.rotated and (marker is None or is_certain):
            state = "is missing or damaged" if marker is None else f"is one of before {path}"
            raise self._damaged(
                following, f"is missing, or was not begun yet: {path} names it as the next one, and {file} {state}"
            )
        if marker is not None and self._is_held and (tail.size or tail.rotated):
            self._note(
                f"{file} speaks of a segment before {path}: it is an older copy, or a loss of power took the newer one"
                " away. Whether records were cut off behind the end of the log is not known"
            )

    def _compare(self, path: str, tail: Tail, marker: Marker) -> None:
        said = marker.tail
        is_same = said.records == tail.records and (not tail.chain or tail.chain == said.chain)
        if not is_same or not (marker.is_old or marker.matches(tail.last_line)):
            raise self._damaged(
                path,
                f"and {self._path}/clean do not belong together: they differ about record {tail.records - 1}",
                tail.size,
            )

    def _completes(self, content: bytes, check: LineCheck) -> bool:
        """Accept a last record that only lacks its line feed: a checksum or chain value proves that it is whole."""
        rest = content[check.tail.size :]
        if b"\n" in rest or not (codec.has_checksum(rest) or b',"h":"' in rest[-31:]):
            return False
        try:
            check.add(rest)
        except InvalidRecord:
            return False
        self.found = attrs.evolve(self.found, lacks_feed=True)
        return True

    async def _judge_rest(
        self, path: str, content: bytes, vouched: int, refusal: InvalidRecord | None, begun: Tail | None
    ) -> None:
        """Find that the bytes behind the last good record were never acknowledged, or raise.

        ``begun`` is where a batch begins of which not all records are good: then the end of the log is there.
        """
        tail = self.found.tail
        start, torn = tail.size, content[tail.size :]
        where = f"is damaged at byte {start}, record {tail.records}"
        if torn.partition(b"\n")[0].endswith(b"\r"):
            where += " (its lines end in CR LF: it was copied as text)"
        if start < vouched or durable_claimed(torn) > tail.records:
            raise self._damaged(path, f"{where}: it was durable, as {_witness(start, vouched)}", start)
        if torn and not is_tear(content, start) and (self._is_held or not is_fork(content[:start], torn)):
            raise self._damaged(path, f"{where}: {refusal}. A crash does not leave that", start)
        if torn and self._ends_in_another_byte(torn):
            raise self._damaged(path, f"{where}: the line feed behind it was changed", start + len(torn) - 1)
        if self.found.marker is None and self.found.notes:
            raise self._damaged(
                f"{self._path}/clean",
                f"is damaged or missing: whether the {len(torn)} bytes at the end of {path} were durable is not known",
            )
        if begun is not None:
            start, torn = begun.size, content[begun.size :]
            self.found = attrs.evolve(self.found, tail=begun, lacks_feed=False)
        self.found = attrs.evolve(
            self.found, torn=Recovery(path, start, len(torn), await self._torn_path(path, start, torn))
        )

    def _ends_in_another_byte(self, torn: bytes) -> bool:
        """Return whether this is a whole record with another last byte than its line feed."""
        check = LineCheck(attrs.evolve(self.found.tail), is_chained=self._is_chained)
        try:
            check.add(torn[:-1])
        except InvalidRecord:
            return False
        return codec.has_checksum(torn[:-1]) or b',"h":"' in torn[-32:]

    async def _torn_path(self, path: str, start: int, torn: bytes) -> str:
        """Return a free path to set bytes aside at; one with the same bytes is of a repair that did not finish."""
        torn_path, number = f"{path}.torn-{start}", 1
        while (there := await self._store.read_bytes(torn_path)) is not None and there != torn:
            number += 1
            torn_path = f"{path}.torn-{start}-{number}"
        return torn_path


def _is_last_of(line: bytes, tail: Tail) -> bool:
    """Return whether a line, with its line feed, can be the last one before this end of a log."""
    try:
        codec.check_line(line[:-1], tail.records - 1, is_due=False)
        fields = codec.decode_fields(line)
    except InvalidRecord:
        return False
    return type(fields.get("seq")) is not int or (fields["seq"], fields.get("hub")) == (tail.seq, tail.hub)


def _witness(start: int, vouched: int) -> str:
    return "the file clean says" if start < vouched else "later records say"
