"""The adapter of openai-agents, under the SDK itself and its own scripted model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from hubwire import Hub, HubThread
from hubwire.runtimes import Recorder, openai_agents
from hubwire.testing import RuntimeContract

agents = pytest.importorskip("agents", reason="openai-agents is in an extra of its own: hubwire[openai_agents]")
from agents.testing import ScriptedModel, assistant_message, function_call  # noqa: E402

USAGE = agents.Usage(requests=1, input_tokens=11, output_tokens=3, total_tokens=14)


@pytest.fixture(autouse=True)
def no_exporter() -> None:
    """No trace leaves the process; the adapter is to find its way into the list by itself."""
    agents.set_trace_processors([])


def call(tool: str, call_id: str, **arguments: Any) -> Any:
    return function_call(tool, arguments, call_id=call_id)


def scripted(*steps: Any, emits: bool = False) -> Any:
    return ScriptedModel(list(steps), default_usage=USAGE, emit_traces=emits)


@agents.function_tool
def search(query: str) -> str:
    assert query == "build log"
    return "2 errors"


@agents.function_tool
async def lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


@agents.function_tool(needs_approval=True)
async def deploy(target: str) -> str:
    return f"deployed to {target}"


def team(emits: bool = False, **settings: Any) -> Any:
    """Return the planner of the job, with models that follow its script."""
    coder = agents.Agent(
        name="coder",
        tools=[lint, deploy],
        model=scripted(
            [call("lint", "c2", path="app.py")],
            [call("deploy", "c3", target="staging")],
            [assistant_message("The build is green.")],
            emits=emits,
        ),
    )
    return agents.Agent(
        name="planner",
        tools=[search],
        handoffs=[coder],
        model=scripted([call("search", "c1", query="build log")], [call("transfer_to_coder", "c9")], emits=emits),
    )


async def approved(planner: Any, result: Any) -> Any:
    """Approve what waits, in the runtime's own way, and run on."""
    while result.interruptions:
        state = result.to_state()
        for item in state.get_interruptions():
            state.approve(item)
        result = await agents.Runner.run(planner, state)
    return result


class TestOpenAIAgents(RuntimeContract):
    lacks = frozenset({"error_text"})

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return openai_agents.record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        planner = team()
        result = await agents.Runner.run(planner, "mend the build")
        if recorder is not None and asks:
            result = await openai_agents.resume(recorder, planner, result)
        else:
            result = await approved(planner, result)
        return str(result.final_output)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        planner = agents.Agent(name="planner", model=scripted(ConnectionError("no model here")))
        with pytest.raises(ConnectionError) as raised:
            await agents.Runner.run(planner, "mend the build")
        return raised.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        @agents.function_tool
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return ""

        planner = agents.Agent(name="planner", tools=[wait], model=scripted([call("wait", "w1")]))
        await agents.Runner.run(planner, "wait")
