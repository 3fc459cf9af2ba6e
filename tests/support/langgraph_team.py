"""The job of the contract of runtimes as a graph of LangGraph, and smaller ones, on LangChain's double of a model."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import anyio
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from hubwire import Event, Hub
from hubwire.runtimes import Recorder
from hubwire.runtimes.langgraph import record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs

__all__ = (
    "ASKED",
    "Scripted",
    "asking",
    "call",
    "calls",
    "denied",
    "deploy",
    "kinds",
    "lint",
    "new_thread",
    "recorded",
    "reviewed",
    "scripted",
    "search",
    "team",
)


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


_threads = itertools.count()


def new_thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": f"thread-{next(_threads)}"}}


ASKED = {"messages": [("user", "mend the build")]}


async def recorded(work: Callable[[Recorder], Awaitable[Any]], **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder, while all that is asked for is approved."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await work(recorder)
            statistics = recorder.statistics()
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert (statistics.failures, statistics.dropped, statistics.replays) == (0, 0, 0)
    check_pairs(heard.events)
    return heard.events


async def deny_all(hub: Hub) -> None:
    async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
        await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]


async def denied(work: Callable[[Recorder], Awaitable[Any]], store: MemoryStore | None = None) -> list[Event]:
    heard = Heard()
    async with Hub(store or MemoryStore()) as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny_all, hub)
            await work(recorder)
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


def kinds(events: list[Event], *families: str) -> list[str]:
    return [event.kind for event in events if event.kind.partition(".")[0] in families]


def reviewed(*answers: Any, saver: Any = None) -> Any:
    """An agent whose deploys a person has to review."""
    return create_agent(
        scripted(*answers),
        [deploy, search],
        name="coder",
        middleware=[HumanInTheLoopMiddleware({"deploy": True})],
        checkpointer=saver or InMemorySaver(),
    )


@tool
def restart(target: str) -> str:
    """Restart, after asking."""
    if not interrupt({"action": "restart", "target": target}):
        return "left alone"
    return f"restarted {target}"


def asking(*answers: Any, saver: Any = None) -> Any:
    """An agent with a tool that interrupts itself."""
    return create_agent(scripted(*answers), [restart], name="coder", checkpointer=saver or InMemorySaver())
