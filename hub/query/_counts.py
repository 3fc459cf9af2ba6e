"""Counts of the selected records, by some of their fields and over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from operator import attrgetter
from typing import Any

import attrs
from anyio import to_thread

from .._foreign.arguments import Call, is_a
from .._values import Value
from ..errors import ConfigurationError
from ..log import Place
from ..ports import KnowledgeStore
from ._looked import Looked
from ._matching import Matcher, Peeks, at_path, text_of
from ._moments import FIRST_INSTANT, instant_of, period, zone_of
from ._pieces import Piece
from ._query import search_for
from ._search import Search
from ._selection import FIELDS, Selection, Texts, key_of

__all__ = ("Count", "Counts", "count", "count_each", "count_lines")

GROUPS_MAX = 10_000
_FIELDS_MAX = 8
_EACH_MAX = 20
_KNOWN_MAX = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_LINES_AT_ONCE = 500
_NOWHERE = Place(0, 0, 0)


@attrs.frozen(eq=False, repr=False)
class Count(Value):
    """How many records there are of one group."""

    begins: datetime | None
    """When its period begins; None if the counts are not over time, or the records have no time."""
    values: tuple[str | None, ...]
    """The text of each field that is counted by, in their order; None: it is not there. Other values are JSON."""
    count: int


@attrs.frozen(eq=False, repr=False)
class Counts(Value):
    """The counts of the selected records: by period, then the largest first."""

    fields: tuple[str, ...]
    """The keys of records that are counted by."""
    rows: tuple[Count, ...]
    total: int
    looked: Looked = attrs.field(eq=False)
    """What was looked at, and what was not."""


async def count(
    store: KnowledgeStore,
    path: str = "/audit",
    selection: Selection | None = None,
    *,
    by: Texts = "kind",
    every: str | float | timedelta | None = None,
    zone: str | tzinfo | None = None,
    call: str = "count()",
) -> Counts:
    """Count the selected records of the log at ``path``.

    ``by`` are fields: the names of filters, as ``agent``, or keys of records, as ``data.order``; at most 8. ``every``
    is a period, ``"1h"``, that begins at midnight in ``zone``, by default UTC. The groups are at most 10,000: more
    raise :class:`~hubwire.errors.ConfigurationError`. Otherwise as :func:`query`.
    """
    asked = Call(call, ConfigurationError)
    fields = fields_of(asked, "by", by)
    size = None if every is None else period(asked, "every", every)
    within = UTC if zone is None else await to_thread.run_sync(zone_of, asked, zone)  # it may read a file
    looked = Looked()
    search = search_for(asked, store, path, selection, looked)
    tally = _Tally(await search.matcher(), fields, None if size is None else _Periods(size, within))
    await _run(search, tally, asked)
    looked.undated = tally.matcher.undated
    return Counts(fields, tally.rows(), sum(tally.counts.values()), looked)


async def count_lines(
    lines: AsyncIterable[bytes],
    selection: Selection,
    *,
    by: Texts = "kind",
    every: str | float | timedelta | None = None,
    zone: str | tzinfo | None = None,
    call: str = "count_lines()",
) -> Counts:
    """Count records that come from elsewhere than a log, each the JSON of one; otherwise as :func:`count`.

    The ``selection`` is of what a record says itself: names of agents and channels are not known here.
    """
    asked = Call(call, ConfigurationError)
    fields = fields_of(asked, "by", by)
    size = None if every is None else period(asked, "every", every)
    within = UTC if zone is None else await to_thread.run_sync(zone_of, asked, zone)
    tally = _Tally(Matcher(selection), fields, None if size is None else _Periods(size, within))
    batch: list[bytes] = []
    async for line in lines:
        batch.append(line)
        if len(batch) == _LINES_AT_ONCE:
            tally.add(Piece.of(_NOWHERE, b"\n".join(batch)))
            batch.clear()
            _check_groups(tally, asked)
    if batch:
        tally.add(Piece.of(_NOWHERE, b"\n".join(batch)))
        _check_groups(tally, asked)
    looked = Looked()
    looked.undated = tally.matcher.undated
    return Counts(fields, tally.rows(), sum(tally.counts.values()), looked)


async def count_each(
    store: KnowledgeStore,
    path: str = "/audit",
    selection: Selection | None = None,
    *,
    by: Iterable[Texts],
    call: str = "count_each()",
) -> tuple[Counts, ...]:
    """Count the selected records several times, and read the log once: by each of ``by``, which are at most 20.

    ``await count_each(store, by=["kind", "agent", ("kind", "outcome")])`` returns what three calls of :func:`count`
    would, and raises the same.
    """
    asked = Call(call, ConfigurationError)
    given = asked.items("by", by, of="fields, or groups of fields", most=_EACH_MAX)
    groups = [fields_of(asked, "by", each) for each in given]
    looked = Looked()
    search = search_for(asked, store, path, selection, looked)
    tallies = _Tallies(await search.matcher(), groups)
    async for _ in search.each(tallies.add, tallies.matcher):
        for each in tallies.all:
            _check_groups(each, asked)
    looked.undated = tallies.matcher.undated
    return tuple(Counts(each.fields, each.rows(), sum(each.counts.values()), looked) for each in tallies.all)


def fields_of(call: Call, argument: str, given: Any) -> tuple[str, ...]:
    """Return the keys of records that names of filters, or keys, stand for."""
    names = (given,) if is_a(given, str) else call.items(argument, given, of="fields", most=_FIELDS_MAX)
    texts = [key_of(call, argument, name) for name in names]
    return tuple(dict.fromkeys(FIELDS.get(text, text) for text in texts))


async def _run(search: Search, tally: _Tally, call: Call) -> None:
    async for _ in search.each(tally.add, tally.matcher):
        _check_groups(tally, call)


def _check_groups(tally: _Tally, call: Call) -> None:
    if len(tally.counts) > GROUPS_MAX:
        raise ConfigurationError(
            f"{call.name}: there are more than {GROUPS_MAX:,} groups by {', '.join(tally.fields)}; count by fields"
            " with fewer values, by longer periods, or over a shorter time"
        )


def _found(matcher: Matcher, peeks: Peeks, piece: Piece) -> list[Any]:
    """Return what is to be known of each of the selected lines of a piece."""
    if matcher.is_everything:
        return peeks.of_all(piece.content, piece.records)
    return [peeks.of(line, 0) for _, _, line in matcher.find(piece.content, piece.records)]


def _keys_of(fields: Iterable[str]) -> list[str]:
    return [field.partition(".")[0] for field in fields]


class _Tallies:
    """Counts the selected lines of pieces by several groups of fields."""

    def __init__(self, matcher: Matcher, groups: Sequence[tuple[str, ...]]) -> None:
        self.matcher: Matcher = matcher
        self._peeks = Peeks(list(dict.fromkeys(key for fields in groups for key in _keys_of(fields))))
        self.all: list[_Tally] = [_Tally(matcher, fields, None, self._peeks) for fields in groups]

    def add(self, piece: Piece) -> None:
        """Count the selected lines of a piece."""
        peeks = _found(self.matcher, self._peeks, piece)
        for each in self.all:
            each.add_found(peeks)


class _Tally:
    """Counts the selected lines of pieces."""

    def __init__(
        self, matcher: Matcher, fields: Sequence[str], periods: _Periods | None, peeks: Peeks | None = None
    ) -> None:
        self.matcher: Matcher = matcher
        self.fields: tuple[str, ...] = tuple(fields)
        self.counts: Counter[tuple[Any, ...]] = Counter()
        self._periods = periods
        keys = _keys_of(fields) + (["at"] if periods else [])
        self._peeks = Peeks(list(dict.fromkeys(keys))) if peeks is None else peeks
        self._columns = [
            (attrgetter(self._peeks.name_of(field.partition(".")[0])), _value_of(field)) for field in fields
        ]
        self._at = attrgetter(self._peeks.name_of("at")) if periods else None

    def add(self, piece: Piece) -> None:
        """Count the selected lines of a piece."""
        self.add_found(_found(self.matcher, self._peeks, piece))

    def add_found(self, peeks: Sequence[Any]) -> None:
        """Count the lines of which this is known."""
        columns: list[Sequence[Any]] = []
        if self._periods is not None and self._at is not None:
            columns.append([self._periods.begin_of(at) for at in map(self._at, peeks)])
        for getter, value_of in self._columns:
            columns.append([value_of(value) for value in map(getter, peeks)])
        self.counts.update(zip(*columns, strict=True) if columns else [()] * len(peeks))

    def rows(self) -> tuple[Count, ...]:
        """Return the counts: by period, then the largest first."""
        periods = self._periods
        if periods is None:
            return tuple(Count(None, key, number) for key, number in sorted(self.counts.items(), key=_largest_first))
        rows = [((key[1:], number), key[0]) for key, number in self.counts.items()]
        rows.sort(key=lambda row: (FIRST_INSTANT - 1 if row[1] is None else row[1], *_largest_first(row[0])))
        return tuple(
            Count(None if begin is None else periods.moment_of(begin), key, number) for (key, number), begin in rows
        )


def _largest_first(row: tuple[tuple[Any, ...], int]) -> tuple[Any, ...]:
    values, number = row
    return (-number, tuple(map(str, values)))


def _value_of(field: str) -> Callable[[Any], str | None]:
    """Return what makes text of a value that is none."""
    _, dot, rest = field.partition(".")
    if not dot:
        return lambda value: value if type(value) is str else text_of(value)
    return at_path(rest.split("."), text_of)


class _Periods:
    """In which period a time is: by the instant at which that begins, as a zone has some hours twice."""

    def __init__(self, size: int, zone: tzinfo) -> None:
        self._size = size
        self._zone = zone
        self._known: dict[str, int | None] = {}
        """By the beginning of a time: records of one minute are in one period, if those are of whole minutes."""
        self._chars = 16 if size % (60 * _SECOND) == 0 else 19

    def begin_of(self, at: Any) -> int | None:
        """Return the instant at which the period of a record begins; None if it has no time."""
        if self._size % _SECOND or type(at) is not str or len(at) != 27 or at[26] != "Z" or at[19] != ".":
            return self._begin(instant_of(at))
        start = at[: self._chars]
        if start not in self._known:
            if len(self._known) > _KNOWN_MAX:
                self._known.clear()
            self._known[start] = self._begin(instant_of(at))
        return self._known[start]

    def moment_of(self, begin: int) -> datetime:
        """Return such an instant as it is written in the zone."""
        moment = _EPOCH + begin * _MICROSECOND
        try:
            return moment.astimezone(self._zone)
        except OverflowError:  # it is the first or the last day of the calendar
            return moment

    def _begin(self, instant: int | None) -> int | None:
        if instant is None:
            return None
        moment = self.moment_of(instant)
        offset = (moment.utcoffset() or timedelta()) // _MICROSECOND
        begin = (instant + offset) // self._size * self._size - offset
        if self._size > _HOUR and self._zone is not UTC:  # a day has 23 hours, 24 or 25, and begins at midnight
            local = self.moment_of(max(begin, FIRST_INSTANT))
            begin += offset - (local.utcoffset() or timedelta()) // _MICROSECOND
        return max(begin, FIRST_INSTANT)
