"""A record as one line for a person: when, which, who, what, where, and the gist of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .output import Paint, crop, escape, is_terminal
from .target import Names

__all__ = ("Pretty",)

_WHO_CELLS = 16
_KIND_CELLS = 18
_TEXT_MAX = 4000
"""More of a text is not looked at where it cannot be shown anyway."""

# What stands elsewhere in the line, or is for machines.
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

    ``short_time`` leaves out the date, for what happens now.
    """

    def __init__(self, names: Names | None = None, *, short_time: bool = False) -> None:
        self.names = names or Names()
        self._paint = Paint(sys.stdout)
        self._is_cropped = is_terminal(sys.stdout)
        self._time = slice(11, 23) if short_time else slice(0, 23)

    def line(self, fields: dict[str, Any]) -> str:
        """Return the line for a record."""
        self.names.learn(fields)
        paint = self._paint
        kind, seq = str(fields.get("kind", "")), fields.get("seq")
        who, where = self._who(fields), self._where(fields)
        time = escape(str(fields.get("at", "")))[self._time].replace("T", " ").ljust(self._time.stop - self._time.start)
        number = f"#{seq}" if isinstance(seq, int) else ""
        gist = escape(_gist(kind, fields)[:_TEXT_MAX] if self._is_cropped else _gist(kind, fields))
        used = (
            len(time) + max(len(number), 6) + max(len(who), _WHO_CELLS) + max(len(kind), _KIND_CELLS) + len(where) + 7
        )
        if self._is_cropped:
            gist = crop(gist, max(shutil.get_terminal_size().columns - used - 1, 20))
        what = escape(kind).ljust(_KIND_CELLS)
        if kind.endswith((".failed", ".rejected", ".violated", ".damaged")) or fields.get("severity") == "error":
            what, gist = paint.red(what), paint.red(gist)
        parts = (
            paint.dim(time),
            paint.dim(number.rjust(6)),
            paint.by(who.ljust(_WHO_CELLS), who),
            what,
            f"{paint.dim(where)} {gist}" if where else gist,
        )
        return " ".join(parts).rstrip()

    def damaged(self, index: int, line: bytes) -> str:
        """Return the line for a record that cannot be read."""
        shown = escape(line[:80].decode(errors="backslashreplace"))
        return self._paint.red(f"record {index} is damaged: {shown}{'…' if len(line) > 80 else ''}")

    def _who(self, fields: Mapping[str, Any]) -> str:
        agent_id = fields.get("agent_id")
        who = self.names.agent(agent_id) if isinstance(agent_id, str) else str(fields.get("listener") or "")
        return crop(escape(who), 28)

    def _where(self, fields: Mapping[str, Any]) -> str:
        channel_id = fields.get("channel_id")
        return f"[{crop(escape(self.names.channel(channel_id)), 32)}]" if isinstance(channel_id, str) else ""


def _gist(kind: str, fields: Mapping[str, Any]) -> str:
    gist = _GISTS.get(kind)
    return _rest(fields) if gist is None or "cut" in fields else gist(fields)


def _said(fields: Mapping[str, Any]) -> str:
    content = fields.get("content")
    if isinstance(content, dict) and content.keys() == {"text"}:
        content = content["text"]
    return _text(content)


def _called(fields: Mapping[str, Any]) -> str:
    arguments = fields.get("arguments")
    shown = _pairs(arguments) if isinstance(arguments, dict) else "" if arguments is None else _text(arguments)
    return f"{fields.get('tool')}({shown})"


def _completed(fields: Mapping[str, Any]) -> str:
    return f"{fields.get('tool')} → {_text(fields.get('result'))}"


def _failed(fields: Mapping[str, Any]) -> str:
    return f"{fields.get('tool')} ✗ {fields.get('error_message') or fields.get('error_type')}"


def _registered(fields: Mapping[str, Any]) -> str:
    capabilities = fields.get("capabilities")
    return f"can {', '.join(map(str, capabilities))}" if isinstance(capabilities, list) and capabilities else ""


def _rejected(fields: Mapping[str, Any]) -> str:
    return str(fields.get("reason"))


def _rest(fields: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in fields.items() if key not in _LEFT_OUT and value not in (None, "", [], {})}
    return _pairs(rest.get("data", rest) if rest.keys() == {"data"} else rest)


_GISTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "agent.registered": _registered,
    "envelope.posted": _said,
    "envelope.rejected": _rejected,
    "tool.called": _called,
    "tool.completed": _completed,
    "tool.failed": _failed,
}


def _pairs(fields: Any) -> str:
    return (
        ", ".join(f"{key}={_text(value)}" for key, value in fields.items())
        if isinstance(fields, dict)
        else _text(fields)
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
