"""``hubwire hook``: what coding agents give to their hooks becomes events, quickly, silently, and without contents."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hubwire import Board
from hubwire.cli.hooking import AGENTS
from support.spools import drained, lines_of, seen_of, taken_into

SECRET = "sk-ant-api03-" + "abcDEF0123456789" * 4
COMMON = {
    "session_id": "0b1c2d3e-4f5a-6789-abcd-ef0123456789",
    "transcript_path": "/home/ada/.claude/projects/shop/0b1c.jsonl",
    "cwd": "/home/ada/shop",
    "permission_mode": "default",
}
CALL: dict[str, Any] = {"tool_name": "Bash", "tool_input": {"command": f"echo {SECRET}"}, "tool_use_id": "toolu_01ABC"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def hook(place: Path, said: Any, *words: str, agent: str = "claude-code") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "hubwire", "hook", agent, *words],
        input=said if isinstance(said, bytes) else json.dumps(said).encode(),
        env={**os.environ, "HUBWIRE_SPOOL": str(place)},
        capture_output=True,
        check=False,
        timeout=60,
    )


def record(
    place: Path, hook_event_name: str, *words: str, agent: str = "claude-code", **more: Any
) -> list[dict[str, Any]]:
    """Call the command as an agent does; return the events of this call."""
    before = len(lines_of(place))
    done = hook(place, {**COMMON, "hook_event_name": hook_event_name, **more}, "--strict", *words, agent=agent)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return [line["e"] for line in lines_of(place)[before:]]


def test_a_session_becomes_turns_and_calls(place: Path, tmp_path: Path) -> None:
    """Each call of a hook is a process; calls and turns have the same ids at both ends, and a hub takes them in."""
    record(place, "SessionStart", source="startup", model="claude-opus-4")
    record(place, "UserPromptSubmit", prompt="Mend the till")
    record(place, "PreToolUse", **CALL)
    record(place, "PostToolUse", **CALL, tool_response={"stdout": SECRET}, duration_ms=12)
    record(place, "PreToolUse", **{**CALL, "tool_use_id": "toolu_02"})
    record(place, "PostToolUseFailure", **{**CALL, "tool_use_id": "toolu_02"}, error="exit 1", is_interrupt=False)
    record(place, "PermissionRequest", **CALL)
    record(place, "Notification", message="Claude needs you", notification_type="permission_prompt")
    record(place, "SubagentStart", agent_id="sub-1", agent_type="Explore")
    record(place, "SubagentStop", agent_id="sub-1", agent_type="Explore", last_assistant_message="Found it")
    record(place, "PreCompact", trigger="auto", custom_instructions="")
    record(place, "Stop", stop_hook_active=False, last_assistant_message="Done")
    record(place, "UserPromptSubmit", prompt="And the door")
    record(place, "StopFailure", error="rate_limit", error_details="429")
    record(place, "SessionEnd", reason="prompt_input_exit")
    drained(place, tmp_path / "store")
    events = taken_into(tmp_path / "store")
    assert [event["kind"] for event in events] == [
        *("session.started", "turn.started", "tool.announced", "tool.called", "tool.completed"),
        *("tool.announced", "tool.called", "tool.failed"),
        *("permission.requested", "notification.sent", "turn.started", "turn.ended", "compaction.started"),
        *("turn.ended", "turn.started", "turn.failed", "error.raised", "session.ended"),
    ]
    assert {event["session_id"] for event in events} == {COMMON["session_id"]}
    assert {event["source"] for event in events} == {"claude-code"}
    announced, called, completed, _, again, failed = events[2:8]
    assert announced["data"] == {"tool": "Bash", "call_id": "toolu_01ABC"}
    assert (called["call_id"], completed["call_id"]) == ("toolu_01ABC", "toolu_01ABC")
    assert (again["call_id"], failed["call_id"]) == ("toolu_02", "toolu_02")
    assert (completed["duration_ms"], failed["error_type"]) == (12, "ToolError")
    first, second = events[1]["turn_id"], events[14]["turn_id"]
    assert first != second
    assert {event["turn_id"] for event in (*events[1:10], events[13])} == {first}
    assert {event["turn_id"] for event in events[14:17]} == {second}
    sub = [(event["agent_id"], event["turn_id"]) for event in events[10:12]]
    assert sub == [("claude-code/Explore", "sub-1")] * 2
    assert events[0]["data"] == {"source": "startup", "model": "claude-opus-4"}
    assert list((place / "turns").iterdir()) == []
    assert list((place / "calls").iterdir()) == []


def times_of(*events: dict[str, Any]) -> list[float]:
    return [dt.datetime.fromisoformat(event["occurred_at"]).timestamp() for event in events]


def test_a_call_that_is_refused_is_no_call(place: Path) -> None:
    """It is announced before rules and people are asked, and whether it may be made is told by its end alone."""
    record(place, "UserPromptSubmit", prompt="Mend the till")
    record(place, "PreToolUse", **CALL)
    record(place, "PermissionRequest", **{key: CALL[key] for key in ("tool_name", "tool_input")})
    (denied,) = record(place, "PermissionDenied", **CALL, reason="a rule")
    assert (denied["kind"], denied["outcome"], denied["severity"]) == ("permission.denied", "denied", "warning")
    assert denied["data"] == {"tool": "Bash", "call_id": "toolu_01ABC"}
    record(place, "PreToolUse", **{**CALL, "tool_use_id": "toolu_02"})  # refused by a person: no hook is told
    record(place, "Stop", last_assistant_message="I may not")
    _, events = seen_of(place)
    assert [event.kind for event in events if event.source == "claude-code"] == [
        *("turn.started", "tool.announced", "permission.requested", "permission.denied"),
        *("tool.announced", "turn.ended"),
    ]
    board = Board()
    board.fold_all(events)
    (run,) = board.runs()
    assert (run.turns, run.calls, run.open, run.failed) == (1, 0, 0, 0)


def test_a_call_began_when_it_was_announced_or_as_long_ago_as_it_took(place: Path) -> None:
    before = time.time()
    record(place, "PreToolUse", **CALL)
    after = time.time()
    called, completed = record(place, "PostToolUse", **CALL, tool_response="ok")
    assert (called["kind"], completed["kind"]) == ("tool.called", "tool.completed")
    (began,) = times_of(called)
    assert before - 0.1 <= began <= after + 0.1, "the clock of files may be a few milliseconds behind"
    record(place, "PreToolUse", **CALL)
    called, _ = record(place, "PostToolUse", **CALL, tool_response="ok", duration_ms=0.001)
    assert times_of(called)[0] > after
    called, _ = record(place, "PostToolUse", **CALL, tool_response="ok", duration_ms=100_000)
    assert times_of(called)[0] < before - 50
    called, _ = record(place, "PostToolUse", **CALL, tool_response="ok")
    assert "occurred_at" not in called, "it was not announced, and its line says when it was told"


def test_a_call_that_was_asked_about_began_no_earlier(place: Path) -> None:
    """An approval stands before its call, also where the question does not name the call."""
    record(place, "PreToolUse", **CALL)
    record(place, "PermissionRequest", **{key: CALL[key] for key in ("tool_name", "tool_input")})
    called, failed = record(place, "PostToolUseFailure", **CALL, error="exit 1")
    assert (called["kind"], failed["kind"]) == ("tool.called", "tool.failed")
    assert "occurred_at" not in called


def test_calls_that_were_never_made_are_forgotten_after_a_day(place: Path) -> None:
    record(place, "UserPromptSubmit", prompt="go")
    record(place, "PreToolUse", **CALL)
    record(place, "PreToolUse", **{**CALL, "tool_input": {"command": "ls"}})
    old, _ = sorted((place / "calls").iterdir())
    os.utime(old, (0, 0))
    record(place, "SessionEnd", reason="other")
    assert len(list((place / "calls").iterdir())) == 1
    assert old.exists() is False


@pytest.mark.parametrize("what", ["file", "link", "unwritable"])
def test_a_place_for_calls_that_cannot_be_used_loses_no_event(what: str, place: Path, tmp_path: Path) -> None:
    place.mkdir()
    if what == "file":
        (place / "calls").write_text("")
    elif what == "link":
        (place / "calls").symlink_to(tmp_path / "nowhere")
    else:
        (place / "calls").mkdir(mode=0o500)
    assert [event["kind"] for event in record(place, "PreToolUse", **CALL)] == ["tool.announced"]
    assert [event["kind"] for event in record(place, "PostToolUse", **CALL)] == ["tool.called", "tool.completed"]


def test_without_contents_there_are_names_and_sizes(place: Path) -> None:
    """Neither prompts nor arguments, results, messages, errors and paths are on the disk."""
    record(place, "UserPromptSubmit", prompt=f"My key is {SECRET}")
    record(place, "PreToolUse", **CALL)
    record(place, "PostToolUse", **CALL, tool_response={"stdout": SECRET})
    record(place, "PostToolUseFailure", **CALL, error=f"bad key {SECRET}")
    record(place, "Notification", message=SECRET, title=SECRET, notification_type=f"x {SECRET}")
    record(place, "Stop", last_assistant_message=SECRET)
    record(place, "SessionStart", source=f"/home/{SECRET}", model=f"a {SECRET}")
    (new,) = record(place, "NewHook", payload={"deep": SECRET}, note=f"see {SECRET}", token="hunter2", trigger="auto")
    everything = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything
    for word in (b"hunter2", b"My key", b"/home/ada", b"transcript"):
        assert word not in everything.replace(b'"transcript_path"', b"")
    assert new["kind"] == "hook.called"
    assert new["data"]["hook"] == "NewHook"
    assert new["data"]["said"]["trigger"] == "auto"
    assert {"payload", "note", "token"} < set(new["data"]["said"]["keys"])
    called, _ = record(place, "PostToolUse", **CALL)
    assert called["metadata"]["chars"]["tool_input"] == len(json.dumps(CALL["tool_input"]))
    assert called["metadata"]["project"] == "shop"


def test_contents_are_redacted_before_they_are_written(place: Path) -> None:
    (announced,) = record(place, "PreToolUse", "--content", **CALL)
    assert announced["data"]["arguments"]["command"].startswith("echo [redacted:")
    called, _ = record(place, "PostToolUse", "--content", **CALL)
    assert called["arguments"]["command"].startswith("echo [redacted:")
    (started,) = record(place, "UserPromptSubmit", "--content", prompt="Write to ada@example.org")
    assert started["prompt"] == "Write to [redacted:email]"
    (new,) = record(place, "NewHook", "--content", note="Mend the till", token="hunter2", more=[1, {"a": SECRET}])
    assert new["data"]["said"]["note"] == "Mend the till"
    assert new["data"]["said"]["more"][0] == 1
    everything = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    for secret in (SECRET.encode(), b"hunter2", b"ada@example.org"):
        assert secret not in everything


def test_long_and_deep_contents_are_cut(place: Path, tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    record(
        place, "PreToolUse", "--content", tool_name="Write", tool_use_id="1", tool_input={"a": "y" * 300_000, "b": deep}
    )
    drained(place, tmp_path / "store")
    (called,) = taken_into(tmp_path / "store")
    assert called["kind"] == "tool.announced"
    assert called["data"]["arguments"]["a"].endswith("… (280000 more characters)")


def test_codex_notifies_by_an_argument(place: Path) -> None:
    """And calls hooks as Claude Code does, with ids of turns."""
    said = {
        "type": "agent-turn-complete",
        "thread-id": "t-1",
        "turn-id": "7",
        "cwd": "/home/ada/shop",
        "input-messages": ["hello"],
        "last-assistant-message": "Done",
    }
    assert hook(place, b"", "--strict", json.dumps(said), agent="codex").stderr == b""
    record(place, "PreToolUse", agent="codex", **CALL, turn_id="8", model="gpt-5")
    record(place, "PostToolUse", agent="codex", **CALL, turn_id="8", model="gpt-5")
    ended, _, called, _ = [line["e"] for line in lines_of(place)]
    assert (ended["kind"], ended["session_id"], ended["turn_id"]) == ("turn.ended", "t-1", "7")
    assert (called["turn_id"], called["metadata"]["model"], called["agent_id"]) == ("8", "gpt-5", "codex")


def test_gemini_calls_have_one_id_at_both_ends(place: Path) -> None:
    """Its hooks name no call: the id is made of what is called."""
    call = {"tool_name": "run_shell_command", "tool_input": {"command": "ls"}}
    (started,) = record(place, "BeforeAgent", agent="gemini-cli", prompt="hello")
    record(place, "BeforeTool", agent="gemini-cli", **call)
    called, completed = record(
        place, "AfterTool", agent="gemini-cli", **call, tool_response={"llmContent": "a", "error": None}
    )
    (announced,) = record(place, "BeforeTool", agent="gemini-cli", **{**call, "tool_input": {"command": "ls /"}})
    other = announced["data"]
    _, failed = record(place, "AfterTool", agent="gemini-cli", **call, tool_response={"error": {"message": "no"}})
    (ended,) = record(place, "AfterAgent", agent="gemini-cli", prompt="hello", prompt_response="hi")
    kinds = [each["kind"] for each in (started, called, completed, failed, ended)]
    assert kinds == ["turn.started", "tool.called", "tool.completed", "tool.failed", "turn.ended"]
    assert called["call_id"] == completed["call_id"] == failed["call_id"] != other["call_id"]
    assert {each["turn_id"] for each in (started, called, completed, ended)} == {started["turn_id"]}


def test_an_agent_has_the_name_that_it_is_given(place: Path) -> None:
    (called,) = record(place, "PreToolUse", "--name", "mender", **CALL)
    assert called["agent_id"] == "mender"


HOSTILE = (
    b"",
    b"nope",
    b"[]",
    b"3",
    b"{}",
    b"\xff\xfe",
    b'{"hook_event_name": 3}',
    b'{"hook_event_name": ""}',
    b"[" * 100_000,
    b'{"hook_event_name": "PreToolUse"',
)


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_hook_is_silent(said: bytes, place: Path) -> None:
    """With --strict it is an error that says what was given."""
    done = hook(place, said)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = hook(place, said, "--strict")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"hubwire hook: it ")
    assert done.stderr.count(b"\n") == 1


ODD_FIELDS: tuple[dict[str, Any], ...] = (
    {"session_id": None, "tool_name": None, "tool_use_id": None},
    {"session_id": 3, "tool_name": ["x"], "tool_use_id": {"a": 1}, "cwd": 7, "agent_type": [], "turn_id": 9},
    {"session_id": "../../etc/passwd", "tool_name": "a/b c", "tool_use_id": "x" * 5000, "agent_id": "\0"},
    {"session_id": "..", "tool_name": "\ud800", "tool_use_id": "\u2028\n", "cwd": "/a/\ud800", "prompt": "\ud800"},
    {"tool_input": float("nan"), "tool_response": [float("inf")], "duration_ms": -1, "error": {"a": ["\ud800"]}},
    {"tool_input": 10**400, "tool_response": {"error": "\ud800"}, "duration_ms": True, "reason": 5},
)


@pytest.mark.slow
@pytest.mark.parametrize("content", [(), ("--content",)], ids=["names", "contents"])
def test_odd_fields_are_taken_into_a_hub(content: tuple[str, ...], place: Path, tmp_path: Path) -> None:
    count = 0
    for fields in ODD_FIELDS:
        for name in ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "StopFailure", "Other"):
            said = {**COMMON, "hook_event_name": name, **CALL, **fields}
            done = hook(place, said, "--strict", *content)
            assert (done.returncode, done.stderr) == (0, b""), (name, fields)
            count += 2 if name in ("StopFailure", "PostToolUse", "PostToolUseFailure") else 1
    feed = drained(place, tmp_path / "store")
    assert feed.problems() == []
    assert len(taken_into(tmp_path / "store")) == count
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("words", [(), ("nobody",), ("claude-code", "--what"), ("claude-code", "--spool")])
def test_wrong_words_do_not_hold_up_an_agent(words: tuple[str, ...], place: Path) -> None:
    command = [sys.executable, "-P", "-m", "hubwire", "hook", *words]
    silent = subprocess.run(command, input=b"{}", capture_output=True, check=False)
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, b"", b"")
    strict = subprocess.run([*command, "--strict"], input=b"{}", capture_output=True, check=False)
    assert strict.returncode == 2
    assert b"claude-code" in strict.stderr or b"needs a value" in strict.stderr or b"--strict" in strict.stderr


def test_a_spool_that_cannot_be_written_is_silent(place: Path) -> None:
    place.write_text("no directory")
    said = {**COMMON, "hook_event_name": "Stop"}
    assert (hook(place, said).returncode, hook(place, said).stderr) == (0, b"")
    done = hook(place, said, "--strict")
    assert done.returncode == 1
    assert b"hubwire hook: it cannot be written: " in done.stderr


@pytest.mark.parametrize("agent", AGENTS)
def test_the_printed_settings_call_the_command(agent: str, place: Path) -> None:
    done = hook(place, b"", "--print-config", "--content", "--name", "my agent", agent=agent)
    assert done.returncode == 0
    hooks = json.loads(done.stdout)["hooks"]
    for groups in hooks.values():
        ((call,),) = [group["hooks"] for group in groups]
        assert call["command"] == f"hubwire hook {agent} --content --name 'my agent'"
    for name in hooks:
        (event, *_) = record(place, name, agent=agent, **CALL)
        assert event["kind"] != "hook.called"


def test_a_hook_imports_next_to_nothing() -> None:
    """The agent waits for it: what the rest of the package needs is not imported."""
    program = (
        "import sys; from hubwire.cli import main\ntry: main(['hook', 'claude-code', '{}'])\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "hubwire.cli.hooking" in loaded
    for heavy in (
        "attr",
        "msgspec",
        "anyio",
        "cyclopts",
        "structlog",
        "typing",
        "pathlib",
        "logging",
        "asyncio",
        "re2",
    ):
        assert heavy not in loaded
    assert len([name for name in loaded if name.startswith("hubwire")]) <= 13


@pytest.mark.parametrize("words", [(), ("claude-code",)])
def test_a_person_at_a_terminal_is_told(words: tuple[str, ...]) -> None:
    """Where nothing is piped in, the command says what it is for, and does not wait."""
    end, terminal = pty.openpty()
    try:
        command = [sys.executable, "-P", "-m", "hubwire", "hook", *words]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False, timeout=60)
    finally:
        os.close(end)
        os.close(terminal)
    assert done.returncode == 2
    assert "--print-config claude-code" in done.stderr or "the name of an agent: claude-code" in done.stderr


def test_hooks_at_once_lose_nothing(place: Path, tmp_path: Path) -> None:
    """As of tools that are called side by side; they share a few files."""
    command = [sys.executable, "-P", "-m", "hubwire", "hook", "claude-code", "--strict"]
    environment = {**os.environ, "HUBWIRE_SPOOL": str(place)}
    said = [{**COMMON, "hook_event_name": "PreToolUse", **CALL, "tool_use_id": f"t-{each}"} for each in range(20)]
    words = [[*command, json.dumps(each)] for each in said]
    started = [subprocess.Popen(each, env=environment, stdin=subprocess.DEVNULL) for each in words]
    assert [process.wait(60) for process in started] == [0] * 20
    drained(place, tmp_path / "store")
    called = sorted(event["data"]["call_id"] for event in taken_into(tmp_path / "store"))
    assert called == sorted(f"t-{each}" for each in range(20))
