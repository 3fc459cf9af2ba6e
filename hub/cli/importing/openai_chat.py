"""The chat format of OpenAI, with what real files hold: calls of 2023, custom tools, calls without ids, windows.

An item is a list of messages, or an object that has such a list under a key, which may be below others.
"""

from __future__ import annotations

from typing import Any

from .conversation import Draft, Speaker, said, speaker_of
from .fields import Fields, Wrong, as_object, named
from .format import Opened, Options, messages_at
from .moments import take_moment

__all__ = ("OpenAIChat", "has_failed", "put_result")

_SPEAKERS = ("system", "developer", "user", "assistant")
_RESULTS = ("tool", "function")
_MESSAGE_KEYS = ("messages", "traj")
_FAILURES = frozenset({"error", "failed", "failure"})


class OpenAIChat:
    """``openai-chat``."""

    name = "openai-chat"
    sign = "messages with roles"

    def recognises(self, value: Any, options: Options) -> bool:
        try:
            messages = messages_at(value, options.messages_key, _MESSAGE_KEYS).messages
        except Wrong:
            return False
        return all(isinstance(each, dict) and each.get("role") in (*_SPEAKERS, *_RESULTS) for each in messages[:20])

    def open(self, value: Any, options: Options, _: Draft) -> Opened:
        return messages_at(value, options.messages_key, _MESSAGE_KEYS)

    def put(self, draft: Draft, number: int, message: Any) -> None:
        fields = Fields(message)
        role, content = fields.take("role"), fields.take("content")
        at = take_moment(fields)
        if role in _RESULTS:
            put_result(draft, number, fields, content, at, by_id=role == "tool")
            return
        if role not in _SPEAKERS:
            raise Wrong(f"has the role {role!r}; roles are {', '.join(_SPEAKERS)}, tool and function")
        if not (content is None or isinstance(content, str | list | dict)):
            raise Wrong(f"has {named(content)} as its content, which must be text, null, a list or an object")
        speaker = speaker_of(role, fields.take("name"))
        calls = list(enumerate(fields.items("tool_calls")))
        legacy = fields.take("function_call")
        if role != "assistant" and (calls or legacy is not None):
            raise Wrong("has a tool call 0 that is not a function call of the assistant")
        # The words come before the calls, as in the message of the model.
        draft.say(number, speaker, said(content), fields.left, at=at)
        for index, call in calls:
            _put_call(draft, f"{number}/call-{index}", speaker, call, index, at)
        if legacy is not None:
            function = Fields(legacy, "has as its function_call")
            tool, arguments = function.text("name"), function.take("arguments")
            draft.call(f"{number}/function-call", speaker, tool, None, as_object(arguments), rest=function.left, at=at)


def _put_call(draft: Draft, part: str, speaker: Speaker, call: Any, index: int, at: str | None) -> None:
    wrong = f"has a tool call {index} that is not a function call of the assistant"
    if not isinstance(call, dict):
        raise Wrong(wrong)
    fields = Fields(call)
    kind = next((key for key in ("function", "custom") if isinstance(call.get(key), dict)), None)
    inner = fields if kind is None else Fields(fields.take(kind))
    if kind is None and not isinstance(call.get("name"), str):
        raise Wrong(wrong)
    tool, arguments = inner.text("name"), inner.take("arguments", "input")
    if kind != "custom":
        arguments = as_object(arguments)
    fields.drop_if("type", (kind,))
    call_id = fields.take("id")
    rest = fields.left if kind is None or not inner.left else {**fields.left, kind: inner.left}
    draft.call(part, speaker, tool, call_id, arguments, rest=rest, at=at)


def put_result(
    draft: Draft, number: int, fields: Fields, content: Any, at: str | None, *, by_id: bool = True, part: str = "result"
) -> None:
    """Add the result in a message of a tool; ``tool_call_ids`` say that it is that of several calls."""
    name = fields.take("name", "tool_name")
    tool = None if name is None or name == "" else str(speaker_of("", name).name)
    ids = fields.items("tool_call_ids")
    if "tool_call_id" in fields or not ids:
        ids = [fields.take("tool_call_id", "call_id", "id") if by_id else None, *ids]
    failed, rest = has_failed(fields), fields.left
    error = rest.get("error")
    if failed and content is None and error is not None:
        content = error
    for index, call_id in enumerate(ids):
        place = f"{number}/{part}" if index == 0 else f"{number}/{part}-{index}"
        draft.result(place, tool, call_id, content, failed=failed, rest=rest, at=at)


def has_failed(fields: Fields) -> bool:
    """Tell whether a record says that a call failed; the words of a result say nothing of it."""
    left = fields.left
    if left.get("is_error") is True or left.get("isError") is True or left.get("success") is False:
        return True
    status = left.get("status")
    if isinstance(status, str) and status.lower() in _FAILURES:
        return True
    return bool(left.get("error"))
