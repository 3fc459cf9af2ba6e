"""A file in the Zstandard Seekable Format: frames that are read one by one, and a table of their sizes at the end.

``zstd -d`` and every other decompressor read it, too: the table is a frame that they skip. The format is that of
``contrib/seekable_format/zstd_seekable_compression_format.md`` of the Zstandard project, version 0.1.0.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from itertools import accumulate
from typing import Any

import attrs

from hubwire.errors import ConfigurationError

__all__ = ("FOOTER_BYTES", "Table", "pack", "table_bytes", "unpack")

FOOTER_BYTES = 9
_HEAD_BYTES = 8
_ENTRY_BYTES = 8
_SKIPPABLE_MAGIC = 0x184D2A5E
_SEEKABLE_MAGIC = 0x8F92EAB1
_FRAME_BYTES = 256 * 1024
"""So much is decompressed to read one record."""
_MODULES = ("compression.zstd", "zstandard")


@attrs.frozen
class Table:
    """Where the frames of a file are, and what they hold."""

    packed: tuple[int, ...]
    """Where each frame begins in the file, and where the last one ends."""
    plain: tuple[int, ...]
    """The same of what they hold."""

    @property
    def size(self) -> int:
        """The bytes that all frames hold."""
        return self.plain[-1]

    @classmethod
    def parse(cls, end: bytes, file_bytes: int) -> Table:
        """Read a table from the end of a file of so many bytes. Raises ``ValueError`` if it is not that of the file."""
        if len(end) < FOOTER_BYTES + _HEAD_BYTES:
            raise ValueError("it is too short")
        frames, descriptor, magic = struct.unpack("<IBI", end[-FOOTER_BYTES:])
        size = _ENTRY_BYTES * frames + FOOTER_BYTES
        head = end[-size - _HEAD_BYTES : -size]
        if magic != _SEEKABLE_MAGIC or descriptor or head != struct.pack("<II", _SKIPPABLE_MAGIC, size):
            raise ValueError("it does not end in the table of a seekable file")
        sizes = struct.unpack(f"<{2 * frames}I", end[-size:-FOOTER_BYTES])
        table = cls(tuple(accumulate(sizes[::2], initial=0)), tuple(accumulate(sizes[1::2], initial=0)))
        if table.packed[-1] + size + _HEAD_BYTES != file_bytes:
            raise ValueError("its table speaks of a file of another size")
        return table


def table_bytes(footer: bytes) -> int:
    """Return how many bytes the table has whose footer this is. Raises ``ValueError`` if it is none."""
    if len(footer) != FOOTER_BYTES:
        raise ValueError("it is too short")
    frames, _, magic = struct.unpack("<IBI", footer)
    if magic != _SEEKABLE_MAGIC:
        raise ValueError("it does not end in the table of a seekable file")
    return int(_ENTRY_BYTES * frames + FOOTER_BYTES + _HEAD_BYTES)


def pack(content: bytes, level: int) -> bytes:
    """Return a file that holds ``content``."""
    pieces = [content[at : at + _FRAME_BYTES] for at in range(0, len(content), _FRAME_BYTES)]
    compress = _functions()[0]
    frames = [compress(piece, level) for piece in pieces]
    sizes = [size for frame, piece in zip(frames, pieces, strict=True) for size in (len(frame), len(piece))]
    table = struct.pack(f"<{len(sizes)}I", *sizes) + struct.pack("<IBI", len(frames), 0, _SEEKABLE_MAGIC)
    return b"".join([*frames, struct.pack("<II", _SKIPPABLE_MAGIC, len(table)), table])


def unpack(frames: bytes, sizes: Sequence[tuple[int, int]]) -> bytes:
    """Return what frames hold that follow each other; ``sizes`` are those of each, packed and plain.

    Raises ``ValueError`` for one that is damaged.
    """
    decompress, at, pieces = _functions()[1], 0, []
    for packed, plain in sizes:
        try:
            piece = decompress(frames[at : at + packed], plain)
        except Exception as error:
            raise ValueError(f"a frame cannot be decompressed: {error}") from error
        if len(piece) != plain:
            raise ValueError(f"a frame holds {len(piece)} bytes, and should hold {plain}")
        pieces.append(piece)
        at += packed
    return b"".join(pieces)


@cache
def _functions() -> tuple[Callable[[bytes, int], bytes], Callable[[bytes, int], bytes]]:
    """Return the functions of the library that is there. Raises :class:`~hubwire.errors.ConfigurationError`."""
    for name in _MODULES:
        try:
            library: Any = import_module(name)
        except ImportError:
            continue
        if name == "zstandard":
            return _by_zstandard(library)
        return _by_standard_library(library)
    raise ConfigurationError(
        "compressed segments need the library zstandard, or Python 3.14: pip install 'hubwire[zstd]'"
    )


def _by_zstandard(library: Any) -> tuple[Callable[[bytes, int], bytes], Callable[[bytes, int], bytes]]:
    def compress(content: bytes, level: int) -> bytes:
        made: bytes = library.ZstdCompressor(level=level, write_checksum=True).compress(content)
        return made

    def decompress(frame: bytes, size: int) -> bytes:
        made: bytes = library.ZstdDecompressor().decompress(frame, max_output_size=size)
        return made

    return compress, decompress


def _by_standard_library(library: Any) -> tuple[Callable[[bytes, int], bytes], Callable[[bytes, int], bytes]]:
    def compress(content: bytes, level: int) -> bytes:
        made: bytes = library.compress(
            content,
            options={
                library.CompressionParameter.compression_level: level,
                library.CompressionParameter.checksum_flag: 1,
            },
        )
        return made

    def decompress(frame: bytes, _: int) -> bytes:
        made: bytes = library.decompress(frame)
        return made

    return compress, decompress
