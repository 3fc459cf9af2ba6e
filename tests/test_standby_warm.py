"""A warm standby: the hub that waits follows, is read, and leads as soon as it has the lease."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError, HubClosed, HubFailed, StoreUnavailable
from hubwire.standby import StoreLease, leading
from hubwire.stores import MemoryStore
from hubwire.testing import MemoryHistory, MemorySharedJournal
from support import said, until
from support.odd import Stranger


@pytest.fixture
def history() -> MemoryHistory:
    return MemoryHistory(MemoryStore(), beat_seconds=0.05)


class Flaky(MemorySharedJournal):
    """A journal that cannot be opened at first."""

    refusals = 1

    async def open(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("no server")
        await super().open()


async def test_a_hub_that_waits_follows_and_then_leads(history: MemoryHistory) -> None:
    """With a lease that would take an hour to run out: the end of the hub that leads is seen in its events."""
    lease, kept = StoreLease(history.store), StoreLease(history.store)
    first, second = (Hub(journal=MemorySharedJournal(history)) for _ in range(2))
    led: list[str] = []

    async def stand_by() -> None:
        async with leading(kept, hub=second, seconds=3600):
            assert second.is_leading
            led.extend(each.name for each in second.agents.list())
            await second.emit(said())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            async with leading(lease, hub=first, seconds=3600):
                assert first.is_leading
                tasks.start_soon(stand_by)
                await until(lambda: second.is_following)
                await first.agents.register("ann")
                await until(lambda: len(second.agents.list()) == 1)
            assert await first.finished() is None
    assert led == ["ann"]
    assert await second.finished() is None
    entry = await lease.read()
    assert entry is not None
    assert entry.holder is None
    assert history.epoch == 2


async def test_a_hub_that_cannot_follow_is_started_after_the_wait() -> None:
    hub, store = Hub(MemoryStore()), MemoryStore()
    async with leading(StoreLease(store), hub=hub):
        assert hub.is_leading
        await hub.emit(said())
    assert not hub.is_leading


async def test_a_journal_that_cannot_be_opened_is_tried_again(
    history: MemoryHistory, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub(journal=Flaky(history))
    with anyio.fail_after(30):
        async with leading(StoreLease(history.store), hub=hub, seconds=0.1):
            assert hub.is_leading
    assert "the lease is let go" in caplog.text


async def test_a_wait_that_is_cancelled_closes_the_hub(history: MemoryHistory) -> None:
    async with leading(StoreLease(history.store), hub=Hub(journal=MemorySharedJournal(history))):
        waiting = Hub(journal=MemorySharedJournal(history))
        with anyio.move_on_after(0.2) as scope:
            async with leading(StoreLease(history.store), hub=waiting):
                pytest.fail("two lead")
        assert scope.cancelled_caught
        assert await waiting.finished() is None
        assert history.followers == 0


async def test_what_ends_the_hub_ends_the_wait(history: MemoryHistory) -> None:
    """A close by other code, and a failure."""

    async def wait(hub: Hub, expected: type[Exception]) -> None:
        with pytest.raises(expected):
            async with leading(StoreLease(history.store), hub=hub):
                pytest.fail("two lead")

    first = Hub(journal=MemorySharedJournal(history))
    async with leading(StoreLease(history.store), hub=first), anyio.create_task_group() as tasks:
        closed, failed = (Hub(journal=MemorySharedJournal(history)) for _ in range(2))
        tasks.start_soon(wait, closed, HubClosed)
        tasks.start_soon(wait, failed, HubFailed)
        await until(lambda: closed.is_following and failed.is_following)
        await closed.aclose()
        failed._parts.pipeline.fail(HubFailed("no"))


async def test_what_fails_in_the_block_closes_the_hub(history: MemoryHistory) -> None:
    hub = Hub(journal=MemorySharedJournal(history))
    with pytest.raises(ZeroDivisionError):
        async with leading(StoreLease(history.store), hub=hub):
            raise ZeroDivisionError
    assert await hub.finished() is None


@pytest.mark.parametrize("odd", [5, Hub, Stranger(), MemoryStore()], ids=range(4))
async def test_what_is_no_hub_is_refused(odd: Any) -> None:
    with pytest.raises(ConfigurationError, match="hub is a Hub that"):
        async with leading(StoreLease(MemoryStore()), hub=odd):
            pytest.fail("it leads")
    async with Hub() as running:
        with pytest.raises(ConfigurationError, match="leads already"):
            async with leading(StoreLease(MemoryStore()), hub=running):
                pytest.fail("it leads")
