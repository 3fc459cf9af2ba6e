"""Many contents erased at once: in one reading of the log, each page once, and finished after a kill between parts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from hubwire.listeners import AuditLog
from hubwire.listeners.audit import _erasing, _targets, examine
from hubwire.log import LogReader
from hubwire.stores import MemoryStore
from support import files_of, store_of
from support.erasable import SECRET, bytes_of, record
from support.pruning import Killed

RECORDS = 1000


class Counting(MemoryStore):
    """Counts what is read and written of which file."""

    def __init__(self) -> None:
        super().__init__()
        self.read_of: Counter[str] = Counter()
        self.writes_of: Counter[str] = Counter()

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        found = await super().read_bytes(path, start, end)
        self.read_of[path] += len(found or b"")
        return found

    async def write(self, path: str, content: str | bytes, **options: Any) -> None:
        self.writes_of[path] += 1
        await super().write(path, content, **options)

    async def copied(self) -> Counting:
        """Return another store with the same files."""
        made = Counting()
        for path, content in (await files_of(self)).items():
            await made.write(path, content)
        made.writes_of.clear()
        return made


async def many(store: MemoryStore, count: int = RECORDS) -> AuditLog:
    log = AuditLog(store, erasable=["content"], redactor=None)
    for begin in range(0, count, 500):
        await log.append_many([record(n, content=f"{SECRET} {n}.") for n in range(begin, min(begin + 500, count))])
    return log


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record says of 50 ranges what was erased, and a page has 16 KB: as if there were many more of them."""
    monkeypatch.setattr(_targets, "RANGES_MAX", 50)
    monkeypatch.setattr("hubwire.listeners.audit._pages.PAGE_BYTES", 16 * 1024)


async def kinds_of(store: MemoryStore) -> Counter[str]:
    reader, kinds = LogReader(store, "/audit"), Counter[str]()
    while records := await reader.read():
        kinds.update(each.line.split(b'"kind":"')[1].split(b'"')[0].decode() for each in records)
    return kinds


@pytest.mark.usefixtures("small")
async def test_many_contents_are_erased_in_one_reading() -> None:
    """The log is read once to find them, and once to take them out; each page is written once."""
    store = Counting()
    log = await many(store)
    segment = "/audit/log/00000000000000000000.jsonl"
    store.read_of.clear()
    store.writes_of.clear()
    erased = await log.erase(agent="agent-1", by="dpo", basis="asked")
    read, size = store.read_of[segment], await store.size(segment) or 0
    assert read < 5 * size
    assert (erased.records, erased.contents) == (RECORDS // 2, RECORDS // 2)
    assert (await kinds_of(store))["record.erased"] == RECORDS // 2 // 50
    pages = {name: number for name, number in store.writes_of.items() if "/erasable/" in name}
    assert set(pages.values()) == {1}
    everything = await bytes_of(store)
    assert f"{SECRET} 1.".encode() not in everything
    assert f"{SECRET} 999.".encode() not in everything
    assert f"{SECRET} 998.".encode() in everything
    assert (await log.verify()).holds
    await log.aclose()


@pytest.mark.usefixtures("small")
async def test_what_came_back_is_found_and_erased_again_in_one_reading() -> None:
    store = Counting()
    log = await many(store)
    before = {path: content for path, content in (await files_of(store)).items() if "/erasable/" in path}
    for number in range(1, 40, 2):
        await log.erase(records=number, by="dpo", basis="asked")
    await log.erase(records=range(41, RECORDS, 2), by="dpo", basis="asked")
    await log.aclose()
    for path in await store.list("/audit/erasable"):
        await store.delete(f"/audit/erasable/{path}")
    for path, content in before.items():
        await store.write(path, content)
    segment = "/audit/log/00000000000000000000.jsonl"
    size = await store.size(segment) or 0
    store.read_of.clear()
    found = await examine(store)
    there = RECORDS // 2 - 1  # one of those places has a record of the log's own
    assert f"and {there - 5} more" in found.integrity.faults[0]
    assert store.read_of[segment] < 4 * size
    assert sum(number for path, number in store.read_of.items() if "/erasable/" in path) < 8 * sum(
        map(len, before.values())
    )
    store.read_of.clear()
    again = AuditLog(store, erasable=["content"])
    assert await again.erase_again() == there
    assert store.read_of[segment] < 12 * size
    assert (await again.verify()).holds
    await again.aclose()


@pytest.mark.parametrize("together", [1, 16])
async def test_a_kill_between_the_parts_of_an_erasure_is_finished(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_targets, "RANGES_MAX", 1)
    monkeypatch.setattr(_erasing, "_TOGETHER", together)
    store = Killed()
    log = AuditLog(store, erasable=["content"])
    for number in range(8):
        await log.append(record(number, content=f"{SECRET} {number}."))
        log._erasing.contents.pages._page = None  # type: ignore[union-attr] # a page for each
    store.states = []
    await log.erase(agent="agent-1", by="dpo", basis="asked")
    states, store.states = store.states, None
    await log.aclose()
    outcomes = set()
    for number, state in enumerate(states):
        killed = await store_of(state)
        found = await examine(killed)
        assert not found.integrity.faults, (number, found.integrity.faults)
        again = AuditLog(killed, erasable=["content"])
        await again.append(record(content="after the kill"))
        everything = await bytes_of(killed)
        gone = [f"{SECRET} {each}.".encode() not in everything for each in range(8)]
        outcomes.add(tuple(gone))
        assert (await again.verify()).holds
        await again.aclose()
    assert outcomes == {(False, True) * 4, (False,) * 8}


async def test_two_erasures_of_the_same_say_it_once() -> None:
    """The second one waits for the first, and finds no content that is there."""
    store = MemoryStore()
    log = await many(store, 20)
    found = []

    async def erase() -> None:
        found.append(await log.erase(agent="agent-1", by="dpo", basis="asked"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(erase)
        tasks.start_soon(erase)
    assert sorted(each.contents for each in found) == [0, 10]
    assert (await kinds_of(store))["record.erased"] == 1
    await log.aclose()
