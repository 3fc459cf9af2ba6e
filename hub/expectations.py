"""Expectations: contracts over a channel's behaviour in time, and the protocol for evaluators of your own.

See :class:`Expectation` and :class:`Evaluator`.
"""

from __future__ import annotations

from ._state.evaluators import (
    ON_VIOLATION,
    AcksWithin,
    Evaluator,
    Expectation,
    MaxSilence,
    Moment,
    Owed,
    ReplyWithin,
    Situation,
    TurnWithin,
)

__all__ = (
    "ON_VIOLATION",
    "AcksWithin",
    "Evaluator",
    "Expectation",
    "MaxSilence",
    "Moment",
    "Owed",
    "ReplyWithin",
    "Situation",
    "TurnWithin",
)
