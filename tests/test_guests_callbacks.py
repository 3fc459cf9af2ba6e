"""Callbacks of stores and of audit logs: whatever they raise, swallow or never return from is their own failure."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hubwire.guests import GuestTask, LeftBehind
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import _guests
from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore, _watch
from hubwire.stores.object import ObjectStore
from support import until


class Panic(BaseException):
    """As native extensions raise it: no ``Exception``, and none that Python knows."""


ERRORS: list[BaseException] = [
    RuntimeError("x"),
    SystemExit(3),
    GeneratorExit(),
    asyncio.CancelledError(),
    Panic("p"),
    BaseExceptionGroup("g", [asyncio.CancelledError(), Panic("p")]),
]


class Deaf:
    """Swallows every cancellation until it is set free."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.given: list[Any] = []

    async def __call__(self, given: Any) -> None:
        self.given.append(given)
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                continue


@pytest.fixture(params=["memory", "file", "object"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KnowledgeStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "file":
        return FileStore(tmp_path)
    memory: Any = pytest.importorskip("obstore.store").MemoryStore()
    return ObjectStore(memory, poll_seconds=0.01)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_callback_of_a_store_may_raise_anything(store: KnowledgeStore, error: BaseException) -> None:
    """It ends its own subscription, and no other one."""
    failed: list[str] = []
    seen: list[str] = []

    async def fail(path: str) -> None:
        failed.append(path)
        raise error

    async def see(path: str) -> None:
        seen.append(path)

    await store.on_change("/", fail)
    other = await store.on_change("/", see)
    await store.write("/a", "1")
    await until(lambda: seen == ["/a"] and failed == ["/a"])
    await store.write("/b", "1")
    await until(lambda: seen == ["/a", "/b"])
    assert failed == ["/a"]
    await other.close()
    await store.aclose()


async def test_a_callback_that_fails_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watch, "_log", OwnLog("stores"))  # the other has left out lines of this kind by now

    async def fail(_: str) -> None:
        raise Panic("of a native extension")

    store = MemoryStore()
    await store.on_change("/", fail)
    with caplog.at_level(logging.WARNING, "hubwire"):
        await store.write("/a", "1")
        await until(lambda: "of a native extension" in caplog.text)
    assert "store.subscription_failed" in caplog.text


@pytest.mark.slow
async def test_a_deaf_callback_keeps_no_store_open(store: KnowledgeStore) -> None:
    """Nor its subscription: it is left behind a second after it was cancelled."""
    deaf = Deaf()
    subscription = await store.on_change("/", deaf)
    await store.write("/a", "1")
    await until(lambda: bool(deaf.given))
    async with asyncio.timeout(20):
        await subscription.close()
        await store.aclose()
    deaf.free.set()


async def test_a_deaf_subscriber_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called no more, counted, and the others get the record that it was at, and those after it, once."""
    monkeypatch.setattr(_guests, "CALL_SECONDS_MAX", 0.01)
    monkeypatch.setattr(_guests, "GRACE_SECONDS", 0.01)
    log, deaf = AuditLog(MemoryStore()), Deaf()
    before: list[int] = []
    after: list[int] = []

    def hearing(into: list[int]) -> Callable[[dict[str, Any]], Awaitable[None]]:
        async def hear(record: dict[str, Any]) -> None:
            into.append(record["n"])

        return hear

    log.subscribe(hearing(before))
    log.subscribe(deaf)
    log.subscribe(hearing(after))
    for number in range(3):
        await log.append({"kind": "a.b", "n": number})
    await until(lambda: after == [0, 1, 2])
    assert before == [0, 1, 2]
    assert [each["n"] for each in deaf.given] == [0]
    deaf.free.set()
    await log.append({"kind": "a.b", "n": 3})
    await until(lambda: after == [0, 1, 2, 3])
    assert before == [0, 1, 2, 3]
    assert log.subscriber_errors == 1
    await log.aclose()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_subscriber_that_panics_ends_no_other(error: BaseException) -> None:
    log, heard = AuditLog(MemoryStore()), []

    async def fail(_: dict[str, Any]) -> None:
        raise error

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record["n"])

    log.subscribe(fail)
    log.subscribe(hear)
    for number in range(2):
        await log.append({"kind": "a.b", "n": number})
    await until(lambda: heard == [0, 1])
    assert log.subscriber_errors == 2
    await log.aclose()


async def test_guests_are_called_by_anyone() -> None:
    """``hubwire.guests`` is for stores and listeners of one's own."""

    async def double(number: int) -> int:
        return 2 * number

    guest = GuestTask("a stranger")
    assert await guest.call(double, 4) == 8
    assert not guest.is_current
    deaf, began = Deaf(), time.monotonic()
    with pytest.raises(LeftBehind):
        await guest.call(deaf, 1, seconds=0.01, grace_seconds=0.01)
    assert guest.is_still_running
    assert time.monotonic() > began
    guest.end()
    deaf.free.set()
    await until(lambda: not guest.is_still_running)
