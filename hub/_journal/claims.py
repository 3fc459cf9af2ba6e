"""Which journal objects the hubs of this program use: an object is of one hub at a time.

A journal keeps out other programs, or is taken over by one. Two hubs with one object are no two programs to it: the
second would close what the first has open.
"""

from __future__ import annotations

import asyncio
import os
import threading

from ..errors import ConfigurationError
from ..ports import Journal

__all__ = ("claim", "give_back")

_claimed: dict[int, tuple[Journal, asyncio.AbstractEventLoop, int]] = {}
"""By identity, as a journal of others need not be hashable; kept, so that no other one gets that identity. With
the loop and the process of its hub."""
_lock = threading.Lock()


def claim(journal: Journal) -> None:
    """Have a journal for one hub. Raises :class:`~hubwire.errors.ConfigurationError` if another hub has it."""
    with _lock:
        held = _claimed.get(id(journal))
        # What gives nothing back: a hub whose loop was closed under it, and one of the process that this is forked of.
        if held is not None and not held[1].is_closed() and held[2] == os.getpid():
            raise ConfigurationError(
                f"the {type(journal).__name__} of this hub is used by another hub of this program: give each hub a"
                " journal object of its own, or close the other one first. Nothing has happened"
            )
        _claimed[id(journal)] = (journal, asyncio.get_running_loop(), os.getpid())


def give_back(journal: Journal) -> None:
    """Let another hub have a journal."""
    with _lock:
        _claimed.pop(id(journal), None)
