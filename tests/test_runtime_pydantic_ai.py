"""The adapter of Pydantic AI, under the framework itself on its own doubles of models."""

# mypy: disable-error-code="untyped-decorator, no-any-return"
from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

pytest.importorskip("pydantic_ai", reason="Pydantic AI is not installed: pip install 'hubwire[pydantic-ai]'")

from pydantic_ai import (
    Agent,
    ApprovalRequired,
    CallDeferred,
    DeferredToolRequests,
    DeferredToolResults,
    ModelRetry,
    ToolApproved,
    ToolDenied,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from hubwire import Event, Hub, HubThread
from hubwire.errors import CommandRejected, ConfigurationError, HubClosed
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.pydantic_ai import PydanticAIRecorder, from_pydantic_ai, record, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.refusals import check_refusals
from support.resuming import refuses

Script = list[list[Any]]


def scripted(*answers: Sequence[Any] | Exception) -> FunctionModel:
    """A model that gives these answers, one after the other: lists of parts."""
    rest = list(answers)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        given = rest.pop(0)
        if isinstance(given, Exception):
            raise given
        return ModelResponse(parts=list(given))

    return FunctionModel(answer, model_name="scripted")


def call(tool: str, **arguments: Any) -> ToolCallPart:
    return ToolCallPart(tool, arguments)


def capabilities(*recorders: Recorder | None) -> list[Any]:
    return [each.capability for each in recorders if isinstance(each, PydanticAIRecorder)]


def team(*recorders: Recorder | None, asks: bool = True) -> Agent[None, str]:
    coder = Agent(
        scripted(
            [call("lint", path="app.py")],
            [call("deploy", target="staging")],
            [TextPart(ANSWER)],
        ),
        name="coder",
        output_type=[str, DeferredToolRequests],
        capabilities=capabilities(*recorders),
    )

    @coder.tool_plain(retries=3)
    def lint(path: str) -> str:
        raise ModelRetry(f"no such file: {path}")

    @coder.tool_plain(requires_approval=True)
    async def deploy(target: str) -> str:
        return f"deployed to {target}"

    planner = Agent(
        scripted([call("search", query="build log")], [call("ask_coder")], [TextPart(ANSWER)]),
        name="planner",
        capabilities=capabilities(*recorders),
    )

    @planner.tool_plain
    def search(query: str) -> str:
        return "2 errors"

    @planner.tool_plain
    async def ask_coder() -> str:
        result: Any = await coder.run("mend the build")
        if recorders and recorders[0] is not None and asks:
            return str((await resume(recorders[0], coder, result)).output)
        calls = result.output.approvals
        answers = DeferredToolResults(approvals={each.tool_call_id: ToolApproved() for each in calls})
        result = await coder.run(message_history=result.all_messages(), deferred_tool_results=answers)
        return str(result.output)

    return planner


class TestPydanticAI(RuntimeContract):
    lacks = frozenset({"hand_over"})  # an agent calls another by a tool

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return str((await team(recorder, asks=asks).run("mend the build")).output)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return str((await team(recorder, second, asks=False).run("mend the build")).output)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        agent = Agent(scripted(ConnectionError("no model here")), name="planner", capabilities=capabilities(recorder))
        with pytest.raises(ConnectionError) as caught:
            await agent.run("go")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        agent = Agent(scripted([call("wait")]), name="planner", capabilities=capabilities(recorder))

        @agent.tool_plain
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        await agent.run("go")


async def _approved(hub: Hub, work: Any, recorder: Recorder) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(approve_all, hub)
        await work(recorder)
        tasks.cancel_scope.cancel()


async def recorded(work: Any, **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await work(recorder)
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(lambda recorder: team(recorder).run("mend the build"))
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    said = [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool") or event.kind == "approval.approved"
    ]
    assert said == [
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
        await team(recorder).run("mend the build")
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def test_a_run_waits_for_the_hub_where_that_is_wanted() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(
            scripted([call("deploy", target="staging"), call("deploy", target="live")], [TextPart("done")]),
            name="coder",
            capabilities=[recorder.capability],
        )

        @agent.tool_plain(requires_approval=True)
        def deploy(target: str) -> str:
            return f"deployed to {target}"

        assert (await agent.run("go")).output == "done"

    events = await recorded(work, asks=True)
    assert [event.arguments["target"] for event in of(events, "approval.requested")] == ["staging", "live"]
    assert len(of(events, "turn.started")) == 1
    assert len(of(events, "tool.completed")) == 2
    first = of(events, "tool.called")[0]
    assert of(events, "approval.approved")[0].seq < first.seq


async def test_what_is_denied_is_never_called_and_the_model_hears_why() -> None:
    told: list[str] = []

    async def deny(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[call("deploy", target="live")])
        told.append(str(messages[-1]))
        return ModelResponse(parts=[TextPart("left")])

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny, hub)
            agent = Agent(
                FunctionModel(answer), output_type=[str, DeferredToolRequests], capabilities=[recorder.capability]
            )

            @agent.tool_plain(requires_approval=True)
            def deploy(target: str) -> str:
                raise AssertionError("it was denied")

            result: Any = await agent.run("go")
            assert (await resume(recorder, agent, result)).output == "left"
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert "not on a Friday" in told[0]
    assert "tool.called" not in heard.kinds
    assert of(heard.events, "approval.denied")[0].reason == "not on a Friday"


async def test_another_process_asks_the_same_question() -> None:
    store = MemoryStore()
    model = scripted([call("deploy", target="live")], [TextPart("done")], [TextPart("done")])
    async with Hub(store) as hub, record(hub) as recorder:
        agent = Agent(model, output_type=[str, DeferredToolRequests], capabilities=[recorder.capability], name="coder")

        @agent.tool_plain(requires_approval=True)
        def deploy(target: str) -> str:
            return "done"

        result: Any = await agent.run("go")
        with anyio.move_on_after(0.05):
            await resume(recorder, agent, result)
        await recorder.flush()
        (asked,) = hub.approvals.pending()
    async with Hub(store) as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        (again,) = hub.approvals.pending()
        assert again.approval_id == asked.approval_id
        tasks.start_soon(resume, recorder, agent, result)
        await hub.approvals.answer(asked.approval_id, "ann", is_passed=True)


async def test_an_observer_does_not_switch_to_streaming() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(scripted([TextPart("done")]), capabilities=[recorder.capability])  # it cannot stream
        assert (await agent.run("go")).output == "done"

    (model,) = of(await recorded(work), "model.completed")
    assert model.response


async def test_a_run_that_streams_is_recorded_once() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> Any:
        for piece in ("The ", "build ", "is green."):
            yield piece

    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(FunctionModel(stream_function=stream), name="coder", capabilities=[recorder.capability])
        async with agent.run_stream("go") as result:
            assert await result.get_output() == ANSWER

    events = await recorded(work)
    assert len(of(events, "model.completed")) == 1
    assert of(events, "turn.ended")[0].content == ANSWER


async def test_tools_at_a_time_are_told_apart() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(
            scripted([call("add", a=1), call("add", a=2), call("add", a=3)], [TextPart("done")]),
            capabilities=[recorder.capability],
        )

        @agent.tool_plain
        async def add(a: int) -> int:
            await asyncio.sleep(0.01 * (3 - a))
            return a * 10

        await agent.run("go")

    events = await recorded(work)
    arguments = {event.call_id: event.arguments["a"] for event in of(events, "tool.called")}
    assert {arguments[event.call_id]: event.result for event in of(events, "tool.completed")} == {1: 10, 2: 20, 3: 30}


async def test_secrets_in_arguments_are_redacted() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(
            scripted(
                [ToolCallPart("send", '{"to": "ann@example.com", "password": "hunter2secret"}')], [TextPart("done")]
            ),
            capabilities=[recorder.capability],
        )

        @agent.tool_plain
        def send(to: str, password: str) -> str:
            return f"sent to {to}"

        await agent.run("mail ann@example.com")

    for content in (True, False):
        said = json.dumps([str(event) for event in await recorded(work, content=content)])
        assert "ann@example.com" not in said
        assert "hunter2secret" not in said


async def test_a_tool_that_raises_ends_the_run_and_both_have_failed() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(scripted([call("burn")]), capabilities=[recorder.capability])

        @agent.tool_plain
        def burn() -> str:
            raise RuntimeError("it burns")

        with pytest.raises(RuntimeError, match="it burns"):
            await agent.run("go")

    events = await recorded(work)
    assert [event.error_message for event in of(events, "tool.failed")] == ["it burns"]
    assert [event.error_message for event in of(events, "turn.failed")] == ["it burns"]


async def test_a_run_without_a_loop_is_recorded() -> None:
    def work(recorder: PydanticAIRecorder) -> str:
        agent = Agent(scripted([TextPart("done")]), name="coder", capabilities=[recorder.capability])
        loop = asyncio.new_event_loop()  # or the framework makes one that nobody closes
        asyncio.set_event_loop(loop)
        try:
            return str(agent.run_sync("go").output)
        finally:
            loop.close()

    async def in_thread(recorder: PydanticAIRecorder) -> None:
        assert await asyncio.to_thread(work, recorder) == "done"

    assert len(of(await recorded(in_thread), "turn.ended")) == 1


async def test_an_agent_answers_envelopes_and_remembers_the_channel() -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart(f"{len(messages)} messages")])

    async with Hub() as hub, record(hub) as recorder:
        await hub.spawn(
            from_pydantic_ai(Agent(FunctionModel(answer), name="coder", capabilities=[recorder.capability]))
        )
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("coder")])
        said: object = None
        for _ in range(2):
            await channel.post(ann, "how many?")
            async for delivery in ann.inbox():
                await delivery.ack()
                said = delivery.event.content
                break
        assert said == "3 messages"
        await recorder.flush()


# -- what a naive adapter says falsely --


async def test_an_unstreamed_run_keeps_the_usage_that_its_model_tells() -> None:
    """A capability with ``on_event`` would have the request streamed, and its usage estimated."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        usage = RequestUsage(input_tokens=11, output_tokens=3)
        return ModelResponse(parts=[TextPart("done")], usage=usage, model_name="counting")

    async def work(recorder: PydanticAIRecorder) -> None:
        result = await Agent(FunctionModel(answer), capabilities=[recorder.capability]).run("go")
        assert (result.usage.input_tokens, result.usage.output_tokens) == (11, 3)

    (model,) = of(await recorded(work), "model.completed")
    assert (model.input_tokens, model.output_tokens) == (11, 3)


async def test_a_cancelled_tool_stands_before_its_cancelled_run() -> None:
    """The framework tells of the run's cancellation first."""

    async def work(recorder: PydanticAIRecorder) -> None:
        started = anyio.Event()
        agent = Agent(scripted([call("wait")]), capabilities=[recorder.capability])

        @agent.tool_plain
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        task = asyncio.ensure_future(agent.run("go"))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    events = await recorded(work)
    ends = [event for event in events if event.kind in ("tool.failed", "turn.failed", "turn.ended", "tool.completed")]
    assert [event.kind for event in ends] == ["tool.failed", "turn.failed"]
    assert {event.error_type for event in ends} == {"CancelledError"}  # type: ignore[attr-defined]


async def test_each_attempt_of_a_tool_is_told() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(
            scripted([call("flaky")], [call("flaky")], [TextPart("done")]), capabilities=[recorder.capability]
        )

        @agent.tool_plain(retries=2)
        def flaky() -> str:
            attempts.append(1)
            if len(attempts) == 1:
                raise ModelRetry("once more")
            return "there"

        assert (await agent.run("go")).output == "done"

    attempts: list[int] = []
    events = await recorded(work)
    tools = [event for event in events if event.kind.startswith("tool.")]
    assert [event.kind for event in tools] == ["tool.called", "tool.failed", "tool.called", "tool.completed"]
    assert tools[1].error_message == "once more"  # type: ignore[attr-defined]


async def test_a_call_that_waits_is_not_called_and_its_run_says_so() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(
            scripted([call("deploy", target="live"), call("late")]),
            output_type=[str, DeferredToolRequests],
            capabilities=[recorder.capability],
        )

        @agent.tool_plain
        def deploy(target: str) -> str:
            raise ApprovalRequired  # it asks itself, when it is called

        @agent.tool_plain
        def late() -> str:
            raise CallDeferred

        await agent.run("go")

    events = await recorded(work)
    assert [event.kind for event in events if event.kind.startswith("tool.")] == []
    (ended,) = of(events, "turn.ended")
    assert ended.content == {"waits_for_approval": ("deploy",), "waits_for_calls": ("late",)}


async def test_verdicts_of_the_program_are_recorded() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent = Agent(
            scripted(
                [call("deploy", target="staging"), call("deploy", target="live")],
                [TextPart("done")],
                [TextPart("more")],
            ),
            name="coder",
            output_type=[str, DeferredToolRequests],
            capabilities=[recorder.capability],
        )

        @agent.tool_plain(requires_approval=True)
        def deploy(target: str) -> str:
            return f"deployed to {target}"

        result: Any = await agent.run("go")
        first, second = result.output.approvals
        answers = {first.tool_call_id: ToolApproved(), second.tool_call_id: ToolDenied("not on a Friday")}
        result = await agent.run(
            message_history=result.all_messages(), deferred_tool_results=DeferredToolResults(approvals=answers)
        )
        await agent.run("and now?", message_history=result.all_messages())

    events = await recorded(work)
    (approved,), (denied,) = of(events, "approval.approved"), of(events, "approval.denied")
    (called,) = of(events, "tool.called")
    assert approved.seq < called.seq
    assert called.arguments == {"target": "staging"}
    wanted = {event.approval_id: event.arguments["target"] for event in of(events, "approval.requested")}
    assert (wanted[approved.approval_id], wanted[denied.approval_id]) == ("staging", "live")
    assert denied.reason == "not on a Friday"


async def waiting_for_deploy(recorder: PydanticAIRecorder, *answers: Any) -> tuple[Any, Any, list[str]]:
    """Return an agent, the result in which it waits, and what its tool has deployed."""
    done: list[str] = []
    agent = Agent(
        scripted([call("deploy", target="live")], *answers),
        name="coder",
        output_type=[str, DeferredToolRequests],
        capabilities=[recorder.capability],
    )

    @agent.tool_plain(requires_approval=True)
    def deploy(target: str) -> str:
        done.append(target)
        return f"deployed to {target}"

    return agent, await agent.run("go"), done


async def test_a_hub_that_ends_first_has_denied_nothing() -> None:
    async with Hub() as hub:
        recorder = record(hub)
        agent, result, _ = await waiting_for_deploy(recorder)
    with pytest.raises(HubClosed, match="deploy"):
        await resume(recorder, agent, result)
    recorder.close()


async def test_a_run_that_asks_ends_with_its_requests_when_the_hub_ends() -> None:
    async with Hub() as hub:
        recorder = record(hub, asks=True)
        task = asyncio.ensure_future(waiting_for_deploy(recorder))
        async for _ in hub.events(after=-1, pattern="approval.requested"):
            break
    _, result, done = await task
    assert isinstance(result.output, DeferredToolRequests)
    assert done == []
    recorder.close()


async def test_a_call_that_was_approved_is_made_once() -> None:
    async def work(recorder: PydanticAIRecorder) -> None:
        agent, result, done = await waiting_for_deploy(
            recorder, [TextPart("done")], [TextPart("again")], [TextPart("repeated")]
        )
        assert (await resume(recorder, agent, result)).output == "done"
        assert (await resume(recorder, agent, result)).output == "again"
        assert done == ["live"]
        assert (await resume(recorder, agent, result, may_repeat=True)).output == "repeated"
        assert done == ["live", "live"]

    assert len(of(await recorded(work), "approval.approved")) == 1


async def test_an_actor_asks_the_hub_of_its_recorder_for_approval() -> None:
    async with Hub() as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        tasks.start_soon(approve_all, hub)
        agent: Any = Agent(
            scripted([call("deploy", target="live")], [TextPart("done")]),
            name="coder",
            output_type=[str, DeferredToolRequests],
            capabilities=[recorder.capability],
        )

        @agent.tool_plain(requires_approval=True)
        def deploy(target: str) -> str:
            return f"deployed to {target}"

        await hub.spawn(from_pydantic_ai(agent, recorder=recorder))
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("coder")])
        await channel.post(ann, "deploy it")
        async for delivery in ann.inbox():
            await delivery.ack()
            assert delivery.event.content == "done"
            break
        tasks.cancel_scope.cancel()


async def test_an_actor_without_a_recorder_says_what_it_waits_for() -> None:
    agent: Any = Agent(scripted([call("deploy", target="live")]), name="coder", output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def deploy(target: str) -> str:
        return f"deployed to {target}"

    async with Hub() as hub:
        await hub.spawn(from_pydantic_ai(agent))
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("coder")])
        await channel.post(ann, "deploy it")
        async for event in hub.events(after=-1, pattern="turn.failed"):
            assert "coder waits for deploy: give the actor a recorder" in event.error_message  # type: ignore[attr-defined]
            break


async def test_calls_whose_ids_come_again_are_questions_of_their_own() -> None:
    made: list[str] = []

    async def work(recorder: PydanticAIRecorder) -> None:
        calls = [[ToolCallPart("deploy", {"target": to}, "call-0")] for to in "ab"]
        agent = Agent(scripted(*calls, [TextPart("done")]), name="coder", capabilities=[recorder.capability])

        @agent.tool_plain(requires_approval=True)
        def deploy(target: str) -> str:
            made.append(target)
            return target

        await agent.run("go")

    assert len(of(await recorded(work, asks=True), "approval.requested")) == 2
    assert made == ["a", "b"]


@pytest.mark.parametrize("is_full", [False, True])
async def test_a_run_whose_hub_cannot_be_asked_ends_with_what_it_waits_for(is_full: bool) -> None:
    """The hub is not started, or has no room for the question: both are no denial."""

    async def work(hub: Hub, refusal: type[Exception], **settings: Any) -> None:
        recorder = record(hub, asks=True, **settings)
        recorder.begin_turn("open")  # for whose end there is room, and for no more
        agent = Agent(
            scripted([call("deploy", target="live")]),
            name="coder",
            output_type=[str, DeferredToolRequests],
            capabilities=[recorder.capability],
        )

        @agent.tool_plain(requires_approval=True)
        def deploy(target: str) -> str:
            raise AssertionError

        result: Any = await agent.run("go")
        assert isinstance(result.output, DeferredToolRequests)
        with pytest.raises(refusal, match="still waits"):
            await resume(recorder, agent, result)
        recorder.close()

    if is_full:
        async with Hub() as hub:
            await work(hub, CommandRejected, queue_max=1)
    else:
        await work(Hub(), HubClosed)


async def test_resume_refuses_what_is_wrong_in_any_argument() -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="asks is True or False"):
            record(hub, asks=1)  # type: ignore[arg-type]
        with record(hub) as recorder:
            agent = Agent(FunctionModel(lambda *_: ModelResponse(parts=[TextPart("ok")])))
            good = {"recorder": recorder, "agent": agent, "result": await agent.run("go"), "may_repeat": False}
            assert await resume(**good) is good["result"]
            await refuses(resume, good)


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    agent: Any = Agent(scripted(), name="coder")
    check_refusals(from_pydantic_ai, "an Agent of pydantic_ai", agent, Agent)
