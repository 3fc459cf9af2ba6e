"""How a hub does: every number there is, and whether it keeps what it owes."""

from __future__ import annotations

import attrs

from ._actors.asks import Asks
from ._actors.registry import Actors
from ._actors.rules import ActorStatistics
from ._commit.pipeline import Pipeline
from ._delivery.attachment import AttachmentState, AttachmentStatistics
from ._delivery.fanout import Fanout
from ._foreign.guards import text_of
from ._journal.upkeep import JournalStatistics, Upkeep
from ._life import HubLife
from ._state import State

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
    """Whether the hub keeps everything it owes; if not, ``problems`` tells what it does not keep."""

    healthy: bool
    problems: tuple[str, ...]


class Health:
    """Looks at the parts of a hub."""

    def __init__(
        self,
        *,
        life: HubLife,
        state: State,
        pipeline: Pipeline,
        fanout: Fanout,
        upkeep: Upkeep | None,
        asks: Asks,
        actors: Actors,
    ) -> None:
        self._life = life
        self._state = state
        self._pipeline = pipeline
        self._fanout = fanout
        self._upkeep = upkeep
        self._asks = asks
        self._actors = actors

    def statistics(self) -> HubStatistics:
        """Return every number there is, at once."""
        ring, state = self._pipeline.ring, self._state
        return HubStatistics(
            applied=ring.applied.value,
            journaled=ring.journaled.value,
            committed=ring.committed.value,
            ring_events=ring.applied.value - ring.first,
            emitters_waiting=self._pipeline.waiting,
            offers_dropped=self._pipeline.dropped_offers,
            agents=len(state.agents),
            channels=len(state.channels),
            envelopes_pending=state.inboxes.pending_total(),
            tasks=len(state.tasks),
            turns_open=len(state.turns),
            approvals_pending=len(state.approvals),
            asks_pending=len(self._asks),
            actors=self._actors.statistics(),
            attachments=tuple(
                attachment.statistics()
                for attachment in (*self._fanout.attachments, *(lost for lost, _ in self._fanout.lost.values()))
            ),
            journal=None if self._upkeep is None else self._upkeep.statistics(),
        )

    def health(self) -> HubHealth:
        """Return whether the hub keeps everything it owes now."""
        problems = []
        if self._pipeline.failure is not None:
            problems.append(f"the hub has failed: {self._pipeline.failure}")
        elif not self._life.is_open:
            problems.append("the hub is not running")
        problems += [f"{who} can write nothing: {error}" for who, error in self._pipeline.pauses.items()]
        problems += [f"listener {name!r} is detached: {reason}" for name, (_, reason) in self._fanout.lost.items()]
        problems += [
            f"listener {each.name!r} has not caught up yet"
            for each in self._fanout.attachments
            if each.state is AttachmentState.CATCHING_UP
        ]
        problems += [
            f"listener {each.name!r} is suspended at event {each.done}: {text_of(each.suspension)};"
            " attachment.resume() lets it go on"
            for each in self._fanout.attachments
            if each.suspension is not None
        ]
        problems += self._actors.problems()
        if self._upkeep is not None:
            problems += self._upkeep.problems()
        return HubHealth(healthy=not problems, problems=tuple(problems))
