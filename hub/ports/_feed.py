"""What brings events into a hub from outside of it."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ("Feed",)


class Feed(Protocol):
    """Brings events into a hub from outside of it: given to it by ``hub.feed(feed)``, as a listener is attached.

    **Life.** ``run`` is called when the hub is open, in a task of its own on the hub's loop, outside of any scope of
    :mod:`hubwire.context` and of any listener. It emits and commands like any code of the program, until it is removed
    or the hub is closed; then it is cancelled. Returning means that it has nothing more to bring.

    **Errors.** What it raises, also ``CancelledError`` and ``SystemExit``, is a failure of its own: the hub reports it
    by ``hub.guest_failed``, in its health and its statistics, and calls ``run`` again after a pause, of a second at
    first and of a minute at most. So it begins anew at each call: what it has to remember is in its attributes. Of
    failures in a row the first is reported, and then fewer and fewer; ``count`` of the event says how many there were.

    **Concurrency.** ``run`` is never called while an earlier call on the same hub is running. ``finish`` runs beside
    it.

    **Cancellation.** A call that goes on although it was cancelled is left behind after a second.

    **Durability.** What ``await hub.emit(...)`` returned is committed. After a crash in between, the feed cannot know:
    an event with ``source`` and ``source_id`` can be looked up in the log, and an ``idempotency_key`` makes a command
    one that may be given twice.

    The hub also uses, where present:

    * ``name``: a text, read once; by default it is the name of the class. Made unique on the hub;
    * ``async finish()``: called once, when the hub is about to close or the feed is removed, beside a ``run`` that was
      called and has not returned: bring in what waits. Commands are taken, and ``run`` is cancelled afterwards. It
      has 15 % of the time for closing, or ten seconds where the feed is removed, and is cancelled then. A hub that is
      aborted, or has failed, does not call it;
    * ``problems()``: a list of at most ten sentences that say what it should bring and does not, and why. They are in
      the health of the hub, which is not healthy meanwhile. It must answer at once;
    * ``statistics()``: a mapping of at most a hundred names to whole numbers, which are ``numbers`` in
      ``hub.statistics().feeds``. It must answer at once, and both are called in any thread.
    """

    async def run(self, hub: Any) -> None:
        """Bring events into the hub, which is a :class:`~hubwire.Hub`, until there are no more, or for ever."""
