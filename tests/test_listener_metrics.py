"""Metrics: counters, gauges and latencies, each bounded."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from hubwire import Event, GenericEvent, Hub, codec
from hubwire.clock import timestamp
from hubwire.errors import ConfigurationError
from hubwire.events import ToolCalled, ToolCompleted, ToolFailed
from hubwire.listeners import Metrics
from hubwire.listeners.metrics import BOUNDS_SECONDS, Latency
from hubwire.ports import HubListener
from hubwire.testing import HubListenerContract, ManualClock


class TestContract(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return Metrics()


def said(clock: ManualClock, kind: str = "number.said", *, ago_seconds: float = 0, **fields: Any) -> GenericEvent:
    """An event as a hub with this clock would have stamped it some time ago."""
    at = timestamp(clock.now_ns() - round(ago_seconds * 1e9))
    return GenericEvent(kind=kind, seq=0, id="id", at=at, hub="h", **fields)


async def test_events_are_counted() -> None:
    """They are counted by kind, by severity and by outcome."""
    metrics, clock = Metrics(), ManualClock()
    await metrics.on_events(
        [
            said(clock),
            said(clock, severity="error", outcome="failure"),
            said(clock, severity="error"),
            said(clock, "other.said", outcome="denied"),
        ]
    )
    await metrics.on_events([said(clock, "other.said")])
    snapshot = metrics.snapshot()
    assert snapshot.events == 5
    assert snapshot.by_kind == {"number.said": 3, "other.said": 2}
    assert snapshot.by_severity == {"error": 2}
    assert snapshot.by_outcome == {"failure": 1, "denied": 1}


async def test_a_snapshot_does_not_change_later() -> None:
    metrics, clock = Metrics(), ManualClock()
    await metrics.on_events([said(clock)])
    snapshot = metrics.snapshot()
    await metrics.on_events([said(clock)])
    assert snapshot.by_kind == {"number.said": 1}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        snapshot.events = 7  # type: ignore[misc]
    with pytest.raises(TypeError):
        snapshot.by_kind["number.said"] = 7  # type: ignore[index]


async def test_age_is_the_time_to_the_listener() -> None:
    """It is the time from the making of an event to its arrival here."""
    clock = ManualClock()
    metrics = Metrics(clock=clock)
    await metrics.on_events([said(clock, ago_seconds=ago) for ago in (2.5, 0.25, 0.000_001)])
    await metrics.on_events([said(clock, ago_seconds=-5)])  # the clock was set back since: no age is negative
    age = metrics.snapshot().age
    assert (age.count, age.max_seconds, age.sum_seconds) == (4, 2.5, 2.750001)
    assert age.mean_seconds == pytest.approx(2.750001 / 4)
    assert dict(zip(age.bounds_seconds, age.buckets, strict=False))[2.5] == 1
    assert sum(age.buckets) == 4


@pytest.mark.parametrize(
    "at", ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00.000000Z", "x" * 27]
)
async def test_an_event_without_a_time_has_no_age(at: str) -> None:
    metrics = Metrics()
    await metrics.on_events([GenericEvent(kind="number.said", at=at)])
    assert (metrics.snapshot().events, metrics.snapshot().age.count) == (1, 0)


@given(st.lists(st.tuples(st.integers(0, 4_000_000_000_000_000_000), st.sampled_from(["Z", "+00:00", "+02:00"]))))
async def test_any_spelling_of_a_time_is_read(times: list[tuple[int, str]]) -> None:
    clock = ManualClock(start_ns=4_000_000_000_000_000_000)
    metrics = Metrics(clock=clock)
    hours = {"Z": 0, "+00:00": 0, "+02:00": 2}
    ats = [timestamp(ns + hours[zone] * 3_600_000_000_000)[:-1] + zone for ns, zone in times]
    await metrics.on_events([GenericEvent(kind="number.said", at=at) for at in [*ats, timestamp(0)]])
    expected = sum(4_000_000_000_000_000 - ns // 1000 for ns, _ in [*times, (0, "Z")])
    assert metrics.snapshot().age.sum_seconds == pytest.approx(expected / 1e6, abs=1e-3)


async def test_a_call_is_measured() -> None:
    metrics = Metrics()

    def at(seconds: float) -> dict[str, Any]:
        return {"at": timestamp(round((1_700_000_000 + seconds) * 1e9)), "tool": "search"}

    await metrics.on_events(
        [ToolCalled(call_id="a", **at(0)), ToolCalled(call_id="b", **at(1)), ToolCalled(call_id="c", **at(2))]
    )
    assert metrics.snapshot().open == {"tool": 3}
    await metrics.on_events([ToolCompleted(call_id="b", **at(3)), ToolFailed(call_id="a", **at(4))])
    snapshot = metrics.snapshot()
    assert snapshot.open == {"tool": 1}
    assert (snapshot.durations["tool"].count, snapshot.durations["tool"].sum_seconds) == (2, 6.0)


async def test_a_reported_duration_counts() -> None:
    """It counts even if the beginning of the call was not seen."""
    metrics = Metrics()
    await metrics.on_events(
        [ToolCompleted(tool="t", call_id="a", duration_ms=250.0), ToolCompleted(tool="t", call_id="b")]
    )
    latency = metrics.snapshot().durations["tool"]
    assert (latency.count, latency.sum_seconds) == (1, 0.25)


@pytest.mark.parametrize("duration", ["long", float("nan"), -1, {"$float": "inf"}, True, None])
async def test_an_impossible_duration_is_left_out(duration: Any) -> None:
    metrics = Metrics()
    await metrics.on_events([ToolCompleted(tool="t", call_id="a", duration_ms=duration)])
    assert not metrics.snapshot().durations


async def test_undeclared_pairs_are_measured_too() -> None:
    metrics, clock = Metrics(), ManualClock()
    line = (
        b'{"at":"2026-01-01T00:00:00.000000Z","hub":"h","id":"x","kind":"model.called","seq":0,"call_id":"1","odd":[]}'
    )
    await metrics.on_events([codec.decode(line), said(clock, "turn.started", turn_id="7", ago_seconds=3)])
    assert metrics.snapshot().open == {"model": 1, "turn": 1}
    await metrics.on_events(
        [said(clock, "model.completed", data={"call_id": "1"}), said(clock, "turn.ended", turn_id="7")]
    )
    assert not metrics.snapshot().open
    assert metrics.snapshot().durations["turn"].sum_seconds == 3.0


async def test_endless_calls_take_bounded_memory() -> None:
    metrics = Metrics(open_max=100)
    for number in range(250):
        await metrics.on_events([ToolCalled(tool="t", call_id=str(number), at=timestamp(0))])
    snapshot = metrics.snapshot()
    assert (snapshot.open, snapshot.forgotten) == ({"tool": 100}, 150)
    await metrics.on_events([ToolCompleted(tool="t", call_id="249", at=timestamp(10**9))])
    assert metrics.snapshot().durations["tool"].max_seconds == 1.0


async def test_invented_kinds_take_bounded_memory() -> None:
    metrics, clock = Metrics(names_max=10), ManualClock()
    for number in range(50):
        await metrics.on_events([said(clock, f"kind.made_up_{number}") for _ in range(2)])
    snapshot = metrics.snapshot()
    assert snapshot.events == 100
    assert snapshot.by_kind["kind.made_up_9"] == 2
    assert snapshot.by_kind["other"] == 80
    assert len(snapshot.by_kind) == 11


async def test_the_rate_is_that_of_the_window() -> None:
    clock = ManualClock()
    metrics = Metrics(window_seconds=10, clock=clock)
    for _ in range(100):
        await metrics.on_events([said(clock)] * 5)
        clock.advance(1)
        await metrics.on_events([said(clock)] * 5)
        clock.advance(1)
    assert metrics.snapshot().events_per_second == pytest.approx(5.0)
    assert len(metrics._seconds) <= 10
    clock.advance(5)
    assert metrics.snapshot().events_per_second == pytest.approx(20 / 9)
    clock.advance(60)
    assert metrics.snapshot().events_per_second == 0


async def test_the_first_seconds_are_a_shorter_window() -> None:
    clock = ManualClock()
    metrics = Metrics(window_seconds=60, clock=clock)
    await metrics.on_events([said(clock)] * 10)
    assert metrics.snapshot().events_per_second == 10
    clock.advance(2)
    assert metrics.snapshot().events_per_second == 5


async def test_reset_keeps_open_calls() -> None:
    metrics = Metrics()
    await metrics.on_events([ToolCalled(tool="t", call_id="1", at=timestamp(0), severity="info")])
    metrics.reset()
    empty = metrics.snapshot()
    assert (empty.events, empty.by_kind, empty.age.count, empty.newest_seq) == (0, {}, 0, None)
    assert empty.open == {"tool": 1}
    await metrics.on_events([ToolCompleted(tool="t", call_id="1", at=timestamp(2 * 10**9))])
    assert metrics.snapshot().durations["tool"].sum_seconds == 2.0


async def test_a_snapshot_has_the_statistics_of_the_hub() -> None:
    """Lag, drops and failures of every listener."""
    metrics = Metrics()
    assert metrics.snapshot().hub is None

    async def broken(event: Event) -> None:
        raise RuntimeError("broken")

    async with Hub(listeners=[metrics]) as hub:
        hub.attach(broken, pattern="number.said")
        await hub.emit(GenericEvent(kind="number.said"))
        await hub.flush()
        snapshot = metrics.snapshot()
        assert snapshot.hub == hub.statistics()
        assert {each.name: each.failed for each in hub.statistics().attachments} == {"Metrics": 0, "broken": 1}
        assert snapshot.by_kind["number.said"] == 1
        assert snapshot.newest_seq is not None


def test_a_quantile_lies_within_its_bucket() -> None:
    buckets = tuple(10 if bound in (0.001, 0.01) else 1 if bound == 300 else 0 for bound in (*BOUNDS_SECONDS, None))
    latency = Latency(count=21, sum_seconds=1, max_seconds=200, bounds_seconds=BOUNDS_SECONDS, buckets=buckets)
    assert [latency.quantile_seconds(q) for q in (0, 10 / 21, 15 / 21, 20 / 21, 1)] == [0, 0.001, 0.0075, 0.01, 200]
    nothing = Latency(count=0, sum_seconds=0, max_seconds=0, bounds_seconds=BOUNDS_SECONDS, buckets=(0,) * 17)
    assert (nothing.quantile_seconds(0.99), nothing.mean_seconds) == (0, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        latency.quantile_seconds(95)


@pytest.mark.parametrize("setting", ["window_seconds", "open_max", "names_max"])
def test_a_bound_of_zero_is_refused(setting: str) -> None:
    bounds: dict[str, Any] = {setting: 0}
    with pytest.raises(ConfigurationError):
        Metrics(**bounds)
