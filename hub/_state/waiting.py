"""What waits in an inbox, and the entries of a snapshot that hold it.

An envelope with many recipients names them all, and waits in the inbox of each: with each inbox, a snapshot would hold
the square of their number. So it holds such an envelope once, before the inboxes, which refer to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from .._values import Value
from ..events import EnvelopePosted
from ..events._pairs import frozen_pair
from .packing import Packing

__all__ = (
    "WIDE",
    "InboxEntry",
    "Referring",
    "Waiting",
    "WideEnvelope",
    "WideEnvelopes",
    "WideInboxEntry",
    "read_entries",
)

WIDE = 16
"""An envelope with more recipients is wide: a snapshot holds it once."""


@frozen_pair
class Waiting(Value):
    """An envelope in one inbox."""

    envelope: EnvelopePosted
    ready_seq: int
    """The ``seq`` of the event that let it be delivered: it was posted, nacked without a delay, or returned."""
    attempts: int = 0
    """How often it was nacked, or handled by a process that ended before the turn did."""
    delayed_until_ns: int | None = None
    """When it comes again; None while it may be delivered."""


@attrs.frozen(eq=False, repr=False)
class InboxEntry(Value):
    """What an agent has still to read, in order of delivery."""

    agent_id: str
    pending: tuple[Waiting, ...]


@attrs.frozen(eq=False, repr=False)
class WideEnvelope(Value):
    """A wide envelope that is in inboxes."""

    envelope: EnvelopePosted


@attrs.frozen(eq=False, repr=False)
class Referring(Value):
    """An envelope in one inbox, by its id; the other fields are those of :class:`Waiting`."""

    envelope_id: str
    ready_seq: int
    attempts: int = 0
    delayed_until_ns: int | None = None


@attrs.frozen(eq=False, repr=False)
class WideInboxEntry(Value):
    """What an agent has still to read, in order of delivery, where some of it is wide."""

    agent_id: str
    pending: tuple[Referring, ...]
    own: tuple[EnvelopePosted, ...] = ()
    """Those of its envelopes that are not held before the inboxes."""


Entry = InboxEntry | WideEnvelope | WideInboxEntry


@attrs.define(eq=False, repr=False)
class WideEnvelopes(Value):
    """The wide envelopes that are in inboxes, and in how many."""

    _by_id: dict[str, EnvelopePosted] = attrs.Factory(dict)
    _counts: dict[str, int] = attrs.Factory(dict)

    def came(self, envelope: EnvelopePosted) -> None:
        """A wide envelope is in one inbox more."""
        envelope_id = envelope.envelope_id
        if self._by_id.setdefault(envelope_id, envelope) is envelope:  # else it was delivered again, and differs
            self._counts[envelope_id] = self._counts.get(envelope_id, 0) + 1

    def left(self, envelope: EnvelopePosted) -> None:
        """A wide envelope is in one inbox less."""
        envelope_id = envelope.envelope_id
        if self._by_id.get(envelope_id) is not envelope:
            return
        self._counts[envelope_id] -= 1
        if not self._counts[envelope_id]:
            del self._counts[envelope_id], self._by_id[envelope_id]

    def entries(self, inboxes: Sequence[tuple[str, tuple[Waiting, ...]]]) -> Sequence[Entry]:
        """Return the entries of inboxes, each given by its agent, made one by one when they are read."""
        if not self._by_id:
            return [InboxEntry(agent_id, pending) for agent_id, pending in inboxes]
        wide = dict(self._by_id)

        def pack(copied: EnvelopePosted | tuple[str, tuple[Waiting, ...]]) -> Entry:
            if isinstance(copied, EnvelopePosted):
                return WideEnvelope(copied)
            agent_id, pending = copied
            own = [each.envelope for each in pending if wide.get(each.envelope.envelope_id) is not each.envelope]
            if len(own) == len(pending):
                return InboxEntry(agent_id, pending)
            return WideInboxEntry(agent_id, tuple(map(_referring, pending)), tuple(own))

        return Packing([*wide.values(), *inboxes], pack)


def read_entries(entries: Iterable[Entry]) -> Iterator[tuple[str, Sequence[Waiting]]]:
    """Return what waits in each inbox of a snapshot, by its agent."""
    wide: dict[str, EnvelopePosted] = {}
    for entry in entries:
        if isinstance(entry, WideEnvelope):
            wide[entry.envelope.envelope_id] = entry.envelope
        elif isinstance(entry, InboxEntry):
            yield entry.agent_id, entry.pending
        else:
            own = {each.envelope_id: each for each in entry.own}
            yield (
                entry.agent_id,
                [_waiting(each, own if each.envelope_id in own else wide) for each in entry.pending],
            )


def _referring(waiting: Waiting) -> Referring:
    return Referring(waiting.envelope.envelope_id, waiting.ready_seq, waiting.attempts, waiting.delayed_until_ns)


def _waiting(entry: Referring, known: Mapping[str, EnvelopePosted]) -> Waiting:
    return Waiting(
        envelope=known[entry.envelope_id],
        ready_seq=entry.ready_seq,
        attempts=entry.attempts,
        delayed_until_ns=entry.delayed_until_ns,
    )
