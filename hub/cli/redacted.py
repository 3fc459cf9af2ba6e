"""What the command shows of a log: as it is stored with ``--raw``, and else without what is personal or secret."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

import attrs

from ..codec import decode_fields, encode_fields
from ..errors import InvalidRecord
from ..log import Record

__all__ = ("Shown", "shown")

_OF_THE_LOG = frozenset({"d", "h", "c"})


class Shown(Protocol):
    """Says what is shown."""

    def record(self, record: Record) -> Record: ...
    def fields(self, fields: dict[str, Any]) -> dict[str, Any]: ...


def shown(*, raw: bool) -> Shown:
    """Return what makes of a record the one that is shown."""
    return _Raw() if raw else _Redacted()


class _Raw:
    def record(self, record: Record) -> Record:
        return record

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields


class _Redacted:
    def __init__(self) -> None:
        from ..redaction import Redactor

        self._redactor = Redactor.shared()

    def record(self, record: Record) -> Record:
        """Return the record that is shown: itself, if it has no finding, as in a log that was redacted."""
        try:
            body = record.body
        except InvalidRecord:  # it is a stranger's, or damaged
            with suppress(InvalidRecord):
                decode_fields(record.line)
                return attrs.evolve(record, line=self._redactor.redact_line(record.line))
            text = record.line.decode(errors="backslashreplace")
            made = self._redactor.redact(text)
            return record if made is text else attrs.evolve(record, line=made.encode())
        line = self._redactor.redact_line(body)
        return record if line is body else attrs.evolve(record, line=line[:-1] + record.line[len(body) - 1 :])

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return all fields of a record as they are shown."""
        body = encode_fields({name: value for name, value in fields.items() if name not in _OF_THE_LOG})
        line = self._redactor.redact_line(body)
        kept = {name: value for name, value in fields.items() if name in _OF_THE_LOG}
        return fields if line is body else {**decode_fields(line), **kept}
