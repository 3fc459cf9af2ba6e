"""The adapter of AG2, under the framework itself on its own double of a model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("ag2", reason="AG2 is not installed: pip install 'hubwire[ag2]'")

import ag2.network
from ag2 import Agent, Context, tool
from ag2.events import (
    BaseEvent,
    HumanInputRequest,
    ModelMessage,
    ModelMessageChunk,
    ModelResponse,
    ToolCallEvent,
    ToolCallsEvent,
    ToolErrorEvent,
    Usage,
)
from ag2.exceptions import HumanInputError
from ag2.knowledge import MemoryKnowledgeStore
from ag2.middleware import BaseMiddleware, RetryMiddleware, approval_required
from ag2.stream import MemoryStream
from ag2.testing import TestConfig

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder, Verdict
from hubwire.runtimes.ag2 import AG2Recorder, from_ag2, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of


def scripted(*answers: Any) -> TestConfig:
    return TestConfig(*answers, model="scripted", raise_tool_errors=False)


def call(name: str, /, **arguments: Any) -> ToolCallEvent:
    return ToolCallEvent(name, arguments=json.dumps(arguments))


def says(text: str) -> ModelResponse:
    return ModelResponse(ModelMessage(text), usage=Usage(prompt_tokens=11, completion_tokens=3), model="scripted-1")


def yes(event: HumanInputRequest) -> str:
    return "y"


def ours(*recorders: Recorder | None) -> list[Any]:
    return [each.middleware for each in recorders if isinstance(each, AG2Recorder)]


@tool
def search(query: str) -> str:
    assert query == "build log"
    return "2 errors"


@tool
def lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


@tool(middleware=[approval_required()])
async def deploy(target: str) -> str:
    return f"deployed to {target}"


def team(*recorders: Recorder | None, asks: bool = True) -> Agent[Any]:
    first = recorders[0] if recorders else None
    coder = Agent(
        "coder",
        config=scripted(call("lint", path="app.py"), call("deploy", target="staging"), says(ANSWER)),
        tools=[lint, deploy],
        middleware=ours(*recorders),
        hitl_hook=first.hitl_hook if asks and isinstance(first, AG2Recorder) else yes,
    )
    return Agent(
        "planner",
        config=scripted(
            call("search", query="build log"), call("task_coder", objective="mend the build"), says(ANSWER)
        ),
        tools=[search, coder.as_tool(description="mends builds")],
        middleware=ours(*recorders),
    )


class TestAG2(RuntimeContract):
    lacks = frozenset({"hand_over"})  # an agent calls another by a tool

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return str((await team(recorder, asks=asks).ask("mend the build")).body)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return str((await team(recorder, second, asks=False).ask("mend the build")).body)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        agent = Agent("planner", config=scripted(ConnectionError("no model here")), middleware=ours(recorder))
        with pytest.raises(ConnectionError) as caught:
            await agent.ask("go")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        @tool
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        await Agent("planner", config=scripted(call("wait")), tools=[wait], middleware=ours(recorder)).ask("go")
