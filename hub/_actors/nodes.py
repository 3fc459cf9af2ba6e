"""Nodes: they say that they live, and the leader takes the seats of one that has not said so for some time."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import anyio
import attrs

from .._commands.seats import SeatCommands
from .._foreign.tasks import called
from .._state.seats import NODE_LENGTH_MAX
from ..errors import CallerError, HubClosed, HubFailed
from ..own_log import OwnLog
from ..ports import Clock

__all__ = ("SILENT_SECONDS", "NodeWatch", "Renewing", "Signs", "new_node")

_log = OwnLog("nodes")

SILENT_SECONDS = 5.0
"""After so long a silence a node is taken for dead."""

_RENEWALS = 4
"""So many times in that time, a node says that it lives, and the leader looks who has not."""

_HEARD_MAX = 100_000
"""Of how many nodes the watch remembers that they live; there are never as many."""


def new_node() -> str:
    """Return a name for this run of the program, which no other one has."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"


class Signs(Protocol):
    """How the leader hears of nodes: a subject of the transport, on which they say their names."""

    async def renew(self, node: str) -> None:
        """Say that this node lives. What it raises is tried again."""

    def heard(self) -> AsyncIterator[str]:
        """Iterate over the names of nodes as they are heard, for ever; raise when none can be heard any more."""


class Renewing:
    """Says again and again that a node lives."""

    def __init__(
        self,
        node: str,
        signs: Signs,
        clock: Clock,
        silent_seconds: float = SILENT_SECONDS,
        *,
        look_again: Callable[[], None] = lambda: None,
    ) -> None:
        """``look_again`` is called each time: :meth:`~.seating.Seating.look_again`."""
        self._look_again = look_again
        self._node = node
        self._signs = signs
        self._clock = clock
        self._seconds = silent_seconds / _RENEWALS

    async def run(self) -> None:
        """Run until it is cancelled. A sign that cannot be given harms no actor: the leader decides about seats."""
        is_told = False
        while True:
            try:
                await called(self._signs.renew, self._node, seconds=self._seconds, name="signs of nodes")
                is_told = False
            except Exception as error:  # noqa: BLE001 - of the transport, which is a guest
                if not is_told:
                    _log.problem("a node cannot say that it lives; it tries again", error, node=self._node)
                is_told = True
            self._look_again()
            await self._clock.sleep(self._seconds)


@attrs.define(eq=False, repr=False)
class NodeWatch:
    """What the leader knows of nodes: it takes the seats of one that it has not heard for ``silent_seconds``.

    The time runs by the clock of the hub, and for each node at the earliest from the moment at which the watch begins:
    nodes that lived under the leader before have that time to be heard. Where the leader itself has heard none, because
    it was stopped or the transport was away, it begins anew.
    """

    commands: SeatCommands
    signs: Signs
    clock: Clock
    silent_seconds: float = SILENT_SECONDS
    _last: dict[str, float] = attrs.field(factory=dict, init=False)
    """When each node was heard last, or began to be waited for, by the clock that never steps."""

    async def run(self) -> None:
        """Run while the hub leads."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen)
                await self._look()
                tasks.cancel_scope.cancel()
        except (HubClosed, HubFailed):
            return

    def silent_for(self, node: str) -> float:
        """Return for how many seconds a node was not heard; 0 for one that is not known."""
        now = self.clock.monotonic()
        return now - self._last.get(node, now)

    async def _do(self, command: Callable[..., Awaitable[None]], *args: str) -> None:
        """Carry out a command. One that is refused, as by a quota, is tried again at the next look."""
        try:
            await command(*args)
        except (HubClosed, HubFailed):
            raise
        except CallerError as error:
            _log.problem("the seats of a node could not be given to others; this is tried again", error)

    def _note(self, node: object) -> None:
        if type(node) is str and 0 < len(node) <= NODE_LENGTH_MAX and (node in self._last or self._has_room()):
            self._last[node] = self.clock.monotonic()

    def _has_room(self) -> bool:
        return len(self._last) < _HEARD_MAX

    async def _listen(self) -> None:
        pause = self.silent_seconds / _RENEWALS
        while True:
            try:
                async for node in self.signs.heard():
                    self._note(node)
                error: Exception | None = None
            except Exception as raised:  # noqa: BLE001 - of the transport, which is a guest
                error = raised
            _log.problem("the signs of nodes cannot be heard; no node is taken for dead meanwhile", error)
            await self.clock.sleep(pause)
            self._last.clear()

    async def _look(self) -> None:
        pause, clock = self.silent_seconds / _RENEWALS, self.clock
        await self._do(self.commands.settle)
        before = clock.monotonic()
        while True:
            await clock.sleep(pause)
            # What has come meanwhile is heard first.
            await anyio.lowlevel.checkpoint()
            now = clock.monotonic()
            if now - before > 2 * pause:
                self._last.clear()  # this program was stopped itself
            before = now
            await self._unseat_silent(now)
            before = clock.monotonic()

    async def _unseat_silent(self, now: float) -> None:
        nodes = self.commands.nodes()
        for node in nodes:
            silent = now - self._last.setdefault(node, now)
            if silent > self.silent_seconds:
                _log.problem("a node is gone; its actors are seated elsewhere", node=node, silent_seconds=silent)
                await self._do(self.commands.gone, node, f"its node was not heard for {silent:.1f} s")
        for node in [each for each, last in self._last.items() if now - last > self.silent_seconds]:
            if node not in nodes:
                del self._last[node]
