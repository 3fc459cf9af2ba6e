"""What spans and events of LlamaIndex's dispatcher mean, told to a recorder."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from ..clock import SystemClock
from ._llama_values import (
    agent_name_of,
    answer_of,
    fields_of,
    message_of,
    messages_of,
    model_name,
    text_of,
    usage_of,
)
from .recorder import Recorder

__all__ = ("Run", "Telling")

_HELD_SECONDS: Final = 0.5
"""A tool that asks a person does so at once: one that has worked for longer is recorded as called."""

_clock = SystemClock()

_SPANS_MAX: Final = 50_000

_numbers = itertools.count(1)

_TOOL_METHODS = frozenset({"call", "acall", "__call__"})


@attrs.define(slots=True, eq=False)
class Run:
    """A run of a workflow."""

    key: str
    parent: str | None
    root: str
    """The agent that it begins with, or the name of the workflow."""
    prompt: Any
    at: float
    agent: str | None = None
    """The agent that is at work; None before the first."""
    turn: str = ""
    """Its turn: that of the run, or one inside of it."""
    waiting: dict[str, Any] = attrs.field(factory=dict)
    """The calls of tools that wait for a person, by the model's id of the call."""
    waits: dict[str, tuple[Any, Any]] = attrs.field(factory=dict)
    """With what they wait, by the id of the waiter: the call, and how it was added to the workflow's waiters."""
    run_id: str = ""


@attrs.define(slots=True, eq=False)
class _Span:
    """A span of LlamaIndex's that is open, or whose model still streams."""

    parent: _Span | None
    key: str | None = None
    """That of what is recorded for it; None: it is only on the way from others to their parents."""
    tool: str = ""
    run: Run | None = None
    is_run: bool = False
    call: Any = None
    """The ToolCall, where it is the step that makes it."""
    timer: asyncio.TimerHandle | None = None
    """Releases a call that is held back."""
    waits: bool = False
    was_cancelled: bool = False
    is_over: bool = False
    """Whether it is kept only for the model call that is open in it."""
    model: str | None = None
    """The key of the model call that is open in it."""
    models: dict[str, None] = attrs.field(factory=dict)
    """Of a step: keys of all model calls that are open below it."""


class Telling:
    """Tells a recorder what spans and events of LlamaIndex mean."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._spans: dict[str, _Span] = {}
        self._runs: dict[str, Run] = {}
        """By the run's own id, for those that are open."""
        self._hearers: dict[str, Callable[[Any, Any], None]] = {}
        self._at_work: dict[str, str] = {}
        """The agents of runs that go on from a context, and have not begun a step yet: none says so in there."""

    def hear(self, run_id: str, at_work: str | None, hearer: Callable[[Any, Any], None]) -> None:
        """Call this whenever a tool of a run begins to wait, with its call and the waiter, and for those that do."""
        self._hearers[run_id] = hearer
        if at_work is not None and run_id not in self._runs:
            self._at_work[run_id] = at_work
        run = self._runs.get(run_id)
        for call, add in () if run is None else list(run.waits.values()):
            hearer(call, add)

    def hear_no_more(self, run_id: str) -> None:
        self._hearers.pop(run_id, None)
        self._at_work.pop(run_id, None)

    def failed(self, method: str, error: BaseException) -> None:
        self._recorder.failed(method, error)

    @property
    def open_spans(self) -> int:
        """How many spans have begun and not ended."""
        return len(self._spans)

    def run_of(self, run_id: Any) -> Run | None:
        return self._runs.get(str(run_id))

    # -- spans --

    def enter(self, span_id: str, given: Mapping[str, Any], instance: Any, parent_id: str | None, tags: Any) -> None:
        parent = self._spans.get(parent_id) if parent_id is not None else None
        span = _Span(parent, run=None if parent is None else parent.run)
        self._spans[span_id] = span
        self._leave_out_oldest()
        if "start_event" in given and "init_state" in given:
            self._begin_run(span_id, span, given, instance)
        elif instance is None and "ev" in given and parent is not None and parent.is_run:
            self._begin_step(span_id, span, given["ev"], tags)
        elif span_id.partition("-")[0].rpartition(".")[2] in _TOOL_METHODS and hasattr(instance, "metadata"):
            self._begin_tool_span(span_id, span, given, instance)

    def _leave_out_oldest(self) -> None:
        """The end of the oldest has not come, as of a stream that was not read to its end."""
        if len(self._spans) > _SPANS_MAX and (span := self._spans.pop(next(iter(self._spans)), None)) is not None:
            for key in (span.model, span.key):
                if key is not None:
                    self._recorder.discard(key, "its end has not come, and many have begun since")

    def exit(self, span_id: str, result: Any) -> None:
        span = self._spans.get(span_id)
        if span is None:
            return
        if span.was_cancelled:
            self.drop(span_id, asyncio.CancelledError("the run was cancelled"))
        elif span.is_run:
            self._end_run(span, answer_of(getattr(result, "result", result)), None)
        elif span.call is not None:
            self._end_step(span, result)
        elif span.key is not None:
            self._end_tool(span, result)
        self._forget(span_id, span)

    def drop(self, span_id: str, error: BaseException | None) -> None:
        span = self._spans.get(span_id)
        if span is None:
            return
        failure: Any = error if error is not None else "it was dropped"
        for key in tuple(span.models):
            self._recorder.fail(key, failure)
        if type(error).__name__ == "WaitingForEvent":
            self._wait(span, getattr(error, "add", None))
        if span.is_run:
            self._end_run(span, None, failure)
        elif span.key is not None:
            _stop(span)
            if span.waits:
                self._suspend(span)
            else:
                self._recorder.fail(span.key, failure)
        if span.model is not None:
            self._recorder.fail(span.model, failure)
            self._close_model(span_id, span)
        self._forget(span_id, span)

    def _forget(self, span_id: str, span: _Span) -> None:
        for key in tuple(span.models):
            self._recorder.discard(key, "its stream was not read to the end")
        span.is_over = True
        if span.model is None:
            self._spans.pop(span_id, None)

    # -- runs --

    def _begin_run(self, span_id: str, span: _Span, given: Mapping[str, Any], instance: Any) -> None:
        above = _above(span.parent)
        start = given["start_event"]
        agents = getattr(instance, "agents", None)
        is_of_agents = isinstance(agents, dict) or hasattr(instance, "can_handoff_to")
        root = agent_name_of(instance)
        prompt = None  # of a run that is restored
        if start is not None:
            prompt = text_of(start.get("user_msg", None)) if is_of_agents else fields_of(start)
        span.run = Run(span_id, above, root, prompt, _clock.now_ns() / 1e9)
        span.key, span.is_run = span_id, True
        self._release(span.parent)
        if not is_of_agents or (start is None and not isinstance(agents, dict)):
            self._work(span.run, root)

    def _work(self, run: Run, agent: str) -> None:
        """An agent of the run is at work: the one that was, or another."""
        if run.agent == agent:
            return
        before, run.agent = run.agent, agent
        if before is None:
            run.turn = run.key
            run.root = agent
            self._recorder.begin_turn(run.key, agent=agent, parent=run.parent, prompt=run.prompt, at=run.at)
            return
        self._recorder.hand_over(before, agent, parent=run.key)
        if run.turn != run.key:
            self._recorder.end(run.turn)
        run.turn = run.key
        if agent != run.root:
            run.turn = f"{run.key}:{agent}-{next(_numbers)}"
            self._recorder.begin_turn(run.turn, agent=agent, parent=run.key)

    def _end_run(self, span: _Span, answer: Any, failure: Any) -> None:
        run = span.run
        assert run is not None
        if run.agent is None:
            self._work(run, run.root)
        for key in (run.turn, run.key) if run.turn != run.key else (run.key,):
            if failure is None:
                self._recorder.end(key, answer)
            else:
                self._recorder.fail(key, failure)
        for run_id in [run_id for run_id, each in self._runs.items() if each is run]:
            del self._runs[run_id]

    # -- steps and tools --

    def _begin_step(self, span_id: str, span: _Span, ev: Any, tags: Any) -> None:
        run = span.run
        assert run is not None
        if isinstance(tags, Mapping) and (run_id := tags.get("llamaindex.run_id")) is not None:
            run.run_id = str(run_id)
            self._runs[run.run_id] = run
            if (at_work := self._at_work.pop(run.run_id, None)) is not None and run.agent is None:
                self._work(run, at_work)
        agent = getattr(ev, "current_agent_name", None)
        if isinstance(agent, str):
            self._work(run, agent)
        elif type(ev).__name__ == "ToolCall" and isinstance(getattr(ev, "tool_id", None), str):
            span.call = ev
            run.waiting.pop(ev.tool_id, None)
            run.waits = {key: wait for key, wait in run.waits.items() if wait[0].tool_id != ev.tool_id}
            self._hold(span_id, span, ev.tool_name, ev.tool_kwargs, ev.tool_id)

    def _begin_tool_span(self, span_id: str, span: _Span, given: Mapping[str, Any], instance: Any) -> None:
        name = str(getattr(instance.metadata, "name", None) or "tool")
        parent = span.parent
        if parent is not None and ((parent.call is not None and parent.call.tool_name == name) or parent.tool == name):
            span.tool = name  # the same call, one layer further in
            return
        arguments = dict(given.get("kwargs") or {})
        arguments.pop(getattr(instance, "ctx_param_name", None) or "", None)
        if rest := given.get("args"):
            arguments["args"] = list(rest)
        if "input" in given:
            arguments["input"] = given["input"]
        self._hold(span_id, span, name, arguments, None)

    def _hold(self, span_id: str, span: _Span, tool: str, arguments: Any, call_id: str | None) -> None:
        self._release(span.parent)
        span.key, span.tool = span_id, tool
        above = _above(span.parent)
        self._recorder.begin_tool(
            span_id, tool, parent=above, arguments=arguments, call_id=call_id or None, is_held=True
        )
        try:
            span.timer = asyncio.get_running_loop().call_later(_HELD_SECONDS, self._recorder.release, span_id)
        except RuntimeError:
            self._recorder.release(span_id)  # a sync call, in a thread without a loop, waits for nobody

    def _release(self, span: _Span | None) -> None:
        """Tools in which others begin are at work."""
        while span is not None and not span.is_run:
            if span.timer is not None and span.key is not None:
                _stop(span)
                self._recorder.release(span.key)
            span = span.parent

    def _end_step(self, span: _Span, result: Any) -> None:
        assert span.key is not None
        _stop(span)
        if span.waits or result is None:
            self._suspend(span)
            return
        self._end_tool(span, getattr(result, "tool_output", result))

    def _end_tool(self, span: _Span, output: Any) -> None:
        assert span.key is not None
        _stop(span)
        if getattr(output, "is_error", False):
            error = getattr(output, "exception", None) or getattr(output, "content", "")
            self._recorder.fail(span.key, error)
        else:
            raw = getattr(output, "raw_output", None)
            self._recorder.end(span.key, raw if raw is not None else getattr(output, "content", output))

    def _suspend(self, span: _Span) -> None:
        assert span.key is not None
        self._recorder.discard(span.key, "it waits for a person")
        if span.run is not None and span.call is not None:
            span.run.waiting[span.call.tool_id] = span.call

    def _wait(self, span: _Span, add: Any) -> None:
        """A tool waits, and so does all that it is called in."""
        each: _Span | None = span
        while each is not None and not each.is_run:
            each.waits = True
            if each.call is not None and each.run is not None and add is not None:
                each.run.waits[add.waiter_id] = each.call, add
                if (hearer := self._hearers.get(each.run.run_id)) is not None:
                    hearer(each.call, add)
            each = each.parent

    # -- model calls, by events --

    def handle(self, event: Any) -> None:
        name = type(event).__name__
        span = self._spans.get(event.span_id)
        if span is None:
            if name in ("LLMChatStartEvent", "LLMCompletionStartEvent") and event.span_id is not None:
                span = self._spans[event.span_id] = _Span(None, is_over=True)
                self._leave_out_oldest()
            else:
                return
        if name in ("LLMChatStartEvent", "LLMCompletionStartEvent"):
            self._begin_model(event, span)
        elif span.model is not None and name in ("LLMChatInProgressEvent", "LLMCompletionInProgressEvent"):
            self._recorder.stream(span.model, getattr(event.response, "delta", None) or "")
        elif span.model is not None and name in ("LLMChatEndEvent", "LLMCompletionEndEvent"):
            self._end_model(event.response, span)
            self._close_model(event.span_id, span)
        elif name == "SpanCancelledEvent":
            span.was_cancelled = True

    def _begin_model(self, event: Any, span: _Span) -> None:
        above: _Span | None = span
        while above is not None and above.key is None:
            if above.model is not None:
                return  # one call of a model, made of another one of its methods
            above = above.parent
        self._release(above)
        span.model = f"{event.span_id}:{next(_numbers)}"
        if (step := _step_of(span)) is not None:
            step.models[span.model] = None
        request = event.messages if hasattr(event, "messages") else event.prompt
        if isinstance(request, list):
            request = messages_of(request, is_whole=self._recorder.is_whole)
        self._recorder.begin_model(span.model, model_name(event.model_dict), parent=_above(span), request=request)

    def _end_model(self, response: Any, span: _Span) -> None:
        assert span.model is not None
        said = getattr(response, "message", None)
        text = getattr(response, "text", None) if said is None else message_of(said)
        self._recorder.end(span.model, text, **usage_of(response))

    def _close_model(self, span_id: str, span: _Span) -> None:
        if (step := _step_of(span)) is not None:
            step.models.pop(span.model or "", None)
        span.model = None
        if span.is_over:
            self._spans.pop(span_id, None)


def _step_of(span: _Span) -> _Span | None:
    each: _Span | None = span
    while each is not None and not (each.parent is not None and each.parent.is_run):
        each = each.parent
    return each


def _above(span: _Span | None) -> str | None:
    """Return the key of what is recorded and open around a span."""
    while span is not None:
        if span.is_run and span.run is not None:
            return span.run.turn or span.run.key
        if span.key is not None:
            return span.key
        span = span.parent
    return None


def _stop(span: _Span) -> None:
    if span.timer is not None:
        span.timer.cancel()
        span.timer = None
