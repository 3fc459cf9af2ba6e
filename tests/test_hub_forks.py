"""Forked processes: what belongs to the parent is given up in the child."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from hubwire import forks
from hubwire.forks import register_at_fork

PYTHON = (sys.executable, "-P", "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c")
PRELUDE = """
import asyncio, gc, os, sys
from hubwire.clock import SystemClock
from hubwire.errors import ConfigurationError
from hubwire.forks import register_at_fork
from hubwire.log import Log
from hubwire.stores import FileStore

class Noting:
    def __init__(self, name):
        self.name = name
        self.calls = 0
    def after_fork_in_child(self):
        self.calls += 1

def in_child(check):
    if (child := os.fork()) == 0:
        check()
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def run(program: str, *arguments: object) -> list[str]:
    command = [*PYTHON, PRELUDE + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_registered_objects_are_called_in_children_alone() -> None:
    program = """
first, second = Noting("first"), Noting("second")
for each in (first, second, first):
    register_at_fork(each)
in_child(lambda: print("child", first.calls, second.calls))
print("parent", first.calls, second.calls)
"""
    assert run(program) == ["child 1 1", "parent 0 0"]


def test_a_grandchild_is_called_again() -> None:
    program = """
noting = Noting("first")
register_at_fork(noting)
in_child(lambda: in_child(lambda: print(noting.calls)))
"""
    assert run(program) == ["2"]


def test_registering_keeps_no_object_alive() -> None:
    class Thing:
        def after_fork_in_child(self) -> None: ...

    thing = Thing()
    register_at_fork(thing)
    reference = weakref.ref(thing)
    del thing
    gc.collect()
    assert reference() is None


def test_a_forked_log_is_refused_and_its_parent_goes_on(tmp_path: Path) -> None:
    """An append in the child would fall behind the same end as the parent's next one."""
    program = """
from pathlib import Path
log = Log(FileStore(sys.argv[1]), "/log", clock=SystemClock())
unused = Log(FileStore(sys.argv[1]), "/unused", clock=SystemClock())

async def append(log, number):
    return await log.append([b'{"at":"now","n":%d}' % number])

def child():
    try:
        asyncio.run(append(log, 9))
    except ConfigurationError as error:
        print("refused:", "let the child use a log of its own" in str(error))
    asyncio.run(log.aclose())
    print("clean:", b'"closed":true' in Path(sys.argv[1], "log/clean").read_bytes())
    print("unused:", asyncio.run(append(unused, 0)))

async def before_fork():
    print("parent", await append(log, 0))

asyncio.run(before_fork())
in_child(child)

async def after_fork():
    print("parent", await append(log, 1))
    await log.aclose()

asyncio.run(after_fork())
"""
    assert run(program, tmp_path) == [
        "parent 0",
        "refused: True",
        "clean: False",
        "unused: 0",
        "parent 1",
    ]


def test_one_failure_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first error is raised when all objects have given up what is their parents'."""

    class Thing:
        def __init__(self, error: Exception | None) -> None:
            self.error = error
            self.is_released = False

        def after_fork_in_child(self) -> None:
            self.is_released = True
            if self.error is not None:
                raise self.error

    things = [Thing(RuntimeError("no") if number % 2 else None) for number in range(6)]
    monkeypatch.setattr(forks, "_registered", things)
    with pytest.raises(RuntimeError, match="no"):
        forks._after_fork_in_child()
    assert all(thing.is_released for thing in things)
