"""Webhooks: how long an emit waits beside one that delivers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from measure import percentile

from hubwire import Duty, Event, GenericEvent, Hub
from hubwire.listeners.webhook import Webhook, new_secret
from hubwire.stores import MemoryStore

ENDPOINT = r"""
import asyncio, re

async def serve(reader, writer):
    while head := await reader.readuntil(b"\r\n\r\n"):
        await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def endpoint() -> Iterator[str]:
    """Run an endpoint that takes all events, in a process of its own; yield its URL."""
    program = [sys.executable, "-c", ENDPOINT]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
        finally:
            process.kill()


async def nothing(_: Event) -> None:
    """Listen, and do no more."""


def emit_wait_beside(percent: int, which: Literal["webhook", "function"], count: int = 700) -> float:
    """How long an emit every two milliseconds waits until it is committed; memory store."""

    async def work(url: str) -> float:
        waits = []
        async with Hub(MemoryStore(), close_seconds_max=1.0) as hub:
            if which == "webhook":
                await hub.attach(Webhook(url, secret=new_secret(), allow=["127.0.0.1"])).ready()
            else:
                await hub.attach(nothing, duty=Duty.DURABLE).ready()
            for number in range(count + 50):
                start = time.perf_counter()
                await hub.emit(GenericEvent(kind="number.said", data={"n": number, "text": "x" * 200}))
                waits.append(time.perf_counter() - start)
                await asyncio.sleep(0.002)
        return percentile(waits[50:], percent)

    with endpoint() as url:
        return asyncio.run(work(url))
