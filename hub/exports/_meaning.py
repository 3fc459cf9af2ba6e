"""What a record says in the terms that other tools share: when, how grave, how it ended, in which trace, by whom."""

from __future__ import annotations

import datetime as dt
import re
from collections import OrderedDict
from typing import Any

import attrs

__all__ = ("Meaning", "Names", "domain_of", "meaning_of", "text_of")

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAMES_MAX = 10_000
_SUCCESS = frozenset(
    {"accepted", "acked", "approved", "completed", "ended", "opened", "posted", "promoted", "registered", "started"}
)
_FAILURE = frozenset(
    {"abandoned", "crashed", "dead_lettered", "denied", "dispatch_failed", "expired", "failed", "rejected", "violated"}
)


@attrs.frozen
class Meaning:
    """What a record says, in terms that the formats for other tools share."""

    nanoseconds: int | None
    """When it happened, since 1970 in UTC; None if the record does not say."""
    severity: str
    """``info``, ``warning`` or ``error``."""
    outcome: str
    """``success``, ``failure`` or ``unknown``."""
    trace_id: str | None
    span_id: str | None
    message: str
    """One line for people."""


def meaning_of(fields: dict[str, Any]) -> Meaning:
    """Return what a record says. What it does not say itself follows from the last word of its kind."""
    kind = text_of(fields, "kind") or "record"
    traceparent = _TRACEPARENT.fullmatch(text_of(fields, "traceparent") or "")
    return Meaning(
        nanoseconds=_nanoseconds(text_of(fields, "at")),
        severity=severity if (severity := fields.get("severity")) in ("info", "warning", "error") else "info",
        outcome=_outcome(kind.rpartition(".")[2], fields.get("outcome")),
        trace_id=traceparent and traceparent[1],
        span_id=traceparent and traceparent[2],
        message=_message(kind, fields),
    )


def domain_of(fields: dict[str, Any]) -> str:
    """Return the first word of the kind: ``tool``, ``approval``."""
    return (text_of(fields, "kind") or "").partition(".")[0]


def text_of(fields: dict[str, Any], name: str) -> str | None:
    """Return a field that is text and not empty."""
    value = fields.get(name)
    return value if type(value) is str and value else None


def _nanoseconds(at: str | None) -> int | None:
    if at is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(at)
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):  # by its zone it may be before year 1, or after 9999
        return None
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _outcome(verb: str, said: object) -> str:
    if type(said) is str and said:
        return {"success": "success", "failure": "failure", "denied": "failure"}.get(said, "unknown")
    return "success" if verb in _SUCCESS else "failure" if verb in _FAILURE else "unknown"


def _message(kind: str, fields: dict[str, Any]) -> str:
    content = fields.get("content")
    what = text_of(fields, "tool") or text_of(fields, "model") or text_of(fields, "action")
    detail = text_of(fields, "error_message") or text_of(fields, "reason")
    if detail is None and type(content) is dict:
        detail = text_of(content, "text")
    head = kind if what is None else f"{kind} {what}"
    return head if detail is None else f"{head}: {detail}"


class Names:
    """The names of agents, as far as the records before say them: of the last 10,000."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()

    def learn(self, fields: dict[str, Any]) -> None:
        match fields:
            case {"kind": "agent.registered", "agent_id": str(agent_id), "name": str(name)} if name:
                self._names[agent_id] = name
                if len(self._names) > _NAMES_MAX:
                    self._names.popitem(last=False)

    def of(self, agent_id: str) -> str | None:
        return self._names.get(agent_id)
