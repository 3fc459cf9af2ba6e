"""Which source an input is: a file, or a store of AG2."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .ag2_source import is_ag2_store, open_ag2_store
from .reading import Source, open_file

__all__ = ("open_source",)

_AG2_STORE = "ag2-store"


def open_source(path: str, format_name: str) -> AbstractContextManager[Source]:
    """Open an input. Raises :class:`~hubwire.cli.importing.packing.InputUnreadable`."""
    if path != "-" and format_name in (_AG2_STORE, "auto") and is_ag2_store(path):
        return open_ag2_store(path)
    return open_file(path)
