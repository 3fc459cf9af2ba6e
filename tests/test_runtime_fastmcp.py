"""The adapter of FastMCP, under servers and clients of its own."""

# Where types are checked, it may not be installed.
# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

from __future__ import annotations

import asyncio
import json
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("fastmcp", reason="FastMCP is in an extra: pip install 'hubwire[fastmcp]'")

import mcp_types as mt
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import MiddlewareContext

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.fastmcp import FastMCPRecorder, approvals, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of

logging.getLogger("fastmcp").setLevel(logging.CRITICAL)  # its handler reads files in the event loop to show an error

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:fastmcp.*")


def middleware(*recorders: Recorder | None, asks: bool = True) -> list[Any]:
    there = [each for each in recorders if isinstance(each, FastMCPRecorder)]
    gates = [approvals(each, "deploy") for each in there[:1] if asks]
    return [each.middleware for each in there] + gates


def tools(*recorders: Recorder | None, asks: bool = True) -> FastMCP:
    server: FastMCP = FastMCP("tools", middleware=middleware(*recorders, asks=asks))

    @server.tool
    def search(query: str) -> str:
        return "2 errors"

    @server.tool
    async def lint(path: str) -> str:
        raise ValueError(f"no such file: {path}")

    @server.tool
    async def deploy(target: str) -> str:
        return f"deployed to {target}"

    itself = weakref.proxy(server)  # FastMCP keeps functions of tools in a cache, and what they hold

    @server.tool
    async def ask_coder() -> str:
        with pytest.raises(ToolError):
            await itself.call_tool("lint", {"path": "app.py"})
        await itself.call_tool("deploy", {"target": "staging"})
        return ANSWER

    return server


def client(server: FastMCP, name: str = "planner", **settings: Any) -> Any:
    return Client(server, client_info=mt.Implementation(name=name, version="1"), **settings)


async def job(server: FastMCP) -> str:
    async with client(server) as planner:
        await planner.call_tool("search", {"query": "build log"})
        return str((await planner.call_tool("ask_coder", {})).data)


class TestFastMCP(RuntimeContract):
    lacks = frozenset({"hand_over", "model", "usage"})  # a server answers calls: of models it knows nothing

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **{"session": "the job", **settings})  # two calls, which only their client ties together

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await job(tools(recorder, asks=asks))

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return await job(tools(recorder, second, asks=False))

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        server: FastMCP = FastMCP("tools", middleware=middleware(recorder))

        @server.tool
        def burn() -> str:
            raise ConnectionError("no model here")

        async with client(server) as planner:
            with pytest.raises(ToolError) as caught:
                await planner.call_tool("burn", {})
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        server: FastMCP = FastMCP("tools", middleware=middleware(recorder))

        @server.tool
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        async with client(server) as planner:
            await planner.call_tool("wait", {})


async def recorded(work: Callable[[FastMCPRecorder], Awaitable[Any]], **settings: Any) -> list[Event]:
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


def said(events: list[Event]) -> list[tuple[str, str, str]]:
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    return [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "tool") or event.kind == "approval.approved"
    ]


async def test_the_complete_sequence_of_the_job() -> None:
    assert said(await recorded(lambda recorder: job(tools(recorder)))) == [
        ("planner", "turn.started", ""),
        ("planner", "tool.called", "search"),
        ("planner", "tool.completed", "search"),
        ("planner", "turn.ended", ""),
        ("planner", "turn.started", ""),
        ("planner", "tool.called", "ask_coder"),
        ("planner", "tool.called", "lint"),
        ("planner", "tool.failed", "lint"),
        ("client", "approval.approved", "deploy"),
        ("planner", "tool.called", "deploy"),
        ("planner", "tool.completed", "deploy"),
        ("planner", "tool.completed", "ask_coder"),
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
        await job(tools(recorder))
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def test_the_error_of_the_tool_is_recorded() -> None:
    """Not the one that wraps it, also where the server masks it from clients."""

    async def work(recorder: FastMCPRecorder) -> None:
        server: FastMCP = FastMCP("tools", middleware=[recorder.middleware], mask_error_details=True)

        @server.tool
        def burn() -> str:
            raise KeyError("the cellar")

        async with client(server) as planner:
            with pytest.raises(ToolError) as caught:
                await planner.call_tool("burn", {})
            assert "cellar" not in str(caught.value)

    (failed,) = of(await recorded(work), "tool.failed")
    assert (failed.error_type, failed.error_message) == ("KeyError", "'the cellar'")


async def test_what_is_refused_has_failed() -> None:
    async def work(recorder: FastMCPRecorder) -> None:
        async with client(tools(recorder)) as planner:
            for name, arguments in (("search", {"wrong": 1}), ("no_such_tool", {})):
                with pytest.raises(ToolError):
                    await planner.call_tool(name, arguments)

    failed = of(await recorded(work), "tool.failed")
    assert [(each.tool, each.error_type) for each in failed] == [
        ("search", "ValidationError"),
        ("no_such_tool", "NotFoundError"),
    ]


async def test_a_mounted_server_records_once() -> None:
    async def work(recorder: FastMCPRecorder) -> None:
        outer: FastMCP = FastMCP("outer", middleware=[recorder.middleware])
        inner = tools(recorder)

        @inner.resource("data://log/{day}")
        def log(day: str) -> str:
            return f"log of {day}"

        outer.mount(inner, namespace="in")
        async with client(outer) as planner:
            await planner.call_tool("in_search", {"query": "build log"})
            await planner.read_resource("data://in/log/monday")

    events = await recorded(work)
    assert [event.tool for event in of(events, "tool.called")] == ["in_search", "resources/read"]
    assert [event.result for event in of(events, "tool.completed")] == ["2 errors", "log of monday"]
    assert len(of(events, "turn.started")) == 2


async def test_a_tool_may_call_one_with_the_same_arguments() -> None:
    """It is another call, and not one that is handed on."""

    async def work(recorder: FastMCPRecorder) -> None:
        server = tools(recorder)

        @server.tool
        async def my_search(query: str) -> str:
            await server.call_tool("search", {"query": query})
            return "found"

        async with client(server) as planner:
            await planner.call_tool("my_search", {"query": "x"})

    events = await recorded(work)
    outer, inner = of(events, "tool.called")
    assert (outer.tool, inner.tool) == ("my_search", "search")
    assert inner.causation_id == outer.id


async def test_resources_and_prompts_are_calls() -> None:
    async def work(recorder: FastMCPRecorder) -> None:
        server = tools(recorder)

        @server.prompt
        def brief(topic: str) -> str:
            return f"Say what you know of {topic}."

        async with client(server) as planner:
            await planner.get_prompt("brief", {"topic": "snow"})
            await planner.list_tools()
            with pytest.raises(Exception, match="not found"):
                await planner.read_resource("data://nowhere")

    events = await recorded(work)
    (prompt, resource) = of(events, "tool.called")
    assert prompt.arguments == {"name": "brief", "topic": "snow"}
    assert resource.arguments == {"uri": "data://nowhere"}
    assert "snow" in str(of(events, "tool.completed")[0].result)
    assert [each.tool for each in of(events, "tool.failed")] == ["resources/read"]


async def test_calls_at_a_time_are_told_apart() -> None:
    async def work(recorder: FastMCPRecorder) -> None:
        server = tools(recorder)

        @server.tool
        async def add(a: int) -> int:
            await asyncio.sleep(0.01 * (3 - a))
            return a * 10

        async with client(server) as one, client(server, "coder") as other, anyio.create_task_group() as calls:
            for a in (1, 2, 3):
                calls.start_soon((one, other)[a % 2].call_tool, "add", {"a": a})

    events = await recorded(work)
    arguments = {event.call_id: event.arguments["a"] for event in of(events, "tool.called")}
    assert {arguments[event.call_id]: event.result for event in of(events, "tool.completed")} == {1: 10, 2: 20, 3: 30}
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    assert {event.arguments["a"]: names[event.agent_id] for event in of(events, "tool.called")} == {
        1: "coder",
        2: "planner",
        3: "coder",
    }


async def test_a_tool_that_asks_its_client_is_called_once() -> None:
    async def work(recorder: FastMCPRecorder) -> None:
        server: FastMCP = FastMCP("tools", middleware=[recorder.middleware])

        rounds: list[int] = []

        async def ask(city: str) -> Any:
            rounds.append(1)
            if len(rounds) == 1:
                schema = {"type": "object", "properties": {}}
                form = mt.ElicitRequestFormParams(message="Which day?", requested_schema=schema)
                return mt.InputRequiredResult(input_requests={"day": mt.ElicitRequest(params=form)}, request_state="1")
            return "booked"

        server.tool(ask)

        async def answer(*_: Any) -> Any:
            return {}

        async with client(server, elicitation_handler=answer) as planner:
            await planner.call_tool("ask", {"city": "Oslo"})
        assert len(rounds) == 2

    events = await recorded(work)
    assert said(events) == [
        ("planner", "turn.started", ""),
        ("planner", "turn.ended", ""),
        ("planner", "turn.started", ""),
        ("planner", "tool.called", "ask"),
        ("planner", "tool.completed", "ask"),
        ("planner", "turn.ended", ""),
    ]
    first, second = of(events, "turn.ended")
    assert first.content == {"waits_for_input": ("Which day?",)}
    assert second.content == "booked"


async def test_secrets_in_arguments_are_redacted() -> None:
    async def work(recorder: FastMCPRecorder) -> None:
        server = tools(recorder)

        @server.tool
        def send(to: str, password: str) -> str:
            return f"sent to {to}"

        async with client(server) as planner:
            await planner.call_tool("send", {"to": "ann@example.com", "password": "hunter2secret"})

    for content in (True, False):
        told = json.dumps([str(event) for event in await recorded(work, content=content)])
        assert "ann@example.com" not in told
        assert "hunter2secret" not in told


async def test_calls_of_one_trace_belong_together() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    async def work(recorder: FastMCPRecorder) -> None:
        async with client(tools(recorder)) as planner:
            for span in ("00f067aa0ba902b7-01", "00f067aa0ba902b8-01", "", "-"):
                parent = f"00-{trace if span[1:] else '0' * 32}-{span}"
                await planner.call_tool("search", {"query": "x"}, meta={"traceparent": parent})

    called = of(await recorded(work), "tool.called")
    assert [event.correlation_id == trace for event in called] == [True, True, False, False]
    assert called[2].correlation_id != called[3].correlation_id


# -- approvals --


async def decided(**verdict: Any) -> tuple[list[Event], list[str], list[str]]:
    """Return the events of a call that is decided so, what the tool was called with, and what its client was told."""
    heard, targets, told = Heard(), [], []

    async def decide(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            await hub.approvals.answer(event.approval_id, "ann", **verdict)  # type: ignore[attr-defined]

    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(decide, hub)
            server: FastMCP = FastMCP("tools", middleware=middleware(recorder))

            @server.tool
            def deploy(target: str) -> str:
                targets.append(target)
                return "done"

            async with client(server) as planner:
                result = await planner.call_tool("deploy", {"target": "live"}, raise_on_error=False)
                told.append(result.content[0].text)
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events, targets, told


async def test_what_is_denied_is_never_called_and_the_client_hears_why() -> None:
    events, targets, told = await decided(is_passed=False, reason="not on a Friday")
    assert targets == []
    assert "not on a Friday" in told[0]
    assert "tool.called" not in [event.kind for event in events]
    assert of(events, "approval.denied")[0].reason == "not on a Friday"
    assert of(events, "turn.ended")[0].content == {"denied": "deploy", "reason": "not on a Friday"}


async def test_what_is_approved_is_called() -> None:
    events, targets, told = await decided(is_passed=True)
    assert (targets, told) == (["live"], ["done"])
    (called,) = of(events, "tool.called")
    assert of(events, "approval.approved")[0].seq < called.seq
    assert len(of(events, "turn.ended")) == 1


async def test_a_call_that_is_given_up_while_it_waits_was_never_made() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with (
            record(hub) as recorder,
            client(tools(recorder)) as planner,
            anyio.create_task_group() as calls,
        ):
            calls.start_soon(planner.call_tool, "deploy", {"target": "live"})
            async for _ in hub.events(after=-1, pattern="approval.challenge_issued"):
                break
            with anyio.move_on_after(0.6):  # longer than a call is held back that waits for no approval
                await anyio.sleep_forever()
            calls.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    assert "tool.called" not in heard.kinds
    assert "turn.ended" not in heard.kinds
    assert heard.kinds.count("approval.requested") == 1


async def test_what_is_approved_with_other_arguments_is_called_with_those() -> None:
    events, targets, _ = await decided(is_passed=True, arguments={"target": "staging"})
    assert targets == ["staging"]
    (called,) = of(events, "tool.called")
    assert called.arguments == {"target": "staging"}
    assert of(events, "turn.ended")[0].tool_calls == 1


async def test_what_one_hub_denies_another_one_does_not_record_as_called() -> None:
    heard = [Heard(), Heard()]

    async def deny(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            with anyio.move_on_after(0.6):  # longer than a call is held back that waits for no approval
                await anyio.sleep_forever()
            await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="no")  # type: ignore[attr-defined]

    async with Hub() as one, Hub() as other:
        one.attach(heard[0])
        other.attach(heard[1])
        async with record(one) as recorder, record(other) as second, anyio.create_task_group() as tasks:
            tasks.start_soon(deny, one)
            async with client(tools(recorder, second)) as planner:
                with pytest.raises(ToolError, match="denied"):
                    await planner.call_tool("deploy", {"target": "live"})
            tasks.cancel_scope.cancel()
        await one.flush(timeout=30)
        await other.flush(timeout=30)
    for each in heard:
        check_pairs(each.events)
        assert "tool.called" not in each.kinds
        assert of(each.events, "turn.ended")[0].content == {"denied": "deploy", "reason": "no"}


async def test_a_mounted_server_may_ask() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            outer: FastMCP = FastMCP("outer", middleware=[recorder.middleware])
            outer.mount(tools(recorder), namespace="in")
            async with client(outer) as planner:
                await planner.call_tool("in_deploy", {"target": "live"})
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    (called,) = of(heard.events, "tool.called")
    assert called.tool == "in_deploy"
    assert of(heard.events, "approval.approved")[0].seq < called.seq


async def test_a_gate_leaves_the_call_alone_that_it_stands_in() -> None:
    """A tool asks a server that has a gate and no recorder: its own call goes on."""

    async def work(recorder: FastMCPRecorder) -> None:
        gated: FastMCP = FastMCP("gated", middleware=[approvals(recorder, "deploy")])

        @gated.tool
        def deploy() -> str:
            return "done"

        outer: FastMCP = FastMCP("outer", middleware=[recorder.middleware])

        @outer.tool
        async def ask() -> str:
            await gated.call_tool("deploy", {})
            return "asked"

        async with client(outer) as planner:
            await planner.call_tool("ask", {})

    assert said(await recorded(work))[-3:] == [
        ("planner", "tool.called", "ask"),
        ("planner", "tool.completed", "ask"),
        ("planner", "turn.ended", ""),
    ]


async def test_a_tool_that_asks_for_one_with_the_same_arguments_was_called() -> None:
    async def work(recorder: FastMCPRecorder) -> None:
        server = tools(recorder)

        @server.tool
        async def my_deploy(target: str) -> str:
            await server.call_tool("deploy", {"target": target})
            return "done"

        async with client(server) as planner:
            await planner.call_tool("my_deploy", {"target": "live"})

    events = await recorded(work)
    assert [event.tool for event in of(events, "tool.completed")] == ["deploy", "my_deploy"]
    assert [event.tool for event in of(events, "tool.called")] == ["my_deploy", "deploy"]


@pytest.mark.parametrize("name", ["x" * 10_000, "\u202e\x1b[31m", "ключ\x00", "a/../../b"])
async def test_names_of_strangers_do_no_harm(name: str) -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub, record(hub) as recorder:
        async with client(tools(recorder), name) as planner:
            for tool, arguments in ((name, {name: name}), ("search", {"query": name})):
                await planner.call_tool(tool, arguments, raise_on_error=False)
        await recorder.flush()
        assert recorder.statistics().failures == recorder.statistics().refused == 0
    async with Hub(store):
        assert (await AuditLog(store).verify()).integrity.outcome.value == "holds"


async def test_a_hub_that_is_gone_approves_nothing() -> None:
    async with Hub() as hub:
        recorder = record(hub)
    async with client(tools(recorder)) as planner:
        with pytest.raises(ToolError, match="could not be asked"):
            await planner.call_tool("deploy", {"target": "live"})
    recorder.close()


@pytest.mark.parametrize("names", [(), ("",), (7,), (None,), (["deploy"],), ("deploy", b"x")])
async def test_what_is_no_name_of_a_tool_is_refused(names: tuple[Any, ...]) -> None:
    async with Hub() as hub, record(hub) as recorder:
        with pytest.raises(ConfigurationError, match="names"):
            approvals(recorder, *names)


async def test_the_trust_that_another_has_earned_is_not_that_of_a_client_of_its_name() -> None:
    for agent, expected in (("client", "client"), ("gatekeeper", "gatekeeper"), (None, "planner")):
        heard = Heard()
        async with Hub() as hub:
            hub.attach(heard)
            async with record(hub) as recorder, anyio.create_task_group() as tasks:
                tasks.start_soon(approve_all, hub)
                gate = approvals(recorder, "deploy", agent=agent)
                server: FastMCP = FastMCP("tools", middleware=[recorder.middleware, gate])
                server.tool(lambda target: "done", name="deploy")
                async with client(server, name="planner") as planner:
                    await planner.call_tool("deploy", {"target": "live"})
                tasks.cancel_scope.cancel()
            await hub.flush(timeout=30)
        names = {event.agent_id: event.name for event in of(heard.events, "agent.registered")}
        (asked,), (called,) = of(heard.events, "approval.requested"), of(heard.events, "tool.called")
        assert (names[asked.agent_id], names[called.agent_id]) == (expected, "planner")
        assert asked.turn_id == called.turn_id


async def test_what_a_task_calls_after_the_answer_is_a_turn_of_its_own() -> None:
    left: list[asyncio.Task[Any]] = []

    async def work(recorder: FastMCPRecorder) -> None:
        server: FastMCP = FastMCP("tools", middleware=[recorder.middleware])
        answered = asyncio.Event()

        @server.tool
        def search() -> str:
            return "2 errors"

        @server.tool
        async def later() -> str:
            async def call() -> None:
                await answered.wait()
                await server.call_tool("search", {})

            left.append(asyncio.ensure_future(call()))
            return "soon"

        async with client(server) as planner:
            await planner.call_tool("later", {})
        answered.set()
        await left[0]

    events = await recorded(work)
    turns = {event.turn_id for event in of(events, "turn.ended")}
    assert len(turns) == 2
    assert [event.turn_id in turns for event in of(events, "tool.completed")] == [True, True]


async def test_an_error_that_raises_when_it_is_read_reaches_the_host_as_it_is() -> None:
    class Rude(BaseException):
        pass

    class Unreadable(Exception):
        def __str__(self) -> str:
            raise Rude

    async def burn(_: Any) -> Any:
        raise error

    error = Unreadable()
    async with Hub() as hub, record(hub) as recorder:
        context = MiddlewareContext(message=mt.CallToolRequestParams(name="burn", arguments={}))
        with pytest.raises(Unreadable) as caught:
            await recorder.middleware.on_call_tool(context, burn)
        assert caught.value is error
        await recorder.flush()
        assert recorder.statistics().open == 0


@pytest.mark.parametrize("given", [None, 3, "recorder"])
def test_a_gate_says_what_it_takes(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="its first argument is a recorder"):
        approvals(given, "deploy")


@pytest.mark.parametrize("agent", ["", 3, "x" * 201, b"planner"])
async def test_in_whose_name_a_gate_asks_is_a_name(agent: Any) -> None:
    async with Hub() as hub, record(hub) as recorder:
        with pytest.raises(ConfigurationError, match="agent is a text of 1 to 200 characters"):
            approvals(recorder, "deploy", agent=agent)
