"""Reading a log: its records, one after the other, while it is written or long after."""

from __future__ import annotations

import asyncio
import hashlib
import re
from binascii import b2a_base64
from collections.abc import AsyncIterator

import anyio
import attrs

from .. import codec
from ..errors import HistoryGone, InvalidRecord, LogDamaged
from ..ports import KnowledgeStore

__all__ = ("LogReader", "Record", "chain_value", "first_kept", "follow", "list_segments", "log_exists", "segment_path")

FOLLOW_SECONDS = 5.0
"""A follower that is not notified of a change looks for one after this time."""

_CHUNK_BYTES = 1024 * 1024
_LINE_BYTES_MAX = 64 * 1024 * 1024
_SEGMENT_NAME = re.compile(r"(\d{20})\.jsonl")


@attrs.frozen
class Record:
    """A record of a log: its number there, and its line without the line feed."""

    index: int
    line: bytes

    @property
    def body(self) -> bytes:
        """The record as it was appended, a JSON object."""
        return codec.unseal(self.line)[0]

    @property
    def durable(self) -> int:
        """``d``: how many records were known durable when this one was written."""
        return codec.unseal(self.line)[1]

    @property
    def chain(self) -> bytes | None:
        """``h``: the chain value; None in a log without a chain."""
        return codec.unseal(self.line)[2]


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def chain_value(previous: bytes, line: bytes) -> bytes:
    """Return the ``h`` that follows ``previous`` for a line that is sealed without it."""
    digest = hashlib.sha256(previous + line).digest()
    return b2a_base64(digest[:16], newline=False)[:22].translate(_URL_SAFE)


async def log_exists(store: KnowledgeStore, path: str) -> bool:
    """Return whether there is a log at ``path``."""
    return bool(await list_segments(store, path))


async def list_segments(store: KnowledgeStore, path: str) -> list[int]:
    """Return the first indexes of the log's segments, ascending."""
    names = await store.list(f"{path}/log")
    return sorted(int(match[1]) for name in names if (match := _SEGMENT_NAME.fullmatch(name)))


def segment_path(path: str, first_index: int) -> str:
    return f"{path}/log/{first_index:020d}.jsonl"


async def first_kept(store: KnowledgeStore, path: str) -> int:
    """Return the index below which the log is truncated; segments below may be there still, or half there."""
    content = await store.read_bytes(f"{path}/kept")
    if content is None:
        return 0
    if not content.strip().isdigit():
        raise LogDamaged(
            f"{path}/kept should hold the number of the first segment kept, and holds {content[:40]!r}; write it there,"
            " or delete the file",
            path=f"{path}/kept",
        )
    return int(content)


@attrs.frozen
class _Place:
    """A place in a log: before a record that is there, or at the end."""

    segment: int
    """The index of the first record of the segment."""
    index: int
    """The index of the next record."""
    offset: int = 0
    """Where the line of the next record begins in the segment, in bytes."""


class LogReader:
    """A place in a log, moved forward by reading. It needs no hold and disturbs no writer; memory is constant.

    A reader sees whole lines only: what a writer has not finished is not there yet. If the records at its place were
    truncated, reading raises :class:`~hubwire.errors.HistoryGone`.
    """

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self._store = store
        self._path = path
        self._place: _Place | None = None
        """None until a segment was found."""

    @property
    def index(self) -> int:
        """The index of the next record to read."""
        return 0 if self._place is None else self._place.index

    # -- going to a place --

    async def seek_index(self, index: int) -> None:
        """Go to the record numbered ``index``, or to the oldest one kept if that is newer."""
        segments = await list_segments(self._store, self._path)
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
        """Go to the segment that holds the first event after ``seq``; records before it may still come."""
        segments = await list_segments(self._store, self._path)
        low, high = 0, max(len(segments) - 1, 0)
        while low < high:
            middle = (low + high + 1) // 2
            first_seq = await self.first_seq_of(segments[middle])
            if first_seq is not None and first_seq <= seq + 1:
                low = middle
            else:
                high = middle - 1
        self._go_to(segments[low] if segments else 0)

    def _go_to(self, first: int) -> None:
        self._place = _Place(first, first)

    def _put_back(self, records: list[Record]) -> None:
        """Go back to before these records, the last ones read."""
        assert self._place is not None
        size = sum(len(record.line) + 1 for record in records)
        self._place = attrs.evolve(self._place, index=records[0].index, offset=self._place.offset - size)

    # -- reading from there on --

    async def read(self) -> list[Record]:
        """Return the next records, at least one and about a megabyte; an empty list at the present end."""
        place = self._place
        if place is None:
            segments = await list_segments(self._store, self._path)
            if not segments:
                return []
            place = _Place(segments[0], segments[0])
        records, after = await self._read_from(place)
        while not records:
            later = [first for first in await list_segments(self._store, self._path) if first > place.segment]
            if not later:
                break
            # The segment may have got its last records between the read that found its end and the listing.
            records, after = await self._read_from(place)
            if not records:
                await self._check_complete(place, later[0])
                place = _Place(later[0], later[0])
                records, after = await self._read_from(place)
        self._place = after
        return records

    async def read_sealed(self, first: int, next_first: int) -> AsyncIterator[Record]:
        """Iterate over one segment, which the one that begins at ``next_first`` follows.

        Raises :class:`~hubwire.errors.LogDamaged` at its end if a record is missing or is one too many.
        """
        records, self._place = await self._read_from(_Place(first, first))
        while records:
            for record in records:
                yield record
            records, self._place = await self._read_from(self._place)
        await self._check_complete(self._place, next_first)

    async def _read_from(self, place: _Place) -> tuple[list[Record], _Place]:
        """Return the next records of the segment, none at its present end, and the place behind them."""
        path = segment_path(self._path, place.segment)
        pieces: list[bytes] = []
        end = place.offset
        while chunk := await self._store.read_bytes(path, end, end + _CHUNK_BYTES):
            end += len(chunk)
            whole, feed, _ = chunk.rpartition(b"\n")
            if feed:
                lines = b"".join([*pieces, whole]).split(b"\n")
                size = sum(map(len, lines)) + len(lines)
                records = [Record(place.index + number, line) for number, line in enumerate(lines)]
                return records, _Place(place.segment, place.index + len(lines), place.offset + size)
            pieces.append(chunk)
            if end - place.offset > _LINE_BYTES_MAX:
                raise LogDamaged(
                    f"{path} has no line feed in {end - place.offset} bytes; it is not a log, or damaged: restore it"
                    " from a copy",
                    path=path,
                    byte_offset=place.offset,
                )
        return [], place

    async def _check_complete(self, end: _Place, next_first: int) -> None:
        path = segment_path(self._path, end.segment)
        if next_first != end.index or end.offset != await self._store.size(path):
            if end.segment < await first_kept(self._store, self._path):
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
            f"record {index} of the log {self._path} was truncated; the oldest kept is record {kept}, with event"
            f" {first_seq}",
            first_seq=first_seq or 0,
        )

    # -- segments, wherever the reader is --

    async def next_segment(self, first: int) -> int | None:
        """Return the segment after the one that begins at record ``first``; None if that is the last one."""
        return min((later for later in await list_segments(self._store, self._path) if later > first), default=None)

    async def first_seq_of(self, first: int) -> int | None:
        """Return the ``seq`` of the first event in the segment that begins at record ``first``; None if it has none."""
        records, _ = await self._read_from(_Place(first, first))
        for record in records:
            try:
                seq = codec.decode_fields(record.line).get("seq")
            except InvalidRecord:
                # Reading this record reports it; to find a segment the next one does as well.
                continue
            if type(seq) is int:
                return seq
        return None


async def follow(store: KnowledgeStore, path: str, *, start: int | None = None) -> AsyncIterator[Record]:
    """Iterate over the records of a log from index ``start``, by default from its present end, as it grows.

    It never ends. A log that does not exist yet is waited for.
    """
    changed = asyncio.Event()

    async def wake(_: str) -> None:
        changed.set()

    subscription = await store.on_change(f"{path}/log", wake)
    try:
        reader = LogReader(store, path)
        if start is None:
            await reader.seek_end()
        else:
            await reader.seek_index(start)
        while True:
            changed.clear()
            while records := await reader.read():
                for record in records:
                    yield record
            # A subscription may end, or miss a change: look now and then all the same.
            with anyio.move_on_after(FOLLOW_SECONDS):
                await changed.wait()
    finally:
        await subscription.close()
