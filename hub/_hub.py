"""Hub: life cycle, listeners, and the way in. What it does lives in the parts it puts together."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs
from anyio.abc import TaskGroup

from ._adapt import Adapted
from ._attachment import Attachment, AttachmentState, AttachmentStatistics, Since
from ._commands import AgentCommands, ChannelCommands, Core, new_id
from ._duty import Duty, Overflow
from ._fanout import Fanout
from ._handling import OWN_DOMAINS
from ._journal import StoreJournal
from ._pipeline import Limits, Pipeline
from ._ring import Ring
from ._state import State
from ._stream import EventStream
from ._threads import FromThreads
from ._version import installed_version
from .clock import SystemClock
from .context import EMPTY
from .errors import CommandRejected, ConfigurationError, HubClosed, HubFailed, Overloaded, append_context, repeat
from .events import Event, GenericEvent, HubStarted, HubStopped, UnknownEvent, kind_class
from .events._event import check_kind
from .ports import Clock, Journal, KnowledgeStore

__all__ = ("Hub", "HubHealth", "HubStatistics")

F = TypeVar("F", bound=Callable[..., Any])

LISTENER_TIMEOUT_SECONDS = 30.0
CLOSE_SECONDS_MAX = 10.0
MAILBOX = 1000
_JOURNAL_CLOSE_SECONDS_MAX = 5.0


@attrs.frozen(kw_only=True)
class HubStatistics:
    """Every depth, lag, drop and failure of a hub, at one moment."""

    applied: int
    """How many events were ever applied: the ``seq`` of the next one."""
    journaled: int
    committed: int
    ring_events: int
    emitters_waiting: int
    """How many emitters wait to be admitted."""
    offers_dropped: int
    agents: int
    channels: int
    envelopes_pending: int
    attachments: tuple[AttachmentStatistics, ...]

    @property
    def in_flight(self) -> int:
        """How many events are applied and not yet committed."""
        return self.applied - self.committed


@attrs.frozen(kw_only=True)
class HubHealth:
    """Whether the hub keeps everything it owes; if not, ``problems`` tells what it does not keep."""

    healthy: bool
    problems: tuple[str, ...]


class Hub:
    """Holds agents and channels as state machines, and fans every state transition out to listeners.

    ``Hub(store)`` journals every event to the store before it is acknowledged, and recovers from there;
    ``Hub()`` lives in memory. Use it as ``async with Hub(...) as hub:``, in one event loop.

    ``listeners`` are attached with what they say of themselves; :meth:`attach` says more. ``journal`` replaces the
    journal that ``store`` would hold. Bounds, in events: ``in_flight_max`` uncommitted, beyond which emitters wait;
    ``ring`` recent ones kept in memory; ``listener_reserve`` that listeners may emit beyond ``in_flight_max``.
    ``event_bytes_max`` is the size of an event's JSON; ``close_seconds_max`` how long closing waits for listeners.

    Raises :class:`~hubwire.errors.ConfigurationError` for a setting that cannot work.
    """

    def __init__(
        self,
        store: KnowledgeStore | None = None,
        *,
        listeners: Iterable[Any] = (),
        journal: Journal | None = None,
        clock: Clock | None = None,
        ring: int = 4096,
        in_flight_max: int = 1024,
        listener_reserve: int = 256,
        event_bytes_max: int = 8 * 1024 * 1024,
        close_seconds_max: float = CLOSE_SECONDS_MAX,
    ) -> None:
        if store is not None and journal is not None:
            raise ConfigurationError(
                "give a store or a journal, not both: a store is where the hub makes a journal of its own"
            )
        if min(ring, in_flight_max, event_bytes_max) < 1:
            raise ConfigurationError("ring, in_flight_max and event_bytes_max must be at least 1")
        self._clock = clock or SystemClock()
        self._journal = StoreJournal(store, clock=self._clock) if store is not None else journal
        self._state = State()
        limits = Limits(in_flight_max=in_flight_max, listener_reserve=listener_reserve, event_bytes_max=event_bytes_max)
        self._pipeline = Pipeline(Ring(ring), self._state, self._journal, self._clock, limits)
        self._fanout = Fanout(self._pipeline, self._journal, self._clock)
        self._core = Core(self._pipeline, self._state)
        self._from_threads = FromThreads()
        self._close_seconds_max = close_seconds_max
        self._emittable: set[type[Event]] = set()
        self._main: asyncio.Task[None] | None = None
        self._stop_requested: asyncio.Event | None = None
        self.agents: AgentCommands = AgentCommands(self._core)
        self.channels: ChannelCommands = ChannelCommands(self._core)
        for listener in listeners:
            self.attach(listener)

    @property
    def id(self) -> str:
        """The hub's id, made with its journal; empty before it is started for the first time."""
        return self._pipeline.hub_id

    # -- listeners --

    def attach(
        self,
        listener: Any,
        *,
        pattern: str | Iterable[str] | None = None,
        duty: Duty | None = None,
        overflow: Overflow = Overflow.DROP_OLDEST,
        since: Since | None = None,
        timeout: float = LISTENER_TIMEOUT_SECONDS,
        mailbox: int = MAILBOX,
        name: str | None = None,
    ) -> Attachment:
        """Attach a listener, before or after start: an object with ``on_events``, one with some hooks, or a function.

        ``pattern``: the kinds it sees, ``*`` standing for any part of one; several may be given. ``duty``: see
        :class:`Duty`. ``since``: where it begins if it has no ``last_seq()``: ``"now"``, ``"start"`` of the journal, or
        a ``seq``. By default these three are what the listener's attributes of the same names say, else ``"*"``,
        BEST_EFFORT and ``"now"``.
        ``timeout``: seconds it may take per event. ``mailbox``: how many events a BEST_EFFORT listener may be behind
        before ``overflow`` happens. ``name``: unique on this hub; made from its class by default.

        Raises :class:`~hubwire.errors.ConfigurationError` if it cannot listen, or the name is taken, and
        :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if nothing will happen any more.
        """
        adapted = Adapted(listener)
        if timeout <= 0 or mailbox < 1:
            raise ConfigurationError(f"timeout={timeout} and mailbox={mailbox} must be positive")
        name = name or self._free_name(listener)
        duty = duty or adapted.declared("duty", Duty.BEST_EFFORT)
        if not isinstance(duty, Duty):
            raise ConfigurationError(f"the duty of listener {name!r} is {duty!r}; it must be a Duty, as Duty.REQUIRED")
        attachment = Attachment(
            self._fanout,
            adapted,
            name=name,
            pattern=adapted.declared("pattern", "*") if pattern is None else pattern,
            duty=duty,
            overflow=overflow,
            since=adapted.declared("since", "now") if since is None else since,
            timeout=timeout,
            mailbox=mailbox,
        )
        self._fanout.check_attachable(name)
        self._from_threads.check_here()
        adapted.bind(self)
        self._fanout.add(attachment)
        return attachment

    def on(self, pattern: str | Iterable[str] = "*", **settings: Any) -> Callable[[F], F]:
        """Attach the decorated function, sync or async; ``settings`` are those of :meth:`attach`."""

        def decorate(function: F) -> F:
            self.attach(function, pattern=pattern, **settings)
            return function

        return decorate

    def _free_name(self, listener: Any) -> str:
        stem = getattr(listener, "__name__", None) or type(listener).__name__
        taken = {attachment.name for attachment in self._fanout.attachments}
        return next(
            name
            for number in range(1, len(taken) + 2)
            if (name := f"{stem}-{number}" if number > 1 else stem) not in taken
        )

    # -- the way in --

    async def emit(self, event: Event) -> Event:
        """Commit an event; return it stamped. It is in the journal, and every required listener has it.

        Cancelled while it waits to be admitted, nothing has happened; cancelled later, the event is committed all the
        same. Raises :class:`~hubwire.errors.CommandRejected` for a kind that a command owns,
        :class:`~hubwire.errors.EventTooLarge`, :class:`~hubwire.errors.HubClosed`, or what the hub failed with.
        """
        if type(event) not in self._emittable:
            self._check_emittable(event)
        return (await self._pipeline.execute(lambda: (event,)))[0]

    def emit_nowait(self, event: Event) -> Event:
        """Take an event without waiting; return it stamped, not yet committed.

        Raises like :meth:`emit`, and :class:`~hubwire.errors.Overloaded` if too many events wait to be committed.
        """
        if type(event) not in self._emittable:
            self._check_emittable(event)
        return self._pipeline.put_nowait((event,))[0]

    def offer(self, event: Event) -> bool:
        """Take an event if the hub can take one now; otherwise drop it, count it, and return False.

        Raises only for an event that no hub would take.
        """
        if type(event) not in self._emittable:
            self._check_emittable(event)
        try:
            self._pipeline.put_nowait((event,))
        except (Overloaded, HubClosed, HubFailed):
            self._pipeline.dropped_offers += 1
            return False
        return True

    def emit_threadsafe(self, event: Event) -> Future[Event]:
        """Emit from any thread, or any other event loop; the future is done when the event is committed.

        The event inherits the context of the calling code. Emits of one thread keep their order. The future has what
        :meth:`emit` would raise. Cancelling it before the event is admitted succeeds, and nothing has happened; later,
        ``cancel()`` returns False, and the event is committed all the same. In a thread that works for a listener the
        commit waits for, the future is done when the event is applied. In the hub's own loop, do not block on it.
        """
        return self._from_threads.submit(partial(self._emit_for_thread, event))

    async def _emit_for_thread(self, event: Event, future: Future[Event]) -> None:
        def admitted() -> tuple[Event]:
            if not future.set_running_or_notify_cancel():
                raise asyncio.CancelledError
            return (event,)

        self._check_emittable(event)
        future.set_result((await self._pipeline.execute(admitted))[0])

    def _check_emittable(self, event: Event) -> None:
        cls = type(event)
        if not isinstance(event, Event):
            raise ConfigurationError(
                f"{event!r} is no event; emit GenericEvent(kind=..., data=...), or a kind declared with @event"
            )
        if cls.command is not None:
            raise CommandRejected(f"{event.kind!r} is not emitted: {cls.command} makes it")
        if cls is UnknownEvent:
            raise CommandRejected("an UnknownEvent is what reading gives; emit GenericEvent(kind=..., data=...)")
        if cls is GenericEvent:
            check_kind(event.kind)
            if kind_class(event.kind) is not None or event.kind.partition(".")[0] in OWN_DOMAINS:
                raise CommandRejected(
                    f"{event.kind!r} is a declared kind, or the hub's own; use its class, or another kind"
                )
            return
        self._emittable.add(cls)

    # -- the way out --

    def events(
        self, *, after: int | None = None, pattern: str | Iterable[str] = "*", history: bool = True
    ) -> EventStream:
        """Iterate over committed events with ``seq`` > ``after``: history, then live, without a gap or a duplicate.

        By default from now on. Without ``history`` the journal is not read: what is no longer in memory counts as gone.
        It ends when the hub is closed, and raises what it failed with, or
        :class:`~hubwire.errors.HistoryGone` when it asks for, or falls behind, what is held. Raises
        :class:`~hubwire.errors.HubClosed` before the hub is started, when there is no "now".
        """
        if not self._pipeline.hub_id:
            raise HubClosed("the hub is not running yet: use it inside 'async with hub:'")
        if not self._pipeline.stopped:
            self._from_threads.check_here()
        return EventStream(self._pipeline, self._journal if history else None, after, pattern)

    async def flush(self, *, timeout: float | None = None) -> None:
        """Return when every event taken until now is committed, and every listener has handled it.

        Raises ``TimeoutError``, naming who is behind, after ``timeout`` seconds; or what the hub failed with.
        """
        self._check_running()
        self._from_threads.check_here()
        if self._fanout.is_own_task(asyncio.current_task()):
            raise ConfigurationError("a listener cannot flush the hub: it would wait for itself; use another task")
        target = self._pipeline.ring.applied.value
        with anyio.move_on_after(timeout):
            await self._fanout.drain(target)
            if self._pipeline.failure is not None:
                raise repeat(self._pipeline.failure)
            return
        behind = [each.name for each in self._fanout.attachments if each.done < target]
        raise TimeoutError(
            f"after {timeout} s these have not handled event {target - 1}: {', '.join(behind) or 'the journal'}"
        )

    def statistics(self) -> HubStatistics:
        """Return every number there is, at once."""
        ring, state = self._pipeline.ring, self._state
        return HubStatistics(
            applied=ring.applied.value,
            journaled=ring.journaled.value,
            committed=ring.committed.value,
            ring_events=ring.applied.value - ring.first,
            emitters_waiting=self._pipeline.waiting,
            offers_dropped=self._pipeline.dropped_offers,
            agents=len(state.agents),
            channels=len(state.channels),
            envelopes_pending=state.inboxes.pending_total(),
            attachments=tuple(
                attachment.statistics()
                for attachment in (*self._fanout.attachments, *(lost for lost, _ in self._fanout.lost.values()))
            ),
        )

    def health(self) -> HubHealth:
        """Return whether the hub keeps everything it owes now."""
        problems = []
        if self._pipeline.failure is not None:
            problems.append(f"the hub has failed: {self._pipeline.failure}")
        elif self._main is None or self._pipeline.closed:
            problems.append("the hub is not running")
        problems += [f"{who} can write nothing: {error}" for who, error in self._pipeline.pauses.items()]
        problems += [f"listener {name!r} is detached: {reason}" for name, (_, reason) in self._fanout.lost.items()]
        problems += [
            f"listener {each.name!r} has not caught up yet"
            for each in self._fanout.attachments
            if each.state is AttachmentState.CATCHING_UP
        ]
        return HubHealth(healthy=not problems, problems=tuple(problems))

    # -- life cycle --

    async def start(self) -> None:
        """Take possession of the journal, recover, enter the listeners, and begin to take commands.

        Raises :class:`~hubwire.errors.AlreadyRunning` if another hub has the journal, and whatever a required listener
        raised on entering. A hub is started once.
        """
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
        """Take no more commands, let the listeners finish, commit ``hub.stopped``, and give everything up.

        It goes on to its end when it is cancelled. A listener not done after ``close_seconds_max`` is cancelled.
        Raises what the hub failed with. May be called again. From a listener it returns at once.
        """
        if self._main is None or self._stop_requested is None:
            return
        if not self._main.done():
            self._from_threads.check_here()
        self._stop_requested.set()
        if self._fanout.is_own_task(asyncio.current_task()):
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

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.aclose()
        except Exception as failure:
            if exc is None:
                raise
            append_context(exc, failure)

    def _check_running(self) -> None:
        if self._pipeline.failure is not None:
            raise repeat(self._pipeline.failure)
        if self._main is None or self._pipeline.closed:
            raise HubClosed("the hub is not running: use it inside 'async with hub:'")

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
                if self._journal is not None:
                    with anyio.move_on_after(_JOURNAL_CLOSE_SECONDS_MAX, shield=True):
                        await self._journal.aclose()
            except Exception as error:
                if refusal is None:
                    raise
                append_context(refusal, error)
            finally:
                if not started.done():
                    started.set_exception(refusal or HubClosed("the hub was cancelled while it started"))

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
        journal, pipeline, fanout = self._journal, self._pipeline, self._fanout
        pipeline.begin()
        if journal is not None:
            await journal.open()
        await fanout.start(tasks)
        pipeline.hub_id = (journal and journal.hub_id) or fanout.known_hub_id() or new_id()
        next_seq = fanout.highest_position() + 1
        if journal is not None:
            async for event in journal.replay():
                self._state.apply(event)
                pipeline.last_at = event.at
            next_seq = journal.next_seq
        pipeline.ring.start_at(next_seq)
        if journal is not None:
            tasks.start_soon(pipeline.run_journal)
        fanout.go()
        for attachment in tuple(fanout.attachments):
            if attachment.duty is Duty.REQUIRED:
                await attachment.ready()
        version = await anyio.to_thread.run_sync(installed_version)  # it reads files, once
        started = HubStarted(version=version, pid=os.getpid(), host=socket.gethostname())
        await pipeline.wait_committed(pipeline.put([started, *self._state.settle()], EMPTY)[-1].seq)
        fanout.announcements.begin(tasks)
        pipeline.open()

    async def _stop(self) -> None:
        pipeline, fanout = self._pipeline, self._fanout
        pipeline.close()
        await fanout.close(self._close_seconds_max)
        last = pipeline.put([HubStopped()], EMPTY)[0].seq
        pipeline.stopped = True
        with anyio.move_on_after(self._close_seconds_max) as deadline:
            await pipeline.wait_committed(last)
        if deadline.cancelled_caught:
            pipeline.fail(
                HubFailed(
                    f"the last {pipeline.in_flight} events were not committed within {self._close_seconds_max:g} s of"
                    " closing; those in the journal will be, at the next start"
                )
            )
            return
        await fanout.leave(Duty.BEST_EFFORT, self._close_seconds_max)
        await fanout.leave(Duty.REQUIRED, self._close_seconds_max)
