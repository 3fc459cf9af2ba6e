"""The adapter of A2A, under the SDK's own server and client."""

# Where types are checked, it may not be installed.
# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

pytest.importorskip("a2a.server.request_handlers", reason="the A2A SDK is in an extra: pip install 'hubwire[a2a]'")

import httpx
from a2a.client import ClientConfig, create_client
from a2a.helpers import proto_helpers as make
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from starlette.applications import Starlette

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.a2a import A2ARecorder, decide, from_a2a, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.refusals import check_refusals
from support.resuming import refuses

CARD = pb.AgentCard(
    name="team",
    version="1",
    capabilities=pb.AgentCapabilities(streaming=True),
    supported_interfaces=[pb.AgentInterface(url="http://team/", protocol_binding="JSONRPC", protocol_version="1.0")],
)


class Executor(AgentExecutor):
    """Does what a function says, with the means to say how far it is."""

    def __init__(self, work: Callable[[Any, TaskUpdater], Awaitable[None]]) -> None:
        self.work = work

    async def execute(self, context: Any, event_queue: Any) -> None:
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if context.current_task is None:
            await event_queue.enqueue_event(make.new_task_from_user_message(context.message))
        await updater.start_work()
        await self.work(context, updater)

    async def cancel(self, context: Any, event_queue: Any) -> None:
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def handler(executor: AgentExecutor, *recorders: Recorder | None, agent: str = "planner") -> DefaultRequestHandler:
    for each in recorders:
        if isinstance(each, A2ARecorder):
            executor = each.executor(executor, agent=agent)
    return DefaultRequestHandler(executor, InMemoryTaskStore(), CARD)


def says(text: str, **settings: Any) -> pb.SendMessageRequest:
    return pb.SendMessageRequest(message=make.new_text_message(text, role=pb.Role.ROLE_USER, **settings))


async def send(handling: DefaultRequestHandler, text: str, **settings: Any) -> Any:
    try:
        return await handling.on_message_send(says(text, **settings), ServerCallContext())
    finally:
        await handling.aclose()


def text_of(task: Any) -> str:
    return "".join(make.get_artifact_text(artifact) for artifact in task.artifacts)


async def by_hand(recorders: Any, name: str, function: Callable[..., Awaitable[str]], **arguments: Any) -> str:
    """Call a tool as an executor would that records it by hand."""
    there = [each for each in recorders if isinstance(each, A2ARecorder)]
    keys = [f"{each.turn_key}:{name}" for each in there]
    for each, key in zip(there, keys, strict=True):
        each.begin_tool(key, name, parent=each.turn_key, arguments=arguments)
    try:
        result = await function(**arguments)
    except BaseException as error:
        for each, key in zip(there, keys, strict=True):
            each.fail(key, error)
        raise
    for each, key in zip(there, keys, strict=True):
        each.end(key, result)
    return result


async def search(query: str) -> str:
    return "2 errors"


async def lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


async def deploy(target: str) -> str:
    return f"deployed to {target}"


async def run_team(*recorders: Recorder | None, asks: bool = True) -> str:
    """Two agents with executors of their own: the first asks the second by the protocol."""

    async def code(context: Any, updater: TaskUpdater) -> None:
        with pytest.raises(ValueError, match="no such file"):
            await by_hand(recorders, "lint", lint, path="app.py")
        if recorders and recorders[0] is not None and asks:
            assert (await decide(recorders[0], context, "deploy", {"target": "staging"})).is_approved
        await by_hand(recorders, "deploy", deploy, target="staging")
        await updater.add_artifact([make.new_text_part(ANSWER)])
        await updater.complete()

    coder = handler(Executor(code), *recorders, agent="coder")

    async def plan(context: Any, updater: TaskUpdater) -> None:
        await by_hand(recorders, "search", search, query="build log")
        task = await send(coder, "mend the build", context_id=context.context_id)
        await updater.add_artifact([make.new_text_part(text_of(task))])
        await updater.complete()

    return text_of(await send(handler(Executor(plan), *recorders), "mend the build"))


class TestA2A(RuntimeContract):
    lacks = frozenset({"hand_over", "model", "usage", "loops"})  # which models agents call is theirs to say

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await run_team(recorder, asks=asks)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return await run_team(recorder, second, asks=False)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        async def burn(context: Any, updater: TaskUpdater) -> None:
            raise ConnectionError("no model here")

        with pytest.raises(Exception) as caught:
            task = await send(handler(Executor(burn), recorder), "go")
            raise RuntimeError(pb.TaskState.Name(task.status.state))
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        async def work(context: Any, updater: TaskUpdater) -> None:
            await by_hand((recorder,), "wait", wait)

        executor: Any = Executor(work)
        if isinstance(recorder, A2ARecorder):
            executor = recorder.executor(executor, agent="planner")
        await executor.execute(requested(), Queue())


class Queue:
    """What an executor says, for those that run without a server."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def enqueue_event(self, event: Any) -> None:
        self.said.append(event)


def requested(text: str = "go", **settings: Any) -> Any:
    return RequestContext(ServerCallContext(), says(text, **settings))


async def recorded(work: Callable[[A2ARecorder], Awaitable[Any]], **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await work(recorder)
            assert recorder.statistics().failures == 0
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(run_team)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    assert [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "tool") or event.kind == "approval.approved"
    ] == [
        ("planner", "turn.started", ""),
        ("planner", "tool.called", "search"),
        ("planner", "tool.completed", "search"),
        ("coder", "turn.started", ""),
        ("coder", "tool.called", "lint"),
        ("coder", "tool.failed", "lint"),
        ("coder", "approval.approved", "deploy"),
        ("coder", "tool.called", "deploy"),
        ("coder", "tool.completed", "deploy"),
        ("coder", "turn.ended", ""),
        ("planner", "turn.ended", ""),
    ]
    assert [event.content for event in of(events, "turn.ended")] == [ANSWER, ANSWER]


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with (
        Hub(store, listeners=[AuditLog(store)]) as hub,
        record(hub) as recorder,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(approve_all, hub)
        await run_team(recorder)
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def ended(work: Callable[[Any, TaskUpdater], Awaitable[None]], *texts: str) -> list[Any]:
    """Return the events that end the turns of an agent that does this."""

    async def run(recorder: A2ARecorder) -> None:
        executor = recorder.executor(Executor(work), agent="planner")
        for text in texts or ("go",):
            await executor.execute(requested(text), Queue())

    return [event for event in await recorded(run) if event.kind in ("turn.ended", "turn.failed")]


async def test_a_task_that_says_it_has_failed_is_no_turn_that_ended() -> None:
    async def fail(context: Any, updater: TaskUpdater) -> None:
        await updater.failed(updater.new_agent_message([make.new_text_part("no model here")]))

    async def reject(context: Any, updater: TaskUpdater) -> None:
        await updater.reject()

    async def cancel(context: Any, updater: TaskUpdater) -> None:
        await updater.cancel()

    (failed,), (rejected,), (cancelled,) = await ended(fail), await ended(reject), await ended(cancel)
    assert (failed.kind, failed.error_type, failed.error_message) == ("turn.failed", "TaskFailed", "no model here")
    assert (rejected.kind, rejected.error_type) == ("turn.failed", "TaskRejected")
    assert (cancelled.kind, cancelled.error_type) == ("turn.failed", "CancelledError")


async def test_a_task_that_needs_more_says_what_it_waits_for() -> None:
    async def ask(context: Any, updater: TaskUpdater) -> None:
        await updater.requires_input(updater.new_agent_message([make.new_text_part("Which day?")]))

    (waiting,) = await ended(ask)
    assert (waiting.kind, waiting.content) == ("turn.ended", {"waits_for_input": "Which day?"})


async def test_streamed_pieces_are_put_together() -> None:
    async def stream(context: Any, updater: TaskUpdater) -> None:
        for number, piece in enumerate(("The ", "build ", "is green.")):
            await updater.add_artifact([make.new_text_part(piece)], artifact_id="a", append=number > 0)
        await updater.complete()

    (turn,) = await ended(stream)
    assert turn.content == ANSWER


async def test_data_is_recorded_as_data() -> None:
    async def answer(context: Any, updater: TaskUpdater) -> None:
        await updater.add_artifact([make.new_data_part({"errors": 2}), pb.Part(raw=b"1234"), pb.Part(url="http://x/")])
        await updater.complete()

    (turn,) = await ended(answer)
    assert turn.content == ({"errors": 2}, "(4 bytes)", "http://x/")


async def test_endless_artifacts_are_bounded() -> None:
    async def stream(context: Any, updater: TaskUpdater) -> None:
        for number in range(2_000):
            await updater.add_artifact([make.new_text_part("x" * 1000)], artifact_id="a", append=number > 0)

    (turn,) = await ended(stream)
    assert len(turn.content) <= 65_536


async def test_the_last_of_an_artifact_that_is_replaced_often_is_the_answer() -> None:
    async def work(context: Any, updater: TaskUpdater) -> None:
        for number in range(100):
            await updater.add_artifact([make.new_text_part(f"{number} " * 600)], artifact_id="a")
        await updater.add_artifact([make.new_text_part(ANSWER)], artifact_id="a")
        await updater.complete()

    (turn,) = await ended(work)
    assert turn.content == ANSWER


async def test_of_large_data_no_more_is_looked_at_than_is_kept() -> None:
    async def work(context: Any, updater: TaskUpdater) -> None:
        await updater.add_artifact([make.new_data_part({"rows": [{"n": number} for number in range(50_000)], "b": 1})])
        await updater.complete()

    events = await recorded(lambda recorder: send(handler(Executor(work), recorder), "go"), content=False)
    (turn,) = of(events, "turn.ended")
    assert len(json.dumps(turn.content_preview)) < 5_000


class Said:
    """A queue of events that keeps none, and the context of a request that was not read."""

    task_id = context_id = "task-1"
    message = current_task = None
    call_context = ServerCallContext()

    async def enqueue_event(self, event: Any) -> None:
        pass


async def test_a_task_that_is_executed_twice_at_a_time_is_two_turns() -> None:
    """When the one has ended, the other is still cancelled as what it is."""
    began, goes_on, over = anyio.Event(), anyio.Event(), anyio.Event()
    first = True

    class Twice(AgentExecutor):
        async def execute(self, context: Any, event_queue: Any) -> None:
            nonlocal first
            is_first, first = first, False
            began.set()
            await (goes_on if is_first else over).wait()

        async def cancel(self, context: Any, event_queue: Any) -> None:
            await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()
            over.set()

    async def work(recorder: A2ARecorder) -> None:
        executor = recorder.executor(Twice(), agent="planner")
        async with anyio.create_task_group() as tasks:
            one = asyncio.ensure_future(executor.execute(Said(), Said()))
            await began.wait()
            tasks.start_soon(executor.execute, Said(), Said())
            await anyio.wait_all_tasks_blocked()
            goes_on.set()
            await one
            await executor.cancel(Said(), Said())
        assert executor._open == {}

    events = await recorded(work)
    assert [event.kind for event in events if event.kind.startswith("turn.")] == [
        "turn.started",
        "turn.started",
        "turn.ended",
        "turn.failed",
    ]
    assert of(events, "turn.failed")[0].error_type == "CancelledError"


async def test_a_server_that_cancels_a_task_has_not_ended_it() -> None:
    started = anyio.Event()

    async def wait(context: Any, updater: TaskUpdater) -> None:
        started.set()
        await asyncio.Event().wait()

    async def work(recorder: A2ARecorder) -> None:
        handling = handler(Executor(wait), recorder)
        task = asyncio.ensure_future(handling.on_message_send(says("go"), ServerCallContext()))
        await started.wait()
        while not (listed := (await handling.on_list_tasks(pb.ListTasksRequest(), ServerCallContext())).tasks):
            await anyio.lowlevel.checkpoint()
        (running,) = listed
        cancelled = await handling.on_cancel_task(pb.CancelTaskRequest(id=running.id), ServerCallContext())
        assert cancelled.status.state == pb.TaskState.TASK_STATE_CANCELED
        await asyncio.wait([task], timeout=30)
        await handling.aclose()

    events = await recorded(work)
    assert [event.error_type for event in of(events, "turn.failed")] == ["CancelledError"]
    assert of(events, "turn.ended") == []


async def test_turns_of_a_task_belong_together() -> None:
    async def work(recorder: A2ARecorder) -> None:
        async def done(context: Any, updater: TaskUpdater) -> None:
            await updater.complete()

        executor = recorder.executor(Executor(done))
        for task in ("one", "one", "two"):
            await executor.execute(requested("go", task_id=task, context_id="talk"), Queue())

    turns = of(await recorded(work), "turn.started")
    assert [(turn.correlation_id, turn.session_id) for turn in turns] == [
        ("one", "talk"),
        ("one", "talk"),
        ("two", "talk"),
    ]
    assert len({turn.turn_id for turn in turns}) == 3


async def test_a_trace_of_the_request_is_kept() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    async def work(recorder: A2ARecorder) -> None:
        async def done(context: Any, updater: TaskUpdater) -> None:
            await updater.complete()

        context = requested()
        context.call_context.state["headers"] = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        await recorder.executor(Executor(done)).execute(context, Queue())

    (turn,) = of(await recorded(work), "turn.started")
    assert turn.correlation_id == trace


async def test_secrets_are_redacted() -> None:
    async def work(recorder: A2ARecorder) -> None:
        async def done(context: Any, updater: TaskUpdater) -> None:
            await updater.add_artifact([make.new_data_part({"password": "hunter2secret"})])

        await recorder.executor(Executor(done)).execute(requested("mail ann@example.com"), Queue())

    for content in (True, False):
        told = json.dumps([str(event) for event in await recorded(work, content=content)])
        assert "ann@example.com" not in told
        assert "hunter2secret" not in told


async def test_what_cannot_be_read_is_executed_all_the_same() -> None:
    class Odd:
        @property
        def message(self) -> Any:
            raise RuntimeError("there is none")

    done: list[Any] = []

    class Silent(Executor):
        async def execute(self, context: Any, event_queue: Any) -> None:
            await event_queue.enqueue_event("no event of the protocol")
            done.append(context)

    async with Hub() as hub, record(hub) as recorder:
        executor = recorder.executor(Silent(None))  # type: ignore[arg-type]
        queue = Queue()
        await executor.execute(Odd(), queue)
        await executor.execute(requested(), queue)
        assert len(done) == len(queue.said) == 2
        assert recorder.statistics().failures == 2


@pytest.mark.parametrize("executor", [None, 7, "executor", object(), Executor])
async def test_what_is_no_executor_is_refused(executor: Any) -> None:
    async with Hub() as hub, record(hub) as recorder:
        with pytest.raises(ConfigurationError, match="AgentExecutor"):
            recorder.executor(executor)
        for agent in ("", 7, b"x"):
            with pytest.raises(ConfigurationError, match="agent"):
                recorder.executor(Executor(None), agent=agent)  # type: ignore[arg-type]


async def test_the_same_question_of_a_task_is_asked_once() -> None:
    store = MemoryStore()
    context = requested("go", task_id="one", context_id="talk")
    async with Hub(store) as hub, record(hub) as recorder:
        with anyio.move_on_after(0.05):
            await decide(recorder, context, "deploy", {"target": "live"})
        await recorder.flush()
        (asked,) = hub.approvals.pending()
    async with Hub(store) as hub, record(hub) as recorder:
        (again,) = hub.approvals.pending()
        assert again.approval_id == asked.approval_id
        await hub.approvals.answer(asked.approval_id, "ann", is_passed=False, reason="not on a Friday")
        verdict = await decide(recorder, context, "deploy", {"target": "live"})
        assert (verdict.is_approved, verdict.reason) == (False, "not on a Friday")


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_what_may_have_been_done_before_a_crash_is_not_done_again(may_repeat: bool) -> None:
    store = MemoryStore()
    context = requested("go", task_id="one", context_id="talk")
    verdicts = []
    for _ in range(2):
        async with Hub(store) as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            verdicts.append(await decide(recorder, context, "deploy", {"target": "live"}, may_repeat=may_repeat))
            tasks.cancel_scope.cancel()
    assert [each.is_approved for each in verdicts] == [True, may_repeat]
    assert [each.was_used for each in verdicts] == [False, True]


async def test_a_hub_that_ends_while_it_is_asked_denies_nothing() -> None:
    async with Hub() as hub:
        deciding = asyncio.ensure_future(decide(record(hub), requested("go"), "deploy", {}))
        async for _ in hub.events(after=-1, pattern="approval.challenge_issued"):
            break
    with pytest.raises(HubClosed, match="the run still waits"):
        await deciding


@pytest.mark.parametrize("context", [None, 3, object(), RequestContext])
async def test_decide_says_what_it_takes(context: Any) -> None:
    async with Hub() as hub, record(hub) as recorder:
        with pytest.raises(ConfigurationError, match="RequestContext"):
            await decide(recorder, context, "deploy")
        with pytest.raises(ConfigurationError, match="is no recorder"):
            await decide(context, requested("go"), "deploy")


async def test_decide_refuses_what_is_wrong_in_any_argument() -> None:
    async with Hub() as hub, record(hub) as recorder:
        good = {"recorder": recorder, "context": requested("go"), "action": "deploy", "may_repeat": False}
        await refuses(decide, good, texts=("action",))


# -- as an actor --


@asynccontextmanager
async def remote(work: Callable[[Any, TaskUpdater], Awaitable[None]]) -> AsyncIterator[Any]:
    """Serve an agent that does this, and connect to it."""
    handling = handler(Executor(work))
    app = Starlette(routes=create_jsonrpc_routes(handling, "/"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        yield await create_client(CARD, ClientConfig(httpx_client=http))


async def answers(hub: Hub, client: Any, *texts: str) -> list[Any]:
    """Return what an agent elsewhere answers in a channel."""
    await hub.spawn(from_a2a(client, name="coder"))
    ann = await hub.agents.register("ann")
    channel = await hub.channels.open([ann, hub.agents.named("coder")])
    said: list[Any] = []
    for text in texts:
        await channel.post(ann, text)
        with anyio.fail_after(20):
            async for delivery in ann.inbox():
                await delivery.ack()
                said.append(delivery.event.content)
                break
    return said


async def test_an_agent_elsewhere_answers_envelopes() -> None:
    contexts: list[str] = []

    async def echo(context: Any, updater: TaskUpdater) -> None:
        contexts.append(context.context_id)
        await updater.add_artifact([make.new_text_part(f"you said: {context.get_user_input()}")])
        await updater.complete()

    async with remote(echo) as client, Hub() as hub:
        assert await answers(hub, client, "one", "two") == ["you said: one", "you said: two"]
    assert len(set(contexts)) == 1


async def test_an_agent_elsewhere_that_needs_input_goes_on_with_its_task() -> None:
    tasks: list[str] = []

    async def ask(context: Any, updater: TaskUpdater) -> None:
        tasks.append(context.task_id)
        if len(tasks) == 1:
            await updater.requires_input(updater.new_agent_message([make.new_text_part("Which day?")]))
        else:
            await updater.add_artifact([make.new_text_part("booked")])
            await updater.complete()

    async with remote(ask) as client, Hub() as hub:
        assert await answers(hub, client, "book", "monday") == ["Which day?", "booked"]
    assert len(set(tasks)) == 1


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    async with remote(lambda context, updater: updater.complete()) as client:
        check_refusals(from_a2a, "a Client of a2a.client", client, type(client), name="coder")
