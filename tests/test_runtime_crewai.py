"""The adapter of CrewAI, under the framework itself on a model that is scripted."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, ClassVar

import pytest
from blockbuster import BlockBuster

if find_spec("crewai") is not None:  # for others that are tested in this process, they mean something else
    os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")
    os.environ.setdefault("CREWAI_TESTING", "true")
    os.environ.setdefault("OTEL_SDK_DISABLED", "true")

pytest.importorskip("crewai", reason="CrewAI is not installed: pip install 'hubwire[crewai]'")

from crewai import Agent, Crew, Task
from crewai.events.event_bus import CrewAIEventsBus
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.tools import tool

from hubwire import Event, Hub, HubThread
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.crewai import from_crewai, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, check_pairs, of
from support.refusals import check_refusals

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of CrewAI's own code
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # loops that it does not close
]


class Scripted(BaseLLM):
    """A model that gives these answers, one after the other, and emits events as CrewAI's own do."""

    answers: list[Any]

    def call(self, messages: Any, *args: Any, from_task: Any = None, from_agent: Any = None, **kwargs: Any) -> Any:
        with llm_call_context():
            self._emit_call_started_event(messages, from_task=from_task, from_agent=from_agent)
            given = self.answers.pop(0)
            if isinstance(given, Exception):
                self._emit_call_failed_event(str(given), from_task=from_task, from_agent=from_agent)
                raise given
            from crewai.events.types.llm_events import LLMCallType

            self._emit_call_completed_event(
                given,
                LLMCallType.LLM_CALL,
                from_task=from_task,
                from_agent=from_agent,
                usage={"prompt_tokens": 5, "completion_tokens": 3},
            )
            return given


def call(name: str, **arguments: Any) -> str:
    return f"Thought: I need it.\nAction: {name}\nAction Input: {json.dumps(arguments)}\n"


def final(said: str) -> str:
    return f"Thought: I now can give a great answer\nFinal Answer: {said}"


@tool("search")
def search(query: str) -> str:
    """Search."""
    return "2 errors"


@tool("lint")
def lint(path: str) -> str:
    """Lint a file."""
    raise ValueError(f"no such file: {path}")


@tool("deploy")
def deploy(target: str) -> str:
    """Deploy."""
    return f"deployed to {target}"


def agent_of(*answers: Any, role: str = "coder", tools: list[Any] | None = None) -> Agent:
    model = Scripted(model="scripted", answers=list(answers))
    return Agent(role=role, goal="mend", backstory="none", llm=model, tools=tools or [])


def crew_of(*agents: Agent) -> Crew:
    tasks = [Task(description=f"as {each.role}", expected_output="text", agent=each) for each in agents]
    return Crew(agents=list(agents), tasks=tasks)


async def kickoff(team: Callable[[], list[Agent]]) -> str:
    """Run a crew in a thread: CrewAI blocks, also when its agents are made."""
    return str(await asyncio.to_thread(lambda: crew_of(*team()).kickoff()))


def team() -> list[Agent]:
    planner = agent_of(call("search", query="build log"), final("2 errors"), role="planner", tools=[search])
    coder = agent_of(call("lint", path="app.py"), call("deploy", target="staging"), final(ANSWER), tools=[lint, deploy])
    return [planner, coder]


async def job(_: Recorder | None = None) -> str:
    return await kickoff(team)


class TestCrewAI(RuntimeContract):
    own_threads = ("CrewAI",)
    lacks: ClassVar = {
        "approval": "no call of a tool waits for a person",
        "hand_over": "a task follows another",
        "cancelling": "tools run in threads, which go on",
    }

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await job(recorder)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(ConnectionError) as caught:
            await kickoff(lambda: [agent_of(*[ConnectionError("no model here")] * 9, role="planner")])
        return caught.type


async def recorded(work: Any, **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder:
            await work(recorder)
            statistics = recorder.statistics()
        await hub.flush(timeout=30)
    assert statistics.failures == 0, "the adapter has failed inside"
    check_pairs(heard.events)
    return heard.events


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(job)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    sequence = [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", ""))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool")
    ]
    model = [("model.called", ""), ("model.completed", "")]
    tool_of = {
        "search": [("tool.called", "search"), ("tool.completed", "search")],
        "lint": [("tool.called", "lint"), ("tool.failed", "lint")] * 3,  # CrewAI tries it three times
        "deploy": [("tool.called", "deploy"), ("tool.completed", "deploy")],
    }
    planner = [("turn.started", ""), *model, *tool_of["search"], *model, ("turn.ended", "")]
    coder = [("turn.started", ""), *model, *tool_of["lint"], *model, *tool_of["deploy"], *model, ("turn.ended", "")]
    assert sequence == [
        ("crew", "turn.started", ""),
        *(("planner", *each) for each in planner),
        *(("coder", *each) for each in coder),
        ("crew", "turn.ended", ""),
    ]


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub, record(hub):
        await job()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def test_the_bus_is_as_it_was_when_the_last_recorder_is_closed() -> None:
    before, kickoff = CrewAIEventsBus.emit, (Crew.kickoff, Crew.akickoff, Agent.kickoff, Agent.kickoff_async)
    async with Hub() as one, Hub() as other:
        first, second = record(one), record(other)
        first.close()
        assert CrewAIEventsBus.emit is not before
        second.close()
    assert CrewAIEventsBus.emit is before
    assert (Crew.kickoff, Crew.akickoff, Agent.kickoff, Agent.kickoff_async) == kickoff


async def test_a_retry_is_a_turn_of_its_own_and_the_crew_has_failed() -> None:
    async def work(_: Recorder) -> None:
        with pytest.raises(ConnectionError):
            await kickoff(lambda: [agent_of(*[ConnectionError("no model here")] * 9, role="planner")])

    events = await recorded(work)
    assert {event.error_message for event in of(events, "turn.failed")} == {"no model here"}
    assert {event.error_message for event in of(events, "model.failed")} == {"no model here"}
    assert len(of(events, "turn.failed")) == len(of(events, "turn.started")) > 2


def cancelled_in_a_tool() -> None:
    """Cancel a crew while its tool runs, in a loop of its own."""
    started, gate = threading.Event(), threading.Event()

    @tool("wait")
    def wait() -> str:
        """Wait."""
        started.set()
        gate.wait(20)
        return "waited"

    crew = crew_of(agent_of(call("wait"), final("late"), tools=[wait]))  # CrewAI blocks where its agents are made

    async def main() -> None:
        run = asyncio.ensure_future(crew.akickoff())
        assert await asyncio.to_thread(started.wait, 20)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        gate.set()

    asyncio.run(main())


async def test_a_crew_that_is_cancelled_has_failed_and_what_its_thread_still_does_is_told(
    blockbuster: BlockBuster,
) -> None:
    blockbuster.deactivate()  # CrewAI blocks the loop that it is awaited in, under the method that is wrapped
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            await asyncio.to_thread(cancelled_in_a_tool)
            await heard.wait_for("turn.failed", count=2)
            assert recorder.statistics().open == 0, "it is told as it happens, not when the recorder is closed"
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    assert {event.error_type for event in of(heard.events, "turn.failed")} == {"CancelledError"}
    assert "turn.ended" not in heard.kinds
    assert [event.kind for event in heard.events if event.kind.startswith("tool.")] == ["tool.called", "tool.completed"]


async def test_an_agent_that_a_person_interrupts_has_failed() -> None:
    @tool("stop")
    def stop() -> str:
        """Stop."""
        raise SystemExit("stopped")

    async def work(_: Recorder) -> None:
        crew = await asyncio.to_thread(lambda: crew_of(agent_of(call("stop"), final("late"), tools=[stop])))
        raised: list[BaseException] = []

        def run() -> None:
            try:
                crew.kickoff()
            except BaseException as error:  # noqa: BLE001 - it is looked at
                raised.append(error)

        await asyncio.to_thread(run)
        assert [type(error) for error in raised] == [SystemExit]

    events = await recorded(work)
    assert {event.error_type for event in of(events, "turn.failed")} == {"SystemExit"}
    assert "turn.ended" not in [event.kind for event in events]


async def test_crews_in_threads_keep_their_own_calls() -> None:
    def search_by(name: str) -> list[Agent]:
        return [agent_of(call("search", query=name), final(name), role=name, tools=[search])]

    async def work(_: Recorder) -> None:
        await asyncio.gather(kickoff(lambda: search_by("left")), kickoff(lambda: search_by("right")))

    events = await recorded(work)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    assert sorted((names[e.agent_id], e.arguments["query"]) for e in of(events, "tool.called")) == [
        ("left", "left"),
        ("right", "right"),
    ]
    assert len({event.correlation_id for event in of(events, "tool.called")}) == 2


async def test_secrets_in_arguments_are_redacted() -> None:
    @tool("send")
    def send(to: str, password: str) -> str:
        """Send a mail."""
        return f"sent to {to}"

    async def work(_: Recorder) -> None:
        said = call("send", to="ann@example.com", password="hunter2secret")
        await kickoff(lambda: [agent_of(said, final("done"), tools=[send])])

    written = json.dumps([str(event) for event in await recorded(work, content=True)])
    assert "ann@example.com" not in written
    assert "hunter2secret" not in written


async def test_no_thread_is_started_to_hear() -> None:
    before = {each.name for each in threading.enumerate()}
    async with Hub() as hub, record(hub):
        assert not [name for name in {each.name for each in threading.enumerate()} - before if "CrewAI" in name]


async def test_an_agent_answers_envelopes_and_remembers_the_channel() -> None:
    agent = await asyncio.to_thread(agent_of, final("one"), final("two"))
    async with Hub() as hub, record(hub) as recorder:
        await hub.spawn(from_crewai(agent))
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("coder")])
        answers = []
        for _ in range(2):
            await channel.post(ann, "how many?")
            async for delivery in ann.inbox():
                await delivery.ack()
                answers.append(delivery.event.content)
                break
        await recorder.flush()
    assert answers == ["one", "two"]


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    agent = await asyncio.to_thread(agent_of, final("one"))
    check_refusals(from_crewai, "an Agent of crewai", agent, Agent)
