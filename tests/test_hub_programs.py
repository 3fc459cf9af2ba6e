"""Programs that are interrupted, forget their hub, or fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubwire import Hub, HubThread
from hubwire.stores import FileStore
from support.threads import said

# Python 3.12 warns of forking where there are threads, which is what some of these programs are about.
PYTHON = (sys.executable, "-P", "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c")

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
"""Asyncio's debug mode writes to the standard error what is slow: programs here are to write nothing there."""

SECONDS = 170
"""A busy machine starts an interpreter in ten; one that hangs for ever is found all the same."""

pytestmark = pytest.mark.timeout(180)


def run(program: str, *arguments: object) -> str:
    command = [*PYTHON, PRELUDE + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


PRELUDE = """
import asyncio, os, pathlib, signal, sys, threading
import anyio
from hubwire import *
from hubwire.errors import *
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

def said(): return GenericEvent(kind="thread.said")
def say(text): os.write(1, f"{text}\\n".encode())  # whole lines, from whatever thread

class Stuck:
    def __init__(self):
        self.reached, self.let_go = threading.Event(), anyio.Event()
    async def on_events(self, events):
        if any(event.kind == "thread.said" for event in events):
            self.reached.set()
            await self.let_go.wait()
"""


def test_ctrl_c_during_emit_loses_nothing() -> None:
    """Both the hub and the event stay."""
    program = """
hub, stuck = Hub(), Stuck()
hub.attach(stuck, duty=Duty.REQUIRED)

def interrupt():
    stuck.reached.wait()
    os.kill(os.getpid(), signal.SIGINT)

with HubThread(hub) as thread:
    threading.Thread(target=interrupt).start()
    try:
        thread.emit(said())
    except KeyboardInterrupt:
        print("interrupted")
    async def let_go():
        stuck.let_go.set()
    thread.call(let_go)
    event = thread.emit(said())
    print(event.seq, hub.statistics().committed > event.seq)
"""
    first_of_ours = 2  # after hub.started and listener.attached
    assert run(program).splitlines() == ["interrupted", f"{first_of_ours + 1} True"]


def test_ctrl_c_cancels_a_call_or_a_start() -> None:
    program = """
entered = threading.Event()
class Hangs:
    async def __aenter__(self):
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            say("given up")
    async def __aexit__(self, *_): ...
    async def on_events(self, events): ...

hub = Hub()
hub.attach(Hangs(), duty=Duty.REQUIRED)
def interrupt():
    entered.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    HubThread(hub).start()
except KeyboardInterrupt:
    say("start interrupted")
entered.clear()
threading.Thread(target=interrupt).start()
with HubThread(Hub()) as thread:
    try:
        thread.call(Hangs().__aenter__)
    except KeyboardInterrupt:
        say("call interrupted")
"""
    printed = run(program).splitlines()
    assert printed[:2] == ["given up", "start interrupted"]
    assert sorted(printed[2:]) == ["call interrupted", "given up"]


def test_a_forgotten_hub_is_closed_at_exit(tmp_path: Path) -> None:
    program = """
store = FileStore(sys.argv[1])
thread = HubThread(Hub(store, listeners=[AuditLog(store)]))
thread.start()
thread.emit(said())
"""
    run(program, tmp_path)
    assert b'"closed":true' in (tmp_path / "journal" / "clean").read_bytes()
    assert b'"closed":true' in (tmp_path / "audit" / "clean").read_bytes()


def test_a_blocked_hub_ends_with_an_error() -> None:
    """The program does not hang at its exit."""
    program = """
import hubwire.thread
hubwire.thread.EXIT_SECONDS_MAX = 0.1
thread = HubThread(Hub())
thread.start()
blocked = threading.Event()
async def block():
    blocked.set()
    threading.Event().wait()
threading.Thread(target=lambda: thread.call(block), daemon=True).start()
blocked.wait()
"""
    done = subprocess.run(
        [*PYTHON, PRELUDE + program], capture_output=True, text=True, check=False, timeout=SECONDS, env=ENVIRONMENT
    )
    assert "a HubThread was not closed by the program" in done.stderr


def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    """Every call in the child is refused, and the log of its parent stays as it is."""
    program = """
from pathlib import Path
store = FileStore(sys.argv[1])
audit = AuditLog(store)
thread = HubThread(Hub(store, listeners=[audit]))

def refusals():
    for call in (
        lambda: thread.emit(said()),
        lambda: thread.call(anyio.lowlevel.checkpoint),
        lambda: thread.hub.emit_threadsafe(said()).result(0),
        lambda: thread.hub.emit_nowait(said()),
        lambda: asyncio.run(thread.hub.emit(said())),
        lambda: asyncio.run(thread.hub.flush()),
        lambda: asyncio.run(thread.hub.aclose()),
        lambda: asyncio.run(audit.append({"kind": "child.wrote"})),
        lambda: thread.hub.attach(print),
        lambda: thread.hub.events(),
    ):
        try:
            print("went through:", call())
        except ConfigurationError as error:
            print(sum(word in str(error) for word in ("fork", "another process")), "fork")
    thread.close()

with thread:
    thread.emit(said())
    child = os.fork()
    if child == 0:
        refusals()
        sys.exit(3)  # through the end of the block, and atexit
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    assert b'"closed":true' not in Path(sys.argv[1], "journal/clean").read_bytes()
    print("parent", thread.emit(said()).kind)
"""
    printed = run(program, tmp_path).splitlines()
    assert printed == ["1 fork"] * 10 + ["child 3", "parent thread.said"]


def test_a_child_forked_in_the_loop_writes_nothing(tmp_path: Path) -> None:
    """It writes nothing even if it unwinds its whole stack."""
    program = """
async def main():
    store = FileStore(sys.argv[1])
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(said())
        before = files()
        if (child := os.fork()) == 0:
            try:
                await hub.emit(said())
            except ConfigurationError as error:
                print("refused", "forked from the one" in str(error), flush=True)
            sys.exit(3)
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), files() == before, flush=True)
        os._exit(0)  # what the child has done to the loop that it shares with us is asyncio's affair

def files():
    return {path: path.read_bytes() for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()}

asyncio.run(main())
"""
    assert run(program, tmp_path).splitlines() == ["refused True", "child 3 True"]


def test_a_second_process_is_refused_the_journal(tmp_path: Path) -> None:
    """The error names the process that holds it."""
    program = """
try:
    HubThread(Hub(FileStore(sys.argv[1]))).start()
except AlreadyRunning as error:
    print(error.pid, error.host != "", error.since.endswith("Z"))
"""
    with HubThread(Hub(FileStore(tmp_path))) as thread:
        assert run(program, tmp_path).split() == [str(os.getpid()), "True", "True"]
        thread.emit(said())
