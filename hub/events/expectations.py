"""Expectations: contracts over a channel's behaviour in time, and that they were not kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("ExpectationFailed", "ExpectationViolated")


@event("expectation.violated", command="the hub itself, when what was expected did not happen in time")
class ExpectationViolated(Event):
    """What was expected of a channel did not happen in time: told once, with all ``violators``.

    ``violators`` are agent ids; none means the channel as a whole. ``since_seqs`` are the newest events since which
    something is overdue: one for each violator, or one for the channel. ``place`` is the place of the expectation among
    those of the channel, from 0, and ``number`` counts the violations in it. ``on_violation`` is what follows.
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


@event("expectation.failed", command="the hub itself, when an evaluator cannot say what is expected")
class ExpectationFailed(Event):
    """An expectation could not be evaluated, as ``reason`` says: it is not until the hub is started again.

    ``place`` is its place among those of the channel, from 0.
    """

    expectation: str
    version: int
    place: int
    reason: str
