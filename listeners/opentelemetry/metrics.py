"""OpenTelemetryMetrics: the numbers of a hub for collectors of OTLP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hubwire import installed_version
from hubwire.errors import ConfigurationError
from hubwire.late_types import late_type

from .._methods import has_methods
from ..families import Family, family
from ..hub_metrics import Reading
from ..metrics import Latency
from ..pushed import PushedMetrics
from . import names
from ._sdk import check_installed, resource_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricExporter
else:
    Metric = late_type("opentelemetry.sdk.metrics.export", "Metric")
    MetricExporter = late_type("opentelemetry.sdk.metrics.export", "MetricExporter")

__all__ = ("OpenTelemetryMetrics",)

_GEN_AI = {"model": (names.OPERATION_DURATION, "chat"), "tool": ("gen_ai.execute_tool.duration", "execute_tool")}
_UNITS = (("_seconds", "s"), ("_bytes", "By"))


class OpenTelemetryMetrics(PushedMetrics):
    """Sends all numbers of a hub to a collector, every ``seconds``, and when the hub ends.

    ``endpoint``: the address for metrics of a collector that takes OTLP over HTTP, such as
    ``http://localhost:4318/v1/metrics``; by default what the environment variables of OpenTelemetry say. ``exporter``:
    another ``MetricExporter`` instead. Names are those of :mod:`hubwire.listeners.families` without ``_total`` and
    without the unit, which OTLP has apart: a Prometheus behind the collector shows the same names. Durations of model
    and tool calls are there under their ``gen_ai`` names, too. The other arguments are those of
    :class:`~hubwire.listeners.pushed.PushedMetrics`.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        exporter: MetricExporter | None = None,
        service: str | None = None,
        seconds: float = 60.0,
        **settings: Any,
    ) -> None:
        super().__init__(seconds=seconds, **settings)
        if exporter is not None and (endpoint is not None or not has_methods(exporter, "export", "shutdown")):
            raise ConfigurationError(
                "OpenTelemetryMetrics(): exporter is a MetricExporter of opentelemetry-sdk, with an endpoint of its own"
            )
        if endpoint is not None and not (type(endpoint) is str and endpoint.startswith(("http://", "https://"))):
            raise ConfigurationError(
                "OpenTelemetryMetrics(): endpoint is an address such as http://localhost:4318/v1/metrics"
            )
        check_installed("OpenTelemetryMetrics()")
        self._exporter = _exporter_to(endpoint) if exporter is None else exporter
        self._service = service
        self._resource: Any = None
        self._began_ns = self._clock.now_ns()

    def finish(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def send(self, readings: Sequence[Reading]) -> None:
        """Send these to the collector; raises if it has not got them."""
        from opentelemetry.sdk.metrics import export  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415 - an extra

        if self._resource is None:
            self._resource = resource_of(self._service)
        scope = InstrumentationScope("hubwire", installed_version())
        metrics = export.ScopeMetrics(scope, list(self._metrics(readings)), schema_url="")
        data = export.MetricsData([export.ResourceMetrics(self._resource, [metrics], schema_url="")])
        if self._exporter.export(data) is not export.MetricExportResult.SUCCESS:
            raise ConnectionError("the exporter reports a failure: is the collector there, and does it take OTLP?")

    def _metrics(self, readings: Sequence[Reading]) -> Iterator[Metric]:
        from opentelemetry.sdk.metrics import export  # noqa: PLC0415 - an extra

        by_name: dict[str, list[Reading]] = {}
        for reading in readings:
            by_name.setdefault(reading.name, []).append(reading)
        now_ns = self._clock.now_ns()
        cumulative = export.AggregationTemporality.CUMULATIVE
        for name, some in by_name.items():
            of = family(name)
            title, unit = _title(of)
            points: list[Any] = [self._point(each, each.labels, now_ns) for each in some]
            data: Any
            if of.type == "histogram":
                data = export.Histogram(points, cumulative)
            elif of.type == "counter":
                data = export.Sum(points, cumulative, is_monotonic=True)
            else:
                data = export.Gauge(points)
            yield export.Metric(title, of.help, unit, data)
        for reading in by_name.get("hub_work_duration_seconds", ()):
            if gen_ai := _GEN_AI.get(reading.labels["what"]):
                point = self._point(reading, {names.OPERATION: gen_ai[1]}, now_ns)
                yield export.Metric(gen_ai[0], "", "s", export.Histogram([point], cumulative))

    def _point(self, reading: Reading, labels: Any, now_ns: int) -> Any:
        from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint  # noqa: PLC0415 - an extra

        latency = reading.value
        if not isinstance(latency, Latency):
            return NumberDataPoint(dict(labels), self._began_ns, now_ns, latency)
        return HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=self._began_ns,
            time_unix_nano=now_ns,
            count=latency.count,
            sum=latency.sum_seconds,
            bucket_counts=latency.buckets,
            explicit_bounds=latency.bounds_seconds,
            min=latency.min_seconds,
            max=latency.max_seconds,
        )


def _title(of: Family) -> tuple[str, str]:
    name = of.name.removesuffix("_total") if of.type == "counter" else of.name
    for suffix, unit in _UNITS:
        if name.endswith(suffix):
            return name.removesuffix(suffix), unit
    return name, ""


def _exporter_to(endpoint: str | None) -> MetricExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "OpenTelemetryMetrics() sends to a collector by opentelemetry-exporter-otlp-proto-http; install it by:"
            " pip install 'hubwire[otel]', or give it an exporter"
        ) from error
    return OTLPMetricExporter(endpoint=endpoint)
