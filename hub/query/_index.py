"""The index of one segment: which times, texts and names are in it, and where its blocks begin.

A file beside the log, ``index/<segment>.idx``. Its first line is a JSON object with a checksum, as
:func:`hubwire.codec.encode_marker` writes it: the segment, its size, the CRC-32 of its last 4 KiB, its records, its
times, and where the sections are, each with its length and CRC-32. ``blocks`` has a row for each stretch of about
128 KiB: where it begins, its first record, its earliest and latest time, and its CRC-32. ``keys`` is a Bloom filter
over the texts of the keys that are often asked for. ``names`` are what agents and channels are called.

The segment that grows has one of what it had when that was written, ``index/<segment>.growing``: the size and the
CRC-32 are those of that beginning, and instead of ``keys`` it has ``stretches``, a filter for each so many blocks. It
is replaced by a longer one, and deleted when there is an index of all.

All of it is in the log, so a file that is missing, of another version, or that does not fit is left aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any
from zlib import crc32

import attrs
import msgspec

from .. import codec
from .._values import Value
from ..errors import InvalidRecord
from ..ports import KnowledgeStore

__all__ = (
    "KEYS",
    "VERSION",
    "Block",
    "Bloom",
    "Header",
    "NoIndex",
    "Stretch",
    "encode_growing",
    "encode_index",
    "growing_path",
    "index_path",
    "read_header",
    "read_section",
)

VERSION = 1

KEYS = (
    "kind",
    "agent_id",
    "channel_id",
    "task_id",
    "turn_id",
    "session_id",
    "tenant",
    "correlation_id",
    "causation_id",
    "actor",
    "source",
    "topic",
    "outcome",
    "severity",
    "approval_id",
    "envelope_id",
    "fact_id",
)
"""The keys that the filter knows."""

TAIL_BYTES = 4096
_HEADER_BYTES = 1024
_BEGIN_BYTES = 16 * 1024
"""So much is read with the header: all of most indexes, and a read costs more than a few kilobytes."""

_BITS = 12
_HASHES = 5
"""Of five hundred texts that are not there, two or three are taken for being there: (1 - e^(-5/12))^5 = 0.0047."""

_FILTERED_MAX = 500_000
_FILTERED_AT_ONCE = 500
"""A millisecond or two."""


class NoIndex(InvalidRecord):
    """There is none any more, as there is one of all of the segment; or the segment is an older copy, that has less.

    Of the segment that grows, that is as it should be.
    """


@attrs.frozen(eq=False, repr=False)
class Block(Value):
    """A stretch of whole lines in a segment."""

    offset: int
    index: int
    end: int
    """The offset behind its last line feed."""
    records: int
    earliest: int | None
    """In microseconds since 1970; None if a record has no time."""
    latest: int | None
    checksum: int
    """CRC-32 of its bytes without the last line feed."""


@attrs.frozen(eq=False, repr=False)
class Stretch(Value):
    """Blocks that follow each other in a segment that grows, with a filter of their own."""

    blocks: int
    """How many they are."""
    bits: bytes
    """Those of their :class:`Bloom`."""


@attrs.frozen(eq=False, repr=False)
class Header(Value):
    """What the first line of an index says."""

    segment: int
    size: int
    records: int
    tail: int
    """CRC-32 of the last 4 KiB of what it covers: in a chained log these hold an ``h`` that stands for all before."""
    earliest: int | None
    latest: int | None
    sections: dict[str, tuple[int, int, int]]
    """Where each begins in the file, its length and its CRC-32."""
    file: str
    """Where it is."""
    beginning: bytes
    """The first bytes of the file: the sections of a small one."""


def index_path(path: str, segment: int) -> str:
    """Return where the index of a segment is."""
    return f"{path}/index/{segment:020d}.idx"


def growing_path(path: str, segment: int) -> str:
    """Return where the index of a segment is that covers what it had when it still grew."""
    return f"{path}/index/{segment:020d}.growing"


def encode_index(
    segment: int, size: int, tail: int, blocks: list[Block], keys: Bloom, names: list[tuple[str, str, str]]
) -> bytes:
    """Return the file for a sealed segment."""
    return _encode(segment, size, tail, blocks, {"keys": keys.bits, "names": _packed(names)})


def encode_growing(
    segment: int, size: int, tail: int, blocks: list[Block], stretches: list[Stretch], names: list[tuple[str, str, str]]
) -> bytes:
    """Return the file for the first ``size`` bytes of a segment."""
    filters = _packed([attrs.astuple(each) for each in stretches])
    return _encode(segment, size, tail, blocks, {"stretches": filters, "names": _packed(names)})


def _packed(rows: list[Any]) -> bytes:
    return msgspec.msgpack.encode(rows)


def _encode(segment: int, size: int, tail: int, blocks: list[Block], more: dict[str, bytes]) -> bytes:
    earliest = [each.earliest for each in blocks if each.earliest is not None]
    latest = [each.latest for each in blocks if each.latest is not None]
    is_dated = bool(blocks) and len(earliest) == len(blocks)
    parts = {"blocks": _packed([attrs.astuple(each) for each in blocks]), **more}
    sections, offset = {}, 0
    for name, part in parts.items():
        sections[name] = (offset, len(part), crc32(part))
        offset += len(part)
    head = codec.encode_marker(
        {
            "segment": segment,
            "size": size,
            "tail": tail,
            "records": sum(each.records for each in blocks),
            "earliest": min(earliest) if is_dated else None,
            "latest": max(latest) if is_dated else None,
            "sections": sections,
        },
        version=VERSION,
    )
    return b"".join([head.rstrip(b"\n").ljust(_HEADER_BYTES - 1), b"\n", *parts.values()])


async def read_header(store: KnowledgeStore, file: str, segment: int) -> Header:
    """Return the header of an index. Raises :class:`~hubwire.errors.InvalidRecord` if it cannot be used."""
    content = await store.read_bytes(file, 0, _BEGIN_BYTES)
    if content is None:
        raise NoIndex("there is none")
    fields = codec.decode_marker(content[:_HEADER_BYTES].rstrip() + b"\n")
    if fields.pop("v") != VERSION:
        raise InvalidRecord("it is of another version")
    fields.pop("c", None)
    fields["sections"] = {name: tuple(place) for name, place in fields["sections"].items()}
    header = Header(**fields, file=file, beginning=content)
    if header.segment != segment:
        raise InvalidRecord(f"it is that of segment {header.segment}")
    return header


async def read_section(store: KnowledgeStore, header: Header, name: str) -> bytes:
    """Return a section. Raises :class:`~hubwire.errors.InvalidRecord` if it is not as it was written."""
    offset, size, checksum = header.sections[name]
    begin = _HEADER_BYTES + offset
    if begin + size <= len(header.beginning):
        content = header.beginning[begin : begin + size]
    else:
        content = await store.read_bytes(header.file, begin, begin + size) or b""
    if len(content) != size or crc32(content) != checksum:
        raise InvalidRecord(f"its section {name} is damaged")
    return content


def blocks_of(section: bytes) -> list[Block]:
    """Return the blocks of a section that was checked."""
    rows: list[Any] = msgspec.msgpack.decode(section)
    return [Block(*row) for row in rows]


def stretches_of(section: bytes) -> list[Stretch]:
    """Return the stretches of a section that was checked."""
    rows: list[Any] = msgspec.msgpack.decode(section)
    return [Stretch(*row) for row in rows]


def names_of(section: bytes) -> list[tuple[str, str, str]]:
    """Return the names of a section that was checked."""
    rows: list[Any] = msgspec.msgpack.decode(section)
    return [(key, identifier, name) for key, identifier, name in rows]


class Bloom:
    """Which texts may be in a set, by Bloom, 'Space/Time Trade-offs in Hash Coding with Allowable Errors' (1970)."""

    def __init__(self, bits: bytes) -> None:
        self.bits: bytes = bits
        """Empty: any text may be there."""

    @classmethod
    async def over(cls, texts: Iterable[str], count: int) -> Bloom:
        """Return the filter of so many texts; meanwhile the loop runs on, as they can be a hundred thousand."""
        if count > _FILTERED_MAX:
            return cls(b"")
        bits = bytearray(max(count * _BITS // 8, 8))
        for number, text in enumerate(texts):
            for place in _places(text, len(bits) * 8):
                bits[place >> 3] |= 1 << (place & 7)
            if number % _FILTERED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return cls(bytes(bits))

    def may_hold(self, text: str) -> bool:
        """Tell whether a text may be there; if not, it is not."""
        bits = self.bits
        return not bits or all(bits[place >> 3] & 1 << (place & 7) for place in _places(text, len(bits) * 8))


def _places(text: str, count: int) -> list[int]:
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=4 * _HASHES).digest()
    return [int.from_bytes(digest[at : at + 4], "big") % count for at in range(0, 4 * _HASHES, 4)]
