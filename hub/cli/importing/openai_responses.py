"""The Responses API of OpenAI: requests, responses, both, or lists of items."""

from __future__ import annotations

from typing import Any

from .conversation import ASSISTANT, Draft, Speaker, said, speaker_of
from .exchange import exchange_of, system_first
from .fields import Fields, Wrong, as_object, named
from .format import Opened, Options, messages_at
from .moments import take_moment
from .openai_chat import has_failed

__all__ = ("OpenAIResponses",)

_ROLES = ("system", "developer", "user", "assistant")
_UNFINISHED = ("in_progress", "searching", "interpreting", "generating", "calling")
_CONTENTS = ("results", "outputs", "output", "result")


class OpenAIResponses:
    """``openai-responses``."""

    name = "openai-responses"
    sign = "input and output items"

    def recognises(self, value: Any, options: Options) -> bool:
        if isinstance(value, dict) and not ("messages" in value or "contents" in value):
            inner = exchange_of(value)[0]
            if value.get("object") == "response" or "input" in inner or isinstance(value.get("output"), list):
                try:
                    return all(map(_is_item, self.open(value, options, Draft()).messages[:20]))
                except Wrong:
                    return False
        items = value if isinstance(value, list) else []
        return any(_is_item(each) and "role" not in each for each in items) and all(map(_is_item, items[:20]))

    def open(self, value: Any, options: Options, _: Draft) -> Opened:
        if not isinstance(value, dict) or options.messages_key is not None:
            return messages_at(value, options.messages_key, ("input",))
        request, response, rest = exchange_of(value)
        items = system_first(request.take("instructions"))
        if "input" in request:
            items += _items(request.take("input"), "input")
        if "output" in request:
            items += _items(request.take("output"), "output")
        if response is not None:
            answer = Fields(response)
            items += _items(answer.take("output"), "output")
            if answer.left:
                before, left = rest, answer.left

                def rest(fields: Fields) -> Fields:
                    return Fields({**before(fields).left, "response": left})

        if not items:
            raise Wrong("has neither 'input' nor 'output'; name the key of its items with --messages-key")
        return Opened(items, rest(request))

    def put(self, draft: Draft, number: int, message: Any) -> None:
        fields = Fields(message)
        at, kind = take_moment(fields), fields.peek("type")
        if kind == "message" or (kind is None and "role" in fields):
            _put_message(draft, number, fields, at)
        elif isinstance(kind, str) and kind.endswith("_output") and "call_id" in fields:
            fields.take("type")
            _put_output(draft, number, kind, fields, at)
        elif isinstance(kind, str) and kind.endswith("_call"):
            _put_call(draft, number, kind, fields, at)
        elif isinstance(kind, str):
            speaker = Speaker("user") if kind == "mcp_approval_response" else ASSISTANT
            draft.say(number, speaker, {"parts": [fields.left]}, at=at)
        else:
            raise Wrong("has neither a 'type' nor a 'role'")


def _is_item(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if kind is None or kind == "message":
        return value.get("role") in _ROLES and "tool_calls" not in value
    return isinstance(kind, str) and (
        kind.endswith(("_call", "_call_output", "_output"))
        or kind in ("reasoning", "item_reference", "compaction")
        or kind.startswith("mcp_")
    )


def _items(value: Any, key: str) -> list[Any]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if value is None:
        return []
    if not isinstance(value, list):
        raise Wrong(f"has {named(value)} as its {key}, which must be text or a list of items")
    return list(value)


def _put_message(draft: Draft, number: int, fields: Fields, at: str | None) -> None:
    role, content = fields.take("role"), fields.take("content")
    if role not in _ROLES:
        raise Wrong(f"has the role {role!r}; roles are {', '.join(_ROLES)}")
    if not (content is None or isinstance(content, str | list)):
        raise Wrong(f"has {named(content)} as its content, which must be text or a list")
    fields.drop_if("type", ("message",))
    draft.say(number, speaker_of(role, fields.take("name")), said(content), fields.left, at=at)


def _put_call(draft: Draft, number: int, kind: str, fields: Fields, at: str | None) -> None:
    """Add a call; one of the hosted tools holds its result, too."""
    fields.drop_if("type", ("function_call",))
    tool = fields.text("name") if "name" in fields else kind.removesuffix("_call")
    arguments = fields.take("arguments", "input", "action", "queries", "code")
    is_hosted = "call_id" not in fields
    call_id = fields.peek("id") if is_hosted else fields.take("call_id")
    if not is_hosted:
        draft.call(f"{number}/call", ASSISTANT, tool, call_id, as_object(arguments), rest=fields.left, at=at)
        return
    fields.take("id")
    status, contents = fields.peek("status"), [key for key in _CONTENTS if fields.peek(key) is not None]
    content = fields.take(contents[0]) if contents else None
    failed = has_failed(fields)
    made = draft.call(f"{number}/call", ASSISTANT, tool, call_id, as_object(arguments), rest=fields.left, at=at)
    if status in _UNFINISHED and content is None and not failed:
        return
    if failed and content is None:
        content = fields.peek("error")
    draft.result(f"{number}/result", tool, call_id or made, content, failed=failed, at=at)


def _put_output(draft: Draft, number: int, kind: str, fields: Fields, at: str | None) -> None:
    rest = fields.left if kind in ("function_call_output", "custom_tool_call_output") else {**fields.left, "type": kind}
    call_id, content = rest.pop("call_id"), rest.pop("output", None)
    draft.result(f"{number}/result", None, call_id, content, failed=has_failed(fields), rest=rest, at=at)
