"""The Merkle tree of RFC 6962 over the records of a log: hashes, ranges, and the checks of proofs. Pure.

The leaf of a record is the hash of its line as it stands in the log, without its line feed. A subtree is named by its
``level`` and its ``index`` in that level: it covers the leaves from ``index << level`` to ``index + 1 << level``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

__all__ = (
    "EMPTY_ROOT",
    "HASH_BYTES",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "Subtree",
    "Tree",
    "consistency_ranges",
    "folded",
    "inclusion_ranges",
    "is_consistent",
    "is_included",
    "leaf_hash",
    "node_hash",
    "root_of",
    "subtrees",
)

HASH_BYTES = 32

TILE_HEIGHT = 8
"""Of C2SP tiles: the hashes of every eighth level are kept, those between are computed."""

TILE_WIDTH = 1 << TILE_HEIGHT

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves."""

_sha256 = hashlib.sha256

Subtree = tuple[int, int]
"""A complete subtree: its level, 0 for a leaf, and its index in that level."""


def leaf_hash(line: bytes) -> bytes:
    """Return the hash of the leaf of a record: ``line`` is all of it, without its line feed."""
    return _sha256(b"\0" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two others."""
    return _sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over 2**n hashes of one level."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [_sha256(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]


def subtrees(begin: int, end: int) -> Iterator[Subtree]:
    """Divide a range of leaves into the greatest complete subtrees, from left to right.

    The range is one of those that proofs have: none of its subtrees reaches out of it to the left.
    """
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield level, begin >> level
        begin += 1 << level


def folded(hashes: Sequence[bytes]) -> bytes:
    """Return the root over subtrees that follow each other, each smaller than the one before."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class Tree:
    """A growing tree, of which only the right edge is kept: its root, and what has to be kept elsewhere of the rest.

    ``edge[n]`` are the newest hashes of level ``8 n``, those that make no full tile yet: at most 255 each.
    """

    __slots__ = ("_edge", "_grown", "_size")

    def __init__(self, size: int = 0, edge: Iterable[Sequence[bytes]] = ()) -> None:
        """``size`` and ``edge`` are those of an earlier tree. Raises :class:`ValueError` if they do not fit."""
        self._size = size
        self._edge: list[list[bytes]] = [list(hashes) for hashes in edge]
        self._grown: list[list[bytes]] = []
        """The hashes of each of these levels that :meth:`take_grown` has not given out yet."""
        widths, rest = [], size
        while rest:
            widths.append(rest % TILE_WIDTH)
            rest >>= TILE_HEIGHT
        if [len(hashes) for hashes in self._edge] != widths:
            raise ValueError(f"an edge of {[len(each) for each in self._edge]} hashes is not that of {size} leaves")

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return self._size

    @property
    def edge(self) -> tuple[tuple[bytes, ...], ...]:
        """What another tree goes on from."""
        return tuple(tuple(hashes) for hashes in self._edge)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the hashes of leaves."""
        self._size += len(leaves)
        level = 0
        while leaves:
            if level == len(self._edge):
                self._edge.append([])
            if level == len(self._grown):
                self._grown.append([])
            self._grown[level] += leaves
            edge = self._edge[level]
            edge += leaves
            leaves = []
            if len(edge) >= TILE_WIDTH:
                full = len(edge) - len(edge) % TILE_WIDTH
                leaves = [root_of(edge[at : at + TILE_WIDTH]) for at in range(0, full, TILE_WIDTH)]
                del edge[:full]
                level += 1

    def root(self) -> bytes:
        """Return the root over all leaves."""
        peaks: list[bytes] = []
        for edge in reversed(self._edge):
            begin = 0
            for bit in reversed(range(TILE_HEIGHT)):
                if len(edge) & (1 << bit):
                    peaks.append(root_of(edge[begin : begin + (1 << bit)]))
                    begin += 1 << bit
        return folded(peaks)

    @property
    def grown(self) -> int:
        """How many leaves :meth:`take_grown` has to give."""
        return len(self._grown[0]) if self._grown else 0

    def take_grown(self) -> list[bytes]:
        """Return, for each level that tiles keep, the hashes that came since the last call, one after the other."""
        grown, self._grown = self._grown, []
        return [b"".join(hashes) for hashes in grown]

    def copy(self) -> Tree:
        """Return a tree with the same leaves, which grows by itself."""
        return Tree(self._size, self._edge)


# --- proofs ----------------------------------------------------------------------------------------------------------


def _split(size: int) -> int:
    """Return the greatest power of 2 that is less than ``size``."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose roots prove that leaf ``index`` is in a tree, from the leaf upwards."""
    ranges: list[tuple[int, int]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose roots prove that a tree of ``new`` leaves goes on from one of ``old``."""
    if old in (0, new):
        return []
    ranges: list[tuple[int, int]] = []
    begin, end, is_whole = 0, new, True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin, is_whole = middle, False
    if not is_whole:
        ranges.append((begin, end))
    return ranges[::-1]


def is_included(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether a proof shows that this is leaf ``index`` of a tree."""
    if not 0 <= index < size:
        return False
    ranges = inclusion_ranges(index, size)
    if len(ranges) != len(proof):
        return False
    here = leaf
    for (begin, _), other in zip(ranges, proof, strict=True):
        here = node_hash(here, other) if begin > index else node_hash(other, here)
    return here == root


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether a proof shows that a tree of ``new`` leaves begins with the ``old`` ones of another."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if not old:
        return not proof and old_root == EMPTY_ROOT
    ranges = consistency_ranges(old, new)
    if len(ranges) != len(proof):
        return False
    # Without the old tree's own root in front, it is a complete subtree of the new one, and is its first.
    first, *rest = (
        list(zip(ranges, proof, strict=True))
        if ranges[0][0] < old and ranges[0][1] == old
        else [
            ((0, old), old_root),
            *zip(ranges, proof, strict=True),
        ]
    )
    old_here = new_here = first[1]
    for (begin, _), other in rest:
        if begin >= old:
            new_here = node_hash(new_here, other)
        else:
            old_here, new_here = node_hash(other, old_here), node_hash(other, new_here)
    return old_here == old_root and new_here == new_root
