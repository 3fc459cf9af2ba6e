"""The generateContent API of Google Gemini: requests, responses, both, or lists of contents; in either spelling."""

from __future__ import annotations

from typing import Any

from .conversation import Draft, Speaker
from .exchange import exchange_of, put_all, system_first
from .fields import Fields, Wrong, is_one_of, named
from .format import Opened, Options, messages_at
from .moments import take_moment

__all__ = ("Gemini",)

_ROLES = {"user": "user", "model": "assistant", "system": "system", "function": "user", "tool": "user", None: "user"}
_CALLS = ("functionCall", "function_call")
_RESULTS = ("functionResponse", "function_response")


class Gemini:
    """``gemini``."""

    name = "gemini"
    sign = "contents with parts"

    def recognises(self, value: Any, options: Options) -> bool:
        try:
            messages = self.open(value, options, Draft()).messages
        except Wrong:
            return False
        return all(
            isinstance(each, dict) and ("parts" in each or each.get("role") == "system") for each in messages[:20]
        )

    def open(self, value: Any, options: Options, _: Draft) -> Opened:
        if not isinstance(value, dict) or options.messages_key is not None:
            return messages_at(value, options.messages_key, ("contents",))
        request, response, rest = exchange_of(value)
        messages = system_first(request.take("systemInstruction", "system_instruction"))
        contents = request.take("contents")
        if isinstance(contents, str | dict):
            contents = [{"role": "user", "parts": [{"text": contents}]} if isinstance(contents, str) else contents]
        if contents is not None and not isinstance(contents, list):
            raise Wrong(f"has {named(contents)} as its contents, which must be a list")
        messages += contents or []
        answer = request if response is None else Fields(response)
        if "candidates" in answer:
            messages += [_of_candidate(each) for each in answer.items("candidates")]
        if not messages:
            raise Wrong("has neither 'contents' nor 'candidates'; name the key of its contents with --messages-key")
        fields = rest(request)
        if response is not None and answer.left:
            fields.left["response"] = answer.left
        return Opened(messages, fields)

    def put(self, draft: Draft, number: int, message: Any) -> None:
        fields = Fields(message)
        role, at = fields.take("role"), take_moment(fields)
        if role is not None and not is_one_of(role, _ROLES):
            raise Wrong(f"has the role {role!r}; roles are user, model, function, tool and system")
        if role in ("function", "tool"):
            fields.left["role"] = role
        content = fields.take("parts", "content")
        if isinstance(content, dict):  # of a system instruction, which is a content itself
            inner = Fields(content)
            content = inner.take("parts")
            inner.drop_if("role", ("system",))
            if inner.left:
                fields.left["content"] = inner.left
        if isinstance(content, str):
            content = [{"text": content}]
        if not (content is None or isinstance(content, list)):
            raise Wrong(f"has {named(content)} as its parts, which must be a list")
        more = fields.left if fields.left != {"role": role} else {}
        put_all(draft, number, Speaker(_ROLES[role]), content or [], more, _is_apart, _put_part, at)


def _of_candidate(candidate: Any) -> Any:
    """Return the message of a candidate, with what else it says, as why it ended."""
    fields = Fields(candidate, "has as a candidate")
    content = fields.take("content")
    message = dict(Fields(content if content is not None else {}, "has as the content of a candidate").left)
    message.setdefault("role", "model")
    message.setdefault("parts", [])
    if fields.left:
        message["candidate"] = fields.left
    return message


def _is_apart(part: Any) -> bool:
    return isinstance(part, dict) and any(isinstance(part.get(key), dict) for key in (*_CALLS, *_RESULTS))


def _put_part(draft: Draft, place: str, speaker: Speaker, part: Any, more: dict[str, Any], at: str | None) -> None:
    outer = Fields(part)
    key = next(key for key in (*_CALLS, *_RESULTS) if isinstance(part.get(key), dict))
    fields = Fields(outer.take(key))
    if key in _CALLS:
        tool, arguments, call_id = fields.text("name"), fields.take("args"), fields.take("id")
        draft.call(place, speaker, tool, call_id, arguments, rest={**outer.left, **fields.left, **more}, at=at)
        return
    tool, content = fields.text("name"), fields.take("response")
    failed = isinstance(content, dict) and bool(content.get("error"))
    call_id = fields.take("id")
    rest = {**outer.left, **fields.left, **more}
    draft.result(place, tool, call_id, content, failed=failed, rest=rest, at=at)
