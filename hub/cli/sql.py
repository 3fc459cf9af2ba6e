"""``hubwire sql``: a statement of SQL over a log, which DuckDB runs on a copy of the records.

The copy is made below a temporary directory, and is gone afterwards. The statement sees that copy alone: it can neither
read nor write another file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import attrs
import msgspec
from anyio import to_thread

from ..errors import ConfigurationError
from ..log import Record
from ..query import Found, approvals, instant_of, query
from .failures import CommandFailed
from .query import Asked, explain, opened
from .redacted import Shown, shown
from .rows import rows_as
from .target import Names

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ("run_sql",)

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PIECE_BYTES = 64 * 1024 * 1024
"""So much is written to a file before DuckDB takes it over."""

_OBJECT_BYTES = 16 * 1024 * 1024
_ROWS = 1000
_CLOSE_ATTEMPTS = 500
_CLOSE_PAUSE_SECONDS = 0.02

_TEXTS = (
    *("id", "kind", "hub", "tenant", "source", "source_id", "actor", "agent_id", "session_id", "turn_id", "channel_id"),
    *("task_id", "correlation_id", "causation_id", "severity", "outcome"),
)

_TABLES = f"""
create table events (
    index bigint, seq bigint, time timestamp, agent varchar, channel varchar,
    {", ".join(f"{name} varchar" for name in _TEXTS)}, record json
);
create table approvals (
    approval_id varchar, action varchar, agent varchar, agent_id varchar, channel_id varchar, task_id varchar,
    session_id varchar, tenant varchar, requested timestamp, decided timestamp, verdict varchar, mode varchar,
    risk_score double, risk_level varchar, trust double, challenge varchar, answers varchar[], approvers varchar[],
    review_seconds double, review_seconds_min double, reason varchar, is_failure boolean, is_modified boolean
);
"""

_INSERT = f"""
insert into events select
    i, try_cast(r->>'seq' as bigint), make_timestamp(t), a, c, {", ".join(f"r->>'{name}'" for name in _TEXTS)}, r
from read_json($file, columns = {{i: 'bigint', t: 'bigint', a: 'varchar', c: 'varchar', r: 'json'}},
    format = 'newline_delimited', maximum_object_size = $bytes)
"""  # noqa: S608 - the names are those above


def _calls(name: str, domain: str, key: str, more: str) -> str:
    """Return a view that has a row for each pair of facts of a domain, joined by a key.

    A key may come more than once: recorded conversations that begin alike have the same ids of calls. So facts that all
    name a channel are joined within it, and in one channel each beginning begins a row.
    """
    return f"""
create view {name} as select
    {key}, min(time) filter (kind = '{domain}') as started,
    max(time) filter (kind <> '{domain}') as ended,
    coalesce(split_part(max(kind) filter (kind <> '{domain}'), '.', 2), 'running') as state,
    epoch(max(time) filter (kind <> '{domain}') - min(time) filter (kind = '{domain}')) as seconds,
    any_value(agent) as agent, any_value(agent_id) as agent_id, any_value(channel_id) as channel_id,
    any_value(tenant) as tenant, {more}
    any_value(record->>'error_type') filter (kind like '%.failed') as error_type,
    any_value(record->>'error_message') filter (kind like '%.failed') as error_message
from (select *, count(*) filter (kind = '{domain}')
        over (partition by {key}, agent_id, place order by index) as beginnings
    from (select *, case when count(*) over same = count(channel_id) over same then channel_id end as place
        from (select *, record->>'call_id' as call_id from events)
        where kind like '{domain.partition(".")[0]}.%' and kind not in ('turn.committed', 'turn.extended')
        window same as (partition by {key}, agent_id)))
group by {key}, agent_id, place, greatest(beginnings, 1)
"""  # noqa: S608 - it is called with texts of this file


_VIEWS = (
    _calls(
        "turns",
        "turn.started",
        "turn_id",
        "any_value(record->>'envelope_id') as envelope_id,"
        " any_value(try_cast(record->>'tool_calls' as bigint)) as tool_calls,",
    ),
    _calls(
        "model_calls",
        "model.called",
        "call_id",
        "any_value(turn_id) as turn_id, any_value(record->>'model') as model,"
        " any_value(try_cast(record->>'input_tokens' as bigint)) as input_tokens,"
        " any_value(try_cast(record->>'output_tokens' as bigint)) as output_tokens,",
    ),
    _calls(
        "tool_calls",
        "tool.called",
        "call_id",
        "any_value(turn_id) as turn_id, any_value(record->>'tool') as tool,"
        " any_value(record->'arguments') as arguments, any_value(record->'result') as result,",
    ),
)

_LOCKS = ("set enable_external_access = false", "set lock_configuration = true")


def run_sql(asked: Asked, statement: str) -> None:
    """Print the rows of a statement over the selected records."""
    duckdb = _duckdb()
    with tempfile.TemporaryDirectory(prefix="hubwire-sql-") as folder, _connected(duckdb, Path(folder)) as connection:
        anyio.run(_run, asked, statement, connection, Path(folder))


async def _run(asked: Asked, statement: str, connection: DuckDBPyConnection, folder: Path) -> None:
    async with opened(asked) as (store, path):
        as_shown, names = shown(raw=asked.raw), Names()
        found = query(store, path, asked.selection, call="sql")
        await _thread(connection, connection.execute, _TABLES)
        async for file, longest in _files(found, as_shown, names, folder):
            parameters = {"file": str(file), "bytes": max(_OBJECT_BYTES, 2 * longest)}
            await _thread(connection, connection.execute, _INSERT, parameters)
        if not (asked.selection.kind or asked.selection.text or asked.selection.where):
            async for row in approvals(store, path, asked.selection, call="sql"):
                fields = as_shown.fields(msgspec.to_builtins(_approval(row, names)))
                await _thread(connection, connection.execute, _insert_of(fields), list(fields.values()))
        for each in (*_VIEWS, *_LOCKS):
            await _thread(connection, connection.execute, each)
        await _print(connection, statement, asked)
        await explain(store, path, asked, found.looked, is_empty=False)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationError(
            "hubwire sql needs DuckDB: pip install 'hubwire[query]'; `hubwire query` finds and counts without it"
        ) from error
    return duckdb


@contextmanager
def _connected(duckdb: Any, folder: Path) -> Iterator[DuckDBPyConnection]:
    """Connect to a database of its own, and tell what the statement did wrong in one line."""
    connection = duckdb.connect(
        str(folder / "log.duckdb"), config={"temp_directory": str(folder / "spill"), "memory_limit": "2GB"}
    )
    try:
        yield connection
    except duckdb.Error as error:
        said = str(error).partition("\n\n")[0].replace("\n", " ")
        tables = "; the tables are events, turns, model_calls, tool_calls, approvals"
        is_unknown = isinstance(error, duckdb.CatalogException)
        raise CommandFailed(f"{said}{tables if is_unknown else ''}") from error
    finally:
        _close(duckdb, connection)


def _close(duckdb: Any, connection: DuckDBPyConnection) -> None:
    """Close it; a statement that was interrupted may have a moment to go in its thread, in which it is busy."""
    for _ in range(_CLOSE_ATTEMPTS):
        try:
            connection.close()
        except duckdb.Error:
            connection.interrupt()
            time.sleep(_CLOSE_PAUSE_SECONDS)
        else:
            return


async def _thread(connection: DuckDBPyConnection, function: Callable[..., T], *arguments: Any) -> T:
    """Call DuckDB in a thread; an interrupted command interrupts it, too."""
    try:
        return await to_thread.run_sync(partial(function, *arguments), abandon_on_cancel=True)
    except BaseException:
        connection.interrupt()
        raise


async def _files(
    found: AsyncIterator[Found], as_shown: Shown, names: Names, folder: Path
) -> AsyncIterator[tuple[Path, int]]:
    """Write the records to a file, again and again, each time as much as is good; and the length of the longest."""
    file = folder / "records.jsonl"
    lines: list[bytes] = []
    size = longest = 0
    async for each in found:
        line = _line(each, as_shown, names)
        lines.append(line)
        size, longest = size + len(line), max(longest, len(line))
        if size >= _PIECE_BYTES:
            await to_thread.run_sync(_write, file, b"".join(lines))
            yield file, longest
            lines, size, longest = [], 0, 0
    if lines:
        await to_thread.run_sync(_write, file, b"".join(lines))
        yield file, longest


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise CommandFailed(
            f"sql: its copy of the records in {file.parent} cannot be written ({error.strerror}); make room there, or"
            " name a place with more by TMPDIR=/path"
        ) from error


class _Peek(msgspec.Struct):
    at: Any = None
    agent_id: Any = None
    channel_id: Any = None


_peek = msgspec.json.Decoder(_Peek).decode


def _line(found: Found, as_shown: Shown, names: Names) -> bytes:
    line = as_shown.record(Record(found.index, found.shown)).line
    if b"\\ud" in line or b"\\uD" in line:  # half of a character, as some writers leave it, is no JSON to DuckDB
        line = msgspec.json.encode(msgspec.json.decode(line))
    names.learn_line(line)
    peek = _peek(line)
    agent, channel = peek.agent_id, peek.channel_id
    head = msgspec.json.encode(
        {
            "i": found.index,
            "t": instant_of(peek.at),
            "a": names.agent(agent) if isinstance(agent, str) else None,
            "c": names.channel(channel) if isinstance(channel, str) else None,
        }
    )
    return b'%b,"r":%b}\n' % (head[:-1], line)


def _approval(row: Any, names: Names) -> dict[str, Any]:
    fields = attrs.asdict(row)
    for name in ("requested", "decided"):
        instant = instant_of(fields.pop(f"{name}_at"))  # of a stranger's text, DuckDB would refuse all
        fields[name] = None if instant is None else _EPOCH + timedelta(microseconds=instant)
    fields["agent"] = None if row.agent_id is None else names.agent(row.agent_id)
    return fields


def _insert_of(fields: dict[str, Any]) -> str:
    names, places = ", ".join(fields), ", ".join("?" for _ in fields)
    return f"insert into approvals ({names}) values ({places})"  # noqa: S608 - the names are those of a class


async def _print(connection: DuckDBPyConnection, statement: str, asked: Asked) -> None:
    result: Any = await _thread(connection, connection.execute, statement)
    if result is None:
        raise ConfigurationError('sql: there is no statement; write one, as "select kind, time from events"')
    columns = _distinct([each[0] for each in result.description or ()])
    rows = rows_as(asked.output, columns)
    while some := await _thread(connection, result.fetchmany, _ROWS):
        for row in some:
            rows.add(dict(zip(columns, row, strict=True)))
    rows.end()


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names of columns, each once: two of them may be called the same."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made
