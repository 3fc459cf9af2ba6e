"""A line of others as an event: a CloudEvent, a record of a hub, a record of AG2's audit log, a span, or any object."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ... import Event, GenericEvent, codec
from ...cloudevents import from_cloudevent
from ...errors import ConfigurationError, HubError, InvalidRecord
from ...events import UnknownEvent, evolve, kind_class
from ..importing.conversation import Conversation, Envelope
from ..importing.decoding import NotJson, parse_json
from ..importing.fields import Fields, Wrong, as_text, is_clean
from ..importing.format import Options
from ..importing.formats import FORMATS
from ..importing.moments import take_moment
from .lines import Line

__all__ = ("KEY", "OTHER", "Incoming", "events_of", "is_kind", "keys_of")

KEY = "followed"
"""The key of metadata by which an event of a stream is known when it comes again."""
OTHER = "record.received"
"""The kind of what names none that an event could have here."""
_IDS = ("id", "event_id", "eventId", "uuid", "_id")
_KINDS = ("kind", "type", "event", "event_type", "name")
_FACTS = ("ag2-audit", "otlp")
_SPELT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_KIND_MAX = 200
_ID_MAX = 1024
_HEADER = ("agent_id", "channel_id", "session_id", "turn_id", "task_id", "correlation_id")
"""What has the same name in the header of an event. Not the tenant: whose an event is does not depend on a stream."""
_RECORD = {"seq", "id", "at", "hub", "kind"}


@attrs.frozen
class Incoming:
    """An event that can be emitted, and by what it is known; None if nothing tells it from one that comes later."""

    event: Event
    key: str | None


def events_of(line: Line, source: str, kind: str | None = None) -> Iterator[Incoming]:
    """Iterate over the events of a line. Raises :class:`Wrong` with the reason why it is none.

    ``source`` is the name of the stream, ``kind`` the one that events get which have none.
    """
    try:
        value = parse_json(line.content)
    except NotJson as error:
        raise Wrong(str(error)) from None
    if not isinstance(value, dict):
        value = {"value": value}
    for name in _FACTS:
        format_ = FORMATS[name]
        if format_.recognises(value, Options()) and hasattr(format_, "facts"):
            for fact in format_.facts(value):
                yield from _of_facts(fact, source)
            return
    try:
        yield _known(_event_of(value, source, kind), line)
    except HubError as error:
        raise Wrong(f"cannot be an event: {error}") from None


def _known(event: Event, line: Line) -> Incoming:
    """Give an event by what it is known."""
    identity = line.identity
    if event.source_id is not None:
        identity = f"id {event.source_id}"
    elif line.event_id is not None:
        identity = f"sse {line.event_id}"
    metadata = dict(event.metadata or {})
    if line.event_id is not None:
        metadata["sse_id"] = line.event_id
    key = None
    if identity is not None:
        key = metadata[KEY] = _key_of(f"{event.source}\0{identity}")
    if event.source_id is None:  # so that the hub takes it for what it is: recorded elsewhere
        digest = hashlib.sha256(line.content).hexdigest()[:32]
        event = evolve(event, source_id=line.event_id or line.identity or digest)
    return Incoming(evolve(event, metadata=metadata or None), key)


def _key_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def keys_of(source: str | None, source_id: str) -> Iterator[str]:
    """Iterate over the keys that an event of this source and id may have: they say which it is, whatever gave the id.

    For a record whose metadata is not at hand.
    """
    for identity in (f"id {source_id}", f"sse {source_id}", source_id):
        yield _key_of(f"{source}\0{identity}")
    yield _key_of(source_id)


def _event_of(value: dict[str, Any], source: str, kind: str | None) -> Event:
    if value.get("specversion") == "1.0":
        return _ours(_of_cloudevent(value), value)
    if value.keys() >= _RECORD:
        fields = {name: inner for name, inner in value.items() if name not in ("d", "h", "c")}
        try:
            return _ours(codec.decode(codec.encode_fields(fields)), value)
        except InvalidRecord:
            pass  # of another program, which uses the same names
    return _generic(value, source, kind)


def _of_cloudevent(value: dict[str, Any]) -> Event:
    try:
        event = from_cloudevent(value)
        return event if event.hub or is_kind(event.kind) or _is_free(event) else from_cloudevent(value, kind=OTHER)
    except ConfigurationError:
        return from_cloudevent(value, kind=OTHER)
    except InvalidRecord:
        if not isinstance(value.get("type"), str):
            raise
        return from_cloudevent(value, kind=OTHER)


def _ours(event: Event, value: dict[str, Any]) -> Event:
    """Return an event of another hub as one that comes from there; what only a hub itself may say is in ``record``."""
    about: dict[str, Any] = {}
    if event.hub:
        about = {"source": event.hub, "source_id": event.id, "occurred_at": event.at or None}
    if type(event) is UnknownEvent or event.command is not None or not _is_free(event):
        kept = {
            name: getattr(event, name) for name in ("agent_id", "channel_id", "task_id", "session_id", "traceparent")
        }
        kept |= {name: getattr(event, name) for name in ("source", "source_id", "occurred_at")}
        return GenericEvent(kind=OTHER, data={"record": value}, **{**kept, **about})
    if not event.hub:
        return event
    own = {"source": event.source, "source_id": event.source_id, "occurred_at": event.occurred_at}
    metadata = {**(event.metadata or {}), "origin": {k: v for k, v in own.items() if v is not None}}
    if not metadata["origin"]:
        del metadata["origin"]
    metadata["seq"] = event.seq
    return evolve(event, seq=-1, id="", at="", hub="", depth=0, metadata=metadata, **about)


def _is_free(event: Event) -> bool:
    """Tell whether a program may emit an event of this kind."""
    cls = kind_class(event.kind)
    if cls is None:
        return is_kind(event.kind) and type(event) is GenericEvent
    return cls.command is None and type(event) is cls


def _generic(value: dict[str, Any], source: str, kind: str | None) -> Event:
    fields = Fields(value)
    chosen = kind
    for name in _KINDS:
        given = fields.left.get(name)
        if isinstance(given, str) and is_kind(given):
            chosen = str(fields.take(name))
            break
    own_id = next((name for name in _IDS if _is_id(fields.left.get(name))), None)
    source_id = None
    if own_id is not None:
        given = fields.left[own_id]
        source_id = as_text(given)
        if isinstance(given, str):
            del fields.left[own_id]
    at = take_moment(fields)
    about = {name: fields.take(name) for name in _HEADER if _is_id(fields.left.get(name), only_text=True)}
    return GenericEvent(
        kind=chosen or OTHER, data=fields.left, source=source, source_id=source_id, occurred_at=at, **about
    )


def _is_id(value: Any, *, only_text: bool = False) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _ID_MAX and is_clean(value)
    return type(value) is int and not only_text


def is_kind(text: str) -> bool:
    """Tell whether a generic event may have this kind."""
    return len(text) <= _KIND_MAX and _SPELT.fullmatch(text) is not None and kind_class(text) is None


def _of_facts(made: Conversation, source: str) -> Iterator[Incoming]:
    for part in made.parts:
        assert not isinstance(part, Envelope), "only chats have envelopes"
        item = f"{made.format}:{made.key}/{part.id}"
        key = _key_of(item)
        about: dict[str, Any] = {"source": source, "source_id": item, "occurred_at": part.occurred_at}
        metadata: Mapping[str, Any] = {**part.metadata, KEY: key}
        if part.speaker is not None:
            metadata = {**metadata, "agent": str(part.speaker)}
        yield Incoming(part.kind(**{**about, "metadata": metadata, **part.fields}), key)
