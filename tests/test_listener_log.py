"""StructLog: one line an event, whatever is in it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from hypothesis import given, strategies as st

from hubwire import Event, GenericEvent, Hub, codec, event
from hubwire.errors import ConfigurationError, PartialBatch
from hubwire.events import ToolCompleted, ToolFailed, canonical
from hubwire.listeners import StructLog
from hubwire.ports import HubListener
from hubwire.testing import HubListenerContract


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        def log(event: str, **keys: Any) -> None:
            self.lines.append((level, event, keys))

        return log


class TestContract(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return StructLog(Lines())


@event("log_test.spoken")
class Spoken(Event):
    exc_info: Any = None
    event: Any = None
    level: Any = None
    words: Any = None


async def logged(event: Event, **settings: Any) -> tuple[str, str, dict[str, Any]]:
    lines = Lines()
    await StructLog(lines, **settings).on_events([event])
    (line,) = lines.lines
    return line


async def test_an_event_becomes_name_and_keys() -> None:
    """Its kind is the name; header and own fields are keys."""
    called = ToolCompleted(
        tool="search", call_id="1", result={"hits": (1, 2)}, seq=7, id="i", at="t", hub="h", agent_id="a"
    )
    level, name, keys = await logged(called)
    assert (level, name) == ("info", "tool.completed")
    assert keys == {
        "seq": 7,
        "id": "i",
        "at": "t",
        "hub": "h",
        "agent_id": "a",
        "tool": "search",
        "call_id": "1",
        "result": {"hits": [1, 2]},
        "duration_ms": None,
    }


async def test_undeclared_fields_are_data() -> None:
    """These are the fields of generic and of unknown events."""
    _, _, keys = await logged(GenericEvent(kind="user.login", data={"via": "web", "seq": 5}))
    assert keys["data"] == {"via": "web", "seq": 5}
    assert keys["seq"] == -1
    odd = codec.decode(b'{"at":"t","hub":"h","id":"x","kind":"odd.happened","seq":3,"x":[1]}')
    _, name, keys = await logged(odd)
    assert (name, keys["seq"], keys["data"]) == ("odd.happened", 3, {"x": [1]})


@pytest.mark.parametrize(
    ("level", "fields"),
    [
        ("info", {"kind": "tool.named"}),
        ("warning", {"kind": "tool.failed_badly.failed"}),
        ("error", {"kind": "job.failed", "severity": "error"}),
        ("info", {"kind": "job.failed", "severity": "info"}),
        ("warning", {"kind": "job.done", "outcome": "failure"}),
        ("warning", {"kind": "job.done", "outcome": "denied"}),
        ("info", {"kind": "job.done", "outcome": "success"}),
        ("error", {"kind": "error.raised"}),
        ("warning", {"kind": "mailbox.overflowed"}),
        ("info", {"kind": "job.done", "severity": "setattr"}),
    ],
)
async def test_the_level_follows_severity_outcome_and_kind(level: str, fields: dict[str, Any]) -> None:
    assert (await logged(GenericEvent(**fields)))[0] == level


async def test_lower_levels_are_not_logged() -> None:
    lines = Lines()
    log = StructLog(lines, level="warning")
    await log.on_events([GenericEvent(kind="job.done"), ToolFailed(tool="t", call_id="1")])
    assert [name for _, name, _ in lines.lines] == ["tool.failed"]
    with pytest.raises(ConfigurationError, match="debug, info"):
        StructLog(level="loud")


async def test_a_payload_cannot_set_keys_of_structlog() -> None:
    _, name, keys = await logged(Spoken(exc_info=True, event="forged", level="critical", words=1))
    assert name == "log_test.spoken"
    assert keys["data"] == {"exc_info": True, "event": "forged", "level": "critical"}
    assert keys["words"] == 1


EVIL = "\x1b[2J\r\nINFO forged\x00\x9b\u2028\u202e\x7f"


@pytest.mark.parametrize(
    "renderer", [structlog.dev.ConsoleRenderer(colors=False), structlog.processors.JSONRenderer(ensure_ascii=False)]
)
async def test_an_event_is_one_printable_line(renderer: Any) -> None:
    out = io.StringIO()
    logger = structlog.wrap_logger(structlog.PrintLogger(out), processors=[renderer])
    # ConsoleRenderer escapes a text that has a space or a quote in it, and no other.
    evil = GenericEvent(
        kind="user.said",
        agent_id=EVIL,
        actor="\x1b[2J\u202eforged",
        data={EVIL: [EVIL, {"deep": EVIL}]},
        metadata={"m": EVIL},
    )
    await StructLog(logger).on_events([evil])
    line = out.getvalue().removesuffix("\n")
    assert line.isprintable()
    assert "forged" in line


async def test_harmless_text_stays_as_it_is() -> None:
    _, _, keys = await logged(GenericEvent(kind="user.said", data={"text": "Grüße, 世界 👍 'quoted' \\ back"}))
    assert keys["data"] == {"text": "Grüße, 世界 👍 'quoted' \\ back"}


async def test_a_large_payload_is_cut() -> None:
    data = canonical({"text": "x" * 5000, "many": list(range(10_000)), "wide": {str(n): n for n in range(10_000)}})
    _, _, keys = await logged(GenericEvent(kind="user.said", data=data))
    assert len(json.dumps(keys)) < 20_000
    assert keys["data"]["text"].endswith("… 4000 more")
    assert keys["data"]["many"][-1].endswith("more")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@pytest.mark.slow
@given(data=st.dictionaries(st.text(st.characters()), VALUES), text=st.text(st.characters()))
async def test_any_payload_can_be_logged(data: dict[str, Any], text: str) -> None:
    lines = Lines()
    payload = canonical(data)
    generic = GenericEvent(kind="user.said", data=payload, metadata=payload, agent_id=text, severity=text, outcome=text)
    await StructLog(lines, level="debug").on_events([generic, Spoken(words=payload, level=payload)])
    assert len(lines.lines) == 2
    assert "\\n" not in json.dumps([keys for _, _, keys in lines.lines]).replace("\\\\", "")


async def test_a_failing_logger_is_a_failed_listener() -> None:
    """No line comes twice."""

    class Full(Lines):
        def warning(self, event: str, **keys: Any) -> None:
            raise OSError("disk full")

    full = Full()
    events = [GenericEvent(kind="job.done"), GenericEvent(kind="job.failed"), GenericEvent(kind="job.ended")]
    with pytest.raises(PartialBatch) as failure:
        await StructLog(full).on_events(events)
    assert failure.value.handled == 1
    assert isinstance(failure.value.__cause__, OSError)
    full.lines.clear()
    async with Hub() as hub:
        attachment = hub.attach(StructLog(full), pattern="job.*")
        for each in events:
            hub.emit_nowait(each)
        await hub.flush()
        assert [name for _, name, _ in full.lines] == ["job.done", "job.ended"]
        assert attachment.statistics().failed == 1


async def test_the_default_logger_is_structlogs() -> None:
    with structlog.testing.capture_logs() as captured:
        await StructLog().on_events([GenericEvent(kind="job.done", seq=3)])
    assert captured[0]["event"] == "job.done"
    assert captured[0]["log_level"] == "info"
    assert captured[0]["seq"] == 3
