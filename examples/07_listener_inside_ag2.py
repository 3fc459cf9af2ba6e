"""Lesson 7: listeners inside a hub of AG2's. Needs ``pip install ag2==1.2.1``.

The audit log takes the place of AG2's own, and writes the same records: on disk when the call that led to them returns,
chained, rotated, and whole after a crash. The models are scripted here; yours go where ``TestConfig`` is.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ag2 import Agent
from ag2.network import EV_CHANNEL_CLOSED, Hub
from ag2.testing import TestConfig

from hubwire import BaseHubListener
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import FileStore


class Conversation(BaseHubListener):
    """Prints the text of each envelope. Names and arguments of the hooks are AG2's."""

    async def on_envelope_posted(self, envelope: Any, metadata: Any) -> None:
        if text := envelope.event_data.get("text"):
            print(f"{metadata.manifest.type}: {text}")


async def main() -> None:
    store = FileStore("./data")  # AG2's hub keeps its own state on it, too
    async with AuditLog(store) as audit, await Hub.open(store) as hub:
        hub.replace_audit_log(audit)  # type: ignore[arg-type]  # any object with its methods will do
        hub.register_listener(Conversation())
        async with (
            await hub.register(Agent("planner", config=TestConfig())) as planner,
            await hub.register(Agent("coder", config=TestConfig("It was a missing comma."))) as coder,
        ):
            channel = await planner.open(type="consulting", target=coder.agent_id)
            await channel.send("why is the build red?")
            await planner.wait_for_channel_event(
                channel_id=channel.channel_id, predicate=lambda envelope: envelope.event_type == EV_CHANNEL_CLOSED
            )
        print([record["kind"] for record in await audit.read_all()][-5:])
    print("verified:", (await verify(store)).records, "records")


asyncio.run(main())
