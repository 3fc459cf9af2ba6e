"""Erasable contents that meet the other things done with a log."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import GenericEvent
from hubwire.errors import StoreFull
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, Rotation, examine
from hubwire.stores import MemoryStore
from support.erasable import SECRET, bytes_of, record
from support.payloads import stamped


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


class FullOfPages(MemoryStore):
    """Has no room for pages that are written anew."""

    is_full = False

    async def write(self, path: str, content: str | bytes, **terms: Any) -> None:
        if self.is_full and "/erasable/" in path:
            raise StoreFull(f"there is no room for {path}", path=path)
        await super().write(path, content, **terms)


@pytest.mark.parametrize("then", ["append", "erase", "batch", "event", "aclose"])
async def test_an_erasure_that_failed_is_finished_before_what_comes_next(then: str) -> None:
    """The log says that the content is gone, and a later erasure must not forget that it is not."""
    store = FullOfPages()
    log = AuditLog(store, erasable=["content"])
    await log.append(record(1, content=f"{SECRET} 1"))
    await log.append(record(2, content=f"{SECRET} 2"))
    store.is_full = True
    with pytest.raises(StoreFull, match="no room"):
        await log.erase(records=1, by="dpo", basis="asked")
    store.is_full = False
    if then == "append":
        await log.append(record(3, content=f"{SECRET} 3"))
    elif then == "batch":
        await log.append_many([record(3, content=f"{SECRET} 3"), record(4)])
    elif then == "erase":
        await log.erase(records=2, by="dpo", basis="asked")
    elif then == "event":
        await log.on_events([stamped(GenericEvent(kind="work.done", data={"n": 1}))])
    else:
        await log.aclose()
        log = AuditLog(store, erasable=["content"])
        await log.append(record(3, content=f"{SECRET} 3"))
    found = await examine(store)
    assert found.holds, found
    assert found.notes == ()
    assert f"{SECRET} 1".encode() not in await bytes_of(store)
    if then in ("append", "batch"):
        assert f"{SECRET} 3".encode() in await bytes_of(store)
    await log.aclose()


async def test_a_record_on_its_way_keeps_its_content_while_a_failed_erasure_is_finished() -> None:
    """Also in a log that a crash had ended: what the crash has left is taken out once, at the opening."""
    store = FullOfPages()
    log = AuditLog(store, erasable=["content"])
    await log.append(record(1, content=f"{SECRET} 1"))
    await log.aclose()
    await store.delete("/audit/clean")
    log = AuditLog(store, erasable=["content"])
    await log.append(record(2, content=f"{SECRET} 2"))
    store.is_full = True
    with pytest.raises(StoreFull, match="no room"):
        await log.erase(records=1, by="dpo", basis="asked")
    store.is_full = False
    async with anyio.create_task_group() as tasks:
        for number in range(3, 23):
            tasks.start_soon(log.append, record(number, content=f"{SECRET} {number}"))
    await log.aclose()
    found = await examine(store)
    assert found.holds, found
    assert found.contents is not None
    assert (found.contents.present, found.contents.erased) == (21, 1)
