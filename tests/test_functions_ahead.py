"""Functions that look ahead: they are told which events they will be called with, and begin before they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import Duty, Event, Hub
from hubwire.errors import ConfigurationError
from hubwire.stores import MemoryStore
from support import numbers, said
from support.fanout import attached


class Ahead:
    """Notes what it is told and called with. It begins with as many events as the test says."""

    def __init__(self, begins: int = 0) -> None:
        self.told: list[list[int]] = []
        self.called: list[int] = []
        self.during: dict[int, Any] = {}
        """What it does while it is called with a number."""
        self._begins = begins

    def look_ahead(self, events: Sequence[Event]) -> Any:
        self.told.append(numbers(events))
        return 0 if events else self._begins

    async def __call__(self, event: Event) -> None:
        (n,) = numbers([event])
        self.called.append(n)
        if (deed := self.during.pop(n, None)) is not None:
            deed()


async def emit(hub: Hub, *ns: int) -> None:
    await hub.emit_many([said(n) for n in ns])
    await hub.flush()


@pytest.mark.parametrize("duty", [Duty.DURABLE, Duty.BEST_EFFORT])
async def test_a_function_is_told_what_comes_together(duty: Duty) -> None:
    """Of one event it is not told: it is called with it at once."""
    async with Hub(MemoryStore()) as hub:
        ahead = Ahead()
        await attached(hub, ahead, pattern="number.*", duty=duty, name="ahead")
        await emit(hub, 0)
        await emit(hub, 1, 2, 3)
    assert ahead.called == [0, 1, 2, 3]
    assert ahead.told == [[1, 2, 3], []]


async def test_a_function_is_told_again_what_comes_after_a_failure() -> None:
    def fail() -> None:
        raise ValueError("no")

    async with Hub(MemoryStore()) as hub:
        ahead = Ahead()
        ahead.during[1] = fail
        await attached(hub, ahead, pattern="number.*", duty=Duty.DURABLE, name="ahead")
        await emit(hub, 0, 1, 2)
    assert ahead.called == [0, 1, 1, 2]
    assert ahead.told == [[0, 1, 2], [], [1, 2], []]


@pytest.mark.parametrize("begins", [2, 3, 4])
async def test_a_muted_function_is_called_with_what_it_has_begun(begins: int) -> None:
    async with Hub(MemoryStore()) as hub:
        ahead = Ahead(begins)
        attachment = await attached(hub, ahead, pattern="number.*", name="ahead")
        ahead.during[1] = attachment.mute
        await emit(hub, 0, 1, 2, 3)
        await emit(hub, 4, 5)
        assert ahead.called == list(range(begins))
        assert (attachment.statistics().handled, attachment.statistics().passed) == (begins, 6 - begins)
        assert ahead.told == [[0, 1, 2, 3], []]  # a muted one is told nothing
        attachment.unmute()
        await emit(hub, 6, 7)
        assert ahead.told[2:] == [[6, 7], []]


async def test_a_detached_function_is_called_with_what_it_has_begun() -> None:
    """A DURABLE one goes on after that when it is attached again."""
    async with Hub(MemoryStore()) as hub:
        ahead = Ahead(begins=3)
        attachment = await attached(hub, ahead, pattern="number.*", duty=Duty.DURABLE, name="ahead")
        ahead.during[1] = attachment.begin_to_detach
        await emit(hub, 0, 1, 2, 3, 4)
        assert ahead.called == [0, 1, 2]
        again = Ahead()
        await attached(hub, again, pattern="number.*", duty=Duty.DURABLE, name="ahead")
        await hub.flush()
        assert ahead.called + again.called == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("answer", [None, -1, 99, True, "3", 2**80])
async def test_an_odd_answer_is_no_event_begun(answer: Any) -> None:
    async with Hub(MemoryStore()) as hub:
        ahead = Ahead(begins=answer)
        attachment = await attached(hub, ahead, pattern="number.*", name="ahead")
        ahead.during[1] = attachment.mute
        await emit(hub, 0, 1, 2, 3)
        assert ahead.called == [0, 1]


@pytest.mark.parametrize("raised", [ValueError, SystemExit])
async def test_a_look_ahead_that_raises_is_a_failure_of_the_function(raised: type[BaseException]) -> None:
    """At the beginning of the batch it is one; where it is told that no more comes, the calls go on."""

    class Broken(Ahead):
        def look_ahead(self, events: Sequence[Event]) -> Any:
            super().look_ahead(events)
            if len(self.told) in (1, 2, 4):
                raise raised("broken")
            return 0

    async with Hub(MemoryStore()) as hub:
        broken = Broken()
        attachment = await attached(hub, broken, pattern="number.*", duty=Duty.DURABLE, name="ahead")
        await emit(hub, 0, 1, 2)
        assert broken.called == [0, 1, 2]
        assert broken.told == [[0, 1, 2], [], [0, 1, 2], []]
        assert "broken" in (attachment.statistics().last_error or "")
        await hub.emit(said(3))
        await hub.flush()
        assert broken.called[-1] == 3


async def test_a_look_ahead_that_cannot_be_called_is_refused() -> None:
    class Waits:
        async def look_ahead(self, events: Sequence[Event]) -> None: ...

        async def __call__(self, event: Event) -> None: ...

    class Takes:
        def look_ahead(self) -> None: ...

        async def __call__(self, event: Event) -> None: ...

    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="look_ahead must not be async"):
            hub.attach(Waits())
        with pytest.raises(ConfigurationError, match=r"called as look_ahead\(events\)"):
            hub.attach(Takes())
        assert hub.attachments == ()


async def test_calls_side_by_side_look_not_ahead() -> None:
    """Each has one event at a time."""
    async with Hub(MemoryStore()) as hub:
        ahead = Ahead()
        await attached(hub, ahead, pattern="number.*", concurrency=2, name="ahead")
        await emit(hub, 0, 1, 2, 3)
    assert sorted(ahead.called) == [0, 1, 2, 3]
    assert ahead.told == []


async def test_an_inherited_call_is_as_async_as_ones_own() -> None:
    """An object of a subclass is called on the loop, and looks ahead."""

    class Further(Ahead):
        pass

    async with Hub(MemoryStore()) as hub:
        further = Further()
        await attached(hub, further, pattern="number.*", name="ahead")
        await emit(hub, 0, 1)
    assert further.told == [[0, 1], []]
