"""What is taken out of AG2's objects. Nothing here raises: middleware must not, and the objects may be anybody's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

__all__ = (
    "YES",
    "agent_of",
    "answer_of",
    "arguments_of",
    "is_always",
    "model_of",
    "request_of",
    "result_of",
    "said",
    "stream_of",
    "text",
    "usage_of",
)

P = ParamSpec("P")
R = TypeVar("R")

YES: Final = frozenset({"y", "yes", "1"})
"""What AG2's ``approval_required`` takes for a yes, besides "always"."""

_ALWAYS = "ag:approval_required:always"
"""The variable in which it keeps what need not be asked again."""

_AGENT, _CONFIG = "__ag2_agent__", "__ag2_model_config__"
"""The dependencies of a turn that are its agent and the settings of its model."""

_CACHE = ("cache_read_input_tokens", "cache_creation_input_tokens", "thinking_tokens")


def _quiet(default: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a default where the object is another one than AG2's are."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def quiet(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - a property of a stranger's class may raise what it likes
                found: R = default
                return found

        return quiet

    return decorate


@_quiet("")
def text(thing: Any, name: str) -> str:
    value = getattr(thing, name, None)
    return value if isinstance(value, str) else ""


@_quiet(None)
def agent_of(context: Any) -> str | None:
    name = getattr(context.dependencies.get(_AGENT), "name", None)
    return name if isinstance(name, str) else None


@_quiet("")
def model_of(context: Any) -> str:
    return str(context.dependencies[_CONFIG].model)


@_quiet("")
def stream_of(context: Any) -> str:
    return str(context.stream.id)


@_quiet(None)
def arguments_of(call: Any) -> Any:
    """Return the arguments of a call, parsed where they are JSON."""
    try:
        return dict(call.serialized_arguments)
    except (ValueError, TypeError):
        return call.arguments


@_quiet(None)
def said(event: Any) -> Any:
    """Return what an event says that is a turn's trigger or answer, or a message to a model."""
    if (parts := getattr(event, "parts", None)) is not None:
        return _parts(parts)
    if (results := getattr(event, "results", None)) is not None:
        return [{"tool": each.name, "result": result_of(each)} for each in results]
    asked = getattr(getattr(event, "tool_calls", None), "calls", None) or ()
    calls = [{"tool": each.name, "arguments": arguments_of(each)} for each in asked]
    content = getattr(getattr(event, "message", None), "content", None)
    if not calls:
        return content
    return calls if content is None else [content, *calls]


def _parts(parts: Sequence[Any]) -> Any:
    values = [_part(part) for part in parts]
    return values[0] if len(values) == 1 else values


def _part(part: Any) -> Any:
    for name in ("content", "data", "url", "file_id"):
        if (value := getattr(part, name, None)) is not None:
            return value
    return f"({type(part).__name__})"


@_quiet(None)
def result_of(event: Any) -> Any:
    """Return what a tool has returned."""
    return _parts(event.result.parts)


@_quiet(None)
def request_of(messages: Sequence[Any], *, is_whole: bool) -> Any:
    """Return what a model is asked: all, or the last of so many, as a recorder shows it."""
    if is_whole:
        whole = [said(message) for message in messages]
        return [message for message in whole if message is not None]
    return [*(None,) * (len(messages) - 1), said(messages[-1])] if messages else None


@_quiet({})
def usage_of(answer: Any) -> dict[str, Any]:
    """Return the numbers of a model's answer, by the names of :meth:`Recorder.end`."""
    usage = answer.usage
    extra = {name: number for name in _CACHE if (number := getattr(usage, name, None))}
    numbers = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    return {**numbers, "extra": extra or None}


@_quiet("")
def answer_of(message: Any) -> str:
    return str(message.content).lower()


@_quiet(False)
def is_always(call: Any, context: Any) -> bool:
    """Tell whether AG2 has taken "always" for a yes: not where it was not offered."""
    return bool(context.variables.get(_ALWAYS, {}).get(call.source or call.name))
