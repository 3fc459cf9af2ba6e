"""From the JSON of a hook to events, as they are in the lines of a spool."""

from __future__ import annotations

import time

from .calls import Calls, moment
from .names import outline, plain, plain_id
from .turns import Turns

TYPE_CHECKING = False  # as of `typing`, which takes longer to import than all that is done here
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Fields = dict[str, Any]
    """An event: its kind, and its fields."""
    Payload = Mapping[str, Any]
    Redact = Callable[[Any], Any]

__all__ = ("AGENTS", "Asked", "NoHook", "events_of")

AGENTS = ("claude-code", "codex", "gemini-cli")
"""The coding agents whose hooks are known."""

_TEXT_CHARS_MAX = 20_000
"""What is kept of one text."""

_DEPTH_MAX = 32

_SAID = ("model", "permission_mode")
"""What is said with many hooks, and is no content."""


class NoHook(ValueError):
    """What a hook was given is not what its agent gives to hooks, for the reason that is its text."""


class Asked:
    """One call of a hook: what it says, by whom, and how much of it is kept."""

    def __init__(
        self,
        agent: str,
        payload: Payload,
        turns: Turns,
        calls: Calls,
        *,
        name: str | None = None,
        redact: Redact | None = None,
    ) -> None:
        """``name``: what the agent is called in events. ``redact`` redacts contents; without it, none are kept."""
        self.payload: Payload = payload
        self.turns: Turns = turns
        self.calls: Calls = calls
        self.content: bool = redact is not None
        self._redact: Redact = redact or _nothing
        self.hook: str = _hook_of(payload)
        self.session: str = plain_id(_text(payload, "session_id") or _text(payload, "thread-id")) or "unknown"
        self.agent: str = agent
        self.name: str = name or agent

    def kept(self, key: str) -> Any:
        """Return a part of what the hook says that is content; None where contents are not kept."""
        return self.shown(self.payload.get(key))

    def shown(self, value: Any) -> Any:
        """Return content as it is kept: redacted, and cut where it is too long; None where contents are not kept."""
        return None if value is None else _bounded(self._redact(value))

    def said(self, *keys: str) -> Fields:
        """Return parts that are no content, as far as they are names."""
        found = {key: plain(self.payload.get(key)) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def call(self) -> Fields:
        """Return which call of which tool it is about."""
        tool = plain_id(_text(self.payload, "tool_name")) or "unknown"
        call_id = plain_id(_text(self.payload, "tool_use_id"))
        if call_id is None:  # then the same call has the same id before and after
            call_id = plain_id(f"{self.session} {tool} {_written(self.payload.get('tool_input'))}")
        return {"tool": tool, "call_id": call_id}

    @property
    def call_key(self) -> str:
        """What tells a call where the agent does not name it, as where it asks for permission."""
        return f"{self.session} {_text(self.payload, 'tool_name')} {_written(self.payload.get('tool_input'))}"

    def header(self) -> Fields:
        """Return what all events of this call have in common."""
        sub = plain_id(_text(self.payload, "agent_type"))
        about = self.said(*_SAID)
        if (directory := _text(self.payload, "cwd")) and (project := plain(directory.rstrip("/").rpartition("/")[2])):
            about["project"] = project
        if self.content:
            about |= {key: self.kept(key) for key in ("cwd", "transcript_path") if key in self.payload}
        sizes = {key: len(_written(self.payload[key])) for key in _CONTENTS if self.payload.get(key) is not None}
        if sizes:
            about["chars"] = sizes
        header = {
            "agent_id": self.name if sub is None else f"{self.name}/{sub}",
            "session_id": self.session,
            "source": self.agent,
            "turn_id": self.turn(),
            "metadata": {"hook": self.hook, **about},
        }
        return {key: value for key, value in header.items() if value is not None}

    def turn(self) -> str | None:
        """Return the id of the turn: as the agent says, or as it was made when the turn began."""
        sub = plain_id(_text(self.payload, "agent_id"))
        said = _text(self.payload, "turn_id") or _text(self.payload, "turn-id") or _text(self.payload, "prompt_id")
        return sub or plain_id(said) or self.turns.current(self.session)


_CONTENTS = (
    *("prompt", "tool_input", "tool_response", "last_assistant_message", "prompt_response", "message", "error"),
    *("custom_instructions", "details", "last-assistant-message", "input-messages"),
)


def _hook_of(payload: Payload) -> str:
    name = _text(payload, "hook_event_name") or _text(payload, "type")
    if name is None:
        raise NoHook('it has no "hook_event_name": is it the JSON that the agent gives to its hooks?')
    return plain_id(name) or name


def events_of(asked: Asked) -> list[Fields]:
    """Return the events of one call of a hook; of a hook that is not known, one that has all that may be kept of it."""
    make = _MAKERS.get(asked.hook, _unknown)
    if asked.hook in _BEGINS:
        asked.turns.begin(asked.session)
    header = asked.header()
    events = [{**header, **event} for event in make(asked)]
    if asked.hook in _ENDS:
        asked.turns.end(asked.session)
        asked.calls.forget_old()
    return events


# --- turns ----------------------------------------------------------------------------------------------------------


def _turn_started(asked: Asked) -> list[Fields]:
    return [{"kind": "turn.started", "prompt": asked.kept("prompt")}]


def _turn_ended(asked: Asked) -> list[Fields]:
    said = next((key for key in _ANSWERS if key in asked.payload), "")
    return [{"kind": "turn.ended", "content": asked.kept(said)}]


_ANSWERS = ("last_assistant_message", "prompt_response", "last-assistant-message")


def _turn_failed(asked: Asked) -> list[Fields]:
    error = {"error_type": str(plain(asked.payload.get("error")) or "unknown")}
    error["error_message"] = _as_text(asked.kept("error_details") or asked.kept("error"))
    return [{"kind": "turn.failed", **error}, {"kind": "error.raised", **error}]


# --- tools ----------------------------------------------------------------------------------------------------------


# An agent announces a call before rules, programs and people have said whether it may be made: what is refused is never
# called. So a call is recorded when its end is told, with the time at which it began as far as that is known.


def _tool_announced(asked: Asked) -> list[Fields]:
    asked.calls.announce(asked.call_key)
    arguments = {"arguments": asked.kept("tool_input")} if asked.content and "tool_input" in asked.payload else {}
    return [{"kind": "tool.announced", "data": {**asked.call(), **arguments}}]


def _tool_called(asked: Asked) -> Fields:
    now_ns, announced_ns = time.time_ns(), asked.calls.take(asked.call_key)
    took = _milliseconds(asked.payload)
    began_ns = announced_ns if took is None else max(int(now_ns - took * 1e6), announced_ns or 0)
    called = {"kind": "tool.called", **asked.call(), "arguments": asked.kept("tool_input")}
    return called if began_ns is None else {**called, "occurred_at": moment(min(began_ns, now_ns))}


def _permission_requested(asked: Asked) -> list[Fields]:
    asked.calls.take(asked.call_key)  # the call begins no earlier than it is allowed, and that is told to no hook
    return _told("permission.requested", "tool_name", "tool_use_id", contents=("tool_input",))(asked)


def _tool_completed(asked: Asked) -> list[Fields]:
    called, response = _tool_called(asked), asked.payload.get("tool_response")
    took = _milliseconds(asked.payload)
    if isinstance(response, dict) and response.get("error"):  # as Gemini CLI says it
        return [called, _failure(asked, "ToolError", _as_text(asked.shown(response["error"])), took)]
    result = {"result": asked.kept("tool_response"), "duration_ms": took}
    return [called, {"kind": "tool.completed", **asked.call(), **result}]


def _tool_failed(asked: Asked) -> list[Fields]:
    type_ = "Interrupted" if asked.payload.get("is_interrupt") is True else "ToolError"
    return [_tool_called(asked), _failure(asked, type_, _as_text(asked.kept("error")), _milliseconds(asked.payload))]


def _permission_denied(asked: Asked) -> list[Fields]:
    asked.calls.take(asked.call_key)
    reason = {"reason": asked.kept("reason")} if asked.content and "reason" in asked.payload else {}
    denied = {"kind": "permission.denied", "data": {**asked.call(), **reason}}
    return [{**denied, "severity": "warning", "outcome": "denied"}]


def _failure(asked: Asked, type_: str, message: str, took: float | None) -> Fields:
    return {
        "kind": "tool.failed",
        **asked.call(),
        "error_type": type_,
        "error_message": message,
        "duration_ms": took,
        "severity": "error",
    }


# --- and what has no class of its own -------------------------------------------------------------------------------


def _told(kind: str, *names: str, contents: tuple[str, ...] = ()) -> Callable[[Asked], list[Fields]]:
    """Return what makes a generic event of parts of what a hook says."""

    def make(asked: Asked) -> list[Fields]:
        data = asked.said(*names) | {key: asked.kept(key) for key in contents if asked.content and key in asked.payload}
        return [{"kind": kind, "data": data}]

    return make


def _unknown(asked: Asked) -> list[Fields]:
    said = asked.shown(dict(asked.payload)) if asked.content else outline(asked.payload)
    return [{"kind": "hook.called", "data": {"hook": asked.hook, "said": said}}]


_MAKERS: Mapping[str, Callable[[Asked], list[Fields]]] = {
    "SessionStart": _told("session.started", "source", "model"),
    "SessionEnd": _told("session.ended", "reason"),
    "UserPromptSubmit": _turn_started,
    "BeforeAgent": _turn_started,
    "SubagentStart": _turn_started,
    "Stop": _turn_ended,
    "AfterAgent": _turn_ended,
    "SubagentStop": _turn_ended,
    "agent-turn-complete": _turn_ended,
    "StopFailure": _turn_failed,
    "PreToolUse": _tool_announced,
    "BeforeTool": _tool_announced,
    "PostToolUse": _tool_completed,
    "AfterTool": _tool_completed,
    "PostToolUseFailure": _tool_failed,
    "PermissionDenied": _permission_denied,
    "PermissionRequest": _permission_requested,
    "Notification": _told("notification.sent", "notification_type", contents=("title", "message", "details")),
    "PreCompact": _told("compaction.started", "trigger", contents=("custom_instructions",)),
    "PreCompress": _told("compaction.started", "trigger"),
    "PostCompact": _told("compaction.ended", "trigger"),
}
_BEGINS = frozenset({"UserPromptSubmit", "BeforeAgent"})
_ENDS = frozenset({"SessionEnd"})


# --- values ---------------------------------------------------------------------------------------------------------


def _text(payload: Payload, key: str) -> str | None:
    value = payload.get(key)
    return value if isinstance(value, str) and value else None


def _milliseconds(payload: Payload) -> float | None:
    value = payload.get("duration_ms")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if 0 <= value < 1e12 else None


def _as_text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else _written(value)


def _written(value: Any) -> str:
    from json import dumps  # it is imported by then

    return value if isinstance(value, str) else dumps(value, sort_keys=True)


def _nothing(_: Any) -> Any:
    return None


def _bounded(value: Any, depth: int = 0) -> Any:
    """Return a value whose texts are cut where they are too long, and which is no deeper than an event may be."""
    if isinstance(value, str):
        left_out = len(value) - _TEXT_CHARS_MAX
        return value if left_out <= 0 else f"{value[:_TEXT_CHARS_MAX]}… ({left_out} more characters)"
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth >= _DEPTH_MAX:
        return "… (nested deeper than is kept)"
    if isinstance(value, dict):
        return {key: _bounded(inner, depth + 1) for key, inner in value.items()}
    return [_bounded(inner, depth + 1) for inner in value]
