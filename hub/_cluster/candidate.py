"""One hub on one node: it follows, and leads when its lease is free and it is this node's turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from .._foreign.guards import text_of
from .._foreign.tasks import called
from .._hub import Hub
from ..errors import HubClosed, HubError, HubFailed
from ..own_log import OwnLog
from ..standby import Holding, held

__all__ = ("Candidate",)

_log = OwnLog("cluster")


class Candidate:
    """A hub of this node, from its first call to its end."""

    def __init__(
        self, name: str, hub: Hub, holding: Holding, on_lead: Callable[[Hub], Awaitable[object]] | None
    ) -> None:
        self.name: str = name
        self.hub: Hub = hub
        self.ended: anyio.Event = anyio.Event()
        self._holding = holding
        self._on_lead = on_lead
        self._stop = anyio.Event()

    @property
    def is_there(self) -> bool:
        """Whether it follows or leads, or is about to."""
        return not self.ended.is_set() and not self._stop.is_set() and (self.hub.is_following or self.leads)

    @property
    def leads(self) -> bool:
        """Whether it leads, or is about to."""
        return self.hub.is_leading or self._holding.is_held

    async def run(self, say: Callable[[], None]) -> None:
        """Stand by, and lead until the hub ends or is let go. Nothing comes out of it but a cancellation."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_stopped)
                await self._lead(say)
                tasks.cancel_scope.cancel()
        finally:
            self.ended.set()
            say()

    async def _lead(self, say: Callable[[], None]) -> None:
        try:
            async with held(self._holding, self.hub):
                say()
                async with anyio.create_task_group() as tasks:
                    if self._on_lead is not None:
                        tasks.start_soon(self._led, self._on_lead)
                    tasks.start_soon(self._ended, tasks.cancel_scope)
                    await self._stop.wait()
                    tasks.cancel_scope.cancel()
        except HubClosed:
            _log.detail("a hub of this node was closed", hub=self.name)
        except HubFailed as error:
            if not self._stop.is_set():
                _log.problem("a hub of this node has failed; take it again by cluster.hub()", error, hub=self.name)
        except Exception as error:  # noqa: BLE001 - of a lease, or a listener: the other hubs of the node go on
            if not self._stop.is_set():
                _log.problem("a hub of this node has ended; take it again by cluster.hub()", error, hub=self.name)

    async def _until_stopped(self) -> None:
        """End the wait for the lease of a hub that is let go while it follows."""
        await self._stop.wait()
        if self.hub.is_following:
            with suppress(HubError):
                await self.hub.aclose()

    async def _ended(self, scope: anyio.CancelScope) -> None:
        await self.hub.finished()
        scope.cancel()

    async def _led(self, on_lead: Callable[[Hub], Awaitable[object]]) -> None:
        try:
            await called(on_lead, self.hub, name=f"on_lead of hub {self.name}")
        except Exception as error:  # noqa: BLE001 - of the program: its hub leads on
            _log.problem(f"on_lead of a hub has failed: {text_of(error)}", error, hub=self.name)

    async def let_go(self) -> None:
        """Close the hub, release its lease, and return when that is done."""
        self._stop.set()
        await self.ended.wait()

    async def abort(self) -> None:
        """Give the hub up without a word, as the death of its program does."""
        self._holding.forget()
        await self.hub.abort()
        await self.let_go()
