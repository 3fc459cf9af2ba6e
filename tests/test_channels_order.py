"""What has become due happens in the order of its deadlines, whether the hub ran all the time or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from hubwire.expectations import MaxSilence, Moment, Owed, Situation
from support.expectations import World

KINDS = ("expectation.violated", "channel.expired", "task.expired")


async def happened(*, restarts: bool, steps: Iterable[float], snapshot_bytes: int = 1 << 24) -> list[tuple[str, Any]]:
    """Return what became due, in its order: in small steps of time, or all at once, after a restart or not."""
    world = World(snapshot_bytes=snapshot_bytes)
    async with world:
        silence = {"name": "max_silence", "on_violation": "notify_channel"}
        for topic, seconds in (("last", 9), ("first", 2), ("middle", 5)):
            await world.open({**silence, "params": {"seconds": seconds}}, topic=topic)
        await world.open(ttl_seconds=4, topic="expires")
        await world.hub.tasks.start(world.a, "a task", ttl_seconds=3)
        topics = {channel.id: channel.topic for channel in world.hub.channels.list()}
        seen: list[Any] = []
        if restarts:
            await world.settle()
            await world.hub.aclose()
            world.clock.advance(sum(steps))
            await world.restart()
            await world.settle()
        for step in () if restarts else steps:
            await world.after(step)
        seen += world.recorder.events
        posts = [event for event in seen if event.kind in (*KINDS, "envelope.posted")]
        return [(event.kind, topics.get(event.channel_id or "", "")) for event in posts]


async def test_the_order_is_that_of_the_deadlines() -> None:
    """Across kinds of deadlines and channels: step by step, and all at once."""
    step_by_step = await happened(restarts=False, steps=[1] * 12)
    due = [each for each in step_by_step if each[0] in KINDS]
    assert due == [
        ("expectation.violated", "first"),
        ("task.expired", ""),
        ("channel.expired", "expires"),
        ("expectation.violated", "middle"),
        ("expectation.violated", "last"),
    ]
    at_once = await happened(restarts=False, steps=[12])
    assert [each for each in at_once if each[0] in KINDS] == due


@pytest.mark.parametrize("snapshot_bytes", [1, 1 << 24], ids=["snapshot", "replay"])
async def test_the_order_does_not_depend_on_restarts(snapshot_bytes: int) -> None:
    """After a pause the hub does what it would have done all at once."""
    at_once = await happened(restarts=False, steps=[12])
    restarted = await happened(restarts=True, steps=[12], snapshot_bytes=snapshot_bytes)
    assert [each for each in restarted if each[0] in KINDS] == [each for each in at_once if each[0] in KINDS]


class Fickle(MaxSilence):
    """Says each time that the obligation began at another moment."""

    name = "fickle"

    def __init__(self) -> None:
        self.asked = 0

    def owed(self, situation: Situation) -> Iterable[Owed]:
        self.asked += 1
        return [Owed(None, Moment(situation.created.seq, situation.created.ns - self.asked))]


async def test_a_fickle_evaluator_does_not_hold_the_hub_up() -> None:
    """It is no function of what it sees: it is believed after a few attempts."""
    world = World()
    world.hub.channels.register_evaluator(Fickle())
    async with world:
        await world.open({"name": "fickle", "params": {"seconds": 10}})
        await world.after(20)
        assert [event.expectation for event in world.violated] == ["fickle"]
