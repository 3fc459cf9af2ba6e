"""What an audit log promises stands in it, and is what verify holds it to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire import Duty, GenericEvent, Hub
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, examine, verify
from hubwire.stores import MemoryStore
from support import until
from support.audit import Lines, alter, filled, lines_of, work


async def opened(store: MemoryStore) -> list[dict[str, Any]]:
    """Return what each log.opened promises."""
    return [
        {name: fields[name] for name in ("duty", "pattern", "begins_seq") if name in fields}
        for lines in (await lines_of(store)).values()
        for fields in lines
        if fields["kind"] == "log.opened"
    ]


@pytest.mark.parametrize("duty", Duty)
async def test_a_log_of_any_duty_holds(duty: Duty) -> None:
    store = await filled(duty=duty)
    found = await verify(store)
    assert found.integrity.outcome is found.completeness.outcome is Outcome.HOLDS
    assert await opened(store) == [{"duty": duty.value, "pattern": ["*"], "begins_seq": 0}]


@pytest.mark.parametrize("duty", Duty)
async def test_a_log_with_a_pattern_holds(duty: Duty) -> None:
    """Its gaps are those of the pattern."""
    store = MemoryStore()
    await work(store, pattern=["even.*", "hub.stopped"], duty=duty)
    found = await verify(store)
    assert (found.events, found.completeness.outcome) == (4, Outcome.HOLDS)
    assert "gaps between events that a pattern selected" in " ".join(found.completeness.not_looked_at)
    assert (await opened(store))[0]["pattern"] == ["even.*", "hub.stopped"]


async def test_a_log_attached_later_begins_there() -> None:
    """What was before, it never promised."""
    store = MemoryStore()
    async with Hub(store) as hub:
        for _ in range(5):
            await hub.emit(GenericEvent(kind="a.b"))
        attachment = hub.attach(AuditLog(store), since=4)
        await attachment.ready()
        await hub.emit(GenericEvent(kind="a.b"))
    found = await verify(store)
    assert (found.first_seq, found.completeness.outcome) == (4, Outcome.HOLDS)
    assert (await opened(store))[0]["begins_seq"] == 4


async def test_another_pattern_is_another_promise() -> None:
    """Each holds from its log.opened on."""
    store = MemoryStore()
    await work(store, pattern="odd.*")
    await work(store)
    assert [each["pattern"] for each in await opened(store)] == [["odd.*"], ["*"]]
    assert (await verify(store)).completeness.outcome is Outcome.HOLDS
    await work(store, pattern="even.*")
    assert (await verify(store)).holds


async def test_a_log_open_before_its_hub_promises_then() -> None:
    """A record by hand has opened it already."""
    store = MemoryStore()
    log = AuditLog(store)
    await log.append({"kind": "review.done"})
    async with Hub(store, listeners=[log]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await log.append({"kind": "review.done"})
    assert await opened(store) == [{}, {"duty": "required", "pattern": ["*"], "begins_seq": 0}]
    assert (await verify(store)).completeness.outcome is Outcome.HOLDS


async def test_closed_by_hand_a_log_promises_again() -> None:
    store = MemoryStore()
    log = AuditLog(store)
    async with Hub(store, listeners=[log]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await log.aclose()
        await log.append({"kind": "review.done"})
        await hub.emit(GenericEvent(kind="a.b"))
    assert [each.get("begins_seq") for each in await opened(store)] == [0, None, 0]
    assert (await verify(store)).holds


def forget(*numbers: int) -> Any:
    def change(lines: Lines) -> None:
        lines[0][:] = [fields for fields in lines[0] if fields.get("seq") not in numbers]
        for index, fields in enumerate(lines[0]):
            fields["d"] = min(fields["d"], index)

    return change


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.DURABLE])
async def test_a_missing_event_is_named(duty: Duty) -> None:
    """A forger took events out, and chained the log anew."""
    store = await filled(20, duty=duty)
    await alter(store, forget(3, 4, 5, 9))
    for journal in ("/journal", None):
        found = await examine(store, journal=journal)
        assert found.integrity.outcome is Outcome.HOLDS
        assert found.completeness.faults == ("4 events that the log /audit was to hold are missing: seq 3 to 5, 9",)


async def test_the_first_event_is_missed_too() -> None:
    store = await filled()
    await alter(store, forget(0))
    assert "1 event that the log /audit was to hold is missing: seq 0" in (await examine(store)).completeness.faults[0]


async def test_many_gaps_are_counted() -> None:
    """The first twenty are named."""
    store = await filled(60)
    await alter(store, forget(*range(1, 60, 2)))
    fault = (await examine(store)).completeness.faults[0]
    assert fault.startswith("30 events that the log")
    assert fault.endswith("37, 39 and more")


async def test_a_best_effort_log_may_have_gaps() -> None:
    """They are counted, and no fault."""
    store = await filled(20, duty=Duty.BEST_EFFORT)
    await alter(store, forget(5, 6))
    found = await examine(store)
    assert found.completeness.outcome is not Outcome.FAILS
    assert "BEST_EFFORT" in found.notes[0]
    assert "5 to 6" in found.notes[0]


@pytest.mark.parametrize(
    ("pattern", "missing"),
    [
        (["odd.*"], "2 events that the log /audit was to hold are missing: seq 7, 9"),
        (["odd.*", "even.*"], "3 events that the log /audit was to hold are missing: seq 7 to 9"),
    ],
    ids=["every-other", "in-a-row"],
)
async def test_the_journal_tells_what_a_pattern_hides(pattern: list[str], missing: str) -> None:
    """Events that the pattern matches are missing; only the journal shows it."""
    store = MemoryStore()
    await work(store, 20, pattern=pattern)
    await alter(store, forget(7, 8, 9))
    assert (await examine(store, journal=None)).completeness.outcome is Outcome.UNKNOWN
    found = await examine(store)
    assert found.completeness.faults == (missing,)


async def test_a_log_without_a_promise_is_not_judged() -> None:
    """As logs of earlier versions: a gap in it may be as it should."""
    store = await filled(20)

    def as_before(lines: Lines) -> None:
        for name in ("duty", "pattern", "begins_seq"):
            del lines[0][0][name]
        forget(5)(lines)

    await alter(store, as_before)
    found = await examine(store, expect_records=22)
    assert found.completeness.outcome is Outcome.UNKNOWN
    assert "1 event of which no log.opened speaks: seq 5" in found.completeness.not_looked_at


async def test_a_time_without_the_log_is_noted() -> None:
    store = await filled(3)

    def later(lines: Lines) -> None:
        forget(4, 5)(lines)
        opening = dict(lines[0][0], begins_seq=6)
        lines[0].append({**opening, "d": len(lines[0])})

    await alter(store, later)
    found = await examine(store, journal=None)
    assert found.notes[0] == "the log was not attached to its hub for 2 events: seq 4 to 5"


# --- DURABLE --------------------------------------------------------------------------------------------------------


class SlowStore(MemoryStore):
    """A store whose appends to the audit log wait for the test, and come about all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if path.startswith("/audit"):
            self.waiting += 1
            await self.gate.wait()
        return await super().append(path, content, expect=expect)


async def test_a_durable_log_writes_nothing_twice() -> None:
    """Its time is up while the store still writes: the retry waits for that, and goes on behind it."""
    store = SlowStore()
    hub = Hub(store)
    attachment = hub.attach(AuditLog(store), duty=Duty.DURABLE, timeout=0.01)
    async with hub:
        await attachment.ready()
        store.gate.clear()
        await hub.emit(GenericEvent(kind="a.b"))
        await until(lambda: attachment.statistics().retries >= 2)
        store.gate.set()
        await hub.emit(GenericEvent(kind="a.b"))
    found = await verify(store)
    assert (found.events, found.completeness.outcome) == (5, Outcome.HOLDS)


async def test_events_written_already_are_left_out() -> None:
    """A hub at least offers them once; the log holds them once."""
    store = MemoryStore()
    log = AuditLog(store)
    offered: list[Any] = []

    async def keep(event: Any) -> None:
        offered.append(event)

    async with Hub(store, listeners=[log]) as hub:
        hub.attach(keep)
        for _ in range(3):
            await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        await log.on_events(offered)
        await log.on_events(offered[:1])
    assert (await verify(store)).completeness.outcome is Outcome.HOLDS
