"""Recovery: where a log ends, and what is left of the record that its last writer died over."""

from __future__ import annotations

import asyncio

import attrs

from .. import codec
from ..errors import InvalidRecord, LogDamaged
from ..ports import KnowledgeStore
from ._reading import LogReader, chain_value, list_segments, segment_path
from ._tail import Tail
from ._truncation import finish_truncation

__all__ = ("Recoverer", "Recovery")

_YIELD_EVERY = 256
"""Lines checked in one turn of the loop: a whole segment would block it for half a second."""


@attrs.frozen
class Recovery:
    """What opening a log set aside: bytes that were never acknowledged."""

    segment: str
    byte_offset: int
    torn_bytes: int
    torn_path: str


class Recoverer:
    """Finds the end of one log, once, for its writer."""

    def __init__(self, store: KnowledgeStore, path: str, *, chained: bool, held: bool) -> None:
        self.recovery: Recovery | None = None
        """What was set aside; None if the log ended well."""
        self.sealed_bytes: int = 0
        """The size of the segments before the last one."""
        self.newest_sealed: int | None = None
        """The last segment but one."""
        self._store = store
        self._path = path
        self._chained = chained
        self._held = held

    async def recover(self) -> Tail:
        """Set aside what is behind the end of the log, and return the end."""
        await finish_truncation(self._store, self._path)
        segments = await list_segments(self._store, self._path)
        for first in segments[:-1]:
            self.sealed_bytes += await self._store.size(segment_path(self._path, first)) or 0
        self.newest_sealed = segments[-2] if len(segments) > 1 else None
        first = segments[-1] if segments else 0
        size = await self._store.size(segment_path(self._path, first)) or 0
        tail = await self._read_clean_marker(first, size)
        return tail or await self._recover_segment(segments, size)

    async def _read_clean_marker(self, first: int, size: int) -> Tail | None:
        content = await self._store.read_bytes(f"{self._path}/clean")
        marker = None if content is None else Tail.from_marker(content)
        if marker is None:
            return None  # the marker only saves time: the end is found by reading as well
        if (first, size) < (marker.first, marker.size):
            path = segment_path(self._path, marker.first)
            raise LogDamaged(
                f"{path} had {marker.size} bytes when the log was closed, and has lost some since; restore it from a"
                " copy",
                path=path,
                byte_offset=size if first == marker.first else 0,
            )
        return marker if (first, size) == (marker.first, marker.size) else None

    async def _recover_segment(self, segments: list[int], size: int) -> Tail:
        """Check the last segment line by line, and cut what was torn off when the last writer died."""
        if not segments:
            return Tail(first=0, size=0, records=0)
        first = segments[-1]
        path = segment_path(self._path, first)
        tail = Tail(first=first, size=0, records=first, chain=None if first else b"")
        if len(segments) > 1:
            await self._take_over(tail, segments[-2])
        content = await self._store.read_bytes(path) or b""
        for number, line in enumerate(content.split(b"\n")[:-1]):
            if not self._check_line(tail, line):
                break
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if tail.size < len(content):
            await self._set_aside(path, content, tail)
        elif self._held and content:
            # After a failed fsync the page cache may show what the disk does not have, and a second fsync would report
            # success. A new file is written through. (A log that cannot be held is on objects, which are whole.)
            await self._store.write(path, content, expect=size)
        return tail

    async def _take_over(self, tail: Tail, sealed_first: int) -> None:
        """Check the segment before the last one; take over its chain value and its position.

        Its own first record is taken on trust, unless it is the first of all: what it follows is not read.
        """
        sealed = Tail(first=sealed_first, size=0, records=sealed_first, chain=None if sealed_first else b"")
        async for record in LogReader(self._store, self._path).read_sealed(sealed_first, tail.first):
            if record.index % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if not self._check_line(sealed, record.line):
                path = segment_path(self._path, sealed_first)
                raise LogDamaged(
                    f"{path} is damaged at byte {sealed.size}, record {record.index}; restore it from a copy",
                    path=path,
                    byte_offset=sealed.size,
                )
        tail.chain, tail.seq, tail.hub = sealed.chain, sealed.seq, sealed.hub

    def _check_line(self, tail: Tail, line: bytes) -> bool:
        """Move ``tail`` past a good line; return whether it was one."""
        try:
            body, durable, chain = codec.unseal(line)
            fields = codec.decode_fields(line)
        except InvalidRecord:
            return False
        if durable > tail.records or (chain is None) == self._chained:
            return False
        if chain is not None:
            if tail.chain is not None and chain != chain_value(tail.chain, codec.seal(body, durable)):
                return False
            tail.chain = chain
        tail.size += len(line) + 1
        tail.records += 1
        tail.rotated = fields.get("kind") == "log.rotated"
        if type(fields.get("seq")) is int:
            tail.seq, tail.hub = fields["seq"], fields.get("hub")
        elif tail.rotated and tail.seq is None:
            tail.seq, tail.hub = fields.get("last_seq"), fields.get("last_hub")
        return True

    async def _set_aside(self, path: str, content: bytes, tail: Tail) -> None:
        torn = content[tail.size :]
        *lines, rest = torn.split(b"\n")
        for line in (*lines, rest):
            try:
                durable = codec.unseal(line)[1]
                if line is rest:
                    # Without its end, a line may stop at any "d" that is in it. With its end, its "d" is the true one
                    # even if the line begins with bytes of a damaged record: the line feed between may be missing.
                    codec.decode_fields(line)
            except InvalidRecord:
                continue
            if durable > tail.records:
                raise LogDamaged(
                    f"{path} is damaged at byte {tail.size}: record {tail.records} was durable, as later records say."
                    " Nothing was changed; restore the segment from a copy",
                    path=path,
                    byte_offset=tail.size,
                )
        torn_path = f"{path}.torn-{tail.size}"
        await self._store.write(torn_path, torn)
        await self._store.write(path, content[: tail.size], expect=len(content))
        self.recovery = Recovery(segment=path, byte_offset=tail.size, torn_bytes=len(torn), torn_path=torn_path)
