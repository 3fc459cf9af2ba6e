"""What the tests of durable share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hubwire import (
    Attachment,
    Duty,
    Event,
    Hub,
)
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers

POSITION = "/journal/positions/slow"


def attach(hub: Hub, listener: Any, **settings: Any) -> Attachment:
    return hub.attach(listener, **{"duty": Duty.DURABLE, "name": "slow", "pattern": "number.said", **settings})


async def kept_position(store: MemoryStore, path: str = POSITION) -> int | None:
    content = await store.read_bytes(path)
    return None if content is None else msgspec.json.decode(content)["seq"]


class Failing(Recorder):
    """Fails at the numbers it was told, for as long as it is told."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad = set(bad)
        self.calls = 0

    async def on_events(self, events: Sequence[Event]) -> None:
        self.calls += 1
        if self.bad.intersection(numbers(events)):
            raise ValueError("bad number")
        await super().on_events(events)
