"""Middleware of Microsoft Agent Framework that tells a recorder what passes: runs, tool calls and calls of models."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import uuid4

from ._above import Above
from ._agent_framework import (
    agent_name,
    answer_of,
    made_by_tool,
    model_name,
    numbers_of,
    plain_message,
    said_by_model,
)
from ._capture import CUT
from ._opening import imported
from ._questions import was_decided
from .recorder import Recorder

__all__ = ("Next", "Telling", "above", "middleware_of")

_HELD_SECONDS = 0.5
"""Middleware below ours that forbids a call does so at once: one that works for longer is recorded as called."""

_NOT_NOW = frozenset({"MiddlewareTermination", "UserInputRequiredException", "_FunctionArgumentsChangedAfterApproval"})
"""What is raised instead of a call that is not made, or not now."""

above = Above("agent_framework")

Next = Callable[[], Awaitable[None]]


class Telling:
    """What the three kinds of middleware tell one recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    # -- what is run --

    async def turn(self, context: Any, call_next: Next) -> None:
        if self.recorder.is_closed or (key := self._told(self._turn_begins, context)) is None:
            await call_next()
            return
        try:
            with above.inside(self.recorder, key):
                await call_next()
        except BaseException as error:
            if not _is_not_now(error):
                self.recorder.fail(key, error)
                raise
            self._told(self._turn_ends, key, context.result)
            raise
        self._told(self._turn_ends, key, context.result)

    async def model(self, context: Any, call_next: Next) -> None:
        if self.recorder.is_closed or (key := self._told(self._model_begins, context)) is None:
            await call_next()
            return
        try:
            await call_next()
        except BaseException as error:
            if not _is_not_now(error):
                self.recorder.fail(key, error)
                raise
            self._told(self._model_ends, key, context.result)
            raise
        self._told(self._model_ends, key, context.result)

    async def tool(self, context: Any, call_next: Next) -> None:
        if self.recorder.is_closed or (key := self._told(self._tool_begins, context)) is None:
            await call_next()
            return
        releasing = asyncio.get_running_loop().call_later(_HELD_SECONDS, self.recorder.release, key)
        try:
            with above.inside(self.recorder, key):
                await call_next()
        except BaseException as error:
            if _is_not_now(error):
                self.recorder.discard(key, f"it was not made, or waits: {type(error).__name__}")
            else:
                self.recorder.fail(key, error)
            raise
        finally:
            releasing.cancel()
        self._told(self._tool_ends, key, context.result)

    # -- beginnings --

    def _turn_begins(self, context: Any) -> str:
        key, agent, messages = uuid4().hex, agent_name(context.agent), context.messages
        self.recorder.begin_turn(
            key,
            agent=agent,
            parent=above.key(self.recorder),
            prompt=self._asked(messages),
            session=getattr(context.session, "session_id", None),
        )
        if context.session is not None:  # else the framework does not heed what is answered
            for message in messages:
                for content in message.contents:
                    if content.type == "function_approval_response" and not content.approved:
                        self._verdict(content, context.session, key, agent)
        return key

    def _model_begins(self, context: Any) -> str:
        key = uuid4().hex
        self.recorder.begin_model(
            key, model_name(context), parent=above.key(self.recorder), request=self._shown(list(context.messages))
        )
        return key

    def _tool_begins(self, context: Any) -> str:
        call_id = context.metadata.get("call_id")
        key = uuid4().hex
        response = context.metadata.get("approval_response")
        if response is not None and response.approved:
            self._verdict(response, context.session, above.key(self.recorder), None)
        self.recorder.begin_tool(
            key,
            context.function.name,
            parent=above.key(self.recorder),
            arguments=context.arguments,
            call_id=call_id,
            is_held=True,
        )
        return key

    def _asked(self, messages: Sequence[Any]) -> Any:
        """Return what a run is to do: its text, where it is one message of text."""
        shown = self._shown(messages)
        only = shown[0] if len(shown) == 1 else None
        return only["content"] if isinstance(only, dict) and isinstance(only.get("content"), str) else shown

    def _shown(self, messages: Sequence[Any]) -> Any:
        if self.recorder.is_whole or len(messages) < 2:
            return [plain_message(each) for each in messages]
        return [f"{CUT} {len(messages) - 1} before", plain_message(messages[-1])]

    def _verdict(self, response: Any, session: Any, parent: str | None, agent: str | None) -> None:
        """Record what the program itself has answered."""
        call = response.function_call
        key = f"{getattr(session, 'session_id', None)}:{response.id}"
        if call is None or was_decided(self.recorder, key):
            return
        self.recorder.record_verdict(
            key,
            call.name,
            arguments=call.parse_arguments(),
            is_passed=bool(response.approved),
            approver="host",
            agent=agent,
            parent=parent,
        )

    # -- ends --

    def _turn_ends(self, key: str, result: Any) -> None:
        if not self._is_followed(key, result, self._turn_ends, lambda: above.inside(self.recorder, key)):
            self.recorder.end(key, answer_of(result))

    def _model_ends(self, key: str, result: Any) -> None:
        if self._is_followed(key, result, self._model_ends, nullcontext):
            result.with_transform_hook(lambda update: self.recorder.stream(key, update.text))
            return
        usage = getattr(result, "usage_details", None) or {}
        self.recorder.end(
            key,
            said_by_model(result),
            input_tokens=usage.get("input_token_count"),
            output_tokens=usage.get("output_token_count"),
            model=getattr(result, "model", None),
            extra=numbers_of(usage),
        )

    def _tool_ends(self, key: str, result: Any) -> None:
        if getattr(result, "type", "") == "function_approval_request":
            self.recorder.discard(key, "it waits for approval")
        else:
            self.recorder.end(key, made_by_tool(result))

    def _is_followed(
        self,
        key: str,
        result: Any,
        ends: Callable[[str, Any], None],
        inside: Callable[[], AbstractContextManager[None]],
    ) -> bool:
        """Tell whether a result is a stream, which ends later: nothing of it has run when its middleware returns."""
        if not hasattr(result, "with_pull_context_manager"):
            return False
        reading = _Reading(self.recorder, key, inside)
        result.with_pull_context_manager(reading.pull)
        result.with_result_hook(lambda final: reading.read(lambda: self._told(ends, key, final)))
        result.with_cleanup_hook(reading.closed)
        return True

    def _told(self, tell: Callable[..., Any], *args: Any) -> Any:
        """Call what tells the recorder; None if it fails, as an object of the host may raise when it is read."""
        try:
            return tell(*args)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the host goes on
            self.recorder.failed(tell.__name__, error)
            return None


class _Reading:
    """A stream that its program reads: how it ends is seen at its last pull."""

    def __init__(self, recorder: Recorder, key: str, inside: Callable[[], AbstractContextManager[None]]) -> None:
        self._recorder = recorder
        self._key = key
        self._inside = inside
        self._is_read = False
        self._has_ended = False

    @contextmanager
    def pull(self) -> Iterator[None]:
        try:
            with self._inside():
                yield
        except StopAsyncIteration:
            self._is_read = True
            raise
        except BaseException as error:
            self._failed(error)
            raise

    def read(self, tell: Callable[[], object]) -> None:
        """There is a result: of all of it, or of what was read until it was closed."""
        if self._is_read:
            self.ended(tell)

    def closed(self) -> None:
        """It is read to its end, has failed, or its program reads it no more."""
        if not self._is_read:
            self.ended(lambda: self._recorder.discard(self._key, "its stream was closed before its end"))

    def _failed(self, error: BaseException) -> None:
        self.ended(lambda: self._recorder.fail(self._key, error))

    def __del__(self) -> None:
        """Its program has dropped it, before its end or unread: no hook tells of that."""
        self.ended(lambda: self._recorder.discard(self._key, "its stream was dropped before its end"))

    def ended(self, tell: Callable[[], object]) -> None:
        if not self._has_ended:
            self._has_ended = True
            tell()


def middleware_of(telling: Telling) -> Sequence[Any]:
    framework: Any = imported("agent_framework", "agent_framework")

    class HubwireTurns(framework.AgentMiddleware):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder of runs."""

        async def process(self, context: Any, call_next: Next) -> None:
            await telling.turn(context, call_next)

    class HubwireTools(framework.FunctionMiddleware):  # type: ignore[misc]
        """Tells a recorder of tool calls."""

        async def process(self, context: Any, call_next: Next) -> None:
            await telling.tool(context, call_next)

    class HubwireModels(framework.ChatMiddleware):  # type: ignore[misc]
        """Tells a recorder of calls of models."""

        async def process(self, context: Any, call_next: Next) -> None:
            await telling.model(context, call_next)

    return (HubwireTurns(), HubwireTools(), HubwireModels())


def _is_not_now(error: BaseException) -> bool:
    return any(kind.__name__ in _NOT_NOW for kind in type(error).__mro__)
