"""The phases of a hub's life: the table of legal moves, and what each phase allows."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

import anyio
import pytest

from hubwire import Duty, Event, GenericEvent, Hub, Limits
from hubwire._commit.phase import MOVES, Lifecycle, Phase
from hubwire.errors import (
    CommandRejected,
    ConfigurationError,
    HubClosed,
    HubError,
    HubFailed,
    ListenerFailed,
    NotLeading,
)
from hubwire.stores import MemoryStore
from support import GatedStore


def in_phase(phase: Phase) -> Lifecycle:
    """Return a lifecycle that came to this phase by legal moves."""
    lifecycle = Lifecycle()
    for step in {
        Phase.NEW: (),
        Phase.FOLLOWING: (Phase.FOLLOWING,),
        Phase.STARTING: (Phase.STARTING,),
        Phase.OPEN: (Phase.STARTING, Phase.OPEN),
        Phase.CLOSING: (Phase.STARTING, Phase.OPEN, Phase.CLOSING),
        Phase.STOPPED: (Phase.STARTING, Phase.STOPPED),
        Phase.FAILED: (Phase.STARTING,),
    }[phase]:
        lifecycle.move(step)
    if phase is Phase.FAILED:
        assert lifecycle.fail(HubFailed("it failed"))
    return lifecycle


def test_every_phase_has_its_moves() -> None:
    assert set(MOVES) == set(Phase)
    reachable = {phase for phases in MOVES.values() for phase in phases}
    assert reachable == set(Phase) - {Phase.NEW}


@pytest.mark.parametrize(("start", "target"), [*itertools.product(Phase, Phase)], ids=lambda phase: phase.value)
def test_only_the_moves_of_the_table_are_legal(start: Phase, target: Phase) -> None:
    lifecycle = in_phase(start)
    if target in MOVES[start]:
        lifecycle.move(target)
        assert lifecycle.phase is target
    else:
        with pytest.raises(AssertionError, match="cannot be followed by"):
            lifecycle.move(target)
        assert lifecycle.phase is start


def test_the_first_failure_counts() -> None:
    lifecycle, first = in_phase(Phase.OPEN), HubFailed("first")
    assert lifecycle.fail(first)
    assert not lifecycle.fail(HubFailed("second"))
    assert lifecycle.failure is first


@pytest.mark.parametrize(
    ("phase", "error", "text"),
    [
        (Phase.NEW, HubClosed, "not running yet"),
        (Phase.FOLLOWING, NotLeading, "follows another one"),
        (Phase.STARTING, HubClosed, "starting"),
        (Phase.CLOSING, HubClosed, "closing, and takes no more commands"),
        (Phase.STOPPED, HubClosed, "make a new one"),
        (Phase.FAILED, HubFailed, "it failed"),
    ],
)
def test_a_refused_command_names_the_phase(phase: Phase, error: type[HubError], text: str) -> None:
    with pytest.raises(error, match=text):
        in_phase(phase).check_open()


def test_what_each_phase_takes() -> None:
    taken = {
        phase: (life.is_open, life.takes_events, life.takes_listeners, life.was_started)
        for phase in Phase
        for life in [in_phase(phase)]
    }
    assert taken == {
        Phase.NEW: (False, False, True, False),
        Phase.FOLLOWING: (False, False, True, True),
        Phase.STARTING: (False, True, True, True),
        Phase.OPEN: (True, True, True, True),
        Phase.CLOSING: (False, True, False, True),
        Phase.STOPPED: (False, False, False, True),
        Phase.FAILED: (False, False, False, True),
    }


class PhaseWatcher:
    """A REQUIRED listener that notes the hub's phase at every event, and whether it could emit then."""

    duty = Duty.REQUIRED
    pattern = ("hub.*", "note.asked")

    def __init__(self) -> None:
        self.seen: list[tuple[str, Phase]] = []

    def bind(self, hub: Hub) -> None:
        self.hub = hub

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            self.seen.append((event.kind, self.hub._parts.lifecycle.phase))


async def test_a_hub_goes_through_its_phases() -> None:
    watcher = PhaseWatcher()
    hub = Hub(MemoryStore(), listeners=[watcher])
    phases = [hub._parts.lifecycle.phase]
    async with hub:
        phases.append(hub._parts.lifecycle.phase)
        await hub.emit(GenericEvent(kind="note.asked"))
    phases.append(hub._parts.lifecycle.phase)
    assert phases == [Phase.NEW, Phase.OPEN, Phase.STOPPED]
    assert watcher.seen == [
        ("hub.started", Phase.STARTING),
        ("note.asked", Phase.OPEN),
        ("hub.stopped", Phase.STOPPED),
    ]


class Refuses:
    duty = Duty.REQUIRED

    async def __aenter__(self) -> None:
        raise RuntimeError("no")

    async def __aexit__(self, *_: object) -> None: ...

    async def on_events(self, events: Sequence[Event]) -> None: ...


async def test_a_refused_start_ends_as_stopped() -> None:
    hub = Hub(listeners=[Refuses()])
    with pytest.raises(ListenerFailed, match=r"'Refuses' could not be entered .RuntimeError: no"):
        await hub.start()
    assert hub._parts.lifecycle.phase is Phase.STOPPED
    with pytest.raises(ConfigurationError, match="started already"):
        await hub.start()
    with pytest.raises(HubClosed, match="make a new one"):
        await hub.emit(GenericEvent(kind="a.b"))
    with pytest.raises(HubClosed):
        hub.attach(PhaseWatcher())


class Fails:
    duty = Duty.REQUIRED
    pattern = "fail.now"

    async def on_events(self, events: Sequence[Event]) -> None:
        raise RuntimeError("broken")


async def test_a_failed_hub_answers_every_way_in_with_its_failure() -> None:
    hub = Hub(listeners=[Fails()])
    ways: list[Callable[[], object]] = [
        lambda: hub.emit_nowait(GenericEvent(kind="a.b")),
        lambda: hub.attach(PhaseWatcher()),
        lambda: hub.supervise("group"),
        lambda: hub.emit_threadsafe(GenericEvent(kind="a.b")).result(0),
    ]
    with pytest.raises(ListenerFailed):
        async with hub:
            with pytest.raises(ListenerFailed):
                await hub.emit(GenericEvent(kind="fail.now"))
            await anyio.wait_all_tasks_blocked()
            assert hub._parts.lifecycle.phase is Phase.FAILED
            for way in ways:
                with pytest.raises(ListenerFailed, match="broken"):
                    way()


# --- limits -----------------------------------------------------------------------------------------------------------


def test_limits_may_be_given_as_a_value_or_as_keywords() -> None:
    limits = Limits(ring=16, in_flight_max=8)
    assert Hub(limits=limits)._parts.limits == limits
    assert Hub(limits=limits, ring=32)._parts.limits == Limits(ring=32, in_flight_max=8)
    assert Hub()._parts.limits == Limits()
    assert Hub(close_seconds_max=0)._parts.limits.close_seconds_max == 0


@pytest.mark.parametrize("name", ["ring", "in_flight_max", "event_bytes_max", "snapshot_bytes", "journal_bytes_max"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1", float("nan"), [1]])
def test_a_limit_that_cannot_work_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number"):
        Hub(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["close_seconds_max", "arbiter_seconds_max"])
@pytest.mark.parametrize("value", [-1, True, "1", float("nan"), [1]])
def test_a_time_limit_that_cannot_work_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a number of seconds"):
        Limits(**{name: value})  # type: ignore[arg-type]


async def test_a_refused_kind_names_what_makes_it() -> None:
    async with Hub() as hub:
        for kind, text in {
            "agent.registered": "agents.register",
            "model.called": "declared; emit its class, ModelCalled",
            "hub.paused": "a kind of the hub's own",
        }.items():
            with pytest.raises(CommandRejected, match=text):
                await hub.emit(GenericEvent(kind=kind))


async def test_a_hub_cancelled_before_its_first_step_ends() -> None:
    hub = Hub()
    starting = asyncio.create_task(hub.start())
    while not (made := [task for task in asyncio.all_tasks() if task.get_name() == "hubwire hub"]):  # noqa: ASYNC110 - nothing is set
        await asyncio.sleep(0)
    made[0].cancel()  # start() has made the hub's task, which has not run yet
    with anyio.fail_after(10), pytest.raises(HubClosed, match="cancelled while it started"):
        await starting
    assert hub._parts.lifecycle.phase is Phase.STOPPED
    with pytest.raises(HubClosed, match="make a new one"):
        await hub.emit(GenericEvent(kind="a.b"))


@pytest.mark.slow
async def test_a_close_that_cannot_commit_fails() -> None:
    """The last events are on the ring, and the journal does not take them: STOPPED is followed by FAILED."""
    store = GatedStore()
    hub = Hub(store, close_seconds_max=0.05)
    await hub.start()
    store.gate.close()
    with pytest.raises(HubFailed, match="were not committed within"):
        await hub.aclose()
    assert hub._parts.lifecycle.phase is Phase.FAILED
    store.gate.open()
