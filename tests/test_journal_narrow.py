"""Listeners whose pattern matches rarely: their own position is old, and the journal need not hold what came since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import AttachmentState, Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire.errors import HistoryGone, StoreFull
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from support import copy_of, said, until_tidy


class Rare:
    """Holds what it was given, in what is the same after a restart."""

    def __init__(self, held: list[int]) -> None:
        self.held = held

    async def on_events(self, events: Sequence[Event]) -> None:
        self.held += [event.seq for event in events]

    def last_seq(self) -> int | None:
        return self.held[-1] if self.held else None


def hub_of(store: Any, **settings: Any) -> Hub:
    """A hub that writes snapshots often, and gives its segments away one after the other."""
    return Hub(journal=StoreJournal(store, segment_bytes=1000), snapshot_bytes=4000, **settings)


async def busy(hub: Hub) -> None:
    """Let a hub have more history than it keeps."""
    for _ in range(2):
        for number in range(60):
            await hub.emit(said(number))
        await until_tidy(hub)


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.DURABLE])
@pytest.mark.parametrize("matching", [0, 1], ids=["nothing matched", "one matched"])
async def test_a_narrow_listener_starts_again(duty: Duty, matching: int) -> None:
    """It has missed nothing: what the journal no longer holds did not match."""
    store, held = MemoryStore(), list[int]()
    for life in range(3):
        hub = hub_of(store)
        rare = hub.attach(Rare(held), pattern="rare.*", duty=duty, since="start" if matching else 0)
        async with hub:
            await rare.ready()
            assert rare.state is AttachmentState.RUNNING
            for _ in range(matching if life == 0 else 0):
                await hub.emit(GenericEvent(kind="rare.thing"))
            await busy(hub)
            journal = hub.statistics().journal
            assert journal is not None
            assert journal.first_seq > (held[-1] if held else 0), "the journal was truncated"
            assert not hub.health().problems
    async with hub_of(store) as hub:
        rare = hub.attach(Rare(held), pattern="rare.*", duty=duty)
        await hub.emit(GenericEvent(kind="rare.thing"))
        await hub.flush()
    assert len(held) == matching + 1


async def test_a_narrow_audit_log_starts_after_a_crash() -> None:
    """What truncation relies on was kept before it."""
    store = MemoryStore()
    hub = hub_of(store)
    hub.attach(AuditLog(store), pattern="rare.*", duty=Duty.REQUIRED)
    async with hub:
        await hub.emit(GenericEvent(kind="rare.thing"))
        await busy(hub)
        store = await copy_of(store)
    hub, log = hub_of(store), AuditLog(store)
    hub.attach(log, pattern="rare.*", duty=Duty.REQUIRED)
    async with hub:
        assert not hub.health().problems
        await hub.emit(GenericEvent(kind="rare.thing"))
    assert [record["kind"] for record in await log.read_all()] == ["rare.thing", "rare.thing"]


async def test_a_listener_that_has_lost_events_is_refused() -> None:
    """What it said it held is what it has to hold, or else it has missed events."""
    store, held = MemoryStore(), list[int]()
    hub = hub_of(store)
    hub.attach(Rare(held), pattern="rare.*", duty=Duty.REQUIRED)
    async with hub:
        for _ in range(2):
            await hub.emit(GenericEvent(kind="rare.thing"))
        await busy(hub)
    del held[-1]
    hub = hub_of(store)
    hub.attach(Rare(held), pattern="rare.*", duty=Duty.REQUIRED, name="Rare")
    with pytest.raises(HistoryGone):
        await hub.start()


class Filling(MemoryStore):
    """Has no room for one file."""

    is_full = False

    async def write(self, path: str, content: str | bytes, **options: Any) -> Any:
        if self.is_full and "positions" in path:
            raise StoreFull("no room", path=path)
        return await super().write(path, content, **options)


async def test_what_cannot_be_kept_holds_the_journal() -> None:
    """Without a word on disk the next start would be refused, so the events stay."""
    store, held = Filling(), list[int]()
    hub = hub_of(store)
    rare = hub.attach(Rare(held), pattern="rare.*", duty=Duty.REQUIRED)
    async with hub:
        await rare.ready()
        await hub.emit(GenericEvent(kind="rare.thing"))
        store.is_full = True
        await busy(hub)
        journal = hub.statistics().journal
        assert journal is not None
        assert journal.first_seq <= held[-1] + 1
        store.is_full = False
    async with hub_of(store, listeners=[Rare(held)]) as hub:
        assert not hub.health().problems


async def test_a_narrow_listener_comes_back_later() -> None:
    """What others have handled meanwhile is kept beside what it has, and does not replace it."""
    store, away, stays = MemoryStore(), list[int](), list[int]()
    async with hub_of(store) as hub:
        rare = hub.attach(Rare(away), pattern="rare.*", duty=Duty.DURABLE, name="away", since="start")
        hub.attach(Rare(stays), pattern="rare.*", duty=Duty.REQUIRED, name="stays")
        await hub.emit(GenericEvent(kind="rare.thing"))
        await busy(hub)
        await rare.detach()
        await busy(hub)
        assert (journal := hub.statistics().journal) is not None
        assert journal.first_seq > away[-1] + 1, "the journal was truncated"
        back = hub.attach(Rare(away), pattern="rare.*", duty=Duty.DURABLE, name="away")
        await back.ready()
        await hub.emit(GenericEvent(kind="rare.thing"))
        await hub.flush()
        assert not hub.health().problems
    assert away == stays
    assert len(away) == 2
