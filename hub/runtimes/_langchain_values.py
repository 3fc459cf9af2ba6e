"""What a recorder is given of the values of LangChain: texts of messages, tokens, names; and what a graph asks for.

All of it is duck-typed: nothing of LangChain is imported, and what looks different is passed on as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from ..errors import ConfigurationError
from .verdict import Verdict

__all__ = (
    "Suspended",
    "Told",
    "answer_of",
    "extra_of",
    "goes_text",
    "goto_of",
    "interrupt_id_of",
    "is_a",
    "is_command",
    "is_denied",
    "is_unnamed",
    "message_text",
    "messages_of",
    "model_of",
    "output_of",
    "prompt_of",
    "questions_of",
    "result_of",
    "told_of",
    "waits_text",
)

MESSAGES_MAX: Final = 64
"""How many messages of a request are looked at: the last ones. Agents send all that was said with each call."""


@attrs.frozen
class Told:
    """A verdict that the program itself gives."""

    is_passed: bool
    reason: str = ""
    arguments: Any = None
    """What was approved instead of what was asked for; None where that is the same."""


@attrs.frozen
class Suspended:
    """One action that a graph has suspended."""

    key: str
    action: str
    arguments: Any
    is_tool: bool
    """Whether it is a call of a tool with these arguments; else it is what a node has interrupted itself with."""


# -- contents --


def prompt_of(inputs: Any) -> Any:
    """Return what a run was asked: the text of the last message, or else its input."""
    if (text := _last_text(inputs)) is not None:
        return text
    return inputs


def output_of(outputs: Any) -> Any:
    """Return what a run has answered."""
    if (text := _last_text(outputs)) is not None:
        return text
    if type(outputs) is dict and outputs.get("output") is not None:  # of agents that are chains
        return outputs["output"]
    return outputs


def _last_text(value: Any) -> str | None:
    try:
        return _text_in(value)
    except Exception:  # noqa: BLE001 - a value of a program's own class may raise anything when it is looked at
        return None


def _text_in(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("messages")
    elif hasattr(value, "messages") and isinstance(value.messages, list):
        value = value.messages  # a state that is a dataclass, or a prompt
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        return value[1]
    if isinstance(value, Mapping) and isinstance(value.get("role"), str):
        return _text(value.get("content"))
    return message_text(value)


def message_text(value: Any) -> str | None:
    """Return the text of a message; None for what is none."""
    try:
        return _text(value.content) if hasattr(value, "content") and hasattr(value, "type") else None
    except Exception:  # noqa: BLE001 - likewise
        return None


def _text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    pieces = (
        each if isinstance(each, str) else each.get("text") for each in content if isinstance(each, str | Mapping)
    )
    return "".join(each for each in pieces if isinstance(each, str))


def messages_of(batch: Any, *, is_whole: bool) -> Any:
    """Return a model's request: roles and contents of its last messages; unless it is whole, only the last is shown."""
    messages = batch[0] if isinstance(batch, list) and len(batch) == 1 else batch
    if not isinstance(messages, list):
        return messages
    if not is_whole:
        return [*messages[:-1], *map(_message, messages[-1:])]
    return [_message(each) for each in messages[-MESSAGES_MAX:]]


def _message(message: Any) -> Any:
    if not hasattr(message, "content"):
        return message
    said = {"role": getattr(message, "type", ""), "content": message.content}
    if calls := getattr(message, "tool_calls", None):
        said["tool_calls"] = [{"name": each.get("name"), "args": each.get("args")} for each in calls]
    return said


def result_of(output: Any) -> Any:
    """Return what a tool has returned; of a command that goes somewhere else, what it says to the caller."""
    if (text := message_text(output)) is not None:
        return text if text or not output.content else output.content
    if (goto := goto_of(output)) is not None:
        return f"goes to {', '.join(goto)}" if goto else _last_text(getattr(output, "update", None))
    return output


def goto_of(command: Any) -> list[str] | None:
    """Return the nodes that a command goes to; None for what is no command."""
    try:
        return _goto_of(command)
    except Exception:  # noqa: BLE001 - likewise
        return None


def _goto_of(command: Any) -> list[str] | None:
    if not hasattr(command, "goto") or not hasattr(command, "update"):
        return None
    goto = command.goto if isinstance(command.goto, list | tuple) else [command.goto]
    names = (each if isinstance(each, str) else getattr(each, "node", None) for each in goto)
    return [name for name in names if isinstance(name, str)]


# -- models --


def model_of(serialized: Any, settings: Mapping[str, Any]) -> str:
    """Return the name of a model that is called."""
    metadata, params = settings.get("metadata") or {}, settings.get("invocation_params") or {}
    for name in (metadata.get("ls_model_name"), params.get("model"), params.get("model_name"), params.get("_type")):
        if isinstance(name, str) and name:
            return name
    path = serialized.get("id") if isinstance(serialized, Mapping) else None
    return str(path[-1]) if path else ""


def extra_of(result: Any) -> dict[str, Any]:
    """Return what the end of a model call is told: its answer, tokens, and the model that has answered."""
    message: Any = None
    told: dict[str, Any] = {}
    generations = [each[0] for each in result.generations if each]
    texts: list[Any] = []
    tokens: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0}
    details: dict[str, int] = {}
    for generation in generations:
        message = getattr(generation, "message", None)
        texts.append(generation.text if message is None else _answer(message))
        usage = getattr(message, "usage_metadata", None) or {}
        for name in tokens:
            tokens[name] += usage.get(name) or 0
        for side in ("input", "output"):
            for name, count in (usage.get(f"{side}_token_details") or {}).items():
                details[f"{side}_{name}_tokens"] = details.get(f"{side}_{name}_tokens", 0) + (count or 0)
    if not any(tokens.values()):
        old = (result.llm_output or {}).get("token_usage") or {}
        tokens = {"input_tokens": old.get("prompt_tokens"), "output_tokens": old.get("completion_tokens")}
    told |= {name: count for name, count in tokens.items() if count}
    answered = getattr(message, "response_metadata", None) or {}
    told["model"] = answered.get("model_name") or (result.llm_output or {}).get("model_name")
    told["result"] = texts[0] if len(texts) == 1 else texts
    told["extra"] = {name: count for name, count in details.items() if count} or None
    return told


def _answer(message: Any) -> Any:
    calls = getattr(message, "tool_calls", None)
    if not calls:
        return message_text(message) or message.content
    said = _message(message)
    return said if said["content"] else {"tool_calls": said["tool_calls"]}


# -- what a graph waits for --


def questions_of(thread: str, interrupt: Any, node: str, answered: int = 0) -> Iterator[Suspended]:
    """Yield the actions that an interrupt asks for, in the order in which they are answered.

    ``answered``: how many questions of the same node were answered before. All have one id before LangGraph 1.2.20.
    """
    value, key = interrupt.value, f"{thread}:{interrupt.id}"
    if answered:
        key = f"{key}|{answered}"
    if _is_reviewed(value):
        for number, each in enumerate(value["action_requests"]):
            yield Suspended(f"{key}:{number}", str(each["name"]), each.get("args"), is_tool=True)
    elif _is_per_call(value):
        yield Suspended(key, str(value["name"]), value.get("args"), is_tool=True)
    else:
        action = value.get("action") if isinstance(value, Mapping) else None
        yield Suspended(key, action if isinstance(action, str) and action.strip() else node, value, is_tool=False)


def answer_of(interrupt: Any, verdicts: Sequence[Verdict]) -> Any:
    """Return what a graph is resumed with: the decisions that LangChain's middleware takes, or True or False."""
    value = interrupt.value
    if _is_reviewed(value):
        reviews = value.get("review_configs") or []
        decisions = []
        for number, (request, verdict) in enumerate(zip(value["action_requests"], verdicts, strict=True)):
            allowed = reviews[number].get("allowed_decisions") if number < len(reviews) else None
            decisions.append(_decision(str(request["name"]), verdict, allowed))
        return {"decisions": decisions}
    (verdict,) = verdicts
    if _is_per_call(value):
        return _decision(str(value["name"]), verdict, None)
    return verdict.is_approved and not verdict.is_modified


def _decision(name: str, verdict: Verdict, allowed: Sequence[str] | None) -> dict[str, Any]:
    if verdict.is_modified:
        decision = {"type": "edit", "edited_action": {"name": name, "args": verdict.arguments}}
    elif verdict.is_approved:
        decision = {"type": "approve"}
    else:
        message = f"The tool call was denied: {verdict.reason}"
        decision = {"type": "reject", "message": message}
        if allowed is not None and "reject" not in allowed and "respond" in allowed:
            decision = {"type": "respond", "message": message}
    if allowed is not None and decision["type"] not in allowed:
        raise ConfigurationError(
            f"resume(): the verdict about {name} is to {decision['type']} it, which its middleware does not take, only"
            f" {', '.join(allowed)}; add it to allowed_decisions, or give answer=..."
        )
    return decision


def told_of(interrupt: Any, answer: Any) -> list[Told | None]:
    """Return the verdicts in an answer that the program itself gives; None for one that is no verdict."""
    if _is_reviewed(interrupt.value):
        decisions = answer.get("decisions") if isinstance(answer, Mapping) else None
        return [_told(each) for each in decisions] if isinstance(decisions, list) else []
    if _is_per_call(interrupt.value):
        return [_told(answer)]
    return [Told(answer) if isinstance(answer, bool) else None]


def _told(decision: Any) -> Told | None:
    if not isinstance(decision, Mapping):
        return None
    kind, message = decision.get("type"), decision.get("message")
    if kind == "approve":
        return Told(is_passed=True)
    if kind == "edit" and isinstance(edited := decision.get("edited_action"), Mapping):
        return Told(is_passed=True, reason="with other arguments", arguments=edited.get("args"))
    if kind in ("reject", "respond"):
        return Told(is_passed=False, reason=message if isinstance(message, str) else "")
    return None


def is_denied(interrupt: Any, answer: Any) -> bool:
    """Whether an answer says that what was suspended is not to be done."""
    told = told_of(interrupt, answer)
    return bool(told) and all(each is not None and not each.is_passed for each in told)


def _is_reviewed(value: Any) -> bool:
    requests = value.get("action_requests") if isinstance(value, Mapping) else None
    return isinstance(requests, list) and all(isinstance(each, Mapping) and "name" in each for each in requests)


def _is_per_call(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "tool_approval" and "name" in value


# -- how runs end --


def is_unnamed(name: str) -> bool:
    """Whether a runnable has only the name of its class."""
    return not name or name == "LangGraph" or name.startswith("Runnable")


def waits_text(names: Sequence[str]) -> str:
    """Return what a turn has ended with that waits for these."""
    return f"waits for an answer: {', '.join(names)}"


def goes_text(error: BaseException) -> str:
    """Return what a run has ended with that goes elsewhere."""
    names = goto_of(error.args[0]) if error.args else None
    return f"hands over to {', '.join(names)}" if names else "is suspended"


def is_command(value: Any) -> bool:
    """Whether this is a command of LangGraph."""
    kind = getattr(sys.modules.get("langgraph.types"), "Command", None)
    return kind is not None and issubclass(type(value), kind)


def is_a(error: BaseException, name: str) -> bool:
    """Whether an error is one with which LangGraph goes elsewhere; none is, where it was never imported."""
    kind = getattr(sys.modules.get("langgraph.errors"), name, None)
    return kind is not None and issubclass(type(error), kind)


def interrupt_id_of(namespace: Any) -> str | None:
    """Return the id that an interrupt of a task has by its namespace."""
    types = sys.modules.get("langgraph.types")
    return None if types is None or not isinstance(namespace, str) else str(types.Interrupt.from_ns(None, namespace).id)
