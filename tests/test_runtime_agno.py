"""The adapter of Agno, under the framework itself on a model that is scripted."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

pytest.importorskip("agno", reason="Agno is not installed: pip install 'hubwire[agno]'")

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.base import Model
from agno.models.message import Message, MessageMetrics
from agno.models.response import ModelResponse
from agno.team import Team
from agno.tools import tool
from agno.tools.function import FunctionCall

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.agno import AgnoRecorder, from_agno, record, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.refusals import check_refusals
from support.resuming import refuses

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
        return response

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response


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


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(job)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    sequence = [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool") or event.kind == "approval.approved"
    ]
    assert sequence == [
        ("planner", "turn.started", ""),
        ("planner", "model.called", ""),
        ("planner", "model.completed", ""),
        ("planner", "tool.called", "search"),
        ("planner", "tool.completed", "search"),
        ("planner", "model.called", ""),
        ("planner", "model.completed", ""),
        ("planner", "tool.called", "ask_coder"),
        ("coder", "turn.started", ""),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "tool.called", "lint"),
        ("coder", "tool.failed", "lint"),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "turn.ended", ""),
        ("coder", "approval.approved", "deploy"),
        ("coder", "turn.started", ""),
        ("coder", "tool.called", "deploy"),
        ("coder", "tool.completed", "deploy"),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "turn.ended", ""),
        ("planner", "tool.completed", "ask_coder"),
        ("planner", "model.called", ""),
        ("planner", "model.completed", ""),
        ("planner", "turn.ended", ""),
    ]


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with (
        Hub(store, listeners=[AuditLog(store)]) as hub,
        record(hub) as recorder,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(approve_all, hub)
        await job(recorder)
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def test_the_methods_are_as_they_were_when_the_last_recorder_is_closed() -> None:
    before = (Agent.arun, Team.run, FunctionCall.execute, Model._invoke_with_retry)
    async with Hub() as one, Hub() as other:
        first, second = record(one), record(other)
        assert Agent.arun is not before[0]
        first.close()
        assert Agent.arun is not before[0]
        second.close()
        second.close()
    assert (Agent.arun, Team.run, FunctionCall.execute, Model._invoke_with_retry) == before


async def test_sync_tools_stay_in_threads_of_their_own() -> None:
    """Two that wait for each other would else wait for ever."""
    both = threading.Barrier(2, timeout=20)

    def meet(number: int) -> str:
        """Meet the other."""
        both.wait()
        return f"{number}"

    async def work(recorder: AgnoRecorder) -> None:
        await agent_of(calls(("meet", {"number": 1}), ("meet", {"number": 2})), "done", tools=[meet]).arun("go")

    events = await recorded(work)
    arguments = {event.call_id: event.arguments["number"] for event in of(events, "tool.called")}
    assert {arguments[event.call_id]: event.result for event in of(events, "tool.completed")} == {1: "1", 2: "2"}


@pytest.mark.parametrize("events_too", [True, False])
async def test_a_run_that_streams_is_recorded_once(events_too: bool) -> None:
    async def work(recorder: AgnoRecorder) -> None:
        agent = agent_of(call("search", query="x"), ANSWER, tools=[search])
        assert [each async for each in agent.arun("go", stream=True, stream_events=events_too)]

    events = await recorded(work)
    assert [event.input_tokens for event in of(events, "model.completed")] == [5, 5]
    assert [event.content_preview.strip() for event in of(events, "turn.ended")] == [ANSWER]
    assert [event.result for event in of(events, "tool.completed")] == ["2 errors"]


async def test_a_stream_that_is_read_no_further_has_not_ended_well() -> None:
    async def work(recorder: AgnoRecorder) -> None:
        stream = agent_of(ANSWER).arun("go", stream=True)
        await anext(stream)
        await stream.aclose()

    events = await recorded(work)
    assert of(events, "turn.ended") == of(events, "model.completed") == []


async def test_a_stream_whose_model_fails_has_failed() -> None:
    async def work(recorder: AgnoRecorder) -> None:
        async for _ in agent_of(ConnectionError("no model here")).arun("go", stream=True, stream_events=True):
            pass

    events = await recorded(work)
    assert [event.error_message for event in of(events, "turn.failed")] == ["no model here"]
    assert of(events, "turn.ended") == []


async def test_runs_without_a_loop_are_recorded() -> None:
    def work(recorder: AgnoRecorder) -> None:
        assert agent_of(call("search", query="x"), ANSWER, tools=[search]).run("go").content == ANSWER
        assert list(agent_of(call("search", query="x"), ANSWER, tools=[search]).run("go", stream=True))

    events = await recorded(lambda recorder: asyncio.to_thread(work, recorder))
    assert len(of(events, "turn.ended")) == 2
    assert [event.tool for event in of(events, "tool.completed")] == ["search", "search"]


@pytest.mark.parametrize("how", ["streamed", "awaited", "in a thread"])
async def test_members_of_a_team_work_inside_of_the_call_that_delegates(how: str) -> None:
    async def work(recorder: AgnoRecorder) -> None:
        member = agent_of("two errors", name="coder", id="coder")
        leader = Team(
            name="lead",
            model=Scripted(call("delegate_task_to_member", member_id="coder", task="count"), ANSWER),
            members=[member],
            telemetry=False,
        )
        if how == "streamed":
            assert [each async for each in leader.arun("go", stream=True, stream_events=True)]
        elif how == "in a thread":
            assert (await asyncio.to_thread(leader.run, "go")).content == ANSWER
        else:
            assert (await leader.arun("go")).content == ANSWER

    events = await recorded(work)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    outer, inner = of(events, "turn.started")
    (delegated,) = of(events, "tool.called")
    assert (names[outer.agent_id], names[inner.agent_id]) == ("lead", "coder")
    assert inner.causation_id == delegated.id
    assert of(events, "turn.ended")[0].seq < of(events, "tool.completed")[0].seq
    assert [event.content_preview.strip() for event in of(events, "turn.ended")] == ["two errors", ANSWER]


async def deny(hub: Hub) -> None:
    async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
        if any(each.approval_id == event.approval_id for each in hub.approvals.pending()):  # type: ignore[attr-defined]
            await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]


@pytest.mark.parametrize("by_hub", [True, False])
async def test_what_is_denied_is_never_called_and_the_model_hears_why(by_hub: bool) -> None:
    agent = agent_of(call("deploy", target="live"), "left", tools=[deploy])
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny, hub)
            response = await agent.arun("go")
            if by_hub:
                response = await resume(recorder, agent, response)
            else:
                response.active_requirements[0].reject(note="not on a Friday")
                response = await agent.acontinue_run(run_response=response, requirements=response.requirements)
            assert response.content == "left"
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert any("not on a Friday" in str(each.content) for each in agent.model.asked[-1])
    assert "tool.called" not in heard.kinds
    (denied,) = of(heard.events, "approval.denied")
    assert denied.reason == "not on a Friday"


async def test_another_process_asks_the_same_question() -> None:
    store = MemoryStore()
    agent = agent_of(call("deploy", target="live"), "done", tools=[deploy])
    response = await agent.arun("go")
    async with Hub(store) as hub, record(hub) as recorder:
        with anyio.move_on_after(0.05):
            await resume(recorder, agent, response)
        await recorder.flush()
        (asked,) = hub.approvals.pending()
    async with Hub(store) as hub, record(hub) as recorder:
        (again,) = hub.approvals.pending()
        assert again.approval_id == asked.approval_id
        await hub.approvals.answer(asked.approval_id, "ann", is_passed=True)
        assert (await resume(recorder, agent, response)).content == "done"


async def test_secrets_in_arguments_are_redacted() -> None:
    def send(to: str, password: str) -> str:
        """Send a mail."""
        return f"sent to {to}"

    async def work(recorder: AgnoRecorder) -> None:
        agent = agent_of(call("send", to="ann@example.com", password="hunter2secret"), "done", tools=[send])
        await agent.arun("mail ann@example.com")

    written = json.dumps([str(event) for event in await recorded(work, content=True)])
    assert "ann@example.com" not in written
    assert "hunter2secret" not in written


async def test_an_agent_answers_envelopes_and_remembers_the_channel() -> None:
    agent = agent_of("one", "two")
    async with Hub() as hub, record(hub) as recorder:
        await hub.spawn(from_agno(agent))
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
    past = [(each.role, each.content) for each in agent.model.asked[1] if each.role != "system"]
    assert past == [("user", "ann: how many?"), ("assistant", "one"), ("user", "how many?")]


async def test_a_stream_whose_loop_was_closed_has_not_ended_well() -> None:
    """A loop closes its generators where it is run by `asyncio.run`, and nowhere else."""

    async def begin() -> Any:
        stream = agent_of(ANSWER).arun("go", stream=True)
        await anext(stream)
        return stream

    def in_a_loop_of_its_own() -> None:
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(begin())
        loop.close()
        del stream

    async def work(recorder: AgnoRecorder) -> None:
        await asyncio.to_thread(in_a_loop_of_its_own)
        await recorder.flush()
        assert recorder.statistics().open == 0, "it is open until the recorder is closed"

    events = await recorded(work)
    (abandoned,) = of(events, "turn.abandoned")
    assert abandoned.reason == "what it yields was read no further"
    assert len(of(events, "model.abandoned")) == 1


async def test_what_a_reader_throws_into_a_stream_reaches_agno() -> None:
    async def work(recorder: AgnoRecorder | None) -> list[str]:
        said = []
        stream = agent_of(ANSWER).arun("go", stream=True)
        await anext(stream)
        said.append((await stream.athrow(ValueError("enough"))).event)
        blocking = agent_of(ANSWER).run("go", stream=True)
        next(blocking)
        said.append(blocking.throw(ValueError("enough")).event)
        await stream.aclose()
        blocking.close()
        if recorder is not None:
            await recorder.flush()
            assert recorder.statistics().open == 0
        return said

    without = await work(None)
    heard: list[Any] = []

    async def with_one(recorder: AgnoRecorder) -> None:
        heard.extend(await work(recorder))

    events = await recorded(with_one)
    assert heard == without == ["RunError", "RunError"]
    assert of(events, "turn.ended") == []


async def test_a_run_in_the_background_ends_when_it_has_ended() -> None:
    background = pytest.importorskip("agno.run.background", reason="Agno tells the end of them since 3.1")

    async def work(recorder: AgnoRecorder) -> None:
        agent = agent_of(call("search", query="x"), ANSWER, tools=[search], db=InMemoryDb())
        response = await agent.arun("go", background=True)
        assert response.status.value == "PENDING"
        failing = await agent_of(ConnectionError("no model"), db=InMemoryDb()).arun("go", background=True)
        await background.await_background_runs()
        assert (response.content, failing.status.value) == (ANSWER, "ERROR")

    events = await recorded(work)
    (started, _), (ended,) = of(events, "turn.started"), of(events, "turn.ended")
    assert (ended.turn_id, ended.content_preview) == (started.turn_id, ANSWER)
    assert {event.turn_id for event in of(events, "tool.completed")} == {started.turn_id}
    assert [event.seq < ended.seq for event in of(events, "tool.completed")] == [True]
    assert len(of(events, "turn.failed")) == 1


async def test_a_class_of_the_programs_own_is_a_team_too() -> None:
    class Crew(Team):
        pass

    async def work(recorder: AgnoRecorder) -> None:
        for answer in (ANSWER, ConnectionError("no model here")):
            crew = Crew(name="crew", model=Scripted(answer), members=[agent_of("x")], telemetry=False)
            assert [each async for each in crew.arun("go", stream=True)]

    events = await recorded(work)
    assert [event.content_preview.strip() for event in of(events, "turn.ended")] == [ANSWER]
    assert [event.error_message for event in of(events, "turn.failed")] == ["no model here"]


async def test_a_model_that_raises_stop_iteration_has_failed() -> None:
    class Stopping(Scripted):
        def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
            raise StopIteration("no more")

    def work(recorder: AgnoRecorder) -> None:
        Agent(name="coder", model=Stopping(), telemetry=False).run("go")

    events = await recorded(lambda recorder: asyncio.to_thread(work, recorder))
    assert [event.error_type for event in of(events, "model.failed")] == ["StopIteration"]


async def test_what_others_have_wrapped_meanwhile_records_once() -> None:
    before = Agent.arun
    async with Hub() as hub:
        first = record(hub)
        ours: Any = Agent.arun

        def others(self: Agent, *args: Any, **kwargs: Any) -> Any:
            return ours(self, *args, **kwargs)

        setattr(Agent, "arun", others)  # noqa: B010 - as a library that traces does
        await first.aclose()
    try:
        events = await recorded(lambda _: agent_of(ANSWER).arun("go"))
    finally:
        setattr(Agent, "arun", before)  # noqa: B010
    assert len(of(events, "turn.started")) == 1


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_a_call_that_may_have_been_made_before_a_crash_is_not_made_again(may_repeat: bool) -> None:
    """The first process has used its approval, and was killed before it has saved what came of it."""
    made = []

    @tool(requires_confirmation=True)
    def ship(amount: int) -> str:
        """Ship."""
        made.append(amount)
        return "shipped"

    agent = agent_of(call("ship", amount=3), "done", tools=[ship])
    saved = await agent.arun("go")
    store = MemoryStore()
    for process in range(2):
        agent.model = Scripted("done")
        response = copy.deepcopy(saved)
        async with Hub(store) as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            assert (await resume(recorder, agent, response, may_repeat=may_repeat)).content == "done"
            tasks.cancel_scope.cancel()
        assert made == ([3, 3] if may_repeat and process else [3])
    if not may_repeat:
        assert any("it is not made again" in str(each.content) for each in agent.model.asked[-1])


async def test_a_hub_that_ends_while_it_is_asked_denies_nothing() -> None:
    agent = agent_of(call("deploy", target="live"), "done", tools=[deploy])
    response = await agent.arun("go")
    async with Hub() as hub:
        resuming = asyncio.ensure_future(resume(record(hub), agent, response))
        async for _ in hub.events(after=-1, pattern="approval.challenge_issued"):
            break
    with pytest.raises(HubClosed, match="the run still waits"):
        await resuming
    assert response.is_paused
    assert not response.active_requirements[0].is_resolved()


@pytest.mark.parametrize("given", [None, 3, "run", {"is_paused": True}])
async def test_resume_says_what_it_takes(given: Any) -> None:
    async with Hub() as hub, record(hub) as recorder:
        with pytest.raises(ConfigurationError, match=r"what agent\.run\(\) or arun\(\) has returned"):
            await resume(recorder, agent_of(), given)
        with pytest.raises(ConfigurationError, match="is no recorder"):
            await resume(given, agent_of(), given)


async def test_resume_refuses_what_is_wrong_in_any_argument() -> None:
    async with Hub() as hub, record(hub) as recorder:
        agent = agent_of("ok")
        good = {"recorder": recorder, "agent": agent, "response": await agent.arun("go"), "may_repeat": False}
        assert await resume(**good) is good["response"]
        await refuses(resume, good)


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    check_refusals(from_agno, "an Agent or a Team of agno", agent_of("one"), Agent)
