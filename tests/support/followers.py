"""A hub that follows another one of the same process, and gives its commands to it over a link."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Self

from hubwire import Hub
from hubwire._commit.phase import Phase
from hubwire._forwarding.connecting import Connection
from hubwire._forwarding.table import COMMANDS, PREFIXES
from hubwire.errors import HubClosed
from hubwire.ports import CommandLink
from hubwire.testing import LocalLink

_OF_FOLLOWER = {*PREFIXES.values(), *COMMANDS["hub"], "acting_as", "for_tenant"}


class Replica:
    """Applies what another hub has committed, and forwards commands, as a hub does that follows a journal."""

    def __init__(self, leader: Hub, link: CommandLink, **settings: Any) -> None:
        self.leader = leader
        self.hub = Hub(**settings)
        self.is_following = True
        self.connection = Connection(self.hub, self.hub._parts, link, lambda: self.is_following)
        self.gate = asyncio.Event()
        """Set while it applies events."""
        self.gate.set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Hub:
        parts = self.hub._parts
        parts.lifecycle.move(Phase.STARTING)
        parts.lifecycle.home.adopt_running_loop()
        parts.pipeline.ingress.hub_id = self.leader.id
        parts.pipeline.ring.start_at(0)
        parts.lifecycle.move(Phase.OPEN)
        self._task = asyncio.create_task(self._follow(self.leader.events(after=-1)))
        return self.hub

    async def follow(self, leader: Hub) -> None:
        """Go on with what another hub commits, which leads now."""
        assert self._task is not None
        self._task.cancel()
        after = self.hub._parts.pipeline.ring.applied.value - 1
        self.leader, self._task = leader, asyncio.create_task(self._follow(leader.events(after=after)))

    async def _follow(self, events: Any) -> None:
        pipeline = self.hub._parts.pipeline
        with suppress(HubClosed):
            async for event in events:
                await self.gate.wait()
                pipeline.put_stamped([event])

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        parts = self.hub._parts
        parts.lifecycle.move(Phase.CLOSING)
        parts.lifecycle.move(Phase.STOPPED)
        parts.pipeline.end()
        parts.core.end()
        await self.connection.aclose()


class ForwardedHub:
    """A hub whose commands are given to one that follows it: for tests that were written for a hub alone."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._leader = Hub(*args, **settings)
        self._link = LocalLink()
        self._leader.connect(self._link)
        self._replica: Replica | None = None

    async def __aenter__(self) -> Self:
        await self._leader.start()
        self._replica = Replica(self._leader, self._link)
        await self._replica.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        assert self._replica is not None
        try:
            await self._leader.__aexit__(*exc)
        finally:
            await self._replica.__aexit__()

    def __getattr__(self, name: str) -> Any:
        if name in _OF_FOLLOWER and self._replica is not None and self._leader._parts.core.is_open:
            return getattr(self._replica.hub, name)
        return getattr(self._leader, name)
