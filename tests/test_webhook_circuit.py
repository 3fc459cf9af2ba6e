"""The circuit of an endpoint, by itself."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hubwire import Backoff
from hubwire.listeners.webhook._circuit import MOVES, Circuit, CircuitState


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def circuit(failures_max: int = 3, seconds: float = 10.0) -> tuple[Circuit, Time]:
    time = Time()
    return Circuit(failures_max, Backoff(seconds=seconds, factor=2, seconds_max=1000), time), time


def test_it_opens_after_failures_in_a_row() -> None:
    it, _ = circuit()
    assert [it.failed(None), it.failed(None)] == [10, 20]
    assert it.begin() == 0
    it.worked()
    assert [it.failed(None) for _ in range(3)] == [10, 20, 40]
    assert it.state is CircuitState.OPEN
    assert it.begin() == 40


def test_one_tries_when_the_time_is_over_and_the_others_wait() -> None:
    it, time = circuit(failures_max=1)
    it.failed(None)
    time.now += 9.5
    assert it.begin() == pytest.approx(0.5)
    time.now += 0.5
    assert it.begin() == 0
    assert it.state is CircuitState.HALF_OPEN
    assert it.begin() > 0
    it.failed(None)
    assert it.begin() == 20
    time.now += 20
    assert it.begin() == 0
    it.worked()
    assert (it.state, it.failures, it.begin()) == (CircuitState.CLOSED, 0, 0)


def test_a_try_that_was_abandoned_leaves_it_to_the_next() -> None:
    it, time = circuit(failures_max=1)
    it.failed(None)
    time.now += 10
    assert it.begin() == 0
    it.abandoned()
    assert it.begin() == 0


def test_an_endpoint_that_wants_a_pause_gets_it_from_all() -> None:
    it, time = circuit()
    assert it.failed(100) == 100
    it.failed(None)  # one that was under way
    assert it.begin() == 100
    it.worked()  # another one that was under way
    assert it.begin() == 100
    time.now += 100
    assert it.begin() == 0


@given(steps=st.lists(st.sampled_from(["begin", "worked", "failed", "wants", "abandoned", "wait"]), max_size=60))
def test_it_moves_as_its_table_says_and_can_always_be_tried_in_the_end(steps: list[str]) -> None:
    it, time = circuit()
    for step in steps:
        before = it.state
        if step == "begin":
            it.begin()
        elif step == "failed":
            it.failed(None)
        elif step == "wants":
            it.failed(5.0)
        elif step == "wait":
            time.now += 7
        else:
            getattr(it, step)()
        assert it.state is before or it.state in MOVES[before]
    it.abandoned()
    time.now += 2000
    assert it.begin() == 0
