"""From what a board remembers of runs, tasks, approvals and listeners to what it shows, at a given moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from ._agents import Agents
from ._counts import WRONG
from ._entries import ApprovalEntry, ChannelEntry, ListenerEntry, RestartEntry, RunEntry, SpanEntry, TaskEntry
from ._hub_views import ListenerView, TroubleView
from ._kept import Kept
from ._reading import short, time_of
from ._troubles import TroubleEntry
from ._work_views import (
    ApprovalView,
    BarView,
    HandOverView,
    RestartView,
    RiskStepView,
    RunView,
    SpanView,
    TaskView,
)

__all__ = ("WorkShowing",)

_BARS_MAX = 60


@attrs.frozen
class WorkShowing:
    """Makes views as of ``now``, in seconds since 1970."""

    agents: Agents
    now: float
    all_spans: Mapping[int, SpanEntry]
    channels: Kept[ChannelEntry]
    waiting: Counter[str]
    """How many approvals wait for people, by run."""

    # -- runs --

    def run(self, entry: RunEntry) -> RunView:
        waiting = self.waiting[entry.run_id]
        ended = "failed" if entry.failed else "abandoned" if entry.abandoned else "ended"
        spans = [self.all_spans[number] for number in entry.spans]
        begun = time_of(entry.started_at)
        ends = [self.now if each.outcome == "open" else time_of(each.ended_at) or 0.0 for each in spans]
        return RunView(
            run_id=entry.run_id,
            title=self._title(entry),
            state="open" if entry.open else "waiting" if waiting else ended,
            agents=tuple(map(self.agents.name, entry.agents)),
            started_at=entry.started_at,
            last_at=entry.last_at,
            seconds=None if begun is None else max(0.0, max(ends, default=0.0) - begun),
            bars=_bars(spans, begun),
            failures=_failures(spans, begun),
            open=entry.open,
            waiting=waiting,
            turns=entry.turns,
            calls=entry.calls,
            tasks=entry.tasks,
            failed=entry.failed,
            abandoned=entry.abandoned,
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
            not_shown=entry.not_shown,
        )

    def _title(self, entry: RunEntry) -> str:
        """Return what a run is about; of one that is held together by a channel alone, the topic of that."""
        sort, _, name = entry.run_id.partition(":")
        channel = self.channels.find(name) if sort == "channel" else None
        return channel.topic if channel is not None and channel.topic else entry.title

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

    def restarts(self, entry: RunEntry, restarts: list[RestartEntry]) -> tuple[RestartView, ...]:
        """Return when the hub was away between the beginning and the end of a run."""
        begun, ended = time_of(entry.started_at) or 0.0, self.now if entry.open else time_of(entry.last_at) or 0.0
        return tuple(
            RestartView(down_at=each.down_at, up_at=each.up_at, was_stopped=each.was_stopped)
            for each in restarts
            if (time_of(each.up_at) or 0.0) >= begun and (time_of(each.down_at) or 0.0) <= ended
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

    def trouble(self, entry: TroubleEntry) -> TroubleView:
        return TroubleView(
            seq=entry.seq,
            at=entry.at,
            kind=entry.kind,
            is_wrong=entry.meaning == WRONG,
            agent_id=entry.agent_id,
            agent=self.agents.name(entry.agent_id),
            channel_id=entry.channel_id,
            name=entry.name,
            text=entry.text,
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


def _bars(spans: list[SpanEntry], begun: float | None) -> tuple[BarView, ...]:
    """Return a run in small: its turns, or what is a part of no other if it has none."""
    if begun is None:
        return ()
    there = {each.number for each in spans}
    shown = [each for each in spans if each.family == "turn"] or [each for each in spans if each.parent not in there]
    found: list[BarView] = []
    for each in shown[-_BARS_MAX:]:
        start, end = time_of(each.started_at), time_of(each.ended_at) if each.ended_at else None
        if start is not None:
            seconds = None if end is None else max(0.0, end - start)
            found.append(BarView(start=max(0.0, start - begun), seconds=seconds, outcome=each.outcome))
    return tuple(found)


def _failures(spans: list[SpanEntry], begun: float | None) -> tuple[float, ...]:
    ends = [time_of(each.ended_at) for each in spans if each.outcome == "failed"]
    return tuple(max(0.0, end - begun) for end in ends[-_BARS_MAX:] if end is not None and begun is not None)
