"""The example of a team of five, killed again and again: each job is shipped once, and nothing is posted twice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import FileStore

EXAMPLE = Path(__file__).parents[1] / "examples" / "team_of_five.py"
JOBS, KILLS = (int(each) for each in os.environ.get("HUBWIRE_TEST_TEAM", "30 4").split())


async def run(directory: Path, *, lines: int | None = None) -> int:
    """Run the example, and kill it when it has printed so many lines; return how many it has printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-W", "error", str(EXAMPLE), str(directory), "--jobs", str(JOBS)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(EXAMPLE.parent), os.environ.get("PYTHONPATH", "")))},
    )
    assert process.stdout is not None
    printed = 0
    try:
        async for _ in process.stdout:
            printed += 1
            if printed == lines:
                await anyio.sleep(random.random() / 100)
                process.kill()
                break
        else:
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return printed


@pytest.mark.slow
@pytest.mark.timeout(3000)
async def test_a_team_ships_each_job_once(tmp_path: Path) -> None:
    for _ in range(KILLS):
        await run(tmp_path, lines=random.randint(1, max(1, JOBS // (2 * KILLS))))
    await run(tmp_path)
    assert await run(tmp_path) == 1, "there is nothing left to do"
    posts: Counter[tuple[str, int, str]] = Counter()
    kinds: Counter[str] = Counter()
    totals = []
    async for each in AuditLog(FileStore(tmp_path)).read():
        record = each.fields
        kinds[record["kind"]] += 1
        if record["kind"] == "envelope.posted":
            content = record["content"]
            posts[content.get("type", "shipped"), content.get("number", content.get("job")), record["agent_id"]] += 1
            totals += [content["total"]] if "total" in content else []
    assert totals == list(range(1, JOBS + 1))
    assert Counter(kind for kind, _, _ in posts) == {"Job": 2 * JOBS, "Patch": 2 * JOBS, "shipped": JOBS}
    assert set(posts.values()) == {1}
    assert kinds["hub.started"] == KILLS + 2
    assert kinds["turn.failed"] > 0 or JOBS < 100
    assert (kinds["group.stopped"], kinds["envelope.dead_lettered"]) == (0, 0)
    assert kinds["approval.approved"] == JOBS
    await verify(FileStore(tmp_path))
