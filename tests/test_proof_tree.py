"""The tree against the definitions of RFC 6962, which are recursive and short."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, strategies as st

from hubwire.proof import (
    EMPTY_ROOT,
    Tree,
    consistency_ranges,
    inclusion_ranges,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
)

LINES = [b"%d" % number for number in range(2000)]


def split(size: int) -> int:
    """Return k of section 2.1: the largest power of two smaller than n."""
    k = 1
    while 2 * k < size:
        k *= 2
    return k


def root(lines: list[bytes]) -> bytes:
    """MTH of section 2.1."""
    if not lines:
        return hashlib.sha256().digest()
    if len(lines) == 1:
        return hashlib.sha256(b"\0" + lines[0]).digest()
    k = split(len(lines))
    return hashlib.sha256(b"\1" + root(lines[:k]) + root(lines[k:])).digest()


def path(index: int, lines: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(lines) == 1:
        return []
    k = split(len(lines))
    if index < k:
        return [*path(index, lines[:k]), root(lines[k:])]
    return [*path(index - k, lines[k:]), root(lines[:k])]


def subproof(old: int, lines: list[bytes], *, is_whole: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if old == len(lines):
        return [] if is_whole else [root(lines)]
    k = split(len(lines))
    if old <= k:
        return [*subproof(old, lines[:k], is_whole=is_whole), root(lines[k:])]
    return [*subproof(old - k, lines[k:], is_whole=False), root(lines[:k])]


def grown(lines: list[bytes], steps: list[int] | None = None) -> Tree:
    tree, at = Tree(), 0
    for step in [*(steps or []), len(lines)]:
        tree.extend([leaf_hash(line) for line in lines[at : at + step]])
        at += step
    return tree


sizes = st.integers(0, 600) | st.sampled_from([255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2000])


@given(sizes, st.lists(st.integers(0, 300), max_size=8))
def test_the_root_is_that_of_the_definition_however_the_tree_has_grown(size: int, steps: list[int]) -> None:
    lines = LINES[:size]
    tree = grown(lines, steps)
    assert (tree.size, tree.root()) == (size, root(lines))
    assert Tree(tree.size, tree.edge).root() == tree.copy().root() == tree.root()


@given(sizes, sizes)
def test_a_tree_that_goes_on_from_its_edge_is_the_same(before: int, more: int) -> None:
    tree = grown(LINES[:before])
    again = Tree(tree.size, tree.edge)
    for each in (tree, again):
        each.extend([leaf_hash(line) for line in LINES[before : before + more]])
    assert again.root() == tree.root() == root(LINES[: before + more])
    assert again.edge == tree.edge


@given(sizes, st.lists(st.integers(0, 400), max_size=6))
def test_what_is_kept_of_a_tree_is_each_level_once_in_order(size: int, steps: list[int]) -> None:
    kept: dict[int, bytes] = {}
    tree, at = Tree(), 0
    for step in [*steps, size]:
        tree.extend([leaf_hash(line) for line in LINES[:size][at : at + step]])
        at += step
        for level, content in enumerate(tree.take_grown()):
            kept[level] = kept.get(level, b"") + content
    for level, content in kept.items():
        span = 256**level
        assert content == b"".join(root(LINES[n * span : (n + 1) * span]) for n in range(size // span))


@given(st.data(), sizes.filter(bool))
def test_the_proof_of_a_record_is_that_of_the_definition(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    lines = LINES[:size]
    proof = [root(lines[begin:end]) for begin, end in inclusion_ranges(index, size)]
    assert proof == path(index, lines)
    leaf, top = leaf_hash(lines[index]), root(lines)
    assert is_included(leaf, index, size, top, proof)
    for wrong in {index - 1, index + 1, index ^ 1, size - 1 - index} - {index}:
        assert not is_included(leaf, wrong, size, top, proof)
    assert not is_included(leaf_hash(b"another"), index, size, top, proof)
    assert not is_included(leaf, index, size, top, [*proof, bytes(32)])
    for at in range(len(proof)):
        assert not is_included(leaf, index, size, top, proof[:at] + proof[at + 1 :])
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        assert not is_included(leaf, index, size, top, [*proof[:at], flipped, *proof[at + 1 :]])


@given(st.data(), sizes.filter(bool))
def test_the_proof_that_a_tree_goes_on_is_that_of_the_definition(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size))
    lines = LINES[:size]
    proof = [root(lines[begin:end]) for begin, end in consistency_ranges(old, size)]
    assert proof == subproof(old, lines)
    before, after = root(lines[:old]), root(lines)
    assert is_consistent(old, before, size, after, proof)
    assert not is_consistent(old, bytes(32), size, after, proof)
    assert not is_consistent(old, before, size, bytes(32), proof)
    assert not is_consistent(old, before, size, after, [*proof, bytes(32)])
    if old > 1:
        assert not is_consistent(old - 1, before, size, after, proof)
    for at in range(len(proof)):
        assert not is_consistent(old, before, size, after, proof[:at] + proof[at + 1 :])
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        assert not is_consistent(old, before, size, after, [*proof[:at], flipped, *proof[at + 1 :]])


@given(sizes)
def test_each_tree_goes_on_from_the_empty_one(size: int) -> None:
    after = root(LINES[:size])
    assert is_consistent(0, EMPTY_ROOT, size, after, [])
    assert is_consistent(0, bytes(32), size, after, []) is False
    assert not is_consistent(0, EMPTY_ROOT, size, after, [bytes(32)])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (10**30, 3), (0, 10**30), (5, 2**70)])
def test_a_place_that_cannot_be_has_no_proof(index: int, size: int) -> None:
    """Numbers come from who is not trusted: they are answered, and soon."""
    assert not is_included(bytes(32), index, size, bytes(32), [])
    assert not is_consistent(index, bytes(32), size, b"\1" * 32, [])


def test_a_leaf_is_no_node() -> None:
    assert leaf_hash(leaf_hash(b"a") + leaf_hash(b"b")) != node_hash(leaf_hash(b"a"), leaf_hash(b"b"))


@pytest.mark.parametrize("edge", [[[]], [[bytes(32)] * 2], [[bytes(32)] * 3, []], []])
def test_an_edge_has_to_be_that_of_its_size(edge: list[list[bytes]]) -> None:
    with pytest.raises(ValueError, match="an edge of"):
        Tree(3, edge)
