"""An endpoint that is killed, hangs, and answers all sorts of things: each event arrives, in order, and is signed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from webhook_endpoint import Endpoint

from hubwire import Attachment, AttachmentState, Backoff, GenericEvent, Hub
from hubwire.listeners.webhook import Webhook, new_secret
from hubwire.stores import FileStore, MemoryStore

DRIVER = Path(__file__).with_name("webhook_endpoint.py")


class Process:
    """The endpoint's process, which can be killed and started again at its port."""

    def __init__(self, notes: Path, secret: str) -> None:
        self.notes = notes
        self.port = 0
        self.starts = 0
        self._secret = secret
        self._process: Any = None

    async def start(self) -> None:
        self.starts += 1
        arguments = (str(self.port), str(self.notes), str(self.starts), self._secret)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(DRIVER), *arguments, stdout=asyncio.subprocess.PIPE
        )
        self.port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    def received(self) -> list[dict[str, Any]]:
        if not self.notes.exists():
            return []
        # A kill may have cut the last line of a life; that of the next one begins behind it.
        lines = self.notes.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines if line.endswith(b"}")]


async def kill_often(process: Process, kills: int, events: int) -> None:
    """Kill it whenever so many more events have come, in the middle of whatever it is doing."""
    for number in range(1, kills + 1):
        while (await asyncio.to_thread(newest, process)) < number * events // (kills + 1):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await process.kill()
        if number % 3 == 0:  # for a while there is no endpoint at all
            await asyncio.sleep(0.05)
        await process.start()


def newest(process: Process) -> int:
    size = process.notes.stat().st_size if process.notes.exists() else 0
    if not size:
        return -1
    with process.notes.open("rb") as file:
        file.seek(max(0, size - 1000))
        found = [line for line in file.read().split(b"\n") if line.startswith(b"{") and line.endswith(b"}")]
    return int(json.loads(found[-1])["n"]) if found else -1


async def attached(hub: Hub, webhook: Webhook) -> Attachment:
    attachment = hub.attach(webhook, name="orders")
    await attachment.ready()
    return attachment


async def survive(path: Path, events: int, kills: int) -> Counter[str]:
    """Return how often the endpoint did what."""
    secret = new_secret()
    process = Process(path / "notes", secret)
    await process.start()
    try:
        async with Hub(MemoryStore()) as hub:
            webhook = Webhook(
                f"http://127.0.0.1:{process.port}/hook",
                secret=secret,
                pattern="order.placed",
                allow=["127.0.0.1"],
                timeout=2.0,
                read_timeout=0.5,
                retry=Backoff(seconds=0.01, seconds_max=0.2, jitter=0.5),
                attempts_max=10_000,
            )
            attachment = await attached(hub, webhook)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill_often, process, kills, events)
                for n in range(events):
                    await hub.emit(GenericEvent(kind="order.placed", data={"n": n}))
                while webhook.statistics().delivered < events:
                    if attachment.state is AttachmentState.DETACHED:
                        attachment = await attached(hub, webhook)
                    await asyncio.sleep(0.01)
            await hub.flush()
            assert attachment.state is AttachmentState.RUNNING
            assert await hub.dead_letters.list() == []
            assert hub.health().healthy
            assert process.starts == kills + 1
    finally:
        await process.kill()
    received = await asyncio.to_thread(process.received)
    numbers = [each["n"] for each in received]
    assert numbers == sorted(numbers)
    assert sorted(set(numbers)) == list(range(events))
    by_number: dict[int, set[str]] = {}
    for each in received:
        by_number.setdefault(each["n"], set()).add(each["id"])
    assert all(len(ids) == 1 for ids in by_number.values())
    return Counter(each["deed"] for each in received)


async def test_an_endpoint_that_is_killed_and_misbehaves_gets_each_event_in_order(tmp_path: Path) -> None:
    deeds = await survive(tmp_path, events=120, kills=2)
    assert deeds["410"] == 1


PROGRAM = """
import asyncio, sys
from hubwire import GenericEvent, Hub
from hubwire.listeners.webhook import Webhook
from hubwire.stores import FileStore


async def main(store, url, life):
    webhook = Webhook(url, secret=None, pattern="order.*", allow=["127.0.0.1"])
    async with Hub(FileStore(store)) as hub:
        await hub.attach(webhook, name="orders").ready()
        for n in range(10_000_000):
            event = await hub.emit(GenericEvent(kind="order.placed", data={"n": n}))
            print(event.seq, flush=True)


asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_a_hub_that_is_killed_delivers_what_it_has_acknowledged(tmp_path: Path) -> None:
    """Each event that a caller was told of arrives, and none overtakes another one, but for those that come again."""
    acknowledged: list[int] = []
    async with Endpoint() as endpoint:
        for life in range(4):
            arguments = (str(tmp_path / "store"), endpoint.url, str(life))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            acknowledged += [int(await process.stdout.readline()) for _ in range(40 + 17 * life)]
            process.kill()
            await process.wait()
        async with Hub(FileStore(tmp_path / "store")) as hub:
            hub.attach(Webhook(endpoint.url, secret=None, pattern="order.*", allow=["127.0.0.1"]), name="orders")
            await hub.flush()
            assert await hub.dead_letters.list() == []
        received = [int(json.loads(each.body)["sequence"]) for each in endpoint.requests]
    assert set(acknowledged) <= set(received)
    first = list(dict.fromkeys(received))
    assert first == sorted(first)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_an_endpoint_that_is_killed_fifty_times_gets_ten_thousand_events_in_order(tmp_path: Path) -> None:
    deeds = await survive(tmp_path, events=10_000, kills=50)
    assert {"hang", "429", "500", "302", "410", "flood", "cut", "drip", "early", "503"} <= set(deeds)
