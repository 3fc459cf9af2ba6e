"""What is exported: a record with its line, its number and what is known of both; and what it is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from .. import codec
from .._foreign.arguments import Call, is_a
from .._values import Value
from ..erasable import COMMITTED, commitments_of, value_at, with_value_at
from ..errors import ConfigurationError, HubError, InvalidRecord
from ..events import Event
from ..log import Record
from ..proof.tree import leaf_hash
from ..redaction.choice import Redacting

__all__ = ("LOG_KEYS", "ExportRecord", "record_of", "redacted")

LOG_KEYS = ("d", "h", "c")
"""The keys that a log adds to a record."""

_EXPORT = Call("export()", ConfigurationError)
_CHAIN_CHARS = 22


@attrs.frozen(eq=False, repr=False)
class ExportRecord(Value):
    """A record on its way into an export."""

    line: bytes
    """Its line in the log, without the line feed; as it is shown, where it was redacted."""
    index: int | None = None
    """Its number in the log, from 0; None for a record that is from no log."""
    whole: bytes | None = None
    """The whole record, one JSON object, where it was too long for a line of its log, or has erasable contents."""
    previous: str | None = None
    """``h`` of the record before it in its log, where that is known; empty for the first record of a log."""
    is_redacted: bool = False
    """Whether it was changed for this export, or withheld: then its line is not what its chain value stands for."""
    leaf: bytes | None = None
    """Of one that was changed, or withheld: the hash that its line has in the tree of a signed log, of 32 bytes."""
    contents: Mapping[str, Mapping[str, Any]] | None = None
    """Its erasable contents by field, for a report: ``salt`` and ``content``, or what became of them, as
    :meth:`hubwire.erasable.Opener.salted` returns them."""

    @property
    def fields(self) -> dict[str, Any]:
        """All fields of the record, and what its log adds: ``d``, and ``h`` or ``c``. A new dictionary each time.

        Of a line that is damaged, ``{"$damaged": "its text"}``.
        """
        try:
            fields = codec.decode_fields(self.line)
            if self.whole is not None:
                whole = codec.decode_fields(self.whole)
                if "$c" not in whole:  # its erasable contents were put back
                    fields.pop("$c", None)
                fields |= whole
        except InvalidRecord:
            return {"$damaged": self.line.decode(errors="backslashreplace")}
        return fields

    @property
    def chain(self) -> str | None:
        """``h``: the chain value; None where the log has no chain, or the line is damaged."""
        try:
            chain = codec.seal_of(self.line)[1]
        except InvalidRecord:
            return None
        return None if chain is None else chain.decode()


def record_of(given: Any) -> ExportRecord:
    """Return what is exported for a record of a log, an event, or a dictionary.

    Raises :class:`~hubwire.errors.ConfigurationError` for anything else, and
    :class:`~hubwire.errors.EventTooLarge` for a dictionary that is larger than a record may be.
    """
    if type(given) is ExportRecord:
        return given
    if type(given) is Record:
        return ExportRecord(given.line, given.index)
    if is_a(given, Event):
        return ExportRecord(codec.encode(given))
    if not is_a(given, Mapping):
        raise _EXPORT.refusal("records", given, "records of a log, events, or dictionaries", "see ExportRecord")
    try:
        return ExportRecord(_line_of(dict(given)))
    except HubError:
        raise
    except Exception as error:  # the mapping is a stranger's
        raise _EXPORT.refusal("records", given, "records that can be read") from error


def _line_of(fields: dict[str, Any]) -> bytes:
    """Return the line of a record that was read, with what its log had added at its end again."""
    durable, chain = fields.get("d"), fields.get("h")
    if type(durable) is not int or durable < 0 or not _is_chain(chain):
        return codec.encode_record(fields)
    body = codec.encode_record({key: value for key, value in fields.items() if key not in LOG_KEYS})
    return codec.seal(body, durable, chain.encode() if type(chain) is str else None)


def _is_chain(value: object) -> bool:
    if value is None:
        return True
    return type(value) is str and len(value) == _CHAIN_CHARS and value.replace("-", "a").replace("_", "a").isalnum()


def redacted(record: ExportRecord, redacting: Redacting | None) -> ExportRecord:
    """Return the record as it may be shown: itself, if it has no finding, as in a log that was redacted."""
    if redacting is None:
        return record
    line, whole = _redacted_line(record.line, redacting), record.whole
    if whole is not None:
        whole = _redacted_body(whole, redacting)
    if record.contents:
        contents = {name: _redacted_content(name, each, redacting) for name, each in record.contents.items()}
        record = attrs.evolve(record, contents=contents)
    if line is record.line and whole is record.whole:
        return record
    return attrs.evolve(record, line=line, whole=whole, is_redacted=True, leaf=record.leaf or leaf_hash(record.line))


def _redacted_content(name: str, content: Mapping[str, Any], redacting: Redacting) -> Mapping[str, Any]:
    """Return what is shown of a content: itself, with its salt, or what is left of it without."""
    if "content" not in content:
        return content
    key = name.rpartition(".")[2]
    line = codec.encode_fields({key: msgspec.Raw(content["content"].encode())})
    made = redacting.line(line)
    if made is line:
        return content
    return {"shown": codec.encode_fields({"": codec.decode_fields(made).get(key)})[4:-1].decode()}


def _redacted_line(line: bytes, redacting: Redacting) -> bytes:
    try:
        body = codec.body_of(line)
    except InvalidRecord:
        return _redacted_foreign(line, redacting)
    made = _redacted_body(body, redacting)
    return line if made is body else made[:-1] + line[len(body) - 1 :]


def _redacted_body(body: bytes, redacting: Redacting) -> bytes:
    """Return what is shown of a record; commitments of erasable contents say nothing, and stay."""
    commitments = commitments_of(codec.decode_fields(body)) if COMMITTED in body else []
    if not commitments:
        return redacting.line(body)
    fields = codec.decode_fields(body)
    kept = {each.field: value_at(fields, each.field) for each in commitments}
    without = {name: value for name, value in fields.items() if name != "$c"}
    for name in kept:
        without = with_value_at(without, name, None)
    blank = codec.encode_fields(without)
    made = redacting.line(blank)
    if made is blank:
        return body
    shown = codec.decode_fields(made)
    for name, value in kept.items():
        if isinstance(value_at(shown, name.rpartition(".")[0]) if "." in name else shown, dict):
            shown = with_value_at(shown, name, value)
    return codec.encode_fields({**shown, "$c": fields["$c"]})


def _redacted_foreign(line: bytes, redacting: Redacting) -> bytes:
    """Redact what no log has sealed: a record from elsewhere, or a damaged line."""
    try:
        codec.decode_fields(line)
    except InvalidRecord:
        text = line.decode(errors="backslashreplace")
        made = redacting.redactor.redact(text)
        return line if made is text else str(made).encode(errors="backslashreplace")
    return redacting.line(line)
