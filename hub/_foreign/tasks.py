"""Guests in tasks of their own, so that the caller can leave behind what does not end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, Generic, TypeVar

import anyio

from ..ports import Clock
from ..waking import FirstStep, Wake, start_later
from .guards import failure_of, guarded, message_of

__all__ = ("GRACE_SECONDS", "GuestTask", "LeftBehind", "TimeOver", "called")

T = TypeVar("T")

GRACE_SECONDS = 1.0
"""How long a call that was cancelled has to end. It is cancelled a second time after half of it."""

_CUT_SECONDS = 0.1
"""The same, for a guest for which there is no time left."""

_left_behind: set[asyncio.Task[None]] = set()
"""The event loop does not keep tasks alive by itself."""


class TimeOver(TimeoutError):
    """A call of a guest took longer than its time. What the guest itself raises does not come out as this class."""


class LeftBehind(TimeOver):
    """A call of a guest was cancelled and goes on all the same; its caller does not wait for it any more."""


class GuestTask:
    """A task that runs calls of one guest, one after the other, so that a context entered by one is left by another.

    What the guest raises, swallows or never returns from is the failure of that call. The caller's own cancellation
    is passed on to the guest, and raised when the call has ended or was left behind. After that, the guest cannot be
    called again.
    """

    def __init__(
        self, name: str = "guest", *, waiting: Callable[[], AbstractContextManager[object]] | None = None
    ) -> None:
        """``name``: of the task, for a person who looks for what hangs.

        ``waiting``: there is one call, which begins at once and not in the next turn of the loop. This makes the scope
        in which the caller waits, if the call does not end at once; where the scope is cancelled, that returns None.
        """
        self._name = f"hubwire {name}"
        self._waiting = waiting
        self._task: asyncio.Task[None] | None = None
        self._given: _Call[Any] | None = None
        """The call that is to run next; None while there is none, or it runs."""
        self._wake: Wake | None = None
        self._is_over = False
        """No more calls will be given."""
        self._running: _Call[Any] | None = None
        """The call that its caller waits for."""
        self._alarm: _Alarm | None = None
        """Made for the first call that is waited for, and has a time."""
        self._is_cut = False
        self.is_left_behind: bool = False
        """Whether a call was left behind: there will be no other."""

    @property
    def is_still_running(self) -> bool:
        """Whether a call was left behind, and goes on."""
        return self._task in _left_behind

    @property
    def is_current(self) -> bool:
        """Whether this code runs in the guest's task: what waits for the guest's end there would wait for itself."""
        return self._task is not None and self._task is asyncio.current_task()

    async def call(
        self,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        seconds: float | None = None,
        clock: Clock | None = None,
        progress: Callable[[], object] | None = None,
        grace_seconds: float | None = None,
    ) -> T:
        """Await a call of the guest's code; return its answer.

        After ``seconds``, by ``clock`` or else by the loop's time, the call is cancelled and fails with
        ``TimeoutError``, also if it answers then. With ``progress``, by the loop's time, it has as long again (and a
        quarter more, perhaps) whenever that returns another value. One that has not ended ``grace_seconds`` later, by
        default one, is left behind: :class:`LeftBehind`. Otherwise only an ``Exception`` comes out, unless the
        caller is cancelled.
        """
        if self._is_over:
            raise LeftBehind("its last call was left behind, and it is called no more")
        loop = asyncio.get_running_loop()
        call: _Call[T] = _Call(function, args)
        self._running = self._given = call
        if self._task is None:
            await self._start(call)
        elif (wake := self._wake) is not None and not wake.done():
            wake.go_on(loop)
        if call.has_ended:  # without a wait, as most calls do
            return self._outcome(call)
        if self._waiting is None:
            return await self._wait_for(call, seconds, clock, progress, grace_seconds)
        with self._waiting():
            return await self._wait_for(call, seconds, clock, progress, grace_seconds)

    async def _wait_for(
        self,
        call: _Call[T],
        seconds: float | None,
        clock: Clock | None,
        progress: Callable[[], object] | None,
        grace_seconds: float | None,
    ) -> T:
        loop = asyncio.get_running_loop()
        call.news = loop.create_future()
        if self._is_cut:
            seconds = 0
        sleeper: asyncio.Task[None] | None = None
        if clock is not None and seconds is not None:
            sleeper = start_later(_sleep(clock, seconds, call))
        elif seconds is not None:
            self._alarm = self._alarm or _Alarm()
            self._alarm.set(loop, call, seconds, progress)
        try:
            await call.news
        except asyncio.CancelledError:
            await self._cancel(call, grace_seconds)
            raise
        finally:
            if self._alarm is not None:
                self._alarm.call = None
            if sleeper is not None:
                sleeper.cancel()
        if not call.has_ended:
            await self._cancel(call, grace_seconds)
            raise _lateness(call, seconds)
        return self._outcome(call)

    async def _start(self, call: _Call[Any]) -> None:
        here, context = asyncio.current_task(), copy_context()
        if self._waiting is None or here is None:
            self._task = start_later(self._run(), name=self._name, context=context)
            return
        first = FirstStep(self._run())
        self._task = task = start_later(first, name=self._name, context=context)
        first.run(task, context, here)
        if call.has_ended and here.cancelling():
            await asyncio.sleep(0)  # it is raised here, as if the call had been waited for

    def cut(self) -> None:
        """Let the present call and each later one have no more time than it takes to go on once."""
        self._is_cut = True
        if self._running is not None:
            self._running.expire()  # also the wait for one that was cancelled

    def end(self) -> None:
        """Give no more calls; the task ends."""
        self._is_over = True
        if self._alarm is not None:
            self._alarm.end()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # -- in the caller's task --

    @staticmethod
    def _outcome(call: _Call[T]) -> T:
        if call.error is not None:
            raise call.failure(call.error)
        answer: Any = call.answer
        return answer  # type: ignore[no-any-return]

    async def _cancel(self, call: _Call[Any], grace_seconds: float | None) -> None:
        """Cancel a call, and wait until it has ended, or for as long as it may take to."""
        if self._given is call:
            self._given = None  # it has not begun
            return
        task = self._task
        assert task is not None
        grace = GRACE_SECONDS if grace_seconds is None else grace_seconds
        # A cancelled scope around this would otherwise cancel the wait at each turn of the loop.
        with anyio.CancelScope(shield=True):
            for _ in range(2):
                if call.has_ended:
                    return
                call.news = asyncio.get_running_loop().create_future()
                task.cancel()
                seconds = min(grace, _CUT_SECONDS) if self._is_cut else grace
                try:
                    await asyncio.wait([call.news], timeout=seconds / 2)
                except asyncio.CancelledError:
                    break  # cancelled again, the caller waits no longer
        if not call.has_ended:
            self.end()
            self.is_left_behind = True
            _leave_behind(task)

    # -- in the guest's task --

    async def _run(self) -> None:
        loop, task = asyncio.get_running_loop(), self._task
        assert task is not None
        while True:
            while self._given is None and not self._is_over:
                self._wake = Wake(loop=loop)
                try:
                    await self._wake
                except asyncio.CancelledError:
                    await self._wait_shielded(task)
            call, self._given = self._given, None
            if call is None:
                return
            call.has_begun = True
            try:
                call.answer = await call.function(*call.args)
            except BaseException as error:  # noqa: BLE001 - all that a guest can raise is the failure of its call
                call.error = error
            if task.cancelling():
                _forget_cancellation(task)
            if loop.is_closed():
                return
            call.has_ended = True
            if call.news is not None:
                call.expire()
            if self._waiting is not None:
                return

    async def _wait_shielded(self, task: asyncio.Task[None]) -> None:
        """Go on waiting in a task that was cancelled between two calls: by the guest, or by a scope it has entered."""
        _forget_cancellation(task)
        with anyio.CancelScope(shield=True):
            while self._given is None and not self._is_over:
                self._wake = Wake(loop=asyncio.get_running_loop())
                try:
                    await self._wake
                except asyncio.CancelledError:
                    _forget_cancellation(task)


class _Call(Generic[T]):
    """One call: what to call, and what came of it."""

    __slots__ = ("answer", "args", "broken_timer", "error", "function", "has_begun", "has_ended", "news")

    def __init__(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args
        self.news: asyncio.Future[None] | None = None
        """Done when the call has ended, or its time is over; None while no task waits for that."""
        self.has_begun: bool = False
        self.has_ended: bool = False
        self.answer: T | None = None
        self.error: BaseException | None = None
        self.broken_timer: Exception | None = None

    def expire(self) -> None:
        """It has ended, or its time is over."""
        if self.news is not None and not self.news.done():
            self.news.set_result(None)

    @staticmethod
    def failure(error: BaseException) -> Exception:
        """Return what the caller sees of an error of the guest's."""
        if isinstance(error, TimeOver):
            failure = TimeoutError(message_of(error))
            failure.__cause__ = error
            return failure
        return failure_of(error)


async def called(
    function: Callable[..., Awaitable[T]],
    *args: Any,
    seconds: float | None = None,
    clock: Clock | None = None,
    progress: Callable[[], object] | None = None,
    grace_seconds: float | None = None,
    name: str = "guest",
) -> T:
    """Await one call of foreign code, in a task of its own: as :meth:`GuestTask.call`. ``name`` says whose it is."""
    guest = GuestTask(name)
    try:
        return await guest.call(
            function, *args, seconds=seconds, clock=clock, progress=progress, grace_seconds=grace_seconds
        )
    finally:
        guest.end()


async def _sleep(clock: Clock, seconds: float, call: _Call[Any]) -> None:
    try:
        await guarded(clock.sleep, seconds)
    except Exception as error:  # noqa: BLE001 - a clock that fails must not leave the call without an end
        call.broken_timer = error
    call.expire()


class _Alarm:
    """The timer of a guest's calls on the loop. It stays set after a call, for the next: one for each would cost more.

    With ``progress`` it begins anew when there was some, and looks for it four times in its time.
    """

    __slots__ = ("_at", "_handle", "_left", "_loop", "_progress", "_seconds", "_seen", "call")

    def __init__(self) -> None:
        self.call: _Call[Any] | None = None
        """The call whose time is measured; None while there is none."""
        self._handle: asyncio.TimerHandle | None = None
        """What wakes it, at its time or earlier."""

    def set(
        self, loop: asyncio.AbstractEventLoop, call: _Call[Any], seconds: float, progress: Callable[[], object] | None
    ) -> None:
        """Measure the time of a call."""
        self.call = call
        self._loop = loop
        self._progress = progress
        if progress is None:
            self._left = 1
        else:
            self._left = 4
            self._seen = progress()
            seconds /= 4
        self._seconds = seconds
        self._at = at = loop.time() + seconds
        if self._handle is None:
            self._handle = loop.call_at(at, self._look)
        elif self._handle.when() > at:
            self._handle.cancel()
            self._handle = loop.call_at(at, self._look)

    def end(self) -> None:
        """There are no more calls."""
        self.call = None
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        handle, self._handle = self._handle, None
        call = self.call
        if call is None or handle is None:
            return
        if handle.when() < self._at:
            self._handle = self._loop.call_at(self._at, self._look)  # it was set for a call before this one
            return
        if self._progress is not None and (seen := self._progress()) != self._seen:
            self._seen, self._left = seen, 4
        else:
            self._left -= 1
        if self._left:
            self._at = self._loop.time() + self._seconds
            self._handle = self._loop.call_at(self._at, self._look)
        else:
            call.expire()


def _lateness(call: _Call[Any], seconds: float | None) -> Exception:
    """Return why a call has failed that has not ended in time."""
    if not call.has_ended and call.has_begun:
        return LeftBehind(f"it took longer than {seconds:g} s, and goes on though it was cancelled")
    return call.broken_timer or TimeOver(f"it took longer than {seconds:g} s")


def _leave_behind(task: asyncio.Task[None]) -> None:
    """Let a task go on for as long as its loop runs, and hold up no other."""
    _left_behind.add(task)
    task.add_done_callback(_left_behind.discard)
    # asyncio.run cancels all tasks that it knows and waits for them: one that swallows that would keep it for ever.
    asyncio._unregister_task(task)  # noqa: SLF001 - the documented name for those who make tasks
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - health has named it


def _forget_cancellation(task: asyncio.Task[None]) -> None:
    while task.cancelling():
        task.uncancel()
