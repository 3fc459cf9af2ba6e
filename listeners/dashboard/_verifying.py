"""Verifying the audit log on request, in the background."""

from __future__ import annotations

from typing import Any

from ._source import Source

__all__ = ("Verifying",)


class Verifying:
    """How far the audit log was verified, and what was found."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def view(self) -> dict[str, Any]:
        """Return where it is; ticks have it, too."""
        return {"state": "none"}

    async def close(self) -> None:
        """Stop what is under way."""
