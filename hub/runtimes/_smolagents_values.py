"""What a recorder is given of the objects of smolagents. Nothing of it is imported; what is read here may raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ("arguments_of", "model_id_of", "name_of", "numbers_of", "output_of", "said_by", "used_by")


def used_by(agent: Any) -> list[Any]:
    return [*agent.tools.values(), *agent.managed_agents.values()] if hasattr(agent, "python_executor") else []


def output_of(result: Any, otherwise: Any) -> Any:
    return getattr(result, "output", otherwise)


def name_of(thing: Any) -> Any:
    return getattr(thing, "name", None)


def arguments_of(tool: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    return {**dict(zip(getattr(tool, "inputs", ()), args, strict=False)), **given}


def model_id_of(model: Any) -> Any:
    return getattr(model, "model_id", None)


def numbers_of(answer: Any) -> dict[str, Any]:
    usage = getattr(answer, "token_usage", None)
    return {name: getattr(usage, name, None) for name in ("input_tokens", "output_tokens")}


def said_by(answer: Any) -> Any:
    calls = [
        {"tool": getattr(call.function, "name", ""), "arguments": getattr(call.function, "arguments", None)}
        for call in getattr(answer, "tool_calls", None) or ()
        if hasattr(call, "function")
    ]
    content = getattr(answer, "content", None)
    if not calls:
        return content
    return calls if content is None else [content, *calls]
