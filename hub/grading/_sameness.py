"""Whether what a log holds is what another record says, as far as the log holds it.

A log may hold a preview that was cut, and marks where contents were redacted: what is left of them is compared, and
the rest is said to be unknown. It is never taken for the same.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..events import canonical

__all__ = ("CUT", "GONE", "Sameness", "is_gone", "is_partial", "literal_start", "plain", "said_in", "same", "same_text")

CUT: Final = "…"
"""Ends a text of which a recorder kept the beginning, and is the key and the item that stand for others."""

_MARK: Final = re.compile(r"\[redacted(?::[^\[\]]{1,80})?\]")
_WITHHELD: Final = "$redacted"
GONE: Final = ("$erased", "$withheld", "$missing")
"""The key of what stands in a log for an erasable content that is not there any more, or not in this copy."""
_UNSPOKEN: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "tool_use", "tool_result", "image"})


class Sameness(enum.IntEnum):
    """The worse, the higher: of a whole, it is that of its worst part."""

    SAME = 0
    CUT = 1
    """As far as the log holds it, it is the same; the log holds a beginning."""
    REDACTED = 2
    """But for what was redacted in the log, it is the same."""
    OTHER_FORM = 3
    """One holds text where the other holds an object: they cannot be compared."""
    NOT_HELD = 4
    """The log does not hold it."""
    DIFFERENT = 5


def plain(value: Any) -> Any:
    """Return a value as it would be in an event; text that holds an object of JSON as that object."""
    return canonical(_opened(value))


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def same(logged: Any, told: Any) -> Sameness:
    """Compare what a log holds with what another record says; both as :func:`plain` returns them."""
    if logged is None and told not in (None, {}, ""):
        return Sameness.NOT_HELD
    if isinstance(logged, Mapping) and _WITHHELD in logged:
        return Sameness.REDACTED
    if is_gone(logged):
        return Sameness.NOT_HELD
    if isinstance(logged, str) and isinstance(told, str):
        return same_text(logged, told)
    if isinstance(logged, Mapping) and isinstance(told, Mapping):
        return _same_mapping(logged, told)
    if _is_list(logged) and _is_list(told):
        return _same_list(logged, told)
    if isinstance(logged, bool) is isinstance(told, bool) and logged == told:
        return Sameness.SAME
    if logged in (None, {}, "") and told in (None, {}, ""):
        return Sameness.SAME
    if isinstance(logged, str):
        if logged.endswith(CUT) and str(told).startswith(logged[:-1]):
            return Sameness.CUT
        return Sameness.REDACTED if _MARK.fullmatch(logged) else _unlike(logged, told)
    return _unlike(logged, told)


def _unlike(logged: Any, told: Any) -> Sameness:
    """Compare values of two kinds: text may be how one of the two has written an object."""
    if isinstance(logged, str) is not isinstance(told, str):
        return Sameness.SAME if str(logged) == str(told) else Sameness.OTHER_FORM
    return Sameness.DIFFERENT


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same_mapping(logged: Mapping[Any, Any], told: Mapping[Any, Any]) -> Sameness:
    is_cut = CUT in logged
    is_marked = any(isinstance(key, str) and _MARK.search(key) for key in logged)
    worst = Sameness.REDACTED if is_marked else Sameness.CUT if is_cut else Sameness.SAME
    for key, value in logged.items():
        if key == CUT or (isinstance(key, str) and _MARK.search(key)):
            continue
        worst = max(worst, same(value, told[key]) if key in told else Sameness.DIFFERENT)
    if not is_cut and not is_marked and any(key not in logged for key in told):
        return Sameness.DIFFERENT
    return worst


def _same_list(logged: Sequence[Any], told: Sequence[Any]) -> Sameness:
    is_cut = bool(logged) and isinstance(logged[-1], str) and logged[-1].startswith(CUT)
    kept = logged[:-1] if is_cut else logged
    if len(kept) > len(told) or (not is_cut and len(kept) != len(told)):
        return Sameness.DIFFERENT
    worst = Sameness.CUT if is_cut else Sameness.SAME
    return max([worst, *(same(*pair) for pair in zip(kept, told, strict=False))])


def same_text(logged: str, told: str) -> Sameness:
    """Compare texts: the log's may be a beginning that ends in ``…``, and have marks where it was redacted."""
    if logged == told:
        return Sameness.SAME
    is_cut = logged.endswith(CUT)
    pieces = _MARK.split(logged[:-1] if is_cut else logged)
    if len(pieces) == 1:
        return Sameness.CUT if is_cut and told.startswith(pieces[0]) else Sameness.DIFFERENT
    if not told.startswith(pieces[0]):
        return Sameness.DIFFERENT
    at = len(pieces[0])
    for piece in pieces[1:-1]:
        found = told.find(piece, at)
        if found < 0:
            return Sameness.DIFFERENT
        at = found + len(piece)
    last = pieces[-1]
    fits = told.find(last, at) >= 0 if is_cut else len(told) - len(last) >= at and told.endswith(last)
    return Sameness.REDACTED if fits else Sameness.DIFFERENT


def is_gone(logged: Any) -> bool:
    """Tell whether a content of a log was erased, is withheld, or is missing: only its commitment is there."""
    return isinstance(logged, Mapping) and len(logged) == 1 and next(iter(logged)) in GONE


def is_partial(text: str) -> bool:
    """Tell whether a log's text may be less than what was said."""
    return text.endswith(CUT) or _MARK.search(text) is not None


def literal_start(text: str) -> str:
    """Return with what every text begins that this one may stand for."""
    return _MARK.split(text.removesuffix(CUT), maxsplit=1)[0]


def said_in(content: Any) -> str:
    """Return the words of a message, in whatever form it holds them; white space counts once."""
    return " ".join(" ".join(_words(content, 0)).split())


def _words(content: Any, depth: int) -> list[str]:
    if isinstance(content, str):
        return [content]
    if depth > _DEPTH_MAX:
        return []
    if _is_list(content):
        return [word for part in content for word in _words(part, depth + 1)]
    if not isinstance(content, Mapping) or content.get("type") in _UNSPOKEN:
        return []
    for key in ("text", "parts", "content", "output_text", "value"):
        if (inner := content.get(key)) is not None:
            return _words(inner, depth + 1)
    return []


_DEPTH_MAX: Final = 8
