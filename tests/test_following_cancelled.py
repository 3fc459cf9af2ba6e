"""Tasks are cancelled as asyncio does it, by ``cancel()`` and by timeouts, while they wait for code of others."""

from __future__ import annotations

import asyncio

import anyio

from hubwire import Hub
from hubwire.standby import LeaseEntry, StoreLease, leading
from hubwire.stores import MemoryStore
from hubwire.testing import LocalLink, MemoryHistory, MemorySharedJournal
from support import until


class Held(StoreLease):
    """A lease whose answers do not come while it is held."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.is_held = False
        self.waiting = 0

    async def _until_free(self) -> None:
        self.waiting += 1
        while self.is_held:  # noqa: ASYNC110 - each call waits for itself
            await anyio.sleep(0.005)
        self.waiting -= 1

    async def read(self) -> LeaseEntry | None:
        await self._until_free()
        return await super().read()

    async def write(self, holder: str | None, after: int) -> bool:
        if holder is not None:
            await self._until_free()
        return await super().write(holder, after)


async def test_a_forwarded_command_ends_when_its_task_is_cancelled_or_its_time_is_over() -> None:
    history, link = MemoryHistory(MemoryStore()), LocalLink()
    leader, follower = (Hub(journal=MemorySharedJournal(history)) for _ in range(2))
    leader.connect(link)
    follower.connect(link)
    async with leader:
        await follower.follow()
        ann, bob = await follower.agents.register("ann"), await follower.agents.register("bob")
        asking = asyncio.create_task(follower.ask(ann, bob, "why?"))
        await until(lambda: len(leader._parts.asks) == 1)
        asking.cancel()
        await asyncio.wait([asking], timeout=10)
        assert asking.cancelled()
        try:
            await asyncio.wait_for(follower.ask(ann, bob, "why?"), 0.05)
        except TimeoutError:
            pass
        await until(lambda: len(leader._parts.asks) == 0)
        await follower.aclose()


async def test_a_lease_is_released_at_once_also_while_it_is_renewed() -> None:
    lease = Held()
    async with leading(lease, name="one", seconds=3.0):
        begun = anyio.current_time()
        lease.is_held = True
        async with asyncio.timeout(20):
            while not lease.waiting:  # noqa: ASYNC110 - what makes it true sets no event
                await anyio.sleep(0.01)
    lease.is_held = False
    entry = await lease.read()
    assert entry is not None
    assert entry.holder is None
    assert anyio.current_time() - begun < 2.5


async def test_a_wait_for_a_lease_ends_when_its_task_is_cancelled() -> None:
    lease = Held()
    lease.is_held = True

    async def wait() -> None:
        async with leading(lease, name="one"):
            raise AssertionError

    waiting = asyncio.create_task(wait())
    await until(lambda: lease.waiting == 1)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=10)
    assert waiting.cancelled()


class Away(StoreLease):
    """A lease that neither its holder nor who waits can reach for a while."""

    is_away = False
    raises = False

    async def _until_back(self) -> None:
        if self.is_away and self.raises:
            raise OSError("no server answers")
        while self.is_away:  # noqa: ASYNC110 - each call waits for itself
            await anyio.sleep(0.005)

    async def read(self) -> LeaseEntry | None:
        await self._until_back()
        return await super().read()

    async def write(self, holder: str | None, after: int) -> bool:
        await self._until_back()
        return await super().write(holder, after)


async def _outlived(*, raises: bool) -> None:
    lease, has_taken = Away(MemoryStore()), False

    async def wait() -> None:
        nonlocal has_taken
        async with leading(lease, name="two", seconds=0.4, grace_seconds=0.2):
            has_taken = True

    lease.raises = raises
    async with leading(lease, name="one", seconds=0.4, grace_seconds=0.2):
        waiting = asyncio.create_task(wait())
        await anyio.sleep(0.15)
        lease.is_away = True
        await anyio.sleep(0.9)  # longer than it may go without a renewal
        lease.is_away = False
        await anyio.sleep(0.15)
        assert not has_taken
    await asyncio.wait_for(waiting, 10)
    assert has_taken


async def test_a_lease_that_was_away_is_not_taken_before_its_holder_could_renew_it() -> None:
    await _outlived(raises=False)


async def test_a_lease_that_was_away_and_said_so_is_not_taken_either() -> None:
    await _outlived(raises=True)
