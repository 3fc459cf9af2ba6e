"""One pass over a text that tells whether it may hold a finding: nearly all texts do not.

The pattern is made of the patterns that find, each loosened: what they ask of the text around is left out. So it
matches wherever one of them does, and in a few places more. RE2 takes a nanosecond or two for a character, in any
text. Without it there is no such pass, and the same is found, ten times slower.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from . import _assignments, _numbers, _tokens
from ._engine import engine
from ._text import unescaped

__all__ = ("Quick", "quick")

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


def _patterns(signs: Iterable[str]) -> dict[str, list[str]]:
    """Return what each scanner of a text looks for; ``signs`` are those of the names of keys."""
    words = "|".join(sorted(signs))
    return {
        "userinfo": [r"://[^\s/?\"'<>]+@"],
        "schemes": [f"(?i:{loosened(_assignments.SCHEME.pattern)})"],
        "signatures": [f"(?i:{loosened(_assignments.SIGNED.pattern)})"],
        "emails": [r"[\w%+'\-\x{80}-\x{10ffff}](?:@|%40)[\w\x{80}-\x{10ffff}][^\s@]*\.[a-zA-Z\x{80}-\x{10ffff}]{2}"],
        "ip_addresses": [
            r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
            r"[0-9a-fA-F]{4}:[0-9a-fA-F:]{2}|::[fF]{4}:",
            r":[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:[0-9a-fA-F]",
        ],
        "numbers": [
            f"{_NOT_IN_A_WORD}(?:{loosened(_numbers.NUMBER.pattern)})",
            f"(?:^|[^\\w+]){loosened(_numbers.INTERNATIONAL.pattern)}",
        ],
        "lettered": [
            f"{_NOT_IN_A_WORD}{loosened(pattern.pattern)}" for pattern in (_numbers.LETTERED, _numbers.LETTER_LAST)
        ],
        "labelled": [f"(?i:{loosened(label.pattern)})" for label in (_numbers.PHONE_LABEL, _numbers.ID_LABEL)],
        "separated": [
            f"{_NOT_IN_A_WORD}(?:{prefixes.replace(' ', '|')})(?:{loosened(body)})"
            for _, prefixes, body in _tokens.SEPARATED
        ],
        "plain": [loosened(pattern.pattern) for _, _, pattern in _tokens.PLAIN],
        "private_keys": ["-----BEGIN "],
        "told": [f"(?i:{loosened(pattern.pattern)})" for pattern in (_assignments.SPACED, _assignments.PROSE)],
        "assignments": [rf"(?i:{words})[\w.-]{{0,80}}\\{{0,8}}[\"'`]?\]?[ \t]{{0,4}}(?:=>?|:=?)[ \t]{{0,4}}[^=:/\s]"],
    }


_JSON = r"(?:^|\n)[ \t]*[{\[]"
"""Where a text of JSON may begin, in which signs may be escaped."""


class Quick:
    """Tells what a text may hold, by RE2. Where a text has lone surrogates, it may hold all that is looked for."""

    def __init__(self, re2: Any, signs: Iterable[str]) -> None:
        self._re2 = re2
        self._anchor = re2._Anchor.UNANCHORED  # noqa: SLF001
        patterns = _patterns(signs)
        self._any = self._compiled([_JSON, *(each for some in patterns.values() for each in some)])
        self._each = {name: self._compiled(some) for name, some in patterns.items()}

    def _compiled(self, patterns: Iterable[str]) -> Any:
        options = self._re2.Options()
        options.never_capture = True
        options.log_errors = False
        options.max_mem = _MEMORY
        pattern = "|".join([f"(?:{each})" for each in patterns])
        # What its `search` adds takes longer than the search; and `re2.Set` finds no match when its memory is full.
        return self._re2.compile(pattern, options)._regexp.Match  # noqa: SLF001

    def may_hold(self, text: str) -> bool:
        """Tell whether a text may hold a finding, or may be JSON."""
        try:
            data = unescaped(text).encode()
        except UnicodeEncodeError:
            return True
        return bool(self._any(self._anchor, data, 0, len(data))[0][0] >= 0)

    def wanted(self, text: str) -> Collection[str] | None:
        """Return the scanners that may have a finding in a text; None for all of them."""
        try:
            data = unescaped(text).encode()
        except UnicodeEncodeError:
            return None
        return [name for name, match in self._each.items() if match(self._anchor, data, 0, len(data))[0][0] >= 0]


def quick(signs: Iterable[str]) -> Quick | None:
    """Return what tells quickly what a text may hold; None where RE2 is not installed."""
    re2 = engine()
    return None if re2 is None else Quick(re2, signs)
