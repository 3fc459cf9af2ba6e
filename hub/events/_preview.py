"""Previews: the first characters of a payload, for lists and lines; the event itself has all of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ._canonical import FrozenDict, json_text
from ._shown import shown

__all__ = ("PREVIEW_CHARACTERS", "preview")

PREVIEW_CHARACTERS = 200

_SCALARS = frozenset({bool, int, float, type(None)})


def preview(value: Any) -> str:
    """Return the beginning of a payload: at most 200 characters of its text, or of its JSON.

    Empty where the payload is missing, empty, zero or False. No more of it is looked at than is returned.
    """
    kind = type(value)
    if kind is str:
        return str(value[:PREVIEW_CHARACTERS])
    if kind in _SCALARS or kind in (dict, FrozenDict, list, tuple):
        return _joined(_pieces(value)) if value else ""
    return shown(value)  # of an event that was not emitted yet


def _joined(pieces: Iterator[str]) -> str:
    text = ""
    # Each piece has one character at least.
    for piece in islice(pieces, PREVIEW_CHARACTERS):
        text += piece
        if len(text) >= PREVIEW_CHARACTERS:
            break
    return text[:PREVIEW_CHARACTERS]


def _pieces(value: Any) -> Iterator[str]:
    """Iterate over the JSON of a value, one piece after the other; it is only walked as far as it is asked."""
    kind = type(value)
    if kind is str:
        yield json_text(value[:PREVIEW_CHARACTERS])
    elif kind in (dict, FrozenDict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            if number:
                yield ", "
            yield from _pieces(key)
            yield ": "
            yield from _pieces(item)
        yield "}"
    elif kind in (list, tuple):
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ", "
            yield from _pieces(item)
        yield "]"
    elif kind in _SCALARS and (kind is not int or value.bit_length() <= 128):
        yield json_text(value)
    else:
        yield shown(value)
