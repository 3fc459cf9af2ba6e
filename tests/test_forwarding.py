"""Commands of a hub that follows: carried out by the hub that leads, once each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import anyio
import msgspec
import pytest

from hubwire import Agent, Channel, Event, GenericEvent, Hub
from hubwire.context import scope
from hubwire.errors import (
    AccessDenied,
    CommandRejected,
)
from hubwire.stores import MemoryStore
from hubwire.testing import LocalLink, MemoryHistory, MemorySharedJournal, history
from support import files_of, store_of, until, until_idle
from support.followers import Replica
from support.forwarding import LossyLink, all_of, kinds, team_of, two_hubs


async def test_a_command_is_carried_out_by_the_hub_that_leads() -> None:
    async with two_hubs() as (leader, follower):
        ann = await follower.agents.register("ann", skill="é")
        bob = await follower.agents.register("bob")
        assert isinstance(ann, Agent)
        assert leader.agents.named("ann") == ann == follower.agents.named("ann")
        assert ann.skill == "é"
        channel = await follower.channels.open([ann, "bob"], topic="t")
        assert isinstance(channel, Channel)
        posted = await channel.post(ann, {"text": "hello", "n": [1, 2.5, None]})
        assert posted == leader._parts.pipeline.ring.slice(posted.seq, posted.seq + 1)[0]
        assert [each.content for each in await channel.history()] == [posted.content]
        await bob.set_skill("x")
        assert bob.skill == leader.agents.named("bob").skill == "x"


async def test_an_error_is_raised_as_there() -> None:
    async with two_hubs() as (leader, follower):
        await leader.agents.register("ann")
        with pytest.raises(CommandRejected) as here:
            await leader.agents.register("ann")
        with pytest.raises(CommandRejected) as there:
            await follower.agents.register("ann")
        assert str(there.value) == str(here.value)
        assert type(there.value) is type(here.value)


async def test_an_agent_and_a_tenant_act_as_they_do_there() -> None:
    async with two_hubs() as (leader, follower):
        team = await team_of(follower)
        view = follower.acting_as(team.ann)
        made = await view.agents.register("made")
        assert leader._parts.state.agents.get(made.id).registered_by == team.ann.id
        with pytest.raises(AccessDenied, match="as agent 'ann' has it"):
            await view.channels.open([team.bob, team.ann])
        of_tenant = await follower.for_tenant("acme").agents.register("ann")
        assert leader._parts.state.agents.get(of_tenant.id).tenant == "acme"
        assert leader.for_tenant("acme").agents.named("ann") == of_tenant


async def test_the_context_goes_with_the_command() -> None:
    async with two_hubs() as (leader, follower):
        with scope(correlation_id="c1", session="s1", turn="t1"):
            posted = await follower.emit(GenericEvent(kind="my.event", data={}))
            agent = await follower.agents.register("ann")
        assert (posted.correlation_id, posted.session_id, posted.turn_id) == ("c1", "s1", "t1")
        event = next(each for each in await history(leader) if each.kind == "agent.registered")
        assert (event.correlation_id, event.agent_id) == ("c1", agent.id)


async def test_a_call_that_is_cancelled_is_cancelled_there_too() -> None:
    link = LossyLink()
    async with two_hubs(link) as (leader, follower):
        team = await team_of(follower)
        with anyio.move_on_after(0.05):
            await follower.ask(team.ann, team.bob, "why?", timeout=60)
        await until(lambda: len(leader._parts.asks) == 0)


def requests_of(link: LossyLink) -> list[dict[str, Any]]:
    return [msgspec.json.decode(each) for each in link.requests]


async def test_a_call_that_takes_long_is_asked_for_again_and_the_answer_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire._forwarding.route._WAIT_SECONDS", 0.02)
    link = LossyLink()
    async with two_hubs(link) as (leader, follower):
        team = await team_of(follower)
        await team.delivery.ack()

        async def answered() -> None:
            async for delivery in leader.agents.named("bob").inbox():
                await anyio.sleep(0.2)
                await delivery.reply("because")
                break

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answered)
            reply = await follower.ask("ann", "bob", "why?")
        assert reply.content == "because"
        assert len([each for each in requests_of(link) if b"ask" in msgspec.json.encode(each)]) > 2


async def test_a_command_returns_when_this_hub_has_seen_what_it_led_to() -> None:
    link = LocalLink()
    leader = Hub()
    leader.connect(link)
    async with leader:
        replica = Replica(leader, link)
        async with replica as follower:
            ann = await follower.agents.register("ann")
            replica.gate.clear()
            seen: list[str] = []

            async def call() -> None:
                await ann.set_skill("new")
                seen.append(ann.skill)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await until(lambda: leader.agents.named("ann").skill == "new")
                await until_idle()
                assert not seen
                replica.gate.set()
            assert seen == ["new"]


class ToldJournal(MemorySharedJournal):
    """Gives no event before it is told that it is committed; it notes that, and fails at it."""

    def __init__(self, events: MemoryHistory) -> None:
        super().__init__(events)
        self.told: list[int] = []

    def committed(self, seq: int) -> None:
        if self._is_open:
            super().committed(seq)
            return
        self.told.append(seq)
        raise SystemExit(5)

    async def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
        first = self.next_seq
        async for batch in super().follow(after):
            while batch and batch[-1].seq >= max([first, *self.told]):  # noqa: ASYNC110 - it is told by a call
                await anyio.sleep(0.001)
            yield batch


async def test_the_journal_that_is_followed_is_told_what_an_answer_proves() -> None:
    """A journal that fails at it harms no hub."""
    events, link = MemoryHistory(MemoryStore(), beat_seconds=0.02), LocalLink()
    leader, journal = Hub(journal=MemorySharedJournal(events)), ToldJournal(events)
    follower = Hub(journal=journal)
    for each in (leader, follower):
        each.connect(link)
    async with leader:
        await follower.follow()
        ann = await follower.agents.register("ann")
        await ann.set_skill("x")
        assert ann.skill == "x"
        newest = (await all_of(leader))[-1].seq
        assert journal.told == sorted(set(journal.told))
        assert journal.told[-1] == newest + 1
        await follower.aclose()


# --- once each -------------------------------------------------------------------------------------------------------


async def test_a_command_whose_answers_are_lost_is_carried_out_once() -> None:
    link = LossyLink()
    async with two_hubs(link) as (leader, follower):
        link.lose_requests, link.lose_answers = 1, 3
        ann = await follower.agents.register("ann")
        assert [each.id for each in leader.agents.list()] == [ann.id]
        assert kinds(leader).count("follower.commanded") == 1
        assert len(link.requests) == 5
        link.lose_answers = 2
        with pytest.raises(CommandRejected, match=r"taken|already"):
            await follower.agents.register("ann")


CALLS: dict[str, Callable[[Hub, Any], Awaitable[Any]]] = {
    "agents.register": lambda hub, _: hub.agents.register("new"),
    "channels.open": lambda hub, team: hub.channels.open([team.ann, team.bob], topic="more"),
    "channel.post": lambda _, team: team.channel.post(team.ann, {"a": [1, "é", {"$": 2}]}),
    "topics.publish": lambda hub, team: hub.topics.publish("a.b", 1.5, sender=team.ann),
    "topics.subscribe": lambda hub, team: hub.topics.subscribe(team.ann, "x.*"),
    "tasks.start": lambda hub, team: hub.tasks.start(team.ann, "work"),
    "timers.after": lambda hub, _: hub.timers.after(1000, "later", {"n": 1}),
    "agent.observe": lambda _, team: team.ann.observe("t", capability="c", ended="completed"),
    "agent.set_skill": lambda _, team: team.ann.set_skill("s"),
    "channel.close": lambda _, team: team.channel.close("over"),
    "hub.emit": lambda hub, _: hub.emit(GenericEvent(kind="my.event", data={"a": (1, 2)})),
    "hub.emit_many": lambda hub, _: hub.emit_many([GenericEvent(kind="my.event", data={"n": n}) for n in range(3)]),
    "approvals.request": lambda hub, team: hub.approvals.request(team.ann, "act"),
    "delivery.ack": lambda _, team: team.delivery.ack(),
}


@pytest.mark.parametrize("name", CALLS)
async def test_the_next_hub_that_leads_knows_what_came_of_a_command(name: str) -> None:
    """The one before has committed it, and ends before its answer arrives."""
    store, link = MemoryStore(), LossyLink()
    leader = Hub(store)
    leader.connect(link)
    await leader.start()
    replica = Replica(leader, link)
    async with replica as follower:
        team = await team_of(follower)
        before = len(kinds(leader))
        link.lose_answers = 1_000_000
        async with anyio.create_task_group() as tasks:
            results: list[Any] = []

            async def call() -> None:
                results.append(await CALLS[name](follower, team))

            tasks.start_soon(call)
            await until(lambda: "follower.commanded" in kinds(leader)[before:])
            await leader._parts.pipeline.until_committed(leader._parts.pipeline.ring.applied.value - 1)
            wanted = kinds(leader)[before:]
            await leader.abort()
            link.lose_answers = 0
            async with Hub(store) as second:
                second.connect(link)
                await replica.follow(second)
                await until(lambda: bool(results))
                again = [kind for kind in kinds(second) if kind == "follower.commanded"]
                assert not again
                assert wanted.count("follower.commanded") == 1
                seen = results[0]
                if name == "hub.emit_many":
                    assert [each.data["n"] for each in seen] == [0, 1, 2]
                elif name == "channel.post":
                    assert seen.content == {"a": (1, "é", {"$": 2})}
                    assert [each.content for each in await team.channel.history()] == ["hello", seen.content]
                elif name in ("topics.subscribe", "agent.observe", "delivery.ack"):
                    assert seen is True
                elif name == "agents.register":
                    assert second.agents.named("new") == seen
                elif name == "channels.open":
                    assert second.channels.get(seen.id).topic == seen.topic == "more"
                elif name == "tasks.start":
                    assert seen.is_running
                    assert second.tasks.get(seen.id, "ann").id == seen.id
                elif name == "timers.after":
                    assert second.timers.get(seen.id).entry.payload == {"n": 1}
                elif name == "approvals.request":
                    asked = [event for event in await all_of(second) if event.kind == "approval.requested"]
                    assert [event.approval_id for event in asked] == [seen]


async def test_many_commands_side_by_side_are_carried_out_once_and_in_order() -> None:
    link = LossyLink()
    async with two_hubs(link) as (leader, follower):
        team = await team_of(follower)
        posted: dict[int, int] = {}

        async def post(number: int) -> None:
            posted[number] = (await team.channel.post(team.ann, number)).seq

        link.lose_answers = 100
        async with anyio.create_task_group() as tasks:
            for number in range(900):
                tasks.start_soon(post, number)
        seen = [event.content for event in await all_of(leader) if event.kind == "envelope.posted"]
        assert seen == ["hello", *sorted(posted, key=posted.__getitem__)]
        assert sorted(posted) == list(range(900))
        assert len(leader._parts.state.followers) >= 1


async def test_a_crash_leaves_a_command_with_what_came_of_it_or_neither() -> None:
    """The journal is cut behind each of its lines: they are one batch, and the session goes with them."""
    store, link = MemoryStore(), LossyLink()
    leader = Hub(store)
    leader.connect(link)
    async with leader, Replica(leader, link) as follower:
        for number in range(3):
            await follower.agents.register(f"agent{number}")
        await follower.channels.open(["agent0", "agent1"])
        files = await files_of(store)
    (segment,) = [name for name in files if name.startswith("/journal/log/") and name.endswith(".jsonl")]
    content, found = files[segment], set[tuple[int, ...]]()
    for end in [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]:
        async with Hub(await store_of({**files, segment: content[:end]})) as hub:
            followers, events = hub._parts.state.followers, await all_of(hub)
            done = [event.number for event in events if event.kind == "follower.commanded"]
            assert len(hub.agents.list()) == min(len(done), 3)
            assert len(hub.channels.list()) == (len(done) == 4)
            for session in followers:
                assert [number for number in range(4) if followers.find(session.follower_id, number)] == done
            found.add(tuple(done))
    assert found == {tuple(range(count)) for count in range(5)}
