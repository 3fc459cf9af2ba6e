"""``hubwire tail``: its filters, several logs at a time, its forms, and its lines at the widths of terminals."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from rich.cells import cell_len

from hubwire import GenericEvent, Hub
from hubwire.cli.tail import short_names
from hubwire.events import (
    ModelCalled,
    ModelCompleted,
    ModelFailed,
    Outcome,
    ToolCalled,
    ToolFailed,
    TurnEnded,
    TurnFailed,
    TurnStarted,
)
from hubwire.listeners.audit import AuditLog, Retention
from hubwire.stores import FileStore
from support.terminals import plain, printed

pytestmark = pytest.mark.slow  # each test runs the command as a program

COMMAND = [sys.executable, "-P", "-m", "hubwire", "tail"]
EVIL = "evil\x1b[31m\u202eagent"


async def tail(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
    done = await anyio.run_process([*COMMAND, *map(str, arguments)], check=False)
    assert done.returncode == code, done.stderr
    return done.stdout.decode(), done.stderr.decode()


async def seqs(*arguments: str | Path) -> list[int]:
    lines = (await tail("-o", "jsonl", *arguments))[0].split("\n")[:-1]
    return [json.loads(line)["seq"] for line in lines]


async def work(root: Path) -> None:
    store = FileStore(root)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        planner = await hub.agents.register("planner")
        coder = await hub.agents.register("coder")
        await hub.agents.register(EVIL)
        await hub.for_tenant("acme").agents.register("theirs")
        channel = await hub.channels.open([planner, coder], topic="fix the build")
        about: dict[str, Any] = {"agent_id": coder.id, "channel_id": channel.id, "turn_id": "t"}
        request = {"messages": [{"role": "system", "content": "be good"}, {"role": "user", "content": "mend it"}]}
        await hub.emit(TurnStarted(prompt="please " * 100, **about))
        await hub.emit(ModelCalled(model="gpt", call_id="1", request=request, **about))
        answer = {"choices": [{"message": {"role": "assistant", "content": "I test it first."}}]}
        taken: dict[str, Any] = {"input_tokens": 1234, "output_tokens": 5, "duration_ms": 1840}
        await hub.emit(ModelCompleted(model="gpt", call_id="1", response=answer, **taken, **about))
        await hub.emit(ModelFailed(model="gpt", call_id="2", error_message="429", **about))
        await hub.emit(ToolCalled(tool="pytest", call_id="3", arguments={"path": "tests"}, **about))
        await hub.emit(ToolFailed(tool="pytest", call_id="3", error_message=f"{EVIL} failed", **about))
        await hub.emit(GenericEvent(kind="own.refused", outcome=Outcome.DENIED, data={"reason": "no"}))
        await hub.emit(TurnEnded(content="it works", tool_calls=1, duration_ms=40, **about))
        await hub.emit(TurnFailed(agent_id=planner.id, turn_id="u", error_message="調査 " * 40))
        await hub.emit(GenericEvent(kind="own.done", data={"who": coder.id, "漢字": "漢字 " * 100}))


@pytest.fixture
async def log(tmp_path: Path) -> Path:
    await work(tmp_path / "store")
    return tmp_path / "store"


# --- which records --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        pytest.param(["--kind", "model.*", "--last", "1"], ["model.failed"], id="the last of a pattern"),
        pytest.param(
            ["--agent", "planner", "--agent", "theirs", "--kind", "agent.*"], ["agent.registered"] * 2, id="or"
        ),
        pytest.param(["--tenant", "acme", "-n", "all"], ["agent.registered"], id="a tenant"),
        pytest.param(["--grep", "^coder tool", "-n", "9"], ["tool.called", "tool.failed"], id="a line"),
        pytest.param(["--grep", '"call_id":"1"'], ["model.called", "model.completed"], id="json"),
        pytest.param(["--kind", "model.*", "--exclude", "429", "--exclude", "I test"], ["model.called"], id="left out"),
        pytest.param(["--text", "i TEST it"], ["model.completed"], id="text"),
        pytest.param(["--since", "-1h", "--kind", "turn.*"], ["turn.started", "turn.ended", "turn.failed"], id="since"),
        pytest.param(["--until", "-1h"], [], id="until"),
        pytest.param(["--outcome", "failed"], ["model.failed", "tool.failed", "turn.failed"], id="failed"),
        pytest.param(["--outcome", "denied"], ["own.refused"], id="denied"),
        pytest.param(["--outcome", "open", "--kind", "t*"], ["turn.started", "tool.called"], id="open"),
    ],
)
async def test_a_tail_has_the_filters_of_queries(options: list[str], kinds: list[str], log: Path) -> None:
    lines = (await tail("-o", "jsonl", *options, log))[0].split("\n")[:-1]
    assert [json.loads(line)["kind"] for line in lines] == kinds


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--outcome", "faild"], "did you mean failed?", id="outcome"),
        pytest.param(["--since", "10 minutes ago"], "since is a time", id="since"),
        pytest.param(["--grep", "("], "--grep is a regular expression", id="grep"),
        pytest.param(["--exclude", "*"], "--exclude is a regular expression", id="exclude"),
        pytest.param(["--zone", "Mars"], "no such zone is known", id="zone"),
        pytest.param(["-n", "-1"], "Must be 0 or more, or all", id="lines"),
        pytest.param(["-o", "xml"], "pretty", id="output"),
    ],
)
async def test_what_is_wrong_with_a_filter_is_said(options: list[str], said: str, log: Path) -> None:
    out, complaint = await tail(*options, log, code=2)
    assert out == ""
    assert said in complaint
    assert complaint.count("\n") <= 2


async def test_a_misspelt_name_has_advice(log: Path) -> None:
    _, said = await tail("--agent", "codr", "--kind", "tool.caled", log)
    assert "coder" in said
    assert "tool.called" in said


async def test_damage_does_not_hide_what_is_selected(log: Path) -> None:
    """A query ends at damage; a tail shows the rest."""

    def damage() -> None:
        (segment,) = (log / "audit" / "log").glob("*.jsonl")
        segment.write_bytes(segment.read_bytes().replace(b'"own.done"', b"own.done"))

    await anyio.to_thread.run_sync(damage)
    assert len(await seqs("--kind", "model.*", log)) == 3


# --- forms ----------------------------------------------------------------------------------------------------------


async def test_csv_has_cells_and_cloudevents_are_events(log: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((await tail("-o", "csv", "-n", "3", log))[0])))
    assert [row["kind"] for row in rows] == ["turn.failed", "own.done", "hub.stopped"]
    lines = (await tail("-o", "cloudevents", "-n", "2", log))[0].split("\n")[:-1]
    assert [json.loads(line)["specversion"] for line in lines] == ["1.0"] * 2


async def test_times_are_in_a_zone_on_request(log: Path) -> None:
    plain_time = (await tail("-n", "1", log))[0][:23]
    there = (await tail("-n", "1", "--zone", "Asia/Kolkata", log))[0]
    assert there[23:28] == "+0530"
    assert there[:23] != plain_time


async def test_calls_and_turns_read_as_one(log: Path) -> None:
    text = (await tail("-n", "12", log))[0]
    for words in (
        "gpt ← mend it",
        "gpt → I test it first. (1,234 in, 5 out, 1.84 s)",
        "gpt ✗ 429",
        "pytest(path=tests)",
        "→ it works (1 tool call, 40 ms)",
        "who=coder",
    ):
        assert words in text
    assert len(re.findall(r"turn.started +\[fix the build\] ← (?:please )+.*…$", text, re.MULTILINE)) == 1


# --- widths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [120, 80, 60, 40])
async def test_a_line_shrinks_with_the_terminal(columns: int, log: Path) -> None:
    """The words of what happened keep their room, and no line is longer than the terminal."""
    text = plain(await printed("tail", "-n", "all", log, columns=columns))
    lines = text.split("\n")[:-1]
    assert max(map(cell_len, lines)) <= columns
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "pytest(path=t" in text
    assert ("#" in text) == (columns >= 72)
    assert ("[fix the" in text) == (columns >= 100)


async def test_what_is_refused_is_amber_and_what_failed_red(log: Path) -> None:
    text = await printed("tail", "-n", "all", log, columns=120)
    assert re.search("\x1b\\[33mown.refused", text)
    assert re.search("\x1b\\[31mtool.failed", text)
    assert not re.search("\x1b\\[3[13]mtool.called", text)
    assert "\x1b" not in await printed("tail", "-n", "all", log, NO_COLOR="1")


# --- several --------------------------------------------------------------------------------------------------------


async def test_several_logs_are_merged_by_time(tmp_path: Path) -> None:
    one, two = FileStore(tmp_path / "one"), FileStore(tmp_path / "two")
    async with Hub(one) as first, Hub(two) as second:
        for number in range(5):
            await first.emit(GenericEvent(kind="own.done", data={"number": 2 * number}))
            await second.emit(GenericEvent(kind="own.done", data={"number": 2 * number + 1}))
    text = (await tail("-n", "all", "--kind", "own.*", one.root, two.root))[0]
    assert re.findall(r"number=(\d)", text) == [str(number) for number in range(10)]
    assert re.findall(r"^(\w+) ", text, re.MULTILINE) == ["one", "two"] * 5
    assert len((await tail("-n", "3", one.root, two.root))[0].split("\n")) == 4
    _, said = await tail("--head", one.root, two.root, code=2)
    assert "name one" in said


def test_short_names_tell_targets_apart() -> None:
    assert short_names(["/data/a/hub", "/data/b/hub"]) == ["a/hub", "b/hub"]
    assert short_names(["./a", "s3://bucket/b?region=x"]) == ["a", "b"]
    assert short_names(["./a", "./a"]) == ["a#1", "a#2"]


class Following:
    """A ``tail -f`` that is running."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)
        self._complaints = BufferedByteReceiveStream(process.stderr)

    async def line(self) -> str:
        return (await self._lines.receive_until(b"\n", 1 << 20)).decode()

    async def complaint(self) -> str:
        return (await self._complaints.receive_until(b"\n", 1 << 20)).decode()


@asynccontextmanager
async def following(*arguments: str | Path) -> AsyncIterator[Following]:
    process = await anyio.open_process([*COMMAND, "-f", *map(str, arguments)], stderr=subprocess.PIPE)
    try:
        yield Following(process)
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def test_what_comes_to_several_logs_is_merged(tmp_path: Path) -> None:
    """It says which it waits for."""
    one, two = FileStore(tmp_path / "one"), FileStore(tmp_path / "two")
    async with following("--kind", "own.*", one.root, two.root) as run:
        waits = {await run.complaint(), await run.complaint()}
        assert all(": there is no log in it yet" in each and "waiting for " in each for each in waits)
        async with Hub(one) as first, Hub(two) as second:
            await first.emit(GenericEvent(kind="own.done", data={"number": 0}))
            await second.emit(GenericEvent(kind="own.done", data={"number": 1}))
            await second.emit(GenericEvent(kind="other.done", data={"number": 2}))
            found = sorted([await run.line(), await run.line()])
    assert [line.split()[0] for line in found] == ["one", "two"]


async def test_a_tail_goes_on_where_a_log_is_pruned(tmp_path: Path) -> None:
    """While it is stopped, what it was about to read is pruned; it says what is gone, and goes on."""
    store = FileStore(tmp_path)
    audit = AuditLog(store, rotation=2000)
    async with Hub(store, listeners=[audit]) as hub:
        await hub.emit(GenericEvent(kind="own.begun"))
        await hub.flush()
        async with following("-n", "1", "-o", "json", tmp_path) as run:
            await run.line()
            run.process.send_signal(signal.SIGSTOP)
            for number in range(60):
                await hub.emit(GenericEvent(kind="own.done", data={"number": number}))
            await hub.flush()
            await audit.prune(retention=Retention(segments_max=2))
            run.process.send_signal(signal.SIGCONT)
            while json.loads(await run.line()).get("data") != {"number": 59}:
                pass
            assert "are gone: they were pruned before they were read" in await run.complaint()


async def test_until_ends_a_tail(tmp_path: Path) -> None:
    async with Hub(FileStore(tmp_path)) as hub:
        await hub.flush()
        until = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
        out, _ = await tail("-f", "--until", until, tmp_path)
    assert "hub.started" in out


async def test_the_reader_of_several_may_leave(tmp_path: Path) -> None:
    async with Hub(FileStore(tmp_path / "a")), Hub(FileStore(tmp_path / "b")):
        command = f'"$0" -P -m hubwire tail -f {tmp_path}/a {tmp_path}/b | head -1; exit ${{PIPESTATUS[0]}}'
        done = await anyio.run_process(["bash", "-c", command, sys.executable], check=False)
    assert (done.returncode, done.stderr) == (141, b"")
