"""Batches of records of one's own: checked and encoded before one of them is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from hubwire import codec
from hubwire.errors import CallerError, EventTooLarge, InvalidRecord

from ._fields import fields_given

__all__ = ("BYTES_MAX", "RECORDS_MAX", "bodies_of")

RECORDS_MAX = 1000
BYTES_MAX = 8 * 1024 * 1024
"""What one record may have, too: both are one append to the store."""


def bodies_of(records: object, now: Callable[[], str]) -> list[bytes]:
    """Return the lines of records, with one time for those that have none; raise at the first that cannot be one."""
    given = _listed(records)
    at = now() if given else ""
    bodies: list[bytes] = []
    size = 0
    for number, record in enumerate(given):
        try:
            bodies.append(_body_of(record, at))
        except CallerError as error:
            error.add_note(f"It is number {number} of the {len(given)} records of append_many(); none was written.")
            raise
        size += len(bodies[-1])
        if size > BYTES_MAX:
            raise EventTooLarge(
                f"the records of append_many() have more than {BYTES_MAX} bytes together, at number {number} of"
                f" {len(given)}; none was written: append them in several calls",
                kind="",
                size_bytes=size,
                limit_bytes=BYTES_MAX,
            )
    return bodies


def _body_of(record: Any, at: str) -> bytes:
    fields = fields_given(record)
    fields.setdefault("at", at)
    return codec.encode_record(fields)


def _listed(records: Any) -> tuple[Any, ...]:
    """Return the records, read once."""
    if not _is_list(records):
        raise InvalidRecord(f"append_many() takes a list of records, not {type(records).__name__}")
    try:
        given = tuple(islice(records, RECORDS_MAX + 1))
    except Exception as error:
        raise InvalidRecord(f"the records of append_many() cannot be read ({type(error).__name__})") from error
    if len(given) > RECORDS_MAX:
        raise InvalidRecord(f"append_many() takes at most {RECORDS_MAX} records; append them in several calls")
    return given


def _is_list(records: Any) -> bool:
    try:
        return isinstance(records, Iterable) and not isinstance(records, (str, bytes, Mapping))
    except Exception:  # noqa: BLE001 - an object may answer the question for its class with any exception
        return False
