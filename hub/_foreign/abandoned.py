"""Calls of guests that were cancelled and go on all the same: counted, and named for as long as they run."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from ..ports import Clock
from .guards import clean, guarded_call
from .tasks import GRACE_SECONDS, GuestTask
from .threads import GuestThread

__all__ = ("Abandoned",)

T = TypeVar("T")

_NAMED_MAX = 10


class Abandoned:
    """Calls guests in tasks of their own, and keeps account of those that were left behind."""

    def __init__(self) -> None:
        self.total: int = 0
        """How many calls were left behind."""
        self.on_abandoned: Callable[[str], None] | None = None
        """Called with the name of the guest."""
        self._running: list[tuple[str, GuestTask | GuestThread]] = []

    @property
    def running(self) -> list[str]:
        """The names of the guests of which a call goes on."""
        self._running = [each for each in self._running if each[1].is_still_running]
        return [name for name, _ in self._running]

    def problems(self) -> list[str]:
        """Return what goes on though it was cancelled."""
        names = self.running
        more = f", and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
        if not names:
            return []
        return [f"these were cancelled and go on all the same, until the program ends: {', '.join(names[:10])}{more}"]

    async def call(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        seconds: float | None = None,
        clock: Clock | None = None,
        grace_seconds: float = GRACE_SECONDS,
        waiting: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> T:
        """Await one call of a guest; as :class:`~.tasks.GuestTask` does. ``name`` says whose code it is."""
        guest = GuestTask(clean(name), waiting=waiting)
        try:
            return await guest.call(function, *args, seconds=seconds, clock=clock, grace_seconds=grace_seconds)
        finally:
            self._let_go(name, guest)

    async def call_plug_in(
        self, name: str, function: Callable[..., Any], *args: Any, in_loop: bool = False, seconds: float | None = None
    ) -> Any:
        """Await one call of a guest that may be sync or async; raises as :meth:`call` does.

        A sync one may block, so it has a thread of its own for the call, with the context copied; ``in_loop``: not
        this one, which is quick. What it returns is awaited if it can be.
        """
        if in_loop or guarded_call(inspect.iscoroutinefunction, function):
            return await self.call(name, _awaited, function, *args, seconds=seconds)
        thread = GuestThread(name)
        try:
            return await self.call(name, _awaited, thread.call, function, *args, seconds=seconds)
        finally:
            self._let_go(name, thread)

    def _let_go(self, name: str, guest: GuestTask | GuestThread) -> None:
        """A guest is called no more; keep account of it while it goes on."""
        guest.end()
        if guest.is_still_running:
            self.total += 1
            self._running.append((clean(name), guest))
            if self.on_abandoned is not None:
                self.on_abandoned(clean(name))


async def _awaited(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function; while it answers with what has to be awaited, as an async function that a thread called does."""
    answer = function(*args)
    while inspect.isawaitable(answer):
        answer = await answer
    return answer
