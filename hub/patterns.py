"""Patterns over kinds of events: ``*`` stands for any part of a kind, ``"tool.*"``, ``"*.failed"``.

One matcher for the hub, live tails and the command line. Matching takes time that grows with the length of the kind and
of the pattern, and with no more: patterns come from outsiders too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from .errors import ConfigurationError
from .events._shown import is_a, type_name

__all__ = ("PATTERNS_MAX", "PATTERN_CHARS_MAX", "Patterns")

PATTERN_CHARS_MAX = 1000
"""How long one pattern may be."""

PATTERNS_MAX = 256
"""How many patterns may be given together."""

_WORD_START = frozenset("abcdefghijklmnopqrstuvwxyz")
_WORD = _WORD_START | frozenset("0123456789_")


class Patterns:
    """One pattern or several. A kind matches if one of them does.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no pattern, for one that is too long, and for one
    that no kind can match: a kind is two or more words joined by dots, of lower-case letters, digits and ``_``. With
    ``any_text`` the patterns are for what records of strangers call a kind, which may be any text.
    """

    def __init__(self, pattern: str | Iterable[str], *, any_text: bool = False) -> None:
        self.patterns: tuple[str, ...] = _given(pattern)
        for each in self.patterns:
            _check(each, any_text=any_text)
        self.takes_all: bool = "*" in self.patterns
        self._parts = [tuple(each.split("*")) for each in self.patterns]

    def matches(self, kind: str) -> bool:
        """Tell whether one of the patterns matches this kind."""
        return any(_matches(parts, kind) for parts in self._parts)


def _given(pattern: Any) -> tuple[str, ...]:
    if is_a(pattern, str):
        return (_plain(pattern),)
    if type(pattern) in (bytes, bytearray):
        raise ConfigurationError(f"pattern {bytes(pattern[:40])!r} must be text, as 'tool.*'")
    try:
        patterns = tuple(map(_plain, islice(iter(pattern), PATTERNS_MAX + 1)))
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"pattern must be text or several texts, as 'tool.*', not a {type_name(pattern)}"
        ) from error
    if not patterns:
        raise ConfigurationError("no pattern is given, so nothing can match; give kinds, or '*' for all of them")
    if len(patterns) > PATTERNS_MAX:
        raise ConfigurationError(f"more than {PATTERNS_MAX} patterns are given; join some with *, as in 'tool.*'")
    return patterns


def _plain(pattern: object) -> str:
    if not is_a(pattern, str):
        raise ConfigurationError(f"a pattern must be text, as 'tool.*', not a {type_name(pattern)}")
    return str.__str__(pattern)


def _check(pattern: str, *, any_text: bool) -> None:
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ConfigurationError(f"pattern {pattern[:40]!r}… is longer than {PATTERN_CHARS_MAX} characters; shorten it")
    if not any_text and not _can_match(pattern):
        raise ConfigurationError(f"pattern {pattern[:80]!r} matches no kind: {_advice(pattern)}")


def _advice(pattern: str) -> str:
    if pattern != pattern.lower():
        return f"kinds are lower-case, as in {pattern.lower()[:80]!r}"
    if set(pattern) <= _WORD:
        return (
            f"a kind has a dot, as in {pattern[:80] + '.*'!r}"
            if pattern
            else "give kinds, with * for any part: 'tool.*'"
        )
    if "?" in pattern or "[" in pattern:
        return "only * has a meaning, and stands for any part of a kind: 'tool.*'"
    return "a kind is two or more words of a-z, 0-9 and _, joined by dots, and * stands for any part: 'tool.*'"


# --- what a kind can be: the places in it, and where a pattern can lead ---------------------------------------------

_FIRST, _IN_FIRST, _NEXT, _IN_NEXT = range(4)
"""Before the first word; in it; before a later word; in it, where a kind may end."""

_REACH = {
    _FIRST: frozenset({_FIRST, _IN_FIRST, _NEXT, _IN_NEXT}),
    _IN_FIRST: frozenset({_IN_FIRST, _NEXT, _IN_NEXT}),
    _NEXT: frozenset({_NEXT, _IN_NEXT}),
    _IN_NEXT: frozenset({_NEXT, _IN_NEXT}),
}
"""Where any text can lead from each place."""


def _can_match(pattern: str) -> bool:
    places = frozenset({_FIRST})
    for character in pattern:
        if character == "*":
            places = frozenset().union(*(_REACH[place] for place in places))
        else:
            places = frozenset(after for place in places if (after := _step(place, character)) is not None)
    return _IN_NEXT in places


def _step(place: int, character: str) -> int | None:
    if place in (_FIRST, _NEXT):
        return place + 1 if character in _WORD_START else None
    if character == ".":
        return _NEXT
    return place if character in _WORD else None


# --- matching -------------------------------------------------------------------------------------------------------


def _matches(parts: tuple[str, ...], kind: str) -> bool:
    """Match the texts between the stars, each as early as possible: where that fails, no other way succeeds."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return kind == first
    if len(kind) < len(first) + len(last) or not kind.startswith(first) or not kind.endswith(last):
        return False
    at, end = len(first), len(kind) - len(last)
    for part in parts[1:-1]:
        found = kind.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
