"""A courier: the thread in which a webhook delivers, so that whatever emits events does not wait for it.

Redacting, encoding, signing and talking to an endpoint take some tenths of a millisecond for each event. In the hub's
event loop an emitter would wait for that, so the thread has an event loop of its own. The hub's hands over a round of
events, and is told when it is over: not of each event, because every wake of it costs as much as a delivery.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import anyio

from hubwire import Event
from hubwire.own_log import OwnLog
from hubwire.waking import Beginning, start_later

__all__ = ("Courier",)

Deliver = Callable[[Event], Awaitable[bool]]
"""Delivers an event; False if it was not begun, because what the hub's loop prepares is not there any more."""

_TOLD_EVERY_SECONDS = 0.05
"""How long it may take until the hub knows that an event is delivered while its round goes on."""

_ROUND_SECONDS_MAX = 10.0
"""No event of a round begins later: what was prepared for it gets old."""

_TURN = 16
"""After so many events that are delivered already, the hub's loop does something else: each takes some microseconds."""

_CLOSE_SECONDS_MAX = 3.0
"""How long the end of the thread is waited for: less than the hub waits for a listener to leave."""

_CANCEL_SECONDS = 1.0
"""How long what still runs in the thread at its end has to end."""

_log = OwnLog("webhook")


class Courier:
    """Delivers events in a thread of its own, from :meth:`open` to :meth:`close`.

    The thread is a daemon, so that a program ends although a delivery hangs.
    """

    def __init__(self, name: str, prepare: Callable[[], Awaitable[None]], deliver: Deliver) -> None:
        """``prepare``: awaited in the hub's event loop before a round begins. ``deliver``: runs in the thread."""
        self.is_open: bool = False
        self._name = name
        self._prepare = prepare
        self._deliver = deliver
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Future[Any]
        self._expected: _Round | None = None
        """The events that come next, in this order."""

    async def open(self, make: Callable[[], None]) -> None:
        """Start the thread. ``make`` runs first in it, and may block. Raises what that raises."""
        self.is_open = True
        here = asyncio.get_running_loop()
        started: asyncio.Future[asyncio.AbstractEventLoop] = here.create_future()
        self._ended = here.create_future()
        thread = threading.Thread(
            target=_run,
            args=([make], _Tell(here, started), _Tell(here, self._ended)),
            name=f"hubwire {self._name}"[:100],
            daemon=True,
        )
        try:
            thread.start()
            self._loop = await started
        except BaseException:
            self.is_open = False
            raise
        # Where a hub ends without leaving its listeners, nothing else ends the thread.
        weakref.finalize(self, _stop, self._loop).atexit = False

    async def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Await ``last`` in the thread, and end it. One that hangs is left behind."""
        if not self.is_open:
            return
        self.is_open = False
        self.expect(())
        _call_in(self._loop, _start_last, last)
        with anyio.move_on_after(_CLOSE_SECONDS_MAX) as scope:
            await self._ended
        if scope.cancelled_caught:
            _log.problem("the thread of a webhook hangs in a delivery, and is left behind", webhook=self._name)

    def expect(self, events: Sequence[Event]) -> int:
        """:meth:`deliver` will be called with these, one after the other.

        With none, only with those of the events that were expected which have begun; return how many these are.
        """
        before, self._expected = self._expected, None
        if events:
            self._expected = _Round(events, self._deliver)
        elif before is not None and (begun := before.withdraw()) > before.given:
            self._expected = before
            return begun
        return 0

    async def deliver(self, event: Event) -> None:
        """Return when an event is delivered. Raises its failure; cancelled, it returns if the event is delivered."""
        expected = self._expected
        place = None if expected is None else expected.place_of(event)
        if expected is not None and place is not None and await self._delivered(expected, place):
            return
        while not await self._delivered(_Round((event,), self._deliver), 0):
            pass  # what was prepared was used up by another delivery

    async def _delivered(self, events: _Round, place: int) -> bool:
        if not events.is_begun:
            await asyncio.sleep(0)  # who waits for the commit of the event goes on first
            await self._prepare()
            events.begin(self._loop)
        return await events.delivered(place)


class _Round:
    """Events that are delivered one after the other, up to the first that fails."""

    def __init__(self, events: Sequence[Event], deliver: Deliver) -> None:
        self.is_begun: bool = False
        self._events = events
        self._deliver = deliver
        self.given: int = 0
        """How many events the hub has called for."""
        self._lock = threading.Lock()
        self._limit = len(events)
        """The place before which events are delivered; less once the round is withdrawn."""
        self._begun = 0
        self._done = 0
        """How many events are delivered."""
        self._is_over = False
        self._error: BaseException | None = None
        """Why the event at ``_done`` is not delivered."""
        self._home = asyncio.get_running_loop()
        self._news: asyncio.Future[None] | None = None
        """Done when the thread has told of what it has done."""

    # -- in the hub's loop --

    def place_of(self, event: Event) -> int | None:
        """Return the place of the event that the hub calls for next; None if it is another one."""
        place = self.given
        if place >= self._limit or self._events[place] is not event:
            return None
        self.given += 1
        return place

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the thread deliver."""
        self.is_begun = True
        self._loop = loop
        if not _call_in(loop, self._start):
            self._is_over, self._error = True, RuntimeError("the thread of the webhook has ended")

    def withdraw(self) -> int:
        """Let no event begin that has not begun; return how many have."""
        with self._lock:
            self._limit = self._begun
            return self._begun

    async def delivered(self, place: int) -> bool:
        """Return True when the event is delivered; False if it was not begun, and will not be. Raises its failure."""
        try:
            if place % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            await self._wait_for(place)
        except asyncio.CancelledError:
            self.withdraw()
            _call_in(self._loop, self._cancel)
            await self._wait_for(len(self._events))  # cancelled once more, it waits no longer
            if self._error is None:
                self._error = asyncio.CancelledError()  # the events after this one do not begin either
            if self._done <= place:
                raise
        if self._done > place:
            return True  # also for one that is cancelled: to say otherwise would send the event again
        if self._error is not None:
            raise self._error
        return False

    async def _wait_for(self, place: int) -> None:
        """Return when the event is delivered, or will not be."""
        while self._done <= place and not self._is_over:
            self._news = self._home.create_future()
            await self._news

    def _settle(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # -- in the thread --

    def _start(self) -> None:
        # Cancelled before its first step it has to say all the same that it is over.
        self._task = start_later(Beginning(self._run()))

    def _cancel(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        loop, end = asyncio.get_running_loop(), time.monotonic() + _ROUND_SECONDS_MAX
        timer: asyncio.TimerHandle | None = None
        try:
            while self._begin_next(end):
                if not await self._deliver(self._events[self._done]):
                    break
                self._done += 1
                if self._done < self._limit and (timer is None or timer.when() <= loop.time()):
                    timer = loop.call_later(_TOLD_EVERY_SECONDS, self._tell)
        except BaseException as error:  # noqa: BLE001 - it is raised where the hub waits for the event
            self._error = error
        if timer is not None:
            timer.cancel()
        self._is_over = True
        self._tell()

    def _begin_next(self, end: float) -> bool:
        with self._lock:
            if self._done >= self._limit or (self._done and time.monotonic() >= end):
                return False
            self._begun = self._done + 1
            return True

    def _tell(self) -> None:
        _call_in(self._home, self._settle)


class _Tell:
    """Settles a future of the hub's loop from the thread."""

    def __init__(self, home: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self._home = home
        self._future = future

    def __call__(self, result: Any, error: BaseException | None = None) -> None:
        _call_in(self._home, self._settle, result, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self._future.done():
            if isinstance(result, asyncio.AbstractEventLoop):
                _stop(result)  # the wait for the thread was cancelled
        elif error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)


def _run(make: list[Callable[[], None]], started: _Tell, ended: _Tell) -> None:
    """Run an event loop: what the thread does. ``make`` is taken out, so that the thread does not keep its owner."""
    try:
        make.pop()()
        loop = asyncio.new_event_loop()
    except BaseException as error:  # noqa: BLE001 - it is raised where the thread was started
        started(None, error)
        return
    started(loop)
    try:
        loop.run_forever()
    finally:
        try:
            _end(loop)
        finally:
            ended(None)


def _start_last(last: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    start_later(_awaited(last)).add_done_callback(lambda _: loop.stop())


async def _awaited(last: Callable[[], Awaitable[None]]) -> None:
    try:
        await last()
    except Exception as error:  # noqa: BLE001 - of the network or the client; the thread ends with its connections
        _log.problem("the connections of a webhook could not be closed", error)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_SECONDS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    _call_in(loop, loop.stop)


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> bool:
    """Call a function in an event loop that may run in another thread; return False if the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
        return True
    return False
