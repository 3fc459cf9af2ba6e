"""The files by which strangers' tools read a signed log, derived from its records and the hashes beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from hubwire.errors import ConfigurationError, HashesMissing, LogDamaged, LogRolledBack
from hubwire.log import LogReader, read_kept
from hubwire.ports import KnowledgeStore, normalize_path
from hubwire.proof import (
    TILE_WIDTH,
    Checkpoint,
    Tree,
    TreeHashes,
    bundle,
    leaf_hash,
    tile_path,
    tile_widths,
)
from hubwire.waking import Slices

from . import _arguments
from ._signing import read_newest
from .stand_ins import Leaves

__all__ = ("tiles",)

_HEIGHT = 8
_SLICE_SECONDS = 0.002


async def tiles(
    store: KnowledgeStore, *, path: str = "/audit", since: Checkpoint | None = None, whole: bool = False
) -> AsyncIterator[tuple[str, bytes]]:
    """Iterate over the files of a tiled log as C2SP has them: paths and contents, the checkpoint last.

    They are tiles of hashes, bundles of records and the newest ``checkpoint``, to be served below one address. Written
    in this order, a reader finds all that the checkpoint speaks of. ``since`` is the checkpoint up to which they were
    written before: only what has changed comes, and a log that does not go on from it is refused. With ``whole`` all
    comes all the same, from the records alone. Of records that were pruned there is no bundle; their tiles come, from
    the hashes beside the log. It only reads, also beside the log's writer.

    Raises :class:`~hubwire.errors.ConfigurationError` for a log that is not signed,
    :class:`~hubwire.errors.LogRolledBack` if it does not go on from ``since``, and :class:`~hubwire.errors.LogDamaged`
    if its records are not those that were signed, both at the end, before the checkpoint;
    :class:`~hubwire.errors.HashesMissing` if hashes beside it lack or are damaged: try again with ``whole``.
    """
    store, path = _arguments.store_for(store), normalize_path(path)
    if since is not None and type(since) is not Checkpoint:
        raise ConfigurationError(f"tiles(): since is a Checkpoint or None, not {type(since).__name__}")
    _arguments.flag("tiles(): whole", whole)
    found = await read_newest(store, path)
    if found is None:
        raise ConfigurationError(
            f"the log {path} is not signed, so that it has no checkpoint for the readers of tiles; give it a signer"
        )
    note, checkpoint = found
    if since is not None and (since.origin != checkpoint.origin or since.size > checkpoint.size):
        raise _other(path, since, f"has a checkpoint of {checkpoint.size} records of {checkpoint.origin!r:.120}")
    tiling = _Tiling(store, path, checkpoint, since)
    async for each in tiling.files(is_whole=whole):
        yield each
    yield "checkpoint", str(note).encode()


class _Tiling:
    """One run over a log."""

    def __init__(self, store: KnowledgeStore, path: str, checkpoint: Checkpoint, since: Checkpoint | None) -> None:
        self._store = store
        self._path = path
        self._checkpoint = checkpoint
        self._since = since
        self._hashes = TreeHashes(store, path)
        self._levels: list[list[bytes]] = []
        """The hashes of each level that make no full tile yet."""
        self._lines: list[bytes] = []

    async def files(self, *, is_whole: bool) -> AsyncIterator[tuple[str, bytes]]:
        """Iterate over all files but the checkpoint."""
        size, since = self._checkpoint.size, self._since
        first = (await read_kept(self._store, self._path)).first
        known = 0 if since is None or is_whole else since.size - since.size % TILE_WIDTH
        begin = max(known, -(-first // TILE_WIDTH) * TILE_WIDTH)
        has_records = begin <= size
        begin = min(begin, size)
        for each in await self._kept_tiles(known, begin) if begin > known else ():
            yield each
        if since is not None and since.size < begin:
            self._see_since(await self._hashes.tree(since.size))
        tree = await self._hashes.tree(begin)
        self._see_since(tree)
        self._levels = [list(edge) for edge in tree.edge]
        if has_records:
            async for each in self._read(tree):
                yield each
        self._check(tree, is_from_hashes=begin > 0, is_pruned=first > 0)
        for level, full, width in tile_widths(size):
            if width:
                yield tile_path(level, full, width), b"".join(self._levels[level])
        if self._lines:
            yield tile_path(None, size // TILE_WIDTH, len(self._lines)), bundle(self._lines)

    async def _kept_tiles(self, known: int, begin: int) -> list[tuple[str, bytes]]:
        """Return the full tiles above records that are not read: those that were pruned."""
        found = []
        for (level, before, _), (_, full, _) in zip(_widths(known, begin), tile_widths(begin), strict=False):
            for index in range(before, full):
                wanted = [(_HEIGHT * level, index * TILE_WIDTH + at) for at in range(TILE_WIDTH)]
                found.append((tile_path(level, index), b"".join(await self._hashes.hashes(wanted))))
        return found

    async def _read(self, tree: Tree) -> AsyncIterator[tuple[str, bytes]]:
        """Add the records that the tree lacks; yield what becomes full."""
        size, slices = self._checkpoint.size, Slices(_SLICE_SECONDS, 1.0)
        reader, leaves = LogReader(self._store, self._path), await Leaves.of_log(self._store, self._path)
        if tree.size < size:
            await reader.seek_index(tree.size)
        while tree.size < size:
            records = await reader.read()
            if not records:
                raise _rolled_back(self._path, f"ends at record {tree.size}, and its checkpoint speaks of {size}")
            for record in records:
                if record.index != tree.size or record.index >= size:
                    continue
                if leaves.stand_in(record) is not None:
                    raise ConfigurationError(
                        f"record {record.index} is withheld from {self._path}, which is a redacted copy: tiles have all"
                        " records of a log. Make them from the log that it is a copy of"
                    )
                self._lines.append(record.line)
                tree.extend([leaf_hash(record.line)])
                self._see_since(tree)
                if len(self._lines) == TILE_WIDTH:
                    for each in self._full(tree):
                        yield each
                    await slices.cut()
        self._grow(tree)

    def _full(self, tree: Tree) -> Iterator[tuple[str, bytes]]:
        """Yield the tiles that have become full with a bundle."""
        yield tile_path(None, tree.size // TILE_WIDTH - 1), bundle(self._lines)
        self._lines = []
        self._grow(tree)
        for level, hashes in enumerate(self._levels):
            if len(hashes) >= TILE_WIDTH:
                yield tile_path(level, (tree.size >> _HEIGHT * (level + 1)) - 1), b"".join(hashes[:TILE_WIDTH])
                del hashes[:TILE_WIDTH]

    def _grow(self, tree: Tree) -> None:
        for level, content in enumerate(tree.take_grown()):
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level] += [content[at : at + 32] for at in range(0, len(content), 32)]

    def _see_since(self, tree: Tree) -> None:
        since = self._since
        if since is not None and since.size == tree.size and tree.root() != since.root:
            raise _other(self._path, since, "has other records")

    def _check(self, tree: Tree, *, is_from_hashes: bool, is_pruned: bool) -> None:
        if tree.root() == self._checkpoint.root:
            return
        if is_from_hashes:
            then = "restore them from a copy" if is_pruned else "write all tiles anew, from the records"
            raise HashesMissing(
                f"the hashes in {self._path}/tree are not those of its checkpoint; {then}", path=f"{self._path}/tree"
            )
        raise LogDamaged(
            f"the log {self._path} is not the one of which its checkpoint over {self._checkpoint.size} records speaks:"
            " what was signed was changed since. `hubwire verify` says more",
            path=self._path,
        )


def _widths(known: int, begin: int) -> Iterator[tuple[int, int, int]]:
    """Iterate like :func:`tile_widths` over ``known``, for as many levels as ``begin`` has."""
    for level, _, _ in tile_widths(begin):
        at = known >> _HEIGHT * level
        yield level, at // TILE_WIDTH, at % TILE_WIDTH


def _other(path: str, since: Checkpoint, what: str) -> LogRolledBack:
    return _rolled_back(
        path, f"{what}, and the tiles were written before up to {since.size} records of {since.origin!r:.120}"
    )


def _rolled_back(path: str, what: str) -> LogRolledBack:
    return LogRolledBack(
        f"the log {path} {what}: it is another log, or was restored from an older copy, or changed. Its tiles were left"
        " as they are; find the right store, or write the tiles of this one to another place",
        path=path,
    )
