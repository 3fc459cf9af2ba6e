"""Where a program lets its tasks be eager (Python 3.12 and later), those of the package begin in the next turn."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from hubwire.waking import start_later

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start eagerly from Python 3.12 on"),
    pytest.mark.usefixtures("eager"),
]


@pytest.fixture
async def eager() -> AsyncIterator[None]:
    """Let the tasks of this loop run at once, to their first wait."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(vars(asyncio)["eager_task_factory"])
    yield
    loop.set_task_factory(before)


async def test_a_task_begins_in_the_next_turn() -> None:
    """It has its name, and its result is its work's."""
    begun = False

    async def work() -> str:
        nonlocal begun
        begun = True
        return "done"

    task = start_later(work(), name="some work")
    assert not begun
    assert task.get_name() == "some work"
    assert await task == "done"
