"""What a forked child must not keep of its parent: locks, descriptors, threads, and logs that are open for writing.

A child has a copy of every open descriptor, and an open descriptor keeps a lock: without this a child would go on
holding what its dead parent held. It has none of the parent's threads, and an append of its own would fall behind the
same end of a file as the parent's next one.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ("Forkable", "register_at_fork")


class Forkable(Protocol):
    """An object with resources that belong to one process."""

    def after_fork_in_child(self) -> None:
        """Give up the copies of the parent's resources, and leave the originals alone."""


_registered: weakref.WeakSet[Forkable] = weakref.WeakSet()


def register_at_fork(forkable: Forkable) -> None:
    """Call ``forkable.after_fork_in_child()`` in every child forked from now on, for as long as the object exists."""
    _registered.add(forkable)


def _after_fork_in_child() -> None:
    failures = []
    for forkable in list(_registered):
        try:
            forkable.after_fork_in_child()
        except Exception as error:  # noqa: BLE001 - the others must not keep what is their parents'
            failures.append(error)
    if failures:
        raise failures[0]


os.register_at_fork(after_in_child=_after_fork_in_child)
