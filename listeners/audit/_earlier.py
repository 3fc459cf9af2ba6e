"""What was known of a log earlier, and is not beside it: an examination, or a checkpoint of records not read again."""

from __future__ import annotations

from hubwire.errors import HashesMissing, LogDamaged
from hubwire.log import Head, LogReader, read_kept
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, Tree, TreeHashes, is_consistent, leaf_hash

from ._anchors import Anchors
from ._asked import shorter_than
from ._state import VerifierState

__all__ = ("ReadAgain", "goes_on_from")


class ReadAgain:
    """An examination from which a new one cannot go on: all is read again, and has to have the head that it had.

    It knew no tree of a log that was not signed then, and is now; or what it has read was pruned.
    """

    def __init__(self, state: VerifierState, path: str) -> None:
        self._state = state
        self._path = path
        self._head = Head(state.records, state.h)
        self._is_met: bool = not state.records

    def meet(self, head: Head) -> str | None:
        """Compare the head of as many records; return what is wrong."""
        if head.records != self._head.records:
            return None
        self._is_met = True
        if head == self._head:
            return None
        return (
            f"record {head.records - 1} of the log {self._path} has h {head.h}, and had {self._head.h} when it was"
            " verified last: a record up to there was changed, or the log was written anew"
        )

    def end(self, records: int, anchors: Anchors) -> str | None:
        """Return what is wrong with a log that was read to its end."""
        if anchors.meets(self._head) is False:
            return (
                f"the log {self._path} begins after h {anchors.h} of record {self._head.records - 1}, which was"
                f" {self._head.h} when it was verified last: what was pruned is another log"
            )
        return str(shorter_than(self._state, self._path)) if records < self._head.records else None

    def unseen(self, first: int) -> str | None:
        """Return what could not be compared, of a log that begins with this record now."""
        if self._is_met or first <= self._head.records:
            return None
        return (
            f"whether it goes on from what was verified last: of the {self._head.records:,} records of then, and some"
            " after them, nothing is there"
        )


async def goes_on_from(store: KnowledgeStore, path: str, old: Checkpoint, tree: Tree) -> bool | None:
    """Return whether the records under a tree begin with those of an older checkpoint; None if nothing there says it.

    By the hashes beside the log; where these do not show it, by the records themselves. Raises
    :class:`~hubwire.errors.LogDamaged` if these are no longer those of the tree.
    """
    size, root = tree.size, tree.root()
    has_hashes = True
    try:
        proof = await TreeHashes(store, path).consistency(old.size, size)
    except HashesMissing:
        has_hashes = False
    else:
        if is_consistent(old.size, old.root, size, root, proof):
            return True
    if (await read_kept(store, path)).first:
        return False if has_hashes else None
    anew, reader = Tree(), LogReader(store, path)
    is_met = not old.size and old.root == anew.root()
    while anew.size < size and (records := await reader.read()):
        for record in records[: size - anew.size]:
            anew.extend([leaf_hash(record.line)])
            if anew.size == old.size:
                is_met = anew.root() == old.root
    if anew.size != size or anew.root() != root:
        raise LogDamaged(
            f"the first {size} records of the log {path} are not those that were there when it was verified last: one"
            " of them was changed; restore it from a copy",
            path=path,
        )
    return is_met
