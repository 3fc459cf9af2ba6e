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
    StoreJournal,
)
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers

BESIDE = "/journal/beside"


def attach(hub: Hub, listener: Any, **settings: Any) -> Attachment:
    return hub.attach(listener, **{"duty": Duty.DURABLE, "name": "slow", "pattern": "number.said", **settings})


async def positions_path(store: MemoryStore) -> str:
    """Return the path of the file with the positions."""
    (path,) = [f"{BESIDE}/{name}" for name in await store.list(BESIDE) if name.startswith("positions-")]
    return path


async def kept_position(store: MemoryStore, name: str = "slow") -> int | None:
    kept = (await StoreJournal(store).kept()).get("positions")
    return None if kept is None else msgspec.json.decode(kept)["positions"].get(name)


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
