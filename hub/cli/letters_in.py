"""The dead letters of listeners in a store, without a hub."""

from __future__ import annotations

from .._delivery.letter_files import LetterReader, Place
from .._delivery.letter_lines import Head, heads_of

__all__ = ("letters_in",)


async def letters_in(reader: LetterReader) -> dict[str, tuple[Head, Place]]:
    """Return those that are kept, by id; the reader then knows what is not as it was written."""
    kept: dict[str, tuple[Head, Place]] = {}
    async for said, place in heads_of(reader):
        if isinstance(said, Head):
            kept[said.id] = (said, place)
        else:
            for each in said:
                kept.pop(each, None)
    return kept
