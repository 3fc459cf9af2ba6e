"""Which spans come of which events: their ids, times, parents, links, status and attributes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import anyio
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import StatusCode

from hubwire import ApprovalPolicy, BaseActor, Escalate, Event, GenericEvent, Hub, Turn, context
from hubwire.approvals import FunctionApprover
from hubwire.errors import ConfigurationError
from hubwire.events import (
    AgentSwitched,
    ModelCalled,
    ModelCompleted,
    ToolAbandoned,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnFailed,
    TurnStarted,
    UnknownEvent,
    evolve,
)
from hubwire.listeners.opentelemetry import OpenTelemetry, names
from hubwire.listeners.opentelemetry._kinds import KINDS
from hubwire.listeners.opentelemetry._sdk import exports_by
from hubwire.listeners.opentelemetry._span import SpanData
from hubwire.listeners.opentelemetry._tracing import Settings, Tracing
from hubwire.patterns import Patterns
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import pass_time

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def hex_of(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Return the ids of a span: its trace, its own and its parent's."""
    assert span.context is not None
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


class Traced:
    """Spans of a hub, by name."""

    def __init__(self, **settings: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.listener = OpenTelemetry(exporter=self.exporter, **settings)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def is_tree(self) -> bool:
        """Tell whether each trace has one root, and all parents are there."""
        ids = {hex_of(span)[:2] for span in self.spans}
        roots = [hex_of(span)[0] for span in self.spans if span.parent is None]
        has_parents = all((hex_of(span)[0], hex_of(span)[2]) in ids for span in self.spans if span.parent is not None)
        return has_parents and sorted(roots) == sorted({trace for trace, _ in ids}) and len(ids) == len(self.spans)


async def traced(*events: Event, **settings: Any) -> Traced:
    spans = Traced(**settings)
    async with Hub(listeners=[spans.listener]) as hub:
        for event in events:
            await hub.emit(event)
    return spans


# --- turns and calls ------------------------------------------------------------------------------------------------


async def test_calls_are_children_of_their_turn() -> None:
    about: dict[str, Any] = {"turn_id": "t1", "agent_id": "a"}
    spans = await traced(
        TurnStarted(**about),
        ModelCalled(model="opus", call_id="m", **about),
        ModelCompleted(model="opus", call_id="m", input_tokens=10, output_tokens=4, **about),
        ToolCalled(tool="grep", call_id="c", **about),
        ToolFailed(tool="grep", call_id="c", error_type="OSError", error_message="no file", **about),
        TurnEnded(**about),
    )
    turn, model, tool = spans["invoke_agent"], spans["chat opus"], spans["execute_tool grep"]
    assert spans.is_tree()
    assert hex_of(model)[2] == hex_of(tool)[2] == hex_of(turn)[1]
    assert (turn.status.status_code, model.status.status_code) == (StatusCode.OK, StatusCode.OK)
    assert (tool.status.status_code, tool.status.description) == (StatusCode.ERROR, "no file")
    assert attributes(tool)[names.ERROR_TYPE] == "OSError"
    assert model.kind is SpanKind.CLIENT
    assert (attributes(model)[names.INPUT_TOKENS], attributes(model)[names.OUTPUT_TOKENS]) == (10, 4)
    assert attributes(turn)[names.OPERATION] == "invoke_agent"


async def test_times_are_those_of_the_events() -> None:
    """Of what was recorded afterwards, too: a stated duration, and times at the source."""
    spans = await traced(
        ToolCalled(tool="a", call_id="1"),
        ToolCompleted(tool="a", call_id="1", duration_ms=1234.5),
        ToolCalled(tool="b", call_id="2", occurred_at="2026-01-01T00:00:00Z"),
        ToolCompleted(tool="b", call_id="2", occurred_at="2026-01-01T00:00:02.5Z"),
    )
    assert seconds(spans["execute_tool a"]) == pytest.approx(1.2345)
    assert spans["execute_tool b"].start_time == 1_767_225_600_000_000_000
    assert seconds(spans["execute_tool b"]) == 2.5


async def test_a_call_without_a_turn_is_part_of_the_only_one() -> None:
    """As long as its agent is in one turn alone, it is that one."""
    spans = await traced(
        TurnStarted(turn_id="t", agent_id="a"),
        ToolCalled(tool="x", call_id="c", agent_id="a"),
        ToolCompleted(tool="x", call_id="c", agent_id="a"),
        TurnEnded(turn_id="t", agent_id="a"),
    )
    assert spans.is_tree()
    assert len({hex_of(span)[0] for span in spans.spans}) == 1


async def test_what_does_not_end_is_abandoned() -> None:
    spans = await traced(TurnStarted(turn_id="t"), ToolCalled(tool="x", call_id="c", turn_id="t"))
    assert spans.listener.open == 0
    assert [span.status.description for span in spans.spans] == ["the hub was stopped"] * 2
    assert {attributes(span)[names.END] for span in spans.spans} == {"abandoned"}
    assert spans.is_tree()


async def test_a_turn_that_begins_again_is_another_span() -> None:
    """The first one is ended, and does not leak."""
    again = TurnStarted(turn_id="t", agent_id="a")
    spans = await traced(again, again, TurnEnded(turn_id="t", agent_id="a"))
    assert sorted(str(attributes(span)[names.END]) for span in spans.spans) == ["ended", "replaced"]
    assert len({hex_of(span)[1] for span in spans.spans}) == 2


async def test_an_end_without_a_beginning_is_a_span() -> None:
    spans = await traced(
        ToolCompleted(tool="x", call_id="c", duration_ms=500),
        ToolAbandoned(tool="y", call_id="d", reason="lost", started_at="2026-01-01T00:00:00Z"),
    )
    assert seconds(spans["execute_tool x"]) == 0.5
    assert spans["execute_tool y"].start_time == 1_767_225_600_000_000_000
    assert all(attributes(span)[names.BEGIN_UNKNOWN] for span in spans.spans)


async def test_an_end_that_comes_twice_is_one_span() -> None:
    about: dict[str, Any] = {"tool": "x", "call_id": "c"}
    spans = await traced(ToolCalled(**about), ToolAbandoned(reason="late", **about), ToolCompleted(**about))
    assert [attributes(span)[names.END] for span in spans.spans] == ["abandoned"]


@pytest.mark.slow
async def test_a_hundred_thousand_turns_that_never_end() -> None:
    tracing = Tracing(Settings(open_max=1000))
    ended = 0
    for seq in range(100_000):
        event = evolve(TurnStarted(turn_id=f"t{seq}", agent_id=f"a{seq}"), seq=seq, id=f"e{seq}", at=at(seq % 60))
        ended += len(tracing.handle([event]))
    assert (tracing.open_count, tracing.forgotten, ended) == (1000, 99_000, 99_000)
    assert len(tracing._turns) == 1000


def at(second: int) -> str:
    return f"2026-11-21T09:30:{second:02d}.000000Z"


# --- traces ---------------------------------------------------------------------------------------------------------


async def test_a_trace_from_outside_goes_on() -> None:
    spans = await traced(
        TurnStarted(turn_id="t", traceparent=PARENT),
        ToolCalled(tool="x", call_id="c", turn_id="t", traceparent=PARENT),
        ToolCompleted(tool="x", call_id="c", turn_id="t", traceparent=PARENT),
        TurnEnded(turn_id="t"),
    )
    turn, tool = spans["invoke_agent"], spans["execute_tool x"]
    assert hex_of(turn)[0] == hex_of(tool)[0] == TRACE
    assert hex_of(turn)[2] == SPAN
    assert hex_of(tool)[2] == hex_of(turn)[1]


async def test_a_nearer_span_from_outside_is_the_parent() -> None:
    """A tool that is called inside of a span of the program's own, in a turn, is part of that span."""
    inner = f"00-{TRACE}-{'1' * 16}-01"
    spans = await traced(
        TurnStarted(turn_id="t", traceparent=PARENT),
        ToolCalled(tool="x", call_id="c", turn_id="t", traceparent=inner),
        ToolCompleted(tool="x", call_id="c", turn_id="t"),
        TurnEnded(turn_id="t"),
    )
    assert hex_of(spans["execute_tool x"])[2] == "1" * 16


async def test_a_correlation_is_one_tree() -> None:
    """An id that is a UUID is the id of the trace."""
    correlation_id = str(uuid4())
    spans = await traced(
        *(
            make(turn_id=f"t{number}", agent_id=f"a{number}", correlation_id=correlation_id)
            for number in range(3)
            for make in (TurnStarted, TurnEnded)
        )
    )
    assert {hex_of(span)[0] for span in spans.spans} == {correlation_id.replace("-", "")}
    assert spans.is_tree()


async def test_a_share_of_the_traces_is_sent_whole() -> None:
    tracing: dict[float, set[str]] = {}
    for ratio in (0.0, 0.5, 1.0):
        events: list[Event] = []
        for number in range(200):
            about: dict[str, Any] = {"turn_id": f"t{number}", "agent_id": f"a{number}", "correlation_id": f"c{number}"}
            events += [TurnStarted(**about), ToolCalled(tool="x", call_id="c", **about)]
            events += [ToolCompleted(tool="x", call_id="c", **about), TurnEnded(**about)]
        spans = await traced(*events, ratio=ratio)
        assert spans.is_tree()
        assert len(spans.spans) == 2 * len({hex_of(span)[0] for span in spans.spans})
        tracing[ratio] = {hex_of(span)[0] for span in spans.spans}
    assert tracing[0.0] == set()
    assert 50 < len(tracing[0.5]) < 150
    assert tracing[0.5] < tracing[1.0]


async def test_what_the_caller_does_not_sample_is_not_sent() -> None:
    unsampled = f"00-{TRACE}-{SPAN}-00"
    spans = await traced(
        TurnStarted(turn_id="t", traceparent=unsampled),
        ToolCalled(tool="x", call_id="c", turn_id="t"),
        ToolCompleted(tool="x", call_id="c", turn_id="t"),
        TurnEnded(turn_id="t"),
    )
    assert spans.spans == ()


# --- teams ----------------------------------------------------------------------------------------------------------


class Answerer(BaseActor):
    async def on_envelope(self, turn: Turn) -> None:
        await turn.hub.emit(ModelCalled(model="opus", call_id="m"))
        await turn.hub.emit(ModelCompleted(model="opus", call_id="m"))
        await turn.reply("pong")


class Asker(BaseActor):
    def __init__(self, other: Any) -> None:
        self.other = other

    async def on_envelope(self, turn: Turn) -> None:
        await turn.hub.ask(turn.agent, self.other, "ping")
        await turn.post("done", to=["boss"])


async def test_a_team_of_actors_is_one_tree() -> None:
    """The turn that a question or an envelope leads to is part of the turn that it came from."""
    spans = Traced()
    async with Hub(listeners=[spans.listener]) as hub:
        boss = await hub.agents.register("boss")
        answerer = (await hub.spawn(Answerer(), name="answerer")).agent
        asker = (await hub.spawn(Asker(answerer), name="asker")).agent
        channel = await hub.channels.open([boss, asker], topic="work")
        with context.scope(correlation_id="job 1"):
            await channel.post(boss, "go", to=[asker])
        async for delivery in boss.inbox():
            await delivery.ack()
            break
    assert spans.is_tree()
    outer, inner, model = spans["invoke_agent asker"], spans["invoke_agent answerer"], spans["chat opus"]
    assert hex_of(inner)[2] == hex_of(outer)[1]
    assert hex_of(model)[2] == hex_of(inner)[1]
    (link,) = outer.links
    assert link.context.span_id == int(hex_of(spans["channel work"])[1], 16)
    assert dict(link.attributes or {}) == {names.LINK: "channel"}
    assert "envelope.posted" in [each.name for each in outer.events]


class Mortal(BaseActor):
    deaths = 0

    async def on_envelope(self, turn: Turn) -> None:
        if not self.deaths:
            self.deaths += 1
            raise Escalate(f"cannot handle {turn.content}")


async def test_each_life_of_an_actor_is_a_span() -> None:
    """With what it crashed with; one that ends with the hub has stopped."""
    spans, clock = Traced(), ManualClock()
    async with Hub(listeners=[spans.listener], clock=clock) as hub:
        boss = await hub.agents.register("boss")
        mortal = (await hub.spawn(Mortal(), name="mortal")).agent
        await hub.spawn(Clerk(), name="clerk")
        started = hub.events(pattern="actor.started")
        clock.advance(5)
        await (await hub.channels.open([boss, mortal])).post(boss, "this")
        crashed = hub.events(after=-1, pattern="actor.crashed")
        await anext(crashed)
        await pass_time(clock, 60)
        await anext(started)
    lives = sorted((span for span in spans.spans if span.name == "agent mortal"), key=lambda each: each.start_time or 0)
    assert [attributes(span)[names.END] for span in lives] == ["crashed", "stopped"]
    assert (lives[0].status.status_code, lives[0].status.description) == (StatusCode.ERROR, "cannot handle this")
    assert seconds(lives[0]) == 5
    assert len({hex_of(span)[1] for span in lives}) == 2
    assert attributes(spans["agent clerk"])[names.GROUP] == "clerk"
    assert spans.is_tree()


class Clerk(BaseActor):
    async def on_envelope(self, turn: Turn) -> None:
        if isinstance(turn.content, int):
            await turn.post({"job": turn.content}, to=["worker"])


class Busy(BaseActor):
    """Has all jobs in its hands at once, before it goes on with the first."""

    concurrency = 8

    def __init__(self) -> None:
        self.jobs = 0
        self.all = anyio.Event()

    async def on_envelope(self, turn: Turn) -> None:
        self.jobs += 1
        if self.jobs == 5:
            self.all.set()
        await self.all.wait()
        await turn.hub.approvals.gate(turn.agent, f"job {turn.content['job']}")
        await turn.post("done", to=["clerk"])


async def test_turns_side_by_side_are_told_apart() -> None:
    """What an actor does in one of several turns is part of that one: each job is a tree of its own."""
    policy = ApprovalPolicy(approvers=[FunctionApprover("ann", lambda _: True, in_loop=True)])
    spans = Traced()
    async with Hub(listeners=[spans.listener], approvals=policy) as hub:
        boss = await hub.agents.register("boss")
        clerk = (await hub.spawn(Clerk(), name="clerk")).agent
        worker = (await hub.spawn(Busy(), name="worker")).agent
        channel = await hub.channels.open([boss, clerk, worker])
        ended = hub.events(pattern="turn.ended")
        for job in range(5):
            await channel.post(boss, job, to=[clerk])
        for _ in range(15):
            await anext(ended)
    assert spans.is_tree()
    runs: dict[str, list[str]] = {}
    for span in sorted(spans.spans, key=lambda span: span.start_time or 0):
        runs.setdefault(hex_of(span)[0], []).append(span.name)
    jobs = [run for run in runs.values() if len(run) > 1]
    path = ["invoke_agent clerk", "invoke_agent worker"]
    assert sorted(jobs) == [[*path, f"approve job {job}", "invoke_agent clerk"] for job in range(5)]


async def test_a_hand_over_is_a_link() -> None:
    spans = Traced()
    async with Hub(listeners=[spans.listener]) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        await hub.emit(TurnStarted(turn_id="1", agent_id=a.id))
        await hub.emit(AgentSwitched(from_agent="a", to_agent="b", turn_id="1"))
        await hub.emit(TurnEnded(turn_id="1", agent_id=a.id))
        await hub.emit(TurnStarted(turn_id="2", agent_id=b.id))
        await hub.emit(TurnEnded(turn_id="2", agent_id=b.id))
    (link,) = spans["invoke_agent b"].links
    assert f"{link.context.span_id:016x}" == hex_of(spans["invoke_agent a"])[1]
    assert dict(link.attributes or {}) == {names.LINK: "hand_over", names.HAND_OVER: "a"}


async def test_a_service_that_a_turn_calls_is_part_of_it() -> None:
    """And so is what is emitted in that scope."""
    spans = Traced()
    async with Hub(listeners=[spans.listener]) as hub:
        await hub.emit(TurnStarted(turn_id="t"))
        await hub.flush()
        with context.scope(traceparent=spans.listener.traceparent("t")):
            passed = context.headers()["traceparent"]
            await hub.emit(ToolCalled(tool="x", call_id="c", turn_id="t"))
            await hub.emit(ToolCompleted(tool="x", call_id="c", turn_id="t"))
        await hub.emit(TurnEnded(turn_id="t"))
    trace_id, span_id, _ = hex_of(spans["invoke_agent"])
    assert passed == f"00-{trace_id}-{span_id}-01"
    assert hex_of(spans["execute_tool x"]) == (trace_id, hex_of(spans["execute_tool x"])[1], span_id)
    assert spans.listener.traceparent("unknown") is None


def test_all_events_that_are_wanted_match_the_pattern() -> None:
    patterns = Patterns(OpenTelemetry.pattern)
    assert [kind for kind in KINDS if not patterns.matches(kind)] == []


async def test_a_task_goes_on_over_a_restart() -> None:
    """Its span has the start of the first run, and what is done in it afterwards is part of it."""
    store, spans = MemoryStore(), Traced()
    async with Hub(store, listeners=[spans.listener]) as hub:
        agent = await hub.agents.register("a")
        task = await hub.tasks.start(agent, "build it")
    assert "invoke_workflow build it" not in [span.name for span in spans.spans]
    second = Traced()
    async with Hub(store, listeners=[second.listener]) as hub:
        again = hub.tasks.get(task.id, agent.id)
        await hub.emit(TurnStarted(turn_id="t", task_id=task.id))
        await hub.emit(TurnFailed(turn_id="t", task_id=task.id, error_message="no"))
        await again.complete(result="done")
    whole, turn = second["invoke_workflow build it"], second["invoke_agent"]
    assert whole.start_time is not None
    assert turn.start_time is not None
    assert whole.start_time < turn.start_time
    assert hex_of(turn)[2] == hex_of(whole)[1]
    assert attributes(whole)[names.WORKFLOW_NAME] == "build it"
    assert whole.status.status_code is StatusCode.OK


async def test_an_approval_is_a_span() -> None:
    policy = ApprovalPolicy(approvers=[FunctionApprover("ann", lambda _: True, in_loop=True)])
    spans = Traced()
    async with Hub(listeners=[spans.listener], approvals=policy) as hub:
        agent = await hub.agents.register("a")
        await hub.approvals.gate(agent, "deploy", arguments={"to": "production"})
    span = spans["approve deploy"]
    assert attributes(span)[names.APPROVAL_VERDICT] == "approved"
    assert span.status.status_code is StatusCode.OK
    assert "approval.challenge_issued" in [each.name for each in span.events]


async def test_a_listener_makes_the_spans_of_one_hub_at_a_time() -> None:
    """A second hub would shut the exporter down when it ends, and the first one's spans would be lost."""
    shown = InMemorySpanExporter()
    otel = OpenTelemetry(exporter=shown)
    async with Hub(listeners=[otel]) as hub:
        with pytest.raises(ConfigurationError, match="of another hub, which runs"):
            async with Hub(listeners=[otel]):
                pass
        await hub.emit(ToolCompleted(tool="x", call_id="1"))
    assert [span.name for span in shown.get_finished_spans()] == ["execute_tool x"]


async def test_two_hubs_have_spans_of_their_own() -> None:
    spans = [Traced(), Traced()]
    async with Hub(listeners=[spans[0].listener]) as one, Hub(listeners=[spans[1].listener]) as other:
        for hub in (one, other):
            await hub.emit(TurnStarted(turn_id="t"))
            await hub.emit(TurnEnded(turn_id="t"))
    first, second = (hex_of(each["invoke_agent"]) for each in spans)
    assert first[0] != second[0]
    assert first[1] != second[1]


# --- contents -------------------------------------------------------------------------------------------------------

SECRET = "sk-ant-api03-" + "A1b2" * 20


@pytest.mark.parametrize("content", [False, True])
async def test_contents_are_sent_where_they_are_asked_for(content: bool) -> None:
    """What is secret is redacted, in them and in the messages of errors."""
    spans = await traced(
        ToolCalled(tool="x", call_id="c", arguments={"q": "weather", "key": SECRET}),
        ToolFailed(tool="x", call_id="c", error_message=f"refused {SECRET}"),
        content=content,
    )
    span = spans["execute_tool x"]
    assert ("weather" in str(attributes(span).get(names.TOOL_ARGUMENTS))) is content
    assert SECRET not in repr((attributes(span), span.status.description))


async def test_the_environment_asks_for_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    spans = await traced(TurnStarted(turn_id="t", prompt="hello"), TurnEnded(turn_id="t", content="world"))
    span = spans["invoke_agent"]
    assert (attributes(span)[names.INPUT_MESSAGES], attributes(span)[names.OUTPUT_MESSAGES]) == ("hello", "world")


ODD: Sequence[Callable[[], Any]] = (
    lambda: None,
    lambda: "",
    lambda: "t",
    lambda: "\ud800\x00\n",
    lambda: "x" * 100_000,
    lambda: 5,
    lambda: -(2**70),
    lambda: float("nan"),
    lambda: [1, {"a": ["b"]}],
    lambda: {"a": {}},
    lambda: True,
    lambda: PARENT,
    lambda: "2026-01-01T00:00:00Z",
    lambda: "0001-01-01T00:00:00Z",
    lambda: 9e12,
)
TEXTS = (None, "", "t", "\ud800\x00\n", "x" * 100_000, PARENT, "2026-01-01T00:00:00Z")
TIMES = ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z")
FIELDS = (
    *("call_id", "tool", "model", "envelope_id", "approval_id", "title", "reason", "started_at", "duration_ms", "name"),
    *("input_tokens", "passport", "to_agent", "from_agent", "topic", "parent_id", "arguments", "error_message"),
)


def test_events_of_any_values_are_survived() -> None:
    """Events of other versions, and of other systems, may have anything in any field; a collector takes the spans."""
    dice = random.Random(1)
    made: list[SpanData] = []
    tracing = Tracing(Settings(content=True, open_max=50))
    kinds = sorted(KINDS)
    header = ("turn_id", "agent_id", "channel_id", "task_id", "correlation_id", "traceparent", "occurred_at")
    for seq in range(5000):
        about: dict[str, Any] = {name: dice.choice((*TEXTS, *TIMES)) for name in header}
        fields = {name: dice.choice(ODD)() for name in dice.sample(FIELDS, 8)}
        about["kind"] = dice.choice(kinds)
        event = dice.choice((GenericEvent(data=fields, **about), UnknownEvent(fields=fields, **about)))
        for span in tracing.handle([evolve(event, seq=seq, id=f"e{seq}", at=at(seq % 60), hub="h")]):
            assert span.end_ns >= span.start_ns
            assert all(len(value) <= 8000 for value in span.attributes.values() if isinstance(value, str))
            made.append(span)
    assert tracing.open_count <= 50
    exports_by(Encoded(), None)(made)


async def test_a_time_that_a_collector_cannot_have_holds_up_no_spans() -> None:
    """A clock of another system says any time; the span has the time at which the hub took its event then."""
    shown = InMemorySpanExporter()
    async with Hub(listeners=[OpenTelemetry(exporter=shown)]) as hub:
        for number, time in enumerate(("1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z")):
            await hub.emit(ToolCalled(tool="x", call_id=str(number), occurred_at=time))
            await hub.emit(ToolCompleted(tool="x", call_id=str(number)))
        await hub.emit(ToolCompleted(tool="x", call_id="3", duration_ms=9e12))
    spans = shown.get_finished_spans()
    assert [seconds(span) < 60 for span in spans] == [True, True, False]
    Encoded().export(spans)


class Encoded(SpanExporter):
    """Writes spans as OTLP has them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        assert encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS
