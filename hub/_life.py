"""The life of a hub: one task that starts, holds all other tasks in one group, and stops."""

from __future__ import annotations

import asyncio
import os
import socket

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup

from . import codec
from ._commands import new_id
from ._commit.phase import Phase
from ._parts import Parts
from ._version import installed_version
from .context import EMPTY
from .errors import ConfigurationError, HubClosed, HubFailed, append_context
from .events import HubStarted, HubStopped

__all__ = ("HubLife",)

_JOURNAL_CLOSE_SECONDS_MAX = 5.0
_YIELD_EVERY = 256


class HubLife:
    """Starts the parts of a hub in order, and stops them in order."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lifecycle = parts.lifecycle
        self._pipeline = parts.pipeline
        self._main: asyncio.Task[None] | None = None
        """All that the hub does; None before it is started."""
        self._stop_requested = asyncio.Event()

    async def start(self) -> None:
        """As :meth:`hubwire.Hub.start`."""
        if self._lifecycle.was_started:
            raise ConfigurationError(
                "this hub was started already; make a new one: Hub(store) goes on where this one stopped"
            )
        parts, lifecycle = self._parts, self._lifecycle
        lifecycle.move(Phase.STARTING)
        lifecycle.home.adopt_running_loop()
        parts.from_threads.open()
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run(started), name="hubwire hub")
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
            started.set_exception(HubClosed("the hub was cancelled while it started"))

    async def aclose(self) -> None:
        """As :meth:`hubwire.Hub.aclose`."""
        if self._main is None:
            return
        if not self._main.done():
            self._lifecycle.check_here()
        self._stop_requested.set()
        parts = self._parts
        if parts.fanout.is_calling() or parts.actors.is_calling():
            return
        await self._until_over(self._main)
        await anyio.lowlevel.checkpoint_if_cancelled()
        self._lifecycle.check_not_failed()
        if not self._main.cancelled() and (failure := self._main.exception()) is not None:
            raise failure

    async def _until_over(self, main: asyncio.Task[None]) -> None:
        """Return when the hub has come to its end, also where the caller is cancelled meanwhile: then raise that."""
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not main.done():
                try:
                    await asyncio.wait([main])
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled

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
            self._end(refused=refusal is not None)
            refusal = refusal or self._lifecycle.failure
            try:
                await self._close_journal(is_well=refusal is None)
            except Exception as error:
                if refusal is None:
                    raise
                append_context(refusal, error)
            finally:
                if not started.done():
                    started.set_exception(refusal or HubClosed("the hub was cancelled while it started"))

    def _end(self, *, refused: bool) -> None:
        """Let no task wait for this hub any more; ``refused``: it could not start."""
        parts, lifecycle = self._parts, self._lifecycle
        if refused and lifecycle.phase is Phase.STARTING:
            lifecycle.move(Phase.STOPPED)
        elif lifecycle.takes_events:
            parts.pipeline.fail(HubFailed("the hub stops, because its tasks were cancelled from outside of it"))
        parts.pipeline.end()
        parts.core.end()
        parts.fanout.end()
        parts.from_threads.close(lifecycle.failure)

    async def _close_journal(self, *, is_well: bool) -> None:
        parts = self._parts
        if parts.journal is None or parts.upkeep is None:
            return
        with anyio.CancelScope(shield=True):
            try:
                if is_well:
                    with anyio.move_on_after(parts.limits.close_seconds_max):
                        await parts.upkeep.close()
            finally:
                with anyio.move_on_after(_JOURNAL_CLOSE_SECONDS_MAX):
                    await parts.journal.aclose()

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
            await parts.upkeep.save_positions()
            tasks.start_soon(parts.upkeep.keep_positions)
            tasks.start_soon(parts.upkeep.keep_journal)
        for attachment in tuple(fanout.attachments):
            if attachment.is_required:
                await attachment.ready()
        version = await anyio.to_thread.run_sync(installed_version)  # it reads files, once
        started = HubStarted(version=version, pid=os.getpid(), host=socket.gethostname())
        await pipeline.until_committed(pipeline.put([started, *parts.state.repair()], EMPTY)[-1].seq)
        self._lifecycle.check_not_failed()
        fanout.announcements.start(tasks)
        self._lifecycle.move(Phase.OPEN)
        tasks.start_soon(parts.timers.run)
        tasks.start_soon(parts.verdicts.run)
        parts.actors.start(tasks)

    async def _number(self, tasks: TaskGroup) -> None:
        """Enter the listeners and recover the state; from then on it is known which ``seq`` comes next."""
        parts, pipeline = self._parts, self._pipeline
        journal = parts.journal
        if journal is not None:
            await anyio.to_thread.run_sync(codec.prepare)
            await journal.open()
        await parts.fanout.start(tasks)
        hub_id = (journal and journal.hub_id) or parts.fanout.known_hub_id() or new_id()
        pipeline.ingress.hub_id = hub_id
        next_seq = parts.fanout.highest_position() + 1
        if journal is not None and parts.upkeep is not None:
            start = await parts.upkeep.restore()
            async for event in journal.replay(start - 1):
                pipeline.replay(event)
                if event.seq % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
            next_seq = journal.next_seq
            tasks.start_soon(pipeline.run_journal)
        pipeline.ring.start_at(next_seq)

    async def _stop(self) -> None:
        parts, pipeline = self._parts, self._pipeline
        fanout, seconds_max = parts.fanout, parts.limits.close_seconds_max
        await parts.actors.stop(seconds_max)
        self._lifecycle.check_not_failed()
        self._lifecycle.move(Phase.CLOSING)
        pipeline.admission.refuse_all(
            HubClosed("the hub was closed before this command was admitted; nothing has happened")
        )
        await fanout.close(seconds_max)
        self._lifecycle.check_not_failed()
        last = pipeline.put([HubStopped()], EMPTY)[0].seq
        self._lifecycle.move(Phase.STOPPED)
        with anyio.move_on_after(seconds_max) as deadline:
            await pipeline.until_committed(last)
        if deadline.cancelled_caught:
            pipeline.fail(
                HubFailed(
                    f"the last {pipeline.ring.in_flight} events were not committed within {seconds_max:g} s of closing;"
                    " those in the journal will be, at the next start"
                )
            )
            return
        await fanout.leave(seconds_max)
