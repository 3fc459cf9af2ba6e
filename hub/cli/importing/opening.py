"""Which source an input is: a file, or the directory of a store of AG2."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .reading import Source, open_file

__all__ = ("open_source",)


def open_source(path: str, format_name: str) -> AbstractContextManager[Source]:  # noqa: ARG001
    """Open an input. Raises :class:`~hubwire.cli.importing.packing.InputUnreadable`."""
    return open_file(path)
