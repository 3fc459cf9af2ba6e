"""Readings: every number of a hub, under the names of :mod:`hubwire.listeners.families`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from hubwire import (
    ActorStatistics,
    AttachmentState,
    AttachmentStatistics,
    FeedState,
    FeedStatistics,
    HubHealth,
    HubStatistics,
)

from .metrics import OTHER, Latency, MetricsSnapshot

__all__ = ("Reading", "Sums", "of_actors", "of_events", "of_feeds", "of_hub", "of_listeners", "of_tails")


@attrs.frozen
class Reading:
    """One number, or one histogram, at one moment."""

    name: str
    """That of its :class:`~hubwire.listeners.families.Family`."""
    labels: Mapping[str, str]
    value: float | Latency


class Sums:
    """Adds up numbers that have a label in common. The names are bounded; those that come later are ``other``."""

    def __init__(self, label: str, names_max: int) -> None:
        self._label = label
        self._names_max = names_max
        self._names: set[str] = set()
        self._numbers: dict[tuple[str, str], float] = {}

    def add(self, name: str, numbers: Mapping[str, float]) -> None:
        """Add numbers of this name, by their families."""
        if name not in self._names and len(self._names) >= self._names_max:
            name = OTHER
        self._names.add(name)
        for each, number in numbers.items():
            self._numbers[each, name] = self._numbers.get((each, name), 0) + number

    def readings(self) -> Iterator[Reading]:
        """Return the sums."""
        for (family, name), number in self._numbers.items():
            yield Reading(family, {self._label: name}, number)


# --- what events say ------------------------------------------------------------------------------------------------


def of_events(snapshot: MetricsSnapshot) -> Iterator[Reading]:
    """Return what the events of a hub say."""
    for family, label, numbers in (
        ("hub_events_total", "type", snapshot.by_kind),
        ("hub_events_severity_total", "severity", snapshot.by_severity),
        ("hub_events_outcome_total", "outcome", snapshot.by_outcome),
        ("hub_work_open", "what", snapshot.open),
        ("hub_model_tokens_total", "direction", snapshot.tokens),
        ("hub_work_duration_seconds", "what", snapshot.durations),
    ):
        for name, number in numbers.items():
            yield Reading(family, {label: name}, number)
    yield Reading("hub_event_age_seconds", {}, snapshot.age)
    yield Reading("hub_work_forgotten_total", {}, snapshot.forgotten)


# --- what a hub says of itself ---------------------------------------------------------------------------------------

_OF_HUB: Mapping[str, Callable[[HubStatistics], float]] = {
    "hub_in_flight_events": lambda hub: hub.in_flight,
    "hub_ring_events": lambda hub: hub.ring_events,
    "hub_ring_bytes": lambda hub: hub.ring_bytes,
    "hub_emitters_waiting": lambda hub: hub.emitters_waiting,
    "hub_agents": lambda hub: hub.agents,
    "hub_channels": lambda hub: hub.channels,
    "hub_tasks": lambda hub: hub.tasks,
    "hub_turns_open": lambda hub: hub.turns_open,
    "hub_asks_waiting": lambda hub: hub.asks_pending,
    "hub_approvals_waiting": lambda hub: hub.approvals_pending,
    "hub_mailbox_depth": lambda hub: hub.envelopes_pending,
    "hub_posts_waiting": lambda hub: hub.posts_waiting,
    "hub_inbox_dead_letters": lambda hub: hub.dead_letters,
    "hub_violations_waiting": lambda hub: hub.violations_waiting,
    "hub_loop_lag_seconds": lambda hub: hub.loop_lag_seconds,
    "hub_loop_lag_max_seconds": lambda hub: hub.loop_lag_seconds_max,
    "hub_commit_stalled_seconds": lambda hub: hub.commit_stalled_seconds,
    "hub_set_aside": lambda hub: hub.set_aside,
    "hub_applied_events_total": lambda hub: hub.applied,
    "hub_journaled_events_total": lambda hub: hub.journaled,
    "hub_committed_events_total": lambda hub: hub.committed,
    "hub_offers_dropped_total": lambda hub: hub.offers_dropped,
    "hub_guests_abandoned_total": lambda hub: hub.guests_abandoned,
    "hub_clock_failures_total": lambda hub: hub.clock_failures,
    "hub_clock_steps_back_total": lambda hub: hub.clock_steps_back,
    "hub_listeners_lost_total": lambda hub: hub.listeners_lost,
    "hub_events_refused_total": lambda hub: hub.events_refused,
    "hub_events_questioned_total": lambda hub: hub.events_questioned,
    "hub_checks_failed_total": lambda hub: hub.checks_failed,
    "hub_values_withheld_total": lambda hub: hub.withheld,
}


def of_hub(hub: HubStatistics, health: HubHealth) -> Iterator[Reading]:
    """Return what a hub says of itself, its journal, its dead letters and its tenants."""
    for family, number in _OF_HUB.items():
        yield Reading(family, {}, number(hub))
    yield Reading("hub_healthy", {}, int(health.healthy))
    yield Reading("hub_problems", {}, len(health.problems))
    if (journal := hub.journal) is not None:
        replayed_from = journal.first_seq if journal.snapshot_seq is None else journal.snapshot_seq + 1
        yield Reading("hub_journal_bytes", {}, journal.size_bytes)
        yield Reading("hub_journal_events", {}, journal.next_seq - journal.first_seq)
        yield Reading("hub_journal_replay_events", {}, max(0, journal.next_seq - replayed_from))
        yield Reading("hub_journal_failing", {}, int(journal.last_error is not None))
    if (letters := hub.listener_letters) is not None:
        yield Reading("hub_dead_letters", {}, letters.kept)
        yield Reading("hub_dead_letters_waiting", {}, letters.waiting)
        yield Reading("hub_dead_letters_lost_total", {}, letters.lost)
    for tenant in hub.tenants:
        labels = {"tenant": tenant.tenant}
        yield Reading("hub_tenant_events_total", labels, tenant.events)
        yield Reading("hub_tenant_breaches_total", labels, tenant.breaches)
        yield Reading("hub_tenant_agents", labels, tenant.agents)
        yield Reading("hub_tenant_channels", labels, tenant.channels)


_UP = (AttachmentState.CATCHING_UP, AttachmentState.RUNNING)


def of_listeners(attachments: Iterable[AttachmentStatistics], names_max: int) -> Iterator[Reading]:
    """Return what a hub says of its listeners. Those of one name, present and past, are one."""
    sums = Sums("listener", names_max)
    for each in attachments:
        sums.add(
            each.name,
            {
                "hub_listener_lag_events": each.lag,
                "hub_listener_up": int(each.state in _UP),
                "hub_listener_muted": int(each.is_muted),
                "hub_listener_still_running": each.still_running,
                "hub_listener_handled_events_total": each.handled,
                "hub_listener_batches_total": each.batches,
                "hub_listener_dropped_total": each.dropped,
                "hub_listener_errors_total": each.failed,
                "hub_listener_restarts_total": each.restarts,
                "hub_listener_retries_total": each.retries,
                "hub_listener_dead_letters_total": each.dead_letters,
            },
        )
    return sums.readings()


def of_feeds(feeds: Iterable[FeedStatistics], names_max: int) -> Iterator[Reading]:
    """Return what a hub says of its feeds, and those say of themselves by the names that recorders and spools use."""
    sums = Sums("feed", names_max)
    for each in feeds:
        numbers = each.numbers
        sums.add(
            each.name,
            {
                "hub_feed_pausing": int(each.state is FeedState.PAUSING),
                "hub_feed_waiting": numbers.get("waiting", 0),
                "hub_feed_events_total": numbers.get("events", 0),
                "hub_feed_dropped_total": numbers.get("dropped", 0) + numbers.get("lost", 0),
                "hub_feed_errors_total": each.failed,
                "hub_feed_restarts_total": each.restarts,
            },
        )
    return sums.readings()


def of_actors(actors: Iterable[ActorStatistics], names_max: int) -> Iterator[Reading]:
    """Return what a hub says of its actors, by group; an actor that is alone in its group has no label of its own."""
    sums = Sums("group", names_max)
    for each in actors:
        sums.add(
            "" if each.group.partition(" of ")[0] == each.name else each.group,
            {
                "hub_actors_running": int(each.is_running),
                "hub_actor_starts_total": each.starts,
                "hub_actor_crashes_total": each.crashes,
                "hub_actor_handled_envelopes_total": each.handled,
                "hub_actor_failed_turns_total": each.failed,
            },
        )
    return sums.readings()


def of_tails(tails: Iterable[Any]) -> Iterator[Reading]:
    """Return what the live tails of a hub say, together: their ``statistics()``."""
    numbers = list(tails)
    if numbers:
        yield Reading("hub_tail_clients", {}, sum(each.subscribers for each in numbers))
        yield Reading("hub_tail_lag_events", {}, max(each.lag_max for each in numbers))
        yield Reading("hub_tail_sent_events_total", {}, sum(each.sent for each in numbers))
        yield Reading("hub_tail_missed_events_total", {}, sum(each.missed for each in numbers))
