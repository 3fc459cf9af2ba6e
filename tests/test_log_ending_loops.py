"""A log whose event loop ends while it is closed, at each turn of that loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hubwire.clock import SystemClock
from hubwire.log import Log
from hubwire.stores import FileStore


@pytest.mark.parametrize("turns", range(8))
def test_an_ending_loop_leaves_no_lock_file(turns: int, tmp_path: Path) -> None:
    """The closing may have been asked for and not have begun when all tasks are cancelled."""

    async def close_later(log: Log) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.append(turns)
        await log.aclose()

    async def main() -> None:
        log = Log(FileStore(tmp_path), "/log", clock=SystemClock())
        await log.open()
        closing.append(asyncio.ensure_future(close_later(log)))
        for _ in range(4):
            await asyncio.sleep(0)

    closing: list[asyncio.Future[None]] = []
    asked: list[int] = []
    asyncio.run(main())
    # Where the loop ended before the closing was asked for, the log is held up to the end of the process.
    assert (list(tmp_path.rglob("*.lock@")) == []) is bool(asked)
