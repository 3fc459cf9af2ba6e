"""Runs and spans of openai-agents, as they are seen, and what is read from the objects that it hands over."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

import attrs

from ..context import current, scope
from ._capture import short_text

__all__ = (
    "NONE",
    "ModelCall",
    "Run",
    "Seen",
    "TimedOut",
    "add_waiting",
    "model_name",
    "numbers_of",
    "parsed",
    "run_of",
    "run_of_here",
    "said_by_model",
    "seconds_of",
    "shows_timeout",
    "shows_waiting",
    "text_of_error",
    "together",
    "was_called",
    "withholds",
)

_ARGUMENTS_CHARS_MAX: Final = 64 * 1024
"""Longer arguments stay the text that they are: reading them as JSON would hold up the runtime."""

NONE: Final = object()
"""Stands for an outcome that is not there; None may be one."""

run_of_here: ContextVar[Run | None] = ContextVar("hubwire.openai_agents.run", default=None)
"""The run whose code this is."""


@attrs.define(slots=True, eq=False)
class Run:
    """A call of ``Runner.run``, ``run_sync`` or ``run_streamed``: what its spans do not say."""

    prompt: Any
    session: str | None
    model: Any
    """What the run configures instead of the agents' own."""
    is_quiet: bool
    """Whether its traces may not have contents; then the record has none either."""
    is_resumed: bool
    root: tuple[str, str | None] | None = None
    """The trace and the span that the spans of its agents are in: those of other runs are elsewhere."""
    streamed: weakref.ref[Any] | None = None
    """What a run that is streamed has returned."""

    @property
    def is_stopped(self) -> bool:
        """Whether the program has stopped a streamed run, so that its last agent gives no answer."""
        result = None if self.streamed is None else self.streamed()
        return getattr(result, "_cancel_mode", "none") == "after_turn"

    def take_prompt(self) -> Any:
        """Return what the run was asked, once: it is the prompt of its first agent."""
        prompt, self.prompt = self.prompt, None
        return None if self.is_quiet else prompt


@attrs.define(slots=True, eq=False)
class ModelCall:
    """A call of a model that the hooks have told of; retries make several attempts of it."""

    base: str
    name: str
    request: Any
    key: str | None = None
    """Of the attempt that is open; None when it has failed."""
    attempts: int = 0


@attrs.frozen(slots=True, eq=False)
class TimedOut:
    """The outcome of a tool that took too long: the runtime makes a result of it, and its span has no error."""

    message: str


@attrs.define(slots=True, eq=False)
class Seen:
    """A span that has started and not ended."""

    kind: str
    above: str | None
    """The key of the turn or call that it is in."""
    run: Run | None
    """None for a run that has not gone through the default runner: then there are no hooks."""
    turn: Seen | None
    """The agent's span that it is in, or is."""
    raised: BaseException | None
    """What was being handled when it started: at its end, only another exception is its own."""
    agent: str = ""
    key: str | None = None
    """Under which it is recorded; None while it is not."""
    outcome: Any = NONE
    """Of a tool, its result; of an agent, its answer, the agent it has handed over to, or what it waits for.

    Of a task, the turn that was begun in it before its agent's span."""
    until: float = math.inf
    """When a tool has taken too long."""
    call: ModelCall | None = None
    calls: int = 0

    def own_error(self) -> BaseException | None:
        """Return the exception that ends it: a span's end is told in the ``finally`` of what it is about."""
        error = sys.exception()
        return None if error is self.raised else error


def together(trace_id: object, above: str | None = None) -> AbstractContextManager[object]:
    """Let what begins here belong to the others of its trace: a run goes on in another after an approval."""
    trace = short_text(trace_id)
    if above is not None or not trace or current().correlation_id is not None:
        return contextlib.nullcontext()
    return scope(correlation_id=trace)


def parsed(arguments: Any) -> Any:
    """Return the arguments of a call, which are JSON as the model has written it, as values; other text as it is."""
    if type(arguments) is not str or len(arguments) > _ARGUMENTS_CHARS_MAX:
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def run_of(root: tuple[str, str | None]) -> Run | None:
    """Return the run whose code this is, if spans of its agents are there; that of an outer run they are not."""
    if (run := run_of_here.get()) is None:
        return None
    run.root = run.root or root
    return run if run.root == root else None


def withholds(seen: Seen) -> bool:
    return seen.run is not None and seen.run.is_quiet


def was_called(span_error: Any, output: Any, error: BaseException | None) -> bool:
    """Tell whether a tool was called, by its span alone: not if it waits for approval, or was denied."""
    if error is not None:
        return True
    if span_error is not None:
        return "manually rejected" not in str((span_error.get("data") or {}).get("error"))
    return not shows_waiting(output)


def shows_waiting(output: Any) -> bool:
    return output is None or hasattr(output, "run_item")  # the latter before 0.24


def shows_timeout(tool: Any, result: Any) -> bool:
    """Tell whether what came when the time was over came from the timeout, and not from the tool, checked for long."""
    if getattr(tool, "timeout_error_function", None) is None:
        return isinstance(result, str) and "timed out after" in result
    return not getattr(tool, "tool_output_guardrails", None)


def add_waiting(turn: Seen, tool: str) -> None:
    if not isinstance(turn.outcome, dict) or "waits_for_approval" not in turn.outcome:
        turn.outcome = {"waits_for_approval": []}
    turn.outcome["waits_for_approval"].append(tool)


def text_of_error(error: Any) -> str:
    """Return what the error of a span says, the most particular of it."""
    data = error.get("data")
    said = data.get("error") if isinstance(data, Mapping) else None
    return said if isinstance(said, str) and said else short_text(error.get("message"), 1000, default="it failed")


def said_by_model(output: Any) -> Any:
    """Return what a model has answered: its text; with calls, a list of all of it."""
    texts, parts = [], []
    for item in output if isinstance(output, list) else ():
        kind = getattr(item, "type", None)
        if kind == "message":
            text = "".join(each.text for each in item.content if isinstance(getattr(each, "text", None), str))
            texts.append(text)
            parts.append({"text": text})
        elif kind == "function_call":
            parts.append({"call": item.name, "arguments": item.arguments})
        else:
            parts.append({"type": short_text(kind)})
    return "\n".join(texts) if len(texts) == len(parts) else parts


def numbers_of(usage: Any) -> dict[str, int]:
    """Return the further numbers of a usage: those that are part of its two."""
    cached = getattr(getattr(usage, "input_tokens_details", None), "cached_tokens", 0)
    thought = getattr(getattr(usage, "output_tokens_details", None), "reasoning_tokens", 0)
    return {name: n for name, n in (("cached_input_tokens", cached), ("reasoning_tokens", thought)) if n}


def model_name(model: Any) -> str:
    if model is None or isinstance(model, str):
        return short_text(model)
    return short_text(getattr(model, "model", None)) or type(model).__name__


def seconds_of(moment: Any) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
