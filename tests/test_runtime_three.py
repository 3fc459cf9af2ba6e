"""Three frameworks in one channel: each agent is in its own, on that framework's double of a model."""

# mypy: disable-error-code="no-any-return, untyped-decorator"
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents.testing", reason="openai-agents is in an extra: pip install 'hubwire[openai_agents]'")
pytest.importorskip("langgraph", reason="LangGraph is in an extra: pip install 'hubwire[langgraph]'")
pytest.importorskip("pydantic_ai", reason="Pydantic AI is in an extra: pip install 'hubwire[pydantic-ai]'")

from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState, StateGraph
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from hubwire import Hub
from hubwire.context import scope
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome
from hubwire.runtimes import langgraph, openai_agents, pydantic_ai
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import check_pairs, of
from support.openai_team import agents, says, scripted

EXAMPLE = Path(__file__).parents[1] / "examples" / "agents_of_three_frameworks.py"
SOURCES = ("langgraph", "openai-agents", "pydantic-ai")


class Team:
    """A planner in Pydantic AI, a coder in openai-agents and a tester in LangGraph, and what each has read."""

    def __init__(self, recorder: Any = None) -> None:
        self.read: dict[str, list[str]] = {"planner": [], "tester": []}
        capabilities = [] if recorder is None else [recorder.capability]
        self.planner = Agent(FunctionModel(self.plan), name="planner", capabilities=capabilities)
        self.coder = agents.Agent(name="coder", model=scripted(*[[says(f"change {number}")] for number in (1, 2)]))
        graph = StateGraph(MessagesState).add_node("test", self.test).set_entry_point("test")
        self.tester = graph.compile(name="tester")

    def plan(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        for message in messages:
            for part in message.parts:
                if isinstance(part, UserPromptPart | TextPart):
                    who = "user" if isinstance(message, ModelRequest) else "assistant"
                    self.read["planner"].append(f"{who}: {part.content}")
        return ModelResponse(parts=[TextPart("a plan")])

    def test(self, state: Any) -> Any:
        self.read["tester"] += [f"{each.type}: {each.content}" for each in state["messages"]]
        return {"messages": [AIMessage("all green")]}

    def actors(self) -> list[Any]:
        return [
            pydantic_ai.from_pydantic_ai(self.planner),
            openai_agents.from_openai_agents(self.coder),
            langgraph.from_langgraph(self.tester),
        ]


async def test_agents_of_three_frameworks_talk_in_one_channel() -> None:
    heard, audit = Heard(), AuditLog(MemoryStore())
    async with Hub(MemoryStore()) as hub:
        hub.attach(heard)
        hub.attach(audit)
        async with (
            pydantic_ai.record(hub) as recorder,
            openai_agents.record(hub) as other,
            langgraph.record(hub) as third,
        ):
            team = Team(recorder)
            members = [(await hub.spawn(actor)).agent for actor in team.actors()]
            ann = await hub.agents.register("ann")
            channel = await hub.channels.open([ann, *members], type="discussion", knobs={"rounds_max": 2})
            with scope(correlation_id="order-1"):
                await channel.post(ann, "build it")
                await heard.wait_for("envelope.posted", count=4)
                await channel.post(ann, "again")
            await channel.ended()
            for each in (recorder, other, third):
                await each.flush()
        await hub.flush()
        said = [f"{entry.name}: {entry.event.content}" for entry in await channel.history()]  # type: ignore[attr-defined]
        assert hub.health().healthy, hub.health().problems
    one_round = ["planner: a plan", "coder: change {}", "tester: all green"]
    assert said == [
        *("ann: build it", *(each.format(1) for each in one_round)),
        *("ann: again", *(each.format(2) for each in one_round)),
    ]
    check_each_has_read_the_others(team)
    check_what_is_recorded(heard)
    verdict = await audit.verify()
    assert verdict.integrity.outcome is Outcome.HOLDS


def check_each_has_read_the_others(team: Team) -> None:
    assert team.read["planner"] == [
        "user: build it",
        *("user: ann: build it", "assistant: a plan", "user: coder: change 1", "user: tester: all green"),
        "user: again",
    ]
    assert team.read["tester"][3:] == [
        *("human: ann: build it", "human: planner: a plan", "human: coder: change 1", "ai: all green"),
        *("human: ann: again", "human: planner: a plan", "human: change 2"),
    ]
    assert team.coder.model.last_call.input[-3:] == [
        {"role": "user", "content": "tester: all green"},
        {"role": "user", "content": "ann: again"},
        {"role": "user", "content": "a plan"},
    ]


def check_what_is_recorded(heard: Heard) -> None:
    check_pairs([each for each in heard.events if each.source in SOURCES])
    begun = of(heard.events, "turn.started")
    outer = {each.turn_id: each for each in begun if each.source is None}
    inner = [each for each in begun if each.source in SOURCES]
    assert sorted(each.source or "" for each in inner) == sorted(SOURCES * 2)
    for each in inner:
        above = outer.pop(each.metadata["parent_turn_id"])
        assert each.agent_id == above.agent_id
        assert (each.causation_id, each.channel_id) == (above.causation_id, above.channel_id)
        assert each.correlation_id == above.correlation_id == "order-1"
    models = of(heard.events, "model.completed")
    assert {each.correlation_id for each in models} == {"order-1"}


async def test_an_agent_of_one_framework_asks_that_of_another() -> None:
    async with Hub() as hub:
        team = Team()

        @team.planner.tool_plain
        async def ask_tester(what: str) -> str:
            planner, tester = hub.agents.named("planner"), hub.agents.named("tester")
            return (await hub.ask(planner, tester, what, timeout=20)).content

        def plan(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            last = messages[-1].parts[-1]
            if isinstance(last, UserPromptPart):
                return ModelResponse(parts=[ToolCallPart("ask_tester", {"what": "is it green?"})])
            return ModelResponse(parts=[TextPart(f"the tester says: {last.content}")])

        for actor in team.actors():
            await hub.spawn(actor)
        ann = await hub.agents.register("ann")
        team.planner.model = FunctionModel(plan)
        answer = await hub.ask(ann, hub.agents.named("planner"), "well?", timeout=20)
    assert answer.content == "the tester says: all green"


@pytest.mark.timeout(150)
def test_the_example_of_three_frameworks_runs_offline() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(EXAMPLE)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-4:] == [
        "ann: Why is the build red?",
        "planner: Mend the parser, then test.",
        "coder: A comma was missing.",
        "tester: 3 messages read: all green.",
    ]
    assert "openai-agents: A comma was missing." in done.stdout
