"""S3Store when there is trouble: lost answers, late requests, paused writers; and what it costs when there is none."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import attrs
import pytest

from hubwire import GenericEvent, Hub
from hubwire.errors import AppendConflict, Fenced, HubFailed, StoreError, StoreUnavailable
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.log import LogReader
from hubwire.stores.s3 import S3Store
from hubwire.testing import ManualClock
from support import store_at

pytestmark = pytest.mark.slow

SEEDS = int(os.environ.get("HUBWIRE_TEST_S3_SEEDS", "3"))
"""With how many seeds the trouble is tried; twenty take four minutes."""


# --- trouble --------------------------------------------------------------------------------------------------------


@attrs.frozen
class Asked:
    method: str
    target: str

    @property
    def kind(self) -> str:
        """PUT, GET, …; or LIST, which S3 charges as it does a PUT."""
        return "LIST" if "list-type=" in self.target else self.method


@attrs.define
class _Message:
    head: bytes
    body: bytes


ANSWERS = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 Slow Down\r\nContent-Length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>",
    "409": b"HTTP/1.1 409 Conflict\r\nContent-Length: 54\r\n\r\n<Error><Code>ConditionalRequestConflict</Code></Error>",
}


class Proxy:
    """Passes HTTP requests on to a server, counts them, and makes trouble on the way.

    ``rate`` of the requests meet a fault, chosen by ``seed``. A fault of a PUT is an answer of ours in place of the
    server's (``500``, ``503``, ``409``), a ``reset``, an answer that is ``lost`` or replaced (``lied``) when the server
    has done as asked, or a request that lands ``late``: after the client was cut off and has asked for other things.
    """

    def __init__(self, url: str, *, seed: int = 0, rate: float = 0.0) -> None:
        self.upstream = parse_qs(urlsplit(url).query)["endpoint"][0]
        self._random = random.Random(seed)
        self.rate = rate
        self.asked: list[Asked] = []
        self.faults: dict[str, int] = {}
        self.gate: Callable[[Asked], bool] = lambda _: False
        """Requests for which it is true are kept back, on the way to the server, until :meth:`release`."""
        self.kinds: list[str] | None = None
        """The faults to choose from; by default all that are possible."""
        self._gates: list[asyncio.Event] = []
        self.kept_back = threading.Event()
        self._late: list[tuple[int, _Message]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None

    def start(self) -> str:
        self._thread.start()
        endpoint: str = self._call(self._start()).result()
        return endpoint

    def stop(self) -> None:
        self._call(self._stop()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._release)

    def land_what_is_late(self) -> None:
        self._call(self._land(len(self.asked) + 1000)).result()

    def count(self, kind: str) -> int:
        return sum(asked.kind == kind for asked in self.asked)

    def _call(self, call: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def _release(self) -> None:
        self.gate = lambda _: False
        for gate in self._gates:
            gate.set()

    async def _start(self) -> str:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def _stop(self) -> None:
        assert self._listening is not None
        self._listening.close()
        await asyncio.sleep(0)  # What has just connected is accepted.
        self._release()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        # Not in a `finally` of its own: a task that is cancelled before its first step never gets there.
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):  # The client went away, or the test is over.
            while (request := await _read_message(reader)) is not None:
                if not await self._handle(request, writer):
                    break

    async def _handle(self, request: _Message, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; tell whether the connection is still good."""
        method, target, _ = request.head.split(b" ", 2)
        asked = Asked(method.decode(), target.decode())
        self.asked.append(asked)
        await self._land(len(self.asked))
        if self.gate(asked):
            self._gates.append(gate := asyncio.Event())
            self.kept_back.set()
            await gate.wait()
        fault = self._choose(asked)
        if fault == "late":
            self._late.append((len(self.asked) + self._random.randint(1, 8), request))
        elif fault in ANSWERS:
            writer.write(ANSWERS[fault])
            await writer.drain()
        if fault in ("late", "reset") or fault in ANSWERS:
            return fault in ANSWERS
        answer = await self._pass_on(request)
        if fault == "lost":
            return False
        if fault == "lied":
            answer = ANSWERS["500"]
        elif fault == "cut":
            answer = answer[: -max(1, len(answer) // 4)]
        writer.write(answer)
        await writer.drain()
        return fault != "cut"

    async def _land(self, now: int) -> None:
        due = [late for at, late in self._late if at <= now]
        self._late = [(at, late) for at, late in self._late if at > now]
        for late in due:
            await self._pass_on(late)

    def _choose(self, asked: Asked) -> str | None:
        if self._random.random() >= self.rate:
            return None
        kinds = ["500", "503", "reset", "lost"]
        kinds += ["409", "lied", "late"] if asked.method == "PUT" else ["cut"] if asked.method == "GET" else []
        fault = self._random.choice(self.kinds or kinds)
        self.faults[fault] = self.faults.get(fault, 0) + 1
        return fault

    async def _pass_on(self, request: _Message) -> bytes:
        parts = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        with closing(writer):
            writer.write(request.head + request.body)
            is_head = request.head.startswith(b"HEAD ")
            answer = await _read_message(reader, bodiless=is_head)
        assert answer is not None
        return answer.head + answer.body


async def _read_message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> _Message | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    if bodiless or re.match(rb"HTTP/1.\d (204|304)", head):
        return _Message(head, b"")
    if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        body = b""
        while True:
            size = await reader.readuntil(b"\r\n")
            body += size + await reader.readexactly(int(size.partition(b";")[0], 16) + 2)
            if body.endswith(b"0\r\n\r\n") and int(size.partition(b";")[0], 16) == 0:
                return _Message(head, body)
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return _Message(head, await reader.readexactly(int(length[1])) if length else b"")


@asynccontextmanager
async def troubled(url: str, *, seed: int = 0, rate: float = 0.0) -> AsyncIterator[tuple[Proxy, str]]:
    """Put a proxy before the server; yield it and the URL that leads through it."""
    proxy = Proxy(url, seed=seed, rate=rate)
    endpoint = await anyio.to_thread.run_sync(proxy.start)
    try:
        yield proxy, url.replace(proxy.upstream, endpoint)
    finally:
        await anyio.to_thread.run_sync(proxy.stop)


def clock_of_the_server() -> ManualClock:
    return ManualClock(start_ns=time.time_ns())


# --- lost and late --------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_six_writers_append_through_trouble(s3_url: str, prefix: str, seed: int) -> None:
    """All is there once and in order."""

    async def append_all(store: S3Store, writer: int) -> None:
        for batch in range(60):
            await store.append("/log", f"{writer}:{batch}\n")

    async with troubled(s3_url, seed=seed, rate=0.18) as (proxy, url):
        async with anyio.create_task_group() as tasks:
            for writer in range(6):
                tasks.start_soon(append_all, store_at(url, prefix), writer)
        await anyio.to_thread.run_sync(proxy.land_what_is_late)
        assert set(proxy.faults) == {"500", "503", "409", "reset", "lost", "lied", "late", "cut"}
        whole = await store_at(url, prefix).read("/log")
    assert whole is not None
    assert whole == await store_at(s3_url, prefix).read("/log")
    lines = whole.splitlines()
    assert len(lines) == 360
    for writer in range(6):
        assert [line for line in lines if line.startswith(f"{writer}:")] == [f"{writer}:{n}" for n in range(60)]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_creation_through_trouble_has_one_winner(s3_url: str, prefix: str, seed: int) -> None:
    async def create(url: str, content: str) -> bool:
        try:
            await store_at(url, prefix).write("/a", content, if_absent=True)
        except StoreError:
            return False
        return True

    async with troubled(s3_url, seed=seed, rate=0.3) as (_, url):
        created = await asyncio.gather(*(create(url, str(n)) for n in range(8)))
    assert created.count(True) == 1
    assert await store_at(s3_url, prefix).read("/a") == str(created.index(True))


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_hub_works_through_trouble(s3_url: str, prefix: str, seed: int) -> None:
    """So does its audit log, and both go on after a restart."""
    async with troubled(s3_url, seed=seed, rate=0.1) as (_, url):
        for start in (0, 20):
            store = store_at(url, prefix)
            async with Hub(store, listeners=[AuditLog(store)]) as hub:
                for n in range(start, start + 20):
                    await hub.emit(GenericEvent(kind="test.done", data={"n": n}))
        assert (await verify(store_at(url, prefix))).records > 40
    records = await AuditLog(store_at(s3_url, prefix)).read_all()
    assert [record["data"]["n"] for record in records if record["kind"] == "test.done"] == list(range(40))
    seqs = [record["seq"] for record in records if "seq" in record]
    assert seqs == list(range(len(seqs)))


async def test_an_import_works_through_trouble(s3_url: str, prefix: str, tmp_path: Path) -> None:
    """It ends at its numbers and prints no errors."""
    file = tmp_path / "chats.jsonl"
    messages = [{"role": ("user", "assistant")[n % 2], "content": f"text {n}"} for n in range(20)]
    await anyio.Path(file).write_text(f"{json.dumps({'messages': messages})}\n" * 30)

    async def hubwire(*arguments: str) -> str:
        command = [sys.executable, "-P", "-m", "hubwire", *arguments]
        done = await anyio.run_process(command, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    async with troubled(s3_url.replace("?", f"{prefix}?"), seed=1, rate=0.1) as (proxy, url):
        command = ("import", str(file), "--format", "openai-chat", "--store", url)
        numbers = "30 channels, 600 envelopes, 0 tool calls, 0 completed, 0 failed"
        assert (await hubwire(*command)).startswith(f"{numbers}; 0 of these 630 were already there")
        await anyio.to_thread.run_sync(proxy.land_what_is_late)
        assert (await hubwire(*command)).startswith(f"{numbers}; 630 of these 630 were already there")
        tailed = await hubwire("tail", "-n", "all", "-o", "json", url)
        assert sum(proxy.faults.values()) > 10
    kinds = [json.loads(line)["kind"] for line in tailed.split("\n")[:-1]]
    assert (kinds.count("envelope.posted"), kinds.count("channel.closed")) == (600, 30)
    await verify(store_at(s3_url, prefix))


async def test_a_missing_answer_is_requested_again(s3_url: str, prefix: str) -> None:
    async with troubled(s3_url) as (proxy, url):
        store = store_at(url, prefix, request_seconds=0.3)
        await store.append("/a", "one")
        proxy.gate = lambda asked: not proxy.kept_back.is_set()
        assert await store.append("/a", "two") == 3
        proxy.release()
        assert await store.append("/a", "three") == 6
        assert proxy.count("LIST") == 1
    assert await store_at(s3_url, prefix).read("/a") == "onetwothree"


async def test_an_absent_service_is_reported(s3_url: str, prefix: str) -> None:
    """It is reported after the deadline."""
    async with troubled(s3_url) as (proxy, url):
        store = store_at(url, prefix, deadline_seconds=0.3)
        await store.append("/a", "one")
        proxy.rate, proxy.kinds = 1.0, ["503"]
        with pytest.raises(StoreUnavailable, match=r"tried for 0\.3 s, at last: .* 503 .*SlowDown"):
            await store.append("/a", "two")
        assert proxy.count("PUT") > 4
        proxy.rate = 0.0
        assert await store.append("/a", "three") == 3
    assert await store_at(s3_url, prefix).read("/a") == "onethree"


@pytest.mark.parametrize("bucket", ["no-such-bucket"])
async def test_a_permanent_error_is_reported_at_once(s3_url: str, bucket: str) -> None:
    async with troubled(s3_url.replace("bucket", bucket, 1)) as (proxy, url):
        store = store_at(url, "/a")
        calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: store.write("/a", "x"),
            lambda: store.append("/a", "x"),
            lambda: store.read("/a"),
            lambda: store.list("/"),
        ]
        for call in calls:
            with pytest.raises(StoreError, match="NoSuchBucket") as caught:
                await call()
            assert not isinstance(caught.value, StoreUnavailable)
        assert len(proxy.asked) <= 2 * len(calls)


# --- paused ---------------------------------------------------------------------------------------------------------


async def test_a_paused_writer_goes_on_after_a_compaction(s3_url: str, prefix: str) -> None:
    """It goes on at the end of the file."""
    paused, busy = store_at(s3_url, prefix), store_at(s3_url, prefix)
    await paused.append("/a", "1")
    for n in "2345":
        await busy.append("/a", n)
    await busy.compact("/a")
    assert await busy.append("/a", "6") == 5
    assert await paused.append("/a", "7") == 6
    assert await busy.append("/a", "8") == 7
    for store in (paused, busy, store_at(s3_url, prefix)):
        assert await store.read("/a") == "12345678"


async def test_a_paused_writer_goes_on_after_the_grace(s3_url: str, prefix: str) -> None:
    """It goes on at the end of the file."""
    clock = clock_of_the_server()
    paused, busy = (store_at(s3_url, prefix, clock=clock, grace_seconds=600) for _ in range(2))
    await paused.append("/a", "1")
    for n in "2345":
        await busy.append("/a", n)
    await busy.compact("/a")
    clock.advance(700)
    await busy.compact("/a")
    with pytest.raises(AppendConflict):
        await paused.append("/a", "x", expect=1)
    assert await paused.append("/a", "6") == 5
    assert await store_at(s3_url, prefix).read("/a") == "123456"


async def test_a_very_late_append_claims_nothing(s3_url: str, prefix: str) -> None:
    """An append that was under way for the grace period does not say that it happened."""
    clock = clock_of_the_server()
    async with troubled(s3_url) as (proxy, url):
        paused = store_at(url, prefix, clock=clock, grace_seconds=600, request_seconds=60)
        busy = store_at(s3_url, prefix, clock=clock, grace_seconds=600)
        await paused.append("/a", "1")
        proxy.gate = lambda asked: asked.kind == "PUT"
        append = asyncio.ensure_future(paused.append("/a", "x"))
        await anyio.to_thread.run_sync(proxy.kept_back.wait)
        for n in "2345":
            await busy.append("/a", n)
        await busy.compact("/a")
        clock.advance(700)
        await busy.compact("/a")
        proxy.release()
        with pytest.raises(StoreUnavailable, match="compacted meanwhile"):
            await append
        assert await paused.append("/a", "6") == 5
    assert await store_at(s3_url, prefix).read("/a") == "123456"


async def test_a_paused_hub_is_fenced(s3_url: str, prefix: str) -> None:
    """Another one took over meanwhile."""
    event = GenericEvent(kind="test.done")
    paused = Hub(store_at(s3_url, prefix))
    await paused.start()
    await paused.emit(event)
    async with Hub(store_at(s3_url, prefix)) as newcomer:
        with pytest.raises(HubFailed) as caught:
            await paused.emit(event)
        assert isinstance(caught.value.__cause__, Fenced)
        with pytest.raises(HubFailed):
            await paused.aclose()
        await newcomer.emit(event)
    records = await LogReader(store_at(s3_url, prefix), "/journal").read()
    assert sum(b'"kind":"test.done"' in record.line for record in records) == 2


# --- what it costs --------------------------------------------------------------------------------------------------


async def test_a_batch_costs_one_put(s3_url: str, prefix: str) -> None:
    async with troubled(s3_url) as (proxy, url):
        store = store_at(url, prefix)
        size = 0
        for n in range(100):
            size = await store.append("/a", f"{n}\n", expect=size) + len(f"{n}\n")
        assert proxy.count("PUT") <= 110
        assert proxy.count("LIST") <= 1
        proxy.asked.clear()
        await asyncio.gather(*(store.append("/a", "x") for _ in range(100)))
        assert [asked.kind for asked in proxy.asked] == ["PUT"] * 100


async def test_a_batch_of_an_audit_log_costs_one_put(s3_url: str, prefix: str) -> None:
    async with troubled(s3_url) as (proxy, url), AuditLog(store_at(url, prefix)) as audit:
        await audit.append({"kind": "test.begun"})
        proxy.asked.clear()
        for n in range(50):
            await audit.append({"kind": "test.done", "n": n})
        assert [asked.kind for asked in proxy.asked] == ["PUT"] * 50
        proxy.asked.clear()
        await asyncio.gather(*(audit.append({"kind": "test.done", "n": n}) for n in range(500)))
        assert {asked.kind for asked in proxy.asked} == {"PUT"}
        assert len(proxy.asked) < 10


async def test_a_compacted_file_takes_two_requests(s3_url: str, prefix: str) -> None:
    store = store_at(s3_url, prefix)
    for n in range(50):
        await store.append("/a", f"{n}\n")
    await store.compact("/a")
    async with troubled(s3_url) as (proxy, url):
        assert await store_at(url, prefix).read("/a") == "".join(f"{n}\n" for n in range(50))
        assert sorted(asked.kind for asked in proxy.asked) == ["GET", "LIST"]
