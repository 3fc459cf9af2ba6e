"""Admission: emitters wait here until the hub has room. Backpressure happens in this place, and in no other."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from .._reraise import repeat
from ..errors import HubError, Overloaded
from ..limits import Limits
from .phase import Lifecycle
from .ring import Ring

__all__ = ("Admission",)

_GRANTED_MAX = 32
"""How many commands are let in at a time after a wait: they may all turn out to be heavy."""


class Admission:
    """Lets commands in, in the order in which they came, while the uncommitted events are few enough, and light enough.

    What a command will put is not known before. So one may pass the bound; and after a wait, few are let in at a time.
    """

    def __init__(self, ring: Ring, lifecycle: Lifecycle, limits: Limits, is_blocked: Callable[[], bool]) -> None:
        """``is_blocked`` tells whether a listener is so far behind that emitters have to wait for it."""
        self._ring = ring
        self._lifecycle = lifecycle
        self._in_flight_max = limits.in_flight_max
        self._bytes_max = limits.in_flight_bytes_max
        self._reserved_max = limits.in_flight_max + limits.listener_reserve
        self._weights = ring.weights
        self._is_blocked = is_blocked
        self._granted = 0
        """How many commands were let in and have not put their events yet."""
        self.waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        """The emitters that wait to be admitted."""

    @property
    def is_free(self) -> bool:
        """Whether a command may come in now: there is room, and no other one waits."""
        if self.waiting:
            return False
        ring = self._ring
        in_flight = ring.applied.value - ring.committed.value + self._granted
        if in_flight >= self._in_flight_max or self._is_blocked():
            return False
        return not self._weights.seqs or self._is_light_enough()

    async def wait_for_room(self) -> None:
        """Return when there is room for one command, which has to put its events before it waits again.

        Cancelled, it leaves its place to the next. Raises what :meth:`refuse_all` was called with.
        """
        self._lifecycle.check_open()
        future = asyncio.get_running_loop().create_future()
        self.waiting[future] = None
        self.let_in()
        try:
            await future
        except asyncio.CancelledError:
            self.waiting.pop(future, None)
            if future.done() and not future.cancelled() and future.exception() is None:
                self._granted -= 1
                self.let_in()
            raise
        self._granted -= 1
        self._lifecycle.check_open()

    def let_in(self) -> None:
        """Let the commands that wait in, as far as there is room."""
        while self.waiting and self._has_room():
            future, _ = self.waiting.popitem(last=False)
            if not future.done():
                self._granted += 1
                future.set_result(None)

    def refuse_all(self, error: HubError) -> None:
        """Raise ``error`` to all commands that wait: they have not changed the state."""
        refused, self.waiting = self.waiting, OrderedDict()
        for future in refused:
            if not future.done():
                future.set_exception(repeat(error))

    def check_room_now(self) -> None:
        """Raise :class:`~hubwire.errors.Overloaded` where a command would have to wait."""
        if not self.is_free:
            raise Overloaded(
                f"{self._in_flight()} wait to be committed, and {len(self.waiting)} emitters to be admitted;"
                " use await hub.emit(...) to wait for room, or hub.offer(...) to drop"
            )

    def check_reserve(self) -> None:
        """Raise :class:`~hubwire.errors.Overloaded` if listeners that the commit waits for have emitted too much.

        Such a listener never waits for room, because the room may come from its own return. It may emit also while the
        hub starts or closes: that belongs to the events that it handles.
        """
        self._lifecycle.check_takes_events()
        ring = self._ring
        if ring.in_flight >= self._reserved_max or ring.bytes_in_flight >= 2 * self._bytes_max:
            raise Overloaded(
                f"{self._in_flight()} wait to be committed, and a listener that the commit waits for emits"
                " more; emit less from it, or attach it as BEST_EFFORT"
            )

    def _has_room(self) -> bool:
        ring = self._ring
        in_flight = ring.applied.value - ring.committed.value + self._granted
        if in_flight >= self._in_flight_max or self._granted >= _GRANTED_MAX or self._is_blocked():
            return False
        # Beside heavy events the next ones may be heavy, too: let them in one by one.
        return not self._weights.seqs or (not self._granted and self._is_light_enough())

    def _is_light_enough(self) -> bool:
        return self._ring.bytes_in_flight < self._bytes_max

    def _in_flight(self) -> str:
        ring = self._ring
        weight = ring.bytes_in_flight
        return f"{ring.in_flight} events" + (f" of {weight:,} bytes" if weight else "")
