"""S3Store against a real server on loopback."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from obstore.store import MemoryStore as MemoryService

from hubwire.errors import ConfigurationError
from hubwire.ports import HoldableStore, KnowledgeStore
from hubwire.stores import Durability, MemoryStore, open_store
from hubwire.stores.object import ObjectStore
from hubwire.stores.s3 import S3Store
from hubwire.testing.stores import KnowledgeStoreContract
from support import files_of, outcome, store_at

pytestmark = pytest.mark.slow

T = TypeVar("T")


class TestS3Store(KnowledgeStoreContract):
    @pytest.fixture
    def store(self, s3_url: str, prefix: str) -> KnowledgeStore:
        return store_at(s3_url, prefix, poll_seconds=0.05)


async def test_a_store_url_opens_an_s3_store(s3_url: str, prefix: str) -> None:
    store = open_store(s3_url.replace("?", f"{prefix}/a%20b?"))
    await store.append("/c", "x")
    assert await store_at(s3_url, prefix).read("/a b/c") == "x"
    assert await store_at(s3_url, prefix + "/a b").read("/c") == "x"
    assert isinstance(store, S3Store)
    assert store.durability is Durability.FSYNC
    assert not isinstance(store, HoldableStore)


async def test_prefixes_separate_stores_in_a_bucket(s3_url: str, prefix: str) -> None:
    one, other = store_at(s3_url, f"{prefix}/a"), store_at(s3_url, f"{prefix}/ab")
    await one.append("/f", "x")
    await other.append("/f", "y")
    await one.delete("/")
    assert await one.list() == []
    assert await other.read("/f") == "y"


# --- the condition --------------------------------------------------------------------------------------------------


@contextmanager
def running_rclone(directory: Path) -> Iterator[str]:
    """Start a server that takes If-None-Match and does not heed it."""
    (directory / "bucket").mkdir()
    rclone = Path(sys.executable).with_name("rclone")
    command = (rclone, "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", "test,test", directory)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)))
        try:
            yield f"s3://bucket?endpoint={said[0]}&region=us-east-1"
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture
def rclone_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with running_rclone(tmp_path) as url:
        yield url


async def test_a_server_without_conditions_is_refused(rclone_url: str) -> None:
    """It is refused before the first write."""
    store = open_store(rclone_url)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"ignores If-None-Match.*single_writer=True"):
            await store.append("/a", "x")
        with pytest.raises(ConfigurationError, match="ignores If-None-Match"):
            await store.write("/a", "x", if_absent=True)
    assert await store.list("/") == []
    await store.write("/a", "x")
    assert await store.read("/a") == "x"


async def test_a_single_writer_needs_no_condition(rclone_url: str) -> None:
    store = open_store(f"{rclone_url}&single_writer=true")
    await asyncio.gather(*(store.append("/a", str(n)) for n in range(10)))
    assert await store.read("/a") == "0123456789"


# --- against the reference ------------------------------------------------------------------------------------------

# Few names, so that paths meet; "a.x" and "a-" sort beside "a/".
paths = st.lists(st.sampled_from(["a", "b", "a.x", "a-"]), max_size=3).map(lambda elements: "/" + "/".join(elements))
file_paths = paths.filter(lambda path: path != "/")
contents = st.one_of(st.binary(max_size=20), st.text(max_size=10, alphabet="aé\n\r\u2028\0"))
positions = st.one_of(st.none(), st.integers(0, 30))


class ObjectStoreAgainstMemoryStore(RuleBasedStateMachine):
    """Whatever is done to both, both answer the same and hold the same."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.oracle = MemoryStore()
        self.stores = self.open_stores()
        self.store = self.stores[0]

    def open_stores(self) -> list[ObjectStore]:
        raise NotImplementedError

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.aclose())
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def both(self, name: str, path: str, *args: object, **kwargs: object) -> None:
        if self.is_undefined(path):
            return
        expected = self.run(outcome(getattr(self.oracle, name)(path, *args, **kwargs)))
        found = self.run(outcome(getattr(self.store, name)(path, *args, **kwargs)))
        assert found == expected

    def is_undefined(self, path: str) -> bool:
        elements = path[1:].split("/")
        above = ["/" + "/".join(elements[:n]) for n in range(1, len(elements))]
        is_directory = self.run(self.oracle.exists(path)) and self.run(self.oracle.size(path)) is None
        return is_directory or any(self.run(self.oracle.size(each)) is not None for each in above)

    @rule(path=file_paths, content=contents, off=st.sampled_from([None, None, 0, 0, 1]))
    def append(self, path: str, content: str | bytes, off: int | None) -> None:
        expect = None if off is None else (self.run(self.oracle.size(path)) or 0) + off
        self.both("append", path, content, expect=expect)

    @rule(path=file_paths, content=contents, if_absent=st.booleans(), off=st.sampled_from([None, None, 0, 1]))
    def write(self, path: str, content: str | bytes, if_absent: bool, off: int | None) -> None:
        expect = None if off is None else (self.run(self.oracle.size(path)) or 0) + off
        self.both("write", path, content, if_absent=if_absent, expect=expect)

    @rule(path=paths)
    def delete(self, path: str) -> None:
        self.run(self.oracle.delete(path))
        self.run(self.store.delete(path))

    @rule(path=file_paths)
    def compact(self, path: str) -> None:
        self.run(self.store.compact(path))

    @rule(path=paths, start=st.integers(0, 30), end=positions)
    def read(self, path: str, start: int, end: int | None) -> None:
        for name, arguments in (("read", ()), ("read_bytes", (start, end)), ("size", ())):
            self.both(name, path, *arguments)

    @rule(path=paths)
    def look(self, path: str) -> None:
        self.both("list", path)
        self.both("exists", path)

    @rule()
    def change_to_another_process(self) -> None:
        # What another process replaced or deleted is noticed after the grace period, or, as here, by a new process.
        self.stores.reverse()
        self.store = self.stores[0]
        self.run(self.store.aclose())

    @invariant()
    def both_hold_the_same(self) -> None:
        assert self.run(files_of(self.store, "/")) == self.run(files_of(self.oracle, "/"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("grace_seconds", [0.0, 3600.0])
def test_an_object_store_matches_a_memory_store(grace_seconds: float) -> None:
    class Machine(ObjectStoreAgainstMemoryStore):
        def open_stores(self) -> list[ObjectStore]:
            service = MemoryService()
            return [ObjectStore(service, grace_seconds=grace_seconds) for _ in range(2)]

    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=30))


@pytest.mark.timeout(300)
def test_an_s3_store_matches_a_memory_store(s3_url: str) -> None:
    class Machine(ObjectStoreAgainstMemoryStore):
        def open_stores(self) -> list[ObjectStore]:
            prefix = f"/{uuid.uuid4().hex}"
            return [store_at(s3_url, prefix) for _ in range(2)]

    run_state_machine_as_test(Machine, settings=settings(max_examples=5, stateful_step_count=20))
