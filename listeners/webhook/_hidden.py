"""What an endpoint knows and no report may say: headers and paths with secrets, which an answer can repeat."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ("Hidden",)

_CHARS_MIN = 6
"""A shorter text is no secret, and would be found everywhere."""

_SHOWN_AS = "…"


class Hidden:
    """Takes texts out of what was answered, and each of their words."""

    def __init__(self, texts: Iterable[str]) -> None:
        words = {word for text in texts for word in (text, *text.split()) if len(word) >= _CHARS_MIN}
        self._words = sorted(words, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<{len(self._words)} texts that are not shown>"

    def without(self, text: str) -> str:
        """Return a text without them."""
        for word in self._words:
            text = text.replace(word, _SHOWN_AS)
        return text
