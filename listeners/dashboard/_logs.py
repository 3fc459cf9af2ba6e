"""The log that history is read from: the audit log of a hub, or the log that a dashboard is of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from hubwire import codec
from hubwire.errors import InvalidRecord
from hubwire.log import LogReader, Record
from hubwire.ports import KnowledgeStore
from hubwire.redaction import Redactor
from hubwire.redaction.aside import LARGE_BYTES, Aside
from hubwire.waking import Slices

from ..audit import AuditLog
from ..audit.blobs import opened
from ._http import Problem
from ._log_source import LogSource
from ._source import Source

__all__ = ("Logs", "Place")

_AT_ONCE = 4
_WAIT_SECONDS = 20.0
_SLICE_SECONDS = 0.001
_STAMP = "redacted"
"""Where a record that was redacted says by which rules."""
_PLACEHOLDER = re.compile(rb"\[(?:redacted:[a-z][a-z0-9_]{0,63}|[a-z][a-z0-9_]{0,63}:[a-p]{16})\]")


@attrs.frozen
class Place:
    """Where a log is."""

    store: KnowledgeStore
    path: str

    @property
    def is_chained(self) -> bool:
        """Whether it is an audit log, which can be verified, and no journal."""
        return not self.path.endswith("/journal")


class Logs:
    """Finds the log of a source, and lets few read it at once: a scan of a large one takes seconds of a processor."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.redactor: Redactor = source.redactor

    @property
    def audit(self) -> AuditLog | None:
        """The audit log that is attached to the hub; None if there is none, or no hub."""
        hub = self._source.hub
        for attachment in () if hub is None else hub.attachments:
            if isinstance(attachment.listener, AuditLog) and attachment.tenant is None:
                return attachment.listener
        return None

    async def place(self) -> Place:
        """Return where the log is. Raises :class:`Problem` if there is none."""
        source = self._source
        if isinstance(source, LogSource):
            await source.open()
            if source.path is not None:
                return Place(source.store, source.path)
            raise Problem(409, "no_log", "there is no log in this store yet", "start a hub on it")
        audit = self.audit
        if audit is None:
            raise Problem(
                409,
                "no_log",
                "this hub has no audit log, so there is no history to ask",
                "attach one: Hub(store, listeners=[AuditLog(store)])",
            )
        return Place(audit.store, audit.path)

    @asynccontextmanager
    async def turn(self, *, is_patient: bool = False) -> AsyncIterator[None]:
        """Wait for one's turn to read. Raises :class:`Problem` if that takes too long, but to who is patient."""
        try:
            async with asyncio.timeout(None if is_patient else _WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Problem(
                503, "overloaded", "others read the log, and it takes long", "try again", headers={"Retry-After": "5"}
            ) from error
        try:
            yield
        finally:
            self._turns.release()

    def shown(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return fields without what is personal or secret; for short ones: it is done on the loop."""
        return self._redacted(codec.encode_fields(fields))

    async def record_shown(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a record without what is personal or secret; a large one is redacted in a thread."""
        line = codec.encode_fields(fields)
        if len(line) <= LARGE_BYTES:
            return self._redacted(line)
        return await Aside.of(self.redactor).call(self._redacted, line)

    def as_searched(self, line: bytes) -> bytes:
        """Return a line as it is shown, without what stands in the place of findings.

        A text that is looked for there is not found in what was redacted, nor by what a rule is called.
        """
        try:
            body = codec.body_of(line)
        except InvalidRecord:  # a program's own
            body = line
        shown = self.redactor.redact_line(body)
        if shown is body:
            return line
        fields = codec.decode_fields(shown)
        fields.pop(_STAMP, None)
        if isinstance(metadata := fields.get("metadata"), dict):
            metadata.pop(_STAMP, None)
        return _PLACEHOLDER.sub(b" ", codec.encode_fields(fields))

    def _redacted(self, line: bytes) -> dict[str, Any]:
        return codec.decode_fields(self.redactor.redact_line(line))

    async def record_at(self, place: Place, index: int) -> dict[str, Any] | None:
        """Return the fields of the record that is the ``index``-th of the log, from 0; None: there is none any more."""
        reader = LogReader(place.store, place.path)
        await reader.seek_index(index)
        for record in await reader.read():
            if record.index == index:
                return await self._fields(place, record)
            if record.index > index:
                break
        return None

    async def _fields(self, place: Place, record: Record) -> dict[str, Any] | None:
        try:
            fields = codec.decode_fields(record.body)
        except InvalidRecord:
            return None
        if "cut" in fields or "$c" in fields:
            whole = codec.decode_fields(await opened(place.store, place.path, record.body))
            fields = {name: value for name, value in fields.items() if name != "$c"} | whole
        return fields

    async def record(self, place: Place, seq: int) -> dict[str, Any] | None:
        """Return the fields of the event with this number, also of one that is too long for a line; None: it has none.

        They are not redacted.
        """
        reader, slices = LogReader(place.store, place.path), Slices(_SLICE_SECONDS)
        await reader.seek_after_seq(seq - 1)
        while records := await reader.read():
            for record in records:
                await slices.cut()
                try:
                    found = codec.decode_fields(record.body).get("seq")
                except InvalidRecord:
                    continue
                if type(found) is int and found >= seq:
                    return await self._fields(place, record) if found == seq else None
        return None
