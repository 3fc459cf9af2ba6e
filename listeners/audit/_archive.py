"""Archiving: what is about to be pruned, copied to another store first, where it is a log that goes on.

The files have the paths that they have in the log, and the same content: the lines do not change, so all proofs hold.
The order is: what says where the archive begins, if that is not record 0; files of long records; segments, the oldest
first, each whole or not at all; checkpoints. A copy that a crash has ended is finished by the next pruning. Nothing is
removed from the log before all of it is read back from the archive as it is in the log.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from hubwire.errors import AlreadyExists, ConfigurationError, HubError, LogDamaged, StoreError
from hubwire.log import LogReader, list_segments, read_kept, segment_path
from hubwire.ports import CompactableStore, KnowledgeStore

from ._archived_contents import ArchivedContents
from ._beginning import Anchor, Note
from ._plan import Plan
from ._signing import archived_path, archived_sizes, newest_path
from .blobs import Blob

__all__ = ("Archive",)


class Archive:
    """The archive of one log."""

    def __init__(self, store: KnowledgeStore, archive: KnowledgeStore, path: str) -> None:
        self._store = store
        self._archive = archive
        self._path = path
        self._scope: anyio.CancelScope | None = None

    def __str__(self) -> str:
        return f"{self._archive!r:.200}"

    async def take(self, plan: Plan, before: Anchor, digests: Iterable[str], *, has_erasable: bool) -> None:
        """Copy the segments of a plan, and what belongs to them; ``before`` is where the log begins now.

        Erasable contents are not archived: an erasure would not reach them there. ``has_erasable`` says that records
        have commitments: all their contents have to be erased. Raises :class:`~hubwire.errors.ConfigurationError` if
        one is not, if it is no archive of this log, or lacks records; and what the two stores raise.
        """
        with anyio.CancelScope() as self._scope:
            await self._begin(plan, before)
            if has_erasable:
                contents = ArchivedContents(self._store, self._archive, self._path)
                await contents.take(plan.begins, plan.first)
            for digest in digests:
                await self._copy(f"{self._path}/{Blob(digest, 0).name}")
            for first in plan.segments:
                await self._copy(segment_path(self._path, first))
            await self._copy_checkpoints(plan.first)
        if self._scope.cancelled_caught:
            raise StoreError(
                f"the log {self._path} was closed while it was archived to {self}; the next pruning goes on"
            )
        await self._compact(plan)

    def give_up(self) -> None:
        """End a copy under way: the log is closed, and does not wait for another store."""
        if self._scope is not None:
            self._scope.cancel()

    async def _begin(self, plan: Plan, before: Anchor) -> None:
        """See that the archive goes on where it ends, and is another store than that of the log."""
        newest = (await list_segments(self._store, self._path))[-1]
        if await self._archive.exists(segment_path(self._path, newest)):
            raise ConfigurationError(
                f"the archive of the log {self._path} has its newest segment, {segment_path(self._path, newest)}: it is"
                f" the store of the log itself, or a copy of it. Give another store, or an empty one; {self} is this"
            )
        there = await list_segments(self._archive, self._path)
        if not there:
            if plan.begins:
                await Note(before, before).write(self._archive, self._path)
                await self._archive.write(f"{self._path}/kept", (await read_kept(self._store, self._path)).encode())
            return
        if there[0] > plan.begins:
            raise ConfigurationError(
                f"the archive {self} of {self._path} begins with record {there[0]}, and the log still has record"
                f" {plan.begins}: it is the archive of another log, or the log was restored from an older copy. Nothing"
                " was pruned; give an empty archive"
            )
        await self._check_end(there, plan, before)

    async def _check_end(self, there: list[int], plan: Plan, before: Anchor) -> None:
        """See that no record lacks between the archive and the log."""
        if there[-1] >= plan.begins:  # an earlier pruning has copied it, and was ended
            return
        reader = LogReader(self._archive, self._path)
        records, h = there[-1], ""
        try:
            await reader.seek_index(there[-1])
            while found := await reader.read():
                records, h = found[-1].index + 1, (found[-1].chain or b"").decode()
        except HubError as error:
            raise ConfigurationError(
                f"the archive {self} of the log {self._path} cannot be read: {error}. Nothing was pruned; restore the"
                " archive, or give an empty one"
            ) from error
        if (records, h) != (plan.begins, before.h):
            raise ConfigurationError(
                f"the archive {self} ends before record {records} of {self._path}, and the log begins with record"
                f" {plan.begins}: records lack between them, or it is the archive of another log. Nothing was pruned;"
                " give the right archive, or an empty one, in which what lacks is not"
            )

    async def _copy(self, file: str) -> None:
        content = await self._store.read_bytes(file)
        if content is None:
            raise LogDamaged(f"{file} is missing: it was to be archived to {self}, and was not pruned", path=file)
        if await self._archive.read_bytes(file) == content:
            return
        try:
            await self._archive.write(file, content, if_absent=True)
        except AlreadyExists:
            if not file.startswith(f"{self._path}/checkpoints/"):
                raise ConfigurationError(
                    f"{file} is in the archive {self}, with another content than in the log: it is the archive of"
                    " another log, or was changed. Nothing was pruned; give another archive, or restore that file"
                ) from None
            await self._archive.write(file, content)  # witnesses may have signed it since
        if await self._archive.read_bytes(file) != content:
            raise StoreError(f"{file} was read back from the archive {self} as another content; nothing was pruned")

    async def _copy_checkpoints(self, first: int) -> None:
        """Copy those over records that are in the archive; the last of them is the newest one there."""
        sizes = [size for size in await archived_sizes(self._store, self._path) if size <= first]
        for size in sizes:
            await self._copy(archived_path(self._path, size))
            if await self._store.exists(stamp := f"{archived_path(self._path, size)}.tsr"):
                await self._copy(stamp)
        if sizes:
            newest = await self._store.read_bytes(archived_path(self._path, sizes[-1]))
            await self._archive.write(newest_path(self._path), newest or b"")

    async def _compact(self, plan: Plan) -> None:
        """Have the archive merge and compress what it was given, if it does that."""
        if isinstance(self._archive, CompactableStore):
            for first in plan.segments:
                await self._archive.compact(segment_path(self._path, first))
