"""Dead letters: ``dead-lettered --> kept --> redelivered (it waits in the inbox again) | discarded | crowded out``.

Each is kept whole, so that a person can look at it, mend what it failed at, and have it delivered again, also where the
journal was truncated. Their number and size are bounded: the oldest are crowded out, without an event, by those
that come. The log has them for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import InboxFull, NotFound
from ..events import (
    EnvelopeDeadLettered,
    EnvelopeDiscarded,
    EnvelopePosted,
    EnvelopeRedelivered,
    Event,
    InboxPressured,
    evolve,
)
from .agents import Agents
from .inboxes import Inboxes
from .waiting import WIDE

__all__ = ("DEAD_LETTERS_MAX", "DEAD_LETTER_BYTES_MAX", "DeadLetter", "DeadLetters")

DEAD_LETTERS_MAX = 1000
DEAD_LETTER_BYTES_MAX = 4 * 1024 * 1024
"""Of the contents of all together, as JSON; one that alone is larger is kept until the next one comes."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class DeadLetter(Value):
    """An envelope that an agent could not handle, as often as its inbox allows."""

    agent_id: str
    """Whose inbox it was in. The agent may have left since."""
    envelope: EnvelopePosted
    """What was posted: ``content``, sender, channel. Where it had more than 16 recipients, it names this one alone."""
    attempts: int
    """How often it was delivered."""
    reason: str
    """Why the last attempt failed."""
    at: str
    """When it was dead-lettered."""
    size_bytes: int
    """The size of its content as JSON."""

    @property
    def envelope_id(self) -> str:
        return self.envelope.envelope_id


class DeadLetters:
    """The newest dead letters, oldest first."""

    entry_types: ClassVar[tuple[type, ...]] = (DeadLetter,)

    def __init__(self, agents: Agents, inboxes: Inboxes) -> None:
        self._agents = agents
        self._inboxes = inboxes
        self._by_id: dict[tuple[str, str], DeadLetter] = {}
        self._bytes = 0

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        """Return the functions that apply events: before the inboxes do, which still have the envelope then."""
        return {
            EnvelopeDeadLettered: self._dead_lettered,
            EnvelopeRedelivered: self._redelivered,
            EnvelopeDiscarded: self._discarded,
        }

    def snapshot(self) -> Sequence[DeadLetter]:
        return tuple(self._by_id.values())

    def restore(self, entries: Sequence[DeadLetter]) -> None:
        for entry in entries:
            self._keep(entry)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._by_id.values()))

    # -- commands --

    def redeliver(self, agent_id: str, envelope_id: str, reason: str) -> list[Event]:
        letter = self._get(agent_id, envelope_id)
        rule = self._agents.get(agent_id).inbox_rule
        pending = self._inboxes.count(agent_id)
        if pending >= rule.capacity:
            raise InboxFull(
                f"envelope {envelope_id} is not redelivered: {pending} of {rule.capacity} envelopes wait in the inbox"
                f" of {self._agents.label(agent_id)}; let it handle some first",
                agent_ids=(agent_id,),
            )
        about: dict[str, Any] = {"agent_id": agent_id, "channel_id": letter.envelope.channel_id}
        events: list[Event] = [EnvelopeRedelivered(**about, envelope_id=envelope_id, reason=reason)]
        if pending < rule.pressure_at <= pending + 1:
            events.append(InboxPressured(agent_id=agent_id, pending=pending + 1, cap=rule.capacity))
        return events

    def discard(self, agent_id: str, envelope_id: str, reason: str) -> list[Event]:
        letter = self._get(agent_id, envelope_id)
        about: dict[str, Any] = {"agent_id": agent_id, "channel_id": letter.envelope.channel_id}
        return [EnvelopeDiscarded(**about, envelope_id=envelope_id, reason=reason)]

    def _get(self, agent_id: str, envelope_id: str) -> DeadLetter:
        letter = self._by_id.get((agent_id, envelope_id))
        if letter is None:
            raise NotFound(
                f"there is no dead letter {envelope_id} of {self._agents.label(agent_id)}: it was redelivered or"
                " discarded, or newer ones have crowded it out; hub.inboxes.dead_letters() has those that there are"
            )
        return letter

    # -- applying --

    def _dead_lettered(self, event: EnvelopeDeadLettered) -> None:
        waiting = self._inboxes.find(event.agent_id or "", event.envelope_id)
        if waiting is None:
            return
        letter = DeadLetter(
            agent_id=event.agent_id or "",
            envelope=_narrowed(waiting.envelope, event.agent_id or ""),
            attempts=event.attempts,
            reason=event.reason,
            at=event.at,
            size_bytes=len(json.dumps(waiting.envelope.content, ensure_ascii=False).encode()),
        )
        self._keep(letter)
        while len(self._by_id) > 1 and (len(self._by_id) > DEAD_LETTERS_MAX or self._bytes > DEAD_LETTER_BYTES_MAX):
            self._remove(next(iter(self._by_id)))

    def _redelivered(self, event: EnvelopeRedelivered) -> None:
        letter = self._remove((event.agent_id or "", event.envelope_id))
        # Its time to live, counted from the post, may be over: who has it delivered again wants it to be handled.
        envelope = evolve(letter.envelope, ttl_seconds=None)
        self._inboxes.put_again(letter.agent_id, envelope, event.seq)

    def _discarded(self, event: EnvelopeDiscarded) -> None:
        self._remove((event.agent_id or "", event.envelope_id))

    def _keep(self, letter: DeadLetter) -> None:
        self._by_id[letter.agent_id, letter.envelope_id] = letter
        self._bytes += letter.size_bytes

    def _remove(self, key: tuple[str, str]) -> DeadLetter:
        letter = self._by_id.pop(key)
        self._bytes -= letter.size_bytes
        return letter


def _narrowed(envelope: EnvelopePosted, agent_id: str) -> EnvelopePosted:
    """Return an envelope for a letter of this agent: each of ten thousand must not name all its recipients."""
    return envelope if len(envelope.recipients) <= WIDE else evolve(envelope, recipients=(agent_id,))
