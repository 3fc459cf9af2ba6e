"""Searches through long texts, a window at a time.

A search of ``re`` lets no other thread run before it ends, and in a megabyte it may take some 50 ms. What is found
is the same as without windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ("each", "is_in")

WINDOW = 32 * 1024
"""In so many characters each search begins; most take well below a millisecond for them."""

REACH = 2048
"""How far behind its window a search looks: no pattern looks so far to tell whether it matches."""

_MARGIN = 64
"""A match that ends so near to what was looked at may be longer, or none: it is tried again with all of the text."""

_SPACE = re.compile(r"\s")


def each(pattern: re.Pattern[str], text: str, *, looks_for_space: bool = False) -> Iterator[re.Match[str]]:
    """Iterate as ``pattern.finditer(text)``, for a pattern that matches no empty text but by what it looks ahead at.

    ``looks_for_space``: it may have to read on to the next white space, wherever that is, to tell whether it matches.
    """
    if len(text) <= WINDOW + REACH:
        return pattern.finditer(text)
    return _by_windows(pattern, text, looks_for_space)


def is_in(pattern: re.Pattern[str], text: str) -> bool:
    """Tell whether a pattern matches anywhere in a text."""
    if len(text) <= WINDOW + REACH:
        return pattern.search(text) is not None
    return next(_by_windows(pattern, text, False), None) is not None


def _by_windows(pattern: re.Pattern[str], text: str, looks_for_space: bool) -> Iterator[re.Match[str]]:  # noqa: FBT001
    place, length = 0, len(text)
    while place < length:
        stop = place + WINDOW
        reach = min(stop + REACH, length)
        if looks_for_space:
            space = _SPACE.search(text, reach)
            reach = length if space is None else space.end()
        last = stop
        # What is before the place is seen by a pattern that looks back.
        for found in pattern.finditer(text, place, reach):
            start, end = found.span()
            if start >= stop:
                break
            if reach < length and end > reach - _MARGIN:
                whole = pattern.match(text, start)
                last = start + 1
                if whole is not None:
                    yield whole
                    last = whole.end()
                break
            yield found
            last = max(last, end)
        place = last
