"""The adapter of openai-agents under the SDK itself and its own scripted model: the contract, and what it records."""

# mypy: allow-untyped-decorators, allow-subclassing-any

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from typing import Any

import anyio
import pytest

from hubwire import Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.listeners.audit import AuditLog, verify
from hubwire.runtimes import Recorder, openai_agents
from hubwire.stores import MemoryStore
from hubwire.testing import RuntimeContract
from support.openai_team import agents, approved, call, lint, recorded, says, scripted, search, solo, team


class TestOpenAIAgents(RuntimeContract):
    lacks = frozenset({"error_text"})

    def record(self, hub: Hub | HubThread, **settings: Any) -> Recorder:
        return openai_agents.record(hub, **settings)

    async def run_job(self, recorder: Recorder | None, *, asks: bool = True) -> str:
        planner = team()
        result = await agents.Runner.run(planner, "mend the build")
        if recorder is not None and asks:
            result = await openai_agents.resume(recorder, planner, result)
        else:
            result = await approved(planner, result)
        return str(result.final_output)

    async def run_failing(self, recorder: Recorder | None) -> type[BaseException]:
        planner = agents.Agent(name="planner", model=scripted(ConnectionError("no model here")))
        with pytest.raises(ConnectionError) as raised:
            await agents.Runner.run(planner, "mend the build")
        return raised.type

    async def run_hanging(self, recorder: Recorder | None, started: anyio.Event) -> None:
        @agents.function_tool
        async def wait() -> str:
            started.set()
            await asyncio.Event().wait()
            return ""

        planner = agents.Agent(name="planner", tools=[wait], model=scripted([call("wait", "w1")]))
        await agents.Runner.run(planner, "wait")


# -- what is recorded --


async def test_the_complete_sequence() -> None:
    store = MemoryStore()
    hub = Hub()
    audit = AuditLog(store)
    hub.attach(audit)
    async with recorded(hub) as seen:
        planner = team()
        result = await agents.Runner.run(planner, "mend the build")
        await approved(planner, result)
    assert seen.steps() == [
        "turn.started planner",
        "model.called planner",
        "model.completed planner",
        "tool.called search",
        "tool.completed search",
        "model.called planner",
        "model.completed planner",
        "agent.switched coder",
        "turn.ended planner",
        "turn.started coder",
        "model.called coder",
        "model.completed coder",
        "tool.called lint",
        "tool.failed lint",
        "model.called coder",
        "model.completed coder",
        "turn.ended coder",
        "approval.requested deploy",
        "approval.approved deploy",
        "turn.started coder",
        "tool.called deploy",
        "tool.completed deploy",
        "model.called coder",
        "model.completed coder",
        "turn.ended coder",
    ]
    ended = seen.of("turn.ended")
    assert [each.content for each in ended] == [
        {"handed_over_to": "coder"},
        {"waits_for_approval": ("deploy",)},
        "The build is green.",
    ]
    assert [(each.input_tokens, each.output_tokens) for each in seen.of("model.completed")] == [(11, 3)] * 5
    assert {each.correlation_id for each in seen.of("turn.started")} == {seen.of("turn.started")[0].correlation_id}
    assert (await verify(store)).holds


async def test_spans_of_models_are_no_second_call() -> None:
    """Models of providers make spans of their own, and the hooks tell of the same call."""
    async with recorded() as seen:
        planner = team(emits=True)
        await approved(planner, await agents.Runner.run(planner, "mend the build"))
    assert len(seen.of("model.called")) == len(seen.of("model.completed")) == 5
    assert [each.input_tokens for each in seen.of("model.completed")] == [11] * 5


async def test_a_tool_that_tells_its_error_has_failed_with_it() -> None:
    """By default the SDK withholds it from traces, hooks and model; then only that it has failed is known."""

    @agents.function_tool(failure_error_function=lambda _, error: f"failed: {error}")
    def fetch(url: str) -> str:
        raise ValueError(f"no route to {url}")

    async with recorded() as seen:
        agent = solo(
            [call("fetch", "f", url="x.example"), call("lint", "l", path="a")], [says("ok")], tools=[fetch, lint]
        )
        await agents.Runner.run(agent, "go")
    failed = {each.tool: each.error_message for each in seen.of("tool.failed")}
    assert failed["fetch"] == "no route to x.example"
    assert failed["lint"] in ("Tool execution failed. Error details are redacted.", "no such file: a")  # before 0.24
    assert seen.of("tool.completed") == []


async def test_a_tool_that_ends_the_run() -> None:
    @agents.function_tool(failure_error_function=None)
    def fetch(url: str) -> str:
        raise KeyError(url)

    async with recorded() as seen:
        with pytest.raises(agents.UserError):
            await agents.Runner.run(solo([call("fetch", "f", url="x")], tools=[fetch]), "go")
    assert [each.error_type for each in seen.of("tool.failed")] == ["KeyError"]
    assert [each.error_type for each in seen.of("turn.failed")] == ["UserError"]
    assert seen.of("turn.ended") == []


async def test_a_run_inside_an_except_has_not_failed_with_that() -> None:
    """The exception that the host handles meanwhile is not the run's."""
    async with recorded() as seen:
        try:
            int("an earlier one")
        except ValueError:
            await agents.Runner.run(solo([call("search", "c", query="x")], [says("ok")]), "go")
    assert [each for each in seen.kinds if each.endswith("failed")] == []
    assert [each.content for each in seen.of("turn.ended")] == ["ok"]


@pytest.mark.parametrize("told", [None, lambda _, error: "try later"])
async def test_a_tool_that_takes_too_long_has_failed(told: Any) -> None:
    """Its span has no error, and the hook has the text of the timeout as its result."""

    @agents.function_tool(timeout=0.01, timeout_error_function=told)
    async def fetch() -> str:
        await asyncio.Event().wait()
        return ""

    async with recorded() as seen:
        result = await agents.Runner.run(solo([call("fetch", "f")], [says("ok")], tools=[fetch]), "go")
    assert result.final_output == "ok"
    assert [each for each in seen.kinds if each.startswith("tool.")] == ["tool.called", "tool.failed"]
    assert [each.error_type for each in seen.of("tool.failed")] == ["ToolTimeoutError"]


async def test_parallel_tools_are_paired_by_their_call() -> None:
    begun = [asyncio.Event() for _ in range(3)]

    @agents.function_tool
    async def fetch(number: int) -> str:
        begun[number].set()
        if number < 2:
            await begun[number + 1].wait()
            await asyncio.sleep(0)
        return f"page {number}"

    async with recorded() as seen:
        calls = [call("fetch", f"call-{number}", number=number) for number in range(3)]
        await agents.Runner.run(solo(calls, [says("ok")], tools=[fetch]), "go")
    arguments = {each.call_id: each.arguments["number"] for each in seen.of("tool.called")}
    results = {each.call_id: each.result for each in seen.of("tool.completed")}
    assert arguments == {f"call-{number}": number for number in range(3)}
    assert results == {f"call-{number}": f"page {number}" for number in range(3)}


async def test_cancelled_in_parallel_tools_all_has_failed_as_cancelled() -> None:
    started = asyncio.Event()

    @agents.function_tool
    async def wait() -> str:
        started.set()
        await asyncio.Event().wait()
        return ""

    async with recorded() as seen:
        agent = solo([call("wait", "w"), call("search", "s", query="x")], tools=[wait, search])
        run = asyncio.ensure_future(agents.Runner.run(agent, "go"))
        await started.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    ends = [(each.kind, each.error_type) for each in seen.events if hasattr(each, "error_type")]
    assert ("tool.failed", "CancelledError") in ends
    assert ends[-1] == ("turn.failed", "CancelledError")
    assert seen.of("turn.ended") == seen.of("turn.abandoned") == []


@pytest.mark.parametrize("stops", [True, False])
async def test_a_run_that_is_stopped_after_a_turn_has_not_ended_well(stops: bool) -> None:
    async with recorded() as seen:
        agent = solo([call("search", "s", query="x")], [says("the answer")], tools=[search])
        run = agents.Runner.run_streamed(agent, "go")
        async for _ in run.stream_events():
            if stops:
                run.cancel(mode="after_turn")
    assert [each.tool for each in seen.of("tool.completed")] == ["search"]
    assert [each.content for each in seen.of("turn.ended")] == ([] if stops else ["the answer"])
    stopped = [(each.error_type, each.error_message) for each in seen.of("turn.failed")]
    assert stopped == ([("CancelledError", "the run was stopped after this turn")] if stops else [])


async def test_an_answer_that_came_when_the_run_was_stopped_is_an_answer() -> None:
    async with recorded() as seen:
        run = agents.Runner.run_streamed(solo([says("the answer")]), "go")
        async for event in run.stream_events():
            if event.type == "raw_response_event":  # its last turn has begun
                run.cancel(mode="after_turn")
    assert [each.content for each in seen.of("turn.ended")] == ["the answer"]


async def test_an_agent_as_a_tool_is_recorded_once_and_below_its_call() -> None:
    """Hooks of a run do not reach it by themselves."""
    inner = agents.Agent(
        name="reader", model=scripted([call("search", "i", query="log")], [says("2 errors")]), tools=[search]
    )
    async with recorded() as seen:
        agent = solo([call("ask", "o", input="read")], [says("ok")], tools=[inner.as_tool("ask", "asks the reader")])
        await agents.Runner.run(agent, "go")
    assert [each.tool for each in seen.of("tool.called")] == ["ask", "search"]
    assert [each.prompt for each in seen.of("turn.started")] == ["go", "read"]
    outer, nested = seen.of("turn.started")
    asked = seen.of("tool.called")[0]
    assert nested.causation_id == asked.id
    assert nested.metadata["parent_turn_id"] == outer.turn_id
    assert [each.content for each in seen.of("turn.ended")] == ["2 errors", "ok"]
    assert len(seen.of("model.called")) == 4


async def test_streamed_answers_are_whole_and_plain_runs_stay_plain() -> None:
    async with recorded() as seen:
        plain = solo([says("plain")])
        await agents.Runner.run(plain, "go")
        agent = solo([call("search", "c", query="x")], [says("a streamed answer")])
        result = agents.Runner.run_streamed(agent, "go")
        pieces = [each async for each in result.stream_events()]
    assert [each.streamed for each in plain.model.calls] == [False]
    assert [each.streamed for each in agent.model.calls] == [True, True]
    assert len(pieces) > 5
    assert [each.content for each in seen.of("turn.ended")] == ["plain", "a streamed answer"]
    assert len(seen.of("model.completed")) == 3
    assert [each.tool for each in seen.of("tool.completed")] == ["search"]


async def test_a_streamed_run_that_fails_has_failed() -> None:
    async with recorded() as seen:
        result = agents.Runner.run_streamed(solo(ConnectionError("no model")), "go")
        with pytest.raises(ConnectionError):
            async for _ in result.stream_events():
                pass
    assert [each.error_type for each in seen.of("turn.failed")] == ["ConnectionError"]
    assert [each.error_type for each in seen.of("model.failed")] == ["ConnectionError"]
    assert seen.of("turn.ended") == []


async def test_each_attempt_of_a_model_is_recorded() -> None:
    retries = agents.ModelRetrySettings(max_retries=2, policy=lambda _: True, backoff={"initial_delay": 0})
    settings = agents.ModelSettings(retry=retries)
    async with recorded() as seen:
        steps = (ConnectionError("down"), ConnectionError("still down"), [says("ok")])
        await agents.Runner.run(solo(*steps, emits=True, model_settings=settings), "go")
    assert [each.kind for each in seen.events if each.kind.startswith("model.")] == [
        *["model.called", "model.failed"] * 2,
        *["model.called", "model.completed"],
    ]
    assert len({each.call_id for each in seen.of("model.called")}) == 3
    assert [each.content for each in seen.of("turn.ended")] == ["ok"]


def run_in_thread(agent: Any) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # the SDK leaves the loop of a thread open, where it makes one
    try:
        agents.Runner.run_sync(agent, "go")
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def test_sync_runs_in_threads() -> None:
    async with recorded() as seen, anyio.create_task_group() as tasks:
        for number in range(4):
            agent = solo([call("search", f"c{number}", query="x")], [says(f"answer {number}")])
            tasks.start_soon(anyio.to_thread.run_sync, run_in_thread, agent)
    assert sorted(each.content for each in seen.of("turn.ended")) == [f"answer {number}" for number in range(4)]
    calls = {each.turn_id: each.call_id for each in seen.of("tool.called")}
    assert {each.turn_id: each.call_id for each in seen.of("tool.completed")} == calls
    assert len(calls) == 4


async def test_a_run_that_takes_too_many_steps() -> None:
    """Unless a handler of the host makes an answer of it."""
    endless = [[call("search", f"c{number}", query="x")] for number in range(3)]
    async with recorded() as seen:
        with pytest.raises(agents.MaxTurnsExceeded):
            await agents.Runner.run(solo(*endless), "go", max_turns=1)
        await seen.settle()
        assert [each.error_type for each in seen.of("turn.failed")] == ["MaxTurnsExceeded"]
        handlers = {"max_turns": lambda _: "that is enough"}
        result = await agents.Runner.run(solo(*endless), "go", max_turns=1, error_handlers=handlers)
        assert result.final_output == "that is enough"
    assert [each.content for each in seen.of("turn.ended")] == ["that is enough"]


async def test_a_guardrail_that_ends_the_run() -> None:
    @agents.input_guardrail
    async def refuse(context: Any, agent: Any, said: Any) -> Any:
        return agents.GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    async with recorded() as seen:
        with pytest.raises(agents.InputGuardrailTripwireTriggered):
            await agents.Runner.run(solo([says("ok")], input_guardrails=[refuse]), "go")
    assert [each.error_type for each in seen.of("turn.failed")] == ["InputGuardrailTripwireTriggered"]


async def test_a_tool_that_a_guardrail_refuses_is_not_called() -> None:
    """Its span looks as if it had returned the guardrail's message."""

    @agents.tool_input_guardrail
    def refuse(data: Any) -> Any:
        return agents.ToolGuardrailFunctionOutput.reject_content("not that query")

    @agents.function_tool(tool_input_guardrails=[refuse])
    def look(query: str) -> str:
        raise AssertionError

    async with recorded() as seen:
        await agents.Runner.run(solo([call("look", "c", query="x")], [says("ok")], tools=[look]), "go")
    assert [each for each in seen.kinds if each.startswith("tool.")] == []


# -- the host --


async def test_hooks_of_the_host_are_called_as_without() -> None:
    class Hooks(agents.RunHooks):
        def __init__(self) -> None:
            self.called: list[str] = []

        async def on_agent_start(self, context: Any, agent: Any) -> None:
            self.called.append(f"agent {agent.name}")

        async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
            self.called.append(f"{from_agent.name} to {to_agent.name}")

        async def on_tool_start(self, a: Any, b: Any, c: Any) -> None:
            self.called.append(f"tool {c.name} {a.tool_call_id}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            self.called.append(f"{tool.name} {result}")

        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            self.called.append("answer")

    without, within = Hooks(), Hooks()
    await agents.Runner.run(team(), "go", hooks=without)
    async with recorded() as seen:
        await agents.Runner.run(team(), "go", hooks=within)
    assert within.called == without.called
    assert "planner to coder" in within.called
    assert [each.tool for each in seen.of("tool.called")] == ["search", "lint"]


async def test_hooks_of_the_host_that_raise_end_the_run_as_without() -> None:
    class Hooks(agents.RunHooks):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            raise RuntimeError("not that tool")

    async def run() -> str:
        with pytest.raises(agents.UserError) as error:
            await agents.Runner.run(solo([call("search", "c", query="x")]), "go", hooks=Hooks())
        return str(error.value)

    without = await run()
    async with recorded() as seen:
        assert await run() == without
    assert seen.of("tool.called") == [], "the tool was not called"
    assert len(seen.of("turn.failed")) == 1


async def test_wrong_hooks_are_refused_as_without() -> None:
    async with recorded():
        with pytest.raises(TypeError, match="Run hooks must be instances of RunHooks"):
            await agents.Runner.run(solo([says("ok")]), "go", hooks=object())


async def test_processors_that_the_host_sets_later_do_not_end_it() -> None:
    async with recorded() as seen:
        agents.set_trace_processors([])
        await agents.Runner.run(solo([says("ok")]), "go")
        await agents.Runner.run(solo([says("ok")]), "go")
    assert seen.kinds == ["turn.started", "model.called", "model.completed", "turn.ended"] * 2


@pytest.mark.parametrize("where", ["the run", "all runs"])
async def test_a_run_without_tracing_says_that_it_is_not_recorded(where: str) -> None:
    """Half of it could be heard by hooks, which take failures for results."""
    agents.set_tracing_disabled(where == "all runs")
    try:
        async with recorded() as seen:
            for _ in range(2):
                config = agents.RunConfig(tracing_disabled=where == "the run")
                planner = solo([call("search", "c", query="x")], [says("ok")])
                result = await agents.Runner.run(planner, "go", run_config=config)
                assert result.final_output == "ok"
    finally:
        agents.set_tracing_disabled(False)
    assert seen.kinds == ["error.raised"], "once"
    assert "set_trace_processors([])" in seen.of("error.raised")[0].error_message


async def test_what_the_host_keeps_out_of_its_traces_is_not_recorded() -> None:
    async with recorded(content=True) as seen:
        planner = solo([call("search", "c", query="words")], [says("words")])
        config = agents.RunConfig(trace_include_sensitive_data=False)
        await agents.Runner.run(planner, "words", run_config=config)
        with pytest.raises(ConnectionError):
            await agents.Runner.run(solo(ConnectionError("words")), "words", run_config=config)
    assert "words" not in str([attributes_of(each) for each in seen.events])
    assert [each.tool for each in seen.of("tool.completed")] == ["search"]
    assert [each.error_type for each in seen.of("turn.failed")] == ["ConnectionError"]


def attributes_of(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("prompt", "content", "request", "response", "arguments", "result",
            "error_message", "content_preview") if hasattr(event, name)}  # fmt: skip


@pytest.mark.parametrize("content", [True, False])
async def test_secrets_in_prompts_arguments_and_results_are_redacted(content: bool) -> None:
    key = "sk-proj-" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7" * 2

    @agents.function_tool
    def login(api_key: str) -> str:
        return f"logged in with {api_key}"

    async with recorded(content=content) as seen:
        agent = solo([call("login", "c", api_key=key)], [says(f"it is {key}")], tools=[login])
        await agents.Runner.run(agent, f"use {key}")
    assert key[:20] not in str([attributes_of(each) for each in seen.events])
    assert seen.of("tool.completed")[0].result.startswith("logged in with ")


async def test_a_runner_of_the_hosts_own_is_recorded_by_its_spans() -> None:
    """It gives no hooks: nothing false all the same, what waits or is denied is not called."""
    runner = agents.run.AgentRunner()
    async with recorded() as seen:
        calls = [call("search", "s", query="x"), call("lint", "l", path="a"), call("deploy", "d", target="t")]
        agent = solo(calls, [says("ok")], emits=True)
        result = await runner.run(agent, "go")
        state = result.to_state()
        state.reject(state.get_interruptions()[0], rejection_message="no")
        await runner.run(agent, state)
    steps = seen.steps()
    assert sorted(steps[3:7]) == ["tool.called lint", "tool.called search", "tool.completed search", "tool.failed lint"]
    assert [*steps[:3], *steps[7:]] == [
        "turn.started planner",
        "model.called planner",
        "model.completed planner",
        "turn.ended planner",
        "turn.started planner",
        "model.called planner",
        "model.completed planner",
        "turn.ended planner",
    ]


class Session(agents.memory.SessionABC):
    """One that does not block, as the SDK's own on SQLite does."""

    session_settings = None

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.items: list[Any] = []

    async def get_items(self, limit: int | None = None) -> list[Any]:
        return list(self.items)

    async def add_items(self, items: list[Any]) -> None:
        self.items += items

    async def pop_item(self) -> Any:
        return self.items.pop() if self.items else None

    async def clear_session(self) -> None:
        self.items.clear()


async def test_a_runner_that_the_host_puts_around_it() -> None:
    """It stays when the recorder is closed, and the next one is told once all the same."""

    class Around:
        def __init__(self, inner: Any) -> None:
            self.run = inner.run

    before = agents.run.get_default_agent_runner()
    try:
        async with recorded():
            around = Around(agents.run.get_default_agent_runner())
            agents.run.set_default_agent_runner(around)
        assert agents.run.get_default_agent_runner() is around
        async with recorded() as seen:
            await agents.Runner.run(solo([call("search", "c", query="x")], [says("ok")]), "go")
        assert agents.run.get_default_agent_runner() is around
    finally:
        agents.run.set_default_agent_runner(before)
    assert len(seen.of("model.called")) == 2
    assert len(seen.of("tool.called")) == 1


async def test_sessions_are_those_of_the_host() -> None:
    async with recorded(session="mine") as seen:
        await agents.Runner.run(solo([says("1")]), "go")
        await agents.Runner.run(solo([says("2")]), "go", session=Session("thread-7"))
        await agents.Runner.run(solo([says("3")]), "go", run_config=agents.RunConfig(group_id="group-8"))
    assert [each.session_id for each in seen.of("turn.ended")] == ["mine", "thread-7", "group-8"]


async def test_runs_of_a_trace_of_the_host_belong_together() -> None:
    async with recorded() as seen:
        with agents.trace("two runs"):
            await agents.Runner.run(solo([says("1")]), "go")
            await agents.Runner.run(solo([says("2")]), "go")
        await agents.Runner.run(solo([says("3")]), "go")
    first, second, third = (each.correlation_id for each in seen.of("turn.started"))
    assert first == second != third


async def test_hostile_names_and_results_change_nothing() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    @agents.function_tool
    def odd() -> Any:
        return Odd()

    async with recorded() as seen:
        name = "\ud800 planner\x00\n" + "x" * 10_000
        agent = agents.Agent(name=name, model=scripted([call("odd", "c" * 5_000)], [says("\udfff")]), tools=[odd])
        result = await agents.Runner.run(agent, "go \ud800" * 100_000)
        assert result.final_output == "\udfff"
    assert seen.kinds == [
        *["turn.started", "model.called", "model.completed", "tool.called", "tool.completed"],
        *["model.called", "model.completed", "turn.ended"],
    ]


async def test_nothing_is_remembered_of_runs_that_have_ended() -> None:
    from hubwire.runtimes import _openai_runner

    watch = _openai_runner._watch()
    async with recorded() as seen:
        for number in range(50):
            await agents.Runner.run(solo([call("search", f"c{number}", query="x")], [says("ok")]), "go")
        gc.collect()
        assert watch._seen == {}
    assert len(seen.of("turn.ended")) == 50
    assert watch.recorders == ()


async def test_a_hub_that_ends_without_a_close_is_let_go() -> None:
    from hubwire.runtimes import _openai_runner

    async with Hub() as hub:
        openai_agents.record(hub)
    assert len(_openai_runner._watch().recorders) == 1
    await agents.Runner.run(solo([says("ok")]), "go")
    assert _openai_runner._watch().recorders == ()
    assert type(agents.run.get_default_agent_runner()) is agents.run.AgentRunner


def test_the_module_is_imported_without_the_sdk() -> None:
    """And says how to install it when it is used."""
    program = (
        "import sys; sys.modules['agents'] = None\n"
        "from hubwire import Hub\nfrom hubwire.runtimes import openai_agents\n"
        "try: openai_agents.record(Hub())\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("ConfigurationError")
    assert "pip install 'hubwire[openai_agents]'" in done.stdout


async def test_wrong_settings_are_refused_and_leave_nothing() -> None:
    async with Hub() as hub:
        for wrong in ({"content": 1}, {"agent": ""}, {"queue_max": 0}, {"tenant": 7}):
            with pytest.raises(ConfigurationError):
                openai_agents.record(hub, **wrong)
        with pytest.raises(ConfigurationError):
            openai_agents.record("hub")  # type: ignore[arg-type]
    assert type(agents.run.get_default_agent_runner()) is agents.run.AgentRunner
