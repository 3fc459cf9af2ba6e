"""A hub that was replaced, on a store that holds no lock, learns of it and delivers nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from hubwire import Duty, Event, Hub, StoreJournal
from hubwire.errors import Fenced, HubError, JournalFailed, StoreUnavailable
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import advance, numbers, said, until, until_idle
from support.durable import attach, kept_position

obstore = pytest.importorskip("obstore.store")


def store_on(bucket: Any) -> Any:
    from hubwire.stores.object import ObjectStore

    return ObjectStore(bucket)


async def aclose(*hubs: Hub) -> None:
    """Close hubs of which some were replaced."""
    for hub in hubs:
        try:
            await hub.aclose()
        except HubError:
            assert not hub.health().healthy


async def test_a_replaced_hub_moves_no_position_back() -> None:
    """What it still keeps does not count, and it fails with words."""
    bucket, clock = obstore.MemoryStore(), ManualClock()
    older, slow = Hub(store_on(bucket), clock=clock), GatedRecorder(is_open=False)
    attach(older, slow, since="start")
    await older.start()
    await older.emit(said(0))
    await until(lambda: bool(slow.given))
    newer, quick = Hub(store_on(bucket), clock=ManualClock()), Recorder()
    attach(newer, quick, since="start")
    await newer.start()
    for n in range(1, 10):
        await newer.emit(said(n))
    await newer.flush()
    await newer.aclose()
    kept = await kept_position(store_on(bucket))
    slow.open()
    clock.advance(2)
    await until(lambda: not older.health().healthy)
    assert "another hub has taken the journal over" in " ".join(older.health().problems)
    assert await kept_position(store_on(bucket)) == kept
    third, again = Hub(store_on(bucket)), Recorder()
    attach(third, again)
    async with third:
        await third.flush()
    assert numbers(again.events) == [], "all was handled, and that was kept"
    await aclose(older)


async def test_a_pause_inside_a_save_moves_nothing_back() -> None:
    """A writer may be stopped between its last check and its write, for as long as you like."""
    bucket = obstore.MemoryStore()
    older, newer = StoreJournal(store_on(bucket)), StoreJournal(store_on(bucket))
    await older.open()
    from hubwire.testing._journal_events import made

    await older.append(made(0, 1))
    gate, write = anyio.Event(), older.store.write

    async def stopped(path: str, content: str | bytes, **options: Any) -> None:
        await gate.wait()
        await write(path, content, **options)

    older.store.write = stopped  # type: ignore[method-assign]
    saving = asyncio.create_task(older.keep("positions", b"old"))
    await until_idle()
    await newer.open()
    await newer.append(made(1, 1))
    await newer.keep("positions", b"new")
    gate.set()
    await asyncio.wait([saving])
    assert dict(await newer.kept()) == {"positions": b"new"}
    assert dict(await StoreJournal(store_on(bucket)).kept()) == {"positions": b"new"}
    await newer.aclose()
    await older.aclose()


async def replaced(clock: ManualClock) -> tuple[Hub, Hub]:
    """A hub of whose replacement it does not know, and the one that has replaced it."""
    bucket = obstore.MemoryStore()
    older = Hub(store_on(bucket), clock=clock)
    await older.start()
    boss, clerk = await older.agents.register("boss"), await older.agents.register("clerk")
    channel = await older.channels.open([boss, clerk], topic="t")
    await channel.post(boss, {"n": 1}, to=[clerk])
    newer = Hub(store_on(bucket), clock=ManualClock())
    await newer.start()
    return older, newer


async def test_a_replaced_hub_delivers_no_events() -> None:
    clock = ManualClock()
    older, newer = await replaced(clock)
    stream = older.events(after=-1)
    clock.advance(1)
    with pytest.raises(JournalFailed, match="another hub has taken the journal over"):
        await stream.take()
    assert not older.health().healthy
    assert newer.health().healthy
    await aclose(older, newer)


async def test_a_replaced_hub_delivers_no_envelopes() -> None:
    clock = ManualClock()
    older, newer = await replaced(clock)
    clerk = older.agents.find("clerk")
    assert clerk is not None
    clock.advance(1)
    with pytest.raises(JournalFailed, match="another hub has taken the journal over"):
        await anext(clerk.inbox())
    await aclose(older, newer)


async def test_a_replaced_hub_gives_listeners_nothing() -> None:
    clock = ManualClock()
    older, newer = await replaced(clock)
    clock.advance(1)
    late = Recorder()
    older.attach(late, name="late", since="start")
    await until(lambda: not older.health().healthy)
    assert late.events == []
    await aclose(older, newer)


async def test_who_waits_on_a_replaced_hub_learns() -> None:
    """Nothing is appended, and nothing delivered: the hub asks all the same."""
    clock = ManualClock()
    older, newer = await replaced(clock)
    stream = older.events()
    waiting = asyncio.create_task(stream.take())
    await advance(clock, 5)
    assert not waiting.done()
    await advance(clock, 5)
    await asyncio.wait([waiting])
    assert isinstance(waiting.exception(), JournalFailed)
    await aclose(older, newer)


@pytest.mark.parametrize(
    ("elapsed", "of_day"), [(0, 3600), (0.5, 1), (1, 0.5), (0, -1)], ids=["suspended", "fast", "slow", "set-back"]
)
async def test_a_proof_ages_by_either_clock(elapsed: float, of_day: float) -> None:
    """A machine that was suspended may have a monotonic clock that was suspended with it. A second is too old."""
    clock = ManualClock()
    older, newer = await replaced(clock)
    clock.advance(elapsed)
    clock.step(of_day - elapsed)
    with pytest.raises(JournalFailed):
        await older.events(after=-1).take()
    await aclose(older, newer)


class Asked(StoreJournal):
    """A journal that can be replaced, or not be asked, as a test wants."""

    asked = 0
    error: Exception | None = None

    async def check(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error


async def test_a_busy_hub_need_not_ask() -> None:
    """Each append proves as much; and a proof holds for a second."""
    clock = ManualClock()
    journal = Asked(MemoryStore(), clock=clock)
    async with Hub(journal=journal, clock=clock) as hub:
        for n in range(10):
            await advance(clock, 0.9)
            await hub.emit(said(n))
            await hub.events(after=-1).take()
        assert journal.asked == 0
        clock.advance(1)
        for _ in range(10):
            await hub.events(after=-1).take()
        assert journal.asked == 1


async def test_a_journal_that_cannot_be_asked_is_waited_for() -> None:
    """It proves nothing: deliveries wait, and health tells."""
    clock = ManualClock()
    journal = Asked(MemoryStore(), clock=clock)
    async with Hub(journal=journal, clock=clock) as hub:
        journal.error = StoreUnavailable("the bucket is away")
        clock.advance(1)
        reading = asyncio.create_task(hub.events(after=-1).take())
        await advance(clock, 3)
        assert not reading.done()
        assert "the bucket is away" in " ".join(hub.health().problems)
        journal.error = None
        await advance(clock, 1)
        assert (await reading)[0].seq == 0
        assert hub.health().healthy


async def test_a_hub_that_has_ended_proves_nothing() -> None:
    """What it had committed can be read to the end."""
    clock = ManualClock()
    journal = Asked(MemoryStore(), clock=clock)
    async with Hub(journal=journal, clock=clock) as hub:
        stream = hub.events(after=-1)
        await hub.emit(said())
    journal.error = Fenced("too late")
    clock.advance(1)
    assert len(await stream.take()) == 3


async def test_only_a_required_listener_hears_before_the_proof() -> None:
    """A listener whose handling is needed for the commit gets what was just appended: that is the proof."""
    clock = ManualClock()
    journal = Asked(MemoryStore(), clock=clock)

    class Required(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            assert journal.asked == 0
            await super().on_events(events)

    required = Required()
    async with Hub(journal=journal, clock=clock) as hub:
        await hub.attach(required, duty=Duty.REQUIRED, name="required").ready()
        for n in range(3):
            await advance(clock, 2)
            await hub.emit(said(n))
    assert numbers(required.events) == [0, 1, 2]
