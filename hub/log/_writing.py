"""The writer of a log: it carries out the commands in its queue, and appends in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from ..errors import AlreadyExists, AppendConflict, Fenced, StoreError, StoreFull
from ..waking import Beginning, start_later
from ._phase import Lifecycle, LogPhase
from ._queue import Append, Close, Command, Group, Queue, Repair
from ._segments import Segments
from ._tail import Sealed

__all__ = ("OnAppended", "Prepare", "Writer", "fenced")

OnAppended = Callable[[int, Sequence[bytes]], None]

Prepare = Callable[[list[bytes]], list[bytes]]
"""Returns records as they are to be stored, as many as it is given."""

_GROUP_BYTES = 64 * 1024
"""So many bytes are prepared at once, which may hold up the event loop."""


class Writer:
    """Carries out one command after the other. It has no task of its own.

    A command that finds it idle begins in the call itself. While an append is under way the next batch grows.
    """

    def __init__(
        self, segments: Segments, life: Lifecycle, on_appended: OnAppended | None, prepare: Prepare | None
    ) -> None:
        self._segments = segments
        self._life = life
        self._on_appended = on_appended
        self._prepare = prepare
        self._queue = Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where a command is being carried out; None while the writer is idle."""
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        """What waits until nothing is under way."""
        """What is under way: the loop itself keeps no task alive."""
        self._is_shared = False
        """Whether several appends shared the last batch."""

    @property
    def has_close(self) -> bool:
        """Whether a closing waits."""
        return self._queue.has_close

    def put(self, command: Command) -> None:
        """Take a command; its future is settled when it is carried out.

        If an earlier event loop ended while a command was under way, the log fails. It can only be closed then.
        """
        loop = command.future.get_loop()
        if self._loop is loop:
            self._queue.append(command)
        elif self._loop is None:
            self._loop = loop
            self._queue.append(command)
            self._advance_when_gathered()
        else:
            # The callers in the other loop are gone, and what had been begun there may or may not be on the store.
            self._loop = None
            self._fail(self._lost())
            if not isinstance(command, Close):
                self._life.check_not_failed()
            self.put(command)

    def put_together(self, body: bytes, loop: asyncio.AbstractEventLoop) -> asyncio.Future[int]:
        """Take a record together with those that came just before, and wait; return its own future, of this loop."""
        future: asyncio.Future[int] = loop.create_future()
        queue = self._queue
        last = queue[-1] if queue else None
        if type(last) is Group and loop is self._loop and last.size < _GROUP_BYTES:
            last.add(future, body)
            if last.size >= _GROUP_BYTES and not self._is_prepared(last):
                queue.pop()
        else:
            self.put(Group(future, body))
        return future

    async def until_idle(self) -> None:
        """Return when nothing is under way in this loop."""
        if self._loop is not None and self._loop is asyncio.get_running_loop():
            if self._idle is None or self._idle.done():
                self._idle = self._loop.create_future()
            await asyncio.shield(self._idle)

    def abandon(self) -> None:
        """Forget what is under way and what waits, in a forked process: both are the parent's."""
        self._loop = None
        self._queue.clear()

    # -- one command after the other --

    def _advance_when_gathered(self) -> None:
        """Advance, but if appends shared the last batch let their callers append again first: into the next one."""
        if self._is_shared:
            asyncio.get_running_loop().call_soon(self._advance)
        else:
            self._advance()

    def _advance(self) -> None:
        """Carry out what waits, in the order of the calls, until a command has to be waited for."""
        queue, life, segments = self._queue, self._life, self._segments
        while queue:
            command = queue[0]
            if isinstance(command, Close):
                queue.popleft()
                if life.is_held:
                    life.move(LogPhase.CLOSING)
                    # The loop may be ending: a closing that never began would leave the log held.
                    self._task = self._later(Beginning(self._run(partial(self._close, command))))
                    return
                command.settle(segments.tail.records)
            elif life.phase is not LogPhase.OPEN:
                life.move(LogPhase.OPENING)
                self._start(self._open)
                return
            elif not (isinstance(command, Append) and command.bodies):
                if isinstance(command, Repair) and not segments.is_repaired:
                    self._start(self._repair)
                    return
                # It only waited for its place in the order.
                queue.popleft().settle(segments.tail.records)
            elif not segments.is_repaired:
                self._start(self._repair)
                return
            elif segments.is_full:
                self._start(self._rotate)
                return
            elif self._begin_append(queue.take_appends()):
                return
        self._loop = None
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _start(self, step: Callable[[], Awaitable[None]]) -> None:
        self._task = self._later(self._run(step))

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return start_later(work, name=f"hubwire log {self._segments.path}")

    async def _run(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except asyncio.CancelledError:
            # The loop is being torn down. Only recovery will know what is on the store.
            self._fail(self._lost())
            raise
        finally:
            self._advance()

    async def _open(self) -> None:
        try:
            await self._segments.open()
        except Exception as error:  # noqa: BLE001 - the calls that wait raise it
            self._life.release()
            self._queue.fail_all(_as_fenced(error, self._segments.path))
        else:
            self._life.move(LogPhase.OPEN)

    async def _repair(self) -> None:
        try:
            await self._segments.repair()
        except Exception as error:  # noqa: BLE001 - the calls that wait raise it
            is_repair = isinstance(self._queue[0], Repair)
            self._fail_batch([self._queue.popleft()] if is_repair else self._queue.take_appends(), error)

    async def _rotate(self) -> None:
        try:
            await self._segments.rotate()
        except Exception as error:  # noqa: BLE001 - the calls that wait raise it
            self._fail_batch(self._queue.take_appends(), error)

    async def _close(self, close: Close) -> None:
        self._is_shared = False
        try:
            await self._segments.close(mark_clean=self._life.phase is LogPhase.CLOSING)
        except asyncio.CancelledError:
            close.fail(self._lost())
            raise
        except Exception as error:  # noqa: BLE001 - the call raises it
            close.fail(error)
        else:
            close.settle(self._segments.tail.records)
        self._life.release()

    # -- group commit --

    def _begin_append(self, appends: list[Append]) -> bool:
        """Begin to write a batch; return False if that failed."""
        segments = self._segments
        if self._prepare is not None:
            appends = [append for append in appends if type(append) is not Group or self._is_prepared(append)]
            if not appends:
                return False
        self._is_shared = len(appends) > 1 or appends[0].is_shared
        for append in appends:
            if append.opening is not None:
                segments.announce(append.opening)
        bodies = [*segments.preamble, *[body for append in appends for body in append.bodies]]
        try:
            sealed = segments.seal(bodies)
            segments.begin_append(sealed, partial(self._end_append, appends, bodies, sealed))
        except Exception as error:  # noqa: BLE001 - the calls that wait raise it
            self._fail_batch(appends, error)
            return False
        return True

    def _is_prepared(self, group: Group) -> bool:
        """Have the records of a group as they are to be stored; fail it and return False if that cannot be."""
        if self._prepare is None or group.is_prepared:
            return True
        try:
            group.bodies = self._prepare(group.bodies)
        except Exception as error:  # noqa: BLE001 - the calls that wait raise it, and the log goes on without them
            group.fail(error)
            return False
        group.is_prepared = True
        return True

    def _end_append(
        self, appends: list[Append], bodies: list[bytes], sealed: Sealed, _: int | None, error: BaseException | None
    ) -> None:
        """A batch is durable, or it failed: settle it, and go on."""
        segments = self._segments
        first = segments.tail.records
        if error is None:
            try:
                segments.advance(sealed)
                segments.marking.moved()
                if self._on_appended is not None:
                    self._on_appended(first, bodies)
            except Exception as raised:  # noqa: BLE001 - the calls that wait raise it
                error = raised
        if error is None:
            self._settle_batch(appends, first + len(segments.preamble))
            segments.preamble = []
        else:
            self._fail_batch(appends, error)
        self._advance_when_gathered()

    def _settle_batch(self, appends: list[Append], index: int) -> None:
        tail = self._segments.tail
        for append in appends:
            if append.seq is not None:
                tail.seq, tail.hub = append.seq, append.hub
            if type(append) is Group:
                append.settle(index)
            elif not append.future.done():
                append.future.set_result(index)
            index += len(append.bodies)

    # -- failures --

    def _fail_batch(self, commands: Sequence[Command], error: BaseException) -> None:
        """Fail commands that were not carried out. The log goes on after a full store, and after no other error."""
        if not isinstance(error, Exception):
            error = self._lost()
        failure = _as_fenced(error, self._segments.path)
        for command in commands:
            command.fail(failure)
        if not isinstance(failure, StoreFull):
            self._fail(failure)

    def _fail(self, failure: Exception) -> None:
        self._life.fail(failure)
        self._queue.fail_all(failure)

    def _lost(self) -> StoreError:
        path = self._segments.path
        return StoreError(f"the loop ended while {path} was being written; open the log again", path=path)


def _as_fenced(error: Exception, path: str) -> Exception:
    """Return :class:`Fenced` for an error which says that another writer has been there, and any other as it is."""
    if not isinstance(error, (AppendConflict, AlreadyExists)):
        return error
    failure = fenced(path, error.byte_offset)
    failure.__cause__ = error
    return failure


def fenced(path: str, byte_offset: int | None = None) -> Fenced:
    """Return the error for a log that another writer has written to."""
    return Fenced(
        f"another writer has written to the log {path}; this one stops, so that the log has one history. See that only"
        " one program writes it, then start again",
        path=path,
        byte_offset=byte_offset,
    )
