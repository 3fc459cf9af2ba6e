"""The recorder of runtimes, under a runtime that is written by hand: what every adapter is made of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import anyio

from hubwire import Hub, HubThread
from hubwire.runtimes import Recorder
from hubwire.testing import RuntimeContract

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
