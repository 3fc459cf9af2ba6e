"""The adapter of the Claude Agent SDK, and the hook, under Claude Code itself: a server on loopback plays the model."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

pytest.importorskip("claude_agent_sdk", reason="it is not installed: pip install 'hubwire[claude_agent_sdk]'")

import claude_agent_sdk as sdk

from hubwire import Hub, HubThread
from hubwire.cli.hooking.config import config_of
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.claude_agent_sdk import ClaudeAgentSDKRecorder, from_claude_agent_sdk, record
from hubwire.spool import SpoolFeed
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of

PROGRAM = Path(sdk.__file__).parent / "_bundled" / "claude"
if not PROGRAM.exists():
    pytest.skip("this wheel of the SDK has no Claude Code in it", allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of the SDK, as that rules answer before the program is asked
    pytest.mark.timeout(120),
]

Script = Callable[[Any], list[dict[str, Any]]]


def says(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def uses(call: str, tool: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": tool, "input": arguments}


def results_in(asked: Any) -> int:
    """Return how many calls of tools a request tells the results of."""
    contents = [each["content"] for each in asked["messages"] if isinstance(each["content"], list)]
    return sum(block.get("type") == "tool_result" for content in contents for block in content)


def in_turn(*answers: list[dict[str, Any]]) -> Script:
    """Answer with these, one after each tool that was called."""
    return lambda asked: answers[min(results_in(asked), len(answers) - 1)]


class Model(BaseHTTPRequestHandler):
    """Plays the Messages API: streams what its script answers, or refuses the request for good if that is nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._send(200, "text/plain", b"")

    def do_GET(self) -> None:
        self._send(404, "application/json", b"{}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        _, name, path = self.path.split("/", 2)
        if not path.startswith("v1/messages") or name not in scripts:
            self._send(200, "application/json", b"{}")
        elif not (blocks := scripts[name](asked)):
            error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no model here"}}
            self._send(400, "application/json", json.dumps(error).encode())
        else:
            lines = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in streamed(asked, blocks)]
            self._send(200, "text/event-stream", "".join(lines).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def streamed(asked: Any, blocks: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the events of an answer."""
    begun = {"id": f"msg_{os.urandom(6).hex()}", "type": "message", "role": "assistant", "model": asked["model"]}
    begun |= {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            shell, delta = says(""), {"type": "text_delta", "text": block["text"]}
        else:
            shell, delta = (
                {**block, "input": {}},
                {"type": "input_json_delta", "partial_json": json.dumps(block["input"])},
            )
        yield {"type": "content_block_start", "index": index, "content_block": shell}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    delta = {"stop_reason": reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3}}
    yield {"type": "message_stop"}


scripts: dict[str, Script] = {}
"""By the first part of the address that Claude Code is given."""


@pytest.fixture(scope="module", autouse=True)
def served() -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place.append(f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


place: list[str] = []


@contextmanager
def model(script: Script) -> Iterator[str]:
    name = os.urandom(6).hex()
    scripts[name] = script
    yield f"{place[-1]}/{name}"
    del scripts[name]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


started: list[anyio.Event] = []


@sdk.tool("search", "searches", {"query": str})
async def search(arguments: Any) -> Any:
    return {"content": [says("2 errors")]}


@sdk.tool("lint", "lints a file", {"path": str})
async def lint(arguments: Any) -> Any:
    raise ValueError(f"no such file: {arguments['path']}")


@sdk.tool("deploy", "deploys", {"target": str})
async def deploy(arguments: Any) -> Any:
    return {"content": [says(f"deployed to {arguments['target']}")]}


@sdk.tool("wait", "waits", {})
async def wait(arguments: Any) -> Any:
    started[-1].set()
    await anyio.sleep_forever()


def options(address: str, **more: Any) -> Any:
    """Return options of a session that has these tools alone, no settings of the user's, and this model."""
    env = {"ANTHROPIC_BASE_URL": address, "ANTHROPIC_API_KEY": "none", "IS_SANDBOX": "1", "DISABLE_AUTOUPDATER": "1"}
    env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
    servers = {"job": sdk.create_sdk_mcp_server("job", tools=[search, lint, deploy, wait])}
    allowed = ["mcp__job__search", "mcp__job__lint"]
    given = {"allowed_tools": allowed, "mcp_servers": servers, "setting_sources": [], "model": "claude-sonnet-4-5"}
    return sdk.ClaudeAgentOptions(cwd=os.environ["HOME"], env=env, **{**given, **more})


async def allow(tool: str, arguments: Any, context: Any) -> Any:
    return sdk.PermissionResultAllow()


async def prompts(text: str = "mend the build") -> AsyncIterator[dict[str, Any]]:
    yield {"type": "user", "message": {"role": "user", "content": text}}


async def run(script: Script, *recorders: Recorder | None, asks: bool = False, **more: Any) -> str:
    """Run a session under these recorders, and return the result that the program reads."""
    there = [each for each in recorders if isinstance(each, ClaudeAgentSDKRecorder)]
    said = ""
    with model(script) as address:
        given = options(address, **({} if asks else {"can_use_tool": allow}) | more)
        for each in there:
            given = each.options(given, asks=asks)
        messages = sdk.query(prompt=prompts(), options=given)
        for each in there:
            messages = each.observed(messages)
        async for message in messages:
            said = getattr(message, "result", said)
    return said


JOB = in_turn(
    [says("I search."), uses("toolu_1", "mcp__job__search", query="build log")],
    [uses("toolu_2", "mcp__job__lint", path="app.py")],
    [uses("toolu_3", "mcp__job__deploy", target="staging")],
    [says(ANSWER)],
)


class TestClaudeCode(RuntimeContract):
    lacks: ClassVar = {
        "hand_over": "a subagent is called, and answers",
        "killing": "Claude Code is a process of its own, which outlives the one that is killed",
    }

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, agent="planner", **settings)

    def tool_of(self, name: str) -> str:
        return name.removeprefix("mcp__job__")

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await run(JOB, recorder, asks=asks and recorder is not None)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return await run(JOB, recorder, second)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(Exception, match="no model here") as caught:
            await run(lambda _: [], recorder)
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started_: anyio.Event) -> None:
        started.append(started_)
        await run(in_turn([uses("toolu_1", "mcp__job__wait")]), recorder)


async def recorded(work: Callable[[ClaudeAgentSDKRecorder], Any], **settings: Any) -> list[Any]:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            with anyio.fail_after(60):
                await work(recorder)
            assert recorder.statistics().failures == 0
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


def told(events: list[Any]) -> list[tuple[str, ...]]:
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    return [
        (
            names[event.agent_id],
            event.kind,
            getattr(event, "tool", getattr(event, "action", "")).removeprefix("mcp__job__"),
        )
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool") or event.kind == "approval.approved"
    ]


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(lambda recorder: run(JOB, recorder, asks=True), agent="planner")
    model = [("model.called", ""), ("model.completed", "")]
    assert told(events) == [
        ("planner", *each)
        for each in [
            ("turn.started", ""),
            *(*model, ("tool.called", "search"), ("tool.completed", "search")),
            *(*model, ("tool.called", "lint"), ("tool.failed", "lint")),
            *(*model, ("approval.approved", "deploy"), ("tool.called", "deploy"), ("tool.completed", "deploy")),
            *model,
            ("turn.ended", ""),
        ]
    ]
    (ended,) = of(events, "turn.ended")
    assert ended.metadata["cost_usd"] > 0, "it is told after the hook that ends the turn"
    assert (ended.metadata["input_tokens"], ended.metadata["output_tokens"]) == (44, 12)


async def test_what_a_person_denies_is_not_called_and_the_model_hears_why() -> None:
    asked: list[Any] = []

    def script(given: Any) -> list[dict[str, Any]]:
        asked.append(given)
        return in_turn([uses("toolu_1", "mcp__job__deploy", target="live")], [says("left")])(given)

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)

        async def deny() -> None:
            async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
                await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]

        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny)
            assert await run(script, recorder, asks=True) == "left"
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert "not on a Friday" in json.dumps(asked[-1]["messages"])
    assert "tool.called" not in heard.kinds
    assert "approval.denied" in heard.kinds


async def test_what_rules_or_the_program_refuse_is_not_called() -> None:
    async def refuse(tool: str, arguments: Any, context: Any) -> Any:
        return sdk.PermissionResultDeny(message="not on a Friday")

    script = in_turn(
        [uses("toolu_1", "Bash", command="rm -rf x", description="d")],
        [uses("toolu_2", "mcp__job__deploy", target="live")],
        [uses("toolu_3", "mcp__job__nothing")],
        [says("left")],
    )
    events = await recorded(
        lambda recorder: run(script, recorder, can_use_tool=refuse, disallowed_tools=["Bash(rm:*)"])
    )
    assert "tool.called" not in [event.kind for event in events]
    assert [event.reason for event in of(events, "approval.denied")] == ["not on a Friday"]


async def test_a_subagent_has_a_turn_of_its_own_and_its_model_and_tools() -> None:
    def script(asked: Any) -> list[dict[str, Any]]:
        first = json.dumps(asked["messages"][0])
        if "LINT IT" in first and "mend the build" not in first:
            return in_turn([uses("toolu_s", "mcp__job__lint", path="app.py")], [says("linted")])(asked)
        use = uses("toolu_1", "Agent", description="d", prompt="LINT IT", subagent_type="coder")
        return in_turn([use], [says("all done")])(asked)

    coder = sdk.AgentDefinition(description="lints", prompt="you lint")
    events = await recorded(lambda recorder: run(script, recorder, agents={"coder": coder}), agent="planner")
    sequence = told(events)
    assert [each for each in sequence if each[0] == "coder"] == [
        ("coder", "turn.started", ""),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "tool.called", "lint"),
        ("coder", "tool.failed", "lint"),
        ("coder", "model.called", ""),
        ("coder", "model.completed", ""),
        ("coder", "turn.ended", ""),
    ]
    ended = {event.content for event in of(events, "turn.ended")}
    assert ended == {"linted", "all done"}
    assert "turn.failed" not in [event.kind for event in events]


async def test_a_client_that_interrupts_a_tool_goes_on() -> None:
    def script(asked: Any) -> list[dict[str, Any]]:
        if "and now?" in json.dumps(asked["messages"][-1]):
            return [says("left")]
        return [uses("toolu_1", "mcp__job__wait")]

    async def work(recorder: ClaudeAgentSDKRecorder) -> None:
        started.append(anyio.Event())
        with model(script) as address:
            given = recorder.options(options(address, can_use_tool=allow))
            async with sdk.ClaudeSDKClient(given) as client, anyio.create_task_group() as tasks:

                async def interrupt() -> None:
                    await started[-1].wait()
                    await client.interrupt()

                tasks.start_soon(interrupt)
                for prompt in ("wait", "and now?"):
                    await client.query(prompt)
                    async for _ in recorder.observed(client.receive_response()):
                        pass

    events = await recorded(work)
    assert [event.kind for event in events if event.kind.startswith(("turn.", "tool."))] == [
        "turn.started",
        "tool.called",
        "tool.failed",
        "turn.failed",
        "turn.started",
        "turn.ended",
    ]


async def test_a_streamed_answer_is_folded_and_has_its_tokens() -> None:
    script = in_turn([says("a long answer")])
    events = await recorded(lambda recorder: run(script, recorder, include_partial_messages=True))
    (completed,) = of(events, "model.completed")
    assert (completed.response, completed.output_tokens) == (("a long answer",), 3)
    assert len(of(events, "model.progressed")) == 1


def calls_in(events: Sequence[Any]) -> list[tuple[str, str]]:
    """Return what is told of the calls of tools that were made."""
    ends = ("tool.called", "tool.completed", "tool.failed")
    return [(each.kind, each.tool) for each in events if each.kind in ends]


async def test_the_hook_and_the_recorder_tell_the_same_of_one_session(home: Path) -> None:
    command = f"{sys.executable} -P -m hubwire hook claude-code --content --spool {home / 'spool'}"
    script = in_turn(
        [uses("toolu_1", "mcp__job__search", query="build log")],
        [uses("toolu_2", "mcp__job__lint", path="app.py")],
        [uses("toolu_3", "mcp__job__deploy", target="live")],
        [says(ANSWER)],
    )

    async def refuse(tool: str, arguments: Any, context: Any) -> Any:
        return sdk.PermissionResultDeny(message="not on a Friday")

    settings = config_of("claude-code", command)
    events = await recorded(lambda recorder: run(script, recorder, settings=settings, can_use_tool=refuse))
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        hub.feed(SpoolFeed(home / "spool"))
        await heard.wait_for("session.ended")
    by_hook, by_recorder = calls_in(heard.events), calls_in(events)
    assert by_hook == by_recorder
    announced = [event.data["tool"] for event in of(heard.events, "tool.announced")]
    assert announced[-1] == "mcp__job__deploy", "it was refused, and so never called"
    sessions = {event.session_id for event in heard.events if event.source == "claude-code"}
    assert sessions == {event.session_id for event in of(events, "turn.ended")}
    ended = [[event.content for event in of(each, "turn.ended")] for each in (heard.events, events)]
    assert ended == [[ANSWER], [ANSWER]]


async def test_an_agent_answers_envelopes_and_remembers_the_channel() -> None:
    asked: list[str] = []

    def script(given: Any) -> list[dict[str, Any]]:
        asked.append(json.dumps(given["messages"]))
        return [says("still forty-two" if "and now?" in asked[-1] else "forty-two")]

    heard, answers = Heard(), []
    with model(script) as address:
        async with Hub() as hub, record(hub) as recorder:
            hub.attach(heard)
            await hub.spawn(from_claude_agent_sdk(options(address), name="helper", recorder=recorder))
            ann = await hub.agents.register("ann")
            channel = await hub.channels.open([ann, hub.agents.named("helper")])
            for question in ("what is the answer?", "and now?"):
                await channel.post(ann, question)
                async for delivery in ann.inbox():
                    await delivery.ack()
                    answers.append(delivery.event.content)
                    break
            await recorder.flush()
    assert answers == ["forty-two", "still forty-two"]
    assert "ann: what is the answer?" in asked[-1]
    assert "You: forty-two" in asked[-1]


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with (
        Hub(store, listeners=[AuditLog(store)]) as hub,
        record(hub) as recorder,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(approve_all, hub)
        await run(JOB, recorder, asks=True)
        tasks.cancel_scope.cancel()
    assert (await AuditLog(store).verify()).holds
