"""From what a board remembers to what it shows, at a given moment."""

from __future__ import annotations

from typing import Any

import attrs

from ._agents import ERROR_MINUTES, Agents
from ._channels import EVERYONE
from ._entries import (
    AgentEntry,
    ApprovalEntry,
    AskEntry,
    ChannelEntry,
    ExpectationEntry,
    LineEntry,
    SpanEntry,
    TaskEntry,
)
from ._reading import time_of
from ._talk_views import Activity, AgentView, ChannelView, ExpectationView, LineView, LinkView

__all__ = ("GROUPS", "STATES", "Showing", "Waits")

_FAILING_SECONDS = ERROR_MINUTES * 60.0
_FAILURES_IN_A_ROW = 3
_NO_ERRORS = (0,) * ERROR_MINUTES

STATES = ("failing", "waits_for_person", "silent", "working", "waits_for_agent", "idle", "gone")
"""The states of agents, those that need a look first."""

GROUPS = {
    **dict.fromkeys(("failing", "waits_for_person", "silent"), "needs_look"),
    **dict.fromkeys(("working", "waits_for_agent"), "at_work"),
    **dict.fromkeys(("idle", "gone"), "quiet"),
}


@attrs.frozen
class Waits:
    """For what agents wait, or are at work, by agent."""

    approvals: dict[str, ApprovalEntry]
    asks: dict[str, AskEntry]
    tasks: dict[str, TaskEntry]


@attrs.frozen
class Showing:
    """Makes views as of ``now``, in seconds since 1970."""

    agents: Agents
    now: float
    silent_seconds: float

    def _since(self, at: str) -> float | None:
        begun = time_of(at)
        return None if begun is None else max(0.0, self.now - begun)

    def _names(self, agent_ids: list[str]) -> tuple[str, ...]:
        return tuple(map(self.agents.name, agent_ids))

    # -- agents --

    def state(self, entry: AgentEntry, waits: Waits) -> tuple[str, str]:
        """Return the state of an agent, and why it has it."""
        key, spans = entry.agent_id, self.agents.open.get(entry.agent_id)
        work = next(iter(spans.values())) if spans else waits.tasks.get(key)
        return self._state(entry, waits.approvals.get(key), waits.asks.get(key), work)

    def place(self, entry: AgentEntry, waits: Waits) -> tuple[Any, ...]:
        """Order agents by who needs a look, the one that has waited longest, or has most to do, first."""
        state, _ = self.state(entry, waits)
        group, name = GROUPS[state], entry.name or self.agents.name(entry.agent_id)
        if group == "needs_look":
            return STATES.index(state), -(self._since(entry.last_at) or 0.0), name, entry.agent_id
        if group == "at_work":
            return STATES.index("working"), 0 if entry.life == "seen" else -entry.inbox, name, entry.agent_id
        return STATES.index(state), -len(entry.last_at), name, entry.agent_id

    def agent(self, entry: AgentEntry, waits: Waits) -> AgentView:
        key = entry.agent_id
        waiting, ask, task = waits.approvals.get(key), waits.asks.get(key), waits.tasks.get(key)
        spans = [] if entry.life == "gone" else list(self.agents.open.get(key, {}).values())
        state, why = self.state(entry, waits)
        minutes = self._errors(entry)
        return AgentView(
            agent_id=entry.agent_id,
            name=entry.name or self.agents.name(entry.agent_id),
            tenant=entry.tenant,
            capabilities=tuple(entry.capabilities),
            is_registered=entry.life == "registered",
            state=state,
            group=GROUPS[state],
            why=why,
            doing=self._doing(waiting, ask, task, spans),
            inbox=None if entry.life == "seen" else entry.inbox,
            inbox_cap=entry.inbox_cap,
            in_flight=sum(span.family == "turn" for span in spans),
            calls_open=sum(span.family != "turn" for span in spans),
            errors=sum(minutes),
            errors_by_minute=minutes,
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
            cost_usd=entry.cost_usd,
            last_seen_at=entry.last_at,
            silent_seconds=self._since(entry.last_at),
        )

    def _state(
        self,
        entry: AgentEntry,
        waiting: ApprovalEntry | None,
        ask: AskEntry | None,
        work: SpanEntry | TaskEntry | None,
    ) -> tuple[str, str]:
        if entry.life == "gone":
            return "gone", "it left the hub"
        if entry.actor == "crashed":
            return "failing", f"its actor crashed: {entry.actor_reason}"
        if entry.failed and (self._since(entry.failed_at) or 0.0) <= _FAILING_SECONDS:
            return "failing", f"its last turn failed: {entry.failed}"
        if entry.failures >= _FAILURES_IN_A_ROW and any(self._errors(entry)):
            return "failing", f"its last {entry.failures} calls failed"
        if waiting is not None:
            return "waits_for_person", f"it waits for an answer to {waiting.action}"
        if ask is not None:
            return "waits_for_agent", f"it has asked {self.agents.name(ask.answerer_id)}"
        owes = work or (entry.inbox and entry.life == "registered")
        if owes and (self._since(entry.last_at) or 0.0) >= self.silent_seconds:
            what = "what it has begun has not ended" if work else "its inbox is not empty"
            return "silent", f"it has not been heard of, and {what}"
        return ("working", "") if work else ("idle", "")

    def _doing(
        self, waiting: ApprovalEntry | None, ask: AskEntry | None, task: TaskEntry | None, spans: list[SpanEntry]
    ) -> Activity | None:
        calls = [span for span in spans if span.family != "turn"]
        if calls:
            family, name, at = calls[-1].family, calls[-1].name, calls[-1].started_at
        elif waiting is not None:
            family, name, at = "approval", waiting.action, waiting.requested_at
        elif ask is not None:
            family, name, at = "ask", self.agents.name(ask.answerer_id), ask.at
        elif spans:
            family, name, at = "turn", "", spans[-1].started_at
        elif task is not None:
            family, name, at = "task", task.title, task.started_at
        else:
            return None
        return Activity(family=family, name=name, since_at=at, seconds=self._since(at) or 0.0)

    def _errors(self, entry: AgentEntry) -> tuple[int, ...]:
        if not entry.errors:
            return _NO_ERRORS
        last = int(self.now) // 60
        counts = [0] * ERROR_MINUTES
        for minute, count in entry.errors:
            if last - ERROR_MINUTES < minute <= last:
                counts[minute - last - 1] += count
        return tuple(counts)

    # -- channels --

    def channel(self, entry: ChannelEntry) -> ChannelView:
        participants = list(entry.participants)
        return ChannelView(
            channel_id=entry.channel_id,
            topic=entry.topic,
            type=entry.type,
            tenant=entry.tenant,
            state=entry.state,
            reason=entry.reason,
            creator_id=entry.creator_id,
            participants=tuple(participants),
            participant_names=self._names(participants),
            participants_not_shown=entry.participants_more,
            invited=tuple(entry.invited),
            parent_id=entry.parent_id,
            created_at=entry.created_at,
            ended_at=entry.ended_at,
            last_at=entry.last_at,
            posts=entry.posts,
            rejected=entry.rejected,
            failed=entry.failed,
            violations=entry.violations,
            expectations=tuple(map(self._expectation, entry.expectations)),
        )

    def _expectation(self, entry: ExpectationEntry) -> ExpectationView:
        return ExpectationView(
            name=entry.name,
            on_violation=entry.on_violation,
            state="troubled" if entry.trouble else "violated" if entry.violations else "kept",
            violations=entry.violations,
            last_violated_at=entry.last_at,
            violators=self._names(entry.violators),
            trouble=entry.trouble,
        )

    def line(self, entry: LineEntry) -> LineView:
        return LineView(
            seq=entry.seq,
            at=entry.at,
            sort=entry.sort,
            agent_id=entry.agent_id,
            agent=self.agents.name(entry.agent_id),
            to=self._names(entry.to),
            text=entry.text,
            recipients=entry.recipients,
            acked=entry.acked,
            failed=entry.failed,
            calls=dict(entry.calls),
        )

    def links(self, links: dict[str, int]) -> tuple[LinkView, ...]:
        found = []
        for key, count in sorted(links.items(), key=lambda item: (-item[1], item[0])):
            from_id, _, to_id = key.partition("\n")
            to_agent = "everyone" if to_id == EVERYONE else self.agents.name(to_id)
            from_agent = self.agents.name(from_id)
            found.append(LinkView(from_id=from_id, from_agent=from_agent, to_id=to_id, to_agent=to_agent, count=count))
        return tuple(found)
