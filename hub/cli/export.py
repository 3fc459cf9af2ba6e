"""``hubwire export``: the records of a log in the format of another tool."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..errors import ConfigurationError
from ..exports import CloudEvents, Csv, Ecs, Format, Jsonl, Ocsf, Otlp, Parquet
from ..query import Selection
from .exporting import STDOUT, Source, check_output, export_to, size_text
from .hub_client import is_hub
from .output import plural, say
from .target import READING_SECONDS, beginning_of, find_log, open_target

__all__ = ("FORMATS", "export")

FORMATS: dict[str, Callable[[], Format]] = {
    "jsonl": Jsonl,
    "csv": Csv,
    "cloudevents": CloudEvents,
    "ocsf": Ocsf,
    "ecs": Ecs,
    "otlp": Otlp,
    "parquet": Parquet,
}


async def export(
    target: str,
    *,
    format_: str,
    output: str,
    columns: str | None,
    selection: Selection,
    log: str | None,
    raw: bool,
    force: bool,
    archive: str | None = None,
) -> None:
    """Write the selected records of a log to a file, or the standard output."""
    if is_hub(target):
        from .remote import export as export_at, only_stores

        only_stores("export", {"--columns": columns, "--log": log, "--raw": raw, "--archive": archive})
        await export_at(target, format_, output, selection, force=force)
        return
    made = _format(format_, columns)
    check_output(output, is_text=format_ != "parquet")
    store = open_target(target, READING_SECONDS, archive=archive)
    try:
        path = await find_log(store, log, target)
        if beginning := await beginning_of(store, path):
            say(f"hubwire: {beginning}", sys.stderr)
        source = Source(store, path, selection)
        size = await export_to(output, source, made, raw=raw, force=force)
    finally:
        await store.aclose()
    if output != STDOUT:
        kept = "unredacted" if raw else "redacted"
        say(f"{plural(source.written, 'record')} of {path}, {kept}: {output}, {size_text(size)}")


def _format(name: str, columns: str | None) -> Format:
    if columns is None:
        return FORMATS[name]()
    if name != "csv":
        raise ConfigurationError(f"--columns is for --format csv, not {name}")
    return Csv([column.strip() for column in columns.split(",")])
