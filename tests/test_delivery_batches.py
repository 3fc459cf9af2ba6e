"""Listeners that take larger batches, and listeners that write later than they handle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import AttachmentState, Duty, Event, Hub, Limits, StoreJournal
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import GatedStore, advance, numbers, pass_time, said, until, until_idle, until_tidy


class Batches(Recorder):
    """Notes the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        await super().on_events(events)
        self.sizes.append(len(events))


# --- gathering ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.DURABLE])
async def test_events_are_gathered_for_a_time(duty: Duty) -> None:
    """The listener gets what came within the time, by the hub's clock, in one call."""
    clock, batches = ManualClock(), Batches()
    async with Hub(MemoryStore(), clock=clock) as hub:
        hub.attach(batches, pattern="number.*", duty=duty, batch_seconds=5)
        for n in range(10):
            await hub.emit(said(n))
            await advance(clock, 0.4)
        assert batches.sizes == []
        await advance(clock, 1.1)
        assert batches.sizes == [10]
        await hub.emit(said(10))
        await until_idle()
        assert batches.sizes == [10], "the next batch has its own time"
        await advance(clock, 5)
        assert batches.sizes == [10, 1]


async def test_a_full_batch_does_not_wait() -> None:
    """The listener is called as soon as there are as many events as it may get; more than 256 too."""
    clock, batches = ManualClock(), Batches()
    async with Hub(clock=clock) as hub:
        hub.attach(batches, pattern="number.*", batch_seconds=60, batch_max=600)
        for n in range(1300):
            await hub.emit(said(n))
            await until_idle()
        assert batches.sizes == [600, 600]
        await advance(clock, 60)
        assert batches.sizes == [600, 600, 100]
        assert numbers(batches.events) == list(range(1300))


async def test_a_smaller_batch_is_cut() -> None:
    """``batch_max`` alone bounds the batch, and nothing is waited for."""
    batches = Batches()
    async with Hub() as hub:
        attachment = hub.attach(batches, pattern="number.*", batch_max=3)
        await attachment.ready()
        for n in range(10):
            hub.emit_nowait(said(n))
        await hub.flush()
        assert max(batches.sizes) == 3
        assert numbers(batches.events) == list(range(10))


@pytest.mark.parametrize("how", ["flush", "detach", "close"])
async def test_who_waits_ends_the_gathering(how: str) -> None:
    """A flush, a detach and a close do not wait for the end of the time."""
    clock, batches = ManualClock(), Batches()
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(batches, pattern="number.*", duty=Duty.DURABLE, batch_seconds=3600)
        await attachment.ready()
        await hub.emit(said(1))
        await until_idle()
        assert batches.sizes == []
        if how == "flush":
            await hub.flush()
            assert batches.sizes == [1]
        elif how == "detach":
            await attachment.detach()
    if how != "detach":
        assert batches.sizes == [1]


async def test_what_was_gathered_and_not_delivered_comes_again() -> None:
    """A crash while events are gathered loses none of them."""
    store, clock = GatedStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        attachment = hub.attach(Batches(), pattern="number.*", duty=Duty.DURABLE, name="batches", batch_seconds=3600)
        await attachment.ready()
        for n in range(5):
            await hub.emit(said(n))
        await advance(clock, 2)
        crashed = store.crashed()
    batches = Batches()
    async with Hub(crashed) as again:
        again.attach(batches, pattern="number.*", duty=Duty.DURABLE, name="batches")
        await until(lambda: numbers(batches.events) == [0, 1, 2, 3, 4])


async def test_a_failing_batch_is_retried() -> None:
    """What a gathered batch fails with has the consequences that it always has."""
    clock, seen = ManualClock(), []

    class Fails(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            seen.append(numbers(events))
            if len(seen) == 1:
                raise ValueError("no")

    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(Fails(), pattern="number.*", duty=Duty.DURABLE, batch_seconds=1)
        await attachment.ready()
        hub.emit_nowait(said(0))
        hub.emit_nowait(said(1))
        await advance(clock, 1)
        await hub.flush()
        assert seen == [[0, 1], [0], [1]]
        assert attachment.state is AttachmentState.RUNNING


# --- writing later --------------------------------------------------------------------------------------------------


class Buffering:
    """Handles events at once, and writes them when it is told to; what it has written survives a crash."""

    duty = Duty.DURABLE
    pattern = "number.*"
    since = "start"

    def __init__(self, written: list[Event]) -> None:
        self.written = written
        self.buffer: list[Event] = []

    def last_seq(self) -> int | None:
        return self.written[-1].seq if self.written else None

    async def on_events(self, events: Sequence[Event]) -> None:
        self.buffer += events

    def write(self) -> None:
        self.written += self.buffer
        self.buffer = []


def hub_on(store: MemoryStore, listener: Any, clock: ManualClock) -> Hub:
    journal = StoreJournal(store, segment_bytes=2000, clock=clock)
    # What is kept of histories is not asked for: each step of the truncation counts here.
    return Hub(
        journal=journal, listeners=[listener], clock=clock, limits=Limits(snapshot_bytes=1000, history_bytes_max=0)
    )


@pytest.mark.parametrize("duty", [Duty.DURABLE, Duty.REQUIRED])
@pytest.mark.parametrize("written", [0, 30])
async def test_the_journal_is_kept_for_what_is_not_written(duty: Duty, written: int) -> None:
    """It is truncated no further than the listener says it has written; after a crash it gets the rest again."""
    store, clock, kept = GatedStore(), ManualClock(), list[Event]()
    listener = Buffering(kept)
    listener.duty = duty
    async with hub_on(store, listener, clock) as hub:
        for n in range(100):
            await hub.emit(said(n))
            await hub.flush()
            if n + 1 == written:
                listener.write()
            await advance(clock, 1)
            await until_tidy(hub)
        journal = await until_tidy(hub)
        next_one = kept[-1].seq + 1 if kept else 0
        assert journal.first_seq <= max(next_one, 3)
        assert journal.first_seq > 0 or not written
        crashed, kept = store.crashed(), list(kept)
    again = Buffering(kept)
    again.duty = duty
    async with hub_on(crashed, again, clock) as hub:
        await hub.flush()
        again.write()
        assert numbers(kept) == list(range(100))


async def test_a_later_write_lets_the_journal_go() -> None:
    """The listener is asked again before the journal is truncated, though it gets no event meanwhile."""
    store, clock, kept = MemoryStore(), ManualClock(), list[Event]()

    class Stuck(Buffering):
        async def on_events(self, events: Sequence[Event]) -> None:
            if 100 in numbers(events):
                raise ValueError("poison")
            await super().on_events(events)

    listener = Stuck(kept)
    async with hub_on(store, listener, clock) as hub:
        for n in range(101):
            await hub.emit(said(n))
        await pass_time(clock, 300)
        (statistics,) = hub.statistics().attachments
        assert statistics.state is AttachmentState.SUSPENDED
        before = (await until_tidy(hub)).first_seq
        listener.write()
        for n in range(60):
            await hub.emit(said(n))
            await advance(clock, 1)
            await until_tidy(hub)
        while (await until_tidy(hub)).first_seq <= before:  # a worker thread may still be asking the listener
            await hub.emit(said(0))
            await advance(clock, 1)


async def test_an_answer_that_is_wrong_later_is_reported() -> None:
    """The journal is kept from the last good answer on, and the listener has failed."""
    store, clock, kept = MemoryStore(), ManualClock(), list[Event]()

    class Broken(Buffering):
        is_broken = False

        def last_seq(self) -> Any:
            return "x" if self.is_broken else super().last_seq()

    listener, witness = Broken(kept), Recorder()
    async with hub_on(store, listener, clock) as hub:
        hub.attach(witness)
        await hub.emit(said(0))
        await hub.flush()
        listener.write()
        await hub.emit(said(1))
        await hub.flush()
        listener.is_broken = True
        await hub.emit(said(2))
        failed = await witness.wait_for("listener.failed")
        assert "not the seq of an event" in failed.error_message  # type: ignore[attr-defined]
        assert dict(hub.statistics().journal.positions)["Broken"] <= kept[-1].seq + 1  # type: ignore[union-attr]
    async with hub_on(store, Buffering(kept), clock):
        pass


@pytest.mark.parametrize("duty", [Duty.DURABLE, Duty.REQUIRED])
async def test_what_does_not_match_holds_no_journal(duty: Duty) -> None:
    """A listener that has got no event yet, and so says None, is owed none of those that it would not get."""
    store, clock = MemoryStore(), ManualClock()
    listener = Buffering([])
    listener.duty, listener.pattern = duty, "never.happens"
    async with hub_on(store, listener, clock) as hub:
        for n in range(100):
            await hub.emit(said(n))
            await advance(clock, 1)
            await until_tidy(hub)
        assert (await until_tidy(hub)).first_seq > 50
