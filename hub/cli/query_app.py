"""The verb ``hubwire query``, and its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from ..errors import ConfigurationError
from .hub_client import is_hub
from .rows import Format
from .selecting import Filters

if TYPE_CHECKING:
    from ..query import ApprovalRow

__all__ = ("query", "sql")

_ALL = Filters()

Store = Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")]
Place = Annotated[
    str, Parameter(help="A directory, the URL of a store, file:///data, or the address of a hub's dashboard.")
]
Raw = Annotated[
    bool, Parameter(help="Print what is stored as it is: by default, what is personal or secret is redacted.")
]
LogPath = Annotated[
    str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
]

Archive = Annotated[
    str | None, Parameter(help="The archive of the log, a directory or a URL: what was moved there is read, too.")
]


def query(
    store: Place,
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
    count_by: Annotated[
        tuple[str, ...], Parameter(help="Count the records by this field: kind, agent, data.order. Can be repeated.")
    ] = (),
    every: Annotated[str | None, Parameter(help="Count over time, by periods of 1h, 15m, 1d.")] = None,
    approvals: Annotated[
        bool, Parameter(help="Print approvals, a row each: who, what, risk, review, verdict; --where verdict=denied.")
    ] = False,
    rubber_stamps: Annotated[
        bool, Parameter(help="Print only approvals of risky actions that came too fast, or faster than their policy.")
    ] = False,
    max_seconds: Annotated[
        float,
        Parameter(validator=Number(gte=0), help="How fast is too fast for --rubber-stamps; by default 5 seconds."),
    ] = 5.0,
    min_risk: Annotated[
        Literal["low", "medium", "high", "critical"],
        Parameter(help="What is risky for --rubber-stamps; by default high."),
    ] = "high",
    index: Annotated[
        bool,
        Parameter(
            help="First write small indexes beside the log, which make narrow queries quick: without it, the store is"
            " only read."
        ),
    ] = False,
    raw: Raw = False,
    log: LogPath = None,
    archive: Archive = None,
) -> None:
    """Find records of a log: by kind, agent, channel, time and other fields. It only reads, also beside a hub."""
    import anyio

    from .query import Asked, Page

    asked = Asked(
        target=store,
        selection=filters.selection("query"),
        output=output,
        columns=tuple(each.strip() for each in (columns or "").split(",") if each.strip()),
        raw=raw,
        log=log,
        makes_index=index,
        archive=archive,
    )
    if index and archive is not None:
        raise ConfigurationError("query: --index writes beside the log, and --archive only reads; leave one out")
    is_counted, has_rows = bool(count_by or every), approvals or rubber_stamps
    if is_counted and has_rows:
        raise ConfigurationError(
            "query: --count-by and --every count records, --approvals prints rows; give one of them"
        )
    if ((is_counted or has_rows) and (after is not None or newest_first)) or (is_counted and limit is not None):
        raise ConfigurationError("query: --after, --newest-first and --limit page through records; leave them out here")
    if is_hub(store):
        from .remote import only_stores
        from .remote_query import print_approvals, print_counts, print_records

        only_stores("query", {"--raw": raw, "--log": log, "--archive": archive})
    else:
        from .query import print_approvals, print_counts, print_records
    if is_counted:
        anyio.run(print_counts, asked, count_by or ("kind",), every, filters.zone)
    elif has_rows:

        def is_wanted(row: ApprovalRow) -> bool:
            return not rubber_stamps or row.is_review_too_short or row.is_rubber_stamp(max_seconds, min_risk)

        anyio.run(print_approvals, asked, is_wanted, limit)
    else:
        anyio.run(print_records, asked, Page(after=after, limit=limit, newest_first=newest_first))


def sql(
    store: Store,
    statement: Annotated[str, Parameter(help="A statement over events, turns, model_calls, tool_calls, approvals.")],
    /,
    *,
    filters: Filters = _ALL,
    output: Annotated[
        Format, Parameter(name=["-o", "--output"], help="pretty, table: for people; json: one array; jsonl; csv.")
    ] = "pretty",
    raw: Raw = False,
    log: LogPath = None,
) -> None:
    """Run SQL over a log, by DuckDB. The filters say which records it sees. Times are in UTC: time, not at."""
    from .query import Asked
    from .sql import run_sql

    asked = Asked(
        target=store,
        selection=filters.selection("sql"),
        output=output,
        columns=(),
        raw=raw,
        log=log,
        makes_index=False,
    )
    run_sql(asked, statement)
