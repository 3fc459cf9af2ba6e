"""The hub's own life: start and stop, its listeners, their mailboxes. Only the hub emits these events."""

from __future__ import annotations

from collections.abc import Mapping

from ._declare import event
from ._event import Event

__all__ = (
    "FORMAT",
    "HubClockStepped",
    "HubEntrySetAside",
    "HubEventQuestioned",
    "HubGuestFailed",
    "HubStarted",
    "HubStopped",
    "ListenerAnswered",
    "ListenerAttached",
    "ListenerDetached",
    "ListenerFailed",
    "ListenerLettersRemoved",
    "ListenerRestarted",
    "ListenerSuspended",
    "MailboxOverflowed",
)

_COMMAND = "the hub itself"

FORMAT = 1
"""What commands journal in this version: one more whenever a kind is added that a command makes."""


@event("hub.started", command=_COMMAND)
class HubStarted(Event):
    """A hub began to accept commands. ``version`` is hubwire's.

    ``format`` numbers what its commands journal. A version that knows a lower one only would miss what it does not
    know, and refuses the journal.
    """

    version: str
    pid: int
    host: str
    format: int = FORMAT


@event("hub.stopped", command=_COMMAND)
class HubStopped(Event):
    """A hub was closed in good order: all events before this one were committed.

    ``heads`` are those of the logs that its listeners write, by the name of the listener, before this event was put
    into them: the number of records and the last ``h``.
    """

    heads: Mapping[str, str] | None = None


@event("hub.clock_stepped", command=_COMMAND)
class HubClockStepped(Event):
    """The clock was set back by more than an hour, and the ``at`` of later events goes back with it.

    ``count`` times since the last such event, the last time by ``seconds``.
    """

    seconds: float
    count: int


@event("hub.guest_failed", command=_COMMAND)
class HubGuestFailed(Event):
    """Code that is not the hub's failed ``count`` times since the last such event, and the hub went on without it.

    ``guest`` says which code. Listeners, actors, approvers, evaluators and channel types have events of their own.
    """

    guest: str
    reason: str
    count: int


@event("hub.event_questioned", command=_COMMAND)
class HubEventQuestioned(Event):
    """Events were let pass that break rules of the mode ``warn``: ``count`` of them since the last such event.

    ``event_kind`` is their kind, ``*`` where many kinds are reported together. ``faults`` says what they have to be
    like, of the last one, without what it was: the first few, and how many more. See :mod:`hubwire.validation`.
    """

    event_kind: str
    faults: tuple[str, ...]
    count: int


@event("hub.entry_set_aside", command=_COMMAND)
class HubEntrySetAside(Event):
    """An entry could not be taken up at the start of a hub, which goes on without it.

    ``sort`` says what sort of thing it is, ``entry_id`` which one.
    """

    sort: str
    entry_id: str
    reason: str


@event("listener.attached", command=_COMMAND)
class ListenerAttached(Event):
    """A listener receives events from here on; ``since_seq`` is the first that it may get."""

    listener: str
    duty: str
    pattern: tuple[str, ...]
    since_seq: int


@event("listener.detached", command=_COMMAND)
class ListenerDetached(Event):
    """A listener receives no more events: it was detached, or failed too often."""

    listener: str
    reason: str


@event("listener.failed", command=_COMMAND)
class ListenerFailed(Event):
    """A listener failed to handle events: ``count`` since the last such event, the newest of them ``event_seq``.

    ``given_up`` are the ``seq`` of those that it does not get again: they are dead letters, see ``hub.dead_letters``.
    """

    listener: str
    reason: str
    error_type: str
    error_message: str
    event_seq: int
    count: int
    given_up: tuple[int, ...] = ()


@event("listener.letters_removed", command=_COMMAND)
class ListenerLettersRemoved(Event):
    """Dead letters of a listener are kept no longer: ``count`` since the last such event, about ``event_seqs``.

    ``reason`` is ``retried`` for those that it has handled by now, ``discarded``, or ``dropped``, because there were
    too many, or they became too old. Of one about several events, the first is named.
    """

    listener: str
    reason: str
    count: int
    event_seqs: tuple[int, ...]


@event("listener.answered", command=_COMMAND)
class ListenerAnswered(Event):
    """A function that listens returned a value, and the hub has no use for it: perhaps it was meant to be emitted.

    ``count`` times since the last such event, at ``event_seq`` first; of the value returned there, this has the type
    and a preview of at most 200 characters.
    """

    listener: str
    event_seq: int
    answer_type: str
    preview: str
    count: int


@event("listener.restarted", command=_COMMAND)
class ListenerRestarted(Event):
    """A listener that failed goes on after a pause, with the event after the one that failed.

    A DURABLE one that was suspended goes on with the event that failed.
    """

    listener: str
    restarts: int


@event("listener.suspended", command=_COMMAND)
class ListenerSuspended(Event):
    """A DURABLE listener gets no more events until it is resumed, or the hub is started again.

    ``reason`` is ``failed`` if it failed ``attempts`` times at event ``event_seq``, the last time with the given error;
    or ``missed`` if the journal no longer holds the events from ``event_seq`` up to, not including,
    ``first_seq_held``, which it has not handled.
    """

    listener: str
    reason: str
    event_seq: int
    attempts: int
    error_type: str
    error_message: str
    first_seq_held: int | None = None


@event("mailbox.overflowed", command=_COMMAND)
class MailboxOverflowed(Event):
    """A listener was too slow: it missed ``count`` events between ``first_seq`` and ``last_seq``, both included."""

    listener: str
    count: int
    first_seq: int
    last_seq: int
