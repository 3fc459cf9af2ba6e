"""The journal in memory that hubs of one process share keeps the contracts, and they find those that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from hubwire import Event
from hubwire.errors import ConfigurationError, Fenced, StoreError
from hubwire.ports import Journal, SharedJournal
from hubwire.stores import MemoryStore
from hubwire.testing import (
    JournalContract,
    MakeJournal,
    MakeSharedJournal,
    MemoryHistory,
    MemorySharedJournal,
    SharedJournalContract,
)
from support.odd import Stranger


class TestMemorySharedJournal(JournalContract):
    @pytest.fixture
    def journals(self) -> MakeJournal:
        self.history = MemoryHistory(MemoryStore())
        return lambda: MemorySharedJournal(self.history)

    async def crashed(self, journal: Journal, journals: MakeJournal) -> Journal | None:
        found = journals()
        assert isinstance(found, MemorySharedJournal)
        await found.prepare()
        found.next_seq = self.history.next_seq
        return found


class TestFollowingInMemory(SharedJournalContract):
    @pytest.fixture
    def journals(self) -> MakeSharedJournal:
        history = MemoryHistory(MemoryStore(), beat_seconds=0.01)
        return lambda: MemorySharedJournal(history)


# --- journals that break it -------------------------------------------------------------------------------------------


class ShowsAll(MemorySharedJournal):
    """Followers see what is not committed."""

    async def append(self, events: Sequence[Event]) -> None:
        await super().append(events)
        self.history.commit(self.next_seq)


class Forgets(MemorySharedJournal):
    """What a leader had appended stays hidden when another one has come."""

    async def open(self) -> None:
        committed = self.history.committed
        await super().open()
        self.history.committed = committed


class Repeats(MemorySharedJournal):
    async def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
        async for events in super().follow(after):
            yield [*events[-1:], *events]


class Skips(MemorySharedJournal):
    """Who is truncated away goes on where there is something."""

    async def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
        async for events in super().follow(max(after, self.first_seq - 1)):
            yield events


class TakesOver(MemorySharedJournal):
    async def prepare(self) -> None:
        await super().prepare()
        self.history.take_over()


class Silent(MemorySharedJournal):
    """Says nothing while it is idle, and so not what is committed."""

    def committed(self, seq: int) -> None:
        pass

    async def append(self, events: Sequence[Event]) -> None:
        self.history.commit(self.next_seq)
        await super().append(events)


class Zombie(MemorySharedJournal):
    """What was replaced can say that what another one has written is committed."""

    def committed(self, seq: int) -> None:
        self.history.commit(seq)


BROKEN: dict[type[MemorySharedJournal], Callable[[SharedJournalContract], Any]] = {
    ShowsAll: lambda suite: suite.test_a_follower_sees_no_event_that_is_not_committed,
    Forgets: lambda suite: suite.test_what_a_new_leader_finds_is_committed,
    Repeats: lambda suite: suite.test_a_follower_sees_each_event_once_and_in_order,
    Skips: lambda suite: suite.test_a_place_that_is_truncated_is_said,
    TakesOver: lambda suite: suite.test_a_journal_is_prepared_beside_its_leader,
    Silent: lambda suite: suite.test_an_idle_journal_tells_what_was_committed,
    Zombie: lambda suite: suite.test_what_a_replaced_leader_writes_is_never_seen,
}


@pytest.mark.parametrize("broken", BROKEN, ids=[each.__name__ for each in BROKEN])
async def test_the_contract_finds_a_journal_that_breaks_it(
    broken: type[MemorySharedJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubwire.testing.shared_journals._SECONDS_MAX", 0.3)
    history = MemoryHistory(MemoryStore(), beat_seconds=0.01)
    with pytest.raises((AssertionError, TimeoutError, Fenced)):
        await BROKEN[broken](SharedJournalContract())(lambda: broken(history))


# --- the journal in memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryHistory("./data"),  # type: ignore[arg-type]
        lambda: MemoryHistory(MemoryStore),  # type: ignore[arg-type]
        lambda: MemoryHistory(MemoryStore(), beat_seconds=0),
        lambda: MemoryHistory(MemoryStore(), beat_seconds=float("nan")),
        lambda: MemoryHistory(MemoryStore(), beat_seconds="soon"),  # type: ignore[arg-type]
        lambda: MemorySharedJournal(MemoryStore()),  # type: ignore[arg-type]
        lambda: MemorySharedJournal(Stranger()),  # type: ignore[arg-type]
        lambda: MemoryHistory(Stranger()),  # type: ignore[arg-type]
    ],
    ids=range(8),
)
def test_arguments_that_cannot_be_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()


async def test_it_is_opened_once() -> None:
    history = MemoryHistory(MemoryStore())
    journal = MemorySharedJournal(history)
    assert isinstance(journal, SharedJournal)
    await journal.open()
    with pytest.raises(StoreError, match="is open already"):
        await journal.open()
    assert history.epoch == 1
    await journal.aclose()
    assert not history.is_led
    assert history.followers == 0
