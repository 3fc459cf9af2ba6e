"""Readers whose events cannot be read: gone from the journal, or unreadable for a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import AttachmentState, Duty, Event, Hub, StoreJournal
from hubwire._delivery.duties import Departure, Skip
from hubwire.errors import HistoryGone
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance, numbers, pass_time, said, until, until_idle, until_tidy


class Batches(Recorder):
    """Notes the numbers of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.sets: list[list[int]] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        self.sets.append(numbers(events))


async def test_what_is_skipped_brings_the_reader_forward() -> None:
    """A journal that says that the next event is gone, and that it is the oldest held, would be asked for ever."""
    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(Recorder(), pattern="number.*")
        await attachment.ready()
        assert await attachment.rules.unreadable(HistoryGone("gone", first_seq=6), 5) == Skip(6)
        for first_seq in (5, 4):
            left = await attachment.rules.unreadable(HistoryGone("gone", first_seq=first_seq), 5)
            assert isinstance(left, Departure)
            assert "gone" in left.reason


async def test_what_was_gathered_survives_a_failed_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener gets what was read before, and the next reading goes on behind it."""
    clock, batches = ManualClock(), Batches()
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(batches, pattern="number.*", duty=Duty.DURABLE, batch_seconds=5)
        await attachment.ready()
        cursor = attachment._place.cursor
        take, failures = cursor.take, [OSError("no disk")]

        async def fails_once(*arguments: Any) -> Sequence[Event]:
            following = cursor.peek()
            if failures and following is not None and numbers([following]) == [1]:
                raise failures.pop()
            return await take(*arguments)

        monkeypatch.setattr(cursor, "take", fails_once)
        await hub.emit(said(0))
        await until_idle()
        assert batches.sets == []
        await hub.emit(said(1))
        await until_idle()
        assert not failures
        assert batches.sets == [[0]]
        await advance(clock, 5)
        await pass_time(clock, 1)
        assert batches.sets == [[0], [1]]
        assert attachment.state is AttachmentState.RUNNING


async def test_what_the_journal_has_let_go_is_missed() -> None:
    """A DURABLE listener that begins before it is suspended, also while the ring still has what the journal has not."""
    store, clock = MemoryStore(), ManualClock()
    async with Hub(journal=StoreJournal(store, segment_bytes=1000), snapshot_bytes=4000, clock=clock) as hub:
        for _ in range(2):
            for number in range(60):
                await hub.emit(said(number))
            await until_tidy(hub)
        first_seq = (await until_tidy(hub)).first_seq
        assert first_seq > 0
        attachment = hub.attach(Recorder(), duty=Duty.DURABLE, name="late", since=0, pattern="number.*")
        await until(lambda: attachment.state is not AttachmentState.STARTING)
        await until_idle()
        assert attachment.state is AttachmentState.SUSPENDED
        assert attachment.missed is not None
        assert attachment.missed[0] == 0
        found = attachment.statistics()
        assert (found.failed, found.retries) == (0, 0)
        late = hub.attach(Recorder(), duty=Duty.DURABLE, name="slow", pattern="number.*", attempts_max=1)
        await late.ready()
        late._place.done = 0
        await late.reading._bear_unreadable(HistoryGone("gone", first_seq=first_seq))
        assert late.state is AttachmentState.SUSPENDED
        assert late.statistics().failed == 0, "the journal has let it go meanwhile: it has not failed either"


@pytest.mark.parametrize("failures", [2, 3])
async def test_an_unreadable_journal_is_read_again(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DURABLE listener gets nothing meanwhile, and is suspended if that goes on: it misses no event by it."""
    clock, recorder, left = ManualClock(), Recorder(), [OSError("no disk") for _ in range(failures)]
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(recorder, pattern="number.*", duty=Duty.DURABLE, attempts_max=3)
        await attachment.ready()
        cursor = attachment._place.cursor
        take = cursor.take

        async def fails_first(*arguments: Any) -> Sequence[Event]:
            if left:
                raise left.pop()
            return await take(*arguments)

        monkeypatch.setattr(cursor, "take", fails_first)
        await hub.emit(said(0))
        await pass_time(clock, 10)
        if failures == 3:
            assert (attachment.state, numbers(recorder.events)) == (AttachmentState.SUSPENDED, [])
            assert "no disk" in " ".join(hub.health().problems)
            attachment.resume()
            await until_idle()
        assert attachment.state is AttachmentState.RUNNING
        assert numbers(recorder.events) == [0]
        assert (attachment.statistics().failed, attachment.statistics().retries) == (failures, 2)
