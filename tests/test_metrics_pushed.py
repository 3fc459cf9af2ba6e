"""Metrics that are handed on: by a callback, and to a collector of OTLP."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from hubwire import GenericEvent, Hub
from hubwire.errors import ConfigurationError
from hubwire.events import ModelCalled, ModelCompleted
from hubwire.listeners.families import FAMILIES
from hubwire.listeners.metrics import Latency
from hubwire.listeners.opentelemetry.metrics import OpenTelemetryMetrics
from hubwire.listeners.pushed import CallbackMetrics
from support.otlp import Collector, attributes_of, collector

Number = tuple[str, str, Any, Mapping[str, str]]


@pytest.fixture
def received() -> Iterator[Collector]:
    with collector() as found:
        yield found


async def test_a_callback_gets_every_number() -> None:
    numbers: list[Number] = []
    async with Hub(listeners=[CallbackMetrics(lambda *number: numbers.append(number), seconds=1000)]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
    assert ("counter", "hub_events_total", 1, {"type": "a.b"}) in numbers
    types = {family.name: family.type for family in FAMILIES}
    for kind, name, value, _ in numbers:
        assert kind == types[name]
        assert isinstance(value, Latency) == (kind == "histogram")


async def test_a_callback_is_called_again_and_again() -> None:
    """In a thread of its own, so that it may block."""
    threads: list[str] = []
    reached = anyio.Event()
    loop_token = anyio.lowlevel.current_token()

    def callback(kind: str, name: str, value: Any, tags: Mapping[str, str]) -> None:
        if name == "hub_healthy":
            threads.append(threading.current_thread().name)
            if len(threads) == 3:
                anyio.from_thread.run_sync(reached.set, token=loop_token)

    async with Hub(listeners=[CallbackMetrics(callback, seconds=0.01)]):
        await reached.wait()
    assert set(threads) == {"hubwire CallbackMetrics"}
    for thread in threading.enumerate():
        if thread.name == "hubwire CallbackMetrics":  # it has said that it ends, and is there for a moment
            await anyio.to_thread.run_sync(thread.join, 10)
            assert not thread.is_alive()


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
async def test_a_callback_that_raises_harms_no_hub(raised: type[BaseException]) -> None:
    seen: set[str] = set()

    def callback(kind: str, name: str, value: Any, tags: Mapping[str, str]) -> None:
        seen.add(name)
        raise raised("no")

    metrics = CallbackMetrics(callback, seconds=1000)
    async with Hub(listeners=[metrics]) as hub:
        await hub.flush()
    assert metrics.failures == 1
    assert len(seen) > 20


@pytest.mark.slow
async def test_a_callback_that_hangs_is_left_behind() -> None:
    gate = threading.Event()
    async with Hub(listeners=[CallbackMetrics(lambda *_: gate.wait(30), seconds=1000)]) as hub:
        await hub.flush()
    gate.set()


async def test_a_collector_gets_every_number(received: Collector) -> None:
    endpoint = received.endpoint.replace("traces", "metrics")
    async with Hub(listeners=[OpenTelemetryMetrics(endpoint, service="team", seconds=1000)]) as hub:
        await hub.emit(ModelCalled(model="opus", call_id="m"))
        await hub.emit(ModelCompleted(model="opus", call_id="m", duration_ms=1500))
        await hub.flush()
    (request,) = received.metrics
    (resource,) = request.resource_metrics
    assert attributes_of(resource.resource.attributes)["service.name"] == "team"
    metrics = {each.name: each for scope in resource.scope_metrics for each in scope.metrics}
    events = {attributes_of(point.attributes)["type"]: point for point in metrics["hub_events"].sum.data_points}
    assert metrics["hub_events"].sum.is_monotonic
    assert (events["model.called"].as_int or events["model.called"].as_double) == 1
    assert metrics["hub_healthy"].gauge.data_points
    took = metrics["gen_ai.client.operation.duration"]
    assert took.unit == metrics["hub_work_duration"].unit == "s"
    assert took.histogram.data_points[0].sum == 1.5
    assert sum(took.histogram.data_points[0].bucket_counts) == 1


class Failing(MetricExporter):
    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        raise SystemExit


async def test_a_collector_in_trouble_harms_no_hub() -> None:
    metrics = OpenTelemetryMetrics(exporter=Failing(), seconds=1000)
    async with Hub(listeners=[metrics]) as hub:
        await hub.flush()
        assert hub.health().healthy
    assert metrics.failures == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: CallbackMetrics(5),  # type: ignore[arg-type]
        lambda: CallbackMetrics(print, seconds=0),
        lambda: CallbackMetrics(print, seconds="x"),  # type: ignore[arg-type]
        lambda: OpenTelemetryMetrics("localhost"),
        lambda: OpenTelemetryMetrics(exporter=5),  # type: ignore[arg-type]
        lambda: OpenTelemetryMetrics(seconds=float("nan")),
    ],
    ids=["no function", "no time", "text for a time", "no address", "no exporter", "not a number"],
)
def test_odd_arguments_are_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Metrics\(\)"):
        make()
