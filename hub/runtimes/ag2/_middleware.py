"""The middleware that tells a recorder what an agent of AG2's does, and the hook that asks a hub for approval."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, Token
from typing import Any, ClassVar, Final
from uuid import uuid4
from weakref import WeakValueDictionary

import attrs

from .._opening import imported
from .._questions import call_key, check_asked
from ..recorder import Recorder
from ..verdict import Verdict
from . import _reading as read

__all__ = ("apart", "hook_of", "middleware_of")

HELD_SECONDS: Final = 0.5
"""A tool that needs approval asks at once: one that has worked for longer is recorded as called."""

LOOKS_SECONDS: Final = 0.05
"""How often it is looked, after the answer "always", whether AG2 has taken it for a yes."""

_numbers = itertools.count(1)


@attrs.frozen(slots=True, eq=False)
class _Place:
    """The turn or tool call that this code belongs to."""

    recorder: Recorder
    key: str
    call: _Call | None
    outer: _Place | None


_place: ContextVar[_Place | None] = ContextVar("hubwire.runtimes.ag2.place", default=None)


@contextmanager
def apart() -> Iterator[None]:
    """Let what runs here be part of no run that is recorded."""
    token = _place.set(None)
    try:
        yield
    finally:
        _place.reset(token)


def _here(recorder: Recorder) -> _Place | None:
    place = _place.get()
    while place is not None and place.recorder is not recorder:
        place = place.outer
    return place


def _key_here(recorder: Recorder) -> str | None:
    place = _here(recorder)
    if place is None:
        return None
    if place.call is not None:
        place.call.settle()
    return place.key


def _leave(token: Token[Any]) -> None:
    try:
        _place.reset(token)
    except ValueError:
        pass  # what is closed in another context, as an async generator may be


class _Call:
    """A tool call: held back until it is known that it is made."""

    def __init__(self, recorder: Recorder, turn: str | None, event: Any, context: Any) -> None:
        self.turn = turn
        self.event = event
        self.context = context
        self.verdict: Verdict | None = None
        """What the hub has said."""
        self._recorder = recorder
        self._may_be_made: bool | None = None
        """What was answered; None where nobody was asked, or has answered."""
        self._was_asked = False
        self._unsettled: Callable[[bool], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begin(HELD_SECONDS)

    def _begin(self, seconds: float) -> None:
        self.key = f"{self.turn}:{read.text(self.event, 'id')}-{next(_numbers)}"
        self._recorder.begin_tool(
            self.key,
            read.text(self.event, "name"),
            parent=self.turn,
            arguments=read.arguments_of(self.event),
            call_id=read.text(self.event, "id"),
            is_held=True,
        )
        self._timer = asyncio.get_running_loop().call_later(seconds, self._recorder.release, self.key)

    def asked(self) -> None:
        """A person or the hub is asked: without an answer the call is not made."""
        self._was_asked = True
        self._may_be_made = None
        self.stop()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def answered(self, *, is_passed: bool) -> None:
        """It may be made, or not."""
        self._may_be_made = is_passed
        if is_passed:
            self._recorder.release(self.key)

    def answered_always(self, tell: Callable[[bool], object]) -> None:
        """Whether that is a yes is seen when AG2 keeps it, or calls the tool; if not, when the call has ended.

        ``tell`` is called with it.
        """
        self._unsettled = tell
        self._look()

    def _look(self) -> None:
        if read.is_always(self.event, self.context):
            self.settle()
        elif self._unsettled is not None:
            self._timer = asyncio.get_running_loop().call_later(LOOKS_SECONDS, self._look)

    def settle(self) -> None:
        unsettled, self._unsettled = self._unsettled, None
        if unsettled is not None:
            self.stop()
            is_passed = read.is_always(self.event, self.context)
            unsettled(is_passed)
            self.answered(is_passed=is_passed)

    def changed(self, arguments: dict[str, Any]) -> None:
        """A person has changed the arguments: AG2 calls the tool with those of this event, which is a copy of its."""
        self._recorder.discard(self.key)
        self.event.arguments = json.dumps(arguments)
        self.event.serialized_arguments = arguments
        self._begin(HELD_SECONDS)

    @property
    def is_denied(self) -> bool:
        """Whether it was asked for, and not allowed: it is not made, then."""
        return self._was_asked and self._may_be_made is not True

    def failed(self, error: BaseException) -> None:
        self.settle()
        self.stop()
        if self.is_denied:
            self._recorder.discard(self.key, f"it was not approved: {type(error).__name__}")
        else:
            self._recorder.fail(self.key, error)

    def ended(self, result: Any, events: Any) -> Any:
        """Record how it went; return what the model is told."""
        self.settle()
        self.stop()
        if isinstance(result, events.ToolErrorEvent):
            self.failed(result.error)
        elif isinstance(result, events.ClientToolCallEvent):
            self._recorder.discard(self.key, "it is made elsewhere, by the client")
        elif self.is_denied:
            self._recorder.discard(self.key, "it was denied")
            if self.verdict is not None and self.verdict.reason:
                told = read.result_of(result)
                return events.ToolResultEvent.from_call(self.event, f"{told}: {self.verdict.reason}")
        else:
            self._recorder.end(self.key, read.result_of(result))
        return result


def _asked_about(recorder: Recorder, request: Any) -> _Call | None:
    """Return the tool call that a question is about."""
    call_id, place = getattr(request, "tool_call_id", None), _place.get()
    while call_id is not None and place is not None:
        if place.recorder is recorder and place.call is not None and place.call.event.id == call_id:
            return place.call
        place = place.outer
    return None


_REPEATED = Verdict(is_approved=False, reason="it was approved once before, and may have been done")


def hook_of(recorder: Recorder, *, may_repeat: bool) -> Any:
    """Return the hook that has the hub answer whether a tool may be called."""
    exceptions, events = imported("ag2.exceptions", "ag2"), imported("ag2.events", "ag2")

    async def ask_hub(event: Any) -> str:
        if not isinstance(event, events.ToolApprovalRequest):
            raise exceptions.HumanInputNotProvidedError
        call = _asked_about(recorder, event)
        if call is None:
            question = {"question": read.text(event, "content")}
            verdict = await recorder.decide(event.id, "tool", question, parent=_key_here(recorder))
            check_asked(recorder, verdict, "a tool call")
            return "y" if verdict.is_approved and not verdict.is_modified else "n"
        call.asked()
        agent = read.agent_of(call.context)
        arguments = read.arguments_of(call.event)
        key = call_key(read.stream_of(call.context), call.event.id, arguments)
        verdict = await recorder.decide(key, call.event.name, arguments, agent=agent, parent=call.turn)
        check_asked(recorder, verdict, call.event.name)
        call.verdict = verdict = _REPEATED if verdict.was_used and not may_repeat else verdict
        if verdict.is_approved and verdict.is_modified:
            call.changed(verdict.arguments)
            call.asked()
        return "y" if verdict.is_approved else "n"

    return ask_hub


def middleware_of(recorder: Recorder, *, is_whole: bool, streams: bool) -> Any:
    """Return the factory of middleware: AG2 calls it for each turn. ``is_whole``: all messages are recorded."""
    base: Any = imported("ag2.middleware", "ag2").BaseMiddleware
    settings = _Settings(recorder, imported("ag2.events", "ag2"), is_whole=is_whole, streams=streams)
    return type("HubwireMiddleware", (_Hooks, base), {"settings": settings, "__doc__": _Hooks.__doc__})


@attrs.frozen(slots=True, eq=False)
class _Settings:
    """What all middleware of a recorder has in common."""

    recorder: Recorder
    events: Any
    """AG2's module of that name."""
    is_whole: bool = attrs.field(kw_only=True)
    streams: bool = attrs.field(kw_only=True)
    made: WeakValueDictionary[int, _Hooks] = attrs.field(factory=WeakValueDictionary, init=False)
    """The newest of each turn, by the id of the turn's context: AG2 makes them from the innermost outwards."""


class _Hooks:
    """Tells a recorder what an agent does. Given twice, the outer one tells turns, the inner one calls."""

    settings: ClassVar[_Settings]
    context: Any
    initial_event: Any

    def __init__(self, event: Any, context: Any) -> None:
        super().__init__(event, context)  # type: ignore[call-arg]  # AG2's class is behind this one
        made = self.settings.made
        inner = made.get(id(context))
        self.is_innermost = self.is_outermost = True
        if inner is not None and inner.context is context and inner.initial_event is event:
            self.is_innermost = inner.is_outermost = False
        made[id(context)] = self

    async def on_turn(self, call_next: Any, event: Any, context: Any) -> Any:
        recorder = self.settings.recorder
        self.settings.made.pop(id(context), None)
        if not self.is_outermost or recorder.is_closed:
            return await call_next(event, context)
        key = uuid4().hex
        recorder.begin_turn(
            key,
            agent=read.agent_of(context),
            parent=_key_here(recorder),
            prompt=read.said(event),
            session=read.stream_of(context),
        )
        token = _place.set(_Place(recorder, key, None, _place.get()))
        try:
            answer = await call_next(event, context)
        except BaseException as error:
            recorder.fail(key, error)
            raise
        finally:
            _leave(token)
        recorder.end(key, read.said(answer))
        return answer

    async def on_llm_call(self, call_next: Any, messages: Any, context: Any) -> Any:
        recorder, events = self.settings.recorder, self.settings.events
        if not self.is_innermost or recorder.is_closed:
            return await call_next(messages, context)
        turn = _key_here(recorder)
        key = f"{turn}:model-{next(_numbers)}"
        request = read.request_of(messages, is_whole=self.settings.is_whole)
        recorder.begin_model(key, read.model_of(context), parent=turn, request=request)
        try:
            with _pieces(recorder, key, context, events) if self.settings.streams else nullcontext():
                answer = await call_next(messages, context)
        except BaseException as error:
            recorder.fail(key, error)
            raise
        recorder.end(key, read.said(answer), model=read.text(answer, "model"), **read.usage_of(answer))
        return answer

    async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
        recorder = self.settings.recorder
        if not self.is_innermost or recorder.is_closed:
            return await call_next(event, context)
        call = _Call(recorder, _key_here(recorder), event, context)
        token = _place.set(_Place(recorder, call.key, call, _place.get()))
        try:
            result = await call_next(event, context)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            _leave(token)
        return call.ended(result, self.settings.events)

    async def on_human_input(self, call_next: Any, event: Any, context: Any) -> Any:
        recorder, events = self.settings.recorder, self.settings.events
        if not self.is_outermost or recorder.is_closed:
            return await call_next(event, context)
        if not isinstance(event, events.ToolApprovalRequest):
            return await _questioned(recorder, call_next, event, context)
        call = _asked_about(recorder, event)
        if call is None:
            return await _unknown_questioned(recorder, call_next, event, context)
        call.asked()
        before = call.verdict
        answer = await call_next(event, context)
        if call.verdict is not before and call.verdict is not None:
            call.answered(is_passed=call.verdict.is_approved)
        elif read.answer_of(answer) == "always":
            call.answered_always(lambda is_passed: _told(recorder, call, is_passed=is_passed))
        else:
            call.answered(is_passed=_told(recorder, call, is_passed=read.answer_of(answer) in read.YES))
        return answer


def _told(recorder: Recorder, call: _Call, *, is_passed: bool) -> bool:
    """Record what a person has answered in the program's own dialog."""
    recorder.record_verdict(
        f"{call.key}:{next(_numbers)}",
        call.event.name,
        arguments=read.arguments_of(call.event),
        is_passed=is_passed,
        agent=read.agent_of(call.context),
        parent=call.turn,
    )
    return is_passed


async def _questioned(recorder: Recorder, call_next: Any, event: Any, context: Any) -> Any:
    """A question to a person, which is none of approval, is a call of the tool ``human_input``."""
    above = _key_here(recorder)
    key = f"{above}:human-{next(_numbers)}"
    question = {"question": read.text(event, "content")}
    recorder.begin_tool(key, "human_input", parent=above, arguments=question, call_id=read.text(event, "id"))
    try:
        answer = await call_next(event, context)
    except BaseException as error:
        recorder.fail(key, error)
        raise
    recorder.end(key, read.text(answer, "content"))
    return answer


async def _unknown_questioned(recorder: Recorder, call_next: Any, event: Any, context: Any) -> Any:
    """A question about a call of an agent that has no recorder: what is known of it is the question."""
    answer = await call_next(event, context)
    recorder.record_verdict(
        f"{event.id}",
        "tool",
        arguments={"question": read.text(event, "content")},
        is_passed=read.answer_of(answer) in (*read.YES, "always"),
        parent=_key_here(recorder),
    )
    return answer


def _pieces(recorder: Recorder, key: str, context: Any, events: Any) -> Any:
    async def heard(event: Any) -> None:
        recorder.stream(key, read.text(event, "content"))

    return context.stream.where(events.ModelMessageChunk).sub_scope(heard)
