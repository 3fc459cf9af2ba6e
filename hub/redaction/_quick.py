"""One pass over a text that tells whether it may hold a finding: nearly all texts do not.

The pattern is made of the patterns that find, each loosened: what they ask of the text around is left out. So it
matches wherever one of them does, and in a few places more. RE2 takes a nanosecond or two for a character, in any
text. Without it there is no such pass, and the same is found, ten times slower.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

from . import _assignments, _numbers, _tokens
from ._engine import engine
from ._names import Names
from ._text import unescaped

__all__ = ("Quick", "quick")

_MEMORY = 64 * 1024 * 1024
"""How many bytes RE2 may use for the states it has met; it begins again when they are full."""

_NOT_IN_A_WORD = r"(?:^|[^\w-])"

_ANY_QUOTE = r"[\"'`]"

_ANY_BARE = "[0-9]{13,19}"
_BARE = "4[0-9]{12}|3[0-9]{13}|[2-6][0-9]{14}|[12][0-9]{14}(?:[^0-9]|$)|[0-9]{6}(?:19|20)[0-9]{10}(?:[^0-9]|$)"
"""Digits that may be a card or an id of a person: times in milliseconds, microseconds and nanoseconds are none."""

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
            f"{_NOT_IN_A_WORD}(?:{loosened(_numbers.NUMBER.pattern).replace(_ANY_BARE, _BARE)})",
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
        "assignments": [
            rf"(?i:{words})[\w.-]{{0,80}}\\{{0,8}}{_ANY_QUOTE}?\]?[ \t]{{0,4}}(?:=>?|:=?)[ \t]{{0,4}}[^=:/\s]"
        ],
    }


_JSON = r"(?:^|\n)[ \t\r]*[{\[]"
"""Where a text of JSON may begin, in which signs may be escaped."""

_GAP = r"[ \t\r\n]*"
_QUOTE = "[\"']"


def _line_patterns(signs: Iterable[str], key_signs: Iterable[str]) -> list[str]:
    """Return what is looked for in a record that stands there as JSON, with all escapes taken back.

    Its texts are in it as they are, each behind a quotation mark. Those within a text are single ones here, so a name
    before a double one is a key. A key that names a family is looked for, and a text that does, behind ``"name":``.
    """
    some = _patterns(signs)
    some["assignments"] = [each.replace(_ANY_QUOTE, "['`]") for each in some["assignments"]]
    named = f"(?:{'|'.join(key_signs)})"
    return [
        *(each for patterns in some.values() for each in patterns),
        rf"{named}{_QUOTE}{_GAP}:",
        rf"{_QUOTE}(?:field|header|key|name){_QUOTE}{_GAP}:{_GAP}(?:{_QUOTE}[^\"]*)?{named}{_QUOTE}",
        rf"\$(?:bytes|map){_QUOTE}",
    ]


class Quick:
    """Tells what a text may hold, by RE2. Where a text has lone surrogates, it may hold all that is looked for."""

    def __init__(self, re2: Any, names: Names) -> None:
        self._re2 = re2
        self._names = names
        self._anchor = re2._Anchor.UNANCHORED  # noqa: SLF001

    @cached_property
    def _any(self) -> Any:
        return self._compiled([_JSON, *(each for some in _patterns(self._names.signs()).values() for each in some)])

    @cached_property
    def _each(self) -> dict[str, Any]:
        return {name: self._compiled(some) for name, some in _patterns(self._names.signs()).items()}

    @cached_property
    def _line(self) -> Any:
        return self._compiled(_line_patterns(self._names.signs(), self._names.key_signs()))

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

    def line_may_hold(self, line: bytes) -> bool:
        """Tell whether a record, as one line of JSON of our codec, may hold a finding in a key or a value."""
        if b"\\" in line:
            plain = _without_escapes(line)
            if plain is None:
                return True
            line = plain
        found: int = self._line(self._anchor, line, 0, len(line))[0][0]
        return found >= 0

    def suspects(self, lines: Sequence[bytes]) -> list[int]:
        """Return the places of the lines that may hold a finding: one search goes through all of them."""
        if not self.line_may_hold(b"\n".join(lines)):
            return []
        result: list[int] = []
        plain: list[bytes] = []
        for place, line in enumerate(lines):
            if b"\\" in line:
                shown = _without_escapes(line)
                if shown is None:
                    result.append(place)
                plain.append(shown or b"")
            else:
                plain.append(line)
        ends = list(accumulate([len(line) + 1 for line in plain]))
        data, start, length = b"\n".join(plain), 0, ends[-1] - 1 if ends else 0
        while start < length:
            first, last = self._line(self._anchor, data, start, length)[0]
            if first < 0:
                break
            # A match may begin with the sign before a line.
            places = range(bisect_right(ends, first), bisect_right(ends, last - 1) + 1)
            result += places
            # The next search begins with the sign before a line, too.
            start = ends[places[-1]] - 1
            start = max(start, last)
        return sorted(set(result))


def _without_escapes(line: bytes) -> bytes | None:
    """Return a line with what stands for its escapes: a single quotation mark for a double one; None if it has others.

    Others are rare, or one in a text for what is escaped there, and the rules are to see it as it is. Of an escaped
    backslash, one is left by whatever follows it.
    """
    line = line.replace(b'\\"', b"'").replace(b"\\n", b"\n").replace(b"\\t", b"\t")
    return None if b"\\" in line else line


def quick(names: Names) -> Quick | None:
    """Return what tells quickly what a text may hold; None where RE2 is not installed."""
    re2 = engine()
    return None if re2 is None else Quick(re2, names)
