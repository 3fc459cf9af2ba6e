"""When an audit log seals a segment and begins the next one: by size, by age, by count."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, Rotation, verify
from hubwire.log import list_segments
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support.odd import Stranger

DAY = 86_400


async def firsts(store: KnowledgeStore) -> list[int]:
    return await list_segments(store, "/audit")


async def test_a_segment_is_sealed_at_its_age() -> None:
    """Before the first record that comes after that; the clock is that of the log."""
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, rotation=Rotation(age_seconds_max=DAY), clock=clock)
    await audit.append({"n": 0})
    clock.advance(DAY - 1)
    await audit.append({"n": 1})
    assert await firsts(store) == [0]
    clock.advance(1)
    assert await firsts(store) == [0], "no timer runs"
    await audit.append({"n": 2})
    assert len(await firsts(store)) == 2
    await audit.append({"n": 3})
    assert len(await firsts(store)) == 2
    await audit.aclose()
    await verify(store)


@pytest.mark.parametrize("segments_before", [1, 2])
@pytest.mark.parametrize("is_killed", [True, False])
async def test_the_age_goes_on_over_restarts(segments_before: int, *, is_killed: bool) -> None:
    """A program that starts each hour seals a segment a day."""
    store, clock = MemoryStore(), ManualClock()
    rotation = Rotation(age_seconds_max=DAY)
    for _ in range(segments_before):
        audit = AuditLog(store, rotation=rotation, clock=clock)
        clock.advance(DAY)
        await audit.append({"n": 0})
        await audit.aclose()
    assert len(await firsts(store)) == segments_before
    clock.advance(DAY / 2)
    audit = AuditLog(store, rotation=rotation, clock=clock)
    await audit.append({"n": 1})
    if is_killed:
        await audit._log.release()
    await audit.aclose()
    assert len(await firsts(store)) == segments_before
    clock.advance(DAY / 2)
    audit = AuditLog(store, rotation=rotation, clock=clock)
    await audit.append({"n": 2})
    await audit.aclose()
    assert len(await firsts(store)) == segments_before + 1


async def test_a_clock_set_back_makes_a_segment_new() -> None:
    """A segment of the future would never be sealed otherwise."""
    store, now = MemoryStore(), [4e9]
    audit = AuditLog(store, rotation=Rotation(age_seconds_max=DAY), clock=lambda: now[0])
    await audit.append({"n": 0})
    now[0] = 1e9
    await audit.append({"n": 1})
    now[0] += DAY
    await audit.append({"n": 2})
    assert len(await firsts(store)) == 2
    await audit.aclose()


async def test_a_segment_is_sealed_at_its_records() -> None:
    """The log's own count; the record that seals it comes on top."""
    store = MemoryStore()
    audit = AuditLog(store, rotation=Rotation(records_max=4))
    for number in range(9):
        await audit.append({"n": number})
    await audit.aclose()
    assert await firsts(store) == [0, 5, 10]
    assert [record["n"] for record in await audit.read_all()] == list(range(9))


async def test_a_batch_is_not_divided() -> None:
    store = MemoryStore()
    audit = AuditLog(store, rotation=Rotation(records_max=2))
    await audit.append_many([{"n": number} for number in range(10)])
    assert await firsts(store) == [0]
    await audit.aclose()


async def test_the_shortest_age_seals_each_append(tmp_path: Path) -> None:
    """With the machine's clock: an empty segment is never sealed, so that each has a record."""
    store = FileStore(tmp_path)
    audit = AuditLog(store, rotation=Rotation(age_seconds_max=1e-9))
    for number in range(5):
        await audit.append({"n": number})
        await asyncio.sleep(0)
    await audit.aclose()
    assert len(await firsts(store)) == 5
    await verify(store)


async def test_rotation_loses_no_line_of_many_writers() -> None:
    """Each of them has all of its records in the log, in its order."""
    store = MemoryStore()
    audit = AuditLog(store, rotation=Rotation(bytes_max=2000, records_max=7, age_seconds_max=1e-3))

    async def write(writer: int) -> None:
        for number in range(300):
            await audit.append({"writer": writer, "number": number})

    async with anyio.create_task_group() as tasks:
        for writer in range(8):
            tasks.start_soon(write, writer)
    await audit.aclose()
    records = await audit.read_all()
    for writer in range(8):
        assert [each["number"] for each in records if each["writer"] == writer] == list(range(300))
    assert len(await firsts(store)) > 100
    await verify(store)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bytes_max": 0},
        {"bytes_max": None},
        {"bytes_max": 1.5},
        {"bytes_max": True},
        {"records_max": 0},
        {"records_max": "5"},
        {"age_seconds_max": 0},
        {"age_seconds_max": -1.0},
        {"age_seconds_max": float("nan")},
        {"age_seconds_max": float("inf")},
        {"age_seconds_max": Stranger()},
        {"records_max": Stranger()},
    ],
)
def test_no_other_limits_are_taken(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"Rotation.*{next(iter(wrong))}"):
        Rotation(**wrong)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1", None, Stranger(), Retention(days=5)])
def test_a_log_takes_no_other_rotation(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="rotation is"):
        AuditLog(MemoryStore(), rotation=wrong)
