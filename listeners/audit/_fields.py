"""The fields of a record of the caller's own: what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubwire.errors import InvalidRecord

__all__ = ("ERASED_KIND", "fields_given")

ERASED_KIND = "record.erased"
"""The one kind of a log's own records that does not begin with ``log.``."""

_OWN_BEGINNINGS = ("log.", ERASED_KIND)
_RESERVED = frozenset({"seq", "d", "h", "cut", "$c"})


def fields_given(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record. Raises :class:`~hubwire.errors.InvalidRecord` if it cannot be one."""
    if type(record) is not dict and not isinstance(record, Mapping):
        raise InvalidRecord(f"a record is a dictionary, or another mapping, not {type(record).__name__}")
    try:
        fields = dict(record)
    except Exception as error:
        raise InvalidRecord(f"the record, of class {type(record).__name__}, cannot be read ({error!r:.200})") from error
    if not _RESERVED.isdisjoint(fields):
        taken = sorted(_RESERVED.intersection(fields))
        raise InvalidRecord(f"a record cannot have the keys {', '.join(taken)}: the log writes them; rename them")
    kind = fields.get("kind")
    if isinstance(kind, str) and str.startswith(kind, _OWN_BEGINNINGS):
        if str.startswith(kind, "log."):
            raise InvalidRecord(
                f"a record cannot be of kind {kind!r:.80}: those with log. are the log's own; rename it"
            )
        if str.__str__(kind) == ERASED_KIND:
            raise InvalidRecord(f"a record cannot be of kind {ERASED_KIND!r}: the log writes it itself; rename it")
    return fields
