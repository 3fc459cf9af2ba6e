"""What people who may see a part of a dashboard could see of the rest, and harm."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest

from hubwire import Hub
from hubwire.events import GenericEvent, ToolCalled
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person, _history, _logs
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import MemoryStore
from support import until
from support.dashboard import signed_in

TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ann", "bob", "eve")}
PEOPLE = [
    Person(name="ann", role="admin", token=TOKENS["ann"], contents=True),
    Person(name="bob", role="operate", token=TOKENS["bob"], tenants=("acme",), contents=True),
    Person(name="eve", token=TOKENS["eve"]),
]


@asynccontextmanager
async def unredacted() -> AsyncIterator[Hub]:
    """A hub whose audit log has all as it was."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store, redactor=None)]) as hub:
        yield hub


@asynccontextmanager
async def seen_by(hub: Hub, name: str, **given: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with signed_in(Dashboard(hub, access=Access(PEOPLE), **given), TOKENS[name]) as client:
        yield client


def badges(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"badge-[0-9]+", text)]


# --- redaction --------------------------------------------------------------------------------------------------------


async def test_a_redactor_of_ones_own_redacts_all_that_is_shown() -> None:
    """Also what does not come by the stream: events of the log, exports, and what agents want to act with."""
    async with unredacted() as hub:
        agent = await hub.agents.register("agent of badge-17")
        event = await hub.emit(ToolCalled(agent_id=agent.id, tool="find", call_id="1", arguments={"of": "badge-18"}))
        await hub.emit(GenericEvent(kind="x.y", data={}, source="badge-20"))
        gate = asyncio.create_task(hub.approvals.gate(agent, "open", arguments={"of": "badge-19"}))
        await until(lambda: bool(hub.approvals.pending()))
        await hub.flush()
        which = hub.approvals.pending()[0].approval_id
        redactor = Redactor(rules=[RedactionRule("badge", find=badges)])
        async with seen_by(hub, "ann", redactor=redactor) as client:
            for path in (
                "api/events?limit=1000",
                f"api/events/{event.seq}",
                "api/export",
                "api/export?format=csv",
                "api/facets?fields=source,agent",
                "api/board/agents",
                f"api/approvals/{which}",
            ):
                answer = await client.get(path)
                assert answer.status_code == 200, answer.text
                assert "redacted:badge" in answer.text, path
                assert "badge-" not in answer.text, path
        gate.cancel()
        await asyncio.wait([gate])


@pytest.mark.parametrize("path", ["api/events?limit=1000", "api/export", "api/export?format=csv", "api/facets"])
async def test_names_are_redacted_where_they_are_all_that_is_shown(path: str) -> None:
    async with unredacted() as hub:
        jane = await hub.agents.register("jane@example.com")
        await hub.emit(ToolCalled(agent_id=jane.id, tool="mail jane@example.com", call_id="1"))
        await hub.flush()
        async with seen_by(hub, "eve") as client:
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "redacted:email" in answer.text
            assert "jane@" not in answer.text


# --- who is slow, and what is large ------------------------------------------------------------------------------------


async def test_downloads_that_nobody_takes_keep_no_one_from_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logs, "_WAIT_SECONDS", 1.0)
    async with unredacted() as hub:
        for _ in range(6):
            await hub.emit_many([GenericEvent(kind="x.y", data={"text": "x" * 3000}) for _ in range(1000)])
        await hub.flush()
        async with seen_by(hub, "ann") as client, AsyncExitStack() as stack:
            for _ in range(6):
                answer = await stack.enter_async_context(client.stream("GET", "api/export"))
                assert answer.status_code == 200
            assert (await client.get("api/events?limit=1")).status_code == 200
            total = sum([len(piece) async for piece in answer.aiter_bytes()])
            assert total > 6 * 1000 * 3000


async def test_the_head_of_a_download_reads_nothing() -> None:
    async with unredacted() as hub, seen_by(hub, "ann") as client:
        answer = await client.head("api/export?format=csv")
        assert (answer.status_code, answer.content) == (200, b"")
        assert "attachment" in answer.headers["Content-Disposition"]


@pytest.mark.parametrize("path", ["events", "histogram", "facets"])
async def test_a_log_that_is_too_large_to_be_read_at_once_is_said_to_be(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_history, "_SECONDS", 0.0)
    async with unredacted() as hub, seen_by(hub, "ann") as client:
        answer = await client.get(f"api/{path}")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "overloaded")
        assert "since=" in error["suggestion"]
