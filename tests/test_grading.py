"""A log beside what a runtime has recorded itself: what it lacks, what it alone has, what differs, what is unknown."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError
from hubwire.grading import Deed, Grade, deeds_of, grade, said_in
from hubwire.listeners import AuditLog
from hubwire.query import query
from hubwire.redaction import Redactor
from hubwire.runtimes import Recorder
from hubwire.stores import MemoryStore


def call(number: int, tool: str = "search", arguments: Any = None, **more: Any) -> Deed:
    """Return a call, of the runtime's own record."""
    given = {"id": f"call-{number}", "key": f"call-{number}", "place": f"message {number}", **more}
    return Deed("call", name=tool, content={"n": number} if arguments is None else arguments, **given)


def result(number: int, content: Any = "done", **more: Any) -> Deed:
    return Deed("result", id=f"call-{number}", key=f"call-{number}", content=content, **more)


def called(number: int, tool: str = "search", arguments: Any = None, **more: Any) -> dict[str, Any]:
    """Return the fields of an event, as a log has them."""
    arguments = {"n": number} if arguments is None else arguments
    fields = {"call_id": f"call-{number}", "tool": tool, "arguments": arguments, "correlation_id": "run"}
    return {"kind": "tool.called", "seq": number, **fields, **more}


def completed(number: int, content: Any = "done", **more: Any) -> dict[str, Any]:
    fields = {"call_id": f"call-{number}", "tool": "search", "result": content, "correlation_id": "run"}
    return {"kind": "tool.completed", "seq": 1000 + number, **fields, **more}


def of(log: list[dict[str, Any]], against: list[Deed]) -> Grade:
    return grade(deeds_of(log), against)


def ids(deeds: Any) -> list[str]:
    return [deed.id for deed in deeds]


# --- calls ----------------------------------------------------------------------------------------------------------


def test_a_whole_log_is_complete() -> None:
    log = [record for n in range(5) for record in (called(n), completed(n))]
    found = of(log, [deed for n in range(5) for deed in (call(n), result(n))])
    assert found.is_complete
    assert (found.missing, found.different, found.only_in_log, found.moved, found.not_compared) == ((), (), (), (), ())
    assert (found.tallies["call"].told, found.tallies["call"].found) == (5, 5)


def test_a_call_that_the_log_lacks_is_missing_with_its_result() -> None:
    log = [record for n in range(5) if n != 3 for record in (called(n), completed(n))]
    found = of(log, [deed for n in range(5) for deed in (call(n), result(n))])
    assert not found.is_complete
    assert [(deed.what, deed.id) for deed in found.missing] == [("call", "call-3"), ("result", "call-3")]


def test_a_call_that_looks_alike_does_not_stand_in_for_one_with_another_id() -> None:
    """Where both records have the runtime's ids, the same tool with the same arguments is another call."""
    same = {"path": "/etc"}
    found = of(
        [called(1, arguments=same), called(2, arguments=same)],
        [call(1, arguments=same), call(3, arguments=same)],
    )
    assert (ids(found.missing), ids(found.only_in_log)) == (["call-3"], ["call-2"])


def test_arguments_that_differ_are_no_missing_call() -> None:
    found = of([called(1, arguments={"path": "/srv"})], [call(1, arguments={"path": "/etc"})])
    assert (found.missing, [each.told.id for each in found.different]) == ((), ["call-1"])
    assert not found.is_complete


def test_another_tool_under_the_same_id_differs() -> None:
    assert len(of([called(1, tool="read")], [call(1, tool="delete")]).different) == 1


def test_arguments_as_text_are_the_object_that_the_text_holds() -> None:
    assert of([called(1, arguments={"a": [1, 2.5, None]})], [call(1, arguments='{"a": [1, 2.50, null]}')]).is_complete


@pytest.mark.parametrize(("logged", "told"), [(True, 1), (1, "one"), ({"a": 1}, {"a": 1, "b": 2}), ([1], [1, 2])])
def test_what_only_looks_equal_differs(logged: object, told: object) -> None:
    found = of([called(1, arguments={"x": logged})], [call(1, arguments={"x": told})])
    assert not found.is_complete or found.not_compared


def test_a_result_that_differs_is_found() -> None:
    found = of([called(1), completed(1, "2 files")], [call(1), result(1, "3 files")])
    assert [each.told.what for each in found.different] == ["result"]


def test_an_id_that_comes_twice_is_two_calls() -> None:
    """Some runtimes number the calls of each answer anew; a hub then adds a number of its own."""
    log = [called(1), called(2, call_id="call-1#2", arguments={"n": 2})]
    told = [call(1), call(2, id="call-1")]
    assert of(log, told).is_complete
    assert ids(of(log[:1], told).missing) == ["call-1"]


def test_the_same_id_in_another_conversation_is_another_call() -> None:
    log = [called(1, arguments={"at": run}, correlation_id=run) for run in ("a", "b", "c")]
    results = [completed(1, f"of {run}", correlation_id=run) for run in ("a", "b", "c")]
    told = [
        each for run in "cab" for each in (call(1, arguments={"at": run}, group=run), result(1, f"of {run}", group=run))
    ]
    assert of(log + results, told).is_complete
    without = of(log[:2] + results[:2], told)
    assert [(deed.what, deed.group) for deed in without.missing] == [("call", "c"), ("result", "c")]


def test_calls_without_ids_are_found_by_what_they_are() -> None:
    told = [call(n, id="") for n in range(4)]
    assert of([called(n, call_id=f"own-{n}") for n in range(4)], told).is_complete
    found = of([called(n, call_id=f"own-{n}") for n in range(3)], told)
    assert [deed.content for deed in found.missing] == [{"n": 3}]


def test_calls_in_another_order_are_all_there_and_said() -> None:
    found = of([called(2), called(0), called(1)], [call(0), call(1), call(2)])
    assert found.is_complete
    assert [each.told.id for each in found.moved] == ["call-2"]


def test_only_what_is_of_the_same_conversations_is_only_in_the_log() -> None:
    log = [called(1), called(2), called(9, correlation_id="another run")]
    found = of(log, [call(1)])
    assert ids(found.only_in_log) == ["call-2"]
    assert "1 more of the log are of conversations of which the other record has nothing" in found.not_compared


# --- what a log holds in part ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["$erased", "$withheld", "$missing"])
def test_what_was_erased_or_is_withheld_is_no_other_content(sign: str) -> None:
    """Who erases a person's data, as the law wants it, has not changed what the agent did."""
    gone = {sign: {"by": "dpo"}}
    posted = {"kind": "envelope.posted", "seq": 5, "content": gone, "correlation_id": "run"}
    log = [called(1, arguments=gone), completed(1, gone), called(2, arguments={"n": gone}), completed(2), posted]
    told = [call(1), result(1), call(2), result(2), Deed("message", content="I am Ann")]
    found = of(log, told)
    assert found.is_complete
    assert (found.missing, found.different) == ((), ())
    assert [found.tallies[what].unclear for what in ("call", "result", "message")] == [2, 1, 1]
    assert "the log does not hold the contents of 2 calls" in found.not_compared
    assert not of(log, [*told, Deed("message", content="and I pay")]).is_complete


def test_calls_without_ids_are_found_where_their_arguments_are_gone() -> None:
    log = [called(n, arguments={"$erased": {}} if n == 1 else None) for n in range(3)]
    found = of(log, [call(n, id="", key="") for n in range(3)])
    assert found.is_complete
    assert found.tallies["call"].unclear == 1


def test_what_only_looks_erased_is_compared() -> None:
    found = of([called(1, arguments={"$erased": {}, "n": 2})], [call(1)])
    assert len(found.different) == 1


def test_a_preview_is_compared_as_far_as_it_goes() -> None:
    log = [called(1, arguments={"text": "the beginning …"})]
    found = of(log, [call(1, arguments={"text": "the beginning of a long text"})])
    assert found.is_complete
    assert found.not_compared == ("the log holds the beginning of 1 call, and that is the same",)
    assert found.tallies["call"].unclear == 1
    assert not of(log, [call(1, arguments={"text": "another beginning"})]).is_complete


def test_what_was_redacted_is_compared_but_for_that() -> None:
    arguments = {"to": "jane@example.com", "body": "call +1 415 555 0132 at noon"}
    log = [called(1, arguments=Redactor().redact(arguments))]
    found = of(log, [call(1, arguments=arguments)])
    assert found.is_complete
    assert found.not_compared == ("1 call is redacted in the log: the rest is the same",)
    assert not of(log, [call(1, arguments={**arguments, "body": "call +1 415 555 0132 at night"})]).is_complete
    assert not of(log, [call(1, arguments={**arguments, "cc": "eve"})]).is_complete


def test_what_the_log_does_not_hold_is_said() -> None:
    log = [{**called(1), "arguments": None}]
    found = of(log, [call(1)])
    assert (found.is_complete, found.not_compared) == (True, ("the log does not hold the contents of 1 call",))


def test_an_object_and_a_text_are_not_compared() -> None:
    found = of([called(1), completed(1, {"rows": 3})], [call(1), result(1, "three rows")])
    assert found.is_complete
    assert found.not_compared == ("1 result is text in one record and an object in the other",)


# --- messages, approvals, turns, checkpoints --------------------------------------------------------------------------


def said(kind: str, field: str, words: Any, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "seq": 1, field: words, "correlation_id": "run", **more}


def test_a_message_is_there_whichever_event_says_it() -> None:
    log = [
        said("turn.started", "prompt", "why is it red?", turn_id="t"),
        said("model.called", "request", {"messages": [{"role": "user", "content": "why is it red?"}]}),
        said("model.completed", "response", {"content": [{"type": "text", "text": "A comma."}]}),
        said("turn.ended", "content", "A comma."),
    ]
    told = [
        Deed("message", name="user", content={"text": "why is  it red?"}),
        Deed("message", name="assistant", content={"parts": [{"type": "text", "text": "A comma."}]}),
    ]
    found = of(log, told)
    assert (found.is_complete, found.only_in_log) == (True, ())
    assert [deed.content for deed in of(log[:2], told).missing] == [told[1].content]


def test_words_said_twice_have_to_be_there_twice() -> None:
    told = [Deed("message", content="go on")] * 3
    found = of([said("envelope.posted", "content", {"text": "go on"})] * 2, told)
    assert len(found.missing) == 1
    found = of([said("envelope.posted", "content", {"text": "go on"})] * 5, told)
    assert (found.missing, len(found.only_in_log)) == ((), 2)


def test_instructions_are_not_missed_where_adapters_do_not_record_them() -> None:
    told = [Deed("message", name="system", content="be kind"), Deed("message", name="user", content="hello")]
    found = of([said("turn.started", "prompt", "hello", turn_id="t")], told)
    assert found.is_complete
    assert any("instructions" in note for note in found.not_compared)
    posted = of([said("envelope.posted", "content", "hello")], told)
    assert [deed.name for deed in posted.missing] == ["system"]


def test_a_verdict_belongs_to_its_approval() -> None:
    log = [
        {"kind": "approval.requested", "approval_id": "a1", "idempotency_key": "q1", "action": "deploy", "seq": 1},
        {"kind": "approval.denied", "approval_id": "a1", "action": "deploy", "seq": 2},
    ]
    told = [Deed("approval", name="deploy", id="q1", key="q1"), Deed("verdict", name="approved", key="q1")]
    found = of(log, told)
    assert [(each.told.name, each.logged.name) for each in found.different] == [("approved", "denied")]
    assert [deed.what for deed in of([], told).missing] == ["approval", "verdict"]


def test_checkpoints_are_found_by_their_ids() -> None:
    log = [{"kind": "langgraph.checkpoint.saved", "data": {"checkpoint_id": "c1"}, "seq": 1}]
    found = of(log, [Deed("checkpoint", id="c1"), Deed("checkpoint", id="c2")])
    assert ids(found.missing) == ["c2"]
    assert ids(of(log, [Deed("checkpoint", id="c3")]).missing) == ["c3"]


def test_words_are_found_in_every_form() -> None:
    assert said_in([{"type": "thinking", "thinking": "no"}, {"type": "text", "text": " a "}, "b"]) == "a b"
    assert said_in({"parts": [{"text": "a"}, {"inline": 1}]}) == "a"
    nested: Any = "deep"
    for _ in range(10_000):
        nested = [nested]
    assert said_in(nested) == ""


# --- a real recorder ------------------------------------------------------------------------------------------------


async def recorded(*, content: bool) -> list[dict[str, Any]]:
    """Return the log of a run that a recorder has told: a question, two calls of which one fails, an answer."""
    store = MemoryStore()
    async with (
        Hub(listeners=[AuditLog(store)]) as hub,
        Recorder(hub, source="own", content=content) as recorder,
    ):
        recorder.begin_turn("run", agent="planner", prompt="find it")
        recorder.begin_tool("s", "search", parent="run", arguments={"query": "x" * 300}, call_id="call-1")
        recorder.end("s", {"hits": 3})
        recorder.begin_tool("l", "lint", parent="run", arguments={}, call_id="call-2")
        recorder.fail("l", ValueError("line 3"))
        recorder.end("run", "found")
        await recorder.aclose()
        await hub.flush()
    return [found.fields async for found in query(store)]


RUN = [
    Deed("message", name="user", content="find it"),
    call(1, arguments={"query": "x" * 300}),
    result(1, '{"hits": 3}'),
    call(2, tool="lint", arguments={}),
    result(2, "Error: line 3"),
    Deed("message", name="assistant", content="found"),
]


@pytest.mark.parametrize("content", [True, False])
async def test_what_a_recorder_tells_is_found(content: bool) -> None:
    found = of(await recorded(content=content), RUN)
    assert (found.is_complete, found.only_in_log, found.moved) == (True, (), ())
    assert (found.tallies["call"].unclear, len(found.missing)) == (0 if content else 1, 0)


async def test_each_record_that_is_taken_out_is_missed() -> None:
    """Whichever event of the run is not in the log, the grade says so."""
    log = await recorded(content=True)
    kinds = [n for n, fields in enumerate(log) if fields["kind"].startswith(("tool.", "turn."))]
    assert len(kinds) == 6
    for number in kinds:
        assert not of(log[:number] + log[number + 1 :], RUN).is_complete


# --- many, odd, wrong -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hundred_thousand_calls_are_graded_one_by_one() -> None:
    """Three of them are gone, and all have one of ten tools."""
    count = 50_000
    log = [called(n, tool=f"tool-{n % 10}") for n in range(count) if n not in (7, 30_000, count - 1)]
    found = of(log, [call(n, tool=f"tool-{n % 10}") for n in range(count)])
    assert ids(found.missing) == ["call-7", "call-30000", f"call-{count - 1}"]
    alike = of(log, [call(1, tool=f"tool-{n % 10}", id="") for n in range(count)])
    assert len(alike.missing) + alike.tallies["call"].found == count


def test_any_log_lacks_exactly_what_was_taken_out() -> None:
    rng = random.Random(5)
    for _ in range(200):
        count = rng.randrange(1, 30)
        told = [call(n, id=f"i{rng.randrange(6)}", tool=rng.choice("ab"), arguments={"n": n}) for n in range(count)]
        log = [called(n, call_id=deed.id, tool=deed.name, arguments=deed.content) for n, deed in enumerate(told)]
        gone = rng.sample(range(count), rng.randrange(count + 1))
        kept = [fields for n, fields in enumerate(log) if n not in gone]
        found = of(kept, told)
        assert len(found.missing) + len(found.different) >= len(gone) > 0 or found.is_complete
        assert found.tallies["call"].missing == len(gone)


ODD: list[Any] = [None, 1, "text", b"bytes", {"kind": 1}, object(), [1], [{"kind": "tool.called"}, 3]]


@pytest.mark.parametrize("records", ODD, ids=range(len(ODD)))
def test_what_are_no_records_is_refused(records: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"deeds_of\(\)"):
        list(deeds_of(records))


NO_DEEDS: list[Any] = [None, 1, "text", {"a": 1}, [1], [None], ["call"]]


@pytest.mark.parametrize("deeds", NO_DEEDS, ids=range(len(NO_DEEDS)))
def test_what_are_no_deeds_is_refused(deeds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"grade\(\): .*log"):
        grade(deeds, [])
    with pytest.raises(ConfigurationError, match=r"grade\(\): .*against"):
        grade([], deeds)


@pytest.mark.parametrize("name", ["what", "name", "id", "place", "group", "key", "by"])
def test_a_deed_refuses_what_is_no_text(name: str) -> None:
    for wrong in (None, 1, b"x", ["x"], "\ud800"):
        with pytest.raises(ConfigurationError, match=rf"Deed\(\): {name}"):
            Deed(**{"what": "call", name: wrong})  # type: ignore[arg-type]


def test_records_of_strangers_harm_nothing() -> None:
    """A program may put whatever it likes into the fields of its events."""
    odd: list[Any] = [None, 1, 1.5, True, "x", [], {}, [[]], {"a": None}, "\u2028", "[redacted:x]", "…"]
    kinds = ["tool.called", "tool.completed", "tool.failed", "envelope.posted", "model.called", "turn.started"]
    kinds += ["approval.requested", "approval.denied", "langgraph.checkpoint.saved", "model.completed", "turn.ended"]
    names = ("tool", "call_id", "arguments", "result", "error_message", "content", "request", "prompt", "metadata")
    for value in odd:
        log = [{"kind": kind, **dict.fromkeys((*names, "turn_id", "approval_id", "data"), value)} for kind in kinds]
        for told in odd:
            deeds = [Deed(what, content=told, id="x", key="x") for what in ("call", "message", "approval", "turn")]
            found = of(log, [*deeds, Deed("result", content=told, key="x")])
            assert found.tallies["call"].told == 1
