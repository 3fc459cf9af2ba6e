"""``hubwire show``: one record, in full."""

from __future__ import annotations

import json
import re
from typing import Any

from hubwire.listeners.audit.blobs import opened

from ..codec import decode_fields
from ..log import LogReader, Record
from ..ports import KnowledgeStore
from .failures import CommandFailed
from .hub_client import is_hub
from .output import as_text, say
from .redacted import shown
from .target import READING_SECONDS, beginning_of, fields_of, find_log, open_target

__all__ = ("RecordMissing", "found_record", "missing_record", "show", "whole_record")

_PLACE = re.compile(r"index:(\d{1,18})|(?:index:)?(-[1-9]\d{0,17})", re.ASCII)


class RecordMissing(CommandFailed):
    """The log has no such record."""


async def show(wanted: str, target: str, *, log: str | None, raw: bool = False, archive: str | None = None) -> None:
    """Print the record whose ``seq``, ``id`` or place is ``wanted``, as JSON that a person can read.

    A place is ``index:7``, or ``-1`` and ``index:-1`` for the last record. It is redacted, unless it is to be ``raw``.
    """
    if is_hub(target):
        from .remote import only_stores, show as show_at

        only_stores("show", {"--log": log, "--raw": raw, "--archive": archive})
        await show_at(target, wanted)
        return
    store = open_target(target, READING_SECONDS, archive=archive)
    try:
        path = await find_log(store, log, target)
        what, found = await found_record(store, path, wanted)
        if found is None:
            raise await missing_record(store, path, target, what, wanted)
        fields = shown(raw=raw).fields(await whole_record(store, path, found))
        say(as_text(fields))
    finally:
        await store.aclose()


async def found_record(store: KnowledgeStore, path: str, wanted: str) -> tuple[str, Record | None]:
    """Return what is looked for, in words, and the record, if it is there."""
    if (place := _PLACE.fullmatch(wanted)) is not None:
        return f"record with {wanted}", await _by_index(store, path, int(place[1] or place[2]))
    if not wanted.isdecimal():
        return f"event with id {wanted!r}", await _by_id(store, path, wanted)
    return f"event with seq {wanted}", await _by_seq(store, path, int(wanted))


async def missing_record(store: KnowledgeStore, path: str, target: str, what: str, wanted: str) -> RecordMissing:
    """Return the error that says that a log does not have what is ``wanted``, and what to do."""
    advice = await beginning_of(store, path) or _advice(wanted)
    return RecordMissing(f"the log {path} of {target} has no {what}{'; ' if advice else ''}{advice}")


def _advice(wanted: str) -> str:
    return f"index:{wanted} is the record at that place, -1 the last one" if wanted.isdecimal() else ""


async def _by_index(store: KnowledgeStore, path: str, index: int) -> Record | None:
    reader = LogReader(store, path)
    if index < 0:
        await reader.seek_end()
        index += reader.index
    if index >= 0:
        await reader.seek_index(index)
        for record in await reader.read():
            if record.index == index:
                return record
    return None


async def _by_seq(store: KnowledgeStore, path: str, seq: int) -> Record | None:
    reader = LogReader(store, path)
    await reader.seek_after_seq(seq - 1)
    while records := await reader.read():
        for record in records:
            found = (fields_of(record) or {}).get("seq")
            if isinstance(found, int) and found >= seq:
                return record if found == seq else None
    return None


async def _by_id(store: KnowledgeStore, path: str, identifier: str) -> Record | None:
    needle = json.dumps(identifier).encode()
    reader = LogReader(store, path)
    while records := await reader.read():
        for record in records:
            if needle in record.line and (fields_of(record) or {}).get("id") == identifier:
                return record
    return None


async def whole_record(store: KnowledgeStore, path: str, record: Record) -> dict[str, Any]:
    """Return the record's keys; of a record that was too long for a line, also those of the file that holds it.

    With the erasable contents that are there.
    """
    fields = decode_fields(record.line)
    if "cut" in fields or "$c" in fields:
        whole = decode_fields(await opened(store, path, record.body))
        fields = {name: value for name, value in fields.items() if name != "$c"} | whole
    return fields
