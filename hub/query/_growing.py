"""The index of the segment that grows: of what it has by now, a stretch more each time."""

from __future__ import annotations

from zlib import crc32

from ..log import Place, segment_path
from ..ports import KnowledgeStore
from ._index import TAIL_BYTES, Stretch, encode_growing, growing_path
from ._learning import Making
from ._looked import Looked
from ._matching import BadLine
from ._pieces import Pieces
from ._plans import Covered, Plans

__all__ = ("GROWTH_BYTES_MIN", "STRETCH_BYTES", "index_growing")

STRETCH_BYTES = 4 * 1024 * 1024
"""A filter is over so much: what was learnt for it is all that is held in memory of the texts of the log."""

GROWTH_BYTES_MIN = 256 * 1024
"""So much is read in the time of two requests for an index."""


async def index_growing(
    store: KnowledgeStore,
    path: str,
    first: int,
    *,
    growth_bytes_min: int = GROWTH_BYTES_MIN,
    stretch_bytes: int = STRETCH_BYTES,
) -> int:
    """Have the index of a segment cover what it has now; return how many bytes that covers then.

    It is not written anew for less than so many bytes more. What it covers ends before a line that is no record, which
    a crash may have left.
    """
    found = await Plans(store, path, Looked()).covered(first)
    covered = Covered(Place(first, first)) if found is None else found
    size = await store.size(segment_path(path, first)) or 0
    if size - covered.end.offset < growth_bytes_min:
        if found is None:  # one of another history may name what is not in the log any more
            await store.delete(growing_path(path, first))
        return covered.end.offset
    longer = await _longer(Pieces(store, path, Looked()), covered, size, stretch_bytes)
    end = longer.end.offset
    if end == covered.end.offset:
        return end
    tail = await store.read_bytes(segment_path(path, first), max(end - TAIL_BYTES, 0), end) or b""
    content = encode_growing(first, end, crc32(tail), list(longer.blocks), list(longer.stretches), list(longer.names))
    await store.write(growing_path(path, first), content)
    return end


async def _longer(pieces: Pieces, covered: Covered, size: int, stretch_bytes: int) -> Covered:
    """Return what is known with what follows, up to the size that a segment has."""
    blocks, stretches, names = list(covered.blocks), list(covered.stretches), list(covered.names)
    end, made = covered.end, Making()

    async def end_stretch() -> None:
        if made.blocks:
            blocks.extend(made.blocks)
            names.extend(made.names)
            stretches.append(Stretch(len(made.blocks), (await made.keys()).bits))

    async for piece in pieces.of_segment(end):
        try:
            made.add(piece)
        except BadLine:
            break
        end = piece.end
        if made.size >= stretch_bytes:
            await end_stretch()
            made = Making()
        if end.offset >= size:
            break
    await end_stretch()
    return Covered(end, tuple(blocks), tuple(stretches), tuple(names))
