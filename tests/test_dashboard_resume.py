"""Resuming a suspended listener on a dashboard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from hubwire import Duty, Hub
from hubwire.events import AdminActed, Event, GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import MemoryStore
from support import until
from support.dashboard import signed_in

TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ann", "bob", "red")}
PEOPLE = [
    Person(name="ann", role="operate", token=TOKENS["ann"]),
    Person(name="bob", role="operate", token=TOKENS["bob"], tenants=("acme",)),
    Person(name="red", role="read", token=TOKENS["red"]),
]
NAME = "billing/<b> \u202e?x=1"


class Sick:
    """Fails until it is well."""

    duty = Duty.DURABLE
    pattern = "x.*"

    def __init__(self) -> None:
        self.is_well = False
        self.seen: list[Any] = []

    async def on_events(self, events: Any) -> None:
        if not self.is_well:
            raise ValueError("no route")
        self.seen += [event.data["number"] for event in events]


@asynccontextmanager
async def suspended() -> AsyncIterator[tuple[Hub, Sick]]:
    store, sick = MemoryStore(), Sick()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        attachment = hub.attach(sick, name=NAME, attempts_max=1)
        for number in range(3):
            await hub.emit(GenericEvent(kind="x.y", data={"number": number}))
        await until(lambda: attachment.state.value == "suspended")
        yield hub, sick


@asynccontextmanager
async def as_person(hub: Hub, name: str = "ann") -> AsyncIterator[httpx2.AsyncClient]:
    async with signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS[name]) as client:
        yield client


async def resume(client: httpx2.AsyncClient, name: Any = NAME) -> httpx2.Response:
    return await client.post("api/listeners/resume", json={"listener": name})


async def acted(hub: Hub) -> list[AdminActed]:
    await hub.flush()
    found: list[Event] = []
    async for event in hub.events(after=-1):
        found.append(event)
        if event.seq == hub.statistics().applied - 1:
            break
    return [event for event in found if isinstance(event, AdminActed)]


async def test_a_resumed_listener_goes_on_with_the_event_at_which_it_failed() -> None:
    async with suspended() as (hub, sick), as_person(hub) as client:
        sick.is_well = True
        answer = await resume(client)
        assert answer.status_code == 200, answer.text
        assert answer.json()["listener"]["listener"] == NAME
        await until(lambda: sick.seen == [0, 1, 2])
        (event,) = await acted(hub)
        assert (event.actor, event.action, event.target) == ("ann", "listener.resume", NAME)


async def test_a_listener_that_runs_is_left_alone() -> None:
    async with suspended() as (hub, sick), as_person(hub) as client:
        answer = await resume(client, "AuditLog")
        assert answer.status_code == 200, answer.text
        assert answer.json()["listener"]["phase"] == "running"
        assert sick.seen == []


HOSTILE_NAMES: list[Any] = [None, 0, True, [], {}, "", ["sick"], 1e308]


@pytest.mark.parametrize(
    ("person", "name", "status"),
    [
        ("red", NAME, 403),
        ("bob", NAME, 403),
        *[("ann", each, 404) for each in ("nobody", "\x00", "x" * 5000)],
        *[("ann", each, 400) for each in HOSTILE_NAMES],
    ],
)
async def test_what_may_not_be_resumed_changes_nothing(person: str, name: Any, status: int) -> None:
    async with suspended() as (hub, sick), as_person(hub, person) as client:
        sick.is_well = True
        answer = await resume(client, name)
        assert answer.status_code == status, answer.text
        assert sick.seen == []
        assert await acted(hub) == []
