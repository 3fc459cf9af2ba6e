"""Agents of openai-agents whose models follow a script: those of the job in the contract of runtimes, and parts."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from hubwire import Event, Hub
from hubwire.runtimes import Recorder, openai_agents
from hubwire.testing import Recorder as Heard

agents: Any = pytest.importorskip("agents", reason="openai-agents is in an extra: pip install 'hubwire[openai_agents]'")
doubles: Any = pytest.importorskip("agents.testing", reason="openai-agents has no scripted model before 0.21")

agents.set_trace_processors([])  # no trace leaves the process

USAGE = agents.Usage(requests=1, input_tokens=11, output_tokens=3, total_tokens=14)


def call(tool: str, call_id: str, **arguments: Any) -> Any:
    """Return a call that a model makes."""
    return doubles.function_call(tool, arguments, call_id=call_id)


def says(text: str) -> Any:
    return doubles.assistant_message(text)


def scripted(*steps: Any, emits: bool = False) -> Any:
    """Return a model that takes these steps; with ``emits`` it makes spans, as those of providers do."""
    return doubles.ScriptedModel(list(steps), default_usage=USAGE, emit_traces=emits)


@agents.function_tool
def search(query: str) -> str:
    return "2 errors"


@agents.function_tool
async def lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


@agents.function_tool(needs_approval=True)
async def deploy(target: str) -> str:
    return f"deployed to {target}"


def solo(*steps: Any, tools: Sequence[Any] = (search, lint, deploy), emits: bool = False, **settings: Any) -> Any:
    """Return one agent, ``planner``, whose model takes these steps."""
    return agents.Agent(name="planner", tools=list(tools), model=scripted(*steps, emits=emits), **settings)


def team(*, emits: bool = False) -> Any:
    """Return the planner of the job, which hands over to the coder."""
    coder = agents.Agent(
        name="coder",
        tools=[lint, deploy],
        model=scripted(
            [call("lint", "c2", path="app.py")],
            [call("deploy", "c3", target="staging")],
            [says("The build is green.")],
            emits=emits,
        ),
    )
    steps = [call("search", "c1", query="build log")], [call("transfer_to_coder", "c9")]
    return solo(*steps, tools=[search], handoffs=[coder], emits=emits)


def answered(waiting: Any, *, is_passed: bool = True, **rejection: Any) -> Any:
    """Return the state of a run that waits, with the host's own verdict on all of it."""
    state = waiting.to_state() if hasattr(waiting, "to_state") else waiting
    for item in state.get_interruptions():
        if is_passed:
            state.approve(item)
        else:
            state.reject(item, **rejection)
    return state


async def approved(agent: Any, result: Any) -> Any:
    """Approve what waits in the runtime's own way, and run on until nothing does."""
    while result.interruptions:
        result = await agents.Runner.run(agent, answered(result))
    return result


@attrs.frozen
class Recorded:
    """What a hub has heard."""

    hub: Hub
    recorder: Recorder
    heard: Heard

    @property
    def events(self) -> list[Event]:
        """Those of the runtime and of approvals."""
        return [each for each in self.heard.events if each.source is not None or each.kind.startswith("approval.")]

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.events]

    def of(self, kind: str) -> list[Any]:
        return self.heard.of(kind)

    def steps(self) -> list[str]:
        """What happened, in order, each with its tool, agent or action."""
        names = {each.agent_id: each.name for each in self.heard.of("agent.registered")}
        return [f"{each.kind} {_about(each) or names.get(each.agent_id)}" for each in self.events if _counts(each.kind)]

    async def settle(self) -> None:
        """Return when all that was recorded is heard."""
        await self.recorder.flush()
        await self.hub.flush(timeout=30)


def _about(event: Any) -> str | None:
    return getattr(event, "tool", None) or getattr(event, "to_agent", None) or getattr(event, "action", None)


def _counts(kind: str) -> bool:
    family, _, last = kind.partition(".")
    return family != "approval" or last in ("requested", "approved", "denied", "used")


@asynccontextmanager
async def recorded(hub: Hub | None = None, **settings: Any) -> AsyncIterator[Recorded]:
    """Record openai-agents in a hub; when this is left, nothing is recorded any more, and all is heard."""
    async with hub or Hub() as running:
        heard = Heard()
        attachment = running.attach(heard)
        async with openai_agents.record(running, **settings) as recorder:
            yield Recorded(running, recorder, heard)
            assert recorder.statistics().failures == 0, "the adapter has failed inside"
        await running.flush(timeout=30)
        await attachment.detach()
