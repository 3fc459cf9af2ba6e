"""A lock file is as it was found when a hold is cancelled: a start that is refused has changed nothing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from hubwire.stores import FileStore, _files, _hold
from support.damage import files


class SlowDisk:
    """Taking a lock file waits until the caller is gone."""

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.may_go_on = threading.Event()
        self._take = _hold.take_lock_file

    def take(self, *args: Any) -> Any:
        self.is_asked.set()
        self.may_go_on.wait()
        return self._take(*args)


@pytest.mark.parametrize("left", [None, b'{"pid":1,"host":"here","since":"then"}\n'], ids=["none", "of a killed one"])
def test_a_cancelled_hold_leaves_the_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bytes | None
) -> None:
    """Also if the event loop ends meanwhile: the lock is taken after the caller was cancelled."""
    disk = SlowDisk()
    monkeypatch.setattr(_files, "take_lock_file", disk.take)
    if left is not None:
        (tmp_path / "log").mkdir()
        (tmp_path / "log/.lock.lock@").write_bytes(left)
    before = files(tmp_path)

    async def hold_and_go() -> None:
        holding = asyncio.create_task(FileStore(tmp_path).hold("/log/.lock"))
        await asyncio.to_thread(disk.is_asked.wait)
        holding.cancel()
        asyncio.get_running_loop().call_soon(disk.may_go_on.set)
        with contextlib.suppress(asyncio.CancelledError):
            await holding

    asyncio.run(hold_and_go())
    assert files(tmp_path) == before


def test_a_cancelled_release_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop ends while the file is being removed."""
    is_asked, may_go_on, release = threading.Event(), threading.Event(), _files.Files.release

    def release_slowly(self: _files.Files, *args: Any, **options: Any) -> None:
        is_asked.set()
        may_go_on.wait()
        release(self, *args, **options)

    monkeypatch.setattr(_files.Files, "release", release_slowly)

    async def release_and_go() -> None:
        hold = await FileStore(tmp_path).hold("/log/.lock")
        releasing = asyncio.create_task(hold.release())
        await asyncio.to_thread(is_asked.wait)
        releasing.cancel()
        asyncio.get_running_loop().call_later(0.05, may_go_on.set)
        with contextlib.suppress(asyncio.CancelledError):
            await releasing

    try:
        asyncio.run(release_and_go())
        assert files(tmp_path) == {}
    finally:
        may_go_on.set()
