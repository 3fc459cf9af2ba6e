"""Proofs about a signed log, from the hashes beside it; or, where those lack or are damaged, from its records."""

from __future__ import annotations

from collections.abc import Sequence

from hubwire.errors import ConfigurationError, HashesMissing, InvalidRecord, LogDamaged, NotFound
from hubwire.log import LogReader, Record, read_kept
from hubwire.ports import KnowledgeStore, normalize_path
from hubwire.proof import (
    Checkpoint,
    InclusionProof,
    Tree,
    TreeHashes,
    inclusion_ranges,
    is_included,
    leaf_hash,
)
from hubwire.waking import Slices

from . import _arguments
from ._signing import read_newest
from .stand_ins import Leaves

__all__ = ("prove", "range_roots")

_TOGETHER = 64
_SLICE_SECONDS = 0.002


async def prove(store: KnowledgeStore, index: int, *, path: str = "/audit", with_line: bool = True) -> InclusionProof:
    """Return a proof that the record numbered ``index`` is in a signed log, under its newest checkpoint.

    It only reads, also beside the log's writer; no key is needed, and no signature is checked: that is for
    :meth:`~hubwire.proof.InclusionProof.verify`. The hashes beside the log are used; where they lack, or are damaged,
    all records are read. ``with_line``: the line of the record is in the proof as ``extra``, if the log still has it.

    Raises :class:`~hubwire.errors.ConfigurationError` for a log that is not signed, :class:`~hubwire.errors.NotFound`
    for a record that is under no checkpoint, :class:`~hubwire.errors.LogDamaged` if the records are not those that
    were signed, and :class:`~hubwire.errors.CheckpointInvalid` if the checkpoint is damaged.
    """
    if type(index) is not int:
        raise InvalidRecord(f"prove(): index is the number of a record, from 0, not {type(index).__name__}")
    _arguments.flag("with_line", with_line)
    store, path = _arguments.store_for(store), normalize_path(path)
    found = await read_newest(store, path)
    if found is None:
        raise ConfigurationError(
            f"the log {path} is not signed, so that none of its records can be proved; give it a signer, as in"
            " AuditLog(store, signer=KeySigner.from_file('audit.key'))"
        )
    note, checkpoint = found
    if not 0 <= index < checkpoint.size:
        raise NotFound(
            f"record {index} of the log {path} is under no checkpoint: the newest one is over its first"
            f" {checkpoint.size} records; a program that signs it writes the next one within seconds"
        )
    record = await _record(store, path, index)
    hashes = await _hashes(store, path, index, checkpoint, record)
    return InclusionProof(index, tuple(hashes), note, record.line if record is not None and with_line else None)


async def _record(store: KnowledgeStore, path: str, index: int) -> Record | None:
    """Return a record; None if the log does not have it any more."""
    if index < (await read_kept(store, path)).first:
        return None
    reader = LogReader(store, path)
    await reader.seek_index(index)
    found = next((each for each in await reader.read() if each.index == index), None)
    if found is not None and (await Leaves.of_log(store, path)).stand_in(found) is not None:
        return None  # it is withheld from this copy
    return found


async def _hashes(
    store: KnowledgeStore, path: str, index: int, checkpoint: Checkpoint, record: Record | None
) -> Sequence[bytes]:
    size, root = checkpoint.size, checkpoint.root
    kept = TreeHashes(store, path)
    try:
        leaf = leaf_hash(record.line) if record is not None else (await kept.hashes([(0, index)]))[0]
        hashes = await kept.inclusion(index, size)
        if is_included(leaf, index, size, root, hashes):
            return hashes
        failure = None
    except HashesMissing as error:
        failure = error
    first = (await read_kept(store, path)).first
    if first:
        raise failure or LogDamaged(
            f"the hashes in {path}/tree are not those of the checkpoint, and the records before {first} are gone, of"
            f" which they could be made anew; restore {path}/tree from a copy",
            path=f"{path}/tree",
        )
    hashes = await range_roots(store, path, inclusion_ranges(index, size))
    if record is not None:
        leaf = leaf_hash(record.line)
    else:
        (leaf,) = await range_roots(store, path, [(index, index + 1)])
    if not is_included(leaf, index, size, root, hashes):
        raise LogDamaged(
            f"the log {path} is not the one of which its checkpoint over {size} records speaks: what was signed was"
            " changed since. `hubwire verify` says more",
            path=path,
        )
    return hashes


async def range_roots(store: KnowledgeStore, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the roots over ranges of records, no two of which have one in common; the records are read."""
    trees = {span: Tree() for span in ranges}
    wanted = sorted(span for span in ranges if span[0] < span[1])
    slices = Slices(_SLICE_SECONDS, 1.0)
    reader, leaves = LogReader(store, path), await Leaves.of_log(store, path)
    while wanted and (records := await reader.read()):
        for at in range(0, len(records), _TOGETHER):
            some = [(each.index, leaves.of(each)) for each in records[at : at + _TOGETHER]]
            while wanted and some:
                begin, end = wanted[0]
                trees[wanted[0]].extend([leaf for index, leaf in some if begin <= index < end])
                some = [each for each in some if each[0] >= end]
                if some:
                    wanted.pop(0)
            await slices.cut()
    return [trees[span].root() for span in ranges]
