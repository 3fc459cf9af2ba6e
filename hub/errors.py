"""Every error hubwire raises, in one tree, sorted by who must act.

* :class:`CallerError`: the code that made the call. Nothing has changed; mend the call and make it again.
* :class:`OperatorError`: whoever runs the program. A disk is full, a log is damaged, a listener failed.

Broken invariants of hubwire itself are assertions: they are for the programmer.

A message says what happened, to what, and what to do. What a handler would want to look at is an attribute, and the
foreign exception behind an error is its ``__cause__``.
"""

from __future__ import annotations

from typing import TypeVar

__all__ = (
    "AccessDenied",
    "AlreadyExists",
    "AlreadyRunning",
    "AppendConflict",
    "AskCycle",
    "AskFailed",
    "AskTimeout",
    "CallerError",
    "CommandRejected",
    "ConfigurationError",
    "EventTooLarge",
    "Fenced",
    "HistoryGone",
    "HubClosed",
    "HubError",
    "HubFailed",
    "InboxFull",
    "InvalidCursor",
    "InvalidPath",
    "InvalidRecord",
    "JournalBehind",
    "JournalFailed",
    "ListenerFailed",
    "ListenerTimeout",
    "LogDamaged",
    "NotApproved",
    "NotFound",
    "OperatorError",
    "Overloaded",
    "PartialBatch",
    "PathPoisoned",
    "PostRejected",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
)


_E = TypeVar("_E", bound=BaseException)


def repeat(error: _E) -> _E:
    """Return an equal error, for another task to raise: an error raised twice would mix up their tracebacks."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy


def append_context(error: BaseException, failure: BaseException) -> None:
    """Show a later failure of the hub behind the exception that left the body, which stays as it is."""
    last = error
    while last.__context__ is not None and last.__context__ is not failure:
        last = last.__context__
    # Raised while the other was on its way, it has that as its own context: a circle.
    failure.__context__ = None
    if last is not failure and type(last) is not type(failure):
        last.__context__ = failure


class HubError(Exception):
    """The root of every error that hubwire raises on purpose."""


# --- the caller must act --------------------------------------------------------------------------------------------


class CallerError(HubError):
    """The call was wrong or came at the wrong time. Nothing has changed."""


class CommandRejected(CallerError):
    """A command is not allowed in the present state: the state is unchanged."""


class NotFound(CommandRejected):
    """The command names an agent, a channel or an envelope that does not exist (any more)."""


class PostRejected(CommandRejected):
    """An envelope is not allowed in the channel now. ``code`` says to programs what the message says to people.

    ``not_active``, ``not_participant``, ``unknown_audience``, ``too_deep``, ``key_reused``, ``malformed``,
    ``inbox_full``, or ``not_allowed`` where the channel's type refuses it.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class InboxFull(PostRejected):
    """The envelope would reach nobody, because every inbox it is for is full. Post it again later, or elsewhere."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="inbox_full")


class AccessDenied(CommandRejected):
    """The arbiter does not allow the command, or has failed to decide. ``command`` is what was asked for."""

    def __init__(self, message: str, *, command: str = "") -> None:
        super().__init__(message)
        self.command = command


class NotApproved(CommandRejected):
    """An approval came to another verdict than approved: do not act.

    ``verdict`` is ``denied``, ``escalated`` or ``expired``.
    """

    def __init__(self, message: str, *, approval_id: str, verdict: str, reason: str) -> None:
        super().__init__(message)
        self.approval_id = approval_id
        self.verdict = verdict
        self.reason = reason


class AskCycle(CommandRejected):
    """An agent asks another that waits for its answer: neither would get one. Answer first, or ask somebody else."""


class AskFailed(CallerError):
    """No answer to a question will come: it was dead-lettered, its channel has ended, or who was asked has left."""


class AskTimeout(AskFailed, TimeoutError):
    """The answer to a question has not come in time."""


class Overloaded(CallerError):
    """More events wait to be committed than the hub admits. Wait (``await hub.emit``) or drop (``hub.offer``)."""


class EventTooLarge(CallerError):
    """An event is larger than ``event_bytes_max``. Store the payload elsewhere and emit a reference to it."""

    def __init__(self, message: str, *, kind: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class ConfigurationError(CallerError):
    """The hub, a listener or a kind is set up in a way that cannot work. The message says which setting to change."""


class InvalidCursor(CallerError, ValueError):
    """A cursor is none of this hub's: mutilated, another hub's, or ahead of it. Subscribe without one, from now on."""


class InvalidPath(CallerError, ValueError):
    """A store path breaks the path rules of :func:`hubwire.ports.normalize_path`."""


class InvalidRecord(CallerError, ValueError):
    """A record cannot be stored as it is, for example because it uses a reserved key."""


class HubClosed(CallerError):
    """The hub is not running: it was not started, is closing, or is closed."""


class HistoryGone(CallerError):
    """The events asked for are older than what the hub still holds. Go on from ``first_seq``, knowing of the gap."""

    def __init__(self, message: str, *, first_seq: int) -> None:
        super().__init__(message)
        self.first_seq = first_seq


# --- the operator must act ------------------------------------------------------------------------------------------


class OperatorError(HubError):
    """The surroundings failed: a disk, a network, a file, a listener."""


class StoreError(OperatorError):
    """A store could not do what it was asked to do.

    ``path`` is the store path concerned, ``byte_offset`` the place in it; each is None where it has no meaning.
    """

    def __init__(self, message: str, *, path: str | None = None, byte_offset: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.byte_offset = byte_offset


class StoreFull(StoreError):
    """No space left. Nothing of the content was kept, and the store is usable as soon as there is space again."""


class StoreUnavailable(StoreError):
    """The store could not be reached, in spite of retries up to its deadline."""


class AlreadyExists(StoreError):
    """``write(if_absent=True)`` found the path taken. Nothing was written."""


class AppendConflict(StoreError):
    """The path does not have the size that ``expect`` named: somebody else wrote. Nothing was written."""

    def __init__(self, message: str, *, path: str, expected: int, actual: int | None) -> None:
        super().__init__(message, path=path, byte_offset=expected)
        self.expected = expected
        self.actual = actual


class PathPoisoned(StoreError):
    """An earlier write to this path failed in a way that leaves unknown what the disk holds.

    The path stays closed for this store object: a second fsync would report success for data that is lost. Mend the
    disk, then start again: recovery reads what is really there.
    """


class Fenced(StoreError):
    """Another writer took over this log. This one writes no more, so that the log has one history."""


class AlreadyRunning(StoreError):
    """Another process (or hub) holds this log for writing."""

    def __init__(self, message: str, *, path: str, pid: int, host: str, since: str) -> None:
        super().__init__(message, path=path)
        self.pid = pid
        self.host = host
        self.since = since


class LogDamaged(StoreError):
    """Records that were durable are damaged or missing. Nothing is repaired: restore the log from a copy."""


class JournalBehind(StoreError):
    """A listener has seen more than the journal holds: the journal was restored from an older copy, or is another's."""


class HubFailed(OperatorError):
    """The hub stopped because it could not keep its promises. The reason is its ``__cause__``."""


class JournalFailed(HubFailed):
    """The journal could not be written: memory is ahead of the disk. A restart recovers what was journaled."""


class ListenerFailed(HubFailed):
    """A REQUIRED listener failed. Mend its cause and restart: it goes on after the last event it has."""

    def __init__(self, message: str, *, listener: str) -> None:
        super().__init__(message)
        self.listener = listener


class ListenerTimeout(OperatorError, TimeoutError):
    """A listener took longer than the ``timeout`` of its attachment, and was cancelled.

    Give it more time (``attach(..., timeout=...)``), or let it do less for each event.
    """


class PartialBatch(OperatorError):
    """A listener may raise this from ``on_events``: the first ``handled`` events are done, the next one failed.

    The failure itself is its ``__cause__``. :class:`hubwire.BaseHubListener` raises it for its subclasses; a listener
    that raises anything else has handled nothing of the batch.
    """

    def __init__(self, handled: int) -> None:
        super().__init__(f"the first {handled} events of the batch are handled, the next one failed")
        self.handled = handled
