"""Runs a hub in a child process and kills it, again and again. Used by test_kill.py, in a process of its own.

The child is forked from here, where everything is imported, so that it lives and dies in milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import anyio

from hubwire import Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

PRODUCERS = 8
SMALL_SEGMENTS = 20_000


class Effects:
    """A durable listener: its effects are lines in a file of its own, one for each event."""

    duty = Duty.DURABLE
    pattern = "work.done"
    since = "start"

    def __init__(self, root: str, life: int) -> None:
        self._life = life
        self._file = os.open(f"{root}/effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            os.write(self._file, f"{self._life} {event.seq}\n".encode())
            await asyncio.sleep(0)


def open_hub(root: str, *listeners: Any) -> Hub:
    store = FileStore(root)
    journal = StoreJournal(store, segment_bytes=SMALL_SEGMENTS)
    # Small enough that most lives meet a snapshot and a truncation.
    audit = AuditLog(store, rotation=SMALL_SEGMENTS)
    return Hub(journal=journal, snapshot_bytes=30_000, listeners=[audit, *listeners], ring=64)


async def work(root: str, life: int, acknowledged: int, events_max: int) -> None:
    async with open_hub(root, Effects(root, life)) as hub:
        os.write(acknowledged, b"started\n")

        async def produce(producer: int) -> None:
            for number in range(events_max):
                name = f"{life}/{producer}/{number}"
                await hub.emit(GenericEvent(kind="work.done", data={"name": name}))
                os.write(acknowledged, f"{name}\n".encode())

        async with anyio.create_task_group() as tasks:
            for producer in range(PRODUCERS):
                tasks.start_soon(produce, producer)


def live_and_die(root: str, life: int, chance: random.Random) -> bytes:
    """Let one child live for a random time; return what was acknowledged to it."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        # A short life ends in good order now and then, so that clean markers are met too.
        asyncio.run(work(root, life, writable, events_max=chance.choice([2, 1000])))
        os._exit(0)
    os.close(writable)
    output = b""
    if chance.random() < 0.7:  # die at work; otherwise anywhere, in the midst of recovery too
        while b"/" not in output and (chunk := os.read(readable, 65536)):
            output += chunk
    end = time.monotonic() + chance.uniform(0, 0.03)
    while (rest := end - time.monotonic()) > 0 and select.select([readable], [], [], rest)[0]:
        if not (chunk := os.read(readable, 65536)):
            break
        output += chunk
    os.kill(child, signal.SIGKILL)
    while chunk := os.read(readable, 65536):
        output += chunk
    os.close(readable)
    os.waitpid(child, 0)
    return output


def main() -> None:
    root, lives, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    for life in range(lives):
        sys.stdout.write(live_and_die(root, life, chance).decode().replace("started\n", ""))


if __name__ == "__main__":
    main()
