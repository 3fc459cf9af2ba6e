"""Expectations: contracts over a channel's behaviour in time, and their violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event

__all__ = (
    "ExpectationFailed",
    "ExpectationHandled",
    "ExpectationHandlerCalled",
    "ExpectationHandlerFailed",
    "ExpectationViolated",
)


@event("expectation.violated", command="the hub itself, when an expectation is violated")
class ExpectationViolated(Event):
    """A channel did not do in time what its expectation requires: reported once, with all ``violators``.

    ``violators`` are agent ids; none means the channel as a whole. ``since_seqs`` are the events from which the overdue
    time counts, the newest ones: one for each violator, or one for the channel. ``place`` is the place of the
    expectation among those of the channel, from 0, and ``number`` counts its violations there. ``on_violation`` is the
    consequence.
    """

    expectation: str
    version: int
    place: int
    number: int
    on_violation: str
    params: Mapping[str, Any]
    violators: tuple[str, ...] = ()
    since_seqs: tuple[int, ...] = ()
    detail: Mapping[str, Any] | None = None


@event("expectation.failed", command="the hub itself, when an evaluator fails")
class ExpectationFailed(Event):
    """An expectation could not be evaluated, as ``reason`` says. It is evaluated again after the next start of the hub.

    ``place`` is its place among those of the channel, from 0.
    """

    expectation: str
    version: int
    place: int
    reason: str


_HANDLING = "the hub itself, when a handler of violations is called"


@event("expectation.handler_called", command=_HANDLING)
class ExpectationHandlerCalled(Event):
    """The program's ``handler`` is about to be called for a violation, the ``attempt``-th time, from 1.

    ``number`` is that of the violation in its channel. A call that comes to no end, because the process does, counts.
    """

    expectation: str
    number: int
    handler: str
    attempt: int


@event("expectation.handled", command=_HANDLING)
class ExpectationHandled(Event):
    """The program's ``handler`` has followed up a violation, after so many ``attempts``."""

    expectation: str
    number: int
    handler: str
    attempts: int


@event("expectation.handler_failed", command=_HANDLING)
class ExpectationHandlerFailed(Event):
    """The program's ``handler`` has not followed up a violation, as ``reason`` says.

    It is called again ``retry_seconds`` later, or with None after the next start of the hub; unless ``is_final``: then
    the violation is given up. ``attempts``: how many calls count so far; one that a close of the hub cut off does not.
    """

    expectation: str
    number: int
    handler: str
    attempts: int
    reason: str
    retry_seconds: float | None = None
    is_final: bool = False
