"""How long a takeover takes after a kill, of a hub with many events: `python -P -m chaos.takeover`, warm and cold."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

from support.nats import Cluster, cluster_at

from .judge import Claims
from .run import NAME, Node

_SECONDS_MAX = 120.0


async def _leads(nodes: list[Node], *, other_than: Node | None = None) -> Node:
    async with asyncio.timeout(_SECONDS_MAX):
        while True:
            for node in nodes:
                if node.leads_since is not None and node is not other_than:
                    return node
            await asyncio.sleep(0.005)


async def _takeovers(cluster: Cluster, folder: Path, number: int, events: int, channels: int, *, is_cold: bool) -> None:
    def command(number: int) -> list[str]:
        words = [sys.executable, "-P", "-m", "chaos.node", cluster.url, NAME, str(folder / "snapshots"), f"n{number}"]
        return [*words, "--snapshot-bytes", str(16 * 1024 * 1024), *(["--cold"] if is_cold else [])]

    claims = Claims()
    nodes = [Node(each, command, claims, folder) for each in range(2)]
    for node in nodes:
        await node.start()
    if events:
        leader = await _leads(nodes)
        await leader.give(0, fill=events, channels=channels)
    seconds = list[float]()
    for _ in range(number):
        leader = await _leads(nodes)
        async with asyncio.timeout(_SECONDS_MAX):
            while not all(node.is_ready for node in nodes):
                if ended := [why for node in nodes for why in node.ended]:
                    raise AssertionError(f"a program has ended: {ended}")
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        killed_at = time.time()
        leader.signal(signal.SIGKILL)
        other = await _leads(nodes, other_than=leader)
        seconds.append(other.leads_at - killed_at)
        await leader.until_gone()
        await leader.start()
        for each in (claims.seen, claims.screens, claims.sure):
            each.clear()  # it would fill the memory
    for node in nodes:
        node.signal(signal.SIGKILL)
        await node.until_gone()
    seconds.sort()
    sys.stdout.write(
        f"{'cold' if is_cold else 'warm'}: {number} takeovers after a kill; the next one leads after"
        f" p50 {seconds[number // 2]:.2f} s, p99 and max {seconds[-1]:.2f} s, min {seconds[0]:.2f} s\n"
    )
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Fill a hub, and kill those that lead it."""
    parser = argparse.ArgumentParser(prog="chaos.takeover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to work; by default a new folder, which is deleted")
    parser.add_argument("--channels", type=int, default=1000)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        with cluster_at(folder, 3) as cluster:
            sizes = (given.events, given.channels)
            asyncio.run(_takeovers(cluster, folder, given.rounds, *sizes, is_cold=False))
            asyncio.run(_takeovers(cluster, folder, given.rounds, 0, 0, is_cold=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
