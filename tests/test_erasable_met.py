"""Erasable contents that meet the other things done with a log."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from test_audit_witnessed_verify import KEYS, LOG

from hubwire import GenericEvent
from hubwire.errors import NotWitnessed, StoreFull, StoreUnavailable, WitnessFailed
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, Rotation, examine
from hubwire.log import segment_path
from hubwire.proof import NoteSignature, WitnessPolicy, WitnessRequest
from hubwire.stores import MemoryStore
from support import files_of, store_of
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


class Deaf:
    """A witness that is down after its first answer."""

    name, vkey = KEYS[0].vkey.name, KEYS[0].vkey
    is_down = False

    async def witness(self, request: WitnessRequest) -> NoteSignature:
        if self.is_down:
            raise WitnessFailed("it is down")
        return KEYS[0].cosign(request.checkpoint.text, 1_700_000_000)


async def test_a_log_closed_without_its_witnesses_keeps_no_content_of_what_it_refuses() -> None:
    """No record would name it, so that no erasure would reach it."""
    store, witness = MemoryStore(), Deaf()
    policy = WitnessPolicy([witness], interval_seconds=0.0, grace_seconds=0.02, seconds_max=0.01, on_missing="closed")
    log = AuditLog(store, signer=LOG, erasable=["content"], witnesses=policy, checkpoint_seconds=0.01)
    await log.append(record(1, content="a first one"))
    await log.witnessed()
    witness.is_down = True
    with anyio.fail_after(20), pytest.raises(NotWitnessed):
        number = 1
        while True:
            number += 1
            await log.append(record(number, content=f"{SECRET} {number}"))
            await anyio.sleep(0.01)
    for _ in range(3):
        with pytest.raises(NotWitnessed):
            await log.append(record(content="what was refused"))
        with pytest.raises(NotWitnessed):
            await log.append_many([record(content="what was refused")] * 2)
    assert b"what was refused" not in await bytes_of(store)
    await log.aclose()
    assert f"{SECRET} {number}".encode() not in await bytes_of(store)
    assert not any("no record names" in each for each in (await examine(store)).notes)


class Killed(MemoryStore):
    """Fails for good after so many changes."""

    left: int | None = None

    def _count(self) -> None:
        if self.left is not None:
            if not self.left:
                raise StoreUnavailable("the program was killed")
            self.left -= 1

    async def write(self, path: str, content: str | bytes, **terms: Any) -> None:
        self._count()
        await super().write(path, content, **terms)

    async def append(self, path: str, content: str | bytes, **terms: Any) -> int:
        self._count()
        return await super().append(path, content, **terms)

    async def delete(self, path: str) -> None:
        self._count()
        await super().delete(path)


async def test_a_kill_while_contents_are_erased_and_pruned_leaves_none_that_no_record_names() -> None:
    """At each step of an erasure, a pruning, another erasure and another pruning, which the next opening finishes."""
    settings: dict[str, Any] = {"erasable": ["content"], "rotation": Rotation(bytes_max=700)}
    kills, is_done = 0, False
    while not is_done:
        store = Killed()
        log = AuditLog(store, **settings)
        for number in range(1, 16):
            await log.append(record(number, content=f"{SECRET} {number}"))
        store.left = kills
        try:
            await log.erase(records=[1, 2, 9], by="dpo", basis="asked")
            await log.prune(retention=Retention(segments_max=4))
            await log.erase(agent="agent-1", by="dpo", basis="asked")
            await log.append(record(30))
            await log.prune(retention=Retention(segments_max=3))
            is_done = True
        except StoreUnavailable:
            kills += 1
        after = await store_of(await files_of(store))
        again = AuditLog(after, **settings)
        await again.append(record(31))
        await again.prune(retention=Retention(segments_max=3))
        await again.aclose()
        found = await examine(after)
        assert found.holds, (kills, found)
        assert found.contents is not None
        pages = [
            await after.read_bytes(f"/audit/erasable/{name}") or b"" for name in await after.list("/audit/erasable")
        ]
        there = [line for page in pages for line in page.splitlines() if line[45:46] != b"-"]
        assert len(there) == found.contents.present, kills
        store.left = None
        await log.aclose()
    assert kills > 20


async def test_a_log_that_lost_what_it_said_of_an_erasure_is_not_told_to_bring_the_content_back() -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    await log.append(record())
    before = await store.read_bytes(segment_path("/audit", 0)) or b""
    await log.erase(records=1, by="dpo", basis="asked")
    await log.aclose()
    await store.write(segment_path("/audit", 0), before)
    await store.delete("/audit/clean")
    (fault,) = (await examine(store)).integrity.faults
    assert "the log has lost that record" in fault
    assert "from a copy" not in fault
