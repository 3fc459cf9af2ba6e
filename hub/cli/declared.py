"""What recorders and redactors declare, in words for people."""

from __future__ import annotations

from ..coverage import Coverage

__all__ = ("covered", "hidden")


def covered(coverage: Coverage) -> str:
    """Say what a source captures."""
    return f"{_name(coverage)}: {', '.join(coverage.captured) or 'it does not say what'}"


def hidden(coverage: Coverage) -> str:
    """Say what is hidden from a source."""
    return f"{_name(coverage)} does not see {', '.join(coverage.hidden)}"


def _name(coverage: Coverage) -> str:
    return f"{coverage.source} {coverage.version}".rstrip()
