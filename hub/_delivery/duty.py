"""What an attachment promises: its duty, and what happens when it is slow."""

from __future__ import annotations

from enum import Enum

__all__ = ("Duty", "Overflow")


class Duty(Enum):
    """An attachment's delivery guarantee."""

    REQUIRED = "required"
    """The commit waits for it. If it fails, the hub stops."""

    DURABLE = "durable"
    """It sees every event that its pattern matches, in order, at least once, across restarts. It needs a journal, and a
    name that stays the same. If it is slow, it falls behind, and reads on in the journal. If it fails, it gets the
    event again with growing pauses; then it is suspended, and the hub goes on."""

    BEST_EFFORT = "best_effort"
    """It sees the events that its mailbox holds. If it fails, it is restarted a few times, then detached; the hub goes
    on."""


class Overflow(Enum):
    """What happens when a BEST_EFFORT listener has more to read than its mailbox holds."""

    DROP_OLDEST = "drop_oldest"
    """The oldest events are dropped for it, counted, and announced as ``mailbox.overflowed``."""

    BLOCK = "block"
    """Emitters wait until it has caught up."""
