"""A year of an audit log that is rotated by day and pruned, in a process that is killed at random."""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest

from hubwire.errors import HubError, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, Retention, examine
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import files_of, until_idle
from support.pruning import DAILY, DAY, blobs, firsts, long


class Mortal(MemoryStore):
    """A store whose writer is killed after so many changes, some in the middle of an append. Readers live on."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.lives: int = 0
        self._chance = chance
        self._left = 0
        self.revive()

    @property
    def is_dead(self) -> bool:
        return self._left <= 0

    def revive(self) -> None:
        """Begin the next life: the process that held the log is gone."""
        self.lives += 1
        self._holds.clear()
        self._left = int(self._chance.expovariate(1 / 60)) + 3

    def _spend(self) -> None:
        if self.is_dead:
            raise StoreError("the process was killed", path="/")
        self._left -= 1

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._spend()
        await super().write(path, content, if_absent=if_absent, expect=expect)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        self._spend()
        if self.is_dead and isinstance(content, bytes):
            # In the middle of the first line: live readers see the whole lines of an append that a crash has torn.
            await super().append(path, content[: self._chance.randrange(content.index(b"\n"))], expect=expect)
            raise StoreError("the process was killed", path=path)
        return await super().append(path, content, expect=expect)

    async def delete(self, path: str) -> None:
        self._spend()
        await super().delete(path)


class Year:
    """The programs that write the log, one after the other."""

    def __init__(self, days: int, retention: Retention, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = Mortal(self.chance)
        self.clock = ManualClock()
        self.acknowledged: list[int] = []
        self.segments_most = 0
        self.prune_errors = 0
        self._days = days
        self._retention = retention
        self._number = 0

    @property
    def day(self) -> float:
        return (self.clock.now_ns() - ManualClock().now_ns()) / 1e9 / DAY

    async def live(self) -> None:
        while self.day < self._days:
            audit = AuditLog(self.store, rotation=DAILY, clock=self.clock, retention=self._retention)
            try:
                while self.day < self._days:
                    await self._work(audit)
                await audit.aclose()
            except HubError:
                assert self.store.is_dead
            if self.store.is_dead:
                await self._bury(audit)
            self.prune_errors += audit.prune_errors

    async def _work(self, audit: AuditLog) -> None:
        self.clock.advance(self.chance.uniform(0, DAY / 3))
        numbers = range(self._number, self._number + self.chance.choice((1, 1, 1, 3)))
        self._number = numbers.stop
        records: list[dict[str, Any]] = [{"n": number, "day": self.day} for number in numbers]
        if self.chance.random() < 0.05:
            records = [long(str(numbers[0])) | {"n": numbers[0], "day": self.day}]
            self._number = numbers[0] + 1
        await audit.append_many(records)
        self.acknowledged += [record["n"] for record in records]
        if self.chance.random() < 0.7:  # otherwise the next append comes while the log is pruned
            await until_idle()
            self.segments_most = max(self.segments_most, len(await firsts(self.store)))

    async def _bury(self, audit: AuditLog) -> None:
        try:
            await audit.aclose()
        except HubError:
            await audit._log.release()
        await until_idle()
        self.store.revive()


async def _watch(store: MemoryStore, seen: list[int]) -> None:
    """Read the log as it grows, and all records of it."""
    async for record in AuditLog(store).tail(start=0):
        seen.extend([record.fields["n"]] if "n" in record.fields else [])


@pytest.mark.parametrize(
    ("days", "kept", "seed"),
    [
        pytest.param(50, 12, 1, id="short"),
        *[
            pytest.param(366, 183, seed, id=f"year {seed}", marks=[pytest.mark.slow, pytest.mark.timeout(300)])
            for seed in range(3)
        ],
    ],
)
async def test_a_year_of_kills_leaves_what_has_to_be_kept(days: int, kept: int, seed: int) -> None:
    """What is left verifies, the store is bounded, and a live reader misses no record."""
    retention = Retention.regulated() if kept == 183 else Retention(days=kept, days_min=kept)
    year, seen = Year(days, retention, seed), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, year.store, seen)
        await year.live()
        await until_idle()
        tasks.cancel_scope.cancel()
    store = year.store
    assert store.lives > 5

    # The reader has seen all that was acknowledged, once and in order.
    assert seen == sorted(set(seen))
    assert set(year.acknowledged) <= set(seen)

    # What is left is what has to be, and whole.
    last = AuditLog(store, rotation=DAILY, clock=year.clock, retention=retention)
    store.revive()
    store._left = 10**6
    await last.append({"n": year._number, "day": year.day})
    await last.prune()
    await last.aclose()
    found = await examine(store)
    assert (found.integrity.outcome, found.completeness.outcome) == (Outcome.HOLDS, Outcome.HOLDS)
    assert found.pruned is not None
    left = await last.read_all()
    in_time = [number for number in seen if number >= left[0]["n"]]
    assert [record["n"] for record in left][:-1] == in_time
    assert year.day - kept - 3 < left[0]["day"] <= year.day - kept

    # The store is bounded: a segment a day, and the files of long records that are named, or of which a kill came
    # between the file and its record.
    assert year.segments_most <= kept + 6
    named = sum("filling" in record for record in left)
    assert named <= await blobs(store) <= named + store.lives
    assert not [path for path in await files_of(store) if path.endswith(".tmp")]
