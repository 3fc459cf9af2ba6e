"""The pieces of a model's answer, as they come."""

from __future__ import annotations

from typing import Final

__all__ = ("TAIL_CHARS", "Stream")

TAIL_CHARS: Final = 4096
"""How much of the end of an answer is kept. The second half of it may be shown: the first may begin in a secret."""


class Stream:
    """The pieces of an answer that have come."""

    __slots__ = ("characters", "pieces", "tail", "told_at")

    def __init__(self, now: float) -> None:
        self.pieces = 0
        self.characters = 0
        self.tail = ""
        self.told_at = now

    def add(self, text: str) -> None:
        """Count a piece."""
        self.pieces += 1
        if type(text) is str:
            self.characters += len(text)
            self.tail = (self.tail + text)[-TAIL_CHARS:]
