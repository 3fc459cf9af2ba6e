"""Commands of a hub that follows: carried out by the hub that leads, once each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import attrs
import msgspec
import pytest

from hubwire import Agent, Channel, Delivery, GenericEvent, Hub
from hubwire.context import scope
from hubwire.errors import (
    AccessDenied,
    CommandRejected,
    ConfigurationError,
    ForwardingFailed,
    HubClosed,
    HubFailed,
    NotFound,
    NotLeading,
)
from hubwire.stores import MemoryStore
from hubwire.testing import LocalLink, MemoryHistory, MemorySharedJournal, history
from support import files_of, store_of, until, until_idle
from support.followers import Replica


async def all_of(hub: Hub) -> list[Any]:
    """All its events, of any kind."""
    return list(await history(hub))


@asynccontextmanager
async def two_hubs(link: LocalLink | None = None, **settings: Any) -> AsyncIterator[tuple[Hub, Hub]]:
    """A hub that leads, and one that follows."""
    link = link or LocalLink()
    leader = Hub(**settings)
    leader.connect(link)
    async with leader, Replica(leader, link) as follower:
        await until(lambda: bool(link._handlers))
        yield leader, follower


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


# --- once each -------------------------------------------------------------------------------------------------------


class LossyLink(LocalLink):
    """Loses answers, or requests; what it has lost is asked again."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_answers = 0
        self.lose_requests = 0
        self.requests: list[bytes] = []

    async def request(self, body: bytes, seconds: float) -> bytes:
        self.requests.append(body)
        if self.lose_requests:
            self.lose_requests -= 1
            raise TimeoutError
        answer = await super().request(body, seconds)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ConnectionResetError
        return answer


def kinds(hub: Hub) -> list[str]:
    ring = hub._parts.pipeline.ring
    return [event.kind for event in ring.slice(ring.first, ring.applied.value)]


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


@attrs.define
class Team:
    ann: Agent
    bob: Agent
    channel: Channel
    delivery: Delivery


async def team_of(hub: Hub) -> Team:
    ann, bob = await hub.agents.register("ann"), await hub.agents.register("bob")
    channel = await hub.channels.open([ann, bob])
    await channel.post(ann, "hello")
    return Team(ann, bob, channel, await anext(bob.inbox()))


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


# --- what is refused -------------------------------------------------------------------------------------------------


def requests_of(link: LossyLink) -> list[dict[str, Any]]:
    return [msgspec.json.decode(each) for each in link.requests]


async def answer(link: LocalLink, **changes: Any) -> dict[str, Any]:
    call = {"name": "agents.register", "args": ["eve"]}
    request: dict[str, Any] = {
        "v": 1,
        "what": "call",
        "session": "e" * 32,
        "number": 0,
        "first": 0,
        "opens": True,
        "wait": 5.0,
        "call": call,
    }
    found: dict[str, Any] = msgspec.json.decode(await link.request(msgspec.json.encode({**request, **changes}), 10))
    return found


REFUSED: list[dict[str, Any]] = [
    {"v": 2},
    {"v": "1"},
    {"what": "format"},
    {"session": "x"},
    {"session": "E" * 32},
    {"session": None},
    {"number": -1},
    {"number": 1.5},
    {"hub": "another"},
    {"call": None},
    {"call": []},
    {"call": {"name": 1}},
    {"call": {"name": "agents"}},
    {"call": {"name": "agents._register", "args": ["eve"]}},
    {"call": {"name": "agents.__class__"}},
    {"call": {"name": "agents.frobnicate"}},
    {"call": {"name": "hub.aclose"}},
    {"call": {"name": "hub.attach", "args": ["x"]}},
    {"call": {"name": "channels.register_type", "args": ["x"]}},
    {"call": {"name": "agents.register", "args": "eve"}},
    {"call": {"name": "agents.register", "args": ["eve"], "named": []}},
    {"call": {"name": "agents.register", "args": [{"$": "Nothing"}]}},
    {"call": {"name": "agents.register", "args": ["eve"], "acting": {"tenant": 5}}},
    {"call": {"name": "agent.set_skill", "args": ["x"], "on": {"$": "Channel", "id": "x"}}},
    {"call": {"name": "agent.set_skill", "args": ["x"], "on": "text"}},
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
async def test_a_request_that_is_not_as_it_should_be_is_refused_and_changes_nothing(number: int) -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        reply = await answer(link, **REFUSED[number])
        assert reply["what"] == "refused"
        assert reply["why"]
        assert not leader.agents.list()
        assert not {"agent.registered", "follower.commanded"} & set(kinds(leader))


FAILED: list[dict[str, Any]] = [
    {"name": "agents.register"},
    {"name": "agents.register", "args": ["a", "b", "c"]},
    {"name": "agents.register", "args": ["eve"], "named": {"nothing": 1}},
    {"name": "agents.register", "args": [["eve"]]},
    {"name": "agents.register", "args": ["eve"], "acting": {"agent_id": "nobody"}},
    {"name": "agents.register", "args": ["eve"], "around": {"traceparent": "x"}},
    {"name": "agent.set_skill", "args": ["x"], "on": {"$": "Agent", "id": "x", "name": "y"}},
    {"name": "hub.emit", "args": ["text"]},
    {"name": "hub.emit", "args": [{"$": "event", "v": {"kind": "agent.registered", "seq": 1, "name": "eve"}}]},
    {"name": "hub.emit_many", "args": [5]},
    {"name": "channel.post", "args": ["x", "y"], "on": {"$": "Channel", "id": ""}},
    {"name": "dead_letters.get", "args": ["x"]},
]


@pytest.mark.parametrize("number", range(len(FAILED)))
async def test_a_call_that_is_wrong_fails_as_it_does_there(number: int) -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        reply = await answer(link, call=FAILED[number])
        assert reply["what"] == "failed"
        assert not leader.agents.list()
        assert not {"agent.registered", "follower.commanded"} & set(kinds(leader))


async def test_bytes_that_are_no_request_are_refused() -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        whole = msgspec.json.encode({"v": 1, "what": "call", "session": "e" * 32, "number": 0, "first": 0})
        for body in (b"", b"\x00", b"{", b"[]", b"null", b"\xff" * 100, b"[" * 100_000, whole[:-2]):
            reply = msgspec.json.decode(await link.request(body, 5))
            assert reply["what"] == "refused"
        dice = random.Random(5)
        for _ in range(500):
            changed = bytearray(whole)
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            assert msgspec.json.decode(await link.request(bytes(changed), 5))["what"] in ("refused", "gone")
        assert not leader.agents.list()


async def test_a_number_that_was_another_command_is_refused() -> None:
    """Two programs in one session, such as copies of one process."""
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        first = await answer(link)
        assert first["what"] == "done"
        again = await answer(link)
        assert again["value"] == first["value"]
        other = await answer(link, call={"name": "agents.register", "args": ["mallory"]})
        assert other["what"] == "refused"
        assert "two programs" in other["why"]
        assert [each.name for each in leader.agents.list()] == ["eve"]


async def test_a_session_that_has_ended_is_not_begun_again_by_an_old_command() -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        assert (await answer(link, opens=False))["what"] == "gone"
        assert (await answer(link))["what"] == "done"
        assert (await answer(link, what="leave"))["what"] == "done"
        assert (await answer(link, number=1, opens=False))["what"] == "gone"
        assert [each.name for each in leader.agents.list()] == ["eve"]
        assert len(leader._parts.state.followers) == 0


class ChangedLink(LocalLink):
    """Answers what a hub does not."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer

    async def request(self, body: bytes, seconds: float) -> bytes:
        del body, seconds
        return self.answer


DONE = {"v": 1, "what": "done", "seq": -1}
ANSWERS: list[Any] = [
    b"",
    b"\xff\x00",
    {},
    {"v": 2, "what": "done"},
    {"v": 1, "what": "refused", "why": "because"},
    {"v": 1, "what": "gone", "why": "an hour"},
    DONE,
    {**DONE, "value": {"is": {"$": "Nothing"}}},
    {**DONE, "value": {"is": {"$": "at", "seq": -5}}},
    {**DONE, "value": {"is": {"$": "at"}}},
    {**DONE, "value": {"is": {"$": "all", "seq": 0, "count": "x"}}},
    {**DONE, "value": {"is": {"$": "at", "seq": 10**9}}},
    {"v": 1, "what": "failed", "value": 5},
    {"v": 1, "what": "failed", "value": {"class": "NotFound", "text": 5, "facts": {}}},
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
async def test_an_answer_that_is_not_as_it_should_be_is_a_clear_error(number: int) -> None:
    given = ANSWERS[number]
    link = ChangedLink(given if isinstance(given, bytes) else msgspec.json.encode(given))
    leader = Hub()
    async with leader, Replica(leader, link) as follower:
        with pytest.raises(ForwardingFailed, match=r"agents\.register was not carried out"):
            await follower.agents.register("ann")


# --- who leads, and who waits ----------------------------------------------------------------------------------------


async def test_the_error_says_that_none_answers_and_whether_it_may_have_happened() -> None:
    link = LossyLink()
    leader = Hub()
    async with leader:
        replica = Replica(leader, link)
        replica.connection._faces.route._silent_seconds_max = 0.1
        async with replica as follower:
            with pytest.raises(ForwardingFailed, match=r"no hub has answered for .*none has answered since") as error:
                await follower.agents.register("ann")
            assert not error.value.may_have_happened
            leader.connect(link)
            await follower.agents.register("bob")
            link.lose_answers = 1000
            with pytest.raises(ForwardingFailed, match=r"the last one that did is process \d+ on .*not known") as error:
                await follower.agents.register("cid")
            assert error.value.may_have_happened


async def test_a_call_that_is_cancelled_is_cancelled_there_too() -> None:
    link = LossyLink()
    async with two_hubs(link) as (leader, follower):
        team = await team_of(follower)
        with anyio.move_on_after(0.05):
            await follower.ask(team.ann, team.bob, "why?", timeout=60)
        await until(lambda: len(leader._parts.asks) == 0)


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


async def test_what_was_made_before_goes_on_when_the_hub_comes_to_lead() -> None:
    link = LossyLink()
    leader = Hub()
    leader.connect(link)
    async with leader:
        replica = Replica(leader, link)
        async with replica as follower:
            replica.connection.follow()
            team = await team_of(follower)
            agents, count = follower.agents, len(link.requests)
            replica.is_following = False
            replica.connection.lead()
            assert replica._task is not None
            replica._task.cancel()
            await team.ann.set_skill("alone")
            await agents.register("cid")
            assert type(follower.agents) is not type(agents)
            assert (await follower.channels.open([team.ann, "cid"])).participants
            assert len(link.requests) == count
            assert leader.agents.find("cid") is None


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


# --- hubs of one journal ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def hubs_of_one_journal(link: LocalLink, **settings: Any) -> AsyncIterator[tuple[Hub, Hub]]:
    """One that leads, and one that follows its journal."""
    events = MemoryHistory(MemoryStore(), beat_seconds=0.02)
    leader, follower = (Hub(journal=MemorySharedJournal(events), **settings) for _ in range(2))
    for each in (leader, follower):
        each.connect(link)
    await leader.start()
    try:
        await follower.follow()
        try:
            yield leader, follower
        finally:
            await follower.aclose()
    finally:
        with suppress(HubFailed):  # another one leads
            await leader.aclose()


async def test_a_hub_that_follows_a_journal_gives_commands_and_goes_on_when_it_leads() -> None:
    link = LossyLink()
    async with hubs_of_one_journal(link) as (leader, follower):
        ann = await follower.agents.register("ann")
        bob = await follower.agents.register("bob")
        channel = await follower.channels.open([ann, bob])
        posted = await channel.post(ann, "one")
        assert [event.content for event in await channel.history()] == ["one"]
        assert posted in await all_of(leader)
        with pytest.raises(NotFound):
            await follower.topics.subscribe("nobody", "x")
        groups, count = follower.agents, len(link.requests)
        await leader.aclose()
        await follower.lead()
        await until(lambda: follower.agents is not groups)
        await channel.post(ann, "two")
        await groups.register("cid")
        assert type(follower.channels.get(channel.id)) is Channel
        assert len(link.requests) == count
        assert [event.content for event in await all_of(follower) if event.kind == "envelope.posted"] == ["one", "two"]


async def test_commands_under_way_are_carried_out_once_when_another_hub_comes_to_lead() -> None:
    """The follower itself takes the lead, while it gives commands; the hub that led goes on, and is refused."""
    link = LossyLink()
    async with hubs_of_one_journal(link) as (_, follower):
        ann = await follower.agents.register("ann")
        done: list[str] = []

        async def work(name: str) -> None:
            for number in range(30):
                await ann.set_skill(f"{name}{number}")
                done.append(f"{name}{number}")

        async with anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(work, name)
            await until(lambda: len(done) > 20)
            await follower.lead()
        skills = [event.skill for event in await all_of(follower) if event.kind == "agent.skill_set"]
        assert sorted(skills) == sorted(done)
        assert len(skills) == 120


async def test_a_hub_that_follows_and_is_not_connected_says_who_takes_commands() -> None:
    events = MemoryHistory(MemoryStore())
    async with Hub(journal=MemorySharedJournal(events)):
        follower = Hub(journal=MemorySharedJournal(events))
        await follower.follow()
        with pytest.raises(NotLeading):
            await follower.agents.register("ann")
        link = LocalLink()
        follower.connect(link)
        with pytest.raises(ConfigurationError, match="connected already"):
            follower.connect(link)
        with pytest.raises(NotLeading):
            follower.emit_nowait(GenericEvent(kind="my.event", data={}))
        await follower.aclose()
        with pytest.raises(HubClosed):
            await follower.agents.register("ann")


async def test_closing_a_hub_that_follows_ends_the_commands_that_wait() -> None:
    link = LossyLink()
    async with hubs_of_one_journal(link) as (leader, follower):
        await follower.agents.register("ann")
        link.lose_requests = 1_000_000
        failures: list[BaseException] = []

        async def call() -> None:
            try:
                await follower.agents.register("bob")
            except HubClosed as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until(lambda: len(link.requests) > 3)
            await follower.aclose()
        assert "closed while it waited" in str(failures[0])
        assert [each.name for each in leader.agents.list()] == ["ann"]


# --- after a crash ---------------------------------------------------------------------------------------------------


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


class HostileLink:
    """Raises whatever it is asked, or hangs."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.asked = 0

    @property
    def bytes_max(self) -> int:
        raise SystemExit(3)

    async def request(self, body: bytes, seconds: float) -> bytes:
        del body, seconds
        self.asked += 1
        if self.error is None:
            await anyio.sleep_forever()
            raise AssertionError
        raise self.error

    def serve(self, handler: Any) -> Any:
        raise KeyError(handler)

    async def aclose(self) -> Any:
        raise asyncio.CancelledError


@pytest.mark.parametrize("number", range(4))
async def test_a_link_that_fails_harms_no_hub(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire._forwarding.route._WAIT_SECONDS", 0.02)
    monkeypatch.setattr("hubwire._forwarding.route._GRACE_SECONDS", 0.02)
    link: Any = HostileLink([RuntimeError("no"), SystemExit(1), asyncio.CancelledError(), None][number])
    leader = Hub()
    leader.connect(link)
    async with leader:
        replica = Replica(leader, link)
        replica.connection._faces.route._silent_seconds_max = 0.1
        async with replica as follower:
            with pytest.raises(ForwardingFailed, match="no hub has answered"):
                await follower.agents.register("ann")
        assert link.asked > 1
        await leader.agents.register("bob")
