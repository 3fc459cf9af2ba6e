"""The parts of a hub, and how they are wired: the only place where one part is given to another."""

from __future__ import annotations

import attrs

from ._actors.asks import Asks
from ._actors.registry import Actors
from ._commands import (
    AgentCommands,
    ApprovalCommands,
    Authorizer,
    ChannelCommands,
    Core,
    TaskCommands,
    TurnCommands,
    Verdicts,
)
from ._commit.phase import Lifecycle
from ._commit.pipeline import Pipeline
from ._commit.ring import Ring
from ._commit.threads import FromThreads
from ._commit.timers import Timers
from ._delivery.fanout import Fanout
from ._journal.store_journal import StoreJournal
from ._journal.upkeep import Upkeep
from ._state import State
from ._state.turns import WatchLimits
from .approvals import ApprovalPolicy
from .arbiter import Arbiter
from .errors import ConfigurationError
from .limits import Limits
from .log import SEGMENT_BYTES
from .ports import Clock, Journal, KnowledgeStore

__all__ = ("Parts", "assemble", "journal_on")


@attrs.frozen(kw_only=True, eq=False)
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
    tasks: TaskCommands
    turns: TurnCommands
    approvals: ApprovalCommands
    asks: Asks
    actors: Actors
    timers: Timers
    verdicts: Verdicts
    from_threads: FromThreads


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
    *,
    limits: Limits,
    clock: Clock,
    journal: Journal | None,
    arbiter: Arbiter | None,
    approvals: ApprovalPolicy | None,
    watch: WatchLimits | None,
    hub: object,
) -> Parts:
    """Make the parts of a hub and wire them, without starting them and without I/O.

    ``hub`` is the facade that actors get.
    """
    lifecycle, state = Lifecycle(), State(watch)
    pipeline = Pipeline(Ring(limits.ring), state.apply, journal, clock, lifecycle, limits)
    upkeep = None
    if journal is not None:
        upkeep = Upkeep(
            journal,
            state,
            pipeline,
            clock,
            snapshot_bytes=limits.snapshot_bytes,
            journal_bytes_max=limits.journal_bytes_max,
        )
    fanout = Fanout(pipeline, journal, clock, upkeep)
    pipeline.connect(fanout)
    if upkeep is not None:
        upkeep.connect(fanout)
    authorizer = Authorizer(arbiter, state.agents, state.channels, clock, limits.arbiter_seconds_max)
    core = Core(pipeline, state.inboxes, authorizer)
    channels = ChannelCommands(core, state)
    asks = Asks(core, state, channels, clock)
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
        tasks=TaskCommands(core, state.tasks),
        turns=TurnCommands(state.turns),
        approvals=ApprovalCommands(core, state, approvals),
        asks=asks,
        actors=Actors(core, state, asks, hub, clock, limits.close_seconds_max),
        timers=Timers(pipeline, state, clock),
        verdicts=Verdicts(core, state.approvals),
        from_threads=FromThreads(lifecycle.home),
    )
