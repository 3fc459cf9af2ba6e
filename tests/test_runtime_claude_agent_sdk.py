"""The adapter of the Claude Agent SDK, under the SDK itself: a transport plays Claude Code by its protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio
import pytest

pytest.importorskip("claude_agent_sdk", reason="it is not installed: pip install 'hubwire[claude-agent-sdk]'")

from claude_agent_sdk import ClaudeAgentOptions, HookMatcher, Transport, query

from hubwire import Event, Hub
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.claude_agent_sdk import ClaudeAgentSDKRecorder, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of

SESSION = "session-1"


class Claude(Transport):
    """Plays a script of calls of hooks, questions and messages, and keeps what it is answered."""

    def __init__(self, script: Sequence[dict[str, Any]]) -> None:
        self.script = script
        self.answers: list[Any] = []
        self._hooks: dict[str, list[str]] = {}
        self._send, self._receive = anyio.create_memory_object_stream[Any](1000)

    async def connect(self) -> None:
        """There is nothing to connect to."""

    def is_ready(self) -> bool:
        return True

    async def write(self, data: str) -> None:
        await self._send.send(json.loads(data))

    async def end_input(self) -> None:
        """The script ends by itself."""

    async def close(self) -> None:
        self._send.close()
        self._receive.close()

    async def _next(self, kind: str) -> Any:
        while (message := await self._receive.receive())["type"] != kind:
            pass
        return message

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        asked = await self._next("control_request")
        for name, matchers in (asked["request"]["hooks"] or {}).items():
            self._hooks[name] = [each for matcher in matchers for each in matcher["hookCallbackIds"]]
        response = {"subtype": "success", "request_id": asked["request_id"], "response": {}}
        yield {"type": "control_response", "response": response}
        for number, step in enumerate(self.script):
            if "hook_event_name" in step:
                given = {"session_id": SESSION, "transcript_path": "", "cwd": "", **step}
                for callback in self._hooks.get(step["hook_event_name"], ()):
                    request = {"subtype": "hook_callback", "callback_id": callback, "input": given}
                    yield {"type": "control_request", "request_id": f"{number}-{callback}", "request": request}
                    self.answers.append((await self._next("control_response"))["response"])
            elif step["type"] == "ask":
                request = {"subtype": "can_use_tool", **step["request"]}
                yield {"type": "control_request", "request_id": f"{number}", "request": request}
                self.answers.append((await self._next("control_response"))["response"])
            else:
                yield step


def before(tool: str, call: str, **arguments: Any) -> dict[str, Any]:
    return {"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": arguments, "tool_use_id": call}


def after(tool: str, call: str, response: Any, **arguments: Any) -> dict[str, Any]:
    return before(tool, call, **arguments) | {"hook_event_name": "PostToolUse", "tool_response": response}


def failed(tool: str, call: str, error: str, **arguments: Any) -> dict[str, Any]:
    return before(tool, call, **arguments) | {"hook_event_name": "PostToolUseFailure", "error": error}


def asks(tool: str, call: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "ask", "request": {"tool_name": tool, "input": arguments, "tool_use_id": call}}


def says(text: str, message: str) -> dict[str, Any]:
    return {
        "type": "assistant",
        "session_id": SESSION,
        "uuid": f"uuid-{message}",
        "message": {
            "id": message,
            "model": "claude",
            "content": [{"type": "text", "text": text}],
            "usage": {"input_tokens": 11, "output_tokens": 3},
        },
    }


def result(text: str = ANSWER, **fields: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": SESSION,
        "total_cost_usd": 0.25,
        "result": text,
        **fields,
    }


PROMPT = {"hook_event_name": "UserPromptSubmit", "prompt": "mend the build"}

JOB = [
    PROMPT,
    says("I search.", "m1"),
    before("search", "c1", query="build log"),
    after("search", "c1", "2 errors", query="build log"),
    {"hook_event_name": "SubagentStart", "agent_id": "a1", "agent_type": "coder"},
    before("lint", "c2", path="app.py") | {"agent_id": "a1"},
    failed("lint", "c2", "no such file: app.py", path="app.py"),
    {"hook_event_name": "SubagentStop", "agent_id": "a1", "agent_type": "coder", "last_assistant_message": "mended"},
    before("deploy", "c3", target="staging"),
    asks("deploy", "c3", target="staging"),
    after("deploy", "c3", "deployed to staging", target="staging"),
    says(ANSWER, "m2"),
    says(ANSWER, "m2"),
    result(),
]


async def play(recorder: ClaudeAgentSDKRecorder, script: Sequence[dict[str, Any]], **settings: Any) -> list[Any]:
    """Run a script, and return what Claude Code was answered."""
    transport = Claude(script)
    options = recorder.options(ClaudeAgentOptions(**settings), asks="can_use_tool" not in settings)
    async for _ in recorder.observed(query(prompt=_prompts(), options=options, transport=transport)):
        pass
    return transport.answers


async def _prompts() -> AsyncIterator[dict[str, Any]]:
    yield {"type": "user", "message": {"role": "user", "content": "mend the build"}}


async def recorded(work: Callable[[ClaudeAgentSDKRecorder], Any], **settings: Any) -> list[Event]:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            with anyio.fail_after(30):
                await work(recorder)
            assert recorder.statistics().failures == 0
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [
        (event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool") or event.kind == "approval.approved"
    ]


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(lambda recorder: play(recorder, JOB))
    assert told(events) == [
        ("turn.started", ""),
        ("model.called", ""),
        ("model.completed", ""),
        ("tool.called", "search"),
        ("tool.completed", "search"),
        ("turn.started", ""),
        ("tool.called", "lint"),
        ("tool.failed", "lint"),
        ("turn.ended", ""),
        ("approval.approved", "deploy"),
        ("tool.called", "deploy"),
        ("tool.completed", "deploy"),
        ("model.called", ""),
        ("model.completed", ""),
        ("turn.ended", ""),
    ]
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    assert {event.tool: names[event.agent_id] for event in of(events, "tool.called")} == {
        "search": "claude",
        "lint": "coder",
        "deploy": "claude",
    }
    assert of(events, "tool.called")[0].arguments == {"query": "build log"}
    assert "no such file" in of(events, "tool.failed")[0].error_message
    assert {event.session_id for event in events if event.kind == "tool.called"} == {SESSION}


async def test_hooks_have_no_say_and_those_that_are_there_come_first() -> None:
    called: list[str] = []

    async def own(given: Any, tool_use_id: Any, context: Any) -> Any:
        called.append(given["hook_event_name"])
        return {"systemMessage": "own"}

    hooks: Any = {"PreToolUse": [HookMatcher(hooks=[own])]}
    script = [PROMPT, before("search", "c1"), after("search", "c1", "x"), result()]
    answers: list[Any] = []

    async def work(recorder: ClaudeAgentSDKRecorder) -> None:
        answers.extend(await play(recorder, script, hooks=hooks))

    await recorded(work)
    assert [answer["response"] for answer in answers] == [{}, {"systemMessage": "own"}, {}, {}]
    assert called == ["PreToolUse"]
    assert list(hooks) == ["PreToolUse"], "the options that were given are as they were"


async def test_what_is_denied_is_never_called_and_the_model_hears_why() -> None:
    async def deny(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny, hub)
            script = [
                PROMPT,
                before("deploy", "c1", target="live"),
                asks("deploy", "c1", target="live"),
                result("left"),
            ]
            answers = await play(recorder, script)
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert answers[-1]["response"] == {"behavior": "deny", "message": "The tool call was denied: not on a Friday"}
    assert "tool.called" not in heard.kinds
    assert of(heard.events, "turn.ended")[0].content == "left"


async def test_a_run_that_fails_has_failed() -> None:
    script = [PROMPT, result("", is_error=True, subtype="error_during_execution", errors=["no model here"])]
    events = await recorded(lambda recorder: play(recorder, script))
    assert told(events) == [("turn.started", ""), ("turn.failed", "")]
    assert "no model here" in of(events, "turn.failed")[0].error_message


async def test_parallel_tools_are_paired_by_their_call() -> None:
    script = [PROMPT, before("f", "c1", n=1), before("f", "c2", n=2), after("f", "c2", "two"), after("f", "c1", "one")]
    events = await recorded(lambda recorder: play(recorder, [*script, result()]))
    assert {event.call_id: event.result for event in of(events, "tool.completed")} == {"c1": "one", "c2": "two"}


async def test_a_run_that_is_cancelled_has_not_ended_well() -> None:
    async def work(recorder: ClaudeAgentSDKRecorder) -> None:
        script = [PROMPT, says("I wait.", "m1"), result()]
        options = recorder.options(ClaudeAgentOptions())
        messages = recorder.observed(query(prompt=_prompts(), options=options, transport=Claude(script)))
        async for _ in messages:
            break
        await messages.aclose()  # type: ignore[attr-defined]

    events = await recorded(work)
    assert "turn.ended" not in [event.kind for event in events]


async def test_recording_twice_is_once_and_a_closed_recorder_is_silent() -> None:
    heard = Heard()
    async with Hub(listeners=[heard]) as hub:
        recorder = record(hub)
        assert record(hub) is recorder
        await recorder.aclose()
        with anyio.fail_after(30):
            await play(recorder, [PROMPT, before("f", "c1"), after("f", "c1", "x"), result()])
    assert "turn.started" not in heard.kinds


async def test_a_hub_that_is_gone_is_not_noticed() -> None:
    async with Hub() as hub:
        recorder = record(hub)
    with anyio.fail_after(30):
        answers = await play(recorder, [PROMPT, before("f", "c1"), asks("f", "c1"), result()])
    assert answers[-1]["response"]["behavior"] == "deny", "a hub that is gone approves nothing"
    recorder.close()


async def test_odd_hooks_are_not_noticed() -> None:
    recorder = record(Hub())
    for odd in (None, {}, {"hook_event_name": 3}, {"hook_event_name": "Stop", "session_id": object()}):
        assert await recorder._hook(odd, None, None) == {}
    assert isinstance(recorder, Recorder)
    recorder.close()


async def test_secrets_are_redacted() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
    script = [PROMPT, before("f", "c1", key=secret), after("f", "c1", secret), result(secret)]
    assert secret not in str(await recorded(lambda recorder: play(recorder, script), content=True))


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with (
        Hub(store, listeners=[AuditLog(store)]) as hub,
        record(hub) as recorder,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(approve_all, hub)
        await play(recorder, JOB)
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict
