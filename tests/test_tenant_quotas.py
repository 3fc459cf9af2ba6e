"""Quotas of tenants: what one may have and do, what is reported when it wants more, and what is counted of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from hubwire import BaseActor, Event, GenericEvent, Hub, Limits, TenantHub, TenantLimits, Turn, scope
from hubwire._commit.meter import OTHERS, TENANTS_MAX
from hubwire.errors import ConfigurationError, Overloaded, QuotaExceeded
from hubwire.events import QuotaBreached
from hubwire.listeners.audit import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, peek


def note(size: int = 1, **header: Any) -> GenericEvent:
    return GenericEvent(kind="note.taken", data={"text": "x" * size}, **header)


def limited(store: MemoryStore | None = None, *, clock: ManualClock | None = None, **quotas: int) -> Hub:
    return Hub(store, clock=clock or ManualClock(), limits=Limits(tenants=TenantLimits(**quotas)))


def breaches(events: list[Event]) -> list[QuotaBreached]:
    return [each for each in events if isinstance(each, QuotaBreached)]


# --- events and bytes a minute --------------------------------------------------------------------------------------


async def test_events_beyond_the_quota_are_refused_until_it_fills() -> None:
    clock, seen = ManualClock(), Recorder()
    async with limited(clock=clock, events_per_minute=6) as hub:
        hub.attach(seen)
        acme = hub.for_tenant("acme")
        for _ in range(6):
            await acme.emit(note())
        before = peek(hub)
        with pytest.raises(
            QuotaExceeded, match="tenant 'acme' would have 7 of 6 that events_per_minute allows"
        ) as caught:
            await acme.emit(note())
        error = caught.value
        assert (error.tenant, error.dimension, error.limit, error.value) == ("acme", "events_per_minute", 6, 7)
        assert error.retry_after_seconds == 10.0
        assert peek(hub) == before
        await hub.for_tenant("globex").emit(note())  # has its own
        await hub.emit(note())  # no tenant's
        clock.advance(9.9)
        with pytest.raises(QuotaExceeded):
            await acme.emit(note())
        clock.advance(0.1)
        await acme.emit(note())
        clock.advance(1000)
        await acme.emit_many([note() for _ in range(6)])
        with pytest.raises(QuotaExceeded):
            await acme.emit(note())
        await hub.flush()
    assert sum(each.kind == "note.taken" and each.tenant == "acme" for each in seen.events) == 13


async def test_bytes_beyond_the_quota_are_refused() -> None:
    async with limited(bytes_per_minute=10_000) as hub:
        acme = hub.for_tenant("acme")
        await acme.emit(note(6000))
        with pytest.raises(QuotaExceeded, match="bytes_per_minute"):
            await acme.emit(note(6000))
        await acme.emit(note(1000))


async def test_what_is_larger_than_the_quota_needs_all_of_it() -> None:
    clock = ManualClock()
    async with limited(clock=clock, events_per_minute=10) as hub:
        acme = hub.for_tenant("acme")
        await acme.emit_many([note() for _ in range(20)])
        with pytest.raises(QuotaExceeded) as caught:
            await acme.emit(note())
        clock.advance(caught.value.retry_after_seconds or 0.0)
        await acme.emit(note())


async def test_a_scope_makes_a_tenant_too() -> None:
    async with limited(events_per_minute=1) as hub:
        with scope(tenant="acme"):
            await hub.emit(note())
            with pytest.raises(QuotaExceeded):
                await hub.emit(note())
        await hub.emit(note())


@pytest.mark.parametrize("how", ["emit_nowait", "offer", "emit_many", "batch", "emit_threadsafe"])
async def test_every_way_in_has_the_quota(how: str) -> None:
    seen = Recorder()
    async with limited(events_per_minute=1) as hub:
        hub.attach(seen)
        event = note(tenant="acme")
        await hub.emit(event)
        if how == "offer":
            assert hub.offer(event) is False
        else:
            with pytest.raises(QuotaExceeded):
                if how == "emit_nowait":
                    hub.emit_nowait(event)
                elif how == "emit_many":
                    await hub.emit_many([event, note(tenant="globex")])
                elif how == "batch":
                    async with hub.batch() as batch:
                        batch.emit(event)
                        batch.emit(note())
                else:
                    await asyncio.wrap_future(await asyncio.to_thread(hub.emit_threadsafe, event))
        await hub.flush()
    assert len(breaches(seen.events)) == 1
    assert sum(each.kind == "note.taken" for each in seen.events) == 1


async def test_what_ends_work_is_not_refused() -> None:
    clock = ManualClock()
    async with limited(clock=clock, events_per_minute=12) as hub:
        acme = hub.for_tenant("acme")
        a, b = await acme.agents.register("a"), await acme.agents.register("b")
        channel = await acme.channels.open([a, b])
        task = await acme.tasks.start(a, "x")
        await channel.post(a, "x")
        delivery = await anext(b.inbox())
        clock.advance(1000)
        for _ in range(12):
            await acme.emit(note())
        with pytest.raises(QuotaExceeded):
            await channel.post(a, "y")
        with pytest.raises(QuotaExceeded):
            await acme.tasks.start(a, "y")
        await delivery.ack()
        await task.complete()
        await channel.close()
        await a.unregister()


async def test_a_turn_that_posts_too_much_fails_and_comes_again() -> None:
    clock, done = ManualClock(), asyncio.Event()

    class Poster(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            await turn.post("more")
            if turn.delivery.attempt > 1:
                done.set()

    async with limited(clock=clock, events_per_minute=60) as hub:
        acme = hub.for_tenant("acme")
        a = await acme.agents.register("a")
        handle = await acme.spawn(Poster(), name="poster")
        channel = await acme.channels.open([a, handle.agent])
        clock.advance(100)
        await acme.emit_many([note() for _ in range(59)])
        await channel.post(a, "x")
        for _ in range(100):
            await asyncio.sleep(0)
            clock.advance(60)
            if done.is_set():
                break
        assert done.is_set()


# --- what is there --------------------------------------------------------------------------------------------------


async def test_agents_beyond_the_quota_are_refused_also_after_a_restart() -> None:
    store = MemoryStore()
    async with limited(store, agents_max=2) as hub:
        acme = hub.for_tenant("acme")
        first = await acme.agents.register("a")
        await acme.agents.register("b")
        with pytest.raises(QuotaExceeded, match="end one first") as caught:
            await acme.agents.register("c")
        assert (caught.value.dimension, caught.value.retry_after_seconds) == ("agents_max", None)
        assert [each.name for each in acme.agents.list()] == ["a", "b"]
        await hub.for_tenant("globex").agents.register("a")
    async with limited(store, agents_max=2) as hub:
        acme = hub.for_tenant("acme")
        with pytest.raises(QuotaExceeded):
            await acme.agents.register("c")
        await acme.agents.get(first.id).unregister()
        await acme.agents.register("c")


async def test_channels_beyond_the_quota_are_refused_also_after_a_restart() -> None:
    store = MemoryStore()
    async with limited(store, channels_max=1) as hub:
        acme = hub.for_tenant("acme")
        a, b = await acme.agents.register("a"), await acme.agents.register("b")
        await acme.channels.open([a, b])
        with pytest.raises(QuotaExceeded, match="channels_max"):
            await hub.channels.open([b, a])  # by the program itself, for an agent of the tenant
    async with limited(store, channels_max=1) as hub:
        acme = hub.for_tenant("acme")
        with pytest.raises(QuotaExceeded):
            await acme.channels.open(["a", "b"])
        await acme.channels.list()[0].close()
        await acme.channels.open(["a", "b"])


# --- what is reported -----------------------------------------------------------------------------------------------


async def test_a_breach_is_in_the_audit_log_before_its_caller_learns() -> None:
    store = MemoryStore()
    log = AuditLog(store)
    async with limited(store, events_per_minute=1) as hub:
        await hub.attach(log).ready()
        acme = hub.for_tenant("acme")
        await acme.emit(note())
        with pytest.raises(QuotaExceeded) as caught:
            await acme.emit(note())
        (found,) = [each for each in await log.read_all() if each["kind"] == "quota.breached"]
    assert found["seq"] == caught.value.seq
    assert (found["tenant"], found["actor"], found["dimension"]) == ("acme", "acme", "events_per_minute")
    assert found["retry_after_seconds"] == 60
    assert found["detail"] == {"limit": 1, "value": 2}


async def test_a_flood_of_breaches_is_no_flood_of_events() -> None:
    clock, seen = ManualClock(), Recorder()
    async with limited(clock=clock, events_per_minute=1) as hub:
        hub.attach(seen)
        tenants = [hub.for_tenant(f"t{number}") for number in range(500)]
        for each in tenants:
            await each.emit(note())
        for each in tenants:
            for _ in range(5):
                with pytest.raises(QuotaExceeded):
                    await each.emit(note())
        await hub.flush()
        assert len(breaches(seen.events)) == 100
        clock.advance(1)
        with pytest.raises(QuotaExceeded):
            await tenants[499].emit(note())
        await hub.flush()
        assert len(breaches(seen.events)) == 101
        assert sum(each.breaches for each in hub.statistics().tenants) == 2501


# --- what is counted ------------------------------------------------------------------------------------------------


async def test_statistics_have_each_tenant() -> None:
    async with Hub() as hub:
        assert hub.statistics().tenants == ()
        acme = hub.for_tenant("acme")
        a, b = await acme.agents.register("a"), await acme.agents.register("b")
        await acme.channels.open([a, b])
        with scope(tenant="globex"):
            await hub.emit(note())
        (first, second) = hub.statistics().tenants
        assert (first.tenant, first.agents, first.channels, first.breaches) == ("acme", 2, 1, 0)
        assert first.events >= 3
        assert (second.tenant, second.events, second.bytes) == ("globex", 1, 0)


async def test_so_many_tenants_are_told_apart_and_no_more() -> None:
    async with limited(events_per_minute=5) as hub:
        count = TENANTS_MAX + 50
        for number in range(0, count, 50):
            await hub.emit_many([note(tenant=f"t{each}") for each in range(number, number + 50)])
        found = {each.tenant: each.events for each in hub.statistics().tenants}
    assert len(found) == TENANTS_MAX + 1
    assert found[OTHERS] == 50


async def test_a_hub_without_tenants_has_no_meter() -> None:
    """What is not asked for costs nothing."""
    async with Hub() as hub:
        await hub.emit(note(tenant="acme"))
        assert hub._parts.pipeline.meter is None
        assert hub._parts.pipeline.ingress.owners is None


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [0, -1, 1.5, "5", True, ...], ids=repr)
@pytest.mark.parametrize("name", ["events_per_minute", "bytes_per_minute", "agents_max", "channels_max"])
def test_what_is_no_quota_is_refused(name: str, given: Any) -> None:
    quotas: dict[str, Any] = {name: given}
    with pytest.raises(ConfigurationError, match=name):
        TenantLimits(**quotas)


@pytest.mark.parametrize("given", [5, "acme", [], {"acme": 5}, {5: TenantLimits()}, ...], ids=repr)
def test_what_are_no_quotas_of_tenants_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="tenants"):
        Limits(tenants=given)


async def test_each_tenant_may_have_its_own_quotas() -> None:
    quotas: Mapping[str, TenantLimits] = {"big": TenantLimits(), "*": TenantLimits(events_per_minute=1)}
    given = dict(quotas)
    limits = Limits(tenants=given)
    given.clear()
    async with Hub(clock=ManualClock(), limits=limits) as hub:
        big: TenantHub = hub.for_tenant("big")
        for _ in range(5):
            await big.emit(note())
        for name in ("small", "other", "*"):
            await hub.for_tenant(name).emit(note())
            with pytest.raises(Overloaded):
                await hub.for_tenant(name).emit(note())
