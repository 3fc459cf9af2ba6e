"""Topics: which agents get what is published, which is an envelope: ``envelope.posted`` with a ``topic``."""

from __future__ import annotations

from ._declare import event
from ._event import Event

__all__ = ("TopicSubscribed", "TopicUnsubscribed")


@event("topic.subscribed", command="hub.topics.subscribe()")
class TopicSubscribed(Event):
    """``agent_id`` gets, from now on, what is published on the topics that match ``pattern``."""

    pattern: str


@event("topic.unsubscribed", command="hub.topics.unsubscribe()")
class TopicUnsubscribed(Event):
    """``agent_id`` gets no more what is published on the topics that match ``pattern``, but for another pattern.

    Subscriptions of an agent that leaves the hub end with it, without this event.
    """

    pattern: str
