"""What follows the violation of an expectation."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Channel
from hubwire.errors import CommandRejected, PostRejected
from hubwire.testing import peek
from support.expectations import World, notices

# --- what follows -----------------------------------------------------------------------------------------------------


async def late_reply(world: World, on_violation: str, **settings: Any) -> Channel:
    """Let b and c be late with their answers to a."""
    channel = await world.open({"name": "reply_within", "on_violation": on_violation}, **settings)
    await channel.post(world.a, "?")
    await world.after(600)
    assert world.violators == [(world.b.id, world.c.id)]
    return channel


async def test_on_violation_audit() -> None:
    """The event is all that happens."""
    async with World() as world:
        await late_reply(world, "audit")
        assert world.recorder.kinds[-1] == "expectation.violated"
        assert world.hub.statistics().envelopes_pending == 2


async def test_on_violation_warn() -> None:
    """Those that violated the expectation get a notice."""
    async with World() as world:
        channel = await late_reply(world, "warn")
        posted = world.recorder.events[-1]
        assert posted.agent_id is None
        for agent in (world.b, world.c):
            (notice,) = await notices(agent, 2)
            assert notice.recipients == (world.b.id, world.c.id)
            assert notice.channel_id == channel.id
            assert notice.content["expectation"] == "reply_within"
            assert notice.content["violators"] == (world.b.id, world.c.id)
            assert notice.content["detail"]["threshold_seconds"] == 600.0


async def test_on_violation_notify_channel() -> None:
    """All participants get a notice."""
    async with World() as world:
        await late_reply(world, "notify_channel")
        posted: Any = world.recorder.events[-1]
        assert posted.is_notice
        assert posted.recipients == (world.a.id, world.b.id, world.c.id)


async def test_on_violation_remove() -> None:
    async with World() as world:
        channel = await late_reply(world, "remove")
        assert channel.participants == (world.a.id,)
        removed: Any = world.recorder.events[-1]
        assert (removed.kind, removed.reason) == (
            "channel.participant_removed",
            "expectation reply_within was violated",
        )


async def test_on_violation_auto_close() -> None:
    """The channel is closed with a reason that names the expectation."""
    async with World() as world:
        channel = await late_reply(world, "auto_close")
        closed: Any = world.recorder.events[-1]
        assert (closed.kind, closed.channel_id) == ("channel.closed", channel.id)
        assert closed.reason == "expectation reply_within was violated"
        assert not channel.is_open


async def test_on_violation_hide() -> None:
    """A hidden participant loses its turn and cannot post until it is shown."""
    async with World() as world:
        channel = await world.open(
            {"name": "turn_within", "on_violation": "warn"},
            {"name": "turn_within", "params": {"seconds": 600}, "on_violation": "hide"},
            type="discussion",
        )
        await channel.post(world.a, "one")
        await world.after(120)
        assert len(await notices(world.b, 2)) == 1
        await world.after(480)
        assert channel.hidden == (world.b.id,)
        assert channel.participants == (world.a.id, world.b.id, world.c.id)
        assert channel.expected == (world.a.id,), "who was next has left: the round begins anew"
        with pytest.raises(PostRejected, match="hidden") as refused:
            await channel.post(world.b, "two")
        assert refused.value.code == "hidden"
        posted = await channel.post(world.a, "two")
        assert posted.recipients == (world.b.id, world.c.id)
        assert channel.expected == (world.c.id,)
        await world.restart()
        channel = world.hub.channels.get(channel.id)
        assert channel.hidden == (world.b.id,)
        await channel.show(world.b)
        await channel.post(world.c, "three")
        await channel.post(world.a, "four")
        assert channel.expected == (world.b.id,)
        await channel.post(world.b, "five")


async def test_a_channel_of_hidden_participants_is_closed() -> None:
    async with World() as world:
        channel = await world.open()
        for agent in (world.a, world.b, world.c):
            await channel.hide(agent, "a rest")
        await world.settle()
        closed: Any = world.recorder.events[-1]
        assert (closed.kind, closed.reason) == ("channel.closed", "all participants are hidden")


async def test_hiding_and_showing_may_be_refused() -> None:
    """Hiding a hidden participant or a stranger, and showing a visible one, are refused."""
    async with World() as world:
        channel = await world.hub.channels.open([world.a, world.b])
        await channel.hide(world.b)
        before = peek(world.hub)
        for command in (channel.hide(world.b), channel.hide(world.c), channel.show(world.a)):
            with pytest.raises(CommandRejected):
                await command
        assert peek(world.hub) == before


async def test_an_invited_agent_can_be_warned_or_removed() -> None:
    async with World() as world:
        channel = await world.open(
            {"name": "acks_within", "params": {"seconds": 5}, "on_violation": "warn"},
            {"name": "acks_within", "params": {"seconds": 8}, "on_violation": "remove"},
            invite=True,
            required_acks=1,
        )
        await channel.accept(world.c)
        await world.after(5)
        assert len(await notices(world.b, 1)) == 1
        await world.after(3)
        declined: Any = world.recorder.events[-1]
        assert (declined.kind, declined.agent_id) == ("channel.declined", world.b.id)
        assert channel.is_open


async def test_consequences_end_with_the_channel() -> None:
    """If the first consequence closes the channel, the second is dropped."""
    async with World() as world:
        await world.open(
            {"name": "max_silence", "params": {"seconds": 5}, "on_violation": "auto_close"},
            {"name": "max_silence", "params": {"seconds": 5}, "on_violation": "notify_channel"},
        )
        await world.after(5)
        assert world.recorder.kinds[-1] == "channel.closed"
        assert world.hub._parts.state.next_due_ns() is None


# --- notices are no content -------------------------------------------------------------------------------------------


async def test_a_notice_is_not_content() -> None:
    """It ends no silence, answers no envelope, needs no answer and takes no turn."""
    async with World() as world:
        channel = await world.open(
            {"name": "max_silence", "params": {"seconds": 10}, "on_violation": "notify_channel"},
            {"name": "reply_within", "params": {"seconds": 15}},
            {"name": "turn_within", "params": {"seconds": 20}},
            type="discussion",
        )
        await channel.post(world.a, "?", to=[world.b])
        (before,) = peek(world.hub)["channels"]
        await world.after(10)
        assert len(await notices(world.c, 1)) == 1
        await world.after(5)
        await world.after(5)
        await world.after(1000)
        assert [(each.expectation, each.violators) for each in world.violated] == [
            ("max_silence", ()),
            ("reply_within", (world.b.id,)),
            ("turn_within", (world.b.id,)),
        ]
        (after,) = peek(world.hub)["channels"]
        assert after.channel_state == before.channel_state


@pytest.mark.parametrize("overflow", ["reject", "drop_newest", "drop_oldest"])
async def test_a_notice_to_a_full_inbox_is_reported(overflow: str) -> None:
    async with World() as world:
        await world.b.set_rule({"inbox": {"capacity": 1, "overflow": overflow}})
        channel = await world.open({"name": "reply_within", "on_violation": "warn"})
        await channel.post(world.a, "?", to=[world.b])
        await world.after(600)
        assert world.violators == [(world.b.id,)]
        notice: Any = next(each for each in world.recorder.events if getattr(each, "is_notice", False))
        about = [each for each in world.recorder.events if getattr(each, "envelope_id", "") == notice.envelope_id]
        last: Any = about[-1]
        if overflow == "drop_oldest":
            assert notice.recipients == (world.b.id,)
        elif overflow == "reject":
            assert (last.kind, last.recipient_id) == ("envelope.dispatch_failed", world.b.id)
        else:
            assert (last.kind, last.agent_id) == ("envelope.dropped", world.b.id)
