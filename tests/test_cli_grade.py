"""``hubwire grade``: a log, compared with transcripts, sessions, checkpoints and other logs, as runtimes write them."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.cli import main
from hubwire.events import ToolCalled, ToolCompleted
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.stores import FileStore
from support.langgraph_saved import history, write_database
from support.recordings import RECORDINGS

AIRLINE = Path(__file__).resolve().parents[2] / "shared" / "data" / "airline.jsonl.gz"

CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "why is the build red?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call-1", "type": "function", "function": {"name": "read_log", "arguments": '{"build": 7}'}},
            {"id": "call-2", "type": "function", "function": {"name": "deploy", "arguments": '{"to": "live"}'}},
        ],
    },
    {"role": "tool", "tool_call_id": "call-1", "content": "SyntaxError"},
    {"role": "tool", "tool_call_id": "call-2", "content": "done"},
    {"role": "assistant", "content": "A missing comma."},
]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command in this process; return its exit code and what it has printed."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def graded(capsys: pytest.CaptureFixture[str], store: Path, against: Path, *more: object) -> tuple[int, dict[str, Any]]:
    code, out, err = run(capsys, "grade", store, "--against", against, "--json", *more)
    assert code in (0, 1), err
    found = json.loads(out)
    assert found["is_complete"] is (code == 0)
    return code, found


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def lines(path: Path, values: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return path


def named(deeds: list[dict[str, Any]]) -> list[str]:
    return [f"{deed['what']} {deed.get('name') or deed.get('id')}" for deed in deeds]


async def record(directory: Path, tell: Callable[[Recorder], None], *, content: bool = True) -> None:
    """Let a recorder tell a hub of a run, whose log is in a directory."""
    store = FileStore(directory)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        async with Recorder(hub, source="own", content=content) as recorder:
            tell(recorder)
        await hub.flush()
    await store.aclose()


def tell_all(recorder: Recorder) -> None:
    recorder.begin_turn("run", agent="planner", prompt="why is the build red?")
    recorder.begin_tool("1", "read_log", parent="run", arguments={"build": 7}, call_id="call-1")
    recorder.end("1", "SyntaxError")
    recorder.begin_tool("2", "deploy", parent="run", arguments={"to": "live"}, call_id="call-2")
    recorder.end("2", "done")
    recorder.end("run", "A missing comma.")


def tell_without_deploy(recorder: Recorder) -> None:
    recorder.begin_turn("run", agent="planner", prompt="why is the build red?")
    recorder.begin_tool("1", "read_log", parent="run", arguments={"build": 8}, call_id="call-1")
    recorder.end("1", "SyntaxError")
    recorder.begin_tool("3", "rm", parent="run", arguments={"path": "/"}, call_id="call-3")
    recorder.end("3", "gone")
    recorder.end("run", "A missing comma.")


def test_a_log_that_has_all_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    code, found = graded(capsys, tmp_path / "data", written(tmp_path / "chat.json", CHAT))
    assert code == 0
    assert {name: (tally["told"], tally["found"]) for name, tally in found["tallies"].items()} == {
        "message": (2, 2),
        "call": (2, 2),
        "result": (2, 2),
    }
    assert any("instructions" in note for note in found["not_compared"])


def test_what_the_log_lacks_is_named_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_without_deploy)
    chat = written(tmp_path / "chat.json", CHAT)
    code, found = graded(capsys, tmp_path / "data", chat)
    assert code == 1
    assert named(found["missing"]) == ["call deploy", "result deploy"]
    assert [each["told"]["content"] for each in found["different"]] == [{"build": 7}]
    assert named(found["only_in_log"]) == ["call rm", "result rm"]
    code, out, _ = run(capsys, "grade", tmp_path / "data", "--against", chat)
    assert code == 1
    for words in ("missing in the log", 'call deploy    {"to": "live"}', '{"build": 8}', "only in the log", "2 of 6"):
        assert words in out
    assert max(map(len, out.split("\n")[1:])) <= 110


def test_two_that_cannot_be_read_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    chat = written(tmp_path / "chat.json", CHAT)
    bad = tmp_path / "bad.json"
    bad.write_text('{"a": ')
    odd = written(tmp_path / "odd.json", {"a": 1})
    empty = tmp_path / "empty.json"
    empty.write_text("")
    for store, against in (
        (tmp_path / "nowhere", chat),
        (tmp_path / "data", tmp_path / "nowhere.json"),
        (tmp_path / "data", bad),
        (tmp_path / "data", odd),
        (tmp_path / "data", empty),
        (tmp_path / "data", tmp_path),
    ):
        code, out, err = run(capsys, "grade", store, "--against", against)
        assert (code, out) == (2, ""), err
        assert err.startswith("hubwire: ")
        assert err.count("\n") == 1


def test_a_damaged_log_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    segment = next(
        path for path in (tmp_path / "data" / "audit").rglob("*.jsonl") if b"tool.called" in path.read_bytes()
    )
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(bytes(content))
    code, _, err = run(capsys, "grade", tmp_path / "data", "--against", written(tmp_path / "chat.json", CHAT))
    assert code == 2, err


CHATS = ("openai-chat", "openai-responses", "openai-responses, items", "anthropic", "gemini", "langchain, dumps")


@pytest.mark.parametrize("name", CHATS)
def test_what_was_imported_is_all_there(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "chat.json", RECORDINGS[name][1])
    assert run(capsys, "import", file, "--store", tmp_path / "data")[0] == 0
    code, found = graded(capsys, tmp_path / "data", file)
    assert (code, found["only_in_log"], found["format"]) == (0, [], RECORDINGS[name][0])


@pytest.mark.slow
def test_real_conversations_are_all_there_but_for_one_that_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not AIRLINE.exists():
        pytest.skip(f"{AIRLINE} is not there")
    assert run(capsys, "import", AIRLINE, "--store", tmp_path / "data")[0] == 0
    code, found = graded(capsys, tmp_path / "data", AIRLINE)
    assert (code, found["moved"], found["only_in_log"]) == (0, [], [])
    assert {name: tally["found"] for name, tally in found["tallies"].items()} == {
        "message": 3070,
        "call": 1164,
        "result": 1164,
    }


# --- sessions of Claude Code ------------------------------------------------------------------------------------------


def session(**more: Any) -> list[dict[str, Any]]:
    """Return a session, of the lines that Claude Code writes: a block of an answer each, and others in between."""
    about = {"sessionId": "s-1", "cwd": "/srv", "version": "2.0.1", "isSidechain": False, "userType": "external"}

    def line(number: int, role: str, content: Any, **own: Any) -> dict[str, Any]:
        message = {"role": role, "content": content}
        if role == "assistant":
            message |= {"id": "msg_1", "type": "message", "model": "claude", "usage": {"input_tokens": 3}}
        return {"type": role, "uuid": f"u-{number}", "parentUuid": None, "message": message, **about, **own}

    use = {"type": "tool_use", "id": "call-1", "name": "read_log", "input": {"build": 7}}
    done = {"type": "tool_result", "tool_use_id": "call-1", "content": "SyntaxError"}
    return [
        {"type": "summary", "summary": "a red build", "leafUuid": "u-9"},
        {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
        line(0, "user", "<local-command-caveat>", isMeta=True),
        line(1, "user", "why is the build red?"),
        line(2, "assistant", [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}]),
        line(3, "assistant", [{"type": "text", "text": "I will look."}]),
        line(4, "assistant", [use]),
        line(5, "user", [done], toolUseResult={"stdout": "SyntaxError"}, **more),
        line(6, "assistant", [{"type": "text", "text": "A missing comma."}]),
        {"type": "system", "subtype": "turn_duration", "durationMs": 3, "uuid": "u-8", **about},
    ]


def test_a_session_of_claude_code_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    file = lines(tmp_path / "s-1.jsonl", session())
    code, found = graded(capsys, tmp_path / "data", file)
    assert (code, found["format"]) == (1, "claude-code")
    assert [deed["content"]["text"] for deed in found["missing"]] == ["I will look."]
    assert found["missing"][0]["place"] == "line 6"
    assert found["tallies"]["result"]["found"] == 1
    assert any("1 summary" in note for note in found["not_compared"])
    assert any("approvals" in note for note in found["not_compared"])


def test_a_session_that_was_resumed_says_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    file = lines(tmp_path / "s-1.jsonl", session() + session())
    assert graded(capsys, tmp_path / "data", file)[1]["tallies"]["call"]["told"] == 1


def test_a_line_that_is_none_of_a_session_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    for odd in ([1], {"type": "user", "sessionId": "s", "uuid": "u", "message": {"role": "robot", "content": "x"}}):
        file = lines(tmp_path / "s.jsonl", [*session(), odd])
        code, _, err = run(capsys, "grade", tmp_path / "data", "--against", file)
        assert (code, "line 11" in err) == (2, True), err


# --- checkpoints ------------------------------------------------------------------------------------------------------


def tell_graph(recorder: Recorder) -> None:
    recorder.begin_turn("run", agent="planner", prompt="deploy it")
    recorder.begin_model("m", "model", parent="run")
    recorder.end("m", "I will look.")
    recorder.begin_tool("1", "search", parent="run", arguments={"query": "log"}, call_id="call-1")
    recorder.end("1", "found 3")
    arguments = {"action": "deploy", "target": "staging"}
    recorder.record_verdict("q", "deploy", arguments=arguments, is_passed=True, parent="run")
    recorder.begin_model("n", "model", parent="run")
    recorder.end("n", "Deployed.")
    recorder.end("run", "Deployed.")


async def record_graph(directory: Path, checkpoints: list[str]) -> None:
    def tell(recorder: Recorder) -> None:
        tell_graph(recorder)
        for each in checkpoints:
            recorder.fact("langgraph.checkpoint.saved", {"thread_id": "thread-1", "checkpoint_id": each})

    await record(directory, tell)


SAVED = sorted(state["config"]["configurable"]["checkpoint_id"] for state in history())


@pytest.mark.parametrize("is_database", [True, False], ids=["database", "exported"])
def test_checkpoints_of_langgraph_are_read(
    is_database: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also the message that the graph has removed again: a checkpoint before has it."""
    file = tmp_path / "graph"
    against = write_database(file) if is_database else written(file, history())
    anyio.run(record_graph, tmp_path / "data", SAVED)
    code, found = graded(capsys, tmp_path / "data", against)
    assert (code, found["format"], found["missing"]) == (0, "langgraph", [])
    assert {name: tally["told"] for name, tally in found["tallies"].items() if tally["told"]} == {
        "message": 3,
        "call": 1,
        "result": 1,
        "approval": 1,
        "checkpoint": 6,
    }
    anyio.run(record_graph, tmp_path / "less", SAVED[:-1])
    assert named(graded(capsys, tmp_path / "less", against)[1]["missing"]) == [f"checkpoint {SAVED[-1]}"]


def test_a_database_that_is_damaged_or_encrypted_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3
    from contextlib import closing

    anyio.run(record, tmp_path / "data", tell_all)
    for change in ("checkpoint = x'c1c1'", "type = 'msgpack+aes'", "checkpoint = 7"):
        file = write_database(tmp_path / "graph.sqlite")
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"UPDATE checkpoints SET {change}")  # noqa: S608 - our own words
            connection.commit()
        code, _, err = run(capsys, "grade", tmp_path / "data", "--against", file)
        assert (code, "checkpoint" in err) == (2, True), err
        file.unlink()


# --- other logs -------------------------------------------------------------------------------------------------------


async def emit(directory: Path, calls: list[int]) -> None:
    store = FileStore(directory)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        await channel.post(a, "hello")
        for number in calls:
            about: dict[str, Any] = {"tool": "t", "call_id": f"c{number}", "channel_id": channel.id}
            await hub.emit(ToolCalled(arguments={"n": number}, **about))
            await hub.emit(ToolCompleted(result=number, **about))
    await store.aclose()


def test_the_log_of_another_hub_is_a_record_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(emit, tmp_path / "one", [1, 2, 3])
    anyio.run(emit, tmp_path / "other", [1, 3, 4])
    code, found = graded(capsys, tmp_path / "one", tmp_path / "other")
    assert (code, named(found["missing"])) == (1, ["call t", "result t"])
    assert found["missing"][0]["id"] == "c4"
    assert [deed["id"] for deed in found["only_in_log"]] == ["c2", "c2"]


def test_an_audit_log_has_all_of_its_own_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(emit, tmp_path / "one", [1, 2, 3])
    assert graded(capsys, tmp_path / "one", tmp_path / "one", "--against-log", "/journal")[0] == 0


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_contents_are_redacted_unless_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    chat = copy.deepcopy(CHAT)
    chat.append({"role": "user", "content": "write to jane@example.com"})
    file = written(tmp_path / "chat.json", chat)
    for more in ((), ("--json",)):
        assert "jane@" not in run(capsys, "grade", tmp_path / "data", "--against", file, *more)[1]
        assert "jane@" in run(capsys, "grade", tmp_path / "data", "--against", file, "--raw", *more)[1]


def test_hostile_text_is_made_safe_for_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    evil = "\x1b]0;owned\x07\u202e\ud800\n"
    call = {"id": evil, "type": "function", "function": {"name": "rm\x1b[2J", "arguments": {"x": evil}}}
    chat = [*CHAT, {"role": "user", "content": evil}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    for more in ((), ("--json",), ("--raw",)):
        out = run(capsys, "grade", tmp_path / "data", "--against", written(tmp_path / "c.json", chat), *more)[1]
        assert "\x1b" not in out
        assert "\u202e" not in out
        out.encode()


def test_a_grade_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(record, tmp_path / "data", tell_all)
    shutil.copytree(tmp_path / "data", tmp_path / "before")
    graded(capsys, tmp_path / "data", written(tmp_path / "chat.json", CHAT))
    files = [path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*") if path.is_file()]
    assert files
    assert all((tmp_path / "data" / path).read_bytes() == (tmp_path / "before" / path).read_bytes() for path in files)
