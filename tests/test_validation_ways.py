"""Rules for events hold for every way to emit one: hub, agent, actor, batch, thread; and with an arbiter."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import BaseActor, Duty, Event, GenericEvent, Hub, HubThread, Limits, Turn
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import AccessDenied, ConfigurationError, EventInvalid, HubClosed, Overloaded
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, history, peek
from hubwire.validation import EventRule, Validation
from support import until, until_idle

Way = Callable[[Hub, Event], Awaitable[object]]

STRICT = Validation(EventRule("user.*", required=["source"], types={"data.id": int}))
WARN = Validation(EventRule("user.*", required=["source"], types={"data.id": int}), mode="warn")


def login(source: str | None = None, **data: Any) -> GenericEvent:
    return GenericEvent(kind="user.login", source=source, data=data)


async def by_emit(hub: Any, given: Event) -> object:
    return await hub.emit(given)


async def by_emit_nowait(hub: Any, given: Event) -> object:
    return hub.emit_nowait(given)


async def by_offer(hub: Any, given: Event) -> object:
    assert hub.offer(given)
    return None


async def by_emit_many(hub: Any, given: Event) -> object:
    return await hub.emit_many([GenericEvent(kind="other.said"), given])


async def by_batch(hub: Any, given: Event) -> object:
    async with hub.batch() as batch:
        batch.emit(given)
    return batch.committed


async def by_thread(hub: Hub, given: Event) -> object:
    return await anyio.to_thread.run_sync(lambda: hub.emit_threadsafe(given).result(10))


async def by_future(hub: Hub, given: Event) -> object:
    return await asyncio.wrap_future(hub.emit_threadsafe(given))


def as_agent(way: Way) -> Way:
    @functools.wraps(way)
    async def acting(hub: Hub, given: Event) -> object:
        acting_hub: Any = hub.acting_as(hub.agents.find("a") or await hub.agents.register("a"))
        return await way(acting_hub, given)

    acting.__name__ = f"acting_{way.__name__}"
    return acting


BY_HUB: Sequence[Way] = (by_emit, by_emit_nowait, by_offer, by_emit_many, by_batch, by_thread, by_future)
BY_AGENT: Sequence[Way] = tuple(map(as_agent, (by_emit, by_emit_nowait, by_emit_many, by_batch)))
every_way = pytest.mark.parametrize("way", [*BY_HUB, *BY_AGENT], ids=lambda way: way.__name__)


class Allowing:
    def authorize(self, command: Command, /) -> Allow:
        return Allow()


@every_way
@pytest.mark.parametrize("arbiter", [None, Allowing()], ids=["no arbiter", "arbiter"])
async def test_each_way_refuses_what_breaks_a_strict_rule(way: Way, arbiter: Any) -> None:
    """Every fault is said, nothing has changed, and what is right goes on."""
    async with Hub(MemoryStore(), validation=STRICT, arbiter=arbiter) as hub:
        await way(hub, login("crm", id=0))
        before = peek(hub)
        with pytest.raises(EventInvalid) as caught:
            await way(hub, login(id="x"))
        assert [each.path for each in caught.value.faults] == ["source", "data.id"]
        assert peek(hub) == before
        assert hub.statistics().events_refused == 1
        await way(hub, login("crm", id=1))
        await hub.flush()
        committed: Any = [each for each in await history(hub) if each.kind == "user.login"]
        assert [each.data["id"] for each in committed] == [0, 1]


@every_way
async def test_each_way_lets_pass_what_breaks_a_rule_to_warn(way: Way) -> None:
    seen = Recorder()
    async with Hub(MemoryStore(), validation=WARN, listeners=[seen]) as hub:
        await way(hub, login(id="x"))
        report: Any = await seen.wait_for("hub.event_questioned")
        assert report.count == 1
        assert len(report.faults) == 2
        assert hub.statistics().events_questioned == 1
        await way(hub, login("crm", id=1))
        assert hub.statistics().events_questioned == 1


async def test_a_batch_has_the_faults_of_all_its_events() -> None:
    """And none of it is taken."""
    async with Hub(MemoryStore(), validation=STRICT) as hub:
        before = peek(hub)
        with pytest.raises(EventInvalid, match=r"refused, for a 'user\.login' at 1: event 1: source has") as caught:
            await hub.emit_many([login("crm"), login(id="x"), login("crm", id="y")])
        said = [(each.place, each.path) for each in caught.value.faults]
        assert said == [(1, "source"), (1, "data.id"), (2, "data.id")]
        assert peek(hub) == before
        assert hub.statistics().events_refused == 2


async def test_a_batch_refuses_an_event_where_it_is_emitted() -> None:
    """The batch is as it was then, and can be gone on with."""
    async with Hub(MemoryStore(), validation=STRICT) as hub:
        async with hub.batch() as batch:
            batch.emit(login("a"))
            with pytest.raises(EventInvalid):
                batch.emit(login())
            batch.emit(login("b"))
        assert [each.source for each in batch.committed] == ["a", "b"]


async def test_the_events_of_an_abandoned_batch_are_not_reported() -> None:
    """Those that rules would let pass are counted when they are committed."""
    async with Hub(validation=WARN) as hub:
        with pytest.raises(KeyError):
            async with hub.batch() as batch:
                batch.emit(login())
                raise KeyError
        assert hub.statistics().events_questioned == 0


async def test_an_actor_is_told_what_is_wrong() -> None:
    """It emits through the hub as its agent has it."""
    told: list[EventInvalid] = []

    class Emitting(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            try:
                await turn.hub.emit(login())
            except EventInvalid as error:
                told.append(error)

    async with Hub(validation=STRICT) as hub:
        a = await hub.agents.register("a")
        actor = await hub.spawn(Emitting(), name="b")
        channel = await hub.channels.open([a, actor.agent])
        await channel.post(a, "go")
        await until(lambda: bool(told))
        assert told[0].field == "source"


async def test_a_listener_that_is_waited_for_is_told_what_is_wrong() -> None:
    told: list[EventInvalid] = []

    class Answering:
        def bind(self, hub: Hub) -> None:
            self.hub = hub

        async def on_events(self, events: Sequence[Event]) -> None:
            for each in events:
                if each.kind == "other.said":
                    try:
                        await self.hub.emit(login())
                    except EventInvalid as error:
                        told.append(error)

    async with Hub(validation=STRICT) as hub:
        hub.attach(Answering(), duty=Duty.REQUIRED)
        await hub.emit(GenericEvent(kind="other.said"))
        await until(lambda: bool(told))
        assert hub.health().healthy


def test_a_thread_of_its_own_is_told_what_is_wrong() -> None:
    with HubThread(Hub(validation=STRICT)) as thread:
        with pytest.raises(EventInvalid, match="source"):
            thread.emit(login())
        assert thread.emit(login("crm")).source == "crm"


async def test_an_arbiter_is_asked_about_right_events_alone() -> None:
    """It sees what is committed; what it denies is not reported as let pass."""
    asked: list[Any] = []

    class Arbiter:
        async def authorize(self, command: Command, /) -> Allow | Deny:
            asked.append(command.content)
            return Deny("no") if command.content.source == "bad" else Allow()

    rules = Validation(EventRule("*", required=["source"]), EventRule("*", required=["data.id"], mode="warn"))
    async with Hub(validation=rules, arbiter=Arbiter()) as hub:
        with pytest.raises(EventInvalid):
            await hub.emit(login())
        assert asked == []
        with pytest.raises(AccessDenied):
            await hub.emit(login("bad"))
        with pytest.raises(AccessDenied):
            await hub.emit_many([login("crm"), login("bad")])
        assert hub.statistics().events_questioned == 0
        await hub.emit(login("crm"))
        assert hub.statistics().events_questioned == 1


class Holding:
    """Has the commit wait until it is let go."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def on_events(self, events: Sequence[Event], /) -> None:
        await self.released.wait()


async def test_what_is_checked_is_what_is_committed() -> None:
    """A caller that changes the payload while the event waits for room changes nothing."""
    holding, data = Holding(), dict[str, Any](id=1)
    async with Hub(validation=STRICT, limits=Limits(in_flight_max=1)) as hub:
        await hub.flush()
        hub.attach(holding, duty=Duty.REQUIRED)
        await until_idle()
        hub.offer(GenericEvent(kind="other.said"))
        waiting = asyncio.ensure_future(hub.emit(GenericEvent(kind="user.login", source="crm", data=data)))
        await until(lambda: hub.statistics().emitters_waiting == 1)
        data["id"] = "x"
        holding.released.set()
        assert (await waiting).data == {"id": 1}


async def test_rules_are_checked_before_there_is_room() -> None:
    """As every other refusal; what is right is dropped, or raises, as without rules."""
    holding = Holding()
    async with Hub(validation=STRICT, limits=Limits(in_flight_max=1)) as hub:
        await hub.flush()
        hub.attach(holding, duty=Duty.REQUIRED)
        await until_idle()
        with pytest.raises(Overloaded):
            for _ in range(10):
                hub.emit_nowait(GenericEvent(kind="other.said"))
        for way in (hub.emit_nowait, hub.offer):
            with pytest.raises(EventInvalid):
                way(login())
        with pytest.raises(Overloaded):
            hub.emit_nowait(login("crm"))
        assert not hub.offer(login("crm"))
        holding.released.set()


async def test_a_closed_hub_says_that_it_is_closed() -> None:
    """What is let pass by rules is not counted by a hub that takes no events."""
    hub = Hub(validation=WARN)
    with pytest.raises(HubClosed):
        hub.emit_nowait(login())
    async with hub:
        await hub.emit(login("crm"))
    with pytest.raises(HubClosed):
        await hub.emit(login())
    assert not hub.offer(login())
    assert hub.statistics().events_questioned == 0


async def test_another_loop_is_refused_and_counts_nothing() -> None:
    async with Hub(validation=WARN) as hub:

        async def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="another event loop"):
                hub.emit_nowait(login())

        await anyio.to_thread.run_sync(asyncio.run, elsewhere())
        assert hub.statistics().events_questioned == 0
