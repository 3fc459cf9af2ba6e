"""The plugin of the Agent Development Kit: what its callbacks mean."""

from __future__ import annotations

import asyncio
import functools
import itertools
import secrets
import sys
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import attrs

from ._adk_contents import parts_of, request_of, text_of
from ._opening import imported
from ._questions import was_decided
from .recorder import Recorder

__all__ = ("GoogleADKRecorder", "plugin_of")

_TRANSFER = "transfer_to_agent"
_REJECTED = "This tool call is rejected."

_HELD_SECONDS = 0.5
"""A tool that asks for confirmation does so at once: one that has worked for longer is recorded as called."""

_LEFT = "the events of the run were read no further"

_RUNS_MAX = 10_000
"""Runs that were cancelled before their first agent began leave an entry: the oldest of so many is let go."""

_above: ContextVar[tuple[str, ...]] = ContextVar("hubwire.runtimes.google_adk.above", default=())
"""The tool calls that this code belongs to, one a recorder, as ``token:key``."""

_tokens = itertools.count(1)


class GoogleADKRecorder(Recorder):
    """A recorder with the plugin that apps are given: ``App(..., plugins=[recorder.plugin])``."""

    plugin: Any
    """A :class:`google.adk.plugins.base_plugin.BasePlugin`, for any number of apps. It may stay when the recorder is
    closed, and does nothing then."""

    denials: dict[str, str]
    """What the model is told of what the hub has denied, by the key of the question, until it is told."""

    def count_failure(self, method: str, error: BaseException) -> None:
        """Count a callback that has failed inside; it returned all the same."""
        self.failed(method, error)


@attrs.define(eq=False)
class _AgentTurn:
    """An agent's turn that is open."""

    key: str
    agent: str
    has_transferred: bool = False
    answer: str = ""
    model: str | None = None
    """The key of the model call that is open."""


@attrs.define(eq=False)
class _Run:
    """What is open of an invocation."""

    turns: dict[tuple[str | None, str], _AgentTurn] = attrs.Factory(dict)
    tools: dict[str, Any] = attrs.Factory(dict)
    """By ADK's id of the call: its key, and the calls that it belongs to."""
    transfer: tuple[str, str] | None = None
    """The turn that has transferred, and to which agent."""
    is_prompted: bool = False


class _Runs:
    """The invocations of a plugin."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._token = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self.mark = f"{next(_tokens)}:"

    def key(self, invocation: str, name: str) -> str:
        """A key that no other process has had: an invocation that is resumed has the same id."""
        return f"{invocation}:{name}-{self._token}-{next(self._numbers)}"

    def get(self, context: Any) -> _Run:
        run = self._runs.get(context.invocation_id)
        if run is None:
            run = self._runs[context.invocation_id] = _Run()
            if len(self._runs) > _RUNS_MAX:
                self._runs.pop(next(iter(self._runs)), None)
        return run

    def pop(self, context: Any) -> _Run | None:
        return self._runs.pop(context.invocation_id, None)

    def let_go(self, invocation: str, run: _Run) -> bool:
        """Forget a run. False: it has ended, or begun again."""
        if self._runs.get(invocation) is not run:
            return False
        del self._runs[invocation]
        return True

    def above(self) -> str | None:
        """The tool call that this code belongs to."""
        for each in reversed(_above.get()):
            if each.startswith(self.mark):
                return each[len(self.mark) :]
        return None


def _quiet(callback: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Let a callback return None whatever happens in it: ADK ends the run of a plugin that raises."""

    @functools.wraps(callback)
    async def quiet(self: Any, **given: Any) -> None:
        if self.recorder.is_closed:
            return
        try:
            await callback(self, **given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the run must go on, whatever an object of it does
            self.recorder.count_failure(callback.__name__, error)

    return quiet


def plugin_of(recorder: GoogleADKRecorder) -> Any:
    base: Any = imported("google.adk.plugins.base_plugin", "google_adk").BasePlugin
    runs = _Runs()

    class HubwirePlugin(base):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder what is run."""

        def __init__(self) -> None:
            super().__init__(name=f"hubwire-{runs.mark[:-1]}")
            self.recorder = recorder

        @_quiet
        async def before_run_callback(self, *, invocation_context: Any) -> None:
            _begin_run(recorder, runs, invocation_context)

        @_quiet
        async def on_event_callback(self, *, invocation_context: Any, event: Any) -> None:
            turn = runs.get(invocation_context).turns.get((event.branch, event.author))
            if turn is not None and not turn.answer and not event.partial:
                turn.answer = text_of(event.content)  # of a callback that answers in the agent's place

        @_quiet
        async def before_agent_callback(self, *, agent: Any, callback_context: Any) -> None:
            _begin_turn(recorder, runs, agent, callback_context._invocation_context)  # noqa: SLF001 - nothing else

        @_quiet
        async def after_agent_callback(self, *, agent: Any, callback_context: Any) -> None:
            context = callback_context._invocation_context  # noqa: SLF001 - there is no public one
            run = runs.get(context)
            turn = run.turns.get((context.branch, agent.name))
            if turn is None:
                return
            error = sys.exc_info()[1]  # ADK calls it in its handler of a cancellation, too
            if not isinstance(error, asyncio.CancelledError):
                del run.turns[context.branch, agent.name]
                recorder.end(turn.key, turn.answer or None)
            else:
                _fail_turn(recorder, runs, context, turn, error)

        @_quiet
        async def on_agent_error_callback(self, *, agent: Any, callback_context: Any, error: Any) -> None:
            context = callback_context._invocation_context  # noqa: SLF001
            if (turn := runs.get(context).turns.get((context.branch, agent.name))) is not None:
                _fail_turn(recorder, runs, context, turn, error)

        @_quiet
        async def after_run_callback(self, *, invocation_context: Any) -> None:
            error = sys.exc_info()[1]
            is_left = isinstance(error, GeneratorExit | asyncio.CancelledError)
            for turn in reversed(_left(runs, invocation_context)):
                if is_left and not turn.has_transferred:
                    recorder.discard(turn.key, _LEFT)
                else:
                    recorder.end(turn.key, turn.answer or None)

        @_quiet
        async def on_run_error_callback(self, *, invocation_context: Any, error: Any) -> None:
            for turn in reversed(_left(runs, invocation_context)):
                recorder.fail(turn.key, error)

        @_quiet
        async def before_model_callback(self, *, callback_context: Any, llm_request: Any) -> None:
            context = callback_context._invocation_context  # noqa: SLF001
            turn = runs.get(context).turns.get((context.branch, callback_context.agent_name))
            if turn is None:
                return
            turn.model = runs.key(context.invocation_id, "model")
            request = request_of(llm_request.contents, is_whole=recorder.is_whole)
            recorder.begin_model(turn.model, llm_request.model or "", parent=turn.key, request=request)

        @_quiet
        async def after_model_callback(self, *, callback_context: Any, llm_response: Any) -> None:
            context = callback_context._invocation_context  # noqa: SLF001
            turn = runs.get(context).turns.get((context.branch, callback_context.agent_name))
            if turn is not None and turn.model is not None:
                _answer(recorder, turn, turn.model, llm_response)

        @_quiet
        async def on_model_error_callback(self, *, callback_context: Any, llm_request: Any, error: Any) -> None:  # noqa: ARG002
            context = callback_context._invocation_context  # noqa: SLF001
            turn = runs.get(context).turns.get((context.branch, callback_context.agent_name))
            if turn is not None and turn.model is not None:
                recorder.fail(turn.model, error)
                turn.model = None

        @_quiet
        async def before_tool_callback(self, *, tool: Any, tool_args: Any, tool_context: Any) -> None:
            _begin_tool(recorder, runs, tool, tool_args, tool_context)

        @_quiet
        async def after_tool_callback(self, *, tool: Any, tool_args: Any, tool_context: Any, result: Any) -> None:  # noqa: ARG002
            _end_tool(recorder, runs, tool, tool_context, result)

        @_quiet
        async def on_tool_error_callback(self, *, tool: Any, tool_args: Any, tool_context: Any, error: Any) -> None:  # noqa: ARG002
            if (key := _leave_tool(runs, tool_context)) is not None:
                recorder.fail(key, error)

    return HubwirePlugin()


def _begin_run(recorder: Recorder, runs: _Runs, context: Any) -> None:
    """A run whose loop is closed, or whose task is destroyed, ends with its context: no callback is called then."""
    _drop(recorder, runs.pop(context))  # the same invocation, which is resumed
    weakref.finalize(context, _drop_run, recorder, runs, context.invocation_id, runs.get(context)).atexit = False


def _drop_run(recorder: Recorder, runs: _Runs, invocation: str, run: _Run) -> None:
    if runs.let_go(invocation, run):
        _drop(recorder, run)


def _drop(recorder: Recorder, run: _Run | None) -> None:
    for turn in () if run is None else reversed(run.turns.values()):
        recorder.discard(turn.key, _LEFT)


def _begin_turn(recorder: Recorder, runs: _Runs, agent: Any, context: Any) -> None:
    run = runs.get(context)
    place = (context.branch, agent.name)
    if (before := run.turns.pop(place, None)) is not None:  # it has transferred, and was transferred back to
        recorder.end(before.key, before.answer or None)
    prompt = None if run.is_prompted else text_of(context.user_content)
    turn = _AgentTurn(runs.key(context.invocation_id, agent.name), agent.name)
    parent = _parent_of(run, runs, agent)
    run.is_prompted = True
    run.turns[place] = turn
    recorder.begin_turn(turn.key, agent=agent.name, parent=parent, prompt=prompt or None, session=context.session.id)


def _parent_of(run: _Run, runs: _Runs, agent: Any) -> str | None:
    if run.transfer is not None and run.transfer[1] == agent.name:
        parent, run.transfer = run.transfer[0], None
        return parent
    while (agent := agent.parent_agent) is not None:
        for turn in reversed(run.turns.values()):
            if turn.agent == agent.name:
                return turn.key
    return runs.above()


def _fail_turn(recorder: Recorder, runs: _Runs, context: Any, turn: _AgentTurn, error: BaseException) -> None:
    """An agent has failed, or was cancelled: then no run ends, and what has transferred to it ends with it."""
    run = runs.get(context)
    run.turns.pop((context.branch, turn.agent), None)
    if turn.model is not None:
        recorder.fail(turn.model, error)
    recorder.fail(turn.key, error)
    if isinstance(error, asyncio.CancelledError) and all(each.has_transferred for each in run.turns.values()):
        for each in reversed(run.turns.values()):
            recorder.fail(each.key, error)
        runs.pop(context)


def _left(runs: _Runs, context: Any) -> list[_AgentTurn]:
    run = runs.pop(context)
    return [] if run is None else list(run.turns.values())


def _answer(recorder: Recorder, turn: _AgentTurn, key: str, response: Any) -> None:
    if response.partial:
        recorder.stream(key, text_of(response.content))
        return
    turn.model = None
    if response.error_code and not response.content:
        recorder.fail(key, response.error_message or str(response.error_code), kind=str(response.error_code))
        return
    turn.answer = text_of(response.content) or turn.answer
    usage = response.usage_metadata
    extra = {
        name: number
        for name in ("cached_content_token_count", "thoughts_token_count", "tool_use_prompt_token_count")
        if (number := getattr(usage, name, None))
    }
    recorder.end(
        key,
        parts_of(response.content),
        input_tokens=getattr(usage, "prompt_token_count", None),
        output_tokens=getattr(usage, "candidates_token_count", None),
        model=response.model_version,
        extra=extra or None,
    )


def _begin_tool(recorder: GoogleADKRecorder, runs: _Runs, tool: Any, arguments: Any, tool_context: Any) -> None:
    context, call_id = tool_context._invocation_context, tool_context.function_call_id  # noqa: SLF001
    run = runs.get(context)
    turn = run.turns.get((context.branch, tool_context.agent_name))
    parent = turn.key if turn is not None else runs.above()
    confirmation = tool_context.tool_confirmation
    if confirmation is not None and not was_decided(recorder, question := f"{context.session.id}:{call_id}"):
        recorder.record_verdict(
            question,
            tool.name,
            arguments=arguments,
            is_passed=confirmation.confirmed,
            agent=tool_context.agent_name,
            parent=parent,
        )
    key = runs.key(context.invocation_id, call_id or tool.name)
    seconds = _HELD_SECONDS if confirmation is None and tool.name != _TRANSFER else None
    recorder.begin_tool(
        key,
        tool.name,
        parent=parent,
        arguments=arguments,
        call_id=call_id,
        is_held=True,
        held_seconds=seconds,
    )
    if confirmation is not None and confirmation.confirmed:
        recorder.release(key)
    before = _above.get()
    _above.set((*before, f"{runs.mark}{key}"))
    run.tools[call_id] = (key, before)


def _leave_tool(runs: _Runs, tool_context: Any) -> str | None:
    """Return the key of a tool call that is open, which is so no more."""
    run = runs.get(tool_context._invocation_context)  # noqa: SLF001
    key, before = run.tools.pop(tool_context.function_call_id, (None, ()))
    if key is not None:
        _above.set(before)
    return key  # type: ignore[no-any-return]


def _end_tool(recorder: GoogleADKRecorder, runs: _Runs, tool: Any, tool_context: Any, result: Any) -> None:
    context, call_id, actions = (
        tool_context._invocation_context,  # noqa: SLF001
        tool_context.function_call_id,
        tool_context.actions,
    )
    key = _leave_tool(runs, tool_context)
    denial = recorder.denials.pop(f"{context.session.id}:{call_id}", "")
    confirmation = tool_context.tool_confirmation
    is_rejected = type(result) is dict and result.get("error") == _REJECTED
    if confirmation is not None and not confirmation.confirmed and is_rejected and denial:
        result["error"] = f"{_REJECTED} {denial}"  # in place: a plugin that returns it would end the other callbacks
    if key is None:
        return  # it has failed, and an agent's callback has recovered
    if call_id in (actions.requested_tool_confirmations or ()):
        recorder.discard(key, "it waits for a confirmation")
    elif confirmation is not None and not confirmation.confirmed and is_rejected:
        recorder.discard(key, "it was denied")
    elif (to := actions.transfer_to_agent) is not None:
        _hand_over(recorder, runs, context, tool_context.agent_name, to)
        if tool.name == _TRANSFER:
            recorder.discard(key, "it is a hand-over")
        else:
            recorder.end(key, result)
    else:
        recorder.end(key, result)


def _hand_over(recorder: Recorder, runs: _Runs, context: Any, agent: str, to: str) -> None:
    run = runs.get(context)
    turn = run.turns.get((context.branch, agent))
    if turn is not None:
        turn.has_transferred = True
        run.transfer = (turn.key, to)
    recorder.hand_over(agent, to, parent=None if turn is None else turn.key)
