"""Hub: what a program calls. What it does lives in the parts it puts together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from ._acting import ActingHub
from ._actors.rules import SPAWN_ON_DEMAND, GroupRules, Restart, RetryPolicy, SpawnSettings, Strategy
from ._arguments import (
    ACTING_AS,
    FOR_TENANT,
    LISTENER_TIMEOUT_SECONDS,
    MAILBOX,
    SUPERVISE,
    check_plug_ins,
    checked_listeners,
    limits_with,
    redaction_by,
    tenant_of,
)
from ._commands import (
    Agent,
    AgentCommands,
    Channel,
    ChannelCommands,
    InboxCommands,
    TaskCommands,
    TimerCommands,
    TopicCommands,
    TurnCommands,
)
from ._commands.agents import id_of
from ._delivery.attachment import Attachment
from ._delivery.duty import Duty, Overflow
from ._delivery.matcher import Matcher
from ._delivery.settings import Since
from ._delivery.stream import EventStream
from ._face_shown import EnteredAsync, shown_hub
from ._foreign.clocks import guarded_clock
from ._health import Health, HubHealth, HubStatistics
from ._life import HubLife
from ._listening import Listening
from ._parts import assemble, journal_on
from ._reraise import append_context
from ._state.turns import WatchLimits
from ._ways import Ways
from .arbiter import Arbiter
from .clock import SystemClock
from .errors import ConfigurationError, HubFailed
from .events import EnvelopePosted, Event
from .late_types import late_type
from .limits import Limits
from .ports import Clock, CommandLink, Feed, Journal, KnowledgeStore
from .position import Position

if TYPE_CHECKING:
    from ._actors.handles import ActorHandle, Group
    from ._actors.on_demand import OnDemand
    from ._commands.approvals import ApprovalCommands
    from ._commands.batches import Batch
    from ._commands.dead_letters import DeadLetterCommands
    from ._delivery.letter import DeadLetterPolicy
    from ._feeds.handle import FeedHandle
    from ._foreign.arguments import Call
    from ._forwarding.connecting import Connection
    from ._tenant import TenantHub  # imported with the first tenant
    from .approvals import ApprovalPolicy
    from .redaction import Redactor
    from .validation import Validation
else:
    ActorHandle = late_type("hubwire._actors.handles", "ActorHandle")
    Group = late_type("hubwire._actors.handles", "Group")
    OnDemand = late_type("hubwire._actors.on_demand", "OnDemand")
    ApprovalCommands = late_type("hubwire._commands.approvals", "ApprovalCommands")
    Batch = late_type("hubwire._commands.batches", "Batch")
    DeadLetterCommands = late_type("hubwire._commands.dead_letters", "DeadLetterCommands")
    DeadLetterPolicy = late_type("hubwire._delivery.letter", "DeadLetterPolicy")
    FeedHandle = late_type("hubwire._feeds.handle", "FeedHandle")
    TenantHub = late_type("hubwire._tenant", "TenantHub")
    ApprovalPolicy = late_type("hubwire.approvals", "ApprovalPolicy")
    Redactor = late_type("hubwire.redaction", "Redactor")
    Validation = late_type("hubwire.validation", "Validation")

__all__ = ("Hub", "HubHealth", "HubStatistics")

F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=Event)


class Hub(EnteredAsync):
    """Holds agents and channels as state machines, and fans every state transition out to listeners.

    ``Hub(store)`` journals every event to the store before it is acknowledged, and recovers from there; ``Hub()``
    lives in memory. Use it as ``async with Hub(...) as hub:``, in one event loop.

    ``listeners`` are attached with what they declare themselves; :meth:`attach` has more settings. ``journal``
    replaces the journal that ``store`` would hold. ``clock`` is asked for every time of day, deadline and pause.
    ``limits`` are the bounds of the hub (:class:`~hubwire.Limits`); most may be given as keywords of their own, which
    count instead: ``Hub(store, ring=65_536)``.

    ``arbiter`` decides before a command is carried out; without one, every command is allowed. ``approvals`` is how
    approvals are decided, ``dead_letters`` how many events that listeners have given up are kept, ``watch`` how long
    the hub waits for the end of turns, model calls and tool calls. ``validation`` holds rules for the events that
    callers emit (:mod:`hubwire.validation`); without them, an event has to be as its class declares it, and no more.

    ``redactor`` redacts what agents and programs say before it is applied, journaled and delivered: a
    :class:`~hubwire.redaction.Redactor`, or ``"default"`` for that of the package. Without one, the journal holds what
    was said, and listeners redact what they show. What events refer to each other by stays: ids, names, keys, topics,
    and the arguments of approvals.

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
        dead_letters: DeadLetterPolicy | None = None,
        validation: Validation | None = None,
        watch: WatchLimits | None = None,
        redactor: Redactor | Literal["default"] | None = None,
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
        check_plug_ins(store, journal, clock, arbiter, approvals, watch, limits, dead_letters, validation)
        attached = checked_listeners(listeners)
        limits = limits_with(
            limits,
            ring=ring,
            in_flight_max=in_flight_max,
            listener_reserve=listener_reserve,
            event_bytes_max=event_bytes_max,
            close_seconds_max=close_seconds_max,
            snapshot_bytes=snapshot_bytes,
            journal_bytes_max=journal_bytes_max,
            arbiter_seconds_max=arbiter_seconds_max,
        )
        clock = guarded_clock(SystemClock() if clock is None else clock)
        journal = journal_on(store, journal, clock, limits)
        given: dict[str, Any] = {"arbiter": arbiter, "approvals": approvals, "watch": watch, "validation": validation}
        given |= {"dead_letters": dead_letters, "redaction": redaction_by(redactor, limits)}
        parts = assemble(limits, clock, journal, **given, acting_as=self.acting_as, hub=self)
        self._parts = parts
        self._pipeline = parts.pipeline
        self._ingress = parts.pipeline.ingress
        self._lifecycle = parts.lifecycle
        self._is_guarded = parts.emitting.is_needed
        self._listening = Listening(parts, self)
        self._ways = Ways(parts)
        self._life = HubLife(parts)
        self._health = Health(parts)
        self._connection: Connection | None = None
        for listener in attached:
            self.attach(listener)

    def __repr__(self) -> str:
        return shown_hub(self._parts, self.id)

    # -- the groups of commands --

    @property
    def agents(self) -> AgentCommands:
        """Commands on agents: ``register``, ``find``, ``get``, ``list``; see :class:`hubwire.AgentCommands`."""
        return self._parts.groups.agents

    @property
    def channels(self) -> ChannelCommands:
        """Commands on channels: ``open``, ``get``, ``list``, and types; see :class:`hubwire.ChannelCommands`."""
        return self._parts.groups.channels

    @property
    def inboxes(self) -> InboxCommands:
        """Which envelopes wait, and dead letters: ``list``, ``peek``, …; see :class:`hubwire.InboxCommands`."""
        return self._parts.groups.inboxes

    @property
    def tasks(self) -> TaskCommands:
        """Commands on tasks: ``start``, ``observe``, ``get``, ``running``; see :class:`hubwire.TaskCommands`."""
        return self._parts.groups.tasks

    @property
    def turns(self) -> TurnCommands:
        """Turns, model and tool calls: ``turn``, ``model``, ``tool``, ``open``; see :class:`hubwire.TurnCommands`."""
        return self._parts.groups.turns

    @property
    def timers(self) -> TimerCommands:
        """Timers that outlive a restart: ``after``, ``every``, ``list``; see :class:`hubwire.TimerCommands`."""
        return self._parts.groups.timers

    @property
    def topics(self) -> TopicCommands:
        """Topics: ``publish``, ``subscribe``, ``unsubscribe``, ``list``; see :class:`hubwire.TopicCommands`."""
        return self._parts.groups.topics

    @property
    def approvals(self) -> ApprovalCommands:
        """Approvals: ``gate``, ``gated``, ``pending``, ``answer``, ``wait``; see :class:`hubwire.ApprovalCommands`."""
        return self._parts.approvals.made()

    @property
    def dead_letters(self) -> DeadLetterCommands:
        """What listeners and agents failed at: ``list``, ``retry``, ``discard``; see :class:`DeadLetterCommands`."""
        return self._parts.dead_letters.made()

    @property
    def id(self) -> str:
        """The hub's id, made with its journal; empty before it is started for the first time."""
        return self._pipeline.hub_id

    @property
    def journal(self) -> Journal | None:
        """The journal that the hub recovers from; None for a hub in memory."""
        return self._parts.journal

    def acting_as(self, agent: Agent | str) -> ActingHub:
        """Return the hub as one agent has it: see :class:`ActingHub`. Actors get theirs as ``turn.hub``.

        The hub itself acts as any agent that a call names, and is for the program's own code: give what an agent's
        model or tools can reach this one. Raises :class:`~hubwire.errors.NotFound` if the agent is not registered.
        """
        return ActingHub(self._parts, id_of(self._parts.core, agent, ACTING_AS))

    def for_tenant(self, tenant: str) -> TenantHub:
        """Return the hub as one tenant has it, where several share it: see :class:`TenantHub`.

        The hub itself sees all tenants, and is for the program's own code. A tenant need not be made before, and is
        known by its name alone. Raises :class:`~hubwire.errors.CommandRejected` for what is no name.
        """
        from ._tenant import TenantHub  # noqa: PLC0415 - most hubs have no tenants

        return TenantHub(self._parts, self._ways, self._listening, tenant_of(FOR_TENANT, tenant))

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
        attempts_max: int | None = None,
        when_exhausted: Literal["suspend", "dead_letter"] = "suspend",
        batch_max: int | None = None,
        batch_seconds: float = 0.0,
        in_loop: bool = False,
        once: bool = False,
        concurrency: int = 1,
        key: str | Callable[[Event], str | int | None] | None = None,
        tenant: str | None = None,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
        metadata: Mapping[Any, Any] | None = None,
        name: str | None = None,
    ) -> Attachment:
        """Attach a listener, before or after start: an object with ``on_events``, one with some hooks, or a function.

        ``pattern``: the kinds it sees, ``*`` standing for any part of one; several may be given. ``duty``: see
        :class:`Duty`. ``since``: where it begins if it has no ``last_seq()``: ``"now"``, ``"start"`` of the journal, or
        a ``seq``. By default these three are what the listener's attributes of the same names say, else ``"*"``,
        BEST_EFFORT and ``"now"``. ``timeout``: seconds it may take per event. ``mailbox``: how many events a
        BEST_EFFORT one may be behind before ``overflow`` happens. ``attempts_max``: how often a DURABLE listener may
        fail at one event before it is suspended, by default 16 times or what its attribute of that name says; with
        ``when_exhausted="dead_letter"`` it goes on with the next event then, and that one is a dead letter, as always
        of a BEST_EFFORT one: :attr:`dead_letters`. ``batch_max``: how many events it gets at once, at most; with
        ``batch_seconds``, by the hub's clock, so many are gathered, for at most that time (not for REQUIRED or BLOCK).
        ``in_loop``: a sync function runs in a thread of its own, with the context copied; one that is quick may run on
        the loop. ``once``: a function is called for one event, with the retries of its duty, and then detached.
        ``concurrency``: how many calls of a function may be under way at once, 1,000 at most; ``key``: what tells the
        events that stay in order then, a field of every event as ``"channel_id"``, or a quick function of it that
        returns a text, a number or None. ``tenant``, ``agent``, ``channel``: of the events, those alone whose headers
        name these; ``agent`` may be a name, also one to come. ``metadata``: what the program wants to find at the
        attachment. ``name``: unique on this hub; made from its class by default. A DURABLE listener is found again by
        it after a restart.

        Raises :class:`~hubwire.errors.ConfigurationError` if it cannot listen, or the name is taken, and
        :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if it is closing, closed or failed.
        """
        calls: dict[str, Any] = {"in_loop": in_loop, "once": once, "concurrency": concurrency, "key": key}
        batches: dict[str, Any] = {"mailbox": mailbox, "batch_max": batch_max, "batch_seconds": batch_seconds}
        bounds: dict[str, Any] = {"timeout": timeout, "attempts_max": attempts_max, "overflow": overflow}
        which: dict[str, Any] = {"pattern": pattern, "duty": duty, "since": since, "name": name}
        given_up: dict[str, Any] = {"when_exhausted": when_exhausted, "metadata": metadata}
        about: dict[str, Any] = {"tenant": tenant, "agent": agent, "channel": channel}
        return self._listening.attach(listener, about, **which, **calls, **batches, **bounds, **given_up)

    @overload
    def on(self, function: F, /) -> F: ...

    @overload
    def on(self, *patterns: str | Iterable[str], **settings: Any) -> Callable[[F], F]: ...

    def on(self, *patterns: Any, **settings: Any) -> Any:
        """Attach the decorated function, sync or async; ``settings`` are those of :meth:`attach`.

        It sees the kinds that one of ``patterns`` matches, each event once: ``@hub.on("tool.*", "model.*")``, or a list
        of them; ``@hub.on`` alone lets it see all events. A function may be attached more than once, and is called by
        each of its attachments.

        With ``priority=``, a whole number, functions are one listener: for each event, those with a higher number are
        called first, equal ones in the order in which they were attached. Each has its own ``timeout``, and fails by
        itself, under its own name: see :class:`~hubwire.functions.Chain`, which has the other duties too.

        Raises as :meth:`attach` does, and :class:`~hubwire.errors.ConfigurationError` for an unknown setting.
        """
        return self._listening.on(patterns, settings)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """All listeners that are attached now, in the order in which they were; the tuple does not change."""
        return self._listening.attachments

    async def detach(
        self,
        which: Attachment | str | Callable[..., Any] | object = None,
        /,
        *,
        pattern: str | Iterable[str] | None = None,
    ) -> int:
        """Detach listeners; return how many. A REQUIRED one leaves after all events journaled until now.

        ``which``: an attachment, its name, or a listener as it was attached: a function, or an object; one that is
        attached more than once loses all its attachments. Or else ``pattern``: all functions that see nothing but what
        it matches, so ``"tool.*"`` ends those on ``"tool.*"`` and ``"tool.called"``, and ``"*"`` all; objects, as
        an audit log, stay.

        When this returns, they are called no more. A function is not called for the rest of its batch either, whoever
        detaches it; an object has its batch to the end. From inside a listener this returns at once: the others may
        have the call to the end that they are in.

        An attachment that has ended counts as none. Raises :class:`~hubwire.errors.NotFound` for a name or a listener
        that is not attached, and :class:`~hubwire.errors.ConfigurationError` for an attachment of another hub.
        """
        return await self._listening.detach(which, pattern)

    async def forget(self, name: str) -> None:
        """Keep the position of a DURABLE listener no longer, nor the journal for it: it is not coming back.

        Of one that was detached because it failed, the last numbers are forgotten too. Attached again, it is new, and
        begins where ``since`` says. Raises :class:`~hubwire.errors.ConfigurationError` while it is attached,
        :class:`~hubwire.errors.NotFound` if no position of that name is kept, and
        :class:`~hubwire.errors.HubClosed` if the hub is not running.
        """
        await self._ways.forget(name)

    # -- the way in --

    async def emit(self, event: E) -> E:
        """Commit an event; return it stamped. It is in the journal, and every required listener has it.

        Cancelled while it waits to be admitted, the event is not taken; cancelled later, it is committed all the same.

        Raises :class:`~hubwire.errors.CommandRejected` for a kind that a command owns,
        :class:`~hubwire.errors.EventInvalid` for one that is not as its class or a rule says,
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it, :class:`~hubwire.errors.EventTooLarge`,
        :class:`~hubwire.errors.HubClosed`, or what the hub failed with.
        """
        self._ingress.check(event)
        if self._is_guarded:
            event = await self._parts.emitting.allowed(event)
        return (await self._pipeline.emit((event,)))[0]

    def emit_nowait(self, event: E) -> E:
        """Take an event without waiting; return it stamped, not yet committed.

        Raises like :meth:`emit`, and :class:`~hubwire.errors.Overloaded` if too many events wait to be committed. An
        arbiter that has to be awaited denies it.
        """
        self._ingress.check(event)
        if self._is_guarded:
            event = self._parts.emitting.allowed_now(event)
        return self._pipeline.put_nowait((event,))[0]

    def offer(self, event: Event) -> bool:
        """Take an event if the hub can take one now; otherwise drop it, count it, and return False.

        Raises only for an event that no hub would take, or that a rule or the arbiter refuses: see :meth:`emit_nowait`.
        """
        self._ingress.check(event)
        if self._is_guarded:
            event = self._parts.emitting.allowed_now(event)
        return self._pipeline.offer((event,))

    async def emit_many(self, events: Iterable[E]) -> list[E]:
        """Commit several events as a batch, all or none; return them stamped, in their order.

        They have consecutive numbers and one time. Also after a crash at any point, all of them are there, or none.
        Much cheaper than as many calls of :meth:`emit`. At most 1,000, which together have at most as many bytes as one
        event may (``event_bytes_max``). The arbiter is asked about each before any is put: if it denies one, none is.
        Cancelled while it waits to be admitted, no event is taken; cancelled later, all are committed all the same.

        Raises what :meth:`emit` raises for one of them, :class:`~hubwire.errors.CommandRejected` if they are too many
        or no list, and :class:`~hubwire.errors.EventTooLarge` if they are too large together.
        """
        return await self._parts.batches.made().emit_many(events, self._own)

    def batch(self) -> Batch:
        """Return a batch, whose events are committed together when its block ends: see :class:`hubwire.Batch`.

        ``async with hub.batch() as batch: batch.emit(event)``. An exception in the block leaves none of them. It is for
        events alone: commands in the block take effect at once, whatever becomes of the batch.
        """
        from ._commands.batches import Batch  # noqa: PLC0415 - few programs have batches

        return Batch(self._parts.batches.made(), self._own)

    def _own(self, event: E, _: Call) -> E:
        self._ingress.check(event)
        return event

    def emit_threadsafe(self, event: E) -> Future[E]:
        """Emit from any thread, or any other event loop; the future is done when the event is committed.

        The event inherits the context of the calling code. Emits of one thread keep their order. The future has what
        :meth:`emit` would raise. Cancelling it before the event is admitted succeeds, and the event is not taken;
        later, ``cancel()`` returns False, and the event is committed all the same. In a thread that works for a
        listener the commit waits for, the future is done when the event is applied. In the hub's own loop, do not block
        on it.

        The future has :class:`~hubwire.errors.Overloaded` at once while too many bytes wait to be taken: see
        ``thread_bytes_max`` of :class:`~hubwire.Limits`.
        """
        return self._ways.emit_threadsafe(event)

    # -- feeds --

    def feed(self, feed: Feed, *, name: str | None = None) -> FeedHandle:
        """Let a feed bring events into the hub from outside of it: an object with ``async def run(self, hub)``.

        It runs from when the hub is open until it returns, is removed, or the hub is closed: see
        :class:`hubwire.ports.Feed`. Works before the start and after it, from any thread and any other event loop, and
        returns at once. ``name`` is unique on this hub; made from its attribute ``name`` or its class by default.

        Raises :class:`~hubwire.errors.ConfigurationError` if it is no feed, feeds the hub already, or the name is
        taken, and :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if it is closing, closed or failed.
        """
        return self._parts.feeds.made().add(feed, name)

    @property
    def feeds(self) -> tuple[FeedHandle, ...]:
        """The feeds there are, and the last 100 that have returned, in the order in which they were given."""
        return self._parts.feeds.handles

    # -- actors --

    async def spawn(
        self,
        actor: Any,
        *,
        name: str | None = None,
        workers: int = 1,
        concurrency: int | None = None,
        visibility_seconds: float | None = None,
        restart: Restart = Restart.PERMANENT,
        retry: RetryPolicy | None = None,
        **registration: Any,
    ) -> ActorHandle:
        """Let an actor handle the envelopes of an agent; return when it has started.

        ``actor`` is an object with ``on_envelope`` (see :class:`hubwire.Actor`), an async function of a turn, or a
        class or function that makes such an object anew for each start. The agent is the one called ``name``, by
        default what the actor says or its class is called; if there is none, it is registered, with ``capabilities``,
        ``passport``, ``resume``, ``skill`` and ``rule`` as given here or found on the actor. So after a restart of the
        hub, the actor goes on with the inbox that it had.

        It handles ``concurrency`` envelopes at a time, by default what the actor says, or one. An envelope whose turn
        raises comes again, or is dead-lettered, as ``retry`` says, by default what the actor says; the actor goes on.
        With ``workers``, so many actors are made, and share the inbox: each envelope goes to one of them, and to
        another one at once if that crashes. A turn that holds its envelope for longer than ``visibility_seconds`` by
        the hub's clock, by default what the actor says, or as long as it takes, is cancelled and has failed with
        ``TimeoutError``.

        It is the only one of a group, with the rules of :meth:`supervise`; spawn several into one with
        :meth:`Group.spawn`.

        Raises what the actor raises when it is started for the first time;
        :class:`~hubwire.errors.ConfigurationError` if it is no actor, :class:`~hubwire.errors.CommandRejected` if the
        agent has one, and what ``hub.agents.register`` raises.
        """
        self._lifecycle.check_open()
        settings = SpawnSettings(
            name=name,
            workers=workers,
            concurrency=concurrency,
            visibility_seconds=visibility_seconds,
            restart=restart,
            retry=retry,
            registration=registration,
        )
        return await self._parts.actors.made().spawn(actor, settings)

    def spawn_on_demand(
        self,
        pattern: str,
        factory: Callable[[str], Any],
        *,
        idle_seconds: float = 600.0,
        active_max: int = 1000,
        concurrency: int | None = None,
        visibility_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        **registration: Any,
    ) -> OnDemand:
        """Let actors be made when envelopes come for their agents, and be let go when they are idle; return at once.

        ``pattern``: the names of these agents, ``*`` standing for any part: ``reviewer/*``. Of several rules, the first
        that a name matches counts. ``factory`` is called with the name and returns the actor, as :meth:`spawn` takes
        it: an object with ``on_envelope``, or an async function of a turn. It may be async, or a class. The agent of
        such a name is registered when it is first asked, opens or joins a channel, or subscribes to a topic, with
        ``registration`` as in :meth:`spawn`; or it is registered already. Its actor is made when an envelope is ready
        in its inbox: one posted, asked or published, or left by the run of the hub before. It is let go when its inbox
        had no envelope to deliver, and no turn ran, for ``idle_seconds`` by the hub's clock: stopped, with ``on_stop``.
        The agent, its inbox, its ``turn.state`` and its subscriptions stay.

        No more than ``active_max`` are there at a time. More wait for a place: the one that has been idle for the
        longest time is let go for them; where none is idle, one that has become so.

        That an actor cannot be made, by an exception of the factory or of ``on_start`` or by what it returns, is one
        attempt of each envelope that waits: ``actor.crashed`` reports it, and the envelopes come again, or are
        dead-lettered, as ``retry`` says. One that crashes in a turn is started again as :meth:`spawn` has it.

        Give the rules at each start. Raises :class:`~hubwire.errors.ConfigurationError` for an argument that is not of
        its form, and :class:`~hubwire.errors.CommandRejected` where there is a rule for this pattern.
        """
        self._lifecycle.check_open()
        settings = SpawnSettings(
            concurrency=concurrency,
            visibility_seconds=visibility_seconds,
            restart=Restart.TRANSIENT,
            retry=retry,
            registration=registration,
            call=SPAWN_ON_DEMAND,
        )
        return self._parts.actors.made().spawn_on_demand(pattern, factory, idle_seconds, active_max, settings)

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
        ``within_seconds``, by the hub's clock, the group is stopped: reported by ``group.stopped``, and :meth:`health`
        is false until a group of this name is made again. A group may stand in another: :meth:`Group.supervise`.

        Called again with the name and the rules of a group that has not stopped, it returns that group. Raises
        :class:`~hubwire.errors.CommandRejected` if the name is taken by a group with other rules.
        """
        self._lifecycle.check_open()
        name = SUPERVISE.text("name", name, wanted="the group's name, a text", is_empty_ok=False)
        rules = GroupRules(
            strategy=strategy,
            restarts_max=restarts_max,
            within_seconds=within_seconds,
            backoff_seconds=backoff_seconds,
            backoff_seconds_max=backoff_seconds_max,
        )
        return self._parts.actors.made().supervise(name, rules)

    async def ask(
        self,
        asker: Agent | str,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float = 60.0,
        channel: Channel | None = None,
        linked: bool = True,
        provenance: Iterable[str] = (),
    ) -> EnvelopePosted:
        """Post a question in an agent's name, and return the answer: what the other posts because of it.

        It is posted in ``channel``, by default directly, in none. An actor answers with ``turn.reply()``, who reads an
        inbox with ``delivery.reply()``. ``timeout``: seconds by the hub's clock. ``linked``: when the asker waits no
        longer, because of the timeout, a cancellation, or a restart of the hub, an actor that handles the question is
        cancelled, and one that has not begun does not begin. ``provenance``: where the content comes from, as
        :meth:`hubwire.Channel.post` takes it.

        Raises :class:`~hubwire.errors.AskTimeout`; :class:`~hubwire.errors.AskCycle` if the other waits, over others
        perhaps, for what the asker does now; :class:`~hubwire.errors.AskFailed` if no answer will come; and what
        :meth:`hubwire.Channel.post` raises, as :class:`~hubwire.errors.CommandRejected` for an argument.
        """
        self._lifecycle.check_open()
        return await self._parts.asks.ask(
            asker, answerer, content, timeout=timeout, channel=channel, is_linked=linked, provenance=provenance
        )

    # -- the way out --

    def events(
        self,
        *,
        after: int | str | Position | None = None,
        pattern: str | Iterable[str] = "*",
        history: bool = True,
        tenant: str | None = None,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
    ) -> EventStream:
        """Iterate over committed events with ``seq`` > ``after``: history, then live, without a gap or a duplicate.

        ``pattern``, ``tenant``, ``agent`` and ``channel`` select among them, as in :meth:`attach`.

        By default from now on. A reader that goes on later keeps the :class:`Position` after the last event that it has
        handled, or its text: :class:`~hubwire.errors.InvalidCursor`, here or from the first read, then says that the
        hub was restored from an older copy, where a number would go on with other events. Without ``history`` the
        journal is not read: what is no longer in memory counts as gone.
        It ends when the hub is closed, and raises what it failed with, or
        :class:`~hubwire.errors.HistoryGone` when it asks for, or falls behind, what is held. Raises
        :class:`~hubwire.errors.HubClosed` before the hub is started, when there is no "now".
        """
        which = {"tenant": tenant, "agent": agent, "channel": channel}
        return self._ways.events(after, pattern, history=history, which=which)

    def matcher(
        self,
        pattern: str | Iterable[str] = "*",
        *,
        tenant: str | None = None,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
    ) -> Matcher:
        """Return what selects events as :meth:`attach` and :meth:`events` do: ``hub.matcher("tool.*").select(events)``.

        For code that reads the events of the hub once, and hands them to many. An agent's name, also of one to come,
        means the agent that has it when events are first selected while there is one. Raises
        :class:`~hubwire.errors.ConfigurationError` for an argument that is not of its form.
        """
        return self._ways.matcher(pattern, {"tenant": tenant, "agent": agent, "channel": channel})

    async def flush(self, *, timeout: float | None = None) -> None:
        """Return when every event taken until now is committed, and every listener has handled it, or is suspended.

        Raises ``TimeoutError``, naming who is behind, after ``timeout`` seconds; or what the hub failed with.
        """
        await self._ways.flush(timeout)

    def statistics(self) -> HubStatistics:
        """Return every number there is, at once."""
        return self._health.statistics()

    def health(self) -> HubHealth:
        """Return whether the hub keeps all its promises now, and which it does not keep."""
        return self._health.health()

    def measure_calls(self, record: Callable[[str, float], object]) -> Callable[[], None]:
        """Call ``record(name, seconds)`` after each call of a listener: its attachment, and how long the call took.

        It is called on the event loop, once for each batch, and has to return at once. One that raises is called no
        more, and the log of the program says so. The function that is returned ends it. Without this, no clock is read.
        Of a chain of functions, each is named. Raises :class:`~hubwire.errors.ConfigurationError` if it is no function.
        """
        return self._ways.measure_calls(record)

    def connect(self, link: CommandLink) -> None:
        """Let the commands of this hub be carried out by the hub that leads, while this one follows another's journal.

        All hubs of one journal are connected, each by a link of its own, which is not shared: one that leads serves the
        others. Before the start or while it runs; returns at once. Commands then have on a hub that follows the results
        and the errors that they have on the hub that leads, and are carried out once each, also when answers are lost,
        or another hub comes to lead meanwhile. When one returns, this hub has seen what it led to. While no hub
        answers, it is sent again for 30 seconds; then it raises :class:`~hubwire.errors.ForwardingFailed`.

        Raises :class:`~hubwire.errors.ConfigurationError` for what is no :class:`~hubwire.ports.CommandLink`, and if
        the hub is connected already, and :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if it is
        closing, closed or failed.
        """
        from ._forwarding.connecting import Connection  # noqa: PLC0415 - few hubs follow another

        if self._connection is not None:
            raise ConfigurationError("hub.connect(): this hub is connected already; a hub has one link")
        self._connection = Connection(self, self._parts, link)

    @property
    def is_connected(self) -> bool:
        """Whether the hub has a link, so that it takes commands while it follows, too: see :meth:`connect`."""
        return self._connection is not None

    # -- life cycle --

    async def follow(self) -> None:
        """Follow the hub that leads, instead of starting: apply what it commits, as it comes, without possession.

        For a warm standby, and to read elsewhere. It returns when the newest snapshot is restored and the events that
        were committed until then are applied; later ones are applied a moment after their commit. All that only reads
        works meanwhile, from the state here: ``agents``, ``channels``, :meth:`events`, BEST_EFFORT listeners such as a
        live tail or a dashboard, :meth:`health`. Nobody sees what a crash can undo. Commands raise
        :class:`~hubwire.errors.NotLeading`, unless the hub is connected to the one that leads: :meth:`connect`.
        REQUIRED and DURABLE listeners are not called, inboxes deliver nothing, and neither actors nor timers nor feeds
        run, before :meth:`lead`. :meth:`aclose` ends it.

        A journal that cannot be reached is tried again each second, and health says so. The hub fails if it came so far
        behind that the next events are no longer held. Raises :class:`~hubwire.errors.ConfigurationError` without a
        journal that can be followed (:class:`~hubwire.ports.SharedJournal`), and what that raises when it is prepared.
        """
        await self._life.follow(self._health.follow)
        if self._connection is not None:
            self._connection.follow()

    async def lead(self) -> None:
        """Take the lead, on a hub that follows: take possession of the journal, apply the last events, be started.

        It takes milliseconds, however many events there are. The hub that led until now is refused at its next append.
        If the journal cannot be opened, as with :class:`~hubwire.errors.StoreUnavailable`, this raises why, and the hub
        goes on to follow, as it does when this is cancelled while it opens; what fails later ends the hub, as at a
        start, and so does a later cancellation. Raises :class:`~hubwire.errors.ConfigurationError` on a hub that does
        not follow, or is about to lead, and :class:`~hubwire.errors.HubClosed` on one that has ended.
        """
        await self._life.lead()

    @property
    def is_leading(self) -> bool:
        """Whether the hub takes commands, in its own name: it was started, or has followed and leads now."""
        return self._lifecycle.is_open

    @property
    def is_following(self) -> bool:
        """Whether the hub applies what another one commits: see :meth:`follow`."""
        return self._lifecycle.is_following

    async def start(self) -> None:
        """Take possession of the journal, recover, enter the listeners, and begin to take commands.

        Raises :class:`~hubwire.errors.AlreadyRunning` if another hub has the journal, and what a required listener
        raised on entering. A hub is started once.
        """
        await self._life.start()

    async def aclose(self) -> None:
        """Stop the actors, take no more commands, let the listeners finish, commit ``hub.stopped``; give all up.

        All of this takes ``close_seconds_max``, of which each step has a share, and what a step does not need is left
        to the next ones; who is not done then is cancelled. It goes on to its end when it is cancelled, but for a hub
        inside a guest of another one, which is given up then.
        Raises what the hub failed with, unless it was aborted before this. May be called again. From a
        listener or an actor it returns at once.
        What only reads, as ``hub.agents.find()`` does, is answered after that, too, from the state at the end.
        """
        try:
            await self._life.aclose()
        finally:
            if self._connection is not None:
                await self._connection.aclose()

    async def abort(self) -> None:
        """Give the hub up at once: no guest is waited for, no event is flushed, no ``hub.stopped``, no clean marker.

        What waits for the hub gets :class:`~hubwire.errors.HubAborted`, which :meth:`finished` returns; closing it
        after this does not raise, nor does leaving ``async with``. What was acknowledged is in the journal, and
        what was not may be: the next start says, and reads the end of the journal for it. All tasks are cancelled and
        the journal is released; that takes a second at most, also while a disk hangs, or about three more for code
        that swallows its cancellation. Has no effect before the start and after the end. From a listener or an actor
        it returns at once.
        """
        await self._life.abort()
        if self._connection is not None:
            await self._connection.aclose()

    async def finished(self) -> HubFailed | None:
        """Wait for the end of the hub; return None after a clean close, or what the hub failed with.

        That is a :class:`~hubwire.errors.HubAborted` if it was given up on purpose.

        For a program that runs hubs and starts them again. It returns as soon as the hub has failed; close or abort
        the hub before you start another one on its store. Any number of tasks may wait, and each may be cancelled,
        which the hub does not notice. Raises :class:`~hubwire.errors.HubClosed` before the start.
        """
        return await self._life.finished()

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
