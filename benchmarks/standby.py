"""How fast a hub follows, and how long it takes to lead: ``python benchmarks/standby.py [EVENTS] [CHANNELS]``.

With a journal in memory, so that what is measured is the hub's own work: decoding, applying, taking over.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from time import perf_counter

from hubwire import GenericEvent, Hub
from hubwire.stores import MemoryStore
from hubwire.testing import MemoryHistory, MemorySharedJournal


async def main(events: int, channels: int) -> None:
    history = MemoryHistory(MemoryStore())
    leader = Hub(journal=MemorySharedJournal(history))
    await leader.start()
    one, other = await leader.agents.register("one"), await leader.agents.register("other")
    for _ in range(channels):
        await leader.channels.open([one, other])
    warm = Hub(journal=MemorySharedJournal(history))
    await warm.follow()
    begun = perf_counter()
    for number in range(events):
        await leader.emit(GenericEvent(kind="app.tick", data={"n": number, "text": "x" * 200}))
    end = leader.statistics().committed
    while warm.statistics().committed < end:  # noqa: ASYNC110 - what makes it true sets no event
        await asyncio.sleep(0)
    print(f"{events / (perf_counter() - begun):,.0f} events/s emitted and followed in one process")
    late = Hub(journal=MemorySharedJournal(history))
    begun = perf_counter()
    await late.follow()
    seconds = perf_counter() - begun
    print(f"{end / seconds:,.0f} events/s applied by a hub that begins to follow ({seconds:.2f} s for {end:,})")
    await late.aclose()
    await leader.abort()
    gc.collect()
    begun = perf_counter()
    await warm.lead()
    print(f"{(perf_counter() - begun) * 1000:.1f} ms to lead, with {end:,} events and {channels:,} open channels")
    await warm.aclose()
    cold = Hub(journal=MemorySharedJournal(history))
    begun = perf_counter()
    await cold.start()
    print(f"{(perf_counter() - begun) * 1000:.1f} ms to start cold, for comparison")
    await cold.aclose()


if __name__ == "__main__":
    asyncio.run(main(*map(int, (sys.argv[1:] or ["100000", "1000"]))))
