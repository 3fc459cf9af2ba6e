"""Counts, and approvals as rows."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hubwire import ApprovalPolicy, Hub
from hubwire.approvals import FunctionApprover
from hubwire.errors import ConfigurationError, HubError, LogDamaged, NotApproved
from hubwire.listeners import AuditLog
from hubwire.log import segment_path
from hubwire.query import Selection, approvals, count, count_each, index_log
from hubwire.stores import MemoryStore
from support.queries import START_NS, at, record, write_log

START = datetime.fromtimestamp(START_NS // 10**9, UTC)


async def log_of(*records: dict[str, Any], **options: Any) -> MemoryStore:
    store = MemoryStore()
    await write_log(store, records, **options)
    return store


# --- counts -----------------------------------------------------------------------------------------------------------


async def test_records_are_counted_by_fields() -> None:
    """Of all records, and of those that are selected."""
    records = [record(number) for number in range(200)]
    random.Random(1).shuffle(records)
    store = await log_of(*records, records_max=1000)
    counts = await count(store, by=["kind", "agent"])
    expected = Counter((each["kind"], each["agent_id"]) for each in records)
    assert counts.fields == ("kind", "agent_id")
    assert {row.values: row.count for row in counts.rows} == expected
    assert [row.count for row in counts.rows] == sorted(expected.values(), reverse=True)
    assert counts.total == 200
    selected = await count(store, selection=Selection.of(agent="agent-3", until=at(100)), by="kind")
    chosen = [each for each in records if each["agent_id"] == "agent-3" and each["n"] < 100]
    assert {row.values[0]: row.count for row in selected.rows} == Counter(each["kind"] for each in chosen)


async def test_an_index_changes_no_count() -> None:
    store = await log_of(*map(record, range(200)), records_max=20)
    selection = Selection.of(agent="agent-3", since=at(30), until=at(150))
    before = await count(store, selection=selection, every="1m")
    await index_log(store)
    after = await count(store, selection=selection, every="1m")
    assert after.rows == before.rows
    assert after.looked.passed_segments > 0


async def test_values_that_are_no_text_are_counted_as_json() -> None:
    values: list[Any] = [None, True, 1, 1.5, "1", [1, {"a": 2}], {"a": 1}, {"a": 1}]
    store = await log_of(*({"data": value} for value in values), {"n": 1})
    counts = await count(store, by="data")
    assert {row.values[0]: row.count for row in counts.rows} == {
        "null": 1,
        "true": 1,
        "1": 2,
        "1.5": 1,
        '[1,{"a":2}]': 1,
        '{"a":1}': 2,
        None: 1,
    }
    nested = await count(store, by="data.a")
    assert {row.values[0]: row.count for row in nested.rows} == {None: 7, "1": 2}


async def test_counts_go_by_periods() -> None:
    """Records without a time are in none of them."""
    store = await log_of(*(record(number * 60) for number in range(120)), {"n": 1, "at": "soon", "kind": "x"})
    counts = await count(store, by="kind", every="1h", selection=Selection.of(kind="tool.called"))
    assert [row.begins for row in counts.rows] == [START, START.replace(hour=9)]
    assert [row.count for row in counts.rows] == [60, 60]
    undated = (await count(store, by="kind", every=3600)).rows[0]
    assert (undated.begins, undated.values) == (None, ("x",))


async def test_an_hour_that_a_zone_has_twice_is_two_periods() -> None:
    """When the clocks go back, and when they go forward; and a clock that jumps back sorts its records by time."""
    times = ["2026-10-25T01:10:00Z", "2026-10-25T00:10:00Z", "2026-10-25T00:40:00Z", "2026-10-25T02:10:00Z"]
    times += ["2026-03-29T01:59:00Z", "2026-03-29T00:59:00Z"]
    store = await log_of(*[{"kind": "a.b", "at": each} for each in times])
    counts = await count(store, every="1h", zone="Europe/Berlin")
    assert [(row.begins.isoformat(), row.count) for row in counts.rows if row.begins is not None] == [
        ("2026-03-29T01:00:00+01:00", 1),
        ("2026-03-29T03:00:00+02:00", 1),
        ("2026-10-25T02:00:00+02:00", 2),
        ("2026-10-25T02:00:00+01:00", 1),
        ("2026-10-25T03:00:00+01:00", 1),
    ]
    days = await count(store, every="1d", zone="America/Santiago")  # its clocks go back and forward at midnight
    assert sum(row.count for row in days.rows) == len(times)
    assert all(row.begins is not None and row.begins.hour in (0, 1) for row in days.rows)


FAR = ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z", 1e11, 8e13, -8e13, 1e308]
FAR += ["0001-01-01T00:00:00+05:00", "9999-12-31T23:30:00-08:00"]


@pytest.mark.parametrize("every", [0.25, "1h", "1d", "1w", 1e11, "999999999w"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles"])
async def test_a_time_at_the_end_of_the_calendar_is_counted(zone: str, every: Any) -> None:
    """One that is in no calendar counts as none."""
    store = await log_of(*[{"kind": "a.b", "at": each} for each in FAR])
    counts = await count(store, every=every, zone=zone)
    assert sum(row.count for row in counts.rows if row.begins is None) == 5
    assert counts.total == len(FAR)
    for since, until in (("-999999999w", None), ("0001-01-01", "9999-12-31T23:59:59.999999"), (None, "9999-12-31")):
        selected = Selection.of(since=since, until=until, zone=zone)
        assert (selected.since_at, selected.until_at) != (None, None)
        assert (await count(store, selection=selected, every=every, zone=zone)).total in (1, 2, 3)


@pytest.mark.parametrize("every", [0.25, "1s", "90s", "7m", "1h30m", "1d", "1w"])
async def test_each_record_is_in_the_period_of_its_time(every: Any) -> None:
    records = [{"at": at(number * 0.3), "n": number} for number in range(300)]
    counts = await count(await log_of(*records), by="n", every=every)
    seconds = {0.25: 0.25, "1s": 1, "90s": 90, "7m": 420, "1h30m": 5400, "1d": 86_400, "1w": 604_800}[every]
    for row in counts.rows:
        assert row.begins is not None
        moment = START.timestamp() + int(row.values[0] or 0) * 0.3
        assert row.begins.timestamp() <= moment + 1e-6
        assert moment < row.begins.timestamp() + seconds + 1e-6
        assert (row.begins.timestamp() / seconds).is_integer()


async def test_days_of_a_zone_begin_at_its_midnight() -> None:
    """On the days on which the clocks change, too, which have 23 or 25 hours."""
    hours = [datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp() + 3600 * number for number in range(48)]
    store = await log_of(*({"at": hour, "kind": "x"} for hour in hours))
    counts = await count(store, every="1d", zone="Europe/Berlin")
    berlin = ZoneInfo("Europe/Berlin")
    assert [(row.begins, row.count) for row in counts.rows] == [
        (datetime(2026, 10, 24, tzinfo=berlin), 10),
        (datetime(2026, 10, 25, tzinfo=berlin), 25),
        (datetime(2026, 10, 26, tzinfo=berlin), 13),
    ]


async def test_several_counts_are_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each is what it would be alone, also of a selection."""
    store = await log_of(*(record(n) for n in range(500)))
    groups: Any = ["kind", "agent", ("kind", "agent"), "data.order", "no_such_key"]
    reads = 0
    read = store.read_bytes

    async def counted(path: str, *where: int) -> bytes | None:
        nonlocal reads
        reads += "/log/" in path
        return await read(path, *where)

    monkeypatch.setattr(store, "read_bytes", counted)
    for selection in (None, Selection.of(kind="tool.*"), Selection.of(text="agent")):
        reads = 0
        alone = [await count(store, selection=selection, by=by) for by in groups]
        for_all, reads = reads, 0
        together = await count_each(store, selection=selection, by=groups)
        assert together == tuple(alone)
        assert together[0].total > 0
        assert reads == for_all // len(groups)


@pytest.mark.parametrize("by", ["kind", 7, None, [7], [["kind"] * 9], [""], [b"x"], ["kind"] * 21])
async def test_what_cannot_be_counted_together_is_refused(by: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"count_each\(\): by"):
        await count_each(await log_of(record(1)), by=by)


async def test_a_text_has_to_be_in_what_is_shown_too() -> None:
    """What makes the line is called for those alone that have the text."""
    store = await log_of(*({"kind": "note.made", "text": text} for text in ("a key: 4711", "a door", "key 4711 of jo")))
    seen: list[bytes] = []

    def shown(line: bytes) -> bytes:
        seen.append(line)
        return line.replace(b"4711", b"****")

    async def total(text: str) -> int:
        seen.clear()
        return (await count(store, selection=Selection.of(text=text, shown=shown))).total

    assert (await total("key"), len(seen)) == (2, 2)
    assert (await total("4711"), len(seen)) == (0, 2)
    assert (await total("door"), len(seen)) == (1, 1)
    assert (await total("****"), len(seen)) == (0, 0)
    for wrong in (7, "x", b"x"):
        with pytest.raises(ConfigurationError, match="shown"):
            Selection.of(text="x", shown=wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="shown"):
            Selection(text="x", shown=wrong)  # type: ignore[arg-type]


async def test_too_many_groups_are_refused() -> None:
    store = await log_of(*({"n": number} for number in range(12_000)))
    with pytest.raises(ConfigurationError, match="more than 10,000 groups"):
        await count(store, by="n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": []}, None),
        ({"by": 5}, "by is"),
        ({"by": [""]}, "not empty"),
        ({"by": ["a"] * 9}, "at most 8"),
        ({"every": "soon"}, "every is a period"),
        ({"every": 0}, "every is a period"),
        ({"every": "-1h"}, "every is a period"),
        ({"zone": "Mars/Base"}, "no such zone"),
    ],
)
async def test_what_cannot_be_counted_by_is_refused(options: dict[str, Any], said: str | None) -> None:
    audit = AuditLog(await log_of(*map(record, range(5))))
    if said is None:
        assert (await audit.count(**options)).total == 5
        return
    with pytest.raises(ConfigurationError, match=said):
        await audit.count(**options)


async def test_damage_ends_a_count() -> None:
    store = await log_of(*map(record, range(50)))
    first = segment_path("/audit", 0)
    await store.write(first, (await store.read_bytes(first) or b"").replace(b'"n":7', b'"n"!7'))
    with pytest.raises(LogDamaged, match="record 7"):
        await count(store)


# --- approvals --------------------------------------------------------------------------------------------------------


async def test_an_approval_is_one_row() -> None:
    """From the question to the verdict, with who, what, risk and review; the pending ones come last."""
    store = MemoryStore()
    ann = FunctionApprover("ann", lambda question: question.action != "drop_table")
    async with Hub(store, listeners=[AuditLog(store)], approvals=ApprovalPolicy(approvers=[ann])) as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.gate(coder, "delete_row")
        with pytest.raises(NotApproved):
            await hub.approvals.gate(coder, "drop_table")
        await hub.approvals.request(coder, "restart", policy=ApprovalPolicy(), arguments={"host": "a"})
        await hub.approvals.record(coder, "deploy", approver="bob", is_passed=True, reason="as agreed")
    audit = AuditLog(store)
    rows = [row async for row in audit.approvals()]
    assert [(row.action, row.verdict) for row in rows] == [
        ("delete_row", "approved"),
        ("drop_table", "denied"),
        ("deploy", "approved"),
        ("restart", "pending"),
    ]
    first, _, taken_over, pending = rows
    assert first.agent_id == coder.id
    assert first.approvers == ("ann",)
    assert first.answers == ("ann: yes",)
    assert first.risk_level
    assert first.risk_score is not None
    assert first.review_seconds is not None
    assert first.requested_at is not None
    assert first.decided_at is not None
    assert first.requested_at <= first.decided_at
    assert (taken_over.approvers, taken_over.reason) == (("bob",), "as agreed")
    assert pending.decided_at is None

    async def actions(**filters: Any) -> list[str]:
        return [row.action async for row in audit.approvals(Selection.of(**filters))]

    assert await actions(where={"verdict": "denied"}) == ["drop_table"]
    assert await actions(agent="coder", where={"action": ["restart", "deploy"]}) == ["deploy", "restart"]
    assert await actions(until="-1h") == []
    assert len(await actions(since="-1h")) == 4


def decision(number: int, *, level: str, seconds: float | None, least: float = 0.0) -> list[dict[str, Any]]:
    own = {"approval_id": f"p-{number}", "action": "deploy", "agent_id": "a"}
    return [
        {**own, "kind": "approval.requested", "at": at(number), "mode": "enforce"},
        {**own, "kind": "approval.risk_scored", "at": at(number), "risk_score": 0.7, "risk_level": level},
        {**own, "kind": "approval.challenge_issued", "at": at(number), "review_seconds_min": least},
        {**own, "kind": "approval.approved", "at": at(number + 9), "risk_level": level, "review_seconds": seconds},
    ]


async def test_rubber_stamps_are_found() -> None:
    """A risky action that an approver approved too fast, at the border too; without an approver it is none."""
    cases = [("high", 5.0), ("critical", 0.0), ("high", 5.01), ("medium", 1.0), ("high", None), ("odd", 1.0)]
    events = [
        each
        for number, (level, seconds) in enumerate(cases)
        for each in decision(number, level=level, seconds=seconds, least=2.0)
    ]
    rows = [row async for row in approvals(await log_of(*events))]
    assert [row.is_rubber_stamp() for row in rows] == [True, True, False, False, False, False]
    assert [row.is_rubber_stamp(min_risk="medium") for row in rows] == [True, True, False, True, False, False]
    assert [row.is_rubber_stamp(max_review_seconds=10) for row in rows] == [True, True, True, False, False, False]
    assert [row.is_review_too_short for row in rows] == [False, True, False, True, False, True]
    with pytest.raises(ConfigurationError, match="did you mean high"):
        rows[0].is_rubber_stamp(min_risk="hihg")


async def test_an_approval_whose_beginning_was_pruned_is_a_row() -> None:
    """Without a range of time: with one, it is not known whether it was asked in that."""
    store = await log_of(*decision(1, level="high", seconds=1.0)[3:])
    assert [(row.verdict, row.requested_at) async for row in approvals(store)] == [("approved", None)]
    assert [row async for row in approvals(store, selection=Selection.of(since=at(0)))] == []


async def test_no_approval_was_asked_before_1970() -> None:
    store = await log_of(*decision(1, level="high", seconds=1.0))
    for until in ("1970-01-01", "1960-01-01"):
        assert [row async for row in approvals(store, selection=Selection.of(until=until))] == []


@pytest.mark.parametrize(
    ("filters", "said"),
    [({"kind": "x.y"}, "by kind"), ({"text": "x"}, "by text"), ({"where": {"verdct": "x"}}, "did you mean verdict")],
)
def test_rows_are_not_selected_as_records(filters: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        AuditLog(MemoryStore()).approvals(Selection.of(**filters))


async def test_no_number_of_an_approval_is_too_large_for_a_float() -> None:
    line = b'{"approval_id":"a","kind":"approval.approved","review_seconds":1%b,"risk_score":1%b}\n'
    store = MemoryStore()
    await store.write(segment_path("/audit", 0), line % (b"0" * 400, b"0" * 400))
    assert [(row.risk_score, row.review_seconds) async for row in approvals(store)] == [(None, None)]


async def test_records_of_strangers_are_no_trouble() -> None:
    """Whatever the fields of an approval hold."""
    odd: list[Any] = [None, 5, [1], {"a": 1}, "x", True, 1e308]
    chance = random.Random(4)
    names = ("approval_id", "action", "at", "risk_score", "risk_level", "approvers", "review_seconds", "is_passed")
    kinds = ("requested", "risk_scored", "challenge_issued", "challenge_completed", "approved", "denied", "used")
    events = [
        {"kind": f"approval.{chance.choice(kinds)}", **{name: chance.choice(odd) for name in names}} for _ in range(500)
    ]
    store = await log_of(*events)
    async for row in approvals(store):
        assert row.is_rubber_stamp() in (True, False)
        assert row.is_review_too_short in (True, False)
    try:
        await count(store, by=names, every="1h")
    except HubError as error:
        pytest.fail(f"{error}")
