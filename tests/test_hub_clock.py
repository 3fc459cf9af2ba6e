"""The one spelling of a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given, strategies as st

from hubwire.clock import timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_1000, YEAR_9999 = (round((datetime(year, 1, 1, tzinfo=UTC) - EPOCH).total_seconds()) for year in (1000, 9999))


def standard(ns: int) -> str:
    moment = EPOCH + timedelta(microseconds=ns // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@given(st.lists(st.integers(YEAR_1000 * 10**9, YEAR_9999 * 10**9), min_size=1), st.integers(0, 2 * 10**6))
@example([0, 999, 999_999, 1_000_000, 999_999_999, 10**9, 10**9 - 1, -1], 0)
def test_timestamps_are_utc_with_microseconds(moments: list[int], step: int) -> None:
    """A timestamp is right after any other one, although its beginning is cached."""
    for ns in moments:
        assert timestamp(ns) == standard(ns)
        assert timestamp(ns + step) == standard(ns + step), "soon after, where the beginning may be known"
        assert timestamp(ns - step) == standard(ns - step), "the clock may step back"
