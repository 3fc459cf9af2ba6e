"""LangGraph and LangChain: what their callbacks say becomes events, and nothing false."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("langgraph", reason="LangGraph is not installed: pip install 'hubwire[langgraph]'")

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from hubwire import Event, Hub, HubThread
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners import AuditLog
from hubwire.runtimes import Recorder
from hubwire.runtimes._langchain import _hook as hook
from hubwire.runtimes.langchain import from_langchain
from hubwire.runtimes.langgraph import from_langgraph, record, resume, resume_blocking
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard, RuntimeContract
from hubwire.testing.runtimes import ANSWER, approve_all, check_pairs, of
from support.langgraph_team import Scripted, call, calls, deploy, scripted, search, team

_threads = itertools.count()


def new_thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": f"thread-{next(_threads)}"}}


ASKED = {"messages": [("user", "mend the build")]}


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


async def recorded(work: Callable[[Recorder], Awaitable[Any]], **settings: Any) -> list[Event]:
    """Return the events of what ``work`` does with a recorder, while all that is asked for is approved."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub, **settings) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            await work(recorder)
            statistics = recorder.statistics()
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    assert (statistics.failures, statistics.dropped, statistics.replays) == (0, 0, 0)
    check_pairs(heard.events)
    return heard.events


async def deny_all(hub: Hub) -> None:
    async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
        await hub.approvals.answer(event.approval_id, "ann", is_passed=False, reason="not on a Friday")  # type: ignore[attr-defined]


async def denied(work: Callable[[Recorder], Awaitable[Any]], store: MemoryStore | None = None) -> list[Event]:
    heard = Heard()
    async with Hub(store or MemoryStore()) as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(deny_all, hub)
            await work(recorder)
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events


def kinds(events: list[Event], *families: str) -> list[str]:
    return [event.kind for event in events if event.kind.partition(".")[0] in families]


def reviewed(*answers: Any, saver: Any = None) -> Any:
    """An agent whose deploys a person has to review."""
    return create_agent(
        scripted(*answers),
        [deploy, search],
        name="coder",
        middleware=[HumanInTheLoopMiddleware({"deploy": True})],
        checkpointer=saver or InMemorySaver(),
    )


@tool
def restart(target: str) -> str:
    """Restart, after asking."""
    if not interrupt({"action": "restart", "target": target}):
        return "left alone"
    return f"restarted {target}"


def asking(*answers: Any, saver: Any = None) -> Any:
    """An agent with a tool that interrupts itself."""
    return create_agent(scripted(*answers), [restart], name="coder", checkpointer=saver or InMemorySaver())


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


# -- approvals --


async def test_what_is_denied_is_never_called_and_the_model_hears_why() -> None:
    told: list[str] = []

    async def work(recorder: Recorder) -> None:
        agent, config = reviewed(call("deploy", target="live"), "left"), new_thread()
        await agent.ainvoke(ASKED, config)
        result = await resume(recorder, agent, config)
        told.append(result["messages"][-2].content)
        assert result["messages"][-1].content == "left"

    events = await denied(work)
    assert "not on a Friday" in told[0]
    assert kinds(events, "tool") == []
    assert of(events, "approval.denied")[0].reason == "not on a Friday"


async def test_several_calls_are_decided_one_by_one() -> None:
    async def approve_staging(hub: Hub) -> None:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            (asked,) = [each for each in hub.approvals.pending() if each.approval_id == event.approval_id]  # type: ignore[attr-defined]
            await hub.approvals.answer(asked.approval_id, "ann", is_passed=asked.arguments["target"] == "staging")

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_staging, hub)
            wanted = [("deploy", f"call-{target}", {"target": target}) for target in ("live", "staging")]
            agent, config = reviewed(calls(*wanted), "done"), new_thread()
            await agent.ainvoke(ASKED, config)
            await resume(recorder, agent, config)
            tasks.cancel_scope.cancel()
    assert [event.arguments for event in of(heard.events, "tool.called")] == [{"target": "staging"}]
    assert len(of(heard.events, "approval.requested")) == 2


async def test_a_tool_that_asks_for_itself_is_called_after_the_verdict() -> None:
    async def work(recorder: Recorder) -> None:
        agent, config = asking(call("restart", target="live"), "done"), new_thread()
        await agent.ainvoke(ASKED, config)
        await resume(recorder, agent, config)

    events = await recorded(work)
    assert kinds(events, "tool") == ["tool.called", "tool.completed"]
    (called,), (approved,) = of(events, "tool.called"), of(events, "approval.approved")
    assert approved.seq < called.seq
    assert called.arguments == {"target": "live"}
    (asked,) = of(events, "approval.requested")
    assert (asked.action, asked.arguments) == ("restart", {"action": "restart", "target": "live"})
    assert not of(events, "turn.failed")


@pytest.mark.parametrize("is_same_process", [True, False])
async def test_a_tool_that_asks_for_itself_and_is_denied_was_never_called(is_same_process: bool) -> None:
    agent, config = asking(call("restart", target="live"), "left"), new_thread()

    async def begin(recorder: Recorder) -> None:
        await agent.ainvoke(ASKED, config)

    async def go_on(recorder: Recorder) -> None:
        if is_same_process:
            await begin(recorder)
        result = await resume(recorder, agent, config)
        assert result["messages"][-2].content == "left alone"

    if not is_same_process:
        assert kinds(await denied(begin), "tool") == []
    events = await denied(go_on)
    assert kinds(events, "tool") == []
    assert len(of(events, "approval.denied")) == 1


async def test_the_program_makes_the_answer_of_a_verdict() -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", interrupt({"question": "which?"}))]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")

    async def work(recorder: Recorder) -> None:
        asked, config = graph.compile(checkpointer=InMemorySaver()), new_thread()
        await asked.ainvoke(ASKED, config)
        result = await resume(recorder, asked, config, answer=lambda interrupt, verdict: f"no: {verdict.reason}")
        assert result["messages"][-1].content == "no: not on a Friday"

    (requested,) = of(await denied(work), "approval.requested")
    assert (requested.action, requested.arguments) == ("ask", {"question": "which?"})


async def test_two_questions_of_a_node_are_two() -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", str([interrupt({"action": "buy"}) for _ in range(2)]))]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")

    async def work(recorder: Recorder) -> None:
        asked, config = graph.compile(checkpointer=InMemorySaver()), new_thread()
        await asked.ainvoke(ASKED, config)
        result = await resume(recorder, asked, config)
        assert result["messages"][-1].content == "[True, True]"

    events = await recorded(work)
    assert len(of(events, "approval.approved")) == 2


async def test_two_answers_of_the_program_are_two_verdicts() -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", str([interrupt({"action": "buy"}) for _ in range(2)]))]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")

    async def work(recorder: Recorder) -> None:
        asked, config = graph.compile(checkpointer=InMemorySaver()), new_thread()
        await asked.ainvoke(ASKED, config)
        await asked.ainvoke(Command(resume=True), config)
        await asked.ainvoke(Command(resume=False), config)

    events = await recorded(work)
    assert kinds(events, "approval").count("approval.approved") == 1
    assert kinds(events, "approval").count("approval.denied") == 1


async def test_another_process_asks_the_same_question() -> None:
    store, agent, config = MemoryStore(), reviewed(call("deploy", target="live"), "done"), new_thread()
    async with Hub(store) as hub, record(hub) as recorder:
        await agent.ainvoke(ASKED, config)
        with anyio.move_on_after(0.1):
            await resume(recorder, agent, config)
        await recorder.flush()
        (asked,) = hub.approvals.pending()
    heard = Heard()
    async with Hub(store) as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        hub.attach(heard)
        (again,) = hub.approvals.pending()
        assert again.approval_id == asked.approval_id
        tasks.start_soon(resume, recorder, agent, config)
        await hub.approvals.answer(asked.approval_id, "ann", is_passed=True)
    assert kinds(heard.events, "tool") == ["tool.called", "tool.completed"]
    assert not of(heard.events, "approval.requested")


@pytest.mark.parametrize(
    ("decision", "verdict", "tools"),
    [
        ({"type": "approve"}, "approval.approved", ["tool.called", "tool.completed"]),
        ({"type": "reject", "message": "no"}, "approval.denied", []),
        ({"type": "respond", "message": "no"}, "approval.denied", []),
        (
            {"type": "edit", "edited_action": {"name": "deploy", "args": {"target": "staging"}}},
            "approval.approved",
            ["tool.called", "tool.completed"],
        ),
    ],
)
async def test_a_verdict_of_the_programs_own_dialog_is_recorded(
    decision: dict[str, Any], verdict: str, tools: list[str]
) -> None:
    async def work(recorder: Recorder) -> None:
        agent, config = reviewed(call("deploy", target="live"), "done"), new_thread()
        (asked,) = (await agent.ainvoke(ASKED, config))["__interrupt__"]
        if decision["type"] not in asked.value["review_configs"][0]["allowed_decisions"]:
            pytest.skip("this version of LangChain takes no such decision")
        await agent.ainvoke(Command(resume={"decisions": [decision]}), config)

    events = await recorded(work)
    (given,), (asked,) = of(events, verdict), of(events, "approval.requested")
    assert kinds(events, "tool") == tools
    target = "staging" if decision["type"] == "edit" else "live"
    assert asked.arguments == {"target": target}
    assert all(event.seq > given.seq and event.arguments == {"target": target} for event in of(events, "tool.called"))


async def test_an_answer_of_the_program_that_is_no_verdict_is_none() -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", interrupt("how old?"))]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")

    async def work(recorder: Recorder) -> None:
        asked, config = graph.compile(checkpointer=InMemorySaver()), new_thread()
        await asked.ainvoke(ASKED, config)
        await asked.ainvoke(Command(resume="42"), config)

    events = await recorded(work)
    assert kinds(events, "turn", "approval") == ["turn.started", "turn.ended", "turn.started", "turn.ended"]
    assert [event.content for event in of(events, "turn.ended")] == ["waits for an answer: ask", "42"]


async def test_a_thread_without_a_loop_asks_and_goes_on() -> None:
    def run(recorder: Recorder) -> None:
        graph, config = team(), new_thread()
        graph.invoke(ASKED, config)
        result = resume_blocking(recorder, graph, config)
        assert result["messages"][-1].content == ANSWER

    events = await recorded(lambda recorder: asyncio.to_thread(run, recorder))
    assert [event.tool for event in of(events, "tool.completed")] == ["search", "ask_coder", "deploy"]


async def test_a_graph_still_waits_when_the_hub_is_gone() -> None:
    agent, config = reviewed(call("deploy", target="live"), "done"), new_thread()
    async with Hub() as hub:
        recorder = record(hub)
        await agent.ainvoke(ASKED, config)
    with pytest.raises(HubClosed, match="still waits"):
        await resume(recorder, agent, config)
    with pytest.raises(HubClosed, match="still waits"):
        await asyncio.to_thread(resume_blocking, recorder, agent, config)
    assert (await agent.aget_state(config)).interrupts


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_an_approval_counts_once(may_repeat: bool) -> None:
    """A process is killed after the verdict, and before the graph has gone on."""
    store, agent, config = MemoryStore(), reviewed(call("deploy", target="live"), "done"), new_thread()
    async with Hub(store) as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        tasks.start_soon(approve_all, hub)
        (asked,) = (await agent.ainvoke(ASKED, config))["__interrupt__"]
        key = f"{config['configurable']['thread_id']}:{asked.id}:0"
        assert (await recorder.decide(key, "deploy", {"target": "live"}, agent="coder")).is_approved
        tasks.cancel_scope.cancel()
    heard = Heard()
    async with Hub(store) as hub, record(hub) as recorder:
        hub.attach(heard)
        await resume(recorder, agent, config, may_repeat=may_repeat)
        await recorder.flush()
    assert kinds(heard.events, "tool") == (["tool.called", "tool.completed"] if may_repeat else [])


async def test_what_waits_for_nothing_is_returned_as_it_is() -> None:
    async def work(recorder: Recorder) -> None:
        agent, config = reviewed("done"), new_thread()
        await agent.ainvoke(ASKED, config)
        assert (await resume(recorder, agent, config))["messages"][-1].content == "done"
        with pytest.raises(ConfigurationError, match="names no thread"):
            await resume(recorder, agent, {})

    await recorded(work)


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


@pytest.mark.parametrize("odd", [None, 7, "\ud800", b"x", [], object(), lambda: None])
async def test_what_cannot_be_resumed_is_refused_with_what_to_do(odd: Any) -> None:
    agent, config = reviewed("done"), new_thread()
    async with Hub() as hub:
        with record(hub) as recorder:
            for wrong in [(odd, agent, config), (recorder, odd, config), (recorder, agent, odd)]:
                with pytest.raises(ConfigurationError, match=r"^resume\(\)"):
                    await resume(*wrong)
                with pytest.raises(ConfigurationError, match="resume"):
                    resume_blocking(*wrong)
            with pytest.raises(ConfigurationError, match="compiled graph"):
                from_langgraph(odd)
            with pytest.raises(ConfigurationError, match="runnable"):
                from_langchain(odd, name="helper")
            if odd is not None:
                with pytest.raises(ConfigurationError, match="record"):
                    from_langgraph(agent, recorder=odd)
            if odd != []:
                with pytest.raises(ConfigurationError, match="node_agents"):
                    record(Hub(), node_agents=odd)


async def test_values_of_interrupts_may_be_anything() -> None:
    odd: list[Any] = [
        None,
        7,
        "\ud800",
        [],
        {"action": ""},
        {"action": 7},
        {"action_requests": []},
        {"action_requests": [{}]},
    ]

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", str([interrupt(each) for each in odd]))]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")

    async def work(recorder: Recorder) -> None:
        asked, config = graph.compile(checkpointer=InMemorySaver()), new_thread()
        await asked.ainvoke(ASKED, config)
        result = await resume(recorder, asked, config)
        assert result["messages"][-1].content.count("True") >= 6

    events = await recorded(work)
    assert {event.action for event in of(events, "approval.requested")} == {"ask"}
