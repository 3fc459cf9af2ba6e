"""What is remembered of channels: where in the history their events are, and the facts of those that have ended.

The contents are not here, only the ``seq`` of each event, in eight bytes: who reads a channel's history gets them from
the ring, the journal, or what was kept of the journal when it was truncated.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..events import (
    AgentUnregistered,
    ChannelAccepted,
    ChannelClosed,
    ChannelExpired,
    ChannelOpened,
    ChannelParticipantHidden,
    ChannelParticipantJoined,
    ChannelParticipantRemoved,
    ChannelParticipantShown,
    EnvelopeAcked,
    EnvelopeDeadLettered,
    EnvelopeDropped,
    EnvelopeExpired,
    EnvelopePosted,
    Event,
    ExpectationViolated,
    TaskCancelled,
    TaskCompleted,
    TaskExpired,
    TaskFailed,
    TaskStarted,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
)
from .channels import ChannelEntry, Channels
from .inboxes import Inboxes
from .packing import Packing

__all__ = ("ENDED_MAX", "EVENTS_MAX", "KINDS", "EndedChannel", "Memories", "MemoryEntry")

EVENTS_MAX = 1_000_000
"""Of how many events the place is remembered, of all channels together: the newest."""

ENDED_MAX = 1000
"""How many ended channels of each type are remembered: the newest, and those with envelopes in inboxes."""

KINDS: tuple[type[Event], ...] = (
    EnvelopePosted,
    ChannelOpened,
    ChannelAccepted,
    ChannelParticipantJoined,
    ChannelParticipantRemoved,
    ChannelParticipantHidden,
    ChannelParticipantShown,
    ChannelClosed,
    ChannelExpired,
    ExpectationViolated,
    TaskStarted,
    TaskCompleted,
    TaskFailed,
    TaskCancelled,
    TaskExpired,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
)
"""The kinds that a channel's history has. Their places are in snapshots: add at the end, and take none away."""

_CODES = {kind: code for code, kind in enumerate(KINDS)}
_CODE_BITS = 6
_CODE_MASK = (1 << _CODE_BITS) - 1
_COUNTS = ("forgotten", "pending")
_GENERATION_BITS = 12 + _CODE_BITS
"""The places of 4,096 events after each other are forgotten together."""


@attrs.frozen(eq=False, repr=False)
class MemoryEntry(Value):
    """What is remembered of a channel, as snapshots have it."""

    channel_id: str
    places: str
    """Of each event its ``seq`` and its kind in one number, as the difference to the one before."""
    forgotten: int = 0
    """How many older events had their places forgotten."""
    pending: int = 0
    """In how many inboxes an envelope of it waits."""
    joined: tuple[tuple[str, int], ...] = ()
    """Since which event an agent has taken part, where the channel shows it no older ones."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EndedChannel(Value):
    """The facts of a channel that has ended."""

    channel: ChannelEntry
    """As it was before its end."""
    how: str
    """``closed`` or ``expired``."""
    reason: str
    result: Any
    seq: int
    at: str


class _Memory:
    """What is remembered of a channel."""

    __slots__ = ("forgotten", "generation", "joined", "pending", "places", "start")

    def __init__(self, forgotten: int = 0, pending: int = 0) -> None:
        self.places = array("q")
        """It grows at its end only, so that a snapshot needs no copy; those before ``start`` do not count."""
        self.start = 0
        self.forgotten = forgotten
        self.pending = pending
        self.generation = -1
        """That of its newest event."""
        self.joined: dict[str, int] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Memory) and self._counting() == other._counting()

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def _counting(self) -> tuple[object, ...]:
        return self.places[self.start :], self.forgotten, self.pending, self.generation, self.joined

    def forget_before(self, place: int) -> int:
        """Forget the places before this one; return how many those were."""
        start = bisect_left(self.places, place, self.start)
        count = start - self.start
        self.forgotten += count
        self.start = start
        if start > len(self.places) // 2 + 64:
            self.places, self.start = self.places[start:], 0
        return count


class Memories:
    """What is remembered of channels, for as long as they are there, and of a bounded number that have ended."""

    entry_types: ClassVar[tuple[type, ...]] = (MemoryEntry, EndedChannel)

    def __init__(self, channels: Channels, inboxes: Inboxes) -> None:
        self._channels = channels
        self._inboxes = inboxes
        self._by_channel: dict[str, _Memory] = {}
        self._ended: dict[str, EndedChannel] = {}
        self._kept: dict[str, dict[str, None]] = {}
        """By type, the ended channels that count: the oldest first."""
        self._leaving: dict[str, None] = {}
        """Ended channels that are remembered only because envelopes of theirs are in inboxes."""
        self._generations: dict[int, list[str]] = {}
        """The channels with events in each stretch of 4,096; also those that are forgotten, until they are too many."""
        self._named = 0
        """How many names are in all of these."""
        self._count = 0

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            **dict.fromkeys(KINDS, self._note),
            EnvelopePosted: self._posted,
            ChannelAccepted: self._came,
            ChannelParticipantJoined: self._came,
            ChannelClosed: self._end,
            ChannelExpired: self._end,
            EnvelopeAcked: self._taken,
            EnvelopeDeadLettered: self._taken,
            EnvelopeExpired: self._taken,
            EnvelopeDropped: self._dropped,
            AgentUnregistered: self._unregistered,
        }

    def snapshot(self) -> Sequence[MemoryEntry | EndedChannel]:
        # Numbers in arrays and references in lists: a tuple for each of a hundred thousand would block the loop.
        ids, memories, ended = [*self._by_channel], [*self._by_channel.values()], [*self._ended.values()]
        places, joined = [each.places for each in memories], [each.joined for each in memories]
        starts, ends = array("q", [each.start for each in memories]), array("q", [len(each) for each in places])
        forgotten, pending = (array("q", [getattr(each, name) for each in memories]) for name in _COUNTS)

        def packed(number: int) -> MemoryEntry | EndedChannel:
            if number >= len(ids):
                return ended[number - len(ids)]
            differences = _differences(places[number][starts[number] : ends[number]])
            pairs = tuple((joined[number] or {}).items())
            return MemoryEntry(ids[number], differences, forgotten[number], pending[number], pairs)

        return Packing(range(len(ids) + len(ended)), packed)

    def restore(self, entries: Sequence[MemoryEntry | EndedChannel]) -> None:
        for entry in entries:
            if isinstance(entry, MemoryEntry):
                self._restore(entry)
            else:
                self._ended[entry.channel.channel_id] = entry
        for channel_id, ended in self._ended.items():
            self._kept.setdefault(ended.channel.type, {})[channel_id] = None
        for type_name in self._kept:
            self._forget_ended(type_name)
        self._generations = dict(sorted(self._generations.items()))

    def __len__(self) -> int:
        return len(self._by_channel)

    # -- questions --

    def ended(self, channel_id: str) -> EndedChannel | None:
        """Return the facts of a channel that has ended, if they are still remembered."""
        return self._ended.get(channel_id)

    def seqs(self, channel_id: str, kinds: frozenset[type[Event]], before: int | None) -> Iterator[int]:
        """Iterate over the events of these kinds below ``before``, the newest first."""
        memory = self._by_channel.get(channel_id)
        if memory is None:
            return
        codes = {_CODES[kind] for kind in kinds}
        places, start = memory.places, memory.start
        end = len(places) if before is None else bisect_left(places, before << _CODE_BITS, start)
        for number in range(end - 1, start - 1, -1):
            if (place := places[number]) & _CODE_MASK in codes:
                yield place >> _CODE_BITS

    def forgotten(self, channel_id: str) -> int:
        """Return how many older events of a channel had their places forgotten."""
        memory = self._by_channel.get(channel_id)
        return 0 if memory is None else memory.forgotten

    def joined_seq(self, channel_id: str, agent_id: str) -> int:
        """Return the event with which an agent came that is shown no older ones; 0 for all others."""
        memory = self._by_channel.get(channel_id)
        return 0 if memory is None or memory.joined is None else memory.joined.get(agent_id, 0)

    def holds(self, event: Event) -> bool:
        """Return whether the place of an event is remembered."""
        code, memory = _CODES.get(type(event)), self._by_channel.get(event.channel_id or "")
        if memory is None or code is None:
            return False
        place = event.seq << _CODE_BITS | code
        number = bisect_left(memory.places, place, memory.start)
        return number < len(memory.places) and memory.places[number] == place

    # -- applying --

    def _note(self, event: Event) -> None:
        channel_id = event.channel_id
        if channel_id is None:
            return
        memory = self._by_channel.get(channel_id)
        if memory is None:
            if channel_id not in self._channels:
                return  # the source of the event says that it belongs there, and there is no such channel
            memory = self._by_channel[channel_id] = _Memory()
        self._add(channel_id, memory, event.seq << _CODE_BITS | _CODES[type(event)])

    def _add(self, channel_id: str, memory: _Memory, place: int) -> None:
        memory.places.append(place)
        generation = place >> _GENERATION_BITS
        if generation != memory.generation:
            memory.generation = generation
            self._generations.setdefault(generation, []).append(channel_id)
            self._named += 1
        self._count += 1
        if self._count > EVENTS_MAX:
            self._forget_generation()

    def _forget_generation(self) -> None:
        """Forget the places of the oldest events."""
        oldest = next(iter(self._generations))
        names = self._generations.pop(oldest)
        self._named -= len(names)
        for channel_id in names:
            if (memory := self._by_channel.get(channel_id)) is not None:
                self._count -= memory.forget_before((oldest + 1) << _GENERATION_BITS)

    def _posted(self, event: EnvelopePosted) -> None:
        """Do what :meth:`_note` does, without its calls: most events of channels are posts."""
        if event.channel_id is None:
            return
        memory = self._by_channel.get(event.channel_id)
        place = event.seq << _CODE_BITS
        if memory is None or place >> _GENERATION_BITS != memory.generation or self._count >= EVENTS_MAX:
            self._note(event)
            memory = self._by_channel.get(event.channel_id)
        else:
            memory.places.append(place)
            self._count += 1
        if memory is not None:
            memory.pending += len(event.recipients)

    def _came(self, event: ChannelAccepted | ChannelParticipantJoined) -> None:
        self._note(event)
        assert event.channel_id is not None
        assert event.agent_id is not None
        if self._channels.get(event.channel_id).history == "since_joined":
            memory = self._by_channel[event.channel_id]
            memory.joined = {**(memory.joined or {}), event.agent_id: event.seq}

    def _end(self, event: ChannelClosed | ChannelExpired) -> None:
        assert event.channel_id is not None
        self._note(event)
        channel = self._channels.get(event.channel_id)
        self._ended[event.channel_id] = EndedChannel(
            channel=channel,
            how="closed" if type(event) is ChannelClosed else "expired",
            reason=event.reason,
            result=event.result,
            seq=event.seq,
            at=event.at,
        )
        self._kept.setdefault(channel.type, {})[event.channel_id] = None
        self._forget_ended(channel.type)

    def _forget_ended(self, type_name: str) -> None:
        """Forget the oldest ended channels of a type, if they are too many: when no envelope of theirs waits."""
        kept = self._kept[type_name]
        while len(kept) > ENDED_MAX:
            channel_id = next(iter(kept))
            del kept[channel_id]
            if self._by_channel[channel_id].pending > 0:
                self._leaving[channel_id] = None
            else:
                self._forget(channel_id)

    def _forget(self, channel_id: str) -> None:
        del self._ended[channel_id]
        memory = self._by_channel.pop(channel_id)
        self._count -= len(memory.places) - memory.start
        if self._named > 2 * self._count + 4096:
            self._tidy_generations()

    def _tidy_generations(self) -> None:
        known = self._by_channel
        for generation, names in [*self._generations.items()]:
            if living := [name for name in names if name in known]:
                self._generations[generation] = living
            else:
                del self._generations[generation]
        self._named = sum(map(len, self._generations.values()))

    def _taken(self, event: EnvelopeAcked | EnvelopeDeadLettered | EnvelopeExpired | EnvelopeDropped) -> None:
        self._less(event.channel_id or "")

    def _less(self, channel_id: str) -> None:
        memory = self._by_channel.get(channel_id)
        if memory is None:
            return
        memory.pending -= 1
        if memory.pending <= 0 and channel_id in self._leaving:
            del self._leaving[channel_id]
            self._forget(channel_id)

    def _dropped(self, event: EnvelopeDropped) -> None:
        # This machine applies an event before the inboxes do. An envelope that was dropped on arrival is in none.
        if self._inboxes.find(event.agent_id or "", event.envelope_id) is not None:
            self._taken(event)

    def _unregistered(self, event: AgentUnregistered) -> None:
        for waiting in self._inboxes.pending(event.agent_id or ""):
            self._less(waiting.envelope.channel_id or "")

    def _restore(self, entry: MemoryEntry) -> None:
        memory = self._by_channel[entry.channel_id] = _Memory(entry.forgotten, entry.pending)
        if entry.joined:
            memory.joined = dict(entry.joined)
        memory.places = array("q", accumulate(map(int, entry.places.split())))
        self._count += len(memory.places)
        for generation in sorted({place >> _GENERATION_BITS for place in memory.places}):
            self._generations.setdefault(generation, []).append(entry.channel_id)
            self._named += 1
            memory.generation = generation


def _differences(places: Sequence[int]) -> str:
    """Return the first number, then how much larger each is than the one before."""
    return " ".join(map(str, map(int.__sub__, places, (0, *places))))
