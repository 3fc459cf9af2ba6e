"""The adapter of AG2, under the framework itself on its own double of a model."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("ag2", reason="AG2 is not installed: pip install 'hubwire[ag2]'")

import ag2.network
from ag2 import Agent, Context, tool
from ag2.events import (
    HumanInputRequest,
    ModelMessage,
    ModelMessageChunk,
    ModelResponse,
    ToolCallEvent,
    Usage,
)
from ag2.exceptions import HumanInputError, HumanInputFailedError
from ag2.knowledge import MemoryKnowledgeStore
from ag2.middleware import BaseMiddleware, RetryMiddleware, approval_required
from ag2.stream import MemoryStream
from ag2.testing import TestConfig

from hubwire import BaseHubListener, Hub, HubThread
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.ag2 import AG2Recorder, from_ag2, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.refusals import check_refusals


def scripted(*answers: Any) -> TestConfig:
    return TestConfig(*answers, model="scripted", raise_tool_errors=False)


def call(name: str, /, **arguments: Any) -> ToolCallEvent:
    return ToolCallEvent(name, arguments=json.dumps(arguments))


def says(text: str) -> ModelResponse:
    return ModelResponse(ModelMessage(text), usage=Usage(prompt_tokens=11, completion_tokens=3), model="scripted-1")


def yes(event: HumanInputRequest) -> str:
    return "y"


def ours(*recorders: Recorder | None) -> list[Any]:
    return [each.middleware for each in recorders if isinstance(each, AG2Recorder)]


@tool
def search(query: str) -> str:
    assert query == "build log"
    return "2 errors"


@tool
def lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


@tool(middleware=[approval_required()])
async def deploy(target: str) -> str:
    return f"deployed to {target}"


def team(*recorders: Recorder | None, asks: bool = True) -> Agent[Any]:
    first = recorders[0] if recorders else None
    coder = Agent(
        "coder",
        config=scripted(call("lint", path="app.py"), call("deploy", target="staging"), says(ANSWER)),
        tools=[lint, deploy],
        middleware=ours(*recorders),
        hitl_hook=first.hitl_hook if asks and isinstance(first, AG2Recorder) else yes,
    )
    return Agent(
        "planner",
        config=scripted(
            call("search", query="build log"), call("task_coder", objective="mend the build"), says(ANSWER)
        ),
        tools=[search, coder.as_tool(description="mends builds")],
        middleware=ours(*recorders),
    )


class TestAG2(RuntimeContract):
    lacks = frozenset({"hand_over"})  # an agent calls another by a tool

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return str((await team(recorder, asks=asks).ask("mend the build")).body)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return str((await team(recorder, second, asks=False).ask("mend the build")).body)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        agent = Agent("planner", config=scripted(ConnectionError("no model here")), middleware=ours(recorder))
        with pytest.raises(ConnectionError) as caught:
            await agent.ask("go")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        @tool
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        await Agent("planner", config=scripted(call("wait")), tools=[wait], middleware=ours(recorder)).ask("go")


# --- what is recorded, and what is not -------------------------------------------------------------------------------


async def recorded(work: Callable[[AG2Recorder], Any], *, answers: bool = True, **settings: Any) -> list[Any]:
    """Return the events of what ``work`` does with a recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            if answers:
                tasks.start_soon(approve_all, hub)
            await work(recorder)
            tasks.cancel_scope.cancel()
            assert recorder.statistics().failures == 0
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return [event for event in heard.events if event.source == "ag2"]


def kinds(events: list[Any]) -> list[str]:
    return [event.kind for event in events]


async def test_the_job_is_this_sequence() -> None:
    events = await recorded(lambda recorder: team(recorder).ask("mend the build"))
    assert kinds(events) == [
        "turn.started",
        "model.called",
        "model.completed",
        "tool.called",  # search
        "tool.completed",
        "model.called",
        "model.completed",
        "tool.called",  # task_coder
        "turn.started",
        "model.called",
        "model.completed",
        "tool.called",  # lint
        "tool.failed",
        "model.called",
        "model.completed",
        "tool.called",  # deploy
        "tool.completed",
        "model.called",
        "model.completed",
        "turn.ended",
        "tool.completed",
        "model.called",
        "model.completed",
        "turn.ended",
    ]
    inner = of(events, "turn.started")[1]
    assert inner.metadata["parent_turn_id"] == events[0].turn_id
    assert of(events, "turn.ended")[-1].tool_calls == 2
    assert of(events, "model.completed")[-1].input_tokens == 11


async def test_a_verdict_of_the_hub_stands_before_its_call() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await team(recorder).ask("go")
            tasks.cancel_scope.cancel()
    seqs = {event.kind: event.seq for event in heard.events if event.kind.startswith("approval.")}
    called = next(event.seq for event in of(heard.events, "tool.called") if event.tool == "deploy")
    assert seqs["approval.requested"] < seqs["approval.approved"] < called
    assert len(of(heard.events, "approval.requested")) == 1


def deployer(recorder: AG2Recorder, *answers: Any, hook: Any = None, tools: Any = None) -> Agent[Any]:
    return Agent(
        "coder",
        config=scripted(*(answers or (call("deploy", target="staging"), "done"))),
        tools=tools or [deploy],
        middleware=[recorder.middleware],
        hitl_hook=hook or recorder.hitl_hook,
    )


async def _answer(hub: Hub, **verdict: Any) -> None:
    async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
        await hub.approvals.answer(event.approval_id, "ann", **verdict)  # type: ignore[attr-defined]
        return


async def test_a_denial_of_the_hub_reaches_the_model_with_its_reason() -> None:
    heard, stream = Heard(), MemoryStream()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: _answer(hub, is_passed=False, reason="not on a Friday"))
            await deployer(recorder).ask("go", stream=stream)
    told: list[Any] = [
        event for event in await stream.history.get_events() if type(event).__name__ == "ToolResultEvent"
    ]
    assert "not on a Friday" in told[0].result.parts[0].content
    assert "tool.called" not in heard.kinds, "a denied call was never made"
    assert "approval.denied" in heard.kinds
    assert of(heard.events, "turn.ended")[0].tool_calls == 0


@pytest.mark.parametrize("is_started", [True, False])
async def test_a_hub_that_cannot_be_asked_denies_nothing(is_started: bool) -> None:
    hub = Hub()
    recorder = record(hub)
    if is_started:
        async with hub:
            pass
    with pytest.raises(HumanInputFailedError) as raised:
        await deployer(recorder).ask("go")
    assert isinstance(raised.value.__cause__, HubClosed)
    recorder.close()


async def test_a_question_that_a_full_queue_refuses_is_no_denial() -> None:
    async with Hub() as hub, record(hub, queue_max=1) as recorder:
        with pytest.raises(HumanInputFailedError):
            await deployer(recorder).ask("go")


async def test_calls_whose_ids_come_again_are_questions_of_their_own() -> None:
    async def work(recorder: AG2Recorder) -> None:
        script = [ToolCallEvent("deploy", arguments=json.dumps({"target": to}), id="call-0") for to in "ab"]
        await deployer(recorder, *script, "done").ask("go")

    assert [event.result for event in of(await recorded(work), "tool.completed")] == ["deployed to a", "deployed to b"]


async def test_a_tool_is_called_with_plain_values_where_a_person_has_changed_them() -> None:
    @tool(middleware=[approval_required()])
    def move(tables: Any) -> str:
        return f"{tables}"

    changed = {"tables": {"of": [{"name": "t"}]}}
    async with Hub() as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        heard = Heard()
        hub.attach(heard)
        tasks.start_soon(lambda: _answer(hub, is_passed=True, arguments=changed))
        await deployer(recorder, call("move", tables=[]), "done", tools=[move]).ask("go")
        await recorder.flush()
        await hub.flush(timeout=30)
    assert of(heard.events, "tool.completed")[0].result == str(changed["tables"])


async def test_always_is_a_yes_however_late_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at before AG2 has gone on says nothing."""
    monkeypatch.setattr("hubwire.runtimes.ag2._middleware.LOOKS_SECONDS", 0.0)

    class Slow(BaseMiddleware):
        async def on_human_input(self, call_next: Any, event: Any, context: Any) -> Any:
            answer = await call_next(event, context)
            for _ in range(50):
                await asyncio.sleep(0)
            return answer

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            agent = Agent(
                "coder",
                config=scripted(call("deploy", target="a"), "done"),
                tools=[deploy],
                middleware=[Slow, recorder.middleware],
                hitl_hook=lambda event: "always",
            )
            await agent.ask("go")
    assert "approval.denied" not in heard.kinds
    assert len(of(heard.events, "tool.completed")) == 1


@pytest.mark.parametrize(
    ("answer", "is_made"), [("y", True), ("YES", True), ("1", True), ("Always", True), ("n", False), ("", False)]
)
async def test_an_answer_in_the_programs_own_dialog_is_recorded(answer: str, is_made: bool) -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            await deployer(recorder, hook=lambda event: answer).ask("go")
    approvals = [kind for kind in heard.kinds if kind in ("approval.approved", "approval.denied")]
    assert approvals == ["approval.approved" if is_made else "approval.denied"]
    assert ("tool.called" in heard.kinds) is is_made
    if is_made:
        assert heard.kinds.index("approval.approved") < heard.kinds.index("tool.called")


async def test_always_is_no_yes_where_it_is_not_offered() -> None:
    @tool(middleware=[approval_required(allow_always=False)])
    def drop(table: str) -> str:
        raise AssertionError("it is not to be called")

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            agent = deployer(recorder, call("drop", table="t"), "done", hook=lambda event: "always", tools=[drop])
            await agent.ask("go")
    assert "approval.denied" in heard.kinds
    assert "tool.called" not in heard.kinds


async def test_always_holds_for_the_next_call() -> None:
    asked = []

    def always(event: HumanInputRequest) -> str:
        asked.append(event)
        return "always"

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            script = call("deploy", target="a"), call("deploy", target="b"), "done"
            await deployer(recorder, *script, hook=always).ask("go")
    assert len(asked) == 1
    assert [event.result for event in of(heard.events, "tool.completed")] == ["deployed to a", "deployed to b"]
    assert len(of(heard.events, "approval.approved")) == 1


async def test_arguments_that_a_person_has_changed_are_those_of_the_call() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: _answer(hub, is_passed=True, arguments={"target": "canary"}))
            await deployer(recorder).ask("go")
    assert [event.arguments for event in of(heard.events, "tool.called")] == [{"target": "canary"}]
    assert of(heard.events, "tool.completed")[0].result == "deployed to canary"
    assert of(heard.events, "turn.ended")[0].tool_calls == 1


async def test_a_question_without_an_answer_is_no_call() -> None:
    @tool(middleware=[approval_required(timeout=0.05)])
    def drop(table: str) -> str:
        raise AssertionError("it is not to be called")

    async def work(recorder: AG2Recorder) -> None:
        with pytest.raises(HumanInputError):
            await deployer(recorder, call("drop", table="t"), "done", tools=[drop]).ask("go")

    events = await recorded(work, answers=False)
    assert "tool.called" not in kinds(events)
    assert kinds(events)[-1] == "turn.failed"


async def test_a_hook_that_raises_is_no_verdict() -> None:
    def broken(event: HumanInputRequest) -> str:
        raise OSError("no terminal")

    async def work(recorder: AG2Recorder) -> None:
        with pytest.raises(HumanInputError):
            await deployer(recorder, hook=broken).ask("go")

    events = await recorded(work)
    assert "tool.called" not in kinds(events)
    assert not [kind for kind in kinds(events) if kind.startswith("approval.")]


async def test_a_question_of_a_tool_is_a_call_inside_it() -> None:
    @tool
    async def order(context: Context) -> str:
        return f"ordered {await context.input('which size?')}"

    async def work(recorder: AG2Recorder) -> None:
        agent = deployer(recorder, call("order"), "done", hook=lambda event: "large", tools=[order])
        await agent.ask("go")

    events = await recorded(work)
    assert [(event.kind, event.tool) for event in events if event.kind.startswith("tool.")] == [
        ("tool.called", "order"),
        ("tool.called", "human_input"),
        ("tool.completed", "human_input"),
        ("tool.completed", "order"),
    ]
    assert of(events, "tool.called")[1].causation_id == of(events, "tool.called")[0].id


async def test_the_hub_is_asked_for_approvals_alone() -> None:
    @tool
    async def order(context: Context) -> str:
        return await context.input("which size?")

    async def work(recorder: AG2Recorder) -> None:
        with pytest.raises(HumanInputError):
            await deployer(recorder, call("order"), "done", tools=[order]).ask("go")

    events = await recorded(work)
    assert "tool.failed" in kinds(events)


async def test_an_approval_in_a_nested_agent_without_a_hook_is_asked_above() -> None:
    async def work(recorder: AG2Recorder) -> None:
        inner = Agent(
            "coder",
            config=scripted(call("deploy", target="staging"), "done"),
            tools=[deploy],
            middleware=[recorder.middleware],
        )
        outer = deployer(recorder, call("task_coder", objective="x"), "done", tools=[inner.as_tool(description="x")])
        await outer.ask("go")

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await work(recorder)
            tasks.cancel_scope.cancel()
    asked = of(heard.events, "approval.requested")
    assert [event.action for event in asked] == ["deploy"]
    names = {event.agent_id: event.name for event in of(heard.events, "agent.registered")}
    assert names[asked[0].agent_id] == "coder"


async def test_attempts_are_seen_wherever_it_stands() -> None:
    async def work(recorder: AG2Recorder) -> None:
        agent = Agent(
            "planner",
            config=scripted(OSError("busy"), says("done")),
            middleware=[recorder.middleware, RetryMiddleware(max_retries=2), recorder.middleware],
        )
        assert (await agent.ask("go")).body == "done"

    events = await recorded(work)
    assert kinds(events) == [
        "turn.started",
        "model.called",
        "model.failed",
        "model.called",
        "model.completed",
        "turn.ended",
    ]


async def test_given_twice_it_records_once() -> None:
    async def work(recorder: AG2Recorder) -> None:
        agent = Agent(
            "planner",
            config=scripted(call("search", query="build log"), "done"),
            tools=[search],
            middleware=[recorder.middleware],
        )
        await agent.ask("go", middleware=[recorder.middleware])

    events = await recorded(work)
    assert len(of(events, "turn.started")) == 1
    assert len(of(events, "model.called")) == 2
    assert len(of(events, "tool.called")) == 1


async def test_parallel_calls_are_paired_by_their_ids() -> None:
    barrier = asyncio.Barrier(3)

    @tool
    async def meet(name: str) -> str:
        await barrier.wait()  # each waits for the others
        if name == "b":
            raise ValueError("b cannot")
        return name

    async def work(recorder: AG2Recorder) -> None:
        calls = [call("meet", name=name) for name in "abc"]
        agent = Agent("planner", config=scripted(calls, "done"), tools=[meet], middleware=[recorder.middleware])
        await agent.ask("go")

    events = await recorded(work)
    names = {event.call_id: event.arguments["name"] for event in of(events, "tool.called")}
    assert sorted(names.values()) == ["a", "b", "c"]
    assert {(names[event.call_id], event.result) for event in of(events, "tool.completed")} == {("a", "a"), ("c", "c")}
    assert [names[event.call_id] for event in of(events, "tool.failed")] == ["b"]


async def test_a_tool_that_is_not_async_stays_in_its_thread() -> None:
    seen = []

    @tool
    def where() -> str:
        seen.append(threading.current_thread() is threading.main_thread())
        return "here"

    async def run(middleware: list[Any]) -> None:
        await Agent("planner", config=scripted(call("where"), "done"), tools=[where], middleware=middleware).ask("go")

    await run([])
    await recorded(lambda recorder: run([recorder.middleware]))
    assert seen == [False, False]


async def test_a_streamed_answer_is_folded() -> None:
    async def work(recorder: AG2Recorder) -> None:
        pieces = [ModelMessageChunk(f"word {n} ") for n in range(50)]
        agent = Agent("planner", config=scripted(*pieces, says("done")), middleware=[recorder.middleware])
        await agent.ask("go")

    events = await recorded(work, streams=True)
    assert kinds(events) == ["turn.started", "model.called", "model.progressed", "model.completed", "turn.ended"]
    assert kinds(await recorded(work)) == ["turn.started", "model.called", "model.completed", "turn.ended"]


async def test_a_tool_that_works_on_is_shown_before_it_ends() -> None:
    started, goes_on = asyncio.Event(), asyncio.Event()

    @tool
    async def work_long() -> str:
        started.set()
        await goes_on.wait()
        return "done"

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            agent = Agent("a", config=scripted(call("work_long"), "x"), tools=[work_long], middleware=ours(recorder))
            tasks.start_soon(agent.ask, "go")
            await started.wait()
            async for event in hub.events(after=-1, pattern="tool.called"):
                assert event.tool == "work_long"  # type: ignore[attr-defined]
                break
            goes_on.set()


async def test_other_middleware_sees_what_it_sees_without() -> None:
    seen: list[str] = []

    class Spy(BaseMiddleware):
        async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
            result = await call_next(event, context)
            seen.append(f"{type(result).__name__} {result.result.parts[0].content[-30:]}")
            return result

    async def run(middleware: list[Any]) -> None:
        script = call("lint", path="app.py"), call("search", query="build log"), "done"
        agent = Agent("a", config=scripted(*script), tools=[lint, search], middleware=[Spy, *middleware, Spy])
        await agent.ask("go")

    await run([])
    without, seen[:] = list(seen), []
    await recorded(lambda recorder: run([recorder.middleware]))
    assert seen == without


async def test_secrets_in_arguments_are_redacted() -> None:
    @tool
    def login(user: str, password: str) -> str:
        return f"password={password}"

    async def work(recorder: AG2Recorder) -> None:
        script = call("login", user="ann", password="hunter2-and-more"), "done"
        await Agent("a", config=scripted(*script), tools=[login], middleware=[recorder.middleware]).ask("go")

    for content in (False, True):
        events = await recorded(work, content=content)
        assert "hunter2-and-more" not in "".join(map(str, events))
        assert of(events, "tool.called")[0].arguments["user"] == "ann"


async def test_odd_objects_of_the_framework_do_no_harm() -> None:
    @tool
    async def odd(name: str) -> str:
        return name

    async def work(recorder: AG2Recorder) -> None:
        bad = ToolCallEvent("odd", arguments="{not json", id="\ud800")
        worse = ToolCallEvent("odd", arguments='["a list"]', id="2")
        agent = Agent(
            "a\ud800" * 300, config=scripted(bad, worse, "done\ud800"), tools=[odd], middleware=ours(recorder)
        )
        await agent.ask("\ud800 hi")

    events = await recorded(work)
    assert [event.kind for event in events if event.kind.startswith("tool.")] == ["tool.called", "tool.failed"] * 2


# --- restarts, two hubs, proof ---------------------------------------------------------------------------------------


async def test_a_question_is_the_same_one_in_the_next_process() -> None:
    store, stream_id = MemoryStore(), MemoryStream().id

    async def ask(hub: Hub) -> Any:
        asked = ToolCallEvent("deploy", arguments='{"target": "staging"}', id="call-1")
        async with record(hub) as recorder:
            agent = deployer(recorder, asked, "done")
            return await agent.ask("go", stream=MemoryStream(id=stream_id))

    async with Hub(store) as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, hub)
        async for _ in hub.events(after=-1, pattern="approval.challenge_issued"):
            break
        tasks.cancel_scope.cancel()  # the process ends while a person thinks
    heard = Heard()
    async with Hub(store) as hub:
        waiting = hub.approvals.pending()
        assert len(waiting) == 1
        await hub.approvals.answer(waiting[0].approval_id, "ann", is_passed=True)
        hub.attach(heard)
        assert (await ask(hub)).body == "done"
        await hub.flush(timeout=30)
    assert "approval.requested" not in heard.kinds
    assert [event.result for event in of(heard.events, "tool.completed")] == ["deployed to staging"]


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_an_approved_call_is_made_once(may_repeat: bool) -> None:
    heard, stream_id = Heard(), MemoryStream().id
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, may_repeat=may_repeat) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            for _ in range(2):
                asked = ToolCallEvent("deploy", arguments='{"target": "staging"}', id="call-1")
                await deployer(recorder, asked, "done").ask("go", stream=MemoryStream(id=stream_id))
            tasks.cancel_scope.cancel()
    assert len(of(heard.events, "approval.requested")) == 1
    assert len(of(heard.events, "tool.called")) == (2 if may_repeat else 1)


async def test_the_audit_log_of_a_job_verifies() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    async with Hub(store, listeners=[audit]) as hub:
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await team(recorder).ask("go")
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert (await AuditLog(store).verify()).holds


# --- on AG2's hub ----------------------------------------------------------------------------------------------------


async def test_what_an_ag2_hub_reports_is_recorded() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            theirs = await ag2.network.Hub.open(MemoryKnowledgeStore())
            theirs.register_listener(recorder.listener)
            closed = asyncio.Event()

            class Told(BaseHubListener):
                async def on_channel_event(self, channel_id: str, kind: str, payload: Any) -> None:
                    if kind == "closed":
                        closed.set()

            theirs.register_listener(Told())
            asker = await theirs.register(Agent("asker", config=scripted(), middleware=ours(recorder)))
            expert = await theirs.register(Agent("expert", config=scripted("an answer"), middleware=ours(recorder)))
            channel = await asker.open(type="consulting", target=expert.agent_id)
            await channel.send("a question")
            await closed.wait()
            await theirs.fire_task_event("t", "of my own!", {"owner_id": asker.agent_id})
            await theirs.close()
        await hub.flush(timeout=30)
    told = [event.kind for event in heard.events if event.kind.startswith("ag2.")]
    assert told.count("ag2.agent.registered") == 2
    assert {"ag2.channel.created", "ag2.channel.opened", "ag2.channel.closed", "ag2.task.told"} <= set(told)
    assert told.count("ag2.envelope.posted") >= 2
    registered = of(heard.events, "ag2.agent.registered")
    assert registered[0].data["record"]["kind"] == "agent_registered"
    assert [event.prompt_preview for event in of(heard.events, "turn.started")] != []


async def test_a_failed_turn_on_an_ag2_hub_is_an_error() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            listener = recorder.listener
            await listener.on_turn_failed("channel", "agent-id", "envelope", ValueError("no model"))
            await listener.on_expectation_fired("channel", None, object())  # no violation that AG2 has
            assert listener.failures == 1
    assert of(heard.events, "error.raised")[0].error_message == "no model"


# --- as an actor -----------------------------------------------------------------------------------------------------


async def test_an_agent_answers_envelopes_with_the_channel_as_its_memory() -> None:
    seen: list[str] = []

    class Spy(BaseMiddleware):
        async def on_llm_call(self, call_next: Any, messages: Any, context: Any) -> Any:
            seen.extend(f"{message!r}" for message in messages)
            return await call_next(messages, context)

    heard, said = Heard(), ""
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            config = scripted("forty-two")  # in each run
            await hub.spawn(from_ag2(Agent("helper", config=config, middleware=[Spy, recorder.middleware])))
            ann = await hub.agents.register("ann")
            channel = await hub.channels.open([ann, hub.agents.named("helper")])
            for question in ("what is the answer?", "and now?"):
                seen.clear()
                await channel.post(ann, question)
                async for delivery in ann.inbox():
                    await delivery.ack()
                    said = str(delivery.event.content)
                    break
        await hub.flush(timeout=30)
    assert said == "forty-two"
    assert [text for text in seen if "ann: what is the answer?" in text and "ModelRequest" in text]
    assert [text for text in seen if "forty-two" in text and "ModelResponse" in text]
    assert len([event for event in of(heard.events, "turn.started") if event.source == "ag2"]) == 2


async def test_without_the_framework_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each == "ag2" or each.startswith("ag2.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"hubwire\[ag2\]"):
        record(Hub())


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    check_refusals(from_ag2, "an Agent of ag2", Agent("helper", config=scripted("ok")), Agent)
