"""The adapter of the Claude Agent SDK, under the SDK itself: a transport plays Claude Code by its protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

import anyio
import pytest

pytest.importorskip("claude_agent_sdk", reason="it is not installed: pip install 'hubwire[claude-agent-sdk]'")

from claude_agent_sdk import (
    ClaudeAgentOptions,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    ProcessError,
    Transport,
    query,
)

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.claude_agent_sdk import ClaudeAgentSDKRecorder, from_claude_agent_sdk, record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
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
            elif step["type"] == "wait":
                step["started"].set()
                await anyio.sleep_forever()
            elif step["type"] == "crash":
                raise ProcessError("no model here", exit_code=1)
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


def gives(call: str, text: str, *, is_error: bool = True) -> dict[str, Any]:
    """What the model is told that a call has come to."""
    block = {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": is_error}
    return {"type": "user", "message": {"role": "user", "content": [block]}}


def stops(text: str = ANSWER) -> dict[str, Any]:
    return {"hook_event_name": "Stop", "last_assistant_message": text}


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

INIT = {"type": "system", "subtype": "init", "session_id": SESSION}

JOB = [
    PROMPT,
    INIT,
    says("I search.", "m1"),
    before("search", "c1", query="build log"),
    after("search", "c1", "2 errors", query="build log"),
    {"hook_event_name": "SubagentStart", "agent_id": "a1", "agent_type": "coder"},
    before("lint", "c2", path="app.py") | {"agent_id": "a1"},
    failed("lint", "c2", "no such file: app.py", path="app.py"),
    {"hook_event_name": "SubagentStop", "agent_id": "a1", "agent_type": "coder", "last_assistant_message": "mended"},
    says("I deploy.", "m3"),
    before("deploy", "c3", target="staging"),
    asks("deploy", "c3", target="staging"),
    after("deploy", "c3", "deployed to staging", target="staging"),
    says(ANSWER, "m2"),
    stops(),
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


async def allow(tool: str, arguments: dict[str, Any], context: Any) -> PermissionResultAllow:
    return PermissionResultAllow()


async def run(script: Sequence[dict[str, Any]], *recorders: Recorder | None, asks: bool) -> str:
    """Run a script under these recorders, and return the result that the program reads."""
    options = ClaudeAgentOptions() if asks else ClaudeAgentOptions(can_use_tool=allow)
    there = [each for each in recorders if isinstance(each, ClaudeAgentSDKRecorder)]
    for each in there:
        options = each.options(options, asks=asks)
    messages = query(prompt=_prompts(), options=options, transport=Claude(script))
    for each in there:
        messages = each.observed(messages)
    said = ""
    async for message in messages:
        said = getattr(message, "result", said)
    return said


class TestClaudeAgentSDK(RuntimeContract):
    lacks: ClassVar = {"hand_over": "a subagent is called, and answers"}

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, agent="planner", **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        return await run(JOB, recorder, asks=asks and recorder is not None)

    async def run_job_for_both(self, recorder: Recorder, second: Recorder) -> str:
        return await run(JOB, recorder, second, asks=False)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(Exception, match="no model here") as caught:
            await run([PROMPT, INIT, {"type": "crash"}], recorder, asks=False)
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        script = [PROMPT, says("I wait.", "m1"), before("wait", "c1"), asks("wait", "c1")]
        await run([*script, {"type": "wait", "started": started}], recorder, asks=False)


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
        ("model.called", ""),
        ("model.completed", ""),
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


async def test_odd_hooks_and_messages_are_not_noticed() -> None:
    class Odd:
        session_id = "1"

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    async def messages() -> AsyncIterator[Any]:
        for odd in (None, 3, Odd(), type("AssistantMessage", (), {"session_id": "1"})()):
            yield odd

    recorder = record(Hub())
    (matcher,) = recorder.options().hooks["PreToolUse"]
    for odd in (None, {}, {"hook_event_name": 3}, {"hook_event_name": "Stop", "session_id": object()}):
        assert await matcher.hooks[0](odd, None, None) == {}
    assert len([each async for each in recorder.observed(messages())]) == 4
    recorder.close()


@pytest.mark.parametrize("odd", [3, "options", {}, object()])
def test_what_are_no_options_and_no_messages_is_refused(odd: Any) -> None:
    recorder = record(Hub())
    with pytest.raises(ConfigurationError, match="ClaudeAgentOptions"):
        recorder.options(odd)
    with pytest.raises(ConfigurationError, match="asks"):
        recorder.options(asks=odd)
    with pytest.raises(ConfigurationError, match="query"):
        recorder.observed(odd)
    with pytest.raises(ConfigurationError, match="ClaudeAgentOptions"):
        from_claude_agent_sdk(odd)
    with pytest.raises(ConfigurationError, match="record"):
        from_claude_agent_sdk(recorder=odd)
    recorder.close()


def test_the_hub_is_asked_instead_of_nobody_else() -> None:
    recorder = record(Hub())
    with pytest.raises(ConfigurationError, match="can_use_tool"):
        recorder.options(ClaudeAgentOptions(can_use_tool=allow), asks=True)
    with pytest.raises(ConfigurationError, match="permission_prompt_tool_name"):
        recorder.options(ClaudeAgentOptions(permission_prompt_tool_name="ask"), asks=True)
    recorder.close()


async def test_options_that_are_made_twice_record_once() -> None:
    async def work(recorder: ClaudeAgentSDKRecorder) -> None:
        options = recorder.options(recorder.options(asks=True), asks=True)
        assert [len(matchers) for matchers in options.hooks.values()] == [1] * len(options.hooks)
        async for _ in recorder.observed(query(prompt=_prompts(), options=options, transport=Claude(JOB))):
            pass

    events = await recorded(work)
    assert len(of(events, "turn.started")) == 2, "that of the session, and that of its subagent"
    assert len(of(events, "approval.requested")) == 1


# -- what Claude Code does, as it was seen to do it ------------------------------------------------------------------


async def test_the_result_that_comes_after_the_hook_has_the_cost_of_the_turn() -> None:
    script = [
        PROMPT,
        INIT,
        says("one", "m1"),
        stops("one"),
        result("one", usage={"input_tokens": 11, "output_tokens": 9}),
    ]
    again = [PROMPT | {"prompt": "and now?"}, says("two", "m2"), stops("two"), result("two", total_cost_usd=0.75)]
    first, second = of(await recorded(lambda recorder: play(recorder, [*script, *again])), "turn.ended")
    assert first.metadata["cost_usd"] == 0.25
    assert (first.metadata["input_tokens"], first.metadata["output_tokens"]) == (11, 9)
    assert second.metadata["cost_usd"] == 0.5, "it tells the sum of the session"


async def test_an_answer_that_comes_in_pieces_is_whole_and_its_tokens_are_not_those_of_its_beginning() -> None:
    use = {"type": "tool_use", "id": "c1", "name": "search", "input": {"query": "x"}}
    piece = says("I search.", "m1")
    other = piece | {"uuid": "u2", "message": piece["message"] | {"content": [use]}}
    script = [PROMPT, INIT, piece, other, before("search", "c1"), after("search", "c1", "x"), stops(), result()]
    (completed,) = of(await recorded(lambda recorder: play(recorder, script), content=True), "model.completed")
    assert [each if isinstance(each, str) else each["name"] for each in completed.response] == ["I search.", "search"]
    assert (completed.input_tokens, completed.output_tokens) == (11, None)


async def test_a_subagent_in_the_background_ends_when_it_does() -> None:
    sub = {"agent_id": "a1", "agent_type": "coder"}
    started = {"type": "system", "subtype": "task_started", "task_id": "a1", "tool_use_id": "c1", "description": "d"}
    script = [
        *(PROMPT, INIT, before("Agent", "c1"), started | {"session_id": SESSION, "uuid": "u1"}),
        {"hook_event_name": "SubagentStart", **sub},
        after("Agent", "c1", {"isAsync": True}),
        stops("delegated"),
        before("lint", "c2") | sub,
        says("I lint.", "m1") | {"parent_tool_use_id": "c1"},
        failed("lint", "c2", "no such file") | sub,
        {"hook_event_name": "SubagentStop", **sub, "last_assistant_message": "linted"},
        result("delegated"),
    ]
    for is_read in (True, False):

        async def work(recorder: ClaudeAgentSDKRecorder, *, is_read: bool = is_read) -> None:
            messages = query(prompt=_prompts(), options=recorder.options(), transport=Claude(script))
            async for _ in recorder.observed(messages) if is_read else messages:
                pass

        events = await recorded(work)
        names = {event.agent_id: event.name for event in of(events, "agent.registered")}
        assert [(names[event.agent_id], event.content) for event in of(events, "turn.ended")] == [
            ("coder", "linted"),
            ("claude", "delegated"),
        ]
        assert len(of(events, "turn.started")) == 2
        assert [names[event.agent_id] for event in of(events, "tool.failed")] == ["coder"]
        assert [names[event.agent_id] for event in of(events, "model.called")] == ["coder"] * is_read


async def test_a_subagent_that_runs_on_after_the_result_is_told_to_its_end() -> None:
    sub = {"agent_id": "a1", "agent_type": "coder"}
    started = {"type": "system", "subtype": "task_started", "task_id": "a1", "tool_use_id": "c1", "description": "d"}
    begin = [PROMPT | {"prompt_id": "p1"}, INIT, started | {"session_id": SESSION, "uuid": "u1"}]
    begin += [{"hook_event_name": "SubagentStart", "prompt_id": "p1", **sub}, stops("one") | {"prompt_id": "p1"}]
    after_ = [before("lint", "c2") | sub | {"prompt_id": "p1"}, says("I lint.", "m1") | {"parent_tool_use_id": "c1"}]
    after_ += [after("lint", "c2", "fine") | sub | {"prompt_id": "p1"}]
    stop = {"hook_event_name": "SubagentStop", **sub, "prompt_id": "p1", "last_assistant_message": "linted"}
    events = await recorded(lambda recorder: play(recorder, [*begin, result("one"), *after_, stop]))
    assert [event.content for event in of(events, "turn.ended")] == ["linted", "one"]
    assert {event.kind for event in events} >= {"tool.completed", "model.completed"}
    events = await recorded(lambda recorder: play(recorder, [*begin, result("one"), *after_]))
    assert [event.kind for event in events if event.kind.startswith("turn.")][-2:] == ["turn.failed", "turn.ended"]
    assert len(of(events, "turn.started")) == 2


async def test_a_call_that_rules_refuse_is_not_recorded_and_one_that_was_interrupted_has_failed() -> None:
    script = [
        *(PROMPT, INIT, before("Bash", "c1"), gives("c1", "Permission to use Bash has been denied.")),
        *(before("Bash", "c2"), gives("c2", "This call was stopped while running, not refused before it ran.")),
        result("", is_error=True, subtype="error_during_execution", result=None, errors=[]),
    ]
    events = await recorded(lambda recorder: play(recorder, script))
    assert [event.call_id for event in of(events, "tool.called")] == ["c2"]
    assert [event.error_type for event in of(events, "tool.failed")] == ["Interrupted"]
    assert [event.kind for event in events if event.kind.startswith("turn.")] == ["turn.started", "turn.failed"]


async def test_a_session_whose_messages_are_not_read_ends_its_turns_with_their_hook() -> None:
    async def work(recorder: ClaudeAgentSDKRecorder) -> None:
        failed_turn = {"hook_event_name": "StopFailure", "error": "unknown", "last_assistant_message": "API Error: 400"}
        script = [PROMPT, stops("one"), PROMPT, PROMPT | {"prompt": "now"}, failed_turn, result()]
        async for _ in query(prompt=_prompts(), options=recorder.options(), transport=Claude(script)):
            pass

    events = await recorded(work)
    assert [event.content for event in of(events, "turn.ended")] == ["one"]
    assert ["another prompt" in event.error_message for event in of(events, "turn.failed")] == [True, False]
    assert of(events, "turn.failed")[1].error_message == "API Error: 400"


async def test_what_the_program_itself_answers_is_recorded_as_a_verdict() -> None:
    async def decide(tool: str, arguments: dict[str, Any], context: Any) -> Any:
        return PermissionResultAllow() if tool == "deploy" else PermissionResultDeny(message="not on a Friday")

    script = [PROMPT, INIT, before("deploy", "c1", n=1), asks("deploy", "c1", n=1), after("deploy", "c1", "x", n=1)]
    script += [before("wipe", "c2"), asks("wipe", "c2"), gives("c2", "not on a Friday"), stops(), result()]
    events = await recorded(lambda recorder: play(recorder, script, can_use_tool=decide))
    assert [
        event.kind for event in events if event.kind in ("approval.approved", "approval.denied", "tool.called")
    ] == [
        "approval.approved",
        "tool.called",
        "approval.denied",
    ]
    assert of(events, "approval.denied")[0].reason == "not on a Friday"


async def test_a_client_that_is_left_in_the_middle_has_not_failed() -> None:
    """Claude Code goes on then, and says when it has ended."""

    async def receive_response(transport: Claude, options: Any) -> AsyncIterator[Any]:
        async for message in query(prompt=_prompts(), options=options, transport=transport):
            yield message

    async def work(recorder: ClaudeAgentSDKRecorder) -> None:
        options = recorder.options()
        messages = receive_response(Claude([PROMPT, INIT, says("one", "m1"), stops("one"), result()]), options)
        seen = recorder.observed(messages)
        async for message in seen:
            if type(message).__name__ == "AssistantMessage":
                break
        await seen.aclose()  # type: ignore[attr-defined]
        given = {"session_id": SESSION, **stops("one")}
        await options.hooks["Stop"][0].hooks[0](given, None, None)

    events = await recorded(work)
    assert [event.kind for event in events if event.kind.startswith("turn.")] == ["turn.started", "turn.ended"]


async def test_a_session_that_is_resumed_elsewhere_has_turns_of_its_own() -> None:
    ids = []
    for _ in range(2):
        events = await recorded(lambda recorder: play(recorder, [PROMPT, INIT, stops(), result()]))
        ids += [event.turn_id for event in of(events, "turn.started")]
    assert len(set(ids)) == 2


async def test_of_a_hundred_thousand_calls_nothing_is_left() -> None:
    recorder = record(Hub(), queue_max=100)
    hook = recorder.options().hooks["Stop"][0].hooks[0]
    for n in range(20_000):
        said = {"session_id": SESSION, "prompt_id": f"p{n}"}
        for each in (PROMPT, before("f", f"c{n}"), after("f", f"c{n}", "x"), before("g", f"d{n}"), stops()):
            await hook({**said, **each}, None, None)
    (session,) = recorder._sessions.values()
    assert (len(session._turns), len(session._calls), len(session._answers._open)) == (0, 0, 0)
    assert len(session._ended) <= 100
    assert recorder.statistics().open <= 100
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
