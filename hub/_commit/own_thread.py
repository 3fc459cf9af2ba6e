"""A thread for work of the hub's own that takes long: in no pool that callers can fill and so stop the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

from .._foreign.threads import GuestThread

__all__ = ("in_own_thread",)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_own_thread(function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    """Call this in a thread that begins and ends with it. Cancelling ends the wait, not the call.

    The thread is a daemon: a program ends although the call does not.
    """
    thread = GuestThread(getattr(function, "__name__", "work"))
    try:
        return await thread.call(function, *args)
    finally:
        thread.end()
