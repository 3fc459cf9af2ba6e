"""Following: how long after its acknowledgement a follower has an event, and what telling followers costs the writer.

Run it as ``python benchmarks/following.py``, where ``benchmarks/jetstream.py`` runs: it starts three servers itself.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hubwire import Event, GenericEvent
from hubwire.stores import MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from support.nats import Cluster, cluster_at

TEXT = "x" * 200
AT = "2026-11-21T09:30:00.000001Z"
HUB = "01a223a6000070008000000000000000"


def made(first: int, count: int) -> list[Event]:
    return [
        GenericEvent(seq=seq, id=f"{seq:032x}", at=AT, hub=HUB, kind="order.placed", data={"n": seq, "text": TEXT})
        for seq in range(first, first + count)
    ]


def journal_of(cluster: Cluster, name: str) -> JetStreamJournal:
    return JetStreamJournal(cluster.url, name, store=MemoryStore())


async def appended(cluster: Cluster, name: str, size: int, batches: int, *, is_told: bool) -> float:
    """Return how many events a second are appended."""
    journal = journal_of(cluster, name)
    await journal.open()
    events = [made(size * number, size) for number in range(batches)]
    begin = time.perf_counter()
    for batch in events:
        await journal.append(batch)
        if is_told:
            journal.committed(journal.next_seq)
    rate = size * batches / (time.perf_counter() - begin)
    await journal.aclose()
    return rate


async def delays(cluster: Cluster, name: str, size: int, batches: int, pause: float) -> list[float]:
    """Return how many milliseconds after its acknowledgement a follower has each batch."""
    journal, acked, found = journal_of(cluster, name), dict[int, float](), list[float]()
    await journal.open()

    async def follow() -> None:
        async for events in journal_of(cluster, name).follow():
            for event in events:
                if event.seq in acked:
                    found.append(1000 * (time.perf_counter() - acked[event.seq]))
            if events and events[-1].seq == size * batches - 1:
                return

    following = asyncio.create_task(follow())
    for number in range(batches):
        await journal.append(made(size * number, size))
        acked[size * (number + 1) - 1] = time.perf_counter()
        journal.committed(journal.next_seq)
        await asyncio.sleep(pause)
    await following
    await journal.aclose()
    return found


def main(rounds: int = 7) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder, cluster_at(Path(folder) / "nats") as cluster:
        print(f"{'batch':>6}  {'untold':>11}  {'told':>11}  ratio")
        for size, batches in ((1, 500), (256, 60)):
            pairs = []
            for number in range(rounds):
                rates = {}
                for is_told in (True, False) if number % 2 else (False, True):
                    name = f"t{size}-{number}-{is_told}"
                    rates[is_told] = asyncio.run(appended(cluster, name, size, batches, is_told=is_told))
                pairs.append((rates[False], rates[True]))
            untold, told = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(with_it / without for without, with_it in pairs)
            print(f"{size:>6}  {untold:>9,.0f}/s  {told:>9,.0f}/s  {ratio:5.2f}")
        print(f"{'batch':>6}  {'pause':>6}  {'p50':>8}  {'p99':>8}")
        for size, batches, pause in ((1, 500, 0.0), (1, 300, 0.01), (256, 60, 0.0)):
            found = sorted(asyncio.run(delays(cluster, f"d{size}-{pause}".replace(".", ""), size, batches, pause)))
            p50, p99 = found[len(found) // 2], found[len(found) * 99 // 100]
            print(f"{size:>6}  {pause:>4g} s  {p50:>5.1f} ms  {p99:>5.1f} ms")


if __name__ == "__main__":
    main()
