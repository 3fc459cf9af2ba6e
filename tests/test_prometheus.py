"""PrometheusMetrics: what it shows, read back by prometheus-client's own parser."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hubwire import BaseActor, Duty, GenericEvent, Hub, Turn
from hubwire.errors import ConfigurationError, StoreError
from hubwire.events import ModelCalled, ModelCompleted, ToolCalled, ToolCompleted
from hubwire.listeners import AuditLog, LiveTail
from hubwire.listeners.families import FAMILIES
from hubwire.listeners.hub_metrics import HubMetrics
from hubwire.listeners.prometheus import PrometheusMetrics
from hubwire.stores import MemoryStore
from hubwire.stores.measured import measured
from hubwire.testing import ManualClock

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: PrometheusMetrics) -> Samples:
    """Return each sample of the text by its name and its labels; fails where one is there twice."""
    found: Samples = {}
    for family in parse(metrics.exposition()[1].decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def of(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


# --- what is shown --------------------------------------------------------------------------------------------------


async def test_the_numbers_of_a_hub_are_shown() -> None:
    metrics = PrometheusMetrics()
    store = measured(MemoryStore(), metrics.on_store_call)
    async with Hub(store, listeners=[AuditLog(store), metrics, LiveTail()]) as hub:
        await hub.emit(ModelCalled(model="opus", call_id="m"))
        await hub.emit(ModelCompleted(model="opus", call_id="m", input_tokens=7, output_tokens=2, duration_ms=1500))
        await hub.emit(ToolCalled(tool="x", call_id="c", severity="warning"))
        await hub.flush()
        found = samples(metrics)
        assert of(found, "hub_committed_events_total") == hub.statistics().committed
    assert of(found, "hub_healthy") == 1
    assert of(found, "hub_events_total", type="model.completed") == 1
    assert of(found, "hub_events_severity_total", severity="warning") == 1
    assert of(found, "hub_model_tokens_total", direction="input") == 7
    assert of(found, "hub_work_duration_seconds_sum", what="model") == 1.5
    assert of(found, "hub_work_duration_seconds_bucket", what="model", le="1.0") == 0
    assert of(found, "hub_work_duration_seconds_bucket", what="model", le="2.5") == 1
    assert of(found, "hub_work_open", what="tool") == 1
    assert of(found, "hub_listener_lag_events", listener="AuditLog") == 0
    assert of(found, "hub_listener_duration_seconds_count", listener="AuditLog") >= 3
    assert of(found, "hub_store_append_seconds_count", area="journal") >= 3
    assert of(found, "hub_store_bytes_total", area="audit") > 0
    assert of(found, "hub_tail_clients") == 0
    assert of(found, "hub_journal_bytes") > 0


async def test_every_family_of_the_table_can_be_shown() -> None:
    """And nothing else: each reading has the labels that its family says."""
    metrics = PrometheusMetrics()
    await busy(metrics)
    by_name = {family.name: family for family in FAMILIES}
    for reading in metrics._last:
        assert tuple(reading.labels) == by_name[reading.name].labels
    assert {reading.name for reading in metrics._last} == set(by_name)


class Worker(BaseActor):
    async def on_envelope(self, turn: Turn) -> None:
        if turn.content == "fail":
            raise ValueError("no")


class Brings:
    """A feed that says of itself what recorders do."""

    name = "brings"

    async def run(self, hub: Any) -> None:
        await anyio.sleep_forever()

    def statistics(self) -> dict[str, int]:
        return {"waiting": 3, "events": 7, "dropped": 2}


async def busy(metrics: PrometheusMetrics) -> None:
    """Let a hub do a bit of everything."""
    from hubwire import Limits, TenantLimits

    store = measured(MemoryStore(), metrics.on_store_call)

    def fail(event: Any) -> None:
        raise ValueError("no")

    limits = Limits(tenants=TenantLimits(agents_max=5))
    async with Hub(store, listeners=[AuditLog(store), metrics, LiveTail()], limits=limits) as hub:
        hub.attach(fail, pattern="tool.called", name="fails", in_loop=True)
        hub.feed(Brings())
        boss = await hub.agents.register("boss")
        await hub.for_tenant("acme").agents.register("a")
        team = hub.supervise("team")
        worker = (await team.spawn(Worker, name="worker")).agent
        channel = await hub.channels.open([boss, worker])
        await channel.post(boss, "do")
        await hub.emit(ToolCalled(tool="x", call_id="c", severity="info", outcome="success"))
        await hub.emit(ToolCompleted(tool="x", call_id="c"))
        await hub.emit(ToolCalled(tool="x", call_id="that never ends"))
        await hub.emit(ModelCalled(model="x", call_id="c"))
        await hub.emit(ModelCompleted(model="x", call_id="c", input_tokens=1, output_tokens=1))
        await hub.flush()
        metrics._last = metrics.readings()
        kept, metrics._loop = metrics._last, None
    metrics._last = kept


async def test_what_feeds_hold_and_leave_out_is_shown() -> None:
    metrics = PrometheusMetrics(labels_max=2)
    async with Hub(listeners=[metrics]) as hub:
        for _ in range(4):
            hub.feed(Brings())
        await hub.flush()
        found = samples(metrics)
    assert of(found, "hub_feed_waiting", feed="brings") == 3
    assert of(found, "hub_feed_events_total", feed="brings") == 7
    assert of(found, "hub_feed_dropped_total", feed="brings-2") == 2
    assert of(found, "hub_feed_dropped_total", feed="other") == 4
    assert of(found, "hub_feed_pausing", feed="brings") == 0


async def test_no_label_names_an_agent() -> None:
    metrics = PrometheusMetrics()
    async with Hub(listeners=[metrics]) as hub:
        for number in range(20):
            await hub.spawn(Worker(), name=f"agent-{number}")
        await hub.flush()
        text = metrics.exposition()[1].decode()
        found = samples(metrics)
    assert "agent-" not in text
    assert of(found, "hub_actors_running", group="") == 20


async def test_labels_are_bounded_and_survive_any_name() -> None:
    """A program may attach a listener for each of its clients, under any names."""
    metrics = PrometheusMetrics(labels_max=3)
    odd = ['a"b\\c\nd', "é", *(f"l{number}" for number in range(50))]
    async with Hub(listeners=[metrics]) as hub:
        for name in odd:
            attachment = hub.attach(lambda event: None, name=name, in_loop=True)
            await attachment.ready()
            await hub.emit(GenericEvent(kind="a.b"))
            await hub.flush()
            await attachment.detach()
        found = samples(metrics)
    listeners = {labels[0][1] for name, labels in found if name == "hub_listener_duration_seconds_count"}
    assert len(listeners) == 4
    assert "other" in listeners


async def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    metrics = PrometheusMetrics()
    async with Hub(listeners=[metrics]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        content_type, body = metrics.exposition("application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
        assert {family.name for family in families} >= {"hub_events", "hub_healthy"}
        assert metrics.exposition("text/html")[0].startswith("text/plain")


# --- totals ---------------------------------------------------------------------------------------------------------


async def one_run(store: Any, number: int = 5, **settings: Any) -> Samples:
    metrics = PrometheusMetrics(store=store, **settings)
    async with Hub(store, listeners=[metrics]) as hub:
        for _ in range(number):
            await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        return samples(metrics)


async def test_totals_go_on_over_restarts() -> None:
    store = MemoryStore()
    for run in range(1, 4):
        found = await one_run(store)
        assert of(found, "hub_events_total", type="a.b") == 5 * run
        assert of(found, "hub_events_total", type="hub.started") == run
        total = sum(value for (name, _), value in found.items() if name == "hub_events_total")
        assert total == of(found, "hub_committed_events_total")


async def test_totals_are_exact_after_a_kill() -> None:
    """What was counted and not kept, and what came while no metrics were attached, is counted from the journal."""
    store = MemoryStore()
    await one_run(store)
    metrics = PrometheusMetrics(store=store, save_seconds=1000)
    hub = Hub(store, listeners=[metrics])
    await hub.start()
    for _ in range(7):
        await hub.emit(GenericEvent(kind="a.b"))
    await hub.abort()
    async with Hub(store) as without:
        await without.emit(GenericEvent(kind="a.b"))
    assert of(await one_run(store, 0), "hub_events_total", type="a.b") == 13


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:20],
        lambda text: text.replace("a.b", "a.c"),
        lambda text: "",
        lambda text: "{}",
        lambda text: text.replace('"v": 1', '"v": 2'),
    ],
    ids=["cut", "flipped", "emptied", "other", "of another version"],
)
async def test_damaged_totals_are_counted_anew(damage: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    await one_run(store)
    text = await store.read("/metrics/totals.json")
    await store.write("/metrics/totals.json", damage(text))
    assert of(await one_run(store), "hub_events_total", type="a.b") == 10
    assert "counted anew" in caplog.text


async def test_a_store_that_fails_stops_no_counting() -> None:
    class Failing(MemoryStore):
        async def write(self, *args: Any, **kwargs: Any) -> None:
            raise StoreError("no")

        async def read(self, path: str) -> str | None:
            raise StoreError("no")

    metrics = PrometheusMetrics(store=Failing(), save_seconds=0)
    async with Hub(listeners=[metrics]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        assert of(samples(metrics), "hub_events_total", type="a.b") == 1
        assert hub.statistics().attachments[0].failed == 0


async def test_a_durable_one_counts_each_event_once() -> None:
    store = MemoryStore()
    for run in range(1, 4):
        metrics = PrometheusMetrics(store=store)
        async with Hub(store) as hub:
            hub.attach(metrics, duty=Duty.DURABLE, name="metrics", since="start")
            await hub.emit(GenericEvent(kind="a.b"))
            await hub.flush()
            assert of(samples(metrics), "hub_events_total", type="a.b") == run


# --- ways out -------------------------------------------------------------------------------------------------------


async def request(app: Any, method: str = "GET", accept: bytes = b"") -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "headers": [(b"Accept", accept)]}, None, send)
    return sent


async def test_the_application_answers() -> None:
    metrics = PrometheusMetrics()
    async with Hub(listeners=[metrics]) as hub:
        await hub.flush()
        start, body = await request(metrics.app)
        assert start["status"] == 200
        assert dict(start["headers"])[b"content-length"] == b"%d" % len(body["body"])
        assert "hub_healthy" in {family.name for family in parse(body["body"].decode())}
        assert (await request(metrics.app, "HEAD"))[1]["body"] == b""
        assert (await request(metrics.app, "POST"))[0]["status"] == 405


def test_servers_take_the_application_for_asgi_3() -> None:
    """They look whether it is a coroutine function, as uvicorn does, which takes a method for ASGI 2."""
    app = PrometheusMetrics().app
    assert inspect.isfunction(app)
    assert inspect.iscoroutinefunction(app)


async def test_the_application_has_a_life() -> None:
    messages: Iterator[dict[str, str]] = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await PrometheusMetrics().app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_registry_is_scraped_in_any_thread() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry=registry)
    async with Hub(listeners=[metrics]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        texts = [await anyio.to_thread.run_sync(generate_latest, registry) for _ in range(3)]
        assert all(b'hub_events_total{type="a.b"} 1.0' in text for text in texts)
    assert b'hub_events_total{type="a.b"} 1.0' in await anyio.to_thread.run_sync(generate_latest, registry)


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=xx", "\xff;version=;q=", ";;;,,", "a" * 10_000]
)
async def test_what_a_client_accepts_may_be_nonsense(accept: str) -> None:
    metrics = PrometheusMetrics()
    async with Hub(listeners=[metrics]):
        content_type, body = metrics.exposition(accept)
    assert content_type.startswith("text/plain")
    assert b"hub_healthy 1.0" in body


async def test_a_registry_has_the_metrics_of_one_hub() -> None:
    """With those of two each sample would be there twice, which Prometheus does not take."""
    registry = CollectorRegistry()
    first = PrometheusMetrics(registry=registry)
    with pytest.raises(ConfigurationError, match="of another hub"):
        PrometheusMetrics(registry=registry)
    registry.unregister(first)
    async with Hub(listeners=[PrometheusMetrics(registry=registry)]):
        assert generate_latest(registry).count(b"\nhub_healthy ") == 1


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'hubwire\[prometheus\]'"):
        PrometheusMetrics()


class Unaskable:
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit


@pytest.mark.parametrize(
    "wrong",
    [
        {"registry": 5},
        {"registry": Unaskable()},
        {"store": Unaskable()},
        {"store": MemoryStore},
        {"store": "file:///x"},
        {"save_seconds": -1},
        {"save_seconds": "x"},
        {"labels_max": 0},
        {"labels_max": True},
        {"open_max": 0},
    ],
)
def test_odd_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        PrometheusMetrics(**wrong)


async def test_two_hubs_have_numbers_of_their_own() -> None:
    one, other = PrometheusMetrics(), PrometheusMetrics()
    async with Hub(listeners=[one]) as first, Hub(listeners=[other]) as second:
        await first.emit(GenericEvent(kind="a.b"))
        await first.flush()
        await second.flush()
        assert ("hub_events_total", (("type", "a.b"),)) in samples(one)
        assert ("hub_events_total", (("type", "a.b"),)) not in samples(other)


async def test_metrics_are_of_one_hub_at_a_time() -> None:
    """A second hub would take their place, and the first one's numbers would stand still when it ends."""
    metrics = PrometheusMetrics()
    async with Hub(listeners=[metrics]) as hub:
        with pytest.raises(ConfigurationError, match="of another hub, which runs"):
            async with Hub(listeners=[metrics]):
                pass
        await hub.emit(GenericEvent(kind="order.placed"))
        await hub.flush()
        assert of(samples(metrics), "hub_events_total", type="order.placed") == 1
    async with Hub(listeners=[metrics]) as hub:
        await hub.emit(GenericEvent(kind="order.placed"))
        await hub.flush()
        assert of(samples(metrics), "hub_events_total", type="order.placed") == 2


async def test_a_clock_that_stands_still_is_no_harm() -> None:
    clock = ManualClock()
    metrics = PrometheusMetrics(clock=clock)
    async with Hub(listeners=[metrics], clock=clock) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        assert of(samples(metrics), "hub_event_age_seconds_count") >= 1


# --- calls of listeners ---------------------------------------------------------------------------------------------


async def test_calls_are_measured_where_it_is_asked_for() -> None:
    calls: list[tuple[str, float]] = []
    async with Hub() as hub:
        hub.attach(lambda event: None, name="quick", in_loop=True)
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        stop = hub.measure_calls(lambda name, seconds: calls.append((name, seconds)))
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        stop()
        measured_calls = len(calls)
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        assert len(calls) == measured_calls
        metrics = HubMetrics()
        attachment = hub.attach(metrics)
        await attachment.ready()
        await attachment.detach()
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        assert not hub._parts.fanout.announcements.call_times.records
    assert "quick" in {name for name, _ in calls}
    assert all(seconds >= 0 for _, seconds in calls)


@pytest.mark.parametrize("raised", [ValueError, SystemExit, asyncio.CancelledError])
async def test_a_measure_that_raises_is_called_once(raised: type[BaseException]) -> None:
    calls = []

    def record(name: str, seconds: float) -> None:
        calls.append(name)
        raise raised("no")

    handled: list[Any] = []
    async with Hub() as hub:
        hub.measure_calls(record)
        hub.attach(handled.append, name="handler", pattern="a.b", in_loop=True)
        for _ in range(3):
            await hub.emit(GenericEvent(kind="a.b"))
            await hub.flush()
        assert hub.health().healthy
    assert len(calls) == 1
    assert len(handled) == 3


@pytest.mark.parametrize("wrong", [None, 5, "x", int])
async def test_a_measure_has_to_be_a_function(wrong: Any) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=r"hub\.measure_calls\(\)"):
            hub.measure_calls(wrong)


def test_a_metrics_listener_needs_no_loop() -> None:
    assert [reading.name for reading in HubMetrics().readings()] == [
        "hub_event_age_seconds",
        "hub_work_forgotten_total",
    ]
