"""Calls of guests that hold up a hub: code inside such a call must not wait for what the call holds up.

A context variable says that code runs inside such a call; child tasks and worker threads inherit it. The calls of
several hubs nest: a listener of hub A may run hub B, whose listener posts to hub A.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import ClassVar, Self

__all__ = ("Around", "HeldCall", "NestedCall", "is_inside", "is_nested", "may_be_inside")


class NestedCall:
    """A call that holds up ``held``: ``with SomeCall(held): ...``.

    Each subclass is a sort of call, with a context variable of its own, ``innermost``.
    """

    __slots__ = ("_token", "held", "is_active", "outer")
    innermost: ClassVar[ContextVar[NestedCall | None]]
    sorts: ClassVar[list[type[NestedCall]]] = []

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "innermost" in cls.__dict__:
            NestedCall.sorts.append(cls)

    def __init__(self, held: object) -> None:
        self.held: object = held
        self.outer: NestedCall | None = self.innermost.get()
        self.is_active: bool = True
        """False once the call has returned: a task that it left behind may wait like any other."""
        # A guest may start its successor, which starts another: release the calls around this one that have returned.
        call: NestedCall = self
        while (around := call.outer) is not None:
            if around.is_active:
                call = around
            else:
                call.outer = around.outer

    def __enter__(self) -> Self:
        self._token: Token[NestedCall | None] = self.innermost.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.is_active = False
        self.innermost.reset(self._token)
        del self._token  # it refers to the call before

    @classmethod
    def is_inside(cls, held: object) -> bool:
        """Return whether this code runs inside such a call that holds up ``held``."""
        call = cls.innermost.get()
        while call is not None:
            if call.held is held and call.is_active:
                return True
            call = call.outer
        return False


class HeldCall(NestedCall):
    """A call of a listener. A pipeline stands for the commits of its hub, a handler for the end of what it is doing."""

    __slots__ = ()
    innermost: ClassVar[ContextVar[NestedCall | None]] = ContextVar("hubwire.held_call", default=None)


is_inside = HeldCall.is_inside
may_be_inside = HeldCall.innermost.get
"""Return None, and cheaply, where this code is inside no such call of any hub."""


def is_nested() -> bool:
    """Tell whether this code is inside a call of a guest, of any sort and any hub."""
    return any(sort.innermost.get() is not None for sort in NestedCall.sorts)


class Around:
    """The calls of all sorts that code runs inside when this is made: of listeners, actors, handlers of violations."""

    __slots__ = ("_innermost",)

    def __init__(self) -> None:
        self._innermost: dict[type[NestedCall], NestedCall | None] = {
            sort: sort.innermost.get() for sort in NestedCall.sorts
        }

    def enter(self, *, but: type[NestedCall] | None = None) -> None:
        """Be inside these calls and no others from now on, in this context; ``but``: of this sort inside the same."""
        for sort in NestedCall.sorts:
            if sort is not but:
                sort.innermost.set(self._innermost.get(sort))

    @contextmanager
    def entered(self, *, but: type[NestedCall] | None = None) -> Iterator[None]:
        """Be inside these calls and no others in a block: see :meth:`enter`."""
        outside = Around()
        self.enter(but=but)
        try:
            yield
        finally:
            outside.enter(but=but)
