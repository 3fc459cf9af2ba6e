"""Every listener that ships keeps the listener contract, and the contract finds those that do not."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hubwire import BaseHubListener, Event
from hubwire.listeners import AuditLog
from hubwire.listeners.opentelemetry import OpenTelemetry
from hubwire.listeners.prometheus import PrometheusMetrics
from hubwire.listeners.pushed import CallbackMetrics
from hubwire.ports import HubListener
from hubwire.stores import MemoryStore
from hubwire.testing import HubListenerContract, Recorder


class TestAuditLog(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return AuditLog(MemoryStore())


class TestRecorder(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return Recorder()


class TestPrometheusMetrics(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return PrometheusMetrics(store=MemoryStore())


class TestCallbackMetrics(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return CallbackMetrics(lambda *_: None)


class TestOpenTelemetry(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return OpenTelemetry(exporter=InMemorySpanExporter())


class TestBaseHubListener(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return BaseHubListener()


class Choosy:
    """Knows only what it was written for."""

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            {"hub.started": 0, "number.said": 1}[event.kind]


class Deaf:
    """Takes its time, whatever it is told."""

    def __init__(self) -> None:
        self.tries = 0

    async def on_events(self, events: Sequence[Event]) -> None:
        while self.tries < 3:
            self.tries += 1
            try:
                await anyio.sleep_forever()
            except BaseException:  # noqa: BLE001 - that is what is wrong with it
                if self.tries == 3:
                    raise RuntimeError("will not be cancelled") from None


async def test_the_contract_finds_a_choosy_listener() -> None:
    """It fails on kinds that it does not know."""
    contract = HubListenerContract()
    with pytest.raises(AssertionError, match="KeyError"):
        await contract.test_it_handles_every_event_of_a_hub(Choosy())
    with pytest.raises(KeyError):
        await contract.test_it_handles_kinds_that_this_process_does_not_know(Choosy())


async def test_the_contract_finds_a_deaf_listener() -> None:
    """It does not end when it is cancelled."""
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await HubListenerContract().test_it_lets_go_when_it_is_cancelled(Deaf())
