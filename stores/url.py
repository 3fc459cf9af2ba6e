"""From a URL to a store."""

from __future__ import annotations

from urllib.parse import unquote

from hubwire.errors import ConfigurationError
from hubwire.ports import KnowledgeStore

from .file import FileStore
from .memory import MemoryStore

__all__ = ("open_store",)

_SUPPORTED = "memory://, file:///absolute/path, or a directory such as ./data"


def open_store(url: str) -> KnowledgeStore:
    """Make the store that a URL, or the plain path of a directory, stands for.

    ``memory://`` is a new :class:`MemoryStore`, ``file:///data`` and ``./data`` a :class:`FileStore`. In a URL ``%20``
    stands for a space and so on; in a plain path nothing stands for anything else. Like the constructors this does no
    I/O. Raises :class:`~hubwire.errors.ConfigurationError` for anything else.
    """
    if not url:
        raise ConfigurationError(f"the store URL is empty; use {_SUPPORTED}")
    if "\0" in url:
        raise ConfigurationError(f"the store URL {url!r} has a NUL character; leave it out")
    scheme, separator, _ = url.partition(":")
    if not separator or "/" in scheme or not scheme[:1].isalpha():
        return FileStore(url)
    match scheme.lower():
        case "memory":
            return _open_memory(url)
        case "file":
            return _open_file(url)
    raise ConfigurationError(f"the store URL {url!r} has the unknown scheme {scheme!r}; use {_SUPPORTED}")


def _open_memory(url: str) -> MemoryStore:
    if url.partition(":")[2] not in ("", "//", "///"):
        raise ConfigurationError(f"the store URL {url!r} names a place, which a memory store has not; use memory://")
    return MemoryStore()


def _open_file(url: str) -> FileStore:
    # Not urlsplit: it drops line feeds and tabs without a word.
    place = url.partition(":")[2]
    host, slash, rest = place.removeprefix("//").partition("/") if place.startswith("//") else ("", "", place)
    path = slash + rest
    if "?" in url or "#" in url:
        raise ConfigurationError(f"the store URL {url!r} has a query or a fragment; write '?' as %3F and '#' as %23")
    if host not in ("", "localhost") or not path.startswith("/"):
        raise ConfigurationError(
            f"the store URL {url!r} is not absolute; use file:/// and the whole path, or ./{host}{path} alone"
        )
    try:
        root = unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the store URL {url!r} does not decode to UTF-8; write the path itself") from error
    if "\0" in root:
        raise ConfigurationError(f"the store URL {url!r} has a NUL character; leave it out")
    return FileStore(root)
