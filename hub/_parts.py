"""The parts of a hub, and how they are wired: the only place where one part is given to another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs

from ._actors.asks import Asks
from ._actors.calls import turn_of
from ._actors.late import LateActors
from ._commands import (
    Acting,
    Agent,
    AgentCommands,
    Authorizer,
    ChannelCommands,
    Core,
    Denials,
    Emitting,
    InboxCommands,
    Recall,
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
from ._feeds.late import LateFeeds
from ._foreign.abandoned import Abandoned
from ._foreign.clocks import GuardedClock
from ._late import Late
from ._state import State
from ._state.turns import WatchLimits
from .arbiter import Arbiter
from .errors import ConfigurationError
from .events import EnvelopeDeadLettered, Event, HubClockStepped, HubEntrySetAside, HubGuestFailed
from .limits import Limits
from .own_log import OwnLog, redact_by
from .ports import Clock, Journal, KnowledgeStore

if TYPE_CHECKING:
    from ._actors.registry import Actors  # imported with the first actor
    from ._commands.approvals import ApprovalCommands  # imported when they are used
    from ._commands.batches import Batches
    from ._commands.dead_letters import DeadLetterCommands
    from ._commands.validating import Validating
    from ._delivery.letter import DeadLetterPolicy
    from ._feeds.feeds import Feeds
    from ._feeds.ground import Ground
    from ._journal.upkeep import Upkeep  # imported only for a hub with a journal
    from .approvals import ApprovalPolicy
    from .redaction.ingress import IngressRedaction
    from .validation import Validation

__all__ = ("Groups", "Parts", "assemble", "journal_on")

_log = OwnLog("hub")


def _redacted(line: str) -> str:
    from .redaction import Redactor  # noqa: PLC0415 - few programs ever have a line for their log

    text: object = Redactor.shared().redact(line)
    return text if type(text) is str else "(a line that could not be redacted)"


redact_by(_redacted)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Groups:
    """The groups of commands of one hub."""

    agents: AgentCommands
    channels: ChannelCommands
    inboxes: InboxCommands
    tasks: TaskCommands
    turns: TurnCommands
    timers: TimerCommands
    topics: TopicCommands


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
    groups: Groups
    approvals: Late[ApprovalCommands]
    dead_letters: Late[DeadLetterCommands]
    emitting: Emitting
    batches: Late[Batches]
    asks: Asks
    actors: LateActors
    feeds: LateFeeds
    timers: Timers
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
    from ._journal.store_journal import StoreJournal  # noqa: PLC0415 - a hub in memory needs no log
    from .log import SEGMENT_BYTES  # noqa: PLC0415

    # Truncated by whole segments, it cannot be kept smaller than a few of them.
    return StoreJournal(store, clock=clock, segment_bytes=min(SEGMENT_BYTES, limits.journal_bytes_max // 8))


def assemble(
    limits: Limits,
    clock: Clock,
    journal: Journal | None,
    *,
    arbiter: Arbiter | None,
    approvals: ApprovalPolicy | None,
    dead_letters: DeadLetterPolicy | None,
    watch: WatchLimits | None,
    redaction: IngressRedaction | None,
    validation: Validation | None,
    acting_as: Callable[[Agent], object],
    hub: object,
) -> Parts:
    """Make the parts of a hub and wire them, without starting them and without I/O.

    ``acting_as`` makes what the actor of an agent gets as its hub, and ``hub`` is what the program's own code gets.
    """
    lifecycle, state, abandoned = Lifecycle(), State(watch), Abandoned()
    pipeline = _pipeline_of(journal, state, clock, lifecycle, limits)
    pipeline.ingress.redaction = redaction
    upkeep = None if journal is None else _upkeep_of(journal, state, pipeline, clock, limits)
    fanout = _fanout_of(pipeline, journal, clock, upkeep)
    set_aside = _reporting(clock, pipeline, abandoned, fanout.announcements)
    state.agents.on_tenant = partial(_know_owners, state, pipeline, clock, limits)
    if limits.tenants is not None:
        _meter(state, pipeline, clock, limits)
    core, denials = _core_of(pipeline, state, clock, limits, arbiter, journal, upkeep)
    asks, from_threads = _asks_of(core, state, clock), FromThreads(lifecycle.home, limits.thread_bytes_max)
    core.emitting.connect(_validating_of(validation, lifecycle, fanout.announcements, limits))
    return Parts(
        limits=limits,
        lifecycle=lifecycle,
        state=state,
        journal=journal,
        upkeep=upkeep,
        pipeline=pipeline,
        fanout=fanout,
        core=core,
        groups=_groups_of(core, state, clock),
        approvals=Late(partial(_make_approvals, core, state, approvals, from_threads, abandoned, clock)),
        dead_letters=_dead_letters_of(core, state, fanout, clock, dead_letters),
        emitting=core.emitting,
        batches=Late(partial(_make_batches, core, pipeline, limits)),
        asks=asks,
        actors=LateActors(core, partial(_make_actors, core, state, asks, acting_as, clock, abandoned, limits)),
        feeds=LateFeeds(partial(_make_feeds, hub, clock, lifecycle, abandoned, fanout.announcements)),
        timers=Timers(pipeline, state, clock, partial(set_aside, "what is due")),
        verdicts=Verdicts(core, state.approvals),
        violation_handlers=ViolationHandlers(core, state, clock, pipeline.ingress.time.now_ns, abandoned, hub),
        denials=denials,
        from_threads=from_threads,
        clock=clock,
        abandoned=abandoned,
        pulse=Pulse(pipeline.ring),
        set_aside=SetAside(set_aside),
    )


# -- from a command to its commit, and on to listeners --


def _pipeline_of(journal: Journal | None, state: State, clock: Clock, lifecycle: Lifecycle, limits: Limits) -> Pipeline:
    ring = Ring(limits.ring, bytes_max=limits.ring_bytes_max, batch_bytes_max=limits.batch_bytes_max)
    return Pipeline(ring, state.apply, journal, clock, lifecycle, limits)


def _know_owners(state: State, pipeline: Pipeline, clock: Clock, limits: Limits) -> None:
    """Let events say whose agents, channels and tasks they are about, from now on: a tenant has come."""
    if pipeline.ingress.owners is None:
        from ._state.owners import Owners  # noqa: PLC0415 - most hubs have no tenants

        pipeline.ingress.owners = Owners(state.agents, state.channels, state.tasks).tenants_of
        _meter(state, pipeline, clock, limits)


def _meter(state: State, pipeline: Pipeline, clock: Clock, limits: Limits) -> None:
    """Count for tenants from now on, and refuse what is beyond their quotas."""
    if pipeline.meter is None:
        from ._commit.meter import Meter  # noqa: PLC0415 - most hubs have no tenants

        present = {"agents_max": state.agents.count_of, "channels_max": state.channels.count_of}
        pipeline.meter = Meter(clock, limits.tenants, present)


def _upkeep_of(journal: Journal, state: State, pipeline: Pipeline, clock: Clock, limits: Limits) -> Upkeep:
    from ._journal.upkeep import Upkeep  # noqa: PLC0415 - a hub in memory needs no log

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


def _fanout_of(pipeline: Pipeline, journal: Journal | None, clock: Clock, upkeep: Upkeep | None) -> Fanout:
    fanout = Fanout(pipeline, journal, clock, upkeep)
    pipeline.connect(fanout)
    if upkeep is not None:
        upkeep.connect(fanout)
    return fanout


# -- commands --


def _core_of(
    pipeline: Pipeline,
    state: State,
    clock: Clock,
    limits: Limits,
    arbiter: Arbiter | None,
    journal: Journal | None,
    upkeep: Upkeep | None,
) -> tuple[Core, Denials]:
    denials = Denials(clock)
    authorizer = Authorizer(arbiter, state.agents, state.channels, clock, limits.arbiter_seconds_max, denials)
    archive = None if upkeep is None else upkeep.archive
    recall = Recall(pipeline.ring, state, journal, archive, bytes_max=limits.history_bytes_max // 4)
    core = Core(pipeline, state.inboxes, authorizer, Acting(state.agents, state, denials), recall, journal)
    denials.connect(core)
    return core, denials


def _validating_of(
    validation: Validation | None, lifecycle: Lifecycle, announcements: Announcements, limits: Limits
) -> Validating | None:
    if validation is None:
        return None
    from ._commands.validating import Validating  # noqa: PLC0415 - a hub without rules does not need it

    return Validating(validation, lifecycle, announcements, limits.event_bytes_max)


def _make_batches(core: Core, pipeline: Pipeline, limits: Limits) -> Batches:
    from ._commands.batches import Batches  # noqa: PLC0415 - few programs emit batches

    return Batches(pipeline, core.emitting, limits.event_bytes_max)


def _groups_of(core: Core, state: State, clock: Clock) -> Groups:
    return Groups(
        agents=AgentCommands(core, state),
        channels=ChannelCommands(core, state),
        inboxes=InboxCommands(core, clock, state),
        tasks=TaskCommands(core, state.tasks),
        turns=TurnCommands(core, clock, state.turns),
        timers=TimerCommands(core, state.timers),
        topics=TopicCommands(core, state),
    )


def _dead_letters_of(
    core: Core, state: State, fanout: Fanout, clock: Clock, policy: DeadLetterPolicy | None
) -> Late[DeadLetterCommands]:
    letters = fanout.letters

    def make() -> DeadLetterCommands:
        from ._commands.dead_letters import DeadLetterCommands  # noqa: PLC0415 - most hubs have no dead letters
        from ._commands.letter_requests import Requests  # noqa: PLC0415
        from ._commands.retrying import Retries  # noqa: PLC0415

        retries = Retries(core, letters, fanout.replays, fanout.find)
        lifecycle, requests = fanout.pipeline.lifecycle, Requests(fanout.journal)
        inboxes = InboxCommands(core, clock, state)
        return DeadLetterCommands(lifecycle, state.dead_letters, letters, inboxes, retries, requests, core.acting)

    group = Late(make)
    letters.policy = policy
    letters.has_others = lambda: len(state.dead_letters) > 0
    letters.take_requests = lambda: group.made().take_requests()
    core.on_applied(EnvelopeDeadLettered, lambda _: letters.wake())
    return group


def _make_approvals(
    core: Core,
    state: State,
    policy: ApprovalPolicy | None,
    from_threads: FromThreads,
    abandoned: Abandoned,
    clock: Clock,
) -> ApprovalCommands:
    from ._commands.approvals import ApprovalCommands  # noqa: PLC0415 - many programs have no approvals
    from ._commands.reviewing import Reviews  # noqa: PLC0415

    reviews = Reviews(core, state.approvals, state.agents, abandoned, clock)
    return ApprovalCommands(core, state, policy, reviews, from_threads, partial(turn_of, core))


# -- actors --


def _asks_of(core: Core, state: State, clock: Clock) -> Asks:
    asks = Asks(core, state, clock)
    core.room.connect(partial(turn_of, core), asks.workload.has_time)
    return asks


def _make_actors(
    core: Core,
    state: State,
    asks: Asks,
    acting_as: Callable[[Agent], object],
    clock: Clock,
    abandoned: Abandoned,
    limits: Limits,
) -> Actors:
    from ._actors.registry import Actors  # noqa: PLC0415 - a hub without actors does not need them

    return Actors(core, state, asks, acting_as, clock, abandoned, limits.close_seconds_max)


# -- what comes from outside --


def _make_feeds(
    hub: object, clock: Clock, lifecycle: Lifecycle, abandoned: Abandoned, announcements: Announcements, ground: Ground
) -> Feeds:
    from ._feeds.feeding import Surroundings  # noqa: PLC0415 - a hub without feeds does not need them
    from ._feeds.feeds import Feeds  # noqa: PLC0415

    around = Surroundings(hub=hub, clock=clock, lifecycle=lifecycle, abandoned=abandoned, announcements=announcements)
    return Feeds(around, ground)


# -- what goes wrong is announced --


def _reporting(
    clock: Clock, pipeline: Pipeline, abandoned: Abandoned, announcements: Announcements
) -> Callable[[str, str, str], None]:
    """Announce what the clock and guests do wrong; return what announces an entry that is set aside."""
    _report_clock(clock, pipeline, announcements)
    abandoned.on_abandoned = partial(_report_abandoned, announcements)
    return partial(_report_set_aside, announcements)


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
