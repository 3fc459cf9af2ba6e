"""What every store does with its arguments before it looks at its medium."""

from __future__ import annotations

from hubwire.errors import InvalidPath
from hubwire.ports import normalize_path

__all__ = ("checked_range", "encoded", "file_path")


def file_path(path: str) -> str:
    """Normalise a path that is going to be a file."""
    normalized = normalize_path(path)
    if normalized == "/":
        raise InvalidPath(f"store path {path!r} is the root, which is a directory; name a file below it")
    return normalized


def encoded(content: str | bytes) -> bytes:
    """Return the bytes to store, detached from any buffer of the caller."""
    if type(content) is bytes:
        return content
    return content.encode() if isinstance(content, str) else bytes(memoryview(content))


def checked_range(start: int, end: int | None) -> None:
    """Refuse negative positions: a slice would take them from the end, a disk not at all."""
    if start < 0 or (end is not None and end < 0):
        raise ValueError(f"the byte range [{start}, {end}) has a negative end; count from the start of the file")
