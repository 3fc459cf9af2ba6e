"""Checkpoints of LangGraph: the database of its SQLite saver, or states that were exported as JSON.

The database is read without LangGraph. Of each thread, all checkpoints are read, in order: so a message that was taken
away or summarised later is still one that was said.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from ...grading import Deed
from ..importing.conversation import Draft
from ..importing.decoding import NotJson, encoded, parse_json
from ..importing.fields import Wrong
from ..importing.langchain import LangChain
from .conversations import clean_text, deeds_of_parts

__all__ = ("CheckpointDeeds", "CheckpointsUnreadable", "is_database", "is_state", "read_database")

_SQLITE: Final = b"SQLite format 3\0"
_FIELDS_AT: Final = 2
"""Where an object that was packed has its fields: behind its module and its class."""
_MESSAGE_TYPES: Final = frozenset({"human", "ai", "system", "tool", "function", "chat", "developer"})


class CheckpointsUnreadable(Exception):
    """A database is damaged, or none of LangGraph's. It never leaves :mod:`hubwire.cli`."""


def is_database(path: Path) -> bool:
    """Tell whether a file is a database with the tables of LangGraph's SQLite saver."""
    try:
        with path.open("rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                return False
        with closing(_connected(path)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (OSError, sqlite3.Error):
        return False
    return {"checkpoints", "writes"} <= names


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def is_state(value: Any) -> bool:
    """Tell whether a value is a state of a graph, or a checkpoint, that was exported."""
    if not isinstance(value, Mapping):
        return False
    place = value.get("config")
    has_place = isinstance(place, Mapping) and isinstance(place.get("configurable"), Mapping)
    return has_place and (isinstance(value.get("values"), Mapping) or isinstance(value.get("checkpoint"), Mapping))


@attrs.define
class _Thread:
    draft: Draft = attrs.field(factory=Draft)
    places: list[str] = attrs.field(factory=list)
    seen: set[Any] = attrs.field(factory=set)


class CheckpointDeeds:
    """Reads checkpoints in their order, and gives the deeds of each thread."""

    def __init__(self) -> None:
        self._threads: dict[str, _Thread] = {}
        self._found: list[Deed] = []
        self._asked: set[str] = set()
        self._format = LangChain()
        self._is_readable = True

    def add(self, thread: str, checkpoint: str, values: Any) -> None:
        """Take a checkpoint, of which these are the values of its channels. Raises :class:`Wrong`."""
        place = f"checkpoint {checkpoint}"
        self._found.append(Deed("checkpoint", id=checkpoint, group=thread, place=place))
        known = self._threads.setdefault(thread, _Thread())
        for value in values.values() if isinstance(values, Mapping) else ():
            for message in value if isinstance(value, list) else ():
                if _is_message(message):
                    self._say(known, message, place)

    def _say(self, thread: _Thread, message: dict[str, Any], place: str) -> None:
        inner = message.get("kwargs") or message.get("data") or message
        given = inner.get("id") if isinstance(inner, Mapping) else None
        # Without an id, the same words are the same message: a state holds it again in each checkpoint.
        identity = given if isinstance(given, str) and given else encoded(message)
        if identity in thread.seen:
            return
        thread.seen.add(identity)
        self._format.put(thread.draft, len(thread.places), message)
        thread.places.append(place)

    def interrupt(self, thread: str, checkpoint: str, given: Any) -> None:
        """Take what a graph was interrupted for: a question of an agent."""
        if not isinstance(given, Mapping) or "value" not in given:
            return
        key = clean_text(given.get("id")) or f"{checkpoint}-{len(self._asked)}"
        if key in self._asked:
            return
        self._asked.add(key)
        value = given["value"]
        name = value.get("action") if isinstance(value, Mapping) else None
        place = f"checkpoint {checkpoint}"
        self._found.append(
            Deed("approval", name=clean_text(name), id=key, key=key, content=value, group=thread, place=place)
        )

    def add_state(self, value: Mapping[str, Any]) -> None:
        """Take a state that was exported. Raises :class:`Wrong`."""
        place = value["config"]["configurable"]
        thread, checkpoint = clean_text(place.get("thread_id")), clean_text(place.get("checkpoint_id"))
        inner = value.get("checkpoint")
        if isinstance(inner, Mapping):
            checkpoint = checkpoint or clean_text(inner.get("id"))
            self.add(thread, checkpoint, inner.get("channel_values"))
        else:
            self.add(thread, checkpoint, value.get("values"))
        asked = value.get("interrupts")
        for each in asked if isinstance(asked, list) else ():
            self.interrupt(thread, checkpoint, each)

    def deeds(self) -> Iterator[Deed]:
        for group, thread in self._threads.items():
            yield from deeds_of_parts(thread.draft.parts, group, thread.places)
        yield from self._found

    @property
    def notes(self) -> Iterator[str]:
        yield "checkpoints have no calls that a graph makes outside of its messages, and no verdicts"


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if "lc" in value:
        return isinstance(value.get("kwargs"), dict) and isinstance(value.get("id"), list)
    kind = value.get("type")
    return isinstance(kind, str) and kind in _MESSAGE_TYPES and ("content" in value or "data" in value)


def read_database(path: Path) -> CheckpointDeeds:
    """Read the database of a SQLite saver. Raises :class:`CheckpointsUnreadable`."""
    deeds = CheckpointDeeds()
    try:
        with closing(_connected(path)) as connection:
            checkpoints = connection.execute(
                "SELECT thread_id, checkpoint_ns, checkpoint_id, type, checkpoint FROM checkpoints"
                " ORDER BY thread_id, checkpoint_ns, checkpoint_id"
            )
            for thread, namespace, checkpoint, kind, content in checkpoints:
                group = _group(thread, namespace)
                state = _unpacked(kind, content, f"checkpoint {checkpoint}")
                deeds.add(group, clean_text(checkpoint), state.get("channel_values") if isinstance(state, dict) else {})
            asked = connection.execute(
                "SELECT thread_id, checkpoint_ns, checkpoint_id, type, value FROM writes"
                " WHERE channel = '__interrupt__' ORDER BY thread_id, checkpoint_ns, checkpoint_id, task_id, idx"
            )
            for thread, namespace, checkpoint, kind, content in asked:
                values = _unpacked(kind, content, f"an interrupt of checkpoint {checkpoint}")
                for each in values if isinstance(values, list) else [values]:
                    deeds.interrupt(_group(thread, namespace), clean_text(checkpoint), each)
    except (sqlite3.Error, OSError) as error:
        raise CheckpointsUnreadable(f"{path} cannot be read as a database of LangGraph: {error}") from error
    except (Wrong, NotJson, RecursionError) as error:
        raise CheckpointsUnreadable(f"{path} holds a message that cannot be read: it {error}") from error
    return deeds


def _group(thread: Any, namespace: Any) -> str:
    return clean_text(f"{thread}/{namespace}" if namespace else thread)


def _unpacked(kind: Any, content: Any, what: str) -> Any:
    try:
        if kind == "msgpack" and isinstance(content, bytes):
            return msgspec.msgpack.decode(content, ext_hook=_object)
        if kind == "json" and isinstance(content, str | bytes):
            return parse_json(content)
    except (msgspec.DecodeError, NotJson, RecursionError, UnicodeDecodeError) as error:
        raise CheckpointsUnreadable(f"{what} is damaged: {error}") from error
    raise CheckpointsUnreadable(
        f"{what} is packed as {kind!r:.60}, and msgpack and json can be read; what is encrypted is to be exported as"
        " JSON by the program that has the key"
    )


def _object(_: int, data: memoryview) -> Any:
    """Return an object of Python, of whatever class, as its fields. No code of the database is run."""
    packed = msgspec.msgpack.decode(data, ext_hook=_object)
    if not isinstance(packed, list) or len(packed) <= _FIELDS_AT:
        return packed
    fields = packed[_FIELDS_AT]
    return dict(fields) if isinstance(fields, Mapping) else fields
