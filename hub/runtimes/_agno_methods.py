"""The methods of Agno's classes that are wrapped while a recorder of it is open."""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ..errors import ConfigurationError
from ._agno_following import ABOVE, HEARING, AgnoRecorder, Following
from ._opening import imported
from ._questions import was_decided

__all__ = ("unwrap", "wrap")

_numbers = itertools.count(1)

_wrapped: list[tuple[Any, str, Any, Any]] = []
"""Class or module, name, what was there, and what wraps it."""
_newest: list[object] = []
"""What the methods that record have in common. Others may have wrapped them meanwhile, and kept those of before."""
_lock = threading.Lock()

_TEXT_CHARS = 64 * 1024
_MESSAGES_MAX = 20


def wrap(recorder: AgnoRecorder) -> None:
    """Have a recorder hear from now on."""
    with _lock:
        if not HEARING:
            _wrap_all()
        HEARING.append(recorder)


def unwrap(recorder: AgnoRecorder) -> None:
    """Let it hear no more; with the last one, the methods are as they were, unless others have wrapped them since."""
    with _lock:
        if recorder in HEARING:
            HEARING.remove(recorder)
        if HEARING:
            return
        _newest.clear()
        while _wrapped:
            owner, name, before, ours = _wrapped.pop()
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, before)


def _wrap_all() -> None:
    agent, team = imported("agno.agent", "agno").Agent, imported("agno.team", "agno").Team
    call, model = imported("agno.tools.function", "agno").FunctionCall, imported("agno.models.base", "agno").Model
    _newest.append(object())
    for owner in (agent, team):
        _wrap(owner, "run", _run)
        _wrap(owner, "continue_run", _run)
        _wrap(owner, "arun", _arun)
        _wrap(owner, "acontinue_run", _arun)
    _wrap(call, "execute", _executed)
    _wrap(call, "aexecute", _aexecuted, is_async=True)
    _wrap(model, "_invoke_with_retry", _invoked)
    _wrap(model, "_ainvoke_with_retry", _ainvoked, is_async=True)
    _wrap(model, "_invoke_stream_with_retry", _streamed)
    _wrap(model, "_ainvoke_stream_with_retry", _astreamed)
    try:
        _wrap(imported("agno.run.background", "agno"), "_execute_background", _executed_in_background)
    except ConfigurationError:
        pass  # before 3.1


def _wrap(owner: Any, name: str, by: Callable[..., Any], *, is_async: bool = False) -> None:
    before, era = owner.__dict__.get(name), _newest[-1]
    if before is None:
        return  # a version without it

    if is_async:

        @functools.wraps(before)
        async def ours(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return await (by if era in _newest else _as_it_was)(before, self, *args, **kwargs)

    else:

        @functools.wraps(before)
        def ours(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return by(before, self, *args, **kwargs) if era in _newest else before(self, *args, **kwargs)

    setattr(owner, name, ours)
    _wrapped.append((owner, name, before, ours))


async def _as_it_was(before: Any, self: Any, /, *args: Any, **kwargs: Any) -> Any:
    return await before(self, *args, **kwargs)


# -- runs --


class _Run(Following):
    """A run of an agent or a team."""

    def __init__(self, before: Any, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(f"{uuid4()}")
        self._agent = agent
        self._prefix = "Team" if isinstance(agent, imported("agno.team", "agno").Team) else ""
        self._args, self._kwargs = args, kwargs
        self._is_continued = before.__name__.endswith("continue_run")
        self._text = ""
        self._outcome: Any = None
        self.goes_on: bool = False
        """Whether it goes on in a task of Agno's, and ends there."""
        _runs[self.key] = self

    def begin(self) -> None:
        self.hear(self._begin, None)

    def _begin(self, _: Any) -> None:
        given = self._args[0] if self._args else self._kwargs.get("run_response" if self._is_continued else "input")
        session = self._kwargs.get("session_id") or getattr(given, "session_id", None) or self._agent.session_id
        prompt = None if self._is_continued else given
        name, parent = self._agent.name or self._agent.id, ABOVE.get()
        if self._is_continued:
            self.tell(lambda recorder: _record_verdicts(recorder, name, given, self._kwargs, parent))
        self.tell(
            lambda recorder: recorder.begin_turn(self.key, agent=name, parent=parent, prompt=prompt, session=session)
        )

    def end(self, response: Any) -> None:
        if not self.goes_on:
            self.hear(self._end, response)

    def _end(self, response: Any) -> None:
        status = getattr(getattr(response, "status", None), "value", "COMPLETED")
        if status == "ERROR":
            self.failed(response.content, "RunError")
        elif status == "CANCELLED":
            self.failed(response.content or "the run was cancelled", "RunCancelled")
        elif status in ("PENDING", "RUNNING"):
            reason = "it goes on in the background, where this version of Agno tells its end to nobody"
            self.tell(lambda recorder: recorder.discard(self.key, reason))
        else:
            content = None if status == "PAUSED" else getattr(response, "content", None)
            self.tell(lambda recorder: recorder.end(self.key, content))

    def left(self) -> None:
        if not self.goes_on:
            super().left()

    def heard(self, event: Any) -> None:
        """Remember how it ends. In a team's stream there are the events of its members, too."""
        kind = getattr(event, "event", None)
        if kind is None:  # the response, which comes last where it is wanted
            self._outcome = event
        elif kind == f"{self._prefix}RunContent" and isinstance(event.content, str):
            self._text = (self._text + event.content)[-_TEXT_CHARS:]
        elif kind in (f"{self._prefix}RunError", f"{self._prefix}RunCancelled"):
            self._outcome = event

    def done(self) -> None:
        if not self.goes_on:
            self.hear(self._done, None)

    def _done(self, _: Any) -> None:
        kind = getattr(self._outcome, "event", "")
        if kind.endswith(("RunError", "RunCancelled")):
            self.failed(getattr(self._outcome, "content", None) or getattr(self._outcome, "reason", ""), kind)
        elif self._outcome is not None and not kind:
            self._end(self._outcome)
        else:
            self.tell(lambda recorder: recorder.end(self.key, self._text or None))


_runs: weakref.WeakValueDictionary[str, _Run] = weakref.WeakValueDictionary()
"""Those that are open, by key."""


def _run(before: Any, agent: Any, /, *args: Any, **kwargs: Any) -> Any:
    run = _Run(before, agent, args, kwargs)
    run.begin()
    with run.inside():
        answer = before(agent, *args, **kwargs)
    if inspect.isgenerator(answer):
        return run.read(run.steps(answer, run.heard, run.done))
    run.end(answer)
    return answer


def _arun(before: Any, agent: Any, /, *args: Any, **kwargs: Any) -> Any:
    """It returns what is awaited or read: nothing runs yet."""
    run = _Run(before, agent, args, kwargs)
    answer = before(agent, *args, **kwargs)
    if inspect.iscoroutine(answer):
        return _awaited(run, answer)
    return run.read(run.asteps(answer, run.heard, run.done, run.begin)) if inspect.isasyncgen(answer) else answer


async def _awaited(run: _Run, answer: Any) -> Any:
    run.begin()
    with run.inside():
        response = await answer
    run.end(response)
    return response


def _executed_in_background(before: Any, response: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Agno has answered, or streams from a queue, and the run goes on in a task."""
    run = _runs.get(ABOVE.get() or "")
    if run is None:
        return before(response, *args, **kwargs)
    run.goes_on = True
    return _finished(run, before(response, *args, **kwargs), response)


async def _finished(run: _Run, work: Any, response: Any) -> None:
    with run.inside():
        await work
    run.goes_on = False
    run.end(response)


def _record_verdicts(
    recorder: AgnoRecorder, agent: str, response: Any, kwargs: dict[str, Any], parent: str | None
) -> None:
    """Record what a person has said in the program's own dialog about the calls that the run has waited for."""
    run_id = getattr(response, "run_id", None) or kwargs.get("run_id")
    for each in kwargs.get("requirements") or getattr(response, "requirements", None) or ():
        call = each.tool_execution
        if call is None or not call.requires_confirmation or call.confirmed is None:
            continue
        key = f"{each.member_run_id or run_id}:{call.tool_call_id}"
        if was_decided(recorder, key):
            continue  # by the hub: it is no verdict of the program's own
        recorder.record_verdict(
            key,
            call.tool_name,
            arguments=call.tool_args,
            is_passed=call.confirmed is True,
            reason=call.confirmation_note or "",
            agent=each.member_agent_name or agent,
            parent=parent,
        )


# -- tools --


def _begun_call(call: Any) -> Following:
    following = Following(f"{uuid4()}")
    parent = ABOVE.get()
    following.tell(
        lambda recorder: recorder.begin_tool(
            following.key, call.function.name, parent=parent, arguments=call.arguments, call_id=call.call_id
        )
    )
    return following


def _ended_call(following: Following, call: Any, outcome: Any) -> Any:
    if outcome.status != "success":
        following.failed(outcome.error or "the tool has failed")
    elif inspect.isgenerator(outcome.result):
        outcome.result = call.result = _yielded(following, outcome.result, following.steps)
    elif inspect.isasyncgen(outcome.result):
        outcome.result = call.result = _yielded(following, outcome.result, following.asteps)
    else:
        following.tell(lambda recorder: recorder.end(following.key, outcome.result))
    return outcome


def _yielded(following: Following, source: Any, steps: Any) -> Any:
    """A tool that yields, as the one does that a team delegates with, has ended when all of it was read."""
    texts: list[str] = []

    def heard(item: Any) -> None:
        if isinstance(item, str) and len(texts) < 1000:
            texts.append(item)

    def done() -> None:
        following.tell(lambda recorder: recorder.end(following.key, "".join(texts) or None))

    return following.read(steps(source, heard, done))


def _executed(before: Any, call: Any, /) -> Any:
    following = _begun_call(call)
    with following.inside():
        outcome = before(call)
    return _ended_call(following, call, outcome)


async def _aexecuted(before: Any, call: Any, /) -> Any:
    following = _begun_call(call)
    with following.inside():
        outcome = await before(call)
    return _ended_call(following, call, outcome)


# -- models --


class _ModelCall(Following):
    """A call of a model, with the attempts of its retries."""

    def __init__(self, model: Any, kwargs: dict[str, Any]) -> None:
        super().__init__(f"{ABOVE.get() or uuid4()}:model-{next(_numbers)}")
        self._texts: list[str] = []
        self._last: Any = None
        parent = ABOVE.get()
        self.tell(
            lambda recorder: recorder.begin_model(
                self.key, model.id or "", parent=parent, request=_request_of(kwargs.get("messages") or ())
            )
        )

    def heard(self, delta: Any) -> None:
        if isinstance(delta.content, str):
            if len(self._texts) < 10_000:
                self._texts.append(delta.content)
            self.tell(lambda recorder: recorder.stream(self.key, delta.content))
        if delta.response_usage is not None:
            self._last = delta

    def end(self, response: Any, text: Any) -> None:
        usage = getattr(response, "response_usage", None)
        self.tell(
            lambda recorder: recorder.end(
                self.key,
                text or _calls_of(response) or None,
                input_tokens=getattr(usage, "input_tokens", None),
                output_tokens=getattr(usage, "output_tokens", None),
                cost_usd=getattr(usage, "cost", None),
            )
        )

    def done(self) -> None:
        self.end(self._last, "".join(self._texts))


def _request_of(messages: Any) -> Any:
    return [{"role": each.role, "content": each.content} for each in messages[-_MESSAGES_MAX:]] or None


def _calls_of(response: Any) -> Any:
    called = [each.get("function") for each in getattr(response, "tool_calls", None) or () if isinstance(each, dict)]
    return [{"call": each.get("name"), "arguments": each.get("arguments")} for each in called if isinstance(each, dict)]


def _invoked(before: Any, model: Any, /, **kwargs: Any) -> Any:
    if kwargs.get("retry_with_guidance"):  # it is part of the call that it mends
        return before(model, **kwargs)
    call = _ModelCall(model, kwargs)
    with call.inside():
        response = before(model, **kwargs)
    call.end(response, response.content)
    return response


async def _ainvoked(before: Any, model: Any, /, **kwargs: Any) -> Any:
    if kwargs.get("retry_with_guidance"):
        return await before(model, **kwargs)
    call = _ModelCall(model, kwargs)
    with call.inside():
        response = await before(model, **kwargs)
    call.end(response, response.content)
    return response


def _streamed(before: Any, model: Any, /, **kwargs: Any) -> Any:
    if kwargs.get("retry_with_guidance"):
        return before(model, **kwargs)
    call = _ModelCall(model, kwargs)
    return call.read(call.steps(before(model, **kwargs), call.heard, call.done))


def _astreamed(before: Any, model: Any, /, **kwargs: Any) -> Any:
    if kwargs.get("retry_with_guidance"):
        return before(model, **kwargs)
    call = _ModelCall(model, kwargs)
    return call.read(call.asteps(before(model, **kwargs), call.heard, call.done))
