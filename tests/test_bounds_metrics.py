"""Metrics: which end belongs to which beginning, quantiles, and what it keeps of any events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from hubwire import Event, GenericEvent, UnknownEvent
from hubwire.events import ModelCalled, ModelCompleted, TaskCompleted, TaskStarted, ToolCalled, ToolCompleted, evolve
from hubwire.listeners import Metrics
from hubwire.listeners.metrics import BOUNDS_SECONDS, OTHER, Latency


def at(second: int) -> str:
    return f"2026-11-21T09:30:{second:02d}.000000Z"


def called(second: int, agent: str | None = None, turn: str | None = None, call: str = "call_0") -> Event:
    return evolve(ToolCalled(tool="t", call_id=call, agent_id=agent, turn_id=turn), at=at(second), seq=second)


def completed(second: int, agent: str | None = None, turn: str | None = None, call: str = "call_0") -> Event:
    return evolve(ToolCompleted(tool="t", call_id=call, agent_id=agent, turn_id=turn), at=at(second), seq=second)


async def counted(*events: Event, **bounds: Any) -> Metrics:
    metrics = Metrics(**bounds)
    for each in events:
        await metrics.on_events([each])
    return metrics


# --- pairs ----------------------------------------------------------------------------------------------------------


async def test_calls_are_paired_by_agent_and_turn() -> None:
    """Models of several agents number their calls in the same way, and one does so again in its next turn."""
    metrics = await counted(
        called(0, "a", "1"), called(1, "b", "1"), called(2, "a", "2"), completed(12, "a", "2"), completed(13, "b", "1")
    )
    snapshot = metrics.snapshot()
    assert dict(snapshot.open) == {"tool": 1}
    assert snapshot.durations["tool"].sum_seconds == 10 + 12
    await metrics.on_events([completed(20, "a", "1")])
    assert metrics.snapshot().durations["tool"].max_seconds == 20
    assert not metrics.snapshot().open


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        (completed(10), 10),
        (completed(10, "a"), 10),
        (completed(10, "b"), 9),
        (completed(10, "b", "9"), 9),
        (completed(10, None, "1"), 10),
        (completed(10, None, "9"), 9),
        (completed(10, "d"), None),
    ],
)
async def test_an_end_without_an_agent_belongs_to_the_oldest(end: Event, seconds: int | None) -> None:
    metrics = await counted(called(0, "a", "1"), called(1, "b"), called(2, "c", "2"), end)
    durations = metrics.snapshot().durations
    assert ("tool" in durations) is (seconds is not None)
    assert seconds is None or durations["tool"].sum_seconds == seconds


async def test_a_task_is_ended_by_any_agent() -> None:
    start = evolve(TaskStarted(title="t", owner_id="a", agent_id="a", task_id="1"), at=at(0), seq=0)
    end = evolve(TaskCompleted(owner_id="a", agent_id="b", task_id="1", turn_id="5"), at=at(7), seq=1)
    assert (await counted(start, end)).snapshot().durations["task"].sum_seconds == 7


async def test_models_and_tools_are_paired_apart() -> None:
    model = evolve(ModelCalled(model="m", call_id="call_0"), at=at(0), seq=0)
    done = evolve(ModelCompleted(model="m", call_id="call_0"), at=at(3), seq=2)
    snapshot = (await counted(model, called(1), done)).snapshot()
    assert dict(snapshot.open) == {"tool": 1}
    assert list(snapshot.durations) == ["model"]


async def test_ended_calls_leave_nothing_behind() -> None:
    metrics = Metrics(open_max=50)
    for number in range(1000):
        await metrics.on_events([called(1, f"agent {number}", f"turn {number}")])
    assert metrics.snapshot().open["tool"] == 50
    assert metrics.snapshot().forgotten == 950
    for number in range(1000):
        await metrics.on_events([completed(2, f"agent {number}", f"turn {number}")])
    assert not metrics.snapshot().open
    assert not metrics._open.all()
    assert not metrics._open._by_tie


# --- any values -----------------------------------------------------------------------------------------------------

ANY: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=5),
    st.just("x" * 1000),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def unknown(kind: str, **fields: Any) -> Event:
    header = {name: fields.pop(name) for name in ("at", "agent_id", "turn_id", "severity", "outcome", "task_id")}
    return UnknownEvent(seq=1, kind=kind, fields=fields, **header)


@given(
    values=st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(
                (*("at", "agent_id", "turn_id", "severity", "outcome", "task_id", "call_id", "duration_ms"),), ANY
            )
        ),
        max_size=10,
    )
)
async def test_any_values_are_survived(values: Sequence[dict[str, Any]]) -> None:
    """Fields that are missing, of another type, huge or not hashable fail neither the count nor the snapshot."""
    metrics = Metrics()
    for kind in ("tool.called", "tool.completed", "task.started", "turn.ended", "any.thing"):
        await metrics.on_events([unknown(kind, **each) for each in values] or [called(1)])
    snapshot = metrics.snapshot()
    assert snapshot.events == max(5 * len(values), 5)
    for latency in (snapshot.age, *snapshot.durations.values()):
        assert latency.min_seconds <= latency.quantile_seconds(0.5) <= latency.max_seconds


async def test_long_names_are_not_kept() -> None:
    long = "x" * 100_000
    metrics = await counted(GenericEvent(seq=1, kind=f"{long}.done", severity=long), called(1, long, long, long))
    assert OTHER in metrics.snapshot().by_kind
    assert all(part is None or len(part) < 200 for name in metrics._names for part in name)
    assert all(len(str(part)) < 200 for call in metrics._open.all() for part in (call.tie, call.agent, call.turn))
    await metrics.on_events([completed(3, long, long, long)])
    assert metrics.snapshot().durations["tool"].sum_seconds == 2


# --- quantiles ------------------------------------------------------------------------------------------------------


async def measured(*seconds: float) -> Latency:
    events = [
        evolve(ToolCompleted(tool="t", call_id=str(number), duration_ms=each * 1000), at=at(0), seq=number)
        for number, each in enumerate(seconds)
    ]
    return (await counted(*events)).snapshot().durations["tool"]


async def test_a_quantile_is_no_shorter_than_any_call() -> None:
    latency = await measured(1.0, 1.5, 1.8, 2.0, 2.5)
    assert latency.quantile_seconds(0) == 1.0
    assert latency.quantile_seconds(1) == 2.5
    assert 1.0 < latency.quantile_seconds(0.5) < 2.5
    without_minimum = Latency(
        count=5, sum_seconds=10, max_seconds=2.4, bounds_seconds=BOUNDS_SECONDS, buckets=(*(0,) * 10, 5, *(0,) * 6)
    )
    assert without_minimum.quantile_seconds(0) == 1.0


@given(
    seconds=st.lists(st.floats(0, 400), min_size=1, max_size=30),
    quantiles=st.lists(st.floats(0, 1), min_size=2, max_size=5),
)
async def test_quantiles_are_in_the_right_bucket(seconds: list[float], quantiles: list[float]) -> None:
    latency = await measured(*seconds)
    found = [latency.quantile_seconds(each) for each in sorted(quantiles)]
    assert found == sorted(found)
    exact = sorted(round(each, 6) for each in seconds)
    for quantile, estimate in zip(sorted(quantiles), found, strict=True):
        assert exact[0] <= estimate <= exact[-1]
        true = exact[max(0, min(len(exact) - 1, -int(-quantile * len(exact) // 1) - 1))]
        bucket = next((bound for bound in BOUNDS_SECONDS if true <= bound), float("inf"))
        below = max((bound for bound in (0.0, *BOUNDS_SECONDS) if bound < bucket), default=0.0)
        assert below <= estimate <= bucket
