"""The gist of an event: what its line says, beside who, what kind and where."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from ._gone import in_words
from .provenance import provenance_of

__all__ = ("Called", "gist_of")


class Called(Protocol):
    """Says what agents and channels are called; the end of an id where that is not known."""

    def agent(self, agent_id: str) -> str: ...
    def any(self, identifier: str) -> str: ...


_AUDIENCE_MAX = 4
_COMMITTED_MAX = 8
_BEGINNING_MAX = 160
_DIGITS_MAX = 20
"""Characters of what an agent was asked or has answered: its beginning tells which one it is."""

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)

# Fields that stand elsewhere in the line, or are for programs.
_LEFT_OUT = frozenset(
    (
        "$c",
        "agent_id",
        "approval_id",
        "at",
        "call_id",
        "causation_id",
        "channel_id",
        "correlation_id",
        "d",
        "depth",
        "digest",
        "duration_ms",
        "envelope_id",
        "h",
        "hub",
        "id",
        "kind",
        "listener",
        "occurred_at",
        "participants",
        "recipients",
        "seq",
        "source",
        "source_id",
        "started_at",
        "traceparent",
        "turn_id",
    )
)


def gist_of(fields: Mapping[str, Any], names: Called) -> str:
    """Return what an event says, whole and not escaped; names stand in the place of ids."""
    kind = fields.get("kind")
    data = fields.get("data")
    if isinstance(data, dict) and data.keys() == {"$redacted"}:
        return f"withheld: it could not be redacted ({_text(data['$redacted'])})"
    gist = _GISTS.get(kind) if isinstance(kind, str) else None
    text = _rest(fields, names) if gist is None or "cut" in fields else gist(fields, names)
    if isinstance(fields.get("metadata"), Mapping) and (words := provenance_of(fields)):
        return f"⟨from {', '.join(words)}⟩ {text}".rstrip()
    return text


# --- talk -----------------------------------------------------------------------------------------------------------


def _posted(fields: Mapping[str, Any], names: Called) -> str:
    audience, topic = fields.get("audience"), fields.get("topic")
    places = [f"on {topic}"] if isinstance(topic, str) else []
    if isinstance(audience, list) and audience:
        more = f" and {len(audience) - _AUDIENCE_MAX} more" if len(audience) > _AUDIENCE_MAX else ""
        places.append(f"→ {', '.join(names.agent(str(agent_id)) for agent_id in audience[:_AUDIENCE_MAX])}{more}")
    return (f"{' '.join(places)}: " if places else "") + _said(fields.get("content"))


def _registered(fields: Mapping[str, Any], _: Called) -> str:
    capabilities = fields.get("capabilities")
    return f"can {', '.join(map(str, capabilities))}" if isinstance(capabilities, list) and capabilities else ""


def _created(fields: Mapping[str, Any], names: Called) -> str:
    participants = fields.get("participants")
    if not isinstance(participants, list):
        return ""
    if len(participants) > _AUDIENCE_MAX:
        return f"{len(participants)} participants"
    return f"with {', '.join(names.agent(str(agent_id)) for agent_id in participants)}"


def _rejected(fields: Mapping[str, Any], _: Called) -> str:
    return str(fields.get("reason"))


# --- calls ----------------------------------------------------------------------------------------------------------


def _called(fields: Mapping[str, Any], _: Called) -> str:
    arguments = fields.get("arguments")
    return f"{fields.get('tool')}({'' if arguments is None else _pairs(arguments)})"


def _completed(fields: Mapping[str, Any], _: Called) -> str:
    return f"{fields.get('tool')} → {_text(fields.get('result'))}"


def _tool_failed(fields: Mapping[str, Any], _: Called) -> str:
    return f"{fields.get('tool')} ✗ {_error(fields)}"


def _model_called(fields: Mapping[str, Any], _: Called) -> str:
    return _joined(fields.get("model"), "←", _newest(fields.get("request")))


def _model_completed(fields: Mapping[str, Any], _: Called) -> str:
    numbers = [
        *(f"{count:,} {word}" for key, word in _TOKENS if type(count := fields.get(key)) is int),
        *([] if (took := _took(fields)) is None else [took]),
    ]
    said = _joined(fields.get("model"), "→", _newest(fields.get("response")))
    return f"{said} ({', '.join(numbers)})" if numbers else said


_TOKENS = (("input_tokens", "in"), ("output_tokens", "out"))


def _model_failed(fields: Mapping[str, Any], _: Called) -> str:
    return f"{fields.get('model')} ✗ {_error(fields)}"


# --- turns ----------------------------------------------------------------------------------------------------------


def _turn_started(fields: Mapping[str, Any], _: Called) -> str:
    prompt = fields.get("prompt")
    return "" if prompt is None else f"← {_newest(prompt)}"


def _turn_ended(fields: Mapping[str, Any], _: Called) -> str:
    content, calls, took = fields.get("content"), fields.get("tool_calls"), _took(fields)
    numbers = [
        *([f"{calls:,} tool call{'' if calls == 1 else 's'}"] if type(calls) is int and calls else []),
        *([] if took is None else [took]),
    ]
    said = "" if content is None else f"→ {_newest(content)}"
    return " ".join(filter(None, (said, f"({', '.join(numbers)})" if numbers else "")))


def _turn_failed(fields: Mapping[str, Any], _: Called) -> str:
    return f"✗ {_error(fields)}"


def _committed(fields: Mapping[str, Any], _: Called) -> str:
    """Say what a turn has led to, by the kinds: the events themselves stand below it."""
    events = fields.get("events")
    if not isinstance(events, list):
        return ""
    kinds = [str(each.get("kind")) for each in events[:_COMMITTED_MAX] if isinstance(each, dict)]
    return ", ".join(kinds) + (f" and {len(events) - _COMMITTED_MAX} more" if len(events) > _COMMITTED_MAX else "")


# --- approvals ------------------------------------------------------------------------------------------------------


def _requested(fields: Mapping[str, Any], _: Called) -> str:
    arguments = fields.get("arguments")
    return f"{fields.get('action')}({'' if arguments is None else _pairs(arguments)})"


def _verdict(fields: Mapping[str, Any], _: Called) -> str:
    approvers, reason = fields.get("approvers"), fields.get("reason")
    by = f" by {', '.join(map(str, approvers))}" if isinstance(approvers, list) and approvers else ""
    return f"{fields.get('action')}{by}{f': {reason}' if reason else ''}"


def _scored(fields: Mapping[str, Any], _: Called) -> str:
    score, reason = fields.get("risk_score"), fields.get("reason")
    risk = f"{fields.get('risk_level')} {score:.2g}" if type(score) in (int, float) else str(fields.get("risk_level"))
    return f"{fields.get('action')}: {risk}{f', {reason}' if reason else ''}"


def _issued(fields: Mapping[str, Any], _: Called) -> str:
    approvers, quorum = fields.get("approvers"), fields.get("quorum")
    whom = f" → {', '.join(map(str, approvers))}" if isinstance(approvers, list) and approvers else ""
    return f"{fields.get('action')}{whom}: {fields.get('challenge')}, {quorum} to answer"


def _answered(fields: Mapping[str, Any], _: Called) -> str:
    reason = fields.get("reason")
    says = "yes" if fields.get("is_passed") is True else "no"
    return f"{fields.get('action')}: {fields.get('approver')} says {says}{f': {reason}' if reason else ''}"


# --- the hub --------------------------------------------------------------------------------------------------------


def _stopped(fields: Mapping[str, Any], _: Called) -> str:
    """Say how many records the logs had: their heads are for programs, and ``-o json`` has them."""
    heads = fields.get("heads")
    if not isinstance(heads, dict):
        return ""
    counted = [(str(name), _records_of(head)) for name, head in heads.items()]
    return ", ".join(f"{name}: {records}" for name, records in counted[:_COMMITTED_MAX] if records)


def _records_of(head: Any) -> str:
    """Return how many records are before a head; empty if it is none."""
    records, colon, _ = str(head).partition(":")
    if not colon or not records.isascii() or not records.isdigit() or len(records) > _DIGITS_MAX:
        return ""
    return f"{int(records):,} record" + ("s" if int(records) != 1 else "")


# --- all others -----------------------------------------------------------------------------------------------------


def _rest(fields: Mapping[str, Any], names: Called) -> str:
    rest = {key: value for key, value in fields.items() if key not in _LEFT_OUT and value not in (None, "", [], {})}
    metadata = rest.get("metadata")
    if isinstance(metadata, dict):  # the text itself shows that it was redacted, and what is before it where it is from
        shown = {"redacted", "provenance"} if provenance_of(fields) else {"redacted"}
        if metadata.keys() <= shown:
            del rest["metadata"]
    if rest.keys() == {"data"}:
        if not isinstance(rest["data"], dict):
            return _text(rest["data"])
        rest = rest["data"]
    return _pairs({_said_of(key, value): _named(value, names) for key, value in rest.items()})


def _said_of(key: str, value: Any) -> str:
    """Return a key as it stands beside a name."""
    return key.removesuffix("_id") if isinstance(value, str) and _ID.fullmatch(value) else key


def _named(value: Any, names: Called) -> Any:
    """Return the names of the agents and channels whose ids a value is, or holds."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return names.any(value)
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        more = [f"and {len(value) - _AUDIENCE_MAX} more"] if len(value) > _AUDIENCE_MAX else []
        return ", ".join([*(str(_named(each, names)) for each in value[:_AUDIENCE_MAX]), *more])
    return value


_GISTS: dict[str, Callable[[Mapping[str, Any], Called], str]] = {
    "agent.registered": _registered,
    "approval.approved": _verdict,
    "approval.challenge_completed": _answered,
    "approval.challenge_issued": _issued,
    "approval.denied": _verdict,
    "approval.escalated": _verdict,
    "approval.expired": _verdict,
    "approval.requested": _requested,
    "approval.returned": _verdict,
    "approval.risk_scored": _scored,
    "approval.trust_computed": _scored,
    "approval.withdrawn": _verdict,
    "channel.created": _created,
    "envelope.posted": _posted,
    "envelope.rejected": _rejected,
    "hub.stopped": _stopped,
    "model.abandoned": _model_failed,
    "model.called": _model_called,
    "model.completed": _model_completed,
    "model.failed": _model_failed,
    "tool.abandoned": _tool_failed,
    "tool.called": _called,
    "tool.completed": _completed,
    "tool.failed": _tool_failed,
    "turn.abandoned": _turn_failed,
    "turn.committed": _committed,
    "turn.ended": _turn_ended,
    "turn.failed": _turn_failed,
    "turn.started": _turn_started,
}


# --- texts ----------------------------------------------------------------------------------------------------------


def _error(fields: Mapping[str, Any]) -> str:
    return str(fields.get("error_message") or fields.get("error_type") or fields.get("reason") or "")


def _took(fields: Mapping[str, Any]) -> str | None:
    """Return how long it took, as ``40 ms`` or ``1.84 s``; None if that was not measured."""
    taken: Any = fields.get("duration_ms")
    if type(taken) not in (int, float) or not 0 <= taken < 1e12:
        return None
    return f"{taken:.0f} ms" if taken < 1000 else f"{taken / 1000:.2f} s"


def _joined(name: Any, sign: str, said: str) -> str:
    return f"{name} {sign} {said}" if said else str(name)


def _newest(content: Any) -> str:
    """Return the beginning of what was said last in a request, a response or a prompt."""
    for _ in range(6):
        if isinstance(content, list) and content and all(isinstance(each, (dict, str)) for each in content):
            content = content[-1]
        elif isinstance(content, dict) and (key := next((key for key in _SPEAKING if content.get(key)), None)):
            content = content[key]
        else:
            break
    said = "" if content is None else _text(content).strip()
    return said if len(said) <= _BEGINNING_MAX else f"{said[: _BEGINNING_MAX - 1]}…"


_SPEAKING = ("messages", "choices", "message", "output", "content", "text", "prompt", "input")
"""Where the words stand in what the makers of models send and answer."""


def _said(content: Any) -> str:
    if not isinstance(content, dict) or "text" not in content:
        return _text(content)
    rest = {key: value for key, value in content.items() if key != "text"}
    return f"{_text(content['text'] or '(no text)')}{f' ({_pairs(rest)})' if rest else ''}"


def _pairs(fields: Any) -> str:
    if not isinstance(fields, dict) or any(str(key).startswith("$") for key in fields):
        return _text(fields)
    return ", ".join(f"{key}={_text(value)}" for key, value in fields.items())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    encoded = msgspec.json.encode(value)
    if b'{"$' in encoded:  # it may stand for a content that is not there
        told = in_words(value)
        if told is not value:
            return told if isinstance(told, str) else msgspec.json.encode(told).decode()
    return encoded.decode()
