"""measured: a store whose calls are reported, and which is otherwise the store that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubwire import GenericEvent, Hub
from hubwire.errors import AppendConflict, ConfigurationError, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.ports import CompactableStore, CuttableStore, EagerStore, HoldableStore, KnowledgeStore, ReservingStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.measured import measured
from hubwire.testing.stores import HoldableStoreContract, KnowledgeStoreContract

PORTS: tuple[Any, ...] = (HoldableStore, EagerStore, CuttableStore, ReservingStore, CompactableStore)


def ignore(*_: object, **__: object) -> None:
    pass


class TestMeasuredStore(KnowledgeStoreContract, HoldableStoreContract):
    @pytest.fixture
    def store(self) -> KnowledgeStore:
        return measured(MemoryStore(), ignore)


class TestMeasuredFiles(KnowledgeStoreContract, HoldableStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> KnowledgeStore:
        return measured(FileStore(tmp_path), ignore)


class Calls:
    def __init__(self) -> None:
        self.made: list[tuple[str, str, int, bool]] = []

    def __call__(self, operation: str, path: str, seconds: float, size_bytes: int, *, is_failure: bool) -> None:
        assert seconds >= 0
        self.made.append((operation, path, size_bytes, is_failure))


@pytest.mark.parametrize("make", [MemoryStore, None], ids=["memory", "file"])
def test_it_can_do_what_the_store_can(make: Any, tmp_path: Path) -> None:
    store = FileStore(tmp_path) if make is None else make()
    assert [isinstance(measured(store, ignore), port) for port in PORTS] == [isinstance(store, port) for port in PORTS]
    assert "measured(" in repr(measured(store, ignore))


async def test_calls_are_reported() -> None:
    calls = Calls()
    store = measured(MemoryStore(), calls)
    await store.append("/a", "é")
    await store.append("/a", b"xyz", expect=2)
    await store.write("/b", "x" * 10)
    await store.read("/a")
    await store.list("/")
    await store.delete("/b")
    assert calls.made == [
        ("append", "/a", 2, False),
        ("append", "/a", 3, False),
        ("write", "/b", 10, False),
        ("read", "/a", 0, False),
        ("delete", "/b", 0, False),
    ]


async def test_a_failure_is_one_where_the_store_fails() -> None:
    """A conflict is an answer that the caller has asked for."""

    class Failing(MemoryStore):
        async def write(self, *args: Any, **kwargs: Any) -> None:
            raise StoreError("the disk is gone")

    calls = Calls()
    store = measured(Failing(), calls)
    with pytest.raises(AppendConflict):
        await store.append("/a", "x", expect=5)
    with pytest.raises(StoreError, match="the disk is gone"):
        await store.write("/a", "x")
    assert calls.made == [("append", "/a", 0, False), ("write", "/a", 0, True)]


async def test_a_hub_on_it_is_as_on_the_store(tmp_path: Path) -> None:
    calls = Calls()
    store = measured(FileStore(tmp_path), calls)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        for _ in range(10):
            await hub.emit(GenericEvent(kind="a.b"))
    areas = {path.split("/")[1] for operation, path, *_ in calls.made if operation == "append"}
    assert areas == {"journal", "audit"}
    assert (await verify(store)).events == (await verify(FileStore(tmp_path))).events > 10
    async with Hub(FileStore(tmp_path)) as hub:
        assert hub.statistics().committed > 10


@pytest.mark.parametrize("raised", [ValueError, SystemExit, GeneratorExit])
async def test_a_report_that_fails_harms_no_call(raised: type[BaseException]) -> None:
    made = []

    def fail(operation: str, *_: object, **__: object) -> None:
        made.append(operation)
        raise raised("no")

    store = measured(MemoryStore(), fail)
    await store.write("/a", "x")
    await store.write("/a", "y")
    assert await store.read("/a") == "y"
    assert made == ["write"]


@pytest.mark.parametrize(
    ("store", "record"),
    [(None, ignore), (MemoryStore, ignore), ("x", ignore), (MemoryStore(), None), (MemoryStore(), int)],
    ids=["none", "class", "text", "no function", "a class"],
)
def test_odd_arguments_are_refused(store: Any, record: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"measured\(\)"):
        measured(store, record)
