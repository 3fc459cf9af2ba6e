"""Listeners at their end: what waits for them goes on, and they are asked no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from hubwire import Duty, Event, Hub, Overflow
from hubwire._delivery.place import Place
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import GatedStore, said, until_idle
from support.durable import Failing


async def test_emitters_go_on_when_a_blocking_listener_ends() -> None:
    """At once, though the journal hangs, so that what tells of its end cannot be committed."""
    store, blocking = GatedStore(), GatedRecorder()
    async with Hub(store) as hub:
        attachment = hub.attach(blocking, pattern="number.*", overflow=Overflow.BLOCK, mailbox=1)
        await attachment.ready()
        blocking.close()
        await hub.emit(said(0))
        waiting = asyncio.create_task(hub.emit(said(1)))
        await until_idle()
        assert hub.statistics().emitters_waiting == 1
        store.gate.close()
        attachment.cancel()
        await until_idle()
        waits = hub.statistics().emitters_waiting
        store.gate.open()
        await waiting
    assert waits == 0


class Strict(Recorder):
    """Says how far it is while it is entered, and notes who asks later."""

    def __init__(self) -> None:
        super().__init__()
        self.is_left = False
        self.asked_late = 0

    def last_seq(self) -> int | None:
        self.asked_late += self.is_left
        return self.events[-1].seq if self.events else None

    async def on_events(self, events: Sequence[Event]) -> None:
        await super().on_events(events)

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None:
        self.is_left = True


async def test_a_listener_that_was_left_is_asked_no_more() -> None:
    """Its position is what it said last."""
    strict = Strict()
    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(strict, duty=Duty.DURABLE, pattern="number.*", name="strict", since="start")
        await attachment.ready()
        newest = await hub.emit(said())
        await hub.flush()
        await attachment.detach()
        assert attachment.owed == newest.seq + 1
    assert strict.is_left
    assert strict.asked_late == 0


async def test_a_listener_that_fails_is_not_retried_at_its_end() -> None:
    """Its pause ends with it: the event comes again when it is attached again."""
    failing = Failing(0)
    async with Hub(MemoryStore(), clock=ManualClock()) as hub:
        attachment = hub.attach(failing, duty=Duty.DURABLE, pattern="number.*", name="failing", since="start")
        await attachment.ready()
        event = await hub.emit(said(0))
        await until_idle()
        assert failing.calls == 1
        await attachment.detach()
        assert (failing.calls, attachment.done) == (1, event.seq)
        assert attachment.statistics().retries == 0
        assert attachment.suspension is None


def test_a_batch_under_way_is_kept_as_a_whole() -> None:
    """A listener that has written a part of it is at its beginning: what it has to read must not be truncated."""
    place = Place(cast("Any", None), lambda: None)
    place.start, place.delivered, place.done = 1, 9, 3
    assert [place.held(last_seq) for last_seq in (None, 1, 5, 8)] == [1, 2, 3, 3]
    place.done = 10
    assert [place.held(last_seq) for last_seq in (None, 5, 9, 12)] == [1, 6, 10, 10]
