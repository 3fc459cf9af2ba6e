"""Erasable contents that meet the other things done with a log."""

from __future__ import annotations

from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, Rotation, examine
from hubwire.stores import MemoryStore
from support.erasable import record


async def test_what_was_erased_of_records_that_are_pruned_is_no_content_without_a_record() -> None:
    """Their page stays, for the records after them, with what it says of theirs."""
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"], rotation=Rotation(bytes_max=900))
    for number in range(1, 13):
        await log.append(record(number))
    await log.erase(records=[1, 2, 12], by="dpo", basis="asked")
    assert (await log.prune(retention=Retention(segments_max=3))).first > 2
    found = await examine(store)
    assert found.holds
    assert found.notes == ()
    await log.aclose()
    assert found.contents is not None
    assert (found.contents.erased, found.contents.missing) == (1, 0)
