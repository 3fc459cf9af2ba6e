"""LangChain without graphs: chains, models and tools that are called by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("langchain", reason="LangChain is not installed: pip install 'hubwire[langchain]'")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from hubwire import Event, Hub, HubThread, scope
from hubwire.errors import ConfigurationError
from hubwire.runtimes import Recorder, langgraph
from hubwire.runtimes.langchain import from_langchain, record
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, check_pairs, of
from support.langgraph_team import call, deploy, lint, scripted, search
from support.refusals import check_refusals

PROMPT = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{asked}")])


class TestLangChain(RuntimeContract):
    """The job as one chain, which calls its tools itself."""

    lacks = frozenset({"hand_over"})  # a chain knows no agents

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **{"agent": "planner", **settings})

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        model = scripted(call("search", query="build log"), call("lint", path="app.py"), ANSWER)

        async def work(asked: str) -> str:
            await model.ainvoke(asked)
            await search.ainvoke({"query": "build log"})
            await model.ainvoke(asked)
            with pytest.raises(Exception, match="no such file"):
                await tool(lint).ainvoke({"path": "app.py"})
            if recorder is not None and asks:
                verdict = await recorder.decide(f"deploy-{id(work)}", "deploy", {"target": "staging"})
                assert verdict.is_approved, verdict.reason
            await deploy.ainvoke({"target": "staging"})
            return str((await model.ainvoke(asked)).content)

        return str(await RunnableLambda(work).with_config(run_name="planner").ainvoke("mend the build"))

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        with pytest.raises(Exception) as caught:
            await (PROMPT | scripted()).with_config(run_name="planner").ainvoke({"asked": "go"})
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        @tool
        async def wait() -> str:
            """Wait."""
            started.set()
            await asyncio.Event().wait()
            return "never"

        await RunnableLambda(lambda _: wait).with_config(run_name="planner").ainvoke({})


async def recorded(work: Callable[[Recorder], Awaitable[Any]], **settings: Any) -> list[Event]:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder:
            await work(recorder)
            statistics = recorder.statistics()
        await hub.flush(timeout=30)
    assert (statistics.failures, statistics.dropped, statistics.replays) == (0, 0, 0)
    check_pairs(heard.events)
    return [event for event in heard.events if event.source is not None]


async def test_a_chain_is_one_turn() -> None:
    chain = PROMPT | scripted("done") | StrOutputParser()
    events = await recorded(lambda _: chain.ainvoke({"asked": "go"}), content=True)
    assert [event.kind for event in events] == ["turn.started", "model.called", "model.completed", "turn.ended"]
    assert of(events, "turn.started")[0].prompt == {"asked": "go"}
    assert [each["content"] for each in of(events, "model.called")[0].request] == ["Be brief.", "go"]
    assert of(events, "turn.ended")[0].content == "done"


async def test_models_and_tools_alone_are_calls_without_a_turn() -> None:
    async def work(recorder: Recorder) -> None:
        await scripted("done").ainvoke("go")
        await FakeListLLM(responses=["old"]).ainvoke("go")
        await search.ainvoke({"query": "a"})

    events = await recorded(work)
    assert [event.kind for event in events] == [
        "model.called",
        "model.completed",
        "model.called",
        "model.completed",
        "tool.called",
        "tool.completed",
    ]
    assert [event.response for event in of(events, "model.completed")] == ["done", "old"]
    assert of(events, "tool.called")[0].arguments == {"query": "a"}


async def test_runs_at_a_time_are_told_apart() -> None:
    chain = RunnableLambda(lambda asked: search.invoke({"query": asked}))

    async def work(recorder: Recorder) -> None:
        await chain.abatch(["a", "b"])
        await asyncio.to_thread(chain.batch, ["c", "d"])

    events = await recorded(work)
    asked = {event.turn_id: event.prompt for event in of(events, "turn.started")}
    assert sorted(asked.values()) == ["a", "b", "c", "d"]
    assert {event.turn_id: event.arguments["query"] for event in of(events, "tool.called")} == asked


async def test_branches_belong_to_one_turn() -> None:
    both = RunnableParallel(one=PROMPT | scripted("1"), two=PROMPT | scripted("2"))
    events = await recorded(lambda _: both.ainvoke({"asked": "go"}))
    (turn,) = of(events, "turn.started")
    assert [event.turn_id for event in of(events, "model.completed")] == [turn.turn_id] * 2


async def test_the_attempt_that_has_failed_is_recorded_beside_its_fallback() -> None:
    chain = scripted().with_fallbacks([scripted("done")])
    events = await recorded(lambda _: chain.ainvoke("go"))
    assert [event.kind for event in events if event.kind.startswith("model")] == [
        "model.called",
        "model.failed",
        "model.called",
        "model.completed",
    ]
    assert of(events, "turn.ended")


async def test_a_stream_that_is_dropped_has_not_ended_well() -> None:
    async def work(recorder: Recorder) -> None:
        stream = (PROMPT | scripted("The build is green.")).astream({"asked": "go"})
        await anext(stream)
        await stream.aclose()

    events = await recorded(work)
    assert not of(events, "turn.ended")
    assert not of(events, "model.completed")


async def test_each_stream_is_one_call() -> None:
    async def work(recorder: Recorder) -> None:
        chain = PROMPT | scripted("The build is green.")
        said = [piece.content async for piece in chain.astream({"asked": "go"})]
        assert "".join(said) == "The build is green."

    events = await recorded(work)
    (ended,) = of(events, "model.completed")
    assert ended.response == "The build is green."
    assert len(of(events, "model.progressed")) == 1


async def test_the_tokens_of_a_call_are_those_of_the_model() -> None:
    answer = AIMessage(
        "done",
        usage_metadata={
            "input_tokens": 11,
            "output_tokens": 3,
            "total_tokens": 14,
            "input_token_details": {"cache_read": 7},
        },
    )
    (ended,) = of(await recorded(lambda _: scripted(answer).ainvoke("go")), "model.completed")
    assert (ended.input_tokens, ended.output_tokens) == (11, 3)
    assert ended.metadata["input_cache_read_tokens"] == 7


async def test_one_recorder_hears_chains_and_graphs() -> None:
    async with Hub() as hub:
        with record(hub) as recorder:
            assert langgraph.record(hub) is recorder
            async with Hub() as other:
                with langgraph.record(other) as second:
                    assert record(other) is second
                    assert second is not recorder
        with pytest.raises(ConfigurationError, match="a recorder needs a Hub"):
            record(None)  # type: ignore[arg-type]


async def test_runs_belong_to_where_they_are_called() -> None:
    async def work(recorder: Recorder) -> None:
        with scope(correlation_id="order-7", session="ann"):
            await asyncio.to_thread(RunnableLambda(lambda asked: search.invoke({"query": asked})).invoke, "a")

    events = await recorded(work)
    assert {(event.correlation_id, event.session_id) for event in events} == {("order-7", "ann")}


async def test_handlers_of_the_program_hear_what_they_heard_before() -> None:
    class Own(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_chat_model_start(self, *args: Any, **told: Any) -> None:
            self.heard.append("start")

        def on_llm_end(self, *args: Any, **told: Any) -> None:
            self.heard.append("end")

    own = Own()
    await recorded(lambda _: scripted("done").ainvoke("go", {"callbacks": [own]}))
    assert own.heard == ["start", "end"]


class Odd:
    """A value that raises when it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


async def test_odd_values_neither_harm_the_run_nor_the_record() -> None:
    odd: list[Any] = [Odd(), {"messages": []}, {"messages": [None]}, {"messages": 7}, "\ud800", None, [], {"a": Odd()}]

    async def work(recorder: Recorder) -> None:
        for value in odd:
            assert RunnableLambda(lambda given: given).with_config(run_name="\ud800" * 300).invoke(value) is value
        await scripted(AIMessage([{"type": "text", "text": "a"}, "b", {"type": "image", "url": "x"}])).ainvoke("go")

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder:
            await work(recorder)
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    assert of(heard.events, "model.completed")[0].response == "ab"
    assert len(of(heard.events, "turn.ended")) == len(odd)
    assert recorder.statistics().failures == 0


async def test_a_model_answers_envelopes_and_remembers_the_channel() -> None:
    heard: list[list[Any]] = []

    def answer(messages: list[Any]) -> AIMessage:
        heard.append(messages)
        return AIMessage("yes")

    async with Hub() as hub:
        await hub.spawn(from_langchain(RunnableLambda(answer), name="helper"))
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("helper")])
        for _ in range(2):
            await channel.post(ann, "there?")
            async for delivery in ann.inbox():
                await delivery.ack()
                assert delivery.event.content == "yes"
                break
    assert heard[1] == [HumanMessage("ann: there?"), AIMessage("yes"), HumanMessage("there?")]


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    runnable = RunnableLambda(str)
    check_refusals(from_langchain, "a runnable of LangChain", runnable, RunnableLambda, name="helper")
