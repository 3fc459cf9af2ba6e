"""``hubwire top``: one frame at the widths of terminals, and the frames of a log that grows."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from rich.cells import cell_len
from rich.console import Console

from hubwire import GenericEvent, Hub
from hubwire.board import Board
from hubwire.cli.feed import Feed
from hubwire.cli.top_frame import Frame, Size, duration, sparkline
from hubwire.events import ApprovalRequested, ErrorRaised, ModelCompleted, ToolCalled, TurnFailed, TurnStarted
from hubwire.listeners.audit import AuditLog, Retention
from hubwire.stores import FileStore
from support.board_events import agent, board_of, told
from support.terminals import terminal

COMMAND = [sys.executable, "-P", "-m", "hubwire", "top"]
EVIL = "evil\x1b[31m\u202eagent"


async def hubwire(*arguments: str | Path, columns: int = 80) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}
    return await anyio.run_process([*COMMAND, *map(str, arguments)], check=False, env=environment)


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Path]:
    """The store of a hub that runs, with agents of every sort."""
    async with Hub(FileStore(tmp_path / "store")) as hub:
        names = ["planner", "coder", "a very long name of an agent that has to be cut", "調査エージェント", EVIL]
        planner, coder, long, wide, evil = [await hub.agents.register(name) for name in names]
        channel = await hub.channels.open([planner, coder], topic="fix it")
        await channel.post(planner, "please")
        await hub.emit(TurnStarted(agent_id=coder.id, turn_id="1"))
        await hub.emit(ToolCalled(agent_id=coder.id, turn_id="1", tool="pytest", call_id="1"))
        await hub.emit(TurnFailed(agent_id=long.id, turn_id="2", error_message="no money\x1b[2J is left"))
        await hub.emit(ModelCompleted(agent_id=wide.id, model="m", call_id="1", input_tokens=123_456))
        await hub.approvals.request(evil, "drop_table", arguments={"name": "users", "mail": "jane@example.com"})
        await hub.flush()
        yield tmp_path / "store"


# --- a frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 120])
async def test_a_frame_fits_the_terminal(busy: Path, columns: int) -> None:
    """Wide characters take two cells; what is cut ends in an ellipsis."""
    done = await hubwire(busy, "--once", columns=columns)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().split("\n")
    assert max(map(cell_len, lines)) <= columns
    assert "…" in done.stdout.decode()


async def test_a_narrow_frame_says_who_and_what(busy: Path) -> None:
    """Rather than numbers beside names of two letters."""
    text = (await hubwire(busy, "--once", columns=40)).stdout.decode()
    assert re.search(r"working +coder +tool py", text)
    assert re.search(r"events .*[▁-█] +12 s$", text, re.MULTILINE), "the newest second is the one that counts"
    assert re.search(r"^\d+ min .{1,4} evil\S+ +drop_\S+.*$", text, re.MULTILINE)


async def test_a_reader_that_leaves_early_is_no_failure(busy: Path) -> None:
    pipe = '"$0" -P -m hubwire top "$1" --once | true; exit ${PIPESTATUS[0]}'
    done = await anyio.run_process(["bash", "-c", pipe, sys.executable, str(busy)], check=False)
    assert (done.returncode, done.stderr) == (141, b"")


async def test_a_frame_shows_who_needs_a_look_first(busy: Path) -> None:
    """Then what waits for a person, and what went wrong."""
    text = (await hubwire(busy, "--once", columns=120)).stdout.decode()
    assert "Agents: 1 failing, 1 waiting for a person, 1 working, 2 idle" in text
    states = re.findall(r"^[✗☻◌◐⇄○–] (\w+)", text, re.MULTILINE)
    assert states == ["failing", "waits", "working", "idle", "idle"]
    assert re.search(r"working +coder +tool pytest", text)
    assert re.search(r"Approvals: 1 waiting\n\d+ min \d+ s left +evil.* +drop_table ", text)
    assert re.search(r"turn\.failed +no money", text)
    assert "123,456" in text


@pytest.mark.slow
async def test_what_agents_say_does_not_reach_the_terminal(busy: Path) -> None:
    r"""Escape sequences are shown as \x1b, and what is personal is redacted."""
    done = await hubwire(busy, "--once", columns=200)
    assert b"\x1b" not in done.stdout, "there is no colour without a terminal, and no sequence of an agent"
    assert r"evil\x1b[31m\u202eagent" in done.stdout.decode()
    assert b"jane@example.com" not in done.stdout
    assert b"jane@example.com" in (await hubwire(busy, "--once", "--raw", columns=200)).stdout


async def test_a_frame_of_a_hub_that_was_stopped_is_as_of_then(tmp_path: Path) -> None:
    async with Hub(FileStore(tmp_path)) as hub:
        coder = await hub.agents.register("coder")
        await hub.emit(TurnStarted(agent_id=coder.id, turn_id="1"))
    text = (await hubwire(tmp_path, "--once")).stdout.decode()
    assert "stopped" in text
    assert re.search(r"working +coder +turn", text)


async def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = await hubwire(tmp_path, "--once")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"there is no log in" in done.stderr


async def test_without_a_terminal_it_says_what_to_write(tmp_path: Path) -> None:
    done = await hubwire(tmp_path)
    assert done.returncode == 2
    assert b"write --once to print one frame" in done.stderr


@pytest.mark.slow
async def test_a_tenant_sees_what_is_its_own(tmp_path: Path) -> None:
    async with Hub(FileStore(tmp_path)) as hub:
        await hub.for_tenant("acme").agents.register("theirs")
        await hub.agents.register("another")
        await hub.flush()
        text = (await hubwire(tmp_path, "--once", "--tenant", "acme")).stdout.decode()
    assert "hubwire top  running" in text
    assert "hubwire top  stopped" in (await hubwire(tmp_path, "--once", "--tenant", "acme")).stdout.decode()
    assert "theirs" in text
    assert "another" not in text
    assert "missing" not in text


async def damaged(root: Path, log: str) -> str:
    """Write a log, damage one of its records, and return what is printed."""
    async with Hub(FileStore(root), listeners=[AuditLog(FileStore(root))]) as hub:
        await hub.agents.register("coder")
        await hub.emit(GenericEvent(kind="own.done", data={"text": "here"}))
        await hub.agents.register("tester")

    def damage() -> None:
        (segment,) = (root / log / "log").glob("*.jsonl")
        segment.write_bytes(segment.read_bytes().replace(b'{"text":"here"}', b'{"text":"here"]'))

    await anyio.to_thread.run_sync(damage)
    done = await hubwire(root, "--once", "--log", f"/{log}", columns=120)
    return (done.stdout + done.stderr).decode()


async def test_damaged_records_of_an_audit_log_are_counted(tmp_path: Path) -> None:
    """And the others are shown."""
    text = await damaged(tmp_path, "audit")
    assert "1 record damaged" in text
    assert "1 event missing" in text
    assert "tester" in text


async def test_what_is_before_the_damage_of_a_journal_is_shown(tmp_path: Path) -> None:
    text = await damaged(tmp_path, "journal")
    assert "coder" in text
    assert "is damaged at byte" in text


async def test_what_is_pruned_while_it_is_read_is_missing_and_no_failure(tmp_path: Path) -> None:
    """A frame shows what is kept; how much is missing it counts."""
    store = FileStore(tmp_path)
    audit = AuditLog(store, rotation=1000)
    async with Hub(store, listeners=[audit]) as hub:
        await hub.agents.register("coder")
        await hub.flush()
        feed = Feed(store, "/audit", Board(), raw=False)
        while not feed.board.seq > 0:
            await feed.read()
        for number in range(60):
            await hub.emit(GenericEvent(kind="own.done", data={"number": number}))
        await hub.agents.register("tester")
        await hub.flush()
        await audit.prune(retention=Retention(segments_max=2))
        assert await feed.read_all() is None
        assert feed.board.seq > 60
        assert feed.board.hub().missing > 0


# --- frames of a log that grows -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_growing_log_is_drawn_anew(ending: signal.Signals, tmp_path: Path) -> None:
    """It waits for the log, shows what comes, and gives the terminal back on Ctrl-C, or when it is told to end."""
    async with terminal("top", "--plain", tmp_path) as screen, Hub(FileStore(tmp_path)) as hub:
        coder = await hub.agents.register("coder")
        await screen.until(b"coder")
        await hub.emit(ToolCalled(agent_id=coder.id, tool="pytest", call_id="1"))
        await screen.until(b"tool pytest")
        screen.process.send_signal(ending)
        await screen.rest()
        assert await anyio.to_thread.run_sync(screen.process.wait) == 128 + ending
    assert b"\x1b[?1049h" in screen.drawn, "it draws on a screen of its own"
    assert b"\x1b[?1049l" in screen.drawn, "and gives back the one before"
    assert b"\x1b[?25h" in screen.drawn, "with its cursor"
    assert b"Traceback" not in screen.drawn
    assert b"\x1b[1;31m" in screen.drawn or b"\x1b[36m" in screen.drawn, "with colours"


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["q", signal.SIGTERM], ids=["key", "signal"])
async def test_the_terminal_is_given_back(tmp_path: Path, ending: str | signal.Signals) -> None:
    """By the one with keys, too: it draws what comes, and leaves no trace."""
    async with Hub(FileStore(tmp_path)) as hub, terminal("top", tmp_path, columns=100) as screen:
        await hub.agents.register("coder")
        await screen.until(b"coder")
        if isinstance(ending, str):
            await screen.type(ending)
        else:
            screen.process.send_signal(ending)
        await screen.rest()
        assert await anyio.to_thread.run_sync(screen.process.wait) == (0 if isinstance(ending, str) else 128 + ending)
    assert screen.drawn.rindex(b"\x1b[?1049l") > screen.drawn.rindex(b"\x1b[?1049h")
    assert b"Traceback" not in screen.drawn


@pytest.mark.slow
async def test_frames_are_bounded(tmp_path: Path) -> None:
    """However many events there are: thousands a second are two frames."""
    async with Hub(FileStore(tmp_path)) as hub, terminal("top", "--plain", tmp_path) as screen:
        await hub.agents.register("coder")
        await screen.until(b"coder")
        for number in range(3000):
            hub.emit_nowait(GenericEvent(kind="own.done", data={"number": number}))
            if number % 500 == 0:
                await hub.flush()
        await hub.agents.register("tester")
        await screen.until(b"tester")
        frames = screen.drawn.count(b"hubwire top")
    assert frames < 60


def test_a_frame_fits_the_rows_of_the_terminal() -> None:
    """Also with hundreds of agents, approvals and errors; how many more there are is said."""
    board = board_of(
        *(agent(f"agent {number}") for number in range(300)),
        *(ApprovalRequested(approval_id=str(number), agent_id="agent 1", action="x") for number in range(50)),
        *(ErrorRaised(error_type="X", agent_id="agent 2") for _ in range(50)),
    )
    printed = io.StringIO()
    frame = Frame(board, None, "./data /audit", Size(80, 24)).made(is_reading=False, damaged=0)
    Console(file=printed, width=80).print(frame)
    lines = printed.getvalue().rstrip("\n").split("\n")
    assert len(lines) == 24
    assert any(line.startswith("and 296 agents more") for line in lines)


def test_a_log_that_begins_later_says_so() -> None:
    board, printed = Board(), io.StringIO()
    board.fold_all(told(agent("a"), start=1234))
    Console(file=printed, width=80).print(Frame(board, None, "x", Size(80, 24)).made(is_reading=False, damaged=0))
    assert "from #1,234 on" in printed.getvalue()


def test_a_board_without_events_says_what_comes() -> None:
    printed = io.StringIO()
    frame = Frame(Board(), 0.0, "./data /audit", Size(80, 24)).made(is_reading=False, damaged=0)
    Console(file=printed, width=80).print(frame)
    assert "There is no event yet" in printed.getvalue()


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.04, "40 ms"),
        (1.84, "1.8 s"),
        (59, "59 s"),
        (242, "4 min 2 s"),
        (11_100, "3 h 5 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
    assert duration(86_400 * 1_234) == "1,234 d"


def test_a_bar_that_is_not_zero_is_seen() -> None:
    assert sparkline([0, 1, 1000, 500]) == " ▂█▅"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""
