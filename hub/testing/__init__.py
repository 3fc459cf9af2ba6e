"""For tests: yours and hubwire's own."""

from __future__ import annotations

from .clock import ManualClock
from .gate import Gate, GatedRecorder
from .journals import JournalContract, MakeJournal
from .links import LocalLink
from .listeners import HubListenerContract
from .peek import history, peek, pending
from .recorder import Recorder
from .runtimes import RuntimeContract
from .stores import HoldableStoreContract, KnowledgeStoreContract

__all__ = (
    "Gate",
    "GatedRecorder",
    "HoldableStoreContract",
    "HubListenerContract",
    "JournalContract",
    "KnowledgeStoreContract",
    "LocalLink",
    "MakeJournal",
    "ManualClock",
    "Recorder",
    "RuntimeContract",
    "history",
    "peek",
    "pending",
)
