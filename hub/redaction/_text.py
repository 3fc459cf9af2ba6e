"""What the rules of the package find in a text."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import _assignments, _numbers, _personal, _tokens
from ._pseudonyms import merged
from ._tokens import Span

__all__ = ("findings", "unescaped")


_LINE_ENDS = re.compile(r"\\[nrt]")


def unescaped(text: str) -> str:
    """Return the text, of the same length, with spaces for escaped ends of lines: what follows them begins a word."""
    return _LINE_ENDS.sub("  ", text) if "\\" in text else text


def findings(text: str, family_of: Callable[[str], str | None]) -> list[Span]:
    """Return what the rules of the package find in a text, in order and without overlaps."""
    spans: list[Span] = []
    original, text = text, unescaped(text)
    spans += _assignments.credentials(text)
    if "@" in text or "%40" in text:
        urls = [span for span in spans if span[2] == "url"]
        spans += (
            [
                email
                for email in _personal.emails(text)
                if not any(start < email[1] and email[0] <= end for start, end, _ in urls)
            ]
            if urls
            else _personal.emails(text)
        )
    spans += _personal.ip_addresses(text)
    spans += _numbers.numbers(text)
    spans += _tokens.tokens(text)
    if "=" in text or ":" in text or " " in text:
        spans += _assignments.assignments(original, family_of)
    return merged(spans) if len(spans) > 1 else spans
