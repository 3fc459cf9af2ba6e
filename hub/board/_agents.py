"""Agents: who there is, what each does now, and who needs a look."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ._entries import AgentEntry, AskEntry, SpanEntry
from ._kept import Kept
from ._limits import BoardLimits
from ._reading import NAME_MAX, TEXT_MAX, identifier, names, number, text_or, whole, words

__all__ = ("ERROR_MINUTES", "NOT_HEARD", "Agents", "AgentsKept")

ERROR_MINUTES = 15
"""For how many minutes errors are counted one by one."""
_NAMES_MAX = 20_000
_ASKS_MAX = 2_000
_CAPABILITIES_MAX = 20

NOT_HEARD = frozenset(
    {
        *("agent.unregistered", "approval.approved", "approval.denied", "approval.escalated", "approval.expired"),
        *("approval.risk_scored", "approval.trust_computed", "approval.challenge_issued", "approval.referred"),
        *("approval.challenge_completed", "approval.reminded", "approval.returned", "audit.logged"),
        *("channel.invited", "channel.participant_removed", "envelope.dispatch_failed", "envelope.dropped"),
        *("envelope.expired", "envelope.redelivered", "envelope.returned", "expectation.violated", "inbox.pressured"),
        *("model.abandoned", "task.expired", "tool.abandoned", "turn.abandoned"),
    }
)
"""Kinds of events about an agent that are no sign of life of it."""


@attrs.define(eq=False)
class AgentsKept:
    """What a snapshot has of them."""

    going: list[AgentEntry]
    gone: list[AgentEntry]
    not_shown: int
    names: list[list[str]]
    asks: list[AskEntry]
    last_posted: list[str]


class Agents:
    """All agents that events tell of."""

    def __init__(self, limits: BoardLimits) -> None:
        self.kept: Kept[AgentEntry] = Kept(limits.agents, limits.agents_gone)
        self.names: OrderedDict[str, str] = OrderedDict()
        self.asks: dict[str, AskEntry] = {}
        """By the id of the event that posted it, what was asked and is not answered."""
        self._asked: dict[str, str] = {}
        """By the id of the envelope, that of the event."""
        self.open: dict[str, dict[int, SpanEntry]] = {}
        """By agent, its turns and calls whose end has not come; also of agents that left, and may be heard again."""
        self._last_posted: list[str] = []
        """The id of the envelope that was posted last, and its recipients."""

    def handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "agent.registered": self._registered,
            "agent.unregistered": self._unregistered,
            "agent.rule_set": self._rule_set,
            "actor.started": self._actor_started,
            "actor.crashed": self._actor_crashed,
            "actor.stopped": self._actor_stopped,
            "inbox.pressured": self._pressured,
            "envelope.acked": self._left_inbox,
            "envelope.expired": self._left_inbox,
            "envelope.dead_lettered": self._left_inbox,
            "envelope.dropped": self._dropped,
            "envelope.redelivered": self._redelivered,
        }

    def of(self, agent_id: str) -> AgentEntry:
        """Return what is known of an agent, from now on at least its id."""
        return self.kept.find(agent_id) or self._add(AgentEntry(agent_id, self.names.get(agent_id, "")))

    def name(self, agent_id: str | None) -> str:
        """Return what an agent is called: its name, else the end of its id."""
        if not agent_id:
            return ""
        return self.names.get(agent_id) or (f"…{agent_id[-8:]}" if len(agent_id) == 32 else agent_id[:NAME_MAX])

    def heard(self, agent_id: str, at: str, tenant: str | None) -> None:
        """An agent has given a sign of life."""
        entry = self.kept.going.get(agent_id)
        if entry is None:
            if agent_id in self.kept.ended:
                return
            entry = self._add(AgentEntry(agent_id, self.names.get(agent_id, ""), tenant, since_at=at))
        entry.last_at = at

    def erred(self, agent_id: str, minute: int) -> None:
        """An event about an agent is wrong."""
        entry = self.kept.find(agent_id)
        if entry is None:
            return
        errors = entry.errors
        if errors and errors[-1][0] == minute:
            errors[-1][1] += 1
        else:
            errors.append([minute, 1])
            if len(errors) > ERROR_MINUTES:
                del errors[0]

    def _add(self, entry: AgentEntry) -> AgentEntry:
        self.kept.add(entry.agent_id, entry)
        return entry

    # -- their lives --

    def _registered(self, event: Any) -> None:
        agent_id, name = identifier(event.agent_id), words(event.name)
        entry = self.kept.going.get(agent_id)
        if entry is None:
            entry = self._add(AgentEntry(agent_id, name))
        entry.name, entry.tenant, entry.life, entry.since_at = name, event.tenant, "registered", event.at
        entry.last_at = event.at
        entry.capabilities = [each[:NAME_MAX] for each in names(event.capabilities, _CAPABILITIES_MAX)]
        self._take_rule(entry, event.rule)
        if isinstance(event.passport, dict) and isinstance(cost := event.passport.get("cost"), dict):
            prices = [number(cost.get("input_per_mtok")), number(cost.get("output_per_mtok"))]
            entry.prices = [price or 0.0 for price in prices] if prices != [None, None] else []
        self.names.pop(agent_id, None)
        self.names[agent_id] = name
        if len(self.names) > _NAMES_MAX:
            self.names.popitem(last=False)

    def _unregistered(self, event: Any) -> None:
        self.leave(identifier(event.agent_id), event.at)

    def leave(self, agent_id: str, at: str) -> None:
        """An agent is gone."""
        entry = self.of(agent_id)
        entry.life, entry.since_at, entry.inbox = "gone", at, 0
        self.kept.end(agent_id, entry)
        for ask in [ask for ask in self.asks.values() if agent_id in (ask.asker_id, ask.answerer_id)]:
            self._settle(ask.event_id)

    def lose(self, at: str) -> None:
        """All agents are gone: there is another hub."""
        for agent_id in list(self.kept.going):
            self.leave(agent_id, at)
        self.asks.clear()
        self._asked.clear()
        self.open.clear()

    def restarted(self) -> None:
        """The hub has started again, without any actor so far."""
        for entry in self.kept.going.values():
            entry.actor = entry.actor_reason = ""

    def _rule_set(self, event: Any) -> None:
        self._take_rule(self.of(identifier(event.agent_id)), event.rule)

    @staticmethod
    def _take_rule(entry: AgentEntry, rule: object) -> None:
        inbox = rule.get("inbox") if isinstance(rule, dict) else None
        capacity = inbox.get("capacity") if isinstance(inbox, dict) else None
        entry.inbox_cap = whole(capacity) or None

    def _actor_started(self, event: Any) -> None:
        entry = self.of(identifier(event.agent_id))
        entry.actor, entry.actor_reason = "running", ""

    def _actor_crashed(self, event: Any) -> None:
        entry = self.of(identifier(event.agent_id))
        entry.actor = "crashed"
        entry.actor_reason = text_or(event.error_message, text_or(event.error_type, "it crashed"), TEXT_MAX)

    def _actor_stopped(self, event: Any) -> None:
        entry = self.of(identifier(event.agent_id))
        if entry.actor != "crashed":
            entry.actor, entry.actor_reason = "stopped", text_or(event.reason, "", TEXT_MAX)

    # -- their inboxes --

    def posted(self, event: Any, recipients: list[str]) -> None:
        """An envelope is in the inboxes of these."""
        going = self.kept.going
        for agent_id in recipients:
            entry = going.get(agent_id)
            if entry is None:
                if agent_id in self.kept.ended or not agent_id:
                    continue
                entry = self.of(agent_id)
            entry.inbox += 1
        self._last_posted = [event.envelope_id, *recipients]
        if event.channel_id is None and event.topic is None:
            self._ask(event, recipients)

    def _ask(self, event: Any, recipients: list[str]) -> None:
        """An envelope was sent directly: it is a question, or answers one."""
        cause = event.causation_id
        asked = self.asks.get(cause) if type(cause) is str else None
        if asked is not None and (asked.asker_id in recipients or asked.asker_id == event.answers):
            self._settle(asked.event_id)
            return
        if len(recipients) != 1 or type(event.agent_id) is not str or event.answers is not None:
            return
        ask = AskEntry(identifier(event.id), event.envelope_id, event.agent_id, recipients[0], event.at)
        self.asks[ask.event_id] = ask
        self._asked[ask.envelope_id] = ask.event_id
        if len(self.asks) > _ASKS_MAX:
            self._settle(next(iter(self.asks)))

    def _settle(self, event_id: str) -> None:
        ask = self.asks.pop(event_id, None)
        if ask is not None:
            self._asked.pop(ask.envelope_id, None)

    def _left_inbox(self, event: Any) -> None:
        agent_id, envelope_id = identifier(event.agent_id), identifier(event.envelope_id)
        entry = self.kept.going.get(agent_id)
        if entry is not None and entry.inbox:
            entry.inbox -= 1
        if envelope_id in self._asked:
            self._settle(self._asked[envelope_id])

    def _dropped(self, event: Any) -> None:
        posted = self._last_posted
        # One that was dropped on arrival was in no inbox.
        if not posted or event.envelope_id != posted[0] or event.agent_id in posted[1:]:
            self._left_inbox(event)

    def _redelivered(self, event: Any) -> None:
        self.of(identifier(event.agent_id)).inbox += 1

    def _pressured(self, event: Any) -> None:
        self.of(identifier(event.agent_id)).inbox_cap = whole(event.cap) or None

    # -- what they do --

    def began(self, span: SpanEntry) -> None:
        """A turn or a call of an agent has begun."""
        if span.agent_id is not None:
            self.open.setdefault(span.agent_id, {})[span.number] = span

    def ended(self, span: SpanEntry) -> None:
        """It has ended."""
        if span.agent_id is None:
            return
        held = self.open.get(span.agent_id)
        if held is not None:
            held.pop(span.number, None)
            if not held:
                del self.open[span.agent_id]

    def turned_out(self, event: Any, family: str, outcome: str, detail: str) -> None:
        """A turn or a call of an agent has ended well or badly, whether or not its beginning was seen."""
        entry = self.kept.going.get(event.agent_id or "")
        if entry is None or outcome == "abandoned":
            return
        if outcome == "failed":
            entry.failures += 1
            if family == "turn":
                entry.failed, entry.failed_at = detail or "it did not say why", event.at
        else:
            entry.failures = 0
            if family == "turn":
                entry.failed = entry.failed_at = ""

    def spent(self, agent_id: str | None, tokens: tuple[int | None, int | None], metadata: object) -> None:
        """A model has answered an agent, which took so many tokens."""
        entry = None if agent_id is None else self.kept.find(agent_id)
        if entry is None:
            return
        given, made = (each or 0 for each in tokens)
        entry.input_tokens += given
        entry.output_tokens += made
        told = number(metadata.get("cost_usd")) if isinstance(metadata, dict) else None
        if told is None and entry.prices:
            told = (given * entry.prices[0] + made * entry.prices[1]) / 1e6
        if told is not None:
            entry.cost_usd = (entry.cost_usd or 0.0) + told

    # -- snapshots --

    def snapshot(self) -> AgentsKept:
        return AgentsKept(
            list(self.kept.going.values()),
            list(self.kept.ended.values()),
            self.kept.not_shown,
            [[key, name] for key, name in self.names.items()],
            list(self.asks.values()),
            self._last_posted,
        )

    def restore(self, kept: AgentsKept) -> None:
        self.kept.going = {entry.agent_id: entry for entry in kept.going}
        self.kept.ended = {entry.agent_id: entry for entry in kept.gone}
        self.kept.not_shown = kept.not_shown
        self.names = OrderedDict(kept.names)
        self.asks = {ask.event_id: ask for ask in kept.asks}
        self._asked = {ask.envelope_id: ask.event_id for ask in kept.asks}
        self._last_posted = kept.last_posted
