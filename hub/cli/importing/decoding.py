"""JSON of an input as values, and values as what identifies them.

What is refused here would be lost without a word otherwise: of a key that is there twice only one value would stay.
A number that a float cannot hold exactly stays as it is written.
"""

from __future__ import annotations

import decimal
import hashlib
import json
from typing import Any

__all__ = ("Digest", "NotJson", "encoded", "parse_json")

_EXACT_DIGITS = 15
"""So many decimal digits come back from a float (IEEE 754, binary64) as they were."""
_DIGITS_MAX = 4300
"""Beyond this many, Python refuses to read a whole number: it would take the square of their time."""


class NotJson(ValueError):
    """A text is not JSON, or holds what would not survive; the message is the end of a sentence that begins with it."""


def parse_json(text: str | bytes) -> Any:
    """Return the value. Lone surrogates, NaN and infinities are taken: models write them. Raises :class:`NotJson`."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return _decode(text)
    except NotJson:
        raise
    except UnicodeDecodeError as error:
        raise NotJson(f"is not JSON: byte {error.start:,} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.pos:,}") from None
    except RecursionError:
        raise NotJson("is not JSON: it is nested too deep") from None


def encoded(value: Any) -> bytes:
    """Return a value as bytes that are the same however it was written. Raises :class:`NotJson` if it is too deep."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_number).encode()
    except RecursionError:
        raise NotJson("is nested too deep") from None


class Digest:
    """Identifies what was said so far: a conversation that grew has the digests of all that it was before."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, content: bytes) -> str:
        """Add the next message; return the digest of all until here."""
        self._hash.update(b"%d:" % len(content))
        self._hash.update(content)
        return self._hash.hexdigest()[:32]


def _number(value: Any) -> Any:
    return {"$decimal": str(value)}


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotJson(f"has the key {twice[:64]!r} twice in one object, and only one of the values could be kept")
    return made


def _whole(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise NotJson(f"has a whole number of {len(text):,} digits, and {_DIGITS_MAX:,} can be read")
    return int(text)


def _fraction(text: str) -> float | decimal.Decimal:
    value = float(text)
    if len(text) <= _EXACT_DIGITS and "e" not in text and "E" not in text:
        return value
    try:
        exact = decimal.Decimal(text)
        return value if decimal.Decimal(repr(value)) == exact else exact
    except decimal.InvalidOperation:  # its exponent has more digits than decimals have
        raise NotJson(f"has the number {text[:32]}, which is beyond all that can be read") from None


_decode = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_whole, parse_float=_fraction).decode
