"""The hub's side of a recorder: a feed that takes entries from the queue and puts the events that they are."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

import anyio
from anyio import to_thread

from .. import Hub
from ..clock import SystemClock
from ..context import scope
from ..coverage import Coverage
from ..errors import (
    AccessDenied,
    EventTooLarge,
    HistoryGone,
    HubClosed,
    HubError,
    HubFailed,
    NotFound,
    Overloaded,
)
from ..events import Event, RecordingCovered, RecordingDropped
from ..own_log import OwnLog
from ..redaction import Redactor
from ._asking import ask, verdict_of
from ._coverages import with_version
from ._crossing import Crossing, settle
from ._queue import Entry, Queue
from ._span import LATE_NS
from ._spans import Spans
from ._tidy import Tidy, without_contents
from ._unheard import RUN_IT, unheard_in
from .verdict import Verdict

__all__ = ("Bringing",)

_log = OwnLog("runtimes")

_time_of_day = SystemClock()  # that of the runtime, whatever clock the hub has

_BATCH: Final = 64
_TURN_SECONDS: Final = 0.002
"""How long the loop is held at a time."""
_SWEEP_SECONDS: Final = 1.0
_DUE_NS: Final = 200_000_000
"""So often it is looked for what has waited long enough, however much comes."""
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
        coverage: Coverage | None = None,
    ) -> None:
        self._queue = queue
        self.name: str = f"recorder of {source}"
        """As a feed; a hub numbers those of one name, and the one before may not have ended yet."""
        self._source = source
        self._agent = agent
        self._tenant = tenant
        self._tidy = Tidy(redactor, chars_max)
        self._spans = Spans(source, session, self._tidy, queue.forget)
        self._uncovered = coverage
        """What it captures, until an event has said so."""
        self._agent_ids: dict[str, str | None] = {}
        self.crossing: Final = Crossing()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._is_finishing = False
        self._due_ns = 0
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
        self.crossing.enter(hub)
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
        """Return what is left out now; what was, statistics and ``recording.dropped`` say."""
        if self._has_finished.done():
            return ()
        if unheard := unheard_in(self._queue):
            held = f"the recorder of {self._source} holds {unheard:,} calls for this hub, which was never started"
            return (f"{held}: run agents inside {RUN_IT}",)
        if dropped := sum(self._queue.dropped.copy().values()):
            what = f"has left out {dropped:,} calls that the log does not know of yet"
        elif self._queue.is_full:
            what = "leaves out calls of models and tools that begin now"
        else:
            return ()
        return (f"the recorder of {self._source} {what}: more come than the hub takes in",)

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
        loop = self.crossing.loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:
            self._give_up()  # the loop is closed, and the hub has ended with it

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
        now_ns = time.monotonic_ns()
        if self._spans.is_waiting and now_ns >= self._due_ns:
            self._due_ns = now_ns + _DUE_NS
            await self._put_steps(face, self._spans.due(now_ns))
        if self._queue.is_crowded:
            await self._put_steps(face, self._spans.abandon_old(time.monotonic_ns()))
        if dropped := self._queue.take_dropped():
            event = RecordingDropped(count=sum(dropped.values()), steps=dropped, source=self._source)
            await self._put(face, event)

    async def _take(self, face: Any, entry: Entry) -> None:
        if entry.step == "mark":
            if not entry.fields["future"].done():
                entry.fields["future"].set_result(self._newest)
            return
        entry.is_late = _time_of_day.now_ns() - entry.wall_ns > LATE_NS
        try:
            await self._taken(face, entry)
        except (HubClosed, HubFailed):
            raise
        except Exception as error:  # noqa: BLE001 - the entries after it are to be taken in
            self.refused += 1
            settle(entry.fields.get("future"), error)
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
        if self._uncovered is not None:
            await self._say_coverage(face, self._uncovered)
        try:
            try:
                put = await self._emit(face, event)
            except EventTooLarge:
                put = await self._emit(face, without_contents(event))
        except (HubClosed, HubFailed):
            raise
        except HubError as error:
            self.refused += 1
            _log.problem("the hub refused what a recorder brought", error, source=self._source, kind=event.kind)
            return None
        self.events += 1
        self._newest = put
        return put

    async def _say_coverage(self, face: Any, coverage: Coverage) -> None:
        """Say what is captured and what is hidden, before the first event that is put."""
        self._uncovered = None
        coverage = await to_thread.run_sync(with_version, coverage)
        event = RecordingCovered(
            runtime=coverage.source, version=coverage.version, captured=coverage.captured, hidden=coverage.hidden
        )
        try:
            await self._emit(face, event)
        except (HubClosed, HubFailed):
            raise
        except HubError as error:
            _log.problem("the hub refused what a recorder says it captures", error, source=self._source)

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
        self._give_up()
        self._ended.set()

    def _give_up(self) -> None:
        self._queue.close()
        self._queue.on_entry(None)
        for entry in (*self._batch, *self._queue.take(len(self._queue))):
            settle(entry.fields.get("future"), HubClosed("the hub has ended before it was asked"))
        self._batch.clear()
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

    # -- what other threads and loops wait for --

    async def decide(self, asked: Future[str]) -> Verdict:
        """Return the verdict of what is asked, in any loop."""
        try:
            approval_id = await self.crossing.done(asked)
            return await self.crossing.here(lambda hub: verdict_of(hub, self._tenant, approval_id))
        except Exception as error:  # noqa: BLE001 - what cannot be decided is not approved
            return Verdict(is_approved=False, reason=f"the hub could not be asked: {error}")

    def decide_blocking(self, asked: Future[str]) -> Verdict:
        try:
            self.crossing.check_elsewhere("decide()")
            approval_id = self.crossing.result(asked)
            deciding = self.crossing.there(lambda hub: verdict_of(hub, self._tenant, approval_id))
            return self.crossing.result(deciding)
        except Exception as error:  # noqa: BLE001 - what cannot be decided is not approved
            return Verdict(is_approved=False, reason=f"the hub could not be asked: {error}")

    async def flush(self, mark: Future[Event | None]) -> None:
        newest = await self.crossing.done(mark)
        if newest is not None:
            await self.crossing.here(lambda hub: self._committed(hub, newest))

    def flush_blocking(self, mark: Future[Event | None], timeout: float | None) -> None:
        self.crossing.check_elsewhere("flush()")
        newest = self.crossing.result(mark, timeout)
        if newest is not None:
            self.crossing.result(self.crossing.there(lambda hub: self._committed(hub, newest)), timeout)

    def close(self) -> None:
        """Let the hub take in what waits, and end; it is not waited for."""
        self._is_finishing = True
        self._wake_soon()

    async def closed(self) -> None:
        """Return when the hub has taken in what waited. Works in any loop."""
        await self.crossing.done(self._has_finished)

    def leave(self) -> None:
        """Have no part in the hub any more: in a forked child the loop is the parent's."""
        self.crossing.leave()
        self._has_finished = Future()
        self._has_finished.set_result(None)

    # -- approvals --

    async def _ask(self, face: Any, entry: Entry, name: str, agent: str) -> None:
        try:
            await self._asked(face, entry, agent)
        except NotFound:  # the agent has left the hub since it was registered
            self._agent_ids.pop(name, None)
            await self._asked(face, entry, await self._agent_id(face, name) or name)

    async def _asked(self, face: Any, entry: Entry, agent: str) -> None:
        try:
            await ask(face, entry, agent, self._source, self._tidy)
        except NotFound:
            raise
        except HubError as error:
            settle(entry.fields.get("future"), error)
            if isinstance(error, HubClosed | HubFailed):
                raise
            self.refused += 1
            _log.problem(
                "the hub refused an approval of a runtime", error, source=self._source, action=entry.fields["action"]
            )
