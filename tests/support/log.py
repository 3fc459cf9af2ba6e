"""What the tests of log share."""

from __future__ import annotations

import asyncio
import base64
import builtins
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import anyio

from hubwire import codec
from hubwire.log import Log, LogReader, Record, chain_value
from hubwire.ports import ChangeCallback, ChangeSubscription, Hold
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock

MEBIBYTE = 1024 * 1024


FIRST = "/log/log/00000000000000000000.jsonl"


class Spy:
    """A store that notes every call, lets appends through only while its gate is open, and fails when told to.

    It cannot be held, as object stores cannot; :class:`HoldableSpy` can.
    """

    def __init__(self, inner: MemoryStore | None = None) -> None:
        self.inner = inner or MemoryStore()
        self.calls: builtins.list[tuple[str, str]] = []
        self.read_sizes: builtins.list[int] = []
        self.appended: builtins.list[bytes] = []
        self.failures: dict[str, builtins.list[Exception]] = {}
        self.gate = anyio.Event()
        self.gate.set()

    def close_gate(self) -> None:
        self.gate = anyio.Event()

    def count(self, method: str, path: str = "") -> int:
        """Return how many calls there were whose path contains this."""
        return sum(each == method and path in its_path for each, its_path in self.calls)

    def _note(self, method: str, path: str) -> None:
        self.calls.append((method, path))
        if failures := self.failures.get(method):
            raise failures.pop(0)

    async def read(self, path: str) -> str | None:
        self._note("read", path)
        return await self.inner.read(path)

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        self._note("read_bytes", path)
        content = await self.inner.read_bytes(path, start, end)
        self.read_sizes.append(len(content or b""))
        return content

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        self._note("read_range", path)
        return await self.inner.read_range(path, start, end)

    async def size(self, path: str) -> int | None:
        self._note("size", path)
        return await self.inner.size(path)

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._note("write", path)
        await self.gate.wait()
        await self.inner.write(path, content, if_absent=if_absent, expect=expect)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        self._note("append", path)
        await self.gate.wait()
        offset = await self.inner.append(path, content, expect=expect)
        self.appended.append(content.encode() if isinstance(content, str) else content)
        return offset

    async def list(self, path: str = "/") -> builtins.list[str]:
        self._note("list", path)
        return await self.inner.list(path)

    async def exists(self, path: str) -> bool:
        self._note("exists", path)
        return await self.inner.exists(path)

    async def delete(self, path: str) -> None:
        self._note("delete", path)
        await self.inner.delete(path)

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        return await self.inner.on_change(path, callback)

    async def aclose(self) -> None:
        await self.inner.aclose()


class HoldableSpy(Spy):
    async def hold(self, path: str) -> Hold:
        self._note("hold", path)
        await self.gate.wait()
        return await self.inner.hold(path)


def log_on(store: Any, **settings: Any) -> Log:
    return Log(store, "/log", clock=ManualClock(), **settings)


def body(number: int, size: int = 0) -> bytes:
    return codec.encode_fields({"at": "now", "n": number, "text": "x" * size})


def event_body(seq: int) -> bytes:
    return codec.encode_fields({"at": "now", "hub": "a hub", "kind": "a.b", "seq": seq})


async def records(store: Any, start: int = 0) -> list[Record]:
    reader = LogReader(store, "/log")
    await reader.seek_index(start)
    found: list[Record] = []
    while some := await reader.read():
        found += some
    return found


async def numbers(store: Any) -> list[Any]:
    """Return the ``n`` of every record, in order; the kind of the log's own."""
    fields = [json.loads(record.line) for record in await records(store)]
    return [each.get("n", each.get("kind")) for each in fields]


async def settled(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """Return the results of the tasks; the class of what they raised."""
    done = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else each for each in done]


# --- rotation ---------------------------------------------------------------------------------------------------------


def check_chain(found: Sequence[Record]) -> None:
    """Check every line as the documentation says: h = base64url(SHA-256(previous h || line without h)[:16])."""
    previous = b""
    for record in found:
        matched = re.fullmatch(rb'(\{.*),"h":"([A-Za-z0-9_-]{22})"\}', record.line)
        assert matched is not None
        digest = hashlib.sha256(previous + matched[1] + b"}").digest()
        assert base64.urlsafe_b64encode(digest[:16]).rstrip(b"=") == matched[2]
        assert record.chain == matched[2] == chain_value(previous, matched[1] + b"}")
        previous = matched[2]
