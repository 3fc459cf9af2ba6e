"""What was: events, one event, counts, facets and exports, as a dashboard answers them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError
from hubwire.events import GenericEvent, ToolCalled, ToolFailed
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.listeners.dashboard._history import FACETS
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import MemoryStore
from support.dashboard import signed_in

TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ann", "bob", "eve")}
PEOPLE = [
    Person(name="ann", role="admin", token=TOKENS["ann"], contents=True),
    Person(name="bob", token=TOKENS["bob"], tenants=("acme",), contents=True),
    Person(name="eve", token=TOKENS["eve"]),
]
SECRET = "sk-proj-AbCdEf0123456789AbCdEf0123456789"
CALLS = 20


@asynccontextmanager
async def lived(*, redacts: bool = True) -> AsyncIterator[tuple[Hub, MemoryStore]]:
    """A hub that has lived: two agents, a channel, calls of which each fails, and a tenant's events."""
    store = MemoryStore()
    audit = AuditLog(store, redactor="default" if redacts else None, rotation=8192)
    async with Hub(store, listeners=[audit]) as hub:
        coder, tester = await hub.agents.register("coder"), await hub.agents.register("tester")
        channel = await hub.channels.open([coder, tester], topic="fix the build")
        await channel.post(coder, f"write to jane@example.com, the key is {SECRET}")
        for number in range(CALLS):
            call: dict[str, Any] = {
                "agent_id": coder.id,
                "tool": "pytest",
                "call_id": str(number),
                "correlation_id": "run-1",
            }
            called = await hub.emit(ToolCalled(**call, arguments={"number": number}))
            await hub.emit(ToolFailed(**call, error_type="OSError", error_message="no disk", causation_id=called.id))
        await hub.for_tenant("acme").emit(GenericEvent(kind="order.placed", data={"id": 7}))
        await hub.flush()
        yield hub, store


@asynccontextmanager
async def of_hub(name: str = "ann", **given: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with lived(**given) as (hub, _), signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS[name]) as client:
        yield client


@asynccontextmanager
async def of_log(name: str = "ann") -> AsyncIterator[httpx2.AsyncClient]:
    async with lived() as (_, store):
        dashboard = Dashboard.of_log(store, access=Access(PEOPLE))
        async with signed_in(dashboard, TOKENS[name]) as client:
            yield client


async def events(client: httpx2.AsyncClient, query: str = "") -> Any:
    answer = await client.get(f"api/events?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(params=["hub", "log"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    async with (of_hub if request.param == "hub" else of_log)() as found:
        yield found


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_are_found_by_the_filters_of_queries(client: httpx2.AsyncClient) -> None:
    found = await events(client, "kind=tool.failed&limit=3")
    assert [row["kind"] for row in found["rows"]] == ["tool.failed"] * 3
    row = found["rows"][0]
    assert (row["agent"], row["outcome"], row["meaning"], row["run_id"]) == (
        "coder",
        "failed",
        "wrong",
        "correlation:run-1",
    )
    assert "no disk" in row["words"]
    assert len((await events(client, "agent=coder&kind=tool.*&limit=1000"))["rows"]) == 2 * CALLS
    assert len((await events(client, "kind=tool.called,tool.failed&correlation=run-1&limit=1000"))["rows"]) == 2 * CALLS
    assert (await events(client, "since=-1h&kind=order.*"))["rows"][0]["tenant"] == "acme"
    assert (await events(client, "until=-1h"))["rows"] == []
    assert (await events(client, "text=NO+DISK&limit=1"))["rows"]


async def test_outcomes_are_asked_for_as_rows_tell_them(client: httpx2.AsyncClient) -> None:
    """Most events tell it by their kind alone."""
    rows = (await events(client, "outcome=failed&limit=1000"))["rows"]
    assert [row["outcome"] for row in rows] == ["failed"] * CALLS
    assert (await events(client, "outcome=failure&limit=1000"))["rows"] == rows
    both = (await events(client, "outcome=failed,open&kind=tool.*&limit=1000"))["rows"]
    assert len(both) == 2 * CALLS
    bins = (await client.get("api/histogram?since=-1h&outcome=failed")).json()["bins"]
    assert [sum(each) for each in zip(*bins, strict=True)] == [CALLS, 0, 0]
    facets = (await client.get("api/facets?outcome=failed&fields=kind,outcome")).json()["facets"]
    assert facets == {"kind": [["tool.failed", CALLS]], "outcome": [["failed", CALLS]]}
    assert len((await client.get("api/export?outcome=failed")).text.splitlines()) == CALLS
    cursor = (await events(client, "outcome=failed&limit=5"))["cursor"]
    assert (await events(client, f"outcome=failed&limit=1000&after={cursor}"))["rows"] == rows[5:]


@pytest.mark.parametrize("order", ["", "newest_first=1&"])
async def test_pages_follow_each_other_without_a_gap(client: httpx2.AsyncClient, order: str) -> None:
    whole = [row["seq"] for row in (await events(client, f"{order}limit=1000"))["rows"]]
    assert len(set(whole)) == len(whole) > 2 * CALLS
    assert whole == sorted(whole, reverse=bool(order))
    seen, cursor = [], ""
    for _ in range(100):
        page = await events(client, f"{order}limit=7&after={cursor}")
        seen += [row["seq"] for row in page["rows"]]
        if (cursor := page["cursor"] or "") == "":
            break
    assert seen == whole


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("agnt=coder", "did you mean agent?"),
        ("since=yesterdy", "since"),
        ("since=2026-01-02&until=2026-01-01", "until is exclusive"),
        ("outcome=bad", "outcome is one of"),
        ("limit=0", "limit"),
        ("limit=99999", "limit"),
        ("limit=x", "limit"),
        ("after=q1-forged", "cursor"),
        ("newest_first=yes", "newest_first"),
        ("zone=Mars/Olympus&since=today", "zone"),
        (f"text={'x' * 3000}", "text"),
        ("kind=" + ",".join("abc" for _ in range(200)), "kind"),
        ("clock=1", "no filter 'clock'"),
        ("call=1", "no filter 'call'"),
        ("cls=", "no filter 'cls'"),
        ("where=x", "where"),
    ],
    ids=range(16),
)
async def test_a_filter_that_cannot_be_is_refused_with_advice(query: str, said: str) -> None:
    async with of_hub() as client:
        for path in ("events", "facets", "histogram", "export"):
            if path == "events" or not query.startswith(("limit", "after", "newest")):
                answer = await client.get(f"api/{path}?{query}")
                assert answer.status_code == 400, answer.text
                assert said in json.dumps(answer.json()["error"])


async def test_a_cursor_of_another_log_is_refused() -> None:
    async with of_hub() as client, of_hub() as other:
        cursor = (await events(client, "limit=3"))["cursor"]
        answer = await other.get(f"api/events?after={cursor}")
        assert answer.status_code == 400
        assert "another history" in answer.text


# --- one event --------------------------------------------------------------------------------------------------------


async def test_an_event_is_shown_whole_with_what_it_is_linked_to(client: httpx2.AsyncClient) -> None:
    [row] = (await events(client, "kind=tool.failed&limit=1"))["rows"]
    found = (await client.get(f"api/events/{row['seq']}")).json()
    assert found["row"] == row
    assert found["event"]["error_message"] == "no disk"
    assert found["contents"] == "shown"
    assert found["linked"]["caused_by"]["kind"] == "tool.called"
    assert found["linked"]["correlation_events"] == 2 * CALLS
    assert found["linked"]["run_id"] == "correlation:run-1"


@pytest.mark.parametrize("seq", ["999999", "-1", "1e3", "x", "%00", "9" * 40, "1.5"])
async def test_an_event_that_there_is_not(seq: str) -> None:
    async with of_hub() as client:
        answer = await client.get(f"api/events/{seq}")
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]["message"]


async def test_a_long_record_is_shown_whole() -> None:
    async with lived() as (hub, _):
        sent = await hub.emit(GenericEvent(kind="x.large", data={"text": "long " * 300_000}))
        async with signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS["ann"]) as client:
            found = (await client.get(f"api/events/{sent.seq}")).json()
            assert found["event"]["data"]["text"] == "long " * 300_000
            assert len(found["row"]["words"]) <= 200


async def test_a_large_record_is_redacted_away_from_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of hostile text takes tenths of a second, in which every agent of the hub would wait."""
    threads: list[bool] = []
    real = Redactor.redact_line

    def watched(self: Redactor, line: bytes) -> bytes:
        if b"x.large" in line:
            threads.append(threading.current_thread() is threading.main_thread())
        return real(self, line)

    async with lived() as (hub, _):
        sent = await hub.emit(GenericEvent(kind="x.large", data={"text": "DE12 " * 30_000}))
        async with signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS["ann"]) as client:
            monkeypatch.setattr(Redactor, "redact_line", watched)
            assert (await client.get(f"api/events/{sent.seq}")).json()["event"]["kind"] == "x.large"
    assert threads == [False]


# --- records that are no events ---------------------------------------------------------------------------------------


async def test_records_that_are_no_events_are_shown_on_request(client: httpx2.AsyncClient) -> None:
    """Those of the log's own: they have no number, and are known by their place."""
    assert "log.opened" not in [row["kind"] for row in (await events(client, "limit=1000"))["rows"]]
    rows = (await events(client, "records=1&limit=1000"))["rows"]
    [opened] = [row for row in rows if row["kind"] == "log.opened"]
    assert opened["index"] == 0
    assert "seq" not in opened
    assert all(("seq" in row) != ("index" in row) for row in rows)
    found = (await client.get(f"api/records/{opened['index']}")).json()
    assert found["row"] == opened
    assert found["event"]["kind"] == "log.opened"
    by_place = (await client.get("api/records/5")).json()
    assert by_place == (await client.get(f"api/events/{by_place['row']['seq']}")).json()


@pytest.mark.parametrize("index", ["999999", "-1", "x", "1e3", "9" * 30, "%00"])
async def test_a_record_that_there_is_not(index: str) -> None:
    async with of_hub() as client:
        assert (await client.get(f"api/records/{index}")).status_code in (400, 404)


async def test_records_of_programs_are_shown_and_hidden_as_events_are() -> None:
    store = MemoryStore()
    async with AuditLog(store, redactor=None) as log:
        await log.append({"kind": "bank.opened", "note": f"by {SECRET}"})
        await log.append({"kind": "bank.checked", "agent_id": ["x"], "at": 7, "words": {"text": "of jane@example.com"}})
    dashboard = Dashboard.of_log(store, access=Access(PEOPLE))
    async with signed_in(dashboard, TOKENS["ann"]) as client:
        rows = (await events(client, "records=1&kind=bank.*"))["rows"]
        assert [row["kind"] for row in rows] == ["bank.opened", "bank.checked"]
        answer = await client.get(f"api/records/{rows[0]['index']}")
        assert "[redacted:" in answer.text
        assert SECRET not in answer.text
    dashboard = Dashboard.of_log(store, access=Access(PEOPLE))
    async with signed_in(dashboard, TOKENS["eve"]) as client:
        answer = await client.get(f"api/records/{rows[0]['index']}")
        assert answer.json()["event"] is None
        assert "redacted:" not in answer.text  # only how long it is
    dashboard = Dashboard.of_log(store, access=Access(PEOPLE))
    async with signed_in(dashboard, TOKENS["bob"]) as client:
        assert (await client.get(f"api/records/{rows[0]['index']}")).status_code == 404
        assert (await events(client, "records=1"))["rows"] == []


async def test_facets_of_all_fields_read_the_log_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lived() as (hub, store), signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS["ann"]) as client:
        alone: dict[str, Any] = {}
        for field in FACETS:
            alone |= (await client.get(f"api/facets?fields={field}")).json()["facets"]
        reads: list[str] = []
        read = store.read_bytes

        async def counted(path: str, *where: int) -> bytes | None:
            reads.append(path)
            return await read(path, *where)

        monkeypatch.setattr(store, "read_bytes", counted)
        await client.get("api/facets?fields=kind")
        for_one = sum("/audit/log/" in path for path in reads)
        reads.clear()
        together = (await client.get(f"api/facets?fields={','.join(FACETS)}")).json()["facets"]
        assert together == alone
        assert sum("/audit/log/" in path for path in reads) == for_one > 1


# --- what is hidden ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["events?limit=1000", "export?format=jsonl", "export?format=csv", "events/6"])
async def test_what_is_secret_is_redacted_also_from_a_log_that_has_it(path: str) -> None:
    async with of_hub(redacts=False) as client:
        answer = await client.get(f"api/{path}")
        assert SECRET not in answer.text
        assert "jane@example.com" not in answer.text


@pytest.mark.parametrize("of", ["hub", "log"])
async def test_a_text_is_looked_for_in_what_is_shown(of: str) -> None:
    """Else who may not see a key could find it out, letter by letter."""
    async with lived(redacts=False) as (hub, store):
        access = Access(PEOPLE)
        dashboard = Dashboard(hub, access=access) if of == "hub" else Dashboard.of_log(store, access=access)
        async with signed_in(dashboard, TOKENS["ann"]) as client:
            for text in (SECRET, SECRET[:14], "jane@example.com", "JANE", "redacted", "email"):
                assert (await events(client, f"text={text}&limit=1000"))["rows"] == [], text
                assert (await client.get(f"api/export?text={text}")).text == ""
                assert (await client.get(f"api/facets?text={text}&fields=kind")).json()["counted"] == 0
                assert not sum(map(sum, (await client.get(f"api/histogram?since=-1h&text={text}")).json()["bins"]))
            assert len((await events(client, "text=write+to&limit=1000"))["rows"]) == 1
            assert (await client.get("api/facets?text=write+to&fields=kind")).json()["counted"] == 1
            assert (await client.get("api/events?shown=1")).status_code == 400


async def test_the_dashboard_of_a_log_redacts_as_it_is_told() -> None:
    """Also what is secret by a rule of the program's own."""

    def found(text: str) -> Iterator[tuple[int, int]]:
        at = text.find("no disk")
        if at >= 0:
            yield at, at + len("no disk")

    async with lived() as (_, store):
        redactor = Redactor(rules=[RedactionRule("disks", find=found)])
        dashboard = Dashboard.of_log(store, access=Access(PEOPLE), redactor=redactor)
        async with signed_in(dashboard, TOKENS["ann"]) as client:
            for path in ("events?limit=1000", "export", "board/runs"):
                answer = await client.get(f"api/{path}")
                assert answer.status_code == 200
                assert "no disk" not in answer.text
            assert (await events(client, "text=no+disk"))["rows"] == []
        for wrong in (None, "none", 7, str):
            with pytest.raises(ConfigurationError, match="redactor"):
                Dashboard.of_log(store, redactor=wrong)  # type: ignore[arg-type]


async def test_contents_are_hidden_from_who_may_not_see_them() -> None:
    async with of_hub("eve") as client:
        for path in ("events?limit=1000", "export?format=jsonl", "export?format=csv", "export?format=cloudevents"):
            answer = await client.get(f"api/{path}")
            assert answer.status_code == 200
            assert "no disk" not in answer.text
            assert "write to" not in answer.text
        [row] = (await events(client, "kind=tool.failed&limit=1"))["rows"]
        found = (await client.get(f"api/events/{row['seq']}")).json()
        assert (found["event"], found["contents"]) == (None, "hidden")
        assert "no disk" not in json.dumps(found)
        answer = await client.get("api/events?text=disk")  # otherwise one could guess what is hidden
        assert answer.status_code == 400


@pytest.mark.parametrize("query", ["", "tenant=acme&"])
async def test_a_person_of_a_tenant_sees_nothing_of_others(query: str) -> None:
    async with of_hub("bob") as client:
        rows = (await events(client, f"{query}limit=1000"))["rows"]
        assert [row["kind"] for row in rows] == ["order.placed"]
        assert (await client.get(f"api/events/{rows[0]['seq']}?{query}")).status_code == 200
        assert (await client.get(f"api/events/5?{query}")).status_code == 404
        facets = (await client.get(f"api/facets?{query}fields=kind,agent")).json()
        assert facets == {"facets": {"kind": [["order.placed", 1]], "agent": []}, "counted": 1}
        bins = (await client.get(f"api/histogram?{query}since=-1h")).json()["bins"]
        assert sum(map(sum, bins)) == 1
        lines = (await client.get(f"api/export?{query}")).text.splitlines()
        assert [json.loads(line)["kind"] for line in lines] == ["order.placed"]


async def test_another_tenant_is_refused() -> None:
    async with of_hub("bob") as client:
        for path in ("events", "facets", "histogram", "export", "events/3"):
            assert (await client.get(f"api/{path}?tenant=other")).status_code == 403
        for path in ("listeners", "statistics", "health"):
            assert (await client.get(f"api/{path}")).status_code == 403
        assert (await client.get("metrics")).status_code == 403
        assert (await client.post("api/verify")).status_code == 403


# --- counts -----------------------------------------------------------------------------------------------------------


async def test_a_histogram_counts_every_event_once(client: httpx2.AsyncClient) -> None:
    for bins in (1, 2, 7, 150, 1000):
        found = (await client.get(f"api/histogram?since=-1h&bins={bins}")).json()
        assert sum(each[0] for each in found["bins"]) == CALLS
        whole = (await client.get("api/export")).text.splitlines()  # with the records of the log's own
        assert sum(map(sum, found["bins"])) == len(whole)
        assert len(found["bins"]) <= bins + 2
        assert found["width_seconds"] == pytest.approx(3600 / bins, rel=0.01)
    found = (await client.get("api/histogram?since=-1h&kind=order.*&bins=3")).json()
    assert sum(map(sum, found["bins"])) == 1


@pytest.mark.parametrize(
    "query", ["until=0001-01-01", "since=9999-12-31", "until=9999-12-31T23:59:59-12:00", "since=0001-01-01&bins=1000"]
)
async def test_a_histogram_of_any_time_is_one(query: str) -> None:
    async with of_hub() as client:
        answer = await client.get(f"api/histogram?{query}")
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["bins"]) <= 1001


async def test_facets_name_agents_and_channels(client: httpx2.AsyncClient) -> None:
    found = (await client.get("api/facets?fields=kind,agent,channel,tenant")).json()["facets"]
    assert found["kind"][:2] == [["tool.called", CALLS], ["tool.failed", CALLS]]
    assert found["agent"][0][2] == "coder"
    assert "fix the build" in found["channel"][0][2]
    assert found["tenant"] == [["acme", 1]]
    assert (await client.get("api/facets?fields=nope")).status_code == 400


async def test_tools_and_types_of_errors_are_facets_and_filters(client: httpx2.AsyncClient) -> None:
    asked = "api/facets?fields=tool,error_type"
    found = (await client.get(asked)).json()
    [[tool, calls]], [[error, failures]] = found["facets"]["tool"], found["facets"]["error_type"]
    assert (calls, failures) == (2 * CALLS, CALLS)
    assert found["counted"] > calls
    rows = (await events(client, f"tool={tool}&error={error}&limit=1000"))["rows"]
    assert [row["kind"] for row in rows] == ["tool.failed"] * CALLS
    assert len((await events(client, f"tool=none,{tool}&limit=1000"))["rows"]) == 2 * CALLS
    narrowed = (await client.get(f"{asked}&error={error}")).json()
    assert narrowed == {"facets": {"tool": [[tool, CALLS]], "error_type": [[error, CALLS]]}, "counted": CALLS}
    assert len((await client.get(f"api/export?error={error}")).text.splitlines()) == CALLS
    assert (await events(client, "error=none"))["rows"] == []
    assert (await client.get("api/events?where=tool")).status_code == 400


async def test_names_of_tools_are_told_where_contents_are_hidden() -> None:
    """What agents say is not among them."""
    async with of_hub("eve") as client:
        answer = await client.get("api/facets?fields=tool,error_type")
        assert answer.json()["facets"]["tool"]
        assert "no disk" not in answer.text


# --- exports ----------------------------------------------------------------------------------------------------------


async def test_exports_are_whole_files(client: httpx2.AsyncClient) -> None:
    answer = await client.get("api/export?kind=tool.*")
    assert "attachment" in answer.headers["content-disposition"]
    assert len(answer.text.splitlines()) == 2 * CALLS
    rows = list(csv.DictReader(io.StringIO((await client.get("api/export?kind=tool.*&format=csv")).text)))
    assert [row["kind"] for row in rows[:2]] == ["tool.called", "tool.failed"]
    lines = (await client.get("api/export?kind=tool.*&format=cloudevents")).text.splitlines()
    assert [json.loads(line)["specversion"] for line in lines] == ["1.0"] * 2 * CALLS
    assert (await client.get("api/export?format=exe")).status_code == 400


@pytest.mark.parametrize("order", ["", "newest_first=1&"])
async def test_pages_of_an_export_make_the_whole(client: httpx2.AsyncClient, order: str) -> None:
    """Each says where the next begins, and the last one does not."""
    whole = (await client.get("api/export?outcome=failed")).text.splitlines()
    assert len(whole) == CALLS
    seen, cursor = [], ""
    while True:
        page = await client.get(f"api/export?outcome=failed&{order}limit=7&after={cursor}")
        assert page.status_code == 200
        seen += page.text.splitlines()
        if (cursor := page.headers.get("hubwire-cursor", "")) == "":
            break
        assert len(page.text.splitlines()) == 7
    assert seen == (whole if not order else whole[::-1])
    for wrong in ("limit=0", "limit=10001", "limit=x", "after=q1-forged", "newest_first=2"):
        assert (await client.get(f"api/export?{wrong}")).status_code == 400


async def test_a_page_of_large_records_ends_early() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        for _ in range(300):
            await hub.emit(GenericEvent(kind="own.large", data={"text": "x" * 20_000}))
        await hub.flush()
        async with signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS["ann"]) as client:
            page = await client.get("api/export?kind=own.large&limit=1000")
            count = len(page.text.splitlines())
            assert 200 <= count < 300
            rest = await client.get(f"api/export?kind=own.large&limit=1000&after={page.headers['hubwire-cursor']}")
            assert len(rest.text.splitlines()) == 300 - count
            assert "hubwire-cursor" not in rest.headers


async def test_a_client_that_leaves_an_export_leaves_nothing_behind() -> None:
    async with of_hub() as client:
        for _ in range(10):
            async with client.stream("GET", "api/export") as answer:
                async for _ in answer.aiter_bytes(10):
                    break
        found = await asyncio.gather(*(client.get("api/export") for _ in range(10)))
        assert {each.status_code for each in found} == {200}


async def test_a_hundred_questions_at_once_are_all_answered() -> None:
    async with lived() as (hub, _):
        dashboard = Dashboard(hub, access=Access(PEOPLE))
        async with signed_in(dashboard, TOKENS["ann"]) as client:
            found = await asyncio.gather(*(client.get(f"api/events?limit={each + 2}") for each in range(100)))
            assert {each.status_code for each in found} == {200}
            assert [each.json()["rows"][0]["seq"] for each in found] == [0] * 100
        assert hub.health().healthy


# --- without an audit log ---------------------------------------------------------------------------------------------


async def test_a_hub_without_an_audit_log_says_what_to_do() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub)) as client:
        found = (await client.get("api/histogram")).json()  # each page asks it when it comes
        assert (found["bins"], "no audit log" in found["text"]) == ([], True)
        for path in ("events", "events/1", "facets", "export"):
            answer = await client.get(f"api/{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_log")
            assert "AuditLog(store)" in answer.json()["error"]["suggestion"]
