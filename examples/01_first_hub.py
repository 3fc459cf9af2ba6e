"""Lesson 1: two agents talk, and every event is on disk.

Run it twice: the second time the hub goes on where the first one stopped.
"""

from __future__ import annotations

import asyncio
import sys

from hubwire import Hub
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import FileStore


async def main(directory: str) -> None:
    store = FileStore(directory)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        planner = hub.agents.find("planner") or await hub.agents.register("planner")
        coder = hub.agents.find("coder") or await hub.agents.register("coder", capabilities=["python"])
        channel = await hub.channels.open([planner, coder], topic="fix the build")
        await channel.post(planner, {"text": "please fix the build"}, to=[coder])
        async for delivery in coder.inbox():
            print("coder reads:", delivery.content["text"])
            await delivery.ack()
            break
        await channel.close()

    whole = await verify(store)
    print(f"{whole.events} events, none missing, none altered")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "./hubwire-example"))
