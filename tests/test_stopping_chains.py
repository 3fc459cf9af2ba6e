"""What listeners owe when a hub closes: events to which events lead, and those that came before them."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from hubwire import Duty, Event, Hub, Overflow
from hubwire.errors import ConfigurationError
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, Recorder
from support import numbers, said, until


class Chain(Recorder):
    """Answers each number with the next, up to five."""

    hub: Hub

    def bind(self, hub: Hub) -> None:
        self.hub = hub

    async def on_events(self, events: Sequence[Event]) -> None:
        await super().on_events(events)
        for number in numbers(events):
            if number < 5:
                await self.hub.emit(said(number + 1))


@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.REQUIRED])
async def test_a_chain_of_events_ends_before_its_hub(duty: Duty) -> None:
    """Each is handled, and leads to the next, though the hub closes after the first."""
    chain = Chain()
    async with Hub() as hub:
        attachment = hub.attach(chain, pattern="number.*", duty=duty, overflow=Overflow.BLOCK, batch_max=1)
        await attachment.ready()
        hub.emit_nowait(said(0))
    assert numbers(chain.events) == [0, 1, 2, 3, 4, 5]


async def test_a_required_listener_that_came_late_may_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """It still catches up when the time of other listeners is over, and has that of the last steps for it."""
    monkeypatch.setattr("hubwire._stopping._LAST_STEP_SECONDS_MAX", 600.0)
    monkeypatch.setattr("hubwire._life.LEAVE_BEHIND_SECONDS", 600.0)
    late, witness = GatedRecorder(), Recorder()
    hub = Hub(MemoryStore(), close_seconds_max=3600)
    hub.attach(witness, pattern="hub.stopped")
    await hub.start()
    for number in range(3):
        await hub.emit(said(number))
    late.close()
    hub.attach(late, duty=Duty.REQUIRED, since=0)
    await until(lambda: bool(late.given))
    hub._life._end_of_closing._begun = anyio.current_time() - 3600  # what guests have used up
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hub.aclose)
        await until(lambda: witness.kinds == ["hub.stopped"] or hub._life._main.done())  # type: ignore[union-attr]
        late.open()
    assert late.kinds[-1] == "hub.stopped"
    assert numbers(late.events) == [0, 1, 2]


class Twin(Recorder):
    """Attaches another listener of its name when it is attached."""

    def bind(self, hub: Hub) -> None:
        hub.attach(Recorder(), name="twin")


async def test_a_name_taken_while_binding_is_refused() -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="named 'twin' is attached already"):
            hub.attach(Twin(), name="twin")
        assert len([each for each in hub._parts.fanout.attachments if each.name == "twin"]) == 1
