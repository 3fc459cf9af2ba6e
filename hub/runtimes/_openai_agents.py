"""What the spans and the hooks of openai-agents say, as steps of recorders: one watch for all of them.

Spans say what there is and how it ends; hooks say what is called with which arguments, and what it returns. Neither is
enough: a function span is there for a call that waits for approval, and the hook takes a tool's failure for its result.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Final, ParamSpec
from weakref import WeakSet

from ..forks import register_at_fork
from ._capture import short_text
from ._openai_seen import (
    NONE,
    ModelCall,
    Seen,
    TimedOut,
    add_waiting,
    model_name,
    numbers_of,
    parsed,
    run_of,
    said_by_model,
    seconds_of,
    shows_timeout,
    shows_waiting,
    text_of_error,
    together,
    was_called,
    withholds,
)
from ._opening import imported
from .recorder import Recorder

__all__ = ("Watch",)

P = ParamSpec("P")

_SPANS_MAX: Final = 50_000
"""How many spans that have started and not ended are remembered."""
_WITHHELD: Final = "Error details are redacted."
"""What the runtime itself says where its traces may not have contents."""
_NOT_TRACED: Final = (
    "a run is not recorded, because tracing is off: instead of RunConfig(tracing_disabled=True), "
    "set_tracing_disabled(True) or OPENAI_AGENTS_DISABLE_TRACING use set_trace_processors([]), so that no trace leaves "
    "the process, and then record(hub)"
)


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
        self.lock = threading.RLock()
        """Guards the list of recorders, and where this is heard."""
        register_at_fork(self)

    def after_fork_in_child(self) -> None:
        """A child has no part in the hubs of its parent, nor the thread that may hold the lock."""
        self.lock = threading.RLock()
        self.recorders = ()
        self._seen.clear()

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
            self._turn_started(span, seen, parent)
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
        elif isinstance(seen.outcome, Seen):
            self._turn_ended(span, seen.outcome)

    # -- turns --

    def _turn_started(self, span: Any, seen: Seen, parent: Seen | None) -> None:
        seen.turn, seen.agent = seen, short_text(span.span_data.name, default="agent")
        if parent is not None and isinstance(early := parent.outcome, Seen) and early.agent == seen.agent:
            seen.run, seen.key, seen.outcome, parent.outcome = early.run, early.key, early.outcome, NONE
            return
        seen.run, seen.key = run_of((span.trace_id, span.parent_id)), span.span_id
        self._begin_turn(span.trace_id, seen)

    def _begin_turn(self, trace_id: str, seen: Seen) -> None:
        trace, run, key = self._tracing.get_current_trace(), seen.run, str(seen.key)
        session = short_text(getattr(trace, "group_id", None)) or (run.session if run is not None else None)
        prompt = None if run is None else run.take_prompt()
        for recorder in self.recorders:
            recorder.begin_turn(
                key, agent=seen.agent, parent=seen.above, prompt=prompt, session=session, correlation=trace_id
            )

    def _resumed(self, span: Any, seen: Seen, agent: Any) -> None:
        """Begin the turn of an agent whose tool runs before its span starts, as of a resumed run before 0.24."""
        task = self._seen.get(span.parent_id)
        if task is None or task.kind != "task":
            return
        turn = task.outcome
        if not isinstance(turn, Seen):
            run = run_of((span.trace_id, span.parent_id))
            turn = task.outcome = Seen("agent", task.above, run, None, task.raised, key=f"{span.parent_id}/resumed")
            turn.turn, turn.agent = turn, short_text(getattr(agent, "name", None), default="agent")
            self._begin_turn(span.trace_id, turn)
        seen.turn, seen.above, seen.agent, seen.run = turn, turn.key, turn.agent, turn.run

    def _turn_ended(self, span: Any, seen: Seen) -> None:
        key = str(seen.key)
        if (error := seen.own_error()) is not None:
            self._fail(key, seen, error)
        elif seen.outcome is NONE and span.error is not None:
            self._fail(key, seen, text_of_error(span.error))
        elif seen.outcome is NONE and seen.run is not None and seen.run.is_stopped:
            self.tell(lambda to: to.fail(key, "the run was stopped after this turn", kind="CancelledError"))
        else:
            answer = None if seen.outcome is NONE or withholds(seen) else seen.outcome
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
        if (seen := self._here()) is not None:
            turn = seen.outcome if isinstance(seen.outcome, Seen) else seen.turn
            if turn is not None:
                turn.outcome = output

    # -- tools --

    @_harmless
    def tool_started(self, context: Any, agent: Any, tool: Any) -> None:
        """A tool is about to be called, in its function span: approved, and past its guardrails."""
        span = self._tracing.get_current_span()
        if (seen := self._here(span)) is None:
            return
        if seen.kind == "function" and seen.key is None:
            self._resumed(span, seen, agent)
            arguments = getattr(context, "tool_arguments", None)
            self._begin_tool(span, seen, arguments, call_id=getattr(context, "tool_call_id", None))
            seen.until = time.monotonic() + (getattr(tool, "timeout_seconds", None) or math.inf)

    @_harmless
    def tool_ended(self, tool: Any, result: Any) -> None:
        """A tool has returned, or failed and the runtime made a result of it: the span's end says which."""
        if (seen := self._here()) is not None and seen.kind == "function":
            is_late = time.monotonic() >= seen.until and shows_timeout(tool, result)
            seen.outcome = TimedOut(f"it took longer than {tool.timeout_seconds:g} s") if is_late else result

    def _begin_tool(
        self, span: Any, seen: Seen, arguments: Any, *, call_id: str | None = None, at: float | None = None
    ) -> None:
        seen.key = span.span_id
        said = None if withholds(seen) else parsed(arguments)
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
        if seen.key is None and seen.run is None and was_called(span.error, output, error):
            self._begin_tool(span, seen, span.span_data.input, at=seconds_of(span.started_at))
            seen.outcome = output
        if (key := seen.key) is None:
            if error is None and span.error is None and shows_waiting(output) and seen.turn is not None:
                add_waiting(seen.turn, short_text(span.span_data.name, default="tool"))
        elif error is not None:
            self._fail(key, seen, error.__cause__ or error)
        elif span.error is not None:
            self._fail(key, seen, text_of_error(span.error))
        elif isinstance(seen.outcome, TimedOut):
            message = seen.outcome.message
            self.tell(lambda to: to.fail(key, message, kind="ToolTimeoutError"))
        elif seen.outcome is not NONE or (seen.run is None and output is not None):
            result = None if withholds(seen) else seen.outcome
            self.tell(lambda to: to.end(key, result))
        else:
            if seen.turn is not None:
                add_waiting(seen.turn, short_text(span.span_data.name, default="tool"))
            self.tell(lambda to: to.discard(key, "it waits for an approval, and goes on in another call"))

    # -- models --

    @_harmless
    def model_started(self, agent: Any, input_items: Any) -> None:
        """An agent calls its model, in the span of its step."""
        span = self._tracing.get_current_span()
        if (seen := self._here(span)) is None:
            return
        seen.calls += 1
        name = model_name((seen.run.model if seen.run is not None else None) or getattr(agent, "model", None))
        request = None if withholds(seen) else input_items
        seen.call = ModelCall(f"{span.span_id}/{seen.calls}", name, request)
        self._begin_attempt(seen.call, seen)

    @_harmless
    def model_ended(self, response: Any) -> None:
        """A model has answered."""
        if (seen := self._here()) is None or (call := seen.call) is None or (key := call.key) is None:
            return
        seen.call = call.key = None
        usage = response.usage
        numbers = numbers_of(usage)
        content = None if withholds(seen) else said_by_model(response.output)
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
        error = seen.own_error() or (None if span.error is None else text_of_error(span.error))
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
            content = said_by_model(response.output) if response is not None else getattr(data, "output", None)
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
        if isinstance(error, BaseException) and withholds(seen):
            kind = type(error).__name__
            self.tell(lambda to: to.fail(key, _WITHHELD, kind=kind))
        else:
            self.tell(lambda to: to.fail(key, error))
