"""What the spans and the hooks of openai-agents say, as steps of recorders: one watch for all of them.

Spans say what there is and how it ends; hooks say what is called with which arguments, and what it returns. Neither is
enough: a function span is there for a call that waits for approval, and the hook takes a tool's failure for its result.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Concatenate, Final, ParamSpec
from weakref import WeakSet

import attrs

from ..context import current, scope
from ._capture import short_text
from ._opening import imported
from .recorder import Recorder

__all__ = ("Run", "Watch", "parsed", "run_of_here", "together")

P = ParamSpec("P")

_SPANS_MAX: Final = 50_000
"""How many spans that have started and not ended are remembered."""
_ARGUMENTS_CHARS_MAX: Final = 64 * 1024
"""Longer arguments stay the text that they are: reading them as JSON would hold up the runtime."""
_WITHHELD: Final = "Error details are redacted."
"""What the runtime itself says where its traces may not have contents."""
_NOT_TRACED: Final = (
    "a run is not recorded, because tracing is off: instead of RunConfig(tracing_disabled=True), "
    "set_tracing_disabled(True) or OPENAI_AGENTS_DISABLE_TRACING use set_trace_processors([]), so that no trace leaves "
    "the process, and then record(hub)"
)
_NONE: Final = object()

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
    outcome: Any = _NONE
    """Of a tool, its result; of an agent, its answer, the agent it has handed over to, or what it waits for."""
    until: float = math.inf
    """When a tool has taken too long."""
    call: ModelCall | None = None
    calls: int = 0

    def own_error(self) -> BaseException | None:
        """Return the exception that ends it: a span's end is told in the ``finally`` of what it is about."""
        error = sys.exception()
        return None if error is self.raised else error


def _harmless(method: Callable[Concatenate[Watch, P], None]) -> Callable[Concatenate[Watch, P], None]:
    """Let a callback return whatever happens in it: the runtime goes on."""

    @functools.wraps(method)
    def harmless(self: Watch, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if not self.recorders:
            return
        try:
            method(self, *args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - an object of the runtime may raise anything when it is read
            for recorder in self.recorders:
                recorder.failed(method.__name__, error)

    return harmless


class Watch:
    """Hears all spans and hooks, and tells every recorder. Its methods return in microseconds, and never raise."""

    def __init__(self) -> None:
        self.recorders: tuple[Recorder, ...] = ()
        self._tracing: Any = imported("agents.tracing", "openai_agents")
        self._seen: dict[str, Seen] = {}
        self._warned: WeakSet[Recorder] = WeakSet()
        """Who has been told that there are runs that are not traced."""

    def tell(self, what: Callable[[Recorder], None]) -> None:
        for recorder in self.recorders:
            what(recorder)

    def forget(self) -> None:
        """Forget the spans that have started: there is no recorder any more."""
        self._seen.clear()

    # -- as a TracingProcessor --

    def on_trace_start(self, trace: Any) -> None: ...

    def on_trace_end(self, trace: Any) -> None: ...

    def shutdown(self, timeout: float | None = None) -> None: ...

    def force_flush(self) -> None: ...

    @_harmless
    def on_span_start(self, span: Any) -> None:
        kind, parent = span.span_data.type, self._seen.get(span.parent_id)
        if parent is not None and parent.kind == "function" and parent.key is None and kind in ("task", "agent"):
            self._continued(span.parent_id, parent)
        seen = Seen(
            kind=kind,
            above=None if parent is None else parent.key or parent.above,
            run=None if parent is None else parent.run,
            turn=None if parent is None else parent.turn,
            raised=sys.exception(),
            agent="" if parent is None else parent.agent,
        )
        self._seen[span.span_id] = seen
        if len(self._seen) > _SPANS_MAX:
            self._seen.pop(next(iter(self._seen)), None)
        if kind == "agent":
            self._turn_started(span, seen)
        elif kind in ("generation", "response"):
            self._attempt_started(span, seen, parent)

    @_harmless
    def on_span_end(self, span: Any) -> None:
        seen = self._seen.pop(span.span_id, None)
        if seen is None:
            return
        kind = seen.kind
        if kind == "function":
            self._tool_ended(span, seen)
        elif kind in ("generation", "response"):
            self._attempt_ended(span, seen)
        elif kind == "handoff":
            self._handed_over(span, seen)
        elif kind == "turn":
            self._step_ended(seen)
        elif kind == "agent":
            self._turn_ended(span, seen)

    # -- turns --

    def _turn_started(self, span: Any, seen: Seen) -> None:
        root = (span.trace_id, span.parent_id)
        run = run_of_here.get()
        if run is not None:
            run.root = run.root or root
            run = run if run.root == root else None
        seen.run, seen.turn, seen.key = run, seen, span.span_id
        seen.agent = short_text(span.span_data.name, default="agent")
        trace = self._tracing.get_current_trace()
        session = short_text(getattr(trace, "group_id", None)) or (run.session if run is not None else None)
        prompt = None if run is None else run.take_prompt()
        with together(span.trace_id, seen.above):
            for recorder in self.recorders:
                recorder.begin_turn(span.span_id, agent=seen.agent, parent=seen.above, prompt=prompt, session=session)

    def _turn_ended(self, span: Any, seen: Seen) -> None:
        key = str(seen.key)
        if (error := seen.own_error()) is not None:
            self._fail(key, seen, error)
        elif seen.outcome is _NONE and span.error is not None:
            self._fail(key, seen, _text_of(span.error))
        else:
            answer = None if seen.outcome is _NONE or _is_quiet(seen) else seen.outcome
            self.tell(lambda to: to.end(key, answer))

    def _step_ended(self, seen: Seen) -> None:
        if (call := seen.call) is None or (key := call.key) is None:
            return
        if (error := seen.own_error()) is not None:
            self._fail(key, seen, error)
        else:
            self.tell(lambda to: to.discard(key, "its end was not told"))

    def _handed_over(self, span: Any, seen: Seen) -> None:
        to_agent = span.span_data.to_agent
        if to_agent is None or seen.own_error() is not None:
            return
        if seen.turn is not None:
            seen.turn.outcome = {"handed_over_to": short_text(to_agent)}
        from_agent = short_text(span.span_data.from_agent) or seen.agent
        self.tell(lambda to: to.hand_over(from_agent, to_agent, parent=seen.above))

    @_harmless
    def agent_ended(self, output: Any) -> None:
        """An agent has given its answer, in the span that is current."""
        if (seen := self._here()) is not None and seen.turn is not None:
            seen.turn.outcome = output

    # -- tools --

    @_harmless
    def tool_started(self, context: Any, tool: Any) -> None:
        """A tool is about to be called, in its function span: approved, and past its guardrails."""
        span = self._tracing.get_current_span()
        if (seen := self._here(span)) is None:
            return
        if seen.kind == "function" and seen.key is None:
            arguments = getattr(context, "tool_arguments", None)
            self._begin_tool(span, seen, arguments, call_id=getattr(context, "tool_call_id", None))
            seen.until = time.monotonic() + (getattr(tool, "timeout_seconds", None) or math.inf)

    @_harmless
    def tool_ended(self, tool: Any, result: Any) -> None:
        """A tool has returned, or failed and the runtime made a result of it: the span's end says which."""
        if (seen := self._here()) is not None and seen.kind == "function":
            is_late = time.monotonic() >= seen.until and _shows_timeout(tool, result)
            seen.outcome = TimedOut(f"it took longer than {tool.timeout_seconds:g} s") if is_late else result

    def _begin_tool(
        self, span: Any, seen: Seen, arguments: Any, *, call_id: str | None = None, at: float | None = None
    ) -> None:
        seen.key = span.span_id
        said = None if _is_quiet(seen) else parsed(arguments)
        name = short_text(span.span_data.name, default="tool")
        with together(span.trace_id, seen.above):
            for recorder in self.recorders:
                recorder.begin_tool(
                    span.span_id, name, agent=seen.agent, parent=seen.above, arguments=said, call_id=call_id, at=at
                )

    def _continued(self, span_id: str, seen: Seen) -> None:
        """Go on with the call of an agent as a tool: what it waited for is decided, and no hook tells its beginning."""
        span = self._tracing.get_current_span()
        if (seen.run is None or seen.run.is_resumed) and span is not None and span.span_id == span_id:
            self._begin_tool(span, seen, span.span_data.input)

    def _tool_ended(self, span: Any, seen: Seen) -> None:
        error, output = seen.own_error(), span.span_data.output
        if seen.key is None and seen.run is None and _was_called(span.error, output, error):
            self._begin_tool(span, seen, span.span_data.input, at=_seconds(span.started_at))
            seen.outcome = output
        if (key := seen.key) is None:
            if error is None and span.error is None and output is None and seen.turn is not None:
                _add_waiting(seen.turn, short_text(span.span_data.name, default="tool"))
        elif error is not None:
            self._fail(key, seen, error.__cause__ or error)
        elif span.error is not None:
            self._fail(key, seen, _text_of(span.error))
        elif isinstance(seen.outcome, TimedOut):
            message = seen.outcome.message
            self.tell(lambda to: to.fail(key, message, kind="ToolTimeoutError"))
        elif seen.outcome is not _NONE or (seen.run is None and output is not None):
            result = None if _is_quiet(seen) else seen.outcome
            self.tell(lambda to: to.end(key, result))
        else:
            if seen.turn is not None:
                _add_waiting(seen.turn, short_text(span.span_data.name, default="tool"))
            self.tell(lambda to: to.discard(key, "it waits for an approval, and goes on in another call"))

    # -- models --

    @_harmless
    def model_started(self, agent: Any, input_items: Any) -> None:
        """An agent calls its model, in the span of its step."""
        span = self._tracing.get_current_span()
        if (seen := self._here(span)) is None:
            return
        seen.calls += 1
        name = _model_name((seen.run.model if seen.run is not None else None) or getattr(agent, "model", None))
        request = None if _is_quiet(seen) else input_items
        seen.call = ModelCall(f"{span.span_id}/{seen.calls}", name, request)
        self._begin_attempt(seen.call, seen)

    @_harmless
    def model_ended(self, response: Any) -> None:
        """A model has answered."""
        if (seen := self._here()) is None or (call := seen.call) is None or (key := call.key) is None:
            return
        seen.call = call.key = None
        usage = response.usage
        numbers = _numbers(usage)
        content = None if _is_quiet(seen) else _said(response.output)
        for recorder in self.recorders:
            recorder.end(
                key,
                content,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                extra=numbers or None,
            )

    def _begin_attempt(self, call: ModelCall, seen: Seen) -> None:
        call.attempts += 1
        key = call.key = call.base if call.attempts == 1 else f"{call.base}#{call.attempts}"
        for recorder in self.recorders:
            recorder.begin_model(key, call.name, agent=seen.agent or None, parent=seen.above, request=call.request)

    def _attempt_started(self, span: Any, seen: Seen, parent: Seen | None) -> None:
        if parent is not None and parent.call is not None:
            seen.call = parent.call
            if seen.call.key is None:
                self._begin_attempt(seen.call, seen)
            return
        seen.key = span.span_id
        name, request = short_text(getattr(span.span_data, "model", None)), span.span_data.input
        with together(span.trace_id, seen.above):
            self.tell(
                lambda to: to.begin_model(
                    span.span_id, name, agent=seen.agent or None, parent=seen.above, request=request
                )
            )

    def _attempt_ended(self, span: Any, seen: Seen) -> None:
        error = seen.own_error() or (None if span.error is None else _text_of(span.error))
        key = seen.key if seen.call is None else seen.call.key
        if key is None:
            return
        if error is not None:
            self._fail(key, seen, error)
            if seen.call is not None:
                seen.call.key = None
        elif seen.call is None:
            data = span.span_data
            usage = data.usage if isinstance(data.usage, Mapping) else {}
            response = getattr(data, "response", None)
            content = _said(response.output) if response is not None else getattr(data, "output", None)
            model = short_text(getattr(response, "model", None) or getattr(data, "model", None)) or None
            counts = {name: usage.get(name) for name in ("input_tokens", "output_tokens")}
            self.tell(lambda to: to.end(key, content, model=model, **counts))

    # -- parts of these --

    def _here(self, span: Any = None) -> Seen | None:
        """Return what is known of the span that is current; where there is none, nothing can be recorded."""
        span = span or self._tracing.get_current_span()
        if span is not None and span.span_id != "no-op":
            return self._seen.get(span.span_id)
        for recorder in self.recorders:
            if recorder not in self._warned:
                self._warned.add(recorder)
                recorder.error(_NOT_TRACED)
        return None

    def _fail(self, key: str, seen: Seen, error: BaseException | str) -> None:
        if isinstance(error, BaseException) and _is_quiet(seen):
            kind = type(error).__name__
            self.tell(lambda to: to.fail(key, _WITHHELD, kind=kind))
        else:
            self.tell(lambda to: to.fail(key, error))


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


def _is_quiet(seen: Seen) -> bool:
    return seen.run is not None and seen.run.is_quiet


def _was_called(span_error: Any, output: Any, error: BaseException | None) -> bool:
    """Tell whether a tool was called, by its span alone: not if it waits for approval, or was denied."""
    if error is not None:
        return True
    if span_error is not None:
        return "manually rejected" not in str((span_error.get("data") or {}).get("error"))
    return output is not None


def _shows_timeout(tool: Any, result: Any) -> bool:
    """Tell whether what came when the time was over came from the timeout, and not from the tool, checked for long."""
    if getattr(tool, "timeout_error_function", None) is None:
        return isinstance(result, str) and "timed out after" in result
    return not getattr(tool, "tool_output_guardrails", None)


def _add_waiting(turn: Seen, tool: str) -> None:
    if not isinstance(turn.outcome, dict) or "waits_for_approval" not in turn.outcome:
        turn.outcome = {"waits_for_approval": []}
    turn.outcome["waits_for_approval"].append(tool)


def _text_of(error: Any) -> str:
    """Return what the error of a span says, the most particular of it."""
    data = error.get("data")
    said = data.get("error") if isinstance(data, Mapping) else None
    return said if isinstance(said, str) and said else short_text(error.get("message"), 1000, default="it failed")


def _said(output: Any) -> Any:
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


def _numbers(usage: Any) -> dict[str, int]:
    """Return the further numbers of a usage: those that are part of its two."""
    cached = getattr(getattr(usage, "input_tokens_details", None), "cached_tokens", 0)
    thought = getattr(getattr(usage, "output_tokens_details", None), "reasoning_tokens", 0)
    return {name: n for name, n in (("cached_input_tokens", cached), ("reasoning_tokens", thought)) if n}


def _model_name(model: Any) -> str:
    if model is None or isinstance(model, str):
        return short_text(model)
    return short_text(getattr(model, "model", None)) or type(model).__name__


def _seconds(moment: Any) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
