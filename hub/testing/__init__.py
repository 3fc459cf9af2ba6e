"""For tests: yours and hubwire's own."""

from __future__ import annotations

from .clock import ManualClock
from .gate import Gate, GatedRecorder
from .journals import JournalContract, MakeJournal
from .links import LocalLink
from .listeners import HubListenerContract
from .memory_journal import MemoryHistory, MemorySharedJournal
from .peek import history, peek, pending
from .recorder import Recorder
from .runtimes import RuntimeContract
from .servers import MemoryServers
from .shared_journals import MakeSharedJournal, SharedJournalContract
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
    "MakeSharedJournal",
    "ManualClock",
    "MemoryHistory",
    "MemoryServers",
    "MemorySharedJournal",
    "Recorder",
    "RuntimeContract",
    "SharedJournalContract",
    "history",
    "peek",
    "pending",
)
