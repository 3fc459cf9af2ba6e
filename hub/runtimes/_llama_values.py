"""What a recorder is given of the values of LlamaIndex: names, texts of messages, tokens. Nothing of it is imported."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ._capture import CUT

__all__ = (
    "agent_name_of",
    "answer_of",
    "fields_of",
    "message_of",
    "messages_of",
    "model_name",
    "text_of",
    "usage_of",
)


def agent_name_of(workflow: Any) -> str:
    """Return the agent that a run begins with, or the name of the workflow."""
    return str(getattr(workflow, "root_agent", None) or getattr(workflow, "name", None) or type(workflow).__name__)


def fields_of(event: Any) -> dict[str, Any]:
    return dict(event.items()) if hasattr(event, "items") else {}


def answer_of(result: Any) -> Any:
    response = getattr(result, "response", None)
    content = getattr(response, "content", None)
    return content if isinstance(content, str) else result


def text_of(said: Any) -> Any:
    return said if said is None or isinstance(said, str) else getattr(said, "content", None)


def messages_of(messages: list[Any], *, is_whole: bool) -> list[Any]:
    """Return what messages say; unless all of it is wanted, of the last: LlamaIndex puts each text together anew."""
    if is_whole or len(messages) < 2:
        return [message_of(message) for message in messages]
    return [f"{CUT} {len(messages) - 1} before", message_of(messages[-1])]


def message_of(message: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"role": str(getattr(message.role, "value", message.role))}
    if (content := message.content) is not None:
        said["content"] = content
    calls = [
        {"id": block.tool_call_id, "name": block.tool_name, "arguments": block.tool_kwargs}
        for block in message.blocks
        if type(block).__name__ == "ToolCallBlock"
    ]
    return said | {"tool_calls": calls} if calls else said


def model_name(model: Any) -> str:
    if not isinstance(model, Mapping):
        return ""
    return str(model.get("model") or model.get("model_name") or model.get("class_name") or "")


def usage_of(response: Any) -> dict[str, Any]:
    numbers: Any = getattr(response, "additional_kwargs", None)
    raw = getattr(response, "raw", None)
    usage = raw.get("usage") if isinstance(raw, Mapping) else getattr(raw, "usage", None)
    found: dict[str, Any] = {}
    for ours, theirs in (
        ("input_tokens", ("prompt_tokens", "input_tokens")),
        ("output_tokens", ("completion_tokens", "output_tokens")),
    ):
        for where, name in itertools.product((numbers, usage), theirs):
            value = where.get(name) if isinstance(where, Mapping) else getattr(where, name, None)
            if isinstance(value, int):
                found[ours] = value
    return found
