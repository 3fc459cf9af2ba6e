"""The threads of a FileStore are its own: no caller can fill them, and they do not keep a process alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from hubwire.stores import FileStore


async def test_a_full_thread_pool_of_the_program_delays_no_read(tmp_path: Path) -> None:
    """Short and long reads, sizes, listings and closing go on while callers block in all shared threads."""
    store = FileStore(tmp_path)
    await store.write("/short", "x")
    await store.write("/long", b"x" * (3 << 20))
    loop, release = asyncio.get_running_loop(), threading.Event()
    limiter = anyio.to_thread.current_default_thread_limiter()
    async with anyio.create_task_group() as tasks:
        for _ in range(int(limiter.total_tokens)):
            tasks.start_soon(partial(anyio.to_thread.run_sync, release.wait))
        blocked = [loop.run_in_executor(None, release.wait) for _ in range(64)]
        await anyio.wait_all_tasks_blocked()
        try:
            assert await store.read("/short") == "x"
            assert len(await store.read_bytes("/long") or b"") == 3 << 20
            assert await store.size("/short") == 1
            assert await store.list() == ["long", "short"]
            assert await store.exists("/short")
            await store.aclose()
        finally:
            release.set()
        await asyncio.gather(*blocked)


async def test_a_read_that_hangs_delays_no_other(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await store.write("/a", "x")
    release, read = threading.Event(), store._files.read

    def hang(path: str, start: int, end: int | None) -> object:
        release.wait()
        return read(path, start, end)

    store._files.read = hang  # type: ignore[method-assign, assignment]
    hanging = asyncio.ensure_future(store.read("/a"))
    await anyio.wait_all_tasks_blocked()
    assert await store.size("/a") == 1
    release.set()
    assert await hanging == "x"


HUNG = """
    import asyncio, sys, threading
    import hubwire.stores._lanes as lanes
    from hubwire.stores import FileStore

    lanes._EXIT_SECONDS_MAX = 0.1
    store = FileStore(sys.argv[1])
    setattr(store._files, sys.argv[2], lambda *_: threading.Event().wait())

    async def main():
        call = {"read": store.read, "append": lambda path: store.append(path, "x")}[sys.argv[2]]
        hanging = asyncio.ensure_future(call("/a"))
        await asyncio.wait([hanging], timeout=0.05)

    asyncio.run(main())
    print("ended")
"""


def test_a_process_ends_although_a_disk_hangs(tmp_path: Path) -> None:
    for call in ("read", "append"):
        program = [sys.executable, "-P", "-c", textwrap.dedent(HUNG), str(tmp_path), call]
        ended = subprocess.run(program, check=True, capture_output=True, text=True, timeout=60)
        assert ended.stdout == "ended\n"
