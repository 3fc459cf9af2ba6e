"""The head of a log: what one keeps elsewhere, to prove later that no part of it was changed or cut off."""

from __future__ import annotations

import re

import attrs

from ._values import Value
from .errors import ConfigurationError

__all__ = ("Head",)

_TEXT = re.compile(r"(0|[1-9]\d{0,18}):([A-Za-z0-9_-]{22})?", re.ASCII)


@attrs.frozen(str=False, eq=False, repr=False)
class Head(Value):
    """How many records a log has, and the chain value of the last: ``str()`` gives ``14:kbl9HV54y6NzWGl09cY1Uw``."""

    records: int
    h: str
    """``h`` of the last record; empty if there is none."""

    def __str__(self) -> str:
        return f"{self.records}:{self.h}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Return the head of which ``text`` is the text. Raises :class:`~hubwire.errors.ConfigurationError`."""
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None or (match[1] == "0") != (match[2] is None):
            raise ConfigurationError(
                f"{text!r:.80} is not the head of a log: that is the number of its records, a colon, and the 22"
                " characters of the last h, as `hubwire stats` shows it"
            )
        return cls(int(match[1]), match[2] or "")
