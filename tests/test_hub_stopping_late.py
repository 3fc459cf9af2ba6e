"""What hangs or fails while a hub closes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio
import anyio.to_thread
import pytest

from hubwire import AttachmentState, Duty, Event, Hub
from hubwire._commit.phase import Phase
from hubwire.errors import (
    HubFailed,
)
from hubwire.events import ListenerDetached
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers, said, until
from support.stopping import SOON, Watched


async def test_a_listener_that_hangs_at_close_is_cancelled() -> None:
    """It is cancelled at the deadline, and the others hear `hub.stopped`."""
    cancelled: list[str] = []

    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                try:
                    await anyio.sleep_forever()
                finally:
                    cancelled.append("cancelled")

    witness, required = Recorder(), Recorder()
    async with Hub(close_seconds_max=SOON) as hub:
        attachment = hub.attach(Hangs(), name="hangs")
        hub.attach(witness)
        hub.attach(required, duty=Duty.REQUIRED, name="required")
        await hub.emit(said())
    assert cancelled == ["cancelled"]
    assert attachment.state is AttachmentState.DETACHED
    assert required.kinds[-1] == witness.kinds[-1] == "hub.stopped"
    (detached,) = [each for each in witness.events if isinstance(each, ListenerDetached)]
    assert (detached.listener, detached.reason) == ("hangs", "it was cancelled, not being done when the hub closed")


async def test_what_is_committed_late_is_heard() -> None:
    """A listener that has handled all that is committed at the deadline is not cancelled for what is not."""

    class Holds(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                await until(lambda: hub._lifecycle.phase is Phase.STOPPED)

    witness = Recorder()
    hub = Hub(close_seconds_max=SOON)
    hub.attach(Holds(), duty=Duty.REQUIRED)
    hub.attach(witness)
    await hub.start()
    hub.emit_nowait(said(1))
    await hub.aclose()
    assert (numbers(witness.events), witness.kinds[-1]) == ([1], "hub.stopped")


@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.REQUIRED])
async def test_hanging_at_the_last_event_is_cancelled(duty: Duty) -> None:
    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if "hub.stopped" in [each.kind for each in events]:
                await anyio.sleep_forever()

    hub = Hub(MemoryStore(), close_seconds_max=SOON)
    hub.attach(Hangs(), duty=duty)
    await hub.start()
    await hub.emit(said())
    if duty is Duty.REQUIRED:
        with pytest.raises(HubFailed, match="the last 1 events were not committed"):
            await hub.aclose()
    else:
        await hub.aclose()


async def test_hanging_on_enter_is_cancelled_at_close() -> None:
    """It is cancelled at the deadline of the close."""

    class Hangs(Recorder):
        async def __aenter__(self) -> None:
            await anyio.sleep_forever()

    async with Hub(close_seconds_max=SOON) as hub:
        attachment = hub.attach(Hangs())
        await hub.emit(said())
    assert attachment.state is AttachmentState.DETACHED


async def test_hanging_on_leave_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(Recorder):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            await anyio.sleep_forever()

    monkeypatch.setattr("hubwire._delivery.handling.LEAVE_SECONDS_MAX", SOON)
    async with Hub() as hub:
        await hub.attach(Hangs()).ready()


async def test_failing_on_leave_is_in_the_statistics() -> None:
    class Fails(Recorder):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            raise OSError("stuck")

    async with Hub() as hub:
        attachment = hub.attach(Fails())
        await attachment.ready()
    assert attachment.statistics().last_error == "OSError: stuck"


async def test_hanging_on_enter_does_not_hold_the_start() -> None:
    class Hangs(Recorder):
        async def __aenter__(self) -> None:
            await anyio.sleep_forever()

    recorder, hub = Recorder(), Hub()
    attachment = hub.attach(Hangs(), name="hangs", timeout=SOON)
    hub.attach(recorder)
    async with hub:
        await hub.emit(said())
        assert hub.health().problems == (
            (
                "listener 'hangs' is detached: it could not be entered: ListenerTimeout: not entered after 0.05 s;"
                " mend the cause and attach it again"
            ),
        )
        assert attachment.state is AttachmentState.DETACHED
    assert numbers(recorder.events) == [0]


async def test_a_journal_that_hangs_at_close_is_abandoned() -> None:
    """It is given up at the deadline."""
    store = Watched()
    with pytest.raises(HubFailed, match="were not committed within"):
        async with Hub(store, close_seconds_max=SOON) as hub:
            await hub.flush()
            store.gate.close()
            hub.emit_nowait(said())
            asyncio.get_running_loop().call_later(10 * SOON, store.gate.open)
