"""Nodes that are played in one process, over one hub that leads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
from anyio.streams.memory import MemoryObjectSendStream

from hubwire import ActorHandle, Hub
from hubwire._actors.contexts import Around
from hubwire._actors.nodes import NodeWatch, Renewing
from hubwire._actors.registry import Actors
from hubwire._actors.rules import SpawnSettings
from hubwire._actors.seating import Seating, SeatPort
from hubwire._commands.seats import SeatCommands
from hubwire.events import ActorSeated, ActorUnseated


class LocalSigns:
    """Signs of life inside one process."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        """The nodes that are not heard."""
        self._ears: list[MemoryObjectSendStream[str]] = []

    async def renew(self, node: str) -> None:
        if node not in self.silent:
            for ear in self._ears:
                ear.send_nowait(node)

    async def heard(self) -> AsyncIterator[str]:
        send, receive = anyio.create_memory_object_stream[str](1_000_000)
        self._ears.append(send)
        try:
            async with send, receive:
                async for node in receive:
                    yield node
        finally:
            self._ears.remove(send)


class DeafSeating(Seating):
    """The seats of a node that may be cut off: it does not learn then that it has lost them."""

    is_deaf = False
    is_blind = False

    def _seated(self, event: ActorSeated) -> None:
        if not self.is_blind:
            super()._seated(event)

    def _unseated(self, event: ActorUnseated) -> None:
        if not self.is_deaf:
            super()._unseated(event)


@attrs.define(eq=False)
class Node:
    """One node."""

    name: str
    actors: Actors
    seating: DeafSeating
    scope: anyio.CancelScope

    async def spawn(self, actor: Any, **settings: Any) -> ActorHandle:
        return await self.actors.spawn(actor, SpawnSettings(**settings))

    def spawn_on_demand(self, pattern: str, factory: Any, idle_seconds: float = 600.0, **settings: Any) -> Any:
        return self.actors.spawn_on_demand(pattern, factory, idle_seconds, 1000, SpawnSettings(**settings))


def seats_of(hub: Hub) -> SeatCommands:
    return SeatCommands(hub._parts.core, hub._parts.state)


@asynccontextmanager
async def node_of(
    hub: Hub,
    name: str,
    signs: LocalSigns | None = None,
    *,
    silent_seconds: float = 5.0,
    port: SeatPort | None = None,
) -> Any:
    """Run a node for the time of the block, and end it well."""
    parts = hub._parts
    seating = DeafSeating(name, seats_of(hub) if port is None else port, parts.core, parts.state)
    actors = Actors(parts.core, parts.state, parts.asks, hub.acting_as, parts.clock, parts.abandoned, 2.0)
    actors.seat_by(seating)
    async with anyio.create_task_group() as tasks:
        actors.start(tasks, parts.core.next_seq, Around())
        if signs is not None:
            tasks.start_soon(Renewing(name, signs, parts.clock, silent_seconds, look_again=seating.look_again).run)
        node = Node(name, actors, seating, tasks.cancel_scope)
        try:
            yield node
        finally:
            if not tasks.cancel_scope.cancel_called:
                with anyio.CancelScope(shield=True):
                    await actors.stop(anyio.current_time() + 2.0, anyio.current_time() + 4.0)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def watched(hub: Hub, signs: LocalSigns, *, silent_seconds: float = 5.0) -> Any:
    """Watch the nodes of a hub for the time of the block, as its leader does."""
    watch = NodeWatch(seats_of(hub), signs, hub._parts.clock, silent_seconds)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
        yield watch
        tasks.cancel_scope.cancel()
