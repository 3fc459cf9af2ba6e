"""The adapter of the MCP SDK, under servers and clients of its own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp.server.mcpserver", reason="the MCP SDK is in an extra: pip install 'hubwire[mcp]'")
pytest.importorskip("jsonschema.validators")  # its client imports it in the event loop, and reads files for that

import mcp_types as mt
from mcp import Client
from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp.server.mcpserver.exceptions import ToolError

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.mcp import MCPRecorder, approvals, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of

logging.getLogger("mcp").setLevel(logging.CRITICAL)  # its handler reads files in the event loop to show an error


def middleware(*recorders: Recorder | None, asks: bool = True) -> list[Any]:
    there = [each for each in recorders if isinstance(each, MCPRecorder)]
    gates = [approvals(each, "deploy") for each in there[:1] if asks]
    return [each.middleware for each in there] + gates


def tools(*recorders: Recorder | None, asks: bool = True) -> MCPServer:
    server: MCPServer = MCPServer("tools", middleware=middleware(*recorders, asks=asks))

    @server.tool()
    def search(query: str) -> str:
        return "2 errors"

    @server.tool()
    async def lint(path: str) -> str:
        raise ToolError(f"no such file: {path}")

    @server.tool()
    async def deploy(target: str) -> str:
        return f"deployed to {target}"

    return server


def client(server: Any, name: str = "planner", **settings: Any) -> Any:
    return Client(server, client_info=mt.Implementation(name=name, version="1"), **settings)


async def job(server: Any) -> str:
    async with client(server) as planner, client(server, "coder") as coder:
        await planner.call_tool("search", {"query": "build log"})
        assert (await coder.call_tool("lint", {"path": "app.py"})).is_error
        deployed = await coder.call_tool("deploy", {"target": "staging"})
        return ANSWER if deployed.content[0].text == "deployed to staging" else "?"


class TestMCP(RuntimeContract):
    lacks = frozenset({"hand_over", "model", "usage"})  # a server answers calls: of models it knows nothing

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **{"session": "the job", **settings})  # calls which only their clients tie together

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await job(tools(recorder, asks=asks))

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return await job(tools(recorder, second, asks=False))

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        server: MCPServer = MCPServer("tools", middleware=middleware(recorder))
        async with client(server) as planner:
            with pytest.raises(Exception, match="nowhere") as caught:
                await planner.read_resource("data://nowhere")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        server: MCPServer = MCPServer("tools", middleware=middleware(recorder))

        @server.tool()
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        async with client(server) as planner:
            await planner.call_tool("wait", {})


async def recorded(work: Callable[[MCPRecorder], Awaitable[Any]], **settings: Any) -> list[Event]:
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
        ("coder", "turn.started", ""),
        ("coder", "tool.called", "lint"),
        ("coder", "tool.failed", "lint"),
        ("coder", "turn.failed", ""),
        ("coder", "turn.started", ""),
        ("client", "approval.approved", "deploy"),
        ("coder", "tool.called", "deploy"),
        ("coder", "tool.completed", "deploy"),
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
        await job(tools(recorder))
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def test_a_low_level_server_takes_it_too() -> None:
    async def listed(context: Any, params: Any) -> mt.ListToolsResult:
        return mt.ListToolsResult(tools=[mt.Tool(name="count", input_schema={"type": "object"})])

    async def call(context: Any, params: Any) -> mt.CallToolResult:
        texts: list[Any] = [mt.TextContent(type="text", text=each) for each in ("one", "two")]
        return mt.CallToolResult(content=texts)

    async def work(recorder: MCPRecorder) -> None:
        server: Any = Server("low", on_call_tool=call, on_list_tools=listed)
        server.middleware.append(recorder.middleware)
        async with client(server) as planner:
            await planner.call_tool("count", {"to": 2})

    events = await recorded(work)
    (called,), (completed,) = of(events, "tool.called"), of(events, "tool.completed")
    assert (called.tool, called.arguments) == ("count", {"to": 2})
    assert [each["text"] for each in completed.result] == ["one", "two"]


async def test_resources_and_prompts_are_calls_and_lists_are_not() -> None:
    async def work(recorder: MCPRecorder) -> None:
        server = tools(recorder)

        @server.prompt()
        def brief(topic: str) -> str:
            return f"Say what you know of {topic}."

        @server.resource("data://log/{day}")
        def log(day: str) -> str:
            return f"log of {day}"

        async with client(server) as planner:
            await planner.get_prompt("brief", {"topic": "snow"})
            await planner.read_resource("data://log/monday")
            await planner.list_tools()

    events = await recorded(work)
    prompt, resource = of(events, "tool.called")
    assert (prompt.tool, prompt.arguments) == ("prompts/get", {"name": "brief", "topic": "snow"})
    assert (resource.tool, resource.arguments) == ("resources/read", {"uri": "data://log/monday"})
    assert ["snow" in str(each.result) or "monday" in str(each.result) for each in of(events, "tool.completed")] == [
        True,
        True,
    ]


async def test_a_tool_that_asks_its_client_is_called_once() -> None:
    async def work(recorder: MCPRecorder) -> None:
        rounds: list[int] = []
        server: MCPServer = MCPServer("tools", middleware=[recorder.middleware])

        async def ask(city: str) -> Any:
            rounds.append(1)
            if len(rounds) == 1:
                schema = {"type": "object", "properties": {}}
                form = mt.ElicitRequestFormParams(message="Which day?", requested_schema=schema)
                return mt.InputRequiredResult(input_requests={"day": mt.ElicitRequest(params=form)})
            return "booked"

        server.tool()(ask)

        async def answer(*_: Any) -> mt.ElicitResult:
            return mt.ElicitResult(action="accept", content={"day": "monday"})

        async with client(server, elicitation_callback=answer) as planner:
            await planner.call_tool("ask", {"city": "Oslo"})
        assert len(rounds) == 2

    events = await recorded(work)
    assert [event.kind for event in events if event.kind.startswith(("turn", "tool"))] == [
        "turn.started",
        "turn.ended",
        "turn.started",
        "tool.called",
        "tool.completed",
        "turn.ended",
    ]
    assert of(events, "turn.ended")[0].content == {"waits_for_input": ("Which day?",)}
    assert "monday" in str(of(events, "turn.started")[1].prompt)


async def test_calls_at_a_time_are_told_apart() -> None:
    async def work(recorder: MCPRecorder) -> None:
        server = tools(recorder)

        @server.tool()
        async def add(a: int) -> int:
            await asyncio.sleep(0.01 * (3 - a))
            return a * 10

        async with client(server) as planner, anyio.create_task_group() as calls:
            for a in (1, 2, 3):
                calls.start_soon(planner.call_tool, "add", {"a": a})

    events = await recorded(work)
    arguments = {event.call_id: event.arguments["a"] for event in of(events, "tool.called")}
    assert {arguments[event.call_id]: event.result for event in of(events, "tool.completed")} == {1: 10, 2: 20, 3: 30}


async def test_secrets_in_arguments_are_redacted() -> None:
    async def work(recorder: MCPRecorder) -> None:
        server = tools(recorder)

        @server.tool()
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

    async def work(recorder: MCPRecorder) -> None:
        async with client(tools(recorder)) as planner:
            for parent in (f"00-{trace}-00f067aa0ba902b7-01", f"00-{trace}-00f067aa0ba902b8-01", "hostile"):
                await planner.call_tool("search", {"query": "x"}, meta={"traceparent": parent})

    called = of(await recorded(work), "tool.called")
    assert [event.correlation_id == trace for event in called] == [True, True, False]


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
            server: MCPServer = MCPServer("tools", middleware=middleware(recorder))

            @server.tool()
            def deploy(target: str) -> str:
                targets.append(target)
                return "done"

            async with client(server) as planner:
                told.append((await planner.call_tool("deploy", {"target": "live"})).content[0].text)
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events, targets, told


async def test_what_is_denied_is_never_called_and_the_client_hears_why() -> None:
    events, targets, told = await decided(is_passed=False, reason="not on a Friday")
    assert targets == []
    assert "not on a Friday" in told[0]
    assert "tool.called" not in [event.kind for event in events]
    assert of(events, "turn.ended")[0].content == {"denied": "deploy", "reason": "not on a Friday"}


async def test_what_is_approved_is_called() -> None:
    events, targets, told = await decided(is_passed=True)
    assert (targets, told) == (["live"], ["done"])
    assert of(events, "approval.approved")[0].seq < of(events, "tool.called")[0].seq


async def test_a_hub_that_is_gone_approves_nothing() -> None:
    async with Hub() as hub:
        recorder = record(hub)
    async with client(tools(recorder)) as planner:
        answer = await planner.call_tool("deploy", {"target": "live"})
    assert answer.is_error
    assert "could not be asked" in answer.content[0].text
    recorder.close()


@pytest.mark.parametrize("names", [(), ("",), (7,), (None,), (["deploy"],), ("deploy", b"x")])
async def test_what_is_no_name_of_a_tool_is_refused(names: tuple[Any, ...]) -> None:
    async with Hub() as hub, record(hub) as recorder:
        with pytest.raises(ConfigurationError, match="names"):
            approvals(recorder, *names)
