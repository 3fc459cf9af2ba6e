"""What health and statistics tell of commits that hang, of a loop that is blocked, and of what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hubwire import Duty, Event, GenericEvent, Hub
from hubwire._commit.pulse import LAG_SECONDS
from hubwire.channel_types import Conversation
from hubwire.errors import AlreadyRunning, EventTooLarge
from hubwire.expectations import Expectation
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import Gate, ManualClock, Recorder
from support import GatedStore, said, until, until_idle


class Now:
    """The time by which the pulse measures."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr("hubwire._commit.pulse.monotonic", lambda: self.seconds)


async def test_an_append_that_hangs_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    now, store = Now(monkeypatch), GatedStore()
    async with Hub(store) as hub:
        await hub.flush()
        pulse = hub._parts.pulse
        store.gate.close()
        pulse._look()
        event = hub.emit_nowait(said())
        pulse._look()
        now.seconds += 2.9
        pulse._look()
        assert hub.health().healthy
        now.seconds += 0.1
        (problem,) = hub.health().problems
        assert problem.startswith(f"event {event.seq} has waited 3 s for its commit, by the journal")
        assert hub.statistics().commit_stalled_seconds == pytest.approx(3.0)
        store.gate.open()
        await hub.flush()
        assert hub.health().healthy
        assert hub.statistics().commit_stalled_seconds == 0


async def test_a_required_listener_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    now, gate = Now(monkeypatch), Gate(is_open=False)

    class Slow:
        async def on_events(self, events: Sequence[Event]) -> None:
            await gate.pass_through()

    async with Hub(MemoryStore()) as hub:
        await hub.flush()
        await hub.attach(Slow(), duty=Duty.REQUIRED, pattern="number.*", name="slow").ready()
        event = hub.emit_nowait(said())
        await until(lambda: hub.statistics().journaled > event.seq)
        hub._parts.pulse._look()
        now.seconds += 10
        assert "by the required listener 'slow'" in hub.health().problems[0]
        gate.open()
        await hub.flush()


async def test_a_blocked_loop_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the next beat is in time; the most is kept."""
    monkeypatch.setattr("hubwire._health.LAG_SECONDS", LAG_SECONDS)
    now = Now(monkeypatch)
    async with Hub() as hub:
        pulse = hub._parts.pulse
        now.seconds += 3.5
        pulse._beat()
        assert "the event loop stood still for 2.5 s" in hub.health().problems[0]
        now.seconds += 1
        pulse._beat()
        assert hub.health().healthy
        assert (hub.statistics().loop_lag_seconds, hub.statistics().loop_lag_seconds_max) == (0.0, 2.5)
    assert pulse._handle is None


async def test_who_holds_a_directory_is_refused_by_its_name(tmp_path: Path) -> None:
    async with Hub(FileStore(tmp_path)):
        with pytest.raises(AlreadyRunning, match=str(tmp_path)):
            await Hub(FileStore(tmp_path)).start()


# --- what cannot be put ---------------------------------------------------------------------------------------------


class Growing(Conversation):
    """A channel type whose state becomes too large for any event when an agent is hidden or removed."""

    name = "growing"

    def participants_changed(self, manifest: Any, state: Any) -> Any:
        return "x" * 5_000_000


async def test_due_work_that_cannot_be_put_is_tried_again() -> None:
    """The other machines go on; an event and health say what waits. So it is at each start."""
    store, clock = MemoryStore(), ManualClock()
    for start in range(2):
        recorder = Recorder()
        hub = Hub(store, clock=clock, listeners=[recorder], event_bytes_max=1_000_000)
        hub.channels.register_type(Growing())
        async with hub:
            if not start:
                agents = [await hub.agents.register(name) for name in ("a", "b", "c")]
                hide = Expectation(name="reply_within", on_violation="hide", params={"seconds": 1})
                channel = await hub.channels.open(agents, type="growing", expectations=[hide])
                await channel.post(agents[0], "a question", to=[agents[1]])
                await until_idle()
                clock.advance(1)
            else:
                agents = [await hub.agents.register(f"another {start}")]
            aside: Any = await recorder.wait_for("hub.entry_set_aside")
            assert (aside.sort, aside.entry_id) == ("what is due", "expectations")
            assert "EventTooLarge" in aside.reason
            assert "tried again each minute" in hub.health().problems[0]
            task = await hub.tasks.start(agents[-1], "work", ttl_seconds=10)
            await until_idle()
            clock.advance(10)
            await recorder.wait_for("task.expired")
            assert task.id
            clock.advance(60)
            await recorder.wait_for("hub.entry_set_aside", count=2)


async def test_a_repair_that_cannot_be_put_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub starts, repairs all the rest, and says what it could not."""
    store = MemoryStore()
    hub = Hub(store)
    await hub.start()
    for number in range(600):
        await hub.emit(GenericEvent(kind="number.said", data={"n": number})) if not number % 100 else None
        hub.emit_nowait(_turn_started(number))
    await hub.flush()
    await hub.abort()

    again, recorder = Hub(store), Recorder()
    again.attach(recorder)
    put = again._pipeline.put

    def refusing(events: Sequence[Any], *rest: Any) -> Any:
        if any(getattr(event, "turn_id", None) == "turn 300" and event.kind == "turn.abandoned" for event in events):
            raise EventTooLarge("too large", kind="turn.abandoned", size_bytes=2, limit_bytes=1)
        return put(events, *rest)

    monkeypatch.setattr(again._pipeline, "put", refusing)
    async with again:
        aside: Any = await recorder.wait_for("hub.entry_set_aside")
        assert "turn 300" in aside.entry_id
        assert again.statistics().set_aside == 1
        assert "turn 300" in again.health().problems[0]
        await until(lambda: again.statistics().turns_open == 1)


def _turn_started(number: int) -> Any:
    from hubwire.events import TurnStarted

    return TurnStarted(agent_id="someone", turn_id=f"turn {number}", envelope_id="")
