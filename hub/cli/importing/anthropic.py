"""The Messages API of Anthropic: requests, responses, both, or lists of messages, whose content is text or blocks."""

from __future__ import annotations

from typing import Any

from .conversation import Draft, Speaker, said
from .exchange import exchange_of, put_all, system_first
from .fields import Fields, Wrong, is_one_of, named
from .format import Opened, Options, messages_at
from .moments import take_moment

__all__ = ("Anthropic",)

_ROLES = ("system", "user", "assistant")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")
_RESULT = "tool_result"
_OWN_BLOCKS = frozenset({*_CALLS, _RESULT, "thinking", "redacted_thinking"})


class Anthropic:
    """``anthropic``."""

    name = "anthropic"
    sign = "messages whose content is blocks, or beside which a system prompt stands"

    def recognises(self, value: Any, options: Options) -> bool:
        if _is_response(value):
            return True
        try:
            opened = self.open(value, options, Draft())
        except Wrong:
            return False
        messages = [each for each in opened.messages[:40] if isinstance(each, dict)]
        if not messages or not all(each.get("role") in _ROLES for each in messages):
            return False
        blocks = [block for each in messages if isinstance(each.get("content"), list) for block in each["content"]]
        has_system = isinstance(value, dict) and "system" in exchange_of(value)[0].left
        return has_system or any(
            isinstance(block, dict) and is_one_of(block.get("type"), _OWN_BLOCKS) for block in blocks
        )

    def open(self, value: Any, options: Options, _: Draft) -> Opened:
        if _is_response(value):
            return Opened([value], Fields({}))
        if not isinstance(value, dict) or options.messages_key is not None:
            return messages_at(value, options.messages_key, ("messages",))
        request, response, rest = exchange_of(value)
        opened = messages_at(request.left, None, ("messages",))
        messages = [*system_first(opened.fields.take("system")), *opened.messages]
        if response is not None:
            messages.append(response)
        return Opened(messages, rest(opened.fields))

    def put(self, draft: Draft, number: int, message: Any) -> None:
        fields = Fields(message)
        role, content = fields.take("role"), fields.take("content")
        if role not in _ROLES:
            raise Wrong(f"has the role {role!r}; roles are {', '.join(_ROLES)}")
        if not (content is None or isinstance(content, str | list)):
            raise Wrong(f"has {named(content)} as its content, which must be text or a list of blocks")
        at = take_moment(fields)
        fields.drop_if("type", ("message",))
        speaker = Speaker(role)
        if not isinstance(content, list):
            draft.say(number, speaker, said(content), fields.left, at=at)
            return
        put_all(draft, number, speaker, content, fields.left, _is_apart, _put_block, at)


def _is_response(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "message" and isinstance(value.get("content"), list)


def _is_apart(block: Any) -> bool:
    """Tell whether a block is a call or a result, and no part of what is said."""
    kind = block.get("type") if isinstance(block, dict) else None
    return isinstance(kind, str) and (kind in _CALLS or kind.endswith(_RESULT))


def _put_block(draft: Draft, part: str, speaker: Speaker, block: Any, more: dict[str, Any], at: str | None) -> None:
    fields = Fields(block)
    kind = fields.peek("type")
    fields.drop_if("type", ("tool_use", "tool_result"))
    if kind in _CALLS:
        tool, arguments, call_id = fields.text("name"), fields.take("input"), fields.take("id")
        draft.call(part, speaker, tool, call_id, arguments, rest={**fields.left, **more}, at=at)
        return
    content, error_type = fields.take("content"), "Error"
    failed = fields.peek("is_error") is True
    if isinstance(content, dict) and str(content.get("type", "")).endswith("_error"):
        failed, error_type = True, str(content.get("error_code") or content["type"])
    draft.result(
        part,
        None,
        fields.take("tool_use_id"),
        content,
        failed=failed,
        error_type=error_type,
        rest={**fields.left, **more},
        at=at,
    )
