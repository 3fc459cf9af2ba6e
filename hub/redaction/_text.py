"""What the rules of the package find in a text."""

from __future__ import annotations

from collections.abc import Callable

from . import _assignments, _numbers, _personal, _tokens
from ._pseudonyms import merged
from ._tokens import Span

__all__ = ("findings",)


def findings(text: str, family_of: Callable[[str], str | None]) -> list[Span]:
    """Return what the rules of the package find in a text, in order and without overlaps."""
    spans: list[Span] = []
    spans += _assignments.credentials(text)
    if "@" in text:
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
        spans += _assignments.assignments(text, family_of)
    return merged(spans) if len(spans) > 1 else spans
