"""Arguments of an audit log that come from its user, checked where they come in."""

from __future__ import annotations

import math
from typing import Any

from hubwire.errors import ConfigurationError
from hubwire.ports import KnowledgeStore
from hubwire.text_store import TextStore, as_knowledge_store

__all__ = ("function", "seconds", "segment_bytes", "store_for")

_STORE_METHODS = ("read", "read_range", "write", "append", "list", "exists", "delete", "on_change")


def store_for(store: KnowledgeStore | TextStore) -> KnowledgeStore:
    """Return the store, completed if it holds only text."""
    missing = [name for name in _STORE_METHODS if not callable(getattr(store, name, None))]
    if missing or isinstance(store, type):
        hint = ": use open_store() on it" if isinstance(store, (str, bytes)) or hasattr(store, "__fspath__") else ""
        raise ConfigurationError(
            f"an audit log is kept on a store, such as FileStore('./data'); {store!r:.80} is not one{hint}"
        )
    return as_knowledge_store(store)


def segment_bytes(rotation: Any) -> int:
    """Return the size at which a segment is closed."""
    if type(rotation) is not int or rotation < 1:
        raise ConfigurationError(f"rotation is the size of a segment in bytes, 1 or more, not {rotation!r:.80}")
    return rotation


def seconds(name: str, value: Any) -> float:
    """Return a time in seconds."""
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{name} is a number of seconds, 0 or more, not {value!r:.80}")
    return float(value)


def function(name: str, value: Any) -> Any:
    """Return what can be called."""
    if not callable(value) or isinstance(value, type):
        raise ConfigurationError(f"{name} is an async function, not {value!r:.80}")
    return value
