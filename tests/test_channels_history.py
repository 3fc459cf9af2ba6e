"""What was said in a channel can be read by those who may, however short the journal is, and after the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire import Channel, History, Hub, Limits
from hubwire.errors import CommandRejected, ConfigurationError, LogDamaged, NotFound, StoreFull
from hubwire.events import ToolCalled, ToolCompleted, ToolFailed
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import advance, copy_of, until, until_tidy
from support.odd import Stranger

SMALL = Limits(ring=64, snapshot_bytes=20_000, journal_bytes_max=200_000)
"""A journal that is truncated soon."""


def contents(history: History) -> list[Any]:
    return [entry.content for entry in history]


async def talk(hub: Hub, count: int, *, text: str = "", **settings: Any) -> Channel:
    """Open a channel in which two agents post so often; what is in their inboxes is acked."""
    agents = [hub.agents.find(name) or await hub.agents.register(name) for name in "ab"]
    channel = await hub.channels.open(agents, **settings)
    for number in range(count):
        await channel.post(agents[number % 2], f"{number}{text}", to=[])
    return channel


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["in memory", "on a store"])
async def test_a_history_has_the_newest_posts_in_order(store: KnowledgeStore | None) -> None:
    """With names and roles; pages lead back to the first post, and none is there twice."""
    async with Hub(store, ring=64) as hub:
        channel = await talk(hub, 1500)
        page = await channel.history(limit=7)
        assert contents(page) == [str(number) for number in range(1493, 1500)]
        assert (page[0].name, page[0].role, page[0].kind) == ("b", "respondent", "envelope.posted")
        assert page[0].seq < page[1].seq
        assert page.missing == 0
        read = contents(page)
        while page.before is not None:
            page = await channel.history(limit=50, before=page.before)
            read = contents(page) + read
        assert read == [str(number) for number in range(1500)]


async def test_a_history_outlives_the_journal(tmp_path: Any) -> None:
    """Truncated again and again, with other channels between, and over a restart and a crash."""
    async with Hub(FileStore(tmp_path), limits=SMALL) as hub:
        channel = await talk(hub, 50)
        a = hub.agents.find("a")
        assert a is not None
        for number in range(50, 250):
            await channel.post(a, str(number), to=[])
            await talk(hub, 1, text="x" * 200)
        journal = await until_tidy(hub)
        assert journal.first_seq > 300
        assert contents(await channel.history(limit=1000)) == [str(number) for number in range(250)]
    hub = Hub(FileStore(tmp_path), limits=SMALL)
    await hub.start()
    try:
        channel = hub.channels.get(channel.id)
        history = await channel.history(limit=1000)
        assert contents(history) == [str(number) for number in range(250)]
        assert history.missing == 0
    finally:
        await hub.abort()
    async with Hub(FileStore(tmp_path), limits=SMALL) as hub:
        assert len(await hub.channels.get(channel.id).history(limit=1000)) == 250


async def test_a_history_that_is_not_kept_counts_what_is_missing() -> None:
    """The bound is in bytes, and what it cost is said."""
    store = MemoryStore()
    limits = Limits(ring=64, snapshot_bytes=20_000, journal_bytes_max=100_000, history_bytes_max=30_000)
    async with Hub(store, limits=limits) as hub:
        channel = await talk(hub, 4000, text="x" * 20)
        await until_tidy(hub)
        history = await channel.history(limit=10_000)
        assert history.missing + len(history) == 4000
        assert history.missing > 0
        sizes = [await store.size(f"/journal/history/{name}") or 0 for name in await store.list("/journal/history")]
        assert sum(sizes) <= 30_000


class NoRoomForHistory(MemoryStore):
    """Has no room for what histories need."""

    async def write(self, path: str, content: str | bytes, **settings: Any) -> None:
        if "/history/" in path:
            raise StoreFull("no room", path=path)
        await super().write(path, content, **settings)


async def test_a_history_without_room_counts_what_is_missing() -> None:
    """The journal is truncated all the same, or the disk would fill up with it."""
    store = NoRoomForHistory()
    async with Hub(store, limits=SMALL) as hub:
        channel = await talk(hub, 1500, text="x" * 20)
        assert (await until_tidy(hub)).first_seq > 0
        history = await channel.history(limit=10_000)
        assert history.missing + len(history) == 1500
        assert history.missing > 0
        assert hub.health().healthy


async def test_damage_of_what_was_kept_is_reported() -> None:
    """One flipped bit: the history names the file, and the hub goes on."""
    store = MemoryStore()
    async with Hub(store, limits=SMALL) as hub:
        channel = await talk(hub, 3000, text="x" * 20)
        await until_tidy(hub)
        path = f"/journal/history/{(await store.list('/journal/history'))[0]}"
        content = bytearray(await store.read_bytes(path) or b"")
        content[len(content) // 4] ^= 1
        await store.write(path, bytes(content))
        with pytest.raises(LogDamaged, match="is not what was kept") as caught:
            await channel.history(limit=10_000)
        assert caught.value.path == path
        await store.delete(path)
        with pytest.raises(LogDamaged, match="is missing"):
            await channel.history(limit=10_000)
        assert len(await channel.history(limit=10)) == 10
        assert hub.health().healthy


async def test_a_late_participant_reads_what_was_said_to_all() -> None:
    """Not what others were told alone; and a channel may show it nothing older than itself."""
    async with Hub() as hub:
        a, b, late = [await hub.agents.register(name) for name in ("a", "b", "late")]
        for rule, seen in (("whole", ["to all", "afterwards"]), ("since_joined", ["afterwards"])):
            channel = await hub.channels.open([a, b], history=rule)
            await channel.post(a, "to all")
            await channel.post(a, "between us", to=[b])
            with pytest.raises(CommandRejected, match="not a participant"):
                await channel.history(agent=late)
            await channel.join(late)
            await channel.post(b, "afterwards")
            assert contents(await channel.history(agent=late)) == seen
            assert contents(await channel.history(agent=b)) == ["to all", "between us", "afterwards"]
            assert contents(await channel.history()) == ["to all", "between us", "afterwards"]


async def test_a_history_has_who_came_and_went() -> None:
    """By patterns of kinds."""
    async with Hub() as hub:
        channel = await talk(hub, 1)
        late = await hub.agents.register("late")
        await channel.join(late)
        await channel.leave(late)
        await channel.close("done")
        kinds = [entry.kind for entry in await channel.history(kinds=["channel.*", "envelope.posted"])]
        joined, removed = "channel.participant_joined", "channel.participant_removed"
        assert kinds == ["channel.opened", "envelope.posted", joined, removed, "channel.closed"]
        assert [entry.kind for entry in await channel.history(kinds="channel.participant_*")] == [joined, removed]


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["in memory", "on a store"])
async def test_a_channel_is_remembered_after_its_end(store: MemoryStore | None) -> None:
    """Its facts, its end, and what was said; after a restart too."""
    async with Hub(store) as hub:
        channel = await talk(hub, 3, topic="t", labels={"k": "v"})
        participants = channel.participants
        await channel.close("done")
        again = hub.channels.recall(channel.id)
    hub = hub if store is None else Hub(await copy_of(store))
    if store is not None:
        await hub.start()
        again = hub.channels.recall(channel.id)
    assert (again.topic, again.labels, again.participants) == ("t", {"k": "v"}, participants)
    assert (again.is_open, again.expected, again.type, again.state) == (False, (), "conversation", None)
    assert contents(await again.history()) == ["0", "1", "2"]
    ended = await again.ended()
    assert (ended.how, ended.reason, ended.winner) == ("closed", "done", None)
    with pytest.raises(NotFound):
        hub.channels.get(channel.id)
    await hub.aclose()


async def test_the_end_of_a_channel_can_be_waited_for() -> None:
    """Of an auction with its winner; any number may wait, and each may be cancelled."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        a, b, c = [await hub.agents.register(name) for name in "abc"]
        channel = await hub.channels.open([a, b, c], type="auction", ttl_seconds=10)
        await channel.post(a, "call")
        await channel.post(b, {"bid": 5})
        assert (channel.state["bidder"], channel.state["bid"]) == (b.id, 5)
        waiting = [asyncio.create_task(channel.ended()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await advance(clock, 12)
        endings = await asyncio.gather(*waiting[1:], channel.ended())
        assert {(ending.how, ending.winner) for ending in endings} == {("expired", b.id)}
        assert endings[0].result == {"winner": b.id, "bid": 5}


async def test_only_a_bounded_number_of_ended_channels_is_remembered() -> None:
    """The newest of each type, and those of which an envelope is in an inbox; nothing is left when all have gone."""
    async with Hub() as hub:
        a, b = [await hub.agents.register(name) for name in "ab"]
        unread = await hub.channels.open([a, b])
        await unread.post(a, "?")
        await unread.close()
        other = await hub.channels.open([a], type="broadcast")
        await other.close()
        forgotten = await hub.channels.open([a, b])
        await forgotten.close()
        for _ in range(1000):
            channel = await hub.channels.open([a])
            await channel.close()
        assert hub.channels.recall(unread.id).topic == ""
        assert hub.channels.recall(other.id).type == "broadcast"
        with pytest.raises(NotFound, match="ended long ago"):
            hub.channels.recall(forgotten.id)
        with pytest.raises(NotFound):
            await forgotten.history()
        with pytest.raises(NotFound):
            await forgotten.ended()
        async for delivery in b.inbox():
            await delivery.ack()
            break
        with pytest.raises(NotFound):
            hub.channels.recall(unread.id)


async def test_a_view_is_shaped_for_a_model() -> None:
    """Roles by who looks, names, and calls of tools folded to a line that can be expanded."""
    async with Hub() as hub:
        a, b = [await hub.agents.register(name) for name in "ab"]
        channel = await hub.channels.open([a, b])
        await channel.post(a, "please look")
        about: dict[str, Any] = {"channel_id": channel.id, "agent_id": b.id}
        for event in (
            ToolCalled(tool="search", call_id="1", arguments={"q": "x"}, **about),
            ToolCompleted(tool="search", call_id="1", result="found", **about),
            ToolCalled(tool="fetch", call_id="2", **about),
            ToolFailed(tool="fetch", call_id="2", error_type="Timeout", **about),
        ):
            await hub.emit(event)
        await channel.post(b, {"text": "there"})
        await channel.post(b, {"text": "", "tool_calls": [{"function": {"name": "search"}}, {"name": "fetch"}]})
        view = await channel.view(agent=b)
        assert [(each["role"], each["name"], each["content"]) for each in view] == [
            ("user", "a", "please look"),
            ("tool", "b", "[2 tool calls: search, fetch (failed: Timeout)]"),
            ("assistant", "b", "there"),
            ("assistant", "b", "[2 tool calls: search, fetch]"),
        ]
        assert [each.get("is_folded", False) for each in view] == [False, True, False, True]
        assert [each["role"] for each in await channel.view(agent=a)] == ["assistant", "user", "user"]
        expanded = await channel.view(expand=[view[1]["seq"], view[3]["seq"]])
        assert '"arguments":{"q":"x"}' in expanded[1]["content"].replace(" ", "")
        assert '"tool_calls"' in expanded[-1]["content"]
        assert expanded[-1]["role"] == "user"


async def test_a_view_is_bounded_in_bytes() -> None:
    """The newest messages count, a long one is cut, and the first says how to read on."""
    async with Hub() as hub:
        channel = await talk(hub, 20, text="ü" * 500)
        view = await channel.view(bytes_max=3500)
        assert [each["content"][0] for each in view] == ["[", "1", "1", "1"]
        assert f"before={view[1]['seq']}" in view[0]["content"]
        earlier = await channel.view(bytes_max=3500, before=view[1]["seq"])
        assert earlier[-1]["content"].startswith("16")
        (_, cut) = await channel.view(bytes_max=100)
        assert "bytes are folded" in cut["content"]
        assert cut["is_folded"]
        assert len(await channel.view(limit=3)) == 4


HOSTILE: list[Any] = [0, -1, "7", 1.5, True, 10**30, b"x", Stranger()]


@pytest.mark.parametrize("odd", HOSTILE, ids=repr)
async def test_odd_arguments_are_refused(odd: Any) -> None:
    """In words, and without a change."""
    async with Hub() as hub:
        channel = await talk(hub, 1)
        for call in (channel.history, channel.view):
            with pytest.raises(CommandRejected, match="limit"):
                await call(limit=odd)
        with pytest.raises((CommandRejected, ConfigurationError)):
            await channel.history(kinds=odd)
        with pytest.raises((CommandRejected, NotFound)):
            await channel.history(agent=odd)
        with pytest.raises(CommandRejected, match="history"):
            await hub.channels.open([hub.agents.list()[0]], history=odd)
        with pytest.raises((CommandRejected, NotFound)):
            hub.channels.recall(odd)


async def test_an_uncommitted_post_is_not_in_the_history() -> None:
    """What a crash can undo is not recalled."""
    async with Hub(MemoryStore()) as hub:
        channel = await talk(hub, 1)
        post = asyncio.create_task(channel.post(channel.participants[0], "later", to=[]))
        await until(lambda: hub.statistics().applied > hub.statistics().committed or post.done())
        assert "later" not in contents(await channel.history()) or post.done()
        await post
        assert contents(await channel.history()) == ["0", "later"]
