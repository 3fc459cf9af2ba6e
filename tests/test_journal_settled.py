"""What a hub keeps beside its journal: nothing before its start has settled, the newest end, and no place of nobody."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import msgspec
import pytest

from hubwire import Duty, Event, Hub, StoreJournal
from hubwire.errors import JournalBehind, ListenerFailed
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, ManualClock, Recorder
from support import advance, files_of, numbers, said, until, until_idle


class Refuses(Recorder):
    """Fails at what it is given first, when its gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate(is_open=False)
        self.is_reached = False

    async def on_events(self, events: Sequence[Event]) -> None:
        self.is_reached = True
        await self.gate.pass_through()
        raise OSError("broken")


async def test_a_start_that_fails_late_keeps_no_position() -> None:
    """A DURABLE listener may have come far by then; the store is as it was."""
    store = MemoryStore()
    async with Hub(store) as hub:
        for number in range(3):
            await hub.emit(said(number))
    before = await files_of(store)
    marker = "/journal/clean"  # it says that the journal is open, before a listener is given what it holds
    recorder, refuses = Recorder(), Refuses()
    hub = Hub(store)
    durable = hub.attach(recorder, duty=Duty.DURABLE, name="durable", since="start", pattern="number.*")
    hub.attach(refuses, duty=Duty.REQUIRED, since="start", name="refuses")
    async with anyio.create_task_group() as tasks:

        async def start() -> None:
            with pytest.raises(ListenerFailed):
                await hub.start()

        tasks.start_soon(start)
        await until(lambda: refuses.is_reached and numbers(recorder.events) == [0, 1, 2] and durable.done > 3)
        await until_idle()
        assert {**await files_of(store), marker: before[marker]} == before
        refuses.gate.open()
    assert await files_of(store) == before


async def test_forgetting_keeps_the_newest_end() -> None:
    """A journal that lacks the event that was committed last is one of another history from then on."""
    store, clock = MemoryStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        attachment = hub.attach(Recorder(), duty=Duty.DURABLE, name="gone", pattern="number.*")
        await attachment.ready()
        await attachment.detach()
        await advance(clock, 2)
        newest = await hub.emit(said())
        await hub.forget("gone")
        kept = msgspec.json.decode((await StoreJournal(store).kept())["positions"])
        assert kept["positions"] == {}
        assert kept["end"] == [newest.seq, newest.id]


class NotEntered(Recorder):
    async def __aenter__(self) -> None:
        raise OSError("not today")

    async def __aexit__(self, *_: object) -> None: ...


async def test_who_never_began_keeps_its_place() -> None:
    """A DURABLE listener that could not be entered goes on where it was, when it can."""
    store = MemoryStore()
    async with Hub(store) as hub:
        hub.attach(Recorder(), duty=Duty.DURABLE, name="it", pattern="number.*", since="start")
        await hub.emit(said(0))
        await hub.flush()
    async with Hub(store) as hub:
        place = dict(hub.statistics().journal.positions)["it"]  # type: ignore[union-attr]
        hub.attach(NotEntered(), duty=Duty.DURABLE, name="it", pattern="number.*")
        await hub.emit(said(1))
        await hub.flush()
    assert place > 0
    recorder = Recorder()
    async with Hub(store) as hub:
        assert dict(hub.statistics().journal.positions)["it"] == place  # type: ignore[union-attr]
        hub.attach(recorder, duty=Duty.DURABLE, name="it", pattern="number.*")
        await until(lambda: bool(numbers(recorder.events)))
    assert numbers(recorder.events) == [1]


async def test_a_log_beyond_the_journal_is_named() -> None:
    """The refusal says which listener has more than the journal, and what it takes to have both again."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(said(0))
    older = await files_of(store, "/journal")
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        newest = await hub.emit(said(1))
    await store.delete("/journal")
    for path, content in older.items():
        await store.write(path, content)
    with pytest.raises(JournalBehind, match=rf"listener 'AuditLog' has event {newest.seq + 1}, .* `hubwire backup`"):
        await Hub(store, listeners=[AuditLog(store)]).start()


class Unsure(Recorder):
    """Says once how far it is, when it is entered, and fails to say it later."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def last_seq(self) -> int | None:
        self.asked += 1
        if self.asked > 1:
            raise OSError("no answer")
        return None


async def test_a_listener_without_an_answer_holds_its_start() -> None:
    """What came before its place it never needs, though it never says what it holds."""
    async with Hub(MemoryStore()) as hub:
        for number in range(3):
            await hub.emit(said(number))
        attachment = hub.attach(Unsure(), duty=Duty.DURABLE, name="unsure", pattern="number.*", since=2)
        await attachment.ready()
        assert attachment.owed == 2
