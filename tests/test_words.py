"""The words for an event: the same wherever people read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from hubwire.board import Board
from hubwire.events import GenericEvent, evolve
from hubwire.words import Names, meaning_of, outcome_of, took_ms_of, without_contents, words_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KINDS = (
    *("agent.registered", "channel.created", "envelope.posted", "envelope.rejected", "tool.called", "tool.completed"),
    *("tool.failed", "turn.committed", "hub.stopped", "note.made", ""),
)
FIELDS = (
    *("content", "audience", "topic", "arguments", "tool", "result", "error_message", "capabilities", "participants"),
    *(
        "heads",
        "events",
        "reason",
        "data",
        "metadata",
        "agent_id",
        "channel_id",
        "name",
        "severity",
        "outcome",
        "duration_ms",
    ),
)


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8))
def test_no_field_makes_words_fail(kind: str, more: dict[str, Any]) -> None:
    """What strangers have written may be of any type: it is one line of at most 200 characters, and JSON."""
    for fields in ({**more, "kind": kind}, without_contents({**more, "kind": kind})):
        names = Names()
        names.learn(fields)
        words = words_of(fields, names)
        assert len(words) <= 200
        assert words.isprintable()
        assert meaning_of(fields) in (None, "wrong", "attention")
        outcome_of(fields)
        took_ms_of(fields)
        json.dumps(fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "tool.called", "tool": "read", "arguments": {"path": "a"}}, "read(path=a)"),
        ({"kind": "tool.completed", "tool": "read", "result": {"n": 1}}, 'read → {"n":1}'),
        ({"kind": "tool.failed", "tool": "read", "error_message": "no\x1b[1m"}, "read ✗ no\\x1b[1m"),
        ({"kind": "envelope.posted", "content": {"text": "hi"}, "audience": ["a"]}, "→ ann: hi"),
        ({"kind": "note.made", "data": {"text": "\u202ex"}}, "text=\\u202ex"),
    ],
)
def test_words_say_what_it_is_about(fields: dict[str, Any], words: str) -> None:
    names = Names()
    names.learn({"kind": "agent.registered", "agent_id": "a", "name": "ann"})
    assert words_of(fields, names) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "tool.called", "tool": "read", "arguments": {"path": "a"}}, "read(1 entry)"),
        ({"kind": "tool.completed", "tool": "read", "result": "secret"}, "read → 6 characters"),
        ({"kind": "envelope.posted", "content": {"text": "hi", "x": 1}, "audience": ["a"]}, "→ a: 2 characters"),
        ({"kind": "note.made", "data": {"text": "secret"}}, "6 characters"),
    ],
)
def test_without_contents_names_and_sizes_are_left(fields: dict[str, Any], words: str) -> None:
    assert words_of(without_contents(fields), Names()) == words


@pytest.mark.parametrize(
    ("kind", "more", "outcome", "meaning"),
    [
        ("tool.called", {}, "open", None),
        ("tool.completed", {}, "ok", None),
        ("tool.failed", {}, "failed", "wrong"),
        ("envelope.rejected", {}, "refused", "attention"),
        ("approval.denied", {}, "denied", "attention"),
        ("task.expired", {}, "expired", "attention"),
        ("turn.abandoned", {}, "abandoned", "attention"),
        ("note.made", {}, None, None),
        ("note.made", {"outcome": "failure"}, "failed", "wrong"),
        ("note.made", {"severity": "warning"}, None, "attention"),
    ],
)
def test_an_event_looks_as_on_boards(kind: str, more: dict[str, Any], outcome: str | None, meaning: str | None) -> None:
    fields = {"kind": kind, **more}
    assert (outcome_of(fields), meaning_of(fields)) == (outcome, meaning)
    board = Board()
    event = GenericEvent(kind=kind, data={}, **more)
    board.fold(evolve(event, seq=0, id="i", hub="h", at="2026-01-01T00:00:00.000000Z"))
    hub = board.hub()
    assert (hub.wrong, hub.attention) == (meaning == "wrong", meaning == "attention")


def test_a_name_that_was_not_seen_is_looked_up() -> None:
    asked: list[str] = []

    def look_up(agent_id: str) -> str:
        asked.append(agent_id)
        return "ann" if agent_id == "a" else ""

    names = Names(look_up)
    assert [names.agent("a"), names.agent("a"), names.agent("b")] == ["ann", "ann", "b"]
    assert asked == ["a", "b"]


def test_the_end_of_a_hub_says_how_long_its_logs_are() -> None:
    """Their heads are for programs."""
    names = Names()
    heads = {"AuditLog": "1204:5f1c", "EU desk": "1:00ab"}
    assert words_of({"kind": "hub.stopped", "heads": heads}, names) == "AuditLog: 1,204 records, EU desk: 1 record"
    for none in ({}, None, "1 entry", {"AuditLog": None, "x": "9", "y": "٣:1", "z": f"{'9' * 5000}:1"}):
        assert words_of({"kind": "hub.stopped", "heads": none}, names) == ""
