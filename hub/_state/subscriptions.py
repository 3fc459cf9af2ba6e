"""Subscriptions: which agents get what is published on which topics.

``(absent) -- subscribed --> (present) -- unsubscribed | the agent is unregistered --> (absent)``.

A topic is a name and has no state of its own: it need not be made before, and does not end. So what is kept are the
patterns of agents, and a topic is matched with them when an envelope is published on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
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
    seq: int = attrs.field(default=0, eq=False)
    """Of the event by which it came; 0 if that was not kept."""


@attrs.define(eq=False, repr=False)
class _Subscribers(Value):
    """The agents that have subscribed by one pattern, in their order, each with the ``seq`` by which it came."""

    matches: Callable[[str], bool] = attrs.field(eq=False)
    seqs: dict[str, int] = attrs.Factory(dict)


_NO_PATTERNS: Mapping[str, int] = {}


class Subscriptions:
    """The subscriptions of agents, by agent and by pattern.

    Patterns without a star are found by the topic itself. Of the others, those that begin with a whole word, as
    ``build.*``, are looked at for topics that begin with it; the rest for each topic.
    """

    entry_types: ClassVar[tuple[type, ...]] = (Subscription,)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._by_agent: dict[str, dict[str, int]] = {}
        """The patterns of each, with the ``seq`` by which the subscription came: a snapshot keeps their order."""
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
            self._add(entry.agent_id, entry.pattern, entry.seq)

    def all(self, agent_id: str | None = None) -> list[Subscription]:
        """Return all subscriptions, or those of an agent, in the order in which they came."""
        agent_ids: Iterable[str] = self._by_agent if agent_id is None else (agent_id,)
        found = [
            Subscription(each, pattern, seq)
            for each in agent_ids
            for pattern, seq in self._by_agent.get(each, _NO_PATTERNS).items()
        ]
        return sorted(found, key=attrgetter("seq"))

    def subscribers(self, topic: str) -> list[str]:
        """Return the ids of the agents that get what is published on a topic, each once, as its first pattern came."""
        found = [
            subscribers.seqs
            for word in (f"={topic}", topic.partition(".")[0], "")
            for subscribers in self._by_word.get(word, {}).values()
            if subscribers.matches(topic)
        ]
        if len(found) == 1:
            return list(found[0])
        came = sorted((seq, agent_id) for seqs in found for agent_id, seq in seqs.items())
        return list(dict.fromkeys(agent_id for _, agent_id in came))

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
        self._add(event.agent_id, event.pattern, event.seq)

    def _add(self, agent_id: str, pattern: str, seq: int) -> None:
        self._by_agent.setdefault(agent_id, {})[pattern] = seq
        patterns = self._by_word.setdefault(_word_of(pattern), {})
        if pattern not in patterns:
            patterns[pattern] = _Subscribers(Patterns(pattern, any_text=True).matches)
        patterns[pattern].seqs[agent_id] = seq

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
        del subscribers.seqs[agent_id]
        if not subscribers.seqs:
            del patterns[pattern]
            if not patterns:
                del self._by_word[word]


def _word_of(pattern: str) -> str:
    """Return what a pattern is found by: ``=`` and the topic, the first word of the topics, or empty text."""
    if "*" not in pattern:
        return f"={pattern}"
    before_star = pattern.partition("*")[0]
    return before_star.partition(".")[0] if "." in before_star else ""
