"""The adapter of smolagents under models and tools that raise, hash oddly, are copied, and run in many threads."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("smolagents", reason="smolagents is not installed: pip install 'hubwire[smolagents]'")

from smolagents import CodeAgent, ToolCallingAgent
from smolagents.models import ChatMessage
from smolagents.monitoring import LogLevel

from hubwire import Hub, HubThread
from hubwire.runtimes import smolagents as adapter
from hubwire.runtimes.smolagents import record
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import ANSWER, check_pairs, of
from support.smolagents_team import Scripted, agent, call, done, kinds, search, tool


class Evil(BaseException):
    pass


async def recorded(work: Callable[[], Any], **settings: Any) -> tuple[list[Any], int]:
    """Return the events of what ``work`` does in a thread, and how often the adapter failed inside."""
    heard = Heard()
    async with Hub(listeners=[heard]) as hub:
        async with record(hub, **settings) as recorder:
            await anyio.to_thread.run_sync(work)
            failures = recorder.statistics().failures
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return [event for event in heard.events if event.source == "smolagents"], failures


def thrown_into_a_run() -> list[str]:
    """Return what a run yields whose caller throws an error into it: smolagents goes on with its last step."""
    steps = agent(Scripted(call("search", query="build log"), done()), search).run("go", stream=True)
    names = [type(next(steps)).__name__]
    try:
        names.append(type(steps.throw(Evil("thrown"))).__name__)
        names += [type(step).__name__ for step in steps]
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is to be the same
        names.append(type(error).__name__)
    return names


async def test_what_a_caller_throws_into_a_run_reaches_it() -> None:
    without, within = await anyio.to_thread.run_sync(thrown_into_a_run), []
    events, _ = await recorded(lambda: within.extend(thrown_into_a_run()))
    assert within == without
    assert kinds(events)[0] == "turn.started"


async def test_an_error_that_is_no_exception_passes_and_is_recorded() -> None:
    def fail() -> None:
        raise Evil("bad")

    def work() -> None:
        with pytest.raises(Evil):
            agent(Scripted(call("fail"), done()), tool("fail", fail)).run("go")
        with pytest.raises(Evil):
            agent(Scripted(Evil("bad"))).run("go")

    events, _ = await recorded(work)
    assert [each for each in kinds(events) if each.endswith(("failed", "failed fail"))] == [
        "tool.failed fail",
        "turn.failed",
        "model.failed",
        "turn.failed",
    ]


class OddlyHashed(Scripted):
    def __hash__(self) -> int:
        raise Evil("hash")

    def __eq__(self, other: object) -> bool:
        raise Evil("eq")


class Slotted:
    """A model that takes no attributes."""

    __slots__ = ("model_id",)

    def generate(self, *args: Any, **kwargs: Any) -> ChatMessage:
        return done()


class Layered(Scripted):
    def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
        return super().generate(messages, **kwargs)


MODELS: tuple[Callable[[], Any], ...] = (lambda: OddlyHashed(done()), Slotted, lambda: Layered(done()))


@pytest.mark.parametrize("number", range(len(MODELS)))
async def test_a_model_is_called_once_whatever_its_class_does(number: int) -> None:
    answers: list[Any] = []
    events, failures = await recorded(lambda: answers.append(agent(MODELS[number]()).run("go")))
    assert answers == [ANSWER]
    assert kinds(events).count("model.called") == 1
    assert failures == 0


async def test_a_copy_of_a_model_answers_for_itself() -> None:
    """Shallow, deep or pickled: what records it is not copied with it."""
    said: list[str] = []

    def work() -> None:
        model = Scripted(done("one"), done("two"))
        first = agent(model)
        said.append(first.run("go"))
        for made in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - our own
            made.rest = [done("of the copy")]
            said.append(agent(made).run("go"))
        said.append(agent(model).run("go"))

    events, _ = await recorded(work)
    assert said == ["one", "of the copy", "of the copy", "of the copy", "two"]
    assert kinds(events).count("model.called") == 5


async def test_a_recorder_that_is_closed_in_a_run_is_not_noticed() -> None:
    async with Hub() as hub:
        recorder = record(hub)
        stop = tool("stop", lambda: recorder.close())  # noqa: PLW0108 - what it returns is the result
        answer = await anyio.to_thread.run_sync(lambda: agent(Scripted(call("stop"), done()), stop).run("go"))
    assert answer == ANSWER
    assert ToolCallingAgent.run.__qualname__ == "MultiStepAgent.run"
    assert not hasattr(ToolCallingAgent.run, "_hubwire")
    assert not hasattr(Scripted.generate, "_hubwire")


async def test_a_hub_that_fails_in_a_run_is_not_noticed() -> None:
    hub = Hub()
    await hub.start()
    with record(hub):
        made = await anyio.to_thread.run_sync(agent, Scripted(call("search", query="build log"), done()), search)
        steps = await anyio.to_thread.run_sync(lambda: made.run("go", stream=True))
        await anyio.to_thread.run_sync(next, steps)
        await hub.abort()
        rest = await anyio.to_thread.run_sync(list, steps)
    assert rest[-1].output == ANSWER


def test_code_of_many_threads_that_share_a_tool_raises_nothing() -> None:
    """What is remembered of whose code runs is changed by all of them at once."""
    heard, errors = Heard(), []
    code = "<code>\nfinal_answer(search(query='build log'))\n</code>"
    interval = sys.getswitchinterval()

    def work() -> None:
        try:
            for _ in range(5):
                coder = CodeAgent(tools=[search], model=Scripted(code), verbosity_level=LogLevel.OFF)
                assert coder.run("go") == "2 errors"
        except BaseException as error:  # noqa: BLE001 - it is asserted below
            errors.append(error)

    with HubThread(Hub(listeners=[heard])) as thread, record(thread) as recorder:
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=work) for _ in range(6)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        finally:
            sys.setswitchinterval(interval)
        recorder.flush_blocking(30)
    assert errors == []
    assert adapter._in_code == {}
    check_pairs(heard.events)
    assert len(of(heard.events, "turn.ended")) == 30


@pytest.mark.slow
async def test_of_many_agents_none_is_remembered() -> None:
    """Ten thousand runs are 100,000 callbacks."""
    one, two = ToolCallingAgent.run, Scripted.generate

    def work() -> None:
        for _ in range(2_000):
            agent(Scripted(done())).run("go")

    heard = Heard()
    async with Hub(listeners=[heard]) as hub, record(hub, queue_max=100_000) as recorder:
        await anyio.to_thread.run_sync(work)
        gc.collect()
        assert len(adapter._wraps._agents) <= 1
        assert len(adapter._wraps._originals) == 4
        assert adapter._in_code == {}
        await recorder.flush()
        assert recorder.statistics().open == 0
    assert (ToolCallingAgent.run, Scripted.generate) == (one, two)
    assert len(of(heard.events, "turn.ended")) == 2_000


async def test_secrets_in_tasks_errors_and_names_are_redacted() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"

    def fail(api_key: str) -> None:
        raise ValueError(f"{api_key} is wrong")

    def work() -> None:
        script = Scripted(call("login", api_key="hunter2-and-more"), call("login", api_key=secret), done())
        agent(script, tool("login", fail, "api_key"), name="planner").run(f"my key is {secret}")

    for content in (False, True):
        events, _ = await recorded(work, content=content)
        assert secret not in str(events)
        assert "hunter2-and-more" not in str([event.arguments for event in of(events, "tool.called")])
