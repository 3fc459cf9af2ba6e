"""Families of metrics: the names under which the numbers of a hub are shown, whatever system shows them.

Names follow Prometheus: base units, ``_total`` for what only grows. No label has the id or the name of an agent,
because there may be any number of agents, and each value of a label is a series of its own.
"""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ("FAMILIES", "Family", "family")


@attrs.frozen
class Family:
    """The metrics of one name."""

    name: str
    """As it is shown: of a counter with ``_total``."""
    type: Literal["counter", "gauge", "histogram"]
    help: str
    """One sentence: what it counts."""
    labels: tuple[str, ...] = ()


def _counters(label: tuple[str, ...], **helps: str) -> tuple[Family, ...]:
    return tuple(Family(f"hub_{name}_total", "counter", text, label) for name, text in helps.items())


def _gauges(label: tuple[str, ...], **helps: str) -> tuple[Family, ...]:
    return tuple(Family(f"hub_{name}", "gauge", text, label) for name, text in helps.items())


def _histograms(label: tuple[str, ...], **helps: str) -> tuple[Family, ...]:
    return tuple(Family(f"hub_{name}", "histogram", text, label) for name, text in helps.items())


_EVENTS = (
    *_counters(("type",), events="Committed events, by kind."),
    *_counters(("severity",), events_severity="Committed events that have a severity, by severity."),
    *_counters(("outcome",), events_outcome="Committed events that have an outcome, by outcome."),
    *_histograms((), event_age_seconds="How old events were when they were counted: how long a commit takes, at most."),
    *_histograms(("what",), work_duration_seconds="How long turns, calls, tasks and approvals took, by sort."),
    *_gauges(("what",), work_open="Turns, calls, tasks and approvals that have begun and not ended, by sort."),
    *_counters((), work_forgotten="Beginnings that were forgotten without an end, because too many were open."),
    *_counters(("direction",), model_tokens="Tokens that models read (input) and wrote (output)."),
)
_HUB = (
    *_gauges(("hub", "version"), info="1: which hub this is, and the version of hubwire."),
    *_gauges(
        (),
        healthy="1 if the hub keeps all its promises, else 0.",
        problems="How many promises the hub does not keep now.",
        in_flight_events="Events that are applied and not yet committed.",
        ring_events="Events that are held in memory.",
        ring_bytes="Bytes of the heavy ones among the events in memory.",
        emitters_waiting="Emitters that wait to be admitted.",
        agents="Agents that are registered.",
        channels="Channels that are open.",
        tasks="Tasks that have not ended.",
        turns_open="Turns, model calls and tool calls that the hub waits for.",
        asks_waiting="Questions that wait for their answers.",
        approvals_waiting="Approvals that wait for a verdict.",
        mailbox_depth="Envelopes that wait in the inboxes of all agents.",
        posts_waiting="Posts that wait for room in inboxes.",
        inbox_dead_letters="Envelopes that are kept as dead letters.",
        violations_waiting="Violations of expectations that wait for a handler.",
        loop_lag_seconds="How long the event loop was blocked the last time it was looked at.",
        loop_lag_max_seconds="The longest time for which the event loop was blocked.",
        commit_stalled_seconds="How long the oldest uncommitted event has waited.",
        set_aside="Things that could not be taken up at the start.",
    ),
    *_counters(
        (),
        applied_events="Events that were ever applied, in all runs of the hub.",
        journaled_events="Events that were ever journaled, in all runs of the hub.",
        committed_events="Events that were ever committed, in all runs of the hub.",
        offers_dropped="Offered events that were dropped.",
        guests_abandoned="Calls of actors and approvers that did not end, and were left behind.",
        clock_failures="Answers of the clock that were no times.",
        clock_steps_back="How often the clock was set back by more than an hour.",
        listeners_lost="Attachments that were detached without being asked to.",
        events_refused="Events that were refused because they break a strict rule.",
        events_questioned="Events that were let pass though they break a rule.",
        checks_failed="Checks of rules that raised.",
        values_withheld="Values whose contents were left out, because the redactor failed.",
    ),
)
_LISTENERS = (
    *_gauges(
        ("listener",),
        listener_lag_events="Events that the listener could see and has not handled.",
        listener_up="1 if the listener gets events, 0 if it starts, is suspended or was detached.",
        listener_muted="1 if events go past the listener, because it is muted.",
        listener_still_running="Calls of the listener that did not end in time, and go on.",
    ),
    *_counters(
        ("listener",),
        listener_handled_events="Events that the listener has handled.",
        listener_batches="Calls of the listener.",
        listener_dropped="Events that the listener missed.",
        listener_errors="Failures of the listener.",
        listener_restarts="Restarts of the listener.",
        listener_retries="How often the listener got an event again.",
        listener_dead_letters="Events that the listener gave up.",
    ),
    *_histograms(("listener",), listener_duration_seconds="How long a call of the listener took: one batch of events."),
)
_FEEDS = (
    *_gauges(
        ("feed",),
        feed_pausing="1 if the feed pauses because it has failed, else 0.",
        feed_waiting="What the feed holds, and the hub has not taken in.",
    ),
    *_counters(
        ("feed",),
        feed_events="Events that the feed has brought.",
        feed_dropped="What the feed had no room for, or was told that it is lost.",
        feed_errors="Failures of the feed.",
        feed_restarts="Restarts of the feed.",
    ),
)
_ACTORS = (
    *_gauges(("group",), actors_running="Actors that read their inboxes."),
    *_counters(
        ("group",),
        actor_starts="Starts of actors.",
        actor_crashes="Crashes of actors.",
        actor_handled_envelopes="Envelopes that actors have handled, to the end.",
        actor_failed_turns="Turns of actors that have failed.",
    ),
)
_DISK = (
    *_gauges(
        (),
        journal_bytes="Bytes of the journal.",
        journal_events="Events that the journal holds.",
        journal_replay_events="Events that the next start would replay.",
        journal_failing="1 if positions, a snapshot or a truncation could not be written the last time.",
        dead_letters="Dead letters of listeners that are kept.",
        dead_letters_waiting="Dead letters of listeners that are not stored yet.",
        tail_clients="Live readers, of all live tails.",
        tail_lag_events="Events that the slowest live reader has not read.",
    ),
    *_counters(
        (),
        dead_letters_lost="Dead letters of listeners that could not be stored.",
        tail_sent_events="Events handed out to live readers.",
        tail_missed_events="Events that live readers missed.",
    ),
    *_histograms(
        ("area",),
        store_append_seconds="How long appends to the store took, by the first part of the path.",
        store_read_seconds="How long reads of the store took, by the first part of the path.",
        store_write_seconds="How long other changes of the store took, by the first part of the path.",
    ),
    *_counters(
        ("area",),
        store_bytes="Bytes that were appended and written, by the first part of the path.",
        store_errors="Calls of the store that failed, by the first part of the path.",
    ),
)
_TENANTS = (
    *_counters(
        ("tenant",),
        tenant_events="Events of the tenant.",
        tenant_breaches="How often a quota refused a command of the tenant.",
    ),
    *_gauges(("tenant",), tenant_agents="Agents of the tenant.", tenant_channels="Channels of the tenant."),
)

FAMILIES: tuple[Family, ...] = (*_EVENTS, *_HUB, *_LISTENERS, *_FEEDS, *_ACTORS, *_DISK, *_TENANTS)
"""All of them, in the order in which they are shown."""

_BY_NAME = {each.name: each for each in FAMILIES}


def family(name: str) -> Family:
    """Return the family of this name; raises ``KeyError`` if there is none."""
    return _BY_NAME[name]
