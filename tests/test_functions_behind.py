"""Functions that handle several events at once, behind the present: on the journal, and where that has gone on."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import AttachmentState, Duty, Event, Hub, StoreJournal
from hubwire.errors import HistoryGone
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, ManualClock
from support import numbers, pass_time, said, until, until_idle, until_tidy


class Gated:
    """A function whose calls end while its gate is open."""

    def __init__(self, *, is_open: bool) -> None:
        self.gate = Gate(is_open=is_open)
        self.begun: list[int] = []

    async def __call__(self, each: Event) -> None:
        self.begun += numbers([each])
        await self.gate.pass_through()


@pytest.mark.parametrize("duty", [Duty.DURABLE, Duty.REQUIRED])
async def test_a_late_function_catches_up_side_by_side(duty: Duty) -> None:
    """It reads the journal, is ready when it has handled all, and holds up commits only then."""
    work = Gated(is_open=False)
    async with Hub(MemoryStore(), ring=64) as hub:
        for n in range(500):
            await hub.emit(said(n))
        settings: dict[str, Any] = {"pattern": "number.*", "duty": duty, "since": "start", "concurrency": 4}
        attachment = hub.attach(work, name="late", **settings)
        await until(lambda: len(work.begun) == 4)
        await hub.emit(said(500))
        assert duty is Duty.DURABLE or attachment.state is AttachmentState.CATCHING_UP
        work.gate.open()
        await attachment.ready()
        assert work.begun == list(range(501))
        await hub.emit(said(501))
        await hub.flush()
        assert work.begun[-1] == 501


async def test_a_function_that_is_too_slow_is_suspended() -> None:
    """The journal outgrows its bound; the calls under way end, and it goes on without what is gone."""
    store, clock, work = MemoryStore(), ManualClock(), Gated(is_open=False)
    journal = StoreJournal(store, clock=clock, segment_bytes=2000)
    async with Hub(journal=journal, clock=clock, ring=16, snapshot_bytes=4000, journal_bytes_max=20_000) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "concurrency": 3, "timeout": 1000}
        attachment = hub.attach(work, name="slow", pattern="number.*", **settings)
        await attachment.ready()
        n = 0
        while attachment.state is not AttachmentState.SUSPENDED:
            await hub.emit(said(n))
            n += 1
            if n % 10 == 0:
                await pass_time(clock, 0.5)
                await until_tidy(hub)
        await pass_time(clock, 0.5)
        await until_tidy(hub)  # what the journal drops now, it drops before the listener goes on
        assert work.begun == [0, 1, 2]
        with pytest.raises(HistoryGone):
            attachment.resume()
        missed = attachment.missed
        assert missed is not None
        attachment.resume(skip_missed=True)
        await until_idle()
        assert work.begun == [0, 1, 2]
        work.gate.open()
        await attachment.ready()
        await hub.emit(said(n))
        await hub.flush()
        tail = work.begun[3:]
        assert tail[0] > 3
        assert tail[-1] == n
        assert tail == list(range(tail[0], n + 1))  # what it goes on with, it has a claim to
        assert attachment.statistics().dropped == tail[0] - 3
        window: Any = attachment.reading._window  # type: ignore[attr-defined]
        assert window._handled == set()
        assert hub.health().healthy
