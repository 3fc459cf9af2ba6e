"""The turns of the event loop that a delivery takes: none where the listener does not wait, one between two batches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from hubwire import Duty, Event, Hub
from hubwire._foreign.tasks import GuestTask
from hubwire.listeners import LiveTail
from support import numbers, said, until

VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


class Turns:
    """Counts the turns of the running loop."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        self._handle = self._loop.call_soon(self._turn)

    def stop(self) -> None:
        self._handle.cancel()


async def test_a_call_that_does_not_wait_takes_no_turn() -> None:
    """It runs in the guest's own task all the same, and in its context; the caller's are as before."""
    guest, tasks, seen = GuestTask(), [], []

    async def call(value: str) -> str:
        tasks.append(asyncio.current_task())
        seen.append(VARIABLE.get())
        VARIABLE.set(value)
        return value

    turns = Turns()
    try:
        await guest.call(call, "first")  # it starts the task
        here, before = asyncio.current_task(), turns.count
        for value in ("second", "third"):
            assert await guest.call(call, value, seconds=60.0) == value
            assert asyncio.current_task() is here
        assert turns.count == before
    finally:
        turns.stop()
        guest.end()
    assert len(set(tasks)) == 1
    assert here not in tasks
    assert seen == ["unset", "first", "second"]
    assert VARIABLE.get() == "unset"


async def test_what_a_quick_call_raises_comes_out() -> None:
    """It is raised at once, the caller's task is the running one again, and the guest is called again."""

    class PanicError(BaseException):
        pass

    guest = GuestTask()

    async def quick(error: BaseException | None) -> str:
        if error is not None:
            raise error
        return "fine"

    await guest.call(quick, None)
    here = asyncio.current_task()
    for error in (ValueError("no"), PanicError("no"), SystemExit(1), asyncio.CancelledError()):
        with pytest.raises(Exception, match=r"no|SystemExit|Cancelled|1"):
            await guest.call(quick, error)
        assert asyncio.current_task() is here
        assert await guest.call(quick, None) == "fine"
    guest.end()


async def test_guests_call_guests_without_a_wait() -> None:
    """A call inside another one's is nested in it, each in its own task."""
    outer, inner = GuestTask("outer"), GuestTask("inner")
    names: list[str] = []

    def note() -> None:
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())

    async def leaf() -> None:
        note()

    async def branch() -> None:
        note()
        await inner.call(leaf)
        note()

    for _ in range(2):
        names.clear()
        await outer.call(branch)
        assert names == ["hubwire outer", "hubwire inner", "hubwire outer"]
    outer.end()
    inner.end()


@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.REQUIRED])
async def test_the_loop_turns_between_two_batches(duty: Duty) -> None:
    """A listener that never waits, and has many events to handle, does not keep the loop for itself."""

    class Quick:
        def __init__(self) -> None:
            self.seen: list[int] = []
            self.turns: list[int] = []

        async def on_events(self, events: Sequence[Event]) -> None:
            if found := numbers(events):
                self.seen += found
                self.turns.append(turns.count)

    quick = Quick()
    turns = Turns()
    try:
        async with Hub() as hub:
            hub.attach(quick, duty=duty)
            await hub.flush()
            for n in range(1000):
                hub.emit_nowait(said(n))
            await until(lambda: len(quick.seen) == 1000)
    finally:
        turns.stop()
    assert len(quick.turns) >= 4
    assert len(set(quick.turns)) == len(quick.turns)


async def test_tails_that_come_back_together_take_turns() -> None:
    """Each has events to read, and no turn of the loop serves more than a hundred of them."""
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        await hub.emit(said())
        cursor = tail.subscribe().cursor
        for n in range(300):
            await hub.emit(said(n))
        served: Counter[int] = Counter()

        async def come_back() -> None:
            subscriber = tail.subscribe(cursor)
            assert await subscriber.take()
            served[turns.count] += 1

        turns = Turns()
        try:
            await asyncio.gather(*[come_back() for _ in range(350)])
        finally:
            turns.stop()
    assert sum(served.values()) == 350
    assert max(served.values()) <= 100
