"""A listener that keeps its own position names its history by the id of its last event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import Duty, Event, Hub, StoreJournal
from hubwire.errors import ConfigurationError, HubError, JournalBehind
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import copy_of, files_of, numbers, said

DUTIES = [Duty.REQUIRED, Duty.DURABLE]


class Own(Recorder):
    """Keeps its own position, and what it is a position in."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Event | None = None

    async def on_events(self, events: Sequence[Event]) -> None:
        await super().on_events(events)
        self.last = events[-1]

    def last_seq(self) -> int | None:
        return None if self.last is None else self.last.seq

    def last_id(self) -> str | None:
        return None if self.last is None else self.last.id


async def restored(listener: Any, **options: Any) -> MemoryStore:
    """A store that was restored from a backup, and has gone on since; the listener has what was lost."""
    store = MemoryStore()
    async with Hub(store) as hub:
        hub.attach(listener, name="own", **options)
        await hub.emit(said(0))
        await hub.flush()
    backup = await copy_of(store)
    async with Hub(store) as hub:
        hub.attach(listener, name="own", **options)
        for n in range(10):
            await hub.emit(said(n))
        await hub.flush()
    await backup.delete("/journal/beside")
    async with Hub(backup) as hub:
        for n in range(30):
            await hub.emit(said(100 + n))
    return backup


@pytest.mark.parametrize("duty", DUTIES)
async def test_a_listener_of_another_history_refuses_a_start(duty: Duty) -> None:
    """It would never see the events that the restored hub made before the number at which it is."""
    own = Own()
    store = await restored(own, duty=duty, since="start")
    await store.delete("/journal/beside")
    before = await files_of(store)
    hub = Hub(store)
    hub.attach(own, name="own", duty=duty, since="start")
    with pytest.raises(JournalBehind, match="listener 'own' handled it"):
        await hub.start()
    assert await files_of(store) == before


@pytest.mark.parametrize("duty", DUTIES)
async def test_a_listener_of_another_history_cannot_come_later(duty: Duty) -> None:
    """A hub that runs goes on without it."""
    own = Own()
    store = await restored(own, duty=duty, since="start")
    own_events = len(own.events)
    async with Hub(store) as hub:
        attachment = hub.attach(own, name="own", duty=duty, since="start")
        with pytest.raises(JournalBehind, match="listener 'own' handled it"):
            await attachment.ready()
        await hub.emit(said(1))
    assert len(own.events) == own_events


@pytest.mark.parametrize("duty", DUTIES)
async def test_a_listener_of_this_history_goes_on(duty: Duty) -> None:
    store, own = MemoryStore(), Own()
    for life in range(3):
        async with Hub(store, ring=16) as hub:
            hub.attach(own, name="own", duty=duty, since="start")
            for n in range(50):
                await hub.emit(said(50 * life + n))
            await hub.flush()
    assert numbers(own.events) == list(range(150))
    async with Hub(store) as hub:
        await hub.attach(own, name="own", duty=duty).ready()


@pytest.mark.parametrize("answer", [7, b"x", object(), ["x"], ZeroDivisionError("broken")])
async def test_a_wrong_answer_is_the_listeners_own(answer: Any) -> None:
    """A hub starts without a listener that is not required."""

    class Wrong(Own):
        def last_seq(self) -> int | None:
            return 0

        def last_id(self) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(said(0))
    async with Hub(store) as hub:
        attachment = hub.attach(Wrong(), name="wrong", duty=Duty.BEST_EFFORT)
        with pytest.raises((TypeError, ZeroDivisionError, HubError)):
            await attachment.ready()
        await hub.emit(said(1))
    again = Hub(store)
    again.attach(Wrong(), name="wrong", duty=Duty.REQUIRED)
    with pytest.raises(HubError):
        await again.start()
    async with Hub(store) as hub:
        assert hub.health().healthy


@pytest.mark.parametrize("rotation", [600, 10**6])
async def test_an_audit_log_of_another_history_is_refused(rotation: int) -> None:
    """It was not attached while the restored hub made other events under numbers that it has."""
    store, audits = MemoryStore(), MemoryStore()

    def audit() -> AuditLog:
        return AuditLog(audits, rotation=rotation)

    async with Hub(store, listeners=[audit()]) as hub:
        await hub.emit(said(0))
    backup = await copy_of(store)
    async with Hub(store, listeners=[audit()]) as hub:
        for n in range(5):
            await hub.emit(said(n))
    async with Hub(backup) as hub:
        for n in range(20):
            await hub.emit(said(n))
    before, audited = await files_of(backup), await files_of(audits)
    with pytest.raises(JournalBehind, match="handled it"):
        await Hub(backup, listeners=[audit()]).start()
    assert await files_of(backup) == before
    assert await files_of(audits) == audited
    for _ in range(2):
        async with Hub(store, listeners=[audit()]) as hub:
            await hub.emit(said(9))
            assert hub.health().healthy


async def test_an_audit_log_of_another_hub_is_told_as_before() -> None:
    """Whose it is counts more than what it holds."""
    audits = MemoryStore()
    async with Hub(MemoryStore(), listeners=[AuditLog(audits, path="/first")]) as hub:
        await hub.emit(said(0))
    store = MemoryStore()
    async with Hub(store) as hub:
        for n in range(9):
            await hub.emit(said(n))
    with pytest.raises((ConfigurationError, JournalBehind), match="hub"):
        await Hub(journal=StoreJournal(store), listeners=[AuditLog(audits, path="/first")]).start()
