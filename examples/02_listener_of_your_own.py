"""Lesson 2: a listener of your own; one that is slow or fails does not harm the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from hubwire import Event, GenericEvent, Hub


class KindCounter:
    """Counts kinds of events. A listener needs no base class: ``on_events`` is the whole protocol."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    async def on_events(self, events: Sequence[Event]) -> None:
        self.kinds.update(event.kind for event in events)


async def main() -> None:
    counter = KindCounter()
    async with Hub(listeners=[counter]) as hub:

        @hub.on("user.*")
        def broken(event: Event) -> None:
            raise RuntimeError(f"cannot handle {event.kind}")

        for number in range(3):
            await hub.emit(GenericEvent(kind="user.login", data={"number": number}))
        await hub.flush()
        statistics = {each.name: each for each in hub.statistics().attachments}
        print("counted:", counter.kinds["user.login"], "failed:", statistics["broken"].failed)
        print("reported as events:", counter.kinds["listener.failed"] > 0)


asyncio.run(main())
