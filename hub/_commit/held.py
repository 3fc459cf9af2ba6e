"""Calls of listeners that hold something up: code inside such a call must not wait for what the call holds up.

A context variable says that code runs inside such a call; child tasks and worker threads inherit it. The calls of
several hubs nest: a listener of hub A may run hub B, whose listener posts to hub A.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

__all__ = ("HeldCall", "forget_calls", "is_inside", "may_be_inside")


class HeldCall:
    """A call that holds up ``held``: ``with HeldCall(held): ...``.

    A pipeline stands for the commits of its hub; a listener's handler for the end of what the listener is doing.
    """

    __slots__ = ("_token", "held", "is_active", "outer")

    def __init__(self, held: object) -> None:
        self.held = held
        self.outer = _innermost.get()
        self.is_active = True
        """False once the call has returned: a task that it left behind may wait like any other."""

    def __enter__(self) -> None:
        self._token: Token[HeldCall | None] = _innermost.set(self)

    def __exit__(self, *_: object) -> None:
        self.is_active = False
        _innermost.reset(self._token)


_innermost: ContextVar[HeldCall | None] = ContextVar("hubwire.held_call", default=None)

may_be_inside = _innermost.get
"""Return None, and cheaply, where this code is inside no such call of any hub."""


def is_inside(held: object) -> bool:
    """Return whether this code runs inside a call that holds up ``held``."""
    call = _innermost.get()
    while call is not None:
        if call.held is held and call.is_active:
            return True
        call = call.outer
    return False


def forget_calls() -> None:
    """Begin anew, in a task that was started inside a call and outlives it."""
    _innermost.set(None)
