"""Who owes what in a channel, who meets whom there, and how a channel ends when its time or a crash comes."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import BaseActor, Hub, Turn
from hubwire.arbiter import Rule, RuleArbiter
from hubwire.channel_types import Conversation
from hubwire.errors import AccessDenied
from hubwire.events import ChannelClosed
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance, copy_of
from support.expectations import World


class Echo(BaseActor):
    async def on_envelope(self, turn: Turn) -> None:
        if not turn.envelope.is_notice:
            await turn.reply("ok")


async def cut_after(store: MemoryStore, marker: bytes) -> MemoryStore:
    """Return a copy of the store whose journal ends after the last record with this in it: a crash in a command."""
    disk = await copy_of(store)
    (segment,) = await disk.list("/journal/log")
    lines = (await disk.read_bytes(f"/journal/log/{segment}") or b"").split(b"\n")
    last = max(number for number, line in enumerate(lines) if marker in line)
    await disk.write(f"/journal/log/{segment}", b"\n".join(lines[: last + 1]) + b"\n")
    return disk


async def test_hidden_members_of_a_workflow_are_shown() -> None:
    """Each in its turn, although the graph names both: none waits for the other."""
    async with Hub() as hub:
        a, b, c = [await hub.agents.register(name) for name in "abc"]
        graph = {"start": a.id, "transitions": [{"from": a.id, "to": b.id}, {"from": b.id, "to": c.id}]}
        channel = await hub.channels.open([a, b, c], type="workflow", knobs={**graph, "otherwise": a.id})
        await channel.hide(b)
        await channel.hide(c)
        await channel.show(b)
        await channel.show(c)
        assert channel.hidden == ()
        await channel.post(a, "go on")
        assert channel.expected == (b.id,)


async def test_who_answers_a_hidden_participant_owes_it_no_more() -> None:
    """The answer reached its inbox; nobody is told that it is missing."""
    async with World() as world:
        channel = await world.open({"name": "reply_within", "params": {"seconds": 10}})
        await channel.post(world.b, "a question", to=[world.a])
        await channel.hide(world.b)
        await channel.post(world.a, "the answer", to=[world.b])
        await world.after(30)
        assert world.violators == []


async def test_a_hidden_participant_owes_no_answer() -> None:
    """What it owed is forgiven, and what comes while it is hidden is not owed; shown again, it owes anew."""
    async with World() as world:
        channel = await world.open({"name": "reply_within", "params": {"seconds": 10}})
        await channel.post(world.a, "before")
        await channel.hide(world.b)
        await channel.hide(world.c)
        await channel.post(world.a, "meanwhile")
        await world.after(30)
        assert world.violators == []
        await channel.show(world.b)
        await world.after(30)
        assert world.violators == []
        await channel.post(world.a, "again")
        await world.after(10)
        assert world.violators == [(world.b.id,)]


async def test_the_answer_to_an_ask_is_a_reply() -> None:
    """It goes to the task that asks, not into the asker's inbox, and counts all the same."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        echo, boss = await hub.spawn(Echo()), await hub.agents.register("boss")
        expected = Expectation(name="reply_within", params={"seconds": 10}, on_violation="auto_close")
        channel = await hub.channels.open([boss, echo.agent], expectations=[expected])
        answer = await hub.ask(boss, echo.agent, "?", channel=channel)
        assert (answer.recipients, answer.answers) == ((), boss.id)
        await advance(clock, 60)
        assert channel.is_open
        assert "expectation.violated" not in recorder.kinds


async def test_silence_binds_only_those_it_is_for() -> None:
    """When they are hidden or gone, the silence of the others breaks nothing."""
    async with World() as world:
        expected = {"name": "max_silence", "params": {"seconds": 10}, "applies_to": (world.b.id,)}
        channel = await world.open(expected)
        await channel.hide(world.b)
        await world.after(60)
        assert "expectation.violated" not in world.recorder.kinds
        await channel.show(world.b)
        await channel.leave(world.b)
        await world.after(60)
        assert "expectation.violated" not in world.recorder.kinds


async def test_an_auction_ends_with_a_result_at_its_deadline() -> None:
    """The highest bidder of that moment has won, as the event says for people and for programs."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        a, b, c = [await hub.agents.register(name) for name in "abc"]
        channel = await hub.channels.open([a, b, c], type="auction", ttl_seconds=10)
        await channel.post(a, "call")
        await channel.post(b, {"bid": 5})
        await channel.post(c, {"bid": 7})
        await advance(clock, 12)
        ended: Any = recorder.events[-1]
        assert (ended.kind, ended.reason) == ("channel.expired", f"awarded to {c.id} for 7")
        assert ended.result == {"winner": c.id, "bid": 7}


async def test_an_auction_without_bids_ends_without_a_winner() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        a, b = [await hub.agents.register(name) for name in "ab"]
        await hub.channels.open([a, b], type="auction", ttl_seconds=10)
        await advance(clock, 12)
        ended: Any = recorder.events[-1]
        assert (ended.reason, ended.result) == ("there was no bid", {"winner": None, "bid": None})


class Odd(Conversation):
    """A type of channel whose answers about its end are not texts."""

    name = "odd"

    def at_deadline(self, manifest: Any, state: Any) -> Any:
        return 7

    def result(self, manifest: Any, state: Any) -> Any:
        raise KeyboardInterrupt


async def test_a_type_that_fails_at_the_deadline_cannot_stop_it() -> None:
    """The channel expires, and says that its type has failed."""
    clock, recorder = ManualClock(), Recorder()
    hub = Hub(clock=clock, listeners=[recorder])
    hub.channels.register_type(Odd())
    async with hub:
        a = await hub.agents.register("a")
        channel = await hub.channels.open([a], type="odd", ttl_seconds=10)
        await advance(clock, 12)
        assert not channel.is_open
        ended: Any = recorder.events[-1]
        assert ended.kind == "channel.expired"
        assert "its time was up" in ended.reason
        assert "at_deadline" in ended.reason


@pytest.mark.parametrize("accepts_first", [True, False])
async def test_two_that_do_not_take_each_other_never_meet(accepts_first: bool) -> None:
    """Whichever of two agents comes second is refused, also while one has not answered its invitation."""
    rules = {"b": Rule(inbound_from=("a", "c"))}
    async with Hub(arbiter=RuleArbiter(rules)) as hub:
        a, b, c, mallory = [await hub.agents.register(name) for name in ("a", "b", "c", "mallory")]
        channel = await hub.channels.open([a, b, c], invite=True, required_acks=1)
        await channel.accept(c)
        if accepts_first:
            await channel.accept(b)
        with pytest.raises(AccessDenied, match="takes no envelopes"):
            await channel.join(mallory)
        if not accepts_first:
            await channel.accept(b)
        assert set(channel.participants) == {a.id, b.id, c.id}


async def test_a_pending_channel_without_its_creator_is_closed() -> None:
    """Also when a crash came between the creator's leaving and the end of the channel."""
    store = MemoryStore()
    async with Hub(store) as hub:
        a, b, c = [await hub.agents.register(name) for name in "abc"]
        channel = await hub.channels.open([a, b, c], invite=True, invite_timeout_seconds=3600)
        await channel.accept(b)
        await channel.leave(a)
        disk = await cut_after(store, b'"channel.participant_removed"')
    recorder = Recorder()
    async with Hub(disk) as hub:
        assert hub.channels.list() == []
        await hub.attach(recorder, since="start").ready()
        await hub.flush()
        reasons = [event.reason for event in recorder.events if isinstance(event, ChannelClosed)]
        assert reasons == ["its creator left before it was opened"]


@pytest.mark.parametrize("kind", ["broadcast", "conversation"])
async def test_what_a_departure_ends_is_ended_after_a_crash(kind: str) -> None:
    """A broadcast without its creator, and any channel whose participants are all hidden, of a torn command."""
    store = MemoryStore()
    async with Hub(store) as hub:
        a, b = [await hub.agents.register(name) for name in "ab"]
        channel = await hub.channels.open([a, b], type=kind)
        if kind == "broadcast":
            await channel.leave(a)
        else:
            await channel.hide(a)
            await channel.hide(b)
        assert not channel.is_open
        marker = b'"channel.participant_removed"' if kind == "broadcast" else b'"channel.participant_hidden"'
        disk = await cut_after(store, marker)
    async with Hub(disk) as hub:
        assert hub.channels.list() == []
