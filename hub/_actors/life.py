"""One life of an actor, from a start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from enum import IntEnum
from inspect import iscoroutine
from typing import Any

import anyio

from .._commands.agents import Agent
from .._commands.inboxes import Delivery, Inbox
from ..errors import HubClosed, HubFailed, SeatLost
from .calls import LifeCall
from .contexts import Around
from .handling import Seat, Services, TurnHandler
from .rules import Handling
from .shared_inbox import SharedInbox
from .states import kind_of

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

    def __init__(
        self,
        services: Services,
        agent: Agent,
        inbox: SharedInbox,
        handling: Handling,
        seat: Seat | None = None,
    ) -> None:
        """``seat``: by which the actor runs, where it could run on other nodes, too."""
        self.phase: LifePhase = LifePhase.STARTING
        self.has_started: bool = False
        """Whether ``on_start`` has returned."""
        self.is_interrupted: bool = False
        """Whether it ends because it was stopped from outside, or the hub has ended."""
        self.error: Exception | None = None
        """What it has crashed with."""
        self.spawned_in: Around | None = None
        """What waits for its start; None if it is not the first life of its actor."""
        self._services = services
        self._agent = agent
        self._inbox = inbox
        self._handling = handling
        self._seat = seat
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

    @property
    def is_idle(self) -> bool:
        """Whether it waits for envelopes, and handles none."""
        return len(self._waiting) == self._handling.concurrency

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
        services = self._services
        with LifeCall(services.core, self._agent.id) as call:
            try:
                with self._scope:
                    if await self._start(make, call):
                        on_started()
                        self._move_to(LifePhase.READING)
                        call.is_reading = True
                        await self._read()
            except (HubClosed, HubFailed):
                self.is_interrupted = True
            finally:
                call.is_reading = False
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

    async def _start(self, make: Callable[[], Any], call: LifeCall) -> bool:
        spawned_in, self.spawned_in = self.spawned_in, None
        with nullcontext() if spawned_in is None else spawned_in.waiting_for(call):
            return await self._make_and_start(make)

    async def _make_and_start(self, make: Callable[[], Any]) -> bool:
        try:
            self._actor = await self._call("the making", _make, make)
            await self._call("the reading of the state", self._read_state)
            if (on_start := getattr(self._actor, "on_start", None)) is not None:
                await self._call("on_start", self._begin, on_start)
        except Exception as error:  # noqa: BLE001 - that is what a crash is
            self.error = error
            return False
        self.has_started = True
        return True

    async def _begin(self, on_start: Callable[[Any, Agent], Awaitable[object]]) -> None:
        """Call ``on_start``; if it ends well, ``on_stop`` follows, also when the life was cancelled meanwhile."""
        await on_start(self._services.acting_as(self._agent), self._agent)
        self.has_started = True

    async def _read_state(self) -> None:
        """Raise if the actor cannot read its state: now, and not in each turn."""
        kind_of(self._actor).read(self._services.state.actor_states.find(self._agent.id))

    async def _stop(self) -> None:
        if (on_stop := getattr(self._actor, "on_stop", None)) is None:
            return
        with anyio.CancelScope(deadline=self._services.stop_deadline(), shield=True) as deadline:
            try:
                await self._call("on_stop", on_stop)
            except Exception as error:  # noqa: BLE001 - that is what a crash is
                self.error = self.error or error
        if deadline.cancelled_caught:
            self.error = self.error or TimeoutError("its on_stop took too long, and was cancelled")

    async def _call(self, what: str, function: Callable[..., Awaitable[Any]], *args: object) -> Any:
        return await self._services.abandoned.call(f"{what} of actor {self._agent.name!r}", function, *args)

    @property
    def failed(self) -> int:
        """How many of its turns have failed."""
        return 0 if self._handler is None else self._handler.failed

    # -- envelopes --

    async def _read(self) -> None:
        services = self._services
        if self._agent.id not in services.state.agents:
            return
        self._handler = TurnHandler(services, self._agent, self._actor, self._handling, self._seat, stop=self._drain)
        workload, concurrency = services.asks.workload, self._handling.concurrency
        inbox = self._inbox.enter()
        workload.begin_reading(self._agent.id, concurrency)
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(concurrency):
                    tasks.start_soon(self._serve, inbox, self._handler)
        finally:
            workload.end_reading(self._agent.id, concurrency)
            self._inbox.leave()
        self._move_to(LifePhase.DRAINED)
        if self.is_interrupted:
            await anyio.sleep_forever()

    async def _serve(self, inbox: Inbox, handler: TurnHandler) -> None:
        try:
            with anyio.CancelScope() as waiting:
                while (delivery := await self._next(inbox, waiting)) is not None:
                    if (error := await self._handle(handler, delivery, inbox)) is not None:
                        self.error = self.error or error
                        self._drain()  # in memory, the next envelope would come before the cancellation
                        self._scope.cancel()
                    await asyncio.sleep(0)  # in memory there is no other wait: other tasks run between two turns
        except (HubClosed, HubFailed, SeatLost):
            self.cancel()
        except Exception as error:  # noqa: BLE001 - what the actor left behind could not be put: that is a crash, too
            self.error = self.error or error
            self._drain()
            self._scope.cancel()

    async def _handle(self, handler: TurnHandler, delivery: Delivery, inbox: Inbox) -> Exception | None:
        try:
            return await handler.handle(delivery)
        except BaseException:
            inbox.take_back(delivery)  # for the other workers of the agent, now
            raise

    async def _next(self, inbox: Inbox, waiting: anyio.CancelScope) -> Delivery | None:
        """Return what is to be handled next; None if no envelope is any more. It is cancelled by the scope."""
        if self._is_draining:
            return None
        self._waiting.add(waiting)
        if (on_wait := self._inbox.on_wait) is not None:
            on_wait()
        try:
            delivery = await anext(inbox, None)
        finally:
            self._waiting.discard(waiting)
        if delivery is not None and waiting.cancel_called:  # it came in the very turn in which the wait was ended
            inbox.take_back(delivery)
            return None
        return delivery

    def _drain(self) -> None:
        self._is_draining = True
        for waiting in self._waiting:
            waiting.cancel()


async def _make(make: Callable[[], Any]) -> Any:
    made = make()
    return await made if iscoroutine(made) else made
