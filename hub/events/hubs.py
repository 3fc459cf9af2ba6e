"""The hub's own life: start and stop, its listeners, their mailboxes. Only the hub emits these events."""

from __future__ import annotations

from ._declare import event
from ._event import Event

__all__ = (
    "HubStarted",
    "HubStopped",
    "ListenerAttached",
    "ListenerDetached",
    "ListenerFailed",
    "ListenerRestarted",
    "ListenerSuspended",
    "MailboxOverflowed",
)

_COMMAND = "the hub itself"


@event("hub.started", command=_COMMAND)
class HubStarted(Event):
    """A hub began to accept commands. ``version`` is hubwire's."""

    version: str
    pid: int
    host: str


@event("hub.stopped", command=_COMMAND)
class HubStopped(Event):
    """A hub was closed in good order: all events before this one were committed."""


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
    """A listener failed to handle events: ``count`` since the last such event, the newest of them ``event_seq``."""

    listener: str
    reason: str
    error_type: str
    error_message: str
    event_seq: int
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
