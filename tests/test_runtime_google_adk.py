"""The adapter of Google's Agent Development Kit, under the framework itself on a model that is scripted."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import warnings
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

pytest.importorskip("google.adk.version", reason="Google ADK is not installed: pip install 'hubwire[google_adk]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what older versions need
    import google.adk.runners  # noqa: F401

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import InMemoryRunner
from google.adk.tools import AgentTool, FunctionTool
from google.genai import types

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.google_adk import GoogleADKRecorder, from_google_adk, record, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.refusals import check_refusals
from support.resuming import refuses

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of ADK's own code
    pytest.mark.filterwarnings("ignore:.*EXPERIMENTAL.*:UserWarning"),  # of features that it turns on by itself
]

Parts = list[types.Part]


class Scripted(BaseLlm):
    """A model that gives these answers, one after the other."""

    answers: list[Any]
    asked: list[Any]

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[LlmResponse]:
        self.asked.append(list(llm_request.contents))
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        if stream:
            for part in given:
                for piece in (part.text or "").split():
                    content = types.Content(role="model", parts=text(f"{piece} "))
                    yield LlmResponse(content=content, partial=True)
        usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=5, candidates_token_count=3)
        yield LlmResponse(content=types.Content(role="model", parts=given), usage_metadata=usage)


def call(tool: str, **arguments: Any) -> Parts:
    return [types.Part.from_function_call(name=tool, args=arguments)]


def text(said: str) -> Parts:
    return [types.Part.from_text(text=said)]


def scripted(*answers: Parts | Exception) -> Scripted:
    return Scripted(model="scripted", answers=list(answers), asked=[])


def plugins(*recorders: Recorder | None) -> list[Any]:
    return [each.plugin for each in recorders if isinstance(each, GoogleADKRecorder)]


def runner_of(agent: Any, *recorders: Recorder | None, more: list[Any] | None = None) -> InMemoryRunner:
    return InMemoryRunner(app=App(name="job", root_agent=agent, plugins=plugins(*recorders) + (more or [])))


def said(prompt: str) -> types.Content:
    return types.Content(role="user", parts=text(prompt))


async def run(runner: InMemoryRunner, message: types.Content | str, session: str = "s1", **settings: Any) -> list[Any]:
    """Run it in a session, which is made if it is not there."""
    of_user = {"app_name": "job", "user_id": "ann", "session_id": session}
    if await runner.session_service.get_session(**of_user) is None:
        await runner.session_service.create_session(**of_user)
    message = said(message) if isinstance(message, str) else message
    return [
        event async for event in runner.run_async(user_id="ann", session_id=session, new_message=message, **settings)
    ]


def confirmation(events: list[Any], *, confirmed: bool) -> types.Content:
    """The answer of the program's own dialog."""
    (request,) = [each for event in events for each in event.get_function_calls() if "confirmation" in each.name]
    response = types.FunctionResponse(id=request.id, name=request.name, response={"confirmed": confirmed})
    return types.Content(role="user", parts=[types.Part(function_response=response)])


def answer_of(events: list[Any]) -> str:
    return "".join(part.text or "" for part in events[-1].content.parts)


def search(query: str) -> str:
    return "2 errors"


def lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


def deploy(target: str) -> str:
    return f"deployed to {target}"


def recover(tool: Any, args: Any, tool_context: Any, error: Exception) -> dict[str, str]:
    return {"error": str(error)}


def team() -> LlmAgent:
    coder = LlmAgent(
        name="coder",
        model=scripted(call("lint", path="app.py"), call("deploy", target="staging"), text(ANSWER)),
        tools=[lint, FunctionTool(deploy, require_confirmation=True)],
        on_tool_error_callback=recover,
    )
    return LlmAgent(
        name="planner",
        model=scripted(call("search", query="build log"), call("transfer_to_agent", agent_name="coder")),
        tools=[search],
        sub_agents=[coder],
    )


async def job(*recorders: Recorder | None, asks: bool = True) -> str:
    runner = runner_of(team(), *recorders)
    events = await run(runner, "mend the build")
    if recorders and isinstance(recorders[0], GoogleADKRecorder) and asks:
        return answer_of(await resume(recorders[0], runner, user_id="ann", session_id="s1"))
    return answer_of(await run(runner, confirmation(events, confirmed=True)))


class TestGoogleADK(RuntimeContract):
    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await job(recorder, asks=asks)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return await job(recorder, second, asks=False)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        agent = LlmAgent(name="planner", model=scripted(ConnectionError("no model here")))
        with pytest.raises(ConnectionError) as caught:
            await run(runner_of(agent, recorder), "go")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        agent = LlmAgent(name="planner", model=scripted(call("wait")), tools=[wait])
        await run(runner_of(agent, recorder), "go")


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


def sequence(events: list[Event]) -> list[tuple[str, str, str]]:
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    return [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool")
        or event.kind in ("approval.approved", "approval.denied", "agent.switched")
    ]


async def test_the_complete_sequence_of_the_job() -> None:
    assert sequence(await recorded(job)) == [
        ("planner", "turn.started", ""),
        ("planner", "model.called", ""),
        ("planner", "model.completed", ""),
        ("planner", "tool.called", "search"),
        ("planner", "tool.completed", "search"),
        ("planner", "model.called", ""),
        ("planner", "model.completed", ""),
        ("planner", "agent.switched", ""),
        ("coder", "turn.started", ""),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "tool.called", "lint"),
        ("coder", "tool.failed", "lint"),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "turn.ended", ""),
        ("planner", "turn.ended", ""),
        ("coder", "approval.approved", "deploy"),
        ("coder", "turn.started", ""),
        ("coder", "tool.called", "deploy"),
        ("coder", "tool.completed", "deploy"),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "turn.ended", ""),
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


async def test_a_verdict_of_the_programs_own_dialog_is_recorded_before_the_call() -> None:
    events = await recorded(lambda recorder: job(recorder, asks=False))
    (approved,) = of(events, "approval.approved")
    (called,) = [event for event in of(events, "tool.called") if event.tool == "deploy"]
    assert approved.action == "deploy"
    assert approved.seq < called.seq


@pytest.mark.parametrize("by_hub", [True, False])
async def test_what_is_denied_is_never_called_and_the_model_hears_why(by_hub: bool) -> None:
    async def deny(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            if any(each.approval_id == event.approval_id for each in hub.approvals.pending()):  # type: ignore[attr-defined]
                await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]

    def burn(target: str) -> str:
        raise AssertionError("it was denied")

    model = scripted(call("burn", target="live"), text("left"))
    agent = LlmAgent(name="coder", model=model, tools=[FunctionTool(burn, require_confirmation=True)])
    heard, told = Heard(), []
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny, hub)
            runner = runner_of(agent, recorder)
            events = await run(runner, "go")
            if by_hub:
                events = await resume(recorder, runner, user_id="ann", session_id="s1")
            else:
                events = await run(runner, confirmation(events, confirmed=False))
            assert answer_of(events) == "left"
            told = [str(part.function_response.response) for part in model.asked[-1][-1].parts]
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert ("not on a Friday" in told[0]) is by_hub
    assert "rejected" in told[0]
    assert "tool.called" not in heard.kinds
    assert len(of(heard.events, "approval.denied")) == 1


async def test_another_process_asks_the_same_question() -> None:
    store = MemoryStore()
    runner = runner_of(
        LlmAgent(
            name="coder",
            model=scripted(call("deploy", target="live"), text("done")),
            tools=[FunctionTool(deploy, require_confirmation=True)],
        )
    )
    async with Hub(store) as hub, record(hub) as recorder:
        await run(runner, "go")
        with anyio.move_on_after(0.05):
            await resume(recorder, runner, user_id="ann", session_id="s1")
        await recorder.flush()
        (asked,) = hub.approvals.pending()
    async with Hub(store) as hub, record(hub) as recorder:
        (again,) = hub.approvals.pending()
        assert again.approval_id == asked.approval_id
        await hub.approvals.answer(asked.approval_id, "ann", is_passed=True)
        assert answer_of(await resume(recorder, runner, user_id="ann", session_id="s1")) == "done"
        assert await resume(recorder, runner, user_id="ann", session_id="s1") == []


async def test_what_streams_is_one_call_of_the_model() -> None:
    from google.adk.agents.run_config import RunConfig, StreamingMode

    async def work(recorder: GoogleADKRecorder) -> None:
        runner = runner_of(LlmAgent(name="coder", model=scripted(text(ANSWER))), recorder)
        events = await run(runner, "go", run_config=RunConfig(streaming_mode=StreamingMode.SSE))
        assert len([event for event in events if event.partial]) == 4

    events = await recorded(work)
    (model,) = of(events, "model.completed")
    assert (model.input_tokens, model.output_tokens) == (5, 3)
    assert of(events, "turn.ended")[0].content_preview == ANSWER


async def test_tools_at_a_time_are_told_apart() -> None:
    async def add(a: int) -> int:
        await asyncio.sleep(0.01 * (3 - a))
        return a * 10

    async def work(recorder: GoogleADKRecorder) -> None:
        agent = LlmAgent(
            name="coder",
            model=scripted(call("add", a=1) + call("add", a=2) + call("add", a=3), text("done")),
            tools=[add],
        )
        await run(runner_of(agent, recorder), "go")

    events = await recorded(work)
    arguments = {event.call_id: event.arguments["a"] for event in of(events, "tool.called")}
    results = {arguments[event.call_id]: event.result for event in of(events, "tool.completed")}
    assert {number: str(result) for number, result in results.items()} == {1: "10", 2: "20", 3: "30"}


async def test_an_agent_in_a_tool_is_recorded_once_as_part_of_its_call() -> None:
    async def work(recorder: GoogleADKRecorder) -> None:
        helper = LlmAgent(name="helper", model=scripted(text("two")))
        agent = LlmAgent(
            name="planner",
            model=scripted(call("helper", request="x") + call("search", query="y"), text("done")),
            tools=[AgentTool(helper), search],
        )
        await run(runner_of(agent, recorder), "go")

    events = await recorded(work)
    outer, inner = of(events, "turn.started")
    asked = next(event for event in of(events, "tool.called") if event.tool == "helper")
    assert inner.causation_id == asked.id
    assert outer.correlation_id == inner.correlation_id
    assert len(of(events, "turn.ended")) == 2


async def test_a_run_that_is_cancelled_after_a_transfer_has_failed_for_both() -> None:
    started = anyio.Event()

    async def wait() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    async def work(recorder: GoogleADKRecorder) -> None:
        coder = LlmAgent(name="coder", model=scripted(call("wait")), tools=[wait])
        planner = LlmAgent(
            name="planner", model=scripted(call("transfer_to_agent", agent_name="coder")), sub_agents=[coder]
        )
        task = asyncio.ensure_future(run(runner_of(planner, recorder), "go"))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])

    events = await recorded(work)
    assert len(of(events, "turn.failed")) == 2
    assert of(events, "turn.ended") == []
    (_, ended) = (event for event in events if getattr(event, "tool", "") == "wait")
    assert ended.kind in ("tool.failed", "tool.abandoned")  # ADK says so to plugins from 2.13 on


async def test_a_run_inside_a_handler_of_a_cancellation_has_ended_well() -> None:
    async def work(recorder: GoogleADKRecorder) -> None:
        runner = runner_of(LlmAgent(name="coder", model=scripted(text("bye"))), recorder)
        try:
            raise asyncio.CancelledError  # noqa: TRY301 - that is the point
        except asyncio.CancelledError:
            await run(runner, "go")

    assert len(of(await recorded(work), "turn.ended")) == 1


async def test_a_run_that_is_read_no_further_has_not_ended_well() -> None:
    async def work(recorder: GoogleADKRecorder) -> None:
        agent = LlmAgent(name="coder", model=scripted(call("search", query="x"), text("done")), tools=[search])
        runner = runner_of(agent, recorder)
        await runner.session_service.create_session(app_name="job", user_id="ann", session_id="s1")
        events = runner.run_async(user_id="ann", session_id="s1", new_message=said("go"))
        await anext(events)
        await events.aclose()

    events = await recorded(work)
    assert of(events, "turn.ended") == []


async def test_a_model_that_fails_and_is_replaced_has_failed_and_the_run_goes_on() -> None:
    async def instead(callback_context: Any, llm_request: Any, error: Exception) -> LlmResponse:
        return LlmResponse(content=types.Content(role="model", parts=text("sorry")))

    async def work(recorder: GoogleADKRecorder) -> None:
        agent = LlmAgent(
            name="coder", model=scripted(ConnectionError("no model here")), on_model_error_callback=instead
        )
        assert answer_of(await run(runner_of(agent, recorder), "go")) == "sorry"

    events = await recorded(work)
    assert [event.error_message for event in of(events, "model.failed")] == ["no model here"]
    assert of(events, "model.completed") == []
    assert len(of(events, "turn.ended")) == 1


async def test_a_tool_that_raises_ends_the_run_and_both_have_failed() -> None:
    async def work(recorder: GoogleADKRecorder) -> None:
        agent = LlmAgent(name="coder", model=scripted(call("lint", path="x")), tools=[lint])
        with pytest.raises(ValueError, match="no such file"):
            await run(runner_of(agent, recorder), "go")

    events = await recorded(work)
    assert [event.error_message for event in of(events, "tool.failed")] == ["no such file: x"]
    assert [event.error_message for event in of(events, "turn.failed")] == ["no such file: x"]


async def test_agents_side_by_side_keep_their_own_calls() -> None:
    from google.adk.agents import ParallelAgent

    async def work(recorder: GoogleADKRecorder) -> None:
        both = ParallelAgent(
            name="both",
            sub_agents=[
                LlmAgent(name=name, model=scripted(call("search", query=name), text(name)), tools=[search])
                for name in ("left", "right")
            ],
        )
        await run(runner_of(both, recorder), "go")

    events = await recorded(work)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    assert {names[e.agent_id]: e.arguments["query"] for e in of(events, "tool.called")} == {
        "left": "left",
        "right": "right",
    }
    ended = {names[event.agent_id]: event.content_preview for event in of(events, "turn.ended")}
    assert {"left": "left", "right": "right"}.items() <= ended.items()


async def test_secrets_in_arguments_are_redacted() -> None:
    def send(to: str, password: str) -> str:
        return f"sent to {to}"

    async def work(recorder: GoogleADKRecorder) -> None:
        agent = LlmAgent(
            name="coder",
            model=scripted(call("send", to="ann@example.com", password="hunter2secret"), text("done")),
            tools=[send],
        )
        await run(runner_of(agent, recorder), "mail ann@example.com")

    written = json.dumps([str(event) for event in await recorded(work, content=True)])
    assert "ann@example.com" not in written
    assert "hunter2secret" not in written


async def test_other_plugins_and_callbacks_are_called_as_without() -> None:
    class Other(BasePlugin):
        def __init__(self) -> None:
            super().__init__(name="other")
            self.heard: list[str] = []

        async def after_tool_callback(self, **given: Any) -> None:
            self.heard.append(given["tool"].name)

    heard = []
    for is_recorded in (False, True):
        other = Other()

        async def work(recorder: GoogleADKRecorder, other: Other = other, is_recorded: bool = is_recorded) -> None:
            runner = runner_of(team(), recorder if is_recorded else None, more=[other])
            await run(runner, confirmation(await run(runner, "go"), confirmed=True))

        await recorded(work)
        heard.append(other.heard)
    assert heard[0] == heard[1] == ["search", "transfer_to_agent", "lint", "deploy", "deploy"]


async def test_a_callback_that_fails_inside_does_not_end_the_run() -> None:
    async with Hub() as hub, record(hub) as recorder:
        strange: Any = object()
        await recorder.plugin.before_agent_callback(agent=strange, callback_context=strange)
        await recorder.plugin.after_model_callback(callback_context=strange, llm_response=strange)
        await recorder.plugin.before_tool_callback(tool=strange, tool_args=strange, tool_context=strange)
        assert recorder.statistics().failures == 3


async def test_a_run_in_a_thread_without_a_loop_is_recorded() -> None:
    def work(recorder: GoogleADKRecorder) -> None:
        asyncio.run(run(runner_of(LlmAgent(name="coder", model=scripted(text("done"))), recorder), "go"))

    events = await recorded(lambda recorder: asyncio.to_thread(work, recorder))
    assert len(of(events, "turn.ended")) == 1


async def test_an_agent_answers_envelopes_and_remembers_the_channel() -> None:
    model = scripted(text("one"), text("two"))
    async with Hub() as hub, record(hub) as recorder:
        await hub.spawn(from_google_adk(LlmAgent(name="coder", model=model), recorder=recorder))
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
    past = [(each.role, "".join(part.text or "" for part in each.parts)) for each in model.asked[1]]
    assert past == [("user", "ann: how many?"), ("model", "one"), ("user", "how many?")]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of ADK's tasks, whose loop is closed
async def test_a_run_whose_loop_was_closed_has_not_ended_well(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("asyncio", "opentelemetry.context"):  # pytest keeps what is logged, and the frames with it
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)

    async def begin(recorder: Recorder) -> Any:
        agent = LlmAgent(name="coder", model=scripted(call("search", query="x"), text(ANSWER)), tools=[search])
        runner = runner_of(agent, recorder)
        await runner.session_service.create_session(app_name="job", user_id="ann", session_id="s1")
        stream = runner.run_async(user_id="ann", session_id="s1", new_message=said("go"))
        await anext(stream)
        return stream

    def in_a_loop_of_its_own(recorder: Recorder) -> None:
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(begin(recorder))
        loop.close()
        del stream
        gc.collect()

    async def work(recorder: GoogleADKRecorder) -> None:
        await asyncio.to_thread(in_a_loop_of_its_own, recorder)
        await recorder.flush()
        assert recorder.statistics().open == 0, "it is open until the recorder is closed"

    events = await recorded(work)
    assert [event.reason for event in of(events, "turn.abandoned")] == ["the events of the run were read no further"]


async def test_what_a_callback_answers_in_the_agents_place_is_its_answer() -> None:
    def remember(callback_context: Any) -> types.Content:
        return types.Content(role="model", parts=text("as before"))

    async def work(recorder: GoogleADKRecorder) -> None:
        agent = LlmAgent(name="coder", model=scripted(), before_agent_callback=remember)
        assert answer_of(await run(runner_of(agent, recorder), "go")) == "as before"

    events = await recorded(work)
    assert [event.content_preview for event in of(events, "turn.ended")] == ["as before"]
    assert of(events, "model.called") == []


async def test_an_object_that_raises_what_is_no_exception_does_not_end_the_run() -> None:
    class Rude(BaseException):
        pass

    class Raising:
        def __init__(self, error: type[BaseException]) -> None:
            self.__dict__["error"] = error

        def __getattr__(self, name: str) -> Any:
            raise self.__dict__["error"]

    async with Hub() as hub, record(hub) as recorder:
        for error in (Rude, SystemExit, GeneratorExit, asyncio.CancelledError):
            context = Raising(error)
            await recorder.plugin.after_tool_callback(tool=None, tool_args={}, tool_context=context, result={})
        assert recorder.statistics().failures == 4


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_a_call_that_may_have_been_made_before_a_crash_is_not_made_again(may_repeat: bool) -> None:
    """The first process has used its approval, and was killed before its session was saved."""
    made = []

    def ship(amount: int) -> str:
        made.append(amount)
        return "shipped"

    model = scripted(call("ship", amount=3), text("done"), text("done"))
    runner = runner_of(LlmAgent(name="coder", model=model, tools=[FunctionTool(ship, require_confirmation=True)]))
    await run(runner, "go")
    saved, store = copy.deepcopy(runner.session_service.sessions), MemoryStore()
    for process in range(2):
        runner.session_service.sessions = copy.deepcopy(saved)
        async with Hub(store) as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            again = runner_of(runner.app.root_agent, recorder)
            again.session_service = runner.session_service
            events = await resume(recorder, again, user_id="ann", session_id="s1", may_repeat=may_repeat)
            assert answer_of(events) == "done"
            tasks.cancel_scope.cancel()
        assert made == ([3, 3] if may_repeat and process else [3])
    told = [str(part.function_response.response) for part in model.asked[-1][-1].parts]
    assert ("it is not made again" in told[0]) is not may_repeat


async def test_a_hub_that_ends_while_it_is_asked_denies_nothing() -> None:
    model = scripted(call("deploy", target="live"), text("done"))
    runner = runner_of(LlmAgent(name="coder", model=model, tools=[FunctionTool(deploy, require_confirmation=True)]))
    await run(runner, "go")
    async with Hub() as hub:
        resuming = asyncio.ensure_future(resume(record(hub), runner, user_id="ann", session_id="s1"))
        async for _ in hub.events(after=-1, pattern="approval.challenge_issued"):
            break
    with pytest.raises(HubClosed, match="the run still waits"):
        await resuming
    assert len(model.asked) == 1, "it was told of a denial"


async def test_resume_says_what_it_takes() -> None:
    async with Hub() as hub, record(hub) as recorder:
        given: Any
        for given in (None, 3, "runner"):
            with pytest.raises(ConfigurationError, match="is no Runner of google-adk"):
                await resume(recorder, given, user_id="ann", session_id="s1")
            with pytest.raises(ConfigurationError, match="is no recorder"):
                await resume(given, given, user_id="ann", session_id="s1")


async def test_resume_refuses_what_is_wrong_in_any_argument() -> None:
    async with Hub() as hub, record(hub) as recorder:
        runner = runner_of(LlmAgent(name="coder", model=scripted(text("ok"))), recorder)
        good = {"recorder": recorder, "runner": runner, "user_id": "ann", "session_id": "s1", "may_repeat": False}
        assert await resume(**good) == []
        await refuses(resume, good, texts=("user_id", "session_id"))


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    agent = LlmAgent(name="coder", model=scripted(text("one")))
    check_refusals(from_google_adk, "an agent of Google ADK", agent, LlmAgent)
