"""From what a board remembers to what it shows, at a given moment."""

from __future__ import annotations

from typing import Any

import attrs

from ._agents import ERROR_MINUTES, Agents
from ._entries import AgentEntry, ApprovalEntry, AskEntry, SpanEntry, TaskEntry
from ._reading import time_of
from ._talk_views import Activity, AgentView

__all__ = ("GROUPS", "STATES", "Showing", "Waits", "activity_of")

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


def activity_of(waiting: ApprovalEntry, now: float) -> Activity:
    """Return what an agent does that waits for a verdict."""
    begun = time_of(waiting.requested_at)
    waited = 0.0 if begun is None else max(0.0, now - begun)
    limit = waiting.timeout_seconds
    return Activity(
        family="approval",
        id=waiting.approval_id,
        name=waiting.action,
        preview=waiting.arguments,
        channel_id=waiting.channel_id,
        since_at=waiting.requested_at,
        seconds=waited,
        seconds_left=None if limit is None or begun is None else max(0.0, limit - waited),
    )


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
            since_at=self._begun_at(state, entry, waiting, ask, spans),
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
            return self._span(calls[-1])
        if waiting is not None:
            return activity_of(waiting, self.now)
        if ask is not None:
            return self._activity("ask", ask.event_id, self.agents.name(ask.answerer_id), ask.at)
        if spans:
            return self._span(spans[-1])
        if task is not None:
            return self._activity("task", task.task_id, task.title, task.started_at, task.progress, task.channel_id)
        return None

    def _span(self, span: SpanEntry) -> Activity:
        return self._activity(span.family, span.span_id, span.name, span.started_at, span.preview, span.channel_id)

    def _activity(
        self, family: str, key: str, name: str, at: str, preview: str = "", channel_id: str | None = None
    ) -> Activity:
        return Activity(
            family=family,
            id=key,
            name=name,
            preview=preview,
            channel_id=channel_id,
            since_at=at,
            seconds=self._since(at) or 0.0,
            seconds_left=None,
        )

    def _begun_at(
        self, state: str, entry: AgentEntry, waiting: ApprovalEntry | None, ask: AskEntry | None, spans: list[SpanEntry]
    ) -> str:
        """Return since when an agent is in its state; empty if that is not known."""
        if state == "failing":
            return entry.failed_at if entry.failed else ""
        if state == "waits_for_person":
            return waiting.requested_at if waiting else ""
        if state == "waits_for_agent":
            return ask.at if ask else ""
        if state == "working" and spans:
            return spans[0].started_at
        return entry.last_at

    def _errors(self, entry: AgentEntry) -> tuple[int, ...]:
        if not entry.errors:
            return _NO_ERRORS
        last = int(self.now) // 60
        counts = [0] * ERROR_MINUTES
        for minute, count in entry.errors:
            if last - ERROR_MINUTES < minute <= last:
                counts[minute - last - 1] += count
        return tuple(counts)
