"""AuditLog: every event and every record of one's own, in order, chained, readable back."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from typing import Any

import anyio
import pytest
import structlog.testing

from hubwire import BaseHubListener, Duty, GenericEvent, Hub, codec
from hubwire.errors import (
    AlreadyRunning,
    ConfigurationError,
    InvalidRecord,
    ListenerFailed,
    LogDamaged,
    StoreFull,
)
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.log import LogReader
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until_idle

FIRST_SEGMENT = "/audit/log/00000000000000000000.jsonl"


class FullStore(MemoryStore):
    """A store that is full whenever the test says so."""

    full = False

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if self.full:
            raise StoreFull("no space left", path=path)
        return await super().append(path, content, expect=expect)


async def kinds(audit: AuditLog) -> list[str]:
    return [record["kind"] for record in await audit.read_all()]


# --- records of one's own -------------------------------------------------------------------------------------------


async def test_read_all_returns_what_was_appended() -> None:
    audit = AuditLog(MemoryStore())
    appended = [
        {"kind": "review.done", "at": "2026-11-21T00:00:00Z", "n": n, "tags": ["a", {"b": None}]} for n in range(3)
    ]
    for record in appended:
        await audit.append(record)
    assert await audit.read_all() == appended


async def test_an_unwritten_log_reads_as_empty() -> None:
    assert await AuditLog(MemoryStore()).read_all() == []


async def test_append_returns_when_stored() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    index = await audit.append({"kind": "review.done"})
    lines = (await store.read_bytes(FIRST_SEGMENT) or b"").splitlines()
    assert json.loads(lines[index])["kind"] == "review.done"


async def test_a_record_gets_a_time() -> None:
    """The caller's dictionary stays as it was."""
    record: dict[str, Any] = {"kind": "review.done"}
    audit = AuditLog(MemoryStore(), clock=ManualClock(start_ns=0))
    await audit.append(record)
    assert record == {"kind": "review.done"}
    assert (await audit.read_all())[0]["at"] == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("key", ["seq", "d", "h", "cut"])
async def test_keys_of_the_log_are_refused(key: str) -> None:
    audit = AuditLog(MemoryStore())
    with pytest.raises(InvalidRecord, match=key):
        await audit.append({"kind": "review.done", key: 1})
    assert await audit.read_all() == []


async def test_other_values_become_marked_substitutes() -> None:
    """What JSON cannot hold becomes a dictionary whose key says what it was."""
    audit = AuditLog(MemoryStore())
    odd: dict[Any, Any] = {"kind": "x", "nan": math.nan, "raw": b"\x00\xff", "set": {1}, 5: "five"}
    await audit.append(odd)
    record = (await audit.read_all())[0]
    assert record["$map"][1] == ["nan", {"$float": "nan"}]
    assert [5, "five"] in record["$map"]


async def test_line_separators_do_not_end_a_record() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    await audit.append({"kind": "x", "text": "a\u2028b\u2029c\x85d\x7f"})
    assert len((await store.read(FIRST_SEGMENT) or "").splitlines()) == 2  # log.opened and this one
    assert (await audit.read_all())[0]["text"] == "a\u2028b\u2029c\x85d\x7f"


async def test_a_log_has_one_writer() -> None:
    store = MemoryStore()
    first = AuditLog(store)
    await first.append({"kind": "a"})
    with pytest.raises(AlreadyRunning):
        await AuditLog(store).append({"kind": "b"})
    await first.aclose()
    await AuditLog(store).append({"kind": "b"})
    assert await kinds(first) == ["a", "b"]


async def test_a_full_store_refuses_the_record() -> None:
    """The log goes on when there is space."""
    store = FullStore()
    audit = AuditLog(store)
    await audit.append({"kind": "before"})
    store.full = True
    with pytest.raises(StoreFull):
        await audit.append({"kind": "lost"})
    store.full = False
    await audit.append({"kind": "after"})
    assert await kinds(audit) == ["before", "after"]
    await verify(store)


async def test_bytes_written_is_the_size_of_the_log() -> None:
    """It is so after a restart, too."""
    store = MemoryStore()
    first = AuditLog(store, rotation=500)
    for _ in range(20):
        await first.append({"kind": "x", "text": "y" * 50})
    await first.aclose()
    again = AuditLog(store, rotation=500)
    await again.append({"kind": "x"})
    names = await store.list("/audit/log")
    sizes = [await store.size(f"/audit/log/{name}") or 0 for name in names]
    assert len(names) > 1
    assert again.bytes_written == sum(sizes)


# --- subscribers ----------------------------------------------------------------------------------------------------


async def test_a_quick_subscriber_has_run_when_append_returns() -> None:
    audit, heard = AuditLog(MemoryStore()), []

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record["kind"])

    audit.subscribe(hear)
    for number in range(3):
        await audit.append({"kind": f"n.{number}"})
        assert heard[-1] == f"n.{number}"


async def test_a_slow_subscriber_delays_no_append() -> None:
    """It misses no record."""
    audit, heard, gate = AuditLog(MemoryStore()), [], anyio.Event()

    async def hear(record: dict[str, Any]) -> None:
        await gate.wait()
        heard.append(record.get("n"))

    audit.subscribe(hear)
    for number in range(50):
        await audit.append({"kind": "x", "n": number})
    assert heard == []
    gate.set()
    await audit.aclose()
    assert heard == list(range(50))


async def test_a_subscriber_far_behind_reads_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets from the log what memory no longer holds."""
    monkeypatch.setattr("hubwire.listeners.audit._subscribers.HELD_MAX", 5)
    await test_a_slow_subscriber_delays_no_append()


async def test_a_bad_subscriber_harms_no_other() -> None:
    """It raises, and alters its record."""
    audit, heard = AuditLog(MemoryStore()), []

    async def spoil(record: dict[str, Any]) -> None:
        record["kind"] = "TAMPERED"
        raise RuntimeError("no")

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record["kind"])

    audit.subscribe(spoil)
    audit.subscribe(hear)
    await audit.append({"kind": "x"})
    assert heard == ["x"]
    assert await kinds(audit) == ["x"]


async def test_unsubscribe_removes_one_registration() -> None:
    """An unknown one is not an error."""
    audit, heard = AuditLog(MemoryStore()), []

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record["kind"])

    await audit.append({"kind": "before"})
    audit.subscribe(hear)
    audit.subscribe(hear)
    await audit.append({"kind": "twice"})
    audit.unsubscribe(hear)
    await audit.append({"kind": "once"})
    audit.unsubscribe(hear)
    audit.unsubscribe(hear)
    await audit.append({"kind": "never"})
    assert heard == ["twice", "twice", "once"]


# --- on a hub -------------------------------------------------------------------------------------------------------


async def test_on_a_hub_it_has_every_event() -> None:
    """It is REQUIRED, and has each event once and in order."""
    store = MemoryStore()
    for _ in range(3):
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            assert hub.statistics().attachments[0].duty is Duty.REQUIRED
            await hub.emit(GenericEvent(kind="user.login"))
    events = [record for record in await AuditLog(store).read_all() if "seq" in record]
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert [event["kind"] for event in events].count("user.login") == 3
    assert (await verify(store)).events == len(events)


async def test_an_event_is_read_back_equal() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        emitted = await hub.emit(GenericEvent(kind="user.login", data={"via": "web", "n": [1, {"a": None}]}))
    reader = LogReader(store, "/audit")
    bodies = [record.body for record in await reader.read()]
    events = [codec.decode(body) for body in bodies if "seq" in codec.decode_fields(body)]
    assert emitted in events


async def test_emit_waits_for_the_log() -> None:
    store = FullStore()
    async with (
        Hub(listeners=[AuditLog(store)], clock=(clock := ManualClock())) as hub,
        anyio.create_task_group() as tasks,
    ):
        store.full = True
        acknowledged = anyio.Event()

        async def emit() -> None:
            await hub.emit(GenericEvent(kind="user.login"))
            acknowledged.set()

        tasks.start_soon(emit)
        await until_idle()
        assert not acknowledged.is_set()
        assert not hub.health().healthy
        store.full = False
        clock.advance(1)
        await acknowledged.wait()
        assert hub.health().healthy


async def test_a_minute_of_full_log_stops_the_hub() -> None:
    store = FullStore()
    clock = ManualClock()
    with pytest.raises(ListenerFailed) as failed:
        async with Hub(listeners=[AuditLog(store)], clock=clock) as hub:
            store.full = True
            async with anyio.create_task_group() as tasks:

                async def tick() -> None:
                    for _ in range(62):
                        await until_idle()
                        clock.advance(1)

                tasks.start_soon(tick)
                with pytest.raises(ListenerFailed):
                    await hub.emit(GenericEvent(kind="user.login"))
                tasks.cancel_scope.cancel()
    assert isinstance(failed.value.__cause__, StoreFull)


async def test_without_a_journal_the_log_gives_the_number() -> None:
    """The hub numbers on where the log ends."""
    store = MemoryStore()
    for _ in range(2):
        async with Hub(listeners=[AuditLog(store)]) as hub:
            await hub.emit(GenericEvent(kind="user.login"))
    verified = await verify(store)
    assert (verified.first_seq, verified.last_seq) == (0, verified.events - 1)


async def test_the_log_of_another_hub_is_refused() -> None:
    ours, theirs = MemoryStore(), MemoryStore()
    async with Hub(ours, listeners=[AuditLog(ours)]):
        pass
    async with Hub(theirs):
        pass
    before = await ours.read(FIRST_SEGMENT)
    with pytest.raises(ConfigurationError, match="holds events of hub"):
        async with Hub(theirs, listeners=[AuditLog(ours)]):
            pass
    assert await ours.read(FIRST_SEGMENT) == before


async def test_a_late_log_begins_with_the_journal() -> None:
    """It has what the journal still holds."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(GenericEvent(kind="user.login"))
    async with Hub(store, listeners=[AuditLog(store)]):
        pass
    assert (await verify(store)).first_seq == 0


async def test_a_tail_goes_on_across_rotations() -> None:
    store = MemoryStore()
    audit = AuditLog(store, rotation=400)
    await audit.append({"kind": "old"})
    heard = []
    async with anyio.create_task_group() as tasks:

        async def tail() -> None:
            async for record in audit.tail():
                heard.append(record.fields.get("n"))
                if record.fields.get("n") == 30:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(tail)
        await until_idle()
        for number in range(31):
            await audit.append({"kind": "x", "n": number})
    assert [number for number in heard if number is not None] == list(range(31))


async def test_read_may_start_anywhere() -> None:
    audit = AuditLog(MemoryStore(), rotation=300)
    for number in range(20):
        await audit.append({"kind": "x", "n": number})
    everything = [record async for record in audit.read()]
    some = [record async for record in audit.read(start=everything[10].index)]
    assert some == everything[10:]


# --- long records ---------------------------------------------------------------------------------------------------


async def test_a_long_record_is_cut_and_read_whole() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        event = await hub.emit(GenericEvent(kind="user.wrote", agent_id="a", data={"text": "x" * 1_000_000}))
    assert all(len(line) <= 65_535 for line in (await store.read_bytes(FIRST_SEGMENT) or b"").split(b"\n"))
    whole = next(record for record in await AuditLog(store).read_all() if record.get("seq") == event.seq)
    assert whole["data"] == {"text": "x" * 1_000_000}
    (cut,) = [record.fields async for record in AuditLog(store).read() if record.fields.get("seq") == event.seq]
    assert (cut["kind"], cut["agent_id"], cut["cut"]["bytes"] > 1_000_000) == ("user.wrote", "a", True)


@pytest.mark.parametrize("spoil", ["remove", "alter"])
async def test_a_damaged_long_record_is_found(spoil: str) -> None:
    """The rest of the record is gone or altered."""
    store = MemoryStore()
    audit = AuditLog(store)
    await audit.append({"kind": "x", "text": "y" * 100_000})
    (name,) = [record.fields["cut"]["blob"] async for record in audit.read() if "cut" in record.fields]
    blob = f"/audit/{name}"
    await (store.delete(blob) if spoil == "remove" else store.write(blob, "{}"))
    with pytest.raises(LogDamaged, match=blob):
        await audit.read_all()
    with pytest.raises(LogDamaged, match=blob):
        await verify(store)


# --- verification ---------------------------------------------------------------------------------------------------


async def written(store: MemoryStore, records: int = 6) -> bytes:
    audit = AuditLog(store)
    for number in range(records):
        await audit.append({"kind": "x", "n": number})
    await audit.aclose()
    return await store.read_bytes(FIRST_SEGMENT) or b""


async def test_the_chain_is_as_documented() -> None:
    previous = b""
    for line in (await written(MemoryStore())).splitlines():
        without_h = line[: line.rindex(b',"h":"')] + b"}"
        digest = hashlib.sha256(previous + without_h).digest()[:16]
        previous = base64.urlsafe_b64encode(digest).rstrip(b"=")
        assert json.loads(line)["h"] == previous.decode()


async def test_verify_finds_every_change_of_records() -> None:
    """Records are altered, removed, doubled and swapped."""
    content = await written(MemoryStore())
    lines = content.splitlines(keepends=True)
    spoilt = {
        "altered": [*lines[:2], lines[2].replace(b'"n":1', b'"n":9'), *lines[3:]],
        "removed": [*lines[:2], *lines[3:]],
        "doubled": [*lines[:3], lines[2], *lines[3:]],
        "swapped": [*lines[:2], lines[3], lines[2], *lines[4:]],
        "first removed": lines[1:],
        "with an unknown field": [lines[0].replace(b'{"at"', b'{"a":1,"at"'), *lines[1:]],
        "no JSON": [*lines[:2], b"{]\n", *lines[3:]],
    }
    for what, spoilt_lines in spoilt.items():
        store = MemoryStore()
        await store.write(FIRST_SEGMENT, b"".join(spoilt_lines))
        with pytest.raises(LogDamaged):
            await verify(store)
            pytest.fail(f"a record {what} went unnoticed")


async def test_verify_finds_every_flipped_bit() -> None:
    content = await written(MemoryStore(), records=2)
    for position in range(len(content)):
        store = MemoryStore()
        await store.write(FIRST_SEGMENT, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        try:
            found = await verify(store)
        except LogDamaged:
            continue
        # Without its line feed the last record is not there yet: a reader stops before it, and the count tells.
        assert position == len(content) - 1
        assert found.records == 2


async def test_an_absent_log_is_no_verified_log() -> None:
    with pytest.raises(LogDamaged, match="there is no log at /audit"):
        await verify(MemoryStore())


# --- with AG2's hooks -----------------------------------------------------------------------------------------------


class Passport:
    name = "planner"


async def test_hooks_write_the_records_of_ag2() -> None:
    audit = AuditLog(MemoryStore(), clock=ManualClock(start_ns=0))
    await audit.on_agent_event("a1", "registered", {"passport": Passport(), "at": "T"})
    await audit.on_agent_event("a1", "observation_recorded", {"version": 2, "capability": "c", "outcome": "completed"})
    await audit.on_channel_event("c1", "closed", {"reason": "done"})
    await audit.on_channel_event("c1", "opened", {})
    await audit.on_task_event("t1", "started", {})
    await audit.on_task_event("t1", "completed", {"owner_id": "a1"})
    await audit.on_turn_failed("c1", "a1", "e1", ValueError("bad"))
    now = "1970-01-01T00:00:00.000000Z"
    task = {"task_id": "t1", "owner_id": "a1", "channel_id": None, "outcome": "completed", "capability": None}
    assert await audit.read_all() == [
        {"at": "T", "kind": "agent_registered", "agent_id": "a1", "name": "planner"},
        {
            "at": now,
            "kind": "resume_set",
            "agent_id": "a1",
            "source": "observed",
            "version": 2,
            "capability": "c",
            "outcome": "completed",
        },
        {"at": now, "kind": "channel_closed", "channel_id": "c1", "reason": "done"},
        {"at": now, "kind": "task_terminated", "reason": None, **task},
        {
            "at": now,
            "kind": "turn_failed",
            "channel_id": "c1",
            "agent_id": "a1",
            "envelope_id": "e1",
            "exc_type": "ValueError",
            "exc_message": "bad",
        },
    ]


async def test_a_hook_listener_may_record_otherwise() -> None:
    class Names(BaseHubListener):
        def __init__(self) -> None:
            self.names: list[str] = []

        async def on_agent_event(self, agent_id: str, kind: str, payload: Any) -> None:
            self.names.append(f"{payload['name']} {kind}")

    names, recorder = Names(), Recorder()
    async with Hub(listeners=[names, recorder]) as hub:
        agent = await hub.agents.register("planner")
        await agent.unregister()
    assert names.names == ["planner registered", "planner unregistered"]


async def test_the_position_is_the_last_event() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    async with Hub(store, listeners=[audit]) as hub:
        for _ in range(10):
            hub.emit_nowait(GenericEvent(kind="user.login"))
        await hub.flush()
        assert audit.last_seq() == hub.statistics().committed - 1


async def test_errors_of_subscribers_are_counted() -> None:
    audit = AuditLog(MemoryStore())

    async def broken(_: dict[str, Any]) -> None:
        raise RuntimeError("broken")

    await audit.append({"kind": "noted"})
    audit.subscribe(broken)
    with structlog.testing.capture_logs():
        for _ in range(3):
            await audit.append({"kind": "noted"})
        await audit.aclose()
    assert audit.subscriber_errors == 3
