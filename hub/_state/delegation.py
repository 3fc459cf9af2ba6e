"""Delegation: whether an envelope posted because of another one hands a matter on, or stays with those who talk.

A reply goes to agents that the envelope before came from, or went to. A return goes to agents from which the matter has
come. What goes to any other agent hands it on, one deeper.
"""

from __future__ import annotations

from collections.abc import Collection

from ..events import EnvelopePosted

__all__ = ("delegators_of",)


def delegators_of(cause: EnvelopePosted | None, reached: Collection[str]) -> tuple[str, ...]:
    """Return the agents over which a matter has come to an envelope that reaches these because of another one."""
    if cause is None:
        return ()
    above, sender = cause.delegators, cause.agent_id
    if not reached:
        return above
    present = {sender, *cause.recipients, *(cause.audience or ())}
    beyond = [each for each in reached if each not in present]
    if not beyond or sender is None:
        return above
    if all(each in above for each in beyond):
        return above[: min(map(above.index, beyond))]
    return (*(above[: above.index(sender)] if sender in above else above), sender)
