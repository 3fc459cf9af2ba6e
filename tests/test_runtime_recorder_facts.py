"""What a recorder makes of facts and of contents that a stranger has made: nothing of them reaches runtime or hub."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anyio
import pytest

from hubwire import Duty, Hub
from hubwire.redaction import Redactor
from hubwire.runtimes import Recorder
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import check_pairs, of

KEY = "sk-ant-api03-" + "Ab1" * 20


class HearsAll(Heard):
    duty = Duty.REQUIRED


class Interrupts(BaseException):
    pass


class Endless(Mapping[str, Any]):
    """A mapping that never comes to its end."""

    def __getitem__(self, key: str) -> Any:
        return ""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        while True:
            yield ""


class Raising(Exception):
    def __str__(self) -> str:
        raise Interrupts("its text")


class ExitsWhenRead(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise SystemExit(key)

    def __len__(self) -> int:
        raise SystemExit

    def __iter__(self) -> Iterator[str]:
        raise SystemExit


async def recorded(
    said: Callable[[Recorder], Any], *, hub: Mapping[str, Any] | None = None, **settings: Any
) -> tuple[list[Any], Recorder]:
    """Return the events that a recorder makes of what is said to it."""
    heard = HearsAll()
    async with Hub(listeners=[heard], **(hub or {})) as made:
        async with Recorder(made, source="try", **settings) as recorder:
            said(recorder)
        await made.flush(timeout=30)
        assert made.health().healthy, made.health().problems
    events = [event for event in heard.events if event.source == "try"]
    check_pairs(events)
    return events, recorder


# -- facts --


async def test_the_fields_of_a_fact_are_redacted_by_their_names() -> None:
    data = {"password": "hunter2", "inner": {"password": "hunter2"}, "said": f"key {KEY}", "number": 7}
    [event], _ = await recorded(lambda recorder: recorder.fact("build.ended", data))
    assert "hunter2" not in str(event)
    assert "Ab1Ab1" not in str(event)
    assert event.data["number"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("content", [False, True])
async def test_a_fact_is_bounded(content: bool) -> None:
    many = {f"field {number}": "x" * 70_000 for number in range(20_000)}
    events, recorder = await recorded(
        lambda recorder: [recorder.fact("build.ended", many), recorder.fact("build.ended", {"x": "y" * 10_000_000})],
        content=content,
    )
    assert [event.kind for event in events] == ["build.ended"] * 2
    assert len(str(events[0].data)) < 500_000
    assert len(events[0].data) <= 101
    assert len(events[1].data["x"]) == (65_536 if content else 200)
    assert recorder.statistics().dropped == 0


@pytest.mark.parametrize(
    "data", [Endless(), {"x": Endless()}, {"x": [Endless()]}], ids=["itself", "within", "in a list"]
)
async def test_a_mapping_without_an_end_does_not_hold_the_runtime(data: Any) -> None:
    took = -time.monotonic()
    await recorded(lambda recorder: recorder.fact("build.ended", data))
    assert took + time.monotonic() < 20


@pytest.mark.parametrize("data", [None, 1, "text", [1], ExitsWhenRead(), object(), {}], ids=range(7))
async def test_what_are_no_fields_is_counted(data: Any) -> None:
    events, recorder = await recorded(lambda recorder: [recorder.fact("build.ended", data), recorder.error("after")])
    assert events[-1].kind == "error.raised"
    assert recorder.statistics().failures + len(of(events, "build.ended")) == 1


async def test_odd_names_of_fields_are_names() -> None:
    data: dict[Any, Any] = {1: "a", "\ud800": "b", "": "c", "x" * 5_000: "d", None: "e", "nan": float("nan")}
    [event], _ = await recorded(lambda recorder: recorder.fact("build.ended", data))
    assert event.data["1"] == "a"
    assert max(map(len, event.data)) <= 200


@pytest.mark.parametrize(
    "kind", ["tool.called", "channel.opened", "hub.started", "BAD KIND", "", "one", "x" * 1_000, None, 5, "a.\ud800"]
)
async def test_a_kind_that_is_none_is_refused_and_nothing_else(kind: Any) -> None:
    events, recorder = await recorded(lambda recorder: [recorder.fact(kind, {"x": 1}), recorder.fact("a.b", {"x": 2})])
    assert [event.data["x"] for event in events] == [2]
    assert recorder.statistics().refused == 1


async def test_facts_stand_in_their_runs_and_come_back_from_a_store() -> None:
    store, heard = MemoryStore(), Heard()
    async with Hub(store) as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            recorder.begin_turn("t", agent="a", session="s")
            recorder.fact("build.ended", {"ok": True}, parent="t")
            recorder.fact("build.ended", {"ok": False}, parent="of no run", agent="b")
            recorder.fact("build.ended", {"ok": None})
            recorder.end("t")
        await hub.flush(timeout=30)
        inside, outside, alone = of(heard.events, "build.ended")
        assert inside.turn_id == "t"
        assert inside.session_id == "s"
        assert outside.turn_id is None
        assert outside.agent_id is not None
        assert alone.agent_id is None
    async with Hub(store) as hub:
        assert hub.health().healthy, hub.health().problems


async def test_facts_of_many_threads_are_all_there() -> None:
    heard = HearsAll()
    async with Hub(listeners=[heard]) as hub, Recorder(hub, source="try") as recorder:

        def say(first: int) -> None:
            for number in range(first, first + 250):
                recorder.fact("build.ended", {"number": number})

        async with anyio.create_task_group() as tasks:
            for first in range(0, 2_000, 250):
                tasks.start_soon(anyio.to_thread.run_sync, say, first)
        await recorder.flush()
    assert sorted(event.data["number"] for event in of(heard.events, "build.ended")) == list(range(2_000))


# -- contents --


@pytest.mark.parametrize("raises", [ValueError, Interrupts, SystemExit])
async def test_a_redactor_that_raises_lets_nothing_through(raises: type[BaseException]) -> None:
    class Broken(Redactor):
        def redact(self, value: Any) -> Any:
            raise raises("broken")

    def said(recorder: Recorder) -> None:
        recorder.begin_turn("t", agent="a", prompt=KEY)
        recorder.begin_model("m", "model", parent="t")
        recorder.stream("m", KEY)
        recorder.end("m", KEY, extra={"cached": KEY})
        recorder.fact("build.ended", {"x": KEY})
        recorder.end("t", KEY)

    events, _ = await recorded(said, redactor=Broken())
    assert [event.kind for event in events] == [
        *("turn.started", "model.called", "model.progressed", "model.completed", "build.ended", "turn.ended")
    ]
    assert "Ab1Ab1" not in str(events)
    assert events[-1].content == f"(left out: the redactor raised {raises.__name__})"


async def test_more_numbers_of_an_end_are_redacted_and_hide_nothing() -> None:
    def said(recorder: Recorder) -> None:
        recorder.begin_turn("t", agent="a")
        recorder.begin_tool("x", "lint", parent="t")
        recorder.end("x", extra={"exit_code": 3})
        recorder.begin_model("m", "model", parent="t")
        recorder.end("m", extra={"run": "another", "password": "hunter2", "cached": 5})
        recorder.begin_model("n", "model", parent="t")
        recorder.end("n", extra="no mapping")  # type: ignore[arg-type]
        recorder.end("t")

    events, _ = await recorded(said)
    first, second = of(events, "model.completed")
    assert (first.metadata["run"], first.metadata["cached"]) == ("t", 5)
    assert "hunter2" not in str(first)
    assert second.metadata["run"] == "t", "it has ended, and was not abandoned"
    assert of(events, "tool.completed")[0].metadata["exit_code"] == 3


@pytest.mark.parametrize("error", [Raising(), type("Exits", (Exception,), {"__str__": Interrupts})()])
async def test_an_error_whose_text_raises_is_a_failure_all_the_same(error: Exception) -> None:
    def said(recorder: Recorder) -> None:
        recorder.begin_turn("t", agent="a")
        recorder.fail("t", error)

    events, _ = await recorded(said)
    assert [event.kind for event in events] == ["turn.started", "turn.failed"]
    assert "Interrupts" in events[-1].error_message or "TypeError" in events[-1].error_message


async def test_reasons_are_redacted() -> None:
    def said(recorder: Recorder) -> None:
        recorder.begin_tool("x", "lint", agent="a")
        recorder.discard("x", f"it had {KEY}")
        recorder.hand_over("a", "b", reason=KEY)
        recorder.record_verdict("v", "deploy", is_passed=False, reason=f"it has {KEY}", agent="a")
        recorder.record_verdict("w", "deploy", is_passed=False, reason=Raising(), agent="a")  # type: ignore[arg-type]

    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            said(recorder)
        await hub.flush(timeout=30)
    assert len(of(heard.events, "approval.denied")) == 2
    assert "Ab1Ab1" not in str(heard.events)


async def test_what_is_too_large_for_a_hub_is_recorded_without_its_contents() -> None:
    def said(recorder: Recorder) -> None:
        recorder.begin_turn("t", agent="a", prompt="x" * 50_000)
        recorder.begin_model("m", "model", parent="t", request=["x" * 50_000])
        recorder.end("m", {"answer": "x" * 50_000}, input_tokens=5, extra={"cached": "y" * 50_000})
        recorder.begin_tool("x", "lint", parent="t", arguments={"text": "x" * 50_000})
        recorder.fail("x", "x" * 50_000)
        recorder.fact("build.ended", {"log": "x" * 50_000}, parent="t")
        recorder.end("t", "x" * 50_000)

    events, recorder = await recorded(said, hub={"event_bytes_max": 4_000}, content=True)
    assert [event.kind for event in events] == [
        *("turn.started", "model.called", "model.completed", "tool.called", "tool.failed", "build.ended", "turn.ended")
    ]
    assert recorder.statistics().refused == 0
    assert "left out" in events[0].prompt
    assert "left out" in str(events[5].data)
    assert events[2].input_tokens == 5


# -- keys --


@pytest.mark.parametrize("key", [5, "k" * 1_000], ids=["a number", "a long text"])
async def test_a_stream_is_known_by_any_key_that_its_call_has(key: Any) -> None:
    def said(recorder: Recorder) -> None:
        recorder.begin_model(key, "model", agent="a")
        recorder.stream(key, "piece")
        recorder.end(key, "answer")
        assert not recorder._streams

    events, _ = await recorded(said)
    assert [event.kind for event in events] == ["model.called", "model.progressed", "model.completed"]


@pytest.mark.parametrize("ends", ["inwards", "outwards", "never"])
async def test_runs_may_be_nested_deeper_than_python_calls(ends: str) -> None:
    count = 3_000

    def said(recorder: Recorder) -> None:
        for number in range(count):
            parent = f"t{number - 1}" if number else None
            recorder.begin_tool(f"t{number}", "again", agent="a", parent=parent, is_held=number % 2 == 1)
        for number in {"inwards": range(count), "outwards": reversed(range(count)), "never": range(0)}[ends]:
            recorder.end(f"t{number}", number)

    events, recorder = await recorded(said)
    assert len(of(events, "tool.called")) == count
    assert len(of(events, "tool.abandoned" if ends == "never" else "tool.completed")) == count
    assert recorder.statistics().refused == 0


async def test_the_innermost_is_abandoned_first_and_in_order() -> None:
    def said(recorder: Recorder) -> None:
        recorder.begin_turn("t", agent="a")
        for name in ("first", "second"):
            recorder.begin_turn(name, parent="t")
            recorder.begin_tool(f"{name} tool", name, parent=name)

    events, _ = await recorded(said)
    gone = [event.call_id if event.kind == "tool.abandoned" else event.turn_id for event in events[5:]]
    assert gone == ["first tool", "first", "second tool", "second", "t"]


@pytest.mark.slow
async def test_a_run_without_end_remembers_a_bounded_number_of_calls() -> None:
    async with Hub() as hub, Recorder(hub, source="try") as recorder:
        recorder.begin_turn("t", agent="a")
        for number in range(25_000):
            recorder.begin_tool(f"x{number}", "lint", parent="t", call_id=f"call {number}")
            recorder.end(f"x{number}")
            if number % 1_000 == 0:
                await recorder.flush()
        await recorder.flush()
        span: Any = recorder._bringing._spans.find("t")
        assert len(span.place.call_ids) <= 20_001
        recorder.end("t")


@pytest.mark.parametrize("key", [None, "", object(), 1.5, []])
async def test_what_cannot_be_asked_is_not_approved(key: Any) -> None:
    async with Hub() as hub, Recorder(hub, source="try") as recorder:
        verdict = await recorder.decide(key, "deploy")
        assert not verdict.is_approved
        assert "a key is" in verdict.reason
        assert not (await anyio.to_thread.run_sync(recorder.decide_blocking, key, "deploy")).is_approved


async def test_of_messages_that_an_adapter_has_cut_its_own_count_is_recorded() -> None:
    heard = Heard()
    async with Hub(listeners=[heard]) as hub, Recorder(hub, source="x") as recorder:
        recorder.begin_model("1", request=["… 41 before", "the last"])
        recorder.begin_model("2", request=["first", "second", "the last"])
        await recorder.flush()
    assert [event.request[0] for event in of(heard.events, "model.called")] == ["… 41 before", "… 2 before"]
