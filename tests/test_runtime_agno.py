"""The adapter of Agno, under the framework itself on a model that is scripted."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

pytest.importorskip("agno", reason="Agno is not installed: pip install 'hubwire[agno]'")

from agno.agent import Agent
from agno.models.base import Model
from agno.models.message import Message, MessageMetrics
from agno.models.response import ModelResponse
from agno.team import Team
from agno.tools import tool
from agno.tools.function import FunctionCall

from hubwire import Event, Hub, HubThread
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.agno import AgnoRecorder, from_agno, record, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Agno's own code


class Scripted(Model):
    """A model that gives these answers, one after the other."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(id="scripted", name="Scripted", provider="test")
        self.answers = list(answers)
        self.asked: list[list[Message]] = []

    def _next(self, messages: list[Message]) -> ModelResponse:
        self.asked.append(list(messages))
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        response = ModelResponse(role="assistant", response_usage=MessageMetrics(input_tokens=5, output_tokens=3))
        if isinstance(given, str):
            response.content = given
        else:
            response.tool_calls = given
        return response

    def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._next(kwargs["messages"])

    async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._next(kwargs["messages"])

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        whole = self._next(kwargs["messages"])
        for piece in (whole.content or "").split():
            yield ModelResponse(content=f"{piece} ")
        whole.content = None
        yield whole

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        for each in self.invoke_stream(*args, **kwargs):
            yield each

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]


def calls(*given: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"id": f"call-{name}-{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(said)}}
        for number, (name, said) in enumerate(given)
    ]


def call(name: str, **arguments: Any) -> list[dict[str, Any]]:
    return calls((name, arguments))


def agent_of(*answers: Any, name: str = "coder", tools: list[Any] | None = None, **settings: Any) -> Agent:
    return Agent(name=name, model=Scripted(*answers), tools=tools or [], telemetry=False, **settings)


def lint(path: str) -> str:
    """Lint a file."""
    raise ValueError(f"no such file: {path}")


def search(query: str) -> str:
    """Search."""
    return "2 errors"


@tool(requires_confirmation=True)
def deploy(target: str) -> str:
    """Deploy."""
    return f"deployed to {target}"


def team(recorder: Recorder | None, *, asks: bool = True) -> Agent:
    coder = agent_of(call("lint", path="app.py"), call("deploy", target="staging"), ANSWER, tools=[lint, deploy])

    async def ask_coder() -> str:
        """Have the coder mend it."""
        response = await coder.arun("mend the build")
        if isinstance(recorder, AgnoRecorder) and asks:
            return str((await resume(recorder, coder, response)).content)
        for each in response.active_requirements:
            each.confirm()
        response = await coder.acontinue_run(run_response=response, requirements=response.requirements)
        return str(response.content)

    return agent_of(
        call("search", query="build log"), call("ask_coder"), ANSWER, name="planner", tools=[search, ask_coder]
    )


async def job(recorder: Recorder | None, *, asks: bool = True) -> str:
    return str((await team(recorder, asks=asks).arun("mend the build")).content)


class TestAgno(RuntimeContract):
    lacks = frozenset({"hand_over"})  # an agent calls another by a tool

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await job(recorder, asks=asks)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        response = await agent_of(ConnectionError("no model here"), name="planner").arun("go")
        assert response.status.value == "ERROR"  # Agno raises nothing
        return ConnectionError

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        async def wait() -> str:
            """Wait."""
            started.set()
            await asyncio.Event().wait()
            return "never"

        await agent_of(call("wait"), name="planner", tools=[wait]).arun("go")


async def recorded(work: Any, **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await work(recorder)
            statistics = recorder.statistics()
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert statistics.failures == 0, "the adapter has failed inside"
    check_pairs(heard.events)
    return heard.events
