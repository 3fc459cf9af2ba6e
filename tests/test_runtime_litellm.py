"""The adapter of LiteLLM, under the library itself: on its own mock of an answer, and on a server on loopback."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or its import asks the internet for prices
pytest.importorskip("litellm", reason="LiteLLM is not installed: pip install 'hubwire[litellm]'")

import litellm
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from hubwire import Event, Hub, HubThread, scope
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes.litellm import record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, check_pairs, of

_jobs = itertools.count(1)

MESSAGES = [{"role": "user", "content": "mend the build"}]

pytestmark = pytest.mark.filterwarnings("ignore")  # where one of its own is an error, LiteLLM reports no call at all


async def complete(**settings: Any) -> Any:
    return await litellm.acompletion("gpt-4o", MESSAGES, **{"mock_response": "done", **settings})


def complete_blocking(**settings: Any) -> Any:
    return litellm.completion("gpt-4o", MESSAGES, **{"mock_response": "done", **settings})


class TestLiteLLM(RuntimeContract):
    lacks: ClassVar = {
        "turns": "it knows no agents",
        "tools": "the program calls them",
        "approval": "it calls no tools that a person could approve",
        "hand_over": "it knows no agents",
        "cancelling": "it tells no callback that a call was cancelled",
    }

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        with scope(correlation_id=f"job-{next(_jobs)}"):
            said: Any = None
            for answer in ("search", "lint", ANSWER):
                said = await complete(mock_response=answer, metadata={"agent": "planner"})
        await told(recorder)
        return str(said.choices[0].message.content)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(litellm.exceptions.InternalServerError) as caught:
            await complete(mock_response=Exception("no model here"), metadata={"agent": "planner"})
        await told(recorder)
        return caught.type


async def told(recorder: Recorder | None) -> None:
    """Return when LiteLLM has told its callbacks of what has ended: it does so in tasks and threads of its own."""
    await GLOBAL_LOGGING_WORKER.flush()
    await anyio.lowlevel.checkpoint()  # its task ends after it has said that it is done
    with anyio.move_on_after(20):
        while recorder is not None and not recorder.is_closed and recorder.statistics().open:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.001)


async def recorded(work: Callable[[], Any], ends: int = 1, **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does, which end so many calls: LiteLLM reports them later."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder:
            await work()
            with anyio.fail_after(30):
                while len(of(heard.events, "model.completed")) + len(of(heard.events, "model.failed")) < ends:  # noqa: ASYNC110 - LiteLLM tells callbacks alone
                    await anyio.sleep(0.01)
            assert recorder.statistics().failures == 0
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if event.kind.startswith("model.")]


async def test_a_call_has_its_answer_its_tokens_and_its_cost() -> None:
    events = await recorded(complete)
    called, completed = of(events, "model.called")[0], of(events, "model.completed")[0]
    assert called.model == "gpt-4o"
    assert "mend the build" in str(called.request)
    assert completed.response == "done"
    assert (completed.input_tokens, completed.output_tokens) == (10, 20)
    assert completed.cost_usd == pytest.approx(0.000225)
    assert {event.source for event in (called, completed)} == {"litellm"}


async def test_a_call_without_a_loop_is_recorded() -> None:
    events = await recorded(lambda: asyncio.to_thread(complete_blocking))
    assert kinds(events) == ["model.called", "model.completed"]


async def test_a_streamed_answer_is_one_call() -> None:
    async def work() -> None:
        pieces = [piece async for piece in await complete(stream=True, mock_response="one two three four")]
        assert len(pieces) > 1

    events = await recorded(work)
    assert kinds(events) == ["model.called", "model.completed"]
    assert of(events, "model.completed")[0].response == "one two three four"


async def test_a_call_that_fails_has_failed_and_raises_the_same() -> None:
    raised: list[type[BaseException]] = []

    async def work() -> None:
        with pytest.raises(litellm.exceptions.InternalServerError) as caught:
            await complete(mock_response=Exception("no model here"))
        raised.append(caught.type)

    await work()
    events = await recorded(work)
    assert raised[0] is raised[1]
    assert kinds(events) == ["model.called", "model.failed"]
    assert "no model here" in of(events, "model.failed")[0].error_message


async def test_a_call_that_is_cancelled_has_not_ended_well() -> None:
    async def work() -> None:
        with anyio.move_on_after(0.2):
            await complete(mock_delay=60)

    events = await recorded(work, ends=0)
    assert "model.completed" not in kinds(events)


async def test_a_call_belongs_to_the_agent_around_it() -> None:
    async def work() -> None:
        await complete(metadata={"agent": "planner"})

    events = await recorded(work, agent="coder")
    (agent,) = of(events, "agent.registered")
    assert agent.name == "planner"
    events = await recorded(complete, agent="coder")
    assert of(events, "agent.registered")[0].name == "coder"


async def test_a_call_belongs_to_the_context_around_it() -> None:
    async def work() -> None:
        with scope(correlation_id="job-1"):
            await complete()

    assert {event.correlation_id for event in await recorded(work) if event.kind.startswith("model.")} == {"job-1"}


async def test_calls_at_once_are_paired_by_their_id() -> None:
    async def one(n: int) -> None:
        await complete(mock_response=f"answer {n}", metadata={"agent": f"agent-{n}"})

    async def work() -> None:
        await asyncio.gather(*map(one, range(20)))

    events = await recorded(work, ends=20)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    answers = {names[event.agent_id]: event.response for event in of(events, "model.completed")}
    assert answers == {f"agent-{n}": f"answer {n}" for n in range(20)}


async def test_two_hubs_hear_both_and_one_that_is_closed_nothing() -> None:
    heard = [Heard(), Heard()]
    async with Hub(listeners=[heard[0]]) as one, Hub(listeners=[heard[1]]) as other:
        first, second = record(one), record(other)
        assert record(one) is first
        await complete()
        for each in heard:
            await each.wait_for("model.completed")
        await first.aclose()
        await complete()
        while len(of(heard[1].events, "model.completed")) < 2:  # noqa: ASYNC110 - LiteLLM tells callbacks alone
            await anyio.sleep(0.01)
        await second.aclose()
    assert [kinds(each.events).count("model.called") for each in heard] == [1, 2]
    assert all(
        "Hubwire" not in type(each).__name__
        for name in (
            "callbacks",
            "success_callback",
            "failure_callback",
            "input_callback",
            "_async_success_callback",
            "_async_failure_callback",
        )
        for each in getattr(litellm, name)
    )


async def test_a_hub_that_is_gone_or_full_is_not_noticed() -> None:
    async with Hub() as hub:
        recorder = record(hub)
    assert (await complete()).choices[0].message.content == "done"
    recorder.close()
    hub = Hub()
    await hub.start()
    recorder = record(hub)
    await hub.abort()
    assert (await complete()).choices[0].message.content == "done"
    recorder.close()
    recorder = record(Hub(), queue_max=1)
    for _ in range(3):
        assert (await complete()).choices[0].message.content == "done"
    recorder.close()


def test_the_hub_may_live_in_a_thread_of_its_own() -> None:
    heard = Heard()
    with HubThread(Hub(listeners=[heard])) as thread, record(thread) as recorder:
        complete_blocking()
        limit = time.monotonic() + 30
        while not of(heard.events, "model.completed") and time.monotonic() < limit:
            recorder.flush_blocking(30)
    assert kinds(heard.events) == ["model.called", "model.completed"]


async def test_secrets_are_redacted_and_contents_are_cut() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"

    async def work() -> None:
        await complete(mock_response=f"it is {secret} " + "x" * 5000)

    assert secret not in str(await recorded(work, content=True))
    (completed,) = of(await recorded(work), "model.completed")
    assert len(str(completed.response)) < 400


async def test_the_audit_log_verifies() -> None:
    store, heard = MemoryStore(), Heard()
    async with Hub(store, listeners=[AuditLog(store), heard]) as hub, record(hub):
        await complete()
        await heard.wait_for("model.completed")
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


class _Server(BaseHTTPRequestHandler):
    """A model that fails the first time, and then calls a tool."""

    asked = 0

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        said: Any = {"error": {"message": "slow down"}}
        if type(self).asked > 1:
            function = {"name": "search", "arguments": '{"query": "build log"}'}
            message = {"role": "assistant", "content": None}
            message["tool_calls"] = [{"id": "call-1", "type": "function", "function": function}]  # type: ignore[assignment]
            said = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "gpt-4o",
                "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
            }
        body = json.dumps(said).encode()
        self.send_response(500 if type(self).asked == 1 else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def address() -> Iterator[str]:
    _Server.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


async def test_a_call_that_is_tried_again_is_one_call(address: str) -> None:
    def work() -> None:
        litellm.completion("openai/gpt-4o", MESSAGES, api_base=address, api_key="none", num_retries=2)

    events = await recorded(lambda: asyncio.to_thread(work))
    assert kinds(events) == ["model.called", "model.completed"], "its client repeats it, and tells no callback"
    assert "build log" in str(of(events, "model.completed")[0].response)


async def test_a_fallback_is_a_call_of_its_own() -> None:
    """It has the id and the details of the one that failed: the log must not end with the failure."""

    async def work() -> None:
        said = await complete(
            mock_response="litellm.RateLimitError", fallbacks=[{"model": "gpt-4", "mock_response": "from the other"}]
        )
        assert said.choices[0].message.content == "from the other"

    events = await recorded(work, ends=2)
    assert kinds(events) == ["model.called", "model.failed", "model.called", "model.completed"]
    assert of(events, "model.completed")[0].response == "from the other"
    first, second = (event.call_id.rpartition(":") for event in of(events, "model.called"))
    assert (first[0], first != second) == (second[0], True)


async def test_calls_with_one_id_are_several_calls() -> None:
    async def work() -> None:
        await asyncio.gather(*(complete(litellm_call_id="mine", mock_response=f"answer {n}") for n in range(5)))

    events = await recorded(work, ends=5)
    assert {event.response for event in of(events, "model.completed")} == {f"answer {n}" for n in range(5)}


async def test_a_call_that_never_reached_a_model_is_an_error_and_no_call() -> None:
    heard = Heard()

    async def work() -> None:
        with pytest.raises(litellm.exceptions.Timeout):
            await complete(mock_timeout=True, timeout=0.01, metadata={"agent": "planner"})

    async with Hub(listeners=[heard]) as hub, record(hub):
        await work()
        await heard.wait_for("error.raised")
    (error,) = of(heard.events, "error.raised")
    assert error.error_type == "Timeout"
    assert error.error_context["model"] == "gpt-4o"
    assert kinds(heard.events) == []


def test_an_end_without_a_beginning_is_a_call_and_one_that_is_told_twice_is_one() -> None:
    """As of an answer from a cache, which LiteLLM tells of when it is there."""
    heard = Heard()
    with HubThread(Hub(listeners=[heard])) as thread, record(thread) as recorder:
        logger = the_logger()
        details = {"litellm_call_id": "1", "model": "gpt-4o", "messages": MESSAGES, "cache_hit": True}
        began, ended = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=each) for each in (3, 1))
        for _ in range(2):
            logger.log_success_event(details, litellm.ModelResponse(), began, ended)
        recorder.flush_blocking(30)
    assert kinds(heard.events) == ["model.called", "model.completed"]
    (completed,) = of(heard.events, "model.completed")
    assert completed.metadata["cache_hit"] == 1
    assert completed.duration_ms == pytest.approx(2000, abs=1)


class Evil(BaseException):
    pass


class Trap:
    """Raises what no adapter expects, however it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise Evil(name)

    def __str__(self) -> str:
        raise Evil


async def test_what_raises_when_it_is_looked_at_does_not_reach_litellm() -> None:
    async with Hub() as hub, record(hub) as recorder:
        logger = the_logger()
        for odd in (Trap(), {"litellm_call_id": Trap()}, {"litellm_params": Trap(), "litellm_call_id": "2"}):
            logger.log_pre_api_call(odd, odd, odd)
            logger.log_success_event(odd, odd, odd, odd)
            logger.log_failure_event(odd, odd, odd, odd)
            await logger.async_log_success_event(odd, odd, odd, odd)
            await logger.async_log_failure_event(odd, odd, odd, odd)
        assert recorder.statistics().failures > 0


@pytest.mark.slow
def test_of_100_000_calls_that_never_end_a_bounded_number_is_remembered() -> None:
    recorder = record(Hub())
    logger = the_logger()
    (calls,) = [cell.cell_contents for cell in logger.log_pre_api_call.__closure__]
    kept = [{"litellm_call_id": f"{n}"} for n in range(100_000)]
    for details in kept:
        logger.log_pre_api_call("gpt-4o", MESSAGES, details)
    assert len(calls._open) <= 20_000
    for details in kept:
        logger.log_success_event(details, None, None, None)
    assert (len(calls._open), len(calls._ended)) == (0, 1_000)
    recorder.close()


async def test_a_hub_that_fails_in_the_middle_of_a_stream_is_not_noticed() -> None:
    hub = Hub()
    await hub.start()
    with record(hub):
        stream = await complete(stream=True, mock_response="one two three four")
        pieces = [await anext(stream)]
        await hub.abort()
        pieces += [piece async for piece in stream]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "one two three four"


async def test_a_stream_that_is_left_is_no_answer() -> None:
    async def work() -> None:
        stream = await complete(stream=True, mock_response="one two three four")
        await anext(stream)
        await stream.aclose()

    assert kinds(await recorded(work, ends=0)) == ["model.called", "model.abandoned"]


async def test_secrets_in_errors_names_and_requests_are_redacted() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"

    async def work() -> None:
        with pytest.raises(litellm.exceptions.InternalServerError):
            said = [{"role": "user", "content": f"my key is {secret}"}]
            await litellm.acompletion("gpt-4o", said, mock_response=Exception(f"{secret} is wrong"))

    assert secret not in str(await recorded(work, content=True))


def the_logger() -> Any:
    return [each for each in litellm.callbacks if "Hubwire" in type(each).__name__][-1]


def test_a_recorder_that_is_asked_oddly_is_not_noticed() -> None:
    recorder = record(Hub())
    logger = the_logger()
    for odd in (None, 3, object(), {"litellm_call_id": object()}, {"litellm_params": 4, "litellm_call_id": "1"}):
        logger.log_pre_api_call(odd, odd, odd)
        logger.log_success_event(odd, odd, odd, odd)
        logger.log_failure_event(odd, odd, odd, odd)
    assert isinstance(recorder, Recorder)
    recorder.close()
