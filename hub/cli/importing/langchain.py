"""Messages of LangChain, as ``dumps()``, ``messages_to_dict()`` and ``model_dump()`` write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .conversation import Draft, Speaker, said, speaker_of
from .fields import Fields, Wrong, as_object, is_one_of, named
from .format import Opened, Options, messages_at
from .moments import take_moment
from .openai_chat import put_result

__all__ = ("LangChain",)

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "developer": "developer"}
_CLASSES = {
    "HumanMessage": "human",
    "AIMessage": "ai",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
    "ChatMessage": "chat",
    "RemoveMessage": "remove",
}
_TYPES = frozenset(_CLASSES.values()) | {"AIMessageChunk", "HumanMessageChunk", "SystemMessageChunk"}
_MAY_BE_EMPTY = ("additional_kwargs", "response_metadata", "name", "id", "usage_metadata", "artifact")
_KEYS = ("messages", "values.messages", "kwargs.messages", "kwargs.message")


class LangChain:
    """``langchain``."""

    name = "langchain"
    sign = "messages of LangChain"

    def recognises(self, value: Any, options: Options) -> bool:
        try:
            messages = self.open(value, options, Draft()).messages
        except Wrong:
            return False
        return all(isinstance(each, dict) and _type_of(each) in _TYPES for each in messages[:20])

    def open(self, value: Any, options: Options, _: Draft) -> Opened:
        if options.messages_key is not None or isinstance(value, list):
            return messages_at(value, options.messages_key, _KEYS)
        if isinstance(value, dict) and _type_of(value) in _TYPES:
            return Opened([value], Fields({}))
        if isinstance(value, dict) and isinstance(value.get("kwargs"), dict):
            inner = value["kwargs"].get("message")
            if isinstance(inner, dict):
                value = {**value, "kwargs": {**value["kwargs"], "message": [inner]}}
        return messages_at(value, None, _KEYS)

    def put(self, draft: Draft, number: int, message: Any) -> None:
        kind, fields = _unwrapped(message)
        fields.take("type")
        for key in _MAY_BE_EMPTY:
            fields.drop_if(key, (None, {}, []))
        at, content = take_moment(fields), fields.take("content")
        if kind in ("tool", "function"):
            put_result(draft, number, fields, content, at, by_id=kind == "tool")
            return
        base = kind.removesuffix("MessageChunk").lower() if kind.endswith("Chunk") else kind
        if base != kind:
            fields.left["type"] = kind
        if base == "remove":
            draft.say(number, Speaker("system"), {**said(content), "remove": fields.take("id")}, fields.left, at=at)
            return
        if base == "chat":
            speaker = speaker_of("chat", fields.take("role"))
        elif base in _ROLES:
            speaker = speaker_of(_ROLES[base], fields.take("name"))
        else:
            raise Wrong(f"has the type {kind!r}; types are {', '.join(sorted(_TYPES))}")
        if not (content is None or isinstance(content, str | list)):
            raise Wrong(f"has {named(content)} as its content, which must be text or a list")
        calls = list(_calls(fields, content))
        draft.say(number, speaker, said(content), fields.left, at=at)
        for index, call in enumerate(calls):
            tool, arguments = call.text("name"), as_object(call.take("args", "arguments", "input"))
            call.drop_if("type", ("tool_call", "tool_use"))
            draft.call(f"{number}/call-{index}", speaker, tool, call.take("id"), arguments, rest=call.left, at=at)


def _type_of(message: Mapping[str, Any]) -> str | None:
    """Return the type of a message, in whichever of the three forms it is written; None if it is none."""
    if "lc" in message:
        path = message.get("id")
        name = path[-1] if isinstance(path, list) and path else None
        inner = message.get("kwargs")
        if isinstance(name, str) and name in _CLASSES:
            return _CLASSES[name]
        return inner.get("type") if isinstance(inner, dict) and isinstance(inner.get("type"), str) else None
    inner = message.get("data")
    kind = message.get("type")
    is_message = isinstance(kind, str) and (isinstance(inner, dict) or "content" in message)
    return kind if is_message else None


def _unwrapped(message: Any) -> tuple[str, Fields]:
    """Return the type of a message, and its fields with what its wrapping says besides."""
    outer = Fields(message)
    kind = _type_of(outer.left)
    if kind is None:
        raise Wrong("is no message of LangChain: it has neither 'type' and 'data', nor 'lc' and 'kwargs'")
    if "lc" in outer:
        inner = Fields(outer.take("kwargs"), "has as its kwargs")
        path = outer.take("id")
        outer.drop_if("lc", (1,))
        outer.drop_if("type", ("constructor",))
        if not (isinstance(path, list) and path[:1] == ["langchain"] and is_one_of(path[-1], _CLASSES)):
            outer.left["class"] = path
    elif isinstance(outer.peek("data"), dict):
        inner = Fields(outer.take("data"))
        outer.take("type")
        if inner.peek("type") not in (None, kind):
            outer.left["class"] = inner.peek("type")
    else:
        return kind, outer
    for key, value in outer.left.items():
        inner.left.setdefault(f"wrapping_{key}", value)
    return kind, inner


def _calls(fields: Fields, content: Any) -> Iterator[Fields]:
    """Iterate over the calls of a message: those that were parsed, those that could not be, else the raw ones."""
    calls = [*fields.items("tool_calls"), *fields.items("invalid_tool_calls")]
    if not calls and isinstance(content, list):
        calls = [each for each in content if isinstance(each, dict) and each.get("type") == "tool_use"]
    if not calls and isinstance(raw := fields.peek("additional_kwargs"), dict):
        calls = _raw_calls(raw)
    for call in calls:
        yield Fields(call, "has as a tool call")


def _raw_calls(raw: Mapping[str, Any]) -> list[Any]:
    """Return the calls as the model's provider gave them. They stay where they are, too."""
    listed = raw.get("tool_calls")
    made = [
        {**call["function"], "id": call.get("id")}
        for call in (listed if isinstance(listed, list) else ())
        if isinstance(call, dict) and isinstance(call.get("function"), dict)
    ]
    if isinstance(raw.get("function_call"), dict):
        made.append(dict(raw["function_call"]))
    return made
