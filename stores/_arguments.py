"""Arguments, which every store checks and converts before it uses its medium."""

from __future__ import annotations

from hubwire.errors import InvalidPath
from hubwire.ports import normalize_path

__all__ = ("checked_range", "encoded", "file_path")


def file_path(path: str) -> str:
    """Normalise the path of a file."""
    normalized = normalize_path(path)
    if normalized == "/":
        raise InvalidPath(f"store path {path!r} is the root, which is a directory; name a file below it")
    return normalized


def encoded(content: str | bytes) -> bytes:
    """Return the bytes to store, independent of the caller's buffer."""
    if type(content) is bytes:
        return content
    return content.encode() if isinstance(content, str) else bytes(memoryview(content))


def checked_range(start: int, end: int | None) -> None:
    """Refuse negative positions: a slice would count them from the end, a disk would fail."""
    if start < 0 or (end is not None and end < 0):
        raise ValueError(f"the byte range [{start}, {end}) has a negative end; count from the start of the file")
