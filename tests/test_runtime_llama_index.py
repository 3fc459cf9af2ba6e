"""The adapter of LlamaIndex, under the framework itself on its own double of a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("llama_index.core", reason="LlamaIndex is not installed: pip install 'hubwire[llama-index]'")

from llama_index.core.agent.workflow import AgentWorkflow
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.workflow import Context
from workflows.errors import WorkflowRuntimeError
from workflows.events import HumanResponseEvent, InputRequiredEvent

from hubwire import Event, Hub, HubThread
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.llama_index import from_llama_index, record, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.llama_team import agent, call, scripted, text
from support.refusals import check_refusals

pytestmark = pytest.mark.filterwarnings(  # LlamaIndex looks at all members of its models
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)


def search(query: str) -> str:
    """Search."""
    return "2 errors"


async def lint(path: str) -> str:
    """Check a file."""
    raise ValueError(f"no such file: {path}")


async def deploy(ctx: Context, target: str) -> str:
    """Deploy, if a person agrees."""
    answer = await ctx.wait_for_event(
        HumanResponseEvent,
        waiter_id=f"deploy to {target}",
        waiter_event=InputRequiredEvent(  # type: ignore[call-arg, unused-ignore]
            prefix="May I deploy?",
            target=target,
            **({"action": "deploy", "arguments": {"target": target}, "waiter_id": "1"} if target == "live" else {}),
        ),
        requirements={"target": target},
    )
    return f"deployed to {target}" if answer.response == "yes" else f"denied: {answer.reason}"


deploy.__annotations__["ctx"] = Context  # LlamaIndex does not look up names


def team(*, streaming: bool = False) -> AgentWorkflow:
    planner = agent(
        "planner",
        scripted(call("search", query="build log"), call("handoff", to_agent="coder", reason="it is code")),
        search,
        streaming=streaming,
    )
    coder = agent(
        "coder",
        scripted(call("lint", path="app.py"), call("deploy", target="staging"), text(ANSWER)),
        lint,
        deploy,
        streaming=streaming,
    )
    return AgentWorkflow(agents=[planner, coder], root_agent="planner")


async def run_to_end(handler: Any, *, response: str = "yes") -> Any:
    """Run on, and approve as a program does that knows no hub."""
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            handler.ctx.send_event(HumanResponseEvent(response=response, target=event.target, reason=""))  # type: ignore[call-arg, unused-ignore]
    return await handler


class TestLlamaIndex(RuntimeContract):
    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        handler = team().run(user_msg="mend the build")
        if recorder is not None and asks:
            return str(await resume(recorder, handler))
        return str(await run_to_end(handler))

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(ConnectionError) as caught:
            await agent("planner", scripted(ConnectionError("no model here"))).run(user_msg="go")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        async def wait() -> str:
            """Wait."""
            started.set()
            await asyncio.Event().wait()
            return "never"

        handler = agent("planner", scripted(call("wait")), wait).run(user_msg="go")
        try:
            await handler
        except asyncio.CancelledError:
            await handler.cancel_run()
            with pytest.raises(BaseException, match=""):
                await handler
            raise


async def recorded(work: Callable[[Recorder], Any], *, approves: bool = True, **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            if approves:
                tasks.start_soon(approve_all, hub)
            await work(recorder)
            assert recorder.statistics().failures == 0
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


def told(events: list[Event]) -> list[tuple[str, str, str]]:
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    return [
        (names.get(event.agent_id or "", ""), event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool") or event.kind == "approval.approved"
    ]


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(lambda recorder: resume(recorder, team().run(user_msg="mend the build")))
    model = [("model.called", ""), ("model.completed", "")]
    planner = [("turn.started", ""), *model, ("tool.called", "search"), ("tool.completed", "search"), *model]
    planner += [("tool.called", "handoff"), ("tool.completed", "handoff")]
    coder = [("turn.started", ""), *model, ("tool.called", "lint"), ("tool.failed", "lint"), *model]
    coder += [("approval.approved", "deploy"), ("tool.called", "deploy"), ("tool.completed", "deploy"), *model]
    expected = [("planner", *each) for each in planner] + [("coder", *each) for each in coder]
    assert told(events) == [*expected, ("coder", "turn.ended", ""), ("planner", "turn.ended", "")]
    assert {event.session_id for event in events if event.kind == "turn.started"} == {None}


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with (
        Hub(store, listeners=[AuditLog(store)]) as hub,
        record(hub) as recorder,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(approve_all, hub)
        await resume(recorder, team().run(user_msg="mend the build"))
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def test_a_streamed_answer_is_one_call() -> None:
    events = await recorded(lambda recorder: resume(recorder, team(streaming=True).run(user_msg="go")))
    assert len(of(events, "model.completed")) == 5
    assert ANSWER in str(of(events, "model.completed")[-1].response)
    assert of(events, "model.progressed"), "nothing is seen while it comes"


async def test_nothing_is_left_of_what_has_ended() -> None:
    async with Hub() as hub, record(hub) as recorder:
        for streaming in (True, False):
            await run_to_end(team(streaming=streaming).run(user_msg="go"))
        stream = await scripted(text("one two three")).astream_chat([ChatMessage(role="user", content="hi")])
        assert [piece.delta async for piece in stream]
        telling = recorder.telling  # type: ignore[attr-defined]
        assert (telling.open_spans, recorder.statistics().open) == (0, 0)


async def test_what_fails_in_a_callback_is_counted_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Hub() as hub, record(hub) as recorder:
        monkeypatch.setattr(recorder.telling, "enter", lambda *_: 1 / 0)  # type: ignore[attr-defined]
        assert await scripted(text("hello")).achat([ChatMessage(role="user", content="hi")])
        assert recorder.statistics().failures > 0


async def test_what_is_denied_is_never_done_and_the_tool_hears_why() -> None:
    async def deny(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny, hub)
            asking = agent("coder", scripted(call("deploy", target="live"), text("left")), deploy)
            assert str(await resume(recorder, asking.run(user_msg="go"))) == "left"
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    denied, called = of(heard.events, "approval.denied"), of(heard.events, "tool.called")
    assert denied[0].seq < called[0].seq, "the tool itself hears the verdict, after it was given"
    assert "not on a Friday" in str(of(heard.events, "tool.completed")[0].result)


async def test_a_tool_that_waits_is_not_called() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            handler = agent("coder", scripted(call("deploy", target="live")), deploy).run(user_msg="go")
            asking = asyncio.ensure_future(resume(recorder, handler))
            await heard.wait_for("approval.requested")
            assert "tool.called" not in heard.kinds
            asking.cancel()
            await handler.cancel_run()
            await asyncio.wait([asking])
        await hub.flush(timeout=30)
    assert "tool.called" not in heard.kinds
    assert of(heard.events, "approval.requested")[0].arguments == {"target": "live"}


async def test_parallel_tools_are_paired_by_their_call() -> None:
    async def double(n: int) -> str:
        """Double."""
        await asyncio.sleep(0.01 * (3 - n))
        return f"{2 * n}"

    calls = [*call("double", n=1), *call("double", n=2), *call("double", n=3)]
    events = await recorded(lambda _: agent("coder", scripted(calls, text("done")), double).run(user_msg="go"))
    asked = {event.call_id: event.arguments["n"] for event in of(events, "tool.called")}
    done = {event.call_id: event.result for event in of(events, "tool.completed")}
    assert {key: str(2 * n) for key, n in asked.items()} == done
    assert len(done) == 3


async def test_a_nested_agent_is_recorded_once_and_below_its_tool() -> None:
    inner = agent("inner", scripted(text("42")))

    async def ask(question: str) -> str:
        """Ask."""
        return str(await inner.run(user_msg=question))

    events = await recorded(
        lambda _: agent("outer", scripted(call("ask", question="?"), text("done")), ask).run(user_msg="go")
    )
    assert [each[:2] for each in told(events) if each[1].startswith(("turn", "tool"))] == [
        ("outer", "turn.started"),
        ("outer", "tool.called"),
        ("inner", "turn.started"),
        ("inner", "turn.ended"),
        ("outer", "tool.completed"),
        ("outer", "turn.ended"),
    ]
    assert len({event.correlation_id for event in events if event.source}) == 1


async def test_a_tool_stays_in_its_thread() -> None:
    threads: list[str] = []

    def where() -> str:
        """Say where."""
        threads.append(threading.current_thread().name)
        return "here"

    async def work(_: Recorder | None) -> None:
        await agent("coder", scripted(call("where"), text("done")), where).run(user_msg="go")

    await work(None)
    await recorded(work)
    assert (threads[0] == "MainThread") == (threads[1] == "MainThread")


async def test_a_tool_that_is_not_there_has_failed() -> None:
    events = await recorded(lambda _: agent("coder", scripted(call("nope"), text("done"))).run(user_msg="go"))
    assert "not found" in of(events, "tool.failed")[0].error_message
    assert of(events, "tool.completed") == []


async def test_a_run_that_goes_on_too_long_has_failed() -> None:
    async def work(_: Recorder) -> None:
        with pytest.raises(WorkflowRuntimeError):
            looping = agent("coder", scripted(call("search", query="a"), call("search", query="b")), search)
            await looping.run(user_msg="go", max_iterations=2)

    events = await recorded(work)
    assert "Max iterations" in of(events, "turn.failed")[0].error_message


async def test_a_model_that_is_called_alone_is_recorded() -> None:
    events = await recorded(lambda _: scripted(text("hello")).achat([ChatMessage(role="user", content="hi")]))
    assert len(of(events, "model.called")) == 1
    assert of(events, "model.completed")[0].input_tokens == 11


async def test_secrets_are_redacted() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
    job = agent("coder", scripted(call("search", query=f"api_key={secret}"), text("done")), search)
    events = await recorded(lambda _: job.run(user_msg="go"), content=True)
    assert of(events, "tool.called")[0].arguments
    assert secret not in str(events)


async def test_an_agent_answers_envelopes() -> None:
    seen: list[str] = []

    def answer(messages: Any) -> list[Any]:
        seen.extend(f"{message.role.value}: {message.content}" for message in messages)
        return text("4")

    async with Hub() as hub, record(hub) as recorder:
        await hub.spawn(from_llama_index(agent("solver", scripted(answer, answer))))
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("solver")])
        for _ in range(2):
            await channel.post(ann, "2 + 2?")
            async for delivery in ann.inbox():
                await delivery.ack()
                assert delivery.event.content == "4"
                break
        await recorder.flush()
    assert seen == ["user: 2 + 2?", "user: ann: 2 + 2?", "assistant: 4", "user: 2 + 2?"]


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    solver = agent("solver", scripted(text("4")))
    check_refusals(from_llama_index, "an agent or an AgentWorkflow of llama_index", solver, type(solver))
