"""The parts of a hub, and how they are wired: the only place where one part is given to another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from ._actors.asks import Asks
from ._actors.calls import turn_of
from ._actors.registry import Actors
from ._commands import (
    Acting,
    Agent,
    AgentCommands,
    ApprovalCommands,
    Authorizer,
    ChannelCommands,
    Core,
    Denials,
    Emitting,
    InboxCommands,
    Recall,
    Reviews,
    TaskCommands,
    TimerCommands,
    TopicCommands,
    TurnCommands,
    Verdicts,
    ViolationHandlers,
)
from ._commit.phase import Lifecycle
from ._commit.pipeline import Pipeline
from ._commit.pulse import Pulse
from ._commit.repair import SetAside
from ._commit.ring import Ring
from ._commit.threads import FromThreads
from ._commit.timers import Timers
from ._delivery.announcements import Announcements
from ._delivery.fanout import Fanout
from ._foreign.abandoned import Abandoned
from ._foreign.clocks import GuardedClock
from ._journal.store_journal import StoreJournal
from ._journal.upkeep import Upkeep
from ._state import State
from ._state.turns import WatchLimits
from .approvals import ApprovalPolicy
from .arbiter import Arbiter
from .errors import ConfigurationError
from .events import Event, HubClockStepped, HubEntrySetAside, HubGuestFailed
from .limits import Limits
from .log import SEGMENT_BYTES
from .own_log import OwnLog
from .ports import Clock, Journal, KnowledgeStore

__all__ = ("Parts", "assemble", "journal_on")

_log = OwnLog("hub")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Parts:
    """The parts of one hub, wired. See each class for what it does."""

    limits: Limits
    lifecycle: Lifecycle
    state: State
    journal: Journal | None
    upkeep: Upkeep | None
    """None without a journal."""
    pipeline: Pipeline
    fanout: Fanout
    core: Core
    agents: AgentCommands
    channels: ChannelCommands
    inboxes: InboxCommands
    tasks: TaskCommands
    turns: TurnCommands
    approvals: ApprovalCommands
    emitting: Emitting
    asks: Asks
    actors: Actors
    timers: Timers
    timer_commands: TimerCommands
    topics: TopicCommands
    verdicts: Verdicts
    violation_handlers: ViolationHandlers
    denials: Denials
    from_threads: FromThreads
    clock: Clock
    abandoned: Abandoned
    set_aside: SetAside
    pulse: Pulse


def journal_on(store: KnowledgeStore | None, journal: Journal | None, clock: Clock, limits: Limits) -> Journal | None:
    """Return the journal that a hub is given, or the one that it makes on its store; None if it has neither."""
    if store is None:
        return journal
    if journal is not None:
        raise ConfigurationError(
            "give a store or a journal, not both: a store is where the hub makes a journal of its own"
        )
    # Truncated by whole segments, it cannot be kept smaller than a few of them.
    return StoreJournal(store, clock=clock, segment_bytes=min(SEGMENT_BYTES, limits.journal_bytes_max // 8))


def assemble(
    limits: Limits,
    clock: Clock,
    journal: Journal | None,
    *,
    arbiter: Arbiter | None,
    approvals: ApprovalPolicy | None,
    watch: WatchLimits | None,
    acting_as: Callable[[Agent], object],
    hub: object,
) -> Parts:
    """Make the parts of a hub and wire them, without starting them and without I/O.

    ``acting_as`` makes what the actor of an agent gets as its hub, and ``hub`` is what the program's own code gets.
    """
    lifecycle, state = Lifecycle(), State(watch)
    ring = Ring(limits.ring, bytes_max=limits.ring_bytes_max, batch_bytes_max=limits.batch_bytes_max)
    pipeline = Pipeline(ring, state.apply, journal, clock, lifecycle, limits)
    upkeep = None if journal is None else _upkeep_of(journal, state, pipeline, clock, limits)
    fanout = Fanout(pipeline, journal, clock, upkeep)
    pipeline.connect(fanout)
    if upkeep is not None:
        upkeep.connect(fanout)
    _report_clock(clock, pipeline, fanout.announcements)
    set_aside = partial(_report_set_aside, fanout.announcements)
    abandoned = Abandoned()
    abandoned.on_abandoned = partial(_report_abandoned, fanout.announcements)
    denials = Denials(clock)
    authorizer = Authorizer(arbiter, state.agents, state.channels, clock, limits.arbiter_seconds_max, denials)
    recall = Recall(
        ring, state, journal, None if upkeep is None else upkeep.archive, bytes_max=limits.history_bytes_max // 4
    )
    core = Core(pipeline, state.inboxes, authorizer, Acting(state.agents, denials), recall, journal)
    denials.connect(core)
    from_threads = FromThreads(lifecycle.home, limits.thread_bytes_max)
    channels = ChannelCommands(core, state)
    asks = Asks(core, state, clock)
    core.room.connect(partial(turn_of, core), asks.workload.has_time)
    return Parts(
        limits=limits,
        lifecycle=lifecycle,
        state=state,
        journal=journal,
        upkeep=upkeep,
        pipeline=pipeline,
        fanout=fanout,
        core=core,
        agents=AgentCommands(core, state),
        channels=channels,
        inboxes=InboxCommands(core, clock, state),
        tasks=TaskCommands(core, state.tasks),
        turns=TurnCommands(core, clock, state.turns),
        approvals=ApprovalCommands(
            core,
            state,
            approvals,
            Reviews(core, state.approvals, state.agents, abandoned, clock),
            from_threads,
            partial(turn_of, core),
        ),
        emitting=core.emitting,
        asks=asks,
        actors=Actors(core, state, asks, acting_as, clock, abandoned, limits.close_seconds_max),
        timers=Timers(pipeline, state, clock, partial(set_aside, "what is due")),
        timer_commands=TimerCommands(core, state.timers),
        topics=TopicCommands(core, state),
        verdicts=Verdicts(core, state.approvals),
        violation_handlers=ViolationHandlers(core, state, clock, pipeline.ingress.time.now_ns, abandoned, hub),
        denials=denials,
        from_threads=from_threads,
        clock=clock,
        abandoned=abandoned,
        pulse=Pulse(pipeline.ring),
        set_aside=SetAside(set_aside),
    )


def _upkeep_of(journal: Journal, state: State, pipeline: Pipeline, clock: Clock, limits: Limits) -> Upkeep:
    upkeep = Upkeep(
        journal,
        state,
        pipeline,
        clock,
        snapshot_bytes=limits.snapshot_bytes,
        journal_bytes_max=limits.journal_bytes_max,
        history_bytes_max=limits.history_bytes_max,
    )
    pipeline.full_stores.on_full = upkeep.disk_is_full
    return upkeep


def _report_set_aside(announcements: Announcements, sort: str, entry_id: str, reason: str) -> None:
    _log.problem("something could not be taken up", sort=sort, entry=entry_id, reason=reason)
    announcements.put(HubEntrySetAside(sort=sort, entry_id=entry_id, reason=reason))


def _report_abandoned(announcements: Announcements, name: str) -> None:
    def make(count: int) -> Event:
        return HubGuestFailed(guest=name, reason="it was cancelled, and goes on all the same", count=count)

    _log.problem("a guest was cancelled, and goes on all the same", guest=name)
    announcements.count(("abandoned", name), make)


def _report_clock(clock: Clock, pipeline: Pipeline, announcements: Announcements) -> None:
    """Announce what the clock does wrong."""

    def stepped(seconds: float) -> None:
        def make(count: int) -> Event:
            return HubClockStepped(seconds=seconds, count=count)

        _log.problem("the clock was set back", seconds=seconds)
        announcements.count(("clock", "stepped"), make)

    def failed(reason: str) -> None:
        def make(count: int) -> Event:
            return HubGuestFailed(guest="clock", reason=reason, count=count)

        _log.problem("the clock fails", reason=reason)
        announcements.count(("clock", "failed"), make)

    pipeline.ingress.time.on_step = stepped
    if isinstance(clock, GuardedClock):
        clock.on_failure = failed
