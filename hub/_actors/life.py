"""One life of an actor, from a start to its end."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import anyio

from .._commands.agents import Agent
from .._commands.inboxes import Delivery, Inbox
from ..context import leave_all
from ..errors import HubClosed, HubFailed
from .actor import called
from .calls import LifeCall
from .handling import Services, TurnHandler

__all__ = ("Life", "LifePhase")


class LifePhase(IntEnum):
    """How far a life has come. It moves as ``_MOVES`` says, and only forward."""

    STARTING = 0
    """The actor is made, and its ``on_start`` runs."""
    READING = 1
    """It reads its inbox."""
    DRAINED = 2
    """It handles no envelope any more; ``on_stop`` is next."""
    ENDED = 3


_MOVES = {
    LifePhase.STARTING: (LifePhase.READING, LifePhase.ENDED),
    LifePhase.READING: (LifePhase.DRAINED, LifePhase.ENDED),
    LifePhase.DRAINED: (LifePhase.ENDED,),
    LifePhase.ENDED: (),
}


class Life:
    """One life of an actor: ``on_start``, envelopes, ``on_stop``. No exception of its code comes out of it."""

    def __init__(self, services: Services, agent: Agent, *, concurrency: int, retry_seconds: float) -> None:
        self.phase: LifePhase = LifePhase.STARTING
        self.has_started: bool = False
        """Whether ``on_start`` has returned."""
        self.is_interrupted: bool = False
        """Whether it ends because it was stopped from outside, or the hub has ended."""
        self.error: Exception | None = None
        """What it has crashed with."""
        self._services = services
        self._agent = agent
        self._concurrency = concurrency
        self._retry_seconds = retry_seconds
        self._moved = anyio.Event()
        self._is_draining = False
        self._waiting: set[anyio.CancelScope] = set()
        self._scope = anyio.CancelScope()
        self._actor: Any = None
        self._handler: TurnHandler | None = None

    @property
    def handled(self) -> int:
        """How many envelopes it has handled to the end."""
        return 0 if self._handler is None else self._handler.handled

    async def until(self, phase: LifePhase) -> None:
        """Return when the life has come to this phase, or beyond."""
        while self.phase < phase:
            await self._moved.wait()

    def _move_to(self, phase: LifePhase) -> None:
        assert phase in _MOVES[self.phase]
        self.phase = phase
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def run(self, make: Callable[[], Any], on_started: Callable[[], None]) -> None:
        """Run from start to end. ``error`` and ``is_interrupted`` say then why it has ended."""
        leave_all()
        services = self._services
        with LifeCall(services.core):
            try:
                with self._scope:
                    if await self._start(make):
                        on_started()
                        self._move_to(LifePhase.READING)
                        await self._read()
            except (HubClosed, HubFailed):
                self.is_interrupted = True
            finally:
                services.asks.workload.set_concurrency(self._agent.id, 0)
                if self.has_started:
                    await self._stop()
                self._move_to(LifePhase.ENDED)

    def drain(self) -> None:
        """Begin no more envelopes; :meth:`cancel` is to follow."""
        self.is_interrupted = True
        self._drain()

    def cancel(self) -> None:
        """End now: turns that are under way are cancelled."""
        self.is_interrupted = True
        self._drain()
        self._scope.cancel()

    async def _start(self, make: Callable[[], Any]) -> bool:
        try:
            self._actor = await called(_make, make)
            if (on_start := getattr(self._actor, "on_start", None)) is not None:
                await called(on_start, self._services.hub, self._agent)
        except Exception as error:  # noqa: BLE001 - that is what a crash is
            self.error = error
            return False
        self.has_started = True
        return True

    async def _stop(self) -> None:
        if (on_stop := getattr(self._actor, "on_stop", None)) is None:
            return
        with anyio.CancelScope(deadline=self._services.stop_deadline(), shield=True) as deadline:
            try:
                await called(on_stop)
            except Exception as error:  # noqa: BLE001 - that is what a crash is
                self.error = self.error or error
        if deadline.cancelled_caught:
            self.error = self.error or TimeoutError("its on_stop took too long, and was cancelled")

    # -- envelopes --

    async def _read(self) -> None:
        services = self._services
        if self._agent.id not in services.state.agents:
            return
        self._handler = TurnHandler(
            services, self._agent, self._actor, retry_seconds=self._retry_seconds, stop=self._drain
        )
        services.asks.workload.set_concurrency(self._agent.id, self._concurrency)
        inbox = self._agent.inbox()
        async with anyio.create_task_group() as tasks:
            for _ in range(self._concurrency):
                tasks.start_soon(self._serve, inbox, self._handler)
        self._move_to(LifePhase.DRAINED)
        if self.is_interrupted:
            await anyio.sleep_forever()

    async def _serve(self, inbox: Inbox, handler: TurnHandler) -> None:
        try:
            while (delivery := await self._next(inbox)) is not None:
                if (error := await handler.handle(delivery)) is not None:
                    self.error = self.error or error
                    self._drain()  # in memory, the next envelope would come before the cancellation
                    self._scope.cancel()
        except (HubClosed, HubFailed):
            self.cancel()

    async def _next(self, inbox: Inbox) -> Delivery | None:
        """Return what is to be handled next; None if no envelope is any more."""
        if self._is_draining:
            return None
        with anyio.CancelScope() as waiting:
            self._waiting.add(waiting)
            try:
                return await anext(inbox, None)
            finally:
                self._waiting.discard(waiting)
        return None

    def _drain(self) -> None:
        self._is_draining = True
        for waiting in self._waiting:
            waiting.cancel()


async def _make(make: Callable[[], Any]) -> Any:
    return make()
