"""What every journal promises, as tests: prove your own by subclassing.

.. code-block:: python

    class TestMyJournal(JournalContract):
        @pytest.fixture
        def journals(self, tmp_path: Path) -> MakeJournal:
            return lambda: MyJournal(tmp_path)

The fixture ``journals`` returns a function. Each call of it makes a new object for the same journal, which is empty
when a test begins: as another process would, or the next start. The tests are ``async`` methods: have them run by
anyio's pytest plugin (``anyio_mode = "auto"``), on asyncio.

Two programs on one journal: a journal either refuses the second with :class:`~hubwire.errors.AlreadyRunning`, or lets
it take over. Where it refuses, override ``crashed``, so that the tests see what a crash would leave.
"""

from __future__ import annotations

import asyncio

from .. import Hub
from ..errors import AlreadyRunning, Fenced, HubError
from ..ports import Journal
from ._journal_events import EventsContract, MakeJournal, bodies, events_of, made, opened
from ._raises import raises

__all__ = ("JournalContract", "MakeJournal")

CONTENTS = (b"", b"\0", b"\n", b"{}", b"one\ntwo", bytes(range(256)), b"x" * 1_000_000)

REFUSED_NAMES = ("", "A", "a b", "a/b", "..", "a-1", "é", "1st", "x" * 65, "a\n")


class JournalContract(EventsContract):
    """Tests of :class:`~hubwire.ports.Journal`."""

    # --- what is kept beside the events -----------------------------------------------------------------------------

    async def test_what_is_kept_comes_back_to_the_byte(self, journals: MakeJournal) -> None:
        expected = {f"name_{number}": content for number, content in enumerate(CONTENTS)}
        journal = await opened(journals, 1)
        for name, content in expected.items():
            await journal.keep(name, content)
        assert dict(await journal.kept()) == expected
        await journal.aclose()
        again = await opened(journals)
        assert dict(await again.kept()) == expected
        await again.aclose()

    async def test_what_is_kept_is_replaced_as_a_whole(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 1)
        for content in (b"a long one", b"short", b"", b"longer again"):
            await journal.keep("positions", content)
            assert dict(await journal.kept()) == {"positions": content}
        await journal.aclose()
        again = await opened(journals)
        assert dict(await again.kept()) == {"positions": b"longer again"}
        await again.aclose()

    async def test_what_is_kept_no_longer_is_gone(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 1)
        await journal.keep("absent", None)
        await journal.keep("positions", b"1")
        await journal.keep("snapshots", b"2")
        await journal.keep("positions", None)
        assert dict(await journal.kept()) == {"snapshots": b"2"}
        await journal.aclose()
        again = await opened(journals)
        assert dict(await again.kept()) == {"snapshots": b"2"}
        await again.keep("positions", b"3")
        assert dict(await again.kept()) == {"positions": b"3", "snapshots": b"2"}
        await again.aclose()

    async def test_what_is_kept_lasts_over_many_lives(self, journals: MakeJournal) -> None:
        for life in range(4):
            journal = await opened(journals)
            assert dict(await journal.kept()) == ({"at": b"0", "positions": b"%d" % (life - 1)} if life else {})
            await journal.append(made(life, 1))
            if not life:
                await journal.keep("at", b"0")
            await journal.keep("positions", b"%d" % life)
            await journal.aclose()

    async def test_what_is_kept_is_durable(self, journals: MakeJournal) -> None:
        """When the call returns, not later."""
        journal = await opened(journals, 1)
        for content in (b"one", b"two", None, b"three"):
            await journal.keep("positions", content)
            if (found := await self.crashed(journal, journals)) is not None:
                assert (await found.kept()).get("positions") == content
                await found.aclose()
        await journal.aclose()

    async def test_truncation_leaves_what_is_kept(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 40)
        await journal.keep("positions", b"1")
        await journal.truncate_before(39)
        await journal.aclose()
        again = await opened(journals)
        assert dict(await again.kept()) == {"positions": b"1"}
        await again.aclose()

    async def test_keeping_and_appending_go_on_side_by_side(self, journals: MakeJournal) -> None:
        journal = await opened(journals)

        async def append() -> None:
            for _ in range(20):
                await journal.append(made(journal.next_seq, 2))
                await asyncio.sleep(0)

        appending = asyncio.ensure_future(append())
        for number in range(20):
            await journal.keep("positions", b"%d" % number)
            await journal.check()
        await appending
        assert dict(await journal.kept()) == {"positions": b"19"}
        assert bodies(await events_of(journal)) == bodies(made(0, 40))
        await journal.aclose()

    async def test_a_name_that_breaks_the_rules_is_refused(self, journals: MakeJournal) -> None:
        journal = await opened(journals, 1)
        for name in REFUSED_NAMES:
            with raises(HubError):
                await journal.keep(name, b"x")
        await journal.keep("x" * 64, b"x")
        assert dict(await journal.kept()) == {"x" * 64: b"x"}
        await journal.aclose()

    # --- one writer -------------------------------------------------------------------------------------------------

    async def _taken_over(self, journals: MakeJournal) -> tuple[Journal, Journal] | None:
        """Return a journal of 3 events, and one that took it over with a 4th; None if that is refused."""
        older = await opened(journals, 3)
        await older.keep("positions", b"of the older one")
        newer = journals()
        try:
            await newer.open()
        except AlreadyRunning:
            await older.aclose()
            return None
        await newer.append(made(3, 1, "newer"))
        return older, newer

    async def test_a_second_writer_is_refused_or_takes_over(self, journals: MakeJournal) -> None:
        older = await opened(journals, 3)
        newer = journals()
        try:
            await newer.open()
        except AlreadyRunning:
            await older.append(made(3, 1))
            await older.aclose()
            newer = await opened(journals)
        else:
            await newer.append(made(3, 1))
            with raises(Fenced):
                await older.append(made(3, 1))
            await older.aclose()
        assert bodies(await events_of(newer)) == bodies(made(0, 4))
        await newer.aclose()

    async def test_a_replaced_writer_appends_nothing(self, journals: MakeJournal) -> None:
        if (both := await self._taken_over(journals)) is None:
            return
        older, newer = both
        for _ in range(2):
            with raises(Fenced):
                await older.append(made(3, 1, "older"))
        await newer.append(made(4, 1, "newer"))
        await older.aclose()
        await newer.aclose()
        again = await opened(journals)
        expected = [*made(0, 3), *made(3, 2, "newer")]
        assert bodies(await events_of(again)) == bodies(expected)
        await again.aclose()

    async def test_a_replaced_writer_learns_of_it(self, journals: MakeJournal) -> None:
        if (both := await self._taken_over(journals)) is None:
            return
        older, newer = both
        with raises(Fenced):
            await older.check()
        await newer.check()
        await newer.append(made(4, 1))
        await newer.check()
        await older.aclose()
        await newer.check()
        await newer.aclose()

    async def test_what_a_replaced_writer_keeps_never_counts(self, journals: MakeJournal) -> None:
        if (both := await self._taken_over(journals)) is None:
            return
        older, newer = both
        await newer.keep("positions", b"of the newer one")
        for content in (b"too late", None):
            with raises(Fenced):
                await older.keep("positions", content)
        with raises(Fenced):
            await older.keep("snapshots", b"too late")
        assert dict(await newer.kept()) == {"positions": b"of the newer one"}
        await older.aclose()
        await newer.aclose()
        again = await opened(journals)
        assert dict(await again.kept()) == {"positions": b"of the newer one"}
        await again.aclose()

    async def test_a_newcomer_finds_what_the_older_one_kept(self, journals: MakeJournal) -> None:
        if (both := await self._taken_over(journals)) is None:
            return
        older, newer = both
        assert dict(await newer.kept()) == {"positions": b"of the older one"}
        await older.aclose()
        await newer.aclose()

    async def test_the_only_writer_may_check_at_any_time(self, journals: MakeJournal) -> None:
        journal = await opened(journals)
        await journal.check()
        await journal.append(made(0, 1))
        await journal.check()
        appending = asyncio.ensure_future(journal.append(made(1, 20)))
        await asyncio.gather(*[journal.check() for _ in range(5)], appending)
        await journal.truncate_before(20)
        await journal.check()
        await journal.aclose()

    # --- a hub on it ------------------------------------------------------------------------------------------------

    async def test_a_hub_goes_on_where_it_stopped(self, journals: MakeJournal) -> None:
        async with Hub(journal=journals()) as hub:
            agent = await hub.agents.register("planner", capabilities=["plan"])
            hub_id = hub.id
            applied = hub.statistics().applied
        async with Hub(journal=journals()) as hub:
            assert hub.id == hub_id
            assert hub.statistics().applied > applied
            assert [each.id for each in hub.agents.list()] == [agent.id]

    async def test_a_hub_that_was_replaced_stops(self, journals: MakeJournal) -> None:
        older, newer = Hub(journal=journals()), Hub(journal=journals())
        await older.start()
        try:
            await newer.start()
        except AlreadyRunning:
            await older.aclose()
            return
        with raises(HubError):
            await older.agents.register("too late")
        assert not older.health().healthy
        with raises(HubError):
            await older.aclose()
        await newer.agents.register("in time")
        await newer.aclose()
