"""Questions and answers: ``hub.ask``, and the nearest that other libraries have, each in a process of its own.

Tapio's actors answer and record nothing. DBOS runs a step of a workflow and keeps its result on SQLite; hubwire keeps
the question, the turn and the answer in a journal and in an audit log, both synced.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hubwire import Hub
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore


def missing(module: str, package: str) -> str:
    """Return why there is nothing to compare with; empty if the package is installed."""
    return "" if find_spec(module) else f"{package} is not installed: pip install {package}"


def asks(askers: int, count: int, root: Path | None = None) -> float:
    """Return seconds an ask; with a root, on a FileStore there, with an audit log."""

    async def echo(turn: Any) -> None:
        await turn.reply(turn.content)

    async def work() -> float:
        store = None if root is None else FileStore(root)
        async with Hub(store, listeners=[] if store is None else [AuditLog(store)]) as hub:
            actor = await hub.spawn(echo, concurrency=askers)
            asker = await hub.agents.register("asker")
            return await _timed(lambda: hub.ask(asker, actor.agent, "hello"), askers, count)

    return asyncio.run(work())


def tapio_asks(askers: int, count: int) -> float:
    return _in_a_process("tapio", askers, count)


def dbos_steps(root: Path, askers: int, count: int) -> float:
    return _in_a_process("dbos", root.resolve(), askers, count)


async def _timed(ask: Callable[[], Awaitable[object]], askers: int, count: int) -> float:
    async def produce(number: int) -> None:
        for _ in range(number):
            await ask()

    await asyncio.gather(*[produce(2) for _ in range(askers)])
    start = time.perf_counter()
    await asyncio.gather(*[produce(count // askers) for _ in range(askers)])
    return (time.perf_counter() - start) / (count // askers * askers)


def _in_a_process(peer: str, *arguments: object) -> float:
    command = [sys.executable, "-P", str(Path(__file__).with_name(f"asks_of_{peer}.py")), *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
