"""The life of a hub: one task that starts, holds all other tasks in one group, and stops."""

from __future__ import annotations

import asyncio
import os
import socket

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from ._commands import new_id
from ._commit.held import is_nested
from ._commit.own_thread import in_own_thread
from ._commit.phase import Phase
from ._commit.repair import repair
from ._delivery.first_failure import prepare
from ._foreign.guards import text_of
from ._journal.claims import claim, give_back
from ._parts import Parts
from ._reraise import append_context
from ._version import installed_version
from .context import EMPTY
from .errors import ConfigurationError, HubAborted, HubClosed, HubFailed
from .events import HubStarted, HubStopped
from .waking import start_later

__all__ = ("HubLife",)

ABORT_SECONDS_MAX = 1.0
"""How long an aborted hub waits for its guests, and for its journal to be released."""

LEAVE_BEHIND_SECONDS = 3.0
"""How long after the deadline closing waits for code that was cancelled."""

_FEEDS_FINISH = 0.15
_FEEDS_END = 0.2
_ACTORS_STOP = 0.4
_ACTORS_END = 0.5
_LISTENERS_HANDLE = 0.6
_EVENTS_COMMIT = 0.75
_LISTENERS_LEAVE = 0.9
_JOURNAL_CLOSES = 0.95
"""At which share of the time for closing each step has to be over."""

_JOURNAL_SECONDS_MIN = 0.25
"""How long the journal has to be closed where there is no time left: a clean marker spares the next start much."""

_LAST_STEP_SECONDS_MAX = 1.0
"""How long the last commits, and then the leaving of listeners, have at most where there is no time left."""

_INNER_SECONDS = 0.3
"""How long a hub inside a guest of another goes on closing after that guest was cancelled; it has a second to end."""

_YIELD_EVERY = 256

_left_behind: set[asyncio.Task[None]] = set()
"""The event loop does not keep tasks alive by itself."""


class HubLife:
    """Starts the parts of a hub in order, and stops them in order, within one deadline."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lifecycle = parts.lifecycle
        self._pipeline = parts.pipeline
        self._main: asyncio.Task[None] | None = None
        """All that the hub does; None before it is started."""
        self._stop_requested = asyncio.Event()
        self._end_of_closing = Deadline(parts.limits.close_seconds_max)
        self._is_aborted = False
        self._refusal: BaseException | None = None
        """Why it could not start, or did not close well although it has not failed."""

    async def start(self) -> None:
        """As :meth:`hubwire.Hub.start`."""
        if self._lifecycle.was_started:
            raise ConfigurationError(
                "this hub was started already; make a new one: Hub(store) goes on where this one stopped"
            )
        parts, lifecycle = self._parts, self._lifecycle
        if parts.journal is not None:
            claim(parts.journal)
        lifecycle.move(Phase.STARTING)
        lifecycle.home.adopt_running_loop()
        parts.from_threads.open()
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._main = start_later(self._run(started), name="hubwire hub")
        self._main.add_done_callback(lambda _: self._end_unstarted(started))
        try:
            await started
        except asyncio.CancelledError:
            self._main.cancel()
            await asyncio.wait([self._main])
            raise

    def _end_unstarted(self, started: asyncio.Future[None]) -> None:
        """End a hub whose task was cancelled before its first step."""
        if not started.done():
            self._end(refused=True)
            if self._parts.journal is not None:
                give_back(self._parts.journal)
            started.set_exception(HubClosed("the hub was cancelled while it started"))

    async def aclose(self) -> None:
        """As :meth:`hubwire.Hub.aclose`."""
        if self._main is None:
            return
        if not self._main.done():
            self._lifecycle.check_here()
        if isinstance(self._lifecycle.failure, HubAborted):
            await self.abort()  # it was given up on purpose, and no step is left to be done well
            return
        self._end_of_closing.begin()
        self._stop_requested.set()
        if self._is_called_by_guest():
            return
        await self._until_over(self._main)
        await anyio.lowlevel.checkpoint_if_cancelled()
        self._lifecycle.check_not_failed()
        if self._main.done() and not self._main.cancelled() and (failure := self._main.exception()) is not None:
            raise failure

    async def abort(self) -> None:
        """As :meth:`hubwire.Hub.abort`."""
        main = self._main
        if main is None or main.done():
            return
        self._lifecycle.check_here()
        if not self._is_aborted:
            self._is_aborted = True
            self._end_of_closing.begin(ABORT_SECONDS_MAX)
            self._pipeline.fail_unless_ended(
                HubAborted("the hub was aborted; what was not committed is decided by the journal, at the next start")
            )
            main.cancel()
        if not self._is_called_by_guest():
            await self._until_over(main)
            await anyio.lowlevel.checkpoint_if_cancelled()

    async def finished(self) -> HubFailed | None:
        """As :meth:`hubwire.Hub.finished`."""
        main, lifecycle = self._main, self._lifecycle
        if main is None:
            raise HubClosed("the hub is not running yet: use it inside 'async with hub:'")
        if not main.done():
            lifecycle.check_here()
            await asyncio.wait([main, lifecycle.failed(main.get_loop())], return_when=asyncio.FIRST_COMPLETED)
        if lifecycle.failure is not None or self._refusal is None:
            return lifecycle.failure
        failure = HubFailed(f"the hub has ended, and not well: {text_of(self._refusal)}")
        failure.__cause__ = self._refusal
        return failure

    def _is_called_by_guest(self) -> bool:
        """Tell whether this code runs in a guest whose end the end of the hub waits for."""
        parts = self._parts
        guests = (parts.fanout, parts.actors, parts.violation_handlers, parts.feeds)
        return any(each.is_calling() for each in guests)

    async def _until_over(self, main: asyncio.Task[None]) -> None:
        """Return when the hub has come to its end, also where the caller is cancelled meanwhile: then raise that.

        What has not ended a while after the deadline is left behind: it is code that swallows its cancellation.
        """
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not main.done() and (seconds := self._end_of_closing.seconds_left(LEAVE_BEHIND_SECONDS)) > 0:
                try:
                    await asyncio.wait([main], timeout=seconds)
                except asyncio.CancelledError as error:
                    if cancelled is None and is_nested():
                        # A guest of another hub, which does not wait for it as long as this one may take.
                        asyncio.get_running_loop().call_later(_INNER_SECONDS, main.cancel)
                    cancelled = error
        if not main.done():
            self._leave_behind(main)
        if cancelled is not None:
            raise cancelled

    def _leave_behind(self, main: asyncio.Task[None]) -> None:
        limit = self._end_of_closing.seconds_max
        self._pipeline.fail_unless_ended(
            HubFailed(
                f"the hub was not closed within {limit:g} s, because code that it called goes on although it was"
                " cancelled; that is left behind, and the journal may be held until the program ends"
            )
        )
        self._end(refused=False)
        if not main.cancelling():
            main.cancel()
        _left_behind.add(main)
        main.add_done_callback(_left_behind.discard)

    async def _run(self, started: asyncio.Future[None]) -> None:
        """Do all that the hub does, from start to end."""
        refusal: BaseException | None = None
        try:
            refusal = await self._live(started)
        except Exception as error:  # noqa: BLE001 - an error that was not foreseen must not leave emitters waiting
            failure = HubFailed(f"the hub stops because of an error of its own ({error!r}); please report it")
            failure.__cause__ = error
            self._pipeline.fail(failure)
        finally:
            is_unstarted = not started.done() or started.cancelled()
            self._end(refused=refusal is not None or is_unstarted)
            refusal = refusal or self._lifecycle.failure
            if refusal is None and is_unstarted:
                refusal = HubClosed("the hub was cancelled while it started")
            try:
                await self._close_journal(is_well=refusal is None)
            except Exception as error:
                if refusal is None:
                    refusal = error
                    raise
                append_context(refusal, error)
            finally:
                self._refusal = refusal
                if not started.done():
                    started.set_exception(refusal or HubClosed("the hub has ended while it started"))

    def _end(self, *, refused: bool) -> None:
        """Let no task wait for this hub any more; ``refused``: it could not start."""
        parts, lifecycle = self._parts, self._lifecycle
        if refused and lifecycle.phase is Phase.STARTING:
            lifecycle.move(Phase.STOPPED)
        elif lifecycle.takes_events:
            cancelled = HubFailed("the hub stops, because its tasks were cancelled from outside of it")
            parts.pipeline.fail(cancelled, is_logged=False)  # as the loop does when its program ends, by Ctrl-C too
        parts.pulse.stop()
        parts.pipeline.end()
        parts.core.end()
        parts.feeds.end()
        parts.fanout.end()
        parts.from_threads.close(lifecycle.failure)

    async def _close_journal(self, *, is_well: bool) -> None:
        parts, journal = self._parts, self._parts.journal
        if journal is None or parts.upkeep is None:
            return
        self._end_of_closing.begin()
        with anyio.CancelScope(shield=True):
            try:
                if is_well:
                    with anyio.move_on_at(self._end_of_closing.at(_JOURNAL_CLOSES)):
                        await parts.upkeep.close()
            finally:
                release = getattr(journal, "release", None) if self._is_aborted else None
                try:
                    with anyio.move_on_at(max(self._end_of_closing.at(1), anyio.current_time() + _JOURNAL_SECONDS_MIN)):
                        await (release or journal.aclose)()
                finally:
                    give_back(journal)

    async def _live(self, started: asyncio.Future[None]) -> BaseException | None:
        """Hold all tasks in one group until the hub is asked to stop, or fails; return why it could not start."""
        refusal: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            try:
                await self._start(tasks)
            except Exception as error:  # noqa: BLE001 - start() raises it
                refusal = error
            else:
                if not started.done():
                    started.set_result(None)
                await self._stop_requested.wait()
                try:
                    await self._stop()
                except HubFailed:
                    pass  # the hub failed while it stopped; the lifecycle keeps that failure
            tasks.cancel_scope.cancel()
        return refusal

    async def _start(self, tasks: TaskGroup) -> None:
        parts, pipeline = self._parts, self._pipeline
        fanout = parts.fanout
        await self._number(tasks)
        fanout.go()
        if parts.upkeep is not None:
            tasks.start_soon(parts.upkeep.keep_positions)
            tasks.start_soon(parts.upkeep.keep_journal)
            tasks.start_soon(parts.upkeep.keep_room)
        if pipeline.possession is not None:
            tasks.start_soon(pipeline.possession.watch)
        for attachment in tuple(fanout.attachments):
            if attachment.is_required:
                await attachment.ready()
        version = await in_own_thread(installed_version)  # it reads files, once
        started = HubStarted(version=version, pid=os.getpid(), host=socket.gethostname())
        pipeline.put([started], EMPTY)
        await repair(parts.state, pipeline, parts.set_aside)
        await pipeline.until_committed(pipeline.ring.applied.value - 1)
        if parts.upkeep is not None:
            await parts.upkeep.settle()
        self._lifecycle.check_not_failed()
        fanout.announcements.start(tasks)
        self._lifecycle.move(Phase.OPEN)
        tasks.start_soon(parts.timers.run)
        tasks.start_soon(parts.verdicts.run)
        tasks.start_soon(parts.violation_handlers.run)
        tasks.start_soon(parts.denials.run)
        parts.actors.start(tasks)
        parts.feeds.start(tasks)
        if parts.journal is not None:
            tasks.start_soon(fanout.letters.run)
            tasks.start_soon(prepare)

    async def _number(self, tasks: TaskGroup) -> None:
        """Enter the listeners and recover the state; from then on it is known which ``seq`` comes next."""
        parts, pipeline = self._parts, self._pipeline
        journal = parts.journal
        parts.pulse.start()  # first, because guests are called during a start
        if journal is not None:
            await journal.open()
        await parts.fanout.start(tasks)
        hub_id = (journal and journal.hub_id) or parts.fanout.known_hub_id() or new_id()
        pipeline.ingress.hub_id = hub_id
        next_seq = parts.fanout.highest_position() + 1
        if journal is not None and parts.upkeep is not None:
            async for event in parts.upkeep.restore(parts.fanout.marks(journal)):
                pipeline.replay(event)
                if event.seq % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
            next_seq = journal.next_seq
            tasks.start_soon(pipeline.run_journal)
        pipeline.ingress.time.resume()
        pipeline.ring.start_at(next_seq)

    async def _stop(self) -> None:
        """Stop in order; each step has a share of the time, and what a step does not need is left to the next ones."""
        parts, pipeline, lifecycle = self._parts, self._pipeline, self._lifecycle
        fanout, deadline = parts.fanout, self._end_of_closing
        await parts.feeds.stop(deadline.at(_FEEDS_FINISH), deadline.at(_FEEDS_END))
        parts.violation_handlers.drain()
        await parts.actors.stop(deadline.at(_ACTORS_STOP), deadline.at(_ACTORS_END))
        await parts.violation_handlers.stop(deadline.at(_ACTORS_STOP), deadline.at(_ACTORS_END))
        lifecycle.check_not_failed()
        lifecycle.move(Phase.CLOSING)
        pipeline.admission.refuse_all(
            HubClosed("the hub was closed before this command was admitted; nothing has happened")
        )
        parts.denials.flush()
        await fanout.close(deadline.at(_LISTENERS_HANDLE))
        lifecycle.check_not_failed()
        last = pipeline.put([HubStopped(heads=fanout.heads())], EMPTY)[0].seq
        lifecycle.move(Phase.STOPPED)
        # What guests have used up must not keep the hub from its own last steps.
        least = min(max(0.2 * deadline.seconds_max, 0.1), _LAST_STEP_SECONDS_MAX)
        with anyio.move_on_at(max(deadline.at(_EVENTS_COMMIT), anyio.current_time() + least)) as committing:
            await pipeline.until_committed(last)
        if committing.cancelled_caught:
            pipeline.fail(
                HubFailed(
                    f"the last {pipeline.ring.in_flight} events were not committed within {deadline.seconds_max:g} s of"
                    " closing; those in the journal will be, at the next start"
                )
            )
            return
        await fanout.leave(max(deadline.at(_LISTENERS_LEAVE), anyio.current_time() + least))


class Deadline:
    """The moment at which a hub has to be closed, from when that is asked for; of its time each step has a share."""

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._begun: float | None = None

    def begin(self, seconds_max: float | None = None) -> None:
        """The time runs from now on, unless it does already; with ``seconds_max``, it gets no longer than this."""
        if self._begun is None:
            self._begun = anyio.current_time()
        if seconds_max is not None:
            self.seconds_max = min(self.seconds_max, anyio.current_time() - self._begun + seconds_max)

    def at(self, share: float) -> float:
        """Return when so much of the time is over, in the loop's time."""
        return (anyio.current_time() if self._begun is None else self._begun) + share * self.seconds_max

    def seconds_left(self, more: float) -> float:
        """Return how long it is until ``more`` seconds after the deadline."""
        return self.at(1) + more - anyio.current_time()
