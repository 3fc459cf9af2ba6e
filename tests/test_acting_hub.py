"""The hub as one agent has it: it acts as that agent, and as no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import anyio
import pytest

from hubwire import ActingHub, Agent, ApprovalPolicy, BaseActor, Channel, GenericEvent, Hub, Resume, RuleArbiter, Turn
from hubwire.arbiter import Allow, Command, Rule
from hubwire.errors import AccessDenied, CommandRejected, ConfigurationError, NotFound
from hubwire.events import CommandDenied, Event
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history, peek
from support import until_idle


class World:
    """A hub with an intern, a boss and a bank, the boss's channel with the bank, and one with all three."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def begin(self) -> None:
        self.intern, self.boss, self.bank = [
            await self.hub.agents.register(each) for each in ("intern", "boss", "bank")
        ]
        self.theirs = await self.hub.channels.open([self.boss, self.bank])
        self.ours = await self.hub.channels.open([self.boss, self.bank, self.intern])
        self.task = await self.hub.tasks.start(self.boss, "bank")
        self.guests = await self.hub.channels.open([self.bank, self.boss], invite=True)
        self.timer = await self.hub.timers.after(5, "pay", agent=self.boss)
        self.face = self.hub.acting_as(self.intern)

    def seen(self, agent: Agent) -> Agent:
        """Return another agent as it is found through the face."""
        return self.face.agents.named(agent.name)

    def place(self, channel: Channel) -> Channel:
        return self.face.channels.get(channel.id)


FOREIGN: dict[str, Callable[[World], Any]] = {
    "opening by its handle": lambda w: w.face.channels.open([w.boss, w.bank]),
    "opening by a name": lambda w: w.face.channels.open(["boss", "bank"]),
    "opening by an id": lambda w: w.face.channels.open([w.boss.id, w.intern.id]),
    "posting": lambda w: w.place(w.ours).post(w.boss, {"pay": 1_000_000}),
    "posting by a name": lambda w: w.place(w.ours).post("boss", {"pay": 1_000_000}),
    "joining": lambda w: w.place(w.theirs).join(w.boss),
    "leaving": lambda w: w.place(w.ours).leave(w.boss),
    "accepting": lambda w: w.place(w.guests).accept(w.boss),
    "declining": lambda w: w.place(w.guests).decline(w.boss),
    "hiding in a foreign channel": lambda w: w.place(w.theirs).hide(w.boss),
    "showing in a foreign channel": lambda w: w.place(w.theirs).show(w.boss),
    "closing a foreign channel": lambda w: w.place(w.theirs).close(),
    "starting a task": lambda w: w.face.tasks.start(w.boss, "x"),
    "observing a task": lambda w: w.face.tasks.observe(w.boss, "x", task_id="t"),
    "asking": lambda w: w.face.ask(w.boss, w.bank, "your money"),
    "requesting approval": lambda w: w.face.approvals.gate(w.boss, "wipe"),
    "setting a timer": lambda w: w.face.timers.after(5, agent=w.boss),
    "cancelling a timer": lambda w: w.face.timers.get(w.timer.id).cancel(),
    "emitting": lambda w: w.face.emit(GenericEvent(kind="x.y", agent_id=w.boss.id)),
    "a resume": lambda w: w.seen(w.boss).set_resume(Resume()),
    "a skill": lambda w: w.seen(w.boss).set_skill("fool"),
    "a rule": lambda w: w.seen(w.boss).set_rule({}),
    "unregistering": lambda w: w.seen(w.boss).unregister(),
    "spawning": lambda w: w.face.spawn(BaseActor(), name="boss"),
}

AT_ONCE: dict[str, Callable[[World], Any]] = {
    "reading an inbox": lambda w: w.seen(w.boss).inbox(),
    "finding a task": lambda w: w.face.tasks.get(w.task.id, w.boss),
    "recording a turn": lambda w: w.face.turns.turn(w.boss),
    "recording a tool": lambda w: w.face.turns.tool("x", agent="boss"),
    "gating a tool": lambda w: w.face.approvals.gated(w.boss),
    "emitting at once": lambda w: w.face.emit_nowait(GenericEvent(kind="x.y", agent_id=w.boss.id)),
}


async def called(function: Callable[[World], Any], world: World) -> None:
    await function(world)


async def called_at_once(function: Callable[[World], Any], world: World) -> None:
    function(world)


@pytest.mark.parametrize("what", [*FOREIGN, *AT_ONCE])
async def test_an_agent_does_not_act_as_another(what: str) -> None:
    """By handle, name or id; nothing has changed, the error names it, and an event reports it."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        world = World(hub)
        await world.begin()
        before = peek(hub)
        call = called if what in FOREIGN else called_at_once
        with pytest.raises(
            AccessDenied, match=r"this is the hub as agent 'intern' has it, and .*(boss|channel|its agent)"
        ):
            await call({**FOREIGN, **AT_ONCE}[what], world)
        await hub.flush()
        assert peek(hub) == before
        (denied,) = [event for event in recorder.events if isinstance(event, CommandDenied)]
        assert (denied.agent_id, denied.agent_name, denied.count) == (world.intern.id, "intern", 1)
        assert denied.command_name.endswith("()")


async def test_an_agent_does_its_own_things_through_its_hub() -> None:
    """The same commands, with the same arguments, by its handle, its name or its id."""
    async with Hub() as hub:
        intern, boss = await hub.agents.register("intern"), await hub.agents.register("boss")
        face = hub.acting_as("intern")
        assert (face.agent, face.id, face.agents.find("boss")) == (intern, hub.id, boss)
        channel = await face.channels.open(["intern", boss])
        assert (await channel.post(face.agent, "hello")).agent_id == intern.id
        await channel.hide(boss)
        await channel.show(boss)
        task = await face.tasks.start(intern.id, "learn")
        await face.tasks.get(task.id, intern).complete()
        assert (await face.approvals.gate(intern, "read_file")).action == "read_file"
        assert (await face.emit(GenericEvent(kind="x.y"))).agent_id == intern.id
        assert face.emit_nowait(GenericEvent(kind="x.y", agent_id=intern.id)).agent_id == intern.id
        await face.agent.set_skill("learns")
        timer = await face.timers.after(5, "mine")
        assert [each.agent_id for each in face.timers.list()] == [intern.id]
        await timer.cancel()
        async with face.turns.turn("intern") as turn, turn.tool("grep"):
            assert [each.agent_id for each in hub.turns.open()] == [intern.id] * 2
        await channel.post(face.agent, "to me", to=[face.agent])
        delivery = await anext(face.agents.named("intern").inbox())
        await delivery.ack()
        await boss.observe("t", capability="x", ended="completed")
        await channel.close()


async def test_a_turn_has_the_hub_as_its_agent() -> None:
    """Its channel too; and what it asks, the others answer."""
    refused: list[str] = []

    class Intern(BaseActor):
        name = "intern"

        async def on_start(self, hub: ActingHub, agent: Agent) -> None:
            assert hub.agent == agent

        async def on_envelope(self, turn: Turn, /) -> None:
            boss = turn.hub.agents.named("boss")
            for attempt in (
                lambda: turn.channel.post(boss, "as the boss"),
                lambda: turn.hub.channels.open([boss]),
                lambda: turn.channel.leave(boss),
            ):
                with pytest.raises(AccessDenied) as caught:
                    await attempt()
                refused.append(caught.value.command)
            await turn.reply((await turn.hub.ask(turn.agent, "echo", turn.content)).content)

    async def echo(turn: Turn) -> None:
        await turn.reply(turn.content)

    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        await hub.spawn(echo)
        await hub.spawn(Intern())
        assert (await hub.ask(boss, "intern", "hello")).content == "hello"
    assert refused == ["channel.post()", "hub.channels.open()", "channel.leave()"]


async def test_an_agent_registers_others_as_its_own_doing() -> None:
    """It does not act as them, spawns and unregisters them, also after a restart; the arbiter sees who registers."""
    seen: list[tuple[str, tuple[str, ...]]] = []

    class See:
        def authorize(self, command: Command) -> Allow:
            if command.name == "register":
                seen.append((command.agent_name, command.others))
            return Allow()

    async def echo(turn: Turn) -> None:
        await turn.reply(turn.content)

    store = MemoryStore()
    async with Hub(store, arbiter=See()) as hub:
        lead = await hub.agents.register("lead")
        await hub.agents.register("stranger")
        face = hub.acting_as(lead)
        helper = await face.agents.register("helper")
        with pytest.raises(AccessDenied):
            helper.inbox()
        spawned = await face.spawn(echo)
        with pytest.raises(AccessDenied):
            spawned.agent.inbox()
        assert (await face.ask(lead, "echo", 1)).content == 1
    assert seen == [("lead", ()), ("stranger", ()), ("helper", ("lead",)), ("echo", ("lead",))]
    for snapshot_bytes in (1, 1):
        async with Hub(store, snapshot_bytes=snapshot_bytes) as hub:
            face, other = hub.acting_as("lead"), hub.acting_as("stranger")
            with pytest.raises(AccessDenied, match="agent 'echo' was not registered by it"):
                await other.spawn(echo)
            with pytest.raises(AccessDenied, match="agent 'echo' was not registered by it"):
                await other.agents.named("echo").unregister()
            await face.spawn(echo)
            assert (await face.ask("lead", "echo", 2)).content == 2
            await hub.emit(GenericEvent(kind="fill.up", data={"x": "y" * 1000}))
    async with Hub(store) as hub:
        await hub.acting_as("lead").agents.named("echo").unregister()
        assert hub.agents.find("echo") is None


async def test_what_an_agent_registers_counts_for_its_own_rate() -> None:
    """Names that are new each time do not have a rate each."""
    clock = ManualClock()
    async with Hub(arbiter=RuleArbiter(default=Rule(rate_per_minute=1, rate_burst=3)), clock=clock) as hub:
        face = hub.acting_as(await hub.agents.register("lead"))
        await face.agents.register("a")
        await face.agents.register("b")
        with pytest.raises(AccessDenied, match="'lead' may do this 1 times a minute"):
            await face.agents.register("c")


async def test_an_agent_answers_in_its_own_name() -> None:
    """And not its own request."""
    async with Hub(approvals=ApprovalPolicy(timeout_seconds=60)) as hub, anyio.create_task_group() as tasks:
        intern, boss = await hub.agents.register("intern"), await hub.agents.register("boss")
        tasks.start_soon(hub.approvals.gate, intern, "deploy")
        await until_idle()
        (pending,) = hub.approvals.pending()
        for name, error in (("boss", AccessDenied), ("intern", CommandRejected)):
            with pytest.raises(error):
                await hub.acting_as(intern).approvals.answer(pending.approval_id, name, is_passed=True)
        hostile: Any = [5, None, object()]
        for odd in hostile:
            with pytest.raises(CommandRejected):
                await hub.acting_as(intern).approvals.answer(pending.approval_id, odd, is_passed=True)
        await hub.acting_as(boss).approvals.answer(pending.approval_id, "boss", is_passed=True)
        await until_idle()
        assert hub.approvals.pending() == ()


async def test_an_agent_that_left_acts_no_more() -> None:
    """The agent that is registered under its name later is another one."""
    async with Hub() as hub:
        first = await hub.agents.register("coder")
        face = hub.acting_as(first)
        await first.unregister()
        second = await hub.agents.register("coder")
        with pytest.raises(NotFound):
            await face.channels.open([first])
        with pytest.raises(AccessDenied):
            await face.channels.open([second])
        with pytest.raises(AccessDenied):
            await face.tasks.start("coder", "x")
        with pytest.raises(NotFound):
            await face.emit(GenericEvent(kind="x.y"))
        with pytest.raises(NotFound):
            face.emit_nowait(GenericEvent(kind="x.y"))
        with pytest.raises(NotFound):
            await face.agents.register("child")
        with pytest.raises(NotFound):
            hub.acting_as(first)


async def test_an_agent_of_another_hub_is_no_agent_here() -> None:
    async with Hub() as hub, Hub() as other:
        here, there = await hub.agents.register("a"), await other.agents.register("a")
        with pytest.raises(NotFound):
            hub.acting_as(there)
        with pytest.raises(AccessDenied):
            await hub.acting_as(here).channels.open([there])


async def test_what_is_no_agent_is_refused_by_name() -> None:
    """So is what is not an event."""
    async with Hub() as hub:
        face = hub.acting_as(await hub.agents.register("coder"))
        for odd in (5, None, "\ud800", "x" * 1000, object(), ["coder"]):
            with pytest.raises(CommandRejected, match=r"hub\.acting_as\(\): agent is an Agent"):
                hub.acting_as(cast(Any, odd))
        with pytest.raises(NotFound, match="did you mean 'coder'"):
            hub.acting_as("codre")
        for value in (5, None, object()):
            with pytest.raises(ConfigurationError, match="is not an event"):
                await face.emit(cast(Event, value))
        with pytest.raises(CommandRejected):
            await face.emit(GenericEvent(kind="x.y", agent_id=cast(Any, 5)))


async def test_what_is_not_done_as_one_agent_is_not_there() -> None:
    async with Hub() as hub:
        face: Any = hub.acting_as(await hub.agents.register("coder"))
        for name in ("attach", "on", "forget", "events", "aclose", "abort", "supervise", "acting_as"):
            with pytest.raises(AttributeError, match=f"has no '{name}': that is for the program's own code"):
                getattr(face, name)
        assert "coder" in repr(face)


async def test_a_flood_of_refusals_is_few_events() -> None:
    """An agent that tries all day leaves an event a second."""
    recorder, clock = Recorder(), ManualClock()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        intern, boss = await hub.agents.register("intern"), await hub.agents.register("boss")
        face = hub.acting_as(intern)
        for _ in range(1000):
            with pytest.raises(AccessDenied):
                await face.channels.open([boss])
        await hub.flush()
        denials = [event for event in recorder.events if isinstance(event, CommandDenied)]
        assert [each.count for each in denials] == [1]
    await until_idle()


async def test_a_hub_of_an_agent_leaves_nothing_behind() -> None:
    """Faces are made for each life of an actor: the hub keeps none of them."""
    async with Hub() as hub:
        agent = await hub.agents.register("coder")
        core = hub._parts.core

        def kept() -> tuple[int, int]:
            return sum(map(len, hub._pipeline.watchers.values())), len(core._at_end)

        before = kept()
        for _ in range(100):
            hub.acting_as(agent)
        assert kept() == before


async def test_who_registered_an_agent_is_in_the_log() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        lead = await hub.agents.register("lead")
        await hub.acting_as(lead).agents.register("helper")
        found = [event for event in await history(hub) if event.kind == "agent.registered"]
    assert [cast(Any, each).registered_by for each in found] == [None, lead.id]
