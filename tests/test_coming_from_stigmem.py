"""What stigmem's users record of a memory, and find here: each type of event, with its number, tenant and details."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs

from hubwire import Event, GenericEvent, Hub, scope
from hubwire.errors import CommandRejected
from hubwire.events import FactRead, FactWritten, QuotaBreached, kind_class
from hubwire.events._event import own_fields
from hubwire.listeners import AuditLog
from hubwire.log import list_segments
from hubwire.stores import MemoryStore
from support import until

PAGE = (Path(__file__).parents[1] / "docs" / "coming-from" / "stigmem.md").read_text()
DECLARED = 17
"""How many of the types have a class of their own here: those that stigmem declares."""
OF_THE_HUB = ("listener.", "command.")
TYPES = """
    fact_write fact_read capability_token_issue capability_token_revoke manifest_publish key_rotation federation_connect
    quarantine_admit quarantine_release quota_breach admin_action replay_rejected instruction_audit
    instruction_quarantined instruction_promoted peer_hlc_anomaly api_key_rehashed federation_integrity_rejected
    federation_valid_until_extension_rejected tombstone_created tombstone_revoked tombstone_federation_ingested
    tombstone_revocation_federation_ingested tombstone_federation_rejected tombstone_sync_gap quarantine_promote
    quarantine_reject quarantine_ingest sanitizer_quarantine capability_issued capability_revoked capability_rejected
    capability_verified fact_mutation_attempted rejected_fact rejected_token scope_violation replay_attempt
    tl_proof_missing tl_proof_verified manifest_stored manifest_refresh_failed san_mismatch recall_audit_log
    plugin.registered plugin.handler_error plugin.handler_denied
"""


def kinds_of_the_page() -> dict[str, str]:
    """Return for each type of stigmem's the kind that the page says."""
    section = PAGE.partition("### Types of events")[2].partition("\n## ")[0]
    found: dict[str, str] = {}
    for theirs, ours in re.findall(r"^\| (`[^|\n]+) \| (`[^|\n]+) \|$", section, re.MULTILINE):
        found.update(zip(re.findall(r"`([^`]+)`", theirs), re.findall(r"`([^`]+)`", ours), strict=True))
    return found


def made(kind: str) -> Event:
    """Return an event of a kind with its fewest fields."""
    cls: Any = kind_class(kind)
    if cls is None:
        return GenericEvent(kind=kind, data={"entity_uri": "agent:ann"}, actor="agent:ann")
    needed = {
        each.name: 1 if each.type == "int" else "x"
        for each in attrs.fields(cls)
        if each.name in own_fields(cls) and each.default is attrs.NOTHING
    }
    return cls(**needed, actor="agent:ann", detail={"why": "it is a test"})  # type: ignore[no-any-return]


async def test_each_type_of_the_page_has_a_kind_that_is_recorded() -> None:
    """Those of the hub itself it makes by itself; a program cannot make them up."""
    kinds = kinds_of_the_page()
    assert sorted(kinds) == sorted(TYPES.split())
    assert len(set(kinds.values())) == len(kinds)
    assert [each for each in TYPES.split()[:DECLARED] if kind_class(kinds[each]) is None] == []
    mine = [each for each in kinds.values() if not each.startswith(OF_THE_HUB)]
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        with scope(tenant="acme"):
            for kind in mine:
                await hub.emit(made(kind))
        for kind in set(kinds.values()) - set(mine):
            assert kind_class(kind) is not None
            try:
                await hub.emit(GenericEvent(kind=kind, data={}))
            except CommandRejected:
                continue
            raise AssertionError(f"{kind} was emitted")
    records = [each for each in await AuditLog(store).read_all() if each.get("actor") == "agent:ann"]
    assert [each["kind"] for each in records] == mine
    assert {each["tenant"] for each in records} == {"acme"}
    assert all("detail" in each or "data" in each for each in records)


async def test_each_record_has_its_number_and_its_tenant() -> None:
    """Of whichever kind, by whichever way: there is no second way into the log."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        with scope(tenant="acme"):
            await hub.emit(FactWritten(fact_id="f", actor="agent:ann"))
            await hub.emit_many([made("quarantine.rejected"), made("capability.verified")])
            hub.emit_nowait(made("tombstone.gap_found"))
            assert hub.offer(FactRead(fact_id="f", actor="agent:ann"))
    records = [each for each in await AuditLog(store).read_all() if "seq" in each]
    assert [each["seq"] for each in records] == list(range(records[0]["seq"], records[0]["seq"] + len(records)))
    assert [each["tenant"] for each in records if each.get("actor") == "agent:ann"] == ["acme"] * 5


async def test_outcome_scope_and_an_empty_detail_are_stored() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        for outcome in ("success", "failure", "denied"):
            await hub.emit(FactWritten(fact_id="f", scope="team", outcome=outcome, detail={}))
        await hub.emit(QuotaBreached(dimension="fact_write", retry_after_seconds=2.5))
    records = [each for each in await AuditLog(store).read_all() if each["kind"].startswith(("fact", "quota"))]
    assert [each.get("outcome") for each in records] == ["success", "failure", "denied", None]
    assert [each.get("scope") for each in records] == ["team", "team", "team", None]
    assert [each["detail"] for each in records] == [{}, {}, {}, None]


async def test_what_listeners_do_is_in_the_log() -> None:
    def fails(event: Event) -> None:
        raise RuntimeError("no")

    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        attached = hub.attach(fails, pattern="fact.*", in_loop=True)
        await hub.emit(FactRead(fact_id="f"))
        await until(lambda: attached.statistics().failed == 1)
        await hub.flush()
    records = [each for each in await AuditLog(store).read_all() if each.get("listener") == "fails"]
    assert [each["kind"] for each in records][:2] == ["listener.attached", "listener.failed"]


async def test_the_log_keeps_all_unless_it_is_told_otherwise() -> None:
    """Over restarts and segments, too."""
    store = MemoryStore()
    for life in range(3):
        async with Hub(store, listeners=[AuditLog(store, rotation=1)]) as hub:
            await hub.emit(FactWritten(fact_id=f"f-{life}"))
    records = await AuditLog(store).read_all()
    assert [each["fact_id"] for each in records if each["kind"] == "fact.written"] == ["f-0", "f-1", "f-2"]
    events = [each["seq"] for each in records if "seq" in each]
    assert events == list(range(len(events)))
    assert len(await list_segments(store, "/audit")) > 3
    await AuditLog(store).verify()


# --- finding records --------------------------------------------------------------------------------------------------


async def written() -> AuditLog:
    """Return the log of a node to which two agents wrote, from which one read, and that a peer was rejected by."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        for tenant, actor, fact in (
            ("acme", "agent:ann", "f-1"),
            ("acme", "agent:bob", "f-2"),
            ("zeta", "agent:ann", "f-1"),
        ):
            with scope(tenant=tenant):
                await hub.emit(FactWritten(fact_id=fact, actor=actor, source="node:a"))
        with scope(tenant="acme"):
            await hub.emit(FactRead(fact_id="f-1", actor="agent:bob", source="node:b"))
            await hub.emit(GenericEvent(kind="peer.rejected", data={"peer_id": "p-1", "attested_key_id": "k-1"}))
    return AuditLog(store)


async def test_records_are_found_by_actor_source_fact_and_key() -> None:
    """Newest first, page by page, and only those of the tenant."""
    audit = await written()

    async def facts(**filters: Any) -> list[str | None]:
        return [each.fields.get("fact_id") async for each in audit.query(tenant="acme", newest_first=True, **filters)]

    assert await facts(kind="fact.*") == ["f-1", "f-2", "f-1"]
    assert await facts(actor="agent:bob") == ["f-1", "f-2"]
    assert await facts(source="node:a") == ["f-2", "f-1"]
    assert await facts(where={"fact_id": "f-2"}) == ["f-2"]
    assert await facts(where={"data.attested_key_id": "k-1"}) == [None]
    page = audit.query(tenant="acme", kind="fact.*", newest_first=True, limit=2)
    assert [each.fields["fact_id"] async for each in page] == ["f-1", "f-2"]
    assert await facts(kind="fact.*", after=page.cursor) == ["f-1"]


async def test_the_trail_of_a_fact_is_read_oldest_first() -> None:
    audit = await written()
    trail = [each.fields["kind"] async for each in audit.query(where={"fact_id": "f-1"}, tenant="acme")]
    assert trail == ["fact.written", "fact.read"]
    assert [each async for each in audit.query(where={"fact_id": "f-9"})] == []


async def test_what_peers_sent_is_found() -> None:
    """In the same log, by the field that names the peer."""
    audit = await written()
    found = [each.fields["kind"] async for each in audit.query(where={"data.peer_id": "p-1"})]
    assert found == ["peer.rejected"]
