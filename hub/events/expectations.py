"""Expectations: contracts over a channel's behaviour in time, and their violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("ExpectationFailed", "ExpectationViolated")


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
