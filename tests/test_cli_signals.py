"""What a command leaves behind that is ended by a signal: Ctrl-C, ``timeout``, a service manager, a closed terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_cli_read import COMMAND

from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

pytestmark = pytest.mark.slow

SECONDS_MAX = 50
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log that no export is done with at once."""
    path = tmp_path_factory.mktemp("store")

    async def make() -> None:
        audit = AuditLog(FileStore(path))
        for begin in range(0, 20_000, 500):
            texts = [{"kind": "a.b", "n": n, "text": "filling " * 20} for n in range(begin, begin + 500)]
            await asyncio.gather(*map(audit.append, texts))
        await audit.aclose()

    asyncio.run(make())
    return path


@contextmanager
def running(*arguments: str | Path, folder: Path, before: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a command whose temporary files are in a folder; ``before`` is what a shell does first."""
    folder.mkdir(exist_ok=True)
    words = [*COMMAND, *map(str, arguments)]
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'{before}\nexec "$@"', "sh", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def complaints_of(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stderr is not None
    return process.stderr.read()


@pytest.mark.parametrize("ending", SIGNALS)
@pytest.mark.parametrize("verb", [["export", "--format", "parquet"], ["export", "--format", "csv"], ["report"]])
def test_a_signal_leaves_no_half_file(verb: list[str], ending: signal.Signals, store: Path, tmp_path: Path) -> None:
    folder, temporary = tmp_path / "out", tmp_path / "tmp"
    folder.mkdir()
    with running(*verb, store, "-o", folder / "file", folder=temporary) as process:
        wait_for(lambda: any(folder.iterdir()))
        process.send_signal(ending)
        assert process.wait(SECONDS_MAX) == 128 + ending
        assert complaints_of(process) == b""
    assert [*folder.iterdir(), *temporary.iterdir()] == []


@pytest.mark.parametrize("ending", SIGNALS)
def test_a_statement_that_runs_is_ended_by_a_signal(ending: signal.Signals, store: Path, tmp_path: Path) -> None:
    """Its copy of the records is gone then."""
    never = "select sum(j) from range(900000000000) t(j)"
    with running("sql", store, never, folder=tmp_path / "tmp") as process:
        wait_for(lambda: _cpu_seconds(process.pid) > 3)  # so long takes nothing else
        process.send_signal(ending)
        assert process.wait(SECONDS_MAX) == 128 + ending
        assert complaints_of(process) == b""
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("ending", SIGNALS)
def test_a_follower_of_a_silent_pipe_is_ended_by_a_signal(ending: signal.Signals, tmp_path: Path) -> None:
    """Also while what writes the pipe goes on."""
    with running("follow", "-", "--store", tmp_path / "s", folder=tmp_path / "tmp") as process:
        wait_for((tmp_path / "s" / "audit").exists)
        process.send_signal(ending)
        assert process.wait(SECONDS_MAX) == 128 + ending
        assert complaints_of(process) == b""


def test_a_signal_ends_what_ignores_ctrl_c(tmp_path: Path) -> None:
    """As a shell that runs a command in the background lets it."""
    with running("tail", tmp_path / "nothing", "-f", folder=tmp_path, before="trap '' INT") as process:
        wait_for(lambda: b"hubwire" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
        wait_for(lambda: _handles(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS_MAX) == 128 + signal.SIGTERM
        assert complaints_of(process) == b""


def test_what_nohup_runs_outlives_its_terminal(tmp_path: Path) -> None:
    with running("tail", tmp_path / "nothing", "-f", folder=tmp_path, before="trap '' HUP") as process:
        wait_for(lambda: _handles(process.pid, signal.SIGTERM))
        assert not _handles(process.pid, signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS_MAX) == 128 + signal.SIGTERM


def _handles(pid: int, number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
