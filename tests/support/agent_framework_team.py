"""The job of the contract of runtimes in Microsoft Agent Framework, on a double that runs its own layers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    tool,
)

from hubwire.runtimes import Recorder
from hubwire.runtimes.agent_framework import AgentFrameworkRecorder, resume
from hubwire.testing.runtimes import ANSWER

__all__ = ("Scripted", "call", "deploy", "middleware", "say", "team")


class Scripted(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """A client that gives these answers, one after the other: lists of contents, or what it raises."""

    model = "scripted"

    def __init__(self, *answers: Sequence[Any] | BaseException) -> None:
        super().__init__()
        self._rest = list(answers)
        self.heard: list[list[Any]] = []
        """What it was asked, each time: messages as plain values."""
        self.streamed = 0
        """How many times it was asked for a stream."""

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **settings: Any) -> Any:
        self.heard.append([message.to_dict() for message in messages])
        given = self._rest.pop(0)
        if stream:
            self.streamed += 1
            return ResponseStream(self._pieces(given), finalizer=ChatResponse.from_updates)
        return self._whole(given)

    async def _whole(self, given: Any) -> ChatResponse:
        if isinstance(given, BaseException):
            raise given
        usage: Any = {"input_token_count": 11, "output_token_count": 3}
        return ChatResponse(messages=[Message("assistant", list(given))], usage_details=usage, model="scripted")

    async def _pieces(self, given: Any) -> AsyncIterator[ChatResponseUpdate]:
        for content in [given] if isinstance(given, BaseException) else given:
            if isinstance(content, BaseException):
                raise content
            yield ChatResponseUpdate(contents=[content], role="assistant")
        yield ChatResponseUpdate(contents=[Content.from_usage({"input_token_count": 11, "output_token_count": 3})])


def call(name: str, call_id: str = "call-1", **arguments: Any) -> Content:
    return Content.from_function_call(call_id=call_id, name=name, arguments=json.dumps(arguments))


def say(text: str) -> Content:
    return Content.from_text(text)


def middleware(*recorders: Recorder | None) -> list[Any]:
    return [part for each in recorders if isinstance(each, AgentFrameworkRecorder) for part in each.middleware]


@tool
def search(query: str) -> str:
    """Search."""
    return "2 errors"


@tool
def lint(path: str) -> str:
    """Lint."""
    raise ValueError(f"no such file: {path}")


@tool(approval_mode="always_require")
async def deploy(target: str) -> str:
    """Deploy."""
    return f"deployed to {target}"


def team(*recorders: Recorder | None, asks: bool = True) -> Agent[Any]:
    coder: Agent[Any] = Agent(
        Scripted([call("lint", path="app.py")], [call("deploy", "call-2", target="staging")], [say(ANSWER)]),
        name="coder",
        tools=[lint, deploy],
        middleware=middleware(*recorders),
    )

    @tool
    async def ask_coder() -> str:
        """Let the coder mend it."""
        session = coder.create_session()
        response = await coder.run("mend the build", session=session)
        if recorders and recorders[0] is not None and asks:
            return str((await resume(recorders[0], coder, response, session=session)).text)
        answers = [each.to_function_approval_response(True) for each in response.user_input_requests]
        return str((await coder.run(Message("user", answers), session=session)).text)

    return Agent(
        Scripted([call("search", query="build log")], [call("ask_coder", "call-2")], [say(ANSWER)]),
        name="planner",
        tools=[search, ask_coder],
        middleware=middleware(*recorders),
    )
