"""An export: records go in, one after the other, and bytes come out, with constant memory."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread

from .._foreign.arguments import Call, is_a
from .._foreign.guards import expect, guarded_call
from ..errors import ConfigurationError
from ..redaction import Redactor
from ..redaction.choice import Redacting, redacting
from ._format import Format
from ._record import ExportRecord, record_of, redacted

__all__ = ("export", "export_now")

T = TypeVar("T")

_EXPORT = Call("export()", ConfigurationError)
_EXPORT_NOW = Call("export_now()", ConfigurationError)
_RECORDS_AT_ONCE = 500
_BYTES_AT_ONCE = 1024 * 1024


async def export(
    records: AsyncIterable[Any] | Iterable[Any],
    format: Format,  # noqa: A002 - it is what the argument is
    *,
    redactor: Redactor | Literal["default"] | None = "default",
) -> AsyncIterator[bytes]:
    """Iterate over the bytes of an export, in pieces, as they become ready.

    ``records`` are records of a log (:class:`hubwire.log.Record`), events, dictionaries, or :class:`ExportRecord`;
    they are read while the pieces are taken, some hundred at a time, and none is left out. ``format`` says what becomes
    of them; its work is done in worker threads. By default what is personal or secret is redacted; with
    ``redactor=None`` all is exported as it is.

    Raises :class:`~hubwire.errors.ConfigurationError` for a wrong argument, and what the records and the format raise:
    then what came out before is no whole export.
    """
    made, redaction = _checked(_EXPORT, records, format, redactor)
    try:
        yield await _in_thread(_begun, made, redaction)
        batch: list[ExportRecord] = []
        weight = 0
        async for given in _each(records):
            batch.append(record := record_of(given))
            weight += len(record.line) + len(record.whole or b"")
            if len(batch) >= _RECORDS_AT_ONCE or weight >= _BYTES_AT_ONCE:
                yield await _in_thread(_encoded, made, batch, redaction)
                batch, weight = [], 0
        if batch:
            yield await _in_thread(_encoded, made, batch, redaction)
        pieces = await _in_thread(_ending, made)
        while (piece := await _in_thread(_next_piece, pieces)) is not None:
            yield piece
    finally:
        with anyio.CancelScope(shield=True):
            await _in_thread(guarded_call, made.close)


def export_now(
    records: Iterable[Any],
    format: Format,  # noqa: A002 - it is what the argument is
    *,
    redactor: Redactor | Literal["default"] | None = "default",
) -> Iterator[bytes]:
    """Iterate over the bytes of an export as :func:`export` does, without an event loop."""
    made, redaction = _checked(_EXPORT_NOW, records, format, redactor)
    if not is_a(records, Iterable):
        raise _EXPORT_NOW.refusal("records", records, "records in a list or an iterator", "or await export()")
    try:
        yield _begun(made, redaction)
        given = iter(records)
        while batch := [record_of(each) for each in islice(given, _RECORDS_AT_ONCE)]:
            yield _encoded(made, batch, redaction)
        pieces = _ending(made)
        while (piece := _next_piece(pieces)) is not None:
            yield piece
    finally:
        guarded_call(made.close)


def _checked(call: Call, records: object, format_: object, redactor: object) -> tuple[Format, Redacting | None]:
    if not is_a(format_, Format):
        raise call.refusal("format", format_, "a format of hubwire.exports, as Jsonl() or Csv()")
    if is_a(records, (str, bytes, dict)) or not is_a(records, (AsyncIterable, Iterable)):
        raise call.refusal("records", records, "records in a list or an iterator")
    made: Any = format_
    return made, redacting(call.name, redactor)


async def _each(records: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    if is_a(records, AsyncIterable):
        async for record in records:  # type: ignore[union-attr] # it was asked
            yield record
    else:
        for record in records:  # type: ignore[union-attr]
            yield record


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    return await anyio.to_thread.run_sync(function, *args)


# --- the calls of a format: it may be a stranger's ------------------------------------------------------------------


def _begun(format_: Format, redaction: Redacting | None) -> bytes:
    stamp = None if redaction is None else redaction.redactor.stamp
    return expect(guarded_call(format_.begin, stamp), bytes, "the bytes that stand before the records")


def _encoded(format_: Format, records: list[ExportRecord], redaction: Redacting | None) -> bytes:
    shown = [redacted(record, redaction) for record in records]
    return expect(guarded_call(format_.encode, shown), bytes, "the bytes of these records")


def _ending(format_: Format) -> Iterator[bytes]:
    return guarded_call(iter, guarded_call(format_.end))


def _next_piece(pieces: Iterator[bytes]) -> bytes | None:
    piece: Any = guarded_call(next, pieces, None)
    return None if piece is None else expect(piece, bytes, "the bytes that stand after the records")
