"""History: events of the log by the filters of queries, their histogram, facets and export."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from hubwire.errors import ConfigurationError
from hubwire.query import Count, Counts, Looked, Selection, count, count_each, query
from hubwire.waking import Slices
from hubwire.words import meaning_of, outcome_of

from ._asked import Asked, Endpoint
from ._http import Problem, Reply, json_reply, refused
from ._linked import linked
from ._logs import Place
from ._rows import run_of
from ._selecting import PAGING, Chosen, selection_of

__all__ = ("FACETS", "deadline", "endpoints")

_LIMIT = 200
_LIMIT_MAX = 1000
_BINS = 150
_BINS_MAX = 1000
_SPAN = timedelta(minutes=5)
_SECONDS = 30.0
"""So long a request may read the log."""
_NAMES_SECONDS = 0.5
_SLICE_SECONDS = 0.001
FACETS = ("kind", "agent", "channel", "outcome", "tenant", "severity", "source", "tool", "error_type")
_FACET_ROWS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)


async def _events(asked: Asked) -> Reply:
    chosen = await selection_of(asked, also=(*PAGING, "records"))
    takes_all = asked.flag("records")
    limit = asked.whole("limit", _LIMIT, least=1, most=_LIMIT_MAX)
    logs = asked.parts.logs
    place = await logs.place()
    await asked.parts.boards.feed(None, _NAMES_SECONDS)  # it learns the names of agents and channels
    found = query(
        place.store,
        place.path,
        chosen.selection,
        after=asked.text("after"),
        newest_first=asked.flag("newest_first"),
        call=asked.request.url.path,
    )
    records: list[tuple[int, dict[str, Any]]] = []
    slices = Slices(_SLICE_SECONDS)
    async with logs.turn(), deadline():
        async for each in found:
            await slices.cut()
            # Records of the log's own, and those of programs, are no events: they have no number.
            if chosen.outcomes.takes(fields := each.fields) and (takes_all or _is_event(fields)):
                records.append((each.index, fields))
                if len(records) == limit:
                    break
        await found.aclose()
    rows = []
    for index, fields in records:
        await slices.cut()
        rows.append(_row(asked, await logs.record_shown(fields), index))
    is_more = len(records) == limit
    return json_reply({"rows": rows, "cursor": found.cursor if is_more else None, "looked": _looked(found.looked)})


def _is_event(fields: Mapping[str, Any]) -> bool:
    return type(fields.get("seq")) is int


def _row(asked: Asked, shown: dict[str, Any], index: int) -> dict[str, Any]:
    """Return the row of a record; of one that is no event, its place in the log instead of a number."""
    row = asked.parts.rows.row_of(shown, contents=asked.contents)
    if not _is_event(shown):
        row.pop("seq", None)
        row["index"] = index
    return row


def _looked(looked: Looked) -> dict[str, Any]:
    """Return what was looked at, and in words what was not."""
    said = []
    if looked.first:
        said.append(f"the first {looked.first:,} records were pruned")
    if looked.undated:
        said.append(f"{looked.undated:,} records have no time")
    if looked.unread_bytes:
        said.append(f"{looked.unread_bytes:,} bytes at the end are no records yet")
    if looked.cut:
        said.append(f"{looked.cut:,} records are too long for a line: what is beside the log was not looked at")
    return {"first": looked.first, "records": looked.records, "text": "; ".join(said)}


@asynccontextmanager
async def deadline() -> AsyncIterator[None]:
    """Bound how long a request may read the log. Raises :class:`Problem` when that is over."""
    try:
        async with asyncio.timeout(_SECONDS):
            yield
    except TimeoutError as error:
        raise Problem(
            503,
            "overloaded",
            f"the log is so large that reading it took longer than {_SECONDS:.0f} s",
            "ask for less: since=, until=, kind= or agent=",
            headers={"Retry-After": "5"},
        ) from error


async def _event(asked: Asked) -> Reply:
    seq = _number(asked, "seq", "an event", "api/events/4711")
    logs = asked.parts.logs
    return await _one(asked, lambda place: logs.record(place, seq), f"event #{seq:,}", -1)


async def _record(asked: Asked) -> Reply:
    index = _number(asked, "index", "a record", "api/records/4711")
    logs = asked.parts.logs
    return await _one(asked, lambda place: logs.record_at(place, index), f"record {index:,}", index)


def _number(asked: Asked, name: str, of: str, example: str) -> int:
    given = asked.path[name]
    if not given.isascii() or not given.isdigit() or len(given) > 15:
        raise refused(f"{given[:40]!r} is no number of {of}", f"as in {example}")
    return int(given)


async def _one(asked: Asked, find: Callable[[Place], Awaitable[dict[str, Any] | None]], what: str, index: int) -> Reply:
    logs = asked.parts.logs
    place = await logs.place()
    await asked.parts.boards.feed(None, _NAMES_SECONDS)  # it learns the names of agents and channels
    async with logs.turn(), deadline():
        fields = await find(place)
        if fields is None or (asked.tenant is not None and fields.get("tenant") != asked.tenant):
            raise Problem(404, "not_found", f"the log has no {what}", "it may have been pruned")
        found = await linked(asked, place, fields)
    shown = await logs.record_shown(fields)
    if (run_id := run_of(fields)) is not None:
        found["run_id"] = run_id
    return json_reply(
        {
            "row": _row(asked, shown, index),
            "event": shown if asked.contents else None,
            "contents": "shown" if asked.contents else "hidden",
            "linked": found,
        }
    )


# -- counts --


async def _histogram(asked: Asked) -> Reply:
    """Return how many events there were over time, by what they mean."""
    chosen = await selection_of(asked, also=("bins",))
    selection = chosen.selection
    bins = asked.whole("bins", _BINS, least=1, most=_BINS_MAX)
    now = _EPOCH + timedelta(microseconds=asked.parts.clock.now_ns() // 1000)
    until = selection.until_at or now
    since = selection.since_at or max(until, _FIRST + _SPAN) - _SPAN
    if selection.since_at is None:  # what was before is not read for it
        selection = attrs.evolve(selection, since=(since - _EPOCH) // timedelta(microseconds=1))
    try:
        place = await asked.parts.logs.place()
    except Problem as problem:  # a page that asks what was before it came is answered: nothing is known
        if problem.code != "no_log":
            raise
        start, seconds = (since - _EPOCH) / timedelta(seconds=1), (until - since) / timedelta(seconds=bins)
        return json_reply({"start": start, "width_seconds": seconds, "bins": [], "text": problem.message})
    width = max((until - since) / bins, timedelta(milliseconds=1))
    async with asked.parts.logs.turn(), deadline():
        while True:
            try:
                counts = await _over_time(place, selection, width)
            except ConfigurationError as error:
                if bins == 1 or "groups" not in str(error):
                    raise
                bins = max(1, bins // 4)
                width = max((until - since) / bins, timedelta(milliseconds=1))
                continue
            break
    begin = (since - _EPOCH) // width * width
    made = [[0, 0, 0] for _ in range((until - _EPOCH - begin) // width + 1)]
    for row in counts:
        fields = dict(zip(_MEANING, row.values, strict=True))
        if not chosen.outcomes.takes(fields):
            continue
        at = -1 if row.begins is None else (row.begins - _EPOCH - begin) // width
        if 0 <= at < len(made):
            made[at][_PLACES[meaning_of(fields)]] += row.count
    start, seconds = begin / timedelta(seconds=1), width / timedelta(seconds=1)
    return json_reply({"start": start, "width_seconds": seconds, "bins": made})


_PLACES: Mapping[str | None, int] = {"wrong": 0, "attention": 1, None: 2}
_MEANING = ("kind", "severity", "outcome")
"""What an event means, these say."""


async def _over_time(place: Place, selection: Selection, width: timedelta) -> tuple[Count, ...]:
    return (await count(place.store, place.path, selection, by=_MEANING, every=width, call="api/histogram")).rows


async def _facets(asked: Asked) -> Reply:
    """Return which values the fields of the selected events have, the most frequent first."""
    chosen = await selection_of(asked, also=("fields",))
    fields = asked.texts("fields") or FACETS[:5]
    for each in fields:
        if each not in FACETS:
            raise refused(f"there are no facets by {each[:40]!r}", f"fields={','.join(FACETS)}")
    place = await asked.parts.logs.place()
    await asked.parts.boards.feed(None, _NAMES_SECONDS)
    found: dict[str, list[Any]] = {}
    total = 0
    async with asked.parts.logs.turn(), deadline():
        asked_for = tuple(dict.fromkeys(fields))
        by = [_counted_by(chosen, field) for field in asked_for]
        # Each reads the log once, whatever it counts: it is read once for all of them.
        counted = await count_each(place.store, place.path, chosen.selection, by=by, call="api/facets")
        for field, counts in zip(asked_for, counted, strict=True):
            numbers = _numbers(chosen, field, counts)
            total = sum(numbers.values())
            most = numbers.most_common(_FACET_ROWS + 1)  # of them one may be of those without a value
            found[field] = [_facet(asked, field, *each) for each in most if each[0]][:_FACET_ROWS]
    return json_reply({"facets": found, "counted": total})


def _counted_by(chosen: Chosen, field: str) -> tuple[str, ...]:
    """Return by what is counted for a field: where outcomes are asked for, also by what tells them."""
    is_told = chosen.outcomes.wanted or field == "outcome"
    return tuple(dict.fromkeys((field, "kind", "outcome"))) if is_told else (field,)


def _numbers(chosen: Chosen, field: str, counts: Counts) -> Counter[str | None]:
    """Return how many of the events that are asked for have each value of a field."""
    found: Counter[str | None] = Counter()
    by = _counted_by(chosen, field)
    for row in counts.rows:
        fields = dict(zip(by, row.values, strict=True))
        if chosen.outcomes.takes(fields):
            found[outcome_of(fields) if field == "outcome" else row.values[0]] += row.count
    return found


def _facet(asked: Asked, field: str, value: str | None, number: int) -> list[Any]:
    names = asked.parts.rows.names
    value = None if value is None else str(asked.parts.logs.redactor.redact(value))
    named = {"agent": names.agent, "channel": names.channel}.get(field)
    return [value, number] if named is None or value is None else [value, number, named(value)]


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that this file answers."""
    return (
        Endpoint("GET", "/api/events", _events, says="events of the log, by the filters of hubwire query"),
        Endpoint("GET", "/api/events/{seq}", _event, says="one event in full, and what it is linked to"),
        Endpoint("GET", "/api/records/{index}", _record, says="one record in full, also one that is no event"),
        Endpoint("GET", "/api/histogram", _histogram, says="how many events there were over time"),
        Endpoint("GET", "/api/facets", _facets, says="which values the fields of events have, and how often"),
    )
