"""A channel as a model is shown it: messages with roles and names, tool calls folded, bounded by count and bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import attrs

from ..codec import encode_fields
from ..events import EnvelopePosted, ToolCalled, ToolCompleted, ToolFailed
from .histories import History, HistoryEntry

__all__ = ("KINDS", "messages_of")

KINDS = ("envelope.posted", "tool.called", "tool.completed", "tool.failed")

_FOLDED_BYTES = 4000
"""A message that is longer is cut, unless it is expanded."""
_TOOLS = (ToolCalled, ToolCompleted, ToolFailed)


def messages_of(
    history: History, *, agent_id: str | None, bytes_max: int, expand: Collection[int]
) -> list[dict[str, Any]]:
    """Return the messages of a history, the oldest first, as an agent sees them; the newest count if they are many."""
    messages: list[dict[str, Any]] = []
    size, before = 0, history.before
    for group in reversed(_groups(history, expand)):
        message = _message(group, agent_id, expand)
        size += len(message["content"].encode())
        if size > bytes_max and messages:
            before = messages[0]["seq"]
            break
        if size > bytes_max:
            message = _cut(message, bytes_max)
        messages.insert(0, message)
    if before is not None or history.missing:
        messages.insert(0, _left_out(before, history.missing))
    return messages


def _groups(history: Iterable[HistoryEntry], expand: Collection[int]) -> list[list[HistoryEntry]]:
    """Return what becomes a message each: a post, or the tool calls that one agent has made between two posts."""
    groups: list[list[HistoryEntry]] = []
    for entry in history:
        last = groups[-1][0] if groups else None
        is_tool = isinstance(entry.event, _TOOLS)
        is_same = last is not None and isinstance(last.event, _TOOLS) and last.agent_id == entry.agent_id
        if is_tool and is_same and last is not None and last.seq not in expand:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _message(group: list[HistoryEntry], agent_id: str | None, expand: Collection[int]) -> dict[str, Any]:
    entry, is_expanded = group[0], group[0].seq in expand
    message: dict[str, Any] = {"role": _role(entry, agent_id), "name": entry.name, "seq": entry.seq}
    if not isinstance(entry.event, EnvelopePosted):
        text = _json(_tool_fields(entry)) if is_expanded else _folded_calls(group)
        return message | {"content": text} | ({} if is_expanded else {"is_folded": True})
    text, is_folded = _text(entry.content, is_expanded=is_expanded)
    message |= {"content": text} | ({"is_folded": True} if is_folded else {})
    return message if is_expanded else _cut(message, _FOLDED_BYTES)


def _role(entry: HistoryEntry, agent_id: str | None) -> str:
    if isinstance(entry.event, _TOOLS):
        return "tool"
    if entry.agent_id is None:
        return "system"
    return "assistant" if entry.agent_id == agent_id else "user"


def _text(content: Any, *, is_expanded: bool) -> tuple[str, bool]:
    """Return a content as text, and whether a part of it is folded."""
    if isinstance(content, str):
        return content, False
    if is_expanded or not isinstance(content, Mapping):
        return _json(content), False
    calls = content.get("tool_calls")
    if isinstance(calls, tuple) and calls:
        said = content.get("text") or content.get("content")
        names = ", ".join(_name_of(each) for each in calls)
        return f"{said if isinstance(said, str) else ''} [{_counted(len(calls))}: {names}]".strip(), True
    text = content.get("text")
    return (text, False) if len(content) == 1 and isinstance(text, str) else (_json(content), False)


def _name_of(call: Any) -> str:
    """Return the name of the tool in a call as frameworks write it."""
    if not isinstance(call, Mapping):
        return "?"
    function = call.get("function")
    name = function.get("name") if isinstance(function, Mapping) else call.get("name", call.get("tool"))
    return name if isinstance(name, str) else "?"


def _folded_calls(group: list[HistoryEntry]) -> str:
    """Return one line for calls: each tool, and how its calls have ended."""
    ended: dict[tuple[str | None, str], str] = {}
    for entry in group:
        event = entry.event
        if not isinstance(event, _TOOLS):
            continue
        call = event.turn_id, event.call_id  # ids are unique within a turn
        if isinstance(event, ToolCalled):
            ended.setdefault(call, f"{event.tool} (not ended)")
        elif isinstance(event, ToolFailed):
            ended[call] = f"{event.tool} (failed: {event.error_type or 'error'})"
        else:
            ended[call] = event.tool
    return f"[{_counted(len(ended))}: {', '.join(ended.values())}]"


def _tool_fields(entry: HistoryEntry) -> dict[str, Any]:
    fields = attrs.asdict(entry.event, recurse=False)
    known = ("tool", "call_id", "arguments", "result", "error_type", "error_message", "duration_ms")
    return {"kind": entry.kind, **{name: fields[name] for name in known if name in fields}}


def _counted(count: int) -> str:
    return "1 tool call" if count == 1 else f"{count} tool calls"


def _cut(message: dict[str, Any], bytes_max: int) -> dict[str, Any]:
    content = message["content"].encode()
    if len(content) <= bytes_max:
        return message
    text = content[:bytes_max].decode(errors="ignore")
    return message | {"content": f"{text}… [{len(content) - bytes_max} bytes are folded]", "is_folded": True}


def _left_out(before: int | None, missing: int) -> dict[str, Any]:
    texts = [] if before is None else [f"earlier messages are left out; before={before} shows them"]
    texts += [f"{missing} earlier ones are kept no more"] if missing else []
    return {"role": "system", "name": "", "seq": before or 0, "content": f"[{'; '.join(texts)}]", "is_folded": True}


def _json(value: Any) -> str:
    return encode_fields({"content": value}).decode()[len('{"content":') : -1]
