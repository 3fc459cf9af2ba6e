"""How a hub does: every number there is, and whether it keeps what it owes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._actors.rules import ActorStatistics
from ._commit.pulse import LAG_SECONDS, STALL_SECONDS
from ._delivery.reports import AttachmentStatistics
from ._foreign.clocks import GuardedClock
from ._journal.statistics import JournalStatistics
from ._parts import Parts
from ._values import Value
from .late_types import late_type

if TYPE_CHECKING:
    from ._commands.validating import Validating
    from ._delivery.letter import DeadLetterStatistics  # imported with the first letter
    from ._feeds.states import FeedStatistics  # imported with the first feed
    from ._following import Following, FollowingStatistics  # imported by a hub that follows
else:
    DeadLetterStatistics = late_type("hubwire._delivery.letter", "DeadLetterStatistics")
    FeedStatistics = late_type("hubwire._feeds.states", "FeedStatistics")
    FollowingStatistics = late_type("hubwire._following", "FollowingStatistics")

__all__ = ("Health", "HubHealth", "HubStatistics", "TenantStatistics", "statistics_of_tenant")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TenantStatistics(Value):
    """What one tenant of a hub did since the start."""

    tenant: str
    """Its name; ``(others)``: all that came after the first thousand, together."""
    events: int
    bytes: int
    """The JSON of its events, if :class:`~hubwire.TenantLimits` bound the bytes of any tenant; else 0."""
    breaches: int
    """How often a quota refused a command of its."""
    agents: int
    channels: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HubStatistics(Value):
    """Every depth, lag, drop and failure of a hub, at one moment."""

    applied: int
    """How many events were ever applied: the ``seq`` of the next one."""
    journaled: int
    committed: int
    ring_events: int
    ring_bytes: int
    """How many bytes the heavy ones among them have, as :class:`~hubwire.Limits` counts bytes."""
    emitters_waiting: int
    """How many emitters wait to be admitted."""
    offers_dropped: int
    agents: int
    channels: int
    envelopes_pending: int
    posts_waiting: int
    """How many posts wait for room in inboxes: see ``InboxOverflow.BLOCK``."""
    dead_letters: int
    """How many of inboxes are kept: see ``hub.inboxes.dead_letters()``."""
    tasks: int
    turns_open: int
    """How many turns, model calls and tool calls have begun and not ended."""
    approvals_pending: int
    asks_pending: int
    """How many questions wait for their answers."""
    actors: tuple[ActorStatistics, ...]
    attachments: tuple[AttachmentStatistics, ...]
    """Those there are, and the last 100 that were detached without being asked to."""
    journal: JournalStatistics | None
    """None without a journal."""
    loop_lag_seconds: float
    """How much later than it should the hub's timer of a second came the last time: how long the loop was blocked."""
    loop_lag_seconds_max: float
    """The most that this was since the start."""
    commit_stalled_seconds: float
    """For how long the oldest uncommitted event has waited; 0 if there is none."""
    set_aside: int
    """How many things could not be taken up at the start of this hub."""
    guests_abandoned: int
    """How many calls of actors and approvers went on though they were cancelled, and were left behind."""
    clock_failures: int
    """How many answers of the clock were no times."""
    clock_steps_back: int
    """How often the clock was set back by more than an hour, and the time of events with it."""
    listeners_lost: int = 0
    """How many attachments were detached without being asked to, ever."""
    listeners_dropped: int = 0
    """How many events were dropped for listeners since the start, also for those that are detached now."""
    violations_waiting: int = 0
    """How many violations of expectations wait for a handler of the program's own."""
    listener_letters: DeadLetterStatistics | None = None
    """The dead letters of listeners; None while there never was one. See ``hub.dead_letters``."""
    withheld: int = 0
    """How many values were taken in without their contents, because the ``redactor`` of the hub failed."""
    event_rules: int = 0
    """How many rules the hub has for the events that callers emit; 0: they are not validated."""
    events_refused: int = 0
    """How many events were refused because they break a strict rule."""
    events_questioned: int = 0
    """How many were let pass, though they break rules of the mode ``warn``."""
    checks_failed: int = 0
    """How often a check of a rule, which is a function of the program's own, raised, or answered what is no answer."""
    tenants: tuple[TenantStatistics, ...] = ()
    """Of a hub that has limits for tenants, or since it works for some: each whose events there were, by name."""
    feeds: tuple[FeedStatistics, ...] = ()
    """Of each feed there is, and the last 100 that have returned; see :meth:`hubwire.Hub.feed`."""
    append_seconds_p50: float | None = None
    """How long an append to the journal took: the median of the last half minute to minute; None if there was none."""
    following: FollowingStatistics | None = None
    """How a hub follows that does so: see :meth:`hubwire.Hub.follow`. None of one that leads."""
    append_seconds_p99: float | None = None
    """What 99 of 100 appends took at most, likewise."""

    @property
    def in_flight(self) -> int:
        """How many events are applied and not yet committed."""
        return self.applied - self.committed


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HubHealth(Value):
    """Whether the hub keeps all its promises; if not, ``problems`` says which it does not keep, and why."""

    healthy: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is no problem, and worth knowing: what the start found of the journal and did about it, and which guest held
    up the event loop last."""


def _validated(validating: Validating | None) -> dict[str, int]:
    if validating is None:
        return {}
    return {
        "event_rules": validating.rules,
        "events_refused": validating.refused,
        "events_questioned": validating.questioned,
        "checks_failed": validating.checks_failed,
    }


class Health:
    """Looks at the parts of a hub."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._following: Following | None = None

    def follow(self, following: Following) -> None:
        """The hub follows another one."""
        self._following = following

    def statistics(self) -> HubStatistics:
        """Return every number there is, at once."""
        parts = self._parts
        pipeline, state, fanout = parts.pipeline, parts.state, parts.fanout
        ring, times = pipeline.ring, pipeline.append_times
        p50, p99 = (None, None) if times is None else times.seconds(0.5, 0.99)
        return HubStatistics(
            applied=ring.applied.value,
            journaled=ring.journaled.value,
            committed=ring.committed.value,
            ring_events=ring.applied.value - ring.first,
            ring_bytes=ring.weights.held(),
            emitters_waiting=len(pipeline.admission.waiting),
            offers_dropped=pipeline.offers_dropped,
            agents=len(state.agents),
            channels=len(state.channels),
            envelopes_pending=state.inboxes.pending_total(),
            posts_waiting=len(parts.core.room),
            dead_letters=len(state.dead_letters),
            tasks=len(state.tasks),
            turns_open=len(state.turns),
            approvals_pending=len(state.approvals),
            asks_pending=len(parts.asks),
            actors=parts.actors.statistics(),
            feeds=parts.feeds.statistics(),
            attachments=(
                *(attachment.statistics() for attachment in fanout.attachments),
                *fanout.lost.statistics,
            ),
            loop_lag_seconds=parts.pulse.lag_seconds,
            loop_lag_seconds_max=parts.pulse.lag_seconds_max,
            commit_stalled_seconds=parts.pulse.stalled_seconds(),
            set_aside=parts.set_aside.count,
            guests_abandoned=parts.abandoned.total,
            clock_failures=parts.clock.failures if isinstance(parts.clock, GuardedClock) else 0,
            clock_steps_back=pipeline.ingress.time.steps_back,
            listeners_lost=fanout.lost.count,
            listeners_dropped=fanout.dropped_gone + sum(each.statistics().dropped for each in fanout.attachments),
            violations_waiting=len(parts.violation_handlers),
            listener_letters=fanout.letters.statistics(len(state.dead_letters)),
            withheld=0 if pipeline.ingress.redaction is None else pipeline.ingress.redaction.withheld,
            **_validated(parts.emitting.validating),
            journal=None if parts.upkeep is None else parts.upkeep.statistics(),
            tenants=self._tenants(),
            following=None if self._following is None else self._following.statistics(),
            append_seconds_p50=p50,
            append_seconds_p99=p99,
        )

    def _tenants(self) -> tuple[TenantStatistics, ...]:
        meter = self._parts.pipeline.meter
        return tuple(_of_tenant(self._parts, *each) for each in (() if meter is None else meter.numbers()))

    def health(self) -> HubHealth:
        """Return whether the hub keeps all its promises now, and which it does not keep."""
        parts = self._parts
        lifecycle, fanout = parts.lifecycle, parts.fanout
        problems = []
        if lifecycle.failure is not None:
            problems.append(f"the hub has failed: {lifecycle.failure}")
        elif self._following is not None and lifecycle.is_following:
            problems += self._following.problems()
        elif not lifecycle.is_open:
            problems.append("the hub is not running")
        full = parts.pipeline.full_stores.waiting
        problems += [f"{writer} has no space to write: {error}" for writer, error in full.items()]
        problems += fanout.problems()
        problems += fanout.letters.problems()
        problems += parts.actors.problems()
        problems += parts.violation_handlers.problems()
        problems += parts.feeds.problems()
        problems += self._pulse_problems()
        problems += parts.set_aside.problems()
        problems += parts.timers.problems()
        problems += parts.abandoned.problems()
        if isinstance(parts.clock, GuardedClock) and parts.clock.problem:
            problems.append(f"the clock fails, and the system's is used meanwhile: {parts.clock.problem}")
        redaction = parts.pipeline.ingress.redaction
        if redaction is not None and redaction.withheld:
            problems.append(
                f"the redactor of the hub has left out the contents of {redaction.withheld} values, because it could"
                " not redact them: the log of the program says which rule fails"
            )
        if parts.upkeep is not None:
            problems += parts.upkeep.problems()
        notes = () if parts.upkeep is None else parts.upkeep.notes()
        notes += fanout.letters.notes()
        notes += () if self._following is None else self._following.notes()
        last = parts.pulse.last_stall
        if last is not None and last.culprit is not None and last is not parts.pulse.newest:
            notes += (f"until {last.at}, the event loop {last}",)
        return HubHealth(healthy=not problems, problems=tuple(problems), notes=notes)

    def _pulse_problems(self) -> list[str]:
        parts, problems = self._parts, []
        pulse, ring = parts.pulse, parts.pipeline.ring
        if (stall := pulse.standstill()).seconds >= LAG_SECONDS:
            problems.append(f"the event loop {stall}")
        if (seconds := pulse.stalled_seconds()) >= STALL_SECONDS:
            committed = ring.committed.value
            holders = [
                f"the required listener {each.name!r}"
                for each in parts.fanout.attachments
                if each.is_required and each.done <= committed
            ]
            if ring.journaled.value <= committed:
                holders = ["the journal, whose append does not return"]
            problems.append(
                f"event {committed} has waited {seconds:.0f} s for its commit, by {', '.join(holders) or 'the hub'}"
            )
        return problems


def statistics_of_tenant(parts: Parts, tenant: str) -> TenantStatistics:
    """Return the numbers of one tenant; those of one that did nothing yet are 0."""
    meter = parts.pipeline.meter
    numbers = (0, 0, 0) if meter is None else meter.numbers_of(tenant)
    return _of_tenant(parts, tenant, *numbers)


def _of_tenant(parts: Parts, tenant: str, events: int, size: int, breaches: int) -> TenantStatistics:
    return TenantStatistics(
        tenant=tenant,
        events=events,
        bytes=size,
        breaches=breaches,
        agents=parts.state.agents.count_of(tenant),
        channels=parts.state.channels.count_of(tenant),
    )
