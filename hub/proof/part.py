"""What is needed beside some records of a signed log to show, without the others, that they are in it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import attrs

from .._values import Value
from .note import Note, VerifierKey

__all__ = ("SignedPart", "absent_ranges")


@attrs.frozen(eq=False, repr=False)
class SignedPart(Value):
    """A checkpoint, and the hashes of the records that are not shown: with those that are, they yield its root.

    Nothing of it is checked here: who is shown the records does that, as the page of a report.
    """

    note: Note
    """The checkpoint of the log."""
    hashes: bytes | None = attrs.field(default=None, repr=False)
    """The roots over :func:`absent_ranges`, 32 bytes each, one after the other; None where the log has lost them."""
    handovers: tuple[Note, ...] = ()
    """The checkpoints by which one key has handed over to the next, in their order."""
    vkey: VerifierKey | None = None
    """The verifier key, if it goes along: who has it from there only, believes the one who made the part."""
    witnessed: Note | None = None
    """The newest checkpoint that enough witnesses have seen, with their cosignatures, if that is an older one."""
    witnesses: tuple[VerifierKey, ...] = ()
    """The verifier keys of witnesses, if they go along: who has them from there only, believes as much."""


def absent_ranges(shown: Sequence[int], size: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves, from left to right, that show with those of ``shown`` the root of a tree.

    They are as large as can be: each is a subtree of the tree of ``size`` leaves, without any of ``shown`` in it.
    ``shown`` are numbers of leaves, in ascending order; those behind the tree do not count.
    """
    found: list[tuple[int, int]] = []
    todo = [(0, size, 0, bisect_left(shown, size))] if size else []
    while todo:
        begin, end, low, high = todo.pop()
        if low == high:
            found.append((begin, end))
        elif high - low < end - begin:
            middle = begin + (1 << (end - begin - 1).bit_length() - 1)
            between = bisect_left(shown, middle, low, high)
            todo.append((middle, end, between, high))
            todo.append((begin, middle, low, between))
    return found
