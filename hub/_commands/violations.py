"""Handlers of violations: code of the program's own that is called for violations of expectations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import anyio

from .. import context
from .._commit.backoff import Backoff
from .._commit.held import NestedCall
from .._foreign.abandoned import Abandoned
from .._foreign.guards import text_of
from .._state import State
from .._state.evaluators import ViolationHandler
from .._state.violations import Key, ViolationEntry, key_of
from ..errors import HubClosed, HubFailed
from ..events import Event, ExpectationViolated
from ..events._shown import shown
from ..own_log import OwnLog
from ..ports import Clock
from .core import Core

__all__ = ("HANDLER_ATTEMPTS", "HANDLER_SECONDS", "WAITING_MAX", "ViolationHandlers")

_log = OwnLog("hub")

HANDLER_ATTEMPTS = 5
HANDLER_SECONDS = 30.0

AT_A_TIME = 8
"""How many violations one handler follows up at a time."""

WAITING_MAX = 10_000
"""How many may wait for handlers: they are in each snapshot, and a task waits for each."""

LOOK_AGAIN_SECONDS = 60.0

_BACKOFF = Backoff(seconds=1.0, seconds_max=300.0)


class HandlerCall(NestedCall):
    """A call of a handler. Its hub, known by its :class:`Core`, waits for it when it is closed."""

    __slots__ = ()
    innermost: ClassVar[ContextVar[NestedCall | None]] = ContextVar("hubwire.handler_call", default=None)


class _Calls:
    """The calls under way, and how they end with the hub."""

    def __init__(self) -> None:
        self.is_stopping: bool = False
        """Whether no more calls begin."""
        self._count = 0
        self._scope: anyio.CancelScope | None = None
        """Of the task that calls; None while there is none."""
        self._changed = anyio.Event()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Calls are made in this block, until they are stopped."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                yield
            finally:
                self._scope = None
                self._changed.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            self._changed.set()

    async def stop(self, until: float, at_last: float) -> None:
        with anyio.move_on_at(until):
            while self._count:
                await self._change()
        if (scope := self._scope) is not None:
            scope.cancel()
        with anyio.move_on_at(at_last):
            while self._scope is not None:
                await self._change()

    async def _change(self) -> None:
        self._changed = anyio.Event()
        await self._changed.wait()


class ViolationHandlers:
    """Calls handlers until each violation is handled or given up."""

    def __init__(
        self,
        core: Core,
        state: State,
        clock: Clock,
        now_ns: Callable[[], int],
        abandoned: Abandoned,
        hub: object,
    ) -> None:
        """``now_ns`` returns the time of the next event, and ``hub`` is what handlers are called with."""
        self._core = core
        self._clock = clock
        self._now_ns = now_ns
        self._violations = state.violations
        self._handlers = state.evaluators.handlers
        self._abandoned = abandoned
        self._hub = hub
        self._slots: dict[str, anyio.Semaphore] = {}
        self._given_up: dict[str, int] = {}
        """How many violations, in this run of the hub, by handler."""
        self._come: list[Key] = []
        """Those for which no task was started yet."""
        self._wake = anyio.Event()
        self._calls = _Calls()
        core.on_applied(ExpectationViolated, self._violated)

    def __len__(self) -> int:
        """Return how many violations wait for their handlers."""
        return len(self._violations)

    def _violated(self, event: ExpectationViolated) -> None:
        if self._violations.find(key := key_of(event)) is not None:
            self._come.append(key)
            self._wake.set()

    async def run(self) -> None:
        """Run until the hub is closed: what is not handled then is taken up by the next start."""
        context.leave_all()
        self._come = [key_of(entry.violated) for entry in self._violations]
        with self._calls.taken():
            async with anyio.create_task_group() as tasks:
                while True:
                    come, self._come = self._come, []
                    for key in come:
                        tasks.start_soon(self._follow_up, key)
                    self._wake = anyio.Event()
                    await self._wake.wait()

    def drain(self) -> None:
        """Begin no more calls; :meth:`stop` is to follow."""
        self._calls.is_stopping = True

    async def stop(self, until: float, at_last: float) -> None:
        """Let the calls under way end; cancel them at ``until``, in the loop's time, and wait no longer ``at_last``."""
        await self._calls.stop(until, at_last)

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by this, or runs in a task that a handler has started."""
        return HandlerCall.is_inside(self._core)

    def problems(self) -> list[str]:
        """Return what is owed and was not done."""
        missing = {entry.violated.on_violation for entry in self._violations} - set(self._handlers)
        advice = "register it with hub.channels.register_violation_handler() before the start"
        problems = [f"violations wait for handler {shown(each)}, which is not there; {advice}" for each in missing]
        return problems + [
            f"violation handler {shown(name)} has given up {count} violations: see expectation.handler_failed"
            for name, count in self._given_up.items()
        ]

    # -- one violation --

    async def _follow_up(self, key: Key) -> None:
        """Call the handler of a violation until it is handled, or given up, or the hub stops."""
        try:
            while (entry := self._violations.find(key)) is not None:
                handler = self._handlers.get(entry.violated.on_violation)
                if (refusal := self._refusal(entry, handler)) is not None or handler is None:
                    is_last = handler is not None or entry.attempts + 1 >= HANDLER_ATTEMPTS
                    await self._failed(entry, refusal or "", entry.attempts + (handler is None), None, is_final=is_last)
                    return
                await self._until_due(entry)
                async with self._slots.setdefault(handler.name, anyio.Semaphore(AT_A_TIME)):
                    if self._calls.is_stopping:
                        return
                    await self._call(entry, handler)
        except (HubClosed, HubFailed):
            return  # taken up by the next start

    def _refusal(self, entry: ViolationEntry, handler: ViolationHandler | None) -> str | None:
        """Return why the handler is not called at all."""
        if handler is None:
            return "no handler of this name is registered; register it before the hub starts"
        if entry.attempts >= handler.attempts_max:
            return "its last call came to no end: the process ended before"
        if entry.attempts == 0 and len(self._violations) > WAITING_MAX:
            return f"more than {WAITING_MAX} violations wait for their handlers"
        return None

    async def _until_due(self, entry: ViolationEntry) -> None:
        while (pause_ns := entry.due_ns - self._now_ns()) > 0:
            # The time of day may be set meanwhile, and no sleep gets shorter by that.
            await self._clock.sleep(min(pause_ns / 1e9, LOOK_AGAIN_SECONDS))

    async def _call(self, entry: ViolationEntry, handler: ViolationHandler) -> None:
        violated = entry.violated
        with self._calls.one():
            # What it ends may be the process, faster than the journal: so the beginning is kept first.
            await self._put(self._violations.called(entry))
            attempts = entry.attempts + 1
            try:
                with context.scope(
                    channel=violated.channel_id,
                    correlation_id=violated.correlation_id,
                    tenant=violated.tenant,
                    traceparent=violated.traceparent,
                ):
                    context.cause(violated)
                    with HandlerCall(self._core):
                        await self._abandoned.call_plug_in(
                            f"violation handler {handler.name!r}",
                            handler.function,
                            self._hub,
                            violated,
                            seconds=handler.timeout,
                        )
            except Exception as error:
                if self._calls.is_stopping and isinstance(error, HubClosed | HubFailed):
                    await self._cut_off(entry)
                    raise
                is_final = attempts >= handler.attempts_max
                pause = None if is_final else _BACKOFF.pause_seconds(attempts)
                _log.problem("a violation handler has failed", error, handler=handler.name, attempt=attempts)
                await self._failed(entry, text_of(error), attempts, pause, is_final=is_final)
            except BaseException:
                await self._cut_off(entry)
                raise
            else:
                done = self._violations.find(key_of(violated))
                await self._put(() if done is None else self._violations.handled(done))

    async def _cut_off(self, entry: ViolationEntry) -> None:
        reason = "the hub was closed meanwhile"
        self._core.announce(
            self._violations.failed(entry, reason, attempts=entry.attempts, retry_seconds=0.0, is_final=False),
            context.EMPTY,
        )

    async def _failed(
        self, entry: ViolationEntry, reason: str, attempts: int, retry_seconds: float | None, *, is_final: bool
    ) -> None:
        name = entry.violated.on_violation
        if is_final:
            self._given_up[name] = self._given_up.get(name, 0) + 1
        await self._put(
            self._violations.failed(entry, reason, attempts=attempts, retry_seconds=retry_seconds, is_final=is_final)
        )

    async def _put(self, events: Any) -> None:
        """Put what is a fact already, without admission, and wait until a crash cannot undo it."""
        put: list[Event] = self._core.announce(events, context.EMPTY)
        if put:
            await self._core.until_committed(put[-1].seq)
