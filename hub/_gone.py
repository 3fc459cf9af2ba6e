"""The words for an erasable content that is not there: what people read in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("in_words",)

_DEPTH_MAX = 16
_DAY_CHARS = 10
_CHARS_MAX = 120


def in_words(value: Any, depth: int = 0) -> Any:
    """Return a value with words in the place of what stands in a record for a content that is not there.

    ``{"$erased": {"at": ..., "by": ..., "basis": ...}}`` becomes ``⟨erased 2026-11-30 by dpo-4: GDPR art. 17⟩``. A
    value without such a mark is returned as it is.
    """
    if depth > _DEPTH_MAX:
        return value
    if isinstance(value, dict):
        if value and len(value) <= 2 and (words := _words(value)) is not None:
            return words
        made = {key: in_words(each, depth + 1) for key, each in value.items()}
        return value if all(made[key] is value[key] for key in made) else made
    if isinstance(value, list):
        listed = [in_words(each, depth + 1) for each in value]
        return value if all(new is old for new, old in zip(listed, value, strict=True)) else listed
    return value


def _words(value: Mapping[str, Any]) -> str | None:
    match value:
        case {"$erased": dict(why), **rest} if not rest:
            return f"⟨erased{_why(why)}⟩"
        case {"$withheld": dict(), **rest} if not rest:
            return "⟨withheld from this copy⟩"
        case {"$missing": dict(), **rest} if not rest:
            return "⟨missing⟩"
        case {"$altered": dict(), **rest} if not rest:
            return "⟨altered: it is not what its record committed to⟩"
        case {"$c": str(), "len": int(size), **rest} if not rest and type(size) is int:
            return f"⟨a content of {size:,} byte{'' if size == 1 else 's'} that is kept beside the log⟩"
    return None


def _why(why: Mapping[str, Any]) -> str:
    """Return when, by whom and on what basis, as far as it is said."""
    at, by, basis = (_line(why.get(each)) for each in ("at", "by", "basis"))
    day = f" {at[:_DAY_CHARS]}" if at else ""
    return f"{day}{f' by {by}' if by else ''}{f': {basis}' if basis else ''}"


def _line(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return value if len(value) <= _CHARS_MAX else f"{value[: _CHARS_MAX - 1]}…"
