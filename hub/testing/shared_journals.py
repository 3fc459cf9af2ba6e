"""What every journal promises that can be followed, as tests: prove your own by subclassing.

.. code-block:: python

    class TestMyJournal(SharedJournalContract):
        @pytest.fixture
        def journals(self, tmp_path: Path) -> MakeSharedJournal:
            return lambda: MyJournal(tmp_path)

The fixture is as that of :class:`~hubwire.testing.JournalContract`, which proves the rest of it, and so is the way in
which the tests are run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

from ..errors import AlreadyRunning, Fenced, HistoryGone, StoreError
from ..events import Event
from ..ports import SharedJournal
from ._journal_events import HUB, bodies, made
from ._raises import raises

__all__ = ("MakeSharedJournal", "SharedJournalContract")

MakeSharedJournal: TypeAlias = Callable[[], SharedJournal]
"""Makes a new object for the same journal, as another process would, or the next start."""

_SECONDS_MAX = 60.0
"""What comes in no such time does not come."""

_SIGNS = 2
"""After so many signs of life what does not come is taken for absent: the first may be older than the question."""


class Follower:
    """Reads what a journal gives to those that follow it."""

    def __init__(self, journal: SharedJournal, after: int = -1) -> None:
        self.seen: list[Event] = []
        self._batches = cast(AsyncGenerator[Sequence[Event], None], journal.follow(after))

    async def next(self) -> Sequence[Event]:
        """Return the next batch, or sign of life."""
        async with asyncio.timeout(_SECONDS_MAX):
            return await self._next()

    async def _next(self) -> Sequence[Event]:
        batch = await anext(self._batches)
        self.seen += batch
        return batch

    async def until(self, end: int) -> list[Event]:
        """Return all that was seen when the event before ``end`` was."""
        async with asyncio.timeout(_SECONDS_MAX):
            while not self.seen or self.seen[-1].seq < end - 1:
                await self._next()
        return self.seen

    async def until_quiet(self) -> list[Event]:
        """Return all that was seen when no more comes."""
        signs = 0
        async with asyncio.timeout(_SECONDS_MAX):
            while signs < _SIGNS:
                signs = 0 if await self._next() else signs + 1
        return self.seen

    async def aclose(self) -> None:
        await self._batches.aclose()


@asynccontextmanager
async def following(journal: SharedJournal, after: int = -1) -> AsyncIterator[Follower]:
    """Follow a journal for the time of the block."""
    follower = Follower(journal, after)
    try:
        yield follower
    finally:
        await follower.aclose()


async def led(journals: MakeSharedJournal, events: int = 0, *, committed: int | None = None) -> SharedJournal:
    """Return an open journal, with so many events appended, all of them or some committed."""
    journal = journals()
    await journal.open()
    for first in range(journal.next_seq, events, 7):
        await journal.append(made(first, min(7, events - first)))
    journal.committed(events if committed is None else committed)
    return journal


async def closed(*journals: SharedJournal) -> None:
    for journal in journals:
        await journal.aclose()


class SharedJournalContract:
    """Tests of what :class:`~hubwire.ports.SharedJournal` has more than :class:`~hubwire.ports.Journal`."""

    def test_it_is_a_journal_that_can_be_followed(self, journals: MakeSharedJournal) -> None:
        assert isinstance(journals(), SharedJournal)

    # --- what followers see -----------------------------------------------------------------------------------------

    async def test_a_follower_sees_each_event_once_and_in_order(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 20), journals()
        async with following(other) as follower:
            assert bodies(await follower.until(20)) == bodies(made(0, 20))
            for size in (1, 3, 40, 1):
                await leader.append(made(leader.next_seq, size))
                leader.committed(leader.next_seq)
                await follower.until(leader.next_seq)
            assert bodies(await follower.until_quiet()) == bodies(made(0, 65))
        await closed(leader, other)

    async def test_a_follower_sees_no_event_that_is_not_committed(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 20, committed=5), journals()
        async with following(other) as follower:
            await follower.until(5)
            assert len(await follower.until_quiet()) == 5
            await leader.append(made(20, 1))
            assert len(await follower.until_quiet()) == 5
            leader.committed(6)
            await follower.until(6)
            assert len(await follower.until_quiet()) == 6
            leader.committed(21)
            assert bodies(await follower.until(21)) == bodies(made(0, 21))
        await closed(leader, other)

    async def test_an_idle_journal_tells_what_was_committed(self, journals: MakeSharedJournal) -> None:
        """No event comes after it with which it could travel."""
        leader, other = await led(journals, 3, committed=0), journals()
        async with following(other) as follower:
            await follower.until_quiet()
            for seq in range(1, 4):
                leader.committed(seq)
                assert len(await follower.until(seq)) == seq
        await closed(leader, other)

    async def test_what_was_told_elsewhere_is_given_at_most_so_far(self, journals: MakeSharedJournal) -> None:
        """By the hub that follows, which has it from the one that leads. The journal need not make use of it."""
        leader, other = await led(journals, 20, committed=5), journals()
        await other.prepare()
        other.committed(3)
        async with following(other) as follower:
            other.committed(8)
            other.committed(6)
            await follower.until(5)
            assert len(await follower.until_quiet()) in (5, 8)
            other.committed(21)  # it may be said before the event comes
            await leader.append(made(20, 1))
            leader.committed(21)
            assert bodies(await follower.until(21)) == bodies(made(0, 21))
        await closed(leader, other)

    async def test_a_wrong_word_on_what_is_committed_does_no_harm(self, journals: MakeSharedJournal) -> None:
        """It is more than there is, or less than before."""
        leader, other = await led(journals, 3), journals()
        async with following(other) as follower:
            await follower.until(3)
            leader.committed(1)
            leader.committed(1_000_000)
            await leader.append(made(3, 2))
            assert len(await follower.until_quiet()) == 3
            leader.committed(4)
            await follower.until(4)
            assert bodies(await follower.until_quiet()) == bodies(made(0, 4))
        await closed(leader, other)

    async def test_a_follower_begins_after_any_event(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 20), journals()
        for after in (-1, 0, 5, 6, 7, 18):
            async with following(other, after) as follower:
                assert bodies(await follower.until(20)) == bodies(made(after + 1, 19 - after))
        async with following(other, 19) as follower:
            assert await follower.until_quiet() == []
            await leader.append(made(20, 2))
            leader.committed(22)
            assert bodies(await follower.until(22)) == bodies(made(20, 2))
        await closed(leader, other)

    async def test_a_journal_that_was_never_written_is_waited_for(self, journals: MakeSharedJournal) -> None:
        other = journals()
        async with following(other) as follower:
            first = asyncio.ensure_future(follower.until(3))
            await asyncio.sleep(0)
            leader = await led(journals, 3)
            assert bodies(await first) == bodies(made(0, 3))
        await closed(leader, other)

    async def test_a_large_event_comes_whole(self, journals: MakeSharedJournal) -> None:
        large = made(1, 1, "x" * 3_000_000)
        leader, other = await led(journals, 1), journals()
        async with following(other) as follower:
            await leader.append(large)
            await leader.append(made(2, 1))
            leader.committed(3)
            assert bodies(await follower.until(3)) == bodies([*made(0, 1), *large, *made(2, 1)])
        async with following(other, 0) as follower:
            assert bodies(await follower.until(3)) == bodies([*large, *made(2, 1)])
        await closed(leader, other)

    async def test_a_slow_follower_loses_nothing(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 5), journals()
        async with following(other) as follower:
            await follower.next()
            for _ in range(40):
                await leader.append(made(leader.next_seq, 50))
                leader.committed(leader.next_seq)
            assert bodies(await follower.until(2005)) == bodies(made(0, 2005))
        await closed(leader, other)

    async def test_many_follow_at_once(self, journals: MakeSharedJournal) -> None:
        leader = await led(journals, 5)
        others = [journals() for _ in range(5)]
        followers = [Follower(other) for other in others for _ in range(2)]

        async def append() -> None:
            for _ in range(10):
                await leader.append(made(leader.next_seq, 4))
                leader.committed(leader.next_seq)

        found = await asyncio.gather(append(), *[follower.until(45) for follower in followers])
        assert all(bodies(cast(Any, each)) == bodies(made(0, 45)) for each in found[1:])
        for follower in followers:
            await follower.aclose()
        await closed(leader, *others)

    async def test_the_leader_may_follow_itself(self, journals: MakeSharedJournal) -> None:
        leader = await led(journals, 5)
        async with following(leader) as follower:
            await follower.until(5)
            await leader.append(made(5, 1))
            leader.committed(6)
            assert bodies(await follower.until(6)) == bodies(made(0, 6))
        await leader.append(made(6, 1))
        await leader.aclose()

    # --- leaders that change ----------------------------------------------------------------------------------------

    async def _replaced(self, older: SharedJournal, journals: MakeSharedJournal) -> SharedJournal:
        """Return the journal of another program, which has taken over, or come after this one was closed."""
        newer = journals()
        try:
            await newer.open()
        except AlreadyRunning:
            await older.aclose()
            newer = journals()
            await newer.open()
        return newer

    async def test_what_a_new_leader_finds_is_committed(self, journals: MakeSharedJournal) -> None:
        """It recovers from it: no follower waits for a word of one that is gone."""
        older, other = await led(journals, 9, committed=2), journals()
        async with following(other) as follower:
            await follower.until(2)
            newer = await self._replaced(older, journals)
            assert bodies(await follower.until(9)) == bodies(made(0, 9))
        async with following(other, 3) as follower:
            assert bodies(await follower.until(9)) == bodies(made(4, 5))
        await closed(older, newer, other)

    async def test_what_a_replaced_leader_writes_is_never_seen(self, journals: MakeSharedJournal) -> None:
        older, other = await led(journals, 3), journals()
        async with following(other) as follower:
            await follower.until(3)
            newer = await self._replaced(older, journals)
            older.committed(5)
            await newer.append(made(3, 1, "newer"))  # with this it has taken over, at the latest
            with raises((Fenced, StoreError)):
                await older.append(made(3, 2, "older"))
            older.committed(5)
            await newer.append(made(4, 1, "newer"))
            older.committed(5)
            assert bodies(await follower.until_quiet()) == bodies(made(0, 3))
            newer.committed(5)
            assert bodies(await follower.until(5)) == bodies([*made(0, 3), *made(3, 2, "newer")])
            await older.aclose()
            assert len(await follower.until_quiet()) == 5
        await closed(newer, other)

    async def test_a_follower_outlives_leader_after_leader(self, journals: MakeSharedJournal) -> None:
        other = journals()
        leader = await led(journals, 2)
        async with following(other) as follower:
            for life in range(4):
                await follower.until(leader.next_seq)
                await leader.append(made(leader.next_seq, 3))
                leader.committed(leader.next_seq - life % 2)
                if life % 2:
                    await leader.aclose()
                older, leader = leader, await self._replaced(leader, journals)
                await older.aclose()
            assert bodies(await follower.until(14)) == bodies(made(0, 14))
        await closed(leader, other)

    async def test_all_that_was_committed_is_there_when_the_leader_has_closed(
        self, journals: MakeSharedJournal
    ) -> None:
        """Also for those that come later, when none leads."""
        leader, other = await led(journals, 9), journals()
        await leader.aclose()
        async with following(other) as follower:
            assert bodies(await follower.until(9)) == bodies(made(0, 9))
        await other.prepare()
        assert other.next_seq == 9
        await other.aclose()

    async def test_a_sign_of_life_is_given_while_one_leads(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 1), journals()
        async with following(other, 0) as follower:
            assert [len(await follower.next()) for _ in range(3)] == [0, 0, 0]
        await closed(leader, other)

    # --- truncation -------------------------------------------------------------------------------------------------

    async def test_a_place_that_is_truncated_is_said(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 40), journals()
        await leader.truncate_before(30)
        assert leader.first_seq > 0
        with raises(HistoryGone) as caught:
            async with following(other) as follower:
                await follower.until(40)
        assert caught.error.first_seq == leader.first_seq
        async with following(other, leader.first_seq - 1) as follower:
            expected = made(leader.first_seq, 40 - leader.first_seq)
            assert bodies(await follower.until(40)) == bodies(expected)
        await closed(leader, other)

    async def test_truncation_of_what_was_seen_is_not_noticed(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 40), journals()
        async with following(other) as follower:
            await follower.until(40)
            await leader.truncate_before(39)
            await leader.append(made(40, 2))
            leader.committed(42)
            assert bodies(await follower.until(42)) == bodies(made(0, 42))
        await closed(leader, other)

    # --- reading without possession ---------------------------------------------------------------------------------

    async def test_a_journal_is_prepared_beside_its_leader(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 20), journals()
        await leader.keep("positions", b"7")
        await leader.append(made(20, 1))
        await _known(other, 20)
        assert (other.first_seq, other.next_seq, other.hub_id) == (0, 20, HUB)
        assert dict(await other.kept()) == {"positions": b"7"}
        assert bodies([event async for event in other.replay(4)]) == bodies(made(5, other.next_seq - 5))
        await leader.append(made(21, 1))
        await leader.check()
        await leader.keep("positions", b"8")
        assert dict(await other.kept()) == {"positions": b"8"}
        await other.aclose()
        await leader.append(made(22, 1))
        await leader.aclose()

    async def test_a_prepared_journal_shows_what_is_committed_alone(self, journals: MakeSharedJournal) -> None:
        leader, other = await led(journals, 20, committed=4), journals()
        await leader.append(made(20, 1))
        await _known(other, 4)
        assert other.next_seq == 4
        leader.committed(20)
        await leader.append(made(21, 1))
        await _known(other, 20)
        assert other.next_seq == 20
        assert [event.seq async for event in other.replay()] == list(range(20))
        await closed(leader, other)

    async def test_a_journal_that_was_never_written_is_empty(self, journals: MakeSharedJournal) -> None:
        journal = journals()
        await journal.prepare()
        assert (journal.first_seq, journal.next_seq, journal.hub_id) == (0, 0, None)
        assert dict(await journal.kept()) == {}
        assert [event async for event in journal.replay()] == []
        await journal.open()
        await journal.append(made(0, 1))
        assert [event.seq async for event in journal.replay()] == [0]
        await journal.aclose()

    async def test_a_prepared_journal_takes_the_lead(self, journals: MakeSharedJournal) -> None:
        older, newer = await led(journals, 9, committed=3), journals()
        await newer.prepare()
        async with following(newer) as follower:
            await follower.until(3)
            await older.append(made(9, 2))
            try:
                await newer.open()
            except AlreadyRunning:
                await older.aclose()
                await newer.open()
            assert newer.next_seq == 11
            assert bodies(await follower.until(11)) == bodies(made(0, 11))
        await newer.append(made(11, 1))
        with raises((Fenced, StoreError)):
            await older.append(made(11, 1, "older"))
        assert bodies([event async for event in newer.replay(9)]) == bodies(made(10, 2))
        await closed(older, newer)

    async def test_an_open_journal_is_not_prepared(self, journals: MakeSharedJournal) -> None:
        leader = await led(journals, 2)
        with raises(StoreError):
            await leader.prepare()
        await leader.append(made(2, 1))
        await leader.aclose()

    # --- leaving ----------------------------------------------------------------------------------------------------

    async def test_a_follower_that_leaves_leaves_nothing(self, journals: MakeSharedJournal) -> None:
        """At any moment, by closing or by cancellation; and what the leader does is not disturbed."""
        leader, other = await led(journals, 40), journals()
        before = asyncio.all_tasks()
        for steps in range(12):
            follower = Follower(other, 4 * steps - 1)
            reading = asyncio.ensure_future(follower.until(1_000))
            for _ in range(steps * steps):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            await follower.aclose()
        await other.aclose()
        await _until_gone(before)
        await leader.append(made(40, 1))
        await leader.aclose()


async def _known(journal: SharedJournal, end: int) -> None:
    """Prepare a journal as soon as those that follow it know that so many events are committed."""
    async with following(journal) as follower:
        await follower.until(end)
    await journal.prepare()


async def _until_gone(before: set[asyncio.Task[Any]]) -> None:
    """Return when no other tasks are there than before."""
    async with asyncio.timeout(_SECONDS_MAX):
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left, timeout=0.1)
