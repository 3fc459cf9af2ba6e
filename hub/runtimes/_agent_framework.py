"""What the objects of Microsoft Agent Framework say, as plain values. Its classes are known by their fields alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = (
    "agent_name",
    "answer_of",
    "made_by_tool",
    "model_name",
    "numbers_of",
    "pending_of",
    "plain_message",
    "said_by_model",
)

_UNSAID = frozenset({"text_reasoning", "usage"})


def agent_name(agent: Any) -> str | None:
    """Return the name of an agent; None if it has none."""
    name = getattr(agent, "name", None)
    return name if isinstance(name, str) and name else None


def model_name(context: Any) -> str:
    """Return the model that a call is for, as its options or else its client say."""
    options = context.options or {}
    client = context.client
    named = options.get("model") or options.get("model_id")
    return str(named or getattr(client, "model", None) or getattr(client, "model_id", None) or "")


def pending_of(response: Any) -> Sequence[Any] | None:
    """Return the requests for approval that a run has ended with; None if it waits for none, or for other input too."""
    requests = list(response.user_input_requests)
    if not requests or any(each.type != "function_approval_request" for each in requests):
        return None
    return requests


def plain_message(message: Any) -> Any:
    """Return what a message says, and who says it."""
    return {"role": str(message.role), "content": _said(message.contents)}


def answer_of(response: Any) -> Any:
    """Return what a run has ended with: its text, or the tools that wait for approval."""
    if response is None:
        return None
    waiting = [each for each in response.user_input_requests if each.type == "function_approval_request"]
    if waiting:
        return {"waits_for_approval": [each.function_call.name for each in waiting]}
    return response.text


def said_by_model(response: Any) -> Any:
    """Return the text that a model has answered, or its parts."""
    return None if response is None else _said([part for each in response.messages for part in each.contents])


def made_by_tool(result: Any) -> Any:
    """Return the result of a tool: the framework makes contents of what its function returns."""
    return _said(result) if isinstance(result, list) and all(hasattr(each, "type") for each in result) else result


def numbers_of(usage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what else of tokens was counted, as those read from a cache."""
    known = ("input_token_count", "output_token_count", "total_token_count")
    return {name: number for name, number in usage.items() if name not in known and number} or None


def _said(contents: Sequence[Any]) -> Any:
    parts = [_plain(each) for each in contents if each.type not in _UNSAID]
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return parts


def _plain(content: Any) -> Any:
    kind = content.type
    if kind == "text":
        return content.text or ""
    if kind == "function_call":
        return {"tool": content.name, "arguments": content.parse_arguments(), "call_id": content.call_id}
    if kind == "function_result":
        return {"call_id": content.call_id, "result": content.result}
    if kind == "function_approval_request":
        return {"waits_for_approval": content.function_call.name}
    if kind == "function_approval_response":
        return {"tool": content.function_call.name, "is_approved": bool(content.approved)}
    return {"type": str(kind), "media_type": getattr(content, "media_type", None)}
