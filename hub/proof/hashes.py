"""The hashes of a tree beside its log: they are read for proofs, and made anew from the records where they lack.

``<path>/tree/0`` has the hash of each record, 32 bytes each; ``tree/1`` that of each full tile of 256 of them, and
``tree/2`` that of each 256 of those. They only grow, and are never believed: what is proved by them is compared with a
root.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import AppendConflict, HashesMissing
from ..ports import KnowledgeStore
from .tree import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Subtree,
    Tree,
    consistency_ranges,
    folded,
    inclusion_ranges,
    root_of,
    subtrees,
)

__all__ = ("TreeHashes",)


class TreeHashes:
    """The files ``tree/`` of a log on a store. One writer; readers need no permission."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self._store = store
        self._path = path

    def _file(self, level: int) -> str:
        return f"{self._path}/tree/{level}"

    async def size(self) -> int:
        """Return how many records they cover."""
        return (await self._store.size(self._file(0)) or 0) // HASH_BYTES

    async def append(self, grown: Sequence[bytes], size: int) -> None:
        """Append the hashes that a tree has grown by, of which ``size`` is the size before.

        The upper levels go first, so that a crash leaves none behind the lowest one that lacks. What a crash has left
        there is written over. Raises :class:`~hubwire.errors.AppendConflict` if there are less than ``size``.
        """
        for level in reversed(range(len(grown))):
            expected = (size >> TILE_HEIGHT * level) * HASH_BYTES
            if not grown[level]:
                continue
            try:
                await self._store.append(self._file(level), grown[level], expect=expected)
            except AppendConflict:
                there = await self._store.read_bytes(self._file(level)) or b""
                if len(there) < expected:
                    raise
                await self._store.write(self._file(level), there[:expected] + grown[level], expect=len(there))

    async def remake(self) -> None:
        """Empty the files: what they had is appended anew."""
        await self.cut(0)

    async def cut(self, size: int) -> None:
        """Keep the hashes of the first ``size`` records alone: the others are appended anew."""
        for level in range(HASH_BYTES):
            if await self._store.exists(self._file(level)):
                end = (size >> TILE_HEIGHT * level) * HASH_BYTES
                kept = await self._store.read_bytes(self._file(level), 0, end) if end else b""
                await self._store.write(self._file(level), kept or b"")

    async def hashes(self, wanted: Sequence[Subtree]) -> list[bytes]:
        """Return the hashes of complete subtrees. Raises :class:`HashesMissing`."""
        return [await self._hash(level, index) for level, index in wanted]

    async def _hash(self, level: int, index: int) -> bytes:
        stored, height = divmod(level, TILE_HEIGHT)
        return root_of(await self._read(stored, index << height, (index + 1) << height))

    async def _read(self, stored: int, begin: int, end: int) -> list[bytes]:
        if begin == end:
            return []
        content = await self._store.read_bytes(self._file(stored), begin * HASH_BYTES, end * HASH_BYTES) or b""
        if len(content) != (end - begin) * HASH_BYTES:
            raise HashesMissing(
                f"the hashes in {self._file(stored)} end before number {end}: the log has not written them yet, or some"
                " were lost; they are made from the records when the log is next opened by its signer",
                path=self._file(stored),
                byte_offset=end * HASH_BYTES,
            )
        return [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]

    async def root(self, begin: int, end: int) -> bytes:
        """Return the root over the records from ``begin`` up to ``end``, a range that proofs have."""
        return folded(await self.hashes(list(subtrees(begin, end))))

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the proof that record ``index`` is in the tree of the first ``size`` ones."""
        return [await self.root(begin, end) for begin, end in inclusion_ranges(index, size)]

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of ``new`` records goes on from that of ``old`` ones."""
        return [await self.root(begin, end) for begin, end in consistency_ranges(old, new)]

    async def tree(self, size: int) -> Tree:
        """Return the tree over the first ``size`` records, to go on from. Raises :class:`HashesMissing`."""
        edge: list[list[bytes]] = []
        width = size
        while width:
            begin = width - width % TILE_WIDTH
            edge.append(await self._read(len(edge), begin, width))
            width >>= TILE_HEIGHT
        return Tree(size, edge)
