"""The archive: what the histories of channels need of the journal, kept aside before the journal is truncated.

It is made of chunks, files that never change: the events of each channel next to each other, and a table at the end
that says where. Beside the journal a pointer is kept, fenced as appends are, that names the chunks and the digests of
their tables; a file that it does not name does not count. Each block of a channel has its digest in the table.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from .. import codec
from ..errors import InvalidRecord, LogDamaged, StoreFull
from ..events import Event
from ..ports import Journal
from .sealed import newer

__all__ = ("NAME", "Archive")

NAME = "history"
"""Under which a journal keeps the pointer."""

CHUNK_BYTES = 8 * 1024 * 1024
"""The size of a chunk; one of less than an eighth of it is written anew with what comes next."""
EVENTS_MIN = 1000
"""So many events are looked at together, at least, unless the journal has to be truncated now."""

_VERSION = 1
_TABLES_MAX = 8
"""How many tables are held in memory."""
_TURN = 256
"""Other tasks run after so many events."""


class _Chunk(msgspec.Struct, frozen=True):
    """A file of the archive: what was kept of the events ``[first, end)``."""

    name: str
    first: int
    end: int
    size: int
    table: int
    """Where its table begins, in bytes."""
    digest: str
    """Of the table."""


class _Pointer(msgspec.Struct):
    """What is kept beside the journal, as JSON."""

    version: int
    end: int
    chunks: list[_Chunk] = []


_Table = dict[str, tuple[int, int, str]]
"""By key: where a block begins, how long it is, and its digest."""


class Archive:
    """The events of the past that are still wanted, by key: the id of a channel."""

    def __init__(self, journal: Journal, wanted: Callable[[Event], Sequence[str]], *, bytes_max: int) -> None:
        """``wanted`` says under which keys an event is kept; an empty answer: not at all."""
        self._journal = journal
        self._wanted = wanted
        self._bytes_max = bytes_max
        # The oldest chunk goes as a whole, and what is left shall be most of what may be kept.
        self._chunk_bytes = min(CHUNK_BYTES, bytes_max // 4)
        self._end = 0
        """Events below this are kept, if they were wanted, or are lost."""
        self._chunks: list[_Chunk] = []
        self._tables: OrderedDict[str, _Table] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        return sum(chunk.size for chunk in self._chunks)

    def load(self, kept: Mapping[str, bytes]) -> None:
        """Take up the chunks that the pointer names, when the hub starts.

        Raises :class:`~hubwire.errors.NewerVersion` and :class:`~hubwire.errors.LogDamaged`.
        """
        content = kept.get(NAME)
        if content is None:
            return
        path = f"{self._journal.path}/beside/{NAME}-…"
        try:
            pointer = msgspec.json.decode(content, type=_Pointer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LogDamaged(
                f"{path} does not name the chunks of the history ({error}); restore the journal from a copy", path=path
            ) from error
        if pointer.version > _VERSION:
            raise newer(path, f"it has version {pointer.version}, and this hubwire reads {_VERSION}")
        self._end, self._chunks = pointer.end, pointer.chunks

    # -- keeping --

    async def keep_before(self, floor: int, *, is_pressing: bool) -> int:
        """Keep what is wanted of the events below ``floor``; return before which one the journal may be truncated.

        That may be an earlier one, as long as little could be truncated: unless it ``is_pressing``. On a full disk
        none is kept, and the journal is truncated all the same.
        """
        first = max(self._end, self._journal.first_seq)
        if self._bytes_max == 0 or floor <= first:
            return floor
        if floor - first < EVENTS_MIN and not is_pressing:
            return first
        try:
            await self._keep(first, floor)
        except StoreFull:
            self._end = floor
        return floor

    async def _keep(self, first: int, floor: int) -> None:
        chunks, seq = [*self._chunks], first - 1
        blocks: dict[str, list[bytes]] = {}
        if chunks and chunks[-1].size < self._chunk_bytes // 8:
            last = chunks.pop()
            first, blocks = last.first, await self._blocks(last)
        size = sum(len(body) for bodies in blocks.values() for body in bodies)
        async for event in self._journal.replay(seq):
            if event.seq >= floor:
                break
            seq = event.seq
            if keys := self._wanted(event):
                body = codec.encode(event)
                for key in keys:
                    blocks.setdefault(key, []).append(body)
                    size += len(body)
            if size >= self._chunk_bytes:
                chunks.append(await self._write(first, seq + 1, blocks))
                blocks, size, first = {}, 0, seq + 1
            if seq % _TURN == 0:
                await asyncio.sleep(0)
        if blocks:
            chunks.append(await self._write(first, floor, blocks))
        await self._point_at(chunks, floor)

    async def _blocks(self, chunk: _Chunk) -> dict[str, list[bytes]]:
        """Return the events of a chunk; none if it is damaged, which who reads a history learns."""
        try:
            return {key: [await self._block(chunk, *place)] for key, place in (await self._table(chunk)).items()}
        except LogDamaged:
            return {}

    async def _write(self, first: int, end: int, blocks: Mapping[str, Sequence[bytes]]) -> _Chunk:
        content, table = bytearray(), {}
        for key, bodies in blocks.items():
            block = b"\n".join(bodies)
            table[key] = (len(content), len(block), _digest(block))
            content += block
        written = msgspec.json.encode(table)
        name = f"{first:020d}-{end}-{self._journal.epoch}"
        await self._journal.store.write(self._path(name), bytes(content + written))
        return _Chunk(name, first, end, len(content) + len(written), len(content), _digest(written))

    async def _point_at(self, chunks: list[_Chunk], end: int) -> None:
        """Let these chunks count, without the oldest where they are too large; delete all other files."""
        while chunks and sum(chunk.size for chunk in chunks) > self._bytes_max:
            del chunks[0]
        await self._journal.keep(NAME, msgspec.json.encode(_Pointer(_VERSION, end, chunks)) + b"\n")
        self._chunks, self._end = chunks, end
        names = {chunk.name for chunk in chunks}
        store = self._journal.store
        for other in await store.list(self._path("")):
            if other not in names:
                await store.delete(self._path(other))

    def _path(self, name: str) -> str:
        return f"{self._journal.path}/history/{name}".rstrip("/")

    # -- reading --

    async def read(self, key: str, seqs: Sequence[int]) -> dict[int, Event]:
        """Return those of these events that are kept under a key, by their ``seq``.

        Raises :class:`~hubwire.errors.LogDamaged` for a chunk that is not what was kept.
        """
        while True:
            chunks = self._chunks
            try:
                return await self._read(chunks, key, seqs)
            except LogDamaged:
                if self._chunks is chunks:
                    raise
                # Meanwhile, others have taken the place of these, which were deleted.

    async def _read(self, chunks: Sequence[_Chunk], key: str, seqs: Sequence[int]) -> dict[int, Event]:
        found: dict[int, Event] = {}
        for chunk in chunks:
            wanted = {seq for seq in seqs if chunk.first <= seq < chunk.end}
            if wanted and (place := (await self._table(chunk)).get(key)) is not None:
                for body in (await self._block(chunk, *place)).split(b"\n"):
                    event = self._decode(chunk, body)
                    if event.seq in wanted:
                        found[event.seq] = event
        return found

    async def _table(self, chunk: _Chunk) -> _Table:
        table = self._tables.get(chunk.name)
        if table is None:
            written = await self._block(chunk, chunk.table, chunk.size - chunk.table, chunk.digest)
            table = self._tables[chunk.name] = msgspec.json.decode(written, type=_Table) if written else {}
            if len(self._tables) > _TABLES_MAX:
                self._tables.popitem(last=False)
        self._tables.move_to_end(chunk.name)
        return table

    async def _block(self, chunk: _Chunk, start: int, length: int, digest: str) -> bytes:
        path = self._path(chunk.name)
        block = await self._journal.store.read_bytes(path, start, start + length)
        if block is None or _digest(block) != digest:
            what = "is missing" if block is None else "is not what was kept"
            raise LogDamaged(
                f"{path}, a part of the history of channels, {what}; restore it from a copy",
                path=path,
            )
        return block

    def _decode(self, chunk: _Chunk, body: bytes) -> Event:
        try:
            return codec.decode(body)
        except InvalidRecord as error:
            path = self._path(chunk.name)
            raise LogDamaged(f"{path} has an event that cannot be read: {error}", path=path) from error


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
