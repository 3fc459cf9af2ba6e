"""OTLP, the protocol of OpenTelemetry, as log records in JSON: what its file exporter writes and a Collector reads.

A line is an ``ExportLogsServiceRequest``. Ids of traces are hexadecimal, and whole numbers are text, as its mapping of
JSON says. The names of the attributes are those of the GenAI conventions where they have one, and else ``hub.*``, as
spans of a hub have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .._version import installed_version
from ._format import Format
from ._meaning import Names, domain_of, meaning_of, text_of
from ._record import ExportRecord

__all__ = ("Otlp",)

_NANOSECONDS_END = 2**64
"""The field is fixed64, which ends in 2554; 0 is a time that is not known."""

_SEVERITY = {"info": (9, "INFO"), "warning": (13, "WARN"), "error": (17, "ERROR")}
_OPERATIONS = {"tool": "execute_tool", "model": "chat", "turn": "invoke_agent", "task": "invoke_workflow"}
_TEXTS = {
    "agent_id": "gen_ai.agent.id",
    "channel_id": "gen_ai.conversation.id",
    "error_type": "error.type",
    "id": "hub.event.id",
    "hub": "hub.id",
    "h": "hub.chain",
    "tenant": "hub.tenant",
    "actor": "hub.actor",
    "task_id": "hub.task.id",
    "turn_id": "hub.turn.id",
    "session_id": "hub.session.id",
    "approval_id": "hub.approval.id",
    "correlation_id": "hub.correlation_id",
    "causation_id": "hub.causation_id",
    "outcome": "hub.outcome",
}
_NUMBERS = {
    "seq": "hub.seq",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
}
_INT64 = 2**63

_encode = msgspec.json.Encoder().encode


class Otlp(Format):
    """Some hundred records a line, as log records of OTLP in JSON.

    The body of a log record is the whole record, its event name the kind.
    """

    media_type = "application/jsonl"
    suffix = ".otlp.jsonl"

    def __init__(self) -> None:
        self._version = installed_version()
        self._names = Names()

    def begin(self, redaction: str | None) -> bytes:  # noqa: ARG002 - it is for formats that say it
        self._names = Names()
        return b""

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        resource = [_attribute("service.name", "hubwire"), _attribute("service.version", self._version)]
        logs = {
            "scope": {"name": "hubwire", "version": self._version},
            "logRecords": [self._log_record(record) for record in records],
        }
        return b"%b\n" % _encode({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [logs]}]})

    def _log_record(self, record: ExportRecord) -> dict[str, Any]:
        fields = record.fields
        self._names.learn(fields)
        meaning = meaning_of(fields)
        number, text = _SEVERITY[meaning.severity]
        known = meaning.nanoseconds or 0
        nanoseconds = str(known if 0 <= known < _NANOSECONDS_END else 0)
        made: dict[str, Any] = {
            "timeUnixNano": nanoseconds,
            "observedTimeUnixNano": nanoseconds,
            "severityNumber": number,
            "severityText": text,
            "eventName": text_of(fields, "kind") or "hubwire.record",
            "body": _value(fields),
            "attributes": self._attributes(fields),
        }
        if meaning.trace_id is not None:
            made |= {"traceId": meaning.trace_id, "spanId": meaning.span_id}
        return made

    def _attributes(self, fields: dict[str, Any]) -> list[dict[str, Any]]:
        found: dict[str, Any] = {
            name: fields[field] for field, name in _TEXTS.items() if text_of(fields, field) is not None
        }
        found |= {name: fields[field] for field, name in _NUMBERS.items() if type(fields.get(field)) is int}
        domain = domain_of(fields)
        if domain in _OPERATIONS:
            found["gen_ai.operation.name"] = _OPERATIONS[domain]
        if domain == "tool":
            found |= {"gen_ai.tool.name": text_of(fields, "tool"), "gen_ai.tool.call.id": text_of(fields, "call_id")}
        if domain == "model":
            found["gen_ai.request.model"] = text_of(fields, "model")
        if agent_id := text_of(fields, "agent_id"):
            found["gen_ai.agent.name"] = self._names.of(agent_id)
        return [_attribute(name, value) for name, value in found.items() if value is not None]


def _attribute(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": _value(value)}


def _value(value: Any) -> dict[str, Any]:
    """Return a value of JSON as an ``AnyValue``; None is the empty one."""
    match value:
        case str():
            return {"stringValue": value}
        case bool():
            return {"boolValue": value}
        case int() if -_INT64 <= value < _INT64:
            return {"intValue": str(value)}
        case int():
            return {"stringValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case dict():
            return {"kvlistValue": {"values": [_attribute(name, each) for name, each in value.items()]}}
        case _:
            return {}
