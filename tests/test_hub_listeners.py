"""What can listen, under which name, and in which order the hub calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest

from hubwire import AttachmentState, BaseHubListener, Duty, Event, Hub
from hubwire.errors import (
    ConfigurationError,
    HubClosed,
    ListenerFailed,
)
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import numbers, said, until_idle
from support.fanout import Tried, attached

# --- names ----------------------------------------------------------------------------------------------------------


async def test_a_listener_is_named_after_its_class() -> None:
    """A function gives its own name, and a second one of a name is numbered."""

    def watch(_: Event) -> None:
        pass

    hub = Hub(listeners=[Recorder(), Recorder(), watch])
    hub.attach(Recorder())
    hub.attach(Recorder(), name="my own")
    names = [each.name for each in hub.statistics().attachments]
    assert names == ["Recorder", "Recorder-2", "watch", "Recorder-3", "my own"]


async def test_a_name_is_unique_while_attached() -> None:
    async with Hub() as hub:
        attachment = await attached(hub, Recorder(), name="taken")
        with pytest.raises(ConfigurationError, match="'taken' is attached already"):
            hub.attach(Recorder(), name="taken")
        await attachment.detach()
        await attached(hub, Recorder(), name="taken")
        assert [each.name for each in hub.statistics().attachments] == ["taken"]


async def test_a_refused_listener_is_not_bound() -> None:
    """A listener that cannot be bound is not attached."""
    bound: list[str] = []

    class Bound(Recorder):
        def bind(self, hub: Hub) -> None:
            bound.append("bound")
            raise RuntimeError("not to this one")

    hub = Hub()
    hub.attach(Recorder(), name="taken")
    with pytest.raises(ConfigurationError):
        hub.attach(Bound(), name="taken")
    assert bound == []
    with pytest.raises(ConfigurationError, match="not to this one"):
        hub.attach(Bound(), name="free")
    assert [each.name for each in hub.statistics().attachments] == ["taken"]


# --- what may listen ------------------------------------------------------------------------------------------------


async def test_a_decorated_function_listens() -> None:
    """It may be sync or async, and stays a function."""
    heard: list[tuple[str, str]] = []
    async with Hub() as hub:

        @hub.on("number.*", name="quick")
        def quick(each: Event) -> None:
            heard.append(("sync", each.kind))

        @hub.on(["number.*", "fanout.*"], duty=Duty.REQUIRED)
        async def thorough(each: Event) -> None:
            await asyncio.sleep(0)
            heard.append(("async", each.kind))

        await hub.emit(said())
        await hub.emit(Tried())
        await hub.flush()
        assert sorted(heard) == [("async", "fanout.tried"), ("async", "number.said"), ("sync", "number.said")]
        assert [each.name for each in hub.statistics().attachments] == ["quick", "thorough"]
        quick(said())
        assert heard[-1] == ("sync", "number.said")


async def test_on_without_a_pattern_hears_everything() -> None:
    heard: list[str] = []
    hub = Hub()

    @hub.on()
    def listen(each: Event) -> None:
        heard.append(each.kind)

    async with hub:
        await hub.emit(said())
    assert heard == ["hub.started", "number.said", "hub.stopped"]


async def test_a_callable_object_listens() -> None:
    class Callable_:  # noqa: N801 - the word is taken
        def __init__(self) -> None:
            self.heard: list[str] = []

        def __call__(self, each: Event) -> None:
            self.heard.append(each.kind)

    listener = Callable_()
    async with Hub() as hub:
        await attached(hub, listener, pattern="number.*")
        await hub.emit(said())
    assert listener.heard == ["number.said"]


async def test_an_object_with_hooks_listens() -> None:
    """All the rest of the port works for it."""
    calls: list[Any] = []

    class Hooks:
        duty = Duty.REQUIRED
        since = "start"

        def bind(self, hub: Hub) -> None:
            calls.append("bind")

        async def __aenter__(self) -> None:
            calls.append("enter")

        async def __aexit__(self, *_: object) -> None:
            calls.append("exit")

        def last_seq(self) -> int:
            return 1

        async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
            calls.append((kind, payload["name"]))

    store = MemoryStore()
    async with Hub(store) as hub:  # hub.started is event 0
        await hub.agents.register("one")
        await hub.agents.register("two")
    async with Hub(store, listeners=[Hooks()]) as hub:
        assert hub.statistics().attachments[0].duty is Duty.REQUIRED
    assert calls == ["bind", "enter", ("registered", "two"), "exit"]


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (Recorder, "Recorder is a class; attach an instance"),
        (object(), "neither on_events nor one of the hooks"),
        (None, "neither on_events nor one of the hooks"),
        ("print", "neither on_events nor one of the hooks"),
        (type("Sync", (), {"on_events": lambda self, events: None})(), "on_events must be a coroutine function"),
        (type("Sync", (), {"on_task_event": lambda *_: None})(), "on_task_event must be a coroutine function"),
        (type("Sync", (BaseHubListener,), {"on_event": lambda *_: None})(), "on_event must be a coroutine function"),
    ],
)
async def test_an_unfit_listener_is_refused(candidate: Any, message: str) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=message):
        hub.attach(candidate)
    with pytest.raises(ConfigurationError, match=message):
        Hub(listeners=[candidate])
    assert hub.statistics().attachments == ()


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"timeout": -1}, {"mailbox": 0}, {"duty": "required"}])
async def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError):
        hub.attach(Recorder(), **settings)
    assert hub.statistics().attachments == ()


async def test_attaching_to_an_ended_hub_is_refused() -> None:
    """A hub that is closed or has failed takes no listeners."""
    async with Hub() as closed:
        pass
    with pytest.raises(HubClosed):
        closed.attach(Recorder())
    failed = Hub()

    @failed.on("number.*", duty=Duty.REQUIRED)
    def fail(each: Event) -> None:
        raise ValueError("no")

    with pytest.raises(ListenerFailed):
        async with failed:
            await failed.emit(said())
    with pytest.raises(ListenerFailed):
        failed.attach(Recorder())


# --- the rest of the port -------------------------------------------------------------------------------------------


async def test_the_calls_of_a_listener_are_in_order() -> None:
    """It is bound, entered, given its events, and left."""
    calls: list[str] = []

    class Lives(Recorder):
        def bind(self, hub: Hub) -> None:
            assert isinstance(hub, Hub)
            calls.append("bind")

        async def __aenter__(self) -> None:
            calls.append("enter")

        async def __aexit__(self, *_: object) -> None:
            calls.append("exit")

        def last_seq(self) -> None:
            calls.append("last_seq")

        async def on_events(self, events: Sequence[Event]) -> None:
            calls.extend(each.kind for each in events)

    async with Hub(listeners=[Lives()]):
        pass
    assert calls == ["bind", "enter", "last_seq", "hub.started", "hub.stopped", "exit"]
    calls.clear()
    async with Hub() as hub:
        attachment = await attached(hub, Lives())
        await attachment.detach()
        assert calls == ["bind", "enter", "last_seq", "exit"]


async def test_last_seq_overrides_since() -> None:
    """It does so even if the listener cannot be entered."""

    class Keeps(Recorder):
        def last_seq(self) -> int | None:
            return 3

    store = MemoryStore()
    async with Hub(store) as hub:
        for n in range(5):
            await hub.emit(said(n))
    places: list[Any] = ["now", "start", 0]
    for since in places:
        keeps = Keeps()
        hub = Hub(store)
        hub.attach(keeps, since=since, duty=Duty.REQUIRED)
        async with hub:
            assert keeps.events[0].seq == 4


async def test_an_entered_listener_is_left() -> None:
    """It is left even if its position cannot be read."""
    calls: list[str] = []

    class Forgetful(Recorder):
        async def __aenter__(self) -> None:
            calls.append("enter")

        async def __aexit__(self, *_: object) -> None:
            calls.append("exit")

        def last_seq(self) -> int:
            raise OSError("where was I?")

    async with Hub() as hub:
        with pytest.raises(OSError, match="where was I"):
            await hub.attach(Forgetful()).ready()
        assert calls == ["enter", "exit"]


async def test_a_batch_has_at_most_256_events() -> None:
    slow = GatedRecorder()
    async with Hub() as hub:
        await attached(hub, slow)
        slow.close()
        hub.emit_nowait(said())
        await until_idle()
        for n in range(600):
            hub.emit_nowait(said(n))
        slow.open()
        await hub.flush()
        assert slow.batches[-4:] == [1, 256, 256, 88]


async def test_on_events_calls_do_not_overlap() -> None:
    running = 0

    class Alone(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(0)
            await super().on_events(events)
            running -= 1

    alone = Alone()
    async with Hub(listeners=[alone]) as hub, anyio.create_task_group() as tasks:
        for n in range(50):
            tasks.start_soon(hub.emit, said(n))
            await asyncio.sleep(0)
    assert len(numbers(alone.events)) == 50


async def test_statistics_of_an_attachment() -> None:
    slow = GatedRecorder()
    async with Hub(clock=ManualClock()) as hub:
        attachment = hub.attach(slow, name="slow", mailbox=5, pattern="number.*")
        assert attachment.statistics().state is AttachmentState.STARTING
        await attachment.ready()
        await hub.flush()
        slow.close()
        await hub.emit(said())
        await until_idle()
        for n in range(3):
            await hub.emit(said(n))
        statistics = attachment.statistics()
        assert hub.statistics().attachments == (statistics,)
        assert (statistics.name, statistics.duty, statistics.state) == (
            "slow",
            Duty.BEST_EFFORT,
            AttachmentState.RUNNING,
        )
        assert (statistics.lag, statistics.handled, statistics.position) == (4, 0, hub.statistics().applied - 4)
        slow.open()
        await hub.flush()
        statistics = attachment.statistics()
        assert (statistics.lag, statistics.handled, statistics.position) == (0, 4, hub.statistics().applied)
        assert (statistics.dropped, statistics.failed, statistics.restarts, statistics.last_error) == (0, 0, 0, None)
