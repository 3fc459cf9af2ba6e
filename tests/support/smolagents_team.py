"""A model of smolagents that is written in advance, and agents and tools for tests on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smolagents import Tool, ToolCallingAgent
from smolagents.models import (
    ChatMessage,
    ChatMessageStreamDelta,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    Model,
)
from smolagents.monitoring import LogLevel, TokenUsage

from hubwire.testing.runtimes import ANSWER


class Scripted(Model):  # type: ignore[misc]  # its class is known where it is installed
    """A model that gives these answers, one after the other: messages, texts, or what it raises."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(model_id="scripted")
        self.rest = list(answers)
        self.asked: list[str] = []

    def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
        self.asked.append(str(messages))
        given = self.rest.pop(0)
        if isinstance(given, BaseException):
            raise given
        if isinstance(given, str):
            given = ChatMessage(MessageRole.ASSISTANT, content=given)
        given.token_usage = TokenUsage(11, 3)
        return given


class Streaming(Scripted):
    def generate_stream(self, messages: Any, **kwargs: Any) -> Any:
        for word in self.rest.pop(0).split(" "):
            yield ChatMessageStreamDelta(content=word + " ")


def call(name: str, **arguments: Any) -> ChatMessage:
    return calls((name, arguments))


def calls(*several: tuple[str, dict[str, Any]]) -> ChatMessage:
    made = [
        ChatMessageToolCall(
            id=f"call-{number}", type="function", function=ChatMessageToolCallFunction(name=name, arguments=arguments)
        )
        for number, (name, arguments) in enumerate(several)
    ]
    return ChatMessage(MessageRole.ASSISTANT, content="", tool_calls=made)


def done(answer: str = ANSWER) -> ChatMessage:
    return call("final_answer", answer=answer)


def tool(name: str, function: Callable[..., Any], *inputs: str) -> Tool:
    class Made(Tool):  # type: ignore[misc]
        skip_forward_signature_validation = True
        description = name
        output_type = "any"

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    Made.name = name
    Made.inputs = {each: {"type": "string", "description": each} for each in inputs}
    return Made()


def _search(query: str) -> str:
    assert query == "build log"
    return "2 errors"


def _lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


search = tool("search", _search, "query")
lint = tool("lint", _lint, "path")
deploy = tool("deploy", lambda target: f"deployed to {target}", "target")


def agent(model: Model, *tools: Tool, name: str = "planner", **more: Any) -> ToolCallingAgent:
    return ToolCallingAgent(
        tools=list(tools), model=model, name=name, description=name, verbosity_level=LogLevel.OFF, **more
    )


def kinds(events: list[Any]) -> list[str]:
    return [f"{event.kind} {event.tool}" if event.kind.startswith("tool.") else event.kind for event in events]
