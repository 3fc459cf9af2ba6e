"""Section 5 of the design, "Life of an event", as a test: one step after the other."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from hubwire import Duty, Event, Hub, event, scope
from hubwire.errors import CommandRejected, EventTooLarge, NotFound
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder, history
from support import GatedStore, numbers, said, seqs, until_idle


@event("flow.charged")
class Charged(Event):
    amount: object = 0


# --- 1: admission ---------------------------------------------------------------------------------------------------


async def test_admission_waits_at_the_bound() -> None:
    """A command waits to be admitted while `in_flight_max` events are uncommitted."""
    store = GatedStore()
    async with Hub(store, in_flight_max=2) as hub, anyio.create_task_group() as tasks:
        store.gate.close()
        for n in range(3):
            tasks.start_soon(hub.emit, said(n))
        await until_idle()
        assert (hub.statistics().in_flight, hub.statistics().emitters_waiting) == (2, 1)
        store.gate.open()
        await hub.flush()
        await until_idle()
        assert (hub.statistics().in_flight, hub.statistics().emitters_waiting) == (0, 0)


async def test_admission_is_in_order() -> None:
    """Commands that wait are admitted in the order in which they came."""
    store, recorder = GatedStore(), Recorder()
    async with Hub(store, listeners=[recorder], in_flight_max=1) as hub:
        await hub.flush()
        store.gate.close()
        async with anyio.create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(hub.emit, said(n))
                await until_idle()
            store.gate.open()
    assert numbers(recorder.events) == list(range(20))


async def test_a_command_cancelled_before_admission_never_happens() -> None:
    store, recorder = GatedStore(), Recorder()
    async with Hub(store, listeners=[recorder], in_flight_max=1) as hub, anyio.create_task_group() as tasks:
        await hub.flush()
        store.gate.close()
        tasks.start_soon(hub.emit, said(0))
        await until_idle()
        waiting = asyncio.create_task(hub.emit(said(1)))
        tasks.start_soon(hub.emit, said(2))
        await until_idle()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert (hub.statistics().in_flight, hub.statistics().emitters_waiting) == (1, 1)
        store.gate.open()
    assert numbers(recorder.events) == [0, 2]


async def test_a_cancelled_admission_passes_to_the_next() -> None:
    """The place of a command that is cancelled just after it was admitted goes to the next one."""
    store, recorder = GatedStore(), Recorder()
    async with Hub(store, listeners=[recorder], in_flight_max=1) as hub:
        await hub.flush()
        store.gate.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.emit, said(0))
            await until_idle()
            waiting = asyncio.create_task(hub.emit(said(1)))
            await until_idle()
            tasks.start_soon(hub.emit, said(2))
            await until_idle()
            # The commit of the first admits the second, which has not run yet when it is cancelled.
            hub._pipeline.ring.committed.advance(hub._pipeline.ring.applied.value)
            hub._pipeline.admission.let_in()
            waiting.cancel()
            await until_idle()
            assert hub.statistics().applied == hub.statistics().committed + 1
            store.gate.open()
        assert waiting.cancelled()
    assert numbers(recorder.events) == [0, 2]


async def test_a_refused_command_gives_its_place_away() -> None:
    """The place of a command that is refused goes to the next one that waits."""
    store = GatedStore()
    async with Hub(store, in_flight_max=1) as hub:
        await hub.agents.register("taken")
        store.gate.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.emit, said())
            await until_idle()
            refused = [asyncio.create_task(hub.agents.register("taken")) for _ in range(3)]
            await until_idle()
            last = asyncio.create_task(hub.agents.register("free"))
            await until_idle()
            store.gate.open()
            await asyncio.wait([*refused, last])
        assert all(isinstance(task.exception(), CommandRejected) for task in refused)
        assert (await last).name == "free"


async def test_one_command_may_pass_the_bound() -> None:
    """A command of several events is admitted whole, even if that is more than `in_flight_max`."""
    store = GatedStore()
    async with Hub(store, in_flight_max=1) as hub, anyio.create_task_group() as tasks:
        agent = await hub.agents.register("agent")
        store.gate.close()
        tasks.start_soon(hub.channels.open, [agent])  # channel.created and channel.opened, or neither
        await until_idle()
        assert hub.statistics().in_flight == 2
        store.gate.open()


# --- 2: deciding ----------------------------------------------------------------------------------------------------


async def test_a_refused_command_changes_nothing() -> None:
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        agent = await hub.agents.register("agent")
        channel = await hub.channels.open([agent])
        await channel.close()
        before = hub.statistics()
        with pytest.raises(CommandRejected):
            await hub.agents.register("agent")
        with pytest.raises(NotFound):
            await hub.channels.open([agent, "nobody"])
        with pytest.raises(NotFound):
            await channel.close()
        after = hub.statistics()
        assert (after.applied, after.agents, after.channels) == (before.applied, before.agents, before.channels)
    assert recorder.kinds[-1] == "hub.stopped"
    assert recorder.kinds.count("agent.registered") == 1


async def test_a_refused_post_is_a_fact() -> None:
    """A refused post is reported by `envelope.rejected`, and changes nothing else."""
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        inside, outside = await hub.agents.register("inside"), await hub.agents.register("outside")
        channel = await hub.channels.open([inside])
        with pytest.raises(CommandRejected, match="not a participant") as raised:
            await channel.post(outside, {"text": "let me in"}, to=[inside])
        rejected = await recorder.wait_for("envelope.rejected")
        assert (rejected.channel_id, rejected.agent_id) == (channel.id, outside.id)
        assert (rejected.reason, rejected.error) == (str(raised.value), "PostRejected")  # type: ignore[attr-defined]
        assert rejected.content == {"text": "let me in"}  # type: ignore[attr-defined]
        assert hub.statistics().envelopes_pending == 0


async def test_commands_decide_when_admitted() -> None:
    """A command decides on the state at its admission, not on the state when it was called."""
    store = GatedStore()
    async with Hub(store, in_flight_max=1) as hub:
        agent = await hub.agents.register("agent")
        store.gate.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.unregister)
            await until_idle()
            opening = asyncio.create_task(hub.channels.open([agent]))
            await until_idle()
            assert not opening.done()
            store.gate.open()
            await asyncio.wait([opening])
        assert isinstance(opening.exception(), NotFound)


async def test_commands_decide_on_applied_state() -> None:
    """A command sees what is applied, even if it is not committed yet."""
    store = GatedStore()
    async with Hub(store) as hub, anyio.create_task_group() as tasks:
        store.gate.close()
        tasks.start_soon(hub.agents.register, "agent")
        await until_idle()
        assert hub.statistics().in_flight == 1
        with pytest.raises(CommandRejected, match="registered already"):
            await hub.agents.register("agent")
        assert hub.agents.find("agent") is not None
        store.gate.open()


# --- 3: stamping ----------------------------------------------------------------------------------------------------


async def test_the_hub_stamps_a_copy() -> None:
    """The caller's object stays as it was; a second emit of it is a second event."""
    items = ["apple"]
    mine = Charged(amount={"items": items})
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        with scope(correlation_id="order 7", tenant="acme"):
            first = await hub.emit(mine)
        clock.advance(1.5)
        items.append("pear")
        second = await hub.emit(mine)
        assert (mine.seq, mine.id, mine.at, mine.hub, mine.correlation_id) == (-1, "", "", "", None)
        assert mine.amount == {"items": ["apple", "pear"]}
        assert isinstance(first, Charged)
        assert isinstance(second, Charged)
        assert (first.amount, second.amount) == ({"items": ("apple",)}, {"items": ("apple", "pear")})
        assert (second.seq, first.hub, second.hub) == (first.seq + 1, hub.id, hub.id)
        assert first.id < second.id
        assert (first.at, second.at) == ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.500000Z")
        assert (first.correlation_id, first.tenant, second.correlation_id) == ("order 7", "acme", None)


async def test_time_never_goes_backwards() -> None:
    """No event is dated before its predecessor when the clock is set back, also after a restart."""
    clock, store = ManualClock(), MemoryStore()
    async with Hub(store, clock=clock) as hub:
        before = await hub.emit(said())
        clock.step(-3600)
        after = await hub.emit(said())
        assert after.at == before.at
    async with Hub(store, clock=clock) as hub:
        assert (await hub.emit(said())).at == before.at
        clock.step(7200)
        assert (await hub.emit(said())).at > before.at


async def test_a_command_is_stamped_whole_or_not_at_all() -> None:
    """If one event of a command is too large, none of its events happens."""
    async with Hub(MemoryStore(), event_bytes_max=100_000) as hub:
        agent = await hub.agents.register("agent")
        before = hub.statistics()
        with pytest.raises(EventTooLarge):
            await hub.channels.open([agent], topic="x" * 100_000)
        assert (hub.statistics().applied, hub.statistics().channels) == (before.applied, 0)


# --- 4: applying ----------------------------------------------------------------------------------------------------


async def test_all_orders_are_the_same() -> None:
    """`seq` has no gaps, and is the order of the ring, of the journal and of every listener."""
    store, required, other = MemoryStore(), Recorder(), Recorder()
    async with Hub(store, in_flight_max=7) as hub:
        hub.attach(required, duty=Duty.REQUIRED, name="required")
        hub.attach(other, name="other")
        agents = [await hub.agents.register(f"agent {n}") for n in range(3)]
        channel = await hub.channels.open(agents)
        acknowledged: list[int] = []

        async def work(number: int) -> None:
            for turn in range(10):
                for _ in range(number * turn % 5):
                    await asyncio.sleep(0)
                if turn % 3:
                    acknowledged.append((await hub.emit(said(number))).seq)
                else:
                    acknowledged.append((await channel.post(agents[number % 3], turn)).seq)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(work, number)
        events = (await history(hub))[: max(acknowledged) + 1]
    assert len(set(acknowledged)) == 200
    assert [each.seq for each in events] == list(range(max(acknowledged) + 1))
    expected = [each for each in events if each.kind.startswith(("number.", "envelope."))]
    for recorder in (required, other):
        assert [each for each in recorder.events if each in expected] == expected
    async with Hub(store) as hub:  # the journal replays into the very same state
        assert hub.statistics().envelopes_pending == 20 * 4 * 2


async def test_a_command_is_applied_at_once() -> None:
    """Between the call of a command and its application the loop runs nothing else."""
    async with Hub(MemoryStore()) as hub:
        turned: list[str] = []
        asyncio.get_running_loop().call_soon(turned.append, "the loop")
        stamped = hub.emit_nowait(said())
        assert hub.statistics().applied == stamped.seq + 1
        assert turned == []


# --- 5: the journal -------------------------------------------------------------------------------------------------


async def test_the_batch_grows_during_an_append() -> None:
    """What comes while one append is in flight is appended together by the next."""
    store = GatedStore()
    async with Hub(store) as hub:
        store.gate.close()
        store.appends.clear()
        async with anyio.create_task_group() as tasks:
            for n in range(11):
                tasks.start_soon(hub.emit, said(n))
                if n == 0:
                    await until_idle()
            await until_idle()
            assert store.appends == [1]
            store.gate.open()
        assert store.appends == [1, 10]


async def test_a_batch_has_a_line_per_event() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        for n in range(5):
            hub.emit_nowait(said(n))
        await hub.flush()
        lines = (await store.read("/journal/log/00000000000000000000.jsonl") or "").split("\n")
        assert len(lines) == hub.statistics().journaled + 1
        assert all(f'"seq":{seq},' in line for seq, line in enumerate(lines[:-1]))


async def test_acknowledgement_follows_the_journal() -> None:
    """No emit returns before the journal has its event."""
    store = GatedStore()
    async with Hub(store) as hub:
        store.gate.close()
        emitting = asyncio.create_task(hub.emit(said(7)))
        await until_idle()
        assert not emitting.done()
        assert b'"n":7' not in (await store.read_bytes("/journal/log/00000000000000000000.jsonl") or b"")
        store.gate.open()
        await emitting
        assert b'"n":7' in (await store.read_bytes("/journal/log/00000000000000000000.jsonl") or b"")


async def test_without_a_journal_applied_is_journaled() -> None:
    async with Hub() as hub:
        hub.emit_nowait(said())
        assert hub.statistics().journaled == hub.statistics().applied


# --- 6: required listeners ------------------------------------------------------------------------------------------


async def test_required_listeners_see_journaled_events_only() -> None:
    store = GatedStore()
    required = GatedRecorder()
    async with Hub(store) as hub:
        await hub.attach(required, duty=Duty.REQUIRED, since="start").ready()
        store.gate.close()
        emitting = asyncio.create_task(hub.emit(said()))
        await until_idle()
        assert max(seqs(required.given)) == hub.statistics().journaled - 1 == hub.statistics().applied - 2
        store.gate.open()
        assert (await emitting) in required.given


async def test_required_listeners_overlap_with_the_journal() -> None:
    """The journal goes on while a REQUIRED listener works on what was journaled before."""
    store, required = GatedStore(), GatedRecorder()
    async with Hub(store) as hub, anyio.create_task_group() as tasks:
        await hub.attach(required, duty=Duty.REQUIRED).ready()
        await hub.flush()
        required.close()
        first = hub.emit_nowait(said(1))
        await until_idle()
        assert required.given[-1] == first
        tasks.start_soon(hub.emit, said(2))
        await until_idle()  # the journal goes on while the listener is at work
        statistics = hub.statistics()
        assert (statistics.journaled, statistics.committed) == (first.seq + 2, first.seq)
        assert required.given[-1] == first
        required.open()


async def test_the_commit_waits_for_the_slowest_listener() -> None:
    """REQUIRED listeners work side by side, and the commit waits for the last of them."""
    quick, slow = GatedRecorder(), GatedRecorder()
    async with Hub(MemoryStore()) as hub:
        for name, listener in (("slow", slow), ("quick", quick)):
            await hub.attach(listener, duty=Duty.REQUIRED, name=name).ready()
        await hub.flush()
        slow.close()
        emitting = asyncio.create_task(hub.emit(said()))
        await until_idle()
        assert quick.kinds[-1] == "number.said"
        assert slow.given[-1] == quick.events[-1]
        assert not emitting.done()
        assert hub.statistics().committed == quick.events[-1].seq
        slow.open()
        await emitting


# --- 7: everybody else ----------------------------------------------------------------------------------------------


async def test_the_rest_sees_committed_events_only() -> None:
    """Best-effort listeners, inboxes and streams see no event before it is committed."""
    required, other = GatedRecorder(), Recorder()
    async with Hub(MemoryStore(), listeners=[other]) as hub:
        await hub.attach(required, duty=Duty.REQUIRED).ready()
        sender, reader = await hub.agents.register("sender"), await hub.agents.register("reader")
        channel = await hub.channels.open([sender, reader])
        await hub.flush()
        inbox, stream = reader.inbox(), hub.events()
        required.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.post, sender, "hello")
            delivery = asyncio.create_task(inbox.__anext__())
            live = asyncio.create_task(stream.__anext__())
            await until_idle()
            assert hub.statistics().envelopes_pending == 1, "commands decide on what is applied"
            assert not delivery.done()
            assert not live.done()
            assert "envelope.posted" not in other.kinds
            required.open()
            assert (await delivery).content == "hello"
            assert (await live).kind == "envelope.posted"
            await other.wait_for("envelope.posted")


# --- 8: acknowledgement ---------------------------------------------------------------------------------------------


async def test_emit_returns_the_stamped_event() -> None:
    async with Hub(MemoryStore()) as hub:
        mine = Charged(amount=3)
        stamped = await hub.emit(mine)
        assert isinstance(stamped, Charged)
        assert stamped is not mine
        assert (stamped.amount, stamped.hub) == (3, hub.id)
        assert hub.statistics().committed == stamped.seq + 1


async def test_a_cancelled_emit_commits_all_the_same() -> None:
    """An event that is applied is committed even if its emitter is cancelled meanwhile."""
    store, recorder = GatedStore(), Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        await hub.flush()
        store.gate.close()
        emitting = asyncio.create_task(hub.emit(said(1)))
        await until_idle()
        emitting.cancel()
        await asyncio.wait([emitting])
        assert emitting.cancelled()
        store.gate.open()
        assert (await hub.emit(said(2))).seq
    assert numbers(recorder.events) == [1, 2]


async def test_the_next_start_commits_what_was_journaled() -> None:
    """After a crash, what is in the journal is committed, whether it was acknowledged or not."""
    store, required = GatedStore(), GatedRecorder()
    async with Hub(store) as hub:
        await hub.attach(required, duty=Duty.REQUIRED).ready()
        required.close()
        emitting = asyncio.create_task(hub.emit(said(1)))
        await until_idle()
        assert not emitting.done()
        left_behind = store.crashed()
        required.open()
        await emitting
    recorder = Recorder()
    async with Hub(left_behind) as hub:
        hub.attach(recorder, since="start")
        await hub.emit(said(2))
    assert numbers(recorder.events) == [1, 2]
