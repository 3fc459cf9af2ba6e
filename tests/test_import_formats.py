"""What becomes of what others' libraries write, format by format."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubwire.cli.importing.conversation import BadItem, Conversation, Envelope
from hubwire.cli.importing.format import Options
from hubwire.cli.importing.formats import FORMATS, parse, recognise
from hubwire.cli.importing.moments import moment_of
from hubwire.cli.importing.opening import open_source
from hubwire.cli.importing.reading import Item
from hubwire.events import ModelCompleted, ToolCalled, ToolCompleted, ToolFailed, TurnFailed
from support.importing import do_import, parts_of, records_of
from support.recordings import AG2_AUDIT, CHAT_FORMATS, RECORDINGS


def parsed(name: str, value: Any, messages_key: str | None = None) -> Conversation:
    (made,) = parse(FORMATS[name], Item(0, "item 1", json.dumps(value).encode()), Options(messages_key))
    return made


def told(conversation: Conversation) -> list[tuple[Any, ...]]:
    """Return a line for each part: who said what, and which tool was called with what, and returned what."""
    made: list[tuple[Any, ...]] = []
    for part in conversation.parts:
        if isinstance(part, Envelope):
            made.append((str(part.speaker), part.content.get("text", part.content.get("parts"))))
        elif part.kind is ToolCalled:
            made.append(("call", part.fields["tool"], part.fields["arguments"]))
        elif part.kind is ToolCompleted:
            made.append(("result", part.fields["tool"], part.fields["result"]))
        elif part.kind is ToolFailed:
            made.append(("failure", part.fields["tool"], part.fields["error_message"]))
    return made


def calls_of(conversation: Conversation) -> list[tuple[str, str, str]]:
    return [
        (part.kind.kind, part.fields["tool"], part.fields["call_id"])
        for part in conversation.parts
        if not isinstance(part, Envelope) and "tool" in part.fields
    ]


# --- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in RECORDINGS if not name.startswith("ag2-store")])
@pytest.mark.parametrize("indent", [None, 1])
def test_every_format_is_recognised(name: str, indent: int | None, tmp_path: Path) -> None:
    format_name, value = RECORDINGS[name]
    path = tmp_path / "x"
    path.write_text(json.dumps(value, indent=indent))
    with open_source(str(path), "auto") as source:
        found = recognise(source, Options())
    assert found is not None
    assert found.format.name == format_name
    assert str(found).startswith(f"{format_name}: ")


@pytest.mark.parametrize("name", sorted(CHAT_FORMATS))
def test_lines_of_a_format_are_recognised(name: str, tmp_path: Path) -> None:
    value = RECORDINGS.get(name, RECORDINGS.get(f"{name}, dicts"))
    assert value is not None
    path = tmp_path / "x"
    path.write_text("\n".join([json.dumps(value[1])] * 3 + ["{}"]))
    with open_source(str(path), "auto") as source:
        found = recognise(source, Options())
    assert str(found).endswith("in 3 of the first 4 items")


# --- openai-chat ----------------------------------------------------------------------------------------------------


def call(call_id: Any, tool: str, **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": tool, "arguments": "{}"}, **more}


def result(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **more}


def asks(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def test_the_nth_result_of_an_id_belongs_to_its_nth_call() -> None:
    both = [asks(call("x", "a"), call("x", "b")), result("1", tool_call_id="x"), result("2", tool_call_id="x")]
    later = [asks(call("x", "c")), result("3", tool_call_id="x")]
    assert calls_of(parsed("openai-chat", both + later)) == [
        ("tool.called", "a", "x"),
        ("tool.called", "b", "x#2"),
        ("tool.completed", "a", "x"),
        ("tool.completed", "b", "x#2"),
        ("tool.called", "c", "x#3"),
        ("tool.completed", "c", "x#3"),
    ]


@pytest.mark.parametrize("call_id", [None, "", "absent"])
def test_calls_without_an_id_are_answered_by_tool_and_by_order(call_id: str | None) -> None:
    made = [call(call_id, "a"), call(call_id, "b"), call(call_id, "a")]
    results = [result("b1", name="b"), result("a1"), result("a2", tool_name="a")]
    if call_id == "absent":
        for each in made:
            del each["id"]
    else:
        for each in results:
            each["tool_call_id"] = call_id
    assert calls_of(parsed("openai-chat", [asks(*made), *results])) == [
        ("tool.called", "a", "0-call-0"),
        ("tool.called", "b", "0-call-1"),
        ("tool.called", "a", "0-call-2"),
        ("tool.completed", "b", "0-call-1"),
        ("tool.completed", "a", "0-call-0"),
        ("tool.completed", "a", "0-call-2"),
    ]


def test_an_id_that_is_a_number_is_kept_as_it_was() -> None:
    conversation = parsed("openai-chat", [asks(call(7, "a")), result("1", tool_call_id=7)])
    called, returned = conversation.parts[1:]
    assert not isinstance(called, Envelope)
    assert not isinstance(returned, Envelope)
    assert (called.fields["call_id"], called.metadata, returned.metadata) == ("7", {"call_id": 7}, {"call_id": 7})


def test_a_window_may_begin_with_a_result() -> None:
    window = [result("x", tool_call_id="gone"), result("y", name="find"), {"role": "user", "content": "go on"}]
    assert told(parsed("openai-chat", window)) == [
        ("result", "unknown", "x"),
        ("result", "find", "y"),
        ("user", "go on"),
    ]


def test_one_result_may_be_that_of_several_calls() -> None:
    made = parsed("openai-chat", [asks(call("x", "a"), call("y", "b")), result("both", tool_call_ids=["x", "y"])])
    assert told(made)[-2:] == [("result", "a", "both"), ("result", "b", "both")]
    assert len({part.id for part in made.parts}) == len(made.parts)


def test_calls_of_2023_and_custom_tools_are_calls() -> None:
    made = parsed(
        "openai-chat",
        [
            {"role": "assistant", "content": None, "function_call": {"name": "a", "arguments": '{"x": 1}'}},
            {"role": "function", "name": "a", "content": "1"},
            asks({"id": "c", "type": "custom", "custom": {"name": "shell", "input": '{"not": "parsed"}'}}),
        ],
    )
    assert [each for each in told(made) if each[0] != "assistant"] == [
        ("call", "a", {"x": 1}),
        ("result", "a", "1"),
        ("call", "shell", '{"not": "parsed"}'),
    ]


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], 5, 0.5, True, None, "text", ""])
def test_a_result_may_be_any_value(content: Any) -> None:
    made = parsed("openai-chat", [asks(call("x", "a")), result(content, tool_call_id="x")])
    assert told(made)[-1] == ("result", "a", content)


FAILURES: list[tuple[dict[str, Any], bool]] = [
    ({"is_error": True}, True),
    ({"isError": True}, True),
    ({"status": "error"}, True),
    ({"status": "FAILED"}, True),
    ({"success": False}, True),
    ({"error": {"message": "no"}}, True),
    ({}, False),
    ({"is_error": False}, False),
    ({"is_error": "true"}, False),
    ({"status": "success"}, False),
    ({"status": "completed"}, False),
    ({"success": True}, False),
    ({"error": None}, False),
    ({"error": ""}, False),
]


@pytest.mark.parametrize(("fields", "failed"), FAILURES, ids=[json.dumps(fields) for fields, _ in FAILURES])
def test_a_call_failed_only_where_the_record_says_so(fields: dict[str, Any], failed: bool) -> None:
    """Its words say nothing; and the field that says so is kept."""
    made = parsed("openai-chat", [asks(call("x", "a")), result("Error: none found", tool_call_id="x", **fields)])
    last = made.parts[-1]
    assert not isinstance(last, Envelope)
    assert (last.kind is ToolFailed) is failed
    assert last.metadata == fields


def test_each_role_and_name_is_one_speaker() -> None:
    made = parsed(
        "openai-chat",
        [
            {"role": "user", "name": "alice", "content": "1"},
            {"role": "assistant", "name": "alice", "content": "2"},
            {"role": "assistant", "name": "bob", **{k: v for k, v in asks(call("x", "a")).items() if k != "role"}},
            result("3", tool_call_id="x"),
            {"role": "user", "name": "", "content": "4"},
        ],
    )
    assert list(map(str, made.speakers)) == ["user:alice", "assistant:alice", "assistant:bob", "user"]
    assert [str(part.speaker) for part in made.parts] == [
        "user:alice",
        "assistant:alice",
        "assistant:bob",
        "assistant:bob",
        "assistant:bob",
        "user",
    ]


def test_messages_may_be_below_other_keys() -> None:
    item = {"id": "r1", "body": {"model": "m", "messages": [{"role": "user", "content": "a"}]}, "body.x": 1}
    made = parsed("openai-chat", item, "body.messages")
    assert told(made) == [("user", "a")]
    assert made.kept == {"item.id": 1, "item.body": 1, "item.body.x": 1}
    literal = {"body.messages": [{"role": "user", "content": "b"}], "body": {"messages": []}}
    assert told(parsed("openai-chat", literal, "body.messages")) == [("user", "b")]
    with pytest.raises(BadItem, match=r"has no 'body\.talk'; name the key"):
        parsed("openai-chat", item, "body.talk")


def test_fields_of_an_item_are_labels_or_a_fact(tmp_path: Path) -> None:
    """Short ones are labels of the channel; all others are in one event."""
    file, store = tmp_path / "a.json", tmp_path / "s"
    item = {
        "messages": [{"role": "user", "content": "a"}],
        "model": "m-1",
        "reward": 0.5,
        "done": True,
        "info": {"x": [1]},
    }
    item |= {"long": "y" * 500, "format": "theirs", "none": None}
    file.write_text(json.dumps(item))
    do_import(file, store)
    (created,) = [each for each in records_of(store) if each["kind"] == "channel.created"]
    assert created["labels"] == {
        "model": "m-1",
        "reward": "0.5",
        "done": "true",
        "format": "openai-chat",
        "place": "item 1",
    }
    (fact,) = [each for each in parts_of(store) if each["kind"] == "conversation.imported"]
    assert fact["data"]["item"] == {"info": {"x": [1]}, "long": "y" * 500, "format": "theirs", "none": None}
    assert fact["channel_id"] == created["channel_id"]


# --- timestamps -----------------------------------------------------------------------------------------------------


MOMENTS: list[tuple[Any, str | None]] = [
    ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
    ("2026-01-02T03:04:05.123456789+02:00", "2026-01-02T01:04:05.123456Z"),
    (1767323045, "2026-01-02T03:04:05.000000Z"),
    (1767323045.25, "2026-01-02T03:04:05.250000Z"),
    (1767323045123, "2026-01-02T03:04:05.123000Z"),
    (1767323045123456789, "2026-01-02T03:04:05.123456Z"),
    ("1767323045", "2026-01-02T03:04:05.000000Z"),
    ("2026-01-02T03:04:05", None),  # it is not known where that was
    ("2026-01-02", None),
    ("yesterday", None),
    ("", None),
    (0, None),
    (12.5, None),
    (-1, None),
    (10**30, None),
    (float("nan"), None),
    (True, None),
    (None, None),
    ([1767323045], None),
    ("9" * 4000, None),
]


@pytest.mark.parametrize(("value", "moment"), MOMENTS, ids=[repr(value)[:40] for value, _ in MOMENTS])
def test_moments_are_read_where_they_are_moments(value: Any, moment: str | None) -> None:
    assert moment_of(value) == moment


def test_timestamps_become_the_time_of_the_event(tmp_path: Path) -> None:
    """What the event cannot hold as it was is kept as it was, too."""
    file, store = tmp_path / "a.json", tmp_path / "s"
    exact = "2026-01-02T03:04:05.000006Z"
    messages = [
        {"role": "user", "content": "a", "timestamp": exact},
        {"role": "assistant", "content": "b", "created_at": 1767323045},
        {"role": "user", "content": "c", "timestamp": "long ago"},
    ]
    file.write_text(json.dumps({"messages": messages, "created": 1767323000}))
    do_import(file, store)
    first, second, third = parts_of(store)
    assert (first["occurred_at"], first["content"]) == (exact, {"text": "a"})
    assert second["occurred_at"] == "2026-01-02T03:04:05.000000Z"
    assert second["content"] == {"text": "b", "more": {"created_at": 1767323045}}
    assert ("occurred_at" in third, third["content"]) == (False, {"text": "c", "more": {"timestamp": "long ago"}})
    (created,) = [each for each in records_of(store) if each["kind"] == "channel.created"]
    assert (created["occurred_at"], created["labels"]["created"]) == ("2026-01-02T03:03:20.000000Z", "1767323000")


# --- the others -----------------------------------------------------------------------------------------------------


def test_openai_responses_are_read_item_by_item() -> None:
    made = parsed(*RECORDINGS["openai-responses"])
    assert [each for each in told(made) if each[0] != "assistant"] == [
        ("system", "be brief, please"),
        ("user", "what is new?"),
        ("call", "web_search", {"query": "news today"}),
        ("result", "web_search", None),
        ("call", "lookup", {"k": "value-2"}),
        ("result", "lookup", "the output"),
        ("call", "grep", "needle"),
        ("result", "grep", [{"type": "input_text", "text": "hay"}]),
        ("call", "remote", {}),
        ("failure", "remote", "refused there"),
    ]


def test_a_call_that_is_under_way_has_no_result() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "in_progress"}
    assert told(parsed("openai-responses", [item])) == [("call", "web_search", None)]


def test_anthropic_blocks_are_said_called_and_returned() -> None:
    made = parsed(*RECORDINGS["anthropic"])
    assert [each for each in told(made) if not isinstance(each[1], list)] == [
        ("user", "list the files"),
        ("call", "bash", {"command": "ls -la"}),
        ("call", "bash", {"command": "pwd"}),
        ("call", "web_search", {"query": "files"}),
        (
            "failure",
            "web_search",
            '{"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}',
        ),
        ("result", "bash", [{"type": "text", "text": "a.txt"}]),
        ("failure", "bash", "no such tool"),
        ("user", "thank you"),
        ("assistant", "You have one."),
    ]


def test_blocks_tell_their_places_where_the_order_would_be_lost() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "1", "name": "f", "input": {}}]
    in_order = parsed("anthropic", {"system": "s", "messages": [{"role": "assistant", "content": blocks}]})
    assert in_order.kept == {}
    mixed = parsed("anthropic", {"system": "s", "messages": [{"role": "assistant", "content": [*blocks, *blocks]}]})
    assert [part.metadata for part in mixed.parts if not isinstance(part, Envelope)] == [
        {"block": 1},
        {"block": 3, "call_id": "1"},
    ]


def test_gemini_is_read_in_either_spelling() -> None:
    def snake(value: Any) -> Any:
        names = {"systemInstruction": "system_instruction", "functionCall": "function_call"}
        names |= {"functionResponse": "function_response"}
        if isinstance(value, dict):
            return {names.get(key, key): snake(inner) for key, inner in value.items()}
        return [snake(each) for each in value] if isinstance(value, list) else value

    value = RECORDINGS["gemini"][1]
    expected = [
        ("system", "answer shortly"),
        ("user", [{"text": "turn it on"}, {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}]),
        ("call", "light", {"room": "kitchen"}),
        ("failure", "light", '{"error": "no power"}'),
        ("assistant", "It failed."),
    ]
    assert told(parsed("gemini", value)) == told(parsed("gemini", snake(value))) == expected


def test_langchain_is_read_from_dumps_and_dicts() -> None:
    assert told(parsed(*RECORDINGS["langchain, dumps"])) == [
        ("system", "be useful"),
        ("user:alice", "hello there"),
        ("assistant", "let me see"),
        ("call", "search", {"query": "cats"}),
        ("call", "broken", "{half"),
        ("failure", "search", "no cats"),
        ("result", "older", "legacy result"),
        ("chat:critic", "I disagree"),
        ("system", ""),
    ]
    assert told(parsed(*RECORDINGS["langchain, dicts"])) == [
        ("user", "hello again"),
        ("assistant", ""),
        ("call", "older", {"a": "argument"}),
        ("assistant", "streamed"),
    ]


def test_sharegpt_is_read_with_its_calls() -> None:
    assert told(parsed(*RECORDINGS["sharegpt"])) == [
        ("system", "you are a guide"),
        ("user", "where is it?"),
        ("call", "maps", {"place": "Bergen"}),
        ("result", "maps", '{"lat": 60.39}'),
        ("assistant", "up there"),
        ("assistant", "indeed"),
        ("call", "unknown", "call it somehow"),
    ]


def test_spans_become_models_tools_and_turns(tmp_path: Path) -> None:
    file, store = tmp_path / "spans.json", tmp_path / "s"
    file.write_text(json.dumps(RECORDINGS["otlp"][1]))
    do_import(file, store)
    called, completed, tool, failed, started, ended, other = parts_of(store)
    assert (called["kind"], called["model"], called["session_id"]) == ("model.called", "gpt-4o", "conversation-5")
    assert called["traceparent"] == "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01"
    assert called["request"] == {"messages": [{"role": "user", "parts": ["hello"]}]}
    assert (called["occurred_at"], completed["occurred_at"]) == (
        "2025-12-29T09:20:00.123456Z",
        "2025-12-29T09:20:01.123456Z",
    )
    numbers = (completed["input_tokens"], completed["output_tokens"], completed["duration_ms"])
    assert (completed["kind"], numbers) == ("model.completed", (1234, 5678, 1000.0))
    assert (tool["kind"], tool["tool"], tool["call_id"]) == ("tool.called", "search", "call-99")
    assert tool["arguments"] == {"query": "trains"}
    assert (failed["kind"], failed["error_type"], failed["error_message"]) == (
        "tool.failed",
        "TimeoutError",
        "took too long",
    )
    assert (started["kind"], ended["kind"], other["kind"]) == ("turn.started", "turn.ended", "span.recorded")
    assert called["metadata"]["around"]["scope"] == {"name": "genai-instrumentation", "version": "1.2.3"}


def test_other_signals_of_opentelemetry_are_refused_by_name() -> None:
    with pytest.raises(BadItem, match="has resourceLogs beside its spans, which cannot be imported"):
        parse(FORMATS["otlp"], Item(0, "line 1", b'{"resourceSpans": [], "resourceLogs": []}'))
    with pytest.raises(BadItem, match="has no 'resourceSpans'"):
        parse(FORMATS["otlp"], Item(0, "line 1", b'{"resourceMetrics": []}'))


def test_a_turn_that_failed_in_ag2_is_one_here() -> None:
    (part,) = parsed("ag2-audit", AG2_AUDIT).parts
    assert not isinstance(part, Envelope)
    assert part.kind is TurnFailed
    assert part.fields == {
        "agent_id": "0000017d6a",
        "channel_id": "0000017d6b",
        "envelope_id": "0000017d6c",
        "error_type": "ValueError",
        "error_message": "no such model",
    }


def test_a_response_without_tokens_has_none() -> None:
    span = {"spanId": "1", "startTimeUnixNano": 1, "endTimeUnixNano": "1767000001123456789"}
    attributes = [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}}]
    value = {"resourceSpans": [{"scopeSpans": [{"spans": [{**span, "attributes": attributes}]}]}]}
    _, ended = parsed("otlp", value).parts
    assert not isinstance(ended, Envelope)
    assert (ended.kind, ended.fields["input_tokens"]) == (ModelCompleted, None)


@pytest.mark.parametrize("odd", [[], {}, 5, None, True, [1]], ids=repr)
@pytest.mark.parametrize("name", RECORDINGS)
def test_odd_values_are_refused_with_words_in_every_place(name: str, odd: Any) -> None:
    """Each value of a recording in turn becomes one that nothing can look up, or count, or cut."""
    format_name, value = RECORDINGS[name]
    for number in range(sum(1 for _ in places_of(value))):
        copy = json.loads(json.dumps(value))
        holder, key = list(places_of(copy))[number]
        holder[key] = odd
        raw = json.dumps(copy).encode()
        for each in FORMATS.values():
            each.recognises(copy, Options())
        with contextlib.suppress(BadItem):
            parse(FORMATS[format_name], Item(0, "item 1", raw))


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from places_of(inner)


# --- and how long it takes ------------------------------------------------------------------------------------------


def long_talk(turns: int) -> list[dict[str, Any]]:
    """Return messages with calls of every way to be paired; some calls have no result."""
    made: list[dict[str, Any]] = []
    for _ in range(turns):
        made += [{"role": "user", "content": "go"}, asks(call("same", "a"), call(None, "b"), call(None, "c"))]
        made += [result("1", tool_call_id="same"), result("2")]
    return made


def test_twice_the_messages_are_twice_the_work() -> None:
    """Lines of code are counted, so that a busy machine does not matter."""

    def work(turns: int) -> int:
        count = 0

        def counts(_: Any, __: str, ___: Any) -> Any:
            nonlocal count
            count += 1
            return counts

        raw = json.dumps(long_talk(turns)).encode()
        before = sys.gettrace()
        sys.settrace(counts)
        try:
            parse(FORMATS["openai-chat"], Item(0, "item 1", raw))
        finally:
            sys.settrace(before)
        return count

    assert work(400) <= 2.1 * work(200)
