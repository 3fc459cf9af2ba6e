"""The recorder of runtimes, under a runtime that is written by hand: what every adapter is made of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from hubwire import Hub, HubThread
from hubwire.events import ToolCalled
from hubwire.runtimes import Recorder
from hubwire.testing import Recorder as Heard, RuntimeContract

_numbers = itertools.count()


class HandMadeRuntime:
    """Agents that follow a script, and say what they do to the recorders that there are."""

    recorders: list[Recorder]

    def __init__(self) -> None:
        self.recorders = []

    def say(self, what: Callable[[Recorder], None]) -> None:
        for recorder in self.recorders:
            what(recorder)

    def model(self, turn: str, answer: str) -> None:
        key = f"model-{next(_numbers)}"
        self.say(lambda to: to.begin_model(key, "scripted", parent=turn, request=[{"role": "user", "content": "go"}]))
        self.say(lambda to: to.end(key, answer, input_tokens=11, output_tokens=3))

    async def tool(self, turn: str, name: str, function: Callable[..., Any], **arguments: Any) -> Any:
        key = f"tool-{next(_numbers)}"
        self.say(lambda to: to.begin_tool(key, name, parent=turn, arguments=arguments, call_id=key))
        try:
            result = await function(**arguments)
        except BaseException as error:
            failure = error
            self.say(lambda to: to.fail(key, failure))
            raise
        self.say(lambda to: to.end(key, result))
        return result


runtime = HandMadeRuntime()


async def search(query: str) -> str:
    assert query == "build log"
    return "2 errors"


async def lint(path: str) -> str:
    raise ValueError(f"no such file: {path}")


async def deploy(target: str) -> str:
    return f"deployed to {target}"


class TestHandMadeRuntime(RuntimeContract):
    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        for there in runtime.recorders:
            if there.hub is getattr(hub, "hub", hub) and not there.is_closed:
                return there
        recorder = Recorder(hub, source="hand-made", **settings)
        runtime.recorders.append(recorder)
        recorder.on_close(lambda: runtime.recorders.remove(recorder))
        return recorder

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        planner, coder = f"planner-{next(_numbers)}", f"coder-{next(_numbers)}"
        runtime.say(lambda to: to.begin_turn(planner, agent="planner", prompt="mend the build"))
        runtime.model(planner, "search")
        await runtime.tool(planner, "search", search, query="build log")
        runtime.model(planner, "coder shall mend it")
        runtime.say(lambda to: to.hand_over("planner", "coder", parent=planner))
        runtime.say(lambda to: to.begin_turn(coder, agent="coder", parent=planner))
        try:
            await runtime.tool(coder, "lint", lint, path="app.py")
        except ValueError:
            runtime.model(coder, "deploy it")
        if recorder is not None and asks:
            verdict = await recorder.decide(f"deploy-{next(_numbers)}", "deploy", {"target": "staging"}, parent=coder)
            assert verdict.is_approved, verdict.reason
        await runtime.tool(coder, "deploy", deploy, target="staging")
        runtime.model(coder, "done")
        runtime.say(lambda to: to.end(planner, "The build is green."))  # before what belongs to it: it waits
        runtime.say(lambda to: to.end(coder, "The build is green."))
        return "The build is green."

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        turn, model = f"planner-{next(_numbers)}", f"model-{next(_numbers)}"
        runtime.say(lambda to: to.begin_turn(turn, agent="planner"))
        runtime.say(lambda to: to.begin_model(model, "scripted", parent=turn))
        error = ConnectionError("no model here")
        runtime.say(lambda to: to.fail(turn, error))
        runtime.say(lambda to: to.fail(model, error))
        return type(error)

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        turn = f"planner-{next(_numbers)}"
        runtime.say(lambda to: to.begin_turn(turn, agent="planner"))

        async def wait() -> None:
            started.set()
            await asyncio.Event().wait()

        try:
            await runtime.tool(turn, "wait", wait)
        except asyncio.CancelledError as error:
            cancelled = error
            runtime.say(lambda to: to.fail(turn, cancelled))
            raise


async def test_a_recorder_may_follow_on_another_at_once() -> None:
    async with Hub() as hub:
        for _ in range(3):
            with Recorder(hub, source="hand-made") as recorder:
                recorder.begin_turn("turn")
                recorder.end("turn")
                assert any(feed.name.startswith("recorder of hand-made") for feed in hub.feeds)


@pytest.mark.slow
async def test_a_call_that_is_held_back_is_released_in_time() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="hand-made") as recorder:
            recorder.begin_turn("turn")
            recorder.begin_tool("held", "wait", parent="turn", is_held=True)
            recorder.begin_tool("released", "work", parent="turn", is_held=True, held_seconds=0.01)
            async for event in hub.events(after=-1, pattern="tool.*"):
                assert isinstance(event, ToolCalled)
                assert event.tool == "work"
                break
            recorder.discard("released", "it waits")
            recorder.discard("held", "it waits")
            recorder.end("turn")
        await hub.flush(timeout=30)
    assert [event.kind for event in heard.events if event.kind.startswith("tool")] == ["tool.called", "tool.abandoned"]
