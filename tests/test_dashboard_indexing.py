"""Writing the indexes of a hub's audit log on a dashboard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from hubwire import Hub
from hubwire.events import AdminActed, GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.query import Selection, query
from hubwire.stores import MemoryStore
from support.dashboard import signed_in

TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ann", "bob", "red")}
PEOPLE = [
    Person(name="ann", role="operate", token=TOKENS["ann"]),
    Person(name="bob", role="operate", token=TOKENS["bob"], tenants=("acme",)),
    Person(name="red", role="read", token=TOKENS["red"]),
]


@asynccontextmanager
async def lived(*, has_log: bool = True) -> AsyncIterator[tuple[Hub, MemoryStore]]:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store, rotation=4096)] if has_log else []) as hub:
        for number in range(60):
            await hub.emit(GenericEvent(kind="x.y", data={"number": number}))
        await hub.flush()
        yield hub, store


async def ask(hub: Hub, name: str) -> httpx2.Response:
    async with signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS[name]) as client:
        return await client.post("api/index", json={})


async def test_indexes_are_written_and_used_and_the_log_says_by_whom() -> None:
    async with lived() as (hub, store):
        done = await ask(hub, "ann")
        assert done.status_code == 200
        assert done.json()["made"] == done.json()["segments"] > 2
        assert (await ask(hub, "ann")).json()["made"] == 0
        found = query(store, "/audit", kind_of("agent.registered"))
        assert [each async for each in found] == []
        assert found.looked.passed_segments > 2
        await hub.flush()
        acts = [each.fields async for each in query(store, "/audit", kind_of(AdminActed.kind))]
        assert {(act["actor"], act["action"], act["target"]) for act in acts} == {("ann", "log.index", "/audit")}


async def test_who_may_not_write_indexes_is_refused_and_none_is_there() -> None:
    async with lived() as (hub, store):
        for name in ("bob", "red"):
            assert (await ask(hub, name)).status_code == 403
        assert await store.list("/audit/index") == []
        dashboard = Dashboard.of_log(store, access=Access(PEOPLE))
        async with signed_in(dashboard, TOKENS["ann"]) as client:
            assert (await client.post("api/index", json={})).status_code == 409


async def test_a_journal_has_no_indexes() -> None:
    async with lived(has_log=False) as (hub, _):
        refused = await ask(hub, "ann")
        assert refused.status_code == 404
        assert "a journal has no indexes" in refused.text


def kind_of(kind: str) -> Selection:
    return Selection.of(kind=kind)
