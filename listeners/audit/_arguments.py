"""Arguments of an audit log that come from its user, checked where they come in."""

from __future__ import annotations

import math
from typing import Any, overload

from hubwire.errors import ConfigurationError, InvalidRecord
from hubwire.log import Rotation
from hubwire.ports import KnowledgeStore
from hubwire.text_store import TextStore, as_knowledge_store

__all__ = ("archive_for", "flag", "function", "heartbeat_of", "rotation_of", "seconds", "store_for", "words")

_STORE_METHODS = ("read", "read_range", "write", "append", "list", "exists", "delete", "on_change")

_HEARTBEAT_SECONDS = (1, 604_800)

_WORDS_MAX = 1000
"""Of a reason or a name: it is one field of a line, and of a file that is read before each pruning."""


def store_for(store: KnowledgeStore | TextStore) -> KnowledgeStore:
    """Return the store, completed if it holds only text."""
    missing = [name for name in _STORE_METHODS if not callable(getattr(store, name, None))]
    if missing or isinstance(store, type):
        hint = ": use open_store() on it" if isinstance(store, (str, bytes)) or hasattr(store, "__fspath__") else ""
        raise ConfigurationError(
            f"an audit log is kept on a store, such as FileStore('./data'); {store!r:.80} is not one{hint}"
        )
    return as_knowledge_store(store)


def archive_for(archive: Any, store: KnowledgeStore) -> KnowledgeStore | None:
    """Return the store of an archive."""
    if archive is None:
        return None
    missing = [name for name in (*_STORE_METHODS, "read_bytes") if not callable(getattr(archive, name, None))]
    if missing or isinstance(archive, type):
        shown = f"{archive!r:.80}" if type(archive) in (str, bytes, int) else type(archive).__name__
        raise ConfigurationError(f"archive is a store, such as FileStore('./archive'), not {shown}")
    if archive is store:
        raise ConfigurationError("archive is the store of the log itself; give another one")
    return archive  # type: ignore[no-any-return]


def rotation_of(rotation: Any) -> Rotation:
    """Return when segments are sealed."""
    if type(rotation) is Rotation:
        return rotation
    if type(rotation) is not int or rotation < 1:
        shown = f"{rotation!r:.80}" if type(rotation) in (int, float, str, bool) else type(rotation).__name__
        raise ConfigurationError(
            f"rotation is the size of a segment in bytes, 1 or more, or a Rotation, such as"
            f" Rotation(age_seconds_max=86_400), not {shown}"
        )
    return Rotation(bytes_max=rotation)


@overload
def words(argument: str, value: Any) -> str: ...
@overload
def words(argument: str, value: Any, *, is_optional: bool) -> str | None: ...
def words(argument: str, value: Any, *, is_optional: bool = False) -> str | None:
    """Return a short text that a record can hold. Raises :class:`~hubwire.errors.InvalidRecord`."""
    if value is None and is_optional:
        return None
    if type(value) is not str:
        raise InvalidRecord(f"{argument} is text, not {type(value).__name__}")
    if not 0 < len(value) <= _WORDS_MAX or not _is_utf8(value):
        raise InvalidRecord(
            f"{argument} is text of 1 to {_WORDS_MAX:,} characters that UTF-8 can hold; this one has {len(value):,}"
        )
    return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def seconds(name: str, value: Any) -> float:
    """Return a time in seconds."""
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{name} is a number of seconds, 0 or more, not {value!r:.80}")
    return float(value)


def heartbeat_of(value: Any) -> float | None:
    """Return how many seconds are between two heartbeats; None: there is none."""
    if value is None:
        return None
    if type(value) not in (int, float) or not _HEARTBEAT_SECONDS[0] <= value <= _HEARTBEAT_SECONDS[1]:
        raise ConfigurationError(
            "heartbeat_seconds is a number of seconds from 1 to 604,800, a week, or None for no heartbeat, not"
            f" {value!r:.80}"
        )
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if type(value) is not bool:
        raise ConfigurationError(f"{name} is True or False, not {type(value).__name__}")
    return value


def function(name: str, value: Any) -> Any:
    """Return what can be called."""
    if not callable(value) or isinstance(value, type):
        raise ConfigurationError(f"{name} is an async function, not {value!r:.80}")
    return value
