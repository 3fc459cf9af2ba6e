"""Whether the log is whole and the hub well, as a dashboard tells it; and the description of the interface."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openapi_spec_validator
import pytest
from anyio import to_thread

from hubwire import Hub
from hubwire.errors import StoreError
from hubwire.events import GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import examine
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.listeners.prometheus import PrometheusMetrics
from hubwire.proof import KeySigner, Note
from hubwire.runtimes import Recorder
from hubwire.stores import FileStore, MemoryStore
from support.dashboard import Frames, sign_in, signed_in, stranger
from support.house import ROOT

READER = "token-of-a-reader-" + "x" * 20


@asynccontextmanager
async def written(path: Path, count: int = 50) -> AsyncIterator[Hub]:
    store = FileStore(path)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit_many([GenericEvent(kind="x.y", data={"number": number}) for number in range(count)])
        yield hub


def change_a_byte(path: Path) -> None:
    [segment] = (path / "audit" / "log").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b'"number":20', b'"number":21'))


async def verified(client: httpx2.AsyncClient) -> dict[str, Any]:
    """Verify, and return what was found."""
    answer = await client.post("api/verify")
    assert answer.status_code == 202
    with anyio.fail_after(20):
        while True:
            found: dict[str, Any] = (await client.get("api/verify")).json()
            if found["state"] != "checking":
                return found
            await anyio.sleep(0.02)  # who asks without a pause is refused


# --- verify -----------------------------------------------------------------------------------------------------------


async def test_a_whole_log_is_verified_to_its_end(tmp_path: Path) -> None:
    async with written(tmp_path) as hub, signed_in(Dashboard(hub)) as client:
        assert (await client.get("api/verify")).json()["state"] == "none"
        await hub.flush()
        least = hub.statistics().applied - 1  # the hub itself may say more meanwhile
        found = await verified(client)
        assert found["state"] == "verified"
        assert least <= found["seq"] < hub.statistics().applied
        assert found["at"]


async def test_a_signed_log_is_verified_by_its_own_key(tmp_path: Path) -> None:
    """What another key has signed is no checkpoint of this hub's."""
    pytest.importorskip("cryptography")
    key, thief = KeySigner.new("example.org/hub/audit"), KeySigner.new("example.org/hub/audit")
    store = FileStore(tmp_path)
    audit = AuditLog(store, signer=key, checkpoint_seconds=600.0)
    async with Hub(store, listeners=[audit]) as hub, signed_in(Dashboard(hub)) as client:
        await hub.emit(GenericEvent(kind="x.y"))
        assert (await verified(client))["state"] == "verified", "it has signed nothing yet"
        note = await audit.checkpoint()
        found = await verified(client)
        assert (found["state"], found["text"]) == ("verified", "")
        await store.write("/audit/checkpoint", str(Note(note.text, (thief.signature(note.text.encode()),))))
        found = await verified(client)
        assert found["state"] == "broken"
        assert "is not signed by" in found["text"]


async def test_one_changed_byte_is_found_and_told_in_ticks(tmp_path: Path) -> None:
    async with written(tmp_path):
        pass
    await to_thread.run_sync(change_a_byte, tmp_path)
    dashboard = Dashboard.of_log(FileStore(tmp_path))
    async with signed_in(dashboard) as client:
        found = await verified(client)
        assert found["state"] == "broken"
        assert "record" in found["text"]
        async with Frames.of(client, "api/stream?boards=1") as frames:
            assert (await frames.of_event("tick")).data["verify"]["state"] == "broken"


@pytest.mark.slow
async def test_verifying_shows_how_far_it_is_and_can_be_stopped(tmp_path: Path) -> None:
    async with written(tmp_path, 1000) as hub:
        for _ in range(30):
            await hub.emit_many([GenericEvent(kind="x.y", data={"text": "x" * 100}) for _ in range(1000)])
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client:
            await hub.flush()
            least = hub.statistics().applied - 1  # the hub itself may say more meanwhile
            first = (await client.post("api/verify")).json()
            assert first["state"] == "checking"
            assert least <= first["of"] < hub.statistics().applied
            reading = dashboard._parts.verifying._reading
            again = (await client.post("api/verify")).json()
            if dashboard._parts.verifying._reading is reading:  # one reading serves all, as long as it goes on
                assert again["seq"] >= first["seq"]
            found = (await client.request("DELETE", "api/verify")).json()
            assert found["state"] in ("stopped", "verified")
            assert (await verified(client))["state"] == "verified"


async def test_a_reading_that_is_stopped_before_it_begins_is_over(tmp_path: Path) -> None:
    async with written(tmp_path) as hub:
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client:
            verifying = dashboard._parts.verifying
            await verifying.start()
            await verifying.stop()
            assert (await client.get("api/verify")).json()["state"] == "stopped"
            assert (await verified(client))["state"] == "verified"


async def test_the_loop_has_its_turns_while_a_log_is_verified() -> None:
    """A hub is at work in it: a megabyte of short records is not looked at in one turn."""
    store = MemoryStore()
    async with Hub(listeners=[AuditLog(store)]) as hub:
        for _ in range(8):
            await hub.emit_many([GenericEvent(kind="x.y", data={}) for _ in range(1000)])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    found = await examine(store)
    counting.cancel()
    assert found.records > 8000
    assert turns > 25


@pytest.mark.parametrize("error", [StoreError("the disk is gone"), ZeroDivisionError("secret")], ids=repr)
async def test_a_log_that_cannot_be_read_is_said_to_be(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def examine(*_: Any, **__: Any) -> None:
        raise error

    async with written(tmp_path) as hub, signed_in(Dashboard(hub)) as client:
        monkeypatch.setattr("hubwire.listeners.dashboard._verifying.examine", examine)
        found = await verified(client)
        assert found["state"] == "stopped"
        assert "could not be read" in found["text"]
        assert "secret" not in found["text"]
        monkeypatch.undo()
        assert (await verified(client))["state"] == "verified"


async def test_a_journal_alone_is_not_verified() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub)) as client:
        answer = await client.post("api/verify")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_log")


async def test_a_dashboard_that_closes_leaves_no_reading_behind(tmp_path: Path) -> None:
    async with written(tmp_path, 1000) as hub:
        async with signed_in(Dashboard(hub)) as client:
            await client.post("api/verify")
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert "hubwire dashboard verify" not in names


# --- health -----------------------------------------------------------------------------------------------------------


async def test_those_who_watch_over_processes_need_no_token(tmp_path: Path) -> None:
    async with written(tmp_path) as hub, stranger(Dashboard(hub)) as client:
        for path in ("healthz", "readyz"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (200, "ok\n")
        for path in ("api/health", "api/statistics", "api/listeners", "metrics", "api/openapi.json"):
            assert (await client.get(path)).status_code == 401
        await hub.aclose()
        assert (await client.get("healthz")).status_code == 200
        answer = await client.get("readyz")
        assert (answer.status_code, answer.text) == (503, "not ready\n")


async def test_health_and_numbers_are_those_of_the_hub(tmp_path: Path) -> None:
    async with written(tmp_path) as hub, signed_in(Dashboard(hub)) as client:
        assert (await client.get("api/health")).json()["healthy"] is True
        statistics = (await client.get("api/statistics")).json()
        assert statistics["committed"] == hub.statistics().committed
        assert [each["name"] for each in statistics["attachments"]] == ["AuditLog", "LiveTail"]


async def test_listeners_have_their_numbers_and_the_hub_its_watermarks(tmp_path: Path) -> None:
    async with written(tmp_path) as hub:

        async def fails(_: object) -> None:
            raise ValueError("the key is sk-proj-AbCdEf0123456789AbCdEf0123456789")

        hub.attach(fails, name="sick")
        await hub.emit(GenericEvent(kind="x.y"))
        await hub.flush()
        everyone = Access([Person(name="ann", token=READER, contents=True)])
        async with signed_in(Dashboard(hub, access=everyone), READER) as client:
            answer = await client.get("api/listeners")
        found = answer.json()
        rows = {row["listener"]: row for row in found["rows"]}
        # They are read one after the other, and the hub itself says more meanwhile.
        assert abs(rows["AuditLog"]["handled"] - found["watermarks"]["audited"] - 1) < 5
        assert rows["sick"]["failed"] > 0
        assert "sk-proj" not in answer.text
        figures = found["figures"]
        assert figures["audit"]["records"] > 50
        assert figures["journal"]["bytes"] > 1000
        assert figures["hub"]["healthy"] in (True, False)
        assert figures["feeds"] is None


async def test_the_figures_of_feeds_are_told(tmp_path: Path) -> None:
    async with written(tmp_path) as hub, Recorder(hub, source="try", queue_max=4) as recorder:
        for number in range(9):
            recorder.begin_tool(f"x{number}", "lint", agent="a")
        await recorder.flush()
        async with signed_in(Dashboard(hub)) as client:
            figures = (await client.get("api/listeners")).json()["figures"]
        assert figures["feeds"] == {"count": 1, "waiting": 0, "dropped": recorder.statistics().dropped}
        assert figures["feeds"]["dropped"] > 0


async def test_a_log_has_no_hub_to_ask(tmp_path: Path) -> None:
    async with written(tmp_path):
        pass
    async with signed_in(Dashboard.of_log(FileStore(tmp_path))) as client:
        for path in ("api/statistics", "api/health", "api/dead-letters", "metrics"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_hub")
            assert answer.json()["error"]["suggestion"]
        assert (await client.get("readyz")).status_code == 200
        found = (await client.get("api/listeners")).json()
        assert [row["listener"] for row in found["rows"]] == ["AuditLog"]
        assert found["watermarks"] is None


async def test_a_hub_that_has_ended_is_said_to_have(tmp_path: Path) -> None:
    async with written(tmp_path) as hub, signed_in(Dashboard(hub)) as client:
        await hub.aclose()
        for path in ("api/events", "api/verify", "api/health", "api/listeners", "api/board/agents", "api/dead-letters"):
            answer = await client.get(path)
            assert answer.status_code in (200, 409, 503), (path, answer.text)
            if answer.status_code != 200:
                assert answer.json()["error"]["message"]


# --- metrics ----------------------------------------------------------------------------------------------------------


async def test_numbers_for_prometheus_are_those_of_its_listener() -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        answer = await client.get("metrics")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert "PrometheusMetrics()" in answer.text
        hub.attach(await to_thread.run_sync(PrometheusMetrics))  # it imports a package
        await hub.emit(GenericEvent(kind="x.y"))
        await hub.flush()
        answer = await client.get("metrics")
        assert answer.status_code == 200
        assert "hub_events_total" in answer.text


# --- openapi ----------------------------------------------------------------------------------------------------------


async def test_the_interface_is_described_and_every_place_of_it_is_there(tmp_path: Path) -> None:
    async with written(tmp_path) as hub, signed_in(Dashboard(hub)) as client:
        document = (await client.get("api/openapi.json")).json()
        await to_thread.run_sync(openapi_spec_validator.validate, document)
        names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
        assert len(names) == len(set(names))
        for path, operations in document["paths"].items():
            if "get" in operations and path != "/api/stream":
                found = (
                    path.replace("{seq}", "1")
                    .replace("{index}", "1")
                    .replace("{name}/{id}", "agents/x")
                    .replace("{name}", "agents")
                )
                answer = await client.get(found.replace("{id}", "x").removeprefix("/"))
                assert answer.status_code in (200, 404), (path, answer.text)
                for said in operations["get"]["parameters"]:
                    if said["in"] == "query" and answer.status_code == 200 and said["name"] in ("limit", "bins"):
                        refused = await client.get(f"{found.removeprefix('/')}?{said['name']}=x")
                        assert refused.status_code == 400, (path, said)


async def test_the_reference_has_a_row_for_every_place() -> None:
    page = await to_thread.run_sync((ROOT / "docs" / "reference" / "dashboard.md").read_text)
    rows = set(re.findall(r"^\| (GET|POST|DELETE) \| `([^`]+)` \| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    async with Hub() as hub:
        places = Dashboard(hub)._app.endpoints
        assert rows == {(each.method, each.path.replace(":path}", "}"), each.role, each.says) for each in places}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "POST"])
async def test_a_method_that_there_is_not(method: str) -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        answer = await client.request(method, "api/events")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        assert json.loads(answer.text)["error"]["message"]


async def test_signing_in_is_in_the_description_too() -> None:
    async with Hub() as hub, stranger(Dashboard(hub, access=Access([Person(name="ann", token=READER)]))) as client:
        await sign_in(client, READER)
        document = (await client.get("api/openapi.json")).json()
        assert document["paths"]["/api/session"]["post"]["security"] == []
