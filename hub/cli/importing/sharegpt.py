"""ShareGPT, the form of many data sets: ``conversations`` of ``from`` and ``value``."""

from __future__ import annotations

from typing import Any

from .conversation import ASSISTANT, UNKNOWN_TOOL, Draft, Speaker
from .exchange import system_first
from .fields import Fields, Wrong, as_object, as_text, is_one_of
from .format import Opened, Options, messages_at
from .moments import take_moment

__all__ = ("ShareGPT",)

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
}
_CALLS = ("function_call", "tool_call", "function-call")
_RESULTS = ("observation", "tool", "tool_response", "function_response", "function", "function-response")
_KEYS = ("conversations", "conversation", "messages", "items")


class ShareGPT:
    """``sharegpt``."""

    name = "sharegpt"
    sign = "conversations of from and value"

    def recognises(self, value: Any, options: Options) -> bool:
        try:
            messages = messages_at(value, options.messages_key, _KEYS).messages
        except Wrong:
            return False
        return all(isinstance(each, dict) and "from" in each and "value" in each for each in messages[:20])

    def open(self, value: Any, options: Options, _: Draft) -> Opened:
        opened = messages_at(value, options.messages_key, _KEYS)
        system = opened.fields.peek("system")
        if not isinstance(system, str) or not system:
            return opened
        opened.fields.take("system")
        first = [{"from": "system", "value": each["content"]} for each in system_first(system)]
        return Opened([*first, *opened.messages], opened.fields)

    def put(self, draft: Draft, number: int, message: Any) -> None:
        fields = Fields(message)
        at, source, value = take_moment(fields), fields.take("from", "role"), fields.take("value", "content")
        if is_one_of(source, _CALLS):
            _put_calls(draft, number, value, fields.left, at)
        elif is_one_of(source, _RESULTS):
            draft.result(f"{number}/result", None, None, value, rest=fields.left, at=at)
        elif is_one_of(source, _ROLES):
            role = _ROLES[source]
            if source not in ("system", "human", "gpt", "user", "assistant"):
                fields.left["from"] = source
            draft.say(number, Speaker(role), {"text": value}, fields.left, at=at)
        else:
            known = ", ".join((*_ROLES, *_CALLS, *_RESULTS))
            raise Wrong(f"is from {as_text(source)[:64]!r}; speakers are {known}")


def _put_calls(draft: Draft, number: int, value: Any, rest: dict[str, Any], at: str | None) -> None:
    """Add the calls that a text holds as JSON: one, or a list of them. Text that is not JSON is kept as arguments."""
    found = as_object(value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        found = as_object('{"calls":' + value + "}")
        found = found["calls"] if isinstance(found, dict) else value
    calls = found if isinstance(found, list) else [found]
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) and call["name"] for call in calls):
        calls = [{"name": UNKNOWN_TOOL, "arguments": value}]
    for index, call in enumerate(calls):
        fields = Fields(call)
        tool, arguments = fields.text("name"), as_object(fields.take("arguments", "parameters", "args"))
        call_id = fields.take("id")
        draft.call(f"{number}/call-{index}", ASSISTANT, tool, call_id, arguments, rest={**fields.left, **rest}, at=at)
