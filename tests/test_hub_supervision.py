"""Supervision: who is started again after a crash, in which order, how often, and what is left of the others."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import ActorHandle, Agent, BaseActor, Escalate, Group, Hub, Restart, Strategy, Turn
from hubwire.errors import CommandRejected, ConfigurationError
from hubwire.testing import ManualClock, Recorder
from support import until_idle


class Part(BaseActor):
    """Crashes when it is told to; writes down its starts and stops."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self.diary = diary
        self.refuses_to_start = False

    async def on_start(self, hub: Any, agent: Agent) -> None:
        if self.refuses_to_start:
            self.diary.append(f"{self.name} fails")
            raise RuntimeError("cannot start")
        self.diary.append(f"{self.name} starts")

    async def on_envelope(self, turn: Turn, /) -> None:
        if turn.content == "crash" and turn.delivery.attempt == 1:
            raise Escalate(self.name)
        if turn.content == "wait":
            await anyio.sleep_forever()
        if turn.content == "end":
            turn.stop()

    async def on_stop(self) -> None:
        self.diary.append(f"{self.name} stops")


class Team:
    """Three parts of one group, and somebody to tell them things."""

    def __init__(self, hub: Hub, clock: ManualClock, group: Group) -> None:
        self.hub = hub
        self.clock = clock
        self.group = group
        self.diary: list[str] = []
        self.parts: dict[str, Part] = {}
        self.handles: dict[str, ActorHandle] = {}

    async def spawn(self, *names: str, **settings: Any) -> None:
        for name in names:
            self.parts[name] = Part(name, self.diary)
            self.handles[name] = await self.group.spawn(self.parts[name], **settings)
        self.diary.clear()

    async def tell(self, content: str, *names: str) -> None:
        boss = self.hub.agents.find("boss") or await self.hub.agents.register("boss")
        agents = [self.handles[name].agent for name in names]
        channel = await self.hub.channels.open([boss, *agents])
        await channel.post(boss, content)
        await until_idle()

    async def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await until_idle()

    def running(self) -> list[str]:
        return [name for name, handle in self.handles.items() if handle.is_running]


@pytest.mark.parametrize(
    ("strategy", "stopped"),
    [
        (Strategy.ONE_FOR_ONE, ["b"]),
        (Strategy.ONE_FOR_ALL, ["b", "c", "a"]),
        (Strategy.REST_FOR_ONE, ["b", "c"]),
    ],
)
async def test_a_strategy_decides_which_actors_restart(strategy: Strategy, stopped: list[str]) -> None:
    """They are stopped in reverse order, and started in order."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team = Team(hub, clock, hub.supervise("team", strategy=strategy))
        await team.spawn("a", "b", "c")
        await team.tell("crash", "b")
        assert team.diary == [f"{name} stops" for name in stopped]
        assert team.running() == [name for name in "abc" if name not in stopped]
        await team.wait(0.1)
        assert team.diary[len(stopped) :] == [f"{name} starts" for name in sorted(stopped)]
        assert team.running() == ["a", "b", "c"]
        assert hub.health().healthy


async def test_a_stopped_sibling_gets_its_envelope_again() -> None:
    """It does not count as an attempt."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder], close_seconds_max=0.2) as hub:
        team = Team(hub, clock, hub.supervise("team", strategy=Strategy.ONE_FOR_ALL))
        await team.spawn("a", "b")
        await team.tell("wait", "a")
        await team.tell("crash", "b")
        await team.wait(0.1)
        assert team.running() == ["a", "b"]
        await hub.flush()
        assert [event.agent_id for event in recorder.of("turn.abandoned")] == [team.handles["a"].agent.id]
        started = [event for event in recorder.of("turn.started") if event.agent_id == team.handles["a"].agent.id]
        assert len(started) == 2
        assert recorder.of("envelope.nacked")[0].agent_id == team.handles["b"].agent.id


async def test_a_group_that_crashes_too_often_stops() -> None:
    """Health and an event report it."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        group = hub.supervise("team", restarts_max=2, within_seconds=10)
        team = Team(hub, clock, group)
        await team.spawn("a", "b")
        for number in range(3):
            assert not group.is_stopped
            await team.tell("crash", "b")
            if number < 2:
                await team.wait(1)
                assert team.running() == ["a", "b"]
        assert team.running() == []
        assert team.diary[-1] == "a stops"
        await hub.flush()
        stopped = recorder.of("group.stopped")
        assert [(event.group, event.members) for event in stopped] == [("team", ("a", "b"))]
        assert "more than 2 restarts within 10 s" in stopped[0].reason
        assert recorder.of("actor.crashed")[-1].backoff_seconds is None
        assert [event.name for event in recorder.of("actor.stopped")] == ["b", "a"]
        assert await team.handles["b"].wait()
        assert "actor group 'team' has stopped" in hub.health().problems[0]
        with pytest.raises(CommandRejected):
            await group.spawn(Part("c", []))
        # What it had is kept, for who comes next.
        assert hub.statistics().envelopes_pending == 1
        team.group = hub.supervise("team")
        await team.spawn("a", "b")
        assert hub.health().healthy


async def test_old_restarts_do_not_count() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team = Team(hub, clock, hub.supervise("team", restarts_max=1, within_seconds=5))
        await team.spawn("a")
        for _ in range(5):
            await team.tell("crash", "a")
            await team.wait(5.1)
            assert team.running() == ["a"]


async def test_the_pause_before_a_restart_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is random."""
    limits: list[float] = []

    def uniform(_: float, high: float) -> float:
        limits.append(high)
        return high

    monkeypatch.setattr("random.uniform", uniform)
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        group = hub.supervise("team", restarts_max=10, within_seconds=1000, backoff_seconds=1, backoff_seconds_max=5)
        team = Team(hub, clock, group)
        await team.spawn("a")
        for _ in range(5):
            await team.tell("crash", "a")
            await team.wait(limits[-1] - 0.01)
            assert team.running() == []
            await team.wait(0.02)
            assert team.running() == ["a"]
    assert limits == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("restart", "content", "is_restarted"),
    [
        (Restart.PERMANENT, "crash", True),
        (Restart.PERMANENT, "end", True),
        (Restart.TRANSIENT, "crash", True),
        (Restart.TRANSIENT, "end", False),
        (Restart.TEMPORARY, "crash", False),
        (Restart.TEMPORARY, "end", False),
    ],
)
async def test_an_actor_restarts_by_its_own_policy(restart: Restart, content: str, is_restarted: bool) -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team = Team(hub, clock, hub.supervise("team", strategy=Strategy.ONE_FOR_ALL))
        await team.spawn("a", "b", restart=restart)
        await team.tell(content, "a")
        await team.wait(1)
        assert team.running() == (["a", "b"] if is_restarted else ["b"])
        assert ("b stops" in team.diary) == is_restarted
        assert hub.health().healthy


async def test_a_failing_restart_is_repeated() -> None:
    """It is repeated until the group gives up."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        group = hub.supervise("team", strategy=Strategy.REST_FOR_ONE, restarts_max=2)
        team = Team(hub, clock, group)
        await team.spawn("a", "b", "c")
        team.parts["b"].refuses_to_start = True
        await team.tell("crash", "b")
        await team.wait(0.1)
        assert team.diary == ["b stops", "c stops", "b fails"]
        assert team.running() == ["a"]
        await team.wait(0.2)
        assert team.running() == []
        assert group.is_stopped
        assert team.diary == ["b stops", "c stops", "b fails", "b fails", "a stops"]


async def test_a_crash_during_a_restart_restarts_all() -> None:
    """All actors that wait to be started again come back in order."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team = Team(hub, clock, hub.supervise("team", strategy=Strategy.REST_FOR_ONE))
        await team.spawn("a", "b", "c")
        await team.tell("crash", "c")
        await team.tell("crash", "a")
        assert team.running() == []
        await team.wait(0.2)
        assert team.running() == ["a", "b", "c"]
        assert team.diary == ["c stops", "a stops", "b stops", "a starts", "b starts", "c starts"]


async def test_two_crashes_at_once_are_both_restarted() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team = Team(hub, clock, hub.supervise("team", strategy=Strategy.REST_FOR_ONE))
        await team.spawn("a", "b", "c")
        await team.tell("crash", "a", "b")
        await team.wait(1)
        assert team.running() == ["a", "b", "c"]


async def test_a_failed_first_start_is_raised() -> None:
    """The caller of `spawn` gets the exception."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        part = Part("a", [])
        part.refuses_to_start = True
        with pytest.raises(RuntimeError, match="cannot start"):
            await hub.spawn(part)
        assert hub.statistics().actors == ()
        part.refuses_to_start = False
        await hub.spawn(part)
        assert [each.name for each in hub.statistics().actors] == ["a"]
        await hub.flush()
        assert "cannot start" in recorder.of("actor.stopped")[0].reason


async def test_linked_actors_end_together() -> None:
    """A restart is not an end."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team = Team(hub, clock, hub.supervise("team"))
        await team.spawn("a", "b", "c", "d")
        a, b, c, d = team.handles.values()
        a.link(b)
        b.link(c)
        await team.tell("crash", "a")
        await team.wait(1)
        assert team.running() == ["a", "b", "c", "d"]
        await a.stop()
        assert await c.wait() == "stopped"
        assert team.running() == ["d"]
        d.link(a)
        assert await d.wait() == "stopped"


async def test_stopping_a_group_cancels_restarts() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        team = Team(hub, clock, hub.supervise("team"))
        await team.spawn("a", "b")
        await team.tell("crash", "a")
        await team.group.stop()
        await team.wait(10)
        assert team.running() == []
        assert team.diary == ["a stops", "b stops"]
        assert hub.health().healthy


async def test_an_impossible_group_is_refused() -> None:
    async with Hub() as hub:
        for wrong in (
            {"restarts_max": -1},
            {"within_seconds": 0},
            {"backoff_seconds": -1},
            {"strategy": "one_for_all"},
        ):
            settings: Any = wrong
            with pytest.raises(ConfigurationError):
                hub.supervise("team", **settings)
        group = hub.supervise("team")
        await group.spawn(Part("a", []))
        with pytest.raises(CommandRejected, match="there already"):
            hub.supervise("team", restarts_max=4)
        assert [member.name for member in hub.supervise("team").members] == ["a"]
        settings = {"restart": "permanent"}
        with pytest.raises(ConfigurationError):
            await group.spawn(Part("b", []), **settings)
