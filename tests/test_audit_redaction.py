"""What an audit log does not hold."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import GenericEvent, Hub, codec
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.log import LogReader
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import MemoryStore


async def bodies(store: MemoryStore) -> list[dict[str, Any]]:
    return [codec.decode_fields(record.body) for record in await LogReader(store, "/audit").read()]


async def test_records_are_redacted() -> None:
    store = MemoryStore()
    async with AuditLog(store, redactor=Redactor()) as audit:
        await audit.append({"kind": "user.asked", "email": "j@example.com", "n": 1})
        await audit.append({"kind": "user.asked", "n": 1})
        changed, clean = await audit.read_all()
    assert changed.pop("at")
    assert changed == {"kind": "user.asked", "email": "[redacted:email]", "n": 1, "redacted": "hubwire/1"}
    assert set(clean) == {"kind", "n", "at"}


async def test_events_are_redacted() -> None:
    """The log holds the event, and neither the hub nor its journal is changed."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store, redactor=Redactor())]) as hub:
        emitted = await hub.emit(GenericEvent(kind="user.asked", data={"note": "of j@example.com"}))
        clean = await hub.emit(GenericEvent(kind="user.asked", data={"note": "clean"}))
    assert emitted.data["note"] == "of j@example.com"
    opened, *rest = await bodies(store)
    assert opened["redaction"] == "hubwire/1"
    events = [each for each in rest if each["kind"] == "user.asked"]
    assert events[0]["data"] == {"note": "of [redacted:email]"}
    assert events[0]["metadata"] == {"redacted": "hubwire/1"}
    assert codec.decode(codec.encode_fields(events[1])) == clean
    assert (await verify(store, "/audit")).integrity.outcome.value == "holds"


async def test_a_log_without_a_redactor_holds_what_comes() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[audit := AuditLog(store, redactor=None)]) as hub:
        emitted = await hub.emit(GenericEvent(kind="user.asked", data={"note": "of j@example.com"}))
        await audit.append({"email": "j@example.com"})
    found = await bodies(store)
    assert "redaction" not in found[0]
    assert emitted in [codec.decode(codec.encode_fields(each)) for each in found if "seq" in each]
    assert "j@example.com" in [each.get("email") for each in found]


def raising(_: str) -> list[tuple[int, int]]:
    raise RuntimeError


async def test_a_failing_rule_keeps_record_and_event() -> None:
    store = MemoryStore()
    redactor = Redactor(rules=[RedactionRule("bad", find=raising)])
    async with Hub(store, listeners=[audit := AuditLog(store, redactor=redactor)]) as hub:
        emitted = await hub.emit(GenericEvent(kind="user.asked", data={"note": "secret words"}))
        await audit.append({"kind": "note.made", "text": "secret words", "at": "2026-01-01T00:00:00.000000Z"})
    found = await bodies(store)
    assert "secret words" not in str(found)
    event = next(each for each in found if each.get("seq") == emitted.seq)
    assert (event["id"], event["data"]) == (emitted.id, {"$redacted": "RuntimeError"})
    record = next(each for each in found if each["kind"] == "note.made")
    assert record["$redacted"] == "RuntimeError"
    assert record["at"].startswith("2026-01-01")


@pytest.mark.parametrize("redactor", ["none", 1, Redactor], ids=range(3))
async def test_what_is_no_redactor_is_refused(redactor: Any) -> None:
    with pytest.raises(ConfigurationError, match="redactor is"):
        AuditLog(MemoryStore(), redactor=redactor)
