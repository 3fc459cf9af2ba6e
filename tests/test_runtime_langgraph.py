"""LangGraph and LangChain: what their callbacks say becomes events, and nothing false."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import anyio
import pytest

pytest.importorskip("langgraph", reason="LangGraph is not installed: pip install 'hubwire[langgraph]'")

from langchain.agents import create_agent
from langgraph.types import Command

from hubwire import Event, Hub, HubThread
from hubwire.runtimes import Recorder
from hubwire.runtimes.langgraph import record, resume
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import approve_all, check_pairs, of
from tests.support.langgraph_team import call, scripted, team

_threads = itertools.count()


def new_thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": f"thread-{next(_threads)}"}}


ASKED = {"messages": [("user", "mend the build")]}


class TestLangGraph(RuntimeContract):
    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        graph, config = team(), new_thread()
        await graph.ainvoke(ASKED, config)
        if recorder is not None and asks:
            result = await resume(recorder, graph, config)
        else:
            result = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
        return str(result["messages"][-1].content)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        agent = create_agent(scripted(), [], name="planner")  # it has no answer
        with pytest.raises(Exception) as caught:
            await agent.ainvoke(ASKED)
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        async def wait() -> str:
            """Wait."""
            started.set()
            await asyncio.Event().wait()
            return "never"

        await create_agent(scripted(call("wait")), [wait], name="planner").ainvoke(ASKED)
