"""Groups: temporary actors, groups in groups, a group that its own actor stops, and what is left of groups of jobs."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import anyio
import pytest

from hubwire import Agent, BaseActor, Escalate, Group, Hub, Restart, Strategy, Turn
from hubwire.errors import AskFailed, CommandRejected, ConfigurationError
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle


class Part(BaseActor):
    """Crashes when it is told to; its starts may be made to fail."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self.diary = diary
        self.failing_starts = 0

    async def on_start(self, hub: Any, agent: Agent) -> None:
        if self.failing_starts:
            self.failing_starts -= 1
            raise RuntimeError("cannot start")
        self.diary.append(f"{self.name} starts")

    async def on_envelope(self, turn: Turn, /) -> None:
        if turn.content == "crash" and turn.delivery.attempt == 1:
            raise Escalate(self.name)
        if turn.content == "wait":
            await anyio.sleep_forever()

    async def on_stop(self) -> None:
        self.diary.append(f"{self.name} stops")


class Team:
    """Parts of several groups of one hub, and an agent that writes to them."""

    def __init__(self, hub: Hub, clock: ManualClock) -> None:
        self.hub = hub
        self.clock = clock
        self.diary: list[str] = []
        self.parts: dict[str, Part] = {}
        self.handles: dict[str, Any] = {}

    async def spawn(self, group: Group, *names: str, **settings: Any) -> None:
        for name in names:
            self.parts[name] = Part(name, self.diary)
            self.handles[name] = await group.spawn(self.parts[name], **settings)
        self.diary.clear()

    async def crash(self, *names: str) -> None:
        boss = self.hub.agents.find("boss") or await self.hub.agents.register("boss")
        channel = await self.hub.channels.open([boss, *(self.handles[name].agent for name in names)])
        await channel.post(boss, "crash")
        await until_idle()

    async def wait(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        await until_idle()

    def running(self) -> list[str]:
        return [name for name, handle in self.handles.items() if handle.is_running]


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_a_temporary_actor_never_restarts(strategy: Strategy) -> None:
    """A strategy that takes it down stops it for good, and reports that."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        team, group = Team(hub, clock), hub.supervise("team", strategy=strategy)
        await team.spawn(group, "a")
        await team.spawn(group, "b", restart=Restart.TEMPORARY)
        await team.spawn(group, "c")
        await team.crash("a")
        await team.wait()
        assert team.running() == ["a", "c"]
        assert "temporary" in await team.handles["b"].wait()
        assert [member.name for member in group.members] == ["a", "c"]
        await hub.flush()
        assert [event.name for event in recorder.of("actor.stopped")] == ["b"]


async def test_the_rest_starts_after_a_failed_restart() -> None:
    """One that cannot start is tried again with all of its group, and none is forgotten."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team, group = Team(hub, clock), hub.supervise("team", strategy=Strategy.ONE_FOR_ALL)
        await team.spawn(group, "a", "b", "c")
        team.parts["b"].failing_starts = 1
        await team.crash("c")
        await team.wait()
        await team.wait()
        assert team.running() == ["a", "b", "c"]


async def test_an_actor_may_stop_its_own_group() -> None:
    """All of it is stopped, though the turn that says so is cancelled on the way."""

    class Fatal(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            await group.stop()

    async with Hub() as hub:
        group = hub.supervise("team")
        older, fatal = await group.spawn(Part("older", [])), await group.spawn(Fatal())
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, fatal.agent])
        await channel.post(boss, "stop")
        await older.wait()
        assert (older.is_running, fatal.is_running, group.members) == (False, False, ())


async def test_a_group_lets_turns_end_when_it_is_stopped() -> None:
    """They have the grace of the whole group together, and what comes meanwhile stays."""
    clock, release = ManualClock(), anyio.Event()

    async def slow(turn: Turn) -> None:
        await release.wait()

    async with Hub(clock=clock) as hub:
        group = hub.supervise("team")
        handle = await group.spawn(slow)
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, handle.agent])
        await channel.post(boss, 1)
        await until_idle()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: group.stop(grace_seconds=10))
            await until_idle()
            await channel.post(boss, 2)
            release.set()
        assert handle.statistics().handled == 1
        assert hub.statistics().envelopes_pending == 1
        with pytest.raises(ConfigurationError):
            await group.stop(grace_seconds=-1)


# --- groups in groups -------------------------------------------------------------------------------------------------


async def test_a_group_in_a_group_crashes_as_a_whole() -> None:
    """The group above starts it again, with whom its strategy says; then its crashes count from the beginning."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        team, top = Team(hub, clock), hub.supervise("top", strategy=Strategy.REST_FOR_ONE, within_seconds=1000)
        await team.spawn(top, "first")
        inner = top.supervise("inner", restarts_max=0)
        await team.spawn(inner, "a", "b")
        await team.spawn(top, "last")
        for _ in range(2):
            await team.crash("b")
            assert team.running() == ["first"]
            assert not inner.is_stopped
            await team.wait()
            assert team.running() == ["first", "a", "b", "last"]
        assert team.diary.count("a starts") == 2
        assert hub.health().healthy
        await hub.flush()
        assert [(event.group, event.above) for event in recorder.of("group.crashed")] == [("inner", "top")] * 2
        assert recorder.of("group.stopped") == []


async def test_a_group_gives_up_with_all_that_is_in_it() -> None:
    """The group at the top stops, and names all actors."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        team, top = Team(hub, clock), hub.supervise("top", restarts_max=0)
        inner = top.supervise("inner", restarts_max=0)
        await team.spawn(top, "first")
        await team.spawn(inner, "a", "b")
        await team.crash("b")
        assert team.running() == []
        assert (inner.is_stopped, top.is_stopped) == (True, True)
        await hub.flush()
        assert [(event.group, event.members) for event in recorder.of("group.stopped")] == [
            ("top", ("first", "a", "b"))
        ]
        assert recorder.of("group.crashed")[-1].backoff_seconds is None
        assert "'top'" in hub.health().problems[0]
        with pytest.raises(CommandRejected, match="has stopped"):
            await inner.spawn(Part("c", []))
        with pytest.raises(CommandRejected, match="has stopped"):
            top.supervise("another")


async def test_the_end_of_a_hub_stops_groups_in_groups() -> None:
    team_diary: list[str] = []
    async with Hub() as hub:
        top = hub.supervise("top")
        inner = top.supervise("inner")
        for group, name in ((top, "a"), (inner, "b"), (top, "c")):
            await group.spawn(Part(name, team_diary))
        assert [each.group for each in hub.statistics().actors] == ["top", "inner", "top"]
    assert team_diary[3:] == ["c stops", "b stops", "a stops"]


async def test_a_name_is_one_group() -> None:
    """The same rules return it, and others are refused, also where it stands elsewhere."""
    async with Hub() as hub:
        group = hub.supervise("team", restarts_max=5)
        await hub.supervise("team", restarts_max=5).spawn(Part("a", []))
        assert [member.name for member in group.members] == ["a"]
        other = hub.supervise("other")
        for make in (hub.supervise, other.supervise):
            with pytest.raises(CommandRejected, match="there already"):
                make("team")
        with pytest.raises(CommandRejected, match="there already"):
            other.supervise("team", restarts_max=5)
        with pytest.raises(CommandRejected, match="there already"):
            await hub.spawn(Part("team", []))
        await hub.spawn(Part("alone", []))
        with pytest.raises(CommandRejected, match="'alone'"):
            hub.supervise("alone")
        for wrong in (7, "", None, "\ud800"):
            name: Any = wrong
            with pytest.raises(ConfigurationError):
                group.supervise(name)


# --- what is left -----------------------------------------------------------------------------------------------------


async def test_groups_of_jobs_leave_nothing_behind() -> None:
    """Neither an actor that was spawned alone, nor a group of its own, nor one in a group."""
    left: list[weakref.ref[Any]] = []

    async def job(name: str) -> None:
        groups = (hub.supervise(f"group of {name}"), jobs.supervise(f"inner of {name}"))
        handles = [await hub.spawn(Part(name, []))]
        handles += [await group.spawn(Part(f"{group.name} actor", [])) for group in groups]
        left.extend(weakref.ref(group._supervisor) for group in groups)
        left.append(weakref.ref(handles[0]._crew.members[0].supervisor))
        for handle in handles:
            await handle.stop()
            await handle.agent.unregister()

    async with Hub() as hub:
        jobs = hub.supervise("jobs")
        for number in range(50):
            await job(f"job {number}")
        await until_idle()
        gc.collect()
        assert [each for each in left if each() is not None] == []
        assert hub.statistics().actors == ()
        actors = hub._parts.actors.made()
        assert (len(actors._present), len(actors._by_agent), len(actors._groups)) == (0, 0, 1)


async def test_a_stopped_group_answers_no_ask() -> None:
    """Who waits gets AskFailed at once, who asks later, too; a new actor answers."""

    async def slow(turn: Turn) -> None:
        if turn.content == "wait":
            await anyio.sleep_forever()
        await turn.reply("well")

    failures: list[str] = []
    async with Hub(clock=ManualClock()) as hub:
        group = hub.supervise("team")
        handle = await group.spawn(slow)
        boss = await hub.agents.register("boss")

        async def ask() -> None:
            try:
                await hub.ask(boss, handle.agent, "wait", timeout=1000)
            except AskFailed as error:
                failures.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await until(lambda: len(hub.turns.open()) == 1)
            await group.stop()
        await ask()
        assert len(failures) == 3
        assert all("team" in each for each in failures)
        assert hub.statistics().envelopes_pending == 0
        await hub.spawn(slow)
        assert (await hub.ask(boss, handle.agent, "go")).content == "well"
