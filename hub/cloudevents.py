"""CloudEvents 1.0.2, in JSON: what an event is called where other systems take it.

:func:`to_cloudevent` makes a message of an event, or of a record as it is read from a log, and :func:`from_cloudevent`
an event of a message. The form is the structured mode of JSON, whose content type is :data:`CONTENT_TYPE`:

=================================  =================================================================================
attribute                          of the event
=================================  =================================================================================
``id``                             ``id``; of a record without one a digest of the record
``source``                         ``urn:hubwire:hub:`` and the id of the hub, or the argument ``source``
``type``                           ``kind``
``subject``                        ``agent_id``
``time``                           ``at``
``data``                           the fields of the kind, or ``data`` of a generic event
``sequence``                       ``seq``, with zeros in front: as text it sorts as the number does
``hubid``, ``hash``                ``hub``; the chain value ``h`` of a record of an audit log
``partitionkey``                   the channel, the task or the agent: within it, order matters
``origin``, ``originid``           ``source`` and ``source_id``
``occurredat``                     ``occurred_at``
``severitytext``, ``outcome``      ``severity``, ``outcome``
``tenant``, ``actor``              the same
``sessionid``, ``turnid``          ``session_id``, ``turn_id``
``channelid``, ``taskid``          ``channel_id``, ``task_id``
``correlationid``                  ``correlation_id``
``causationid``, ``depth``         ``causation_id``, ``depth``
``traceparent``                    the same
``hubheader``                      as JSON text, what no attribute can hold: ``metadata``, and text with characters
                                   that CloudEvents does not allow
=================================  =================================================================================

An attribute is left out where its field is None. Nothing is lost: an event that went this way and back is equal, if its
kind is declared at both ends, or generic at both.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import msgspec

from . import codec
from ._foreign.arguments import Call, is_a, shown
from .errors import ConfigurationError, InvalidRecord
from .events import Event, UnknownEvent, canonical, evolve, kind_class
from .events._declare import check_kind
from .events._event import field_names, own_fields
from .events._fit import TRACEPARENT

__all__ = ("CONTENT_TYPE", "encode", "from_cloudevent", "to_cloudevent")

CONTENT_TYPE = "application/cloudevents+json"
"""The content type of one message, in HTTP and elsewhere."""

_EXTENSIONS: Mapping[str, str] = {
    "tenant": "tenant",
    "source": "origin",
    "source_id": "originid",
    "occurred_at": "occurredat",
    "actor": "actor",
    "session_id": "sessionid",
    "turn_id": "turnid",
    "channel_id": "channelid",
    "task_id": "taskid",
    "correlation_id": "correlationid",
    "causation_id": "causationid",
    "traceparent": "traceparent",
    "severity": "severitytext",
    "outcome": "outcome",
    "hub": "hubid",
    "h": "hash",
}
"""The fields whose values are text, and the attributes that they are."""

_HEADER = frozenset({*field_names(Event), "kind", "h"})
_NONCHARACTERS = "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_TEXT = re.compile(f"[^\\x00-\\x1f\\x7f-\\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]+")
"""What CloudEvents allows in text, here not empty."""

_REFERENCE = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
"""The characters of a URI, or of a reference to one."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
"""RFC 3339."""

_INT32 = 2**31
_TO = Call("to_cloudevent()", ConfigurationError)
_FROM = Call("from_cloudevent()", ConfigurationError)
_FOREIGN_KEY = "cloudevent"

_json = msgspec.json.Encoder(order="deterministic")


# --- writing --------------------------------------------------------------------------------------------------------


def to_cloudevent(event_or_record: Event | Mapping[str, Any], *, source: str | None = None) -> dict[str, Any]:
    """Return the message of an event that was emitted, or of a record: what a log holds, or one made by hand.

    ``source`` is the URI of who sends it, if that is not the hub itself. The message is the caller's own: all of it is
    JSON. A record's values that JSON cannot hold become marked substitutes, as in an event.

    Raises :class:`~hubwire.errors.InvalidRecord` for an event that was not emitted yet, and for what cannot be read;
    :class:`~hubwire.errors.EventTooLarge` for a record of more than 8 MiB; and
    :class:`~hubwire.errors.ConfigurationError` for a ``source`` that is no URI.
    """
    fields = _fields_of(event_or_record)
    return _message(fields, None if source is None else _reference(source))


def encode(event_or_record: Event | Mapping[str, Any], *, source: str | None = None) -> bytes:
    """Return the message as JSON in UTF-8, without a line feed. Equal events give equal bytes.

    Raises what :func:`to_cloudevent` raises.
    """
    return _json.encode(to_cloudevent(event_or_record, source=source))


def _fields_of(given: Event | Mapping[str, Any]) -> dict[str, Any]:
    if is_a(given, Event):
        event = cast(Event, given)
        if not event.id:
            raise InvalidRecord(
                "to_cloudevent(): the event was not emitted, so it has no id yet; give the event that emit() returns"
            )
        return codec.decode_fields(codec.encode(event))
    if not is_a(given, Mapping):
        raise _TO.refusal("event_or_record", given, "an event, or a record as a mapping")
    try:
        fields = dict(cast(Mapping[str, Any], given))
    except Exception as error:
        raise InvalidRecord(f"to_cloudevent(): the record, {shown(given)}, cannot be read") from error
    fields = codec.decode_fields(codec.encode_record(fields))
    if "d" in fields:  # it is a line of a log, and these are the log's
        del fields["d"]
        if "h" not in fields:
            fields.pop("c", None)
    return fields


def _reference(source: object) -> str:
    text = _TO.text("source", source, wanted="a URI")
    if not _REFERENCE.fullmatch(text):
        raise _TO.refusal("source", text, "a URI, without spaces", "write, say, 'https://example.com/hub'")
    return text


def _message(fields: dict[str, Any], source: str | None) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    """What no attribute can hold."""
    texts = {name: fields[name] for name in (*_EXTENSIONS, "id", "kind", "agent_id") if name in fields}
    for name in [name for name, value in texts.items() if not _is_text(value)]:
        rest[name] = texts.pop(name)
    hub = texts.get("hub")
    message = {
        "specversion": "1.0",
        "id": texts["id"] if "id" in texts else _digest(fields),
        "source": source or (f"urn:hubwire:hub:{quote(hub, safe='')}" if hub else "urn:hubwire:record"),
        "type": texts.get("kind", "hubwire.record"),
    }
    if "agent_id" in texts:
        message["subject"] = texts["agent_id"]
    if "at" in fields:
        (message if _is_time(fields["at"]) else rest)["time" if _is_time(fields["at"]) else "at"] = fields["at"]
    message |= _numbers(fields, rest)
    message |= {_EXTENSIONS[name]: value for name, value in texts.items() if name in _EXTENSIONS}
    for name in ("channel_id", "task_id", "agent_id"):
        if name in texts:
            message["partitionkey"] = texts[name]
            break
    if "metadata" in fields:
        rest["metadata"] = fields["metadata"]
    if rest:
        message["hubheader"] = _json_text(rest)
    message["datacontenttype"] = "application/json"
    message["data"] = _data(fields)
    return message


def _numbers(fields: Mapping[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    if "seq" in fields:
        seq = fields["seq"]
        if type(seq) is int and 0 <= seq < 10**20:
            numbers["sequence"] = f"{seq:020d}"
        else:
            rest["seq"] = seq
    if "depth" in fields:
        depth = fields["depth"]
        is_small = type(depth) is int and -_INT32 <= depth < _INT32
        (numbers if is_small else rest)["depth"] = depth
    return numbers


def _data(fields: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in fields.items() if name not in _HEADER}
    data = own.get("data")
    if own.keys() == {"data"} and type(data) is dict and not _has_data(fields.get("kind")):
        return data
    return own


def _has_data(kind: Any) -> bool:
    """Tell whether events of a kind have a field of their own that is named as that of generic ones."""
    cls = kind_class(kind) if type(kind) is str else None
    return cls is not None and "data" in own_fields(cls)


def _is_text(value: Any) -> bool:
    return type(value) is str and _TEXT.fullmatch(value) is not None


def _is_time(value: Any) -> bool:
    if type(value) is not str or not _TIME.fullmatch(value):
        return False
    try:
        dt.datetime.fromisoformat(value.upper())
    except ValueError:
        return False
    return True


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(codec.encode_fields(fields)).hexdigest()[:32]


def _json_text(value: Any) -> str:
    """Return JSON in ASCII: with what is escaped it is text that CloudEvents allows."""
    text: str = _json.encode(value).decode()
    return "".join(each if " " <= each <= "~" else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


# --- reading --------------------------------------------------------------------------------------------------------


def from_cloudevent(message: Mapping[str, Any] | bytes | str, *, kind: str | None = None) -> Event:
    """Return the event of a message.

    One that :func:`to_cloudevent` made of an event becomes that event, with its ``seq``, ``id``, ``at`` and ``hub``; it
    is generic where its kind is not declared. One of another system becomes an event that can be emitted: ``type`` is
    its kind, its ``source``, ``id`` and ``time`` are ``source``, ``source_id`` and ``occurred_at``, ``traceparent`` and
    ``correlationid`` are taken over, and all other attributes are in its metadata under ``cloudevent``. ``kind`` is the
    one that it gets instead, where its type is not spelt as kinds are. Data that is not an object is in the field
    ``data``; ``data_base64`` is there as bytes are in events, ``{"$bytes": ...}``.

    Whether the sender is who it says is not known from the message: see ``hubwire.listeners.webhook`` for signatures.

    Raises :class:`~hubwire.errors.InvalidRecord` if it is not a message of version 1.0, and
    :class:`~hubwire.errors.ConfigurationError` for arguments that are neither.
    """
    fields = _message_of(message)
    if kind is not None:
        kind = _FROM.text("kind", kind, wanted="a kind of event")
        check_kind(kind)
    data = _data_of(fields)
    if kind is None and type(fields.get("hubid")) is str and type(fields.get("sequence")) is str:
        own = _header_of(fields)
        if own is not None:
            return _event_of(own, data)
    return evolve(_event_of(_foreign_header_of(fields, kind), data))


def _message_of(message: Any) -> dict[str, Any]:
    if is_a(message, Mapping):
        try:
            fields = dict(message)
        except Exception as error:
            raise InvalidRecord(f"from_cloudevent(): the message, {shown(message)}, cannot be read") from error
        fields = codec.decode_fields(codec.encode_record(fields))
    elif is_a(message, (bytes, bytearray, memoryview, str)):
        try:
            body = str.__str__(message).encode() if is_a(message, str) else bytes(message)
            fields = codec.decode_fields(body)
        except (InvalidRecord, UnicodeEncodeError, ValueError, TypeError) as error:
            raise InvalidRecord("from_cloudevent(): the message is not one JSON object") from error
    else:
        raise _FROM.refusal("message", message, "a CloudEvent as a mapping, or as JSON")
    if fields.get("specversion") != "1.0":
        raise InvalidRecord(
            f"from_cloudevent(): the message has specversion {shown(fields.get('specversion'))}, and not '1.0':"
            " give a CloudEvent of that version, in the structured mode of JSON"
        )
    for name in ("id", "source", "type"):
        if type(fields.get(name)) is not str or not fields[name]:
            raise InvalidRecord(f"from_cloudevent(): the message has no {name}, which each CloudEvent has")
    return fields


def _data_of(message: Mapping[str, Any]) -> dict[str, Any]:
    if "data_base64" in message:
        given = message["data_base64"]
        try:
            base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidRecord("from_cloudevent(): data_base64 of the message is not Base64") from error
        return {"data": {"$bytes": given}}
    data = message.get("data")
    if data is None:
        return {}
    return data if type(data) is dict else {"data": data}


def _header_of(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the header of an event of a hub; None if the message is of another sender who uses the same names."""
    try:
        rest = codec.decode_fields(message.get("hubheader", "{}").encode())
        header: dict[str, Any] = {"seq": int(message["sequence"])}
    except (InvalidRecord, UnicodeEncodeError, ValueError, AttributeError):
        return None
    header |= {"id": message["id"], "at": message.get("time", ""), "hub": message["hubid"], "kind": message["type"]}
    header |= {name: message[key] for name, key in _EXTENSIONS.items() if key in message and name not in {"hub", "h"}}
    if "subject" in message:
        header["agent_id"] = message["subject"]
    if "depth" in message:
        header["depth"] = message["depth"]
    return header | {name: value for name, value in rest.items() if name in _HEADER}


def _foreign_header_of(message: Mapping[str, Any], kind: str | None) -> dict[str, Any]:
    header: dict[str, Any] = {
        "kind": message["type"] if kind is None else kind,
        "source": message["source"],
        "source_id": message["id"],
        "seq": -1,
    }
    taken = {"specversion", "id", "source", "data", "data_base64"}
    if kind is None or kind == message["type"]:
        taken.add("type")
    if _is_time(message.get("time")):
        header["occurred_at"] = message["time"]
        taken.add("time")
    traceparent, correlation_id = message.get("traceparent"), message.get("correlationid")
    if type(traceparent) is str and TRACEPARENT.fullmatch(traceparent):
        header["traceparent"] = traceparent
        taken.add("traceparent")
    if _is_text(correlation_id):
        header["correlation_id"] = correlation_id
        taken.add("correlationid")
    if message.get("datacontenttype") == "application/json":
        taken.add("datacontenttype")
    if rest := {name: value for name, value in message.items() if name not in taken}:
        header["metadata"] = canonical({_FOREIGN_KEY: rest})
    return header


def _event_of(header: dict[str, Any], data: dict[str, Any]) -> Event:
    """Return the event of a class where its kind is declared and the data are its fields; else a generic one."""
    data = canonical(data)
    cls = kind_class(header["kind"])
    if cls is not None and _HEADER.isdisjoint(data):
        event = codec.decode(codec.encode_fields({**data, **header}))
        # What a command has made, in a version with other fields, is no generic event.
        if type(event) is not UnknownEvent or cls.command is not None:
            return event
    return codec.decode(codec.encode_fields({**header, "data": data}))
