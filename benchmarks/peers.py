"""AG2's hub and audit log, at the work that is nearest to the one that a row measures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from ag2.knowledge import DiskKnowledgeStore, MemoryKnowledgeStore
from ag2.network import Envelope, Hub, Passport, Resume
from ag2.network.hub import AuditLog
from logs import RECORD
from measure import elapsed, percentile


class Accepts:
    """Accepts every invitation to a channel, for the invited agent."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def on_envelope_posted(self, envelope: Envelope, metadata: Any) -> None:
        if envelope.event_type == "ag2.channel.invite" and envelope.audience:
            await self._hub.post_envelope(
                Envelope(
                    channel_id=metadata.channel_id,
                    sender_id=envelope.audience[0],
                    audience=None,
                    event_type="ag2.channel.invite.ack",
                    event_data={},
                )
            )


class AuditPosts:
    """Records each post: AG2 itself audits only channels, so a program that wants posts audited writes this."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def on_envelope_posted(self, envelope: Envelope, metadata: Any) -> None:
        about = {"channel_id": metadata.channel_id, "sender_id": envelope.sender_id, "at": envelope.created_at}
        await self._hub.audit_log.append({"kind": "posted", "envelope_id": envelope.envelope_id, **about})


class CountPosts:
    def __init__(self) -> None:
        self.posts = 0

    async def on_envelope_posted(self, envelope: object, metadata: object) -> None:  # noqa: ARG002 - a hook of AG2's
        self.posts += 1


class SlowPosts:
    async def on_envelope_posted(self, envelope: object, metadata: object) -> None:  # noqa: ARG002 - a hook of AG2's
        await asyncio.sleep(0.001)


class CountTasks:
    def __init__(self) -> None:
        self.events = 0

    async def on_task_event(self, task_id: str, kind: str, payload: dict[str, Any]) -> None:  # noqa: ARG002
        self.events += 1


@asynccontextmanager
async def conversation(store: Any) -> AsyncIterator[tuple[Hub, Envelope]]:
    """Yield a hub, and an envelope to copy for posting to an open channel of two agents."""
    async with await Hub.open(store, ttl_sweep_interval=0, expectation_sweep_interval=0) as hub:
        accepts: Any = Accepts(hub)
        hub.register_listener(accepts)
        ids = []
        for name in ("one", "other"):
            passport = await hub.register_identity(Passport(name=name), Resume())
            ids.append(passport.agent_id or "")
        metadata = await hub.create_channel(creator_id=ids[0], manifest_type="conversation", participants=ids)
        hub.unregister_listener(accepts)
        yield hub, said(metadata.channel_id, ids[0])


def said(channel_id: str, sender_id: str) -> Envelope:
    return Envelope(
        channel_id=channel_id,
        sender_id=sender_id,
        audience=None,
        event_type="ag2.msg.text",
        event_data={"text": "x" * 130},
    )


def ag2_whole_way(root: Path, count: int, producers: int) -> float:
    """Post envelopes, with an audit record for each, counted by a listener and a subscriber of the audit log."""
    seconds = 0.0

    async def work() -> None:
        nonlocal seconds
        async with conversation(DiskKnowledgeStore(root)) as (hub, first):
            counts, told = CountPosts(), [0]
            for listener in (AuditPosts(hub), counts):
                hub.register_listener(listener)  # type: ignore[arg-type]  # any object will do

            async def tell(_: dict[str, Any]) -> None:
                told[0] += 1

            hub.audit_log.subscribe(tell)

            async def produce() -> None:
                for _ in range(count // producers):
                    await hub.post_envelope(said(first.channel_id, first.sender_id))

            start = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for _ in range(producers):
                    tasks.start_soon(produce)
            seconds = time.perf_counter() - start
            assert counts.posts == told[0] == count

    asyncio.run(work())
    return seconds / count


def ag2_fan_out(listeners: int, count: int) -> float:
    """Report a task to listeners, one call each, without stamps, order and storage."""

    async def work() -> None:
        hub = Hub(MemoryKnowledgeStore())
        counters = [CountTasks() for _ in range(listeners)]
        for counter in counters:
            hub.register_listener(counter)  # type: ignore[arg-type]  # any object will do
        payload = {"number": 1, "text": "x" * 40}
        for _ in range(count):
            await hub.fire_task_event("t", "progress", payload)
        assert all(counter.events == count for counter in counters)

    return elapsed(work) / count


def ag2_post_wait(percent: int, count: int = 500) -> float:
    """How long one post after the other takes beside a listener that takes a millisecond; memory store."""

    async def work() -> float:
        waits = []
        async with conversation(MemoryKnowledgeStore()) as (hub, first):
            hub.register_listener(SlowPosts())  # type: ignore[arg-type]  # any object will do
            for _ in range(count):
                start = time.perf_counter()
                await hub.post_envelope(said(first.channel_id, first.sender_id))
                waits.append(time.perf_counter() - start)
        return percentile(waits, percent)

    return asyncio.run(work())


def ag2_appends_in_memory(records: int) -> float:
    async def work() -> float:
        store = MemoryKnowledgeStore()
        await store.write("/audit/audit.jsonl", (json.dumps(RECORD, sort_keys=True) + "\n") * records)
        audit = AuditLog(store)
        start = time.perf_counter()
        for _ in range(20):
            await audit.append(RECORD)
        return (time.perf_counter() - start) / 20

    return asyncio.run(work())
