"""The ports of a hub: listeners, feeds, stores, journals, clocks, links between hubs, and the rules for store paths.

These protocols carry the promises; implementations document only their differences. No base class is needed: an
object that has the methods is an implementation. :mod:`hubwire.testing` proves that it keeps the promises.
"""

from __future__ import annotations

from ._clock import Clock
from ._feed import Feed
from ._journal import BatchingJournal, Journal
from ._link import CommandLink
from ._listener import HubListener
from ._paths import normalize_path
from ._shared_journal import SharedJournal
from ._signs import ClusterSigns
from ._store import (
    ChangeCallback,
    ChangeSubscription,
    CompactableStore,
    CuttableStore,
    EagerStore,
    Hold,
    HoldableStore,
    KnowledgeStore,
    ReservingStore,
)

__all__ = (
    "BatchingJournal",
    "ChangeCallback",
    "ChangeSubscription",
    "Clock",
    "ClusterSigns",
    "CommandLink",
    "CompactableStore",
    "CuttableStore",
    "EagerStore",
    "Feed",
    "Hold",
    "HoldableStore",
    "HubListener",
    "Journal",
    "KnowledgeStore",
    "ReservingStore",
    "SharedJournal",
    "normalize_path",
)
