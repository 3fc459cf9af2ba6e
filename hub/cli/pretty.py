"""A record as one line for a person: time, seq, agent, kind, channel, and the gist of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .output import Paint, crop, escape, is_terminal
from .target import Names

__all__ = ("Pretty",)

_WIDE = 120
"""Columns from which on a line has room for all its parts."""

_KIND_CELLS = 18
_AUDIENCE_MAX = 4
_COMMITTED_MAX = 8

# Fields that stand elsewhere in the line, or are for programs.
_LEFT_OUT = frozenset(
    (
        "agent_id",
        "at",
        "causation_id",
        "channel_id",
        "correlation_id",
        "d",
        "depth",
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
        "traceparent",
    )
)


class Pretty:
    """Makes lines for a terminal or a file, learning the names of agents and channels on the way.

    ``short_time`` leaves out the date, for events of the moment. On a terminal a line is cut to its width.
    """

    def __init__(self, names: Names | None = None, *, short_time: bool = False) -> None:
        self.names: Names = names or Names()
        self._paint = Paint(sys.stdout)
        self._columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
        is_narrow = self._columns is not None and self._columns < _WIDE
        self._time = slice(11, 23) if short_time or is_narrow else slice(0, 23)
        self._who_cells_max, self._where_cells_max = (16, 16) if is_narrow else (28, 32)
        self._who_cells = 8

    def line(self, fields: dict[str, Any]) -> str:
        """Return the line for a record."""
        self.names.learn(fields)
        paint = self._paint
        kind, seq = str(fields.get("kind", "")), fields.get("seq")
        who, where, gist = self._who(fields), self._where(fields), _gist(kind, fields, self.names)
        self._who_cells = max(self._who_cells, len(who))
        head = (
            escape(str(fields.get("at", "")))[self._time].replace("T", " ").ljust(self._time.stop - self._time.start),
            (f"#{seq}" if isinstance(seq, int) else "").rjust(6),
            who.ljust(self._who_cells),
            escape(kind).ljust(_KIND_CELLS),
            where,
        )
        if self._columns is None:
            gist = escape(gist)
        else:
            room = self._columns - len(" ".join(filter(None, head))) - 2
            gist = crop(escape(gist[: self._columns]), max(room, 10))
        time, number, who, what, where = head
        if kind.endswith((".failed", ".rejected", ".violated", ".damaged")) or fields.get("severity") == "error":
            what, gist = paint.red(what), paint.red(gist)
        who = paint.by(who, who.rstrip()) if who.strip() else who
        parts = (paint.dim(time), paint.dim(number), who, what, paint.dim(where), gist)
        return " ".join(filter(None, parts)).rstrip()

    def damaged(self, index: int, line: bytes) -> str:
        """Return the line for a record that cannot be read."""
        shown = escape(line[:80].decode(errors="backslashreplace"))
        return self._paint.red(f"record {index} is damaged: {shown}{'…' if len(line) > 80 else ''}")

    def _who(self, fields: Mapping[str, Any]) -> str:
        agent_id = fields.get("agent_id")
        who = self.names.agent(agent_id) if isinstance(agent_id, str) else str(fields.get("listener") or "")
        return crop(escape(who), self._who_cells_max)

    def _where(self, fields: Mapping[str, Any]) -> str:
        channel_id = fields.get("channel_id")
        return (
            f"[{crop(escape(self.names.channel(channel_id)), self._where_cells_max)}]"
            if isinstance(channel_id, str)
            else ""
        )


def _gist(kind: str, fields: Mapping[str, Any], names: Names) -> str:
    data = fields.get("data")
    if isinstance(data, dict) and data.keys() == {"$redacted"}:
        return f"withheld: it could not be redacted ({_text(data['$redacted'])})"
    gist = _GISTS.get(kind)
    return _rest(fields, names) if gist is None or "cut" in fields else gist(fields, names)


def _posted(fields: Mapping[str, Any], names: Names) -> str:
    content, audience, topic = fields.get("content"), fields.get("audience"), fields.get("topic")
    places = [f"on {topic}"] if isinstance(topic, str) else []
    if isinstance(audience, list) and audience:
        more = f" and {len(audience) - _AUDIENCE_MAX} more" if len(audience) > _AUDIENCE_MAX else ""
        places.append(f"→ {', '.join(names.agent(str(agent_id)) for agent_id in audience[:_AUDIENCE_MAX])}{more}")
    to = f"{' '.join(places)}: " if places else ""
    if not isinstance(content, dict) or "text" not in content:
        return to + _text(content)
    rest = {key: value for key, value in content.items() if key != "text"}
    return f"{to}{_text(content['text'] or '(no text)')}{f' ({_pairs(rest)})' if rest else ''}"


def _called(fields: Mapping[str, Any], _: Names) -> str:
    arguments = fields.get("arguments")
    return f"{fields.get('tool')}({'' if arguments is None else _pairs(arguments)})"


def _completed(fields: Mapping[str, Any], _: Names) -> str:
    return f"{fields.get('tool')} → {_text(fields.get('result'))}"


def _failed(fields: Mapping[str, Any], _: Names) -> str:
    return f"{fields.get('tool')} ✗ {fields.get('error_message') or fields.get('error_type')}"


def _registered(fields: Mapping[str, Any], _: Names) -> str:
    capabilities = fields.get("capabilities")
    return f"can {', '.join(map(str, capabilities))}" if isinstance(capabilities, list) and capabilities else ""


def _created(fields: Mapping[str, Any], names: Names) -> str:
    participants = fields.get("participants")
    if not isinstance(participants, list):
        return ""
    if len(participants) > _AUDIENCE_MAX:
        return f"{len(participants)} participants"
    return f"with {', '.join(names.agent(str(agent_id)) for agent_id in participants)}"


def _committed(fields: Mapping[str, Any], _: Names) -> str:
    """Say what a turn has led to, by the kinds: the events themselves stand below it."""
    events = fields.get("events")
    if not isinstance(events, list):
        return ""
    kinds = [str(each.get("kind")) for each in events[:_COMMITTED_MAX] if isinstance(each, dict)]
    return ", ".join(kinds) + (f" and {len(events) - _COMMITTED_MAX} more" if len(events) > _COMMITTED_MAX else "")


def _rejected(fields: Mapping[str, Any], _: Names) -> str:
    return str(fields.get("reason"))


def _rest(fields: Mapping[str, Any], _: Names) -> str:
    rest = {key: value for key, value in fields.items() if key not in _LEFT_OUT and value not in (None, "", [], {})}
    metadata = rest.get("metadata")
    if isinstance(metadata, dict) and metadata.keys() == {"redacted"}:  # the text itself shows that it was redacted
        del rest["metadata"]
    return _pairs(rest["data"] if rest.keys() == {"data"} else rest)


_GISTS: dict[str, Callable[[Mapping[str, Any], Names], str]] = {
    "agent.registered": _registered,
    "channel.created": _created,
    "envelope.posted": _posted,
    "envelope.rejected": _rejected,
    "tool.called": _called,
    "tool.completed": _completed,
    "tool.failed": _failed,
    "turn.committed": _committed,
}


def _pairs(fields: Any) -> str:
    return (
        ", ".join(f"{key}={_text(value)}" for key, value in fields.items())
        if isinstance(fields, dict)
        else _text(fields)
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
