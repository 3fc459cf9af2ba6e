"""``hubwire query`` at the address of a running hub: what it asks of a log, asked of the dashboard, and folded here."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import attrs

from ..log import Place
from ..query import ApprovalRow, Found, Indexed, Selection
from ..query._approvals import rows_of, steps_of
from ..query._counts import count_lines
from ..query._matching import BadLine, Matcher
from .hub_client import HubClient
from .hub_source import filters_of
from .meant import meant_of
from .output import escape, say
from .query import Asked, Page, say_indexed, show_approvals, show_counts
from .query_printers import COLUMNS, TABLE_COLUMNS, printer_of
from .redacted import shown
from .target import Names

__all__ = ("print_approvals", "print_counts", "print_records", "reading")

_PAGE_RECORDS = 1000
_NAMES_MAX = 5000
_INDEX_SECONDS = 3600.0
"""A large log takes a while; the answer comes when all of it was read."""
_IN_LOGS_ALONE = ("index",)
"""Columns that records have by their place in a log, which a hub does not tell."""


async def print_records(asked: Asked, page: Page) -> None:
    """Print the selected records of a hub; then, if there may be more of them, the cursor of the last one."""
    async with HubClient(asked.target) as client:
        await _index(client, asked)
        columns = asked.columns or tuple(
            each
            for each in (("seq", *TABLE_COLUMNS) if asked.output == "table" else COLUMNS)
            if each not in _IN_LOGS_ALONE
        )
        printer = printer_of(asked.output, shown(raw=False), columns)
        if printer.learns:
            await _learn(client, printer.names)
        count = 0
        cursor: str | None = None
        if page.is_all:
            async with reading(client, asked.selection) as lines:
                async for line in lines:
                    printer.add(_found(line, count))
                    count += 1
        else:
            async for line, behind in _paged(client, asked.selection, page):
                printer.add(_found(line, count))
                cursor = behind
                count += 1
        printer.end()
        if count and count == page.limit and cursor:
            say(f"cursor: {cursor}", sys.stderr)
        if not count:
            await _explain(client, asked.selection)


async def print_counts(asked: Asked, by: Sequence[str], every: str | None, zone: str | None) -> None:
    """Print how many of the selected records of a hub there are, by fields and over time."""
    async with HubClient(asked.target) as client:
        await _index(client, asked)
        async with reading(client, asked.selection) as lines:
            counts = await count_lines(lines, Selection(), by=by, every=every, zone=zone, call="query")
        names = Names()
        if asked.is_for_people and {"agent_id", "channel_id"}.intersection(counts.fields):
            await _learn(client, names)
        show_counts(asked, counts, names, has_periods=every is not None)
        if not counts.total:
            await _explain(client, asked.selection)


async def print_approvals(asked: Asked, is_wanted: Callable[[ApprovalRow], bool], limit: int | None) -> None:
    """Print approvals of a hub, a row each, also of those that its boards have forgotten."""
    steps = steps_of(asked.selection, "query")
    async with HubClient(asked.target) as client:
        await _index(client, asked)
        names = Names()
        await _learn(client, names)
        async with reading(client, steps) as lines:
            rows = rows_of((_found(line, 0) async for line in lines), asked.selection)
            await show_approvals(asked, rows, is_wanted, limit, names, client.name)


# --- records --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def reading(client: HubClient, selection: Selection) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the selected records of a hub, as its reader may see them, the oldest first.

    ``where`` is looked at here, as a hub is not asked it: it finds what is shown, and tells nothing of what is not.
    """
    lines = client.lines("api/export", format="jsonl", **filters_of(selection))
    wanted = _where(selection)
    async with aclosing(lines):
        yield (line async for line in lines if _takes(wanted, line))


def _found(line: bytes, number: int) -> Found:
    return Found(Place(0, number, 0), line)


async def _paged(client: HubClient, selection: Selection, page: Page) -> AsyncIterator[tuple[bytes, str | None]]:
    """Iterate over the records of a part of what is selected; with the last one comes where to go on."""
    wanted, after, left = _where(selection), page.after, page.limit

    async def ask(limit: int) -> tuple[list[bytes], str | None]:
        newest = 1 if page.newest_first else None
        filters = filters_of(selection)
        content, cursor = await client.page(
            "api/export", format="jsonl", after=after, limit=limit, newest_first=newest, **filters
        )
        return content.split(b"\n")[:-1], cursor

    while True:
        lines, cursor = await ask(_PAGE_RECORDS if left is None or wanted is not None else min(left, _PAGE_RECORDS))
        for number, line in enumerate(lines, 1):
            if not _takes(wanted, line):
                continue
            if left is not None:
                left -= 1
            if left == 0 and number < len(lines):  # where the page ends is not where the next one is to begin
                cursor = (await ask(number))[1]
            yield line, cursor
            if left == 0:
                return
        if cursor is None:
            return
        after = cursor


def _where(selection: Selection) -> Matcher | None:
    """Return what is looked at here; None if the hub is asked all of it."""
    tenants = selection.tenant if len(selection.tenant) > 1 else ()
    # A hub takes an outcome in its own words, which say more than the field of a record.
    asked = attrs.evolve(Selection(), where=selection.where, tenant=tenants, outcome=selection.outcome)
    return None if asked.is_everything else Matcher(asked)


def _takes(wanted: Matcher | None, line: bytes) -> bool:
    try:
        return wanted is None or wanted.takes(line)
    except BadLine:
        return False


# --- names, indexes -------------------------------------------------------------------------------------------------


async def _learn(client: HubClient, names: Names) -> None:
    for board, kind, key, called in (
        ("agents", "agent.registered", "agent_id", "name"),
        ("channels", "channel.created", "channel_id", "topic"),
    ):
        for each in (await client.get(f"api/board/{board}", limit=_NAMES_MAX))["rows"]:
            names.learn({"kind": kind, key: each[key], called: each[called]})


async def _index(client: HubClient, asked: Asked) -> None:
    if asked.makes_index:
        done: dict[str, Any] = await client.post("api/index", seconds=_INDEX_SECONDS)
        say_indexed(Indexed(done["segments"], done["made"], done["growing_bytes"]))


async def _explain(client: HubClient, selection: Selection) -> None:
    """Say that no record was selected, and what was probably meant by a name that there is not."""
    known: dict[str, dict[str, str]] = {"agent_id": {}, "channel_id": {}}
    for board, key, called in (("agents", "agent_id", "name"), ("channels", "channel_id", "topic")):
        for each in (await client.get(f"api/board/{board}", limit=_NAMES_MAX))["rows"]:
            known[key][str(each[key])] = str(each[called] or "")
    kinds = [each[0] for each in (await client.get("api/facets", fields="kind"))["facets"]["kind"]]
    wanted = {"agent_id": selection.agent, "channel_id": selection.channel}
    advice = meant_of(wanted, known, selection.kind, kinds)
    where = shlex.quote(client.name)
    say(
        f"hubwire: no record of {escape(client.name)} is selected{advice}; `hubwire query {where} --count-by kind`"
        f" lists its kinds, `hubwire top {where}` shows its agents",
        sys.stderr,
    )
