"""LiveTail: many outsiders follow one hub, each from its own place, and continue there after a break.

A subscriber reads the hub's journal and ring itself, through :meth:`hubwire.Hub.events`: there is no queue that could
grow. The expensive steps are done once for all subscribers: an event is redacted and encoded once, and subscribers at
the same place with the same pattern get the very same batch.
"""

from __future__ import annotations

from ._items import Missed, TailItem
from ._redacting import RedactingFunction
from ._subscriber import Subscriber, TailBatches
from .live_tail import LiveTail, LiveTailStatistics

__all__ = ("LiveTail", "LiveTailStatistics", "Missed", "RedactingFunction", "Subscriber", "TailBatches", "TailItem")
