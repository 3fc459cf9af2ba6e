"""``hubwire query``: the selected records of a log, in one of several forms."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from ..ports import KnowledgeStore
from ..query import ApprovalRow, Counts, Indexed, Looked, Selection, approvals, count, index_log, names_of, query
from .meant import meant
from .output import plural, say
from .query_printers import named, printer_of
from .redacted import Shown, shown
from .rows import Format, rows_as
from .target import READING_SECONDS, Names, beginning_of, find_log, open_target

__all__ = (
    "Asked",
    "Page",
    "explain",
    "notes_on",
    "opened",
    "print_approvals",
    "print_counts",
    "print_records",
    "say_indexed",
    "show_approvals",
    "show_counts",
)

_LEARN_RECORDS_MAX = 100_000


@attrs.frozen
class Page:
    """Which part of what is selected is printed."""

    after: str | None = None
    limit: int | None = None
    newest_first: bool = False

    @property
    def is_all(self) -> bool:
        """Whether it is all of it, in its order."""
        return self.after is None and self.limit is None and not self.newest_first


@attrs.frozen(kw_only=True)
class Asked:
    """What is asked of which log, and how it is printed."""

    target: str
    selection: Selection
    output: Format
    columns: tuple[str, ...]
    raw: bool
    log: str | None
    makes_index: bool
    archive: str | None = None

    @property
    def is_for_people(self) -> bool:
        return self.output in ("pretty", "table")


@asynccontextmanager
async def opened(asked: Asked) -> AsyncIterator[tuple[KnowledgeStore, str]]:
    """Open the store, and find the log; write the indexes that it lacks, if that is asked for."""
    store = open_target(asked.target, READING_SECONDS, archive=asked.archive)
    try:
        path = await find_log(store, asked.log, asked.target)
        if asked.makes_index:
            say_indexed(await index_log(store, path))
        yield store, path
    finally:
        await store.aclose()


def say_indexed(done: Indexed) -> None:
    """Say on standard error which indexes there are now."""
    growing = f"; that of the last one covers {done.growing_bytes:,} bytes" if done.growing_bytes else ""
    say(f"hubwire: {done.made} of {plural(done.segments, 'sealed segment')} indexed now{growing}", sys.stderr)


async def print_records(asked: Asked, page: Page) -> None:
    """Print the selected records; then, if there may be more of them, the cursor of the last one on standard error."""
    async with opened(asked) as (store, path):
        found = query(
            store,
            path,
            asked.selection,
            after=page.after,
            limit=page.limit,
            newest_first=page.newest_first,
            call="query",
        )
        as_shown = shown(raw=asked.raw)
        printer = printer_of(asked.output, as_shown, asked.columns)
        if printer.learns:
            await _learn(store, path, as_shown, printer.names)
        count = 0
        async for each in found:
            printer.add(each)
            count += 1
        printer.end()
        if count and count == page.limit:
            say(f"cursor: {found.cursor}", sys.stderr)
        await explain(store, path, asked, found.looked, is_empty=not count)


async def print_counts(asked: Asked, by: Sequence[str], every: str | None, zone: str | None) -> None:
    """Print how many of the selected records there are, by fields and over time."""
    async with opened(asked) as (store, path):
        counts = await count(store, path, asked.selection, by=by, every=every, zone=zone, call="query")
        names = Names()
        if asked.is_for_people and {"agent_id", "channel_id"}.intersection(counts.fields):
            await _learn(store, path, shown(raw=asked.raw), names)
        show_counts(asked, counts, names, has_periods=every is not None)
        await explain(store, path, asked, counts.looked, is_empty=not counts.total)


def show_counts(asked: Asked, counts: Counts, names: Names, *, has_periods: bool) -> None:
    """Print counts, a row each."""
    as_shown = shown(raw=asked.raw)
    rows = rows_as(asked.output, (*(["begins"] if has_periods else []), *counts.fields, "count"))
    for each in counts.rows:
        period = {"begins": None if each.begins is None else each.begins.isoformat()} if has_periods else {}
        values = as_shown.fields(dict(zip(counts.fields, each.values, strict=True)))
        if asked.is_for_people:
            values = named(values, names)
        rows.add({**period, **values, "count": each.count})
    rows.end()


async def print_approvals(asked: Asked, is_wanted: Callable[[ApprovalRow], bool], limit: int | None) -> None:
    """Print approvals, a row each."""
    async with opened(asked) as (store, path):
        names = Names()
        await _learn(store, path, shown(raw=asked.raw), names)
        found = approvals(store, path, asked.selection, call="query")
        await show_approvals(asked, found, is_wanted, limit, names, path)


async def show_approvals(
    asked: Asked,
    found: AsyncIterator[ApprovalRow],
    is_wanted: Callable[[ApprovalRow], bool],
    limit: int | None,
    names: Names,
    name: str,
) -> None:
    """Print approvals, a row each; ``name`` is how it is called where they are from."""
    as_shown = shown(raw=asked.raw)
    is_short = asked.is_for_people and not asked.columns
    rows = rows_as(asked.output, asked.columns or (_SHORT_COLUMNS if is_short else _APPROVAL_COLUMNS))
    printed = 0
    async for each in found:
        if printed == limit:
            break
        if is_wanted(each):
            row = as_shown.fields(_as_row(each, names))
            rows.add(_shortened(row) if is_short else row)
            printed += 1
    rows.end()
    if not printed:
        say(f"hubwire: no approval of {name} is selected", sys.stderr)


_APPROVAL_COLUMNS = (
    "requested_at",
    "agent",
    "action",
    "risk_level",
    "risk_score",
    "verdict",
    "approvers",
    "review_seconds",
    "review_seconds_min",
    "reason",
)


_SHORT_COLUMNS = ("asked", "agent", "action", "risk", "verdict", "by", "review", "reason")


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that a narrow terminal has room for; a review that was too short says how long it had to be."""
    score, taken, least = row["risk_score"], row["review_seconds"], row["review_seconds_min"]
    review = "" if taken is None else f"{taken:.1f}s"
    return {
        **row,
        "asked": str(row["requested_at"] or "-")[:19].replace("T", " "),
        "risk": row["risk_level"] if score is None else f"{row['risk_level']} {score:.2g}",
        "by": ", ".join(row["approvers"]),
        "review": f"{review} < {least:g}s" if row["is_review_too_short"] else review,
    }


def _as_row(row: ApprovalRow, names: Names) -> dict[str, Any]:
    agent = None if row.agent_id is None else names.agent(row.agent_id)
    return {**attrs.asdict(row, recurse=False), "agent": agent, "is_review_too_short": row.is_review_too_short}


async def _learn(store: KnowledgeStore, path: str, as_shown: Shown, names: Names) -> None:
    """Learn how agents and channels are called, from indexes and from the first records: those hold most names."""
    async for key, identifier, name in names_of(store, path, read_records_max=_LEARN_RECORDS_MAX):
        kind, called = ("agent.registered", "name") if key == "agent_id" else ("channel.created", "topic")
        names.learn(as_shown.fields({"kind": kind, key: identifier, called: name}))


async def explain(store: KnowledgeStore, path: str, asked: Asked, looked: Looked, *, is_empty: bool) -> None:
    """Say on standard error what was not looked at, and why no record may have been found."""
    notes = notes_on(looked, path)
    if is_empty:
        beginning = await beginning_of(store, path)
        where, chosen = shlex.quote(asked.target), asked.selection
        advice = await meant(
            store, path, shown(raw=asked.raw), kinds=chosen.kind, agents=chosen.agent, channels=chosen.channel
        )
        notes.append(
            f"no record of {path} is selected{advice}{'; ' if beginning else ''}{beginning};"
            f" `hubwire stats {where}` lists its kinds, `hubwire query {where} --kind agent.registered` its agents,"
            " `--kind channel.created` its channels"
        )
    for note in notes:
        say(f"hubwire: {note}", sys.stderr)


def notes_on(looked: Looked, path: str) -> list[str]:
    """Return what is to be said of what a query has not looked at."""
    notes = []
    if looked.undated:
        notes.append(
            f"{looked.undated:,} more records have no time, or none that can be read, so they are not selected"
        )
    if looked.cut:
        notes.append(
            f"{plural(looked.cut, 'record')} of those read are too long for a line: what is only in their files was not"
            " looked at; hubwire show prints it"
        )
    if looked.unread_bytes:
        notes.append(
            f"the last {looked.unread_bytes:,} bytes of {path} are no record: one that is being written, or what a"
            " crash or damage has left; hubwire doctor says which"
        )
    return notes + looked.faults
