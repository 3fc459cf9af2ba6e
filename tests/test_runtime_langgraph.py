"""LangGraph and LangChain: what their callbacks say becomes events, and nothing false."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from typing import Any

import anyio
import pytest

pytest.importorskip("langgraph", reason="LangGraph is not installed: pip install 'hubwire[langgraph]'")
pytest.importorskip("langchain.agents", reason="its tests need agents of LangChain: pip install 'hubwire[langchain]'")

from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy

from hubwire import Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes._langchain import _hook as hook
from hubwire.runtimes.langgraph import from_langgraph, record, record_checkpoints, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, of
from support.langgraph_team import (
    ASKED,
    Scripted,
    call,
    calls,
    kinds,
    new_thread,
    recorded,
    reviewed,
    scripted,
    search,
    team,
)
from support.refusals import check_refusals


class TestLangGraph(RuntimeContract):
    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        graph, config = team(), new_thread()
        await graph.ainvoke(ASKED, config)
        if recorder is not None and asks:
            result = await resume(recorder, graph, config)
        else:
            result = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
        return str(result["messages"][-1].content)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        agent = create_agent(scripted(), [], name="planner")  # it has no answer
        with pytest.raises(Exception) as caught:
            await agent.ainvoke(ASKED)
        return caught.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        async def wait() -> str:
            """Wait."""
            started.set()
            await asyncio.Event().wait()
            return "never"

        await create_agent(scripted(call("wait")), [wait], name="planner").ainvoke(ASKED)


async def job(recorder: Recorder) -> None:
    graph, config = team(), new_thread()
    await graph.ainvoke(ASKED, config)
    await resume(recorder, graph, config)


# -- what is recorded --


async def test_the_complete_sequence_of_the_job() -> None:
    events = await recorded(job)
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    said = [
        (names[event.agent_id or ""], event.kind, getattr(event, "tool", getattr(event, "action", "")))
        for event in events
        if event.kind.partition(".")[0] in ("turn", "model", "tool")
        or event.kind in ("agent.switched", "approval.approved")
    ]
    asks = [("model.called", ""), ("model.completed", "")]
    assert said == [
        ("team", "turn.started", ""),
        *(
            ("planner", kind, tool)
            for kind, tool in [
                ("turn.started", ""),
                *asks,
                ("tool.called", "search"),
                ("tool.completed", "search"),
                *asks,
                ("tool.called", "ask_coder"),
                ("tool.completed", "ask_coder"),
                ("agent.switched", ""),
                ("turn.ended", ""),
            ]
        ),
        *(
            ("coder", kind, tool)
            for kind, tool in [
                ("turn.started", ""),
                *asks,
                ("tool.called", "lint"),
                ("tool.failed", "lint"),
                *asks,
                ("turn.ended", ""),
            ]
        ),
        ("team", "turn.ended", ""),
        ("coder", "approval.approved", "deploy"),
        ("team", "turn.started", ""),
        *(
            ("coder", kind, tool)
            for kind, tool in [
                ("turn.started", ""),
                ("tool.called", "deploy"),
                ("tool.completed", "deploy"),
                *asks,
                ("turn.ended", ""),
            ]
        ),
        ("team", "turn.ended", ""),
    ]
    assert {event.session_id for event in of(events, "turn.started")} == {
        of(events, "approval.requested")[0].session_id
    }
    assert (
        len({event.correlation_id for event in [*of(events, "turn.started"), *of(events, "approval.requested")]}) == 1
    )
    assert of(events, "turn.ended")[1].content == "waits for an answer: deploy"


async def test_the_audit_log_verifies() -> None:
    store = MemoryStore()
    async with (
        Hub(store, listeners=[AuditLog(store)]) as hub,
        record(hub) as recorder,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(approve_all, hub)
        await job(recorder)
        tasks.cancel_scope.cancel()
    verdict = await AuditLog(store).verify()
    assert verdict.integrity.outcome.value == "holds", verdict


async def test_tools_at_a_time_are_told_apart() -> None:
    both = threading.Barrier(3, timeout=30)

    @tool
    def add(a: int) -> str:
        """Add."""
        both.wait()  # they are at work at the same time, with a recorder as without
        return f"{a * 10}"

    async def work(recorder: Recorder) -> None:
        wanted = [("add", f"call-{number}", {"a": number}) for number in (1, 2, 3)]
        await create_agent(scripted(calls(*wanted), "done"), [add]).ainvoke(ASKED)

    events = await recorded(work)
    arguments = {event.call_id: event.arguments["a"] for event in of(events, "tool.called")}
    assert len(arguments) == 3
    assert {arguments[event.call_id]: event.result for event in of(events, "tool.completed")} == {
        1: "10",
        2: "20",
        3: "30",
    }


async def test_a_tool_that_raises_ends_the_run_and_both_have_failed() -> None:
    @tool
    def burn() -> str:
        """Burn."""
        raise RuntimeError("it burns")

    async def work(recorder: Recorder) -> None:
        with pytest.raises(RuntimeError, match="it burns"):
            await create_agent(scripted(call("burn")), [burn], name="coder").ainvoke(ASKED)

    events = await recorded(work)
    assert [event.error_message for event in of(events, "tool.failed")] == ["it burns"]
    assert [event.error_message for event in of(events, "turn.failed")] == ["it burns"]
    assert not of(events, "turn.ended")


async def test_an_agent_inside_of_a_tool_is_part_of_it() -> None:
    inner = create_agent(scripted("it is"), [], name="checker")

    @tool
    async def check() -> str:
        """Check."""
        return str((await inner.ainvoke(ASKED))["messages"][-1].content)

    async def work(recorder: Recorder) -> None:
        await create_agent(scripted(call("check"), "done"), [check], name="planner").ainvoke(ASKED)

    events = await recorded(work)
    assert kinds(events, "turn", "tool") == [
        "turn.started",
        "tool.called",
        "turn.started",
        "turn.ended",
        "tool.completed",
        "turn.ended",
    ]
    outer, nested = of(events, "turn.started")
    assert nested.metadata["parent_turn_id"] == outer.turn_id
    assert nested.causation_id == of(events, "tool.called")[0].id


async def test_nodes_of_a_graph_are_agents_where_the_program_says_so() -> None:
    def work_on(state: MessagesState) -> dict[str, Any]:
        return {"messages": [scripted("done").invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    for name in ("writer", "other"):
        graph.add_node(name, work_on)
    graph.add_edge(START, "writer")
    graph.add_edge("writer", "other")
    events = await recorded(lambda _: graph.compile().ainvoke(ASKED), node_agents=["writer"])
    names = {event.agent_id: event.name for event in of(events, "agent.registered")}
    assert [names[event.agent_id] for event in of(events, "turn.started")] == ["agent", "writer"]
    assert [names[event.agent_id] for event in of(events, "model.completed")] == ["writer", "agent"]


async def test_nodes_at_a_time_in_threads_are_recorded_each_in_its_order() -> None:
    def work_on(state: MessagesState) -> dict[str, Any]:
        answers = [search.invoke({"query": "a"}) for _ in range(10)]
        return {"messages": [("ai", answers[0])]}

    graph = StateGraph(MessagesState)
    for number in range(8):
        graph.add_node(f"node-{number}", work_on)
        graph.add_edge(START, f"node-{number}")

    async def work(recorder: Recorder) -> None:
        await asyncio.to_thread(graph.compile().invoke, ASKED)

    events = await recorded(work)
    assert len(of(events, "turn.started")) == 1
    assert len(of(events, "tool.completed")) == 80
    assert {event.turn_id for event in of(events, "tool.called")} == {of(events, "turn.started")[0].turn_id}


async def test_each_attempt_of_a_node_is_recorded() -> None:
    tries = itertools.count()

    @tool
    def fetch() -> str:
        """Fetch."""
        if next(tries) == 0:
            raise ConnectionError("not yet")
        return "there"

    def work_on(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", fetch.invoke({}))]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", work_on, retry_policy=RetryPolicy(initial_interval=0.001))
    graph.add_edge(START, "node")
    events = await recorded(lambda _: graph.compile().ainvoke(ASKED))
    assert kinds(events, "turn", "tool") == [
        "turn.started",
        "tool.called",
        "tool.failed",
        "tool.called",
        "tool.completed",
        "turn.ended",
    ]


async def test_a_graph_that_never_ends_has_failed() -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("node", lambda state: {})
    graph.add_edge(START, "node")
    graph.add_edge("node", "node")

    async def work(recorder: Recorder) -> None:
        with pytest.raises(GraphRecursionError):
            await graph.compile().ainvoke(ASKED, {"recursion_limit": 3})

    (failed,) = of(await recorded(work), "turn.failed")
    assert failed.error_type == "GraphRecursionError"


async def test_a_run_that_goes_on_from_a_checkpoint_repeats_nothing() -> None:
    tries = itertools.count()

    @tool
    def fetch() -> str:
        """Fetch."""
        if next(tries) == 0:
            raise ConnectionError("not yet")
        return "there"

    async def work(recorder: Recorder) -> None:
        agent = create_agent(scripted(call("fetch"), "done"), [fetch], name="coder", checkpointer=InMemorySaver())
        config = new_thread()
        with pytest.raises(ConnectionError):
            await agent.ainvoke(ASKED, config)
        await agent.ainvoke(None, config)

    events = await recorded(work)
    assert kinds(events, "turn") == ["turn.started", "turn.failed", "turn.started", "turn.ended"]
    assert len(of(events, "model.completed")) == 2
    assert kinds(events, "tool") == ["tool.called", "tool.failed", "tool.called", "tool.completed"]
    assert len({event.session_id for event in of(events, "turn.started")}) == 1


async def test_a_stream_is_folded() -> None:
    async def work(recorder: Recorder) -> None:
        agent = create_agent(scripted("The build is green."), [], name="coder")
        async for _ in agent.astream(ASKED, stream_mode="messages"):
            pass

    events = await recorded(work)
    assert kinds(events, "model") == ["model.called", "model.progressed", "model.completed"]
    assert of(events, "model.completed")[0].response == "The build is green."


async def test_an_observer_does_not_switch_to_streaming() -> None:
    class Whole(Scripted):
        def _stream(self, *args: Any, **settings: Any) -> Any:
            raise AssertionError("it was asked for a stream")

    async def work(recorder: Recorder) -> None:
        model = Whole(messages=iter([AIMessage("done")]))
        await create_agent(model, [], name="coder").ainvoke(ASKED)

    assert of(await recorded(work), "model.completed")[0].response == "done"


async def test_secrets_in_arguments_are_redacted() -> None:
    @tool
    def send(to: str, password: str) -> str:
        """Send."""
        return f"sent to {to}"

    async def work(recorder: Recorder) -> None:
        wanted = call("send", to="ann@example.com", password="hunter2secret")
        agent = create_agent(scripted(wanted, "done"), [send], name="coder")
        await agent.ainvoke({"messages": [("user", "mail ann@example.com")]})

    for settings in ({"content": True}, {}):
        said = json.dumps([str(event) for event in await recorded(work, **settings)])
        assert "send" in said
        assert "ann@example.com" not in said
        assert "hunter2secret" not in said


async def test_whole_contents_are_recorded_only_if_they_are_wanted() -> None:
    long = "All is well. " * 100

    async def work(recorder: Recorder) -> None:
        await create_agent(scripted(long), [], name="coder").ainvoke(ASKED)

    (whole,) = of(await recorded(work, content=True), "turn.ended")
    (cut,) = of(await recorded(work), "turn.ended")
    assert whole.content == long
    assert len(cut.content) <= 200


async def test_tasks_of_a_function_are_part_of_its_turn() -> None:
    @task
    async def look() -> str:
        return str(await search.ainvoke({"query": "a"}))

    @entrypoint()
    async def workflow(asked: str) -> str:
        return str(await look())

    events = await recorded(lambda _: workflow.ainvoke("go"))
    assert kinds(events, "turn", "tool") == ["turn.started", "tool.called", "tool.completed", "turn.ended"]
    assert of(events, "turn.started")[0].prompt == "go"
    assert of(events, "turn.ended")[0].content == "2 errors"


# -- what the host notices --


async def test_there_is_no_handler_without_a_recorder() -> None:
    def handlers() -> list[str]:
        return [type(each).__name__ for each in CallbackManager.configure().handlers]

    before = handlers()
    async with Hub() as hub:
        with record(hub):
            assert handlers() == [*before, "HubwireCallbackHandler"]
            with pytest.raises(ConfigurationError, match="node_agents"):
                record(Hub(), node_agents="writer")
        assert handlers() == before
        recorder = record(hub)
        assert len(handlers()) == len(before) + 1
    assert handlers() == before  # the hub is closed
    recorder.close()


async def test_a_program_that_listens_itself_sees_the_same() -> None:
    async def seen() -> list[tuple[str, str]]:
        agent = create_agent(scripted("All is well."), [search], name="coder")
        return [(event["event"], event["name"]) async for event in agent.astream_events(ASKED, version="v2")]

    without = await seen()
    async with Hub() as hub:
        with record(hub):
            assert await seen() == without


async def test_a_verdict_of_one_hub_is_told_to_the_other() -> None:
    heard = [Heard(), Heard()]
    agent, config = reviewed(call("deploy", target="live"), "done"), new_thread()
    async with Hub() as one, Hub() as other:
        one.attach(heard[0])
        other.attach(heard[1])
        async with record(one) as recorder, record(other), anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, one)
            await agent.ainvoke(ASKED, config)
            await resume(recorder, agent, config)
            tasks.cancel_scope.cancel()
    for each in heard:
        assert each.kinds.count("approval.approved") == 1
        assert each.kinds.index("approval.approved") < each.kinds.index("tool.called")


async def test_the_handler_runs_in_the_code_that_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another thread it would come later than what happens next, and make the run wait for a thread."""
    moved: list[Any] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", lambda *given: moved.append(given))

    async def answer(asked: Any) -> str:
        return "done"

    async with Hub() as hub:
        with record(hub):
            assert await RunnableLambda(answer).ainvoke("go") == "done"
    assert moved == []


async def test_what_fails_in_a_callback_is_counted_and_the_run_goes_on() -> None:
    class Hostile(dict[str, Any]):
        def get(self, *args: Any) -> Any:
            raise SystemExit

    async with Hub() as hub:
        with record(hub) as recorder:
            assert RunnableLambda(lambda given: "done").invoke(Hostile()) == "done"
            assert recorder.statistics().failures == 1


async def test_nothing_is_left_of_runs_that_have_ended() -> None:
    async with Hub() as hub:
        with record(hub) as recorder:
            (followed,) = [each for each in hook.followings if each.recorder is recorder]
            for _ in range(200):
                search.invoke({"query": "a"})
            graph, config = team(), new_thread()
            await graph.ainvoke(ASKED, config)
            stream = create_agent(scripted(ANSWER), [], name="coder").stream(ASKED)
            next(stream)
            stream.close()
            assert followed.open_runs == 0


async def test_an_agent_answers_envelopes_and_remembers_the_channel() -> None:
    class Counting(Scripted):
        def _generate(self, messages: list[Any], *args: Any, **settings: Any) -> Any:
            self.messages = iter([AIMessage(f"{len(messages)} messages")])
            return super()._generate(messages, *args, **settings)

    agent = create_agent(Counting(messages=iter([])), [], name="coder", checkpointer=InMemorySaver())
    heard = Heard()
    async with Hub() as hub, record(hub) as recorder:
        hub.attach(heard)
        await hub.spawn(from_langgraph(agent))
        ann = await hub.agents.register("ann")
        channel = await hub.channels.open([ann, hub.agents.named("coder")])
        said: list[Any] = []
        for _ in range(2):
            await channel.post(ann, "how many?")
            async for delivery in ann.inbox():
                await delivery.ack()
                said.append(delivery.event.content)
                break
        assert said == ["1 messages", "3 messages"]
        await recorder.flush()
    turns = of(heard.events, "turn.started")
    assert {event.metadata["parent_turn_id"] for event in turns if event.source == "langgraph"} == {
        event.turn_id for event in turns if event.source != "langgraph"
    }


async def test_an_actor_asks_the_hub_for_its_tools() -> None:
    agent = reviewed(call("deploy", target="live"), "done")

    async def work(recorder: Recorder) -> None:
        await recorder.hub.spawn(from_langgraph(agent, recorder=recorder))
        ann = await recorder.hub.agents.register("ann")
        answer = await recorder.hub.ask(ann, recorder.hub.agents.named("coder"), "deploy it", timeout=30)
        assert answer.content == "done"

    events = await recorded(work)
    assert [event.tool for event in of(events, "tool.completed")] == ["deploy"]


# -- checkpoints, and what is left --


async def test_checkpoints_are_recorded_where_the_program_says_so() -> None:
    saver = InMemorySaver()
    agent = create_agent(scripted(call("search", query="secret-build"), "done"), [search], checkpointer=saver)
    config = new_thread()

    async def work(recorder: Recorder) -> None:
        for _ in range(2):
            record_checkpoints(recorder, saver)
        await agent.ainvoke(ASKED, config)

    events = await recorded(work)
    saved = of(events, "langgraph.checkpoint.saved")
    steps = [each async for each in agent.aget_state_history(config)]
    assert [event.data["checkpoint_id"] for event in saved] == [
        each.config["configurable"]["checkpoint_id"] for each in reversed(steps)
    ]
    assert [(event.data["source"], event.data["step"]) for event in saved][:2] == [("input", -1), ("loop", 0)]
    assert {event.data["thread_id"] for event in saved} == {config["configurable"]["thread_id"]}
    (turn,) = of(events, "turn.started")
    assert {(event.turn_id, event.session_id) for event in saved} == {(turn.turn_id, turn.session_id)}
    assert "secret-build" not in str([event.data for event in saved])
    assert not {"put", "aput"} & set(vars(saver)), "it is not as it was"


async def test_checkpoints_of_a_thread_and_of_two_hubs_are_recorded() -> None:
    saver, heard = InMemorySaver(), [Heard(), Heard()]
    agent = create_agent(scripted("one", "two"), [], checkpointer=saver)
    async with Hub(listeners=[heard[0]]) as one, Hub(listeners=[heard[1]]) as other:
        async with record(one) as recorder:
            async with record(other) as second:
                record_checkpoints(recorder, saver)
                record_checkpoints(second, saver)
                await asyncio.to_thread(agent.invoke, ASKED, new_thread())
            await asyncio.to_thread(agent.invoke, ASKED, new_thread())
        await one.flush(timeout=30)
        await other.flush(timeout=30)
    assert [len(of(each.events, "langgraph.checkpoint.saved")) for each in heard] == [6, 3]


async def test_a_checkpointer_that_fails_raises_as_without() -> None:
    class Full(InMemorySaver):
        def put(self, *args: Any, **settings: Any) -> Any:
            raise OSError("no room")

    saver = Full()
    agent = create_agent(scripted("one", "two"), [], checkpointer=saver)

    async def work(recorder: Recorder) -> None:
        record_checkpoints(recorder, saver)
        with pytest.raises(OSError, match="no room"):
            await asyncio.to_thread(agent.invoke, ASKED, new_thread())

    events = await recorded(work)
    assert not of(events, "langgraph.checkpoint.saved")
    assert of(events, "turn.failed")


@pytest.mark.parametrize("odd", [None, 7, "\ud800", b"x", [], object(), lambda: None, InMemorySaver])
async def test_what_is_no_checkpointer_is_refused(odd: Any) -> None:
    async with Hub() as hub:
        with record(hub) as recorder:
            with pytest.raises(ConfigurationError, match="no checkpointer"):
                record_checkpoints(recorder, odd)
            with pytest.raises(ConfigurationError, match="no recorder"):
                record_checkpoints(odd, InMemorySaver())
        with pytest.raises(ConfigurationError, match="closed"):
            record_checkpoints(recorder, InMemorySaver())


async def test_nothing_is_left_of_streams_that_were_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.runtimes._langchain_runs._OVER_SECONDS", 0.0)
    async with Hub() as hub:
        with record(hub) as recorder:
            (followed,) = [each for each in hook.followings if each.recorder is recorder]
            for _ in range(20):
                stream = create_agent(scripted("one two three"), [], name="coder").astream(
                    ASKED, stream_mode="messages"
                )
                async for _ in stream:
                    break
                await stream.aclose()
            await asyncio.sleep(0)
            RunnableLambda(lambda given: "done").invoke(1)
            assert followed.open_runs == 0


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    agent = create_agent(Scripted(messages=iter([])), [], name="coder")
    check_refusals(from_langgraph, "a compiled graph of LangGraph", agent, type(agent))
