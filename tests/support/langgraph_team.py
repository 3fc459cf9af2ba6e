"""The job of the contract of runtimes as a graph of LangGraph, on LangChain's own double of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from hubwire.testing.runtimes import ANSWER

__all__ = ("Scripted", "call", "calls", "deploy", "scripted", "team")


class Scripted(GenericFakeChatModel):
    """The double, which takes tools, too."""

    def bind_tools(self, tools: Sequence[Any], **settings: Any) -> Scripted:
        return self


def scripted(*answers: Any) -> Scripted:
    """A model that gives these answers, one after the other; a call that is none of them fails."""
    return Scripted(messages=iter([AIMessage(each) if isinstance(each, str) else each for each in answers]))


def call(name: str, call_id: str = "call-1", **arguments: Any) -> AIMessage:
    return calls((name, call_id, arguments))


def calls(*wanted: tuple[str, str, dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "",
        tool_calls=[{"name": name, "args": arguments, "id": call_id} for name, call_id, arguments in wanted],
        usage_metadata={"input_tokens": 11, "output_tokens": 3, "total_tokens": 14},
    )


@tool
def search(query: str) -> str:
    """Search."""
    return "2 errors"


@tool
def ask_coder(tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
    """Hand over."""
    done = ToolMessage("the coder takes over", tool_call_id=tool_call_id)
    return Command(goto="coder", graph=Command.PARENT, update={"messages": [done]})


def lint(path: str) -> str:
    """Lint."""
    raise ToolException(f"no such file: {path}")


@tool
def deploy(target: str) -> str:
    """Deploy."""
    return f"deployed to {target}"


def team() -> Any:
    from langchain_core.tools import StructuredTool

    soft_lint = StructuredTool.from_function(lint, handle_tool_error=True)
    planner = create_agent(
        scripted(call("search", query="build log"), call("ask_coder")), [search, ask_coder], name="planner"
    )
    coder = create_agent(
        scripted(call("lint", path="app.py"), call("deploy", target="staging"), ANSWER),
        [soft_lint, deploy],
        name="coder",
        middleware=[HumanInTheLoopMiddleware({"deploy": True})],
    )
    graph = StateGraph(MessagesState)
    graph.add_node("planner", planner)
    graph.add_node("coder", coder)
    graph.add_edge(START, "planner")
    return graph.compile(checkpointer=InMemorySaver(), name="team")
