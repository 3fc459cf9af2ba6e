"""`AuditLog.append_many`: records that are appended together, all or none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hubwire.errors import AlreadyRunning, CallerError, EventTooLarge, InvalidRecord, StoreFull
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome
from hubwire.redaction import Redactor
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import until_idle


async def test_records_are_appended_in_order_as_one() -> None:
    clock = ManualClock()
    log = AuditLog(MemoryStore(), clock=clock)
    assert await log.append({"n": 0}) == 1  # after log.opened
    indexes = await log.append_many([{"n": 1}, {"n": 2, "at": "then"}, {"n": 3}])
    assert list(indexes) == [3, 4, 5]
    assert await log.append({"n": 4}) == 6
    found = await log.read_all()
    assert [each["n"] for each in found] == [0, 1, 2, 3, 4]
    assert found[1]["at"] == found[3]["at"]
    assert found[2]["at"] == "then"
    assert [each.fields["n"] async for each in log.read(start=3) if each.index in indexes] == [1, 2, 3]
    mark = (await anext(log.read(start=2))).fields
    assert (mark["kind"], mark["records"]) == ("log.batch_begun", 3)
    assert (await log.verify()).integrity.outcome is Outcome.HOLDS


async def test_one_record_needs_no_mark_and_none_is_no_append() -> None:
    log = AuditLog(MemoryStore())
    assert list(await log.append_many([])) == []
    assert log.bytes_written == 0
    assert list(await log.append_many(iter([{"n": 1}]))) == [1]
    assert [each.fields.get("kind") async for each in log.read()] == ["log.opened", None]


async def test_long_records_are_cut_as_ever() -> None:
    log = AuditLog(MemoryStore())
    records = [{"n": n, "text": "x" * (100_000 * n)} for n in range(4)]
    await log.append_many(records)
    assert [len(each["text"]) for each in await log.read_all()] == [0, 100_000, 200_000, 300_000]
    assert (await log.verify()).integrity.outcome is Outcome.HOLDS


async def test_each_record_is_redacted() -> None:
    log = AuditLog(MemoryStore(), redactor=Redactor())
    await log.append_many([{"text": "mail ann@example.org"}, {"text": "plain"}])
    one, other = await log.read_all()
    assert "ann@example.org" not in one["text"]
    assert "redacted" in one
    assert "redacted" not in other


async def test_subscribers_get_each_record_and_no_mark() -> None:
    log, seen = AuditLog(MemoryStore()), list[Any]()

    async def take(record: dict[str, Any]) -> None:
        seen.append(record["n"])

    log.subscribe(take)
    await log.append_many([{"n": n} for n in range(5)])
    assert seen == [0, 1, 2, 3, 4]
    await log.aclose()


class Odd:
    """An object that raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is not for you")


def raising() -> Iterator[dict[str, Any]]:
    yield {"n": 1}
    raise RuntimeError("no more")


def endless() -> Iterator[dict[str, Any]]:
    while True:
        yield {"n": 1}


WRONG: dict[str, tuple[Callable[[], Any], type[CallerError], str]] = {
    "text": (lambda: "text", InvalidRecord, "takes a list of records, not str"),
    "one record": (lambda: {"n": 1}, InvalidRecord, "takes a list of records, not dict"),
    "none": (lambda: None, InvalidRecord, "takes a list of records"),
    "odd": (Odd, InvalidRecord, "takes a list of records"),
    "raising": (raising, InvalidRecord, "cannot be read"),
    "endless": (endless, InvalidRecord, "at most 1000 records; append them in several calls"),
    "no mapping": (lambda: [{"n": 1}, "x"], InvalidRecord, "a record is a dictionary"),
    "odd inside": (lambda: [{"n": 1}, [Odd()]], InvalidRecord, "a record is a dictionary"),
    "reserved key": (lambda: [{"n": 1}, {"seq": 1}], InvalidRecord, "cannot have the keys seq"),
    "own kind": (lambda: [{"n": 1}, {"kind": "log.batch_begun"}], InvalidRecord, "those with log. are the log's own"),
    "too large": (lambda: [{"n": 1}, {"text": "x" * 9_000_000}], EventTooLarge, "8388608"),
    "too large together": (lambda: [{"text": "x" * 3_000_000}] * 3, EventTooLarge, "together, at number 2 of 3"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_refused_writes_no_record(name: str) -> None:
    make, error, words = WRONG[name]
    store = MemoryStore()
    log = AuditLog(store)
    await log.append({"n": 0})
    with pytest.raises(error) as caught:
        await log.append_many(make())
    assert words in str(caught.value)
    if name in ("no mapping", "reserved key"):
        assert caught.value.__notes__ == ["It is number 1 of the 2 records of append_many(); none was written."]
    assert [each["n"] for each in await log.read_all()] == [0]
    await log.append_many([{"n": 1}, {"n": 2}])
    await log.aclose()
    again = AuditLog(store)
    assert [each["n"] for each in await again.read_all()] == [0, 1, 2]


async def test_values_that_json_cannot_hold_are_marked() -> None:
    log = AuditLog(MemoryStore())
    await log.append_many([{"n": float("nan")}, {"n": 2**60, "text": "\ud800"}, {"n": object}])
    assert len(await log.read_all()) == 3


async def test_a_thousand_records_are_a_batch() -> None:
    log = AuditLog(MemoryStore())
    assert len(await log.append_many([{"n": n} for n in range(1000)])) == 1000


async def test_batches_and_single_records_of_many_tasks_keep_together() -> None:
    log = AuditLog(MemoryStore(), rotation=2000)
    await asyncio.gather(
        *(log.append_many([{"batch": name, "n": n} for n in range(7)]) for name in range(20)),
        *(log.append({"batch": "single", "n": n}) for n in range(20)),
    )
    found = [(each["batch"], each["n"]) for each in await log.read_all()]
    for name in range(20):
        first = found.index((name, 0))
        assert found[first : first + 7] == [(name, n) for n in range(7)]
    assert len(found) == 160
    assert (await log.verify()).integrity.outcome is Outcome.HOLDS


async def test_a_full_disk_takes_no_record_and_the_call_may_be_made_again() -> None:
    class Full(MemoryStore):
        is_full = False

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if self.is_full:
                raise StoreFull("no room")
            return await super().append(path, content, expect=expect)

    store = Full()
    log = AuditLog(store)
    await log.append({"n": 0})
    store.is_full = True
    with pytest.raises(StoreFull):
        await log.append_many([{"n": 1}, {"n": 2}])
    store.is_full = False
    await log.append_many([{"n": 1}, {"n": 2}])
    assert [each["n"] for each in await log.read_all()] == [0, 1, 2]


async def test_a_call_that_is_cancelled_stores_all_or_none() -> None:
    store = MemoryStore()
    log = AuditLog(store)
    await log.append({"n": 0})
    going = asyncio.create_task(log.append_many([{"n": 1}, {"n": 2}]))
    await asyncio.sleep(0)
    going.cancel()
    await asyncio.wait([going])
    await until_idle()
    await log.append({"n": 3})
    assert [each["n"] for each in await log.read_all()] in ([0, 3], [0, 1, 2, 3])


async def test_a_log_that_another_one_writes_is_refused(tmp_path: Any) -> None:
    one, other = AuditLog(FileStore(str(tmp_path))), AuditLog(FileStore(str(tmp_path)))
    await one.append_many([{"n": 1}, {"n": 2}])
    with pytest.raises(AlreadyRunning, match="use that one"):
        await other.append_many([{"n": 3}, {"n": 4}])
    await one.aclose()
    await other.append_many([{"n": 3}, {"n": 4}])
    assert [each["n"] for each in await other.read_all()] == [1, 2, 3, 4]
    await other.aclose()
