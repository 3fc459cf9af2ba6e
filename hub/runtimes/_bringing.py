"""The hub's side of a recorder: a feed that takes entries from the queue and puts the events that they are."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import anyio

from .. import Hub
from ..clock import SystemClock
from ..context import scope
from ..errors import (
    AccessDenied,
    CommandRejected,
    ConfigurationError,
    HistoryGone,
    HubClosed,
    HubError,
    HubFailed,
    NotApproved,
    NotFound,
    Overloaded,
)
from ..events import Event, RecordingDropped
from ..own_log import OwnLog
from ..redaction import Redactor
from ._capture import captured
from ._queue import Entry, Queue
from ._spans import Spans
from ._stream import TAIL_CHARS
from .verdict import Verdict

__all__ = ("Bringing",)

T = TypeVar("T")

_log = OwnLog("runtimes")

_time_of_day = SystemClock()  # that of the runtime, whatever clock the hub has

_BATCH: Final = 64
_TURN_SECONDS: Final = 0.002
"""How long the loop is held at a time."""
_SWEEP_SECONDS: Final = 1.0
_LATE_NS: Final = 1_000_000_000
_AGENTS_MAX: Final = 10_000
"""How many agents one recorder registers."""


class Bringing:
    """Brings what a recorder has queued into its hub, in order. It runs in the hub's loop."""

    def __init__(
        self,
        queue: Queue,
        *,
        source: str,
        agent: str,
        session: str | None,
        tenant: str | None,
        redactor: Redactor,
        chars_max: int,
    ) -> None:
        self._queue = queue
        self.name: str = f"recorder of {source}"
        """As a feed; a hub numbers those of one name, and the one before may not have ended yet."""
        self._source = source
        self._agent = agent
        self._tenant = tenant
        self._redactor = redactor
        self._chars_max = chars_max
        self._spans = Spans(source, session, self._tidy, self._tidy_end, queue.forget)
        self._agent_ids: dict[str, str | None] = {}
        self._hub: Hub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._is_finishing = False
        self._has_finished: Future[None] = Future()
        self._batch: deque[Entry] = deque()
        """What was taken from the queue, the first of which is being taken in."""
        self._newest: Event | None = None
        """The newest event that was put and may not be committed yet."""
        self.events: int = 0
        self.refused: int = 0
        self._arbiter_is_awaited: bool | None = None
        """Whether the hub has an arbiter that has to be awaited; None while that is not known."""

    def ending(self) -> Future[None]:
        """Return a future that is done when nothing is taken in any more."""
        ending: Future[None] = Future()
        self._has_finished.add_done_callback(lambda _: ending.set_result(None))
        return ending

    @property
    def replays(self) -> int:
        return self._spans.replays

    # -- as the hub's feed --

    async def run(self, hub: Hub) -> None:
        """Take in what is queued, until the end."""
        face: Any = hub if self._tenant is None else hub.for_tenant(self._tenant)
        self._hub, self._loop = hub, asyncio.get_running_loop()
        self._queue.on_entry(self._wake_soon)
        try:
            while True:
                self._wake.clear()
                await self._take_in(face)
                if self._is_finishing and not len(self._queue):
                    await self._abandon_all(face, hub)
                    self._end_at_once()
                    return
                timeout = _SWEEP_SECONDS if self._spans.is_waiting else None
                with anyio.move_on_after(timeout):
                    await self._wake.wait()
        except (HubClosed, HubFailed):
            self._end_at_once()
        except asyncio.CancelledError:
            self._end_at_once()
            raise

    async def finish(self) -> None:
        """Take in all that is queued, and abandon what is open."""
        self._is_finishing = True
        self._wake.set()
        await self._ended.wait()

    def problems(self) -> Sequence[str]:
        dropped = self._queue.dropped_total
        if dropped == 0:
            return ()
        why = "because more came than the hub could take in, or it was closed"
        return (f"the recorder of {self._source} has left out {dropped} calls, {why}",)

    def statistics(self) -> Mapping[str, int]:
        return {
            "waiting": len(self._queue),
            "open": self._queue.open_keys,
            "events": self.events,
            "dropped": self._queue.dropped_total,
            "refused": self.refused,
            "replays": self.replays,
        }

    def _wake_soon(self) -> None:
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:
            self._queue.close()  # the loop is closed, and the hub has ended with it

    # -- taking in --

    async def _take_in(self, face: Any) -> None:
        turn_ends = time.monotonic() + _TURN_SECONDS
        while entries := self._queue.take(_BATCH):
            self._batch.extend(entries)
            while self._batch:
                await self._take(face, self._batch[0])
                self._batch.popleft()
                if time.monotonic() > turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time.monotonic() + _TURN_SECONDS
        if self._spans.is_waiting:
            await self._put_steps(face, self._spans.due(time.monotonic_ns()))
        if self._queue.is_crowded:
            await self._put_steps(face, self._spans.abandon_old(time.monotonic_ns()))
        if dropped := self._queue.take_dropped():
            event = RecordingDropped(count=sum(dropped.values()), steps=dropped, source=self._source)
            await self._put(face, event)

    async def _take(self, face: Any, entry: Entry) -> None:
        if entry.step == "mark":
            entry.fields["future"].set_result(self._newest)
            return
        entry.is_late = _time_of_day.now_ns() - entry.wall_ns > _LATE_NS
        try:
            await self._taken(face, entry)
        except (HubClosed, HubFailed):
            raise
        except Exception as error:  # noqa: BLE001 - the entries after it are to be taken in
            self.refused += 1
            _set(entry.fields.get("future"), error)
            _log.problem("a recorder could not bring in what it was told", error, source=self._source, step=entry.step)

    async def _taken(self, face: Any, entry: Entry) -> None:
        if entry.step == "fact" and entry.parent is None and "agent" not in entry.fields:
            await self._put_steps(face, self._spans.fold(entry, "", None))  # it is no agent's
            return
        agent = self._spans.agent_of(entry, self._agent)
        agent_id = await self._agent_id(face, agent)
        if entry.step in ("ask", "verdict"):
            with scope(**self._spans.place_of(entry)):
                await self._ask(face, entry, agent, agent_id or agent)
        else:
            await self._put_steps(face, self._spans.fold(entry, agent, agent_id))

    async def _put_steps(self, face: Any, steps: Any) -> None:
        for event, span in steps:
            put = await self._put(face, event)
            if span is not None and put is not None:
                span.begun_id = put.id

    async def _put(self, face: Any, event: Event) -> Event | None:
        try:
            put = await self._emit(face, event)
        except (HubClosed, HubFailed):
            raise
        except HubError as error:
            self.refused += 1
            _log.problem("the hub refused what a recorder brought", error, source=self._source, kind=event.kind)
            return None
        self.events += 1
        self._newest = put
        return put

    async def _emit(self, face: Any, event: Event) -> Event:
        if self._arbiter_is_awaited:
            put: Event = await face.emit(event)
            return put
        try:
            put = face.emit_nowait(event)
        except Overloaded:
            put = await face.emit(event)
        except AccessDenied:
            if self._arbiter_is_awaited is False:
                raise
            self._arbiter_is_awaited = False  # if it denies this again, it is none that has to be awaited
            put = await face.emit(event)
            self._arbiter_is_awaited = True
        return put

    async def _abandon_all(self, face: Any, hub: Hub) -> None:
        await self._put_steps(face, self._spans.abandon_all("its recorder was closed before its end"))
        if self._newest is not None:
            await self._committed(hub, self._newest)

    def _end_at_once(self) -> None:
        """Take in nothing more: what still waits for the hub waits in vain."""
        self._queue.close()
        self._queue.on_entry(None)
        for entry in (*self._batch, *self._queue.take(len(self._queue))):
            _set(entry.fields.get("future"), HubClosed("the hub has ended before it was asked"))
        self._batch.clear()
        self._ended.set()
        if not self._has_finished.done():
            self._has_finished.set_result(None)

    @staticmethod
    async def _committed(hub: Hub, event: Event) -> None:
        """Return when an event is committed."""
        try:
            async for _ in hub.events(after=event.seq - 1):  # which are those that are committed
                return
        except HistoryGone:
            return  # it is so long ago that the hub holds it no more

    def _tidy(self, value: Any) -> Any:
        """Redact a value, and cut it to what is shown."""
        if value is None:
            return None
        return captured(self._redactor.redact(value), self._chars_max)

    def _tidy_end(self, tail: Any) -> Any:
        """Redact the end of an answer, and cut it to what is shown, at its beginning."""
        return captured(self._redactor.redact(tail), TAIL_CHARS)[-min(self._chars_max, TAIL_CHARS // 2) :]

    # -- agents --

    async def _agent_id(self, face: Any, name: str) -> str | None:
        if name not in self._agent_ids and len(self._agent_ids) >= _AGENTS_MAX:
            name = self._agent  # where strangers name themselves, they would fill the hub with agents
        if name in self._agent_ids:
            return self._agent_ids[name]
        agent_id: str | None = None
        try:
            agent = face.agents.find(name) or await face.agents.register(name)
            agent_id = agent.id
        except (HubClosed, HubFailed):
            raise
        except HubError as error:  # as a name that no agent can have, or an arbiter that denies it
            _log.problem("an agent of a runtime could not be registered", error, source=self._source, agent=name)
            agent_id = name
        self._agent_ids[name] = agent_id
        return agent_id

    # -- approvals --

    async def _ask(self, face: Any, entry: Entry, name: str, agent: str) -> None:
        try:
            await self._asked(face, entry, agent)
        except NotFound:  # the agent has left the hub since it was registered
            self._agent_ids.pop(name, None)
            await self._asked(face, entry, await self._agent_id(face, name) or name)

    async def _asked(self, face: Any, entry: Entry, agent: str) -> None:
        fields = entry.fields
        key = f"{self._source}:{entry.key}"[:500]
        future: Future[str] | None = fields.get("future")
        try:
            if entry.step == "verdict":
                await face.approvals.record(
                    agent,
                    fields["action"],
                    arguments=fields.get("arguments"),
                    approver=fields["approver"],
                    is_passed=fields["is_passed"],
                    reason=fields.get("reason", ""),
                    idempotency_key=key,
                )
                return
            approval_id = await face.approvals.request(
                agent, fields["action"], arguments=fields.get("arguments"), idempotency_key=key
            )
        except NotFound:
            raise
        except HubError as error:
            _set(future, error)
            if isinstance(error, HubClosed | HubFailed):
                raise
            self.refused += 1
            _log.problem(
                "the hub refused an approval of a runtime", error, source=self._source, action=fields["action"]
            )
        else:
            if future is not None and not future.done():
                future.set_result(approval_id)

    async def decide(self, asked: Future[str]) -> Verdict:
        """Return the verdict of what is asked, in any loop."""
        try:
            approval_id = await _done(asked)
            return await self._here(lambda hub: _verdict(hub, self._tenant, approval_id))
        except Exception as error:  # noqa: BLE001 - what cannot be decided is not approved
            return Verdict(is_approved=False, reason=f"the hub could not be asked: {error}")

    def decide_blocking(self, asked: Future[str]) -> Verdict:
        try:
            self._check_elsewhere("decide()")
            approval_id = asked.result()
            return self._there(lambda hub: _verdict(hub, self._tenant, approval_id)).result()
        except Exception as error:  # noqa: BLE001 - what cannot be decided is not approved
            return Verdict(is_approved=False, reason=f"the hub could not be asked: {error}")

    # -- other loops and threads --

    def _check_elsewhere(self, instead: str) -> None:
        if self._is_here():
            raise ConfigurationError(f"the hub's own event loop would wait for itself; use 'await recorder.{instead}'")

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    async def _here(self, work: Callable[[Hub], Coroutine[Any, Any, T]]) -> T:
        if self._is_here() and self._hub is not None:
            return await work(self._hub)
        return await asyncio.wrap_future(self._there(work))  # cancelled with what waits for it

    def _check_running(self) -> Hub:
        if self._hub is None:
            raise HubClosed("the hub of the recorder is not running: use it inside 'async with hub:'")
        return self._hub

    def _there(self, work: Callable[[Hub], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run something in the hub's loop."""
        hub = self._check_running()

        async def run() -> T:
            return await work(hub)

        return hub.approvals.from_thread(run)

    def leave(self) -> None:
        """Have no part in the hub any more: in a forked child the loop is the parent's."""
        self._hub = self._loop = None

    async def flush(self, mark: Future[Event | None]) -> None:
        newest = await _done(mark)
        if newest is not None:
            await self._here(lambda hub: self._committed(hub, newest))

    def flush_blocking(self, mark: Future[Event | None], timeout: float | None) -> None:
        self._check_elsewhere("flush()")
        newest = mark.result(timeout)
        if newest is not None:
            self._there(lambda hub: self._committed(hub, newest)).result(timeout)

    def close(self) -> None:
        """Let the hub take in what waits, and end; it is not waited for."""
        self._is_finishing = True
        self._wake_soon()

    async def closed(self) -> None:
        """Return when the hub has taken in what waited. Works in any loop."""
        await _done(self._has_finished)


async def _verdict(hub: Hub, tenant: str | None, approval_id: str) -> Verdict:
    face: Any = hub if tenant is None else hub.for_tenant(tenant)
    try:
        approval = await face.approvals.wait(approval_id)
    except NotApproved as error:
        return Verdict(is_approved=False, reason=error.reason or f"it was {error.verdict}", approval_id=approval_id)
    was_used = approval.was_used
    if not was_used:
        try:
            await face.approvals.use(approval)
        except CommandRejected:  # another call of the same key has just used it
            was_used = True
    return Verdict(
        is_approved=True,
        reason=approval.reason,
        approvers=approval.approvers,
        arguments=approval.arguments,
        is_modified=approval.verdict == "modified",
        approval_id=approval_id,
        was_used=was_used,
    )


def _set(future: Future[Any] | None, error: BaseException) -> None:
    if future is not None and not future.done():
        future.set_exception(error)


async def _done(future: Future[T]) -> T:
    """Wait for a future in any loop; what cancels this does not cancel the future."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        try:
            loop.call_soon_threadsafe(done.set)
        except RuntimeError:
            pass  # its loop was closed meanwhile: nobody waits

    future.add_done_callback(tell)
    await done.wait()
    return future.result()
