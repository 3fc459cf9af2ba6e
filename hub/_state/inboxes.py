"""What agents have still to read.

In the inbox of each recipient an envelope is ``posted --> waiting [-- nacked --> delayed -- returned --> waiting] --
acked | dropped | expired | dead-lettered --> (gone)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from ..errors import CommandRejected, NotFound
from ..events import (
    AgentUnregistered,
    EnvelopeAcked,
    EnvelopeDeadLettered,
    EnvelopeDropped,
    EnvelopeExpired,
    EnvelopeNacked,
    EnvelopePosted,
    EnvelopeReturned,
    Event,
)
from ..events._making import event_maker, maker
from ..events._shown import shown
from .agents import Agents
from .changing import changed
from .moments import Deadlines, deadline_ns, is_duration
from .waiting import WIDE, InboxEntry, Waiting, WideEnvelope, WideEnvelopes, WideInboxEntry, read_entries

__all__ = ("PRIORITIES", "InboxEntry", "Inboxes", "Waiting")

PRIORITIES = ("urgent", "normal", "background")
"""In the order in which inboxes deliver them."""

_TTL = -1
"""In a deadline, in the place of the attempt."""

_envelope_acked = event_maker(
    EnvelopeAcked, "agent_id", "channel_id", "envelope_id", known=("agent_id", "channel_id", "envelope_id")
)
_waiting = maker(Waiting, "envelope", "ready_seq", "delayed_until_ns")


class _Inbox:
    """The envelopes of one agent, by priority."""

    __slots__ = ("by_priority", "count")

    def __init__(self) -> None:
        self.by_priority: dict[str, dict[str, Waiting]] = {}
        self.count = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Inbox) and list(self) == list(other)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Waiting]:
        for priority in PRIORITIES:
            yield from self.by_priority.get(priority, {}).values()

    def all(self) -> tuple[Waiting, ...]:
        """Return the envelopes in order of delivery, faster where all are equally urgent: snapshots read each inbox."""
        if len(self.by_priority) == 1:
            (equally_urgent,) = self.by_priority.values()
            return tuple(equally_urgent.values())
        return tuple(self)

    def find(self, envelope_id: str) -> Waiting | None:
        for waiting in self.by_priority.values():
            if (found := waiting.get(envelope_id)) is not None:
                return found
        return None

    def put(self, waiting: Waiting) -> None:
        """Put an envelope after the others of its priority."""
        self.by_priority.setdefault(waiting.envelope.priority, {})[waiting.envelope.envelope_id] = waiting
        self.count += 1

    def replace(self, waiting: Waiting) -> None:
        """Put an envelope in its own place."""
        self.by_priority[waiting.envelope.priority][waiting.envelope.envelope_id] = waiting

    def take(self, envelope_id: str) -> Waiting:
        for priority, waiting in self.by_priority.items():
            if (taken := waiting.pop(envelope_id, None)) is not None:
                if not waiting:
                    del self.by_priority[priority]
                self.count -= 1
                return taken
        raise AssertionError(f"envelope {envelope_id} is not in the inbox")


class Inboxes:
    """What waits in the inboxes of agents: the most urgent first, then in the order of posting."""

    entry_types: ClassVar[tuple[type, ...]] = (InboxEntry, WideEnvelope, WideInboxEntry)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._by_agent: dict[str, _Inbox] = {}
        """The inboxes that are not empty: of a hundred thousand agents few have envelopes to read."""
        self._pending_total = 0
        self._wide: WideEnvelopes = WideEnvelopes()
        self._timed: dict[tuple[str, str, int], None] = {}
        self._deadlines: Deadlines[tuple[str, str, int]] = Deadlines(self._timed)
        """By agent, envelope, and the attempt after which it waits, or ``_TTL`` for the end of its time."""

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            AgentUnregistered: self._unregistered,
            EnvelopePosted: self._posted,
            EnvelopeNacked: self._nacked,
            EnvelopeReturned: self._returned,
            EnvelopeAcked: self._gone,
            EnvelopeDropped: self._dropped,
            EnvelopeExpired: self._gone,
            EnvelopeDeadLettered: self._gone,
        }

    def snapshot(self) -> Sequence[InboxEntry | WideEnvelope | WideInboxEntry]:
        inboxes = [(agent_id, inbox.all()) for agent_id, inbox in self._by_agent.items()]
        return self._wide.entries(inboxes)

    def restore(self, entries: Sequence[InboxEntry | WideEnvelope | WideInboxEntry]) -> None:
        for agent_id, pending in read_entries(entries):
            for waiting in pending:
                self._put(agent_id, waiting)

    def pending(self, agent_id: str) -> tuple[Waiting, ...]:
        """Return the envelopes that the agent has not acked, in order of delivery, delayed ones included."""
        return tuple(self._by_agent.get(agent_id, ()))

    def find(self, agent_id: str, envelope_id: str) -> Waiting | None:
        inbox = self._by_agent.get(agent_id)
        return None if inbox is None else inbox.find(envelope_id)

    def is_held(self, agent_id: str, envelope_id: str, attempt: int) -> bool:
        """Tell whether the delivery of this attempt is still to be acked: it was neither acked nor nacked, nor is it
        gone.
        """
        return self.held(agent_id, envelope_id, attempt) is not None

    def held(self, agent_id: str, envelope_id: str, attempt: int) -> Waiting | None:
        """Return what :meth:`is_held` tells of; None if it is not."""
        inbox = self._by_agent.get(agent_id)
        waiting = None if inbox is None else inbox.find(envelope_id)
        if waiting is None or waiting.attempts + 1 != attempt or waiting.delayed_until_ns is not None:
            return None
        return waiting

    def count(self, agent_id: str) -> int:
        """Return how many envelopes wait in an inbox."""
        inbox = self._by_agent.get(agent_id)
        return 0 if inbox is None else inbox.count

    def ready(self, agent_id: str) -> list[Waiting]:
        """Return the envelopes that may be delivered now, in order of delivery."""
        return [each for each in self._by_agent.get(agent_id, ()) if each.delayed_until_ns is None]

    def has_ready(self, agent_id: str) -> bool:
        """Tell whether an envelope may be delivered now."""
        return any(each.delayed_until_ns is None for each in self._by_agent.get(agent_id, ()))

    def not_empty(self) -> tuple[str, ...]:
        """Return the ids of the agents that have envelopes to read."""
        return tuple(self._by_agent)

    def pending_total(self) -> int:
        return self._pending_total

    def oldest(self, agent_id: str, priority: str, count: int) -> list[EnvelopePosted]:
        """Return up to ``count`` envelopes that may be dropped for one of this priority.

        They are the oldest of the least urgent, and none is more urgent than that priority.
        """
        found: list[EnvelopePosted] = []
        inbox = self._by_agent[agent_id]
        for each in reversed(PRIORITIES[PRIORITIES.index(priority) :]):
            for waiting in inbox.by_priority.get(each, {}).values():
                if len(found) >= count:
                    return found
                found.append(waiting.envelope)
        return found

    # -- commands --

    def ack(self, agent_id: str, envelope_id: str) -> list[Event]:
        """Take an envelope out of an inbox, because it was handled."""
        return _acked(agent_id, self._get(agent_id, envelope_id))

    def settle(self, agent_id: str, envelope_id: str, attempt: int) -> list[Event]:
        """Do the same by the delivery of an attempt; return no event if that is not to be settled any more."""
        waiting = self.held(agent_id, envelope_id, attempt)
        return [] if waiting is None else _acked(agent_id, waiting)

    def nack(
        self, agent_id: str, envelope_id: str, delay_seconds: float, reason: str, attempts_max: int | None = None
    ) -> list[Event]:
        """Give an envelope back; after ``attempts_max`` attempts, by default those of the rule, it is dead-lettered."""
        waiting = self._get(agent_id, envelope_id)
        if delay_seconds != 0 and not is_duration(delay_seconds):
            raise CommandRejected(f"delay_seconds is a number of seconds, not {shown(delay_seconds)}")
        if not isinstance(reason, str):
            raise CommandRejected(f"a reason is text, not {shown(reason)}")
        if waiting.delayed_until_ns is not None:
            raise CommandRejected(f"envelope {envelope_id} was nacked already, and is delayed")
        attempts = waiting.attempts + 1
        if attempts >= (attempts_max or self.attempts_max(agent_id)):
            return self.dead_letter(agent_id, envelope_id, reason, attempts)
        return [
            EnvelopeNacked(
                agent_id=agent_id,
                channel_id=waiting.envelope.channel_id,
                envelope_id=envelope_id,
                reason=reason,
                attempt=attempts,
                delay_seconds=float(delay_seconds),
            )
        ]

    def attempts_max(self, agent_id: str) -> int:
        """Return how often an envelope is delivered, as the rule of the inbox says."""
        return self._agents.get(agent_id).inbox_rule.deliveries_max

    def dead_letter(self, agent_id: str, envelope_id: str, reason: str, attempts: int) -> list[Event]:
        """Take an envelope out of an inbox, because it cannot be handled."""
        envelope = self._get(agent_id, envelope_id).envelope
        return [
            EnvelopeDeadLettered(
                agent_id=agent_id,
                channel_id=envelope.channel_id,
                envelope_id=envelope_id,
                reason=reason,
                attempts=attempts,
                posted_seq=envelope.seq,
            )
        ]

    def interrupted(self, agent_id: str, envelope_id: str) -> list[Event]:
        """Decide, after a replay, that a turn which never ended was an attempt: it may have ended the process."""
        waiting = self.find(agent_id, envelope_id)
        if waiting is None or waiting.delayed_until_ns is not None:
            return []
        return [
            EnvelopeNacked(
                agent_id=agent_id,
                channel_id=waiting.envelope.channel_id,
                envelope_id=envelope_id,
                reason="the hub ended in the middle of its turn",
                attempt=waiting.attempts + 1,
                keeps_place=True,
            )
        ]

    def _get(self, agent_id: str, envelope_id: str) -> Waiting:
        waiting = self.find(agent_id, envelope_id)
        if waiting is None:
            raise NotFound(
                f"envelope {envelope_id} is not in the inbox of {self._agents.label(agent_id)}: it was acked, dropped"
                " or expired, or was never there"
            )
        return waiting

    # -- what happens by itself --

    def next_due_ns(self) -> int | None:
        return self._deadlines.next_ns

    def due(self, now_ns: int, limit: int) -> list[Event]:
        kinds: dict[tuple[str, str], type[EnvelopeExpired | EnvelopeReturned]] = {}
        for agent_id, envelope_id, attempt in self._deadlines.passed(now_ns):
            if len(kinds) >= limit:
                break
            # If both deadlines of an envelope have passed, one counts now; the other is due again if it still counts.
            kinds.setdefault((agent_id, envelope_id), EnvelopeExpired if attempt == _TTL else EnvelopeReturned)
        return [
            kind(
                agent_id=agent_id,
                channel_id=self._get(agent_id, envelope_id).envelope.channel_id,
                envelope_id=envelope_id,
            )
            for (agent_id, envelope_id), kind in kinds.items()
        ]

    # -- applying --

    def put_again(self, agent_id: str, envelope: EnvelopePosted, ready_seq: int) -> None:
        """Put an envelope that had left the inbox after the others of its priority; no attempt counts yet."""
        self._put(agent_id, Waiting(envelope=envelope, ready_seq=ready_seq))

    def _put(self, agent_id: str, waiting: Waiting) -> None:
        inbox = self._by_agent.get(agent_id)
        if inbox is None:
            inbox = self._by_agent[agent_id] = _Inbox()
        inbox.put(waiting)
        self._pending_total += 1
        envelope = waiting.envelope
        if len(envelope.recipients) > WIDE:
            self._wide.came(envelope)
        if envelope.ttl_seconds is not None:
            self._time(deadline_ns(envelope.at, envelope.ttl_seconds), (agent_id, envelope.envelope_id, _TTL))
        if waiting.delayed_until_ns is not None:
            self._time(waiting.delayed_until_ns, (agent_id, envelope.envelope_id, waiting.attempts))

    def _take(self, agent_id: str, envelope_id: str) -> Waiting:
        inbox = self._by_agent[agent_id]
        waiting = inbox.take(envelope_id)
        self._pending_total -= 1
        if not inbox.count:
            del self._by_agent[agent_id]
        if len(waiting.envelope.recipients) > WIDE:
            self._wide.left(waiting.envelope)
        return waiting

    def _time(self, moment_ns: int, key: tuple[str, str, int]) -> None:
        if key not in self._timed:
            self._timed[key] = None
            self._deadlines.add(moment_ns, key)

    def _untime(self, agent_id: str, waiting: Waiting) -> None:
        if waiting.envelope.ttl_seconds is None and waiting.delayed_until_ns is None:
            return
        for attempt in (_TTL, waiting.attempts):
            self._timed.pop((agent_id, waiting.envelope.envelope_id, attempt), None)
        self._deadlines.tidy()

    def _unregistered(self, event: AgentUnregistered) -> None:
        assert event.agent_id is not None
        inbox = self._by_agent.pop(event.agent_id, None)
        if inbox is None:
            return
        self._pending_total -= inbox.count
        for waiting in inbox:
            if len(waiting.envelope.recipients) > WIDE:
                self._wide.left(waiting.envelope)
            self._untime(event.agent_id, waiting)

    def _posted(self, event: EnvelopePosted) -> None:
        until = deadline_ns(event.at, event.delay_seconds) if event.delay_seconds else None
        waiting = _waiting(envelope=event, ready_seq=event.seq, delayed_until_ns=until)
        for agent_id in event.recipients:
            self._put(agent_id, waiting)

    def _nacked(self, event: EnvelopeNacked) -> None:
        assert event.agent_id is not None
        if event.keeps_place:
            inbox = self._by_agent[event.agent_id]
            found = inbox.find(event.envelope_id)
            assert found is not None
            inbox.replace(changed(found, {"attempts": event.attempt}))
            return
        waiting = self._take(event.agent_id, event.envelope_id)
        until = deadline_ns(event.at, event.delay_seconds) if event.delay_seconds else None
        waiting = changed(waiting, {"attempts": event.attempt, "ready_seq": event.seq, "delayed_until_ns": until})
        self._put(event.agent_id, waiting)

    def _returned(self, event: EnvelopeReturned) -> None:
        assert event.agent_id is not None
        waiting = self._take(event.agent_id, event.envelope_id)
        self._timed.pop((event.agent_id, event.envelope_id, waiting.attempts), None)
        self._deadlines.tidy()
        self._put(event.agent_id, changed(waiting, {"ready_seq": event.seq, "delayed_until_ns": None}))

    def _gone(self, event: EnvelopeAcked | EnvelopeDropped | EnvelopeExpired | EnvelopeDeadLettered) -> None:
        assert event.agent_id is not None
        self._untime(event.agent_id, self._take(event.agent_id, event.envelope_id))

    def _dropped(self, event: EnvelopeDropped) -> None:
        assert event.agent_id is not None
        # An envelope that was dropped on arrival is not there.
        if self.find(event.agent_id, event.envelope_id) is not None:
            self._gone(event)


def _acked(agent_id: str, waiting: Waiting) -> list[Event]:
    envelope = waiting.envelope
    return [_envelope_acked(agent_id=agent_id, channel_id=envelope.channel_id, envelope_id=envelope.envelope_id)]
