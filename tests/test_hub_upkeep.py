"""Upkeep of the journal: what is truncated, who loses its claim, and what happens when the hub ends meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import anyio
import attrs
import pytest

from hubwire import Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire._journal.positions import Handled, Positions
from hubwire._journal.snapshots import Snapshots
from hubwire._journal.truncation import Truncation
from hubwire.context import EMPTY
from hubwire.errors import ListenerFailed
from hubwire.events._stamp import stamp
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock


def stamped(seq: int) -> Event:
    event = GenericEvent(kind="number.said", data={"n": seq})
    return stamp(event, seq=seq, id=f"id-{seq}", at="now", hub="a hub", context=EMPTY, bytes_max=10**6)


async def journal_of(events: int) -> StoreJournal:
    """A journal of one segment an event."""
    journal = StoreJournal(MemoryStore(), segment_bytes=1, clock=ManualClock())
    await journal.open()
    for seq in range(events):
        await journal.append([stamped(seq)])
    return journal


@attrs.define
class FakeReader:
    name: str
    owed: int
    is_required: bool = False
    is_placed: bool = True
    handled: Handled | None = None
    suspensions: int = 0

    @property
    def is_durable(self) -> bool:
        return not self.is_required

    def suspend_if_missing(self) -> None:
        self.suspensions += 1


@attrs.define
class Readers:
    attachments: Sequence[FakeReader] = ()


@attrs.define
class Claims:
    """Positions and snapshots, as far as truncation reads them."""

    kept: dict[str, int] = attrs.Factory(dict)
    floor: int = 10**6

    def are_reclaimed(self, first_seq: int) -> bool:
        """What is in memory alone is not read here."""
        return False


def truncation_of(journal: StoreJournal, claims: Claims, journal_bytes_max: int = 10**9) -> Truncation:
    return Truncation(journal, cast(Positions, claims), cast(Snapshots, claims), journal_bytes_max=journal_bytes_max)


# --- truncation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "readers", "first_seq"),
    [
        (Claims(floor=3), [], 3),
        (Claims({"slow": 2}, floor=3), [], 2),
        (Claims({"slow": 5}, floor=7), [FakeReader("audit", 4, is_required=True)], 4),
        (Claims({"slow": 5}, floor=7), [FakeReader("audit", 4, is_required=True, is_placed=False)], 5),
        (Claims({"slow": 5}, floor=7), [FakeReader("slow", 1)], 5),
    ],
    ids=["a snapshot", "a position on disk", "a required reader", "not placed yet", "its position in memory"],
)
async def test_the_journal_is_kept_for(claims: Claims, readers: list[FakeReader], first_seq: int) -> None:
    journal = await journal_of(10)
    await truncation_of(journal, claims).truncate(Readers(readers), "a hub")
    assert journal.first_seq == first_seq


async def test_above_the_bound_the_durable_farthest_behind_loses_its_claim() -> None:
    journal = await journal_of(10)
    whole = journal.size_bytes
    claims = Claims({"slowest": 1, "slow": 4, "quick": 9})
    slow, audit = FakeReader("slow", 4), FakeReader("audit", 8, is_required=True)
    truncation = truncation_of(journal, claims, journal_bytes_max=whole * 7 // 10)
    assert truncation.is_due()
    await truncation.truncate(Readers([slow, audit]), "a hub")
    assert journal.first_seq == 4, "one claim less is enough"
    assert slow.suspensions == 1
    assert audit.suspensions == 0
    assert not truncation.is_due()


async def test_truncation_that_frees_too_little_is_due_again_after_more_growth() -> None:
    journal = await journal_of(10)
    truncation = truncation_of(journal, Claims(floor=0), journal_bytes_max=journal.size_bytes // 2)
    await truncation.truncate(Readers([]), "a hub")
    assert journal.first_seq == 0
    due = []
    for seq in range(10, 13):
        due.append(truncation.is_due())
        await journal.append([stamped(seq)])
    assert due == [False, True, True]


async def test_a_reader_attached_during_truncation_is_kept_its_events() -> None:
    journal = await journal_of(10)
    readers = Readers([])
    floors = []

    async def attach(seq: int) -> None:
        floors.append(seq)
        readers.attachments = [FakeReader("audit", 3, is_required=True)]

    journal.truncate_before = attach  # type: ignore[method-assign]
    await truncation_of(journal, Claims({"slow": 2}), journal_bytes_max=1).truncate(readers, "a hub")
    assert floors == [2, 3]


# --- the hub around it ------------------------------------------------------------------------------------------------


async def test_upkeep_ends_with_the_hub() -> None:
    """A snapshot that waits for its commit when the hub fails is not kept, and is not a problem of the journal."""
    store, clock = MemoryStore(), ManualClock()
    called, go_on = anyio.Event(), anyio.Event()

    class Failing:
        async def on_events(self, events: Sequence[Event]) -> None:
            if any(event.kind == "number.said" for event in events):
                called.set()
                await go_on.wait()
                raise ZeroDivisionError

    hub = Hub(journal=StoreJournal(store, clock=clock, segment_bytes=1500), clock=clock, snapshot_bytes=2500)
    await hub.start()
    await hub.attach(Failing(), duty=Duty.REQUIRED, name="failing").ready()
    for n in range(60):
        hub.emit_nowait(GenericEvent(kind="number.said", data={"n": n}))
    await called.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    assert hub._parts.upkeep is not None
    assert hub._parts.upkeep.snapshotter.is_due()
    go_on.set()
    with pytest.raises(ListenerFailed):
        await hub.flush()
    with pytest.raises(ListenerFailed):
        await hub.aclose()
    assert await store.list("/journal/snapshots") == []
    assert "the journal cannot be kept in order" not in " ".join(hub.health().problems)
