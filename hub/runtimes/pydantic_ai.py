"""Pydantic AI: runs of its agents become events of a hub.

::

    recorder = pydantic_ai.record(hub)
    agent = Agent("openai:gpt-5", name="planner", capabilities=[recorder.capability])

It captures runs with prompt and output, model requests with tokens, tool calls with arguments, results and errors, and
runs inside of tools as part of them, and the verdicts that the program itself gives to a resumed run: approvals when
the tool is called, denials when the model is told. Capabilities wrap: nothing is switched to streaming, and errors pass
through. :func:`resume` asks the hub for what a run waits for, and so does a run itself with ``record(hub, asks=True)``.

What Pydantic AI shows to no capability: the failed attempts of a ``FallbackModel``, and output functions.

Tested with pydantic-ai-slim 2.0 to 2.68.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from .. import Hub, HubThread
from ..actors import Turn
from ..errors import CommandRejected, ConfigurationError, HubClosed
from ._above import Above
from ._actors import AgentActor, Said, actor_by
from ._capture import CUT
from ._opening import check_agent, check_recorder, imported, opened
from ._questions import Question, call_key, decided, denial_of, note_decided, was_decided
from ._resuming import check_has, check_resuming
from ._settings import flag
from .recorder import Recorder

__all__ = ("PydanticAIRecorder", "from_pydantic_ai", "record", "resume")

_HELD_SECONDS = 0.5
"""A tool that asks for approval does so at once: one that has worked for longer is recorded as called."""

_above = Above("pydantic_ai")

_numbers = itertools.count(1)


class PydanticAIRecorder(Recorder):
    """A recorder with the capability that agents are given: ``Agent(..., capabilities=[recorder.capability])``."""

    capability: Any
    """A :class:`pydantic_ai.capabilities.AbstractCapability`, for any number of agents. It may stay when the recorder
    is closed, and does nothing then."""


def record(hub: Hub | HubThread, *, asks: bool = False, **settings: Any) -> PydanticAIRecorder:
    """Record in a hub what agents do that have the recorder's ``capability``.

    ``asks``: a tool call that needs approval is asked for in the hub while its run waits. By default the run ends with
    ``DeferredToolRequests``, as it does without a recorder, and :func:`resume` asks. ``settings`` are those of
    :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same recorder, and refuses other
    settings.
    """
    imported("pydantic_ai.capabilities", "pydantic_ai")

    def install(recorder: PydanticAIRecorder) -> None:
        recorder.capability = _capability_class()(recorder, asks=asks)

    flag("hubwire.runtimes.pydantic_ai.record(): asks", asks)
    return opened(hub, "pydantic-ai", install, settings, kind=PydanticAIRecorder, own={"asks": asks})


async def resume(recorder: Recorder, agent: Any, result: Any, *, may_repeat: bool = False, **settings: Any) -> Any:
    """Ask the hub about all tool calls that a run waits for, and run on; return the result that waits for none.

    ``agent`` and ``settings`` are what :meth:`Agent.run` is called on and with. What is denied is told to the model
    with its reason. A result that waits for calls that are executed elsewhere is returned as it is. Asked again about
    the same result, also by another process, the hub has the same questions. A call that was approved is made once:
    resumed again, as after a crash in which the tool may have run, it is denied unless ``may_repeat``.

    Raises what the run raises, and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided: then the
    run still waits.
    """
    check_resuming("resume", recorder, may_repeat=may_repeat)
    check_has("resume", agent, "agent of Pydantic AI", "run", "name")
    check_has("resume", result, "result of a run: give what agent.run(...) has returned", "output", "all_messages")
    deferred = imported("pydantic_ai", "pydantic_ai")
    while isinstance(result.output, deferred.DeferredToolRequests) and not result.output.calls:
        messages = result.all_messages()
        answers = await _decided(
            recorder, result.output, agent.name, _conversation_of(messages), _above.key(recorder), may_repeat=may_repeat
        )
        result = await agent.run(message_history=messages, deferred_tool_results=answers, **settings)
    return result


def from_pydantic_ai(
    agent: Any, *, name: str | None = None, recorder: Recorder | None = None, **settings: Any
) -> AgentActor:
    """Return an actor that answers with an agent: ``await hub.spawn(from_pydantic_ai(agent))``.

    ``name`` is that of the agent by default. ``recorder``: whose hub decides what the agent's tools need approval for;
    without one, a turn that waits for approval has failed. ``settings`` are those of
    :class:`~hubwire.runtimes.AgentActor`.
    """
    deferred = imported("pydantic_ai", "pydantic_ai").DeferredToolRequests
    messages = imported("pydantic_ai.messages", "pydantic_ai")
    kind = imported("pydantic_ai.agent", "pydantic_ai").AbstractAgent
    check_agent("from_pydantic_ai", agent, "an Agent of pydantic_ai", kind=kind)
    if recorder is not None:
        check_recorder("from_pydantic_ai", recorder)

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        past: list[Any] = []
        for each in history:
            if each.is_own:
                past.append(messages.ModelResponse(parts=[messages.TextPart(each.text)]))
            else:
                text = f"{each.name}: {each.text}"
                past.append(messages.ModelRequest(parts=[messages.UserPromptPart(text)]))
        with _above.apart():
            result = await agent.run(said, message_history=past or None)
            if recorder is not None:
                result = await resume(recorder, agent, result)
        if isinstance(result.output, deferred):
            calls = [*result.output.approvals, *result.output.calls]
            raise ConfigurationError(
                f"{agent.name} waits for {calls[0].tool_name}: give the actor a recorder, as in "
                "from_pydantic_ai(agent, recorder=record(hub)), and no tools that are executed elsewhere"
            )
        return result.output

    return actor_by("from_pydantic_ai", name or agent.name or "agent", answer, settings)


@functools.cache
def _capability_class() -> Any:
    """Return the class of all capabilities: Pydantic AI keeps classes in caches, and one of each recorder with it."""
    base: Any = imported("pydantic_ai.capabilities", "pydantic_ai").AbstractCapability
    exceptions = imported("pydantic_ai.exceptions", "pydantic_ai")
    not_now: tuple[type[BaseException], ...] = (exceptions.ApprovalRequired, exceptions.CallDeferred)

    class HubwireCapability(base):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder what an agent does."""

        __eq__ = object.__eq__  # the base's are equal when their fields are
        __hash__ = object.__hash__

        def __init__(self, recorder: Recorder, *, asks: bool) -> None:
            self._hubwire = recorder, asks

        async def wrap_run(self, ctx: Any, *, handler: Any) -> Any:
            recorder, _ = self._hubwire
            key = f"{ctx.run_id}"
            recorder.begin_turn(
                key,
                agent=_safely(recorder, _name_of, ctx.agent),
                parent=_above.key(recorder),
                prompt=ctx.prompt,
                session=ctx.conversation_id,
            )
            try:
                with _above.inside(recorder, key):
                    result = await handler()
            except BaseException as error:
                recorder.fail(key, error)
                raise
            recorder.end(key, _safely(recorder, _output_of, result))
            return result

        async def wrap_model_request(self, ctx: Any, *, request_context: Any, handler: Any) -> Any:
            recorder, _ = self._hubwire
            key = f"{ctx.run_id}:model-{next(_numbers)}"
            name = _safely(recorder, _model_of, request_context) or ""
            _safely(recorder, _tell_denials, recorder, ctx, request_context.messages)
            request = _safely(recorder, _shown, recorder, request_context.messages)
            recorder.begin_model(key, name, parent=f"{ctx.run_id}", request=request)
            try:
                response = await handler(request_context)
            except BaseException as error:
                recorder.fail(key, error)
                raise
            recorder.end(key, _safely(recorder, _said_by, response), **_safely(recorder, _numbers_of, response) or {})
            return response

        async def wrap_tool_execute(
            self,
            ctx: Any,
            *,
            call: Any,
            tool_def: Any,  # noqa: ARG002 - it is passed by name
            args: Any,
            handler: Any,
        ) -> Any:
            recorder, _ = self._hubwire
            key = f"{ctx.run_id}:{call.tool_call_id}-{next(_numbers)}"
            if ctx.tool_call_approved:
                _safely(recorder, _tell_approval, recorder, ctx, call, args)
            recorder.begin_tool(
                key, call.tool_name, parent=f"{ctx.run_id}", arguments=args, call_id=call.tool_call_id, is_held=True
            )
            releasing = asyncio.get_running_loop().call_later(_HELD_SECONDS, recorder.release, key)
            try:
                with _above.inside(recorder, key):
                    result = await handler(args)
            except not_now as error:
                recorder.discard(key, f"it waits: {type(error).__name__}")
                raise
            except BaseException as error:
                recorder.fail(key, error.__cause__ if _is_retry(error) and error.__cause__ else error)
                raise
            finally:
                releasing.cancel()
            recorder.end(key, result)
            return result

        async def handle_deferred_tool_calls(self, ctx: Any, *, requests: Any) -> Any:
            recorder, asks = self._hubwire
            if not asks or recorder.is_closed or not requests.approvals:
                return None
            try:
                return await _decided(recorder, requests, _name_of(ctx.agent), ctx.conversation_id, f"{ctx.run_id}")
            except (HubClosed, CommandRejected):
                return None  # nobody was asked: the run ends with what it waits for, as it does without a recorder

    return HubwireCapability


async def _decided(
    recorder: Recorder,
    requests: Any,
    agent: str | None,
    conversation: str | None,
    parent: str | None,
    *,
    may_repeat: bool = False,
) -> Any:
    """Return what the hub answers to all approvals that are requested."""
    module = imported("pydantic_ai", "pydantic_ai")
    questions = [
        Question(
            key=call_key(conversation, call.tool_call_id, _arguments_of(call)),
            action=call.tool_name,
            arguments=_arguments_of(call),
            agent=agent,
            parent=parent,
        )
        for call in requests.approvals
    ]
    answers: dict[str, Any] = {}
    verdicts = await decided(recorder, questions)
    for call, verdict in zip(requests.approvals, verdicts, strict=True):
        if verdict.is_modified:  # the program is told of the call as it was changed
            note_decided(recorder, call_key(conversation, call.tool_call_id, verdict.arguments))
        if (denial := denial_of(verdict, may_repeat=may_repeat, takes_arguments=True)) is not None:
            answers[call.tool_call_id] = module.ToolDenied(denial)
        elif verdict.is_modified:
            answers[call.tool_call_id] = module.ToolApproved(override_args=verdict.arguments)
        else:
            answers[call.tool_call_id] = module.ToolApproved()
    return module.DeferredToolResults(approvals=answers)


def _tell_denials(recorder: Recorder, ctx: Any, messages: Sequence[Any]) -> None:
    """Record the denials that the program has given, which are in what the model is told next."""
    for part in messages[-1].parts if messages else ():
        if getattr(part, "outcome", None) != "denied":
            continue
        calls = (each for message in messages for each in message.parts if hasattr(each, "args_as_dict"))
        own = [each for each in calls if each.tool_call_id == part.tool_call_id]
        arguments = _arguments_of(own[-1]) if own else None
        key = call_key(ctx.conversation_id, part.tool_call_id, arguments)
        _tell_verdict(recorder, ctx, key, part.tool_name, arguments, is_passed=False, reason=f"{part.content}")


def _tell_approval(recorder: Recorder, ctx: Any, call: Any, args: Any) -> None:
    key = call_key(ctx.conversation_id, call.tool_call_id, _arguments_of(call))
    _tell_verdict(recorder, ctx, key, call.tool_name, args, is_passed=True)


def _tell_verdict(
    recorder: Recorder,
    ctx: Any,
    key: str,
    tool: str,
    arguments: Any,
    *,
    is_passed: bool,
    reason: str = "",
) -> None:
    if not was_decided(recorder, key):
        recorder.record_verdict(
            key,
            tool,
            arguments=arguments,
            is_passed=is_passed,
            approver="host",
            reason=reason,
            agent=_name_of(ctx.agent),
            parent=f"{ctx.run_id}",
        )


def _shown(recorder: Recorder, messages: Sequence[Any]) -> Any:
    if recorder.is_whole or len(messages) < 2:
        return [_plain(message.parts) for message in messages]
    return [f"{CUT} {len(messages) - 1} before", _plain(messages[-1].parts)]


def _plain(parts: Sequence[Any]) -> Any:
    """Return what the parts of a message say: a text, or a list."""
    said = [_plain_part(part) for part in parts if getattr(part, "part_kind", "") != "thinking"]
    return said[0] if len(said) == 1 else said


def _plain_part(part: Any) -> Any:
    kind = getattr(part, "part_kind", "")
    if kind in ("text", "user-prompt", "system-prompt"):
        return part.content
    if kind == "tool-call":
        return {"tool": part.tool_name, "arguments": _arguments_of(part), "call_id": part.tool_call_id}
    if kind in ("tool-return", "retry-prompt"):
        return {"tool": part.tool_name, "result": part.content, "call_id": part.tool_call_id}
    return part


def _arguments_of(call: Any) -> Any:
    """Return the arguments of a call; its text, where a model has made none of it that can be read."""
    try:
        return call.args_as_dict()
    except Exception:  # noqa: BLE001 - as of a call that was cut off
        return call.args


def _safely(recorder: Recorder, read: Callable[..., Any], *args: Any) -> Any:
    """Return what a function reads; None if it fails: the host goes on."""
    try:
        return read(*args)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - parts of messages may be of the host's own classes
        recorder.failed(read.__name__, error)
        return None


def _model_of(request_context: Any) -> str:
    return str(getattr(request_context.model, "model_name", ""))


def _said_by(response: Any) -> Any:
    return _plain(response.parts)


def _numbers_of(response: Any) -> dict[str, Any]:
    """Return what a recorder is told of a model's answer besides its content."""
    usage = response.usage
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {**tokens, "model": response.model_name, "extra": _extra_of(usage)}


def _name_of(agent: Any) -> str | None:
    return getattr(agent, "name", None)


def _output_of(result: Any) -> Any:
    output: Any = getattr(result, "output", None)
    if type(output).__name__ != "DeferredToolRequests":
        return output
    waiting = {"waits_for_approval": output.approvals, "waits_for_calls": output.calls}
    return {name: [each.tool_name for each in calls] for name, calls in waiting.items() if calls}


def _conversation_of(messages: Sequence[Any]) -> str | None:
    for message in reversed(messages):
        if conversation := getattr(message, "conversation_id", None):
            return str(conversation)
    return None


def _extra_of(usage: Any) -> dict[str, Any] | None:
    names = ("cache_read_tokens", "cache_write_tokens", "input_audio_tokens", "output_audio_tokens")
    extra = {name: number for name in names if (number := getattr(usage, name, 0))}
    return extra or None


def _is_retry(error: BaseException) -> bool:
    return type(error).__name__ == "ToolRetryError"


# The framework is loaded with this module, where a program has no loop yet: it takes a second.
with suppress(ImportError):
    import_module("pydantic_ai.capabilities")
