from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubwire.errors import AlreadyRunning
from hubwire.stores import Durability, FileStore

PREAMBLE = """
import asyncio, json, os, signal, sys
from hubwire.errors import AlreadyExists, AppendConflict
from hubwire.stores import Durability, FileStore
root, *arguments = sys.argv[1:]
store = FileStore(root)
def say(*values):
    sys.stdout.write(json.dumps(values) + "\\n")
    sys.stdout.flush()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Start a process that runs a piece of Python; it goes on when it is given a line, and ends with the test."""
    started = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-c", PREAMBLE + code, str(root), *map(str, arguments)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # with the children it forked
        except ProcessLookupError:
            pass
        process.communicate()


def said(process: subprocess.Popen[str]) -> list[Any]:
    assert process.stdout is not None
    values: list[Any] = json.loads(process.stdout.readline())
    return values


def all_left(process: subprocess.Popen[str]) -> list[str]:
    """Read the lines up to the end of the process; `communicate` would lose those that `said` has read ahead."""
    assert process.stdout is not None
    lines = process.stdout.readlines()
    process.wait()
    return lines


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def everything_said(process: subprocess.Popen[str]) -> list[list[Any]]:
    out, _ = process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


# --- appending and writing together ---------------------------------------------------------------------------------


def test_appending_processes_each_get_their_place(start: Start, root: Path) -> None:
    code = """
async def main():
    sys.stdin.readline()
    for n in range(200):
        content = f"<{arguments[0]}:{n}:{'x' * (n * 7 % 300)}>"
        say(await store.append("/log", content), content)
asyncio.run(main())
"""
    processes = [start(code, name) for name in "abcd"]
    for process in processes:
        tell(process)
    said_by_all = [line for process in processes for line in everything_said(process)]
    whole = (root / "log").read_text()
    assert len(said_by_all) == 800
    assert sum(len(content) for _, content in said_by_all) == len(whole)
    for offset, content in said_by_all:
        assert whole[offset:].startswith(content)


def test_processes_that_expect_a_size_take_turns(start: Start, root: Path) -> None:
    code = """
async def main():
    sys.stdin.readline()
    for _ in range(50):
        while True:
            size = await store.size("/counter") or 0
            try:
                if arguments[0] == "append":
                    await store.append("/counter", "x", expect=size)
                else:
                    await store.write("/counter", "x" * (size + 1), expect=size)
                break
            except AppendConflict:
                say("conflict")
asyncio.run(main())
"""
    processes = [start(code, how) for how in ("append", "write", "append", "write")]
    for process in processes:
        tell(process)
    conflicts = sum(len(everything_said(process)) for process in processes)
    assert (root / "counter").read_text() == "x" * 200
    assert conflicts > 0


def test_each_file_has_one_creator(start: Start, root: Path) -> None:
    code = """
async def main():
    sys.stdin.readline()
    for n in range(100):
        try:
            await store.write(f"/files/{n}", arguments[0], if_absent=True)
            say(n)
        except AlreadyExists:
            pass
asyncio.run(main())
"""
    processes = {name: start(code, name) for name in "abc"}
    for process in processes.values():
        tell(process)
    created = {name: [n for (n,) in everything_said(process)] for name, process in processes.items()}
    assert sorted(n for numbers in created.values() for n in numbers) == list(range(100))
    for name, numbers in created.items():
        for n in numbers:
            assert (root / "files" / str(n)).read_text() == name
    assert len(list((root / "files").iterdir())) == 100


def test_processes_do_not_disturb_each_other(start: Start, root: Path) -> None:
    """They write, append and delete."""
    code = """
async def main():
    sys.stdin.readline()
    mine = f"/shared/{arguments[0]}/file"
    for n in range(60):
        await store.write(f"/shared/both", "x" * 1000)
        assert await store.append(mine, "one") == 0
        await store.write(mine, "two", expect=3)
        assert await store.read(mine) == "two"
        await store.delete(f"/shared/{arguments[0]}")
asyncio.run(main())
"""
    processes = [start(code, name) for name in "abc"]
    for process in processes:
        tell(process)
    for process in processes:
        everything_said(process)
    assert [str(path.relative_to(root)) for path in sorted(root.rglob("*"))] == ["shared", "shared/both"]


# --- the end of a process -------------------------------------------------------------------------------------------


def test_a_killed_process_leaves_all_it_acknowledged(start: Start, root: Path) -> None:
    """Of its last append, at most a prefix may follow."""
    code = """
async def main():
    for n in range(1_000_000):
        say(await store.append("/log", f"{n:0999}\\n"), n)
asyncio.run(main())
"""
    process = start(code)
    acknowledged = [said(process) for _ in range(50)]
    process.kill()
    acknowledged += [json.loads(line) for line in all_left(process) if line.endswith("\n")]
    whole = (root / "log").read_text()
    for offset, n in acknowledged:
        assert offset == n * 1000
        assert whole[offset : offset + 1000] == f"{n:0999}\n"
    rest = whole[len(acknowledged) * 1000 :]
    expected = "".join(f"{n:0999}\n" for n in range(len(acknowledged), len(acknowledged) + 2))
    assert expected.startswith(rest)


def test_a_killed_process_leaves_old_or_new(start: Start, root: Path) -> None:
    code = """
async def main():
    while True:
        for letter in "ab":
            await store.write("/d/file", letter * 500_000)
            say(letter)
asyncio.run(main())
"""
    for writes in range(1, 6):
        process = start(code)
        for _ in range(writes):
            said(process)
        process.kill()
        process.communicate()
        store = FileStore(root, Durability.NONE)
        assert asyncio.run(store.list("/d")) == ["file"]
        assert asyncio.run(store.read("/d/file")) in ("a" * 500_000, "b" * 500_000)
        asyncio.run(store.write("/d/other", ""))
        assert sorted(path.name for path in (root / "d").iterdir()) == ["file", "other"]
        asyncio.run(store.delete("/d"))


def test_an_ending_process_completes_its_append(start: Start, root: Path) -> None:
    code = """
async def main():
    task = asyncio.ensure_future(store.append("/log", b"x" * 50_000_000))
    await asyncio.sleep(0)
    task.cancel()
asyncio.run(main())
"""
    everything_said(start(code))
    assert (root / "log").stat().st_size == 50_000_000


# --- holding --------------------------------------------------------------------------------------------------------

HOLD = """
async def main():
    hold = await store.hold("/journal")
    say(os.getpid())
    sys.stdin.readline()
    await hold.release()
    say("released")
    sys.stdin.readline()
asyncio.run(main())
"""


def test_a_held_path_names_its_process(start: Start, root: Path) -> None:
    process = start(HOLD)
    assert said(process) == [process.pid]
    store = FileStore(root)
    with pytest.raises(AlreadyRunning, match="stop that one first") as caught:
        asyncio.run(store.hold("/journal"))
    assert caught.value.path == "/journal"
    assert caught.value.pid == process.pid
    assert caught.value.host == socket.gethostname()
    assert caught.value.since.startswith("20")
    asyncio.run(store.append("/journal", "held paths can be written"))
    tell(process)
    assert said(process) == ["released"]
    asyncio.run(store.hold("/journal"))


def test_a_killed_process_holds_nothing(start: Start, root: Path) -> None:
    process = start(HOLD)
    said(process)
    process.kill()
    process.wait()
    assert (root / "journal.lock@").exists()
    hold = asyncio.run(FileStore(root).hold("/journal"))
    asyncio.run(hold.release())
    assert not (root / "journal.lock@").exists()


def test_a_forked_child_inherits_no_hold(start: Start, root: Path) -> None:
    code = """
hold = asyncio.run(store.hold("/journal"))
child = os.fork()
if not child:
    asyncio.run(hold.release())
    asyncio.run(store.append("/log", "the child's own"))
    say(os.getpid())
    signal.pause()
asyncio.run(store.append("/log", ""))
sys.stdin.readline()
"""
    process = start(code)
    (child,) = said(process)
    assert (root / "log").read_text() == "the child's own"
    with pytest.raises(AlreadyRunning):
        asyncio.run(FileStore(root).hold("/journal"))
    process.kill()
    process.wait()
    os.kill(child, 0)
    asyncio.run(FileStore(root).hold("/journal"))


def test_a_started_program_inherits_no_files(start: Start, root: Path) -> None:
    code = """
import subprocess
async def main():
    hold = await store.hold("/journal")
    await store.append("/log", "x")
    found = await asyncio.to_thread(subprocess.check_output, ["ls", "-l", "/proc/self/fd"], text=True, close_fds=False)
    say(root in found)
asyncio.run(main())
"""
    assert everything_said(start(code)) == [[False]]
