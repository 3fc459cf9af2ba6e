"""CloudEvents: what we write is read by the package of that project, and what that writes is read by us."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, strategies as st

from hubwire import Event, GenericEvent, Hub, UnknownEvent, codec
from hubwire.cloudevents import CONTENT_TYPE, encode, from_cloudevent, to_cloudevent
from hubwire.errors import CallerError, ConfigurationError, EventTooLarge, InvalidRecord
from hubwire.events import AgentRegistered, ToolCompleted, evolve
from hubwire.listeners.audit import AuditLog
from hubwire.stores import MemoryStore
from support.odd import ODD
from support.payloads import EvilMapping, stamped
from support.shapes import Shaped, an_event_of, shipped_kinds

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


def read_by_their_package(body: bytes) -> BaseCloudEvent:
    read = JSONFormat().read(None, body)
    assert JSONFormat.CONTENT_TYPE == CONTENT_TYPE
    return read


def check_attributes(message: Mapping[str, Any]) -> None:
    """See that names and values are what the specification allows; their package does not look at all of it."""
    for name, value in message.items():
        if name == "data":
            continue
        assert re.fullmatch("[a-z0-9]{1,20}", name)
        assert type(value) in (str, int)
        if type(value) is str:
            assert value
            assert not any(ord(each) < 32 or 127 <= ord(each) < 160 or 0xD800 <= ord(each) < 0xE000 for each in value)
            assert not any(0xFDD0 <= ord(each) <= 0xFDEF or ord(each) & 0xFFFE == 0xFFFE for each in value)
        else:
            assert -(2**31) <= value < 2**31


def test_an_event_has_the_attributes_that_are_promised() -> None:
    made = stamped(
        ToolCompleted(tool="t", call_id="c", result={"a": [1]}, agent_id="agent", channel_id="chan", traceparent=TRACE)
    )
    assert to_cloudevent(evolve(made, severity="warning", metadata={"k": "é"})) == {
        "specversion": "1.0",
        "id": "an id",
        "source": "urn:hubwire:hub:a%20hub",
        "type": "tool.completed",
        "subject": "agent",
        "time": "2026-11-21T09:30:00.000001Z",
        "sequence": "00000000000000000007",
        "channelid": "chan",
        "traceparent": TRACE,
        "severitytext": "warning",
        "hubid": "a hub",
        "partitionkey": "chan",
        "hubheader": '{"metadata":{"k":"\\u00e9"}}',
        "datacontenttype": "application/json",
        "data": {"tool": "t", "call_id": "c", "result": {"a": [1]}, "duration_ms": None},
    }
    assert to_cloudevent(made, source="https://example.com/hub")["source"] == "https://example.com/hub"


@pytest.mark.parametrize("header", [False, True], ids=["bare", "full"])
@pytest.mark.parametrize("cls", [*shipped_kinds(), Shaped], ids=lambda cls: cls.__name__)
def test_every_kind_comes_back_equal(cls: type[Event], header: bool) -> None:
    made = stamped(an_event_of(cls, header=header))
    check_attributes(to_cloudevent(made))
    body = encode(made)
    theirs = read_by_their_package(body)
    assert (theirs.get_id(), theirs.get_type()) == (made.id, made.kind)
    assert theirs.get_time() == datetime.fromisoformat(made.at)
    for back in (from_cloudevent(body), from_cloudevent(JSONFormat().write(theirs)), from_cloudevent(body.decode())):
        assert type(back) is cls
        assert back == made


def test_a_generic_event_comes_back_equal() -> None:
    for data in ({}, {"data": {"data": 1}}, {"id": 1, "seq": "x", "kind": None, "h": 1}, {"n": 2**60, "f": math.nan}):
        made = stamped(GenericEvent(kind="user.met", data=data, metadata={"m": [1]}))
        read_by_their_package(encode(made))
        assert from_cloudevent(encode(made)) == made


def test_fields_of_a_newer_version_come_back() -> None:
    """A kind of a command with another field is not taken for a generic event."""
    fields = codec.decode_fields(codec.encode(stamped(an_event_of(AgentRegistered, header=False))))
    newer = codec.decode(codec.encode_fields({**fields, "shoe_size": 44}))
    assert type(newer) is UnknownEvent
    assert from_cloudevent(encode(newer)) == newer


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=8)


@given(texts=st.fixed_dictionaries(dict.fromkeys(("tenant", "actor", "agent_id", "source", "session_id"), TEXTS)))
def test_texts_that_no_attribute_may_hold_come_back(texts: dict[str, str]) -> None:
    made = stamped(GenericEvent(kind="user.met", data={}, **texts))  # type: ignore[arg-type]
    check_attributes(to_cloudevent(made))
    read_by_their_package(encode(made))
    assert from_cloudevent(encode(made)) == made


@given(
    record=st.dictionaries(
        st.sampled_from(
            ("kind", "id", "at", "seq", "hub", "agent_id", "depth", "data", "metadata", "d", "h", "c", "x")
        ),
        st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=2),
    )
)
def test_any_record_is_a_message_that_is_valid(record: dict[str, Any]) -> None:
    message = to_cloudevent(record)
    check_attributes(message)
    assert encode(record) == encode(dict(reversed(list(record.items()))))
    assert read_by_their_package(encode(record)).get_id() == message["id"]
    try:
        from_cloudevent(message)
    except InvalidRecord:
        pytest.fail("what we have written, we read")


async def test_records_of_an_audit_log_are_messages() -> None:
    store = MemoryStore()
    async with AuditLog(store) as log:
        await log.append({"kind": "door.opened", "door": 7, "when": datetime(2026, 1, 1, tzinfo=UTC)})
    lines = [json.loads(line) for line in _lines(await store.read("/audit/log/00000000000000000000.jsonl"))]
    (record,) = [line for line in lines if line["kind"] == "door.opened"]
    message = to_cloudevent(record)
    assert message["hash"] == record["h"]
    assert message["data"] == {"door": 7, "when": "2026-01-01T00:00:00.000000Z"}
    assert (message["type"], message["source"]) == ("door.opened", "urn:hubwire:record")
    assert re.fullmatch("[0-9a-f]{32}", message["id"])
    assert to_cloudevent(record) == message
    read_by_their_package(encode(record))


def _lines(content: Any) -> list[str]:
    text = content if isinstance(content, str) else bytes(content).decode()
    return [line for line in text.split("\n") if line]


async def test_a_message_of_another_system_can_be_emitted() -> None:
    theirs = CloudEvent(
        {
            "id": "A234-1234-1234",
            "source": "https://github.com/cloudevents",
            "type": "com.github.pull_request.opened",
            "subject": "123",
            "time": datetime(2018, 4, 5, 17, 31, tzinfo=UTC),
            "traceparent": TRACE,
            "comexampleextension1": "value",
            "comexampleothervalue": 5,
        },
        {"number": 2**60, "id": 3},
    )
    event = from_cloudevent(JSONFormat().write(theirs))
    assert event == GenericEvent(
        kind="com.github.pull_request.opened",
        data={"id": 3, "number": {"$int": str(2**60)}},
        source="https://github.com/cloudevents",
        source_id="A234-1234-1234",
        occurred_at="2018-04-05T17:31:00Z",
        traceparent=TRACE,
        metadata={"cloudevent": {"subject": "123", "comexampleextension1": "value", "comexampleothervalue": 5}},
    )
    async with Hub() as hub:
        emitted = await hub.emit(event)
    assert from_cloudevent(encode(emitted)) == emitted


def test_a_type_that_is_no_kind_gets_one() -> None:
    message = {"specversion": "1.0", "id": "1", "source": "/s", "type": "Microsoft.Storage.BlobCreated", "data": [1]}
    event = from_cloudevent(message, kind="blob.created")
    assert event == GenericEvent(
        kind="blob.created",
        data={"data": (1,)},
        source="/s",
        source_id="1",
        metadata={"cloudevent": {"type": "Microsoft.Storage.BlobCreated"}},
    )
    with pytest.raises(ConfigurationError, match="'Blob' is not a kind of event"):
        from_cloudevent(message, kind="Blob")


def test_binary_data_is_kept_as_events_keep_bytes() -> None:
    theirs = CloudEvent({"id": "1", "source": "/s", "type": "a.b", "datacontenttype": "image/png"}, b"\x89PNG")
    event = from_cloudevent(JSONFormat().write(theirs))
    assert isinstance(event, GenericEvent)
    assert event.data == {"data": {"$bytes": "iVBORw=="}}
    assert event.metadata == {"cloudevent": {"datacontenttype": "image/png"}}


def test_an_event_that_was_not_emitted_is_refused() -> None:
    with pytest.raises(InvalidRecord, match=r"has no id yet; give the event that emit\(\) returns"):
        to_cloudevent(GenericEvent(kind="a.b"))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"{",
        "\ud800",
        {},
        {"specversion": "0.3", "id": "1", "source": "s", "type": "t"},
        {"specversion": "1.0", "id": "", "source": "s", "type": "t"},
        {"specversion": "1.0", "id": "1", "source": 5, "type": "t"},
        {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "%"},
        {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": 5},
        b"[" * 100_000,
        EvilMapping(),
    ],
    ids=count(),
)
def test_what_is_no_message_is_refused(message: Any) -> None:
    with pytest.raises(InvalidRecord, match=r"from_cloudevent\(\): |the line is"):
        from_cloudevent(message)


def _with(message: dict[str, Any], name: str, odd: Any) -> Event:
    return from_cloudevent({**message, name: odd})


def test_odd_arguments_are_refused_by_errors_of_ours() -> None:
    good = {"specversion": "1.0", "id": "1", "source": "s", "type": "a.b", "sequence": "1", "hubid": "h"}
    more = ("data", "data_base64", "time", "hubheader", "traceparent", "correlationid", "depth", "subject", "x")
    calls: tuple[Callable[[Any], object], ...] = (
        to_cloudevent,
        lambda odd: to_cloudevent({"kind": "a.b"}, source=odd),
        lambda odd: to_cloudevent({"kind": odd, "id": odd, "at": odd, "x": odd}),
        from_cloudevent,
        lambda odd: from_cloudevent(good, kind=odd),
        *(partial(_with, good, name) for name in (*good, *more)),
    )
    for make in ODD:
        for call in calls:
            try:
                call(make())
            except CallerError:
                continue
    with pytest.raises(InvalidRecord, match="the record, an object of class EvilMapping, cannot be read"):
        to_cloudevent(EvilMapping())


def test_a_source_with_spaces_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="source is a URI, without spaces, not 'my hub'"):
        to_cloudevent({"kind": "a.b"}, source="my hub")


def test_a_large_record_is_refused_and_a_large_event_is_not() -> None:
    with pytest.raises(EventTooLarge):
        to_cloudevent({"kind": "a.b", "x": "y" * 9_000_000})
    made = stamped(GenericEvent(kind="a.b", data={"x": "y" * 7_000_000}))
    assert from_cloudevent(encode(made)) == made
