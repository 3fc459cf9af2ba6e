"""Making indexes: of the sealed segments of a log that have none, and of what the last one has."""

from __future__ import annotations

from zlib import crc32

import attrs

from .. import codec
from .._foreign.arguments import Call, has_method
from .._values import Value
from ..errors import ConfigurationError, HistoryGone, InvalidRecord, LogDamaged
from ..log import Place, read_kept, segment_path
from ..ports import KnowledgeStore, normalize_path
from ._growing import index_growing
from ._index import TAIL_BYTES, encode_index, growing_path, index_path
from ._learning import Making
from ._looked import Looked
from ._matching import BadLine
from ._pieces import Pieces
from ._plans import Plans

__all__ = ("Indexed", "drop_indexes", "index_log")

_LINE_BYTES = 128 * 1024


@attrs.frozen(eq=False, repr=False)
class Indexed(Value):
    """What :func:`index_log` has done."""

    segments: int
    """How many sealed segments the log has."""
    made: int
    """How many indexes were written: for segments that had none, or one that did not fit."""
    growing_bytes: int = 0
    """How many bytes of the last segment its index covers now."""


async def index_log(store: KnowledgeStore, path: str = "/audit", *, check: bool = True, sealed: bool = True) -> Indexed:
    """Write an index beside each sealed segment of an audit log that has none, and return what was done.

    The last segment, which grows, has an index of what it has now, if that is 256 KiB more than its index covers: what
    comes later is read without one. It is replaced by a longer one, and by that of all when the segment is sealed.

    A query finds by them a narrow range of a large log without reading the rest. They are files of their own, below
    ``index`` in the path of the log, and take less than a hundredth of it; the log itself is only read, also while it
    is written. They can be deleted at any time. Pruning deletes those of what it prunes. ``check``: whether those that
    are there already are looked at, and made again if they do not fit. ``sealed``: whether sealed segments are
    indexed at all; without them, only the end of the log is read.

    Raises :class:`~hubwire.errors.LogDamaged` at a segment that cannot be read, and
    :class:`~hubwire.errors.ConfigurationError` for a log that is not chained, such as a journal: what is truncated
    there would live on in them.
    """
    call = Call("index_log()", ConfigurationError)
    if not has_method(store, "read_bytes"):
        raise call.refusal("store", store, "a KnowledgeStore", "write FileStore('./data'), or open_store(url)")
    path = normalize_path(path)
    check, sealed = call.flag("check", check), call.flag("sealed", sealed)
    pieces = Pieces(store, path, Looked())
    plans = Plans(store, path, Looked())
    segments = await pieces.segments()
    if segments:
        await _check_chained(store, path, segments[0])
    made, growing = 0, await plans.growing()
    for first in segments[:-1] if sealed else ():
        if not await (plans.fits(first) if check else plans.has(first)):
            try:
                await _index(store, path, pieces, first)
            except HistoryGone:  # it was pruned meanwhile
                continue
            made += 1
        if first in growing:  # after it has one of all, so that it has one at any time
            await store.delete(growing_path(path, first))
    growing_bytes = await index_growing(store, path, segments[-1]) if segments else 0
    await drop_indexes(store, path, (await read_kept(store, path)).first)  # it may have been pruned meanwhile
    return Indexed(max(len(segments) - 1, 0), made, growing_bytes)


async def drop_indexes(store: KnowledgeStore, path: str, before: int) -> None:
    """Delete the indexes of the segments before this one, which are not there any more."""
    for name in await store.list(f"{path}/index"):
        if name[:20].isdecimal() and int(name[:20]) < before:
            await store.delete(f"{path}/index/{name}")


async def _check_chained(store: KnowledgeStore, path: str, first: int) -> None:
    content = await store.read_bytes(segment_path(path, first), 0, _LINE_BYTES) or b""
    line, feed, _ = content.partition(b"\n")
    try:
        chain = codec.seal_of(line)[1] if feed else b"?"  # an audit log cuts longer records
    except InvalidRecord:
        chain = None
    if chain is None:
        raise ConfigurationError(f"index_log(): {path} is a journal, or no log of hubwire's; index an audit log")


async def _index(store: KnowledgeStore, path: str, pieces: Pieces, first: int) -> None:
    made = Making()
    end = 0
    async for piece in pieces.of_segment(Place(first, first)):
        try:
            made.add(piece)
        except BadLine as bad:
            at = sum(len(line) + 1 for line in piece.content.split(b"\n")[: bad.number]) + piece.place.offset
            raise LogDamaged(
                f"{segment_path(path, first)} is damaged at byte {at}: {bad}; restore it from a copy",
                path=segment_path(path, first),
                byte_offset=at,
            ) from bad
        end = piece.end.offset
    tail = await store.read_bytes(segment_path(path, first), max(end - TAIL_BYTES, 0), end) or b""
    content = encode_index(first, end, crc32(tail), made.blocks, await made.keys(), made.names)
    await store.write(index_path(path, first), content)
