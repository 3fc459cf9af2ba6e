"""Validation: rules for the events that callers emit, which the hub checks before it takes one.

``Hub(validation=Validation(EventRule("billing.*", required=["source", "data.amount"])))``. An event that breaks a
strict rule is refused with :class:`~hubwire.errors.EventInvalid`, which says all that is wrong with it; one that breaks
rules of the mode ``warn`` is taken, counted, and reported by ``hub.event_questioned``.
"""

from __future__ import annotations

from ._names import action_of, domain_of, is_kind
from ._rules import EventRule, Validation

__all__ = ("EventRule", "Validation", "action_of", "domain_of", "is_kind")
