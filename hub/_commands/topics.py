"""``hub.topics``: agents subscribe to topics by pattern, and get what is published on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Unpack

from .._foreign.arguments import Call
from .._state import State
from .._state.origin import Origin
from .._state.subscriptions import Subscription
from ..events import EnvelopePosted, Event
from .agents import Agent, actor_of, id_of
from .causes import cause_of
from .core import Core
from .group import Group
from .inboxes import Delivery
from .origins import origin_of
from .provenances import UNSAID
from .publishing import PUBLISH, TOPIC_CHARS_MAX, is_dotted, publication_of, topic_of

__all__ = ("TopicCommands",)

_SUBSCRIBE = Call("hub.topics.subscribe()")
_UNSUBSCRIBE = Call("hub.topics.unsubscribe()")
_LIST = Call("hub.topics.list()")
_SUBSCRIBERS = Call("hub.topics.subscribers()")


class TopicCommands(Group):
    """``hub.topics``: publish to all who want to know, without knowing them.

    A topic is a name: words joined by dots, as ``build.failed`` or ``order.4711.paid``. It is not made before, and does
    not end. What is published on it is an envelope in the inbox of each agent that has subscribed, in no channel. Who
    subscribes later does not get it.
    """

    def __init__(self, core: Core, state: State) -> None:
        self._core = core
        self._state = state

    async def publish(
        self,
        topic: str,
        content: Any,
        *,
        sender: Agent | str,
        caused_by: Delivery | EnvelopePosted | None = None,
        priority: str = "normal",
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
        hops_max: int | None = None,
        deliver_after: float = 0.0,
        provenance: Iterable[str] = (),
        **origin: Unpack[Origin],
    ) -> EnvelopePosted:
        """Publish an envelope: it is in the inbox of each agent that has subscribed to the topic, but of its sender.

        Returns the committed event. Its ``recipients`` are the ids of those who got it, in the order in which their
        patterns came: none, if no agent has subscribed. All of them have it, or none: it is one event. The arguments
        are those of :meth:`hubwire.Channel.post`, and so is what happens where an inbox is full; an ``idempotency_key``
        means one envelope of the topic.

        A refusal is recorded as ``envelope.rejected``, then raised as :class:`~hubwire.errors.CommandRejected`, mostly
        as a :class:`~hubwire.errors.PostRejected`, also where more than 10,000 agents have subscribed, as
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it, or as :class:`~hubwire.errors.EventTooLarge`.
        What is no topic is refused before.
        """
        publication = publication_of(
            self._core,
            self._state,
            topic,
            actor_of(self._core, sender, PUBLISH, "sender"),
            content,
            cause=None if caused_by is None else cause_of(PUBLISH, caused_by),
            priority=priority,
            ttl_seconds=ttl_seconds,
            idempotency_key=idempotency_key,
            hops_max=hops_max,
            deliver_after=deliver_after,
            origin=origin_of(PUBLISH, origin, self.publish),
        )
        if provenance is not UNSAID:
            publication.take_provenance(PUBLISH, provenance)
        return await publication.run()

    async def subscribe(self, agent: Agent | str, pattern: str) -> bool:
        """Let an agent get what is published from now on, on the topics that match a pattern; on disk when it returns.

        ``*`` stands for any part of a topic: ``build.*``, ``*.failed``, ``*``. Several patterns that match one topic
        are one envelope. The subscription outlives restarts, and ends with the agent. Returns whether it is new.

        Raises :class:`~hubwire.errors.CommandRejected` for what is no pattern, and when the agent has 1,000
        subscriptions, :class:`~hubwire.errors.NotFound` if it is not registered, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        core = self._core
        pattern = _pattern(_SUBSCRIBE, pattern)
        decide = self._state.subscriptions.subscribe
        return await core.demand.run(
            core, (agent,), lambda face: _change(face, _SUBSCRIBE, "subscribe", agent, pattern, decide)
        )

    async def unsubscribe(self, agent: Agent | str, pattern: str) -> bool:
        """End the subscription of an agent by this very pattern; return whether there was one.

        What is in the inbox stays there. Raises what :meth:`subscribe` raises.
        """
        pattern = _pattern(_UNSUBSCRIBE, pattern)
        decide = self._state.subscriptions.unsubscribe
        return await _change(self._core, _UNSUBSCRIBE, "unsubscribe", agent, pattern, decide)

    def list(self, agent: Agent | str | None = None) -> Sequence[Subscription]:
        """Return the subscriptions of an agent, or all, each with ``agent_id`` and ``pattern``.

        They come in the order in which they were made. Through the hub of an agent, only its own.
        """
        agent_id = None if agent is None else id_of(self._core, agent, _LIST)
        found = self._state.subscriptions.all(agent_id)
        acting = self._core.acting
        return [each for each in found if acting.may_act_as(each.agent_id) and acting.sees(each.agent_id)]

    def subscribers(self, topic: str) -> Sequence[Agent]:
        """Return the agents that get what is published on a topic."""
        agents, topic = self._state.agents, topic_of(_SUBSCRIBERS, topic)
        found = self._state.subscriptions.subscribers(topic)
        seen = [each for each in found if self._core.acting.sees(each)]
        return [Agent(self._core, self._state, each, agents.get(each).name) for each in seen]


async def _change(
    core: Core,
    call: Call,
    name: str,
    agent: Agent | str,
    pattern: str,
    decide: Callable[[str, str], Sequence[Event]],
) -> bool:
    agent_id = actor_of(core, agent, call)
    await core.authorizer.authorize(name, agent_id, facts={"pattern": pattern})
    changed = await core.execute(lambda: decide(agent_id, pattern))
    if not changed:
        await core.until_all_is_committed()
    return bool(changed)


def _pattern(call: Call, pattern: object) -> str:
    wanted = f"a pattern of topics, of at most {TOPIC_CHARS_MAX} characters, as 'build.*'"
    text = call.text("pattern", pattern, wanted=wanted)
    if not is_dotted(text):
        raise call.refusal("pattern", text, wanted, "a topic is words joined by dots, without spaces; * is any part")
    return text
