"""The adapter of OpenTelemetry, under the SDK itself."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from opentelemetry import context as otel_context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, Tracer

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.runtimes import Recorder
from hubwire.runtimes.opentelemetry import record
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, check_pairs, of

_ids = itertools.count(1)

provider = TracerProvider()
tracer = provider.get_tracer("a.framework")


@contextmanager
def span(operation: str, name: str, **attributes: Any) -> Iterator[Any]:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    with tracer.start_as_current_span(
        f"{operation} {name}", attributes={"gen_ai.operation.name": operation, **named}
    ) as made:
        yield made


def model(answer: str) -> None:
    with span("chat", "scripted", gen_ai__request__model="scripted") as made:
        made.set_attribute("gen_ai.usage.input_tokens", 11)
        made.set_attribute("gen_ai.output.messages", json.dumps([{"role": "assistant", "content": answer}]))


def tool(name: str, result: str, **arguments: Any) -> str:
    with span(
        "execute_tool",
        name,
        gen_ai__tool__name=name,
        gen_ai__tool__call__id=f"call-{next(_ids)}",
        gen_ai__tool__call__arguments=json.dumps(arguments),
    ) as made:
        if name == "lint":
            raise ValueError(result)
        made.set_attribute("gen_ai.tool.call.result", result)
    return result


class TestOpenTelemetry(RuntimeContract):
    lacks = frozenset({"approval", "hand_over", "cancelling"})  # the SDK takes a cancellation for no error

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, provider=provider, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        with span("invoke_agent", "planner", gen_ai__agent__name="planner") as planner:
            model("search")
            tool("search", "2 errors", query="build log")
            with tracer.start_as_current_span("GET /coder"), span("invoke_agent", "coder") as coder:
                coder.set_attribute("gen_ai.agent.name", "coder")
                model("lint")
                try:
                    tool("lint", "no such file: app.py", path="app.py")
                except ValueError:
                    model("deploy")
                tool("deploy", "deployed to staging", target="staging")
            planner.set_attribute("gen_ai.output.messages", ANSWER)
        return ANSWER

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(ConnectionError) as caught, span("invoke_agent", "planner"), span("chat", "scripted"):
            raise ConnectionError("no model here")
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        with span("invoke_agent", "planner"), span("execute_tool", "wait", gen_ai__tool__name="wait"):
            started.set()
            await asyncio.Event().wait()


async def heard_of(work: Any, tracers: TracerProvider | None = None, **settings: Any) -> list[Event]:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, provider=tracers or provider, **settings):
            await work()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


async def test_what_lies_between_is_passed_over() -> None:
    async def work() -> None:
        with span("invoke_agent", "planner"), tracer.start_as_current_span("a"), tracer.start_as_current_span("b"):
            model("x")

    events = await heard_of(work)
    (turn,), (called,) = of(events, "turn.started"), of(events, "model.called")
    assert called.turn_id == turn.turn_id
    assert called.causation_id == turn.id


async def test_older_names_are_known() -> None:
    async def work() -> None:
        with tracer.start_as_current_span(
            "openai.chat", attributes={"gen_ai.request.model": "old", "gen_ai.system": "x"}
        ) as made:
            made.set_attribute("gen_ai.usage.prompt_tokens", 5)
            made.set_attribute("gen_ai.usage.completion_tokens", 7)

    (completed,) = of(await heard_of(work), "model.completed")
    assert (completed.model, completed.input_tokens, completed.output_tokens) == ("old", 5, 7)
    assert completed.metadata["provider"] == "x"


async def test_a_span_that_says_what_it_is_at_its_end_has_its_times() -> None:
    async def work() -> None:
        with tracer.start_as_current_span("late") as made:
            await asyncio.sleep(0.05)
            made.set_attribute("gen_ai.operation.name", "chat")

    (completed,) = of(await heard_of(work), "model.completed")
    assert completed.duration_ms >= 50


async def test_a_status_is_a_failure_without_an_exception() -> None:
    async def work() -> None:
        with span("chat", "scripted") as made:
            made.set_status(Status(StatusCode.ERROR, "it refused"))

    (failed,) = of(await heard_of(work), "model.failed")
    assert failed.error_message == "it refused"


async def test_the_spans_of_a_hub_do_not_come_back() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        own: Tracer = provider.get_tracer("hubwire")
        async with record(hub, provider=provider):
            with own.start_as_current_span("chat x", attributes={"gen_ai.operation.name": "chat"}):
                pass
        await hub.flush(timeout=30)
    assert not [kind for kind in heard.kinds if kind.startswith("model.")]


async def test_a_program_without_the_sdk_is_told() -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="TracerProvider"):
            record(hub, provider=trace.NoOpTracerProvider())
        assert hub.feeds == ()


async def test_hostile_attributes_are_harmless() -> None:
    async def work() -> None:
        with tracer.start_as_current_span(
            "chat \ud800",
            context=otel_context.Context(),
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "x" * 100_000, "error.type": ""},
        ) as made:
            made.set_attribute("gen_ai.usage.input_tokens", "many")
        with tracer.start_as_current_span("execute_tool"):
            pass

    events = await heard_of(work)
    assert len(of(events, "tool.completed")) == 1
