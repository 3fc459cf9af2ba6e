"""The verb ``hubwire query``, and its arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from .rows import Format
from .selecting import Filters

__all__ = ("query",)

_ALL = Filters()


def query(
    store: Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")],
    /,
    *,
    filters: Filters = _ALL,
    after: Annotated[str | None, Parameter(help="Go on after this cursor, which the page before has printed.")] = None,
    limit: Annotated[
        int | None,
        Parameter(
            name=["-n", "--limit"],
            validator=Number(gte=1),
            help="Print so many at most, and then the cursor for --after on standard error. By default all.",
        ),
    ] = None,
    newest_first: Annotated[bool, Parameter(help="The newest record first.")] = False,
    output: Annotated[
        Format,
        Parameter(
            name=["-o", "--output"],
            help="pretty: a line for people; json: one array; jsonl: a record a line; csv, table: some fields.",
        ),
    ] = "pretty",
    columns: Annotated[str | None, Parameter(help="The fields of csv and table: at,kind,agent_id,data.order.")] = None,
    raw: Annotated[
        bool,
        Parameter(help="Print what is stored as it is: by default, what is personal or secret is redacted."),
    ] = False,
    log: Annotated[
        str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
    ] = None,
) -> None:
    """Find records of a log: by kind, agent, channel, time and other fields. It only reads, also beside a hub."""
    import anyio

    from .query import Page, print_records

    chosen = [] if columns is None else [each.strip() for each in columns.split(",") if each.strip()]
    page = Page(after=after, limit=limit, newest_first=newest_first)
    anyio.run(
        partial(print_records, store, filters.selection("query"), page, output=output, columns=chosen, raw=raw, log=log)
    )
