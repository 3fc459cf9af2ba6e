"""What the index of a segment says of it, learnt from its pieces."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from msgspec import UNSET

from ._index import KEYS, Block, Bloom
from ._matching import Peeks, text_of
from ._moments import instant_of, is_as_hubs_write
from ._names import names_in
from ._pieces import Piece

__all__ = ("Making",)

_PEEKS = ("at", *KEYS)


class Making:
    """What is learnt of a segment."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.texts: dict[str, set[str]] = {key: set() for key in KEYS}
        self.names: list[tuple[str, str, str]] = []
        self.size: int = 0
        """The size in bytes of what was added."""
        self._peeks = Peeks(_PEEKS)
        self._at = self._peeks.name_of("at")

    async def keys(self) -> Bloom:
        """Return the filter over the texts of the keys."""
        texts = (f"{key}\0{text}" for key, some in self.texts.items() for text in some)
        return await Bloom.over(texts, sum(map(len, self.texts.values())))

    def add(self, piece: Piece) -> None:
        """Learn from a piece. Raises :class:`BadLine`, and has learnt nothing then."""
        peeks = self._peeks.of_all(piece.content, piece.records)
        times = _times([getattr(peek, self._at) for peek in peeks])
        place = piece.place
        self.size += len(piece.content) + 1
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
