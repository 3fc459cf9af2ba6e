"""Envelopes: what may be posted, what a repetition does, and what a refusal leaves behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
import pytest

from hubwire import Agent, Channel, Hub, InboxRule, RuleArbiter
from hubwire._state import State
from hubwire.errors import CommandRejected, EventTooLarge, InboxFull, NotFound, PostRejected
from hubwire.events import EnvelopeDispatchFailed, EnvelopePosted, EnvelopeRejected
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, peek, pending
from support import apply_to, until_idle


async def pair(hub: Hub) -> tuple[Channel, Agent, Agent]:
    a, b = await hub.agents.register("a"), await hub.agents.register("b")
    return await hub.channels.open([a, b]), a, b


async def test_an_envelope_names_its_cause() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        first = await channel.post(a, "why?")
        delivery = await anext(b.inbox())
        second = await channel.post(b, "because", caused_by=delivery)
        third = await channel.post(a, "oh", caused_by=second)
        assert (first.causation_id, first.hops) == (None, 0)
        assert (second.causation_id, second.hops) == (first.id, 1)
        assert (third.causation_id, third.hops) == (second.id, 2)


async def test_answers_to_answers_end() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        last = await channel.post(a, "thanks")
        for sender in (b, a, b):
            last = await channel.post(sender, "thank you", caused_by=last, hops_max=3)
        with pytest.raises(PostRejected, match="4 envelopes led to this one") as caught:
            await channel.post(a, "thank you", caused_by=last, hops_max=3)
        assert caught.value.code == "too_deep"


Post = Callable[[Channel, Agent, Agent], Awaitable[object]]

REFUSALS: dict[str, Post] = {
    "not_participant": lambda channel, _, stranger: channel.post(stranger, "x"),
    "unknown_audience": lambda channel, a, stranger: channel.post(a, "x", to=[stranger]),
    "malformed": lambda channel, a, _: channel.post(a, "x", priority="soon"),
    "malformed ": lambda channel, a, _: channel.post(a, "x", ttl_seconds=-1),
    "malformed  ": lambda channel, a, _: channel.post(a, "x", idempotency_key=""),
    "malformed   ": lambda channel, a, _: channel.post(a, "x", idempotency_key="x" * 256),
    "malformed    ": lambda channel, a, _: channel.post(a, "x", idempotency_key=chr(0xD800)),
    "malformed     ": lambda channel, a, _: channel.post(a, "x", idempotency_key=[1]),  # type: ignore[arg-type]
    "malformed      ": lambda channel, a, _: channel.post(a, "x", hops_max=cast(Any, "many")),
    "not_found": lambda channel, _a, _b: channel.post("nobody", "x"),
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refused_post_is_an_event(code: str) -> None:
    """It has a code, and nothing else changes."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        channel, a, _ = await pair(hub)
        stranger = await hub.agents.register("stranger")
        await hub.flush()
        before, heard = peek(hub), len(recorder.events)
        with pytest.raises(CommandRejected) as caught:
            await REFUSALS[code](channel, a, stranger)
        await hub.flush()
        assert peek(hub) == before
        (told,) = cast(list[Any], recorder.events[heard:])
        assert (told.kind, told.code, told.reason) == ("envelope.rejected", code.strip(), str(caught.value))
        assert (told.error, told.content) == (type(caught.value).__name__, "x")


async def test_a_large_envelope_is_rejected_without_content() -> None:
    for arbiter in (None, RuleArbiter()):
        recorder = Recorder()
        async with Hub(listeners=[recorder], event_bytes_max=4096, arbiter=arbiter) as hub:
            channel, a, b = await pair(hub)
            before = peek(hub)
            with pytest.raises(EventTooLarge) as caught:
                await channel.post(a, "x" * 10_000_000, to=[b])
            assert peek(hub) == before
            await hub.flush()
            (told,) = [each for each in recorder.events if isinstance(each, EnvelopeRejected)]
            assert (told.code, told.error, told.reason) == ("too_large", "EventTooLarge", str(caught.value))
            assert (told.content, told.audience, told.channel_id) == (None, (b.id,), channel.id)


async def test_an_unregistered_participant_is_reported() -> None:
    """An agent that has left the hub, but not yet the channel, is reported as a failed dispatch."""
    state = State()
    for agent_id in "ab":
        apply_to(state, *state.agents.register(agent_id, (), agent_id=agent_id))
    apply_to(state, *state.membership.open(["a", "b"], "", channel_id="ab"))
    apply_to(state, *state.endings.unregister("b")[:1])
    posted, failed = state.envelopes.post("ab", "a", "hello", ["b"], envelope_id="e")
    assert isinstance(posted, EnvelopePosted)
    assert posted.recipients == ()
    assert isinstance(failed, EnvelopeDispatchFailed)
    assert (failed.recipient_id, failed.error) == ("b", "NotFound")


async def test_a_post_never_follows_a_close() -> None:
    """A post that races a close is never appended after it."""
    recorder = Recorder()
    async with Hub(listeners=[recorder], in_flight_max=2) as hub:
        channel, a, _ = await pair(hub)
        outcomes: list[object] = []

        async def post(number: int) -> None:
            try:
                outcomes.append(await channel.post(a, number))
            except NotFound as error:
                outcomes.append(error)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(post, number)
                if number == 10:
                    tasks.start_soon(channel.close)
        await hub.flush()
        kinds = [event.kind for event in recorder.events if event.channel_id == channel.id]
        closed = kinds.index("channel.closed")
        assert "envelope.posted" in kinds[:closed]
        assert set(kinds[closed + 1 :]) == {"envelope.rejected"}
        assert sum(isinstance(each, EnvelopePosted) for each in outcomes) == kinds.count("envelope.posted")


async def test_a_repeated_post_returns_the_first() -> None:
    """A post with the key of an earlier one posts nothing, also after a restart."""
    store = MemoryStore()
    async with Hub(store) as hub:
        channel, a, b = await pair(hub)
        first = await channel.post(a, {"n": [1, 2]}, idempotency_key="k")
        assert await channel.post(a, {"n": (1, 2)}, idempotency_key="k") == first
        other = await hub.channels.open([a, b])
        assert (await other.post(a, {"n": [1, 2]}, idempotency_key="k")).envelope_id != first.envelope_id
    async with Hub(store) as hub:
        channel = hub.channels.get(channel.id)
        before = hub.statistics().applied
        assert await channel.post(a.id, {"n": [1, 2]}, idempotency_key="k") == first
        assert hub.statistics().applied == before
        assert hub.statistics().envelopes_pending == 2
        for changed in ({"content": {"n": [1]}}, {"to": [b.id]}, {"sender": b.id}):
            with pytest.raises(PostRejected, match="was used") as caught:
                await channel.post(
                    **{"sender": a.id, "content": {"n": [1, 2]}, "to": None, "idempotency_key": "k", **changed}  # type: ignore[arg-type]
                )
            assert caught.value.code == "key_reused"
        await channel.close()
        assert peek(hub)["envelopes"][0].channel_id != channel.id


async def test_concurrent_repetitions_are_one_post() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        channel, a, _ = await pair(hub)
        posted: list[EnvelopePosted] = []

        async def post() -> None:
            posted.append(await channel.post(a, "hello", idempotency_key="k"))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(post)
        assert len({event.envelope_id for event in posted}) == 1
        assert len(posted) == 50
        assert hub.statistics().envelopes_pending == 1


async def test_all_readers_see_one_order() -> None:
    async with Hub(MemoryStore()) as hub:
        agents = [await hub.agents.register(f"agent {number}") for number in range(4)]
        channel = await hub.channels.open(agents)

        async def talk(agent: Agent) -> None:
            for number in range(20):
                await channel.post(agent, number)

        async with anyio.create_task_group() as tasks:
            for agent in agents:
                tasks.start_soon(talk, agent)
        for reader in agents:
            seqs = [each.seq for each in pending(hub, reader)]
            assert len(seqs) == 60
            assert seqs == sorted(seqs)


async def test_an_expired_envelope_leaves_the_inboxes() -> None:
    """It stays only where it was acked before."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        a, b, c = [await hub.agents.register(name) for name in "abc"]
        channel = await hub.channels.open([a, b, c])
        posted = await channel.post(a, "now or never", ttl_seconds=10)
        await channel.post(a, "whenever")
        await (await anext(b.inbox())).ack()
        late = await anext(c.inbox())
        await until_idle()
        clock.advance(10)
        expired: Any = await recorder.wait_for("envelope.expired")
        assert (expired.agent_id, expired.envelope_id) == (c.id, posted.envelope_id)
        assert recorder.kinds.count("envelope.expired") == 1
        assert (await anext(c.inbox())).content == "whenever"
        assert await late.ack() is False


async def test_a_full_inbox_does_not_stop_a_broadcast() -> None:
    """The others get the envelope, and the full inbox is reported as a failed dispatch."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a = await hub.agents.register("a")
        full = await hub.agents.register("full", rule={"inbox": InboxRule(capacity=1)})
        free = await hub.agents.register("free")
        channel = await hub.channels.open([a, full, free])
        await channel.post(a, "one", to=[full])
        posted = await channel.post(a, "two")
        assert posted.recipients == (free.id,)
        await hub.flush()
        failed: Any = recorder.events[-1]
        assert failed.kind == "envelope.dispatch_failed"
        assert (failed.agent_id, failed.recipient_id, failed.error) == (a.id, full.id, "InboxFull")
        assert failed.envelope_id == posted.envelope_id
        with pytest.raises(InboxFull, match="inbox of 'full' is full") as caught:
            await channel.post(a, "three", to=[full])
        assert (caught.value.code, caught.value.agent_ids) == ("inbox_full", (full.id,))
        await (await anext(full.inbox())).ack()
        assert (await channel.post(a, "three")).recipients == (full.id, free.id)
