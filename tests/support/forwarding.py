"""Hubs of which one leads, and another one gives commands to it over a link that may lose what it carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs

from hubwire import Agent, Channel, Delivery, Hub
from hubwire.errors import HubFailed
from hubwire.stores import MemoryStore
from hubwire.testing import LocalLink, MemoryHistory, MemorySharedJournal, history

from . import until
from .followers import Replica

__all__ = ("LossyLink", "Team", "all_of", "hubs_of_one_journal", "kinds", "team_of", "two_hubs")


async def all_of(hub: Hub) -> list[Any]:
    """All its events, of any kind."""
    return list(await history(hub))


@asynccontextmanager
async def two_hubs(link: LocalLink | None = None, **settings: Any) -> AsyncIterator[tuple[Hub, Hub]]:
    """A hub that leads, and one that follows."""
    link = link or LocalLink()
    leader = Hub(**settings)
    leader.connect(link)
    async with leader, Replica(leader, link) as follower:
        await until(lambda: bool(link._handlers))
        yield leader, follower


@asynccontextmanager
async def hubs_of_one_journal(link: LocalLink, **settings: Any) -> AsyncIterator[tuple[Hub, Hub]]:
    """One that leads, and one that follows its journal."""
    events = MemoryHistory(MemoryStore(), beat_seconds=0.02)
    leader, follower = (Hub(journal=MemorySharedJournal(events), **settings) for _ in range(2))
    for each in (leader, follower):
        each.connect(link)
    await leader.start()
    try:
        await follower.follow()
        try:
            yield leader, follower
        finally:
            await follower.aclose()
    finally:
        with suppress(HubFailed):  # another one leads
            await leader.aclose()


class LossyLink(LocalLink):
    """Loses answers, or requests; what it has lost is asked again."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_answers = 0
        self.lose_requests = 0
        self.requests: list[bytes] = []

    async def request(self, body: bytes, seconds: float) -> bytes:
        self.requests.append(body)
        if self.lose_requests:
            self.lose_requests -= 1
            raise TimeoutError
        answer = await super().request(body, seconds)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ConnectionResetError
        return answer


def kinds(hub: Hub) -> list[str]:
    ring = hub._parts.pipeline.ring
    return [event.kind for event in ring.slice(ring.first, ring.applied.value)]


@attrs.define
class Team:
    ann: Agent
    bob: Agent
    channel: Channel
    delivery: Delivery


async def team_of(hub: Hub) -> Team:
    ann, bob = await hub.agents.register("ann"), await hub.agents.register("bob")
    channel = await hub.channels.open([ann, bob])
    await channel.post(ann, "hello")
    return Team(ann, bob, channel, await anext(bob.inbox()))
