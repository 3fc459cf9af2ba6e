"""Three programs, three servers, eight producers, and faults in turn."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.nats import Cluster

from .judge import Claims, Reader, changed, judged, judged_so_far

__all__ = ("KINDS", "NAME", "Account", "Node", "Order", "run")

NAME = "chaos"
_PRODUCERS = 8
_CALM_SECONDS = 2.0
"""Without a fault, between two of them."""
_FAULT_SECONDS_MAX = 40.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Order:
    """What is to be done."""

    rounds: int
    seed: int
    kinds: tuple[str, ...]
    bug: str | None = None


@dataclass
class Account:
    """What has happened."""

    rounds: int = 0
    seconds: float = 0.0
    acked: int = 0
    unknown: int = 0
    denied: int = 0
    events: int = 0
    shown: int = 0
    takeovers: int = 0
    reasons: int = 0
    outages: dict[str, list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    whys: dict[str, int] = field(default_factory=dict)
    """Why posts were not acknowledged, and programs ended."""

    def note(self, why: str) -> None:
        """Count a reason, whatever numbers are in it."""
        shown = re.sub(r"[0-9a-f]*[0-9][0-9a-f]*", "…", why)[:120]
        self.whys[shown] = self.whys.get(shown, 0) + 1

    def lines(self) -> list[str]:
        """Return it as a table."""
        found = "no fault" if not self.faults else f"{len(self.faults)} FAULTS"
        lines = [
            f"{self.rounds} rounds, {self.seconds:.0f} s: {found}",
            f"posts: {self.acked:,} acknowledged, {self.unknown:,} unknown to who gave them, {self.denied:,} denied",
            f"events: {self.events:,} in the stream, {self.shown:,} shown by hubs and screens",
            f"takeovers: {self.takeovers}, for {self.reasons} deaths, stops and hand-overs of hubs",
        ]
        for kind, seconds in self.outages.items():
            each = sorted(seconds)
            p50, p99 = each[len(each) // 2], each[min(len(each) - 1, int(len(each) * 0.99))]
            lines.append(
                f"{kind:14} {len(each):4} times; without an answer p50 {p50:.2f} s, p99 {p99:.2f}, max {each[-1]:.2f}"
            )
        return [*lines, *(f"FAULT {fault:.300}" for fault in self.faults[:20])]


class Node:
    """A program that runs, or will again."""

    def __init__(self, number: int, command: Callable[[int], list[str]], claims: Claims, folder: Path) -> None:
        self.number = number
        self.run = 0
        self.process: asyncio.subprocess.Process | None = None
        self.leads_since: float | None = None
        self.leads_at = 0.0
        """By the time of day, as it has said."""
        self.is_ready = False
        self.is_stopped = False
        self.ended: list[str] = []
        self.waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._command = command
        self._claims = claims
        self._log = folder / f"node-{number}.log"
        self._reading: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return f"node {self.number}, run {self.run}"

    async def start(self) -> None:
        self.run += 1
        self.is_ready, self.leads_since, self.is_stopped = False, None, False
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command(self.number),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 24,
            )
        self._reading = asyncio.create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        seen = self._claims.seen.setdefault(self.name, [])
        screen = self._claims.screens.setdefault(self.name, [])
        while (line := await process.stdout.readline()).endswith(b"\n"):
            said = json.loads(line)
            match said["what"]:
                case "saw":
                    seen.append((said["seq"], said["id"], said["at"]))
                case "screen":
                    screen.extend((seq, id_) for seq, id_ in said["events"])
                case "sure":
                    for seq in said["seqs"]:
                        self._claims.sure.setdefault(seq, said["at"])
                case "follows":
                    self.is_ready = True
                case "leads":
                    self.leads_since, self.leads_at, self.is_ready = time.monotonic(), said["at"], True
                case "ended":
                    self.ended.append(said["why"])
                    self.leads_since = None
                case _:
                    if (future := self.waiting.pop(said["order"], None)) is not None and not future.done():
                        future.set_result(said)
        self.is_ready, self.leads_since = False, None
        waiting, self.waiting = self.waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_result({"what": "failed", "may": True, "why": "its program is gone"})
        await process.wait()

    def give(self, order: int, **fields: Any) -> asyncio.Future[dict[str, Any]]:
        """Give an order; what came of it is answered, or that it is not known."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[order] = future
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"order": order, **fields}).encode() + b"\n")
        return future

    def signal(self, sign: signal.Signals) -> None:
        assert self.process is not None
        self.is_stopped = sign is signal.SIGSTOP
        self.process.send_signal(sign)

    async def until_gone(self) -> bool:
        """Wait until it has ended; kill it, and return False, if it does not."""
        assert self.process is not None
        assert self._reading is not None
        try:
            async with asyncio.timeout(_FAULT_SECONDS_MAX):
                await self._reading
        except TimeoutError:
            self.ended.append("it had to be killed")
            self.process.kill()
            await self.process.wait()
            return False
        return True


class Chaos:
    """One run."""

    def __init__(self, folder: Path, cluster: Cluster, order: Order) -> None:
        self.claims = Claims()
        self.account = Account()
        self._cluster = cluster
        self._order = order
        self._random = random.Random(order.seed)
        self._nodes = [Node(number, self._command, self.claims, folder) for number in range(3)]
        self._folder = folder
        self._reader = self._made_reader()
        self._orders = 0
        self._channels: list[str] = []
        self._acked_at = time.monotonic()
        self._longest = 0.0
        self._is_over = False
        self._over_at = 0.0

    def _made_reader(self) -> Reader:
        return Reader(self._cluster.url, f"HW_{NAME}", f"hw.{NAME}.journal")

    def _command(self, number: int) -> list[str]:
        words = [sys.executable, "-P", "-m", "chaos.node", self._cluster.url, NAME, str(self._folder / "snapshots")]
        return [*words, f"node{number}", *(["--bug", self._order.bug] if self._order.bug else [])]

    # -- producers --

    async def _produce(self, producer: int) -> None:
        number = 0
        while not self._is_over:
            ready = [node for node in self._nodes if node.is_ready and not node.is_stopped]
            if not ready:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._orders += 1
            key, node = (producer, number), self._random.choice(ready)
            number += 1
            said = await node.give(self._orders, producer=producer, number=key[1], channel=self._channels[producer])
            if said["what"] == "acked":
                self.claims.acked[key] = said["seq"]
                self._note_ack()
            else:
                (self.claims.unknown if said["may"] else self.claims.denied).add(key)
                self.account.note(said["why"])
            await asyncio.sleep(_PAUSE_SECONDS)

    def _note_ack(self) -> None:
        now = time.monotonic()
        self._longest = max(self._longest, now - self._acked_at)
        self._acked_at = now

    # -- faults --

    async def _leader(self, other_than: Node | None = None) -> Node:
        async with asyncio.timeout(_FAULT_SECONDS_MAX):
            while True:
                leading = [each for each in self._nodes if each.leads_since is not None and each is not other_than]
                if leading:
                    return max(leading, key=lambda each: each.leads_since or 0.0)
                if all(each.process is None or each.process.returncode is not None for each in self._nodes):
                    raise AssertionError("no program runs any more")
                await asyncio.sleep(0.01)

    async def kill_hub(self) -> None:
        """SIGKILL the program whose hub leads."""
        node = await self._leader()
        node.signal(signal.SIGKILL)
        await node.until_gone()
        await self._leader(other_than=node)
        await node.start()

    async def stop_hub(self) -> None:
        """SIGSTOP it until another one leads, and let it go on: it believes that it leads."""
        node = await self._leader()
        node.signal(signal.SIGSTOP)
        await self._leader(other_than=node)
        await self._until_acked()
        node.signal(signal.SIGCONT)
        if not await node.until_gone():
            self.account.faults.append(f"{node.name} was stopped, went on, and did not end")
        await node.start()

    async def hand_over(self) -> None:
        """SIGTERM: it closes its hub, and hands over."""
        node = await self._leader()
        node.signal(signal.SIGTERM)
        await node.until_gone()
        await self._leader(other_than=node)
        await node.start()

    async def kill_server(self) -> None:
        """SIGKILL the server that leads the stream; it starts again when there are answers again."""
        number = await asyncio.to_thread(self._stream_leader)
        await asyncio.to_thread(self._cluster.kill, number)
        await self._until_acked()
        await asyncio.sleep(1.0)
        self._cluster.start(number)
        await asyncio.to_thread(self._cluster.wait)

    def _stream_leader(self) -> int:
        for number in range(self._cluster.size):
            found = self._cluster.ask(number, "/jsz?streams=1")
            for account in found.get("account_details", ()):
                for stream in account.get("stream_detail", ()):
                    leader = stream.get("cluster", {}).get("leader", "")
                    if stream["name"] == f"HW_{NAME}" and leader:
                        return int(leader[1:])
        raise AssertionError("no server leads the stream")

    async def _until_acked(self) -> None:
        since = time.monotonic()
        async with asyncio.timeout(_FAULT_SECONDS_MAX):
            while self._acked_at <= since + 0.2:  # noqa: ASYNC110 - it is set often
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _round(self, kind: str) -> None:
        work: Callable[[], Awaitable[None]] = getattr(self, kind)
        self._longest = 0.0
        try:
            await work()
            await self._until_acked()
        except TimeoutError:
            self.account.faults.append(
                f"round {self.account.rounds}, {kind}: nothing was answered for {_FAULT_SECONDS_MAX} s"
            )
        self.account.outages.setdefault(kind, []).append(self._longest)
        self.account.reasons += kind != "kill_server"
        self.account.rounds += 1
        sys.stderr.write(
            f"{self.account.rounds:4} {kind:12} {self._longest:6.2f} s  {len(self.claims.acked):,} acked\n"
        )

    # -- all of it --

    async def run(self) -> None:
        """Run rounds until all are done, or there is no answer any more."""
        await asyncio.gather(*(node.start() for node in self._nodes))
        leader = await self._leader()
        said = await leader.give(0, producers=_PRODUCERS)
        self._channels = said["channels"]
        async with asyncio.timeout(_FAULT_SECONDS_MAX):
            while not all(node.is_ready for node in self._nodes):  # noqa: ASYNC110 - processes set it
                await asyncio.sleep(_PAUSE_SECONDS)
        reading = asyncio.create_task(self._reader.run())
        producers = [asyncio.create_task(self._produce(number)) for number in range(_PRODUCERS)]
        try:
            for number in range(self._order.rounds):
                await asyncio.sleep(_CALM_SECONDS * self._random.uniform(0.5, 1.5))
                await self._round(self._order.kinds[number % len(self._order.kinds)])
                self.account.faults += judged_so_far(self._reader.stored)
                if self.account.faults:
                    break
            await asyncio.sleep(_CALM_SECONDS)
            self._is_over = True
            await asyncio.wait(producers, timeout=0 if self.account.faults else _FAULT_SECONDS_MAX)
            await asyncio.sleep(_CALM_SECONDS)
        finally:
            self._over_at = time.time()  # from here on each program that is closed has another one lead
            for task in (*producers, reading):
                task.cancel()
            for node in self._nodes:
                if node.process is not None and node.process.returncode is None:
                    node.signal(signal.SIGKILL if self.account.faults else signal.SIGTERM)
                    await node.until_gone()

    async def judge(self) -> Account:
        """Read the stream, and say what is untrue."""
        account, claims = self.account, self.claims
        await self._reader.finish()
        stored, end = self._reader.stored, self._made_reader()
        await end.finish()
        account.faults += changed(stored, end.stored)
        before_end = [fence for fence in stored.fences if fence[2] < self._over_at]
        account.faults += judged(stored, claims, account.reasons + 1, until=self._over_at)
        for why in (why for node in self._nodes for why in node.ended):
            account.note(f"ended: {why}")
        account.acked, account.unknown, account.denied = map(len, (claims.acked, claims.unknown, claims.denied))
        account.events = len(stored.events)
        account.shown = sum(map(len, claims.seen.values())) + sum(map(len, claims.screens.values()))
        account.takeovers = len(before_end) - 1
        return account


KINDS = ("kill_hub", "kill_server", "stop_hub", "hand_over")


async def run(folder: Path, cluster: Cluster, order: Order) -> Account:
    """Do it, and return what has happened."""
    begun = time.monotonic()
    os.environ["PYTHONUNBUFFERED"] = "1"
    chaos = Chaos(folder, cluster, order)
    await chaos.run()
    account = await chaos.judge()
    account.seconds = time.monotonic() - begun
    return account
