"""Lesson 5: a viewer loses its connection, comes back with its cursor, and misses no event; secrets stay inside."""

from __future__ import annotations

import asyncio

from hubwire import Event, GenericEvent, Hub
from hubwire.listeners import LiveTail
from hubwire.listeners.live import Subscriber, TailItem
from hubwire.stores import MemoryStore


def hide_key(event: Event) -> Event:
    if isinstance(event, GenericEvent) and "key" in event.data:
        data = {**event.data, "key": "***"}
        return GenericEvent(kind=event.kind, seq=event.seq, id=event.id, at=event.at, hub=event.hub, data=data)
    return event


async def watch(viewer: Subscriber, count: int) -> str:
    """Show ``count`` events; return the cursor that a browser would keep (SSE: ``id:`` and ``Last-Event-ID``)."""
    cursor = viewer.cursor
    while count:
        item = await anext(viewer)
        if isinstance(item, TailItem):
            print(item.seq, item.event.kind, item.line[-45:].decode())
            cursor, count = item.cursor, count - 1
        else:
            print(f"missed {item.first_seq} to {item.last_seq}")
    return cursor


async def main() -> None:
    store, tail = MemoryStore(), LiveTail(redactor=hide_key)
    async with Hub(store, listeners=[tail]) as hub:
        viewer = tail.subscribe(pattern="build.*")
        for number in range(4):
            await hub.emit(GenericEvent(kind="build.finished", data={"number": number, "key": "s3cr3t"}))
        cursor = await watch(viewer, 2)
        del viewer
        print("connection lost at", cursor[:12], "- viewers left:", tail.statistics().subscribers)

    async with Hub(store, listeners=[tail]) as hub:  # even the program was restarted in between
        again = tail.subscribe(cursor, pattern="build.*")
        await hub.emit(GenericEvent(kind="build.finished", data={"number": 4, "key": "s3cr3t"}))
        await watch(again, 3)


asyncio.run(main())
