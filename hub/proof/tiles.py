"""Tiles: the files by which strangers' tools read a log over HTTP, as C2SP has them. Pure.

``tile/<level>/<index>`` has 256 hashes of a level of the tree, ``tile/entries/<index>`` the 256 records below a tile of
level 0; the last one of each level is partial, and its name says how wide it is. Source: https://c2sp.org/tlog-tiles
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import InvalidRecord
from .tree import TILE_HEIGHT, TILE_WIDTH

__all__ = ("ENTRY_BYTES_MAX", "bundle", "tile_path", "tile_widths", "unbundled")

ENTRY_BYTES_MAX = 65_535
"""Of a record in a bundle: its length has two bytes. Lines of audit logs are never longer."""


def tile_path(level: int | None, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile of hashes, or, with None as its ``level``, of the records below one of level 0."""
    name = f"{index % 1000:03}"
    while index >= 1000:
        index //= 1000
        name = f"x{index % 1000:03}/{name}"
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{'entries' if level is None else level}/{name}{partial}"


def tile_widths(size: int) -> Iterator[tuple[int, int, int]]:
    """Iterate over level, number of full tiles, and width of the partial one, of a tree with so many leaves.

    A width of 0 stands for none: empty tiles do not exist.
    """
    level = 0
    while size:
        yield level, size // TILE_WIDTH, size % TILE_WIDTH
        size >>= TILE_HEIGHT
        level += 1


def bundle(lines: Iterable[bytes]) -> bytes:
    """Return the content of a bundle: each record behind its length. Raises :class:`~hubwire.errors.InvalidRecord`."""
    parts: list[bytes] = []
    for line in lines:
        if len(line) > ENTRY_BYTES_MAX:
            raise InvalidRecord(
                f"a record of {len(line):,} bytes cannot be in a bundle, which has room for {ENTRY_BYTES_MAX:,}"
            )
        parts += (len(line).to_bytes(2, "big"), line)
    return b"".join(parts)


def unbundled(content: bytes) -> list[bytes]:
    """Return the records of a bundle. Raises :class:`~hubwire.errors.InvalidRecord` if it ends within one."""
    lines: list[bytes] = []
    at = 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if at + 2 > len(content) or end > len(content):
            raise InvalidRecord(f"the bundle ends within its record number {len(lines)}")
        lines.append(content[at + 2 : end])
        at = end
    return lines
