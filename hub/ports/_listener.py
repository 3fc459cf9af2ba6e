"""What a listener of a hub is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..late_types import late_type

if TYPE_CHECKING:
    from ..events import Event
else:
    Event = late_type("hubwire.events", "Event")

__all__ = ("HubListener",)


class HubListener(Protocol):
    """Receives the events of a hub, in batches.

    **Order.** Events arrive in ascending ``seq``, each once, except that the unfinished part of a batch comes again:
    one by one after the listener raised or took too long, and to a REQUIRED or DURABLE listener after a restart of the
    hub; a DURABLE one may then get events again that it has handled in the last second. A dead letter of the listener
    that is retried comes between two batches, by itself; not to one with ``last_seq()``. Events that the attachment's
    pattern does not match are left out.

    **Durability.** A listener that is not REQUIRED gets only committed events: a crash cannot undo them. A REQUIRED
    listener gets journaled events; when its ``on_events`` returns, the hub takes its effects for durable.

    **Concurrency.** ``on_events`` is never called while an earlier call of the same attachment is running. Other
    listeners and the agents run meanwhile; a slow listener delays them only where its duty says so.

    **Cancellation.** The call is cancelled when it exceeds the attachment's timeout, and before the hub's close
    deadline. A call that goes on all the same is left behind, and the listener is detached.

    **Errors.** Any exception, also ``CancelledError`` and ``SystemExit`` raised by the listener itself, is a failure of
    this listener and never reaches an emitter. The whole batch then counts as not handled, unless the exception is
    :class:`~hubwire.errors.PartialBatch`. The consequence of a failure depends on the attachment's duty.

    The hub also uses, where present:

    * ``async __aenter__`` / ``__aexit__``: entered before the first event, left after the last;
    * ``bind(hub)``: called once, before ``__aenter__``, with the hub it is attached to;
    * ``last_seq() -> int | None``: the last event whose effects the listener holds itself, None for none. It is called
      after ``__aenter__``, and of a REQUIRED or DURABLE listener again before the journal is truncated: a listener may
      handle events now and write them later. It must answer at once;
    * ``last_id() -> str | None``: that event's ``id``. With it the hub notices, at its start, that the journal holds
      another event there, because it was restored from an older copy: :class:`~hubwire.errors.JournalBehind`;
    * ``withheld``: of how many events the listener has shown or stored no contents, because they could not be redacted.
      It is in the statistics, and the hub is not healthy then;
    * ``problem``: what the listener owes and does not do, and what to do about it, in a sentence; None if all is well.
      It is in the health of the hub, which is not healthy meanwhile;
    * ``pattern``, ``duty``, ``since``: the values for arguments of :meth:`Hub.attach` that are not given.
    """

    async def on_events(self, events: Sequence[Event]) -> None:
        """Handle a batch of 1 to 256 events, or more if its attachment asks for it. They are frozen: keep them."""
