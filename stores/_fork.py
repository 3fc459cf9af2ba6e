"""What a forked child must not keep of its parent's stores.

A child has a copy of every open descriptor, and an open descriptor keeps a lock alive: without this a child would go on
holding what its dead parent held. And it has none of the parent's threads.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ("left_to_parent",)


class _Forkable(Protocol):
    def leave_to_parent(self) -> None: ...


_things: weakref.WeakSet[_Forkable] = weakref.WeakSet()


def left_to_parent(thing: _Forkable) -> None:
    """Have ``thing.leave_to_parent()`` called in every child forked from now on, as long as the thing exists."""
    _things.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_things):
        thing.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork_in_child)
