"""One pass over a text that tells whether it may hold a finding: nearly all texts do not.

The pattern is made of the patterns that find, each loosened: what they ask of the text around is left out. So it
matches wherever one of them does, and in a few places more. RE2 takes a nanosecond or two for a character, whatever
the text is. Without it there is no such pass, and the same is found, ten times slower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from . import _assignments, _numbers, _tokens
from ._engine import engine
from ._text import unescaped

__all__ = ("quick_search",)

_MEMORY = 64 * 1024 * 1024
"""How many bytes RE2 may use for the states it has met; it begins again when they are full."""

_NOT_IN_A_WORD = r"(?:^|[^\w-])"

_LOOKS = ("(?<!", "(?<=", "(?!", "(?=")


def loosened(pattern: str) -> str:
    """Return a pattern of RE2 that matches wherever this one does: without looks around, and possessive signs."""
    result, place = [], 0
    while place < len(pattern):
        if pattern.startswith(_LOOKS, place):
            place = _end_of_group(pattern, place)
            continue
        width = 2 if pattern[place] == "\\" else _length_of_class(pattern, place) if pattern[place] == "[" else 1
        result.append(pattern[place : place + width])
        place += width
    text = "".join(result)
    text = re.sub(r"\(\?P<\w+>", "(?:", text)
    text = re.sub(r"\(\?P=\w+\)", "[ .-]", text)
    text = re.sub(r"\{(\d+),\d+\}\+?$", r"{\1}", text)
    text = re.sub(r"\{(\d+),\d\d\d+\}\+?", r"{\1,}", text)
    return re.sub(r"(?<=[}*+?])\+", "", text)


def _end_of_group(pattern: str, place: int) -> int:
    depth = 0
    while True:
        sign = pattern[place]
        if sign == "\\":
            place += 2
            continue
        if sign == "[":
            place += _length_of_class(pattern, place)
            continue
        depth += (sign == "(") - (sign == ")")
        place += 1
        if depth == 0:
            return place


def _length_of_class(pattern: str, place: int) -> int:
    end = place + 1
    end += pattern[end] == "^"
    end += pattern[end] == "]"
    while pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    return end + 1 - place


def _patterns(signs: Iterable[str]) -> Iterable[str]:
    yield r"\S(?:@|%40)[\w\[\x{80}-\x{10ffff}]"
    yield r"(?:^|\n)[ \t]*[{\[]"  # a text of JSON, in which signs may be escaped
    yield r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
    yield r"[0-9a-fA-F]{4}:[0-9a-fA-F:]{2}|::[fF]{4}:"
    yield r":[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:[0-9a-fA-F]"
    yield f"{_NOT_IN_A_WORD}(?:{loosened(_numbers.NUMBER.pattern)})"
    yield f"(?:^|[^\\w+]){loosened(_numbers.INTERNATIONAL.pattern)}"
    yield f"{_NOT_IN_A_WORD}{loosened(_numbers.LETTERED.pattern)}"
    yield f"{_NOT_IN_A_WORD}{loosened(_numbers.LETTER_LAST.pattern)}"
    labels = (_numbers.PHONE_LABEL, _numbers.ID_LABEL)
    for label in (*labels, _assignments.SPACED, _assignments.PROSE, _assignments.SCHEME, _assignments.SIGNED):
        yield f"(?i:{loosened(label.pattern)})"
    for _, prefixes, body in _tokens.SEPARATED:
        yield f"{_NOT_IN_A_WORD}(?:{prefixes.replace(' ', '|')})(?:{loosened(body)})"
    for _, _, pattern in _tokens.PLAIN:
        yield loosened(pattern.pattern)
    yield "-----BEGIN "
    words = "|".join(sorted(signs))
    yield rf"(?i:{words})[\w.-]{{0,80}}\\{{0,8}}[\"'`]?\]?[ \t]{{0,4}}(?:=>?|:=?)[ \t]{{0,4}}[^=:/\s]"


def quick_search(signs: Iterable[str]) -> Callable[[str], bool] | None:
    """Return what tells whether a text may hold a finding; None where RE2 is not installed."""
    re2 = engine()
    if re2 is None:
        return None
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MEMORY
    pattern = "|".join([f"(?:{each})" for each in _patterns(signs)])
    # What its `search` adds takes longer than the search; and `re2.Set` finds nothing where its memory is too little.
    match = re2.compile(pattern, options)._regexp.Match  # noqa: SLF001
    anchor = re2._Anchor.UNANCHORED  # noqa: SLF001

    def may_hold(text: str) -> bool:
        try:
            data = unescaped(text).encode()
        except UnicodeEncodeError:  # it has lone surrogates
            return True
        return bool(match(anchor, data, 0, len(data))[0][0] >= 0)

    return may_hold
