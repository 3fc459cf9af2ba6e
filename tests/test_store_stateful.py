from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hubwire.errors import StoreError
from hubwire.stores import Durability, FileStore, MemoryStore
from support import files_of, outcome

T = TypeVar("T")

# Few names, so that paths meet; "a.x" and "a-" sort beside "a/".
paths = st.lists(st.sampled_from(["a", "b", "a.x", "a-"]), max_size=3).map(lambda elements: "/" + "/".join(elements))
file_paths = paths.filter(lambda path: path != "/")
contents = st.one_of(st.binary(max_size=20), st.text(max_size=10, alphabet="aé\n\r\u2028\0"))
positions = st.one_of(st.none(), st.integers(0, 30))


class FileStoreAgainstMemoryStore(RuleBasedStateMachine):
    """Whatever is done to both, both answer the same and hold the same."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp(prefix="hubwire-test-")
        self.runner = asyncio.Runner()
        self.oracle = MemoryStore()
        self.stores = [FileStore(self.root, Durability.NONE), FileStore(self.root, Durability.NONE)]
        self.store = self.stores[0]

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.aclose())
        self.runner.close()
        shutil.rmtree(self.root)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def both(self, name: str, path: str, *args: object, **kwargs: object) -> None:
        expected = self.run(outcome(getattr(self.oracle, name)(path, *args, **kwargs)))
        found = self.run(outcome(getattr(self.store, name)(path, *args, **kwargs)))
        if self.is_undefined(path) and expected[0] == "raised":
            # A file below a file, and a file where a directory is: both refuse, in words of their own.
            assert found[0] == "raised"
            assert issubclass(expected[1], StoreError)
            assert issubclass(found[1], StoreError)
        else:
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
        self.both("delete", path)

    @rule(path=paths, start=st.integers(0, 30), end=positions)
    def read(self, path: str, start: int, end: int | None) -> None:
        self.both("read", path)
        self.both("read_bytes", path, start, end)
        self.both("read_range", path, start, end)
        self.both("size", path)

    @rule(path=paths)
    def look(self, path: str) -> None:
        self.both("list", path)
        self.both("exists", path)

    @rule()
    def change_to_the_other_store_object(self) -> None:
        self.stores.reverse()
        self.store = self.stores[0]

    @rule()
    def close(self) -> None:
        self.run(self.store.aclose())

    @invariant()
    def both_hold_the_same(self) -> None:
        assert self.run(files_of(self.store, "/")) == self.run(files_of(self.oracle, "/"))


TestFileStoreAgainstMemoryStore = pytest.mark.slow(pytest.mark.timeout(300)(FileStoreAgainstMemoryStore.TestCase))
FileStoreAgainstMemoryStore.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
