"""What a guest has opened in the very moment in which the hub gave it up is closed again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from hubwire import BaseActor, Duty, Event, Hub
from hubwire.errors import LogDamaged
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore
from hubwire.testing import Gate
from support import until
from support.damage import files


class Late:
    """A listener whose entering ends well when it is cancelled, as one does that has just got what it waited for."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def __aenter__(self) -> Self:
        self.said.append("begins")
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            self.said.append("entered")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.said.append("left")

    async def on_events(self, events: Sequence[Event]) -> None:
        """It gets none."""


async def test_an_entered_listener_of_a_refused_start_is_left() -> None:
    late = Late()

    class Fails(Late):
        async def __aenter__(self) -> Self:
            await until(lambda: bool(late.said))
            raise ValueError("no")

    hub = Hub()
    hub.attach(Fails(), duty=Duty.REQUIRED)
    hub.attach(late, duty=Duty.REQUIRED)
    with pytest.raises(Exception, match="no"):
        await hub.start()
    assert late.said == ["begins", "entered", "left"]


async def test_a_listener_that_entered_too_late_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is detached, because its time was over, and what it opened is closed."""
    late = Late()
    async with Hub() as hub:
        attachment = hub.attach(late, timeout=0.01)
        await until(lambda: "left" in late.said)
        assert late.said == ["begins", "entered", "left"]
        await until(lambda: attachment.failure is not None)


async def test_an_actor_that_started_while_cancelled_is_stopped() -> None:
    said: list[str] = []

    class Starts(BaseActor):
        async def on_start(self, hub: Any, agent: Any) -> None:
            said.append("begins")
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                said.append("started")

        async def on_stop(self) -> None:
            said.append("stopped")

    async with Hub() as hub:
        spawning = asyncio.ensure_future(hub.spawn(Starts(), name="a"))
        await until(lambda: bool(said))
        spawning.cancel()
    assert said == ["begins", "started", "stopped"]


@pytest.mark.parametrize("reads", range(12))
async def test_a_refused_start_gives_all_locks_up(tmp_path: Path, reads: int) -> None:
    """Whatever the other log is at when one of them is found to be damaged."""
    store = FileStore(tmp_path)
    async with Hub(store, listeners=[AuditLog(store), AuditLog(store, path="/work")]):
        pass
    await store.aclose()
    segment = tmp_path / "audit/log" / f"{0:020}.jsonl"
    await anyio.to_thread.run_sync(segment.write_bytes, b"")
    before = await anyio.to_thread.run_sync(files, tmp_path)

    class Slow(FileStore):
        """Answers so many reads of the sound log, and the others when the damaged one has been refused."""

        left = reads

        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            if path.startswith("/work"):
                if not self.left:
                    await refused.pass_through()
                self.left -= 1
            return await super().read_bytes(path, start, end)

    refused, slow = Gate(is_open=False), Slow(tmp_path)

    class Damaged(AuditLog):
        async def __aenter__(self) -> Self:
            try:
                return await super().__aenter__()
            finally:
                refused.open()

    with pytest.raises(LogDamaged):
        await Hub(slow, listeners=[Damaged(slow), AuditLog(slow, path="/work")]).start()
    await slow.aclose()
    assert await anyio.to_thread.run_sync(files, tmp_path) == before
