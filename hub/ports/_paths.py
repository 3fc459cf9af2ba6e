"""The rules for store paths."""

from __future__ import annotations

from functools import lru_cache

from ..errors import InvalidPath

__all__ = ("ELEMENT_BYTES_MAX", "normalize_path")


PATH_BYTES_MAX = 900
"""S3 keys hold 1,024 bytes; the rest is for a bucket prefix and a part suffix."""

ELEMENT_BYTES_MAX = 255
"""NAME_MAX of the usual file systems."""


@lru_cache(maxsize=1024)
def normalize_path(path: str) -> str:
    """Return ``path`` in its one spelling: a leading ``/``, no ``//``, no trailing ``/``; the root is ``/``.

    Raises :class:`~hubwire.errors.InvalidPath` for a path that some medium could not hold or would take for another:
    an element that is ``.`` or ``..``, ends in ``@`` (object stores keep the parts of a file there), or is longer than
    255 bytes in UTF-8; a control character or NUL; a lone surrogate; more than 900 bytes in all.
    """
    elements = [element for element in path.split("/") if element]
    for element in elements:
        if element in (".", ".."):
            raise InvalidPath(f"store path {path!r} has the element {element!r}; write the path out in full")
        if element.endswith("@"):
            raise InvalidPath(f"store path {path!r}: element {element!r} ends in '@', which is reserved; rename it")
        if not element.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in element):
            raise InvalidPath(f"store path {path!r} has a control character; leave it out")
        try:
            encoded = element.encode()
        except UnicodeEncodeError:
            raise InvalidPath(
                f"store path {path!r} has a lone surrogate, which UTF-8 cannot hold; leave it out"
            ) from None
        if len(encoded) > ELEMENT_BYTES_MAX:
            raise InvalidPath(f"store path element {element[:40]!r}… has {len(encoded)} bytes; 255 is the most")
    normalized = "/" + "/".join(elements)
    if len(normalized.encode()) > PATH_BYTES_MAX:
        raise InvalidPath(f"store path {normalized[:40]!r}… has {len(normalized.encode())} bytes; 900 is the most")
    return normalized
