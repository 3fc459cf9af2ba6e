"""Rows: an event as the page and the terminal list it, made once for all who read it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from hubwire import Event, codec
from hubwire.errors import InvalidRecord
from hubwire.provenance import provenance_of
from hubwire.words import Names, meaning_of, outcome_of, took_ms_of, without_contents, words_of

from ._http import encoded

__all__ = ("Item", "Row", "Rows")

Row = dict[str, Any]
"""The fields of an event that a list shows, by their names; those without a value are left out."""

T = TypeVar("T")

_HELD = 8192
_HELD_BYTES = 16 * 1024 * 1024
_LARGE_BYTES = 256 * 1024
"""Of an event that is larger, a row says no more than its size: reading it would hold up the loop."""

_HEADER = (
    *("agent_id", "channel_id", "task_id", "turn_id", "tenant", "session_id", "correlation_id", "occurred_at"),
    *("severity", "outcome"),
)
_RUNS = (
    ("correlation", "correlation_id"),
    ("task", "task_id"),
    ("session", "session_id"),
    ("turn", "turn_id"),
)


class Item(Protocol):
    """An event on its way out, redacted: that of a live tail, or of a log."""

    @property
    def event(self) -> Event: ...
    @property
    def seq(self) -> int: ...
    @property
    def cursor(self) -> str: ...
    @property
    def line(self) -> bytes: ...


class Rows:
    """Makes rows, and keeps the newest as they are sent: most readers want the same."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._held: OrderedDict[tuple[int, str, bool, bool], bytes] = OrderedDict()
        self._bytes = 0

    def row(self, event: Event, *, contents: bool) -> Row:
        """Return the row of an event."""
        return self._row(fields_of(event), contents=contents)

    def row_of(self, fields: dict[str, Any], *, contents: bool) -> Row:
        """Return the row of a record, which need not be an event of this version."""
        return self._row(fields, contents=contents)

    def encoded_row(self, item: Item, *, contents: bool) -> bytes:
        """Return the row of an event as JSON."""
        return self._made(item, contents=contents, raw=False)

    def encoded_event(self, item: Item, *, contents: bool) -> bytes:
        """Return the whole event as JSON."""
        return item.line if contents else self._made(item, contents=False, raw=True)

    def _made(self, item: Item, *, contents: bool, raw: bool) -> bytes:
        key = (item.seq, item.event.id, contents, raw)
        found = self._held.get(key)
        if found is None:
            fields = fields_of(item.event)
            made = without_contents(fields) if raw else self._row(fields, contents=contents)
            found = self._held[key] = encoded(made)
            self._bytes += len(found)
            while len(self._held) > _HELD or self._bytes > _HELD_BYTES:
                self._bytes -= len(self._held.popitem(last=False)[1])
        return found

    def _row(self, fields: dict[str, Any], *, contents: bool) -> Row:
        names = self.names
        names.learn(fields)
        agent_id, channel_id = fields.get("agent_id"), fields.get("channel_id")
        shown = fields if contents else without_contents(fields)
        said: tuple[str, ...] = ()
        if isinstance(metadata := shown.get("metadata"), Mapping) and (said := provenance_of(shown)):
            # The page has a mark for it, and no words.
            shown = {**shown, "metadata": {name: each for name, each in metadata.items() if name != "provenance"}}
        if (size := fields.get(_SIZE)) is not None:
            words = f"{size // 1024:,} KiB: open the event to read it"
        else:
            words = words_of(shown, names)
        found: Row = {
            "seq": fields.get("seq"),
            "at": fields.get("at"),
            "kind": fields.get("kind"),
            "agent_id": agent_id,
            "agent": names.agent(agent_id) if isinstance(agent_id, str) else None,
            "channel_id": channel_id,
            "channel": names.channel(channel_id) if isinstance(channel_id, str) else None,
            "task_id": fields.get("task_id"),
            "turn_id": fields.get("turn_id"),
            "tenant": fields.get("tenant"),
            "correlation": fields.get("correlation_id"),
            "run_id": run_of(fields),
            "words": words,
            "provenance": said or None,
            "meaning": meaning_of(fields),
            "outcome": outcome_of(fields),
            "took_ms": took_ms_of(fields),
            "occurred_at": fields.get("occurred_at"),
        }
        return {name: value for name, value in found.items() if value is not None}


_SIZE = "\n size"
"""Where the fields of a large event tell its size: no field has such a name."""


def fields_of(event: Event) -> dict[str, Any]:
    """Return the fields of an event as a record has them; of a very large one those of its header."""
    if (size := codec.size_of(event)) > _LARGE_BYTES:
        found: dict[str, Any] = {"seq": event.seq, "at": event.at, "kind": event.kind, _SIZE: size}
        return found | {name: value for name in _HEADER if (value := getattr(event, name, None)) is not None}
    try:
        return codec.decode_fields(codec.encode(event))
    except InvalidRecord:  # a redactor of the program's own has made what is none
        return {"seq": event.seq, "at": event.at, "kind": event.kind}


def run_of(fields: Mapping[str, Any]) -> str | None:
    """Return the id of the run that an event belongs to by itself, as boards name it."""
    for sort, field in _RUNS:
        if isinstance(value := fields.get(field), str) and value:
            return f"{sort}:{value[:200]}"
    return None


def joined(parts: Iterable[bytes]) -> bytes:
    """Return JSON values as one array."""
    return b"[" + b",".join(parts) + b"]"


def pieces(items: Sequence[T], most: int) -> Iterable[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
