"""Calling code that is not yours: for stores, listeners and servers that call back.

All that the guest raises, swallows or never returns from is the failure of that call, and never yours::

    guest = GuestTask("my callback")
    await guest.call(callback, "/a/path", seconds=30)  # raises an Exception, TimeoutError among them
    guest.end()
"""

from __future__ import annotations

from ._foreign.guards import failure_of
from ._foreign.tasks import GuestTask, LeftBehind

__all__ = ("GuestTask", "LeftBehind", "failure_of")
