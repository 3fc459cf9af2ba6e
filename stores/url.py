"""From a URL to a store."""

from __future__ import annotations

from math import inf
from urllib.parse import parse_qsl, unquote, urlsplit

from hubwire.errors import ConfigurationError
from hubwire.ports import KnowledgeStore

from .file import FileStore
from .memory import MemoryStore

__all__ = ("open_store",)

_SUPPORTED = (
    "memory://, file:///absolute/path, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or a directory"
    " such as ./data"
)
_DEADLINE_SECONDS = 60.0
_OBJECT_OPTIONS = {
    "s3": {"endpoint", "region", "single_writer"},
    "gs": {"single_writer"},
    "az": {"account", "endpoint", "single_writer"},
}


def open_store(url: str, *, deadline_seconds: float | None = None) -> KnowledgeStore:
    """Make the store that a URL, or the plain path of a directory, stands for.

    ``memory://`` is a new :class:`MemoryStore`, ``file:///data`` and ``./data`` a :class:`FileStore`.
    ``s3://bucket/prefix?endpoint=…&region=…``, ``gs://bucket/prefix`` and ``az://container/prefix?account=…`` are an
    :class:`~hubwire.stores.object.ObjectStore`, which needs the extra ``s3``; credentials come from the environment,
    and ``single_writer=true`` is for services without conditional requests. A URL is percent-decoded (``%20`` is a
    space); a plain path is taken as it is. ``deadline_seconds`` is how long a service that cannot be reached is asked
    again before a call raises :class:`~hubwire.errors.StoreUnavailable`; None: a minute.

    Like the constructors this does no I/O. Raises :class:`~hubwire.errors.ConfigurationError` for a URL of another
    form.
    """
    seconds = _DEADLINE_SECONDS if deadline_seconds is None else deadline_seconds
    if type(seconds) not in (int, float) or not 0 < seconds < inf:
        raise ConfigurationError(f"deadline_seconds is a number of seconds above 0, or None, not {seconds!r:.80}")
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
        case "s3" | "gs" | "az":
            return _open_object(url, seconds)
    raise ConfigurationError(f"the store URL {url!r} has the unknown scheme {scheme!r}; use {_SUPPORTED}")


def _open_memory(url: str) -> MemoryStore:
    if url.partition(":")[2] not in ("", "//", "///"):
        raise ConfigurationError(f"the store URL {url!r} names a place, but a memory store has none; use memory://")
    return MemoryStore()


def _open_file(url: str) -> FileStore:
    # Not urlsplit: it silently drops line feeds and tabs.
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
        raise ConfigurationError(f"the store URL {url!r} does not decode to UTF-8; write the plain path") from error
    if "\0" in root:
        raise ConfigurationError(f"the store URL {url!r} has a NUL character; leave it out")
    return FileStore(root)


def _open_object(url: str, seconds: float) -> KnowledgeStore:
    parts = urlsplit(url)
    scheme, bucket = parts.scheme, parts.netloc
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    unknown = sorted(options.keys() - _OBJECT_OPTIONS[scheme])
    if not bucket or "@" in bucket or parts.fragment:
        raise ConfigurationError(f"the store URL {url!r} is not {scheme}://bucket/prefix; secrets are not part of it")
    if unknown or len(pairs) > len(options):
        known = ", ".join(sorted(_OBJECT_OPTIONS[scheme]))
        raise ConfigurationError(f"the store URL {url!r} has options unknown or twice: {unknown}; there are {known}")
    if (single := options.get("single_writer", "false")) not in ("true", "false"):
        raise ConfigurationError(f"the store URL {url!r} has single_writer={single}; it is true or false")
    try:
        from . import _cloud  # noqa: PLC0415 - it needs obstore, which comes with an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "obstore":
            raise
        raise ConfigurationError(
            f"the store URL {url!r} needs the package obstore, which is not installed; pip install 'hubwire[s3]'"
        ) from error
    prefix = unquote(parts.path)
    place, single_writer = options.get("endpoint"), single == "true"
    how = _cloud.How(single_writer=single_writer, deadline_seconds=seconds)
    if scheme == "s3":
        return _cloud.s3(bucket, prefix, how, endpoint=place, region=options.get("region"))
    if scheme == "gs":
        return _cloud.gcs(bucket, prefix, how)
    return _cloud.azure(bucket, prefix, how, account=options.get("account"), endpoint=place)
