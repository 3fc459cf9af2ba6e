"""What hubwire.testing offers besides the contracts: Recorder, gates, and a look at what a hub remembers."""

from __future__ import annotations

import asyncio

import pytest

from hubwire import Duty, Hub
from hubwire.errors import CommandRejected, HistoryGone
from hubwire.events import AgentRegistered
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, GatedRecorder, Recorder, history, peek, pending
from support import said, seqs, until_idle


async def test_of_finds_events_by_name_or_class() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        for name in ("a", "b"):
            await hub.agents.register(name)
        await hub.emit(said())
        await hub.flush()
    assert [event.name for event in recorder.of(AgentRegistered)] == ["a", "b"]
    assert recorder.of("agent.registered") == recorder.of(AgentRegistered)
    assert recorder.of("never.happened") == []


async def test_a_gate_holds_until_it_is_opened() -> None:
    gate = Gate(is_open=False)
    waiting = asyncio.create_task(gate.pass_through())
    await until_idle()
    assert not waiting.done()
    gate.open()
    await waiting
    await gate.pass_through()
    gate.close()
    gate.close()
    assert not gate.is_open


async def test_closing_a_gate_again_keeps_those_that_wait() -> None:
    gate = Gate(is_open=False)
    waiting = asyncio.create_task(gate.pass_through())
    await until_idle()
    gate.close()
    gate.open()
    await waiting


async def test_a_gated_recorder_is_as_slow_as_the_test() -> None:
    slow = GatedRecorder()
    async with Hub() as hub:
        await hub.attach(slow, duty=Duty.REQUIRED, pattern="number.*").ready()
        slow.close()
        emitting = asyncio.create_task(hub.emit(said(1)))
        await until_idle()
        assert [event.kind for event in slow.given] == ["number.said"]
        assert (slow.events, emitting.done()) == ([], False)
        slow.open()
        assert slow.events == [await emitting]


async def test_peek_shows_that_nothing_has_changed() -> None:
    """Two looks are equal after a refused command and after a restart, and differ after a command."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.agents.register("a")
        before = peek(hub)
        with pytest.raises(CommandRejected):
            await hub.agents.register("a")
        assert peek(hub) == before
        await hub.agents.register("b")
        assert peek(hub) != before
        after = peek(hub)
    async with Hub(store) as hub:
        assert peek(hub) == after


async def test_pending_lists_what_is_not_acked() -> None:
    async with Hub() as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        for number in range(3):
            await channel.post(a, number)
        await (await anext(b.inbox())).ack()
        assert [envelope.content for envelope in pending(hub, b)] == [1, 2]
        assert pending(hub, b.id) == pending(hub, b)
        assert pending(hub, a) == pending(hub, "stranger") == []


async def test_history_is_all_that_is_committed() -> None:
    async with Hub(MemoryStore()) as hub:
        emitted = [await hub.emit(said(number)) for number in range(3)]
        assert seqs(await history(hub)) == list(range(hub.statistics().committed))
        assert (await history(hub))[-3:] == emitted


async def test_history_tells_when_it_is_incomplete() -> None:
    async with Hub(ring=1) as hub:
        for number in range(3000):
            await hub.emit(said(number))
        with pytest.raises(HistoryGone):
            await history(hub)
