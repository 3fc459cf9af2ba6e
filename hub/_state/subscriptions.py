"""Subscriptions: which agents get what is published on which topics.

``(absent) -- subscribed --> (present) -- unsubscribed | the agent is unregistered --> (absent)``.

A topic is a name and has no state of its own: it need not be made before, and does not end. So what is kept are the
patterns of agents, and a topic is matched with them when something is published on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import CommandRejected
from ..events import AgentUnregistered, Event, TopicSubscribed, TopicUnsubscribed
from ..patterns import Patterns
from .agents import Agents

__all__ = ("SUBSCRIPTIONS_MAX", "Subscription", "Subscriptions")

SUBSCRIPTIONS_MAX = 1_000
"""Of one agent."""


@attrs.frozen(eq=False, repr=False)
class Subscription(Value):
    """An agent gets what is published on the topics that match a pattern."""

    agent_id: str
    pattern: str


@attrs.define(eq=False, repr=False)
class _Subscribers(Value):
    """The agents that have subscribed by one pattern, in their order."""

    matches: Callable[[str], bool] = attrs.field(eq=False)
    agent_ids: dict[str, None] = attrs.Factory(dict)


class Subscriptions:
    """The subscriptions of agents, by agent and by pattern.

    Patterns without a star are found by the topic itself. Of the others, those that begin with a whole word, as
    ``build.*``, are looked at for topics that begin with it; the rest for each topic.
    """

    entry_types: ClassVar[tuple[type, ...]] = (Subscription,)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._by_agent: dict[str, dict[str, None]] = {}
        self._by_word: dict[str, dict[str, _Subscribers]] = {}
        """Of each pattern, by what it is found by: see :func:`_word_of`."""

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            TopicSubscribed: self._subscribed,
            TopicUnsubscribed: self._unsubscribed,
            AgentUnregistered: self._unregistered,
        }

    def snapshot(self) -> list[Subscription]:
        return self.all()

    def restore(self, entries: Sequence[Subscription]) -> None:
        for entry in entries:
            self._add(entry.agent_id, entry.pattern)

    def all(self, agent_id: str | None = None) -> list[Subscription]:
        """Return all subscriptions, or those of an agent, in the order in which agents, and then they, came."""
        agent_ids: Iterable[str] = self._by_agent if agent_id is None else (agent_id,)
        return [Subscription(each, pattern) for each in agent_ids for pattern in self._by_agent.get(each, ())]

    def subscribers(self, topic: str) -> list[str]:
        """Return the ids of the agents that get what is published on a topic, each once."""
        found: dict[str, None] = {}
        for word in (f"={topic}", topic.partition(".")[0], ""):
            for subscribers in self._by_word.get(word, {}).values():
                if subscribers.matches(topic):
                    found |= subscribers.agent_ids
        return list(found)

    # -- commands --

    def subscribe(self, agent_id: str, pattern: str) -> list[Event]:
        """Return no event where the agent has subscribed by this pattern already."""
        self._agents.get(agent_id)
        present = self._by_agent.get(agent_id, {})
        if pattern in present:
            return []
        if len(present) >= SUBSCRIPTIONS_MAX:
            raise CommandRejected(
                f"{self._agents.label(agent_id)} has {SUBSCRIPTIONS_MAX} subscriptions, and an agent may have no more;"
                " join some with *, as in 'build.*', or unsubscribe from some"
            )
        return [TopicSubscribed(agent_id=agent_id, pattern=pattern)]

    def unsubscribe(self, agent_id: str, pattern: str) -> list[Event]:
        """Return no event where the agent has no subscription by this pattern."""
        self._agents.get(agent_id)
        if pattern not in self._by_agent.get(agent_id, ()):
            return []
        return [TopicUnsubscribed(agent_id=agent_id, pattern=pattern)]

    # -- applying --

    def _subscribed(self, event: TopicSubscribed) -> None:
        assert event.agent_id is not None
        self._add(event.agent_id, event.pattern)

    def _add(self, agent_id: str, pattern: str) -> None:
        self._by_agent.setdefault(agent_id, {})[pattern] = None
        patterns = self._by_word.setdefault(_word_of(pattern), {})
        if pattern not in patterns:
            patterns[pattern] = _Subscribers(Patterns(pattern, any_text=True).matches)
        patterns[pattern].agent_ids[agent_id] = None

    def _unsubscribed(self, event: TopicUnsubscribed) -> None:
        assert event.agent_id is not None
        patterns = self._by_agent[event.agent_id]
        del patterns[event.pattern]
        if not patterns:
            del self._by_agent[event.agent_id]
        self._remove(event.agent_id, event.pattern)

    def _unregistered(self, event: AgentUnregistered) -> None:
        assert event.agent_id is not None
        for pattern in self._by_agent.pop(event.agent_id, ()):
            self._remove(event.agent_id, pattern)

    def _remove(self, agent_id: str, pattern: str) -> None:
        word = _word_of(pattern)
        patterns = self._by_word[word]
        subscribers = patterns[pattern]
        del subscribers.agent_ids[agent_id]
        if not subscribers.agent_ids:
            del patterns[pattern]
            if not patterns:
                del self._by_word[word]


def _word_of(pattern: str) -> str:
    """Return what a pattern is found by: ``=`` and the topic, the first word of the topics, or nothing."""
    if "*" not in pattern:
        return f"={pattern}"
    before_star = pattern.partition("*")[0]
    return before_star.partition(".")[0] if "." in before_star else ""
