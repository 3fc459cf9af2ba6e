"""What one line of ``hubwire tail`` says of a record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubwire import Event
from hubwire.cli.pretty import Pretty
from hubwire.codec import encode
from hubwire.events import EnvelopePosted, TaskStarted, TurnStarted
from hubwire.redaction import RedactionRule, Redactor


def line_of(event: Event, **names: str) -> str:
    """Return what stands behind time and number."""
    pretty = Pretty()
    for agent_id, name in names.items():
        pretty.line({"kind": "agent.registered", "agent_id": agent_id, "name": name})
    fields: dict[str, Any] = json.loads(encode(event))
    return pretty.line(fields).strip()


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        pytest.param({"topic": "sport.news"}, "on sport.news: goal", id="a topic"),
        pytest.param({"topic": "sport.news", "audience": ("a",)}, "on sport.news → ann: goal", id="a reply on a topic"),
        pytest.param({"audience": ("a",)}, "→ ann: goal", id="an audience"),
        pytest.param({}, "envelope.posted    goal", id="an answer"),
    ],
)
def test_a_post_says_where_it_goes(to: dict[str, Any], wanted: str) -> None:
    posted = EnvelopePosted(envelope_id="e", content="goal", recipients=("a",), **to)
    assert line_of(posted, a="ann").endswith(wanted)


def _raises(text: str) -> list[tuple[int, int]]:
    raise LookupError(text)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(EnvelopePosted(envelope_id="e", content="a secret", recipients=("a",)), id="a post"),
        pytest.param(TurnStarted(turn_id="t", prompt="a secret"), id="a turn"),
    ],
)
def test_a_withheld_event_says_so(event: Event) -> None:
    redactor = Redactor(rules=[RedactionRule("own", find=_raises)])
    line = line_of(redactor.redact_event(event))
    assert line.endswith("withheld: it could not be redacted (LookupError)")


def test_the_stamp_of_redaction_is_left_out() -> None:
    redacted = Redactor().redact_event(TurnStarted(turn_id="t", prompt="to jane@example.com"))
    assert redacted.metadata is not None
    assert "metadata" not in line_of(redacted)
    assert "[redacted:email]" in line_of(redacted)
    told = TaskStarted(task_id="t", owner_id="a", title="to jane@example.com", metadata={"a": 1})
    assert '"a":1' in line_of(Redactor().redact_event(told))
