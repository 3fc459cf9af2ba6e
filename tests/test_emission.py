"""Emitting: what each way promises, what every event takes from its context, and what the kinds of runtimes hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, HubThread, events as public, scope
from hubwire.errors import (
    CommandRejected,
    ConfigurationError,
    HubClosed,
    JournalFailed,
    ListenerFailed,
    Overloaded,
    StoreError,
)
from hubwire.events import FactWritten, LoopWarned, QuotaBreached, evolve, kind_class
from hubwire.events._event import own_fields
from hubwire.listeners import AuditLog, Metrics
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, history
from support import GatedStore, copy_of, numbers, said, until

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"

# --- ways to emit -----------------------------------------------------------------------------------------------------


async def by_emit(hub: Hub, made: Event) -> None:
    await hub.emit(made)


async def by_emit_nowait(hub: Hub, made: Event) -> None:
    hub.emit_nowait(made)


async def by_offer(hub: Hub, made: Event) -> None:
    assert hub.offer(made)


async def by_emit_threadsafe(hub: Hub, made: Event) -> None:
    await asyncio.wrap_future(await asyncio.to_thread(hub.emit_threadsafe, made))


async def by_emit_many(hub: Hub, made: Event) -> None:
    await hub.emit_many([made])


async def by_batch(hub: Hub, made: Event) -> None:
    async with hub.batch() as batch:
        batch.emit(made)


every_way = pytest.mark.parametrize(
    "emit", [by_emit, by_emit_nowait, by_offer, by_emit_threadsafe, by_emit_many, by_batch]
)
Emit = Callable[[Hub, Event], Awaitable[None]]


@every_way
async def test_every_way_takes_over_the_context(emit: Emit) -> None:
    async with Hub() as hub:
        with scope(correlation_id="c", tenant="t", traceparent=TRACE, agent="a", session="s", turn="u"):
            await emit(hub, said(1))
            await emit(hub, evolve(said(2), correlation_id="own", agent_id="b"))
        await emit(hub, said(3))
        await hub.flush()
        one, two, three = [each for each in await history(hub) if each.kind == "number.said"]
    assert (one.correlation_id, one.tenant, one.traceparent) == ("c", "t", TRACE)
    assert (one.agent_id, one.session_id, one.turn_id) == ("a", "s", "u")
    assert (two.correlation_id, two.agent_id, two.tenant) == ("own", "b", "t")
    assert (three.correlation_id, three.tenant, three.agent_id) == (None, None, None)


def test_a_program_without_a_loop_has_its_context_too() -> None:
    with HubThread(Hub()) as thread, scope(correlation_id="c"):
        assert thread.emit(said(1)).correlation_id == "c"
        assert [each.correlation_id for each in thread.emit_many([said(2), said(3)])] == ["c", "c"]


@every_way
async def test_every_way_refuses_what_is_no_event(emit: Emit) -> None:
    wrong: list[tuple[Any, type[Exception]]] = [
        ("text", ConfigurationError),
        (None, ConfigurationError),
        (GenericEvent(kind="No Kind"), ConfigurationError),
        (GenericEvent(kind="hub.started"), CommandRejected),
        (GenericEvent(kind="agent.registered"), CommandRejected),
        (GenericEvent(kind="fact.written"), CommandRejected),
    ]
    async with Hub() as hub:
        for given, error in wrong:
            with pytest.raises(error):
                await emit(hub, given)
        assert hub.statistics().offers_dropped == 0
        assert numbers(await history(hub)) == []


@pytest.mark.parametrize("emit", [by_emit, by_emit_many, by_batch])
async def test_what_was_emitted_is_in_the_journal_when_the_call_returns(emit: Emit) -> None:
    """Before the caller can answer anyone: a machine that takes over after a crash at that moment has it."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await emit(hub, FactWritten(fact_id="f"))
        left = await copy_of(store)
    async with Hub(left) as hub:
        assert [each.kind for each in await history(hub) if each.kind == "fact.written"] == ["fact.written"]
    assert [each["kind"] for each in await AuditLog(left).read_all()].count("fact.written") == 1


@pytest.mark.parametrize("emit", [by_emit, by_emit_many, by_batch])
async def test_emit_is_closed_to_a_caller_whose_event_cannot_be_kept(emit: Emit) -> None:
    """It raises, so that what must not go unrecorded does not go on."""
    store = GatedStore()
    with pytest.raises(JournalFailed):
        async with Hub(store) as hub:
            store.error = StoreError("gone")
            with pytest.raises(JournalFailed):
                await emit(hub, said(1))


async def test_an_offer_is_open_whatever_the_hub_is_short_of() -> None:
    """It does not raise; what was dropped is counted, and is nowhere else."""
    store, seen = GatedStore(), Recorder()
    async with Hub(store, listeners=[AuditLog(store), seen], in_flight_max=1) as hub:
        store.gate.close()
        first = asyncio.create_task(hub.emit(said(0)))
        await until(lambda: hub.statistics().applied > hub.statistics().committed)
        assert not hub.offer(said(1))
        assert not hub.offer(said(2))
        with pytest.raises(Overloaded):
            hub.emit_nowait(said(3))
        assert hub.statistics().offers_dropped == 2
        store.gate.open()
        await first
        assert hub.offer(said(4))
        await hub.flush()
        assert numbers(await history(hub)) == numbers(seen.events) == [0, 4]
    assert [each["data"]["n"] for each in await AuditLog(store).read_all() if each["kind"] == "number.said"] == [0, 4]
    assert not hub.offer(said(5))
    assert hub.statistics().offers_dropped == 3
    with pytest.raises(HubClosed):
        await hub.emit(said(6))


async def test_an_emitted_event_has_the_id_that_all_readers_see() -> None:
    store, seen = MemoryStore(), Recorder()
    async with Hub(store, listeners=[AuditLog(store), seen]) as hub:
        made = [await hub.emit(said(1)), *await hub.emit_many([said(2), said(3)])]
        await hub.flush()
        ids = [each.id for each in made]
        assert [each.id for each in seen.events if numbers([each])] == ids
        assert [each.id for each in await history(hub) if numbers([each])] == ids
    assert [each["id"] for each in await AuditLog(store).read_all() if each["kind"] == "number.said"] == ids
    assert len(set(ids)) == 3


@every_way
async def test_a_listener_that_fails_does_not_break_emitting(emit: Emit) -> None:
    """One that the commit waits for does: who emits shall know."""

    class Failing(BaseHubListener):
        async def on_event(self, event: Event) -> None:
            raise RuntimeError("no")

    seen = Recorder()
    async with Hub(listeners=[Failing(), seen]) as hub:
        await emit(hub, said(1))
        await hub.flush()
        assert numbers(seen.events) == [1]


async def test_a_required_listener_that_fails_is_told_to_the_emitter() -> None:
    class Failing:
        duty = Duty.REQUIRED

        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                raise RuntimeError("no")

    with pytest.raises(ListenerFailed):
        async with Hub(listeners=[Failing()]) as hub:
            await hub.emit_many([said(1), said(2)])


# --- what kinds hold --------------------------------------------------------------------------------------------------

FIELDS: dict[str, dict[str, Any]] = {
    "turn.started": {"envelope_id": "", "prompt": None},
    "turn.ended": {"content": None, "tool_calls": None, "duration_ms": None},
    "tool.called": {"tool": ..., "call_id": ..., "arguments": None},
    "tool.completed": {"tool": ..., "call_id": ..., "result": None, "duration_ms": None},
    "tool.failed": {"tool": ..., "call_id": ..., "error_type": "", "error_message": "", "duration_ms": None},
    "policy.decided": {"tool": ..., "action": ..., "policy": "", "reason": ""},
    "sandbox.decided": {"tool": ..., "backend": "", "reason": "", "surroundings": None},
    "loop.warned": {"tool": ..., "pattern": "", "severity_level": "", "call_count": 0},
    "loop.blocked": {"tool": ..., "pattern": "", "call_count": 0},
    "hook.mutated": {"hook": ..., "tool": "", "mutated_field": ""},
    "error.raised": {"error_type": ..., "error_message": "", "error_context": None},
    "skill.used": {"skill": ..., "version": "", "duration_ms": None, "triggered_automatically": True},
    "skill.authored": {
        "skill": ...,
        "version": "",
        "source_path": "",
        "tool_count": 0,
        "unique_tools": (),
        "confirmed_by_user": False,
    },
    "skill.rated": {"skill": ..., "rating": "neutral", "reason": "", "rated_by": "user"},
    "agent.switched": {"from_agent": ..., "to_agent": ..., "reason": ""},
}


@pytest.mark.parametrize("kind", FIELDS)
def test_kinds_of_runtimes_have_these_fields(kind: str) -> None:
    """``...`` stands for a field that has to be given."""
    cls: Any = kind_class(kind)
    found = {
        field.name: ... if field.default is attrs.NOTHING else field.default
        for field in attrs.fields(cls)
        if field.name in own_fields(cls)
    }
    assert found == FIELDS[kind]


MEMORY = {
    *("fact.written", "fact.read", "token.issued", "token.revoked", "manifest.published", "key.rotated"),
    *("federation.connected", "quarantine.admitted", "quarantine.released", "quota.breached", "admin.acted"),
    *("replay.rejected", "instruction.audited", "instruction.quarantined", "instruction.promoted"),
    *("peer.clock_skewed", "api_key.rehashed"),
}


@pytest.mark.parametrize("kind", sorted(MEMORY))
def test_kinds_of_memories_have_details(kind: str) -> None:
    cls: Any = kind_class(kind)
    assert cls.__name__ in public.__all__
    assert "detail" in own_fields(cls)
    assert cls.command is None


async def test_a_record_of_a_memory_names_actor_tenant_source_and_key() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        with scope(tenant="acme"):
            await hub.emit(
                FactWritten(
                    fact_id="f",
                    actor="agent:1",
                    source="node:1",
                    oidc_sub="sub",
                    attested_key_id="key",
                    scope="local",
                    detail={"bytes": 5},
                    outcome="success",
                )
            )
            await hub.emit(
                QuotaBreached(dimension="fact_write", path="/v1/facts", method="POST", retry_after_seconds=1.5)
            )
    written, breached = [
        each for each in await AuditLog(store).read_all() if each["kind"].startswith(("fact", "quota"))
    ]
    expected = {
        "kind": "fact.written",
        "fact_id": "f",
        "actor": "agent:1",
        "tenant": "acme",
        "source": "node:1",
        "oidc_sub": "sub",
        "attested_key_id": "key",
        "scope": "local",
        "detail": {"bytes": 5},
        "outcome": "success",
    }
    assert expected.items() <= written.items()
    assert "severity" not in written
    assert (breached["severity"], breached["retry_after_seconds"], breached["dimension"]) == (
        "warning",
        1.5,
        "fact_write",
    )


async def test_events_are_counted_by_kind() -> None:
    metrics = Metrics()
    async with Hub(listeners=[metrics]) as hub:
        await hub.emit_many([LoopWarned(tool="t"), LoopWarned(tool="t"), FactWritten(fact_id="f")])
        await hub.flush()
        by_kind = metrics.snapshot().by_kind
    assert (by_kind["loop.warned"], by_kind["fact.written"]) == (2, 1)


async def test_an_event_is_one_line_of_json() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(LoopWarned(tool="t\n\u2028", pattern="same", agent_id="a", turn_id="u", session_id="s"))
    content = await store.read_bytes("/journal/log/00000000000000000000.jsonl")
    assert content is not None
    (line,) = [line for line in content.split(b"\n") if b"loop.warned" in line]
    fields = json.loads(line)
    assert (fields["kind"], fields["severity"], fields["tool"]) == ("loop.warned", "warning", "t\n\u2028")
    assert (fields["agent_id"], fields["turn_id"], fields["session_id"]) == ("a", "u", "s")
    assert fields["at"].endswith("Z")
