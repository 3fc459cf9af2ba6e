"""Expectations: what has to happen in a channel in time, and what follows if it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubwire import BaseHubListener
from hubwire.expectations import Expectation
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import peek
from support.expectations import ANSWER, World, notices


def store_of(kind: str, folder: Path) -> KnowledgeStore:
    return MemoryStore() if kind == "memory" else FileStore(folder)


# --- evaluators -------------------------------------------------------------------------------------------------------


async def test_acks_within() -> None:
    """An agent that was invited answers within the time."""
    async with World() as world:
        channel = await world.open({"name": "acks_within"}, invite=True, required_acks=1, invite_timeout_seconds=1000)
        await channel.accept(world.b)
        await world.after(29.999)
        assert world.violators == []
        await world.after(0.001)
        (violated,) = world.violated
        assert (violated.violators, violated.channel_id) == ((world.c.id,), channel.id)
        assert violated.detail == {"elapsed_seconds": 30.0, "threshold_seconds": 30.0}
        assert violated.params == {"seconds": 30}
        await world.after(500)
        assert len(world.violated) == 1


async def test_reply_within() -> None:
    """An envelope is answered in time by a post to its sender."""
    async with World() as world:
        channel = await world.open(ANSWER)
        asked = await channel.post(world.a, "?", to=[world.b])
        await world.after(30)
        await channel.post(world.b, "not to a", to=[world.c])
        await channel.post(world.c, "!", to=[world.b])
        await world.after(29)
        assert world.violators == []
        await world.after(1)
        (violated,) = world.violated
        assert (violated.violators, violated.since_seqs) == ((world.b.id,), (asked.seq,))
        assert violated.detail["elapsed_seconds"] == 60.0


async def test_an_answer_needs_no_answer() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await channel.post(world.b, "!", to=[world.a])
        await world.after(1000)
        assert world.violators == []


async def test_asking_again_does_not_extend_the_deadline() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await world.after(59)
        await channel.post(world.a, "??", to=[world.b])
        await world.after(1)
        assert world.violators == [(world.b.id,)]


async def test_turn_within() -> None:
    """The participant that is expected to post next does so within the time."""
    async with World() as world:
        channel = await world.open({"name": "turn_within"}, type="discussion")
        await world.after(100)
        await channel.post(world.a, "one")
        await world.after(119)
        assert world.violators == []
        await world.after(1)
        assert world.violators == [(world.b.id,)]
        await channel.post(world.b, "two")
        await world.after(120)
        assert world.violators == [(world.b.id,), (world.c.id,)]


async def test_joining_does_not_extend_a_turn() -> None:
    async with World() as world:
        channel = await world.hub.channels.open(
            [world.a, world.b], type="discussion", expectations=[{"name": "turn_within"}]
        )
        await world.after(100)
        await channel.join(world.c)
        await world.after(20)
        assert world.violators == [(world.a.id,)]


async def test_a_broadcaster_has_a_turn_after_each_post() -> None:
    async with World() as world:
        channel = await world.open({"name": "turn_within"}, type="broadcast")
        await world.after(100)
        await channel.post(world.a, "news")
        await world.after(100)
        assert world.violators == []
        await world.after(20)
        assert world.violators == [(world.a.id,)]


async def test_a_conversation_has_no_turns() -> None:
    async with World() as world:
        await world.open({"name": "turn_within"})
        await world.after(10_000)
        assert world.violators == []


async def test_max_silence() -> None:
    async with World() as world:
        channel = await world.open({"name": "max_silence", "params": {"seconds": 10}})
        await world.after(9)
        await channel.post(world.a, "hello")
        await world.after(9)
        assert world.violated == []
        await world.after(1)
        (violated,) = world.violated
        assert (violated.violators, violated.detail["elapsed_seconds"]) == ((), 10.0)
        await channel.post(world.a, "hello")
        await world.after(10)
        assert len(world.violated) == 2
        assert [each.number for each in world.violated] == [1, 2]


# --- whom they apply to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "role"])
async def test_an_expectation_binds_those_it_names(by: str) -> None:
    """`applies_to` names agents by id or by role."""
    async with World() as world:
        applies_to = [world.c.id] if by == "id" else ["reviewer"]
        expectation = {"name": "reply_within", "params": {"seconds": 60}, "applies_to": applies_to}
        channel = await world.open(expectation, roles={world.c.id: "reviewer"})
        await channel.post(world.a, "?")
        await world.after(60)
        assert world.violators == [(world.c.id,)]


async def test_a_silence_is_broken_by_those_it_names() -> None:
    """A post of another participant does not end it."""
    async with World() as world:
        channel = await world.open({"name": "max_silence", "params": {"seconds": 10}, "applies_to": [world.b.id]})
        await world.after(5)
        await channel.post(world.a, "hello")
        await world.after(5)
        assert len(world.violated) == 1
        await channel.post(world.b, "hello")
        await world.after(9)
        assert len(world.violated) == 1
        await world.after(1)
        assert len(world.violated) == 2


# --- once -------------------------------------------------------------------------------------------------------------


class Fired(BaseHubListener):
    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any]] = []

    async def on_expectation_fired(self, channel_id: str, expectation: Any, violation: Any) -> None:
        self.calls.append((channel_id, expectation, violation))


async def test_a_joint_violation_is_one_event() -> None:
    """It names all who violated the expectation at the same moment."""
    fired = Fired()
    async with World() as world:
        world.hub.attach(fired)
        channel = await world.open(Expectation(name="reply_within", on_violation="notify_channel"))
        await channel.post(world.a, "?")
        await world.after(600)
        assert world.violators == [(world.b.id, world.c.id)]
        ((channel_id, expectation, violation),) = fired.calls
        assert channel_id == channel.id
        assert (expectation.name, expectation.on_violation) == ("reply_within", "notify_channel")
        assert violation.violator_ids == (world.b.id, world.c.id)
        assert len(await notices(world.a, 1)) == 1
        assert world.hub.statistics().envelopes_pending == 2 + 3


async def test_separate_violations_are_separate_events() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await world.after(10)
        await channel.post(world.a, "?", to=[world.c])
        await world.after(50)
        assert world.violators == [(world.b.id,)]
        await world.after(10)
        assert world.violators == [(world.b.id,), (world.c.id,)]


@pytest.mark.parametrize("kind", ["memory", "file"])
@pytest.mark.parametrize("snapshot_bytes", [1, 1 << 20], ids=["snapshot", "replay"])
async def test_a_violation_is_reported_once(kind: str, snapshot_bytes: int, tmp_path: Path) -> None:
    """Restarts do not repeat it; when it happens again, it is reported again."""
    async with World(store_of(kind, tmp_path), snapshot_bytes=snapshot_bytes) as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await world.restart()
        await world.after(59)
        assert world.violators == []
        await world.after(1)
        await world.recorder.wait_for("expectation.violated")
        await world.restart()
        await world.after(1000)
        assert world.violators == []
        channel = world.hub.channels.get(channel.id)
        await channel.post(world.b, "!", to=[world.a])
        asked = await channel.post(world.a, "?", to=[world.b])
        await world.restart()
        await world.after(60)
        violated: Any = await world.recorder.wait_for("expectation.violated")
        assert (violated.violators, violated.since_seqs, violated.number) == ((world.b.id,), (asked.seq,), 2)
        await world.restart()
        await world.after(1000)
        assert world.violators == []


async def test_overdue_expectations_fire_at_the_start() -> None:
    """What became overdue while no hub ran is reported by the next start."""
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        world.clock.advance(0)
        await world.hub.aclose()
        world.clock.advance(3600)
        await world.restart()
        await world.settle()
        assert world.violators == [(world.b.id,)]


async def test_expectations_end_with_their_channel() -> None:
    async with World() as world:
        channel = await world.open(ANSWER, {"name": "max_silence", "on_violation": "notify_channel"})
        await channel.post(world.a, "?", to=[world.b])
        await world.after(60)
        assert len(peek(world.hub)["expectations"]) == 1
        await channel.close()
        assert len(peek(world.hub)["expectations"]) == 0
        assert world.hub._parts.state.next_due_ns() is None
        await world.after(10_000)
        assert len(world.violated) == 1


async def test_a_former_participant_owes_nothing() -> None:
    """A participant that has left owes no answer, and none is owed to it."""
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await channel.post(world.b, "?", to=[world.c])
        await channel.leave(world.b)
        await world.after(1000)
        assert world.violators == []
