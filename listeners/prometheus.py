"""PrometheusMetrics: every number of a hub for Prometheus, as text, as a collector, and as a small web application.

It needs the package ``prometheus-client``: ``pip install 'hubwire[prometheus]'``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from hubwire.errors import ConfigurationError
from hubwire.late_types import late_type
from hubwire.ports import Clock, KnowledgeStore

from ._methods import has_methods
from .families import FAMILIES, Family
from .hub_metrics import HubMetrics, Reading
from .metrics import Latency

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric
else:
    CollectorRegistry = late_type("prometheus_client", "CollectorRegistry")
    Metric = late_type("prometheus_client.core", "Metric")

__all__ = ("PrometheusMetrics",)

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Application = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_SCRAPE_SECONDS_MAX = 5.0
"""How long a scrape in another thread waits for the event loop of the hub."""

_ALLOWED = ("GET", "HEAD")


class PrometheusMetrics(HubMetrics):
    """All numbers of a hub under the names of :mod:`hubwire.listeners.families`, for Prometheus.

    :meth:`exposition` returns them as the text of ``/metrics``, and :attr:`app` is a web application in ASGI that
    serves it. ``registry``: a ``CollectorRegistry`` of prometheus-client in which they are, too, beside the metrics of
    the program: then whatever shows that registry shows them. A registry has the metrics of one hub. Other arguments
    are those of :class:`~hubwire.listeners.hub_metrics.HubMetrics`; with a ``store``, totals of the log go on over
    restarts.

    Raises :class:`~hubwire.errors.ConfigurationError` where prometheus-client is not installed.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry | None = None,
        store: KnowledgeStore | None = None,
        path: str = "/metrics/totals.json",
        save_seconds: float = 5.0,
        labels_max: int = 200,
        window_seconds: int = 60,
        open_max: int = 10_000,
        names_max: int = 1000,
        clock: Clock | None = None,
    ) -> None:
        _client()
        kept: dict[str, Any] = {"store": store, "path": path, "save_seconds": save_seconds}
        bounds: dict[str, Any] = {"labels_max": labels_max, "window_seconds": window_seconds, "open_max": open_max}
        super().__init__(**kept, **bounds, names_max=names_max, clock=clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last: list[Reading] = []
        """What the last scrape in another thread has shown."""
        if registry is not None:
            if not has_methods(registry, "register"):
                raise ConfigurationError("PrometheusMetrics(): registry is a CollectorRegistry of prometheus-client")
            self._register(registry)

    def _register(self, registry: CollectorRegistry) -> None:
        try:
            registry.register(self)
        except ValueError as error:
            raise ConfigurationError(
                "PrometheusMetrics(): registry has metrics of these names already, of another hub: a registry is for"
                " one. Give this one a CollectorRegistry() of its own; or registry.unregister(metrics) those of a hub"
                " that has ended, or go on with them for the next one"
            ) from error

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await super().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__(*_)
        self._last, self._loop = self.readings(), None

    # -- the text --

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and the body of ``/metrics``, in the format that the header ``Accept`` asks for.

        By default that is the text format of Prometheus; OpenMetrics where the header names it.
        """
        exposition = _client().exposition
        try:
            encode, content_type = exposition.choose_encoder(accept)
        except Exception:  # noqa: BLE001 - it reads what a client has sent, such as version=x; then the default is sent
            encode, content_type = exposition.choose_encoder("")
        return content_type, encode(self)

    @property
    def app(self) -> _Application:
        """What answers requests with the metrics, at whatever path it is mounted: an application as ASGI 3 has it.

        ``Mount("/metrics", metrics.app)`` of Starlette and FastAPI; ``uvicorn`` runs it alone. It answers ``GET`` and
        ``HEAD``; anybody who can reach it can read it, so it belongs on an inner network.
        """

        # Servers take a method for an application of ASGI 2, which is called with the scope alone: so, a function.
        async def application(scope: _Scope, receive: _Receive, send: _Send) -> None:
            await self._serve(scope, receive, send)

        return application

    async def _serve(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ConfigurationError(f"the metrics are served over http, not over {scope['type']!r:.40}")
        if (method := scope.get("method", "GET")) not in _ALLOWED:
            await _answer(send, 405, [(b"allow", b"GET, HEAD")], b"")
            return
        headers = {bytes(name).lower(): bytes(value) for name, value in scope.get("headers", ())}
        content_type, body = self.exposition(headers.get(b"accept", b"").decode("latin-1"))
        fields = [(b"content-type", content_type.encode("latin-1")), (b"content-length", b"%d" % len(body))]
        await _answer(send, 200, fields, b"" if method == "HEAD" else body)

    # -- the collector --

    def describe(self) -> Iterable[Metric]:
        """Return all metrics without numbers: a registry refuses, by their names, those of a second hub."""
        return [_metric(family, ()) for family in FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as a registry of prometheus-client calls for them, in any thread.

        In another thread than the hub's it waits for the event loop, 5 seconds at most; a loop that is blocked for
        longer shows the numbers of the last scrape.
        """
        readings = self._readings_from_here()
        by_family: dict[str, list[Reading]] = {}
        for reading in readings:
            by_family.setdefault(reading.name, []).append(reading)
        for family in FAMILIES:
            if found := by_family.get(family.name):
                yield _metric(family, found)

    def _readings_from_here(self) -> list[Reading]:
        loop = self._loop
        if loop is None:
            return self._last or self.readings()
        try:
            is_here = asyncio.get_running_loop() is loop
        except RuntimeError:
            is_here = False
        if is_here:
            return self.readings()
        answer: Future[list[Reading]] = Future()
        try:
            loop.call_soon_threadsafe(self._answer, answer)
            self._last = answer.result(_SCRAPE_SECONDS_MAX)
        except (RuntimeError, TimeoutError):  # the loop is closed, or blocked
            pass
        return self._last

    def _answer(self, answer: Future[list[Reading]]) -> None:
        try:
            answer.set_result(self.readings())
        except Exception as error:  # noqa: BLE001 - it is the scrape that fails, not the hub
            answer.set_exception(error)


def _client() -> Any:
    try:
        import prometheus_client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "PrometheusMetrics needs the package prometheus-client; install it by: pip install 'hubwire[prometheus]'"
        ) from error
    return prometheus_client


def _metric(family: Family, readings: Iterable[Reading]) -> Metric:
    from prometheus_client import core  # noqa: PLC0415 - an extra

    if family.type == "histogram":
        histogram = core.HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for reading in readings:
            assert isinstance(reading.value, Latency)
            histogram.add_metric(_labels(family, reading), _buckets(reading.value), reading.value.sum_seconds)
        return histogram
    make = core.CounterMetricFamily if family.type == "counter" else core.GaugeMetricFamily
    metric: Any = make(family.name, family.help, labels=family.labels)
    for reading in readings:
        metric.add_metric(_labels(family, reading), reading.value)
    return metric  # type: ignore[no-any-return]


def _labels(family: Family, reading: Reading) -> list[str]:
    return [reading.labels[label].encode(errors="backslashreplace").decode() for label in family.labels]


def _buckets(latency: Latency) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus has them: each has those below it, too."""
    buckets, count = [], 0
    for bound, number in zip((*map(str, latency.bounds_seconds), "+Inf"), latency.buckets, strict=True):
        count += number
        buckets.append((bound, float(count)))
    return buckets


async def _answer(send: _Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: _Receive, send: _Send) -> None:
    """Answer the events of a server's life: there is nothing to start and nothing to stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
