"""Hub: what a program calls. What it does lives in the parts it puts together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from ._actors.asks import Asks
from ._actors.handles import ActorHandle, Group
from ._actors.registry import Actors
from ._actors.rules import RETRY_SECONDS, GroupRules, Restart, SpawnSettings, Strategy
from ._commands import (
    Agent,
    AgentCommands,
    ApprovalCommands,
    Authorizer,
    Channel,
    ChannelCommands,
    Core,
    TaskCommands,
    TurnCommands,
    Verdicts,
)
from ._commit.pipeline import Limits, Pipeline
from ._commit.ring import Ring
from ._commit.threads import FromThreads
from ._commit.timers import Timers
from ._delivery.adapted import Adapted
from ._delivery.attachment import Attachment, Since
from ._delivery.duty import Duty, Overflow
from ._delivery.fanout import Fanout
from ._delivery.handling import OWN_DOMAINS
from ._delivery.stream import EventStream
from ._health import Health, HubHealth, HubStatistics
from ._journal.positions import check_name
from ._journal.store_journal import StoreJournal
from ._journal.upkeep import Upkeep
from ._life import HubLife
from ._state import State
from ._state.turns import WatchLimits
from .approvals import ApprovalPolicy
from .arbiter import Arbiter
from .clock import SystemClock
from .errors import (
    CommandRejected,
    ConfigurationError,
    HubClosed,
    HubFailed,
    NotFound,
    Overloaded,
    append_context,
    repeat,
)
from .events import EnvelopePosted, Event, GenericEvent, UnknownEvent, kind_class
from .events._event import check_kind
from .log import SEGMENT_BYTES
from .ports import Clock, Journal, KnowledgeStore

__all__ = ("Hub", "HubHealth", "HubStatistics")

F = TypeVar("F", bound=Callable[..., Any])

LISTENER_TIMEOUT_SECONDS = 30.0
CLOSE_SECONDS_MAX = 10.0
ARBITER_SECONDS_MAX = 5.0
MAILBOX = 1000
ATTEMPTS_MAX = 16
"""With the pauses between them, two minutes on average."""
SNAPSHOT_BYTES = 16 * 1024 * 1024
JOURNAL_BYTES_MAX = 1024 * 1024 * 1024
_JOURNAL_BYTES_MAX_MIN = 4096


class Hub:
    """Holds agents and channels as state machines, and fans every state transition out to listeners.

    ``Hub(store)`` journals every event to the store before it is acknowledged, and recovers from there;
    ``Hub()`` lives in memory. Use it as ``async with Hub(...) as hub:``, in one event loop.

    ``listeners`` are attached with what they say of themselves; :meth:`attach` says more. ``journal`` replaces the
    journal that ``store`` would hold. Bounds, in events: ``in_flight_max`` uncommitted, beyond which emitters wait;
    ``ring`` recent ones kept in memory; ``listener_reserve`` that listeners may emit beyond ``in_flight_max``.
    ``event_bytes_max`` is the size of an event's JSON; ``close_seconds_max`` how long closing waits for listeners.

    With a journal, the hub writes a snapshot of its state whenever ``snapshot_bytes`` have been journaled, and as much
    as the snapshot before took up. The journal keeps what is newer than the snapshots kept and the position of every
    REQUIRED and DURABLE listener, by whole segments; never more than ``journal_bytes_max``, but for what is journaled
    while room is made. Then the DURABLE listener that is farthest behind is suspended, and misses what has to go.

    ``arbiter`` is asked before commands are carried out, and has ``arbiter_seconds_max`` to answer; without one,
    everything is allowed. ``approvals`` is how they are decided, ``watch`` how long the hub waits for the end of turns,
    model calls and tool calls.

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
        snapshot_bytes: int = SNAPSHOT_BYTES,
        journal_bytes_max: int = JOURNAL_BYTES_MAX,
        arbiter: Arbiter | None = None,
        arbiter_seconds_max: float = ARBITER_SECONDS_MAX,
        approvals: ApprovalPolicy | None = None,
        watch: WatchLimits | None = None,
    ) -> None:
        if store is not None and journal is not None:
            raise ConfigurationError(
                "give a store or a journal, not both: a store is where the hub makes a journal of its own"
            )
        if min(ring, in_flight_max, event_bytes_max, snapshot_bytes) < 1 or journal_bytes_max < _JOURNAL_BYTES_MAX_MIN:
            raise ConfigurationError(
                "ring, in_flight_max, event_bytes_max and snapshot_bytes must be at least 1, and journal_bytes_max at"
                f" least {_JOURNAL_BYTES_MAX_MIN}"
            )
        self._clock = clock or SystemClock()
        if store is not None:
            # Truncated by whole segments, it cannot be kept smaller than a few of them.
            journal = StoreJournal(store, clock=self._clock, segment_bytes=min(SEGMENT_BYTES, journal_bytes_max // 8))
        self._journal = journal
        self._state = State(watch)
        limits = Limits(in_flight_max=in_flight_max, listener_reserve=listener_reserve, event_bytes_max=event_bytes_max)
        self._pipeline = Pipeline(Ring(ring), self._state, self._journal, self._clock, limits)
        self._upkeep: Upkeep | None = None
        if journal is not None:
            self._upkeep = Upkeep(
                journal,
                self._state,
                self._pipeline,
                self._clock,
                snapshot_bytes=snapshot_bytes,
                journal_bytes_max=journal_bytes_max,
            )
        self._fanout = Fanout(self._pipeline, self._journal, self._clock, self._upkeep)
        authorizer = Authorizer(arbiter, self._state, self._clock, arbiter_seconds_max)
        self._core = Core(self._pipeline, self._state, authorizer)
        self._from_threads = FromThreads()
        self._emittable: set[type[Event]] = set()
        self.agents: AgentCommands = AgentCommands(self._core, self._state)
        self.channels: ChannelCommands = ChannelCommands(self._core, self._state)
        self.tasks: TaskCommands = TaskCommands(self._core, self._state.tasks)
        self.turns: TurnCommands = TurnCommands(self._state.turns)
        self.approvals: ApprovalCommands = ApprovalCommands(self._core, self._state, approvals)
        self._asks = Asks(self._core, self._state, self.channels, self._clock)
        self._actors = Actors(self._core, self._state, self._asks, self, self._clock, close_seconds_max)
        self._life = HubLife(
            journal=self._journal,
            upkeep=self._upkeep,
            state=self._state,
            pipeline=self._pipeline,
            fanout=self._fanout,
            core=self._core,
            timers=Timers(self._pipeline, self._state, self._clock),
            verdicts=Verdicts(self._core, self._state.approvals),
            actors=self._actors,
            from_threads=self._from_threads,
            close_seconds_max=close_seconds_max,
        )
        self._health = Health(
            life=self._life,
            state=self._state,
            pipeline=self._pipeline,
            fanout=self._fanout,
            upkeep=self._upkeep,
            asks=self._asks,
            actors=self._actors,
        )
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
        :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if nothing will happen any more.
        """
        adapted = Adapted(listener)
        if timeout <= 0 or mailbox < 1 or attempts_max < 1:
            raise ConfigurationError(f"{timeout=}, {mailbox=} and {attempts_max=} must be positive")
        duty = duty or adapted.declared("duty", Duty.BEST_EFFORT)
        if not isinstance(duty, Duty):
            raise ConfigurationError(f"the duty of {listener!r} is {duty!r}; it must be a Duty, as Duty.REQUIRED")
        if duty is Duty.DURABLE:
            name = name or _name_of(listener)
            self._check_durable(name)
        name = name or self._free_name(listener)
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
            attempts_max=attempts_max,
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

    def _check_durable(self, name: str) -> None:
        if self._journal is None:
            raise ConfigurationError(
                f"listener {name!r} is DURABLE, and this hub has no journal from which it could go on after a restart;"
                " make the hub with a store: Hub(store), or attach the listener as BEST_EFFORT"
            )
        check_name(name)

    async def forget(self, name: str) -> None:
        """Keep the position of a DURABLE listener no longer, nor the journal for it: it is not coming back.

        Attached again, it is new, and begins where ``since`` says. Raises
        :class:`~hubwire.errors.ConfigurationError` while it is attached, :class:`~hubwire.errors.NotFound` if no
        position of that name is kept, and :class:`~hubwire.errors.HubClosed` if the hub is not running.
        """
        self._life.check_open()
        self._from_threads.check_here()
        if any(attachment.name == name for attachment in self._fanout.attachments):
            raise ConfigurationError(f"listener {name!r} is attached; detach it before the hub forgets it")
        if self._upkeep is None or self._upkeep.positions.get(name) is None:
            raise NotFound(f"no position of a DURABLE listener named {name!r} is kept")
        await self._upkeep.forget(name)
        self._fanout.lost.pop(name, None)

    def _free_name(self, listener: Any) -> str:
        stem = _name_of(listener)
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
        default what the actor says or its class is called; if nobody is, it is registered, with ``capabilities``,
        ``passport``, ``resume``, ``skill`` and ``rule`` as given here or found on the actor. So after a restart of the
        hub, the actor goes on with the inbox that it had.

        It handles ``concurrency`` envelopes at a time, by default what the actor says, or one. An envelope at which it
        crashes comes again ``retry_seconds`` later, doubled each time, until its inbox dead-letters it. It is the only
        one of a group, with the rules of :meth:`supervise`; spawn several into one with :meth:`Group.spawn`.

        Raises what the actor raises when it is started for the first time;
        :class:`~hubwire.errors.ConfigurationError` if it is no actor, :class:`~hubwire.errors.CommandRejected` if the
        agent has one, and what ``hub.agents.register`` raises.
        """
        self._life.check_open()
        self._from_threads.check_here()
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
        self._life.check_open()
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
        by the hub's clock. ``linked``: when nobody waits any more, because of the timeout, of being cancelled, or of a
        restart of the hub, an actor that handles the question is cancelled, and one that has not begun does not begin.

        Raises :class:`~hubwire.errors.AskTimeout`; :class:`~hubwire.errors.AskCycle` if the other waits, over others
        perhaps, for what the asker does now; :class:`~hubwire.errors.AskFailed` if no answer will come; and what
        opening a channel and posting raise.
        """
        self._life.check_open()
        return await self._asks.ask(asker, answerer, content, timeout=timeout, channel=channel, is_linked=linked)

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
        """Return when every event taken until now is committed, and every listener has handled it, or is suspended.

        Raises ``TimeoutError``, naming who is behind, after ``timeout`` seconds; or what the hub failed with.
        """
        self._life.check_open()
        self._from_threads.check_here()
        if self._fanout.is_calling():
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
        return self._health.statistics()

    def health(self) -> HubHealth:
        """Return whether the hub keeps everything it owes now."""
        return self._health.health()

    # -- life cycle --

    async def start(self) -> None:
        """Take possession of the journal, recover, enter the listeners, and begin to take commands.

        Raises :class:`~hubwire.errors.AlreadyRunning` if another hub has the journal, and whatever a required listener
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


def _name_of(listener: Any) -> str:
    name: str = getattr(listener, "__name__", None) or type(listener).__name__
    return name
