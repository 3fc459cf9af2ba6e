"""Records that are too long for a line of an audit log: the very border, and what a log does not take for its own."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import codec
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import blobs
from hubwire.stores import MemoryStore

LONGEST = 65_535 - 65
"""How many bytes of a record stand in a line, which ends in the 65 of "d" and "h"."""


def record_of(size: int) -> dict[str, Any]:
    """Return a record of so many bytes as JSON."""
    record = {"at": "now", "text": ""}
    record["text"] = "x" * (size - len(codec.encode_fields(record)))
    assert len(codec.encode_fields(record)) == size
    return record


@pytest.mark.parametrize(("size", "is_cut"), [(LONGEST, False), (LONGEST + 1, True)])
async def test_a_record_of_one_byte_too_many_is_cut(size: int, is_cut: bool) -> None:
    """And both come back as they were appended."""
    store, record = MemoryStore(), record_of(size)
    log = AuditLog(store)
    assert blobs.must_be_cut(codec.encode_fields(record)) is is_cut
    await log.append(record)
    assert bool(await store.list("/audit/blob")) is is_cut
    assert await log.read_all() == [record]
    await log.aclose()


def test_a_cut_with_more_in_it_is_not_the_logs() -> None:
    """What a log writes has three keys; anything else is a record of a caller, and is left as it is."""
    ours = {"blob": blobs.Blob("0" * 64, 5).name, "bytes": 5, "sha256": "0" * 64}
    assert blobs.blob_of({"cut": ours}) is not None
    assert blobs.blob_of({"cut": {**ours, "more": 1}}) is None
