"""Dead letters of listeners: what each of them holds, and how many are kept."""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import attrs

from .._foreign.arguments import Call
from .._values import Value
from ..errors import (
    ConfigurationError,
    ContentRefused,
    EventInvalid,
    EventRefused,
    EventTooLarge,
    InvalidRecord,
    ListenerTimeout,
)
from ..events import Event
from ..events._shown import is_a
from ..late_types import late_type
from .duty import Duty

if TYPE_CHECKING:
    from ..redaction import Redactor
else:
    Redactor = late_type("hubwire.redaction", "Redactor")

__all__ = (
    "DeadLetterEntry",
    "DeadLetterPolicy",
    "DeadLetterReason",
    "DeadLetterStatistics",
    "RetryOutcome",
    "RetryResult",
    "letter_id",
    "reason_of",
)

_POLICY = Call("DeadLetterPolicy()", ConfigurationError)
_BYTES_MIN = 4096
_DAY_SECONDS = 86_400.0


class DeadLetterReason(Enum):
    """Why an event became a dead letter."""

    HANDLER_ERROR = "handler_error"
    """The listener, or the actor, raised an exception."""
    TIMEOUT = "timeout"
    """The listener took longer than its time."""
    ALL_FAILED = "all_failed"
    """The listener stands for several, and raised an ``ExceptionGroup``: all of them failed."""
    VALIDATION = "validation"
    """The listener refused the event: :class:`~hubwire.errors.EventRefused`, ``ContentRefused`` or ``EventInvalid``."""
    SERIALIZATION = "serialization"
    """What the event holds could not be written or read: a ``UnicodeError``, ``InvalidRecord`` or ``EventTooLarge``."""
    OVERFLOW = "overflow"
    """A BEST_EFFORT listener was too slow, and its mailbox dropped the events."""
    DROPPED = "dropped"
    """The listener went on without the events: they were no longer held, or it was resumed after them."""


def reason_of(error: BaseException) -> DeadLetterReason:
    """Return what an error of a listener counts as."""
    if is_a(error, ListenerTimeout):
        return DeadLetterReason.TIMEOUT
    if is_a(error, BaseExceptionGroup):
        return DeadLetterReason.ALL_FAILED
    if is_a(error, (EventRefused, ContentRefused, EventInvalid)):
        return DeadLetterReason.VALIDATION
    if is_a(error, (UnicodeError, InvalidRecord, EventTooLarge)):
        return DeadLetterReason.SERIALIZATION
    return DeadLetterReason.HANDLER_ERROR


@attrs.frozen(kw_only=True, eq=False, repr=False)
class DeadLetterEntry(Value):
    """An event that a listener has given up, or an envelope that an agent could not handle."""

    id: str
    """Sorts by when it became a dead letter first, among all of the hub."""
    origin: Literal["listener", "inbox"]
    """Which of the two it is: of a listener, or of the inbox of an agent."""
    attachment: str | None
    """The name of the listener's attachment; None for one of an inbox."""
    agent_id: str | None
    """Whose inbox it was in; None for one of a listener."""
    duty: Duty | None
    """The duty that the listener had: to a DURABLE one the event is owed. None for one of an inbox."""
    reason: DeadLetterReason
    kind: str | None
    """The kind of the event; None if there is no single one."""
    event: Event | None
    """The event as it is kept: redacted, if ``is_redacted``. None for events that were dropped together."""
    ranges: tuple[tuple[int, int], ...] = ()
    """Of events that were dropped together, the first and the last ``seq`` of each stretch, both included; those in
    between that the listener's pattern does not match are not meant."""
    count: int = 1
    """How many events it stands for."""
    error_type: str = ""
    error: str = ""
    """What the last error said, at most 1,000 characters."""
    traceback: str = ""
    """Where the last error came from: places, without source and without values; at most 8,000 characters."""
    attempts: int = 1
    """How often the listener was called with the event, retries included."""
    retries: int = 0
    """How often it was retried as a dead letter, and has failed again."""
    first_at: str
    """When it became a dead letter, by the hub's clock."""
    last_at: str
    """When the listener failed at it for the last time."""
    size_bytes: int = 0
    """What it takes where it is kept."""
    is_redacted: bool = False
    """Whether the event is kept without what is personal or secret: then it is not the event that there was."""


class RetryOutcome(Enum):
    """What came of a retry."""

    DELIVERED = "delivered"
    """The listener has handled the event, and the letter is gone."""
    REDELIVERED = "redelivered"
    """The envelope waits in the inbox of its agent again, and the letter is gone."""
    FAILED = "failed"
    """The listener has failed again, or the inbox has no room; the letter is kept."""
    NOT_ATTACHED = "not_attached"
    """No listener of this name can be given the event now, or no such agent is registered; the letter is kept. One that
    is REQUIRED, or keeps its own position by ``last_seq()``, is not given an old event."""
    EVENT_GONE = "event_gone"
    """The event itself is not held any more; the letter is kept."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RetryResult(Value):
    """What came of the retry of one dead letter."""

    id: str
    outcome: RetryOutcome
    attachment: str | None = None
    error_type: str = ""
    error: str = ""
    """Why it was not delivered; empty if it was."""

    @property
    def is_delivered(self) -> bool:
        """Whether the letter is gone, because its event was handled or waits in an inbox."""
        return self.outcome in (RetryOutcome.DELIVERED, RetryOutcome.REDELIVERED)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class DeadLetterStatistics(Value):
    """The numbers of the dead letters of a hub. Those that are counted are counted since it was started."""

    kept: int
    """How many of listeners are kept."""
    size_bytes: int
    inbox: int
    """How many of inboxes are kept: see ``hub.inboxes.dead_letters()``."""
    by_attachment: dict[str, int]
    by_reason: dict[str, int]
    oldest_at: str | None
    newest_at: str | None
    waiting: int
    """How many are not stored yet."""
    retried: int
    """How many were delivered by a retry."""
    discarded: int
    dropped: int
    """How many were crowded out by newer ones, or became too old."""
    lost: int
    """How many of BEST_EFFORT listeners could not be stored: too many waited, or the store failed for too long."""
    damaged: int
    """How many lines where they are kept are not what was written."""
    last_error: str | None
    """Why the store could not be written or read the last time; None while all is well."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class DeadLetterPolicy(Value):
    """How dead letters of listeners are kept: ``Hub(store, dead_letters=DeadLetterPolicy(count_max=500))``.

    Where there are more, the oldest are dropped, which ``listener.letters_removed`` and the statistics report.
    Raises :class:`~hubwire.errors.ConfigurationError` for a bound that cannot work.
    """

    count_max: int = 10_000
    """How many are kept."""
    bytes_max: int = 64 * 1024 * 1024
    """How many bytes they take together; on disk up to twice as many. One that alone takes more is kept until the next
    one comes."""
    age_seconds_max: float | None = 30 * _DAY_SECONDS
    """How long each is kept, by the hub's clock; None: for ever."""
    redactor: Redactor | Literal["default"] | None = "default"
    """What is kept and shown is redacted by it, at rest too, by default with the rules of the package; None: by none. A
    retry delivers the true event, from the journal."""

    def __attrs_post_init__(self) -> None:
        changed: dict[str, Any] = {
            "count_max": _POLICY.whole("count_max", self.count_max, least=1),
            "bytes_max": _POLICY.whole("bytes_max", self.bytes_max, least=_BYTES_MIN),
            "age_seconds_max": _POLICY.seconds("age_seconds_max", self.age_seconds_max, is_optional=True),
        }
        for name, value in changed.items():
            object.__setattr__(self, name, value)
        if self.redactor is not None and not (type(self.redactor) is str and self.redactor == "default"):
            from ..redaction.choice import redacting  # noqa: PLC0415 - few programs give one

            redacting(_POLICY.name, self.redactor)

    def uses(self) -> Redactor | None:
        """Return the redactor that is used; None for none."""
        from ..redaction.choice import redacting  # noqa: PLC0415 - with the first letter

        chosen = redacting(_POLICY.name, self.redactor)
        return None if chosen is None else chosen.redactor


def letter_id(at_ns: int, seq: int, *parts: str) -> str:
    """Return an id that sorts by the time, then by the ``seq``; it is the same for the same arguments."""
    digest = hashlib.blake2b("\0".join(parts).encode(errors="backslashreplace"), digest_size=4).hexdigest()
    return f"{max(0, at_ns) // 1000:014x}-{seq:012x}-{digest}"
