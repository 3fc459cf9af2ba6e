"""How a hub does: every number there is, and whether it keeps what it owes."""

from __future__ import annotations

import attrs

from ._actors.rules import ActorStatistics
from ._delivery.attachment import AttachmentState, AttachmentStatistics
from ._foreign.guards import text_of
from ._journal.upkeep import JournalStatistics
from ._parts import Parts

__all__ = ("Health", "HubHealth", "HubStatistics")


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
    tasks: int
    turns_open: int
    """How many turns, model calls and tool calls have begun and not ended."""
    approvals_pending: int
    asks_pending: int
    """How many questions wait for their answers."""
    actors: tuple[ActorStatistics, ...]
    attachments: tuple[AttachmentStatistics, ...]
    journal: JournalStatistics | None
    """None without a journal."""

    @property
    def in_flight(self) -> int:
        """How many events are applied and not yet committed."""
        return self.applied - self.committed


@attrs.frozen(kw_only=True)
class HubHealth:
    """Whether the hub keeps all its promises; if not, ``problems`` says which it does not keep, and why."""

    healthy: bool
    problems: tuple[str, ...]


class Health:
    """Looks at the parts of a hub."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def statistics(self) -> HubStatistics:
        """Return every number there is, at once."""
        parts = self._parts
        pipeline, state, fanout = parts.pipeline, parts.state, parts.fanout
        ring = pipeline.ring
        return HubStatistics(
            applied=ring.applied.value,
            journaled=ring.journaled.value,
            committed=ring.committed.value,
            ring_events=ring.applied.value - ring.first,
            emitters_waiting=len(pipeline.admission.waiting),
            offers_dropped=pipeline.offers_dropped,
            agents=len(state.agents),
            channels=len(state.channels),
            envelopes_pending=state.inboxes.pending_total(),
            tasks=len(state.tasks),
            turns_open=len(state.turns),
            approvals_pending=len(state.approvals),
            asks_pending=len(parts.asks),
            actors=parts.actors.statistics(),
            attachments=tuple(
                attachment.statistics()
                for attachment in (*fanout.attachments, *(lost for lost, _ in fanout.lost.values()))
            ),
            journal=None if parts.upkeep is None else parts.upkeep.statistics(),
        )

    def health(self) -> HubHealth:
        """Return whether the hub keeps all its promises now, and which it does not keep."""
        parts = self._parts
        lifecycle, fanout = parts.lifecycle, parts.fanout
        problems = []
        if lifecycle.failure is not None:
            problems.append(f"the hub has failed: {lifecycle.failure}")
        elif not lifecycle.is_open:
            problems.append("the hub is not running")
        full = parts.pipeline.full_stores.waiting
        problems += [f"{writer} has no space to write: {error}" for writer, error in full.items()]
        problems += [f"listener {name!r} is detached: {reason}" for name, (_, reason) in fanout.lost.items()]
        problems += [
            f"listener {each.name!r} has not caught up yet"
            for each in fanout.attachments
            if each.state is AttachmentState.CATCHING_UP
        ]
        problems += [
            f"listener {each.name!r} is suspended at event {each.done}: {text_of(each.suspension)};"
            " attachment.resume() lets it go on"
            for each in fanout.attachments
            if each.suspension is not None
        ]
        problems += parts.actors.problems()
        if parts.upkeep is not None:
            problems += parts.upkeep.problems()
        return HubHealth(healthy=not problems, problems=tuple(problems))
