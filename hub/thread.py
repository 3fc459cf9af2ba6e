"""HubThread: a hub for programs that have no event loop."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from ._commit.phase import HomeLoop
from ._commit.threads import FromThreads
from ._foreign.arguments import Call, shown
from ._hub import Hub
from ._reraise import append_context, repeat
from .errors import ConfigurationError, HubClosed
from .events import Event

__all__ = ("HubThread",)

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Event)

_THREAD = Call("HubThread()", ConfigurationError)

EXIT_SECONDS_MAX = 30.0
"""How long a program that forgot to close its hub waits for it at its end."""


class HubThread:
    """Runs a hub in a thread of its own: ``with HubThread(Hub(store)) as thread: thread.emit(event)``.

    Its methods may be called from any thread but its own: there, in listeners and in what :meth:`call` runs, use the
    hub itself. Context variables (correlation id, trace, tenant) are those of the calling code.

    A program that ends without closing it closes it then, as well as it can within half a minute. A forked child has no
    part in it: :meth:`emit` and :meth:`call` raise :class:`~hubwire.errors.ConfigurationError` there, and closing has
    no effect.
    """

    def __init__(self, hub: Hub) -> None:
        _THREAD.instance("hub", hub, Hub, wanted="a Hub", advice="write HubThread(Hub(store))")
        self.hub: Hub = hub
        """The hub, for use in :meth:`call`. From outside only ``emit_threadsafe``, ``feed``,
        ``id``, ``statistics()`` and ``health()``."""
        self._home = HomeLoop()
        self._calls = FromThreads(self._home)
        self._thread: threading.Thread | None = None
        self._started: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._stop: Callable[[], object] | None = None
        self._stop_requested = False

    def __repr__(self) -> str:
        return f"<HubThread of {self.hub!r}>"

    # -- life cycle --

    def start(self) -> None:
        """Start the hub; return when it takes commands.

        Raises what :meth:`Hub.start` raises, and :class:`~hubwire.errors.ConfigurationError` if it was started before.
        """
        if self._thread is not None:
            raise ConfigurationError("this HubThread was started already; make a new one, with a new hub")
        # A daemon, or the interpreter would wait for it before it comes to `atexit`.
        self._thread = threading.Thread(target=self._run, name="hubwire hub", daemon=True)
        atexit.register(self._close_at_exit)
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the hub as :meth:`Hub.aclose` does, and end the thread. What :meth:`call` still runs then is cancelled.

        Raises what the hub failed with. May be called again: after an interruption it goes on waiting. From the
        thread itself it returns at once.
        """
        self._close(None)

    def _close(self, seconds_max: float | None) -> None:
        thread = self._thread
        if thread is None or self._home.is_forked:
            return
        self._stop_requested = True
        if self._stop is not None:
            self._stop()
        if threading.current_thread() is thread:
            return
        failure = self._ended.exception(seconds_max)
        thread.join()
        atexit.unregister(self._close_at_exit)
        if failure is not None:
            raise repeat(failure).with_traceback(failure.__traceback__)

    def _close_at_exit(self) -> None:
        try:
            self._close(EXIT_SECONDS_MAX)
        except TimeoutError:
            raise TimeoutError(
                f"a HubThread was not closed by the program, nor could it be within {EXIT_SECONDS_MAX:g} s of its end;"
                " what was acknowledged is safe. Use it in a with statement, and do not block its event loop"
            ) from None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as failure:
            if exc is None:
                raise
            append_context(exc, failure)

    # -- the way in --

    def emit(self, event: E) -> E:
        """Commit an event; return it stamped. Blocks until it is in the journal, and every required listener has it.

        Interrupted (``KeyboardInterrupt``) while it waits to be admitted, the event is not taken; later, it is
        committed all the same. In either case the hub goes on. Raises what :meth:`Hub.emit` raises.
        """
        self._check_elsewhere()
        return _result(self.hub.emit_threadsafe(event))

    def emit_many(self, events: Iterable[E]) -> list[E]:
        """Commit several events, all or none, and return them stamped, as :meth:`Hub.emit_many` does; it blocks.

        ``events`` is read in the calling thread. An interruption has the effect that it has on :meth:`emit`.
        """
        from ._commands.batches import listed  # noqa: PLC0415 - few programs emit batches

        self._check_elsewhere()
        given: Iterable[E] = listed(events)
        return self.call(self.hub.emit_many, given)

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function on the hub's event loop; return what it returns, and raise what it raises.

        So a program can do all that a hub can: ``planner = thread.call(thread.hub.agents.register, "planner")``.
        Interrupted (``KeyboardInterrupt``), it cancels the call, and does not wait for its end. Raises
        :class:`~hubwire.errors.ConfigurationError` for what is no coroutine function.
        """
        self._check_elsewhere()
        if not callable(function):
            advice = (
                "; pass the function and its arguments apart: call(function, argument)"
                if inspect.iscoroutine(function)
                else ""
            )
            raise ConfigurationError(
                f"call() takes a coroutine function and its arguments, not {shown(function)}{advice}"
            )

        async def run(future: Future[T]) -> None:
            awaitable = function(*args, **kwargs)
            if not inspect.isawaitable(awaitable):
                raise ConfigurationError(
                    f"call() takes a coroutine function, and {shown(function)} has run and returned"
                    f" {shown(awaitable)}; write async def, or call it without call()"
                )
            result = await awaitable
            if future.set_running_or_notify_cancel():
                future.set_result(result)

        return _result(self._calls.submit(run))

    def _check_elsewhere(self) -> None:
        if self._thread is None:
            raise HubClosed("the hub is not running yet: use it inside 'with HubThread(hub) as thread:'")
        if threading.current_thread() is self._thread and not self._home.is_forked:
            raise ConfigurationError(
                "this is the hub's own thread, which would wait for itself; await the hub's own methods here"
            )

    # -- in the thread --

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001 - start() or close() raises it
            failure = error
        if not self._started.done():
            assert failure is not None
            self._started.set_exception(failure)
            failure = None
        if failure is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failure)

    async def _live(self) -> None:
        loop, task, stop = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        assert task is not None

        def stop_or_not_even_start() -> None:
            stop.set()
            if not self._started.done():
                task.cancel()

        def stop_threadsafe() -> None:
            try:
                loop.call_soon_threadsafe(stop_or_not_even_start)
            except RuntimeError:
                pass  # The loop is closed, so all this is over.

        self._stop = stop_threadsafe
        if self._stop_requested:
            stop_threadsafe()
        self._home.adopt_running_loop()
        self._calls.open()
        try:
            async with self.hub:
                self._started.set_result(None)
                await stop.wait()
        finally:
            self._calls.close(None)


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except BaseException:
        future.cancel()  # No effect unless the wait was interrupted.
        raise
