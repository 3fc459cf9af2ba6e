from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs
import pytest

from hubwire import Hub, HubStatistics
from hubwire.cli.importing.conversation import BadItem, Conversation, Envelope, Fact
from hubwire.cli.importing.formats import FORMATS, parse as parse_as
from hubwire.cli.importing.opening import open_source
from hubwire.cli.importing.reading import Item
from hubwire.events import ToolCalled, ToolCompleted
from hubwire.listeners.audit import AuditLog, verify
from hubwire.log import follow
from hubwire.redaction import Redactor
from hubwire.stores import FileStore
from support import count_independently

pytestmark = pytest.mark.slow  # each test runs the command as a program

AIRLINE_SUMMARY = "200 channels, 4,144 envelopes, 1,164 tool calls, 1,164 completed, 0 failed, 200 other facts"


def hubwire(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process of its own."""
    command = [sys.executable, "-P", "-m", "hubwire", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def import_into(store: Path, file: Path | str, *more: str, stdin: bytes = b"") -> str:
    run = hubwire("import", file, "--format", "openai-chat", "--store", store.as_uri(), *more, stdin=stdin)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode()


def stats(store: Path) -> dict[str, Any]:
    run = hubwire("stats", "--json", store)
    assert run.returncode == 0, run.stderr.decode()
    numbers = json.loads(run.stdout)
    assert isinstance(numbers, dict)
    return numbers


def records(store: Path) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        return [record.fields async for record in AuditLog(FileStore(store)).read()]

    return anyio.run(read)


def counted(numbers: dict[str, Any]) -> dict[str, int]:
    """What an import leaves in the log, without what hubs say of themselves, which depends on how often they ran."""
    ours = ("envelope.", "tool.", "channel.", "agent.")
    return {kind: count for kind, count in numbers["kinds"].items() if kind.startswith(ours)}


def read_lines(file: Path) -> list[bytes]:
    return gzip.decompress(file.read_bytes()).split(b"\n")[:-1]


def parse(item: Item) -> Conversation:
    (conversation,) = parse_as(FORMATS["openai-chat"], item)
    return conversation


def lines(*conversations: Any) -> bytes:
    return b"".join(json.dumps(conversation).encode() + b"\n" for conversation in conversations)


def chat(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]}


CALLING = {
    "messages": [
        {"role": "user", "content": "when does it fly?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"to": "SEA"}'}},
                {"id": "c2", "type": "function", "function": {"name": "book", "arguments": "{broken"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "09:30"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no seats"},
        {"role": "assistant", "content": "at 09:30"},
    ]
}


# --- the recorded conversations -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_airline_file_is_imported_whole_and_once(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "airline.jsonl.gz"
    assert (import_into(tmp_path, file)).startswith(f"{AIRLINE_SUMMARY}; 0 of these 6,872 were already there")
    numbers = stats(tmp_path)
    assert counted(numbers) == count_independently(read_lines(file))
    assert (numbers["channels"], numbers["agents"], numbers["damaged"]) == (200, 3, 0)

    again = import_into(tmp_path, file)
    assert again.startswith(f"{AIRLINE_SUMMARY}; 6,872 of these 6,872 were already there")
    assert counted(stats(tmp_path)) == count_independently(read_lines(file))
    assert what_was_said(tmp_path) == what_the_file_says(file)


@pytest.mark.slow
@pytest.mark.parametrize("events", [1, 800, 4000])
def test_a_killed_import_can_be_repeated(events: int, shared_data: Path, tmp_path: Path) -> None:
    """An import that is killed and run again ends at the same numbers."""
    file = shared_data / "airline.jsonl.gz"
    for moment in (events, events + 300):
        assert anyio.run(end_import_after, moment, signal.SIGKILL, file, tmp_path) == (-signal.SIGKILL, b"")
    assert AIRLINE_SUMMARY in import_into(tmp_path, file)
    assert counted(stats(tmp_path)) == count_independently(read_lines(file))
    assert what_was_said(tmp_path) == what_the_file_says(file)
    anyio.run(verify, FileStore(tmp_path))


@pytest.mark.slow
def test_ctrl_c_ends_an_import_in_good_order(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "airline.jsonl.gz"
    assert anyio.run(end_import_after, 1000, signal.SIGINT, file, tmp_path) == (130, b"")
    assert (tmp_path / "audit" / "clean").exists()
    assert AIRLINE_SUMMARY in import_into(tmp_path, file)
    assert counted(stats(tmp_path)) == count_independently(read_lines(file))


async def end_import_after(events: int, how: signal.Signals, file: Path, store: Path) -> tuple[int, bytes]:
    """Signal an import when so many events are in the journal; return its exit code and what it complained of."""
    command = [sys.executable, "-P", "-m", "hubwire", "import", str(file)]
    command += ["--format", "openai-chat", "--store", store.as_uri()]
    process = await anyio.open_process(command)
    async for record in follow(FileStore(store, poll_seconds=0.01), "/journal", start=0):
        if record.index >= events:
            process.send_signal(how)
            break
    assert process.stderr is not None
    complaints = b"".join([piece async for piece in process.stderr])
    return await process.wait(), complaints


def what_was_said(store: Path) -> dict[str, list[tuple[str, str]]]:
    """Every text of a conversation, by its topic, in the order of the log."""
    topics: dict[str, str] = {}
    said = defaultdict(list)
    for record in records(store):
        match record:
            case {"kind": "channel.created", "channel_id": channel_id, "topic": topic}:
                topics[channel_id] = topic
            case {"kind": "envelope.posted", "cut": _}:
                pytest.fail("a text of the recorded conversations was cut")
            case {"kind": "envelope.posted" | "tool.completed" | "tool.failed" as kind, "channel_id": channel_id}:
                text = record.get("result") or record.get("error_message") or record.get("content", {}).get("text")
                said[topics[channel_id]].append((kind, text or ""))
    return said


def what_the_file_says(file: Path) -> dict[str, list[tuple[str, str]]]:
    """The same, as the audit log holds it: without what is personal."""
    said, redactor = defaultdict(list), Redactor.shared()
    for number, line in enumerate(read_lines(file)):
        for message in json.loads(line)["traj"]:
            text = message["content"] or ""
            kind = "tool.completed" if message["role"] == "tool" else "envelope.posted"
            said[f"#{number} {file.name.removesuffix('.gz')}"].append((kind, redactor.redact(text)))
    return said


# --- what becomes of a conversation ---------------------------------------------------------------------------------


def test_every_event_names_its_source(tmp_path: Path) -> None:
    """The source is the input, and the source id says which item and which part it is."""
    file = tmp_path / "flights.jsonl"
    file.write_bytes(lines(CALLING))
    import_into(tmp_path / "store", file)
    found = [record for record in records(tmp_path / "store") if "source" in record]
    assert {record["source"] for record in found} == {"flights.jsonl"}
    (item,) = {record["source_id"].partition("/")[0] for record in found if record["kind"] == "envelope.posted"}
    assert re.fullmatch("openai-chat:[0-9a-f]{32}", item)
    assert [
        (record["kind"], re.sub("[0-9a-f]{32}", "…", record["source_id"].removeprefix(f"{item}/"))) for record in found
    ] == [
        ("agent.registered", "-/-/user"),
        ("agent.registered", "-/-/assistant"),
        ("channel.created", "5-…-0/opened"),
        ("channel.opened", "5-…-0/opened"),
        ("envelope.posted", "0/envelope"),
        ("envelope.posted", "1/envelope"),
        ("tool.called", "1/call-0"),
        ("tool.called", "1/call-1"),
        ("tool.completed", "2/result"),
        ("tool.completed", "3/result"),
        ("envelope.posted", "4/envelope"),
        ("channel.closed", "-/closed"),
    ]


def test_tool_calls_belong_to_the_assistant(tmp_path: Path) -> None:
    """They keep what the model wrote, even if it is not valid JSON."""
    import_into(tmp_path, "-", stdin=lines(CALLING))
    found = records(tmp_path)
    (assistant,) = [each["agent_id"] for each in found if each.get("name") == "stdin/assistant"]
    tools = [record for record in found if record["kind"].startswith("tool.")]
    assert {tool["agent_id"] for tool in tools} == {assistant}
    assert [(tool["tool"], tool["call_id"]) for tool in tools] == [("find", "c1"), ("book", "c2")] * 2
    assert [tool.get("arguments") for tool in tools[:2]] == [{"to": "SEA"}, "{broken"]
    assert (tools[2]["result"], tools[3]["result"]) == ("09:30", "Error: no seats")


def test_no_envelopes_are_pending_after_an_import(tmp_path: Path) -> None:
    import_into(tmp_path, "-", stdin=lines(CALLING))

    async def look() -> HubStatistics:
        async with Hub(FileStore(tmp_path)) as hub:
            return hub.statistics()

    statistics = anyio.run(look)
    assert (statistics.agents, statistics.channels, statistics.envelopes_pending) == (2, 0, 0)


def test_a_half_open_channel_is_replaced(tmp_path: Path) -> None:
    """A channel that was created and never opened, because the import died, is replaced by a new one."""
    import_into(tmp_path, "-", stdin=lines(CALLING))
    cut_journal_after(b'"kind":"channel.created"', tmp_path)
    assert "0 of these 8 were already there" in import_into(tmp_path, "-", stdin=lines(CALLING))
    numbers = stats(tmp_path)
    assert (numbers["channels"], numbers["kinds"]["envelope.posted"]) == (1, 3)
    assert numbers["kinds"]["channel.created"] == numbers["kinds"]["channel.closed"] == 2


def cut_journal_after(last: bytes, store: Path) -> None:
    """Make a store what it would be had its hub been killed just after a record, which has ``last`` in it."""
    (segment,) = (store / "journal" / "log").glob("*.jsonl")
    content = segment.read_bytes()
    segment.write_bytes(content[: content.index(b"\n", content.index(last)) + 1])
    (store / "journal" / "clean").unlink()
    shutil.rmtree(store / "journal" / "beside")
    shutil.rmtree(store / "audit")


# --- the ways an input may be written -------------------------------------------------------------------------------

TWO = [chat("a", "b"), chat("c")]
FORMS = {
    "lines of lists": ("x", lines(*(each["messages"] for each in TWO))),
    "lines, blank ones between": ("x.jsonl", lines(TWO[0]) + b"\n  \n" + lines(TWO[1])),
    "lines without the last line feed": ("x.jsonl", lines(*TWO)[:-1]),
    "lines after a byte order mark": ("x.jsonl", b"\xef\xbb\xbf" + lines(*TWO)),
    "an array": ("x.json", json.dumps(TWO).encode()),
    "an array on many lines": ("x", json.dumps(TWO, indent=2).encode()),
    "gzipped lines": ("x.jsonl.gz", gzip.compress(lines(*TWO))),
    "gzipped lines by another name": ("x", gzip.compress(lines(*TWO))),
}


@pytest.mark.parametrize(("name", "content"), FORMS.values(), ids=FORMS)
def test_an_input_is_read_in_every_form(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with open_source(str(tmp_path / name), "openai-chat") as source:
        twice = [[parse(item) for item in source.items()] for _ in range(2)]
    assert twice[0] == twice[1]
    assert [[part.content for part in each.parts if isinstance(part, Envelope)] for each in twice[0]] == [
        [{"text": "a"}, {"text": "b"}],
        [{"text": "c"}],
    ]


@pytest.mark.parametrize("content", [chat("a", "b")["messages"], chat("a", "b")], ids=["messages", "an object"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_may_be_one_conversation(content: Any, indent: int | None, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(content, indent=indent))
    with open_source(str(tmp_path / "one.json"), "openai-chat") as source:
        (conversation,) = [parse(item) for item in source.items()]
    assert (list(map(str, conversation.speakers)), len(conversation.parts)) == (["user", "assistant"], 2)


def test_the_key_of_the_messages_may_be_named(tmp_path: Path) -> None:
    stdin = lines({"turns": chat("a")["messages"], "messages": "not these"})
    assert "1 channel, 1 envelope," in import_into(tmp_path, "-", "--messages-key", "turns", stdin=stdin)


def test_odd_output_of_models_is_accepted() -> None:
    """Half surrogates, NaN, extra keys, a missing content and an unknown call id are all imported."""
    raw = rb"""[{"role": "user", "content": "half \ud83d"},
        {"role": "assistant", "content": [{"text": NaN}], "name": "x"},
        {"role": "tool", "name": "t", "tool_call_id": "nobody's", "content": null}]"""
    half, parts, result = parse(Item(0, "line 1", raw)).parts
    assert isinstance(half, Envelope)
    assert half.content == {"text": "half \ud83d"}
    assert isinstance(parts, Envelope)
    assert str(parts.speaker) == "assistant:x"
    assert isinstance(result, Fact)
    assert result.kind is ToolCompleted


def test_arguments_that_are_not_text_stay_as_they_are() -> None:
    function = {"name": "f", "arguments": {"a": 1}}
    item = [{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": function}]}]
    said, call = parse(Item(0, "line 1", json.dumps(item).encode())).parts
    assert isinstance(said, Envelope)
    assert isinstance(call, Fact)
    assert (call.kind, call.fields["arguments"]) == (ToolCalled, {"a": 1})


# --- bad items ------------------------------------------------------------------------------------------------------

BAD = {
    "no JSON": (b'{"messages": [', "is not JSON"),
    "not UTF-8": (b'["\xff"]', "is not JSON"),
    "too deep": (b"[" * 100_000, "is not JSON"),
    "a number": (b"7", "has a number where a list of messages should be"),
    "no messages": (b"[]", "has no messages"),
    "another key": (b'{"chat": []}', "has no 'messages' or 'traj'; name the key of its messages with --messages-key"),
    "messages that are no list": (b'{"messages": {}}', "has an object where a list of messages should be"),
    "a message that is no object": (b'["hello"]', "message 0 is text, not an object"),
    "a strange role": (b'[{"role": "critic"}]', "message 0 has the role 'critic'"),
    "a strange content": (b'[{"role": "user", "content": 3}]', "message 0 has a number as its content"),
    "calls that are no list": (b'[{"role": "assistant", "tool_calls": 1}]', "message 0 has a number as its tool_calls"),
    "a call without a function": (b'[{"role": "assistant", "tool_calls": [{"id": "1"}]}]', "has a tool call 0 that is"),
    "a call by the user": (
        b'[{"role": "user", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]',
        "has a tool call 0 that is not a function call of the assistant",
    ),
    "a key twice": (b'[{"role": "user", "role": "tool"}]', "has the key 'role' twice in one object"),
    "endless digits": (b'[{"role": "user", "content": ' + b"1" * 5000 + b"}]", "has a whole number of 5,000 digits"),
    "an empty name": (
        b'[{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": ""}}]}]',
        "message 0 has an empty 'name'",
    ),
    "half a character as a name": (
        b'[{"role": "tool", "tool_call_id": "1", "name": "\\ud800"}]',
        "message 0 has half a character in its 'name'",
    ),
    "a text that is too long": (
        b'[{"role": "user", "content": "%b"}]' % (b"x" * (8 << 20)),
        "message 0 is longer than an event may be, which is 8,388,608 bytes",
    ),
}


@pytest.mark.parametrize(("raw", "reason"), BAD.values(), ids=BAD)
def test_a_bad_item_is_refused_with_its_place(raw: bytes, reason: str) -> None:
    """The message names the line and the reason."""
    with pytest.raises(BadItem) as refusal:
        parse(Item(4, "line 7", raw))
    assert str(refusal.value).startswith("line 7: ")
    assert reason in str(refusal.value)


def test_a_bad_item_stops_an_import_first(tmp_path: Path) -> None:
    """Bad items are all reported before anything is imported."""
    store = tmp_path / "store"
    stdin = lines(chat("a"), 7, chat("b"), {"no": 1})
    run = hubwire("import", "-", "--format", "openai-chat", "--store", store, stdin=stdin)
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr.decode().split("\n") == [
        "hubwire: stdin, line 2: has a number where a list of messages should be",
        "hubwire: stdin, line 4: has no 'messages' or 'traj'; name the key of its messages with --messages-key",
        "hubwire: stdin has 2 bad items: none of it was imported; correct it, or use --skip-bad",
        "",
    ]
    assert not store.exists()


def test_bad_items_can_be_skipped(tmp_path: Path) -> None:
    stdin = lines(chat("a"), 7, chat("b"))
    command = ("import", "-", "--format", "openai-chat", "--store", tmp_path, "--skip-bad")
    run = hubwire(*command, stdin=stdin)
    assert run.returncode == 3
    assert b"stdin, line 2: has a number" in run.stderr
    assert run.stdout.startswith(b"2 channels, 2 envelopes, 0 tool calls, 0 completed, 0 failed; 0 of these 4")
    assert b"1 bad item skipped" in run.stdout
    assert b"refused, and not imported: has a number where a list of messages should be 1\n" in run.stdout
    topics = [record["topic"] for record in records(tmp_path) if record["kind"] == "channel.created"]
    assert topics == ["#0 stdin", "#2 stdin"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("gone.jsonl", None, "gone.jsonl cannot be read: No such file or directory"),
        ("cut.jsonl.gz", gzip.compress(lines(*TWO) * 99)[:60], "cut.jsonl.gz is damaged or cut off"),
        ("broken.json", b'[{"messages": []},', "broken.json is not a JSON document"),
    ],
    ids=["missing", "cut off", "no document"],
)
def test_an_unreadable_input_is_reported_in_one_line(
    name: str, content: bytes | None, complaint: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    run = hubwire("import", tmp_path / name, "--format", "openai-chat", "--store", tmp_path / "s", "--skip-bad")
    assert run.returncode == 1
    assert complaint in run.stderr.decode()
    assert run.stderr.count(b"\n") == 1


async def test_an_import_does_not_disturb_a_running_hub(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    async with Hub(store) as hub:
        await hub.agents.register("somebody")
        before = hub.statistics()
        run = await anyio.to_thread.run_sync(
            partial(hubwire, "import", "-", "--format", "openai-chat", "--store", tmp_path, stdin=lines(chat("a")))
        )
        assert run.returncode == 1
        assert f"is held by process {os.getpid()}".encode() in run.stderr
        assert run.stderr.count(b"\n") == 1
        # How late the loop was is no number of the hub's own.
        lag: dict[str, Any] = {"loop_lag_seconds": 0.0, "loop_lag_seconds_max": 0.0}
        assert attrs.evolve(hub.statistics(), **lag) == attrs.evolve(before, **lag)


def test_no_progress_bar_without_a_terminal(tmp_path: Path) -> None:
    run = hubwire("import", "-", "--format", "openai-chat", "--store", tmp_path, stdin=lines(chat("a")))
    assert run.stderr == b""


@pytest.mark.parametrize("debug", [False, True])
def test_a_disk_that_takes_no_more_is_told_in_lines(debug: bool, tmp_path: Path) -> None:
    """Where in the package it was found is for ``--debug``."""
    (tmp_path / "chat.jsonl").write_text('{"messages": [{"role": "user", "content": "x"}]}\n' * 500)
    program = (
        "import resource, signal; from hubwire.cli import main; from hubwire._commit import journaling;"
        "journaling._DEADLINE_SECONDS = 0.01; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); main()"
    )
    words = ["import", str(tmp_path / "chat.jsonl"), "--store", str(tmp_path / "s"), *(["--debug"] if debug else [])]
    run = subprocess.run([sys.executable, "-P", "-c", program, *words], capture_output=True, check=False)
    assert run.returncode == 1
    lines = run.stderr.decode().splitlines()
    assert lines[-1].startswith("hubwire: the journal could not be written")
    assert any("Traceback" in line for line in lines) == debug
    if not debug:
        assert "hubwire: a hub has failed (--debug shows where)" in lines
        assert len(lines) <= 4
