"""Every journal that ships keeps the journal contract, and the contract finds those that do not."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import anyio.to_thread
import attrs
import pytest

from hubwire import Event, GenericEvent, StoreJournal
from hubwire.errors import AlreadyRunning, ConfigurationError, Fenced, HistoryGone
from hubwire.ports import Journal, KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import JournalContract, MakeJournal
from support import copy_of


def on(store: KnowledgeStore) -> MakeJournal:
    """Many small segments: one is left in the middle of a batch."""
    return lambda: StoreJournal(store, segment_bytes=1000)


class TestOnMemory(JournalContract):
    @pytest.fixture
    def journals(self) -> MakeJournal:
        self.store = MemoryStore()
        return on(self.store)

    async def crashed(self, journal: Journal, journals: MakeJournal) -> Journal:
        found = on(await copy_of(self.store))()
        await found.open()
        return found


class TestOnFiles(JournalContract):
    @pytest.fixture
    def journals(self, tmp_path: Path) -> MakeJournal:
        self.path = tmp_path
        self.copies = count()
        return on(FileStore(tmp_path / "data"))

    async def crashed(self, journal: Journal, journals: MakeJournal) -> Journal:
        copy = self.path / f"copy-{next(self.copies)}"
        await anyio.to_thread.run_sync(shutil.copytree, self.path / "data", copy)
        found = on(FileStore(copy))()
        await found.open()
        return found


class TestOnObjects(JournalContract):
    """A store that holds no lock: the newcomer wins."""

    @pytest.fixture
    def journals(self) -> MakeJournal:
        obstore = pytest.importorskip("obstore.store")
        from hubwire.stores.object import ObjectStore

        bucket = obstore.MemoryStore()
        return lambda: StoreJournal(ObjectStore(bucket), segment_bytes=1000)

    async def crashed(self, journal: Journal, journals: MakeJournal) -> Journal | None:
        """The one that looks must not take over: the test goes on with the other."""
        found = journals()
        await found.open()
        return found


# --- a journal in memory, and what can be wrong with one --------------------------------------------------------------


@attrs.define
class Place:
    """Where a journal is: what lasts when its process has ended."""

    events: list[Event] = attrs.Factory(list)
    first_seq: int = 0
    kept: dict[str, tuple[int, bytes | None]] = attrs.Factory(dict)
    writer: int = 0
    """The epoch of the newest writer that has appended."""
    openings: int = 0


class ListJournal:
    """As simple as a journal can be. The newcomer wins."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.store = MemoryStore()
        self.path = "/journal"
        self.epoch = 0

    @property
    def next_seq(self) -> int:
        return self.place.first_seq + len(self.place.events)

    @property
    def first_seq(self) -> int:
        return self.place.first_seq

    @property
    def hub_id(self) -> str | None:
        return self.place.events[-1].hub if self.place.events else None

    @property
    def size_bytes(self) -> int:
        return 100 * len(self.place.events)

    async def open(self) -> None:
        self.place.openings += 1
        self.epoch = self.place.openings

    async def append(self, events: Sequence[Event]) -> None:
        await self.check()
        self.place.writer = self.epoch
        self.place.events += events

    async def check(self) -> None:
        if self.place.writer > self.epoch:
            raise Fenced("another one took over")

    async def keep(self, name: str, content: bytes | None) -> None:
        if not name.isidentifier() or not name.isascii() or name != name.lower() or len(name) > 64:
            raise ConfigurationError("not a name")
        await self.check()
        self.place.kept[name] = (self.epoch, content)

    async def kept(self) -> Mapping[str, bytes]:
        return {name: content for name, (_, content) in self.place.kept.items() if content is not None}

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        if after + 1 < self.first_seq:
            raise HistoryGone("gone", first_seq=self.first_seq)
        for event in tuple(self.place.events[after + 1 - self.first_seq :]):
            yield event

    async def truncate_before(self, seq: int) -> None:
        end = min(seq, self.next_seq - 1)
        if end > self.first_seq:
            del self.place.events[: end - self.first_seq]
            self.place.first_seq = end

    async def aclose(self) -> None: ...


class TestInAList(JournalContract):
    @pytest.fixture
    def journals(self) -> MakeJournal:
        place = Place()
        return lambda: ListJournal(place)


class Reorders(ListJournal):
    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        events = [event async for event in super().replay(after)]
        for event in [*events[1:2], *events[:1], *events[2:]]:
            yield event


class ForgetsAtOpen(ListJournal):
    async def open(self) -> None:
        self.place = Place()
        await super().open()


class ForgetsWhatIsKept(ListJournal):
    async def open(self) -> None:
        await super().open()
        self.place.kept = {}


class DoesNotFence(ListJournal):
    async def check(self) -> None: ...


class FencesAppendsOnly(ListJournal):
    async def keep(self, name: str, content: bytes | None) -> None:
        newest, self.epoch = self.epoch, self.place.writer
        try:
            await super().keep(name, content)
        finally:
            self.epoch = newest


class LiesAboutTheEnd(ListJournal):
    @property
    def next_seq(self) -> int:
        return super().next_seq + 1


class LiesAboutTheBeginning(ListJournal):
    @property
    def first_seq(self) -> int:
        return 0


class AcknowledgesEarly(ListJournal):
    """The newest batch is in memory until the next one comes, or until it is closed."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.waiting: list[Event] = []

    @property
    def next_seq(self) -> int:
        return super().next_seq + len(self.waiting)

    async def append(self, events: Sequence[Event]) -> None:
        waiting, self.waiting = self.waiting, list(events)
        await super().append(waiting)

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        async for event in super().replay(after):
            yield event
        for event in self.waiting:
            if event.seq > after:
                yield event

    async def aclose(self) -> None:
        self.place.events += self.waiting
        self.waiting = []


class KeepsEarly(ListJournal):
    """What is kept is in memory until it is closed."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.waiting: dict[str, bytes | None] = {}

    async def keep(self, name: str, content: bytes | None) -> None:
        await super().keep(name, (await super().kept()).get(name))
        self.waiting[name] = content

    async def kept(self) -> Mapping[str, bytes]:
        kept = {**await super().kept(), **self.waiting}
        return {name: content for name, content in kept.items() if content is not None}

    async def aclose(self) -> None:
        for name, content in self.waiting.items():
            await super().keep(name, content)
        self.waiting = {}


class LosesTheLastOfABatch(ListJournal):
    async def append(self, events: Sequence[Event]) -> None:
        await super().append(events[:-1] if len(events) > 200 else events)


class Doubles(ListJournal):
    async def append(self, events: Sequence[Event]) -> None:
        await super().append([*events, events[-1]] if len(events) > 200 else events)


class ReadsTextOnly(ListJournal):
    """It does not know kinds: what comes back is a generic event."""

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        async for event in super().replay(after):
            header = {name: getattr(event, name) for name in ("seq", "id", "at", "hub", "kind")}
            yield event if isinstance(event, GenericEvent) else GenericEvent(**header)


class TruncatesTooMuch(ListJournal):
    async def truncate_before(self, seq: int) -> None:
        await super().truncate_before(seq + 1)


class TruncatesAll(ListJournal):
    async def truncate_before(self, seq: int) -> None:
        self.place.first_seq += (gone := min(seq, self.next_seq) - self.first_seq)
        del self.place.events[:gone]


class SkipsWhatIsGone(ListJournal):
    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        async for event in super().replay(max(after, self.first_seq - 1)):
            yield event


class HasOneEpoch(ListJournal):
    async def open(self) -> None:
        self.epoch = 1


class SharesAReplay(ListJournal):
    """All replays go through one cursor."""

    at = 0

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        self.at = after + 1
        while self.at < self.next_seq:
            self.at += 1
            yield self.place.events[self.at - 1 - self.first_seq]


class AppendsToWhatIsKept(ListJournal):
    async def keep(self, name: str, content: bytes | None) -> None:
        old = (await self.kept()).get(name, b"")
        await super().keep(name, content and old[len(content) :] + content)


class TakesAnyName(ListJournal):
    async def keep(self, name: str, content: bytes | None) -> None:
        await self.check()
        self.place.kept[name] = (self.epoch, content)


class RefusesItself(ListJournal):
    """After a crash there is nobody who could be running."""

    async def open(self) -> None:
        if self.place.openings:
            raise AlreadyRunning("is running", path=self.path, pid=1, host="h", since="now")
        await super().open()


class ChecksBehindItsBack(ListJournal):
    """It takes its own appends for those of another."""

    async def append(self, events: Sequence[Event]) -> None:
        await super().append(events)
        self.place.writer += 1
        self.epoch += len(events) % 2


BAD: dict[type[ListJournal], str] = {
    Reorders: "test_a_replay_begins_after_any_event",
    ForgetsAtOpen: "test_events_are_there_after_a_restart",
    ForgetsWhatIsKept: "test_what_is_kept_comes_back_to_the_byte",
    DoesNotFence: "test_a_replaced_writer_appends_nothing",
    FencesAppendsOnly: "test_what_a_replaced_writer_keeps_never_counts",
    LiesAboutTheEnd: "test_a_new_journal_is_empty",
    LiesAboutTheBeginning: "test_truncation_keeps_what_is_needed",
    AcknowledgesEarly: "test_appended_events_are_durable",
    KeepsEarly: "test_what_is_kept_is_durable",
    LosesTheLastOfABatch: "test_batches_of_any_size_keep_their_order",
    Doubles: "test_batches_of_any_size_keep_their_order",
    ReadsTextOnly: "test_an_event_keeps_every_field",
    TruncatesTooMuch: "test_truncation_keeps_what_is_needed",
    TruncatesAll: "test_truncation_leaves_an_event",
    SkipsWhatIsGone: "test_truncated_events_are_gone_with_words",
    HasOneEpoch: "test_the_epoch_of_a_later_writer_is_larger",
    SharesAReplay: "test_replays_do_not_disturb_one_another",
    AppendsToWhatIsKept: "test_what_is_kept_is_replaced_as_a_whole",
    TakesAnyName: "test_a_name_that_breaks_the_rules_is_refused",
    RefusesItself: "test_events_are_there_after_a_restart",
    ChecksBehindItsBack: "test_the_only_writer_may_check_at_any_time",
}


@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.__name__)
async def test_the_contract_finds_a_bad_journal(kind: type[ListJournal]) -> None:
    """Each of them fails the test that is about what is wrong with it."""
    place = Place()
    test: Callable[..., Any] = getattr(JournalContract(), BAD[kind])
    with pytest.raises(Exception):  # noqa: B017 - a bad journal fails in its own way
        await test(lambda: kind(place))


def test_the_contract_is_long_enough() -> None:
    tests = [name for name, _ in inspect.getmembers(JournalContract, inspect.isfunction) if name.startswith("test_")]
    assert len(tests) >= 25
