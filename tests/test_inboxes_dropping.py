"""Full inboxes that drop their oldest envelopes: what is reported about that, and what a crash in between leaves."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Hub, InboxOverflow, InboxRule, scope
from hubwire.events import EnvelopeDropped, EnvelopePosted, Event
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, pending
from support import files_of, store_of

RULE = {"inbox": InboxRule(capacity=2, overflow=InboxOverflow.DROP_OLDEST)}
ORIGIN: dict[str, Any] = {"source": "elsewhere", "source_id": "4711", "occurred_at": "2026-01-02T03:04:05Z"}


async def fill(hub: Hub, way: str, number: int, **more: Any) -> None:
    if way == "posted":
        channel = next(iter(hub.channels.list())) if hub.channels.list() else await hub.channels.open(["boss", "full"])
        await channel.post("boss", number, **more)
    else:
        await hub.topics.publish("news", number, sender="boss", **more)


async def inhabited(hub: Hub) -> None:
    await hub.agents.register("boss")
    await hub.topics.subscribe(await hub.agents.register("full", rule=RULE), "news")


@pytest.mark.parametrize("way", ["posted", "published"])
async def test_what_is_dropped_follows_what_drops_it(way: str) -> None:
    """Both have the same cause, matter and origin."""
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        await inhabited(hub)
        for number in range(2):
            await fill(hub, way, number)
        channel = await hub.channels.open(["boss"])
        cause = await channel.post("boss", "the cause")
        with scope(correlation_id="the matter"):
            await fill(hub, way, 2, caused_by=cause, **ORIGIN)
        await hub.flush()
        posted, dropped = recorder.events[-2:]
        assert (type(posted), type(dropped)) == (EnvelopePosted, EnvelopeDropped)
        assert [about(each) for each in (posted, dropped)] == [about(posted)] * 2
        assert about(posted)[:3] == (cause.id, "the matter", "elsewhere")
        assert [each.content for each in pending(hub, hub.agents.named("full"))] == [1, 2]


def about(event: Event) -> tuple[Any, ...]:
    return (event.causation_id, event.correlation_id, event.source, event.source_id, event.occurred_at)


@pytest.mark.parametrize("overflow", [InboxOverflow.DROP_NEWEST, InboxOverflow.REJECT])
async def test_what_finds_no_room_has_the_cause(overflow: InboxOverflow) -> None:
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        for name in ("boss", "other"):
            await hub.agents.register(name)
        await hub.agents.register("full", rule={"inbox": InboxRule(capacity=1, overflow=overflow)})
        channel = await hub.channels.open(["boss", "other", "full"])
        cause = await channel.post("boss", "the cause")
        await channel.post("boss", "more", caused_by=cause, **ORIGIN)
        await hub.flush()
        events = recorder.events[-2:]
        assert [about(each) for each in events] == [about(events[0])] * 2
        assert about(events[0])[0] == cause.id


@pytest.mark.parametrize("way", ["posted", "published"])
async def test_a_kill_drops_none_without_its_successor(way: str) -> None:
    """Wherever the journal is cut, the inbox holds as many as it may, or one more until the next one comes."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await inhabited(hub)
        for number in range(4):
            await fill(hub, way, number)
        files = await files_of(store)
    (segment,) = [name for name in files if name.startswith("/journal/log/") and name.endswith(".jsonl")]
    content = files[segment]
    found: list[list[Any]] = []
    for end in [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]:
        async with Hub(await store_of({**files, segment: content[:end]})) as hub:
            if (agent := hub.agents.find("full")) is not None:
                held = [each.content for each in pending(hub, agent)]
                if not found or found[-1] != held:
                    found.append(held)
                if len(held) == 3:
                    await fill(hub, way, 9)
                    assert [each.content for each in pending(hub, agent)] == [held[-1], 9]
    assert found == [[], [0], [0, 1], [0, 1, 2], [1, 2], [1, 2, 3], [2, 3]]
