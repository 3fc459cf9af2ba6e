"""Tenants: several share one hub, and through its own handle each finds what is its own, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from hubwire import (
    BaseActor,
    GenericEvent,
    Hub,
    Position,
    TenantHub,
    Turn,
    scope,
)
from hubwire.errors import AskFailed, CommandRejected, InvalidCursor, NotFound
from hubwire.events import AgentRegistered, Event
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, peek
from support import until_idle


def note(**header: Any) -> GenericEvent:
    return GenericEvent(kind="note.taken", data={"n": 1}, **header)


class World:
    """Two tenants with agents of the same names, and each with one of everything else; and an agent of the hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def begin(self) -> None:
        self.acme, self.globex = self.hub.for_tenant("acme"), self.hub.for_tenant("globex")
        self.a, self.b = [await self.acme.agents.register(each) for each in ("planner", "coder")]
        self.x, self.y = [await self.globex.agents.register(each) for each in ("planner", "spy")]
        self.own = await self.hub.agents.register("operator")
        self.ours = await self.acme.channels.open([self.a, self.b], topic="ours")
        self.theirs = await self.globex.channels.open([self.x, self.y], topic="theirs")
        self.over = await self.globex.channels.open([self.x, self.y])
        await self.over.close()
        self.task = await self.globex.tasks.start(self.x, "secret")
        self.done = await self.globex.tasks.start(self.x, "done")
        await self.done.complete("secret")
        self.timer = await self.globex.timers.after(50, agent=self.x)
        self.approval = await self.globex.approvals.request(self.x, "pay")
        await self.theirs.post(self.x, "secret")
        self.event = await self.globex.emit(note(agent_id=self.x.id))


# --- what is another tenant's does not exist ------------------------------------------------------------------------

UNKNOWN = "0" * 32
UUID = "00000000-0000-7000-8000-000000000000"

# What is named, and each call that names it: with what is another tenant's, and with what never was.
AGENT: dict[str, Callable[[World, Any], Any]] = {
    "getting": lambda w, agent: w.acme.agents.get(agent),
    "opening": lambda w, agent: w.acme.channels.open([w.a, agent]),
    "opening by it": lambda w, agent: w.acme.channels.open([agent, w.a]),
    "a role": lambda w, agent: w.acme.channels.open([w.a, w.b], roles={agent: "x"}),
    "listing channels": lambda w, agent: w.acme.channels.list(agent=agent),
    "joining": lambda w, agent: w.acme.channels.get(w.ours.id).join(agent),
    "posting to it": lambda w, agent: w.acme.channels.get(w.ours.id).post(w.a, 1, to=[agent]),
    "posting as it": lambda w, agent: w.acme.channels.get(w.ours.id).post(agent, 1),
    "hiding": lambda w, agent: w.acme.channels.get(w.ours.id).hide(agent),
    "a history": lambda w, agent: w.acme.channels.get(w.ours.id).history(agent=agent),
    "asking it": lambda w, agent: w.acme.ask(w.a, agent, "?"),
    "asking as it": lambda w, agent: w.acme.ask(agent, w.a, "?"),
    "a task": lambda w, agent: w.acme.tasks.start(agent, "x"),
    "a timer": lambda w, agent: w.acme.timers.after(1, agent=agent),
    "a turn": lambda w, agent: w.acme.turns.turn(agent),
    "a model call": lambda w, agent: w.acme.turns.model("m", agent=agent),
    "an inbox": lambda w, agent: w.acme.inboxes.get(agent),
    "peeking": lambda w, agent: w.acme.inboxes.peek(agent),
    "dead letters": lambda w, agent: w.acme.inboxes.dead_letters(agent),
    "publishing": lambda w, agent: w.acme.topics.publish("a.b", 1, sender=agent),
    "subscribing": lambda w, agent: w.acme.topics.subscribe(agent, "a.*"),
    "subscriptions": lambda w, agent: w.acme.topics.list(agent),
    "an approval": lambda w, agent: w.acme.approvals.request(agent, "pay"),
    "trust": lambda w, agent: w.acme.approvals.revoke_trust(agent),
    "acting as it": lambda w, agent: w.acme.acting_as(agent),
    "emitting": lambda w, agent: w.acme.emit(note(agent_id=agent)),
    "emitting in an agent's name": lambda w, agent: w.acme.acting_as(w.a).emit(note(task_id=agent)),
    "asking it in a turn": lambda w, agent: w.acme.acting_as(w.a).ask(w.a, agent, "?"),
    "opening in an agent's name": lambda w, agent: w.acme.acting_as(w.a).channels.open([w.a, agent]),
}

CHANNEL: dict[str, Callable[[World, str], Any]] = {
    "getting": lambda w, channel: w.acme.channels.get(channel),
    "recalling": lambda w, channel: w.acme.channels.recall(channel),
    "a parent": lambda w, channel: w.acme.channels.open([w.a, w.b], parent=channel),
    "a task": lambda w, channel: w.acme.tasks.start(w.a, "x", channel=channel),
    "a timer": lambda w, channel: w.acme.timers.after(1, agent=w.a, channel=channel),
    "a turn": lambda w, channel: w.acme.turns.turn(w.a, channel=channel),
    "an approval": lambda w, channel: w.acme.approvals.request(w.a, "pay", channel=channel),
    "emitting": lambda w, channel: w.acme.emit(note(channel_id=channel)),
    "reading": lambda w, channel: w.acme.events(channel=channel),
    "getting in an agent's name": lambda w, channel: w.acme.acting_as(w.a).channels.get(channel),
}

TASK: dict[str, Callable[[World, str], Any]] = {
    "getting": lambda w, task: w.acme.tasks.get(task, w.a),
    "an outcome": lambda w, task: w.acme.tasks.outcome(task),
    "a parent": lambda w, task: w.acme.tasks.start(w.a, "x", parent=task),
    "a timer": lambda w, task: w.acme.timers.after(1, agent=w.a, task=task),
    "a turn": lambda w, task: w.acme.turns.turn(w.a, task=task),
    "emitting": lambda w, task: w.acme.emit(note(task_id=task)),
}

OTHERS: dict[str, tuple[Callable[[World], str], Callable[[World, str], Any]]] = {
    "a timer": (lambda w: w.timer.id, lambda w, timer: w.acme.timers.get(timer)),
    "the arguments": (lambda w: w.approval, lambda w, approval: w.acme.approvals.arguments(approval)),
    "a verdict": (lambda w: w.approval, lambda w, approval: w.acme.approvals.wait(approval)),
    "an answer": (lambda w: w.approval, lambda w, approval: w.acme.approvals.answer(approval, "ann", is_passed=True)),
    "sending back": (lambda w: w.approval, lambda w, approval: w.acme.approvals.send_back(approval, "ann", "no")),
    "withdrawing": (lambda w: w.approval, lambda w, approval: w.acme.approvals.withdraw(approval)),
    "using": (lambda w: w.approval, lambda w, approval: w.acme.approvals.use(approval)),
}

CASES: list[tuple[str, Callable[[World], str], Callable[[World, Any], Any]]] = [
    *((f"agent, {name}", lambda w: w.y.id, call) for name, call in AGENT.items()),
    *((f"the hub's agent, {name}", lambda w: w.own.id, call) for name, call in AGENT.items()),
    *((f"channel, {name}", lambda w: w.theirs.id, call) for name, call in CHANNEL.items()),
    *((f"ended channel, {name}", lambda w: w.over.id, call) for name, call in CHANNEL.items()),
    *((f"task, {name}", lambda w: w.task.id, call) for name, call in TASK.items()),
    *((f"ended task, {name}", lambda w: w.done.id, call) for name, call in TASK.items()),
    *((name, given, call) for name, (given, call) in OTHERS.items()),
]


async def refusal(call: Callable[[World, Any], Any], world: World, given: str) -> tuple[type, str]:
    """Return how a call is refused, without what was given; it has had no effect."""
    before = peek(world.hub)
    try:
        result = call(world, given)
        if hasattr(result, "__await__"):
            await result
    except NotFound as error:
        assert peek(world.hub) == before
        return type(error), str(error).replace(given, "…")
    raise AssertionError("it was not refused")


@pytest.mark.parametrize(("given", "call"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_what_is_anothers_is_refused_as_what_never_was(
    given: Callable[[World], str], call: Callable[[World, Any], Any]
) -> None:
    """The error tells no more than that of an unknown id: the class and the text are the same."""
    async with Hub(MemoryStore()) as hub:
        world = World(hub)
        await world.begin()
        foreign = await refusal(call, world, given(world))
        assert foreign == await refusal(call, world, UNKNOWN)
        assert "spy" not in foreign[1]
        assert "operator" not in foreign[1]
        assert "globex" not in foreign[1]


@pytest.mark.parametrize(
    "name", ["opening", "posting to it", "asking it", "a task", "a timer", "acting as it", "a turn"]
)
async def test_a_handle_of_anothers_agent_is_refused(name: str) -> None:
    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        before = peek(hub)
        with pytest.raises(NotFound):
            result = AGENT[name](world, world.y)
            await result
        with pytest.raises(NotFound):
            result = AGENT[name](world, "spy")
            await result
        assert peek(hub) == before


async def test_a_handle_of_anothers_channel_and_task_is_refused() -> None:
    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        for refused in (
            lambda: world.acme.tasks.start(world.a, "x", channel=world.theirs),
            lambda: world.acme.tasks.start(world.a, "x", parent=world.task),
            lambda: world.acme.ask(world.a, world.b, "?", channel=world.theirs),
            lambda: world.acme.channels.open([world.a, world.b], parent=world.theirs),
        ):
            before = peek(hub)
            with pytest.raises(NotFound):
                await refused()
            assert peek(hub) == before


async def test_lists_have_what_is_the_tenants_own() -> None:
    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        acme = world.acme
        assert [each.name for each in acme.agents.list()] == ["planner", "coder"]
        assert [each.id for each in acme.channels.list()] == [world.ours.id]
        assert (acme.tasks.running(), acme.timers.list(), acme.approvals.pending()) == ((), (), ())
        assert (acme.inboxes.list(), acme.inboxes.dead_letters(), acme.topics.list()) == ([], [], [])
        async with hub.turns.turn(world.x):
            assert acme.turns.open() == ()
            assert len(world.globex.turns.open()) == 1
        assert [each.agent_id for each in world.globex.inboxes.list()] == [world.y.id]
        assert len(hub.agents.list()) == 5
        assert len(hub.channels.list()) == 2


async def test_names_are_unique_in_their_tenant() -> None:
    """The hub's own agents are one more set of names, and a name that is taken elsewhere is free here."""
    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        await world.acme.agents.register("spy")
        await hub.agents.register("planner")
        assert len({hub.agents.named("planner").id, world.acme.agents.named("planner").id, world.x.id}) == 3
        with pytest.raises(CommandRejected, match=world.a.id):
            await world.acme.agents.register("planner")
        assert hub.agents.find("coder") is None
        await world.a.unregister()
        again = await world.acme.agents.register("planner")
        assert world.acme.agents.named("planner") == again
        assert world.globex.agents.named("planner") == world.x


# --- events ---------------------------------------------------------------------------------------------------------


async def test_every_event_says_whose_it_is() -> None:
    """Whoever causes it: the tenant's handle, an agent, the program, or the hub itself when a time is up."""
    clock = ManualClock()
    seen = Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[seen]) as hub:
        world = World(hub)
        await world.begin()
        with scope(tenant="initech"):
            channel = await hub.channels.open([world.a, world.b])  # by the program itself
            await channel.post(world.b, "x")
        await hub.tasks.start(world.b, "x", ttl_seconds=1)
        await hub.turns.turn(world.b).__aenter__()
        clock.advance(100)
        await until_idle()
        await world.acme.acting_as(world.a).emit(note())
        await world.acme.emit(note())
        await channel.close()
        await world.b.unregister()
        await hub.flush()
        ids = {
            "acme": {world.a.id, world.b.id, world.ours.id, channel.id},
            "globex": {world.x.id, world.y.id, world.theirs.id, world.over.id},
        }
        for event in seen.events:
            about = {event.agent_id, event.channel_id} - {None}
            owner = next((tenant for tenant, own in ids.items() if about & own), None)
            if event.kind == "note.taken":
                owner = owner or "acme"
            assert event.tenant == owner, event
        kinds = {each.kind for each in seen.events if each.tenant == "acme"}
        assert {"agent.registered", "channel.created", "channel.opened", "task.expired", "turn.abandoned"} <= kinds
        assert {"envelope.posted", "channel.closed", "agent.unregistered", "note.taken"} <= kinds


async def test_a_tenant_reads_its_own_events() -> None:
    async with Hub(MemoryStore()) as hub:
        world = World(hub)
        await world.begin()
        mine = world.acme.events(after=-1)
        events: list[Event] = list(await mine.take())
        assert {each.tenant for each in events} == {"acme"}
        assert {each.kind for each in events} >= {"agent.registered", "channel.opened"}
        assert mine.peek() is None
        place = world.acme.events(after=world.event.seq - 1)
        assert place.peek() is None  # the next one is another tenant's


async def test_a_position_of_another_tenant_is_refused() -> None:
    async with Hub(MemoryStore()) as hub:
        world = World(hub)
        await world.begin()
        mine = await world.acme.emit(note())
        last = await world.globex.emit(note())
        await world.acme.emit(note())
        stream = world.acme.events(after=Position.after(mine))
        assert [each.kind for each in await stream.take()] == ["note.taken"]
        texts = []
        for position in (Position.after(last), attrs.evolve(Position.after(last), id=UUID)):
            with pytest.raises(InvalidCursor) as caught:
                await world.acme.events(after=position).take()
            texts.append(re.sub("[0-9a-f-]{36}", "…", str(caught.value)))
        assert texts[0] == texts[1]
        assert last.id not in texts[0]


@pytest.mark.parametrize("how", ["emit", "emit_nowait", "emit_many", "batch"])
async def test_what_is_emitted_says_the_tenant(how: str) -> None:
    seen = Recorder()
    async with Hub(listeners=[seen]) as hub:
        acme = hub.for_tenant("acme")
        with scope(tenant="globex"):
            for event in (note(), note(tenant="acme")):
                if how == "emit":
                    await acme.emit(event)
                elif how == "emit_nowait":
                    acme.emit_nowait(event)
                elif how == "emit_many":
                    await acme.emit_many([event])
                else:
                    async with acme.batch() as batch:
                        batch.emit(event)
            before = peek(hub)
            with pytest.raises(CommandRejected, match="tenant"):
                await acme.emit(note(tenant="globex"))
            assert peek(hub) == before
        await hub.flush()
    assert [each.tenant for each in seen.events if each.kind == "note.taken"] == ["acme"] * 2


# --- topics ---------------------------------------------------------------------------------------------------------


async def test_topics_are_each_tenants_own() -> None:
    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        for agent in (world.b, world.y, world.own):
            await hub.topics.subscribe(agent, "build.*")
        ours = await world.acme.topics.publish("build.failed", 1, sender=world.a, idempotency_key="k")
        theirs = await world.globex.topics.publish("build.failed", 2, sender=world.x, idempotency_key="k")
        own = await hub.topics.publish("build.failed", 3, sender=await hub.agents.register("ci"), idempotency_key="k")
        assert [each.recipients for each in (ours, theirs, own)] == [(world.b.id,), (world.y.id,), (world.own.id,)]
        assert world.acme.topics.subscribers("build.failed") == [world.b]
        assert [each.agent_id for each in world.acme.topics.list()] == [world.b.id]


# --- agents, actors -------------------------------------------------------------------------------------------------


class Prober(BaseActor):
    """Looks around with what its turn gives it."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    async def on_envelope(self, turn: Turn, /) -> None:
        hub = turn.hub
        self.found.append([each.name for each in hub.agents.list()])
        self.found.append(len(hub.channels.list()))
        for name in ("spy", "operator"):
            with pytest.raises(NotFound):
                await turn.ask(name, "?")
            with pytest.raises(NotFound):
                await hub.channels.list()[0].post(turn.agent, "x", to=[name])
        await hub.agents.register("helper")
        await turn.reply("done")


async def test_an_actor_sees_its_tenant() -> None:
    seen = Recorder()
    async with Hub(listeners=[seen]) as hub:
        world = World(hub)
        await world.begin()
        prober = Prober()
        handle = await world.acme.spawn(prober, name="prober")
        answer = await world.acme.ask(world.a, "prober", "look")
        assert answer.content == "done"
        assert prober.found == [["planner", "coder", "prober"], 1]
        assert handle.agent == world.acme.agents.named("prober")
        assert world.acme.agents.named("helper").id != hub.agents.get(world.a.id).id
        await hub.flush()
        turns = [each for each in seen.events if each.kind.startswith(("turn.", "actor."))]
        assert {each.tenant for each in turns} == {"acme"}


async def test_actors_of_two_tenants_have_one_name() -> None:
    async def answer(turn: Turn) -> None:
        await turn.reply(turn.hub.agents.list()[0].id)

    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        for face in (world.acme, world.globex):
            await face.spawn(answer, name="answerer")
        assert (await world.acme.ask(world.a, "answerer", "?")).content == world.a.id
        assert (await world.globex.ask(world.x, "answerer", "?")).content == world.x.id
        with pytest.raises((NotFound, AskFailed)):
            await hub.ask(world.own, "answerer", "?", timeout=1)


async def test_rules_on_demand_are_for_the_hubs_own_agents() -> None:
    made: list[str] = []

    def make(name: str) -> BaseActor:
        made.append(name)
        return Prober()

    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        hub.spawn_on_demand("*er", make)
        await world.acme.channels.get(world.ours.id).post(world.b, "to planner")
        with pytest.raises(NotFound):
            await world.acme.ask(world.a, "reviewer", "?")
        await until_idle()
        assert made == []


async def test_acting_as_an_agent_of_a_tenant_is_bound_to_it() -> None:
    """Also where the program makes the handle on the hub itself."""
    async with Hub() as hub:
        world = World(hub)
        await world.begin()
        face = hub.acting_as(world.a)
        assert [each.name for each in face.agents.list()] == ["planner", "coder"]
        made = await face.agents.register("made")
        assert world.acme.agents.named("made") == made
        with pytest.raises(NotFound):
            face.channels.get(world.theirs.id)
        assert not hasattr(face, "for_tenant")


# --- kept -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["replayed", "from a snapshot"])
async def test_who_is_whose_outlives_a_restart(how: str) -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        world = World(hub)
        await world.begin()
        before = peek(hub)
        await hub.abort() if how == "replayed" else None
    async with Hub(store) as hub:
        if how == "replayed":
            assert peek(hub).keys() == before.keys()
        acme = hub.for_tenant("acme")
        assert [each.name for each in acme.agents.list()] == ["planner", "coder"]
        assert [each.id for each in acme.channels.list()] == [world.ours.id]
        assert acme.tasks.running() == ()
        with pytest.raises(NotFound):
            acme.channels.recall(world.over.id)
        with pytest.raises(NotFound):
            await acme.tasks.outcome(world.done.id)
        seen = Recorder()
        hub.attach(seen)
        await hub.channels.get(world.theirs.id).post(world.x.id, "by the program")
        await hub.flush()
        assert {each.tenant for each in seen.events} == {"globex"}


async def test_an_agent_registered_in_a_scope_is_the_hubs_own() -> None:
    """As it was before there were handles of tenants: the header alone makes it no tenant's."""
    async with Hub(MemoryStore()) as hub:
        with scope(tenant="acme"):
            await hub.agents.register("planner")
        assert hub.agents.named("planner").name == "planner"
        assert hub.for_tenant("acme").agents.list() == []


async def test_no_event_with_tenants_is_asked_for_by_a_caller() -> None:
    async with Hub() as hub:
        with pytest.raises(CommandRejected):
            await hub.emit(AgentRegistered(name="x", agent_id=UNKNOWN, tenant="acme", of_tenant=True))


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [3, None, b"acme", "", " ", "x" * 501, "\ud800", "a\0b", "\0", ["acme"]], ids=repr)
async def test_what_is_no_name_of_a_tenant_is_refused(name: Any) -> None:
    async with Hub() as hub:
        with pytest.raises(CommandRejected, match=r"hub\.for_tenant\(\): tenant is"):
            hub.for_tenant(name)


@pytest.mark.parametrize("name", ["../acme", "a/b", "acme\n", "A" * 500, "ü☃", "acme ", "{tenant}", "0" * 32])
async def test_hostile_names_are_tenants_like_others(name: str) -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        face = hub.for_tenant(name)
        await face.agents.register("a")
    async with Hub(store) as hub:
        assert [each.name for each in hub.for_tenant(name).agents.list()] == ["a"]
        assert hub.for_tenant(name.strip()[:400] + "x").agents.list() == []


async def test_a_thousand_tenants_leave_nothing_behind() -> None:
    async with Hub() as hub:
        for number in range(1000):
            face = hub.for_tenant(f"t{number}")
            agent = await face.agents.register("a")
            await agent.unregister()
        assert hub._parts.state.agents.has_tenants is False


async def test_the_handle_has_what_is_the_tenants_alone() -> None:
    async with Hub() as hub:
        face = hub.for_tenant("acme")
        assert isinstance(face, TenantHub)
        assert "acme" in repr(face)
        for name in ("supervise", "health", "for_tenant", "aclose", "flush"):
            with pytest.raises(AttributeError, match="the program's own code"):
                getattr(face, name)
