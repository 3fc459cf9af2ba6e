"""Idempotency keys cost a digest and a `seq` each, for a bounded number of posts and time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, strategies as st

from hubwire import Agent, Channel, Hub
from hubwire._commands import new_id
from hubwire._state import keys as keys_module
from hubwire._state.envelopes import KeyedEnvelope
from hubwire._state.keys import KEY_SECONDS_MAX, KeyedPost, Keys, _packed, _unpacked
from hubwire.errors import PostRejected
from hubwire.events import EnvelopePosted
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, peek
from support import until_tidy


async def pair(hub: Hub) -> tuple[Channel, Agent, Agent]:
    a = await hub.agents.register("a")
    b = await hub.agents.register("b", rule={"inbox": {"capacity": 1, "overflow": "drop_oldest"}})
    return await hub.channels.open([a, b]), a, b


async def filled(hub: Hub, channel: Channel, sender: Agent) -> None:
    """Post until the journal is truncated."""
    first_seq = hub.statistics().journal.first_seq  # type: ignore[union-attr]
    for _ in range(200):
        for _ in range(20):
            await channel.post(sender, "x" * 1000)
        if (await until_tidy(hub)).first_seq > first_seq + 40:
            return
    pytest.fail("the journal was not truncated")


async def test_a_key_outlives_the_event_it_was_for() -> None:
    """After truncation and a restart, the repetition posts nothing and returns the first envelope."""
    store = MemoryStore()
    settings: dict[str, Any] = {"snapshot_bytes": 20_000, "journal_bytes_max": 80_000, "ring": 1}
    async with Hub(store, **settings) as hub:
        channel, a, b = await pair(hub)
        first = await channel.post(a, {"n": [1, 2]}, to=[b], idempotency_key="k")
        assert await channel.post(a, {"n": [1, 2]}, to=[b], idempotency_key="k") == first
        await filled(hub, channel, a)
    async with Hub(store, **settings) as hub:
        channel, before = hub.channels.get(channel.id), hub.statistics().applied
        again = await channel.post(a.id, {"n": (1, 2)}, to=[b.id], idempotency_key="k")
        assert hub.statistics().applied == before
        for field in ("seq", "hub", "channel_id", "agent_id", "envelope_id", "content", "audience", "idempotency_key"):
            assert getattr(again, field) == getattr(first, field)
        with pytest.raises(PostRejected, match="was used") as caught:
            await channel.post(a.id, {"n": [2]}, to=[b.id], idempotency_key="k")
        assert caught.value.code == "key_reused"
        answer = await channel.post(b.id, "so?", caused_by=again)
        assert answer.causation_id is None


async def test_a_key_outlives_the_ring() -> None:
    """Without a journal the event itself is gone, and the envelope is known."""
    async with Hub(ring=1) as hub:
        channel, a, _ = await pair(hub)
        first = await channel.post(a, "once", idempotency_key="k")
        for number in range(5000):
            await channel.post(a, number)
        again = await channel.post(a, "once", idempotency_key="k")
        assert (again.seq, again.envelope_id, again.content) == (first.seq, first.envelope_id, "once")


async def test_the_oldest_keys_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many; with a forgotten key, a second envelope is posted."""
    monkeypatch.setattr(keys_module, "KEYS_MAX", 3)
    async with Hub() as hub:
        channel, a, _ = await pair(hub)
        posted = [await channel.post(a, number, idempotency_key=str(number)) for number in range(5)]
        for number in (4, 3, 2):
            assert await channel.post(a, number, idempotency_key=str(number)) == posted[number]
        assert await channel.post(a, 0, idempotency_key="0") != posted[0]


async def test_a_key_is_forgotten_after_a_day() -> None:
    """By the hub's clock, when another is posted."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        channel, a, _ = await pair(hub)
        first = await channel.post(a, "x", idempotency_key="k")
        clock.advance(KEY_SECONDS_MAX - 1)
        await channel.post(a, "x", idempotency_key="k2")
        assert await channel.post(a, "x", idempotency_key="k") == first
        clock.advance(3)
        await channel.post(a, "x", idempotency_key="k3")
        assert await channel.post(a, "x", idempotency_key="k") != first


def posted(channel_id: str, seq: int, key: str) -> EnvelopePosted:
    return EnvelopePosted(
        seq=seq,
        at="2030-01-01T00:00:00.000000Z",
        channel_id=channel_id,
        agent_id="a",
        envelope_id=new_id(),
        content="x",
        recipients=(),
        idempotency_key=key,
    )


def test_ended_channels_leave_nothing_behind() -> None:
    """Ten thousand channels with one keyed post each, as questions have: all that is left is bounded."""
    keys = Keys()
    keys.add(posted("lives", 0, "k"))
    for number in range(10_000):
        keys.add(posted(f"c{number}", number, "k"))
        keys.end(f"c{number}")
    assert len(keys) == 1
    assert len(keys._order) < 100
    assert keys.find("lives", "k") is not None


def test_a_key_costs_45_characters() -> None:
    """So that 20,000 of them are less than a megabyte of a snapshot."""
    keys = Keys()
    for number in range(1000):
        keys.add(posted("c", 3 * number, str(number)))
    assert len(keys.entries()[0].packed) < 45 * 1000
    restored = Keys()
    restored.restore(keys.entries())
    assert restored == keys


async def test_keys_of_older_snapshots_are_read() -> None:
    """They were kept as whole envelopes."""
    async with Hub() as hub:
        channel, a, _ = await pair(hub)
        event = await channel.post(a, {"n": 1}, idempotency_key="k")
        entries = peek(hub)["envelopes"]
        state = type(hub._parts.state)()
        state.envelopes.restore([KeyedEnvelope(channel.id, event)])
        assert state.envelopes.snapshot() == entries
        assert state.envelopes.entry_types[-1] is KeyedEnvelope


POSTS = st.builds(
    KeyedPost,
    seq=st.integers(0, 2**53),
    seconds=st.integers(-(2**40), 2**40),
    envelope_id=st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.builds(new_id)),
    check=st.binary(min_size=4, max_size=4),
)


@given(st.dictionaries(st.binary(min_size=16, max_size=16), POSTS, max_size=20))
def test_packed_keys_are_read_back(posts: dict[bytes, KeyedPost]) -> None:
    """Whatever their order, times and ids are."""
    found = OrderedDict(posts)
    assert _unpacked(_packed(found.items())) == found


def test_packed_keys_that_were_cut_are_refused() -> None:
    """They are not taken for fewer keys."""
    keys = Keys()
    for number in range(3):
        keys.add(posted("c", number, str(number)))
    packed = keys.entries()[0].packed
    with pytest.raises(ValueError, match="within a key"):
        _unpacked(packed[:-5])
