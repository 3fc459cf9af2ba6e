"""ECS, the Elastic Common Schema: a document a line, to be indexed as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ._format import Format
from ._meaning import Meaning, Names, domain_of, meaning_of, text_of
from ._record import ExportRecord

__all__ = ("Ecs",)

VERSION = "9.2.0"

_CATEGORY = {
    **dict.fromkeys(("tool", "model", "envelope", "turn", "task", "topic"), "api"),
    **dict.fromkeys(("agent", "approval", "token", "api_key", "key"), "iam"),
    **dict.fromkeys(("channel", "inbox"), "session"),
    **dict.fromkeys(("skill", "policy", "manifest"), "configuration"),
    **dict.fromkeys(("hub", "listener", "log", "mailbox", "actor", "group"), "process"),
}
_TYPES = {
    "started": "start",
    "called": "start",
    "opened": "start",
    "stopped": "end",
    "ended": "end",
    "completed": "end",
    "closed": "end",
    "registered": "creation",
    "created": "creation",
    "unregistered": "deletion",
    "approved": "allowed",
    "denied": "denied",
    "rejected": "denied",
    "failed": "error",
    "violated": "error",
}
_LEVEL = {"info": "info", "warning": "warning", "error": "error"}
_LABELS = ("channel_id", "task_id", "turn_id", "session_id", "approval_id", "envelope_id", "call_id", "correlation_id")

_MILLISECONDS_MAX = 1e12
"""Thirty years: of more, the nanoseconds would not fit the field."""

_encode = msgspec.json.Encoder().encode


class Ecs(Format):
    """A record a line, as a document of ECS 9.

    ``event.original`` is the whole record, ``event.hash`` its chain value, ``event.action`` its kind. An agent is a
    ``user``, because ``agent`` is the shipper there; what it belongs to is in ``labels``. Nothing of a record becomes a
    field of its own, so that the number of fields of an index does not grow.
    """

    media_type = "application/x-ndjson"
    suffix = ".ecs.ndjson"

    def __init__(self) -> None:
        self._names = Names()

    def begin(self, redaction: str | None) -> bytes:  # noqa: ARG002 - it is for formats that say it
        self._names = Names()
        return b""

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        return b"".join(b"%b\n" % _encode(self._document(record)) for record in records)

    def _document(self, record: ExportRecord) -> dict[str, Any]:
        fields = record.fields
        self._names.learn(fields)
        meaning = meaning_of(fields)
        original = record.line if record.whole is None else record.whole
        document: dict[str, Any] = {
            "@timestamp": text_of(fields, "at") if meaning.nanoseconds is not None else "1970-01-01T00:00:00Z",
            "ecs": {"version": VERSION},
            "message": meaning.message,
            "log": {"level": _LEVEL[meaning.severity]},
            "event": {**_event(fields, meaning), "original": original.decode(errors="backslashreplace")},
            "observer": _without_none(
                {"product": "hubwire", "vendor": "hubwire", "type": "hub", "serial_number": text_of(fields, "hub")}
            ),
        }
        if agent_id := text_of(fields, "agent_id"):
            document["user"] = _without_none({"id": agent_id, "name": self._names.of(agent_id)})
        if tenant := text_of(fields, "tenant"):
            document["organization"] = {"id": tenant}
        if meaning.trace_id is not None:
            document["trace"], document["span"] = {"id": meaning.trace_id}, {"id": meaning.span_id}
        if error := _without_none({"message": text_of(fields, "error_message"), "type": text_of(fields, "error_type")}):
            document["error"] = error
        if labels := _without_none({name: text_of(fields, name) for name in _LABELS}):
            document["labels"] = labels
        return document


def _event(fields: dict[str, Any], meaning: Meaning) -> dict[str, Any]:
    kind = text_of(fields, "kind") or "hubwire.record"
    seq = fields.get("seq")
    category, event_type = _CATEGORY.get(domain_of(fields)), _TYPES.get(kind.rpartition(".")[2])
    return _without_none(
        {
            "kind": "event",
            "action": kind,
            "module": "hubwire",
            "dataset": f"hubwire.{domain_of(fields) or 'record'}",
            "outcome": meaning.outcome,
            "id": text_of(fields, "id"),
            "sequence": seq if type(seq) is int and abs(seq) < 2**63 else None,
            "hash": text_of(fields, "h"),
            "category": None if category is None else [category],
            "type": ["info"] if event_type is None else [event_type],
            "duration": _nanoseconds(fields.get("duration_ms")),
            "reason": text_of(fields, "reason"),
        }
    )


def _nanoseconds(milliseconds: Any) -> int | None:
    if type(milliseconds) not in (int, float) or not 0 <= milliseconds < _MILLISECONDS_MAX:
        return None
    return int(milliseconds * 1_000_000)


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
