"""What the tests of fanout share."""

from __future__ import annotations

from typing import Any

from hubwire import Attachment, Event, Hub, event


@event("fanout.tried")
class Tried(Event):
    number: int = 0


async def attached(hub: Hub, listener: object, **settings: Any) -> Attachment:
    """Attach a listener, and return when it has caught up and everything about it is committed."""
    attachment = hub.attach(listener, **settings)
    await attachment.ready()
    await hub.flush()
    return attachment
