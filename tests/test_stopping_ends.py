"""The end of closing: one deadline, a journal that is closed though its time is over, and code that never ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio
import pytest

from hubwire import Duty, Event, Hub, StoreJournal, codec
from hubwire._commit.own_thread import in_own_thread
from hubwire._life import ABORT_SECONDS_MAX
from hubwire._stopping import Deadline
from hubwire._version import installed_version
from hubwire.errors import HubFailed
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import numbers, said, until, until_idle
from support.stopping import SOON


async def test_the_time_for_closing_runs_once() -> None:
    """Whoever asks again for the end gets no more time."""
    deadline = Deadline(60)
    deadline.begin()
    end, begun = deadline.at(1), anyio.current_time()
    await until(lambda: anyio.current_time() > begun)
    deadline.begin()
    assert deadline.at(1) == end


async def test_an_abort_takes_no_longer_than_a_close() -> None:
    """It has a second, or what is left of the time for closing."""
    short, long = Deadline(0.5), Deadline(3600)
    short.begin(ABORT_SECONDS_MAX)
    long.begin(ABORT_SECONDS_MAX)
    assert short.seconds_max == 0.5
    assert long.seconds_max < 3600


class Released(StoreJournal):
    """Notes how it is given up."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.calls: list[str] = []

    async def release(self) -> None:
        self.calls.append("release")
        await super().release()

    async def aclose(self) -> None:
        self.calls.append("aclose")
        await super().aclose()


async def test_an_aborted_hub_only_gives_its_journal_up() -> None:
    """It is done at once, with a second at most."""
    ends = []
    for end in (Hub.aclose, Hub.abort):
        journal = Released(MemoryStore())
        hub = Hub(journal=journal, close_seconds_max=3600)
        await hub.start()
        await end(hub)
        ends.append(journal.calls)
        assert (hub._life._end_of_closing.seconds_max < 3600) is (end is Hub.abort)
    assert ends == [["aclose"], ["release"]]


class Slowly(Recorder):
    """Needs a while for all that it does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        await self._work("on_events")
        await super().on_events(events)

    async def __aenter__(self) -> None:
        await self._work("__aenter__")

    async def __aexit__(self, *_: object) -> None:
        await self._work("__aexit__")

    async def _work(self, call: str) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        self.calls.append(call)


async def test_listeners_are_left_though_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A required one has handled the last event, and can write down that it has."""
    monkeypatch.setattr("hubwire._stopping._LAST_STEP_SECONDS_MAX", 600.0)
    monkeypatch.setattr("hubwire._life.LEAVE_BEHIND_SECONDS", 600.0)
    listener = Slowly()
    hub = Hub(close_seconds_max=3600)
    hub.attach(listener, duty=Duty.REQUIRED)
    await hub.start()
    await hub.emit(said())
    hub._life._end_of_closing._begun = anyio.current_time() - 3600  # what guests have used up
    await hub.aclose()
    assert listener.kinds[-1] == "hub.stopped"
    assert listener.calls[-1] == "__aexit__"


async def test_a_start_waits_for_required_listeners() -> None:
    """When the hub is open, its commits wait for them: they have seen what was before."""
    store = MemoryStore()
    async with Hub(store) as hub:
        for number in range(3):
            await hub.emit(said(number))
    gated = GatedRecorder()
    gated.close()
    hub = Hub(store)
    hub.attach(gated, duty=Duty.REQUIRED, since="start")
    starting = asyncio.create_task(hub.start())
    for _ in range(3):
        await in_own_thread(installed_version)  # as the start does, when it goes on
        await until_idle()
    assert not starting.done()
    gated.open()
    await starting
    assert numbers(gated.events) == [0, 1, 2]
    await hub.aclose()


class Stubborn(ManualClock):
    """Swallows cancellation, in the tasks that sleep, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                pass


async def test_a_hub_that_is_left_behind_does_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks do not end, but it is over: its pulse stops, and what other threads wait for is refused."""
    monkeypatch.setattr("hubwire._life.LEAVE_BEHIND_SECONDS", SOON)
    clock = Stubborn()
    hub = Hub(MemoryStore(), clock=clock, close_seconds_max=SOON)
    await hub.start()
    await hub.emit(said())
    try:
        with anyio.fail_after(30), pytest.raises(HubFailed, match="was not closed within"):
            await hub.aclose()
        main, pulse = hub._life._main, hub._parts.pulse._handle
        assert main is not None
        assert not main.done()
    finally:
        clock.let_go.set()  # a loop does not end before its tasks
    await asyncio.wait([main])
    assert pulse is None


class Slow(MemoryStore):
    """Takes a while to write a marker."""

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        if path.endswith("/clean"):
            for _ in range(100):
                await asyncio.sleep(0)
        await super().write(path, content, if_absent=if_absent, expect=expect)


async def test_a_journal_is_closed_though_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean marker spares the next start much."""
    monkeypatch.setattr("hubwire._life._JOURNAL_SECONDS_MIN", 60)
    store = Slow()
    async with Hub(store, close_seconds_max=1e-9) as hub:
        await hub.emit(said())
    assert codec.decode_marker(await store.read_bytes("/journal/clean") or b"")["closed"] is True
