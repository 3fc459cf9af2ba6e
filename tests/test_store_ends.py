"""Known ends of files: how many ObjectStore remembers, and for how long it relies on them."""

from __future__ import annotations

from datetime import UTC, datetime

from hubwire.stores._ends import Grace, KnownEnd, KnownEnds
from hubwire.stores._parts import End
from hubwire.testing import ManualClock

END = End(5, exists=True)


async def test_half_the_grace_period_is_over_by_either_clock() -> None:
    """The monotonic clock may stand still while a laptop sleeps, and the time of day may be set."""
    clock = ManualClock()
    grace = Grace(clock, 100.0)
    since = grace.now()
    clock.advance(50.0)
    assert not grace.is_half_over(since)
    clock.step(-30.0)
    clock.advance(0.1)
    assert grace.is_half_over(since)
    slept = grace.now()
    clock.step(50.1)
    assert grace.is_half_over(slept)


async def test_the_grace_period_of_an_object_ends_by_the_time_of_day() -> None:
    clock = ManualClock()
    grace = Grace(clock, 100.0)
    modified = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
    clock.advance(99.9)
    assert not grace.is_over(modified)
    clock.advance(0.1)
    assert grace.is_over(modified)


async def test_the_earliest_known_end_is_forgotten() -> None:
    ends, moment = KnownEnds(), Grace(ManualClock(), 100.0).now()
    for number in range(1025):
        ends.keep(f"/{number}", KnownEnd(END, moment))
    assert ends.take("/0") is None
    assert ends.take("/1") == KnownEnd(END, moment)
    assert ends.take("/1") is None


async def test_a_deleted_tree_takes_its_known_ends_along() -> None:
    ends, known = KnownEnds(), KnownEnd(END, Grace(ManualClock(), 100.0).now())
    paths = ("/a", "/a/b", "/ab", "/c")
    for path in paths:
        ends.keep(path, known)
    ends.forget("/a")
    assert [ends.take(path) for path in paths] == [None, None, known, known]
