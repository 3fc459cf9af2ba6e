"""The `hubwire` command on an object store: what it does in a directory it does in a bucket."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from hubwire import GenericEvent, Hub
from hubwire.listeners.audit import AuditLog
from hubwire.log import log_exists
from hubwire.stores import open_store
from support import count_independently

pytestmark = pytest.mark.slow

AIRLINE_SUMMARY = "200 channels, 4,144 envelopes, 1,164 tool calls, 1,164 completed, 0 failed, 200 other facts"
CONVERSATIONS = 40
"""So many are enough to be killed in their midst."""


@pytest.fixture
def url(s3_url: str) -> str:
    """A store of its own for each test."""
    return s3_url.replace("?", f"/{uuid.uuid4().hex}?")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-P", "-m", "hubwire", *map(str, arguments)]


def hubwire(*arguments: str | Path) -> str:
    run = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def import_into(url: str, file: Path) -> str:
    return hubwire("import", file, "--format", "openai-chat", "--store", url)


def counted(url: str) -> dict[str, int]:
    """What an import leaves in the log, without what hubs say of themselves, which depends on how often they ran."""
    numbers: dict[str, Any] = json.loads(hubwire("stats", "--json", url))
    assert numbers["damaged"] == 0
    ours = ("envelope.", "tool.", "channel.", "agent.")
    return {kind: count for kind, count in numbers["kinds"].items() if kind.startswith(ours)}


@pytest.fixture
def part(shared_data: Path, tmp_path: Path) -> tuple[Path, dict[str, int]]:
    """A file of the first conversations, and how often each kind comes of them."""
    lines = gzip.decompress((shared_data / "airline.jsonl.gz").read_bytes()).split(b"\n")[:CONVERSATIONS]
    file = tmp_path / "part.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file, count_independently(lines)


def test_the_airline_file_is_imported_whole_and_once(shared_data: Path, url: str) -> None:
    file = shared_data / "airline.jsonl.gz"
    expected = count_independently(gzip.decompress(file.read_bytes()).split(b"\n")[:-1])
    assert import_into(url, file).startswith(f"{AIRLINE_SUMMARY}; 0 of these 6,872 were already there")
    assert counted(url) == expected
    assert import_into(url, file).startswith(f"{AIRLINE_SUMMARY}; 6,872 of these 6,872 were already there")
    assert counted(url) == expected


def test_a_log_in_a_bucket_can_be_read(part: tuple[Path, dict[str, int]], url: str) -> None:
    """What was imported into a bucket can be tailed, shown, counted and verified."""
    file, expected = part
    import_into(url, file)
    records = [json.loads(line) for line in hubwire("tail", url, "-n", "all", "-o", "json").split("\n")[:-1]]
    assert Counter(record["kind"] for record in records if record["kind"] in expected) == expected
    last = next(record for record in reversed(records) if record["kind"] == "tool.called")
    assert last["id"] in hubwire("tail", url, "-n", "1", "--kind", "tool.called", "-o", "json")
    for event in (last["id"], str(last["seq"])):
        assert last["call_id"] in hubwire("show", event, url)
    assert re.search(rf"^records +{len(records):,}$", hubwire("stats", url), re.MULTILINE)
    assert f"verified {len(records)} records" in hubwire("verify", url)


@pytest.mark.parametrize("records", [200, 700])
def test_a_killed_import_can_be_repeated(records: int, part: tuple[Path, dict[str, int]], url: str) -> None:
    """An import into a bucket that is killed and run again ends at the same numbers."""
    file, expected = part
    anyio.run(kill_import_after, records, file, url)
    again = import_into(url, file)
    total = int(re.findall(r"of these ([\d,]+) ", again)[0].replace(",", ""))
    assert f"{total:,} of these {total:,} were already there" in import_into(url, file)
    assert counted(url) == expected
    hubwire("verify", url)


async def kill_import_after(records: int, file: Path, url: str) -> None:
    """Kill an import when so many records are in its journal."""
    process = await anyio.open_process(command("import", file, "--format", "openai-chat", "--store", url))
    store = open_store(url)
    segment = "/journal/log/00000000000000000000.jsonl"
    while (await store.read_bytes(segment) or b"").count(b"\n") < records:
        assert process.returncode is None
    process.kill()
    await process.wait()
    assert await log_exists(store, "/journal")
    assert b'"closed":true' not in (await store.read_bytes("/journal/clean") or b"")


async def test_a_tail_follows_a_log_in_a_bucket(url: str, tmp_path: Path) -> None:
    async with await anyio.open_process(command("tail", "-f", "-o", "json", url)) as tail:
        file = tmp_path / "one.jsonl"
        await anyio.Path(file).write_text('{"messages": [{"role": "user", "content": "followed"}]}\n')
        await anyio.to_thread.run_sync(import_into, url, file)
        assert tail.stdout is not None
        told = b""
        async for piece in tail.stdout:
            told += piece
            if b'"hub.stopped"' in told:
                break
        tail.terminate()
    kinds = [json.loads(line)["kind"] for line in told.split(b"\n") if line.endswith(b"}")]
    assert kinds.count("envelope.posted") == 1
    assert kinds[-1] == "hub.stopped"


# --- a service that is away for a while -----------------------------------------------------------------------------


class Line:
    """The way to a service, which can be cut and mended: then its port refuses connections, or takes them again."""

    def __init__(self, url: str) -> None:
        self._service = urlsplit(parse_qs(urlsplit(url).query)["endpoint"][0])
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.url = url

    async def mend(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        self.url = self.url.replace(self._service.netloc, f"127.0.0.1:{self.port}")

    async def cut(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for each in self._open:
            each.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        others = await asyncio.open_connection(self._service.hostname, self._service.port)
        self._open |= {writer, others[1]}
        with suppress(ConnectionError):
            await asyncio.gather(_passed_on(reader, others[1]), _passed_on(others[0], writer))
        for each in (writer, others[1]):
            self._open.discard(each)
            each.close()


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


async def test_a_tail_goes_on_after_the_service_was_away(url: str) -> None:
    """It says that it tries again, and prints what came meanwhile: nothing twice, and nothing left out."""
    line = Line(url)
    await line.mend()
    store = open_store(url)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(GenericEvent(kind="own.done", data={"n": 0}))
        await hub.flush()
        arguments = command("tail", "-f", "-n", "1", "-o", "json", "--kind", "own.*", line.url)
        async with await anyio.open_process(arguments) as tail:
            assert tail.stdout is not None
            assert tail.stderr is not None
            lines, said = BufferedByteReceiveStream(tail.stdout), BufferedByteReceiveStream(tail.stderr)

            async def number() -> int:
                found: int = json.loads(await lines.receive_until(b"\n", 1 << 16))["data"]["n"]
                return found

            seen = [await number()]
            await hub.emit(GenericEvent(kind="own.done", data={"n": 1}))
            seen.append(await number())
            await line.cut()
            for n in range(2, 6):
                await hub.emit(GenericEvent(kind="own.done", data={"n": n}))
            await hub.flush()
            retrying = await said.receive_until(b"\n", 1 << 16)
            assert retrying.startswith(b"hubwire: retrying S3 (1 s): cannot ")
            await line.mend()
            await hub.emit(GenericEvent(kind="own.done", data={"n": 6}))
            while seen[-1] != 6:
                seen.append(await number())
            tail.terminate()
    assert seen == [*range(7)]
    await line.cut()


async def test_a_tail_waits_for_a_service_that_is_not_there_yet(url: str) -> None:
    store = open_store(url)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(GenericEvent(kind="own.done", data={"n": 0}))
        await hub.flush()
    line = Line(url)
    await line.mend()
    await line.cut()
    async with await anyio.open_process(command("tail", "-f", "-n", "1", "--kind", "own.*", line.url)) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        said = BufferedByteReceiveStream(tail.stderr)
        assert b"retrying S3 (1 s)" in await said.receive_until(b"\n", 1 << 16)
        await line.mend()
        assert b"own.done" in await tail.stdout.receive()
        tail.terminate()
    await line.cut()


@pytest.mark.parametrize("verb", ["query", "stats", "tail"])
async def test_what_reads_once_fails_soon_where_the_service_is_away(url: str, verb: str) -> None:
    """It says for how long it has tried, and what to look at."""
    line = Line(url)
    await line.mend()
    await line.cut()
    done = await anyio.run_process(command(verb, line.url), check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    said = done.stderr.decode()
    assert re.fullmatch(r"hubwire: cannot \w+ .* tried for 10 s, at last: .*See that the service is up.*\n", said), said
