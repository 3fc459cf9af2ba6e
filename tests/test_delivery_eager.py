"""Listeners where tasks start eagerly (Python 3.12 and later): the order of things is the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import pytest

from hubwire import AttachmentState, BaseHubListener, Duty, Event, Hub
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers, said, until

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start eagerly from Python 3.12 on")


@pytest.fixture
async def eager() -> AsyncIterator[None]:
    """Let the tasks of this loop run at once, to their first wait."""
    loop = asyncio.get_running_loop()
    factory: Any = vars(asyncio)["eager_task_factory"]
    loop.set_task_factory(factory)
    yield
    loop.set_task_factory(None)


class Enterable(Recorder):
    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls

    async def __aenter__(self) -> None:
        self.calls.append("entered")

    async def __aexit__(self, *_: object) -> None:
        self.calls.append("left")

    async def on_events(self, events: Sequence[Event]) -> None:
        await anyio.lowlevel.checkpoint()
        await super().on_events(events)


class OneByOne(BaseHubListener):
    def __init__(self) -> None:
        self.seen: list[int] = []

    async def on_event(self, event: Any) -> None:
        self.seen += numbers([event])


class Hangs:
    async def on_events(self, events: Sequence[Event]) -> None:
        await anyio.sleep_forever()


@pytest.mark.usefixtures("eager")
async def test_every_sort_of_listener_works_in_eager_tasks() -> None:
    """Each gets each event once, in order, between its enter and its exit; one that hangs is detached."""
    calls: list[str] = []
    recorders = {duty: Enterable(calls) for duty in Duty}
    one_by_one, from_function, from_thread = OneByOne(), list[Event](), list[Event]()

    async def listen(event: Event) -> None:
        from_function.append(event)

    async with Hub(MemoryStore(), listeners=[one_by_one]) as hub:
        for duty, each in recorders.items():
            hub.attach(each, duty=duty, name=duty.value)
        hub.attach(listen)
        hub.attach(from_thread.append)
        hangs = hub.attach(Hangs(), timeout=0.001, pattern="number.*")
        late = hub.attach(Recorder(), name="late")
        await late.ready()
        await late.detach()
        for n in range(20):
            await hub.emit(said(n))
        await until(lambda: hangs.state is AttachmentState.DETACHED)
        await hub.flush()
    assert one_by_one.seen == numbers(from_function) == numbers(from_thread) == list(range(20))
    assert all(numbers(each.events) == list(range(20)) for each in recorders.values())
    assert sorted(calls) == ["entered"] * 3 + ["left"] * 3
