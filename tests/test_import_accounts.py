"""Every byte of an input is mapped, kept or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from hubwire.cli.importing.conversation import BadItem, Conversation, Envelope
from hubwire.cli.importing.format import Options
from hubwire.cli.importing.formats import FORMATS, parse
from hubwire.cli.importing.reading import Item
from support.recordings import CHAT_FORMATS, FACT_FORMATS, RECORDINGS

LEAST = 4
"""Shorter texts may be anywhere by chance."""


def parsed(name: str, value: Any) -> list[Conversation]:
    return parse(FORMATS[name], Item(0, "item 1", json.dumps(value).encode()), Options())


def leaves(value: Any) -> Iterator[str]:
    """Iterate over every text and number of a value, and over the keys that formats do not know."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.startswith("extra"):
                yield key
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)


def what_became_of(conversations: list[Conversation]) -> str:
    """Return all that events would hold, as one text."""
    said: list[Any] = []
    for each in conversations:
        said += [each.labels, each.occurred_at, [str(speaker) for speaker in each.speakers]]
        for part in each.parts:
            said.append(part.occurred_at)
            said += [part.content] if isinstance(part, Envelope) else [part.fields, part.metadata, part.kind.__name__]
    return flat(said)


def flat(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}\n{flat(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(map(flat, value))
    return value if isinstance(value, str) else json.dumps(value, default=str)


MAPPED = {
    # What a format says by its words, an event says by its kind, its fields, or its speaker by its role.
    *(
        "text",
        "input_text",
        "output_text",
        "tool_use",
        "tool_result",
        "tool_call",
        "tool_calls",
        "function",
        "function_call",
        "function_call_output",
    ),
    *("custom_tool_call", "custom_tool_call_output", "message", "custom", "tool", "model", "human", "ai", "gpt"),
    *("observation", "constructor", "langchain", "schema", "messages", "user", "assistant"),
    *("HumanMessage", "AIMessage", "SystemMessage", "ToolMessage", "FunctionMessage", "ChatMessage", "RemoveMessage"),
    *("agent_registered", "channel_created", "channel_closed", "turn_failed", "task_terminated", "remove", "chat"),
}


def is_accounted_for(leaf: str, text: str) -> bool:
    if leaf in MAPPED or len(leaf) < LEAST or leaf in text or leaf.startswith("gen_ai."):
        return True
    # A text that is JSON is an object in the event: what is in it has to be there.
    try:
        inner = json.loads(leaf)
    except ValueError:
        return False
    return isinstance(inner, dict | list) and all(is_accounted_for(each, text) for each in leaves(inner))


@pytest.mark.parametrize("name", RECORDINGS)
def test_all_that_a_recording_holds_is_in_the_events(name: str) -> None:
    format_name, value = RECORDINGS[name]
    text = what_became_of(parsed(format_name, value))
    assert [leaf for leaf in leaves(value) if not is_accounted_for(leaf, text)] == []


def imported_or_refused(format_name: str, value: Any) -> tuple[str, bool]:
    """Return what events would hold, or what a refusal says, and which of them it is."""
    try:
        return what_became_of(parsed(format_name, value)), False
    except BadItem as refused:
        return str(refused), True


def objects_of(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key != "names":  # made by the source of a store of AG2, from files that are items of their own
                yield from objects_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects_of(inner)


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_is_added_anywhere_is_kept_or_refused_by_name(name: str) -> None:
    """A key that no format knows, in any object of a recording, is in the events, or the item is refused."""
    format_name, value = RECORDINGS[name]
    for number in range(len(list(objects_of(value)))):
        copy = json.loads(json.dumps(value))
        target = list(objects_of(copy))[number]
        target[f"extra{number}"] = {"deep": [f"sentinel-{number}", 10_000 + number]}
        text, is_refused = imported_or_refused(format_name, copy)
        assert f"extra{number}" in text, (number, target)
        assert is_refused or f"sentinel-{number}" in text, (number, target)


WORDS = st.text("abcdefghij é—", min_size=LEAST, max_size=12).map(lambda text: f"{text}-{len(text)}")
EXTRAS = st.dictionaries(
    WORDS.map(lambda key: f"extra {key}"), st.one_of(WORDS, st.lists(WORDS, max_size=3)), max_size=3
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(RECORDINGS)), st.lists(EXTRAS, min_size=30, max_size=30))
def test_random_additions_are_kept_or_refused(name: str, extras: list[dict[str, Any]]) -> None:
    format_name, value = RECORDINGS[name]
    copy = json.loads(json.dumps(value))
    for target, extra in zip(list(objects_of(copy)), extras, strict=False):
        target.update(extra)
    text, is_refused = imported_or_refused(format_name, copy)
    if is_refused:
        assert "extra" in text
    else:
        assert [leaf for leaf in leaves(copy) if not is_accounted_for(leaf, text)] == []


def test_what_is_kept_is_counted_by_name() -> None:
    value = [
        {"role": "user", "content": "a", "mood": 1},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f"}, "index": 0}], "mood": 2},
        {"role": "tool", "content": "b", "artifact": 3},
    ]
    (conversation,) = parsed("openai-chat", {"messages": value, "reward": 1, "info": {}})
    assert conversation.kept == {
        "message.mood": 2,
        "call.index": 1,
        "result.artifact": 1,
        "item.reward": 1,
        "item.info": 1,
    }


def test_the_recordings_cover_every_format() -> None:
    assert {name for name, _ in RECORDINGS.values()} == set(FORMATS) == CHAT_FORMATS | FACT_FORMATS
