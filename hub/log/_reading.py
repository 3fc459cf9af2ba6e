"""Reading a log: its records, one after the other, while it is written or long after."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import suppress

import attrs

from .. import codec
from .._values import Value
from ..errors import ConfigurationError, HistoryGone, InvalidRecord, LogDamaged, NewerVersion
from ..ports import KnowledgeStore
from ._index import SPACING_BYTES, Place, SeqIndex
from ._lines import BATCH_BEGUN, batch_end
from ._marker import read_kept, read_marker
from ._sound import count_sound

__all__ = (
    "LogReader",
    "Record",
    "first_kept",
    "first_segment",
    "list_segments",
    "log_exists",
    "segment_path",
)

_CHUNK_BYTES = 1024 * 1024
_LINE_BYTES_MAX = 64 * 1024 * 1024
_PACKED_NAME = re.compile(r"\d{20}\.jsonl\.zst")
_SEGMENT_NAME = re.compile(r"(\d{20})\.jsonl")


@attrs.frozen(eq=False, repr=False)
class Record(Value):
    """A record of a log: its number there, and its line without the line feed."""

    index: int
    line: bytes

    @property
    def body(self) -> bytes:
        """The record as it was appended, a JSON object."""
        return codec.body_of(self.line)

    @property
    def durable(self) -> int:
        """``d``: how many records were known durable when this one was written."""
        return codec.seal_of(self.line)[0]

    @property
    def chain(self) -> bytes | None:
        """``h``: the chain value; None in a log without a chain."""
        return codec.unseal(self.line)[2]


async def log_exists(store: KnowledgeStore, path: str) -> bool:
    """Return whether there is a log at ``path``."""
    return bool(await list_segments(store, path))


async def list_segments(store: KnowledgeStore, path: str) -> list[int]:
    """Return the first indexes of the log's segments, ascending."""
    names = await store.list(f"{path}/log")
    if any(_PACKED_NAME.fullmatch(name) for name in names):
        raise ConfigurationError(
            f"segments of the log {path} are compressed: open its store as compressed(store), from"
            " hubwire.stores.compressed"
        )
    return sorted(int(match[1]) for name in names if (match := _SEGMENT_NAME.fullmatch(name)))


async def first_segment(store: KnowledgeStore, path: str) -> int:
    """Return the index of the first record of the oldest segment that is there; 0 if there is none."""
    return min(await list_segments(store, path), default=0)


def segment_path(path: str, first_index: int) -> str:
    return f"{path}/log/{first_index:020d}.jsonl"


async def first_kept(store: KnowledgeStore, path: str) -> int:
    """Return the index below which the log is truncated; segments below may be there still, or half there."""
    return (await read_kept(store, path)).first


class LogReader:
    """A place in a log, moved forward by reading. It needs no hold and disturbs no writer; memory is constant.

    A reader sees whole records only, and whole batches: what a writer has not finished is not there yet. Checksums are
    checked: a record that is not as it was written is :class:`~hubwire.errors.LogDamaged`, when the reader comes to it.
    If the records at its place were truncated, reading raises :class:`~hubwire.errors.HistoryGone`.

    With an ``index`` of the log, shared with other readers, it goes to an event without reading what is before it.
    """

    def __init__(
        self, store: KnowledgeStore, path: str, index: SeqIndex | None = None, *, chunk_bytes: int = _CHUNK_BYTES
    ) -> None:
        """``chunk_bytes``: how much is read and looked at in one turn of the loop, but for a longer line."""
        self._store = store
        self._path = path
        self._index = index
        self._chunk_bytes_max = chunk_bytes
        self._chunk_bytes = chunk_bytes
        self._listed: list[int] = []
        """The segments that there were at the last listing."""
        self._may_begin_batch = False
        """Whether a batch may begin among the records read last."""
        self._end: Place | None = None
        """A place at which a segment ended when it was read after that listing."""
        self._place: Place | None = None
        """None until a segment was found."""

    @property
    def index(self) -> int:
        """The index of the next record to read."""
        return 0 if self._place is None else self._place.index

    @property
    def segment(self) -> int:
        """The index of the first record of the segment that holds the next record to read, or will."""
        return 0 if self._place is None else self._place.segment

    @property
    def offset(self) -> int:
        """Where the line of the next record begins in its segment, in bytes."""
        return 0 if self._place is None else self._place.offset

    # -- going to a place --

    async def seek_index(self, index: int) -> None:
        """Go to the record numbered ``index``, or to the oldest one kept if that is newer."""
        segments = await self._kept_segments()
        self._go_to(max((first for first in segments if first <= index), default=segments[0] if segments else 0))
        while self.index < index and (records := await self.read()):
            if records[-1].index >= index:
                self._put_back([record for record in records if record.index >= index])

    async def seek_end(self) -> None:
        """Go to the present end: to the first record that is not there yet."""
        segments = await list_segments(self._store, self._path)
        self._go_to(segments[-1] if segments else 0)
        while await self.read():
            pass

    async def seek_after_seq(self, seq: int) -> None:
        """Go to close before the first event after ``seq``; records before it may still come.

        Without an index, to the beginning of the segment that holds it.
        """
        index = self._index
        if index is None:
            self._go_to(await self._segment_of(seq + 1, 0, None))
            return
        place = index.find(seq + 1)
        if place is None:
            async with index.search:
                place = index.find(seq + 1) or await self._search(index, seq + 1)
        self._place = place
        self._chunk_bytes = min(
            SPACING_BYTES, self._chunk_bytes_max
        )  # often a few events are wanted; more are read from chunk to chunk

    async def _segment_of(self, seq: int, first: int, index: SeqIndex | None) -> int:
        """Return the segment that holds the event ``seq``, not before the one that begins at record ``first``."""
        segments = [each for each in await self._kept_segments() if each >= first]
        low, high = 0, max(len(segments) - 1, 0)
        while low < high:
            middle = (low + high + 1) // 2
            first_seq = await self.first_seq_of(segments[middle])
            if first_seq is not None and index is not None:
                index.note(first_seq, Place(segments[middle], segments[middle]))
            if first_seq is not None and first_seq <= seq:
                low = middle
            else:
                high = middle - 1
        return segments[low] if segments else first

    async def _search(self, index: SeqIndex, seq: int) -> Place:
        """Return a place close before the event ``seq``, and note those that are passed on the way."""
        before = index.last_before(seq)
        first = await self._segment_of(seq, 0 if before is None else before.segment, index)
        place = before if before is not None and before.segment == first else Place(first, first)
        path = segment_path(self._path, first)
        while chunk := await self._store.read_bytes(path, place.offset, place.offset + _CHUNK_BYTES):
            passed = _passed(chunk, place, seq, index)
            if passed == place:
                break
            place = passed
            await asyncio.sleep(0)  # a store in memory does not suspend, and a segment is long
        return place

    async def _kept_segments(self) -> list[int]:
        """Return the segments without those that are truncated, of which a crash may have left some."""
        kept = await first_kept(self._store, self._path)
        return [first for first in await self._list() if first >= kept]

    async def _list(self) -> list[int]:
        self._end = None
        self._listed = await list_segments(self._store, self._path)
        return self._listed

    def _listed_after(self, first: int) -> list[int]:
        at = bisect_right(self._listed, first)
        return self._listed[at : at + 1]

    def _go_to(self, first: int) -> None:
        self._place = Place(first, first)

    def _put_back(self, records: list[Record]) -> None:
        """Go back to before these records, the last ones read."""
        assert self._place is not None
        self._place = _before(records, self._place)

    # -- reading from there on --

    async def read(self) -> list[Record]:
        """Return the next records, at least one and about a megabyte; an empty list at the present end."""
        place = self._place
        if place is None:
            segments = await self._kept_segments()
            if not segments:
                return []
            place = Place(segments[0], segments[0])
        elif place == self._end and self._listed_after(place.segment) == [place.index]:
            # Another segment was there before this one was read to its end, so that it got no more records since.
            place = Place(place.index, place.index)
        records, after = await self._read_whole(place)
        while not records:
            later = [first for first in await self._list() if first > place.segment]
            if not later:
                break
            # The segment may have got its last records between the read that found its end and the listing.
            records, after = await self._read_whole(place)
            if not records:
                await self._check_complete(place, later[0])
                place = Place(later[0], later[0])
                records, after = await self._read_whole(place)
        self._place = after
        return records

    async def skip_damaged(self) -> bool:
        """Go on behind what :meth:`read` has raised at: the rest of that line, or else of its segment.

        Return whether there is a line or a segment behind it. What is skipped counts as one record, or as none.
        """
        place = self._place
        if place is None:
            first = (await self._kept_segments())[0]
            place = Place(first, first)
        path, end = segment_path(self._path, place.segment), place.offset
        while chunk := await self._store.read_bytes(path, end, end + _CHUNK_BYTES):
            if (feed := chunk.find(b"\n")) >= 0:
                self._place = Place(place.segment, place.index + 1, end + feed + 1, place.has_checksums)
                return True
            end += len(chunk)
        later = [first for first in await self._list() if first > place.segment]
        if later:
            self._go_to(later[0])
        return bool(later)

    async def _read_whole(self, place: Place) -> tuple[list[Record], Place]:
        """Return as :meth:`_read_from`, without a batch at the present end of which not all is there.

        It was never acknowledged: an append is under way, or a crash has torn it, and then the next start removes it.
        """
        self._may_begin_batch = False
        records, after = await self._read_from(place)
        begun = _unfinished(records) if self._may_begin_batch else None
        if begun is None:
            return records, after
        at, end = begun
        ahead, last = after, records[-1]
        while ahead.index < end and last.durable <= records[at].index:
            more, ahead = await self._read_from(ahead)
            if not more:
                if not await self._is_torn(place.segment, records[at].index):
                    break
                self._end = None
                return records[:at], _before(records[at:], after)
            last = more[-1]
        return records, after

    async def read_sealed(self, first: int, next_first: int) -> AsyncIterator[Record]:
        """Iterate over one segment, which the one that begins at ``next_first`` follows.

        Raises :class:`~hubwire.errors.LogDamaged` at its end if a record is missing or is one too many.
        """
        records, self._place = await self._read_from(Place(first, first))
        while records:
            for record in records:
                yield record
            if self._place == self._end and self._place.index == next_first:
                return
            records, self._place = await self._read_from(self._place)
        await self._check_complete(self._place, next_first)

    async def _read_from(self, place: Place) -> tuple[list[Record], Place]:
        """Return the next records of the segment, none at its present end, and the place behind them."""
        path = segment_path(self._path, place.segment)
        pieces: list[bytes] = []
        end = place.offset
        while chunk := await self._store.read_bytes(path, end, end + self._chunk_bytes):
            is_last = len(chunk) < self._chunk_bytes
            self._chunk_bytes = min(2 * self._chunk_bytes, self._chunk_bytes_max)
            end += len(chunk)
            whole, feed, _ = chunk.rpartition(b"\n")
            if feed:
                content = b"".join([*pieces, whole])
                self._may_begin_batch = BATCH_BEGUN in content
                records, after = self._check(place, content.split(b"\n"))
                self._end = after if is_last and after.offset == end else None
                return records, after
            pieces.append(chunk)
            if end - place.offset > _LINE_BYTES_MAX:
                raise LogDamaged(
                    f"{path} has no line feed in {end - place.offset} bytes; it is not a log, or damaged: restore it"
                    " from a copy",
                    path=path,
                    byte_offset=place.offset,
                )
        rest = b"".join(pieces)
        if codec.has_checksum(rest):
            # Only its line feed is missing, if its checksum is right: recovery adds that.
            with suppress(LogDamaged):
                return self._check(place, [rest])
        return [], place

    def _check(self, place: Place, lines: list[bytes]) -> tuple[list[Record], Place]:
        """Return the records before the first damaged one, and the place behind them; raise if there are none."""
        count, has_checksums, error = count_sound(lines, place.index, is_due=place.has_checksums)
        if error is not None and not count:
            path = segment_path(self._path, place.segment)
            raise LogDamaged(
                f"{path} is damaged at byte {place.offset}, record {place.index}: {error}; restore it from a copy",
                path=path,
                byte_offset=place.offset,
            ) from error
        if error is not None:
            lines = lines[:count]  # a crash may have left the rest behind the end of the log
        offset = place.offset + sum(map(len, lines)) + count
        records = list(map(Record, range(place.index, place.index + count), lines))
        return records, Place(place.segment, place.index + count, offset, has_checksums)

    async def _check_complete(self, end: Place, next_first: int) -> None:
        path = segment_path(self._path, end.segment)
        is_next = next_first == end.index
        if not is_next or end.offset != await self._store.size(path):
            if end.segment < await first_kept(self._store, self._path):
                if is_next:
                    return  # it was read to its end before it was truncated
                raise await self._gone(end.index)
            raise LogDamaged(
                f"{path} ends at record {end.index}, but the next segment begins at {next_first}; restore it from a"
                " copy",
                path=path,
                byte_offset=end.offset,
            )

    async def _gone(self, index: int) -> HistoryGone:
        kept = await first_kept(self._store, self._path)
        first_seq = await self.first_seq_of(kept)
        return HistoryGone(
            f"record {index} of the log {self._path} was pruned or truncated while it was read; the oldest kept is"
            f" record {kept}, with event {first_seq}. Try again: reading begins there now",
            first_seq=first_seq or 0,
        )

    async def _is_torn(self, segment: int, index: int) -> bool:
        """Tell whether a batch from this record on, of which not all is there, is what recovery takes for a tear.

        A version that knows no batches may have gone on behind it, and an operator may have cut the log there.
        """
        if any(first > segment for first in await list_segments(self._store, self._path)):
            return False
        try:
            marker = await read_marker(self._store, self._path)
        except (InvalidRecord, NewerVersion):
            return False
        return marker is not None and marker.tail.records <= index

    # -- segments, wherever the reader is --

    async def next_segment(self, first: int) -> int | None:
        """Return the segment after the one that begins at record ``first``; None if that is the last one."""
        return min((later for later in await list_segments(self._store, self._path) if later > first), default=None)

    async def first_seq_of(self, first: int) -> int | None:
        """Return the ``seq`` of the first event in the segment that begins at record ``first``; None if it has none."""
        self._chunk_bytes = SPACING_BYTES
        records, _ = await self._read_from(Place(first, first))
        for record in records:
            # Reading a damaged record reports it; to find a segment the next one does as well.
            if (seq := _seq_of(record.line)) is not None:
                return seq
        return None


def _unfinished(records: list[Record]) -> tuple[int, int] | None:
    """Return where among the records the last batch begins, and the index behind it, if that is not behind them."""
    for at in range(len(records) - 1, -1, -1):
        record = records[at]
        if BATCH_BEGUN in record.line and (end := batch_end(record.line, record.index)) is not None:
            return None if end <= records[-1].index + 1 else (at, end)
    return None


def _before(records: list[Record], after: Place) -> Place:
    """Return the place before these records, which ``after`` is behind."""
    size = sum(len(record.line) + 1 for record in records)
    return attrs.evolve(after, index=records[0].index, offset=after.offset - size)


def _passed(chunk: bytes, place: Place, seq: int, index: SeqIndex) -> Place:
    """Return the last place of a chunk, in steps, that is before the event ``seq``; note all of them.

    ``place`` is where the chunk begins.
    """
    begin, here = 0, place
    while (feed := chunk.find(b"\n", begin + SPACING_BYTES)) >= 0:
        end = chunk.find(b"\n", feed + 1)
        number = _seq_of(chunk[feed + 1 : end]) if end >= 0 else None
        if number is None and end >= 0:  # a record of the log's own: the next one is an event
            feed, end = end, chunk.find(b"\n", end + 1)
            number = _seq_of(chunk[feed + 1 : end]) if end >= 0 else None
        if number is None:
            break
        here = Place(
            here.segment,
            here.index + chunk.count(b"\n", begin, feed + 1),
            here.offset + feed + 1 - begin,
            codec.has_checksum(chunk[chunk.rfind(b"\n", 0, feed) + 1 : feed]),
        )
        index.note(number, here)
        if number <= seq:
            place = here
        begin = feed + 1
    return place


def _seq_of(line: bytes) -> int | None:
    """Return the ``seq`` of a record; None if it has none, or is damaged."""
    try:
        seq = codec.decode_fields(line).get("seq")
    except InvalidRecord:
        return None
    return seq if type(seq) is int else None
