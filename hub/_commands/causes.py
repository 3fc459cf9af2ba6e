"""The envelope because of which another one is posted, as a program gives it."""

from __future__ import annotations

from typing import cast

from .._foreign.arguments import Call, whole_of
from ..events import EnvelopePosted
from .inboxes import Delivery

__all__ = ("cause_of",)


def cause_of(call: Call, caused_by: Delivery | EnvelopePosted) -> EnvelopePosted:
    """Return the event of the envelope that another one answers. A program may have made it itself."""
    cause = cast(Delivery, caused_by).event if issubclass(type(caused_by), Delivery) else caused_by
    wanted = "a Delivery, or the event of a post"
    event = call.instance("caused_by", cause, EnvelopePosted, wanted=wanted)
    ids = (event.delegators, event.recipients, event.audience or ())
    if whole_of(event.hops) is None or not all(type(each) is tuple and all(map(_is_text, each)) for each in ids):
        raise call.refusal("caused_by", event, wanted, "give it as it was returned or delivered")
    return event


def _is_text(value: object) -> bool:
    return type(value) is str
