"""What a dashboard costs: rows to many clients over loopback, in the process of the hub, and what an emitter notices.

``python -P benchmarks/dashboard.py``: it needs the extra ``web``. Clients and server share one event loop for the
first number; for the second the clients are in a process of their own.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from hubwire import Hub
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard import Dashboard
from hubwire.stores import MemoryStore

CLIENTS = 100
EVENTS = 20_000
EMIT_SECONDS = 4.0
PAUSE_SECONDS = 0.005
TEXT = "the quick brown fox jumps over the lazy dog"


class Client(asyncio.Protocol):
    """Counts rows."""

    def __init__(self) -> None:
        self.rows = 0

    def data_received(self, data: bytes) -> None:
        self.rows += data.count(b'{"seq":')


def request(token: str) -> bytes:
    head = "GET /api/stream?last=0&boards=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    return f"{head}{token}\r\n\r\n".encode()


@asynccontextmanager
async def served(hub: Hub) -> AsyncIterator[tuple[Dashboard, int, str]]:
    dashboard = Dashboard(hub)
    async with dashboard.serve(port=0) as url:
        yield dashboard, urlsplit(url).port or 0, url.partition("#token=")[2]


async def connect(port: int, token: str, count: int) -> list[Client]:
    loop, found = asyncio.get_running_loop(), []
    for _ in range(count):
        transport, client = await loop.create_connection(Client, "127.0.0.1", port)
        transport.write(request(token))
        found.append(client)
    return found


async def deliveries() -> None:
    """Rows a second to all clients together."""
    async with Hub(ring=65_536) as hub, served(hub) as (dashboard, port, token):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clients = await connect(port, token, CLIENTS)
        while dashboard.statistics().streams < CLIENTS:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / CLIENTS
        begun, used = time.perf_counter(), time.process_time()
        for number in range(EVENTS // 50):
            await hub.emit_many([GenericEvent(kind="note.made", data={"n": number, "text": TEXT}) for _ in range(50)])
        while min(client.rows for client in clients) < EVENTS:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.005)
        seconds, used = time.perf_counter() - begun, time.process_time() - used
        rows = EVENTS * CLIENTS
        print(f"rows to {CLIENTS} clients      {rows / seconds:12,.0f} /s   {rows / used:12,.0f} per second of CPU")
        print(f"memory of a client      {memory:12,.1f} KB (server and client)")


async def emitting(clients: int) -> tuple[float, float]:
    """The 50th and the 99th percentile of an emit, with so many clients in another process, in microseconds."""
    async with Hub(MemoryStore()) as hub, served(hub) as (dashboard, port, token):
        arguments = [sys.executable, "-P", __file__, str(port), token, str(clients)]
        process = subprocess.Popen(arguments) if clients else None  # noqa: ASYNC220 - before it is measured
        while dashboard.statistics().streams < clients:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        taken, end = [], time.perf_counter() + EMIT_SECONDS
        while time.perf_counter() < end:
            begun = time.perf_counter()
            await hub.emit(GenericEvent(kind="note.made", data={"text": TEXT}))
            taken.append((time.perf_counter() - begun) * 1e6)
            await asyncio.sleep(PAUSE_SECONDS)
        if process is not None:
            process.kill()
            process.wait()
        taken.sort()
        return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


async def main() -> None:
    await deliveries()
    alone = await emitting(0)
    watched = await emitting(CLIENTS)
    for name, first, second in zip(("p50", "p99"), alone, watched, strict=True):
        times = second / first
        print(
            f"emit {name}                {first:12,.0f} us  {second:8,.0f} us with {CLIENTS} clients, {times:.1f} times"
        )


async def only_clients(port: int, token: str, count: int) -> None:
    await connect(port, token, count)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(only_clients(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])) if len(sys.argv) > 3 else main())
