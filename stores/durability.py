"""Durability: which effects of a store survive which failure."""

from __future__ import annotations

from enum import StrEnum

__all__ = ("Durability",)


class Durability(StrEnum):
    """What the return of ``write``, ``append`` or ``delete`` promises.

    A store has its level as its ``durability`` attribute, and never falls below it silently.
    """

    FSYNC = "fsync"
    """On the medium: survives the loss of power."""

    FLUSH = "flush"
    """In the memory of the operating system: survives the end of the process, also by a kill.

    The loss of power may lose appends, deletions and new files of the last half minute or so. A file that ``write``
    replaced is whole even then: the old content or the new.
    """

    NONE = "none"
    """Without any promise and without syncing: for tests, and for data that can be made again.

    The loss of power may also leave a file that ``write`` replaced empty or with foreign bytes in it.
    """
