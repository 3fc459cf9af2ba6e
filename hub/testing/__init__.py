"""For tests: yours and hubwire's own."""

from __future__ import annotations

from .clock import ManualClock
from .listeners import HubListenerContract
from .recorder import Recorder
from .stores import HoldableStoreContract, KnowledgeStoreContract

__all__ = (
    "HoldableStoreContract",
    "HubListenerContract",
    "KnowledgeStoreContract",
    "ManualClock",
    "Recorder",
)
