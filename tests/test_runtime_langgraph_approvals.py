"""Graphs of LangGraph that wait for a person: the hub is asked, and they go on with its verdict."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import anyio
import pytest

pytest.importorskip("langgraph", reason="LangGraph is not installed: pip install 'hubwire[langgraph]'")
pytest.importorskip("langchain.agents", reason="its tests need agents of LangChain: pip install 'hubwire[langchain]'")

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from hubwire import Hub
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.runtimes import Recorder
from hubwire.runtimes.langchain import from_langchain
from hubwire.runtimes.langgraph import from_langgraph, record, resume, resume_blocking
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import ANSWER, approve_all, of
from support.langgraph_team import ASKED, asking, call, calls, denied, kinds, new_thread, recorded, reviewed, team
from support.resuming import refuses


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
        "\x1b[31m",
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


async def test_resume_refuses_what_is_wrong_in_any_argument() -> None:
    async def blocking(**given: Any) -> Any:
        return await asyncio.to_thread(functools.partial(resume_blocking, **given))

    blocking.__name__ = "resume_blocking"
    async with Hub() as hub, record(hub) as recorder:
        graph, config = reviewed("done"), new_thread()
        await graph.ainvoke(ASKED, config)
        good = {"recorder": recorder, "graph": graph, "config": config, "answer": lambda *_: True, "may_repeat": False}
        for call_of in (resume, blocking):
            assert (await call_of(**good))["messages"][-1].content == "done"
            await refuses(call_of, good)
