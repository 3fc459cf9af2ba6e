"""What people who may see a part of a dashboard could see of the rest, and harm."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest

from hubwire import Hub
from hubwire.events import Event, GenericEvent, ToolCalled
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person, _boards, _history, _logs, _stream
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import until
from support.dashboard import Frames, signed_in, stranger

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


# --- who is slow, and what is large -----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_downloads_that_nobody_takes_keep_no_one_from_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logs, "_WAIT_SECONDS", 1.0)
    async with unredacted() as hub:
        for _ in range(6):
            await hub.emit_many([GenericEvent(kind="x.y", data={"text": "x" * 3000}) for _ in range(1000)])
        await hub.flush()
        async with seen_by(hub, "ann") as client, AsyncExitStack() as stack:
            answers = [await stack.enter_async_context(client.stream("GET", "api/export")) for _ in range(6)]
            assert {answer.status_code for answer in answers} == {200}
            assert (await client.get("api/events?limit=1")).status_code == 200
            total = sum([len(piece) async for piece in answers[-1].aiter_bytes()])
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


# --- who is no longer let in, and who only seems to attack ------------------------------------------------------------


@pytest.mark.parametrize("then", [None, Person(name="m", tenants=("acme",)), Person(name="m", contents=True)], ids=repr)
async def test_a_stream_ends_when_the_program_recognises_its_person_no_more(
    then: Person | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or as one who may see less, or more: the client comes again, and gets what that one may see."""
    monkeypatch.setattr(_stream, "_HEARTBEAT_SECONDS", 0.05)
    recognised: list[Person | None] = [Person(name="m")]
    access = Access(authenticate=lambda _: recognised[-1])
    async with Hub() as hub, stranger(Dashboard(hub, access=access)) as client, Frames.of(client) as frames:
        await frames.of_event("rows")
        recognised.append(then)
        assert (await frames.of_event("stale")).data["code"] == "ended"


async def test_a_program_with_an_old_token_locks_out_no_one_else() -> None:
    """Behind a proxy all come from one address."""
    async with Hub() as hub, stranger(Dashboard(hub, access=Access(PEOPLE))) as client:
        old, right = {"Authorization": f"Bearer {'o' * 30}"}, {"Authorization": f"Bearer {TOKENS['ann']}"}
        for _ in range(30):
            assert (await client.get("api/session", headers=old)).status_code == 401
        assert (await client.get("api/session", headers=right)).status_code == 200
        guesses = [{"Authorization": f"Bearer {'o' * 30}{number}"} for number in range(10)]
        answers = [await client.get("api/session", headers=guess) for guess in guesses]
        assert answers[-1].status_code == 429


# --- a hub, or a board, that fails ------------------------------------------------------------------------------------


class Stuck:
    """A listener that does not end with an event until it is let go."""

    def __init__(self) -> None:
        self.is_free = asyncio.Event()

    async def on_events(self, events: Sequence[Event]) -> None:
        await self.is_free.wait()


async def test_a_decision_is_answered_while_a_listener_is_stuck() -> None:
    async with Hub() as hub:
        hub.attach(stuck := Stuck())
        agent = await hub.agents.register("refunds")
        gate = asyncio.create_task(hub.approvals.gate(agent, "refund", arguments={}))
        await until(lambda: bool(hub.approvals.pending()))
        which = hub.approvals.pending()[0].approval_id
        async with seen_by(hub, "ann") as client, asyncio.timeout(10):
            answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"})
            assert answer.json()["approval"]["state"] == "approved"
        await gate
        stuck.is_free.set()


async def test_a_board_that_was_asked_for_before_its_hub_began_is_there_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_boards, "_AGAIN_SECONDS", 0.0)
    hub = Hub()
    dashboard = Dashboard(hub)
    async with signed_in(dashboard) as client:
        answer = await client.get("api/board/agents")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ended")
        async with hub:
            await hub.agents.register("coder")
            assert [row["name"] for row in (await client.get("api/board/agents")).json()["rows"]] == ["coder"]


async def test_a_board_that_cannot_fold_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fold(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("hubwire.board.Board.fold", fold)
    async with Hub() as hub, seen_by(hub, "ann") as client:
        async with Frames.of(client, "api/stream?boards=1") as frames:
            assert "ZeroDivisionError" in (await frames.of_event("tick")).data["problem"]["text"]
            assert (await frames.of_event("rows")).data
        assert (await client.get("api/board/agents")).status_code == 503


@pytest.mark.slow
async def test_a_board_goes_on_while_its_clock_stands_still() -> None:
    async with Hub() as hub, seen_by(hub, "ann", clock=ManualClock()) as client:
        assert not (await client.get("api/board/agents")).json()["rows"]
        await hub.agents.register("coder")
        rows: list[Any] = []
        for _ in range(100):
            if rows := (await client.get("api/board/agents")).json()["rows"]:
                break
            await asyncio.sleep(0.1)
        assert [row["name"] for row in rows] == ["coder"]


# --- every place of the interface, by who asks ------------------------------------------------------------------------


OF_ALL = {
    *("GET /api/listeners", "POST /api/listeners/resume", "GET /api/statistics", "GET /api/health", "GET /metrics"),
    *("POST /api/verify", "DELETE /api/verify", "GET /api/board/listeners", "POST /api/index"),
}
"""What a person of some tenants alone is refused."""
OPERATE = {
    *("POST /api/approvals/{id}/decision", "POST /api/dead-letters/retry", "POST /api/dead-letters/discard"),
    *("POST /api/listeners/resume", "POST /api/index"),
}
BODIES = {"resume": {"listener": "none"}, "decision": {"verdict": "approve"}, "retry": {"ids": ["x"]}}
BODIES["discard"] = BODIES["retry"]


@asynccontextmanager
async def of_tenants() -> AsyncIterator[tuple[Hub, Dashboard, dict[str, str]]]:
    """A hub of two tenants, and what the rival has: the names and ids that the other one must not see."""
    store = MemoryStore()
    people = [*PEOPLE, Person(name="red", token=TOKENS["eve"] + "2", tenants=("acme",), contents=True)]
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.for_tenant("acme").agents.register("of acme")
        rival = hub.for_tenant("rival")
        agent = await rival.agents.register("rival-agent")
        channel = await rival.channels.open([agent], topic="rival-topic")
        await rival.emit(GenericEvent(kind="rival.kind", data={"text": "rival-data"}, correlation_id="rival-run"))
        gate = asyncio.create_task(hub.approvals.gate(agent, "rival-action", arguments={"to": "rival-argument"}))
        await until(lambda: bool(hub.approvals.pending()))
        await hub.flush()
        which = hub.approvals.pending()[0].approval_id
        ids = {"agent": agent.id, "channel": channel.id, "approval": which}
        try:
            yield hub, Dashboard(hub, access=Access(people)), ids
        finally:
            gate.cancel()
            await asyncio.wait([gate])


def places(dashboard: Dashboard, ids: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return all there is to ask, each with the place that it is of; but the stream, which does not end."""
    found = []
    for each in dashboard._app.endpoints:
        if each.path == "/api/board/{name}":
            names = ("agents", "channels", "runs", "tasks", "approvals", "links", "troubles", "listeners")
            paths = [f"/api/board/{name}" for name in names]
        elif each.path == "/api/board/{name}/{id:path}":
            paths = [f"/api/board/agents/{ids['agent']}", f"/api/board/channels/{ids['channel']}"]
            paths.append("/api/board/runs/correlation:rival-run")
        elif each.path == "/api/events/{seq}":
            paths = [f"/api/events/{seq}" for seq in range(20)]
        else:
            paths = [each.path.replace("{id}", ids["approval"])]
        found += [(each.method, path, each.path) for path in paths if path != "/api/stream"]
    return [each for each in found if each[:2] != ("DELETE", "/api/session")]


async def ask(client: httpx2.AsyncClient, method: str, path: str) -> httpx2.Response:
    body = BODIES.get(path.rpartition("/")[2]) if method == "POST" else None
    return await client.request(method, path.removeprefix("/"), json=body)


async def test_nobody_gets_more_than_a_word() -> None:
    async with of_tenants() as (_, dashboard, ids), stranger(dashboard) as client:
        for method, path, _ in places(dashboard, ids):
            answer = await ask(client, method, path)
            if path in ("/healthz", "/readyz"):
                assert answer.text in ("ok\n", "not ready\n")
            else:
                assert answer.status_code == 401, path


async def test_who_may_look_does_nothing_else() -> None:
    async with of_tenants() as (hub, dashboard, ids), signed_in(dashboard, TOKENS["eve"]) as client:
        for method, path, place in places(dashboard, ids):
            answer = await ask(client, method, path)
            assert (answer.status_code == 403) is (f"{method} {place}" in OPERATE), (method, path, answer.text)
            assert "rival-data" not in answer.text, path
            assert "rival-argument" not in answer.text, path
        assert hub.approvals.pending()


@pytest.mark.parametrize("token", [TOKENS["bob"], TOKENS["eve"] + "2"], ids=["operates", "reads"])
async def test_a_person_of_a_tenant_learns_nothing_of_another(token: str) -> None:
    async with of_tenants() as (hub, dashboard, ids), signed_in(dashboard, token) as client:
        for method, path, place in places(dashboard, ids):
            answer = await ask(client, method, path)
            shown = answer.text
            assert "rival" not in shown.replace("rival-run", ""), path
            assert not any(each in shown for each in ids.values() if each not in path), path
            may_not = {f"{method} {place}", f"{method} {path}"} & (
                OF_ALL | OPERATE if token != TOKENS["bob"] else OF_ALL
            )
            assert (answer.status_code == 403) is bool(may_not), (method, path, answer.text)
        assert hub.approvals.pending()
        async with Frames.of(client, "api/stream?boards=1&raw=1") as frames:
            seen = [await frames.next() for _ in range(2)]
            assert "rival" not in str(seen)
            assert "of acme" in str(seen)
