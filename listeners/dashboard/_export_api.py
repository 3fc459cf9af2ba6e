"""Exports of what is shown, streamed; and the numbers of the hub for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse

from hubwire.exports import CloudEvents, Csv, ExportRecord, Format, Jsonl, export
from hubwire.query import Query, query
from hubwire.waking import Slices
from hubwire.words import without_contents

from ._asked import Asked, Endpoint
from ._checks import hub_of
from ._history import deadline
from ._http import Problem, Reply, encoded, refused
from ._logs import Logs
from ._outcomes import Outcomes
from ._selecting import PAGING, selection_of

__all__ = ("endpoints",)

_SHARE = 0.5
"""How much of the loop a file takes: a hub is at work in it."""

_FORMATS: Mapping[str, tuple[Callable[[], Format], str, str]] = {
    "jsonl": (Jsonl, "application/x-ndjson", "jsonl"),
    "csv": (Csv, "text/csv", "csv"),
    "cloudevents": (CloudEvents, "application/x-ndjson", "jsonl"),
}

CURSOR = "Hubwire-Cursor"
"""The header of a page of an export: where the next one begins. It is not there on the last page."""
_PAGE_MAX = 10_000
_PAGE_BYTES = 4 * 1024 * 1024


async def _export(asked: Asked) -> Reply:
    """Stream the selected records, redacted, with a lock on nothing: also while the log is written.

    With ``limit`` it is one page, whose header says where the next begins.
    """
    chosen = await selection_of(asked, also=("format", *PAGING))
    name = asked.text("format", "jsonl") or "jsonl"
    if name not in _FORMATS:
        raise refused(f"there is no format {name[:40]!r}", f"format={'|'.join(_FORMATS)}")
    make, media_type, suffix = _FORMATS[name]
    logs = asked.parts.logs
    place = await logs.place()
    found = query(
        place.store,
        place.path,
        chosen.selection,
        after=asked.text("after"),
        newest_first=asked.flag("newest_first"),
        call=asked.request.url.path,
    )
    limit = asked.whole("limit", 0, least=1, most=_PAGE_MAX)
    records = _records(found, chosen.outcomes, contents=asked.contents)
    page = _Page(limit)
    pieces = export(page.of(records) if limit else records, make(), redactor=logs.redactor)
    file = f"hubwire-{(asked.parts.source.id or 'log')[-8:]}.{suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    if asked.request.method == "HEAD":
        return Response(b"", 200, headers, media_type)
    if limit:
        async with logs.turn(), deadline():
            content = b"".join([piece async for piece in pieces])
        if page.is_full:
            headers[CURSOR] = found.cursor or ""
        return Response(content, 200, headers, media_type)
    first = b""
    async with logs.turn():  # what cannot be read is told before there is half a file
        while not first and (piece := await anext(pieces, None)) is not None:
            first = piece
    return StreamingResponse(_in_turns(first, pieces, logs), 200, headers, media_type)


class _Page:
    """So many records at most, and of several megabytes a few: the answer says where the next page begins."""

    def __init__(self, limit: int) -> None:
        self.is_full: bool = False
        """Whether there may be more records behind it."""
        self._limit = limit

    async def of(self, records: AsyncIterator[ExportRecord]) -> AsyncIterator[ExportRecord]:
        """Iterate over its records."""
        count = weight = 0
        async for each in records:
            yield each
            count += 1
            weight += len(each.line)
            if count == self._limit or weight >= _PAGE_BYTES:
                self.is_full = True
                return


async def _in_turns(first: bytes, pieces: AsyncIterator[bytes], logs: Logs) -> AsyncIterator[bytes]:
    """Iterate over a file; who takes it slowly, or not at all, keeps no one from reading meanwhile."""
    piece: bytes | None = first
    while piece is not None:
        yield piece
        async with logs.turn(is_patient=True):
            slices = Slices(0.005, _SHARE)
            piece = await anext(pieces, None)
            await slices.cut()


async def _records(found: Query, outcomes: Outcomes, *, contents: bool) -> AsyncIterator[ExportRecord]:
    async for each in found:
        if outcomes.wanted and not outcomes.takes(each.fields):
            continue
        if contents:
            yield ExportRecord(line=each.shown, index=each.index)
        else:
            yield ExportRecord(line=encoded(without_contents(each.fields)), index=each.index, is_redacted=True)


async def _metrics(asked: Asked) -> Reply:
    """Return the numbers of the hub, if a listener for Prometheus is attached to it."""
    if asked.tenant is not None:
        raise Problem(403, "not_allowed", "metrics are of the whole hub, not of a tenant")
    for attachment in hub_of(asked).attachments:
        exposition: Any = getattr(attachment.listener, "exposition", None)
        if callable(exposition):
            media_type, body = exposition(asked.request.headers.get("accept", ""))
            return Response(body, 200, {"Content-Type": media_type})
    raise Problem(
        404, "not_found", "this hub counts nothing for Prometheus", "attach one: Hub(listeners=[PrometheusMetrics()])"
    )


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that this file answers."""
    return (
        Endpoint("GET", "/api/export", _export, says="the selected records as a file: JSON Lines, CSV, CloudEvents"),
        Endpoint("GET", "/metrics", _metrics, says="the numbers of the hub, for Prometheus"),
    )
