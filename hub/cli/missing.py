"""What should be beside a journal and is not: removed, or never brought back. Only what is there can say so."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime

from .._journal.positions import NAME as POSITIONS
from .._journal.snapshots import NAME as SNAPSHOTS
from ..events import Event, HubStopped
from ..log import Inspection

__all__ = ("Lived", "missing_beside")

_SECONDS = 60
"""A hub that has worked for so long has kept its positions: it does in each second in which one moved."""


class Lived:
    """What the events of a journal say of whether a hub has kept more beside it."""

    def __init__(self) -> None:
        self._first_at: str = ""
        self._last_at: str = ""
        self._has_stopped = False

    def see(self, event: Event) -> None:
        self._first_at = self._first_at or event.at
        self._last_at = event.at
        self._has_stopped = self._has_stopped or isinstance(event, HubStopped)

    @property
    def has_kept(self) -> bool:
        """Whether a hub was stopped in order, or has worked for a while."""
        return self._has_stopped or (bool(self._first_at) and self._seconds() >= _SECONDS)

    def _seconds(self) -> float:
        return (datetime.fromisoformat(self._last_at) - datetime.fromisoformat(self._first_at)).total_seconds()


def missing_beside(
    journal: Inspection,
    kept: Mapping[str, bytes],
    snapshots: tuple[int, ...],
    lived: Lived,
    *,
    has_old_positions: bool,
    name: str,
) -> list[str]:
    """Return what is missing of what a hub keeps beside its journal, what that means, and what can be done.

    ``kept`` is what is there by name, ``snapshots`` those there are, ``name`` how the store is called in advice. No hub
    is kept from starting by it: a journal may be of a version that kept no files there.
    """
    folder, found = f"{journal.path}/beside", []
    restore = f"If it was removed, restore {folder} from the copy that the journal is of, before a hub starts"
    was_closed = journal.marker is not None and journal.marker.is_closed and journal.tail.seq is not None
    if POSITIONS not in kept and not has_old_positions and (was_closed or lived.has_kept or snapshots or kept):
        found.append(
            f"{folder}/{POSITIONS}-… is missing: how far each DURABLE listener has come, and"
            " which event the journal had reached. The next start has each of them begin where its since=... says,"
            " so that one with since='now' misses what it has not seen, and cannot tell whether the journal has"
            f" lost its end. {restore}; or attach those listeners with since='start' for one start: they see"
            " all that the journal holds, some of it again"
        )
    if snapshots and SNAPSHOTS not in kept:
        found.append(
            f"{folder}/{SNAPSHOTS}-… is missing: which snapshots count, and their SHA-256. The"
            f" next start takes the newest whole one in {journal.path}/snapshots, of whichever history that is."
            f" {restore}; hubwire verify {shlex.quote(name)} says whether the logs agree with the journal"
        )
    return found
