"""Journals: a hub on three servers of NATS JetStream that sync each message, beside one on a FileStore.

Run it from a checkout where hubwire and its extra ``nats`` are installed: ``python benchmarks/jetstream.py``. It starts
the servers itself, on loopback; all of them and the FileStore share one disk.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hubwire import GenericEvent, Hub, StoreJournal
from hubwire.ports import Journal
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from support.nats import Cluster, cluster_at

TEXT = "x" * 200


async def emitted(journal: Journal, producers: int, events: int) -> float:
    """Return how many events a second are committed."""
    async with Hub(journal=journal) as hub:

        async def produce() -> None:
            for number in range(events // producers):
                await hub.emit(GenericEvent(kind="order.placed", data={"number": number, "text": TEXT}))

        begin = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(producers):
                tasks.create_task(produce())
        return events / (time.perf_counter() - begin)


def main(rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder, cluster_at(Path(folder) / "nats") as cluster:
        print(f"{'producers':>9}  {'FileStore':>12}  {'JetStream R3':>12}  ratio")
        for producers, events in ((1, 500), (32, 6_400), (256, 25_600)):
            pairs = [one(Path(folder), cluster, producers, events, number) for number in range(rounds)]
            ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(each / other for each, other in pairs)
            print(f"{producers:>9}  {theirs:>10,.0f}/s  {ours:>10,.0f}/s  {ratio:5.2f}")


def one(folder: Path, cluster: Cluster, producers: int, events: int, number: int) -> tuple[float, float]:
    name = f"b{producers}-{number}"
    makers: list[Callable[[], Journal]] = [
        lambda: JetStreamJournal(cluster.url, name, store=MemoryStore(), monitoring=cluster.monitoring),
        lambda: StoreJournal(FileStore(folder / name)),
    ]
    on_jetstream, on_files = (asyncio.run(emitted(make(), producers, events)) for make in makers)
    return on_jetstream, on_files


if __name__ == "__main__":
    main()
