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
from ._actors.registry import Actors
from ._commands import Core, Verdicts, new_id
from ._commit.pipeline import Pipeline
from ._commit.threads import FromThreads
from ._commit.timers import Timers
from ._delivery.duty import Duty
from ._delivery.fanout import Fanout
from ._journal.upkeep import Upkeep
from ._state import State
from ._version import installed_version
from .context import EMPTY
from .errors import ConfigurationError, HubClosed, HubFailed, append_context, repeat
from .events import HubStarted, HubStopped
from .ports import Journal

__all__ = ("HubLife",)

_JOURNAL_CLOSE_SECONDS_MAX = 5.0
_YIELD_EVERY = 256


class HubLife:
    """Starts the parts of a hub in order, and stops them in order."""

    def __init__(
        self,
        *,
        journal: Journal | None,
        upkeep: Upkeep | None,
        state: State,
        pipeline: Pipeline,
        fanout: Fanout,
        core: Core,
        timers: Timers,
        verdicts: Verdicts,
        actors: Actors,
        from_threads: FromThreads,
        close_seconds_max: float,
    ) -> None:
        self._journal = journal
        self._upkeep = upkeep
        self._state = state
        self._pipeline = pipeline
        self._fanout = fanout
        self._core = core
        self._timers = timers
        self._verdicts = verdicts
        self._actors = actors
        self._from_threads = from_threads
        self._close_seconds_max = close_seconds_max
        self._main: asyncio.Task[None] | None = None
        self._stop_requested: asyncio.Event | None = None

    @property
    def is_open(self) -> bool:
        """Whether the hub takes commands."""
        return self._main is not None and not self._pipeline.closed

    def check_open(self) -> None:
        """Raise what the hub failed with, or :class:`~hubwire.errors.HubClosed` if it takes no commands."""
        if self._pipeline.failure is not None:
            raise repeat(self._pipeline.failure)
        if not self.is_open:
            raise HubClosed("the hub is not running: use it inside 'async with hub:'")

    async def start(self) -> None:
        """As :meth:`hubwire.Hub.start`."""
        if self._main is not None:
            raise ConfigurationError(
                "this hub was started already; make a new one: Hub(store) goes on where this one stopped"
            )
        self._stop_requested = asyncio.Event()
        self._from_threads.begin()
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run(started), name="hubwire hub")
        try:
            await started
        except asyncio.CancelledError:
            self._main.cancel()
            await asyncio.wait([self._main])
            raise

    async def aclose(self) -> None:
        """As :meth:`hubwire.Hub.aclose`."""
        if self._main is None or self._stop_requested is None:
            return
        if not self._main.done():
            self._from_threads.check_here()
        self._stop_requested.set()
        if self._fanout.is_calling() or self._actors.is_calling():
            return
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not self._main.done():
                try:
                    await asyncio.wait([self._main])
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._pipeline.failure is not None:
            raise repeat(self._pipeline.failure)
        if not self._main.cancelled() and (failure := self._main.exception()) is not None:
            raise failure

    async def _run(self, started: asyncio.Future[None]) -> None:
        """Do everything the hub does, from start to end."""
        refusal: BaseException | None = None
        try:
            refusal = await self._live(started)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw must not leave emitters waiting
            failure = HubFailed(f"the hub stops because of an error of its own ({error!r}); please report it")
            failure.__cause__ = error
            self._pipeline.fail(failure)
        finally:
            if refusal is None and not self._pipeline.stopped:
                self._pipeline.fail(HubFailed("the hub stops, because its tasks were cancelled by somebody else"))
            self._pipeline.end()
            self._core.end()
            self._fanout.end()
            self._from_threads.end(self._pipeline.failure)
            refusal = refusal or self._pipeline.failure
            try:
                await self._close_journal(is_well=refusal is None)
            except Exception as error:
                if refusal is None:
                    raise
                append_context(refusal, error)
            finally:
                if not started.done():
                    started.set_exception(refusal or HubClosed("the hub was cancelled while it started"))

    async def _close_journal(self, *, is_well: bool) -> None:
        if self._journal is None or self._upkeep is None:
            return
        with anyio.CancelScope(shield=True):
            try:
                if is_well:
                    with anyio.move_on_after(self._close_seconds_max):
                        await self._upkeep.close()
            finally:
                with anyio.move_on_after(_JOURNAL_CLOSE_SECONDS_MAX):
                    await self._journal.aclose()

    async def _live(self, started: asyncio.Future[None]) -> BaseException | None:
        """Hold all tasks in one group until the hub is asked to stop, or fails; return why it could not start."""
        assert self._stop_requested is not None
        refusal: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            try:
                await self._start(tasks)
            except Exception as error:  # noqa: BLE001 - it is raised again, to who called start()
                refusal = error
            else:
                if not started.done():
                    started.set_result(None)
                await self._stop_requested.wait()
                await self._stop()
            tasks.cancel_scope.cancel()
        return refusal

    async def _start(self, tasks: TaskGroup) -> None:
        journal, upkeep, pipeline, fanout = self._journal, self._upkeep, self._pipeline, self._fanout
        pipeline.begin()
        if journal is not None:
            await anyio.to_thread.run_sync(codec.prepare)
            await journal.open()
        await fanout.start(tasks)
        pipeline.hub_id = (journal and journal.hub_id) or fanout.known_hub_id() or new_id()
        next_seq = fanout.highest_position() + 1
        if journal is not None and upkeep is not None:
            await self._recover(journal, await upkeep.restore())
            next_seq = journal.next_seq
        pipeline.ring.start_at(next_seq)
        if upkeep is not None:
            tasks.start_soon(pipeline.run_journal)
        fanout.go()
        if upkeep is not None:
            await upkeep.save_positions()
            tasks.start_soon(upkeep.keep_positions)
            tasks.start_soon(upkeep.keep_journal)
        for attachment in tuple(fanout.attachments):
            if attachment.duty is Duty.REQUIRED:
                await attachment.ready()
        version = await anyio.to_thread.run_sync(installed_version)  # it reads files, once
        started = HubStarted(version=version, pid=os.getpid(), host=socket.gethostname())
        await pipeline.until_committed(pipeline.put([started, *self._state.repair()], EMPTY)[-1].seq)
        fanout.announcements.begin(tasks)
        pipeline.open()
        tasks.start_soon(self._timers.run)
        tasks.start_soon(self._verdicts.run)
        self._actors.begin(tasks)

    async def _recover(self, journal: Journal, start: int) -> None:
        """Replay what is newer than the snapshot."""
        async for event in journal.replay(start - 1):
            self._state.apply(event)
            self._pipeline.last_at = event.at
            if event.seq % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _stop(self) -> None:
        pipeline, fanout = self._pipeline, self._fanout
        await self._actors.close(self._close_seconds_max)
        pipeline.close()
        await fanout.close(self._close_seconds_max)
        last = pipeline.put([HubStopped()], EMPTY)[0].seq
        pipeline.stopped = True
        with anyio.move_on_after(self._close_seconds_max) as deadline:
            await pipeline.until_committed(last)
        if deadline.cancelled_caught:
            pipeline.fail(
                HubFailed(
                    f"the last {pipeline.in_flight} events were not committed within {self._close_seconds_max:g} s of"
                    " closing; those in the journal will be, at the next start"
                )
            )
            return
        await fanout.leave((Duty.BEST_EFFORT, Duty.DURABLE), self._close_seconds_max)
        await fanout.leave((Duty.REQUIRED,), self._close_seconds_max)
