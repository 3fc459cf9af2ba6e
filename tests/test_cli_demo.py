from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

from hubwire.cli.demo import DemoFailed, _Show
from hubwire.cli.scenario import run as run_scenario
from hubwire.errors import HubError
from hubwire.listeners.audit import verify
from hubwire.log import LogReader, follow
from hubwire.stores import FileStore, MemoryStore

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-P", "-m", "hubwire"]
EVENT_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} ")


def hubwire(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """What one demo printed, and the store it left."""
    store = tmp_path_factory.mktemp("demo") / "store"
    run = hubwire("demo", "--store", store, "--tickets", "4", "--pace", "0.01")
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.split("\n")[:-1], store


async def kinds(store: FileStore | MemoryStore, path: str = "/audit") -> list[str]:
    found = []
    reader = LogReader(store, path)
    while records := await reader.read():
        found += [match[1].decode() for record in records if (match := re.search(rb'"kind":"([^"]+)"', record.line))]
    return found


# --- what it shows --------------------------------------------------------------------------------------------------


def test_the_demo_shows_every_record(shown: tuple[list[str], Path]) -> None:
    """Its last line says how many records it verified: as many as it showed."""
    lines, store = shown
    events = [line for line in lines if EVENT_LINE.match(line)]
    assert lines[-1] == f"verified {len(events)} records"
    assert hubwire("verify", store).stdout.split("\n")[-2] == lines[-1]


def test_the_demo_survives_a_kill(shown: tuple[list[str], Path]) -> None:
    """It kills the agents in the middle of a tool call; they recover and go on."""
    lines, store = shown
    killed = next(number for number, line in enumerate(lines) if line.startswith("Killed process"))
    recovered = next(number for number, line in enumerate(lines) if "has recovered" in line)
    assert "tool.called" in [line for line in lines[:killed] if line][-1]
    assert killed < recovered
    assert any("ticket.solved" in line for line in lines[:killed])
    assert any("ticket.solved" in line for line in lines[recovered:])
    counts = Counter(anyio.run(kinds, FileStore(store)))
    assert (counts["hub.started"], counts["hub.stopped"], counts["ticket.solved"]) == (2, 1, 4)
    assert counts["channel.closed"] == counts["channel.opened"] == 5


def test_the_demo_shows_a_forger_who_is_caught_and_one_who_is_not(shown: tuple[list[str], Path]) -> None:
    """In 80 columns: the log alone catches one, the other only the head that was kept."""
    lines, store = shown
    begin = lines.index("And if the log is forged? Two forgers, each with a copy of it.")
    said = [line.strip() for line in lines[begin:]]
    assert max(map(len, lines[begin:])) <= 80
    assert [line for line in said if line.startswith("→")] == [
        "→ Caught by the log itself: each h follows from the record before.",
        "→ Not caught: by itself this log is as good as the true one.",
        "→ Caught by the head that was kept where no forger can write.",
    ]
    assert [line.split()[1] for line in said if line.startswith("integrity")] == ["fails", "holds", "fails"]
    head = next(line for line in said if "--expect-head" in line).split()[-1]
    assert hubwire("verify", store, "--expect-head", head).returncode == 0


def test_the_demo_checks_its_claims(shown: tuple[list[str], Path]) -> None:
    lines, _ = shown
    for check in (
        "seq, d and h are right",
        "byte for byte",
        "on the screen before the kill",
        "All 4 tickets were solved",
    ):
        assert any(check in line for line in lines)


def test_the_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """Without arguments it works in a temporary folder, and removes it."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, check=False, env=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert re.fullmatch(r"verified \d+ records", run.stdout.split("\n")[-2])
    assert list(tmp_path.iterdir()) == []


# --- what may go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("damaged", "complaint"), [("journal", "its checksum"), ("audit", "was changed")])
def test_the_demo_finds_a_changed_record(
    damaged: str, complaint: str, shown: tuple[list[str], Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(shown[1], store)
    (segment,) = (store / damaged / "log").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"42 passed", b"43 passed", 1))
    with pytest.raises((HubError, DemoFailed), match=complaint):
        anyio.run(_Show(FileStore(store), "", 4, 0).check)


def test_the_demo_finds_a_missing_ticket(shown: tuple[list[str], Path]) -> None:
    with pytest.raises(DemoFailed, match="tickets were solved this often"):
        anyio.run(_Show(FileStore(shown[1]), "", 5, 0).check)


def test_the_demo_wants_an_empty_shared_store(shown: tuple[list[str], Path]) -> None:
    """It refuses a store that holds logs, and one that two processes cannot share."""
    for store, complaint in ((str(shown[1]), "holds logs already"), ("memory://", "cannot share a memory store")):
        run = hubwire("demo", "--store", store)
        assert (run.returncode, run.stdout) == (2, "")
        assert complaint in run.stderr
        assert run.stderr.count("\n") == 1


def test_the_demo_reports_another_cause_of_death(tmp_path: Path) -> None:
    """If the agents die of anything but the kill, the demo says so, in one line."""
    (tmp_path / "file").write_text("")
    run = hubwire("demo", "--store", tmp_path / "file" / "store")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr.rpartition("hubwire: ")[2]


async def test_ctrl_c_ends_the_demo_and_its_agents(tmp_path: Path) -> None:
    command = [*COMMAND, "demo", "--store", str(tmp_path)]
    process = await anyio.open_process(command, stderr=subprocess.PIPE, start_new_session=True)
    async for _ in follow(FileStore(tmp_path, poll_seconds=0.01), "/audit", start=20):
        break
    # As a terminal does: to the whole group, the agents' process included.
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    with pytest.raises(anyio.EndOfStream):
        await process.stderr.receive()
    assert await process.wait() == 130
    await FileStore(tmp_path).hold("/journal/.lock")


# --- the agents themselves ------------------------------------------------------------------------------------------


async def test_agents_solve_every_ticket_once() -> None:
    """Wherever they are killed, the agents finish, and solve each ticket exactly once."""
    whole = MemoryStore()
    await run_scenario(whole, tickets=3, pace=0)
    segment = "/journal/log/00000000000000000000.jsonl"
    lines = (await whole.read_bytes(segment) or b"").split(b"\n")[:-1]
    assert len(lines) > 60
    for kept in range(len(lines)):
        store = MemoryStore()
        await store.write(segment, b"".join(line + b"\n" for line in lines[:kept]))
        with anyio.fail_after(10):
            await run_scenario(store, tickets=3, pace=0)
        assert (await kinds(store)).count("ticket.solved") == 3, f"killed after {kept} events"
        assert (await kinds(store)).count("channel.closed") == (await kinds(store)).count("channel.created")
        await verify(store)
