"""The contract of a journal, first half: events are appended, replayed and truncated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from .. import codec
from ..errors import AlreadyRunning, HistoryGone
from ..events import Event, GenericEvent, ToolCalled
from ..ports import BatchingJournal, Journal
from ._raises import raises

__all__ = ("EventsContract", "MakeJournal", "bodies", "events_of", "made", "opened")

MakeJournal: TypeAlias = Callable[[], Journal]
"""Makes a new object for the same journal, as another process would, or the next start."""

HUB = "01a223a6000070008000000000000000"
AT = "2026-11-21T09:30:00.000001Z"


def made(first: int, count: int, text: str = "") -> list[Event]:
    """Return stamped events whose ``seq`` begins at ``first``."""
    return [
        GenericEvent(
            seq=seq,
            id=f"01a223a6{seq:024x}",
            at=AT,
            hub=HUB,
            kind="number.said",
            data={"n": seq, "text": text},
        )
        for seq in range(first, first + count)
    ]


def bodies(events: Sequence[Event]) -> list[bytes]:
    """Return all that can be told of events."""
    return [codec.encode(event) for event in events]


async def events_of(journal: Journal, after: int = -1) -> list[Event]:
    return [event async for event in journal.replay(after)]


async def opened(journals: MakeJournal, events: int = 0) -> Journal:
    """Return an open journal, with so many events appended, in batches of up to 7."""
    journal = journals()
    await journal.open()
    for first in range(0, events, 7):
        await journal.append(made(first, min(7, events - first)))
    return journal


async def check_holds(journal: Journal, first: int, end: int) -> None:
    """Check that the journal holds the events ``[first, end)``, that they are as they were appended, and no more."""
    assert (journal.first_seq, journal.next_seq) == (first, end)
    assert bodies(await events_of(journal, first - 1)) == bodies(made(first, end - first))


class EventsContract:
    """Tests of what a journal does with events."""

    async def crashed(
        self,
        journal: Journal,  # noqa: ARG002 - for those that override it
        journals: MakeJournal,
    ) -> Journal | None:
        """Return a journal, open, at what is found if the process of ``journal`` is killed now; None: not from here."""
        other = journals()
        try:
            await other.open()
        except AlreadyRunning:
            return None
        return other

    # --- opening ----------------------------------------------------------------------------------------------------

    async def test_a_new_journal_is_empty(self, journals: MakeJournal) -> None:
        journal = await opened(journals)
        assert (journal.first_seq, journal.next_seq, journal.hub_id) == (0, 0, None)
        assert await events_of(journal) == []
        assert await journal.kept() == {}
        await journal.aclose()

    async def test_events_are_there_after_a_restart(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 20)
        await check_holds(journal, 0, 20)
        await journal.aclose()
        again = await opened(journals)
        await check_holds(again, 0, 20)
        assert again.hub_id == HUB
        await again.aclose()

    async def test_a_journal_goes_on_after_a_restart(self, journals: MakeJournal) -> None:
        for life in range(4):
            journal = await opened(journals)
            assert journal.next_seq == 3 * life
            await journal.append(made(3 * life, 3))
            await journal.aclose()
        again = await opened(journals)
        await check_holds(again, 0, 12)
        await again.aclose()

    async def test_opening_and_closing_changes_nothing(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 5)
        await journal.keep("positions", b"5")
        await journal.aclose()
        for _ in range(3):
            again = await opened(journals)
            await check_holds(again, 0, 5)
            assert dict(await again.kept()) == {"positions": b"5"}
            await again.aclose()
            await again.aclose()

    async def test_the_epoch_of_a_later_writer_is_larger(self, journals: MakeJournal) -> None:
        epochs = []
        for life in range(3):
            journal = await opened(journals)
            epochs.append(journal.epoch)
            await journal.append(made(2 * life, 2))
            assert journal.epoch == epochs[-1], "it is one number for the whole life"
            await journal.aclose()
        assert epochs == sorted(set(epochs))

    # --- appending --------------------------------------------------------------------------------------------------

    async def test_batches_come_back_like_other_events(self, journals: MakeJournal) -> None:
        """Of a :class:`~hubwire.ports.BatchingJournal`; others are not asked."""
        journal = await opened(journals, 3)
        if isinstance(journal, BatchingJournal):
            await journal.append_batches(made(3, 9), [range(2), range(2, 5), range(7, 9)])
            await journal.append_batches(made(12, 2), [range(2)])
            await journal.append(made(14, 1))
            await check_holds(journal, 0, 15)
            assert bodies(await events_of(journal, 4)) == bodies(made(5, 10))
            await journal.aclose()
            again = await opened(journals)
            await check_holds(again, 0, 15)
            await again.append(made(15, 2))
            await check_holds(again, 0, 17)
            await again.aclose()
        else:
            await journal.aclose()

    async def test_appended_events_are_counted(self, journals: MakeJournal) -> None:
        journal = await opened(journals)
        await journal.append(made(0, 3))
        assert (journal.first_seq, journal.next_seq, journal.size_bytes > 0) == (0, 3, True)
        size = journal.size_bytes
        await journal.append(made(3, 1))
        assert journal.next_seq == 4
        assert journal.size_bytes > size
        await journal.aclose()

    async def test_appended_events_are_durable(self, journals: MakeJournal) -> None:
        """When the append returns, not later."""
        journal = await opened(journals)
        for end in (1, 4, 5):
            await journal.append(made(journal.next_seq, end - journal.next_seq))
            if (found := await self.crashed(journal, journals)) is not None:
                await check_holds(found, 0, end)
                await found.aclose()
        await journal.aclose()

    async def test_batches_of_any_size_keep_their_order(self, journals: MakeJournal) -> None:
        journal = await opened(journals)
        for size in (1, 2, 1024, 3, 255, 1, 300):
            await journal.append(made(journal.next_seq, size))
        await check_holds(journal, 0, 1586)
        await journal.aclose()
        again = await opened(journals)
        await check_holds(again, 0, 1586)
        await again.aclose()

    async def test_an_event_keeps_every_field(self, journals: MakeJournal) -> None:
        odd = b'{"at":"%b","hub":"%b","id":"x","kind":"odd.happened","seq":2,"x":[1,{"y":null}]}'
        written: list[Event] = [
            GenericEvent(
                seq=0, id="a", at=AT, hub=HUB, kind="odd.said", data={"é\u2028\x7f": [1, 1.5, None, True, "\n\0"]}
            ),
            ToolCalled(seq=1, id="b", at=AT, hub=HUB, tool="search", call_id="1", agent_id="x", correlation_id="c"),
            codec.decode(odd % (AT.encode(), HUB.encode())),
        ]
        journal = await opened(journals)
        await journal.append(written)
        await journal.aclose()
        again = await opened(journals)
        found = await events_of(again)
        assert [type(event) for event in found] == [type(event) for event in written]
        assert bodies(found) == bodies(written)
        await again.aclose()

    async def test_a_large_event_comes_back_whole(self, journals: MakeJournal) -> None:
        large = made(1, 1, "x" * 3_000_000)
        journal = await opened(journals, 1)
        await journal.append(large)
        await journal.append(made(2, 1))
        await journal.aclose()
        again = await opened(journals)
        assert bodies(await events_of(again)) == bodies([*made(0, 1), *large, *made(2, 1)])
        await again.aclose()

    async def test_a_cancelled_append_is_whole_or_not_there(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 2)
        appending = asyncio.ensure_future(journal.append(made(2, 50)))
        await asyncio.sleep(0)
        appending.cancel()
        await asyncio.wait([appending])
        await journal.aclose()
        again = await opened(journals)
        assert again.next_seq in (2, 52)
        await check_holds(again, 0, again.next_seq)
        await again.aclose()

    # --- replaying --------------------------------------------------------------------------------------------------

    async def test_a_replay_begins_after_any_event(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 20)
        for after in range(-1, 20):
            assert [event.seq for event in await events_of(journal, after)] == list(range(after + 1, 20))
        await journal.aclose()

    async def test_a_replay_holds_all_that_was_durable_when_it_began(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 10)
        replay = journal.replay()
        found = [await anext(replay)]
        await journal.append(made(10, 5))
        found += [event async for event in replay]
        assert [event.seq for event in found] in (list(range(10)), list(range(15)))
        assert len(await events_of(journal)) == 15
        await journal.aclose()

    async def test_replays_do_not_disturb_one_another(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 30)
        one, other = journal.replay(4), journal.replay(9)
        for _ in range(5):
            assert (await anext(other)).seq - (await anext(one)).seq == 5
        assert [event.seq async for event in one] == list(range(10, 30))
        assert [event.seq async for event in other] == list(range(15, 30))
        await journal.aclose()

    async def test_replays_and_appends_go_on_side_by_side(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 5)

        async def append() -> None:
            for _ in range(30):
                await journal.append(made(journal.next_seq, 2))

        appending = asyncio.ensure_future(append())
        while not appending.done():
            seqs = [event.seq for event in await events_of(journal)]
            assert seqs == list(range(len(seqs)))
            await asyncio.sleep(0)
        await appending
        await check_holds(journal, 0, 65)
        await journal.aclose()

    async def test_a_replay_may_be_left_in_the_middle(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 20)
        async for event in journal.replay():
            if event.seq == 3:
                break
        await journal.append(made(20, 1))
        await check_holds(journal, 0, 21)
        await journal.aclose()

    # --- truncating -------------------------------------------------------------------------------------------------

    async def test_truncation_keeps_what_is_needed(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 40)
        for seq in (0, 3, 20, 39):
            await journal.truncate_before(seq)
            assert journal.first_seq <= seq
            await check_holds(journal, journal.first_seq, 40)
        await journal.aclose()

    async def test_truncation_leaves_an_event(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 20)
        await journal.truncate_before(20)
        assert journal.first_seq < 20
        await check_holds(journal, journal.first_seq, 20)
        await journal.append(made(20, 3))
        await check_holds(journal, journal.first_seq, 23)
        await journal.aclose()

    async def test_truncation_lasts(self, journals: MakeJournal) -> None:
        """After a restart the journal begins where it began, and knows whose it is."""
        journal = await opened(journals, 40)
        await journal.truncate_before(30)
        first_seq = journal.first_seq
        await journal.aclose()
        again = await opened(journals)
        await check_holds(again, first_seq, 40)
        assert again.hub_id == HUB
        await again.aclose()

    async def test_truncated_events_are_gone_with_words(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 40)
        await journal.truncate_before(30)
        for after in range(-1, journal.first_seq - 1):
            with raises(HistoryGone) as caught:
                await events_of(journal, after)
            assert caught.error.first_seq == journal.first_seq
        await journal.aclose()

    async def test_truncation_and_appends_go_on_side_by_side(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 40)

        async def append() -> None:
            for _ in range(20):
                await journal.append(made(journal.next_seq, 1))

        appending = asyncio.ensure_future(append())
        for seq in range(0, 40, 5):
            await journal.truncate_before(seq)
        await appending
        await check_holds(journal, journal.first_seq, 60)
        assert journal.first_seq <= 35
        await journal.aclose()
