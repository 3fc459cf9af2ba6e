"""The columns of what is a table: what each record has, and in one column the fields that are of its kind."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ("DATA", "NUMBERS", "TABLE", "json_text", "row_of")

DATA = "data"
"""The column of all fields that have no column of their own, as one JSON object."""

TABLE = (
    *("seq", "at", "kind", "agent_id", "channel_id", "task_id", "turn_id", "session_id", "tenant", "actor"),
    *("severity", "outcome", DATA, "correlation_id", "causation_id", "traceparent", "source", "source_id"),
    *("occurred_at", "id", "hub", "d", "h"),
)
"""The columns, if no others are asked for: what people look for first, then what programs need."""

NUMBERS = frozenset({"seq", "d"})

_INT64_MAX = 2**63 - 1
_encode = msgspec.json.Encoder(order="sorted").encode


def row_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the value of each column of the table; a field whose value is not of its column's type is in ``data``."""
    row: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in fields.items():
        if name == DATA or name not in _COLUMNS or not _fits(name, value):
            rest[name] = value
        else:
            row[name] = value
    if rest:
        row[DATA] = json_text(rest)
    return row


_COLUMNS = frozenset(TABLE)


def _fits(name: str, value: Any) -> bool:
    if name in NUMBERS:
        return type(value) is int and abs(value) <= _INT64_MAX
    return type(value) is str


def json_text(value: Any) -> str:
    """Return a value as JSON, with sorted keys."""
    return _encode(value).decode()
