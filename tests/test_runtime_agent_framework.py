"""The adapter of Microsoft Agent Framework, under the framework itself on a double that runs its own layers."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest

pytest.importorskip(
    "agent_framework", reason="Agent Framework is not installed: pip install 'hubwire[agent_framework]'"
)

from agent_framework import (
    Agent,
    AgentSession,
    ChatMiddleware,
    FunctionMiddleware,
    Message,
    MiddlewareTermination,
    tool,
)
from agent_framework.exceptions import UserInputRequiredException

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.agent_framework import AgentFrameworkRecorder, from_agent_framework, record, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.agent_framework_team import Scripted, call, deploy, middleware, say, team
from support.refusals import check_refusals
from support.resuming import refuses


class TestAgentFramework(RuntimeContract):
    lacks = frozenset({"hand_over"})  # an agent calls another by a tool

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return str((await team(recorder, asks=asks).run("mend the build")).text)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return str((await team(recorder, second, asks=False).run("mend the build")).text)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        agent: Any = Agent(Scripted(ConnectionError("no model here")), name="planner", middleware=middleware(recorder))
        with pytest.raises(ConnectionError) as caught:
            await agent.run("go")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        @tool
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        agent: Any = Agent(Scripted([call("wait")]), name="planner", tools=[wait], middleware=middleware(recorder))
        await agent.run("go")


Work = Callable[[AgentFrameworkRecorder], Awaitable[object]]


async def recorded(work: Work, *, answering: Callable[[Hub], Any] = approve_all, **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(answering, hub)
            await work(recorder)
            tasks.cancel_scope.cancel()
        assert recorder.statistics().failures == 0
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


def said(events: Sequence[Event]) -> list[tuple[str, str, str]]:
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    return [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool")
        or event.kind in ("approval.approved", "approval.denied")
    ]


def agent_of(recorder: AgentFrameworkRecorder, client: Scripted, *tools: Any, name: str = "coder") -> Any:
    return Agent(client, name=name, tools=list(tools), middleware=[*recorder.middleware])


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(lambda recorder: team(recorder).run("mend the build"))
    assert said(events) == [
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
    waited = of(events, "turn.ended")[0]
    assert waited.content == {"waits_for_approval": ("deploy",)}
    assert of(events, "model.completed")[0].model == "scripted"
    assert of(events, "model.completed")[0].output_tokens == 3


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with (
        Hub(store, listeners=[AuditLog(store)]) as hub,
        record(hub) as recorder,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(approve_all, hub)
        await team(recorder).run("mend the build")
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


# -- streams --


async def test_a_nested_agent_that_is_streamed_is_recorded_while_it_runs() -> None:
    """``as_tool`` streams its agent: middleware gets a stream before the first call of the model."""

    async def work(recorder: AgentFrameworkRecorder) -> None:
        coder = agent_of(recorder, Scripted([call("look")], [say("It is "), say("green.")]), look)
        planner = agent_of(
            recorder, Scripted([call("coder", task="mend")], [say("done")]), coder.as_tool(), name="planner"
        )
        assert (await planner.run("go")).text == "done"

    @tool
    def look() -> str:
        return "seen"

    events = await recorded(work)
    assert said(events) == [
        ("planner", "turn.started", ""),
        ("planner", "model.called", ""),
        ("planner", "model.completed", ""),
        ("planner", "tool.called", "coder"),
        ("coder", "turn.started", ""),
        ("coder", "model.called", ""),
        ("coder", "model.progressed", ""),
        ("coder", "model.completed", ""),
        ("coder", "tool.called", "look"),
        ("coder", "tool.completed", "look"),
        ("coder", "model.called", ""),
        ("coder", "model.progressed", ""),
        ("coder", "model.completed", ""),
        ("coder", "turn.ended", ""),
        ("planner", "tool.completed", "coder"),
        ("planner", "model.called", ""),
        ("planner", "model.completed", ""),
        ("planner", "turn.ended", ""),
    ]
    inner, outer = of(events, "turn.started")[1], of(events, "turn.started")[0]
    assert inner.metadata["parent_turn_id"] == outer.turn_id
    assert of(events, "turn.ended")[0].content == "It is green."
    assert [event.input_tokens for event in of(events, "model.completed")] == [11, 11, 11, 11]


async def test_a_stream_is_recorded_once_and_read_as_without() -> None:
    async def read(recorder: AgentFrameworkRecorder | None) -> tuple[list[str], str, int]:
        client = Scripted([say("The "), say("build "), say("is green.")])
        agent: Any = Agent(client, name="coder", middleware=middleware(recorder))
        stream = agent.run("go", stream=True)
        pieces = [update.text async for update in stream]
        return pieces, (await stream.get_final_response()).text, client.streamed

    answers: list[Any] = []

    async def work(recorder: AgentFrameworkRecorder) -> None:
        answers.append(await read(recorder))

    events = await recorded(work)
    assert answers == [await read(None)]
    assert len(of(events, "model.completed")) == len(of(events, "turn.ended")) == 1
    assert of(events, "turn.ended")[0].content == ANSWER


async def test_nothing_is_switched_to_streaming() -> None:
    client = Scripted([say("done")])
    await recorded(lambda recorder: agent_of(recorder, client).run("go"))
    assert client.streamed == 0


async def test_a_stream_that_fails_has_failed() -> None:
    async def work(recorder: AgentFrameworkRecorder) -> None:
        agent = agent_of(recorder, Scripted([say("The "), ConnectionError("it broke")]))
        with pytest.raises(ConnectionError, match="it broke"):
            async for _ in agent.run("go", stream=True):
                pass

    events = await recorded(work)
    assert [event.error_message for event in of(events, "model.failed")] == ["it broke"]
    assert [event.error_message for event in of(events, "turn.failed")] == ["it broke"]


async def test_a_stream_that_is_closed_before_its_end_has_not_ended() -> None:
    async def work(recorder: AgentFrameworkRecorder) -> None:
        agent = agent_of(recorder, Scripted([say("The "), say("build")]))
        stream = agent.run("go", stream=True)
        async for _ in stream:
            break
        await stream.close()

    events = await recorded(work)
    assert of(events, "turn.ended") == of(events, "model.completed") == []
    assert len(of(events, "turn.abandoned")) == len(of(events, "model.abandoned")) == 1


async def test_streams_that_are_dropped_leave_nothing_open() -> None:
    async def work(recorder: AgentFrameworkRecorder) -> None:
        agent = agent_of(recorder, Scripted(*[[say("The "), say("build")]] * 3))
        for _ in range(3):
            stream = agent.run("go", stream=True)
            async for _update in stream:
                break
            del stream
        while recorder.statistics().open:  # generators that are dropped are closed by the loop
            gc.collect()
            await asyncio.sleep(0)

    events = await recorded(work)
    assert of(events, "turn.ended") == []
    assert len(of(events, "turn.abandoned")) == 3


async def test_options_that_raise_when_they_are_read_do_no_harm() -> None:
    class Odd(BaseException):
        pass

    class Model:
        def __str__(self) -> str:
            raise Odd

    async with Hub() as hub, record(hub) as recorder:
        agent = agent_of(recorder, Scripted([say("done")]))
        assert (await agent.run("go", options={"model": Model()})).text == "done"
        assert recorder.statistics().failures == 1


# -- tools --


async def test_tools_at_a_time_are_told_apart() -> None:
    @tool
    async def add(a: int) -> int:
        await asyncio.sleep(0.01 * (3 - a))
        return a * 10

    client = Scripted([call("add", f"call-{n}", a=n) for n in (1, 2, 3)], [say("done")])
    events = await recorded(lambda recorder: agent_of(recorder, client, add).run("go"))
    arguments = {event.call_id: event.arguments["a"] for event in of(events, "tool.called")}
    results = {arguments[event.call_id]: event.result for event in of(events, "tool.completed")}
    assert results == {1: "10", 2: "20", 3: "30"}
    assert set(arguments) == {"call-1", "call-2", "call-3"}


async def test_sync_tools_stay_in_their_threads_and_agents_in_them_belong_to_them() -> None:
    import threading

    where: list[bool] = []

    async def work(recorder: AgentFrameworkRecorder) -> None:
        @tool
        def ask() -> str:
            where.append(threading.current_thread() is threading.main_thread())
            return str(asyncio.run(agent_of(recorder, Scripted([say("inner")]), name="inner").run("go")).text)

        await agent_of(recorder, Scripted([call("ask")], [say("done")]), ask).run("go")

    events = await recorded(work)
    assert where == [False]
    outer, inner = of(events, "turn.started")
    assert inner.metadata["parent_turn_id"] == outer.turn_id


async def test_what_other_middleware_forbids_was_never_called() -> None:
    class Forbids(FunctionMiddleware):
        async def process(self, context: Any, call_next: Any) -> None:
            context.result = "forbidden"
            raise MiddlewareTermination("forbidden")

    async def work(recorder: AgentFrameworkRecorder) -> None:
        agent: Any = Agent(
            Scripted([call("burn")], [say("done")]), tools=[burn], middleware=[*recorder.middleware, Forbids()]
        )
        await agent.run("go")

    @tool
    def burn() -> str:
        raise AssertionError("it was forbidden")

    events = await recorded(work)
    assert of(events, "tool.called") == []
    assert len(of(events, "turn.ended")) == 1


async def test_a_tool_that_needs_input_has_not_failed() -> None:
    @tool
    def ask() -> str:
        raise UserInputRequiredException(contents=[say("which one?")])

    events = await recorded(lambda recorder: agent_of(recorder, Scripted([call("ask")], [say("x")]), ask).run("go"))
    assert of(events, "tool.failed") == of(events, "tool.completed") == []


async def test_secrets_in_arguments_are_redacted() -> None:
    @tool
    def send(to: str, password: str) -> str:
        return f"sent to {to}"

    for content in (True, False):
        client = Scripted([call("send", to="ann@example.com", password="hunter2secret")], [say("done")])
        run = lambda recorder, client=client: agent_of(recorder, client, send).run("mail ann@example.com")  # noqa: E731
        text = json.dumps([str(event) for event in await recorded(run, content=content)])
        assert "ann@example.com" not in text
        assert "hunter2secret" not in text


async def test_attempts_of_other_middleware_are_seen_when_the_recorder_is_last() -> None:
    class TriesAgain(ChatMiddleware):
        async def process(self, context: Any, call_next: Any) -> None:
            try:
                await call_next()
            except ConnectionError:
                await call_next()

    async def work(recorder: AgentFrameworkRecorder) -> None:
        client = Scripted(ConnectionError("once"), [say("done")])
        agent: Any = Agent(client, middleware=[TriesAgain(), *recorder.middleware])
        assert (await agent.run("go")).text == "done"

    events = await recorded(work)
    assert [event.kind for event in events if event.kind.startswith("model.")] == [
        "model.called",
        "model.failed",
        "model.called",
        "model.completed",
    ]


# -- approvals --


async def test_what_is_denied_is_never_called_and_the_model_hears_why() -> None:
    async def deny(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]

    client = Scripted([call("deploy", target="live")], [say("left")], [say("later")])

    async def work(recorder: AgentFrameworkRecorder) -> None:
        agent = agent_of(recorder, client, deploy)
        session = agent.create_session()
        response = await agent.run("go", session=session)
        assert (await resume(recorder, agent, response, session=session)).text == "left"
        await agent.run("and now?", session=session)

    events = await recorded(work, answering=deny)
    assert of(events, "tool.called") == []
    (denied,) = of(events, "approval.denied")
    assert denied.reason == "not on a Friday"
    assert "not on a Friday" in json.dumps(client.heard[1])
    roles = [message["role"] for message in client.heard[1]]
    assert roles == ["user", "assistant", "tool"], "a call and its result stay together"


async def test_verdicts_of_the_program_are_recorded() -> None:
    async def work(recorder: AgentFrameworkRecorder) -> None:
        agent = agent_of(
            recorder,
            Scripted([call("deploy", "1", target="staging"), call("deploy", "2", target="live")], [say("done")]),
            deploy,
        )
        session = agent.create_session()
        waiting = (await agent.run("go", session=session)).user_input_requests
        answers = [waiting[0].to_function_approval_response(True), waiting[1].to_function_approval_response(False)]
        await agent.run(Message("user", answers), session=session)

    events = await recorded(work)
    (approved,), (denied,) = of(events, "approval.approved"), of(events, "approval.denied")
    (called,) = of(events, "tool.called")
    assert approved.seq < called.seq
    asked = {event.approval_id: event.arguments["target"] for event in of(events, "approval.requested")}
    assert (asked[approved.approval_id], asked[denied.approval_id]) == ("staging", "live")
    assert called.arguments == {"target": "staging"}


async def test_an_answer_that_the_framework_does_not_heed_decides_nothing() -> None:
    """Without the session that asked, an answer is ignored."""

    async def work(recorder: AgentFrameworkRecorder) -> None:
        agent = agent_of(recorder, Scripted([call("deploy", target="staging")], [say("done")]), deploy)
        (request,) = (await agent.run("go")).user_input_requests
        await agent.run(Message("user", [request.to_function_approval_response(True)]))

    events = await recorded(work)
    assert of(events, "approval.approved") == of(events, "tool.called") == []


async def test_another_process_asks_the_same_question_and_runs_it_once() -> None:
    store = MemoryStore()
    async with Hub(store) as hub, record(hub) as recorder:
        agent = agent_of(recorder, Scripted([call("deploy", target="live")]), deploy)
        session = agent.create_session()
        response = await agent.run("go", session=session)
        kept = json.dumps(session.to_dict())
        with anyio.move_on_after(0.05):
            await resume(recorder, agent, response, session=session)
        await recorder.flush()
        (asked,) = hub.approvals.pending()
    heard, client = Heard(), Scripted()
    async with Hub(store) as hub, record(hub) as recorder:
        (again,) = hub.approvals.pending()
        assert again.approval_id == asked.approval_id
        await hub.approvals.answer(asked.approval_id, "ann", is_passed=True)
        hub.attach(heard)
        for _ in range(2):
            client = Scripted([say("done")])
            agent = agent_of(recorder, client, deploy)
            session = AgentSession.from_dict(json.loads(kept))
            assert (await resume(recorder, agent, response, session=session)).text == "done"
        await recorder.flush()
        await hub.flush(timeout=30)
    assert len(of(heard.events, "tool.completed")) == 1
    assert "not made again" in json.dumps(client.heard)


async def test_a_hub_that_ends_first_has_denied_nothing() -> None:
    async with Hub() as hub:
        recorder = record(hub)
        agent = agent_of(recorder, Scripted([call("deploy", target="live")]), deploy)
        session = agent.create_session()
        response = await agent.run("go", session=session)
    with pytest.raises(HubClosed, match="deploy"):
        await resume(recorder, agent, response, session=session)
    recorder.close()


async def test_resume_without_a_session_says_what_it_needs() -> None:
    async with Hub() as hub, record(hub) as recorder:
        agent = agent_of(recorder, Scripted([call("deploy", target="live")]), deploy)
        response = await agent.run("go")
        with pytest.raises(ConfigurationError, match="create_session"):
            await resume(recorder, agent, response, session=None)


async def test_resume_refuses_what_is_wrong_in_any_argument() -> None:
    async with Hub() as hub, record(hub) as recorder:
        agent = agent_of(recorder, Scripted([say("ok")]))
        session = agent.create_session()
        response = await agent.run("go", session=session)
        good = {"recorder": recorder, "agent": agent, "response": response, "session": session, "may_repeat": False}
        assert await resume(**good) is response
        await refuses(resume, good)


# -- actors --


async def asked(hub: Hub, *questions: str) -> list[str]:
    """Return what the agent ``coder`` answers to ``ann``, one after the other."""
    ann = await hub.agents.register("ann")
    channel = await hub.channels.open([ann, hub.agents.named("coder")])
    answers = []
    for question in questions:
        await channel.post(ann, question)
        async for delivery in ann.inbox():
            await delivery.ack()
            answers.append(delivery.event.content)
            break
    return answers


async def test_an_agent_answers_envelopes_and_remembers_the_channel() -> None:
    client = Scripted([say("one")], [say("two")])
    async with Hub() as hub, record(hub) as recorder:
        await hub.spawn(from_agent_framework(agent_of(recorder, client)))
        assert await asked(hub, "how many?", "and now?") == ["one", "two"]
        await recorder.flush()
    assert [message["role"] for message in client.heard[1]] == ["user", "assistant", "user"]
    assert "ann: how many?" in json.dumps(client.heard[1][0])


async def test_an_actor_asks_the_hub_of_its_recorder_for_approval() -> None:
    client = Scripted([call("deploy", target="staging")], [say("done")])
    async with Hub() as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        tasks.start_soon(approve_all, hub)
        await hub.spawn(from_agent_framework(agent_of(recorder, client, deploy), recorder=recorder))
        assert await asked(hub, "deploy it") == ["done"]
        tasks.cancel_scope.cancel()


async def test_an_actor_without_a_recorder_says_what_it_waits_for() -> None:
    heard = Heard()
    async with Hub() as hub:
        attachment = hub.attach(heard, pattern="turn.failed")
        await attachment.ready()
        agent: Any = Agent(Scripted([call("deploy", target="staging")]), name="coder", tools=[deploy])
        actor = from_agent_framework(agent)
        await hub.spawn(actor)
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("coder")])
        await channel.post(ann, "deploy it")
        async for event in hub.events(after=-1, pattern="turn.failed"):
            assert "from_agent_framework(agent, recorder=record(hub))" in event.error_message  # type: ignore[attr-defined]
            break


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    agent: Any = Agent(Scripted(), name="coder")
    check_refusals(from_agent_framework, "an agent of agent_framework", agent, Agent)
