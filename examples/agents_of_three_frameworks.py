"""Agents of three frameworks discuss in one channel. Runs offline: their models are the frameworks' own doubles.

Needs ``pip install 'hubwire[pydantic-ai,openai_agents,langgraph]'``. Your models go where the doubles are.
"""

from __future__ import annotations

import asyncio
from typing import Any

import agents
from agents.testing import ScriptedModel, assistant_message
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState, StateGraph
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from hubwire import Hub
from hubwire.runtimes import langgraph, openai_agents, pydantic_ai

agents.set_trace_processors([])  # its traces do not leave this machine


def check(state: Any) -> Any:
    return {"messages": [AIMessage(f"{len(state['messages'])} messages read: all green.")]}


async def main() -> None:
    async with (
        Hub() as hub,
        pydantic_ai.record(hub) as recorder,
        openai_agents.record(hub),
        langgraph.record(hub) as graphs,
    ):
        planner = Agent(
            TestModel(custom_output_text="Mend the parser, then test."),
            name="planner",
            capabilities=[recorder.capability],
        )
        coder = agents.Agent(name="coder", model=ScriptedModel([[assistant_message("A comma was missing.")]]))
        tester = StateGraph(MessagesState).add_node("check", check).set_entry_point("check").compile(name="tester")
        for actor in (
            pydantic_ai.from_pydantic_ai(planner),
            openai_agents.from_openai_agents(coder),
            langgraph.from_langgraph(tester),
        ):
            await hub.spawn(actor)
        ann = await hub.agents.register("ann")

        @hub.on("turn.ended")
        async def show(event: Any) -> None:
            if event.source:  # a run of a framework; the turn of the hub around it has none
                print(f"{event.source}: {event.content}")

        team = [hub.agents.named(name) for name in ("planner", "coder", "tester")]
        channel = await hub.channels.open([ann, *team], type="discussion", knobs={"rounds_max": 1})
        await channel.post(ann, "Why is the build red?")
        print("closed:", (await channel.ended()).reason)
        await graphs.flush()  # what it has still to tell
        await hub.flush()
        for entry in await channel.history():
            said: Any = entry.event
            print(f"{entry.name}: {said.content}")


asyncio.run(main())
