"""From what a board remembers to what it shows, at a given moment."""

from __future__ import annotations

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
    ListenerEntry,
    RunEntry,
    SpanEntry,
    TaskEntry,
)
from ._reading import short, time_of
from ._views import (
    Activity,
    AgentView,
    ApprovalView,
    ChannelView,
    ExpectationView,
    HandOverView,
    LineView,
    LinkView,
    ListenerView,
    RiskStepView,
    RunView,
    SpanView,
    TaskView,
)

__all__ = ("GROUPS", "STATES", "Showing", "Waits")

_FAILING_SECONDS = ERROR_MINUTES * 60.0
_FAILURES_IN_A_ROW = 3

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

    def agent(self, entry: AgentEntry, waits: Waits) -> AgentView:
        key = entry.agent_id
        waiting, ask, task = waits.approvals.get(key), waits.asks.get(key), waits.tasks.get(key)
        spans = list(self.agents.open.get(entry.agent_id, {}).values())
        silent = self._since(entry.last_at)
        state, why = self._state(entry, waiting, ask, spans[0] if spans else task, silent)
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
            silent_seconds=silent,
        )

    def _state(
        self,
        entry: AgentEntry,
        waiting: ApprovalEntry | None,
        ask: AskEntry | None,
        work: SpanEntry | TaskEntry | None,
        silent: float | None,
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
        if owes and (silent or 0.0) >= self.silent_seconds:
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

    # -- runs --

    def run(self, entry: RunEntry) -> RunView:
        state = "failed" if entry.failed else "abandoned" if entry.abandoned else "ended"
        return RunView(
            run_id=entry.run_id,
            title=entry.title,
            state="open" if entry.open else state,
            agents=self._names(entry.agents),
            started_at=entry.started_at,
            last_at=entry.last_at,
            open=entry.open,
            turns=entry.turns,
            calls=entry.calls,
            tasks=entry.tasks,
            failed=entry.failed,
            abandoned=entry.abandoned,
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
            not_shown=entry.not_shown,
        )

    def spans(self, entries: list[SpanEntry]) -> tuple[SpanView, ...]:
        """Return the spans of a run, each after the one that it is a part of."""
        there = {entry.number for entry in entries}
        below: dict[int | None, list[SpanEntry]] = {}
        for entry in sorted(entries, key=lambda each: (time_of(each.started_at) or 0.0, each.number)):
            below.setdefault(entry.parent if entry.parent in there else None, []).append(entry)
        found: list[SpanView] = []
        waiting = [(entry, 0) for entry in reversed(below.get(None, []))]
        while waiting:
            entry, level = waiting.pop()
            found.append(self._span(entry, level, entry.parent if entry.parent in there else None))
            waiting += [(each, level + 1) for each in reversed(below.get(entry.number, []))]
        return tuple(found)

    def _span(self, entry: SpanEntry, level: int, parent: int | None) -> SpanView:
        seconds = None if entry.duration_ms is None else entry.duration_ms / 1000
        if seconds is None:
            begun, ended = time_of(entry.started_at), time_of(entry.ended_at) if entry.ended_at else self.now
            seconds = None if begun is None or ended is None else max(0.0, ended - begun)
        return SpanView(
            number=entry.number,
            parent=parent,
            level=level,
            family=entry.family,
            span_id=entry.span_id,
            name=entry.name,
            agent_id=entry.agent_id,
            agent=self.agents.name(entry.agent_id),
            channel_id=entry.channel_id,
            task_id=entry.task_id,
            turn_id=entry.turn_id,
            started_at=entry.started_at,
            started_seq=entry.started_seq,
            ended_at=entry.ended_at,
            seconds=seconds,
            outcome=entry.outcome,
            detail=entry.detail,
            preview=entry.preview,
            is_recorded=entry.is_recorded,
            cause=entry.cause,
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
        )

    def hand_overs(self, entry: RunEntry) -> tuple[HandOverView, ...]:
        return tuple(
            HandOverView(
                at=each.at,
                from_agent=self.agents.name(each.from_agent),
                to_agent=self.agents.name(each.to_agent),
                reason=each.reason,
                from_span=each.from_span,
                to_span=each.to_span,
            )
            for each in entry.hand_overs
        )

    # -- tasks, approvals, listeners --

    def task(self, entry: TaskEntry) -> TaskView:
        begun, ended = time_of(entry.started_at), time_of(entry.ended_at) if entry.ended_at else self.now
        is_running = entry.state == "running"
        return TaskView(
            task_id=entry.task_id,
            title=entry.title,
            owner_id=entry.owner_id,
            owner=self.agents.name(entry.owner_id),
            tenant=entry.tenant,
            state=entry.state,
            is_cancel_requested=entry.cancel_requested,
            is_observed=entry.is_observed,
            channel_id=entry.channel_id,
            parent_id=entry.parent_id,
            capability=entry.capability,
            progress=entry.progress,
            detail=entry.detail,
            started_at=entry.started_at,
            last_at=entry.last_at,
            ended_at=entry.ended_at,
            seconds=None if begun is None or ended is None else max(0.0, ended - begun),
            seconds_left=max(0.0, entry.deadline - self.now) if is_running and entry.deadline is not None else None,
        )

    def approval(self, entry: ApprovalEntry) -> ApprovalView:
        begun, decided = time_of(entry.requested_at), time_of(entry.decided_at) if entry.decided_at else self.now
        waited = None if begun is None or decided is None else max(0.0, decided - begun)
        left = None if entry.verdict or begun is None or entry.timeout_seconds is None else entry.timeout_seconds
        return ApprovalView(
            approval_id=entry.approval_id,
            agent_id=entry.agent_id,
            agent=self.agents.name(entry.agent_id),
            tenant=entry.tenant,
            action=entry.action,
            arguments=entry.arguments,
            arguments_at=entry.arguments_at,
            arguments_bytes=entry.arguments_bytes,
            requested_at=entry.requested_at,
            requested_seq=entry.requested_seq,
            channel_id=entry.channel_id,
            task_id=entry.task_id,
            turn_id=entry.turn_id,
            mode=entry.mode,
            fail_mode=entry.fail_mode,
            state=entry.verdict or "waiting",
            stage=entry.stage,
            risk_score=entry.risk_score,
            risk_level=entry.risk_level,
            risk_steps=tuple(
                RiskStepView(scorer=scorer, score=score, reason=reason) for scorer, score, reason in entry.risk_steps
            ),
            trust=entry.trust,
            quorum=entry.quorum,
            approvers=tuple(map(short, entry.approvers)),
            passed=tuple(entry.passed),
            failed=tuple(entry.failed),
            reminders=entry.reminders,
            waited_seconds=waited,
            seconds_left=None if left is None or waited is None else max(0.0, left - waited),
            decided_at=entry.decided_at,
            decided_by=tuple(map(short, entry.decided_by)),
            reason=entry.reason,
            is_failure=entry.is_failure,
            is_used=entry.is_used,
        )

    def listener(self, entry: ListenerEntry) -> ListenerView:
        return ListenerView(
            listener=entry.listener,
            duty=entry.duty,
            pattern=tuple(entry.pattern),
            state=entry.state,
            is_troubled=entry.state == "suspended" or bool(entry.failed or entry.dropped or entry.letters),
            reason=entry.reason,
            since_at=entry.since_at,
            failed=entry.failed,
            dropped=entry.dropped,
            restarts=entry.restarts,
            dead_letters=entry.letters,
            last_error=entry.last_error,
            last_error_at=entry.last_error_at,
        )
