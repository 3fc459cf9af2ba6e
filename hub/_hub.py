"""Hub: what a program calls. What it does lives in the parts it puts together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import attrs

from ._actors.handles import ActorHandle, Group
from ._actors.rules import RETRY_SECONDS, GroupRules, Restart, SpawnSettings, Strategy
from ._commands import (
    Agent,
    AgentCommands,
    ApprovalCommands,
    Channel,
    ChannelCommands,
    TaskCommands,
    TurnCommands,
)
from ._delivery.attachment import Attachment
from ._delivery.duty import Duty, Overflow
from ._delivery.settings import Options, Since
from ._delivery.stream import EventStream
from ._health import Health, HubHealth, HubStatistics
from ._life import HubLife
from ._parts import assemble, journal_on
from ._state.turns import WatchLimits
from .approvals import ApprovalPolicy
from .arbiter import Arbiter
from .clock import SystemClock
from .errors import (
    ConfigurationError,
    HubClosed,
    NotFound,
    append_context,
)
from .events import EnvelopePosted, Event
from .limits import Limits
from .ports import Clock, Journal, KnowledgeStore

__all__ = ("Hub", "HubHealth", "HubStatistics")

F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=Event)

LISTENER_TIMEOUT_SECONDS = 30.0
MAILBOX = 1000
ATTEMPTS_MAX = 16
"""With the pauses between them, two minutes on average."""


class Hub:
    """Holds agents and channels as state machines, and fans every state transition out to listeners.

    ``Hub(store)`` journals every event to the store before it is acknowledged, and recovers from there; ``Hub()``
    lives in memory. Use it as ``async with Hub(...) as hub:``, in one event loop.

    ``listeners`` are attached with what they declare themselves; :meth:`attach` has more settings. ``journal``
    replaces the journal that ``store`` would hold. ``clock`` is asked for every time of day, deadline and pause.
    ``limits`` are the bounds of the hub (:class:`~hubwire.Limits`); each may be given as a keyword of its own, which
    counts instead: ``Hub(store, ring=16_384)``.

    With a journal, the hub writes a snapshot of its state from time to time. The journal keeps what is newer than the
    snapshots kept and the position of every REQUIRED and DURABLE listener, by whole segments.

    ``arbiter`` decides before a command is carried out; without one, every command is allowed. ``approvals`` is how
    approvals are decided, ``watch`` how long the hub waits for the end of turns, model calls and tool calls.

    Raises :class:`~hubwire.errors.ConfigurationError` for a setting that cannot work.
    """

    def __init__(
        self,
        store: KnowledgeStore | None = None,
        *,
        listeners: Iterable[Any] = (),
        journal: Journal | None = None,
        clock: Clock | None = None,
        arbiter: Arbiter | None = None,
        approvals: ApprovalPolicy | None = None,
        watch: WatchLimits | None = None,
        limits: Limits | None = None,
        ring: int | None = None,
        in_flight_max: int | None = None,
        listener_reserve: int | None = None,
        event_bytes_max: int | None = None,
        close_seconds_max: float | None = None,
        snapshot_bytes: int | None = None,
        journal_bytes_max: int | None = None,
        arbiter_seconds_max: float | None = None,
    ) -> None:
        limits = _with_keywords(
            Limits() if limits is None else limits,
            ring=ring,
            in_flight_max=in_flight_max,
            listener_reserve=listener_reserve,
            event_bytes_max=event_bytes_max,
            close_seconds_max=close_seconds_max,
            snapshot_bytes=snapshot_bytes,
            journal_bytes_max=journal_bytes_max,
            arbiter_seconds_max=arbiter_seconds_max,
        )
        clock = clock or SystemClock()
        self._parts = assemble(
            limits=limits,
            clock=clock,
            journal=journal_on(store, journal, clock, limits),
            arbiter=arbiter,
            approvals=approvals,
            watch=watch,
            hub=self,
        )
        self._pipeline = self._parts.pipeline
        self._ingress = self._pipeline.ingress
        self._lifecycle = self._parts.lifecycle
        self._fanout = self._parts.fanout
        self._actors = self._parts.actors
        self._journal = self._parts.journal
        self._upkeep = self._parts.upkeep
        self._life = HubLife(self._parts)
        self._health = Health(self._parts)
        for listener in listeners:
            self.attach(listener)

    # -- the groups of commands --

    @property
    def agents(self) -> AgentCommands:
        """Commands on agents: ``register``, ``find``, ``get``, ``list``; see :class:`hubwire.AgentCommands`."""
        return self._parts.agents

    @property
    def channels(self) -> ChannelCommands:
        """Commands on channels: ``open``, ``get``, ``list``, and types; see :class:`hubwire.ChannelCommands`."""
        return self._parts.channels

    @property
    def tasks(self) -> TaskCommands:
        """Commands on tasks: ``start``, ``observe``, ``get``, ``running``; see :class:`hubwire.TaskCommands`."""
        return self._parts.tasks

    @property
    def turns(self) -> TurnCommands:
        """Turns, model calls and tool calls that have not ended: ``open``; see :class:`hubwire.TurnCommands`."""
        return self._parts.turns

    @property
    def approvals(self) -> ApprovalCommands:
        """Approvals: ``gate``, ``gated``, ``pending``, ``answer``, ``wait``; see :class:`hubwire.ApprovalCommands`."""
        return self._parts.approvals

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
        attempts_max: int = ATTEMPTS_MAX,
        name: str | None = None,
    ) -> Attachment:
        """Attach a listener, before or after start: an object with ``on_events``, one with some hooks, or a function.

        ``pattern``: the kinds it sees, ``*`` standing for any part of one; several may be given. ``duty``: see
        :class:`Duty`. ``since``: where it begins if it has no ``last_seq()``: ``"now"``, ``"start"`` of the journal, or
        a ``seq``. By default these three are what the listener's attributes of the same names say, else ``"*"``,
        BEST_EFFORT and ``"now"``.
        ``timeout``: seconds it may take per event. ``mailbox``: how many events a BEST_EFFORT listener may be behind
        before ``overflow`` happens. ``attempts_max``: how often a DURABLE listener may fail at one event before it is
        suspended. ``name``: unique on this hub; made from its class by default. A DURABLE listener is found again by
        it after a restart.

        Raises :class:`~hubwire.errors.ConfigurationError` if it cannot listen, or the name is taken, and
        :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if it is closing, closed or failed.
        """
        options = Options(
            pattern=pattern,
            duty=duty,
            overflow=overflow,
            since=since,
            timeout=timeout,
            mailbox=mailbox,
            attempts_max=attempts_max,
            name=name,
        )
        return self._fanout.attach(listener, options, self)

    def on(self, pattern: str | Iterable[str] = "*", **settings: Any) -> Callable[[F], F]:
        """Attach the decorated function, sync or async; ``settings`` are those of :meth:`attach`."""

        def decorate(function: F) -> F:
            self.attach(function, pattern=pattern, **settings)
            return function

        return decorate

    async def forget(self, name: str) -> None:
        """Keep the position of a DURABLE listener no longer, nor the journal for it: it is not coming back.

        Attached again, it is new, and begins where ``since`` says. Raises
        :class:`~hubwire.errors.ConfigurationError` while it is attached, :class:`~hubwire.errors.NotFound` if no
        position of that name is kept, and :class:`~hubwire.errors.HubClosed` if the hub is not running.
        """
        self._lifecycle.check_open()
        if any(attachment.name == name for attachment in self._fanout.attachments):
            raise ConfigurationError(f"listener {name!r} is attached; detach it before the hub forgets it")
        if self._upkeep is None or self._upkeep.positions.get(name) is None:
            raise NotFound(f"no position of a DURABLE listener named {name!r} is kept")
        await self._upkeep.forget(name)
        self._fanout.lost.pop(name, None)

    # -- the way in --

    async def emit(self, event: E) -> E:
        """Commit an event; return it stamped. It is in the journal, and every required listener has it.

        Cancelled while it waits to be admitted, the event is not taken; cancelled later, it is committed all the same.

        Raises :class:`~hubwire.errors.CommandRejected` for a kind that a command owns,
        :class:`~hubwire.errors.EventTooLarge`, :class:`~hubwire.errors.HubClosed`, or what the hub failed with.
        """
        self._ingress.check(event)
        return (await self._pipeline.execute(lambda: (event,)))[0]

    def emit_nowait(self, event: E) -> E:
        """Take an event without waiting; return it stamped, not yet committed.

        Raises like :meth:`emit`, and :class:`~hubwire.errors.Overloaded` if too many events wait to be committed.
        """
        self._ingress.check(event)
        return self._pipeline.put_nowait((event,))[0]

    def offer(self, event: Event) -> bool:
        """Take an event if the hub can take one now; otherwise drop it, count it, and return False.

        Raises only for an event that no hub would take.
        """
        self._ingress.check(event)
        return self._pipeline.offer((event,))

    def emit_threadsafe(self, event: E) -> Future[E]:
        """Emit from any thread, or any other event loop; the future is done when the event is committed.

        The event inherits the context of the calling code. Emits of one thread keep their order. The future has what
        :meth:`emit` would raise. Cancelling it before the event is admitted succeeds, and the event is not taken;
        later, ``cancel()`` returns False, and the event is committed all the same. In a thread that works for a
        listener the commit waits for, the future is done when the event is applied. In the hub's own loop, do not block
        on it.
        """
        return self._parts.from_threads.submit(partial(self._emit_for_thread, event))

    async def _emit_for_thread(self, event: E, future: Future[E]) -> None:
        def admitted() -> tuple[E]:
            if not future.set_running_or_notify_cancel():
                raise asyncio.CancelledError
            return (event,)

        self._ingress.check(event)
        future.set_result((await self._pipeline.execute(admitted))[0])

    # -- actors --

    async def spawn(
        self,
        actor: Any,
        *,
        name: str | None = None,
        concurrency: int | None = None,
        restart: Restart = Restart.PERMANENT,
        retry_seconds: float = RETRY_SECONDS,
        **registration: Any,
    ) -> ActorHandle:
        """Let an actor handle the envelopes of an agent; return when it has started.

        ``actor`` is an object with ``on_envelope`` (see :class:`hubwire.Actor`), an async function of a turn, or a
        class or function that makes such an object anew for each start. The agent is the one called ``name``, by
        default what the actor says or its class is called; if there is none, it is registered, with ``capabilities``,
        ``passport``, ``resume``, ``skill`` and ``rule`` as given here or found on the actor. So after a restart of the
        hub, the actor goes on with the inbox that it had.

        It handles ``concurrency`` envelopes at a time, by default what the actor says, or one. An envelope at which it
        crashes comes again ``retry_seconds`` later, doubled each time, until its inbox dead-letters it. It is the only
        one of a group, with the rules of :meth:`supervise`; spawn several into one with :meth:`Group.spawn`.

        Raises what the actor raises when it is started for the first time;
        :class:`~hubwire.errors.ConfigurationError` if it is no actor, :class:`~hubwire.errors.CommandRejected` if the
        agent has one, and what ``hub.agents.register`` raises.
        """
        self._lifecycle.check_open()
        settings = SpawnSettings(
            name=name,
            concurrency=concurrency,
            restart=restart,
            retry_seconds=retry_seconds,
            registration=registration,
        )
        return await self._actors.spawn(actor, settings)

    def supervise(
        self,
        name: str,
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        restarts_max: int = 3,
        within_seconds: float = 5.0,
        backoff_seconds: float = 0.1,
        backoff_seconds_max: float = 30.0,
    ) -> Group:
        """Make a group of actors that are supervised together: ``await group.spawn(...)``.

        ``strategy`` says who is started again with an actor that crashed. Before that is a pause of random length, up
        to ``backoff_seconds`` doubled with each recent restart. After more than ``restarts_max`` restarts within
        ``within_seconds``, by the hub's clock, the group is stopped: told by ``group.stopped``, and :meth:`health` is
        false until a group of this name is made again.
        """
        self._lifecycle.check_open()
        rules = GroupRules(
            strategy=strategy,
            restarts_max=restarts_max,
            within_seconds=within_seconds,
            backoff_seconds=backoff_seconds,
            backoff_seconds_max=backoff_seconds_max,
        )
        return self._actors.supervise(name, rules)

    async def ask(
        self,
        asker: Agent | str,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float = 60.0,
        channel: Channel | None = None,
        linked: bool = True,
    ) -> EnvelopePosted:
        """Post a question in an agent's name, and return the answer: what the other posts because of it.

        It is posted in ``channel``, by default in one of its own that is closed with the answer. ``timeout``: seconds
        by the hub's clock. ``linked``: when the asker waits no longer, because of the timeout, a cancellation, or a
        restart of the hub, an actor that handles the question is cancelled, and one that has not begun does not begin.

        Raises :class:`~hubwire.errors.AskTimeout`; :class:`~hubwire.errors.AskCycle` if the other waits, over others
        perhaps, for what the asker does now; :class:`~hubwire.errors.AskFailed` if no answer will come; and what
        opening a channel and posting raise.
        """
        self._lifecycle.check_open()
        return await self._parts.asks.ask(asker, answerer, content, timeout=timeout, channel=channel, is_linked=linked)

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
        ring, lifecycle = self._pipeline.ring, self._lifecycle
        if not ring.is_numbered:
            raise HubClosed("the hub is not running yet: use it inside 'async with hub:'")
        if lifecycle.takes_events:
            lifecycle.check_here()
        return EventStream(self._pipeline, self._journal if history else None, after, pattern)

    async def flush(self, *, timeout: float | None = None) -> None:
        """Return when every event taken until now is committed, and every listener has handled it, or is suspended.

        Raises ``TimeoutError``, naming who is behind, after ``timeout`` seconds; or what the hub failed with.
        """
        self._lifecycle.check_open()
        if self._fanout.is_calling():
            raise ConfigurationError("a listener cannot flush the hub: it would wait for itself; use another task")
        target = self._pipeline.ring.applied.value
        with anyio.move_on_after(timeout):
            await self._fanout.drain(target)
            self._lifecycle.check_not_failed()
            return
        behind = [each.name for each in self._fanout.attachments if each.done < target]
        raise TimeoutError(
            f"after {timeout} s these have not handled event {target - 1}: {', '.join(behind) or 'the journal'}"
        )

    def statistics(self) -> HubStatistics:
        """Return every number there is, at once."""
        return self._health.statistics()

    def health(self) -> HubHealth:
        """Return whether the hub keeps all its promises now, and which it does not keep."""
        return self._health.health()

    # -- life cycle --

    async def start(self) -> None:
        """Take possession of the journal, recover, enter the listeners, and begin to take commands.

        Raises :class:`~hubwire.errors.AlreadyRunning` if another hub has the journal, and what a required listener
        raised on entering. A hub is started once.
        """
        await self._life.start()

    async def aclose(self) -> None:
        """Stop the actors, take no more commands, let the listeners finish, commit ``hub.stopped``; give all up.

        It goes on to its end when it is cancelled. A listener not done after ``close_seconds_max`` is cancelled.
        Raises what the hub failed with. May be called again. From a listener or an actor it returns at once.
        """
        await self._life.aclose()

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


def _with_keywords(limits: Limits, **keywords: Any) -> Limits:
    """Return the limits with those of the hub's keywords that were given instead."""
    given = {name: value for name, value in keywords.items() if value is not None}
    return attrs.evolve(limits, **given) if given else limits
