"""Admission at the very border: which command is the last that comes in."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hubwire import Limits
from hubwire._commit.admission import Admission
from hubwire._commit.phase import Lifecycle
from hubwire._commit.ring import Ring
from hubwire.errors import Overloaded


class Flow:
    """An admission over a ring of which only the numbers count."""

    def __init__(self, **limits: Any) -> None:
        self.ring: Any = SimpleNamespace(
            applied=SimpleNamespace(value=0),
            committed=SimpleNamespace(value=0),
            weights=SimpleNamespace(seqs=()),
            bytes_in_flight=0,
            in_flight=0,
        )
        life: Any = SimpleNamespace(check_open=lambda: None, check_takes_events=lambda: None)
        self.admission = Admission(cast(Ring, self.ring), cast(Lifecycle, life), Limits(**limits), lambda: False)

    def put(self, events: int) -> None:
        self.ring.applied.value += events
        self.ring.in_flight = self.ring.applied.value - self.ring.committed.value


def test_a_listener_may_fill_the_reserve_and_no_more() -> None:
    """Beyond the bound of all others, by as many events as the reserve has."""
    flow = Flow(in_flight_max=4, listener_reserve=2)
    flow.put(5)
    flow.admission.check_reserve()
    flow.put(1)
    with pytest.raises(Overloaded, match="a listener that the commit waits for emits more"):
        flow.admission.check_reserve()


async def test_what_does_not_wait_overtakes_no_emitter() -> None:
    """There is room again, but it belongs to the one that waits."""
    flow = Flow(in_flight_max=2)
    flow.put(2)
    waiting = asyncio.ensure_future(flow.admission.wait_for_room())
    await asyncio.sleep(0)
    flow.ring.committed.value = 2
    assert not flow.admission.is_free
    with pytest.raises(Overloaded, match="1 emitters to be admitted"):
        flow.admission.check_room_now()
    flow.admission.let_in()
    await waiting
    assert flow.admission.is_free


async def test_a_command_that_was_let_in_has_its_room() -> None:
    """Before it has put its events: two that come at once do not share one place."""
    flow = Flow(in_flight_max=2)
    flow.put(2)
    both = [asyncio.ensure_future(flow.admission.wait_for_room()) for _ in range(2)]
    await asyncio.sleep(0)
    flow.ring.committed.value = 1
    flow.admission.let_in()
    assert len(flow.admission.waiting) == 1
    assert not flow.admission.is_free
    await both[0]
    flow.put(1)
    assert not both[1].done()
    flow.ring.committed.value = 3
    flow.admission.let_in()
    await both[1]
