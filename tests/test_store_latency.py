"""How long appends to the journal take, as the statistics of a hub and a dashboard tell it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from hubwire import Hub
from hubwire._commit.append_times import AppendTimes
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard import Dashboard
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support.dashboard import signed_in

SECOND = 1_000_000_000


class Slow(MemoryStore):
    """Each append takes 30 ms."""

    async def append(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0.03)
        return await super().append(*args, **kwargs)


def told(times: AppendTimes, at_ns: int) -> tuple[float | None, ...]:
    return tuple(times.seconds(0.5, 0.99, at_ns=at_ns))


@pytest.mark.parametrize("ns", [0, 1, 7, 8, 9, 1000, 123_456, 1_000_000, 31_000_000, 2 * SECOND, 3000 * SECOND])
def test_a_duration_is_told_within_seven_percent(ns: int) -> None:
    times = AppendTimes()
    times.add(SECOND, SECOND + ns)
    for found in told(times, SECOND + ns):
        assert found == pytest.approx(ns / 1e9, rel=0.07)


def test_percentiles_are_those_of_all_appends() -> None:
    times, lengths = AppendTimes(), [random.Random(3).randrange(1000, 50_000_000) for _ in range(5000)]
    for at, ns in enumerate(lengths):
        times.add(at, at + ns)
    lengths.sort()
    p50, p99 = told(times, 60_000_000)
    assert p50 == pytest.approx(lengths[2500] / 1e9, rel=0.07)
    assert p99 == pytest.approx(lengths[4950] / 1e9, rel=0.07)


def test_an_hour_and_more_count_as_an_hour() -> None:
    times = AppendTimes()
    times.add(0, 10**18)
    (found, _) = told(times, 10**18)
    assert found is not None
    assert found > 3600


def test_appends_are_told_for_half_a_minute_and_no_longer_than_one() -> None:
    times = AppendTimes()
    assert told(times, 0) == (None, None)
    times.add(0, 1000)
    assert told(times, 30 * SECOND)[0] is not None
    times.add(31 * SECOND, 32 * SECOND)
    assert told(times, 32 * SECOND)[0] == pytest.approx(1e-6, rel=0.07)
    assert told(times, 61 * SECOND)[0] == pytest.approx(1.0, rel=0.07)
    assert told(times, 200 * SECOND) == (None, None)


async def test_a_slow_store_is_seen_in_the_statistics() -> None:
    async with Hub(Slow(), clock=ManualClock()) as hub:
        await hub.emit(GenericEvent(kind="x.y"))
        found = hub.statistics()
    assert found.append_seconds_p50 is not None
    assert found.append_seconds_p99 is not None
    assert 0.028 < found.append_seconds_p50 <= found.append_seconds_p99


async def test_a_hub_in_memory_alone_tells_no_latency() -> None:
    async with Hub() as hub:
        await hub.emit(GenericEvent(kind="x.y"))
        found = hub.statistics()
    assert (found.append_seconds_p50, found.append_seconds_p99) == (None, None)


async def test_a_dashboard_shows_the_latency_in_milliseconds() -> None:
    async with Hub(Slow()) as hub, signed_in(Dashboard(hub)) as client:
        await hub.emit(GenericEvent(kind="x.y"))
        store = (await client.get("api/listeners")).json()["figures"]["store"]
        assert 28 < store["p50_ms"] <= store["p99_ms"]
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        store = (await client.get("api/listeners")).json()["figures"]["store"]
        assert (store["p50_ms"], store["p99_ms"]) == (None, None)
