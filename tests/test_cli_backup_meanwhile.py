"""Backups of a log in which contents are erased, or which is witnessed, at each moment of the copying."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.abc import TaskGroup
from test_audit_witnessed_verify import KEYS, LOG, VKEYS, Cosigner
from test_erasable_copies import SIGNER

from hubwire import GenericEvent, Hub
from hubwire.cli.backup import back_up
from hubwire.listeners.audit import AuditLog, TenantAuditLogs, Verification, examine
from hubwire.proof import WitnessPolicy
from hubwire.stores import MemoryStore
from support.erasable import SECRET, bytes_of, record

pytest.importorskip("cryptography")


class Interrupted(MemoryStore):
    """Has a call made before so many reads of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.at = -1
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def _count(self) -> None:
        self.reads += 1
        if self.reads >= self.at >= 0 and (call := self.meanwhile) is not None:
            self.meanwhile = None
            await call()

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        await self._count()
        return await super().read_bytes(path, start, end)

    async def size(self, path: str) -> int | None:
        await self._count()
        return await super().size(path)

    async def list(self, path: str = "/") -> builtins.list[str]:
        await self._count()
        return await super().list(path)


async def copy_of(store: Interrupted, at: int, meanwhile: Callable[[], Awaitable[object]]) -> MemoryStore | None:
    """Return a backup; None if it was done before so many reads."""
    store.reads, store.at, store.meanwhile = 0, at, meanwhile
    copy = MemoryStore()
    await back_up(store, copy, name="live", target_name="copy")
    return copy if store.meanwhile is None else None


def faults_of(found: Verification) -> list[str]:
    return [fault for verdict in found.verdicts.values() for fault in verdict.faults]


async def erasable_log(store: MemoryStore) -> AuditLog:
    log = AuditLog(store, erasable=["content"], signer=SIGNER, checkpoint_seconds=3600)
    for number in range(1, 4):
        await log.append(record(number, content=f"{SECRET} {number}" + "x" * 400 * number))
    await log.checkpoint()
    return log


@pytest.mark.parametrize("times", [1, 2])
async def test_what_is_erased_while_it_is_backed_up_is_gone_from_the_copy_or_not_said_to_be(times: int) -> None:
    """A page that was written anew twice has its first name again."""
    at = 1
    while True:
        store = Interrupted()
        log = await erasable_log(store)

        async def erase(log: AuditLog = log) -> None:
            for number in range(1, times + 1):
                await log.erase(records=number, by="dpo", basis="asked")

        copy = await copy_of(store, at, erase)
        await log.aclose()
        if copy is None:
            break
        found = await examine(copy, vkey=SIGNER.vkey)
        assert faults_of(found) == [], at
        everything = await bytes_of(copy)
        for number in range(1, times + 1):
            is_said, is_there = b"record.erased" in everything, f"{SECRET} {number}".encode() in everything
            assert is_said is not is_there, at
        at += 1
    assert at > 40


class Held(Interrupted):
    """Holds an erasure before the page with the content is deleted, until the first copy is given up, or done."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = anyio.Event()

    async def delete(self, path: str) -> None:
        if "/erasable/" in path:
            await self.go_on.wait()
        await super().delete(path)


class GivenUp(MemoryStore):
    """The place for a copy."""

    def __init__(self, source: Held) -> None:
        super().__init__()
        self._source = source

    async def delete(self, path: str) -> None:
        await super().delete(path)
        self._source.go_on.set()
        await anyio.wait_all_tasks_blocked()


@pytest.mark.slow
async def test_an_erasure_under_way_is_copied_whole_or_not() -> None:
    at = 1
    while True:
        store = Held()
        log = await erasable_log(store)
        copy = GivenUp(store)
        async with anyio.create_task_group() as tasks:

            async def begin(log: AuditLog = log, tasks: TaskGroup = tasks) -> None:
                async def erase() -> None:
                    await log.erase(records=1, by="dpo", basis="asked")

                tasks.start_soon(erase)
                await anyio.wait_all_tasks_blocked()

            store.reads, store.at, store.meanwhile = 0, at, begin
            await back_up(store, copy, name="live", target_name="copy")
            store.go_on.set()
        await log.aclose()
        if store.meanwhile is not None:
            break
        assert faults_of(await examine(copy, vkey=SIGNER.vkey)) == [], at
        again = AuditLog(copy, erasable=["content"], signer=SIGNER)
        await again.append(record())  # finishes what was under way
        await again.aclose()
        everything = await bytes_of(copy)
        assert (b"record.erased" in everything) is not (f"{SECRET} 1".encode() in everything), at
        assert faults_of(await examine(copy, vkey=SIGNER.vkey)) == [], at
        at += 3
    assert at > 40


async def test_a_content_that_an_old_file_of_its_page_has_still_is_seen() -> None:
    """As in a backup that was made while it was erased: no erasure is under way, which would finish it."""
    store = MemoryStore()
    log = await erasable_log(store)
    (page,) = await store.list("/audit/erasable")
    old = await store.read_bytes(f"/audit/erasable/{page}") or b""
    await log.erase(records=1, by="dpo", basis="asked")
    await log.aclose()
    await store.write(f"/audit/erasable/{page}", old)
    (fault,) = faults_of(await examine(store, vkey=SIGNER.vkey))
    assert "say" in fault
    assert "content of record 1, by record" in fault
    assert "erase --again" in fault
    again = AuditLog(store, erasable=["content"], signer=SIGNER)
    assert await again.erase_again() == 1
    await again.aclose()
    assert faults_of(await examine(store, vkey=SIGNER.vkey)) == []
    assert f"{SECRET} 1".encode() not in await bytes_of(store)


async def test_what_witnesses_see_while_it_is_backed_up_does_not_harm_the_copy() -> None:
    """The file with it is longer then: the copy has one or the other, of no more records than it has itself."""
    at = 1
    while True:
        store = Interrupted()
        witnesses = WitnessPolicy([Cosigner(KEYS[0], 10**9)], interval_seconds=0.0)
        log = AuditLog(store, signer=LOG, checkpoint_seconds=3600, witnesses=witnesses)

        async def go_on(log: AuditLog = log) -> None:
            for number in range(8):
                await log.append({"kind": "work.done", "number": number})
            await log.checkpoint()
            await log.witnessed()

        await go_on()  # 9 records, and 17 after the next
        copy = await copy_of(store, at, go_on)
        await log.aclose()
        if copy is None:
            break
        assert faults_of(await examine(copy, vkey=LOG.vkey, witnesses=VKEYS[:1])) == [], at
        at += 1
    assert at > 40


async def test_where_the_logs_of_tenants_are_is_copied_whole_and_never_ahead() -> None:
    at = 1
    while True:
        store = Interrupted()
        logs = TenantAuditLogs(store)

        async def go_on(store: MemoryStore = store, logs: TenantAuditLogs = logs) -> None:
            async with Hub(store, listeners=[logs]) as hub:
                for number in range(60):
                    await hub.emit(GenericEvent(kind="work.done", tenant="acme", data={"number": number}))

        await go_on()
        copy = await copy_of(store, at, go_on)
        if copy is None:
            break
        async with Hub(copy, listeners=[TenantAuditLogs(copy)]) as hub:
            assert hub.health().healthy, at
        at += 40
    assert at > 100
