"""The adapter of smolagents, under the framework itself with a model that is written in advance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("smolagents", reason="smolagents is not installed: pip install 'hubwire[smolagents]'")

from smolagents import CodeAgent, Tool, ToolCallingAgent
from smolagents.monitoring import LogLevel

from hubwire import Hub, HubThread
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.smolagents import from_smolagents, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, check_pairs, of
from support.refusals import check_refusals
from support.smolagents_team import Scripted, Streaming, agent, call, calls, deploy, done, kinds, lint, search, tool


def team() -> ToolCallingAgent:
    script = call("lint", path="app.py"), call("deploy", target="staging"), done()
    coder = agent(Scripted(*script), lint, deploy, name="coder")
    script = call("search", query="build log"), call("coder", task="mend the build"), done()
    return agent(Scripted(*script), search, managed_agents=[coder])


class TestSmolagents(RuntimeContract):
    lacks = frozenset({"approval", "hand_over", "cancelling"})  # its threads cannot be cancelled

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return str(await anyio.to_thread.run_sync(lambda: team().run("mend the build")))  # it reads files

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(Exception, match="no model here") as caught:
            await anyio.to_thread.run_sync(lambda: agent(Scripted(ConnectionError("no model here"))).run("go"))
        return caught.type


# --- what is recorded, and what is not -------------------------------------------------------------------------------


async def recorded(work: Callable[[], Any], **settings: Any) -> list[Any]:
    """Return the events of what ``work`` does in a thread."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder:
            await anyio.to_thread.run_sync(work)
            assert recorder.statistics().failures == 0
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return [event for event in heard.events if event.source == "smolagents"]


async def test_the_job_is_this_sequence() -> None:
    events = await recorded(lambda: team().run("mend the build"))
    assert kinds(events) == [
        "turn.started",
        "model.called",
        "model.completed",
        "tool.called search",
        "tool.completed search",
        "model.called",
        "model.completed",
        "tool.called coder",
        "turn.started",
        "model.called",
        "model.completed",
        "tool.called lint",
        "tool.failed lint",
        "model.called",
        "model.completed",
        "tool.called deploy",
        "tool.completed deploy",
        "model.called",
        "model.completed",
        "tool.called final_answer",
        "tool.completed final_answer",
        "turn.ended",
        "tool.completed coder",
        "model.called",
        "model.completed",
        "tool.called final_answer",
        "tool.completed final_answer",
        "turn.ended",
    ]
    assert of(events, "turn.ended")[-1].content_preview == ANSWER
    failed = of(events, "tool.failed")[0]
    assert (failed.error_type, failed.error_message) == ("ValueError", "no such file: app.py")


async def test_a_run_that_is_interrupted_has_failed() -> None:
    def work() -> None:
        stopped = agent(Scripted(call("stop"), done()), tool("stop", lambda: stopped.interrupt()))  # noqa: PLW0108 - there is no agent yet
        with pytest.raises(Exception, match="interrupted"):
            stopped.run("go")

    events = await recorded(work)
    assert kinds(events)[-1] == "turn.failed"
    assert "turn.ended" not in kinds(events)


async def test_too_many_steps_are_an_error_in_a_run_that_ends() -> None:
    def work() -> None:
        agent(Scripted(call("search", query="build log"), "gave up"), search, max_steps=1).run("go")

    events = await recorded(work)
    assert [event.error_type for event in of(events, "error.raised")] == ["AgentMaxStepsError"]
    assert kinds(events)[-1] == "turn.ended"


async def test_a_tool_that_there_is_not_was_not_called() -> None:
    events = await recorded(lambda: agent(Scripted(call("nothing"), done())).run("go"))
    assert "tool.called nothing" not in kinds(events)


async def test_parallel_calls_are_paired() -> None:
    barrier = threading.Barrier(3)

    def meet(name: str) -> str:
        barrier.wait(20)
        return name

    def work() -> None:
        several = calls(*(("meet", {"name": name}) for name in "abc"))
        agent(Scripted(several, done()), tool("meet", meet, "name")).run("go")

    events = await recorded(work)
    names = {event.call_id: event.arguments["name"] for event in of(events, "tool.called") if event.tool == "meet"}
    assert sorted(names.values()) == ["a", "b", "c"]
    assert {(names[event.call_id], event.result) for event in of(events, "tool.completed") if event.tool == "meet"} == {
        (name, name) for name in "abc"
    }


async def test_the_tools_that_code_calls_are_recorded() -> None:
    def work() -> None:
        code = "<code>\nfound = search(query='build log')\nfinal_answer(found)\n</code>"
        coder = CodeAgent(
            tools=[search], model=Scripted("<code>\nlint('app.py')\n</code>", code), verbosity_level=LogLevel.OFF
        )
        assert coder.run("go") == "2 errors"

    events = await recorded(work)
    assert [each for each in kinds(events) if each.startswith("tool.")] == [
        "tool.called search",
        "tool.completed search",
        "tool.called final_answer",
        "tool.completed final_answer",
    ]
    assert [event.error_type for event in of(events, "error.raised")] != []  # lint is no tool of this agent


async def test_a_run_that_is_taken_step_by_step_is_recorded_once() -> None:
    def work() -> None:
        steps = list(agent(Scripted(call("search", query="build log"), done()), search).run("go", stream=True))
        assert steps[-1].output == ANSWER

    events = await recorded(work)
    assert kinds(events).count("turn.started") == 1
    assert of(events, "turn.ended")[0].content_preview == ANSWER


async def test_a_run_that_is_left_in_the_middle_has_not_ended_well() -> None:
    def work() -> None:
        steps = agent(Scripted(call("search", query="build log"), done()), search).run("go", stream=True)
        next(steps)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):  # as it does without a recorder
            steps.close()

    events = await recorded(work)
    assert "turn.ended" not in kinds(events)
    assert kinds(events)[-1] == "turn.failed"


async def test_a_streamed_answer_is_folded() -> None:
    def work() -> None:
        text = "a long answer " * 20 + "<code>\nfinal_answer('x')\n</code>"
        coder = CodeAgent(tools=[], model=Streaming(text), verbosity_level=LogLevel.OFF, stream_outputs=True)
        assert coder.run("go") == "x"

    events = await recorded(work)
    assert kinds(events).count("model.progressed") == 1
    assert kinds(events).count("model.completed") == 1


async def test_what_was_wrapped_is_as_it_was() -> None:
    before = ToolCallingAgent.run, ToolCallingAgent.execute_tool_call, Tool.__call__
    model = Scripted(done(), done())
    used = await anyio.to_thread.run_sync(lambda: agent(model))
    await recorded(lambda: used.run("go"))
    assert (ToolCallingAgent.run, ToolCallingAgent.execute_tool_call, Tool.__call__) == before
    assert "generate" not in vars(model)
    assert await anyio.to_thread.run_sync(used.run, "go") == ANSWER


async def test_a_tool_that_no_agent_calls_is_not_recorded() -> None:
    assert await recorded(lambda: search(query="build log")) == []


async def test_secrets_in_arguments_are_redacted() -> None:
    def work() -> None:
        login = tool("login", lambda user, password: f"password={password}", "user", "password")
        agent(Scripted(call("login", user="ann", password="hunter2-and-more"), done()), login).run("go")

    for content in (False, True):
        events = await recorded(work, content=content)
        called = [event for event in of(events, "tool.called") if event.tool == "login"]
        assert called[0].arguments["user"] == "ann"
        assert "hunter2-and-more" not in str(called[0].arguments)


async def test_the_audit_log_of_a_job_verifies() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub, record(hub):
        await anyio.to_thread.run_sync(lambda: team().run("go"))
    assert (await AuditLog(store).verify()).holds


async def test_an_agent_answers_envelopes_with_the_channel_as_its_memory() -> None:
    model, said = Scripted(done("forty-two"), done("still forty-two")), ""
    helper = await anyio.to_thread.run_sync(lambda: agent(model, name="helper"))
    async with Hub() as hub:
        await hub.spawn(from_smolagents(helper))
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("helper")])
        for question in ("what is the answer?", "and now?"):
            await channel.post(ann, question)
            async for delivery in ann.inbox():
                await delivery.ack()
                said = str(delivery.event.content)
                break
    assert said == "still forty-two"
    assert "ann: what is the answer?" in model.asked[-1]
    assert "forty-two" in model.asked[-1]


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    helper = await anyio.to_thread.run_sync(lambda: agent(Scripted(), name="helper"))
    check_refusals(from_smolagents, "an agent of smolagents", helper, ToolCallingAgent)
