"""Spans of OpenTelemetry as OTLP JSON: exports of traces, in which GenAI spans are model calls, tool calls and turns.

The encoding is that of the OpenTelemetry Protocol Specification 1.x ("JSON Protobuf Encoding"), the attributes are
those of the Semantic Conventions for Generative AI. A span is known by its content, so a trace may come in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ... import GenericEvent
from ...events import (
    Event,
    ModelCalled,
    ModelCompleted,
    ModelFailed,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnFailed,
    TurnStarted,
)
from .conversation import UNKNOWN_TOOL, Conversation, Fact, Speaker, check_sizes
from .decoding import Digest, encoded
from .fields import Fields, Wrong, as_object, as_text, is_clean
from .format import Options
from .moments import moment_of

__all__ = ("OTLP",)

_RESOURCES = ("resourceSpans", "resource_spans")
_SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
_MODELS = ("chat", "text_completion", "generate_content", "embeddings", "completion")
_TOOLS = ("execute_tool",)
_TURNS = ("invoke_agent", "create_agent", "invoke_workflow")
_ERROR = (2, "STATUS_CODE_ERROR")
_TRACE, _SPAN = re.compile(r"(?!0{32})[0-9a-f]{32}"), re.compile(r"(?!0{16})[0-9a-f]{16}")
_WHOLE = re.compile(r"-?\d{1,20}", re.ASCII)

Phase = tuple[type[Event], Mapping[str, Any]]


class OTLP:
    """``otlp``."""

    name = "otlp"
    sign = "spans of OpenTelemetry"

    def recognises(self, value: Any, _: Options) -> bool:
        return isinstance(value, dict) and any(isinstance(value.get(key), list) for key in _RESOURCES)

    def facts(self, value: Any) -> Iterator[Conversation]:
        export = Fields(value)
        resources = export.take(*_RESOURCES)
        if not isinstance(resources, list):
            raise Wrong("has no 'resourceSpans': it is no export of spans as OTLP JSON")
        if export.left:
            raise Wrong(f"has {', '.join(sorted(export.left))} beside its spans, which cannot be imported")
        for each in resources:
            resource = Fields(each, "has as its resource spans")
            for scoped in resource.items(next((key for key in _SCOPES if key in resource), _SCOPES[0])):
                scope = Fields(scoped, "has as its scope spans")
                spans = scope.items("spans")
                around = {**resource.left, **scope.left}
                for span in spans:
                    yield _of_span(self.name, Fields(span, "has as a span"), around)


def _of_span(name: str, span: Fields, around: Mapping[str, Any]) -> Conversation:
    content = encoded([span.left, around])
    ids = {"trace_id": span.take("traceId", "trace_id"), "span_id": span.take("spanId", "span_id")}
    label = f"span {as_text(ids['span_id'])[:32]}"
    attributes = Fields(_attributes(span.items("attributes"), label))
    first, last = span.take(*_names("startTime")), span.take(*_names("endTime"))
    began, ended = moment_of(first), moment_of(last)
    header = _header(ids, attributes)
    speaker = _speaker(attributes)
    left = Fields({**ids, "start": first, "end": last, **span.left})
    begin, end = _phases(attributes, span, as_text(ids["span_id"]), _milliseconds(first, last))
    rest = {"span": left.left}
    if attributes.left:
        rest["attributes"] = attributes.left
    if around:
        rest["around"] = dict(around)
    parts = [Fact("0/called", begin[0], {**header, **begin[1]}, speaker, began, rest)]
    if end is not None and (ended is not None or end[0] in (ModelFailed, ToolFailed, TurnFailed)):
        parts.append(Fact("0/ended", end[0], {**header, **end[1]}, speaker, ended))
    check_sizes(parts, len(content))
    return Conversation(
        format=name,
        key=Digest().add(content),
        parts=tuple(parts),
        speakers=() if speaker is None else (speaker,),
        kept={f"span.{key}": 1 for key in left.left} | {f"attribute.{key}": 1 for key in attributes.left},
        has_channel=False,
    )


def _names(key: str) -> tuple[str, str]:
    return f"{key}UnixNano", f"{'start' if key == 'startTime' else 'end'}_time_unix_nano"


def _phases(attributes: Fields, span: Fields, span_id: str, duration_ms: float | None) -> tuple[Phase, Phase | None]:
    """Return how a span begins and how it ends, as kinds of events with their fields."""
    operation = as_text(attributes.peek("gen_ai.operation.name") or "")
    status = span.peek("status")
    status = status if isinstance(status, dict) else {}
    error = None
    if status.get("code") in _ERROR or attributes.peek("error.type") is not None:
        kind = as_text(attributes.peek("error.type") or "Error")
        message = as_text(status.get("message") or "")
        error = {"error_type": _shown(kind), "error_message": _shown(message)}
    timed = {"duration_ms": duration_ms}
    if operation in _MODELS or (not operation and attributes.peek("gen_ai.request.model") is not None):
        return _model(attributes, span_id, error, timed)
    if operation in _TOOLS:
        return _tool(attributes, span, span_id, error, timed)
    if operation in _TURNS:
        prompt = as_messages(attributes.take("gen_ai.input.messages"))
        content = as_messages(attributes.take("gen_ai.output.messages"))
        begin: Phase = (TurnStarted, {"turn_id": span_id, "prompt": prompt})
        if error is not None:
            return begin, (TurnFailed, {"turn_id": span_id, **error, **timed})
        return begin, (TurnEnded, {"turn_id": span_id, "content": content, **timed})
    return (GenericEvent, {"kind": "span.recorded", "data": {"name": span.peek("name"), **timed}}), None


def _model(
    attributes: Fields, span_id: str, error: dict[str, str] | None, timed: dict[str, Any]
) -> tuple[Phase, Phase]:
    model = _shown(as_text(attributes.peek("gen_ai.request.model", "gen_ai.response.model") or "unknown"))
    about = {"model": model, "call_id": span_id}
    said, told = attributes.take("gen_ai.input.messages"), attributes.take("gen_ai.system_instructions")
    request = (
        {"messages": as_messages(said)}
        if told is None
        else {
            "instructions": as_messages(told),
            "messages": as_messages(said),
        }
    )
    begin: Phase = (ModelCalled, {**about, "request": request if said is not None or told is not None else None})
    if error is not None:
        return begin, (ModelFailed, {**about, **error, **timed})
    tokens = {
        "input_tokens": _count(attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "output_tokens": _count(attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    }
    answer = attributes.take("gen_ai.output.messages")
    response = None if answer is None else {"messages": as_messages(answer)}
    return begin, (ModelCompleted, {**about, "response": response, **tokens, **timed})


def _tool(
    attributes: Fields, span: Fields, span_id: str, error: dict[str, str] | None, timed: dict[str, Any]
) -> tuple[Phase, Phase]:
    named = attributes.peek("gen_ai.tool.name")
    if named is None:
        named = as_text(span.peek("name") or "").removeprefix("execute_tool").strip() or UNKNOWN_TOOL
    call_id = attributes.peek("gen_ai.tool.call.id")
    about = {"tool": _shown(as_text(named)), "call_id": _shown(as_text(span_id if call_id is None else call_id))}
    arguments = as_object(attributes.take("gen_ai.tool.call.arguments"))
    begin: Phase = (ToolCalled, {**about, "arguments": arguments})
    if error is not None:
        return begin, (ToolFailed, {**about, **error, **timed})
    return begin, (ToolCompleted, {**about, "result": as_object(attributes.take("gen_ai.tool.call.result")), **timed})


def as_messages(value: Any) -> Any:
    """Return messages, which many exporters write as JSON in a text."""
    found = as_object(f'{{"value":{value}}}') if isinstance(value, str) and value.lstrip().startswith("[") else value
    return found["value"] if isinstance(found, dict) and set(found) == {"value"} else value


def _header(ids: Mapping[str, Any], attributes: Fields) -> dict[str, Any]:
    header: dict[str, Any] = {}
    trace, span = (as_text(ids[key] or "").lower() for key in ("trace_id", "span_id"))
    if _TRACE.fullmatch(trace) and _SPAN.fullmatch(span):
        header["traceparent"] = f"00-{trace}-{span}-01"
    session = attributes.peek("gen_ai.conversation.id")
    if isinstance(session, str) and session and is_clean(session):
        header["session_id"] = session
    return header


def _speaker(attributes: Fields) -> Speaker | None:
    name = attributes.peek("gen_ai.agent.name", "gen_ai.agent.id")
    return Speaker("agent", name) if isinstance(name, str) and name and is_clean(name) else None


def _count(attributes: Fields, *keys: str) -> int | None:
    for key in keys:
        value = attributes.peek(key)
        if type(value) is int and value >= 0:
            attributes.take(key)
            return value
    return None


def _shown(text: str) -> str:
    return text if is_clean(text) else text.encode(errors="backslashreplace").decode()


def _milliseconds(first: Any, last: Any) -> float | None:
    if _WHOLE.fullmatch(as_text(first)) and _WHOLE.fullmatch(as_text(last)) and int(last) >= int(first) > 0:
        return (int(last) - int(first)) / 1_000_000
    return None


def _attributes(listed: list[Any], label: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for each in listed:
        pair = Fields(each, f"{label} has as an attribute")
        key, value = pair.take("key"), pair.take("value")
        if pair.left:
            raise Wrong(f"{label} has an attribute with {', '.join(sorted(pair.left))} beside key and value")
        if not isinstance(key, str) or key in made:
            raise Wrong(f"{label} has the attribute {as_text(key)[:64]!r} twice, or without a key")
        made[key] = _value(value)
    return made


def _value(value: Any) -> Any:
    """Return an attribute's value; one in a form that is not that of OTLP stays as it is."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind in ("stringValue", "boolValue", "doubleValue", "string_value", "bool_value", "double_value"):
        return inner
    if kind in ("intValue", "int_value"):
        return int(inner) if isinstance(inner, str) and _WHOLE.fullmatch(inner) else inner
    if kind in ("arrayValue", "array_value") and isinstance(inner, dict) and set(inner) <= {"values"}:
        values = inner.get("values", [])
        return [_value(each) for each in values] if isinstance(values, list) else value
    if kind in ("kvlistValue", "kvlist_value") and isinstance(inner, dict) and set(inner) <= {"values"}:
        values = inner.get("values", [])
        return _attributes(values, "a span") if isinstance(values, list) else value
    return value
