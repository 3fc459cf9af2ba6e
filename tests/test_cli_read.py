from __future__ import annotations

import io
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from hubwire import GenericEvent, Hub
from hubwire.cli import main
from hubwire.cli.output import crop, escape, escape_json
from hubwire.clock import SystemClock
from hubwire.events import ToolCalled, ToolCompleted, ToolFailed
from hubwire.listeners.audit import AuditLog
from hubwire.log import Log
from hubwire.stores import FileStore
from hubwire.stores.durability import Durability

pytestmark = pytest.mark.slow  # each test runs the command as a program

COMMAND = [sys.executable, "-P", "-m", "hubwire"]
HOSTILE = "\x1b[2J\x1b]0;owned\x07 a\u202eb\u2066c\x9b31m\r\n\t\u2028\u200b\x7f\ue000 ü 漢"


def hubwire(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command within this process, which is quicker."""
    printed = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2)]
    words = list(map(str, arguments))
    with redirect_stdout(printed[0]), redirect_stderr(printed[1]), pytest.raises(SystemExit) as end:
        main(words)
    for stream in printed:
        stream.seek(0)
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(words, end.value.code, printed[0].read(), printed[1].read())


def hubwire_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, encoding="utf-8")


def shown(run: subprocess.CompletedProcess[str]) -> list[str]:
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.split("\n")[:-1]


def as_json(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown(run)]


async def work(hub: Hub) -> None:
    planner = await hub.agents.register("planner")
    coder = await hub.agents.register("coder", capabilities=["python"])
    channel = await hub.channels.open([planner, coder], topic="fix the build")
    await channel.post(planner, {"text": "please fix the build", "urgent": True}, to=[coder])
    about: dict[str, Any] = {"tool": "pytest", "agent_id": coder.id, "channel_id": channel.id}
    for number in (1, 2):
        await hub.emit(ToolCalled(**about, call_id=f"c{number}", arguments={"path": "tests", "n": number}))
    await hub.emit(ToolCompleted(**about, call_id="c1", result="42 passed"))
    await hub.emit(ToolFailed(**about, call_id="c2", error_message="1 failed"))
    await channel.close("done")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A store with journal and audit log of two agents at work."""

    async def write() -> None:
        store = FileStore(tmp_path)
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            await work(hub)

    anyio.run(write)
    return tmp_path


def write_journal(root: Path, events: int, bytes_each: int = 200) -> Path:
    """Write a large log quickly, without a hub."""

    async def write() -> None:
        written = Log(FileStore(root, Durability.NONE), "/journal", clock=SystemClock(), segment_bytes=4 << 20)
        for first in range(0, events, 5000):
            bodies = [
                b'{"at":"2026-01-01T00:00:00.000000Z","kind":"%b","seq":%d,"x":"%b"}'
                % (b"needle.found" if seq == 7 else b"hay.grown", seq, b"x" * bytes_each)
                for seq in range(first, min(first + 5000, events))
            ]
            await written.append(bodies)
        await written.aclose()

    anyio.run(write)
    return root


# --- tail -----------------------------------------------------------------------------------------------------------


def test_tail_prints_the_last_ten_records(log: Path) -> None:
    everything = as_json(hubwire("tail", "-n", "all", "-o", "json", log))
    assert len(everything) == 14
    assert as_json(hubwire("tail", "-o", "json", log)) == everything[-10:]
    assert as_json(hubwire("tail", "-n", "3", "-o", "json", log)) == everything[-3:]
    assert shown(hubwire("tail", "-n", "0", log)) == []
    assert len(shown(hubwire("tail", "-n", "1000", log))) == 14


def test_tail_prints_records_unchanged(log: Path) -> None:
    """As JSON, a record is printed byte for byte as it is stored."""
    (segment,) = (log / "audit" / "log").glob("*.jsonl")
    assert hubwire("tail", "-n", "all", "-o", "json", log).stdout == segment.read_text()


def test_tail_shows_agent_action_and_channel(log: Path) -> None:
    lines = [line[24:].strip() for line in shown(hubwire("tail", "-n", "all", log))]
    assert [line for line in lines if "log." not in line and "hub." not in line and "listener." not in line] == [
        "#2 planner  agent.registered",
        "#3 coder    agent.registered   can python",
        "#4 planner  channel.created    [fix the build] with planner, coder",
        "#5          channel.opened     [fix the build]",
        "#6 planner  envelope.posted    [fix the build] → coder: please fix the build (urgent=true)",
        "#7 coder    tool.called        [fix the build] pytest(n=1, path=tests)",
        "#8 coder    tool.called        [fix the build] pytest(n=2, path=tests)",
        "#9 coder    tool.completed     [fix the build] pytest → 42 passed",
        "#10 coder    tool.failed        [fix the build] pytest ✗ 1 failed",
        "#11          channel.closed     [fix the build] reason=done",
    ]


SELECTIONS = {
    "a kind": (["--kind", "tool.called"], [7, 8]),
    "a pattern": (["--kind", "tool.*"], [7, 8, 9, 10]),
    "two kinds": (["--kind", "*.failed", "--kind", "agent.*"], [2, 3, 10]),
    "an agent's name": (["--agent", "planner"], [2, 4, 6]),
    "a channel's topic": (["--channel", "fix the build"], [4, 5, 6, 7, 8, 9, 10, 11]),
    "all three": (["--agent", "coder", "--kind", "tool.*", "--channel", "fix the build"], [7, 8, 9, 10]),
    "the last of them": (["--kind", "tool.*", "-n", "1"], [10]),
    "nobody": (["--agent", "nobody"], []),
}


@pytest.mark.parametrize(("options", "wanted"), SELECTIONS.values(), ids=SELECTIONS)
def test_tail_selects(options: list[str], wanted: list[int], log: Path) -> None:
    assert [record["seq"] for record in as_json(hubwire("tail", *options, "-o", "json", log))] == wanted


def test_tail_knows_ids_and_their_ends(log: Path) -> None:
    """Agents and channels may be named by their ids, or by the ends of them."""
    created = as_json(hubwire("tail", "--kind", "channel.created", "-o", "json", log))[0]
    for agent in (created["agent_id"], created["agent_id"][-8:], "…" + created["agent_id"][-8:]):
        assert len(shown(hubwire("tail", "--agent", agent, log))) == 3
    assert len(shown(hubwire("tail", "--channel", created["channel_id"][-8:], log))) == 8


def test_tail_reads_the_journal(tmp_path: Path, log: Path) -> None:
    """It does so where there is no audit log, or where it is asked to."""
    journal = as_json(hubwire("tail", "-n", "all", "-o", "json", "--log", "/journal", log))
    assert [record["seq"] for record in journal] == list(range(13))
    assert "h" not in journal[0]
    (log / "audit").rename(log / "elsewhere")
    assert as_json(hubwire("tail", "-n", "all", "-o", "json", log.as_uri())) == journal


def test_a_damaged_record_is_marked(log: Path) -> None:
    """It is shown as damaged, and the others are shown as usual."""
    (segment,) = (log / "audit" / "log").glob("*.jsonl")
    lines = segment.read_bytes().split(b"\n")
    lines[3] = b"\x1b[31m" + lines[3][5:]
    segment.write_bytes(b"\n".join(lines))
    assert "record 3 is damaged: \\x1b[31m" in shown(hubwire("tail", "-n", "all", log))[3]
    assert len(shown(hubwire("tail", "-n", "all", log))) == 14
    assert json.loads(hubwire("stats", "--json", log).stdout)["damaged"] == 1


# --- tail -f --------------------------------------------------------------------------------------------------------


class Following:
    """A ``tail -f`` that is running."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def line(self) -> str:
        return (await self._lines.receive_until(b"\n", 1 << 20)).decode()

    async def record(self) -> dict[str, Any]:
        record = json.loads(await self.line())
        assert isinstance(record, dict)
        return record


@asynccontextmanager
async def following(*arguments: str | Path) -> AsyncIterator[Following]:
    command = [*COMMAND, "tail", "-f", *map(str, arguments)]
    process = await anyio.open_process(command, stderr=subprocess.PIPE)
    try:
        yield Following(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()


async def test_tail_f_follows_a_growing_log(tmp_path: Path) -> None:
    """It waits for a log that is not there yet, follows it as it grows, and across rotations."""
    store = FileStore(tmp_path / "later")
    async with following("-n", "all", "-o", "json", store.root) as tail:
        async with Hub(store, listeners=[AuditLog(store, rotation=2000)]) as hub:
            assert (await tail.record())["kind"] == "log.opened"
            await work(hub)
            for number in range(50):
                await hub.emit(GenericEvent(kind="number.counted", data={"number": number}))
        seqs, rotations = [], 0
        while True:
            record = await tail.record()
            seqs += [record["seq"]] if "seq" in record else []
            rotations += record["kind"] == "log.rotated"
            if record["kind"] == "hub.stopped":
                break
        assert seqs == list(range(63))
        assert rotations > 3

        async with Hub(store, listeners=[AuditLog(store, rotation=2000)]):
            assert (await tail.record())["kind"] == "log.opened"
            assert (await tail.record())["seq"] == 63


async def test_tail_f_selects(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    selected = following("-n", "all", "--agent", "coder", "--kind", "tool.*", tmp_path)
    async with Hub(store, listeners=[AuditLog(store)]) as hub, selected as tail:
        await work(hub)
        lines = [await tail.line() for _ in range(4)]
    assert [line.split()[4] for line in lines] == ["tool.called", "tool.called", "tool.completed", "tool.failed"]
    assert all(" coder " in line for line in lines)


async def test_tail_f_follows_a_journal(tmp_path: Path) -> None:
    async with following("-n", "all", "-o", "json", tmp_path) as tail, Hub(FileStore(tmp_path)):
        assert (await tail.record())["kind"] == "hub.started"


async def test_ctrl_c_ends_tail_f_silently(log: Path) -> None:
    async with following("-n", "1", log) as tail:
        await tail.line()
        tail.process.send_signal(signal.SIGINT)
        assert await tail.process.wait() == 130
        assert tail.process.stderr is not None
        with pytest.raises(anyio.EndOfStream):
            await tail.process.stderr.receive()


def test_tail_f_ends_when_its_reader_leaves(log: Path) -> None:
    """It ends when the pipe is closed, although no record comes."""
    command = [*COMMAND, "tail", "-f", "-n", "1", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        try:
            assert process.wait(timeout=30) == 141
            assert process.stderr.read() == b""
        finally:
            process.kill()


# --- show, stats, verify --------------------------------------------------------------------------------------------


def test_show_finds_an_event_by_seq_or_id(log: Path) -> None:
    by_seq = json.loads("".join(shown(hubwire("show", "9", log))))
    assert (by_seq["seq"], by_seq["result"]) == (9, "42 passed")
    assert json.loads("".join(shown(hubwire("show", by_seq["id"], log)))) == by_seq


def test_show_takes_event_and_store_in_either_order(log: Path) -> None:
    by_seq = hubwire("show", "9", log).stdout
    assert hubwire("show", log, "9").stdout == by_seq
    assert hubwire("show", f"file://{log}", "9").stdout == by_seq


def test_show_finds_a_record_by_its_place(log: Path) -> None:
    """From the beginning or from the end, also one that is no event and has no seq."""
    lines = as_json(hubwire("tail", "-n", "all", "-o", "json", log))
    for place, wanted in (("index:0", lines[0]), ("index:13", lines[13]), ("-1", lines[-1]), ("-14", lines[0])):
        for words in (("show", place, log), ("show", log, place)):
            assert json.loads("".join(shown(hubwire(*words)))) == wanted
    for place in ("index:14", "-15"):
        run = hubwire("show", place, log)
        assert (run.returncode, run.stdout) == (1, "")
        assert f"has no record with {place}" in run.stderr


@pytest.mark.parametrize("event", ["99", "no-such-id"])
def test_show_reports_a_missing_event(event: str, log: Path) -> None:
    run = hubwire("show", event, log)
    assert (run.returncode, run.stdout) == (1, "")
    assert "has no event with" in run.stderr


def test_show_prints_a_long_event_whole(tmp_path: Path) -> None:
    async def write() -> None:
        store = FileStore(tmp_path)
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            await hub.emit(GenericEvent(kind="book.written", data={"text": "x" * 100_000}))

    anyio.run(write)
    event = json.loads("".join(shown(hubwire("show", "2", tmp_path))))
    assert event["data"]["text"] == "x" * 100_000


def test_show_finds_the_segment_of_an_old_event(tmp_path: Path) -> None:
    write_journal(tmp_path, 60_000)
    assert json.loads("".join(shown(hubwire("show", "59998", tmp_path))))["seq"] == 59_998
    assert json.loads("".join(shown(hubwire("show", "7", tmp_path))))["kind"] == "needle.found"


def test_stats_counts_a_log(log: Path) -> None:
    (segment,) = (log / "audit" / "log").glob("*.jsonl")
    records = [json.loads(line) for line in segment.read_bytes().split(b"\n")[:-1]]
    numbers = json.loads("".join(shown(hubwire("stats", "--json", log))))
    kinds = numbers.pop("kinds")
    assert numbers == {
        "log": "/audit",
        "records": 14,
        "events": 13,
        "first_at": records[0]["at"],
        "last_at": records[-1]["at"],
        "channels": 1,
        "agents": 2,
        "topics": 0,
        "bytes": segment.stat().st_size,
        "segments": 1,
        "damaged": 0,
        "head": f"14:{records[-1]['h']}",
    }
    assert kinds == {kind: sum(each["kind"] == kind for each in records) for kind in {each["kind"] for each in records}}
    lines = shown(hubwire("stats", log))
    assert "events    13" in lines
    assert "tool.called               2" in lines


def test_stats_counts_every_segment(tmp_path: Path) -> None:
    write_journal(tmp_path, 60_000)
    numbers = json.loads(hubwire("stats", "--json", tmp_path).stdout)
    files = list((tmp_path / "journal" / "log").iterdir())
    assert numbers["events"] == 60_000
    assert numbers["segments"] == len(files) > 3
    assert numbers["bytes"] == sum(file.stat().st_size for file in files)


def test_verify_counts_the_verified_records(log: Path) -> None:
    assert shown(hubwire("verify", log))[-1] == "verified 14 records"


def test_verify_locates_damage(log: Path) -> None:
    (segment,) = (log / "audit" / "log").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"42 passed", b"43 passed"))
    run = hubwire("verify", log)
    assert run.returncode == 1
    assert "integrity     fails" in run.stdout
    assert "verified" not in run.stdout
    assert run.stderr.startswith("hubwire: record 10 of the log /audit ")
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
async def test_the_reading_verbs_change_nothing(tmp_path: Path) -> None:
    """They work beside a running hub, and leave every file as it was, but for the markers, which the hub writes."""
    store = FileStore(tmp_path)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await work(hub)
        before = await anyio.to_thread.run_sync(look_at, tmp_path)
        for verb in (("tail",), ("show", "1"), ("stats",), ("verify",)):
            run = await anyio.to_thread.run_sync(partial(hubwire_process, *verb, tmp_path))
            assert (run.returncode, run.stderr) == (0, "")
        assert await anyio.to_thread.run_sync(look_at, tmp_path) == before
    assert hub.statistics().applied == 13


def look_at(root: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: ((status := path.stat()).st_mtime_ns, status.st_size)
        for path in root.rglob("*")
        if path.is_file() and path.name != "clean"
    }


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    small = write_journal(tmp_path / "small", 2000, 1000)
    large = write_journal(tmp_path / "large", 64_000, 1000)
    for verb in (["stats"], ["tail", "--kind", "needle.*"], ["tail", "-n", "5"]):
        assert memory_of([*verb, str(large)]) < memory_of([*verb, str(small)]) + 8 * 1024


def memory_of(arguments: list[str]) -> int:
    """Return how many KiB the command took at the most."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0
    assert isinstance(usage, resource.struct_rusage)
    return usage.ru_maxrss


# --- a terminal -----------------------------------------------------------------------------------------------------


def on_terminal(*arguments: str | Path, **environment: str) -> str:
    """Run the command on a terminal, and return what it prints there."""
    master, slave = pty.openpty()
    environment = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, **environment}
    with subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        printed = b""
        while select.select([master], [], []):
            try:
                printed += os.read(master, 4096)
            except OSError:  # EIO: nobody has the other end any more
                break
    os.close(master)
    assert process.returncode == 0, printed
    return printed.decode().replace("\r\n", "\n")


@pytest.fixture
def hostile_log(tmp_path: Path) -> Path:
    """A store in which agents say what they can to harm a terminal."""

    async def write() -> None:
        store = FileStore(tmp_path)
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            agent = await hub.agents.register(f"evil{HOSTILE}")
            channel = await hub.channels.open([agent], topic=HOSTILE)
            await channel.post(agent, HOSTILE)
            await channel.post(agent, {HOSTILE: [HOSTILE]})
            await hub.emit(ToolCalled(tool=HOSTILE, call_id=HOSTILE, arguments={HOSTILE: HOSTILE}, agent_id=HOSTILE))
            await hub.emit(ToolFailed(tool=HOSTILE, call_id="1", error_message=HOSTILE, channel_id=HOSTILE))
            await hub.emit(GenericEvent(kind="evil.done", data={HOSTILE: {HOSTILE: HOSTILE}}))
        await AuditLog(store).append({"kind": HOSTILE, "at": HOSTILE, "x": HOSTILE})

    anyio.run(write)
    return tmp_path


PRINTERS: dict[str, Callable[..., str]] = {
    "a pipe": lambda *arguments: hubwire(*arguments).stdout,
    "a terminal": lambda *arguments: on_terminal(*arguments, NO_COLOR="1", COLUMNS="1000"),
    "a narrow terminal": lambda *arguments: on_terminal(*arguments, NO_COLOR="1", COLUMNS="80"),
}


@pytest.mark.parametrize("printer", PRINTERS.values(), ids=PRINTERS)
def test_output_cannot_harm_a_terminal(printer: Callable[..., str], hostile_log: Path) -> None:
    """Only printable characters reach the terminal, although agents wrote others."""
    printed = (
        printer("tail", "-n", "all", hostile_log) + printer("stats", hostile_log) + printer("show", "4", hostile_log)
    )
    assert [char for char in printed if not char.isprintable() and char != "\n"] == []
    assert len(printed.split("\n")) > 20


def test_json_on_a_terminal_is_escaped(hostile_log: Path) -> None:
    """Only printable characters reach the terminal, and the JSON means the same."""
    command = ("tail", "-n", "all", "-o", "json", hostile_log)
    printed = on_terminal(*command, COLUMNS="80")
    assert [char for char in printed if not char.isprintable() and char != "\n"] == []
    assert [json.loads(line) for line in printed.split("\n")[:-1]] == as_json(hubwire(*command))


def test_escaped_text_can_be_recognized() -> None:
    assert escape("a\x1b[31mb\u202ec\n\U000e0041 ü 漢") == "a\\x1b[31mb\\u202ec\\n\\U000e0041 ü 漢"
    assert escape_json('"\x7f\u202e\U000e0041"') == '"\\u007f\\u202e\\udb40\\udc41"'
    assert json.loads(escape_json('"\x7f\u202e\U000e0041"')) == "\x7f\u202e\U000e0041"


def test_text_is_cut_to_terminal_cells() -> None:
    assert crop("short", 10) == "short"
    assert crop("0123456789", 10) == "0123456789"
    assert crop("0123456789a", 10) == "012345678…"
    assert crop("漢字漢字漢字", 6) == "漢字…"


def test_a_line_fits_the_terminal(log: Path) -> None:
    for columns in (80, 100, 200):
        lines = on_terminal("tail", "-n", "all", log, NO_COLOR="1", COLUMNS=str(columns)).split("\n")
        assert max(map(len, lines)) <= columns


def test_agents_have_colours_on_terminals_only(log: Path) -> None:
    lines = on_terminal("tail", "--agent", "coder", log, COLUMNS="150").split("\n")[:-1]
    colours = {line.partition("coder")[0].rpartition("\x1b[")[2] for line in lines}
    assert len(colours) == 1
    assert colours.pop().startswith("38;5;")
    assert "\x1b" not in on_terminal("tail", log, NO_COLOR="1")
    assert "\x1b" not in on_terminal("tail", log, TERM="dumb")
    assert "\x1b" not in hubwire("tail", log).stdout


# --- manners --------------------------------------------------------------------------------------------------------


def test_a_broken_pipe_is_silent(tmp_path: Path) -> None:
    write_journal(tmp_path, 20_000)
    pipe = f'"$0" -P -m hubwire tail -n all {tmp_path} | head -1; exit ${{PIPESTATUS[0]}}'
    run = subprocess.run(["bash", "-c", pipe, sys.executable], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr, run.stdout.count("\n")) == (141, "", 1)


def test_an_output_that_is_closed_is_no_traceback(tmp_path: Path) -> None:
    """As cron and daemons may start it: the work is done, though there is no place for what it prints."""
    write_journal(tmp_path, 3)
    closed = f'"$0" -P -m hubwire stats {tmp_path} >&-'
    run = subprocess.run(["bash", "-c", closed, sys.executable], capture_output=True, text=True, check=False)
    assert "Traceback" not in run.stderr
    assert run.returncode == 0


FAILURES = {
    "no log": (["tail", "{}"], 1, "there is no log in {} at /audit or /journal"),
    "no such directory": (["stats", "{}/gone"], 1, "there is no log in {}/gone"),
    "no log at a path": (["show", "1", "{}", "--log", "/other"], 1, "there is no log in {} at /other"),
    "no audit log": (["verify", "{}"], 1, "there is no log in {} at /audit"),
    "a bad path": (["tail", "{}", "--log", "/../etc"], 1, "has the element '..'"),
    "a bad URL": (["tail", "ftp://x"], 2, "unknown scheme 'ftp'"),
    "no target": (["tail"], 2, "TARGET"),
    "an unknown verb": (["frobnicate"], 2, "frobnicate"),
    "an unknown option": (["tail", "{}", "--frobnicate"], 2, "--frobnicate"),
    "an option that is missing": (["release", "{}"], 2, "hubwire release needs --reason: why; it becomes part of"),
    "a name that begins as no word": (["import"], 2, "hubwire import needs FILE: JSON Lines or JSON"),
    "what a target is": (["stats"], 2, "needs TARGET: a directory, the URL of a store, "),
    "a directory that is not there": (
        ["doctor", "{}/gone"],
        2,
        "is no store: there is no such directory; is it",
    ),
    "the address of a hub": (
        ["holds", "https://h.example"],
        2,
        "is the address of a hub, and this is asked of a store",
    ),
    "a file": (["doctor", __file__], 2, "it is a file, and a store is a directory; hubwire import takes"),
    "a file where a log is read": (["query", __file__], 1, "it is a file, and a store is a directory; hubwire import"),
    "letters where there is no store": (["dead-letters", "list", "{}/gone"], 1, "there is no such directory; is it"),
    "an option by a wrong name": (["export", "{}", "-f", "csv"], 2, " It has no option -f."),
    "an option that is misspelt": (["export", "{}", "--frmat", "csv"], 2, "Did you mean --format instead of --frmat?"),
    "an unknown verb of a verb": (["dead-letters", "lst"], 2, "(see hubwire dead-letters --help)"),
    "a negative number": (["tail", "-n", "-1", "{}"], 2, "-1"),
    "no number": (["tail", "-n", "few", "{}"], 2, "few"),
}


@pytest.mark.parametrize(("command", "code", "complaint"), FAILURES.values(), ids=FAILURES)
def test_errors_are_reported_in_one_line(command: list[str], code: int, complaint: str, tmp_path: Path) -> None:
    run = hubwire(*(word.format(tmp_path) for word in command))
    assert (run.returncode, run.stdout) == (code, "")
    assert complaint.format(tmp_path) in run.stderr
    assert run.stderr.startswith("hubwire: ")
    assert run.stderr.count("\n") == 1


def test_debug_shows_where_an_error_happened(tmp_path: Path) -> None:
    run = hubwire("--debug", "tail", tmp_path)
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "find_log" in run.stderr


def test_the_command_shows_version_and_help() -> None:
    assert shown(hubwire_process("--version"))[0][0].isdigit()
    overview = hubwire_process("--help").stdout
    for verb in ("import", "tail", "show", "stats", "verify", "demo"):
        assert verb in overview
        assert hubwire(verb, "--help").stdout.startswith(f"Usage: hubwire {verb}")


@pytest.mark.parametrize("verb", ["verify", "mcp", "erase", "log fork", "keys rotate", "spool drain"])
def test_help_is_broken_where_the_terminal_ends(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not, once more, where the lines of its source do."""
    monkeypatch.setenv("COLUMNS", "80")
    text = hubwire(*verb.split(), "--help").stdout.partition("╭")[0]
    paragraphs = [paragraph.split("\n") for paragraph in text.strip().split("\n\n")[1:]]
    assert len(paragraphs) > 1
    for lines in paragraphs:
        for line, after in pairwise(each.rstrip() for each in lines):
            assert len(f"{line} {after.split()[0]}") > 80 - 2


def test_the_library_imports_nothing_of_the_command() -> None:
    code = "import sys, hubwire; print({'cyclopts', 'rich'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_a_memory_store_has_no_log_to_read() -> None:
    assert hubwire("tail", "memory://").returncode == 1
