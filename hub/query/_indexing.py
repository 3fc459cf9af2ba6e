"""Making indexes: of the sealed segments of a log that have none."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import attrs
from msgspec import UNSET

from .. import codec
from .._foreign.arguments import Call, has_method
from .._values import Value
from ..errors import ConfigurationError, HistoryGone, InvalidRecord, LogDamaged
from ..log import read_kept, segment_path
from ..ports import KnowledgeStore, normalize_path
from ._index import KEYS, TAIL_BYTES, Block, encode_index, index_path
from ._looked import Looked
from ._matching import BadLine, Peeks, text_of
from ._moments import instant_of, is_as_hubs_write
from ._names import names_in
from ._pieces import Piece, Pieces
from ._plans import Plans

__all__ = ("Indexed", "drop_indexes", "index_log")

_LINE_BYTES = 128 * 1024
_PEEKS = ("at", *KEYS)


@attrs.frozen(eq=False, repr=False)
class Indexed(Value):
    """What :func:`index_log` has done."""

    segments: int
    """How many sealed segments the log has."""
    made: int
    """How many indexes were written: for segments that had none, or one that did not fit."""


async def index_log(store: KnowledgeStore, path: str = "/audit", *, check: bool = True) -> Indexed:
    """Write an index beside each sealed segment of an audit log that has none, and return what was done.

    A query finds by them a narrow range of a large log without reading the rest. They are files of their own, below
    ``index`` in the path of the log, and take less than a hundredth of it; the log itself is only read, also while it
    is written. They can be deleted at any time. Pruning deletes those of what it prunes. ``check``: whether those that
    are there already are looked at, and made again if they do not fit.

    Raises :class:`~hubwire.errors.LogDamaged` at a segment that cannot be read, and
    :class:`~hubwire.errors.ConfigurationError` for a log that is not chained, such as a journal: what is truncated
    there would live on in them.
    """
    if not has_method(store, "read_bytes"):
        call = Call("index_log()", ConfigurationError)
        raise call.refusal("store", store, "a KnowledgeStore", "write FileStore('./data'), or open_store(url)")
    path = normalize_path(path)
    pieces = Pieces(store, path, Looked())
    plans = Plans(store, path, Looked())
    segments = await pieces.segments()
    if segments:
        await _check_chained(store, path, segments[0])
    made = 0
    for first in segments[:-1]:
        if await plans.names(first) is None if check else not await plans.has(first):
            try:
                await _index(store, path, pieces, first)
            except HistoryGone:  # it was pruned meanwhile
                continue
            made += 1
    await drop_indexes(store, path, (await read_kept(store, path)).first)  # it may have been pruned meanwhile
    return Indexed(max(len(segments) - 1, 0), made)


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
    made = _Making(Peeks(_PEEKS))
    end = 0
    async for piece in pieces.of_segment(first):
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
    texts = (f"{key}\0{text}" for key, some in made.texts.items() for text in some)
    await store.write(index_path(path, first), encode_index(first, end, crc32(tail), made.blocks, texts, made.names))


class _Making:
    """What is learnt of a segment."""

    def __init__(self, peeks: Peeks) -> None:
        self.blocks: list[Block] = []
        self.texts: dict[str, set[str]] = {key: set() for key in KEYS}
        self.names: list[tuple[str, str, str]] = []
        self._peeks = peeks
        self._at = peeks.name_of("at")

    def add(self, piece: Piece) -> None:
        peeks = self._peeks.of_all(piece.content, piece.records)
        times = _times([getattr(peek, self._at) for peek in peeks])
        place = piece.place
        self.blocks.append(
            Block(place.offset, place.index, piece.end.offset, piece.records, *times, crc32(piece.content))
        )
        for key, texts in self.texts.items():
            name = self._peeks.name_of(key)
            for value in [getattr(peek, name) for peek in peeks]:
                if type(value) is str:
                    texts.add(value)
                elif value is not UNSET:
                    texts.add(text_of(value) or "")
        self.names += names_in(piece.content)


def _times(values: list[Any]) -> tuple[int | None, int | None]:
    """Return the earliest and the latest time; None if a record has none."""
    if all(map(is_as_hubs_write, values)):
        instants = [instant_of(min(values)), instant_of(max(values))]
    else:
        instants = [instant_of(value) for value in values]
    dated = [each for each in instants if each is not None]
    return (min(dated), max(dated)) if len(dated) == len(instants) else (None, None)
