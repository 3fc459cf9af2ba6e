"""A process dies while functions are called: what has not ended comes again, and no event is lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

EVENTS = 120

PROGRAM = """
import asyncio, os, sys
from hubwire import Chain, Duty, GenericEvent, Hub
from hubwire.stores import FileStore

root, how, calls_max = sys.argv[1], sys.argv[2], int(sys.argv[3])
handled = open(os.path.join(root, "handled"), "a", buffering=1)
calls = 0


async def first(event):
    pass


async def work(event):
    global calls
    calls += 1
    if calls > calls_max:
        os._exit(9)
    for _ in range(event.data["n"] % 5):
        await asyncio.sleep(0)
    handled.write(f"{event.data['n']}\\n")


async def main():
    hub = Hub(FileStore(os.path.join(root, "data")))
    settings = {"pattern": "number.said", "duty": Duty.DURABLE, "name": "f", "since": "start"}
    if how == "chain":
        hub.attach(Chain(first, work), **settings)
    elif how == "side by side":
        hub.attach(work, concurrency=4, key=lambda event: event.data["n"] % 3, **settings)
    async with hub:
        if how == "emit":
            for n in range(calls_max):
                await hub.emit(GenericEvent(kind="number.said", data={"n": n}))
        await hub.flush()


asyncio.run(main())
"""


def life(root: Path, how: str, calls_max: int) -> int:
    """Run one process; return its exit code."""
    arguments = [sys.executable, "-P", "-c", PROGRAM, str(root), how, str(calls_max)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize("how", ["side by side", "chain"])
def test_a_killed_process_loses_no_event_of_a_function(how: str, tmp_path: Path) -> None:
    """Each life ends in the middle of a call, until one comes to the end."""
    assert life(tmp_path, "emit", EVENTS) == 0
    ends: list[int] = []
    while not ends or ends[-1]:
        ends.append(life(tmp_path, how, 50 + 30 * len(ends)))
    assert len(ends) > 1
    times = Counter(int(line) for line in (tmp_path / "handled").read_text().splitlines())
    assert sorted(times) == list(range(EVENTS))
