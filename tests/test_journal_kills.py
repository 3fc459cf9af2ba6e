"""A kill between any two writes beside the journal leaves a start that goes on right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import msgspec
import pytest

from hubwire import Hub, StoreJournal
from hubwire.errors import HubError, JournalBehind, LogDamaged, StoreFull
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance, files_of, numbers, said, store_of, until, until_tidy
from support.durable import attach

Files = dict[str, bytes]


@attrs.frozen
class Moment:
    """What a kill would leave at some moment, and what had been promised by then."""

    files: Files
    change: str
    handled: int
    """How many numbers the DURABLE listener had handled."""
    is_forgotten: bool
    """Whether another name was forgotten, and that had returned."""
    committed: int


class Watched(MemoryStore):
    """Takes note of what there is after each change."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[Moment] = []
        self.facts: Callable[[], dict[str, Any]] = lambda: {"handled": 0, "is_forgotten": False, "committed": 0}

    async def _note(self, change: str) -> None:
        self.moments.append(Moment(files=await files_of(self), change=change, **self.facts()))

    async def write(self, path: str, content: str | bytes, **options: Any) -> None:
        await super().write(path, content, **options)
        await self._note(f"write {path}")

    async def append(self, path: str, content: str | bytes, **options: Any) -> int:
        offset = await super().append(path, content, **options)
        await self._note(f"append {path}")
        return offset

    async def delete(self, path: str) -> None:
        if await self.exists(path):
            await super().delete(path)
            await self._note(f"delete {path}")


def small_hub(store: MemoryStore, clock: ManualClock) -> Hub:
    journal = StoreJournal(store, clock=clock, segment_bytes=1000)
    return Hub(journal=journal, clock=clock, snapshot_bytes=1800)


def facts_of(hub: Hub, recorders: list[Recorder], forgotten: list[str]) -> dict[str, Any]:
    return {
        "handled": len({number for recorder in recorders for number in numbers(recorder.events)}),
        "is_forgotten": bool(forgotten),
        "committed": hub.statistics().committed,
    }


async def busy_lives(store: Watched) -> None:
    """Three lives with positions, a name that is forgotten, snapshots, and truncation."""
    recorders: list[Recorder] = []
    forgotten: list[str] = []
    for life in range(3):
        clock, recorder, other = ManualClock(), Recorder(), Recorder()
        hub = small_hub(store, clock)
        recorders.append(recorder)
        store.facts = partial(facts_of, hub, recorders, forgotten)
        attach(hub, recorder, since="start")
        passing = None if forgotten else attach(hub, other, name="passing", since="start")
        async with hub:
            for n in range(20 * life, 20 * life + 20):
                await hub.emit(said(n))
                if n % 4 == 0:
                    await hub.agents.register(f"agent-{n}")
                    await advance(clock, 1)
                await until_tidy(hub)
            if passing is not None and life == 1:
                await passing.detach()
                await hub.forget("passing")
                forgotten.append("passing")


@pytest.mark.slow
async def test_a_kill_between_two_writes_loses_nothing() -> None:
    """No event is skipped, no forgotten name comes back, no start is refused."""
    store = Watched()
    await busy_lives(store)
    kinds = {moment.change.rpartition("/")[0] for moment in store.moments}
    assert {"write /journal/beside", "write /journal/snapshots", "delete /journal/snapshots"} <= kinds
    assert {"delete /journal/beside", "delete /journal/log", "append /journal/log"} <= kinds
    seen: dict[frozenset[tuple[str, bytes]], None] = {}
    for moment in store.moments:
        key = frozenset(moment.files.items())
        if key not in seen:
            seen[key] = None
            await check(moment)
    assert len(seen) > 150


async def check(moment: Moment) -> None:
    hub, recorder = small_hub(await store_of(moment.files), ManualClock()), Recorder()
    attach(hub, recorder, since="start")
    async with hub:
        positions = hub._parts.upkeep.positions if hub._parts.upkeep is not None else None
        assert positions is not None
        assert not (moment.is_forgotten and positions.get("passing")), moment.change
        assert hub.statistics().applied >= moment.committed, moment.change
        await hub.flush()
        rest = numbers(recorder.events)
        assert rest == list(range(rest[0], rest[-1] + 1)) if rest else True, moment.change
        assert not rest or rest[0] <= moment.handled, f"{moment.change}: {moment.handled} were handled, then {rest[0]}"
        assert hub.health().healthy, moment.change


async def test_a_store_that_fails_at_any_write_is_survived() -> None:
    """The hub goes on or fails with words; what it leaves starts."""

    class Failing(MemoryStore):
        left = 10**6

        def _count(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise OSError("the disk is gone")

        async def write(self, path: str, content: str | bytes, **options: Any) -> None:
            self._count()
            await super().write(path, content, **options)

        async def delete(self, path: str) -> None:
            self._count()
            await super().delete(path)

    for writes in range(40):
        store, clock, recorder = Failing(), ManualClock(), Recorder()
        store.left = writes
        hub = small_hub(store, clock)
        attach(hub, recorder, since="start")
        try:
            async with hub:
                for n in range(40):
                    await hub.emit(said(n))
                    if n % 4 == 0:
                        await advance(clock, 1)
                await hub.flush()
                assert hub.health().healthy == (store.left >= 0) or not hub.health().healthy
        except (HubError, OSError):
            pass
        found = await store_of(await files_of(store))
        again, rest = small_hub(found, ManualClock()), Recorder()
        attach(again, rest, since="start")
        async with again:
            await again.flush()
            assert set(numbers(recorder.events) + numbers(rest.events)) == set(
                range(max(numbers(recorder.events) + numbers(rest.events), default=-1) + 1)
            )


# --- copies of a live store -------------------------------------------------------------------------------------------


async def copied(moments: list[Moment], order: list[str], chance: random.Random) -> Files:
    """Copy file by file, in this order of folders, while the store goes on: each file as of a later moment."""
    at = chance.randrange(len(moments) // 4, len(moments) // 2)
    copy: Files = {}
    for folder in order:
        names = sorted(path for path in moments[at].files if path.startswith(folder))
        for path in names:
            if path in moments[at].files:
                copy[path] = moments[at].files[path]
            at = min(at + chance.randrange(3), len(moments) - 1)
    return copy


async def audited_moments() -> list[Moment]:
    store = Watched()
    for life in range(2):
        clock = ManualClock()
        hub = small_hub(store, clock)
        hub.attach(AuditLog(store, rotation=4000), name="audit")
        attach(hub, Recorder(), since="start")
        store.facts = lambda: {"handled": 0, "is_forgotten": False, "committed": 0}
        async with hub:
            for n in range(40):
                await hub.emit(said(n + 40 * life))
                if n % 5 == 0:
                    await hub.agents.register(f"agent-{life}-{n}")
                    await advance(clock, 1)
                await until_tidy(hub)
    return store.moments


ORDER = ["/audit", "/journal/beside", "/journal/snapshots", "/journal/kept", "/journal/log", "/journal/clean"]


async def test_a_copy_in_order_starts_or_says_why() -> None:
    """A copy of a store that runs, file by file: in the order of the docstring most of them start."""
    moments, chance = await audited_moments(), random.Random(1)
    started = 0
    for trial in range(60):
        order = list(ORDER)
        if trial % 2:
            chance.shuffle(order)
        files = await copied(moments, order, chance)
        copy = await store_of(files)
        hub, recorder = small_hub(copy, ManualClock()), Recorder()
        audit = AuditLog(copy, rotation=4000)
        hub.attach(audit, name="audit")
        attach(hub, recorder, since="start")
        try:
            await hub.start()
        except (JournalBehind, LogDamaged):
            assert await files_of(copy) == files, "a refused start has changed something"
            continue
        started += 1
        await hub.emit(said(1000))
        await hub.flush()
        assert numbers(recorder.events)[-1] == 1000
        await hub.aclose()
    assert started >= 20


@pytest.mark.parametrize("what", ["positions", "snapshots"])
async def test_what_is_kept_says_of_whom(what: str) -> None:
    """The files can be read by a person: lines of JSON."""
    store = Watched()
    await busy_lives(store)
    files = await files_of(store)
    (path,) = [path for path in files if path.startswith(f"/journal/beside/{what}-")]
    header, body, trailer = files[path].splitlines()
    assert msgspec.json.decode(header)["name"] == what
    assert msgspec.json.decode(body)["version"] == 1
    assert len(msgspec.json.decode(trailer)["sha256"]) == 64


# --- a full disk ------------------------------------------------------------------------------------------------------


class Full(MemoryStore):
    """Takes no appends to the journal, once it is full, before a segment of it is deleted."""

    is_full = False
    refused = 0

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if self.is_full and path.startswith("/journal/log"):
            self.refused += 1
            raise StoreFull("no space", path=path)
        return await super().append(path, content, expect=expect)

    async def delete(self, path: str) -> None:
        await super().delete(path)
        if path.startswith("/journal/log"):
            self.is_full = False


async def test_a_start_without_space_truncates_first() -> None:
    """Also while positions have moved that are not kept before the start has come to its end."""
    store, clock = Full(), ManualClock()
    async with small_hub(store, clock) as hub:
        passing = attach(hub, Recorder(), since="start")
        await passing.ready()
        await passing.detach()
        for n in range(60):
            await hub.emit(said(n))
            await until_tidy(hub)
    store.is_full = True
    journal = StoreJournal(store, clock=clock, segment_bytes=1000)
    hub, recorder = Hub(journal=journal, clock=clock, snapshot_bytes=1800, journal_bytes_max=4096), Recorder()
    attach(hub, recorder)
    starting = asyncio.create_task(hub.start())
    await until(lambda: store.refused > 0)
    for _ in range(20):
        await advance(clock, 1)
    assert not store.is_full, "nothing was truncated"
    await starting
    assert numbers(recorder.events)
    await hub.aclose()
