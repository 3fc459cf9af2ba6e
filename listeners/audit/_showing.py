"""What others need to see that some records are in a signed log, beside these records."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from hubwire.errors import CheckpointInvalid, HashesMissing, InvalidRecord
from hubwire.log import read_kept
from hubwire.ports import KnowledgeStore, normalize_path
from hubwire.proof import Note, SignedPart, TreeHashes, VerifierKey, absent_ranges

from . import _arguments
from ._handing_over import handovers_of
from ._proving import range_roots
from ._signing import read_newest, witnessed_path
from ._witnessed import witnesses_of

__all__ = ("signed_part",)


async def signed_part(
    store: KnowledgeStore,
    shown: Sequence[int],
    *,
    path: str = "/audit",
    vkey: VerifierKey | str | None = None,
    witnesses: Iterable[VerifierKey | str] = (),
) -> SignedPart | None:
    """Return what shows, with the records of these numbers, that they are in a signed log; None if it is not signed.

    ``shown`` are the numbers of records, in ascending order, a ``range`` for all of them. ``vkey`` goes along, for
    readers that have no key of the log yet, and so do the keys of ``witnesses``. It only reads, and checks no
    signature and no hash: that is for who is shown the records. Where not all are, the log is
    read once, for the hashes of the others.

    Raises :class:`~hubwire.errors.InvalidRecord` for numbers that are none, or not in ascending order,
    :class:`~hubwire.errors.CheckpointInvalid` if the checkpoint is damaged, or ``vkey`` is no key, or a witness's is
    none, and what the store raises.
    """
    key = vkey if vkey is None or type(vkey) is VerifierKey else VerifierKey.parse(vkey)
    trusted = witnesses_of(witnesses, None, "").keys
    _check_numbers(shown)
    store, path = _arguments.store_for(store), normalize_path(path)
    found = await read_newest(store, path)
    if found is None:
        return None
    note, checkpoint = found
    hashes, handovers = await _hashes(store, path, shown, checkpoint.size), await handovers_of(store, path)
    return SignedPart(note, hashes, handovers, key, await _witnessed(store, path, note), trusted)


async def _witnessed(store: KnowledgeStore, path: str, newest: Note) -> Note | None:
    """Return the newest checkpoint that witnesses have seen, if it is not the newest one."""
    content = await store.read_bytes(witnessed_path(path))
    if content is None:
        return None
    try:
        note = Note.parse(content)
    except CheckpointInvalid:  # that it is damaged is for `verify` to say
        return None
    return None if note.text == newest.text and set(note.signatures) <= set(newest.signatures) else note


def _check_numbers(shown: object) -> None:
    if type(shown) is range and shown.start >= 0 and shown.step == 1:
        return
    if type(shown) in (list, tuple, array):
        before = -1
        for number in shown:  # type: ignore[attr-defined] # it is one of these
            if type(number) is not int or number <= before:
                break
            before = number
        else:
            return
    raise InvalidRecord(
        "signed_part(): shown are the numbers of records, each greater than the one before, in a list, tuple, array or"
        f" range, not {type(shown).__name__}"
    )


async def _hashes(store: KnowledgeStore, path: str, shown: Sequence[int], size: int) -> bytes | None:
    ranges = absent_ranges(shown, size)
    first, kept = (await read_kept(store, path)).first, TreeHashes(store, path)
    try:
        gone = [await kept.root(begin, end) for begin, end in ranges if begin < first]
    except HashesMissing:
        return None
    rest = [span for span in ranges if span[0] >= first]
    return b"".join((*gone, *(await range_roots(store, path, rest) if rest else ())))
