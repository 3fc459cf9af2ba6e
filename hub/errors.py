"""Every error hubwire raises, in one tree, sorted by who must act.

* :class:`CallerError`: the code that made the call. The hub is as before; correct the call and make it again.
* :class:`OperatorError`: the operator of the program. A disk is full, a log is damaged, a listener failed.

Broken invariants of hubwire itself are assertions: they are for its programmers.

A message says what happened, to what, and what to do. The facts that a handler needs are attributes, and the foreign
exception behind an error is its ``__cause__``.
"""

from __future__ import annotations

from ._fault import Fault

__all__ = (
    "AccessDenied",
    "AddressForbidden",
    "AlreadyExists",
    "AlreadyRunning",
    "AppendConflict",
    "AskCycle",
    "AskFailed",
    "AskTimeout",
    "CallerError",
    "ChannelTypeFailed",
    "CheckpointInvalid",
    "CommandRejected",
    "ConfigurationError",
    "ContentRefused",
    "EventInvalid",
    "EventRefused",
    "EventTooLarge",
    "Fault",
    "Fenced",
    "ForwardingFailed",
    "HashesMissing",
    "HistoryGone",
    "HubAborted",
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
    "LogRolledBack",
    "NewerVersion",
    "NotApproved",
    "NotFound",
    "NotLeading",
    "NotWitnessed",
    "OperatorError",
    "Overloaded",
    "PartialBatch",
    "PathPoisoned",
    "PostRejected",
    "ProofInvalid",
    "QuotaExceeded",
    "RetryLater",
    "SignatureInvalid",
    "SigningFailed",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "TargetGone",
    "TaskNotCompleted",
    "TimestampFailed",
    "WitnessDisagrees",
    "WitnessFailed",
)


class HubError(Exception):
    """The root of every error that hubwire raises on purpose."""


# --- the caller must act --------------------------------------------------------------------------------------------


class CallerError(HubError):
    """The call was wrong or came at the wrong time, and changed no state: correct the call and make it again."""


class CommandRejected(CallerError):
    """A command is not valid in the present state, which is unchanged. The message says what the command needs."""


class NotFound(CommandRejected):
    """The command names an agent, a channel, an envelope or the like that does not exist, or no longer does.

    Check the id or the name; a channel that was closed and an envelope that was acked are gone.
    """


class PostRejected(CommandRejected):
    """An envelope is not allowed in the channel or on the topic now. ``code`` is for programs, the message for people.

    ``code`` is ``not_active`` (the channel is not open), ``not_participant``, ``hidden`` (until ``channel.show()``),
    ``unknown_audience``, ``too_deep`` (too many hops), ``key_reused``, ``malformed``, ``inbox_full``,
    ``too_many`` (agents have subscribed to the topic), or ``not_allowed`` where the channel's type refuses the envelope
    or failed.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ContentRefused(CallerError):
    """The content of an envelope is not of a type that its reader takes, or does not fit the class of that type.

    In a turn, the envelope is dead-lettered at once. Let sender and reader declare the same class.
    """


class InboxFull(PostRejected):
    """All inboxes that the envelope is for are full. Post it again later, or let the recipients ack what they read.

    The message names their agents; ``agent_ids`` are the ids of these.
    """

    def __init__(self, message: str, *, agent_ids: tuple[str, ...] = ()) -> None:
        super().__init__(message, code="inbox_full")
        self.agent_ids = agent_ids


class AccessDenied(CommandRejected):
    """The arbiter denied the command, or failed to decide, as the message says. ``command`` is the denied command."""

    def __init__(self, message: str, *, command: str = "") -> None:
        super().__init__(message)
        self.command = command


class ChannelTypeFailed(CommandRejected):
    """The type of a channel raised an exception where it should have answered; see the ``__cause__``.

    Correct the channel type, then make the call again.
    """


class NotApproved(CommandRejected):
    """The verdict of an approval was not ``approved``: do not act.

    ``verdict`` is ``denied``, ``escalated`` or ``expired``, and ``reason`` is what the approver or the hub gave for it.
    """

    def __init__(self, message: str, *, approval_id: str, verdict: str, reason: str) -> None:
        super().__init__(message)
        self.approval_id = approval_id
        self.verdict = verdict
        self.reason = reason


class TaskNotCompleted(CommandRejected):
    """The task whose result was waited for has ended without one.

    ``how`` is ``failed``, ``cancelled`` or ``expired``, and ``reason`` is what was given for it. Start another task.
    """

    def __init__(self, message: str, *, how: str, reason: str) -> None:
        super().__init__(message)
        self.how = how
        self.reason = reason


class AskCycle(CommandRejected):
    """An agent asks another agent that waits for the first one's answer: neither would get one.

    Answer first, ask another agent, or give the asked actor a higher concurrency.
    """


class AskFailed(CallerError):
    """No answer to a question will come.

    The question was dead-lettered or did not reach the inbox, its channel has ended, or the asked agent has left. The
    message says which; ask again if that has changed.
    """


class AskTimeout(AskFailed, TimeoutError):
    """The answer to a question did not come within its ``timeout``. Ask again, or allow more time."""


class Overloaded(CallerError):
    """More events wait to be committed than the hub admits, or more subscribers came than a live tail serves.

    Wait for room (``await hub.emit``), drop the event (``hub.offer``), or raise the limit that the message names.
    """


class QuotaExceeded(Overloaded):
    """A tenant has used up a quota of its ``TenantLimits``. The command had no effect; ``quota.breached`` reports it.

    ``dimension`` is the quota, ``limit`` what it allows, and ``value`` what it would have come to. Try the same again
    after ``retry_after_seconds``; None: when there is room again. ``seq`` is that of the event, if there is one.
    """

    retry_after_seconds: float | None
    seq: int | None

    def __init__(self, message: str, *, tenant: str, dimension: str, limit: float, value: float) -> None:
        super().__init__(message)
        self.tenant = tenant
        self.dimension = dimension
        self.limit = limit
        self.value = value
        self.retry_after_seconds = self.seq = None


class EventInvalid(CallerError):
    """An event is not as its class or a rule of the hub says (:mod:`hubwire.validation`). No event was taken.

    A field of a declared kind has a value that is not of its type, and cannot be fitted without a loss: what is
    committed has to be read back as it was, so it is refused at the call. Or the hub was given rules, and the event
    breaks one of those that are strict.

    ``faults`` says all that is wrong with it, up to a hundred things; the message says the first ones. ``kind`` is the
    event's, ``field`` the name, or the path, of the first field at fault.
    """

    def __init__(self, message: str, *, kind: str, field: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.field = field
        self.faults = faults


class EventTooLarge(CallerError):
    """An event or a record is larger than its limit, ``event_bytes_max`` on a hub.

    Store the payload elsewhere and emit a reference to it. ``kind`` is the event's, ``""`` where there is none;
    ``size_bytes`` is how much was counted, more than ``limit_bytes``.
    """

    def __init__(self, message: str, *, kind: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class ConfigurationError(CallerError):
    """The hub, a listener, a store or a kind is set up in a way that cannot work.

    The message says which setting to change.
    """


class CheckpointInvalid(CallerError, ValueError):
    """A text is no signed note, checkpoint or key, or its signature is not one of the key that it has to be of."""


class ProofInvalid(CallerError, ValueError):
    """A proof does not show what it is to show: it, or the record, was changed, or the key is another one."""


class InvalidCursor(CallerError, ValueError):
    """A cursor is not one of this hub: it is malformed, of another hub, or ahead of this one.

    Subscribe without a cursor: the events begin with the next one.
    """


class SignatureInvalid(CallerError, ValueError):
    """A message of a webhook was not signed with the secret, was changed on its way, or is too old: do not act on it.

    Answer it with status 401. Sender and receiver need the same secret, and clocks that agree within the tolerance.
    """


class InvalidPath(CallerError, ValueError):
    """A store path breaks the rules of :func:`hubwire.ports.normalize_path`. Rename it as the message says."""


class InvalidRecord(CallerError, ValueError):
    """A record cannot be written as it is, for example because it uses a reserved key; or a line is not a record.

    Change the record; a line of a log that is not a record is damage: see :class:`LogDamaged`.
    """


class HubClosed(CallerError):
    """The hub is not running: it was not started, is closing, or is closed.

    Make the call inside ``async with hub:``. A hub that was closed cannot be started again; make a new one.
    """


class NotLeading(HubClosed):
    """The hub follows another one (``hub.follow()``): it is read here, and takes no commands. Nothing has happened.

    Give the command to the hub that leads; or let this one lead, by ``await hub.lead()``, if the other has ended.
    """


class HistoryGone(CallerError):
    """The requested events are older than those that the hub still holds.

    Go on from ``first_seq``, the oldest event held, and take into account that the events before it are missing.
    """

    def __init__(self, message: str, *, first_seq: int) -> None:
        super().__init__(message)
        self.first_seq = first_seq


# --- the operator must act ------------------------------------------------------------------------------------------


class OperatorError(HubError):
    """A part that the hub needs failed: a disk, a network, a file, a listener. The message says what to repair."""


class StoreError(OperatorError):
    """A store could not carry out a call; the ``__cause__`` is the error of its medium.

    ``path`` is the store path concerned, ``byte_offset`` the place in it; each is None where it has no meaning.
    """

    def __init__(self, message: str, *, path: str | None = None, byte_offset: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.byte_offset = byte_offset


class StoreFull(StoreError):
    """No space is left. None of the content was kept. Make room: the store is usable again without a restart."""


class StoreUnavailable(StoreError):
    """The store could not be reached, in spite of retries up to its deadline.

    Check the service and the network. The message says if it is unknown whether the call had its effect: read the path
    before you repeat such a call.
    """


class AlreadyExists(StoreError):
    """``write(if_absent=True)`` found a file at the path, and left it as it is. Use that file, or another path."""


class AppendConflict(StoreError):
    """The file does not have the size that ``expect`` named: another writer was there. The file is unchanged.

    Read the file again before the next attempt. ``expected`` and ``actual`` are sizes in bytes; ``actual`` is None if
    there is no such file. On a store of text alone an append has its effect all the same, as the message says.
    """

    def __init__(self, message: str, *, path: str, expected: int, actual: int | None) -> None:
        super().__init__(message, path=path, byte_offset=expected)
        self.expected = expected
        self.actual = actual


class PathPoisoned(StoreError):
    """An earlier write to this path failed in a way that leaves unknown what the disk holds.

    The path stays closed for this store object: a second fsync would report success for data that is lost. Repair the
    disk, then restart the program: recovery reads what the disk really holds.
    """


class Fenced(StoreError):
    """Another writer took over this log. This one writes no more, so that the log has one history.

    Let only one program write the log, then restart it.
    """


class AlreadyRunning(StoreError):
    """Another process, or another hub of this process, holds this log for writing.

    Stop the holder, or use another store. ``pid``, ``host`` and ``since`` say which process it is, and since when.
    """

    def __init__(self, message: str, *, path: str, pid: int, host: str, since: str) -> None:
        super().__init__(message, path=path)
        self.pid = pid
        self.host = host
        self.since = since


class LogDamaged(StoreError):
    """Records that were durable are damaged or missing. The hub does not repair them: restore the log from a copy."""


class LogRolledBack(LogDamaged):
    """A log has not the records that its own checkpoint, or one kept elsewhere, speaks of: it was cut, or is a copy.

    Give the hub the store with the newest records. If those are lost, ``hubwire log fork`` goes on with those there
    are, under a new name, and says so in the log.
    """


class HashesMissing(StoreError):
    """The hashes beside a log do not reach as far as what is to be proved. They are made anew from its records."""


class NewerVersion(StoreError):
    """A file is whole, and of a newer version of hubwire than this one. It was left as it is: use the newer version."""


class JournalBehind(StoreError):
    """There was an event that the journal does not hold, or holds another one in its place.

    A listener, a kept position or a snapshot proves it. The journal was restored from an older copy, has
    lost its end, or belongs to another hub. Give the hub the store that belongs to it, or follow the message.
    """


class ForwardingFailed(OperatorError):
    """A command of a hub that follows was not carried out by the hub that leads, as far as is known.

    No hub answers, or the one that does is of another version or refuses the call; the message says which.
    ``may_have_happened``: the command was sent, and no answer came: look before you give it again.
    """

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class SigningFailed(OperatorError):
    """A checkpoint was not signed: its signer failed, or returned what is no signature. The log itself goes on."""


class WitnessFailed(OperatorError):
    """A witness has not taken note of a checkpoint: it is away, refuses, or has answered what is no cosignature.

    The log asks it again; what it does without witnesses, its policy says.
    """


class WitnessDisagrees(WitnessFailed):
    """A witness knows a log of that name from which this one does not go on: it was rolled back, changed or forked.

    ``size`` is how many records the witness has seen. Give the hub the store with the newest records.
    """

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size


class TimestampFailed(OperatorError):
    """A timestamping authority has not stamped a checkpoint: it is away, refuses, or what it answered does not hold.

    The log asks it again, and goes on.
    """


class NotWitnessed(OperatorError):
    """A record is not witnessed by as many as the log's policy wants, or was refused for that: it is not stored then.

    See that the witnesses can be reached; the message says what each of them has said last.
    """


class HubFailed(OperatorError):
    """The hub stopped because it could not keep its promises. The reason is the ``__cause__``.

    Repair that, then restart. The next start tells whether an event that was on its way is in the journal.
    """


class HubAborted(HubFailed):
    """The hub was given up on purpose, by ``hub.abort()``: no promise was broken by the hub itself.

    Start another one on its store: it tells whether an event that was on its way is in the journal.
    """


class JournalFailed(HubFailed):
    """The journal could not be written: memory is ahead of the disk.

    Repair the journal's store, then restart: the hub recovers every event that was journaled.
    """


class ListenerFailed(HubFailed):
    """A REQUIRED listener failed, so the hub stopped. ``listener`` is its name.

    Repair the ``__cause__``, then restart: the listener goes on after the last event that it has.
    """

    def __init__(self, message: str, *, listener: str) -> None:
        super().__init__(message)
        self.listener = listener


class ListenerTimeout(OperatorError, TimeoutError):
    """A listener took longer than the ``timeout`` of its attachment, in seconds, and was cancelled.

    Give it more time (``attach(..., timeout=...)``), or let it do less for each event.
    """


class PartialBatch(OperatorError):
    """A listener may raise this from ``on_events``: the first ``handled`` events are done, the next one failed.

    The failure itself is the ``__cause__``. :class:`hubwire.BaseHubListener` raises it for its subclasses. After any
    other exception the hub takes no event of the batch for handled.
    """

    def __init__(self, handled: int) -> None:
        super().__init__(f"the first {handled} events of the batch are handled, the next one failed")
        self.handled = handled


class RetryLater(OperatorError):
    """A listener may raise this to say when it wants to get the event again, after ``seconds`` by the hub's clock.

    A DURABLE one gets it after that time, in place of the hub's own pause. Where ``is_attempt`` is false the listener
    has not tried at all, and this does not count as one of its ``attempts_max`` failures. With another duty it is a
    failure as any other.
    """

    def __init__(self, message: str, *, seconds: float, is_attempt: bool = True) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.is_attempt = is_attempt


class EventRefused(OperatorError):
    """A listener may raise this to say that it will not handle the event, however often it gets it.

    The event is a dead letter at once, also of a DURABLE listener that would be suspended after other failures, and the
    listener goes on with the next one. A REQUIRED listener cannot refuse an event: the hub stops.
    """


class TargetGone(OperatorError):
    """A listener may raise this to say that what it delivers to is gone for good: it is detached.

    The event was not handled. The position of a DURABLE listener is kept: attached again under its name it goes on with
    that event, and ``hub.forget(name)`` ends that. After a REQUIRED one the hub stops, as after any failure.
    """


class AddressForbidden(OperatorError):
    """A name leads to an address that the program must not connect to, as one inside its own network.

    If the target is meant to be there, name it where the guard is made: ``AddressGuard(allow=["10.1.2.0/24"])``.
    """
