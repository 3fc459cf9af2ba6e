"""The tree of a signed log while it is written: found when the log is opened, grown by each batch, kept beside it."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from hubwire.errors import HashesMissing, LogDamaged, LogRolledBack
from hubwire.log import LogReader, list_segments, read_kept, segment_path
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, Tree, TreeHashes, leaf_hash
from hubwire.waking import Slices

__all__ = ("GrowingTree",)

_PENDING_MAX = 16_384
"""Half a megabyte of hashes are appended at once; after a crash as many records are read anew."""

_END_BYTES = 128 * 1024
"""A record has half as much at most."""

_TOGETHER = 64
_SLICE_SECONDS = 0.002

_sha256 = hashlib.sha256


class GrowingTree:
    """The tree over all lines of a log that are stored."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self.hashes = TreeHashes(store, path)
        self.tree: Tree | None = None
        """None as long as it was not found."""
        self._store = store
        self._path = path
        self._kept: int = 0
        """How many records the files beside the log cover."""
        self._waiting: list[tuple[int, list[bytes]]] | None = None
        """What was appended while the tree was looked for; None while it is not."""

    # -- while the log grows --

    def lines(self, first: int, content: bytes) -> None:
        """Take the lines of records that are durable now."""
        tree = self.tree
        if tree is None and self._waiting is None:
            return
        lines = content.split(b"\n")
        lines.pop()
        leaves = [_sha256(b"\0" + line).digest() for line in lines]
        if tree is None or tree.size != first:
            if self._waiting is not None:
                self._waiting.append((first, leaves))
            else:
                self.forget()  # the log was cut, or written by another: it is found anew
        else:
            tree.extend(leaves)

    def forget(self) -> None:
        """Let the tree be found anew when it is needed next."""
        self.tree, self._waiting = None, None

    async def keep(self, *, is_due: bool) -> None:
        """Append the hashes of what came since the last time to the files beside it, if it is due or they are many."""
        tree = self.tree
        if tree is None or tree.grown < (1 if is_due else _PENDING_MAX):
            return
        before, self._kept = self._kept, tree.size
        grown = tree.take_grown()
        try:
            await self.hashes.append(grown, before)
        except BaseException:
            self.forget()  # what was taken out is read again from the records
            raise

    def begin_anew(self, tree: Tree, kept: int) -> None:
        """Go on with a tree whatever the checkpoint says; of ``kept`` records the hashes are beside the log."""
        self.tree, self._kept = tree, kept

    # -- when the log is opened --

    async def find(self, records: int, newest: Checkpoint | None) -> Tree:
        """Find the tree over a log that has so many records, and see that it goes on from its newest checkpoint.

        Raises :class:`~hubwire.errors.LogRolledBack` if it does not, and :class:`~hubwire.errors.LogDamaged` for a
        log that began to be signed after records of it were pruned.
        """
        self.tree, self._waiting = None, []
        try:
            self.tree = tree = await self._found(records, newest)
        finally:
            waiting, self._waiting = self._waiting or [], None
        for first, leaves in waiting:
            if first == tree.size:
                tree.extend(leaves)
        return tree

    async def _found(self, records: int, newest: Checkpoint | None) -> Tree:
        covered, signed = await self.hashes.size(), 0 if newest is None else newest.size
        for what, size in (("its checkpoint", signed), ("its tree", covered)):
            if size > records:
                raise self._rolled_back(
                    f"has {records} records, and {what} speaks of {size}: records that were stored are missing"
                )
        begin, base = (await read_kept(self._store, self._path)).first, min(covered, signed)
        if base < begin:
            raise self._unsignable(begin)
        # Hashes behind the checkpoint are not believed: a damaged one would be signed.
        with suppress(HashesMissing):
            tree = await self.hashes.tree(base)
            is_same = await self._has_last(records, base)
            if newest is None or (is_same and await self._read(tree, records, newest) == newest.root):
                return await self._read_on(tree, records, base)
        if begin:
            raise self._unsignable(begin)
        tree = Tree()
        if newest is not None and await self._read(tree, records, newest) != newest.root:
            raise self._rolled_back(
                f"is not the one of which its checkpoint of {newest.size} records speaks: a record before that is not"
                " what was signed"
            )
        await self.hashes.remake()
        return await self._read_on(tree, records, 0)

    async def _has_last(self, records: int, base: int) -> bool:
        """Return whether the last record that the hashes cover is the one of its hash, where it is at the end.

        The others are read when the log is verified: opening does not read all of it.
        """
        segments = await list_segments(self._store, self._path)
        if not base or not segments or segments[-1] >= base:
            return True
        reader = LogReader(self._store, self._path)
        if base == records:
            path = segment_path(self._path, segments[-1])
            size = await self._store.size(path) or 0
            end = await self._store.read_bytes(path, max(0, size - _END_BYTES), size) or b""
            line = end.removesuffix(b"\n").rpartition(b"\n")[2]
        else:
            await reader.seek_index(base - 1)
            found = await reader.read()
            line = found[0].line if found else b""
        return [leaf_hash(line)] == await self.hashes.hashes([(0, base - 1)])

    async def _read_on(self, tree: Tree, records: int, kept: int) -> Tree:
        await self._read(tree, records, None)
        self._kept = kept
        return tree

    async def _read(self, tree: Tree, records: int, newest: Checkpoint | None) -> bytes:
        """Add the records that a tree lacks, up to the checkpoint, or all; return its root there."""
        end = records if newest is None else newest.size
        slices = Slices(_SLICE_SECONDS, 1.0)
        reader = LogReader(self._store, self._path)
        if tree.size < end:
            await reader.seek_index(tree.size)
        while tree.size < end:
            found = await reader.read()
            if not found:
                raise LogDamaged(
                    f"the log {self._path} ends at record {tree.size}, and had {records} when it was opened; restore it"
                    " from a copy",
                    path=self._path,
                )
            for at in range(0, len(found), _TOGETHER):
                tree.extend([leaf_hash(each.line) for each in found[at : at + _TOGETHER] if each.index < end])
                await slices.cut()
        return tree.root()

    def _rolled_back(self, what: str) -> LogRolledBack:
        return LogRolledBack(
            f"the log {self._path} {what}. It was restored from an older copy, or changed. Nothing was changed now;"
            " give the hub the store with the newest records. If those are lost: hubwire log fork STORE --log"
            f" {self._path} --reason WHY --key KEY goes on with what is here, with a key of another name, and says so",
            path=self._path,
        )

    def _unsignable(self, begin: int) -> LogDamaged:
        return LogDamaged(
            f"the log {self._path} begins at record {begin}, and the hashes of those before it are not beside it, or"
            f" are damaged: they cannot be made anew. Restore {self._path}/tree from a copy; or, if this log was never"
            " signed before, sign a new one at another path",
            path=self._path,
        )
