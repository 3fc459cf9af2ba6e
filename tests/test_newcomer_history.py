"""A history that is read while the journal is truncated behind it."""

from __future__ import annotations

import pytest

from hubwire import GenericEvent, Hub, StoreJournal
from hubwire._journal import store_journal
from hubwire.errors import HistoryGone
from hubwire.log import LogReader
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock


async def test_what_is_truncated_meanwhile_is_gone_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the oldest event and the way to it: what catches this looks where events were put aside."""
    store, clock = MemoryStore(), ManualClock()
    journal = StoreJournal(store, clock=clock, segment_bytes=600)

    class Late(LogReader):
        async def seek_after_seq(self, after: int) -> None:
            if after == -1:
                await journal.truncate_before(journal.next_seq)
            await super().seek_after_seq(after)

    async with Hub(journal=journal, clock=clock) as hub:
        for n in range(40):
            await hub.emit(GenericEvent(kind="number.said", data={"n": n}))
        monkeypatch.setattr(store_journal, "LogReader", Late)
        with pytest.raises(HistoryGone, match="truncated before") as gone:
            [event async for event in journal.replay(-1)]
        assert gone.value.first_seq == journal.first_seq > 0
        kept = [event.seq async for event in journal.replay(journal.first_seq - 1)]
        assert kept == list(range(journal.first_seq, journal.next_seq))
