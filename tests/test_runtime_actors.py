"""Agents of runtimes as actors, whatever the runtime is: functions stand for agents here."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from hubwire import Agent, Backoff, BaseActor, Channel, Hub, RetryPolicy, Turn
from hubwire.context import current, scope
from hubwire.errors import AskFailed, ConfigurationError
from hubwire.events import EnvelopePosted
from hubwire.runtimes import Recorder
from hubwire.runtimes._actors import AgentActor, Said, text_of
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import of

ONCE = RetryPolicy(attempts_max=1)


class Evil:
    """Raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class EvilText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise KeyError("text")


@attrs.frozen
class Plan:
    steps: tuple[str, ...]


class AsyncAgent:
    async def __call__(self, said: str, history: Sequence[Said], turn: Turn) -> str:
        return f"called: {said}"


def echo(said: str, history: Sequence[Said], turn: Turn) -> str:
    return f"{len(history)}: {said}"


async def echo_async(said: str, history: Sequence[Said], turn: Turn) -> str:
    return f"{len(history)}: {said}"


def echo_in_the_end(said: str, history: Sequence[Said], turn: Turn) -> Any:
    """As a function that is wrapped by another: it is not async, and what it returns is to be awaited."""
    return echo_async(said, history, turn)


def answers(answer: Any) -> Callable[..., Any]:
    async def given(said: str, history: Sequence[Said], turn: Turn) -> Any:
        return answer

    return given


@asynccontextmanager
async def running(store: Any = None) -> AsyncIterator[tuple[Hub, Heard, Agent]]:
    heard = Heard()
    async with Hub(store or MemoryStore()) as hub:
        hub.attach(heard)
        yield hub, heard, hub.agents.find("ann") or await hub.agents.register("ann")
        assert hub.health().healthy, hub.health().problems


async def spawn(hub: Hub, name: str, answer: Any, retry: RetryPolicy = ONCE, **settings: Any) -> Agent:
    actor = AgentActor(name, answer, **settings)
    actor.retry = retry
    return (await hub.spawn(actor)).agent


async def read(agent: Agent) -> EnvelopePosted:
    async for delivery in agent.inbox():
        await delivery.ack()
        return delivery.event
    raise AssertionError


async def posts(channel: Channel) -> list[str]:
    return [f"{entry.name}: {entry.event.content}" for entry in await channel.history()]  # type: ignore[attr-defined]


# -- who speaks, and when --


@pytest.mark.parametrize("answer", [echo, echo_async, echo_in_the_end])
async def test_it_answers_who_has_posted_and_knows_what_was_said_before(answer: Any) -> None:
    async with running() as (hub, _, ann):
        coder = await spawn(hub, "coder", answer)
        channel = await hub.channels.open([ann, coder])
        for number, said in ((0, "why?"), (2, "where?")):
            await channel.post(ann, said)
            assert (await read(ann)).content == f"{number}: {said}"


async def test_an_object_whose_call_is_async_is_awaited_in_the_loop() -> None:
    async with running() as (hub, _, ann):
        assert (await hub.ask(ann, await spawn(hub, "coder", AsyncAgent()), "go")).content == "called: go"


async def test_a_discussion_goes_round_until_its_rounds_are_over() -> None:
    async with running() as (hub, heard, ann):
        names = Counter[str]()

        async def speak(said: str, history: Sequence[Said], turn: Turn) -> str:
            names[turn.agent.name] += 1
            assert [each.is_own for each in history] == [each.name == turn.agent.name for each in history]
            return f"{turn.agent.name} after {len(history) + 1}"

        team = [await spawn(hub, name, speak) for name in ("coder", "tester")]
        channel = await hub.channels.open([ann, *team], type="discussion", knobs={"rounds_max": 2})
        await channel.post(ann, "why is it red?")
        await heard.wait_for("envelope.posted", count=3)
        await channel.post(ann, "and then?")
        assert (await channel.ended()).reason == "the rounds are over"
        await hub.flush()
        assert await posts(channel) == [
            "ann: why is it red?",
            "coder: coder after 1",
            "tester: tester after 2",
            "ann: and then?",
            "coder: coder after 4",
            "tester: tester after 5",
        ]
        assert names == {"coder": 2, "tester": 2}, "no agent is called out of turn, or for what is over"


async def test_a_notice_does_not_take_the_turn_of_an_agent() -> None:
    """What the hub itself says in a channel is newer than the envelope that it is the agent's turn to answer."""
    begin = asyncio.Event()
    async with running() as (hub, heard, ann):

        async def slow(said: str, history: Sequence[Said], turn: Turn) -> str:
            await begin.wait()
            return f"{said}!"

        coder = await spawn(hub, "coder", slow)
        other = await hub.channels.open([ann, coder])
        channel = await hub.channels.open(
            [ann, coder],
            type="discussion",
            expectations=[{"name": "reply_within", "params": {"seconds": 0.001}, "on_violation": "notify_channel"}],
        )
        await other.post(ann, "first")
        await heard.wait_for("turn.started")
        await channel.post(ann, "second")
        await heard.wait_for("expectation.violated")
        await heard.wait_for("envelope.posted", count=3)
        begin.set()
        while (answer := await read(ann)).content != "second!":
            assert answer.is_notice or answer.content == "first!"


async def test_a_workflow_goes_from_agent_to_agent() -> None:
    async with running() as (hub, _, ann):
        coder, tester = await spawn(hub, "coder", answers("done")), await spawn(hub, "tester", answers("green"))
        graph = [(ann, coder), (coder, tester)]
        knobs = {"transitions": [{"from": one.id, "to": other.id} for one, other in graph]}
        channel = await hub.channels.open([ann, coder, tester], type="workflow", knobs=knobs)
        await channel.post(ann, "build it")
        assert (await channel.ended()).reason == "no participant is next"
        assert await posts(channel) == ["ann: build it", "coder: done", "tester: green"]


@pytest.mark.parametrize("kind", ["broadcast", "notification"])
async def test_where_it_may_not_speak_it_is_not_asked(kind: str) -> None:
    called: list[str] = []
    async with running() as (hub, heard, ann):
        coder = await spawn(hub, "coder", lambda said, history, turn: called.append(said))
        channel = await hub.channels.open([ann, coder], type=kind)
        await channel.post(ann, "tidings")
        await heard.wait_for("turn.ended")
    assert called == []


async def test_two_of_them_do_not_talk_for_ever() -> None:
    """One posts by itself, as from a tool of its own; the other answers; that is no question."""
    begin = asyncio.Event()

    async def slow(said: str, history: Sequence[Said], turn: Turn) -> str:
        await begin.wait()
        return f"answer to {said}"

    async with running() as (hub, heard, ann):
        one, other = await spawn(hub, "one", slow), await spawn(hub, "other", slow)
        channel = await hub.channels.open([one, other, ann])
        question = await channel.post(one, "who are you?", to=[other])
        for _ in range(150):  # so far back is what the answer answers
            await channel.post(one, "noise", to=[ann])
        begin.set()
        await heard.wait_for("turn.ended", count=2)
        await hub.flush()
        said: list[Any] = [each.event for each in await channel.history(limit=1000) if each.event.agent_id != ann.id]
        said = [each for each in said if each.content != "noise"]
        assert [each.causation_id for each in said[1:]] == [question.id]
        assert len(said) == 2


async def test_nor_do_they_on_a_topic() -> None:
    async with running() as (hub, heard, _):
        team = [await spawn(hub, name, echo) for name in ("one", "other")]
        for agent in team:
            await hub.topics.subscribe(agent, "news")
        await hub.topics.publish("news", "who is there?", sender=team[0])
        await heard.wait_for("turn.ended", count=2)
        await hub.flush()
        assert len(of(heard.events, "envelope.posted")) == 2


async def test_what_another_hands_on_to_it_is_no_answer() -> None:
    class Router(BaseActor):
        name = "router"

        async def on_envelope(self, turn: Turn) -> None:
            if turn.envelope.agent_id != coder.id:
                await turn.post({"text": "mend it"}, to=[coder])

    async with running() as (hub, heard, ann):
        coder = await spawn(hub, "coder", echo)
        router = (await hub.spawn(Router())).agent
        channel = await hub.channels.open([ann, coder, router])
        await channel.post(ann, "go", to=[router])
        await heard.wait_for("turn.ended", count=3)
        await hub.flush()
        assert (await posts(channel))[-1] == "coder: 0: mend it"


# -- what agents answer --


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"text": "hello"}, "hello"),
        ({"plan": [1]}, '{"plan": [1]}'),
        (Plan(("build", "test")), '{"steps": ["build", "test"]}'),
        (EvilText("kept"), "kept"),
        ("\ud800\x00\u202e", text_of("\ud800\x00\u202e")),
        (7, "7"),
        (float("nan"), '{"$float": "nan"}'),
        ("x" * 200_000, "x" * 200_000),
        ("", ""),
        (None, ""),
    ],
    ids=["text", "plan", "fields", "class", "hostile", "number", "nan", "long", "empty", "none"],
)
async def test_what_an_agent_answers_is_text(answer: Any, said: str) -> None:
    async with running() as (hub, _, ann):
        given = await hub.ask(ann, await spawn(hub, "coder", answers(answer)), "go", timeout=20)
        assert given.content == said or said.startswith("\ud800")


async def test_an_empty_answer_is_no_post_and_where_others_wait_for_it_a_failure() -> None:
    async with running() as (hub, heard, ann):
        coder = await spawn(hub, "coder", answers(""))
        conversation = await hub.channels.open([ann, coder])
        await conversation.post(ann, "go")
        await heard.wait_for("turn.ended")
        assert await posts(conversation) == ["ann: go"]
        discussion = await hub.channels.open([ann, coder], type="discussion")
        await discussion.post(ann, "go")
        failed: Any = await heard.wait_for("turn.failed")
        assert "coder has answered nothing" in failed.error_message


def raises(error: BaseException) -> Callable[..., Any]:
    async def failing(said: str, history: Sequence[Said], turn: Turn) -> str:
        raise error

    return failing


def raises_in_thread(error: BaseException) -> Callable[..., Any]:
    def failing(said: str, history: Sequence[Said], turn: Turn) -> str:
        raise error

    return failing


@pytest.mark.parametrize("make", [raises, raises_in_thread])
@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit("no"), asyncio.CancelledError(), GeneratorExit(), StopIteration()]
)
async def test_an_agent_that_raises_has_failed_and_who_asks_is_told(make: Any, error: BaseException) -> None:
    async with running() as (hub, _, ann):
        coder = await spawn(hub, "coder", make(error))
        with pytest.raises(AskFailed):
            await hub.ask(ann, coder, "go", timeout=20)
        tester = await spawn(hub, "tester", echo)
        assert (await hub.ask(ann, tester, "go")).content == "0: go"


@pytest.mark.parametrize("make", [Evil, object, bytes, lambda: print])
async def test_what_is_no_answer_is_a_failure(make: Callable[[], Any]) -> None:
    async with running() as (hub, _, ann):
        coder = await spawn(hub, "coder", answers(make()))
        with pytest.raises(AskFailed):
            await hub.ask(ann, coder, "go", timeout=20)


async def test_it_is_asked_again_as_its_policy_says() -> None:
    tries: list[str] = []

    async def second(said: str, history: Sequence[Said], turn: Turn) -> str:
        tries.append(turn.id)
        if len(tries) == 1:
            raise ConnectionError("the provider is busy")
        return "at last"

    async with running() as (hub, _, ann):
        coder = await spawn(hub, "coder", second, RetryPolicy(attempts_max=2, backoff=Backoff(0.001)))
        channel = await hub.channels.open([ann, coder])
        await channel.post(ann, "go")
        assert (await read(ann)).content == "at last"
        assert await posts(channel) == ["ann: go", "coder: at last"]


# -- cancelled, and killed --


@pytest.mark.slow
async def test_a_call_that_blocks_in_a_thread_does_not_hold_the_end_of_the_hub() -> None:
    go_on, is_in = threading.Event(), threading.Event()

    def blocks(said: str, history: Sequence[Said], turn: Turn) -> str:
        is_in.set()
        go_on.wait(60)
        return "too late"

    try:
        async with running() as (hub, heard, ann):
            coder = await spawn(hub, "coder", blocks)
            channel = await hub.channels.open([ann, coder])
            await channel.post(ann, "go")
            await anyio.to_thread.run_sync(is_in.wait)
    finally:
        go_on.set()
    assert [each.kind for each in heard.events if each.kind.startswith("turn.")] == ["turn.started", "turn.abandoned"]


async def test_a_call_goes_on_from_the_start_after_a_restart(tmp_path: Path) -> None:
    """What a killed hub was answering comes again, and is answered once."""
    began = asyncio.Event()

    async def hangs(said: str, history: Sequence[Said], turn: Turn) -> str:
        began.set()
        await asyncio.sleep(3600)
        return "never"

    hub = Hub(FileStore(tmp_path))
    await hub.start()
    ann = await hub.agents.register("ann")
    channel = await hub.channels.open([ann, await spawn(hub, "coder", hangs)], type="discussion")
    await channel.post(ann, "go")
    await began.wait()
    await hub.abort()
    async with running(FileStore(tmp_path)) as (hub, _, ann):
        await spawn(hub, "coder", echo, RetryPolicy())
        assert (await read(ann)).content == "0: go"
        assert await posts(hub.channels.get(channel.id)) == ["ann: go", "coder: 0: go"]


# -- much --


async def test_of_a_huge_history_it_is_given_the_newest() -> None:
    seen: list[Sequence[Said]] = []

    def sees(said: str, history: Sequence[Said], turn: Turn) -> str:
        seen.append(history)
        return str(len(said))

    async with running() as (hub, _, ann):
        coder = await spawn(hub, "coder", sees, history_max=7, history_bytes_max=10_000)
        channel = await hub.channels.open([ann, coder])
        for number in range(300):
            await channel.post(ann, f"post {number}", to=[ann])
        await channel.post(ann, "\u202e" * 100_000, to=[ann])
        await channel.post(ann, "y" * 1_000_000)
        assert (await read_from(ann, coder)).content == "1000000"
    assert len(seen[0]) <= 7
    assert sum(len(each.text.encode()) for each in seen[0]) <= 10_000


async def read_from(agent: Agent, sender: Agent) -> EnvelopePosted:
    while (envelope := await read(agent)).agent_id != sender.id:
        pass
    return envelope


@pytest.mark.parametrize(
    "content",
    ["\ud800\x00\u202e", None, [], {"text": 7}, "", 10**400, {"a": {"b": [None]}}],
    ids=["hostile", "none", "list", "mapping", "empty", "number", "nested"],
)
async def test_whatever_is_said_is_text_for_the_agent(content: Any) -> None:
    async with running() as (hub, _, ann):
        coder = await spawn(hub, "coder", lambda said, history, turn: f"{type(said).__name__}, {len(history)}")
        channel = await hub.channels.open([ann, coder])
        await channel.post(ann, content)
        await channel.post(ann, content)
        assert [(await read(ann)).content for _ in range(2)] == ["str, 0", "str, 1"]


# -- what it does is recorded below its turn --


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("is_direct", [True, False])
async def test_a_recorder_records_below_the_turn_of_the_hub(is_async: bool, is_direct: bool) -> None:
    async with running() as (hub, heard, ann), Recorder(hub, source="try") as recorder:

        def work(said: str, history: Sequence[Said], turn: Turn) -> str:
            key = f"run of {turn.id}"
            recorder.begin_turn(key, agent="coder", prompt=said)
            recorder.begin_tool(f"tool of {turn.id}", "lint", parent=key)
            recorder.end(f"tool of {turn.id}", "ok")
            recorder.end(key, "done")
            assert current().turn_id == turn.id
            return "done"

        async def work_async(said: str, history: Sequence[Said], turn: Turn) -> str:
            return work(said, history, turn)

        coder = await spawn(hub, "coder", work_async if is_async else work)
        if is_direct:
            with scope(correlation_id="order-1"):
                await hub.ask(ann, coder, "go")
        else:
            channel = await hub.channels.open([ann, coder])
            with scope(correlation_id="order-1"):
                await channel.post(ann, "go")
            await read(ann)
        await recorder.flush()
        await hub.flush()
    envelope, *_ = of(heard.events, "envelope.posted")
    outer, inner = of(heard.events, "turn.started")
    tool, _ = [each for each in heard.events if each.kind.startswith("tool.")]
    assert (outer.source, inner.source) == (None, "try")
    assert inner.metadata["parent_turn_id"] == outer.turn_id
    assert {each.correlation_id for each in (envelope, outer, inner, tool)} == {"order-1"}
    assert inner.causation_id == envelope.id, "as all that is emitted in a turn of the hub"
    assert tool.causation_id == inner.id
    assert {each.channel_id for each in (inner, tool)} == {envelope.channel_id}
    assert inner.agent_id == outer.agent_id, "one agent, not two of one name"


# -- settings --


WRONG: Sequence[Mapping[str, Any]] = (
    {"name": ""},
    {"name": 7},
    {"name": EvilText("x")},
    {"name": Evil()},
    {"answer": "text"},
    {"answer": None},
    {"history_max": 0},
    {"history_max": True},
    {"history_max": "5"},
    {"history_bytes_max": -1},
    {"history_bytes_max": Evil()},
)


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_setting_that_cannot_work_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError, match=r"an actor|history_"):
        AgentActor(**{"name": "coder", "answer": echo, **WRONG[number]})
