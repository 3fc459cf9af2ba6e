"""DURABLE attachments: they see everything that matches, in order, at least once, across restarts and failures."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import (
    Attachment,
    Duty,
    Event,
    Hub,
    Overflow,
)
from hubwire.errors import (
    ConfigurationError,
)
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import copy_of, numbers, pass_time, said, until_idle
from support.durable import BESIDE, attach, kept_position

# --- what it needs --------------------------------------------------------------------------------------------------


async def test_durable_needs_a_journal() -> None:
    """Without one the attachment is refused, and the listener is not attached."""
    hub = Hub()
    with pytest.raises(ConfigurationError, match="has no journal"):
        attach(hub, Recorder())
    assert hub.statistics().attachments == ()


async def test_durable_listeners_need_different_names() -> None:
    """Their positions are kept by name."""
    hub = Hub(MemoryStore())
    hub.attach(Recorder(), duty=Duty.DURABLE)
    with pytest.raises(ConfigurationError, match="attached already"):
        hub.attach(Recorder(), duty=Duty.DURABLE)
    assert [each.name for each in hub.statistics().attachments] == ["Recorder"]


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a\ud800"])
async def test_a_name_that_is_too_long_is_refused(name: str) -> None:
    """Or that is no text that a store can keep."""
    with pytest.raises(ConfigurationError, match=r"cannot be kept under the name|text that UTF-8 can hold"):
        attach(Hub(MemoryStore()), Recorder(), name=name)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a@", "é", "my function", "<lambda>", "%2E", "\0"])
async def test_any_other_name_keeps_its_position(name: str, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    heard = []
    for start in range(2):
        recorder = Recorder()
        async with Hub(store) as hub:
            attachment = attach(hub, recorder, name=name)
            await attachment.ready()
            await hub.emit(said(start))
            await hub.flush()
        heard += numbers(recorder.events)
    assert heard == [0, 1]
    assert len(await store.list(BESIDE)) == 1


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_missed_events_follow_after_a_restart() -> None:
    """A listener sees what happened while it was away, once and in order."""
    store, before, after = MemoryStore(), Recorder(), Recorder()
    async with Hub(store) as hub:
        attach(hub, before)
        await hub.emit(said(1))
    async with Hub(store) as hub:
        await hub.emit(said(2))
        await hub.emit(said(3))
    async with Hub(store) as hub:
        attachment = attach(hub, after)
        await attachment.ready()
        await hub.emit(said(4))
        await hub.flush()
    assert numbers(before.events) == [1]
    assert numbers(after.events) == [2, 3, 4]


async def test_a_new_name_survives_a_crash() -> None:
    """When `ready()` has returned, a crash does not lose the place of a new name."""
    store = MemoryStore()
    async with Hub(store, clock=ManualClock()) as hub:
        gated = GatedRecorder(is_open=False)
        await attach(hub, gated).ready()
        await hub.emit(said(1))
        crashed = await copy_of(store)
        gated.open()
    recorder = Recorder()
    async with Hub(crashed) as hub:
        attach(hub, recorder)
        await hub.flush()
    assert numbers(recorder.events) == [1]


async def test_start_keeps_the_places_of_listeners() -> None:
    """A listener that was attached before the start has its place on disk when the start returns."""
    store, gated = MemoryStore(), GatedRecorder(is_open=False)
    hub = Hub(store, clock=ManualClock())
    attach(hub, gated)
    async with hub:
        assert await kept_position(store) in (0, 1)
        await hub.emit(said(1))
        crashed = await copy_of(store)
        gated.open()
    recorder = Recorder()
    hub = Hub(crashed)
    attach(hub, recorder)
    async with hub:
        await hub.flush()
    assert numbers(recorder.events) == [1]


async def test_start_waits_for_new_places() -> None:
    class Slow(MemoryStore):
        gate = anyio.Event()

        async def write(
            self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
        ) -> None:
            if path.startswith(f"{BESIDE}/positions"):
                await self.gate.wait()
            await super().write(path, content, if_absent=if_absent, expect=expect)

    store = Slow()
    hub = Hub(store)
    attach(hub, Recorder())
    starting = asyncio.create_task(hub.start())
    await anyio.wait_all_tasks_blocked()
    assert not starting.done()
    store.gate.set()
    await starting
    assert await kept_position(store) is not None
    await hub.aclose()


async def test_an_event_is_seen_when_handled() -> None:
    """A crash in the middle of its handling delivers it again."""
    store, gated = MemoryStore(), GatedRecorder(is_open=False)
    async with Hub(store) as hub:
        await attach(hub, gated).ready()
        await hub.emit(said(1))
        await until_idle()
        assert gated.given
        crashed = await copy_of(store)
        gated.open()
    recorder = Recorder()
    async with Hub(crashed) as hub:
        attach(hub, recorder)
        await hub.flush()
    assert numbers(recorder.events) == [1]


async def test_positions_are_written_once_a_second() -> None:
    """A position is written at most once a second, and at close."""
    store, clock = MemoryStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        await attach(hub, Recorder()).ready()
        await hub.emit(said(0))
        await hub.flush()
        await until_idle()
        kept = await kept_position(store)
        for n in range(1, 50):
            await hub.emit(said(n))
        await hub.flush()
        await until_idle()
        assert await kept_position(store) == kept
        await pass_time(clock, 1.25)
        assert (await kept_position(store) or 0) >= (kept or 0) + 49
        await hub.emit(said(50))
    assert await kept_position(store) == hub.statistics().applied


async def test_a_short_life_makes_progress() -> None:
    """Even a life of less than a second keeps what was handled."""
    store, clock, end = MemoryStore(), ManualClock(), 0
    for life in range(3):
        hub = Hub(store, clock=clock)
        attach(hub, Recorder(), since="start")
        async with hub:
            for _ in range(10):
                await hub.emit(said(life))
            await hub.flush()
            await until_idle()
            assert (await kept_position(store) or 0) >= end, "what it found has been handled and kept"
            end = hub.statistics().applied
            store = await copy_of(store)


async def test_unmatched_events_count_as_seen() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        attachment = attach(hub, Recorder(), pattern="never.happens")
        await attachment.ready()
        for n in range(10):
            await hub.emit(said(n))
        await hub.flush()
        assert attachment.statistics().position == hub.statistics().applied
        assert attachment.statistics().handled == 0
    assert await kept_position(store) == hub.statistics().applied


async def test_last_seq_overrides_the_kept_position() -> None:
    class Own(Recorder):
        def last_seq(self) -> int | None:
            return 2

    store, own = MemoryStore(), Own()
    async with Hub(store) as hub:
        attach(hub, Recorder(), pattern="*")
        for n in range(4):
            await hub.emit(said(n))
    async with Hub(store) as hub:
        attach(hub, own, pattern="*")
        await hub.flush()
    seqs = [event.seq for event in own.events]
    assert seqs[0] == 3, "not where the other had come to"
    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize(("since", "expected"), [("start", [0, 1, 2]), ("now", []), (3, [2])])
async def test_since_applies_to_new_names_only(since: Any, expected: list[int]) -> None:
    store, new, known = MemoryStore(), Recorder(), Recorder()
    async with Hub(store) as hub:
        for n in range(3):
            await hub.emit(said(n))
        attachment = attach(hub, new, since=since)
        await attachment.ready()
        assert numbers(new.events) == expected
    async with Hub(store) as hub:
        attach(hub, known, since="start")
        await hub.emit(said(3))
        await hub.flush()
    assert numbers(known.events) == [3]


async def test_a_detached_listener_goes_on() -> None:
    first, second = Recorder(), Recorder()
    async with Hub(MemoryStore()) as hub:
        attachment = attach(hub, first)
        await hub.emit(said(1))
        await hub.flush()
        await attachment.detach()
        await hub.emit(said(2))
        attach(hub, second)
        await hub.flush()
        assert hub.health().healthy
    assert (numbers(first.events), numbers(second.events)) == ([1], [2])


async def test_an_audit_log_may_be_durable() -> None:
    """It holds each event once and in order."""
    store, journaled = MemoryStore(), MemoryStore()
    for start in range(3):
        async with Hub(journaled) as hub:
            hub.attach(AuditLog(store), duty=Duty.DURABLE, since="start")
            await hub.emit(said(start))
    assert (await verify(store)).events > 3


# --- falling behind -------------------------------------------------------------------------------------------------


async def test_a_slow_listener_reads_from_the_journal() -> None:
    """It keeps nothing in the ring, and its lag is not a problem of health."""
    gated = GatedRecorder(is_open=False)
    async with Hub(MemoryStore(), ring=16) as hub:
        attach(hub, gated, mailbox=10)
        for n in range(5000):
            await hub.emit(said(n))
        assert hub.statistics().ring_events < 16 + 1024 + 1024
        assert hub.health().healthy, "to be slow is its right"
        gated.open()
        await hub.flush()
    assert numbers(gated.events) == list(range(5000))


@pytest.mark.slow
async def test_a_slow_listener_costs_no_memory(tmp_path: Path) -> None:
    async def peak_after(hub: Hub, events: int) -> int:
        tracemalloc.start()
        for n in range(events):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.emit(said(n))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    class Counting:
        gate = anyio.Event()
        heard = 0

        async def on_events(self, events: Sequence[Event]) -> None:
            await self.gate.wait()
            self.heard += len(events)

    counting = Counting()
    async with Hub(FileStore(tmp_path), ring=64) as hub:
        await attach(hub, counting).ready()
        first = await peak_after(hub, 3000)
        assert await peak_after(hub, 12_000) < 1.5 * first + 100_000
        tracemalloc.start()
        counting.gate.set()
        await hub.flush()
        reading = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert counting.heard > 15_000
    assert reading < 8_000_000, "the journal is read in pieces of a megabyte"


async def test_durable_never_blocks_emitters() -> None:
    """`Overflow.BLOCK` makes no difference."""
    gated = GatedRecorder(is_open=False)
    async with Hub(MemoryStore()) as hub:
        attach(hub, gated, overflow=Overflow.BLOCK, mailbox=1)
        for n in range(100):
            await hub.emit(said(n))
        gated.open()
        await hub.flush()
    assert numbers(gated.events) == list(range(100))


# --- calls from inside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["detach", "aclose"])
@pytest.mark.parametrize("duty", list(Duty))
async def test_a_listener_may_end_itself(call: str, duty: Duty) -> None:
    """A task that a listener starts may detach it, or close the hub, without waiting for itself."""

    class Leaving(Recorder):
        attachment: Attachment
        hub: Hub
        left = False

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            if "number.said" in {event.kind for event in events}:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.attachment.detach if call == "detach" else self.hub.aclose)
                self.left = True

    leaving = Leaving()
    hub = Hub(MemoryStore())
    with anyio.fail_after(20):
        async with hub:
            leaving.hub = hub
            leaving.attachment = hub.attach(leaving, duty=duty, name="leaving")
            await leaving.attachment.ready()
            await hub.emit(said(1))
            await leaving.attachment.finished()
    assert leaving.left
