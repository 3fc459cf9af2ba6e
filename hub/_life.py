"""The life of a hub: one task that starts or follows, holds all other tasks in one group, and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from ._commit.held import is_nested
from ._commit.phase import Phase
from ._foreign.guards import text_of
from ._journal.claims import claim, give_back
from ._parts import Parts
from ._reraise import append_context
from ._starting import lead, start
from ._stopping import JOURNAL_CLOSES, Deadline, stop, stop_following
from .errors import ConfigurationError, HubAborted, HubClosed, HubFailed
from .waking import start_later

if TYPE_CHECKING:
    from ._following import Following  # imported by a hub that follows

__all__ = ("HubLife",)

ABORT_SECONDS_MAX = 1.0
"""How long an aborted hub waits for its guests, and for its journal to be released."""

LEAVE_BEHIND_SECONDS = 3.0
"""How long after the deadline closing waits for code that was cancelled."""

_JOURNAL_SECONDS_MIN = 0.25
"""How long the journal has to be closed where there is no time left: a clean marker spares the next start much."""

_INNER_SECONDS = 0.3
"""How long a hub inside a guest of another goes on closing after that guest was cancelled; it has a second to end."""

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
        self.following: Following | None = None
        """How it follows, or has followed, another hub; None of one that was started at once."""
        self._asked: asyncio.Future[None]
        """What the task does at present: to start, to begin to follow, or to take the lead."""
        self._taking: anyio.CancelScope | None = None
        """Around the attempt to take possession of the journal of a hub that follows."""
        self._is_asked = asyncio.Event()
        self._stop_requested = asyncio.Event()
        self._end_of_closing = Deadline(parts.limits.close_seconds_max)
        self._is_aborted = False
        self._refusal: BaseException | None = None
        """Why it could not start, or did not close well although it has not failed."""

    async def start(self) -> None:
        """As :meth:`hubwire.Hub.start`."""
        self._check_unstarted()
        await self._begin(Phase.STARTING)

    async def follow(self, report: Callable[[Following], object]) -> None:
        """As :meth:`hubwire.Hub.follow`; ``report`` is called with what health can ask how it goes."""
        from ._following import following_of  # noqa: PLC0415 - most hubs lead at once

        self._check_unstarted()
        self.following = following_of(self._parts)
        report(self.following)
        await self._begin(Phase.FOLLOWING)

    def _check_unstarted(self) -> None:
        if self._lifecycle.was_started:
            raise ConfigurationError(
                "this hub was started already; make a new one: Hub(store) goes on where this one stopped"
            )

    async def _begin(self, phase: Phase) -> None:
        if self._parts.journal is not None:
            claim(self._parts.journal)
        self._lifecycle.move(phase)
        self._lifecycle.home.adopt_running_loop()
        self._parts.from_threads.open()
        self._asked = asyncio.get_running_loop().create_future()
        self._main = main = start_later(self._run(), name="hubwire hub")
        main.add_done_callback(lambda _: self._end_unstarted())
        try:
            await self._asked
        except asyncio.CancelledError:
            main.cancel()
            await asyncio.wait([main])
            raise

    def _end_unstarted(self) -> None:
        """End a hub whose task was cancelled before its first step."""
        if not self._asked.done():
            self._end(refused=True)
            if self._parts.journal is not None:
                give_back(self._parts.journal)
            self._asked.set_exception(HubClosed("the hub was cancelled while it started"))

    async def lead(self) -> None:
        """As :meth:`hubwire.Hub.lead`."""
        main = self._main
        if self.following is None or main is None:
            raise ConfigurationError(
                "hub.lead() is for a hub that follows: await hub.follow() before, or hub.start() to lead at once"
            )
        self._lifecycle.check_here()
        if not self._lifecycle.is_following:
            self._lifecycle.check_open()
            raise ConfigurationError("this hub leads already")
        if not self._asked.done():
            raise ConfigurationError("this hub begins to follow, or is about to lead already; await that call first")
        self._asked = asked = asyncio.get_running_loop().create_future()
        self._is_asked.set()
        try:
            await asked
        except asyncio.CancelledError:
            if self._lifecycle.is_following:
                self._give_up_taking()
                self._asked = _done()  # it goes on to follow, which is no end of a start
            else:
                main.cancel()
                await asyncio.wait([main])
            raise

    def _give_up_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()

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
        self._is_asked.set()
        self._give_up_taking()
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

    async def _run(self) -> None:
        """Do all that the hub does, from start to end."""
        refusal: BaseException | None = None
        try:
            refusal = await self._live()
        except Exception as error:  # noqa: BLE001 - an error that was not foreseen must not leave emitters waiting
            failure = HubFailed(f"the hub stops because of an error of its own ({error!r}); please report it")
            failure.__cause__ = error
            self._pipeline.fail(failure)
        finally:
            asked = self._asked
            is_unstarted = not asked.done() or asked.cancelled()
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
                if not asked.done():
                    asked.set_exception(refusal or HubClosed("the hub has ended while it started"))

    def _end(self, *, refused: bool) -> None:
        """Let no task wait for this hub any more; ``refused``: it could not start."""
        parts, lifecycle = self._parts, self._lifecycle
        if refused and lifecycle.phase in (Phase.STARTING, Phase.FOLLOWING):
            lifecycle.move(Phase.STOPPED)
        elif lifecycle.takes_events or lifecycle.is_following:
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
                if is_well and (self.following is None or self.following.has_led):
                    with anyio.move_on_at(self._end_of_closing.at(JOURNAL_CLOSES)):
                        await parts.upkeep.close()
            finally:
                release = getattr(journal, "release", None) if self._is_aborted else None
                try:
                    with anyio.move_on_at(max(self._end_of_closing.at(1), anyio.current_time() + _JOURNAL_SECONDS_MIN)):
                        await (release or journal.aclose)()
                finally:
                    give_back(journal)

    async def _live(self) -> BaseException | None:
        """Hold all tasks in one group until the hub is asked to stop, or fails; return why it could not start."""
        refusal: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            try:
                is_leading = await self._until_leading(tasks)
            except Exception as error:  # noqa: BLE001 - start(), follow() or lead() raises it
                refusal = error
            else:
                if is_leading:
                    await self._until_stopped()
            tasks.cancel_scope.cancel()
        return refusal

    async def _until_leading(self, tasks: TaskGroup) -> bool:
        """Start, or follow until the hub leads; return False if it is asked to stop before."""
        parts, following = self._parts, self.following
        if following is None:
            await start(parts, tasks)
        else:
            await following.begin(tasks)
            self._settle()
            while not await self._taken(following, tasks):
                if self._stop_requested.is_set():
                    self._settle(HubClosed("the hub was closed before it took the lead"))
                    await following.leave()
                    await stop_following(parts, self._end_of_closing)
                    return False
            await lead(parts, tasks, following)
        self._settle()
        return True

    def _settle(self, error: Exception | None = None) -> None:
        """What the task was asked for is done, or cannot be."""
        if self._asked.done():
            return
        if error is None:
            self._asked.set_result(None)
        else:
            self._asked.set_exception(error)

    async def _taken(self, following: Following, tasks: TaskGroup) -> bool:
        """Follow until the hub is asked to stop, or has taken possession of the journal, or could not."""
        await self._is_asked.wait()
        self._is_asked.clear()
        asked = self._asked
        if self._stop_requested.is_set() or asked.done():
            return False
        try:
            with anyio.CancelScope() as self._taking:
                await following.take_possession()
                self._lifecycle.move(Phase.STARTING)
        except Exception as error:  # noqa: BLE001 - lead() raises it, and the hub goes on to follow
            self._settle(error)
        finally:
            self._taking = None
        if self._lifecycle.is_following:
            following.go_on(tasks, is_connected=False)
            return False
        if asked.cancelled():
            raise HubClosed("the hub was cancelled while it took the lead")
        return True

    async def _until_stopped(self) -> None:
        await self._stop_requested.wait()
        try:
            await stop(self._parts, self._end_of_closing)
        except HubFailed:
            pass  # the hub failed while it stopped; the lifecycle keeps that failure


def _done() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
