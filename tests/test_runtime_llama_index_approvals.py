"""Runs of LlamaIndex that wait for a person: the hub is asked, and each tool gets its own verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("llama_index.core", reason="LlamaIndex is not installed: pip install 'hubwire[llama-index]'")

from llama_index.core.workflow import Context, JsonPickleSerializer, StartEvent, StopEvent, Workflow, step
from workflows.events import HumanResponseEvent, InputRequiredEvent

from hubwire import Event, Hub
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.runtimes.llama_index import from_llama_index, record, resume
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import approve_all, check_pairs, of
from support import until
from support.llama_team import agent, call, scripted, text

pytestmark = pytest.mark.filterwarnings(  # LlamaIndex looks at all members of its models
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)


def waiting(name: str, **settings: Any) -> Any:
    """A tool that waits for a person's answer."""

    async def tool(ctx: Context, target: str) -> str:
        given = dict(settings)
        if given.pop("tells_apart", False):
            given["requirements"] = {"target": target}
        request = InputRequiredEvent(prefix="May I?", target=target)  # type: ignore[call-arg, unused-ignore]
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=request, **given)
        return f"{name} {target}: {answer.response} {answer.reason}".strip()

    tool.__name__ = name
    tool.__doc__ = f"{name} it."
    tool.__annotations__ = {"ctx": Context, "target": str, "return": str}
    return tool


deploy = waiting("deploy", tells_apart=True)
restart = waiting("restart")


async def answer_each(hub: Hub, passes: Callable[[Any], bool]) -> None:
    async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
        (asked,) = [each for each in hub.approvals.pending() if each.approval_id == event.approval_id]  # type: ignore[attr-defined]
        await hub.approvals.answer(asked.approval_id, "ann", is_passed=passes(asked), reason="not on a Friday")


async def recorded(
    tool: Any, targets: list[str], passes: Callable[[Any], bool] = lambda _: True, **settings: Any
) -> tuple[list[Event], list[str]]:
    """Return the events of a run whose tool waits for each of these at the same time, and what the model is told."""
    heard, told = Heard(), list[str]()
    job = agent(
        "coder",
        scripted([each for target in targets for each in call(tool.__name__, target=target)], _last(told)),
        tool,
    )
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(answer_each, hub, passes)
            with anyio.fail_after(30):
                await resume(recorder, job.run(user_msg="go"), **settings)
            assert recorder.statistics().failures == 0
            tasks.cancel_scope.cancel()
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    return heard.events, told


def _last(told: list[str]) -> Any:
    def answer(messages: Any) -> Any:
        told.extend(str(each.content) for each in messages if each.role.value == "tool")
        return text("done")

    return answer


# -- several at once --


async def test_tools_that_wait_at_the_same_time_get_each_its_verdict() -> None:
    events, told = await recorded(deploy, ["live", "staging"], lambda asked: asked.arguments["target"] == "staging")
    assert [(event.action, event.arguments) for event in of(events, "approval.requested")] == [
        ("deploy", {"target": "live"}),
        ("deploy", {"target": "staging"}),
    ]
    assert told == ["deploy live: no not on a Friday", "deploy staging: yes not on a Friday"]


async def test_all_that_waits_is_asked_before_the_first_answer() -> None:
    heard = Heard()
    job = agent("coder", scripted([*call("deploy", target="a"), *call("deploy", target="b")], text("done")), deploy)
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(resume, recorder, job.run(user_msg="go"))
            await until(lambda: len(of(heard.events, "approval.challenge_issued")) == 2)
            assert not of(heard.events, "tool.called")
            tasks.start_soon(approve_all, hub)
            await until(lambda: "turn.ended" in heard.kinds)
            tasks.cancel_scope.cancel()
    assert len(of(heard.events, "tool.completed")) == 2


@pytest.mark.parametrize(("passes", "said"), [({"a", "b"}, "yes"), ({"a"}, "no"), ({"b"}, "no"), (set(), "no")])
async def test_an_answer_that_goes_to_two_is_a_yes_only_if_both_are_approved(passes: set[str], said: str) -> None:
    """LlamaIndex gives it to all whose requirements it meets, and these have none."""
    events, told = await recorded(restart, ["a", "b"], lambda asked: asked.arguments["target"] in passes)
    assert len(of(events, "approval.requested")) == 2
    assert [each.split()[2] for each in told] == [said, said]
    assert len(of(events, "tool.completed")) == 2, "a tool has gone on twice"
    last = max(event.seq for event in events if event.kind in ("approval.approved", "approval.denied"))
    assert all(event.seq > last for event in of(events, "tool.called"))


async def test_two_questions_of_one_tool_are_two() -> None:
    async def move(ctx: Context, target: str) -> str:
        """Move."""
        said = []
        for number in ("one", "two"):
            request = InputRequiredEvent(action=f"move {number}", arguments={"target": target}, number=number)  # type: ignore[call-arg, unused-ignore]
            answer = await ctx.wait_for_event(
                HumanResponseEvent, waiter_event=request, waiter_id=number, requirements={"number": number}
            )
            said.append(answer.response)
        return " ".join(said)

    move.__annotations__["ctx"] = Context
    events, told = await recorded(move, ["a"], lambda asked: asked.action == "move one")
    assert [event.action for event in of(events, "approval.requested")] == ["move one", "move two"]
    assert told == ["yes no"]
    assert len(of(events, "tool.called")) == 1


async def test_a_call_that_takes_the_place_of_another_is_not_approved_with_it() -> None:
    """LlamaIndex forgets the first of two that wait under one id, and runs the second with the answer to the first."""
    same = waiting("restart", waiter_id="same")
    heard = Heard()
    job = agent("coder", scripted([*call("restart", target="a"), *call("restart", target="b")], text("done")), same)
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_all, hub)
            handler = job.run(user_msg="go")
            going_on = asyncio.ensure_future(resume(recorder, handler))
            await until(lambda: "tool.completed" in heard.kinds)
            await handler.cancel_run()  # the first call never ends
            await asyncio.wait([going_on])
            going_on.exception()
            tasks.cancel_scope.cancel()
    told = [str(event.result) for event in of(heard.events, "tool.completed")]
    assert [each.split()[2] for each in told] == ["no"]


# -- another process --


async def _until_it_waits(job: Any, store: Any, session: str, count: int) -> dict[str, Any]:
    """Run until the hub is asked, and return what a program keeps of the run; the process ends there."""
    async with Hub(store) as hub, record(hub) as recorder:
        handler = job.run(user_msg="go")
        task = asyncio.ensure_future(resume(recorder, handler, session=session))
        await until(lambda: len(hub.approvals.pending()) == count)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = handler.ctx.to_dict(serializer=JsonPickleSerializer())
        task.cancel()
        await asyncio.wait([task])
        await handler.cancel_run()
        with contextlib.suppress(BaseException):
            await handler
    return dict(json.loads(json.dumps(kept)))


@pytest.mark.parametrize("tool", [deploy, restart], ids=["with requirements", "without"])
async def test_a_run_that_goes_on_in_another_process_has_the_same_question(tool: Any) -> None:
    store, told = MemoryStore(), list[str]()
    name = tool.__name__
    kept = await _until_it_waits(agent("coder", scripted(call(name, target="live")), tool), store, "chat-1", 1)
    heard = Heard()
    async with Hub(store) as hub:
        hub.attach(heard)
        (asked,) = hub.approvals.pending()
        assert (asked.action, asked.arguments) == (name, {"target": "live"})
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            job = agent("coder", scripted(_last(told)), tool)
            restored = Context.from_dict(job, kept, serializer=JsonPickleSerializer())
            answer: list[Any] = []

            async def go_on() -> None:
                answer.append(await resume(recorder, job.run(ctx=restored), session="chat-1"))

            tasks.start_soon(go_on)
            await hub.approvals.answer(asked.approval_id, "ann", is_passed=True)
            await until(lambda: bool(answer))
    assert str(answer[0]) == "done"
    assert told == [f"{name} live: yes"]
    assert not of(heard.events, "approval.requested"), "it was asked again"
    assert [event.kind for event in heard.events if event.kind.startswith("tool.")] == ["tool.called", "tool.completed"]
    approved, called = of(heard.events, "approval.approved"), of(heard.events, "tool.called")
    assert approved[0].seq < called[0].seq


@pytest.mark.parametrize("tool", [deploy, restart], ids=["with requirements", "without"])
async def test_two_that_wait_are_asked_about_in_another_process(tool: Any) -> None:
    store, told = MemoryStore(), list[str]()
    calls = [each for target in "ab" for each in call(tool.__name__, target=target)]
    kept = await _until_it_waits(agent("coder", scripted(calls), tool), store, "chat-2", 2)
    heard = Heard()
    async with Hub(store) as hub:
        hub.attach(heard)
        for asked in hub.approvals.pending():
            await hub.approvals.answer(asked.approval_id, "ann", is_passed=asked.arguments["target"] == "a")
        async with record(hub) as recorder:
            job = agent("coder", scripted(_last(told)), tool)
            with anyio.fail_after(30):
                await resume(
                    recorder,
                    job.run(ctx=Context.from_dict(job, kept, serializer=JsonPickleSerializer())),
                    session="chat-2",
                )
    assert not of(heard.events, "approval.requested"), "it was asked again"
    said = {each.split()[1]: each.split()[2] for each in told}
    assert said == ({"a:": "yes", "b:": "no"} if tool is deploy else {"a:": "no", "b:": "no"})


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_an_approval_counts_once(may_repeat: bool) -> None:
    """A process is killed after the verdict, and its run goes on from the context of before."""
    store, said = MemoryStore(), list[str]()
    kept = await _until_it_waits(agent("coder", scripted(call("deploy", target="live")), deploy), store, "chat-3", 1)
    for _ in range(2):
        said.clear()
        async with Hub(store) as hub, record(hub) as recorder:
            for asked in hub.approvals.pending():
                await hub.approvals.answer(asked.approval_id, "ann", is_passed=True)
            job = agent("coder", scripted(_last(said)), deploy)
            run = job.run(ctx=Context.from_dict(job, kept, serializer=JsonPickleSerializer()))
            with anyio.fail_after(30):
                await resume(recorder, run, session="chat-3", may_repeat=may_repeat)
    assert said[0].startswith("deploy live: yes" if may_repeat else "deploy live: no it was approved before")


# -- when it cannot be asked --


@pytest.mark.parametrize("tool", [deploy, restart], ids=["with requirements", "without"])
async def test_a_run_still_waits_when_the_hub_has_ended(tool: Any) -> None:
    told: list[str] = []
    job = agent("coder", scripted(call(tool.__name__, target="a"), _last(told)), tool)
    async with Hub() as hub:
        recorder = record(hub)
        handler = job.run(user_msg="go")
        task = asyncio.ensure_future(resume(recorder, handler))
        await until(lambda: len(hub.approvals.pending()) == 1)
    with pytest.raises(HubClosed, match="still waits"):
        await task
    assert not handler.is_done()
    async with Hub() as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        tasks.start_soon(approve_all, hub)
        with anyio.fail_after(30):
            await resume(recorder, handler)
        tasks.cancel_scope.cancel()
    assert told == [f"{tool.__name__} a: yes"]


@pytest.mark.parametrize("setting", ["answer", "on_event"])
async def test_a_function_that_raises_ends_the_run(setting: str) -> None:
    def raises(*_: Any) -> Any:
        raise ZeroDivisionError

    async with Hub() as hub, record(hub) as recorder, anyio.create_task_group() as tasks:
        tasks.start_soon(approve_all, hub)
        handler = agent("coder", scripted(call("deploy", target="a")), deploy).run(user_msg="go")
        with anyio.fail_after(30), pytest.raises(ZeroDivisionError):
            await resume(recorder, handler, **{setting: raises})  # type: ignore[arg-type]
        assert handler.is_done()
        with contextlib.suppress(BaseException):
            await handler
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("odd", [7, "\ud800", b"x", [], object()])
async def test_what_cannot_be_resumed_is_refused_with_what_to_do(odd: Any) -> None:
    async with Hub() as hub:
        with record(hub) as recorder:
            handler = agent("coder", scripted(text("done"))).run(user_msg="go")
            for wrong in [(odd, handler), (recorder, odd)]:
                with pytest.raises(ConfigurationError, match=r"^resume\(\)"):
                    await resume(*wrong)
            for settings in ({"answer": odd}, {"on_event": odd}, {"may_repeat": odd}):
                with pytest.raises(ConfigurationError, match=r"^resume\(\)"):
                    await resume(recorder, handler, **settings)
            if type(odd) is not str:
                with pytest.raises(ConfigurationError, match=r"^resume\(\)"):
                    await resume(recorder, handler, session=odd)
            with pytest.raises(ConfigurationError, match=r"^from_llama_index\(\)"):
                from_llama_index(odd)
            assert str(await resume(recorder, handler)) == "done"


# -- workflows that are no agents --


class Asks(Workflow):
    """A step asks, and another one takes the answer."""

    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(action="publish", arguments={"page": "front"})  # type: ignore[call-arg, unused-ignore]

    @step
    async def take(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent(result=f"{ev.response}: {ev.reason}")


class Waits(Workflow):
    """A step waits for the answer."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(prefix="publish?"))
        return StopEvent(result=f"{answer.response}: {answer.reason}")


@pytest.mark.parametrize("workflow", [Asks, Waits])
async def test_a_step_of_a_workflow_may_ask(workflow: Any) -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with record(hub) as recorder, anyio.create_task_group() as tasks:
            tasks.start_soon(answer_each, hub, lambda _: False)
            with anyio.fail_after(30):
                assert await resume(recorder, workflow().run()) == "no: not on a Friday"
            tasks.cancel_scope.cancel()
    assert [event.action for event in of(heard.events, "approval.requested")] == [
        "publish" if workflow is Asks else "answer"
    ]
